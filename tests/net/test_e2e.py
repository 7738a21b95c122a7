"""tests/e2e.sh: a web server from its image to its removal, by an ordinary user and by root."""
import os
import shutil
import subprocess

import pytest

from lib import host, rows

SCRIPT = host.SRCDIR / "tests" / "e2e.sh"


def options():
    """The default network, and those that this machine has."""
    if (host.BUILDDIR / "rootlet-slirp").exists():
        yield []
    if shutil.which("pasta"):
        yield ["--network", "pasta"]


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
@rows("A65", "A8", "A52", "A62")
@pytest.mark.parametrize("given", options(), ids=lambda o: o[-1] if o else "default")
def test_as_an_ordinary_user(rootlet, user, given):
    script = user.base / "e2e.sh"
    if not script.exists():
        script.write_text(SCRIPT.read_text(encoding="utf-8"), encoding="utf-8")
        script.chmod(0o755)
    r = rootlet.ok(str(user.base / "bin"), *given, program=str(script), cgroups=None,
                   env={"ROOTLET_ROOT": None, "ROOTLET_RUNROOT": None, "ROOTLET_NETWORK": None})
    assert r.out.rstrip().endswith("-- all as it should be")


@pytest.mark.root
@rows("A65")
def test_as_root(rootlet_base, leak_audit):
    if not (host.BUILDDIR / "rootlet-slirp").exists():
        pytest.skip("built without libslirp")
    r = subprocess.run([str(SCRIPT), str(rootlet_base / "bin")], capture_output=True, text=True, check=False,
                       timeout=120, env={k: v for k, v in os.environ.items() if not k.startswith("ROOTLET_")})
    assert r.returncode == 0, r.stdout + r.stderr
