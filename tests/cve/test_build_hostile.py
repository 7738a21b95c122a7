"""Builds of hostile Containerfiles, bases and contexts (sections 1.2 to 1.4 of the threat list)."""
import glob
import io
import os
import signal
import tarfile
import threading

import pytest

from lib import images, rows
from lib.builder import fixture_build  # noqa: F401, pylint: disable=unused-import

pytestmark = rows("B55")


def spawn(build, text):
    build.add("Containerfile", text.replace("BASE", build.base))
    return build.rootlet.spawn("build", build.dir)


@pytest.mark.parametrize("signo", [signal.SIGINT, signal.SIGTERM])
def test_a_huge_file_does_not_hold_who_wants_the_end(build, signo):
    """Reading a terabyte that costs the attacker nothing ends by the first signal."""
    os.truncate(build.add("big"), 1 << 40)
    p = spawn(build, "FROM BASE\nCOPY big /big\n")
    assert p.stdout.readline().startswith("STEP 1/2")
    assert p.stdout.readline().startswith("STEP 2/2")
    p.send_signal(signo)
    assert p.wait(timeout=20) == 128 + signo
    assert "interrupted by " + signal.Signals(signo).name in p.stderr.read()


def test_packing_ends_by_a_signal_to_the_builder_alone(build, rootlet):
    for i in range(4):
        os.truncate(build.add(f"big/{i}"), 1 << 27)
    p = spawn(build, "FROM BASE\nCOPY big /big\n")
    rootlet.wait_for(lambda: list((rootlet.store.root / "containers").glob("[0-9a-f]*")) or p.poll() is not None, 60)
    p.send_signal(signal.SIGTERM)
    assert p.wait(timeout=60) == 143, p.stderr.read()
    assert not list((rootlet.store.root / "containers").iterdir())


def test_what_a_quiet_step_says_has_an_end(build):
    """It is kept for the case of a failure, but not all of it, in memory."""
    r = build("FROM BASE\nRUN head -c 20000000 /dev/zero | tr '\\0' x; echo; echo last words; exit 3\n", "-q", rc=3)
    assert "\nlast words\n" in r.err and 10000 < len(r.err) < 70000
    r = build("FROM BASE\nRUN echo out; echo err >&2; exit 3\n", "-q", rc=3)
    assert r.err.startswith("out\nerr\nError: ")


def test_arguments_are_in_no_command_line(build):
    """Other users of the machine may read those; an argument may have come from a file of mode 0600."""
    build.add("args", "TOKEN=very-secret-7d21\nODD= # spaces 'and' \"quotes\" $HOME\\n \n")
    seen, done = [], threading.Event()

    def look():
        while not done.is_set():
            for name in glob.glob("/proc/[0-9]*/cmdline"):
                try:
                    with open(name, "rb") as f:
                        text = f.read()
                except OSError:
                    continue
                if b"very-secret" in text:
                    seen.append(text)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        lines = build.lines("FROM BASE\nARG TOKEN\nARG ODD\nENV TWO=\"a\\\nb\" HASH=#x\nRUN echo $TOKEN; echo \"[$ODD]\"; echo \"$TWO$HASH\"; sleep 0.5\n",
                            "--build-arg-file", build.dir / "args")
    finally:
        done.set()
        thread.join()
    assert lines == ["very-secret-7d21", "[ # spaces 'and' \"quotes\" $HOME\\n ]", "ab#x"]
    assert not seen


def test_files_that_change_while_they_are_mounted(build, rootlet):
    """What was made of other files than those of the key is not in the cache."""
    text = "FROM BASE\nRUN --mount=target=/c echo waiting; until grep -q evil /c/data; do sleep 0.05; done; cp /c/data /made\n"
    for _ in range(2):
        data = build.add("data", "good\n")
        p = spawn(build, text)
        lines = iter(p.stdout.readline, "")
        assert any(l == "waiting\n" for l in lines), p.stderr.read()
        data.write_text("evil\n", encoding="utf-8")
        assert p.wait(timeout=60) == 0, p.stderr.read()
    # The same files as at the end of the last one: they are a key of their own.
    assert "Using cache" not in build(text).out
    assert "Using cache" in build(text).out


def test_files_that_change_while_they_are_copied(build, rootlet):
    """Between the hash and the tar: what comes next must not take one for the other."""
    os.truncate(build.add("c/a"), 1 << 29)
    data = build.add("c/z", "good\n")
    text = "FROM BASE\nCOPY --exclude=none c /c\n"
    p = spawn(build, text)
    rootlet.wait_for(lambda: list((rootlet.store.root / "containers").glob("[0-9a-f]*")) or p.poll() is not None, 60)
    data.write_text("evil\n", encoding="utf-8")
    assert p.wait(timeout=120) == 0, p.stderr.read()
    data.write_text("good\n", encoding="utf-8")
    build(text, "-t", "raced", timeout=120)
    assert rootlet.ok("run", "--rm", "raced", "cat", "/c/z").out == "good\n"


def test_more_than_there_can_be(build):
    r = build("FROM BASE AS s0\n" + "".join(f"FROM s{i} AS s{i + 1}\n" for i in range(40000)), rc=125)
    assert "Containerfile:1001: more than 1000 stages" in r.err
    r = build("FROM BASE\nHEALTHCHECK --interval=99999999h CMD true\n", rc=125)
    assert "--interval=99999999h: not a duration" in r.err
    r = build("FROM BASE\nENV A=xxxxxxxxxxxxxxxx\n" + "ENV A=$A$A$A$A\n" * 20, rc=125)
    assert "too long" in r.err


@pytest.mark.parametrize("name", ["--help", "-x", "dir:/etc", "docker-archive:/etc/passwd", "..", "a\x1b[31m"])
def test_names_of_bases_are_names(build, rootlet, name):
    build.add("Containerfile", "ARG X\nFROM $X\n")
    r = rootlet("build", "--build-arg", f"X={name}", build.dir, rc=125)
    assert "image reference" in r.err and "\x1b" not in r.err


@pytest.mark.parametrize("trigger, why", [
    ("FROM x", "not allowed as a trigger"), ("ONBUILD RUN true", "not allowed as a trigger"),
    ("RUN true\nRUN echo two", "one instruction"), ("", "one instruction"),
    ("RUN --security=insecure true", "not allowed"), ("RUN --network=host true", "the file alone cannot have it"),
    ("RUN --mount=source=../../..,target=/c ls /c/etc/shadow", "exit status"),
    ("COPY ../../../etc/passwd /x", "there is no"),
])
def test_triggers_of_a_base(build, rootlet, lab, trigger, why):
    """CVE-2024-23653: what a base has to be run is no more than what the file could have said."""
    name = lab.load(OnBuild=[trigger], Cmd=["true"])
    build.add("Containerfile", f"FROM {name}\n")
    r = rootlet("build", build.dir)
    assert r.rc and why in r.err and "\x1b" not in r.err + r.out, r


def test_propagation_and_options_of_a_mount(build):
    """CVE-2024-9407: no word of --mount becomes an option of the mount itself."""
    build.add("d/f", "x")
    assert build.lines("FROM BASE\nRUN --mount=source=d,target=/c,bind-propagation=rshared grep ' /c ' /proc/self/mountinfo | grep -c shared: || true\n") == ["0"]
    for words in ("target=/c:dev,suid", "target=/c,bind-propagation=rshared,dev", "target=/c,size=1m,exec", "type=tmpfs,target=/c,size=1m;dev",
                  "type=tmpfs,target=/c,mode=0777:x"):
        r = build(f"FROM BASE\nRUN --mount={words} true\n", rc=125)
        assert "--mount=" in r.err


def test_links_in_a_cache_are_no_sources(build, rootlet):
    """CVE-2024-11218, CVE-2024-23651, CVE-2026-44517: a step that runs beside the mounting of another one, or ran
    before it, has put links where a source, a target or its parents are looked for."""
    canary = build.add("../outside/b/stub", "")
    text = f"FROM BASE\nRUN --mount=type=cache,id=k,target=/c rm -rf /c/*; ln -s {canary.parent} /c/l\n"
    build(text, "--no-cache")
    r = build("FROM BASE\nRUN --mount=type=cache,id=k,source=l,target=/c true\n", rc=125)
    assert "source=" in r.err
    assert build.lines("FROM BASE\nRUN --mount=type=cache,id=k,target=/c --mount=type=tmpfs,target=/c/l/t ls /c/l/stub 2>/dev/null || echo not there\n") == [
        "not there"]
    assert [p.name for p in canary.parent.iterdir()] == ["stub"]


def test_stubs_of_mounts_are_removed_inside(build):
    """CVE-2024-23652: a step replaces the parents of what was made to be mounted on by a link to the host."""
    canary = build.add("../outside/b/stub", "")
    build.add("../outside/d/keep", "")
    for target in ("/a/b/stub", "/a/d"):
        build(f"FROM BASE\nRUN --mount=type=tmpfs,target={target} mkdir /old; mv /a /old; umount {target}; rm -rf /a; ln -s {canary.parent.parent} /a; true\n",
              "--no-cache", "-t", "stub")
    assert canary.exists() and (canary.parent.parent / "d/keep").exists()


@pytest.mark.parametrize("name", ["Containerfile", ".dockerignore", ".containerignore"])
@pytest.mark.parametrize("kind", ["fifo", "zero", "passwd", "huge"])
def test_what_is_read_of_a_context(build, rootlet, name, kind):
    """Pipes, devices, links out of it and huge files: no waiting, and nothing of the host."""
    build.add("Containerfile", f"FROM {build.base}\nCOPY x /x\n")
    build.add("x", "")
    path = build.dir / name
    path.unlink(missing_ok=True)
    if kind == "fifo":
        os.mkfifo(path)
        build.own(path)
    elif kind == "huge":
        os.truncate(build.add(name), 1 << 40)
    else:
        build.add(name, link={"zero": "/dev/zero", "passwd": "/etc/passwd"}[kind])
    r = rootlet("build", build.dir, timeout=30)
    assert r.rc in (0, 125) and "root:x" not in r.err, r


def test_owners_that_fuse_overlayfs_would_believe(lab, rootlet):
    """An attribute of an image that tells that program another owner and mode than the file has."""
    layer = images.Tar()
    for name, kind in (("./", tarfile.DIRTYPE), ("forged", tarfile.REGTYPE)):
        info = tarfile.TarInfo(name)
        info.type, info.mode, info.uid = kind, 0o755, 7 * (kind == tarfile.REGTYPE)
        info.pax_headers = {"SCHILY.xattr.user.containers.override_stat": "0:0:4755", "SCHILY.xattr.user.kept": "1"}
        layer.tar.addfile(info, io.BytesIO(b""))
    lab.load(layer, Cmd=["true"])
    found = [p for p in rootlet.store.root.glob("layers/**/diff/forged")]
    assert len(found) == 1
    for path in (found[0], found[0].parent):
        assert os.listxattr(path) == ["user.kept"]
