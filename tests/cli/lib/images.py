"""images - archives for the tests, made by other people's tools, each when it is first asked for.

Workers share them: <base>/images/NAME, made under a lock. The Debian tree, which takes a minute, is
kept between runs in a cache (ROOTLET_TEST_CACHE, else /var/tmp/rootlet-tests-UID), with the
archives of it."""
import hashlib
import io
import json
import os
import pathlib
import shutil
import subprocess
import tarfile

import pytest

from lib import host

BUSYBOX = "/bin/busybox"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
PASSWD = """root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/:/bin/false
app:x:1000:1000:app:/home/app:/bin/sh
nobody:x:65534:65534:nobody:/:/bin/false
"""
GROUP = "root:x:0:\ndaemon:x:1:\naudio:x:29:app\napp:x:1000:\nstaff:x:50:app,daemon\nnogroup:x:65534:\n"


class Tar:
    """A layer in memory."""

    def __init__(self):
        self.buffer = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.buffer, mode="w", format=tarfile.PAX_FORMAT)

    def _info(self, name, mode, uid, gid):
        info = tarfile.TarInfo(name)
        info.mode, info.uid, info.gid, info.mtime = mode, uid, gid, 1700000000
        return info

    def add_dir(self, name, mode=0o755, uid=0, gid=0):
        info = self._info(name, mode, uid, gid)
        info.type = tarfile.DIRTYPE
        self.tar.addfile(info)
        return self

    def add_file(self, name, data=b"", mode=0o644, uid=0, gid=0):
        data = data.encode() if isinstance(data, str) else data
        info = self._info(name, mode, uid, gid)
        info.size = len(data)
        self.tar.addfile(info, io.BytesIO(data))
        return self

    def add_link(self, name, target, hard=False):
        info = self._info(name, 0o777, 0, 0)
        info.type = tarfile.LNKTYPE if hard else tarfile.SYMTYPE
        info.linkname = target
        self.tar.addfile(info)
        return self

    def write(self, path):
        self.tar.close()
        pathlib.Path(path).write_bytes(self.buffer.getvalue())
        return path


def busybox_layer():
    """A small system: busybox with all its names, users, and the usual directories."""
    t = Tar()
    for d in ("bin", "etc", "home", "root", "usr", "usr/bin", "var", "var/tmp", "opt"):
        t.add_dir(d, 0o700 if d == "root" else 0o755)
    t.add_dir("tmp", 0o1777)
    t.add_dir("home/app", 0o755, 1000, 1000)
    t.add_file("bin/busybox", pathlib.Path(BUSYBOX).read_bytes(), 0o755)
    applets = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True).stdout
    for name in applets.split():
        if name != "busybox":
            t.add_link(f"bin/{name}", "busybox")
    t.add_file("etc/passwd", PASSWD).add_file("etc/group", GROUP)
    t.add_file("etc/motd", "from the image\n")
    return t


def three_layers():
    """Each rewrites /f; the second brings files that the third deletes by whiteouts."""
    first = busybox_layer().add_file("f", "1\n").add_file("only-first", "1\n")
    first.add_file("hard-a", "linked\n").add_link("hard-b", "hard-a", hard=True)
    first.add_dir("opaque").add_file("opaque/below", "1\n")
    first.add_dir("goes").add_file("goes/away", "1\n")
    second = Tar().add_file("f", "2\n").add_file("deleted", "2\n").add_file("hard-b", "rewritten\n")
    third = Tar().add_file("f", "3\n").add_file(".wh.deleted").add_file(".wh.goes")
    third.add_dir("opaque").add_file("opaque/.wh..wh..opq").add_file("opaque/above", "3\n")
    return [first, second, third]


class Images:
    """path(NAME) is an archive or directory to load; reference(NAME) its name once loaded."""

    makers = {
        "busybox": "_docker_archive",       # skopeo's docker-archive of umoci's image
        "busybox-oci": "_oci_archive",      # skopeo's oci-archive of the same
        "busybox-dir": "_umoci",            # umoci's OCI layout directory
        "layers": "_layers",                # three layers, umoci and skopeo (oci-archive)
        "buildah": "_buildah",              # buildah's oci-archive
        "buildah-docker": "_buildah_docker",
        "debian": "_debian",                # mmdebstrap's tree (docker-archive)
    }
    references = {"busybox": "localhost/busybox:latest", "busybox-oci": "localhost/busybox:oci",
                  "busybox-dir": "localhost/busybox:umoci", "layers": "localhost/layers:latest",
                  "buildah": "localhost/buildah:latest", "buildah-docker": "localhost/buildah:docker",
                  "debian": "localhost/debian:latest"}

    def __init__(self, base):
        self.dir = base / "images"

    def reference(self, name):
        return self.references[name]

    def path(self, name):
        path = self.dir / name
        with host.locked(self.dir / f".lock-{name}"):
            if not path.exists():
                getattr(self, self.makers[name])(path)
                subprocess.run(["chmod", "-R", "a+rX", str(path)], check=True)
        return path

    @staticmethod
    def need(program):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed (make check installs it)")

    def _scratch(self, name):
        d = self.dir / f".{name}"
        shutil.rmtree(d, ignore_errors=True)
        d.mkdir()
        return d

    def _umoci_layout(self, layout, tag, layers, config):
        self.need("umoci")
        host.run("umoci", "init", "--layout", str(layout))
        image = f"{layout}:{tag}"
        host.run("umoci", "new", "--image", image)
        for i, layer in enumerate(layers):
            file = layer if isinstance(layer, pathlib.Path) else \
                layer.write(layout.parent / f"{layout.name}.{i}.tar")
            host.run("umoci", "raw", "add-layer", "--image", image, str(file))
            if file is not layer:
                os.unlink(file)
        host.run("umoci", "config", "--image", image, *config)
        host.run("umoci", "gc", "--layout", str(layout))

    CONFIG = ("--config.cmd", "sh", "--config.env", "FROM_IMAGE=yes", "--config.env",
              "PATH=/usr/local/bin:/usr/bin:/bin", "--config.label", "org.example.made-by=umoci",
              "--created", "2023-11-14T22:13:20Z")

    def _umoci(self, path):
        tmp = self._scratch("umoci") / "layout"
        self._umoci_layout(tmp, "umoci", [busybox_layer()], self.CONFIG)
        index = tmp / "index.json"
        # A bare tag would become docker.io/library/umoci.
        index.write_text(index.read_text().replace('"umoci"', '"localhost/busybox:umoci"'))
        tmp.rename(path)

    def _skopeo(self, source, target):
        self.need("skopeo")
        host.run("skopeo", "--insecure-policy", "copy", "-q", source, target)

    @staticmethod
    def _own_archive(path):
        """The test beds have neither umoci nor skopeo."""
        layer = busybox_layer()
        layer.tar.close()
        data = layer.buffer.getvalue()
        config = json.dumps({
            "architecture": ARCHITECTURES[os.uname().machine], "os": "linux", "created": "2023-11-14T22:13:20Z",
            "config": {"Cmd": ["sh"], "Env": ["FROM_IMAGE=yes", "PATH=/usr/local/bin:/usr/bin:/bin"]},
            "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(data).hexdigest()]}})
        name = hashlib.sha256(config.encode()).hexdigest() + ".json"
        manifest = [{"Config": name, "RepoTags": ["localhost/busybox:latest"], "Layers": ["layer.tar"]}]
        Tar().add_file("layer.tar", data).add_file(name, config) \
             .add_file("manifest.json", json.dumps(manifest)).write(path)

    def _docker_archive(self, path):
        if os.environ.get("ROOTLET_TEST_BED") and not shutil.which("umoci"):
            self._own_archive(path)
            return
        layout = self.path("busybox-dir")
        tmp = self._scratch("docker-archive") / "out"
        self._skopeo(f"oci:{layout}:localhost/busybox:umoci",
                     f"docker-archive:{tmp}:localhost/busybox:latest")
        tmp.rename(path)

    def _oci_archive(self, path):
        layout = self.path("busybox-dir")
        tmp = self._scratch("oci-archive") / "out"
        self._skopeo(f"oci:{layout}:localhost/busybox:umoci",
                     f"oci-archive:{tmp}:localhost/busybox:oci")
        tmp.rename(path)

    def _layers(self, path):
        tmp = self._scratch("layers")
        self._umoci_layout(tmp / "layout", "x", three_layers(), self.CONFIG)
        self._skopeo(f"oci:{tmp}/layout:x", f"oci-archive:{tmp}/out:localhost/layers:latest")
        (tmp / "out").rename(path)

    def _buildah_with(self, path, target):
        self.need("buildah")
        if not host.is_root():
            pytest.skip("buildah is run as root here")
        tmp = self._scratch(path.name)
        (tmp / "root").mkdir()
        busybox_layer().write(tmp / "root.tar")
        host.run("tar", "-C", str(tmp / "root"), "-xf", str(tmp / "root.tar"))
        b = ["buildah", "--storage-driver", "vfs", "--root", f"{tmp}/graph", "--runroot",
             f"{tmp}/run", "--registries-conf", "/dev/null"]
        name = host.run(*b, "from", "scratch").strip()
        host.run(*b, "copy", "-q", name, f"{tmp}/root", "/")
        host.run(*b, "config", "--cmd", "sh", "--workingdir", "/home/app", "--user", "app",
                 "--env", "BUILT_BY=buildah", "--label", "made-by=buildah", name)
        host.run(*b, "commit", "-q", "--signature-policy", self._policy(tmp), name,
                 target.format(f"{tmp}/out"))
        host.run(*b, "rm", "-a")
        (tmp / "out").rename(path)
        shutil.rmtree(tmp, ignore_errors=True)

    @staticmethod
    def _policy(tmp):
        (tmp / "policy.json").write_text('{"default":[{"type":"insecureAcceptAnything"}]}')
        return str(tmp / "policy.json")

    def _buildah(self, path):
        self._buildah_with(path, "oci-archive:{}:localhost/buildah:latest")

    def _buildah_docker(self, path):
        self._buildah_with(path, "docker-archive:{}:localhost/buildah:docker")

    # What the Debian tree has beyond dpkg and apt; part of the cache's key.
    DEBIAN = ("iputils-ping", "libcap2-bin", "procps")

    def _debian(self, path):
        self.need("mmdebstrap")
        suite, sources = apt_sources()
        key = hashlib.sha256(repr((suite, sources, self.DEBIAN, 2)).encode()).hexdigest()[:16]
        cache = pathlib.Path(os.environ.get("ROOTLET_TEST_CACHE",
                                            f"/var/tmp/rootlet-tests-{os.geteuid()}"))
        cache.mkdir(mode=0o700, exist_ok=True)
        if cache.is_symlink() or cache.stat().st_uid != os.geteuid():
            pytest.fail(f"{cache} belongs to somebody else")
        with host.locked(cache / "lock"):
            archive = cache / f"debian-{key}.docker.tar"
            if not archive.exists():
                for old in cache.glob("debian-*"):
                    old.unlink()
                self._debian_archive(archive, suite, sources)
            shutil.copyfile(archive, path.with_name(".debian-copy"))
        path.with_name(".debian-copy").rename(path)

    def _debian_archive(self, archive, suite, sources):
        tmp = self._scratch("debian")
        argv = ["mmdebstrap", "--quiet", "--variant=apt", f"--include={','.join(self.DEBIAN)}",
                "--dpkgopt=path-exclude=/usr/share/doc/*",
                "--dpkgopt=path-exclude=/usr/share/man/*",
                "--dpkgopt=path-exclude=/usr/share/locale/*",
                suite, f"{tmp}/tree.tar", *sources]
        r = subprocess.run(argv, capture_output=True, text=True, check=False)
        if r.returncode:
            pytest.fail(f"mmdebstrap: {r.stderr[-2000:]}")
        self._umoci_layout(tmp / "layout", "x", [tmp / "tree.tar"],
                           ("--config.cmd", "bash", "--created", "2023-11-14T22:13:20Z"))
        self._skopeo(f"oci:{tmp}/layout:x", f"docker-archive:{tmp}/out:localhost/debian:latest")
        shutil.copyfile(tmp / "out", f"{archive}.new")
        os.rename(f"{archive}.new", archive)
        shutil.rmtree(tmp, ignore_errors=True)


def apt_sources():
    """(suite, lines) of this host's distribution, as apt has them configured."""
    release = {}
    with open("/etc/os-release", encoding="utf-8") as f:
        for line in f:
            key, _, value = line.strip().partition("=")
            release[key] = value.strip('"')
    suite = release.get("VERSION_CODENAME", "bookworm")
    if release.get("ID") not in ("debian", "ubuntu"):
        return "bookworm", ()
    out = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME) $(COMPONENT)",
                          "Created-By: Packages"], capture_output=True, text=True, check=False).stdout
    wanted = []
    for line in sorted(set(out.splitlines())):
        words = line.split()
        if len(words) == 3 and words[1].startswith(suite) and words[2] == "main":
            wanted.append(f"deb {words[0]} {words[1]} main")
    return suite, tuple(wanted)
