"""Stores on other file systems: those that share blocks between files, and those that cannot hold one."""
import ctypes
import io
import os
import random
import shutil
import struct
import subprocess
import tarfile

import pytest

from imagelib import Layout, lab  # pylint: disable=unused-import
from lib import host, images as images_, rows
from lib.runner import wait_for
from test_keep_id import setting, trees

pytestmark = pytest.mark.skipif(not host.is_root(), reason="only root mounts file systems")
MIB = 1 << 20
SIZE = 24 * MIB


@pytest.fixture(scope="module")
def archive(lab):
    """A file of 24 MiB that nothing makes smaller, with a hole behind it."""
    t = images_.busybox_layer()
    info = tarfile.TarInfo("big")
    info.size, info.uid, info.mode = SIZE, 7, 0o644
    t.tar.addfile(info, io.BytesIO(random.Random(1).randbytes(SIZE)))
    t.tar.close()
    layout = Layout()
    image = layout.image([t.buffer.getvalue()], config={"Cmd": ["/bin/sh"], "Env": ["PATH=/bin"]})
    return lab.own(layout.add(image, "big:1").archive(lab.path("big.tar"))) or lab.path("big.tar")


def use(rootlet, place):
    """The store is to be there."""
    os.chown(place, rootlet.user.uid, rootlet.user.gid)
    rootlet.store.root = place / "store"


@pytest.fixture(params=["btrfs", "xfs"])
def disk(request, rootlet, tmp_path):
    """A store on a new file system of this kind, in a file."""
    if not shutil.which(f"mkfs.{request.param}"):
        pytest.skip(f"mkfs.{request.param} is not installed")
    if subprocess.run(["losetup", "-f"], capture_output=True, check=False).returncode != 0:
        pytest.skip("there are no loop devices")
    image, place, before = tmp_path / "image", rootlet.user.home / "disk", rootlet.store.root
    with open(image, "wb") as f:
        f.truncate(512 * MIB)
    host.run(f"mkfs.{request.param}", *{"xfs": ["-q", "-m", "reflink=1"], "btrfs": ["-q"]}[request.param], str(image))
    place.mkdir()
    with host.own_mounts():
        host.run("mount", "-o", "loop", str(image), str(place))
        use(rootlet, place)
        yield place
        rootlet.ok("rm", "-af")
        assert wait_for(lambda: subprocess.run(["umount", str(place)], capture_output=True, check=False).returncode == 0)
    rootlet.store.root = before
    place.rmdir()


def used(place):
    """Bytes, by the file system's own count: what files share counts once."""
    host.run("sync", "-f", str(place))
    st = os.statvfs(place)
    return (st.f_blocks - st.f_bfree) * st.f_frsize


def shared(path):
    return "shared" in host.run("filefrag", "-v", str(path))


def run(rootlet, *flags):
    return rootlet.ok("run", "--rm", *flags, "localhost/big:1", "sh", "-c",
                      "sha256sum /big; stat -c %u /big; echo x >> /big && stat -c %s /big").text


@rows("A30", "A34", "B37")
def test_copies_share_their_blocks(rootlet, disk, archive):
    """Neither the trees for another map nor the containers of the driver copy write the data again."""
    assert rootlet.ok("info", "-f", "{{.Storage.Driver}}").text == "overlay"
    rootlet.ok("load", "-q", "-i", archive)
    want = run(rootlet)
    assert want.endswith(f"\n7\n{SIZE + 2}")
    assert run(rootlet, "--userns", "keep-id", "--user", "0:0") == want
    begin = used(disk)
    assert begin > SIZE
    with setting(rootlet, "copy"):
        rootlet.ok("create", "--name", "kept", "--userns", "keep-id", "localhost/big:1", "true")
        (tree,) = [t for t in trees(rootlet) if "/copy-" in t]
        (path,) = (rootlet.store.root / "layers").glob(f"*/{tree.split('/')[1]}/tree/big")
        assert path.stat().st_size == SIZE and shared(path)
        assert run(rootlet, "--userns", "keep-id", "--user", "0:0") == want
    env = {"ROOTLET_STORAGE_DRIVER": "copy"}
    for i in range(3):
        rootlet.ok("create", "--name", f"c{i}", "localhost/big:1", "true", env=env)
        path = rootlet.inspect(f"c{i}")["Rootfs"] + "/big"
        assert os.stat(path).st_size == SIZE and shared(path)
    # Four trees of 24 MiB and of busybox's names.
    assert used(disk) - begin < 8 * MIB, used(disk) - begin


@pytest.fixture
def no_chown(rootlet):
    """A store where files cannot be given to other ids, as on NFS."""
    if not shutil.which("bindfs") or not os.path.exists("/dev/fuse"):
        pytest.skip("needs bindfs and /dev/fuse")
    base, place, before = rootlet.user.home / "under", rootlet.user.home / "place", rootlet.store.root
    base.mkdir()
    place.mkdir()
    os.chown(base, rootlet.user.uid, rootlet.user.gid)
    with host.own_mounts():
        with subprocess.Popen(["bindfs", "-f", "--chown-deny", "--chgrp-deny", "-o", "allow_other", str(base), str(place)]) as p:
            wait_for(lambda: os.path.ismount(place))
            rootlet.store.root = place / "store"
            yield place
            host.run("umount", str(place))
            assert p.wait(20) == 0
    rootlet.store.root = before
    shutil.rmtree(base)
    place.rmdir()


@rows("A9", "A34")
def test_who_refuses_other_owners_is_told_of(rootlet, no_chown, archive):
    """Before anything is fetched: nobody listens at the address of the registry."""
    storage = rootlet.ok("info", "-f", "{{json .Storage}}").json()
    assert storage["Driver"] == "none" and "chown to a subordinate id: Operation not permitted" in storage["Why"], storage
    for args in (["pull", "--tls-verify=false", "127.0.0.1:9/big:1"], ["load", "-i", archive], ["import", archive, "x"]):
        text = rootlet.fails(*args, match="cannot have the owners of images").err
        assert "chown to a subordinate id: Operation not permitted" in text and "hint: Put the store on a local disk" in text
        assert "127.0.0.1:9/v2" not in text
    assert "chown to a subordinate id" in rootlet("doctor").out
    assert not list((rootlet.store.root / "layers").glob("*"))


# ---- the kernel's overlay is refused -----------------------------------------------------------------

REFUSED = ("mount", "fsopen")
NUMBERS = {"x86_64": (0xC000003E, {"mount": 165, "fsopen": 430}), "aarch64": (0xC00000B7, {"mount": 40, "fsopen": 430})}


def refuse_mounts():
    """A seccomp filter, as root of the host, so that newuidmap goes on to work: mount and fsopen answer EPERM."""
    arch, numbers = NUMBERS[os.uname().machine]
    code = [(0x20, 0, 0, 4), (0x15, 0, len(REFUSED) + 1, arch), (0x20, 0, 0, 0)]
    code += [(0x15, len(REFUSED) - i, 0, numbers[name]) for i, name in enumerate(REFUSED)]
    code += [(0x06, 0, 0, 0x7FFF0000), (0x06, 0, 0, 0x00050001)]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in code))
    head = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(code), ctypes.addressof(program)))
    if ctypes.CDLL(None, use_errno=True).prctl(22, 2, head, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_SECCOMP")


@pytest.mark.skipif(os.uname().machine not in NUMBERS, reason="numbers of system calls")
@rows("A34")
def test_refused_overlay(rootlet):
    """The first look was made where a filter refuses mounts: the next driver is taken, and it is said why."""
    argv = [rootlet.program, "info", "-f", "{{json .Storage}}"]
    out = subprocess.run(["setpriv", f"--reuid={rootlet.user.uid}", f"--regid={rootlet.user.gid}", "--clear-groups", *argv],
                         env=rootlet.environment(), cwd=rootlet.user.home, preexec_fn=refuse_mounts, capture_output=True,
                         text=True, timeout=60, check=True).stdout
    assert '"copy"' in out and "overlay: " in out and "Operation not permitted" in out, out
    # Without the filter, and with what was found out: a container runs by it, and info says so.
    image = rootlet.image("layers")
    rootlet.ok("run", "--name", "c", image, "cat", "/f")
    assert rootlet.inspect("c")["Driver"] == "copy"
    assert "Operation not permitted" in rootlet.ok("info", "-f", "{{.Storage.Why}}").text
