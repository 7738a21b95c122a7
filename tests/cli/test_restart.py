"""Restart policies: a container's life beyond one run, in one supervisor."""
import datetime
import json
import os
import random
import signal
import time

import pytest

from lib import host
from lib.runner import wait_for

DIES = "echo begin; exit 7"


def directory(rootlet, cid):
    return rootlet.store.root / "containers" / cid


def state(rootlet, cid):
    return json.loads((directory(rootlet, cid) / "state.json").read_text())


def wait_status(rootlet, cid, *wanted):
    wait_for(lambda: state(rootlet, cid)["status"] in wanted)
    return state(rootlet, cid)


def starts(rootlet, name):
    return rootlet.ok("logs", name).out.count("begin")


def run(rootlet, policy, script=DIES, *options):
    return rootlet.ok("run", "-d", "--name", "c", "--restart", policy, *options, rootlet.image(),
                      "sh", "-c", script).text


def wait_backoff(rootlet, cid):
    """Until it waits for its next start and goes on doing so for a while."""
    def long_enough():
        s = state(rootlet, cid)
        return s["status"] == "restarting" and s["restart_count"] >= 4
    wait_for(long_enough)
    return state(rootlet, cid)


def gone(pid):
    wait_for(lambda: not os.path.exists(f"/proc/{pid}"))


def test_on_failure_counts(rootlet):
    """A44 B44: on-failure:N starts a container again as often as was said."""
    cid = run(rootlet, "on-failure:2")
    assert rootlet.ok("wait", "c").text == "7"
    s = rootlet.inspect("c")
    assert s["RestartCount"] == 2
    assert (s["State"]["Status"], s["State"]["ExitCode"]) == ("exited", 7)
    assert s["HostConfig"]["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 2}
    assert starts(rootlet, "c") == 3
    # Started by hand it counts anew.
    rootlet.ok("start", "c")
    rootlet.ok("wait", "c")
    assert state(rootlet, cid)["restart_count"] == 2
    assert starts(rootlet, "c") == 6
    rootlet.ok("rm", "c")
    run(rootlet, "on-failure:2", "echo begin; exit 0")
    assert rootlet.ok("wait", "c").text == "0"
    assert starts(rootlet, "c") == 1


def test_one_supervisor_in_all_phases(rootlet):
    """B44: between two runs the supervisor stays, the container is told to be restarting, and commands
    that want a process say so."""
    cid = run(rootlet, "always")
    first = state(rootlet, cid)["supervisor_pid"]
    s = wait_backoff(rootlet, cid)
    assert (s["supervisor_pid"], s["pid"], s["exit_code"]) == (first, 0, 7)
    shown = rootlet.inspect("c")
    assert shown["State"]["Restarting"] and shown["State"]["Status"] == "restarting"
    assert "Restarting (7)" in rootlet.ok("ps", "--format", "{{.Status}}").out
    assert rootlet.ok("ps", "-q", "--no-trunc", "--filter", "status=restarting").text == cid
    rootlet.fails("exec", "c", "true", match="restarting|running")
    rootlet.fails("rm", "c", rc=2, match="restarting")
    rootlet.fails("kill", "-s", "HUP", "c", match="restarting|running")
    assert rootlet.ok("start", "c").text == "c"  # it is as good as started
    rootlet.ok("stop", "c")
    s = state(rootlet, cid)
    assert (s["status"], s["exit_code"], s["supervisor_pid"]) == ("stopped", 7, 0)
    assert s["user_stopped"]
    gone(first)
    count = starts(rootlet, "c")
    rootlet.ok("start", "c")
    wait_for(lambda: starts(rootlet, "c") > count + 1)
    rootlet.ok("rm", "-f", "c")
    assert not directory(rootlet, cid).exists()


def test_times_between_starts(rootlet):
    """B44: the time between two starts doubles."""
    cid = run(rootlet, "always")
    wait_backoff(rootlet, cid)
    rootlet.ok("kill", "c")  # docker's: of a container that waits, the end
    wait_status(rootlet, cid, "exited")
    times = [datetime.datetime.fromisoformat(line.split()[0][:26])
             for line in rootlet.ok("logs", "-t", "c").out.splitlines()]
    gaps = [(b - a).total_seconds() for a, b in zip(times, times[1:])]
    assert len(gaps) >= 4
    for gap, least in zip(gaps, (0.1, 0.2, 0.4, 0.8)):
        assert gap >= least


@pytest.mark.parametrize("policy", ["always", "unless-stopped", "on-failure"])
def test_users_end_is_the_end(rootlet, policy):
    """B44: what stop, kill and SIGINT end stays down; a signal that it lives through changes nothing."""
    loop = "trap 'echo hup' HUP; trap 'exit 3' INT; echo begin; while :; do sleep 0.05; done"
    for end in (["stop", "-t", "1"], ["kill"], ["kill", "-s", "INT"]):
        cid = run(rootlet, policy, loop)
        wait_for(lambda: starts(rootlet, "c") == 1)
        rootlet.ok("kill", "-s", "HUP", "c")
        wait_for(lambda: "hup" in rootlet.ok("logs", "c").out)
        rootlet.ok(*end, "c")
        s = wait_status(rootlet, cid, "exited", "stopped")
        assert s["restart_count"] == 0 and s["user_stopped"]
        rootlet.ok("rm", "c")
    # By itself it comes back.
    run(rootlet, policy, "echo begin; exec sleep 100")
    wait_for(lambda: starts(rootlet, "c") == 1)
    os.kill(rootlet.inspect("c")["State"]["Pid"], signal.SIGKILL)
    wait_for(lambda: starts(rootlet, "c") == 2)
    assert rootlet.inspect("c")["RestartCount"] == 1
    rootlet.ok("rm", "-f", "c")


def test_foreground_follows_one_run(rootlet):
    """B44: as docker's, an attached command gets the end of its run, and the container goes on; who
    waits, waits for the real end."""
    p = rootlet("run", "--name", "c", "-i", "--restart", "on-failure:3", rootlet.image(), "sh", "-c",
                "cat; echo out; echo err >&2; exit 9", input="in\n")
    assert (p.rc, p.out, p.err) == (9, "in\nout\n", "err\n")
    wait_for(lambda: rootlet.inspect("c")["RestartCount"] >= 1)
    rootlet.ok("rm", "-f", "c")


def test_wait_is_for_the_last_run(rootlet):
    """B44: wait returns when no further start follows."""
    run(rootlet, "on-failure:3", "n=$(cat /n 2>/dev/null || echo 0); echo $((n+1)) >/n; exit $((n+20))")
    assert rootlet.ok("wait", "c").text == "23"
    assert rootlet.inspect("c")["RestartCount"] == 3


def test_logs_follow_all_runs(rootlet):
    """A44: logs -f goes on over the runs and ends with the last; attach joins the run that comes next."""
    run(rootlet, "on-failure:3", "echo begin; sleep 0.3; exit 5")
    assert rootlet.ok("logs", "-f", "c").out == "begin\n" * 4
    rootlet.ok("rm", "c")
    cid = run(rootlet, "always", "echo begin; test -e /stay && exec sleep 100; exit 1")
    wait_backoff(rootlet, cid)
    (directory(rootlet, cid) / "upper/stay").write_text("")
    p = rootlet.spawn("start", "-a", "c")
    assert p.stdout.readline() == "begin\n"
    rootlet.ok("rm", "-f", "c")
    assert p.wait(60) == 137


def test_restart_verb(rootlet):
    """B44: restart of a running and of a waiting container is a new start, counted from 0."""
    cid = run(rootlet, "always", "echo begin; test -e /stay && exec sleep 100; exit 1")
    wait_backoff(rootlet, cid)
    upper = next(directory(rootlet, cid).glob("upper"))
    (upper / "stay").write_text("")
    rootlet.ok("restart", "-t", "0", "c")
    s = wait_status(rootlet, cid, "running")
    assert s["restart_count"] == 0
    rootlet.ok("restart", "-t", "0", "c")
    assert wait_status(rootlet, cid, "running")["pid"] != s["pid"]
    rootlet.ok("rm", "-f", "c")


def test_failed_restart_counts(rootlet):
    """B44: a start that fails on the way counts as a run with 127; the first one is an error and no
    reason to try again."""
    tools = rootlet.user.home / "tools"
    tools.mkdir()
    tool = tools / "tool"
    tool.write_text("#!/bin/sh\necho begin\nexit 1\n")
    tools.chmod(0o755)
    tool.chmod(0o755)
    rootlet.fails("run", "-d", "--name", "no", "--restart", "always", rootlet.image(), "/none", rc=127)
    assert rootlet.inspect("no")["State"]["ExitCode"] == 127
    cid = rootlet.ok("run", "-d", "--name", "c", "--restart", "on-failure:4", "-v", f"{tools}:/t",
                     rootlet.image(), "/t/tool").text
    tool.unlink()
    assert rootlet.ok("wait", "c").text == "127"
    s = state(rootlet, cid)
    assert (s["restart_count"], s["status"]) == (4, "exited")
    assert "/t/tool" in s["reason"]
    tools.rmdir()


def test_supervisor_killed(rootlet):
    """B44: without its supervisor a container that waited has exited with the code of its last run; it
    starts again by hand."""
    cid = run(rootlet, "always")
    s = wait_backoff(rootlet, cid)
    os.kill(s["supervisor_pid"], signal.SIGKILL)
    gone(s["supervisor_pid"])
    shown = rootlet.inspect("c")["State"]
    assert (shown["Status"], shown["ExitCode"]) == ("exited", 7)
    assert "supervisor was killed" in shown["Error"]
    rootlet.ok("start", "c")
    s = wait_status(rootlet, cid, "running", "restarting")
    os.kill(s["supervisor_pid"], signal.SIGTERM)
    gone(s["supervisor_pid"])
    s = state(rootlet, cid)
    assert s["status"] in ("stopped", "exited") and not s["user_stopped"]
    rootlet.ok("rm", "c")


def test_shutdown_is_no_stop(rootlet):
    """B44: SIGTERM to the supervisor, as at the end of a session, is an end without a restart, but not
    the user's wish: "unless-stopped" comes back at the next boot."""
    cid = run(rootlet, "unless-stopped", "trap 'exit 0' TERM; echo begin; while :; do sleep 0.05; done")
    wait_for(lambda: starts(rootlet, "c") == 1)
    s = state(rootlet, cid)
    os.kill(s["supervisor_pid"], signal.SIGTERM)
    gone(s["supervisor_pid"])
    s = state(rootlet, cid)
    assert (s["status"], s["user_stopped"], s["restart_count"]) == ("stopped", False, 0)
    boot = ["ps", "-aq", "--no-trunc", "--filter", "should-start-on-boot=true"]
    assert rootlet.ok(*boot).text == cid
    rootlet.ok("start", "--all", "--filter", "should-start-on-boot=true")
    wait_status(rootlet, cid, "running")
    rootlet.ok("stop", "-t", "1", "c")
    assert rootlet.ok(*boot).text == ""
    assert rootlet.ok("ps", "-aq", "--no-trunc", "--filter", "restart-policy=unless-stopped").text == cid
    assert rootlet.ok("ps", "-aq", "--filter", "restart-policy=always").text == ""
    assert rootlet.ok("start", "--all", "--filter", "restart-policy=always").text == ""
    assert rootlet.ok("start", "--all", "--filter", "restart-policy=unless-stopped").text == cid
    assert rootlet.ok("start", "--filter", "restart-policy=always").text == ""
    rootlet.fails("start", "--all", "c", match="--all")


def test_refused(rootlet):
    """A52: --rm with a policy, and words that are none, with a hint."""
    box = rootlet.image()
    rootlet.fails("run", "--rm", "--restart", "always", box, "true", match="exclude each other")
    rootlet.fails("run", "--restart", "sometimes", box, "true", match="on-failure")
    rootlet.fails("run", "--restart", "always:3", box, "true", match="only on-failure")
    rootlet.fails("run", "--restart", "on-failure:x", box, "true", match="number")
    rootlet.ok("run", "--rm", "--restart", "no", box, "true")
    assert rootlet.ok("ps", "-aq").text == ""


def test_terminal(rootlet):
    """B44: every run of a container with a terminal has a new one."""
    run(rootlet, "on-failure:2", "tty; echo begin; exit 1", "-t")
    rootlet.ok("wait", "c")
    assert rootlet.ok("logs", "c").out.count("/dev/pts/0") == 3


@pytest.mark.parametrize("verb", [["stop", "-t", "0"], ["rm", "-f"], ["kill"], ["restart", "-t", "0"]])
def test_races(rootlet, verb):
    """B44: an end at any moment between two runs is one, and nothing is left."""
    rng = random.Random(" ".join(verb))
    for _ in range(8):
        cid = run(rootlet, "always", "exit 1")
        time.sleep(rng.random() * 0.4)
        p = rootlet(*verb, "c")
        # kill may come when there is just no process; what counts is that it stays down if it said yes.
        assert p.rc == 0, p
        if verb[0] == "rm":
            assert not directory(rootlet, cid).exists()
            continue
        if verb[0] != "restart":
            s = wait_status(rootlet, cid, "exited", "stopped")
            time.sleep(0.05)
            assert state(rootlet, cid)["restart_count"] == s["restart_count"]
        rootlet.ok("rm", "-f", "c")


def test_every_run_gives_back_what_it_took(rootlet):
    """B10: the supervisor has as many descriptors in the fourth run as in the first."""
    cid = run(rootlet, "always", "sleep 0.3; exit 1")
    pid = state(rootlet, cid)["supervisor_pid"]

    def descriptors():
        return sorted(link.split(":")[0] for link in host.descriptors(pid).values())
    wait_for(lambda: descriptors().count("socket") == 1)  # the command that started it has gone
    first = descriptors()
    wait_for(lambda: state(rootlet, cid)["restart_count"] == 3)
    wait_status(rootlet, cid, "running")
    wait_for(lambda: descriptors() == first)  # the state is seen before the descriptor of its file is closed
    rootlet.ok("rm", "-f", "c")
