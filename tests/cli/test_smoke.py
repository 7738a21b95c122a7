"""The few tests that show that the parts fit together: images by every tool, run, ps, rm."""
import re

import pytest

from lib import rows, smoke


@smoke
@rows("B1", "B16", "A14")
def test_run_prints_and_is_root_inside(rootlet, user):
    r = rootlet.ok("run", "--rm", rootlet.image(), "sh", "-c", "id -u; cat /proc/self/uid_map")
    lines = [line.split() for line in r.out.splitlines()]
    assert lines[0] == ["0"]
    assert lines[1] == ["0", str(user.uid), "1"]
    if user.subuid[1]:
        assert lines[2] == ["1", str(user.subuid[0]), str(user.subuid[1])]


@smoke
@rows("B8")
@pytest.mark.parametrize("code", [0, 7, 255])
def test_exit_status_is_the_commands(rootlet, code):
    rootlet("run", "--rm", rootlet.image(), "sh", "-c", f"exit {code}", rc=code)


@smoke
@rows("A62", "A63", "B3")
def test_detached_container_is_listed_and_removed(rootlet):
    r = rootlet.ok("run", "-d", "--name", "web", rootlet.image(), "sleep", "1000")
    assert re.fullmatch("[0-9a-f]{64}", r.text)
    assert "web" in rootlet.ok("ps").out
    rootlet.fails("rm", "web", rc=2)
    assert rootlet.ok("rm", "-f", "-t", "0", "web").text == "web"
    assert "web" not in rootlet.ok("ps", "-a").out


@smoke
@rows("B46")
def test_terminal(rootlet):
    t = rootlet.pty("run", "--rm", "-it", rootlet.image(), "sh", rows=33, cols=77)
    t.expect("/ # ")
    t.send("stty size; tty\n")
    t.expect("33 77\r\n/dev/(pts/0|console)")
    t.send("exit 3\n")
    assert t.wait() == 3


@rows("A26")
@pytest.mark.parametrize("name", ["busybox", "busybox-oci", "busybox-dir", "buildah", "buildah-docker"])
def test_images_of_other_tools(rootlet, name):
    ref = rootlet.image(name)
    assert rootlet.ok("run", "--rm", ref, "cat", "/etc/motd").text == "from the image"


@rows("A29", "A35")
def test_three_layers(rootlet):
    script = "cat /f /hard-a /hard-b; ls /opaque; ls -d /deleted /goes; cat /only-first"
    r = rootlet("run", "--rm", rootlet.image("layers"), "sh", "-c", script)
    assert r.out.split("\n")[:6] == ["3", "linked", "rewritten", "above", "1", ""]
    assert "/deleted: No such file" in r.err and "/goes: No such file" in r.err


def test_debian_tree(rootlet):
    r = rootlet.ok("run", "--rm", rootlet.image("debian"), "bash", "-c",
                   "dpkg -l apt >/dev/null && getcap /bin/ping /usr/bin/ping", timeout=120)
    assert "cap_net_raw" in r.out


@pytest.mark.root
def test_second_user_sees_nothing(rootlet, other):
    rootlet.ok("run", "-d", "--name", "mine", rootlet.image(), "sleep", "100")
    assert "mine" not in other.ok("ps", "-a").out
    assert other("ps", "-a", env=rootlet.store.environment()).rc == 125
