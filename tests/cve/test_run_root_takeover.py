"""/tmp/rootlet-UID, where there is no XDG_RUNTIME_DIR, is made first by somebody else: as a link
into a directory of the victim's, or as a directory that both can write to."""
import contextlib
import os
import pathlib

import pytest


@pytest.fixture
def place(rootlet, other, lab):
    if os.path.exists(f"/run/user/{rootlet.user.uid}"):
        pytest.skip("this user has a session directory")
    path = pathlib.Path(f"/tmp/rootlet-{rootlet.user.uid}")
    yield path
    for parent, dirs, files in os.walk(path, topdown=False):
        for name in files:
            os.unlink(os.path.join(parent, name))
        for name in dirs:
            os.rmdir(os.path.join(parent, name))
    with contextlib.suppress(OSError):
        path.unlink() if path.is_symlink() else path.rmdir()


BARE = {"XDG_RUNTIME_DIR": None, "ROOTLET_RUNROOT": None}


def test_link_to_a_private_directory(rootlet, other, lab, place):
    private = lab.dir("private", 0o700)
    image = rootlet.image()
    other.ok("-s", private, place, program="/bin/ln")
    r = rootlet("run", "--rm", image, "true", env=BARE)
    assert not os.listdir(private)
    # The kernel, where fs.protected_symlinks is set, says it in its own words.
    assert r.rc == 125 and str(place) in r.err
    assert "symbolic link" in r.err or "Permission denied" in r.err


@pytest.mark.parametrize("mode", ["777", "700"])
def test_directory_of_another(rootlet, other, place, mode):
    image = rootlet.image()
    other.ok("-m", mode, place, program="/bin/mkdir")
    r = rootlet("run", "--rm", image, "true", env=BARE)
    assert r.rc == 125 and str(place) in r.err


def test_own_directory_is_private(rootlet, place):
    rootlet.ok("run", "--rm", rootlet.image(), "true", env=BARE)
    assert place.stat().st_mode & 0o777 == 0o700
