"""What a container has changed of its image: rootlet diff."""
import json
import os
import shutil

import pytest

from lib import rows

# Every kind of change once; the answer is what podman (native overlay) prints for the same image,
# but for /usr: podman calls a directory deleted that was made again, here its content is.
CHANGES = """
echo x > /etc/motd; mkdir /new; echo y > /new/f; mkdir -p /new/d/e; rm -r /home
touch /opt/t; rm /opt/t; chmod 700 /var; chown 0 /bin/cat; rm /etc/group
rm -r /usr; mkdir /usr /usr/x; ln -s a /l; mkfifo /fi; touch -r /etc/passwd /root
rm -r /var/tmp; touch /var/tmp; mv /bin/ls /bin/sl
"""
WANT = """C /bin
C /bin/busybox
D /bin/ls
A /bin/sl
C /etc
D /etc/group
C /etc/motd
A /fi
D /home
A /l
A /new
A /new/d
A /new/d/e
A /new/f
C /opt
C /usr
D /usr/bin
A /usr/x
C /var
C /var/tmp""".splitlines()


def changed(rootlet, *flags, name="c", script=CHANGES):
    rootlet.ok("run", "--name", name, *flags, rootlet.image(), "sh", "-c", script)
    return rootlet.ok("diff", name).text.splitlines()


@rows("A30", "B38")
def test_every_kind_of_change(rootlet):
    layers = rootlet.ok("image", "inspect", rootlet.image()).json()
    assert changed(rootlet) == WANT
    lists = rootlet.ok("diff", "--format", "json", "c").json()
    assert lists == {key: [line[2:] for line in WANT if line[0] == kind]
                     for key, kind in (("changed", "C"), ("added", "A"), ("deleted", "D"))}
    assert rootlet.ok("container", "diff", "-l").text.splitlines() == WANT
    assert rootlet.ok("image", "inspect", rootlet.image()).json() == layers
    rootlet.ok("run", "--name", "none", rootlet.image(), "true")
    assert rootlet.ok("diff", "none").out == ""
    assert rootlet.ok("diff", "--format", "json", "none").json() == {}


def test_mounts_are_no_changes(rootlet):
    """Places that the runtime made: for the kernel's file systems, its own files, and volumes."""
    flags = ("-v", "vol:/data/deep/er", "--tmpfs", "/scratch", "-v", "/etc/hostname:/etc/extra")
    assert changed(rootlet, *flags, script="true") == []
    assert changed(rootlet, *flags, name="d", script="echo x > /data/deep/f; echo y > /data/deep/er/g") == [
        "A /data", "A /data/deep", "A /data/deep/f"]
    rootlet.ok("rm", "c", "d")
    rootlet.ok("volume", "rm", "vol")


@pytest.mark.parametrize("flags", [("--userns", "auto"), ("--userns", "keep-id"), ("--read-only",)])
def test_other_maps(rootlet, flags):
    if flags == ("--read-only",):
        assert changed(rootlet, *flags, script="true") == []
    else:
        user = () if flags[1] != "keep-id" else ("-u", "0")
        script = "chown 5:5 /etc/motd; mkdir -m 700 /p; touch /p/q; chown -R 7 /p"
        assert changed(rootlet, *flags, *user, script=script) == [
            "C /etc", "C /etc/motd", "A /p", "A /p/q"]


def test_while_it_runs_and_without_its_supervisor(rootlet):
    rootlet.ok("run", "-d", "--name", "c", rootlet.image(), "sleep", "1000")
    assert rootlet.ok("diff", "c").out == ""
    rootlet.ok("exec", "c", "touch", "/x")
    assert rootlet.ok("diff", "c").text == "A /x"
    supervisor = json.loads(
        (rootlet.store.root / "containers" / rootlet.inspect("c")["Id"] / "state.json").read_text())
    os.kill(supervisor["supervisor_pid"], 9)
    assert rootlet.ok("diff", "c").text == "A /x"
    rootlet.ok("rm", "-f", "c")


def test_by_comparison(rootlet):
    """The copy driver has no upper: its tree is compared, attributes included."""
    rootlet.ok("load", "-i", rootlet.images.path("layers"))
    image = "localhost/layers:latest"
    driver = {"ROOTLET_STORAGE_DRIVER": "copy"}
    rootlet.ok("create", "--name", "c", image, "sh", "-c",
               CHANGES + "touch -r /etc/passwd /keep; cp -p /only-first /x; mv /x /only-first; rm /f", env=driver)
    assert rootlet.inspect("c")["Driver"] == "copy"
    assert rootlet.ok("diff", "c").out == ""
    rootlet.ok("start", "-a", "c")
    want = [line for line in WANT if line != "C /bin/busybox"]  # chown to whom it belonged
    assert rootlet.ok("diff", "c").text.splitlines() == sorted(
        want + ["A /keep", "D /f"], key=lambda line: line[2:].split("/"))
    rootlet.ok("run", "--name", "m", "--userns", "auto", rootlet.image(), "sh", "-c", "chown 1 /opt", env=driver)
    assert rootlet.ok("diff", "m").text == "C /opt"


def test_of_an_image(rootlet):
    rootlet.ok("load", "-i", rootlet.images.path("layers"))
    assert rootlet.ok("image", "diff", "localhost/layers").text.splitlines() == [
        "D /deleted", "C /f", "D /goes", "C /opaque", "A /opaque/above", "D /opaque/below"]


def test_what_cannot_be_compared(rootlet):
    rootlet.fails("diff", "nosuch", match='no such container or image: "nosuch"')
    rootlet.fails("diff", match="no container or image given")
    rootlet.fails("diff", "--format", "yaml", "x", match="there is only json")
    top = rootlet.user.tmp / "rootfs"
    tar = rootlet.images.path("busybox")
    assert tar.exists()
    rootlet.shell(f"mkdir -p {top}/bin && cp {shutil.which('busybox')} {top}/bin/")
    rootlet.ok("run", "--name", "c", "--rootfs", top, "/bin/busybox", "true")
    rootlet.fails("diff", "c", match="--rootfs")
    rootlet.ok("rm", "c")
    rootlet.shell(f"rm -rf {top}")


def test_hostile_names(rootlet):
    script = r"""
    touch "/$(printf 'a\033[2Jb')" "/$(printf 'n\nl')" "/$(printf '\377')" "/.wh.x"
    i=0; d=$(printf '%0200d' 0); while [ $i -lt 40 ]; do mkdir $d; cd $d; i=$((i + 1)); done; touch end
    mkdir /many; cd /many; seq 1 3000 | xargs touch
    """
    lines = changed(rootlet, script=script)
    assert lines[0] == "A /.wh.x" and r"A /a\x1b[2Jb" in lines and r"A /n\x0al" in lines and r"A /\xff" in lines
    assert max(len(line) for line in lines) > 4096  # PATH_MAX
    assert sum(line.startswith("A /many/") for line in lines) == 3000
    names = rootlet.ok("diff", "--format", "json", "c").json()["added"]
    assert "/a\x1b[2Jb" in names and "/n\nl" in names and r"/\xff" in names
    r = rootlet.shell("rootlet diff c | head -n 1")
    assert r.text == "A /.wh.x" and "Error" not in r.err
