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


def readme_blocks(heading):
    """The indented blocks of a section, each as one script."""
    text = README.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return [re.sub("^    ", "", b, flags=re.M) for b in re.findall(r"(?:^    .*\n)+", text, re.M)]


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


def test_readme_pods_and_policies(rootlet, user):
    """What stands there one after the other: a volume with a page, a pod that serves it, a service without
    a unit whose health check finds the page."""
    home = user.home / "pods"
    rootlet.shell(f"mkdir {home}")
    box = [b for b in readme_blocks("First steps") if "rootlet import" in b][0]
    networks = readme_blocks("Networks and ports")
    pages = "\n".join(networks[0].splitlines()[:2])
    pods = [b for b in networks if "rootlet pod create" in b][0]
    assert rootlet.shell(f"set -e\ncd {home}\n{box}\n{pages}\n{pods}", timeout=120).out.count("hello\n") == 1
    run = readme_blocks("Services without a unit")[0].split("systemctl")[0]
    rootlet.shell(run.replace("--health-cmd", "--health-interval 1s --health-cmd"))
    rootlet.wait_for(lambda: rootlet.inspect("web")["State"]["Health"]["Status"] == "healthy", what="its health")
    rootlet.ok("rm", "-f", "-t", "0", "web")
    rootlet.ok("volume", "rm", "pages")
    rootlet.shell(f"rm -rf {home}")


def test_readme_quadlet(rootlet, user):
    """The file of the section is one that quadlet check takes."""
    home = user.home / "site"
    text = README.split("\n### From unit files\n", 1)[1].split("\n## ", 1)[0]
    unit = re.search(r"^    \[Container\]\n(?:    .*\n|\n(?=    \[))*", text, re.M)[0].replace("    ", "")
    rootlet.shell(f"mkdir {home}; printf '[Volume]\\n' > {home}/data.volume; cat > {home}/site.container", input=unit)
    assert "site.container: site.service" in rootlet.ok("quadlet", "check", home / "site.container").out
    rootlet.shell(f"rm -r {home}")
