"""Images in containers with other id maps: the same files without a copy of their data."""
import gzip
import io
import os
import re
import shutil
import signal
import subprocess
import tarfile
import time

import pytest

from imagelib import Layout, lab, make_tar, setting, store  # pylint: disable=unused-import
from lib import host, images as images_, rows
from lib.runner import wait_for

CHOWN_EP = "\x01\0\0\x02\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"  # VFS_CAP_REVISION_2, cap_chown=ep
ACL = "\2\0\0\0\1\0\6\0\x7f\x7f\x7f\x7f"
WAYS = ["metadata", "fuse", "copy"]
LIST = ("cd /; busybox find odd home | busybox sort | while IFS= read -r f; do "
        "busybox stat -c '%n %f %u %g %s %Y' \"$f\"; test -f \"$f\" && busybox stat -c %h \"$f\" && busybox sha256sum \"$f\"; "
        "test -L \"$f\" && busybox readlink \"$f\"; done 2>&1; true")


def add(t, name, data=b"", **members):
    info = tarfile.TarInfo(name)
    info.mtime, info.mode, info.size = 1234567890, 0o644, len(data)
    pax = members.pop("pax", {})
    for key, value in members.items():
        setattr(info, key, value)
    info.pax_headers = pax
    t.tar.addfile(info, io.BytesIO(data))


def odd_layers():
    """Everything that a file can be, over two layers."""
    t = images_.busybox_layer()
    t.add_dir("odd", 0o755, 3, 4)
    busybox = open(images_.BUSYBOX, "rb").read()
    add(t, "odd/busybox", busybox, mode=0o755, pax={"SCHILY.xattr.security.capability": CHOWN_EP})
    add(t, "odd/secret", b"s", mode=0o600, uid=1000, gid=1000)
    add(t, "odd/nobodys", b"n", mode=0, uid=9, gid=9)
    add(t, "odd/setuid", b"x", mode=0o6755, uid=7, gid=8)
    add(t, "odd/times", b"t", pax={"mtime": "1234567890.123456789"})
    add(t, "odd/attr", b"a", pax={"SCHILY.xattr.user.mine": "value"})
    add(t, "odd/empty")
    add(t, "odd/late", b"from the first layer")
    add(t, "odd/hard", b"linked", uid=5)
    t.add_link("odd/hard2", "odd/hard", hard=True)
    t.add_link("odd/link", "../etc/motd")
    add(t, "odd/pipe", type=tarfile.FIFOTYPE, mode=0o622)
    add(t, "odd/ha ha", b"strange name")
    # 1 MiB of holes but for its end, as GNU tar has it.
    add(t, "GNUSparseFile.0/sparse", b"1\n1048575\n1\n".ljust(512, b"\0") + b"x", pax={
        "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "odd/sparse",
        "GNU.sparse.realsize": "1048576"})
    t.tar.close()
    second = images_.Tar()
    add(second, "odd", type=tarfile.DIRTYPE, mode=0o755, uid=3, gid=4)
    add(second, "odd/late", b"from the second", uid=11)
    add(second, "odd/.wh.empty")
    second.tar.close()
    return [t.buffer.getvalue(), second.buffer.getvalue()]


@pytest.fixture(scope="module")
def archive(lab):
    layout = Layout()
    image = layout.image(odd_layers(), compress=gzip.compress, config={"Cmd": ["/bin/sh"], "Env": ["PATH=/bin"]})
    return lab.own(layout.add(image, "odd:1").archive(lab.path("odd.tar"))) or lab.path("odd.tar")


@pytest.fixture
def odd(rootlet, archive):
    rootlet.ok("load", "-q", "-i", archive)
    return "localhost/odd:1"


@pytest.fixture(params=WAYS)
def way(request, rootlet):
    if request.param == "fuse":
        if not shutil.which("fuse-overlayfs") or os.stat("/dev/fuse").st_mode & 0o6 != 0o6:
            pytest.skip("needs fuse-overlayfs and /dev/fuse")
    with setting(rootlet, request.param):
        yield request.param


def trees(rootlet):
    """Shifted trees and farms of links, by name."""
    found = []
    for layer in (rootlet.store.root / "layers").iterdir():
        found += [f"{layer.name[:4]}/{n}" for n in os.listdir(layer) if re.match(r"(map|copy)-[0-9a-f]{16}$", n)]
    return sorted(found)


def members(rootlet, name):
    with tarfile.open(fileobj=io.BytesIO(rootlet.ok("export", name, binary=True).out)) as t:
        return {m.name: (m.type, m.mode, m.uid, m.gid, m.size, m.mtime, m.linkname,
                         {k: v for k, v in m.pax_headers.items() if k.startswith("SCHILY")},
                         t.extractfile(m).read() if m.isfile() else b"") for m in t if m.name != "."}


@rows("A30", "B25")
def test_the_tree_is_the_image(rootlet, odd, way):
    listing = rootlet.ok("run", "--rm", odd, "sh", "-c", LIST).text
    assert "/odd/hard2 81a4 5 0 6 1234567890\n/2\n" in "/" + listing.replace("\n", "\n/"), listing[:300]
    keep = ["--userns", "keep-id", "--user", "0:0"]
    assert rootlet.ok("run", "--rm", *keep, odd, "sh", "-c", LIST).text == listing
    rootlet.ok("create", "--name", "plain", odd, "true")
    rootlet.ok("create", "--name", "kept", *keep, odd, "true")
    plain, kept = members(rootlet, "plain"), members(rootlet, "kept")
    assert "./odd/attr" in plain or "odd/attr" in plain
    assert kept == plain
    assert any("SCHILY.xattr.security.capability" in m[7] for m in kept.values())
    # Holes stay holes, and the second layer's word counts.
    out = rootlet("run", "--rm", *keep, odd, "sh", "-c", "cat /odd/sparse > /dev/null; stat -c %b /odd/sparse; cat /odd/late; ls /odd/empty")
    blocks, late = out.out.split("\n")[:2]
    assert int(blocks) < 64 and late == "from the second" and out.rc == 1
    # What is changed is the container's.
    out = rootlet.ok("run", "--rm", *keep, odd, "sh", "-c",
                     "echo more >> /odd/hard; cat /odd/hard; chown 12 /odd/secret; stat -c %u:%s /odd/secret; cat /odd/secret")
    assert out.text == "linkedmore\n12:1\ns"
    made = trees(rootlet)
    assert {"metadata": len(made) == 1 and "/map-" in made[0], "fuse": made == [],
            "copy": len(made) == 2 and all("/copy-" in t for t in made)}[way], made


@pytest.mark.parametrize("userns", ["keep-id", "auto", "default"])
def test_file_capabilities_count(rootlet, odd, way, userns):
    """An ordinary user of the container has what the file gives, and no other container's root does."""
    flags = [] if userns == "default" else ["--userns", userns]
    out = rootlet.ok("run", "--rm", *flags, "--user", "65534:65534", "--security-opt",
                     "no-new-privileges=false", odd, "/odd/busybox", "grep", "CapEff", "/proc/self/status")
    assert out.text.split() == ["CapEff:", "0000000000000001"], out


def test_bad_setting(rootlet, odd):
    with setting(rootlet, "nonsense"):
        rootlet.fails("run", "--rm", "--userns", "keep-id", odd, "true", match="storage_shift")


def test_two_at_once(rootlet, odd):
    """Neither waits for a lock; there is one tree in the end, or equal ones."""
    started = [rootlet.spawn("run", "--rm", "--userns", "keep-id", "--user", "0", odd, "sh", "-c", LIST) for _ in range(4)]
    out = [p.communicate(timeout=60) for p in started]
    assert [p.returncode for p in started] == [0] * 4, out
    assert len({o for o, _ in out}) == 1 and len(trees(rootlet)) == 1
    assert os.listdir(rootlet.store.root / "ingest") == []


def test_killed_builders_leave_nothing(rootlet, archive, odd):
    """SIGKILL while a tree is made: what it had is swept, and the next one is whole."""
    want = rootlet.ok("run", "--rm", odd, "sh", "-c", LIST).text
    begin = time.monotonic()
    rootlet.ok("create", "--name", "c", "--userns", "keep-id", odd, "true")
    took = time.monotonic() - begin
    for i in range(4):
        rootlet.ok("rm", "-af")
        rootlet.ok("rmi", odd)
        rootlet.ok("load", "-q", "-i", archive)
        p = rootlet.spawn("create", "--name", "c", "--userns", "keep-id", odd, "true")
        time.sleep(took * (i + 1) / 5)
        os.killpg(p.pid, signal.SIGKILL)
        p.wait()
        assert rootlet.ok("run", "--rm", "--userns", "keep-id", "--user", "0", odd, "sh", "-c", LIST).text == want
        rootlet.ok("image", "prune", "-f")
        assert wait_for(lambda: os.listdir(rootlet.store.root / "ingest") == [])


@pytest.mark.skipif(not host.is_root(), reason="looks into trees of subordinate ids")
def test_trees_go_with_their_layers_and_with_time(rootlet, odd):
    keep = ["--userns", "keep-id", odd, "true"]
    rootlet.ok("create", "--name", "c", *keep)
    rootlet.ok("run", "--rm", "--userns", "auto", odd, "true")
    assert len(trees(rootlet)) == 2
    rootlet.ok("image", "prune", "-f")
    assert len(trees(rootlet)) == 2, "they were used just now"
    old = time.time() - 8 * 24 * 3600
    notes = list((rootlet.store.root / "layers").glob("*/*/used"))
    assert len(notes) == 2
    for note in notes:
        os.utime(note, (old, old))
    rootlet.ok("image", "prune", "-f")
    assert len(trees(rootlet)) == 1, "a container has one of them"
    assert rootlet.ok("start", "-a", "c").rc == 0
    rootlet.ok("rm", "c")
    rootlet.ok("image", "prune", "-f")
    assert trees(rootlet) == [] and not list((rootlet.store.root / "layers").glob("*/objs"))
    rootlet.ok("run", "--rm", *keep)
    rootlet.ok("rmi", odd)
    assert os.listdir(rootlet.store.root / "layers") == []


@rows("A30")
def test_disk_and_progress(rootlet, lab):
    """A thousand files cost names and inodes, not their content; who waits is told."""
    big = make_tar({f"d{i // 200}/f{i}": bytes([i % 256]) * 32768 for i in range(1000)})
    layers = [images_.busybox_layer(), None]
    layers[0].tar.close()
    layout = Layout()
    image = layout.image([layers[0].buffer.getvalue(), big], compress=gzip.compress, config={"Cmd": ["/bin/sh"], "Env": ["PATH=/bin"]})
    path = lab.path("big.tar")
    layout.add(image, "big:1").archive(path)
    lab.own(path)
    rootlet.ok("load", "-q", "-i", path)

    def used():
        return int(subprocess.run(["du", "-s", "--block-size=1", str(rootlet.store.root)], capture_output=True, text=True,
                                  check=False).stdout.split()[0])
    before = used()
    rootlet.ok("create", "--name", "c", "--userns", "keep-id", "localhost/big:1", "true")
    extra = used() - before
    assert extra < 2 << 20, f"{extra} bytes for 1,000 files of 32 MiB"
    with setting(rootlet, "copy"):
        pty = rootlet.pty("create", "--userns", "keep-id:uid=77", "localhost/big:1", "true")
        pty.expect("[0-9a-f]{64}", 60)
        assert pty.wait(60) == 0
