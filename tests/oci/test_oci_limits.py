"""Limits of rootlet-oci where all controllers are: what is in the files of the group, and what it
does to the processes (A39, A40, A46, A47). In a machine only (tests/vm/run-tests)."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

import pytest

import cgrouplib as cg

pytestmark = [pytest.mark.guest, pytest.mark.root]

MIB = 1 << 20


@pytest.fixture
def base():
    group = f"/rltest-limits-{os.getpid()}"
    cg.sh('mkdir "/sys/fs/cgroup$1"', group)
    yield group
    cg.sh('find "/sys/fs/cgroup$1" -depth -type d -exec rmdir {} +', group)


@pytest.fixture
def oci(tmp_path, base):  # pylint: disable=unused-argument  # ends before it
    o = cg.Oci("rootlet-oci", tmp_path / "oci")
    yield o
    o.end()


@pytest.fixture
def disk(base):  # pylint: disable=unused-argument  # ends before it
    """A runtime with its bundles on a disk, and MAJOR:MINOR of that."""
    top = pathlib.Path(tempfile.mkdtemp(prefix="rl", dir="/var/tmp"))
    dev = os.stat(top).st_dev
    number = f"{os.major(dev)}:{os.minor(dev)}"
    assert pathlib.Path(f"/sys/dev/block/{number}").exists(), "/var/tmp is on no disk"
    o = cg.Oci("rootlet-oci", top / "oci")
    yield o, number
    o.end()
    shutil.rmtree(top)


def keyed(text):
    return dict(line.split(None, 1) for line in text.splitlines())


def event(group, name, file="memory.events"):
    return int(keyed(cg.read(group, file))[name])


FILES = [
    ({"memory": {"limit": 64 * MIB, "swap": 96 * MIB, "reservation": 32 * MIB}},
     {"memory.max": str(64 * MIB), "memory.swap.max": str(32 * MIB), "memory.low": str(32 * MIB)}),
    ({"memory": {"limit": 64 * MIB, "swap": 64 * MIB}},
     {"memory.max": str(64 * MIB), "memory.swap.max": "0"}),
    ({"memory": {"limit": 64 * MIB}}, {"memory.max": str(64 * MIB), "memory.swap.max": "max"}),
    ({"memory": {"limit": -1}}, {"memory.max": "max", "memory.swap.max": "max"}),
    ({"cpu": {"quota": 20000, "period": 50000, "burst": 10000}},
     {"cpu.max": "20000 50000", "cpu.max.burst": "10000"}),
    ({"cpu": {"quota": 0}}, {"cpu.max": "max 100000"}),
    ({"cpu": {"quota": -1, "period": 50000}}, {"cpu.max": "max 50000"}),
    ({"cpu": {"period": 50000}}, {"cpu.max": "max 50000"}),
    ({"cpu": {"quota": 30000}}, {"cpu.max": "30000 100000"}),
    ({"cpu": {"idle": 1}}, {"cpu.idle": "1"}),
    ({"cpu": {"cpus": "1", "mems": "0"}}, {"cpuset.cpus": "1", "cpuset.mems": "0"}),
    ({"pids": {"limit": 33}}, {"pids.max": "33"}),
    ({"pids": {"limit": -1}}, {"pids.max": "max"}),
    ({"unified": {"memory.high": str(32 * MIB), "pids.max": "44", "cgroup.max.depth": "3"},
      "pids": {"limit": 5}},
     {"memory.high": str(32 * MIB), "pids.max": "44", "cgroup.max.depth": "3"}),
]


@pytest.mark.rows("A46", "A47")
@pytest.mark.parametrize("peer", ["rootlet-oci", "crun", "runc"])
def test_files(tmp_path, base, peer):
    """The others write the same, so clients see no difference."""
    runtime = cg.Oci(peer, tmp_path / peer)
    for i, (resources, want) in enumerate(FILES):
        cpu = resources.get("cpu", {})
        if peer == "crun" and resources in ({"cpu": {"quota": 0}}, {"memory": {"limit": -1}}):
            continue  # nothing written, which in a fresh group is the same
        if peer == "runc" and ("burst" in cpu or "idle" in cpu):
            continue  # releases before 1.2 do not know these
        runtime.start("x", cg.config("sleep", "1000", path=f"{base}/{runtime.group_name}{i}", resources=resources))
        got = {name: cg.read(f"{base}/{runtime.group_name}{i}", name) for name in want}
        assert runtime.delete("x").rc == 0
        assert got == want, resources


@pytest.mark.rows("A46")
def test_shares_become_a_weight(oci, base):
    for shares, weight in ((2, "1"), (512, "59"), (1024, "100"), (262144, "10000")):
        oci.start("x", cg.config("sleep", "1000", path=f"{base}/x", resources={"cpu": {"shares": shares}}))
        assert cg.read(f"{base}/x", "cpu.weight") == weight
        oci.delete("x")


@pytest.mark.rows("A47")
def test_memory_and_the_oom_killer(oci, base):
    limits = {"memory": {"limit": 24 * MIB, "swap": 24 * MIB}}
    script = "dd if=/dev/zero of=/dev/null bs=60M count=1; echo after $?; sleep 1000"
    oci.start("x", cg.config("sh", "-c", script, path=f"{base}/x", resources=limits))
    assert cg.until(lambda: event(f"{base}/x", "oom_kill") >= 1)
    assert oci.of("x")["status"] == "running"  # the greedy one died, the first process did not
    stats = json.loads(oci.ok("events", "--stats", "x").out)["data"]["memory"]
    assert stats["usage"]["limit"] == 24 * MIB and stats["usage"]["failcnt"] > 0
    assert stats["swap"]["limit"] == 24 * MIB
    # When the first process is the one, the container ends as by SIGKILL.
    oci.delete("x")
    r = oci.run("y", cg.config("dd", "if=/dev/zero", "of=/dev/null", "bs=60M", "count=1",
                               path=f"{base}/y", resources=limits))
    assert r.rc == 128 + 9, r


@pytest.mark.rows("A47", "B5")
def test_pids(oci, base):
    """The fork bomb stops at the limit."""
    bomb = "i=0; while [ $i -lt 40 ]; do sleep 1000 & i=$((i+1)); done"
    oci.start("x", cg.config("sh", "-c", f"sh -c '{bomb}'; exec sleep 1000", path=f"{base}/x", resources={"pids": {"limit": 8}}))
    assert cg.until(lambda: event(f"{base}/x", "max", "pids.events") >= 1)
    assert int(cg.read(f"{base}/x", "pids.current")) <= 8
    stats = json.loads(oci.ok("events", "--stats", "x").out)["data"]["pids"]
    assert stats["limit"] == 8 and 2 <= stats["current"] <= 8


def cpu_share_used(group, seconds=2.0):
    def usage():
        return int(keyed(cg.read(group, "cpu.stat"))["usage_usec"])
    first, began = usage(), time.monotonic()
    time.sleep(seconds)
    last, ended = usage(), time.monotonic()
    return (last - first) / 1e6 / (ended - began)


@pytest.mark.rows("A47")
def test_cpu_quota_and_its_update(oci, base):
    spin = "while :; do :; done & while :; do :; done"
    oci.start("x", cg.config("sh", "-c", spin, path=f"{base}/x",
                             resources={"cpu": {"quota": 20000, "period": 100000}}))
    assert cpu_share_used(f"{base}/x") < 0.35
    stats = json.loads(oci.ok("events", "--stats", "x").out)["data"]["cpu"]
    assert stats["throttling"]["throttledPeriods"] > 0 and stats["throttling"]["throttledTime"] > 0
    assert stats["usage"]["total"] > 0
    # Live, and what is not named stays.
    oci.ok("update", "--cpu-period", "50000", "x")
    assert cg.read(f"{base}/x", "cpu.max") == "20000 50000"
    oci.ok("update", "--cpu-quota", "-1", "x")
    assert cg.read(f"{base}/x", "cpu.max") == "max 50000"
    assert cpu_share_used(f"{base}/x") > 0.6


@pytest.mark.rows("A47")
def test_cpuset(oci, base):
    r = oci.run("x", cg.config("sh", "-c", "grep Cpus_allowed_list /proc/self/status", path=f"{base}/x",
                               resources={"cpu": {"cpus": "1"}}))
    assert r.out.split()[-1] == "1", r


@pytest.mark.rows("A47")
def test_io(disk, base):
    oci, number = disk
    major, minor = map(int, number.split(":"))
    device = {"major": major, "minor": minor}
    resources = {"blockIO": {"throttleWriteBpsDevice": [dict(device, rate=MIB)],
                             "throttleReadIOPSDevice": [dict(device, rate=5000)]}}
    script = "dd if=/dev/zero of=/tmp/f bs=64k count=64 conv=fsync 2>/dev/null; echo written"
    began = time.monotonic()
    r = oci.run("x", cg.config("sh", "-c", script, path=f"{base}/x", resources=resources))
    assert r.text == "written", r
    assert time.monotonic() - began > 2.5  # 4 MiB at 1 MiB/s
    oci.start("y", cg.config("sleep", "1000", path=f"{base}/y", resources=resources))
    assert cg.read(f"{base}/y", "io.max") == f"{number} rbps=max wbps=1048576 riops=5000 wiops=max"
    oci.ok("update", "--resources", "/dev/stdin", "y", input_text=json.dumps(
        {"blockIO": {"weight": 500, "throttleWriteBpsDevice": [dict(device, rate=0)]}}))
    assert cg.read(f"{base}/y", "io.max") == f"{number} rbps=max wbps=max riops=5000 wiops=max"
    bfq, weight = cg.read(f"{base}/y", "io.bfq.weight"), cg.read(f"{base}/y", "io.weight")
    assert "default 500" in (bfq or "") or "default 4950" in (weight or "")


@pytest.mark.rows("A46")
def test_update(oci, base):
    oci.start("x", cg.config("sleep", "1000", path=f"{base}/x", resources={
        "memory": {"limit": 64 * MIB, "swap": 96 * MIB}, "cpu": {"quota": 50000}, "pids": {"limit": 20}}))

    def files():
        return [cg.read(f"{base}/x", f) for f in ("memory.max", "memory.swap.max", "cpu.max", "pids.max")]

    oci.ok("update", "--pids-limit", "30", "x")
    assert files() == [str(64 * MIB), str(32 * MIB), "50000 100000", "30"]
    oci.ok("update", "--memory", str(80 * MIB), "x")
    assert files()[:2] == [str(80 * MIB), str(32 * MIB)]
    oci.ok("update", "--memory-swap", str(90 * MIB), "x")  # together with what memory has
    assert files()[:2] == [str(80 * MIB), str(10 * MIB)]
    oci.ok("update", "--cpu-quota", "10000", "--cpu-burst", "5000", "x")
    oci.ok("update", "--cpu-quota", "4000", "--cpu-burst", "2000", "x")  # both lower
    oci.ok("update", "--cpu-quota", "40000", "--cpu-burst", "20000", "x")  # both higher
    assert files()[2] == "40000 100000" and cg.read(f"{base}/x", "cpu.max.burst") == "20000"
    oci.ok("update", "--memory", "-1", "--pids-limit", "-1", "--cpu-quota", "0", "x")
    assert files() == ["max", "max", "max 100000", "max"]
    r = oci("update", "--memory", str(MIB), "--memory-swap", "4096", "x")
    assert r.rc != 0 and "memory and swap together" in r.err, r
    r = oci("update", "--resources", "/dev/stdin", "x", input_text=json.dumps(
        {"memory": {"limit": 4096, "checkBeforeUpdate": True}}))
    assert r.rc != 0 and "in use, and checkBeforeUpdate" in r.err, r
    assert files()[0] == "max"


@pytest.mark.rows("B42")
def test_pause(oci, base):
    oci.start("x", cg.config("sh", "-c", "while :; do :; done", path=f"{base}/x"))
    oci.ok("pause", "x")
    assert oci.of("x")["status"] == "paused"
    assert keyed(cg.read(f"{base}/x", "cgroup.events"))["frozen"] == "1"
    assert cpu_share_used(f"{base}/x", 1) == 0
    oci.ok("resume", "x")
    assert oci.of("x")["status"] == "running"
    assert cpu_share_used(f"{base}/x", 1) > 0.1
    oci.ok("pause", "x")
    assert oci.delete("x").rc == 0
    assert not cg.exists(f"{base}/x")


def test_stats_agree_with_the_files(disk, base):
    oci = disk[0]
    oci.start("x", cg.config("sh", "-c", "dd if=/dev/zero of=/tmp/f bs=1M count=8; sync; sleep 1000",
                             path=f"{base}/x", resources={"memory": {"limit": 256 * MIB}}))
    assert cg.until(lambda: int(keyed(cg.read(f"{base}/x", "memory.stat"))["file"]) >= 8 * MIB)
    data = json.loads(oci.ok("events", "--stats", "x").out)
    assert (data["type"], data["id"]) == ("stats", "x")
    memory, raw = data["data"]["memory"], data["data"]["memory"]["raw"]
    assert memory["usage"]["limit"] == 256 * MIB and memory["usage"]["usage"] >= 8 * MIB
    assert raw["file"] >= 8 * MIB and set(keyed(cg.read(f"{base}/x", "memory.stat"))) == set(raw)
    assert set(data["data"]) >= {"cpu", "cpuset", "memory", "pids", "blkio", "hugetlb"}
    assert set(data["data"]["cpu"]["psi"]["some"]) == {"avg10", "avg60", "avg300", "total"}
    assert data["data"]["cpuset"]["cpus"] == [0, 1]
    assert cg.until(lambda: any(e["op"] == "Write" and e["value"] >= 8 * MIB for e in json.loads(
        oci.ok("events", "--stats", "x").out)["data"]["blkio"].get("ioServiceBytesRecursive", [])))


@pytest.mark.rows("A46")
def test_stats_as_runc_prints_them(oci, base, tmp_path):
    """The members that both have, of containers that do the same."""
    runc = cg.Oci("runc", tmp_path / "runc")
    spec = cg.config("sleep", "1000", resources={"memory": {"limit": 64 * MIB}, "pids": {"limit": 9}})
    data = []
    for runtime in (runc, oci):
        spec["linux"]["cgroupsPath"] = f"{base}/{runtime.group_name}"
        runtime.start("x", spec)
        data.append(json.loads(runtime.ok("events", "--stats", "x").out)["data"])
        runtime.delete("x")
    theirs, ours = data

    def kind(v):
        return "number" if isinstance(v, (int, float)) else type(v).__name__

    def compare(a, b, where):
        for key, value in a.items():
            if key in ("raw", "psi", "percpu", "percpu_kernel", "percpu_user"):
                continue
            assert key in b or value in (0, None), f"{where}.{key} is missing"
            if key in b and isinstance(value, dict):
                compare(value, b[key], f"{where}.{key}")
            elif key in b and b[key] is not None and value is not None:
                assert kind(value) == kind(b[key]), f"{where}.{key}"

    compare(theirs, ours, "data")
    assert theirs["memory"]["usage"]["limit"] == ours["memory"]["usage"]["limit"] == 64 * MIB
    assert theirs["memory"]["swap"]["limit"] == ours["memory"]["swap"]["limit"]
    assert theirs["pids"]["limit"] == ours["pids"]["limit"] == 9


def test_exec_counts_and_is_found(oci, base):
    """A process that exec adds is in the group, under its limits."""
    oci.start("x", cg.config("sleep", "1000", path=f"{base}/x", resources={"pids": {"limit": 4}}))
    r = oci.ok("exec", "x", "sh", "-c", "grep '^0::' /proc/self/cgroup; cat /sys/fs/cgroup/pids.max")
    assert r.out.split() == ["0::/", "4"], r
    cg.sh('mkdir "/sys/fs/cgroup$1/x/sub"', base)
    r = oci.ok("exec", "--cgroup", "/sub", "x", "sh", "-c", "cat /proc/self/cgroup | tail -1")
    assert r.text.endswith("/sub"), r
    r = oci("exec", "--cgroup", "../..", "x", "true")
    assert r.rc != 0 and "not allowed" in r.err, r


@pytest.mark.rows("A46")
def test_limits_of_a_delegated_group(tmp_path_factory, base, user):
    """An ordinary user with a group of theirs: the controllers in it, and the way to the others."""
    top = tmp_path_factory.mktemp("rl")
    for parent in (top, *top.parents[:2]):
        parent.chmod(0o755)
    # cpuset ends above it, whatever the tests before have switched on.
    cg.sh('echo "+memory +pids +cpuset" > /sys/fs/cgroup/cgroup.subtree_control;'
          'echo "+memory +pids -cpuset" > "/sys/fs/cgroup$1/cgroup.subtree_control";'
          'd="/sys/fs/cgroup$1/user"; mkdir "$d" "$d/own"; chown -R "$2" "$d"', base, user.uid)
    oci = cg.Oci("rootlet-oci", top / "oci", user=user, inside=f"{base}/user/own")
    try:
        limits = {"memory": {"limit": 64 * MIB}, "pids": {"limit": 20}}
        spec = cg.config("sleep", "1000", resources=limits, userns=(user.uid, user.gid))
        spec["process"].pop("capabilities")
        oci.start("x", spec)
        assert [cg.read(f"{base}/user/x", f) for f in ("memory.max", "pids.max")] == [str(64 * MIB), "20"]
        oci.ok("update", "--pids-limit", "30", "x")
        assert cg.read(f"{base}/user/x", "pids.max") == "30"
        spec["linux"]["resources"] = {"cpu": {"cpus": "0"}}
        r = oci.create("y", spec)
        assert r.rc != 0 and "the controller cpuset is not available" in r.err, r
        assert "Delegate=cpu cpuset io memory pids" in r.err, r
        assert not cg.exists(f"{base}/user/y")
    finally:
        oci.end()


def test_no_group_is_left_by_twenty(oci, base):
    bundle = oci.bundle(cg.config("true", path=f"{base}/many", resources={"pids": {"limit": 9}}))
    for i in range(20):
        oci.ok("run", "--bundle", bundle, f"c{i}")
        assert not cg.exists(f"{base}/many")
    assert subprocess.run(["pgrep", "-x", "rootlet-oci"], check=False).returncode == 1


def test_device_rules_as_crun(oci, base, tmp_path):
    """Without rules crun restricts nothing; O_RDWR of a node with two rules of one letter each it
    refuses."""
    other = cg.Oci("crun", tmp_path / "crun")
    for name, rules in cg.RULES.items():
        if rules is None:
            continue
        theirs, ours = cg.answers(other, base, rules), cg.answers(oci, base, rules)
        if name == "two":
            assert theirs.pop("fuse rw") == "no" and ours.pop("fuse rw") == "yes"
        assert ours == theirs, name
