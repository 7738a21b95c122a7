"""The verbs where there are control groups: what is paused is restarted, stopped, killed and removed."""
import pathlib

import pytest

from lib import rows

pytestmark = pytest.mark.systemd
LOOP = "trap 'exit 5' TERM; echo ready; while :; do sleep 0.02; done"


def run(rootlet, name, *flags):
    rootlet.ok("run", "-d", "--name", name, *flags, rootlet.image(), "sh", "-c", LOOP, cgroups=None)
    rootlet.wait_for(lambda: "ready" in rootlet.ok("logs", name).out)


@rows("A60", "A61", "B20")
def test_verbs_on_a_paused_one(rootlet):
    for name in ("a", "b", "d"):
        run(rootlet, name, "-l", f"x={name}")
    assert set(rootlet.ok("pause", "--all").out.split()) == {rootlet.inspect(n)["Id"] for n in ("a", "b", "d")}
    assert rootlet.ok("wait", "--condition", "paused", "a").text == "-1"
    r = rootlet.fails("exec", "a", "true", match="exec a: it is paused")
    assert "hint: rootlet unpause a" in r.err
    t = rootlet.spawn("attach", "a")
    assert "the container is paused" in t.stderr.readline()
    assert rootlet.ok("restart", "a").out == "a\n" and rootlet.inspect("a")["State"]["Status"] == "running"
    assert t.wait(20) == 5, "it was told the end of its run"
    assert rootlet.ok("unpause", "--filter", "label=x=b").text == rootlet.inspect("b")["Id"]
    assert rootlet.ok("stop", "d").out == "d\n" and rootlet.inspect("d")["State"]["ExitCode"] == 5
    rootlet.fails("pause", "d", match="not running")
    rootlet.ok("pause", "b")
    rootlet("rm", "b", rc=2)
    assert rootlet.ok("kill", "b").out == "b\n" and rootlet.ok("wait", "b").text == "137"
    rootlet.ok("start", "b")
    rootlet.ok("pause", "b")
    assert rootlet.ok("rm", "-f", "a", "b", "d").out == "a\nb\nd\n"


@rows("B20")
def test_restart_of_a_rm_container_keeps_its_group(rootlet):
    run(rootlet, "c", "--rm")
    rootlet.ok("restart", "c")
    path = pathlib.Path("/sys/fs/cgroup") / rootlet.ok("inspect", "-f", "{{.State.CgroupPath}}", "c").text[1:]
    assert rootlet.ok("exec", "c", "cat", "/proc/self/cgroup").text == rootlet.ok("exec", "c", "cat", "/proc/1/cgroup").text
    assert len((path / "cgroup.procs").read_text(encoding="ascii").split()) >= 1
    rootlet.ok("stop", "c")
    assert rootlet.ok("ps", "-aq").out == "" and not path.exists()
