"""rootlet auto-update: units get the image that a name stands for now, or the old one back."""
import os
import re

import pytest

from lib import images, rows
from lib import units as units_

SESSION = {"XDG_RUNTIME_DIR": os.environ.get("XDG_RUNTIME_DIR")}  # where systemctl finds the manager
NAME = "localhost/app:latest"
SERVE = 'CMD ["sh", "-c", "trap \'exit 0\' TERM; while :; do sleep 0.1; done"]'


class Images:
    """Versions of one small image."""

    def __init__(self, rootlet):
        self.rootlet, self.layer = rootlet, rootlet.user.home / "app.tar"
        images.busybox_layer().write(self.layer)

    def make(self, version, command=SERVE, name=NAME, label=None):
        more = ["-c", f"LABEL {label}"] if label else []
        out = self.rootlet.ok("import", "-q", "-c", f"LABEL version={version}", "-c", command, *more, self.layer, name).text
        return out.rsplit(":", maxsplit=1)[-1]


@pytest.fixture
def app(rootlet):
    made = Images(rootlet)
    yield made
    made.layer.unlink()


@pytest.fixture
def units(rootlet):
    u = units_.Units(rootlet)
    yield u
    u.end()


def table(rootlet, *flags, rc=0):
    r = rootlet("auto-update", "--format", "{{.Unit}} {{.ContainerName}} {{.Image}} {{.Policy}} {{.Updated}}", *flags,
                rc=rc, cgroups=None, timeout=120, env=SESSION)
    return [line.split(" ", 4) for line in r.out.splitlines()], r.err


def version(rootlet, name):
    return rootlet.inspect(name)["Config"]["Labels"]["version"]


@pytest.mark.systemd
@rows("A44")
def test_update_and_roll_back(rootlet, units, app):
    one = app.make(1)
    web = units.service("--auto-update", "local", image=NAME)
    old = units.service("--label", "io.containers.autoupdate=local", image=NAME)
    still = units.service(image=NAME)
    for name in (web, old, still):
        units.start(name)
    unit = f"{web}.service"
    assert sorted(table(rootlet)[0]) == [[f"{n}.service", n, NAME, "local", "false"] for n in (web, old)]
    two = app.make(2)
    assert sorted(table(rootlet, "--dry-run")[0])[0] == [unit, web, NAME, "local", "pending"]
    assert version(rootlet, web) == "1", "a dry run changes nothing"
    assert {line[-1] for line in table(rootlet)[0]} == {"true"}
    assert [version(rootlet, n) for n in (web, old, still)] == ["2", "2", "1"]
    text = rootlet.ok("auto-update", cgroups=None, timeout=120, env=SESSION).out.splitlines()
    assert re.split("  +", text[0].strip()) == ["UNIT", "CONTAINER", "IMAGE", "POLICY", "UPDATED"]
    assert re.search(rf"^{unit} +[0-9a-f]{{12}} \({web}\) +{NAME} +local +false$", text[1])
    units.ctl("stop", old)
    for command in ('CMD ["/nowhere"]', 'CMD ["sh", "-c", "sleep 0.5; exit 1"]'):
        app.make(3, command)
        found, err = table(rootlet)
        assert found == [[unit, web, NAME, "local", "rolled back"]], err
        assert web in err
        assert version(rootlet, web) == "2" and units.show(web, "ActiveState") == ["active"]
        assert rootlet.inspect(web)["Image"].endswith(two)
        assert rootlet.ok("image", "inspect", "-f", "{{.Id}}", NAME).text.endswith(two)
    app.make(3, 'CMD ["/nowhere"]')
    found, err = table(rootlet, "--rollback=false", rc=125)
    assert found[0][-1] == "failed" and f"update container {web}" in err
    assert one != two


@pytest.mark.systemd
def test_a_unit_that_keeps_its_container(rootlet, units, app):
    """start --unit cannot take another image: said so, and nothing is left changed."""
    one = app.make(1)
    rootlet.ok("create", "--name", "kept", "--auto-update", "local", "--log-driver", "passthrough", NAME)
    env = "".join(f'Environment="{k}={v}"\n' for k, v in rootlet.store.environment().items())
    units.write("rltest-kept.service", f"[Service]\nType=notify\n{env}Delegate=yes\nKillMode=mixed\n"
                f"ExecStart={rootlet.program} start --unit kept\n")
    units.start("rltest-kept.service")
    app.make(2)
    found, err = table(rootlet)
    assert found == [["rltest-kept.service", "kept", NAME, "local", "rolled back"]]
    assert "starts the container that there was" in err
    assert rootlet.ok("image", "inspect", "-f", "{{.Id}}", NAME).text.endswith(one)
    units.ctl("stop", "rltest-kept.service")
    # what a service runs beside its main process is not its business
    app.make(1)
    line = f"{rootlet.program} run -d --name beside --auto-update local --cgroups disabled {NAME}; exec sleep 1000"
    units.write("rltest-host.service", f"[Service]\n{env}ExecStart=sh -c '{line}'\n")
    units.start("rltest-host.service")
    rootlet.wait_for(lambda: rootlet("exec", "beside", "true", cgroups=None).rc == 0, what="the container beside")
    app.make(2)
    found, err = table(rootlet, rc=125)
    assert found == [["rltest-host.service", "beside", NAME, "local", "failed"]] and "no systemd unit of its own" in err
    assert version(rootlet, "beside") == "1" and units.show("rltest-host.service", "NRestarts", "ActiveState") == [
        "0", "active"]
    rootlet.ok("rm", "-f", "beside")
    rootlet.ok("rm", "-f", "kept")


def test_what_is_told_without_a_unit(rootlet, app):
    """Only the user's own word counts; what cannot be updated is named, and the others go on."""
    assert rootlet.ok("auto-update").out.split() == ["UNIT", "CONTAINER", "IMAGE", "POLICY", "UPDATED"]
    app.make(1, label="io.containers.autoupdate=local")
    for name, flags in (("plain", []), ("off", ["--auto-update", "disabled"]), ("far", ["--auto-update", "registry"]),
                        ("near", ["-l", "io.containers.autoupdate=local"]), ("won", [
                            "--auto-update", "disabled", "-l", "io.containers.autoupdate=local"])):
        rootlet.ok("run", "-d", "--name", name, *flags, NAME)
    assert rootlet.inspect("plain")["Config"]["Labels"]["io.containers.autoupdate"] == "local"
    r = rootlet.fails("auto-update", "--format", "{{.ContainerName}} {{.Updated}}", match="it is no systemd unit of its own")
    assert r.out.splitlines() == ["far failed", "near failed"]
    assert "update container far" in r.err and "update container near" in r.err
    rootlet.fails("run", "--auto-update", "nosuch", NAME, match="not local, registry or disabled")
    rootlet.ok("rm", "-fa")
