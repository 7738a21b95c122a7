"""What happens around a container while it runs: the manager is executed anew, the bus goes away, its
user logs out (R11, A38)."""
import json
import pathlib
import subprocess
import sys
import time

import pytest
from scopelib import CGROUPS, PROGRAM, run, systemctl, units

from lib import rows

pytestmark = pytest.mark.systemd
ROOTLET = PROGRAM.with_name("rootlet")


def wait_for(what, seconds=30):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "did not come true"
        time.sleep(0.1)


def settled():
    wait_for(lambda: systemctl("is-system-running").stdout.strip() in ("running", "degraded"))


def check_whole(rootlet, name, image):
    """It runs, in its scope; everything works on it and on a new one; then nothing is left."""
    assert rootlet.inspect(name)["State"]["Status"] == "running"
    assert rootlet.ok("exec", name, "echo", "hello", cgroups=None).text == "hello"
    assert len(units()) == 1
    assert rootlet.ok("run", "--rm", image, "echo", "new", cgroups=None).text == "new"
    rootlet.ok("stop", "-t", "0", name, cgroups=None)
    wait_for(lambda: units() == [])
    assert systemctl("--failed", "--plain", "--no-legend").stdout == ""
    assert rootlet.ok("run", "--rm", image, "echo", "after", cgroups=None).text == "after"
    rootlet.ok("rm", name)


@rows("A38")
@pytest.mark.parametrize("command", ["daemon-reexec", "daemon-reload"])
def test_manager_begins_anew(rootlet, command):
    image = rootlet.image()
    rootlet.ok("run", "-d", "--name", "c", image, "sleep", "1000", cgroups=None)
    assert len(units()) == 1
    assert systemctl(command).returncode == 0
    settled()
    check_whole(rootlet, "c", image)


@rows("A38")
def test_bus_begins_anew(rootlet):
    """Of a scope nothing needs the bus once it is there; the next start uses the new one."""
    image = rootlet.image()
    rootlet.ok("run", "-d", "--name", "c", image, "sleep", "1000", cgroups=None)
    assert systemctl("restart", "dbus.service").returncode == 0
    wait_for(lambda: run("busctl", "--user", "status").returncode == 0)
    settled()
    check_whole(rootlet, "c", image)


@rows("B42", "B43")
def test_pause(rootlet):
    """By the freezer: the counter stands still, and goes on; a paused one can be stopped and removed."""
    image = rootlet.image()
    rootlet.ok("run", "-d", "--name", "c", image, "sh", "-c",
               "i=0; while :; do i=$((i + 1)); echo $i >/n.new; mv /n.new /n; sleep 0.01; done", cgroups=None)
    state = rootlet.inspect("c")["State"]
    group = CGROUPS / state["CgroupPath"].lstrip("/")
    root = pathlib.Path(f"/proc/{state['Pid']}/root/n")
    wait_for(root.exists)
    rootlet.ok("pause", "c", cgroups=None)
    assert (group / "cgroup.freeze").read_text() == "1\n"
    wait_for(lambda: "frozen 1" in (group / "cgroup.events").read_text())
    assert rootlet.inspect("c")["State"]["Status"] == "paused"
    first = root.read_text()
    time.sleep(0.3)
    assert root.read_text() == first
    rootlet.ok("unpause", "c", cgroups=None)
    assert (group / "cgroup.freeze").read_text() == "0\n"
    wait_for(lambda: root.read_text() != first)
    rootlet.ok("pause", "c", cgroups=None)
    rootlet.ok("rm", "-f", "c", cgroups=None)
    wait_for(lambda: units() == [])


def as_other(*argv, check=True):
    """A login of the user "other", who has no linger, for one command."""
    r = run("systemd-run", "--quiet", "--pipe", "--wait", "--collect", "-p", "PAMName=login", "-p",
            "User=other", "-p", "WorkingDirectory=~", "--", *argv)
    assert not check or r.returncode == 0, r.stderr
    return r


def manager_of_other():
    return run("systemctl", "is-active", "user@1001.service").stdout.strip()


@pytest.fixture
def image_of_other(tmp_path_factory):
    top = tmp_path_factory.mktemp("images")
    subprocess.run([sys.executable, str(pathlib.Path(__file__).parents[1] / "power/images.py"), str(top)],
                   check=True)
    for path in (top, *top.parents[:3], *top.iterdir()):
        path.chmod(path.stat().st_mode | 0o055 if path.is_dir() else 0o644)
    yield top / "base.tar"
    run("loginctl", "disable-linger", "other")
    as_other(ROOTLET, "rm", "-af")
    as_other(ROOTLET, "rmi", "-af")


@pytest.mark.root
@pytest.mark.leaves("files", "processes")  # those of the sessions
@pytest.mark.parametrize("linger", [False, True])
def test_logout(image_of_other, linger):
    """With linger a container outlives the session. Without, the user's manager ends it with
    everything else: it is not lost, and says so."""
    if linger:
        run("loginctl", "enable-linger", "other", check=True)
    as_other(ROOTLET, "load", "-q", "-i", image_of_other)
    r = as_other(ROOTLET, "run", "-d", "--name", "c", "base", "sleep", "1000")
    cid = r.stdout.split()[-1]
    if linger:
        time.sleep(1)
        assert manager_of_other() == "active"
    else:
        run("loginctl", "terminate-user", "other")
        wait_for(lambda: manager_of_other() != "active", 60)
        wait_for(lambda: not list(CGROUPS.glob(f"**/rootlet-{cid}.scope")))
    state = json.loads(as_other(ROOTLET, "inspect", "c").stdout)[0]["State"]
    assert state["Running"] == linger, state
    if linger:
        assert as_other(ROOTLET, "exec", "c", "echo", "hello").stdout == "hello\n"
    else:
        assert state["Status"] in ("exited", "stopped") and state["Pid"] == 0, state
        as_other(ROOTLET, "start", "c")
    as_other(ROOTLET, "stop", "-t", "0", "c")
    assert as_other("systemctl", "--user", "--failed", "--plain", "--no-legend").stdout == ""
    as_other(ROOTLET, "rm", "c")
