"""events: the journal of what happens, past and live."""
import json
import re
import subprocess
import threading
import time

import pytest

from lib import host, rows


def events(rootlet, *args):
    """The past ones, as podman's JSON."""
    out = rootlet.ok("events", "--stream=false", "--format", "json", *args).out
    return [json.loads(line) for line in out.splitlines()]


def words(rootlet, *args):
    return [e["Status"] for e in events(rootlet, "--filter", "type=container", *args)]


@rows("A47")
def test_life_of_a_container(rootlet):
    image = rootlet.image()
    rootlet("run", "--name", "one", "-l", "kind=test", image, "sh", "-c", "exit 3", rc=3)
    ctr = rootlet.inspect("one")["Id"]
    rootlet.ok("rename", "one", "two")
    rootlet.ok("rm", "two")
    mine = events(rootlet, "--filter", "type=container")
    assert [e["Status"] for e in mine] == ["create", "start", "died", "rename", "remove"]
    assert {e["ID"] for e in mine} == {ctr}
    assert [e["Name"] for e in mine] == ["one", "one", "one", "two", "two"]
    assert {e["Image"] for e in mine} == {"localhost/busybox:latest"}
    assert mine[2]["ContainerExitCode"] == 3
    assert mine[2]["Attributes"].items() >= {"kind": "test", "exitCode": "3"}.items()
    assert mine[3]["Attributes"]["oldName"] == "one"
    times = [e["timeNano"] for e in mine]
    assert times == sorted(times) and abs(times[0] / 1e9 - time.time()) < 600
    assert mine[0]["time"] == times[0] // 10**9


def test_commands_leave_events(rootlet):
    image = rootlet.image()
    rootlet.ok("run", "-d", "--name", "c", "--init", image, "sleep", "100")
    rootlet("exec", "c", "sh", "-c", "exit 5", rc=5)
    rootlet.ok("kill", "-s", "CONT", "c")
    rootlet.ok("restart", "-t", "0", "c")
    rootlet.ok("stop", "-t", "0", "c")
    assert words(rootlet) == ["create", "start", "exec", "exec_died", "kill", "died", "stop", "start",
                              "restart", "died", "stop"]
    died = events(rootlet, "--filter", "event=exec_died")
    assert died[0]["ContainerExitCode"] == 5
    assert events(rootlet, "--filter", "event=kill")[0]["Attributes"]["signal"] == "18"
    rootlet.ok("run", "--rm", "--name", "short", image, "true")
    assert words(rootlet, "--filter", "container=short") == ["create", "start", "died", "remove"]
    # A start that fails is none.
    rootlet("run", "--rm", "--name", "bad", image, "/nothing", rc=127)
    assert "start" not in words(rootlet, "--filter", "container=bad")


def test_images(rootlet):
    image = rootlet.image()
    rootlet.ok("tag", image, "other:1")
    rootlet.ok("untag", image, "other:1")
    rootlet.ok("save", "-o", rootlet.user.tmp / "e.tar", image)
    rootlet.ok("rmi", image)
    rootlet.store.loaded.clear()
    (rootlet.user.tmp / "e.tar").unlink()
    mine = events(rootlet, "--filter", "type=image")
    assert [e["Status"] for e in mine] == ["load", "tag", "untag", "save", "untag", "remove"]
    assert mine[1]["Name"] == "localhost/other:1"
    assert len({e["ID"] for e in mine}) == 1


def test_volumes(rootlet):
    rootlet.ok("volume", "create", "data")
    rootlet.ok("run", "--rm", "-v", "made:/m", "-v", "/anonymous", rootlet.image(), "true")
    rootlet.ok("volume", "rm", "data", "made")
    mine = [(e["Status"], e["Name"]) for e in events(rootlet, "--filter", "type=volume")]
    anonymous = mine[2][1]
    assert len(anonymous) == 64
    assert sorted(mine) == sorted([("create", "data"), ("create", "made"), ("create", anonymous),
                                   ("remove", anonymous), ("remove", "data"), ("remove", "made")])
    assert [e["Status"] for e in events(rootlet, "--filter", "volume=data")] == ["create", "remove"]


def test_line_and_templates(rootlet):
    rootlet.ok("run", "--name", "c", "-l", "a=b", rootlet.image(), "true")
    past = ["events", "--stream=false", "--filter", "event=died"]
    ctr = rootlet.inspect("c")["Id"]
    line = rootlet.ok(*past).text
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{1,9} [+-]\d{4} \S+ container died " + ctr +
                        r" \(image=localhost/busybox:latest, name=c, .*a=b, exitCode=0\)", line)
    assert f" {ctr[:12]} (" in rootlet.ok(*past, "--no-trunc=false").out
    assert rootlet.ok(*past, "--format", "{{.Status}} {{.ID}} {{.ContainerExitCode}}").text == f"died {ctr} 0"
    assert rootlet.ok(*past, "--format", "{{.Action}} {{.Actor.ID}} {{.From}} {{.Attributes.a}}").text == \
        f"died {ctr} localhost/busybox:latest b"
    assert rootlet.ok(*past, "--format", "jsonl").json()["ID"] == ctr
    # Before anything is waited for.
    rootlet.fails("events", "--format", "{{.Nothing}}", match="Nothing")
    rootlet.fails("events", "--filter", "colour=red", match="colour=red.*(.|\n)*container, event, image")
    rootlet.fails("events", "--since", "teatime", match="--since teatime: not a time")


def test_filters(rootlet):
    # No name is the beginning of an id.
    image = rootlet.image()
    for name, label in (("p", "x=1"), ("q", "x=2"), ("pq", "y")):
        rootlet.ok("create", "--name", name, "-l", label, image)

    def names(*filters):
        args = [a for f in filters for a in ("--filter", f)]
        return [e["Name"] for e in events(rootlet, "--filter", "event=create", *args)]
    assert names() == ["p", "q", "pq"]
    assert names("container=p") == ["p"]
    assert names("container=p", "container=q") == ["p", "q"]
    assert names("label=x") == ["p", "q"]
    assert names("label=x=2") == ["q"]
    assert names("label=x", "container=pq") == []
    assert names("image=busybox") == ["p", "q", "pq"] == names("image=localhost/busybox:latest")
    assert names("image=box") == []
    assert names("type=image") == []
    ident = rootlet.inspect("q")["Id"]
    assert names("container=" + ident[:9]) == ["q"]
    rootlet.ok("rm", "-a")
    assert [e["Name"] for e in events(rootlet, "-f", "event=destroy")] == ["pq", "q", "p"]


def test_since_and_until(rootlet):
    image = rootlet.image()
    rootlet.ok("create", "--name", "early", image)
    cut = time.time_ns()
    rootlet.ok("create", "--name", "late", image)
    stamp = f"{cut // 10**9}.{cut % 10**9:09d}"
    create = ["--filter", "event=create"]
    assert [e["Name"] for e in events(rootlet, "--since", stamp, *create)] == ["late"]
    assert [e["Name"] for e in events(rootlet, "--until", stamp, *create)] == ["early"]
    assert [e["Name"] for e in events(rootlet, "--since", "1h", *create)] == ["early", "late"]
    # An end in the past ends it, also without --stream=false.
    out = rootlet.ok("events", "--until", stamp, "--format", "{{.Name}}", *create).text
    assert out == "early"
    soon = time.time_ns() + 10**9
    out = rootlet.ok("events", "--until", f"{soon // 10**9}.{soon % 10**9:09d}", timeout=30)
    assert out.out == "" and time.time_ns() > soon


def watches(pid):
    """It has its descriptor of inotify, after which it reads the files, and has gone to sleep."""
    return any("inotify" in link for link in host.descriptors(pid).values()) and host.sleeps(pid)


class Live:
    """A running `rootlet events`."""

    def __init__(self, rootlet, *args):
        self.process = rootlet.spawn("events", "--format", "{{.Status}} {{.Name}}", *args,
                                     stdin=subprocess.DEVNULL)
        self.lines = []
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        rootlet.wait_for(lambda: watches(self.process.pid), what="its watch")

    def read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    def has(self, *wanted):
        return lambda: all(w in self.lines for w in wanted)


def test_live(rootlet):
    image = rootlet.image()
    rootlet.ok("create", "--name", "before", image)
    live = Live(rootlet)
    rootlet.ok("run", "--rm", "--name", "now", image, "true")
    rootlet.wait_for(live.has("remove now"))
    assert live.lines == ["create now", "start now", "died now", "remove now"]
    both = Live(rootlet, "--since", "1h", "--filter", "event=create")
    rootlet.wait_for(both.has("create before", "create now"))
    rootlet.ok("create", "--name", "after", image)
    rootlet.wait_for(both.has("create after"))
    assert both.lines == ["create before", "create now", "create after"]
    # It sleeps while nothing happens: no polling.
    def switches():
        return re.findall(r"ctxt_switches:\s*(\d+)", open(f"/proc/{both.process.pid}/status").read())

    def quiet():
        at = switches()
        time.sleep(0.4)
        return switches() == at
    rootlet.wait_for(quiet, what="no wakeup") # but for what others do beside its directory


def test_ends_with_its_reader(rootlet):
    live = rootlet.spawn("events", stdin=subprocess.DEVNULL)
    rootlet.wait_for(lambda: watches(live.pid))
    live.stdout.close()
    live.wait(60)


class Journal:
    """The file, written as if by rootlet."""

    def __init__(self, rootlet):
        self.rootlet, self.path = rootlet, rootlet.store.runroot / "events"

    def add(self, text):
        self.rootlet.shell(f"umask 077; mkdir -p {self.path.parent}; cat >> {self.path}", input=text)


@pytest.fixture
def journal(rootlet):
    return Journal(rootlet)


def made_up(name, size=0):
    return json.dumps({"timeNano": time.time_ns(), "Type": "container", "Status": "create", "Name": name,
                       "Attributes": {"filler": "x" * size}}, separators=(",", ":")) + "\n"


def test_rotation_and_torn_lines(rootlet, journal):
    """A reader goes on across rotations; a line that a full disk has cut costs only itself."""
    image = rootlet.image()
    live = Live(rootlet, "--filter", "event=create")
    for turn in range(3):
        journal.add(made_up("whole", 1000) * 1100 + made_up("torn")[:60])
        rootlet.ok("create", "--name", f"turn{turn}", image)
        rootlet.wait_for(live.has(f"create turn{turn}"))
    assert live.lines.count("create whole") == 3300 and "create torn" not in live.lines
    files = sorted(journal.path.parent.glob("events*"))
    assert [f.name for f in files] in (["events", "events.1"], ["events.1"])
    assert sum(f.stat().st_size for f in files) < 3 << 20
    assert [e["Name"] for e in events(rootlet, "--filter", "event=create")][-1] == "turn2"


def test_hostile_text(rootlet, journal):
    """What an image calls itself cannot steer a terminal, nor look like another event."""
    evil = {"timeNano": 1, "Type": "container", "Status": "start", "ID": "0" * 64,
            "Name": "a\x1b[2J\nb", "Image": "\x9b31m", "Attributes": {"k\r": '{"timeNano":9,"x'}}
    journal.add(json.dumps(evil, separators=(",", ":")) + "\n" + '{"timeNano":7}\n[]\nnonsense\n')
    out = rootlet.ok("events", "--stream=false").out
    assert "\x1b" not in out and "\x9b" not in out and "\r" not in out
    assert events(rootlet)[0]["Name"] == evil["Name"]
    assert events(rootlet)[0]["Attributes"] == evil["Attributes"]


def test_labels_do_not_flood(rootlet):
    """The labels of one image leave room for the events of others, and what is asked for stays."""
    image = rootlet.image()
    rootlet.ok("create", "--name", "c", *(w for n in range(40) for w in ("-l", f"k{n}={'x' * 1000}")), "-l", "small=yes", image)
    made = events(rootlet, "--filter", "event=create", "--filter", "type=container")[0]
    assert 0 < sum(len(v) for v in made["Attributes"].values()) < 4096 and made["Attributes"]["small"] == "yes"
    assert len(rootlet.inspect("c")["Config"]["Labels"]) >= 41


def test_writers_at_once(rootlet, journal):
    """Every event of commands that run at the same time is there, over rotations."""
    image = rootlet.image()
    journal.add(made_up("filler", 1000) * 1000)
    live = Live(rootlet, "--filter", "event=remove")
    rootlet.shell(f"for i in 1 2 3 4 5 6; do (for j in 1 2 3; do rootlet create --name c$i-$j {image} && "
                  "rootlet rm c$i-$j || touch failed; done) & done; wait; ! test -e failed", timeout=120)
    wanted = [f"remove c{i}-{j}" for i in range(1, 7) for j in range(1, 4)]
    rootlet.wait_for(live.has(*wanted))
    assert len(live.lines) == len(wanted)
    past = [e["Name"] for e in events(rootlet, "--filter", "event=remove")]
    assert sorted("remove " + n for n in past) == sorted(wanted)


def test_it_ends_when_the_journal_goes_at_logout(rootlet):
    """The run root goes with the session: nothing can come any more, so nobody waits for it."""
    run = rootlet.user.tmp / "session"
    follow = rootlet.spawn("--runroot", run, "events")
    try:
        rootlet.wait_for(run.exists, what="the run root")
        rootlet.shell(f"for i in 1 2 3; do rootlet --runroot {run} run --rm {rootlet.image()} true; done")
        first = follow.stdout.readline()
        assert " container create " in first
        rootlet.shell(f"rm -rf {run}")
        err = follow.communicate(timeout=20)[1]
        assert follow.returncode == 125
        assert "Error: the journal of events has gone" in err and "enable-linger" in err
    finally:
        follow.kill()
