"""Who waits for a lock says whom for; who only looks does not wait (R13)."""
import os
import re
import signal
import time

import pytest

from lib import rows, runner


@pytest.fixture
def hold(rootlet):
    """hold(PATH): a stopped process that has a lock on it."""
    def start(path):
        p = rootlet.spawn("-o", path, "sleep", "1000", program="/usr/bin/flock")
        rootlet.wait_for(lambda: is_locked(path), what="the lock")
        os.killpg(p.pid, signal.SIGSTOP)
        return p
    return start


def is_locked(path):
    inode = f":{os.stat(path).st_ino} "
    with open("/proc/locks", encoding="utf-8") as f:
        return any("FLOCK" in line and inode in line for line in f)


def let_go(p):
    os.killpg(p.pid, signal.SIGKILL)
    p.wait()


def looks(rootlet):
    """Readers take no lock."""
    for args in (("ps", "-a"), ("inspect", "web"), ("images",), ("volume", "ls"), ("events", "--until", "1s")):
        r = rootlet.ok(*args)
        assert r.seconds < 1.5 * runner.PATIENCE, r


def message(p, text):
    """Its first line of stderr, when it comes."""
    line = p.stderr.readline()
    assert re.search(text, line), line


@rows("B13")
def test_the_holder_is_named(rootlet, hold):
    image = rootlet.image()
    rootlet.ok("create", "--name", "web", image, "true")
    rootlet.ok("create", "--name", "www", image, "true")
    rootlet.ok("volume", "create", "vol")
    ids = {name: rootlet.inspect(name)["Id"] for name in ("web", "www")}
    waits = []
    for lock, command, what in (
            ("names", ("rename", "www", "xyz"), "the names of containers"),
            (f"containers/{ids['web']}", ("update", "--restart", "no", "web"), "container web"),
            (f"containers/{ids['web']}", ("rename", "web", "zzz"), "container web"),
            ("volumes/vol", ("create", "-v", "vol:/v", image, "true"), "volume vol")):
        path = rootlet.store.root / lock
        if path not in [w[0] for w in waits]:
            holder = hold(path)
        waits.append((path, command, what, holder))
    begin = time.monotonic()
    commands = [(rootlet.spawn(*command), what, holder) for _path, command, what, holder in waits]
    looks(rootlet)
    for p, what, holder in commands:
        message(p, rf"waiting for {what}: process {holder.pid} \(flock -o .*\) is working on it")
    assert time.monotonic() - begin > 1.5
    for _path, _command, _what, holder in waits:
        let_go(holder)
    for p, _what, _holder in commands:
        assert p.wait(timeout=20) == 0, p.stderr.read()


def test_a_container_that_is_being_worked_on(rootlet, hold):
    """Commands that give up after a time name the holder as well."""
    rootlet.ok("create", "--name", "web", rootlet.image(), "true")
    run = rootlet.store.runroot / rootlet.inspect("web")["Id"]
    rootlet.shell(f"mkdir -p -m 700 {run}; touch {run}/lock; chmod 600 {run}/lock")
    holder = hold(run / "lock")
    commands = [rootlet.spawn(*command) for command in (("start", "web"), ("rm", "web"))]
    looks(rootlet)
    for p in commands:
        message(p, rf"waiting for container [0-9a-f]{{12}}: process {holder.pid} \(flock")
        assert p.poll() is None, "told before it gives up"
    for p in commands:
        assert p.wait(timeout=20) == 125
        assert f"process {holder.pid} (flock" in p.stderr.read().splitlines()[-1]
    let_go(holder)
    rootlet.ok("rm", "web")


def test_a_foreground_run_keeps_nobody_waiting(rootlet):
    p = rootlet.spawn("run", "--name", "web", rootlet.image(), "sleep", "1000")
    rootlet.wait_for(lambda: "running" in rootlet("ps", "--format", "{{.State}}").out)
    assert rootlet.ok("update", "--restart", "on-failure", "web").seconds < 2 * runner.PATIENCE
    assert rootlet.ok("rename", "web", "xyz").seconds < 2 * runner.PATIENCE
    rootlet.ok("rm", "-f", "xyz")
    p.wait()
