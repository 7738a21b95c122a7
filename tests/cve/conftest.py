"""A test here is named after the class or the CVE that it stands against, and fails when the attack
succeeds. The fixtures are those of tests/conftest.py, and:"""
import pytest

import hostile_trees as hostile
import runtimes


@pytest.fixture
def lab(rootlet, rootlet_base, user):
    """A directory of the test user, outside any store: canaries, sources of mounts, archives."""
    made = hostile.Lab(rootlet, user)
    yield made
    made.end()


@pytest.fixture(params=runtimes.names())
def runtime(request, rootlet_base, leak_audit, tmp_path_factory):
    """An OCI runtime with a program, a state directory and bundles of its own."""
    made = runtimes.Runtime(request.param, tmp_path_factory.mktemp("oci"))
    yield made
    made.end()
