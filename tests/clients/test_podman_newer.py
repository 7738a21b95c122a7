"""podman 5 of the next Debian, rootless, in the bed with systemd (tests/vm): all that podman 4 is asked for."""
# pylint: disable=wildcard-import,unused-wildcard-import
import pytest

from podman_cases import *  # noqa: F401,F403

BASELINE = "crun"
ROOTLESS = True
# The users and the machine are made by root.
pytestmark = [pytest.mark.systemd, pytest.mark.root]
