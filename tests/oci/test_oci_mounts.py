"""Mounts of a configuration: every option, every kind of source and target, as root of the host, as
root with a user namespace and as an ordinary user. config.md "Mounts"; row B48."""
import os
import re
import socket
import subprocess

import pytest

from lib import rows

BB = "/bin/busybox "


def mount(destination, source, *options, type=None, **more):
    m = {"destination": destination, "source": str(source), "options": list(options), **more}
    return {**m, "type": type} if type else m


def adds(*mounts, **linux):
    def edit(c):
        c["mounts"] += mounts
        c["linux"].update(linux)
    return edit


def share(oci, name="share"):
    """A directory that the container's root may write to."""
    path = oci.dir / name
    path.mkdir()
    path.chmod(0o777)
    return path


class Space:
    """A mount namespace in which rootful runs: what a test mounts there no other test sees."""

    def __init__(self, oci):
        self.holder = subprocess.Popen(["unshare", "-m", "--propagation", "private", "sh", "-c",
                                        "echo; exec sleep 1000"], stdout=subprocess.PIPE)
        self.holder.stdout.readline()
        self.oci = oci
        oci.prefix = self.prefix = ("nsenter", "-t", str(self.holder.pid), "-m", "--")

    def __call__(self, *argv):
        return subprocess.run([*self.prefix, *map(str, argv)], check=True, capture_output=True, text=True).stdout

    def tmpfs(self, path, *options):
        self("mount", "-t", "tmpfs", "t", path)
        for o in options:
            self("mount", o, path)

    def has(self, path):
        return subprocess.run([*self.prefix, "test", "-e", path], check=False).returncode == 0

    def end(self):
        self.oci.prefix = ()
        self.holder.kill()
        self.holder.wait()
        self.holder.stdout.close()


@pytest.fixture
def space(rootful):
    made = Space(rootful)
    yield made
    made.end()


def info(text):
    """/proc/self/mountinfo by mount point: (root, options, tags, type, super options); the last one
    of a place counts."""
    out = {}
    for line in text.splitlines():
        left, right = line.split(" - ")
        f = left.split()
        out[f[4]] = (f[3], set(f[5].split(",")), f[6:], right.split()[0], set(right.split()[2].split(",")))
    return out


def mountinfo(oci, edit, **kw):
    return info(oci.run("cat /proc/self/mountinfo", edit, rc=0, **kw).out)


@pytest.mark.parametrize("words, has, hasnt", [
    (["ro"], ["ro"], ["rw"]),
    (["ro", "rw"], ["rw"], ["ro"]),
    (["nosuid", "nodev", "noexec"], ["nosuid", "nodev", "noexec"], []),
    (["noatime"], ["noatime"], ["relatime"]),
    (["strictatime"], [], ["noatime", "relatime"]),
    (["noatime", "relatime"], ["relatime"], ["noatime"]),
    (["nodiratime"], ["nodiratime"], []),
    (["nosymfollow"], ["nosymfollow"], []),
    (["rro", "rnosuid", "rnoexec", "rnodev"], ["ro", "nosuid", "noexec", "nodev"], []),
    (["defaults", "", "async", "silent"], ["rw"], ["nosuid"]),
])
@rows("B48")
def test_words_of_a_tmpfs_and_a_bind(oci, words, has, hasnt):
    source = share(oci)
    edit = adds(mount("/t", "t", *words, "size=64k", type="tmpfs"), mount("/b", source, "bind", *words))
    found = mountinfo(oci, edit)
    for place in ("/t", "/b"):
        options = found[place][1]
        # What the mount that the test's directory lies on has already is locked in a user namespace.
        locked = place == "/b" and oci.mode in ("userns", "rootless")
        assert set(has) <= options or (locked and "atime" in str(has)), (place, options)
        assert place == "/b" or not set(hasnt) & options, (place, options)
    assert "size=64k" in found["/t"][4]


@rows("B48")
def test_kinds_of_sources(oci):
    """A directory, a file, a socket; below the bundle, without "bind" in the options but the type;
    over a directory and a file of the image, and where it has nothing."""
    top = share(oci)
    (top / "file").write_text("of the file\n")
    (top / "file").chmod(0o644)
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(top / "sock"))

        def edit(c):
            c["mounts"] += [mount("/new/dir", top, "rbind"), mount("/etc/file", top / "file", "bind"),
                            mount("/run/sock", top / "sock", "bind"),
                            mount("/tmp", "beside", type="bind"),
                            mount("relative/place", top, "bind", "ro")]
        bundle = oci.bundle("cat /new/dir/file /etc/file relative/place/file; ls /tmp; "
                            f"{BB} test -S /run/sock && echo socket", edit)
        (bundle / "beside").mkdir()
        (bundle / "beside" / "here").touch()
        r = oci("run", "-b", bundle, oci.name(), rc=0)
    assert r.out.split() == "of the file of the file of the file here socket".split()
    assert "relative/place" in r.err and "not absolute" in r.err


def test_missing_source(oci):
    oci.run("true", adds(mount("/x", "/no/such", "bind")), rc=1)
    r = oci.run("true", adds(mount("/x", "/no/such", "bind")))
    assert 'mount /x: source "/no/such" does not exist' in r.err
    r = oci.run("true", adds(mount("/x", "x", type="nosuchfs")))
    assert r.rc == 1 and "mount /x" in r.err and "nosuchfs" in r.err


def test_recursion(rootful, space):
    """"ro" is of the top mount alone, "rro" of all; "bind" leaves out what lies below."""
    top = share(rootful)
    (top / "sub").mkdir()
    space.tmpfs(top / "sub")
    edit = adds(mount("/r", top, "rbind", "ro"), mount("/rr", top, "rbind", "rro"),
                mount("/b", top, "bind"), mount("/only", top, "rbind", "rro", "rw"))
    found = mountinfo(rootful, edit)
    assert "ro" in found["/r"][1] and "rw" in found["/r/sub"][1]
    assert "ro" in found["/rr"][1] and "ro" in found["/rr/sub"][1]
    assert "/b/sub" not in found and "ro" in found["/only/sub"][1]


@rows("B48")
def test_links_in_the_image(oci):
    """A target behind links is found inside the root, also when it has to be made there."""
    source = share(oci)
    (source / "f").write_text("bound\n")
    (source / "f").chmod(0o644)
    bundle = oci.bundle("cat /etc/resolv.conf /run/resolve/stub /deep/f /run/lock/f; ls /", adds(
        mount("/etc/resolv.conf", source / "f", "bind"), mount("/deep", source, "bind"),
        mount("/var/lock", source, "bind")))
    root = bundle / "rootfs"
    (root / "etc" / "resolv.conf").symlink_to("../run/resolve/stub")
    (root / "deep").symlink_to("/../../../../really/deep")
    (root / "var").mkdir()
    (root / "var" / "lock").symlink_to("/run/lock")
    (root / "loop").symlink_to("loop")
    oci._own(root)
    r = oci("run", "-b", bundle, oci.name(), rc=0)
    assert r.out.startswith("bound\n" * 4) and "really" in r.out
    assert (root / "really" / "deep").is_dir() and (root / "run" / "resolve" / "stub").is_file()
    c = oci.config(bundle)
    c["mounts"].append(mount("/loop/x", source, "bind"))
    oci.write(bundle, c)
    oci.fails("run", "-b", bundle, oci.name(), match="mount /loop/x")


@pytest.mark.parametrize("name, target, where", [
    ("dev", "/tmp/dev", "/dev"), ("proc", "/tmp", "/proc"), ("sys", "etc", "/sys"),
    ("link", "/proc/sys", "/link"), ("link", "/proc", "/link"), ("link", "dev", "/link/x"),
    ("link", "/sys/kernel", "/link"), ("root", "/", "/root"),
])
def test_links_to_the_kernels_directories(oci, name, target, where):
    """CVE-2019-19921, CVE-2023-27561, CVE-2026-41579: refused, and nothing is changed outside."""
    canary = share(oci, "canary")
    bundle = oci.bundle("true", adds(mount(where, canary, "bind")) if where[1:] not in ("dev", "proc", "sys")
                        else None)
    root = bundle / "rootfs"
    if (root / name).is_dir():
        (root / name).rmdir()
    (root / name).symlink_to(target)
    oci._own(root)
    r = oci.fails("run", "-b", bundle, oci.name())
    assert f"mount {where}" in r.err and ("symbolic link" in r.err or "root itself" in r.err
                                          or "inside /proc" in r.err), r
    assert not list(canary.iterdir())


@pytest.mark.parametrize("mounts, message", [
    ([mount("/proc", "t", type="tmpfs")], "only a proc file system"),
    ([mount("/proc/", "/tmp", "bind")], "only a proc file system"),
    ([mount("/proc/sys", "/tmp", "bind")], "inside /proc"),
    ([mount("/tmp/../proc/self/attr", "t", type="tmpfs")], "inside /proc"),
    ([mount("/proc/sysrq-trigger", "/dev/null", "bind")], "inside /proc"),
    ([mount("/", "t", type="tmpfs")], "the root itself"),
    ([mount("/proc/cpuinfo", "/dev/null", "bind"), mount("/proc/uptime", "/dev/null", "bind")], None),
    ([mount("/proc", "/proc", "rbind")], None),
])
@rows("B48")
def test_rules_below_proc(oci, mounts, message):
    r = oci.run("cat /proc/cpuinfo", adds(*mounts))
    if message:
        assert r.rc == 1 and message in r.err, r
    else:
        assert r.rc == 0, r


def test_masked_and_read_only_paths(oci):
    """What is missing is left out; a file becomes empty, a directory too; links are followed inside."""
    share(oci)

    def edit(c):
        c["linux"]["maskedPaths"] = ["/proc/kcore", "/secret", "/dir", "/link", "/nothing", "/etc/x/y", "/dir"]
        c["linux"]["readonlyPaths"] = ["/proc/sys", "/fixed", "/nothing", "/etc/fixed"]
    bundle = oci.bundle("cat /secret; ls /dir /elsewhere; touch /dir/x; touch /fixed/x; echo x > /etc/fixed; "
                        "echo x > /proc/sys/kernel/domainname; touch /free", edit)
    root = bundle / "rootfs"
    for d in ("dir", "fixed", "elsewhere"):
        (root / d).mkdir()
    (root / "secret").write_text("secret\n")
    (root / "dir" / "hidden").write_text("secret\n")
    (root / "elsewhere" / "hidden").touch()
    (root / "link").symlink_to("/elsewhere")
    (root / "etc" / "fixed").touch()
    oci._own(root)
    r = oci("run", "-b", bundle, oci.name(), rc=0)
    assert "secret" not in r.out and "hidden" not in r.out
    for path in ("/dir/x", "/fixed/x", "/etc/fixed", "/proc/sys/kernel/domainname"):
        assert re.search(f"{path}: Read-only file system", r.err), (path, r)


@rows("B48")
def test_tmpcopyup_and_modes(oci):
    """The content below comes along with "tmpcopyup"; without "mode" a tmpfs has the one below."""
    bundle = oci.bundle(f"{BB} stat -c '%a %n' /up /up/file /mode /made /given; cat /up/file", adds(
        mount("/up", "t", "tmpcopyup", type="tmpfs"), mount("/mode", "t", "size=64k", type="tmpfs"),
        mount("/made", "t", type="tmpfs"), mount("/given", "t", "mode=0710", type="tmpfs")))
    root = bundle / "rootfs"
    for d, mode in (("up", 0o750), ("mode", 0o2711), ("given", 0o777)):
        (root / d).mkdir()
        (root / d).chmod(mode)
    (root / "up" / "file").write_text("copied\n")
    (root / "up" / "file").chmod(0o640)
    oci._own(root)
    (root / "mode").chmod(0o2711) # chown takes the bit
    r = oci("run", "-b", bundle, oci.name(), rc=0)
    assert r.out.splitlines() == ["750 /up", "640 /up/file", "2711 /mode", "1777 /made", "710 /given", "copied"]
    r = oci.run("true", adds(mount("/x", "t", "nonsense", type="tmpfs")))
    assert r.rc == 1 and 'mount /x: unknown tmpfs option "nonsense"' in r.err


def test_remount(oci):
    """Of a mount made before, of data too; a place that is no mount is an error."""
    r = oci.run("touch /t/x; df /t", adds(
        mount("/t", "t", "size=1m", type="tmpfs"), mount("/t", "", "remount", "ro", "size=2m", type="tmpfs")))
    assert "Read-only file system" in r.err
    r = oci.run("true", adds(mount("/etc", "", "bind", "remount", "ro")))
    assert r.rc == 1 and "mount /etc" in r.err


def test_read_only_root_and_dev(oci):
    """A read-only root and /dev still get their mount points, devices and working directory."""
    def edit(c):
        c["root"]["readonly"] = True
        c["process"]["cwd"] = "/work/deep"
        c["mounts"][1]["options"].append("ro")
        c["mounts"] += [mount("/later/made", "t", type="tmpfs"), mount("/ro", "t", "ro", type="tmpfs"),
                        mount("/ro/inner", "t", type="tmpfs")]
    r = oci.run("pwd; touch /x; touch /dev/x; touch /ro/x; touch /ro/inner/x; echo > /dev/null", edit, rc=0)
    assert r.out == "/work/deep\n"
    assert re.findall(r"touch: (\S+): Read-only", r.err) == ["/x", "/dev/x", "/ro/x"]


# --- propagation ---

@pytest.mark.parametrize("root, words, outwards, inwards", [
    ("shared", ["rshared"], True, True), ("rshared", ["shared"], True, True),
    ("shared", ["rslave"], False, True), ("shared", ["rprivate"], False, False), ("shared", [], False, False),
    (None, ["rshared"], False, True), (None, ["rslave"], False, True), (None, [], False, False),
    ("rslave", ["rslave"], False, True), ("rslave", ["rslave", "rshared"], False, True),
])
@rows("B48")
def test_propagation_of_binds(rootful, space, root, words, outwards, inwards):
    top = share(rootful)
    space.tmpfs(top, "--make-shared")
    space("mkdir", top / "x", top / "y")

    def edit(c):
        c["mounts"].append(mount("/v", top, "rbind", *words))
        if root:
            c["linux"]["rootfsPropagation"] = root
        for s in c["process"]["capabilities"].values():
            s.append("CAP_SYS_ADMIN")
    bundle = rootful.bundle("mount -t tmpfs inner /v/x && touch /v/x/in && echo up; while [ ! -e /tmp/end ]; do "
                            "sleep 0.02; done; ls /v/y", edit)
    p = rootful.spawn("run", "-b", bundle, rootful.name())
    assert p.stdout.readline() == "up\n"
    assert space.has(top / "x" / "in") == outwards
    space.tmpfs(top / "y")
    space("touch", top / "y" / "late")
    (bundle / "rootfs" / "tmp" / "end").touch()
    out, err = p.communicate(timeout=60)
    assert p.returncode == 0 and ("late" in out) == inwards, out + err


@pytest.mark.parametrize("value, tags", [
    ("private", []), ("rprivate", []), ("shared", ["shared"]), ("rshared", ["shared"]),
    ("unbindable", ["unbindable"]), ("runbindable", ["unbindable"]), ("slave", None), ("rslave", None),
])
@rows("B48")
def test_propagation_of_the_root(oci, value, tags):
    found = mountinfo(oci, adds(rootfsPropagation=value))
    kinds = [t.split(":")[0] for t in found["/"][2]]
    if tags is None:
        assert not {"shared", "unbindable"} & set(kinds)
    else:
        assert [k for k in kinds if k != "master"] == tags
    assert (value[0] == "r" and "shared" in value) == bool([t for t in found["/dev"][2] if "shared" in t])


def test_nothing_of_it_shows_outside(rootful, space):
    """Not even where the root lies on a shared mount: the host's table is the same all the time."""
    top = share(rootful)
    space.tmpfs(top, "--make-shared")
    bundle = rootful.bundle("sleep 60", adds(rootfsPropagation="shared"))
    space("cp", "-a", bundle / "rootfs", top)
    c = rootful.config(bundle)
    c["root"]["path"] = str(top / "rootfs")
    rootful.write(bundle, c)
    before = space("cat", "/proc/self/mountinfo")
    name = rootful.name()
    rootful.ok("create", "-b", bundle, name)
    rootful.ok("start", name)
    assert space("cat", "/proc/self/mountinfo") == before
    rootful.ok("delete", "-f", name)
    assert space("cat", "/proc/self/mountinfo") == before


# --- ids ---

def owners(oci, edit, extra=""):
    bundle = oci.bundle(f"{BB} stat -c '%u:%g' /v/f0 /v/f5; {extra}", edit)
    (bundle / "rootfs" / "v").mkdir()
    return oci("run", "-b", bundle, oci.name(), rc=0).out.split()


@pytest.fixture(name="ids")
def owned_files(rootful):
    path = share(rootful, "ids")
    for i in (0, 5):
        (path / f"f{i}").touch()
        os.chown(path / f"f{i}", i, i)
    return path


def maps(host_id, size=1000):
    return {k: [{"containerID": 0, "hostID": host_id, "size": size}] for k in ("uidMappings", "gidMappings")}


@rows("B48")
def test_mapped_ids(rootful, ids):
    assert owners(rootful, adds(mount("/v", ids, "bind", **maps(70000)))) == ["70000:70000", "70005:70005"]
    assert owners(rootful, adds(mount("/v", ids, "bind", "idmap", **maps(70000)))) == ["70000:70000", "70005:70005"]
    both = "idmap=uids=0-1000-3#5-77-1;gids=0-2000-10"
    assert owners(rootful, adds(mount("/v", ids, "bind", both))) == ["1000:2000", "77:2005"]
    r = rootful.run("true", adds(mount("/v", ids, "bind", "idmap=uids=1-2")))
    assert r.rc == 1 and 'option idmap: "1-2"' in r.err
    r = rootful.run("true", adds(mount("/v", "/proc", "bind", **maps(70000))))
    assert r.rc == 1 and "mount /v: map ids" in r.err and "maps no ids of that file system" in r.err
    r = rootful.run("true", adds(mount("/v", ids, "bind", "idmap")))
    assert r.rc == 1 and "idmap needs uidMappings" in r.err


def test_mapped_ids_below(rootful, ids, space):
    """"idmap" is of the top mount, "ridmap" of all of them."""
    (ids / "sub").mkdir()
    space.tmpfs(ids / "sub")
    show = BB + "stat -c %u /v/sub"
    assert owners(rootful, adds(mount("/v", ids, "rbind", "idmap", **maps(9))), show)[2] == "0"
    assert owners(rootful, adds(mount("/v", ids, "rbind", "ridmap", **maps(9))), show)[2] == "9"


@rows("B48")
def test_mapped_ids_with_a_user_namespace(rootful, ids):
    """The container's own map is the default: its root is the owner of root's files."""
    first = rootful.subuid[0]

    def userns(c):
        c["linux"]["namespaces"].append({"type": "user"})
        c["linux"].update(maps(first, 65536))

    def edit(*options, **more):
        def change(c):
            userns(c)
            c["mounts"].append(mount("/v", ids, "bind", *options, **more))
        return change
    assert owners(rootful, edit()) == ["65534:65534", "65534:65534"]
    assert owners(rootful, edit("idmap"), "touch /v/new") == ["0:0", "5:5"]
    assert (ids / "new").stat().st_uid == 0
    assert owners(rootful, edit("idmap", **maps(first, 65536))) == ["0:0", "5:5"]
    assert owners(rootful, edit(**maps(first + 10))) == ["10:10", "15:15"]
    assert owners(rootful, edit("idmap=uids=@0-3-10;gids=@0-4-10")) == ["3:4", "8:9"]


def test_mapped_ids_without_root(rootless):
    r = rootless.run("true", adds(mount("/v", share(rootless), "bind", "idmap")))
    assert r.rc == 1 and "mount /v: map ids" in r.err and "leave \"idmap\" out" in r.err


# --- kernel file systems ---

CGROUP = {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
          "options": ["nosuid", "noexec", "nodev", "relatime"]}


def without_cgroupns(c):
    c["linux"]["namespaces"] = [n for n in c["linux"]["namespaces"] if n["type"] != "cgroup"]


@rows("B48")
def test_cgroup_mount(oci):
    """With a namespace of its own it is the container's root; "ro" is heeded."""
    def edit(c):
        c["mounts"].append({**CGROUP, "options": CGROUP["options"] + ["ro"]})
    found = mountinfo(oci, edit)["/sys/fs/cgroup"]
    assert found[3] == "cgroup2" and found[0] == "/" and "ro" in found[1] and "nosuid" in found[1]


def test_cgroup_mount_without_a_namespace(oci):
    """Never more than the container's own group, even when what is mounted is taken away."""
    def edit(c):
        without_cgroupns(c)
        c["mounts"].append(CGROUP)
        for s in c["process"]["capabilities"].values():
            s.append("CAP_SYS_ADMIN")
    r = oci.run(f"cat /proc/self/mountinfo; {BB} tail -n1 /proc/self/cgroup; {BB} umount /sys/fs/cgroup; "
                "ls /sys/fs/cgroup", edit, rc=0)
    found = info("\n".join(line for line in r.out.splitlines() if " - " in line))["/sys/fs/cgroup"]
    if oci.mode == "cgroup2":
        assert found[3] == "cgroup2" and found[0] not in ("/", "/..")
        assert f"0::{found[0]}" in r.out
    else:
        assert found[3] == "tmpfs" and "ro" in found[1]
    assert "cgroup.procs" not in r.out.splitlines()


def test_kernel_file_systems(oci):
    def edit(c):
        c["mounts"] += [{"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
                         "options": ["nosuid", "noexec", "nodev"]}]
    found = mountinfo(oci, edit)
    assert found["/proc"][3] == "proc" and found["/dev/mqueue"][3] == "mqueue"
    assert found["/sys"][3] == "sysfs" and "ro" in found["/sys"][1]
    assert found["/dev/pts"][3] == "devpts" and found["/dev/shm"][3] == "tmpfs"


def test_host_namespaces(oci):
    """Without network, pid and IPC namespaces what shows of them is the host's."""
    def edit(c):
        keep = ("mount", "user", "uts")
        c["linux"]["namespaces"] = [n for n in c["linux"]["namespaces"] if n["type"] in keep]
        c["mounts"] += [{"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue"}]
    r = oci.run("for n in net pid ipc; do readlink /proc/self/ns/$n; done; ls /sys/class/net", edit, rc=0)
    here = [os.readlink(f"/proc/self/ns/{n}") for n in ("net", "pid", "ipc")]
    assert r.out.split()[:3] == here and "lo" in r.out.split()


@rows("B48")
def test_no_pivot(rootful):
    """Moved over "/": the container is the same, and the host's proc cannot be had again."""
    def edit(c):
        for s in c["process"]["capabilities"].values():
            s += ["CAP_SYS_ADMIN", "CAP_SYS_CHROOT"]
    r = rootful.run("ls /; echo; cat /proc/self/mountinfo", edit, options=("--no-pivot",), rc=0)
    names, table = r.out.split("\n\n")
    assert set(names.split()) == {"bin", "dev", "etc", "proc", "sys", "tmp"}
    found = info(table)
    assert found["/"][0].endswith("/rootfs") and found["/proc"][3] == "proc"
    assert not [place for place in found if place.startswith("/tmp")]


@rows("B48")
def test_hooks_find_the_root(oci):
    """createContainer hooks see the container's mounts at the bundle's root, and may still write."""
    bundle = oci.bundle("cat /etc/hooked /t/hooked; cat /masked/file; ls /masked", adds(
        mount("/t", "t", type="tmpfs"), maskedPaths=["/masked"]))
    (bundle / "rootfs" / "masked").mkdir()
    c = oci.config(bundle)
    script = ("cat >/dev/null; cd \"$1\" && echo in-etc > etc/hooked && echo in-tmpfs > t/hooked && "
              "echo x > masked/file")
    c["hooks"] = {"createContainer": [{"path": "/bin/sh", "args": ["sh", "-c", script, "sh",
                                                                   str(bundle / "rootfs")]}]}
    c["root"]["readonly"] = True
    oci.write(bundle, c)
    oci._own(bundle)
    r = oci("run", "-b", bundle, oci.name())
    assert r.out == "in-etc\nin-tmpfs\n", r
    assert not (bundle / "rootfs" / "t" / "hooked").exists()
