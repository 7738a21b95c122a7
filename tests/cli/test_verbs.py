"""The verbs between create and rm: which containers they work on, several at once, what they wait for."""
import json
import os
import time

import pytest

from lib import rows

LOOP = "trap 'exit 0' TERM; echo ready; while :; do sleep 0.02; done"
DEAF = "trap '' TERM; echo ready; while :; do sleep 0.05; done"


def state(rootlet, name):
    return rootlet.inspect(name)["State"]


def run(rootlet, name, script, *flags):
    """A container in the background that has said "ready"."""
    cid = rootlet.ok("run", "-d", "--name", name, *flags, rootlet.image(), "sh", "-c", script).text
    rootlet.wait_for(lambda: "ready" in rootlet.ok("logs", name).out, what=f"{name} is ready")
    return cid


# --- which ones ---

@rows("A67", "B20")
def test_selection_by_filter_file_and_all(rootlet):
    box = rootlet.image()
    for name in ("a", "b", "d"):
        rootlet.ok("create", "--name", name, "-l", f"l={name}", "--cidfile", rootlet.user.tmp / name, box, "sleep", "60")
    ids = {name: rootlet.inspect(name)["Id"] for name in ("a", "b", "d")}
    assert rootlet.ok("start", "--filter", "label=l=a").text == ids["a"]
    assert rootlet.ok("start", "a", "b", "--filter", "label=l=b").text == "b", "of the names those that fit"
    assert rootlet.ok("kill", "--cidfile", rootlet.user.tmp / "a").text == ids["a"]
    assert rootlet.ok("wait", "--cidfile", rootlet.user.tmp / "a").text == "137"
    assert rootlet.ok("start", "--all").out.split() == [ids["a"], ids["d"]], "the oldest first"
    assert rootlet.ok("stop", "-t", "0", "--filter", "label=l=a", "--filter", "name=d").out == ""
    assert rootlet.ok("stop", "-t", "0", "--filter", "name=a").text == ids["a"]
    assert rootlet.ok("restart", "-t", "0", "--running").out.split() == [ids["d"], ids["b"]]
    assert rootlet.ok("restart", "-t", "0", "--running", "a", "b").text == "b"
    assert set(rootlet.ok("restart", "-t", "0", "--all").out.split()) == set(ids.values())
    assert set(rootlet.ok("kill", "--all").out.split()) == set(ids.values())
    rootlet.ok("wait", "a", "b", "d")
    assert rootlet.ok("rm", "--filter", "label=l=b").text == ids["b"]
    assert rootlet.ok("rm", "--filter", "status=exited", "a").text == "a"
    assert rootlet.ok("rm", "--cidfile", rootlet.user.tmp / "d").text == ids["d"]
    assert rootlet.ok("rm", "-f", "--cidfile", rootlet.user.tmp / "d").out == "", "it has gone"
    for name in ids:
        (rootlet.user.tmp / name).unlink()


@pytest.mark.parametrize("verb", ["start", "stop", "kill", "restart", "pause", "unpause", "rm"])
def test_what_excludes_each_other(rootlet, verb):
    rootlet.fails(verb, match="no container given")
    rootlet.fails(verb, "--all", "x", match="exclude each other")
    rootlet.fails(verb, "--latest", "x", match="exclude each other")
    rootlet.fails(verb, "--latest", "--all", match="exclude each other")
    assert rootlet.ok(verb, "--all").out == "", "there is none"
    if verb not in ("start", "kill"):
        rootlet.fails(verb, "--filter", "nosuch=1", match="nosuch")
    if verb != "start":
        rootlet.fails(verb, "--cidfile", "/no/such/file", match="--cidfile")


def test_rm_of_those_that_share_namespaces(rootlet):
    box = rootlet.image()
    rootlet.ok("run", "-d", "--name", "base", box, "sleep", "60")
    rootlet.ok("run", "-d", "--name", "net", "--network", "container:base", box, "sleep", "60")
    rootlet.ok("run", "-d", "--name", "ipc", "--ipc", "container:net", box, "sleep", "60")
    rootlet.ok("create", "--name", "other", box, "true")
    gone = rootlet.ok("rm", "-f", "--depend", "base").out.split()
    assert gone[-1] == "base" and len(gone) == 3
    assert rootlet.ok("ps", "-a", "--format", "{{.Names}}").text == "other"


# --- several at once ---

@rows("A61")
def test_stop_of_many_takes_the_time_of_one(rootlet):
    names = [f"c{i}" for i in range(8)]
    for name in names:
        run(rootlet, name, DEAF)
    r = rootlet.ok("stop", "-t", "2", *names)
    assert r.out.split() == names, "as typed"
    assert 2 <= r.seconds < 15, r
    assert {state(rootlet, n)["ExitCode"] for n in names} == {137}
    rootlet.ok("start", *names)
    rootlet.wait_for(lambda: all(rootlet.ok("logs", n).out.count("ready") == 2 for n in names))
    r = rootlet("rm", "-f", "-t", "2", "nosuch", *names, rc=0)
    assert r.out.split() == names and r.seconds < 15, r


def test_errors_of_many_at_once(rootlet):
    run(rootlet, "a", LOOP)
    run(rootlet, "b", LOOP)
    r = rootlet.fails("stop", "a", "nosuch", "b")
    assert r.out == "a\nb\n" and 'no such container: "nosuch"' in r.err
    r = rootlet("rm", "a", "nosuch", "b", rc=1)
    assert r.out == "a\nb\n"


def test_a_killed_stop_leaves_no_process(rootlet):
    for name in ("a", "b"):
        run(rootlet, name, DEAF)
    p = rootlet.spawn("stop", "-t", "60", "a", "b")
    stops = lambda: [line for line in rootlet.user.processes().values() if "stop -t 60" in line]  # noqa: E731
    rootlet.wait_for(lambda: len(stops()) == 3)
    p.kill()
    p.wait()
    rootlet.wait_for(lambda: not stops())


def test_stop_waits_for_ever(rootlet):
    run(rootlet, "c", "trap 'sleep 1; exit 3' TERM; echo ready; while :; do sleep 0.02; done", "--stop-timeout", "0")
    rootlet.ok("stop", "-t", "-1", "c")
    assert state(rootlet, "c")["ExitCode"] == 3
    rootlet.ok("start", "c")
    rootlet.wait_for(lambda: rootlet.ok("logs", "c").out.count("ready") == 2)
    rootlet.ok("restart", "--timeout", "-1", "c")
    assert state(rootlet, "c")["Running"]


# --- kill ---

@rows("B46")
def test_signals_by_every_name(rootlet):
    run(rootlet, "c", "for s in 37 10 12; do trap \"echo got $s\" $s; done; echo ready; while :; do sleep 0.02; done")
    for sig, number in (("SIGRTMIN+3", 37), ("rtmin+3", 37), ("37", 37), ("sigusr1", 10), ("Usr2", 12), ("12", 12)):
        before = rootlet.ok("logs", "c").out.count(f"got {number}\n")
        assert rootlet.ok("kill", "--signal", sig, "c").out == "c\n"
        rootlet.wait_for(lambda: rootlet.ok("logs", "c").out.count(f"got {number}\n") > before, what=sig)  # noqa: B023
    for sig in ("SIG", "RTMIN+99", "TERMX", "65", "1x"):
        rootlet.fails("kill", "-s", sig, "c", match=f'signal "{sig}": no such signal'.replace("+", r"\+"))
    rootlet.fails("stop", "-s", "nosuch", "c", match="no such signal")
    assert "signal=37" in rootlet.ok("events", "--stream=false", "--since", "1h", "--filter", "event=kill").out


# --- wait ---

@rows("B14")
def test_wait_for_states(rootlet):
    rootlet.ok("create", "--name", "c", rootlet.image(), "sh", "-c", "sleep 0.4; exit 7")
    assert rootlet.ok("wait", "--condition", "created", "c").text == "-1"
    p = rootlet.spawn("wait", "--condition", "running", "c")
    both = rootlet.spawn("wait", "--condition=paused,exited", "--interval", "5ms", "c")
    rootlet.ok("start", "c")
    assert (p.communicate(timeout=20)[0], p.returncode) == ("-1\n", 0)
    gone = rootlet.spawn("wait", "--condition", "removed", "c")
    assert rootlet.ok("wait", "c", "c").out == "7\n7\n"
    assert both.communicate(timeout=20)[0] in ("7\n", "0\n"), "created counts as not running"
    time.sleep(0.1)
    assert gone.poll() is None
    rootlet.ok("rm", "c")
    assert gone.communicate(timeout=20)[0] == "7\n"
    rootlet.fails("wait", "--condition", "lost", "c", match="no such state")
    rootlet.fails("wait", "-i", "soon", "c", match="not a time")
    assert rootlet("wait", "--ignore", "c", "c").out == "-1\n-1\n"


def test_wait_for_the_code_of_what_is_removed(rootlet):
    box = rootlet.image()
    for name, code in (("a", 3), ("b", 4), ("d", 5)):
        run(rootlet, name, f"echo ready; while [ ! -e /go ]; do sleep 0.02; done; exit {code}", "--rm")
    one = rootlet.spawn("wait", "a", "b", "d")
    two = rootlet.spawn("wait", "--condition", "removed", "b")
    rootlet.ok("run", "--rm", box, "true")  # both have had the time to begin
    for name in ("b", "d", "a"):
        rootlet.go(name)
        rootlet.wait_for(lambda: name not in rootlet.ok("ps", "-a", "--format", "{{.Names}}").out.split())  # noqa: B023
    assert one.communicate(timeout=20) == ("3\n4\n5\n", "")
    assert two.communicate(timeout=20) == ("4\n", "")


# --- rename ---

def test_rename_and_its_mistakes(rootlet):
    box = rootlet.image()
    for name in ("a", "b"):
        rootlet.ok("create", "--name", name, box, "true")
    rootlet.fails("rename", "a", "b", match="already in use")
    for bad in ("", "-x", "a/b", "x" * 300, "a b"):
        rootlet.fails("rename", "--", "a", bad, match="rename a: .*not valid")
    rootlet.fails("rename", "a", "a", match="has that name already")
    rootlet.fails("rename", "nosuch", "x", match="no such container")
    rootlet.fails("rename", "a")
    cid = rootlet.inspect("a")["Id"]
    rootlet.ok("rename", cid[:8], "z")
    assert rootlet.inspect("z")["Id"] == cid
    # Two want the same name, and two want each other's: never is one lost, never have two the same.
    for _ in range(8):
        all_ = [rootlet.spawn("rename", x, y) for x, y in (("z", "b2"), ("b", "b2"), ("z", "b"), ("b", "z"))]
        for p in all_:
            p.communicate(timeout=20)
        names = rootlet.ok("ps", "-a", "--format", "{{.Names}}").out.split()
        assert len(set(names)) == 2, names
        for old, new in zip(names, ("z", "b")):
            rootlet("rename", old, f"t-{new}")
        rootlet.ok("rename", "t-z", "z")
        rootlet.ok("rename", "t-b", "b")
    assert sorted(os.listdir(rootlet.store.root / "names")) == ["b", "z"]


# --- start ---

def test_start_refusals(rootlet):
    box = rootlet.image()
    for name in ("a", "b"):
        rootlet.ok("create", "--name", name, box, "true")
    rootlet.fails("start", "-a", "a", "b", match="you cannot start and attach multiple containers at once")
    rootlet.fails("start", "-a", "--all", match="--all")
    rootlet.fails("start", "--sig-proxy", "a", match="needs -a")
    rootlet.fails("start", "-a", "--detach-keys", "ctrl-nonsense", "a", match="ctrl-nonsense")
    assert [state(rootlet, n)["Status"] for n in "ab"] == ["created", "created"]
    assert rootlet.ok("start", "a", "b").out == "a\nb\n"


def test_start_attaches_to_what_runs(rootlet):
    run(rootlet, "c", "echo ready; while [ ! -e /go ]; do sleep 0.02; done; echo late; exit 9")
    p = rootlet.spawn("start", "-a", "c")
    rootlet.attached("c", p)
    rootlet.go("c")
    assert p.communicate(timeout=20)[0] == "late\n" and p.returncode == 9
    assert json.loads(rootlet.ok("inspect", "c").out)[0]["State"]["ExitCode"] == 9
