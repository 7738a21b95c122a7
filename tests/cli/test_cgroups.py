"""Control groups of containers, with systemd: the scope, what it is worth, and what is left of it."""
import json
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest

from lib import rows

CGROUPS = pathlib.Path("/sys/fs/cgroup")
pytestmark = pytest.mark.systemd


def systemctl(*args):
    return subprocess.run(["systemctl", "--user", *args], check=False, capture_output=True, text=True).stdout


def show(unit, *names):
    out = systemctl("show", unit, *(f"-p{n}" for n in names))
    return dict(line.split("=", 1) for line in out.splitlines() if "=" in line)


def scopes():
    return [line.split()[0] for line in systemctl("list-units", "--all", "--plain", "--no-legend", "rootlet-*.scope").splitlines()]


def group_of(pid):
    text = pathlib.Path(f"/proc/{pid}/cgroup").read_text(encoding="ascii")
    return next(line[3:] for line in text.splitlines() if line.startswith("0::"))


def parent_of(pid):
    return int(pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[1])


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def sleepers(group):
    """What is in it, when all of it has become sleep."""
    pids = (group / "cgroup.procs").read_text(encoding="ascii").split()
    names = [pathlib.Path(f"/proc/{p}/comm").read_text(encoding="ascii").strip() for p in pids if alive(p)]
    return pids if set(names) == {"sleep"} else []


class Here:
    """rootlet with control groups as they are here."""

    def __init__(self, rootlet):
        self.rootlet = rootlet

    def ok(self, *args, **kw):
        return self.rootlet.ok(*args, cgroups=None, **kw)

    def fails(self, *args, **kw):
        return self.rootlet.fails(*args, cgroups=None, **kw)

    def start(self, name, *args, options=()):
        self.ok("run", "-d", "--name", name, *options, self.rootlet.image(), *args)
        return self.pid(name)

    def pid(self, name):
        return self.inspect(name)["State"]["Pid"]

    def inspect(self, name):
        return json.loads(self.ok("inspect", name).out)[0]

    def in_unit(self, script, *properties, kind=()):
        """A shell script as a unit of the user's manager; rootlet is in its PATH."""
        env = self.rootlet.environment(cgroups=None)
        words = [w for k, v in env.items() for w in ("-E", f"{k}={v}")]
        return self.rootlet("--user", "--quiet", "--wait", "--pipe", "--collect", *kind, *words,
                            *(w for p in properties for w in ("-p", p)), "/bin/sh", "-c", script,
                            program="/usr/bin/systemd-run", cgroups=None, env={"XDG_RUNTIME_DIR": f"/run/user/{os.getuid()}"})


@pytest.fixture
def here(rootlet):
    yield Here(rootlet)
    rootlet("rm", "-fa", "-t", "0", cgroups=None)
    rootlet.wait_for(lambda: not scopes(), 20)
    assert "rootlet" not in systemctl("--failed", "--no-legend")


@rows("A38", "A42", "A47")
def test_scope(here):
    pid = here.start("c", "sleep", "100")
    state = here.inspect("c")
    unit = f"rootlet-{state['Id']}.scope"
    path = group_of(pid)
    assert path.endswith(f"/rootlet.slice/{unit}/container")
    assert state["State"]["CgroupPath"] == path
    assert str(pid) in (CGROUPS / path[1:] / "cgroup.procs").read_text(encoding="ascii").split()
    assert group_of(parent_of(pid)) == path.replace("/container", "/supervisor")
    properties = show(unit, "Delegate", "CollectMode", "Slice", "ActiveState", "Description", "ControlGroup")
    assert properties["Delegate"] == "yes" and properties["CollectMode"] == "inactive-or-failed"
    assert properties["Slice"] == "rootlet.slice" and properties["ActiveState"] == "active"
    assert path == properties["ControlGroup"] + "/container"
    # Neither the init nor a process of exec sees where that is; both are in the same group.
    for text in (here.ok("exec", "c", "cat", "/proc/self/cgroup").out, here.ok("exec", "c", "cat", "/proc/1/cgroup").out):
        assert "0::/\n" in text
    # Its own part of the tree, for reading.
    assert here.ok("exec", "c", "cat", "/sys/fs/cgroup/cgroup.procs").out.splitlines()[0] == "1"
    here.rootlet.fails("exec", "c", "mkdir", "/sys/fs/cgroup/x", rc=1, match="Read-only", cgroups=None)
    here.ok("exec", "-d", "c", "sleep", "200")
    procs = (CGROUPS / path[1:] / "cgroup.procs").read_text(encoding="ascii").split()
    assert len(procs) == 2, procs
    # At once started again, time after time.
    for _ in range(4):
        here.ok("restart", "-t", "0", "c")
        assert group_of(here.pid("c")) == path
    here.ok("rm", "-ft0", "c")
    assert not (CGROUPS / path[1:]).exists()


def test_place_and_namespace(here):
    pid = here.start("c", "sleep", "100", options=("--cgroup-parent", "rltest-x.slice", "--cgroupns", "host", "--stop-timeout", "100"))
    assert show(scopes()[0], "TimeoutStopUSec")["TimeoutStopUSec"] == "1min 50s"
    assert "/rltest.slice/rltest-x.slice/rootlet-" in group_of(pid)
    assert group_of(pid) in here.ok("exec", "c", "cat", "/proc/self/cgroup").out
    here.fails("run", "--rm", "--cgroup-parent", "/x", "--cgroups", "systemd", here.rootlet.image(), match="wants a slice")
    here.fails("run", "--rm", "--cgroups", "nosuch", here.rootlet.image(), match="nosuch: unknown")
    here.ok("rm", "-ft0", "c")
    systemctl("stop", "rltest.slice")


@rows("A45")
def test_fifty_leave_nothing(here):
    image = here.rootlet.image()
    for _ in range(10):
        running = [here.rootlet.spawn("run", "--rm", image, "true", cgroups=None) for _ in range(5)]
        assert [p.wait(60) for p in running] == [0] * 5
    here.rootlet.wait_for(lambda: not scopes(), 20)
    assert not list((CGROUPS / "user.slice").glob("**/rootlet-*.scope"))


@rows("A45")
def test_whole_group_ends(here):
    """Of a container without a pid namespace of its own, too."""
    fork = "(setsid sleep 301 &) ; (setsid sleep 302 &) ; sleep 303"
    for how in (["kill"], ["rm", "-f"], ["stop", "-t", "0"], ["exec", "c", "killall", "-9", "-q", "sleep"]):
        pid = here.start("c", "sh", "-c", fork, options=("--pid", "host"))
        path = CGROUPS / group_of(pid)[1:]
        here.rootlet.wait_for(lambda: len(sleepers(path)) == 3, 10)
        pids = sleepers(path)
        here.rootlet(*how, *([] if "c" in how else ["c"]), cgroups=None)
        here.rootlet.wait_for(lambda: not any(alive(p) for p in pids), 10)
        here.rootlet("rm", "-f", "-i", "c", cgroups=None)
        assert not path.exists()


@rows("A45")
@pytest.mark.parametrize("next_command", [["start", "c"], ["rm", "c"], ["rm", "-f", "c"]], ids=" ".join)
def test_killed_supervisor(here, next_command):
    pid = here.start("c", "sh", "-c", "(setsid sleep 301 &) ; sleep 303", options=("--pid", "host"))
    path = CGROUPS / group_of(pid)[1:]
    here.rootlet.wait_for(lambda: len(sleepers(path)) == 2, 10)
    pids = sleepers(path)
    os.kill(parent_of(pid), signal.SIGKILL)
    assert here.inspect("c")["State"]["Status"] == "running"
    os.kill(pid, signal.SIGKILL)
    here.rootlet.wait_for(lambda: here.inspect("c")["State"]["Status"] == "exited", 10)
    left = [p for p in pids if int(p) != pid]
    assert left and all(alive(p) for p in left) and len(scopes()) == 1
    here.ok(*next_command)
    assert not any(alive(p) for p in pids)
    if next_command[0] == "start":
        assert here.pid("c") not in map(int, pids)
        assert group_of(here.pid("c")).endswith("/container")


def helpers():
    out = subprocess.run(["pgrep", "-x", "rootlet-scope"], check=False, capture_output=True, text=True).stdout
    return [int(p) for p in out.split()]


@rows("A45")
def test_killed_helper(here):
    """The container does not start then, or has started already; nothing stays either way."""
    codes = set()
    for i in range(12):
        p = here.rootlet.spawn("run", "--rm", here.rootlet.image(), "true", cgroups=None)
        end = time.monotonic() + 5
        while p.poll() is None and time.monotonic() < end:
            found = helpers()
            if found:
                time.sleep(i * 0.0007)
                for pid in found:
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        pass
                break
        _, err = p.communicate(timeout=60)
        codes.add(p.returncode)
        assert p.returncode == 0 or "rootlet-scope" in err, err
    assert codes <= {0, 125} and 125 in codes
    here.rootlet.wait_for(lambda: not scopes(), 20)


def test_name_that_is_taken(here):
    """What has the scope's name while we hold the container's lock is left over: it goes."""
    here.start("c", "sleep", "100")
    unit = f"rootlet-{here.inspect('c')['Id']}.scope"
    here.ok("stop", "-t", "0", "c")
    here.rootlet.wait_for(lambda: not scopes(), 10)
    with subprocess.Popen(["systemd-run", "--user", "--scope", "-q", "--unit", unit, "sleep", "1000"]) as left:
        here.rootlet.wait_for(lambda: show(unit, "ActiveState")["ActiveState"] == "active", 10)
        here.ok("start", "c")
        assert left.wait(60) != 0
    assert f"/{unit}/" in group_of(here.pid("c"))
    here.ok("stop", "-t", "0", "c")
    here.rootlet.wait_for(lambda: not scopes(), 10)
    # One that has failed is in the way only.
    subprocess.run(["systemd-run", "--user", "--scope", "-q", "-p", "RuntimeMaxSec=1", "--unit", unit, "sleep", "1000"], check=False)
    here.rootlet.wait_for(lambda: show(unit, "ActiveState")["ActiveState"] == "failed", 10)
    here.ok("start", "c")


@pytest.mark.parametrize("env", [
    {"DBUS_SESSION_BUS_ADDRESS": "unix:path=/nowhere/bus"},
    {"DBUS_SESSION_BUS_ADDRESS": None},
    {"XDG_RUNTIME_DIR": None, "DBUS_SESSION_BUS_ADDRESS": None},
    {"XDG_RUNTIME_DIR": "/nowhere"}, {"XDG_RUNTIME_DIR": "/run/user/0"}], ids=["no-bus", "unset-bus", "unset", "su", "sudo"])
def test_sessions_of_all_kinds(here, env):
    """Without a bus, and in shells of su and sudo: by the manager's own socket, where a login has put it."""
    text = here.ok("run", "--rm", "--cgroupns", "host", here.rootlet.image(), "cat", "/proc/self/cgroup", env=env).out
    assert re.search("/rootlet.slice/rootlet-[0-9a-f]{64}.scope/container", text)


def test_bus_and_manager_anew(here):
    here.start("c", "sleep", "100")
    before = here.pid("c")
    systemctl("restart", "dbus.service", "dbus-broker.service")
    here.ok("exec", "c", "true")
    image = here.rootlet.image()
    for _ in range(3):
        p = here.rootlet.spawn("run", "--rm", image, "true", cgroups=None)
        systemctl("daemon-reexec")
        assert p.wait(60) == 0, p.communicate()
    here.ok("exec", "c", "true")
    assert here.pid("c") == before and show(scopes()[0], "ActiveState")["ActiveState"] == "active"
    here.ok("stop", "-t", "0", "c")


def test_in_place(here):
    """A script in one unit starts two containers; the unit's own processes go to a leaf."""
    image = here.rootlet.image()
    script = (f"export ROOTLET_CGROUPS=split; rootlet run -d --name a {image} sleep 100 >/dev/null && rootlet run -d --name b {image} sleep 100 >/dev/null && "
              "cat /proc/self/cgroup; rootlet info -f '{{.Cgroups.Driver}}'; "
              "for c in a b; do cat /proc/$(rootlet inspect -f '{{.State.Pid}}' $c)/cgroup; done; "
              "rootlet exec a true || exit 3; rootlet pause a; rootlet unpause a; rootlet rm -ft0 a b >/dev/null; "
              "cd /sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup | sed 's,/main$,,') && echo left: rootlet-*")
    r = here.in_unit(script, "Delegate=yes")
    assert r.rc == 0, r
    groups = re.findall(r"^0::(\S+)$", r.out, re.M)
    unit = groups[1].rsplit("/", 2)[0]
    assert unit.endswith(".service") and groups[0] in (unit, unit + "/main")
    assert all(re.fullmatch(re.escape(unit) + "/rootlet-[0-9a-f]{64}.scope/container", g) for g in groups[1:]), groups
    assert "\ninplace\n" in r.out and groups[1] != groups[2]
    assert "left: rootlet-*\n" in r.out, r
    # Without Delegate= it is none of ours.
    r = here.in_unit(f"rootlet run --rm --cgroupns host {image} cat /proc/self/cgroup")
    assert "/rootlet.slice/rootlet-" in r.out, r


def test_parents_of_all_kinds(here):
    """A start that may not go there leaves nothing; a path is noted as the kernel writes it."""
    image = here.rootlet.image()
    place = f"/user.slice/user-{os.getuid()}.slice/user@{os.getuid()}.service/rootlet.slice"
    here.ok("run", "--rm", image, "true")  # makes the slice
    keep = here.start("k", "sleep", "100")
    here.fails("run", "--cgroup-parent", place, image, "true", match="put process .*\nhint: .*delegated")
    # The scope of the first one goes when systemd has seen that it is empty.
    here.rootlet.wait_for(lambda: [p.name for p in (CGROUPS / place[1:]).glob("rootlet-*")] == [group_of(keep).split("/")[-2]])
    script = ("own=$(sed -n 's/^0:://p' /proc/self/cgroup); "
              f"rootlet run -d --name c --cgroups cgroupfs --cgroup-parent $(echo $own | cut -c2-)//x/ {image} sleep 100 >/dev/null || exit 2; "
              "echo parent $own/x; rootlet inspect -f 'path {{.State.CgroupPath}}' c; grep -h ^0:: /proc/$(rootlet inspect -f '{{.State.Pid}}' c)/cgroup; "
              "rootlet exec c true || exit 3; rootlet rm -ft0 c >/dev/null; ls -d /sys/fs/cgroup$own/x/rootlet-* 2>/dev/null; true")
    r = here.in_unit(script, "Delegate=yes")
    assert r.rc == 0, r
    words = dict(re.findall(r"^(parent|path|0:)[ :](\S+)$", r.out, re.M))
    assert words["path"] == words["0:"] and re.fullmatch(re.escape(words["parent"]) + "/rootlet-[0-9a-f]{64}.scope/container", words["path"]), r
    assert "\n/sys/fs" not in r.out, r


@rows("A45")
def test_state_that_names_another_group(here):
    """A damaged or copied state leads to no group that is not the container's."""
    here.start("b", "sleep", "100")
    theirs, mine = here.inspect("b")["State"]["CgroupPath"], group_of(os.getpid())
    for path in (theirs, theirs.rsplit("/", 2)[0], mine, "/", ""):
        here.start("a", "sleep", "100")
        a = here.inspect("a")
        for pid in (a["State"]["ConmonPid"], a["State"]["Pid"]):
            os.kill(pid, signal.SIGKILL)
        here.rootlet.wait_for(lambda: here.inspect("a")["State"]["Status"] == "exited", 10)
        file = here.rootlet.store.root / "containers" / a["Id"] / "state.json"
        state = json.loads(file.read_text())
        state["cgroup"]["path"] = path
        file.write_text(json.dumps(state))
        here.ok("rm", "-f", "a")
        assert here.inspect("b")["State"]["Status"] == "running", path
        here.ok("exec", "b", "true")


def test_long_name_of_a_pod(here):
    here.ok("pod", "create", "a" + "-" * 90 + "b")
    here.ok("pod", "start", "-a")
    assert group_of(here.pid("a" + "-" * 90 + "b-infra")).split("/")[-3] == "rootlet.slice"
    here.ok("pod", "rm", "-fa", "-t", "0")


@rows("B42", "B43")
def test_pause(here):
    r = here.rootlet
    pid = here.start("c", "sh", "-c", "trap 'exit 7' TERM; while :; do echo x; sleep 0.02; done")
    path = CGROUPS / group_of(pid)[1:]
    assert here.ok("pause", "c").text == "c"
    assert "frozen 1" in (path / "cgroup.events").read_text(encoding="ascii")
    state = here.inspect("c")["State"]
    assert (state["Status"], state["Paused"]) == ("paused", True)
    assert "(Paused)" in here.ok("ps").out
    size = len(here.ok("logs", "c").out)
    time.sleep(0.2)
    assert len(here.ok("logs", "c").out) == size
    here.fails("pause", "c", match="paused already")
    here.fails("exec", "c", "true", match="it is paused\nhint: rootlet unpause c")
    here.ok("unpause", "-a")
    here.fails("unpause", "c", match="is not paused")
    r.wait_for(lambda: len(here.ok("logs", "c").out) > size, 10)
    # All that ends a container ends a paused one; a stop is heard by it.
    here.ok("pause", "-l")
    here.ok("stop", "c")
    assert here.inspect("c")["State"]["ExitCode"] == 7
    here.fails("pause", "c", match="not running")
    for how, code in ((["kill", "c"], 137), (["stop", "-t", "0", "c"], 137), (["rm", "-f", "c"], None)):
        here.ok("start", "c")
        here.ok("pause", "--all")
        here.ok(*how)
        if code:
            assert here.ok("wait", "c").text == str(code)
    words = [json.loads(line)["Status"] for line in here.ok("events", "--format", "json", "--stream=false", "--since", "1m").out.splitlines()]
    assert {"pause", "unpause"} <= set(words)


@rows("A46")
def test_limit_without_its_controller(here):
    if (CGROUPS / "user.slice" / "memory.max").exists():
        pytest.skip("this host hands memory down")
    unit = f"user@{os.getuid()}.service"
    r = here.fails("run", "--name", "c", "-m", "64m", here.rootlet.image(), "true",
                   match=f"--memory: controller memory is not delegated to {unit} \\(has: ")
    assert "hint: as root put \"[Service]\\nDelegate=cpu cpuset io memory pids\" into " in r.err
    assert "/etc/systemd/system/user@.service.d/delegate.conf" in r.err and "log in anew" in r.err
    assert here.ok("ps", "-aq").out == "" and not scopes()
    here.fails("run", "--cgroups=disabled", "-m", "64m", here.rootlet.image(), "true", match="--memory needs a cgroup")


def test_info(here):
    info = json.loads(here.ok("info").out)["Cgroups"]
    assert (info["Version"], info["Driver"]) == ("v2", "systemd") and "systemd" in info["Why"]
    assert set(info["ControllerStatus"]) == {"cpu", "cpuset", "hugetlb", "io", "memory", "pids"}
    assert all(v == "available" or f"user@{os.getuid()}.service" in v for v in info["ControllerStatus"].values())
    assert "cgroups" in here.rootlet("doctor", cgroups=None).out
