"""What an image says of itself is data, not configuration (section 1.4 of the threat list:
CVE-2024-40635, CVE-2026-46680, CVE-2026-30892, CVE-2022-36109, CVE-2022-24769, CVE-2022-29162,
CVE-2026-53488, CVE-2026-57231, CVE-2026-55686)."""
import pathlib
import re
import tarfile

import pytest

import hostile_trees as hostile
from lib import images, rows, runner


@rows("A4", "A29")
@pytest.mark.parametrize("who, uid", [
    ("4294967296", None), ("4294967295", None), ("2147483647", None), ("18446744073709551616", None),
    ("-1", None), (" 0", None), ("+0", None), ("0x0", None), ("1e3", None), (":0", None), ("0:", None),
    ("app:", None), ("0 ", None), ("0:-1", None), ("root\n", None), ("1000000000", None),
    ("00", "0"), ("app", "1000"), ("7:8", "7"),
])
def test_user(rootlet, lab, who, uid):
    name = lab.load(User=who, Cmd=["id", "-u"])
    rootlet.ok("run", "-d", "--name", "c", "-u", "1", name, "sleep", "1000")
    for r in (rootlet("run", "--rm", name), rootlet("run", "--rm", "-u", who, name),
              rootlet("exec", "-u", who, "c", "id", "-u")):
        if uid is None:
            assert r.rc in (125, 126) and r.out == "", r
        else:
            assert r.rc == 0 and r.text == uid, r


@pytest.mark.parametrize("passwd", ["x:4294967296:0::/:", "x:-1:0::/:", "x::0::/:", "x:0x0:0::/:", "x"])
def test_user_of_a_lying_passwd_file(rootlet, lab, passwd):
    name = lab.load(images.Tar().add_file("etc/passwd", f"evil:{passwd}\n"), User="evil", Cmd=["id"])
    r = rootlet("run", "--rm", name)
    assert r.rc == 126 and "uid=" not in r.out, r


def fifo(tar, name):
    info = tarfile.TarInfo(name)
    info.type, info.mode = tarfile.FIFOTYPE, 0o666
    tar.tar.addfile(info)
    return tar


FIRST = {"Cmd": ["true"], "User": "app"}


@rows("A4")
@pytest.mark.parametrize("layer, config", [
    (lambda t: fifo(t, "etc/passwd"), FIRST),
    (lambda t: fifo(t, "etc/group"), FIRST),
    (lambda t: fifo(t, "wd"), {"WorkingDir": "/wd", "Cmd": ["true"]}),
    (lambda t: fifo(t, "ep"), {"Entrypoint": ["/ep"]}),
    (lambda t: fifo(t, "v"), {"Volumes": {"/v": {}}, "Cmd": ["true"]}),
    (lambda t: fifo(fifo(fifo(t, "etc/hosts"), "etc/resolv.conf"), "etc/hostname"), {"Cmd": ["true"]}),
    (lambda t: fifo(t, "dev"), {"Cmd": ["true"]}),
    (lambda t: fifo(t, "proc"), {"Cmd": ["true"]}),
    (lambda t: t.add_link("etc/passwd", "/dev/zero"), FIRST),
    (lambda t: t.add_link("etc/passwd", "/proc/self/environ"), FIRST),
    (lambda t: t.add_link("etc/passwd", "/proc/kmsg"), FIRST),
    (lambda t: t.add_link("etc/passwd", "/proc/self/fd/0"), FIRST),
    (lambda t: t.add_file("etc/passwd", b"a:x:1:1:\n" * 200000), FIRST),
    (lambda t: t.add_file("etc/group", b"a:x:1:app\n" * 200000), FIRST),
    (lambda t: t.add_file("etc/group", b"".join(b"g%d:x:%d:app\n" % (i, i) for i in range(70000))), FIRST),
    (lambda t: t, {"Entrypoint": ["/dev/zero"]}),
    (lambda t: t, {"Entrypoint": ["/dev/pts"]}),
], ids=range(17))
def test_what_the_host_reads(rootlet, lab, layer, config):
    """Pipes, devices and huge files in place of everything that a start looks at: no waiting."""
    r, name = lab.image(layer(images.Tar()), **config)
    if r.rc == 0:
        r = rootlet("run", "--rm", name, timeout=20)
    assert r.rc in (0, 125, 126) and r.seconds < 5 * runner.PATIENCE, r
    assert r.rc == 0 or len([x for x in r.err.splitlines() if x.startswith("Error")]) == 1, r


@rows("A4")
def test_exec_reads_what_the_container_has_changed(rootlet):
    rootlet.ok("run", "-d", "--name", "c", rootlet.image(), "sh", "-c",
               "cd /etc; rm passwd group; mkfifo passwd group; sleep 1000")
    rootlet.wait_for(lambda: rootlet("exec", "c", "test", "-p", "/etc/group").rc == 0)
    r = rootlet("exec", "-u", "app", "c", "true", timeout=10)
    assert r.rc == 126 and "not a regular file" in r.err and r.seconds < 5 * runner.PATIENCE
    assert rootlet("exec", "-u", "1000", "c", "true", timeout=10).seconds < 5 * runner.PATIENCE


LABELS = {"org.rootlet.seccomp": "unconfined", "org.rootlet.privileged": "true",
          "org.rootlet.cap_add": "ALL", "run.oci.keep_original_groups": "1", "org.rootlet.rootless": "0",
          "io.podman.annotations.seccomp": "unconfined", "io.containers.capabilities": "SYS_ADMIN",
          "org.systemd.property.ExecStart": "/bin/false", "io.podman.annotations.userns": "host",
          "org.rootlet.userns": "host", "org.rootlet.binds": "/:/host"}


@rows("A4")
def test_labels_change_nothing(rootlet, lab):
    plain = lab.load(name="localhost/plain:latest", Cmd=["sleep", "1000"])
    marked = lab.load(name="localhost/marked:latest", Cmd=["sleep", "1000"], Labels=LABELS)
    specs = []
    for name, image in (("a", plain), ("b", marked)):
        rootlet.ok("create", "--name", name, "--hostname", "same", image)
        j = rootlet.inspect(name)
        text = pathlib.Path(j["OCIConfigPath"]).read_text()
        specs.append(re.sub(r"[0-9a-f]{64}", "ID", text))
        for label in LABELS:
            assert (label in j["Config"]["Labels"]) == (name == "b")
    assert specs[0] == specs[1]
    rootlet.fails("create", "--annotation", "org.rootlet.x=1", plain, match="reserved")


@rows("A4")
@pytest.mark.parametrize("env", ["HOME_SECRET", "SECRET*", "=x", "", "*"])
def test_environment_of_the_host(rootlet, lab, env):
    """CVE-2026-57231, CVE-2020-14370, CVE-2021-3602: nothing of the caller's environment by an entry of the image."""
    r, _ = lab.image(Env=[env], Cmd=["env"])
    assert r.rc == 125 and "not NAME=VALUE" in r.err, r
    name = lab.load(Env=["A=${HOME_SECRET}", "B=$HOME_SECRET"], Cmd=["env"])
    r = rootlet.ok("run", "--rm", name, env={"HOME_SECRET": "secret", "SECRET_1": "secret"})
    assert "secret" not in r.out


@rows("A4", "A23")
def test_groups_and_inheritable_capabilities(rootlet, lab):
    """Groups: CVE-2022-2989, CVE-2022-2990, CVE-2022-2995; capabilities: CVE-2022-27649, CVE-2022-27650, CVE-2022-27651."""
    name = lab.load(User="app", Cmd=["sleep", "1000"])
    rootlet.ok("run", "-d", "--name", "c", name)
    status = "grep -E 'CapInh|CapAmb|CapEff|Groups' /proc/self/status; id -G"
    for r in (rootlet.ok("run", "--rm", name, "sh", "-c", status),
              rootlet.ok("exec", "c", "sh", "-c", status)):
        assert re.findall(r"Cap(?:Inh|Amb|Eff):\s+(\S+)", r.out) == ["0" * 16] * 3, r
        assert set(r.out.splitlines()[-1].split()) == {"1000", "29", "50"}, r
        assert set(re.search(r"Groups:(.*)", r.out)[1].split()) <= {"1000", "29", "50"}, r
    r = rootlet.ok("exec", "-u", "0", "c", "sh", "-c", status)
    assert re.findall(r"Cap(?:Inh|Amb):\s+(\S+)", r.out) == ["0" * 16] * 2 and "29" not in r.out


def test_working_directory_through_a_link(rootlet, lab):
    canary, before = lab.canary()
    name = lab.load(images.Tar().add_link("wd", str(canary)), WorkingDir="/wd/made", Cmd=["pwd"])
    r = rootlet.ok("run", "--rm", name)
    assert r.text == f"{canary}/made" and hostile.look(canary) == before
    r = rootlet("run", "--rm", "-v", "new:/wd", lab.load(images.Tar().add_link("wd", str(canary))), "ls")
    assert hostile.look(canary) == before


def test_programs_of_the_image_are_not_run(rootlet, lab):
    """ps, tar, sh, unpigz, libnss_files of the image: nothing on our side starts or loads them."""
    canary, before = lab.canary()
    layer, script = images.Tar(), f"#!/bin/sh\necho x > {canary}/secret; echo evil; touch /ran\n"
    for n in ("bin/ps", "bin/tar", "bin/xz", "bin/unpigz", "bin/gzip", "usr/bin/newuidmap", "bin/id"):
        layer.add_file(n, script, 0o755)
    layer.add_file("lib/x86_64-linux-gnu/libnss_files.so.2", "not a library", 0o755)
    layer.add_file("etc/nsswitch.conf", "passwd: evil\n")
    name = lab.load(layer, User="app", Cmd=["sleep", "1000"])
    rootlet.ok("run", "-d", "--name", "c", name)
    for args in (("ps", "-s"), ("inspect", "c"), ("logs", "c"), ("exec", "-u", "app", "c", "true"),
                 ("save", "-o", lab.top / "out.tar", name), ("stop", "-t", "0", "c")):
        assert "evil" not in rootlet(*args).out
    assert hostile.look(canary) == before
    rootlet.ok("start", "c")
    assert rootlet.ok("exec", "c", "sh", "-c", "test -e /ran || echo no").text == "no"


@rows("A4")
@pytest.mark.parametrize("target", ["{top}", "../../../../../../..{top}", "/proc/1/root{top}", "/proc/self/fd"])
def test_a_volume_that_is_a_link(rootlet, lab, target):
    """CVE-2022-23648, CVE-2023-0778, CVE-2024-9341: what fills a volume, or is mounted on, is never the host's."""
    top, look = lab.canary()
    name = lab.load(images.Tar().add_link("v", target.format(top=top)), Volumes={"/v": {}}, Cmd=["sh", "-c", "cat /v/secret; touch /v/new"])
    r = rootlet("run", "--rm", name)
    assert "canary" not in r.out and "Traceback" not in r.err, r
    assert not (top / "new").exists() and look == hostile.look(top)


@rows("A4")
def test_nothing_is_restored_from_an_archive(rootlet):
    """CVE-2026-53492, CVE-2026-50195, CVE-2026-53489: there is no import of checkpoints."""
    for words in (("restore", "-i", "/nosuch.tar"), ("container", "restore", "--import", "/nosuch.tar"), ("container", "checkpoint", "x")):
        r = rootlet(*words)
        assert r.rc == 125 and "hint:" in r.err, r
