"""What the attacks share: images with every lie in them, canary trees, programs that race."""
import hashlib
import io
import itertools
import json
import os
import pathlib
import shutil
import subprocess
import tarfile

import pytest

from lib import host, images

OCI = "application/vnd.oci.image."
_numbers = itertools.count(1)


class Lab:
    def __init__(self, rootlet, user):
        self.rootlet, self.user = rootlet, user
        self.top = user.home / f"cve{next(_numbers)}"
        self.top.mkdir(mode=0o755)
        self._own(self.top)

    def end(self):
        shutil.rmtree(self.top, ignore_errors=True)

    def _own(self, path):
        if self.user.made:
            os.lchown(path, self.user.uid, self.user.gid)
        return path

    def dir(self, name, mode=0o755):
        path = self.top / name
        path.mkdir(mode=mode)
        return self._own(path)

    def file(self, name, text="", mode=0o644):
        path = self.top / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        path.chmod(mode)
        return self._own(path)

    def canary(self):
        """A tree of the host that must stay as it is: (path, what it looks like)."""
        top = self.dir("canary")
        (top / "d").mkdir()
        self._own(top / "d")
        for name in ("secret", "d/secret"):
            (top / name).write_text("canary\n")
            self._own(top / name)
        return top, look(top)

    def image(self, *layers, name="localhost/hostile:latest", **config):
        """Loads an image: the busybox system, these layers (images.Tar) on it, this config."""
        blobs = [busybox()] + [_bytes(layer) for layer in layers]
        config.setdefault("Env", ["PATH=/bin:/usr/bin"])
        path = self.top / f"image{next(_numbers)}"
        write_layout(path, blobs, config, name)
        return self.rootlet("load", "-q", "-i", path, timeout=120), name

    def load(self, *layers, **config):
        """As image, and it must load; its name."""
        r, name = self.image(*layers, **config)
        assert r.rc == 0, r
        return name

    def program(self, name, source, *flags):
        """Compiles a static program; a volume option that has it at /NAME."""
        cc = shutil.which("cc") or shutil.which("gcc")
        if not cc:
            pytest.skip("needs a C compiler")
        path = self.top / name
        subprocess.run([cc, "-x", "c", "-static", "-O1", "-o", str(path), *flags, "-"], check=True,
                       input=source.encode())
        path.chmod(0o755)
        self._own(path)
        return f"{path}:/{name}:ro"


def look(top):
    """Everything about a tree that an intruder could change."""
    found = {}
    for parent, dirs, files in os.walk(top):
        for name in [*dirs, *files, "."]:
            path = os.path.normpath(os.path.join(parent, name))
            st = os.lstat(path)
            data = pathlib.Path(path).read_bytes() if os.path.isfile(path) else b""
            found[path] = (st.st_mode, st.st_uid, st.st_gid, st.st_nlink, st.st_size, data)
    return found


def _bytes(layer):
    if isinstance(layer, bytes):
        return layer
    layer.tar.close()
    return layer.buffer.getvalue()


_busybox = []


def busybox():
    if not _busybox:
        _busybox.append(_bytes(images.busybox_layer()))
    return _busybox[0]


def write_layout(path, layers, config, name, **more):
    """An OCI layout directory without help of other tools, so that anything can be in it."""
    sha = path / "blobs" / "sha256"
    sha.mkdir(parents=True)

    def blob(data, kind):
        digest = hashlib.sha256(data).hexdigest()
        (sha / digest).write_bytes(data)
        return {"mediaType": OCI + kind, "digest": f"sha256:{digest}", "size": len(data)}

    def text(value):
        return json.dumps(value).encode()
    full = {"architecture": "amd64", "os": "linux", "config": config,
            "rootfs": {"type": "layers",
                       "diff_ids": ["sha256:" + hashlib.sha256(b).hexdigest() for b in layers]}, **more}
    manifest = {"schemaVersion": 2, "mediaType": OCI + "manifest.v1+json",
                "config": blob(text(full), "config.v1+json"),
                "layers": [blob(b, "layer.v1.tar") for b in layers]}
    index = blob(text(manifest), "manifest.v1+json")
    index["annotations"] = {"org.opencontainers.image.ref.name": name}
    (path / "index.json").write_bytes(text({"schemaVersion": 2, "manifests": [index]}))
    (path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    for parent, _dirs, files in os.walk(path):
        os.chmod(parent, 0o755)
        for f in files:
            os.chmod(os.path.join(parent, f), 0o644)
