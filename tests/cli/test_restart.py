"""Restart policies: a container's life beyond one run, in one supervisor."""
import json
import os
import signal
import subprocess
import time

import pytest

from lib.runner import PATIENCE, wait_for


def container_dir(rootlet, cid):
    return rootlet.store.root / "containers" / cid


def state(rootlet, cid):
    return json.loads((container_dir(rootlet, cid) / "state.json").read_text())


def status(rootlet, name):
    return rootlet.inspect(name)["State"]["Status"]


def wait_status(rootlet, cid, *wanted):
    wait_for(lambda: state(rootlet, cid)["status"] in wanted)
    return state(rootlet, cid)


def starts(rootlet, name):
    return rootlet("logs", name).out.count("begin")


def test_on_failure_counts(rootlet):
    """A44 B42: on-failure:N starts a container again as often as was said."""
    cid = rootlet.ok("run", "-d", "--name", "c", "--restart", "on-failure:2", rootlet.image(),
                     "sh", "-c", "echo begin; exit 7").text
    first = state(rootlet, cid)["supervisor_pid"]
    assert rootlet("wait", "c").text == "7"
    s = rootlet.inspect("c")
    assert s["RestartCount"] == 2
    assert (s["State"]["Status"], s["State"]["ExitCode"]) == ("exited", 7)
    assert s["HostConfig"]["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 2}
    assert starts(rootlet, "c") == 3
    assert first
    rootlet.ok("rm", "c")
