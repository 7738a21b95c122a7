"""Test R4 of the crash rules: whatever system call fails, with whatever it may fail with, a command
does its work or says what failed; it does not hang, dies of nothing, leaves nothing, and containers
and images stay as they are.

FAULTS=N in the environment tries N points instead of a short selection (make check-crash), FAULTS=all
every one; FAULTS_VERB=run-d only those of one verb; FAULTS_SEED=N others than always."""
import os
import random

import pytest

from lib import faults, host, images as images_, rows

pytestmark = [pytest.mark.root, pytest.mark.skipif(
    host.SANITIZERS, reason="no program under a tracer can look for leaks, and the sanitizers need their memory")]
COUNT = os.environ.get("FAULTS", "100")
SEED = int(os.environ.get("FAULTS_SEED", "5"))


# What may be gone already.
GONE = {"rmi": (0, 1), "volume": (0, 1)}


class Verb:
    """before() makes what the command needs, and returns supervisors to look at as well."""

    def __init__(self, name, argv, before=None, after=()):
        self.name, self.argv, self.before, self.after = name, argv, before or (lambda s: ()), after


def created(s):
    s.ok("create", "--name", "n", s.image, "sleep", "1000")
    return ()


def running(s):
    s.ok("run", "-d", "--name", "n", s.image, "sleep", "1000")
    return (s.supervisor("n"),)


def tagged(s):
    s.ok("tag", s.image, "localhost/second:1")
    return ()


def verbs(s, archive, tar):
    rm = (("rm", "-f", "-t", "0", "-i", "n", "m"),)
    rmi = (("rmi", "localhost/second:1"), ("image", "prune", "-f"))
    return [
        Verb("create", ("create", "--name", "n", "-v", "vol:/v", "-e", "A=1", s.image, "true"),
             after=(*rm, ("volume", "rm", "vol"))),
        Verb("start", ("start", "n"), created, rm),
        Verb("run-d", ("run", "-d", "--name", "n", s.image, "sleep", "1000"), after=rm),
        Verb("run-rm", ("run", "--rm", "--name", "n", s.image, "true"), after=rm),
        Verb("run-init", ("run", "--rm", "--init", "-t", "--read-only", "-u", "1", "--name", "n", s.image, "true"),
             after=rm),
        Verb("exec", ("exec", "w", "true")),
        Verb("exec-user", ("exec", "-i", "-u", "1", "-w", "/tmp", "w", "true")),
        Verb("stop", ("stop", "-t", "0", "n"), running, rm),
        Verb("kill", ("kill", "-s", "WINCH", "n"), running, rm),
        Verb("restart", ("restart", "-t", "0", "n"), running, rm),
        Verb("rm", ("rm", "n"), created, rm),
        Verb("rm-f", ("rm", "-f", "-t", "0", "n"), running, rm),
        Verb("rename", ("rename", "n", "m"), created, rm),
        Verb("load", ("load", "-q", "-i", archive), after=(("rmi", "localhost/layers:latest"), ("image", "prune", "-f"))),
        Verb("import", ("import", "-q", tar, "localhost/second:1"), after=rmi),
        Verb("tag", ("tag", s.image, "localhost/second:1"), after=rmi),
        Verb("rmi", ("rmi", "localhost/second:1"), tagged, rmi),
        Verb("volume-create", ("volume", "create", "vol"), after=(("volume", "rm", "vol"),)),
        Verb("cp-out", ("cp", "x:/etc/motd", "-")),
        Verb("cp-in", ("cp", tar, "x:/tmp/small")),
        Verb("diff", ("diff", "x")),
        Verb("export", ("export", "-o", "/dev/null", "x")),
        Verb("commit", ("commit", "-q", "x", "localhost/second:1"), after=rmi),
        Verb("ps", ("ps", "-a")),
        Verb("inspect", ("inspect", "w")),
        Verb("logs", ("logs", "x")),
        Verb("images", ("images",)),
    ]


def small_tar(path):
    tar = images_.Tar().add_dir("bin").add_file("bin/x", "#!/bin/sh\n", 0o755).add_link("y", "bin/x")
    return str(tar.write(path))


def one(s, verb, point):
    """What is wrong after one point: lines."""
    pids = verb.before(s)
    rc, out, err, log = s.inject(verb.argv, point.options(), pids)
    wrong = [w for w in [faults.judge(point, rc, err + (out if "-t" in verb.argv else ""))] if w]
    wrong += s.intact()
    for argv in verb.after:
        r = s.r(*argv)
        if r.rc not in GONE.get(argv[0], (0,)):
            wrong.append(f"cleaning up: {r}")
    if s.wait_leftovers(0.3):
        s.sweep()
        if left := s.wait_leftovers():
            wrong += left
            s.forget()
    if os.environ.get("FAULTS_SAY"):
        with open(os.environ["FAULTS_SAY"], "a", encoding="utf-8") as f:
            f.write(f"{point} rc={rc} {err.strip()!r} {log.strip()} {'WRONG ' + str(wrong) if wrong else ''}\n")
    return [f"{point} (exit status {rc}, {err.strip()!r}, hit: {log.strip()}): {w}" for w in wrong]


def chosen(all_points):
    """Every verb with every error it can meet, then others by chance."""
    if COUNT == "all":
        return all_points
    rng = random.Random(SEED)
    shuffled = rng.sample(all_points, len(all_points))
    first = {}
    for p in shuffled:
        first.setdefault((p.verb, p.error), p)
    picked = list(first.values())
    return (picked + [p for p in shuffled if p not in picked])[:int(COUNT)]


@rows("B14")
@pytest.mark.timeout(36000)
def test_every_fault_ends_well(rootlet, images):
    """A system call fails: done, or a message; nothing left; the others untouched."""
    s = faults.Stand(rootlet)
    table = verbs(s, images.path("layers"), small_tar(rootlet.user.base / "small.tar"))
    only = os.environ.get("FAULTS_VERB")
    table = [v for v in table if not only or v.name in only.split(",")]
    found = []
    for v in table:
        pids = v.before(s)
        found += faults.points(v.name, s.count(v.argv, pids))
        for argv in v.after:
            s.r(*argv)
        assert not s.wait_leftovers(), v.name
    by_name = {v.name: v for v in table}
    wrong = []
    points = chosen(found)
    for p in points:
        wrong += one(s, by_name[p.verb], p)
    print(f"{len(points)} of {len(found)} points")
    assert not wrong, f"{len(wrong)} of {len(points)} points:\n" + "\n".join(wrong)


def test_rename_leaves_one_name(rootlet):
    """Whatever fails, the next command that meets the container frees the name that is not its own."""
    s = faults.Stand(rootlet)
    cid = s.ok("create", "--name", "n", s.image, "true").text
    now, other = "m", "n"
    calls = ("unlinkat", "renameat", "renameat2", "symlinkat", "flock")
    points = [p for p in faults.points("rename", s.count(("rename", "n", "m"))) if p.call in calls]
    assert {"unlinkat", "symlinkat"} <= {p.call for p in points}
    for p in points:
        rc, _out, err, _log = s.inject(("rename", now, other), p.options())
        s.ok("inspect", cid)
        names = [link.name for link in (rootlet.store.root / "names").iterdir() if os.readlink(link) == cid]
        assert len(names) == 1 and (rc != 0 or names == [other]), (p, rc, err, names)
        now, other = names[0], {"m": "n", "n": "m"}[names[0]]
    s.ok("rm", "-i", "n", "m")
