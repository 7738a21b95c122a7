"""--creds stands on the command line of who typed it, and of no process that rootlet starts (A28, B55)."""
import contextlib
import os
import pathlib
import shutil
import signal

import pytest

from lab import PASSWORD, USER

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


def places_with(rl, word, *more):
    """Files of the store, of the run directory and of the user's home (and more) that have it."""
    tops = [rl.store.root, rl.store.runroot, rl.user.home, *more]
    return sorted({str(p) for top in tops for p in pathlib.Path(top).rglob("*")
                   if p.is_file() and not p.is_symlink() and os.access(p, os.R_OK) and word in p.read_bytes()})


def test_nothing_keeps_it(rl, htpasswd_registry):
    """Neither records nor journals nor what debug says: the command line of a container has xxxxx in its place."""
    trust, name = rl.trust(htpasswd_registry), htpasswd_registry.name("kept/it:1")
    secret, both = PASSWORD, f"{USER}:{PASSWORD}"
    debug = ("--log-level", "debug")
    rl.image()
    said = [rl.ok(*debug, "push", *trust, "localhost/busybox", name)]
    said += [rl.ok(*debug, "pull", *trust, name)]
    context = pathlib.Path(rl.user.home, "kept")
    context.mkdir(exist_ok=True)
    (context / "Containerfile").write_text(f"FROM {name}\nRUN echo 1 >/1\n", encoding="ascii")
    said += [rl.ok(*debug, "build", "--pull", *trust, "-t", "made", context)]
    shutil.rmtree(context)
    said += [rl.ok(*debug, "create", *trust, "--pull=always", "--name", "a", name, "tool", "--creds", "its:own")]
    split = [f"--creds={both}" if word == both else word for word in trust if word != "--creds"]
    said += [rl.ok(*debug, "run", "-d", *split, "--pull=always", "--name", "b", "-e", "--creds", name, "sleep", "100")]
    said += [rl.ok(*debug, "run", *trust, "--pull=always", "--creds", both, "--name", "c", name, "true")]
    authfile = pathlib.Path(rl.user.home, "auth.json")
    certs = rl.trust(htpasswd_registry, creds=False)
    said += [rl.ok(*debug, "login", *certs, "--authfile", authfile, "-u", USER, "-p", secret, htpasswd_registry.address)]
    authfile.unlink()
    said += [rl.fails(*debug, "pull", *certs, "--creds", f"{USER}:{secret}wrong", name, match="password")]
    said += [rl.ok("inspect", "a", "b", "c"), rl.ok("events", "--stream=false", "--format", "json"), rl.ok("generate", "systemd", "--new", "b")]
    assert not [r for r in said if secret in r.out or secret in r.err]
    assert not places_with(rl, secret.encode())

    def line(ctr):
        return rl.ok("inspect", ctr).json()[0]["Config"]["CreateCommand"]
    assert line("a")[line("a").index("--creds") + 1] == f"{USER}:xxxxx"
    assert line("a")[-3:] == ["tool", "--creds", "its:own"], "what is the container's is not ours to change"
    assert f"--creds={USER}:xxxxx" in line("b")
    assert line("c").count(f"{USER}:xxxxx") == 2
    assert "xxxxx" not in said[-1].out, "a unit that asks with such a password would be refused"
    assert places_with(rl, b"its:own"), "the search finds what is there"
    rl.ok("rm", "-f", "a", "b", "c")
