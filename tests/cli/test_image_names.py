"""rootlet tag, untag, rmi, image prune, exists, inspect, history. Rows A2, A32."""
import json
import os
import shutil

import pytest

from imagelib import Layout, lab, make_tar, sha256, store  # noqa: F401

ONE = make_tar({"one": b"1"})
TWO = make_tar({"two": b"2"})


@pytest.fixture
def both(lab, store):
    """a: ONE; b: ONE and TWO."""
    lay = Layout()
    lay.add(lay.image([ONE]), "a:1")
    lay.add(lay.image([ONE, TWO], created="2020-01-01T00:00:00Z",
                      history=[{"created": "2020-01-01T00:00:00Z", "created_by": "step one"},
                               {"created_by": "CMD x", "empty_layer": True},
                               {"created_by": "step \x1b[31mtwo", "comment": "c"}]), "b:1")
    store.load(lay.archive(lab.path("both.tar")), "-q")
    return store


def test_tag(both):
    both.run("tag", "a:1", "x", "example.com/y:2", "a:2")
    assert both.inspect("a:1")["RepoTags"] == ["example.com/y:2", "localhost/a:1", "localhost/a:2",
                                               "localhost/x:latest"]
    both.run("tag", "b:1", "x")  # it moves
    assert both.id("x") == both.id("b:1")
    both.run("untag", "a:1", "a:2")
    assert both.inspect("a:1")["RepoTags"] == ["example.com/y:2", "localhost/a:1"]
    assert "is not a name of" in both.fails("untag", "a:1", "b:1")
    both.run("untag", "b:1")
    assert both.run("image", "exists", "b:1", check=False).returncode == 1
    assert "image not known" in both.fails("tag", "nope", "z")
    for bad in ("UP", "x:y:z", "../../x", "a@sha256:" + "0" * 64):
        both.fails("tag", "a:1", bad)


def test_exists(both):
    assert both.run("image", "exists", "a:1").stderr == ""
    r = both.run("image", "exists", "c:1", check=False)
    assert r.returncode == 1 and r.stderr == ""


def test_find(both):
    info = both.inspect("a:1")
    for name in ("localhost/a:1", info["Id"], info["Id"][:3], "sha256:" + info["Id"],
                 info["RepoDigests"][0]):
        assert both.id(name) == info["Id"]
    assert both.run("image", "exists", info["Id"][:2], check=False).returncode == 1


def test_rmi(both):
    """Shared layers stay, unshared ones go; missing is 1."""
    assert "image not known: nope" in both.fails("rmi", "nope", status=1)
    assert both.run("rmi", "-f", "nope").stderr == ""
    both.run("tag", "b:1", "b:2")
    assert both.out("rmi", "b:2") == "Untagged: localhost/b:2"
    image_id = both.id("b:1")
    assert both.out("rmi", "b:1") == f"Untagged: localhost/b:1\nDeleted: {image_id}"
    assert both.layers() == [sha256(ONE)[7:]]
    r = both.run("rmi", "nope", "a:1", check=False)
    assert r.returncode == 1 and b"Deleted" in r.stdout
    assert both.files() == []


def test_rmi_by_id(both):
    both.run("tag", "a:1", "a:2")
    image_id = both.id("a:1")
    assert "several names" in both.fails("rmi", image_id)
    assert "Deleted" in both.out("rmi", "-f", image_id)
    assert not os.path.exists(os.path.join(both.root, "refs/localhost+a"))


def make_container(both, name, image):
    return both.out("create", "--name", name, "--network", "none", image, "/one")


def test_rmi_in_use(both):
    """In use: 2, with the container's name and what to do. By force the containers go, then the image, as podman has it."""
    make_container(both, "web", "b:1")
    make_container(both, "other", "a:1")
    text = both.fails("rmi", "b:1", status=2)
    assert "is in use by a container: web\nhint: remove the container first: rootlet rm web, or both: rootlet rmi -f" in text
    both.run("tag", "b:1", "b:2")
    both.run("rmi", "-f", "b:2")
    assert "web" in both.out("ps", "-a"), "only a name of several went"
    out = both.out("rmi", "-f", "b:1").splitlines()
    assert [line.split(":")[0] for line in out] == ["Untagged", "Deleted"]
    assert both.layers() == [sha256(ONE)[7:]]
    assert both.run("image", "exists", "b:1", check=False).returncode == 1
    assert both.out("ps", "-a", "--format", "{{.Names}}") == "other"


def test_rmi_keeps_a_container_without_a_name(both):
    """untag is for who wants to keep the container."""
    make_container(both, "web", "b:1")
    both.run("untag", "b:1")
    assert len(both.layers()) == 2 and "web" in both.out("ps", "-a")
    both.run("rmi", "-f", both.out("inspect", "-f", "{{.Image}}", "web"))
    assert len(both.layers()) == 1


def test_rmi_all(both):
    make_container(both, "web", "a:1")
    assert "web" in both.fails("rmi", "-a", status=2)
    assert both.layers() == [sha256(ONE)[7:]]
    assert "--all" in both.fails("rmi")
    both.run("rmi", "-a", "-f")
    assert both.layers() == [] and both.out("ps", "-aq") == ""


def test_prune(both):
    both.run("untag", "b:1")
    b = both.out("image", "prune", "-f")
    assert len(b) == 64 and both.layers() == [sha256(ONE)[7:]]
    make_container(both, "web", "a:1")
    assert both.out("image", "prune", "-a", "-f") == ""
    both.run("rm", "web")
    assert len(both.out("image", "prune", "-a", "-f")) == 64
    assert both.files() == []


def test_unreadable_record(both):
    """A container's record that cannot be read keeps everything: it might need it."""
    top = os.path.join(both.root, "containers", "c" * 64)
    both.rootlet.shell(f"mkdir -p {top}/container.json")
    both.run("rmi", "-f", "a:1", check=False)
    both.run("image", "prune", "-a", "-f", check=False)
    assert len(both.layers()) == 2
    shutil.rmtree(top)


def test_damaged_record(both):
    """One that is no JSON, but has the image's id: not even by force does what it belongs to go."""
    top = os.path.join(both.root, "containers", "c" * 64)
    image = both.out("image", "inspect", "-f", "{{.Id}}", "a:1")
    both.rootlet.shell(f"mkdir -p {top}; echo '{{ sha256:{image}' >{top}/container.json")
    make_container(both, "web", "a:1")
    assert "is in use by a container: " + "c" * 64 in both.fails("rmi", "-f", "a:1", status=2)
    assert os.path.exists(top) and both.run("image", "exists", "a:1").returncode == 0
    assert both.out("ps", "-a", "--format", "{{.Names}}") == ""
    shutil.rmtree(top)


def test_inspect(both):
    r = both.run("image", "inspect", "nope", check=False)
    assert r.returncode == 125 and json.loads(r.stdout) == []
    assert 'no such object: "nope"' in r.stderr
    r = both.run("image", "inspect", "nope", "a:1", check=False)
    assert r.returncode == 125 and len(json.loads(r.stdout)) == 1
    info = both.inspect("b:1")
    assert {"Id", "Digest", "RepoTags", "RepoDigests", "Parent", "Comment", "Created", "Config",
            "Author", "Architecture", "Os", "Size", "VirtualSize", "GraphDriver", "RootFS",
            "Labels", "Annotations", "ManifestType", "User", "History"} <= set(info)
    assert info["Created"] == "2020-01-01T00:00:00Z" and info["Size"] == 2
    assert info["Digest"].startswith("sha256:")


def test_history(both):
    rows = json.loads(both.out("history", "--format", "json", "b:1"))
    assert [r["CreatedBy"] for r in rows] == ["step \x1b[31mtwo", "CMD x", "step one"]
    assert [r["Size"] for r in rows] == ["1 B", "0 B", "1 B"]
    assert rows[0]["ID"] == both.id("b:1")[:12] and rows[1]["ID"] == "<missing>"
    table = both.out("history", "b:1")
    assert "\x1b" not in table and len(table.splitlines()) == 4
    assert both.out("history", "-q", "b:1").split()[0] == both.id("b:1")[:12]
    assert len(json.loads(both.out("history", "--format", "json", "a:1"))) == 1
