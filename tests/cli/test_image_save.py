"""rootlet save and import: what goes out is read by other people's tools, and comes back the same.
Rows A2, A26, A28, B54."""
import io
import json
import os
import subprocess
import tarfile

import pytest

from imagelib import Layout, lab, make_tar, need, sha256, store  # noqa: F401

ONE = make_tar({"etc": None, "etc/one": b"1\n" * 700, "etc/link": ("link", "one")})
TWO = make_tar({"etc": None, "etc/.wh.one": b"", "etc/two": b"2\n", "dir": None})


@pytest.fixture
def full(lab, store):
    lay = Layout()
    lay.add(lay.image([ONE, TWO]), "example.com/full:1")
    store.load(lay.archive(lab.path("full.tar")), "-q")
    return store


def skopeo(*args):
    need("skopeo")
    return json.loads(subprocess.run(["skopeo", "inspect", *args], check=True,
                                     capture_output=True).stdout)


@pytest.mark.parametrize("fmt,transport", [("docker-archive", "docker-archive:{}"),
                                           ("oci-archive", "oci-archive:{}"),
                                           ("oci-dir", "oci:{}")])
def test_round_trip(lab, full, fmt, transport):
    """load, save, and skopeo and a second store see the same image."""
    path = lab.path(f"out-{fmt}-{os.path.basename(full.root)}")
    full.run("save", "-q", "--format", fmt, "-o", path, "example.com/full:1")
    info = full.inspect("example.com/full:1")
    seen = skopeo("--config", transport.format(path))
    assert seen["rootfs"]["diff_ids"] == info["RootFS"]["Layers"] == [sha256(ONE), sha256(TWO)]
    again = lab.store()
    assert again.load(path, "-q").stdout == b"Loaded image: example.com/full:1\n"
    assert again.id("example.com/full:1") == info["Id"]


def test_same_bytes(lab, full):
    """Two saves are equal byte by byte, and a saved OCI archive keeps its manifest's digest."""
    a = full.run("save", "-q", "example.com/full:1").stdout
    b = full.run("save", "-q", "example.com/full:1").stdout
    assert a == b
    oci = full.run("save", "-q", "--format", "oci-archive", "example.com/full:1").stdout
    again = lab.store()
    again.run("load", "-q", stdin=oci)
    assert again.run("save", "-q", "--format", "oci-archive", "example.com/full:1").stdout == oci


def test_umoci_unpacks(lab, full):
    need("umoci")
    path = lab.path("for-umoci")
    full.run("save", "-q", "--format", "oci-dir", "-o", path, "example.com/full:1")
    index = json.load(open(f"{path}/index.json", encoding="utf-8"))
    index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"] = "1"
    json.dump(index, open(f"{path}/index.json", "w", encoding="utf-8"))
    bundle = lab.path("bundle")
    rootless = [] if os.geteuid() == 0 else ["--rootless"]
    subprocess.run(["umoci", "unpack", *rootless, "--image", f"{path}:1", bundle], check=True,
                   capture_output=True)
    assert sorted(os.listdir(f"{bundle}/rootfs/etc")) == ["link", "two"]
    assert os.path.isdir(f"{bundle}/rootfs/dir")


def test_several_share(lab, full):
    """Several images in one archive: shared layers once, names of one image together."""
    full.run("tag", "example.com/full:1", "other:2")
    lay = Layout()
    lay.add(lay.image([ONE]), "small:1")
    full.load(lay.archive(lab.path("small.tar")), "-q")
    data = full.run("save", "-q", "example.com/full:1", "other:2", "small:1").stdout
    with tarfile.open(fileobj=io.BytesIO(data)) as t:
        names = t.getnames()
        listed = json.load(t.extractfile("manifest.json"))
    assert len([n for n in names if n.endswith(".tar")]) == 2 and len(set(names)) == len(names)
    assert [i["RepoTags"] for i in listed] == [["example.com/full:1", "localhost/other:2"],
                                               ["localhost/small:1"]]
    again = lab.store()
    again.run("load", "-q", stdin=data)
    assert again.id("other:2") == again.id("example.com/full:1") == full.id("other:2")
    by_id = full.run("save", "-q", full.id("small:1")).stdout
    with tarfile.open(fileobj=io.BytesIO(by_id)) as t:
        assert json.load(t.extractfile("manifest.json"))[0]["RepoTags"] == []


def test_errors(lab, full):
    assert "image not known" in full.fails("save", "-o", lab.path("nope.tar"), "nope")
    assert not os.path.exists(lab.path("nope.tar"))
    assert "docker-archive" in full.fails("save", "--format", "zip", "example.com/full:1")
    os.makedirs(lab.path("full-dir/x"), exist_ok=True)
    assert "not empty" in full.fails("save", "--format", "oci-dir", "-o", lab.path("full-dir"),
                                     "example.com/full:1")
    assert os.path.isdir(lab.path("full-dir/x"))
    assert "--output" in full.fails("save", "--format", "oci-dir", "example.com/full:1")


def test_terminal(full):
    """An archive is not written to a terminal."""
    t = full.rootlet.pty("save", "example.com/full:1")
    assert t.wait() == 125
    assert "terminal" in t.output


def test_damaged_layer(lab, full):
    """A changed file is noticed by save and by image check, and no archive appears."""
    with open(full.layer_file(sha256(ONE), "etc/one"), "r+b") as f:
        f.write(b"x")
    full.fails("save", "-q", "-o", lab.path("damaged.tar"), "example.com/full:1")
    assert not [n for n in os.listdir(lab.top) if n.startswith("damaged.tar")]
    r = full.run("image", "check", check=False)
    assert r.returncode == 1 and b"damaged" in r.stdout + r.stderr.encode()
    assert full.run("image", "check", "--quick").returncode == 0


def rootfs_tar():
    return make_tar({"bin": None, "bin/x": b"#!", "etc": None, "etc/passwd": b"root:x:0:0::/:\n"})


def test_import(lab, store):
    path = lab.path("rootfs.tar")
    with open(path, "wb") as f:
        f.write(rootfs_tar())
    changes = ["CMD [\"/bin/x\"]", "ENTRYPOINT /bin/y z", "ENV A=1 B='x y'", "WORKDIR /w",
               "USER 1:2", "LABEL k=v", "EXPOSE 80", "VOLUME /v", "STOPSIGNAL SIGINT"]
    args = [a for c in changes for a in ("-c", c)]
    image_id = store.out("import", "-m", "by hand", *args, path, "mine:1")
    info = store.inspect("mine:1")
    assert image_id == "sha256:" + info["Id"]
    assert info["RepoTags"] == ["localhost/mine:1"]
    assert info["RootFS"]["Layers"] == [sha256(rootfs_tar())]
    assert info["Config"] == {
        "Cmd": ["/bin/x"], "Entrypoint": ["/bin/sh", "-c", "/bin/y z"], "Env": ["A=1", "B=x y"],
        "WorkingDir": "/w", "User": "1:2", "Labels": {"k": "v"}, "ExposedPorts": {"80/tcp": {}},
        "Volumes": {"/v": {}}, "StopSignal": "SIGINT"}
    assert info["Comment"] == "by hand" and info["Os"] == "linux"


def test_import_stdin(lab, store):
    """Compressed, from a pipe, unnamed; SOURCE_DATE_EPOCH makes the id repeatable."""
    import gzip
    env = {"SOURCE_DATE_EPOCH": "1700000000"}
    a = store.out("import", "-", stdin=gzip.compress(rootfs_tar()), env=env)
    b = store.out("import", "-", stdin=rootfs_tar(), env=env)
    assert a == b
    assert store.inspect(a)["Created"] == "2023-11-14T22:13:20Z"
    assert store.inspect(a)["RepoTags"] == []


def test_import_refused(lab, store):
    cases = [(("import", "-", "BAD"), rootfs_tar(), "image reference"),
             (("import", "-c", "RUN x", "-"), rootfs_tar(), "--change"),
             (("import", "-c", "ENV x", "-"), rootfs_tar(), "NAME=VALUE"),
             (("import", "-"), b"no tar at all" * 100, "import -"),
             (("import", "http://example.invalid/x"), b"", "network"),
             (("import", lab.top), b"", "is a directory"),
             (("import", "-"), make_tar({"../x": b"y"}), "entry"),
             (("import", "-"), rootfs_tar()[:700], "import -")]
    for args, data, want in cases:
        assert want in store.fails(*args, stdin=data), args
        assert store.files() == []
