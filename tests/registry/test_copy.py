"""copy: between registries, archives and directories, byte for byte and without the store."""
import base64
import hashlib
import json
import os
import sys
import tarfile

import pytest

from imagelib import Layout, OCI, make_tar
from lib import host, rows
from test_push import PEAK

COSIGN = "application/vnd.dev.cosign.simplesigning.v1+json"
HOST = "arm64" if os.uname().machine == "aarch64" else "amd64"
OTHER = "amd64" if HOST == "arm64" else "arm64"


def blob_gets(seen):
    return [s for s in seen if s.method == "GET" and "/blobs/sha256:" in s.path]


def blob_puts(seen):
    return [s for s in seen if s.method == "PUT" and "/blobs/uploads/" in s.path and s.status == 201]


def index_layout(directory):
    """An OCI layout with an index of two platforms and a statement about one of them, as buildkit writes it."""
    layout = Layout()
    entries = []
    for arch in (HOST, OTHER):
        d = layout.image([make_tar({"arch": arch.encode(), "both": b"same"})], architecture=arch)
        entries.append({**d, "platform": {"os": "linux", "architecture": arch}})
    statement = layout.blob(b'{"_type":"https://in-toto.io/Statement/v0.1"}', "application/vnd.in-toto+json")
    d = layout.manifest(layout.config([b""], architecture="unknown", os="unknown"), [statement])
    entries.append({**d, "platform": {"os": "unknown", "architecture": "unknown"},
                    "annotations": {"vnd.docker.reference.type": "attestation-manifest",
                                    "vnd.docker.reference.digest": entries[0]["digest"]}})
    index = {"schemaVersion": 2, "mediaType": OCI + "index.v1+json", "manifests": entries}
    layout.add(layout.blob(json.dumps(index).encode(), OCI + "index.v1+json"), "multi")
    os.makedirs(directory)
    return layout.directory(str(directory)), entries


@pytest.fixture(scope="module")
def multi(rootlet_base, users):
    path = users[0].home / "multi"
    layout = index_layout(path)
    os.chmod(path, 0o755)
    yield layout
    host.shutil.rmtree(path)


@pytest.fixture
def place(rl):
    """A directory of the test user."""
    path = rl.user.home / "copies"
    path.mkdir()
    if rl.user.made:
        os.chown(path, rl.user.uid, rl.user.gid)
    yield path
    host.shutil.rmtree(path)


@pytest.mark.parametrize("kind", ["oci", "v2s2"])
def test_registry_to_registry(rl, images, lab, registry, htpasswd_registry, kind):
    source = registry.push(images.path("layers"), f"copy/{kind}:1", format=kind)
    options = ["--src-tls-verify=false", "--dest-creds", htpasswd_registry.credentials(), "--dest-cert-dir",
               lab.cert_dir()]
    with registry.watch() as gets, htpasswd_registry.watch() as puts:
        r = rl.ok("copy", *options, f"docker://{source}", f"docker://{htpasswd_registry.name(f'there/{kind}:2')}")
    raw = registry.inspect_raw(f"copy/{kind}:1")
    assert htpasswd_registry.inspect_raw(f"there/{kind}:2") == raw
    assert r.text == "sha256:" + hashlib.sha256(raw).hexdigest()
    blobs = 1 + len(json.loads(raw)["layers"])
    assert len(blob_gets(gets)) == blobs and len(blob_puts(puts)) == blobs
    assert not (rl.store.root / "layers").exists(), "the store was used"
    with registry.watch() as gets:
        rl.ok("copy", "-q", *options, f"docker://{source}", f"docker://{htpasswd_registry.name(f'there/{kind}:3')}")
    assert not blob_gets(gets)


def test_within_a_registry_nothing_moves(rl, images, registry):
    source = registry.push(images.path("layers"), "within/a:1")
    with registry.watch() as seen:
        rl.ok("copy", *rl.trust(registry), f"docker://{source}", f"docker://{registry.name('within/b:1')}")
    assert registry.inspect_raw("within/b:1") == registry.inspect_raw("within/a:1")
    assert not blob_gets(seen) and not blob_puts(seen)


def test_index(rl, registry, multi, place):
    layout, entries = multi
    trust = rl.trust(registry)
    with open(f"{layout}/index.json", encoding="utf-8") as f:
        digest = json.load(f)["manifests"][0]["digest"]
    r = rl.ok("copy", "--all", *trust, f"oci:{layout}:multi", f"docker://{registry.name('multi/a:1')}")
    assert r.text == digest == "sha256:" + hashlib.sha256(registry.inspect_raw("multi/a:1")).hexdigest()
    for entry in entries:
        assert registry.inspect_raw(f"multi/a@{entry['digest']}")
    rl.ok("copy", "--all", *trust, f"docker://{registry.name('multi/a:1')}", f"oci:{place}/layout:x")
    blobs = {p.name for p in (place / "layout/blobs/sha256").iterdir()}
    assert blobs == set(os.listdir(f"{layout}/blobs/sha256"))
    # One of them.
    r = rl.ok("copy", *trust, f"docker://{registry.name('multi/a:1')}", f"docker://{registry.name('multi/host:1')}")
    assert r.text == entries[0]["digest"]
    r = rl.ok("copy", "--platform", f"linux/{OTHER}", *trust, f"docker://{registry.name('multi/a:1')}",
              f"docker://{registry.name('multi/other:1')}")
    assert r.text == entries[1]["digest"]
    rl.fails("copy", "--platform", "linux/s390x", *trust, f"docker://{registry.name('multi/a:1')}",
             f"docker://{registry.name('multi/none:1')}", match="no image for linux/s390x")
    rl.fails("copy", "--all", f"oci:{layout}:multi", f"docker-archive:{place}/x.tar", match="one platform only")


@rows("A26")
def test_files_and_back(rl, images, registry, place):
    source = registry.push(images.path("layers"), "files:1", format="oci")
    trust = rl.trust(registry)
    raw = registry.inspect_raw("files:1")
    config = json.loads(raw)["config"]["digest"]
    for text in (f"oci:{place}/layout:1", f"oci-archive:{place}/oci.tar:1", f"dir:{place}/dir",
                 f"docker-archive:{place}/docker.tar:localhost/back:1"):
        kind = text.split(":", maxsplit=1)[0]
        r = rl.ok("copy", *trust, f"docker://{source}", text)
        rl.lab_check = registry.lab.skopeo("inspect", "--config", "--raw", text)
        assert "sha256:" + hashlib.sha256(rl.lab_check).hexdigest() == config
        rl.ok("copy", *trust, text, f"docker://{registry.name(f'back/{kind}:1')}")
        back = registry.inspect_raw(f"back/{kind}:1")
        assert json.loads(back)["config"]["digest"] == config
        if kind != "docker-archive":
            assert back == raw and r.text == "sha256:" + hashlib.sha256(raw).hexdigest()
            registry.lab.skopeo("copy", "-q", *registry.peer_options("dest-"), "--preserve-digests", text,
                                f"docker://{registry.name(f'skopeo/{kind}:1')}")
        if kind != "dir":
            assert config[7:] in rl.ok("load", "-i", text.split(":")[1]).out or \
                rl.ok("image", "inspect", config).json()
    # A second image beside the first; a name that is there gets the new one.
    rl.ok("copy", *trust, f"docker://{source}", f"oci:{place}/layout:2")
    rl.ok("copy", *trust, f"docker://{source}", f"oci:{place}/layout:1")
    names = [m["annotations"]["org.opencontainers.image.ref.name"]
             for m in json.loads((place / "layout/index.json").read_text())["manifests"]]
    assert sorted(names) == ["1", "2"]
    rl.fails("copy", f"oci:{place}/layout", f"dir:{place}/x", match="several images are in it\nhint: name one")
    rl.fails("copy", f"oci:{place}/layout:3", f"dir:{place}/x", match="no image 3 in it")
    rl.fails("copy", *trust, f"docker://{source}", f"dir:{place}/dir", match="an image is in it already")
    with open(place / "stream.tar", "wb") as f:
        rl.ok("copy", "-q", *trust, f"docker://{source}", "docker-archive:-", stdout=f)
    assert "manifest.json" in tarfile.open(place / "stream.tar").getnames()


def test_from_the_store(rl, registry, place):
    rl.image("layers")
    rl.ok("copy", "localhost/layers", f"oci:{place}/layout:1")
    rl.ok("copy", *rl.trust(registry), "localhost/layers", f"docker://{registry.name('store:1')}")
    image = "sha256:" + rl.ok("image", "inspect", "localhost/layers").json()[0]["Id"]
    assert json.loads(registry.inspect_raw("store:1"))["config"]["digest"] == image
    assert (place / "layout/blobs/sha256" / image[7:]).exists()
    registry.lab.skopeo("copy", "-q", f"oci:{place}/layout:1", f"dir:{place}/check")
    rl.fails("copy", "localhost/layers", "other", match="rootlet tag")
    rl.fails("copy", f"docker://{registry.name('store:1')}", "other", match="rootlet pull")
    rl.fails("copy", "docker-daemon:x", "dir:y", match="docker save")
    rl.fails("copy", "oci:", "dir:y", match="names no file")


def test_formats_and_preserved_digests(rl, images, registry):
    source = registry.push(images.path("layers"), "convert:1", format="oci")
    trust = rl.trust(registry)
    to = f"docker://{registry.name('convert:2')}"
    with registry.watch() as seen:
        rl.fails("copy", "--preserve-digests", "--format", "v2s2", *trust, f"docker://{source}", to,
                 match="digest would change")
    assert not any(s.method == "PUT" and "/manifests/" in s.path for s in seen)
    rl.ok("copy", "--format", "v2s2", *trust, f"docker://{source}", to)
    docker = json.loads(registry.inspect_raw("convert:2"))
    oci = json.loads(registry.inspect_raw("convert:1"))
    assert "docker" in docker["mediaType"] and docker["config"]["digest"] == oci["config"]["digest"]
    assert [x["digest"] for x in docker["layers"]] == [x["digest"] for x in oci["layers"]]
    rl.ok("copy", "--format", "oci", *trust, to, f"docker://{registry.name('convert:3')}")
    registry.lab.skopeo("inspect", *registry.peer_options(), f"docker://{registry.name('convert:3')}")


def signature(directory, digest):
    """What cosign attaches, by its form; nobody verifies it here."""
    layout = Layout()
    payload = json.dumps({"critical": {"image": {"docker-manifest-digest": digest}}}).encode()
    layer = {**layout.blob(payload, COSIGN),
             "annotations": {"dev.cosignproject.cosign/signature": base64.b64encode(b"x").decode()}}
    config = layout.config([payload])
    layout.add(layout.manifest(config, [layer]), "sig")
    os.makedirs(directory)
    return layout.directory(str(directory))


def test_signatures_go_along(rl, images, registry, tls_registry, tmp_path):
    source = registry.push(images.path("busybox"), "signed:1")
    digest = "sha256:" + hashlib.sha256(registry.inspect_raw("signed:1")).hexdigest()
    tag = digest.replace(":", "-") + ".sig"
    registry.lab.skopeo("copy", "-q", *registry.peer_options("dest-"), f"oci:{signature(tmp_path / 's', digest)}:sig",
                        f"docker://{registry.name(f'signed:{tag}')}")
    options = ["--src-tls-verify=false", "--dest-cert-dir", registry.lab.cert_dir()]
    rl.ok("copy", *options, f"docker://{source}", f"docker://{tls_registry.name('signed:2')}")
    assert tls_registry.inspect_raw(f"signed:{tag}") == registry.inspect_raw(f"signed:{tag}")
    rl.ok("copy", "--remove-signatures", *options, f"docker://{source}", f"docker://{tls_registry.name('unsigned:2')}")
    tags = tls_registry.lab.skopeo("list-tags", *tls_registry.peer_options(), f"docker://{tls_registry.name('unsigned')}")
    assert json.loads(tags)["Tags"] == ["2"]


def test_damage_stops_it(rl, images, lab, registry, place):
    other = lab.registry(fresh=True)
    source = other.push(images.path("layers"), "bad:1")
    layer = json.loads(other.inspect_raw("bad:1"))["layers"][0]["digest"]
    path = other.blob_path(layer)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with registry.watch() as seen:
        rl.fails("copy", *rl.trust(registry), f"docker://{source}", f"docker://{registry.name('bad:1')}",
                 match=f"{layer[:19]}")
    assert not any(s.method == "PUT" and "/manifests/" in s.path for s in seen)
    rl.fails("copy", *rl.trust(other), f"docker://{source}", f"oci-archive:{place}/bad.tar", match="digest mismatch")
    rl.fails("copy", *rl.trust(other), f"docker://{source}", f"oci:{place}/bad:1", match="digest mismatch")
    assert not (place / "bad.tar").exists() and not (place / "bad/index.json").exists()
    assert not [p for p in place.rglob("*") if p.name.startswith(".tmp")]


def test_policy_is_asked_first(rl, images, registry, place):
    source = registry.push(images.path("busybox"), "policy:1")
    policy = place / "policy.json"
    policy.write_text('{"default":[{"type":"reject"}]}')
    policy.chmod(0o644)
    with registry.watch() as seen:
        rl.fails("copy", "--signature-policy", policy, *rl.trust(registry), f"docker://{source}", f"dir:{place}/x",
                 match="policy")
    assert not blob_gets(seen)


def test_manifest_inspect(rl, images, registry, multi):
    source = registry.push(images.path("layers"), "inspect:1")
    trust = rl.trust(registry)
    raw = registry.inspect_raw("inspect:1")
    assert rl.ok("manifest", "inspect", *trust, source, binary=True).out == raw.removesuffix(b"\n") + b"\n"
    assert rl.ok("manifest", "inspect", "--insecure", f"docker://{source}", binary=True).out == raw.removesuffix(b"\n") + b"\n"
    shown = rl.ok("manifest", "inspect", "-v", *trust, source).json()
    assert shown["Descriptor"]["digest"] == "sha256:" + hashlib.sha256(raw).hexdigest() and shown["Ref"] == source
    layout, entries = multi
    shown = rl.ok("manifest", "inspect", "-v", f"oci:{layout}:multi").json()
    assert [s["Descriptor"]["digest"] for s in shown] == [e["digest"] for e in entries]
    assert shown[0]["Descriptor"]["platform"]["architecture"] == HOST
    rl.image()
    assert json.loads(rl.ok("manifest", "inspect", "localhost/busybox").out)["layers"]
    assert rl.ok("manifest", "inspect", "containers-storage:busybox").out
    rl.fails("manifest", "inspect", *trust, registry.name("inspect:none"), match="^Error: manifest inspect .*none")
    for word in ("create", "push", "add"):
        rl.fails("manifest", word, "x", match="not there yet\nhint: buildah manifest")


@pytest.mark.skipif(host.SANITIZERS, reason="they need memory of their own")
def test_memory_is_bounded(rl, registry, tls_registry, place):
    """The source is quicker than what takes it: it has to wait."""
    rl.ok("import", "-q", "-", "localhost/big", input=make_tar({"big": os.urandom(32 << 20)}))
    rl.ok("push", "-q", *rl.trust(registry), "localhost/big", registry.name("big/copy:1"))
    raw = registry.inspect_raw("big/copy:1")
    for to in (f"dir:{place}/big", f"docker://{tls_registry.name('big/copy:1')}"):
        r = rl.ok("copy", "-q", "--src-tls-verify=false", "--dest-cert-dir", registry.lab.cert_dir(),
                  f"docker://{registry.name('big/copy:1')}", to, prefix=[sys.executable, "-c", PEAK])
        assert "sha256:" + hashlib.sha256(raw).hexdigest() in r.out
        assert int(r.out.split()[-1]) < 28 << 10, r
