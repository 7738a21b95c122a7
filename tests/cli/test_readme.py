"""What the papers tell the reader to type works (README's first steps, the learning chapters)."""
import re

import pytest

from lib import host

README = (host.SRCDIR / "README.md").read_text(encoding="utf-8")
LEARNING = (host.SRCDIR / "docs/learning.md").read_text(encoding="utf-8")


def first_steps():
    section = README.split("## First steps\n")[1].split("\n## ")[0]
    blocks = re.findall(r"(?:^    .*\n)+", section, re.M)
    return [line[4:] for block in blocks for line in block.splitlines()]


def chapters():
    """(number, commands) of the table's second column."""
    for row in re.findall(r"^\| (\d+) \| .*$", LEARNING, re.M):
        line = next(x for x in LEARNING.splitlines() if x.startswith(f"| {row} |"))
        cell = re.split(r"(?<!\\)\|", line)[3].replace("\\|", "|")
        yield row, [c for c in re.findall(r"`([^`]+)`", cell) if c.startswith("rootlet ")]


def needs_other_things(line):
    return "docker" in line or "image.tar" in line or "CONTAINER" in line


def test_first_steps(rootlet):
    lines = [x for x in first_steps() if not needs_other_things(x)]
    assert len(lines) > 15
    script = ["set -e", "mkdir steps", "cd steps"]
    script += [x.replace("--rm -it box", "--rm -i box") for x in lines]
    out = rootlet.shell("\n".join(script) + "\ncd ..; rm -r steps").out
    assert "uid=0 gid=0" in out and "tick" in out and "stopped on request" in out
    assert rootlet.ok("ps", "-aq").out == ""


@pytest.mark.parametrize("number,commands", list(chapters()))
def test_chapter(rootlet, number, commands):
    """A9: each chapter's commands run. The image is called box there."""
    rootlet.ok("tag", rootlet.image(), "box")
    for command in commands:
        if needs_other_things(command) or command in ("rootlet create", "rootlet doctor"):
            continue
        command = command.replace("-it", "-i")
        # Chapter 12 shows a command that the filter ends.
        r = rootlet.shell(command, rc=None)
        assert r.rc in ((0, 159) if number == "12" else (0,)), r
        assert "unrecognized" not in r.err, r
