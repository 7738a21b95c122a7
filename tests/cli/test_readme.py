"""README.md as a newcomer reads it: each block of the first steps, word for word, by an ordinary user."""
import re
import shutil
import socket

import pytest

from lib import host, rows

README = (host.SRCDIR / "README.md").read_text(encoding="utf-8")


def blocks(heading):
    """The indented blocks below a heading: lists of lines."""
    text = README.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    found = [[]]
    for line in text.splitlines():
        if line.startswith("    "):
            found[-1].append(line[4:])
        elif line.strip() and found[-1]:
            found.append([])
    return [b for b in found if b]


@rows("A67")
def test_blocks_are_found():
    first = blocks("First steps")
    assert len(first) == 5
    assert any("make demo" in line for line in sum(blocks("Two commands"), []))


@pytest.fixture
def newcomer(rootlet, user):
    """A home of their own, where they sit."""
    home = user.home / "newcomer"
    rootlet.shell(f"mkdir {home}")
    yield home
    shutil.rmtree(home)


def lines_of(block, archive):
    """What a shell is given. Who has no docker has an archive that it once wrote."""
    lines = []
    for line in block:
        if line.startswith("rootlet run --rm -it"):
            continue
        if "docker://" in line:
            continue  # asks a registry
        if line.startswith("rootlet logs "):
            # What was written a moment ago may be on its way still.
            name = line.split()[-1]
            lines.append(f'for i in $(seq 100); do [ -z "$(rootlet logs {name})" ] || break; sleep 0.1; done')
        lines.append(line.replace("docker save debian", f"cat {archive}"))
    return lines


@rows("A67", "B1", "B2", "B16", "B18", "B19", "B20")
def test_first_steps(rootlet, newcomer):
    """All lines of a block in one shell that ends at the first failure."""
    archive = rootlet.images.path("busybox")
    rootlet.shell(f"cp {archive} {newcomer}/image.tar")
    said = []
    for block in blocks("First steps"):
        script = "set -e\n" + "\n".join(lines_of(block, archive))
        r = rootlet.shell(script, cwd=newcomer, timeout=120)
        said.append(r)
    built, images, box, life = said[1:]
    assert "Successfully tagged localhost/built:latest" in built.out
    assert rootlet.ok("run", "--rm", "built", "id", "-u").text == "0"
    assert "busybox" in images.out
    assert re.search(r"^localhost/box +latest ", box.out, re.M)
    assert "uid=0 gid=0" in box.out
    assert re.search(r"image\.tar$", box.out, re.M) and re.search(r" root$", box.out, re.M)
    assert re.search(r"^[0-9a-f]{64}$", life.out, re.M) and " clock\n" in life.out
    assert re.search(r"^ +1 0 +sh -c while", life.out, re.M)
    assert "clock: " in life.out and "stopped on request" in life.out and "tick\n" in life.out
    assert life.out.endswith("clock\n")
    assert rootlet.ok("ps", "-aq").out == ""
    # Nothing that a newcomer would have to wonder about.
    for r in said:
        noise = [line for line in r.err.splitlines()
                 if line.strip() and not line.startswith("Copying blob ")]
        assert noise == [], r


@rows("A67", "A61")
def test_inside_and_what_is_left(rootlet, newcomer):
    """Its blocks, with the image of the first steps; what stands behind a line is a comment."""
    image = blocks("First steps")[0]
    r = rootlet.shell("\n".join(["set -e", *image, *sum(blocks("Inside, and what is left"), [])]), cwd=newcomer)
    assert re.search(r"^(root|0) +1 .*sleep 1000$", r.out, re.M) and "\nA /index.html\n" in r.out
    assert "\nhello\n" in r.out and "\nindex.html\n" in r.out
    assert re.search(r" container died [0-9a-f]{64} .*name=", r.out) and re.search(r"^Images +2 ", r.out, re.M)
    assert rootlet.ok("ps", "-aq").out == ""


@rows("A49", "A52", "B17", "B28")
@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_networks_and_ports(rootlet, newcomer):
    """Its blocks one after the other, in the networks that the user has by default."""
    drivers = {d["Name"]: d for d in rootlet.ok("info", "--format", "{{json .Network}}").json()}
    if not drivers.get("slirp", {}).get("Usable"):
        pytest.skip("no slirp")
    image = blocks("First steps")[0]
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = str(s.getsockname()[1])
    lines = [line.replace("8080", port) for line in sum(blocks("Networks and ports"), [])]
    # The server may still be about to listen.
    lines = [line.replace("curl ", "curl -s --retry 9 --retry-all-errors --retry-max-time 30 ") for line in lines]
    lines = [re.sub(r"^(rootlet run --rm .*wget .*)", r"until \1; do sleep 0.2; done", line) for line in lines]
    r = rootlet.shell("\n".join(["set -e", *image, *lines]), cwd=newcomer, timeout=120,
                      env={"ROOTLET_NETWORK": None})
    assert r.out.count("hello\n") == 3
    assert len(re.findall(r"^80/tcp -> 127\.0\.0\.1:\d+$", r.out, re.M)) == 3
    assert rootlet.ok("ps", "-aq").out == "" and rootlet.ok("network", "ls", "-q").out == ""


@rows("B46")
def test_the_line_with_a_terminal(rootlet, newcomer):
    steps = blocks("First steps")
    rootlet.shell("\n".join(steps[0]), cwd=newcomer)
    line = [x for block in steps for x in block if "-it" in x][0]
    t = rootlet.pty("-c", f"cd {newcomer} && {line}", program="/bin/sh")
    t.expect("/ # ")
    t.send("echo $((6 * 7)); exit\n")
    t.expect("\r\n42\r\n")
    assert t.wait() == 0


@rows("A37")
@pytest.mark.skipif(host.fs_type("/sys/fs/cgroup") == "cgroup2fs", reason="has cgroup v2")
def test_what_it_says_about_hosts_without_cgroup_v2(rootlet, newcomer):
    """The refusal, and both ways out of it."""
    rootlet.image()
    r = rootlet.fails("run", "--rm", "localhost/busybox", "true", cgroups=None, match="cgroup v2")
    export = re.search(r"`export (ROOTLET_CGROUPS=\w+)`", README)[1]
    setting, path = re.search(r"`(cgroups = [^`]*)` in\s+`~/([^`]*)`", README).groups()
    assert export in r.err
    rootlet.shell(f"export {export}; rootlet run --rm localhost/busybox true", cgroups=None)
    file = newcomer / path
    rootlet.shell(f"mkdir -p {file.parent}; echo '{setting}' > {file}")
    rootlet.ok("run", "--rm", "localhost/busybox", "true", cgroups=None, env={"HOME": newcomer})


@rows("A67")
def test_every_command_in_the_papers_exists(rootlet):
    """In each paper: rootlet COMMAND in code names a command there is."""
    known = set(re.findall(r"^  ([\w-]+)(?:  |$)", rootlet.ok("--help").out, re.M)) | {"help"}
    for name in ("README.md", "SECURITY.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/learning.md",
                 "docs/systemd.md", "docs/network.md"):
        path = host.SRCDIR / name
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        code = re.findall(r"^    .*$", text, re.M) + re.findall(r"`([^`]*)`", text)
        for line in code:
            for word in re.findall(r"(?<![\w./-])rootlet ([a-z][a-z-]*)\b(?!=)", line):
                assert word in known, f"{name}: {line}"
