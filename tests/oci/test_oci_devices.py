"""Device nodes: made by root of the host, bound where a user namespace forbids that. config-linux.md
"Devices" and "Default Devices"; row B48."""
import os
import stat

import pytest

from lib import rows

BB = "/bin/busybox "
DEFAULT = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
LINKS = {"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1",
         "stderr": "/proc/self/fd/2", "ptmx": "pts/ptmx"}


def devices(*nodes):
    def edit(c):
        c["linux"]["devices"] = list(nodes)
    return edit


def node(path, kind, major=None, minor=None, **more):
    d = {"path": path, "type": kind, **more}
    return d if major is None else {**d, "major": major, "minor": minor}


def show(*paths):
    return f"{BB} stat -c '%n|%F|%t:%T|%a|%u:%g' {' '.join(paths)}"


def parse(text):
    out = {}
    for line in text.splitlines():
        name, kind, number, mode, owner = line.split("|")
        major, minor = (int(x, 16) for x in number.split(":"))
        out[name] = (kind, (major, minor), mode, owner)
    return out


def makes_nodes(oci):
    return oci.mode in ("rootful", "cgroup2")


@rows("B48")
def test_default_devices(oci):
    names = [f"/dev/{n}" for n in DEFAULT]
    r = oci.run(f"{show(*names)}; for i in {' '.join(LINKS)}; do echo -n $i' '; readlink /dev/$i; done >&2; "
                "echo x > /dev/null && cat /dev/null", rc=0)
    found = parse(r.out)
    for name, number in DEFAULT.items():
        assert found[f"/dev/{name}"][:3] == ("character special file", number, "666")
    assert dict(line.split() for line in r.err.splitlines()) == LINKS


@rows("B48")
def test_devices_of_the_list(rootful):
    r = rootful.run(f"{show('/dev/deep/down/c', '/dev/u', '/dev/b', '/dev/p', '/etc/outside', '/dev/bare')}; "
                    "cat /dev/deep/down/c", devices(
                        node("/dev/deep/down/c", "c", 1, 3, fileMode=0o4640, uid=7, gid=8),
                        node("/dev/u", "u", 10, 200, fileMode=0o20600),
                        node("/dev/b", "b", 7, 4095, fileMode=0o660, gid=5),
                        node("/dev/p", "p", fileMode=0o622), node("/etc/outside", "c", 1, 5),
                        node("/dev/bare", "c", 250, 0xfffff)), rc=0)
    found = parse(r.out)
    assert found == {
        "/dev/deep/down/c": ("character special file", (1, 3), "4640", "7:8"),
        "/dev/u": ("character special file", (10, 200), "600", "0:0"),
        "/dev/b": ("block special file", (7, 4095), "660", "0:5"),
        "/dev/p": ("fifo", (0, 0), "622", "0:0"),
        "/etc/outside": ("character special file", (1, 5), "666", "0:0"),
        "/dev/bare": ("character special file", (250, 0xfffff), "666", "0:0"),
    }


@rows("B48")
def test_devices_where_none_can_be_made(oci):
    """Bound from the host by path or number; FIFOs are made; what the host lacks is named."""
    r = oci.run(show("/dev/null2", "/dev/zero", "/dev/p", "/x/full"), devices(
        node("/dev/null2", "c", 1, 3), node("/dev/zero", "c", 1, 5, fileMode=0o666),
        node("/dev/p", "p", fileMode=0o600), node("/x/full", "c", 1, 7)), rc=None)
    if not makes_nodes(oci) and not os.path.exists("/dev/char/1:3"):
        assert r.rc == 1 and "device /dev/null2" in r.err and "/dev/null2" in r.err, r
        r = oci.run(show("/dev/null", "/dev/zero", "/dev/p"), devices(
            node("/dev/null", "c", 1, 3), node("/dev/zero", "c", 1, 5, fileMode=0o666),
            node("/dev/p", "p", fileMode=0o600)))
    assert r.rc == 0, r
    found = parse(r.out)
    assert found["/dev/zero"][:2] == ("character special file", (1, 5))
    assert found["/dev/p"] == ("fifo", (0, 0), "600", "0:0")


def test_default_devices_can_be_given(rootful):
    """A default device with an owner and mode of its own; written in another way too."""
    found = parse(rootful.run(show("/dev/null", "/dev/zero"), devices(
        node("/dev/null", "c", 1, 3, fileMode=0o600, uid=3, gid=4),
        node("/dev//zero", "c", 1, 5, fileMode=0o640)), rc=0).out)
    assert found["/dev/null"][2:] == ("600", "3:4") and found["/dev/zero"][2:] == ("640", "0:0")


def test_ptmx_is_the_containers(oci):
    """Neither a device of the list nor a file of the image stands for the devpts of the container."""
    def edit(c):
        devices(node("/dev/ptmx", "c", 5, 2))(c)
        c["mounts"] = [m for m in c["mounts"] if not m["destination"].startswith("/dev")]
        c["mounts"].append({"destination": "/dev/pts", "type": "devpts", "source": "devpts",
                            "options": ["newinstance", "ptmxmode=0666"]})
    bundle = oci.bundle("readlink /dev/ptmx; ls /dev", edit)
    (bundle / "rootfs" / "dev" / "ptmx").write_text("image")
    oci._own(bundle)
    r = oci("run", "-b", bundle, oci.name(), rc=0)
    assert r.out.splitlines()[0] == "pts/ptmx" and set(DEFAULT) <= set(r.out.split())


def test_a_bound_dev_is_left_alone(rootful):
    """What the host's /dev holds is the user's: nothing is put into it."""
    mine = rootful.dir / "dev"
    mine.mkdir()

    def edit(c):
        devices(node("/dev/extra", "c", 1, 3))(c)
        c["mounts"] = [m for m in c["mounts"] if not m["destination"].startswith("/dev")]
        c["mounts"].append({"destination": "/dev", "source": str(mine), "options": ["bind"]})
    rootful.run("true", edit, rc=0)
    assert not list(mine.iterdir())


def test_devices_of_the_image(rootful):
    """What the image has at the place of a device stays, as with other runtimes; links too."""
    def edit(c):
        devices(node("/dev/null", "c", 1, 3), node("/etc/link/zero", "c", 1, 5))(c)
        c["mounts"] = [m for m in c["mounts"] if not m["destination"].startswith("/dev")]
    bundle = rootful.bundle(f"{BB} stat -c %F /dev/null /far/zero", edit)
    root = bundle / "rootfs"
    (root / "dev" / "null").write_text("")
    (root / "etc" / "link").symlink_to("/far")
    r = rootful("run", "-b", bundle, rootful.name(), rc=0)
    assert r.out.splitlines() == ["regular empty file", "character special file"]
    assert stat.S_ISCHR((root / "far" / "zero").stat().st_mode)


@pytest.mark.parametrize("name, target", [("dev", "/tmp"), ("dev", "../../../../canary"), ("dev", "/")])
@rows("A10")
def test_dev_behind_a_link(oci, name, target):
    """CVE-2026-41579: an image whose /dev leads elsewhere."""
    canary = oci.dir / "canary"
    canary.mkdir()

    def edit(c):
        c["mounts"] = [m for m in c["mounts"] if not m["destination"].startswith("/dev")]
        devices(node("/dev/extra", "c", 1, 3))(c)
    bundle = oci.bundle("true", edit)
    (bundle / "rootfs" / name).rmdir()
    (bundle / "rootfs" / name).symlink_to(target)
    oci._own(bundle)
    oci.fails("run", "-b", bundle, oci.name(), match="/dev is a symbolic link")
    assert not list(canary.iterdir()) and not list((bundle / "rootfs" / "tmp").iterdir())


def test_console_on_a_read_only_dev(oci):
    def edit(c):
        c["process"]["terminal"] = True
        c["mounts"][1]["options"].append("ro")
    bundle = oci.bundle(f"tty; {BB} stat -c %F /dev/console; touch /dev/x", edit, terminal=True)
    t = oci.pty("run", "-b", bundle, oci.name())
    t.expect("/dev/pts/0")
    t.expect("character special file")
    t.expect("touch: /dev/x: Read-only")
    t.wait()


def test_rules_that_nobody_enforces(rootful):
    """Without cgroups: told, as root of the host could make any node."""
    def edit(c):
        c["linux"]["resources"] = {"devices": [{"allow": False, "access": "rwm"}]}
    assert "linux.resources.devices: not enforced" in rootful.run("true", edit, rc=0).err
    assert rootful.run("true", rc=0).err == ""
