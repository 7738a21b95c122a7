"""The state machine from outside: every request in every state; what makes a container dead; state.json."""
import json
import os
import pathlib
import signal
import subprocess

import pytest

from lib import rows
from lib.runner import wait_for
from test_supervise import alive, container_dir, state, status
from test_survivors import actions

DEAF = "trap '' TERM; echo up; while :; do sleep 0.05; done"


def begin_restarting(rootlet, name):
    rootlet.ok("run", "-d", "--restart", "always", "--name", name, rootlet.image(), "false")


def wait_restarting(rootlet, name):
    """The later the run, the longer the wait."""
    wait_for(lambda: rootlet.inspect(name)["RestartCount"] > 4 and status(rootlet, name) == "restarting", 20)


def make(rootlet, phase, name="c"):
    """A container in this state; returns the process that keeps it there, if it needs one."""
    image, held = rootlet.image(), None
    if phase == "created":
        rootlet.ok("create", "--name", name, image, "sleep", "1000")
    elif phase in ("running", "paused"):
        rootlet.ok("run", "-d", "--name", name, image, "sleep", "1000")
        if phase == "paused":
            rootlet.ok("pause", "--signal", name)
    elif phase == "stopping":
        rootlet.ok("run", "-d", "--name", name, image, "sh", "-c", DEAF)
        wait_for(lambda: "up" in rootlet.ok("logs", name).out)
        held = rootlet.spawn("stop", "-t", "60", name)
        wait_for(lambda: state(rootlet, rootlet.inspect(name)["Id"])["stop_requested"])
    elif phase == "restarting":
        begin_restarting(rootlet, name)
        wait_restarting(rootlet, name)
    elif phase == "exited":
        rootlet.ok("run", "--name", name, image, "true")
    elif phase == "stopped":
        rootlet.ok("run", "-d", "--name", name, image, "sleep", "1000")
        rootlet.ok("stop", "-t", "0", name)
    return held


START, KILL, STOP, RESTART = ("start", "c"), ("kill", "c"), ("stop", "-t", "0", "c"), (
    "restart", "-t", "0", "c")
PAUSE, UNPAUSE = ("pause", "--signal", "c"), ("unpause", "c")
ATTACH, EXEC, RENAME = ("attach", "--no-stdin", "c"), ("exec", "c", "true"), ("rename", "c", "d")
RM, RMF = ("rm", "c"), ("rm", "-f", "c")
GONE = None
# request -> (exit status, the status after it) in each state
TABLE = {
    "created": {START: (0, "running"), KILL: (125, "created"), STOP: (0, "created"),
                RESTART: (0, "running"), PAUSE: (125, "created"), UNPAUSE: (125, "created"),
                ATTACH: (125, "created"), EXEC: (125, "created"), RENAME: (0, "created"),
                RM: (0, GONE), RMF: (0, GONE)},
    "running": {START: (0, "running"), KILL: (0, "exited"), STOP: (0, "stopped"),
                RESTART: (0, "running"), PAUSE: (0, "paused"), UNPAUSE: (125, "running"),
                EXEC: (0, "running"), RENAME: (0, "running"), RM: (2, "running"),
                RMF: (0, GONE)},
    "paused": {START: (0, "paused"), KILL: (0, "exited"), STOP: (0, "stopped"),
               RESTART: (0, "running"), PAUSE: (125, "paused"), UNPAUSE: (0, "running"),
               EXEC: (125, "paused"), RENAME: (0, "paused"), RM: (2, "paused"), RMF: (0, GONE)},
    "stopping": {START: (0, "running"), KILL: (0, "stopped"), STOP: (0, "stopped"),
                 PAUSE: (125, "running"), UNPAUSE: (125, "running"), EXEC: (0, "running"),
                 RENAME: (0, "running"), RM: (2, "running"), RMF: (0, GONE)},
    "restarting": {START: (0, "restarting"), KILL: (0, "exited"), STOP: (0, "stopped"),
                   PAUSE: (125, "restarting"), UNPAUSE: (125, "restarting"),
                   EXEC: (125, "restarting"), ATTACH: (125, "restarting"),
                   RENAME: (0, "restarting"), RM: (2, "restarting"), RMF: (0, GONE)},
    "stopped": {START: (0, "running"), KILL: (125, "stopped"), STOP: (0, "stopped"),
                PAUSE: (125, "stopped"), ATTACH: (125, "stopped"), EXEC: (125, "stopped"),
                RENAME: (0, "stopped"), RM: (0, GONE), RMF: (0, GONE)},
    "exited": {START: (0, ("running", "exited")), KILL: (125, "exited"), STOP: (0, "exited"),
               RESTART: (0, ("running", "exited")), PAUSE: (125, "exited"),
               UNPAUSE: (125, "exited"), ATTACH: (125, "exited"), EXEC: (125, "exited"),
               RENAME: (0, "exited"), RM: (0, GONE), RMF: (0, GONE)},
}


@pytest.mark.parametrize("phase", TABLE)
@rows("A68", "B39", "B42", "B43", "B44")
def test_every_request_in_every_state(rootlet, phase):
    names = [f"x{i}" for i in range(len(TABLE[phase]))]
    if phase == "restarting":  # their first runs pass at the same time
        for name in names:
            begin_restarting(rootlet, name)
    for name, (request, (code, after)) in zip(names, TABLE[phase].items()):
        held = wait_restarting(rootlet, name) if phase == "restarting" else make(rootlet, phase, name)
        r = rootlet(*(name if word == "c" else word for word in request))
        assert r.rc == code, f"{phase}: {r}"
        name = "d" if request == RENAME else name
        if after is GONE:
            rootlet.fails("inspect", name)
        else:
            want = after if isinstance(after, tuple) else (after,)
            if phase == "restarting" and after == "restarting":
                want = ("restarting", "running", "starting")  # its time may be over
            wait_for(lambda n=name, w=want: status(rootlet, n) in w, what=f"{phase} {request}")
            rootlet.ok("rm", "-f", name)
        if held:
            held.communicate(timeout=20)


@rows("A68", "B39", "B40", "B44", "B45")
def test_transitions_are_events(rootlet):
    cid = rootlet.ok("create", "--name", "c", rootlet.image(), "sleep", "1000").text
    for words in (("start",), ("pause", "--signal"), ("unpause",), ("stop", "-t", "0"), ("start",),
                  ("kill",)):
        rootlet.ok(*words, "c")
    wait_for(lambda: status(rootlet, "c") == "exited")
    rootlet.ok("rm", "c")
    seen = actions(rootlet)
    order = [a for a in seen if a in ("create", "start", "pause", "unpause", "died", "stop", "remove")]
    assert order == ["create", "start", "pause", "unpause", "died", "stop", "start", "died", "remove"]
    assert not container_dir(rootlet, cid).exists()


@rows("B41")
def test_no_start_event_without_an_exec(rootlet):
    rootlet.ok("create", "--name", "c", rootlet.image(), "nosuch")
    rootlet.fails("start", "c", rc=127)
    assert "start" not in actions(rootlet)


@rows("B9", "B10", "B47", "A64")
def test_state_file_in_full(rootlet):
    cid = rootlet.ok("run", "-d", "--name", "c", "--stop-signal", "KILL", rootlet.image(),
                     "sleep", "1000").text
    s = state(rootlet, cid)
    stat = pathlib.Path(f"/proc/{s['pid']}/stat").read_text().rsplit(")", 1)[1].split()
    assert s["pid_start"] == int(stat[19])
    assert s["boot_id"] == pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert s["id"] == cid and len(cid) == 64 and s["uuid"].count("-") == 4
    assert os.path.isdir(s["rootfs"]) and s["rootfs"].startswith(str(container_dir(rootlet, cid)))
    assert {"pid", "mount", "ipc", "uts", "user"} <= set(s["namespaces"])
    for path in s["namespaces"].values():
        assert os.readlink(path) != os.readlink(f"/proc/self/ns/{os.path.basename(path)}")
    assert (s["exit_code"], s["signal"], s["finished_at"], s["cgroup_path"]) == (0, 0, 0, "")
    assert 0 < s["created_at"] <= s["started_at"]
    out = os.readlink(f"/proc/{s['pid']}/fd/1")
    assert out == f"pipe:[{s['stdout_pipe']}]"
    assert s["directory"] == container_dir(rootlet, cid).stat().st_ino
    rootlet.ok("stop", "c")
    s = state(rootlet, cid)
    assert (s["status"], s["pid"], s["supervisor_pid"], s["exit_code"], s["signal"]) == (
        "stopped", 0, 0, 137, 9)
    assert s["finished_at"] >= s["started_at"] and s["namespaces"] in ({}, None)


def damage(rootlet, cid, what):
    d = container_dir(rootlet, cid)
    record = json.loads((d / "container.json").read_text())
    storage = record["storage"]
    if what == "upper":
        path = pathlib.Path(storage.get("upper") or storage["dir"])
        path.rename(path.with_name("elsewhere"))
    elif what == "layer":
        if not storage.get("layers"):
            pytest.skip("this storage has no layers")
        record["storage"]["layers"][0] += "-gone"
        (d / "container.json").write_text(json.dumps(record))
    else:
        (d / what).write_text("{ not json")


@pytest.mark.parametrize("what,reason", [
    ("upper", "is gone"), ("layer", "a layer of its image is gone"), ("config.json", "config.json"),
    ("container.json", "container.json"), ("state.json", "state.json")])
@rows("B45", "B39")
def test_dead(rootlet, what, reason):
    """It says why, it stays dead, no other is disturbed, and it can be removed."""
    cid = rootlet.ok("create", "--name", "c", rootlet.image(), "true").text
    rootlet.ok("create", "--name", "other", rootlet.image(), "true")
    damage(rootlet, cid, what)
    for _ in range(2):
        rootlet.fails("start", cid, match=reason)
        assert "Dead" in rootlet.ok("ps", "-a").out
    s = rootlet.inspect(cid)["State"]
    assert s["Status"] == "dead" and s["Dead"] and reason in json.dumps(s)
    rootlet.fails("exec", cid, "true")
    rootlet.ok("start", "-a", "other")
    rootlet.ok("rm", cid)
    rootlet.fails("inspect", cid)
    rootlet.ok("run", "--rm", "--name", "c", rootlet.image(), "true")


@rows("R2")
def test_supervisor_killed_in_each_phase(rootlet):
    """The state is right within a second, another container is not touched, rm leaves nothing."""
    other = rootlet.ok("run", "-d", "--name", "other", rootlet.image(), "sleep", "1000").text
    before = state(rootlet, other)
    for phase, after in (("running", {"running"}), ("paused", {"paused"}),
                         ("stopping", {"running", "stopping"}), ("restarting", {"exited"})):
        held = make(rootlet, phase)
        cid = rootlet.inspect("c")["Id"]
        s = state(rootlet, cid)
        os.kill(s["supervisor_pid"], signal.SIGKILL)
        wait_for(lambda a=after: status(rootlet, "c") in a, 1, what=phase)
        assert state(rootlet, other) == before
        rootlet.ok("rm", "-f", "c")
        if held:  # stop asks the next supervisor, with all of its patience
            held.communicate(timeout=60)
        wait_for(lambda p=s["pid"]: not p or not alive(p))
        assert not (rootlet.store.runroot / cid).exists()


@rows("R2", "B40")
def test_supervisor_killed_while_it_starts(rootlet):
    """Whenever that is: a payload that runs is found, one that does not is not said to."""
    seen = set()
    for n in range(40):
        cid = rootlet.ok("create", "--name", "c", rootlet.image(), "sleep", "1000").text
        p = rootlet.spawn("start", "c", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        pid = wait_for(lambda p=p: child_of(p.pid, cid) or p.poll() is not None)
        if pid is not True:
            subprocess.run(["sleep", str(n * 0.0005)], check=True)
            os.kill(pid, signal.SIGKILL)
        p.wait(20)
        now = status(rootlet, "c")
        seen.add(now)
        assert now in ("created", "running", "exited"), now
        rootlet.ok("rm", "-f", "c")
    assert {"created", "running"} & seen


def child_of(parent, cid):
    """The supervisor that this command has started."""
    try:
        text = pathlib.Path(f"/proc/{parent}/task/{parent}/children").read_text()
        for pid in text.split():
            if cid.encode() in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes():
                return int(pid)
    except OSError:
        pass
    return None


