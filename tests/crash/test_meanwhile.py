"""A command stands still before one of its system calls while others do all their work: what it has
looked at is no more when it goes on. It does its work or says why not, and nothing is left."""
import os
import random
import re
import shlex
import signal

import pytest

from bed import EXTRA, IMAGE, Bed, archive, base_layer, choose, layer, long_form, seed
from lib import rows

pytestmark = pytest.mark.root  # to follow newuidmap
SHORT = 2
BROKEN = re.compile(r"[Aa]ssert|Segmentation|No such file or directory|Bad file|Stale|no JSON|not empty")
CREATE = ("create", "--name", "web", "-v", "vol:/vol", "-v", "/data", IMAGE, "sleep", "1000")
AGAIN = ("rm -f -v web", "volume rm vol", shlex.join(CREATE))


class Pair:
    """A command, before it what it needs, and what comes in between; then it must have this status."""

    def __init__(self, command, before=(), meanwhile=(), ends=(0, 1, 2, 125)):
        self.command, self.before, self.meanwhile, self.ends = command, before, meanwhile, ends
        self.name = ""


def pairs(a):
    keep = ("create", "--name", "web", "--userns", "keep-id", IMAGE, "sleep", "1000")
    load, run = f"load -q -i {a['extra']}", "run -d --name web -v vol:/vol localhost/tiny sleep 1000"
    base = (f"untag {IMAGE}", "image prune -f", f"load -q -i {a['tiny']}")
    gone = (f"rmi -f {EXTRA}", "image prune -f")
    return {
        "create | create": Pair(CREATE, meanwhile=(shlex.join(CREATE),)),
        "create | rm, create": Pair(CREATE, meanwhile=AGAIN),
        "create | prune": Pair(CREATE, meanwhile=("volume prune -f", "system prune -f --filter label=none"), ends=(0,)),
        "start | rm, create": Pair(("start", "web"), (shlex.join(CREATE),), AGAIN),
        "start | start": Pair(("start", "web"), (shlex.join(CREATE),), ("start web",)),
        "stop | start": Pair(("stop", "-t", "0", "web"), (run,), ("restart -t 0 web",)),
        "rm | rm, create": Pair(("rm", "-f", "-v", "web"), (run,), AGAIN),
        "rename | rm, create": Pair(("rename", "web", "xyz"), (shlex.join(CREATE),), AGAIN),
        "rename | rename": Pair(("rename", "web", "xyz"), (shlex.join(CREATE),), ("rename web xyz", "rename xyz web")),
        "exec | rm, run": Pair(("exec", "web", "true"), (run,), ("rm -f web", run), ends=(0, 1, 125, 126, 137)),
        "volume rm | create": Pair(("volume", "rm", "vol"), ("volume create vol",),
                                   ("volume rm vol", "volume create vol")),
        "volume import | rm, create": Pair(("volume", "import", "vol", a["tree"]), ("volume create vol",),
                                           ("volume rm vol", "volume create vol")),
        "volume import | import": Pair(("volume", "import", "vol", a["tree"]), ("volume create vol",),
                                       (f"volume import vol {a['tree']}",)),
        "load | load, rmi": Pair(("load", "-q", "-i", a["extra"]), meanwhile=(load, *gone), ends=(0,)),
        "load | rmi of the base, prune": Pair(("load", "-q", "-i", a["extra"]), meanwhile=base, ends=(0,)),
        "import | prune": Pair(("import", "-q", a["tree"], EXTRA), meanwhile=("image prune -f",), ends=(0,)),
        "create keep-id | prune": Pair(keep, meanwhile=("image prune -f", f"untag {IMAGE}", "image prune -f", load,
                                                        f"load -q -i {a['tiny']}"), ends=(0, 125)),
        "image check | rmi, prune": Pair(("image", "check"), (load,), (*gone, "image prune -f"), ends=(0,)),
        "save | rmi, prune": Pair(("save", "-o", "/dev/null", EXTRA), (load,), (*gone, "image prune -f")),
        "rmi | rmi, load": Pair(("rmi", EXTRA), (load,), (f"rmi {EXTRA}", load)),
        "tag | rmi": Pair(("tag", EXTRA, "localhost/extra:2"), (load,), (*gone, load)),
        "rmi of two names": Pair(("rmi", EXTRA), (load, f"tag {EXTRA} localhost/extra:2"), ("rmi localhost/extra:2",)),
        "image prune | load": Pair(("image", "prune", "-a", "-f"), (load,), (*gone, load)),
    }


@pytest.fixture(scope="module")
def archives(users):
    d = users[0].home / "archives"
    d.mkdir(mode=0o755, exist_ok=True)
    yield {"tiny": archive(d / "tiny.tar", IMAGE, [base_layer()]),
           "extra": archive(d / "extra.tar", EXTRA, [base_layer(), layer(("second", "2\n"))]),
           "tree": layer(("f", "1\n")).write(d / "tree.tar")}


def judge(bed, pair, seen):
    bed.troubles, bed.commands = [], []
    status = int(seen.end.split()[1]) if (seen.end or "").startswith("exit ") else seen.end
    if status not in pair.ends or BROKEN.search(seen.said) or (status == 125 and "Error: " not in seen.said):
        bed.trouble(f"{seen.end}: {seen.said}")
    bed.check_others()
    found = bed.state()
    if found not in (None, "created", "running", "stopped", "exited"):
        bed.trouble(f"it is {found}")
    if found:
        bed.ok("start", "web")
        bed.ok("exec", "web", "true")
    bed.clear()
    bed.ok("image", "check")
    if pair.name == "rmi of two names" and EXTRA.split(":", maxsplit=1)[0] in bed.ok("images").out:
        bed.trouble("a name was removed, but the image stays")
    bed.ok("rmi", "-f", EXTRA, "localhost/extra:2")
    bed.ok("image", "prune", "-f")
    bed.user.kill_all(set(bed.leftovers()))
    return bed.troubles


@rows("B13")
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", pairs({"extra": "", "tree": "", "tiny": ""}))
def test_meanwhile(rootlet, archives, name):
    bed = Bed(rootlet, archives)
    pair = pairs(archives)[name]
    pair.name = name
    script = "; ".join(f"{shlex.quote(rootlet.program)} {line}" for line in pair.meanwhile)
    script = f"({script}) > /dev/null 2>&1"

    def before():
        for line in pair.before:
            rootlet.ok(*shlex.split(line))
    before()
    every = [p for p in bed.trace(pair.command) if p[0].startswith("m") and p[3] != "busybox"]
    judge(bed, pair, bed.trace(("version",)))
    rng = random.Random(f"{seed()} {name}")
    chosen = choose(every, lambda p: ("self",), long_form() or SHORT, rng)
    found = []
    for (role, n, call, exe), _ in chosen:
        before()
        seen = bed.trace(pair.command, meanwhile=script, at=f"{role}:{n}")
        if troubles := judge(bed, pair, seen):
            found.append(f"at {role}:{n} ({call} of {exe}; {seen.hit or 'missed'}; meanwhile {seen.meanwhile}):\n    " +
                         "\n    ".join(troubles))
            if len(found) >= 10:
                break
    print(f"{name}: {len(every)} points, {len(chosen)} tried")
    rootlet.end()
    assert not found, f"{len(found)} of {len(chosen)}:\n" + "\n".join(found)


# What each command works on; it takes the container's lock on its way.
CREATED, RUNS = "create --name web localhost/tiny sleep 1000", "run -d --name web localhost/tiny sleep 1000"
LOCKING = {
    "rename": (("rename", "web", "xyz"), CREATED), "start": (("start", "web"), CREATED), "rm": (("rm", "web"), CREATED),
    "cp": (("cp", "/etc/passwd", "web:/"), CREATED), "mount add": (("mount", "add", "web", "/tmp:/tmp2"), CREATED),
    "update": (("update", "--restart", "no", "web"), CREATED),
    "stop of a killed one": (("stop", "web"), RUNS),
}


@rows("B13")
@pytest.mark.timeout(600)
def test_lock_of_one_that_goes(rootlet, archives):
    """Whoever locks a container that somebody else has just removed makes its directory of the run root anew. It
    goes with the command: a later one need not look for it."""
    bed = Bed(rootlet, archives)
    found, tried = [], 0

    def before(start):
        rootlet.ok(*shlex.split(start))
        if start == RUNS:
            state = rootlet.inspect("web")
            os.kill(bed.supervisor(), signal.SIGKILL)
            os.kill(state["State"]["Pid"], signal.SIGKILL)
            rootlet.wait_for(lambda: "exited" in rootlet.ok("ps", "-a", "--filter", "name=web").out.lower())
    for name, (command, start) in LOCKING.items():
        before(start)
        points = [p for p in bed.trace(command) if p[0] in ("m", "m.0") and p[2] in ("flock", "mkdir", "mkdirat")]
        bed.clear()
        assert points, name
        for role, n, call, _exe in points:
            before(start)
            seen = bed.trace(command, meanwhile=f"{shlex.quote(rootlet.program)} rm -f web xyz", at=f"{role}:{n}")
            tried += 1
            if left := bed.things_now() - bed.things:
                found.append(f"{name} at {role}:{n} ({call}; {seen.hit or 'missed'}; {seen.end}: {seen.said}): {left}")
                bed.clear()
    print(f"{tried} tried")
    rootlet.end()
    assert not found, "\n".join(found)
