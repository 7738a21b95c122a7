"""images: the index of a large store says what its directories say, filters and orders; what prune and df tell of
interrupted pulls."""
import hashlib
import json
import os
import time

import pytest

from imagelib import lab, store  # noqa: F401 pylint: disable=unused-import
from lib import rows

MANY = 60


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


def add_row(root, n, tag=True):
    """An image that is a row and a name, nothing more: what a listing reads."""
    row = {"id": f"sha256:{digest(f'i{n}')}", "manifest": f"sha256:{digest(f'm{n}')}", "created": n * 10**9,
           "size": (n * 37) % 1000, "os": "linux", "architecture": "amd64",
           "layers": [f"sha256:{digest(f'l{n % 7}')}"]}
    write(f"{root}/images/{digest(f'i{n}')}.json", json.dumps(row))
    if tag:
        add_name(root, n, f"localhost+many{n % 10}", f"v{n}")


def write(path, text):
    with open(f"{path}.new", "w", encoding="utf-8") as f:
        f.write(text)
    os.rename(f"{path}.new", path)


def add_name(root, n, name, tag):
    os.makedirs(f"{root}/refs/{name}", mode=0o700, exist_ok=True)
    write(f"{root}/refs/{name}/{tag}", f"sha256:{digest(f'm{n}')} sha256:{digest(f'i{n}')}\n")


@pytest.fixture
def many(rootlet, store):
    rootlet.image()
    for n in range(MANY):
        add_row(store.root, n)
    store.lab.own(store.root + "/refs")
    store.lab.own(store.root + "/images")
    return store


def listed(rootlet, *args):
    return rootlet.ok("images", "--no-trunc", "--digests", *args).out


def indexed(rootlet, root):
    """A listing that has left an index; the one before was too near to a change."""
    rootlet.wait_for(lambda: listed(rootlet) and os.path.exists(f"{root}/index/images"))
    return listed(rootlet)


@rows("A28")
def test_the_index_is_true(rootlet, many):
    index = f"{many.root}/index/images"
    first = indexed(rootlet, many.root)
    assert first.count("\n") == MANY + 2 and first == listed(rootlet)
    os.unlink(index)
    assert listed(rootlet) == first, "without it"
    # Each change shows at once, though it comes right behind the index.
    for change, gone, comes in (
            (lambda: rootlet.ok("tag", "busybox", "new:1"), None, "localhost/new"),
            (lambda: rootlet.ok("rmi", "new:1"), "localhost/new", None),
            (lambda: rootlet.ok("untag", "many3:v3"), "v3 ", None),
            (lambda: add_row(many.root, MANY + 1), None, f"v{MANY + 1} "),
            (lambda: add_name(many.root, 4, "localhost+many5", "v5"), None, "<none>"),
            (lambda: os.unlink(f"{many.root}/images/{digest('i7')}.json"), digest("i7"), None)):
        before = indexed(rootlet, many.root)
        change()
        now = listed(rootlet)
        assert (gone is None or (gone in before and now.count(gone) < before.count(gone))), gone
        assert comes is None or now.count(comes) > before.count(comes), comes
    # What is no index is none.
    good = indexed(rootlet, many.root)
    data = open(index, "rb").read()
    for bad in (b"", data[:100], data[:-1], data + b"I\t\n", data.replace(b"linux", b"xinul", 1), b"\0" * len(data)):
        with open(index, "wb") as f:
            f.write(bad)
        assert listed(rootlet) == good
    # A damaged row is told every time: it leaves no index.
    write(f"{many.root}/images/{digest('i9')}.json", "{")
    for _ in range(3):
        time.sleep(0.15)
        assert digest("i9") in rootlet.ok("images").err


@rows("A28")
def test_filters_and_order(rootlet, many):
    def tags(*args):
        return rootlet.ok("images", "--format", "{{.Tag}}", *args).out.split()
    assert len(tags("many3")) == 6 and tags("many3:v13") == ["v13"] == tags("localhost/many3:v13")
    assert tags("man") == [] and len(tags("many*")) == MANY and tags("--filter", "reference=many3:v1?") == ["v13"]
    assert sorted(tags("-f", "reference=many3", "-f", "reference=many4:v4")) == sorted([*tags("many3"), "v4"])
    assert tags("-f", "before=many2:v2", "many*") == ["v1"] or tags("-f", "before=many2:v2", "many*") == ["v1", "v0"]
    assert tags("-f", f"since=many{(MANY - 2) % 10}:v{MANY - 2}", "many*") == [f"v{MANY - 1}"]
    assert tags("-f", "until=1970-01-01T00:00:02Z", "many*")[0] == "v1"
    assert tags("-f", f"id={digest('i5')[:10]}") == ["v5"]
    assert tags("-f", "dangling=true") == [] and tags("-f", "readonly=true") == []
    assert tags("many*")[:2] == [f"v{MANY - 1}", f"v{MANY - 2}"]
    assert tags("--sort", "tag", "many*") == sorted(f"v{n}" for n in range(MANY))
    assert tags("--sort", "size", "many*") == [f"v{n}" for n in sorted(range(MANY), key=lambda n: n * 37 % 1000)]
    assert rootlet.ok("images", "--sort", "id", "-q", "--no-trunc", "many*").out.split() == \
        sorted(digest(f"i{n}") for n in range(MANY))
    names = rootlet.ok("images", "--sort", "repository", "--format", "{{.Repository}}:{{.Tag}}").out.split()
    assert names == sorted(names)
    assert len(rootlet.ok("images", "--format", "json").json()) == MANY + 1
    assert [i["Names"] for i in rootlet.ok("images", "--format", "json", "many3:v13").json()] == [["localhost/many3:v13"]]
    for bad in (("-f", "color=red"), ("--sort", "color"), ("-f", "dangling=maybe"), ("-f", "before=nothing")):
        assert "known: " in (r := rootlet("images", *bad, rc=125)).err or "maybe" in r.err or "not known" in r.err


@rows("A28")
def test_interrupted_pulls(rootlet, store):
    rootlet.image()
    part = f"{store.root}/ingest/{'a' * 64}.part"
    rootlet.shell(f"umask 077; head -c 200000 /dev/zero | tr '\\0' x > {part}; touch {part[:-5]}.lock")
    types = {row["Type"]: row for row in rootlet.ok("system", "df", "--format", "json").json()}
    assert types["Downloads"]["Total"] == 1 and types["Downloads"]["RawReclaimable"] >= 200000
    assert rootlet.ok("image", "prune", "-n", "-a").out.count("\n") == 1 and rootlet.ok("images", "-q").out
    rootlet.ok("image", "prune", "-f")
    assert os.path.exists(part)
    rootlet.ok("image", "prune", "-f", "--partial")
    assert os.listdir(f"{store.root}/ingest") == []
    assert "Downloads" not in rootlet.ok("system", "df").out
    # docker's way to say --all
    assert rootlet.ok("image", "prune", "-f", "--filter", "dangling=false").out.count("\n") == 1
    assert rootlet.ok("images", "-q").out == ""
    rootlet.store.loaded.clear()
