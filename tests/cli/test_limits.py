"""Limits of resources where there is no control group, or one without controllers: what is refused, and
how; update. What the limits do is tested where there are controllers (test_limits_guest.py)."""
import pathlib
import threading

import pytest

from lib import rows

VALUES = [
    (["-m", "64q"], "--memory 64q: want a size such as 64m or 1.5g, or -1 for no limit"),
    (["-m", "4m"], "--memory 4m: the least is 6m"),
    (["-m", "64m", "--memory-swap", "32m"], "are less than the memory limit"),
    (["--memory-swap", "64m"], "--memory-swap 64m: needs --memory"),
    (["--memory-swappiness", "10"], "control groups v2 have no swappiness"),
    (["--oom-kill-disable"], "always kill when the memory limit cannot be held"),
    (["--cpus", "2", "--cpu-quota", "50000"], "--cpus and --cpu-quota exclude each other"),
    (["--cpus", "lots"], "--cpus lots: want a number of CPUs"),
    (["--cpu-period", "10"], "--cpu-period 10: want microseconds from 1000 to 1000000"),
    (["--cpuset-cpus", "9999"], "--cpuset-cpus 9999: this machine has 0"),
    (["--pids-limit", "few"], "--pids-limit few: want a number"),
    (["--device-write-bps", "/dev/null:1mb"], "/dev/null is not a block device"),
    (["--device-read-iops", "/dev/none:5"], "--device-read-iops /dev/none: No such file"),
    (["--blkio-weight", "5"], "--blkio-weight 5: want a weight from 10 to 1000"),
    (["--hugetlb", "3MB=1g"], "--hugetlb 3MB=1g: this"),
    (["--cgroup-conf", "cgroup.procs=1"], "cgroup.procs is no limit"),
    (["--cgroup-conf", "../memory.max=1"], "not CONTROLLER.FILE=VALUE"),
    (["--oom-score-adj", "2000"], "--oom-score-adj 2000: not from -1000 to 1000"),
    (["--cgroups", "maybe"], "--cgroups maybe: unknown"),
]


@rows("A46", "B5")
@pytest.mark.parametrize("flags, message", VALUES, ids=[" ".join(v[0]) for v in VALUES])
def test_values_are_checked_before_anything_is_made(rootlet, flags, message):
    r = rootlet.fails("create", *flags, rootlet.image(), "true")
    assert message in r.err
    assert rootlet.ok("ps", "-aq").out == ""


def test_update_without_a_cgroup(rootlet):
    """It was made without one: a limit is refused and nothing changes; the policy is of the record."""
    rootlet.ok("create", "--name", "c", rootlet.image(), "sleep", "100")
    before = rootlet.inspect("c")
    r = rootlet.fails("update", "-m", "64m", "c", match="update c: --memory needs a cgroup")
    assert "hint: it was made without a cgroup" in r.err
    rootlet.fails("update", "-m", "1", "c", match="the least is 6m")
    rootlet.fails("update", "c", match="nothing to change was given")
    rootlet.fails("update", match="at least 1 argument")
    rootlet.fails("update", "--restart", "never", "c", match="never")
    rootlet.ok("create", "--name", "goes", "--rm", rootlet.image(), "true")
    rootlet.fails("update", "--restart", "always", "goes", match="--restart always and --rm exclude each other")
    assert rootlet.inspect("c") == before
    assert rootlet.ok("update", "--restart", "on-failure:3", "c").out == "c\n"
    policy = rootlet.inspect("c")["HostConfig"]["RestartPolicy"]
    assert policy["Name"] == "on-failure" and policy["MaximumRetryCount"] == 3
    rootlet.fails("update", "--health-interval", "1s", "c", match="--health-interval: there is no health check")
    rootlet.ok("update", "--health-cmd", "true", "--health-interval", "1s", "--health-on-failure", "kill", "c")
    rootlet.ok("update", "--health-retries", "7", "--health-on-failure", "none", "c")
    check = rootlet.inspect("c")["Config"]["Healthcheck"]
    assert check["Test"] == ["CMD-SHELL", "true"] and check["Interval"] == 10 ** 9 and check["Retries"] == 7
    rootlet.ok("start", "c")
    rootlet.wait_for(lambda: rootlet.inspect("c")["State"]["Health"]["Status"] == "healthy")
    rootlet.ok("update", "--no-healthcheck", "c")
    rootlet.ok("update", "--restart", "no", "c")
    assert rootlet.inspect("c")["HostConfig"]["RestartPolicy"]["Name"] == "no"
    rootlet.fails("update", "--cpus", "1", "c", match="--cpus needs a cgroup")
    # What is no limit needs no group, and several names give the worst status.
    r = rootlet("update", "--pids-limit=-1", "c", "missing")
    assert r.rc == 125 and r.out == "c\n" and "no such container" in r.err
    assert rootlet.ok("update", "--cpu-quota", "0", "c").out == "c\n"


def test_inspect_has_all_keys(rootlet):
    """As docker: 0 and empty where there is no limit (B10)."""
    rootlet.ok("create", "--name", "c", "--oom-score-adj", "100", rootlet.image(), "true")
    host = rootlet.inspect("c")["HostConfig"]
    for key in ("Memory", "MemorySwap", "MemoryReservation", "NanoCpus", "CpuShares", "CpuQuota", "CpuPeriod",
                "PidsLimit", "BlkioWeight"):
        assert host[key] == 0, key
    for key in ("BlkioWeightDevice", "BlkioDeviceReadBps", "BlkioDeviceWriteBps", "BlkioDeviceReadIOps",
                "BlkioDeviceWriteIOps", "HugepageLimits"):
        assert host[key] == [], key
    assert host["CpusetCpus"] == host["CpusetMems"] == host["CgroupParent"] == ""
    assert host["CgroupConf"] == {} and host["OomKillDisable"] is False
    assert host["OomScoreAdj"] == 100 and host["Cgroups"] == "disabled"


CGROUPS = pathlib.Path("/sys/fs/cgroup")
FILE = "cgroup.max.descendants" # a limit that no controller has to be there for


def value(rootlet, name):
    return (CGROUPS / rootlet.inspect(name)["State"]["CgroupPath"].lstrip("/") / FILE).read_text().strip()


@pytest.mark.systemd
@rows("A46")
def test_what_is_not_delegated(rootlet):
    """A bed without controllers: a limit that is asked for is refused by its name with the way out, before
    anything is made; the default one is left out."""
    image = rootlet.image()
    for option, given, controller in (("--memory", "64m", "memory"), ("--memory-high", "48m", "memory"),
                                      ("--cpus", "1", "cpu"), ("--cpu-shares", "512", "cpu"),
                                      ("--cpuset-cpus", "0", "cpuset"), ("--pids-limit", "9", "pids"),
                                      ("--blkio-weight", "10", "io"), ("--cgroup-conf", "memory.oom.group=1", "memory")):
        r = rootlet.fails("run", option, given, image, "true", cgroups=None,
                          match=f"{option}: controller {controller} is not delegated to user@\\d+.service \\(has: ")
        assert 'hint: as root put "[Service]\\nDelegate=cpu cpuset io memory pids" into ' \
               "/etc/systemd/system/user@.service.d/delegate.conf" in r.err
    assert rootlet.ok("ps", "-aq").out == ""
    # What is no limit lacks nothing.
    rootlet.ok("run", "--rm", "--cpus", "0", "-m", "0", "--pids-limit=-1", image, "true", cgroups=None)
    rootlet.ok("run", "--rm", "--cpu-quota", "0", "--memory-high=-1", image, "true", cgroups=None)
    rootlet.ok("run", "-d", "--name", "c", image, "sleep", "100", cgroups=None)
    assert rootlet.inspect("c")["HostConfig"]["PidsLimit"] == 0
    r = rootlet.fails("update", "-m", "64m", "c", match="update c: --memory: controller memory is not delegated")
    assert rootlet.inspect("c")["HostConfig"]["Memory"] == 0


@pytest.mark.systemd
def test_update_of_a_running_container(rootlet):
    """At once and for the next start; many at a time; what fails changes nothing; told as an event."""
    rootlet.ok("run", "-d", "--name", "c", "--cgroup-conf", f"{FILE}=5", rootlet.image(), "sleep", "100", cgroups=None)
    assert value(rootlet, "c") == "5"
    assert rootlet.ok("update", "--cgroup-conf", f"{FILE}=7", "c").out == "c\n"
    assert value(rootlet, "c") == "7" and rootlet.inspect("c")["HostConfig"]["CgroupConf"] == {FILE: "7"}
    rootlet.fails("update", "--cgroup-conf", f"{FILE}=8", "--cgroup-conf", "cgroup.max.nonsense=1", "c",
                  match="cgroup.max.nonsense")
    assert value(rootlet, "c") == "7" and rootlet.inspect("c")["HostConfig"]["CgroupConf"] == {FILE: "7"}
    assert " container update " in rootlet.ok("events", "--stream=false", "--since", "1m").out

    threads = [threading.Thread(target=rootlet.ok, args=("update", "--cgroup-conf", f"{FILE}={n}", "c"))
               for n in range(20, 30)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    last = value(rootlet, "c")
    assert 20 <= int(last) < 30 and rootlet.inspect("c")["HostConfig"]["CgroupConf"] == {FILE: last}

    # Beside starts: whatever the order, file and configuration agree.
    for n in range(40, 46):
        rootlet.ok("stop", "-t", "0", "c")
        start = threading.Thread(target=rootlet.ok, args=("start", "c"))
        start.start()
        rootlet.ok("update", "--cgroup-conf", f"{FILE}={n}", "c")
        start.join()
        assert value(rootlet, "c") == str(n)
