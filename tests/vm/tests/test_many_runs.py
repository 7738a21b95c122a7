"""Nothing adds up: ROOTLET_TEST_RUNS (100; the long test 1000) times run --rm (R9, A45)."""
import contextlib
import os
import pathlib
import time

import pytest
from scopelib import CGROUPS, run, systemctl, units

from lib import rows

pytestmark = pytest.mark.systemd
RUNS = int(os.environ.get("ROOTLET_TEST_RUNS", "100"))


def groups():
    return {str(p) for p in CGROUPS.glob("**/rootlet*") if p.is_dir() and not p.name.endswith(".slice")}


def descriptors(comm):
    """How many the user's processes of this name have open."""
    n = 0
    for pid in run("pgrep", "-u", str(os.getuid()), "-x", comm).stdout.split():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            n += len(list(pathlib.Path(f"/proc/{pid}/fd").iterdir()))
    return n


def processes():
    """Of our user; one may end while we look."""
    n = 0
    for p in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            n += p.stat().st_uid == os.getuid()
    return n


def counts(rootlet):
    mounts = {line.split()[4] for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()}
    store = {str(p.relative_to(rootlet.store.root)) for p in rootlet.store.root.rglob("*")
             if "layers" not in p.parts}
    run_root = {str(p) for p in rootlet.store.runroot.rglob("*") if not p.name.startswith("events")}
    return {"scopes": set(units()), "groups": groups(), "mounts": mounts, "processes": processes(),
            "store": store, "runroot": run_root, "shm": set(os.listdir("/dev/shm")),
            "tmp": {n for n in os.listdir("/tmp") if "rootlet" in n},
            "manager's descriptors": descriptors("systemd"), "bus": descriptors("dbus-daemon"),
            "failed": set(systemctl("--failed", "--plain", "--no-legend").stdout.splitlines())}


def more(before, after):
    """What there is now that was not there."""
    found = {k: after[k] - before[k] for k in before}
    return {k: v for k, v in found.items() if (v if isinstance(v, set) else v > 0)}


@rows("A45")
@pytest.mark.timeout(1200)
def test_nothing_stays_of_many_runs(rootlet):
    image = rootlet.image()
    for _ in range(3):  # what is made once
        rootlet.ok("run", "--rm", image, "true", cgroups=None)
    time.sleep(0.5)
    before = counts(rootlet)
    begin = time.monotonic()
    for i in range(RUNS):
        rootlet("run", "--rm", image, "sh", "-c", f"exit {i % 3}", rc=i % 3, cgroups=None)
    took = time.monotonic() - begin
    end = time.monotonic() + 10
    while more(before, counts(rootlet)) and time.monotonic() < end:
        time.sleep(0.2)
    print(f"{RUNS} runs in {took:.1f} s, {took / RUNS * 1000:.0f} ms each")
    assert more(before, counts(rootlet)) == {}
