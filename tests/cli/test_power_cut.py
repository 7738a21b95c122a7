"""What a power cut leaves of records that were just written: files without content (R3). The real
cuts are in tests/vm/power-cuts; these are the states that they made."""
import os

import pytest


def empty(rootlet, *parts):
    path = rootlet.store.root.joinpath(*parts)
    assert path.exists()
    os.truncate(path, 0)


@pytest.mark.parametrize("names", [("config.json",), ("container.json",), ("state.json",),
                                   ("config.json", "container.json", "state.json")])
def test_records_of_a_container(rootlet, names):
    """It is shown as dead with a reason, its name is known, and it can be removed; then the name is
    free."""
    image = rootlet.image()
    cid = rootlet.ok("create", "--name", "lost", image, "true").text
    for name in names:
        empty(rootlet, "containers", cid, name)
    r = rootlet.ok("ps", "-a", "--format", "{{.Names}} {{.State}}")
    assert r.text == "lost dead"
    state = rootlet.ok("inspect", "lost").json()[0]["State"]
    assert state["Status"] == "dead" and state["Dead"] and state["Error"], state
    r = rootlet("start", "lost")
    assert r.rc == 125 and "lost" in r.err
    assert rootlet.ok("run", "--rm", image, "echo", "others do").text == "others do"
    rootlet.ok("rm", "lost")
    assert rootlet.ok("run", "--rm", "--name", "lost", image, "echo", "new").text == "new"


def test_record_of_a_volume(rootlet):
    """The data is there, is listed and used, and not overwritten from the image."""
    image = rootlet.image()
    rootlet.ok("run", "--rm", "-v", "data:/etc", image, "sh", "-c", "echo mine >/etc/motd")
    empty(rootlet, "volumes", "data", "volume.json")
    assert rootlet.ok("volume", "ls", "-q").text == "data"
    assert rootlet.ok("volume", "inspect", "-f", "{{.Name}}", "data").text == "data"
    assert rootlet.ok("run", "--rm", "-v", "data:/etc", image, "cat", "/etc/motd").text == "mine"
    rootlet.ok("volume", "rm", "data")


def test_record_of_the_ids(rootlet, images):
    """Before the first image was complete: the next one can be loaded."""
    archive = str(images.path("busybox"))
    rootlet.ok("load", "-i", archive)
    rootlet.ok("rmi", "--all")
    empty(rootlet, "idmap.json")
    rootlet.ok("load", "-i", archive)
    rootlet.ok("image", "check")


def test_temporary_files_of_references(rootlet):
    image = rootlet.image()
    rootlet.ok("tag", image, "localhost/second:tag")
    left = rootlet.store.root / "refs" / "localhost+second" / ".tmp-0123456789abcdef"
    assert left.parent.is_dir()
    left.write_text("")
    os.chown(left, rootlet.store.user.uid, rootlet.store.user.gid)
    rootlet.ok("rmi", "localhost/second:tag")
    assert not left.parent.exists()
