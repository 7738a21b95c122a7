"""Messages: where they go, how they begin, and that nothing hostile reaches the terminal."""
import os
import re

import pytest

from lib import rows

VERBS = """run create start attach stop kill restart wait rm rename exec ps list logs inspect images info version
spec doctor why load import save tag untag rmi history""".split()


@pytest.mark.parametrize("verb", VERBS)
def test_help_and_mistakes_of_every_verb(rootlet, verb):
    r = rootlet.ok(verb, "--help")
    assert "Usage:" in r.out or f"rootlet {verb}" in r.out and r.err == ""
    r = rootlet.fails(verb, "--no-such-flag", match="^Error: ")
    assert "--no-such-flag" in r.err and r.out == "" and "See 'rootlet" in r.err, r


def test_flags_in_every_form(rootlet):
    image = rootlet.image()
    assert rootlet.ok("run", "--rm", "-ie", "A=1", "--workdir=/tmp", "-uapp", image, "sh", "-c", "echo $A; pwd; id -un").text == \
        "1\n/tmp\napp"
    assert rootlet.ok("container", "run", "--rm=true", "--init=false", image, "cat", "/proc/1/comm").text == "cat"
    rootlet.fails("run", "--rm=perhaps", image, match="--rm")
    rootlet.fails("run", "--name", match="--name")
    rootlet.fails("run", "-d", "-a", "stdout", image, "true", match="--attach")
    assert rootlet.ok("run", "--rm", "-h", "short", image, "hostname").text == "short", "-h is the host name"
    rootlet.ok("run", "--rm", "--disable-content-trust", image, "true")


def test_control_characters_are_escaped(rootlet):
    for hostile in ("a\x1b[2Jb", "x\ny", "t\tz", "\x7f"):
        r = rootlet.fails("start", hostile)
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", r.err), repr(r.err)
        assert r.err.count("\n") <= 2, r
    made = rootlet.ok("create", "--name", "c", "-l", "k=\x1b]0;title\x07", rootlet.image(), "\x1b[31mred").text
    for words in (["ps", "-a"], ["ps", "-a", "--no-trunc"], ["list"], ["inspect", made]):
        assert "\x1b" not in rootlet.ok(*words).out and "\x07" not in rootlet.ok(*words).out, words
    r = rootlet("start", "-a", "c", rc=127)
    assert "\x1b" not in r.err


def test_full_disk_of_the_reader(rootlet):
    """A listing that cannot be written is no success."""
    with open("/dev/full", "w", encoding="utf-8") as full:
        r = rootlet("ps", stdout=full)
    assert r.rc == 125 and "No space left" in r.err, r


def test_no_home_no_runtime_directory(rootlet):
    image = rootlet.image()
    r = rootlet.ok("run", "--rm", image, "echo", "x", env={"HOME": None, "XDG_RUNTIME_DIR": None})
    assert r.text == "x"
    r = rootlet("ps", env={"ROOTLET_ROOT": None, "HOME": "/no/such/home"})
    assert r.rc in (0, 125) and "Segm" not in r.err
    r = rootlet.fails("run", image, "true", env={"ROOTLET_ROOT": "/proc/rootlet"})
    assert "/proc" in r.err


def test_bad_settings(rootlet):
    conf = rootlet.user.home / ".config" / "rootlet"
    rootlet.shell(f"mkdir -p {conf}")
    file = conf / "rootlet.conf"
    for text, match in (("nonsense\n", "rootlet.conf"), ("no_such_key = 1\n", "no_such_key"), ("cgroups = \"sometimes\"\n", "cgroups")):
        file.write_text(text)
        r = rootlet("run", "--rm", rootlet.images.reference("busybox"), "true", cgroups=None)
        assert match in r.err, r
    rootlet.shell(f"rm -rf {rootlet.user.home}/.config")


def test_settings_have_an_order(rootlet):
    """Flag before environment before file."""
    conf = rootlet.user.home / ".config" / "rootlet"
    rootlet.shell(f"mkdir -p {conf}")
    (conf / "rootlet.conf").write_text('cgroups = "disabled"\nsecurity_profile = "minimal"\n')
    image = rootlet.image()
    caps = lambda *f, **kw: rootlet.ok("run", "--rm", *f, image, "grep", "CapBnd", "/proc/self/status", **kw).out.split()[1]  # noqa: E731
    assert int(caps(cgroups=None), 16) == 0x421
    assert int(caps(cgroups=None, env={"ROOTLET_SECURITY_PROFILE": "hardened"}), 16) == 0x4eb
    assert int(caps("--security-profile", "default", cgroups=None, env={"ROOTLET_SECURITY_PROFILE": "hardened"}), 16) == 0x800405fb
    rootlet.shell(f"rm -rf {rootlet.user.home}/.config")


def test_a_damaged_record(rootlet):
    """Row B45: it is shown as dead, and goes away by rm."""
    rootlet.ok("create", "--name", "c", rootlet.image(), "true")
    rootlet.ok("create", "--name", "d", rootlet.image(), "true")
    top = rootlet.store.root / "containers"
    for name, file in (("c", "container.json"), ("d", "state.json")):
        (top / rootlet.inspect(name)["Id"] / file).write_text("{")
    r = rootlet.ok("ps", "-a", "--format", "{{.Names}} {{.State}}")
    assert "d dead" in r.out, r
    assert rootlet("start", "c").rc == 125
    assert rootlet("start", "d").rc == 125
    rootlet.ok("rm", "c", "d")
    assert rootlet.ok("ps", "-aq").out == ""


@rows("A64")
def test_a_full_store(rootlet):
    """The store's file system is read-only: named, and no stack of words."""
    rootlet.image()
    os.chmod(rootlet.store.root / "containers", 0o500) if (rootlet.store.root / "containers").exists() else None
    r = rootlet("run", "--rm", rootlet.image(), "true")
    if r.rc:
        assert r.rc == 125 and r.err.startswith("Error: ") and "containers" in r.err, r
    if (rootlet.store.root / "containers").exists():
        os.chmod(rootlet.store.root / "containers", 0o700)


def test_aliases(rootlet):
    rootlet.ok("container", "create", "--name", "c", rootlet.image(), "true")
    assert rootlet.ok("ls", "-aq").out == rootlet.ok("container", "list", "-aq").out != ""
    cid = rootlet.user.tmp / "cid"
    rootlet.ok("create", "--cidfile", cid, rootlet.image(), "true")
    rootlet.ok("rm", "--cidfile", cid)
    cid.unlink()
    rootlet.fails("rm", "--cidfile", cid, match="cid")
    rootlet.ok("remove", "c")
    assert rootlet.ok("ls", "-aq").out == ""
