"""stats: what containers use."""
import json
import os
import pwd
import re
import shutil
import tempfile
import termios
import time

import pytest

from lib import rows

TITLES = ["ID", "NAME", "CPU %", "MEM USAGE / LIMIT", "MEM %", "NET IO", "BLOCK IO", "PIDS", "CPU TIME", "AVG CPU %"]
BUSY = "while :; do :; done"


def columns(line):
    return re.split(r" {2,}", line.strip())


def stats(rootlet, *args, **kw):
    return rootlet.ok("stats", "--no-stream", "--format", "json", *args, **kw).json()


def test_without_a_cgroup(rootlet):
    """`--` and one notice; no error for the others."""
    image = rootlet.image()
    rootlet.ok("run", "-d", "--name", "a", image, "sleep", "100")
    rootlet.ok("run", "-d", "--name", "b", image, "sleep", "100")
    rootlet.ok("create", "--name", "idle", image)
    shown = rootlet.ok("stats", "--no-stream")
    lines = shown.out.splitlines()
    assert columns(lines[0]) == TITLES
    assert [columns(line)[1] for line in lines[1:]] == ["b", "a"]
    assert columns(lines[1])[2:] == ["--", "-- / --", "--", "0B / 0B", "-- / --", "--", "--", "--"]
    assert shown.err == ("rootlet: no figures of b, a: they run without a cgroup; 'rootlet doctor' tells why\n")
    assert columns(rootlet.ok("stats", "--no-stream", "--pressure").out.splitlines()[0])[10:] == \
        ["CPU PSI", "MEM PSI", "IO PSI"]
    assert [r["name"] for r in stats(rootlet, "-a")] == ["idle", "b", "a"]
    row = stats(rootlet, "a")[0]
    assert set(row) == {"id", "name", "cpu_time", "cpu_percent", "avg_cpu", "mem_usage", "mem_percent", "net_io",
                        "block_io", "pids", "net_input_bytes", "net_output_bytes"}
    assert row["id"] == rootlet.inspect("a")["Id"]
    assert rootlet.ok("stats", "--no-stream", "--format", "{{.Name}} {{.PIDS}} {{.CPUPerc}} {{.Status}}", "a").text \
        == "a -- -- running"
    assert rootlet.ok("stats", "--no-stream", "--format", "table {{.ID}}\t{{.MemPerc}}", "--no-trunc", "a").out \
        .splitlines()[0].split() == ["ID", "MEM", "%"]


def test_refusals(rootlet):
    rootlet.fails("stats", "nobody", match='no such container: "nobody"')
    rootlet.ok("run", "-d", "--name", "a", rootlet.image(), "sleep", "100")
    rootlet.fails("stats", "--format", "{{.Nonsense}}", "a", match="Nonsense")
    rootlet.fails("stats", "--interval", "0", match="--interval")
    rootlet.fails("stats", "-a", "a", match="--all")


def test_stream_without_a_terminal(rootlet):
    """Plain tables, one below the other; it ends with its reader."""
    image = rootlet.image()
    rootlet.ok("run", "-d", "--name", "a", image, "sleep", "100")
    p = rootlet.spawn("stats", "-i", "100ms")
    lines = [p.stdout.readline() for _ in range(6)]
    assert [columns(x)[1] for x in lines] == ["NAME", "a"] * 3 and "\x1b" not in "".join(lines)
    p.stdout.close()
    p.wait(60)
    p = rootlet.spawn("stats", "-i", "100ms", "--format", "jsonl", "a")
    assert [json.loads(p.stdout.readline())["name"] for _ in range(3)] == ["a"] * 3
    # Named containers that are gone do not come back.
    rootlet.ok("rm", "-f", "a")
    assert p.wait(60) == 0


def test_live_table(rootlet):
    """Drawn in place, like top: containers come and go, q ends it, the terminal is as before."""
    image = rootlet.image()
    rootlet.ok("run", "-d", "--name", "first", image, "sleep", "100")
    t = rootlet.pty("stats", "-i", "100ms", rows=20, cols=60)
    t.expect("ID +NAME +CPU %")
    t.expect("first")
    # Lines are cut, not wrapped, and drawn over the last ones.
    t.expect("\r\x1b\\[2A")
    assert all(len(re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", line)) <= 60 for line in t.output.split("\r\n"))
    rootlet.ok("run", "-d", "--name", "second", image, "sleep", "100")
    t.expect("second")
    t.expect("\r\x1b\\[3A")
    rootlet.ok("rm", "-f", "first")
    t.expect("\r\x1b\\[3AID[^\n]*\n[^\n]*second[^\n]*\n\x1b\\[J")
    t.resize(10, 40)
    t.expect("\x1b\\[H\x1b\\[2J")
    assert not termios.tcgetattr(t.master)[3] & termios.ECHO
    t.send("q")
    t.process.wait(60)
    assert termios.tcgetattr(t.master)[3] & termios.ECHO
    assert t.wait() == 0


def test_live_table_ends_with_ctrl_c(rootlet):
    t = rootlet.pty("stats")
    t.expect("ID +NAME")
    t.send("\x03")
    t.process.wait(60)
    assert termios.tcgetattr(t.master)[3] & termios.ECHO
    assert t.wait() == 0


@pytest.mark.systemd
@rows("A43")
def test_cpu(rootlet):
    """Processor time and shares agree with the group's file."""
    image = rootlet.image()
    rootlet.ok("run", "-d", "--name", "busy", image, "sh", "-c", BUSY, cgroups=None)
    rootlet.ok("run", "-d", "--name", "idle", image, "sleep", "100", cgroups=None)
    rootlet.ok("run", "-d", "--name", "none", image, "sleep", "100")
    time.sleep(1)
    shown = rootlet.ok("stats", "--no-stream", "--format", "json")
    assert "no figures of none: it runs without a cgroup" in shown.err
    none, idle, busy = shown.json()
    assert none["cpu_percent"] == "--" and "pressure" not in none
    assert float(idle["cpu_percent"].rstrip("%")) < 20 and idle["pids"] == "1"
    assert float(busy["cpu_percent"].rstrip("%")) > 20
    assert set(busy["pressure"]) >= {"cpu", "memory", "io"} and set(busy["pressure"]["cpu"]) == {"some", "full"}
    before = usage(rootlet, "busy")
    now = stats(rootlet, "busy")[0]["cpu_nanoseconds"]
    assert before <= now <= usage(rootlet, "busy")


def group(rootlet, name):
    return "/sys/fs/cgroup" + rootlet.inspect(name)["State"]["CgroupPath"]


def value(rootlet, name, file):
    with open(f"{group(rootlet, name)}/{file}") as f:
        return f.read().strip()


def usage(rootlet, name):
    return 1000 * int(re.search(r"usage_usec (\d+)", value(rootlet, name, "cpu.stat")).group(1))


def io_bytes(rootlet, name):
    text = value(rootlet, name, "io.stat")
    return [sum(int(x) for x in re.findall(rf"\b{k}=(\d+)", text)) for k in ("rbytes", "wbytes")]


def near(a, b, part=0.05):
    return abs(a - b) <= part * max(abs(a), abs(b))


@pytest.mark.guest
@rows("A43", "A47")
def test_values(rootlet):
    """Against the files of the group, within 5 %."""
    image = rootlet.image()
    # 20 MiB of page cache that has been written and waited for, and 8 MiB in memory.
    area = tempfile.mkdtemp(dir=pwd.getpwuid(os.getuid()).pw_dir)  # on the disk
    work = ("dd if=/dev/urandom of=/area/f bs=1M count=20 conv=fsync 2>/dev/null; cat /dev/zero | head -c 8M >/dev/shm/m; "
            "sleep 100 & sleep 100 & touch /ready; sleep 100")
    rootlet.ok("run", "-d", "--name", "c", "-m", "128m", "--pids-limit", "50", "-v", f"{area}:/area", image, "sh", "-c", work, cgroups=None)
    rootlet.wait_for(lambda: rootlet("exec", "c", "test", "-e", "/ready").rc == 0, 60)
    before = usage(rootlet, "c")
    row = stats(rootlet, "c", cgroups=None)[0]
    assert before <= row["cpu_nanoseconds"] <= usage(rootlet, "c")
    memory = int(value(rootlet, "c", "memory.current"))
    assert near(row["mem_bytes"], memory) and memory > 8 << 20, (row, memory)
    assert row["mem_limit_bytes"] == 128 << 20 == int(value(rootlet, "c", "memory.max"))
    assert row["swap_limit_bytes"] == 0 and row["swap_bytes"] == 0
    assert row["pids"] == value(rootlet, "c", "pids.current") == "3"
    assert row["pids_limit"] == 50
    read, written = io_bytes(rootlet, "c")
    assert near(row["block_output_bytes"], written) and written >= 20 << 20, (row, read, written)
    assert near(row["block_input_bytes"], read) or read == row["block_input_bytes"]
    shown, limit = row["mem_usage"].split(" / ")
    assert shown.endswith("MB") and near(float(shown[:-2]) * 1e6, memory) and limit == "134MB"
    assert near(float(row["mem_percent"].rstrip("%")), 100 * memory / (128 << 20))
    assert os.path.exists(f"{group(rootlet, 'c')}/memory.pressure") and set(row["pressure"]) == {"cpu", "memory", "io"}
    shutil.rmtree(area)
    # A paused one is still there.
    rootlet.ok("pause", "c", cgroups=None)
    assert stats(rootlet, "c", cgroups=None)[0]["pids"] == "3"
    rootlet.ok("unpause", "c", cgroups=None)
