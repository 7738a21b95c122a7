"""The files of a container, running or not, through tests/tools/root-tool: what cp and export see."""
import os
import pathlib
import shutil
import signal

import pytest

from lib import host, rows


@pytest.fixture
def tool(rootlet):
    """root-tool FLAGS CONTAINER COMMAND... as the test user, with the store of `rootlet`."""
    built = host.BUILDDIR / "tests/tools/root-tool"
    if not built.exists():
        pytest.skip("root-tool is not built (make check builds it)")
    copy = pathlib.Path(shutil.copy(built, rootlet.user.home / "root-tool"))
    yield lambda *args, rc=0, **kw: rootlet(*args, rc=rc, program=str(copy), **kw)
    copy.unlink()


def mounts(rootlet):
    """Of this store: other tests mount theirs beside."""
    lines = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
    return [line for line in lines if str(rootlet.store.root) in line]


USERNS = ["", "keep-id", "auto", "nomap"]


@rows("R15")
@pytest.mark.parametrize("mode", USERNS)
def test_running_and_stopped(rootlet, tool, mode):
    """As the container's root, whatever its map is; the next start sees what was written."""
    args = ["--userns", mode] if mode else []
    before = mounts(rootlet)
    rootlet.ok("run", "-d", "-u", "0", "--name", "c", *args, "-v", "data:/data", rootlet.image(),
               "sh", "-c", "umask 077; [ -e /n ] || echo one >/n; echo vol >/data/v; sleep 60")
    rootlet.wait_for(lambda: rootlet("exec", "c", "test", "-s", "/data/v").rc == 0)
    for state in ("running", "paused by nobody", "stopped"):
        if state == "stopped":
            rootlet.ok("stop", "-t", "0", "c")
        assert tool("r", "c", "cat", "/n").out == "one\n", state
        assert tool("rm", "c", "cat", "/data/v").out == "vol\n", state
        assert "v" not in tool("r", "c", "ls", "/data").out.split(), state
        assert tool("w", "c", "put", f"/{state[0]}", state).out == "0:0\n"
        assert tool("wm", "c", "put", f"/data/{state[0]}", state).out == "0:0\n"
        r = tool("r", "c", "put", "/no", "x", rc=None if state != "stopped" else 1)
        assert state != "stopped" or "Read-only file system" in r.err
        assert mounts(rootlet) == before or state != "stopped"
    rootlet.ok("start", "c")
    out = rootlet.ok("exec", "c", "sh", "-c", "cat /r /s /data/r /data/s; stat -c %u:%g /s /data/s").out
    assert out == "runningstopped" * 2 + "0:0\n0:0\n"


def test_never_started_and_copy_driver(rootlet, tool):
    for driver in ("overlay", "copy"):
        rootlet.ok("--storage-driver", driver, "create", "--name", driver, rootlet.image(), "cat", "/x")
        assert "busybox" in tool("r", driver, "ls", "/bin").out
        tool("w", driver, "put", "/x", "before the first start")
        assert tool("r", driver, "cat", "/x").out == "before the first start"
        assert rootlet.ok("start", "-a", driver).out == "before the first start"


def test_rootfs_directory(rootlet, tool):
    tree = rootlet.user.home / "tree"
    rootlet.shell(f"mkdir -p {tree}/bin {tree}/etc && cp {shutil.which('busybox')} {tree}/bin/sh")
    rootlet.ok("create", "--name", "c", "--rootfs", tree, "sh", "-c", "echo")
    tool("w", "c", "put", "/etc/x", "here")
    assert (tree / "etc/x").read_text() == "here"
    assert tool("r", "c", "put", "/etc/x", "no", rc=1).err
    rootlet.shell(f"rm -rf {tree}")


def test_volatile_and_read_only(rootlet, tool):
    rootlet.ok("run", "-d", "--rm", "--name", "v", rootlet.image(), "sleep", "60")
    tool("w", "v", "put", "/x", "volatile")
    assert rootlet.ok("exec", "v", "cat", "/x").out == "volatile"
    rootlet.ok("create", "--name", "ro", "--read-only", "-v", "data:/data", rootlet.image(), "cat", "/data/x")
    assert "Read-only file system" in tool("wm", "ro", "put", "/x", "x", rc=1).err
    tool("wm", "ro", "put", "/data/x", "volume")
    assert rootlet.ok("start", "-a", "ro").out == "volume"


def test_namespaces_of_another(rootlet, tool):
    """The user namespace of the one whose network it shares, and of its pod."""
    rootlet.ok("run", "-d", "--name", "first", rootlet.image(), "sleep", "60")
    rootlet.ok("run", "-d", "--name", "second", "--network", "container:first", rootlet.image(), "sleep", "60")
    rootlet.ok("pod", "create", "p")
    rootlet.ok("run", "-d", "--name", "member", "--pod", "p", rootlet.image(), "sleep", "60")
    for name in ("second", "member"):
        assert tool("w", name, "put", "/x", name).out == "0:0\n"
        assert rootlet.ok("exec", name, "stat", "-c", "%u:%g", "/x").text == "0:0"
        rootlet.ok("stop", "-t", "0", name)
        assert tool("w", name, "put", "/y", name).out == "0:0\n"
        assert tool("r", name, "cat", "/x").out == name


def test_supervisor_killed(rootlet, tool):
    """What runs is joined, not mounted a second time below it."""
    rootlet.ok("run", "-d", "--name", "c", rootlet.image(), "sleep", "60")
    state = rootlet.inspect("c")["State"]
    os.kill(state["SupervisorPid"] if "SupervisorPid" in state else state["ConmonPid"], signal.SIGKILL)
    tool("w", "c", "put", "/x", "alive")
    root = pathlib.Path(f"/proc/{state['Pid']}/root/x")
    assert root.read_text() == "alive"


@rows("R1")
@pytest.mark.parametrize("mode", ["", "auto"])
def test_dies_with_its_caller(rootlet, tool, mode):
    """No process, mount or lock is left when the caller is killed."""
    args = ["--userns", mode] if mode else []
    rootlet.ok("create", "--name", "c", *args, rootlet.image(), "true")
    program = rootlet.user.home / "root-tool"
    p = rootlet.spawn("w", "c", "hang", program=str(program))
    child = int(p.stdout.readline())
    assert "another command" in tool("w", "c", "put", "/x", "x", rc=1).err
    p.kill()
    rootlet.wait_for(lambda: not pathlib.Path(f"/proc/{child}").exists())
    rootlet.ok("start", "-a", "c")
