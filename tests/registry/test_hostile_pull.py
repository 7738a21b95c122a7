"""What a registry may do wrong (hostile.py), as a user meets it: rootlet pull ends soon, with exit status 125 and one line
that names the image and the rule, and nothing of it stays. More of it in test_pull.py; waits and stalls are in
test_hostile_client.py, where they can be short."""
import gzip
import io
import json
import os
import random
import tarfile

import pytest

from hostile import Hostile, part
from lib import rows


def make_image():
    """One layer that gzip does not make smaller, and the configuration for it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as t:
        info = tarfile.TarInfo("data")
        info.size = 300_000
        t.addfile(info, io.BytesIO(random.Random(7).randbytes(info.size)))
    tar = out.getvalue()
    config = {"architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine),
              "os": "linux", "config": {"Cmd": ["/bin/sh"]},
              "rootfs": {"type": "layers", "diff_ids": [part(tar).digest]}}
    return gzip.compress(tar, mtime=0), json.dumps(config).encode()


@pytest.fixture(name="server", scope="module")
def server_fixture():
    peer = Hostile(*make_image())
    made = Hostile(*make_image(), peer=peer)
    yield made
    made.end()
    peer.end()


@pytest.fixture(name="pull")
def pull_fixture(rl, server):
    for s in (server, server.peer):
        s.seen.clear()
        s.counts.clear()

    def run(name, *options, **kw):
        return rl("pull", "--tls-verify=false", "--retry", "1", "--retry-delay", "10ms", *options, server.ref(name), **kw)
    return run


REFUSED = {
    "endless-config": "goes on after", "huge-manifest": "more than the", "endless-header": "header is longer",
    "endless-informational": "header is longer", "endless-error": "does not have it", "other-manifest": "",
    "web-page-blob": "web page", "no-http": "", "cut-byte": "", "busy": "too many requests", "broken": "status 500",
    "redirect-control": "character", "wants-login": "authentication is required", "realm-file": "no http(s) address",
    "realm-plain": "https only", "always-401": "authentication is required", "token-endless": "goes on after",
    "token-injects": "holds no token",
}


def files_of(store):
    return {p.relative_to(store.root).as_posix(): p.stat().st_size
            for sub in ("layers", "blobs", "images", "refs", "ingest") for p in (store.root / sub).rglob("*") if p.is_file()}


@rows("A25")
@pytest.mark.parametrize("name", REFUSED)
def test_refused(rl, server, pull, name):
    before, images = files_of(rl.store), rl.ok("images", "-aq").out
    r = pull(name, timeout=60)
    assert r.rc == 125, (r.rc, r.out, r.err)
    errors = [line for line in r.err.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1 and server.address in errors[0] and REFUSED[name] in errors[0], r.err
    assert not [c for c in r.err if c < " " and c not in "\n\r"], r.err
    assert rl.ok("images", "-aq").out == images
    left = {p: n for p, n in files_of(rl.store).items() if p not in before}
    if name == "cut-byte":  # which can be gone on from
        left = {p: n for p, n in left.items() if not (p.endswith(".part") and n <= 3)}
        rl.shell(f"rm {rl.store.root}/ingest/*.part")
    assert not left, left


@rows("A26")
def test_too_many_layers_are_not_fetched(rl):
    """What overlay cannot stack is refused by the configuration: no byte of a layer comes."""
    packed, config = make_image()
    many = json.loads(config)
    many["rootfs"]["diff_ids"] *= 499
    server = Hostile(packed, json.dumps(many).encode())
    try:
        doc = json.loads(server.manifest.data)
        doc["layers"] *= 499
        server.manifest = part(json.dumps(doc).encode())
        r = rl.fails("pull", "--tls-verify=false", server.ref("many"), match="499 layers, at most 498 can be stacked")
        assert "--squash-all" in r.err
        assert server.requests("config") and not server.requests("layer")
    finally:
        server.end()
