"""pull: from a real registry, from one that breaks off, by several processes at once, and after each other's deaths."""
import contextlib
import gzip
import hashlib
import json
import os
import signal
import subprocess
import sys
import pathlib

import pytest

import hostile
from lib import host, images as lib_images
from screen import screen

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "cli"))

# pylint: disable=wrong-import-position
import imagelib  # noqa: E402
from imagelib import Layout, make_tar, sha256  # noqa: E402
from test_full import Disk  # noqa: E402

rows = pytest.mark.rows
OCI = imagelib.OCI
DOCKER = "application/vnd.docker."
ARCH = lib_images.ARCHITECTURES.get(os.uname().machine, os.uname().machine)


def noise(n, seed=0):
    """Bytes that do not become less by compression."""
    return b"".join(hashlib.sha512(b"%d.%d" % (seed, i)).digest() for i in range(n // 64 + 1))[:n]


def files_of(rl):
    """What the store holds, by kind; nothing of it may be there after a refusal."""
    found = []
    for sub in ("blobs/sha256", "layers", "images", "refs", "ingest", "trash"):
        top = rl.store.root / sub
        if top.is_dir():
            found += [f"{sub}/{name}" for name in os.listdir(top)]
    return sorted(found)


def kinds(rl):
    """The endings of what lies in ingest/."""
    return sorted(name.rpartition(".")[2] for name in os.listdir(rl.store.root / "ingest"))


def forget_parts(rl):
    """What may stay after a failure."""
    for path in (rl.store.root / "ingest").glob("*.part"):
        path.unlink()


def one_layer(tar):
    layout = Layout()
    return layout.add(layout.image([tar], compress=gzip.compress), "t")


def blobs(seen):
    """(digest, status) of each blob that was asked for."""
    return [(s.path.rpartition("/")[2], s.status) for s in seen if s.method == "GET" and "/blobs/" in s.path]


@pytest.fixture
def push(registry, tmp_path):
    """Pushes a Layout as it is: push(layout, "x:1")."""
    def pushed(layout, name, *options):
        where = tmp_path / f"layout{len(list(tmp_path.iterdir()))}"
        where.mkdir()
        layout.directory(str(where))
        tag = layout.manifests[0].get("annotations", {}).get("org.opencontainers.image.ref.name")
        return registry.push(f"oci:{where}" + (f":{tag}" if tag else ""), name, "--preserve-digests", *options)
    return pushed


def archive(images):
    """Three layers, as an OCI archive."""
    return f"oci-archive:{images.path('layers')}"


# From a real registry


@rows("A2", "A25", "A28")
def test_token(rl, token_registry, images):
    name = token_registry.push(archive(images), "pull/layers:1")
    with token_registry.watch() as seen:
        r = rl.ok("pull", *rl.trust(token_registry), name)
    manifest = json.loads(token_registry.inspect_raw("pull/layers:1"))
    assert r.out == manifest["config"]["digest"][7:] + "\n"
    asked = [s.status for s in seen if "/manifests/" in s.path]
    assert asked[0] == 401 and asked[-1] == 200
    assert {s for d, s in blobs(seen)} == {200}
    assert all(len(d) == 64 for d in os.listdir(rl.store.root / "layers")) and not kinds(rl)
    assert rl.ok("run", "--rm", name, "sh", "-c", "echo ran").out == "ran\n"
    rl.fails("pull", *rl.trust(token_registry, creds=False), name, match="(?m)^Error: pull .*\nhint: ")
    assert "pull " in rl.ok("events", "--stream=false", "--since", "1h", "--filter", "event=pull").out


@rows("A2", "A27", "A31")
@pytest.mark.parametrize("how", ["--format=oci", "--format=v2s2"])
def test_same_as_loaded(rl, registry, images, how):
    """What skopeo has pushed has the digest that skopeo says, and the layers of the archive."""
    name = registry.push(archive(images), f"pull/same:{how[9:]}", how)
    image_id = rl.ok("pull", "-q", *rl.trust(registry), name).out.strip()
    pulled = set(os.listdir(rl.store.root / "layers"))
    raw = registry.inspect_raw(name.partition("/")[2])
    assert rl.ok("images", "--no-trunc", "--digests", "--format", "{{.Digest}} {{.ID}}").out == \
        f"{sha256(raw)} {image_id}\n"
    record = json.loads((rl.store.root / "layers" / sorted(pulled)[0] / "layer.json").read_text())
    assert record["blobs"][0]["digest"] in raw.decode() and record["blobs"][0]["size"] > 0
    rl.image("layers")
    assert set(os.listdir(rl.store.root / "layers")) == pulled
    rl.ok("image", "check")


@rows("A27")
def test_flipped_byte(rl, push, registry):
    layout = Layout()
    layout.add(layout.image([make_tar({"a": noise(200_000, 1)})]), "t")
    name = push(layout, "pull/flipped:1")
    manifest = json.loads(registry.inspect_raw("pull/flipped:1"))
    path = registry.blob_path(manifest["layers"][0]["digest"])
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    r = rl.fails("pull", *rl.trust(registry), name, match="(?m)^Error: pull .*digest mismatch: .*" + sha256(bytes(data)))
    assert len([line for line in r.err.splitlines() if line.startswith("Error: ")]) == 1
    assert not files_of(rl)


@rows("A31")
def test_shared_layers(rl, push, registry):
    """Only what is new is fetched."""
    shared = [make_tar({f"f{i}": noise(50_000, 10 + i)}) for i in range(3)]
    for n, tars in enumerate([shared, [shared[0], make_tar({"new": b"new"}), *shared[1:]]]):
        layout = Layout()
        layout.add(layout.image(tars), "t")
        name = push(layout, f"pull/shared{n}:1")
        with registry.watch() as seen:
            r = rl.ok("pull", *rl.trust(registry), name)
    assert len(blobs(seen)) == 2  # the configuration and one layer
    assert r.err.count("skipped: already exists") == 3


def test_odd_layers(rl, push, registry, tmp_path):
    """Uncompressed, zstd of several frames, the same twice, and none at all."""
    imagelib.need("zstd")

    def frames(data):
        half = len(data) // 2
        return b"".join(subprocess.run(["zstd", "-q", "-c"], input=part, capture_output=True, check=True).stdout
                        for part in (data[:half], b"", data[half:]))
    tars = [make_tar({"plain": noise(90_000, 2)}), make_tar({"frames": noise(300_000, 3)}), make_tar({"gz": b"z"})]
    layout = Layout()
    layers = [layout.blob(tars[0], OCI + "layer.v1.tar"), layout.blob(frames(tars[1]), OCI + "layer.v1.tar+zstd"),
              layout.blob(gzip.compress(tars[2][:100]) + gzip.compress(tars[2][100:]), OCI + "layer.v1.tar+gzip")]
    layout.add(layout.manifest(layout.config([*tars, tars[2]]), [*layers, layers[2]]), "t")
    name = push(layout, "pull/odd:1")
    rl.ok("pull", "-q", *rl.trust(registry), name)
    trees = {f.name: f.read_bytes() for f in (rl.store.root / "layers").glob("*/diff/*")}
    assert trees == {"plain": noise(90_000, 2), "frames": noise(300_000, 3), "gz": b"z"}
    rl.ok("image", "check")
    empty = Layout()
    empty.add(empty.manifest(empty.config([]), []), "t")
    rl.ok("pull", "-q", *rl.trust(registry), push(empty, "pull/empty:1"))
    assert tmp_path


def index_of(layout, entries):
    """An index of images: {(architecture, variant): content of /f}."""
    found = []
    for (arch, variant), content in entries.items():
        entry = layout.image([make_tar({"f": content.encode()})], architecture=arch)
        platform = {"os": "linux", "architecture": arch, **({"variant": variant} if variant else {})}
        found.append({**entry, "platform": platform})
    doc = {"schemaVersion": 2, "mediaType": OCI + "index.v1+json", "manifests": found}
    return layout.blob(json.dumps(doc).encode(), OCI + "index.v1+json")


def test_platforms(rl, push, registry):
    layout = Layout()
    index = index_of(layout, {("amd64", None): "plain", ("arm64", "v8"): "arm64", ("arm", "v6"): "arm6",
                              ("arm", "v7"): "arm7", ("riscv64", None): "riscv"})
    layout.add(index, "t")
    name = push(layout, "pull/index:1", "--all")
    trust = rl.trust(registry)

    def content(*options, of=name):
        rl.ok("rmi", "-a", "-f")
        rl.ok("pull", "-q", *trust, *options, of)
        return next((rl.store.root / "layers").glob("*/diff/f")).read_text()
    assert content("--platform", "linux/arm64") == "arm64"
    assert content("--platform", "linux/arm") == content("--arch=armhf") == "arm7"
    assert content("--arch", "arm", "--variant", "v6") == "arm6"
    assert content("--platform=linux/riscv64", of=f"{registry.name('pull/index')}@{index['digest']}") == "riscv"
    by_digest = f"{registry.name('pull/index')}@{index['digest']}"
    assert rl.inspect(by_digest)["Architecture"] == "riscv64"
    rl.fails("pull", *trust, "--platform", "linux/s390x", name, match="no image for linux/s390x in it; there is: .*riscv64")
    rl.fails("pull", *trust, "--platform", "linux", name, match="want OS/ARCH")


def test_digest_of_the_index(rl, push, registry):
    """A tag that means an index: its digest is a name of the image as well, as long as the tag is there."""
    layout = Layout()
    index = index_of(layout, {("amd64", None): "plain", ("arm64", "v8"): "arm64"})
    layout.add(index, "t")
    name = push(layout, "pull/both:1", "--all")
    by_index = f"{registry.name('pull/both')}@{index['digest']}"
    rl.ok("pull", "-q", *rl.trust(registry), "--platform=linux/arm64", name)
    shown = rl.inspect(name)
    manifest = shown["Digest"]
    assert manifest != index["digest"]
    wanted = sorted([by_index, f"{registry.name('pull/both')}@{manifest}"])
    assert sorted(shown["RepoDigests"]) == sorted(rl.inspect(shown["Id"])["RepoDigests"]) == wanted
    assert rl.inspect(by_index)["Id"] == shown["Id"]
    assert sorted(rl.ok("images", "--format", "json").json()[0]["RepoDigests"]) == wanted
    rl.ok("rmi", name)
    rl.fails("inspect", by_index)
    assert not rl.ok("images", "-aq").text and [f for f in files_of(rl) if not f.startswith("trash")] == []
    rl.ok("pull", "-q", *rl.trust(registry), "--platform=linux/arm64", by_index)
    assert sorted(rl.inspect(by_index)["RepoDigests"]) == wanted


def test_policies(rl, push, registry):
    """And those of run, which pulls by itself."""
    trust, images = rl.trust(registry), {}
    for n in range(2):
        layout = Layout()
        images[n] = layout.add(layout.image([make_tar({"f": b"%d" % n})]), "t")
    name = push(images[0], "pull/moving:1")
    rl.fails("pull", *trust, "--policy=never", name, match="image not known")
    first = rl.ok("pull", *trust, "--policy=missing", name).out
    push(images[1], "pull/moving:1")
    with registry.watch() as seen:
        assert rl.ok("pull", *trust, "--policy=missing", name).out == rl.ok("pull", "--policy=never", name).out == first
    assert not seen
    second = rl.ok("pull", *trust, "--policy=newer", name).out
    with registry.watch() as seen:
        assert rl.ok("pull", *trust, "--policy=newer", name).out == second != first
    assert not blobs(seen)
    rl.ok("tag", name, "127.0.0.1:1/gone:1")
    gone = rl.ok("pull", *trust, "--retry=0", "--policy=newer", "127.0.0.1:1/gone:1")
    assert gone.out == second and "the image that is here is used" in gone.err
    rl.fails("pull", "--policy", "sometimes", name, match="known: always, missing, newer, never")


@rows("A25")
def test_run_pulls(rl, registry, images):
    trust = rl.trust(registry)
    name = registry.push(images.path("busybox"), "pull/run:1")
    r = rl.ok("run", "--rm", *trust, name, "echo", "hi")
    assert r.out == "hi\n" and "Trying to pull" in r.err
    assert rl.ok("run", "--rm", *trust, name, "echo", "hi").err == ""
    with registry.watch() as seen:
        assert rl.ok("run", "--rm", "-q", "--pull=always", *trust, name, "echo", "hi").err == ""
    assert seen
    rl.fails("run", "--rm", *trust, registry.name("pull/nosuch:1"), match="(?m)^Error: pull .*pull/nosuch:1.*\nhint: ")
    rl.fails("create", "--platform=linux/arm64", "--pull=never", name, match="--platform linux/arm64: the image is for")


def test_nobody_there(rl, lab):
    """Of a name that nobody asked to pull: no second try where nobody listens."""
    registry = lab.registry(fresh=True)
    registry.stop()
    name = registry.name("no/body:1")
    r = rl.fails("run", *rl.trust(registry), name, match="(?m)^Error: pull .*no/body:1")
    assert "trying again" not in r.err
    r = rl.fails("run", *rl.trust(registry), "--retry=1", "--retry-delay=10ms", name)
    assert r.err.count("trying again") == 1
    r = rl.fails("pull", "--retry-delay=10ms", *rl.trust(registry), name)
    assert r.err.count("trying again") == 2
    r = rl.fails("pull", "--retry=4", "--retry-delay=10ms", *rl.trust(registry), name)
    assert r.err.count("trying again") == 4  # the user's own number


def test_several_and_all(rl, registry, images, push):
    trust = rl.trust(registry)
    for tag in ("a", "b"):
        registry.push(images.path("busybox"), f"pull/tags:{tag}")
    layout = Layout()
    layout.add(layout.image([make_tar({"x": b"x"})]), "t")
    other = push(layout, "pull/other:1")
    ids = rl.ok("pull", "-q", "-a", *trust, registry.name("pull/tags")).out.split()
    assert len(ids) == 2 and ids[0] == ids[1]
    assert set(rl.ok("images", "--format", "{{.Tag}}").out.split()) == {"a", "b"}
    r = rl("pull", *trust, registry.name("pull/nosuch:1"), other, rc=125)
    assert r.err.count("Error: ") == 1 and len(r.out.split()) == 1 and rl.inspect(other)
    rl.fails("pull", "-a", *trust, registry.name("pull/tags:a"), match="--all-tags wants a name without a tag")


@rows("A26")
def test_other_places(rl, registry, images, lab):
    tmp_path = rl.user.home / "places"
    tmp_path.mkdir()
    name = registry.push(archive(images), "pull/places:1")
    want = rl.ok("pull", "-q", *rl.trust(registry), f"docker://{name}").out
    for kind, rest in (("oci", ":t"), ("oci-archive", ":t"), ("docker-archive", ":localhost/places:t"), ("dir", "")):
        place = tmp_path / kind
        lab.skopeo("copy", "-q", "--src-tls-verify=false", f"docker://{name}", f"{kind}:{place}{rest}")
        subprocess.run(["chmod", "-R", "a+rwX", str(tmp_path)], check=True)
        rl.ok("rmi", "-a", "-f")
        assert rl.ok("pull", "-q", f"{kind}:{place}{rest}").out == want, kind
    assert rl.ok("pull", "-q", f"oci-archive:{tmp_path}/oci-archive").out == want
    rl.fails("pull", f"oci:{tmp_path}/oci:nosuch", match="there is no image nosuch in it")
    rl.fails("pull", "docker-daemon:x", match="hint: docker save")


# Refusals


def manifest_server(media_type, body):
    """A registry with this manifest."""
    server = hostile.Hostile()
    server.manifest = hostile.part(json.dumps(body).encode())
    server.manifest_type = media_type
    return contextlib.closing(server_closer(server))


class server_closer:  # pylint: disable=invalid-name
    def __init__(self, server):
        self.server = server

    def close(self):
        self.server.end()


@hostile.fault
def typed_manifest(q):
    return q.kind == "manifests" and hostile.answer(q, 200, q.server.manifest.data, Content_Type=q.server.manifest_type)


def config_of(digest="sha256:" + "0" * 64, kind=OCI + "config.v1+json"):
    return {"mediaType": kind, "digest": digest, "size": 2}


LAYER = {"mediaType": OCI + "layer.v1.tar", "digest": "sha256:" + "1" * 64, "size": 1}


@rows("A27", "A35")
@pytest.mark.parametrize("kind, body, match", [
    (DOCKER + "distribution.manifest.v1+prettyjws", {"schemaVersion": 1, "fsLayers": []}, "schema 1 image: ask its publisher"),
    (OCI + "manifest.v1+json", {"schemaVersion": 2, "config": config_of(kind="application/vnd.x.config"), "layers": []},
     "an artifact .*, not an image"),
    (OCI + "manifest.v1+json", {"schemaVersion": 2, "artifactType": "application/x", "config": config_of(), "layers": []},
     "an artifact"),
    (OCI + "manifest.v1+json", {"schemaVersion": 2, "config": config_of(), "layers": [], "manifests": []},
     "both an index and an image"),
    (OCI + "index.v1+json", {"schemaVersion": 2, "config": config_of(), "layers": []}, "not what its media type"),
    (OCI + "manifest.v1+json", {"schemaVersion": 2, "config": {**config_of(), "size": 1 << 40}, "layers": []}, "at most"),
    (OCI + "manifest.v1+json", {"schemaVersion": 2, "config": config_of("sha256:../../../etc/passwd"), "layers": []},
     "digest"),
    ("text/plain", {"schemaVersion": 1, "fsLayers": []}, "schema 1"),
    ("application/vnd.x", {"schemaVersion": 2, "config": config_of(), "layers": []}, "is no image or index"),
])
def test_refused_manifests(rl, kind, body, match):
    with manifest_server(kind, body) as c:
        r = rl.fails("pull", "--tls-verify=false", "--retry=0", c.server.ref("typed-manifest"), match=f"(?m)^Error: pull .*{match}")
    assert r.err.count("Error: ") == 1 and not files_of(rl)


def honest(tars=None, layer=None):
    """A Hostile whose image is one layer that unpacks."""
    tar = tars or make_tar({"f": noise(280_000, 5)})
    config = json.dumps({"architecture": ARCH, "os": "linux",
                         "rootfs": {"type": "layers", "diff_ids": [sha256(tar)]}}).encode()
    return hostile.Hostile(layer=layer or gzip.compress(tar), config=config)


@pytest.fixture
def server():
    made = honest()
    yield made
    made.end()


@rows("A27", "A35")
@pytest.mark.parametrize("name, match", [
    ("wrong-bytes", "digest mismatch"), ("shorter", ""), ("longer", ""), ("longer-chunked", ""), ("endless-blob", ""),
    ("endless-manifest", ""), ("web-page", "web page"), ("wrong-digest-header", ""), ("never-there", ""), ("cut", ""),
    ("nasty-message", ""), ("redirect-file", ""), ("redirect-loop", "")])
def test_faults(rl, server, name, match):
    r = rl.fails("pull", "--tls-verify=false", "--retry=1", "--retry-delay=10ms", server.ref(name),
                 match=f"(?m)^Error: pull .*{match}")
    assert r.err.count("Error: pull ") == 1 and "\x1b" not in r.err and "\x9b" not in r.err
    left = files_of(rl)
    assert [f for f in left if not f.endswith(".part")] == [], left
    forget_parts(rl)


@pytest.mark.parametrize("name", ["cut-range", "no-range", "range-refused", "busy-layer", "busy-once", "reset-manifest",
                                  "redirect-chain", "unread-range", "wrong-range"])
def test_faults_that_are_survived(rl, server, name):
    rl("pull", "-q", "--tls-verify=false", "--retry=8", "--retry-delay=10ms", server.ref(name),
       rc=None if name in ("unread-range", "wrong-range") else 0)
    assert kinds(rl) in ([], ["part"])
    forget_parts(rl)
    if name not in ("unread-range", "wrong-range"):
        rl.ok("image", "check")
        assert next((rl.store.root / "layers").glob("*/diff/f")).read_bytes() == noise(280_000, 5)


def test_foreign_layer(rl):
    """It may come from elsewhere, but only by https."""
    server = honest()
    doc = json.loads(server.manifest.data)
    doc["layers"][0].update(mediaType=OCI + "layer.nondistributable.v1.tar+gzip", urls=[f"http://{server.address}/x"])
    server.manifest = hostile.part(json.dumps(doc).encode())
    try:
        rl.ok("pull", "-q", "--tls-verify=false", server.ref("plain"))  # this registry has it itself
        rl.ok("rmi", "-a", "-f")
        rl.fails("pull", "--tls-verify=false", "--retry=0", server.ref("never-there"), match="(?m)^Error: pull .*")
        assert not [q for q in server.seen if q.path == "/x"]
    finally:
        server.end()


@rows("A26")
def test_owner_outside_the_map(rl):
    """Named with what to do, and whatever was begun is gone."""
    import io  # pylint: disable=import-outside-toplevel
    import tarfile  # pylint: disable=import-outside-toplevel
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        info = tarfile.TarInfo("theirs")
        info.uid = 2_000_000_000
        t.addfile(info)
    server = honest(out.getvalue())
    try:
        rl.fails("pull", "--tls-verify=false", server.ref("plain"), match='(?m)^Error: pull .*"theirs".*2000000000.*\nhint: ')
        assert not files_of(rl)
        done = rl.ok("pull", "--tls-verify=false", "--squash-ids", server.ref("plain"))
        assert "replaced by root" in done.err
        # Whoever takes it out of the store gets the owner that it came with.
        rl.ok("create", "--name", "c", server.ref("plain"), "x")
        with tarfile.open(fileobj=io.BytesIO(rl.ok("export", "c", binary=True).out)) as t:
            assert t.getmember("theirs").uid == 2_000_000_000
        rl.ok("rm", "c")
    finally:
        server.end()


# Ends in the middle


@hostile.fault
def stall_late(q):
    """Nine tenths of the layer, then silence; a range is served to its end."""
    data = q.server.layer.data
    if q.kind != "layer" or hostile.offset(q):
        return False
    q.sock.sendall(hostile.head(200, Content_Length=len(data)) + data[:len(data) * 9 // 10])
    q.server.stopped.wait(60)
    return True


def part_of(rl, server):
    path = rl.store.root / "ingest" / (server.layer.digest[7:] + ".part")
    return path.stat().st_size if path.exists() else 0


@rows("A35")
@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_goes_on(rl, server, sig):
    """After nine tenths the rest is fetched, and no byte twice."""
    size = len(server.layer.data)
    p = rl.spawn("pull", "--tls-verify=false", server.ref("stall-late"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    rl.wait_for(lambda: part_of(rl, server) >= size * 9 // 10, what="nine tenths")
    p.send_signal(sig)
    err = p.communicate(timeout=30)[1]
    assert p.returncode == -sig
    if sig != signal.SIGKILL:
        assert "interrupted" in err and kinds(rl) == ["part"], (err, kinds(rl))
    server.seen.clear()
    rl.ok("pull", "-q", "--tls-verify=false", server.ref("stall-late"))
    asked = [q.headers.get("range") for q in server.requests("layer")]
    assert asked == [f"bytes={size * 9 // 10}-"] and not kinds(rl)
    rl.ok("image", "check")


@rows("A35")
@pytest.mark.parametrize("what", ["zeros", "longer", "whole"])
def test_damaged_part(rl, server, what):
    """What an earlier pull left is not believed."""
    size = len(server.layer.data)
    ingest = rl.store.root / "ingest"
    rl.shell(f"mkdir -p {ingest}")
    path = ingest / (server.layer.digest[7:] + ".part")
    path.write_bytes({"zeros": bytes(size // 2), "longer": server.layer.data + b"x",
                      "whole": server.layer.data[:-9] + b"x" * 9}[what])
    if rl.user.made:
        os.chown(path, rl.user.uid, rl.user.gid)
    rl.ok("pull", "-q", "--tls-verify=false", server.ref("plain"))
    assert not kinds(rl)
    rl.ok("image", "check")


@rows("A35")
def test_killed_at_any_moment(rl, push, registry):
    """Six layers; kills at moments of all phases; each time the next pull completes, and nothing is left over."""
    layout = Layout()
    layout.add(layout.image([make_tar({f"d{n}/f{i}": noise(2000, 100 * n + i) for i in range(40)}) for n in range(6)]), "t")
    name = push(layout, "pull/killed:1")
    trust = rl.trust(registry)
    took = rl.ok("pull", "-q", *trust, name).seconds
    rounds = int(os.environ.get("ROOTLET_KILLS", "8"))
    for n in range(rounds):
        rl.ok("rmi", "-a", "-f")
        p = rl.spawn("pull", "-q", *trust, name, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            p.wait(took * n / rounds)
        p.kill()
        p.wait()
        rl.ok("pull", "-q", *trust, name)
        assert not kinds(rl), n
        rl.ok("image", "check")


@rows("A31")
def test_many_at_once(rl, push, registry):
    """Each layer is fetched once, though all of them want all; half of them in another order."""
    tars = [make_tar({f"f{i}": noise(400_000 + i, 50 + i)}) for i in range(4)]
    names = []
    for n, order in enumerate((tars, tars[::-1])):
        layout = Layout()
        layout.add(layout.image(order), "t")
        names.append(push(layout, f"pull/many{n}:1"))
    with registry.watch() as seen:
        running = [rl.spawn("pull", "-q", *rl.trust(registry), names[n % 2], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE) for n in range(6)]
        for p in running:
            out, err = p.communicate(timeout=60 * host.PATIENCE if hasattr(host, "PATIENCE") else 120)
            assert p.returncode == 0, (out, err)
    layers = [d for d, _ in blobs(seen) if d in {sha256(gzip.compress(t)) for t in tars}]
    manifest = json.loads(registry.inspect_raw("pull/many0:1"))
    fetched = [d for d, _ in blobs(seen) if d in {x["digest"] for x in manifest["layers"]}]
    assert len(fetched) == len(set(fetched)), (fetched, layers)
    assert not kinds(rl) and len(os.listdir(rl.store.root / "layers")) == 4


# What is shown


@pytest.mark.parametrize("columns", [100, 40, 14])
def test_bars(rl, server, columns):
    """A bar while it comes; a line that it is done; clean after ^C."""
    t = rl.pty("pull", "--tls-verify=false", server.ref("stall-late"), cols=columns, env={"TERM": "xterm", "NO_COLOR": "1"})
    first = t.output
    rl.wait_for(lambda: (t._read(0.1), "Copying blob"[:columns - 2] in t.output)[1])
    rl.wait_for(lambda: part_of(rl, server) >= len(server.layer.data) * 9 // 10)
    if columns == 100:
        t.expect(r"\[=+>-+\] +[\d.]+ ?kB / [\d.]+ ?kB")
    t.send("\x03")
    assert t.wait() == -signal.SIGINT
    assert "\x1b[3" not in t.output and first == ""
    last = [line for line in t.output.replace("\r", "").split("\n") if line]
    assert last[-1].startswith("hint: ") and "\x1b" not in last[-1]
    t = rl.pty("pull", "--tls-verify=false", server.ref("stall-late"), cols=100, env={"TERM": "xterm"})
    assert t.wait() == 0
    shown = screen(t.output, 200)
    assert any(line.startswith(f"Copying blob {server.layer.digest[7:19]} done") for line in shown), shown
    assert [line for line in shown if line][-1] == server.config.digest[7:], shown


def test_plain_lines(rl, server):
    """Not a terminal: a line for each layer, and nothing that moves."""
    r = rl.ok("pull", "--tls-verify=false", server.ref("plain"))
    assert r.err.splitlines() == [f"Trying to pull {server.ref('plain')}...", f"Copying blob {server.layer.digest}",
                                  f"Copying config {server.config.digest}", "Writing manifest to image destination"]
    assert r.out == server.config.digest[7:] + "\n"
    assert rl.ok("pull", "-q", "--tls-verify=false", server.ref("plain")).err == ""


@hostile.fault
def drip(q):
    """The layer in small pieces, until it is told to go on."""
    data = q.server.layer.data
    if q.kind != "layer":
        return False
    q.sock.sendall(hostile.head(200, Content_Length=len(data)))
    for i in range(0, len(data), 1024):
        q.sock.sendall(data[i:i + 1024])
        if q.server.stopped.is_set():
            break
        if not getattr(q.server, "hurry", False):
            q.server.stopped.wait(0.02)
    return True


def test_bars_of_a_window_that_shrinks(rl, server):
    """What was wide stands on several rows then: all of them are drawn over."""
    t = rl.pty("pull", "--tls-verify=false", server.ref("drip"), cols=100, env={"TERM": "xterm"})
    t.expect(r"Copying blob [^\r\n]*kB/s[^\n]*\n")
    t.resize(24, 30)
    rows = [m.group(1) for m in (t.expect(r"\r\x1b\[(\d+)A(Copying blob [^\x1b]*)") for _ in range(6))]
    assert rows[-1] == "1" and max(map(int, rows)) in (3, 4), rows
    server.hurry = True
    assert t.wait() == 0
    shown = screen("\n\n" + t.output, 200)
    assert all(len(line) < 30 for line in shown if "/s" in line or "unpacking" in line), shown
    assert any(f"{server.layer.digest[7:19]} done" in line for line in shown), shown


# A disk that is full


@rows("A35", "B14")
@pytest.mark.root
def test_full_disk(rl, push, registry, tmp_path):
    """Found out before or on the way: it is said, the room is given back, and with more of it the pull succeeds."""
    name = push(one_layer(make_tar({"f": b"twice and twice " * (2 << 20)})), "pull/grows:1")
    large = push(one_layer(make_tar({"f": os.urandom(17 << 20)})), "pull/large:1")
    disk = Disk(rl.store.root, rl.user, "16m")
    try:
        rl.ok("images")
        rl.fails("pull", *rl.trust(registry), large, match=r"the layers have \d+ bytes, .* has room for \d+")
        r = rl.fails("pull", *rl.trust(registry), name, match=r"(?m)^Error: pull .*it needs \d+ bytes, only \d+ are free")
        assert r.err.count("Error: ") == 1
        assert [f for f in files_of(rl) if not f.startswith("trash")] == []
        assert disk.free() > 15 << 20
        subprocess.run(["mount", "-o", "remount,size=160m", str(disk.path)], check=True)
        rl.ok("pull", "-q", *rl.trust(registry), name)
        rl.ok("image", "check")
        # Looking at a layer needs room as well: without it nothing is known, and nothing fetched.
        subprocess.run(["mount", "-o", "remount,size=48m", str(disk.path)], check=True)
        before = files_of(rl)
        with registry.watch() as seen:
            for repair in ([], ["--repair", *rl.trust(registry)]):
                r = rl.fails("image", "check", *repair, rc=125, match=r"(?m)^Error: image check: 1 of 1 images could "
                             r"not be checked, 0 are damaged: layer .*it needs \d+ bytes, only \d+ are free\nhint: ")
                assert "not checked" in r.out and "damaged" not in r.out
        assert not seen and files_of(rl) == before
        subprocess.run(["mount", "-o", "remount,size=160m", str(disk.path)], check=True)
        rl.ok("image", "check")
    finally:
        rl.end()
        disk.end()
