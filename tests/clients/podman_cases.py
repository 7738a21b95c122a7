"""What podman must be able to do with its runtime, as root and rootless: test_podman_root.py and
test_podman_rootless.py take all tests of this file. Rows A10 (OCI execution environment), A24
(a namespace of each type)."""
import json
import os
import re
import signal
import time

import pytest

from lib import runner
from podman_client import IMAGE

NEEDS = ("podman", "conmon", "catatonit", "netavark", "nft", "iptables", "slirp4netns")


# --- the end of a container -------------------------------------------------------------------

@pytest.mark.parametrize("script,rc", [("exit 0", 0), ("exit 1", 1), ("exit 42", 42),
                                       ("exit 255", 255), ("kill -TERM $$; exit 3", 3)])
def test_exit_status(podman, script, rc):
    # Process 1 of a PID namespace does not hear a TERM that it has no handler for.
    podman.run("sh", "-c", script, rc=rc)


@pytest.mark.parametrize("argv,rc,match", [(("/no-such-program",), 127, "no-such-program"),
                                           (("no-such-program",), 127, "no-such-program"),
                                           (("/etc/motd",), 126, "ermission denied")])
def test_a_program_that_cannot_be_run(podman, argv, rc, match):
    r = podman.run(*argv, rc=rc)
    assert match in r.err


def test_exit_status_of_a_signal_from_outside(podman):
    name = podman.sleeper()
    podman.ok("kill", "-s", "KILL", name)
    assert podman.ok("wait", name).text == "137"
    assert podman.inspect(name)["State"]["ExitCode"] == 137


def test_stop_is_heard(podman):
    name = podman.sleeper(argv=("sh", "-c", "trap 'echo bye; exit 7' TERM; echo up; "
                                            "while :; do sleep 0.05; done"))
    runner.wait_for(lambda: "up" in podman.ok("logs", name).out)
    podman.ok("stop", "-t", "10", name)
    assert podman.inspect(name)["State"]["ExitCode"] == 7
    assert podman.ok("logs", name).out == "up\nbye\n"


def test_stop_kills_who_does_not_listen(podman):
    name = podman.sleeper(argv=("sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.05; done"))
    runner.wait_for(lambda: "up" in podman.ok("logs", name).out)
    podman.ok("stop", "-t", "1", name)
    assert podman.inspect(name)["State"]["ExitCode"] == 137


def test_kill_by_name_and_number(podman):
    script = "trap 'echo usr1' USR1; trap 'echo usr2' USR2; echo up; while :; do sleep 0.05; done"
    name = podman.sleeper(argv=("sh", "-c", script))
    runner.wait_for(lambda: "up" in podman.ok("logs", name).out)
    podman.ok("kill", "-s", "USR1", name)
    runner.wait_for(lambda: "usr1" in podman.ok("logs", name).out)
    podman.ok("kill", "-s", str(int(signal.SIGUSR2)), name)
    runner.wait_for(lambda: "usr2" in podman.ok("logs", name).out)
    assert podman.state(name) == "running"


def test_a_container_that_is_gone_cannot_be_signalled(podman):
    name = podman.fresh()
    podman.ok("run", "--network", "none", "--name", name, IMAGE, "true")
    assert podman("kill", name).rc != 0
    assert podman("exec", name, "true").rc == 255
    assert podman.state(name) == "exited"


def test_created_is_not_started(podman):
    """podman init makes the runtime create, and start comes later."""
    name = podman.fresh()
    podman.ok("create", "--network", "none", "--name", name, IMAGE, "echo", "now")
    podman.ok("init", name)
    assert podman.state(name) == "initialized"
    assert podman.ok("logs", name).out == ""
    podman.ok("start", name)
    assert podman.ok("wait", name).text == "0"
    assert podman.ok("logs", name).out == "now\n"


def test_initialized_and_removed(podman):
    name = podman.fresh()
    podman.ok("create", "--network", "none", "--name", name, IMAGE, "echo", "never")
    podman.ok("init", name)
    podman.ok("rm", "-f", name)


def test_restarts(podman):
    name = podman.sleeper("--stop-signal", "KILL")
    first = podman.inspect(name)["State"]["Pid"]
    podman.ok("restart", "-t", "1", name)
    assert podman.state(name) == "running"
    assert podman.inspect(name)["State"]["Pid"] != first


def test_restart_policy(podman):
    name = podman.fresh()
    podman.ok("run", "-d", "--network", "none", "--restart", "on-failure:2", "--name", name, IMAGE,
              "sh", "-c", "echo run; exit 3")
    podman.wait_state(name, "exited")
    runner.wait_for(lambda: podman.ok("logs", name).out.count("run") == 3)
    runner.wait_for(lambda: podman.inspect(name)["RestartCount"] == 2)


def test_timeout(podman):
    podman.run("sleep", "1000", options=("--timeout", "1"), rc=255)


def test_many_at_once(podman):
    children = [podman.spawn("run", "--rm", "--network", "none", IMAGE, "sh", "-c", f"echo {i}")
                for i in range(6)]
    for i, child in enumerate(children):
        out, err = child.communicate(timeout=60)
        assert (child.returncode, out) == (0, f"{i}\n".encode()), err


# --- streams and terminals --------------------------------------------------------------------

def test_streams_are_apart(podman):
    r = podman.run("sh", "-c", "echo out; echo err >&2", rc=0)
    assert (r.out, r.err) == ("out\n", "err\n")


def test_stdin(podman):
    r = podman.ok("run", "-i", "--rm", "--network", "none", IMAGE, "sh", "-c", "wc -c; echo end",
                  input="x" * 300000)
    assert r.out == "300000\nend\n"


def test_no_stdin(podman):
    assert podman.text("wc", "-c") == "0"


def test_much_output(podman):
    r = podman.run("sh", "-c", "yes 0123456789 | head -c 3000000", rc=0, timeout=60)
    assert len(r.out) == 3000000


def test_terminal(podman):
    t = podman.pty("run", "-it", "--rm", "--network", "none", IMAGE, "sh", rows=33, cols=99)
    t.expect("#")
    t.send("stty size; tty; test -t 0 && test -t 1 && test -t 2 && echo all-three\n")
    t.expect("33 99")
    t.expect("/dev/pts/0")
    t.expect("all-three")
    t.resize(40, 100)
    os.kill(t.process.pid, signal.SIGWINCH)
    t.send("sleep 0.5; stty size\n")
    t.expect("40 100")
    t.send("exit 5\n")
    assert t.wait() == 5


def test_job_control_and_interrupt(podman):
    t = podman.pty("run", "-it", "--rm", "--network", "none", IMAGE, "sh")
    t.expect("#")
    # Said by the job itself, which then has the terminal.
    t.send("sh -c 'echo begin; exec sleep 1000'; echo rc=$?\n")
    t.expect("\nbegin\r\n")
    t.send("\x03")
    t.expect("#")
    t.send("echo rc=$?; echo on-$((1+1))\n")
    t.expect("rc=130")
    t.expect("on-2")
    t.send("exit 8\n")
    assert t.wait() == 8


def test_terminal_detached_and_attached(podman):
    name = podman.sleeper("-t", "-i", argv=("sh",))
    t = podman.pty("attach", name)
    t.send("echo a-$((40+2))\n")
    t.expect("a-42")
    # podman takes the keys only one by one.
    t.send("\x10")
    time.sleep(0.2)
    t.send("\x11")
    assert t.wait() == 0
    assert podman.state(name) == "running"
    assert "a-42" in podman.ok("logs", name).out


def test_attach_without_terminal(podman):
    name = podman.sleeper(argv=("sh", "-c", "trap 'echo got; exit 9' TERM; "
                                            "while :; do echo tick; sleep 0.05; done"))
    p = podman.spawn("attach", "--no-stdin", name)
    assert p.stdout.readline() == b"tick\n"
    podman.ok("kill", "-s", "TERM", name)
    out, _ = p.communicate(timeout=20)
    assert b"got" in out
    assert podman.ok("wait", name).text == "9"


def test_logs(podman):
    name = podman.fresh()
    podman.ok("run", "--log-driver", "k8s-file", "--network", "none", "--name", name, IMAGE, "sh", "-c",
              "echo one; echo two >&2; printf part; sleep 0.1; echo ial; echo three")
    r = podman.ok("logs", name)
    assert (r.out, r.err) == ("one\npartial\nthree\n", "two\n")
    assert podman.ok("logs", "--tail", "1", name).out == "three\n"
    path = podman.inspect(name)["HostConfig"]["LogConfig"]["Path"]
    lines = podman.machine.ok("cat", path).out.splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT\S+ (stdout|stderr) [FP] ", line) for line in lines)


def test_logs_followed(podman):
    name = podman.sleeper(argv=("sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.1; done"))
    assert podman.ok("logs", "-f", name).out == "1\n2\n3\n"


# --- the process ------------------------------------------------------------------------------

def test_user_directory_and_environment(podman):
    options = ("-u", "1000:50", "-w", "/home/app", "-e", "A=b c", "--env", "B=")
    script = 'id -u; id -g; pwd; echo "$A|$B|$HOME|$container"'
    assert podman.text("sh", "-c", script, options=options).splitlines() == [
        "1000", "50", "/home/app", "b c||/home/app|podman"]


def test_user_by_name_and_groups(podman):
    out = podman.text("id", options=("-u", "app", "--group-add", "29", "--group-add", "4711"))
    assert out.startswith("uid=1000(app) gid=1000(app) groups=")
    assert {"29(audio)", "4711"} <= set(out.rpartition("=")[2].split(","))


def test_no_file_is_open_beyond_three(podman):
    assert podman.text("sh", "-c", "ls /proc/self/fd").split() == ["0", "1", "2", "3"]


def test_preserved_files(podman):
    out = podman.machine.shell('exec "$0" "$@" 3<<E\nthrough\nE', *podman.globals, "run", "--rm",
                               "--network", "none", "--preserve-fds", "1", IMAGE, "sh", "-c",
                               "cat <&3", env=podman.env).out
    assert out == "through\n"


CAPS = "sed -n 's/Cap\\(Prm\\|Eff\\|Bnd\\|Inh\\|Amb\\):\\t/\\1 /p' /proc/self/status"


def caps(podman, *options):
    out = podman.text("sh", "-c", CAPS, options=options)
    return {k: int(v, 16) for k, v in (line.split() for line in out.splitlines())}


NET_RAW, SYS_ADMIN, CHOWN = 1 << 13, 1 << 21, 1 << 0


def test_capabilities(podman):
    usual = caps(podman)
    assert usual["Eff"] == usual["Prm"] == usual["Bnd"] and usual["Inh"] == usual["Amb"] == 0
    assert usual["Eff"] & CHOWN and not usual["Eff"] & SYS_ADMIN
    more = caps(podman, "--cap-add", "SYS_ADMIN", "--cap-drop", "CHOWN")
    assert more["Eff"] & SYS_ADMIN and more["Bnd"] & SYS_ADMIN and not more["Bnd"] & CHOWN
    assert set(caps(podman, "--cap-drop", "all").values()) == {0}
    user = caps(podman, "-u", "1000")
    assert user["Eff"] == user["Prm"] == user["Amb"] == 0 and user["Bnd"]
    ambient = caps(podman, "-u", "1000", "--cap-add", "NET_RAW")
    assert ambient["Eff"] & NET_RAW and ambient["Amb"] & NET_RAW


def status(podman, field, *options):
    return podman.text("sed", "-n", f"s/^{field}:\\t//p", "/proc/self/status", options=options)


def test_no_new_privileges(podman):
    assert status(podman, "NoNewPrivs", "--security-opt", "no-new-privileges") == "1"
    assert status(podman, "NoNewPrivs") == "0"


def test_seccomp(podman):
    assert status(podman, "Seccomp") == "2"
    assert status(podman, "Seccomp", "--security-opt", "seccomp=unconfined") == "0"


def test_seccomp_profile(podman):
    profile = podman.machine.dir / "profile.json"
    profile.write_text(json.dumps({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]}))
    r = podman.run("mkdir", "/tmp/x", options=("--security-opt", f"seccomp={profile}"), rc=1)
    assert "Function not implemented" in r.err


def test_privileged(podman):
    script = "test -w /proc/sys/kernel/ns_last_pid; echo; " + CAPS
    assert "Eff" in podman.text("sh", "-c", script, options=("--privileged",))
    assert status(podman, "Seccomp", "--privileged") == "0"


# One limit given makes podman forget the defaults of the configuration.
LIMITS = ("--ulimit", "nofile=100:200", "--ulimit", "nproc=4000:4000")


def test_ulimits(podman):
    assert podman.text("sh", "-c", "ulimit -Sn; ulimit -Hn; ulimit -Sc",
                       options=(*LIMITS, "--ulimit", "core=0:0")) == "100\n200\n0"


def test_oom_score_adj(podman):
    assert podman.text("cat", "/proc/self/oom_score_adj", options=("--oom-score-adj", "900")) == "900"


def test_umask(podman):
    assert podman.text("sh", "-c", "umask", options=("--umask", "0027")) == "0027"


def test_masked_and_read_only_paths(podman):
    assert podman.text("sh", "-c", "cat /proc/kcore /proc/keys /proc/timer_list 2>/dev/null | wc -c") == "0"
    podman.run("sh", "-c", "echo 1 >/proc/sys/kernel/panic", rc=1)
    assert podman.text("sh", "-c", "cat /proc/timer_list | wc -l; ls /proc/acpi | wc -l",
                       options=("--security-opt", "mask=/proc/acpi")).splitlines()[1] == "0"


def test_init_of_the_container(podman):
    assert podman.text("cat", "/proc/1/comm", options=("--init",)) == "podman-init"


# --- namespaces -------------------------------------------------------------------------------

OWN = [("pid", ()), ("mnt", ()), ("uts", ()), ("ipc", ()), ("net", ()), ("cgroup", ())]


@pytest.mark.parametrize("kind,options", OWN)
def test_namespace(podman, kind, options):
    """A24: its own, seen from inside and outside."""
    name = podman.sleeper(*options)
    inside = podman.ok("exec", name, "readlink", f"/proc/1/ns/{kind}").text
    host = podman.machine.ok("readlink", f"/proc/1/ns/{kind}", root=True).text
    assert inside != host
    pid = podman.inspect(name)["State"]["Pid"]
    assert podman.machine.ok("readlink", f"/proc/{pid}/ns/{kind}", root=True).text == inside


@pytest.mark.parametrize("kind,option", [("pid", "--pid"), ("uts", "--uts"), ("ipc", "--ipc"),
                                         ("net", "--network"), ("cgroup", "--cgroupns")])
def test_namespace_of_the_host(podman, kind, option):
    inside = podman.ok("run", "--rm", "--network", "none", option, "host", IMAGE, "readlink",
                       f"/proc/self/ns/{kind}").text if kind != "net" else \
        podman.ok("run", "--rm", option, "host", IMAGE, "readlink", f"/proc/self/ns/{kind}").text
    outside = podman.machine.ok("readlink", f"/proc/1/ns/{kind}", root=True).text
    assert inside == outside


@pytest.mark.parametrize("kind,option", [("pid", "--pid"), ("uts", "--uts"), ("ipc", "--ipc"),
                                         ("net", "--network")])
def test_namespace_of_another(podman, kind, option):
    """By path: podman gives the runtime /proc/PID/ns/KIND."""
    name = podman.sleeper("--ipc", "shareable", "--hostname", "first")
    args = ["run", "--rm"]
    args += [] if kind == "net" else ["--network", "none"]
    inside = podman.ok(*args, option, f"container:{name}", IMAGE, "readlink", f"/proc/self/ns/{kind}").text
    assert inside == podman.ok("exec", name, "readlink", f"/proc/1/ns/{kind}").text


def test_processes_of_another(podman):
    name = podman.sleeper(argv=("sleep", "4711"))
    assert "sleep 4711" in podman.text("ps", "-o", "args", options=("--pid", f"container:{name}"))


def test_network_of_a_namespace_by_path(podman):
    name = podman.sleeper()
    pid = podman.inspect(name)["State"]["Pid"]
    inside = podman.ok("run", "--rm", "--network", f"ns:/proc/{pid}/ns/net", IMAGE, "readlink",
                       "/proc/self/ns/net").text
    assert inside == podman.ok("exec", name, "readlink", "/proc/1/ns/net").text


def test_host_name(podman):
    assert podman.text("sh", "-c", "hostname; cat /etc/hostname", options=("--hostname", "web")) == \
        "web\nweb"


def test_only_loopback(podman):
    assert podman.text("ls", "/sys/class/net") == "lo"


def test_sysctl(podman):
    options = ("--sysctl", "net.ipv4.ip_unprivileged_port_start=80", "--sysctl", "kernel.msgmax=4096")
    assert podman.text("cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start",
                       "/proc/sys/kernel/msgmax", options=options) == "80\n4096"


def test_sysctl_that_is_not_ours(podman):
    assert podman.run("true", options=("--sysctl", "kernel.panic=1")).rc in (125, 126)


def test_id_maps(podman):
    """A user namespace inside that of podman (rootless), or of the host's."""
    options = ("--uidmap", "0:100:500", "--gidmap", "0:200:500")
    lines = podman.text("cat", "/proc/self/uid_map", "/proc/self/gid_map", options=options).splitlines()
    assert [line.split()[0] + " " + line.split()[2] for line in lines] == ["0 500", "0 500"]
    script = "stat -c %u:%g /bin/busybox; touch /tmp/x; stat -c %u:%g /tmp/x; id -u"
    assert podman.text("sh", "-c", script, options=options) == "0:0\n0:0\n0"


# --- mounts -----------------------------------------------------------------------------------

def mount_options(podman, target, *options):
    out = podman.text("cat", "/proc/self/mountinfo", options=options)
    line = [l for l in out.splitlines() if l.split()[4] == target][-1]
    return set(line.split()[5].split(",")) | set(line.split(" - ")[0].split()[6:])


@pytest.fixture
def shared(podman):
    """A directory of who runs podman, with a file."""
    d = podman.machine.own_dir(podman.fresh(), 0o777)
    (d / "file").write_text("from outside\n")
    (d / "file").chmod(0o666)
    if podman.rootless:
        os.chown(d / "file", podman.machine.user.uid, podman.machine.user.gid)
    return d


def test_bind(podman, shared):
    assert podman.text("sh", "-c", "cat /data/file; echo inside >/data/new",
                       options=("-v", f"{shared}:/data")) == "from outside"
    assert (shared / "new").read_text() == "inside\n"


def test_bind_read_only(podman, shared):
    podman.run("touch", "/data/new", options=("-v", f"{shared}:/data:ro"), rc=1)
    assert "ro" in mount_options(podman, "/data", "-v", f"{shared}:/data:ro")


def test_bind_of_a_file(podman, shared):
    assert podman.text("cat", "/etc/special/file", options=("-v", f"{shared}/file:/etc/special/file:ro")) \
        == "from outside"


def test_bind_options(podman, shared):
    found = mount_options(podman, "/data", "-v", f"{shared}:/data:noexec,nosuid,nodev")
    assert {"noexec", "nosuid", "nodev", "rw"} <= found
    assert any(o.startswith("master:") for o in
               mount_options(podman, "/data", "-v", f"{shared}:/data:rslave"))
    assert not any(o.startswith(("master:", "shared:")) for o in
                   mount_options(podman, "/data", "-v", f"{shared}:/data:rprivate"))


def test_bind_through_a_symlink_of_the_image(podman, shared):
    """The target is looked up inside the container: nothing outside is covered."""
    script = "mkdir -p /real && ln -s /real /link"
    name = podman.fresh()
    podman.ok("run", "--network", "none", "--name", name, IMAGE, "sh", "-c", script)
    podman.ok("commit", "-q", name, "localhost/linked")
    out = podman.ok("run", "--rm", "--network", "none", "-v", f"{shared}:/link", "localhost/linked",
                    "cat", "/real/file").text
    assert out == "from outside"
    podman.ok("rm", name)
    podman.ok("rmi", "localhost/linked")


def test_bind_without_a_source(podman):
    r = podman.run("true", options=("-v", "/no/such/source:/data"), rc=125)
    assert "/no/such/source" in r.err


def test_bind_is_given_to_the_user(podman, shared):
    assert podman.text("stat", "-c", "%u:%g", "/data/file",
                       options=("-u", "1000:1000", "-v", f"{shared}:/data:U")) == "1000:1000"


def test_named_volume(podman):
    volume = "v" + podman.fresh()
    podman.text("sh", "-c", "cat /etc/motd; echo kept >/etc/new", options=("-v", f"{volume}:/etc"))
    assert podman.text("cat", "/data/new", "/data/motd", options=("-v", f"{volume}:/data")) == \
        "kept\nfrom the image"
    podman.ok("volume", "rm", volume)


def test_tmpfs(podman):
    options = ("--tmpfs", "/scratch:size=1m,mode=1770,noexec")
    out = podman.text("sh", "-c", "stat -f -c %T /scratch; stat -c %a /scratch; df -k /scratch | tail -1 | "
                      "awk '{print $2}'", options=options).split()
    assert out == ["tmpfs", "1770", "1024"]
    assert "noexec" in mount_options(podman, "/scratch", *options)


def test_tmpfs_with_what_was_there(podman):
    """tmpcopyup, which podman asks for by itself."""
    assert podman.text("cat", "/etc/motd", options=("--mount", "type=tmpfs,destination=/etc,tmpcopyup")) \
        == "from the image"


def test_shared_memory(podman):
    out = podman.text("sh", "-c", "df -k /dev/shm | tail -1 | awk '{print $2}'", options=("--shm-size", "4m"))
    assert out == "4096"


def test_read_only(podman):
    podman.run("touch", "/new", options=("--read-only",), rc=1)
    podman.text("touch", "/tmp/new", "/run/new", "/dev/shm/new", options=("--read-only",))
    podman.run("touch", "/tmp/new", options=("--read-only", "--read-only-tmpfs=false"), rc=1)


def test_bind_inside_a_read_only_container(podman, shared):
    podman.text("touch", "/tmp/data/new", options=("--read-only", "-v", f"{shared}:/tmp/data"))
    assert (shared / "new").exists()


def test_nested_mounts(podman, shared):
    (shared / "sub").mkdir()
    out = podman.text("sh", "-c", "touch /data/sub/x; stat -f -c %T /data/sub",
                      options=("-v", f"{shared}:/data", "--tmpfs", "/data/sub"))
    assert out == "tmpfs" and not list((shared / "sub").iterdir())


def test_devices(podman):
    script = "for d in null zero full random urandom tty ptmx; do test -c /dev/$d || echo no $d; done;" \
             "echo x >/dev/null; head -c 3 /dev/zero | wc -c; ls -l /dev/fd /dev/stdin /dev/stdout | wc -l"
    assert podman.text("sh", "-c", script).splitlines() == ["3", "3"]


def test_a_device(podman):
    assert podman.text("stat", "-c", "%F %t,%T", "/dev/fuse", options=("--device", "/dev/fuse")) == \
        "character special file a,e5"
    assert podman.text("stat", "-c", "%t,%T", "/dev/other", options=("--device", "/dev/fuse:/dev/other:rw")) \
        == "a,e5"
    podman.text("sh", "-c", "exec 5<>/dev/fuse", options=("--device", "/dev/fuse"))


def test_root_directory(podman):
    rootfs = podman.machine.own_dir(podman.fresh())
    podman.machine.ok("tar", "-C", rootfs, "--no-same-owner", "-xf", podman.machine.busybox())
    out = podman.ok("run", "--rm", "--network", "none", "--rootfs", str(rootfs), "cat", "/etc/motd").text
    assert out == "from the image"


# --- exec -------------------------------------------------------------------------------------

def test_exec(podman):
    name = podman.sleeper("-e", "FROM=run")
    r = podman.ok("exec", "-u", "1000", "-w", "/tmp", "-e", "E=x y", name, "sh", "-c",
                  'echo "$(id -u) $(pwd) $E $FROM"; echo err >&2')
    assert (r.out, r.err) == ("1000 /tmp x y run\n", "err\n")


@pytest.mark.parametrize("argv,rc", [(("sh", "-c", "exit 3"), 3), (("true",), 0),
                                     (("sh", "-c", "kill -9 $$"), 137), (("/no-such",), 127),
                                     (("/etc/motd",), 126)])
def test_exec_status(podman, argv, rc):
    podman("exec", podman.sleeper(), *argv, rc=rc)


def test_exec_stdin(podman):
    name = podman.sleeper()
    assert podman.ok("exec", "-i", name, "wc", "-c", input="y" * 200000).text == "200000"


def test_exec_terminal(podman):
    name = podman.sleeper()
    t = podman.pty("exec", "-it", name, "sh", rows=31, cols=91)
    t.expect("#")
    t.send("tty; stty size; exit 4\n")
    t.expect("/dev/pts/0")
    t.expect("31 91")
    assert t.wait() == 4


def test_exec_detached(podman):
    name = podman.sleeper()
    podman.ok("exec", "-d", name, "sh", "-c", "echo here >/tmp/out; sleep 4712")
    runner.wait_for(lambda: podman("exec", name, "cat", "/tmp/out").text == "here")
    assert "sleep 4712" in podman.ok("top", name).out


def test_exec_is_inside(podman):
    name = podman.sleeper()
    for kind in ("pid", "mnt", "uts", "ipc", "net", "cgroup"):
        out = podman.ok("exec", name, "sh", "-c", f"readlink /proc/1/ns/{kind}; readlink /proc/self/ns/{kind}").out
        assert len(set(out.split())) == 1, kind


def test_exec_capabilities(podman):
    name = podman.sleeper("--cap-drop", "all", "--cap-add", "CHOWN")
    out = podman.ok("exec", name, "sed", "-n", "s/CapEff:\\t//p", "/proc/self/status").text
    assert int(out, 16) == CHOWN
    out = podman.ok("exec", "--privileged", name, "sed", "-n", "s/CapEff:\\t//p", "/proc/self/status").text
    assert int(out, 16) & SYS_ADMIN
    out = podman.ok("exec", "-u", "1000", name, "sed", "-n", "s/CapEff:\\t//p", "/proc/self/status").text
    assert int(out, 16) == 0


def test_exec_has_the_filter(podman):
    name = podman.sleeper("--security-opt", "no-new-privileges")
    out = podman.ok("exec", name, "sed", "-n", "s/^\\(Seccomp\\|NoNewPrivs\\):\\t//p", "/proc/self/status").out
    assert out.split() == ["1", "2"]


def test_exec_limits(podman):
    name = podman.sleeper(*LIMITS)
    assert podman.ok("exec", name, "sh", "-c", "ulimit -n").text == "100"


def test_execs_at_once(podman):
    name = podman.sleeper()
    children = [podman.spawn("exec", name, "sh", "-c", f"echo {i}; exit {i}") for i in range(6)]
    for i, child in enumerate(children):
        out, err = child.communicate(timeout=60)
        assert (child.returncode, out) == (i, f"{i}\n".encode()), err


def test_exec_ends_with_the_container(podman):
    name = podman.sleeper()
    p = podman.spawn("exec", name, "sleep", "4713")
    runner.wait_for(lambda: "4713" in podman.ok("top", name).out)
    podman.ok("kill", name)
    p.communicate(timeout=20)
    assert p.returncode != 0


def test_exec_in_a_stopped_container(podman):
    name = podman.sleeper()
    podman.ok("stop", "-t", "0", name)
    assert podman("exec", name, "true").rc == 255


# --- health, copies, looks --------------------------------------------------------------------

def test_health(podman):
    name = podman.sleeper("--health-cmd", "test -e /tmp/well", "--health-interval", "disable",
                          "--health-retries", "1")
    assert podman("healthcheck", "run", name).rc == 1
    assert podman.inspect(name)["State"]["Health"]["Status"] == "unhealthy"
    podman.ok("exec", name, "touch", "/tmp/well")
    podman.ok("healthcheck", "run", name)
    assert podman.inspect(name)["State"]["Health"]["Status"] == "healthy"


def test_copies(podman, shared):
    name = podman.sleeper("--tmpfs", "/scratch")
    podman.ok("cp", f"{shared}/file", f"{name}:/tmp/file")
    podman.ok("cp", f"{shared}/file", f"{name}:/scratch/file")
    assert podman.ok("exec", name, "cat", "/tmp/file").text == "from outside"
    if not podman.rootless:
        assert podman.ok("exec", name, "cat", "/scratch/file").text == "from outside"
    out = podman.machine.own_dir(podman.fresh())
    podman.ok("cp", f"{name}:/etc/motd", str(out))
    assert (out / "motd").read_text() == "from the image\n"
    podman.ok("stop", "-t", "0", name)
    podman.ok("cp", f"{name}:/tmp/file", str(out))
    assert (out / "file").read_text() == "from outside\n"


def test_top(podman):
    name = podman.sleeper(argv=("sh", "-c", "sleep 4714 & sleep 4715; true"))
    runner.wait_for(lambda: podman.ok("top", name).out.count("sleep 47") >= 2)
    assert "root" in podman.ok("top", name, "pid", "user", "args").out


def test_inspect(podman, runtime):
    name = podman.sleeper()
    data = podman.inspect(name)
    assert data["State"]["Status"] == "running" and data["State"]["Pid"] > 0
    assert data["OCIRuntime"] == os.path.basename(runtime)
    comm = podman.machine.ok("cat", f"/proc/{data['State']['Pid']}/comm", root=True).text
    assert comm == "podman-init"
    assert os.path.basename(runtime) in podman.machine.ok(
        "cat", f"/proc/{data['State']['ConmonPid']}/cmdline", root=True).out


def test_ps_and_events(podman):
    name = podman.sleeper()
    assert name in podman.ok("ps", "--format", "{{.Names}}").out.split()
    podman.ok("rm", "-f", "-t", "0", name)
    out = podman.ok("events", "--stream=false", "--filter", f"container={name}", "--format", "{{.Status}}")
    assert {"create", "start", "died", "remove"} <= set(out.out.split())


def test_differences_and_commit(podman):
    name = podman.fresh()
    podman.ok("run", "--network", "none", "--name", name, IMAGE, "sh", "-c", "echo x >/added; rm /etc/motd")
    out = set(podman.ok("diff", name).out.splitlines())
    assert {"A /added", "D /etc/motd"} <= out
    # What a runtime makes for its mounts must not be seen as a change.
    assert out - {"A /added", "D /etc/motd", "C /etc"} == set()


def test_information(podman, runtime):
    info = json.loads(podman.ok("info", "--format", "json").out)["host"]["ociRuntime"]
    assert info["path"] == runtime and info["version"]


def test_annotations(podman):
    name = podman.sleeper("--annotation", "org.example.a=b")
    assert podman.inspect(name)["Config"]["Annotations"]["org.example.a"] == "b"


def test_container_of_a_unit(podman):
    """conmon tells the container's readiness (NOTIFY_SOCKET) and its pid file."""
    pidfile = podman.machine.tmp / "pid"
    name = podman.sleeper("--pidfile", str(pidfile))
    assert int(pidfile.read_text()) == podman.inspect(name)["State"]["Pid"]
    pidfile.unlink()


# --- pods -------------------------------------------------------------------------------------

@pytest.fixture
def pod(podman):
    return new_pod(podman, "--hostname", "thepod")


def new_pod(podman, *options):
    # podman 4.3 gives the cgroup of a pod a device program that allows nothing (without systemd).
    name = "p" + podman.fresh()
    podman.ok("pod", "create", "--network", "none", "--share-parent=false", "--name", name, *options)
    return name


def in_pod(podman, pod, *argv, options=()):
    name = podman.fresh()
    podman.ok("run", "-d", "--pod", pod, "--name", name, *options, IMAGE, *argv)
    return name


def test_pod_shares_namespaces(podman, pod):
    first = in_pod(podman, pod, "sleep", "1000")
    second = in_pod(podman, pod, "sleep", "1000")
    for kind, same in (("net", True), ("ipc", True), ("uts", True), ("pid", False), ("mnt", False)):
        links = {podman.ok("exec", n, "readlink", f"/proc/1/ns/{kind}").text for n in (first, second)}
        assert (len(links) == 1) is same, kind
    assert podman.ok("exec", first, "hostname").text == "thepod"


def test_pod_talks_over_loopback(podman, pod):
    in_pod(podman, pod, "sh", "-c", "echo hello | nc -l -p 8080")
    client = in_pod(podman, pod, "sleep", "1000")
    out = runner.wait_for(lambda: podman("exec", client, "nc", "-w", "3", "127.0.0.1", "8080").text)
    assert out == "hello"


def test_pod_shares_processes(podman):
    name = new_pod(podman, "--share", "pid,net")
    in_pod(podman, name, "sleep", "4716")
    second = in_pod(podman, name, "sleep", "1000")
    assert "sleep 4716" in podman.ok("exec", second, "ps", "-o", "args").out


def test_pod_life(podman, pod):
    name = in_pod(podman, pod, "sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.05; done")
    assert name in podman.ok("pod", "ps", "--ctr-names").out
    assert "sh -c" in podman.ok("pod", "top", pod).out
    podman.ok("pod", "stop", "-t", "3", pod)
    assert podman.state(name) == "exited"
    podman.ok("pod", "start", pod)
    assert podman.state(name) == "running"
    podman.ok("pod", "kill", pod)
    podman.wait_state(name, "exited")
    podman.ok("pod", "rm", "-f", "-t", "0", pod)


def test_init_containers(podman):
    name = new_pod(podman)
    volume = "v" + name
    podman.ok("create", "--pod", name, "--init-ctr", "once", "-v", f"{volume}:/data", IMAGE, "sh", "-c",
              "echo prepared >/data/x")
    main = podman.fresh()
    podman.ok("create", "--pod", name, "--name", main, "-v", f"{volume}:/data", IMAGE, "cat", "/data/x")
    podman.ok("pod", "start", name)
    assert podman.ok("wait", main).text == "0"
    assert podman.ok("logs", main).text == "prepared"
    podman.ok("pod", "rm", "-f", "-t", "0", name)
    podman.ok("volume", "rm", volume)
