"""Lists of an image's configuration that cost the square of their length, or a directory each."""
import time

import pytest

from lib import runner


@pytest.mark.parametrize("config", [
    {"Env": [f"a{i:x}=1" for i in range(100000)]},
    {"Labels": {f"a{i:x}": "1" for i in range(100000)}},
    {"Volumes": {f"/v{i}": {} for i in range(20000)}},
    {"Cmd": ["a"] * 200000},
    {"ExposedPorts": {f"{i}/tcp": {} for i in range(60000)}},
], ids=lambda c: next(iter(c)))
def test_counts(rootlet, lab, config):
    begin = time.monotonic()
    r, name = lab.image(**config)
    assert r.rc == 125 and "entries, at most" in r.err and next(iter(config)) in r.err, r
    assert rootlet("run", "--rm", name, "true").rc == 125
    assert time.monotonic() - begin < 10 * runner.PATIENCE


def test_as_many_as_anybody_has(rootlet, lab):
    name = lab.load(Env=[f"a{i}=1" for i in range(1000)], Labels={f"a{i}": "1" for i in range(1000)},
                    Volumes={f"/v{i}": {} for i in range(20)})
    r = rootlet.ok("run", "--rm", name, "sh", "-c", "env | grep -c ^a; mount | grep -c ' /v'",
                   timeout=20)
    assert r.out.split() == ["1000", "20"]
