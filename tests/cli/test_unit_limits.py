"""Limits of a container that is a unit: in the unit's own group, whose controllers come with Delegate=yes."""
import pathlib

import pytest

from lib import units as units_
from test_unit_systemd import SERVE

pytestmark = pytest.mark.guest


@pytest.fixture
def units(rootlet):
    u = units_.Units(rootlet)
    yield u
    u.end()


def test_limits_in_a_unit(units, rootlet):
    """They are files below the unit, and a kill for want of memory is the container's, not the unit's."""
    name = units.service("-m", "48m", "--pids-limit", "30", command=SERVE)
    units.start(name)
    group = rootlet.inspect(name)["State"]["CgroupPath"]
    assert f"/{name}.service/" in group
    files = pathlib.Path("/sys/fs/cgroup" + group)
    assert (files / "memory.max").read_text() == f"{48 << 20}\n" and (files / "pids.max").read_text() == "30\n"
    units.ctl("stop", name)
    assert units.show(name, "Result") == ["success"]
    name = units.service("-m", "32m", command=("tail", "/dev/zero"), kind="exec")
    units.start(name, check=False)
    units.wait(name, timeout=120, ActiveState="failed", ExecMainCode="2", ExecMainStatus="9")
    assert rootlet.ok("ps", "-aq").out == ""
