"""registries.conf, short names and certs.d: where a name leads, with registries that tell what they were asked."""
import contextlib
import http.server
import json
import shutil
import threading

import pytest

from lab import PASSWORD, USER, free_port

rows = pytest.mark.rows


@pytest.fixture
def conf(rl):
    """conf(text) is the user's registries.conf; conf.home has the rest."""
    top = rl.user.home / f"home-{rl.store.root.name}"
    rl.shell(f"umask 077; mkdir -p {top}/.config/containers/registries.conf.d")
    rl.env = {"HOME": top, "XDG_CONFIG_HOME": None, "XDG_CACHE_HOME": None, "XDG_RUNTIME_DIR": top,
              "REGISTRY_AUTH_FILE": None, "CONTAINERS_REGISTRIES_CONF": None}

    def put(text, name="registries.conf"):
        rl.shell(f"cat > {top}/.config/containers/{name}", input=text)
    put.home = top
    yield put
    shutil.rmtree(top, ignore_errors=True)


def test_blocked(rl, registry, images, conf):
    name = registry.push(images.path("busybox"), "conf/blocked:1")
    registry.push(images.path("busybox"), "conf/free:1")
    conf(f"[[registry]]\nlocation = '{registry.address}/conf/blocked'\nblocked = true\n"
         f"[[registry]]\nlocation = '{registry.address}'\ninsecure = true\n")
    with registry.watch() as seen:
        done = rl.fails("pull", name, env=rl.env)
    assert (f"registry {registry.address}/conf/blocked is blocked by {conf.home}/.config/containers/registries.conf"
            in done.err)
    assert not seen
    rl.ok("pull", "-q", registry.name("conf/free:1"), env=rl.env)  # without --tls-verify=false


@rows("A25")
def test_mirrors_location_and_name(rl, lab, images, conf):
    """The first mirror is not there, the second lacks the image, the third has it; the image keeps its name."""
    empty, mirror, origin = lab.registry(), lab.registry("ca", "htpasswd"), lab.registry("ca")
    mirror.push(images.path("busybox"), "cache/team/app:1")
    conf(f"""
[[registry]]
prefix = "example.test/team"
location = "{origin.address}/moved"
[[registry.mirror]]
location = "localhost:{free_port()}"
[[registry.mirror]]
location = "{empty.address}"
insecure = true
[[registry.mirror]]
location = "{mirror.address}/cache/team"
""")
    rl.shell(f"mkdir -p {conf.home}/.config/containers/certs.d/{mirror.address} && "
             f"cp {lab.certs('ca.crt')} {conf.home}/.config/containers/certs.d/{mirror.address}/")
    # Its credentials are by the mirror's name.
    rl.ok("login", "-u", USER, "--password-stdin", mirror.address, input=PASSWORD, env=rl.env)
    rl.ok("pull", "-q", "--retry", "0", "example.test/team/app:1", env=rl.env)
    assert rl.ok("images", "--format", "{{.Repository}}:{{.Tag}}").text == "example.test/team/app:1"
    # When nothing has it, all places and what each said.
    done = rl.fails("pull", "-q", "--retry", "0", "example.test/team/other:1", env=rl.env)
    for place in (empty.address, mirror.address, origin.address):
        assert place in done.err, done


def test_a_mirror_for_digests_only(rl, lab, images, conf):
    mirror, origin = lab.registry(fresh=True), lab.registry()
    for r in (mirror, origin):
        r.push(images.path("busybox"), "conf/digests:1")
    conf(f"[[registry]]\nlocation = '{origin.address}'\ninsecure = true\n[[registry.mirror]]\n"
         f"location = '{mirror.address}'\ninsecure = true\npull-from-mirror = 'digest-only'\n")
    with mirror.watch() as seen:
        rl.ok("pull", "-q", origin.name("conf/digests:1"), env=rl.env)
    assert not seen
    digest = rl.ok("image", "inspect", "-f", "{{.Digest}}", origin.name("conf/digests:1"), env=rl.env).text
    rl.ok("rmi", "-a", "-f", env=rl.env)
    with mirror.watch() as seen, origin.watch() as other:
        rl.ok("pull", "-q", f"{origin.name('conf/digests')}@{digest}", env=rl.env)
    assert seen and not other


@rows("A25")
def test_short_names(rl, lab, images, conf):
    one, two = lab.registry(), lab.registry(fresh=True)
    for r in (one, two):
        r.push(images.path("busybox"), "shortname:1")
    insecure = "".join(f"[[registry]]\nlocation = '{r.address}'\ninsecure = true\n" for r in (one, two))
    conf(f"unqualified-search-registries = ['{one.address}', '{two.address}']\n{insecure}")
    with one.watch() as seen:
        done = rl.fails("pull", "shortname:1", env=rl.env)
    both = f"{one.name('shortname:1')}, {two.name('shortname:1')}"
    assert f"shortname:1 is a short name, and could be any of {both}" in done.err
    assert "hint: write the one that is meant in full" in done.err and not seen
    # At a terminal it is asked.
    t = rl.pty("pull", "-q", "shortname:1", env=rl.env)
    t.expect("Which image is meant")
    t.expect("Number: ")
    t.send("2\n")
    assert t.wait() == 0, t.output
    assert rl.ok("images", "--format", "{{.Repository}}").text == two.name("shortname")
    # An alias has one meaning; one in a later file takes the place.
    conf(f"[aliases]\n'shortname' = '{two.name('nothing')}'\n", "registries.conf.d/1.conf")
    conf(f"[aliases]\n'shortname' = '{one.name('shortname')}'\n", "registries.conf.d/2.conf")
    rl.ok("rmi", "-a", "-f", env=rl.env)
    rl.ok("pull", "-q", "shortname:1", env=rl.env)
    assert rl.ok("images", "--format", "{{.Repository}}").text == one.name("shortname")
    # What is here under the name wins over any registry: no question, no network.
    with one.watch() as seen:
        rl.ok("pull", "-q", "--policy", "missing", one.name("shortname:1"), env=rl.env)
    assert not seen
    conf("unqualified-search-registries = []\n")
    rl.shell(f"rm {conf.home}/.config/containers/registries.conf.d/*")
    rl.fails("pull", "shortname:1", match="a short name, but .*registries.conf allows no registry", env=rl.env)


def test_errors_name_the_line(rl, conf):
    for text, want in (("a = 1\n\n[[registry]\n", r'registries.conf:3: want "\]\]" behind the name'),
                       ("[[registry]]\nlocation = 'https://x.example'\n", "registry.location: want a host and a path"),
                       ("[registries.search]\nregistries = ['a']\n", "is in the format of version 1"),
                       ("[[registry]]\nlocation = 5\n", "registry.location: want a text in quotes")):
        conf(text)
        rl.fails("pull", "localhost:1/x", match=want, env=rl.env)
    rl.fails("pull", "localhost:1/x", match="/nonexistent: No such file",
             env={**rl.env, "CONTAINERS_REGISTRIES_CONF": "/nonexistent"})


def test_certs_d(rl, lab, images, conf):
    r = lab.registry("client")
    name = r.push(images.path("busybox"), "conf/client:1")
    rl.fails("pull", "-q", "--retry", "0", name, match="certificate", env=rl.env)
    certs = conf.home / f".config/containers/certs.d/{r.address}"
    rl.shell(f"mkdir -p {certs} && cp {lab.cert_dir('client')}/* {certs}", env=rl.env)
    rl.ok("pull", "-q", name, env=rl.env)
    rl.shell(f"rm {certs}/*.key", env=rl.env)
    rl.fails("pull", "-q", name, match="client.cert has no key: .*client.key is missing", env=rl.env)


@rows("A25")
def test_search(rl, lab, images, conf):
    r = lab.registry(fresh=True)
    for name in ("team/web:1", "team/web:2", "team/web-more:1", "other:1"):
        r.push(images.path("busybox"), name)
    conf(f"unqualified-search-registries = ['{r.address}']\n[[registry]]\nlocation = '{r.address}'\ninsecure = true\n")

    def names(*args):
        return rl.ok("search", "--format", "{{.Name}}", *args, env=rl.env).out.split()
    assert names("web") == [r.name("team/web"), r.name("team/web-more")]
    assert names(f"{r.address}/web") == names("web") == names("--limit", "5", "web")
    assert len(names("--limit", "1", "web")) == 1
    assert names("nothing-like-it") == []
    title = rl.ok("search", "web", env=rl.env).out.splitlines()[0]
    assert title.split() == ["NAME", "DESCRIPTION", "STARS", "OFFICIAL"]
    assert names("--filter", "stars=1", "web") == names("--filter", "is-official", "web") == []
    found = json.loads(rl.ok("image", "search", "--format", "json", "other", env=rl.env).out)
    assert found == [{"Index": r.address, "Name": r.name("other"), "Description": "", "Stars": 0, "Official": "",
                      "Automated": ""}]
    tags = rl.ok("search", "--list-tags", "--format", "{{.Tag}}", "team/web", env=rl.env).out.split()
    assert sorted(tags) == ["1", "2"]
    assert len(rl.ok("search", "--list-tags", "--limit", "1", r.name("team/web"), env=rl.env).out.splitlines()) == 2
    rl.fails("search", "--filter", "size=1", "x", match="--filter size=1: unknown", env=rl.env)
    rl.fails("search", "--limit", "0", "x", match="want 1 to 1000", env=rl.env)
    rl.fails("search", "--list-tags", "team/web:1", match="without a tag", env=rl.env)
    rl.fails("search", "--list-tags", "team/none", match="team/none", env=rl.env)


@contextlib.contextmanager
def index_of(results):
    """A server with docker's search API and nothing else."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):  # pylint: disable=invalid-name
            asked.append(self.path)
            found = self.path.startswith("/v1/search")
            body = json.dumps({"num_results": len(results), "results": results}).encode() if found else b"{}"
            self.send_response(200 if found or self.path == "/v2/" else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format, *args):  # pylint: disable=redefined-builtin
            pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"localhost:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_search_in_an_index(rl, conf):
    results = [{"name": "library/web", "description": "Official web\n\x1b[31m server " + "x" * 80, "star_count": 9,
                "is_official": True, "is_automated": False},
               {"name": "me/web", "description": "", "star_count": 2, "is_official": False, "is_automated": True}]
    with index_of(results) as (address, asked):
        conf(f"unqualified-search-registries = ['{address}']\n[[registry]]\nlocation = '{address}'\ninsecure = true\n")
        table = rl.ok("search", "we b", env=rl.env).out
        assert any(a.startswith("/v1/search?q=we%20b") for a in asked), asked
        assert "\x1b" not in table and "x..." in table and "[OK]" in table and len(table.splitlines()) == 3
        assert "x" * 80 in rl.ok("search", "--no-trunc", "web", env=rl.env).out

        def names(*args):
            lines = rl.ok("search", "--format", "{{.Name}}", *args, "web", env=rl.env).out.split()
            return [n.split("/", 1)[1] for n in lines]
        assert names() == ["library/web", "me/web"]
        assert names("--filter", "is-official=true") == names("--filter", "stars=3") == ["library/web"]
        assert names("--filter", "is-official=false") == names("--filter", "is-automated") == ["me/web"]
