"""Images made of containers (rootlet commit) and their files as a tar (rootlet export)."""
import io
import json
import os
import re
import subprocess
import tarfile

import pytest

from lib import rows
from test_diff import CHANGES, WANT


def members(rootlet, name):
    """What export writes, but for the root: its time is that of the container."""
    with tarfile.open(fileobj=io.BytesIO(rootlet.ok("export", name, binary=True).out)) as t:
        found = t.getmembers()
    assert found[0].name == "."
    return [{**m.get_info(), **m.pax_headers, "offset": 0} for m in found[1:]]


def layer_dirs(rootlet, image):
    found = rootlet.ok("image", "inspect", image).json()[0]["RootFS"]["Layers"]
    return [rootlet.store.root / "layers" / d.partition(":")[2] for d in found]


def config(rootlet, image):
    return rootlet.ok("image", "inspect", image).json()[0]["Config"]


@pytest.fixture
def changed(rootlet):
    rootlet.ok("run", "--name", "c", rootlet.image(), "sh", "-c", CHANGES)


@rows("A30", "B38", "B55")
def test_layer_of_its_own(rootlet, changed):
    image = rootlet.image()
    image_id = rootlet.ok("commit", "c", "mine:1").text
    assert re.fullmatch("sha256:[0-9a-f]{64}", image_id)
    assert layer_dirs(rootlet, "mine:1")[:-1] == layer_dirs(rootlet, image)
    assert rootlet.ok("diff", "mine:1").text.splitlines() == WANT
    assert rootlet.ok("run", "--rm", "mine:1", "busybox", "ls", "/").text.split() == [
        "bin", "dev", "etc", "fi", "l", "new", "opt", "proc", "root", "sys", "tmp", "usr", "var"]
    assert rootlet.ok("run", "--rm", image, "cat", "/etc/motd").text == "from the image"
    rootlet.ok("image", "check")
    # The same content is the same layer, and a name moves.
    second = rootlet.ok("container", "commit", "-m", "again", "c", "mine:1").text
    assert second != image_id
    assert layer_dirs(rootlet, "mine:1") == layer_dirs(rootlet, image_id)
    assert rootlet.ok("inspect", "--type", "image", "-f", "{{.RepoTags}}", image_id).text == "[]"
    # Layers upon layers.
    rootlet.ok("run", "--name", "d", "mine:1", "rm", "-r", "/new", "/bin/sl")
    rootlet.ok("commit", "d", "mine:2")
    assert rootlet.ok("diff", "mine:2").text.splitlines() == ["C /bin", "D /bin/sl", "D /new"]
    rootlet.ok("rm", "c", "d")
    rootlet.ok("rmi", "-f", image)
    assert rootlet.ok("run", "--rm", "mine:2", "cat", "/etc/motd").text == "x"


def test_configuration(rootlet):
    rootlet.ok("run", "--name", "c", "-e", "A=1", "-e", "B=2", "-w", "/opt", "-u", "1000", "--label", "x=y",
               "--stop-signal", "SIGUSR1", "--health-cmd", "true", "--health-interval", "10s", "-t",
               "-v", "vol:/data", "-v", "/tmp:/host", rootlet.image(), "echo", "hello")
    rootlet.ok("commit", "c", "same")
    got = config(rootlet, "same")
    env = [e for e in got.pop("Env") if e[0] in "ABC" or "HOST" in e or "cont" in e]
    assert env == ["A=1", "B=2"]
    assert got["Cmd"] == ["echo", "hello"] and got["WorkingDir"] == "/opt" and got["User"] == "1000"
    assert got["Labels"]["x"] == "y" and got["StopSignal"] == "SIGUSR1"
    assert got["Healthcheck"] == {"Test": ["CMD-SHELL", "true"], "Interval": 10**10}
    assert "Volumes" not in got
    assert rootlet.ok("run", "--rm", "same").text == "hello"
    changes = ['CMD ["id", "-u"]', "ENV A=new C=3", "USER 0", "LABEL x=z", "EXPOSE 80", "VOLUME /data",
               "WORKDIR /tmp", "STOPSIGNAL SIGTERM", "ONBUILD RUN true", 'ENTRYPOINT ["busybox"]']
    words = [w for c in changes for w in ("-c", c)]
    rootlet.ok("commit", "-a", "Me", "-m", "a comment", *words, "--include-volumes", "c", "other")
    got = config(rootlet, "other")
    assert [e for e in got["Env"] if e[0] in "ABC"] == ["A=new", "B=2", "C=3"]
    assert got["Cmd"] == ["id", "-u"] and got["Entrypoint"] == ["busybox"] and got["User"] == "0"
    assert got["Labels"]["x"] == "z" and got["ExposedPorts"] == {"80/tcp": {}} and got["Volumes"] == {"/data": {}}
    assert got["WorkingDir"] == "/tmp" and got["StopSignal"] == "SIGTERM" and got["OnBuild"] == ["RUN true"]
    all_of_it = rootlet.ok("image", "inspect", "other").json()[0]
    assert all_of_it["Author"] == "Me" and all_of_it["Comment"] == "a comment"
    assert all_of_it["History"][-1]["created_by"] == "echo hello"
    assert rootlet.ok("run", "--rm", "other").text == "0"
    rootlet.fails("commit", "-c", "RUN x", "c", match="want CMD")
    rootlet.fails("commit", "-c", "USER 1", "--format", "tar", "c", match="not oci or docker")
    rootlet.fails("commit", "c", "Not Valid", match="[Nn]ot Valid")
    rootlet.fails("commit", "nosuch", match="no such container")
    rootlet.ok("rm", "c")
    rootlet.ok("volume", "rm", "vol")


@pytest.mark.parametrize("flags", [("--userns", "auto"), ("--userns", "keep-id", "-u", "0"), ("driver",)])
def test_other_maps_and_drivers(rootlet, flags):
    """Owners as inside the container, whatever they are outside; a copy is compared."""
    script = (CHANGES + "mkdir -m 700 /p; echo q > /p/q; chown -R 7:8 /p; ln /p/q /p/hard; chmod 4755 /p/q;"
              "cp /bin/busybox /p/caps; rm /etc/passwd; touch /opt/.wh.odd; mkfifo /p/fifo")
    env = {"ROOTLET_STORAGE_DRIVER": "copy"} if flags == ("driver",) else {}
    flags = () if env else flags
    rootlet.ok("run", "--name", "c", *flags, rootlet.image(), "sh", "-c", script, env=env)
    r = rootlet.ok("commit", "c", "mine")
    assert ".wh.odd" in r.err
    out = rootlet.ok("run", "--rm", "mine", "stat", "-c", "%n %u:%g %a %h %F", "/p", "/p/q", "/p/hard", "/p/fifo")
    assert out.text.splitlines() == ["/p 7:8 700 2 directory", "/p/q 7:8 4755 2 regular file",
                                     "/p/hard 7:8 4755 2 regular file", "/p/fifo 0:0 644 1 fifo"]
    assert rootlet("run", "--rm", "mine", "sh", "-c", "echo /home /etc/passwd /usr/bin /opt/.wh.*").text == (
        "/home /etc/passwd /usr/bin /opt/.wh.*")
    gone = rootlet("run", "--rm", "mine", "busybox", "ls", "-d", "/home", "/etc/passwd", "/usr/bin", "/bin/ls")
    assert gone.rc == 1 and gone.out == ""
    shown = rootlet.ok("diff", "c").text.splitlines()
    assert rootlet.ok("diff", "mine").text.splitlines() == [s for s in shown if ".wh." not in s]
    rootlet.ok("image", "check")


def test_squash_formats_and_files(rootlet, changed):
    id_file = rootlet.user.tmp / "iid"
    flat = rootlet.ok("commit", "--squash", "-q", "--iidfile", id_file, "c", "flat").text
    assert id_file.read_text() == flat
    id_file.unlink()
    assert len(layer_dirs(rootlet, "flat")) == 1
    rootlet.ok("commit", "c", "layered")
    for name in ("flat", "layered"):
        rootlet.ok("create", "--name", f"of-{name}", name)
    assert members(rootlet, "of-flat") == members(rootlet, "of-layered")
    rootlet.ok("commit", "-f", "docker", "c", "docker")
    kind = rootlet.ok("image", "inspect", "docker").json()[0]["ManifestType"]
    assert kind == "application/vnd.docker.distribution.manifest.v2+json"
    env = {"SOURCE_DATE_EPOCH": "1000000000"}
    assert rootlet.ok("commit", "c", env=env).text == rootlet.ok("commit", "c", env=env).text
    rootlet.fails("commit", "--iidfile", "/nosuch/file", "c", "never", match="/nosuch/file")
    assert "never" not in rootlet.ok("images").out


@rows("B55")
def test_others_can_read_it(rootlet, changed, tmp_path):
    """skopeo copies and inspects what was committed, with every digest checked."""
    rootlet.images.need("skopeo")
    for form, names in (("oci", ("oci-archive", "oci")), ("docker", ("docker-archive", "docker"))):
        rootlet.ok("commit", "-f", form, "-m", form, "c", f"mine:{form}")
        archive = rootlet.user.tmp / f"{form}.tar"
        rootlet.ok("save", "--format", names[0], "-o", archive, f"mine:{form}")
        target = f"oci:{tmp_path}/{form}:x"
        run = dict(check=True, capture_output=True, text=True)
        subprocess.run(["skopeo", "--insecure-policy", "copy", "-q", f"{names[0]}:{archive}", target], **run)
        seen = json.loads(subprocess.run(["skopeo", "inspect", "--config", target], **run).stdout)
        assert len(seen["rootfs"]["diff_ids"]) == 2 and seen["history"][-1]["comment"] == form
        archive.unlink()


def test_running(rootlet):
    rootlet.ok("run", "-d", "--name", "c", "-v", "vol:/data", rootlet.image(), "sh", "-c",
               "echo inside > /data/x; echo y > /seen; touch /ready; exec sleep 1000")
    rootlet.wait_for(lambda: rootlet("exec", "c", "ls", "/ready").rc == 0)
    r = rootlet.ok("commit", "c", "live")
    assert "is not paused" in r.err
    assert rootlet.ok("commit", "--pause=false", "c", "live").err == ""
    assert rootlet.ok("run", "--rm", "live", "sh", "-c", "cat /seen; ls -A /data 2>/dev/null; true").text == "y"
    tar = rootlet.ok("export", "c", binary=True).out
    names = tarfile.open(fileobj=io.BytesIO(tar)).getnames()
    assert "./seen" in names or "seen" in names
    assert not [n for n in names if n.startswith(("proc/", "sys/", "dev/", "data/"))]
    supervisor = json.loads(
        (rootlet.store.root / "containers" / rootlet.inspect("c")["Id"] / "state.json").read_text())
    os.kill(supervisor["supervisor_pid"], 9)
    rootlet.ok("commit", "-q", "c", "orphan")
    assert rootlet.ok("export", "c", binary=True).out == tar
    rootlet.ok("rm", "-f", "c")
    rootlet.ok("volume", "rm", "vol")


def test_round_trip(rootlet, changed):
    """Exported and imported it is the same: each name with all that belongs to it."""
    rootlet.shell("rootlet export c | rootlet import -q - again")
    rootlet.ok("create", "--name", "d", "again", "true")
    again = members(rootlet, "d")
    assert again == members(rootlet, "c") and len(again) > 200
    with tarfile.open(fileobj=io.BytesIO(rootlet.ok("export", "c", binary=True).out)) as t:
        assert t.extractfile("etc/motd").read() == b"x\n"
        assert t.getmember("fi").isfifo() and t.getmember("l").linkname == "a"
        assert "home" not in t.getnames() and "bin/sl" in t.getnames()


def test_attributes(rootlet):
    """Hard links, set-user-ID, file capabilities, owners, times (in seconds: a fraction would cost 1 KiB a file), a
    hole, names of all bytes, and more directories in each other than are kept open."""
    tar = rootlet.user.tmp / "in.tar"
    script = ("echo a > /h1; ln /h1 /h2; chown 12:34 /h2; chmod 4711 /h1; touch -d @1234567890 /h1;"
              r'''touch '/sp ace' "/$(printf 'n\nl\377')";'''
              "truncate -s 3G /hole; echo end >> /hole; truncate -s 800G /vast;"
              "mkdir -m 1777 /sticky; chown 5 /sticky;"
              "d=/deep; for i in 1 2 3 4 5 6 7 8; do d=$d/d/d/d/d/d/d/d; mkdir -p $d; echo > $d/../z; echo > $d/z; done")
    rootlet.ok("run", "--name", "c", rootlet.image(), "sh", "-c", script)
    rootlet.ok("export", "-o", tar, "c")
    assert tar.stat().st_size < 10 << 20 and tar.stat().st_uid == rootlet.user.uid
    with tarfile.open(tar) as t:
        first, second = t.getmember("h1"), t.getmember("h2")
        assert first.mode == 0o4711 and (first.uid, first.gid) == (12, 34) and first.mtime == 1234567890
        assert second.islnk() and second.linkname == "h1"
        assert t.getmember("hole").size == (3 << 30) + 4 and t.getmember("vast").size == 800 << 30
        assert t.getmember("sticky").mode == 0o1777 and t.getmember("sticky").uid == 5
        assert "sp ace" in t.getnames() and any("n\nl" in n for n in t.getnames())
        assert not any("mtime" in m.pax_headers for m in t)
        assert [n for n in t.getnames() if n.endswith("/z")] == [
            f"deep{i * '/d'}/z" for i in range(56, 5, -1) if i % 7 in (0, 6)]
    # No other reader takes them for something else.
    listing = subprocess.run(["tar", "tvf", tar], capture_output=True, text=True, errors="replace", check=True)
    assert str(800 << 30) in listing.stdout
    rootlet.shell(f"rm {tar}")


def test_holes_in_layers(rootlet):
    rootlet.ok("run", "--name", "c", rootlet.image(), "sh", "-c",
               "truncate -s 3G /hole; echo end >> /hole; truncate -s 100M /all")
    rootlet.ok("commit", "c", "holes")
    out = rootlet.ok("run", "--rm", "holes", "sh", "-c", "tail -c 4 /hole; stat -c %s /hole /all; du -k /hole /all")
    words = out.text.split()
    assert words[:3] == ["end", str((3 << 30) + 4), str(100 << 20)] and int(words[3]) < 100 and int(words[5]) < 100
    rootlet.ok("image", "check")
    archive = rootlet.user.tmp / "holes.tar"
    rootlet.ok("save", "-o", archive, "holes")
    assert archive.stat().st_size < 20 << 20
    image_id = rootlet.ok("image", "inspect", "-f", "{{.Id}}", "holes").text
    rootlet.ok("rm", "c")
    rootlet.ok("rmi", "holes")
    rootlet.ok("load", "-i", archive)
    assert rootlet.ok("image", "inspect", "-f", "{{.Id}}", "holes").text == image_id
    rootlet.shell(f"rm {archive}")


def test_while_files_change(rootlet):
    """The tar is whole whatever the container does to its files meanwhile."""
    script = ("mkdir /w; cd /w; touch /ready; while :; do head -c 3000000 /dev/zero > a; : > a; mkdir -p d/e; "
              "echo x > d/e/f; mv d g; rm -r g; ln -s x l; rm l; mkfifo l; rm l; done")
    rootlet.ok("run", "-d", "--name", "c", rootlet.image(), "sh", "-c", script)
    rootlet.wait_for(lambda: rootlet("exec", "c", "ls", "/ready").rc == 0)
    for _ in range(10):
        tar = rootlet.ok("export", "c", binary=True).out
        with tarfile.open(fileobj=io.BytesIO(tar)) as t:
            assert "bin/busybox" in t.getnames() and t.getnames()[-1].startswith(("w", "var"))
        assert len(tar) % 512 == 0 and tar[-1024:] == bytes(1024)
    rootlet.ok("commit", "-q", "c", "x")
    rootlet.ok("rm", "-f", "-t", "0", "c")


def test_where_it_goes(rootlet, changed):
    tmp = rootlet.user.tmp / "out"
    rootlet.shell(f"mkdir {tmp}")
    t = rootlet.pty("export", "c")
    t.expect("refusing to write an archive to a terminal")
    t.expect("use --output FILE")
    assert t.wait() == 125
    # Nothing is left of what did not come to its end.
    rootlet.fails("export", "-o", tmp / "no" / "x", "c", match="No such file")
    rootlet.fails("export", "-o", tmp, "c", match="Is a directory")
    full = rootlet.shell("ulimit -f 200; rootlet export -o out.tar c", rc=125, cwd=tmp)
    assert "out.tar" in full.err and "File too large" in full.err
    rootlet.fails("export", "-o", "/dev/full", "c", match="No space left on device")
    assert list(tmp.iterdir()) == []
    rootlet.shell("echo old > out.tar; rootlet export -o out.tar c; rootlet export c > by-shell", cwd=tmp)
    assert (tmp / "out.tar").read_bytes() == (tmp / "by-shell").read_bytes()
    r = rootlet.shell("rootlet export c | head -c 10 > /dev/null")
    assert "Error" not in r.err
    rootlet.fails("export", "nosuch", match="no such container")
    rootlet.shell(f"rm -r {tmp}")


def test_of_a_directory(rootlet):
    """--rootfs: nothing to commit, but to export."""
    top = rootlet.user.tmp / "rootfs"
    rootlet.shell(f"mkdir -p {top}/bin && cp {rootlet.images.dir}/../bin/none {top}/bin/ 2>/dev/null; "
                  f"cp /usr/bin/busybox {top}/bin/ 2>/dev/null || cp /bin/busybox {top}/bin/")
    rootlet.ok("run", "--name", "c", "--rootfs", top, "/bin/busybox", "touch", "/made")
    rootlet.fails("commit", "c", match="hint: rootlet export c | rootlet import")
    with tarfile.open(fileobj=io.BytesIO(rootlet.ok("export", "c", binary=True).out)) as t:
        assert "made" in t.getnames() and t.getmember("made").uid == 0
    rootlet.ok("rm", "c")
    rootlet.shell(f"rm -rf {top}")


def test_options_of_odd_bytes(rootlet, changed):
    """What cannot be handed over is refused, not left out."""
    odd = "odd\udcff"
    rootlet.fails("commit", "-c", "LABEL a=" + odd, "c", match="not valid UTF-8")
    rootlet.fails("commit", "-m", odd, "c", match="not valid UTF-8")
    rootlet.fails("export", "-o", odd, "c", match="not valid UTF-8")


def test_a_layer_that_comes_twice(rootlet):
    """Two commits of nothing are the same empty layer: the image of both runs."""
    rootlet.ok("create", "--name", "one", rootlet.image(), "true")
    rootlet.ok("commit", "-q", "one", "first")
    rootlet.ok("create", "--name", "two", "first", "true")
    rootlet.ok("commit", "-q", "two", "second")
    assert rootlet.ok("run", "--rm", "second", "cat", "/etc/motd").text == "from the image"
