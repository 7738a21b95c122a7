"""One suite for all storage drivers: what a container sees of its image, where its changes go, and what is left."""
import hashlib
import io
import os
import shutil
import signal
import tarfile

import pytest

from lib import host, rows
from lib.runner import wait_for

DRIVERS = ["overlay", "fuse-overlayfs", "copy"]
LOOK = ("cat /f; ls /only-first /deleted /goes /opaque 2>/dev/null; cat /hard-a /hard-b;"
        " ls -ld /tmp | cut -c1-10; stat -c %u:%g /home/app")
WANT = "3\n/only-first\n\n/opaque:\nabove\nlinked\nrewritten\ndrwxrwxrwt\n1000:1000"


@pytest.fixture(params=DRIVERS)
def driver(request, rootlet):
    if request.param == "fuse-overlayfs":
        if not shutil.which("fuse-overlayfs"):
            pytest.skip("fuse-overlayfs is not installed")
        if os.stat("/dev/fuse").st_mode & 0o6 != 0o6:
            pytest.skip("/dev/fuse is for root only")
    storage = rootlet.store.environment()
    rootlet.store.environment = lambda: {**storage, "ROOTLET_STORAGE_DRIVER": request.param}
    return request.param


def sh(rootlet, script, *flags, image="layers", **kw):
    return rootlet.ok("run", "--rm", *flags, rootlet.image(image), "sh", "-c", script, **kw).text


def inspect(rootlet, name):
    return rootlet.ok("inspect", name).json()[0]


def own_files(rootlet, name):
    """The directory that holds a container's changes."""
    found = inspect(rootlet, name)
    return found["GraphDriver"]["Data"]["UpperDir"] or found["Rootfs"]


def sums(rootlet):
    """Of all layers."""
    found = {}
    for parent, _, names in os.walk(rootlet.store.root / "layers"):
        for name in names:
            path = os.path.join(parent, name)
            st = os.lstat(path)
            data = open(path, "rb").read() if os.path.isfile(path) and not os.path.islink(path) else b""
            found[path] = (st.st_mode, st.st_uid, st.st_gid, st.st_size, st.st_mtime_ns,
                           hashlib.sha256(data).hexdigest())
    return found


def processes(rootlet):
    """Those of fuse-overlayfs."""
    return [p for p in rootlet.user.processes() if b"fuse-overlayfs" in _cmdline(p)]


def _cmdline(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return f.read().split(b"\0")[0]
    except OSError:
        return b""


@rows("A29", "B36", "B37")
def test_layers_in_order(rootlet, driver):
    assert sh(rootlet, LOOK) == WANT
    assert rootlet.ok("info", "-f", "{{.Storage.Driver}}").text == driver
    rootlet.ok("create", "--name", "c", rootlet.image("layers"), "true")
    assert inspect(rootlet, "c")["Driver"] == driver


@rows("A30", "B38")
@pytest.mark.skipif(not host.is_root(), reason="reads files of subordinate ids")
def test_changes_are_the_containers_alone(rootlet, driver):
    image = rootlet.image("layers")
    rootlet.ok("run", "--rm", image, "true")
    before = sums(rootlet)
    rootlet.ok("run", "--name", "c", image, "sh", "-c",
               "echo x >> /etc/motd; rm /f; rm -r /opaque; mkdir /opaque; chmod 600 /hard-a; chown 5:6 /hard-b;"
               " mv /home /home2; ln -s a /l; ln /etc/motd /hard; mkfifo /p; touch -d @5 /only-first")
    assert sums(rootlet) == before
    top = own_files(rootlet, "c")
    assert open(f"{top}/etc/motd", encoding="ascii").read() == "from the image\nx\n"
    out = rootlet.ok("export", "c", binary=True).out
    with tarfile.open(fileobj=io.BytesIO(out)) as t:
        assert t.extractfile("etc/motd").read() == b"from the image\nx\n"
        got = {m.name.removeprefix("./"): m for m in t.getmembers()}
    assert "f" not in got and "opaque" in got and "opaque/above" not in got and "home2/app" in got
    assert (got["hard-b"].uid, got["hard-b"].gid, got["hard-a"].mode & 0o777) == (5, 6, 0o600)
    assert got["hard"].islnk() or got["etc/motd"].islnk()
    assert got["p"].isfifo() and got["l"].issym() and got["only-first"].mtime == 5
    # Another container of the image has none of it.
    assert sh(rootlet, LOOK) == WANT


@rows("A30", "B55")
def test_diff_and_commit(rootlet, driver):
    image = rootlet.image("layers")
    rootlet.ok("run", "--name", "c", image, "sh", "-c",
               "echo x > /etc/motd; rm /f; rm -r /opaque; mkdir /opaque; echo n > /opaque/new; mkdir /n; chown 7:8 /n")
    want = ["C /etc", "C /etc/motd", "D /f", "A /n", "C /opaque", "D /opaque/above", "A /opaque/new"]
    assert rootlet.ok("diff", "c").text.splitlines() == want
    rootlet.ok("commit", "c", "mine")
    assert sorted(rootlet.ok("diff", "mine").text.splitlines()) == sorted(want)
    look = "cat /etc/motd; ls -A /opaque; stat -c %u:%g /n; ls -A / | grep wh; ls /f 2>/dev/null"
    assert rootlet("run", "--rm", "mine", "sh", "-c", look).text.splitlines() == ["x", "new", "7:8"]


def test_copies(rootlet, driver):
    rootlet.ok("create", "--name", "c", rootlet.image("layers"), "cat", "/in/file", "/opaque/above")
    src = rootlet.user.tmp / "in"
    rootlet.shell(f"mkdir {src} && echo hello > {src}/file")
    rootlet.ok("cp", src, "c:/in")
    assert rootlet.ok("start", "-a", "c").text == "hello\n3"
    assert rootlet.ok("cp", "c:/opaque/above", "-", binary=True).out
    rootlet.ok("cp", "c:/f", src / "back")
    assert (src / "back").read_text() == "3\n"
    rootlet.shell(f"rm -r {src}")


def test_directories_of_the_image_are_renamed(rootlet, driver):
    """The kernel's overlay without redirect_dir answers EXDEV, and mv copies; the others just do it."""
    out = sh(rootlet, "mv /home /elsewhere && ls /elsewhere && ! ls /home 2>/dev/null && mkdir /home && ls -A /home")
    assert out == "app"


def test_read_only(rootlet, driver):
    r = rootlet("run", "--rm", "--read-only", rootlet.image("layers"), "sh", "-c", "cat /f; echo x > /f")
    assert r.rc == 1 and r.out == "3\n" and "Read-only" in r.err


def test_volumes_are_filled(rootlet, driver):
    assert sh(rootlet, "cat /opaque/above; echo mine > /opaque/x; stat -c %u /home/app", "-v",
              "data:/opaque", "-v", "home:/home/app") == "3\n1000"
    assert sh(rootlet, "cat /v/x", "-v", "data:/v") == "mine"
    rootlet.ok("volume", "rm", "data", "home")


@pytest.mark.parametrize("userns", ["keep-id", "auto", "nomap", "keep-id:uid=200,gid=300"])
def test_other_maps(rootlet, driver, userns):
    assert sh(rootlet, LOOK, "--userns", userns, "--user", "0:0") == WANT
    rootlet.ok("run", "--name", "c", "--userns", userns, "--user", "0:0", rootlet.image("layers"), "sh", "-c",
               "chown 12:13 /f; touch /mine; rm /only-first")
    assert rootlet.ok("diff", "c").text.splitlines() == ["C /f", "A /mine", "D /only-first"]
    rootlet.ok("commit", "c", "again")
    assert rootlet.ok("run", "--rm", "again", "stat", "-c", "%u:%g", "/f", "/mine").text == "12:13\n0:0"
    with tarfile.open(fileobj=io.BytesIO(rootlet.ok("export", "c", binary=True).out)) as t:
        assert {(m.uid, m.gid) for m in t if m.name.endswith("/f")} <= {(12, 13)}


@rows("A32", "A62", "B37")
def test_removal_leaves_the_layers(rootlet, driver):
    image = rootlet.image("layers")
    layers = sorted(os.listdir(rootlet.store.root / "layers"))
    rootlet.ok("run", "-d", "--name", "c", image, "sh", "-c", "mkdir -m 700 /x; chown 99 /x; touch /x/y; exec sleep 1000")
    top = own_files(rootlet, "c")
    assert os.path.isdir(top)
    rootlet.ok("rm", "-f", "-t", "0", "c")
    assert not os.path.exists(os.path.dirname(top))
    assert sorted(os.listdir(rootlet.store.root / "layers")) == layers
    assert wait_for(lambda: not processes(rootlet))
    assert sh(rootlet, "cat /f") == "3"


def test_killed_and_adopted(rootlet, driver):
    """The supervisor is killed; the container goes on, has its files, and leaves nothing."""
    rootlet.ok("run", "-d", "--name", "c", rootlet.image("layers"), "sleep", "1000")
    state = inspect(rootlet, "c")["State"]
    os.kill(state["ConmonPid"], signal.SIGKILL)
    assert rootlet.ok("exec", "c", "cat", "/f").text == "3"
    rootlet.ok("exec", "c", "sh", "-c", "echo y > /y")
    os.kill(inspect(rootlet, "c")["State"]["Pid"], signal.SIGKILL)
    assert wait_for(lambda: not processes(rootlet))
    assert rootlet.ok("diff", "c").text == "A /y"
    rootlet.ok("rm", "-f", "c")


@pytest.fixture
def fused(rootlet):
    if not shutil.which("fuse-overlayfs") or os.stat("/dev/fuse").st_mode & 0o6 != 0o6:
        pytest.skip("needs fuse-overlayfs and /dev/fuse")
    storage = rootlet.store.environment()
    rootlet.store.environment = lambda: {**storage, "ROOTLET_STORAGE_DRIVER": "fuse-overlayfs"}


def test_killed_program_is_told(rootlet, fused):
    """Nothing restarts it: the container ends, and says why."""
    rootlet.ok("run", "-d", "--name", "c", rootlet.image("layers"), "sleep", "1000")
    (pid,) = processes(rootlet)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: inspect(rootlet, "c")["State"]["Status"] == "exited")
    assert "fuse-overlayfs was killed" in str(inspect(rootlet, "c")["State"]), inspect(rootlet, "c")["State"]
    assert rootlet.ok("start", "c").rc == 0
    assert rootlet.ok("exec", "c", "cat", "/f").text == "3"
    rootlet.ok("rm", "-f", "-t", "0", "c")


PROGRAM_THAT_TELLS = """#!/bin/sh
dir() { d=${2#*$1=}; d=${d%%,*}; echo "${d%%:*}"; }
try() { if (eval "$2") 2>&1; then printf '%s ' "$1" >&2; fi; }  # stdout is /dev/null
upper=$(dir upperdir "$3"); lower=$(dir lowerdir "$3")
try changes-upper ': > $upper/x && mv $upper/x $upper/y && rm $upper/y'
try reads-layer 'ls $lower/'
try changes-layer ': > $lower/x'
try reads-home 'cat HOME/secret'
try lists-home 'ls HOME'
try writes-tmp ': > /tmp/rl-told'
try reads-hosts 'cat /etc/hosts'
echo "was all" >&2
exit 1
"""


@rows("A34")
def test_program_is_confined(rootlet, fused):
    """It sees the layers, changes the upper directory, and has nothing else of the user's: a program in its place tells."""
    if not host.is_root():
        pytest.skip("only root can put another program in its place")
    home = rootlet.user.home
    image = rootlet.image("layers")
    rootlet.ok("create", "--name", "c", image, "true")
    rootlet.shell(f"echo hidden > {home}/secret")
    fake = home / "fuse-overlayfs"
    fake.write_text(PROGRAM_THAT_TELLS.replace("HOME", str(home)))
    fake.chmod(0o755)
    with host.own_mounts():
        host.run("mount", "--bind", str(fake), shutil.which("fuse-overlayfs"))
        text = rootlet.fails("start", "c", rc=None, match="was all").err
    assert ": changes-upper reads-layer was all\n" in text, text
    os.unlink(home / "secret")
    fake.unlink()


@rows("A34")
def test_many_starts_leave_no_process(rootlet, fused):
    """1,000 in the long form; every third is killed, and the programs of all have ended."""
    image, left = rootlet.image("layers"), 1000 if os.environ.get("ROOTLET_TEST_LONG") else 45
    rootlet.ok("create", "--name", "kept", image, "true")
    while left > 0:
        started = [rootlet.spawn("run", "--rm", image, "cat", "/f") for _ in range(min(left, 8))]
        started += [rootlet.spawn("start", "-a", "kept")]
        for i, p in enumerate(started):
            if i % 3 == 2 and p is not started[-1]:
                os.killpg(p.pid, signal.SIGKILL)
                p.communicate()
            else:
                out, err = p.communicate(timeout=120)
                assert p.returncode == 0 and out in ("3\n", ""), (out, err)
        left -= len(started) - 1
    rootlet.ok("rm", "-f", "kept")
    assert wait_for(lambda: not processes(rootlet)), processes(rootlet)
    assert wait_for(lambda: rootlet.ok("ps", "-aq").text == "")


@rows("A34")
def test_closed_device_is_told(rootlet):
    """Where /dev/fuse is for root only, info and doctor say so, and who asks for the driver gets the reason."""
    if not host.is_root() or not shutil.which("fuse-overlayfs") or not os.path.exists("/dev/fuse"):
        pytest.skip("needs a suite that was started as root, fuse-overlayfs and /dev/fuse")
    with host.closed_device("/dev/fuse"):
        why = rootlet.ok("info", "-f", "{{.Storage.Driver}}: {{.Storage.Why}}").text
        assert why.startswith("overlay: ") and "fuse-overlayfs: " in why and "/dev/fuse: Permission denied" in why, why
        text = rootlet.fails("run", "--rm", rootlet.image("layers"), "true", match="/dev/fuse",
                             env={"ROOTLET_STORAGE_DRIVER": "fuse-overlayfs"}).err
        assert "hint: " in text
        assert "/dev/fuse" in rootlet("doctor").out
