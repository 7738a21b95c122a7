"""Layers that attack, and layers that are merely odd (security.md 1.3; rows A2, A27, A35).

Every case is a tar of raw bytes, unpacked by tests/tools/layer-tool as an unprivileged user. A
canary beside the layer must stay as it is, a refusal must name the entry, leave nothing behind and
come fast; an accepted layer must rebuild bit for bit.
"""
import gzip
import hashlib
import io
import os
import pathlib
import random
import re
import shutil
import stat
import struct
import subprocess
import tarfile
import threading
import time

import pytest

from lib import host

END = bytes(1024)
SLOW = 5 if host.SANITIZERS else 1
pytestmark = pytest.mark.rows("A2")


def find_tool():
    tool = host.BUILDDIR / "tests/tools/layer-tool"
    if not tool.exists():
        pytest.skip("layer-tool is not built (make check builds it)")
    return tool


# --- tars from raw bytes ---------------------------------------------------------------------

def pax(records):
    body = b""
    for key, value in records.items():
        rest = b" " + key.encode() + b"=" + value + b"\n"
        n = len(rest) + 1
        while len(str(n)) + len(rest) != n:
            n = len(str(n)) + len(rest)
        body += str(n).encode() + rest
    info = tarfile.TarInfo("PaxHeaders/x")
    info.type, info.size = b"x", len(body)
    return info.tobuf(tarfile.USTAR_FORMAT) + pad(body)


def pad(data):
    return data + bytes(-len(data) % 512)


def member(name, data=b"", type=tarfile.REGTYPE, link="", records=None, size=None, **attr):
    """One member; names are bytes or text, as they are."""
    info = tarfile.TarInfo(name if isinstance(name, str) else name.decode("utf-8", "surrogateescape"))
    info.type, info.linkname, info.mode = type, link, 0o644
    info.size = len(data) if size is None else size
    for key, value in attr.items():
        setattr(info, key, value)
    head = info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
    return (pax(records) if records else b"") + head + pad(data)


def directory(name, **attr):
    return member(name, type=tarfile.DIRTYPE, mode=attr.pop("mode", 0o755), **attr)


def symlink(name, target, **attr):
    return member(name, type=tarfile.SYMTYPE, link=target, **attr)


def hardlink(name, target, **attr):
    return member(name, type=tarfile.LNKTYPE, link=target, **attr)


def chardev(name, major, minor):
    return member(name, type=tarfile.CHRTYPE, devmajor=major, devminor=minor)


def xattr(name, value):
    return {"SCHILY.xattr." + name: value}


def sha(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


# --- the machine -----------------------------------------------------------------------------

class Layers:
    def __init__(self, home, user):
        self.home, self.user, self.n = home, user, 0
        home.mkdir()
        self.own(home)
        self.tool = home / "layer-tool"
        shutil.copy(find_tool(), self.tool)
        self.canary = home / "canary"
        (self.canary / "dir").mkdir(parents=True)
        (self.canary / "file").write_text("unchanged\n")
        (self.canary / "file").chmod(0o600)
        for path in (self.tool, self.canary, self.canary / "dir", self.canary / "file"):
            self.own(path)
        self.before = self.canary_state()

    def own(self, path):
        if self.user.made:
            os.chown(path, self.user.uid, self.user.gid)

    def canary_state(self):
        state = []
        for path in sorted(self.canary.rglob("*")) + [self.canary]:
            st = path.lstat()
            state.append((str(path), st.st_mode, st.st_uid, st.st_gid, st.st_mtime_ns, st.st_ctime_ns,
                          st.st_nlink, st.st_size, path.read_bytes() if path.is_file() else b""))
        return state

    def run(self, *args):
        started = time.monotonic()
        done = subprocess.run([str(self.tool)] + [str(a) for a in args], capture_output=True,
                              text=True, errors="surrogateescape", cwd=self.home, timeout=90,
                              env=self.user.environment(), check=False, **self.user.popen_args())
        done.seconds = (time.monotonic() - started) / SLOW
        return done

    def unpack(self, data, *options):
        """Returns the process and the layer's directory."""
        self.n += 1
        tar, where = self.home / f"{self.n}.tar", self.home / f"layer{self.n}"
        tar.write_bytes(data)
        where.mkdir()
        self.own(tar)
        self.own(where)
        done = self.run("unpack", tar, where, *options)
        tar.unlink()
        assert self.canary_state() == self.before
        return done, where

    def refuse(self, data, *words, options=(), seconds=2):
        done, where = self.unpack(data, *options)
        assert done.returncode == 1, done.stdout
        for word in words:
            assert word in done.stderr
        assert done.seconds < seconds
        assert "SIG" not in done.stderr, "the worker crashed"
        assert list(where.iterdir()) == []
        return done.stderr

    def accept(self, data, *options, plain=None):
        """Unpacks, rebuilds and compares; returns the result and diff/."""
        done, where = self.unpack(data, *options)
        assert done.returncode == 0, done.stderr
        result = dict(line.split("=", 1) for line in done.stdout.splitlines()
                      if not line.startswith("note="))
        result["notes"] = "\n".join(re.findall("^note=(.*)$", done.stdout, re.M))
        plain = data if plain is None else plain
        assert result["diffid"] == sha(plain)
        assert result["blob"] == sha(data)
        if "noheaders" not in options:
            again = self.home / "again.tar"
            done = self.run("rebuild", where, again, result["diffid"])
            assert done.returncode == 0, done.stderr
            assert again.read_bytes() == plain
            again.unlink()
        return result, where / "diff"


@pytest.fixture(autouse=True)
def leak_audit():
    """In place of the audit of the whole host: every case here looks after its own directories, and
    the processes are looked for once, at the end."""
    yield


@pytest.fixture(scope="module")
def layers(users):
    made = Layers(users[0].home / "layers", users[0])
    yield made
    if made.user.made:
        left = [line for line in made.user.processes().values() if "layer-tool" in line]
        assert not left
    for path in made.home.glob("layer[0-9]*"):
        made.run("remove", path)
    shutil.rmtree(made.home, ignore_errors=True)


def getxattr(path, name):
    return os.getxattr(path, name, follow_symlinks=False)


def is_whiteout(path):
    st = path.lstat()
    return stat.S_ISCHR(st.st_mode) and st.st_rdev == 0


# --- names -----------------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["../canary/file", "a/../../canary/file", "a/..", ".."])
def test_dotdot(layers, name):
    layers.refuse(member(name, b"x") + END, "..", f'entry "{name}"')


def test_layer_number_is_named(layers):
    layers.refuse(member("../x", b"x") + END, 'layer 7 entry "../x"', options=["number=7"])


def test_absolute(layers):
    name = str(layers.canary / "file")
    layers.refuse(member(name, b"x") + END, name, "absolute path")


def test_pax_path(layers):
    data = member("innocent", b"x", records={"path": b"../../canary/file"}) + END
    layers.refuse(data, "../../canary/file", "..")


def test_gnu_long_name(layers):
    name = "a/" * 60 + "../" * 80 + "canary/file"
    layers.refuse(member(name, b"x") + END, "..")


def test_lenient_clamps(layers):
    _, diff = layers.accept(member("/abs", b"1") + member("../../up", b"2") + END, "lenient")
    assert (diff / "abs").read_bytes() == b"1" and (diff / "up").read_bytes() == b"2"


def test_root_spellings(layers):
    _, diff = layers.accept(directory("/", mode=0o750) + directory("./", mode=0o711)
                            + member("./a//./b", b"x") + END)
    assert stat.S_IMODE(diff.stat().st_mode) == 0o711
    assert (diff / "a/b").read_bytes() == b"x"


def test_big_name(layers):
    layers.refuse(member("n" * 256, b"x") + END, "longer than 255")


def test_long_path(layers):
    layers.refuse(member("d/" * 2100 + "f", b"x") + END, "longer than 4095")


def test_deep_path(layers):
    _, diff = layers.accept(member("d/" * 2000 + "f", b"x") + END)
    layers.run("remove", diff.parent)
    assert not diff.parent.exists()


def test_control_characters(layers):
    err = layers.refuse(member("a/../\x1b[31mred\n", b"x") + END)
    assert "\x1b" not in err


@pytest.mark.parametrize("raw", [b"caf\xe9", b"\xff\xfe", "grün/日本".encode()])
def test_odd_bytes_in_names(layers, raw):
    _, diff = layers.accept(member(raw, b"x") + END)
    assert (os.fsencode(diff) + b"/" + raw) and open(os.fsencode(diff) + b"/" + raw, "rb").read() == b"x"


def test_pax_path_not_utf8(layers):
    _, diff = layers.accept(member("x", b"y", records={"path": b"caf\xe9"}) + END)
    assert open(os.fsencode(diff) + b"/caf\xe9", "rb").read() == b"y"


@pytest.mark.parametrize("kind", [
    symlink(".", "/etc"), member(".", b"x"), hardlink("./", "a"), symlink("./", "../canary"),
], ids=["symlink", "file", "hardlink", "symlink-up"])
def test_root_is_no_directory(layers, kind):
    """CVE-2021-29136: an entry that is the root itself."""
    layers.refuse(member("a", b"x") + kind + END, 'entry "')


# --- links -----------------------------------------------------------------------------------

def test_symlink_to_directory_outside(layers):
    """CVE-2014-9357: a link of the layer is a way inside it."""
    data = symlink("l", str(layers.canary)) + member("l/file", b"evil") + member("l/dir/x", b"e") + END
    _, diff = layers.accept(data)
    inside = diff / str(layers.canary).lstrip("/")
    assert (inside / "file").read_bytes() == b"evil"


@pytest.mark.parametrize("target", ["..", "../canary", "../../../../../../..", "/", "a/../..", "."])
def test_symlink_parents_stay_inside(layers, target):
    _, diff = layers.accept(symlink("l", target) + member("l/canary/file", b"evil") + END)
    found = [p for p in diff.rglob("file")]
    assert len(found) == 1 and found[0].read_bytes() == b"evil"


def test_symlink_chain_and_loop(layers):
    chain = b"".join(symlink(f"l{i}", f"l{i + 1}") for i in range(39)) + directory("l39")
    _, diff = layers.accept(chain + member("l0/f", b"x") + END)
    assert (diff / "l39/f").read_bytes() == b"x"
    layers.refuse(symlink("a", "b") + symlink("b", "a") + member("a/f", b"x") + END, 'entry "a/f"')


def test_symlink_cost(layers):
    """Long targets that refer to themselves must not take quadratic time."""
    data = symlink("l", "d/../" * 700 + "d") + directory("d")
    data += b"".join(member(f"l/f{i}", b"") + member(f"d/g{i}", b"") for i in range(300))
    done, _ = layers.unpack(data + END)
    assert done.returncode == 0 and done.seconds < 5 * SLOW


def test_symlink_replaced_between_entries(layers):
    """CVE-2025-47290: a parent that was looked up must not be used once its link is another one."""
    data = (directory("a") + symlink("a/l", ".") + member("a/l/x", b"1") + directory("a/l/l")
            + member("a/l/y", b"2") + END)
    _, diff = layers.accept(data)
    assert (diff / "a/x").read_bytes() == b"1" and (diff / "a/l/y").read_bytes() == b"2"


def test_way_through_links_is_looked_up_anew(layers):
    """A link that is made in a directory can be on the way to it."""
    made = directory("a") + directory("a/b") + symlink("l", "x/..") + symlink("l/x", "a/b")
    for more in (b"", hardlink("l/y", "x")):
        _, diff = layers.accept(made + more + member("l/f", b"f") + END)
        assert (diff / "x").readlink() == pathlib.Path("a/b") and (diff / "a/f").read_bytes() == b"f"
    _, diff = layers.accept(directory("a") + directory("a/b") + symlink("l", "x/..") + symlink("y", "a/b") + hardlink("l/x", "y")
                            + member("l/f", b"f") + END)
    assert (diff / "a/f").read_bytes() == b"f"


def test_written_through_file_symlink(layers):
    """The last part of a name is never followed (CVE-2021-32760: nor is it for its mode)."""
    data = symlink("l", str(layers.canary / "file")) + member("l", b"evil") + END
    _, diff = layers.accept(data)
    assert not (diff / "l").is_symlink() and (diff / "l").read_bytes() == b"evil"


@pytest.mark.parametrize("target,word", [
    ("{canary}/file", "absolute"), ("../canary/file", '".."'), ("d/../../canary/file", '".."'),
    ("s/file", "symbolic link"), ("s2/x", "symbolic link"), ("d/x/y", "or file"), ("missing", "not in this layer"),
    ("d", "not a file"), ("d/none/x", "not in this layer"), (".", "root"), ("gone", "not a file"),
])
def test_hardlink_targets(layers, target, word):
    target = target.format(canary=layers.canary)
    data = (directory("d") + member("d/x", b"x") + symlink("s", str(layers.canary)) + symlink("s2", "d")
            + member(".wh.gone") + hardlink("h", target) + END)
    layers.refuse(data, 'entry "h"', word)


def test_hardlink_to_symlink_is_not_followed(layers):
    data = symlink("s", str(layers.canary / "file")) + hardlink("h", "s") + END
    _, diff = layers.accept(data)
    assert (diff / "h").is_symlink() and (diff / "h").lstat().st_nlink == 2


@pytest.mark.rows("A35")
def test_hardlinks(layers):
    """A35: links within a layer share one inode, whatever comes in between."""
    data = (member("a", b"1") + hardlink("b", "./a") + hardlink("d/c", "a") + hardlink("a", "a")
            + member("b", b"2") + hardlink("e", "b") + END)
    _, diff = layers.accept(data)
    assert (diff / "a").stat().st_ino == (diff / "d/c").stat().st_ino
    assert (diff / "d/c").read_bytes() == b"1"
    assert (diff / "b").stat().st_ino == (diff / "e").stat().st_ino
    assert (diff / "e").read_bytes() == b"2"


def test_hardlink_with_content(layers):
    """Not valid: a link has no content, so it is read as the next header."""
    layers.refuse(member("a", b"1" * 600) + member("b", b"2" * 600, type=tarfile.LNKTYPE, link="a")
                  + member("c", b"3") + END, "damaged")


# --- the last entry wins ---------------------------------------------------------------------

def test_same_path_twice(layers):
    data = member("f", b"1" * 5000) + member("g", b"g") + member("f", b"2" * 3000) + member("f", b"3") + END
    _, diff = layers.accept(data)
    assert (diff / "f").read_bytes() == b"3"
    layers.accept(data, "noheaders")


def test_types_replace_each_other(layers):
    kinds = {
        "file": lambda n: member(n, b"content of " + n.encode()),
        "dir": lambda n: directory(n) + member(n + "/in", b"inside " + n.encode()),
        "link": lambda n: symlink(n, "nowhere"),
        "fifo": lambda n: member(n, type=tarfile.FIFOTYPE),
        "hard": lambda n: hardlink(n, "base"),
        "whiteout": lambda n: chardev(n, 0, 0),
    }
    data, want = member("base", b"base"), {}
    for a, first in kinds.items():
        for b, second in kinds.items():
            name = f"{a}-{b}"
            data += first(name) + second(name)
            want[name] = a if b == "whiteout" else b  # a whiteout hides lower layers only
    _, diff = layers.accept(data + END)
    for name, kind in want.items():
        st = (diff / name).lstat()
        check = {"file": stat.S_ISREG, "dir": stat.S_ISDIR, "link": stat.S_ISLNK, "fifo": stat.S_ISFIFO,
                 "hard": stat.S_ISREG, "whiteout": stat.S_ISCHR}[kind]
        assert check(st.st_mode), name
        assert (kind == "hard") == (st.st_ino == (diff / "base").stat().st_ino), name
    replaced = [n for n, k in want.items() if n.startswith("dir-") and k == "dir"]
    assert all((diff / n / "in").read_bytes() == b"inside " + n.encode() for n in replaced)


def test_replaced_tree_comes_back(layers):
    data = (directory("d") + member("d/x", b"old x") + directory("d/e") + member("d/e/y", b"old y")
            + member("d", b"now a file") + directory("d") + member("d/x", b"new x")
            + symlink("d", "other") + directory("d") + member("d/x", b"third") + END)
    _, diff = layers.accept(data)
    assert [p.name for p in (diff / "d").iterdir()] == ["x"]
    assert (diff / "d/x").read_bytes() == b"third"


def test_what_a_replaced_directory_was_reaches_nothing_else(layers):
    """Modes and times of directories are set at the end, when a link may be where one of them was:
    it is not followed, and what it points to is neither made nor changed."""
    data = (directory("there") + directory("there/e", mode=0o750, mtime=5) + directory("d") + directory("d/e", mode=0o1777)
            + directory("c/e", mode=0o1777) + symlink("d", "there") + symlink("c", "missing") + END)
    _, diff = layers.accept(data)
    assert sorted(p.name for p in diff.iterdir()) == ["c", "d", "there"]
    st = (diff / "there/e").stat()
    assert stat.S_IMODE(st.st_mode) == 0o750 and st.st_mtime == 5


def test_replaced_directory_leaves_no_mode(layers):
    data = (directory("d", mode=0o1777) + directory("d/e", mode=0o1770) + member("d", b"a file") + directory("d", mode=0o755)
            + member("d/e/f", b"") + END)
    _, diff = layers.accept(data)
    assert [stat.S_IMODE((diff / n).stat().st_mode) for n in ("d", "d/e")] == [0o755, 0o755]


@pytest.mark.parametrize("between", [member("d", b"a file"), symlink("d", "other"), member(".wh.d") + member("d", b"a file"),
                                     member("d", b"a file") + member(".wh.d"), member("d", b"a file") + member("d/.wh.x"),
                                     member("other", b"") + hardlink("d", "other")],
                         ids=["file", "link", "whiteout-file", "file-whiteout", "file-whiteout-below", "hard-link"])
def test_directory_in_place_of_a_file_shows_nothing_of_lower_layers(layers, between):
    """The file hid them, and so did a whiteout beside it: neither is forgotten with the file."""
    _, diff = layers.accept(between + directory("d") + member("d/y", b"y") + END)
    assert getxattr(diff / "d", "user.overlay.opaque") == b"y" and (diff / "d/y").exists()
    _, diff = layers.accept(member("d", b"a file") + directory("d") + END, "import")
    assert os.listxattr(diff / "d") == []


def test_later_entry_of_a_directory_takes_the_squashed_owner_back(layers):
    """What was noted of an owner out of range is not that of the next one."""
    odd = {"uid": 3000000, "gid": 3000001}
    data = directory("d", **odd) + directory(".", **odd) + directory("d", uid=0, gid=0) + directory(".") + END
    _, diff = layers.accept(data, "squash")
    assert os.listxattr(diff / "d") == [] and os.listxattr(diff) == []
    _, diff = layers.accept(directory("d", uid=0, gid=0) + directory("d", **odd) + END, "squash")
    assert getxattr(diff / "d", "user.rootlet.owner") == b"3000000:3000001"


def test_file_is_no_directory(layers):
    layers.refuse(member("a", b"x") + member("a/b", b"y") + END, 'entry "a/b"', "not a directory")


# --- whiteouts -------------------------------------------------------------------------------

@pytest.mark.parametrize("name", [
    ".wh.", ".wh..", ".wh...", "d/.wh.", "d/.wh..", "d/.wh...", ".wh./x", ".wh.a/b", ".wh.../canary",
    ".wh..wh..opq/x", ".wh..wh.", ".wh..wh..", "a/.wh.b/.wh.c",
])
def test_whiteout_names(layers, name):
    layers.refuse(member(name) + END, f'entry "{name}"', "whiteout")


@pytest.mark.parametrize("first", [True, False])
def test_whiteouts_hide_lower_layers_only(layers, first):
    marks = member("d/.wh..wh..opq") + member(".wh.f") + member(".wh.e") + member(".wh.gone")
    files = directory("d") + member("d/x", b"x") + member("f", b"f") + directory("e") + member("e/y", b"y")
    _, diff = layers.accept((marks + files if first else files + marks) + END)
    assert (diff / "d/x").read_bytes() == b"x" and (diff / "f").read_bytes() == b"f"
    assert (diff / "e/y").read_bytes() == b"y"
    assert getxattr(diff / "d", "user.overlay.opaque") == b"y"
    assert getxattr(diff / "e", "user.overlay.opaque") == b"y"  # deleted and made anew
    assert is_whiteout(diff / "gone")
    assert sorted(p.name for p in diff.iterdir()) == ["d", "e", "f", "gone"]


def test_whiteout_below_whiteout(layers):
    _, diff = layers.accept(member(".wh.a") + member("a/.wh.b") + member("a/.wh..wh..opq") + END)
    assert is_whiteout(diff / "a")
    _, diff = layers.accept(member(".wh.a") + member("a/b", b"x") + END)
    assert getxattr(diff / "a", "user.overlay.opaque") == b"y" and (diff / "a/b").exists()


def test_whiteout_through_symlink(layers):
    data = (symlink("l", str(layers.canary)) + member("l/.wh.file") + member("l/.wh..wh..opq") + END)
    result, diff = layers.accept(data)
    inside = diff / str(layers.canary).lstrip("/")
    assert is_whiteout(inside / "file") and "symbolic link" in result["notes"]


def test_root_opaque(layers):
    result, _ = layers.accept(member("f", b"x") + member(".wh..wh..opq") + END)
    assert result["root_opaque"] == "1"


def test_aufs_bookkeeping(layers):
    _, diff = layers.accept(directory(".wh..wh.plnk") + member(".wh..wh.plnk/1.2", b"x")
                            + member(".wh..wh.aufs") + member("f") + END)
    assert [p.name for p in diff.iterdir()] == ["f"]


def test_import_refuses_whiteouts(layers):
    layers.refuse(member("d/.wh.x") + END, 'entry "d/.wh.x"', options=["import"])


# --- devices, attributes, owners -------------------------------------------------------------

def test_devices(layers):
    data = (chardev("null", 1, 3) + member("sda", type=tarfile.BLKTYPE, devmajor=8, devminor=0)
            + chardev("hidden", 0, 0) + END)
    result, diff = layers.accept(data)
    assert result["skipped_devices"] == "2" and "null" in result["notes"]
    assert is_whiteout(diff / "hidden") and len(list(diff.iterdir())) == 1


def test_xattrs(layers):
    cap2 = struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0)
    cap3 = struct.pack("<6I", 0x03000001, 1 << 10, 0, 0, 0, 4242)
    data = directory("d", records=xattr("user.overlay.redirect", b"/etc"))
    for name, value in [("user.overlay.opaque", b"y"), ("trusted.overlay.opaque", b"y"),
                        ("security.selinux", b"system_u"), ("security.ima", b"x"), ("user.good", b"a\0b"),
                        ("no-namespace", b"x")]:
        data += member("f-" + name, b"x", records=xattr(name, value))
    data += member("cap2", b"x", records=xattr("security.capability", cap2))
    data += member("cap3", b"x", uid=5, mode=0o4755, records=xattr("security.capability", cap3))
    data += member("capbad", b"x", records=xattr("security.capability", b"junk"))
    data += symlink("link", "x", records=xattr("user.x", b"y"))
    result, diff = layers.accept(data + END)
    with pytest.raises(OSError):
        getxattr(diff / "d", "user.overlay.redirect")
    assert getxattr(diff / "d", "user.overlay.overlay.redirect") == b"/etc"
    assert getxattr(diff / "f-user.overlay.opaque", "user.overlay.overlay.opaque") == b"y"
    assert os.listxattr(diff / "f-user.overlay.opaque") == ["user.overlay.overlay.opaque"]
    assert getxattr(diff / "f-user.good", "user.good") == b"a\0b"
    for name in ("trusted.overlay.opaque", "security.selinux", "security.ima", "no-namespace"):
        assert os.listxattr(diff / ("f-" + name)) == []
    for name in ("cap2", "cap3"):
        value = getxattr(diff / name, "security.capability")
        assert value[4:8] == cap2[4:8]
        assert len(value) == 20 or struct.unpack("<6I", value)[5] != 4242
    assert os.listxattr(diff / "capbad") == []
    assert stat.S_IMODE((diff / "cap3").stat().st_mode) == 0o4755
    assert result["dropped_xattrs"] == "6" and result["escaped_xattrs"] == "2"
    assert "left out" in result["notes"]


def test_acl(layers):
    text = b"user::rw-,user:daemon:r--:1,group::r--,mask::r--,other::---"
    default = {"SCHILY.acl.default": b"user::rwx,group::r-x,other::---,user:daemon:rwx:1,mask::rwx"}
    data = member("f", b"x", mode=0o640, records={"SCHILY.acl.access": text})
    data += directory("d", records=default) + member("d/plain", b"x", mode=0o664) + directory("d/sub")
    _, diff = layers.accept(data + END)
    acl = getxattr(diff / "f", "system.posix_acl_access")
    assert struct.unpack("<I", acl[:4])[0] == 2 and len(acl) == 4 + 5 * 8
    assert getxattr(diff / "d", "system.posix_acl_default")
    assert os.listxattr(diff / "d/plain") == [] and os.listxattr(diff / "d/sub") == []
    assert stat.S_IMODE((diff / "d/plain").stat().st_mode) == 0o664


@pytest.mark.parametrize("attr,word", [
    ({"uid": 4000000000}, "uid 4000000000 is not in your subordinate id range (65537 ids)"),
    ({"gid": 70000}, "gid 70000 is not in your subordinate id range (65537 ids)"),
    ({"uid": 2 ** 40}, "uid 1099511627776 is not in"), ({"uid": -5}, "uid -5 is not in"),
])
def test_owner_outside_the_map(layers, attr, word):
    err = layers.refuse(member("x", b"x", **attr) + END, 'entry "x"', word, "--squash-ids")
    if attr.get("gid"):
        assert re.search(r"usermod --add-subgids \d+-\d+ ", err)
    result, diff = layers.accept(member("x", b"x", **attr) + END, "squash")
    assert result["squashed_ids"] == "1"
    assert (diff / "x").stat().st_uid == diff.stat().st_uid


def test_owners_modes_times(layers):
    ns = {"mtime": b"1000000000.123456789"}
    old = {"mtime": b"-5.5"}
    data = directory("d", mode=0o2775, uid=3, gid=4, records=ns) + member("d/f", b"x", records=ns)
    data += directory("d/sub") + member("d/late", b"x", mode=0o6711, uid=7, gid=8, mtime=5)
    data += directory("sticky", mode=0o1777, mtime=77) + member("sticky/x", b"x")
    data += symlink("l", "d", uid=9, records=ns) + member("old", b"", records=old)
    data += member("p", type=tarfile.FIFOTYPE, mode=0o600, mtime=9) + member("none", b"", mode=0)
    _, diff = layers.accept(data + END)
    base = diff.stat()
    d, f, late = (diff / "d").stat(), (diff / "d/f").stat(), (diff / "d/late").stat()
    assert d.st_mtime_ns == f.st_mtime_ns == 1000000000123456789
    assert (diff / "l").lstat().st_mtime_ns == 1000000000123456789
    assert stat.S_IMODE(d.st_mode) == 0o2775 and stat.S_IMODE(late.st_mode) == 0o6711
    assert d.st_uid != base.st_uid and d.st_gid == d.st_uid + 1
    # nothing inherits the group of a set-group-ID directory
    assert f.st_gid == base.st_gid and (diff / "d/sub").stat().st_gid == base.st_gid
    assert stat.S_IMODE((diff / "d/sub").stat().st_mode) == 0o755
    assert late.st_mtime_ns == 5 * 10 ** 9
    assert stat.S_IMODE((diff / "sticky").stat().st_mode) == 0o1777
    assert (diff / "sticky").stat().st_mtime == 77
    assert (diff / "old").stat().st_mtime_ns in (-5500000000, -4500000000)
    assert stat.S_ISFIFO((diff / "p").stat().st_mode)
    assert stat.S_IMODE((diff / "none").stat().st_mode) == 0


def test_made_parents_have_the_time_of_their_entry(layers):
    _, diff = layers.accept(member("a/b/c", b"x", mtime=1234) + END)
    assert (diff / "a").stat().st_mtime == (diff / "a/b").stat().st_mtime == 1234


# --- sizes -----------------------------------------------------------------------------------

def sparse10(name, real, pieces, lie=None):
    """GNU sparse format 1.0: the map is in front of the data."""
    table = f"{len(pieces)}\n" + "".join(f"{o}\n{len(d)}\n" for o, d in pieces)
    body = pad(table.encode()) + b"".join(d for _, d in pieces)
    return member("GNUSparseFile.0/" + name, body, records={
        "GNU.sparse.major": b"1", "GNU.sparse.minor": b"0", "GNU.sparse.name": name.encode(),
        "GNU.sparse.realsize": str(lie or real).encode()})


def test_sparse_stays_sparse(layers):
    data = sparse10("s", 1 << 30, [(0, b"a" * 512), (1 << 29, b"b" * 1024)])
    data += sparse10("hole", 1 << 20, [(1 << 20, b"")]) + member("after", b"x")
    _, diff = layers.accept(data + END)
    s = diff / "s"
    assert s.stat().st_size == 1 << 30 and s.stat().st_blocks * 512 < 1 << 20
    with s.open("rb") as f:
        assert f.read(513) == b"a" * 512 + b"\0"
        f.seek(1 << 29)
        assert f.read(1025) == b"b" * 1024 + b"\0"
    assert (diff / "hole").stat().st_size == 1 << 20


def test_sparse_lies(layers):
    layers.refuse(sparse10("s", 0, [(0, b"a" * 512)], lie=1 << 62) + END, 'entry "s"', "limit")
    layers.refuse(sparse10("s", 100, [(1 << 40, b"a" * 512)]) + END, 'entry "s"')
    layers.refuse(sparse10("s", 1 << 30, [(0, b"a" * 512)]) + END, 'entry "s"', "limit",
                  options=[f"file={1 << 20}"])
    done, where = layers.unpack(sparse10("s", 4096, [(2048, b"a" * 512), (0, b"b" * 512)]) + END)
    assert done.seconds < 2 * SLOW and "SIG" not in done.stderr


def test_declared_size_against_free_space(layers):
    layers.refuse(member("huge", b"x", size=1 << 33) + END, "huge", options=[f"file={1 << 32}"])
    err = layers.refuse(member("huge", b"x", size=(1 << 40) - 1) + END, 'entry "huge"')
    assert "free" in err or "limit" in err
    layers.refuse(member("huge", b"x", size=(1 << 62)) + END, "huge", "limit")


def test_negative_size(layers):
    head = bytearray(member("x", b"y"))
    head[124:136] = b"\xff" * 12
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head[:512])
    layers.refuse(bytes(head) + END)


def test_entry_limit(layers):
    data = b"".join(member(f"f{i}") for i in range(50)) + END
    layers.refuse(data, "more than 49 entries", options=["entries=49"])
    layers.accept(data, "entries=50")


def test_bomb(layers):
    """What grows is stopped by a limit on bytes or on the ratio, never by a full disk."""
    size = 256 << 20
    raw = io.BytesIO()
    with gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=6) as z:
        z.write(member("zeros", b"", size=size))
        for _ in range(size >> 20):
            z.write(bytes(1 << 20))
        z.write(END)
    layers.refuse(raw.getvalue(), "zeros", "limit", options=[f"tar={8 << 20}"])
    layers.refuse(raw.getvalue(), "zeros", "limit", options=[f"file={1 << 20}"])


def test_bomb_ratio(layers):
    if not shutil.which("zstd"):
        pytest.skip("no zstd program")
    size = 1300 << 20
    head = member("zeros", b"", size=size)
    z = subprocess.Popen(["zstd", "-q", "-c"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    def feed():
        z.stdin.write(head)
        for _ in range(size >> 20):
            z.stdin.write(bytes(1 << 20))
        z.stdin.write(END)
        z.stdin.close()
    feeder = threading.Thread(target=feed)
    feeder.start()
    blob = z.stdout.read()
    feeder.join()
    layers.refuse(blob, "zeros", "grows more than 1000 times", seconds=20)


# --- damaged streams -------------------------------------------------------------------------

def test_truncated(layers):
    whole = member("a", b"x" * 1000) + member("b", b"y" * 3000) + END
    for cut in (100, 511, 513, 1000, 1536 + 100, 1536 + 512 + 1, 1536 + 512 + 2000):
        layers.refuse(whole[:cut])
    layers.refuse(whole[:1536 + 512 + 2000], 'entry "b"')


def test_no_end_blocks(layers):
    result, diff = layers.accept(member("a", b"x" * 512))
    assert "end-of-archive" in result["notes"]
    result, diff = layers.accept(member("a", b"x" * 512) + END)
    assert result["notes"] == ""


def test_bytes_behind_the_end(layers):
    """They count for the diffID, but are no entries."""
    data = member("a", b"x") + END + member("evil", b"x") + b"junk"
    _, diff = layers.accept(data)
    assert [p.name for p in diff.iterdir()] == ["a"]


def test_damaged_checksum(layers):
    data = bytearray(member("a", b"x") + member("b", b"y") + END)
    data[1024 + 3] ^= 1
    layers.refuse(bytes(data), "damaged")


@pytest.mark.parametrize("data", [b"", b"hello", b"\xfd7zXZ\0" + bytes(600), b"BZh9" + bytes(600),
                                  bytes(range(256)) * 8, b"PK\3\4" + bytes(600), b"Rar!\x1a\x07\0" + bytes(600),
                                  b"Rar!\x1a\x07\1\0" + bytes(600), b"7z\xbc\xaf\x27\x1c" + bytes(600),
                                  b"070701" + b"0" * 600, b"#mtree\n./a type=file\n", b"!<arch>\n" + bytes(600),
                                  b"MSCF" + bytes(600), b"WARC/1.0\r\n" + bytes(600), b"\1" * 32768 + b"\1CD001\1" + bytes(4096)],
                         ids=["empty", "text", "xz", "bzip2", "bytes", "zip", "rar", "rar5", "7zip", "cpio", "mtree", "ar", "cab",
                              "warc", "iso"])
def test_not_a_tar(layers, data):
    """CVE-2021-20291, and those of libarchive's other readers, which are not asked: CVE-2016-1541, CVE-2024-26256,
    CVE-2025-1632, CVE-2025-25724, CVE-2025-5914, CVE-2025-5915, CVE-2025-5916, CVE-2025-5917, CVE-2025-5918."""
    layers.refuse(data)


def test_empty_layer(layers):
    result, diff = layers.accept(END)
    assert result["entries"] == "0" and list(diff.iterdir()) == []


def test_compression(layers):
    plain = member("a", b"x" * 70000) + member("b", os.urandom(400000)) + END
    cut = len(plain) // 2
    result, _ = layers.accept(gzip.compress(plain), plain=plain)
    assert result["compression"] == "gzip"
    layers.accept(gzip.compress(plain[:cut]) + gzip.compress(plain[cut:]), plain=plain)
    layers.refuse(gzip.compress(plain) + b"junk", "after its end")
    layers.refuse(gzip.compress(plain)[:-20], "truncated")
    layers.refuse(gzip.compress(plain)[:-2000], "truncated")
    flipped = bytearray(gzip.compress(plain))
    flipped[-6] ^= 1
    layers.refuse(bytes(flipped), "gzip")
    if shutil.which("zstd"):
        def z(d):
            return subprocess.run(["zstd", "-q", "-c"], input=d, capture_output=True, check=True).stdout
        skip = struct.pack("<II", 0x184D2A50, 7) + b"comment"
        result, _ = layers.accept(skip + z(plain[:cut]) + skip + z(plain[cut:]) + skip, plain=plain)
        assert result["compression"] == "zstd"
        layers.refuse(z(plain)[:-5], "truncated")
        layers.refuse(z(plain) + b"junkjunk", "zstd")


@pytest.mark.rows("A27")
def test_digests_are_verified(layers):
    """A27: neither a wrong diffID nor a wrong blob digest leaves anything behind."""
    plain = member("a", b"x") + END
    blob = gzip.compress(plain)
    layers.refuse(blob, "diffID", sha(plain), sha(b""), options=["diffid=" + sha(b"")])
    layers.refuse(blob, "blob digest", sha(blob), options=["blob=" + sha(b"")])
    layers.refuse(blob, "digest", options=["diffid=sha256:../../x"])
    layers.refuse(blob, "digest", options=["diffid=md5:" + "0" * 32])
    done, where = layers.unpack(blob, "diffid=" + sha(plain), "blob=" + sha(blob))
    assert done.returncode == 0
    long = "sha512:" + hashlib.sha512(plain).hexdigest()
    done, where = layers.unpack(blob, "diffid=" + long)
    assert done.returncode == 0 and long in done.stdout


def test_damaged_layer_is_noticed(layers):
    data = member("a", b"x" * 3000) + END
    _, diff = layers.accept(data)
    out = layers.home / "out.tar"
    with (diff / "a").open("r+b") as f:
        f.write(b"y")
    done = layers.run("rebuild", diff.parent, out, sha(data))
    assert done.returncode == 1 and "damaged" in done.stderr
    (diff / "a").unlink()
    (diff / "a").symlink_to(layers.canary / "file")
    done = layers.run("rebuild", diff.parent, out, sha(data))
    assert done.returncode == 1 and "damaged" in done.stderr


def test_staging_in_use_is_left_alone(layers):
    where = layers.home / "taken"
    (where / "diff").mkdir(parents=True)
    (where / "diff/mine").write_text("x")
    layers.own(where)
    tar = layers.home / "t.tar"
    tar.write_bytes(member("a", b"x") + END)
    done = layers.run("unpack", tar, where)
    assert done.returncode == 1 and (where / "diff/mine").read_text() == "x"


def test_random_damage(layers):
    """Flipped bytes: a clean error or a layer that rebuilds, never a crash."""
    rng = random.Random(20)
    base = (directory("d") + member("d/a", b"x" * 700, records=xattr("user.a", b"b")) + symlink("l", "d")
            + hardlink("h", "d/a") + sparse10("s", 9000, [(512, b"z" * 512)]) + member("n" * 150, b"y")
            + member("d/.wh.x") + chardev("c", 0, 0) + END)
    for _ in range(60):
        data = bytearray(base)
        for _ in range(rng.choice((1, 2, 8))):
            at = rng.randrange(len(data) // 512) * 512
            head = data[at:at + 512]
            head[rng.randrange(512)] = rng.randrange(256)
            if rng.random() < .8:  # a right checksum gets the damage past the first check
                head[148:156] = b" " * 8
                head[148:156] = b"%06o\0 " % (sum(head) & 0o777777)
            data[at:at + 512] = head
        done, where = layers.unpack(bytes(data))
        assert "SIG" not in done.stderr and done.returncode in (0, 1) and done.seconds < 2 * SLOW
        if done.returncode:
            assert list(where.iterdir()) == []


# --- round trips -----------------------------------------------------------------------------

@pytest.mark.rows("A36")
def test_rebuild_of_a_real_tree(layers):
    """Everything below some system directories, as tar writes it: bit for bit the same again."""
    for flags in (["--format=gnu"], ["--format=pax", "--sparse", "--xattrs", "--acls"], ["--format=ustar"]):
        tar = subprocess.run(["tar", "-C", "/", "-cf", "-"] + flags + ["etc", "usr/share/perl5", "usr/lib/systemd"],
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
        result, diff = layers.accept(gzip.compress(tar, 1), plain=tar)
        assert int(result["entries"]) > 100
        layers.run("remove", diff.parent)


def test_pack_is_reproducible_and_complete(layers):
    cap = struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0)
    data = (directory("d", mode=0o2755, uid=1, gid=2) + member("d/f", b"x" * 600, uid=3, mode=0o4755)
            + hardlink("d/h", "d/f") + symlink("l" * 120, "t" * 150) + member("d/.wh..wh..opq")
            + member("d/.wh.gone") + member("grün", b"y", records={"mtime": b"12345.6789"})
            + member("p", type=tarfile.FIFOTYPE)
            + member("cap", b"c", records=xattr("security.capability", cap))
            + member("esc", b"e", records=xattr("user.overlay.opaque", b"y")) + END)
    _, diff = layers.accept(data)
    one, two = layers.home / "one.tar", layers.home / "two.tar"
    first = layers.run("pack", diff, one, "overlay")
    assert first.returncode == 0, first.stderr
    assert sha(one.read_bytes()) in first.stdout
    result, again = layers.accept(one.read_bytes())
    assert layers.run("pack", again, two, "overlay").returncode == 0
    assert one.read_bytes() == two.read_bytes()
    with tarfile.open(one) as t:
        names = {m.name: m for m in t}
    assert "d/.wh.gone" in names and "d/.wh..wh..opq" in names
    assert names["d/f"].mode == 0o4755 and names["d/f"].uid == 3 and names["d"].gid == 2
    assert names["d/h"].islnk() and names["d/h"].linkname == "d/f"
    assert names["l" * 120].linkname == "t" * 150 and names["p"].isfifo()
    assert names["grün"].mtime == 12345.6789
    assert names["esc"].pax_headers["SCHILY.xattr.user.overlay.opaque"] == "y"
    assert getxattr(again / "cap", "security.capability")[4:8] == cap[4:8]
    layers.run("pack", diff, two, "overlay", "mtime=1000")
    with tarfile.open(two) as t:
        assert max(m.mtime for m in t) <= 1000


def test_number_of_a_file_that_is_gone_makes_no_link(layers):
    """In a tree that lives the inode number that was packed can be that of another file a moment later."""
    tree, tar = layers.home / "lives", layers.home / "lives.tar"
    tree.mkdir()
    names = [tree / n for n in ("a", "b", "m", "y", "z")]
    for path in names:
        path.write_bytes(b"old" if path.name != "m" else bytes(4 << 20))
    names[1].unlink()
    names[1].hardlink_to(names[0])
    os.mkfifo(tar)
    for path in [tree, tar] + names:
        layers.own(path)
    packing = subprocess.Popen([layers.tool, "pack", tree, tar], cwd=layers.home, stdout=subprocess.DEVNULL,
                               env=layers.user.environment(), **layers.user.popen_args())
    with open(tar, "rb") as f:
        data = f.read(512)  # the rest waits until this is read: it is at "m"
        time.sleep(0.5 * SLOW)
        number = names[0].stat().st_ino
        for path in names[:2] + names[3:]:
            path.unlink()
        for i in range(200):
            path = tree / f"new{i}"  # not seen any more
            path.write_bytes(b"new")
            if path.stat().st_ino == number:
                names[3].hardlink_to(path)
                names[4].hardlink_to(path)
                break
        else:
            names[3].write_bytes(b"new")
            names[4].hardlink_to(names[3])
        layers.own(names[3])
        data += f.read()
    assert packing.wait(30) == 0
    with tarfile.open(fileobj=io.BytesIO(data)) as t:
        assert t.extractfile("b").read() == b"old" and t.getmember("b").linkname == "a"
        assert t.extractfile("y").read() == b"new" and t.getmember("z").linkname == "y"
    tar.unlink()
    shutil.rmtree(tree)


def test_noted_owner_gives_no_rights(layers):
    """Processes of a container can write that note on files of theirs: nothing becomes set-id by it."""
    tree, tar = layers.home / "noted", layers.home / "noted.tar"
    (tree / "d").mkdir(parents=True)
    modes = {"f": 0o6755, "uid": 0o6755, "plain": 0o755, "d": 0o2775}
    for name, mode in modes.items():
        path = tree / name
        if name != "d":
            path.write_text("x")
        layers.own(path)
        os.setxattr(path, "user.rootlet.owner", b"70000:42")
        path.chmod(mode)
    layers.own(tree)
    done = layers.run("pack", tree, tar)
    assert done.returncode == 0, done.stderr
    with tarfile.open(tar) as t:
        assert {m.name: (m.uid, m.gid, oct(m.mode)) for m in t if m.name in modes} == {
            "f": (70000, 42, "0o755"), "uid": (70000, 42, "0o755"), "plain": (70000, 42, "0o755"), "d": (70000, 42, "0o2775")}
    shutil.rmtree(tree)
    tar.unlink()


# --- confinement -----------------------------------------------------------------------------

def descendants(pid):
    found = []
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += [int(child)] + descendants(int(child))
    return found


@pytest.mark.root  # the process hides from its user
@pytest.mark.skipif(host.SANITIZERS, reason="their runtime needs what a worker does not get")
def test_worker_is_confined(layers):
    """While a layer is read: no way out of its directory, no descriptors but its own, no powers."""
    where = layers.home / "watched"
    where.mkdir()
    layers.own(where)
    tool = subprocess.Popen([str(layers.tool), "unpack", "-", str(where)], stdin=subprocess.PIPE,
                            stdout=subprocess.DEVNULL, cwd=layers.home,
                            env=layers.user.environment(), **layers.user.popen_args())
    try:
        tool.stdin.write(member("a", b"x" * 70000) + member("b", b"y" * 300000))
        tool.stdin.flush()
        deadline = time.monotonic() + 10
        while not (where / "diff/a").exists() and time.monotonic() < deadline:
            time.sleep(.02)
        worker = descendants(tool.pid)[-1]
        status = dict(line.split(":\t", 1) for line in
                      open(f"/proc/{worker}/status").read().splitlines() if ":\t" in line)
        assert status["Seccomp"] == "2" and status["NoNewPrivs"] == "1"
        kept = int(status["CapEff"], 16)
        assert kept & (1 << 21 | 1 << 12 | 1 << 18 | 1 << 6 | 1 << 19) == 0  # ADMIN NET CHROOT SETUID PTRACE
        assert os.readlink(f"/proc/{worker}/root") == str(where)
        fds = {int(fd.name): os.readlink(fd) for fd in pathlib.Path(f"/proc/{worker}/fd").iterdir()}
        assert [fds[i] for i in range(3)] == ["/dev/null"] * 3
        assert fds[3].startswith("socket:") and fds[4].startswith("pipe:")
        assert all(name.startswith(str(where)) for fd, name in fds.items() if fd > 4)
        limits = open(f"/proc/{worker}/limits").read()
        assert re.search(r"Max core file size +0 ", limits) and re.search(r"Max open files +64 ", limits)
    finally:
        tool.kill()
        tool.stdin.close()
        tool.wait()
    # everything dies with the caller
    deadline = time.monotonic() + 5
    while os.path.exists(f"/proc/{worker}") and time.monotonic() < deadline:
        time.sleep(.02)
    assert not os.path.exists(f"/proc/{worker}")
