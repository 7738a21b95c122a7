"""containerd's runc shim with rootlet-oci as its runc, by ctr. Rows A10, A24."""
import json
import os
import re

import pytest

from lib import runner
from containerd_client import IMAGE, Containerd

BASELINE = "runc"
NEEDS = ("containerd", "ctr", "containerd-shim-runc-v2", "pidof")


@pytest.fixture(scope="module")
def containerd(machine, runtime, images):
    daemon = Containerd(machine, runtime, images.path("busybox"))
    yield daemon
    daemon.end()


@pytest.fixture
def ctr(containerd, leak_audit):
    yield containerd
    containerd.clean()


@pytest.mark.parametrize("script,rc", [("exit 0", 0), ("exit 1", 1), ("exit 42", 42), ("exit 255", 255)])
def test_exit_status(ctr, script, rc):
    ctr.run("sh", "-c", script, rc=rc)


def test_streams(ctr):
    r = ctr.run("sh", "-c", "echo out; echo err >&2", rc=0)
    assert (r.out, r.err) == ("out\n", "err\n")
    assert ctr.run("sh", "-c", "head -c 100000 | wc -c", rc=0, input="z" * 100000).text == "100000"


def test_much_output(ctr):
    """All of it, while the container runs: ctr closes its ends when it hears of the exit, and what is still
    on its way then is lost, with every runtime."""
    assert len(ctr.run("sh", "-c", "yes 0123456789 | head -c 2000000; sleep 2", rc=0).out) == 2000000


@pytest.mark.parametrize("program,match", [("/no-such", "no such file"), ("no-such", "no-such"),
                                           ("/etc/motd", "ermission denied")])
def test_a_program_that_cannot_be_run(ctr, program, match):
    """The shim shows the message that the runtime wrote to --log in JSON."""
    r = ctr.run(program)
    assert r.rc != 0 and "OCI runtime create failed" in r.err
    assert match.lower() in r.err.lower()


def test_terminal(ctr):
    name = ctr.fresh()
    t = ctr.machine.pty(*ctr.run_argv(name, ["sh"], ("--rm", "-t")), rows=30, cols=90)
    t.expect("#")
    t.send("tty; sleep 0.3; stty size\n")
    t.expect("/dev/pts/0")
    t.expect("30 90")
    t.resize(41, 101)
    t.send("sleep 0.5; stty size\n")
    t.expect("41 101")
    t.send("exit 6\n")
    assert t.wait() == 6


def test_detached(ctr):
    name = ctr.sleeper()
    assert ctr.status(name) == "RUNNING"
    pid = ctr.pid(name)
    assert ctr.machine.ok("cat", f"/proc/{pid}/comm").text == "sleep"
    ctr.ok("tasks", "kill", "-s", "SIGKILL", name)
    ctr.wait_status(name, "STOPPED")
    assert ctr.removed(name) == 137


def test_created_is_not_started(ctr):
    name = ctr.fresh()
    ctr.ok("containers", "create", IMAGE, name, "cat", "/etc/motd", "/no-such")
    assert ctr.status(name) is None
    r = ctr("tasks", "start", name)
    assert (r.rc, r.out) == (1, "from the image\n")


def test_signals(ctr):
    name = ctr.sleeper(argv=("sh", "-c", "trap 'exit 9' TERM; while :; do sleep 0.05; done"))
    # The trap is set when the child sleeps.
    runner.wait_for(lambda: "sleep" in ctr.ok("tasks", "ps", name).out or
                    len(ctr.ok("tasks", "ps", name).out.splitlines()) > 2)
    ctr.ok("tasks", "kill", "-s", "SIGTERM", name)
    ctr.wait_status(name, "STOPPED")
    assert ctr.removed(name) == 9


def test_kill_all(ctr):
    name = ctr.sleeper(argv=("sh", "-c", "sleep 4721 & sleep 4722; true"))
    runner.wait_for(lambda: len(ctr.ok("tasks", "ps", name).out.splitlines()) == 4)
    ctr.ok("tasks", "kill", "-s", "SIGKILL", "--all", name)
    ctr.wait_status(name, "STOPPED")


def test_a_task_that_is_gone_cannot_be_signalled(ctr):
    name = ctr.sleeper(argv=("true",))
    ctr.wait_status(name, "STOPPED")
    r = ctr("tasks", "kill", "-s", "SIGTERM", name)
    assert r.rc != 0 and "not found" in r.err or "already finished" in r.err


def test_running_task_is_removed_by_force(ctr):
    name = ctr.sleeper()
    assert ctr("tasks", "rm", name).rc != 0
    ctr("tasks", "rm", "-f", name)
    assert ctr.status(name) is None


def test_pause(ctr):
    name = ctr.sleeper(argv=("sh", "-c", "i=0; while :; do i=$((i+1)); echo $i >/tmp/n; sleep 0.02; done"))
    ctr.ok("tasks", "pause", name)
    assert ctr.status(name) == "PAUSED"
    path = f"/proc/{ctr.pid(name)}/root/tmp/n"
    before = ctr.machine.ok("cat", path).out
    assert ctr.machine.shell(f"sleep 0.3; cat {path}").out == before
    ctr.ok("tasks", "resume", name)
    assert ctr.status(name) == "RUNNING"
    runner.wait_for(lambda: ctr.machine.ok("cat", path).out != before)


def test_paused_task_is_killed(ctr):
    name = ctr.sleeper()
    ctr.ok("tasks", "pause", name)
    ctr.ok("tasks", "kill", "-s", "SIGKILL", name)
    ctr("tasks", "resume", name)
    ctr.wait_status(name, "STOPPED")


def test_exec(ctr):
    name = ctr.sleeper()
    r = ctr.exec(name, "sh", "-c", "id -u; pwd; echo err >&2; exit 5", options=("--cwd", "/tmp", "--user", "1000"))
    assert (r.rc, r.out, r.err) == (5, "1000\n/tmp\n", "err\n")
    # To a file: of a process that ends at once ctr prints nothing now and then, rarely, on a busy machine. Whether
    # the runtime has a part in that is not known; it is no question of namespaces.
    kinds = ("pid", "mnt", "uts", "ipc", "net")
    look = "for k in " + " ".join(kinds) + "; do echo $(readlink /proc/1/ns/$k) $(readlink /proc/self/ns/$k); done >/ns"
    r = ctr.exec(name, "sh", "-c", look)
    assert r.rc == 0, r
    lines = ctr.machine.ok("cat", f"/proc/{ctr.pid(name)}/root/ns").out.splitlines()
    assert len(lines) == len(kinds)
    for kind, line in zip(kinds, lines):
        assert len(line.split()) == 2 and len(set(line.split())) == 1, kind
    r = ctr.exec(name, "/no-such")
    assert r.rc != 0 and "OCI runtime exec failed" in r.err


def test_exec_terminal(ctr):
    name = ctr.sleeper()
    t = ctr.machine.pty("ctr", "-a", ctr.socket, "tasks", "exec", "-t", "--exec-id", "term", name, "sh",
                        rows=28, cols=88)
    t.expect("#")
    t.send("sleep 0.3; stty size; exit 3\n")
    t.expect("28 88")
    assert t.wait() == 3


def test_execs_at_once(ctr):
    name = ctr.sleeper()
    # They stay a moment: see test_exec.
    children = [ctr.machine.spawn("ctr", "-a", ctr.socket, "tasks", "exec", "--exec-id", f"x{i}", name, "sh",
                                  "-c", f"echo {i}; sleep 0.3; exit {i}") for i in range(6)]
    for i, child in enumerate(children):
        out, err = child.communicate(timeout=60)
        assert (child.returncode, out) == (i, f"{i}\n".encode()), err


def test_processes(ctr):
    name = ctr.sleeper()
    lines = ctr.ok("tasks", "ps", name).out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [str(ctr.pid(name))]


def test_metrics(ctr):
    """The shim reads the cgroup that the runtime made, where the specification says."""
    name = ctr.sleeper()
    r = ctr.ok("tasks", "metrics", name)
    assert name in r.out
    line = ctr.machine.ok("cat", f"/proc/{ctr.pid(name)}/cgroup").out.splitlines()[-1]
    assert line == f"0::/default/{name}"


def test_events(ctr):
    out = open(ctr.machine.tmp / "events", "wb")
    child = ctr.machine.spawn("ctr", "-a", ctr.socket, "events", stdout=out)
    path = ctr.machine.tmp / "events"
    # Until the subscription is made, events of a container that is made again and again are lost.

    def heard():
        ctr.run("true", rc=0)
        return "/tasks/exit" in path.read_text()
    runner.wait_for(heard)
    path.write_text("")
    ctr.run("sh", "-c", "exit 12", rc=12)
    runner.wait_for(lambda: "/tasks/delete" in path.read_text())
    topics = re.findall(r"/tasks/\w+", path.read_text().replace("\0", ""))
    assert [t for t in topics if t in ("/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete")][-4:] == \
        ["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"]
    assert '"exit_status":12' in path.read_text()
    ctr.machine.end_child(child)
    out.close()
    path.unlink()


def test_log_file(ctr):
    """The shim writes what comes through the pipes to where --log-uri says. (Of one stream only: its two
    copies, of stdout and stderr, may write over each other.)"""
    log = ctr.machine.tmp / "log"
    name = ctr.sleeper("--log-uri", f"file://{log}", argv=("echo", "to the log"))
    ctr.wait_status(name, "STOPPED")
    runner.wait_for(lambda: log.exists() and log.read_text() == "to the log\n")
    log.unlink()


@pytest.mark.leaves("containerd --config")
def test_daemon_comes_back(ctr):
    """Shims and containers outlive containerd, which asks the runtime for nothing but state again."""
    name = ctr.sleeper(argv=("sh", "-c", "trap 'exit 8' TERM; while :; do sleep 0.05; done"))
    pid = ctr.pid(name)
    ctr.stop()
    assert ctr.machine.ok("cat", f"/proc/{pid}/comm").text == "sh"
    ctr.start()
    assert (ctr.status(name), ctr.pid(name)) == ("RUNNING", pid)
    ctr.ok("tasks", "kill", "-s", "SIGTERM", name)
    ctr.wait_status(name, "STOPPED")
    assert ctr.removed(name) == 8


def test_shim_dies(ctr):
    """containerd then has the runtime delete the container by force."""
    name = ctr.sleeper()
    pid = ctr.pid(name)
    shims = [p for p, line in ctr.machine.processes().items()
             if "containerd-shim" in line and f"-id {name} " in f"{line} "]
    ctr.machine.ok("kill", "-9", *shims)
    runner.wait_for(lambda: ctr.status(name) in (None, "STOPPED"), 20)
    runner.wait_for(lambda: ctr.machine.run("test", "-e", f"/proc/{pid}").rc != 0, 20, "the container ends")


def test_many_at_once(ctr):
    children = [ctr.machine.spawn(*ctr.run_argv(ctr.fresh(), ["sh", "-c", f"exit {i}"], ("--rm",)))
                for i in range(6)]
    for i, child in enumerate(children):
        _, err = child.communicate(timeout=60)
        assert child.returncode == i, err


# --- configurations -------------------------------------------------------------------------

def test_process(ctr):
    out = ctr.text("sh", "-c", 'pwd; echo "$E"', options=("--cwd", "/tmp", "--env", "E=x y"))
    assert out.splitlines() == ["/tmp", "x y"]


def test_mounts(ctr):
    d = ctr.machine.own_dir(ctr.fresh())
    (d / "f").write_text("bound\n")
    options = ("--mount", f"type=bind,src={d},dst=/data,options=rbind:ro", "--mount",
               "type=tmpfs,src=tmpfs,dst=/scratch,options=size=1m:mode=0700")
    out = ctr.text("sh", "-c", "cat /data/f; touch /data/x 2>/dev/null || echo ro; stat -f -c %T /scratch",
                   options=options)
    assert out.splitlines() == ["bound", "ro", "tmpfs"]


def test_read_only(ctr):
    assert ctr.run("touch", "/x", options=("--read-only",)).rc == 1


def test_device(ctr):
    script = "stat -c %t,%T /dev/fuse; exec 5<>/dev/fuse && echo opened"
    assert ctr.text("sh", "-c", script, options=("--device", "/dev/fuse")) == "a,e5\nopened"


def test_device_that_is_not_allowed(ctr):
    """mknod is allowed to a container, use of what it makes is not."""
    script = "mknod /tmp/node c 10 229 && exec 5<>/tmp/node && echo opened"
    r = ctr.run("sh", "-c", script)
    assert r.rc != 0 and "Operation not permitted" in r.err
    assert ctr.text("sh", "-c", script, options=("--privileged",)) == "opened"


def test_capabilities(ctr):
    out = ctr.text("sed", "-n", "s/CapEff:\\t//p", "/proc/self/status", options=(
        "--cap-add", "CAP_SYS_ADMIN", "--cap-drop", "CAP_CHOWN"))
    assert int(out, 16) & (1 << 21) and not int(out, 16) & 1


def test_seccomp(ctr):
    script = ("sed", "-n", "s/^\\(Seccomp\\|NoNewPrivs\\):\\t//p", "/proc/self/status")
    assert ctr.text(*script).split() == ["1", "0"]
    assert ctr.text(*script, options=("--seccomp", "--allow-new-privs")).split() == ["0", "2"]


def test_privileged(ctr):
    script = "test -c /dev/fuse && mkdir -p /mnt && mount -t tmpfs x /mnt && stat -f -c %T /mnt"
    assert ctr.text("sh", "-c", script, options=("--privileged",)) == "tmpfs"


def test_host_network(ctr):
    assert ctr.text("readlink", "/proc/self/ns/net", options=("--net-host",)) == \
        ctr.machine.ok("readlink", "/proc/self/ns/net").text


def test_namespaces_by_path(ctr):
    name = ctr.sleeper()
    pid = ctr.pid(name)
    for kind, word in (("net", "network"), ("ipc", "ipc"), ("uts", "uts"), ("pid", "pid")):
        out = ctr.text("readlink", f"/proc/self/ns/{kind}", options=("--with-ns", f"{word}:/proc/{pid}/ns/{kind}"))
        assert out == ctr.machine.ok("readlink", f"/proc/{pid}/ns/{kind}").text, kind


def test_user_namespace(ctr):
    """A user namespace made by root, with the snapshot shifted by containerd."""
    options = ("--uidmap", "0:100000:65536", "--gidmap", "0:100000:65536")
    out = ctr.text("sh", "-c", "cat /proc/self/uid_map; stat -c %u:%g /bin/busybox; id -u", options=options)
    assert out.split() == ["0", "100000", "65536", "0:0", "0"]


def test_root_directory(ctr):
    rootfs = ctr.machine.rootfs(ctr.fresh())
    name = ctr.fresh()
    r = ctr.ok("run", "--rm", "--cpu-shares", "0", "--runc-binary", ctr.runtime, "--rootfs", str(rootfs), name, "/bin/cat",
               "/etc/motd")
    assert r.text == "from the image"


def test_configuration_by_hand(ctr):
    """config.json as somebody wrote it."""
    rootfs = ctr.machine.rootfs(ctr.fresh())
    path = ctr.machine.dir / f"{rootfs.name}.json"
    spec = {"ociVersion": "1.0.2", "hostname": "hand", "root": {"path": str(rootfs)},
            "process": {"args": ["sh", "-c", "hostname; ulimit -n"], "cwd": "/", "env": ["PATH=/bin"],
                        "user": {"uid": 0, "gid": 0},
                        "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 77, "hard": 88}]},
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
            "linux": {"cgroupsPath": "/by/hand",
                      "namespaces": [{"type": t} for t in ("pid", "mount", "uts", "ipc", "network")]}}
    path.write_text(json.dumps(spec))
    r = ctr.ok("run", "--rm", "--runc-binary", ctr.runtime, "--config", str(path), ctr.fresh())
    assert r.out == "hand\n77\n"
    os.rmdir(f"{ctr.machine.root}/sys/fs/cgroup/by")


# --- what the shim asks of a runtime ----------------------------------------------------------

RECORDER = """#!/bin/sh
'{runtime}' "$@"
rc=$?
printf '%s\\t' "$rc" "$@" >>'{log}'
echo >>'{log}'
exit $rc
"""


def test_calls_of_the_shim(ctr):
    """go-runc's command lines, as they are: each is understood."""
    log = ctr.machine.tmp / "calls"
    recorder = ctr.machine.dir / "recorder"
    recorder.write_text(RECORDER.format(runtime=ctr.runtime, log=log))
    recorder.chmod(0o755)
    name = ctr.sleeper(runtime=str(recorder))
    ctr.exec(name, "true", rc=0)
    ctr.ok("tasks", "ps", name)
    ctr.ok("tasks", "pause", name)
    ctr.ok("tasks", "resume", name)
    ctr.ok("tasks", "kill", "-s", "SIGKILL", name)
    ctr.wait_status(name, "STOPPED")
    ctr("tasks", "rm", name)
    calls = [line.rstrip("\t\n").split("\t") for line in log.read_text().splitlines()]
    log.unlink()
    verbs = {}
    for rc, *words in calls:
        # --root DIR --log FILE --log-format json VERB
        assert words[0] == "--root" and words[2] == "--log" and words[4:6] == ["--log-format", "json"]
        verbs[words[6]] = (int(rc), words[7:])
    assert {v: rc for v, (rc, _) in verbs.items()} == {
        v: 0 for v in ("create", "start", "exec", "ps", "pause", "resume", "kill", "delete")}
    assert {"--bundle", "--pid-file"} <= set(verbs["create"][1])
    assert {"--process", "--detach", "--pid-file"} <= set(verbs["exec"][1])
    assert verbs["kill"][1] == [name, "9"]
