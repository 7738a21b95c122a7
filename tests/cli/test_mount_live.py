"""mount add, rm and ls: mounts of a container that runs."""
import json
import os
import pathlib
import re

import pytest

from lib import rows

SLEEP = "trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done"


@pytest.fixture
def d(rootlet):
    """A directory of the caller that nobody else may enter."""
    path = rootlet.user.tmp / "d"
    rootlet.shell(f"mkdir {path} && echo host > {path}/f && chmod 700 {path}")
    yield path
    rootlet.shell(f"chmod -R u+rwX {path}; rm -rf {path}")


def started(rootlet, *flags, script=SLEEP):
    rootlet.ok("run", "-d", "--name", "c", *flags, rootlet.image(), "sh", "-c", script)


def sh(rootlet, script, **kw):
    return rootlet.ok("exec", "c", "sh", "-c", script, **kw).text


def events(rootlet, *wanted):
    lines = rootlet.ok("events", "--since", "1h", "--stream=false", "--format", "jsonl").out.splitlines()
    found = [json.loads(line) for line in lines]
    return [(e["Status"], e["Attributes"]["destination"]) for e in found if e["Status"] in wanted]


def host_mounts(rootlet):
    """Of this test's users: other tests run beside it."""
    lines = pathlib.Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if str(rootlet.user.base) in line]


@rows("B18", "A30")
@pytest.mark.parametrize("flags", [(), ("--userns", "keep-id"), ("--userns", "auto"), ("--network", "host"),
                                   ("--read-only",)], ids=lambda f: "-".join(f).strip("-") or "plain")
def test_add_and_remove(rootlet, d, flags):
    started(rootlet, *flags)
    before = host_mounts(rootlet)
    at = "/tmp" if flags == ("--read-only",) else "/new"
    rootlet.ok("mount", "add", "c", f"{d}:{at}/dir:ro,noexec", f"{d}/f:{at}/file", "--tmpfs", f"{at}/t:size=64k")
    assert sh(rootlet, f"cat {at}/file; touch {at}/dir/x 2>/dev/null || echo refused") == "host\nrefused"
    line = sh(rootlet, f"grep ' {at}/dir ' /proc/self/mountinfo").split()
    assert {"ro", "noexec"} <= set(line[5].split(",")) and "master:" not in " ".join(line)
    assert "size=64k" in sh(rootlet, f"grep ' {at}/t ' /proc/self/mountinfo")
    assert host_mounts(rootlet) == before, "nothing of it shows on the host"
    mounts = {m["Destination"]: m for m in rootlet.inspect("c")["Mounts"]}
    assert mounts[f"{at}/dir"]["Source"] == str(d) and not mounts[f"{at}/dir"]["RW"]
    assert mounts[f"{at}/file"]["RW"] and mounts[f"{at}/t"]["Type"] == "tmpfs"
    out = rootlet.ok("mount", "ls", "c").out
    assert re.search(rf"^{at}/dir +bind +{d} +ro,noexec$", out, re.M), out
    assert {m["Destination"] for m in rootlet.ok("mount", "ls", "c", "--format", "json").json()} == set(mounts)

    rootlet.ok("mount", "rm", "c", f"{at}/dir", f"{at}/t/")
    assert sh(rootlet, f"grep -cE ' {at}/(dir|t) ' /proc/self/mountinfo || true; cat {at}/file") == "0\nhost"
    assert f"{at}/dir" not in {m["Destination"] for m in rootlet.inspect("c")["Mounts"]}
    assert (d / "f").read_text() == "host\n"
    assert events(rootlet, "mount", "unmount") == [
        ("mount", f"{at}/dir"), ("mount", f"{at}/file"), ("mount", f"{at}/t"),
        ("unmount", f"{at}/dir"), ("unmount", f"{at}/t")]


def test_stays_for_the_next_start(rootlet, d):
    """Also of one that does not run: it gets them with its start."""
    started(rootlet)
    rootlet.ok("mount", "add", "c", "-v", f"{d}:/one")
    rootlet.ok("restart", "-t", "0", "c")
    assert sh(rootlet, "cat /one/f") == "host"
    rootlet.ok("stop", "-t", "0", "c")
    rootlet.ok("mount", "rm", "c", "/one")
    rootlet.ok("mount", "add", "c", "--mount", f"type=bind,source={d},target=/two,readonly")
    rootlet.ok("start", "c")
    assert sh(rootlet, "ls /one; cat /two/f; touch /two/x 2>/dev/null || echo ro") == "host\nro"


def test_volumes(rootlet):
    """A volume is made, is in use, and is let go; one that was made for nothing does not stay."""
    started(rootlet)
    rootlet.ok("mount", "add", "c", "data:/data", "/anonymous")
    sh(rootlet, "echo kept > /data/f; echo x > /anonymous/f")
    rootlet.fails("volume", "rm", "data", rc=2, match="c")
    assert len(rootlet.ok("volume", "ls", "-q").out.split()) == 2
    rootlet.fails("mount", "add", "c", "/other", "data:/data", match="already")
    rootlet.fails("mount", "add", "c", "/other", "x:/proc/kcore", match="/proc")
    assert len([v for v in rootlet.ok("volume", "ls", "-q").out.split() if len(v) == 64]) == 1
    assert sh(rootlet, "test -e /other && grep -c ' /other ' /proc/mounts || true") in ("", "0"), "all or nothing"
    rootlet.ok("mount", "rm", "c", "/data")
    rootlet.ok("volume", "rm", "data", "x")


def test_paused_and_shared_network(rootlet, d):
    rootlet.ok("run", "-d", "--name", "n", rootlet.image(), "sh", "-c", SLEEP)
    started(rootlet, "--network", "container:n")
    rootlet.ok("pause", "--signal", "c")
    rootlet.ok("mount", "add", "c", f"{d}:/d")
    rootlet.ok("unpause", "c")
    assert sh(rootlet, "cat /d/f") == "host"
    assert rootlet.ok("exec", "n", "sh", "-c", "test -e /d || echo no").text == "no"
    rootlet.ok("mount", "rm", "c", "/d")


def test_pod_member(rootlet, d):
    rootlet.ok("pod", "create", "p")
    started(rootlet, "--pod", "p")
    rootlet.ok("mount", "add", "c", f"{d}:/d")
    assert sh(rootlet, "cat /d/f") == "host"
    rootlet.ok("pod", "rm", "-f", "-t", "0", "p")


@pytest.mark.parametrize("args, match", [
    (("/no/such:/x",), "/no/such"), (("{d}:relative",), "relative"), (("{d}:/",), "destination"),
    (("{d}:/x:nosuch",), "nosuch"), (("{d}:/proc",), "/proc"), (("{d}:/proc/kcore",), "/proc"),
    (("{d}/f:/etc",), "file"), (("{d}:/etc/motd",), "directory"), (("{d}:/dev/shm",), "already"),
    (("--tmpfs", "x"), "--tmpfs"), (("--mount", "type=nosuch,target=/x"), "nosuch"), ((), "nothing to mount"),
    (("{d}:/a", "{d}:/a/../a"), "twice")])
def test_refused(rootlet, d, args, match):
    started(rootlet)
    before = sh(rootlet, "cat /proc/self/mounts"), rootlet.inspect("c")["Mounts"]
    r = rootlet.fails("mount", "add", "c", *(a.format(d=d) for a in args), match=match)
    assert "mount add" in r.err and "Traceback" not in r.err
    assert (sh(rootlet, "cat /proc/self/mounts"), rootlet.inspect("c")["Mounts"]) == before


@pytest.mark.parametrize("where, match", [
    ("/proc", "stays|protects"), ("/sys", "stays|protects"), ("/dev", "stays|protects"), ("/", "nothing"),
    ("/dev/shm", "stays"), ("/etc/hosts", "stays"), ("/proc/kcore", "nothing"), ("/nosuch", "nothing"),
    ("data", "absolute")])
def test_what_is_not_the_users_stays(rootlet, where, match):
    started(rootlet)
    before = sh(rootlet, "cat /proc/self/mounts")
    rootlet.fails("mount", "rm", "c", where, match=match)
    assert sh(rootlet, "cat /proc/self/mounts") == before


def test_links_do_not_lead_to_a_mask(rootlet, d):
    """The container moves the mount away and puts a link to what hides the host in its place."""
    started(rootlet)
    rootlet.ok("mount", "add", "c", f"{d}:/a/interrupts")
    sh(rootlet, "mv /a /b && ln -s /proc /a")
    masked = sh(rootlet, "grep -c ' /proc/interrupts ' /proc/self/mounts")
    rootlet.fails("mount", "rm", "c", "/a/interrupts", match="protects the host")
    assert sh(rootlet, "grep -c ' /proc/interrupts ' /proc/self/mounts") == masked == "1"
    sh(rootlet, "rm /a; mv /b /a")
    rootlet.ok("mount", "rm", "c", "/a/interrupts")


def test_unmounted_inside(rootlet, d):
    started(rootlet, "--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined")
    rootlet.ok("mount", "add", "c", f"{d}:/d")
    sh(rootlet, "umount /d")
    rootlet.fails("mount", "rm", "c", "/d", match="--force")
    rootlet.ok("mount", "rm", "--force", "c", "/d")
    assert rootlet.inspect("c")["Mounts"] == []


def test_other_states(rootlet, d):
    rootlet.fails("mount", "add", "nosuch", f"{d}:/d", match="no such container")
    rootlet.fails("mount", "rm", "nosuch", "/d", match="no such container")
    rootlet.fails("mount", "ls", match="no container")
    rootlet.ok("create", "--name", "c", rootlet.image(), "cat", "/d/f")
    rootlet.ok("mount", "add", "c", f"{d}:/d")
    assert rootlet.ok("start", "-a", "c").text == "host"
    assert rootlet.ok("mount", "ls", "-l", "-n", "--format", "{{.Destination}} {{.RW}}").text == "/d true"


def test_swapped_links_never_lead_out(rootlet, d):
    """While DEST's parent turns from a directory into a link to the host's and back, a mount lands in
    the container or fails; what is on the host stays as it was."""
    target = rootlet.user.tmp / "canary"
    rootlet.shell(f"mkdir -p {target}")
    race = f"""mkdir -p /w/real{target} /w/dir; cd /w; ln -s ../../../../../../../..{target} link; ln -s / up
        while :; do mv -T dir x; mv -T link dir; mv -T dir link; mv -T up dir; mv -T dir up; mv -T x dir; done"""
    started(rootlet, script=race)
    rootlet.wait_for(lambda: rootlet("exec", "c", "test", "-L", "/w/up").rc == 0)
    before = host_mounts(rootlet)
    done = 0
    for n in range(25):
        where = ("/w/dir/m", "/w/dir/../m", f"/w/dir{target}/m")[n % 3] + str(n)
        if rootlet("mount", "add", "c", f"{d}:{where}").rc == 0:
            done += 1
            rootlet("mount", "rm", "c", where)
        assert os.listdir(target) == []
    assert host_mounts(rootlet) == before
    assert done, "the race was never won by us"
    rootlet.shell(f"rmdir {target}")
    assert (d / "f").read_text() == "host\n"


def test_nothing_is_left_behind(rootlet, d):
    """No process, no descriptor, no mount after many of them."""
    started(rootlet)
    pid = rootlet.inspect("c")["State"]["ConmonPid"]

    def seen():
        return len(os.listdir(f"/proc/{pid}/fd")), sh(rootlet, "wc -l < /proc/self/mounts; ls /proc | grep -c '^[0-9]'")
    before = seen()
    for _ in range(15):
        rootlet.ok("mount", "add", "c", f"{d}:/d")
        rootlet.ok("mount", "rm", "c", "/d")
    assert seen() == before
