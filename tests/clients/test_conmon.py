"""conmon by itself, as podman and CRI-O start it: what it takes from the runtime and what it gives
to its parent. The comparison is runc. Row A10."""
import array
import contextlib
import json
import os
import re
import shutil
import socket
import subprocess

import pytest

from lib import runner

BASELINE = "runc"
NEEDS = ("conmon",)


class Conmon:
    """One bundle and what conmon makes of it: bundle, pidfile, log, the exit file."""

    def __init__(self, machine, runtime, name, program, terminal=False, **config):
        self.machine, self.runtime, self.name = machine, runtime, name
        self.bundle = machine.own_dir(name)
        machine.rootfs(f"{name}/rootfs")
        self.pidfile, self.log = self.bundle / "pid", self.bundle / "log"
        self.exits = machine.own_dir(f"{name}/exits")
        self.root = f"/run/{name}"
        spec = {"ociVersion": "1.0.2", "root": {"path": "rootfs"}, "hostname": name,
                "process": {"args": program, "cwd": "/", "env": ["PATH=/bin", "TERM=xterm"],
                            "user": {"uid": 0, "gid": 0}, "terminal": terminal},
                "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"},
                           {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
                            "options": ["nosuid", "mode=755"]},
                           {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
                            "options": ["newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]}],
                "linux": {"cgroupsPath": f"/{name}",
                          "namespaces": [{"type": t} for t in
                                         ("pid", "mount", "uts", "ipc", "network", "cgroup")]}}
        spec["process"].update(config)
        self.process = spec["process"]
        (self.bundle / "config.json").write_text(json.dumps(spec))

    def argv(self, *more):
        return ["conmon", "--api-version", "1", "-c", self.name, "-u", self.name, "-r", self.runtime,
                "-b", self.bundle, "-p", self.pidfile, "-n", self.name, "--exit-dir", self.exits,
                "--full-attach", "-l", f"k8s-file:{self.log}", "--log-level", "warning",
                "--runtime-arg", "--root", "--runtime-arg", self.root, "--runtime-arg=--log-format=json",
                "--runtime-arg", "--log", "--runtime-arg", f"{self.bundle}/oci-log", *more]

    def create(self, *more):
        """Runs conmon up to its report on the sync pipe, which it is told of by _OCI_SYNCPIPE."""
        r, w = os.pipe()
        start_r, start_w = os.pipe()
        env = {"_OCI_SYNCPIPE": str(w), "_OCI_STARTPIPE": str(start_r)}
        self.process_ = self.machine.spawn(*self.argv(*more), env=env, pass_fds=(w, start_r))
        os.close(w)
        os.close(start_r)
        # podman moves conmon into a cgroup before it lets it go on.
        os.write(start_w, b"\0")
        os.close(start_w)
        with os.fdopen(r) as f:
            self.report = json.loads(f.readline())
        return self.report

    def exec(self, program, *more):
        spec = {**self.process, "args": program, "terminal": False}
        path = self.bundle / "process.json"
        path.write_text(json.dumps(spec))
        r, w = os.pipe()
        start_r, start_w = os.pipe()
        attach_r, attach_w = os.pipe()
        env = {"_OCI_SYNCPIPE": str(w), "_OCI_STARTPIPE": str(start_r), "_OCI_ATTACHPIPE": str(attach_w)}
        argv = self.argv(*more, "-e", "--exec-process-spec", path)
        words = [str(a) for a in argv]
        words[words.index("-p") + 1] = f"{self.bundle}/exec-pid"
        words[words.index("-l") + 1] = f"k8s-file:{self.bundle}/exec-log"
        words[words.index("-u") + 1] = "execsession"
        self.machine.spawn(*words, env=env, pass_fds=(w, start_r, attach_w))
        for fd in (w, start_r, attach_w, attach_r):
            os.close(fd)
        os.write(start_w, b"\0\0")
        os.close(start_w)
        with os.fdopen(r) as f:
            lines = [json.loads(line) for line in f]
        return lines

    def oci(self, *args, rc=0):
        return self.machine.run(self.runtime, "--root", self.root, *args, rc=rc)

    def status(self):
        return json.loads(self.oci("state", self.name).out)["status"]

    def exit_code(self):
        path = self.exits / self.name
        runner.wait_for(path.exists, 20, "the exit file")
        return int(runner.wait_for(path.read_text))

    def lines(self):
        """(stream, P or F, text) of the log."""
        text = self.log.read_text()
        return [re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}\S+ (\w+) ([PF]) (.*)", line).groups()
                for line in text.splitlines()]

    def end(self):
        self.machine.run(self.runtime, "--root", self.root, "delete", "-f", self.name)
        self.machine.end_children()
        self.machine.run("rm", "-rf", self.root)
        shutil.rmtree(self.bundle, ignore_errors=True)


@pytest.fixture
def conmon(machine, runtime, leak_audit):
    made = []

    def make(*program, **kw):
        made.append(Conmon(machine, runtime, f"con{len(made)}", list(program), **kw))
        return made[-1]
    yield make
    for c in made:
        c.end()


def test_report_pid_file_and_state(conmon):
    c = conmon("sleep", "1000")
    report = c.create()
    assert report["data"] > 0, report
    assert int(c.pidfile.read_text()) == report["data"]
    assert c.status() == "created"
    state = json.loads(c.oci("state", c.name).out)
    assert (state["pid"], state["id"], state["bundle"]) == (report["data"], c.name, str(c.bundle))
    # Until "start" it is the runtime that waits in the container.
    comm = c.machine.ok("cat", f"/proc/{report['data']}/comm").text
    assert comm != "sleep"
    c.oci("start", c.name)
    runner.wait_for(lambda: c.machine.ok("cat", f"/proc/{report['data']}/comm").text == "sleep")
    assert c.status() == "running"
    parent = c.machine.ok("sed", "-n", "s/^PPid:\\t//p", f"/proc/{report['data']}/status").text
    # The reaper of the container is conmon.
    assert c.machine.ok("cat", f"/proc/{parent}/comm").text == "conmon"
    c.oci("kill", c.name, "KILL")
    assert c.exit_code() == 137
    runner.wait_for(lambda: c.status() == "stopped")


@pytest.mark.parametrize("code", [0, 1, 42, 255])
def test_exit_file(conmon, code):
    c = conmon("sh", "-c", f"exit {code}")
    c.create()
    c.oci("start", c.name)
    assert c.exit_code() == code


def test_exit_before_start(conmon):
    c = conmon("sleep", "1000")
    c.create()
    c.oci("kill", c.name, "KILL")
    assert c.exit_code() == 137
    runner.wait_for(lambda: c.status() == "stopped")
    assert c.oci("start", c.name, rc=None).rc != 0


def test_log(conmon):
    c = conmon("sh", "-c", "echo one; echo two >&2; printf three; sleep 0.2; echo four")
    c.create()
    c.oci("start", c.name)
    assert c.exit_code() == 0
    lines = c.lines()
    assert [line for line in lines if line[0] == "stderr"] == [("stderr", "F", "two")]
    assert [line for line in lines if line[0] == "stdout"] == [
        ("stdout", "F", "one"), ("stdout", "P", "three"), ("stdout", "F", "four")]


def test_failure_is_reported(conmon):
    """The parent gets -1 with what the runtime said on stderr, or finds it in --log."""
    c = conmon("/no/such/program")
    report = c.create()
    assert report["data"] == -1
    said = report.get("message", "") + (c.bundle / "oci-log").read_text()
    assert "no such file or directory" in said
    entries = [json.loads(line) for line in (c.bundle / "oci-log").read_text().splitlines()]
    assert entries and all({"level", "msg", "time"} <= set(e) for e in entries)
    assert any(e["level"] == "error" for e in entries)
    assert c.oci("state", c.name, rc=None).rc != 0


def test_configuration_that_is_refused(conmon):
    c = conmon("true")
    (c.bundle / "config.json").write_text("{")
    assert c.create()["data"] == -1
    assert (c.bundle / "oci-log").read_text()


def test_terminal(conmon):
    """The runtime sends the terminal through conmon's console socket."""
    c = conmon("sh", "-c", "tty; stty size; exit 3", terminal=True, consoleSize={"height": 33, "width": 77})
    assert c.create("-t")["data"] > 0
    c.oci("start", c.name)
    assert c.exit_code() == 3
    assert [line[2].rstrip("\r") for line in c.lines()] == ["/dev/pts/0", "33 77"]


def attach(c):
    """The socket in the bundle that --full-attach makes; packets begin with the stream's number."""
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    runner.wait_for(lambda: os.path.exists(c.bundle / "attach"))
    s.settimeout(20)
    s.connect(str(c.bundle / "attach"))
    return s


def test_attach(conmon):
    c = conmon("sh", "-c", "read a; echo got $a; echo err >&2; exit 2")
    assert c.create("-i")["data"] > 0
    with attach(c) as s:
        c.oci("start", c.name)
        s.send(b"word\n")
        got = {}
        with contextlib.suppress(OSError):
            while packet := s.recv(65536):
                got[packet[0]] = got.get(packet[0], b"") + packet[1:]
    assert got == {2: b"got word\n", 3: b"err\n"}
    assert c.exit_code() == 2


def test_attach_to_a_terminal(conmon):
    c = conmon("sh", "-c", "read a; echo got $a", terminal=True)
    assert c.create("-t", "-i")["data"] > 0
    with attach(c) as s:
        c.oci("start", c.name)
        s.send(b"word\n")
        got = b""
        with contextlib.suppress(OSError):
            while packet := s.recv(65536):
                got += packet[1:]
    assert b"got word" in got
    assert c.exit_code() == 0


def test_timeout(conmon):
    c = conmon("sleep", "1000")
    c.create("-T", "1")
    c.oci("start", c.name)
    assert c.exit_code() != 0


def test_exit_command(conmon):
    c = conmon("sh", "-c", "exit 5")
    mark = c.bundle / "ended"
    c.create("--exit-command", "/bin/sh", "--exit-command-arg", "-c", "--exit-command-arg",
             f"echo done >{mark}")
    c.oci("start", c.name)
    assert c.exit_code() == 5
    runner.wait_for(lambda: mark.exists() and mark.read_text() == "done\n")


def test_exec(conmon):
    """-e: conmon runs "exec --pid-file --process --detach", and reports pid and then exit status."""
    c = conmon("sleep", "1000")
    c.create()
    c.oci("start", c.name)
    lines = c.exec(["sh", "-c", "echo inside; readlink /proc/1/ns/pid; exit 6"])
    assert lines[0]["data"] > 0, lines
    assert lines[-1]["data"] == 6, lines
    log = (c.bundle / "exec-log").read_text()
    assert " stdout F inside" in log
    init = c.machine.ok("readlink", f"/proc/{int(c.pidfile.read_text())}/ns/pid").text
    assert init in log


def test_exec_that_fails(conmon):
    c = conmon("sleep", "1000")
    c.create()
    c.oci("start", c.name)
    lines = c.exec(["/no-such"])
    assert lines[-1]["data"] != 0, lines
    assert "no such file or directory" in json.dumps(lines) + (c.bundle / "oci-log").read_text()


def test_no_descriptor_of_conmon_is_inherited(conmon):
    c = conmon("sh", "-c", "ls -l /proc/self/fd")
    c.create()
    c.oci("start", c.name)
    assert c.exit_code() == 0
    names = [line[2].split()[8] for line in c.lines() if " -> " in line[2]]
    assert names in (["0", "1", "2"], ["0", "1", "2", "3"])


def test_notification_of_a_listener(conmon):
    """linux.seccomp.listenerPath is conmon's --seccomp-notify-socket: the runtime sends the descriptor
    and the state of the container to it."""
    c = conmon("mkdir", "/tmp/asked")
    path = c.bundle / "seccomp"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(path))
        server.listen(1)
        server.settimeout(20)
        spec = json.loads((c.bundle / "config.json").read_text())
        spec["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": str(path),
                                    "listenerMetadata": "meta", "syscalls": [
                                        {"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]}
        spec["process"]["noNewPrivileges"] = False
        (c.bundle / "config.json").write_text(json.dumps(spec))
        child = c.machine.spawn(*c.argv())
        runner.wait_for(lambda: c.oci("state", c.name, rc=None).rc == 0)
        started = c.machine.spawn(c.runtime, "--root", c.root, "start", c.name)
        peer, _ = server.accept()
        with peer:
            data, ancillary, _flags, _ = peer.recvmsg(65536, socket.CMSG_SPACE(4))
        state = json.loads(data)
        assert state["metadata"] == "meta" and state["state"]["id"] == c.name
        assert state["fds"] == ["seccompFd"]
        fds = array.array("i", ancillary[0][2])
        assert os.readlink(f"/proc/self/fd/{fds[0]}") == "anon_inode:seccomp notify"
        os.close(fds[0])
    # Nobody answers any more: the call fails in the container.
    assert c.exit_code() == 1
    for p in (child, started):
        with contextlib.suppress(subprocess.TimeoutExpired):
            p.communicate(timeout=20)
