"""Requirement rows that belong to no single command: what the whole is made of, what other people's
runtimes make of its files, and that the checks of the protections notice when one is missing."""
import json
import os
import re
import shutil
import subprocess
import time

import pytest

from lib import host, rows

LIBRARIES = r"lib(c|m|dl|pthread|jansson|seccomp|archive|crypto|z|zstd|isal)\b|ld-linux|linux-vdso"
SANITIZER_LIBRARIES = r"lib(asan|ubsan|lsan|tsan|stdc\+\+|gcc_s)\b"


# ---- what it is made of ---------------------------------------------------------------------------

@rows("A3", "B21")
@pytest.mark.parametrize("program", host.PROGRAMS)
def test_programs_are_native_without_an_interpreter(rootlet_base, program):
    path = rootlet_base / "bin" / program
    with open(path, "rb") as f:
        assert f.read(4) == b"\x7fELF"
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", host.run("readelf", "-d", str(path)))
    known = LIBRARIES + ("|" + SANITIZER_LIBRARIES if host.SANITIZERS else "")
    # Only who speaks to the manager, beside the start of a container.
    known += r"|libsystemd\b" if program == "rootlet-scope" else ""
    known += r"|libslirp\b" if program == "rootlet-slirp" else ""
    known += r"|libcurl\b" if program == "rootlet-registry" else ""
    assert [lib for lib in needed if not re.match(known, lib)] == []
    if program == "rootlet-init":
        assert needed == [] or host.SANITIZERS


def strace(rootlet, log, *args):
    """Calls of a command and of all it starts: (pid, line) in their order."""
    if not host.is_root():
        pytest.skip("strace keeps setuid helpers working only when root runs it (-u)")
    argv = ["strace", "-f", "-qq", "-s", "200", "-u", rootlet.user.name, "-o", str(log),
            rootlet.program, *args]
    r = subprocess.run(argv, env=rootlet.environment(), cwd=rootlet.user.home, capture_output=True,
                       text=True, timeout=120, stdin=subprocess.DEVNULL, check=False)
    assert r.returncode == 0, r.stderr
    calls = []
    for line in log.read_text(errors="replace").splitlines():
        pid, _, call = line.partition(" ")
        if "resumed>" not in call:
            calls.append((pid, call.strip()))
    return calls


@pytest.mark.root
@pytest.mark.skipif(host.SANITIZERS, reason="the leak sanitizer does not work under strace")
@rows("B7", "B12", "B21", "A21", "A23")
def test_launch_order_and_the_programs_of_a_start(rootlet, tmp_path):
    """create the process, maps, namespaces, hostname, root, capabilities, filter, exec."""
    calls = strace(rootlet, tmp_path / "log", "run", "--rm", rootlet.image(), "true")
    started = [re.match(r'execve\("([^"]*)"', c)[1] for _, c in calls if c.startswith("execve(")]
    helpers = {"rootlet", "rootlet-supervise", "newuidmap", "newgidmap"}
    assert {os.path.basename(p) for p in started[:-1]} <= helpers, started
    assert started[-1] == "/bin/true"
    payload = [pid for pid, c in calls if c.startswith('execve("/bin/true"')][0]
    flags = "".join(c for pid, c in calls if "CLONE_NEWUSER" in c)
    assert flags.startswith(("clone3(", "clone("))
    own = [c for pid, c in calls if pid == payload]
    created = flags + "".join(c for c in own if c.startswith("unshare("))
    for kind in ("USER", "PID", "NS", "UTS", "IPC", "NET"):
        assert f"CLONE_NEW{kind}" in created, kind
    wanted = ["setresuid(0, 0, 0)", "move_mount(", "pivot_root(", "umount2(", "prctl(PR_CAPBSET_DROP",
              "capset(", "seccomp(SECCOMP_SET_MODE_FILTER", "execve("]
    at = -1
    for call in wanted:
        later = [i for i, c in enumerate(own) if i > at and c.startswith(call)]
        assert later, f"{call} is missing after {own[at] if at >= 0 else 'the start'}"
        at = later[-1] if call in ("move_mount(", "prctl(PR_CAPBSET_DROP") else later[0]
    # The filter is the last thing but exec; nothing is mounted after the old root has gone.
    last = [c for c in own if c.startswith(("capset(", "pivot_root(", "move_mount(", "sethostname("))]
    assert last[-1].startswith("capset(")


@pytest.mark.skipif(host.SANITIZERS, reason="sanitizers take more memory than the program")
@rows("B22")
def test_a_container_costs_little(rootlet):
    """One process beside the container, of less than 1.5 MB; a start within a quarter of a second."""
    name = rootlet.ok("run", "-d", rootlet.image(), "sleep", "60").text
    pid = rootlet.inspect(name)["State"]["Pid"]
    with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
        supervisor = int(f.read().rpartition(")")[2].split()[1])
    with open(f"/proc/{supervisor}/comm", encoding="utf-8") as f:
        assert f.read().startswith("rootlet-superv")
    with open(f"/proc/{supervisor}/smaps_rollup", encoding="utf-8") as f:
        pss = int(re.search(r"^Pss:\s+(\d+) kB", f.read(), re.M)[1])
    assert pss < 1536
    beside = [line for p, line in rootlet.user.processes().items()
              if p not in (pid, supervisor) and str(rootlet.store.root) in line]
    assert beside == []
    times = [rootlet.ok("run", "--rm", rootlet.image(), "true").seconds for _ in range(5)]
    assert min(times) < 0.25


# ---- commands as a whole ---------------------------------------------------------------------------

@rows("A67")
def test_help_names_every_command(rootlet):
    text = rootlet.ok("--help").out
    for command in ("create", "start", "exec", "stop", "delete", "list", "run", "logs", "load"):
        assert re.search(rf"^  {command}\b", text, re.M), command
        assert rootlet.ok(command, "--help").out.strip()


@rows("A7", "A67", "A68", "B20", "A64", "B40")
def test_a_life(rootlet):
    """created, running, stopped, running again, exited, deleted; what was written stays till then."""
    def status():
        state = rootlet.inspect("c")["State"]
        return state["Status"], state["Pid"]
    rootlet.ok("create", "--name", "c", rootlet.image(), "sh", "-c",
               "echo boot; trap 'exit 5' USR1; trap 'exit 0' TERM; while :; do sleep 0.05; done")
    assert status() == ("created", 0)
    rootlet.ok("start", "c")
    running, first = status()
    assert running == "running" and os.path.exists(f"/proc/{first}")
    rootlet.ok("exec", "c", "sh", "-c", "echo kept > /file; hostname > /name")
    upper = rootlet.inspect("c")["GraphDriver"]["Data"]["UpperDir"]
    assert os.path.exists(f"{upper}/file")
    rootlet.ok("stop", "-t", "10", "c")
    ended = rootlet.inspect("c")["State"]
    assert ended["Status"] in ("stopped", "exited") and ended["ExitCode"] == 0
    assert not os.path.exists(f"/proc/{first}")
    rootlet.ok("start", "c")
    second = status()[1]
    rootlet.ok("restart", "-t", "10", "c")
    running, third = status()
    assert running == "running" and len({first, second, third}) == 3
    assert rootlet.ok("exec", "c", "cat", "/file").text == "kept"
    rootlet.wait_for(lambda: rootlet.ok("logs", "c").out.count("boot") == 3, what="the third boot")
    rootlet.ok("kill", "-s", "USR1", "c")
    assert rootlet.ok("wait", "c").text == "5"
    assert status() == ("exited", 0)
    rootlet.ok("delete", "c")
    assert not os.path.exists(upper)
    rootlet.fails("inspect", "c", match="no such")


@rows("B37", "A32")
def test_rm_flag_leaves_nothing(rootlet):
    def tree():
        return sorted(str(p) for top in (rootlet.store.root, rootlet.store.runroot)
                      for p in top.rglob("*") if "/diff/" not in str(p))
    rootlet.ok("run", "--rm", rootlet.image(), "true")
    before = tree()
    rootlet.ok("run", "--rm", rootlet.image(), "sh", "-c", "echo x > /x; mkdir -p /a/b; rm /etc/motd")
    rootlet("run", "--rm", rootlet.image(), "nosuch", rc=127)
    rootlet.wait_for(lambda: tree() == before, what="the same files as before")
    with open("/proc/self/mountinfo", encoding="utf-8") as f:
        assert str(rootlet.store.root) not in f.read()


# ---- limits, without a cgroup controller -----------------------------------------------------------

LIMITS = [("--memory", "64m"), ("--memory-reservation", "10m"), ("--memory-high", "10m"),
          ("--cpus", ".5"), ("--cpu-shares", "512"),
          ("--cpu-quota", "50000"), ("--cpu-period", "100000"), ("--cpuset-cpus", "0"),
          ("--cpuset-mems", "0"), ("--pids-limit", "20"), ("--device-write-bps", "/dev/vda:1mb")]


@rows("B5", "B10", "B15")
@pytest.mark.parametrize("flag, value", [*LIMITS, ("-m", "64m"), ("-c", "512"), ("--cpu", ".5")])
@pytest.mark.parametrize("command", ["run", "create"])
def test_limits_are_known_and_never_ignored(rootlet, command, flag, value):
    """Without a cgroup a limit is refused by its name; a value that makes no sense even before."""
    long = {"-m": "--memory", "-c": "--cpu-shares", "--cpu": "--cpus"}.get(flag, flag)
    r = rootlet.fails(command, flag, value, rootlet.image(), "true")
    assert r.err.startswith(f"Error: {long} needs a cgroup, and cgroups are disabled"), r
    assert "unset ROOTLET_CGROUPS" in r.err
    assert rootlet.ok("ps", "-aq").out == ""


@rows("B5", "B10")
def test_what_makes_no_sense_is_told_before_what_the_host_lacks(rootlet):
    """--memory-swap is memory and swap together: alone it is a mistake on every host."""
    rootlet.fails("run", "--memory-swap", "1g", rootlet.image(), "true", match="needs --memory\n")
    r = rootlet.fails("run", "-m", "64m", "--memory-swap", "1g", rootlet.image(), "true")
    assert r.err.startswith("Error: --memory-swap needs a cgroup, and cgroups are disabled"), r


@rows("B5")
def test_the_hint_names_what_has_disabled_cgroups(rootlet):
    run = ("run", "-m", "64m", rootlet.image(), "true")
    r = rootlet.fails(*run[:1], "--cgroups=disabled", *run[1:])
    assert "hint: leave out the limit, or --cgroups=disabled;" in r.err
    r = rootlet.fails("--cgroups=disabled", *run, env={"ROOTLET_CGROUPS": ""})
    assert "rootlet.conf, or --cgroups before the command" in r.err


@rows("B10")
def test_limits_have_their_place_in_the_record(rootlet):
    name = rootlet.ok("create", rootlet.image(), "true").text
    got = rootlet.ok("inspect", "-f", "{{.HostConfig.CpuShares}} {{.HostConfig.Memory}} "
                     "{{.HostConfig.PidsLimit}}", name).text
    assert got == "0 0 0"


@rows("B5")
@pytest.mark.parametrize("resources", [{"memory": {"limit": 1 << 26}}, {"pids": {"limit": 20}},
                                       {"cpu": {"shares": 512}}])
def test_limits_of_a_spec_are_not_ignored_either(rootlet, spec, resources):
    spec.doc["linux"]["resources"] = resources
    rootlet.fails("run", "--rm", "--spec", spec.write(), rootlet.image(), "true", match="linux.resources")


# ---- OCI -------------------------------------------------------------------------------------------

class Spec:
    """The configuration that create writes, to be changed and given back with --spec."""

    def __init__(self, rootlet, *words):
        name = rootlet.ok("create", *words).text
        self.path = rootlet.user.home / "spec.json"
        with open(rootlet.store.root / "containers" / name / "config.json", encoding="utf-8") as f:
            self.doc = json.load(f)
        self.doc["mounts"] = [m for m in self.doc["mounts"] if m["type"] != "bind"]
        rootlet.ok("rm", name)

    def without_namespace(self, kind):
        linux = self.doc["linux"]
        linux["namespaces"] = [n for n in linux["namespaces"] if n["type"] != kind]
        return self

    def write(self):
        self.path.write_text(json.dumps(self.doc))
        self.path.chmod(0o644)
        return self.path


@pytest.fixture
def spec(rootlet):
    made = Spec(rootlet, rootlet.image(), "true")
    yield made
    made.path.unlink(missing_ok=True)


PROBE = "id -u; hostname; cat /proc/self/uid_map; grep CapEff /proc/self/status; ls /dev; pwd; ps"


@pytest.mark.root
@rows("A10", "B51", "B55")
@pytest.mark.parametrize("flags", [
    (), ("--hostname", "zz", "-w", "/opt", "-u", "1000", "--cap-drop", "ALL", "--read-only"),
    ("--userns", "keep-id", "--ulimit", "nofile=50:60", "--tmpfs", "/t", "--init")])
def test_crun_runs_the_configuration(rootlet, images, flags):
    """As it was written, but for root.path: an overlay is mounted by no OCI runtime itself."""
    if not shutil.which("crun"):
        pytest.skip("crun is not installed (make check installs it)")
    name = rootlet.ok("create", *flags, rootlet.image(), "sh", "-c", PROBE).text
    bundle = rootlet.user.home / "bundle"
    tree = bundle / "tree"
    tree.mkdir(parents=True)
    host.run("tar", "-C", str(tree), "-xf", str(busybox_tar(images)))
    with open(rootlet.store.root / "containers" / name / "config.json", encoding="utf-8") as f:
        doc = json.load(f)
    doc["root"]["path"] = str(tree)
    (bundle / "config.json").write_text(json.dumps(doc))
    host.run("chown", "-Rh", f"{rootlet.user.uid}:{rootlet.user.gid}", str(bundle))
    # crun wants the unified hierarchy to be where it belongs.
    script = ("mount --make-rprivate / && umount -l /sys/fs/cgroup && "
              "mount -t cgroup2 none /sys/fs/cgroup && "
              'exec setpriv --reuid "$1" --regid "$2" --clear-groups '
              'crun --cgroup-manager=disabled --root "$3" run -b "$4" c')
    r = subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", str(rootlet.user.uid),
                        str(rootlet.user.gid), f"{rootlet.user.runtime}/crun", str(bundle)],
                       env=rootlet.environment(), capture_output=True, text=True, timeout=60, check=False)
    shutil.rmtree(bundle)
    shutil.rmtree(rootlet.user.runtime / "crun", ignore_errors=True)
    assert r.returncode == 0, r.stderr
    ours = rootlet.ok("start", "-a", name).out

    def stable(text):
        # Inode times and pids of ps differ, and with an init of ours so does the list.
        return text[:text.index("PID ")]
    assert stable(r.stdout).split() == stable(ours).split()


def busybox_tar(images):
    path = images.dir / "busybox-tree.tar"
    with host.locked(images.dir / ".lock-busybox-tree"):
        if not path.exists():
            from lib.images import busybox_layer
            busybox_layer().write(path)
    return path


@rows("B23", "B48")
def test_the_mechanism_adds_no_policy(rootlet, spec):
    """What a configuration leaves out is not there: masks, limits and namespaces come from it alone."""
    linux = spec.doc["linux"]
    linux["maskedPaths"] = linux["readonlyPaths"] = []
    linux["sysctl"] = {}
    for kind in ("network", "ipc", "uts", "cgroup"):
        spec.without_namespace(kind)
    del spec.doc["hostname"]
    spec.doc["mounts"] = [{"destination": "/proc", "type": "proc", "source": "proc"}]
    caps = spec.doc["process"]["capabilities"]
    for which in caps:
        caps[which] = ["CAP_KILL", "CAP_SYS_ADMIN"]
    spec.doc["process"]["env"] = ["ONLY=this", "PATH=/bin"]
    script = ("for n in net ipc uts; do readlink /proc/self/ns/$n; done; grep CapEff /proc/self/status;"
              "grep ^Seccomp: /proc/self/status; cut -d' ' -f2 /proc/mounts; export")
    out = rootlet.ok("run", "--rm", "--spec", spec.write(), rootlet.image(), "sh", "-c", script).text
    for ns in ("net", "ipc", "uts"):
        assert os.readlink(f"/proc/self/ns/{ns}") in out, ns
    assert "CapEff:\t0000000000200020" in out and "Seccomp:\t0" in out
    # The devices are what the specification promises to every container.
    mounts = sorted(m for m in re.findall(r"^/\S*$", out, re.M) if not m.startswith("/dev/"))
    assert mounts == ["/", "/proc"]
    assert "ONLY=" in out and "HOSTNAME" not in out


# ---- protections, and checks that notice when one is gone ------------------------------------------

def user_namespace_protects(run):
    """Inside root is outside nobody in particular: no file of the host's root opens."""
    uid = run("cat", "/proc/self/uid_map").split()[1]
    return uid != "0"


def mapped_root(run):
    return run("sh", "-c", "id -u").strip() == "0"


def filter_is_on(run):
    return "Seccomp:\t2" in run("cat", "/proc/self/status")


def own_network(run):
    return os.readlink("/proc/self/ns/net") != run("readlink", "/proc/self/ns/net").strip()


def loopback_only(run):
    return run("ls", "/sys/class/net").split() == ["lo"]


def few_capabilities(run):
    return int(re.search(r"CapBnd:\t(\w+)", run("cat", "/proc/self/status"))[1], 16) == 0x800405fb


def own_processes(run):
    return run("sh", "-c", "echo $$").strip() == "1"


def own_hostname(run):
    return os.readlink("/proc/self/ns/uts") != run("readlink", "/proc/self/ns/uts").strip()


def own_ipc(run):
    return os.readlink("/proc/self/ns/ipc") != run("readlink", "/proc/self/ns/ipc").strip()


def own_cgroup_view(run):
    return os.readlink("/proc/self/ns/cgroup") != run("readlink", "/proc/self/ns/cgroup").strip()


def kernel_files_are_masked(run):
    return run("sh", "-c", "cat /proc/timer_list /proc/keys 2>/dev/null | wc -c").strip() == "0"


def kernel_settings_are_read_only(run):
    return "ro," in run("sh", "-c", "grep ' /proc/sys ' /proc/mounts || true")


def no_new_privileges(run):
    return "NoNewPrivs:\t1" in run("cat", "/proc/self/status")


SECCOMP = {"defaultAction": "SCMP_ACT_ALLOW",
           "syscalls": [{"names": ["swapon"], "action": "SCMP_ACT_ERRNO"}]}


def drop_seccomp(spec):
    del spec.doc["linux"]["seccomp"]


def drop_caps(spec):
    for names in spec.doc["process"]["capabilities"].values():
        names.append("CAP_NET_ADMIN")


def drop_namespace(kind):
    def drop(spec):
        spec.without_namespace(kind)
        if kind == "uts":
            del spec.doc["hostname"]
        if kind == "network":
            spec.doc["linux"].pop("sysctl", None)
            spec.doc["mounts"] = [m for m in spec.doc["mounts"] if m["type"] != "sysfs"]
        if kind == "ipc":
            spec.doc["mounts"] = [m for m in spec.doc["mounts"] if m["type"] != "mqueue"]
    return drop


def drop_list(name):
    def drop(spec):
        spec.doc["linux"][name] = []
    return drop


def drop_nnp(spec):
    spec.doc["process"]["noNewPrivileges"] = False


def keep_nnp(spec):
    spec.doc["process"]["noNewPrivileges"] = True


PROTECTIONS = [
    (filter_is_on, drop_seccomp), (few_capabilities, drop_caps),
    (own_network, drop_namespace("network")), (own_hostname, drop_namespace("uts")),
    (own_ipc, drop_namespace("ipc")), (own_cgroup_view, drop_namespace("cgroup")),
    (kernel_files_are_masked, drop_list("maskedPaths")),
    (kernel_settings_are_read_only, drop_list("readonlyPaths")), (no_new_privileges, drop_nnp),
]


@rows("B53", "B15", "B54", "A24")
@pytest.mark.parametrize("check, drop", PROTECTIONS, ids=[c.__name__ for c, _ in PROTECTIONS])
def test_a_check_fails_without_its_protection(rootlet, spec, check, drop):
    def run(*words):
        return rootlet.ok("run", "--rm", "--spec", spec.write(), rootlet.image(), *words).out
    spec.doc["linux"]["seccomp"] = SECCOMP
    keep_nnp(spec)
    assert check(run)
    drop(spec)
    assert not check(run)


@rows("B53", "B15", "B29")
@pytest.mark.parametrize("check, flags", [
    (filter_is_on, ("--security-opt", "seccomp=unconfined")), (few_capabilities, ("--privileged",)),
    (own_network, ("--network", "host")), (loopback_only, ("--network", "host")),
    (own_processes, ("--pid", "host")), (own_hostname, ("--uts", "host")), (own_ipc, ("--ipc", "host")),
    (kernel_files_are_masked, ("--privileged",)), (mapped_root, ("--userns", "keep-id")),
], ids=lambda x: getattr(x, "__name__", None))
def test_defaults_protect_and_flags_take_it_away(rootlet, check, flags):
    def run(*words):
        return rootlet.ok("run", "--rm", *options, rootlet.image(), *words).out
    if check is loopback_only and os.listdir("/sys/class/net") == ["lo"]:
        pytest.skip("the host has no other interface either")
    options = ()
    assert check(run)
    options = flags
    assert not check(run)


@rows("B53", "B24", "A14")
def test_user_namespace_protects_files_of_the_host(rootlet, spec):
    """Root's file stays closed. Without a user namespace nothing starts at all for an ordinary user."""
    def run(*words):
        return rootlet.ok("run", "--rm", "--spec", spec.write(), rootlet.image(), *words).out
    assert user_namespace_protects(run)
    r = rootlet("run", "--rm", "-v", "/etc/shadow:/shadow", rootlet.image(), "cat", "/shadow")
    assert r.rc != 0 and "Permission denied" in r.err and r.out == ""


@rows("B53", "B6", "A30")
def test_overlay_protects_the_image(rootlet, images):
    """The same command on a plain directory does change it."""
    def unharmed(*where):
        rootlet.ok("run", "--rm", *where, "rm", "/etc/motd")
        return rootlet("run", "--rm", *where, "cat", "/etc/motd").out == "from the image\n"
    tree = rootlet.user.home / "tree"
    tree.mkdir()
    rootlet.user.made and os.chown(tree, rootlet.user.uid, rootlet.user.gid)
    rootlet.shell(f"tar -C {tree} -xf {busybox_tar(images)}")
    assert unharmed(rootlet.image())
    assert not unharmed("--rootfs", tree)
    shutil.rmtree(tree)


@rows("B27")
def test_even_privileged_is_no_root_of_the_host(rootlet):
    """No kernel modules, no block devices, no clock, no files that the user could not read."""
    script = ("insmod /bin/busybox; mknod /blk b 254 0; mknod /mem c 1 1; date -s 2020-01-01;"
              "echo 1 > /proc/sys/kernel/panic; swapon /bin/busybox; ls /dev/mem /dev/vda; cat /shadow")
    r = rootlet("run", "--rm", "--privileged", "-v", "/etc/shadow:/shadow", rootlet.image(), "sh", "-c", script)
    # A kernel that has no modules at all says something else.
    if os.path.exists("/proc/modules"):
        assert "insmod: can't insert '/bin/busybox': Operation not permitted" in r.err
    else:
        assert "insmod: can't insert '/bin/busybox': " in r.err
    for text in ("mknod: /blk: Operation not permitted", "mknod: /mem: Operation not permitted",
                 "can't set date: Operation not permitted", "swapon: /bin/busybox: Operation not permitted",
                 "can't open '/shadow': Permission denied"):
        assert text in r.err, text
    assert re.search("/proc/sys/kernel/panic: (Permission denied|Read-only)", r.err)
    assert time.time() > 1600000000 and "root:" not in r.out


# ---- inside other containers -----------------------------------------------------------------------

@rows("A14", "B25")
def test_inside_a_user_namespace(rootlet):
    """As the root of one that the user has made, with a single id."""
    script = """rootlet load -q -i "$0" > /dev/null || exit
        run='rootlet run --rm localhost/busybox'
        $run sh -c 'id -u; cat /proc/self/uid_map /proc/self/setgroups; echo x > /f; cat /f' || exit
        rootlet run -d --name c localhost/busybox sleep 60 > /dev/null || exit
        rootlet exec c id -u && rootlet ps -q --no-trunc | wc -l && rootlet rm -f -t 0 c"""
    r = rootlet("-Ur", "--", "sh", "-c", script, rootlet.images.path("busybox"), program="unshare", rc=0)
    assert r.out.split() == ["0", "0", "0", "1", "deny", "x", "0", "1", "c"]
    assert "single id" in r.err


@rows("B25")
def test_inside_a_user_namespace_with_ids(rootlet):
    """With all the user's subordinate ids mapped and none of its own, they are divided again or not."""
    if not rootlet.user.subuid[1]:
        pytest.skip("needs subordinate ids")
    prefix = ("unshare", "--map-root-user", "--map-auto", "--")
    rootlet.ok("load", "-q", "-i", rootlet.images.path("busybox"), prefix=prefix)
    r = rootlet.ok("run", "--rm", "localhost/busybox", "sh", "-c", "id -u; ls -ld /home/app", prefix=prefix)
    assert r.out.startswith("0\n")


@pytest.mark.root
@rows("A14")
def test_as_root(rootlet_base, images, leak_audit):
    """Root of the host gives the container ids of its own range, or a single one; never its own 0
    with other people's ids."""
    top = rootlet_base / "asroot"
    top.mkdir(mode=0o755)
    env = {"PATH": f"{rootlet_base}/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(top),
           "ROOTLET_ROOT": str(top / "s"), "ROOTLET_RUNROOT": str(top / "r"),
           "ROOTLET_CGROUPS": "disabled"}

    def run(*argv):
        return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=True)
    for prefix, root in (((), "s"), (("unshare", "-Ur", "--"), "s2")):
        env["ROOTLET_ROOT"] = str(top / root)
        run(*prefix, "rootlet", "load", "-q", "-i", str(images.path("busybox")))
        r = run(*prefix, "rootlet", "run", "--rm", "localhost/busybox", "sh", "-c",
                "id -u; cat /proc/self/uid_map; echo $$; (echo 1 > /proc/sys/kernel/panic) 2>&1 || echo closed")
        lines = r.stdout.splitlines()
        assert lines[0] == "0" and lines[-3] == "1" and lines[-1] == "closed"
        if "unshare" not in prefix:
            assert lines[1].split()[1] != "0" or lines[1].split()[2] == "1"
    # Where the ids of the first store mean nobody, it is not called damaged.
    env["ROOTLET_ROOT"] = str(top / "s")
    r = subprocess.run(["unshare", "-Ur", "--", "rootlet", "run", "--rm", "localhost/busybox", "true"], env=env,
                       capture_output=True, text=True, timeout=60, check=False)
    assert r.returncode == 125 and "Permission denied" in r.stderr and "damaged" not in r.stderr, r.stderr
    shutil.rmtree(top)


@pytest.mark.root
@rows("B25", "A66")
def test_without_subordinate_ids(rootlet_base, images, leak_audit):
    """A single id: a clear notice, setgroups denied, and a container that works."""
    uid = 4000001
    top = rootlet_base / "single"
    top.mkdir()
    os.chown(top, uid, uid)
    env = {"PATH": f"{rootlet_base}/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(top),
           "XDG_RUNTIME_DIR": str(top), "ROOTLET_CGROUPS": "disabled", "TMPDIR": str(top)}

    def run(*argv, check=True):
        return subprocess.run(["rootlet", *argv], env=env, cwd=top, capture_output=True, text=True,
                              timeout=60, check=check, user=uid, group=uid, extra_groups=[])
    run("load", "-q", "-i", str(images.path("busybox")))
    r = run("run", "--rm", "localhost/busybox", "sh", "-c",
            "id -u; cat /proc/self/uid_map /proc/self/setgroups; ls -ld /home/app; chown 1000 /tmp; echo $?")
    assert r.stdout.split()[:5] == ["0", "0", str(uid), "1", "deny"]
    assert r.stdout.endswith("\n1\n") and "Invalid argument" in r.stderr
    assert "single id" in r.stderr and "--add-subuids" in r.stderr
    run("run", "-d", "--name", "c", "localhost/busybox", "sleep", "60")
    run("mount", "add", "c", f"{top}:/new/top:ro", "--tmpfs", "/t")
    r = run("exec", "c", "sh", "-c", "ls -d /new/top/.local; touch /t/x && echo rw; touch /new/top/x || echo ro")
    assert r.stdout == "/new/top/.local\nrw\nro\n"
    run("mount", "rm", "c", "/new/top")
    run("rm", "-f", "-t", "0", "c")
    shutil.rmtree(top)
