"""The clients of an OCI runtime: every test runs with rootlet-oci and, where that is asked for, with the
runtime that the client is used to (BASELINE of its file), so that no test wants what clients do not
get elsewhere either. The fixtures:

machine      a small host in namespaces (machine.py), one per file and runtime
runtime      path of the runtime
podman       podman on the machine
"""
import os
import shutil

import pytest

from lib import host
import machine as machine_

# Its tests are taken by two files.
pytest.register_assert_rewrite("podman_cases")


def runtimes():
    """ROOTLET_TEST_RUNTIMES="rootlet-oci baseline" compares, as .ci/run does."""
    return os.environ.get("ROOTLET_TEST_RUNTIMES", "rootlet-oci").split()


def pytest_generate_tests(metafunc):
    if "runtime_name" in metafunc.fixturenames:
        names = [getattr(metafunc.module, "BASELINE", "runc") if n == "baseline" else n
                 for n in runtimes()]
        metafunc.parametrize("runtime_name", names, scope="module")


def find_runtime(base, name):
    path = base / "bin" / name if name.startswith("rootlet") else \
        shutil.which(name, path=machine_.PATH)
    if not path or not os.path.exists(path):
        pytest.fail(f"{name} is not there", pytrace=False)
    return str(path)


@pytest.fixture(scope="module")
def runtime(rootlet_base, runtime_name):
    return find_runtime(rootlet_base, runtime_name)


@pytest.fixture
def ours(runtime_name):
    return runtime_name == "rootlet-oci"


@pytest.fixture(scope="module")
def need(request):
    """The programs that a file needs: tests/packages.txt brings them."""
    missing = machine_.programs_missing(*getattr(request.module, "NEEDS", ()))
    if missing:
        pytest.skip(f"not installed: {' '.join(missing)} (make check installs them)")
    if not host.is_root():
        pytest.skip("needs a suite that was started as root: namespaces with users of their own")


@pytest.fixture(scope="module")
def machine(request, need, runtime, rootlet_base, users):
    rootless = getattr(request.module, "ROOTLESS", False)
    m = machine_.Machine(rootlet_base, users[0] if rootless else None)
    yield m
    m.end()


@pytest.fixture(scope="module")
def podman_store(machine, runtime):
    import podman_client
    return podman_client.Podman(machine, runtime)


@pytest.fixture
def podman(podman_store, leak_audit):
    yield podman_store
    podman_store.clean()


@pytest.fixture(autouse=True)
def leak_audit(request, machine):
    """Fails the test that leaves anything on the machine."""
    for name in ("podman_store", "containerd", "dockerd"):
        if name in request.fixturenames:
            request.getfixturevalue(name)
    marker = request.node.get_closest_marker("leaves")
    # podman mounts its storage over itself while it runs, and now and then leaves that to the next;
    # where it keeps namespaces is mounted for good, and podman 5 keeps a directory for mounts in user
    # namespaces.
    stays = ("/storage/overlay tmpfs", "/run/netns tmpfs", "intermediate-mountpoint-", *(marker.args if marker else ()))
    taken = machine_.Audit(machine, stays)
    yield taken
    leaks = taken.leaks()
    if leaks:
        pytest.fail(taken.report(leaks), pytrace=False)
