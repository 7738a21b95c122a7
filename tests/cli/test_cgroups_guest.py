"""Control groups where there are controllers: what has run wild ends, and what joins is limited."""
import pathlib
import time

import pytest

from lib import rows

CGROUPS = pathlib.Path("/sys/fs/cgroup")
pytestmark = pytest.mark.guest


def group(rootlet, name):
    return CGROUPS / rootlet.ok("inspect", "-f", "{{.State.CgroupPath}}", name, cgroups=None).text[1:]


@rows("A38", "A42", "A45", "A47", "B42", "B43")
def test_fork_bomb(rootlet):
    """R14 of the list of risks: with a limit of processes the host stays usable, and the bomb goes at once; also while it
    is paused, and one whose supervisor was killed."""
    image = rootlet.image()
    bomb = "f() { f | f & }; f; exec sleep 1000"
    for how in ("rm", "paused", "killed"):
        rootlet.ok("run", "-d", "--name", "c", "--pids-limit", "60", image, "sh", "-c", bomb, cgroups=None)
        path = group(rootlet, "c")
        rootlet.wait_for(lambda: "max 0" not in (path / "pids.events").read_text(encoding="ascii"), 60)
        assert (path / "pids.max").read_text(encoding="ascii") == "60\n"
        if how == "paused":
            rootlet.ok("pause", "c", cgroups=None)
        elif how == "killed":
            init = rootlet.ok("inspect", "-f", "{{.State.Pid}}", "c", cgroups=None).text
            stat = pathlib.Path(f"/proc/{init}/stat").read_text(encoding="ascii")
            rootlet("-9", stat.rsplit(")", 1)[1].split()[1], program="/bin/kill", rc=0)
        begin = time.monotonic()
        rootlet.ok("rm", "-f", "c", cgroups=None)
        print(f"{how}: {time.monotonic() - begin:.2f} s")
        assert not path.exists()
        rootlet.wait_for(lambda: not list(CGROUPS.glob("user.slice/**/rootlet-*.scope")), 20)


@rows("A38")
def test_health_check_below(rootlet):
    """A container with groups of its own, as systemd in one makes them, holds no process in its own group; a check goes where its init is."""
    script = ("cd /sys/fs/cgroup && mkdir init && for p in $(cat cgroup.procs); do echo $p > init/cgroup.procs; done; "
              "echo +pids > cgroup.subtree_control || exit 3; sleep 1000")
    rootlet.ok("run", "-d", "--name", "c", "--privileged", "--health-cmd", "cat /proc/self/cgroup",
               "--health-interval", "disable", rootlet.image(), "sh", "-c", script, cgroups=None)
    path = group(rootlet, "c")
    rootlet.wait_for(lambda: "pids" in (path / "cgroup.subtree_control").read_text(encoding="ascii"), 30)
    rootlet.ok("healthcheck", "run", "c", cgroups=None)
    out = rootlet.ok("inspect", "-f", "{{(index .State.Health.Log 0).Output}}", "c", cgroups=None).out
    assert "0::/init" in out, out
    rootlet.ok("rm", "-ft0", "c", cgroups=None)
