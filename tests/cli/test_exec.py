"""exec: a further process in a running container."""
import json
import os
import re
import time

import pytest

from lib import host, rows, runner


@pytest.fixture
def c(rootlet):
    """A running container with an environment of its own."""
    rootlet.ok("run", "-d", "--name", "c", "-e", "FROM_RUN=yes", "-w", "/tmp", rootlet.image(), "sleep", "60")
    return lambda *args, **kw: rootlet("exec", *args, **kw)


@rows("B2", "A60")
def test_output_and_exit_status(rootlet, c):
    r = c("c", "sh", "-c", "echo out; echo err >&2; exit 3", rc=3)
    assert (r.out, r.err) == ("out\n", "err\n")
    short = rootlet.inspect("c")["Id"][:12]
    assert c(short, "id", "-u", rc=0).text == "0"


@pytest.mark.parametrize("rc, words", [(127, ["nosuch"]), (127, ["/no/such"]), (126, ["/etc/passwd"]),
                                       (126, ["/etc"]), (137, ["sh", "-c", "kill -9 $$"]),
                                       (143, ["sh", "-c", "kill $$"]), (0, ["true"])])
def test_exit_codes(c, rc, words):
    r = c("c", *words)
    assert r.rc == rc, r
    if rc in (126, 127):
        assert r.err.startswith("Error: ") and words[0] in r.err, r


def test_the_same_confinement(c):
    """Security 1.4: the inheritable set is empty, the filter and the bounding set are those of run."""
    want = c("c", "sh", "-c", "grep -E '^(Cap(Inh|Prm|Eff|Bnd|Amb)|NoNewPrivs|Seccomp):' /proc/1/status", rc=0).out
    got = c("c", "sh", "-c", "grep -E '^(Cap(Inh|Prm|Eff|Bnd|Amb)|NoNewPrivs|Seccomp):' /proc/self/status", rc=0).out
    assert got == want
    assert "CapInh:\t0000000000000000" in got and "Seccomp:\t2" in got


def test_environment_workdir_user(rootlet, c):
    env = c("-e", "A=1", "-e", "COPIED", "c", "env", rc=0, env={"COPIED": "x y", "SECRET": "no"}).out.splitlines()
    assert {"A=1", "COPIED=x y", "FROM_RUN=yes", "FROM_IMAGE=yes", "HOME=/root"} <= set(env)
    assert "SECRET" not in "".join(env)
    assert c("c", "pwd", rc=0).text == "/tmp"
    assert c("-w", "/etc", "c", "pwd", rc=0).text == "/etc"
    assert "/no/dir" in c("-w", "/no/dir", "c", "pwd", rc=126).err
    r = c("-u", "app", "c", "sh", "-c", "id -un; id -G; echo $HOME; grep CapEff /proc/self/status", rc=0)
    lines = r.out.splitlines()
    assert lines[0] == "app" and set(lines[1].split()) == {"1000", "29", "50"}
    assert lines[2] == "/home/app" and lines[3].endswith("0" * 16)
    assert c("-u", "4000:50", "c", "id", rc=0).text.startswith("uid=4000 gid=50(staff)")
    f = rootlet.user.tmp / "env"
    f.write_text("IN_FILE=1\n")
    assert "IN_FILE=1" in c("--env-file", f, "c", "env", rc=0).out
    f.unlink()


def test_stdin(c):
    assert c("-i", "c", "cat", input="a\nb", rc=0).out == "a\nb"
    assert c("c", "wc", "-c", input="abc", rc=0).text == "0"
    data = os.urandom(3 << 20)
    assert c("-i", "c", "cat", input=data, binary=True, rc=0).out == data


def test_detached(rootlet, c):
    r = c("-d", "c", "sh", "-c", "echo $$ > /tmp/pid; exec sleep 55", rc=0)
    assert r.seconds < 10 * runner.PATIENCE
    rootlet.wait_for(lambda: c("c", "sh", "-c", "ps | grep -q '[s]leep 55'").rc == 0)
    assert c("-d", "c", "nosuch").rc == 127


def test_privileged(c):
    assert c("c", "mount", "-t", "tmpfs", "x", "/mnt").rc != 0
    r = c("--privileged", "c", "sh", "-c", "mkdir -p /mnt; mount -t tmpfs x /mnt && grep CapEff /proc/self/status", rc=0)
    assert int(r.out.split()[1], 16) & (1 << 21)


@rows("A12")
def test_a_mount_inside_is_not_the_hosts(rootlet, c):
    c("--privileged", "c", "sh", "-c", "mkdir -p /mnt-inside; mount -t tmpfs inside /mnt-inside", rc=0)
    with open("/proc/mounts", encoding="utf-8") as f:
        assert "mnt-inside" not in f.read()
    assert "mnt-inside" in c("c", "cat", "/proc/mounts", rc=0).out


@rows("A13")
def test_hostname_inside_is_not_the_hosts(rootlet, c):
    before = os.uname().nodename
    c("--privileged", "c", "hostname", "changed", rc=0)
    assert c("c", "hostname", rc=0).text == "changed"
    assert os.uname().nodename == before


def test_mistakes(rootlet, c):
    rootlet.fails("exec", "c", match="no command given")
    rootlet.fails("exec", match="no command given")
    rootlet.fails("exec", "-w", "relative", "c", "true", match="relative")
    rootlet.fails("exec", "-it", "c", "true", input="", match="not a terminal")
    assert c("-u", "nosuch", "c", "true").rc == 126
    assert c("c", "echo", "--help", "-x", rc=0).text == "--help -x"


def test_created_and_ended(rootlet):
    rootlet.ok("create", "--name", "d", rootlet.image(), "sleep", "60")
    r = rootlet.fails("exec", "d", "true", match="not running")
    assert "created" in r.err and "rootlet start d" in r.err


def test_killed_exec_leaves_the_container(rootlet, c):
    p = rootlet.spawn("exec", "c", "sh", "-c", "echo ready; sleep 54")
    assert p.stdout.readline() == "ready\n"
    p.kill()
    p.wait()
    assert c("c", "true").rc == 0
    # One that is ended politely takes its process along.
    p = rootlet.spawn("exec", "c", "sh", "-c", "echo ready; exec sleep 53")
    assert p.stdout.readline() == "ready\n"
    p.terminate()
    assert p.wait(60) == 143
    assert c("c", "sh", "-c", "ps | grep -c '[s]leep 53'").text == "0"


def test_an_exec_ends_with_its_container(rootlet, c):
    p = rootlet.spawn("exec", "c", "sh", "-c", "echo ready; sleep 52")
    assert p.stdout.readline() == "ready\n"
    rootlet.ok("kill", "c")
    assert p.wait(60) == 137


def test_fifty_in_a_row_and_eight_at_once(rootlet, c):
    r = rootlet.shell("i=0; while [ $i -lt 50 ]; do i=$((i+1)); rootlet exec c true || exit 1; done;"
                      "for i in 1 2 3 4 5 6 7 8; do rootlet exec c echo $i & done; wait", timeout=60)
    assert sorted(r.out.split()) == list("12345678")
    left = [line for line in rootlet.user.processes().values() if "rootlet" in line and "supervise" not in line]
    assert not left, left


def test_nothing_of_the_host_leaks_into_an_exec(rootlet, c):
    r = rootlet.shell("exec 9</etc/hostname; rootlet exec c sh -c 'ls /proc/self/fd; cat /proc/self/environ' | tr '\\0' '\\n'")
    fds = [word for word in r.out.split() if re.fullmatch(r"\d+", word)]
    assert len(fds) <= 4 and "9" not in fds, r
    assert "ROOTLET_" not in r.out and "XDG_" not in r.out


def test_preserve_fds(rootlet, c):
    r = rootlet.shell("echo three > $HOME/three; exec 3<$HOME/three; rm $HOME/three;"
                      "rootlet exec --preserve-fds 1 c cat /proc/self/fd/3")
    assert r.text == "three"


def test_exe_of_an_exec_is_no_way_to_rootlet(rootlet, c):
    """CVE-2019-5736: the program that enters a container is not the installed one."""
    r = rootlet.shell("rootlet exec c sh -c 'sleep 0.05; ls -l /proc/*/exe' 2>/dev/null")
    assert str(rootlet.user.base) not in r.out
    time.sleep(0)


# --- who stays when the command does not ---

def exec_events(rootlet):
    lines = rootlet.ok("events", "--stream=false", "--since", "1h", "--filter", "type=container", "--format", "json").out
    found = [json.loads(line) for line in lines.splitlines()]
    return [(x["Status"], x["Attributes"]["execID"], x["Attributes"].get("exitCode")) for x in found
            if x["Status"] in ("exec", "exec_died")]


@rows("A68")
def test_events_of_execs(rootlet, c):
    c("c", "sh", "-c", "exit 3", rc=3)
    c("-d", "c", "sh", "-c", "sleep 0.2; exit 4", rc=0)
    c("c", "nosuch", rc=127)
    rootlet.wait_for(lambda: len(exec_events(rootlet)) == 6)
    found = exec_events(rootlet)
    ids = {i for _, i, _ in found}
    assert len(ids) == 3 and all(re.fullmatch("[0-9a-f]{64}", i) for i in ids)
    assert {(s, code) for s, _, code in found} == {("exec", None), ("exec_died", "3"), ("exec_died", "4"), ("exec_died", "127")}
    assert found[0][1] == found[1][1]


def test_detached_holds_nothing_of_the_caller(rootlet, c):
    """It has no output of the caller's, no descriptor, no directory; with -t its terminal stays."""
    r = rootlet.shell("mkdir -p $HOME/here; cd $HOME/here; exec 9>$HOME/nine;"
                      "(rootlet exec -d c sleep 51; rootlet exec -dt c sh -c 'tty > /tty; exec sleep 51') | cat;"
                      "rmdir $HOME/here; rm $HOME/nine", timeout=20)
    assert (r.out, r.err) == ("", "") and r.seconds < 10 * runner.PATIENCE
    rootlet.wait_for(lambda: c("c", "cat", "/tty").text.startswith("/dev/pts/"))
    keepers = [pid for pid, line in rootlet.user.processes().items() if "rootlet exec -d" in line]
    assert len(keepers) == 2
    for pid in keepers:
        links = host.descriptors(pid).values()
        assert not [x for x in links if str(rootlet.user.home) in x or "pipe:" in x], links
    rootlet.wait_for(lambda: c("c", "sh", "-c", "ps | grep -c '[s]leep 51'").text == "2")
    rootlet.ok("kill", "c")
    rootlet.wait_for(lambda: not set(keepers) & set(rootlet.user.processes()), what="they end with the container")


def test_detach_by_keys_leaves_it_running(rootlet, c):
    t = rootlet.pty("exec", "-it", "c", "sh", "-c", "trap 'echo hup > /hup' HUP; echo ready; "
                    "while [ ! -e /go ]; do echo noise; sleep 0.02; done; echo done > /done; sleep 0.2")
    t.expect("ready")
    t.send("\x10\x11")
    assert t.wait() == 0
    time.sleep(0.3)
    c("c", "touch", "/go", rc=0)
    rootlet.wait_for(lambda: c("c", "cat", "/done").text == "done")
    assert c("c", "test", "-e", "/hup").rc == 1, "its terminal did not go away"
    rootlet.wait_for(lambda: not [x for x in rootlet.user.processes().values() if "rootlet exec" in x])
    assert ("exec_died", None) in [(s, code) for s, _, code in exec_events(rootlet)]


def test_detach_keys_off_and_wrong(rootlet, c):
    rootlet.fails("exec", "--detach-keys", "ctrl-", "c", "true", match="is not a key")
    t = rootlet.pty("exec", "-it", "--detach-keys", "", "c", "sh", "-c", "stty raw; echo ready; head -c 2 | od -An -tx1; exit 5")
    t.expect("ready")
    t.send("\x10\x11")
    t.expect("10 11")
    assert t.wait() == 5


@pytest.mark.parametrize("tty", [False, True])
def test_a_killed_exec_takes_its_process_along(rootlet, c, tty):
    if tty:
        t = rootlet.pty("exec", "-it", "c", "sh", "-c", "echo ready; exec sleep 49")
        t.expect("ready")
        p = t.process
    else:
        p = rootlet.spawn("exec", "c", "sh", "-c", "echo ready; exec sleep 49")
        assert p.stdout.readline() == "ready\n"
    p.kill()
    p.wait()
    if tty:
        t.wait()
    rootlet.wait_for(lambda: c("c", "sh", "-c", "ps | grep -c '[s]leep 49'").text == "0")


def test_container_by_file_and_latest(rootlet):
    cid = rootlet.user.tmp / "cid"
    rootlet.ok("run", "-d", "--cidfile", cid, rootlet.image(), "sleep", "60")
    assert rootlet.ok("exec", "--cidfile", cid, "echo", "file").text == "file"
    assert rootlet.ok("exec", "-l", "echo", "latest").text == "latest"
    assert rootlet.ok("exec", "--no-session", "-l", "echo", "x").text == "x"
    rootlet.fails("exec", "--cidfile", cid, match="no command given")
    rootlet.fails("exec", "--cidfile", cid, "-l", "true", match="exclude each other")
    cid.unlink()
    rootlet.fails("exec", "--cidfile", cid, "true", match="--cidfile")


def test_in_a_container_that_learns(rootlet):
    rootlet.ok("run", "-d", "--name", "l", "--security-opt", "seccomp=minimal", "--security-opt", "seccomp-default=learn",
               rootlet.image(), "sleep", "60")
    assert rootlet.ok("exec", "l", "sh", "-c", "chroot / echo in").text == "in"
    rootlet.ok("exec", "-d", "l", "sh", "-c", "nice -n 5 true; echo done > /done")
    rootlet.wait_for(lambda: rootlet("exec", "l", "cat", "/done").text == "done")
    assert rootlet("exec", "l", "sh", "-c", "exit 6").rc == 6
    assert "chroot" in rootlet.ok("why", "l").out
