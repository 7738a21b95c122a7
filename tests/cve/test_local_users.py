"""Another user of the host: files of the store, the control socket, processes with a number that
was a container's (CVE-2021-41103, CVE-2024-25621, CVE-2020-15257)."""
import json
import os
import pathlib
import time

import pytest

from lib import host, rows


def tree(*tops):
    for top in tops:
        for parent, dirs, files in os.walk(top):
            for name in dirs + files:
                yield os.path.join(parent, name)


@rows("A4")
def test_store_is_private(rootlet, other):
    """The tops are 0700; and were one of them lent out, what is ours is closed all the same."""
    image = rootlet.image()
    rootlet.ok("run", "-d", "--name", "c", "-v", "vol:/v", "-e", "SECRET=1", image, "sleep", "1000")
    for top in (rootlet.store.root, rootlet.store.runroot):
        assert os.stat(top).st_mode & 0o077 == 0
        assert other("-R", top, program="/bin/ls").rc
    content = ("/diff", "/upper", "/merged", "/_data", "/work/")
    for path in tree(rootlet.store.root, rootlet.store.runroot):
        mode = os.lstat(path).st_mode
        if os.path.islink(path) or any(part in path for part in content):
            continue
        if os.path.isdir(path):
            assert mode & 0o077 == 0, path
        assert mode & 0o022 == 0, path


CONNECT = """
import socket, struct, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.settimeout(5)
s.connect(sys.argv[1])
try:
    for kind in range(1, 20):
        s.send(struct.pack("IiiI", kind, 9, 0, 0))
    print("answer", s.recv(1000))
except OSError as e:
    print("refused", e)
"""


@rows("A4")
@pytest.mark.root
def test_socket_refuses_other_users(rootlet, other):
    rootlet.ok("run", "-d", "--name", "c", rootlet.image(), "sleep", "1000")
    ident = rootlet.inspect("c")["Id"]
    sock = rootlet.store.runroot / ident / "attach.sock"
    opened = [p for p in [sock, *sock.parents] if p.is_relative_to(rootlet.user.runtime)]
    modes = {p: p.stat().st_mode & 0o7777 for p in opened}
    try:
        for p in opened:
            p.chmod(0o777)
        r = other("-c", CONNECT, sock, program="/usr/bin/python3")
    finally:
        for p, mode in modes.items():
            p.chmod(mode)
    assert "answer b'" not in r.out or "answer b''" in r.out, r
    assert rootlet.inspect("c")["State"]["Running"]


@rows("A4")
def test_numbers_that_are_somebody_elses(rootlet):
    """A state file that names other processes, as after a reuse of their numbers."""
    rootlet.ok("run", "-d", "--name", "c", rootlet.image(), "sleep", "1000")
    j = rootlet.inspect("c")
    time.sleep(0.1)
    victim = rootlet.spawn("1000", program="/bin/sleep")
    state = pathlib.Path(j["StaticDir"]) / "state.json"
    text = json.loads(state.read_text())
    real = text["pid"], text["supervisor_pid"]

    def forge(**changes):
        state.write_text(json.dumps({**text, **changes}))
    forge(pid=victim.pid)
    r = rootlet("exec", "c", "true")
    assert r.rc == 125 and victim.poll() is None, r
    forge(pid=victim.pid, supervisor_pid=victim.pid)
    for args in (("ps", "-a"), ("kill", "c"), ("stop", "-t", "0", "c"), ("rm", "-f", "c")):
        rootlet(*args)
        assert victim.poll() is None, args
    assert not state.exists()
    victim.kill()
    victim.wait()
    for pid in real:
        rootlet.wait_for(lambda p=pid: host.start_time(p) is None or gone(p))


def gone(pid):
    try:
        return "State:\tZ" in pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


def test_container_that_was_replaced(rootlet, lab):
    """rm of a container whose directories somebody has replaced by links."""
    canary = lab.dir("canary")
    (canary / "kept").write_text("x")
    image = rootlet.image()
    for part in ("", "upper", "work", "merged"):
        ident = rootlet.ok("create", image).text
        path = pathlib.Path(rootlet.inspect(ident)["StaticDir"], part)
        path.rename(f"{lab.top}/moved{part}")
        path.symlink_to(canary)
        rootlet("start", ident)
        rootlet("rm", "-f", ident)
        rootlet("rm", "-f", "-a")
        assert (canary / "kept").read_text() == "x", part
        if path.is_symlink():
            path.unlink()
    rootlet("ps", "-a")
