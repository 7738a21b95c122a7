"""system df beside images: the build cache and trees for other id maps; what it promises is what a prune frees."""
import os

import pytest

from imagelib import setting
from lib import host, rows
from lib.builder import fixture_build  # noqa: F401, pylint: disable=unused-import

pytestmark = rows("A32", "A62")
TEXT = ("FROM BASE AS one\nRUN dd if=/dev/zero of=/1 bs=1000 count=300 2>/dev/null\n"
        "FROM BASE\nRUN --mount=type=cache,target=/c dd if=/dev/zero of=/c/x bs=1000 count=50 2>/dev/null; echo -n 12345 >/2\n"
        "COPY --from=one /1 /one\n")


def kinds(rootlet):
    return {row["Type"]: row for row in rootlet.ok("system", "df", "--format", "json").json()}


def held(rootlet, *parts):
    """Bytes of the files' contents in the store, whoever may read them; blocks; each inode once."""
    seen, size, blocks = set(), 0, 0
    for part in parts:
        for where, dirs, files in os.walk(rootlet.store.root / part):
            for name in dirs + files:
                st = os.lstat(os.path.join(where, name))
                if st.st_ino in seen:
                    continue
                seen.add(st.st_ino)
                blocks += st.st_blocks * 512
                size += 0 if name in dirs or name in ("layer.json", "used", "split") else st.st_size
    return size, blocks


def freed(rootlet, before, *types):
    after = kinds(rootlet)
    return sum(before[t]["RawSize"] - after.get(t, {"RawSize": 0})["RawSize"] for t in types)


def test_build_cache(build, rootlet):
    """A step that only a build needs is cache; what the named image has of the same layers is not."""
    rootlet.image()
    image = kinds(rootlet)["Images"]["RawSize"]
    build(TEXT, "-t", "p")
    df = kinds(rootlet)
    assert (df["Images"]["Total"], df["Images"]["Active"]) == (2, 0), "steps are no images of anybody's"
    assert df["Images"]["RawSize"] == image + 300_005
    assert df["Build Cache"]["RawSize"] == df["Build Cache"]["RawReclaimable"] == 350_000
    assert (df["Build Cache"]["Total"], df["Build Cache"]["Active"]) == (2, 0)
    everything = rootlet.ok("system", "df", "-v", "--format", "json").json()[0]
    assert sorted((r["CacheType"], r["Size"], r["InUse"]) for r in everything["BuildCache"]) == [
        ("exec.cachemount", "50kB", False), ("regular", "300kB", False)]
    assert len(everything["Images"]) == 2
    assert "exec.cachemount" in rootlet.ok("system", "df", "-v").out

    disk = held(rootlet, "layers", "build/mounts")[0] if host.is_root() else 0
    rootlet.ok("builder", "prune", "-f")
    assert freed(rootlet, df, "Build Cache", "Images") == 350_000
    if host.is_root():
        assert 350_000 <= disk - held(rootlet, "layers", "build/mounts")[0] < 352_000
    assert kinds(rootlet)["Build Cache"]["RawSize"] == 0

    # A container of a step keeps that one.
    build(TEXT, "-t", "p")
    steps = [r["Id"] for r in rootlet.ok("images", "-a", "--format", "json").json() if not r.get("Names")]
    for i, step in enumerate(steps):
        rootlet.ok("create", "--name", f"c{i}", step)
    df = kinds(rootlet)["Build Cache"]
    assert (df["RawSize"], df["RawReclaimable"], df["Active"]) == (350_000, 50_000, 1)
    rootlet.ok("builder", "prune", "-f")
    df = kinds(rootlet)["Build Cache"]
    assert (df["RawSize"], df["RawReclaimable"], df["Active"]) == (300_000, 0, 1)


def test_many_cache_mounts_go_at_once(build, rootlet):
    """More than what was once the bound of one prune."""
    mounts = " ".join(f"--mount=type=cache,id=m{i},target=/c{i}" for i in range(70))
    build(f"FROM BASE\nRUN {mounts} for i in /c*; do echo -n 1 >$i/x; done\n")
    assert kinds(rootlet)["Build Cache"]["RawSize"] == 70
    rootlet.ok("builder", "prune", "-f")
    assert kinds(rootlet)["Build Cache"]["RawSize"] == 0


@pytest.mark.parametrize("how", ["metadata", "copy"])
def test_shifted_trees(rootlet, how):
    """Their blocks count, not the sizes of files without data; a container's tree stays, the others' go."""
    box = rootlet.image()
    with setting(rootlet, how):
        r = rootlet("create", "--name", "c", "--userns", "keep-id", box, "true")
        if "no data-only layers here" in r.err:
            pytest.skip(r.err)
        assert r.rc == 0, r.err
        rootlet.ok("run", "--rm", "--userns", "keep-id:uid=77", box, "true")
    rootlet.ok("create", "--name", "d", box, "true")
    df = kinds(rootlet)
    row = df["Shifted Trees"]
    assert (row["Total"], row["Active"]) == (2, 1)
    assert 0 < row["RawReclaimable"] < row["RawSize"]
    if host.is_root():
        trees = [str(p) for p in (rootlet.store.root / "layers").glob("*/*-*")]
        own = sum(os.lstat(p).st_blocks * 512 for p in trees)
        assert row["RawSize"] == own + held(rootlet, *trees)[1]
    shown = rootlet.ok("system", "df", "-v", "--format", "json").json()[0]["ShiftedTrees"]
    assert sorted((t["Kind"], t["InUse"]) for t in shown) == [(how, False), (how, True)]
    rootlet.ok("image", "prune", "-f")
    assert kinds(rootlet) == df, "what was wanted just now stays"
    rootlet.ok("image", "prune", "-af", "--filter", "label=nosuch")
    assert kinds(rootlet) == df, "a filter chooses images, and nothing else goes"

    rootlet.ok("image", "prune", "-af")
    assert freed(rootlet, df, "Shifted Trees") == row["RawReclaimable"]
    row = kinds(rootlet)["Shifted Trees"]
    assert (row["Total"], row["Active"], row["RawReclaimable"]) == (1, 1, 0)
    assert rootlet.ok("start", "-a", "c").rc == 0
    rootlet.ok("rm", "c")
    row = kinds(rootlet)["Shifted Trees"]
    assert "Total reclaimed space: 0B" not in rootlet.ok("system", "prune", "-af").out
    assert "Shifted Trees" not in kinds(rootlet)
    assert row["RawReclaimable"] == row["RawSize"] > 0
    rootlet.store.loaded.clear()


def test_trees_being_made_stay(rootlet):
    """image prune -a takes no tree that a container without a record yet is to have."""
    box = rootlet.image()
    rootlet.ok("create", "--name", "keeps-the-image", box)
    runs = [rootlet.spawn("-c", f"for i in 1 2 3 4 5 6; do rootlet run --rm --userns keep-id:uid={uid} {box} cat /etc/motd || exit; done",
                          program="/bin/sh") for uid in (71, 72)]
    while any(p.poll() is None for p in runs):
        rootlet.ok("image", "prune", "-af")
    told = [p.communicate(timeout=60) for p in runs]
    assert [p.returncode for p in runs] == [0, 0], told
    rootlet.ok("image", "prune", "-af")
    assert "Shifted Trees" not in kinds(rootlet)
    rootlet.ok("image", "check")
