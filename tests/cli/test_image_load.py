"""rootlet load: formats, digests, layer reuse, crashes, concurrency. Rows A2, A26, A27, A28, A31."""
import gzip
import json
import os
import signal
import subprocess
import time

import pytest

from imagelib import Layout, lab, make_tar, need, sha256, store  # noqa: F401

BASE = make_tar({"bin": None, "bin/sh": b"#!shell", "etc": None, "etc/motd": b"hello\n"})
TOP = make_tar({"etc": None, "etc/motd": b"changed\n", "bin/.wh.sh": b"", "l": ("link", "etc")})


@pytest.fixture(scope="module")
def made(lab):
    """One image by umoci, as every kind of archive that skopeo writes."""
    need("umoci", "skopeo")
    top = lab.path("made")
    os.makedirs(f"{top}/files/etc")
    with open(f"{top}/files/etc/motd", "w", encoding="utf-8") as f:
        f.write("made by umoci\n")

    def run(*argv):
        subprocess.run(argv, check=True, cwd=top, stdout=subprocess.DEVNULL)
    run("umoci", "init", "--layout", "lay")
    run("umoci", "new", "--image", "lay:v1")
    run("umoci", "insert", "--image", "lay:v1", "files/etc", "/etc")
    run("umoci", "insert", "--image", "lay:v1", "files/etc/motd", "/motd2")
    run("umoci", "config", "--image", "lay:v1", "--config.cmd", "/bin/true")
    run("skopeo", "copy", "-q", "oci:lay:v1", "docker-archive:docker.tar:example.com/x:docker")
    run("skopeo", "copy", "-q", "oci:lay:v1", "oci-archive:oci.tar:example.com/x:oci")
    lab.own(top)
    return top


def config_digest(top):
    raw = subprocess.run(["skopeo", "inspect", "--raw", f"oci:{top}/lay:v1"], check=True,
                         capture_output=True).stdout
    return json.loads(raw)["config"]["digest"]


def test_ids_equal(made, store):
    """A26: the same image by docker-archive, oci-archive and directory has one id, podman's."""
    assert store.load(f"{made}/docker.tar").stdout == b"Loaded image: example.com/x:docker\n"
    assert store.load(f"{made}/oci.tar").stdout == b"Loaded image: example.com/x:oci\n"
    assert store.load(f"{made}/lay").stdout == b"Loaded image: localhost/lay:v1\n"
    ids = {store.id(n) for n in ("example.com/x:docker", "example.com/x:oci", "lay:v1")}
    assert ids == {config_digest(made)[7:]}
    tags = store.inspect("lay:v1")["RepoTags"]
    assert tags == ["example.com/x:docker", "example.com/x:oci", "localhost/lay:v1"]


def test_content_addressed(made, store):
    """A28: layers are named by the digest of their tar, and their trees have its content."""
    store.load(f"{made}/oci.tar", "-q")
    info = store.inspect("example.com/x:oci")
    ids = [d[7:] for d in info["RootFS"]["Layers"]]
    assert store.layers() == sorted(ids) and all(len(i) == 64 for i in ids)
    archive = store.lab.path("again.tar")
    store.run("save", "-o", archive, "-q", "example.com/x:oci")
    for i in ids:
        tar = subprocess.run(["tar", "-xOf", archive, f"{i}.tar"], check=True,
                             capture_output=True).stdout
        assert sha256(tar)[7:] == i
    with open(store.layer_file(ids[0], "etc/motd"), encoding="utf-8") as f:
        assert f.read() == "made by umoci\n"


def test_reuse(made, store):
    """A31: a layer that is there is not unpacked again."""
    assert "done" in store.load(f"{made}/docker.tar").stderr
    before = {i: os.stat(os.path.join(store.root, "layers", i)).st_ino for i in store.layers()}
    r = store.load(f"{made}/oci.tar")
    assert r.stderr.count("skipped: already exists") == len(before) and "done" not in r.stderr
    assert before == {i: os.stat(os.path.join(store.root, "layers", i)).st_ino
                      for i in store.layers()}
    assert store.load(f"{made}/oci.tar", "-q").stderr == ""


@pytest.mark.parametrize("tool", ["gzip", "zstd", "xz", "bzip2"])
def test_compressed_archive(made, store, tool):
    need(tool)
    data = subprocess.run([tool, "-c", f"{made}/docker.tar"], check=True,
                          capture_output=True).stdout
    path = store.lab.path(f"docker.tar.{tool}")
    with open(path, "wb") as f:
        f.write(data)
    assert store.load(path, "-q").stdout == b"Loaded image: example.com/x:docker\n"
    assert store.run("load", "-q", stdin=data).stdout == b"Loaded image: example.com/x:docker\n"


def test_stdin(made, store):
    with open(f"{made}/docker.tar", "rb") as f:
        assert b"docker" in store.run("load", stdin=f).stdout
        assert b"oci" in store.run("load", stdin=open(f"{made}/oci.tar", "rb").read()).stdout
    text = store.fails("load", stdin=b"")
    assert "empty" in text


def test_buildah(lab, store):
    """What buildah writes, with zstd layers if it can, is read."""
    need("buildah")
    if os.geteuid() != 0:
        pytest.skip("buildah is run as root here")
    top = lab.path("buildah")
    os.makedirs(f"{top}/etc")
    with open(f"{top}/etc/motd", "w", encoding="utf-8") as f:
        f.write("by buildah\n")
    base = ["buildah", "--root", f"{top}/root", "--runroot", f"{top}/run", "--storage-driver",
            "vfs"]

    def run(*argv):
        r = subprocess.run([*base, *argv], capture_output=True, text=True, check=False)
        if r.returncode:
            pytest.skip(f"buildah does not run here: {r.stderr[-300:]}")
        return r.stdout.strip()
    ctr = run("from", "scratch")
    run("add", ctr, f"{top}/etc", "/etc")
    run("config", "--label", "a=b", "--cmd", "/bin/x", ctr)
    run("commit", "-q", ctr, f"oci-archive:{top}/b.tar:built:1")
    run("rm", ctr)
    os.chmod(f"{top}/b.tar", 0o644)
    assert store.load(f"{top}/b.tar", "-q").stdout == b"Loaded image: localhost/built:1\n"
    info = store.inspect("built:1")
    assert info["Labels"]["a"] == "b"
    with open(store.layer_file(info["RootFS"]["Layers"][0], "etc/motd"), encoding="utf-8") as f:
        assert f.read() == "by buildah\n"


def docker_archive(path, tars, links=False, repo_tags=("old:1",)):
    """As docker save wrote it until version 24: a directory a layer; a repeated one is a link."""
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {},
                         "rootfs": {"type": "layers", "diff_ids": [sha256(t) for t in tars]}}
                        ).encode()
    files, names, seen = {}, [], {}
    for i, t in enumerate(tars):
        name = f"{i:064x}/layer.tar"
        files[f"{i:064x}"] = None
        if links and sha256(t) in seen:
            files[name] = ("link", f"../{seen[sha256(t)]}")
        else:
            files[name] = t
            seen[sha256(t)] = name
        names.append(name)
    config_name = sha256(config)[7:] + ".json"
    files[config_name] = config
    files["manifest.json"] = json.dumps([{"Config": config_name, "RepoTags": list(repo_tags),
                                          "Layers": names}]).encode()
    with open(path, "wb") as f:
        f.write(make_tar(files))
    return sha256(config)


def test_docker_symlinked_layer(lab, store):
    digest = docker_archive(lab.path("links.tar"), [BASE, TOP, BASE], links=True)
    store.load(lab.path("links.tar"))
    assert store.id("old:1") == digest[7:]
    assert len(store.layers()) == 2
    assert store.inspect("old:1")["RootFS"]["Layers"] == [sha256(BASE), sha256(TOP), sha256(BASE)]


def test_docker_combined(lab, store):
    """docker save from version 25 on: manifest.json beside an OCI layout in the same blobs/."""
    lay = Layout()
    image = lay.image([BASE, TOP], compress=None)
    manifest = json.loads(lay.files["blobs/sha256/" + image["digest"][7:]])
    lay.add(image, "1.0")
    lay.files["manifest.json"] = json.dumps([{
        "Config": "blobs/sha256/" + manifest["config"]["digest"][7:],
        "RepoTags": ["combined:1.0"],
        "Layers": ["blobs/sha256/" + d["digest"][7:] for d in manifest["layers"]]}]).encode()
    store.load(lay.archive(lab.path("combined.tar")))
    assert store.id("combined:1.0") == manifest["config"]["digest"][7:]


def test_docker_legacy(lab, store):
    """No manifest.json: repositories, and a json and a layer.tar in each layer's directory."""
    a, b = "a" * 64, "b" * 64
    files = {f"{a}/json": json.dumps({"id": a, "created": "2014-01-01T00:00:00Z"}).encode(),
             f"{a}/layer.tar": BASE,
             f"{b}/json": json.dumps({"id": b, "parent": a, "os": "linux",
                                      "created": "2014-01-02T00:00:00Z", "architecture": "amd64",
                                      "config": {"Cmd": ["old"]}}).encode(),
             f"{b}/layer.tar": TOP,
             "repositories": json.dumps({"ancient": {"1": b, "2": b}}).encode()}
    with open(lab.path("legacy.tar"), "wb") as f:
        f.write(make_tar(files))
    store.load(lab.path("legacy.tar"))
    info = store.inspect("ancient:1")
    assert info["RepoTags"] == ["localhost/ancient:1", "localhost/ancient:2"]
    assert info["RootFS"]["Layers"] == [sha256(BASE), sha256(TOP)]
    assert info["Config"]["Cmd"] == ["old"] and len(info["History"]) == 2


def test_docker_legacy_hashes_each_layer_once(lab, store):
    """Many tags of one image, and many images on one layer: 260 GB to hash if each did it anew."""
    base, tops = "f" * 64, [f"{i:064x}" for i in range(30)]
    files = {f"{base}/json": json.dumps({"id": base}).encode(),
             f"{base}/layer.tar": make_tar({"zeros": bytes(64 << 20)})}
    for i, top in enumerate(tops):
        files[f"{top}/json"] = json.dumps({"id": top, "parent": base, "os": "linux", "config": {"Cmd": [str(i)]}}).encode()
        files[f"{top}/layer.tar"] = TOP
    names = {f"n{i}": {f"t{k}": top for k in range(130)} for i, top in enumerate(tops)}
    with open(lab.path("many.tar"), "wb") as f:
        f.write(make_tar({**files, "repositories": json.dumps(names).encode()}))
    store.rootlet.ok("load", "-q", "-i", lab.path("many.tar"), timeout=60)
    assert len(store.inspect("n29:t0")["RepoTags"]) == 130 and store.inspect("n7:t129")["Config"]["Cmd"] == ["7"]


@pytest.mark.parametrize("how", ["plain", "gzip", "multi-member", "zstd"])
def test_layer_compression(lab, store, how):
    """Told by the content, whatever the media type says."""
    compress = {"plain": None, "gzip": gzip.compress,
                "multi-member": lambda t: gzip.compress(t[:700]) + gzip.compress(t[700:]),
                "zstd": lambda t: subprocess.run(["zstd", "-qc"], input=t, check=True,
                                                 capture_output=True).stdout}[how]
    if how == "zstd":
        need("zstd")
    lay = Layout()
    lay.add(lay.image([BASE], compress=compress), "c:1")
    store.load(lay.archive(lab.path("c.tar")))
    assert store.inspect("c:1")["RootFS"]["Layers"] == [sha256(BASE)]


def test_platform(lab, store):
    """From an index the entry for this machine is taken; statements of buildkit are none."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine)
    if not machine:
        pytest.skip("no test data for this machine")
    lay = Layout()
    entries, configs = [], {}
    for arch in ("s390x", "arm64", "amd64"):
        tars = [make_tar({"arch": arch.encode()})]
        entry = lay.image(tars, architecture=arch)
        configs[arch] = json.loads(lay.files["blobs/sha256/" + entry["digest"][7:]])["config"]
        entries.append({**entry, "platform": {"os": "linux", "architecture": arch}})
    statement = lay.image([make_tar({"x": b""})])
    entries.insert(0, {**statement, "platform": {"os": "unknown", "architecture": "unknown"},
                       "annotations": {"vnd.docker.reference.type": "attestation-manifest"}})
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
             "manifests": entries}
    lay.add(lay.blob(json.dumps(index).encode(), index["mediaType"]), "multi:1")
    store.load(lay.archive(lab.path("multi.tar")))
    assert store.id("multi:1") == configs[machine]["digest"][7:]
    other = Layout()
    other.files.update(lay.files)
    index["manifests"] = [e for e in entries if e["platform"]["architecture"] != machine]
    other.add(other.blob(json.dumps(index).encode(), index["mediaType"]), "multi:2")
    text = store.fails("load", "-i", other.archive(lab.path("other.tar")))
    assert "there is: " in text and "linux/s390x" in text


def test_several_images(lab, store):
    lay = Layout()
    lay.add(lay.image([BASE]), "one:1").add(lay.image([BASE, TOP]), "two:2")
    r = store.load(lay.archive(lab.path("several.tar")))
    assert r.stdout == b"Loaded image: localhost/one:1\nLoaded image: localhost/two:2\n"
    # BASE, TOP, and the tree of directories of the second: TOP has no entries for those of BASE.
    assert len(store.layers()) == 3


def test_unnamed(lab, store):
    lay = Layout()
    lay.add(lay.image([BASE]))
    r = store.load(lay.archive(lab.path("unnamed.tar"))).stdout.decode()
    assert r.startswith("Loaded image: sha256:")
    image_id = r.split("sha256:")[1].strip()
    assert store.inspect(image_id[:12])["RepoTags"] == []


def test_opaque_root(lab, store):
    """Overlay knows no opaque root: what lies below such a layer is not stacked."""
    lay = Layout()
    lay.add(lay.image([BASE, make_tar({".wh..wh..opq": b"", "new": b"x"}), TOP]), "opq:1")
    store.load(lay.archive(lab.path("opq.tar")))
    data = store.inspect("opq:1")["GraphDriver"]["Data"]
    dirs = [data["UpperDir"], *data["LowerDir"].split(":")]
    assert [os.path.basename(os.path.dirname(d)) for d in dirs] == \
        [sha256(TOP)[7:], store.inspect("opq:1")["RootFS"]["Layers"][1][7:]]


def test_repair(lab, store):
    """A layer that lost its tree is replaced by the next load of it."""
    lay = Layout()
    lay.add(lay.image([BASE]), "r:1")
    lay.archive(lab.path("r.tar"))
    store.load(lab.path("r.tar"))
    tree = os.path.join(store.root, "layers", sha256(BASE)[7:])
    os.rename(f"{tree}/diff", f"{tree}/gone")
    assert store.run("image", "check", "--quick", check=False).returncode == 1
    assert "done" in store.load(lab.path("r.tar")).stderr
    assert store.out("image", "check").endswith("localhost/r:1: ok")
    assert store.files().count("layers/" + sha256(BASE)[7:]) == 1
    assert not [f for f in store.files() if f.startswith("ingest")]


def big_layout(lab, name):
    lay = Layout()
    tars = [make_tar({f"f{i}": os.urandom(9000) for i in range(n, n + 1000)}) for n in (0, 5000)]
    lay.add(lay.image(tars, compress=None), f"{name}:1")
    return lay.archive(lab.path(f"{name}.tar"))


def test_two_at_once(lab, store):
    """Two loads of one image at the same time are both fine and leave one copy."""
    path = big_layout(lab, "twice")
    ps = [store.rootlet.spawn("load", "-q", "-i", path) for _ in range(3)]
    for p in ps:
        out, err = p.communicate(timeout=120)
        assert p.returncode == 0 and "twice:1" in out, err
    assert len(store.layers()) == 2
    assert store.out("image", "check").endswith(": ok")
    assert not [f for f in store.files() if f.startswith(("ingest", "trash"))]


def test_killed(lab, store):
    """SIGKILL at any moment leaves no visible part; the next command sweeps
    the rest."""
    path = big_layout(lab, "killed")
    ended = 0
    for i in range(12):
        p = store.rootlet.spawn("load", "-q", "-i", path, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)
        time.sleep(0.03 * i)
        p.send_signal(signal.SIGKILL)
        ended += p.wait(timeout=60) == 0
        visible = [f for f in store.files() if f.startswith("refs")]
        if visible:
            assert store.out("image", "check").endswith(": ok")
    # Workers of the killed ones end by themselves; then one command cleans up.
    deadline = time.monotonic() + 20
    while True:
        store.run("image", "prune", "-f")
        left = [f for f in store.files() if f.startswith(("ingest", "trash"))]
        if not left or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    assert not left
    store.load(path, "-q")
    assert store.out("image", "check").endswith(": ok")
    assert ended < 12


def test_modes(made, store):
    """Nothing of the store can be entered by others."""
    store.load(f"{made}/oci.tar", "-q")
    assert os.stat(store.root).st_mode & 0o777 == 0o700
    for sub in ("layers", "images", "refs", "blobs", "ingest", "trash"):
        assert os.stat(os.path.join(store.root, sub)).st_mode & 0o077 == 0


def test_idmap_change(made, lab, store):
    """Another range of subordinate ids than the store's is told, with the fix."""
    store.load(f"{made}/oci.tar", "-q")
    path = os.path.join(store.root, "idmap.json")
    with open(path, encoding="utf-8") as f:
        doc = json.load(f)
    doc["uid"][-1]["outside"] += 1
    with open(path, "w", encoding="utf-8") as f:
        json.dump(doc, f)
    lay = Layout()
    lay.add(lay.image([TOP]), "t:1")
    text = store.fails("load", "-i", lay.archive(lab.path("t.tar")))
    assert "another range of user ids" in text and "/etc/subuid" in text
