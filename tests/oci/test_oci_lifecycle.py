"""The life of a container as runtime.md of the OCI specification has it."""
import json
import os
import shlex
import shutil
import signal
import subprocess
import time

import pytest

from lib import rows, runner, smoke

WAIT = "trap 'exit 3' TERM; echo up; while :; do sleep 0.05; done"


def pid_is_gone(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
            return f.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@smoke
@rows("A10", "B50", "B51")
def test_life(oci):
    """create, start, kill, delete; and what state says of each."""
    name = oci.create(WAIT, options=("--pid-file", oci.dir / "pid"))
    out = oci.created
    s = oci.state(name)
    assert s["status"] == "created" and s["id"] == name and s["ociVersion"] == "1.0.2"
    assert s["pid"] == int((oci.dir / "pid").read_text())
    assert not (oci.dir / "pid").read_text().endswith("\n"), "go-runc takes digits only"
    time.sleep(0.1)
    assert out.later() == "", "the program runs before start"
    oci.ok("start", name)
    runner.wait_for(lambda: out.later() == "up\n")
    assert oci.state(name)["status"] == "running"
    assert oci.state(name)["pid"] == s["pid"]
    oci.ok("kill", name, "TERM")
    oci.wait_for(name, "stopped")
    s = oci.state(name)
    assert s["pid"] == 0
    oci.ok("delete", name)
    oci.fails("state", name, match="does not exist")
    assert not (oci.root / name).exists()


@rows("A10", "B48")
def test_state_json(oci):
    bundle = oci.bundle(["true"], lambda c: c.update(annotations={"org.example/a": "b=c", "e": ""}))
    name = oci.name()
    oci.ok("create", "-b", bundle, name)
    s = oci.state(name)
    assert s["bundle"] == str(bundle) and s["rootfs"] == str(bundle / "rootfs")
    assert s["annotations"] == {"org.example/a": "b=c", "e": ""}
    assert s["owner"] == oci.user.environment()["USER"]
    assert s["created"].startswith(time.strftime("%Y-", time.gmtime()))


def test_bundle_is_the_working_directory(oci):
    bundle = oci.bundle(["true"])
    assert oci("run", oci.name(), cwd=bundle, rc=0)


def test_config_of_another_name(oci):
    bundle = oci.bundle(["true"])
    c = oci.config(bundle)
    c["process"]["args"] = ["sh", "-c", "exit 9"]
    (bundle / "other.json").write_text(json.dumps(c))
    oci("run", "-b", bundle, "-f", bundle / "other.json", oci.name(), rc=9)
    oci("run", "-b", bundle, "--config", "other.json", oci.name(), cwd=bundle, rc=9)


@rows("B50")
@pytest.mark.parametrize("script,status", [("exit 0", 0), ("exit 42", 42), ("kill -9 $$", 137),
                                           ("kill -TERM $$", 143)])
def test_exit_status(rootless, script, status):
    """PID 1 is immune to its own signals, so a child of the host's pid namespace dies of them."""
    def host_pids(c):
        c["linux"]["namespaces"] = [n for n in c["linux"]["namespaces"] if n["type"] != "pid"]
        c["mounts"] = [m for m in c["mounts"] if m["destination"] != "/proc"]
    r = rootless.run(script, host_pids)
    assert r.rc == status, r
    assert rootless.ok("list", "-q").out == ""


def test_run_removes_everything(oci):
    r = oci.run("echo out; echo err >&2; exit 5", rc=5)
    assert r.out == "out\n" and r.err == "err\n"
    assert not oci.left()


def test_run_reads_stdin(oci):
    r = oci.run(["cat"], rc=0, input="some\ntext")
    assert r.out == "some\ntext"


def test_run_detached(oci):
    name = oci.name()
    r = oci.ok("run", "-d", "--pid-file", oci.dir / "p", "-b", oci.bundle(WAIT), name)
    pid = int((oci.dir / "p").read_text())
    runner.wait_for(lambda: r.later() == "up\n")
    assert oci.state(name)["pid"] == pid and oci.status(name) == "running"
    oci.ok("kill", name, "KILL")
    oci.wait_for(name, "stopped")
    oci.ok("delete", name)


def test_run_keep(oci):
    name = oci.name()
    oci("run", "--keep", "-b", oci.bundle("exit 4"), name, rc=4)
    assert oci.status(name) == "stopped"
    oci.ok("delete", name)


def test_signals_reach_the_foreground(oci):
    name = oci.name()
    p = oci.spawn("run", "-b", oci.bundle(WAIT), name)
    assert p.stdout.readline() == "up\n"
    oci.ok("kill", name, "0")
    p.send_signal(signal.SIGTERM) if oci.mode != "cgroup2" else oci.ok("kill", name)
    assert p.wait(20) == 3
    p.communicate()


@pytest.mark.parametrize("number", [signal.SIGALRM, signal.SIGRTMIN + 3, signal.SIGIO])
def test_any_signal_reaches_the_foreground(rootless, number):
    """What would end us is for the container to decide: systemd ends its own kind by RTMIN+3."""
    script = f"trap 'exit 21' {int(number)}; echo up; while :; do sleep 0.05; done"
    p = rootless.spawn("run", "-b", rootless.bundle(script), rootless.name())
    assert p.stdout.readline() == "up\n"
    p.send_signal(number)
    assert p.wait(20) == 21
    p.communicate()


def test_caller_that_ignores_its_children(rootless):
    p = rootless.spawn("run", "-b", rootless.bundle("exit 8"), rootless.name(),
                       preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
    assert p.wait(20) == 8
    p.communicate()


def test_ids(rootless):
    bundle = rootless.bundle(["true"])
    for bad in ("", ".", "..", "a/b", "a b", "ä", "x" * 256, "a\nb"):
        rootless.fails("create", "-b", bundle, "--", bad, match="invalid id")
    for good in ("a.b", "_x", "x+y", "-dash", ".hidden", "x" * 255):
        rootless.containers.append(good)
        rootless("run", "-b", bundle, "--", good, rc=0)
        rootless.containers.remove(good)


def test_id_is_taken_once(oci):
    name = oci.create(["true"])
    oci.fails("create", "-b", oci.bundle(["true"]), name, match="exists")
    assert oci.status(name) == "created", "the refused one has harmed the first"
    oci.ok("delete", name)
    oci.ok("run", "-b", oci.bundle(["true"]), name)


def test_start_twice(oci):
    name = oci.create(WAIT)
    oci.ok("start", name)
    oci.fails("start", name, match="cannot start a container that is running")
    oci.ok("kill", name, "SIGKILL")
    oci.wait_for(name, "stopped")
    oci.fails("start", name, match="has stopped")


@pytest.mark.parametrize("word", ["TERM", "SIGTERM", "term", "15", None])
def test_kill_words(rootless, word):
    name = rootless.create(WAIT)
    rootless.ok("start", name)
    runner.wait_for(lambda: rootless.created.later() == "up\n")
    rootless.ok("kill", name, *([word] if word else []))
    rootless.wait_for(name, "stopped")


def test_kill_realtime(rootless):
    name = rootless.create("trap 'echo got; exit' RTMIN+2 || trap 'echo got; exit' 36; echo up; "
                           "while :; do sleep 0.05; done")
    rootless.ok("start", name)
    runner.wait_for(lambda: rootless.created.later() == "up\n")
    rootless.ok("kill", name, "RTMIN+2")
    rootless.wait_for(name, "stopped")
    assert rootless.created.later() == "up\ngot\n"


def test_kill_refusals(oci):
    """The words are those that podman and containerd look for."""
    name = oci.create(["true"])
    oci.fails("kill", name, "NOSUCH", match="unknown signal")
    oci.ok("start", name)
    oci.wait_for(name, "stopped")
    oci.fails("kill", name, "TERM", match="container not running")
    oci.ok("kill", "--all", name, "KILL")
    oci.fails("kill", "nobody-here", "TERM", match="does not exist")


def test_kill_created(oci):
    name = oci.create(["true"])
    oci.ok("kill", name, "KILL")
    oci.wait_for(name, "stopped")
    oci.ok("delete", name)


def test_kill_all(oci):
    """Processes beside the init, of a container without a pid namespace, are in its cgroup."""
    if oci.mode != "cgroup2":
        pytest.skip("needs cgroups")

    def host_pids(c):
        c["linux"]["namespaces"] = [n for n in c["linux"]["namespaces"] if n["type"] != "pid"]
        c["mounts"] = [m for m in c["mounts"] if m["destination"] != "/proc"]
    name = oci.create("sleep 1000 & echo $!; exit 0", host_pids)
    oci.ok("start", name)
    oci.wait_for(name, "stopped")
    pid = int(oci.created.later())
    assert not pid_is_gone(pid)
    oci.ok("kill", "-a", name, "KILL")
    runner.wait_for(lambda: pid_is_gone(pid))
    oci.ok("delete", name)


def test_delete_ends_what_is_left_in_the_cgroup(oci):
    if oci.mode != "cgroup2":
        pytest.skip("needs cgroups")

    def host_pids(c):
        c["linux"]["namespaces"] = [n for n in c["linux"]["namespaces"] if n["type"] != "pid"]
        c["mounts"] = [m for m in c["mounts"] if m["destination"] != "/proc"]
    name = oci.create("sleep 1000 & echo $!; exit 0", host_pids)
    oci.ok("start", name)
    oci.wait_for(name, "stopped")
    oci.ok("delete", name)
    assert pid_is_gone(int(oci.created.later()))


def test_delete_running(oci):
    name = oci.create(WAIT)
    oci.ok("start", name)
    pid = oci.state(name)["pid"]
    oci.fails("delete", name, match="cannot delete a container that is running")
    assert not pid_is_gone(pid)
    oci.ok("delete", "--force", name)
    assert pid_is_gone(pid)
    oci.fails("state", name, match="does not exist")


def test_delete_of_a_run_in_the_foreground(oci):
    """Commands that change a container do not wait for the end of its "run"."""
    name = oci.name()
    bundle = oci.bundle(WAIT)
    run = oci.spawn("run", "--bundle", bundle, name)
    runner.wait_for(lambda: '"running"' in oci("state", name).out, 10, "it runs")
    if oci.mode == "cgroup2":
        oci.ok("pause", name)
        oci.ok("resume", name)
    else:
        oci.fails("pause", name, match="needs a cgroup")
    oci.ok("delete", "--force", name)
    assert run.wait(30) == 128 + 9 and run.stderr.read() == ""
    oci.fails("state", name, match="does not exist")


def test_delete_created(oci):
    name = oci.create(["true"])
    pid = oci.state(name)["pid"]
    oci.ok("delete", name)
    assert pid_is_gone(pid)


def test_delete_of_nothing(rootless):
    rootless.fails("delete", "nobody-here", match="does not exist")
    rootless.ok("delete", "--force", "nobody-here")


def test_list(oci):
    assert oci.ok("list").out.split() == "ID PID STATUS BUNDLE CREATED OWNER".split()
    assert oci.ok("list", "--format", "json").json() == []
    names = sorted(oci.create(["true"]) for _ in range(2))
    assert oci.ok("list", "-q").out.split() == names
    lines = oci.ok("list").out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == names
    assert lines[1].split()[2] == "created"
    rows_ = oci.ok("list", "-f", "json").json()
    assert [r["id"] for r in rows_] == names
    assert rows_[0] == oci.state(names[0])
    oci.fails("list", "-f", "yaml", match="not table or json")


def test_status_is_asked_without_harm(rootless):
    """state connects to the socket on which the init waits; it must go on waiting."""
    name = rootless.create(WAIT)
    for _ in range(40):
        assert rootless.status(name) == "created"
    rootless.ok("start", name)
    assert rootless.status(name) == "running"


def test_a_pid_that_another_has_now_is_not_ours(rootless):
    name = rootless.create(WAIT)
    rootless.ok("start", name)
    path = rootless.root / name / "state.json"
    state = json.loads(path.read_text())
    state["pidStart"] += 1
    path.write_text(json.dumps(state))
    assert rootless.status(name) == "stopped"
    rootless.fails("kill", name, "KILL", match="container not running")
    state["pidStart"] -= 1
    path.write_text(json.dumps(state))
    assert rootless.status(name) == "running"


def test_starts_at_once(rootless):
    """Twenty that want to start one container: one does."""
    name = rootless.create(WAIT)
    ps = [rootless.spawn("start", name) for _ in range(20)]
    codes = sorted(p.wait(60) for p in ps)
    assert codes == [0] + [1] * 19, [p.communicate() for p in ps]


def test_creates_at_once(rootless):
    bundle = rootless.bundle(["true"])
    name = rootless.name()
    ps = [rootless.spawn("create", "-b", bundle, name, stdout=subprocess.DEVNULL) for _ in range(10)]
    codes = sorted(p.wait(60) for p in ps)
    assert codes == [0] + [1] * 9
    assert rootless.status(name) == "created"


def test_log_file(rootless):
    """podman and containerd read the reason of a failure from it."""
    log = rootless.dir / "log"
    options = ("--log", log, "--log-format", "json")
    rootless.fails(*options, "state", "nobody-here", match="does not exist")
    rootless.fails(*options, "start", "a/b", match="invalid id")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [sorted(line) for line in lines] == [["level", "msg", "time"]] * 2
    assert lines[0]["level"] == "error" and "does not exist" in lines[0]["msg"]
    assert time.strptime(lines[0]["time"], "%Y-%m-%dT%H:%M:%SZ")
    log.unlink()
    rootless.fails("--log", log, "--log-format=text", "state", 'quo"te', match="invalid id")
    line = log.read_text()
    assert line.startswith('time="2') and " level=error msg=\"" in line and 'quo\\"te' in line
    rootless.fails("--log-format", "xml", "list", match="not text or json")
    rootless.fails("--log", "/nowhere/log", "list", match="/nowhere/log")


def test_version(rootless):
    lines = rootless.ok("--version").out.splitlines()
    assert lines[0].startswith("rootlet-oci version ")
    assert "spec: 1.2.0" in lines
    assert rootless.ok("-v").out.splitlines() == lines


def test_global_options(rootless):
    rootless.fails("--cgroup-manager", "magic", "list", match="not cgroupfs, systemd or disabled")
    rootless.fails("--rootless=perhaps", "list", match="not auto, true or false")
    rootless.ok("--rootless", "true", "list")
    rootless.ok("--rootless=auto", "--debug", "--criu", "/x", "list")
    rootless.fails("nosuch", match="unrecognized command")


def test_default_root(rootless):
    rootless.ok("run", "-b", rootless.bundle(["true"]), rootless.name())
    p = subprocess.run([rootless.program, "list"], env=rootless.environment(), check=True, text=True,
                       capture_output=True, **rootless.user.popen_args())
    assert p.stdout.split()[0] == "ID"
    env = rootless.environment({"XDG_RUNTIME_DIR": None})
    p = subprocess.run([rootless.program, "run", "-b", rootless.bundle(["true"]), "x"], env=env,
                       check=False, text=True, capture_output=True, **rootless.user.popen_args())
    if not os.path.isdir(f"/run/user/{rootless.user.uid}"):
        assert p.returncode == 1 and "XDG_RUNTIME_DIR" in p.stderr


@rows("A10", "B48")
@pytest.mark.parametrize("sig", ("TERM", "INT", "HUP", "QUIT"))
def test_a_created_container_can_be_stopped(oci, sig):
    """It need not be killed, though it is the first process of its pid namespace."""
    name = oci.create(["sleep", "1000"])
    oci.ok("kill", name, sig)
    oci.wait_for(name, "stopped")


@rows("A10")
def test_signals_of_the_wait_are_the_payloads_own(oci):
    """What the init does about signals while it waits ends with the program."""
    name = oci.create("trap 'echo got it' TERM; echo up; while :; do sleep 0.05; done")
    out = oci.created
    oci.ok("start", name)
    runner.wait_for(lambda: out.later() == "up\n", 10, "it is up")
    oci.ok("kill", name, "TERM")
    runner.wait_for(lambda: out.later() == "up\ngot it\n", 10, "the trap")
    assert oci.status(name) == "running"


@rows("B49", "B51")
def test_other_directories_are_no_containers(rootless):
    """--root may name a directory that has others in it: none of them is listed, none is removed."""
    rootless.ok("delete", rootless.create(["true"]))
    for name, mode, inside in (("etc", 0o755, ("passwd",)), ("private", 0o700, ("diary",)),
                               ("deep", 0o700, ("a/b",)), ("open", 0o755, ())):
        top = rootless.root / name
        top.mkdir()
        for f in inside:
            (top / f).parent.mkdir(exist_ok=True)
            (top / f).write_text("precious")
        top.chmod(mode)
        rootless._own(top)
    before = sorted(str(p) for p in rootless.root.rglob("*"))
    assert rootless.ok("list", "-q").out == ""
    for name in ("etc", "private", "deep", "open"):
        for verb in (["state"], ["delete"], ["start"], ["kill"]):
            rootless.fails(*verb, name, match="does not exist")
        rootless("delete", "--force", name)
    assert sorted(str(p) for p in rootless.root.rglob("*")) == before
    for name in ("etc", "private", "deep", "open"):
        shutil.rmtree(rootless.root / name)


@pytest.mark.root
def test_create_beside_delete_and_create(rootless):
    """Who made a directory, and found another's in its place when it came to open it, has made nothing."""
    trace = os.path.join(os.environ["BUILDDIR"], "tests/crash/crash-trace")
    log = rootless.dir / "trace"
    user = rootless.user
    ids = ("--uid", str(user.uid), "--gid", str(user.gid)) if user.made else ()
    rootless.ok("delete", rootless.create(["sleep", "1000"]), "--force")  # its root is there from now on
    bundle = rootless.bundle(["sleep", "1000"])
    for n in range(3):
        name = rootless.name()
        create = shlex.join(rootless.argv("create", "--bundle", bundle, name))
        argv = [trace, "--log", str(log), *ids, "--meanwhile",
                f"{shlex.join(rootless.argv('delete', '--force', name))}; {create}", "--after", f"m:{n}", "--",
                *shlex.split(create)]
        subprocess.run(argv, env=rootless.environment(), cwd=rootless.dir, check=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        said = log.read_text()
        assert "hit" in said
        if "meanwhile 0\n" in said and " mkdir" in said:
            assert "exit 0\n" not in said, f"both have made it: {said}"
        rootless.ok("delete", "--force", name)
        assert not [line for line in rootless.leaks() if line.startswith("process")], said
