"""logs: the file drivers, several containers at once, what crashes leave, large logs."""
import json
import re
import resource
import time

import pytest

from lib import host, rows
from lib.runner import PATIENCE, wait_for


def log_file(rootlet, name="c"):
    return rootlet.store.root / "containers" / rootlet.inspect(name)["Id"] / "log"


def run(rootlet, script, *flags, name="c", driver="json-file"):
    rootlet("run", "--name", name, "--log-driver", driver, *flags, rootlet.image(), "sh", "-c", script)


def records(path):
    return [json.loads(line) for line in path.read_bytes().splitlines()]


@rows("B3", "B19")
@pytest.mark.parametrize("driver", ["json-file", "k8s-file"])
def test_streams_pieces_and_runs(rootlet, driver):
    run(rootlet, r"""echo out; echo err >&2; sleep 0.1; printf 'a\\b"c\001\tx\n'; printf piece; sleep 0.1; echo ' end'; printf last""",
        driver=driver)
    r = rootlet.ok("logs", "c")
    assert r.out == 'out\na\\b"c\x01\tx\npiece end\nlast' and r.err == "err\n"
    assert rootlet.ok("logs", "-n", "1", "c").out == "piece end\nlast"
    rootlet("start", "-a", "c")
    assert rootlet.ok("logs", "c").err == "err\nerr\n", "earlier runs are kept"
    stamped = rootlet.ok("logs", "-t", "c").out.splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}(Z|[+-]\d\d:\d\d) ", line) for line in stamped[:3])


@pytest.mark.parametrize("driver", ["json-file", "k8s-file"])
def test_tail_with_pieces(rootlet, driver):
    """A line is whole though lines of the other stream, which are not wanted, stand between its pieces."""
    run(rootlet, "echo old; printf one; sleep 0.1; echo err >&2; sleep 0.1; printf two; sleep 0.1; echo err >&2; sleep 0.1; echo three",
        driver=driver)
    for n, out, err in (("1", "onetwothree\n", ""), ("2", "onetwothree\n", "err\n"), ("3", "onetwothree\n", "err\nerr\n"),
                        ("4", "old\nonetwothree\n", "err\nerr\n"), ("0", "", ""), ("9", "old\nonetwothree\n", "err\nerr\n")):
        r = rootlet.ok("logs", "-n", n, "c")
        assert (r.out, r.err) == (out, err), n
    stamped = rootlet.ok("logs", "-t", "-n", "1", "c").out
    assert stamped.endswith("Z onetwothree\n") or stamped.endswith(" onetwothree\n")
    # Where a rotation stands between the pieces.
    path = log_file(rootlet)
    lines = path.read_bytes().splitlines(True)
    first = next(i for i, line in enumerate(lines) if b"two" in line)
    path.with_name(path.name + ".1").write_bytes(b"".join(lines[:first]))
    path.write_bytes(b"".join(lines[first:]))
    for n, out, err in (("1", "onetwothree\n", ""), ("2", "onetwothree\n", "err\n"), ("4", "old\nonetwothree\n", "err\nerr\n")):
        r = rootlet.ok("logs", "-n", n, "c")
        assert (r.out, r.err) == (out, err), n


def test_json_is_dockers(rootlet):
    """The members, their order and the text; several bytes of one character in two writes."""
    run(rootlet, r"printf 'gr\303'; sleep 0.2; printf '\274n \377 \360\237\230\200\n'; echo err >&2; printf 'half\342\202'",
        "--label", "app=web", "--label", "other=x", "-e", "STAGE=te\"st", "--log-opt", "labels=app,none",
        "--log-opt", "env=STAGE", "--log-opt", "tag={{.Name}}/{{.ID}}")
    path = log_file(rootlet)
    lines = path.read_text().splitlines()
    assert all(re.fullmatch(r'{"log":".*","stream":"std(out|err)","attrs":{.*},"time":"[^"]+Z"}', line) for line in lines)
    found = records(path)
    assert "".join(f["log"] for f in found if f["stream"] == "stdout") == "grün � \U0001f600\nhalf��"
    short = rootlet.inspect("c")["Id"][:12]
    assert all(f["attrs"] == {"app": "web", "STAGE": 'te"st', "tag": f"c/{short}"} for f in found)
    details = rootlet.ok("logs", "--details", "c")
    assert details.err.endswith(" err\n") and set(details.err[:-5].split(",")) == {"app=web", 'STAGE=te"st', f"tag=c/{short}"}


def test_docker_file_is_read(rootlet):
    """What docker has written, with its escapes; lines that are none cost only themselves."""
    run(rootlet, "true")
    log_file(rootlet).write_text(
        '{"log":"\\u003ca\\u003e \\u0026 \\ud83d\\ude00\\n","stream":"stdout","time":"2026-01-02T03:04:05.000000001Z"}\n'
        '{"log":"torn","stream":"std\n'
        '{"log":"part","stream":"stdout","attrs":{},"time":"2026-01-02T03:04:06Z"}\n'
        '\x00\x00\x00\x00\n'
        '{"log":"ial\\r\\n","stream":"stdout","attrs":{"a":"b","c":""},"time":"2026-01-02T03:04:06Z"}\n'
        '{"log":"\\ud83d\\q","stream":"stdout","time":"2026-01-02T03:04:07Z"}\n'
        '{"log":"err\\n","stream":"stderr","time":"2026-01-02T03:04:07Z"}')
    r = rootlet.ok("logs", "c", binary=True)
    assert r.out.decode() == "<a> & \U0001f600\npartial\r\n" and r.err == b""
    assert rootlet.ok("logs", "--since", "2026-01-02T03:04:06Z", "c", binary=True).out == b"partial\r\n"


@pytest.mark.parametrize("driver", ["json-file", "k8s-file"])
def test_torn_line(rootlet, driver):
    """A crash in the middle of a record: it alone is lost, not what the next run writes."""
    run(rootlet, "echo first; echo second", driver=driver)
    path = log_file(rootlet)
    path.write_bytes(path.read_bytes()[:-9])
    rootlet("start", "-a", "c")
    lines = rootlet.ok("logs", "c").out.splitlines()
    assert lines[0] == "first" and lines[-2:] == ["first", "second"] and len(lines) in (3, 4)


@pytest.mark.parametrize("driver", ["json-file", "k8s-file"])
def test_rotation(rootlet, driver):
    script = "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done"
    run(rootlet, script, "--log-opt", "max-size=20k", "--log-opt", "max-file=3", driver=driver)
    names = sorted(p.name for p in log_file(rootlet).parent.glob("log*"))
    assert names == ["log", "log.1", "log.2"]
    assert all(p.stat().st_size < 90000 for p in log_file(rootlet).parent.glob("log*"))
    lines = rootlet.ok("logs", "c").out.splitlines()
    assert lines[-1] == "line 1999" and lines == [f"line {n}" for n in range(2000 - len(lines), 2000)]
    assert rootlet.ok("logs", "-n", "700", "c").out.splitlines() == lines[-700:]


def test_follow_over_rotations_and_until(rootlet):
    script = "sleep 0.3; i=0; while [ $i -lt 900 ]; do echo line $i; i=$((i+1)); [ $((i%100)) = 0 ] && sleep 0.05; done"
    rootlet.ok("run", "-d", "--name", "c", "--log-driver", "json-file", "--log-opt", "max-size=8k", "--log-opt",
               "max-file=90", rootlet.image(), "sh", "-c", script)
    assert rootlet.ok("logs", "-f", "c").out.splitlines() == [f"line {n}" for n in range(900)]
    rootlet.ok("run", "-d", "--name", "s", "--log-driver", "json-file", rootlet.image(), "sleep", "60")
    begin = time.monotonic()
    rootlet.ok("logs", "-f", "--until", str(time.time() + 1), "s")
    assert 0.5 < time.monotonic() - begin < 30


@pytest.mark.parametrize("driver", ["json-file", "k8s-file"])
def test_it_ends_before_who_writes_faster(rootlet, driver):
    """Without --follow that is shown which is there: the end is where it was when it was looked for."""
    run(rootlet, "yes", "-d", driver=driver)
    log = log_file(rootlet)
    wait_for(lambda: log.stat().st_size > 8 << 20, 30)
    p = rootlet.spawn("logs", "c")
    wait_for(lambda: host.sleeps(p.pid))  # its pipe is full
    wait_for(lambda: log.stat().st_size > 16 << 20, 30)
    size = log.stat().st_size
    lines = p.communicate(timeout=60)[0].count("\n")
    with log.open("rb") as f:
        record = len(f.readline())
    assert lines > 50000 and lines * record < size


def test_several_containers(rootlet):
    for n in ("a", "b"):
        run(rootlet, f"echo {n}1; echo {n}2 >&2", name=n, driver="k8s-file" if n == "a" else "json-file")
    ids = [rootlet.inspect(n)["Id"][:12] for n in ("a", "b")]
    r = rootlet.ok("logs", "a", "b")
    assert r.out == f"{ids[0]} a1\n{ids[1]} b1\n" and r.err == f"{ids[0]} a2\n{ids[1]} b2\n"
    assert rootlet.ok("logs", "--names", "b", "a").out == "b b1\na a1\n"
    assert rootlet.ok("logs", "--names", "--color", "b", "a").out == "b b1\na a1\n", "no colours into a pipe"
    r = rootlet.fails("logs", "a", "nosuch", "b", match="nosuch")
    assert "a1" in r.out and "b1" in r.out
    assert re.match(r"\S+ \d{4}-.* a1$", rootlet.ok("logs", "-t", "a", "b").out.splitlines()[0])


def test_colour_on_a_terminal(rootlet):
    for n in ("a", "b"):
        run(rootlet, f"echo {n}1", name=n)
    t = rootlet.pty("logs", "--color", "--names", "a", "b")
    t.expect("\x1b\\[3[1-6]ma\x1b\\[0m a1")
    assert t.wait() == 0


def test_follow_several(rootlet):
    """At the same time, whole lines, until the last has ended."""
    script = "i=0; while [ $i -lt 200 ]; do echo $i-$(printf %0500d $i); i=$((i+1)); [ $((i%40)) = 0 ] && sleep 0.1; done"
    for n in ("a", "b", "d"):
        rootlet.ok("run", "-d", "--name", n, rootlet.image(), "sh", "-c", script)
    lines = rootlet.ok("logs", "-f", "--names", "a", "b", "d").out.splitlines()
    assert len(lines) == 600 and all(re.fullmatch(r"[abd] (\d+)-0*\1?", line) for line in lines)
    for n in "abd":
        assert [line.split("-")[0] for line in lines if line[0] == n] == [f"{n} {i}" for i in range(200)]


def test_none_and_bad_options(rootlet):
    run(rootlet, "echo x", driver="none")
    rootlet.fails("logs", "c", match='"none" keeps nothing')
    for opt, match in (("tag={{.Nosuch}}", "tag"), ("max-size=x", "max-size"), ("a=b", "a=b")):
        rootlet.fails("run", "--log-driver", "json-file", "--log-opt", opt, rootlet.image(), "true", match=match)
    rootlet.fails("run", "--log-driver", "k8s-file", "--log-opt", "labels=a", rootlet.image(), "true", match="json-file")


@pytest.mark.parametrize("driver", ["json-file", "k8s-file"])
def test_large(rootlet, driver):
    """The end of a large log, and a late point in time, need no look at all of it."""
    run(rootlet, "true", driver=driver)
    path, size = log_file(rootlet), 0
    day = 1767225600
    with open(path, "w", encoding="ascii") as f:
        for n in range(20):  # 400 MiB, most of it holes that no file system has to keep
            when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(day + n)) + ".000000000Z"
            text = f"second {n}"
            line = f'{{"log":"{text}\\n","stream":"stdout","time":"{when}"}}\n' if driver == "json-file" else \
                f"{when} stdout F {text}\n"
            block = line * 20000
            f.write(block)
            size += len(block)
    def fast(*args):
        """Processor time, the best of three: others use this host as well."""
        seconds = []
        for _ in range(3):
            begin = resource.getrusage(resource.RUSAGE_CHILDREN)
            out = rootlet.ok("logs", *args, "c").out
            end = resource.getrusage(resource.RUSAGE_CHILDREN)
            seconds.append(end.ru_utime + end.ru_stime - begin.ru_utime - begin.ru_stime)
        return out, min(seconds)
    whole, all_s = fast()
    assert len(whole.splitlines()) == 400000
    out, tail_s = fast("-n", "10")
    assert out == "second 19\n" * 10
    out, since_s = fast("--since", str(day + 19))
    assert out == "second 19\n" * 20000
    out, until_s = fast("--since", str(day + 3), "--until", str(day + 3))
    assert out == "second 3\n" * 20000
    print(all_s, tail_s, since_s, until_s)
    assert tail_s < all_s and since_s < all_s and until_s < all_s, (all_s, tail_s, since_s, until_s)


def test_reader_of_a_quiet_one_went_away(rootlet):
    """Nothing needs to be written for that to be seen."""
    rootlet.ok("run", "-d", "--name", "c", rootlet.image(), "sh", "-c", "echo y; sleep 1000")
    rootlet.ok("run", "-d", "--name", "d", rootlet.image(), "sh", "-c", "echo y; sleep 1000")
    for names in (("c",), ("c", "d")):
        p = rootlet.spawn("logs", "-f", *names)
        for _ in names:
            p.stdout.readline()
        p.stdout.close()
        assert p.wait(20 * PATIENCE) == 0


def test_reader_that_went_away(rootlet):
    """The container does not care who reads."""
    rootlet.ok("run", "-d", "--name", "c", rootlet.image(), "sh", "-c", "while :; do echo y; sleep 0.01; done")
    p = rootlet.spawn("logs", "-f", "c")
    p.stdout.readline()
    p.stdout.close()
    assert wait_for(lambda: p.poll() is not None, 20 * PATIENCE, "the end of logs") and p.returncode in (0, -13)
    size = log_file(rootlet).stat().st_size
    rootlet.wait_for(lambda: log_file(rootlet).stat().st_size > size)
