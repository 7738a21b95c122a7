"""Every limit by its file and by what it does, in a machine that has the controllers. One container
proves many: a command costs a second there."""
import json
import os
import pathlib
import pwd
import re
import subprocess
import tempfile
import time

import pytest

from lib import rows

pytestmark = [pytest.mark.guest]
MIB = 1 << 20
CGROUPS = pathlib.Path("/sys/fs/cgroup")


@pytest.fixture
def run(rootlet):
    """Commands with cgroups, as the driver that is found gives them."""
    class Run:
        image = rootlet.image()

        @staticmethod
        def ok(*args, **kw):
            return rootlet.ok(*args, cgroups=None, **kw)

        @staticmethod
        def fails(*args, **kw):
            return rootlet.fails(*args, cgroups=None, **kw)

        @staticmethod
        def inspect(name):
            return rootlet.ok("inspect", name, cgroups=None).json()[0]

        @staticmethod
        def call(*args, **kw):
            return rootlet(*args, cgroups=None, **kw)
    return Run


class Group:
    """The files of a running container's cgroup."""

    def __init__(self, run, name):
        self.state = run.inspect(name)["State"]
        self.dir = CGROUPS / self.state["CgroupPath"].lstrip("/")

    def __getitem__(self, file):
        return (self.dir / file).read_text().strip()

    def files(self, *names):
        return {n: self[n] for n in names}

    def value(self, file, key):
        return int(next(line.split()[1] for line in self[file].splitlines() if line.split()[0] == key))


def disk_of(path):
    """The disk (no partition of it) that a directory lies on: its node and its number."""
    dev = os.stat(path).st_dev
    assert os.major(dev), path
    number = f"{os.major(dev)}:{os.minor(dev)}"
    device = pathlib.Path(f"/sys/dev/block/{number}").resolve()
    if (device / "partition").exists():
        device = device.parent
        number = (device / "dev").read_text().strip()
    return f"/dev/{device.name}", number


LIMITS = ["-m", "64m", "--memory-high", "48m", "--memory-reservation", "16m", "--memory-swap", "96m",
          "--cpus", ".5", "-c", "512", "--cpuset-cpus", "0", "--cpuset-mems", "0", "--pids-limit", "20",
          "--cgroup-conf", "memory.oom.group=1", "--oom-score-adj", "500"]
IN_FILES = {"memory.max": str(64 * MIB), "memory.high": str(48 * MIB), "memory.low": str(16 * MIB),
            "memory.swap.max": str(32 * MIB), "cpu.max": "50000 100000", "cpuset.cpus": "0",
            "cpuset.mems": "0", "pids.max": "20", "memory.oom.group": "1"}


@rows("A38", "A39", "A40", "A42", "B5", "B10", "B15")
def test_all_limits(run):
    """In the files, as seen from inside, in inspect; changed while it runs, and kept for the next run."""
    disk, number = disk_of("/home")
    run.ok("run", "-d", "--name", "c", *LIMITS, "--device-write-bps", f"{disk}:1mb", "--device-read-iops",
           f"{disk}:100", run.image, "sleep", "1000")
    group = Group(run, "c")
    assert group.dir.parent.name == f"rootlet-{run.inspect('c')['Id']}.scope" and group.dir.name == "container"
    assert group.files(*IN_FILES) == IN_FILES
    assert 15 <= int(group["cpu.weight"]) <= 60 # 512 shares
    assert group["io.max"] == f"{number} rbps=max wbps=1048576 riops=100 wiops=max"
    assert str(group.state["Pid"]) in group["cgroup.procs"].split()

    r = run.call("exec", "c", "sh", "-c", "nproc; grep Cpus_allowed_list /proc/1/status; cat /proc/1/cgroup"
                    " /proc/1/oom_score_adj; for i in $(seq 30); do sleep 20 >/dev/null 2>&1 & done")
    assert "can't fork" in r.err and r.out.splitlines() == ["1", "Cpus_allowed_list:\t0", "0::/", "500"]
    assert group.value("pids.events", "max") > 0 and int(group["pids.current"]) <= 20

    host = run.inspect("c")["HostConfig"]
    want = {"Memory": 64 * MIB, "MemorySwap": 96 * MIB, "MemoryReservation": 16 * MIB, "NanoCpus": 500000000,
            "CpuQuota": 50000, "CpuPeriod": 100000, "CpuShares": 512, "CpusetCpus": "0", "CpusetMems": "0",
            "PidsLimit": 20, "OomScoreAdj": 500, "BlkioDeviceWriteBps": [{"Path": disk, "Rate": MIB}],
            "BlkioDeviceReadIOps": [{"Path": disk, "Rate": 100}], "Cgroups": "systemd"}
    assert {k: host[k] for k in want} == want
    assert host["CgroupConf"] == {"memory.oom.group": "1", "memory.high": str(48 * MIB)}

    # What is not given stays, the sum of memory and swap too; what cannot be leaves all as it was.
    assert run.ok("update", "-m", "80m", "--cpus", "1.5", "--pids-limit=-1", "--cpuset-cpus", "0-1",
                  "--device-write-bps", f"{disk}:2mb", "c").out == "c\n"
    changed = {**IN_FILES, "memory.max": str(80 * MIB), "memory.swap.max": str(16 * MIB), "pids.max": "max",
               "cpu.max": "150000 100000", "cpuset.cpus": "0-1"}
    assert group.files(*changed) == changed
    assert "wbps=2097152 riops=100" in group["io.max"]
    run.ok("update", "--memory-swap", "112m", "c")
    changed["memory.swap.max"] = str(32 * MIB)
    assert group.files(*changed) == changed
    run.fails("update", "-m", "128m", "c", match="are less than the memory limit")
    run.fails("update", "--cpus", "1", "--device-write-iops", f"{disk}:7", "--cgroup-conf", "memory.none=1", "c",
              match="memory.none")
    assert group.files(*changed) == changed and "wiops=max" in group["io.max"]
    run.ok("restart", "-t", "0", "c")
    again = Group(run, "c")
    assert again.files(*changed) == changed and "wbps=2097152 riops=100" in again["io.max"]
    assert run.inspect("c")["HostConfig"]["PidsLimit"] == 0


@rows("A40", "A46")
def test_cpu_quota_holds(run):
    """Half a CPU is at most 55 percent of one, and what an update gives counts at once; 0 is no limit."""
    run.ok("run", "-d", "--name", "c", "--cpu", "50000 100000", run.image, "sh", "-c", "while :; do :; done")
    group = Group(run, "c")

    def usage(seconds):
        start, used = time.monotonic(), group.value("cpu.stat", "usage_usec")
        time.sleep(seconds)
        return (group.value("cpu.stat", "usage_usec") - used) / 1e6 / (time.monotonic() - start)

    assert group["cpu.max"] == "50000 100000"
    time.sleep(0.3)
    assert 0.40 <= usage(4) <= 0.55
    run.ok("update", "--cpus", ".2", "c")
    assert usage(2) <= 0.25
    run.ok("update", "--cpu-quota", "0", "c")
    assert group["cpu.max"] == "max 100000"
    assert usage(2) > 0.3
    run.ok("rm", "-f", "-t", "0", "c")
    assert run.ok("run", "--rm", "--cpu-quota", "0", "--cgroupns", "host", run.image, "cat", "/proc/self/cgroup"
                  ).text.endswith(".scope/container")


@rows("A39", "A46", "B5")
def test_memory(run):
    """Who takes more than the limit is killed, swap is none by default; without limits there are none
    but that of processes."""
    run.ok("run", "-d", "--name", "c", "-m", "32m", run.image, "sleep", "1000")
    group = Group(run, "c")
    assert group.files("memory.max", "memory.swap.max", "memory.high", "pids.max") == {
        "memory.max": str(32 * MIB), "memory.swap.max": "0", "memory.high": "max", "pids.max": "2048"}
    assert run.call("exec", "c", "tail", "/dev/zero", timeout=60).rc == 137
    assert group.value("memory.events", "oom_kill") == 1
    assert group.value("memory.events", "high") == 0
    assert run.call("run", "--rm", "-m", "32m", run.image, "tail", "/dev/zero", timeout=60).rc == 137
    run.ok("run", "-d", "--name", "free", "--pids-limit=-1", run.image, "sleep", "1000")
    free = Group(run, "free")
    assert free.files("memory.max", "memory.swap.max", "pids.max", "cpu.max") == {
        "memory.max": "max", "memory.swap.max": "max", "pids.max": "max", "cpu.max": "max 100000"}


@rows("A41")
def test_writes_to_a_disk(run):
    """Three MiB at one MiB a second, past the page cache: at most 1.2 MiB a second."""
    home = pathlib.Path(pwd.getpwuid(os.getuid()).pw_dir)
    disk, _ = disk_of(home)
    with tempfile.TemporaryDirectory(dir=home) as area:
        r = run.ok("run", "--rm", "-v", f"{area}:/area", "--device-write-bps", f"{disk}:1mb", run.image, "sh", "-c",
                   "read a b </proc/uptime; dd if=/dev/zero of=/area/f bs=64k count=48 oflag=direct;"
                   "read c d </proc/uptime; echo $a $c")
    assert "48+0 records out" in r.err
    begin, end = map(float, r.out.split())
    assert 3 / (end - begin) <= 1.2, r.out


def test_parent_weight_and_specification(run, tmp_path):
    """A slice above, weights of I/O, and the limits of a configuration in OCI form."""
    run.ok("run", "-d", "--name", "c", "--cgroup-parent", "rltest.slice", "--blkio-weight", "300", run.image,
           "sleep", "1000")
    group = Group(run, "c")
    assert group.dir.parent.parent.name == "rltest.slice"
    file = "io.bfq.weight" if (group.dir / "io.bfq.weight").exists() else "io.weight"
    assert group[file].startswith("default ") and group[file] != "default 100"
    host = run.inspect("c")["HostConfig"]
    assert host["CgroupParent"] == "rltest.slice" and host["BlkioWeight"] == 300
    run.fails("run", "--cgroup-parent", "../x", run.image, "true", match="--cgroup-parent.*../x")

    spec = run.ok("spec").json()
    spec["root"]["path"] = "/"
    spec["process"]["args"] = ["sleep", "1000"]
    spec["linux"]["resources"] = {"memory": {"limit": 40 * MIB}, "unified": {"pids.max": "77"}}
    path = tmp_path / "config.json"
    path.write_text(json.dumps(spec))
    run.ok("run", "-d", "--name", "s", "--spec", path, "--cpus", "2")
    group = Group(run, "s")
    assert group.files("memory.max", "pids.max", "cpu.max") == {
        "memory.max": str(40 * MIB), "pids.max": "77", "cpu.max": "200000 100000"}


@rows("A46", "A37")
def test_what_is_not_delegated(run):
    """An error that names the option, the controller, where it is missing and the way out, and nothing
    is made."""
    r = run.fails("run", "-d", "--name", "c", "--hugetlb", "2MB=64m", run.image, "sleep", "1000",
                  match=f"--hugetlb: controller hugetlb is not delegated to user@{os.getuid()}.service")
    assert 'hint: systemd does not delegate hugetlb: as root write "+hugetlb" to cgroup.subtree_control' in r.err
    run.fails("run", "--cgroups=disabled", "-m", "64m", run.image, "true", match="--memory needs a cgroup")
    assert run.ok("ps", "-aq").out == ""
    assert run.ok("run", "--rm", "--cgroups=disabled", run.image, "true").err == ""


DROP_IN = pathlib.Path("/etc/systemd/system/user@.service.d/delegate.conf")
OTHER = 1001


def session_of_other(script):
    """A shell of the user "other", whose manager runs."""
    return subprocess.run(["setpriv", f"--reuid={OTHER}", f"--regid={OTHER}", "--init-groups", "env", "-i",
                           "PATH=/job/build:/usr/bin:/bin:/usr/sbin:/sbin", "HOME=/home/other",
                           f"XDG_RUNTIME_DIR=/run/user/{OTHER}", "bash", "-c", script],
                          capture_output=True, text=True, check=False)


@pytest.fixture
def manager_of_other():
    """The manager of "other" gets memory and pids only, as an administrator may have it; hugetlb, which
    systemd does not delegate, by hand."""
    def call(*argv):
        subprocess.run(argv, check=True)
    before = DROP_IN.read_text()
    DROP_IN.write_text("[Service]\nDelegate=\nDelegate=memory pids\n") # lists add up
    call("systemctl", "daemon-reload")
    call("systemctl", "start", f"user@{OTHER}.service")
    groups = ["", "user.slice", f"user-{OTHER}.slice"]
    for i in range(len(groups)):
        (CGROUPS / "/".join(groups[1:i + 1]) / "cgroup.subtree_control").write_text("+hugetlb")
    yield
    DROP_IN.write_text(before)
    call("systemctl", "daemon-reload")
    call("systemctl", "stop", f"user@{OTHER}.service")


@pytest.mark.root
@pytest.mark.usefixtures("manager_of_other")
def test_default_limit_without_its_controller():
    """Nobody asked for the default limit of processes: a container starts without it when the controller is taken away
    after it was made. A limit that was asked for is no longer there, and that is an error."""
    rootfs = "--rootfs ~/t /bin/busybox sleep 99"
    r = session_of_other("mkdir -p ~/t/bin && cp /bin/busybox ~/t/bin/ && for n in default later; do "
                         f"rootlet create --name $n {rootfs} || exit; done; rootlet update --pids-limit 60 later && "
                         f"rootlet create --name asked --pids-limit 50 {rootfs} && rootlet start default && "
                         "cat /sys/fs/cgroup/$(rootlet inspect -f '{{.State.CgroupPath}}' default)/pids.max && "
                         "rootlet stop -t 0 default")
    assert r.returncode == 0 and "\n2048\n" in r.stdout, r
    slice_ = CGROUPS / "user.slice" / f"user-{OTHER}.slice"
    for file in sorted(slice_.rglob("cgroup.subtree_control"), key=lambda f: -len(f.parts)):
        file.write_text("-pids")
    r = session_of_other("rootlet start default; echo $?; ls /sys/fs/cgroup/$(rootlet inspect -f "
                         "'{{.State.CgroupPath}}' default)/pids.max; rootlet start asked; echo $?; rootlet start later; "
                         "echo $?; rootlet rm -f -t 0 -a >/dev/null; rm -rf ~/t ~/.local/share/rootlet")
    assert r.stdout == "default\n0\n125\n125\n", r
    assert r.stderr.count("pids.limit: the controller pids is not available") == 2, r


@pytest.mark.root
@rows("A46", "A47")
@pytest.mark.usefixtures("manager_of_other")
def test_controllers_of_another_user():
    """Users' pain 7: the error names option, controller, unit, what is there, and the file that mends it."""
    r = session_of_other("mkdir -p ~/t/bin && cp /bin/busybox ~/t/bin/ && rootlet run --cpus .5 --name c --rootfs"
                         " ~/t /bin/busybox true; echo $?; rootlet ps -aq;"
                         " rootlet run -d --name h --memory 64m --hugetlb 2MB=64m --rootfs ~/t /bin/busybox sleep 99"
                         " >/dev/null; cat /sys/fs/cgroup/$(rootlet inspect -f '{{.State.CgroupPath}}' h)/"
                         "{memory.max,hugetlb.2MB.max,hugetlb.2MB.rsvd.max}; rootlet rm -f -t 0 h;"
                         " rm -rf ~/t ~/.local/share/rootlet")
    assert r.stdout == f"125\n{64 * MIB}\n{64 * MIB}\n{64 * MIB}\nh\n", r
    has = re.search(r"has: ([a-z ]*)", r.stderr)
    assert has and sorted(has[1].split()) == ["hugetlb", "memory", "pids"], r
    assert r.stderr.startswith(
        f"Error: --cpus: controller cpu is not delegated to user@{OTHER}.service ({has[0]})\n"
        'hint: as root put "[Service]\\nDelegate=cpu cpuset io memory pids" into '
        "/etc/systemd/system/user@.service.d/delegate.conf, systemctl daemon-reload, log in anew\n"), r.stderr
