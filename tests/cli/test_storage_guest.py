"""Storage on the kernels of the machines, which are older than those that rootlet is made on."""
import pytest

from lib import rows


@pytest.mark.guest
@rows("A34")
def test_overlay(rootlet):
    """Linux before 6.13 takes no descriptors of layers, and says so in another way than before 6.5."""
    storage = rootlet.ok("info", "-f", "{{json .Storage}}").json()
    assert storage["Driver"] == "overlay", storage
    assert "overlay / overlay" in rootlet.ok("run", "--rm", rootlet.image(), "sed", "s/^[^ ]*/overlay/",
                                             "/proc/mounts").out
