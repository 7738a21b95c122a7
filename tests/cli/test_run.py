"""run: what a container is, its process, its streams and its exit status."""
import os
import re
import signal
import time

import pytest

from lib import rows, smoke

NAMESPACES = ("pid", "mnt", "uts", "net", "ipc", "user", "cgroup")


def sh(rootlet, script, *flags, **kw):
    """Runs a script in a container that goes away; what it prints."""
    return rootlet.ok("run", "--rm", *flags, rootlet.image(), "sh", "-c", script, **kw).text


# What a container is.

@smoke
@rows("B1", "B8", "B14", "A67")
def test_echo_and_exit_status(rootlet):
    r = rootlet("run", "--rm", rootlet.image(), "echo", "hi", rc=0)
    assert (r.out, r.err) == ("hi\n", "")
    assert rootlet("run", "--rm", rootlet.image(), "sh", "-c", "exit 7").rc == 7


@rows("A11", "A13", "A14", "A16", "A20", "B24")
def test_pid_1_own_hostname_mapped_root_and_proc(rootlet):
    out = sh(rootlet, "grep -E '^(Pid|NSpid):' /proc/self/status; echo $$; hostname; id -u;"
             "cat /proc/1/uid_map; ps | wc -l; top -bn1 | head -1", "--hostname", "zz")
    assert re.search(r"^1$", out, re.M)
    assert "\nzz\n0\n" in out
    inside, outside, count = re.search(r"^ +(\d+) +(\d+) +(\d+)$", out, re.M).groups()
    assert (inside, outside, count) == ("0", str(rootlet.user.uid), "1")
    assert "Mem:" in out


@rows("B4", "B15", "A7", "A8", "B54")
def test_every_namespace_is_its_own_and_an_exec_joins_all(rootlet):
    """Also row A60: the seven links of an exec equal those of the container's first process."""
    name = rootlet.ok("run", "-d", rootlet.image(), "sleep", "60").text
    pid = rootlet.inspect(name)["State"]["Pid"]
    script = "; ".join(f"readlink /proc/self/ns/{n}" for n in NAMESPACES)
    joined = rootlet.ok("exec", name, "sh", "-c", script).out.split()
    for ns, got in zip(NAMESPACES, joined):
        theirs = os.readlink(f"/proc/{pid}/ns/{ns}")
        assert theirs != os.readlink(f"/proc/self/ns/{ns}"), ns
        assert got == theirs, ns


@rows("A1", "A15", "A22", "A10")
def test_the_host_is_out_of_reach(rootlet):
    canary = rootlet.user.base / "canary"
    canary.write_text("host")
    out = sh(rootlet, f"test -e {canary} && echo seen; ls -d /proc/1/root/../..; cat /etc/motd;"
             "awk '$5==\"/\"' /proc/self/mountinfo | wc -l; find / -xdev -name '.pivot*'")
    assert out.splitlines() == ["/proc/1/root/../..", "from the image", "1"]


@rows("A17", "B6", "B29")
def test_devices_mounts_and_loopback(rootlet):
    out = sh(rootlet, "for d in null zero full random urandom tty; do test -c /dev/$d && echo $d; done;"
             "head -c4 /dev/urandom | wc -c; ls /dev/sda /dev/vda /dev/mem 2>/dev/null;"
             "mount | grep -E ' on /(proc|sys|dev|dev/shm|dev/pts|dev/mqueue) ' | wc -l;"
             "grep -c ' /sys .*ro,' /proc/mounts; (echo lo | nc -l -p 9 >/tmp/got & sleep 0.1; nc 127.0.0.1 9 </dev/null);"
             "ls /sys/class/net", "--network", "none")
    assert out.split() == ["null", "zero", "full", "random", "urandom", "tty", "4", "6", "1", "lo", "lo"]


@rows("A29", "A30", "A32")
def test_layers_in_order_writes_in_the_upper_directory(rootlet):
    image = rootlet.image("layers")
    name = rootlet.ok("run", "-d", image, "sleep", "60").text
    out = rootlet.ok("exec", name, "sh", "-c",
                     "cat /f; ls -d /deleted /goes /opaque/below 2>/dev/null; ls /opaque;"
                     "cat /hard-a /hard-b; echo new > /etc/motd; rm /only-first").text
    assert out.split() == ["3", "above", "linked", "rewritten"]
    data = rootlet.inspect(name)["GraphDriver"]["Data"]
    assert open(f"{data['UpperDir']}/etc/motd", encoding="utf-8").read() == "new\n"
    layers = [d for d in os.listdir(rootlet.store.root / "layers") if not d.startswith(".")]
    rootlet.ok("rm", "-f", name)
    assert not os.path.exists(data["UpperDir"])
    assert layers == [d for d in os.listdir(rootlet.store.root / "layers") if not d.startswith(".")]
    assert rootlet.ok("run", "--rm", image, "cat", "/etc/motd", "/f").text == "from the image\n3"


# Exit codes.

@pytest.mark.parametrize("rc, words", [
    (127, ["nosuch"]), (127, ["/no/such"]), (126, ["/etc/passwd"]), (126, ["/etc"]),
    (3, ["sh", "-c", "exit 3"]), (0, ["true"]), (1, ["false"]),
    (143, ["sh", "-c", "(sleep 0.1; kill -TERM 1) & trap 'trap - TERM; exit 143' TERM; wait"])])
def test_exit_codes(rootlet, rc, words):
    """Row B41: what cannot be executed was never running."""
    r = rootlet("run", "--name", "c", rootlet.image(), *words)
    assert r.rc == rc, r
    if rc in (126, 127) and len(words) == 1:
        assert r.err.startswith("Error: ") and words[0] in r.err
        state = rootlet.inspect("c")["State"]
        assert (state["Status"], state["StartedAt"][:4]) != ("running", "2")
        assert state["ExitCode"] == rc


@pytest.mark.parametrize("flags, rc, match", [
    (["--no-such-flag"], 125, r"^Error: .*no-such-flag[\s\S]*See 'rootlet run --help'"),
    (["-m", "64m"], 125, "--memory needs a cgroup"),
    (["--cgroupns", "nosuch"], 125, "nosuch"),
    (["-v", "/no/such/source:/x"], 125, "/no/such/source"),
    (["--ulimit", "nosuch=1"], 125, "nosuch"),
    (["-w", "relative"], 125, "relative"),
    (["-u", "nosuchuser"], 126, "nosuchuser"),
    (["-u", "0:nosuchgroup"], 126, "nosuchgroup"),
    (["--cap-add", "NOSUCH"], 125, "NOSUCH"),
    (["--cap-drop", "CAP_NOSUCH"], 125, "NOSUCH"),
    (["--security-profile", "nosuch"], 125, "nosuch"),
    (["--security-opt", "nosuch=1"], 125, "nosuch"),
    (["--stop-signal", "NOSUCH"], 125, "NOSUCH"),
    (["--network", "nosuch"], 125, "nosuch"),
    (["--userns", "nosuch"], 125, "nosuch"),
    (["--ipc", "nosuch"], 125, "nosuch"),
    (["--pid", "container:nosuch"], 125, "nosuch"),
    (["--shm-size", "many"], 125, "many"),
    (["--pull", "sometimes"], 125, "--pull sometimes: unknown\nhint: .*newer"),
    (["--env-file", "/no/such"], 125, "/no/such"),
    (["--label-file", "/no/such"], 125, "/no/such"),
    (["--name", "a/b"], 125, "a/b"),
    (["--name", "-x"], 125, "name"),
    (["--restart", "sometimes"], 125, "sometimes"),
    (["--timeout", "soon"], 125, "soon"),
    (["--umask", "9"], 125, "9"),
    (["-a", "stdlog"], 125, "stdlog"),
    (["--tz", "No/Where"], 125, "No/Where"),
    (["--add-host", "x"], 125, "x"),
    (["--device", "/no/dev"], 125, "/no/dev"),
    (["--mount", "type=nosuch,dst=/x"], 125, "nosuch"),
    (["--tmpfs", "relative"], 125, "relative"),
    (["--seccomp"], 125, "seccomp"),
])
def test_mistakes_are_named_and_leave_nothing(rootlet, flags, rc, match):
    """Row B11. A mistake before the start leaves no container behind."""
    r = rootlet("run", *flags, rootlet.image(), "true")
    assert r.rc == rc, r
    assert re.search(match, r.err), r
    assert r.err.startswith("Error: ") and r.out == "", r
    if rc == 125:
        assert rootlet.ok("ps", "-aq").out == ""


@rows("B11")
def test_unknown_image_and_command(rootlet):
    rootlet.fails("run", "nosuchimage", "true", match="(?m)^Error: .*nosuchimage")
    rootlet.fails("run", "--pull", "never", "nosuchimage", match="^Error: image not known: nosuchimage")
    rootlet.fails("run", "localhost/nosuchimage", match="^Error: image not known: localhost/nosuchimage")
    r = rootlet.fails("frobnicate", match="^Error: unrecognized command")
    assert "frobnicate" in r.err and "help" in r.err
    rootlet.fails("rnu", match="did you mean 'run'")
    rootlet.fails("run", match="no image given")


def test_flags_end_at_the_image(rootlet):
    assert rootlet.ok("run", "--rm", rootlet.image(), "echo", "--rm", "-it", "--", "x").text == "--rm -it -- x"
    assert rootlet.ok("run", "--rm", "--", rootlet.image(), "echo", "-n").text == ""


# ENTRYPOINT and CMD.

@pytest.fixture
def entry_image(rootlet):
    """An image with both, made by hand with import."""
    def make(*changes):
        tree = rootlet.user.base / "images" / "busybox-tree.tar"
        if not tree.exists():
            from lib.images import busybox_layer
            busybox_layer().write(tree)
        flags = [word for c in changes for word in ("-c", c)]
        rootlet.ok("import", "-q", *flags, tree, "localhost/made:latest")
        return "localhost/made"
    return make


def test_entrypoint_and_cmd(rootlet, entry_image):
    image = entry_image('ENTRYPOINT ["echo", "E"]', 'CMD ["C1", "C2"]')
    run = lambda *flags: rootlet.ok("run", "--rm", *flags).text  # noqa: E731
    assert run(image) == "E C1 C2"
    assert run(image, "x", "y") == "E x y"
    # An ENTRYPOINT from the command line drops the image's CMD.
    assert run("--entrypoint", "/bin/echo", image) == ""
    assert run("--entrypoint", "/bin/echo", image, "z") == "z"
    assert run("--entrypoint", '["echo", "a b", "c"]', image, "d") == "a b c d"
    assert run("--entrypoint", "", image, "echo", "plain") == "plain"
    rootlet.fails("run", "--entrypoint", "", image, match="no command given")
    rootlet.fails("run", "--entrypoint", '["echo", 1]', image, match="entrypoint")
    rootlet.fails("run", "--entrypoint", '["echo"', image, match="entrypoint")
    found = rootlet.ok("create", "--entrypoint", '["echo","q"]', image, "w").text
    config = rootlet.inspect(found)["Config"]
    assert (config["Entrypoint"], config["Cmd"]) == (["echo", "q"], ["w"])


def test_no_command_at_all(rootlet, entry_image):
    rootlet.fails("run", entry_image(), match="no command given")


# Environment.

def environment(rootlet, *flags, image=None, **kw):
    out = rootlet.ok("run", "--rm", *flags, image or rootlet.image(), "env", **kw).out
    return dict(line.split("=", 1) for line in out.splitlines())


def test_environment_is_not_the_hosts(rootlet):
    env = environment(rootlet, env={"SECRET": "s", "LD_PRELOAD": None})
    assert set(env) - {"SHLVL", "PWD"} == {"PATH", "HOME", "HOSTNAME", "FROM_IMAGE", "container"}
    assert env["HOME"] == "/root"
    assert env["PATH"] == "/usr/local/bin:/usr/bin:/bin"


def test_environment_flags(rootlet):
    f = rootlet.user.tmp / "env"
    f.write_text("# a comment\n\nA=from file\nB=two=2\nFROM_CALLER\nUNSET_HERE\n")
    env = environment(rootlet, "--env-file", f, "-e", "A=flag", "-e", "EMPTY=", "-e", "COPIED",
                      "-e", "NOT_THERE", "--unsetenv", "FROM_IMAGE",
                      env={"FROM_CALLER": "yes", "COPIED": "c c"})
    assert (env["A"], env["B"], env["FROM_CALLER"], env["EMPTY"], env["COPIED"]) == \
        ("flag", "two=2", "yes", "", "c c")
    assert not {"UNSET_HERE", "NOT_THERE", "FROM_IMAGE"} & set(env)
    env = environment(rootlet, "--env-host", env={"SECRET": "s"})
    assert env["SECRET"] == "s" and env["FROM_IMAGE"] == "yes"
    assert env["PATH"] == "/usr/local/bin:/usr/bin:/bin", "the image's PATH wins over the host's"
    rootlet.fails("run", "-e", "=x", rootlet.image(), match="no name")
    f.unlink()


# Working directory, user, groups, limits.

def test_workdir(rootlet):
    assert sh(rootlet, "pwd", "-w", "/tmp") == "/tmp"
    r = rootlet("run", "--rm", "-w", "/no/dir", rootlet.image(), "pwd")
    assert r.rc == 0 and r.text == "/no/dir" or r.rc == 126 and "/no/dir" in r.err, r


@pytest.mark.parametrize("user, want", [
    ("app", "1000 1000 29,50,1000"), ("1000", "1000 1000 29,50,1000"), ("app:staff", "1000 50 "),
    ("0:50", "0 50 "), ("4000", "4000 0 "), ("4000:4001", "4000 4001 "), ("root", "0 0 "),
    ("daemon", "1 1 1,50")])
def test_user_and_groups(rootlet, user, want):
    """Security 1.4 (CVE-2022-36109): supplementary groups are exactly those of the image's files."""
    out = sh(rootlet, "id -u; id -g; id -G; grep ^CapEff /proc/self/status", "-u", user).splitlines()
    uid, gid, groups = want.split(" ")
    assert out[:2] == [uid, gid]
    extra = set(groups.split(",")) - {""}
    assert set(out[2].split()) == extra | {gid}, out
    if uid != "0":
        assert int(out[3].split()[1], 16) == 0


def test_group_add(rootlet):
    out = sh(rootlet, "id -G", "-u", "4000:4001", "--group-add", "audio", "--group-add", "77")
    assert set(out.split()) == {"4001", "29", "77"}
    rootlet.fails("run", "--rm", "--group-add", "nosuch", rootlet.image(), "true", rc=126, match="nosuch")


HOSTILE = ["4294967296", "-1", "4294967295", " 0", "+0", "0x0", "1e3", ":0", "0:", "2147483648",
           "99999999999999999999", "0:4294967295", "0 ", "0:0:0", "\t0", "app\n", "../root"]


@pytest.mark.parametrize("user", HOSTILE)
def test_hostile_users(rootlet, user):
    """Security 1.4 (CVE-2024-40635, CVE-2026-46680, CVE-2026-30892): never root by accident."""
    for verb in ("run", "exec"):
        if verb == "run":
            r = rootlet("run", "--rm", "-u", user, rootlet.image(), "id", "-u")
        else:
            rootlet.ok("run", "-d", "--name", "c", rootlet.image(), "sleep", "60")
            r = rootlet("exec", "-u", user, "c", "id", "-u")
        assert r.rc in (125, 126), r
        assert r.err.startswith("Error: ") and r.out == "", r


def test_user_00_is_a_number(rootlet):
    """All digits are a number: "00" is root as the caller has written it, 007 is 7."""
    assert sh(rootlet, "id -u", "-u", "007") == "7"
    assert sh(rootlet, "id -u", "-u", "00") == "0"


def test_user_of_the_image(rootlet, entry_image):
    for user in ("4294967296", "-1", "nosuch"):
        r = rootlet("run", "--rm", entry_image(f"USER {user}"), "id", "-u")
        assert r.rc in (125, 126) and r.out == "", r
    assert rootlet.ok("run", "--rm", entry_image("USER app"), "id", "-un").text == "app"


@rows("A18")
def test_ulimit_umask_and_sysctl(rootlet):
    out = sh(rootlet, "ulimit -n; ulimit -Hn; ulimit -c; umask; sysctl -n net.ipv4.ip_default_ttl;"
             "sysctl -n kernel.msgmax", "--ulimit", "nofile=100:200", "--ulimit", "core=0", "--umask",
             "0077", "--sysctl", "net.ipv4.ip_default_ttl=77", "--sysctl", "kernel.msgmax=4096")
    assert out.split() == ["100", "200", "0", "0077", "77", "4096"]
    for key in ("kernel.hostname=x", "vm.swappiness=1", "kernel.core_pattern=|/x", "net.core"):
        rootlet.fails("run", "--rm", "--sysctl", key, rootlet.image(), "true", match="sysctl")
    r = rootlet.fails("run", "--sysctl", "net.ipv4.ip_forward=1", "--network", "host", rootlet.image(),
                      "true", match="net.ipv4.ip_forward")
    assert "host" in r.err or "namespace" in r.err


# Streams.

def test_streams_stay_apart(rootlet):
    r = rootlet.ok("run", "--rm", rootlet.image(), "sh", "-c", "echo out; echo err >&2")
    assert (r.out, r.err) == ("out\n", "err\n")
    r = rootlet.ok("run", "--rm", "-a", "stderr", rootlet.image(), "sh", "-c", "echo out; echo err >&2")
    assert (r.out, r.err) == ("", "err\n")


def test_stdin_and_its_end(rootlet):
    assert rootlet.ok("run", "--rm", "-i", rootlet.image(), "cat", input="a\nb").out == "a\nb"
    assert rootlet.ok("run", "--rm", "-i", rootlet.image(), "wc", "-c", input="").text == "0"
    # Without -i there is no input, whatever the pipe holds.
    assert rootlet.ok("run", "--rm", rootlet.image(), "wc", "-c", input="abc").text == "0"
    # A reader that does not want all of it ends all the same.
    assert rootlet.ok("run", "--rm", "-i", rootlet.image(), "head", "-c3", input="x" * 3000000).out == "xxx"


def test_much_output_unaltered(rootlet):
    """50 MB through the supervisor, checked on both sides; and 8 MB of input."""
    mb = 50
    r = rootlet.shell(f"rootlet run --rm {rootlet.image()} sh -c "
                      f"'yes 0123456789abcde | head -c {mb << 20} | tee /dev/stderr | md5sum >/sum; true'"
                      f" 2>/dev/null | wc -c; ", timeout=60)
    assert r.text == "0"
    r = rootlet.shell(f"rootlet run --rm {rootlet.image()} sh -c 'yes 0123456789abcde | head -c {mb << 20}'"
                      f" | md5sum; yes 0123456789abcde | head -c {mb << 20} | md5sum", timeout=60)
    sums = r.out.split("\n")
    assert sums[0] == sums[1], r
    data = os.urandom(8 << 20)
    r = rootlet("run", "--rm", "-i", rootlet.image(), "cat", input=data, binary=True, rc=0)
    assert r.out == data


def test_closed_output(rootlet):
    """A reader that goes away ends the writer, as in any pipe."""
    r = rootlet.shell(f"rootlet run --rm {rootlet.image()} yes | head -1", timeout=20)
    assert r.out == "y\n"


def test_closed_stdin_of_the_caller(rootlet):
    assert rootlet.shell(f"rootlet run --rm {rootlet.image()} echo ok <&-").text == "ok"
    assert rootlet.shell(f"rootlet run --rm -i {rootlet.image()} wc -c <&-").text == "0"


def test_preserve_fds(rootlet):
    r = rootlet.shell(f"echo three > $HOME/three; exec 3<$HOME/three; rootlet run --rm --preserve-fds 1 "
                      f"{rootlet.image()} cat /proc/self/fd/3; rm $HOME/three")
    assert r.text == "three"
    r = rootlet.shell(f"exec 7</etc/passwd; rootlet run --rm {rootlet.image()} ls /proc/self/fd | wc -l")
    assert r.text == "4", "0, 1, 2 and the directory that ls reads: nothing leaks in"


# Signals.

@rows("B46")
def test_signals_reach_the_payload(rootlet):
    p = rootlet.spawn("run", "--rm", "--name", "c", rootlet.image(), "sh", "-c",
                      "trap 'echo usr1' USR1; trap 'echo int; exit 5' INT; echo ready; "
                      "while :; do sleep 0.05; done")
    assert p.stdout.readline() == "ready\n"
    p.send_signal(signal.SIGUSR1)
    assert p.stdout.readline() == "usr1\n"
    rootlet.ok("kill", "-s", "USR1", "c")
    assert p.stdout.readline() == "usr1\n"
    p.send_signal(signal.SIGINT)
    assert p.stdout.readline() == "int\n"
    assert p.wait(60) == 5


def test_no_sig_proxy(rootlet):
    p = rootlet.spawn("run", "--sig-proxy=false", "--name", "c", rootlet.image(), "sh", "-c",
                      "echo ready; exec sleep 60")
    assert p.stdout.readline() == "ready\n"
    p.send_signal(signal.SIGTERM)
    assert p.wait(60) == -signal.SIGTERM
    assert rootlet.inspect("c")["State"]["Running"] is True


@rows("A66")
def test_init_reaps_and_forwards(rootlet):
    """Without --init, PID 1 is immune to its own SIGKILL; with it, it is an ordinary process."""
    script = "kill -9 $$; echo alive"
    assert rootlet.ok("run", "--rm", rootlet.image(), "sh", "-c", script).text == "alive"
    assert rootlet("run", "--rm", "--init", rootlet.image(), "sh", "-c", script).rc == 137
    assert rootlet("run", "--rm", "--init", rootlet.image(), "nosuch").rc == 127
    assert rootlet("run", "--rm", "--init", rootlet.image(), "/etc/passwd").rc == 126
    assert rootlet("run", "--rm", "--init", rootlet.image(), "sh", "-c", "exit 9").rc == 9
    rootlet.ok("run", "-d", "--init", "--name", "c", rootlet.image(), "sh", "-c",
               "(sh -c 'sleep 0.1 & exit 0' &); trap 'exit 3' TERM; while :; do sleep 0.05; done")
    rootlet.wait_for(lambda: "orphans gone" in rootlet.ok(
        "exec", "c", "sh", "-c", "ps -o pid,stat,comm | grep -q ' Z' || echo orphans gone").out)
    assert rootlet.ok("exec", "c", "cat", "/proc/1/comm").text == "rootlet-init"
    rootlet.ok("stop", "-t", "5", "c")
    assert rootlet.inspect("c")["State"]["ExitCode"] == 3


def test_timeout(rootlet):
    r = rootlet("run", "--rm", "--timeout", "1", rootlet.image(), "sleep", "30")
    assert r.rc == 137 and 0.9 < r.seconds < 25, r


# Names, files and the rest.

def test_detached(rootlet):
    r = rootlet.ok("run", "-d", rootlet.image(), "sleep", "60")
    assert re.fullmatch(r"[0-9a-f]{64}\n", r.out) and r.err == "", r
    assert re.fullmatch(r"[a-z]+_[a-z]+", rootlet.inspect(r.text)["Name"])


def test_detached_that_cannot_start(rootlet):
    r = rootlet("run", "-d", "--name", "c", rootlet.image(), "nosuch")
    assert r.rc == 127 and "nosuch" in r.err and r.out == "", r
    r = rootlet("run", "-d", "--rm", "--name", "d", rootlet.image(), "nosuch")
    assert r.rc == 127
    assert rootlet.ok("ps", "-a", "--format", "{{.Names}}").text == "c"


def test_name_clash_and_replace(rootlet):
    one = rootlet.ok("run", "-d", "--name", "web", rootlet.image(), "sleep", "60").text
    r = rootlet.fails("run", "-d", "--name", "web", rootlet.image(), "true", match='"web"')
    assert one[:12] in r.err
    two = rootlet.ok("run", "-d", "--replace", "--name", "web", rootlet.image(), "sleep", "60").text
    assert two != one
    assert rootlet.ok("ps", "-aq", "--no-trunc").text == two
    rootlet.fails("run", "--replace", rootlet.image(), "true", match="--name")


def test_cidfile_and_pidfile(rootlet):
    cid, pid = rootlet.user.tmp / "cid", rootlet.user.tmp / "pid"
    made = rootlet.ok("run", "-d", "--cidfile", cid, "--pidfile", pid, rootlet.image(), "sleep", "60").text
    assert cid.read_text() == made
    assert int(pid.read_text()) == rootlet.inspect(made)["State"]["Pid"]
    rootlet.fails("run", "--cidfile", cid, rootlet.image(), "true", match=str(cid))
    rootlet.ok("rm", "-f", made)
    cid.unlink()
    pid.unlink(missing_ok=True)
    rootlet.fails("run", "--cidfile", "/no/dir/cid", rootlet.image(), "true", match="/no/dir/cid")
    assert rootlet.ok("ps", "-aq").out == "", "no container without its cidfile"


def test_labels(rootlet):
    f = rootlet.user.tmp / "labels"
    f.write_text("# no\nfrom=file\nk=file\n")
    made = rootlet.ok("create", "--label-file", f, "-l", "k=flag", "--label", "bare",
                      "--annotation", "a.b=c", rootlet.image(), "true").text
    f.unlink()
    config = rootlet.inspect(made)["Config"]
    assert config["Labels"] == {"org.example.made-by": "umoci", "from": "file", "k": "flag", "bare": ""}
    assert config["Annotations"]["a.b"] == "c"
    rootlet.fails("create", "--annotation", "org.rootlet.x=1", rootlet.image(), match="reserved")


def test_rm_leaves_nothing(rootlet):
    rootlet.ok("run", "--rm", "--name", "c", rootlet.image(), "sh", "-c", "echo x > /f; mkdir /d")
    assert rootlet.ok("ps", "-aq").out == ""
    assert os.listdir(rootlet.store.root / "containers") == []
    p = rootlet.ok("run", "-d", "--rm", "--name", "c", rootlet.image(), "sleep", "60").text
    rootlet.ok("stop", "-t", "0", p)
    rootlet.wait_for(lambda: os.listdir(rootlet.store.root / "containers") == [])


@rows("A19", "B16")
def test_rootfs_directory(rootlet):
    tree = rootlet.user.tmp / "tree"
    rootlet.shell(f"mkdir -p {tree}/bin {tree}/etc && cp /bin/busybox {tree}/bin/ && ln -s busybox {tree}/bin/sh"
                  f" && ln -s /etc/hostname {tree}/etc/motd")
    out = rootlet.ok("run", "--rm", "--rootfs", tree, "/bin/busybox", "sh", "-c",
                     "echo $$; /bin/busybox id -u; echo hi > /new; /bin/busybox cat /etc/hostname",
                     "--hostname").out
    assert out.startswith("1\n0\n")
    assert (tree / "new").read_text() == "hi\n", "a directory is used as it is"
    assert rootlet("run", "--rm", "--read-only", "--rootfs", tree, "/bin/sh", "-c", "echo > /x").rc != 0
    rootlet.fails("run", "--rootfs", "/no/tree", "sh", match="/no/tree")
    rootlet.shell(f"rm -rf {tree}")


@rows("A21", "B26")
def test_forty_starts_in_a_row_are_root_from_the_first_instruction(rootlet):
    image = rootlet.image()
    r = rootlet.shell(f"i=0; while [ $i -lt 40 ]; do i=$((i+1)); rootlet run --rm {image} id -u || exit 1; done")
    assert r.out == "0\n" * 40


def test_thirty_two_at_once(rootlet):
    image = rootlet.image()
    r = rootlet.shell(f"for i in $(seq 32); do rootlet run --rm {image} sh -c 'echo $$' & done; wait", timeout=60)
    assert r.out == "1\n" * 32 and r.err == "", r
    assert rootlet.ok("ps", "-aq").out == ""


def test_inspect_has_the_whole_command_line(rootlet):
    made = rootlet.ok("create", "--name", "c", "-e", "A=b", rootlet.image(), "echo", "x").text
    found = rootlet.inspect(made)
    assert found["Path"] == "echo" and found["Args"] == ["x"]
    assert found["Config"]["CreateCommand"][1:] == ["create", "--name", "c", "-e", "A=b", rootlet.image(),
                                                    "echo", "x"]
    assert time.strptime(found["Created"][:19], "%Y-%m-%dT%H:%M:%S")
