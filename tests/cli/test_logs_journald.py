"""--log-driver journald: entries with the container's fields, read back as any other log (pain 23)."""
import json
import re
import subprocess

import pytest

pytestmark = pytest.mark.systemd
JOURNALD = ("--log-driver", "journald")


def entries(*match):
    subprocess.run(["journalctl", "--sync"], check=False, capture_output=True)
    r = subprocess.run(["journalctl", "-q", "-o", "json", "--all", *match], capture_output=True, text=True, check=True)
    return [json.loads(line) for line in r.stdout.splitlines()]


def logs(rootlet, want, *words):
    """Waits for what the journal is still sorting in."""
    rootlet.wait_for(lambda: rootlet.ok("logs", *words).out == want, what=f"logs {words} being {want!r}")


def test_entries_and_logs(rootlet):
    image = rootlet.image()
    script = ("echo one; echo two >&2; printf 'no end'; sleep 0.3; echo; printf 'a\\001b\\377c\\n'; "
              "head -c 40000 /dev/zero | tr '\\0' x; echo; echo MESSAGE=x; echo last")
    rootlet.ok("run", *JOURNALD, "--name", "talks", "--user", "1000", image, "sh", "-c", script, cgroups=None)
    ctr_id = rootlet.inspect("talks")["Id"]
    big = "x" * 40000
    rootlet.wait_for(lambda: "last" in rootlet.ok("logs", "talks", binary=True).out.decode(errors="replace"))
    r = rootlet.ok("logs", "talks", binary=True)
    assert r.out == b"one\nno end\na\x01b\xffc\n" + big.encode() + b"\nMESSAGE=x\nlast\n"
    assert r.err == b"two\n"
    found = entries("CONTAINER_NAME=talks", f"CONTAINER_ID_FULL={ctr_id}")
    one, two, part = found[:3]
    assert (one["MESSAGE"], one["PRIORITY"], one["CONTAINER_ID"]) == ("one", "6", ctr_id[:12])
    assert one["IMAGE_NAME"] == image and one["SYSLOG_IDENTIFIER"] == "talks"
    assert one["_UID"] == str(rootlet.user.uid), "entries are ours to read, whoever wrote inside"
    assert sorted(e["PRIORITY"] for e in (one, two, part)) == ["3", "6", "6"]
    assert [e["MESSAGE"] for e in found if "CONTAINER_PARTIAL_MESSAGE" in e][0] == "no end"
    logs(rootlet, "MESSAGE=x\nlast\n", "--tail", "2", "talks")
    stamped = rootlet.ok("logs", "-t", "--tail", "1", "talks").out
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+\S* last\n$", stamped)
    logs(rootlet, "", "--since", "2099-01-01T00:00:00Z", "talks")
    logs(rootlet, "", "--until", "2001-01-01T00:00:00Z", "talks")


def test_follow(rootlet):
    """To the container's end, with the last lines."""
    image = rootlet.image()
    rootlet.ok("run", "-d", *JOURNALD, "--name", "f", image, "sh", "-c",
               "for i in 1 2 3; do echo line $i; sleep 0.4; done; echo bye", cgroups=None)
    r = rootlet.ok("logs", "-f", "f")
    assert r.out == "line 1\nline 2\nline 3\nbye\n"


@pytest.mark.root
def test_nobody_else_writes_it(rootlet):
    """Another user's entries, here root's, may claim to be the container: no log of ours, also for one
    who may read the whole journal."""
    rootlet.ok("run", *JOURNALD, "--name", "mine", rootlet.image(), "echo", "mine")
    fields = f"CONTAINER_ID_FULL={rootlet.inspect('mine')['Id']}\nPRIORITY=6\nMESSAGE=forged\n"
    subprocess.run(["logger", "--journald"], input=fields, text=True, check=True)
    reader = dict(rootlet.user.popen_args(), extra_groups=["systemd-journal"])

    def read():
        r = subprocess.run([rootlet.program, "logs", "mine"], env=rootlet.environment(), cwd="/", text=True,
                           capture_output=True, check=True, **reader)
        return r.stdout
    rootlet.wait_for(lambda: entries("MESSAGE=forged") and entries("MESSAGE=mine", f"_UID={rootlet.user.uid}"))
    assert read() == "mine\n"


def test_tag(rootlet):
    image = rootlet.image()
    rootlet.ok("run", "--rm", *JOURNALD, "--log-opt", "tag=app-{{.Name}}-{{.ID}}", "--name", "t", image, "echo", "x",
               cgroups=None)
    found = rootlet.wait_for(lambda: entries("CONTAINER_NAME=t"))
    assert re.fullmatch("app-t-[0-9a-f]{12}", found[-1]["CONTAINER_TAG"])
    assert found[-1]["SYSLOG_IDENTIFIER"] == found[-1]["CONTAINER_TAG"]
    rootlet.fails("create", *JOURNALD, "--log-opt", "tag={{.Nothing}}", image, match="unknown word.*\nhint: .*ImageName")
    rootlet.fails("create", *JOURNALD, "--log-opt", "max-size=1m", image, match="known: tag")


def test_a_burst_is_complete(rootlet):
    """More lines than the journal's socket holds at once."""
    image = rootlet.image()
    rootlet.ok("run", *JOURNALD, "--name", "b", image, "sh", "-c", "seq 1 3000", cgroups=None)
    def complete():
        out = rootlet.ok("logs", "b").out.split()
        return out == [str(i) for i in range(1, 3001)]
    rootlet.wait_for(complete, timeout=20)
