"""tests/unit-runner, under which the unit tests run: nothing of a test outlives it, and none lasts for ever."""
import os
import pathlib
import subprocess
import sys

RUNNER = pathlib.Path(__file__).parents[1] / "unit-runner"


def run(script, seconds):
    return subprocess.run([sys.executable, RUNNER, "sh", "-c", script], env={**os.environ, "UNIT_SECONDS": seconds},
                          capture_output=True, text=True, check=False, timeout=60)


def test_nothing_outlives_a_test():
    r = run("sleep 1000 & echo begun; exit 3", "300")
    assert (r.returncode, r.stdout) == (3, "begun\n"), "the pipe is closed, whoever had it"
    r = run("sleep 1000 & sleep 1000", "0.5")
    assert r.returncode == 124 and "not done after 0.5 seconds" in r.stderr
    assert run("kill -ABRT $$", "300").returncode == 134
