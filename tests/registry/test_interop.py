"""Images on their way between rootlet and other people's tools, through a registry: the same digests and ids."""
import hashlib
import json
import shutil
import sys
import tempfile
import pathlib

import pytest

import test_image_umoci
from imagelib import Layout, need
from lib import host, rows

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "oci"))

# pylint: disable=wrong-import-position,import-error
from sandbox import SCRATCH, Sandbox  # noqa: E402

KINDS = [(None, None), ("ca", None), ("ca", "htpasswd"), ("ca", "token")]
PODMAN = r"""set -e; cd SCRATCH; mkdir -p fs n tmp; export HOME=$PWD CONTAINERS_CONF=$PWD/c.conf TMPDIR=$PWD/tmp XDG_RUNTIME_DIR=$PWD/run
mkdir -p run
# What skopeo noted here of blobs that a registry has would be used instead of what is asked for.
[ ! -d /var/lib/containers ] || mount -t tmpfs none /var/lib/containers
printf '[network]\nnetwork_config_dir="%s"\n[engine]\nlock_type="file"\n[containers]\nseccomp_profile="unconfined"\n' $PWD/n > c.conf
printf '{"default":[{"type":"insecureAcceptAnything"}]}' > policy.json
p() { podman --root $PWD/r --runroot $PWD/rr --tmpdir $PWD/t --storage-driver vfs --cgroup-manager cgroupfs --events-backend none --registries-conf /dev/null "$@"; }
b() { buildah --root $PWD/r --runroot $PWD/rr --storage-driver vfs --registries-conf /dev/null "$@"; }
POLICY="--signature-policy $PWD/policy.json"
""".replace("SCRATCH", SCRATCH)


def caged(script, *args):
    """Lines that a script with podman as p and buildah as b prints, as root in a cage."""
    need("podman", "buildah")
    if not host.is_root():
        pytest.skip("needs root, for a cage")
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        code, _ = Sandbox().run(["sh", "-c", PODMAN + script, "sh", *map(str, args)], stdout=out, stderr=err)
        out.seek(0)
        err.seek(0)
        assert code == 0, f"{out.read()}\n{err.read()}"
        return out.read().splitlines()


def digest_of(registry, name):
    return "sha256:" + hashlib.sha256(registry.inspect_raw(name)).hexdigest()


def image(rl, name):
    return rl.ok("image", "inspect", name).json()[0]


@rows("A25")
@pytest.mark.parametrize("tls, auth", KINDS)
@pytest.mark.parametrize("kind", ["oci", "v2s2"])
def test_skopeo_pushes_we_pull_and_push(rl, images, lab, tls, auth, kind):
    registry = lab.registry(tls, auth)
    name = registry.push(images.path("layers"), f"inter/{kind}:1", format=kind)
    with registry.watch() as seen:
        rl.ok("pull", *rl.trust(registry), name)
    if auth:
        paths = [(s.method, s.path.rsplit("/", 2)[1], s.status) for s in seen]
        assert paths.index(("GET", "manifests", 401)) < paths.index(("GET", "manifests", 200))
    theirs = json.loads(registry.inspect_raw(f"inter/{kind}:1"))
    assert "sha256:" + image(rl, name)["Id"] == theirs["config"]["digest"]
    # Unchanged: the registry has it all, and the manifest stays what it was.
    rl.ok("tag", name, registry.name(f"inter/{kind}-again:1"))
    with registry.watch() as seen:
        r = rl.ok("push", *rl.trust(registry), registry.name(f"inter/{kind}-again:1"))
    assert digest_of(registry, f"inter/{kind}-again:1") == digest_of(registry, f"inter/{kind}:1") in r.out
    assert "packed anew" not in r.err
    assert not [s for s in seen if s.method == "PUT" and "/blobs/uploads/" in s.path]


def test_a_registry_without_the_layers(rl, images, lab, registry):
    """What was pulled has to be packed anew there; that is said, and the id stays."""
    name = registry.push(images.path("layers"), "anew:1", format="v2s2")
    rl.ok("pull", "-q", *rl.trust(registry), name)
    other = lab.registry(fresh=True)
    r = rl.ok("push", *rl.trust(other), name, other.name("anew:1"))
    theirs, ours = (json.loads(x.inspect_raw("anew:1")) for x in (registry, other))
    assert ours["config"]["digest"] == theirs["config"]["digest"] and ours["mediaType"] == theirs["mediaType"]
    if digest_of(other, "anew:1") != digest_of(registry, "anew:1"):
        assert f"packed anew: the manifest is {digest_of(other, 'anew:1')} now, it was " in r.err
    # A manifest that is made of the same layers is not made anew next time.
    r = rl.ok("push", *rl.trust(registry), name, registry.name("anew-back:1"))
    assert "sha256:" in r.out
    lab.skopeo("copy", "-q", *other.peer_options("src-"), f"docker://{other.name('anew:1')}",
               f"dir:{lab.directory}/anew")


def test_zstd(rl, images, registry):
    name = registry.name("inter/zstd:1")
    caged("p load -q $POLICY -i $1 >/dev/null; p push -q $POLICY --tls-verify=false --format oci "
          "--compression-format zstd localhost/busybox $2", images.path("busybox"), name)
    types = {x["mediaType"] for x in json.loads(registry.inspect_raw("inter/zstd:1"))["layers"]}
    assert types == {"application/vnd.oci.image.layer.v1.tar+zstd"}
    rl.ok("pull", "-q", *rl.trust(registry), name)
    assert rl.ok("run", "--rm", name, "id", "-u").text == "0"
    r = rl.ok("push", *rl.trust(registry), name, registry.name("inter/zstd:2"))
    assert digest_of(registry, "inter/zstd:1") in r.out


@rows("A9")
@pytest.mark.parametrize("packing", ["gzip", "zstd", "v2s2"])
def test_podman_runs_what_we_push(rl, registry, packing):
    rl.image()
    options = {"gzip": (), "zstd": ("--compression-format", "zstd"), "v2s2": ("--format", "v2s2")}[packing]
    name = registry.name(f"run/{packing}:1")
    rl.ok("push", *options, *rl.trust(registry), "localhost/busybox", name)
    lines = caged("p pull -q $POLICY --tls-verify=false $1; "
                  "p --runtime-flag root=$PWD/crun run --rm --network none --cgroups disabled --security-opt seccomp=unconfined $1 "
                  "sh -c 'cat /etc/passwd | head -1; echo done'; "
                  "p image inspect --format '{{.Id}} {{.Digest}}' $1", name)
    ident = image(rl, "localhost/busybox")["Id"]
    assert lines[0] == ident and lines[1].startswith("root:x:0:0:") and lines[2] == "done"
    assert lines[3] == f"{ident} {digest_of(registry, f'run/{packing}:1')}"


@rows("A25")
@pytest.mark.parametrize("tls, auth", KINDS)
def test_podman_and_buildah_push(rl, images, lab, tls, auth):
    registry = lab.registry(tls, auth)
    options = " ".join(f"'{o}'" for o in registry.peer_options())
    names = [registry.name(f"theirs/{tool}:1") for tool in ("podman", "buildah")]
    lines = caged(f"p load -q $POLICY -i $1 >/dev/null; p push -q $POLICY {options} localhost/busybox $2; "
                  f"b push -q $POLICY {options} localhost/busybox docker://$3; p image inspect --format '{{{{.Id}}}}' "
                  "localhost/busybox", images.path("busybox"), *names)
    for name, short in zip(names, ("theirs/podman:1", "theirs/buildah:1")):
        rl.ok("pull", "-q", *rl.trust(registry), name)
        assert image(rl, name)["Id"] == lines[-1]
        assert digest_of(registry, short) in "".join(image(rl, name)["RepoDigests"])
        assert rl.ok("run", "--rm", name, "id", "-u").text == "0"


def test_index_of_buildah(rl, images, registry):
    """Two platforms, as buildah manifest makes them; copied whole, and this machine's pulled."""
    first = registry.push(images.path("busybox"), "index/native:1", format="oci")
    second = registry.push(images.path("layers"), "index/other:1", format="oci")
    name = registry.name("index/both:1")
    caged("b manifest create localhost/x; b manifest add --tls-verify=false localhost/x docker://$1; "
          "b manifest add --tls-verify=false --os linux --arch s390x localhost/x docker://$2; "
          "b manifest push --all $POLICY --tls-verify=false localhost/x docker://$3", first, second, name)
    index = json.loads(registry.inspect_raw("index/both:1"))
    assert len(index["manifests"]) == 2
    r = rl.ok("copy", "--all", *rl.trust(registry), f"docker://{name}", f"docker://{registry.name('index/copied:1')}")
    assert r.text == digest_of(registry, "index/both:1") == digest_of(registry, "index/copied:1")
    rl.ok("pull", "-q", *rl.trust(registry), registry.name("index/copied:1"))
    native = json.loads(registry.inspect_raw("index/native:1"))
    assert "sha256:" + image(rl, registry.name("index/copied:1"))["Id"] == native["config"]["digest"]
    shown = rl.ok("manifest", "inspect", "-v", *rl.trust(registry), name).json()
    assert [s["Descriptor"]["digest"] for s in shown] == [m["digest"] for m in index["manifests"]]


def test_what_we_push_is_unpacked_by_umoci(rl, registry, tmp_path):
    need("umoci")
    rl.image("layers")
    rl.ok("push", *rl.trust(registry), "localhost/layers", registry.name("umoci:1"))
    registry.lab.skopeo("copy", "-q", *registry.peer_options("src-"), f"docker://{registry.name('umoci:1')}",
                        f"oci:{tmp_path}/layout:1")
    host.run("umoci", "unpack", "--rootless", "--image", f"{tmp_path}/layout:1", f"{tmp_path}/bundle")
    assert list((tmp_path / "bundle/rootfs").iterdir())
    shutil.rmtree(tmp_path / "bundle")


@pytest.mark.skipif(not host.is_root(), reason="looks into trees of subordinate ids")
def test_what_we_pull_is_what_umoci_unpacks(rl, registry):
    """Layers that come in pieces and are unpacked meanwhile: the same tree, owners and times included."""
    need("umoci", "skopeo", "unshare")
    top = pathlib.Path(rl.user.home) / "umoci"
    layout = Layout()
    layout.add(layout.image(test_image_umoci.replacing_layers()), "t").directory(str(top / "layout"))
    host.run("chown", "-R", f"{rl.user.uid}:{rl.user.gid}", str(top))
    name = registry.push(f"oci:{top}/layout:t", "umoci/theirs:1")
    rl.shell(f"unshare --map-root-user --map-auto umoci unpack --image {top}/layout:t {top}/bundle")
    rl.ok("pull", "-q", *rl.trust(registry), name)
    rl.ok("create", "--name", "c", name, "/none", env={"ROOTLET_STORAGE_DRIVER": "copy"})
    ours = test_image_umoci.describe(rl.ok("inspect", "-f", "{{.Rootfs}}", "c").text)
    theirs = test_image_umoci.describe(f"{top}/bundle/rootfs")
    assert len(ours[0]) > 3 and ours == theirs
    shutil.rmtree(top)
