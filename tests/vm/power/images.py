"""images - the archives that power-cuts loads: images.py DIR. Each has a system, many small files
and a large one, and the layers differ."""
import hashlib
import io
import json
import pathlib
import random
import sys
import tarfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "cli"))
from lib.images import Tar, busybox_layer  # noqa: E402 pylint: disable=wrong-import-position


def files(seed, count, large):
    data = random.Random(seed)
    t = Tar().add_dir("data")
    for i in range(count):
        t.add_file(f"data/{seed}-{i}", data.randbytes(data.randrange(1, 6000)), uid=i % 3)
    return t.add_file(f"data/large-{seed}", data.randbytes(large))


def archive(path, name, layers):
    """As docker save writes it."""
    texts = []
    for layer in layers:
        layer.tar.close()
        texts.append(layer.buffer.getvalue())
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["sh"]},
                         "rootfs": {"type": "layers", "diff_ids": [
                             "sha256:" + hashlib.sha256(t).hexdigest() for t in texts]}}).encode()
    names = [f"{i}/layer.tar" for i in range(len(texts))]
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [name],
                            "Layers": names}]).encode()
    with tarfile.open(path, "w") as tar:
        for member, data in [*zip(names, texts), ("config.json", config),
                             ("manifest.json", manifest)]:
            info = tarfile.TarInfo(member)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def main():
    top = pathlib.Path(sys.argv[1])
    top.mkdir(parents=True, exist_ok=True)
    archive(top / "base.tar", "localhost/base:latest", [busybox_layer()])
    for n in (1, 2, 3):
        archive(top / f"img{n}.tar", f"localhost/img{n}:latest",
                [busybox_layer(), files(n, 120, 3 << 20), files(n + 10, 60, 1 << 20)])


main()
