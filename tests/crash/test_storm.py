"""Many commands at once on few names (R6): one wins each change, nobody waits for ever, what is said
is clear, the journal of events tells a story that can be true, and nothing is left."""
import collections
import os
import random
import re
import time

import pytest

from bed import IMAGE, archive, base_layer, layer, long_form, seed
from lib import rows, runner

SECONDS = float(os.environ.get("ROOTLET_CRASH_SECONDS") or (60 if long_form() else 6))
AT_ONCE = 64
WATCHDOG = 30

# Why a command may lose; in the long form anything else is looked at by whoever runs it.
LOSES = re.compile(
    r"no such (container|object|volume)|already in use|is (already )?(running|starting|stopping|paused|created|exited|"
    r"stopped|dead|restarting)|working on it|it is not running|has (that name|ended)|is in use by|was removed|"
    r"removed meanwhile|is not running|being worked on|supervisor of the container has gone|"
    r"is not known|no such image|image .* not (known|found)|uses it|use it|being made with it|has gone away|in use|image not known|is used by|another process uses the store|is not a name of|has just ended")
BROKEN = re.compile(r"[Aa]ssert|Segmentation|No such file or directory|Bad file|Stale|no JSON|Directory not empty")


@pytest.fixture
def archives(users):
    d = users[0].home / "archives"
    d.mkdir(mode=0o755, exist_ok=True)
    return {"tiny": archive(d / "tiny.tar", "localhost/tiny:latest", [base_layer()]),
            "extra": archive(d / "extra.tar", "localhost/extra:latest", [base_layer(), layer(("second", "2\n"))])}


class Storm:
    def __init__(self, rootlet, rng, at_once=AT_ONCE):
        self.rootlet, self.rng, self.at_once = rootlet, rng, at_once
        self.running, self.done, self.troubles = [], collections.Counter(), []

    def start(self, args):
        self.running.append((self.rootlet.spawn(*args, stdin=-3), args, time.monotonic()))

    def reap(self):
        still = []
        for p, args, begin in self.running:
            if p.poll() is None:
                if time.monotonic() - begin > WATCHDOG * runner.PATIENCE:
                    self.troubles.append(f"no end of {args}")
                    p.kill()
                still.append((p, args, begin))
                continue
            _out, err = p.communicate()
            self.rootlet._children.remove(p)  # pylint: disable=protected-access
            self.done[(args[0], p.returncode == 0)] += 1
            unclear = p.returncode == 125 and not (LOSES.search(err) if long_form() else "Error: " in err)
            if p.returncode < 0 or unclear or BROKEN.search(err):
                self.troubles.append(f"{args}: {p.returncode}: {err}")
        self.running = still

    def rage(self, choose, seconds=SECONDS):
        end = time.monotonic() + seconds
        while time.monotonic() < end and len(self.troubles) < 20:
            self.reap()
            while len(self.running) < self.at_once:
                self.start(choose(self.rng))
            time.sleep(0.002)
        while self.running:
            self.reap()
            time.sleep(0.002)


def check_journal(rootlet, troubles):
    """Of each container: created once and first, started and died in turns, removed once and last."""
    lives = collections.defaultdict(list)
    text = rootlet.ok("events", "--stream=false", "--format", "{{.ID}} {{.Status}}").out
    for line in text.splitlines():
        cid, _, status = line.partition(" ")
        if status in ("create", "start", "died", "remove"):
            lives[cid].append(status)
    for cid, events in lives.items():
        story = " ".join(events)
        if not re.fullmatch(r"create( start died)*( start)?( remove)?( died)?", story):
            troubles.append(f"events of {cid[:12]}: {story}")
    return len(lives)


@rows("B13")
@pytest.mark.timeout(1800)
def test_one_name(rootlet, archives):
    rootlet.ok("load", "-q", "-i", archives["tiny"])
    storm = Storm(rootlet, random.Random(seed()))
    verbs = [("create", "--name", "web", IMAGE, "sleep", "1000"), ("run", "-d", "--name", "web", IMAGE, "sleep", "1000"),
             ("start", "web"), ("start", "web"), ("stop", "-t", "0", "web"), ("kill", "web"), ("restart", "-t", "0", "web"),
             ("rm", "web"), ("rm", "-f", "web"), ("rm", "-f", "xyz"), ("exec", "web", "true"), ("rename", "web", "xyz"),
             ("rename", "xyz", "web"), ("update", "--restart", "no", "web"), ("run", "--rm", "--name", "web", IMAGE, "true"),
             ("ps", "-a"), ("inspect", "web")]
    storm.rage(lambda rng: rng.choice(verbs))
    lives = check_journal(rootlet, storm.troubles)
    rootlet.ok("rm", "-f", "web", "xyz")
    print(f"{sum(storm.done.values())} commands, {lives} containers: {dict(storm.done)}")
    assert not storm.troubles, "\n".join(storm.troubles[:20])
    assert rootlet.ok("ps", "-aq").out == ""
    for name in ("web", "xyz"):
        rootlet.ok("run", "--rm", "--name", name, IMAGE, "true")


@pytest.mark.timeout(1800)
def test_shared_images_and_volumes(rootlet, archives):
    """Whoever has made a container has its image and volumes, whatever is pruned beside it."""
    rootlet.ok("load", "-q", "-i", archives["tiny"])
    rootlet.ok("create", "--name", "keep", "-v", "kept:/data", IMAGE)
    storm = Storm(rootlet, random.Random(seed()), 24)
    extra = "localhost/extra:latest"
    verbs = [("load", "-q", "-i", str(archives["extra"])), ("rmi", "-f", extra), ("image", "prune", "-a", "-f"),
             ("volume", "prune", "-f"), ("volume", "rm", "vol"), ("tag", IMAGE, extra), ("untag", IMAGE, extra),
             ("images",), ("volume", "ls")]

    def choose(rng):
        name = f"web{rng.randrange(8)}"
        return rng.choice(verbs + [
            ("run", "--rm", "-v", "vol:/vol", "-v", "/data", IMAGE, "true"),
            ("create", "--name", name, "-v", "vol:/vol", IMAGE, "true"), ("create", "--name", name, extra, "true"),
            ("start", "-a", name), ("start", "-a", name), ("rm", "-f", "-v", name), ("rm", "-f", "-v", name)])
    storm.rage(choose)
    print(f"{sum(storm.done.values())} commands: {dict(storm.done)}")
    rootlet.ok("image", "check")
    rootlet.ok("rm", "-f", "-v", "-a")
    rootlet.ok("volume", "prune", "-f")
    rootlet.ok("rmi", "-f", "-a")
    assert not storm.troubles, "\n".join(storm.troubles[:20])
    left = [p for d in ("layers", "trash", "ingest", "images", "volumes", "blobs/sha256") for p in (rootlet.store.root / d).iterdir()]
    assert not left
