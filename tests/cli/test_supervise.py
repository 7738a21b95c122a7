"""The supervisor: states, output, signals, and what remains when a part of it is killed."""
import ctypes
import json
import os
import pathlib
import random
import select
import signal
import subprocess
import time

import pytest

from lib import host
from lib.runner import PATIENCE, wait_for

LOOP = "while :; do sleep 0.05; done"


def container_dir(rootlet, cid):
    return rootlet.store.root / "containers" / cid


def state(rootlet, cid):
    return json.loads((container_dir(rootlet, cid) / "state.json").read_text())


def status(rootlet, name):
    return rootlet.inspect(name)["State"]["Status"]


def alive(pid):
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rsplit(")", 1)[1].split()[0] not in "ZX"


class Watch:
    """All statuses that state.json of a container goes through, by inotify(7)."""

    def __init__(self, directory):
        self.path = directory / "state.json"
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.fd = self.libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        moved_to = 0x80
        assert self.libc.inotify_add_watch(self.fd, str(directory).encode(), moved_to) >= 0
        self.seen = []

    def until(self, last, timeout=10):
        end = time.monotonic() + timeout * PATIENCE
        while time.monotonic() < end:
            if select.select([self.fd], [], [], 0.01)[0]:
                os.read(self.fd, 65536)
            now = json.loads(self.path.read_text())["status"]
            if not self.seen or self.seen[-1] != now:
                self.seen.append(now)
            if now in last:
                break
        return self.seen

    def close(self):
        os.close(self.fd)


def test_state_file(rootlet):
    """A64 B9 B44 B47: one file per container tells all about it, live and afterwards."""
    cid = rootlet.ok("run", "-d", "--name", "c", rootlet.image(), "sleep", "100").text
    s = state(rootlet, cid)
    for key in ("id", "uuid", "pid", "namespaces", "cgroup_path", "rootfs", "status", "started_at",
                "finished_at"):
        assert key in s
    assert (s["status"], s["id"], len(s["id"])) == ("running", cid, 64)
    assert alive(s["pid"]) and alive(s["supervisor_pid"])
    for kind, path in s["namespaces"].items():
        assert path.startswith(f"/proc/{s['pid']}/ns/"), kind
    assert s["started_at"] > s["created_at"] and s["finished_at"] == 0
    rootlet.ok("stop", "-t", "0", "c")
    s = state(rootlet, cid)
    assert (s["status"], s["pid"], s["exit_code"], s["signal"]) == ("stopped", 0, 137, 9)
    assert s["finished_at"] >= s["started_at"]
    for d in (container_dir(rootlet, cid), rootlet.store.root / "containers", rootlet.store.runroot):
        assert d.stat().st_mode & 0o777 == 0o700, d


def watched_start(rootlet, cid):
    """What the state says from before a start to its end."""
    watch = Watch(container_dir(rootlet, cid))
    p = rootlet.spawn("start", "-a", cid, stdin=subprocess.DEVNULL)
    while p.poll() is None:
        watch.until((), timeout=0.01)
    watch.until(("exited",))
    watch.close()
    return p.returncode, watch.seen


def test_created_starting_running(rootlet):
    """B40 B41: starting, running, exited, in this order."""
    cid = rootlet.ok("create", rootlet.image(), "true").text
    order = ["starting", "running", "exited"]
    seen = set()
    for n in range(200):
        code, trace = watched_start(rootlet, cid)
        assert code == 0
        if trace[0] == ("exited" if n else "created"):
            trace.pop(0) # what it was before, unless the start was quicker than the first look
        positions = [order.index(t) for t in trace]
        assert positions == sorted(positions), trace
        seen.update(trace)
        if {"starting", "running"} <= seen:
            return
    pytest.fail(f"only {seen} were to be seen")


@pytest.mark.parametrize("command,code", [("nosuch", 127), ("/etc", 126)])
def test_exec_failure_is_never_running(rootlet, command, code):
    """B41"""
    cid = rootlet.ok("create", "--name", "c", rootlet.image(), command).text
    seen = set()
    for _ in range(10):
        returned, trace = watched_start(rootlet, cid)
        assert returned == code
        seen.update(trace)
    assert "running" not in seen
    s = state(rootlet, cid)
    assert (s["status"], s["exit_code"]) == ("exited", code)
    assert command in s["reason"]
    rootlet.fails("run", "--rm", "--name", "unstarted", rootlet.image(), command, rc=code)
    rootlet.fails("inspect", "unstarted")


def test_killed_from_the_host(rootlet):
    """B13 B14: seen within a second."""
    cid = rootlet.ok("run", "-d", "--name", "c", rootlet.image(), "sleep", "100").text
    os.kill(state(rootlet, cid)["pid"], signal.SIGKILL)
    wait_for(lambda: status(rootlet, "c") == "exited", 1)
    assert rootlet.inspect("c")["State"]["ExitCode"] == 137
    assert rootlet.ok("wait", "c").text == "137"


def test_stop(rootlet):
    """A61: the signal first, SIGKILL when its time is over."""
    image = rootlet.image()
    rootlet.ok("run", "-d", "--name", "good", image, "sh", "-c", f"trap 'exit 3' TERM; {LOOP}")
    rootlet.ok("run", "-d", "--name", "deaf", image, "sh", "-c", f"trap '' TERM; echo up; {LOOP}")
    wait_for(lambda: "up" in rootlet.ok("logs", "deaf").out)
    assert rootlet.ok("stop", "good").seconds < 3 * PATIENCE
    assert rootlet.inspect("good")["State"]["ExitCode"] == 3
    assert status(rootlet, "good") == "stopped"
    r = rootlet.ok("stop", "-t", "1", "deaf")
    assert 0.9 < r.seconds < 1 + 2 * PATIENCE
    assert rootlet.inspect("deaf")["State"]["ExitCode"] == 137
    rootlet.ok("stop", "good")


def test_signals_reach_the_payload(rootlet):
    """B46: by kill, and through the command that runs it."""
    image = rootlet.image()
    script = f"trap 'echo usr1; exit 7' USR1; trap 'echo int; exit 8' INT; echo up; {LOOP}"
    rootlet.ok("run", "-d", "--name", "c", image, "sh", "-c", script)
    wait_for(lambda: "up" in rootlet.ok("logs", "c").out)
    rootlet.ok("kill", "-s", "USR1", "c")
    assert rootlet.ok("wait", "c").text == "7"
    p = rootlet.spawn("run", "--rm", image, "sh", "-c", script)
    assert p.stdout.readline() == "up\n"
    p.send_signal(signal.SIGINT)
    assert p.wait(20) == 8
    assert p.stdout.read() == "int\n"


def test_output_and_log(rootlet):
    """B19 B3: the streams stay apart, live and in the log; runs add up; nothing is lost."""
    script = "echo out; echo err >&2; printf part"
    rootlet.ok("create", "--name", "c", rootlet.image(), "sh", "-c", script)
    for n in (1, 2):
        r = rootlet.ok("start", "-a", "c")
        assert (r.out, r.err) == ("out\npart", "err\n")
        r = rootlet.ok("logs", "c")
        assert (r.out, r.err) == ("out\npart" * n, "err\n" * n)
    data = os.urandom(3 << 20)
    r = rootlet.ok("run", "-i", "--name", "d", rootlet.image(), "cat", input=data, binary=True)
    assert r.out == data
    assert rootlet.ok("logs", "d", binary=True).out == data
    assert rootlet.ok("run", "--rm", rootlet.image(), "sh", "-c",
                      "for i in $(seq 20000); do echo $i; done").out.split() == [
                          str(i + 1) for i in range(20000)]


def test_logs_follow_to_the_end(rootlet):
    rootlet.ok("run", "-d", "--name", "c", rootlet.image(), "sh", "-c",
               "for i in 1 2 3 4 5; do echo $i; sleep 0.1; done; printf end")
    assert rootlet.ok("logs", "-f", "c").out == "1\n2\n3\n4\n5\nend"


def test_reader_that_goes_away(rootlet):
    """As in a pipeline of programs: the payload's writes fail, it ends, nothing stays."""
    r = rootlet.shell(f"rootlet run --rm --name c {rootlet.image()} yes | head -2", timeout=20)
    assert r.out == "y\ny\n"
    wait_for(lambda: rootlet("inspect", "c").rc == 125, 5)


def test_stalled_readers(rootlet):
    """Peers that do not read cost neither the container nor much memory."""
    cid = rootlet.ok("run", "-d", "--name", "c", rootlet.image(), "sh", "-c",
                     "while :; do echo 0123456789012345678901234567890123456789; done").text
    peers = [rootlet.spawn("attach", "c", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
             for _ in range(20)]
    time.sleep(0.3)
    for p in peers:
        os.kill(p.pid, signal.SIGSTOP)
    log = container_dir(rootlet, cid) / "log"
    before = log.stat().st_size
    wait_for(lambda: log.stat().st_size > before + (16 << 20), 30)
    pid = state(rootlet, cid)["supervisor_pid"]
    rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    if not host.SANITIZERS:
        assert int(rollup.split("Rss:")[1].split()[0]) < 8192, rollup
    assert rootlet.ok("stop", "-t", "0", "c").seconds < 5 * PATIENCE
    for p in peers:
        os.kill(p.pid, signal.SIGCONT)
        p.wait(20)


def test_stalled_owner(rootlet):
    """Who started it gets everything: the container waits. A stop does not."""
    p = rootlet.spawn("run", "--name", "c", rootlet.image(), "yes", "0123456789" * 7,
                      stdout=subprocess.PIPE)
    wait_for(lambda: rootlet("inspect", "c").rc == 0 and status(rootlet, "c") == "running")
    time.sleep(0.3)
    log = container_dir(rootlet, rootlet.inspect("c")["Id"]) / "log"
    before = log.stat().st_size
    time.sleep(0.5)
    assert log.stat().st_size == before
    os.kill(p.pid, signal.SIGSTOP)
    assert rootlet.ok("stop", "-t", "0", "c").seconds < 5 * PATIENCE
    assert status(rootlet, "c") == "stopped"
    os.kill(p.pid, signal.SIGCONT)
    p.stdout.close()
    p.wait(20)


def test_ended_with_stalled_owner(rootlet):
    """Once it has ended it can be removed, however long the reader of its output sleeps."""
    p = rootlet.spawn("run", "--name", "c", rootlet.image(), "sh", "-c",
                      "dd if=/dev/zero bs=1k count=400 2>/dev/null")
    # On a busy machine it may have ended before we look.
    wait_for(lambda: rootlet("inspect", "c").rc == 0 and status(rootlet, "c") in ("running", "exited"))
    os.kill(p.pid, signal.SIGSTOP)
    pid = rootlet.inspect("c")["State"]["Pid"]
    if pid:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it has ended by itself between the two
    wait_for(lambda: status(rootlet, "c") == "exited")
    rootlet.ok("rm", "c")
    os.kill(p.pid, signal.SIGCONT)
    p.stdout.close()
    p.wait(20)


def test_pipe_held_open(rootlet):
    """A process that outlives the container with its stdout does not keep it from ending."""
    cid = rootlet.ok("run", "-d", "--name", "c", rootlet.image(), "sleep", "100").text
    pid = state(rootlet, cid)["pid"]
    holder = rootlet.spawn("-c", f"exec 9>/proc/{pid}/fd/1; echo held; sleep 100",
                           program="/bin/sh")
    assert holder.stdout.readline() == "held\n"
    assert rootlet.ok("stop", "-t", "0", "c").seconds < 3 * PATIENCE
    assert status(rootlet, "c") == "stopped"


def test_terminal(rootlet):
    """-it: a real terminal with its size, the keys that detach, and back again."""
    t = rootlet.pty("run", "-it", "--name", "c", rootlet.image(), "sh", rows=33, cols=99)
    t.send("stty size; tty\n")
    t.expect(r"33 99\r\n.*/dev/(pts/0|console)")
    t.resize(44, 111)
    wait_for(lambda: (t.send("stty size\n"), time.sleep(0.2), t._read(0.2), "44 111" in t.output)[3])
    t.send("echo $((6*7))\n")
    t.expect("42\r\n")
    t.send("\x10\x11")
    assert t.wait() == 0
    assert status(rootlet, "c") == "running"
    t = rootlet.pty("attach", "c")
    t.send("\necho again$((1+1))\n")
    t.expect("again2\r\n")
    t.send("exit 5\n")
    assert t.wait() == 5
    assert status(rootlet, "c") == "exited"


def test_ctrl_c_at_the_terminal(rootlet):
    t = rootlet.pty("run", "--rm", "-it", rootlet.image(), "sh", "-c",
                    f"trap 'exit 9' INT; echo up; {LOOP}")
    t.expect("up")
    t.send("\x03")
    assert t.wait() == 9


def test_command_killed_after_the_start(rootlet):
    """The container goes on, with its log."""
    p = rootlet.spawn("run", "--name", "c", rootlet.image(), "sh", "-c",
                      "for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.1; done; exit 6")
    assert p.stdout.readline() == "1\n"
    p.kill()
    p.wait()
    assert status(rootlet, "c") == "running"
    assert rootlet.ok("wait", "c").text == "6"
    assert rootlet.ok("logs", "c").out == "1\n2\n3\n4\n5\n6\n7\n8\n"


@pytest.mark.parametrize("flags", [["--rm"], ["-d"], []])
def test_command_killed_at_any_moment(rootlet, flags):
    """R1: whatever is left of a run can be seen, and removed; the name is free then."""
    rng = random.Random(1)
    image = rootlet.image()
    rootlet.ok("run", "--rm", image, "true")
    states = set()
    for _ in range(60):
        p = rootlet.spawn("run", *flags, "--name", "c", image, "sleep", "100",
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(rng.random() * 0.05 * PATIENCE)
        p.kill()
        p.wait()
        listed = [c for c in rootlet.ok("ps", "-a", "--format", "json").json()]
        states.update(c["State"] for c in listed)
        rootlet.ok("rm", "-f", "c")
        assert rootlet.ok("ps", "-aq").out == ""
        wait_for(lambda: not list((rootlet.store.root / "names").iterdir()), 2)
    assert "running" in states or "created" in states
    rootlet.ok("run", "--rm", "--name", "c", image, "true")


def test_dead(rootlet):
    """B45: a container that can never start again says why, and can be removed."""
    cid = rootlet.ok("create", "--name", "c", rootlet.image(), "true").text
    record = json.loads((container_dir(rootlet, cid) / "container.json").read_text())
    upper = pathlib.Path(record["storage"].get("upper") or record["storage"]["dir"])
    upper.rename(upper.with_name("elsewhere"))
    rootlet.fails("start", "c", match="is gone")
    s = rootlet.inspect("c")["State"]
    assert s["Status"] == "dead" and s["Dead"] and "is gone" in json.dumps(s)
    assert "Dead" in rootlet.ok("ps", "-a").out
    rootlet.fails("start", "c", match="is gone")
    rootlet.ok("rm", "c")


def test_run_timeout(rootlet):
    r = rootlet("run", "--rm", "--timeout", "1", rootlet.image(), "sleep", "100")
    assert r.rc == 137
    assert 0.9 < r.seconds < 1 + 3 * PATIENCE


def test_rm_after_the_command_returned(rootlet):
    """A32: the name is free when `run --rm` returns; without --rm, rm works at once."""
    for _ in range(20):
        rootlet.ok("run", "--rm", "--name", "c", rootlet.image(), "true")
        rootlet.ok("run", "--name", "c", rootlet.image(), "true")
        rootlet.ok("rm", "c")


def test_commands_at_once(rootlet):
    """R6: many starts of one container: one wins, the others say so, and it runs once."""
    rootlet.ok("create", "--name", "c", rootlet.image(), "sleep", "100")
    starts = [rootlet.spawn("start", "c") for _ in range(8)]
    codes = [p.wait(30) for p in starts]
    assert 0 in codes and set(codes) <= {0, 125}
    assert status(rootlet, "c") == "running"
    rms = [rootlet.spawn("rm", "-f", "c") for _ in range(8)]
    assert [p.wait(30) for p in rms] == [0] * 8
    assert rootlet.ok("ps", "-aq").out == ""


def test_protocol_of_a_stranger(rootlet):
    """Rubbish on the socket costs only who sends it."""
    cid = rootlet.ok("run", "-d", "--name", "c", rootlet.image(), "sleep", "100").text
    path = str(rootlet.store.runroot / cid / "attach.sock")
    script = r"""
import os, socket, struct, sys
os.chdir(os.path.dirname(sys.argv[1]))
for packet in (b"x", b"\0" * 16, struct.pack("<IiiI", 2, 0, 0, 7), struct.pack("<IiiI", 64, 0, 0, 0),
               struct.pack("<IiiI", 6, 0, 0, 0), os.urandom(32784), os.urandom(60000),
               struct.pack("<IiiI", 3, -1, 99999999, 0), struct.pack("<IiiI", 4, -5, 0, 0)):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.connect("attach.sock")
    s.send(packet)
    s.settimeout(0.2)
    try:
        s.recv(65536)
    except OSError:
        pass
"""
    rootlet("-c", script, path, program="/usr/bin/python3", rc=0)
    assert status(rootlet, "c") == "running"
    rootlet.ok("stop", "-t", "0", "c")


@pytest.mark.root  # programs that the user owns run from a copy (CVE-2019-5736), which is not shared
def test_memory(rootlet):
    """A supervisor takes less than conmon does (326 KiB PSS among 30)."""
    if host.SANITIZERS:
        pytest.skip("sanitizers take more")
    n = 15
    ids = [rootlet.ok("run", "-d", rootlet.image(), "sleep", "100").text for _ in range(n)]
    time.sleep(1.5)
    pss = []
    for cid in ids:
        rollup = pathlib.Path(f"/proc/{state(rootlet, cid)['supervisor_pid']}/smaps_rollup")
        pss.append(int(rollup.read_text().split("Pss:")[1].split()[0]))
    assert sum(pss) / n < 326, pss
