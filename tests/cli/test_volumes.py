"""Volumes, binds, tmpfs, read-only roots and the files that every container gets."""
import os
import re

import pytest

from lib import rows


def sh(rootlet, script, *flags, **kw):
    return rootlet.ok("run", "--rm", *flags, rootlet.image(), "sh", "-c", script, **kw).text


@pytest.fixture
def d(rootlet):
    """A directory of the caller."""
    path = rootlet.user.tmp / "d"
    rootlet.shell(f"mkdir {path} && echo host > {path}/f")
    yield path
    rootlet.shell(f"rm -rf {path}")


@rows("B18", "A30")
def test_bind_both_ways_and_read_only(rootlet, d):
    assert sh(rootlet, "cat /w/f; echo new > /w/g; id -u > /w/id", "-v", f"{d}:/w") == "host"
    assert (d / "g").read_text() == "new\n"
    assert os.stat(d / "g").st_uid == rootlet.user.uid
    out = sh(rootlet, "echo x > /w/h; mkdir /w/i; cat /w/f", "-v", f"{d}:/w:ro")
    assert out == "host"
    r = rootlet("run", "--rm", "-v", f"{d}:/w:ro", rootlet.image(), "touch", "/w/h")
    assert r.rc == 1 and "Read-only" in r.err
    assert not (d / "h").exists()
    out = sh(rootlet, "cat /w/f", "--mount", f"type=bind,source={d},target=/w,readonly")
    assert out == "host"
    assert sh(rootlet, "cat /etc/motd", "-v", f"{d}/f:/etc/motd") == "host"
    out = sh(rootlet, "grep ' /w ' /proc/self/mountinfo", "-v", f"{d}:/w:ro,noexec,nosuid,nodev")
    assert {"ro", "noexec", "nosuid", "nodev"} <= set(out.split()[5].split(","))


def test_relative_bind(rootlet, d):
    r = rootlet.ok("run", "--rm", "-v", "./f:/w", rootlet.image(), "cat", "/w", cwd=d)
    assert r.text == "host"


@pytest.mark.parametrize("flag, match", [
    ("/no/such:/w", "/no/such"), ("x:relative", "relative"), ("/etc:/", "/"), ("{d}:/w:nosuch", "nosuch"),
    ("a:b:c:d", "a:b:c:d"), (":/w", ":/w"), ("b@d:/w", "b@d"), ("../../x:/w", "x")])
def test_bad_volumes(rootlet, d, flag, match):
    rootlet.fails("run", "--rm", "-v", flag.format(d=d), rootlet.image(), "true", match=re.escape(match))
    assert rootlet.ok("ps", "-aq").out == ""


@pytest.mark.parametrize("flag", ["type=bind,target=/x", "type=nosuch,target=/x", "type=tmpfs",
                                  "type=tmpfs,target=/x,nosuch=1", "type=volume,source=v", "nonsense"])
def test_bad_mounts(rootlet, flag):
    rootlet.fails("run", "--rm", "--mount", flag, rootlet.image(), "true", match="--mount")


def test_named_volume_lives_on_and_is_filled(rootlet):
    out = sh(rootlet, "cat /home/app/x 2>/dev/null; ls -ld /home/app | cut -c1-10; echo kept > /home/app/x",
             "-v", "data:/home/app")
    assert out == "drwxr-xr-x"
    assert sh(rootlet, "cat /w/x", "-v", "data:/w") == "kept"
    out = sh(rootlet, "ls /w | wc -l; test -e /w/motd && cat /w/motd", "-v", "etc:/etc", "-v", "etc:/w")
    assert "from the image" in out, "copy-up of what the image has there"
    assert sh(rootlet, "ls /x", "-v", "empty:/etc:nocopy", "-v", "empty:/x") .find("motd") < 0


def test_anonymous_volume_goes_with_rm(rootlet):
    volumes = rootlet.store.root / "volumes"
    sh(rootlet, "echo x > /a/f; echo y > /b/f", "-v", "/a", "--mount", "type=volume,target=/b")
    assert not volumes.exists() or os.listdir(volumes) == []
    rootlet.ok("create", "--name", "c", "-v", "/a", rootlet.image(), "true")
    assert len(os.listdir(volumes)) == 1
    rootlet.ok("rm", "-v", "c")
    assert os.listdir(volumes) == []


def test_volumes_from(rootlet):
    rootlet.ok("run", "--name", "c", "-v", "data:/data", rootlet.image(), "sh", "-c", "echo x > /data/f")
    assert sh(rootlet, "cat /data/f", "--volumes-from", "c") == "x"
    r = rootlet("run", "--rm", "--volumes-from", "c:ro", rootlet.image(), "touch", "/data/g")
    assert "Read-only" in r.err
    rootlet.fails("run", "--volumes-from", "nosuch", rootlet.image(), "true", match="nosuch")


def test_mounts_in_inspect(rootlet, d):
    rootlet.ok("create", "--name", "c", "-v", f"{d}:/w:ro", "-v", "data:/data", rootlet.image(), "true")
    found = {m["Destination"]: m for m in rootlet.inspect("c")["Mounts"]}
    assert (found["/w"]["Type"], found["/w"]["Source"], found["/w"]["RW"]) == ("bind", str(d), False)
    assert (found["/data"]["Type"], found["/data"]["Name"], found["/data"]["RW"]) == ("volume", "data", True)
    assert f"{d}:/w:ro" in rootlet.inspect("c")["HostConfig"]["Binds"]


def test_a_link_in_a_volume_leads_nowhere_outside(rootlet, d):
    """Security 1.4 (CVE-2025-9566, CVE-2020-1726): what a volume contains is not followed on the host."""
    (d / "link").symlink_to("/etc")
    r = rootlet("run", "--rm", "-v", f"{d}:/w", "-v", f"{d}:/w/link/x", rootlet.image(), "ls", "/w")
    assert not os.path.exists("/etc/x")
    assert r.rc in (0, 125, 126), r


def test_tmpfs_and_shm(rootlet):
    out = sh(rootlet, "df -k /t /dev/shm | awk '{print $2}' | tail -2; grep ' /t ' /proc/mounts; ls -ld /t | cut -c1-10",
             "--tmpfs", "/t:size=2m,mode=0700", "--shm-size", "3m")
    lines = out.splitlines()
    assert lines[:2] == ["2048", "3072"]
    assert "nosuid,nodev" in lines[2] and lines[3] == "drwx------"
    assert sh(rootlet, "grep -c ' /u tmpfs' /proc/mounts", "--mount", "type=tmpfs,target=/u,tmpfs-size=1m") == "1"
    assert sh(rootlet, "df -k /dev/shm | awk '{print $2}' | tail -1") == "65536"


def test_read_only_root_with_its_tmpfs_set(rootlet):
    out = sh(rootlet, "for d in / /etc /home /run /tmp /var/tmp /dev/shm; do touch $d/x 2>/dev/null && echo $d; done", "--read-only")
    assert out.split() == ["/run", "/tmp", "/var/tmp", "/dev/shm"]
    out = sh(rootlet, "for d in / /run /tmp /var/tmp /dev/shm; do touch $d/x 2>/dev/null && echo $d; done",
             "--read-only", "--read-only-tmpfs=false")
    assert out.split() == ["/dev/shm"]


def test_hosts_hostname_and_resolv_conf(rootlet):
    out = sh(rootlet, "cat /etc/hostname /etc/hosts; hostname", "--hostname", "web", "--add-host", "db:10.1.2.3",
             "--add-host", "six:fe80::1", "--name", "c").splitlines()
    assert out[0] == out[-1] == "web"
    text = [line.split() for line in out]
    assert ["127.0.0.1", "localhost"] in text and ["10.1.2.3", "db"] in text and ["fe80::1", "six"] in text
    assert any("web" in line and line[0].startswith("127.") for line in text)
    out = sh(rootlet, "cat /etc/resolv.conf", "--dns", "192.0.2.1", "--dns", "192.0.2.2", "--dns-search", "example.org",
             "--dns-option", "ndots:2").splitlines()
    assert out == ["search example.org", "nameserver 192.0.2.1", "nameserver 192.0.2.2", "options ndots:2"]
    with open("/etc/resolv.conf", encoding="utf-8") as f:
        servers = [line.split()[1] for line in f if line.startswith("nameserver")]
    out = sh(rootlet, "cat /etc/resolv.conf").splitlines()
    assert [line.split()[1] for line in out if line.startswith("nameserver")] == servers
    for flag in (["--dns", "not-an-address"], ["--dns", "1.2.3.4\nnameserver 6.6.6.6"], ["--add-host", "x:1.2.3.4 y"],
                 ["--add-host", "x:nonsense"], ["--dns-search", "a b\nc"], ["--hostname", "a b"], ["--hostname", "x" * 65],
                 ["--hostname", "a\nb"]):
        rootlet.fails("run", "--rm", *flag, rootlet.image(), "true", match=flag[0])
    assert rootlet.ok("ps", "-aq").out == ""
    short = sh(rootlet, "hostname; cat /etc/hostname").split()
    assert re.fullmatch("[0-9a-f]{12}", short[0]) and short[0] == short[1]


def test_time_zone(rootlet):
    assert "/etc/localtime" in sh(rootlet, "grep localtime /proc/self/mountinfo", "--tz", "Europe/Berlin") or \
        not os.path.exists("/usr/share/zoneinfo/Europe/Berlin")
    for bad in ("../../etc/passwd", "No/Where", ""):
        rootlet.fails("run", "--rm", "--tz", bad, rootlet.image(), "true", match="--tz")


def test_a_device(rootlet):
    assert sh(rootlet, "test -c /dev/fuse && echo yes", "--device", "/dev/fuse") == "yes"
    rootlet.fails("run", "--device", "/etc/passwd", rootlet.image(), "true", match="not a device")


def test_image_volume_kinds(rootlet):
    """--image-volume: what stands where the image declares a volume."""
    rootlet.ok("create", "--name", "c", rootlet.image(), "true")
    rootlet.ok("commit", "-q", "-c", "VOLUME /data", "c", "declared")
    look = ["declared", "sh", "-c", "grep ' /data ' /proc/self/mounts || echo none"]
    assert rootlet.ok("run", "--rm", "--image-volume", "ignore", *look).text == "none"
    assert rootlet.ok("run", "--rm", "--image-volume", "tmpfs", *look).text.startswith("tmpfs /data tmpfs")
    assert rootlet.ok("run", "--rm", *look).text != "none"
    rootlet.fails("run", "--image-volume", "x", *look, match="unknown kind")
