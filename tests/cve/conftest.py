"""The fixtures of tests/cli, which see; a test here is named after the class or the CVE that it
stands against, and fails when the attack succeeds."""
import importlib.util
import pathlib
import sys

import pytest

CLI = pathlib.Path(__file__).resolve().parent.parent / "cli"
sys.path.insert(0, str(CLI))

_spec = importlib.util.spec_from_file_location("cli_conftest", CLI / "conftest.py")
_suite = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_suite)
globals().update({k: v for k, v in vars(_suite).items() if not k.startswith("_")})

import hostile  # noqa: E402 (needs the path)


@pytest.fixture
def lab(rootlet, rootlet_base, user):
    """A directory of the test user, outside any store: canaries, sources of mounts, archives."""
    made = hostile.Lab(rootlet, user)
    yield made
    made.end()
