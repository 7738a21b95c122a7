"""Trees that a container has left behind: too deep for paths, unreadable, full of links. They can
be removed, and nothing else goes with them."""
import hostile_trees as hostile

DEEP = r"""
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    static char name[201];
    for (int i = 0; i < 200; i++)
        name[i] = 'd';
    if (argc < 3 || chdir(argv[1]))
        return 1;
    for (int i = atoi(argv[2]); i > 0; i--)
        if (mkdir(name, 0700) || chdir(name))
            return 2;
    for (int i = 0; i < 3; i++)
        if (mkdir("locked", 0700) || chdir("locked") || chmod("..", 0))
            return 3;
    return 0;
}
"""


def test_removal(rootlet, lab):
    canary, before = lab.canary()
    rootlet.ok("run", "--name", "c", "-v", lab.program("deep", DEEP), "-v", "/anonymous", rootlet.image(),
               "sh", "-c", f"""
        for d in / /anonymous; do
            /deep $d 3000 && mkdir -m 0 $d/locked && mkfifo $d/fifo && ln -s {canary} $d/link &&
            ln -s /proc/self/cwd $d/magic && mkdir $d/other && touch $d/other/file &&
            chown -R 1000:1000 $d/other && chmod 0 $d/other || exit 9
        done""")
    rootlet.ok("ps", "-a", "-s", timeout=10)
    rootlet.ok("rm", "-v", "c", timeout=20)
    assert hostile.look(canary) == before
    assert not any((rootlet.store.root / "containers").iterdir())
    assert not any((rootlet.store.root / "volumes").iterdir())


def test_output_without_lines(rootlet):
    """A line without an end neither fills the supervisor's memory nor the reader's."""
    rootlet.ok("run", "-d", "--name", "c", rootlet.image(), "sh", "-c",
               "head -c 100000000 /dev/zero | tr '\\0' x; echo; echo end; sleep 1000")
    rootlet.wait_for(lambda: rootlet("logs", "--tail", "1", "c").text == "end", timeout=30)
    pid = rootlet.inspect("c")["State"]["Pid"]
    with open(f"/proc/{pid}/status", encoding="utf-8") as f:
        parent = next(line.split()[1] for line in f if line.startswith("PPid"))
    with open(f"/proc/{parent}/status", encoding="utf-8") as f:
        peak = next(int(line.split()[1]) for line in f if line.startswith("VmHWM"))
    assert peak < 16 << 10


def test_log_has_a_limit(rootlet, user):
    conf = user.home / ".config" / "rootlet" / "rootlet.conf"
    size = None
    conf.parent.mkdir(parents=True, exist_ok=True)
    conf.write_text("log_size_max = 1mb\n")
    try:
        for p in (conf, conf.parent, conf.parent.parent):
            p.chmod(0o755)
        rootlet.ok("run", "--name", "c", rootlet.image(), "sh", "-c", "yes | head -c 10000000", binary=True)
        size = sum(p.stat().st_size for p in (rootlet.store.root / "containers").glob("*/log*"))
    finally:
        conf.unlink()
    assert 0 < size < 3 << 20
