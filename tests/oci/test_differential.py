"""Random configurations, good and bad: rootlet-oci does with them what crun or runc does, or a rule
of differential/diff_rules.py knows why not. Rows A10, A24, B51."""
import pathlib
import random
import shutil
import sys

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


@pytest.mark.parametrize("seed", ["1", None])
def test_random_configurations(run, seed):
    """The same ones each time; and, for a few seconds, others."""
    chosen = seed or str(random.randrange(1 << 32))
    count, findings, _ = run(chosen, cases=30) if seed else run(chosen, seconds=8)
    told = [f"case {number} ({', '.join(what)}): {difference}" for number, what, difference in findings]
    assert not told, f"seed {chosen}:\n" + "\n".join(told)
    assert count > 0
