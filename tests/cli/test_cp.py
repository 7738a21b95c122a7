"""cp: into containers, out of them, between them and as a tar, whether they run or not."""
import gzip
import io
import os
import pathlib
import signal
import tarfile

import pytest

from lib import images, rows, runner

STATES = ["running", "stopped"]


@pytest.fixture
def home(rootlet):
    """A directory of the test user, which may hold anything."""
    made = rootlet.user.home / "cp"
    rootlet.shell(f"mkdir {made}")
    yield made
    rootlet.shell(f"chmod -R u+rwx {made}; rm -rf {made}")


@pytest.fixture
def cp(rootlet, home):
    """cp in that directory."""
    return lambda *args, rc=0, **kw: rootlet("cp", *args, rc=rc, cwd=home, **kw)


def make(rootlet, state, *options, name="c", script=None, image=None):
    """A container that has run this script, as root of it; running or stopped."""
    rootlet.ok("run", "-d", "--name", name, *options, image or rootlet.image(), "sleep", "1000")
    if script:
        rootlet.ok("exec", "-u", "0", name, "sh", "-c", script)
    if state == "stopped":
        rootlet.ok("stop", "-t", "0", name)


def inside(rootlet, script, name="c"):
    """What a script says in the container, which is started if need be."""
    if rootlet.inspect(name)["State"]["Status"] != "running":
        rootlet.ok("start", name)
    return rootlet.ok("exec", "-u", "0", name, "sh", "-c", script).out


# Both trees have: f (a file), d/x, d/sub/y, lf -> f, ld -> d, dangling -> nothing, other/ (empty),
# merge/d/old. SOURCE, DEST, what is then there, or the words of the error.
MAKE_TREE = ("mkdir -p d/sub other merge/d; echo f >f; echo x >d/x; echo y >d/sub/y; echo old >merge/d/old; "
             "ln -s f lf; ln -s d ld; ln -s later dangling; echo was >was; ln -s was lwas; ln -s other lother; "
             "mkfifo fifo")
TABLE = [
    ("f", "new", "new=f"),
    ("f", "was", "was=f"),
    ("f", "other", "other/f=f"),
    ("f", "other/", "other/f=f"),
    ("f", "other/.", "other/f=f"),
    ("f", "other/n", "other/n=f"),
    ("f", "none/", "No such file or directory"),
    ("f", "none/n", "No such file or directory"),
    ("f", "was/", "Not a directory"),
    ("f", "lwas", "was=f lwas->was"),
    ("f", "lother", "other/f=f lother->other"),
    ("f", "dangling", "later=f dangling->later"),
    ("f", "fifo", "is a device, FIFO or socket"),
    ("f/", "new", "Not a directory"),
    ("f/.", "new", "Not a directory"),
    ("none", "new", "No such file or directory"),
    ("d", "new", "new/x=x new/sub/y=y"),
    ("d", "new/", "new/x=x new/sub/y=y"),
    ("d/", "new", "new/x=x new/sub/y=y"),
    ("d/.", "new", "new/x=x new/sub/y=y"),
    ("d", "other", "other/d/x=x other/d/sub/y=y"),
    ("d/", "other", "other/d/x=x other/d/sub/y=y"),
    ("d/.", "other", "other/x=x other/sub/y=y"),
    ("d/sub/..", "other", "other/d/x=x other/d/sub/y=y"),
    ("d", "merge", "merge/d/x=x merge/d/old=old"),
    ("d", "was", "it is not replaced by one"),
    ("d", "none/n", "No such file or directory"),
    ("d", "lother", "other/d/x=x"),
    ("lf", "new", "new->f"),
    ("lf", "was", "was->f"),
    ("-L lf", "new", "new=f"),
    ("-L lf", "other", "other/f=f other/lf!"),
    ("ld", "new", "new->d"),
    ("ld/", "new", "new/x=x"),
    ("ld/.", "new", "new/x=x"),
    ("-L ld", "other", "other/d/x=x"),
    ("-L dangling", "new", "No such file or directory"),
    ("dangling", "new", "new->later"),
    ("fifo", "new", "new|"),
    ("--overwrite d", "was", "was/x=x"),
    ("--overwrite other", "merge/d", "merge/d/other/"),
    ("--overwrite f", "fifo", "fifo=f"),
]


def condition(word):
    """A shell test of one expectation of the table."""
    if "->" in word:
        name, target = word.split("->")
        return f'[ "$(readlink {name})" = {target} ]'
    if "=" in word:
        name, text = word.split("=")
        return f'[ ! -L {name} ] && [ "$(cat {name})" = {text} ]'
    kind = {"|": "-p", "!": "! -e", "/": "-d"}[word[-1]]
    return f"[ {kind} {word.rstrip('|!/')} ]"


def run_table(rootlet, where, cp_args, shell, table=TABLE):
    """All rows, each on fresh trees; the ones that went wrong."""
    wrong = []
    for source, dest, want in table:
        shell(f"cd {where} && find . -mindepth 1 -delete && {MAKE_TREE}")
        *flags, source = source.split()
        r = rootlet("cp", *flags, *cp_args(source, dest))
        is_error = " " in want and "=" not in want
        if is_error:
            if r.rc != 125 or want not in r.err or not r.err.startswith("Error: cp "):
                wrong.append((source, dest, want, str(r)))
            continue
        tests = " && ".join(condition(w) for w in want.split())
        if r.rc != 0 or shell(f"cd {where} && {tests} && echo yes || ls -lR") != "yes\n":
            wrong.append((source, dest, want, str(r)))
    return wrong


@rows("A61")
@pytest.mark.parametrize("state", STATES)
def test_table_into_a_container(rootlet, home, state):
    """docker's and podman's rules, those of cp -a, for where it all goes to."""
    rootlet.shell(f"cd {home} && {MAKE_TREE}")
    shared = home / "shared"  # a bind, so that a stopped container's can be looked at too
    rootlet.shell(f"mkdir {shared}")
    make(rootlet, state, "-v", f"{shared}:/t")

    def shell(script):
        return rootlet.shell(script).out
    table = TABLE if state == "running" else TABLE[::3]
    wrong = run_table(rootlet, shared, lambda s, d: (f"{home}/{s}", f"c:/t/{d}"), shell, table)
    assert not wrong, wrong


@rows("A61")
def test_table_out_of_a_container(rootlet, home):
    make(rootlet, "running", script=f"mkdir /t; cd /t; {MAKE_TREE}")
    wrong = run_table(rootlet, home, lambda s, d: (f"c:t/{s}", f"{home}/{d}"),
                      lambda script: rootlet.shell(script).out)
    assert not wrong, wrong


AWKWARD = r"""
mkdir -p t/sub t/empty; cd t; printf hello >plain; chmod 640 plain; printf '' >nothing; ln plain sub/hard
ln -s /etc/passwd absolute; ln -s ../../../x up; ln -s loop loop; mkfifo fifo; chmod 600 fifo
truncate -s 3G sparse; printf end >>sparse; printf x >"$(printf 'esc\033[31m\nline')"; printf x >"$(printf '\377')"
printf x >$(printf '%0255d' 1); printf '#!' >suid; chmod 4755 suid; mkdir sgid; chmod 2775 sgid; mkdir -m 1777 sticky
mkdir closed; printf x >closed/in; chmod 500 closed
touch -d '2001-02-03 04:05:06' plain; touch -h -d '2001-02-03 04:05:06' up; touch -d '2001-02-03 04:05:06' empty sub
"""

def listing(where):
    """Modes, times, sizes, links and contents of a tree, by names."""
    out = {}
    for d, names, files in os.walk(os.fsencode(where)):
        for n in names + files:
            p = os.path.join(d, n)
            st = os.lstat(p)
            kind = st.st_mode & 0o170000
            out[os.path.relpath(p, os.fsencode(where))] = (
                oct(st.st_mode), int(st.st_mtime), st.st_size if kind == 0o100000 else 0,
                os.readlink(p) if kind == 0o120000 else st.st_nlink if kind == 0o100000 else 0)
    return out


@rows("A61", "R15")
@pytest.mark.parametrize("state", STATES)
def test_everything_is_kept(rootlet, home, cp, state):
    """There and back: modes, times, links, holes, names, attributes."""
    rootlet.shell(f"cd {home} && {AWKWARD}")
    os.setxattr(home / "t/plain", "user.mine", b"\0value")
    make(rootlet, state)
    cp("t", "c:/tmp")
    cp("c:/tmp/t", "back")
    want, got = listing(home / "t"), listing(home / "back")
    # What came out is the container's word: no set-id bits.
    strip = {k: (oct(int(v[0], 8) & ~0o6000), *v[1:]) for k, v in want.items()}
    assert got == strip
    assert want[b"suid"][0] == "0o104755" and got[b"suid"][0] == "0o100755"
    assert os.getxattr(home / "back/plain", "user.mine") == b"\0value"
    assert (home / "back/sparse").stat().st_blocks < 100
    out = inside(rootlet, "cd /tmp/t; stat -c '%a %u:%g' suid sgid plain; [ plain -ef sub/hard ] && echo same; "
                          "stat -c %b sparse")
    lines = out.split("\n")
    assert lines[:4] == ["4755 0:0", "2775 0:0", "640 0:0", "same"] and int(lines[4]) < 100


@rows("A61")
def test_owners(rootlet, home, cp):
    """Into it: whose process can use it; with -a the numbers; out of it: the caller's."""
    image = rootlet.image()
    for name, options in {"root": [], "app": ["--user", "app"], "auto": ["--userns", "auto"],
                          "keep": ["--userns", "keep-id"]}.items():
        rootlet.ok("create", "--name", name, *options, image, "sleep", "1000")
    rootlet.shell(f"cd {home} && mkdir d && echo x >d/f && chmod 600 d/f")
    uid = rootlet.user.uid
    want = {"root": "0:0", "app": "1000:1000", "auto": "0:0", "keep": f"{uid}:{rootlet.user.gid}"}
    for name, owner in want.items():
        cp("d", f"{name}:/opt/d")
        assert inside(rootlet, "stat -c %u:%g /opt/d /opt/d/f", name) == f"{owner}\n{owner}\n", name
        inside(rootlet, "chown 4:5 /opt/d/f", name)
        cp(f"{name}:/opt/d", f"out-{name}")
        st = (home / f"out-{name}/f").stat()
        assert (st.st_uid, st.st_gid, st.st_mode & 0o777) == (uid, rootlet.user.gid, 0o600)
    cp("-a", "root:/opt/d", "auto:/opt/again")
    assert inside(rootlet, "stat -c %u:%g /opt/again /opt/again/f", "auto") == "0:0\n4:5\n"
    cp("root:/opt/d", "app:/opt/again")
    assert inside(rootlet, "stat -c %u:%g /opt/again/f", "app") == "1000:1000\n"
    r = cp("-a", "d/f", "root:/opt/f")
    if uid > 65535:
        assert "owners" in r.err


@rows("A61", "R15")
def test_devices_and_sockets(rootlet, home, cp):
    """Nothing is opened but regular files, and no device reaches the host."""
    make(rootlet, "running", script="mkdir /t; mkfifo /t/fifo; touch /t/f; nc -lk -s 127.0.0.1 -p 1 >/t/n 2>&1 & "
                                    "ln -s /dev/zero /t/zero; ln -s /proc/kmsg /t/kmsg")
    r = cp("c:/dev", "dev", timeout=10)
    assert "left out" in r.err and "it is a device" in r.err
    kinds = {oct(p.lstat().st_mode & 0o170000) for p in (home / "dev").rglob("*")}
    assert kinds <= {"0o40000", "0o120000", "0o10000", "0o100000"}
    for path in ("/dev/zero", "/dev/full", "/dev/tty"):
        cp(f"c:{path}", "x", timeout=10)
        assert not (home / "x").exists()
    cp("-q", "c:/t", "t", timeout=10)
    assert (home / "t/zero").is_symlink() and (home / "t/fifo").is_fifo()
    r = cp("-L", "c:/t/zero", "zero", timeout=10)
    assert "left out" in r.err and not (home / "zero").exists()
    cp("c:/proc/version", "version")
    assert "Linux" in (home / "version").read_text()
    cp("c:/", "all", timeout=20)
    assert (home / "all/etc/passwd").exists() and not list((home / "all/proc").iterdir())
    cp("c:/proc/self/status", "x", rc=125, timeout=10)
    r = cp("version", "c:/proc/sys/kernel/x", rc=125)
    assert r.err.startswith("Error: cp c:/proc/sys/kernel/x: ")
    r = cp("version", "c:/dev/null", rc=125)
    assert "device" in r.err


@rows("A61")
@pytest.mark.parametrize("state", STATES)
def test_volumes_and_binds(rootlet, home, cp, state):
    """A path in a container is what its processes see there, whether there are any or not."""
    rootlet.shell(f"cd {home} && mkdir bind ro && echo x >f && echo one >one")
    make(rootlet, state, "-v", "data:/data", "-v", f"{home}/bind:/data/bind", "-v", f"{home}/ro:/ro:ro",
         "-v", f"{home}/one:/one", "-v", "/anonymous", script="ln -s /data/bind /link; echo i >/anonymous/i")
    cp("f", "c:/data/f")
    cp("f", "c:/link/g")
    cp("f", "c:/one")
    cp("c:/anonymous/i", "i")
    assert (home / "bind/g").read_text() == "x\n" and (home / "one").read_text() == "x\n"
    assert (home / "i").read_text() == "i\n"
    r = cp("f", "c:/ro/f", rc=125)
    assert "Read-only file system" in r.err and "hint:" in r.err and not list((home / "ro").iterdir())
    assert inside(rootlet, "cat /data/f /data/bind/g") == "x\nx\n"
    rootlet.shell(f"echo file >{home}/ro/file")
    cp("c:/ro", "out")
    assert (home / "out/file").read_text() == "file\n"


def test_missing_source_of_a_bind(rootlet, home, cp):
    """What can be read is read; nothing is written to where it would not be seen."""
    rootlet.shell(f"mkdir {home}/gone")
    make(rootlet, "stopped", "-v", f"{home}/gone:/gone")
    rootlet.shell(f"rmdir {home}/gone")
    cp("c:/etc/motd", "motd")
    assert "does not exist" in cp("motd", "c:/gone/x", rc=125).err


@pytest.mark.parametrize("state", STATES)
def test_read_only_container(rootlet, home, cp, state):
    make(rootlet, state, "--read-only", "-v", "data:/data", "--tmpfs", "/tmp")
    rootlet.shell(f"echo x >{home}/f")
    assert "Read-only file system" in cp("f", "c:/f", rc=125).err
    cp("f", "c:/data/f")
    cp("c:/data/f", "c:/data/g")
    assert inside(rootlet, "cat /data/g") == "x\n"


def test_between_containers(rootlet, cp):
    """With different maps; one that was never started; within one."""
    make(rootlet, "running", script="mkdir /d; echo one >/d/f; chown 7 /d/f; chmod 4711 /d/f", name="a")
    rootlet.ok("create", "--name", "b", "--userns", "auto", rootlet.image(), "sleep", "100")
    cp("a:/d", "b:/")
    cp("b:/d", "a:/e")
    cp("-a", "a:/d/.", "b:/etc")
    assert inside(rootlet, "cat /d/f; stat -c '%u %a' /d/f /etc/f", "b") == "one\n0 4711\n7 4711\n"
    assert inside(rootlet, "cat /e/f", "a") == "one\n"
    rootlet.ok("stop", "-t", "0", "b")
    cp("b:/d/f", "b:/g")
    assert inside(rootlet, "cat /g", "b") == "one\n"
    assert "to itself" in cp("a:/d", "a:/d/sub", rc=125).err


def test_paused_and_without_supervisor(rootlet, home, cp):
    make(rootlet, "running")
    rootlet.shell(f"echo x >{home}/f")
    state = rootlet.inspect("c")["State"]
    os.kill(state["ConmonPid"], signal.SIGKILL)
    cp("f", "c:/f")
    assert pathlib.Path(f"/proc/{state['Pid']}/root/f").read_text() == "x\n"
    cp("c:/f", "g")


@pytest.mark.parametrize("args, words", [
    (["f", "g"], ["in a container"]),
    (["nosuch:/x", "g"], ["no such container", "nosuch"]),
    (["./c:f", "g"], ["in a container"]),
    (["c:/x", "c2:/y"], ["no such container", "c2"]),
    (["x:b", "c:/"], ["no such container", "./x:b"]),
    (["c:/no\x1b[31m", "x"], ["No such file", r"\x1b"]),
    (["", "c:/x"], ["empty"]),
])
def test_errors(rootlet, home, cp, args, words):
    rootlet.ok("create", "--name", "c", rootlet.image(), "true")
    rootlet.shell(f"cd {home} && echo x >f && echo x >x:b && echo x >./c:f")
    r = cp(*args, rc=125)
    assert r.err.startswith("Error: cp") and all(w in r.err for w in words) and "\x1b" not in r.err, r
    cp("./x:b", "c:/ab")


# ---- tar -------------------------------------------------------------------------------------------

@rows("A61")
@pytest.mark.parametrize("state", STATES)
def test_tar_out_and_in(rootlet, home, cp, state):
    """A tar for any tar: names below the source's own, numbers of owners, holes."""
    rootlet.shell(f"cd {home} && {AWKWARD}")
    make(rootlet, state)
    cp("t", "c:/tmp")
    data = rootlet("cp", "c:/tmp/t", "-", rc=0, binary=True).out
    assert len(data) < 100_000
    with tarfile.open(fileobj=io.BytesIO(data)) as t:
        members = {m.name: m for m in t.getmembers()}
        assert members["t/sparse"].size == 3 * 2**30 + 3 and members["t/sub/hard"].size + members["t/plain"].size == 5
        assert members["t/suid"].mode == 0o4755 and members["t/up"].linkname == "../../../x"
    with tarfile.open(fileobj=io.BytesIO(rootlet("cp", "c:/tmp/t/.", "-", rc=0, binary=True).out)) as t:
        assert "./plain" in t.getnames()
    with tarfile.open(fileobj=io.BytesIO(rootlet("cp", "c:/tmp/t/plain", "-", rc=0, binary=True).out)) as t:
        assert t.getnames() == ["plain"] and t.extractfile("plain").read() == b"hello"
    (home / "t.tar").write_bytes(data)
    assert set(rootlet.shell(f"cd {home} && mkdir x && tar xf t.tar -C x 2>&1; stat -c '%s %b' x/t/sparse").
               out.split()) >= {str(3 * 2**30 + 3)}
    cp("-", "c:/var", input=gzip.compress(data))
    cp("c:/var/t", "back")
    strip = {k: (oct(int(v[0], 8) & ~0o6000), *v[1:]) for k, v in listing(home / "t").items()}
    assert listing(home / "back") == strip
    assert (home / "back/sparse").stat().st_blocks < 100


def hostile_tar(name):
    t = images.Tar()
    if name == "dotdot":
        t.add_file("../../../../../../tmp/owned", "x")
    elif name == "absolute":
        t.add_file("/etc/owned", "x")
    elif name == "link then file":
        t.add_link("l", "/").add_file("l/tmp/owned", "x")
    elif name == "hard link out":
        t.add_link("h", "../../../../etc/passwd", hard=True)
    elif name == "hard link through":
        t.add_link("l", "/etc").add_link("h", "l/passwd", hard=True)
    elif name == "device":
        info = t._info("dev", 0o666, 0, 0)  # pylint: disable=protected-access
        info.type, info.devmajor, info.devminor = tarfile.CHRTYPE, 1, 3
        t.tar.addfile(info)
    elif name == "file over directory":
        t.add_file("sub", "x")
    elif name == "cut off":
        t.add_file("f", b"x" * 10000)
        t.tar.close()
        return t.buffer.getvalue()[:4096]
    elif name == "garbage":
        return os.urandom(4096)
    elif name == "bad gzip":
        return gzip.compress(b"x" * 1000)[:-20]
    t.tar.close()
    return t.buffer.getvalue()


@rows("A61", "A4")
@pytest.mark.parametrize("name, words", [
    ("dotdot", '".."'), ("absolute", "absolute path"), ("link then file", None), ("hard link out", '".."'),
    ("hard link through", None), ("device", None), ("file over directory", "not replaced"),
    ("cut off", "truncated|cut"), ("garbage", "damaged|unrecognized"), ("bad gzip", "gzip|damaged|truncated|cut"),
])
def test_hostile_tar(rootlet, home, cp, name, words):
    """Whatever the stream says: in the container, or refused; never on the host, and no hang."""
    rootlet.ok("create", "--name", "c", rootlet.image(), "true")
    rootlet.shell(f"cd {home} && mkdir -p t/sub && echo canary >canary")
    cp("t/.", "c:/opt")
    r = cp("-", "c:/opt", input=hostile_tar(name), rc=125 if words else 0, timeout=20)
    if words:
        assert r.err.startswith("Error: cp ") and any(w in r.err.lower() for w in words.split("|")), r
    assert not pathlib.Path("/tmp/owned").exists() and not pathlib.Path("/etc/owned").exists()
    if name == "link then file":
        cp("c:/tmp/owned", "owned")
    assert (home / "canary").read_text() == "canary\n"


def test_tar_through_links_of_the_container(rootlet, home, cp):
    """A merged /usr: bin/tool goes where /bin leads to."""
    make(rootlet, "running", script="mkdir -p /m/usr/bin; ln -s usr/bin /m/bin; ln -s /m/usr/bin /m/abs")
    t = images.Tar().add_file("bin/tool", "x").add_file("abs/tool2", "y").add_file("made/for/it", "z")
    t.tar.close()
    cp("-", "c:/m", input=t.buffer.getvalue())
    assert inside(rootlet, "cd /m; cat usr/bin/tool usr/bin/tool2 made/for/it") == "xyz"
    r = cp("-", "c:/nowhere", input=t.buffer.getvalue(), rc=125)
    assert "No such file" in r.err


def test_tar_and_terminal(rootlet):
    rootlet.ok("create", "--name", "c", rootlet.image(), "true")
    for args in (["cp", "c:/etc", "-"], ["cp", "-", "c:/etc"]):
        t = rootlet.pty(*args)
        assert t.wait() == 125 and "terminal" in t.output


# ---- ends -------------------------------------------------------------------------------------------

@rows("R5")
def test_no_space(rootlet, home, cp):
    """The error names what was written; there is no part of it, and the old one stays."""
    make(rootlet, "running", "--tmpfs", "/t:size=1m", script="echo old >/t/f")
    rootlet.shell(f"head -c 4000000 /dev/zero >{home}/big; mkdir {home}/d; cp {home}/big {home}/d/n")
    for source in ("big", "d"):
        r = cp(source, "c:/t/f" if source == "big" else "c:/t", rc=125)
        assert "No space left" in r.err and '"' in r.err, r
    assert inside(rootlet, "cat /t/f; find /t -type f; df /t | tail -1 | tr -s ' ' | cut -d' ' -f3") == \
        "old\n/t/f\n4\n"


@rows("R1")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_interrupted(rootlet, how):
    """Half of a tar: what is complete is there, the rest is not, nor is any process."""
    make(rootlet, "running")
    t = images.Tar().add_file("first", "whole").add_file("second", b"y" * 3_000_000)
    t.tar.close()
    before = set(rootlet.user.processes())
    p = rootlet.spawn("cp", "-", "c:/tmp", text=False, errors=None)
    p.stdin.write(t.buffer.getvalue()[:2_000_000])
    p.stdin.flush()
    rootlet.wait_for(lambda: rootlet("exec", "c", "test", "-e", "/tmp/first").rc == 0)
    p.send_signal(how)
    assert p.wait(60) == -how
    rootlet.wait_for(lambda: set(rootlet.user.processes()) <= before)
    assert inside(rootlet, "cat /tmp/first; ls -A /tmp") == "wholefirst\n"


@rows("R1")
def test_killed_with_a_stopped_container(rootlet):
    """The mount goes with its processes: the container starts."""
    make(rootlet, "stopped")
    p = rootlet.spawn("cp", "-", "c:/tmp", text=False, errors=None)
    t = images.Tar().add_file("first", "whole").add_file("second", b"y" * 300_000)
    t.tar.close()
    p.stdin.write(t.buffer.getvalue()[:200_000])
    p.stdin.flush()
    rootlet.wait_for(lambda: (rootlet.store.root / "containers" / rootlet.inspect("c")["Id"] /
                              "upper/tmp/first").exists())
    r = rootlet("cp", "-", "c:/tmp", input=b"", rc=125)
    assert "another command" in r.err, r
    p.kill()
    p.wait()
    assert inside(rootlet, "cat /tmp/first; ls -A /tmp") == "wholefirst\n"


@rows("R15")
def test_hostile_trees(rootlet, home, cp):
    """Too deep for any path, growing without end, and full of holes: an end in time, and an error or
    a copy that is no larger than what there was."""
    make(rootlet, "running", script="""
        p=$(i=0; while [ $i -lt 15 ]; do printf '%0200d/' 1; i=$((i+1)); done)
        mkdir -p /deep/$p /a/$p /grow /holes; mv /a /deep/$p; truncate -s 4096G /holes/f""")
    rootlet.ok("exec", "-d", "c", "sh", "-c", "while :; do echo xxxxxxxxxxxxxxxxxxx; done >/grow/log")
    r = cp("c:/deep", "deep", rc=125, timeout=20)
    assert "name too long" in r.err
    cp("c:/grow", "grow", timeout=20)
    cp("c:/holes", "holes", timeout=20)
    st = (home / "holes/f").stat()
    assert st.st_size == 4 * 2**40 and st.st_blocks == 0
    data = rootlet("cp", "c:/holes", "-", rc=0, timeout=20, binary=True).out
    assert len(data) < 100_000


def test_progress_on_a_terminal_only(rootlet, home):
    """A line after a second, gone at the end; none in a pipe."""
    make(rootlet, "running")
    fifo = home / "in"
    rootlet.shell(f"mkfifo {fifo}")
    t = images.Tar().add_file("a", b"x" * 1_000_000).add_file("b", b"x" * 1_000_000)
    t.tar.close()
    data = t.buffer.getvalue()
    p = rootlet.pty("-c", f"exec {rootlet.program} cp - c:/tmp <{fifo}", program="/bin/sh")
    with open(fifo, "wb", buffering=0) as f:
        at = 0
        while "files copied" not in p.output and at < len(data):  # as it comes in, a second after the start
            f.write(data[at:at + 2000])
            at += 2000
            p._read(0.05)
        f.write(data[at:])
    assert p.wait() == 0
    assert "files copied" in p.output and p.output.endswith("\r\x1b[K")


def test_start_cost(rootlet, home, cp):
    """A small file costs a small time; the bound is a wide one, for busy machines."""
    make(rootlet, "running")
    rootlet.shell(f"echo x >{home}/f")
    best = min(cp("f", "c:/tmp/f").seconds for _ in range(5))
    assert best < 0.5 * runner.PATIENCE

