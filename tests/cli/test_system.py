"""What keeps the store small: container, pod and system prune; system df and reset; sizes; unshare."""
import fcntl
import json
import os
import shutil
import signal

from lib import rows


def names(rootlet):
    return sorted(rootlet.ok("ps", "-a", "--format", "{{.Names}}").out.split())


def test_container_exists(rootlet):
    rootlet.ok("create", "--name", "c", rootlet.image(), "true")
    assert rootlet.ok("container", "exists", "c").out == ""
    r = rootlet("container", "exists", "nosuch", rc=1)
    assert (r.out, r.err) == ("", "")
    rootlet.fails("container", "exists", "c", "nosuch")


def test_container_prune(rootlet):
    box = rootlet.image()
    ids = {n: rootlet.ok("create", "--name", n, *more, box, "true").text
           for n, more in (("a", ["-l", "keep"]), ("b", ["-l", "x=1"]), ("c", []))}
    rootlet.ok("run", "-d", "--name", "up", box, "sleep", "100")
    rootlet.ok("run", "--name", "ended", box, "true")
    assert rootlet.ok("container", "prune", "-f", "--filter", "until=1h").out == ""
    r = rootlet.ok("container", "prune", "-f", "--filter", "label=x=1")
    assert r.out == ids["b"] + "\n"
    rootlet.ok("container", "prune", "-f", "--filter", "label!=keep", "--filter", "until=0s")
    assert names(rootlet) == ["a", "up"]
    rootlet.fails("container", "prune", "-f", "--filter", "name=a", match="unknown filter\nhint: known: until=")
    rootlet.fails("container", "prune", "-f", "--filter", "until=soon", match="not a time")
    rootlet.ok("container", "prune", "-f")
    assert names(rootlet) == ["up"]


def test_prune_of_many(rootlet):
    """Several processes share the work; what cannot go is told, and nothing else stays."""
    box = rootlet.image()
    close = "mkdir -m 700 /own; echo x > /own/f; chown 5:5 /own"
    rootlet.shell(f"for i in 1 2 3; do rootlet run --cgroups=disabled --name w$i {box} sh -c '{close}' || exit 1; done;"
                  f"for i in $(seq 40); do rootlet create --cgroups=disabled --name c$i {box} true || exit 1; done")
    held = rootlet.store.root / "containers" / rootlet.inspect("c7")["Id"]
    fd = os.open(held, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(fd, fcntl.LOCK_EX)  # as who has just made it and will start it
    try:
        ids = rootlet.ok("ps", "-aq", "--no-trunc").out.split()
        gone = rootlet.ok("container", "prune", "-f").out.split()
    finally:
        os.close(fd)
    assert len(ids) == 43 and sorted(gone) == sorted(set(ids) - {held.name})
    assert names(rootlet) == ["c7"]
    assert os.listdir(held.parent) == [held.name]
    rootlet.ok("rm", "c7")


def test_the_question(rootlet):
    """Asked on a terminal; an answer may come through a pipe; without any nothing goes."""
    rootlet.ok("create", "--name", "c", rootlet.image(), "true")
    rootlet.fails("container", "prune", match="nobody is there to answer.*\nhint: --force")
    assert "WARNING! This will remove all stopped containers.\n" in rootlet.ok("container", "prune", input="n\n").out
    assert names(rootlet) == ["c"]
    for command in (("image", "prune"), ("image", "prune", "-a"), ("volume", "prune"), ("pod", "prune")):
        r = rootlet.fails(*command, match="nobody is there to answer")
        assert "WARNING! This will remove all " in r.out and "[y/N]" in r.out
    t = rootlet.pty("container", "prune")
    t.expect(r"Are you sure you want to continue\? \[y/N\] ")
    t.send("y\n")
    assert t.wait() == 0
    assert names(rootlet) == []


def test_pod_prune(rootlet):
    box = rootlet.image()
    for pod in ("never", "up", "down"):
        rootlet.ok("pod", "create", pod)
        rootlet.ok("create", "--pod", pod, "--name", f"in-{pod}", box, "sleep", "100")
    rootlet.ok("pod", "start", "up", "down")
    rootlet.ok("pod", "stop", "-t", "0", "down")
    infra = rootlet.ok("pod", "inspect", "-f", "{{.Id}}", "down").text
    assert rootlet.ok("pod", "prune", "-f").out == infra + "\n"
    assert sorted(rootlet.ok("pod", "ps", "--format", "{{.Name}}").out.split()) == ["never", "up"]
    # A member that does not run goes, the infra container does not.
    rootlet.ok("container", "prune", "-f")
    assert sorted(rootlet.ok("pod", "ps", "--format", "{{.Name}}").out.split()) == ["never", "up"]
    assert "in-up" in names(rootlet) and "in-never" not in names(rootlet)
    rootlet.ok("pod", "rm", "-fa", "-t", "0")


def test_image_prune_filters(rootlet):
    box = rootlet.image()
    rootlet.ok("untag", box)
    rootlet.ok("image", "prune", "-f", "--filter", "label=nosuch")
    assert rootlet.ok("images", "-q").out != ""
    rootlet.fails("image", "prune", "-f", "--filter", "color=red", match="known: until=")
    rootlet.ok("image", "prune", "-f", "--filter", "label!=nosuch", "--filter", "until=0s")
    assert rootlet.ok("images", "-q").out == ""
    rootlet.store.loaded.clear()


def kinds(rootlet):
    """Type -> row of system df."""
    return {row["Type"]: row for row in rootlet.ok("system", "df", "--format", "json").json()}


HIDE = ("mkdir -m 700 /a; dd if=/dev/zero of=/a/f bs=1000 count=%d 2>/dev/null; echo -n twelve_bytes > /b; "
        "ln /a/f /a/g; chown -R 33:33 /a")


@rows("A32", "A62")
def test_df(rootlet):
    """Sizes to the byte, also of what only subordinate ids may read; shared layers count once."""
    assert {t: (r["Total"], r["RawSize"]) for t, r in kinds(rootlet).items()} == {
        "Images": (0, 0), "Containers": (0, 0), "Local Volumes": (0, 0), "Build Cache": (0, 0)}
    box = rootlet.image()
    image = rootlet.ok("images", "--format", "json").json()[0]["Size"]
    rootlet.ok("run", "--name", "a", box, "sh", "-c", HIDE % 3000)
    rootlet.ok("run", "-d", "--name", "b", "-v", "data:/a", box, "sh", "-c", HIDE % 500 + "; exec sleep 100")
    rootlet.ok("volume", "create", "idle")
    rootlet.wait_for(lambda: kinds(rootlet)["Local Volumes"]["RawSize"] == 500_000)
    df = kinds(rootlet)
    assert df["Images"]["RawSize"] == image and df["Images"]["RawReclaimable"] == 0
    assert (df["Images"]["Total"], df["Images"]["Active"]) == (1, 1)
    assert (df["Containers"]["Total"], df["Containers"]["Active"]) == (2, 1)
    assert df["Containers"]["RawSize"] == 3_000_000 + 12 + 12
    assert df["Containers"]["RawReclaimable"] == 3_000_000 + 12
    assert df["Containers"]["Reclaimable"] == "3MB (99%)"
    assert (df["Local Volumes"]["Total"], df["Local Volumes"]["Active"]) == (2, 1)
    assert df["Local Volumes"]["RawReclaimable"] == 0
    lines = rootlet.ok("system", "df").out.splitlines()
    assert lines[0].split() == ["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"]
    assert [line.split("  ")[0] for line in lines[1:]] == ["Images", "Containers", "Local Volumes", "Build Cache"]

    # Without a container the image could go, and a second name of it is not a second image.
    rootlet.ok("tag", box, "localhost/again")
    rootlet.ok("rm", "-f", "-t0", "a", "b")
    df = kinds(rootlet)
    assert df["Images"]["RawSize"] == df["Images"]["RawReclaimable"] == image
    assert (df["Images"]["Total"], df["Images"]["Active"]) == (1, 0)
    assert df["Local Volumes"]["RawReclaimable"] == 500_000


def test_df_verbose(rootlet):
    box = rootlet.image()
    rootlet.ok("run", "--name", "a", "-v", "data:/x", box, "sh", "-c", "echo -n 12345 > /f; echo -n 1234567 > /x/f")
    out = rootlet.ok("system", "df", "-v").out
    heads = [line for line in out.splitlines() if line.isupper()]
    assert [h.split("  ")[0] for h in heads] == ["REPOSITORY", "CONTAINER ID", "VOLUME NAME", "CACHE ID"]
    assert "UNIQUE SIZE" in heads[0] and "LOCAL VOLUMES" in heads[1] and "LINKS" in heads[2]
    assert [line for line in out.splitlines() if line.endswith(":")] == [
        "Images space usage:", "Containers space usage:", "Local Volumes space usage:", "Build Cache space usage:"]
    everything = rootlet.ok("system", "df", "-v", "--format", "json").json()[0]
    assert everything["Images"][0]["Containers"] == 1
    assert everything["Images"][0]["SharedSize"] == "0B"
    assert (everything["Containers"][0]["Size"], everything["Containers"][0]["LocalVolumes"]) == ("5B", 1)
    assert (everything["Volumes"][0]["Size"], everything["Volumes"][0]["Links"]) == ("7B", 1)


def test_size_columns(rootlet):
    box = rootlet.image()
    image = rootlet.ok("images", "--format", "json").json()[0]["Size"]
    rootlet.ok("run", "--name", "a", box, "sh", "-c", HIDE % 3000)
    rootlet.ok("create", "--name", "b", box, "true")
    assert rootlet.ok("ps", "-as", "--format", "{{.Names}}: {{.Size}}").out.splitlines()[1].startswith("a: 3MB (virtual ")
    sizes = {r["Names"][0]: r["Size"] for r in rootlet.ok("ps", "-as", "--format", "json").json()}
    assert sizes == {"a": {"rwSize": 3_000_012, "rootFsSize": image + 3_000_012},
                     "b": {"rwSize": 0, "rootFsSize": image}}
    a = rootlet.ok("inspect", "--size", "a").json()[0]
    assert (a["SizeRw"], a["SizeRootFs"]) == (3_000_012, image + 3_000_012)
    assert "SizeRw" not in rootlet.inspect("a")


def test_unshare(rootlet):
    """The child is the command itself: exit status, descriptors, environment; ids are the containers'."""
    r = rootlet.ok("unshare", "sh", "-c", "id -u; id -g; echo $X; awk 'NR == 1 {print $1, $3}' /proc/self/uid_map",
                   env={"X": "kept"})
    assert r.out.splitlines()[:3] == ["0", "0", "kept"] and r.out.splitlines()[3] == "0 1"
    assert rootlet.ok("unshare", "sh", "-c", "echo $ROOTLET_ROOT").text == str(rootlet.store.root)
    rootlet("unshare", "sh", "-c", "exit 7", rc=7)
    rootlet.fails("unshare", "/nosuch/program", rc=127)
    rootlet.fails("unshare", "/etc/passwd", rc=126)
    assert rootlet.ok("unshare", input="echo $$ in a shell; exit\n", env={"SHELL": "/bin/sh"}).out.endswith("in a shell\n")
    p = rootlet.spawn("unshare", "sh", "-c", "trap 'exit 9' TERM; echo ready; while :; do sleep 0.1; done")
    assert p.stdout.readline() == "ready\n"
    p.terminate()
    assert p.wait(20) == 9
    rootlet.fails("unshare", "--rootless-netns", "true", match="hint: no network namespace is shared")
    # What only a subordinate id may touch.
    rootlet.ok("run", "--rm", "-v", "data:/d", rootlet.image(), "sh", "-c", "mkdir -m 700 /d/a; echo x > /d/a/f; chown -R 33:33 /d/a")
    place = rootlet.store.root / "volumes/data/_data/a"
    rootlet.shell(f"cat {place}/f", rc=1)
    assert rootlet.ok("unshare", "cat", place / "f").out == "x\n"
    rootlet.ok("unshare", "rm", "-r", place)
    assert not place.exists()
    t = rootlet.pty("unshare", "sh", "-c", "test -t 0 && test -t 1 && tty < /dev/tty > /dev/null && echo terminal")
    t.expect("terminal")
    assert t.wait() == 0


@rows("A32", "A62")
def test_reset(rootlet):
    """Everything goes, what runs and what subordinate ids own as well; the store is usable at once."""
    box = rootlet.image()
    rootlet.ok("run", "-d", "--restart", "always", "--name", "a", "-v", "data:/d", box, "sh", "-c",
               "mkdir -m 700 /d/a /a; echo x > /d/a/f; chown -R 33:33 /d/a /a; echo ready; exec sleep 1000")
    rootlet.wait_for(lambda: "ready" in rootlet.ok("logs", "a").out)
    rootlet.ok("pod", "create", "p")
    rootlet.ok("run", "-d", "--pod", "p", box, "sleep", "1000")
    rootlet.ok("network", "create", "n")
    rootlet.ok("run", "-d", "--network", "n", "-p", "127.0.0.1::80", box, "sleep", "1000")
    rootlet.fails("system", "reset", match="nobody is there to answer")
    out = rootlet.ok("system", "reset", input="n\n").out
    for line in ("WARNING! This will remove:\n", "  - 4 containers, of which 4 run\n", "  - 1 image\n", "  - 1 volume\n", "  - 1 network\n",
                 f"  - everything else in the store {rootlet.store.root}\n",
                 f"  - everything in the run directory {rootlet.store.runroot}\n", "The configuration stays.\n"):
        assert line in out
    assert len(names(rootlet)) == 4
    assert rootlet.ok("system", "reset", "-f").out == ""
    assert not rootlet.store.root.exists() and not rootlet.store.runroot.exists()
    rootlet.ok("system", "reset", "-f")  # there is nothing, which is fine
    rootlet.store.loaded.clear()
    assert rootlet.ok("run", "--rm", rootlet.image(), "echo", "again").text == "again"


def test_reset_of_a_damaged_store(rootlet):
    """No record can be read and a supervisor is gone: still nothing is left, no process either."""
    box = rootlet.image()
    pids = []
    for name in ("orphan", "led"):
        rootlet.ok("run", "-d", "--name", name, box, "sh", "-c", "mkdir -m 700 /a; chown 33:33 /a; exec sleep 1000")
        pids.append(rootlet.inspect(name)["State"]["Pid"])
        state = rootlet.store.root / "containers" / rootlet.inspect(name)["Id"] / "state.json"
        if name == "orphan":
            os.kill(rootlet.wait_for(lambda s=state: json.loads(s.read_text())["supervisor_pid"]), signal.SIGKILL)
        for file in state.parent.glob("*.json"):
            file.write_text("{")
    for file in (*rootlet.store.root.glob("images/*"), *rootlet.store.root.glob("refs/*/*")):
        file.write_bytes(b"\0")
    shutil.rmtree(rootlet.store.root / "names")
    (rootlet.store.root / "names").symlink_to("/")
    rootlet.ok("system", "reset", "-f")
    assert not rootlet.store.root.exists() and not rootlet.store.runroot.exists()
    for pid in pids:
        rootlet.wait_for(lambda p=pid: not os.path.exists(f"/proc/{p}"))
    rootlet.store.loaded.clear()


def test_reset_refuses_what_is_no_store(rootlet):
    """A mistyped --root costs nothing, links are not followed, what is mounted stays."""
    rootlet.image()
    home = rootlet.user.home
    precious = home / "precious"
    rootlet.shell(f"mkdir {precious} && touch {precious}/file")
    for root in (home, precious, rootlet.store.root / "layers"):
        rootlet.fails("--root", root, "system", "reset", "-f", match="no store of rootlet's|does not look like a store")
    (precious / "file").unlink()
    rootlet.shell(f"mkdir {precious}/images")
    rootlet.fails("--root", precious, "system", "reset", "-f", match="does not look like a store")
    rootlet.fails("--root", "/etc", "system", "reset", "-f",
                  match="belongs to uid 0|no store of rootlet's")
    rootlet.fails("--runroot", home, "system", "reset", "-f", match="no run directory of rootlet's")
    assert rootlet.ok("images", "-q").out
    (rootlet.store.root / "volumes").symlink_to(precious)
    rootlet.ok("system", "reset", "-f")
    assert (precious / "images").exists() and not rootlet.store.root.exists()
    shutil.rmtree(precious)
    rootlet.store.loaded.clear()


def test_system_prune(rootlet):
    """What nothing needs goes, and the space that it took is told; what runs keeps all it has."""
    box = rootlet.image()
    image = rootlet.ok("images", "--format", "json").json()[0]["Size"]
    rootlet.ok("run", "-d", "--name", "up", "-v", "used:/u", box, "sleep", "100")
    ended = rootlet.ok("run", "-d", "--name", "ended", "-v", "data:/d", box, "sh", "-c", HIDE % 3000 + "; head -c 5000000 /dev/zero > /d/f").text
    rootlet.ok("wait", "ended")
    rootlet.fails("system", "prune", match="nobody is there to answer")
    out = rootlet.ok("system", "prune", "-a", "--volumes", "--filter", "label=x", input="n\n").out
    assert out.startswith("WARNING! This will remove:\n  - all stopped containers\n")
    for line in ("  - all volumes not used by at least one container\n",
                 "  - all images without at least one container associated to them\n",
                 "  Items to be pruned will be filtered with:\n  - label=x\n"):
        assert line in out
    assert rootlet.ok("system", "prune", "-f", "--filter", "label=x").out == "Total reclaimed space: 0B\n"
    out = rootlet.ok("system", "prune", "-f").out
    assert out == f"Deleted Containers:\n{ended}\n\nTotal reclaimed space: 3MB\n"
    out = rootlet.ok("system", "prune", "-af", "--volumes").out
    assert out == "Deleted Volumes:\ndata\n\nTotal reclaimed space: 5MB\n"
    assert names(rootlet) == ["up"] and rootlet.ok("volume", "ls", "-q").out == "used\n"

    rootlet.ok("rm", "-f", "-t0", "up")
    assert rootlet.ok("system", "prune", "-f").out == "Total reclaimed space: 0B\n"
    out = rootlet.ok("system", "prune", "-af").out
    assert out.startswith("Deleted Images:\n") and out.splitlines()[-1].startswith("Total reclaimed space: ")
    assert out.splitlines()[-1] != "Total reclaimed space: 0B" and image > 0
    assert kinds(rootlet)["Images"]["RawSize"] == 0
    rootlet.store.loaded.clear()


MAKER = r"""
# again COMMAND...: until the image that is pruned all the time is there when it is looked for
again() {
    for try in $(seq 100); do
        if "$@" 2> $0.$n.err; then return 0; fi
        grep -q "image not known" $0.$n.err || { cat $0.$n.err >&2; return 1; }
        rootlet load -q -i $archive > /dev/null || return 1
    done
    cat $0.$n.err >&2
    return 1
}
n=$1 box=$2 archive=$3
for i in 1 2 3 4 5 6 7 8; do
    again rootlet run --rm -v vol$n:/v $box sh -c 'test -d /v && echo ok' || exit 1
    again rootlet run -d --name c$n-$i -v keep$n-$i:/v $box sleep 100 > /dev/null || exit 2
    rootlet exec c$n-$i test -d /v || exit 3
    rootlet rm -ft0 c$n-$i > /dev/null || exit 4
done
rm $0.$n.err
"""


def test_prune_beside_others(rootlet):
    """Nothing that is being made or about to be used goes: runs and creates succeed beside prunes."""
    box, archive = rootlet.image(), rootlet.images.path("busybox")
    stop = rootlet.user.tmp / "stop"
    prune = (f"while [ ! -e {stop} ]; do rootlet system prune -af --volumes > /dev/null || exit 1; "
             "rootlet container prune -f > /dev/null || exit 1; sleep 0.1; done")
    pruners = [rootlet.spawn("-c", prune, program="/bin/sh") for _ in range(2)]
    makers = [rootlet.spawn("-c", MAKER, rootlet.user.tmp / "maker", str(n), box, archive, program="/bin/sh") for n in range(2)]
    try:
        for p in makers:
            out, err = p.communicate(timeout=120)
            assert (p.returncode, out) == (0, "ok\n" * 8), err
    finally:
        stop.touch()
    for p in pruners:
        assert p.wait(60) == 0, p.stderr.read()
    stop.unlink()
    rootlet.store.loaded.clear()


def test_rmi_by_force_ends_what_runs(rootlet):
    """Running or not: what was made from the image goes with it; a volume with a name stays."""
    box = rootlet.image()
    rootlet.ok("run", "-d", "--name", "runs", "-v", "data:/d", box, "sleep", "100")
    rootlet.ok("create", "--name", "idle", box)
    r = rootlet.fails("rmi", box, rc=2, match="in use by a container: .*(runs, idle|idle, runs)")
    assert "rmi -f" in r.err
    rootlet.ok("rmi", "-f", box)
    assert rootlet.ok("ps", "-aq").out == "" and rootlet.ok("images", "-aq").out == ""
    assert rootlet.ok("volume", "ls", "-q").text == "data"
    rootlet.store.loaded.clear()
