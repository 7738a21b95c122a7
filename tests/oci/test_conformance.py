"""The validation programs of the OCI runtime tools say of rootlet-oci what conformance.txt has, and
no program that crun or runc passes fails. Rows A10, A24, B51."""
import contextlib
import os
import pathlib
import sys

import pytest

from lib import host

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE / "conformance")]

# pylint: disable=wrong-import-position
from suite import Suite, test_user as make_user  # noqa: E402
from table import OURS, Table, cell  # noqa: E402

DIRECTORY = pathlib.Path(os.environ.get("ROOTLET_TEST_OCI_SUITE", host.BUILDDIR / "tests/oci-suite"))
TABLE = Table()

pytestmark = [pytest.mark.rows("A10", "A24", "B51")]


@pytest.fixture(scope="module")
def directory():
    if not (DIRECTORY / "runtimetest").exists():
        pytest.skip("the validation programs are not there: make oci-suite")
    return DIRECTORY


@pytest.fixture(scope="module", params=["root", "rootless"])
def outcomes(request, directory, rootlet_base):
    """What all programs say, which run side by side as they mostly wait."""
    runtime = str(rootlet_base / "bin/rootlet-oci")
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
        patch.setenv("ROOTLET_LIBEXEC", str(rootlet_base / "bin"))
        ids = None if request.param == "root" else stack.enter_context(make_user(first=211_000_000))
        return request.param, Suite(directory, runtime, ids).run_all()


@pytest.mark.root
@pytest.mark.timeout(600)
def test_programs(outcomes):
    mode, said = outcomes
    wrong = []
    for program, outcome in said.items():
        expected = TABLE.cells.get((program, mode), {}).get(OURS)
        if expected not in (cell(outcome), "races"):
            wrong.append(f"{program} {mode}: {cell(outcome)}, expected {expected}\n"
                         f"{outcome.failed}\n{outcome.errors}")
    assert not wrong, "\n".join(wrong)
    assert {p for p, m in TABLE.cells if m == mode} == set(said)


@pytest.mark.root
@pytest.mark.timeout(600)
def test_programs_leave_nothing(outcomes):
    """What the suite forgets to delete itself is its own."""
    _, said = outcomes
    left = {p: o.left for p, o in said.items() if o.result == "pass" and o.left}
    assert not left


def test_no_worse_than_others():
    """A program that another runtime passes is passed; one that we fail says why. A reason that
    begins with "theirs:" tells what is wrong with the other's passing."""
    wrong = []
    for key in sorted(TABLE.cells):
        ours, reason = TABLE.cells[key][OURS], TABLE.reasons.get(key)
        if ours != "pass" and not reason:
            wrong.append(f"{key}: what is not passed needs a reason")
        for other, result in TABLE.others(key).items():
            if ours not in ("pass", "races") and result == "pass" and not (reason or "").startswith("theirs:"):
                wrong.append(f"{key}: {other} passes")
    assert TABLE.cells and not wrong, wrong
