"""Test R9 of the crash rules: nothing adds up. ADDS_UP=33 in the environment does 33 times as much (10,000
execs and 1,000 runs: make check-crash). With systemd: tests/vm/tests/test_many_runs.py."""
import os
import pathlib
import re
import subprocess
import threading
import time

import pytest

from lib import audit, host, rows, runner

FACTOR = int(os.environ.get("ADDS_UP", "1"))
EXECS, RUNS = 300 * FACTOR, 30 * FACTOR


def anonymous_kib(pid):
    """Memory that is a process's own, whoever else runs the same program."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Anonymous:\s+(\d+)", text, re.M)[1])


def pss_kib(pid):
    return int(re.search(r"^Pss:\s+(\d+)", pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)[1])


def keys_of(user):
    """Those of the user's ids, rings of sessions among them."""
    found = set()
    for line in pathlib.Path("/proc/key-users").read_text().splitlines():
        uid, counts = line.split(":", 1)
        if user.owns(int(uid)):
            # One for each, as the kernel collects those of before in its own time: fewer is no finding.
            found.update(f"{uid.strip()}:{n}" for n in range(int(counts.split()[1].split("/")[0])))
    return found


def files(rootlet):
    """Of the store without what is in layers, of the run root without the journal of events."""
    top, run = rootlet.store.root, rootlet.store.runroot
    return ({str(p) for p in top.rglob("*") if "layers" not in p.parts}
            | {str(p) for p in run.rglob("*") if not p.name.startswith("events")})


def everything(rootlet, supervisor):
    pid = rootlet.user.processes()
    return {"processes": set(pid.items()), "files": files(rootlet),
            "mounts": audit.mounts_of([f"{rootlet.user.home}/", f"{rootlet.user.runtime}/"]),
            "descriptors": set(os.listdir(f"/proc/{supervisor}/fd")), "keys": keys_of(rootlet.user),
            "shm": audit.files_in("/dev/shm", [rootlet.user]), "tmp": audit.below(rootlet.user.tmp),
            "sockets": {line.split()[-1] for line in pathlib.Path("/proc/net/unix").read_text().splitlines()
                        if str(rootlet.user.runtime) in line}}


def crowd(rootlet, argv, total, width):
    """Runs a command so often, some at a time; what each has said when it failed."""
    env, wrong, left = rootlet.environment(), [], iter(range(total))
    lock = threading.Lock()

    def worker():
        while True:
            with lock:
                if next(left, None) is None:
                    return
            p = subprocess.run([rootlet.program, *argv], env=env, cwd=rootlet.user.home, stdin=subprocess.DEVNULL,
                               capture_output=True, check=False, **rootlet.user.popen_args())
            if p.returncode or p.stdout or p.stderr:
                wrong.append((p.returncode, p.stdout, p.stderr))
    threads = [threading.Thread(target=worker) for _ in range(width)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return wrong


def settled(rootlet, supervisor, before):
    """What is more than before, when all that was under way has ended."""
    def more():
        now = everything(rootlet, supervisor)
        return {k: v - before[k] for k, v in now.items() if v - before[k]}
    end = time.monotonic() + 5 * runner.PATIENCE
    while (found := more()) and time.monotonic() < end:
        time.sleep(0.05)
    return found


@rows("B10", "A47")
@pytest.mark.timeout(3600)
def test_execs_and_runs(rootlet):
    image = rootlet.image()
    rootlet.ok("run", "-d", "--name", "c", image, "sleep", "100000")
    supervisor = next(pid for pid, line in rootlet.user.processes().items() if "rootlet-supervise" in line)
    for argv in (("exec", "c", "true"), ("run", "--rm", image, "true")):
        assert not crowd(rootlet, argv, 10, 5)  # what is made once
    before, memory = everything(rootlet, supervisor), anonymous_kib(supervisor)
    assert not crowd(rootlet, ("exec", "c", "true"), EXECS, 4)
    assert not crowd(rootlet, ("exec", "-u", "app", "c", "true"), EXECS // 10, 4)
    assert not crowd(rootlet, ("run", "--rm", image, "true"), RUNS, 10)
    assert settled(rootlet, supervisor, before) == {}
    if not host.SANITIZERS:
        assert anonymous_kib(supervisor) <= memory
    assert rootlet.inspect("c")["State"]["Status"] == "running"


@rows("B10")
@pytest.mark.root
@pytest.mark.skipif(host.SANITIZERS, reason="shadow memory is much more")
def test_thirty_idle_supervisors(rootlet):
    """Less than 0.3 MiB each."""
    image = rootlet.image()
    assert len(crowd(rootlet, ("run", "-d", image, "sleep", "100000"), 30, 5)) == 30  # their ids
    pids = [pid for pid, line in rootlet.user.processes().items() if "rootlet-supervise" in line]
    assert len(pids) == 30
    total = sum(map(pss_kib, pids))
    print(f"{total / 30:.0f} KiB each")
    assert total / 30 <= 0.3 * 1024
