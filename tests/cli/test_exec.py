"""exec: a further process in a running container."""
import os
import re
import time

import pytest

from lib import rows


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
    assert r.seconds < 3
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
    assert p.wait(10) == 143
    assert c("c", "sh", "-c", "ps | grep -c '[s]leep 53'").text == "0"


def test_an_exec_ends_with_its_container(rootlet, c):
    p = rootlet.spawn("exec", "c", "sh", "-c", "echo ready; sleep 52")
    assert p.stdout.readline() == "ready\n"
    rootlet.ok("kill", "c")
    assert p.wait(10) == 137


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
