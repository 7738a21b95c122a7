"""Layers that put something into a directory without an entry for it: whoever applies layers one after the other finds
the directory there, with the owner, mode, times and attributes of the layer below."""
import gzip
import io
import json
import os
import re
import shutil
import stat
import tarfile

import pytest

from imagelib import Layout, lab, need, store  # pylint: disable=unused-import
from lib import host, images as images_, rows
from test_image_umoci import describe


def layer(*entries, busybox=False):
    """Entries: (name, bytes | None for a directory, mode, uid, gid, xattrs)."""
    t = images_.busybox_layer() if busybox else images_.Tar()
    for number, (name, data, *more) in enumerate(entries):
        mode, uid, gid, xattrs = (more + [0o755 if data is None else 0o644, 0, 0, {}][len(more):])
        info = tarfile.TarInfo(name)
        info.mode, info.uid, info.gid, info.mtime = mode, uid, gid, 1000000000 + 1000 * number + len(name)
        info.pax_headers = {f"SCHILY.xattr.{k}": v for k, v in xattrs.items()}
        if data is None:
            info.type = tarfile.DIRTYPE
        else:
            info.size = len(data)
        t.tar.addfile(info, io.BytesIO(data or b""))
    t.tar.close()
    return t.buffer.getvalue()


def three_layers():
    base = layer(("./", None, 0o751), ("tmp", None, 0o1777), ("srv", None, 0o2770, 3, 4), ("srv/deep", None, 0o700, 5, 6, {"user.a": "b"}),
                 ("srv/deep/er", None, 0o711, 7, 8), ("gone", None, 0o700, 1, 1), ("gone/sub", None, 0o700, 2, 2), ("opq", None, 0o750, 9, 9),
                 ("opq/in", None, 0o700, 9, 9), ("late", None, 0o700, 1, 2), ("hid", None, 0o711, 5, 5), ("hid/x", b"x"),
                 ("mine", None, 0o700, 1, 1), ("twice", None, 0o1770, 2, 3), ("file", None, 0o700, 3, 3), busybox=True)
    second = layer(("tmp/x", b"x"), ("srv/deep/er/y", b"y"), (".wh.gone", b""), ("opq/.wh..wh..opq", b""), ("opq/in/f", b"f"),
                   ("late/f", b"f"), ("hid/.wh.x", b""), ("mine/f", b"f"), ("mine", None, 0o711, 4, 4), ("twice/a", b"a"),
                   (".wh.file", b""), ("new/dir/f", b"f"))
    third = layer(("tmp/z", b"z"), ("gone/sub/f", b"f"), ("late/g", b"g"), ("twice/b", b"b"), ("mine/g", b"g"), ("late/more/h", b"h"),
                  ("new/g", b"g"))
    return [base, second, third]


def plain_layers():
    return [layer(("etc", None), ("tmp", None, 0o1777), busybox=True), layer(("tmp", None, 0o1777), ("tmp/f", b"f"))]


@pytest.fixture(scope="module")
def archive(lab):
    return layout(lab, "three", three_layers())


def layout(lab, name, layers):
    path = lab.path(f"{name}.tar")
    made = Layout()
    made.add(made.image(layers, compress=gzip.compress, config={"Cmd": ["/bin/sh"], "Env": ["PATH=/bin"]}), f"{name}:1").archive(path)
    return lab.own(path) or path


WANT = {"/": "751 0:0", "/tmp": "1777 0:0", "/srv": "2770 3:4", "/srv/deep": "700 5:6", "/srv/deep/er": "711 7:8", "/late/more": "755 0:0",
        "/gone": "755 0:0", "/gone/sub": "755 0:0", "/opq": "750 9:9", "/opq/in": "755 0:0", "/late": "700 1:2", "/hid": "711 5:5",
        "/mine": "711 4:4", "/twice": "1770 2:3", "/new": "755 0:0", "/new/dir": "755 0:0"}
LOOK = ["stat", "-c", "%n %a %u:%g", *WANT]


def shown(text):
    return dict(line.split(" ", 1) for line in text.splitlines())


def row(store, name="three:1"):
    with open(f"{store.root}/images/{store.id(name).split(':')[-1]}.json", encoding="utf-8") as f:
        return json.load(f)


@rows("A26", "A29")
@pytest.mark.skipif(not host.is_root(), reason="looks into trees of subordinate ids")
def test_as_umoci(rootlet, lab):
    need("umoci", "unshare")
    path = lab.path("layout-dirs")
    made = Layout()
    made.add(made.image(three_layers(), compress=gzip.compress), "t").directory(path)
    lab.own(path)
    bundle = lab.path("bundle-dirs")
    rootlet.shell(f"unshare --map-root-user --map-auto umoci unpack --image {path}:t {bundle}")
    rootlet.ok("load", "-q", "-i", path)
    image = rootlet.ok("images", "-q").text.split("\n", 1)[0]
    rootlet.ok("create", "--name", "c", image, "/none", env={"ROOTLET_STORAGE_DRIVER": "copy"})
    ours = describe(rootlet.ok("inspect", "-f", "{{.Rootfs}}", "c").text)
    theirs = describe(f"{bundle}/rootfs")
    assert len(ours[0]) > 30
    assert sorted(ours[0].keys() ^ theirs[0].keys()) == []
    # Nobody told a time of what is made: we take that of the entry, they the present one, for the parent, too.
    for name in ("gone", "gone/sub", "new", "new/dir", "opq", "opq/in", "late", "late/more"):
        assert 1000000000 < ours[0][name].pop(3) < 1000100000 < theirs[0][name].pop(3), name
    assert {k: (v, theirs[0][k]) for k, v in ours[0].items() if v != theirs[0][k]} == {}
    shutil.rmtree(bundle)


@rows("A26", "A29")
@pytest.mark.parametrize("driver", ["overlay", "fuse-overlayfs", "copy"])
def test_in_containers(rootlet, archive, driver):
    if driver == "fuse-overlayfs":
        need("fuse-overlayfs")
        if os.stat("/dev/fuse").st_mode & 0o6 != 0o6:
            pytest.skip("/dev/fuse is for root only")
    env = {"ROOTLET_STORAGE_DRIVER": driver}
    rootlet.ok("load", "-q", "-i", archive, env=env)
    assert shown(rootlet.ok("run", "--rm", "three:1", *LOOK, env=env).text) == WANT
    # A file put into such a directory takes no more than itself into the commit.
    rootlet.ok("run", "--name", "c", "three:1", "sh", "-c", "echo 1 >/late/new", env=env)
    changes = rootlet.ok("diff", "c", env=env).text.splitlines()
    assert sorted(changes) == ["A /late/new", "C /late"], changes
    rootlet.ok("commit", "-q", "c", "more:1", env=env)
    assert shown(rootlet.ok("run", "--rm", "more:1", *LOOK, env=env).text) == WANT


@rows("A26")
@pytest.mark.parametrize("shift", ["auto", "copy"])
def test_keep_id(rootlet, archive, shift):
    rootlet.ok("load", "-q", "-i", archive)
    r = rootlet.ok("run", "--rm", "--userns", "keep-id:uid=5000,gid=5000", "-u", "0", "three:1", *LOOK, env={"ROOTLET_STORAGE_SHIFT": shift})
    assert shown(r.text) == WANT


@rows("A26", "A35")
def test_in_the_store(store, archive, lab):
    """One tree more, for all images of these layers; it leaves with them, and nothing that leaves the store has it."""
    store.load(archive)
    had = row(store)
    assert len(had["layers"]) == 3 and had["dirs"] not in had["layers"]
    assert len(store.layers()) == 4
    store.run("save", "-q", "--format", "oci-archive", "-o", lab.path("out.tar"), "three:1")
    with tarfile.open(lab.path("out.tar")) as t:
        digest = had["dirs"].split(":")[-1]
        assert len([n for n in t.getnames() if re.search("[0-9a-f]{64}", n)]) == 5
        assert digest not in "".join(t.getnames())
    store.run("rmi", "three:1")
    assert store.files() == []
    store.load(lab.path("out.tar"))
    assert row(store)["dirs"] == had["dirs"] and row(store)["layers"] == had["layers"]
    assert len(json.loads(store.out("image", "inspect", "three:1"))[0]["RootFS"]["Layers"]) == 3
    store.run("image", "prune", "-f")
    assert len(store.layers()) == 4


@rows("A26")
def test_ordinary_image_has_none(store, lab):
    store.load(layout(lab, "plain", plain_layers()))
    assert "dirs" not in row(store, "plain:1")
    assert len(store.layers()) == 2
    assert not [h for h in store.layers() if os.path.exists(f"{store.root}/layers/{h}/implied")]


@rows("A26", "A36")
@pytest.mark.skipif(not host.is_root(), reason="damages trees of subordinate ids")
@pytest.mark.parametrize("damage", ["mode", "missing", "list"])
def test_check(store, archive, damage):
    store.load(archive)
    had = row(store)
    tree = f"{store.root}/layers/{had['dirs'].split(':')[-1]}"
    assert store.run("image", "check").stdout.decode().rstrip().endswith(": ok")
    if damage == "mode":
        os.chmod(f"{tree}/diff/tmp", 0o755)
        said = '"tmp": mode 40755 instead of 41777'
    elif damage == "missing":
        shutil.rmtree(tree)
        said = "its tree of directories is missing"
    else:
        with open(f"{store.root}/layers/{had['layers'][1].split(':')[-1]}/implied", "r+b") as f:
            f.write(b"T")
        said = "the list of its directories without entries"
    r = store.run("image", "check", check=False)
    assert r.returncode == 1 and said in r.stdout.decode(), r.stdout
    if damage == "list":
        return
    r = store.run("image", "check", "--repair")
    assert "repaired, from its layers" in r.stdout.decode()
    assert stat.S_IMODE(os.stat(f"{tree}/diff/tmp").st_mode) == 0o1777
    store.run("image", "check")
    assert row(store) == had


@rows("A26")
def test_as_many_as_can_be_stacked(rootlet, lab):
    """Overlay stacks 500, of which two are ours: a full image has its directories right under each map, and one layer
    more is refused when the image comes."""
    base, above = layer(("tmp", None, 0o1777), busybox=True), layer(("tmp/x", b"x"))
    between = [layer((f"f{i}", b"f")) for i in range(496)]
    rootlet.ok("load", "-q", "-i", layout(lab, "full", [base, *between, above]))
    for userns in ([], ["--userns", "keep-id", "--user", "0"]):
        out = rootlet.ok("run", "--rm", *userns, "full:1", "sh", "-c", "stat -c '%n %a' /tmp; cat /f0 /f495 /tmp/x").text
        assert out == "/tmp 1777\nffx"
    rootlet.fails("load", "-q", "-i", layout(lab, "over", [base, *between, above, above]),
                  match=r"499 layers, at most 498 can be stacked\nhint: .*--squash-all")
    assert len(rootlet.ok("images", "-q", "-a").text.splitlines()) == 1
