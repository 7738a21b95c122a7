"""Commands are killed at each system call that changes something (README.md): nothing is lost, nothing
is left over after the next command, and ps answers (R1, R2)."""
import collections
import os
import random

import pytest

from bed import SUPERVISOR, Bed, archive, base_layer, choose, layer, long_form, seed
from cases import CASES, make
from lib import rows, runner

pytestmark = pytest.mark.root  # to follow newuidmap
SHORT = 5


@pytest.fixture(scope="module")
def archives(users):
    d = users[0].home / "archives"
    d.mkdir(mode=0o755, exist_ok=True)
    yield {"tiny": archive(d / "tiny.tar", "localhost/tiny:latest", [base_layer()]),
           "extra": archive(d / "extra.tar", "localhost/extra:latest",
                            [base_layer(), layer(("second", "2\n")), layer(("third", "3\n"))]),
           "tree": layer(("f", "1\n")).write(d / "tree.tar")}


def modes(point):
    """Whom to kill at a point: the one who makes the call; its supervisor; the command's group; all."""
    role, _n, _call, exe = point
    yield "self"
    if exe != "busybox":
        yield "all"
        if role.startswith("m"):
            yield "group"
        if exe != SUPERVISOR:
            yield SUPERVISOR


@rows("B13")
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", CASES)
def test_killed(rootlet, archives, name, record_property):
    rng = random.Random(f"{seed()} {name}")
    bed = Bed(rootlet, archives)
    case = make(name, bed)

    def attach():
        return (bed.supervisor(),) if case.attach else ()
    case.before(bed)
    every = bed.trace(case.command, attach())
    assert bed.judge(case) == [], bed.commands
    found, coverage, hits = [], collections.Counter(), 0
    chosen = choose(every, modes, long_form() or SHORT, rng)
    for (role, n, call, exe), mode in chosen:
        case.before(bed)
        seen = bed.trace(case.command, attach(), mode, f"{role}:{n}")
        if seen.hit:
            hits += 1
            coverage[(call, exe, mode)] += 1
        troubles = bed.judge(case)
        if seen.end == "hang":
            troubles.append(f"no end of the command: {seen.said}")
        if troubles:
            found.append(f"killed {mode} at {role}:{n} ({call} of {exe}; {seen.hit or 'missed'}; {seen.end}):\n    " +
                         "\n    ".join(troubles))
            if len(found) >= 20:
                break
            rootlet.end()
            bed = fresh(rootlet, archives)
            case = make(name, bed)
    record_property("points", hits)
    note(name, f"{len(every)} points, {hits} kills of {len(chosen)}, {len(found)} bad, {len(coverage)} kinds", coverage)
    rootlet.end()
    assert not found, f"{len(found)} bad ends of {hits}:\n" + "\n".join(found)


def note(name, text, coverage):
    """What was done: for whoever runs the long form (make check-crash adds it up)."""
    calls, modes_ = collections.Counter(), collections.Counter()
    for (call, _exe, mode), n in coverage.items():
        calls[call] += n
        modes_[mode] += n
    line = f"{name}: {text}; " + ", ".join(f"{n} {word}" for word, n in (modes_ + calls).most_common())
    print(line)
    if long_form():
        with open(os.environ["BUILDDIR"] + "/tests-crash.txt", "a", encoding="utf-8") as f:
            f.write(line + "\n")


def fresh(rootlet, archives):
    """After a bad end: another store, as the first may be damaged."""
    rootlet.user.kill_all({p for p, line in rootlet.user.processes().items()})
    rootlet.store.remove()
    rootlet.store = runner.Store(rootlet.user)
    return Bed(rootlet, archives)
