"""What the other tests of the beds rely on: a session, its bus, and the controllers."""
import os
import pathlib
import subprocess

import pytest

CGROUPS = pathlib.Path("/sys/fs/cgroup")


def run(*argv):
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def own_cgroup():
    for line in pathlib.Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines():
        if line.startswith("0::"):
            return line[3:]
    raise AssertionError("no cgroup v2")


@pytest.mark.guest
@pytest.mark.systemd
def test_session_has_a_bus_and_a_manager():
    assert os.environ["XDG_RUNTIME_DIR"] == f"/run/user/{os.getuid()}"
    assert own_cgroup().startswith("/user.slice/user-")
    r = run("systemctl", "--user", "is-system-running")
    assert r.stdout.strip() == "running", run("systemctl", "--user", "--failed").stdout


@pytest.mark.guest
@pytest.mark.systemd
def test_scope_is_delegated():
    script = "c=/sys/fs/cgroup$(sed -n s/^0:://p /proc/self/cgroup); mkdir $c/a && rmdir $c/a && echo $c"
    r = run("systemd-run", "--user", "--scope", "-q", "-p", "Delegate=yes", "sh", "-c", script)
    assert r.returncode == 0, r.stderr
    assert f"user@{os.getuid()}.service" in r.stdout


@pytest.mark.guest
@pytest.mark.parametrize("controller,key,value,file,want", [
    ("memory", "MemoryMax", "64M", "memory.max", "67108864"),
    ("pids", "TasksMax", "17", "pids.max", "17"),
    ("cpu", "CPUQuota", "50%", "cpu.max", "50000 100000"),
    ("cpuset", "AllowedCPUs", "1", "cpuset.cpus", "1"),
    ("io", "IOWeight", "77", "io.weight", "default 77"),
])
def test_controller_is_delegated(controller, key, value, file, want):
    script = f"cat /sys/fs/cgroup$(sed -n s/^0:://p /proc/self/cgroup)/{file}"
    r = run("systemd-run", "--user", "--scope", "-q", "-p", f"{key}={value}", "sh", "-c", script)
    assert (r.stdout.strip(), r.returncode) == (want, 0), (controller, r.stderr)


@pytest.mark.root
@pytest.mark.guest
@pytest.mark.systemd
def test_root_has_the_system_manager():
    assert os.getuid() == 0
    assert run("systemctl", "is-system-running").stdout.strip() == "running"
    assert run("busctl", "--system", "status", "org.freedesktop.systemd1").returncode == 0
