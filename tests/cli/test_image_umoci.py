"""The same images unpacked by umoci, as the root of the same ids: the trees compare equal."""
import gzip
import hashlib
import os
import shutil
import stat
import subprocess

import pytest

from imagelib import Layout, lab, need  # pylint: disable=unused-import
from lib import host, images as images_, rows
from test_keep_id import odd_layers


def xattrs(path):
    """Of the image's own; each side has its marks for opaque directories."""
    found = {}
    for name in os.listxattr(path, follow_symlinks=False):
        if name.startswith(("user.", "security.capability", "system.posix_acl")) and "overlay" not in name \
                and not name.startswith("user.umoci"):
            found[name] = os.getxattr(path, name, follow_symlinks=False)
    return found


def describe(top):
    """{path: everything that counts}; hard links by their first name."""
    found, first = {}, {}
    for parent, dirs, files in os.walk(top):
        if parent == f"{top}/dev":  # devices cannot be made: umoci puts files there, we nothing
            continue
        for name in sorted(dirs) + sorted(files):
            path = os.path.join(parent, name)
            st = os.lstat(path)
            shown = os.path.relpath(path, top)
            kind = stat.S_IFMT(st.st_mode)
            what = [oct(st.st_mode), st.st_uid, st.st_gid, int(st.st_mtime), xattrs(path)]
            if kind == stat.S_IFREG:
                with open(path, "rb") as f:
                    what += [st.st_size, hashlib.sha256(f.read()).hexdigest()]
            elif kind == stat.S_IFLNK:
                what.append(os.readlink(path))
            if kind != stat.S_IFDIR and st.st_nlink > 1:
                first.setdefault((st.st_dev, st.st_ino), []).append(shown)
            found[shown] = what
    return found, sorted(sorted(names) for names in first.values())


def replacing_layers():
    """Types that change between layers, whiteouts of each, and a directory that comes back."""
    def layer(*entries):
        t = images_.Tar()
        for name, data in entries:
            if data is None:
                t.add_dir(name)
            elif isinstance(data, tuple):
                t.add_link(name, data[0])
            else:
                t.add_file(name, data, 0o640, 12, 13)
        t.tar.close()
        return t.buffer.getvalue()
    first = layer(("a", None), ("a/f", "1"), ("b", "file"), ("c", ("a",)), ("d", None), ("d/x", "1"), ("d/y", "1"),
                  ("e", None), ("e/deep", None), ("e/deep/er", "1"), ("g", "1"))
    second = layer(("a", "now a file"), ("b", None), ("b/f", "2"), ("c", "no link"), ("d", None), ("d/.wh.x", ""), ("d/z", "2"),
                   (".wh.e", ""), (".wh.g", ""))
    third = layer(("e", None), ("e/new", "3"), ("a", ("b/f",)), ("d", None), ("d/.wh..wh..opq", ""), ("d/last", "3"))
    return [first, second, third]


IMAGES = {"odd": odd_layers, "replacing": replacing_layers, "same twice": lambda: replacing_layers()[:1] * 2}


def make_layout(lab, images, name):
    if name in IMAGES:
        path = lab.path(f"layout-{name.replace(' ', '-')}")
        layout = Layout()
        layout.add(layout.image(IMAGES[name](), compress=gzip.compress), "t").directory(path)
        lab.own(path)
        return path
    path = lab.path(f"layout-{name}")
    subprocess.run(["skopeo", "--insecure-policy", "copy", "-q", f"oci-archive:{images.path(name)}" if name == "layers"
                    else f"docker-archive:{images.path(name)}", f"oci:{path}:t"], check=True)
    lab.own(path)
    return path


@rows("A26", "A29")
@pytest.mark.skipif(not host.is_root(), reason="looks into trees of subordinate ids")
@pytest.mark.parametrize("name", ["odd", "replacing", "same twice", "layers", "debian"])
def test_same_tree(rootlet, lab, images, name):
    need("umoci", "skopeo", "unshare")
    if name == "debian" and not os.environ.get("ROOTLET_TEST_LONG"):
        pytest.skip("umoci needs half a minute for it: ROOTLET_TEST_LONG=1")
    layout = make_layout(lab, images, name)
    bundle = lab.path(f"bundle-{name.replace(' ', '-')}")
    rootlet.shell(f"unshare --map-root-user --map-auto umoci unpack --image {layout}:t {bundle}")
    rootlet.ok("load", "-q", "-i", layout)
    image = rootlet.ok("images", "-q").text.split("\n", 1)[0]
    rootlet.ok("create", "--name", "c", image, "/none", env={"ROOTLET_STORAGE_DRIVER": "copy"})
    ours = describe(rootlet.ok("inspect", "-f", "{{.Rootfs}}", "c").text)
    theirs = describe(f"{bundle}/rootfs")
    assert len(ours[0]) > 3
    assert sorted(ours[0].keys() ^ theirs[0].keys()) == []
    assert {k: (v, theirs[0][k]) for k, v in ours[0].items() if v != theirs[0][k]} == {}
    assert ours[1] == theirs[1]
    shutil.rmtree(bundle)
