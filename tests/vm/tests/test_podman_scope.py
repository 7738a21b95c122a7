"""podman with its systemd cgroup manager: as a user, where it runs its runtime in a user namespace
of its own, and as root (A10, A47)."""
import json
import os
import pathlib
import shutil
import time

import pytest
from scopelib import CGROUPS, IS_ROOT, PROGRAM, run, show, systemctl, units

pytestmark = [pytest.mark.skipif(not shutil.which("podman"), reason="no podman")]
IMAGE = "localhost/rootlet-busybox"


def none_left():
    """The scope of a container is gone when podman is; that of its conmon a moment later."""
    end = time.monotonic() + 60
    while units("libpod-*.scope"):
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def podman(*argv, ok=True, env=None):
    r = run("podman", "--runtime", PROGRAM, "--cgroup-manager", "systemd", *argv, env=env)
    assert not ok or r.returncode == 0, r.stderr
    return r


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    top = tmp_path_factory.mktemp("image")
    (top / "bin").mkdir()
    shutil.copy2("/bin/busybox", top / "bin" / "busybox")
    for name in ("sh", "cat", "sleep", "true"):
        (top / "bin" / name).symlink_to("busybox")
    run("tar", "-C", top, "-cf", top.parent / "image.tar", ".", check=True)
    podman("import", "-q", top.parent / "image.tar", IMAGE)
    yield IMAGE
    podman("rmi", "-f", IMAGE)


@pytest.fixture
def container(image):
    """Starts one in the background; its scope and its cgroup."""
    made = []

    def start(*options, env=None, command=("sleep", "1000")):
        r = podman("run", "-d", "--network", "none", *options, image, *command, env=env)
        cid = r.stdout.split()[-1]
        made.append(cid)
        pid = json.loads(podman("inspect", cid).stdout)[0]["State"]["Pid"]
        path = next(line[3:] for line in pathlib.Path(f"/proc/{pid}/cgroup").read_text().split()
                    if line.startswith("0::"))
        return cid, f"libpod-{cid}.scope", CGROUPS / path[1:]
    yield start
    for cid in made:
        podman("rm", "-f", "-t", "0", cid, ok=False)
    assert none_left()


def check_life(start):
    cid, unit, path = start()
    assert path.name == unit
    assert path.parent.name == ("machine.slice" if IS_ROOT else "user.slice")
    assert show(unit, "ActiveState", "Delegate") == {"ActiveState": "active", "Delegate": "yes"}
    inside = podman("exec", cid, "cat", "/proc/self/cgroup").stdout
    assert "0::/\n" in inside
    podman("pause", cid)
    assert "frozen 1" in (path / "cgroup.events").read_text()
    podman("unpause", cid)
    podman("rm", "-f", "-t", "0", cid)
    assert not path.exists()
    assert show(unit, "LoadState")["LoadState"] == "not-found"


@pytest.mark.systemd
def test_rootless(container):
    check_life(container)


@pytest.mark.root
@pytest.mark.systemd
def test_rootful(container):
    check_life(container)


@pytest.mark.systemd
def test_without_the_address_of_the_bus(container):
    env = {k: v for k, v in os.environ.items() if k != "DBUS_SESSION_BUS_ADDRESS"}
    _, unit, _ = container(env=env)
    assert show(unit, "ActiveState")["ActiveState"] == "active"


@pytest.mark.systemd
def test_end_by_itself(image):
    r = podman("run", "--rm", "--network", "none", image, "sh", "-c", "exit 7", ok=False)
    assert r.returncode == 7, r.stderr
    assert none_left()


@pytest.mark.systemd
def test_systemctl_stop(container):
    # Not one that ignores SIGTERM: systemd 252 would wait for 90 s.
    cid, unit, _ = container(command=("sh", "-c", "trap 'exit 0' TERM; sleep 1000 & wait"))
    assert systemctl("stop", unit).returncode == 0
    podman("wait", cid)
    assert json.loads(podman("inspect", cid).stdout)[0]["State"]["Status"] == "exited"


def check_limits(start):
    cid, unit, path = start("-m", "64m", "--memory-swap", "64m", "--cpus", "0.5", "--pids-limit",
                            "44", "--cpuset-cpus", "1")
    want = {"memory.max": "67108864", "memory.swap.max": "0", "cpu.max": "50000 100000",
            "pids.max": "44", "cpuset.cpus": "1"}
    assert {n: (path / n).read_text().strip() for n in want} == want
    assert show(unit, "MemoryMax", "TasksMax", "AllowedCPUs", "CPUQuotaPerSecUSec") == {
        "MemoryMax": "67108864", "TasksMax": "44", "AllowedCPUs": "1",
        "CPUQuotaPerSecUSec": "500ms"}
    podman("update", "--cpus", "0.25", cid)
    assert (path / "cpu.max").read_text().split() == ["25000", "100000"]
    assert show(unit, "CPUQuotaPerSecUSec")["CPUQuotaPerSecUSec"] == "250ms"


@pytest.mark.guest
def test_limits_rootless(container):
    check_limits(container)


@pytest.mark.root
@pytest.mark.guest
def test_limits_rootful(container):
    check_limits(container)
