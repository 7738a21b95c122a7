"""Out of memory: the kill is told at once, counted at the end, and explained."""
import json
import re
import time

import pytest

from lib import rows


def events(rootlet, *args):
    out = rootlet.ok("events", "--stream=false", "--format", "json", *args).out
    return [json.loads(line) for line in out.splitlines()]


def words(rootlet, name):
    return [e["Status"] for e in events(rootlet, "--filter", f"container={name}")]


pytestmark = pytest.mark.guest


@rows("A44", "A47")
def test_container_killed(rootlet):
    """tail /dev/zero is the first process: it ends with 137, and everybody says why."""
    image = rootlet.image()
    begin = time.monotonic()
    rootlet("run", "--name", "c", "-m", "32m", image, "tail", "/dev/zero", rc=137, cgroups=None)
    assert time.monotonic() - begin < 60
    assert words(rootlet, "c") == ["create", "start", "oom", "died"]
    state = rootlet.inspect("c")["State"]
    assert state["OOMKilled"] is True and state["ExitCode"] == 137 and state["Status"] == "exited"
    why = rootlet.ok("why", "c").out
    assert re.match(r"c: the kernel killed it for want of memory at its limit, --memory 32m; it used 3\d\.\d MB "
                    r"at most \(exit code 137\)\nhint: rootlet update --memory 64m c\n", why), why
    assert rootlet.ok("wait", "c").text == "137"
    assert "Exited (137)" in rootlet.ok("ps", "-a").out
    # The next run begins anew.
    rootlet.ok("rm", "c")
    rootlet.ok("run", "--name", "d", "-m", "32m", image, "true", cgroups=None)
    assert rootlet.inspect("d")["State"]["OOMKilled"] is False


@rows("A44")
def test_one_process_killed(rootlet):
    """docker's meaning: a kill in the group counts, also of a child that it survives; told at once."""
    rootlet.ok("run", "-d", "--name", "c", "-m", "32m", rootlet.image(), "sh", "-c",
               "tail /dev/zero; echo $? >/status; sleep 100", cgroups=None)
    rootlet.wait_for(lambda: "oom" in words(rootlet, "c"), 60)
    rootlet.wait_for(lambda: rootlet("exec", "c", "cat", "/status", cgroups=None).text == "137", 60)
    state = rootlet.inspect("c")["State"]
    assert state["Running"] and state["OOMKilled"]
    assert "c: the kernel killed a process in it for want of memory" in rootlet.ok("why", "c").out
    rootlet.ok("stop", "-t", "0", "c", cgroups=None)
    assert rootlet.inspect("c")["State"]["OOMKilled"] is True


@rows("A44")
def test_restart_after_oom(rootlet):
    rootlet.ok("run", "-d", "--name", "c", "-m", "32m", "--restart", "on-failure:2", rootlet.image(), "tail",
               "/dev/zero", cgroups=None)
    rootlet.wait_for(lambda: words(rootlet, "c").count("died") == 3, 90)
    rootlet.wait_for(lambda: rootlet.inspect("c")["State"]["Status"] == "exited", 30)
    seen = rootlet.inspect("c")
    assert seen["RestartCount"] == 2 and seen["State"]["OOMKilled"] and seen["State"]["ExitCode"] == 137
    assert words(rootlet, "c") == ["create"] + 3 * ["start", "oom", "died"]
