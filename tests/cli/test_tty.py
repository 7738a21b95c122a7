"""Terminals: run -it, exec -it and attach on a real pty."""
import os
import re
import signal

import pytest

from lib import rows


def test_run_it(rootlet):
    t = rootlet.pty("run", "--rm", "-it", rootlet.image(), "sh", rows=33, cols=101)
    t.expect("[#$] ")
    t.send("tty; stty size; echo $TERM; test -t 0 && test -t 1 && test -t 2 && echo all-$((1+1))\n")
    t.expect("/dev/pts/0\r\n33 101\r\nxterm\r\nall-2\r\n")
    t.send("exit 7\n")
    assert t.wait() == 7


def test_resize(rootlet):
    t = rootlet.pty("run", "--rm", "-it", rootlet.image(), "sh", "-c",
                    "trap 'stty size' WINCH; echo ready; while :; do sleep 0.05; done")
    t.expect("ready")
    t.resize(40, 132)
    t.process.send_signal(signal.SIGWINCH)
    t.expect("40 132")
    t.send("\x03")
    assert t.wait() == 130


@rows("B46")
def test_ctrl_c_is_the_containers(rootlet):
    t = rootlet.pty("run", "--rm", "-it", rootlet.image(), "sh", "-c",
                    "trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 0.05; done")
    t.expect("ready")
    t.send("\x03")
    t.expect("caught")
    assert t.wait() == 9


def test_output_is_not_lost_at_the_end(rootlet):
    t = rootlet.pty("run", "--rm", "-t", rootlet.image(), "sh", "-c", "seq 20000; echo the-end")
    t.expect(r"\r\n20000\r+\nthe-end\r+\n")
    assert t.wait() == 0


def test_terminal_is_restored(rootlet):
    t = rootlet.pty("run", "-c", "true", prefix=["/bin/sh", "-c", f"stty -a > {rootlet.user.tmp}/before;"
                    f"rootlet run --rm -it {rootlet.image()} true; stty -a > {rootlet.user.tmp}/after"])
    t.wait()
    before, after = (rootlet.user.tmp / "before"), (rootlet.user.tmp / "after")
    assert before.read_text() == after.read_text() != ""
    before.unlink()
    after.unlink()


def test_detach_keys_and_attach(rootlet):
    t = rootlet.pty("run", "-it", "--name", "c", rootlet.image(), "sh")
    t.expect("[#$] ")
    t.send("x=kept\n")
    t.expect("[#$] ")
    t.send("\x10\x11")  # ctrl-p ctrl-q
    assert t.wait() == 0
    assert rootlet.inspect("c")["State"]["Running"]
    t = rootlet.pty("attach", "--detach-keys", "ctrl-x,x", "c")
    t.send("\n")
    t.expect("[#$] ")
    t.send("echo $x-$((1+1))\n")
    t.expect("kept-2\r\n")
    t.send("\x18x")
    assert t.wait() == 0
    t = rootlet.pty("attach", "c")
    t.send("exit 4\n")
    assert t.wait() == 4
    assert rootlet.inspect("c")["State"]["ExitCode"] == 4


def test_start_ai_of_a_terminal(rootlet):
    rootlet.ok("create", "-it", "--name", "c", rootlet.image(), "sh", "-c", "stty size; read x; exit $x")
    t = rootlet.pty("start", "-ai", "c", rows=20, cols=70)
    t.expect("20 70")
    t.send("6\n")
    assert t.wait() == 6


def test_dt_and_logs(rootlet):
    rootlet.ok("run", "-dt", "--name", "c", rootlet.image(), "sh", "-c", "tty; echo err >&2")
    rootlet.ok("wait", "c")
    r = rootlet.ok("logs", "c")
    assert r.out == "/dev/pts/0\r\nerr\r\n", "a terminal has one stream"


def test_t_without_a_terminal(rootlet):
    r = rootlet.fails("run", "--rm", "-it", rootlet.image(), "true", input="", match="not a terminal")
    assert rootlet.ok("ps", "-aq").out == ""
    # -t alone is for programs that want a terminal; nobody types.
    r = rootlet.ok("run", "--rm", "-t", rootlet.image(), "tty")
    assert r.out == "/dev/pts/0\r\n"


def test_bad_detach_keys(rootlet):
    t = rootlet.pty("run", "--rm", "-it", "--detach-keys", "ctrl-nonsense", rootlet.image(), "true")
    assert t.wait() == 125
    assert "ctrl-nonsense" in t.output
    assert rootlet.ok("ps", "-aq").out == "", "nothing was made"


def test_exec_it(rootlet):
    rootlet.ok("run", "-d", "--name", "c", rootlet.image(), "sleep", "60")
    t = rootlet.pty("exec", "-it", "c", "sh", rows=31, cols=99)
    t.expect("[#$] ")
    t.send("tty; stty size; echo $TERM\n")
    t.expect(r"/dev/pts/\d+\r\n31 99\r\nxterm\r\n")
    t.resize(50, 60)
    t.process.send_signal(signal.SIGWINCH)
    t.send("while [ \"$(stty size)\" != '50 60' ]; do sleep 0.05; done; echo $((50+1)) 60\n")
    t.expect("51 60")
    t.send("sleep 500\n")
    rootlet.wait_for(lambda: "sleep 500" in rootlet.user.processes().values())
    t.send("\x03")
    t.expect("[#$] ")
    t.send("exit 12\n")
    assert t.wait() == 12


def test_exec_detach_keys(rootlet):
    rootlet.ok("run", "-d", "--name", "c", rootlet.image(), "sleep", "60")
    t = rootlet.pty("exec", "-it", "c", "sh", "-c", "echo ready; exec sleep 61")
    t.expect("ready")
    t.send("\x10\x11")
    assert t.wait() == 0


@pytest.mark.parametrize("verb", ["run", "exec"])
def test_no_terminal_escapes_the_container(rootlet, verb):
    """The caller's terminal is not reachable: not by /dev/tty, not by an inherited descriptor."""
    script = "ls -l /proc/self/fd ; echo end"
    if verb == "run":
        t = rootlet.pty("run", "--rm", "-it", rootlet.image(), "sh", "-c", script)
    else:
        rootlet.ok("run", "-d", "--name", "c", rootlet.image(), "sleep", "60")
        t = rootlet.pty("exec", "-it", "c", "sh", "-c", script)
    found = t.expect(r"([\s\S]*)end").group(1)
    t.wait()
    links = re.findall(r" -> (\S+)", found)
    assert {link for link in links if not link.startswith("/proc")} <= {"/dev/pts/0", "/dev/pts/1"}, found


def test_stopped_by_hangup(rootlet):
    """The terminal goes away: the shell inside gets SIGHUP or the end of its input, as anywhere."""
    t = rootlet.pty("run", "--rm", "-it", "--name", "c", rootlet.image(), "sh")
    t.expect("[#$] ")
    os.close(t.master)
    t.process.wait(60)
    rootlet.ok("rm", "-f", "c")
