"""ps, pause and resume, update, events, and mounts of a container that runs."""
import json
import os
import pathlib
import signal
import threading

import pytest

import cgrouplib as cg
import ocirun
from lib import rows, runner


@pytest.fixture
def grouped(rootlet_base, leak_audit, user):
    """Containers with a cgroup each."""
    if not ocirun.can_run("cgroup2"):
        pytest.skip("needs a suite that was started as root")
    made = ocirun.Oci("cgroup2", user, rootlet_base)
    yield made
    made.end()


def started(oci, args=("sleep", "1000"), edit=None):
    name = oci.name()
    oci.ok("run", "-d", "--bundle", oci.bundle(list(args), edit), name)
    return name


def group(oci, name):
    """The container's cgroup, from the root of the hierarchy."""
    pid = oci.state(name)["pid"]
    lines = cg.sh(f"cat /proc/{pid}/cgroup").splitlines()
    return [line[3:] for line in lines if line.startswith("0::")][0]


def controllers_of(oci, name):
    return cg.read(group(oci, name), "cgroup.controllers").split()


# --- ps ---

@rows("A10")
def test_ps(oci):
    name = started(oci, ["sh", "-c", "sleep 1000 & sleep 1000 & wait"])
    runner.wait_for(lambda: len(oci.ok("ps", "-f", "json", name).json()) == 3, 10, "three processes")
    pids = oci.ok("ps", "--format", "json", name).json()
    assert oci.state(name)["pid"] in pids and pids == sorted(pids)
    namespaces = {os.readlink(f"/proc/{p}/ns/pid") for p in pids}
    assert len(namespaces) == 1 and namespaces != {os.readlink("/proc/self/ns/pid")}
    table = oci.ok("ps", name).out.splitlines()
    column = table[0].split().index("PID")
    assert sorted(int(line.split()[column]) for line in table[1:]) == pids
    own = oci.ok("ps", name, "-A", "-o", "args,pid").out.splitlines()
    assert own[0].split() == ["COMMAND", "PID"] and len(own) == 4
    oci.fails("ps", name, "-A", "-o", "args", match="no column PID")
    oci.fails("ps", "-f", "xml", name, match="not table or json")
    oci.fails("ps", "nosuch", match="does not exist")


def test_ps_of_a_created_and_a_stopped_one(oci):
    name = oci.create(["true"])
    assert oci.ok("ps", "-f", "json", name).json() == [oci.state(name)["pid"]]
    oci.ok("start", name)
    oci.wait_for(name, "stopped")
    oci.fails("ps", name, match="not running")


# --- pause and resume ---

@rows("A10", "A47")
def test_pause_and_resume(grouped):
    oci = grouped
    bundle = oci.bundle(["sh", "-c", "i=0; while :; do i=$((i+1)); echo $i > /tmp/count; done"])
    count = bundle / "rootfs/tmp/count"
    name = oci.name()
    oci.ok("run", "-d", "--bundle", bundle, name)
    runner.wait_for(count.exists, 10, "the first number")
    oci.ok("pause", name)
    assert oci.status(name) == "paused"
    assert "frozen 1" in cg.read(group(oci, name), "cgroup.events")
    before = count.read_text()
    for _ in range(3):
        cg.sh("sleep 0.05")
    assert count.read_text() == before
    oci.fails("pause", name, match="already paused")
    oci.ok("resume", name)
    assert oci.status(name) == "running"
    runner.wait_for(lambda: count.read_text() not in ("", before), 10, "it goes on")
    oci.fails("resume", name, match="not paused")


def test_paused_container_can_be_deleted(grouped):
    name = started(grouped)
    grouped.ok("pause", name)
    grouped.ok("delete", "-f", name)
    grouped.fails("state", name, match="does not exist")


def test_created_container_can_be_paused(grouped):
    name = grouped.create(["sleep", "1000"])
    grouped.ok("pause", name)
    grouped.ok("resume", name)
    grouped.ok("start", name)
    assert grouped.status(name) == "running"


def test_without_a_cgroup(rootless):
    name = started(rootless)
    for command in (["pause", name], ["update", "--memory", "64m", name], ["events", "--stats", name],
                    ["events", name]):
        r = rootless.fails(*command, match="needs a cgroup")
        assert "hint: " in r.err, r
    rootless.ok("kill", name, "KILL")
    rootless.wait_for(name, "stopped")
    rootless.fails("pause", name, match="not running")


# --- update ---

# What this kernel has as a v2 controller: option, file, what is written, what is read.
UPDATES = [
    ("hugetlb", '{"hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}]}', "hugetlb.2MB.max", "4194304"),
    ("memory", '{"memory": {"limit": 67108864}}', "memory.max", "67108864"),
    ("pids", '{"pids": {"limit": 33}}', "pids.max", "33"),
    ("cpu", '{"cpu": {"quota": 50000, "period": 200000}}', "cpu.max", "50000 200000"),
]


@rows("A10", "A46")
def test_update_by_a_file(grouped):
    name = started(grouped)
    where, tried = group(grouped, name), 0
    for controller, text, file, want in UPDATES:
        if controller not in controllers_of(grouped, name):
            continue
        file_of = grouped.dir / "limits.json"
        file_of.write_text(text)
        grouped.ok("update", "-r", file_of, name)
        assert cg.read(where, file) == want
        grouped.ok("update", "--resources", "-", name, input=text)
        tried += 1
    if not tried:
        pytest.skip("this host has no controller of version 2 that could be tried")
    # What is kept goes with the container.
    kept = json.loads((grouped.root / name / "config.json").read_text())
    assert kept["linux"]["resources"]
    assert grouped.ok("exec", name, "sh", "-c", "echo alive").text == "alive"


@pytest.mark.parametrize("options,controller,file,want", [
    (["--memory", "64m"], "memory", "memory.max", "67108864"),
    (["--memory", "-1"], "memory", "memory.max", "max"),
    (["--memory-reservation", "1m"], "memory", "memory.low", "1048576"),
    (["--cpu-quota", "30000", "--cpu-period", "100000"], "cpu", "cpu.max", "30000 100000"),
    (["--cpu-idle", "1"], "cpu", "cpu.idle", "1"),
    (["--cpuset-cpus", "0"], "cpuset", "cpuset.cpus", "0"),
    (["--pids-limit", "20"], "pids", "pids.max", "20"),
    (["--pids-limit", "-1"], "pids", "pids.max", "max"),
])
def test_update_by_options(grouped, options, controller, file, want):
    name = started(grouped)
    if controller in controllers_of(grouped, name):
        grouped.ok("update", *options, name)
        assert cg.read(group(grouped, name), file) == want
    elif want == "max":
        grouped.ok("update", *options, name)  # there is no limit anyway
    else:
        # Never silently without the limit.
        grouped.fails("update", *options, name, match=f"the controller {controller} is not available")


def test_update_refused(grouped):
    name = started(grouped)
    grouped.fails("update", name, match="no limit is given")
    grouped.fails("update", "--memory", "much", name, match="want a size")
    grouped.fails("update", "--pids-limit", "1k", name, match="want a number")
    grouped.fails("update", "--l3-cache-schema", "L3:0=f", name, match="Intel RDT is not supported")
    grouped.fails("update", "--mem-bw-schema", "MB:0=9", name, match="Intel RDT is not supported")
    grouped.fails("update", "-r", "-", name, input='{"memory": {"limit": "x"}}', match="memory.limit")
    grouped.fails("update", "-r", "-", name, input="[]", match="want an object")
    grouped.fails("update", "-r", "/nosuch", name, match="/nosuch")
    grouped.fails("update", "--memory", "1g", "nosuch", match="does not exist")


def test_update_does_not_widen_devices(grouped):
    name = started(grouped)
    grouped.ok("update", "-r", "-", name, input='{"devices": [{"allow": true, "access": "rwm"}]}')
    kept = json.loads((grouped.root / name / "config.json").read_text())
    assert "devices" not in kept["linux"].get("resources", {})


# --- events ---

@rows("A10", "A47")
def test_stats(grouped):
    name = started(grouped)
    lines = grouped.ok("events", "--stats", name).out.splitlines()
    event = json.loads(lines[0])
    assert len(lines) == 1 and event["type"] == "stats" and event["id"] == name
    data = event["data"]
    assert data["pids"]["current"] == 1 or "pids" not in controllers_of(grouped, name)
    assert data["cpu"]["usage"]["total"] > 0
    # What containerd and podman read of it.
    assert {"cpu", "memory", "pids", "blkio", "hugetlb", "intel_rdt", "network_interfaces"} <= set(data)


def test_events_end_with_the_container(grouped):
    name = started(grouped)
    p = grouped.spawn("events", "--interval", "50ms", name)
    for _ in range(3):
        event = json.loads(p.stdout.readline())
        assert event["type"] == "stats" and event["id"] == name
    grouped.ok("kill", name, "KILL")
    rest, err = p.communicate(timeout=60)
    assert p.returncode == 0 and err == "", (rest, err)
    grouped.fails("events", "--stats", name, match="not running")
    grouped.fails("events", "--interval", "0", name, match="more than 0")


def test_events_tell_of_want_of_memory(grouped):
    if "memory" not in cg.controllers():
        pytest.skip("cgroup v2 has no memory controller here")

    def edit(c):
        c["linux"]["resources"] = {"memory": {"limit": 32 << 20, "swap": 32 << 20}}
    bundle = grouped.bundle("until [ -e /tmp/go ]; do sleep 0.05; done; tail /dev/zero", edit)
    name = grouped.name()
    grouped.ok("run", "-d", "--bundle", bundle, name)
    p = grouped.spawn("events", "--interval", "100ms", name)
    p.stdout.readline()  # it watches
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(p.stdout))
    reader.start()
    (bundle / "rootfs/tmp/go").touch()
    assert p.wait(120 * runner.PATIENCE) == 0
    reader.join(60)
    assert {"type": "oom", "id": name} in [json.loads(line) for line in lines]


def test_events_stop_when_nobody_reads(grouped):
    name = started(grouped)
    p = grouped.spawn("events", "--interval", "20ms", name)
    p.stdout.readline()
    p.stdout.close()
    assert p.wait(60) in (1, -signal.SIGPIPE, 128 + signal.SIGPIPE)


# --- mounts ---

def mounts_file(oci, *mounts, whole=True):
    path = oci.dir / "mounts.json"
    path.write_text(json.dumps({"mounts": list(mounts)} if whole else list(mounts)))
    path.chmod(0o644)
    return path


def with_tmp(c):
    """The root file system may belong to somebody else."""
    c["mounts"].append({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"})


@rows("B48")
def test_mounts_add_and_remove(oci):
    name = started(oci, edit=with_tmp)
    source = oci.dir / "source"
    source.mkdir()
    (source / "file").write_text("from outside")
    for p in (source, source / "file"):
        p.chmod(0o755)
    file = mounts_file(
        oci, {"destination": "/tmp/data", "type": "bind", "source": str(source), "options": ["bind", "ro"]},
        {"destination": "/tmp/scratch", "type": "tmpfs", "source": "tmpfs", "options": ["size=1m", "noexec"]},
        {"destination": "/tmp/one", "type": "bind", "source": str(source / "file"), "options": ["bind"]})
    oci.ok("mounts", "add", name, file)
    script = "cat /tmp/data/file /tmp/one; touch /tmp/data/x || echo ro; touch /tmp/scratch/x && echo rw; grep -c ' /tmp/scratch tmpfs' /proc/mounts"
    assert oci.ok("exec", name, "sh", "-c", script).out == "from outsidefrom outsidero\nrw\n1\n"
    host_mounts = pathlib.Path("/proc/self/mountinfo").read_text()
    assert "/tmp/scratch" not in host_mounts and "/tmp/one" not in host_mounts
    kept = json.loads((oci.root / name / "config.json").read_text())
    assert [m["destination"] for m in kept["mounts"]][-3:] == ["/tmp/data", "/tmp/scratch", "/tmp/one"]
    # An array by itself, and by standard input: the destinations are enough.
    oci.ok("mounts", "remove", name, "-", input='[{"destination": "/tmp/data"}, {"destination": "/tmp/one"}]')
    assert oci.ok("exec", name, "sh", "-c", "ls /tmp/data; cat /tmp/one; grep -c /tmp/scratch /proc/mounts").out == "1\n"
    assert (source / "file").read_text() == "from outside"
    oci.ok("mounts", "remove", name, mounts_file(oci, {"destination": "/tmp/scratch"}, whole=False))
    oci.fails("mounts", "remove", name, mounts_file(oci, {"destination": "/tmp/scratch"}), match="nothing is mounted there")


@pytest.mark.parametrize("where", ["/", "/proc", "/sys", "/dev", "/proc/kcore", "/proc/sys", "/proc/sys/net", "/dev/../proc"])
def test_what_protects_the_host_stays(rootless, where):
    name = started(rootless)
    rootless.fails("mounts", "remove", name, mounts_file(rootless, {"destination": where}), match="protects the host")


@rows("B49")
def test_mounts_refused(rootless):
    name = started(rootless)
    for text, message in (("{}", "want an array of mounts"), ("[]", "want an array of mounts"),
                          ('[{"type": "tmpfs"}]', "mounts[0].destination"),
                          ('[{"destination": "/x", "type": 1}]', "mounts[0].type"),
                          ('[{"destination": "/x", "type": "bind", "source": "/nosuch", "options": ["bind"]}]',
                           'source "/nosuch" does not exist')):
        rootless.fails("mounts", "add", name, "-", input=text, match=message)
    rootless.fails("mounts", "add", "nosuch", "-", input="[]", match="does not exist")
    rootless.ok("kill", name, "KILL")
    rootless.wait_for(name, "stopped")
    rootless.fails("mounts", "add", name, "-", input="[]", match="not running")


def test_mount_target_cannot_leave_the_container(oci):
    """A link that the container has made leads to a place inside."""
    name = started(oci, edit=with_tmp)
    outside = oci.dir / "outside"
    outside.mkdir()
    oci.ok("exec", name, "busybox", "ln", "-s", str(outside), "/tmp/link")
    oci.ok("exec", name, "busybox", "ln", "-s", "/../../../../../..", "/tmp/up")
    file = mounts_file(oci, {"destination": "/tmp/link", "type": "tmpfs", "source": "tmpfs"},
                       {"destination": f"/tmp/up{outside}/x", "type": "tmpfs", "source": "tmpfs"})
    r = oci("mounts", "add", name, file)
    assert not list(outside.iterdir()) and str(outside) not in pathlib.Path("/proc/self/mountinfo").read_text()
    if r.rc == 0:
        # The same path inside, which it had to make.
        assert f" {outside} tmpfs" in oci.ok("exec", name, "cat", "/proc/mounts").out
