"""Pods under systemd: the infra container's supervisor is a unit's main process, scopes lie in one slice."""
import glob
import os
import shutil
import time

import pytest

from lib import rows
from lib import units as units_

pytestmark = pytest.mark.systemd
SERVE = ("sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done")
SESSION = {"XDG_RUNTIME_DIR": os.environ.get("XDG_RUNTIME_DIR")}


@pytest.fixture
def units(rootlet):
    u = units_.Units(rootlet)
    yield u
    u.end()
    rootlet("pod", "rm", "-f", "-t", "0", "-a", cgroups=None)


def pod_service(rootlet, units, pod, *flags):
    env = "".join(f'Environment="{k}={v}"\n' for k, v in rootlet.store.environment().items())
    units.write(f"rltest-{pod}.service", f"[Service]\nType=notify\n{env}Delegate=yes\nKillMode=mixed\n"
                f"ExecStartPre={rootlet.program} pod create --replace {' '.join(flags)} {pod}\n"
                f"ExecStart={rootlet.program} start --unit {pod}-infra\n"
                f"ExecStop=-{rootlet.program} pod stop --ignore --time=3 {pod}\n"
                f"ExecStopPost=-{rootlet.program} pod rm --ignore --force {pod}\n")
    return f"rltest-{pod}.service"


def state(rootlet, name):
    return rootlet.inspect(name)["State"]["Status"]


@rows("A42", "A44")
def test_the_pod_is_a_unit(units, rootlet):
    """Members' units bind to it; it ends with its last member, and a stop takes them all."""
    pod = pod_service(rootlet, units, "p", "--exit-policy", "stop")
    members = [units.service("--pod", "p", command=SERVE, lines=f"[Unit]\nBindsTo={pod}\nAfter={pod}\n[Service]")
               for _ in range(2)]
    for name in members:
        units.start(name)
    main = int(units.show(pod, "MainPID")[0])
    assert "rootlet-supervise" in open(f"/proc/{main}/cmdline", encoding="utf-8").read()
    assert units.show(pod, "ActiveState") == ["active"]
    assert rootlet.ok("pod", "inspect", "-f", "{{.State}} {{.NumContainers}}", "p").text == "Running 3"
    units.ctl("stop", members[0])
    time.sleep(0.3)
    assert units.show(pod, "ActiveState") == ["active"]
    units.ctl("stop", members[1])
    units.wait(pod, ActiveState="inactive", Result="success")
    assert rootlet.ok("pod", "ps", "-q").out == ""
    for name in members:
        units.start(name)
    units.ctl("stop", pod)
    assert [units.show(n, "ActiveState", "Result") for n in members] == [["inactive", "success"]] * 2
    assert rootlet.ok("ps", "-aq").out == ""
    units.start(members[0])
    units.ctl("kill", "-s", "KILL", pod)
    units.wait(members[0], ActiveState="inactive")
    rootlet.wait_for(lambda: rootlet.ok("ps", "-q").out == "", what="the end of all")


def test_one_slice(units, rootlet):
    """Scopes of members lie in the pod's slice, which goes with it."""
    rootlet.ok("pod", "create", "my-pod", cgroups=None, env=SESSION)
    rootlet.ok("run", "-d", "--pod", "my-pod", "--name", "one", rootlet.image(), "sleep", "1000", cgroups=None, env=SESSION)
    name = "rootlet-pod-my\\x2dpod.slice"
    for ctr in ("one", "my-pod-infra"):
        pid = rootlet.inspect(ctr)["State"]["Pid"]
        with open(f"/proc/{pid}/cgroup", encoding="utf-8") as f:
            assert f"/{name}/rootlet-" in f.read()
    assert rootlet.ok("pod", "inspect", "-f", "{{.CgroupParent}}", "my-pod").text == name
    rootlet.ok("pod", "pause", "my-pod")
    assert rootlet.ok("pod", "inspect", "-f", "{{.State}}", "my-pod").text == "Paused"
    rootlet.ok("pod", "unpause", "my-pod")
    assert rootlet.ok("pod", "inspect", "-f", "{{.State}}", "my-pod").text == "Running"
    rootlet.ok("pod", "rm", "-f", "-t", "0", "my-pod", cgroups=None, env=SESSION)
    assert units.show(name, "ActiveState") == ["inactive"]
    assert not glob.glob("/sys/fs/cgroup/**/rootlet-pod-my*", recursive=True)


def test_slice_of_two_stores(units, rootlet):
    """A pod of the same name in another store lives on, whichever goes first."""
    other = {**SESSION, "ROOTLET_ROOT": str(rootlet.store.root) + "-b", "ROOTLET_RUNROOT": str(rootlet.store.runroot) + "-b"}
    for env in (SESSION, other):
        rootlet.ok("pod", "create", "twin", cgroups=None, env=env)
        rootlet.ok("pod", "start", "twin", cgroups=None, env=env)
    rootlet.ok("pod", "rm", "-f", "-t", "0", "twin", cgroups=None, env=SESSION)
    try:
        assert rootlet.ok("pod", "inspect", "-f", "{{.State}}", "twin", env=other).text == "Running"
    finally:
        rootlet.ok("pod", "rm", "-f", "-t", "0", "twin", cgroups=None, env=other)
        for d in (other["ROOTLET_ROOT"], other["ROOTLET_RUNROOT"]):
            shutil.rmtree(d, ignore_errors=True)
    assert units.show("rootlet-pod-twin.slice", "ActiveState") == ["inactive"]
