"""A test here is named after the class or the CVE that it stands against, and fails when the attack
succeeds. The fixtures are those of tests/conftest.py, and:"""
import pytest

import hostile


@pytest.fixture
def lab(rootlet, rootlet_base, user):
    """A directory of the test user, outside any store: canaries, sources of mounts, archives."""
    made = hostile.Lab(rootlet, user)
    yield made
    made.end()
