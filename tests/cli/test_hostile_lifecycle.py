"""Processes of containers under attack: run roots that vanish, supervisors that are killed, peers that
send what they should not, environments of the command that takes a container over."""
import json
import os
import pathlib
import shutil
import signal
import socket
import time

import pytest

from lib import host, rows
from lib.runner import wait_for
from test_supervise import alive, state
from test_survivors import footprint, kill_supervisor, orphan


def children_of_name(name):
    """Processes of this command line."""
    found = []
    for d in pathlib.Path("/proc").iterdir():
        try:
            if d.name.isdigit() and name in (d / "cmdline").read_bytes().decode(errors="replace").split("\0"):
                found.append(int(d.name))
        except OSError:
            pass
    return [pid for pid in found if alive(pid)]


@rows("R2", "R14")
def test_run_root_is_gone(rootlet):
    """As after a logout: nobody hears that it has ended while it runs, and rm -f leaves no process."""
    cid = rootlet.ok("run", "-d", "--restart", "always", "--name", "c", rootlet.image(), "sleep", "1000").text
    s = state(rootlet, cid)
    shutil.rmtree(rootlet.store.runroot)
    for words in (("stop", "-t", "0", "c"), ("kill", "c"), ("restart", "-t", "0", "c")):
        r = rootlet.fails(*words, match=rf"supervisor \(process {s['supervisor_pid']}\) cannot be reached")
        assert "rm -f" in r.err
        assert alive(s["pid"])
    rootlet.ok("rm", "-f", "c")
    assert not alive(s["pid"]) and not alive(s["supervisor_pid"])
    rootlet.fails("inspect", "c")


@pytest.mark.parametrize("how", ["stop", "rm", "died", "stuck"])
@rows("R14")
def test_processes_in_the_hosts_namespace(rootlet, how):
    """Of one that shares the host's processes and has no group, after its supervisor's death too."""
    mark = f"1{os.getpid()}{time.monotonic_ns() % 10**6}"
    cid, pid = orphan(rootlet, "sh", "-c", f"setsid sleep {mark} & exec sleep 1000", flags=("--pid", "host"))
    wait_for(lambda: children_of_name(mark))
    if how == "stop":
        rootlet.ok("stop", "-t", "0", "c")
    if how == "died":
        rootlet.ok("start", "c")
        os.kill(pid, signal.SIGKILL)
    if how == "stuck":
        rootlet.ok("start", "c")
        os.kill(state(rootlet, cid)["supervisor_pid"], signal.SIGSTOP)
    if how in ("rm", "stuck"):
        rootlet.ok("rm", "-f", "c")
    wait_for(lambda: not children_of_name(mark))


@rows("R2", "R14")
def test_health_check_ends_with_its_supervisor(rootlet):
    mark = f"1{os.getpid()}{time.monotonic_ns() % 10**6}"
    cid = rootlet.ok("run", "-d", "--name", "c", "--health-cmd", f"exec sleep {mark}", "--health-interval", "100ms",
                     rootlet.image(), "sleep", "1000").text
    wait_for(lambda: children_of_name(mark))
    kill_supervisor(rootlet, cid)
    wait_for(lambda: not children_of_name(mark))


def test_environment_of_the_one_who_meets_it(rootlet):
    """A stop in somebody's ExecStop= must not tell that service's manager of the container's later runs."""
    path = rootlet.user.home / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(str(path))
        path.chmod(0o777)
        s.setblocking(False)
        cid, pid = orphan(rootlet, flags=("--restart", "always", "--sdnotify", "monitor"))
        rootlet.ok("start", "c", env={"NOTIFY_SOCKET": path})
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: state(rootlet, cid)["pid"] not in (0, pid) and state(rootlet, cid)["status"] == "running")
        rootlet.ok("stop", "-t", "0", "c")
        with pytest.raises(BlockingIOError):
            s.recv(4096)
    path.unlink()


def test_copy_of_a_store(rootlet):
    """What its records name runs elsewhere: nothing that is done to the copy reaches it."""
    cid = rootlet.ok("run", "-d", "--name", "c", rootlet.image(), "sleep", "1000").text
    s = state(rootlet, cid)
    other, runroot = f"{rootlet.store.root}-copy", f"{rootlet.store.runroot}-copy"
    rootlet.shell(f"mkdir -m 700 -p {other}/containers/{cid} && cd {rootlet.store.root} && cp -a names {other} && "
                  f"cp containers/{cid}/*.json {other}/containers/{cid}")
    copy = {"ROOTLET_ROOT": other, "ROOTLET_RUNROOT": runroot}
    state_now = rootlet.ok("inspect", "c", env=copy).json()[0]["State"]
    assert state_now["Status"] == "exited" and "copied" in str(state_now)
    rootlet.ok("stop", "-t", "0", "c", env=copy)
    rootlet.fails("kill", "c", env=copy, match="not running")
    rootlet.ok("rm", "-f", "c", env=copy)
    assert alive(s["pid"]) and alive(s["supervisor_pid"])
    assert rootlet.inspect("c")["State"]["Status"] == "running"
    rootlet.ok("rm", "-f", "c")
    rootlet.shell(f"rm -rf {other} {runroot}")


SPAM = r"""
import os, socket, struct, sys
os.chdir(os.path.dirname(sys.argv[1]))

def peer():
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.connect("attach.sock")
    s.settimeout(5)
    s.send(struct.pack("<IiiI", 1, 1, 0, 0))
    s.recv(4096)
    return s

for i in range(60):
    s = peer()
    try:
        for n in range(15):
            s.send(struct.pack("<IiiI", 2, 0, 0, 16000) + b"x" * 16000)
    except OSError:  # it was dropped
        pass
    s.close()
s = peer()
for i in range(int(sys.argv[2])):
    s.send(struct.pack("<IiiI", 2, 0, 0, 0))
"""


@rows("B46")
def test_input_that_nobody_takes(rootlet):
    """Ends of input without end, and peers that leave their input behind, cost a bounded memory."""
    cid = rootlet.ok("run", "-d", "-i", "--name", "c", rootlet.image(), "sleep", "1000").text
    pid = state(rootlet, cid)["supervisor_pid"]
    path = rootlet.store.runroot / cid / "attach.sock"
    before = footprint(pid)
    rootlet("-c", SPAM, str(path), "100000", program="/usr/bin/python3", rc=0)
    after = footprint(pid)
    assert after["anonymous"] <= before["anonymous"] + 4096, (before, after)
    rootlet.ok("stop", "-t", "0", "c")


def comm(pid):
    """Its own name; "" when it has ended."""
    try:
        return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


@rows("R2")
def test_no_descriptor_of_the_host_in_any_process(rootlet):
    """Of an adopted container's next run, of an exec and of a health check: three each."""
    mark = f"1{os.getpid()}{time.monotonic_ns() % 10**6}"
    cid, pid = orphan(rootlet, flags=("--restart", "always", "--health-cmd", f"exec sleep {mark}",
                                      "--health-interval", "100ms"))
    with open(rootlet.user.home / "held", "w+") as held:
        rootlet.ok("start", "c", pass_fds=[held.fileno()])
        supervisor = state(rootlet, cid)["supervisor_pid"]
        assert not [f for f in host.descriptors(supervisor).values() if f.endswith("/held")]
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: state(rootlet, cid)["pid"] not in (0, pid) and state(rootlet, cid)["status"] == "running")
        new = state(rootlet, cid)["pid"]
        assert sorted(host.descriptors(new)) == [0, 1, 2]
        wait_for(lambda: children_of_name(mark))
        p = rootlet.spawn("exec", "c", "sleep", mark + "9", pass_fds=[held.fileno()])
        wait_for(lambda: children_of_name(mark + "9"))
        for n in (mark, mark + "9"):
            for one in children_of_name(n):
                if comm(one) == "sleep":
                    assert sorted(host.descriptors(one)) == [0, 1, 2]
    rootlet.ok("rm", "-f", "c")
    p.kill()
    (rootlet.user.home / "held").unlink()


FIELDS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Uid", "Gid", "Groups",
          "SigBlk", "SigIgn", "Umask")


def privileges(text):
    return {line.split(":")[0]: line.split(":")[1].split() for line in text.splitlines()
            if line.split(":")[0] in FIELDS}


def exec_privileges(rootlet):
    """As seen from outside, as the first one's."""
    mark = f"1{os.getpid()}{time.monotonic_ns() % 10**6}"
    p = rootlet.spawn("exec", "c", "sleep", mark)
    wait_for(lambda: [pid for pid in children_of_name(mark) if comm(pid) == "sleep"])
    pid, = [pid for pid in children_of_name(mark) if comm(pid) == "sleep"]
    found = privileges(pathlib.Path(f"/proc/{pid}/status").read_text())
    os.kill(pid, signal.SIGKILL)
    assert p.wait(60) == 137
    return found


@rows("R2", "B46")
def test_the_next_run_is_as_the_first(rootlet):
    """What the one that takes it over has, ignores or masks is not the container's."""
    cid, pid = orphan(rootlet, flags=("--restart", "always"))
    first = privileges(pathlib.Path(f"/proc/{pid}/status").read_text())
    assert exec_privileges(rootlet) == first
    script = "trap '' HUP INT TERM QUIT USR1 PIPE CHLD; umask 0; cd /tmp; exec \"$0\" start c"
    rootlet("-c", script, rootlet.program, program="/bin/sh", rc=0)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: state(rootlet, cid)["pid"] not in (0, pid) and state(rootlet, cid)["status"] == "running")
    now = state(rootlet, cid)
    assert privileges(pathlib.Path(f"/proc/{now['pid']}/status").read_text()) == first
    assert exec_privileges(rootlet) == first
    assert os.readlink(f"/proc/{now['supervisor_pid']}/cwd") == "/"
    rootlet.ok("stop", "c", "-t", "5")


def test_clock_that_was_set(rootlet):
    """--timeout counts from the start of the process, not by the clock of the day."""
    cid, pid = orphan(rootlet, flags=("--timeout", "1000"))
    path = rootlet.store.root / "containers" / cid / "state.json"
    s = state(rootlet, cid)
    path.write_text(json.dumps({**s, "started_at": s["started_at"] - 3600 * 10**9}))
    rootlet.ok("start", "c")
    rootlet.ok("exec", "c", "sleep", "1.5")
    assert alive(pid) and state(rootlet, cid)["status"] == "running"
    rootlet.ok("rm", "-f", "c")
