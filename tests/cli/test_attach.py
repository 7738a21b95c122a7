"""attach: several at once, keys, sizes, signals, readers that stall."""
import os
import signal
import termios

import pytest

from lib import rows


def ready(rootlet, name, *flags, script):
    rootlet.ok("run", "-d", "--name", name, *flags, rootlet.image(), "sh", "-c", script)
    rootlet.wait_for(lambda: "ready" in rootlet.ok("logs", name).out)


@rows("B46")
def test_several_clients(rootlet):
    """Output to each, input from any, the status to each; --no-stdin types nothing."""
    ready(rootlet, "c", "-i", script="echo ready; while read l; do echo got $l; done; exit 8")
    one, two, deaf = (rootlet.spawn("attach", *f, "c") for f in ([], [], ["--no-stdin"]))
    rootlet.attached("c", one, two, deaf)
    for p, line in ((one, "a"), (two, "b")):
        p.stdin.write(line + "\n")
        p.stdin.flush()
        for q in (one, two, deaf):
            assert q.stdout.readline() == f"got {line}\n"
    deaf.stdin.write("never\n")
    deaf.stdin.flush()
    one.stdin.close()
    assert [p.wait(20) for p in (one, two, deaf)] == [8, 8, 8]
    assert "never" not in rootlet.ok("logs", "c").out


def test_streams_stay_apart(rootlet):
    ready(rootlet, "c", script="echo ready; while [ ! -e /go ]; do sleep 0.02; done; echo out; echo err >&2; exit 2")
    p = rootlet.spawn("attach", "c")
    rootlet.attached("c", p)
    rootlet.go("c")
    assert (*p.communicate(timeout=20), p.returncode) == ("out\n", "err\n", 2)


def test_what_cannot_be_attached_to(rootlet):
    rootlet.ok("create", "--name", "c", rootlet.image(), "true")
    r = rootlet.fails("attach", "c", match=r"attach c: it is not running \(created\)")
    assert "hint: rootlet start -a c" in r.err
    rootlet.fails("attach", "nosuch", match="no such container")
    rootlet.fails("attach", match="no container given")
    rootlet.fails("attach", "--detach-keys", "ctrl-", "c", match="is not a key")
    rootlet.fails("attach", "c", "c", match="attach")


def is_raw(t):
    """attach has the terminal: what is typed from now on goes to it as it is."""
    return not termios.tcgetattr(t.master)[3] & termios.ICANON


def test_keys_of_ones_own_or_none(rootlet):
    rootlet.ok("run", "-dit", "--name", "c", rootlet.image(), "sh", "-c",
               "stty raw -echo; echo ready; while :; do x=$(dd bs=1 count=1 2>/dev/null | od -An -tx1); echo \"byte$x\"; done")
    rootlet.wait_for(lambda: "ready" in rootlet.ok("logs", "c").out)
    t = rootlet.pty("attach", "--detach-keys", "", "c")
    rootlet.wait_for(lambda: is_raw(t), what="raw keys")
    t.send("\x10\x11")
    t.expect("byte 10[\\s\\S]*byte 11")
    t.process.send_signal(signal.SIGKILL)
    t.wait()
    t = rootlet.pty("attach", "--detach-keys", "q,ctrl-a,ctrl-]", "c")
    rootlet.wait_for(lambda: is_raw(t), what="raw keys")
    t.send("q\x01z")  # a beginning that is none comes through, whole and in order
    t.expect("byte 71[\\s\\S]*byte 01[\\s\\S]*byte 7a")
    t.send("q\x01\x1d")
    assert t.wait() == 0
    assert rootlet.inspect("c")["State"]["Running"]


def test_the_size_follows(rootlet):
    """At attach, and when the terminal changes."""
    rootlet.ok("run", "-dit", "--name", "c", rootlet.image(), "sh", "-c",
               "trap 'stty size' WINCH; echo ready; while :; do sleep 0.05; done")
    rootlet.wait_for(lambda: "ready" in rootlet.ok("logs", "c").out)
    t = rootlet.pty("attach", "c", rows=17, cols=61)
    t.expect("17 61")
    t.resize(19, 77)
    t.process.send_signal(signal.SIGWINCH)
    t.expect("19 77")
    t.send("\x10\x11")
    assert t.wait() == 0


@pytest.mark.parametrize("proxy", [True, False])
def test_signals(rootlet, proxy):
    ready(rootlet, "c", script="trap 'exit 6' TERM; echo ready; while :; do sleep 0.02; done")
    p = rootlet.spawn("attach", f"--sig-proxy={str(proxy).lower()}", "c")
    rootlet.attached("c", p)
    p.terminate()
    assert p.wait(20) == (6 if proxy else -signal.SIGTERM)
    assert rootlet.inspect("c")["State"]["Running"] != proxy


def test_a_reader_that_stalls_blocks_nobody(rootlet):
    """One client never reads, one does: the container goes on at its pace, and the other gets all."""
    ready(rootlet, "c", script="echo ready; while [ ! -e /go ]; do sleep 0.02; done; seq 400000; echo end; exit 3")
    stalled = rootlet.spawn("attach", "c")
    reader = rootlet.spawn("attach", "c", stdout=open(os.devnull, "w"))  # noqa: SIM115
    rootlet.attached("c", stalled, reader)
    os.kill(stalled.pid, signal.SIGSTOP)
    rootlet.go("c")
    assert reader.wait(30) == 3
    assert rootlet.ok("wait", "c").text == "3"
    stalled.kill()


def test_a_paused_one_is_told(rootlet):
    rootlet.ok("run", "-d", "--name", "c", "--pid", "host", rootlet.image(), "sleep", "60")
    r = rootlet("pause", "--signal", "c")
    if r.rc:
        pytest.skip("cannot be paused here")
    t = rootlet.spawn("attach", "--sig-proxy=false", "c")
    assert "the container is paused" in t.stderr.readline()
    t.terminate()
    assert t.wait(20) == -signal.SIGTERM
    rootlet.ok("unpause", "c")
