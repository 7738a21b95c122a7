"""Attacks on commands that touch files: what a container, an image or another user of the host may try."""
import io
import os
import re
import shutil
import stat
import tarfile
import time

import pytest

from lib import rows

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
SECRET = "the canary sings"


@pytest.fixture
def home(rootlet):
    made = rootlet.user.home / "attack"
    rootlet.shell(f"mkdir {made} && echo '{SECRET}' > {made}/canary && chmod 600 {made}/canary")
    yield made
    rootlet.shell(f"chmod -R u+rwx {made}; rm -rf {made}")


@pytest.fixture
def shared(other, rootlet):
    """A directory for all, as /tmp is."""
    made = rootlet.user.base / "everybody"
    made.mkdir()
    made.chmod(0o1777)
    yield made
    shutil.rmtree(made)


def run(rootlet, *options, script=None, name="c"):
    rootlet.ok("run", "-d", "--name", name, *options, rootlet.image(), "sh", "-c", f"{script or ':'}; exec sleep 1000")


# --- another user of the host ---

@rows("A61")
def test_links_of_others_in_a_shared_directory(rootlet, other, home, shared):
    """As fs.protected_symlinks has it, whatever this host sets: nothing is written through them, nor read."""
    run(rootlet, script="echo evil > /f; mkdir /d; echo evil > /d/canary")
    other.shell(f"ln -s {home}/canary {shared}/f; ln -s {home} {shared}/d; ln -s {home}/new {shared}/dangling")
    for source, name in (("/f", "f"), ("/f", "dangling"), ("/f", "d"), ("/d/.", "d")):
        rootlet.fails("cp", f"c:{source}", shared / name, match="Permission denied")
    rootlet.fails("cp", "-L", shared / "f", "c:/stolen", match="Permission denied")
    assert (home / "canary").read_text() == SECRET + "\n" and os.listdir(home) == ["canary"]
    # One's own are followed, there and elsewhere.
    rootlet.shell(f"ln -s {home}/mine {shared}/own")
    rootlet.ok("cp", "c:/f", shared / "own")
    assert (home / "mine").read_text() == "evil\n"


@rows("A61")
@pytest.mark.parametrize("state", ["running", "stopped"])
def test_links_of_others_in_a_container(rootlet, home, state):
    """A process that is not root there cannot have /etc/passwd replaced, nor read what it may not."""
    run(rootlet, script="chmod 1777 /tmp; echo root-only > /secret; chmod 600 /secret; echo own > /own")
    rootlet.wait_for(lambda: rootlet("exec", "c", "test", "-e", "/own").rc == 0)
    rootlet.ok("exec", "-u", "app", "c", "sh", "-c", "ln -s /etc/passwd /tmp/f; ln -s /etc /tmp/d; ln -s /secret /tmp/s")
    rootlet.ok("exec", "c", "ln", "-s", "/own", "/tmp/mine")
    if state == "stopped":
        rootlet.ok("stop", "-t", "0", "c")
    (home / "f").write_text("evil")
    rootlet.fails("cp", home / "f", "c:/tmp/f", match="Permission denied\nhint: no link of another user")
    rootlet.fails("cp", home / "f", "c:/tmp/d", match="Permission denied")
    rootlet.fails("cp", "-L", "c:/tmp/s", home / "s", match="Permission denied")
    rootlet.ok("cp", home / "f", "c:/tmp/mine")
    rootlet.ok("cp", "c:/own", home / "own")
    assert (home / "own").read_text() == "evil"


# --- mounts of a running container ---

@rows("A69")
def test_mount_rm_takes_no_other_mount(rootlet, home):
    """The container renames directories so that another mount, or a link to one, is where the user's was: it must
    not look as if that had gone."""
    rootlet.shell(f"mkdir {home}/x {home}/y; echo old > {home}/file")
    run(rootlet, "-v", f"{home}/x:/a/data", "-v", f"{home}/y:/b/data", "-v", f"{home}/file:/c/file", "--tmpfs", "/d/t")
    inside = lambda script: rootlet.ok("exec", "c", "sh", "-c", script).out
    before = inside("grep -c . /proc/self/mounts")
    for script in ("mv /a /x; mv /b /a; mv /x /b", "mv /a /e; mkdir /a; ln -s /e/data /a/data", "rm -r /a; mkdir /a; ln -s /etc/hosts /a/data"):
        inside(script)
        rootlet.fails("mount", "rm", "c", "/a/data", match="something else is mounted there\nhint: a process inside may")
        rootlet.fails("mount", "rm", "-f", "c", "/a/data", match="something else is mounted there")
    assert inside("grep -c . /proc/self/mounts") == before and len(rootlet.inspect("c")["Mounts"]) == 4
    inside("rm -r /a; mv /b /a; mv /e /b")
    rootlet.shell(f"echo new > {home}/new; mv {home}/new {home}/file")  # as editors write
    rootlet.ok("mount", "rm", "c", "/a/data", "/b/data", "/c/file", "/d/t")
    assert rootlet.inspect("c")["Mounts"] == []


# --- what comes out of a container ---

@rows("A61")
def test_no_set_id_bits_come_out(rootlet, home):
    """Not with -a either, when the number in the container happens to be the user's own: another user
    of the host could run it as him."""
    uid, gid = rootlet.user.uid, os.stat(home).st_gid
    run(rootlet, script=f"mkdir /d; cp /bin/busybox /d/sh; mkdir /d/s; chown {uid}:{gid} /d/*; chmod 6755 /d/sh; chmod 2775 /d/s; touch /done")
    rootlet.wait_for(lambda: rootlet("exec", "c", "test", "-e", "/done").rc == 0)
    assert rootlet.ok("exec", "c", "stat", "-c", "%u %a", "/d/sh").text == f"{uid} 6755"
    rootlet.ok("cp", "-a", "c:/d", home / "out")
    assert stat.S_IMODE((home / "out/sh").stat().st_mode) == 0o755
    assert stat.S_IMODE((home / "out/s").stat().st_mode) == 0o775


@rows("A61")
def test_export_leaves_out_what_is_mounted(rootlet, home):
    """Also of a container whose first process has gone into a user namespace of its own: there the root cannot be
    had without its mounts."""
    rootlet.ok("run", "-d", "--name", "c", "--security-opt", "seccomp=unconfined", "-v", f"{home}:/v",
               "-v", f"{home}/canary:/one/file", "--tmpfs", "/scratch", rootlet.image(), "sh", "-c",
               "echo own > /own; echo secret > /scratch/s; exec unshare -Urm sh -c 'echo ready; exec sleep 1000'")
    rootlet.wait_for(lambda: "ready" in rootlet.ok("logs", "c").out)
    tar = tarfile.open(fileobj=io.BytesIO(rootlet.ok("export", "c", binary=True).out))
    names = tar.getnames()
    assert {"own", "v", "scratch", "proc"} <= set(names)
    below = [n for n in names if n.split("/")[0] in ("v", "scratch", "proc", "sys", "dev") and "/" in n]
    assert below == [] or set(below) <= {"dev/console", "dev/pts", "dev/shm"}, below
    for member in tar.getmembers():
        if member.isfile():
            assert SECRET.encode() not in tar.extractfile(member).read(), member.name


# --- races ---

SWAP = """
mkdir -p /d/a/x; echo mine > /d/a/x/canary; echo mine > /d/a/canary; ln -s {target} /d/b
while :; do mv /d/a /d/c; mv /d/b /d/a; mv /d/c /d/b; mv /d/a /d/c; mv /d/b /d/a; mv /d/c /d/b; done
"""


@rows("A61")
@pytest.mark.parametrize("target", ["/host", "../../../../../../host", "/proc/1/root", "/proc/self/cwd"])
def test_swapped_directories(rootlet, home, target):
    """The container exchanges a directory and a link all the time: nothing comes out of or goes to the host by it."""
    target = target.replace("host", str(home)[1:] if target[0] == "/" else str(home)[1:])
    rootlet.ok("run", "-d", "--name", "c", rootlet.image(), "sh", "-c", SWAP.format(target=target))
    rootlet.wait_for(lambda: rootlet("exec", "c", "test", "-e", "/d/a").rc == 0)
    (home / "in").write_text("written")
    end = time.monotonic() + 2
    while time.monotonic() < end:
        rootlet("cp", "c:/d", home / "out")
        rootlet("cp", "c:/d/a/canary", home / "one")
        rootlet("cp", home / "in", "c:/d/a/canary")
        rootlet("cp", home / "in", "c:/d/a/x/")
        out = rootlet("cp", "c:/d", "-", binary=True).out
        assert SECRET.encode() not in out
    assert SECRET.encode() not in rootlet.ok("export", "c", binary=True).out
    assert (home / "canary").read_text() == SECRET + "\n"
    assert not (home / "x").exists()
    for d, _, files in os.walk(home / "out"):
        for f in files:
            if not os.path.islink(os.path.join(d, f)):
                assert SECRET not in open(os.path.join(d, f), encoding="utf-8").read()


@rows("A24")
def test_volume_import_through_swapped_links(rootlet, home):
    """A container works in the volume while an archive comes into it."""
    rootlet.ok("run", "-d", "--name", "c", "-v", "data:/d", "-v", f"{home}:/h:ro", rootlet.image(), "sh", "-c",
               SWAP.format(target=home))
    rootlet.wait_for(lambda: rootlet("exec", "c", "test", "-e", "/d/a").rc == 0)
    buf = io.BytesIO()
    with tarfile.open(fileobj=buf, mode="w") as tar:
        for name in ("a", "a/x", "b", "b/x"):
            info = tarfile.TarInfo(name)
            info.type, info.mode = tarfile.DIRTYPE, 0o777
            tar.addfile(info)
        for name in ("a/canary", "a/x/canary", "b/canary", "b/new"):
            info = tarfile.TarInfo(name)
            info.size = 4
            tar.addfile(info, io.BytesIO(b"evil"))
    end = time.monotonic() + 2
    while time.monotonic() < end:
        rootlet("volume", "import", "data", input=buf.getvalue())
        assert SECRET.encode() not in rootlet("volume", "export", "data", binary=True).out
    assert (home / "canary").read_text() == SECRET + "\n" and os.listdir(home) == ["canary"]


# --- what is shown ---

def test_nothing_steers_the_terminal(rootlet, home):
    """Names, arguments, labels, users: of all of them a container or an image decides."""
    bad = "\033]0;owned\007\033[2J\r"
    q = "$(printf 'x\\033]0;owned\\007\\033[2J\\rx')"
    run(rootlet, "-l", f"k={bad}", "--tmpfs", f"/t{bad}", script=f"cd /; echo x > \"{q}\"; mkdir /d; mkdir \"/d/{q}\"; echo x > \"/d/{q}/{q}\"; "
        f"printf '%s:x:0:0::/:/bin/sh\\n' \"{q}\" > /etc/passwd; mkfifo /d/fifo; sh -c 'sleep 999; :' \"{q}\" & :")
    rootlet.wait_for(lambda: rootlet("exec", "c", "test", "-p", "/d/fifo").rc == 0)
    for words in (
        ("diff", "c"), ("top", "c"), ("top", "c", "-o", "user,comm,args,label"), ("ps", "-a"), ("ps", "-a", "--size"),
        ("ps", "--format", "{{.Labels}}"), ("mount", "ls", "c"), ("cp", "c:/d", home / "fresh"), ("cp", f"c:/none{bad}", home),
        ("cp", f"c:/d/{bad}", home / "x"), ("inspect", "c"), ("events", "--stream=false", "--since", "1h"), ("commit", "-c", f"LABEL a={bad}", "c", "img"),
        ("images", "--format", "{{.Labels}}"), ("container", "prune", "-f", "--filter", f"label={bad}"), ("mount", "rm", "c", f"/{bad}"),
        ("volume", "import", bad), ("volume", "export", bad), ("system", "df", "-v"), ("port", "c", bad), ("logs", "--since", bad, "c"),
        ("export", "-o", f"{home}/no{bad}/f", "c"), ("wait", bad), ("unshare", bad)):
        t = rootlet.pty(*words, env={"NO_COLOR": "1"})
        t.wait()
        assert not CONTROL.search(t.output.replace("\r\n", "\n")), (words, t.output)


# --- reset ---

def test_reset_of_the_usual_places(rootlet):
    """Where nothing names the run directory the store has a note of it."""
    place = rootlet.user.runtime / "session"
    rootlet.shell(f"mkdir -m 700 {place}")
    env = {"XDG_RUNTIME_DIR": str(place), "ROOTLET_RUNROOT": None}
    rootlet.ok("run", "-d", rootlet.image(), "sleep", "1000", env=env)
    assert (rootlet.store.root / "run-root").exists()
    rootlet.ok("system", "reset", "-f", env=env)
    assert not rootlet.store.root.exists() and not (place / "rootlet").exists()
    rootlet.store.loaded.clear()
    rootlet.shell(f"rm -rf {place}")
