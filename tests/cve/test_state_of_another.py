"""A state directory that another user can write to (--root /tmp, or that user's own): what lies there
as a container must not name the hooks that root runs."""
import json
import os

import pytest
import runtimes

OTHER = 41_234


@pytest.mark.root
@pytest.mark.parametrize("owner", [OTHER, 0], ids=["another", "own"])
def test_hooks_of_another(runtime, owner):
    trace = runtime.top / "trace"
    spec = runtimes.config(["true"])
    spec["hooks"] = {"poststop": [{"path": "/bin/touch", "args": ["touch", str(trace)]}]}
    runtime.state.mkdir()
    forged = runtime.state / "x"
    forged.mkdir(mode=0o700)
    (forged / "config.json").write_text(json.dumps(spec))
    (forged / "state.json").write_text(json.dumps(
        {"ociVersion": "1.0.2", "id": "x", "bundle": str(runtime.top), "pid": 1, "pidStart": 0, "bootId": "x",
         "created": 1}))
    for path in (runtime.state, forged, *forged.iterdir()):
        os.chown(path, owner, owner)
    for args in (["kill", "x", "KILL"], ["start", "x"], ["exec", "x", "true"], ["delete", "x"],
                 ["delete", "--force", "x"]):
        runtime(*args)
    # Root's own is good: else this test proves nothing.
    assert trace.exists() == (owner == 0)
    assert forged.exists() == (owner != 0)
