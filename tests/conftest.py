"""Fixtures of all tests that run the commands. A test takes:

rootlet          runs commands as an unprivileged user on a fresh store (lib/runner.py):
                 rootlet.ok("run", "--rm", rootlet.image(), "id", "-u").text == "0"
module_rootlet   the same, with one store for all tests of a file
other            a second user with a store of their own
store            the store of `rootlet` (root, runroot)
images           archives made by other tools (lib/images.py)
user             whom `rootlet` runs as: uid, gid, subuid, subgid, home, runtime
"""
import atexit
import os
import pathlib
import signal
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "cli"))

# pylint: disable=wrong-import-position
from lib import audit, host, images as images_, runner  # noqa: E402


# Who runs in the background of a shell ignores it, and so would all programs that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def is_worker(config):
    return hasattr(config, "workerinput")


def pytest_configure(config):
    # tests/cve has the same hooks.
    if is_worker(config) or config.option.collectonly or hasattr(config, "rootlet_base"):
        return
    if not (host.BUILDDIR / "rootlet").exists():
        pytest.exit(f"{host.BUILDDIR}/rootlet is not built", 1)
    if host.is_root():
        pathlib.Path(host.LOCK).parent.mkdir(parents=True, exist_ok=True)
    host.open_devices()
    config.rootlet_base = host.make_base()
    # After pytest's own end: its temporary directories lie there too.
    atexit.register(host.remove_base, config.rootlet_base)
    os.environ["ROOTLET_TEST_BASE"] = str(config.rootlet_base)
    os.environ["PYTEST_DEBUG_TEMPROOT"] = str(config.rootlet_base)


def belongs_here(item):
    """Tests marked guest or systemd run in those beds only (tests/vm), and nothing else does there;
    there the tests marked root are a run of their own."""
    bed = os.environ.get("ROOTLET_TEST_BED")
    beds = [b for b in ("guest", "systemd") if item.get_closest_marker(b)]
    if not bed:
        return not beds
    return bed in beds and bool(item.get_closest_marker("root")) == host.is_root()


def pytest_collection_modifyitems(config, items):
    elsewhere = [item for item in items if not belongs_here(item)]
    if elsewhere:
        config.hook.pytest_deselected(items=elsewhere)
        items[:] = [item for item in items if item not in elsewhere]
    for item in items:
        if item.get_closest_marker("root") and not host.is_root():
            item.add_marker(pytest.mark.skip(reason="needs a suite that was started as root"))


@pytest.fixture(scope="session")
def rootlet_base():
    """The directory of the whole run, which every test user can enter."""
    return pathlib.Path(os.environ["ROOTLET_TEST_BASE"])


@pytest.fixture(scope="session")
def users(rootlet_base):
    """Two of them as root; else only who runs the suite."""
    made = [host.make_user(rootlet_base)]
    if host.is_root():
        made.append(host.make_user(rootlet_base))
    yield made
    for u in made:
        u.remove()


@pytest.fixture(scope="session")
def user(users):
    return users[0]


@pytest.fixture(scope="session")
def images(rootlet_base):
    return images_.Images(rootlet_base)


@pytest.fixture(scope="module")
def module_rootlet(users, images):
    store = runner.Store(users[0])
    r = runner.Rootlet(users[0], store, images)
    yield r
    r.end()
    store.remove()


@pytest.fixture(autouse=True)
def leak_audit(request, rootlet_base, users):
    """Fails the test that leaves anything behind, after its stores were emptied by rootlet rm."""
    taken = audit.Audit(rootlet_base, users)
    stores = request.node.rootlet_stores = []
    yield taken
    marker = request.node.get_closest_marker("leaves")
    leaks = taken.leaks(stores, marker.args if marker else ())
    report = taken.report(leaks)
    taken.clean(leaks)
    for store in stores:
        store.remove()
    if leaks:
        pytest.fail(report, pytrace=False)


def fresh(request, user, images):
    store = runner.Store(user)
    request.node.rootlet_stores.append(store)
    r = runner.Rootlet(user, store, images)
    yield r
    removed = r.end()
    assert removed is None or removed.rc == 0, f"the test's containers stay:\n{removed}"


@pytest.fixture
def rootlet(request, leak_audit, users, images):
    yield from fresh(request, users[0], images)


@pytest.fixture
def other(request, leak_audit, users, images):
    if len(users) < 2:
        pytest.skip("needs a suite that was started as root: a second user")
    yield from fresh(request, users[1], images)


@pytest.fixture
def store(rootlet):
    return rootlet.store
