"""Containers that have outlived their supervisor, in scopes of systemd."""
import os
import pathlib
import signal

import pytest

from lib import rows
from test_supervise import alive, state, status

pytestmark = pytest.mark.systemd
CGROUPS = pathlib.Path("/sys/fs/cgroup")


@rows("R2", "B42", "B43", "A38")
def test_taken_over_in_its_scope(rootlet):
    """Freezer, limits and exec are those of before; the next run has a scope of its own; nothing stays."""
    cid = rootlet.ok("run", "-d", "--restart", "always", "--name", "c", rootlet.image(), "sleep", "1000",
                     cgroups=None).text
    before = state(rootlet, cid)
    path = CGROUPS / before["cgroup_path"][1:]
    assert path.is_dir() and before["cgroup_path"]
    os.kill(before["supervisor_pid"], signal.SIGKILL)
    rootlet.wait_for(lambda: not alive(before["supervisor_pid"]))
    assert status(rootlet, "c") == "running"
    assert rootlet.ok("exec", "c", "cat", "/proc/self/cgroup", cgroups=None).text.endswith("0::/")
    rootlet.ok("pause", "c", cgroups=None)
    assert "frozen 1" in (path / "cgroup.events").read_text()
    second = state(rootlet, cid)
    os.kill(second["supervisor_pid"], signal.SIGKILL)
    rootlet.wait_for(lambda: not alive(second["supervisor_pid"]))
    assert status(rootlet, "c") == "paused"
    rootlet.ok("unpause", "c", cgroups=None)
    assert "frozen 0" in (path / "cgroup.events").read_text()
    os.kill(before["pid"], signal.SIGKILL)  # its policy starts it again
    rootlet.wait_for(lambda: state(rootlet, cid)["pid"] not in (0, before["pid"]), 30)
    again = state(rootlet, cid)
    assert (CGROUPS / again["cgroup_path"][1:]).is_dir() and alive(again["supervisor_pid"])
    groups = pathlib.Path(f"/proc/{again['supervisor_pid']}/cgroup").read_text()
    assert f"rootlet-{cid}" in groups
    rootlet.ok("stop", "-t", "0", "c", cgroups=None)
    rootlet.wait_for(lambda: not list(CGROUPS.glob(f"**/rootlet-{cid}*")), 20)
    rootlet.ok("rm", "c", cgroups=None)


@rows("R2")
def test_rm_of_one_that_nobody_looks_after(rootlet):
    """All of its group goes, also what has left its parent."""
    cid = rootlet.ok("run", "-d", "--name", "c", rootlet.image(), "sh", "-c",
                     "setsid sleep 1000 & setsid sleep 1000 & sleep 1000", cgroups=None).text
    s = state(rootlet, cid)
    os.kill(s["supervisor_pid"], signal.SIGKILL)
    rootlet.wait_for(lambda: not alive(s["supervisor_pid"]))
    rootlet.ok("rm", "-f", "c", cgroups=None)
    rootlet.wait_for(lambda: not list(CGROUPS.glob(f"**/rootlet-{cid}*")), 20)
