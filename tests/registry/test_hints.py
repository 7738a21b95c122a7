"""What somebody reads who comes from podman or docker and has something wrong: the object once, the reason, and a hint
that works as it is typed."""
import shutil

import pytest

from lab import PASSWORD, USER
rows = pytest.mark.rows


@pytest.fixture
def home(rl):
    """A home directory of the test's own: rl.env has it."""
    top = rl.user.home / f"home-{rl.store.root.name}"
    rl.shell(f"umask 077; mkdir -p {top}/run")
    rl.env = {"HOME": top, "XDG_RUNTIME_DIR": top / "run", "XDG_CONFIG_HOME": None, "XDG_CACHE_HOME": None,
              "REGISTRY_AUTH_FILE": None, "DOCKER_CONFIG": None}
    yield top
    shutil.rmtree(top, ignore_errors=True)


@rows("A25")
@pytest.mark.usefixtures("home")
def test_authority_of_the_hint_signs_for_the_token_server_too(rl, lab, images):
    r = lab.registry("ca", "token")
    r.push(images.path("busybox"), "hints/app:1")
    said = rl.fails("pull", "--creds", r.credentials(), r.name("hints/app:1"), match="issuer", env=rl.env).err
    place = f"~/.config/containers/certs.d/{r.address}/ca.crt"
    assert place in said and "--cert-dir" in said, said
    ca = lab.certs("ca.crt").read_text()
    rl.shell(f"mkdir -p $(dirname {place}); cat >{place}", env=rl.env, input=ca)
    rl.ok("pull", "--creds", r.credentials(), r.name("hints/app:1"), env=rl.env)


@rows("A25")
@pytest.mark.parametrize("tls", ["expired", "wrong-name"])
def test_certificate_that_no_authority_mends(rl, lab, tls):
    r = lab.registry(tls)
    ca = ("--cert-dir", lab.cert_dir())
    said = rl.fails("pull", *ca, r.name("hints/app:1"), match="certificate").err
    assert "has to be mended at " + r.address in said and "ca.crt" not in said, said


@rows("A25")
def test_plain_http_and_object_once(rl, registry, images):
    registry.push(images.path("busybox"), "hints/app:1")
    name = registry.name("hints/app:1")
    said = rl.fails("pull", name, match="does not speak TLS").err
    assert "routines" not in said and "--tls-verify=false" in said
    gone = rl.fails("pull", *rl.trust(registry), registry.name("hints/app:2"), match="does not have it").err
    line = next(line for line in gone.splitlines() if line.startswith("Error: "))
    assert line.count("hints/app:2") == 1, gone
    command = gone.partition("? rootlet ")[2].split()
    listed = rl.ok(*command, *rl.trust(registry)).out.split()
    assert listed[-2:] == [registry.name("hints/app"), "1"]


@rows("A25")
def test_wrong_password_is_called_so(rl, lab, images):
    r = lab.registry("ca", "htpasswd")
    r.push(images.path("busybox"), "hints/app:1")
    trust = rl.trust(r, creds=False)
    rl.fails("pull", *trust, "--creds", f"{USER}:no", r.name("hints/app:1"), match="user name or password is refused")
    rl.fails("pull", *trust, r.name("hints/app:1"), match="authentication is required\nhint: rootlet login ")
    rl.ok("pull", *trust, "--creds", f"{USER}:{PASSWORD}", r.name("hints/app:1"))
