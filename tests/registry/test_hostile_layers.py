"""Layers that attack, as a user meets them: by pull from a registry and by load from an archive. One of each kind; all of
them are in tests/cli/test_layer_hostile.py (layers), tests/cli/test_image_refuse.py (manifests, configurations, archives),
tests/cve/test_image_metadata.py (what a start believes of them) and test_hostile_client.py (registries)."""
import gzip
import json
import os
import pathlib
import sys

import pytest

import hostile
from lib import images as images_, rows

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "cli"))

# pylint: disable=wrong-import-position
from imagelib import Layout, sha256  # noqa: E402
from test_layer_hostile import END, chardev, directory, hardlink, member, symlink, xattr  # noqa: E402

ARCH = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)


@pytest.fixture
def canary(rl):
    """A file of the user's beside the store."""
    path = rl.user.home / "canary"
    rl.shell(f"echo unchanged > {path}")
    yield path
    assert path.read_text() == "unchanged\n"
    path.unlink()


def get(rl, how, tars, tmp_path):
    """Pulls or loads an image of these layers: (result, name)."""
    config = {"Cmd": ["/bin/sh"], "Env": ["PATH=/bin"]}
    if how == "load":
        layout, path = Layout(), tmp_path / "image.tar"
        layout.add(layout.image(tars, compress=gzip.compress, config=config), "hostile:1").archive(str(path))
        with open(path, "rb") as f:
            return rl("load", stdin=f, timeout=30), "localhost/hostile:1"
    server = hostile.Hostile(layer=gzip.compress(tars[0]), config=json.dumps({
        "architecture": ARCH, "os": "linux", "config": config,
        "rootfs": {"type": "layers", "diff_ids": [sha256(t) for t in tars]}}).encode())
    try:
        return rl("pull", "--tls-verify=false", "--retry=0", server.ref("plain"), timeout=30), server.ref("plain")
    finally:
        server.end()


OUT = "../" * 12
REFUSED = {
    "dotdot": (lambda c: member(f"{OUT}{c}", b"x"), "\"..\""),
    "absolute": (lambda c: member(str(c), b"x"), "absolute path"),
    "pax path": (lambda c: member("innocent", b"x", records={"path": f"{OUT}{c}".encode()}), "\"..\""),
    "hard link out": (lambda c: hardlink("h", f"{OUT}{c}"), "\"..\""),
    "hard link absolute": (lambda c: hardlink("h", str(c)), "absolute"),
    "hard link through a link": (lambda c: symlink("s", str(c.parent)) + hardlink("h", "s/canary"), "symbolic link"),
    "root is a link": (lambda c: symlink(".", str(c.parent)), ""),
    "whiteout of ..": (lambda c: member(".wh..."), ".wh..."),
    "owner": (lambda c: member("f", uid=1_999_999_999), "1999999999 is not in your subordinate id range"),
    "truncated": (lambda c: member("f", b"x" * 5000)[:2048], ""),
    "name": (lambda c: member("n" * 300), "longer than 255"),
    "declared size": (lambda c: member("f", b"x", size=1 << 50), ""),
    "no archive": (lambda c: b"\x7fELF" + bytes(2000), ""),
    "escapes": (lambda c: member("../\x1b[2J\nError: fake", b"x"), "\\x1b[2J"),
}


@rows("A2", "A27")
@pytest.mark.parametrize("how", ["pull", "load"])
@pytest.mark.parametrize("name", REFUSED)
def test_refused(rl, canary, tmp_path, name, how):
    make, want = REFUSED[name]
    r, _ = get(rl, how, [make(canary) + (b"" if name in ("truncated", "no archive") else END)], tmp_path)
    errors = [line for line in r.err.splitlines() if line.startswith("Error: ")]
    assert r.rc == 125 and len(errors) == 1 and want in errors[0], r
    assert not [c for c in r.err if c < " " and c not in "\n\r"], r.err
    for sub in ("layers", "blobs/sha256", "images", "refs", "ingest"):
        assert not [n for n in os.listdir(rl.store.root / sub) if not n.endswith((".part", ".lock"))], sub
    rl.shell(f"rm -f {rl.store.root}/ingest/*.part")


def odd():
    """Accepted, each with its rule: the last one wins, links lead inside, no devices, no attributes of overlayfs."""
    t = images_.busybox_layer()
    t.tar.close()
    return t.buffer.getvalue().rstrip(b"\0").ljust(-(-len(t.buffer.getvalue().rstrip(b"\0")) // 512) * 512, b"\0") + (
        member("twice", b"first") + member("twice", b"second\n") + symlink("out", "/" + OUT) + member("out/inside", b"in\n")
        + chardev("null", 1, 3) + member("plain", b"p", records=xattr("user.overlay.redirect", b"/etc"))
        + directory("closed", records=xattr("user.overlay.opaque", b"y")) + member("cold", b"c", records=xattr("trusted.x", b"y"))
        + END)


@rows("A2", "A27")
@pytest.mark.parametrize("how", ["pull", "load"])
def test_accepted(rl, canary, tmp_path, how):
    r, name = get(rl, how, [odd()], tmp_path)
    assert r.rc == 0, r
    out = rl.ok("run", "--rm", name, "sh", "-c", "cat /twice /inside; ls /null 2>/dev/null; cat /plain; ls -d /closed")
    assert out.text == "second\nin\np/closed", out


@rows("A2")
def test_link_of_one_layer_and_files_of_the_next(rl, canary, tmp_path):
    """Whiteouts and opaque directories, too: no layer is unpacked through another one."""
    first = images_.busybox_layer()
    first.add_link("d", str(canary.parent))
    first.add_link("e", str(canary.parent))
    first.add_link("g", str(canary.parent))
    first.tar.close()
    second = member("d/canary", b"x\n") + member("e/.wh..wh..opq") + member("g/.wh.canary") + END
    r, name = get(rl, "load", [first.buffer.getvalue(), second], tmp_path)
    assert r.rc == 0, r
    assert rl.ok("run", "--rm", name, "sh", "-c", "cat /d/canary; ls -A /e; test ! -e /g/canary").text == "x"


@rows("A2", "A4")
@pytest.mark.parametrize("path", ["proc", "dev", "sys"])
def test_link_in_place_of_a_mount_point(rl, canary, tmp_path, path):
    """It is told or followed inside the image, and leads nowhere outside."""
    first = images_.busybox_layer()
    first.tar.close()
    r, name = get(rl, "load", [first.buffer.getvalue(), member(f".wh.{path}") + END, symlink(path, str(canary.parent)) + END], tmp_path)
    assert r.rc == 0, r
    r = rl("run", "--rm", name, "cat", "/etc/motd")
    assert r.rc in (0, 125) and (r.rc == 0 or f"/{path}" in r.err), r
