"""A real distribution in a container: Debian's packages, users, set-user-ID programs, file
capabilities. The tree is made by mmdebstrap and kept between runs (lib/images.py)."""
import io
import os
import pathlib
import shutil
import tarfile

import pytest

from lib import host, rows

# The package that the first container makes, for all others.
CONTROL = """Package: greeter
Version: 1.0
Architecture: all
Maintainer: Nobody <nobody@example.org>
Description: a package made on the spot
"""
POSTINST = """#!/bin/sh
set -e
adduser --system --group --home /var/lib/greeter greeter
chown greeter:greeter /usr/share/greeter
echo "postinst $1 as $(id -u)"
"""
PRERM = "#!/bin/sh\necho \"prerm $1\"\n"
BUILD = """set -e
mkdir -p /p/DEBIAN /p/usr/bin /p/usr/share/greeter
cp /in/control /p/DEBIAN/; install -m 755 /in/postinst /in/prerm /p/DEBIAN/
printf '#!/bin/sh\\necho greetings\\n' > /p/usr/bin/greet; chmod 755 /p/usr/bin/greet
ln /p/usr/bin/greet /p/usr/bin/greet-too
dpkg-deb --root-owner-group -b /p /out/greeter.deb
"""


@pytest.fixture(scope="module")
def debian(module_rootlet):
    module_rootlet.image("debian")
    return module_rootlet


@pytest.fixture(scope="module")
def deb(debian):
    """A directory with a package made inside: greeter.deb, and sources of a setuid program."""
    top = debian.user.home / "packages"
    top.mkdir()
    for name, text in (("control", CONTROL), ("postinst", POSTINST), ("prerm", PRERM)):
        (top / name).write_text(text)
    if debian.user.made:
        host.run("chown", "-R", f"{debian.user.uid}:{debian.user.gid}", str(top))
    debian.ok("run", "--rm", "-v", f"{top}:/in:ro", "-v", f"{top}:/out", debian.image("debian"), "sh", "-c",
              BUILD)
    assert os.stat(top / "greeter.deb").st_uid == debian.user.uid
    yield top
    shutil.rmtree(top)


def bash(rootlet, script, *flags, rc=0, **kw):
    return rootlet("run", "--rm", *flags, rootlet.image("debian"), "bash", "-c", script, rc=rc,
                   timeout=120, **kw)


MAPS = [(), ("--userns", "isolated"), ("--userns", "keep-id", "--user", "0"),
        ("--security-profile", "hardened")]
IDS = ["default", "isolated", "keep-id", "hardened"]


@rows("A26", "B1")
@pytest.mark.parametrize("flags", MAPS, ids=IDS)
def test_dpkg_with_maintainer_scripts(debian, deb, flags):
    r = bash(debian, "set -e; dpkg -i /in/greeter.deb; greet; greet-too; stat -c '%h %U' /usr/bin/greet;"
             "stat -c %U:%G /usr/share/greeter /var/lib/greeter; dpkg -r greeter; ! test -e /usr/bin/greet",
             "-v", f"{deb}:/in:ro", *flags)
    for text in ("postinst configure as 0", "greetings\ngreetings\n2 root\n", "prerm remove",
                 "greeter:greeter\ngreeter:greeter\n"):
        assert text in r.out, r


@rows("A26", "B1")
@pytest.mark.parametrize("flags", MAPS, ids=IDS)
def test_apt_get_from_a_local_repository(debian, deb, flags):
    """apt drops to the user _apt for what it fetches: setgroups, setresuid, seteuid."""
    script = r"""set -e
        apt-get --version | head -1
        mkdir -m 755 /repo; cp /in/greeter.deb /repo/greeter_1.0_all.deb; cd /repo
        { sed -n '1,$p' /in/control; printf 'Filename: ./greeter_1.0_all.deb\nSize: %s\nSHA256: %s\n\n' \
          "$(stat -c %s *.deb)" "$(sha256sum *.deb | cut -d' ' -f1)"; } > Packages
        echo 'deb [trusted=yes] file:/repo ./' > /etc/apt/sources.list
        rm -f /etc/apt/sources.list.d/* /etc/apt/apt.conf.d/*mirror*
        apt-get update -q
        apt-cache policy greeter | sed -n 3p
        apt-get install -y -q greeter
        greet; id -un greeter; apt-get purge -y -q greeter; apt-get check"""
    r = bash(debian, script, "-v", f"{deb}:/in:ro", "-e", "DEBIAN_FRONTEND=noninteractive", *flags)
    assert "Candidate: 1.0" in r.out and "postinst configure" in r.out and "greetings\ngreeter\n" in r.out
    assert "\nW: " not in r.err and "\nE: " not in r.err


@rows("B25", "A18")
@pytest.mark.parametrize("flags", MAPS, ids=IDS)
def test_users_and_su(debian, flags):
    script = """set -e
        adduser --disabled-password --gecos '' --quiet ann; adduser --quiet ann audio
        echo ann:secret | chpasswd
        su ann -c 'id; echo $HOME; grep -E "^Cap(Eff|Prm)" /proc/self/status'
        su - ann -c 'echo > mine && stat -c %U mine; sh -c "echo no > /etc/x" 2>&1'  || true
        su nobody -s /bin/sh -c 'id -un'
        touch /owned; chown ann:audio /owned; stat -c '%U:%G' /owned; chgrp ann /owned; deluser --quiet ann"""
    r = bash(debian, script, *flags)
    assert "uid=1000(ann) gid=1000(ann) groups=1000(ann),29(audio)" in r.out
    assert "CapPrm:\t0000000000000000\nCapEff:\t0000000000000000" in r.out
    assert "/home/ann\n" in r.out and "\nann\n" in r.out and "cannot create /etc/x: Permission denied" in r.out
    assert r.out.endswith("nobody\nann:audio\n")


@rows("A18", "B25")
@pytest.mark.parametrize("flags", MAPS, ids=IDS)
def test_set_user_id_programs(debian, flags):
    """The bit is in the image, works for an ordinary user, and not with no-new-privileges."""
    script = """stat -c '%A %U' /usr/bin/su /usr/bin/passwd
        cp /usr/bin/id /usr/local/bin/i; chmod 6755 /usr/local/bin/i
        setpriv --reuid 1000 --regid 1000 --clear-groups /usr/local/bin/i"""
    r = bash(debian, script, *flags)
    assert r.out.count("-rwsr-xr-x root") == 2
    assert "euid=0(root) egid=0(root)" in r.out
    r = bash(debian, script, "--security-opt", "no-new-privileges", *flags)
    assert "euid" not in r.out and "uid=1000 gid=1000 groups=1000" in r.out


@rows("A18", "A29")
@pytest.mark.parametrize("userns", [(), ("--userns", "isolated"), ("--userns", "keep-id", "--user", "0")],
                         ids=["default", "isolated", "keep-id"])
def test_file_capabilities(debian, userns):
    """Of the image (ping) and set inside; effective for an ordinary user when the container may."""
    ping = "setpriv --reuid 1000 --clear-groups ping -q -c 1 127.0.0.1"
    r = bash(debian, f"getcap /usr/bin/ping; {ping}", "--cap-add", "NET_RAW", *userns)
    assert "/usr/bin/ping cap_net_raw=ep" in r.out and " 0% packet loss" in r.out
    bash(debian, ping, *userns, rc=126)
    script = """set -e
        cp /bin/grep /usr/local/bin/g; setcap cap_net_bind_service=ep /usr/local/bin/g
        getcap /usr/local/bin/g
        su nobody -s /bin/sh -c 'g ^CapEff /proc/self/status'"""
    r = bash(debian, script, *userns)
    assert "cap_net_bind_service=ep" in r.out and "CapEff:\t0000000000000400" in r.out
    r = bash(debian, script, "--security-opt", "no-new-privileges", *userns)
    assert "CapEff:\t0000000000000000" in r.out


@pytest.fixture(scope="module")
def capable(debian):
    """An image whose layer, made outside, has a program with a capability of version 2."""
    tree = pathlib.Path(debian.user.home / "capable.tar")
    busybox = pathlib.Path("/bin/busybox").read_bytes()
    with tarfile.open(tree, "w", format=tarfile.PAX_FORMAT) as t:
        for name, mode, caps in (("bin/sh", 0o755, None), ("bin/cat", 0o755, 1 << 10),
                                 ("bin/setuidgid", 0o755, None)):
            info = tarfile.TarInfo(name)
            info.mode, info.size = mode, len(busybox)
            if caps:
                value = (0x02000001).to_bytes(4, "little") + caps.to_bytes(4, "little") + bytes(12)
                info.pax_headers = {"SCHILY.xattr.security.capability":
                                    value.decode("utf-8", "surrogateescape")}
            t.addfile(info, io.BytesIO(busybox))
        info = tarfile.TarInfo("etc/passwd")
        data = b"root:x:0:0::/:/bin/sh\nann:x:1000:1000::/:/bin/sh\n"
        info.size = len(data)
        t.addfile(info, io.BytesIO(data))
    debian.ok("import", "-q", tree, "capable")
    tree.unlink()
    return "localhost/capable"


@rows("A18", "A35")
@pytest.mark.parametrize("userns", [(), ("--userns", "isolated"), ("--userns", "nomap")],
                         ids=["default", "isolated", "nomap"])
def test_file_capability_made_outside(debian, capable, userns):
    """cat has cap_net_bind_service=ep: an ordinary user who runs it, but only there."""
    flags = ("--user", "1000", *userns)
    r = debian.ok("run", "--rm", *flags, "--security-opt", "no-new-privileges=false", capable, "cat", "/proc/self/status")
    assert "CapEff:\t0000000000000400" in r.out
    # An ordinary user has no_new_privs unless asked otherwise: what was permitted to the process that
    # started this one must not count.
    r = debian.ok("run", "--rm", *flags, capable, "cat", "/proc/self/status")
    assert "NoNewPrivs:\t1" in r.out
    assert "CapPrm:\t0000000000000000\nCapEff:\t0000000000000000" in r.out
    debian.fails("run", "--rm", "--cap-drop", "NET_BIND_SERVICE", *flags, capable, "cat",
                 "/proc/self/status", rc=126)


@rows("A18")
def test_an_ordinary_user_opens_nothing_of_root(debian):
    """Not even the program itself, which is opened while ids and capabilities change."""
    script = "cp /bin/id /usr/local/bin/closed; chmod 700 /usr/local/bin/closed; id nobody; sleep 100"
    name = debian.ok("run", "-d", debian.image("debian"), "bash", "-c", script).text
    debian.wait_for(lambda: "uid=" in debian.ok("logs", name).out, what="the program's copy")
    assert debian.ok("exec", name, "closed", "-u").text == "0"
    debian.fails("exec", "-u", "nobody", name, "/usr/local/bin/closed", rc=126)
    debian.ok("rm", "-f", "-t", "0", name)


@rows("A35")
def test_hard_links_and_special_files(debian):
    """perl's names are one file in the package; links, fifos and sockets can be made."""
    script = r"""set -e
        cd /tmp; echo a > a; ln a b; ln -s a c; stat -c %h b; mkfifo f; (cat f & echo through > f; wait)
        find /usr/bin -samefile /usr/bin/perl | sort | tr '\n' ' '; echo
        truncate -s 1G sparse; [ "$(du -k sparse | cut -f1)" -lt 100 ]
        mknod n c 1 3 2>&1 || echo no device"""
    r = bash(debian, script)
    assert r.out.startswith("2\nthrough\n") and r.out.endswith("no device\n")
    names = r.out.splitlines()[2].split()
    assert len(names) == 2 and names[0] == "/usr/bin/perl" and names[1].startswith("/usr/bin/perl5.")


@rows("A17")
def test_dev_and_locale(debian):
    r = bash(debian, "ls -la /dev; locale -a; LC_ALL=C.UTF-8 bash -c 'x=äö; echo ${#x}'; ls -l /dev/fd /dev/pts")
    assert "ls:" not in r.err
    for name in ("null", "zero", "full", "random", "urandom", "tty"):
        assert f" {name}\n" in r.out
    for link in ("fd -> /proc/self/fd", "stdin -> ", "stdout -> ", "stderr -> ", "ptmx -> pts/ptmx"):
        assert link in r.out
    assert "C.utf8\nPOSIX\n2\n" in r.out
    # Nothing of the host's disks.
    assert not [line for line in r.out.splitlines() if line.startswith("b")]


@rows("B46")
def test_programs_on_a_terminal(debian):
    t = debian.pty("run", "--rm", "-it", debian.image("debian"), "bash", "--norc", rows=30, cols=90)
    t.expect(r"# ")
    t.send("tty; stty size; ls -l $(tty) | cut -c1-10\r")
    t.expect("/dev/(pts/0|console)\r\n30 90\r\ncrw--w----")
    t.send("su nobody -s /bin/bash -c 'tty; test -r /dev/tty && echo opens'\r")
    t.expect("[\r\n]/dev/(pts/0|console)\r\nopens\r\n")
    t.send("top -b -n 1 | head -1; passwd root\r")
    t.expect("top - ")
    t.expect("New password: ")
    t.send("secret-1\r")
    t.expect("Retype new password: ")
    t.send("secret-1\r")
    t.expect("password updated successfully")
    t.send("script -qc tty /dev/null; sh -c 'echo -n st; echo arts; exec sleep 100'\r")
    t.expect("/dev/pts/[0-9]+\r\nstarts\r\n")
    t.send("\x03")
    t.expect("# ")
    t.send("exit 4\r")
    assert t.wait() == 4


@rows("B25", "A14")
def test_keep_id_is_the_caller(debian):
    """As oneself by default; files of the image keep their owners, new ones in a volume are ours."""
    share = debian.user.home / "share"
    share.mkdir()
    if debian.user.made:
        os.chown(share, debian.user.uid, debian.user.gid)
    uid, gid = debian.user.uid, debian.user.gid
    r = bash(debian, "id -u; id -g; stat -c %u:%g /etc/passwd /etc/shadow /w; touch /w/f; cat /etc/shadow",
             "--userns", "keep-id", "-v", f"{share}:/w", rc=1)
    assert r.out.split() == [str(uid), str(gid), "0:0", "0:42", f"{uid}:{gid}"]
    assert "Permission denied" in r.err
    assert os.stat(share / "f").st_uid == uid
    # With another id inside, the file is still the caller's outside.
    r = bash(debian, "id -u; touch /w/g; stat -c %u /w/g", "--userns", "keep-id:uid=1000,gid=1000",
             "-v", f"{share}:/w")
    assert r.out.split() == ["1000", "1000"] and os.stat(share / "g").st_uid == uid
    shutil.rmtree(share)


@rows("B6", "B25")
@pytest.mark.parametrize("flags", MAPS[:3], ids=IDS[:3])
def test_read_only(debian, deb, flags):
    """Programs work; the root stays as it is; what must be written has its tmpfs."""
    r = bash(debian, "touch /x /etc/x; touch /tmp/a /run/a /var/tmp/a /dev/shm/a && echo four;"
             "dpkg -l | grep -c ^ii; apt-get --version > /dev/null && echo apt; su nobody -s /bin/sh -c id;"
             "mount --version; dpkg -i /in/greeter.deb", "--read-only", "-v", f"{deb}:/in:ro", *flags, rc=2)
    assert "'/x': Read-only file system" in r.err and "'/etc/x': Read-only file system" in r.err
    assert "four\n" in r.out and "apt\n" in r.out and "uid=65534(nobody)" in r.out
    assert "Read-only file system" in r.err.splitlines()[-1]


@rows("A30", "A32")
def test_changes_stay_in_their_container(debian, deb):
    """Installed in one, kept over a stop and start, unknown in another of the same image."""
    name = debian.ok("run", "-d", "-v", f"{deb}:/in:ro", debian.image("debian"), "sleep", "1000").text
    debian.ok("exec", name, "dpkg", "-i", "/in/greeter.deb", timeout=120)
    debian.ok("restart", "-t", "0", name)
    assert debian.ok("exec", name, "greet").text == "greetings"
    assert debian.ok("exec", "-u", "greeter", name, "id", "-un").text == "greeter"
    assert debian.ok("exec", "-u", "greeter:audio", name, "id", "-gn").text == "audio"
    assert "greet" in bash(debian, "greet", rc=127).err
    debian.ok("rm", "-f", "-t", "0", name)
