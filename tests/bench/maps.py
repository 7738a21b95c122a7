"""maps - the first container with --userns keep-id of a large image: what it writes and how long it takes."""
import hashlib
import io
import json
import os
import platform
import subprocess
import tarfile
import time

import images

LAYERS = 6


def make_layer(path, number, files, size):
    """A tar of `files` files, `size` bytes in all, of the sizes of real systems: most small, few large."""
    weights = [100 if i % 50 == 0 else 1 + i % 7 for i in range(files)]
    unit = size // sum(weights)
    data = os.urandom(1 << 16) * (1 + 100 * unit // (1 << 16))
    with tarfile.open(path, "w") as t:
        for i, weight in enumerate(weights):
            info = tarfile.TarInfo(f"usr/l{number}/d{i // 200}/file-{i}")
            info.size, info.mode, info.uid = weight * unit, 0o644, i % 40
            t.addfile(info, io.BytesIO(data[:info.size]))


def make_image(bench):
    """An OCI layout of bench.tar and the layers above it; umoci and skopeo are not needed."""
    o, top = bench.options, bench.host.work / "maps.oci"
    blobs = top / "blobs/sha256"
    blobs.mkdir(parents=True)

    def blob(data):
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"digest": "sha256:" + digest, "size": len(data)}
    layers = [(bench.host.work / "bench.tar").read_bytes()]
    for n in range(LAYERS - 1):
        path = bench.host.work / "layer.tar"
        make_layer(path, n, o.maps_files // (LAYERS - 1), (o.maps_mb << 20) // (LAYERS - 1))
        layers.append(path.read_bytes())
        path.unlink()
    found = [blob(layer) for layer in layers]
    config = blob(json.dumps({
        "architecture": images.MACHINES.get(platform.machine(), platform.machine()), "os": "linux",
        "config": {"Cmd": ["/bin/true"]},
        "rootfs": {"type": "layers", "diff_ids": [d["digest"] for d in found]}}).encode())
    kind = "application/vnd.oci.image."
    manifest = blob(json.dumps({
        "schemaVersion": 2, "mediaType": kind + "manifest.v1+json", "config": {"mediaType": kind + "config.v1+json", **config},
        "layers": [{"mediaType": kind + "layer.v1.tar", **d} for d in found]}).encode())
    (top / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (top / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [
        {"mediaType": kind + "manifest.v1+json", **manifest,
         "annotations": {"org.opencontainers.image.ref.name": "localhost/maps:latest"}}]}))
    subprocess.run(["chmod", "-R", "a+rX", str(top)], check=True)
    return top


INODE = 256  # bytes of ext4 and xfs, in tables that du does not count


def used(env):
    """Bytes in blocks and inodes below the home."""
    def total(*flags):
        argv = ["du", "-s", *flags, env["HOME"]]
        return int(subprocess.run(argv, capture_output=True, text=True, check=False).stdout.split()[0])
    return total("-B1"), total("--inodes")


def first_container(bench, env, manager, image):
    """Wall seconds of the first container, the bytes and inodes that it leaves, and the seconds of the second one."""
    os.sync()
    before, begin = used(env), time.monotonic()
    argv = [manager.name, "create", "--name", "kept-1", "--userns", "keep-id", *manager.quiet, image, "/bin/true"]
    bench.host.run(argv, env)
    os.sync()
    took = time.monotonic() - begin
    extra = [now - then for now, then in zip(used(env), before)]
    begin = time.monotonic()
    bench.host.run(["kept-2" if w == "kept-1" else w for w in argv], env)
    return took, *extra, time.monotonic() - begin


def measure(bench):
    o = bench.options
    bench.title("maps", f"keep-id of an image of {LAYERS} layers, {o.maps_files} files, {o.maps_mb} MiB")
    env, image, found = bench.home("maps"), make_image(bench), {}
    for m in bench.managers():
        source = f"oci:{image}:localhost/maps:latest"
        load = ["rootlet", "load", "-q", "-i", str(image)] if m is bench.rootlet else ["podman", "pull", "-q", source]
        loaded = bench.host.run(load, env, fatal=False)
        if loaded is None:
            continue
        # podman names what it pulls from a directory after that; it prints the id.
        found[m.name] = first_container(bench, env, m, "localhost/maps" if m is bench.rootlet else loaded.split()[-1])
        took, extra, inodes, again = found[m.name]
        bench.results["maps"]["rows"].append(
            {"name": m.name, "wall_s": took, "bytes": extra, "inodes": inodes, "again_s": again})
        bench.say(f"{m.name:10} first {took:7.2f} s with sync, {extra / 1e6:8.1f} MB in blocks and {inodes} inodes; "
                  f"the next {again:5.2f} s")
    if "rootlet" in found:
        _, extra, inodes, _ = found["rootlet"]
        bench.verdict("keep-id, extra MB on disk", (extra + INODE * inodes) / 1e6, 20)
    if "podman" in found and "rootlet" in found:
        bench.verdict("keep-id, time / podman's", found["rootlet"][0] / found["podman"][0], 1.0)
