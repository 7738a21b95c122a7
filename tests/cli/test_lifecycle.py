"""create, start, stop, kill, restart, wait, rm, rename: states and what scripts expect of them."""
import json
import os
import pathlib
import re
import signal
import time

import pytest

from lib import rows, smoke

LOOP = "trap 'exit 0' TERM; while :; do sleep 0.02; done"
DEAF = "trap '' TERM; while :; do sleep 0.02; done"


def state(rootlet, name):
    return rootlet.inspect(name)["State"]


def state_file(rootlet, name):
    return rootlet.store.root / "containers" / rootlet.inspect(name)["Id"] / "state.json"


@smoke
@rows("A9", "A58", "A59", "A61", "A62", "A65", "A67", "B20", "B44")
def test_create_start_exec_stop_delete(rootlet):
    made = rootlet.ok("create", "--name", "w", rootlet.image(), "sh", "-c", LOOP).text
    assert state(rootlet, "w")["Status"] == "created"
    assert state(rootlet, "w")["Pid"] == 0 and not rootlet.user.processes()
    assert rootlet.ok("start", "w").out == "w\n"
    found = state(rootlet, "w")
    assert (found["Status"], found["Running"]) == ("running", True) and found["Pid"] > 1
    assert rootlet.ok("exec", "w", "echo", "hi").text == "hi"
    r = rootlet.ok("stop", "w")
    assert r.out == "w\n" and r.seconds < 9, "it has not waited for the end of the grace time"
    found = state(rootlet, "w")
    assert (found["Status"], found["ExitCode"], found["Running"], found["Pid"]) == ("stopped", 0, False, 0)
    assert rootlet.ok("delete", made[:12]).out == made[:12] + "\n"
    assert rootlet.ok("ps", "-aq").out == ""
    assert list((rootlet.store.root / "containers").iterdir()) == []


@rows("A61", "A66", "B44")
def test_stop_escalates_after_the_grace_time(rootlet):
    rootlet.ok("run", "-d", "--name", "c", rootlet.image(), "sh", "-c", DEAF)
    r = rootlet.ok("stop", "-t", "1", "c")
    assert 0.9 < r.seconds < 9, r
    found = state(rootlet, "c")
    assert (found["ExitCode"], found["Status"]) == (137, "stopped")
    assert "Exited (137)" in rootlet.ok("ps", "-a").out
    rootlet.ok("stop", "c")  # the wish is fulfilled already


def test_stop_signal_and_timeout_of_the_container(rootlet):
    rootlet.ok("run", "-d", "--name", "c", "--stop-signal", "USR1", rootlet.image(), "sh", "-c",
               "trap 'exit 4' USR1; trap '' TERM; echo ready; while :; do sleep 0.02; done")
    rootlet.ok("run", "-d", "--name", "d", "--stop-timeout", "1", rootlet.image(), "sh", "-c", DEAF)
    rootlet.wait_for(lambda: rootlet.ok("logs", "c").out == "ready\n")
    assert rootlet.ok("stop", "c").seconds < 9
    assert state(rootlet, "c")["ExitCode"] == 4
    assert rootlet.inspect("c")["Config"]["StopSignal"] == "SIGUSR1"
    assert 0.9 < rootlet.ok("stop", "d").seconds < 9


@rows("B8", "B13", "B14", "B44", "A68")
def test_states_of_an_end(rootlet):
    rootlet.ok("run", "-d", "--name", "c", rootlet.image(), "sh", "-c", "exit 3")
    assert rootlet.ok("wait", "c").out == "3\n"
    found = state(rootlet, "c")
    assert (found["Status"], found["ExitCode"]) == ("exited", 3)
    assert found["StartedAt"][:2] == "20" and found["FinishedAt"] >= found["StartedAt"]


@rows("B13")
def test_killed_from_outside(rootlet):
    rootlet.ok("run", "-d", "--name", "c", rootlet.image(), "sleep", "60")
    os.kill(state(rootlet, "c")["Pid"], signal.SIGKILL)
    rootlet.wait_for(lambda: "Exited (137)" in rootlet.ok("ps", "-a").out, timeout=5)


@rows("B39", "B40", "B41", "B44", "A64", "B47")
def test_transitions_seen_in_the_state_file(rootlet, tmp_path):
    """A reader that looks as often as it can sees only whole JSON, and no state out of order."""
    order = ["created", "starting", "running", "exited"]
    rootlet.ok("create", "--name", "c", rootlet.image(), "sleep", "1")
    path = state_file(rootlet, "c")
    seen = []
    p = rootlet.spawn("start", "-a", "c")
    while p.poll() is None or seen[-1] != "exited":
        now = json.loads(path.read_text())["status"].lower()
        if not seen or seen[-1] != now:
            seen.append(now)
    assert seen[0] in order[:2] and seen[-1] == "exited", seen
    assert [order.index(s) for s in seen] == sorted(order.index(s) for s in seen), seen
    assert "running" in seen
    # What cannot be executed never runs.
    rootlet.ok("create", "--name", "d", rootlet.image(), "nosuch")
    path = state_file(rootlet, "d")
    seen = set()
    p = rootlet.spawn("start", "-a", "d")
    while p.poll() is None:
        seen.add(json.loads(path.read_text())["status"].lower())
    assert p.returncode == 127 and "running" not in seen, seen


@rows("B9", "A64", "B3", "B47")
def test_state_file_fields(rootlet):
    rootlet.ok("run", "-d", "--name", "c", rootlet.image(), "sleep", "60")
    found = json.loads(state_file(rootlet, "c").read_text())
    assert {"id", "uuid", "pid", "namespaces", "rootfs", "status", "started_at", "finished_at"} <= set(found)
    assert "cgroup_path" in found
    assert re.fullmatch(r"[0-9a-f]{64}", found["id"])
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", found["uuid"])
    assert found["pid"] == state(rootlet, "c")["Pid"]


@rows("B39", "B45")
def test_dead_when_its_files_are_gone(rootlet):
    rootlet.ok("run", "--name", "c", rootlet.image(), "true")
    upper = pathlib.Path(rootlet.inspect("c")["GraphDriver"]["Data"]["UpperDir"])
    rootlet.shell(f"chmod -R u+rwx {upper} && rm -rf {upper}")
    r = rootlet("start", "c")
    assert r.rc == 125 and r.err.startswith("Error: "), r
    found = state(rootlet, "c")
    assert (found["Status"], found["Dead"]) == ("dead", True), found
    assert found["Error"]
    assert "Dead" in rootlet.ok("ps", "-a").out
    rootlet.ok("rm", "c")


@rows("B20")
def test_restart_keeps_the_files_and_changes_the_pid(rootlet):
    rootlet.ok("run", "-d", "--name", "c", rootlet.image(), "sh", "-c", LOOP)
    rootlet.ok("exec", "c", "sh", "-c", "echo kept > /f")
    pid = state(rootlet, "c")["Pid"]
    assert rootlet.ok("restart", "-t", "2", "c").out == "c\n"
    assert state(rootlet, "c")["Pid"] != pid
    assert rootlet.ok("exec", "c", "cat", "/f").text == "kept"
    rootlet.ok("kill", "c")
    rootlet.ok("wait", "c")
    rootlet.ok("restart", "c")  # starts one that has ended
    assert state(rootlet, "c")["Running"]


@rows("B20")
def test_restart_of_what_its_end_would_remove(rootlet):
    """It is there all the time, keeps its files, and goes at its last end."""
    rootlet.ok("run", "-d", "--rm", "--name", "c", rootlet.image(), "sh", "-c", LOOP)
    rootlet.ok("exec", "c", "sh", "-c", "echo kept > /f")
    before = rootlet.inspect("c")
    for _ in range(2):
        assert rootlet.ok("restart", "-t", "2", "c").out == "c\n"
    after = rootlet.inspect("c")
    assert after["Id"] == before["Id"] and after["RestartCount"] == 0
    assert after["State"]["Pid"] != before["State"]["Pid"] and after["State"]["Running"]
    assert rootlet.ok("exec", "c", "cat", "/f").text == "kept"
    rootlet.ok("stop", "c")
    assert rootlet.ok("ps", "-aq").out == ""
    # One that cannot be started again is removed, and that is told.
    rootlet.ok("run", "-d", "--rm", "--name", "d", rootlet.image(), "sh", "-c", LOOP)
    rootlet.ok("exec", "d", "rm", "/bin/sh")
    rootlet.fails("restart", "-t", "2", "d", match="Error: restart d: it did not start again")
    assert rootlet.ok("ps", "-aq").out == ""


def test_start_attached_and_again(rootlet):
    rootlet.ok("create", "-i", "--name", "c", rootlet.image(), "sh", "-c", "cat; echo end >&2; exit 5")
    r = rootlet("start", "-ai", "c", input="in\n", rc=5)
    assert (r.out, r.err) == ("in\n", "end\n")
    rootlet.ok("create", "--name", "d", rootlet.image(), "sh", "-c", "echo end >&2; exit 6")
    for _ in range(2):
        assert rootlet("start", "-a", "d", rc=6).err == "end\n"
    assert rootlet.ok("start", "d").out == "d\n"
    rootlet.ok("wait", "d")
    rootlet.fails("start", "nosuch", match='no such container: "nosuch"')
    rootlet.fails("start", "-a", "c", "c", match="one container")


@rows("B46")
def test_kill_by_names_and_numbers(rootlet):
    rootlet.ok("run", "-d", "--name", "c", rootlet.image(), "sh", "-c",
               "trap 'echo hup' HUP; trap 'echo usr1' USR1; echo ready; while :; do sleep 0.02; done")
    rootlet.wait_for(lambda: rootlet.ok("logs", "c").out)
    for sig in ("HUP", "SIGUSR1", "1", "usr1"):
        before = rootlet.ok("logs", "c").out
        assert rootlet.ok("kill", "-s", sig, "c").out == "c\n"
        rootlet.wait_for(lambda: rootlet.ok("logs", "c").out != before, what=f"the trap of {sig}")
    assert rootlet.ok("logs", "c").out == "ready\nhup\nusr1\nhup\nusr1\n"
    for sig in ("NOSUCH", "0", "99", "-9", ""):
        rootlet.fails("kill", "-s", sig, "c", match="signal")
    rootlet.ok("kill", "c")
    assert rootlet.ok("wait", "c").out == "137\n"
    rootlet.fails("kill", "c", match="not running")


def test_wait(rootlet):
    rootlet.ok("run", "-d", "--name", "a", rootlet.image(), "sh", "-c", "sleep 0.3; exit 6")
    rootlet.ok("run", "-d", "--name", "b", rootlet.image(), "sh", "-c", "exit 2")
    assert rootlet.ok("wait", "a", "b").out == "6\n2\n"
    rootlet.fails("wait", "nosuch", match="nosuch")


def test_rm(rootlet):
    rootlet.fails("rm", "nosuch", rc=1, match='no such container: "nosuch"')
    r = rootlet.ok("rm", "-f", "nosuch")
    assert (r.out, r.err) == ("", "")
    rootlet.ok("run", "-d", "--name", "c", rootlet.image(), "sleep", "60")
    rootlet.fails("rm", "c", rc=2, match="running")
    assert rootlet.ok("rm", "-f", "c").out == "c\n"
    rootlet.fails("rm", match="no container given")


def test_several_names_go_on_and_return_the_worst(rootlet):
    rootlet.ok("create", "--name", "a", rootlet.image(), "true")
    rootlet.ok("run", "-d", "--name", "b", rootlet.image(), "sleep", "60")
    rootlet.ok("create", "--name", "d", rootlet.image(), "true")
    r = rootlet("rm", "a", "nosuch", "b", "d", rc=2)
    assert r.out == "a\nd\n"
    assert r.err.count("Error: ") == 2 and "nosuch" in r.err and "running" in r.err
    r = rootlet("stop", "-t", "0", "nosuch", "b", rc=125)
    assert r.out == "b\n"
    for verb in ("stop", "kill", "start", "logs", "restart", "wait", "attach", "exec"):
        rootlet.fails(verb, "nosuch", *(["true"] if verb == "exec" else []), match="nosuch")
    assert rootlet.ok("stop", "-i", "nosuch").out == ""
    assert rootlet.ok("wait", "--ignore", "nosuch").out == "-1\n"


def test_prefixes_latest_and_suggestions(rootlet):
    made = rootlet.ok("create", "--name", "database", rootlet.image(), "true").text
    assert rootlet.inspect(made[:3])["Name"] == "database"
    r = rootlet.fails("start", "databse", match="no such container")
    assert 'did you mean "database"' in r.err
    last = rootlet.ok("create", rootlet.image(), "true").text
    assert rootlet.ok("inspect", "-l").json()[0]["Id"] == last
    assert rootlet.ok("ps", "-lq", "--no-trunc").text == last
    rootlet.ok("start", "-l")
    assert rootlet.ok("wait", "-l").text == "0"
    assert rootlet.ok("rm", "-l").text
    rootlet.fails("inspect", "g" + made[:5], match="no such object")


def test_ambiguous_prefix(rootlet):
    ids = [rootlet.ok("create", rootlet.image(), "true").text for _ in range(17)]
    first = [i[0] for i in ids]
    twice = next(c for c in first if first.count(c) > 1)
    rootlet.fails("start", twice, match="several")


def test_rename(rootlet):
    rootlet.ok("run", "-d", "--name", "xa", rootlet.image(), "sleep", "60")
    rootlet.ok("create", "--name", "xb", rootlet.image(), "true")
    rootlet.fails("rename", "xb", "xa", match="in use")
    rootlet.fails("rename", "xa", "no/good", match="no/good")
    rootlet.ok("rename", "xa", "xz")  # it runs: the supervisor owns the state
    rootlet.ok("rename", "xb", "xa")
    assert set(rootlet.ok("ps", "-a", "--format", "{{.Names}}").out.split()) == {"xa", "xz"}
    rootlet.ok("kill", "xz")
    rootlet.ok("wait", "xz")
    assert state(rootlet, "xz")["ExitCode"] == 137
    rootlet.fails("start", "xb", match="no such container")


def test_logs(rootlet):
    rootlet.ok("create", "--name", "c", rootlet.image(), "sh", "-c",
               "echo out1; echo err1 >&2; sleep 0.1; printf part; sleep 0.1; echo ial; echo last")
    rootlet.ok("start", "-a", "c")
    r = rootlet.ok("logs", "c")
    assert (r.out, r.err) == ("out1\npartial\nlast\n", "err1\n")
    assert rootlet.ok("logs", "--tail", "1", "c").out == "last\n"
    assert rootlet.ok("logs", "-n", "2", "c").out == "partial\nlast\n"
    assert rootlet.ok("logs", "c", "--tail", "0").out == "", "flags may stand behind the name"
    stamped = rootlet.ok("logs", "-t", "c").out.splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}\S* ", line) for line in stamped), stamped
    assert rootlet.ok("logs", "--since", "1h", "c").out == r.out
    assert rootlet.ok("logs", "--until", "1h", "c").out == ""
    middle = stamped[1].split(" ")[0]
    assert "out1" not in rootlet.ok("logs", "--since", middle, "c").out
    assert rootlet.ok("logs", "--until", middle, "c").out.startswith("out1\n")
    rootlet.fails("logs", "--since", "yesterday-ish", "c", match="yesterday-ish")
    rootlet.fails("logs", "--tail", "some", "c", match="some")
    # Earlier runs of the same container are kept.
    rootlet.ok("start", "-a", "c")
    assert rootlet.ok("logs", "c").out == r.out * 2


@rows("B19")
def test_logs_follow(rootlet):
    rootlet.ok("run", "-d", "--name", "c", rootlet.image(), "sh", "-c",
               "echo one; sleep 0.3; echo two >&2; sleep 0.3; echo three")
    r = rootlet.ok("logs", "-f", "c", timeout=20)
    assert (r.out, r.err) == ("one\nthree\n", "two\n")


def test_log_driver_none(rootlet):
    r = rootlet.ok("run", "--name", "c", "--log-driver", "none", rootlet.image(), "echo", "x")
    assert r.out == "x\n"
    r = rootlet("logs", "c")
    assert r.out == ""


def test_attach_twice(rootlet):
    rootlet.ok("run", "-di", "--name", "c", rootlet.image(), "sh", "-c",
               "while read l; do echo got $l; done; exit 8")
    one, two = rootlet.spawn("attach", "c"), rootlet.spawn("attach", "c", "--no-stdin")
    rootlet.attached("c", one, two)
    one.stdin.write("x\n")
    one.stdin.flush()
    assert one.stdout.readline() == "got x\n"
    assert two.stdout.readline() == "got x\n"
    one.stdin.close()
    assert (one.wait(60), two.wait(60)) == (8, 8)
    rootlet.fails("attach", "c", match="not running")


@rows("A64", "A66")
def test_the_command_may_be_killed(rootlet):
    p = rootlet.spawn("run", "--name", "c", rootlet.image(), "sh", "-c", "echo ready; sleep 0.5; exit 9")
    assert p.stdout.readline() == "ready\n"
    p.kill()
    p.wait()
    assert rootlet.ok("wait", "c").text == "9"
    p = rootlet.spawn("run", "--rm", "--name", "d", rootlet.image(), "sh", "-c", "echo ready; sleep 0.3")
    assert p.stdout.readline() == "ready\n"
    p.kill()
    rootlet.wait_for(lambda: rootlet.ok("ps", "-aq", "-f", "name=d").out == "", what="--rm")


@rows("A66", "B13")
def test_the_supervisor_may_be_killed(rootlet):
    """The container does not outlive it unnoticed: its end, or its loss, is known at once."""
    rootlet.ok("run", "-d", "--name", "c", rootlet.image(), "sleep", "60")
    found = state(rootlet, "c")
    os.kill(found["ConmonPid"], signal.SIGKILL)
    time.sleep(0.3)
    after = state(rootlet, "c")
    if not after["Running"]:
        assert after["ExitCode"] != 0 and after["Status"] in ("exited", "dead", "stopped"), after
    rootlet.ok("rm", "-f", "c", timeout=15)
    assert found["Pid"] not in rootlet.user.processes()
    assert rootlet.ok("ps", "-aq").out == ""


@rows("A66")
def test_random_kills_of_the_command_leave_a_usable_store(rootlet):
    """run -d is killed at twenty points of its life; the name can be used again every time."""
    image = rootlet.image()
    for i in range(20):
        p = rootlet.spawn("run", "-d", "--name", "c", image, "sleep", "60")
        time.sleep(i * 0.002)
        p.kill()
        p.wait()
        listed = rootlet.ok("ps", "-a", "--format", "json").json()
        assert len(listed) <= 1, listed
        rootlet.ok("rm", "-f", "-t", "0", "c", timeout=15)
        rootlet.ok("run", "--rm", "--name", "c", image, "true")
    assert rootlet.ok("ps", "-aq").out == ""


@rows("A66")
def test_random_kills_of_the_supervisor_leave_a_usable_store(rootlet):
    """Killed at any point of a start: the command ends and says so, nothing of it runs on, rm works."""
    image = rootlet.image()
    killed = 0
    for i in range(16):
        p = rootlet.spawn("run", "-d", "--name", "c", image, "sleep", "60")
        end = time.monotonic() + 2
        found = None
        while not found and time.monotonic() < end and p.poll() is None:
            found = next((pid for pid, line in rootlet.user.processes().items() if "rootlet-supervise" in line), None)
        time.sleep(i % 8 * 0.0015)
        if found:
            killed += 1
            try:
                os.kill(found, signal.SIGKILL)
            except ProcessLookupError:
                pass
        out, err = p.communicate(timeout=15)
        assert p.returncode in (0, 125), (p.returncode, err)
        assert p.returncode == 0 or err.startswith("Error: "), err
        rootlet.ok("rm", "-f", "-t", "0", "c", timeout=15)
        rootlet.wait_for(lambda: not rootlet.user.processes(), timeout=10, what=f"no process left at point {i}")
        rootlet.ok("run", "--rm", "--name", "c", image, "true")
    assert killed > 6
    assert rootlet.ok("ps", "-aq").out == ""


def test_exec_of_what_has_ended(rootlet):
    """Row A66: a clear text, and 125 where podman has 255."""
    rootlet.ok("run", "--name", "c", rootlet.image(), "true")
    r = rootlet.fails("exec", "c", "true", match="not running")
    assert "exited" in r.err


def test_wishes_of_two_at_once(rootlet):
    """Eight start the same container: it runs once, and nobody waits for ever."""
    rootlet.ok("create", "--name", "c", rootlet.image(), "sleep", "60")
    all_ = [rootlet.spawn("start", "c") for _ in range(8)]
    codes = [p.wait(30) for p in all_]
    assert 0 in codes and set(codes) <= {0, 125}, codes
    assert rootlet.ok("exec", "c", "sh", "-c", "ps | grep -c '[s]leep 60'").text == "1"
    all_ = [rootlet.spawn("rm", "-f", "c") for _ in range(4)]
    assert all(p.wait(30) in (0, 1) for p in all_)
    assert rootlet.ok("ps", "-aq").out == ""


@pytest.mark.parametrize("verb", ["pause", "unpause"])
def test_pause_needs_a_cgroup(rootlet, verb):
    rootlet.ok("run", "-d", "--name", "c", rootlet.image(), "sleep", "60")
    r = rootlet(verb, "c")
    assert r.rc == 125, r


def test_pause_by_signal_in_a_shared_pid_namespace(rootlet):
    """Only the one that was named stops, not those whose processes it may see."""
    image = rootlet.image()
    rootlet.ok("run", "-d", "--name", "other", image, "sh", "-c", "while :; do echo x; sleep 0.05; done")
    rootlet.ok("run", "-d", "--name", "c", "--pid", "container:other", image, "sleep", "1000")
    rootlet.ok("pause", "--signal", "c")
    before = len(rootlet.ok("logs", "other").out)
    rootlet.wait_for(lambda: len(rootlet.ok("logs", "other").out) > before + 2, what="output of the other")
    rootlet.ok("unpause", "c")
    rootlet.ok("rm", "-f", "-t", "0", "c", "other")
