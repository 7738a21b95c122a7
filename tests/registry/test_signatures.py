"""policy.json and signatures: what is not signed as the policy wants is not pulled, and no layer of it is asked for."""
import json
import os
import shutil
import subprocess

import pytest

import signing

rows = pytest.mark.rows
pytestmark = pytest.mark.usefixtures("policy")


@pytest.fixture(scope="module")
def keys(lab):
    directory = lab.directory / "keys"
    directory.mkdir(exist_ok=True)
    return {name: signing.Key(directory, name, kind)
            for name, kind in (("ec", "ec"), ("rsa", "rsa"), ("ed25519", "ed25519"), ("other", "ec"))}


@pytest.fixture
def policy(rl):
    """Sets the user's policy.json: policy(registry, requirement...)."""
    top = rl.user.home / f"home-{rl.store.root.name}"
    rl.shell(f"umask 077; mkdir -p {top}/.config/containers")
    rl.env = {"HOME": top, "XDG_CONFIG_HOME": None, "REGISTRY_AUTH_FILE": None}

    def put(registry, *requirements, default="reject"):
        text = json.dumps({"default": [{"type": default}], "transports": {"docker": {registry.address: requirements}}})
        rl.shell(f"cat > {top}/.config/containers/policy.json", input=text)
    yield put
    shutil.rmtree(top, ignore_errors=True)


def signed_by(key, identity=None, **more):
    out = {"type": "sigstoreSigned", "keyPath": str(key.public), **more}
    if identity:
        out["signedIdentity"] = identity if isinstance(identity, dict) else {"type": identity}
    return out


class Image:
    """An image in a repository of its own."""

    number = 0

    def __init__(self, registry, source, tag="1"):
        Image.number += 1
        self.registry, self.repository = registry, f"signed/app{Image.number}"
        self.name = registry.push(source, f"{self.repository}:{tag}", format="v2s2")
        self.writer = signing.Writer(registry, self.repository)
        self.manifest, self.digest = self.writer.get(tag)
        self.layers = [layer["digest"] for layer in json.loads(self.manifest)["layers"]]

    def sign(self, key, reference=None, digest=None, keep=()):
        pay = signing.payload(reference or self.name, digest or self.digest)
        pair = (pay, key.sign(pay, self.registry.lab.directory))
        self.writer.signatures(self.digest, [*keep, pair])
        return pair


@pytest.fixture
def image(registry, images):
    return Image(registry, images.path("busybox"))


def skopeo_agrees(rl, image, name, accepted):
    """$SKOPEO, one that verifies such signatures (Debian 12's does not), has the same policy."""
    home = rl.env["HOME"]
    sigs, out = home / "registries.d", home / "copied"
    sigs.mkdir(exist_ok=True)
    (sigs / "default.yaml").write_text("default-docker:\n  use-sigstore-attachments: true\n")
    r = subprocess.run(
        [*os.environ["SKOPEO"].split(), "--registries.d", sigs, "--policy", home / ".config/containers/policy.json", "copy",
         "-q", "--src-tls-verify=false", f"docker://{name}", f"dir:{out}"], capture_output=True, text=True, check=False,
        cwd=home)
    assert (r.returncode == 0) == accepted, f"{r} with {(home / '.config/containers/policy.json').read_text()}"


def pull(rl, image, name=None, rc=0, peer=True):
    done = rl("pull", "-q", *rl.trust(image.registry), name or image.name, env=rl.env, rc=rc)
    if peer and "SKOPEO" in os.environ:
        skopeo_agrees(rl, image, name or image.name, rc == 0)
    return done


def refused(rl, image, match, name=None, peer=True):
    """Refused with this reason, nothing of it is here, and no layer was asked for."""
    with image.registry.watch() as seen:
        done = pull(rl, image, name, rc=125, peer=False)
    if peer and "SKOPEO" in os.environ:
        skopeo_agrees(rl, image, name or image.name, False)
    assert match in done.err, done
    assert not [s for s in seen if any(layer in s.path for layer in image.layers)], seen
    assert rl.ok("images", "-aq").out == ""
    return done


@rows("A2")
def test_accept_and_reject(rl, registry, image, policy):
    policy(registry, {"type": "reject"}, default="insecureAcceptAnything")
    refused(rl, image, f"policy.json (docker:{registry.address}): such images are rejected")
    policy(registry, {"type": "insecureAcceptAnything"}, {"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/x"})
    refused(rl, image, "signedBy asks for a GPG signature")
    policy(registry, {"type": "something"})
    refused(rl, image, "type something is not known here")
    policy(registry, {"type": "insecureAcceptAnything"})
    pull(rl, image)


@rows("A2")
@pytest.mark.parametrize("kind", ["ec", "rsa", "ed25519"])
def test_a_good_signature(rl, registry, image, policy, keys, kind):
    policy(registry, signed_by(keys[kind]))
    refused(rl, image, "it has no signature")
    image.sign(keys[kind])
    pull(rl, image)
    pull(rl, image, f"{registry.name(image.repository)}@{image.digest}")


@rows("A2")
def test_every_single_change_is_refused(rl, registry, image, images, policy, keys):
    key, lab = keys["ec"], registry.lab.directory
    policy(registry, signed_by(key))
    good = image.sign(key)
    # Of the payload, of the signature, and of what it is about.
    changed = good[0].replace(b'"critical"', b'"critica1"'), good[1]
    image.writer.signatures(image.digest, [changed])
    refused(rl, image, "it is by another key, or was changed")
    image.writer.signatures(image.digest, [(good[0] + b" ", good[1])])
    refused(rl, image, "it is by another key, or was changed")
    image.writer.signatures(image.digest, [(good[0], good[1][:-1] + bytes([good[1][-1] ^ 1]))])
    refused(rl, image, "it is by another key, or was changed")
    image.writer.signatures(image.digest, [(good[0], b"")])
    refused(rl, image, "it has no signature")
    image.sign(keys["other"])
    refused(rl, image, "it is by another key, or was changed")
    image.sign(key, digest="sha256:" + "0" * 64)
    refused(rl, image, "it is of another image (sha256:0000")
    image.sign(key, reference=registry.name("signed/other:1"))
    refused(rl, image, f"it is for {registry.name('signed/other:1')}")
    image.sign(key, reference=image.name.replace(":1", ":2"))
    refused(rl, image, "it is for")
    # A good one, of another image that the same key has signed.
    other = Image(registry, f"oci-archive:{images.path('layers')}")
    theirs = other.sign(key)
    assert other.digest != image.digest
    image.writer.signatures(image.digest, [theirs])
    refused(rl, image, f"it is of another image ({other.digest})")
    # What is signed is no payload, or says more than it may.
    for text in (b"{}", b"x", good[0].replace(b"cosign container image signature", b"atomic container signature"),
                 good[0].replace(b'"critical": {', b'"critical": {"more": 1, ')):
        image.writer.signatures(image.digest, [(text, key.sign(text, lab))])
        refused(rl, image, "its payload")
    big = good[0] + b" " * (1 << 20)
    image.writer.signatures(image.digest, [(big, key.sign(big, lab))])
    refused(rl, image, "it has no signature", peer=False)  # skopeo takes 4 MiB
    image.writer.signatures(image.digest, [good], mediaType="application/octet-stream")
    refused(rl, image, "it has no signature")
    # The good one among bad ones will do.
    image.writer.signatures(image.digest, [theirs, changed, good])
    pull(rl, image)


def test_a_manifest_that_is_another_is_refused(rl, registry, image, images, policy, keys):
    """The tag leads to something else than what was signed: the signature of the old one does not help."""
    policy(registry, signed_by(keys["ec"]))
    image.sign(keys["ec"])
    with_more = {**json.loads(image.manifest), "annotations": {"x": "y"}}
    image.writer.manifest(with_more, "1")
    refused(rl, image, "it has no signature")


@rows("A2")
def test_identities(rl, registry, image, policy, keys):
    key, repository = keys["ec"], registry.name(image.repository)
    image.sign(key, reference=repository)  # as cosign does
    policy(registry, signed_by(key))
    assert "matchRepository" in refused(rl, image, f"it is for {repository}").err
    policy(registry, signed_by(key, {"type": "exactRepository", "dockerRepository": "quay.io/x/y"}))
    refused(rl, image, f"it is for {repository}")
    policy(registry, signed_by(key, "matchRepository"))
    pull(rl, image)
    image.sign(key, reference="quay.io/up/stream:1")
    policy(registry, signed_by(key, "matchRepository"))
    rl.ok("rmi", "-a", "-f")
    refused(rl, image, "it is for quay.io/up/stream:1")
    policy(registry, signed_by(key, {"type": "exactReference", "dockerReference": "quay.io/up/stream:1"}))
    pull(rl, image)
    image.sign(key, reference=f"quay.io/mirrored/{image.repository}:1")
    policy(registry, signed_by(key, {"type": "remapIdentity", "prefix": registry.address,
                                     "signedPrefix": "quay.io/mirrored"}))
    pull(rl, image)


def test_keys(rl, registry, image, policy, keys):
    image.sign(keys["rsa"])
    both = {"type": "sigstoreSigned", "keyPaths": [str(keys["other"].public), str(keys["rsa"].public)]}
    policy(registry, both)
    pull(rl, image)
    policy(registry, {"type": "sigstoreSigned", "keyData": keys["rsa"].data()})
    pull(rl, image)
    rl.ok("rmi", "-a", "-f")
    policy(registry, signed_by(keys["rsa"]), signed_by(keys["other"]))  # all requirements have to be met
    refused(rl, image, "it is by another key, or was changed")
    policy(registry, {"type": "sigstoreSigned", "keyPath": "/nonexistent.pub"})
    refused(rl, image, "keyPath: ")
    policy(registry, {"type": "sigstoreSigned", "keyPath": "/etc/hostname"})
    refused(rl, image, "it holds no public key in PEM")
    policy(registry, signed_by(keys["rsa"], rekorPublicKeyPath="/x"))
    refused(rl, image, "sigstoreSigned by rekorPublicKeyPath cannot be verified here")
    policy(registry, {"type": "sigstoreSigned", "fulcio": {"caPath": "/x"}})
    refused(rl, image, "sigstoreSigned by fulcio cannot be verified here")


def test_referrers(rl, registry, image, policy, keys):
    policy(registry, signed_by(keys["ec"]))
    pay = signing.payload(image.name, image.digest)
    image.writer.referrer(image.digest, [(pay, keys["other"].sign(pay, registry.lab.directory))])
    refused(rl, image, "it is by another key")
    image.writer.referrer(image.digest, [(pay, keys["ec"].sign(pay, registry.lab.directory))])
    pull(rl, image, peer=False)  # skopeo reads the tag alone


@rows("A2")
def test_index(rl, registry, image, policy, keys):
    """A signature of the index is one of what it names; one of the platform's manifest alone will do, too."""
    config = json.loads(image.manifest)["config"]["digest"]
    arch = json.loads(registry.blob_path(config).read_text())["architecture"]
    m = {"mediaType": "application/vnd.docker.distribution.manifest.v2+json", "digest": image.digest,
         "size": len(image.manifest)}
    index = image.writer.manifest({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
                                   "manifests": [{**m, "platform": {"os": "linux", "architecture": arch}}]}, "multi")
    name = registry.name(f"{image.repository}:multi")
    policy(registry, signed_by(keys["ec"]))
    refused(rl, image, "it has no signature", name=name)
    image.sign(keys["ec"])  # for the tag "1"
    refused(rl, image, "it is for", name=name)
    image.sign(keys["ec"], reference=name)
    pull(rl, image, name)
    rl.ok("rmi", "-a", "-f")
    pay = signing.payload(name, index["digest"])
    image.sign(keys["other"])
    refused(rl, image, "it is by another key", name=name)
    image.writer.signatures(index["digest"], [(pay, keys["ec"].sign(pay, registry.lab.directory))])
    pull(rl, image, name, peer=False)  # skopeo wants each manifest signed


@rows("A2")
def test_signed_by_skopeo(rl, registry, image, policy, keys, tmp_path):
    """Some builds of skopeo (Debian 12) have no signatures of this kind; $SKOPEO names another."""
    skopeo = os.environ.get("SKOPEO", "skopeo")
    d = tmp_path / "registries.d"
    d.mkdir()
    (d / "default.yaml").write_text("default-docker:\n  use-sigstore-attachments: true\n")
    phrase, accept = tmp_path / "phrase", tmp_path / "accept.json"
    phrase.write_text(signing.PASSPHRASE)
    accept.write_text('{"default":[{"type":"insecureAcceptAnything"}]}')
    name = f"docker://{image.name}"
    r = subprocess.run(
        [*skopeo.split(), "--registries.d", d, "--policy", accept, "copy", "-q", "--src-tls-verify=false",
         "--dest-tls-verify=false", "--sign-by-sigstore-private-key", keys["ec"].cosign(tmp_path / "cosign.key"),
         "--sign-passphrase-file", phrase, name, name], capture_output=True, text=True, check=False, cwd=tmp_path)
    if "sigstore disabled" in r.stderr:
        pytest.skip("this skopeo does not sign")
    assert r.returncode == 0, r.stderr
    policy(registry, signed_by(keys["other"]))
    refused(rl, image, "it is by another key")
    policy(registry, signed_by(keys["ec"]))
    pull(rl, image)


@rows("A2")
def test_load_obeys_the_policy(rl, images, policy):  # pylint: disable=unused-argument
    """The same archive by pull and by load, by its name and by standard input."""
    top = rl.env["HOME"]
    archive = top / "saved.tar"
    rl.shell(f"cp {images.path('busybox')} {archive}")
    names = subprocess.run(["tar", "-tf", archive], capture_output=True, text=True, check=True).stdout.split()
    kind = "docker-archive" if "manifest.json" in names else "oci-archive"

    def put(default, **transports):
        text = json.dumps({"default": [{"type": default}], "transports": transports})
        rl.shell(f"cat > {top}/.config/containers/policy.json", input=text)

    accept, reject = [{"type": "insecureAcceptAnything"}], [{"type": "reject"}]
    put("reject")
    for argv in (["load", "-i", archive], ["pull", f"{kind}:{archive}"]):
        r = rl(*argv, env=rl.env, rc=125)
        assert "such images are rejected" in r.err and "policy.json (default)" in r.err, r
    with open(archive, "rb") as f:
        assert "policy.json (default)" in rl("load", env=rl.env, rc=125, stdin=f).err
    put("insecureAcceptAnything", **{kind: {str(archive): reject}})
    rl("load", "-i", archive, env=rl.env, rc=125)
    assert rl.ok("images", "-aq").out == ""
    put("reject", **{kind: {str(top): accept}})
    rl.ok("load", "-i", archive, env=rl.env)
