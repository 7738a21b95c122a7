"""Where the processes of a container's network live, under systemd: with its supervisor, so that they
neither count for the container nor end with the command that started it."""
import os
import pathlib
import signal

import pytest

from lib import host, rows
from test_supervise import alive, state

pytestmark = [pytest.mark.systemd,
              pytest.mark.skipif(not (host.BUILDDIR / "rootlet-slirp").exists(), reason="built without libslirp")]


def group(pid):
    return pathlib.Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8").strip().rpartition(":")[2]


def processes(rootlet, cid):
    return {p["what"]: p["pid"] for p in state(rootlet, cid)["network"]["processes"]}


@rows("A38", "B42", "B43")
def test_in_the_supervisors_part_of_the_scope(rootlet):
    cid = rootlet.ok("run", "-d", "--name", "c", "--network", "slirp", "-p", "127.0.0.1::80",
                     rootlet.image(), "sleep", "1000", cgroups=None).text
    s = state(rootlet, cid)
    want = group(s["supervisor_pid"])
    assert want.endswith(f"rootlet-{cid}.scope/supervisor")
    pids = processes(rootlet, cid)
    assert set(pids) == {"slirp", "ports"}
    assert {what: group(pid) for what, pid in pids.items()} == {what: want for what in pids}
    # Another supervisor's, too.
    os.kill(s["supervisor_pid"], signal.SIGKILL)
    rootlet.wait_for(lambda: not alive(s["supervisor_pid"]))
    assert all(alive(pid) for pid in pids.values())
    # And what that one has begun anew.
    rootlet.ok("kill", "-s", "WINCH", "c", cgroups=None)
    for pid in pids.values():
        os.kill(pid, signal.SIGKILL)
    rootlet.wait_for(lambda: set(processes(rootlet, cid)) == set(pids) and
                     not set(processes(rootlet, cid).values()) & set(pids.values()))
    pids = processes(rootlet, cid)
    rootlet.wait_for(lambda: {group(pid) for pid in pids.values()} == {want})
    second = state(rootlet, cid)["supervisor_pid"]
    os.kill(second, signal.SIGKILL)
    rootlet.wait_for(lambda: not alive(second))
    assert all(alive(pid) for pid in pids.values())
    rootlet.ok("rm", "-f", "-t", "0", "c", cgroups=None)
    rootlet.wait_for(lambda: not any(alive(pid) for pid in pids.values()))
    rootlet.wait_for(lambda: not list(pathlib.Path("/sys/fs/cgroup").glob(f"**/rootlet-{cid}*")), 20)


@rows("B28", "B43")
def test_scope_of_a_user_network(rootlet):
    """It is no container's: it has a scope of its own, with a bound for its memory."""
    rootlet.ok("network", "create", "n")
    rootlet.ok("run", "-d", "--name", "c", "--network", "n", rootlet.image(), "sleep", "1000", cgroups=None)
    path, = pathlib.Path("/sys/fs/cgroup").glob("**/rootlet-net-n.scope")
    members = (path / "cgroup.procs").read_text().split()
    assert {pathlib.Path(f"/proc/{p}/comm").read_text().strip() for p in members} == {"rootlet-network", "rootlet-slirp"}
    if (path / "memory.high").exists():
        assert (path / "memory.high").read_text().strip() == str(1 << 30)
        assert (path / "memory.max").read_text().strip() == str(2 << 30)
    rootlet.ok("rm", "-f", "-t", "0", "c", cgroups=None)
    rootlet.ok("network", "rm", "n")
    rootlet.wait_for(lambda: not path.exists(), 20)
