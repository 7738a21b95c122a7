"""The seccomp agent: who listens at listenerPath gets the listener of init and of each exec."""
import contextlib
import errno
import fcntl
import json
import os
import socket
import struct
import threading

import pytest

from lib import rows

# <linux/seccomp.h>
RECV, SEND = 0xC0502100, 0xC0182101
ANSWER = errno.EROFS


class Agent:
    """Refuses every call that it is asked about."""

    def __init__(self, path):
        self.states, self.asked, self.listeners = [], [], []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        here = os.getcwd()
        os.chdir(path.parent)  # the address may be longer than one can be
        self.socket.bind(path.name)
        os.chdir(here)
        path.chmod(0o666)
        self.socket.listen()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                conn, _ = self.socket.accept()
                with conn:
                    text, fds, _, _ = socket.recv_fds(conn, 1 << 16, 4)
                    while more := conn.recv(1 << 16):
                        text += more
                self.states.append((json.loads(text), len(fds)))
                self.listeners += fds
                threading.Thread(target=self.answer, args=(fds[0],), daemon=True).start()

    def answer(self, fd):
        with contextlib.suppress(OSError):
            while True:
                question = bytearray(80)
                fcntl.ioctl(fd, RECV, question)
                number, pid = struct.unpack_from("QI", question)
                self.asked.append(pid)
                fcntl.ioctl(fd, SEND, struct.pack("QqiI", number, 0, -ANSWER, 0))

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join()
        for fd in self.listeners:
            os.close(fd)


@pytest.fixture(params=("short", "long"))
def agent(request, rootless):
    path = rootless.dir / ("agent" if request.param == "short" else "a" * 90)
    made = Agent(path)
    made.path = str(path)
    yield made
    made.close()


def notifies(path, **more):
    def edit(c):
        c["linux"]["seccomp"] = {
            "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": path,
            "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}], **more}
        c["annotations"] = {"colour": "blue"}
    return edit


MKDIR = ["busybox", "mkdir", "/tmp/x"]


@rows("A10", "B48")
def test_agent_answers(rootless, agent):
    r = rootless.run(MKDIR, notifies(agent.path, listenerMetadata="of mine"), rc=1)
    assert "Read-only file system" in r.err
    assert len(agent.asked) == 1
    (state, fds), = agent.states
    assert fds == 1 and state["fds"] == ["seccompFd"] and state["metadata"] == "of mine"
    assert state["pid"] == state["state"]["pid"] > 1
    assert state["state"]["id"] == rootless.containers[-1]
    assert state["state"]["status"] in ("creating", "created")
    assert state["state"]["annotations"] == {"colour": "blue"}
    assert state["ociVersion"] and state["state"]["bundle"]


@rows("A10")
def test_flags(rootless, agent):
    """TSYNC excludes a listener and WAIT_KILLABLE_RECV wants one: each is given where it can be."""
    flags = ["SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]
    r = rootless.run(MKDIR, notifies(agent.path, flags=flags), rc=1)
    assert "Read-only file system" in r.err and len(agent.asked) == 1
    silent = [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno.ENOSPC}]
    r = rootless.run(MKDIR, notifies(agent.path, flags=flags, syscalls=silent), rc=1)
    assert "No space left" in r.err and len(agent.asked) == 1


@rows("A10", "B48")
def test_agent_of_a_created_container_and_of_exec(rootless, agent):
    name = rootless.create(["sleep", "1000"], notifies(agent.path))
    rootless.ok("start", name)
    r = rootless("exec", name, *MKDIR)
    assert r.rc == 1 and "Read-only file system" in r.err
    init, exec_ = (state for state, _ in agent.states)
    assert "metadata" not in init
    assert exec_["state"]["id"] == name and exec_["state"]["status"] == "running"
    assert exec_["state"]["pid"] == init["pid"] != exec_["pid"]


@rows("B49")
def test_nobody_listens(rootless):
    path = rootless.dir / "nobody"
    name = rootless.create(MKDIR, notifies(str(path)))
    r = rootless.fails("start", name, match="linux.seccomp.listenerPath")
    assert str(path) in r.err
    rootless.wait_for(name, "stopped")
