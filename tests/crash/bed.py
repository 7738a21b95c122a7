"""bed - a store in which a command is killed at one system call, and a judge of what is left.

Two containers stand by that nobody kills: "keep" was created, "live" runs. A case puts the store
back to where it was, so that one bed serves many kills. Names are no hexadecimal digits: those would
begin ids."""
import contextlib
import functools
import hashlib
import json
import os
import pathlib
import random
import subprocess
import time

from lib import audit, host, runner
from lib.images import ARCHITECTURES, BUSYBOX, Tar

TRACE = pathlib.Path(os.environ.get("BUILDDIR", "build")).resolve() / "tests/crash/crash-trace"
IMAGE, EXTRA = "localhost/tiny:latest", "localhost/extra:latest"
APPLETS = ("sh", "sleep", "true", "echo", "cat", "touch")
SUPERVISOR = "rootlet-supervise"
# A listing that takes longer than this waits for somebody.
QUICK = 2.0
SETTLE = 5.0


def layer(*files):
    t = Tar()
    for name, data in files:
        t.add_file(name, data)
    return t


def base_layer():
    t = Tar().add_dir("bin").add_dir("tmp", 0o1777).add_dir("data")
    t.add_file("bin/busybox", pathlib.Path(BUSYBOX).read_bytes(), 0o755)
    for name in APPLETS:
        t.add_link(f"bin/{name}", "busybox")
    return t.add_file("data/of-image", "from the image\n", uid=5, gid=5)


def archive(path, name, tars):
    """What docker save writes."""
    out, ids, files = Tar(), [], []
    for i, tar in enumerate(tars):
        tar.tar.close()
        data = tar.buffer.getvalue()
        ids.append("sha256:" + hashlib.sha256(data).hexdigest())
        files.append(f"{i}.tar")
        out.add_file(files[-1], data)
    config = json.dumps({"architecture": ARCHITECTURES[os.uname().machine], "os": "linux",
                         "created": "2023-11-14T22:13:20Z", "config": {"Cmd": ["sleep", "1000"]},
                         "rootfs": {"type": "layers", "diff_ids": ids}})
    label = hashlib.sha256(config.encode()).hexdigest() + ".json"
    out.add_file(label, config)
    out.add_file("manifest.json", json.dumps([{"Config": label, "RepoTags": [name], "Layers": files}]))
    out.write(path)
    path.chmod(0o644)
    return path


class Points(list):
    """What a run of crash-trace has said."""

    def __init__(self, text):
        super().__init__()
        self.hit = self.end = self.meanwhile = None
        for line in text.splitlines():
            word, _, rest = line.partition(" ")
            if word == "point":
                role, n, call, exe = rest.split(" ")
                self.append((role, int(n), call, exe))
            elif word == "hit":
                self.hit = rest
            elif word == "meanwhile":
                self.meanwhile = rest
            elif word in ("exit", "signal", "hang"):
                self.end = line


class Bed:
    def __init__(self, rootlet, archives):
        self.rootlet, self.user, self.store = rootlet, rootlet.user, rootlet.store
        self.archives = archives
        self.troubles, self.commands = [], []
        rootlet.ok("load", "-q", "-i", archives["tiny"])
        self.image_id = rootlet.ok("images", "-q", "--no-trunc").text
        rootlet.ok("create", "--name", "keep", "-v", "kept:/data", IMAGE)
        rootlet.ok("run", "-d", "--name", "live", IMAGE)
        self.live = rootlet.inspect("live")["State"]["Pid"]
        self.log = self.user.home / "crash-log"
        self.processes = set(self.user.processes())  # those that stand by
        self.things = self.things_now()

    # commands

    def __call__(self, *args, rc=None, timeout=20):
        r = self.rootlet(*args, timeout=timeout)
        self.commands.append(r)
        if rc is not None and r.rc != rc:
            self.trouble(f"want exit status {rc}: {r}")
        return r

    def ok(self, *args, **kw):
        return self(*args, rc=0, **kw)

    def trouble(self, text):
        self.troubles.append(text)

    def trace(self, args, attach=(), kill=None, at=None, tail=60, meanwhile=None):
        """Runs a command under crash-trace: to the end, or to a kill."""
        argv = [str(TRACE), "--log", str(self.log), "--tail", str(tail if not at else 300), "--limit",
                str(int(15000 * runner.PATIENCE))]
        if self.user.made:
            argv += ["--uid", str(self.user.uid), "--gid", str(self.user.gid)]
        for pid in attach:
            argv += ["--attach", str(pid)]
        if kill:
            argv += ["--kill", kill, "--at", at]
        if meanwhile:
            argv += ["--meanwhile", meanwhile, "--at", at]
        argv += ["--", self.rootlet.program, *map(str, args)]
        with open(f"{self.log}.out", "w+", encoding="utf-8", errors="replace") as out:
            r = subprocess.run(argv, env=self.rootlet.environment(), cwd=self.user.home, check=False,
                               stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
            assert r.returncode == 0, (argv, pathlib.Path(f"{self.log}.out").read_text("utf-8"))
            out.seek(0)
            said = out.read()
        points = Points(self.log.read_text())
        points.said = said
        return points

    # what is there

    def rows(self):
        """name -> status, by ps."""
        r = self.ok("ps", "-a", "--format", "json")
        if r.seconds > QUICK * runner.PATIENCE:
            self.trouble(f"ps took its time: {r}")
        with contextlib.suppress(ValueError):
            return {name: row["State"] for row in r.json() for name in row["Names"]}
        self.trouble(f"ps writes no JSON: {r}")
        return {}

    def state(self, name="web"):
        """The status of a container that is not on its way to another one."""
        end = time.monotonic() + SETTLE * runner.PATIENCE
        while True:
            found = self.rows().get(name)
            if found not in ("starting", "restarting") or time.monotonic() > end:
                return found
            time.sleep(0.01)

    def gone(self, name="web"):
        end = time.monotonic() + SETTLE * runner.PATIENCE
        while True:
            working = self.user.processes().keys() - self.processes
            if name not in self.rows():
                return True
            if not working or time.monotonic() > end:
                return False
            time.sleep(0.01)

    def supervisor(self, name="web"):
        state = self.store.root / "containers" / self.rootlet.inspect(name)["Id"] / "state.json"
        return json.loads(state.read_text())["supervisor_pid"]

    def things_now(self):
        """Everything that the store and the run root name."""
        found = audit.Audit.store_leftovers(self.store)
        for d in ("images", "layers", "volumes", "blobs/sha256", "trash", "refs", "refs/localhost+tiny",
                  "refs/localhost+extra"):
            found |= audit.below(self.store.root / d)
        found |= audit.below(self.user.tmp)
        return found

    def broken_json(self):
        bad = []
        for path in [*self.store.root.glob("containers/*/*.json"), *self.store.root.glob("images/*.json"),
                     *self.store.root.glob("volumes/*/*.json"), *self.store.root.glob("layers/*/*.json")]:
            try:
                json.loads(path.read_text())
            except FileNotFoundError:
                pass
            except ValueError as e:
                bad.append(f"{path}: {e}")
        return bad

    def stopped(self):
        """The user's processes that stand still."""
        found = {}
        for pid, line in self.user.processes().items():
            with contextlib.suppress(OSError):
                if pathlib.Path(f"/proc/{pid}/stat").read_text("utf-8").rsplit(")", 1)[1].split()[0] in "Tt":
                    found[pid] = line
        return found

    # the judge

    def check_others(self):
        rows = self.rows()
        if rows.get("keep") != "created" or rows.get("live") != "running":
            self.trouble(f"others changed: {rows}")
        if not pathlib.Path(f"/proc/{self.live}").exists():
            self.trouble("the process of another container ended")
        for bad in self.broken_json():
            self.trouble(f"no JSON: {bad}")

    def leftovers(self):
        """After the next command of the user's; what is under way may end."""
        end = time.monotonic() + 3 * runner.PATIENCE
        while True:
            now = {pid: line for pid, line in self.user.processes().items() if pid not in self.processes}
            new, missing = self.things_now() - self.things, self.things - self.things_now()
            if not (now or new or missing) or time.monotonic() > end:
                break
            time.sleep(0.005)
        for what, found in (("process", now.items()), ("left", sorted(new)), ("lost", sorted(missing))):
            for item in found:
                self.trouble(f"{what}: {item}")
        return now

    def clear(self, removed=("web", "xyz")):
        """What the user would do to be rid of it."""
        self.ok("rm", "-f", "-v", *removed)
        self.ok("volume", "rm", "-f", "vol")
        rows = self.rows()
        if set(rows) != {"keep", "live"}:
            self.trouble(f"after rm -f: {rows}")

    def judge(self, case):
        self.troubles, self.commands = [], []
        try:
            self.check_others()
            case.after(self)
            self.clear()
            self.check_others()
            left = self.leftovers()
            self.user.kill_all(set(left))
        except (AssertionError, KeyError, ValueError, OSError) as e:
            self.trouble(f"{type(e).__name__}: {e}")
        return self.troubles

    @property
    def damaged(self):
        return bool(self.troubles)


def seed():
    """The short form kills at the same points every time: what it finds is new with the change."""
    return int(os.environ.get("ROOTLET_CRASH_SEED") or (random.SystemRandom().randrange(1 << 30) if long_form() else 1))


def choose(points, modes, count, rng):
    """(point, mode) pairs: first one of each program and call, then any others; all if count is None."""
    every = [(p, m) for p in points for m in modes(p)]
    rng.shuffle(every)
    if count is None or count >= len(every):
        return every
    seen, first, rest = set(), [], []
    for p, m in every:
        key = (p[2], p[3])
        (rest if key in seen else first).append((p, m))
        seen.add(key)
    return (first + rest)[:count]


@functools.cache
def long_form():
    """How many points each verb gets: None: all."""
    text = os.environ.get("ROOTLET_CRASH_POINTS", "")
    return int(text) if text else 0


PATIENT = host.SANITIZERS
