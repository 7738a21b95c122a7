"""What a registry may do wrong, one fault each (hostile.py), against the client by itself (tests/tools/registry-tool): it
ends soon, with exit status 125 and one line that names what was asked for and the rule that was broken."""
import hashlib
import os
import pathlib
import re
import resource
import ssl
import subprocess
import time

import pytest

from hostile import OWN, UPLOADS, Hostile, answer, basic, challenge, fault, token
from lib import host

pytestmark = pytest.mark.skipif(not (host.BUILDDIR / "tests/tools/registry-tool").exists(),
                                reason="tests/tools/registry-tool is not built (make check builds it)")
SOON = 20


class Tool:
    def __init__(self, tmp_path, server):
        self.server = server
        self.home = tmp_path
        (tmp_path / "registries.conf").write_text("")

    def run(self, verb, *args, **options):
        options = {"tls_verify": 0, "retry": 2, "delay_ms": 10, "stall_s": 2, **options}
        env = {"PATH": os.environ["PATH"], "HOME": str(self.home), "XDG_CONFIG_HOME": str(self.home),
               "XDG_RUNTIME_DIR": str(self.home), "CONTAINERS_REGISTRIES_CONF": str(self.home / "registries.conf"),
               **{k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}}
        env.update(self.env if hasattr(self, "env") else {})
        argv = [str(host.BUILDDIR / "tests/tools/registry-tool"), *(f"{k}={v}" for k, v in options.items()), verb, *args]
        at = time.monotonic()
        r = subprocess.run(argv, capture_output=True, text=True, timeout=SOON * 3, env=env, check=False)
        r.seconds = time.monotonic() - at
        r.error = [line for line in r.stderr.splitlines() if line.startswith("Error: ")]
        return r

    def ok(self, *args, **options):
        r = self.run(*args, **options)
        assert r.returncode == 0, r.stderr
        return r.stdout

    def fetch(self, name, file="-", **options):
        return self.run("fetch", self.server.ref(name), file, self.server.layer.digest, str(len(self.server.layer.data)),
                        **options)

    def gets(self, name, **options):
        r = self.fetch(name, **options)
        assert r.returncode == 0, r.stderr
        assert r.stdout.split() == [str(len(self.server.layer.data)), self.server.layer.digest], r.stdout
        return r


@pytest.fixture(name="server", scope="module")
def server_fixture():
    peer = Hostile()
    made = Hostile(peer=peer)
    yield made
    made.end()
    peer.end()


@pytest.fixture(name="tool")
def tool_fixture(tmp_path, server):
    server.seen.clear()
    server.peer.seen.clear()
    server.counts.clear()
    server.peer.counts.clear()
    server.uploaded.clear()
    server.peer.uploaded.clear()
    return Tool(tmp_path, server)


def refused(r, *words):
    assert r.returncode == 125, (r.returncode, r.stdout, r.stderr)
    assert len(r.error) == 1, r.stderr
    assert r.seconds < SOON, r.seconds
    for word in words:
        assert word in r.error[0], r.error[0]


BLOBS = {
    "shorter": "it has 299968 bytes, and not the", "longer": "more than the", "longer-chunked": "goes on after the",
    "endless-blob": "goes on after the", "bad-length": "", "web-page-blob": "web page", "never-there": "does not have it",
    "stall": "stalled", "slow": "stalled", "cut": "", "cut-byte": "",
    "wrong-range": "asked for the bytes from 100000 on, got those from 5 on", "unread-range": "Content-Range",
    "redirect-loop": "more than 5 redirects", "redirect-file": "a redirect to file: is refused",
    "redirect-gopher": "a redirect to gopher: is refused", "redirect-user": "user name", "redirect-control": "character",
    "redirect-endless": "the registry does not have it", "redirect-peer-401": "wants a login, where the registry has sent us",
}
MANIFESTS = {
    "endless-manifest": "goes on after the 4194304 bytes", "huge-manifest": "more than the 4194304 allowed",
    "endless-header": "header is longer than 64 KiB", "endless-header-line": "",
    "endless-informational": "header is longer than 64 KiB", "endless-error": "the registry does not have it",
    "wrong-digest-header": "the registry says sha256:000", "no-http": "", "web-page": "web page (proxy or login?)",
    "nasty-message": "denies it: \\x1b[2Jno\\x0aError: faked", "silent": "no answer: ", "busy": "too many requests",
    "broken": "status 500", "wants-login": "authentication is required", "realm-file": "no http(s) address",
    "realm-plain": "passwords go to https only", "realm-none": "neither Bearer nor Basic",
    "realm-nonsense": "cannot be read", "realm-huge": "longer than", "unknown-scheme": "neither Bearer nor Basic",
    "always-401": "authentication is required", "token-endless": "goes on after the 1048576 bytes",
    "token-injects": "holds no token", "token-page": "", "token-refuses": "authentication is required",
}
LISTS = {"tags-loop": "without bringing anything", "tags-elsewhere": "at another host", "tags-deep": "64 levels"}
GOOD = {"wrong-bytes", "cut-range", "no-range", "range-refused", "busy-layer", "redirect-chain", "redirect-peer",
        "token-expires", "reset-manifest", "busy-once", "endless-config", "other-manifest", "tags-endless", "tags-nasty", "redirect-plain"}


def test_every_fault_is_played():
    assert OWN == set(BLOBS) | set(MANIFESTS) | set(LISTS) | GOOD


@pytest.mark.parametrize("name", BLOBS)
def test_blob(tool, tmp_path, name):
    r = tool.fetch(name, file=str(tmp_path / "part"), retry=0 if name in ("slow", "stall") else 2)
    name_of = f"{tool.server.address}/{name}/x: blob {tool.server.layer.digest[:19]}"
    refused(r, name_of, BLOBS[name].replace("299968", str(len(tool.server.layer.data) - 1)))
    # Never a byte more than the descriptor says is given on.
    assert (tmp_path / "part").stat().st_size <= len(tool.server.layer.data)


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifest(tool, name):
    r = tool.run("manifest", tool.server.ref(name), retry=0 if name == "silent" else 2)
    refused(r, f"{tool.server.address}/{name}/x:1: manifest", MANIFESTS[name])
    assert not [c for c in r.stderr if c < " " and c != "\n"], r.stderr
    assert len(r.stderr) < 3000


@pytest.mark.parametrize("name", LISTS)
def test_list(tool, name):
    refused(tool.run("tags", tool.server.ref(name)), f"{tool.server.address}/{name}/x: tags", LISTS[name])


def test_lists_have_an_end_and_no_control_characters(tool):
    assert len(tool.ok("tags", tool.server.ref("tags-endless")).split()) == 100_000
    assert tool.ok("tags", tool.server.ref("tags-nasty")).split() == ["good"]


def test_small_blobs_have_a_limit_and_are_verified(tool):
    ref, config, layer = tool.server.ref("endless-config"), tool.server.config, tool.server.layer
    refused(tool.run("small", ref, config.digest), "goes on after the 4194304 bytes")
    refused(tool.run("small", ref, config.digest, "50"), "goes on after the 50 bytes")
    refused(tool.run("small", tool.server.ref("wrong-bytes"), layer.digest), "another digest")
    assert tool.ok("small", tool.server.ref("plain"), config.digest).strip() == str(len(config.data))


def test_a_digest_is_what_was_asked_for(tool):
    name = tool.server.ref("other-manifest").removesuffix(":1")
    refused(tool.run("manifest", f"{name}@{tool.server.manifest.digest}"), "not the one asked for")
    name = tool.server.ref("plain").removesuffix(":1")
    assert tool.ok("manifest", f"{name}@{tool.server.manifest.digest}").startswith(tool.server.manifest.digest)


def test_cuts_are_continued(tool):
    tool.gets("cut-range")
    layers = tool.server.requests("layer")
    assert [q.headers.get("range") for q in layers[:3]] == [None, "bytes=70000-", "bytes=140000-"]
    assert len(layers) == -(-len(tool.server.layer.data) // 70_000)


def test_a_file_goes_on_where_it_ends(tool, tmp_path):
    file, data = tmp_path / "part", tool.server.layer.data
    file.write_bytes(data[:123_456])
    r = tool.run("fetch", tool.server.ref("plain"), str(file), tool.server.layer.digest, str(len(data)))
    assert r.returncode == 0 and file.read_bytes() == data
    assert [q.headers.get("range") for q in tool.server.requests("layer")] == ["bytes=123456-"]


@pytest.mark.parametrize("name", ["no-range", "range-refused"])
def test_servers_without_ranges(tool, tmp_path, name):
    r = tool.fetch(name, file=str(tmp_path / "part"))
    assert r.returncode == 0, r.stderr
    assert (tmp_path / "part").read_bytes() == tool.server.layer.data


def test_waits_are_told(tool):
    tool.ok("manifest", tool.server.ref("reset-manifest"))
    r = tool.run("manifest", tool.server.ref("busy-once"))
    assert r.returncode == 0 and "answers status 429; trying again in 1.0 s" in r.stderr
    assert r.seconds >= 0.9
    tool.gets("busy-layer")
    assert len(tool.server.requests("layer")) == 3


def test_too_many_requests_says_the_limits(tool):
    r = tool.run("manifest", tool.server.ref("busy"))
    refused(r, "limit 100;w=21600", "remaining 0;w=21600")
    assert "rootlet login" in r.stderr
    assert len(tool.server.requests("manifests")) == 3  # and two retries


def test_redirects(tool):
    tool.gets("redirect-chain")
    assert len(tool.server.requests("layer")) == 6


def test_a_login_is_for_its_host_alone(tool):
    tool.gets("redirect-peer", creds="alice:secret")
    assert basic("alice", "secret") in [q.headers.get("authorization") for q in tool.server.requests("layer")]
    assert tool.server.peer.seen and not [q for q in tool.server.peer.seen if "authorization" in q.headers]
    r = tool.fetch("redirect-peer-401", creds="alice:secret")
    refused(r, "wants a login")
    assert not [q for q in tool.server.peer.seen if "authorization" in q.headers]


def test_https_stays_https(tool, lab):
    """A redirect to http is refused; in between, certificates are verified."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(lab.certs("ca-server.crt"), lab.certs("ca-server.key"))
    tls = Hostile(peer=tool.server.peer, tls=context)
    tool.server = tls
    try:
        trust = {"cert_dir": lab.cert_dir(), "tls_verify": 1}
        tool.gets("plain", **trust)
        refused(tool.fetch("redirect-plain", **trust), "a redirect from https to http://127.0.0.1 is refused")
        assert not tls.peer.requests("layer") and tls.requests("layer", "redirect-plain")
        tls.seen.clear()
        r = tool.run("manifest", tls.ref("plain"), tls_verify=1)
        refused(r, "certificate")
        assert "certs.d" in r.stderr and not tls.seen
        assert tool.ok("manifest", tls.ref("plain"), tls_verify=0)
    finally:
        tls.end()


def test_a_token_ends_in_the_middle(tool):
    ref = tool.server.ref("token-expires")
    assert tool.ok("manifest", ref)
    tool.server.counts.clear()
    tool.gets("token-expires")
    assert {"Bearer t1", "Bearer t2"} <= {q.headers.get("authorization") for q in tool.server.requests("layer")}
    scopes = [q.path for q in tool.server.requests("token")]
    assert all("scope=repository%3Atoken-expires%2Fx%3Apull" in p and "service=x" in p for p in scopes), scopes


def test_nobody_listens(tool):
    tool.server.seen.clear()
    r = tool.run("manifest", "127.0.0.1:1/a/b:1")
    refused(r, "127.0.0.1:1/a/b:1: manifest", "by https:", "by http:")


def test_plain_http_only_by_the_user_s_word(tool):
    r = tool.run("manifest", tool.server.ref("plain"), tls_verify=-1)
    refused(r, "manifest")
    assert "--tls-verify=false" in r.stderr and not tool.server.seen
    (tool.home / "registries.conf").write_text(f'[[registry]]\nlocation = "{tool.server.address}"\ninsecure = true\n')
    assert tool.ok("manifest", tool.server.ref("plain"), tls_verify=-1)


def test_mirrors_in_their_order(tool):
    def mirror(name):
        return f'[[registry.mirror]]\nlocation = "{tool.server.address}/{name}"\ninsecure = true\n'

    conf = tool.home / "registries.conf"
    head = '[[registry]]\nprefix = "reg.example"\nlocation = "127.0.0.1:1"\ninsecure = true\n'
    conf.write_text(head + mirror("broken") + mirror("plain"))
    assert tool.ok("manifest", "reg.example/x:1", tls_verify=-1, retry=0)
    assert [q.fault for q in tool.server.requests("manifests")] == ["broken", "plain"]
    data = tool.server.layer
    out = tool.ok("fetch", "reg.example/x:1", "-", data.digest, str(len(data.data)), tls_verify=-1, retry=0)
    assert out.split() == [str(len(data.data)), data.digest]
    conf.write_text(head + mirror("broken") + mirror("web-page"))
    r = tool.run("manifest", "reg.example/x:1", tls_verify=-1, retry=0)
    refused(r, "reg.example/x:1", f"{tool.server.address}/broken/x: ", "status 500", f"{tool.server.address}/web-page/x: ",
            "web page", "127.0.0.1:1/x: ")


def test_a_cut_in_a_mirror_goes_on_in_the_next(tool):
    conf = tool.home / "registries.conf"
    conf.write_text('[[registry]]\nprefix = "reg.example"\nlocation = "127.0.0.1:1"\ninsecure = true\n' + "".join(
        f'[[registry.mirror]]\nlocation = "{tool.server.address}/{name}"\ninsecure = true\n' for name in ("stall", "plain")))
    data = tool.server.layer
    out = tool.ok("fetch", "reg.example/x:1", "-", data.digest, str(len(data.data)), tls_verify=-1, retry=0)
    assert out.split() == [str(len(data.data)), data.digest]
    assert [q.headers.get("range") for q in tool.server.requests("layer", "plain")] == ["bytes=1000-"]


def test_proxies(tool):
    """By the environment; NO_PROXY names who is asked directly."""
    tool.env = {"http_proxy": f"http://{tool.server.peer.address}"}
    tool.run("manifest", "reg.example:5000/plain/x:1", retry=0)
    assert "http://reg.example:5000/v2/" in [q.path for q in tool.server.peer.seen]
    tool.server.peer.seen.clear()
    tool.env["NO_PROXY"] = "127.0.0.1"
    assert tool.ok("manifest", tool.server.ref("plain"))
    assert not tool.server.peer.seen


@pytest.mark.parametrize("name", ["localhost.evil.example:5000", "127.evil.example:5000"])
def test_plain_http_is_told(tool, name):
    """Also of a host whose name begins like this machine's."""
    tool.env = {"http_proxy": f"http://{tool.server.peer.address}"}
    r = tool.run("manifest", f"{name}/plain/x:1", retry=0)
    assert f"http://{name}/v2/" in [q.path for q in tool.server.peer.seen]
    assert f"{name} speaks plain http: nothing is encrypted" in r.stderr, r.stderr


UPLOADS_REFUSED = {"up-cut-always": "", "up-no-location": "does not say where the upload goes on",
                   "up-file": "a redirect to file: is refused", "up-refused": "status 400: not so"}


@pytest.fixture(name="file")
def file_fixture(tmp_path):
    (tmp_path / "file").write_bytes(os.urandom(500_000))
    return tmp_path / "file"


@pytest.mark.parametrize("known", [[], ["known"]], ids=["stream", "size"])
@pytest.mark.parametrize("name", sorted(UPLOADS - {"up-peer", "up-peer-401"} - set(UPLOADS_REFUSED)))
def test_upload(tool, file, name, known):
    r = tool.run("upload", tool.server.ref(name), str(file), *known, creds="alice:secret")
    assert r.returncode == 0, r.stderr
    assert tool.server.uploaded[name] == file.read_bytes()
    assert r.stdout.split() == ["sha256:" + hashlib.sha256(file.read_bytes()).hexdigest(), "500000"]
    if name in ("up-cut", "up-401", "up-lies", "up-cut-forgets"):
        patches = [q for q in tool.server.requests("uploads", name) if q.method == "PATCH"]
        assert len(patches) == {"up-cut": 3}.get(name, 2)
    if name == "up-cut" and known:  # nothing is sent twice
        assert patches[-1].headers["content-range"] == "200000-499999"


@pytest.mark.parametrize("name", UPLOADS_REFUSED)
def test_upload_refused(tool, file, name):
    r = tool.run("upload", tool.server.ref(name), str(file))
    refused(r, f"{tool.server.address}/{name}/x: upload of a blob", UPLOADS_REFUSED[name])


def test_uploads_go_on_elsewhere_without_the_login(tool, file):
    r = tool.run("upload", tool.server.ref("up-peer"), str(file), creds="alice:secret")
    assert r.returncode == 0, r.stderr
    assert tool.server.peer.uploaded["up-plain"] == file.read_bytes()
    assert [q for q in tool.server.seen if "authorization" in q.headers]
    assert not [q for q in tool.server.peer.seen if "authorization" in q.headers]


def test_a_challenge_of_elsewhere_gets_no_password(tool, file):
    """Where an upload goes on may be anybody: a 401 from there does not say where the registry's password goes."""
    refused(tool.run("upload", tool.server.ref("up-peer-401"), str(file), creds="alice:secret", retry=1), "upload")
    assert [q for q in tool.server.seen if "authorization" in q.headers]
    assert tool.server.peer.seen and not tool.server.peer.requests("token")
    assert not [q for q in tool.server.peer.seen if "authorization" in q.headers]


@fault
def token_of_another(q):
    """The peer names the token server, service and repository of the server."""
    if q.kind in ("ping", "token"):
        return q.kind == "token" and token(q, f"of-{q.count}")
    if "authorization" in q.headers:
        return answer(q, 404)
    owner = q.server.address if q.server.peer else q.server.other.address
    return challenge(q, f'Bearer realm="http://{owner}/token/token-of-another",service="x"')


@fault
def core_limit(q):
    """Which limit has the process that asks?"""
    if q.kind == "manifests":
        pids = " ".join(p.read_text() for p in pathlib.Path("/proc/self/task").glob("*/children")).split()
        ours = [p for p in (pathlib.Path("/proc") / pid for pid in pids) if (p / "comm").read_text() == "registry-tool\n"]
        q.server.limits = [(p / "limits").read_text() for p in ours]
    return False


def test_no_core_file_holds_a_password(tool):
    before = resource.getrlimit(resource.RLIMIT_CORE)
    if before[1] == 0:
        pytest.skip("no process here may leave one")
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    try:
        tool.ok("manifest", tool.server.ref("core-limit"))
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, before)
    assert len(tool.server.limits) == 1
    assert re.search(r"^Max core file size +0 ", tool.server.limits[0], re.M), tool.server.limits[0]


def mirrors_of(*places):
    return '[[registry]]\nprefix = "reg.example"\nlocation = "{}"\ninsecure = true\n'.format(places[-1]) + "".join(
        f'[[registry.mirror]]\nlocation = "{place}"\ninsecure = true\n' for place in places[:-1])


def test_a_token_is_for_the_registry_that_asked(tool):
    tool.server.peer.other = tool.server
    (tool.home / "registries.conf").write_text(mirrors_of(
        f"{tool.server.address}/token-of-another", f"{tool.server.peer.address}/token-of-another", "127.0.0.1:1"))
    data = tool.server.layer
    refused(tool.run("fetch", "reg.example/x:1", "-", data.digest, str(len(data.data)), tls_verify=-1, retry=0), "x: ")
    assert [q.headers.get("authorization") for q in tool.server.requests("layer")] == [None, "Bearer of-1"]
    assert [q.headers.get("authorization") for q in tool.server.peer.requests("layer")] == [None, "Bearer of-2"]


def test_a_password_that_is_given_is_not_for_mirrors(tool):
    (tool.home / "registries.conf").write_text(mirrors_of(
        f"{tool.server.peer.address}/wants-login", f"{tool.server.address}/wants-login"))
    data = tool.server.layer
    out = tool.ok("fetch", "reg.example/x:1", "-", data.digest, str(len(data.data)), tls_verify=-1, retry=0,
                  creds="alice:secret")
    assert out.split() == [str(len(data.data)), data.digest]
    assert basic("alice", "secret") in [q.headers.get("authorization") for q in tool.server.requests("layer")]
    assert tool.server.peer.seen and not [q for q in tool.server.peer.seen if "authorization" in q.headers]
