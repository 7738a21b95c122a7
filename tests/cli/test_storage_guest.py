"""Storage on the kernels of the machines, which are older than those that rootlet is made on."""
import os
import tempfile

import pytest

from lib import rows


@pytest.mark.guest
@rows("A34")
def test_overlay(rootlet):
    """Linux before 6.13 takes no descriptors of layers, and says so in another way than before 6.5. On the
    disk, as tmpfs has no attributes of users before 6.6."""
    with tempfile.TemporaryDirectory(dir=os.path.expanduser("~")) as home:
        storage = rootlet.ok("info", "-f", "{{json .Storage}}", env={"ROOTLET_ROOT": home}).json()
    assert storage["Driver"] == "overlay", storage
