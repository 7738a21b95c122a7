"""--on-pressure and --oomd: what is done when resources run short."""
import json
import subprocess

import pytest

from lib import rows


def events(rootlet, name, word):
    out = rootlet.ok("events", "--stream=false", "--format", "json", "--filter", f"container={name}",
                     "--filter", f"event={word}").out
    return [json.loads(line) for line in out.splitlines()]


BAD = [
    ("shout", "the action is not notify, freeze or restart"),
    ("notify:disk", "the resource is not cpu, memory or io"),
    ("notify:memory=most", "the kind is not some or full"),
    ("notify:memory=some:1s", "the times are not STALL/WINDOW"),
    ("notify:memory=some:1s/3s", "the window is not 2s, 4s, 6s, 8s or 10s"),
    ("notify:memory=some:1s/12s", "the window is not 2s, 4s, 6s, 8s or 10s"),
    ("freeze:io=full:3s/2s", "the stall is not within the window"),
    ("freeze:io=full:0/2s", "the stall is not within the window"),
]


@pytest.mark.parametrize("text, message", BAD, ids=[b[0] for b in BAD])
def test_bad_rules(rootlet, text, message):
    r = rootlet.fails("create", "--on-pressure", text, rootlet.image(), match=f"--on-pressure {text}: {message}")
    assert "for example notify:memory=some:150ms/2s" in r.err
    assert rootlet.ok("ps", "-aq").out == ""


def test_refused_where_it_cannot_work(rootlet):
    image = rootlet.image()
    rootlet.fails("create", "--on-pressure", "notify", image, match="--on-pressure needs a cgroup")
    rootlet.fails("run", "--rm", "--on-pressure", "restart", image, match="--on-pressure restart and --rm exclude")
    rootlet.fails("create", "--oomd", "maybe", image, match="--oomd maybe: not kill, avoid, omit or auto")
    rootlet.fails("run", "--oomd", "avoid", image, match="--oomd avoid needs a scope of systemd")
    rootlet.ok("create", "--name", "c", "--oomd", "auto", image)
    host = rootlet.inspect("c")["HostConfig"]
    assert host["Oomd"] == "auto" and host["OnPressure"] == []


def prop(rootlet, name, what):
    scope = f"rootlet-{rootlet.inspect(name)['Id']}.scope"
    return subprocess.run(["systemctl", "--user", "show", "-P", what, scope], capture_output=True, text=True,
                          check=True).stdout.strip()


@pytest.mark.systemd
def test_oomd_properties(rootlet):
    image = rootlet.image()
    for mode, properties in (("kill", {"ManagedOOMMemoryPressure": "kill", "ManagedOOMSwap": "kill"}),
                             ("avoid", {"ManagedOOMPreference": "avoid", "ManagedOOMSwap": "auto"}),
                             ("omit", {"ManagedOOMPreference": "omit"})):
        rootlet.ok("run", "-d", "--name", mode, "--oomd", mode, image, "sleep", "100", cgroups=None)
        assert {k: prop(rootlet, mode, k) for k in properties} == properties
        assert rootlet.inspect(mode)["HostConfig"]["Oomd"] == mode
    # A later start has them too.
    rootlet.ok("restart", "-t", "0", "kill", cgroups=None)
    assert prop(rootlet, "kill", "ManagedOOMSwap") == "kill"
    rootlet.ok("run", "-d", "--name", "plain", image, "sleep", "100", cgroups=None)
    assert prop(rootlet, "plain", "ManagedOOMMemoryPressure") == "auto"


@pytest.mark.systemd
def test_pause_is_told(rootlet):
    rootlet.ok("run", "-d", "--name", "c", "-l", "k=v", rootlet.image(), "sleep", "100", cgroups=None)
    rootlet.ok("pause", "c", cgroups=None)
    rootlet.ok("unpause", "c", cgroups=None)
    assert [len(events(rootlet, "c", w)) for w in ("pause", "unpause")] == [1, 1]
    assert events(rootlet, "c", "pause")[0]["Attributes"]["k"] == "v"


BUSY = "(while :; do :; done) & while :; do :; done"


@pytest.mark.guest
@rows("A47")
def test_pressure(rootlet):
    """Two tasks on a quota for one wait for the processor: told once, frozen, started again."""
    image = rootlet.image()
    cpu = "cpu=some:200ms/2s"
    for name, rules in (("again", [f"restart:{cpu}"]), ("frozen", [f"freeze:{cpu}", f"notify:{cpu}", "notify:io"])):
        flags = [a for r in rules for a in ("--on-pressure", r)]
        rootlet.ok("run", "-d", "--name", name, "--init", "--stop-timeout", "0", "--cpus", "0.1", *flags, image, "sh",
                   "-c", BUSY, cgroups=None)
    rootlet.wait_for(lambda: rootlet.inspect("frozen")["State"]["Status"] == "paused", 30)
    seen = [e["Attributes"] for e in events(rootlet, "frozen", "pressure")]
    assert sorted(a["action"] for a in seen) in (["freeze"], ["freeze", "notify"])
    assert {(a["resource"], a["threshold"]) for a in seen} == {("cpu", "some 200ms/2s")}
    assert float(seen[0]["some_avg10"]) > 0
    assert len(events(rootlet, "frozen", "pause")) == 1
    assert rootlet.inspect("frozen")["HostConfig"]["OnPressure"] == [f"freeze:{cpu}", f"notify:{cpu}", "notify:io"]
    # After its first ten seconds.
    rootlet.wait_for(lambda: len(events(rootlet, "again", "start")) == 2, 40)
    assert events(rootlet, "again", "pressure")[0]["Attributes"]["action"] == "restart"
    assert rootlet.inspect("again")["State"]["Status"] == "running"
    rootlet.ok("unpause", "frozen", cgroups=None)
