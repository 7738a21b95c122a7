"""image check: whatever was done to a layer, a record or a blob is seen, and --repair fetches that alone (A28, B37)."""
import json
import os
import shutil

import pytest

pytestmark = pytest.mark.rows("A28", "B37")


class Pulled:
    """An image of three layers from a registry, in the store of rl."""

    def __init__(self, rl, registry):
        self.rl, self.registry, self.options = rl, registry, rl.trust(registry)
        self.name = registry.name("repair/layers:1")
        rl.image("layers")
        rl.ok("push", "-q", *self.options, "localhost/layers", self.name)
        rl.ok("rmi", "-f", "localhost/layers")
        rl.store.loaded.clear()
        rl.ok("pull", "-q", *self.options, self.name)
        self.root = str(rl.store.root)
        self.seen = rl.ok("image", "inspect", self.name).json()[0]
        self.layers = [layer.split(":")[1] for layer in self.seen["RootFS"]["Layers"]]

    def path(self, *parts):
        return os.path.join(self.root, *parts)

    def tree(self, n, *parts):
        return self.path("layers", self.layers[n], "diff", *parts)

    def check(self, *args, rc=0):
        return self.rl("image", "check", *args, rc=rc)

    def repair(self, rc=0, fetched=0):
        """Fetches so many blobs of layers, and no more."""
        with self.registry.watch() as requests:
            r = self.check("--repair", *self.options, rc=rc)
        config = self.seen["Id"].split(":")[-1]
        blobs = [q for q in requests if q.method == "GET" and "/blobs/" in q.path and config not in q.path]
        assert len(blobs) == fetched, requests
        return r

    def works(self):
        assert self.check().out.count(": ok") == 1
        assert self.rl.ok("run", "--rm", self.name, "cat", "/f").out == "3\n"
        assert [os.path.exists(self.path(d)) and os.listdir(self.path(d)) for d in ("ingest", "trash")] == [[], []]
        found = self.rl.ok("images", "--format", "{{.Repository}}:{{.Tag}}").out.split()
        assert found == [self.name]


@pytest.fixture
def pulled(rl, registry):
    return Pulled(rl, registry)


def overwrite(path, text="X"):
    """In place, times kept."""
    st = os.stat(path)
    with open(path, "r+", encoding="utf-8") as f:
        f.write(text)
    os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))


def append(path):
    st = os.stat(path)
    with open(path, "a", encoding="utf-8") as f:
        f.write("more")
    os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))


DAMAGES = {
    "content": lambda p: overwrite(p.tree(0, "etc", "motd")),
    "longer": lambda p: append(p.tree(0, "etc", "motd")),
    "missing": lambda p: os.unlink(p.tree(0, "etc", "motd")),
    "missing link": lambda p: os.unlink(p.tree(0, "bin", "ls")),
    "additional": lambda p: shutil.copy(p.tree(0, "etc", "motd"), p.tree(0, "etc", "evil")),
    "mode": lambda p: os.chmod(p.tree(0, "bin", "busybox"), 0o4755),
    "owner": lambda p: os.chown(p.tree(0, "home", "app"), os.stat(p.tree(0, "etc")).st_uid, -1),
    "link": lambda p: (os.unlink(p.tree(0, "bin", "ls")), os.symlink("/bin/false", p.tree(0, "bin", "ls"))),
    "whiteout": lambda p: os.unlink(p.tree(2, "deleted")),
    "attribute": lambda p: os.setxattr(p.tree(0, "etc", "motd"), "user.x", b"y"),
    "record": lambda p: overwrite(p.path("layers", p.layers[1], "layer.json"), "{{{"),
    "headers": lambda p: os.truncate(p.path("layers", p.layers[1], "headers.zst"), 10),
    "tree": lambda p: shutil.rmtree(p.path("layers", p.layers[1], "diff")),
    "layer": lambda p: shutil.rmtree(p.path("layers", p.layers[1])),
}


@pytest.mark.timeout(300)
def test_layers(pulled):
    assert pulled.check().out.count(": ok") == 1
    for what, damage in DAMAGES.items():
        if what == "owner" and os.geteuid() != 0:
            continue
        damage(pulled)
        r = pulled.check(rc=1)
        assert "layer sha256:" in r.out, (what, r)
        assert "repaired, from" in pulled.repair(fetched=1).out, what
    pulled.works()


def test_several_and_quick(pulled):
    DAMAGES["layer"](pulled)
    DAMAGES["content"](pulled)
    assert pulled.check("--quick", rc=1).out.count("layer sha256:") == 1
    assert pulled.check(pulled.name, rc=1).out.count(" is damaged") == 1
    pulled.repair(fetched=2)
    pulled.works()


def test_records_need_no_registry(pulled):
    row = pulled.path("images", os.listdir(pulled.path("images"))[0])
    good = json.loads(open(row, encoding="utf-8").read())
    for damage in (lambda: overwrite(row, "{{{"), lambda: os.truncate(row, 0), lambda: os.unlink(row)):
        damage()
        pulled.rl.ok("images")
        assert pulled.rl("run", "--rm", pulled.name, "true").rc == 125
        assert "record is missing or broken" in pulled.check(rc=1).out
        assert "record was made again" in pulled.repair().out
        assert json.loads(open(row, encoding="utf-8").read()) == good
    ref = pulled.path("refs", os.listdir(pulled.path("refs"))[0], "1")
    os.truncate(ref, 0)
    assert "names no image" in pulled.check(rc=1).out
    assert "removed, it named no image" in pulled.repair().out
    pulled.rl.ok("tag", pulled.seen["Id"].split(":")[-1], pulled.name)
    pulled.works()


def test_blobs(pulled):
    for digest in (pulled.seen["Id"], pulled.seen["Digest"]):
        blob = pulled.path("blobs", "sha256", digest.split(":")[-1])
        os.chmod(blob, 0o644)
        overwrite(blob, "[")
        assert "digest mismatch" in pulled.check(rc=1).out
        pulled.repair()
        os.unlink(blob)
        assert "has lost blob" in pulled.check(rc=1).out
        pulled.repair()
    pulled.works()


def test_running_containers_keep_their_tree(pulled):
    pulled.rl.ok("run", "-d", "--name", "web", pulled.name, "sleep", "1000")
    DAMAGES["additional"](pulled)
    pulled.repair(fetched=1)
    assert pulled.rl.ok("exec", "web", "cat", "/etc/motd", "/home/../etc/passwd").out.startswith("from the image")
    assert len(os.listdir(pulled.path("ingest"))) == 1
    pulled.rl.ok("image", "prune", "-af")
    assert pulled.rl.ok("exec", "web", "ls", "/var").out
    pulled.rl.ok("restart", "-t", "0", "web")
    assert pulled.rl("exec", "web", "ls", "/etc/evil").rc == 1
    pulled.rl.ok("rm", "-f", "web")
    pulled.rl.ok("image", "prune", "-f")
    pulled.works()


def test_what_cannot_be_repaired(pulled):
    """Its registry does not have it any more, or it never was in one: the others go on."""
    rl = pulled.rl
    rl.image("busybox")
    rl.ok("tag", "busybox", "localhost/other")
    layer = rl.ok("image", "inspect", "busybox").json()[0]["RootFS"]["Layers"][0].split(":")[1]
    shutil.rmtree(pulled.path("layers", layer))
    r = rl("image", "check", "--repair", rc=1)
    assert "rootlet load -i ARCHIVE" in r.out and f"{pulled.name}: ok" in r.out, r
    assert rl.ok("images").out.count("\n") == 4
    assert rl("run", "--rm", "busybox", "true").rc == 125
    rl.ok("run", "--rm", pulled.name, "true")
    rl.ok("save", "-q", "-o", "/dev/null", pulled.name)
    assert rl("save", "-q", "-o", "/dev/null", "busybox").rc == 125
    rl.ok("system", "df", "-v")
    rl.ok("image", "prune", "-f")
    rl.ok("load", "-q", "-i", rl.images.path("busybox"))
    rl.ok("run", "--rm", "busybox", "true")
