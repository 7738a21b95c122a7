"""Security by default and what the options of run change of it."""
import json
import os
import re
import signal

import pytest

from lib import audit, rows

STATUS = "grep -E '^(Cap(Inh|Prm|Eff|Bnd|Amb)|NoNewPrivs|Seccomp|Seccomp_filters):' /proc/self/status"


def status(rootlet, *flags):
    out = rootlet.ok("run", "--rm", *flags, rootlet.image(), "sh", "-c", STATUS).out
    return {k: int(v, 16) for k, v in re.findall(r"^(\w+):\s+([0-9a-f]+)$", out, re.M)}


ELEVEN = 0x800405fb


@rows("A5", "A18", "B33", "B54", "B55")
def test_defaults(rootlet):
    """Security 1.4 (CVE-2022-24769): nothing inheritable, nothing ambient."""
    s = status(rootlet)
    assert (s["CapInh"], s["CapAmb"]) == (0, 0)
    assert s["CapEff"] == s["CapPrm"] == s["CapBnd"] == ELEVEN, hex(s["CapBnd"])
    assert s["Seccomp"] == 2 and s["Seccomp_filters"] >= 1


@rows("A18")
def test_capability_flags(rootlet):
    s = status(rootlet, "--cap-drop", "ALL", "--cap-add", "NET_BIND_SERVICE,KILL,CHOWN")
    assert s["CapEff"] == s["CapBnd"] == 0x421
    assert status(rootlet, "--security-profile", "minimal")["CapBnd"] == 0x421
    assert status(rootlet, "--security-profile", "hardened")["CapBnd"] == 0x4eb
    assert status(rootlet, "--cap-add", "cap_net_raw")["CapBnd"] == ELEVEN | 1 << 13
    assert status(rootlet, "--cap-drop", "ALL")["CapBnd"] == 0
    s = status(rootlet, "-u", "app", "--cap-add", "net_raw")
    assert s["CapEff"] == s["CapAmb"] == 1 << 13, "what --cap-add gives is usable for an ordinary user too"


def test_no_new_privs(rootlet):
    """Off for root (su and sudo in images), on for every other user, both ways by option."""
    assert status(rootlet)["NoNewPrivs"] == 0
    assert status(rootlet, "-u", "app")["NoNewPrivs"] == 1
    assert status(rootlet, "-u", "0:50")["NoNewPrivs"] == 0
    assert status(rootlet, "--security-opt", "no-new-privileges")["NoNewPrivs"] == 1
    assert status(rootlet, "--security-opt", "no-new-privileges:true")["NoNewPrivs"] == 1
    assert status(rootlet, "-u", "app", "--security-opt", "no-new-privileges=false")["NoNewPrivs"] == 0


def test_unconfined(rootlet):
    assert status(rootlet, "--security-opt", "seccomp=unconfined")["Seccomp"] == 0


@pytest.mark.root  # who runs the suite may read what the test would hide
@rows("B27", "B53")
def test_privileged_is_no_host_root(rootlet):
    s = status(rootlet, "--privileged")
    assert s["Seccomp"] == 0 and s["CapBnd"] & 1 << 21
    script = ("insmod /etc/motd; mknod /blk b 8 0; mknod /mem c 1 1; cat /secret;"
              "mount -t ext4 /dev/vda /mnt; echo 1 > /proc/sys/kernel/panic; date -s 2001-01-01")
    shadow = rootlet.user.base / "shadow"
    shadow.write_text("secret\n")
    shadow.chmod(0o600)
    r = rootlet("run", "--rm", "--privileged", "-v", f"{shadow}:/secret", rootlet.image(), "sh", "-c", script)
    assert "secret" not in r.out
    for what in ("insmod: ", "mknod: /blk: Op", "mknod: /mem: Op", "/secret': Permission denied", "mount: ", "panic: ", "date: "):
        assert what in r.err, r
    shadow.unlink()


@rows("B34", "B53")
def test_what_the_default_filter_forbids(rootlet):
    r = rootlet("run", "--rm", rootlet.image(), "sh", "-c",
                "unshare -U true; unshare -m true; mount -t tmpfs x /mnt; swapon /etc/motd; reboot -f; chroot / echo chroot-ok")
    assert "chroot-ok" in r.out
    assert len(re.findall("Operation not permitted|Function not implemented|ermission denied", r.err)) >= 4, r


@pytest.fixture
def profile(rootlet):
    files = []

    def make(what, name="p.json"):
        path = rootlet.user.tmp / name
        path.write_text(what if isinstance(what, str) else json.dumps(what))
        files.append(path)
        return path
    yield make
    for f in files:
        f.unlink(missing_ok=True)


@rows("B32", "B33", "B34")
def test_a_profile_that_kills(rootlet, profile):
    """The first process dies of SIGSYS: 128+31; why names the call."""
    file = profile({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_KILL_PROCESS"}]})
    r = rootlet("run", "--name", "c", "--security-opt", f"seccomp={file}", rootlet.image(), "mkdir", "/x")
    assert r.rc == 128 + signal.SIGSYS, r
    assert rootlet.inspect("c")["State"]["ExitCode"] == 159
    r = rootlet("why", "c")
    assert "SIGSYS" in r.out + r.err or "seccomp" in r.out + r.err
    # The mission's allow-list: everything not named is fatal.
    file = profile({"defaultAction": "SCMP_ACT_KILL_PROCESS", "syscalls": [
        {"names": ["read", "write", "exit"], "action": "SCMP_ACT_ALLOW"}]}, "q.json")
    r = rootlet("run", "--rm", "--security-opt", f"seccomp={file}", rootlet.image(), "true")
    assert r.rc != 0, r


@rows("B35", "B49")
def test_profiles_with_mistakes(rootlet, profile):
    for text, match in (("{", "p.json"), ({"defaultAction": "SCMP_ACT_NOSUCH"}, "SCMP_ACT_NOSUCH"),
                        ({"syscalls": []}, "defaultAction"),
                        ({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": "x", "action": "SCMP_ACT_ERRNO"}]}, "syscalls")):
        rootlet.fails("run", "--rm", "--security-opt", f"seccomp={profile(text)}", rootlet.image(), "true", match=match)
    rootlet.fails("run", "--rm", "--security-opt", "seccomp=/no/such.json", rootlet.image(), "true", match="/no/such.json")
    assert rootlet.ok("ps", "-aq").out == ""


def test_masked_and_read_only_paths(rootlet):
    out = rootlet.ok("run", "--rm", rootlet.image(), "sh", "-c",
                     "cat /proc/kcore /proc/timer_list /proc/keys 2>/dev/null | wc -c; ls -A /sys/firmware /proc/acpi 2>/dev/null | grep -v : | wc -w;"
                     "for f in /proc/sys/kernel/panic /proc/sysrq-trigger /proc/irq/x /sys/x; do"
                     " (echo 1 > $f) 2>/dev/null && echo wrote $f; done; true").text
    assert out.split() == ["0", "0"]
    r = rootlet.ok("run", "--rm", "--security-opt", "mask=/etc/motd", rootlet.image(), "cat", "/etc/motd")
    assert r.out == ""


def test_nothing_is_believed_that_an_image_says(rootlet):
    """Security 1.4 (CVE-2026-53488): labels and annotations of an image change no setting."""
    tree = rootlet.user.base / "images" / "busybox-tree.tar"
    if not tree.exists():
        from lib.images import busybox_layer
        busybox_layer().write(tree)
    rootlet.ok("import", "-q", "-c", "LABEL org.rootlet.privileged=true io.podman.annotations.privileged=TRUE"
               " org.rootlet.seccomp=unconfined run=touch", "-c", 'CMD ["sh"]', tree, "localhost/labelled:latest")
    plain = rootlet.ok("create", rootlet.image(), "true").text
    labelled = rootlet.ok("create", "localhost/labelled", "true").text
    one, two = rootlet.inspect(plain), rootlet.inspect(labelled)
    for c in (one, two):
        assert c["Id"] in c["HostConfig"]["LogConfig"].pop("Path")
    for key in ("EffectiveCaps", "BoundingCaps", "SeccompProfile", "Namespaces", "Mounts"):
        assert one[key] == two[key], key
    assert one["HostConfig"] == two["HostConfig"]


def test_the_store_is_private(rootlet):
    """CVE-2021-41103: no directory of the store opens for others, whatever the umask."""
    rootlet.shell(f"umask 000; rootlet run -d --name c {rootlet.image()} sleep 60")
    for top in (rootlet.store.root, rootlet.store.runroot):
        assert os.stat(top).st_mode & 0o077 == 0, top
    assert rootlet.ok("exec", "c", "sh", "-c", "umask; touch /f; stat -c %a /f").out == "0022\n644\n"


@rows("A37")
def test_hosts_without_cgroup_v2(rootlet):
    """On a v1 or hybrid host both runs fail with the way out; nothing is made in a hierarchy of v1."""
    if os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
        pytest.skip("this host has the unified hierarchy")
    image = rootlet.image()
    before = audit.cgroups_of([rootlet.user])
    for flags in ([], ["-m", "64m"]):
        r = rootlet.fails("run", *flags, image, "true", cgroups=None, match="cgroup v2 unified hierarchy not available")
        assert "--cgroups=disabled" in r.err
    assert rootlet("run", "--rm", "--cgroups=disabled", image, "true", cgroups=None).rc == 0
    assert rootlet("--cgroups=disabled", "run", "--rm", image, "true", cgroups=None).rc == 0
    for flags in (["--memory", "64m"], ["--cpus", "1"], ["--pids-limit", "5"], ["--cpuset-cpus", "0"],
                  ["--cpu-shares", "512"], ["--memory-high", "48m"], ["--memory-reservation", "32m"],
                  ["--cpu-quota", "5000"], ["--cpu-period", "50000"], ["--cpuset-mems", "0"],
                  ["--blkio-weight", "100"], ["--cgroup-conf", "memory.oom.group=1"]):
        r = rootlet.fails("run", "--rm", "--cgroups=disabled", *flags, image, "true", cgroups=None,
                          match=f"{flags[0]} needs a cgroup, and cgroups are disabled")
    # What is no limit needs no group.
    assert rootlet("run", "--rm", "--cgroups=disabled", "--cpu-quota", "0", "--pids-limit=-1", "-m", "0", image, "true",
                   cgroups=None).rc == 0
    assert rootlet.ok("ps", "-aq").out == ""
    assert audit.cgroups_of([rootlet.user]) <= before


@rows("A3", "A21", "B21")
def test_program_is_native(rootlet):
    with open(rootlet.program, "rb") as f:
        assert f.read(4) == b"\x7fELF"
    r = rootlet.shell(f"ldd {rootlet.program}")
    assert not re.search("python|curl|archive|crypto|seccomp|lua|perl", r.out), r.out
