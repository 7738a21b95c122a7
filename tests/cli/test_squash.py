"""Owners that the user's ids cannot hold: --squash-ids, and users with one id only."""
import io
import os
import stat
import subprocess
import tarfile

import pytest

from imagelib import Layout, lab, need, store  # pylint: disable=unused-import
from lib import host, images as images_, rows
from lib.builder import fixture_build  # noqa: F401, pylint: disable=unused-import
from test_userns import without_subids  # pylint: disable=unused-import

BIG = 3000000


def odd_layer():
    """busybox's small system, and files of owners that nobody has."""
    tar = images_.busybox_layer()
    tar.add_dir("owned", 0o2775, BIG, BIG + 1)
    tar.add_file("owned/file", "content\n", 0o640, BIG, 5)
    tar.add_file("owned/setuid", "x", 0o6755, BIG, BIG)
    tar.add_file("owned/known", "k", 0o4755, 7, 8)
    tar.add_link("owned/hard", "owned/file", hard=True)
    tar.add_link("owned/link", "file")
    tar.tar.close()
    return tar.buffer.getvalue()


@pytest.fixture
def archive(lab):
    path = lab.path("odd.tar")
    tar = odd_layer()
    layout = Layout()
    layout.add(layout.image([tar], config={"Cmd": ["/bin/sh"], "Env": ["PATH=/bin"]}), "odd:1").archive(path)
    lab.own(path)
    return path, tar


def true_owners(data):
    with tarfile.open(fileobj=io.BytesIO(data)) as t:
        return {m.name.removeprefix("./"): (m.uid, m.gid) for m in t if "owned/" in m.name and not m.issym()}


WANT = {"owned/file": (BIG, 5), "owned/setuid": (BIG, BIG), "owned/known": (7, 8), "owned/hard": (BIG, 5)}


@rows("A26")
def test_squash(lab, store, archive):
    path, tar = archive
    text = store.fails("load", "-i", path)
    assert 'entry "owned' in text and f"uid {BIG} is not in your subordinate id range" in text, text
    assert "hint: " in text and "--squash-ids" in text and "usermod" in text, text
    assert not [f for f in store.files() if f.startswith("layers/")]
    done = store.run("load", "--squash-ids", "-i", path)
    assert "replaced by root" in done.stderr
    look = store.out("run", "--rm", "localhost/odd:1", "sh", "-c",
                     "stat -c '%n %u:%g %a' /owned /owned/*; cat /owned/hard; id -u")
    assert look.splitlines() == [
        "/owned 0:0 2775", "/owned/file 0:5 640", "/owned/hard 0:5 640", "/owned/known 7:8 4755", "/owned/link 0:0 777",
        # Whoever starts it must not become root in place of somebody unknown.
        "/owned/setuid 0:0 755", "content", "0"], look
    layer = os.path.join(store.root, "layers", store.layers()[0], "diff/owned")
    if host.is_root():
        assert os.getxattr(f"{layer}/file", "user.rootlet.owner") == f"{BIG}:5".encode()
        assert "user.rootlet.owner" not in os.listxattr(f"{layer}/known")
    # What leaves the store has the owners that came.
    saved = lab.path("saved.tar")
    store.run("save", "--format", "oci-archive", "-o", saved, "localhost/odd:1")
    with tarfile.open(saved) as t:
        blobs = [t.extractfile(m).read() for m in t if m.name.startswith("blobs/") and m.isfile()]
    assert tar in blobs
    store.run("run", "--name", "c", "localhost/odd:1", "sh", "-c", "echo more >> /owned/file; chown 3 /owned/known")
    assert true_owners(store.run("export", "c").stdout) == {**WANT, "owned/known": (3, 8)}
    store.run("rm", "c")
    store.run("rmi", "localhost/odd:1")
    rebuilt = store.run("import", "-q", "--squash-ids", "-", "again", stdin=tar)
    assert rebuilt.returncode == 0
    store.run("rmi", "again")


def test_import_without_squash(store):
    r = store.run("import", "-", "again", stdin=odd_layer(), check=False)
    assert r.returncode == 125 and f"uid {BIG}" in r.stderr and "owned" in r.stderr


@rows("B25")
def test_single_id_runs_real_images(without_subids, lab, archive):
    """Everything becomes the user's, told once."""
    rootlet = without_subids
    r = rootlet.ok("load", "-i", archive[0])
    assert r.err.count("every file of an image is yours") == 1, r.err
    assert "replaced by root" not in r.err
    out = rootlet.ok("run", "--rm", "localhost/odd:1", "sh", "-c", "stat -c %u:%g /owned/file /home/app; echo x > /owned/file")
    assert out.text == "0:0\n0:0"
    rootlet.ok("rmi", "localhost/odd:1")


@rows("B25")
def test_single_id_runs_debian(without_subids):
    need("mmdebstrap")
    rootlet = without_subids
    image = rootlet.image("debian")
    out = rootlet.ok("run", "--rm", image, "sh", "-c", "cat /etc/debian_version >/dev/null && dpkg --version | head -1 && id -u")
    assert out.text.endswith("\n0")
    rootlet.ok("run", "--rm", image, "sh", "-c", "cp -a /etc /etc2 && rm -r /etc2 && test -u /bin/su")


@rows("A26", "B55")
def test_build_squashes(build, rootlet):
    """Archives and owners that a Containerfile names; what leaves the store has the owners that it names."""
    build.add("odd.tar").write_bytes(odd_layer())
    for text, why in (("FROM BASE\nADD odd.tar /\n", f"uid {BIG} is not in your subordinate id range"),
                      (f"FROM BASE\nCOPY --chown={BIG}:5 odd.tar /owned/file\n", f"uid {BIG} is not")):
        r = build(text, rc=125)
        assert why in r.err and "hint: " in r.err and "--squash-ids" in r.err, r.err
        assert r.err.count(str(BIG)) <= 2
    text = f"FROM BASE\nADD odd.tar /\nCOPY --chown={BIG}:5 odd.tar /owned/other\nRUN stat -c '%n %u:%g' /owned/file /owned/known /owned/other\n"
    assert build.lines(text, "--squash-ids", "-t", "odd") == ["/owned/file 0:5", "/owned/known 7:8", "/owned/other 0:5"]
    rootlet.ok("create", "--name", "c", "odd")
    owners = true_owners(rootlet.ok("export", "c", binary=True).out)
    assert {n: owners[n] for n in owners if n != "owned/hard"} == {n: o for n, o in [*WANT.items(), ("owned/other", (BIG, 5))] if n != "owned/hard"}
    rootlet.ok("rm", "c")
