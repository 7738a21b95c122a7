"""files - export, commit, diff and cp of a container that has written many files."""
import tools
from measure import Command

# All that the small image has: sh and what busybox calls by itself.
FILL = """cd / && busybox mkdir -p data etc/many
i=0
while [ $i -lt {files} ]; do
    if [ $((i % 200)) = 0 ]; then d=/data/$((i / 200)); busybox mkdir $d; fi
    echo "$i is in this file" > $d/file-$i
    i=$((i + 1))
done
busybox dd if=/dev/urandom of=/data/big bs=1048576 count={big} 2> /dev/null
busybox chown -R 1000:1000 /data/1
busybox cp -a /data/0 /data/1 /data/2 /etc/many
"""


def fill(bench, env, manager):
    script = FILL.format(files=bench.options.files, big=bench.options.files_mb)
    run = [manager.name, "run", "--name", "filled", *manager.quiet, tools.IMAGE, "/bin/sh", "-c", script]
    bench.host.run(run, env)
    bench.host.run(manager.create("other"), env)


def commands(env, manager):
    """{what: Command}; each undoes what it did."""
    def out(name):
        return f"{env['HOME']}/{manager.name}-{name}"

    def command(what, argv, after=()):
        return Command(f"{manager.name} {what}", [manager.name, *argv], list(after))
    return [
        command("export", ["export", "-o", out("tar"), "filled"], ["rm", "-f", out("tar")]),
        command("commit", ["commit", "-q", "filled", "localhost/committed"],
                [manager.name, "rmi", "-f", "localhost/committed"]),
        command("diff", ["diff", "filled"]),
        command("cp out", ["cp", "filled:/etc/many", out("copy")], ["rm", "-rf", out("copy")]),
        command("cp in", ["cp", f"{env['HOME']}/source", "other:/source-{n}"])]


def measure(bench):
    o = bench.options
    bench.title("files", f"a container with {o.files} small files and {o.files_mb} MiB in one, "
                         f"{o.files_rounds} rounds; cp of 600 of them")
    env = bench.home("files")
    all_of_them = []
    for m in bench.managers():
        fill(bench, env, m)
        if m is bench.rootlet:
            bench.host.run(["rootlet", "cp", "filled:/etc/many", f"{env['HOME']}/source"], env)
        all_of_them += commands(env, m)
    samples = bench.host.alternate(env, all_of_them, o.files_rounds)
    bench.table("files", samples)
    for what in ("export", "commit", "diff", "cp out", "cp in"):
        found = bench.compare("files", samples, f"rootlet {what}", [f"podman {what}"])
        bench.verdict_of(f"{what} / podman's", found.get(f"podman {what}"), "wall", 1.0)
