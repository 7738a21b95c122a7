"""exec: a further process in a container, by words and by a process file."""
import json
import os
import pathlib
import re
import signal
import subprocess

import pytest

from lib import rows, runner
from test_oci_console import ConsoleSocket

ID_CAPS = "CapInh|CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs|Seccomp"


@pytest.fixture
def box(oci):
    """A container that goes on."""
    return started(oci)


def started(oci, edit=None, args=("sleep", "1000")):
    name = oci.name()
    oci.ok("run", "-d", "--bundle", oci.bundle(list(args), edit), name)
    return name


def process_file(oci, **members):
    path = oci.dir / "process.json"
    process = {"user": {"uid": 0, "gid": 0}, "args": ["true"], "cwd": "/", "env": ["PATH=/bin"], **members}
    path.write_text(json.dumps(process))
    path.chmod(0o644)
    return path


def status_fields(text):
    return dict(re.findall(rf"^({ID_CAPS}):\s+(\S+)$", text, re.M))


@rows("A10", "B51")
def test_exit_status(oci, box):
    assert oci.ok("exec", box, "sh", "-c", "echo out; echo err >&2; hostname").out == "out\nbox\n"
    assert oci("exec", box, "sh", "-c", "exit 7").rc == 7
    assert oci("exec", box, "sh", "-c", "kill -9 $$").rc == 137
    assert oci("exec", box, "sh", "-c", "kill -TERM $$").rc == 143
    oci.fails("exec", box, "nosuch", rc=127, match="nosuch")
    oci.fails("exec", box, "/proc", rc=126, match="/proc")
    oci.fails("exec", "-e", "NAME", box, "true", match="--env NAME: want NAME=VALUE")
    oci.fails("exec", "--cwd", "/nosuch", box, "true", rc=126, match="/nosuch")
    assert oci.status(box) == "running"


@rows("A24")
def test_it_is_inside(oci, box):
    """In every namespace of the container, and a process among its own."""
    pid = oci.state(box)["pid"]
    kinds = ["pid", "net", "ipc", "uts", "mnt", "cgroup", "user"]
    out = oci.ok("exec", box, "sh", "-c", "for n in " + " ".join(kinds) + "; do readlink /proc/self/ns/$n; done").out
    assert out.split() == [os.readlink(f"/proc/{pid}/ns/{n}") for n in kinds]
    assert "sleep 1000" in oci.ok("exec", box, "ps").out


def test_the_containers_own_process_is_the_model(oci):
    def edit(c):
        c["process"]["user"] = {"uid": 7, "gid": 8, "additionalGids": [9], "umask": 0o27}
        c["process"]["cwd"] = "/tmp"
        c["process"]["env"].append("COLOUR=green")
        c["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 77, "hard": 88}]
        c["process"]["terminal"] = False
    name = started(oci, edit)
    out = oci.ok("exec", name, "sh", "-c", "id -u; id -G; pwd; echo $COLOUR; ulimit -Sn; ulimit -Hn; umask").out
    assert out.split() == ["7", "8", "9", "/tmp", "green", "77", "88", "0027"]
    theirs = status_fields(oci.ok("exec", name, "cat", "/proc/1/status").out)
    assert status_fields(oci.ok("exec", name, "cat", "/proc/self/status").out) == theirs


def test_options(oci, box):
    out = oci.ok("exec", "--cwd", "/bin", "-e", "A=1", "--env", "PATH=/bin:/x", "-u", "5:6", "-g", "7",
                 "--additional-gids", "8", box, "sh", "-c", "pwd; echo $A; echo $PATH; id -u; id -G").out
    assert out.split() == ["/bin", "1", "/bin:/x", "5", "6", "7", "8"]
    oci.fails("exec", "-e", "novalue", box, "true", match="want NAME=VALUE")
    oci.fails("exec", "--cwd", "relative", box, "true", match="want an absolute path")
    oci.fails("exec", "--cap", "CAP_NONSENSE", box, "true", match="--cap CAP_NONSENSE: unknown capability")
    oci.fails("exec", "-u", "nobody-of-this-name", box, "true", rc=126, match="nobody-of-this-name")
    oci.fails("exec", box, match="no command given")


def test_user_by_name(oci, box):
    rootfs = pathlib.Path(oci.state(box)["rootfs"])
    (rootfs / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nweb:x:33:34::/srv/web:/bin/sh\n")
    (rootfs / "etc/group").write_text("root:x:0:\nweb:x:34:\nmore:x:55:web\nstaff:x:50:\n")
    out = oci.ok("exec", "-u", "web", box, "sh", "-c", "id -u; id -G; echo $HOME").out
    assert out.split() == ["33", "34", "55", "/srv/web"]
    assert oci.ok("exec", "-u", "web:staff", box, "id", "-G").text == "50"


def test_capabilities(oci):
    def edit(c):
        c["process"]["noNewPrivileges"] = False
        c["process"]["capabilities"] = {k: ["CAP_KILL"] for k in ("bounding", "effective", "permitted")}
    name = started(oci, edit)

    def sets(*options):
        return status_fields(oci.ok("exec", *options, name, "cat", "/proc/self/status").out)
    kill, chroot = 1 << 5, 1 << 18
    plain = sets()
    assert int(plain["CapEff"], 16) == int(plain["CapBnd"], 16) == kill and plain["NoNewPrivs"] == "0"
    more = sets("--cap", "sys_chroot", "--no-new-privs")
    assert int(more["CapEff"], 16) == int(more["CapBnd"], 16) == int(more["CapPrm"], 16) == kill | chroot
    # CVE-2022-29162: nothing that a file's inheritable set could take up.
    assert int(more["CapInh"], 16) == int(more["CapAmb"], 16) == 0 and more["NoNewPrivs"] == "1"
    user = sets("-u", "5:5", "-c", "CAP_SYS_CHROOT")
    assert int(user["CapEff"], 16) == chroot and int(sets("-u", "5:5")["CapEff"], 16) == 0


@rows("B35")
def test_seccomp_is_the_containers(oci):
    def edit(c):
        c["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["getcwd"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]}
    name = started(oci, edit)
    assert status_fields(oci.ok("exec", name, "cat", "/proc/self/status").out)["Seccomp"] == "2"
    r = oci("exec", name, "/bin/busybox", "pwd")
    assert r.rc == 1 and "No space left" in r.err
    # A process file does not lift it.
    r = oci("exec", "--process", process_file(oci, args=["/bin/busybox", "pwd"]), name)
    assert r.rc == 1 and "No space left" in r.err


# --- process files ---

@rows("A10")
def test_process_file(oci, box):
    file = process_file(oci, user={"uid": 3, "gid": 4, "additionalGids": [5]}, cwd="/tmp",
                        env=["PATH=/bin", "X=y"], args=["sh", "-c", "id -u; id -G; pwd; env; exit 9"])
    r = oci("exec", "--process", file, box)
    assert r.rc == 9 and {"3", "4 5", "/tmp", "X=y"} <= set(r.out.splitlines()) and "TERM=" not in r.out
    # No capabilities in the file are none in the process.
    file = process_file(oci, args=["cat", "/proc/self/status"])
    assert int(status_fields(oci.ok("exec", "-p", file, box).out)["CapEff"], 16) == 0
    r = oci.ok("exec", "--process", "-", box, input=process_file(oci, args=["busybox", "echo", "in"]).read_text())
    assert r.text == "in"


@rows("B49")
def test_process_file_refused(oci, box):
    oci.fails("exec", "-p", process_file(oci, cwd="x"), box, match="cwd: want an absolute path")
    oci.fails("exec", "-p", process_file(oci, args=[]), box, match="args: want at least one string")
    oci.fails("exec", "-p", process_file(oci, user={"uid": -1, "gid": 0}), box, match="user.uid: want an integer")
    oci.fails("exec", "-p", "/nosuch", box, match="/nosuch")
    oci.fails("exec", "-p", process_file(oci), box, "true", match="exclude each other")
    file = process_file(oci)
    file.write_text("{")
    oci.fails("exec", "-p", file, box, match="process.json")


# --- detached ---

@rows("A10")
def test_detached(oci, box):
    pid_file = oci.dir / "pid"
    if oci.user.made:
        oci.dir.chmod(0o777)
    oci.ok("exec", "-d", "--pid-file", pid_file, "--process", process_file(oci, args=["sleep", "1001"]), box)
    pid = int(pid_file.read_text())
    assert pathlib.Path(f"/proc/{pid}/cmdline").read_bytes() == b"sleep\x001001\0"
    assert os.readlink(f"/proc/{pid}/ns/pid") == os.readlink(f"/proc/{oci.state(box)['pid']}/ns/pid")
    os.kill(pid, signal.SIGKILL)


def test_detached_failure_is_told(oci, box):
    pid_file = oci.dir / "pid"
    oci.fails("exec", "-d", "--pid-file", pid_file, box, "nosuch", rc=127, match="nosuch")
    assert not pid_file.exists()
    oci.fails("exec", "-d", "--pid-file", "/nosuch/pid", box, "sleep", "1002", match="/nosuch")
    assert "1002" not in oci.ok("exec", box, "ps").out


def test_no_descriptors_of_ours(oci, box):
    r = oci.ok("exec", box, "ls", "/proc/self/fd")
    assert r.out.split() == ["0", "1", "2", "3"], r  # 3: the directory that ls reads


def test_preserve_fds(oci, box):
    file = oci.dir / "kept"

    def run(*options):
        argv = oci.argv("exec", *options, box, "sh", "-c", "echo kept >&3")
        return subprocess.run(["sh", "-c", 'exec 3>"$0"; exec "$@"', str(file), *argv], check=False,
                              env=oci.environment(), stderr=subprocess.DEVNULL, **oci.user.popen_args()).returncode
    assert run("--preserve-fds", "1") == 0 and file.read_text() == "kept\n"
    assert run() != 0 and file.read_text() == ""
    oci.fails("exec", "--preserve-fds", "4", box, "true", match="not open")


# --- terminals ---

def test_terminal_in_the_foreground(oci, box):
    t = oci.pty("exec", "-t", box, "sh", "-c", "tty; stty size; read x; echo got-$x; stty size; exit 5",
                rows=41, cols=99)
    t.expect("/dev/pts/")
    t.expect("41 99")
    t.resize(42, 100)
    t.send("word\r")
    t.expect("got-word")
    t.expect("42 100")
    assert t.wait() == 5


def test_terminal_with_a_pipe_as_input(oci, box):
    """As runc has it: what comes in is typed."""
    p = oci.spawn("exec", "-t", box, "sh", "-c", "read x; echo got-$x", stdin=subprocess.PIPE)
    p.stdin.write("word\n")
    p.stdin.flush()
    out = p.stdout.read()
    assert "got-word" in out and p.wait(60) == 0
    # At its end nothing more is typed; the process goes on.
    assert "done" in oci.ok("exec", "-t", box, "sh", "-c", "sleep 0.1; echo done").out


@rows("A10")
def test_console_socket(oci, box):
    """As conmon and a shim want it: the master comes over the socket, the pid into a file."""
    console, pid_file = ConsoleSocket(oci), oci.dir / "pid"
    if oci.user.made:
        oci.dir.chmod(0o777)
    try:
        file = process_file(oci, terminal=True, consoleSize={"height": 22, "width": 66},
                            args=["sh", "-c", "tty; stty size; read x; echo got-$x"])
        oci.ok("exec", "--pid-file", pid_file, "--process", file, "--detach", "--console-socket", console.path, box)
        assert console.take().startswith(b"/dev/pts/")
        console.read_until(b"22 66")
        os.write(console.master, b"word\n")
        console.read_until(b"got-word")
        assert int(pid_file.read_text()) > 1
    finally:
        console.close()


def test_terminal_rules(oci, box):
    oci.fails("exec", "-d", "-t", box, "true", match="a detached process cannot have a terminal")
    oci.fails("exec", "--console-socket", "/x", box, "true", match="the process has no terminal")
    oci.fails("exec", "-d", "-t", "--console-socket", oci.dir / "nobody", box, "sleep", "1003", match="nobody")
    assert "1003" not in oci.ok("exec", box, "ps").out


# --- when ---

def test_states(oci):
    name = oci.create(["sleep", "1000"])
    # As with runc: a container that waits for its start can be looked into.
    assert oci.ok("exec", name, "sh", "-c", "echo early").text == "early"
    assert oci.status(name) == "created"
    oci.ok("start", name)
    assert oci.ok("exec", name, "sh", "-c", "echo late").text == "late"
    oci.ok("kill", name, "KILL")
    oci.wait_for(name, "stopped")
    oci.fails("exec", name, "true", match="not running")
    oci.fails("exec", "nosuch", "true", match="does not exist")


def test_container_without_a_process(oci):
    """A configuration may leave it out: such a container is made, never started, and can be looked into."""
    name = oci.create(["true"], lambda c: c.pop("process"))
    assert oci.ok("exec", name, "/bin/sh", "-c", "echo $((1+1)); pwd").out == "2\n/\n"
    oci.fails("start", name)


def test_paused(oci):
    if oci.mode != "cgroup2":
        pytest.skip("only with a cgroup can it be paused")
    name = started(oci)
    oci.ok("pause", name)
    oci.fails("exec", name, "true", match="paused")
    gone = oci.spawn("exec", "--ignore-paused", name, "touch", "/never")
    runner.wait_for(lambda: len(oci.ok("ps", "-f", "json", name).json()) == 2, 10, "it is in the container")
    os.killpg(gone.pid, signal.SIGTERM)
    assert gone.wait(60) == -signal.SIGTERM
    waits = oci.spawn("exec", "--ignore-paused", name, "sh", "-c", "echo later")
    oci.ok("resume", name)
    out, _ = waits.communicate(timeout=60)
    assert waits.returncode == 0 and out == "later\n"
    runner.wait_for(lambda: len(oci.ok("ps", "-f", "json", name).json()) == 1, 10, "its own process only")
    assert oci("exec", name, "ls", "/never").rc != 0


def test_cgroup(oci):
    """The process is in the container's cgroup, or in one below it."""
    if oci.mode != "cgroup2":
        pytest.skip("only with a cgroup")
    name = started(oci, lambda c: c["mounts"].append(
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["rw"]}))
    oci.ok("exec", name, "busybox", "mkdir", "/sys/fs/cgroup/below")
    # The container's own view: its cgroup is the root.
    where = ["sh", "-c", "cat /proc/self/cgroup"]
    assert "0::/\n" in oci.ok("exec", name, *where).out
    assert "0::/below\n" in oci.ok("exec", "--cgroup", "below", name, *where).out
    oci.fails("exec", "--cgroup", "nosuch", name, "true", match="nosuch")
    oci.fails("exec", "--cgroup", "../..", name, "true", match="--cgroup")


def test_signals_are_handed_on(oci, box):
    p = oci.spawn("exec", box, "sh", "-c", "trap 'echo heard; exit 9' USR1; echo up; while :; do sleep 0.05; done")
    assert p.stdout.readline() == "up\n"
    p.send_signal(signal.SIGUSR1)
    assert p.communicate(timeout=60)[0] == "heard\n" and p.returncode == 9


@rows("A10")
def test_many_at_once(oci, box):
    running = [oci.spawn("exec", box, "sh", "-c", f"echo {n}; exit {n}") for n in range(20)]
    for n, p in enumerate(running):
        out, err = p.communicate(timeout=120)
        assert (p.returncode, out) == (n, f"{n}\n"), err
