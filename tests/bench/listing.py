"""listing - `images` of a store that holds many: by its index, without one, and the floor: a program that reads every
row and name and does nothing with them."""
import hashlib
import json
import os

from measure import Command


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


def fill(host, root, count):
    """As rootlet-image writes them: rows of six layers, two names in a directory."""
    for i in range(count):
        image, manifest = "sha256:" + digest(f"i{i}"), "sha256:" + digest(f"m{i}")
        layers = ["sha256:" + digest(f"l{i % 50}.{k}") for k in range(6)]
        row = {"id": image, "manifest": manifest, "layers": layers, "created": 1700000000 * 10**9 + i,
               "size": 10**6 + i, "os": "linux", "architecture": "amd64"}
        directory = f"{root}/refs/localhost+image{i // 2}"
        os.makedirs(directory, mode=0o700, exist_ok=True)
        files = {f"{root}/images/{image[7:]}.json": json.dumps(row), f"{directory}/v{i}": f"{manifest} {image}\n"}
        for path, text in files.items():
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
        if host.root:
            for path in (directory, *files):
                os.chown(path, host.user.pw_uid, host.user.pw_gid)


READ = "find {root}/images {root}/refs -type f -exec cat {{}} + > /dev/null"


def measure(bench):
    count = bench.options.images
    bench.title("images", f"images of {count} images")
    env = bench.home("images")
    root = env["HOME"] + "/.local/share/rootlet"
    fill(bench.host, root, count)
    listing = ["rootlet", "images"]
    samples = bench.host.alternate(env, [
        Command("rootlet images", listing),
        Command("rootlet images -q", [*listing, "-q"]),
        Command("find and cat", ["sh", "-c", READ.format(root=root)]),
    ], max(10, bench.options.rounds))
    bench.table("images", samples)
    bare = bench.host.alternate(env, [
        Command("rootlet images, no index", listing, ["rm", "-rf", f"{root}/index"]),
        Command("find and cat", ["sh", "-c", READ.format(root=root)]),
    ], max(10, bench.options.rounds // 2))
    bench.table("images", bare)
    found = bench.compare("images", samples, "rootlet images", ["find and cat"])
    bench.compare("images", bare, "rootlet images, no index", ["find and cat"])
    bench.verdict_of(f"images of {count} / find and cat", found.get("find and cat"), "wall", 1.0)
    for kind in ("wall", "cpu"):
        bench.verdict(f"images of {count}, ms ({kind})", samples["rootlet images"].summary()[f"{kind}_median_ms"], 20)
