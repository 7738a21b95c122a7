"""rootlet-oci's tests. A test takes:

oci        a runtime in each of the ways it is used (ocirun.MODES)
rootless   as an ordinary user only
rootful    as root of the host only, without cgroups
"""
import pytest

import ocirun


def make(mode, user, base):
    if not ocirun.can_run(mode):
        pytest.skip("needs a suite that was started as root")
    return ocirun.Oci(mode, user, base)


@pytest.fixture(params=ocirun.MODES)
def oci(request, rootlet_base, leak_audit, user):
    made = make(request.param, user, rootlet_base)
    yield made
    made.end()


@pytest.fixture
def rootless(rootlet_base, leak_audit, user):
    made = make("rootless", user, rootlet_base)
    yield made
    made.end()


@pytest.fixture
def rootful(rootlet_base, leak_audit, user):
    made = make("rootful", user, rootlet_base)
    yield made
    made.end()
