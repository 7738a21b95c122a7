"""volume create, ls, inspect, rm, prune, exists."""
import json
import os
import re
import signal
import time

from lib import rows


def make(rootlet, *flags):
    return rootlet.ok("volume", "create", *flags).text


def names(rootlet, *flags):
    return rootlet.ok("volume", "ls", "-q", *flags).out.split()


def events(rootlet, kind):
    text = (rootlet.store.runroot / "events").read_text(encoding="utf-8")
    return [(e["Status"], e["Name"]) for e in map(json.loads, text.splitlines()) if e["Type"] == kind]


@rows("B18")
def test_life_of_a_volume(rootlet):
    assert rootlet.ok("volume", "ls").out == "DRIVER  VOLUME NAME\n"
    assert make(rootlet, "--label", "app=web", "-l", "empty", "data") == "data"
    random = make(rootlet)
    assert re.fullmatch("[0-9a-f]{64}", random)
    assert [line.split() for line in rootlet.ok("volume", "ls").out.splitlines()[1:]] == [
        ["local", name] for name in sorted(("data", random))]
    (found,) = rootlet.ok("volume", "inspect", "data").json()
    assert set(found) >= {"Name", "Driver", "Mountpoint", "CreatedAt", "Labels", "Scope", "Options", "Anonymous"}
    assert found["Labels"] == {"app": "web", "empty": ""} and found["Anonymous"] is False
    assert os.path.isdir(found["Mountpoint"]) and found["Mountpoint"].endswith("/volumes/data/_data")
    assert rootlet.ok("volume", "inspect", "-f", "{{.Name}} {{.Driver}} {{.Scope}}", "data").text == "data local local"
    rootlet.fails("volume", "create", "data", match="data exists already\nhint: --ignore")
    assert make(rootlet, "--ignore", "data") == "data"
    rootlet.ok("volume", "exists", "data")
    rootlet.fails("volume", "exists", "dada", rc=1, match="^$")
    assert rootlet.ok("volume", "rm", "data", random).out.split() == ["data", random]
    rootlet.fails("volume", "rm", "data", rc=1, match="no such volume: data")
    assert rootlet.ok("volume", "rm", "-f", "data").out == ""
    assert os.listdir(rootlet.store.root / "volumes") == []
    assert events(rootlet, "volume") == [("create", "data"), ("create", random), ("remove", "data"), ("remove", random)]
    r = rootlet.fails("volume", "inspect", "data", match="no such volume: data")
    assert r.out == "[]\n"


def test_names_and_options_that_are_refused(rootlet):
    make(rootlet, "data")
    for name in ("../x", "a/b", ".rm-x", "", "x" * 200):
        rootlet.fails("volume", "create", name, match="is not valid")
        rootlet.fails("volume", "rm", name, match="is not valid", rc=None)
    rootlet.fails("volume", "rm", "dat", rc=1, match='did you mean "data"')
    rootlet.fails("volume", "create", "--driver", "nfs", "x", match="--driver nfs.*\nhint: local")
    rootlet.fails("volume", "create", "--opt", "type=nfs", "--opt", "device=:/x", "x", match="type=nfs: only root")
    rootlet.fails("volume", "create", "--opt", "nosuch=1", "x", match="nosuch")
    rootlet.fails("volume", "create", "--opt", "o=bind", "x", match="device=DIR")
    rootlet.fails("volume", "ls", "--filter", "nosuch=1", match="known: name, label")
    rootlet.fails("volume", "ls", "--filter", "dangling=perhaps", match="not true or false")
    rootlet.fails("volume", "ls", "--filter", "name=(", match="not a regular expression")
    rootlet.fails("volume", "ls", "--filter", "name!x=y", match="want KEY=VALUE")
    assert names(rootlet) == ["data"]


def test_filters(rootlet):
    make(rootlet, "--label", "a=1", "--label", "b=2", "one")
    make(rootlet, "--label", "a=2", "two")
    rootlet.ok("create", "--name", "c", "-v", "two:/x", "-v", "/anon", rootlet.image(), "true")
    (anonymous,) = names(rootlet, "--filter", "anonymous=true")
    for volume, want in (("two", "c\n"), (anonymous, "c\n"), ("one", "")):
        assert rootlet.ok("ps", "-a", "--filter", f"volume={volume}", "--format", "{{.Names}}").out == want
    assert names(rootlet, "--filter", "name=one") == ["one"]
    assert names(rootlet, "--filter", "name=^(o|t)", "--filter", "name!=wo$") == ["one"], "a regular expression"
    assert names(rootlet, "--filter", "label=a") == ["one", "two"]
    assert names(rootlet, "--filter", "label=a=1", "--filter", "label=b") == ["one"]
    assert names(rootlet, "--filter", "label=a", "--filter", "label!=b") == ["two"]
    assert names(rootlet, "--filter", "dangling=true") == ["one"]
    assert sorted(names(rootlet, "--filter", "dangling=false")) == sorted(["two", anonymous])
    assert names(rootlet, "--filter", "driver=local", "--filter", "until=1h") == []
    assert [v["Name"] for v in rootlet.ok("volume", "ls", "--format", "json", "--filter", "label=b").json()] == ["one"]


def test_one_in_use_stays(rootlet):
    """Security: the message names the container, -f takes it along; files of subordinate ids go, too."""
    rootlet.ok("run", "-d", "--name", "web", "-v", "data:/data", rootlet.image(), "sh", "-c",
               "mkdir /data/d; touch /data/d/f; chown -R 55:66 /data/d; chmod 0700 /data/d; exec sleep 100")
    for _ in range(50):
        if rootlet("exec", "web", "test", "-e", "/data/d/f").rc == 0:
            break
        time.sleep(0.1)
    rootlet.fails("volume", "rm", "data", rc=2, match=r"used by web \([0-9a-f]{12}\)\nhint: .*rm -f data")
    assert rootlet.ok("volume", "prune", "-f").out == ""
    rootlet.ok("volume", "rm", "-f", "data")
    assert rootlet.ok("ps", "-aq").out == "" and os.listdir(rootlet.store.root / "volumes") == []


def test_prune(rootlet):
    make(rootlet, "--label", "keep", "kept")
    make(rootlet, "gone")
    rootlet.ok("create", "--name", "c", "-v", "used:/x", rootlet.image(), "true")
    for answer in ("n\n", "\n"):
        assert "continue?" in rootlet.ok("volume", "prune", input=answer).out
    assert names(rootlet) == ["gone", "kept", "used"]
    assert rootlet.ok("volume", "prune", "--filter", "label!=keep", input="y\n").out.endswith("gone\n")
    assert rootlet.ok("volume", "prune", "-f").out == "kept\n"
    assert names(rootlet) == ["used"]


def test_a_failed_creation_leaves_no_anonymous_volume(rootlet):
    rootlet.fails("run", "-v", "/a", "-v", "named:/b", "-v", "/no/such:/c", rootlet.image(), "true", match="/no/such")
    rootlet.fails("run", "-v", "/a", "--security-opt", "nosuch", rootlet.image(), "true", match="nosuch")
    assert names(rootlet) == ["named"]


def test_tmpfs_and_bind_volumes(rootlet):
    make(rootlet, "--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", "o=size=2m,mode=0700", "mem")
    out = rootlet.ok("run", "--rm", "-v", "mem:/w", rootlet.image(), "sh", "-c",
                     "grep ' /w ' /proc/mounts; df -k /w | awk '{print $2}' | tail -1; touch /w/f").text
    assert out.startswith("tmpfs /w tmpfs") and out.endswith("2048")
    (found,) = rootlet.ok("volume", "inspect", "mem").json()
    assert found["Options"] == {"type": "tmpfs", "device": "tmpfs", "o": "size=2m,mode=0700"}
    assert os.listdir(found["Mountpoint"]) == []
    d = rootlet.user.tmp / "bound"
    rootlet.shell(f"mkdir {d} && echo here > {d}/f")
    make(rootlet, "--opt", "type=none", "--opt", "o=bind,ro", "--opt", f"device={d}", "www")
    r = rootlet("run", "--rm", "-v", "www:/w", rootlet.image(), "sh", "-c", "cat /w/f; touch /w/g")
    assert r.out == "here\n" and "Read-only" in r.err
    rootlet.ok("volume", "rm", "www", "mem")
    assert (d / "f").exists(), "what it showed is not its own"
    make(rootlet, "--opt", "o=bind", "--opt", "device=/no/such", "lost")
    rootlet.fails("run", "--rm", "-v", "lost:/w", rootlet.image(), "true", match="volume lost: device /no/such")
    rootlet.shell(f"rm -rf {d}")


def test_killed_removals_and_creations_are_finished(rootlet):
    """R7: after a kill at any moment a volume is there or not, and the next command tidies up."""
    volumes = rootlet.store.root / "volumes"
    for n in range(12):
        make(rootlet, "--ignore", "data")
        rootlet.ok("run", "--rm", "-v", "data:/x", rootlet.image(), "sh", "-c",
                   "for i in 1 2 3 4 5 6 7 8; do mkdir -p /x/$i; touch /x/$i/a /x/$i/b; done; chown -R 5 /x/1")
        p = rootlet.spawn("volume", "rm", "data")
        time.sleep(0.002 * n)
        p.send_signal(signal.SIGKILL)
        p.communicate()
    rootlet("volume", "rm", "-f", "data")
    rootlet.ok("volume", "prune", "-f")
    assert os.listdir(volumes) == []
    rootlet.shell(f"mkdir {volumes}/half")  # made, and killed before volume.json
    assert names(rootlet) == []
    assert make(rootlet, "half") == "half"
    rootlet.ok("volume", "rm", "half")


def test_removal_against_creation(rootlet):
    """A container that is made while its volume is removed has it, or the removal came first."""
    image = rootlet.image()
    for n in range(6):
        make(rootlet, "--ignore", "data")
        run = rootlet.spawn("create", "--name", f"c{n}", "-v", "data:/x", image, "true")
        time.sleep(0.004 * n)
        rm = rootlet("volume", "rm", "data")
        out, err = run.communicate(timeout=60)
        assert run.returncode == 0, (out, err)
        assert rm.rc in (0, 1, 2), rm
        rootlet.ok("start", "-a", f"c{n}")
        rootlet.ok("rm", f"c{n}")
