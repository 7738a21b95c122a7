"""--creds stands on the command line of who typed it, and of no process that rootlet starts (A28, B55)."""
import contextlib
import os
import pathlib
import shutil
import signal

import pytest

pytestmark = pytest.mark.rows("A28", "B55")


def below(pid):
    """What a process has started, and what these have: their command lines and environments, as root sees them."""
    found = {}
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in pathlib.Path(f"/proc/{pid}/task/{task}/children").read_text(encoding="ascii").split():
                proc = pathlib.Path("/proc", child)
                found[child] = ((proc / "cmdline").read_bytes(), (proc / "environ").read_bytes())
                found.update(below(child))
    return found


@pytest.fixture
def held(rl, htpasswd_registry):
    """Runs a command that needs the credentials while the registry keeps silent, looks at what it started, and lets
    the registry answer."""
    def run(*args):
        password = htpasswd_registry.credentials().split(":", 1)[1].encode()
        os.kill(htpasswd_registry.process.pid, signal.SIGSTOP)
        try:
            p = rl.spawn(*args)
            typed = b"\0".join(str(a).encode() for a in args) + b"\0"  # that of a fork of the command itself, too

            def waiting():
                seen = below(p.pid)
                fetching = [s for s in seen.values() if b"rootlet-registry" in s[0] or b"\0pull\0" in s[0]]
                assert p.poll() is None, p.communicate()
                return fetching and not any(password in env for _, env in fetching) and seen
            seen = rl.wait_for(waiting, what="a child that has taken the password")
            assert not [line for line, _ in seen.values() if password in line and not line.endswith(b"\0" + typed)]
        finally:
            os.kill(htpasswd_registry.process.pid, signal.SIGCONT)
        out, err = p.communicate(timeout=60)
        assert p.returncode == 0, (out, err)
    return run


def test_children_do_not_show_it(rl, htpasswd_registry, held):
    """run, build and check --repair."""
    trust, name = rl.trust(htpasswd_registry), htpasswd_registry.name("shown/it:1")
    rl.image()
    rl.ok("push", "-q", *trust, "localhost/busybox", name)
    rl.ok("rmi", "-f", "-a")
    rl.store.loaded.clear()
    held("run", "--rm", *trust, name, "true")
    layer = rl.ok("image", "inspect", name).json()[0]["RootFS"]["Layers"][0].split(":")[1]
    os.unlink(os.path.join(str(rl.store.root), "layers", layer, "diff", "bin", "busybox"))
    held("image", "check", "--repair", *trust)
    rl.ok("rmi", "-f", "-a")
    context = pathlib.Path(rl.user.home, "context")
    context.mkdir(exist_ok=True)
    (context / "Containerfile").write_text(f"FROM {name}\nLABEL a=b\n", encoding="ascii")
    held("build", "-q", *trust, context)
    shutil.rmtree(context)
