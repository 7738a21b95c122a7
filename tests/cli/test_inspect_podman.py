"""inspect beside podman's own: the same keys, of the same types."""
import json
import pathlib
import shutil
import sys
import tempfile

import pytest

from lib import host, rows

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "oci"))

# pylint: disable=wrong-import-position,import-error
from sandbox import SCRATCH, Sandbox  # noqa: E402

# podman 4 has numbers and strings where docker and later podmans have what we show.
OTHERWISE = {"Config.Entrypoint", "Config.StopSignal"}
SCRIPT = r"""set -e; cd SCRATCH; mkdir -p fs n; export HOME=$PWD CONTAINERS_CONF=$PWD/c.conf
printf '[network]\nnetwork_config_dir="%s"\n[engine]\nlock_type="file"\n' $PWD/n > c.conf
p() { podman --root $PWD/r --runroot $PWD/rr --tmpdir $PWD/t --storage-driver vfs --cgroup-manager cgroupfs --events-backend none "$@"; }
p create --network none --name c -v /etc:/x:ro --label a=b --health-cmd true --tmpfs /t --rootfs $PWD/fs sleep 60 >&2
p inspect c""".replace("SCRATCH", SCRATCH)


def differences(theirs, ours, path=""):
    for key, value in theirs.items():
        where = path + key
        if key not in ours:
            yield f"{where} is missing"
        elif value is None or where in OTHERWISE:
            continue
        elif type(value) is not type(ours[key]):
            yield f"{where}: {value!r} and {ours[key]!r}"
        elif isinstance(value, dict) and key not in ("Labels", "Annotations"):
            yield from differences(value, ours[key], where + ".")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            assert ours[key], where
            yield from differences(value[0], ours[key][0], where + "[].")


@rows("B3")
@pytest.mark.skipif(not host.is_root() or not shutil.which("podman"), reason="needs root, and podman to compare with")
def test_keys_and_types(rootlet):
    with tempfile.TemporaryFile("w+") as out:
        code, _ = Sandbox().run(["sh", "-c", SCRIPT], stdout=out)
        out.seek(0)
        text = out.read()
    if code != 0:
        pytest.skip("podman does not work in the sandbox of this host")
    rootlet.ok("create", "--network", "none", "--name", "c", "-v", "/etc:/x:ro", "--label", "a=b", "--health-cmd", "true",
               "--tmpfs", "/t", rootlet.image(), "sleep", "60")
    assert list(differences(json.loads(text)[0], rootlet.inspect("c"))) == []
