"""Limits of a scope's container, in a machine that has the controllers (A46, A47)."""
import pytest
import scopelib
from scopelib import Bundle, show, systemctl, units

pytestmark = [pytest.mark.guest]
MIB = 1 << 20
INFINITY = "infinity"


@pytest.fixture
def bundle(tmp_path):
    b = Bundle(tmp_path)
    yield b
    b.delete()
    assert units() == []


def files(b, *names):
    return {n: (b.cgroup() / n).read_text().strip() for n in names}


ALL = {
    "memory": {"limit": 64 * MIB, "swap": 96 * MIB, "reservation": 16 * MIB},
    "cpu": {"shares": 2048, "quota": 25000, "period": 50000, "cpus": "0-1", "mems": "0"},
    "pids": {"limit": 33},
    "unified": {"memory.high": str(48 * MIB)},
}
IN_FILES = {"memory.max": str(64 * MIB), "memory.swap.max": str(32 * MIB),
            "memory.low": str(16 * MIB), "memory.high": str(48 * MIB), "cpu.max": "25000 50000",
            "cpuset.cpus": "0-1", "cpuset.mems": "0", "pids.max": "33"}
AS_PROPERTIES = {"MemoryMax": str(64 * MIB), "MemorySwapMax": str(32 * MIB),
                 "MemoryLow": str(16 * MIB), "MemoryHigh": str(48 * MIB),
                 "CPUQuotaPerSecUSec": "500ms", "CPUQuotaPeriodUSec": "50ms", "AllowedCPUs": "0-1",
                 "AllowedMemoryNodes": "0", "TasksMax": "33"}


def check_limits(bundle):
    bundle.config["linux"]["resources"] = ALL
    bundle.start()
    assert files(bundle, *IN_FILES) == IN_FILES
    weight = files(bundle, "cpu.weight")["cpu.weight"]
    assert 100 < int(weight) < 300
    assert show("rootlet-c1.scope", *AS_PROPERTIES, "CPUWeight") == {**AS_PROPERTIES,
                                                                     "CPUWeight": weight}
    # A manager that reads its files again applies what it knows.
    assert systemctl("daemon-reload").returncode == 0
    assert files(bundle, *IN_FILES, "cpu.weight") == {**IN_FILES, "cpu.weight": weight}


def test_limits_are_in_files_and_properties(bundle):
    check_limits(bundle)


@pytest.mark.root
def test_limits_of_the_system(bundle):
    check_limits(bundle)


def test_update(bundle):
    bundle.config["linux"]["resources"] = ALL
    bundle.start()
    r = bundle.call("update", "--memory", str(128 * MIB), "--memory-swap", str(128 * MIB),
                    "--pids-limit", "-1", "--cpu-quota", "-1", bundle.id)
    assert r.returncode == 0, r.stderr
    want = {"memory.max": str(128 * MIB), "memory.swap.max": "0", "pids.max": "max",
            "cpuset.cpus": "0-1"}
    assert files(bundle, *want) == want
    assert files(bundle, "cpu.max")["cpu.max"].startswith("max ")
    told = show("rootlet-c1.scope", "MemoryMax", "MemorySwapMax", "TasksMax", "CPUQuotaPerSecUSec")
    assert told == {"MemoryMax": str(128 * MIB), "MemorySwapMax": "0", "TasksMax": INFINITY,
                    "CPUQuotaPerSecUSec": INFINITY}
    assert systemctl("daemon-reload").returncode == 0
    assert files(bundle, *want) == want


def test_memory_that_runs_out(bundle):
    """The container is ended, its scope did not fail and is gone."""
    bundle.config["linux"]["resources"] = {"memory": {"limit": 24 * MIB, "swap": 24 * MIB}}
    bundle.args("sh", "-c", "head -c 200000000 /dev/zero | tail -c 150000000 | head -c 1; "
                            "cat /sys/fs/cgroup/memory.events")
    bundle.config["mounts"] = [m for m in bundle.config["mounts"]
                               if m["destination"] != "/sys/fs/cgroup"]
    bundle.config["mounts"].append({"destination": "/sys/fs/cgroup", "type": "cgroup",
                                    "source": "cgroup", "options": ["ro"]})
    r = bundle.run()
    count = [line.split()[1] for line in r.stdout.splitlines() if line.startswith("oom_kill ")]
    assert count and int(count[0]) >= 1, (r.stdout, r.stderr)
    assert units() == []
    assert systemctl("--failed", "--plain", "--no-legend").stdout == ""


def test_processes_that_are_too_many(bundle):
    bundle.config["linux"]["resources"] = {"pids": {"limit": 6}}
    bundle.args("sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 3 & done; wait")
    r = bundle.run()
    assert "fork" in r.stderr


def test_subgroup_has_the_limits(bundle):
    bundle.config["annotations"] = {"run.oci.systemd.subgroup": "inner"}
    bundle.config["linux"]["resources"] = {"pids": {"limit": 12}, "memory": {"limit": 64 * MIB}}
    bundle.start()
    path = bundle.cgroup()
    assert path.parts[-2:] == ("rootlet-c1.scope", "inner")
    assert files(bundle, "pids.max", "memory.max") == {"pids.max": "12",
                                                       "memory.max": str(64 * MIB)}
    assert scopelib.CGROUPS in path.parents
