"""rootlet-oci --systemd-cgroup: what is done to a container that runs in its scope (A46, A47)."""
import json
import pathlib
import subprocess

import pytest
from scopelib import Bundle, IS_ROOT, PROGRAM, show, systemctl, units

UNIT = "rootlet-c1.scope"


@pytest.fixture
def box(tmp_path):
    b = Bundle(tmp_path)
    b.start()
    yield b
    b.delete()
    assert units() == []


def member(pid):
    """The control group of a process, as the kernel tells it."""
    text = pathlib.Path(f"/proc/{pid}/cgroup").read_text()
    return [line[3:] for line in text.splitlines() if line.startswith("0::")][0]


def check_exec_and_ps(box):
    """A further process is in the scope, ps knows it, and it ends with the scope."""
    pid_file = box.dir / "pid"
    log = box.dir / "exec.log"
    with open(log, "w", encoding="utf-8") as out:  # a pipe would be held open
        r = subprocess.run([str(PROGRAM), "--root", str(box.root), "exec", "-d", "--pid-file", str(pid_file), box.id,
                            "sleep", "1001"], stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=False)
    assert r.returncode == 0, log.read_text()
    pid = int(pid_file.read_text())
    assert member(pid) == member(box.state()["pid"]) and member(pid).endswith(UNIT)
    pids = json.loads(box.call("ps", "-f", "json", box.id).stdout)
    assert sorted([pid, box.state()["pid"]]) == pids
    assert box.call("exec", box.id, "sh", "-c", "exit 6").returncode == 6


def check_pause(box):
    assert box.call("pause", box.id).returncode == 0
    assert box.state()["status"] == "paused"
    assert "frozen 1" in (box.cgroup() / "cgroup.events").read_text()
    assert show(UNIT, "ActiveState")["ActiveState"] == "active"
    assert box.call("resume", box.id).returncode == 0
    assert box.state()["status"] == "running"


def check_stats(box):
    r = box.call("events", "--stats", box.id)
    event = json.loads(r.stdout)
    assert event["type"] == "stats" and event["data"]["cpu"]["usage"]["total"] > 0, r.stderr


@pytest.mark.systemd
def test_exec_and_ps(box):
    check_exec_and_ps(box)


@pytest.mark.systemd
def test_pause(box):
    check_pause(box)


@pytest.mark.systemd
def test_paused_scope_can_be_deleted(box):
    assert box.call("pause", box.id).returncode == 0
    assert box.delete().returncode == 0 and units() == []


@pytest.mark.systemd
def test_stats(box):
    check_stats(box)


@pytest.mark.systemd
@pytest.mark.root
def test_commands_as_root(box):
    check_exec_and_ps(box)
    check_pause(box)
    check_stats(box)


def check_update(box):
    """The manager is told as well, or it would write its own idea again."""
    r = box.call("update", "--memory", "64m", "--pids-limit", "50", "--cpu-quota", "50000", "--cpu-period", "100000",
                 box.id)
    assert r.returncode == 0, r.stderr

    def limits():
        return [(box.cgroup() / f).read_text().strip() for f in ("memory.max", "pids.max", "cpu.max")]
    assert limits() == ["67108864", "50", "50000 100000"]
    assert systemctl("daemon-reload").returncode == 0
    assert systemctl("set-property", "--runtime", UNIT, "CPUWeight=77").returncode == 0
    assert limits() == ["67108864", "50", "50000 100000"]
    told = show(UNIT, "MemoryMax", "TasksMax", "CPUQuotaPerSecUSec")
    assert told == {"MemoryMax": "67108864", "TasksMax": "50", "CPUQuotaPerSecUSec": "500ms"}


@pytest.mark.guest
def test_update_rootless(box):
    assert not IS_ROOT
    check_update(box)


@pytest.mark.guest
@pytest.mark.root
def test_update_rootful(box):
    check_update(box)
