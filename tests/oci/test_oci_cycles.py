"""Many lives in a row and many at once: nothing stays, and one of two makers of an id wins."""
import os
import subprocess

import pytest

from lib import host, rows, runner

# A thousand where most is made that could stay.
CYCLES = {"cgroup2": 1000, "rootless": 300, "rootful": 100, "userns": 100}

SCRIPT = r"""
set -eu
count() {
    mounts=$(grep -c "$3" /proc/self/mountinfo || true)
    groups=$(find /sys/fs/cgroup -type d -name "cycle-$$-*" | wc -l)
    files=$(ls /proc/$$/fd | wc -l)
    echo "$mounts mounts, $groups groups, $files descriptors, state: $(ls "$2")"
}
program=$1 root=$2 bundle=$3 n=$4 i=0
"$program" --root "$root" run --bundle "$bundle" warm
count "$@"
while [ $i -lt "$n" ]; do
    i=$((i + 1))
    id=cycle-$$-$i
    "$program" --root "$root" create --bundle "$bundle" "$id"
    "$program" --root "$root" start "$id"
    "$program" --root "$root" delete --force "$id"
done
count "$@"
"""


@rows("A10", "A47")
@pytest.mark.timeout(400)
def test_nothing_stays_of_many_lives(oci):
    cycles = CYCLES[oci.mode] // (10 if host.SANITIZERS else 1)
    bundle = oci.bundle(["true"])
    argv = oci.argv()
    prefix = argv[:argv.index(oci.program)]
    script = oci.dir / "cycles"
    script.write_text(SCRIPT)
    with (oci.dir / "said").open("w+") as out:
        subprocess.run([*prefix, "sh", str(script), oci.program, str(oci.root), str(bundle),
                        str(cycles)], check=True, stdin=subprocess.DEVNULL, stdout=out,
                       env=oci.environment(), cwd=oci.dir, **oci.user.popen_args())
        out.seek(0)
        before, after = out.read().splitlines()
    assert before == after
    assert after.startswith("0 mounts, 0 groups, ") and after.endswith("state: ")


@rows("A10")
def test_twenty_at_once(oci):
    bundle = oci.bundle("sleep 1000")
    names = [oci.name() for _ in range(20)]
    made = [oci.spawn("create", "--bundle", bundle, n, stdout=subprocess.DEVNULL) for n in names]
    assert [p.wait(60 * runner.PATIENCE) for p in made] == [0] * 20
    begun = [oci.spawn("start", n) for n in names]
    assert [p.wait(60 * runner.PATIENCE) for p in begun] == [0] * 20
    assert len({oci.state(n)["pid"] for n in names}) == 20
    assert set(oci.ok("list", "-q").out.split()) == set(names)
    ended = [oci.spawn("delete", "--force", n) for n in names]
    assert [p.wait(60 * runner.PATIENCE) for p in ended] == [0] * 20
    assert oci.ok("list", "-q").out == ""


def test_one_maker_of_an_id_wins(oci):
    bundle = oci.bundle("sleep 1000")
    name = oci.name()
    made = [oci.spawn("create", "--bundle", bundle, name, stdout=subprocess.DEVNULL) for _ in range(20)]
    ends = [p.wait(60 * runner.PATIENCE) for p in made]
    assert sorted(ends) == [0] + [1] * 19
    errors = [p.stderr.read() for p in made if p.returncode]
    assert all("exists" in text for text in errors), errors
    assert oci.status(name) == "created"
    assert os.path.exists(f"/proc/{oci.state(name)['pid']}")
