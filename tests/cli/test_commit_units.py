"""commit pauses a container that has a control group, and lets it go on whatever happens."""
import os
import signal

import pytest

from lib import rows

pytestmark = pytest.mark.systemd

# Two files that are equal but for the moment between two writes, and many more to be read after them.
WRITER = """mkdir /m; cd /m; i=0; while [ $i -lt 40 ]; do seq -f d$i-%g 1 500 | xargs touch; i=$((i + 1)); done
echo 0 > /a; echo 0 > /z; touch /ready; i=0; while :; do i=$((i + 1)); echo $i > /t; mv /t /a; echo $i > /t; mv /t /z; done"""


def status(rootlet, name):
    return rootlet.inspect(name)["State"]["Status"]


@rows("B38", "B55")
def test_paused_while_it_is_read(rootlet):
    rootlet.ok("run", "-d", "--name", "c", rootlet.image(), "sh", "-c", WRITER, cgroups=None)
    rootlet.wait_for(lambda: rootlet("exec", "c", "ls", "/ready", cgroups=None).rc == 0, timeout=60)
    since = rootlet.shell("date +%s").text
    r = rootlet.ok("commit", "c", "mine", cgroups=None)
    assert r.err == ""
    assert status(rootlet, "c") == "running"
    words = rootlet.ok("run", "--rm", "mine", "cat", "/a", "/z", cgroups=None).text.split()
    assert len(words) == 2 and 0 <= int(words[0]) - int(words[1]) <= 1
    done = rootlet.ok("events", "--since", since, "--until", "0s", "--filter", "container=c",
                      "--format", "{{.Status}}", cgroups=None).text.split()
    assert [d for d in done if "pause" in d] == ["pause", "unpause"]
    # One that is paused already stays so.
    rootlet.ok("pause", "c", cgroups=None)
    rootlet.ok("commit", "c", "mine", cgroups=None)
    assert status(rootlet, "c") == "paused"
    rootlet.ok("unpause", "c", cgroups=None)


def test_goes_on_when_the_command_is_killed(rootlet):
    rootlet.ok("run", "-d", "--name", "c", rootlet.image(), "sh", "-c", WRITER, cgroups=None)
    rootlet.wait_for(lambda: rootlet("exec", "c", "ls", "/ready", cgroups=None).rc == 0, timeout=60)
    for how in (signal.SIGKILL, signal.SIGINT):
        for _ in range(30):  # until one is met while it is at work
            p = rootlet.spawn("commit", "c", "never", cgroups=None)
            rootlet.wait_for(lambda c=p: status(rootlet, "c") == "paused" or c.poll() is not None, timeout=60)
            if p.poll() is None:
                break
        os.killpg(p.pid, how)
        p.wait()
        rootlet.wait_for(lambda: status(rootlet, "c") == "running")
    rootlet.ok("image", "prune", "-f", cgroups=None)
    assert list((rootlet.store.root / "ingest").iterdir()) == []
