"""Health checks: the command inside, what its results mean, and what follows from them."""
import json
import os
import signal
import time

import pytest

from imagelib import Layout
from lib.images import busybox_layer
from lib.runner import wait_for

FAST = ["--health-interval", "100ms", "--health-timeout", "5s"]
# Well as long as /ok is there.
CHECK = ["--health-cmd", "echo asked; test -e /ok", *FAST]


def directory(rootlet, cid):
    return rootlet.store.root / "containers" / cid


def state(rootlet, cid):
    return json.loads((directory(rootlet, cid) / "state.json").read_text())


def run(rootlet, *options, script="touch /ok; exec sleep 100"):
    return rootlet.ok("run", "-d", "--name", "c", *options, rootlet.image(), "sh", "-c", script).text


def health(rootlet):
    return rootlet.inspect("c")["State"]["Health"]


def wait_health(rootlet, cid, wanted):
    wait_for(lambda: state(rootlet, cid)["health"] == wanted, what=f"health {wanted}")


def test_life_of_a_check(rootlet):
    """B44: starting, healthy, unhealthy after so many failures, healthy after one success; ps, inspect
    and filters show it, events tell each change once."""
    cid = run(rootlet, *CHECK, "--health-retries", "2", script="exec sleep 100")
    assert state(rootlet, cid)["health"] == "starting"
    assert "(health: starting)" in rootlet.ok("ps", "--format", "{{.Status}}").out
    wait_health(rootlet, cid, "unhealthy")
    found = health(rootlet)
    assert found["Status"] == "unhealthy" and found["FailingStreak"] >= 2
    last = found["Log"][-1]
    assert (last["ExitCode"], last["Output"]) == (1, "asked\n")
    assert last["Start"] < last["End"]
    assert "(unhealthy)" in rootlet.ok("ps", "--format", "{{.Status}}").out
    rootlet.ok("exec", "c", "touch", "/ok")
    wait_health(rootlet, cid, "healthy")
    assert rootlet.ok("ps", "-q", "--no-trunc", "--filter", "health=healthy").text == cid
    assert rootlet.ok("ps", "-q", "--filter", "health=unhealthy").text == ""
    wait_for(lambda: [r["ExitCode"] for r in health(rootlet)["Log"]] == [0] * 5)
    assert health(rootlet)["FailingStreak"] == 0
    assert rootlet.inspect("c")["Config"]["Healthcheck"] == {
        "Test": ["CMD-SHELL", "echo asked; test -e /ok"], "Interval": 100000000, "Timeout": 5000000000,
        "StartPeriod": 0, "StartInterval": 0, "Retries": 2}
    events = [json.loads(line) for line in rootlet.ok("events", "--stream=false", "--format", "json").out.splitlines()]
    seen = [e.get("HealthStatus") or e.get("health_status") for e in events if e["Status"].startswith("health")]
    assert seen == ["unhealthy", "healthy"]
    rootlet.ok("stop", "-t", "0", "c")
    assert "Exited" in rootlet.ok("ps", "-a", "--format", "{{.Status}}").out
    rootlet.ok("start", "c")
    assert state(rootlet, cid)["health"] == "starting"
    rootlet.ok("rm", "-f", "c")


def test_nothing_without_one(rootlet):
    """A44: a container without a check has no file, no status and no descriptor for it."""
    cid = run(rootlet)
    assert state(rootlet, cid)["health"] in (None, "")
    assert not (directory(rootlet, cid) / "health.json").exists()
    assert health(rootlet) == {"Status": "", "FailingStreak": 0, "Log": []}
    assert rootlet.inspect("c")["Config"]["Healthcheck"] is None
    rootlet.fails("healthcheck", "run", "c", match="no health check")
    rootlet.fails("wait", "--condition", "healthy", "c", match="no health check")
    assert rootlet.ok("ps", "-q", "--no-trunc", "--filter", "health=none").text == cid
    rootlet.ok("rm", "-f", "c")


def test_run_now(rootlet):
    """B44: healthcheck run is a check like any other, and its exit status tells."""
    cid = run(rootlet, "--health-cmd", "test -e /ok", "--health-interval", "disable", "--health-retries", "1")
    time.sleep(0.3)
    assert health(rootlet)["Log"] == []
    rootlet.ok("healthcheck", "run", "c")
    assert state(rootlet, cid)["health"] == "healthy"
    rootlet.ok("exec", "c", "rm", "/ok")
    rootlet("healthcheck", "run", "c", rc=1)
    assert state(rootlet, cid)["health"] == "unhealthy"
    assert len(health(rootlet)["Log"]) == 2
    rootlet.ok("stop", "-t", "0", "c")
    rootlet.fails("healthcheck", "run", "c", match="not running")
    rootlet.ok("rm", "c")


def test_as_the_container(rootlet):
    """B44: the check has the container's user, environment and directory, and its output is kept up to
    4 KiB whatever bytes it has."""
    run(rootlet, "--health-cmd", "id -u; pwd; echo $WORD; printf '\\377\\n'; yes | head -c 100000",
        "--health-interval", "disable", "-u", "1000", "-w", "/tmp", "-e", "WORD=x y")
    rootlet.ok("healthcheck", "run", "c")
    out = health(rootlet)["Log"][0]["Output"]
    assert out.startswith("1000\n/tmp\nx y\n\ufffd\ny\ny\n")
    assert 4000 < len(out) <= 4096
    rootlet.ok("rm", "-f", "c")


def test_as_confined_as_the_container(rootlet):
    """B44: an image's check has the filter of system calls and the capabilities of the container, no more."""
    run(rootlet, "--health-cmd", "grep -E '^(Seccomp|CapEff|CapBnd):' /proc/self/status", "--health-interval", "disable")
    rootlet.ok("healthcheck", "run", "c")
    own = rootlet.ok("exec", "c", "grep", "-E", "^(Seccomp|CapEff|CapBnd):", "/proc/1/status").out
    assert "Seccomp:\t2" in own and health(rootlet)["Log"][0]["Output"] == own
    rootlet.ok("rm", "-f", "c")


def test_words(rootlet):
    """B44: a JSON array is executed without a shell; a program that is not there is a failure with text."""
    run(rootlet, "--health-cmd", '["CMD", "echo", "$HOME"]', "--health-interval", "disable")
    rootlet.ok("healthcheck", "run", "c")
    assert health(rootlet)["Log"][0]["Output"] == "$HOME\n"
    rootlet.ok("rm", "-f", "c")
    run(rootlet, "--health-cmd", '["/no/such"]', "--health-interval", "disable")
    rootlet("healthcheck", "run", "c", rc=1)
    last = health(rootlet)["Log"][0]
    assert last["ExitCode"] == 127 and "/no/such" in last["Output"]
    rootlet.ok("rm", "-f", "c")


def test_timeout(rootlet):
    """B44: a check that hangs is killed with all it has started; meanwhile everything else goes on."""
    run(rootlet, "--health-cmd", "sleep 1234 & sleep 1234", "--health-interval", "disable",
        "--health-timeout", "1s", "--health-retries", "1")
    p = rootlet.spawn("healthcheck", "run", "c")
    wait_for(lambda: "1234" in rootlet.ok("exec", "c", "ps").out)
    assert rootlet.ok("exec", "c", "echo", "there").text == "there"
    assert p.wait(30) == 1
    last = health(rootlet)["Log"][0]
    assert last["ExitCode"] == -1 and "exceeded timeout (1" in last["Output"]
    assert "1234" not in rootlet.ok("exec", "c", "ps").out
    rootlet.ok("rm", "-f", "c")


def test_start_period(rootlet):
    """B44: failures in the start period do not count; checks then come at the start interval."""
    cid = run(rootlet, "--health-cmd", "test -e /ok", "--health-interval", "1h", "--health-retries", "1",
              "--health-start-period", "1h", "--health-start-interval", "100ms", script="exec sleep 100")
    wait_for(lambda: len(health(rootlet)["Log"]) >= 3)
    found = health(rootlet)
    assert (found["Status"], found["FailingStreak"]) == ("starting", 0)
    rootlet.ok("exec", "c", "touch", "/ok")
    assert rootlet.ok("wait", "--condition", "healthy", "c").text == "-1"
    assert state(rootlet, cid)["health"] == "healthy"
    rootlet.ok("rm", "-f", "c")


@pytest.mark.parametrize("action,policy,want", [
    ("kill", "no", "exited"), ("kill", "on-failure:1", "running"), ("stop", "always", "stopped"),
    ("restart", "no", "running"), ("none", "no", "running")])
def test_on_failure(rootlet, action, policy, want):
    """A44: --health-on-failure: what becomes of a container that is unhealthy."""
    script = "test -e /ran && touch /ok; touch /ran; trap 'exit 4' TERM; while :; do sleep 0.05; done"
    cid = run(rootlet, "--health-cmd", "test -e /ok", *FAST, "--health-retries", "1", "--health-on-failure",
              action, "--restart", policy, script=script)
    if want == "running" and action != "none":
        rootlet.ok("wait", "--condition", "healthy", "c")
        assert state(rootlet, cid)["restart_count"] == 1
    elif action == "none":
        wait_health(rootlet, cid, "unhealthy")
        wait_for(lambda: health(rootlet)["FailingStreak"] > 2)
    else:
        rootlet.ok("wait", "c")
    s = state(rootlet, cid)
    assert s["status"] == want
    if action == "kill" and policy == "no":
        assert s["exit_code"] == 137
    if action == "stop":
        assert s["exit_code"] == 4 and s["restart_count"] == 0
    if want != "running":
        assert "health" in s["reason"]
    rootlet.ok("rm", "-f", "c")


def load(rootlet, check, **config):
    """An image with this Healthcheck."""
    layer = busybox_layer()
    layer.tar.close()
    lay = Layout()
    full = {"Cmd": ["sh", "-c", "touch /tmp/ok; exec sleep 100"], "Healthcheck": check, **config}
    lay.add(lay.image([layer.buffer.getvalue()], config=full), "localhost/checked:latest")
    path = rootlet.user.home / "checked.tar"
    lay.archive(path)
    path.chmod(0o644)
    rootlet.ok("load", "-q", "-i", path)
    path.unlink()
    return "localhost/checked:latest"


def test_of_the_image(rootlet):
    """B44: the image's HEALTHCHECK runs inside the container, with the image's shell; options change
    it, and --no-healthcheck leaves it out."""
    check = {"Test": ["CMD-SHELL", "echo $0; test -e /tmp/ok"], "Interval": 100000000, "Retries": 1}
    box = load(rootlet, check, Shell=["/bin/sh", "-euc"])
    cid = rootlet.ok("run", "-d", "--name", "c", box).text
    wait_health(rootlet, cid, "healthy")
    assert rootlet.inspect("c")["Config"]["Healthcheck"]["Test"][:3] == ["CMD", "/bin/sh", "-euc"]
    assert health(rootlet)["Log"][0]["Output"] == "/bin/sh\n"
    rootlet.ok("rm", "-f", "c")
    cid = rootlet.ok("run", "-d", "--name", "c", "--health-retries", "7", box).text
    assert rootlet.inspect("c")["Config"]["Healthcheck"]["Retries"] == 7
    rootlet.ok("rm", "-f", "c")
    cid = rootlet.ok("run", "-d", "--name", "c", "--no-healthcheck", box).text
    assert state(rootlet, cid)["health"] in (None, "")
    assert rootlet.inspect("c")["Config"]["Healthcheck"]["Test"] == ["NONE"]
    rootlet.ok("rm", "-f", "c")


@pytest.mark.parametrize("check", [
    {"Test": ["CMD-SHELL"]}, {"Test": ["CMD"]}, {"Test": ["SOMETHING", "x"]}, {"Test": "true"},
    {"Test": ["CMD", 1]}, {"Test": ["CMD", "true"], "Interval": -1},
    {"Test": ["CMD", "true"], "Retries": 1 << 40},
    {"Test": ["CMD", "true"], "Timeout": (1 << 63) - 1}, {"Test": ["CMD", "true"], "Timeout": "1s"}])
def test_image_without_sense(rootlet, check):
    """B44: a HEALTHCHECK that makes no sense is refused with the way around it, never guessed at."""
    box = load(rootlet, check)
    rootlet.fails("run", "--rm", box, "true", match="Healthcheck")
    rootlet.ok("run", "--rm", "--no-healthcheck", box, "true")


def test_refused(rootlet):
    """B44: options that contradict each other or mean nothing."""
    box = rootlet.image()
    for options, match in (
            (["--health-interval", "1s"], "no health check"),
            (["--no-healthcheck", "--health-cmd", "true"], "exclude each other"),
            (["--health-cmd", "true", "--health-interval", "soon"], "not a time"),
            (["--health-cmd", "true", "--health-retries", "0"], "1 to"),
            (["--health-cmd", "true", "--health-on-failure", "cry"], "none, kill, restart or stop"),
            (["--health-cmd", ""], "no command"),
            (["--health-cmd", "[\"CMD\"]"], "CMD"),
            (["--rm", "--health-cmd", "true", "--health-on-failure", "restart"], "exclude"),
            (["--health-startup-cmd", "true"], "start-period")):
        rootlet.fails("run", *options, box, "true", match=match)
    assert rootlet.ok("ps", "-aq").text == ""
    rootlet.ok("run", "--rm", "--health-cmd", "none", box, "true")


def test_update(rootlet):
    """B44: what update changes counts from the next check on."""
    cid = run(rootlet, "--health-cmd", "exit 1", *FAST, "--health-retries", "1")
    wait_health(rootlet, cid, "unhealthy")
    rootlet.ok("update", "--health-cmd", "exit 0", "c")
    wait_health(rootlet, cid, "healthy")
    rootlet.ok("update", "--no-healthcheck", "c")
    wait_for(lambda: rootlet("healthcheck", "run", "c").rc == 125)
    rootlet.ok("rm", "-f", "c")


def test_not_while_paused(rootlet):
    """B44: nothing is asked of a container that is paused, and what is asked then is no failure."""
    cid = run(rootlet, *CHECK, "--health-retries", "1")
    wait_health(rootlet, cid, "healthy")
    rootlet.ok("pause", "--signal", "c")
    before = []

    def unchanged():  # but for one that ran then
        before.append(health(rootlet)["Log"])
        time.sleep(0.5)
        return health(rootlet)["Log"] == before[-1]
    wait_for(unchanged)
    before = before[-1]
    rootlet.fails("healthcheck", "run", "c", match="paused|not running")
    rootlet.ok("unpause", "c")
    wait_for(lambda: health(rootlet)["Log"] != before)
    assert health(rootlet)["Status"] == "healthy"
    rootlet.ok("rm", "-f", "c")


def test_killed(rootlet):
    """B10: the supervisor's death ends its check; the container's end does too, and nothing is left."""
    cid = run(rootlet, "--health-cmd", "exec sleep 1234", "--health-interval", "100ms",
              script="trap 'exit 0' TERM; while :; do sleep 0.05; done")
    wait_for(lambda: "1234" in rootlet.ok("exec", "c", "ps").out)
    rootlet.ok("stop", "-t", "5", "c")
    assert state(rootlet, cid)["status"] == "stopped"
    rootlet.ok("start", "c")
    wait_for(lambda: "1234" in rootlet.ok("exec", "c", "ps").out)
    s = state(rootlet, cid)
    os.kill(s["supervisor_pid"], signal.SIGKILL)
    wait_for(lambda: "1234" not in rootlet.ok("exec", "c", "ps").out)
    assert rootlet.inspect("c")["State"]["Status"] == "running"
    rootlet.ok("start", "c")  # another supervisor, which checks it again
    wait_for(lambda: "1234" in rootlet.ok("exec", "c", "ps").out)
    rootlet.ok("rm", "-f", "c")
    wait_for(lambda: not os.path.exists(f"/proc/{s['pid']}"))  # whoever reaps it


def test_many_checks_keep_nothing(rootlet):
    """B10: checks give back what they took."""
    cid = run(rootlet, *CHECK)
    pid = state(rootlet, cid)["supervisor_pid"]
    wait_health(rootlet, cid, "healthy")

    def descriptors():
        return len(os.listdir(f"/proc/{pid}/fd"))
    least = min(descriptors() for _ in range(20) if not time.sleep(0.01))
    time.sleep(2)
    assert min(descriptors() for _ in range(50) if not time.sleep(0.01)) <= least
    rootlet.ok("rm", "-f", "c")


def test_writes_for_ever(rootlet):
    """What a check leaves behind may write as fast as it can: the supervisor goes on."""
    cid = run(rootlet, "--health-cmd", "yes & exit 0", *FAST)
    wait_health(rootlet, cid, "healthy")
    assert len(health(rootlet)["Log"][-1]["Output"]) <= 4096
    assert rootlet.ok("exec", "c", "echo", "there").text == "there"
    rootlet.ok("stop", "-t", "0", "c")


def test_no_storm_of_restarts(rootlet):
    """A44: one that is never well is started again with the same growing pauses as one that ends."""
    cid = run(rootlet, "--health-cmd", "false", *FAST, "--health-retries", "1", "--health-on-failure", "restart",
              "--stop-timeout", "0")
    wait_for(lambda: state(rootlet, cid)["restart_count"] >= 3)
    begun = time.monotonic()
    wait_for(lambda: state(rootlet, cid)["restart_count"] >= 5)
    assert time.monotonic() - begun > 1.5, "800 ms and 1.6 s, and what the runs take"
    rootlet.ok("stop", "-t", "0", "c")
    assert state(rootlet, cid)["status"] == "stopped"


@pytest.mark.parametrize("says", ["U64:0", "U64:1234567890123456789"])
def test_says_what_no_reader_takes(rootlet, says):
    """What a check says is text, also where it begins as our own numbers do: it hides no results."""
    cid = run(rootlet, "--health-cmd", f"printf '\\036{says}'", *FAST)
    wait_health(rootlet, cid, "healthy")
    assert health(rootlet)["Log"][-1]["Output"] == "\ufffd" + says
