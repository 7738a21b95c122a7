"""pull - an image of six layers from a registry on loopback: rootlet, podman, and a pipeline of shell.

The floor fetches all layers at once, each by curl into sha256sum and a decompressor into tar, in a user
namespace. It checks no digest of what is unpacked, keeps nothing by which the tar could be made again,
turns no whiteout into one, and syncs nothing."""
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tarfile
import time

import images
from measure import Command

LAYERS = 6
NEEDED = ("docker-registry", "skopeo", "curl", "jq", "zstd", "unshare")
FLOOR = r"""
set -eu
url=$1 tag=$2 dir=$3
mkdir -p "$dir"
get() {
    case $3 in *zstd) unpack="zstd -dcq" ;; *) unpack="gzip -dc" ;; esac
    mkdir "$dir/$1"
    curl -sf "$url/blobs/$2" | tee >(sha256sum > "$dir/$1.sum") | $unpack |
        tar --numeric-owner --delay-directory-restore -xpf - -C "$dir/$1"
    while ! [ -s "$dir/$1.sum" ]; do sleep 0.01; done
    grep -q "${2#sha256:}" "$dir/$1.sum"
}
i=0
while read -r digest type; do
    i=$((i + 1))
    get $i "$digest" "$type" &
done < <(curl -sf -H 'Accept: application/vnd.oci.image.manifest.v1+json' "$url/manifests/$tag" |
    jq -r '.layers[] | .digest + " " + .mediaType')
for job in $(jobs -p); do wait "$job"; done
"""


def choose(count, size):
    """About `count` files of /usr with about `size` bytes, spread over it."""
    found = []
    for directory, names, others in os.walk("/usr"):
        names.sort()
        for name in sorted(others):
            full = os.path.join(directory, name)
            info = os.lstat(full)
            if os.path.islink(full) or info.st_size <= images.BIGGEST_FILE and os.access(full, os.R_OK):
                found.append((full, info.st_size))
    step = max(1, sum(f[1] for f in found) // size)
    found = found[::step]
    small = [f for f in found if f[1] <= 65536]
    keep = max(1, count - (len(found) - len(small)))
    thin = max(1, len(small) // keep)
    wanted = set(small[::thin])
    return [f for f in found if f[1] > 65536 or f in wanted]


def make_layer(path, files):
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        seen = set()
        for full, length in files:
            for parent in reversed(pathlib.PurePath(full).parents):
                if parent not in seen and str(parent) != "/":
                    seen.add(parent)
                    tar.add(parent, str(parent)[1:], recursive=False, filter=images.as_root)
            info = images.as_root(tar.gettarinfo(full, full[1:]))
            if info.islnk():
                info.type, info.size = tarfile.REGTYPE, length
            with open(full if info.isreg() else os.devnull, "rb") as f:
                tar.addfile(info, f)


def make_layout(top, tars, kind):
    """An OCI layout of these layers, compressed as `kind` says: gzip, zstd or none."""
    target = top / kind
    blobs = target / "blobs/sha256"
    blobs.mkdir(parents=True)

    def blob(media_type, data):
        path = top / "blob"
        if isinstance(data, pathlib.Path):
            data.rename(path)
        else:
            path.write_bytes(data)
        digest = images.sha256(path)
        size = path.stat().st_size
        path.rename(blobs / digest)
        return {"mediaType": "application/vnd.oci.image." + media_type, "digest": "sha256:" + digest, "size": size}

    def packed(tar):
        out = top / "packed"
        if kind == "none":
            os.link(tar, out)
            return out
        argv = ["gzip", "-6", "-n", "-c"] if kind == "gzip" else ["zstd", "-q", "-3", "-c"]
        with open(tar, "rb") as f, open(out, "wb") as o:
            subprocess.run(argv, stdin=f, stdout=o, check=True)
        return out
    config = blob("config.v1+json", json.dumps({
        "architecture": images.MACHINES.get(os.uname().machine, os.uname().machine), "os": "linux",
        "config": {"Cmd": ["/bin/sh"]},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + images.sha256(t) for t in tars]}}).encode())
    layer_type = "layer.v1.tar" + (f"+{kind}" if kind != "none" else "")
    manifest = blob("manifest.v1+json", json.dumps({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config,
        "layers": [blob(layer_type, packed(t)) for t in tars]}).encode())
    manifest["annotations"] = {"org.opencontainers.image.ref.name": kind}
    (target / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (target / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [manifest]}))
    return target


@contextlib.contextmanager
def registry(work, name="registry"):
    """An address where docker-registry serves."""
    top = work / name
    top.mkdir()
    log = work / f"{name}.log"
    conf = work / f"{name}.json"
    conf.write_text(json.dumps({
        "version": 0.1, "log": {"level": "info"}, "http": {"addr": "127.0.0.1:0", "secret": "x"},
        "storage": {"filesystem": {"rootdirectory": str(top)}, "cache": {"blobdescriptor": "inmemory"}}}))
    with open(log, "wb") as out:
        process = subprocess.Popen(["docker-registry", "serve", str(conf)], stdin=subprocess.DEVNULL, stdout=out,
                                   stderr=out, env={**os.environ, "OTEL_TRACES_EXPORTER": "none"})
    try:
        for _ in range(600):
            found = re.search(r"listening on 127\.0\.0\.1:(\d+)", log.read_text(errors="replace"))
            if found:
                break
            time.sleep(0.05)
        yield f"127.0.0.1:{found[1]}"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def prepare(bench, address):
    """Makes the images and pushes them; (files, bytes)."""
    top = bench.host.work / "pull-images"
    top.mkdir()
    files = choose(bench.options.pull_files, bench.options.pull_mb << 20)
    tars = []
    for n in range(LAYERS):
        tars.append(top / f"{n}.tar")
        make_layer(tars[-1], files[n::LAYERS])
    size = sum(t.stat().st_size for t in tars)
    for kind in ("gzip", "zstd"):
        layout = make_layout(top, tars, kind)
        subprocess.run(["skopeo", "--insecure-policy", "copy", "-q", "--preserve-digests", "--dest-tls-verify=false",
                        f"oci:{layout}:{kind}", f"docker://{address}/multi:{kind}"], check=True)
    shutil.rmtree(top)
    return len(files), size


def peak(bench, env, argv):
    """The largest sum of PSS, in MiB, of all processes of the user while it runs."""
    before, highest = bench.host.processes(), 0
    ids = {"user": bench.host.user.pw_uid, "group": bench.host.user.pw_gid, "extra_groups": []} if bench.host.root else {}
    process = subprocess.Popen(argv, env=env, cwd=env["HOME"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, **ids)
    while process.poll() is None:
        total = 0
        for pid in bench.host.processes():
            if pid in before:
                continue
            with contextlib.suppress(OSError, TypeError):
                with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as f:
                    total += int(re.search(r"^Pss:\s+(\d+)", f.read(), re.M)[1])
        highest = max(highest, total)
        time.sleep(0.005)
    if process.returncode:
        raise SystemExit(f"bench: {' '.join(argv)}: {process.returncode}")
    return highest / 1024


def compare(bench, env, address, kind):
    floor = bench.host.work / "floor-pull.sh"
    floor.write_text(FLOOR)
    out = f"{env['HOME']}/floor"
    inside = ["unshare", "--map-auto", "-Ur"]
    commands = [Command(f"floor, {kind}", [*inside, "bash", str(floor), f"http://{address}/v2/multi", kind, out],
                        [*inside, "rm", "-rf", out])]
    commands += [Command(f"{m.name} pull, {kind}", m.pull(f"{address}/multi:{kind}"), m.remove_images())
                 for m in bench.managers()]
    samples = bench.host.alternate(env, commands, bench.options.pull_rounds)
    bench.table("pull", samples)
    found = bench.compare("pull", samples, f"rootlet pull, {kind}", [f"floor, {kind}", f"podman pull, {kind}"])
    for cost in ("wall", "cpu"):
        bench.verdict_of(f"pull, {kind} / floor", found.get(f"floor, {kind}"), cost, 1.0)
    bench.verdict_of(f"pull, {kind} / podman", found.get(f"podman pull, {kind}"), "wall", 0.4)
    most = peak(bench, env, bench.rootlet.pull(f"{address}/multi:{kind}"))
    bench.host.run(bench.rootlet.remove_images(), env)
    bench.say(f"rootlet pull, {kind}: at most {most:.1f} MiB (PSS) in all its processes")
    bench.verdict(f"pull, {kind}: memory of all processes, MiB (PSS)", most, 32)


def measure(bench):
    absent = [n for n in NEEDED if not shutil.which(n)]
    bench.title("pull", f"an image of {LAYERS} layers from loopback, {bench.options.pull_rounds} rounds")
    if absent or not bench.host.subids():
        bench.say("left out: " + (", ".join(absent) or "the user has no subordinate ids"))
        return
    with registry(bench.host.work) as address:
        files, size = prepare(bench, address)
        bench.say(f"{files} files, {size >> 20} MiB unpacked")
        env = bench.host.home("pull")
        bench.homes.append(env)
        for kind in ("gzip", "zstd"):
            compare(bench, env, address, kind)
