"""The laboratory itself, by the peers' clients: that its registries answer, ask for credentials, and tell what they were asked."""
import json
import shutil
import subprocess

import pytest


@pytest.mark.parametrize("tls, auth", [(None, None), ("ca", None), ("client", None), ("ca", "htpasswd"), ("ca", "token"),
                                       (None, "token")])
def test_push_by_skopeo(lab, images, tls, auth):
    r = lab.registry(tls, auth)
    with r.watch() as seen:
        r.push(images.path("busybox"), "lab/busybox:1", format="v2s2")
    assert [s.status for s in seen if s.method == "PUT" and "/manifests/" in s.path] == [201]
    assert (401 in [s.status for s in seen]) == bool(auth)
    manifest = json.loads(r.inspect_raw("lab/busybox:1"))
    assert manifest["mediaType"] == "application/vnd.docker.distribution.manifest.v2+json"
    assert r.blob_path(manifest["config"]["digest"]).exists()


def test_tokens_end(lab, images):
    r = lab.registry("ca", "token", fresh=True)
    r.tokens.lifetime = -5
    argv = ["skopeo", "copy", *r.peer_options("dest-"), f"docker-archive:{images.path('busybox')}",
            f"docker://{r.name('x:1')}"]
    assert shutil.which("skopeo")
    refused = subprocess.run(argv, capture_output=True, text=True, check=False, cwd="/")
    assert refused.returncode != 0
    assert r.tokens.asked and all(a.user == "alice" and a.status == 200 for a in r.tokens.asked)
    r.tokens.forget()
    r.push(images.path("busybox"), "x:1")
    assert any("repository:x:" in s for a in r.tokens.asked for s in a.scopes)


def test_stop_and_start_keep_what_is_there(lab, images):
    r = lab.registry(fresh=True)
    r.push(images.path("busybox"), "x:1")
    port = r.port
    r.stop()
    r.start()
    assert r.port == port and r.inspect_raw("x:1")


def test_bad_certificates(lab):
    for tls in ("wrong-name", "expired", "ca"):
        r = lab.registry(tls)
        cert_dir = lab.cert_dir("other" if tls == "ca" else "ca")
        done = subprocess.run(["skopeo", "inspect", "--cert-dir", cert_dir, f"docker://{r.name('x')}"],
                              capture_output=True, text=True, check=False, cwd="/")
        assert done.returncode != 0 and "x509" in done.stderr, (tls, done.stderr)
