"""Hostile images at the level of manifests: refused with a text that names the rule, at once, and
nothing is left behind. Rows A27, A35; security.md 1.3, 1.4."""
import gzip
import json
import os
import time

import pytest

from imagelib import OCI, Layout, lab, make_tar, sha256, store  # noqa: F401
from lib import runner

BASE = make_tar({"etc": None, "etc/motd": b"hello\n"})
LAYER = OCI + "layer.v1.tar+gzip"


def plain(lay):
    return lay.config([BASE]), lay.blob(gzip.compress(BASE), LAYER)


def diffid_count(lay):
    _, layer = plain(lay)
    lay.add(lay.manifest(lay.config([BASE, BASE]), [layer]), "x:1")


def layer_count(lay):
    config, layer = plain(lay)
    lay.add(lay.manifest(config, [layer, layer]), "x:1")


def diffid_mismatch(lay):
    _, layer = plain(lay)
    lay.add(lay.manifest(lay.config([b"other"]), [layer]), "x:1")


def size_lie(lay):
    config, layer = plain(lay)
    lay.add(lay.manifest(config, [{**layer, "size": layer["size"] + 1}]), "x:1")


def size_short(lay):
    config, layer = plain(lay)
    lay.add(lay.manifest(config, [{**layer, "size": layer["size"] - 1}]), "x:1")


def size_neg(lay):
    config, layer = plain(lay)
    lay.add(lay.manifest(config, [{**layer, "size": -1}]), "x:1")


def size_config(lay):
    config, layer = plain(lay)
    lay.add(lay.manifest({**config, "size": 5}, [layer]), "x:1")


def blob_corrupt(lay):
    config, layer = plain(lay)
    name = "blobs/sha256/" + layer["digest"][7:]
    data = bytearray(lay.files[name])
    data[len(data) // 2] ^= 1
    lay.files[name] = bytes(data)
    lay.add(lay.manifest(config, [layer]), "x:1")


def blob_exchanged(lay):
    """Valid content, but not that of its digest."""
    config, layer = plain(lay)
    name = "blobs/sha256/" + layer["digest"][7:]
    lay.files[name] = gzip.compress(make_tar({"a": b"b"}))
    lay.add(lay.manifest(config, [{**layer, "size": len(lay.files[name])}]), "x:1")


def config_corrupt(lay):
    config, layer = plain(lay)
    name = "blobs/sha256/" + config["digest"][7:]
    lay.files[name] = lay.files[name].replace(b"linux", b"LINUX")
    lay.add(lay.manifest(config, [layer]), "x:1")


def blob_missing(lay):
    config, layer = plain(lay)
    del lay.files["blobs/sha256/" + layer["digest"][7:]]
    lay.add(lay.manifest(config, [layer]), "x:1")


def digest_traversal(lay):
    config, layer = plain(lay)
    lay.add(lay.manifest(config, [{**layer, "digest": "sha256:../../../../etc/passwd"}]), "x:1")


def digest_traversal_config(lay):
    config, layer = plain(lay)
    lay.add(lay.manifest({**config, "digest": "sha256:../../oci-layout"}, [layer]), "x:1")


def digest_alg(lay):
    config, layer = plain(lay)
    lay.add(lay.manifest(config, [{**layer, "digest": "crc32:00000000"}]), "x:1")


def diffid_alg(lay):
    _, layer = plain(lay)
    config = lay.config([], rootfs={"type": "layers", "diff_ids": ["md5:" + "0" * 32]})
    lay.add(lay.manifest(config, [layer]), "x:1")


def diffid_traversal(lay):
    """CVE-2014-9358: an id that is a path."""
    _, layer = plain(lay)
    config = lay.config([], rootfs={"type": "layers", "diff_ids": ["sha256:../../../x"]})
    lay.add(lay.manifest(config, [layer]), "x:1")


def confusion(lay):
    """CVE-2021-41190."""
    config, layer = plain(lay)
    lay.add(lay.manifest(config, [layer], manifests=[]), "x:1")


def index_as_image(lay):
    config, layer = plain(lay)
    image = lay.manifest(config, [layer])
    lay.add({**image, "mediaType": OCI + "index.v1+json"}, "x:1")


def deepjson(lay):
    config, layer = plain(lay)
    text = json.dumps({"schemaVersion": 2, "config": config, "layers": [layer]})[:-1]
    deep = (text + ',"x":' + "[" * 100000 + "]" * 100000 + "}").encode()
    lay.add(lay.blob(deep, OCI + "manifest.v1+json"), "x:1")


def deepconfig(lay):
    _, layer = plain(lay)
    deep = (b'{"rootfs":{"diff_ids":["' + sha256(BASE).encode() + b'"]},"x":' + b"[" * 100000 +
            b"]" * 100000 + b"}")
    lay.add(lay.manifest(lay.blob(deep, OCI + "config.v1+json"), [layer]), "x:1")


def hugejson(lay):
    config, layer = plain(lay)
    text = json.dumps({"schemaVersion": 2, "config": config, "layers": [layer]})[:-1]
    huge = (text + ',"x":"' + "x" * (64 << 20) + '"}').encode()
    lay.add(lay.blob(huge, OCI + "manifest.v1+json"), "x:1")


def hugeconfig(lay):
    _, layer = plain(lay)
    config = lay.config([BASE], x="x" * (5 << 20))
    lay.add(lay.manifest(config, [layer]), "x:1")


def duplicate_keys(lay):
    config, layer = plain(lay)
    text = json.dumps({"schemaVersion": 2, "config": config, "layers": [layer]})
    text = '{"layers":[],' + text[1:]
    lay.add(lay.blob(text.encode(), OCI + "manifest.v1+json"), "x:1")


def schema1(lay):
    text = b'{"schemaVersion":1,"name":"x","fsLayers":[],"history":[]}'
    lay.add(lay.blob(text, "application/vnd.docker.distribution.manifest.v1+json"), "x:1")


def artifact(lay):
    blob = lay.blob(b"{}", "application/vnd.oci.empty.v1+json")
    lay.add(lay.manifest(blob, [blob], artifactType="text/plain"), "x:1")


def layer_type(lay):
    config, layer = plain(lay)
    lay.add(lay.manifest(config, [{**layer, "mediaType": LAYER + "+encrypted"}]), "x:1")


def index_loop(lay):
    """Indexes that lead to ever more indexes."""
    config, layer = plain(lay)
    d = lay.manifest(config, [layer])
    for _ in range(8):
        doc = {"schemaVersion": 2, "manifests": [d]}
        d = lay.blob(json.dumps(doc).encode(), OCI + "index.v1+json")
    lay.add(d, "x:1")


def env_noeq(lay):
    _, layer = plain(lay)
    lay.add(lay.manifest(lay.config([BASE], config={"Env": ["PATH"]}), [layer]), "x:1")


def env_glob(lay):
    _, layer = plain(lay)
    lay.add(lay.manifest(lay.config([BASE], config={"Env": ["*"]}), [layer]), "x:1")


def name_bad(lay):
    config, layer = plain(lay)
    lay.add(lay.manifest(config, [layer]), "../../etc/x:1")


def name_control(lay):
    config, layer = plain(lay)
    lay.add(lay.manifest(config, [layer]), "x\x1b[31m:1")


def second_bad(lay):
    """A good image before a bad one: all or nothing."""
    config, layer = plain(lay)
    lay.add(lay.manifest(config, [layer]), "good:1")
    blob_exchanged_layer = lay.blob(gzip.compress(make_tar({"a": b"b"})), LAYER)
    lay.add(lay.manifest(lay.config([b"other"]), [blob_exchanged_layer]), "bad:1")


CASES = [
    (diffid_count, "1 layers, the configuration 2 diffIDs"),
    (layer_count, "2 layers, the configuration 1 diffIDs"),
    (diffid_mismatch, "diffID"),
    (size_lie, "its descriptor says"),
    (size_short, "its descriptor says"),
    (size_neg, "layers[0].size"),
    (size_config, "its descriptor says 5"),
    (blob_corrupt, "layer 1"),
    (blob_exchanged, "layer 1"),
    (config_corrupt, "digest mismatch"),
    (blob_missing, "missing from the archive"),
    (digest_traversal, "layers[0].digest"),
    (digest_traversal_config, "config.digest"),
    (digest_alg, "layers[0].digest"),
    (diffid_alg, "md5 is not supported"),
    (diffid_traversal, "rootfs.diff_ids[0]"),
    (confusion, "both an index and an image"),
    (index_as_image, "its descriptor"),
    (deepjson, "levels deep"),
    (deepconfig, "levels deep"),
    (hugejson, "more than the"),
    (hugeconfig, "more than the"),
    (duplicate_keys, "duplicate"),
    (schema1, "schema 1"),
    (artifact, "an artifact"),
    (layer_type, "layers[0].mediaType"),
    (index_loop, "nested more than"),
    (env_noeq, "config.Env[0]"),
    (env_glob, "config.Env[0]"),
    (name_bad, "image reference"),
    (name_control, "image reference"),
    (second_bad, "diffID"),
]


@pytest.mark.parametrize("make,want", CASES, ids=[c[0].__name__ for c in CASES])
@pytest.mark.parametrize("kind", ["archive", "directory"])
def test_refused(lab, store, make, want, kind):
    """A27: a flipped bit, a lie or a trick: exit 125, one line, nothing in the store."""
    lay = Layout()
    make(lay)
    path = lab.path(f"{make.__name__}.{kind}")
    getattr(lay, kind)(path)
    start = time.monotonic()
    text = store.fails("load", "-i", path)
    took = time.monotonic() - start
    assert want in text
    assert "\x1b" not in text
    assert store.files() == []
    assert took < 5 * runner.PATIENCE, took


def docker_files(**changes):
    config = json.dumps({"architecture": "amd64", "os": "linux",
                         "rootfs": {"type": "layers", "diff_ids": [sha256(BASE)]}}).encode()
    name = sha256(config)[7:] + ".json"
    item = {"Config": name, "RepoTags": ["d:1"], "Layers": ["l/layer.tar"]}
    item.update(changes.pop("item", {}))
    files = {name: config, "l/layer.tar": BASE, "manifest.json": json.dumps([item]).encode()}
    files.update(changes.pop("files", {}))
    return {k: v for k, v in files.items() if v is not None}


DOCKER = {
    "traversal": (dict(item={"Layers": ["../../../../etc/passwd"]}), "missing from the archive"),
    "absolute": (dict(item={"Config": "/etc/passwd"}), "missing from the archive"),
    "count": (dict(item={"Layers": []}), "0 layers, the configuration 1 diffIDs"),
    "link-out": (dict(files={"l/layer.tar": ("link", "../../../../etc/passwd")}),
                 "missing from the archive"),
    "link-loop": (dict(files={"l/layer.tar": ("link", "layer.tar")}), "missing from the archive"),
    "config-digest": (dict(item={"Config": "0" * 64 + ".json"},
                           files={"0" * 64 + ".json": b'{"rootfs":{"diff_ids":[]}}'}),
                      "digest mismatch"),
    "layer-bytes": (dict(files={"l/layer.tar": make_tar({"a": b"b"})}), "diffID"),
    "huge-list": (dict(files={"manifest.json": b"[" + b" " * (2 << 20) + b"]"}), "more than the"),
    "no-image": (dict(files={"manifest.json": b"[]"}), "no image in it"),
    "not-a-list": (dict(files={"manifest.json": b"{}"}), "want a list"),
    "nothing": (dict(files={"manifest.json": None}), "neither a docker nor an OCI image"),
}


@pytest.mark.parametrize("case", DOCKER)
def test_docker_refused(lab, store, case):
    changes, want = DOCKER[case]
    path = lab.path(f"docker-{case}.tar")
    with open(path, "wb") as f:
        f.write(make_tar(docker_files(**{k: dict(v) for k, v in changes.items()})))
    assert want in store.fails("load", "-i", path)
    assert store.files() == []


def test_not_an_archive(lab, store):
    for name, data in (("text", b"hello " * 1000), ("empty", b""), ("zero", bytes(10240)),
                       ("gz", gzip.compress(b"x" * 5000)), ("cutgz", gzip.compress(b"x" * 5000)[:9])):
        path = lab.path(name)
        with open(path, "wb") as f:
            f.write(data)
        store.fails("load", "-i", path)
        assert store.files() == []
    assert "No such file" in store.fails("load", "-i", lab.path("nowhere"))


def test_cut_archive(lab, store):
    lay = Layout()
    lay.add(lay.image([BASE]), "x:1")
    with open(lay.archive(lab.path("whole.tar")), "rb") as f:
        whole = f.read()
    end = len(whole.rstrip(b"\0"))
    for n in (100, 512, 700, 1024, end // 2, end - 600, end - 1):
        store.fails("load", stdin=whole[:n])
        assert store.files() == []


def test_directory_links(lab, store):
    """A layout directory whose blobs are links out of it, or a named pipe."""
    lay = Layout()
    config, layer = plain(lay)
    lay.add(lay.manifest(config, [layer]), "x:1")
    path = lay.directory(lab.path("links"))
    blob = os.path.join(path, "blobs/sha256", layer["digest"][7:])
    os.rename(blob, lab.path("outside"))
    os.symlink(lab.path("outside"), blob)
    store.fails("load", "-i", path)
    os.unlink(blob)
    os.mkfifo(blob)
    os.chmod(blob, 0o666)
    assert "not a regular file" in store.fails("load", "-i", path)
    assert store.files() == []
