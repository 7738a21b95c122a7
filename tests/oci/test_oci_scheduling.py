"""How the payload runs: scheduler, I/O priority, personality, processors, memory policy."""
import json
import os

import pytest

from lib import rows


def stat_field(text, n):
    """Field n of proc_pid_stat(5)."""
    return int(text.rsplit(")", 1)[1].split()[n - 3])


@rows("A10")
def test_scheduler(oci):
    r = oci.run(["cat", "/proc/self/stat"],
                lambda c: c["process"].update(scheduler={"policy": "SCHED_BATCH", "nice": 19}), rc=0)
    assert stat_field(r.out, 19) == 19 and stat_field(r.out, 41) == os.SCHED_BATCH


@rows("A10")
def test_scheduler_flags(oci):
    def edit(c):
        c["process"]["scheduler"] = {"policy": "SCHED_BATCH", "nice": 19, "flags": ["SCHED_FLAG_RESET_ON_FORK"]}
    name = oci.create(["true"], edit)
    assert os.sched_getscheduler(oci.state(name)["pid"]) == os.SCHED_BATCH | os.SCHED_RESET_ON_FORK


@rows("A10")
def test_realtime(rootful):
    def edit(c):
        c["process"]["scheduler"] = {"policy": "SCHED_FIFO", "priority": 5}
    r = rootful.run(["cat", "/proc/self/stat"], edit)
    if r.rc:
        assert "process.scheduler: Operation not permitted" in r.err
        pytest.skip("this host gives no realtime time")
    assert stat_field(r.out, 40) == 5 and stat_field(r.out, 41) == os.SCHED_FIFO


@rows("A10")
def test_deadline(rootful):
    def edit(c):
        c["process"]["scheduler"] = {"policy": "SCHED_DEADLINE", "runtime": 10 ** 6, "deadline": 10 ** 8,
                                     "period": 10 ** 8}
    r = rootful.run(["cat", "/proc/self/stat"], edit)
    if r.rc:
        assert "process.scheduler: " in r.err
        pytest.skip("this host gives no deadlines")
    assert stat_field(r.out, 41) == 6


@rows("A10")
def test_io_priority(oci):
    """ionice of the host asks for the class of the created process: it is set before start."""
    name = oci.create(["true"], lambda c: c["process"].update(
        ioPriority={"class": "IOPRIO_CLASS_IDLE", "priority": 0}))
    pid = oci.state(name)["pid"]
    assert os.popen(f"ionice -p {pid}").read().startswith("idle")


@rows("A10")
def test_personality(oci):
    r = oci.run(["cat", "/proc/self/personality"],
                lambda c: c["linux"].update(personality={"domain": "LINUX32"}), rc=0)
    assert r.out == "00000008\n"


@rows("B49")
def test_personality_flags_are_refused(rootless):
    bundle = rootless.bundle(["true"], lambda c: c["linux"].update(
        personality={"domain": "LINUX", "flags": ["ADDR_NO_RANDOMIZE"]}))
    rootless.fails("create", "-b", bundle, "x", match="linux.personality.flags")


def allowed(text):
    line = next(line for line in text.splitlines() if line.startswith("Cpus_allowed_list:"))
    return line.split()[1]


def exec_process(affinity):
    return json.dumps({"args": ["cat", "/proc/self/status"], "cwd": "/", "env": ["PATH=/bin"],
                       "user": {"uid": 0, "gid": 0}, "execCPUAffinity": affinity})


@rows("A10")
def test_affinity_of_exec(oci):
    """execCPUAffinity is of exec alone; "final" stays, "initial" is inherited where nothing resets it."""
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        pytest.skip("one processor")
    name = oci.create(["cat", "/proc/self/status"], lambda c: c["process"].update(
        execCPUAffinity={"initial": str(cpus[0]), "final": str(cpus[1])}))
    out = oci.created
    oci.ok("start", name)
    oci.wait_for(name, "stopped")
    assert len(allowed(out.later())) > 1
    oci.ok("delete", name)

    name = oci.create(["sleep", "1000"])
    oci.ok("start", name)
    process = oci.dir / "process.json"
    for affinity, want in (({"final": str(cpus[1])}, str(cpus[1])),
                           ({"initial": str(cpus[1]), "final": str(cpus[0])}, str(cpus[0])),
                           ({"initial": str(cpus[1])}, str(cpus[1]))):
        process.write_text(exec_process(affinity))
        r = oci.ok("exec", "--process", process, name)
        assert allowed(r.out) == want
    process.write_text(exec_process({"final": "9999-9"}))
    assert oci("exec", "--process", process, name).rc != 0


@rows("A10")
def test_memory_policy(rootful):
    def edit(c):
        c["linux"]["memoryPolicy"] = {"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}
    r = rootful.run("grep -m1 . /proc/self/numa_maps", edit)
    if "Function not implemented" in r.err or "numa_maps" in r.err:
        pytest.skip("a kernel without NUMA")
    assert r.rc == 0 and " bind=static:0" in r.out
    bundle = rootful.bundle(["true"], lambda c: c["linux"].update(
        memoryPolicy={"mode": "MPOL_BIND", "nodes": "4000"}))
    rootful.fails("create", "-b", bundle, "x", match="linux.memoryPolicy")


@rows("B49")
def test_intel_rdt_is_refused(rootful):
    bundle = rootful.bundle(["true"], lambda c: c["linux"].update(intelRdt={"closID": "guaranteed"}))
    rootful.fails("create", "-b", bundle, "x", match="linux.intelRdt: not supported")
