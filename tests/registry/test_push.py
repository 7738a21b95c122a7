"""push: what registries have afterwards, and what was asked of them for it."""
import gzip
import http.server
import json
import os
import re
import signal
import sys
import threading
import zlib

import pytest

from imagelib import need
from lib import host, rows
from screen import screen

OCI = "application/vnd.oci.image.manifest.v1+json"
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


def puts(seen, what):
    """Requests that brought a blob or manifest, and were taken."""
    return [s for s in seen if s.method == "PUT" and f"/{what}/" in s.path and s.status == 201]


def mounts(seen):
    return [s for s in seen if s.method == "POST" and "mount=" in s.path and s.status == 201]


def manifest_of(registry, name):
    return json.loads(registry.inspect_raw(name))


def image_id(rl, name):
    return "sha256:" + rl.ok("image", "inspect", name).json()[0]["Id"]


def types(manifest):
    return {layer["mediaType"] for layer in manifest["layers"]}


@rows("A9")
def test_plain(rl, registry):
    rl.image("layers")
    name = registry.name("push/layers:1")
    with registry.watch() as seen:
        r = rl.ok("push", *rl.trust(registry), "localhost/layers", name)
    manifest = manifest_of(registry, "push/layers:1")
    assert re.fullmatch(re.escape(registry.name("push/layers")) + "@sha256:[0-9a-f]{64}\n", r.out)
    assert manifest["mediaType"] == OCI and types(manifest) == {LAYER + "+gzip"}
    assert manifest["config"]["digest"] == image_id(rl, "localhost/layers")
    assert len(puts(seen, "manifests")) == 1 and len(puts(seen, "blobs/uploads")) == len(manifest["layers"]) + 1
    # Again: nothing is packed and nothing moves.
    with registry.watch() as seen:
        again = rl.ok("push", "-q", *rl.trust(registry), "localhost/layers", name)
    assert again.out == r.out and not again.err
    assert not puts(seen, "blobs/uploads")


@rows("A9")
@pytest.mark.parametrize("auth", [None, "htpasswd", "token", "identity"])
def test_tls_and_credentials(rl, lab, auth):
    registry = lab.registry("ca", auth)
    rl.image()
    with registry.watch() as seen:
        rl.ok("push", *rl.trust(registry), "localhost/busybox", registry.name(f"tls/{auth or 'plain'}:1"))
    assert manifest_of(registry, f"tls/{auth or 'plain'}:1")["config"]["digest"] == image_id(rl, "localhost/busybox")
    assert (401 in [s.status for s in seen]) == bool(auth)
    if registry.tokens:
        assert any(f"repository:tls/{auth}:" in s and "push" in s for a in registry.tokens.asked for s in a.scopes)


def test_client_certificate(rl, lab):
    registry = lab.registry("client")
    rl.image()
    rl.ok("push", *rl.trust(registry), "localhost/busybox", registry.name("cert:1"))
    rl.fails("push", "--retry", "0", "--cert-dir", lab.cert_dir("ca"), "localhost/busybox", registry.name("cert:2"),
             match="(?m)^Error: push localhost/busybox: .*certificate")


def test_refused(rl, lab, htpasswd_registry, token_registry):
    rl.image()
    for registry in (htpasswd_registry, token_registry):
        for creds in ([], ["--creds", "alice:wrong"]):
            with registry.watch() as seen:
                r = rl.fails("push", *rl.trust(registry, creds=False), *creds, "localhost/busybox",
                             registry.name("refused:1"))
            assert r.err.splitlines()[-2].startswith("Error: push localhost/busybox: ") and "hint: " in r.err, r
            assert "wrong" not in r.err.replace("wrong?", ""), "the password is shown"
            assert not puts(seen, "manifests") and not puts(seen, "blobs/uploads")
    for tls, cert_dir in (("wrong-name", "ca"), ("expired", "ca"), ("ca", "other")):
        registry = lab.registry(tls)
        with registry.watch() as seen:
            rl.fails("push", "--cert-dir", lab.cert_dir(cert_dir), "--retry", "0", "localhost/busybox",
                     registry.name("refused:1"), match="[Cc]ertificate|TLS|SSL")
        assert not seen


def test_another_repository_gives_its_layers(rl, registry):
    rl.image("layers")
    first, second = registry.name("mount/a:1"), registry.name("mount/b:1")
    rl.ok("tag", "localhost/layers", first)
    rl.ok("push", "-q", *rl.trust(registry), first)
    rl.ok("tag", "localhost/layers", second)
    with registry.watch() as seen:
        rl.ok("push", "-q", *rl.trust(registry), second)
    manifest = manifest_of(registry, "mount/b:1")
    assert registry.inspect_raw("mount/a:1") == registry.inspect_raw("mount/b:1")
    assert len(mounts(seen)) == len(manifest["layers"]) + 1 and not puts(seen, "blobs/uploads")


def test_formats(rl, registry):
    rl.image("layers")
    name, trust = registry.name("formats"), rl.trust(registry)
    rl.ok("push", *trust, "-f", "v2s2", "localhost/layers", f"{name}:docker")
    docker = manifest_of(registry, "formats:docker")
    assert docker["mediaType"] == DOCKER
    assert types(docker) == {"application/vnd.docker.image.rootfs.diff.tar.gzip"}
    assert docker["config"]["mediaType"] == "application/vnd.docker.container.image.v1+json"
    rl.ok("push", *trust, "--compression-format", "zstd", "localhost/layers", f"{name}:zstd")
    zstd = manifest_of(registry, "formats:zstd")
    assert types(zstd) == {LAYER + "+zstd"} and zstd["config"]["digest"] == docker["config"]["digest"]
    # What is there is used, unless a way to pack is named.
    rl.ok("push", *trust, "localhost/layers", f"{name}:any")
    rl.ok("push", *trust, "--compression-format", "gzip", "localhost/layers", f"{name}:gzip")
    assert types(manifest_of(registry, "formats:gzip")) == {LAYER + "+gzip"}
    with registry.watch() as seen:
        rl.ok("push", *trust, "--compression-format", "gzip", "--compression-level", "1", "localhost/layers",
              registry.name("formats-fast:1"))
    assert puts(seen, "blobs/uploads")
    for name in ("docker", "zstd", "any", "gzip"):
        registry.lab.skopeo("copy", "-q", *registry.peer_options("src-"), f"docker://{registry.name('formats:' + name)}",
                            f"dir:{registry.directory}/check-{name}")


def test_tags_digestfile_quiet(rl, registry):
    rl.image()
    repository = registry.name("tags/app")
    for tag in ("1", "2", "latest"):
        rl.ok("tag", "localhost/busybox", f"{repository}:{tag}")
    r = rl.ok("push", "-a", *rl.trust(registry), repository)
    assert r.out.count(f"{repository}@sha256:") == 3
    tags = registry.lab.skopeo("list-tags", *registry.peer_options(), f"docker://{repository}")
    assert sorted(json.loads(tags)["Tags"]) == ["1", "2", "latest"]
    digest = rl.user.home / "digest"
    r = rl.ok("push", "-q", "--digestfile", digest, *rl.trust(registry), repository)
    assert r.text == f"{repository}@{digest.read_text()}" and not r.err
    digest.unlink()
    rl.fails("push", "-a", *rl.trust(registry), f"{repository}:1", match="without a tag")
    rl.fails("push", "-a", *rl.trust(registry), "nothing", match="no image of this repository")
    events = rl.ok("events", "--stream=false", "--filter", "event=push", "--format", "{{.Name}}").out.split()
    assert events.count(f"{repository}:latest") == 2 and f"{repository}:1" in events


def test_names(rl, registry):
    rl.image()
    rl.fails("push", "busybox", match="localhost/busybox:latest is a name for this machine only\nhint: name a registry")
    rl.fails("push", "nosuch", match="^Error: push nosuch: image not known")
    rl.fails("push", "busybox", "localhost/x", match="for this machine only")
    rl.fails("push", "busybox", registry.name("x@sha256:" + 64 * "0"), match="decides its digest")
    rl.fails("push", "busybox", "--format", "x", registry.name("x"), match="(?s)unknown.*hint: known: oci, v2s2")
    rl.fails("push", "busybox", "--compression-format", "xz", registry.name("x"), match="known: gzip, zstd")
    rl.fails("push", "busybox", "--compression-level", "12", registry.name("x"), match="gzip has 1 to 9")
    rl.fails("push", "busybox", "--format", "v2s2", "--compression-format", "zstd", registry.name("x"), match="no zstd")
    image = image_id(rl, "busybox")
    rl.ok("untag", "busybox")
    rl.fails("push", image, match="no name that says where to\nhint: rootlet push IMAGE")
    rl.ok("push", *rl.trust(registry), image[7:19], f"docker://{registry.name('names/byid:1')}")
    assert manifest_of(registry, "names/byid:1")["config"]["digest"] == image


def test_damaged_layer(rl, registry):
    rl.image("layers")
    layers = rl.ok("image", "inspect", "localhost/layers").json()[0]["RootFS"]["Layers"]
    tree = rl.store.root / "layers" / layers[0][7:] / "diff"
    victim = next(p for p in sorted(tree.rglob("*")) if p.is_file() and not p.is_symlink() and p.stat().st_size)
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(data)
    with registry.watch() as seen:
        rl.fails("push", *rl.trust(registry), "localhost/layers", registry.name("damaged:1"),
                 match=f"(?s)layer {layers[0][:20]}.*is damaged.*hint: .*image check --repair")
    assert not puts(seen, "manifests")


def test_registry_comes_late(rl, lab):
    """A start of the registry while we wait: the network may fail for some time."""
    registry = lab.registry(fresh=True)
    registry.stop()
    rl.image()
    p = rl.spawn("push", "--retry", "8", "--retry-delay", "200ms", *rl.trust(registry), "localhost/busybox",
                 registry.name("late:1"))
    first = p.stderr.readline()
    assert first, "nothing is said about the wait"
    registry.start()
    out, err = p.communicate(timeout=60)
    assert p.returncode == 0, (first, out, err)
    assert manifest_of(registry, "late:1")["config"]["digest"] == image_id(rl, "localhost/busybox")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it(rl, registry, number):
    """Nothing of it stays in the store, and the next push does it all."""
    rl.image("layers")
    registry.process.send_signal(signal.SIGSTOP)
    try:
        p = rl.spawn("push", *rl.trust(registry), "localhost/layers", registry.name("signal:1"))
        ingest = rl.store.root / "ingest"
        rl.wait_for(lambda: list(ingest.glob("push.*/wants")) and host.sleeps(p.pid), what="the push under way")
        p.send_signal(number)
        assert p.wait(timeout=30) == -number
    finally:
        registry.process.send_signal(signal.SIGCONT)
    assert not list(ingest.iterdir())
    rl.ok("push", *rl.trust(registry), "localhost/layers", registry.name("signal:1"))


class Deaf(http.server.BaseHTTPRequestHandler):
    """A registry that has nothing and never says that it has got anything."""
    protocol_version = "HTTP/1.1"

    def answer(self, status, *headers):
        self.send_response(status)
        for header in (*headers, ("Content-Length", "0")):
            self.send_header(*header)
        self.end_headers()

    def do_GET(self):
        self.answer(200 if self.path == "/v2/" else 404)

    def do_HEAD(self):
        self.answer(404)

    def do_POST(self):
        self.answer(202, ("Location", f"{self.path}here"))

    def do_PATCH(self):
        self.server.ended.wait(60)
    do_PUT = do_PATCH

    def log_message(self, format, *args):  # pylint: disable=redefined-builtin
        pass


@pytest.mark.parametrize("verb", ["push", "copy"])
def test_a_signal_clears_the_bars(rl, images, verb):
    rl.image("layers")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Deaf)
    server.daemon_threads = True
    server.ended = threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        where = f"127.0.0.1:{server.server_port}/deaf:1"
        what = ["push", "--tls-verify=false", "localhost/layers", where] if verb == "push" else [
            "copy", "--dest-tls-verify=false", f"oci-archive:{images.path('layers')}", f"docker://{where}"]
        t = rl.pty(*what, cols=100, env={"TERM": "xterm"})
        rl.wait_for(lambda: (t._read(0.1), re.search(r"Copying (blob|config) [^\n]*\n", t.output))[1], what="bars")
        t.send("\x03")
        assert t.wait() == -signal.SIGINT
        shown = screen(t.output.replace("^C", ""), 200)
        assert not [line for line in shown if "Copying" in line], (shown, t.output)
    finally:
        server.ended.set()
        server.shutdown()
        server.server_close()


def test_readers_of_what_is_packed(rl, registry, tmp_path):
    """gzip in blocks is one member for everybody, and the same on one processor."""
    need("busybox", "umoci", "taskset")
    data = b"".join(b"%d: a line that comes again\n" % (n * n) for n in range(40000)) + os.urandom(300001)
    (tmp_path / "big").write_bytes(data)
    tmp_path.chmod(0o755)
    rl("import", "-q", "-", "localhost/blocks", rc=0, input=tar_of(tmp_path / "big"))
    alone = ["taskset", "-c", str(min(os.sched_getaffinity(0)))]
    for level in ("1", "3", "4", "9"):
        found = []
        for prefix in ([], alone):
            repository = f"blocks/{level}-{len(prefix)}"
            rl.ok("push", "-q", *rl.trust(registry), "--compression-format", "gzip", "--force-compression",
                  "--compression-level", level, "localhost/blocks", registry.name(f"{repository}:1"), prefix=prefix)
            found.append(manifest_of(registry, f"{repository}:1")["layers"][0]["digest"])
        assert found[0] == found[1], level
        blob = registry.blob_path(found[0]).read_bytes()
        z = zlib.decompressobj(31)
        assert data in z.decompress(blob) and z.eof and not z.unused_data
        assert data in gzip.decompress(blob)
        for reader in (["gzip", "-t"], ["busybox", "gunzip", "-t"]):
            host.subprocess.run(reader, input=blob, check=True)
        registry.lab.skopeo("copy", "-q", *registry.peer_options("src-"), f"docker://{registry.name(repository)}:1",
                            f"oci:{tmp_path}/layout:{level}")
        host.run("umoci", "unpack", "--rootless", "--image", f"{tmp_path}/layout:{level}",
                 str(tmp_path / f"bundle{level}"))
        assert (tmp_path / f"bundle{level}/rootfs/big").read_bytes() == data


PEAK = """import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)"""


@pytest.mark.skipif(host.SANITIZERS, reason="they need memory of their own")
def test_memory_is_bounded(rl, registry, tmp_path):
    (tmp_path / "big").write_bytes(os.urandom(32 << 20))
    tmp_path.chmod(0o755)
    r = rl("import", "-q", "-", "localhost/big", rc=0, input=tar_of(tmp_path / "big"))
    r = rl.ok("push", "-q", *rl.trust(registry), "localhost/big", registry.name("big:1"),
              prefix=[sys.executable, "-c", PEAK])
    assert int(r.out.split()[-1]) < 24 << 10, r
    assert manifest_of(registry, "big:1")["layers"][0]["size"] > 32 << 20


def tar_of(path):
    return host.subprocess.run(["tar", "-C", str(path.parent), "-c", path.name], capture_output=True, check=True).stdout
