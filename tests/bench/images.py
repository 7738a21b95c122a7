"""images - the images of the bench: a busybox and a layer of real files, as OCI archives."""
import hashlib
import io
import json
import os
import pathlib
import platform
import shutil
import subprocess
import tarfile

MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
BIGGEST_FILE = 32 << 20


def make_rootfs(rootfs):
    """A busybox root file system."""
    (rootfs / "bin").mkdir(parents=True)
    for name in ("dev", "etc", "proc", "sys", "tmp", "run"):
        (rootfs / name).mkdir()
    busybox = shutil.which("busybox")
    if not busybox:
        raise SystemExit("bench: busybox is missing (Debian: apt-get install busybox-static)")
    shutil.copy(busybox, rootfs / "bin/busybox")
    for applet in ("sh", "true", "sleep"):
        (rootfs / "bin" / applet).symlink_to("busybox")


def as_root(info):
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    return info


def tar_rootfs(rootfs, path):
    with tarfile.open(path, "w") as tar:
        tar.add(rootfs, ".", filter=as_root)


def tar_usr(path, size):
    """About `size` bytes of /usr, every n-th file of it, so that it is mixed as /usr is."""
    files = []
    for directory, names, others in os.walk("/usr"):
        names.sort()
        for name in sorted(others):
            full = os.path.join(directory, name)
            info = os.lstat(full)
            if os.path.islink(full) or info.st_size <= BIGGEST_FILE and os.access(full, os.R_OK):
                files.append((full, info.st_size))
    step = max(1, sum(f[1] for f in files) // size)
    total, count, seen = 0, 0, set()
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for full, length in files[::step]:
            for parent in reversed(pathlib.PurePath(full).parents):
                if parent not in seen and str(parent) != "/":
                    seen.add(parent)
                    tar.add(parent, str(parent)[1:], recursive=False, filter=as_root)
            # As a file of its own even where /usr has hard links.
            info = as_root(tar.gettarinfo(full, full[1:]))
            if info.islnk():
                info.type, info.size = tarfile.REGTYPE, length
            with open(full, "rb") if info.isreg() else io.BytesIO() as f:
                tar.addfile(info, f)
            total, count = total + length, count + 1
            if total >= size:
                break
    return count


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def compress(path):
    """path + ".gz", as gzip -6 makes it."""
    target = pathlib.Path(str(path) + ".gz")
    with open(path, "rb") as f, open(target, "wb") as out:
        program = shutil.which("pigz") or "gzip"
        subprocess.run([program, "-6", "-n", "-c"], stdin=f, stdout=out, check=True)
    return target


def oci_archive(target, layer, name):
    """An OCI archive of one gzip layer, made from the tar `layer` and its .gz."""
    packed = compress(layer)
    blobs = {}

    def blob(kind, content):
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        blobs[digest] = content
        return {"mediaType": "application/vnd.oci.image." + kind, "digest": digest,
                "size": len(content)}
    config = blob("config.v1+json", json.dumps({
        "architecture": MACHINES.get(platform.machine(), platform.machine()), "os": "linux",
        "config": {"Cmd": ["/bin/sh"], "Env": ["PATH=/bin:/usr/bin"]},
        "history": [{"created_by": "bench"}],  # without it buildah builds nothing on it
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + sha256(layer)]}}).encode())
    content = packed.read_bytes()
    manifest = blob("manifest.v1+json", json.dumps({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config, "layers": [blob("layer.v1.tar+gzip", content)]}).encode())
    manifest["annotations"] = {"org.opencontainers.image.ref.name": name}
    files = {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}',
             "index.json": json.dumps({"schemaVersion": 2, "manifests": [manifest]}).encode()}
    files.update({"blobs/" + d.replace(":", "/"): c for d, c in blobs.items()})
    with tarfile.open(target, "w") as tar:
        for path, data in files.items():
            info = tarfile.TarInfo(path)
            info.size, info.mode = len(data), 0o644
            tar.addfile(info, io.BytesIO(data))
