"""Random configurations, good and bad: rootlet-oci does with them what crun or runc does, or a rule
of differential/diff_rules.py knows why not. Rows A10, A24, B51."""
import pathlib
import random
import shutil
import sys
import warnings

import pytest

from lib import host

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE / "conformance")]

# pylint: disable=wrong-import-position
import differential  # noqa: E402
from suite import test_user as make_user  # noqa: E402

OTHERS = [r for r in ("crun", "runc") if shutil.which(r)]
pytestmark = [pytest.mark.rows("A10", "A24", "B51"), pytest.mark.root, pytest.mark.timeout(600)]


@pytest.fixture(params=["root", "rootless"])
def run(request, rootlet_base, monkeypatch):
    if len(OTHERS) < 2:
        pytest.skip("needs crun and runc to compare with")
    probe = host.BUILDDIR / "tests/oci/differential/probe"
    if not probe.exists():
        pytest.skip(f"{probe} is not built")
    monkeypatch.setenv("ROOTLET_LIBEXEC", str(rootlet_base / "bin"))
    runtimes = [rootlet_base / "bin/rootlet-oci", *OTHERS]

    def examined(seed, **more):
        options = {"seed": seed, **more}
        if request.param == "root":
            return differential.examine(differential.options_of([str(r) for r in runtimes], None, probe, **options))
        with make_user(first=212_000_000) as ids:
            return differential.examine(differential.options_of([str(r) for r in runtimes], ids, probe, **options))
    return examined


def told(findings):
    return "\n".join(f"case {number} ({', '.join(what)}): {difference}" for number, what, difference in findings)


def test_same_configurations(run):
    """Each time the same ones: every difference is known."""
    count, findings, _ = run("1", cases=25)
    assert not findings, told(findings)
    assert count == 25


def test_random_configurations(run):
    """Each time others: nothing crashes, stays behind or is refused without a word. What is merely
    different is shown, for a new rule or a fix."""
    seed = str(random.randrange(1 << 32))
    count, findings, _ = run(seed, seconds=8)
    faults = [f for f in findings if f[2].fault]
    assert not faults, f"seed {seed}:\n{told(faults)}"
    assert count > 0
    if findings:
        warnings.warn(f"seed {seed}:\n{told(findings)}")
