"""Test R15 of the crash rules: a pipe, device, socket, huge or endless file, directory or link in place of
every file in a container's root that the host side looks at. Refused or ignored, at once, and what a link
leads to on the host is neither read nor written."""
import os
import socket
import stat
import subprocess

import pytest

from lib import rows

pytestmark = [pytest.mark.root]

# Read (users), mounted over (hosts and the like), made, or looked at by peers.
PATHS = ["etc/passwd", "etc/group", "etc/shadow", "etc/subuid", "etc/subgid", "etc/resolv.conf", "etc/hosts",
         "etc/hostname", "etc/nsswitch.conf", "etc/mtab", "etc/os-release", "etc/localtime", "etc/timezone",
         "etc/ld.so.cache", "etc/ld.so.preload", ".dockerenv", "run/.containerenv", "usr/lib/os-release",
         "usr/share/zoneinfo/Europe/Berlin", "proc", "sys", "dev", "dev/null", "run/secrets", "etc"]
USERS = PATHS[:2]
# Without them nothing starts: these are tried one by one.
TREES = ["proc", "sys", "dev", "etc"]
SECONDS = 8  # a hang is for ever


def link_to(target):
    return lambda path: os.symlink(target, path)


def make_socket(path):
    s = socket.socket(socket.AF_UNIX)
    here = os.getcwd()
    os.chdir(os.path.dirname(path)) # the path may be too long for one
    try:
        s.bind(os.path.basename(path))
    finally:
        os.chdir(here)
        s.close()


def huge(path):
    with open(path, "wb") as f:
        f.truncate(1 << 40)


KINDS = {
    "fifo": lambda path: os.mkfifo(path, 0o666),
    "socket": make_socket,
    "directory": os.mkdir,
    "device": lambda path: os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5)),
    "huge": huge,
    "link to itself": lambda path: os.symlink(os.path.basename(path), path),
    "link to zero": link_to("/dev/zero"),
    "link to a descriptor": link_to("/proc/self/fd/0"),
    "link out": None, # to the canary
}


class Trap:
    """A container with such a thing at some paths of its root."""

    def __init__(self, rootlet, name, canary):
        self.r, self.name, self.canary = rootlet, name, canary
        ident = rootlet.inspect(name)["Id"]
        self.upper = rootlet.store.root / "containers" / ident / "upper"
        assert self.upper.is_dir()
        self.uid = self.upper.stat().st_uid

    def lay(self, kind, path):
        at = self.upper / path
        at.parent.mkdir(parents=True, exist_ok=True)
        (KINDS[kind] or link_to(f"{'../' * 20}{self.canary}"))(str(at))
        for p in [at, *at.parents]:
            if p == self.upper:
                break
            os.lchown(p, self.uid, self.uid)


def ends(r, *args, allowed=(0, 1, 125, 126, 127), **kw):
    """A command that may refuse, by one message, but not hang; endless output is cut by the clock."""
    result = r(*args, timeout=SECONDS, **kw)
    assert result.rc in allowed, result
    if result.rc >= 125:
        assert len([x for x in result.err.splitlines() if x.startswith("Error")]) == 1, result
    assert len(result.out) < 4 << 20, (args, len(result.out))
    return result


def use(r, name, kind, paths):
    """Everything by which the host side may meet a file in the root."""
    started = ends(r, "start", name).rc == 0
    if started:
        ends(r, "exec", name, "/bin/true")
        ends(r, "exec", "-u", "app:staff", name, "/bin/true")
        ends(r, "exec", "-u", "1000", name, "/bin/true")
        ends(r, "exec", "-w", "/etc", name, "/bin/true")
        for command in (("top", name), ("logs", name), ("port", name)):
            ends(r, *command, allowed=(0, 1, 2, 125))
    ends(r, "inspect", name)
    ends(r, "ps", "-a", "--size", allowed=(0, 2, 125))
    for path in paths:
        # Its size is the container's own business, and of a hole nothing is to be had.
        if path not in TREES:
            ends(r, "cp", f"{name}:/{path}/", str(r.user.tmp / "out"), allowed=(0, 1, 2, 125))
    ends(r, "diff", name, allowed=(0, 2, 125))
    if kind != "huge":
        ends(r, "export", "-o", str(r.user.tmp / "exported"), name)
        if ends(r, "commit", name, "localhost/trap").rc == 0:
            r.ok("rmi", "localhost/trap")
    for made in ("out", "exported"):
        subprocess.run(["rm", "-rf", str(r.user.tmp / made)], check=True)
    r.ok("rm", "-f", "-t", "0", name)
    return started


@pytest.fixture
def canary(user):
    path = user.home / "canary"
    path.write_text("app:x:0:0:secret::/bin/sh\n")
    path.chmod(0o666)
    yield path
    assert path.read_text() == "app:x:0:0:secret::/bin/sh\n"
    path.unlink()


@rows("B8")
@pytest.mark.parametrize("kind", KINDS)
def test_files(rootlet, canary, kind):
    """All files at once, then those of the users: a refusal there would hide the others."""
    files = [p for p in PATHS if p not in TREES and not p.startswith(tuple(t + "/" for t in TREES[:3]))]
    for name, paths in (("others", [p for p in files if p not in USERS]), ("users", USERS)):
        rootlet.ok("create", "--name", name, "--tz", "Europe/Berlin", rootlet.image(), "/bin/sleep", "1000")
        trap = Trap(rootlet, name, canary)
        for path in paths:
            trap.lay(kind, path)
        started = use(rootlet, name, kind, paths)
        assert started or kind not in ("fifo", "huge") or name == "users"


@rows("B8")
@pytest.mark.parametrize("kind", ["fifo", "link out", "link to a descriptor", "socket"])
def test_directories(rootlet, canary, kind):
    """In place of a directory that something is mounted on or made in."""
    for path in TREES:
        rootlet.ok("create", "--name", "c", rootlet.image(), "/bin/true")
        Trap(rootlet, "c", canary).lay(kind, path)
        ends(rootlet, "start", "-a", "c")
        rootlet.ok("rm", "-f", "-t", "0", "c")


@rows("B8")
def test_user_of_a_trap(rootlet, canary):
    """The user's own files decide who runs: what is no file refuses, by its name."""
    for path, kind in [(p, k) for p in USERS for k in ("fifo", "directory", "link to zero", "huge", "link out")]:
        rootlet.ok("create", "--name", "c", "-u", "app:staff", rootlet.image(), "/bin/id")
        Trap(rootlet, "c", canary).lay(kind, path)
        r = ends(rootlet, "start", "-a", "c")
        assert r.rc and "uid=0" not in r.out and (f"/{path}" in r.err or "no user" in r.err or "no group" in r.err
                                                   or "app" in r.err or "staff" in r.err), r
        rootlet.ok("rm", "-f", "-t", "0", "c")
