"""What malicious or damaged archives and directories must not do to a copy."""
import hashlib
import json
import lzma

import pytest

from hostile import OCI, Hostile, part
from imagelib import Layout, make_tar
from lib import host

SMUGGLED = "x/y\r\nX-Smuggled: yes"


@pytest.fixture(name="server")
def server_fixture():
    made = Hostile()
    yield made
    made.end()


@pytest.fixture(name="place")
def place_fixture(rl):
    path = rl.user.home / "evil"
    path.mkdir()
    yield path
    host.shutil.rmtree(path)


def write_dir(path, server, media_type):
    """A directory as skopeo writes it, of an artifact with this media type."""
    text = {"schemaVersion": 2, "mediaType": media_type, "layers": [],
            "config": Hostile.descriptor(server.config, "config.v1+json")}
    (path / "manifest.json").write_text(json.dumps(text))
    (path / server.config.digest.split(":")[1]).write_bytes(server.config.data)


def write_layout(path, server, media_type):
    """An OCI layout whose descriptor says it."""
    (path / "blobs/sha256").mkdir(parents=True)
    text = json.dumps({"schemaVersion": 2, "layers": [], "config": Hostile.descriptor(server.config, "config.v1+json")})
    manifest = part(text.encode())
    for p in (manifest, server.config):
        (path / "blobs/sha256" / p.digest.split(":")[1]).write_bytes(p.data)
    (path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [
        {"mediaType": media_type, "digest": manifest.digest, "size": len(manifest.data)}]}))


@pytest.mark.parametrize("write,kind", [(write_dir, "dir"), (write_layout, "oci")])
def test_media_type_is_no_header(rl, server, place, write, kind):
    """A media type with a line end would be one more header, or a whole request, with the user's authorization."""
    write(place, server, SMUGGLED)
    r = rl("copy", "--dest-tls-verify=false", f"{kind}:{place}", f"docker://{server.ref('honest')}")
    assert not [q for q in server.seen if "x-smuggled" in q.headers], "a header was smuggled in"
    assert r.rc == 125, r
    assert not [q for q in server.seen if q.method == "PUT" and q.kind == "manifests"]
    assert "mediaType: x/y\\x0d\\x0aX-Smuggled: yes is none: it holds control characters" in r.err, r


def test_good_artifact(rl, server, place):
    write_dir(place, server, OCI + "manifest.v1+json")
    rl.ok("copy", "--dest-tls-verify=false", f"dir:{place}", f"docker://{server.ref('honest')}")
    put = [q for q in server.seen if q.method == "PUT" and q.kind == "manifests"]
    assert [q.headers["content-type"] for q in put] == [OCI + "manifest.v1+json"]


def test_archive_bomb(rl, server, place):
    """A small file that fills the disk before anybody has looked into it."""
    bomb = place / "bomb.tar.xz"
    bomb.write_bytes(lzma.compress(bytes(64 << 20), preset=0) * 20)
    assert bomb.stat().st_size < 1 << 20
    r = rl.fails("copy", "--dest-tls-verify=false", f"oci-archive:{bomb}", f"docker://{server.ref('honest')}")
    assert "decompress the archive: it grows more than 1000 times" in r.err, r
    assert not server.seen


@pytest.mark.parametrize("kind", ["oci", "dir"])
def test_damaged_target(rl, server, place, kind):
    """A blob that is in the target already, of the right size and with other bytes: a power cut leaves such files."""
    if rl.user.made:
        host.os.chown(place, rl.user.uid, rl.user.gid)
    args = ["copy", "--src-tls-verify=false", f"docker://{server.ref('honest')}", f"{kind}:{place}/to"]

    def copy():
        for name in ("version", "manifest.json"):  # as if one had been killed before its end
            (place / "to" / name).unlink(missing_ok=True)
        return rl.ok(*args)
    copy()
    digits = server.layer.digest.split(":")[1]
    blob = place / "to" / ("blobs/sha256" if kind == "oci" else ".") / digits
    blob.write_bytes(bytes(len(server.layer.data)))
    assert len(server.requests("layer")) == 1
    r = copy()
    assert hashlib.sha256(blob.read_bytes()).hexdigest() == digits, "the damaged blob stayed"
    assert len(server.requests("layer")) == 2 and "config" in r.err
    copy()
    assert len(server.requests("layer")) == 2, "a blob that is whole was fetched again"


def docker_archive(config, layer):
    entry = {"Config": "c.json", "RepoTags": ["localhost/x:x"], "Layers": ["l.tar"]}
    return {"c.json": config, "l.tar": layer, "manifest.json": json.dumps([entry]).encode()}


@pytest.mark.parametrize("kind", ["oci", "oci-archive", "docker-archive"])
def test_one_place_two_images(rl, place, kind):
    """A layout with a docker archive's manifest.json of another image in it: what is named as a layout is what its
    index.json says, which is what others look at and sign."""
    layout, other, tars = Layout(), Layout(), [make_tar({"evil": b"2"})]
    wanted = layout.image([make_tar({"good": b"1"})])
    layout.add(wanted, "x")
    manifest = json.loads(layout.files["blobs/sha256/" + wanted["digest"][7:]])
    evil = other.config(tars)["digest"][7:]
    files = {**layout.all_files(), **docker_archive(other.files["blobs/sha256/" + evil], tars[0])}
    path = place / "both"
    if kind == "oci":
        for name, data in files.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(data)
    else:
        path.write_bytes(make_tar(files))
    rest = ":localhost/x:x" if kind == "docker-archive" else ":x"
    r = rl.ok("pull", "-q", f"{kind}:{path}{rest}")
    assert r.text == (evil if kind == "docker-archive" else manifest["config"]["digest"][7:])


def test_no_layout(rl, place):
    """A docker archive is no layout because it is called one, nor the other way round."""
    tars = [make_tar({"f": b"1"})]
    layout = Layout()
    config = layout.files["blobs/sha256/" + layout.config(tars)["digest"][7:]]
    (place / "docker.tar").write_bytes(make_tar(docker_archive(config, tars[0])))
    rl.fails("pull", f"oci-archive:{place}/docker.tar", match="oci-layout is missing")
    layout.add(layout.image(tars), "x")
    (place / "oci.tar").write_bytes(make_tar(layout.all_files()))
    rl.fails("pull", f"docker-archive:{place}/oci.tar", match="no docker archive")


@pytest.mark.parametrize("kind", ["docker", "oci"])
def test_one_configuration_for_all(rl, place, kind):
    """Any number of images that share one large file: each would be held in memory with a copy of its own."""
    layout, tars = Layout(), [make_tar({"f": b"1"})]
    image = layout.image(tars, author="x" * (3 << 20))
    config = json.loads(layout.files["blobs/sha256/" + image["digest"][7:]])["config"]["digest"][7:]
    if kind == "docker":
        files = docker_archive(layout.files["blobs/sha256/" + config], tars[0])
        entry = {"Config": "c.json", "Layers": ["l.tar"]}
        files["manifest.json"] = json.dumps([entry] * 900).encode()
    else:
        for i in range(900):
            layout.add(image, f"localhost/x:{i}")
        files = layout.all_files()
    (place / "many.tar").write_bytes(make_tar(files))
    r = rl.fails("load", "-i", f"{place}/many.tar", match="more than 64 MiB of configurations")
    assert r.seconds < 20
