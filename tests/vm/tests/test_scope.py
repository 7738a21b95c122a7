"""rootlet-oci --systemd-cgroup: the scope of a container, from its making to its end (A47)."""
import concurrent.futures
import contextlib
import json
import os
import pathlib
import subprocess
import time

import pytest
import scopelib
from scopelib import Bundle, IS_ROOT, PROGRAM, run, show, systemctl, units

pytestmark = [pytest.mark.systemd]


@pytest.fixture
def bundle(tmp_path):
    b = Bundle(tmp_path)
    yield b
    b.delete()
    assert units() == [] and units("*c1*") == []




def until(what, seconds=30):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.05)


def check_life(b, unit, slice_):
    b.start()
    assert b.cgroup().name == unit and b.cgroup().parent.name == slice_
    told = show(unit, "ActiveState", "Delegate", "Slice", "CollectMode", "Description")
    assert told == {"ActiveState": "active", "Delegate": "yes", "Slice": slice_,
                    "CollectMode": "inactive-or-failed", "Description": "Container c1"}
    path = b.cgroup()
    r = b.delete()
    assert r.returncode == 0, r.stderr
    assert not path.exists()
    assert show(unit, "LoadState", "ActiveState") == {"LoadState": "not-found",
                                                      "ActiveState": "inactive"}


def test_default_scope(bundle):
    check_life(bundle, "rootlet-c1.scope", "rootlet.slice")


def test_named_scope(bundle):
    bundle.config["linux"]["cgroupsPath"] = "user.slice:libpod:c1"
    check_life(bundle, "libpod-c1.scope", "user.slice")


def test_slices_are_nested(bundle):
    bundle.config["linux"]["cgroupsPath"] = "rltest-pod.slice:cri:c1"
    bundle.start()
    assert bundle.cgroup().parts[-3:] == ("rltest.slice", "rltest-pod.slice", "cri-c1.scope")
    bundle.delete()
    assert systemctl("stop", "rltest.slice").returncode == 0


@pytest.mark.root
def test_scope_of_the_system(bundle):
    check_life(bundle, "rootlet-c1.scope", "rootlet.slice")


@pytest.mark.root
def test_system_slice_by_default(bundle):
    bundle.config["linux"]["cgroupsPath"] = ":rootlet:c1"
    check_life(bundle, "rootlet-c1.scope", "system.slice")


def test_container_sees_its_scope_as_root(bundle):
    bundle.args("cat", "/proc/self/cgroup")
    r = bundle.run()
    assert r.returncode == 0 and "0::/\n" in r.stdout, r.stderr
    assert units() == []


def test_end_by_itself_leaves_nothing(bundle):
    bundle.args("sh", "-c", "exit 3")
    assert bundle.run().returncode == 3
    assert units() == []


def test_end_by_systemctl(bundle):
    """By SIGKILL after a while, as an init does not heed SIGTERM unless it wants to."""
    bundle.config["annotations"] = {"org.systemd.property.TimeoutStopSec": "0.5"}
    bundle.start()
    assert systemctl("stop", "rootlet-c1.scope").returncode == 0
    until(lambda: bundle.state()["status"] == "stopped")
    assert bundle.delete().returncode == 0


def test_annotations_are_properties(bundle):
    bundle.config["annotations"] = {"org.systemd.property.TimeoutStopUSec": "uint64 7000000",
                                    "org.systemd.property.Description": "'of the annotation'",
                                    "org.systemd.property.RuntimeMaxSec": "600"}
    bundle.start()
    assert show("rootlet-c1.scope", "TimeoutStopUSec", "Description", "RuntimeMaxUSec") == {
        "TimeoutStopUSec": "7s", "Description": "of the annotation", "RuntimeMaxUSec": "10min"}


@pytest.mark.parametrize("name,value,why", [
    ("PIDs", "[uint32 1]", "set by the runtime itself"),
    ("Slice", "'system.slice'", "set by the runtime itself"),
    ("CollectMode", "inactive", "want true, false, a number"),
    ("NoSuchProperty", "true", "NoSuchProperty"),
])
def test_annotation_is_refused(bundle, name, value, why):
    bundle.config["annotations"] = {f"org.systemd.property.{name}": value}
    rc, log = bundle.create()
    assert rc != 0 and why in log
    assert units() == []


@pytest.mark.parametrize("path,why", [
    ("/a/b", "SLICE:PREFIX:NAME"),
    ("a:b:c", "no name of a slice"),
    ("a.slice:b:c.slice", "holds no processes"),
])
def test_path_is_refused(bundle, path, why):
    bundle.config["linux"]["cgroupsPath"] = path
    rc, log = bundle.create()
    assert rc != 0 and why in log


def test_name_that_is_taken(bundle):
    scope = ["systemd-run", *([] if IS_ROOT else ["--user"]), "--scope", "-q",
             "--unit", "rootlet-c1.scope", "sleep", "1000"]
    with subprocess.Popen(scope, stderr=subprocess.DEVNULL) as other:
        until(lambda: show("rootlet-c1.scope", "ActiveState")["ActiveState"] == "active")
        rc, log = bundle.create()
        assert rc != 0 and "rootlet-c1.scope" in log and "systemctl" in log
        assert other.poll() is None  # not ours to end
        systemctl("stop", "rootlet-c1.scope")
        other.wait()


def test_failed_scope_is_replaced(bundle):
    scope = ["systemd-run", *([] if IS_ROOT else ["--user"]), "--scope", "-q", "-p",
             "RuntimeMaxSec=1", "--unit", "rootlet-c1.scope", "sleep", "1000"]
    run(*scope)
    until(lambda: show("rootlet-c1.scope", "ActiveState")["ActiveState"] == "failed")
    bundle.start()


def test_bus_that_is_gone(bundle):
    bundle.env.update(DBUS_SESSION_BUS_ADDRESS="unix:path=/nowhere/bus")
    bundle.start()  # by the manager's own socket
    bundle.delete()
    bundle.env.update(XDG_RUNTIME_DIR="/nowhere")
    bundle.start()  # where a login would have put it


def test_environment_of_an_engine(bundle):
    """Some start their runtime with a cleaned environment."""
    bundle.env = {"PATH": os.environ["PATH"]}
    bundle.start()
    assert bundle.cgroup().name == "rootlet-c1.scope"


def test_manager_that_has_gone_at_the_end(bundle):
    bundle.start()
    path = bundle.cgroup()
    bundle.env.update(DBUS_SESSION_BUS_ADDRESS="unix:path=/nowhere/bus", XDG_RUNTIME_DIR="/nowhere")
    r = bundle.delete()
    assert r.returncode == 0, r.stderr
    assert not path.exists()
    until(lambda: units() == [])


def test_limit_without_its_controller(bundle):
    """The bed on the host's kernel has none."""
    bundle.config["linux"]["resources"] = {"memory": {"limit": 64 << 20}}
    if (scopelib.CGROUPS / "user.slice" / "memory.max").exists():
        pytest.skip("this host hands memory down")
    rc, log = bundle.create()
    assert rc != 0
    assert "linux.resources.memory.limit" in log and "Delegate=cpu cpuset io memory pids" in log
    assert units() == []


def test_subgroup(bundle):
    bundle.config["annotations"] = {"run.oci.systemd.subgroup": "inner"}
    bundle.start()
    assert bundle.cgroup().parts[-2:] == ("rootlet-c1.scope", "inner")
    assert bundle.delete().returncode == 0


def test_missing_helper(bundle, tmp_path):
    alone = tmp_path / "alone"
    alone.mkdir()
    bundle.env["ROOTLET_LIBEXEC"] = str(alone)
    rc, log = bundle.create()
    assert rc != 0 and "rootlet-scope" in log and "cgroupfs" in log


def helpers():
    found = []
    for comm in pathlib.Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):
            if comm.read_text().strip() == "rootlet-scope":
                found.append(comm)
    return found


def test_helper_does_not_stay_with_a_container(bundle):
    bundle.start()
    assert helpers() == []


def test_helper_does_not_stay_with_run(bundle):
    (bundle.dir / "config.json").write_text(json.dumps(bundle.config))
    argv = [PROGRAM, "--root", bundle.root, "--systemd-cgroup", "run", "--bundle", bundle.dir,
            bundle.id]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as runtime:
        until(lambda: bundle.call("state", bundle.id).returncode == 0 and
              bundle.state()["status"] == "running")
        assert helpers() == []
        assert bundle.call("kill", bundle.id, "KILL").returncode == 0
        assert runtime.wait(60) == 137
    assert units() == []


def test_many_at_once(tmp_path):
    bundles = [Bundle(tmp_path, f"c1-{i}") for i in range(8)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(Bundle.start, bundles))
        assert len(units()) == 8
        assert all(r.returncode == 0 for r in pool.map(Bundle.delete, bundles))
    assert units() == []
