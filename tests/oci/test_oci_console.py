"""Terminals: sent to who supervises, or relayed by a run in the foreground."""
import array
import fcntl
import os
import select
import socket
import struct
import termios

import pytest

from lib import rows, runner


class ConsoleSocket:
    """What conmon and a shim do: listen, take the terminal's master."""

    def __init__(self, oci, name="console.sock"):
        self.path = oci.dir / name
        self.socket = socket.socket(socket.AF_UNIX)
        old = os.open(".", os.O_RDONLY)
        os.chdir(oci.dir)
        try:
            self.socket.bind(name)
        finally:
            os.fchdir(old)
            os.close(old)
        os.chmod(self.path, 0o666)
        self.socket.listen()
        self.master = None

    def take(self):
        conn, _ = self.socket.accept()
        fds = array.array("i")
        data, anc, _, _ = conn.recvmsg(4096, socket.CMSG_SPACE(4))
        fds.frombytes(anc[0][2][:4])
        self.master = fds[0]
        conn.close()
        return data

    def read_until(self, text, timeout=20):
        got = b""
        while text not in got:
            ready, _, _ = select.select([self.master], [], [], timeout * runner.PATIENCE)
            assert ready, f"no {text!r}: {got!r}"
            try:
                data = os.read(self.master, 4096)
            except OSError:
                data = b""
            assert data, f"the terminal ended without {text!r}: {got!r}"
            got += data
        return got

    def close(self):
        if self.master is not None:
            os.close(self.master)
        self.socket.close()
        self.path.unlink()


@pytest.fixture
def console(oci):
    made = ConsoleSocket(oci)
    yield made
    made.close()


def sized(c):
    c["process"]["consoleSize"] = {"height": 33, "width": 111}


@rows("A10")
def test_console_socket(oci, console):
    bundle = oci.bundle("tty; stty size; test -t 0 && test -t 1 && test -t 2 && echo all; read x; "
                        "echo got $x; exit 4", sized, terminal=True)
    name = oci.name()
    oci.ok("create", "-b", bundle, "--console-socket", console.path, name)
    data = console.take()
    assert data.startswith(b"/dev/pts/"), data
    oci.ok("start", name)
    out = console.read_until(b"all")
    assert b"33 111" in out and b"/dev/pts/0" in out or b"/dev/console" in out
    os.write(console.master, b"word\n")
    console.read_until(b"got word")
    oci.wait_for(name, "stopped")
    oci.ok("delete", name)


def test_console_size_can_change(oci, console):
    bundle = oci.bundle("trap 'stty size' WINCH; echo up; while :; do sleep 0.05; done", terminal=True)
    name = oci.name()
    oci.ok("run", "-d", "-b", bundle, "--console-socket", console.path, name)
    console.take()
    console.read_until(b"up")
    fcntl.ioctl(console.master, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    console.read_until(b"40 120")
    oci.ok("delete", "-f", name)


def test_console_long_path(rootless):
    """A socket's address has room for 108 bytes; paths of clients are longer."""
    deep = rootless.dir / ("d" * 100)
    deep.mkdir()
    deep.chmod(0o755)
    s = ConsoleSocket(rootless)
    os.rename(s.path, deep / "s")
    s.path = deep / "s"
    try:
        name = rootless.name()
        rootless.ok("create", "-b", rootless.bundle(["true"], terminal=True), "--console-socket",
                    deep / "s", name)
        assert s.take()
    finally:
        s.close()


def test_terminal_rules(rootless):
    with_tty, without = rootless.bundle(["true"], terminal=True), rootless.bundle(["true"])
    rootless.fails("create", "-b", with_tty, "x", match="console socket")
    rootless.fails("run", "-d", "-b", with_tty, "x", match="console socket")
    rootless.fails("create", "-b", without, "--console-socket", "/x", "x",
                   match="process.terminal is not set")
    rootless.fails("run", "-b", with_tty, "--console-socket", "/x", "x", match="--console-socket")
    rootless.fails("create", "-b", with_tty, "--console-socket", rootless.dir / "nobody", "x",
                   match="nobody")
    assert not rootless.left()


@rows("A10")
def test_foreground_terminal(oci):
    bundle = oci.bundle("tty; stty size; read x; echo got-$x; stty size; exit 6", terminal=True)
    t = oci.pty("run", "-b", bundle, oci.name(), rows=41, cols=99)
    t.expect(r"/dev/(pts/0|console)")
    t.expect("41 99")
    t.resize(42, 100)
    t.send("word\r")
    t.expect("got-word")
    t.expect("42 100")
    assert t.wait() == 6


def test_foreground_keys_are_the_containers(oci):
    """Raw mode: ^C goes to the process on the terminal, not to us."""
    bundle = oci.bundle("trap 'echo inter''rupted; exit 7' INT; echo up; "
                        "while :; do sleep 0.05; done", terminal=True)
    t = oci.pty("run", "-b", bundle, oci.name())
    t.expect("up")
    t.send("\x03")
    t.expect("interrupted")
    assert t.wait() == 7


def test_terminal_is_given_back(oci):
    bundle = oci.bundle(["true"], terminal=True)
    master, slave = os.openpty()
    try:
        before = termios.tcgetattr(slave)
        if oci.mode == "rootless" and oci.user.made:
            os.fchown(slave, oci.user.uid, -1)
        p = oci.spawn("run", "-b", bundle, oci.name(), stdin=slave, stdout=slave, stderr=slave)
        assert p.wait(60) == 0
        assert termios.tcgetattr(slave) == before
    finally:
        os.close(master)
        os.close(slave)


def test_run_without_a_terminal_of_ours(oci):
    """stdin from a pipe: the container has its terminal all the same."""
    r = oci("run", "-b", oci.bundle("tty; echo done", terminal=True), oci.name(), rc=0)
    assert "done" in r.out and "/dev/" in r.out
