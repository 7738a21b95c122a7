"""exec hands a container's process the caller's descriptors: a read-only input is opened for
writing through /proc/self/fd, an output's mode is changed, and from the caller's terminal what is
typed there later is read (the class of CVE-2017-5226 and CVE-2024-21626)."""
import os
import time

from lib import rows


def start(rootlet):
    rootlet.ok("run", "-d", "--name", "c", rootlet.image(), "sleep", "1000")


@rows("A4")
def test_input_file_stays(rootlet, lab):
    start(rootlet)
    path = lab.file("input", "keep me\n", mode=0o600)
    with open(path, "rb") as f:
        r = rootlet("exec", "-i", "c", "sh", "-c",
                    "exec 3<>/proc/self/fd/0 && echo written >&3; chmod 777 /proc/self/fd/0; head -n1",
                    stdin=f, timeout=10)
    assert path.read_text() == "keep me\n" and path.stat().st_mode & 0o777 == 0o600, r


def test_output_file_stays(rootlet, lab):
    start(rootlet)
    path = lab.file("log", "old secrets\n", mode=0o600)
    with open(path, "ab") as f:
        r = rootlet("exec", "c", "sh", "-c",
                    "timeout 1 cat /proc/self/fd/1 >&2; chmod 4777 /proc/self/fd/1; echo new",
                    stdout=f, timeout=10)
    assert "old secrets" not in r.err
    assert path.read_text() == "old secrets\nnew\n" and path.stat().st_mode & 0o7777 == 0o600


def test_named_pipe_stays(rootlet, lab):
    start(rootlet)
    path = lab.top / "fifo"
    os.mkfifo(path, 0o600)
    if rootlet.user.made:
        os.chown(path, rootlet.user.uid, rootlet.user.gid)
    before = path.stat()
    fd = os.open(path, os.O_RDWR)
    try:
        for user in ("0", "1000"):
            rootlet("exec", "-u", user, "c", "sh", "-c", "chmod 777 /proc/self/fd/1; echo x", stdout=fd)
            assert os.read(fd, 10) == b"x\n"
    finally:
        os.close(fd)
    now = path.stat()
    assert (now.st_mode, now.st_uid, now.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


def test_terminal_cannot_be_read(rootlet):
    start(rootlet)
    rootlet.ok("exec", "c", "true")
    t = rootlet.pty("exec", "c", "sh", "-c",
                    "test -t 1 && echo tty; (sleep 1; timeout 2 head -n1 <&1 >/stolen 2>&1) & echo up")
    t.expect("up")
    t.process.wait(60)
    time.sleep(1.2)
    t.send("password\n")
    time.sleep(0.3)
    os.close(t.master)
    time.sleep(2)
    r = rootlet.ok("exec", "c", "cat", "/stolen")
    assert "password" not in r.out and "tty" not in t.output


def test_streams_are_copied_whole(rootlet, lab):
    """What the copying must not break: every byte, order, the end of input, exit status."""
    start(rootlet)
    data = os.urandom(3 << 20)
    path = lab.file("data", data)
    out = lab.file("out")
    with open(path, "rb") as f, open(out, "wb") as o:
        rootlet.ok("exec", "-i", "c", "cat", stdin=f, stdout=o)
    assert out.read_bytes() == data
    with open(path, "rb") as f:
        assert rootlet("exec", "-i", "c", "true", stdin=f, rc=0, timeout=10)
    with open(out, "wb") as o:
        r = rootlet("exec", "c", "sh", "-c", "echo a; echo b >&2; exit 7", stdout=o, stderr=o)
    assert r.rc == 7 and sorted(out.read_text().split()) == ["a", "b"]
