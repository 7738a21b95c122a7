"""Processes of a network that do not answer: who asks the supervisor is answered all the same."""
import os
import pathlib
import signal
import time

import pytest

from lib import runner
from test_drivers import network_processes, reaches, usable, Driver
from world import HOST, fetch, wait_for

pytestmark = [pytest.mark.rows("B17"), pytest.mark.skipif(bool(usable(Driver("slirp"))), reason="built without libslirp")]

SOON = 8  # of a wait of two seconds, beside other work


class Freezer:
    """Programs of libexec that a test can hold up before they begin: with "exec sleep 1000", "sleep 3"."""

    def __init__(self, net, tmp):
        real = pathlib.Path(net.program).parent
        self.dir, self.word = tmp / "libexec", tmp / "word"
        self.dir.mkdir()
        for p in real.iterdir():
            (self.dir / p.name).symlink_to(p)
        for name in ("rootlet-slirp", "rootlet-network"):
            (self.dir / name).unlink()
            (self.dir / name).write_text(f'#!/bin/sh\n[ ! -e {self.word} ] || . {self.word}\nexec {real / name} "$@"\n')
            (self.dir / name).chmod(0o755)
        for d in (tmp, *tmp.parents):
            if d.stat().st_uid == os.getuid() and len(d.parts) > 2:
                d.chmod(d.stat().st_mode | 0o011)

    def say(self, word):
        self.word.write_text(word + "\n")
        self.word.chmod(0o644)

    def be_quiet(self):
        self.word.unlink()


@pytest.fixture
def freezer(net, tmp_path):
    f = Freezer(net, tmp_path)
    plain = net.environment
    net.environment = lambda env=None, cgroups="disabled": plain({"ROOTLET_LIBEXEC": f.dir, **(env or {})}, cgroups)
    yield f
    if f.word.exists():
        f.be_quiet()


def start(net, *options):
    net.ok("run", "-d", "--name", "c", "--network", "slirp", *options, net.image(), "sleep", "1000")


def one(net, name):
    (pid,) = network_processes(net, name)
    return pid


def soon(what):
    begin = time.monotonic()
    result = what()
    seconds = time.monotonic() - begin
    assert seconds < SOON * runner.PATIENCE, f"{seconds:.1f} s: {result}"
    return result


def events(net):
    return net.ok("events", "--stream=false", "--since", "1h", "--until", "0s").out


def test_stopped_forwarder(net):
    """A port that it has not taken is not published, not later either; and it goes on when it can."""
    start(net, "-p", "18080:80")
    pid = one(net, "rootlet-ports")
    os.kill(pid, signal.SIGSTOP)
    r = soon(lambda: net("port", "add", "c", "18081-18089:81-89"))
    assert r.rc != 0 and "does not answer" in r.err, r
    soon(lambda: net.ok("kill", "-s", "WINCH", "c"))
    soon(lambda: net("port", "rm", "c", "18080:80"))
    assert net.ok("port", "c").out == ""
    os.kill(pid, signal.SIGCONT)
    net.ok("port", "add", "c", "18082:82")
    assert net.ok("port", "c").out.split("\n")[0].endswith(":18082")
    listening = net.world.host.run("ss", "-Hltn")
    assert ":18082 " in listening and ":18081 " not in listening and ":18080 " not in listening
    net.ok("exec", "c", "sh", "-c", "mkdir -p /www; echo hello >/www/index.html; httpd -h /www -p 82")
    assert fetch(net.world.host, HOST, 18082) == "hello\n"
    os.kill(pid, signal.SIGSTOP)
    soon(lambda: net.ok("stop", "-t", "0", "c"))
    wait_for(lambda: not network_processes(net), what="their end")


def test_stopped_stack(net):
    start(net)
    os.kill(one(net, "rootlet-slirp"), signal.SIGSTOP)
    soon(lambda: net.ok("kill", "-s", "WINCH", "c"))
    soon(lambda: net.ok("stop", "-t", "0", "c"))
    wait_for(lambda: not network_processes(net), what="their end")


def test_a_stack_that_does_not_begin(net, freezer):
    """The next one hangs at its start: it is killed and begun once more, and nobody waits for that."""
    start(net)
    freezer.say("exec sleep 1000")
    os.kill(one(net, "rootlet-slirp"), signal.SIGKILL)
    wait_for(lambda: "network_restart" in events(net), what="another one")
    soon(lambda: net.ok("kill", "-s", "WINCH", "c"))
    freezer.be_quiet()
    wait_for(lambda: reaches(net), 40, what="a network that has come again")
    assert "no answer" in events(net)


def test_a_stack_that_cannot_be_begun(net, freezer):
    """What is missing for a moment, as on a machine without memory, is there at one of the next tries."""
    start(net)
    program = freezer.dir / "rootlet-slirp"
    program.chmod(0o600)
    os.kill(one(net, "rootlet-slirp"), signal.SIGKILL)
    wait_for(lambda: not network_processes(net, "rootlet-slirp"), what="its end")
    soon(lambda: net.ok("kill", "-s", "WINCH", "c"))
    program.chmod(0o755)
    wait_for(lambda: reaches(net), 30, what="a network that has come again")
    assert "network_failed" not in events(net)


def test_a_network_that_is_slow(net, freezer):
    """Another rootlet-network needs longer than a supervisor waits in one go: it is asked again."""
    net.ok("network", "create", "tnet")
    net.ok("run", "-d", "--name", "c", "--network", "tnet", net.image(), "sleep", "1000")
    freezer.say("sleep 4")
    old = set(network_processes(net, "rootlet-network"))
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not old & set(network_processes(net, "rootlet-network")), what="their end")
    soon(lambda: net.ok("kill", "-s", "WINCH", "c"))
    wait_for(lambda: reaches(net), 40, what="a network that has come again")
    assert "network_failed" not in events(net)
