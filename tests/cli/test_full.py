"""Test R5 of the crash rules: no room, no descriptors, no processes, no right to write. What a command
cannot do it says, with the file system and the sizes where it is one; containers that run go on."""
import json
import os
import re
import subprocess

import pytest

from lib import host, rows

pytestmark = [pytest.mark.root]
MIB = 1 << 20


class Disk:
    """A small tmpfs in place of a directory of the user's; the audit knows it by its name."""

    def __init__(self, path, user, size):
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        os.chown(path, user.uid, user.gid)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700,uid={user.uid},gid={user.gid}",
                        "rltest", str(path)], check=True)

    def free(self):
        v = os.statvfs(self.path)
        return v.f_bavail * v.f_frsize

    def fill(self):
        """Not a byte is left."""
        with open(self.path / "filler", "wb") as f:
            chunk = b"x" * 65536
            try:
                while True:
                    f.write(chunk)
                    f.flush()
            except OSError:
                pass
        assert self.free() == 0

    def drain(self):
        (self.path / "filler").unlink(missing_ok=True)

    def read_only(self, on):
        subprocess.run(["mount", "-o", f"remount,{'ro' if on else 'rw'}", str(self.path)], check=True)

    def end(self):
        subprocess.run(["umount", "-l", str(self.path)], check=True)


@pytest.fixture
def small(rootlet):
    """The store on a disk of 16 MiB."""
    disk = Disk(rootlet.store.root, rootlet.user, "16m")
    yield disk
    disk.read_only(False)
    disk.drain()
    rootlet("rm", "-f", "-a", "-t", "0")
    rootlet.end()
    disk.end()


def states(rootlet):
    """Every state.json is whole."""
    found = {}
    for path in (rootlet.store.root / "containers").glob("*/state.json"):
        found[path.parent.name] = json.loads(path.read_text())
    return found


@rows("B14", "B9")
def test_full_disk(rootlet, small):
    image = rootlet.image()
    rootlet.ok("run", "-d", "--name", "w", image, "sh", "-c",
               "trap 'exit 3' USR1; n=0; while :; do n=$((n+1)); echo line $n; sleep .02; done")
    rootlet.ok("create", "--name", "c", image, "true")
    small.fill()
    pid = rootlet.inspect("w")["State"]["Pid"]

    for args in (("create", image, "true"), ("run", "--rm", image, "true"), ("run", "-d", image, "true"),
                 ("load", "-q", "-i", rootlet.images.path("layers")), ("tag", image, "localhost/t"),
                 ("volume", "create", "v"), ("rename", "c", "d")):
        r = rootlet(*args)
        assert r.rc == 125 and re.search("No space left on device|only 0 are free", r.err), r
        assert f"hint: on the file system of {small.path} 0 B of 16.8 MB are free" in r.err, r
    # What reads or removes needs no room.
    assert rootlet.ok("ps", "-a", "--format", "{{.Names}}").out.splitlines() == ["c", "w"]
    rootlet.ok("exec", "w", "true")
    rootlet.ok("images")
    rootlet.ok("inspect", "w", "c")
    assert rootlet("exec", "w", "sh", "-c", "echo more > /file && cat /file").err
    rootlet.ok("logs", "--tail", "1", "w")
    rootlet.ok("kill", "-s", "USR1", "w")
    assert rootlet.ok("wait", "w").text == "3" and not os.path.exists(f"/proc/{pid}")
    assert len(states(rootlet)) == 2
    ended = rootlet.inspect("w")["State"]
    assert (ended["Status"], ended["ExitCode"]) == ("exited", 3)
    rootlet.ok("rm", "w")

    small.drain()
    rootlet.ok("start", "c")
    rootlet.ok("run", "--rm", image, "true")
    rootlet.ok("load", "-q", "-i", rootlet.images.path("layers"))

@rows("B14")
def test_a_log_without_room_drops_lines(rootlet, small):
    """The container is not held up by it, and who is attached gets all."""
    image = rootlet.image()
    rootlet.ok("create", "--name", "w", image, "sh", "-c",
               "echo first; mkfifo /go; read x < /go; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo nobody keeps $i;"
               " done; echo full > /dev/null; read x < /go; echo last; sleep 1000")
    rootlet.ok("start", "w")
    rootlet.wait_for(lambda: rootlet("exec", "w", "test", "-p", "/go").rc == 0)
    small.fill()
    attached = rootlet.spawn("attach", "--no-stdin", "w")
    rootlet.ok("exec", "w", "sh", "-c", "echo > /go")
    lines = 0
    for line in attached.stdout:
        lines += line.startswith("nobody keeps")
        if lines == 20000:
            break
    small.drain()
    rootlet.ok("exec", "w", "sh", "-c", "echo > /go", timeout=20)
    rootlet.wait_for(lambda: "last" in rootlet.ok("logs", "w").out)
    kept = rootlet.ok("logs", "w").out.splitlines()
    assert kept[0] == "first" and kept[-1] == "last" and len(kept) < 20002, len(kept)
    assert all(line.startswith(("first", "nobody keeps", "last")) for line in kept)


# The lowest limits that mean anything: below them not even a program starts.
@rows("B14")
@pytest.mark.parametrize("limit", ["nofile=3", "nofile=6", "nofile=8", "nofile=12", "nofile=16", "nofile=20",
                                   "nproc=1", "nproc=4", "fsize=0", "fsize=4096"])
def test_limits_of_the_caller(rootlet, limit):
    """Few descriptors, processes, bytes in a file: done, or said; nothing left and nobody else disturbed."""
    if host.SANITIZERS and limit in ("nofile=3", "nproc=1", "nproc=4"):
        pytest.skip("the sanitizers need a library and a process of their own")
    image = rootlet.image()
    rootlet.ok("run", "-d", "--name", "w", image, "sleep", "1000")
    prefix = ["prlimit", f"--{limit}"]
    for args in (("run", "--rm", image, "true"), ("run", "-d", "--name", "n", image, "sh", "-c", "echo x; sleep 1000"),
                 ("create", "--name", "m", image, "true"), ("exec", "w", "true"), ("exec", "-u", "app", "w", "true"),
                 ("ps", "-a"), ("inspect", "w"), ("images",), ("logs", "w"), ("tag", image, "localhost/t"),
                 ("load", "-q", "-i", rootlet.images.path("busybox"))):
        r = rootlet(*args, prefix=prefix, timeout=20)
        assert r.rc in (0, 125, 126), r
        assert r.rc == 0 or r.err.startswith("Error: "), r
        assert rootlet.inspect("w")["State"]["Status"] == "running"
    rootlet.ok("rm", "-f", "-t", "0", "-i", "n", "m")
    assert rootlet.ok("ps", "-aq").out.count("\n") == 1
    rootlet.ok("load", "-q", "-i", rootlet.images.path("busybox")) # which takes away what the last has left


@rows("B14")
@pytest.mark.skipif(host.SANITIZERS, reason="shadow memory needs room that no limit allows")
def test_no_memory(rootlet):
    """As little address space as a program starts with, and some more."""
    image = rootlet.image()
    rootlet.ok("run", "-d", "--name", "w", image, "sleep", "1000")
    least = 0
    for step in (4096, 1024, 256, 64, 16):
        while rootlet("--version", prefix=["prlimit", f"--as={(least + step) << 10}"]).rc != 0:
            least += step
    said = 0
    for kib in [*range(least, least + 320, 16), *range(least + 320, least + 1600, 160)]:
        for args in (("run", "--rm", "--name", "n", image, "true"), ("exec", "w", "true"), ("ps", "-a"),
                     ("inspect", "w")):
            r = rootlet(*args, prefix=["prlimit", f"--as={kib << 10}"], timeout=20)
            # A program that the kernel cannot even load is killed by it.
            assert r.rc in (0, 125, 126) or (r.rc in (-9, -11) and kib < least + 320), r
            assert r.rc in (0, -9, -11) or r.err.startswith("Error: "), r
            said += "memory" in r.err
        rootlet.ok("rm", "-f", "-t", "0", "-i", "n")
    assert said and rootlet.inspect("w")["State"]["Status"] == "running"
    assert rootlet.ok("ps", "-aq").out.count("\n") == 1


@rows("B14")
def test_a_file_limit_under_a_log(rootlet):
    """The container has the limit of who started it; its log loses what is above, and nobody dies."""
    image = rootlet.image()
    rootlet.ok("run", "-d", "--name", "c", image, "sh", "-c",
               "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo some line $i; done; echo x > /done; sleep 1000",
               prefix=["prlimit", "--fsize=65536"])
    rootlet.wait_for(lambda: rootlet("exec", "c", "test", "-s", "/done").rc == 0)
    assert rootlet.inspect("c")["State"]["Status"] == "running"
    lines = rootlet.ok("logs", "c").out.splitlines()
    assert 100 < len(lines) < 3000 and lines[0] == "some line 1"


@rows("B14")
def test_read_only_store(rootlet, small):
    image = rootlet.image()
    rootlet.ok("create", "--name", "c", image, "true")
    small.read_only(True)
    for args in (("run", "--rm", image, "true"), ("create", image, "true"), ("start", "c"), ("rm", "c"),
                 ("tag", image, "localhost/t"), ("rmi", "-f", image), ("volume", "create", "v"), ("rename", "c", "d"),
                 ("load", "-q", "-i", rootlet.images.path("layers"))):
        r = rootlet(*args)
        assert r.rc and "Read-only file system" in r.err, r
    assert rootlet.ok("ps", "-a", "--format", "{{.Names}} {{.State}}").out == "c created\n"
    rootlet.ok("images")
    small.read_only(False)
    rootlet.ok("start", "-a", "c")


@rows("B14")
def test_run_root(rootlet):
    """Read-only, somebody else's, or full: nothing starts, what runs goes on."""
    image = rootlet.image()
    disk = Disk(rootlet.store.runroot, rootlet.user, "256k,nr_inodes=40")

    def refused(text):
        for args in (("start", "c"), ("run", "--rm", image, "true")):
            r = rootlet(*args)
            assert r.rc == 125 and text in r.err and str(disk.path) in r.err, r
        assert "c created" in rootlet.ok("ps", "-a", "--format", "{{.Names}} {{.State}}").out
    try:
        rootlet.ok("create", "--name", "c", image, "true")
        disk.read_only(True)
        refused("Read-only file system")
        disk.read_only(False)
        os.chown(disk.path, 0, 0)
        refused("")
        os.chown(disk.path, rootlet.user.uid, rootlet.user.gid)

        rootlet.ok("run", "-d", "--name", "w", image, "sleep", "1000")
        made = []
        with pytest.raises(OSError):
            for i in range(100):
                (disk.path / f"told-{i}").mkdir()
                made.append(disk.path / f"told-{i}")
        refused("No space left on device")
        rootlet.ok("exec", "w", "true")
        assert rootlet.inspect("w")["State"]["Status"] == "running"
        for path in made:
            path.rmdir()
        rootlet.ok("start", "-a", "c")
    finally:
        rootlet("rm", "-f", "-a", "-t", "0")
        rootlet.end()
        disk.end()
