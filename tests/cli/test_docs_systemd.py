"""The units of README.md and docs/systemd.md, as they stand there, in the user's systemd."""
import re
import subprocess
import time

import pytest

from lib import host, units as units_

pytestmark = pytest.mark.systemd
DOCS = (host.SRCDIR / "docs" / "systemd.md").read_text(encoding="utf-8")
README = (host.SRCDIR / "README.md").read_text(encoding="utf-8")


def readme_unit():
    text = README.split("\n## As a service\n", 1)[1].split("\n## ", 1)[0]
    unit = re.search(r"^    \[Service\]\n(?:    .*\n|\n(?=    ))*", text, re.M)[0]
    return "\n".join(line[4:] for line in unit.splitlines())


def documented():
    """File name -> text of the blocks that begin with one."""
    found = {}
    for block in re.findall(r"^    # \S+\n(?:    .*\n|\n(?=    ))*", DOCS, re.M):
        name, text = None, {}
        for line in (line[4:] for line in block.splitlines()):
            if line.startswith("# "):
                name = line.rsplit("/", 1)[1]
                text[name] = []
            else:
                text[name].append(line)
        found.update({n: "\n".join(lines) + "\n" for n, lines in text.items()})
    return found


@pytest.fixture
def units(rootlet):
    u = units_.Units(rootlet)
    rootlet.image()
    rootlet.ok("tag", rootlet.image(), "box")
    yield u
    u.end()


def install(units, name, text):
    env = "".join(f'Environment="{k}={v}"\n' for k, v in units.rootlet.store.environment().items())
    text = text.replace("/usr/bin/rootlet", units.rootlet.program).replace("[Service]\n", "[Service]\n" + env)
    units.write(name, text)


def test_readme(units, rootlet):
    assert readme_unit().strip() == documented()["clock.service"].strip()
    install(units, "clock.service", readme_unit())
    units.start("clock")
    units.wait_output("clock", "tick\n")
    assert rootlet.ok("ps", "--format", "{{.Names}}").text == "clock"
    begin = time.monotonic()
    units.ctl("stop", "clock")
    assert units.show("clock", "Result") == ["success"] and time.monotonic() - begin < 9, "not by SIGTERM"
    assert rootlet.ok("ps", "-aq").out == ""


def test_credentials(units):
    install(units, "secret.service", documented()["secret.service"])
    units.start("secret")
    units.wait_output("secret", "swordfish")


def test_all_are_right(units, rootlet):
    """As far as systemd can tell without starting them."""
    found = documented()
    assert set(found) == {"clock.service", "guarded.service", "web.socket", "web.service", "secret.service",
                          "queue.service"}
    for name, text in found.items():
        path = rootlet.user.tmp / name
        path.write_text(text.replace("/usr/bin/rootlet", rootlet.program))
    names = [rootlet.user.tmp / name for name in found if name != "queue.service"]
    r = subprocess.run(["systemd-analyze", "--user", "verify", *names], capture_output=True, text=True, check=False)
    said = [line for line in r.stderr.splitlines() if any(name in line for name in found)]
    assert r.returncode == 0 and not said, r.stderr
    for name in found:
        (rootlet.user.tmp / name).unlink()
