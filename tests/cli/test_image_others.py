"""Additional stores: of another user, copied from with every digest verified; of one's own, mounted as they are.
Never written to (B36, images.md section 6)."""
import hashlib
import os
import stat

import pytest

from lib import rows, runner


def snapshot(root):
    """Everything in a store but times of access."""
    found = {}
    for parent, dirs, files in os.walk(root):
        for name in [*dirs, *files]:
            path = os.path.join(parent, name)
            st = os.lstat(path)
            data = b""
            if stat.S_ISREG(st.st_mode) and st.st_size < 1 << 16:
                with open(path, "rb") as f:
                    data = f.read()
            found[path] = (st.st_mode, st.st_uid, st.st_gid, st.st_size, st.st_mtime_ns, st.st_ino,
                           hashlib.sha256(data).hexdigest())
    return found


def share(root):
    """What an administrator does: all may read it."""
    parent = root
    while parent != "/" and not os.stat(parent).st_mode & 0o001:
        os.chmod(parent, os.stat(parent).st_mode | 0o011)
        parent = os.path.dirname(parent)
    for top, dirs, files in os.walk(root):
        for name in [*dirs, *files]:
            path = os.path.join(top, name)
            mode = os.lstat(path).st_mode
            if not stat.S_ISLNK(mode):
                os.chmod(path, stat.S_IMODE(mode) | (0o055 if stat.S_ISDIR(mode) else 0o044))
    os.chmod(root, 0o755)


LOOK = "ls -ln / | grep -v -e proc -e sys -e dev; cat /f"


def own(rootlet):
    """ids and what is staged in the own store"""
    return {sub: sorted(os.listdir(rootlet.store.root / sub)) for sub in ("layers", "images", "ingest", "refs")
            if os.path.isdir(rootlet.store.root / sub)}


@pytest.fixture
def shared(rootlet, other):
    """The environment of a user who has another's store, and that store."""
    name = other.image("layers")
    root = str(other.store.root)
    home = os.stat(other.user.home).st_mode
    seen = other.ok("run", "--rm", name, "sh", "-c", LOOK).out
    share(root)
    yield {"ROOTLET_ADDITIONAL_STORES": root}, root, name, seen
    os.chmod(other.user.home, stat.S_IMODE(home))


@rows("B36")
def test_of_another_user(rootlet, shared):
    env, root, name, seen = shared
    before = snapshot(root)
    assert rootlet.ok("images", "-q").out == ""
    line = rootlet.ok("images", env=env).out.splitlines()
    assert line[0].split()[-1] == "R/O" and line[1].split()[-1] == "true" and "localhost/layers" in line[1]
    assert rootlet.ok("images", "--format", "json", env=env).json()[0]["ReadOnly"] is True
    assert rootlet.ok("images", "-q", "--filter", "readonly=false", env=env).out == ""
    assert rootlet.ok("image", "inspect", name, env=env).json()[0]["RepoTags"] == [name]
    assert rootlet.ok("history", name, env=env).out
    there = rootlet("run", "--rm", name, "sh", "-c", LOOK, env=env)
    assert there.rc == 0 and "65534" not in there.out, there
    assert [line.split()[:4] for line in there.out.splitlines()] == [line.split()[:4] for line in seen.splitlines()]
    assert own(rootlet)["layers"] and own(rootlet)["ingest"] == []
    assert rootlet.ok("image", "check", env=env).out.count(": ok") == 1
    # Once copied, it is there without them, and a pruning takes the copy away.
    rootlet.ok("create", "--name", "c", name, "true", env=env)
    rootlet.ok("rm", "c", env=env)
    rootlet.ok("image", "prune", "-f", env=env)
    assert own(rootlet)["layers"] == own(rootlet)["images"] == []
    assert snapshot(root) == before


@rows("B36")
def test_it_is_never_written_to(rootlet, shared):
    env, root, name, _seen = shared
    before = snapshot(root)
    for command, status in ((("rmi", name), 125), (("rmi", "-f", name), 125), (("untag", name, name), 125)):
        r = rootlet(*command, rc=status, env=env)
        assert f"is in the read-only store {root}" in r.err, r
    rootlet.ok("rmi", "--all", "--force", env=env)
    rootlet.ok("image", "prune", "-af", env=env)
    rootlet.ok("tag", name, "mine:1", env=env)
    assert "localhost/mine" in rootlet.ok("images", env=env).out
    rootlet.ok("save", "-q", "-o", "/dev/null", "mine:1", env=env)
    assert rootlet.ok("run", "--rm", "mine:1", "cat", "/f", env=env).out
    rootlet.ok("rmi", "mine:1", env=env)
    rootlet.ok("system", "df", env=env)
    assert snapshot(root) == before


@rows("B36")
def test_a_load_takes_layers_from_there(rootlet, shared):
    """A changed layer of the other store is not taken, for its digest is another; then it comes from the archive."""
    env, root, name, _seen = shared
    rootlet.ok("load", "-q", "-i", rootlet.images.path("layers"), env=env)
    assert rootlet.ok("image", "check", env=env).out.count(": ok") == 1
    rootlet.ok("rmi", "-f", name, env=env)
    assert own(rootlet)["layers"] == []
    for parent, _dirs, files in os.walk(os.path.join(root, "layers")):
        if "f" in files and parent.endswith("/diff"):
            with open(os.path.join(parent, "f"), "r+", encoding="utf-8") as f:
                f.write("e")
    r = rootlet("run", "--rm", name, "cat", "/f", env=env)
    assert r.rc == 125 and "e" not in r.out and "damaged" in r.err, r
    r = rootlet.ok("load", "-q", "-i", rootlet.images.path("layers"), env=env)
    assert "e" not in rootlet.ok("run", "--rm", name, "cat", "/f", env=env).out


@rows("B36")
@pytest.mark.parametrize("part", ("", "layers", "images", "refs", ".."))
def test_one_that_others_can_change_is_not_used(rootlet, shared, part):
    env, root, name, _seen = shared
    path = os.path.normpath(os.path.join(root, part))
    mode = stat.S_IMODE(os.stat(path).st_mode)
    os.chmod(path, mode | 0o022)
    try:
        r = rootlet("run", "--rm", name, "true", env=env)
        assert r.rc == 125 and "can change" in r.err and "image not known" in r.err, r
        assert rootlet.ok("images", "-q", env=env).out == ""
    finally:
        os.chmod(path, mode)
    rootlet.ok("images", "-q", env=env)


@rows("B36")
def test_of_ones_own(rootlet):
    """On another disk, say: mounted as it is, nothing is copied."""
    second = runner.Rootlet(rootlet.user, runner.Store(rootlet.user), rootlet.images)
    try:
        name = second.image("layers")
        env = {"ROOTLET_ADDITIONAL_STORES": f"/nonexistent:{second.store.root}"}
        before = snapshot(second.store.root)
        r = rootlet.ok("run", "--name", "c", name, "cat", "/f", env=env)
        assert r.out and "/nonexistent" in r.err
        assert own(rootlet).get("layers", []) == []
        rootlet.ok("start", "-a", "c")
        rootlet.ok("load", "-q", "-i", rootlet.images.path("layers"), env=env)
        assert own(rootlet)["layers"] == [], "its layers are there"
        assert rootlet.ok("image", "check", env=env).out.count(": ok") == 1
        assert snapshot(second.store.root) == before
        bad = os.path.join(second.store.root, "images", sorted(os.listdir(second.store.root / "images"))[0])
        with open(bad, "w", encoding="utf-8") as f:
            f.write("{")
        rootlet.ok("images", env=env)
        rootlet.ok("rm", "c")
        rootlet.ok("rmi", "-f", name, env=env)
    finally:
        second.store.remove()
