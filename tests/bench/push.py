"""push - an image of one layer to a registry on loopback, packed anew each time: rootlet, skopeo, podman.

skopeo has it the easiest: its layer lies there as a tar, the others make theirs again from a tree. Every run
pushes to a repository of its own, and what skopeo and podman remember of registries is removed after each:
else they would find the layer of the run before."""
import shutil

import pull
from measure import Command

NEEDED = ("docker-registry", "skopeo")


def prepare(bench):
    """Makes the image, its layer not compressed: (layout, files, bytes)."""
    top = bench.host.work / "push-images"
    top.mkdir()
    files = pull.choose(20000, bench.options.push_mb << 20)
    tar = top / "layer.tar"
    pull.make_layer(tar, files)
    size = tar.stat().st_size
    return pull.make_layout(top, [tar], "none"), len(files), size


def compare(bench, env, address, layout, kind):
    image = {m.name: bench.host.run([m.name, "images", "-q"], env).split()[0] for m in bench.managers()}
    memory = f"{env['HOME']}/.local/share/containers/cache"

    def push(name, repository):
        return [name, "push", "-q", "--tls-verify=false", "--compression-format", kind, image[name],
                f"docker://{address}/{repository}:{kind}"]
    commands = [Command(f"skopeo copy, {kind}", [
        "skopeo", "--insecure-policy", "copy", "-q", "--dest-tls-verify=false", "--dest-compress-format", kind,
        f"oci:{layout}:none", f"docker://{address}/skopeo{{n}}:{kind}"], ["rm", "-rf", memory])]
    commands += [Command(f"{m.name} push, {kind}", push(m.name, m.name + "{n}"), ["rm", "-rf", memory])
                 for m in bench.managers()]
    samples = bench.host.alternate(env, commands, bench.options.push_rounds)
    bench.table("push", samples)
    found = bench.compare("push", samples, f"rootlet push, {kind}", [f"skopeo copy, {kind}", f"podman push, {kind}"])
    bench.verdict_of(f"push, {kind} / skopeo", found.get(f"skopeo copy, {kind}"), "wall", 0.9)
    bench.verdict_of(f"push, {kind} / skopeo", found.get(f"skopeo copy, {kind}"), "cpu", 1.0)
    most = pull.peak(bench, env, push("rootlet", "memory"))
    bench.say(f"rootlet push, {kind}: at most {most:.1f} MiB (PSS) in all its processes")
    bench.verdict(f"push, {kind}: memory of all processes, MiB (PSS)", most, 32)


def measure(bench):
    absent = [n for n in NEEDED if not shutil.which(n)]
    bench.title("push", f"an image of one layer to loopback, {bench.options.push_rounds} rounds")
    if absent or not bench.host.subids():
        bench.say("left out: " + (", ".join(absent) or "the user has no subordinate ids"))
        return
    layout, files, size = prepare(bench)
    with pull.registry(bench.host.work, "push-registry") as address:
        bench.say(f"{files} files, {size >> 20} MiB")
        env = bench.host.home("push-home")
        bench.homes.append(env)
        for m in bench.managers():
            bench.host.run(m.pull(f"oci:{layout}:none"), env)
        for kind in ("gzip", "zstd"):
            compare(bench, env, address, layout, kind)
