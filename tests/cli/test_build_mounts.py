"""rootlet build: RUN --mount, its network, its here-documents. Everything that is mounted is found below
the context or an image, and nothing of it is left in a layer."""
import json
import os
import pathlib
import shutil
import threading

from lib import rows
from lib.builder import fixture_build  # noqa: F401, pylint: disable=unused-import

pytestmark = rows("B55")


def test_tmpfs_and_network(build):
    assert build.lines("FROM BASE\nRUN --mount=type=tmpfs,target=/t,size=1m touch /t/x; grep -c ' /t tmpfs .*size=1024k' /proc/mounts\n"
                       "RUN ls -d /t || echo gone\n"
                       "RUN --network=none ls /sys/class/net\n") == ["1", "gone", "lo"]
    r = build("FROM BASE\nRUN --network=host true\n", rc=125)
    assert "Containerfile:2:" in r.err and "--network host allows it" in r.err
    build("FROM BASE\nRUN --network=host true\n", "--network", "host")
    r = build("FROM BASE\nRUN --security=insecure true\n", rc=125)
    assert "not allowed" in r.err
    r = build("FROM BASE\nRUN --mount=type=ssh true\n", rc=125)
    assert "type=secret" in r.err
    r = build("FROM BASE\nRUN --mount=type=nosuch,target=/x true\n", rc=125)
    assert "known: bind, cache, secret, tmpfs" in r.err


def test_secret_is_in_no_layer_and_no_record(build, rootlet):
    secret = "very-secret-7d21"
    build.add("../key", secret)
    text = ("FROM BASE\n"
            "RUN --mount=type=secret,id=key cat /run/secrets/key; ls -ln /run/secrets/key | cut -d' ' -f1\n"
            "RUN --mount=type=secret,id=key,target=/k,uid=7,gid=8,mode=0440 ls -ln /k | tr -s ' ' | cut -d' ' -f1,3,4\n"
            "RUN --mount=type=secret,id=env,target=/k cat /k; echo\n"
            "RUN --mount=type=secret,id=absent ls /run/secrets || echo none\n"
            "RUN ls /k /run/secrets 2>/dev/null || echo gone\n")
    lines = build.lines(text, "-t", "s", "--secret", f"id=key,src={build.dir}/../key", "--secret", "id=env,env=KEY",
                        env={"KEY": "of-the-environment"})
    assert [l for l in lines if "ls: /run/secrets" not in l] == [
        secret + "-r--------", "-r--r----- 7 8", "of-the-environment", "none", "gone"]
    assert not {"/k", "/run/secrets", "/run/secrets/key"} & build.files("s")
    held = [str(p) for d in (rootlet.store.root, rootlet.store.runroot) for p in d.rglob("*")
            if p.is_file() and os.access(p, os.R_OK) and secret.encode() in p.read_bytes()]
    assert not held
    assert secret not in rootlet.ok("history", "--no-trunc", "s").out
    r = build("FROM BASE\nRUN --mount=type=secret,id=no,required=true true\n", rc=125)
    assert "the secret no was not given" in r.err and "--secret id=no" in r.err


def test_secret_as_a_variable(build, rootlet):
    """docker's env=: of that RUN only, in no record while it runs, in no command line, in no image."""
    secret = "of-a-variable-93bb"
    # What every file of the store says while the step runs is looked at from outside.
    seen = build.dir.parent / f"seen-{build.dir.name}"
    seen.mkdir()
    seen.chmod(0o777)
    text = ("FROM BASE\nENV MY=of-the-image\n"
            "RUN --mount=type=secret,id=key,env=MY echo $MY; ls /run/secrets 2>/dev/null || echo no file\n"
            "RUN --mount=type=secret,id=key,env=MY,target=/k echo $MY; cat /k; echo\n"
            "RUN --mount=type=secret,id=key,env=MY --mount=type=secret,src=file,env=OTHER echo $MY; echo \"$OTHER\"\n"
            "RUN --mount=type=secret,id=key,env=MY [\"/bin/sh\", \"-c\", \"echo $MY\"]\n"
            "RUN --mount=type=secret,id=absent,env=GONE echo ${GONE-unset} $MY\n"
            "RUN --mount=type=secret,target=/run/key,env=MY test -e /run/key && env | grep ^MY\n"
            "USER 1000\nRUN --mount=type=secret,id=key,env=MY touch /out/go; while [ -e /out/go ]; do sleep 0.05; done; echo $MY\n")
    build.add("../file", "two\nlines\n")
    held = []

    def watch():
        while not (seen / "go").exists():
            if done.wait(0.05):
                return
        held.extend(str(p) for d in (rootlet.store.root, rootlet.store.runroot, "/proc") for p in stored(d) if secret.encode() in content(p))
        (seen / "go").unlink()

    def stored(d):
        return pathlib.Path("/proc").glob("[0-9]*/cmdline") if d == "/proc" else [p for p in d.rglob("*") if p.is_file()]

    done = threading.Event()
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        lines = build.lines(text, "-t", "s", "-v", f"{seen}:/out", "--secret", "id=key,env=KEY", "--secret", f"id=file,src={build.dir}/../file",
                            env={"KEY": secret})
    finally:
        done.set()
        watcher.join()
        shutil.rmtree(seen)
    assert lines == [secret, "no file", secret, secret, secret, "two", "lines", "", secret, "unset of-the-image", f"MY={secret}", secret]
    assert not held
    everywhere = rootlet.ok("history", "--no-trunc", "s").out + rootlet.ok("image", "inspect", "s").out
    assert secret not in everywhere and "of-the-image" in everywhere
    assert not [p for d in (rootlet.store.root, rootlet.store.runroot) for p in stored(d) if secret.encode() in content(p)]
    assert not list(rootlet.store.runroot.glob("build-*"))


def content(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_secret_variables_that_cannot_be(build):
    run = "FROM BASE\nRUN --mount=type=secret,{} true\n"
    build.add("../nul").write_bytes(b"a\0b")
    build.add("../large", "x" * (128 << 10))
    given = [o for n in ("nul", "large") for o in ("--secret", f"id={n},src={build.dir}/../{n}")]
    for want, why in (("id=nul,env=X", "env=X: the secret has a byte of 0"), ("id=large,env=X", "131072 bytes are too many for a variable"),
                      ("id=nul,env=", "env=: not the name of a variable"), ("id=nul,env=A=B", "env=A=B: not the name"),
                      ("id=nul,env", "env=: not a value for it"), ("env=X", "no id= and no target="),
                      ("id=no,env=X,required", "the secret no was not given"), ("id=no,env=X,required=true", "the secret no was not given")):
        r = build(run.format(want), *given, rc=125)
        assert why in r.err, r.err
    build(run.format("id=nul"), *given)
    build(run.format("id=large"), *given)
    r = build("FROM BASE\nRUN --mount=type=tmpfs,target=/t,env=X true\n", rc=125)
    assert "env=X: for type=secret only" in r.err


def test_secret_variable_is_no_part_of_the_cache_key(build):
    text = "FROM BASE\nRUN --mount=type=secret,id=key,env=MY cat /proc/sys/kernel/random/uuid >/u\n"
    first = build(text, "-q", "--secret", "id=key,env=KEY", env={"KEY": "one"}).out
    assert build(text, "-q", "--secret", "id=key,env=KEY", env={"KEY": "two"}).out == first
    assert build(text.replace("env=MY", "env=HIS"), "-q", "--secret", "id=key,env=KEY", env={"KEY": "one"}).out != first


def test_cache_lives_from_build_to_build(build, rootlet):
    text = "FROM BASE\nRUN --mount=type=cache,target=/c echo x >>/c/n; wc -l </c/n; stat -c '%u:%g %a' /c\n"
    assert build.lines(text) == ["1", "0:0 755"]
    assert build.lines(text) == ["2", "0:0 755"]
    other = "FROM BASE\nRUN --mount=type=cache,id=../../../../../../tmp/x,target=/c,uid=5,gid=6,mode=0700,sharing=SHARING ls /c; stat -c '%u:%g %a' /c\n"
    for sharing in ("locked", "private", "shared"):
        assert build.lines(other.replace("SHARING", sharing)) == ["5:6 700"]
    assert not os.path.exists("/tmp/x")
    # No part of the image, and not in what is kept of the step.
    build(text, "-t", "c")
    assert "/c" not in build.files("c")
    rootlet.ok("builder", "prune", "-f")
    assert build.lines(text)[0] == "1"
    r = build("FROM BASE\nRUN --mount=type=cache,sharing=odd,target=/c true\n", rc=125)
    assert "shared, locked or private" in r.err


STAGE = ("FROM BASE AS src\n"
         "RUN mkdir -p /data/x /data/z && echo one >/data/x/a && echo two >/data/x/b && echo old >/data/z/old && "
         "ln -s x /data/l && ln -s / /data/root && ln -s /data/x/a /data/la\n"
         "RUN rm -r /data/x/b /data/z && echo three >/data/x/c && mkdir /data/z && echo new >/data/z/new\n"
         "FROM BASE\n")


def test_bind_of_a_stage(build):
    """As the stage itself shows it: deleted files, replaced directories, links that lead out stay in."""
    assert build.lines(STAGE + "RUN --mount=from=src,source=/data/x,target=/s ls /s; touch /s/n || echo readonly\n"
                       "RUN --mount=from=src,source=/data/z,target=/s ls /s\n"
                       "RUN --mount=from=src,source=data/l,target=/s cat /s/a\n"
                       "RUN --mount=from=src,source=/data/root/data/la,target=/s cat /s\n"
                       "RUN --mount=from=src,source=/data/x,target=/s,rw echo mine >/s/a; cat /s/a; ls /s\n"
                       "RUN --mount=from=src,target=/s cat /s/data/x/a; ls /s/data/z\n"
                       "RUN ls /s 2>/dev/null || echo gone\n") == [
        "a", "c", "readonly", "new", "one", "one", "mine", "a", "c", "one", "new", "gone"]
    r = build(STAGE + "RUN --mount=from=src,source=/nosuch,target=/s true\n", rc=125)
    assert "source=/nosuch" in r.err and "No such file" in r.err
    r = build(STAGE + "RUN --mount=from=nosuch,target=/s true\n", "--pull=never", rc=125)
    assert "nosuch" in r.err


def test_cache_begins_with_what_a_stage_has(build, rootlet):
    """docker's from= and source= of a cache: the first content of a new one, which is another when they are."""
    run = "RUN --mount=type=cache,id=c,from={},target=/c cd /c && ls . && echo x >>n && wc -l <n\n"
    data = run.format("src,source=/data/x")
    same = ("--source-date-epoch", "1000000000")
    assert build.lines(STAGE + data, *same) == ["a", "c", "1"]
    assert build.lines(STAGE + data, *same) == ["a", "c", "n", "2"]
    assert build.lines(STAGE.replace("three", "four") + data, *same) == ["a", "c", "1"]
    assert build.lines(STAGE + run.format("src,source=data/l")) == ["a", "c", "1"]
    assert build.lines(STAGE + run.format("src,source=/data/z")) == ["new", "1"]
    assert build.lines(STAGE + run.format("src").replace("ls .", "ls data")) == ["l", "la", "root", "x", "z", "1"]
    assert build.lines("FROM BASE\nRUN --mount=type=cache,id=c,target=/c ls -A /c | wc -l\n") == ["0"]
    # The stage keeps what it has, the step has nothing of it.
    build(STAGE.replace("FROM BASE\n", "FROM src\n") + data + "RUN test ! -e /data/x/n && test ! -e /c/n\n", "-t", "c")
    assert "/c/a" not in build.files("c")
    # Owners, modes, links and times are those of the stage.
    stage = ("FROM BASE AS own\nRUN mkdir /d && cd /d && echo x >f && ln f g && ln -s f l && chown 5:6 f && chmod 4750 f && chown 7:8 . && chmod 0700 . && "
             "touch -d '2001-02-03 04:05:06' f\nFROM BASE\n")
    stat = "stat -c '%n %u:%g %a %h %Y' /c /c/f; readlink /c/l\n"
    assert build.lines(stage + "RUN --mount=type=cache,from=own,source=/d,target=/c stat -c '%u:%g %a' /c; stat -c '%n %u:%g %a %h %Y' /c/f; readlink /c/l\n") == [
        "7:8 700", "/c/f 5:6 4750 2 981173106", "f"]
    assert build.lines(stage + "RUN --mount=type=cache,id=o,from=own,source=/d,uid=9,gid=10,mode=0711,target=/c " + stat)[0].startswith("/c 9:10 711 ")
    # It is a cache like others.
    rootlet.ok("builder", "prune", "-f")
    assert build.lines(STAGE + data) == ["a", "c", "1"]


def test_cache_begins_with_an_image_or_a_directory(build):
    tree = build.dir.parent / f"tree-{build.dir.name}"
    for name in ("sub/f", "g"):
        build.add(f"../{tree.name}/{name}", "x\n")
    build.own(tree)
    run = "FROM BASE\nRUN --mount=type=cache,id=d,from={},target=/c cd /c && ls && echo x >new\n"
    try:
        assert build.lines(run.format("BASE,source=/etc/../etc").replace("ls &&", "cat passwd | grep -c root &&")) == ["1"]
        given = ("--build-context", f"tree={tree}")
        assert build.lines(run.format("tree"), *given) == ["g", "sub"]
        assert build.lines(run.format("tree"), *given) == ["g", "new", "sub"]
        assert build.lines(run.format("tree,source=sub").replace("ls &&", "stat -c '%n %u:%g' f . &&"), *given) == ["f 0:0", ". 0:0"]
        assert not list(tree.rglob("new"))
        # What it begins with counts for the cache of steps.
        text = run.format("tree").replace("cd /c", "cat /proc/sys/kernel/random/uuid >/u && cd /c")
        first = build(text, "-q", *given).out
        assert build(text, "-q", *given).out == first
        build.add(f"../{tree.name}/sub/f", "y\n")
        assert build(text, "-q", *given).out != first
        for what, why in (("tree,source=nosuch", 'there is no "nosuch"'), ("tree,source=g", "source=g: it is no directory"),
                          ("BASE,source=/nosuch", "source=/nosuch: there is no such directory"), ("BASE,source=/etc/passwd", "source=/etc/passwd: it is no directory"),
                          ("tree,source=../../../../../../etc", 'there is no "../../../../../../etc"')):
            r = build(run.format(what), *given, rc=125)
            assert why in r.err and "Containerfile:2" in r.err, r.err
            assert build(run.format(what), *given, rc=125).err == r.err
    finally:
        shutil.rmtree(tree)
    r = build("FROM BASE\nRUN --mount=type=cache,source=/x,target=/c true\n", rc=125)
    assert "source=/x: of a cache without from=" in r.err


def test_image_of_a_store_behind_a_link(build, rootlet):
    """A home directory may be reached through a link; what an image's file is bound from has none."""
    link = rootlet.user.home / f"link{os.getpid()}"
    link.symlink_to(rootlet.store.root)
    try:
        build.add("Containerfile", f"FROM {build.base} AS src\nRUN mkdir /d && echo file >/d/f\nFROM {build.base}\n"
                  "RUN --mount=from=src,source=/d/f,target=/f cat /f\nRUN --mount=from=src,source=/d,target=/d cat /d/f\n")
        r = rootlet.ok("--root", link, "build", build.dir)
        assert r.out.splitlines().count("file") == 2
    finally:
        link.unlink()


@rows("B55")
def test_links_of_an_image_do_not_lead_to_the_host(build, rootlet):
    """CVE-2024-1753 and CVE-2024-9675: a source that is a link to / is the image's own root."""
    canary = build.add("../canary", "host\n")
    text = ("FROM BASE AS src\nRUN rm -rf /esc && ln -s / /esc && ln -s ../../../../../../.. /up\nFROM BASE\n"
            "RUN --mount=from=src,source=/esc,target=/s,rw ls /s" + str(canary) + " 2>/dev/null || echo not there; touch /s/etc/new\n"
            "RUN --mount=from=src,source=/up,target=/s ls /s" + str(canary) + " 2>/dev/null || echo not there\n")
    assert build.lines(text) == ["not there", "not there"]
    assert canary.read_text(encoding="utf-8") == "host\n"
    r = build("FROM BASE AS src\nRUN ln -s /proc/self/root /esc\nFROM BASE\n"
              f"RUN --mount=from=src,source=/esc{canary.parent},target=/s true\n", rc=125)
    assert "Error: build: Containerfile:4:" in r.err
    # A target that is a link stays inside too.
    build("FROM BASE\nRUN ln -s / /t\nRUN --mount=type=tmpfs,target=/t/new touch /t/new/x\n")
    assert not os.path.exists("/new")


def test_bind_of_the_context_obeys_the_ignore_file(build):
    """What is left out is not there for RUN, and does not count for its cache."""
    for name in ("a", "key", "sub/b", "sub/key", "node/x/y", "node/keep", "gone/z"):
        build.add(name, f"{name}\n")
    os.chmod(build.dir / "sub", 0o705)
    build.add(".dockerignore", "**/key\nnode\n!node/keep\ngone\n!gone/nothing\n")
    find = "cd /s && find . -type f -name '[a-z]*' -o -name gone | sort | tr '\\n' ' '; echo\n"
    seen = "./a ./node/keep ./sub/b "
    assert build.lines("FROM BASE\nRUN --mount=type=bind,target=/s " + find +
                       "RUN --mount=type=bind,target=/s,rw rm -r /s/node && mkdir /s/node /s/gone && touch /s/gone/f /s/key && ls /s/node; ls /s/gone\n"
                       "RUN --mount=type=bind,target=/s touch /s/n || stat -c %a /s/sub\n"
                       "RUN --mount=type=bind,source=sub,target=/s " + find) == [seen, "f", "705", "./b "]
    assert not (build.dir / "n").exists() and (build.dir / "node/keep").exists() and not (build.dir / "gone/f").exists()
    for source in ("key", "sub/key", "node/x"):
        r = build(f"FROM BASE\nRUN --mount=type=bind,source={source},target=/s true\n", rc=125)
        assert "left out by the ignore file" in r.err, r.err
        r = build(f"FROM BASE\nRUN --mount=type=bind,source={source},target=/s true\n", "--no-cache", rc=125)
        assert "left out by the ignore file" in r.err, r.err
    text = "FROM BASE\nRUN --mount=type=bind,target=/s cat /proc/sys/kernel/random/uuid >/u\n"
    first = build(text, "-q").out
    build.add("sub/key", "another\n")
    build.add("node/more", "another\n")
    assert build(text, "-q").out == first
    build.add("node/keep", "another\n")
    assert build(text, "-q").out != first


def test_here_documents(build):
    assert build.lines("FROM BASE\n"
                       "RUN <<EOF\necho one\necho two\nEOF\n"
                       "RUN <<EOF\n#!/bin/cat\nas a program\nEOF\n"
                       "RUN cat <<'A' && cat <<B\n$HOME\nA\n$HOME\nB\n"
                       "RUN ls /run/.rootlet-build-script 2>/dev/null || echo gone\n") == [
        "one", "two", "#!/bin/cat", "as a program", "$HOME", "/root", "gone"]


def test_a_mount_of_the_command_line(build, rootlet):
    build.add("../shared/file", "of the host\n")
    assert build.lines("FROM BASE\nRUN cat /v/file\n", "-v", f"{build.dir}/../shared:/v:ro", "-t", "v") == ["of the host"]
    assert "/v/file" not in build.files("v")
    config = rootlet.ok("image", "inspect", "v").json()[0]["Config"]
    assert "Volumes" not in config and "rootlet" not in json.dumps(config)
