"""Fixtures of the network's tests, beside those of tests/conftest.py:

world      a host and the world outside (world.py); one for all tests of a file
net        rootlet on that host, with the default network in place of none
"""
import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

# pylint: disable=wrong-import-position
import helperlab  # noqa: E402
import world as world_  # noqa: E402
from lib import host, runner  # noqa: E402


def tables(ns):
    """The rules of nftables in a namespace."""
    return ns.run("nft", "list", "ruleset") if shutil.which("nft") else ""


@pytest.fixture(scope="module")
def world():
    if not host.is_root():
        pytest.skip("needs a suite that was started as root: network namespaces of its own")
    w = world_.World()
    yield w
    w.end()


@pytest.fixture(scope="session")
def helper(rootlet_base, users):
    """The privileged helper beside the other programs, with a bridge for the first user. All this worker's own: its
    policy names its users, and the program has its path in it."""
    if not helperlab.BUILT.exists() or not host.is_root():
        return None
    place = rootlet_base / os.environ.get("PYTEST_XDIST_WORKER", "gw")
    (place / "bin").mkdir(parents=True)
    for program in (rootlet_base / "bin").iterdir():
        os.link(program, place / "bin" / program.name)
    made = helperlab.Helper(place, program=True)
    made.policy("bridge rlbr0 10.88.0.0/16 fd00:88::/64 masquerade",
                f"{users[0].name} rlbr0 8 10.88.16.0/28 tcp:1024-65535 udp:1024-65535", f"{users[1].name} rlbr0 8 auto")
    world_.NetRootlet.programs = place / "bin"
    return made


def end_managers(user):
    for pid, line in user.processes().items():
        if os.path.basename(line.split()[0]) == "rootlet-network":
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)


@pytest.fixture
def net(request, leak_audit, users, images, world, helper):
    store = runner.Store(users[0])
    request.node.rootlet_stores.append(store)
    r = world_.NetRootlet(users[0], store, images)
    r.world = world
    before = world.host.run("ip", "-o", "link"), tables(world.host)
    yield r
    removed = r.end()
    assert removed is None or removed.rc == 0, f"the test's containers stay:\n{removed}"
    for name in r("network", "ls", "-q").out.split() if (store.root / "networks").is_dir() else ():
        r("network", "rm", "-f", name)
    if not host.SANITIZERS:
        # They end by themselves, half a second later (test_it_ends_with_its_last_member); sanitizers look for leaks
        # at the end, which has to be their own.
        end_managers(r.user)
    after = world.host.run("ip", "-o", "link"), tables(world.host)
    assert after == before, "the host's interfaces or rules are not as before"


@pytest.fixture(autouse=True)
def foreign_rules():
    """The machine's own tables, of which none is ours to touch."""
    if not host.is_root() or not shutil.which("nft"):
        yield
        return
    def take():
        return subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=False).stdout
    before = take()
    yield
    assert take() == before
