"""What needs the controllers of memory, cpu and pids, in a machine that has them all: the tests of
test_oci_ps_update_events.py that can only look at refusals elsewhere."""
import pytest

import cgrouplib as cg
# pylint: disable=unused-import
from test_oci_ps_update_events import (  # noqa: F401
    grouped, test_events_tell_of_want_of_memory, test_pause_and_resume, test_stats, test_update_by_a_file,
    test_update_by_options)

pytestmark = [pytest.mark.guest, pytest.mark.root]


def test_the_machine_has_them():
    """Else the others would skip or see refusals."""
    assert {"memory", "cpu", "pids", "cpuset"} <= set(cg.controllers())
