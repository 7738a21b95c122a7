"""Containers that have outlived their supervisor: what is said of them, and who looks after them then."""
import concurrent.futures
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest

from lib import host, rows
from lib.runner import PATIENCE, wait_for
from test_supervise import alive, container_dir, state, status

AFTER_GO = "while [ ! -e /go ]; do sleep 0.05; done; "
COUNT = AFTER_GO + "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.01; done"


def kill_supervisor(rootlet, cid):
    pid = state(rootlet, cid)["supervisor_pid"]
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not alive(pid))


def orphan(rootlet, *command, flags=()):
    """A running container whose supervisor has been killed: its id and its first process."""
    cid = rootlet.ok("run", "-d", "--name", "c", *flags, rootlet.image(),
                     *(command or ("sleep", "1000"))).text
    kill_supervisor(rootlet, cid)
    return cid, state(rootlet, cid)["pid"]


def actions(rootlet):
    lines = rootlet.ok("events", "--stream=false", "--format", "json").out.splitlines()
    return [json.loads(line)["Status"] for line in lines]


@rows("R2")
def test_it_runs_and_says_who_is_missing(rootlet):
    """Looking changes nothing; exec needs no supervisor."""
    cid, pid = orphan(rootlet)
    now = rootlet.inspect("c")["State"]
    assert (now["Status"], now["Running"], now["Pid"]) == ("running", True, pid)
    assert "its supervisor was killed" in json.dumps(now)
    assert "(unsupervised)" in rootlet.ok("ps").out
    assert rootlet.ok("exec", "c", "echo", "inside").text == "inside"
    assert not alive(state(rootlet, cid)["supervisor_pid"])
    rootlet.fails("rm", "c", rc=2, match="running")
    assert alive(pid)


@pytest.mark.parametrize("command,after", [
    (("stop", "-t", "0"), "stopped"), (("kill",), "exited"), (("start",), "running"),
    (("restart", "-t", "0"), "running"), (("pause", "--signal"), "paused"), (("rm", "-f"), None),
    (("rename", "c"), "running")])
@rows("R2", "B44", "B46")
def test_each_command_finds_it(rootlet, command, after):
    cid, pid = orphan(rootlet)
    words = [*command, "c"] if command[0] != "rename" else ["rename", "c", "d"]
    rootlet.ok(*words)
    if after is None:
        rootlet.fails("inspect", "c")
    else:
        name = words[-1] if command[0] == "rename" else "c"
        wait_for(lambda: status(rootlet, name) == after)
    if command[0] in ("start", "pause"):
        s = state(rootlet, cid)
        assert alive(s["supervisor_pid"]) and s["pid"] == pid and alive(pid)
        assert "unsupervised" not in rootlet.ok("ps").out
    elif command[0] == "restart":
        assert not alive(pid) and alive(state(rootlet, cid)["pid"])
    elif command[0] != "rename":
        wait_for(lambda: not alive(pid))
    if command[0] in ("stop", "kill", "rm"):
        assert "died" in actions(rootlet)
    if command[0] == "pause":
        rootlet.ok("unpause", "c")
        assert status(rootlet, "c") == "running"
        rootlet.ok("pause", "--signal", "c")
        kill_supervisor(rootlet, cid)
        assert status(rootlet, "c") == "paused"
        rootlet.ok("unpause", "c")
        assert status(rootlet, "c") == "running"


@pytest.mark.parametrize("code", [0, 7])
@rows("B13", "B14", "R2")
def test_exit_status_of_a_process_that_is_no_child(rootlet, code):
    cid, _ = orphan(rootlet, "sh", "-c", AFTER_GO + f"exit {code}")
    waiter = rootlet.spawn("wait", "c")
    wait_for(lambda: alive(state(rootlet, cid)["supervisor_pid"]))
    rootlet.go("c")
    assert waiter.communicate(timeout=20)[0] == f"{code}\n"
    assert status(rootlet, "c") == "exited"


@rows("B19", "R2")
def test_not_a_line_is_lost(rootlet):
    """The pipe has a reader without the supervisor, so that nobody dies of writing to it."""
    cid, pid = orphan(rootlet, "sh", "-c", COUNT)
    rootlet.go("c")
    time.sleep(0.5)
    assert alive(pid)
    follower = rootlet.spawn("logs", "-f", "c")  # it looks after it from now on
    wait_for(lambda: alive(state(rootlet, cid)["supervisor_pid"]))
    wait_for(lambda: rootlet.ok("logs", "c").out.count("\n") > 30)
    rootlet.ok("stop", "-t", "0", "c")
    follower.communicate(timeout=20)
    lines = rootlet.ok("logs", "c").out.split("\n")[:-1]
    assert lines == [f"line {n + 1}" for n in range(len(lines))]


@rows("R2")
def test_full_pipe_waits(rootlet):
    """More than it holds: who writes waits for the next supervisor."""
    _, pid = orphan(rootlet, "sh", "-c", AFTER_GO + "seq 1 40000; echo end; sleep 1000")
    rootlet.go("c")
    time.sleep(0.3)
    assert alive(pid)
    rootlet.ok("start", "c")
    wait_for(lambda: rootlet.ok("logs", "c").out.endswith("end\n"))
    assert rootlet.ok("logs", "c").out.split() == [*map(str, range(1, 40001)), "end"]


@rows("A58", "B46")
def test_attach_to_an_orphan(rootlet):
    """Input too."""
    orphan(rootlet, "sh", "-c", "sleep 0.5; while :; do read x && echo got $x; sleep 0.05; done",
           flags=("-i",))
    p = rootlet.spawn("attach", "c")
    wait_for(lambda: "unsupervised" not in rootlet.ok("ps").out)
    p.stdin.write("word\n")
    p.stdin.flush()
    assert p.stdout.readline() == "got word\n"
    rootlet.ok("rm", "-f", "c")


@rows("B44", "R2")
def test_it_ended_while_nobody_looked(rootlet):
    """Its end is written down, once, by the next command that changes anything."""
    cid, pid = orphan(rootlet)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: status(rootlet, "c") == "exited")
    assert "Exited (255)" in rootlet.ok("ps", "-a").out
    assert state(rootlet, cid)["status"] == "running"  # reading does not write
    assert "died" not in actions(rootlet)
    rootlet.ok("stop", "c")
    s = state(rootlet, cid)
    assert (s["status"], s["exit_code"], s["pid"]) == ("exited", 255, 0)
    rootlet.ok("stop", "c")
    rootlet.ok("start", "c")
    assert actions(rootlet).count("died") == 1
    assert status(rootlet, "c") == "running"


def test_policy_holds_again(rootlet):
    """restart policies, --timeout and --rm are the new supervisor's business, too."""
    cid, pid = orphan(rootlet, flags=("--restart", "always"))
    rootlet.ok("start", "c")
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: state(rootlet, cid)["pid"] not in (0, pid))
    assert rootlet.inspect("c")["RestartCount"] == 1
    rootlet.ok("rm", "-f", "c")
    orphan(rootlet, flags=("--timeout", "2"))
    rootlet.ok("start", "c")
    assert rootlet.ok("wait", "c", timeout=20).text == "137"
    rootlet.ok("rm", "c")
    cid, pid = orphan(rootlet, flags=("--rm",))
    rootlet.ok("start", "c")
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not container_dir(rootlet, cid).exists())


def test_many_find_it_at_once(rootlet):
    cid, pid = orphan(rootlet)
    starts = [rootlet.spawn("start", "c") for _ in range(8)]
    ends = [(p.wait(30), p.stderr.read()) for p in starts]
    assert [code for code, _ in ends] == [0] * 8, ends
    s = state(rootlet, cid)
    assert s["pid"] == pid and alive(pid) and alive(s["supervisor_pid"])
    rootlet.ok("stop", "-t", "0", "c")


@rows("R7", "A64")
def test_no_foreign_process_is_touched(rootlet):
    """A number that was given to another process since; another boot."""
    cid, pid = orphan(rootlet)
    path = container_dir(rootlet, cid) / "state.json"
    kept = path.read_text()
    time.sleep(2 / os.sysconf("SC_CLK_TCK"))  # a start is told by the tick of the clock
    other = rootlet.spawn("100", program="/bin/sleep", stdin=subprocess.DEVNULL)
    s = json.loads(kept)
    stat = pathlib.Path(f"/proc/{other.pid}/stat").read_text().rsplit(")", 1)[1].split()
    for change in ({"pid": other.pid},
                   {"pid": other.pid, "pid_start": int(stat[19]), "boot_id": "0" * 36}):
        path.write_text(json.dumps({**s, **change}))
        assert status(rootlet, "c") == "exited"
        rootlet.ok("stop", "-t", "0", "c")
        rootlet.fails("kill", "c", match="not running")
        rootlet.ok("start", "c")
        rootlet.ok("stop", "-t", "0", "c")
        assert other.poll() is None
    path.write_text(json.dumps({**s, "pid": other.pid}))
    rootlet.ok("rm", "-f", "c")
    assert other.poll() is None
    os.kill(pid, signal.SIGKILL)  # the one whose record we have spoilt
    other.kill()


def test_pipe_that_is_not_ours_is_not_opened(rootlet):
    """What the payload has put in the place of its output stays its own."""
    cid, pid = orphan(rootlet, "sh", "-c",
                      "mkfifo /f; (echo mine > /f; sleep 1000) & exec < /f > /f 2>&1; sleep 1000")
    wait_for(lambda: os.readlink(f"/proc/{pid}/fd/1").endswith("/f"))
    rootlet.ok("start", "c")
    assert rootlet.ok("logs", "c").out == ""
    supervisor = state(rootlet, cid)["supervisor_pid"]
    assert not [link for link in host.descriptors(supervisor).values() if link.endswith("/f")]
    rootlet.ok("stop", "-t", "0", "c")


@rows("R13")
def test_stopped_supervisor(rootlet):
    """Who needs it says who does not answer; looking and rm -f work without it."""
    cid = rootlet.ok("run", "-d", "--name", "c", rootlet.image(), "sleep", "1000").text
    s = state(rootlet, cid)
    os.kill(s["supervisor_pid"], signal.SIGSTOP)
    assert rootlet.ok("ps", "-q").text == cid[:12]
    assert rootlet.ok("exec", "c", "echo", "inside").text == "inside"

    def ask(words):
        r = rootlet.fails(*words, match=rf"supervisor \(process {s['supervisor_pid']}\) does not "
                          "answer: it was stopped")
        assert "kill -CONT" in r.err
        assert 1.9 < r.seconds < 3 + 5 * PATIENCE
    with concurrent.futures.ThreadPoolExecutor() as at_once:
        list(at_once.map(ask, (("stop", "c"), ("kill", "c"), ("rename", "c", "d"), ("pause", "--signal", "c"), ("attach", "c"))))
    assert alive(s["pid"])
    rootlet.ok("rm", "-f", "c")
    assert not alive(s["pid"]) and not alive(s["supervisor_pid"])
    cid = rootlet.ok("run", "-d", "--name", "c", rootlet.image(), "sleep", "1000").text
    pid = state(rootlet, cid)["supervisor_pid"]
    os.kill(pid, signal.SIGSTOP)
    p = rootlet.spawn("stop", "-t", "0", "c")
    time.sleep(0.5)
    os.kill(pid, signal.SIGCONT)
    assert p.wait(20) == 0


@rows("R13")
def test_killed_before_it_has_read(rootlet):
    """What was sent to a supervisor that is just dying, is asked again of the next one."""
    cid = rootlet.ok("run", "-d", "--name", "c", rootlet.image(), "sleep", "1000").text
    pid = state(rootlet, cid)["pid"]
    for words in (("rename", "c", "d"), ("pause", "--signal", "d"), ("unpause", "d"), ("stop", "-t", "0", "d")):
        supervisor = state(rootlet, cid)["supervisor_pid"]
        os.kill(supervisor, signal.SIGSTOP)
        p = rootlet.spawn(*words, stderr=subprocess.PIPE)
        # It has sent its request, and waits.
        wait_for(lambda p=p: os.path.exists(f"/proc/{p.pid}") and host.sleeps(p.pid) and
                 any(v.startswith("socket:") for n, v in host.descriptors(p.pid).items() if n > 2))
        os.kill(supervisor, signal.SIGKILL)
        assert p.wait(30) == 0, (words, p.stderr.read())
        p.stderr.close()
    assert not alive(pid)


@pytest.mark.parametrize("term", ["restart-policy=always", "should-start-on-boot=true"])
def test_ended_with_nobody_to_see(rootlet, term):
    """What should be restarted is, by what a boot does: nobody was there at its end."""
    cid = rootlet.ok("run", "-d", "--name", "c", "--restart", "always", rootlet.image(), "sleep", "1000").text
    s = state(rootlet, cid)
    for pid in (s["supervisor_pid"], s["pid"]):
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda pid=pid: not alive(pid))
    assert not rootlet.inspect("c")["State"]["Running"]
    assert rootlet.ok("start", "--all", "--filter", term).text == cid
    assert alive(state(rootlet, cid)["pid"]) and rootlet.ok("ps", "-q").text == cid[:12]
    rootlet.ok("rm", "-f", "-t", "0", "c")


@rows("B46")
def test_supervisor_does_not_grow(rootlet):
    """Execs, peers that come and go, signals, and a reader that stands still while much is written."""
    cid = rootlet.ok("run", "-d", "--name", "c", rootlet.image(), "sh", "-c", AFTER_GO + "exec yes").text
    pid = state(rootlet, cid)["supervisor_pid"]
    socket_path = rootlet.store.runroot / cid / "attach.sock"
    churn(rootlet, socket_path, 200)
    time.sleep(1.5)
    before = footprint(pid)
    churn(rootlet, socket_path, int(os.environ.get("ROOTLET_TEST_PEERS", "3000")))
    for _ in range(20):
        rootlet.ok("exec", "c", "true")
    stalled = rootlet.spawn("attach", "--no-stdin", "c")
    rootlet.go("c")
    log = container_dir(rootlet, cid) / "log"
    wait_for(lambda: log.stat().st_size > (8 << 20), 30)
    stalled.kill()
    rootlet.ok("pause", "--signal", "c")
    time.sleep(1.5)
    after = footprint(pid)
    assert after["fds"] == before["fds"], (before, after)
    if not host.SANITIZERS:
        assert after["anonymous"] <= before["anonymous"] + 64, (before, after)


def footprint(pid):
    rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return {"fds": len(list(pathlib.Path(f"/proc/{pid}/fd").iterdir())),
            "anonymous": int(rollup.split("Anonymous:")[1].split()[0])}


def churn(rootlet, path, n):
    """Peers that attach, ask for a size, and leave without a word."""
    script = r"""
import os, socket, struct, sys
os.chdir(os.path.dirname(sys.argv[1]))
for i in range(int(sys.argv[2])):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.connect("attach.sock")
    s.send(struct.pack("<IiiI", 1, 6, 0, 0))
    s.send(struct.pack("<IiiI", 3, 24, 80, 0))
    if i % 2:
        s.recv(4096)
    s.close()
"""
    rootlet("-c", script, str(path), str(n), program="/usr/bin/python3", rc=0)


@rows("R7", "A64")
def test_after_a_reboot(rootlet):
    """The run root is empty, the boot another, and each number in the records somebody else's by now."""
    other = rootlet.spawn("100", program="/bin/sleep", stdin=subprocess.DEVNULL)
    stat = pathlib.Path(f"/proc/{other.pid}/stat").read_text().rsplit(")", 1)[1].split()
    who = {"pid": other.pid, "pid_start": int(stat[19]), "supervisor_pid": other.pid,
           "supervisor_start": int(stat[19]), "boot_id": "0" * 36}
    names = ("plain", "paused", "always")
    for name in names:
        flags = ("--restart", "always") if name == "always" else ()
        cid = rootlet.ok("run", "-d", "--name", name, *flags, rootlet.image(), "sleep", "1000").text
        if name == "paused":
            rootlet.ok("pause", "--signal", name)
        kill_supervisor(rootlet, cid)
        os.kill(state(rootlet, cid)["pid"], signal.SIGKILL)
        wait_for(lambda c=cid: not alive(state(rootlet, c)["pid"]))
        shutil.rmtree(rootlet.store.runroot / cid, ignore_errors=True)
        path = container_dir(rootlet, cid) / "state.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **who}))
    assert {status(rootlet, name) for name in names} == {"exited"}
    assert rootlet.ok("ps", "-q").out == ""
    for name in names:
        for words in (("kill", name), ("pause", "--signal", name), ("exec", name, "true")):
            assert rootlet(*words).rc != 0
        rootlet("unpause", name)
        rootlet.ok("stop", "-t", "0", name)
        assert status(rootlet, name) == "exited"
    assert other.poll() is None
    rootlet.ok("start", "plain", "paused")
    assert {status(rootlet, name) for name in names[:2]} == {"running"}
    rootlet.ok("rm", "-f", *names)
    assert other.poll() is None
    assert "State:\tS" in pathlib.Path(f"/proc/{other.pid}/status").read_text()
    other.kill()
