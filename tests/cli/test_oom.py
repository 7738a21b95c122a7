"""Out of memory: the kill is told at once, counted at the end, and explained."""
import json
import re

import pytest

from lib import rows


def events(rootlet, *args):
    out = rootlet.ok("events", "--stream=false", "--format", "json", *args).out
    return [json.loads(line) for line in out.splitlines()]


def words(rootlet, name):
    return [e["Status"] for e in events(rootlet, "--filter", f"container={name}")]


pytestmark = pytest.mark.guest


@rows("A44", "A47")
def test_killed_and_restarted(rootlet):
    """tail /dev/zero is the first process: it ends with 137, the policy goes on, everybody says why."""
    image = rootlet.image()
    rootlet.ok("run", "-d", "--name", "c", "-m", "32m", "--restart", "on-failure:2", image, "tail", "/dev/zero",
               cgroups=None)
    rootlet.wait_for(lambda: words(rootlet, "c").count("died") == 3, 90)
    rootlet.wait_for(lambda: rootlet.inspect("c")["State"]["Status"] == "exited", 30)
    seen = rootlet.inspect("c")
    assert seen["RestartCount"] == 2 and seen["State"]["OOMKilled"] is True and seen["State"]["ExitCode"] == 137
    assert words(rootlet, "c") == ["create"] + 3 * ["start", "oom", "died"]
    why = rootlet.ok("why", "c").out
    assert re.match(r"c: the kernel killed it for want of memory at its limit, --memory 32m; it used 3\d\.\d MB "
                    r"at most \(exit code 137\)\nhint: rootlet update --memory 64m c\n", why), why
    assert rootlet.ok("wait", "c").text == "137"
    assert "Exited (137)" in rootlet.ok("ps", "-a").out


@rows("A44")
def test_one_process_killed(rootlet):
    """docker's meaning: a kill in the group counts, also of a child that it survives; told at once."""
    rootlet.ok("run", "-d", "--name", "c", "-m", "32m", rootlet.image(), "sh", "-c",
               "test -e /status || { tail /dev/zero; echo $? >/status; }; sleep 100", cgroups=None)
    rootlet.wait_for(lambda: "oom" in words(rootlet, "c"), 60)
    rootlet.wait_for(lambda: rootlet("exec", "c", "cat", "/status", cgroups=None).text == "137", 60)
    state = rootlet.inspect("c")["State"]
    assert state["Running"] and state["OOMKilled"]
    assert "c: the kernel killed a process in it for want of memory" in rootlet.ok("why", "c").out
    # The next run begins anew.
    rootlet.ok("restart", "-t", "0", "c", cgroups=None)
    assert "oom" in words(rootlet, "c") and rootlet.inspect("c")["State"]["OOMKilled"] is False
