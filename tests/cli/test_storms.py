"""Test R14 of the crash rules: a container that makes as many processes as it may, execs that come in storms,
and several commands that end it at the same time. It goes at once, and nothing of it stays."""
import threading
import time

import pytest

from lib import bomb, rows, runner

pytestmark = [pytest.mark.root] # the limit of processes is one per user: of a user of the test's own
SECONDS = 5


class Storm:
    """Commands at the same time, each by a thread; their results."""

    def __init__(self, rootlet, cgroups):
        self.rootlet, self.cgroups, self.threads, self.results = rootlet, cgroups, [], []

    def add(self, *args):
        def work():
            self.results.append(self.rootlet(*args, cgroups=self.cgroups, timeout=60))
        self.threads.append(threading.Thread(target=work))

    def run(self):
        for t in self.threads:
            t.start()
        for t in self.threads:
            t.join()
        return self.results


def gone(rootlet, begin):
    assert time.monotonic() - begin < SECONDS * runner.PATIENCE + 3, "this machine may be busy, but not for so long"
    left = {p: c for p, c in rootlet.user.processes().items() if "rootlet" not in c}
    rootlet.wait_for(lambda: not {p for p in left if p in rootlet.user.processes()}, 5, f"the end of {left}")


def check_bomb(rootlet, cgroups, *options):
    bomb.run(rootlet, cgroups, 120, *options)
    begin = time.monotonic()
    rootlet.ok("rm", "-f", "-t", "0", "c", cgroups=cgroups)
    gone(rootlet, begin)

    # Execs and those that end it, all at once.
    bomb.run(rootlet, cgroups, 120, *options)
    storm = Storm(rootlet, cgroups)
    for _ in range(8):
        storm.add("exec", "c", "true")
    storm.add("exec", "c", "sh", "-c", bomb.SCRIPT)
    storm.add("stop", "-t", "1", "c")
    storm.add("kill", "c")
    storm.add("rm", "-f", "-t", "0", "c")
    storm.add("ps", "-a")
    begin = time.monotonic()
    for r in storm.run():
        assert r.rc in (0, 1, 2, 125, 126, 127, 137, 143), r
        assert "rm" not in r.argv or r.rc == 0, r
    assert rootlet.ok("ps", "-aq", cgroups=cgroups).out == ""
    gone(rootlet, begin)


@rows("B42", "B43")
@pytest.mark.parametrize("options", [[], ["--init"], ["--pid", "host"]], ids=["pid namespace", "init", "host"])
def test_fork_bomb_without_a_cgroup(rootlet, options):
    check_bomb(rootlet, "disabled", *options)


@rows("B42", "B43")
@pytest.mark.parametrize("options", [[], ["--pid", "host"]], ids=["pid namespace", "host"])
def test_exec_bomb_without_a_cgroup(rootlet, options):
    """What an exec has started goes with the container."""
    rootlet.ok("run", "-d", "--name", "c", *options, rootlet.image(), "sleep", "1000")
    for _ in range(3):
        rootlet.ok("exec", "-d", "c", "sh", "-c", "setsid sleep 1001 & setsid sleep 1002 & sleep 1003")
    rootlet.wait_for(lambda: sum(c.startswith("sleep 100") for c in rootlet.user.processes().values()) == 10)
    begin = time.monotonic()
    rootlet.ok("rm", "-f", "-t", "0", "c")
    gone(rootlet, begin)
