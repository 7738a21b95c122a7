"""top and port."""
import os
import re
import time

import pytest

from lib import rows, runner

SLEEP = "trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done"


def started(rootlet, *flags, script=SLEEP, name="c"):
    rootlet.ok("run", "-d", "--name", name, *flags, rootlet.image(), "sh", "-c", script)
    rootlet.wait_for(lambda: "sleep 1000" in "".join(rootlet.ok("top", name, "args").out.splitlines()[-1:])[:12])


def table(out):
    lines = out.splitlines()
    return lines[0], [line.split(None, len(lines[0].split()) - 1) for line in lines[1:]]


@rows("B3", "B9")
def test_default_columns(rootlet):
    started(rootlet)
    head, procs = table(rootlet.ok("top", "c").out)
    assert head.split() == ["USER", "PID", "PPID", "%CPU", "ELAPSED", "TTY", "TIME", "COMMAND"]
    assert [(p[0], p[1], p[2], p[5]) for p in procs][0] == ("root", "1", "0", "?")
    assert procs[1][2] == "1" and procs[1][7] == "sleep 1000"
    assert re.fullmatch(r"\d+\.\d{3}", procs[0][3])
    assert re.fullmatch(r"(\d+m)?\d+(\.\d+)?s|\d+ms", procs[0][4]), procs[0]
    assert {p[1] for p in procs} == set(rootlet.ok("exec", "c", "ls", "/proc").out.split()) & {p[1] for p in procs}


def test_columns(rootlet):
    """All of podman's words; the numbers of the host only where they are asked for."""
    started(rootlet, "-u", "1000:1000")
    pid = rootlet.inspect("c")["State"]["Pid"]
    out = rootlet.ok("top", "c", "pid", "user", "group,huser", "hpid", "capeff", "seccomp", "comm").out
    head, procs = table(out)
    assert head.split() == "PID USER GROUP HUSER HPID EFFECTIVE CAPS SECCOMP COMMAND".split()
    first = out.splitlines()[1].split()
    assert first[:2] == ["1", "app"] and first[4:] == [str(pid), "none", "filter", "sh"]
    assert int(first[3]) == os.stat(f"/proc/{pid}").st_uid
    words = ("args capamb capbnd capeff capinh capprm comm etime gid group groups hgroup hgroups hpid huser label nice "
             "pcpu pgid pid pmem ppid rgroup rss ruser seccomp state stime time tty uid user vsz")
    for word in words.split():
        lines = rootlet.ok("top", "c", word).out.splitlines()
        assert len(lines) == 3 and all(line.strip() for line in lines), word
    assert rootlet.ok("top", "c", "%p", "%U", "%x").out.split()[:3] == ["PID", "USER", "TIME"]
    assert str(pid) not in rootlet.ok("top", "c").out.split()


@pytest.mark.parametrize("words, head", [
    (["-ef"], "UID PID PPID C STIME TTY TIME CMD"), (["aux"], "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND"),
    (["-o", "pid,cmd"], "PID COMMAND"), (["-eo", "pid,%cpu"], "PID %CPU"), (["-o", "pid:NR,args"], "NR COMMAND")])
def test_ps_options(rootlet, words, head):
    started(rootlet)
    assert rootlet.ok("top", "c", *words).out.splitlines()[0].split() == head.split()


def test_refused(rootlet):
    started(rootlet)
    r = rootlet.fails("top", "c", "nosuch", match="unknown column \"nosuch\"")
    assert "capeff" in r.err
    rootlet.fails("top", "c", "--forest", match="not understood")
    rootlet.fails("top", "c", "-o", match="no columns")
    rootlet.fails("top", match="no container")
    rootlet.fails("top", "nosuch", match="no such container")
    rootlet.ok("stop", "-t", "0", "c")
    rootlet.fails("top", "c", match="not running")


def test_exec_paused_latest_and_format(rootlet):
    started(rootlet)
    rootlet.ok("exec", "-d", "c", "sh", "-c", "exec sleep 4242")
    rootlet.wait_for(lambda: "sleep 4242" in rootlet.ok("top", "-l").out)
    head, procs = table(rootlet.ok("top", "-l", "ppid", "args").out)
    assert ["0", "sleep 4242"] in procs
    rootlet.ok("pause", "--signal", "c")
    assert rootlet.ok("top", "--format", "pid,state", "c").out.splitlines()[1].split() == ["1", "T"]
    rootlet.ok("unpause", "c")


def test_host_pids_shows_its_own(rootlet):
    started(rootlet, "--pid", "host", script="exec sleep 1000")
    pid = rootlet.inspect("c")["State"]["Pid"]
    out = rootlet.ok("top", "c", "pid", "args").out
    assert str(pid) in out.split() and len(out.splitlines()) == 2, out


def test_pod(rootlet):
    rootlet.ok("pod", "create", "p")
    started(rootlet, "--pod", "p", name="a")
    started(rootlet, "--pod", "p", name="b")
    lines = rootlet.ok("pod", "top", "p", "pid", "args").out.splitlines()
    assert len(lines) == 5 and sum("sleep 1000" in line for line in lines) == 4
    rootlet.fails("pod", "top", "nosuch", match="no such pod")
    rootlet.ok("pod", "rm", "-f", "-t", "0", "p")


@pytest.mark.parametrize("make", ["mkfifo /etc/passwd", "ln -s /dev/zero /etc/passwd", "ln -s /proc/kmsg /etc/passwd",
                                  "mkdir /etc/passwd", "ln -s /../../../../etc/passwd /etc/passwd",
                                  "truncate -s 100G /etc/passwd", "printf 'root\\0x' > /etc/passwd"])
def test_hostile_passwd(rootlet, make):
    """Whatever lies there, the answer comes at once, with numbers (security.md R15)."""
    started(rootlet, script=f"rm -f /etc/passwd; {make}; {SLEEP}")
    begin = time.monotonic()
    out = rootlet.ok("top", "c").out
    assert time.monotonic() - begin < 5 * runner.PATIENCE
    assert out.splitlines()[1].split()[0] in ("0", "root"), out


def test_hostile_names(rootlet):
    """What a process calls itself draws no lines and moves no cursor."""
    bad = "printf '#!/bin/sh\\nsleep 1000; :' > \"/tmp/$(printf 'x\\033[2J\\ny')\"; chmod 755 /tmp/*; exec /tmp/x*"
    started(rootlet, script=bad)
    out = rootlet.ok("top", "c", "comm", "args").out
    assert "\x1b" not in out and r"\x1b[2J" in out and len(out.splitlines()) == 3, out


def test_port(rootlet):
    """Nothing is published yet: docker's and podman's answers to that."""
    started(rootlet)
    assert rootlet.ok("port", "c").out == "" and rootlet.ok("port", "-a").out == ""
    assert rootlet.ok("port", "-l").out == ""
    rootlet.fails("port", "c", "80", match='failed to find published port "80"')
    rootlet.fails("port", "c", "x/y", match="not a port")
    rootlet.fails("port", "nosuch", match="no such container")
    rootlet.fails("port", match="no container")
    rootlet.fails("port", "-a", "c", match="exclude")


def test_port_of_a_record(rootlet):
    """In docker's format, out of what the state holds."""
    started(rootlet)
    path = rootlet.store.root / "containers" / rootlet.inspect("c")["Id"] / "state.json"
    text = path.read_text()
    made = re.sub(r'("id":)', r'"ports":["0.0.0.0:8080->80/tcp","[::]:53->53/udp"],\1', text, count=1)
    made = re.sub(r',"ports":\[\]|"ports":\[\],', "", made)
    path.write_text(made)
    assert rootlet.ok("port", "c").out == "80/tcp -> 0.0.0.0:8080\n53/udp -> [::]:53\n"
    assert rootlet.ok("port", "c", "80").text == "0.0.0.0:8080"
    assert rootlet.ok("port", "c", "53/udp").text == "[::]:53"
    rootlet.fails("port", "c", "53", match="53")
    assert rootlet.ok("port", "-a").out.splitlines()[0].endswith("\t80/tcp -> 0.0.0.0:8080")
    assert "8080->80/tcp" in rootlet.ok("ps").out
