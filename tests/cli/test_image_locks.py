"""A slow load keeps nobody waiting, and what it relies on stays (images.md section 6, R13)."""
import fcntl
import io
import json
import os
import signal
import tarfile

import pytest

from imagelib import lab, store, sha256  # noqa: F401 pylint: disable=unused-import
from lib import images, rows, runner

FILES = 1500


def tar_of(entries):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        for name, data in entries:
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o755
            t.addfile(info, io.BytesIO(data))
    return out.getvalue()


class Part:
    """A layer as a file of a docker archive."""

    def __init__(self, *entries):
        self.tar = tar_of(entries)
        self.id = sha256(self.tar)


def archive(path, name, parts):
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/bin/true"]},
                         "rootfs": {"type": "layers", "diff_ids": [p.id for p in parts]}}).encode()
    files = [(f"{p.id[7:]}.tar", p.tar) for p in parts]
    listing = [{"Config": "config.json", "RepoTags": [name], "Layers": [n for n, _ in files]}]
    with open(path, "wb") as f:
        f.write(tar_of([*files, ("config.json", config), ("manifest.json", json.dumps(listing).encode())]))
    return path


@pytest.fixture(scope="module")
def parts(lab):
    with open(images.BUSYBOX, "rb") as f:
        box = f.read()
    base = Part(("bin/busybox", box), ("bin/true", box), ("bin/cat", box), ("base", b"base\n"))
    big = Part(*((f"big/{i:05}", b"x" * 2000) for i in range(FILES)))
    small = Part(("small", b"small\n"))
    made = {name: archive(lab.path(f"{name}.tar"), f"localhost/{name}:latest", layers)
            for name, layers in (("old", [base]), ("new", [base, big]), ("third", [base, small]))}
    lab.own(lab.top)
    return {"base": base, "big": big, **made}


def stages(store):
    return os.listdir(os.path.join(store.root, "ingest"))


def has_lock(store):
    """Is anybody just writing what it relies on?"""
    with open(os.path.join(store.root, "store.lock"), "rb") as f:
        try:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def is_stopped(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
        return f.read().rpartition(") ")[2][0] in "TZD"  # D: it does nothing more before it stops, or has a stopped child


def stop_at_wants(rootlet, store, *command):
    """Starts a command and stops all its processes once it has said what it relies on."""
    p = rootlet.spawn(*command)
    ingest = os.path.join(store.root, "ingest")
    while p.poll() is None:
        for name in os.listdir(ingest):
            if os.path.exists(os.path.join(ingest, name, "wants")):
                os.killpg(p.pid, signal.SIGSTOP)
                runner.wait_for(lambda: is_stopped(p.pid), what="the end of its work")
                if not has_lock(store):
                    return p
                os.killpg(p.pid, signal.SIGCONT)
    raise AssertionError(f"it ended before it was seen: {p.stderr.read()}")


def others_work(rootlet, *commands):
    for command in commands:
        r = rootlet.ok(*command)
        assert r.seconds < 20 * runner.PATIENCE and "waiting" not in r.err, r


@rows("A28", "B13")
def test_nobody_waits_for_a_load(rootlet, store, parts):
    store.load(parts["old"])
    p = stop_at_wants(rootlet, store, "load", "-q", "-i", parts["new"])
    assert parts["big"].id[7:] not in store.layers(), "it was stopped too late: make FILES more"
    others_work(rootlet, ("images",), ("run", "--rm", "old", "cat", "/base"), ("ps", "-a"), ("image", "check", "--quick"),
                ("tag", "old", "older"), ("rmi", "older"), ("rmi", "old"), ("image", "prune", "-af"))
    assert store.layers() == [parts["base"].id[7:]], "the load relies on it"
    others_work(rootlet, ("load", "-q", "-i", parts["third"]), ("run", "--rm", "third", "cat", "/small"),
                ("rmi", "third"), ("image", "prune", "-f"))
    assert store.layers() == [parts["base"].id[7:]]
    others_work(rootlet, ("load", "-q", "-i", parts["new"]), ("run", "--rm", "new", "cat", "/base", "/big/00001"))
    assert len(stages(store)) == 1
    os.killpg(p.pid, signal.SIGCONT)
    assert p.wait(timeout=60) == 0, p.stderr.read()
    assert rootlet.ok("run", "--rm", "new", "cat", "/base").out == "base\n"
    rootlet.ok("image", "check")
    assert stages(store) == []
    others_work(rootlet, ("rmi", "new"))
    assert store.layers() == []


@rows("B13")
def test_a_killed_load_holds_nothing(rootlet, store, parts):
    store.load(parts["old"])
    p = stop_at_wants(rootlet, store, "load", "-q", "-i", parts["new"])
    rootlet.ok("rmi", "old")
    assert store.layers() == [parts["base"].id[7:]]
    os.killpg(p.pid, signal.SIGKILL)
    p.wait()
    rootlet.wait_for(lambda: rootlet.ok("image", "prune", "-f") and store.files() == [])


@rows("A28", "B13")
def test_nobody_waits_for_a_pipe(rootlet, store, parts):
    """An import whose data comes slowly: its tree stays through every collection."""
    with open(parts["third"], "rb") as f:
        data = f.read()
    store.load(parts["old"])
    p = rootlet.spawn("import", "-q", "-", "localhost/piped")
    half = len(data) // 2
    p.stdin.buffer.write(data[:half])
    p.stdin.flush()
    rootlet.wait_for(lambda: len(stages(store)) == 1)
    others_work(rootlet, ("images",), ("rmi", "old"), ("image", "prune", "-af"), ("load", "-q", "-i", parts["third"]),
                ("run", "--rm", "third", "cat", "/small"), ("image", "prune", "-af"), ("image", "check"))
    assert len(stages(store)) == 1 and store.layers() == []
    p.stdin.buffer.write(data[half:])
    p.stdin.close()
    assert p.wait(timeout=60) == 0, p.stderr.read()
    assert rootlet.ok("images", "-q").out.strip()
    others_work(rootlet, ("image", "check"))


def is_locked(path):
    with open(path) as f:
        try:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@rows("B13")
def test_downloads_wait_for_their_return(rootlet, store, parts):
    """An interrupted download stays for a week, and as long as somebody has its lock."""
    store.load(parts["old"])
    ingest = os.path.join(store.root, "ingest")
    names = [c * 64 for c in "abc"]
    for name in names:
        rootlet.shell(f"umask 077; echo data > {ingest}/{name}.part; touch {ingest}/{name}.lock")
    rootlet.shell(f"touch -d '8 days ago' {ingest}/{names[1]}.part {ingest}/{names[2]}.part")
    holder = rootlet.spawn("-o", f"{ingest}/{names[2]}.lock", "sleep", "1000", program="/usr/bin/flock")
    rootlet.wait_for(lambda: is_locked(f"{ingest}/{names[2]}.lock"))
    rootlet.ok("image", "prune", "-f")
    assert sorted(stages(store)) == sorted(f"{n}.{e}" for n in (names[0], names[2]) for e in ("lock", "part"))
    os.killpg(holder.pid, signal.SIGKILL)
    holder.wait()
    rootlet.ok("image", "prune", "-f")
    assert sorted(stages(store)) == [f"{names[0]}.lock", f"{names[0]}.part"]
    os.unlink(f"{ingest}/{names[0]}.part")
    rootlet.ok("image", "prune", "-f")
    assert stages(store) == []
