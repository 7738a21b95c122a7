"""The engine on its own: bundles through tests/tools/engine-tool, without supervisor and store.

Each namespace check is also run with its namespace dropped from the bundle, and must then fail:
otherwise it would prove nothing (A24).
"""
import contextlib
import copy
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import subprocess
import time

import pytest

from lib import runner

TOP = pathlib.Path(__file__).resolve().parents[2]


def find_tool():
    places = [os.environ.get("BUILDDIR"), os.environ.get("abs_top_builddir"), os.getcwd(),
              TOP / "build", TOP]
    for place in filter(None, places):
        tool = pathlib.Path(place) / "tests/tools/engine-tool"
        if tool.exists():
            return tool
    pytest.skip("engine-tool is not built (make check builds it)")


class Engine:
    """engine-tool as an unprivileged user, with one bundle that tests vary."""

    def __init__(self, home, user):
        self.home, self.user = home, user
        self.tool = home / "engine-tool"
        shutil.copy(find_tool(), self.tool)
        self.bundle = home / "bundle"
        self.rootfs = home / "rootfs"
        self.make_rootfs()

    def make_rootfs(self):
        for d in ("bin", "etc", "proc", "sys", "dev", "tmp", "root"):
            (self.rootfs / d).mkdir(parents=True)
        self.bundle.mkdir()
        busybox = shutil.which("busybox")
        shutil.copy(busybox, self.rootfs / "bin/busybox")
        for name in subprocess.check_output([busybox, "--list"], text=True).split():
            if name != "busybox":
                (self.rootfs / "bin" / name).symlink_to("busybox")
        (self.rootfs / "etc/passwd").write_text(
            "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n")
        (self.rootfs / "etc/group").write_text("root:x:0:\nalice:x:1000:\nwheel:x:10:alice\n")
        (self.rootfs / "etc/hostname").write_text("of-the-image\n")
        (self.rootfs / "etc/script").write_text("#!/nonexistent/interpreter\n")
        (self.rootfs / "etc/script").chmod(0o755)
        (self.rootfs / "etc/garbage").write_text("\x01\x02\x03")
        (self.rootfs / "etc/garbage").chmod(0o755)
        if os.geteuid() == 0:
            subprocess.check_call(["chown", "-hR", self.user, str(self.home)])

    def config(self):
        caps = ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_SETGID", "CAP_NET_BIND_SERVICE"]

        def mount(where, kind, *options):
            return {"destination": where, "type": kind, "source": kind, "options": list(options)}
        return {
            "ociVersion": "1.2.0",
            "process": {
                "user": {"uid": 0, "gid": 0}, "cwd": "/", "args": ["true"],
                "env": ["PATH=/bin"],
                "capabilities": {k: list(caps) for k in ("bounding", "effective", "permitted")},
            },
            "root": {"path": str(self.rootfs)},
            "hostname": "zz",
            "mounts": [
                mount("/proc", "proc", "nosuid", "noexec", "nodev"),
                mount("/dev", "tmpfs", "nosuid", "mode=755"),
                mount("/dev/pts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666",
                      "mode=0620"),
                mount("/sys", "sysfs", "nosuid", "noexec", "nodev", "ro"),
            ],
            "linux": {"namespaces": [{"type": t} for t in
                                     ("pid", "network", "ipc", "uts", "mount", "user", "cgroup")]},
        }

    def as_user(self):
        if os.geteuid() != 0:
            return []
        return ["setpriv", "--reuid", self.user, "--regid", self.user, "--init-groups"]

    def write(self, args, edit=None):
        config = copy.deepcopy(self.config())
        config["process"]["args"] = args if isinstance(args, list) else ["sh", "-c", args]
        if edit:
            edit(config)
        (self.bundle / "config.json").write_text(json.dumps(config))

    def env(self):
        return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "USER": self.user}

    def run(self, args, *options, edit=None, **kw):
        self.write(args, edit)
        return subprocess.run([*self.as_user(), str(self.tool), *options, str(self.bundle)],
                              capture_output=True, text=True, timeout=30, env=self.env(),
                              stdin=subprocess.DEVNULL, **kw)

    def out(self, args, *options, **kw):
        p = self.run(args, *options, **kw)
        assert p.returncode == 0, p.stderr
        return p.stdout

    def hold(self, args, *options, edit=None):
        """Starts it up to CREATED: (Popen, pid of the init). A line on stdin lets it go on."""
        self.write(args, edit)
        p = subprocess.Popen([*self.as_user(), str(self.tool), "--hold", *options,
                              str(self.bundle)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             text=True, env=self.env())
        line = p.stdout.readline().split()
        assert line and line[0] == "created", p.communicate()
        return p, int(line[1])


@pytest.fixture(scope="module")
def engine(users, rootlet_base):
    """As the suite's own user: another run on this host has another one."""
    if not shutil.which("busybox"):
        pytest.skip("busybox is not installed")
    home = rootlet_base / f"engine{users[0].uid}"
    home.mkdir()
    yield Engine(home, users[0].name)
    shutil.rmtree(home)


def drop(kind):
    def edit(config):
        names = config["linux"]["namespaces"]
        config["linux"]["namespaces"] = [n for n in names if n["type"] != kind]
    return edit


def gone(pid, seconds=5):
    end = time.monotonic() + seconds * runner.PATIENCE
    while time.monotonic() < end:
        try:
            if open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0] == "Z":
                return True  # dead; whoever is its parent now reaps it
        except OSError:
            return True
        time.sleep(0.01)
    return False


# --- namespaces: A11 A12 A13 A14 A24 B4 ---

NS = {"pid": "pid", "network": "net", "ipc": "ipc", "uts": "uts", "mount": "mnt", "user": "user",
      "cgroup": "cgroup"}


def is_isolated(engine, kind, edit=None):
    """True when the init's namespace of this kind is not ours; None when the start is refused."""
    p = engine.run(["readlink", f"/proc/self/ns/{NS[kind]}"], edit=edit)
    if p.returncode != 0:
        return None
    return p.stdout.strip() != os.readlink(f"/proc/self/ns/{NS[kind]}")


@pytest.mark.parametrize("kind", NS)
def test_namespace_is_new(engine, kind):
    """B4, A24: one test per namespace type."""
    assert is_isolated(engine, kind) is True


@pytest.mark.parametrize("kind", NS)
def test_namespace_mutation(engine, kind):
    """A24: without the entry the check above fails, or the engine refuses to start."""
    def edit(config):
        drop(kind)(config)
        if kind == "uts":
            del config["hostname"]
    isolated = is_isolated(engine, kind, edit)
    if kind in ("mount", "user"):
        assert isolated is None  # never without these two
    else:
        assert isolated in (False, None)


def test_pid_one(engine):
    """A11: the process is PID 1, and sees only its own kind."""
    out = engine.out("grep -E '^(Pid|NSpid):' /proc/self/status; echo $$; ps")
    assert re.search(r"^1$", out, re.M)
    assert len([line for line in out.splitlines() if " sh -c " in line or "ps" in line]) <= 3


def test_pid_one_mutation(engine):
    p = engine.run("echo $$", edit=drop("pid"))
    assert p.returncode != 0 or p.stdout.strip() != "1"


def test_mounts_do_not_leak(engine):
    """A12: a tmpfs mounted inside is not seen on the host."""
    def edit(config):
        for key in ("bounding", "effective", "permitted"):
            config["process"]["capabilities"][key].append("CAP_SYS_ADMIN")
    out = engine.out("mount -t tmpfs leaky-name /tmp && grep leaky-name /proc/self/mounts",
                     edit=edit)
    assert "leaky-name" in out
    assert "leaky-name" not in open("/proc/self/mounts").read()


def test_hostname(engine):
    """A13: its own host name; the host's is unchanged, also when root inside sets another."""
    def edit(config):
        for key in ("bounding", "effective", "permitted"):
            config["process"]["capabilities"][key].append("CAP_SYS_ADMIN")
    before = os.uname().nodename
    out = engine.out("hostname; hostname q; hostname", edit=edit)
    assert out.split() == ["zz", "q"]
    assert os.uname().nodename == before


def test_user_map(engine):
    """A14: root inside is an unprivileged user outside."""
    uid = pwd.getpwnam(engine.user).pw_uid
    first = engine.out("cat /proc/self/uid_map; id -u").splitlines()
    assert first[0].split() == ["0", str(uid), "1"]
    assert first[-1] == "0"
    p, pid = engine.hold(["sleep", "60"])
    try:
        assert os.stat(f"/proc/{pid}").st_uid in (uid, 0)
        p.stdin.write("\n")
        p.stdin.flush()
        runner.wait_for(lambda: os.stat(f"/proc/{pid}").st_uid == uid)
    finally:
        p.kill()
        p.wait()
        os.kill(pid, signal.SIGKILL)
    assert uid != 0


# --- root: A15 A16 A19 A22 ---

def test_root_confines(engine, tmp_path):
    """A15, A22, A1: nothing of the host is reachable, nothing is left of the old root."""
    canary = pathlib.Path("/tmp/rootlet-engine-canary")
    canary.write_text("host\n")
    try:
        out = engine.out(f"""
            cat /etc/hostname
            ls -d /proc/1/root/../../etc/hostname && cat /proc/1/root/../../etc/hostname
            test ! -e {canary} && echo no-canary
            cd / && cd ../../.. && pwd && ls
            find / -xdev -name '.pivot*' -o -xdev -name '.old*' -o -xdev -name put_old
            awk '$5=="/"' /proc/self/mountinfo | wc -l
        """)
    finally:
        canary.unlink()
    lines = out.splitlines()
    assert lines.count("of-the-image") == 2
    assert "no-canary" in lines
    assert lines[-1].strip() == "1"  # one mount at "/": no old root below it
    assert not [line for line in lines if "pivot" in line or "old" in line]


def test_plain_directory_is_a_root(engine):
    """A19: the root file system is a plain directory, not a mount point."""
    assert not os.path.ismount(engine.rootfs)
    assert engine.out("cat /etc/hostname").strip() == "of-the-image"
    assert not os.path.ismount(engine.rootfs)


def test_proc_works(engine):
    """A16, A20: ps and top list the container's processes only."""
    out = engine.out("ps | wc -l; top -bn1 | head -3")
    assert int(out.splitlines()[0]) <= 5
    assert "Mem" in out


# --- order: A21 A23 B12 B26 ---

def test_maps_come_first(engine):
    """A21, B26: 100 starts, each root at its first instruction."""
    out = engine.out("[ $(id -u):$(id -g) = 0:0 ]", "--repeat", "100")
    assert "over 100" in out


@pytest.fixture
def trace(engine, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("strace keeps setuid helpers working only when root runs it (-u)")
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")

    def run(*options):
        engine.write(["true"])
        log = tmp_path / "trace"
        subprocess.run(["strace", "-f", "-u", engine.user, "-o", str(log), str(engine.tool),
                        *options, str(engine.bundle)], check=True, timeout=60,
                       # the leak check of a sanitizer build is itself a tracer
                       env={**engine.env(), "ASAN_OPTIONS": "detect_leaks=0"})
        return [line.split(None, 1) for line in log.read_text().splitlines()]
    return run


def index_of(lines, pattern, pid=None, last=False):
    found = [i for i, (who, what) in enumerate(lines)
             if (pid is None or who == pid) and re.search(pattern, what)]
    assert found, pattern
    return found[-1] if last else found[0]


def test_order_of_the_start(trace):
    """A21, A23, A15, B12, B26: clone, maps by the parent, root, mounts, pivot, caps, seccomp."""
    lines = trace("--seccomp", "default")
    clone = index_of(lines, r"^clone3\(.*CLONE_NEWUSER")
    init = index_of(lines, r"^(setresuid\(0, 0, 0\)|.*resuid resumed)")
    pid = lines[init][0]
    helpers = [i for i, (_, what) in enumerate(lines) if re.search(r"exec.*new[ug]idmap", what)]
    assert len(helpers) >= 2 and clone < min(helpers)
    for helper in helpers[:2]:  # both have ended before the init becomes root
        assert index_of(lines, r"exited with 0", lines[helper][0]) < init
    pivot = index_of(lines, r"^pivot_root\(", pid)
    detach = index_of(lines, r"^umount2\(.*MNT_DETACH", pid)
    capset = index_of(lines, r"^capset\(", pid)
    seccomp = index_of(lines, r"SECCOMP_SET_MODE_FILTER|^seccomp\(", pid)
    execve = index_of(lines, r"^execve\(", pid, last=True)
    mount = index_of(lines, r"^move_mount\(", pid)
    assert init < mount < pivot < detach < capset < seccomp < execve
    between = [what for who, what in lines[seccomp + 1:execve] if who == pid]
    assert not [w for w in between if not re.match(r"clock_gettime|<\.\.\.", w)]


# --- life and death ---

def test_exit_status(engine):
    assert engine.run("exit 7").returncode == 7
    assert engine.run("trap 'exit 9' TERM; kill -TERM $$; exit 1").returncode == 9


def test_death_of_the_caller_before_start(engine):
    """kill -9 of the engine's process leaves nothing behind that has not been started."""
    p, pid = engine.hold(["sleep", "1000"])
    assert os.path.exists(f"/proc/{pid}")
    p.kill()
    p.wait()
    assert gone(pid)


def running(tool):
    found = []
    for pid in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if pid.isdigit() and os.readlink(f"/proc/{pid}/exe") == str(tool):
                found.append(pid)
    return found


def test_death_at_any_point(engine):
    """The same at 40 moments of the start."""
    uid = pwd.getpwnam(engine.user).pw_uid
    engine.write(["sleep", "1000"])
    for k in range(40):
        p = subprocess.Popen([*engine.as_user(), str(engine.tool), "--hold", str(engine.bundle)],
                             stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=engine.env())
        time.sleep(k * 0.0004)
        p.kill()
        p.wait()
    runner.wait_for(lambda: not running(engine.tool), what="the end of all")
    assert uid


def test_pdeathsig_does_not_survive(engine):
    """The payload lives on when the engine's process dies after the start."""
    p, pid = engine.hold(["sleep", "30"])
    p.stdin.write("\n")
    p.stdin.flush()
    for _ in range(100):
        if "sleep" in open(f"/proc/{pid}/cmdline").read():
            break
        time.sleep(0.02)
    p.kill()
    p.wait()
    time.sleep(0.3)
    assert "sleep" in open(f"/proc/{pid}/cmdline").read()
    os.kill(pid, signal.SIGKILL)
    assert gone(pid)


# --- the process ---

@pytest.mark.parametrize("args,code,text", [
    (["nosuch"], 127, 'exec: "nosuch": executable file not found in $PATH'),
    (["/nosuch"], 127, 'exec: "/nosuch": no such file or directory'),
    (["/etc/script"], 127, "its interpreter was not found"),
    (["/etc"], 126, "is a directory"),
    (["/etc/passwd"], 126, "permission denied"),
    (["/etc/garbage"], 126, "exec format error"),
])
def test_command_errors(engine, args, code, text):
    p = engine.run(args)
    assert p.returncode == code
    assert text in p.stderr


@pytest.mark.parametrize("seccomp", [[], ["--seccomp", "default"]])
@pytest.mark.parametrize("nnp", [False, True])
@pytest.mark.parametrize("user", [None, "alice"])
def test_capabilities(engine, seccomp, nnp, user):
    """A18, A23: exactly the sets of the configuration; CAP_SYS_ADMIN, kept for seccomp, is gone."""
    def edit(config):
        config["process"]["noNewPrivileges"] = nnp
    options = seccomp + (["--user", user] if user else [])
    out = engine.out(["cat", "/proc/self/status"], *options, edit=edit)
    status = dict(re.findall(r"^(\w+):\s+(\S+)", out, re.M))
    # CHOWN 0, KILL 5, SETGID 6, SETUID 7, NET_BIND_SERVICE 10
    want = 1 << 0 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 10
    assert int(status["CapBnd"], 16) == want
    assert int(status["CapInh"], 16) == 0
    assert int(status["CapAmb"], 16) == 0
    assert int(status["CapEff"], 16) == (0 if user else want)
    assert int(status["CapPrm"], 16) == (0 if user else want)
    assert status["NoNewPrivs"] == str(int(nnp))
    assert status["Seccomp"] == ("2" if seccomp else "0")


def test_users(engine):
    out = engine.out("id; echo $HOME", "--user", "alice", "--group-add", "55")
    assert "uid=1000(alice) gid=1000(alice)" in out and "10(wheel)" in out and "55" in out
    assert "/home/alice" in out
    for text in ("4294967296", "-1", " 0", "+0", "0x0", ":0", "0:", "nosuch", "alice:nosuch"):
        p = engine.run(["true"], "--user", text)
        assert p.returncode == 126, text
    p = engine.run(["true"], "--user", "200000")
    assert p.returncode == 126
    assert "not mapped" in p.stderr


def cwd(path):
    def edit(config):
        config["process"]["cwd"] = path
    return edit


def test_working_directory(engine):
    assert engine.out("pwd", edit=cwd("/made/on/demand")).strip() == "/made/on/demand"
    assert (engine.rootfs / "made/on/demand").is_dir()
    p = engine.run("pwd", edit=cwd("/etc/passwd"))
    assert p.returncode == 126 and "working directory" in p.stderr


@pytest.mark.parametrize("fd", range(3, 21))
def test_working_directory_is_no_descriptor(engine, fd):
    """CVE-2024-21626: a directory of the host that a descriptor holds is no working directory."""
    p = engine.run("pwd", edit=cwd(f"/proc/self/fd/{fd}"))
    assert p.returncode == 126
    assert "working directory" in p.stderr


def test_no_descriptor_leaks(engine):
    """Descriptors that the caller left open (without close-on-exec) do not reach the payload."""
    fds = [os.open("/", os.O_RDONLY) for _ in range(4)]
    try:
        for fd in fds:
            os.set_inheritable(fd, True)
        out = engine.out("ls /proc/self/fd | tr '\\n' ' '", pass_fds=fds)
    finally:
        for fd in fds:
            os.close(fd)
    assert out.split() in (["0", "1", "2", "3"], ["0", "1", "2"])  # 3: ls itself


def test_preserved_descriptors(engine):
    """--preserve-fds: exactly those, and not one of the engine's own in a place that is free."""
    r, w = os.pipe()

    def install():
        os.dup2(w, 3)
    p = engine.run("echo through >&3; ls /proc/self/fd", "--preserve-fds", "1",
                   preexec_fn=install, pass_fds=[3, w])
    os.close(w)
    assert p.returncode == 0, p.stderr
    assert os.read(r, 100) == b"through\n"
    os.close(r)
    assert set(p.stdout.split()) <= {"0", "1", "2", "3", "4"}
    p = engine.run("true", "--preserve-fds", "3")
    assert p.returncode == 125 and "not open" in p.stderr


def test_stdout_can_be_opened_again(engine):
    """A pipe that the user made for stdout is given to the payload's user, whoever that is."""
    engine.write("echo again >/dev/stdout")
    command = f"{engine.tool} --user alice {engine.bundle} | cat"
    p = subprocess.run([*engine.as_user(), "sh", "-c", command], capture_output=True, text=True,
                       env=engine.env(), timeout=30)
    assert p.stdout.strip() == "again", p.stderr


def test_no_capabilities(engine):
    """A configuration without any list of capabilities gives none."""
    def edit(config):
        del config["process"]["capabilities"]
    out = engine.out(["cat", "/proc/self/status"], edit=edit)
    assert {v for v in re.findall(r"^Cap\w+:\s+(\S+)", out, re.M)} == {"0" * 16}


def test_single_id(engine):
    """One id only: setgroups is denied there, and the start goes on."""
    user = pwd.getpwnam(engine.user)

    def edit(config):
        for key, host in (("uidMappings", user.pw_uid), ("gidMappings", user.pw_gid)):
            config["linux"][key] = [{"containerID": 0, "hostID": host, "size": 1}]
    out = engine.out("cat /proc/self/setgroups; id -u; cat /proc/self/uid_map", edit=edit)
    assert out.split() == ["deny", "0", "0", str(user.pw_uid), "1"]
    p = engine.run("true", "--user", "alice", edit=edit)
    assert p.returncode == 126 and "not mapped" in p.stderr


def test_time_namespace(engine):
    def edit(config):
        config["linux"]["namespaces"].append({"type": "time"})
        config["linux"]["timeOffsets"] = {"boottime": {"secs": 1000000, "nanosecs": 0}}
    out = engine.out("cat /proc/uptime; readlink /proc/self/ns/time", edit=edit)
    assert float(out.split()[0]) > 1000000
    assert out.split()[-1] != os.readlink("/proc/self/ns/time")


def test_signals_are_reset(engine):
    """Neither the mask nor ignored signals of the caller are inherited."""
    def block():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGINT})
    out = engine.out(["grep", "^Sig", "/proc/self/status"], preexec_fn=block)
    status = dict(re.findall(r"^(\w+):\s+(\S+)", out, re.M))
    assert int(status["SigBlk"], 16) == 0
    assert int(status["SigIgn"], 16) == 0


def test_limits_and_umask(engine):
    def edit(config):
        config["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}]
        config["process"]["user"]["umask"] = 0o27
    assert engine.out("ulimit -n; ulimit -Hn; umask", edit=edit).split() == ["100", "200", "0027"]
    assert engine.out("umask").strip() == "0022"


def test_oom_score(engine):
    def score(n):
        def edit(config):
            config["process"]["oomScoreAdj"] = n
        return edit
    assert engine.out("cat /proc/self/oom_score_adj", edit=score(300)).strip() == "300"
    # Lowering needs CAP_SYS_RESOURCE on the host: the start goes on with what it was.
    assert int(engine.out("cat /proc/self/oom_score_adj", edit=score(-500))) > -500


def test_terminal(engine):
    def edit(config):
        config["process"]["terminal"] = True
        config["process"]["consoleSize"] = {"height": 33, "width": 99}
    out = engine.out("tty; stty size; ls -l /dev/console; echo to-the-terminal >/dev/tty",
                     edit=edit)
    assert "/dev/pts/0" in out and "33 99" in out and "to-the-terminal" in out
    assert "136,   0" in out
    out = engine.out("tty; echo ok >/dev/stdout", "--user", "alice", edit=edit)
    assert "ok" in out


def test_sysctls(engine):
    def edit(config):
        config["linux"]["sysctl"] = {"net.ipv4.ip_unprivileged_port_start": "81"}
    path = "/proc/sys/net/ipv4/ip_unprivileged_port_start"
    before = open(path).read()
    assert engine.out(f"cat {path}", edit=edit).strip() == "81"
    assert open(path).read() == before

    def host(config):
        edit(config)
        drop("network")(config)
    p = engine.run("true", edit=host)
    assert p.returncode == 125 and "network namespace of its own" in p.stderr


# --- network ---

def test_network_none(engine):
    out = engine.out("ip -o addr", "--network", "none")
    assert "127.0.0.1/8" in out
    assert {line.split()[1] for line in out.splitlines()} == {"lo"}


def test_network_host(engine):
    assert engine.out("readlink /proc/self/ns/net", "--network", "host").strip() == \
        os.readlink("/proc/self/ns/net")


def test_network_of_another(engine):
    """--network container:ID comes down to this: the network and its owner are joined."""
    p, pid = engine.hold(["sleep", "60"])
    try:
        ns = f"/proc/{pid}/ns/net"
        out = engine.out("readlink /proc/self/ns/net; id -u; mount", "--network", f"ns:{ns}")
        assert out.splitlines()[0] == os.readlink(ns)
        assert out.splitlines()[1] == "0"
        assert "sysfs on /sys type sysfs" in out
        bad = engine.run(["/nosuch"], "--network", f"ns:{ns}")
        assert bad.returncode == 127
    finally:
        p.kill()
        p.wait()
    p = engine.run("true", "--network", "ns:/etc/passwd")
    assert p.returncode == 125 and "not a network namespace" in p.stderr


# --- exec ---

def do_exec(engine, argv, *options, **kw):
    return engine.run(["sleep", "60"], "--exec", json.dumps(argv), *options, **kw)


def test_exec_is_inside(engine):
    script = "; ".join(f"readlink /proc/self/ns/{n}; readlink /proc/1/ns/{n}" for n in NS.values())
    lines = do_exec(engine, ["sh", "-c", script], edit=with_ptrace).stdout.split()
    assert len(lines) == 2 * len(NS)
    for mine, init in zip(lines[::2], lines[1::2]):
        assert mine == init
    p = do_exec(engine, ["sh", "-c", "hostname; echo $HOME; exit 5"])
    assert p.returncode == 5
    assert p.stdout.split() == ["zz", "/root"]


def with_ptrace(config):
    for key in ("bounding", "effective", "permitted"):
        config["process"]["capabilities"][key].append("CAP_SYS_PTRACE")


def test_exec_with_the_hosts_network(engine):
    p = do_exec(engine, ["readlink", "/proc/self/ns/net"], "--network", "host")
    assert p.stdout.strip() == os.readlink("/proc/self/ns/net")


def test_exec_privileges(engine):
    p = do_exec(engine, ["cat", "/proc/self/status"], "--seccomp", "default", "--exec-user",
                "alice")
    status = dict(re.findall(r"^(\w+):\s+(\S+)", p.stdout, re.M))
    assert status["Uid"] == "1000"
    assert int(status["CapEff"], 16) == 0 and int(status["CapInh"], 16) == 0
    assert status["Seccomp"] == "2"


@pytest.mark.parametrize("argv,options,code", [
    (["nosuch"], [], 127),
    (["/etc/passwd"], [], 126),
    (["pwd"], ["--exec-cwd", "/nosuch"], 126),
    (["pwd"], ["--exec-cwd", "/proc/self/fd/5"], 126),
    (["id"], ["--exec-user", "bob"], 126),
])
def test_exec_errors(engine, argv, options, code):
    p = do_exec(engine, argv, *options)
    assert p.returncode == code and p.stderr.startswith("Error: ")


def test_exec_terminal(engine):
    p = do_exec(engine, ["sh", "-c", "tty; echo through-tty >/dev/tty"], "--exec-tty")
    assert "/dev/pts/0" in p.stdout and "through-tty" in p.stdout


# --- our own binary: CVE-2019-5736 ---

def test_protected_binary(engine):
    """A binary that the user owns runs from a sealed copy; without protection it does not."""
    for options, protected in ((["--protect"], True), ([], False)):
        p, pid = engine.hold(["sleep", "60"], *options)
        try:
            exe = os.readlink(f"/proc/{pid}/exe")
            assert exe.startswith("/memfd:rootlet") is protected
            if protected:
                with pytest.raises(OSError):
                    os.close(os.open(f"/proc/{pid}/exe", os.O_WRONLY))
        finally:
            p.kill()
            p.wait()


def test_trace_stages(engine):
    p = engine.run(["true"], "--trace-stages")
    assert re.search(r"^child\s+mount root\s+\d+$", p.stderr, re.M)
    assert re.search(r"sum of all sides\s+\d+", p.stderr)


# --- what others inside can see of us: CVE-2016-9962, CVE-2019-5736 ---

def test_exec_shows_nothing_of_ours(engine):
    """A container that watches /proc all the time never gets at our program or descriptors."""
    def edit(config):
        with_ptrace(config)
        config["process"]["args"] = ["sh", "-c", """
            while :; do for p in /proc/[0-9]*; do
                readlink $p/exe; ls -l $p/fd 2>/dev/null | grep -E 'socket|memfd|engine'
            done; done >/tmp/seen 2>/dev/null"""]
    (engine.rootfs / "tmp").chmod(0o777)
    p = engine.run(["unused"], "--exec", json.dumps(["true"]), "--exec-repeat", "1500",
                   edit=edit)
    assert p.returncode == 0, p.stderr
    seen = set((engine.rootfs / "tmp/seen").read_text().splitlines())
    assert "/bin/busybox" in seen  # the watcher works
    assert not [line for line in seen if "engine" in line or "memfd" in line or "socket" in line]


# --- namespaces by path ---

def test_joining_several(engine):
    """pid, ipc, uts and network of another container: a child of the caller all the same."""
    p, pid = engine.hold(["sleep", "60"])
    try:
        p.stdin.write("\n")
        p.stdin.flush()

        def edit(config):
            names = {"pid": "pid", "ipc": "ipc", "uts": "uts", "network": "net", "user": "user"}
            for ns in config["linux"]["namespaces"]:
                if ns["type"] in names:
                    ns["path"] = f"/proc/{pid}/ns/{names[ns['type']]}"
            del config["hostname"]
        out = engine.out("readlink /proc/self/ns/pid; readlink /proc/self/ns/uts; hostname; ps; "
                         "exit 0", edit=edit)
        lines = out.splitlines()
        assert lines[0] == os.readlink(f"/proc/{pid}/ns/pid")
        assert lines[1] == os.readlink(f"/proc/{pid}/ns/uts")
        assert lines[2] == "zz"
        assert any("sleep 60" in line for line in lines)  # the other one's process
        assert engine.run("exit 11", edit=edit).returncode == 11
    finally:
        p.kill()
        p.wait()
        os.kill(pid, signal.SIGKILL)


def test_wrong_type_is_refused(engine):
    def edit(config):
        for ns in config["linux"]["namespaces"]:
            if ns["type"] == "ipc":
                ns["path"] = "/proc/self/ns/uts"
    p = engine.run("true", edit=edit)
    assert p.returncode == 125 and "is not a namespace of type ipc" in p.stderr


# --- hooks ---

def test_hooks(engine):
    """All six points run, in their places: the namespaces and the root that each one sees."""
    log = engine.home / "hooks"
    log.mkdir(exist_ok=True)
    if os.geteuid() == 0:
        shutil.chown(log, engine.user)
    points = ["prestart", "createRuntime", "createContainer", "poststart", "poststop"]

    def edit(config):
        script = "cat >$0.json; { readlink /proc/self/ns/uts; ls -d %s; } >$0.ns" % engine.home
        config["hooks"] = {point: [{"path": "/bin/sh", "args": ["sh", "-c", script,
                                                                  str(log / point)],
                                    "env": ["PATH=/usr/bin:/bin"]}] for point in points}
        config["hooks"]["startContainer"] = [{
            "path": "/bin/sh", "env": ["PATH=/bin"],
            "args": ["sh", "-c", "cat >/tmp/start.json; cat /etc/hostname >/tmp/start.name"]}]
    (engine.rootfs / "tmp").chmod(0o777)
    engine.out("true", edit=edit)
    host = os.readlink("/proc/self/ns/uts")
    states = {}
    for point in points:
        states[point] = json.loads((log / f"{point}.json").read_text())
        uts = (log / f"{point}.ns").read_text().splitlines()
        assert (uts[0] == host) is (point != "createContainer")
        assert uts[1] == str(engine.home)  # the host's root is still there
    states["startContainer"] = json.loads((engine.rootfs / "tmp/start.json").read_text())
    assert (engine.rootfs / "tmp/start.name").read_text() == "of-the-image\n"
    assert {k: v["status"] for k, v in states.items()} == {
        "prestart": "created", "createRuntime": "creating", "createContainer": "creating",
        "startContainer": "created", "poststart": "running", "poststop": "stopped"}
    assert states["createRuntime"]["pid"] > 1


def test_failing_hook_ends_the_start(engine):
    def edit(config):
        config["hooks"] = {"createRuntime": [
            {"path": "/bin/sh", "args": ["sh", "-c", "echo no luck >&2; exit 1"]}]}
    p = engine.run("echo started", edit=edit)
    assert p.returncode == 125
    assert "createRuntime hook /bin/sh" in p.stderr and "no luck" in p.stderr
    assert "started" not in p.stdout
