"""spec: a configuration to start from, which other runtimes take as well."""
import json
import os
import shutil
import stat
import subprocess

import pytest

from lib import host, rows, runner

SCHEMA = host.SRCDIR / "data" / "schema" / "rootlet-config.schema.json"


def made(oci, *options):
    """A bundle with a config.json out of `spec`."""
    bundle = oci.bundle(["true"])
    (bundle / "config.json").unlink()
    oci.ok("spec", "--bundle", bundle, *options)
    return bundle


def without_terminal(oci, bundle, *words):
    c = oci.config(bundle)
    c["process"].update(terminal=False, args=list(words))
    oci.write(bundle, c)


@pytest.mark.parametrize("options", [[], ["--rootless"]])
@rows("B49", "B51")
def test_follows_the_schema(oci, options):
    jsonschema = pytest.importorskip("jsonschema")
    with SCHEMA.open(encoding="utf-8") as f:
        validator = jsonschema.Draft7Validator(json.load(f))
    assert not [e.message for e in validator.iter_errors(oci.config(made(oci, *options)))]


@rows("A10", "B48", "B50")
def test_runs(oci):
    bundle = made(oci, *(["--rootless"] if oci.mode in ("rootless", "userns") else []))
    without_terminal(oci, bundle, "sh", "-c", "hostname; id -u; touch /x || echo read-only")
    name = oci.name()
    r = oci.ok("run", "-b", bundle, name)
    assert r.out.split() == ["rootlet", "0", "read-only"], r


def test_terminal_by_default(oci):
    bundle = made(oci, *(["--rootless"] if oci.mode in ("rootless", "userns") else []))
    t = oci.pty("run", "-b", bundle, oci.name())
    t.send("tty; exit 3\r")
    t.expect("/dev/")
    assert t.wait() == 3


@rows("B51")
@pytest.mark.parametrize("runtime", ["crun", "runc"])
@pytest.mark.parametrize("mode", ["rootful", "rootless"])
def test_runs_under_others(request, runtime, mode):
    program = shutil.which(runtime)
    if not program:
        pytest.skip(f"{runtime} is missing")
    if (runtime, mode) == ("runc", "rootless"):
        pytest.skip("runc without root wants a cgroup of the user's, which the host may not have")
    oci = request.getfixturevalue(mode)
    bundle = made(oci, *(["--rootless"] if mode == "rootless" else []))
    without_terminal(oci, bundle, "id", "-u")
    (bundle / "rootfs" / "sys" / "fs" / "cgroup").mkdir(parents=True, exist_ok=True)
    manager = ["--cgroup-manager=disabled"] if runtime == "crun" else []
    argv = [program, "--root", str(oci.dir / "other"), *manager, "run", "--bundle", str(bundle), oci.name()]
    if host.is_root():  # the host's cgroups may be v1, which our peers would want to use
        become = ["setpriv", f"--reuid={oci.user.uid}", f"--regid={oci.user.gid}", "--clear-groups"]
        argv = ["unshare", "-m", "--propagation", "private", "sh", "-c",
                'umount -l /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup && exec "$0" "$@"', *become, *argv]
    p = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=oci.dir, timeout=120,
                       env=oci.environment())
    assert (p.returncode, p.stdout) == (0, "0\n"), p.stderr


def test_rootless_maps_are_the_callers(rootless):
    c = rootless.config(made(rootless, "--rootless"))
    first = c["linux"]["uidMappings"][0]
    assert first == {"containerID": 0, "hostID": rootless.user.uid, "size": 1}
    ids = {m["hostID"]: m["size"] for m in c["linux"]["uidMappings"]}
    start, count = rootless.subuid
    assert count == 0 or ids[start] == count
    assert {"type": "user"} in c["linux"]["namespaces"]
    # Limits and device rules need root.
    assert "resources" not in c["linux"]


def test_rootful_has_no_user_namespace(rootful):
    c = rootful.config(made(rootful))
    assert {"type": "user"} not in c["linux"]["namespaces"] and "uidMappings" not in c["linux"]
    assert c["linux"]["resources"]["devices"] == [{"allow": False, "access": "rwm"}]


def test_nothing_is_overwritten(oci):
    bundle = oci.bundle(["true"])
    before = (bundle / "config.json").read_bytes()
    oci.fails("spec", "-b", bundle, match="config.json exists")
    assert (bundle / "config.json").read_bytes() == before
    (bundle / "config.json").unlink()
    (bundle / "config.json").symlink_to("elsewhere")
    oci.fails("spec", "-b", bundle, match="config.json exists")
    assert not (bundle / "elsewhere").exists()
    oci.fails("spec", "-b", "/nosuch", match="/nosuch")


def test_in_the_working_directory(oci):
    place = oci.dir / "here"
    place.mkdir()
    place.chmod(0o777)
    oci.ok("spec", cwd=place)
    assert stat.S_IMODE(os.stat(place / "config.json").st_mode) == 0o644
    assert sorted(os.listdir(place)) == ["config.json"]


@rows("A67")
def test_the_readme_s_bundle(rootless):
    """Its last block of "Under other engines", word for word."""
    text = (host.SRCDIR / "README.md").read_text(encoding="utf-8")
    part = text.split("\n## Under other engines\n", 1)[1].split("\n## ", 1)[0]
    blocks = [b for b in part.split("\n\n") if b.startswith("    ")]
    script = "set -e\n" + "\n".join(line[4:] for line in blocks[-1].splitlines())
    assert "rootlet-oci run" in script
    place = rootless.dir / "home"
    place.mkdir()
    os.chown(place, rootless.user.uid, rootless.user.gid)
    t = runner.Pty(rootless, ["sh", "-c", f"cd {place}\n{script}"], rootless.environment(), 24, 80)
    rootless.children.append(t.process)
    t.send("echo in''side; exit 4\r")
    t.expect("inside")
    assert t.wait() == 4
