"""--sdnotify: what a service manager hears of a container, and what not."""
import os
import re
import socket

import pytest


class Manager:
    """The end of $NOTIFY_SOCKET that systemd would have."""

    def __init__(self, rootlet, abstract=False):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = rootlet.user.tmp / "notify"
        self.name = f"@rootlet-test-{os.getpid()}" if abstract else str(path)
        self.path = None if abstract else path
        self.socket.bind(self.name.replace("@", "\0") if abstract else self.name)
        if path.exists():
            os.chmod(path, 0o777)
        self.socket.settimeout(20)

    def next(self):
        data, fds, _flags, _addr = socket.recv_fds(self.socket, 8192, 4)
        for fd in fds:
            os.close(fd)
        return data.decode()

    def until(self, pattern):
        """All messages up to the one that matches."""
        said = []
        while not said or not re.search(pattern, said[-1]):
            said.append(self.next())
        return said

    def silent(self):
        self.socket.settimeout(0.3)
        with pytest.raises(TimeoutError):
            print(self.next())

    def close(self):
        self.socket.close()
        if self.path:
            self.path.unlink()


@pytest.fixture
def manager(rootlet):
    m = Manager(rootlet)
    yield m
    m.close()


def run(rootlet, manager, *words, **env):
    return rootlet.spawn("run", "--rm", *words, env={"NOTIFY_SOCKET": manager.name, **env})


NOTIFY = ("import os,socket,sys,time\n"
          "s=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM); s.connect(os.environ['NOTIFY_SOCKET'])\n")


@pytest.mark.parametrize("abstract", [False, True])
def test_monitor_is_the_default_of_a_unit(rootlet, abstract):
    manager = Manager(rootlet, abstract)
    p = run(rootlet, manager, "--unit", "--name", "u", rootlet.image(), "sh", "-c",
            "trap 'exit 0' TERM; env; while :; do sleep 0.1; done", WATCHDOG_USEC="400000")
    first = manager.next()
    assert first == f"READY=1\nMAINPID={p.pid}\nSTATUS=container u\n"
    assert manager.next() == "WATCHDOG=1\n"
    assert manager.next() == "WATCHDOG=1\n"
    p.terminate()
    assert manager.until("STOPPING")
    assert p.wait(20) == 0
    assert not re.search("NOTIFY|WATCHDOG", p.stdout.read())
    manager.close()


@pytest.mark.parametrize("words", [(), ("--sdnotify", "ignore", "--unit")])
def test_nothing_is_said_unasked(rootlet, manager, words):
    """Neither without --unit, nor with "ignore"; and the socket is not known inside."""
    p = run(rootlet, manager, *words, "--env-host", rootlet.image(), "sh", "-c", "env; ls /dev")
    out = p.stdout.read()
    assert p.wait(20) == 0 and "NOTIFY" not in out and "rootlet-notify" not in out
    manager.silent()


def test_failed_start_is_not_ready(rootlet, manager):
    p = run(rootlet, manager, "--unit", rootlet.image(), "/nowhere")
    assert p.wait(20) == 127
    manager.silent()
    assert rootlet.fails("run", "--unit", "--rm", rootlet.image(), "true",
                         env={"NOTIFY_SOCKET": "/nowhere/n"}, match="NOTIFY_SOCKET=/nowhere/n")



def python_root(rootlet):
    """The host's python inside, for a program that speaks the protocol."""
    return ["-v", "/usr:/usr:ro", "-v", "/lib:/lib:ro", "-v", "/lib64:/lib64:ro"]


@pytest.mark.parametrize("user", ["0", "1000"])
@pytest.mark.parametrize("how", [("--unit",), ()])
def test_container_speaks_for_itself(rootlet, manager, user, how):
    """Whoever it runs as. Only what is about its state goes on."""
    program = NOTIFY + r"""
assert 'WATCHDOG_PID' not in os.environ and os.environ['WATCHDOG_USEC'] == '3000000'
s.send(b'MAINPID=1\nREADY=1\nSTATUS=up \x1b[31mred\xc2\xc2\x9b\x9b\xc2\x01\x9b\xc2\xa7\nFDSTORE=1\nNOTIFYACCESS=all\nX_FOO=1')
s.send(b'MAINPID=1')
s.send(b'WATCHDOG=1')
s.send(b'RELOADING=1\nMONOTONIC_USEC=12345\n')
s.send(b'EXTEND_TIMEOUT_USEC=5x\nERRNO=2')
s.send(b'STATUS=' + b'x' * 5000)
s.send(b'READY=2\nSTOPPING=1\n')
"""
    p = run(rootlet, manager, *how, "--sdnotify", "container", "--user", user, *python_root(rootlet),
            rootlet.image(), "/usr/bin/python3", "-c", program, WATCHDOG_USEC="3000000")
    said = manager.until("STOPPING")
    ready = re.match(r"READY=1\nSTATUS=up \[31mred§\nMAINPID=(\d+)\n$", said[0])
    assert ready and (not how or int(ready[1]) == p.pid), said
    assert said[1:] == ["WATCHDOG=1\n", "RELOADING=1\nMONOTONIC_USEC=12345\n", "ERRNO=2\n", "STOPPING=1\n"]
    assert p.wait(20) == 0, p.stderr.read()


def test_barrier_and_flood(rootlet, manager):
    """A barrier's descriptor comes to the manager; a flood is slowed down and lost nowhere."""
    program = NOTIFY + r"""
r,w = os.pipe()
socket.send_fds(s, [b'BARRIER=1'], [w]); os.close(w)
assert os.read(r, 1) == b''
a,b = os.pipe()
socket.send_fds(s, [b'READY=1\nFDSTORE=1'], [b]); os.close(b)
assert os.read(a, 1) == b''
for i in range(300): s.send(b'STATUS=%d' % i)
"""
    p = run(rootlet, manager, "--unit", "--sdnotify", "container", *python_root(rootlet), rootlet.image(),
            "/usr/bin/python3", "-c", program)
    assert manager.next() == "BARRIER=1"
    data, fds, _flags, _addr = socket.recv_fds(manager.socket, 8192, 4)
    assert data.startswith(b"READY=1\nMAINPID=") and not fds
    said = [manager.next() for _ in range(300)]
    assert said == [f"STATUS={i}\n" for i in range(300)]
    assert p.wait(20) == 0, p.stderr.read()


def test_last_words(rootlet, manager):
    """What was said right before the end is told, also while a flood is being slowed down."""
    program = NOTIFY + "for i in range(72): s.send(b'STATUS=%d' % i)\n"
    p = run(rootlet, manager, "--unit", "--sdnotify", "container", *python_root(rootlet), rootlet.image(),
            "/usr/bin/python3", "-c", program)
    assert [manager.next() for _ in range(72)] == [f"STATUS={i}\n" for i in range(72)]
    assert p.wait(20) == 0, p.stderr.read()


def test_last_words_to_a_busy_manager(rootlet, manager):
    """Its queue is full when the container ends: it is given a second to take what is left."""
    program = NOTIFY + r"""
while not os.path.exists('/go'): time.sleep(0.01)
for i in range(18): s.send(b'STATUS=%d' % i)
"""
    p = run(rootlet, manager, "--unit", "--name", "u", "--sdnotify", "container", *python_root(rootlet),
            rootlet.image(), "/usr/bin/python3", "-c", program)
    rootlet.wait_for(lambda: rootlet("exec", "u", "true").rc == 0)
    pid = rootlet.inspect("u")["State"]["Pid"]
    rootlet.go("u")
    rootlet.wait_for(lambda: not os.path.exists(f"/proc/{pid}"))
    assert [manager.next() for _ in range(18)] == [f"STATUS={i}\n" for i in range(18)]
    assert p.wait(20) == 0, p.stderr.read()


def test_a_manager_that_hangs_stops_nobody(rootlet, manager):
    """While it takes nothing, the container's messages wait where it wrote them."""
    program = NOTIFY + r"""
s.setblocking(False)
sent = 0
try:
    for i in range(100000): s.send(b'STATUS=' + b'x' * 400); sent += 1
except BlockingIOError: pass
print('full', sent < 5000, flush=True); time.sleep(1000)
"""
    p = run(rootlet, manager, "--unit", "--name", "u", "--sdnotify", "container", "--stop-timeout", "0",
            *python_root(rootlet), rootlet.image(), "/usr/bin/python3", "-c", program)
    assert p.stdout.readline() == "full True\n"
    assert rootlet.inspect("u")["State"]["Running"]
    rootlet.ok("stop", "-t", "0", "u")
    assert p.wait(20) == -9


# A socket that is not empty, and whose close waits: whoever closes it last.
LINGERS = NOTIFY + r"""
import struct
l = socket.socket(); l.bind(('127.0.0.1', 0)); l.listen(1)
def lingering():
    c = socket.socket(); c.connect(l.getsockname()); keep.append(l.accept()[0])
    c.setblocking(False)
    try:
        while True: c.send(b'x' * 65536)
    except BlockingIOError: pass
    c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 100000))
    return c.detach()
keep = []
fds = [lingering() for _ in range(int(sys.argv[1]))]
def pause():
    for i in range(64): s.send(b'X=1') # it is not read for a while then
    time.sleep(0.05)
def give():
    socket.send_fds(s, [b'WATCHDOG=1'], fds)
    for fd in fds: os.close(fd)
"""


@pytest.mark.parametrize("count", [1, 12])
def test_descriptors_that_do_not_close(rootlet, manager, count):
    """A descriptor from inside keeps nobody but its container's messages: not the supervisor."""
    program = LINGERS + "pause(); give(); s.send(b'READY=1'); time.sleep(1000)"
    p = run(rootlet, manager, "--unit", "--name", "u", "--sdnotify", "container", *python_root(rootlet),
            rootlet.image(), "/usr/bin/python3", "-c", program, str(count))
    assert manager.until("READY")[0] == "WATCHDOG=1\n"
    rootlet.ok("stop", "-t", "0", "u")
    assert p.wait(20) == -9
