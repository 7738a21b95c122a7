"""builds - a Containerfile of ten steps, built by rootlet, podman and buildah: from nothing, and again from the cache.
The peers run steps without a container (chroot), which is the quickest that they have."""
import shutil

import tools
from measure import Command

STEPS = "".join(f"RUN echo {i} >/file-{i}\nENV STEP={i}\n" for i in range(8))
FILE = f"FROM {tools.IMAGE}\nCOPY source /source\n{STEPS}RUN busybox rm /file-0\nCMD [\"/bin/sh\"]\n"


def commands(env):
    context = f"{env['HOME']}/context"
    found = {"rootlet": ["rootlet", "--cgroups=disabled", "build", "--network", "none"]}
    if shutil.which("podman"):
        found["podman"] = ["podman", "build", "--isolation", "chroot"]
    if shutil.which("buildah"):
        found["buildah"] = ["buildah", "bud", "--layers", "--isolation", "chroot"]
    rows = []
    for name, argv in found.items():
        rows.append(Command(f"{name} build", [*argv, "--no-cache", "-q", "-t", "built", context]))
        rows.append(Command(f"{name} build again", [*argv, "-q", "-t", "built", context]))
    return rows, [n for n in found if n != "rootlet"]


def measure(bench):
    bench.title("build", f"ten steps that change files, {bench.options.build_rounds} rounds")
    env = bench.home("build")
    script = (f"mkdir -p {env['HOME']}/context/source && cd {env['HOME']}/context && for i in $(seq 100); do "
              f"echo $i >source/$i; done && cat >Containerfile <<'END'\n{FILE}END\n")
    bench.host.run(["sh", "-c", script], env)
    rows, peers = commands(env)
    samples = bench.host.alternate(env, rows, bench.options.build_rounds)
    bench.table("build", samples)
    for what in ("build", "build again"):
        found = bench.compare("build", samples, f"rootlet {what}", [f"{p} {what}" for p in peers])
        for p in peers:
            bench.verdict_of(f"{what} / {p}'s", found.get(f"{p} {what}"), "wall", 1.0)
