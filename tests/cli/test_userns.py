"""--userns, --uidmap and --gidmap; users without subordinate ids; root; rootlet in a user namespace."""
import os
import pwd
import re
import subprocess

import pytest

from lib import host, rows

MAPS = "cat /proc/self/uid_map; echo; cat /proc/self/gid_map; echo; cat /proc/self/setgroups; id -u; id -g"


def maps(rootlet, *flags, script=MAPS, **kw):
    """(uid map, gid map, setgroups, uid, gid) inside."""
    out = rootlet.ok("run", "--rm", *flags, rootlet.image(), "sh", "-c", script, **kw).out
    uid, gid, rest = out.split("\n\n")
    lines = [[tuple(map(int, line.split())) for line in m.strip().splitlines()] for m in (uid, gid)]
    setgroups, u, g = rest.split()
    return lines[0], lines[1], setgroups, int(u), int(g)


@rows("A14", "B24", "B25")
def test_default(rootlet):
    u = rootlet.user
    uid, gid, setgroups, inside, _ = maps(rootlet)
    assert uid == [(0, u.uid, 1), (1, u.subuid[0], u.subuid[1])]
    assert gid == [(0, u.gid, 1), (1, u.subgid[0], u.subgid[1])]
    assert (setgroups, inside) == ("allow", 0)
    out = rootlet.ok("run", "--rm", rootlet.image(), "su", "nobody", "-s", "/bin/sh", "-c", "id -u").text
    assert out == "65534"


def test_keep_id_has_a_name(rootlet):
    u, image = rootlet.user, rootlet.image()
    keep = ["run", "--rm", "--userns", "keep-id"]
    assert rootlet.ok(*keep, image, "whoami").text == u.name
    assert f"{u.name}:x:{u.uid}:" in rootlet.ok(*keep, image, "cat", "/etc/passwd").out
    # Neither a name that the image has nor a file that the user mounts there is touched.
    taken = rootlet.ok("run", "--rm", "--userns", "keep-id:uid=65534", image, "cat", "/etc/passwd").out
    assert u.name not in taken
    own = u.tmp / "own"
    own.write_text("other:x:77:77::/:/bin/sh\n")
    own.chmod(0o666)
    rootlet.ok(*keep, "-v", f"{own}:/etc/passwd", image, "true")
    assert own.read_text() == "other:x:77:77::/:/bin/sh\n"
    own.unlink()
    # Without keep-id the image's file is what it was.
    assert u.name not in rootlet.ok("run", "--rm", image, "cat", "/etc/passwd").out


def test_keep_id(rootlet):
    u = rootlet.user
    uid, gid, _, inside, group = maps(rootlet, "--userns", "keep-id")
    assert (u.uid, u.uid) == (inside, next(o for i, o, n in uid if i == inside and n == 1))
    assert group == u.gid and any(i == u.gid and o == u.gid for i, o, n in gid)
    uid, gid, _, inside, group = maps(rootlet, "--userns", "keep-id:uid=200,gid=300")
    assert (inside, group) == (200, 300)
    assert (200, u.uid, 1) in uid and (300, u.gid, 1) in gid
    tmp = u.tmp / "k"
    rootlet.shell(f"mkdir {tmp}")
    rootlet.ok("run", "--rm", "--userns", "keep-id", "-v", f"{tmp}:/w", rootlet.image(), "touch", "/w/f")
    assert os.stat(tmp / "f").st_uid == u.uid
    rootlet.shell(f"rm -r {tmp}")


@pytest.mark.parametrize("mode", ["auto", "isolated", "nomap"])
def test_the_caller_is_not_in_the_container(rootlet, mode):
    u = rootlet.user
    uid, gid, _, inside, _ = maps(rootlet, "--userns", mode)
    assert all(not o <= u.uid < o + n for _, o, n in uid), uid
    assert all(not o <= u.gid < o + n for _, o, n in gid), gid
    assert inside == 0 and uid[0][0] == 0
    tmp = u.tmp / "closed"
    rootlet.shell(f"mkdir -m 700 {tmp} && echo x > {tmp}/f")
    r = rootlet("run", "--rm", "--userns", mode, "-v", f"{tmp}:/w", rootlet.image(), "cat", "/w/f")
    assert r.rc != 0 and r.out == "", "the caller's files are not readable even for root inside"
    rootlet.shell(f"rm -r {tmp}")


def test_host_mode_gives_nothing_to_an_ordinary_user(rootlet):
    """--userns host: no mapping of other ids than the caller's; without root that is single-id or refused."""
    r = rootlet("run", "--rm", "--userns", "host", rootlet.image(), "id", "-u")
    assert r.rc in (0, 125)
    if r.rc:
        assert "host" in r.err and r.err.startswith("Error: ")


def test_explicit_maps(rootlet):
    u = rootlet.user
    sub = u.subuid[0]
    uid, gid, *_ = maps(rootlet, "--uidmap", f"0:{sub + 10}:65500", "--gidmap", f"0:{u.subgid[0] + 20}:65510")
    assert uid == [(0, sub + 10, 65500)] and gid == [(0, u.subgid[0] + 20, 65510)]
    r = rootlet.fails("run", "--rm", "--uidmap", f"0:{sub}:5", "--gidmap", f"0:{sub}:5", rootlet.image(), "true",
                      match="not in the container's id map")
    assert "hint: " in r.err


@pytest.mark.parametrize("flags", [["--uidmap", "0:0:1"], ["--uidmap", "0:99999999:10"], ["--uidmap", "x"],
                                   ["--uidmap", "0:1:0"], ["--uidmap", "0:4294967295:2"], ["--userns", "keep-id:uid=x"],
                                   ["--userns", "keep-id:nosuch=1"], ["--userns", "container"],
                                   ["--userns", "keep-id", "--uidmap", "0:1:1"]])
def test_bad_maps(rootlet, flags):
    r = rootlet("run", "--rm", *flags, rootlet.image(), "id", "-u")
    assert r.rc == 125 and r.err.startswith("Error: "), r
    assert rootlet.ok("ps", "-aq").out == ""


@pytest.fixture
def without_subids(rootlet):
    """rootlet's user without lines in subuid and subgid, for this test only."""
    if not host.is_root():
        pytest.skip("needs a suite that was started as root")
    user = rootlet.user
    ranges = [f"{first}-{first + count - 1}" for first, count in (user.subuid, user.subgid)]

    def usermod(what):  # which replaces the files: others read them at any time
        with host.locked(host.LOCK):
            host.run("usermod", f"--{what}-subuids", ranges[0], f"--{what}-subgids", ranges[1], user.name)
    usermod("del")
    yield rootlet
    usermod("add")


@rows("B25")
def test_single_id(without_subids):
    """No subordinate ids: one id, setgroups denied, a notice that names the fix."""
    rootlet = without_subids
    image = rootlet.image()
    r = rootlet.ok("run", "--rm", image, "sh", "-c", MAPS)
    assert re.search(r"^ +0 +%d +1$" % rootlet.user.uid, r.out, re.M)
    assert "deny" in r.out
    assert "subuid" in r.err and r.err.startswith("rootlet: "), r
    assert "subuid" not in rootlet.ok("run", "--rm", "-q", image, "true").err
    assert rootlet.ok("run", "--rm", image, "sh", "-c", "echo x > /f && cat /f; hostname >/dev/null").text == "x"
    rootlet.ok("run", "-d", "--name", "c", image, "sleep", "60")
    assert rootlet.ok("exec", "c", "id", "-u").text == "0"
    t = rootlet.pty("run", "--rm", "-it", image, "tty")
    t.expect("/dev/pts/0")
    assert t.wait() == 0
    rootlet.fails("run", "--rm", "-u", "1000", image, "true", rc=126, match="1000")
    rootlet.fails("run", "--rm", "--userns", "auto", image, "true", match="subuid")


def as_root(user, script, prefix=()):
    env = {**user.environment(), "ROOTLET_CGROUPS": "disabled"}
    return subprocess.run([*prefix, "/bin/sh", "-c", script], env=env, capture_output=True, text=True,
                          timeout=60, check=False, cwd="/")


@pytest.mark.root
def test_as_root(rootlet):
    """Root has a user namespace of its own kind too: uid 0 inside is not the host's."""
    archive, base = rootlet.images.path("busybox"), rootlet.user.base
    root, run = base / "rr", base / "rx"
    env = f"export ROOTLET_ROOT={root} ROOTLET_RUNROOT={run} HOME={base} XDG_RUNTIME_DIR={base}; "
    r = as_root(rootlet.user, env + f"rootlet load -q -i {archive} && rootlet run --rm localhost/busybox sh -c "
                "'id -u; readlink /proc/self/ns/user; cat /proc/self/uid_map' && rootlet run -d --name c localhost/busybox sleep 60"
                " >/dev/null && rootlet exec c id -u && rootlet rm -f c && rootlet rmi -f localhost/busybox")
    assert r.returncode == 0, r
    lines = r.stdout.split("\n")[1:]
    assert lines[0] == "0"
    assert lines[1] != os.readlink("/proc/self/ns/user"), "its own user namespace, as everybody's"
    subprocess.run(["rm", "-rf", str(root), str(run)], check=True)


def test_nested_in_a_user_namespace(rootlet):
    """rootlet as the root of `unshare -Ur`, with a store of its own: one id, and it says so."""
    archive = rootlet.images.path("busybox")
    env = {"ROOTLET_ROOT": rootlet.user.tmp / "n", "ROOTLET_RUNROOT": rootlet.user.runtime / "n"}
    r = rootlet.shell(f"unshare -Ur sh -c 'rootlet load -q -i {archive} && rootlet run --rm localhost/busybox "
                      "sh -c \"id -u; echo \\$\\$; echo x > /f; cat /proc/self/uid_map\"'; rm -rf $ROOTLET_ROOT $ROOTLET_RUNROOT", env=env)
    assert r.out.endswith("0\n1\n         0          0          1\n"), r


def test_a_store_of_other_maps_is_named(rootlet):
    """The same store without its ids: an error that says so, not a half-made container."""
    image = rootlet.image()
    r = rootlet.shell(f"unshare -Ur rootlet run --rm {image} true", rc=125)
    assert "other ids" in r.err, r
    assert rootlet.ok("ps", "-aq").out == ""


@pytest.mark.root
def test_home_of_the_user_named_in_passwd_is_not_needed(rootlet):
    assert pwd.getpwnam(rootlet.user.name).pw_dir != str(rootlet.user.home)
    r = rootlet("run", "--rm", rootlet.image(), "true", env={"HOME": None})
    assert r.rc == 0, r


def test_namespaces_of_another_container(rootlet):
    """--pid, --ipc, --uts and --network container:NAME, each alone and all at once."""
    image = rootlet.image()
    rootlet.ok("run", "-d", "--name", "c", "--hostname", "first", image, "sleep", "47")
    links = dict(zip(("pid", "ipc", "uts", "net"), rootlet.ok(
        "exec", "c", "sh", "-c", "for n in pid ipc uts net; do readlink /proc/self/ns/$n; done").out.split()))
    for flag, ns in (("--pid", "pid"), ("--ipc", "ipc"), ("--uts", "uts"), ("--network", "net")):
        r = rootlet.ok("run", "--rm", flag, "container:c", image, "readlink", f"/proc/self/ns/{ns}")
        assert r.text == links[ns], flag
    r = rootlet.ok("run", "--rm", *(w for f in ("--pid", "--ipc", "--uts", "--network") for w in (f, "container:c")), image,
                   "sh", "-c", "ps | grep -c '[s]leep 47'; hostname; ls /sys/class/net; cat /proc/self/uid_map")
    assert r.out.startswith("1\nfirst\nlo\n") and str(rootlet.user.uid) in r.out
    rootlet.ok("stop", "-t", "0", "c")
    rootlet.fails("run", "--rm", "--pid", "container:c", image, "true", match="not running")


def test_ids_of_another_container(rootlet):
    """Who joins one that has ids of its own has the same ones, unless others were asked for, which cannot be."""
    image = rootlet.image()
    for mode, other in (("auto", "host"), ("keep-id", "auto")):
        rootlet.ok("run", "-d", "--name", "c", "--userns", mode, image, "sleep", "1000")
        want = rootlet.ok("exec", "c", "cat", "/proc/self/uid_map").out
        for flag in ("--network", "--ipc"):
            assert rootlet.ok("run", "--rm", flag, "container:c", image, "cat", "/proc/self/uid_map").out == want
        r = rootlet.fails("run", "--rm", "--userns", other, "--network", "container:c", image, "true",
                          match="--network: the other container has other ids than --userns asks for")
        assert "hint: without it" in r.err
        rootlet.ok("rm", "-f", "-t", "0", "c")
    assert rootlet.ok("ps", "-aq").out == ""


def test_namespaces_of_the_host(rootlet):
    image = rootlet.image()
    out = rootlet.ok("run", "--rm", "--uts", "host", "--network", "host", "--ipc", "host", "--cgroupns", "host", image, "sh", "-c",
                     "for n in uts net ipc cgroup; do readlink /proc/self/ns/$n; done; hostname").out.split()
    assert out[:4] == [os.readlink(f"/proc/self/ns/{n}") for n in ("uts", "net", "ipc", "cgroup")]
    assert out[4] == os.uname().nodename
    r = rootlet("run", "--rm", "--pid", "host", image, "sh", "-c", "test -d /proc/%d && echo seen" % os.getpid())
    assert r.text == "seen", r
    rootlet.fails("run", "--rm", "--network", "ns:/proc/self/ns/net", image, "true", match="namespace")
