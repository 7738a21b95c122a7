"""login and logout against real registries, and that podman, skopeo and rootlet read each other's files."""
import base64
import json
import shutil
import stat

import pytest

from lab import PASSWORD, USER
rows = pytest.mark.rows


@pytest.fixture
def home(rl):
    """A home directory and a runtime directory of the test's own: rl runs with them."""
    top = rl.user.home / f"home-{rl.store.root.name}"
    rl.shell(f"umask 077; mkdir -p {top}/run")
    rl.env = {"HOME": top, "XDG_RUNTIME_DIR": top / "run", "XDG_CONFIG_HOME": None, "XDG_CACHE_HOME": None,
              "REGISTRY_AUTH_FILE": None, "DOCKER_CONFIG": None}
    yield top
    shutil.rmtree(top, ignore_errors=True)


@pytest.fixture
def auth(home):
    return home / "run/containers/auth.json"


def login(rl, registry, *options, password=PASSWORD, **kw):
    kw.setdefault("rc", 0)
    return rl("login", *rl.trust(registry, creds=False), "-u", USER, "--password-stdin", *options, registry.address,
              input=password + "\n", env=rl.env, **kw)


def tags(rl, registry, name, **kw):
    return rl("search", "--list-tags", *rl.trust(registry, creds=False), registry.name(name), env=rl.env, **kw)


@pytest.fixture(scope="module")
def pushed(lab, images):
    """Registries of each kind, with an image."""
    def get(auth):
        r = lab.registry("ca", auth)
        if not hasattr(r, "pushed"):
            r.push(images.path("busybox"), "login/app:1")
            r.pushed = True
        return r
    return get


@rows("A25")
@pytest.mark.parametrize("kind", ["htpasswd", "token"])
def test_login_logout(rl, auth, pushed, kind):
    r = pushed(kind)
    assert tags(rl, r, "login/app", rc=125).err.startswith("Error: search")
    done = login(rl, r, "-v")
    assert done.out == f"Used: {auth}\nLogin Succeeded!\n"
    assert stat.S_IMODE(auth.stat().st_mode) == 0o600
    word = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    assert json.loads(auth.read_text()) == {"auths": {r.address: {"auth": word}}}
    assert tags(rl, r, "login/app", rc=0).out.split() == ["NAME", "TAG", f"{r.address}/login/app", "1"]
    assert rl.ok("login", "--get-login", r.address, env=rl.env).out == USER + "\n"
    again = rl.ok("login", *rl.trust(r, creds=False), r.address, env=rl.env)
    assert "Existing credentials are valid. Already logged in" in again.out
    assert rl.ok("logout", r.address, env=rl.env).out == f"Removed login credentials for {r.address}\n"
    assert json.loads(auth.read_text()) == {"auths": {}}
    tags(rl, r, "login/app", rc=125)
    rl.fails("logout", r.address, match="not logged into", env=rl.env)
    rl.fails("login", "--get-login", r.address, match="not logged into", env=rl.env)


@pytest.mark.parametrize("kind", ["htpasswd", "token"])
def test_wrong_password_is_not_kept(rl, auth, pushed, kind):
    r = pushed(kind)
    done = login(rl, r, password="other", rc=125)
    assert "Error: login" in done.err and "invalid username/password" in done.err, done
    assert not auth.exists()
    login(rl, r)
    before = auth.read_bytes()
    login(rl, r, password="other", rc=125)
    assert auth.read_bytes() == before


def test_refusals(rl, home, pushed, registry):
    r = pushed("htpasswd")
    trust = rl.trust(r, creds=False)
    rl.fails("login", "--password-stdin", r.address, match="needs --username", env=rl.env)
    rl.fails("login", "-u", "x", "-p", "y", "--password-stdin", r.address, match="cannot go together", env=rl.env)
    rl.fails("login", *trust, r.address, match="there is no terminal to ask at", env=rl.env)
    rl.fails("login", *trust, "-u", "a:b", "-p", "x", r.address, match="holds no colon", env=rl.env)
    rl.fails("login", *trust, "-u", "a", "-p", "", r.address, match="the password is empty", env=rl.env)
    rl.fails("login", "-u", "a", "-p", "b", "not a host", match="is not the name of a registry", env=rl.env)
    # Its certificate is not trusted: nothing of the password may leave.
    with r.watch() as seen:
        rl.fails("login", "-u", USER, "-p", PASSWORD, r.address, match="certificate", env=rl.env)
    assert not seen
    # One that asks for nothing takes anything, as it does with podman.
    assert login(rl, registry).out == "Login Succeeded!\n"
    rl.ok("logout", "--all", env=rl.env)
    assert not [p for p in home.rglob("*.json") if r.address in p.read_text()]


def test_unknown_members_and_keys_below_a_host(rl, auth, pushed):
    r = pushed("htpasswd")
    rl.shell(f"mkdir -p {auth.parent} && cat > {auth}", env=rl.env, input=json.dumps(
        {"auths": {"other.example": {"auth": "YTpi", "email": "x"}}, "HttpHeaders": {"User-Agent": "x"}}))
    rl.ok("login", *rl.trust(r, creds=False), "-u", USER, "-p", PASSWORD, f"{r.address}/login", env=rl.env)
    kept = json.loads(auth.read_text())
    assert kept["HttpHeaders"] == {"User-Agent": "x"}
    assert kept["auths"]["other.example"] == {"auth": "YTpi", "email": "x"}
    assert set(kept["auths"]) == {"other.example", f"{r.address}/login"}
    tags(rl, r, "login/app", rc=0)
    tags(rl, r, "other/app", rc=125)
    assert rl.ok("logout", "--all", env=rl.env).out == "Removed login credentials for all registries\n"
    assert json.loads(auth.read_text()) == {"auths": {}, "HttpHeaders": {"User-Agent": "x"}}


@rows("A25")
def test_terminal(rl, auth, pushed):
    r = pushed("htpasswd")
    t = rl.pty("login", *rl.trust(r, creds=False), r.address, env=rl.env)
    t.expect("Username: ")
    t.send(USER + "\n")
    t.expect("Password: ")
    t.send("wrong\x15" + PASSWORD + "x\x7f\r")
    t.expect("Login Succeeded!")
    assert t.wait() == 0
    assert PASSWORD not in t.output and "wrong" not in t.output
    auth.write_text(json.dumps({"auths": {r.address: {"auth": "YTpi"}}}))
    t = rl.pty("login", *rl.trust(r, creds=False), r.address, env=rl.env)
    t.expect("Existing credentials are invalid")
    t.expect(r"Username \(a\): ")
    t.send(USER + "\n")
    t.expect("Password: ")
    t.send("\x03")
    assert t.wait() == 130
    assert json.loads(auth.read_text())["auths"][r.address] == {"auth": "YTpi"}


def peer(rl, home, *argv, **kw):
    """podman or skopeo as the test user. podman would leave a process behind that keeps its user namespace: it is
    root of one here already."""
    prefix, places = [], []
    if argv[0] == "podman":
        prefix = ["unshare", "--map-root-user", "--mount", "sh", "-c", 'mount -t tmpfs none /dev/shm && exec "$0" "$@"']
        places = ["--root", home / "p", "--runroot", home / "pr", "--tmpdir", home / "pt", "--storage-driver", "vfs"]
    return rl(*places, *argv[1:], program=shutil.which(argv[0]), prefix=prefix, env={**rl.env, "TMPDIR": home}, cwd=home, **kw)


@rows("A25")
@pytest.mark.parametrize("tool", ["skopeo", "podman"])
def test_peers_read_what_rootlet_writes_and_the_other_way_round(rl, home, auth, pushed, tool):
    if not shutil.which(tool):
        pytest.skip(f"needs {tool}")
    r = pushed("htpasswd")
    certs = ["--cert-dir", r.lab.cert_dir()]
    login(rl, r)
    assert peer(rl, home, tool, "login", "--get-login", r.address, rc=0).out == USER + "\n"
    listed = peer(rl, home, "skopeo", "list-tags", *certs, f"docker://{r.name('login/app')}", rc=0)
    assert json.loads(listed.out)["Tags"] == ["1"]
    peer(rl, home, tool, "logout", r.address, rc=0)
    tags(rl, r, "login/app", rc=125)
    peer(rl, home, tool, "login", *certs, "-u", USER, "--password-stdin", r.address, input=PASSWORD, rc=0)
    assert auth.exists()
    assert rl.ok("login", "--get-login", r.address, env=rl.env).out == USER + "\n"
    tags(rl, r, "login/app", rc=0)
    rl.ok("logout", r.address, env=rl.env)
    assert peer(rl, home, tool, "login", "--get-login", r.address).rc != 0


def test_dockers_file(rl, home, pushed):
    """docker's own place is read, left alone by logout, and written when it is named."""
    r = pushed("htpasswd")
    docker = home / ".docker/config.json"
    word = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    text = json.dumps({"auths": {f"https://{r.address}/v2/": {"auth": word}}, "detachKeys": "ctrl-q"})
    rl.shell(f"mkdir -p {docker.parent} && cat > {docker}", env=rl.env, input=text)
    tags(rl, r, "login/app", rc=0)
    done = rl.fails("logout", r.address, match="not logged into", env=rl.env)
    assert "hint: other credentials serve for it" in done.err
    assert docker.read_text() == text
    rl.ok("logout", "--authfile", docker, r.address, env=rl.env)
    login(rl, r, "--authfile", docker)
    assert json.loads(docker.read_text()) == {"auths": {r.address: {"auth": word}}, "detachKeys": "ctrl-q"}


def test_docker_reads_what_rootlet_writes(rl, lab, home, images):
    """docker asks a registry by itself for a manifest only; nothing here needs its daemon."""
    docker = shutil.which("docker")
    if not docker or "podman" in rl.shell("docker --version 2>&1; true").out:
        pytest.skip("needs docker")
    r = lab.registry(None, "htpasswd")
    name, config = r.push(images.path("busybox"), "login/docker:1"), home / ".docker/config.json"

    def inspect(rc):
        return rl("manifest", "inspect", "--insecure", name, program=docker, env=rl.env, rc=rc)
    inspect(1)
    login(rl, r, "--authfile", config)
    assert "layers" in inspect(0).out
    rl.ok("logout", "--authfile", config, r.address, env=rl.env)
    inspect(1)


def test_no_runtime_directory_of_ones_own(rl, home, auth, pushed):
    """After su the variable names another user's: nothing is read or written there."""
    r = pushed("htpasswd")
    for other in ("/root", "/nonexistent", None):
        rl.env["XDG_RUNTIME_DIR"] = other
        login(rl, r)
        tags(rl, r, "login/app", rc=0)
        rl.ok("logout", r.address, env=rl.env)
    assert not auth.exists()


HELPER = """#!/bin/sh
f={kept}
case $1 in
get) read -r url; [ -e $f ] || {{ echo credentials not found in native keychain; exit 1; }}; cat $f ;;
store) cat > $f ;;
erase) rm -f $f ;;
esac
"""


def test_credential_helper(rl, home, auth, pushed):
    r = pushed("htpasswd")
    helper, kept = home / "bin/docker-credential-kept", home / "kept"
    rl.shell(f"mkdir -p {helper.parent} {auth.parent} && cat > {helper} && chmod 755 {helper}", env=rl.env,
             input=HELPER.format(kept=kept))
    rl.shell(f"cat > {auth}", env=rl.env, input=json.dumps({"credHelpers": {r.address: "kept"}}))
    rl.env["PATH"] = f"{helper.parent}:{rl.environment()['PATH']}"
    tags(rl, r, "login/app", rc=125)
    login(rl, r)
    assert json.loads(kept.read_text()) == {"ServerURL": r.address, "Username": USER, "Secret": PASSWORD}
    assert json.loads(auth.read_text()) == {"credHelpers": {r.address: "kept"}}
    tags(rl, r, "login/app", rc=0)
    rl.ok("logout", r.address, env=rl.env)
    assert not kept.exists()
    helper.write_text("#!/bin/sh\necho the keychain is locked\nexit 1\n")
    done = tags(rl, r, "login/app", rc=125)
    assert "docker-credential-kept get: the keychain is locked" in done.err


def test_named_file(rl, home, auth, pushed, tmp_path):
    r = pushed("htpasswd")
    named = home / "deep/er/my.json"
    login(rl, r, "--authfile", named)
    assert not auth.exists() and r.address in named.read_text()
    tags(rl, r, "login/app", rc=125)
    rl.ok("search", "--list-tags", "--authfile", named, *rl.trust(r, creds=False), r.name("login/app"), env=rl.env)
    rl.env["REGISTRY_AUTH_FILE"] = named
    tags(rl, r, "login/app", rc=0)
    rl.fails("search", "--list-tags", "--authfile", home / "none.json", *rl.trust(r, creds=False), r.name("x"),
             match="No such file", env=rl.env)
