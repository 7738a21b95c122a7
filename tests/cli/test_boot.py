"""The end of a session and the next boot: rootlet-restart.service."""
import json
import os
import pathlib
import subprocess

import pytest

from lib import rows, units as units_
from lib.runner import wait_for

pytestmark = pytest.mark.systemd
UNIT = "rootlet-restart.service"


@pytest.fixture
def units(rootlet):
    u = units_.Units(rootlet)
    yield u
    u.end()


def state(rootlet, cid):
    return json.loads((rootlet.store.root / "containers" / cid / "state.json").read_text())


def install(units, rootlet):
    """The unit as it is installed, for the store of this test."""
    text = (pathlib.Path(os.environ.get("SRCDIR", ".")) / "data/systemd/user" / f"{UNIT}.in").read_text()
    assert "ExecStart=@bindir@/rootlet " in text
    env = "".join(f'Environment="{k}={v}"\n' for k, v in rootlet.store.environment().items())
    text = text.replace("@bindir@/rootlet", rootlet.program)
    units.write(UNIT, text.replace("[Service]\n", "[Service]\n" + env))
    units.ctl("daemon-reload")


def run(rootlet, name, policy):
    return rootlet.ok("run", "-d", "--name", name, "--restart", policy, rootlet.image(), "sh", "-c",
                      "trap 'exit 0' TERM; echo begin; while :; do sleep 0.1; done", cgroups=None).text


def scope_of(cid):
    return f"rootlet-{cid}.scope"


@rows("A44", "A64")
def test_session_ends_and_begins(units, rootlet):
    """What systemd ends with the session comes back by the unit, in a scope again; what the user has
    stopped does not, and the unit's stop and start later change nothing that the user has done since."""
    install(units, rootlet)
    ids = {name: run(rootlet, name, policy) for name, policy in
           (("always", "always"), ("unless", "unless-stopped"), ("stopped", "unless-stopped"),
            ("halted", "always"), ("failure", "on-failure"), ("no", "no"))}
    for name in ("stopped", "halted"):
        rootlet.ok("stop", "-t", "5", name, cgroups=None)
    for name, cid in ids.items():
        wait_for(lambda n=name: "begin" in rootlet.ok("logs", n).out)
        if name in ("stopped", "halted"):
            continue
        units.ctl("stop", scope_of(cid))  # as the end of user@.service does
        wait_for(lambda c=cid: state(rootlet, c)["status"] in ("stopped", "exited"))
        assert not state(rootlet, cid)["user_stopped"]
    units.ctl("start", UNIT)
    units.wait(UNIT, ActiveState="active", SubState="exited")
    running = rootlet.ok("ps", "--format", "{{.Names}}", cgroups=None).out.split()
    assert sorted(running) == ["always", "unless"]
    for name in running:
        assert units.show(scope_of(ids[name]), "ActiveState") == ["active"]
        assert rootlet.inspect(name)["RestartCount"] == 0
    # Once: "always" that was stopped in this very boot stays down, also when the unit runs again.
    rootlet.ok("stop", "-t", "5", "always", cgroups=None)
    units.ctl("restart", UNIT)
    assert rootlet.ok("ps", "--format", "{{.Names}}", cgroups=None).out.split() == ["unless"]
    # Its end leaves the containers alone: they are not of its group.
    units.ctl("stop", UNIT)
    assert state(rootlet, ids["unless"])["status"] == "running"
    rootlet.ok("rm", "-f", "-a", cgroups=None)


@rows("A64")
def test_one_that_fails_does_not_hold_up_the_others(units, rootlet):
    """A container that cannot be started is told in the journal, the others run."""
    install(units, rootlet)
    bad, good = run(rootlet, "bad", "always"), run(rootlet, "good", "always")
    for cid in (bad, good):
        units.ctl("stop", scope_of(cid))
        wait_for(lambda c=cid: state(rootlet, c)["status"] in ("stopped", "exited"))
    upper = rootlet.store.root / "containers" / bad / "upper"
    subprocess.run(["unshare", "--map-root-user", "--map-auto", "rm", "-rf", str(upper)], check=True)
    units.ctl("start", UNIT)
    assert rootlet.ok("ps", "--format", "{{.Names}}", cgroups=None).out.split() == ["good"]
    try:
        wait_for(lambda: "root file system is gone" in units.journal("--user-unit", UNIT))
    except AssertionError:
        raise AssertionError(units.journal("--user-unit", UNIT)) from None
    rootlet.ok("rm", "-f", "-a", cgroups=None)


@rows("B1")
def test_notice_once(rootlet):
    """What a boot needs is said once, with the command, and doctor says it too; --quiet says nothing."""
    box = rootlet.image()
    linger = os.path.exists(f"/var/lib/systemd/linger/{rootlet.user.name}")
    quiet = rootlet.ok("run", "-d", "-q", "--restart", "always", box, "sleep", "100", cgroups=None)
    assert quiet.err == ""
    told = rootlet.ok("run", "-d", "--restart", "always", box, "sleep", "100", cgroups=None)
    assert "systemctl --user enable" in told.err and UNIT in told.err
    assert ("enable-linger" in told.err) == (not linger)
    again = rootlet.ok("run", "-d", "--restart", "unless-stopped", box, "sleep", "100", cgroups=None)
    assert again.err == ""
    plain = rootlet.ok("run", "-d", box, "sleep", "100", cgroups=None)
    assert ("enable-linger" in plain.err) == (not linger)
    found = {f["name"]: f for f in json.loads(rootlet("doctor", "--json", cgroups=None).out)}
    assert "systemctl --user enable" in found["start at boot"]["fix"]
    assert (found["linger"]["level"] == "ok") == linger
    rootlet.ok("rm", "-f", "-a", cgroups=None)


@rows("A44", "A45")
def test_runs_in_one_scope(units, rootlet):
    """All runs of a container have one scope, and each a group of its own: what the last one left
    behind is not there any more. The health check is in that group, too."""
    cid = rootlet.ok("run", "-d", "--name", "c", "--restart", "always", "--pid", "host", "--health-cmd",
                     "cat /proc/self/cgroup", "--health-interval", "disable", "--cgroupns", "host", rootlet.image(),
                     "sh", "-c", "sleep 54321 & sleep 1; test -e /stay && exec sleep 1000; exit 1", cgroups=None).text
    scope = units.show(scope_of(cid), "ControlGroup")[0]
    group = pathlib.Path("/sys/fs/cgroup" + scope)
    upper = rootlet.store.root / "containers" / cid / "upper"
    wait_for(lambda: state(rootlet, cid)["restart_count"] >= 2 and state(rootlet, cid)["status"] == "running",
             timeout=30)
    rootlet.ok("exec", "c", "touch", "/stay", cgroups=None)
    assert (upper / "stay").exists()
    wait_for(lambda: sum("54321" in pathlib.Path(f"/proc/{p}/cmdline").read_text() for p in
                         (group / "container/cgroup.procs").read_text().split()) == 1)
    assert units.show(scope_of(cid), "ControlGroup") == [scope]
    wait_for(lambda: rootlet("healthcheck", "run", "c", cgroups=None).rc == 0)
    said = rootlet.inspect("c")["State"]["Health"]["Log"][-1]["Output"]
    assert said.strip().endswith(scope_of(cid) + "/container"), said
    rootlet.ok("rm", "-f", "c", cgroups=None)
    wait_for(lambda: not group.exists())
    assert units.ctl("list-units", "--all", "--no-legend", scope_of(cid)).stdout == ""
