"""make demo, by an ordinary user and by root."""
import re
import subprocess

import pytest

from lib import host, rows, smoke

DEMO = host.SRCDIR / "tests" / "demo.sh"


def check(out):
    assert "rootlet run --rm" in out
    assert "pid 1, user root (0), host box" in out
    assert "overlay" in out or "/  " in out
    assert "/proc                proc" in out
    assert all(len(line) < 100 for line in out.splitlines() if not line.startswith("rootlet: ")), out
    assert "\na layer on top says hello\n" in out and re.search(r"^localhost/greeter +latest ", out, re.M), out
    assert re.search(r"^ +1 root +tour$", out, re.M) and "nap: signal SIGKILL ended it" in out
    assert "is pid 1 and root inside; outside it is pid " in out
    assert out.rstrip().endswith("== done; nothing is left of it")
    assert re.search(r"^site +httpd -f +127\.0\.0\.1:\d+->80/tcp +lab$", out, re.M), out
    assert re.search(r"^http://127\.0\.0\.1:\d+/ on the host: a page of the container$", out, re.M), out
    assert "\nhttp://site/ in another container: a page of the container\n" in out
    unified = host.fs_type("/sys/fs/cgroup") == "cgroup2fs"
    assert ("--cgroups=disabled" in out) == (not unified)


@smoke
@rows("A8", "A65")
def test_demo_as_an_ordinary_user(rootlet, user):
    script = user.base / "demo.sh"
    if not script.exists():
        script.write_text(DEMO.read_text(encoding="utf-8"), encoding="utf-8")
        script.chmod(0o755)
    r = rootlet.ok(str(user.base / "bin"), program=str(script), cgroups=None,
                   env={"ROOTLET_ROOT": None, "ROOTLET_RUNROOT": None})
    check(r.out)
    assert f"uid {user.uid})" in r.out and f" {user.uid} " in r.out
    assert f"uid {user.uid}, the user who called" in r.out


@pytest.mark.root
def test_demo_as_root(rootlet_base, leak_audit):
    r = subprocess.run([str(DEMO), str(rootlet_base / "bin")], capture_output=True, text=True, check=True,
                       timeout=120)
    check(r.stdout)


def test_demo_fails_when_rootlet_does(rootlet, user):
    script = user.base / "demo-broken.sh"
    script.write_text(DEMO.read_text(encoding="utf-8"), encoding="utf-8")
    r = rootlet(script, "/nonexistent", program="/bin/sh", cgroups=None)
    assert r.rc != 0 and "done" not in r.out
