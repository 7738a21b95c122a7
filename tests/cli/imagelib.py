"""What the tests of rootlet-image share: a user with subordinate ids, a store, images made by other
people's tools, and hand-made layouts for what no tool would write."""
import contextlib
import gzip
import hashlib
import io
import itertools
import json
import os
import shutil
import subprocess
import tarfile
import tempfile

import pytest

from lib import runner

OCI = "application/vnd.oci.image."
_numbers = itertools.count(1)


def need(*tools):
    for tool in tools:
        if not shutil.which(tool):
            pytest.skip(f"needs {tool}")


class Lab:
    """A directory of the test user for archives, and more stores than the test's own."""

    def __init__(self, user, images):
        self.user, self.images = user, images
        self.top = str(user.home / f"lab{next(_numbers)}")
        os.mkdir(self.top)
        self.own(self.top)
        self.more = []

    def path(self, name):
        return os.path.join(self.top, name)

    def own(self, path):
        """Hands a tree to the test user."""
        if self.user.made:
            for parent, dirs, files in os.walk(path):
                for name in dirs + files:
                    os.lchown(os.path.join(parent, name), self.user.uid, self.user.gid)
            os.lchown(path, self.user.uid, self.user.gid)
        return path

    def store(self):
        store = runner.Store(self.user)
        self.more.append(store)
        return Store(self, runner.Rootlet(self.user, store, self.images))

    def end(self):
        for store in self.more:
            store.remove()
        shutil.rmtree(self.top, ignore_errors=True)


class Store:
    def __init__(self, lab, rootlet):
        self.lab, self.rootlet = lab, rootlet
        self.root = str(rootlet.store.root)

    def run(self, *args, check=True, stdin=None, env=None):
        kw = {"input": stdin} if isinstance(stdin, bytes) else {"stdin": stdin}
        r = self.rootlet(*args, rc=0 if check else None, binary=True, env=env, **kw)
        return subprocess.CompletedProcess(args, r.rc, r.out, r.err.decode())

    def out(self, *args, **kw):
        return self.run(*args, **kw).stdout.decode().rstrip("\n")

    def load(self, path, *args, **kw):
        return self.run("load", "-i", path, *args, **kw)

    def inspect(self, name):
        return json.loads(self.out("image", "inspect", name))[0]

    def id(self, name):
        return self.inspect(name)["Id"]

    def fails(self, *args, status=125, stdin=None):
        """Runs to a failure with one line of error; its text."""
        r = self.run(*args, check=False, stdin=stdin)
        assert r.returncode == status, (args, r.returncode, r.stdout, r.stderr)
        errors = [line for line in r.stderr.splitlines() if line.startswith("Error: ")]
        assert len(errors) == 1, r.stderr
        return r.stderr

    def files(self):
        """Everything that is content, for 'nothing was left behind'."""
        found = []
        for sub in ("blobs/sha256", "layers", "images", "refs", "ingest", "trash"):
            top = os.path.join(self.root, sub)
            if os.path.isdir(top):
                found += [f"{sub}/{name}" for name in os.listdir(top)]
        return sorted(found)

    def layers(self):
        top = os.path.join(self.root, "layers")
        return sorted(os.listdir(top)) if os.path.isdir(top) else []

    def layer_file(self, diff_id, name):
        return os.path.join(self.root, "layers", diff_id.split(":")[-1], "diff", name)


@pytest.fixture(scope="module")
def lab(users, images):
    made = Lab(users[0], images)
    yield made
    made.end()


@pytest.fixture
def store(lab, rootlet):
    return Store(lab, rootlet)


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def make_tar(files):
    """A layer: {name: bytes | ("link", target) | None for a directory}."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as t:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.mtime = 1000000000
            if content is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
            elif isinstance(content, tuple):
                info.type, info.linkname = tarfile.SYMTYPE, content[1]
            else:
                info.size, info.mode = len(content), 0o644
            t.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
    return out.getvalue()


class Layout:
    """An OCI layout in memory, with every lie that a test wants in it."""

    def __init__(self):
        self.files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}
        self.manifests = []

    def blob(self, data, media_type):
        digest = sha256(data)
        self.files["blobs/sha256/" + digest[7:]] = data
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    def config(self, tars, **members):
        doc = {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/bin/sh"]},
               "rootfs": {"type": "layers", "diff_ids": [sha256(t) for t in tars]}, **members}
        return self.blob(json.dumps(doc).encode(), OCI + "config.v1+json")

    def manifest(self, config, layers, **members):
        doc = {"schemaVersion": 2, "mediaType": OCI + "manifest.v1+json", "config": config,
               "layers": layers, **members}
        return self.blob(json.dumps(doc).encode(), OCI + "manifest.v1+json")

    def image(self, tars, compress=gzip.compress, **members):
        layers = [self.blob(compress(t) if compress else t, OCI + "layer.v1.tar+gzip")
                  for t in tars]
        return self.manifest(self.config(tars, **members), layers)

    def add(self, descriptor, name=None):
        if name:
            descriptor = {**descriptor, "annotations":
                          {**descriptor.get("annotations", {}),
                           "org.opencontainers.image.ref.name": name}}
        self.manifests.append(descriptor)
        return self

    def all_files(self):
        index = {"schemaVersion": 2, "mediaType": OCI + "index.v1+json",
                 "manifests": self.manifests}
        return {**self.files, **({} if "index.json" in self.files else
                                 {"index.json": json.dumps(index).encode()})}

    def archive(self, path):
        with open(path, "wb") as f:
            f.write(make_tar(self.all_files()))
        return path

    def directory(self, path):
        for name, data in self.all_files().items():
            full = os.path.join(path, name)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "wb") as f:
                f.write(data)
        return path


@contextlib.contextmanager
def setting(rootlet, way):
    """storage_shift in a configuration file."""
    top = tempfile.mkdtemp(dir=rootlet.user.home)
    os.mkdir(f"{top}/rootlet")
    with open(f"{top}/rootlet/rootlet.conf", "w", encoding="ascii") as f:
        f.write(f"storage_shift = {way}\n")
    os.chmod(top, 0o755)
    before = rootlet.store.environment
    rootlet.store.environment = lambda: {**before(), "XDG_CONFIG_HOME": top}
    yield
    rootlet.store.environment = before
    shutil.rmtree(top)
