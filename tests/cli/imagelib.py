"""What the tests of rootlet-image share: a user with subordinate ids, a store, images made by other
people's tools, and hand-made layouts for what no tool would write."""
import gzip
import hashlib
import io
import json
import os
import pwd
import shutil
import subprocess
import tarfile
import tempfile

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
OCI = "application/vnd.oci.image."


def find_program(name):
    tops = [os.environ.get(v) for v in ("ROOTLET_BUILD", "abs_top_builddir", "BUILDDIR")]
    tops += [os.getcwd(), os.path.join(HERE, "../.."), os.path.join(HERE, "../../build")]
    for top in filter(None, tops):
        path = os.path.join(top, name)
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    pytest.skip(f"{name} is not built")


def need(*tools):
    for tool in tools:
        if not shutil.which(tool):
            pytest.skip(f"needs {tool}")


def make_user():
    name = f"rli{os.getpid()}"
    subprocess.run(["useradd", "-M", "-d", "/nonexistent", name], check=True)
    with open("/etc/subuid", encoding="utf-8") as f:
        if not any(line.startswith(name + ":") for line in f):
            first = 1_700_000_000 + (os.getpid() % 5000) * 65536
            for what in ("uids", "gids"):
                subprocess.run(["usermod", f"--add-sub{what}", f"{first}-{first + 65535}", name],
                               check=True)
    return name


class Lab:
    """A directory of the test user: the program, archives, and stores."""

    def __init__(self, user, top):
        self.user, self.top = user, top
        self.tool = os.path.join(top, "rootlet-image")
        self.stores = 0

    def path(self, name):
        return os.path.join(self.top, name)

    def own(self, path):
        """Hands a tree to the test user."""
        if os.geteuid() == 0:
            pw = pwd.getpwnam(self.user)
            for parent, dirs, files in os.walk(path):
                for name in dirs + files:
                    os.lchown(os.path.join(parent, name), pw.pw_uid, pw.pw_gid)
            os.lchown(path, pw.pw_uid, pw.pw_gid)
        return path

    def popen(self, *argv, env=None, **kw):
        pw = pwd.getpwnam(self.user)
        full = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": self.top, "LANG": "C",
                "USER": self.user, **(env or {})}
        if os.geteuid() == 0 and pw.pw_uid != 0:
            kw.update(user=pw.pw_uid, group=pw.pw_gid, extra_groups=[])
        return subprocess.Popen(argv, env=full, cwd=self.top, umask=0o022, **kw)

    def sh(self, *argv, check=True, env=None, stdin=None):
        kw = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if isinstance(stdin, bytes):
            kw["stdin"] = subprocess.PIPE
        else:
            kw["stdin"] = stdin or subprocess.DEVNULL
        with self.popen(*argv, env=env, **kw) as p:
            out, err = p.communicate(stdin if isinstance(stdin, bytes) else None, timeout=120)
        r = subprocess.CompletedProcess(argv, p.returncode, out, err.decode())
        if check:
            assert r.returncode == 0, (argv, r.stdout[:2000], r.stderr)
        return r

    def store(self):
        self.stores += 1
        return Store(self, self.path(f"store{self.stores}"))


class Store:
    def __init__(self, lab, root):
        self.lab, self.root = lab, root

    def run(self, *args, check=True, stdin=None, env=None):
        env = {"ROOTLET_ROOT": self.root, **(env or {})}
        return self.lab.sh(self.lab.tool, *args, check=check, stdin=stdin, env=env)

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
        lines = r.stderr.splitlines()
        errors = [line for line in lines if line.startswith("Error: ")]
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
def lab():
    tool = find_program("rootlet-image")
    own = os.geteuid() == 0
    user = make_user() if own else pwd.getpwuid(os.geteuid()).pw_name
    top = tempfile.mkdtemp(prefix="rootlet-image-", dir="/var/tmp")
    try:
        os.chmod(top, 0o755)
        shutil.copy2(tool, f"{top}/rootlet-image")
        if own:
            os.chown(top, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
        yield Lab(user, top)
    finally:
        # What belongs to subordinate ids is removed by rootlet-image itself, below; as root anything.
        for name in os.listdir(top):
            if name.startswith("store"):
                Store(Lab(user, top), f"{top}/{name}").run("rmi", "-a", "-f", check=False)
        shutil.rmtree(top, ignore_errors=True)
        if own:
            subprocess.run(["userdel", user], check=False)
    assert not os.path.exists(top)


@pytest.fixture
def store(lab):
    return lab.store()


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
