"""COPY and ADD: what is selected, where it goes, what the layer holds. By tests/tools/build-tool; whole builds, and the
same ones by buildah, are elsewhere."""
import bz2
import functools
import gzip
import hashlib
import http.server
import io
import lzma
import os
import pathlib
import subprocess
import tarfile
import threading

import pytest

from lib import host

TOOL = host.BUILDDIR / "tests/tools/build-tool"
pytestmark = pytest.mark.skipif(not TOOL.exists(), reason="build-tool is not built (make check builds it)")


def make(top, tree):
    """path: text, or ("link", target), ("fifo",), ("mode", 0o755, text); a path that ends in / is a directory."""
    for path, what in tree.items():
        at = top / path
        at.parent.mkdir(parents=True, exist_ok=True)
        if path.endswith("/"):
            at.mkdir(parents=True, exist_ok=True)
            at.chmod(what or 0o755)
        elif isinstance(what, str):
            at.write_text(what)
            at.chmod(0o644)
        elif isinstance(what, bytes):
            at.write_bytes(what)
        elif what[0] == "link":
            at.symlink_to(what[1])
        elif what[0] == "fifo":
            os.mkfifo(at)
        else:
            at.write_text(what[2])
            at.chmod(what[1])
    return top


def run(*args, stdin=None):
    return subprocess.run([TOOL, *map(str, args)], capture_output=True, check=False, timeout=60, input=stdin,
                          env=os.environ | {"ROOTLET_LIBEXEC": str(host.BUILDDIR)},
                          stdin=None if stdin is not None else subprocess.DEVNULL)


def members(data):
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        return [(m, tar.extractfile(m).read() if m.isreg() else b"") for m in tar]


def show(data):
    """One word for each entry: path/, path, path->link, path=hard link."""
    out = []
    for m, _ in members(data):
        out.append(m.name + ("/" if m.isdir() else f"->{m.linkname}" if m.issym() else f"={m.linkname}"
                             if m.islnk() else "|" if m.isfifo() else ""))
    return " ".join(out)


CONTEXT = {
    "a.txt": "a", "b.txt": "b", "c.md": "c", "run": ("mode", 0o755, "#!"),
    "dir/x": "x", "dir/y/z": "z", "dir/y/.hidden": "h", "dir/empty/": 0o700,
    "link": ("link", "a.txt"), "linkdir": ("link", "dir"), "out": ("link", "../../../etc/passwd"),
    "abs": ("link", "/a.txt"), "dir/in": ("link", "../a.txt"), "[x]": "bracket", "loop": ("link", "loop"),
}
IMAGE = {
    "usr/bin/sh": "", "bin": ("link", "usr/bin"), "var/run": ("link", "/run"), "file": "f", "data/": 0o750,
    "etc/passwd": "root:x:0:0::/:\nbin:x:2:3::/:\napp:x:1000:1001::/:\n", "etc/group": "staff:x:50:\n",
    "up": ("link", "../../../usr"), "app/lib": ("link", "/usr"), "loop": ("link", "loop"),
}
CASES = [
    ("COPY a.txt /", "a.txt"),
    ("COPY a.txt /new", "new"),
    ("COPY a.txt /new/", "new/ new/a.txt"),
    ("COPY a.txt /bin", "usr/ usr/bin/ usr/bin/a.txt"),
    ("COPY a.txt /bin/x", "usr/ usr/bin/ usr/bin/x"),
    ("COPY a.txt /file", "file"),
    ("COPY a.txt /data", "data/ data/a.txt"),
    ("COPY a.txt rel", "w/ w/rel"),
    ("COPY a.txt ./", "w/ w/a.txt"),
    ("COPY a.txt .", "w/ w/a.txt"),
    ("COPY a.txt ../x/../y", "y"),
    ("COPY a.txt /var/run/x", "run/ run/x"),
    ("COPY a.txt /up/x", "usr/ usr/x"),
    ("COPY a.txt b.txt /d/", "d/ d/a.txt d/b.txt"),
    ("COPY *.txt /d/", "d/ d/a.txt d/b.txt"),
    ("COPY *.txt /data", "data/ data/a.txt data/b.txt"),
    ("COPY ?.md none* /d/", "d/ d/c.md"),
    ("COPY [ab].txt /d/", "d/ d/a.txt d/b.txt"),
    ("COPY [^a].txt /d/", "d/ d/b.txt"),
    ("COPY [[]x] /d/", "d/ d/[x]"),
    ('COPY ["\\\\[x]", "/d/"]', "d/ d/[x]"),
    ("COPY d*/x /d/", "d/ d/x"),
    ("COPY dir /d", "d/ d/empty/ d/in->../a.txt d/x d/y/ d/y/.hidden d/y/z"),
    ("COPY dir/ /d/", "d/ d/empty/ d/in->../a.txt d/x d/y/ d/y/.hidden d/y/z"),
    ("COPY dir a.txt /d/", "d/ d/empty/ d/in->../a.txt d/x d/y/ d/y/.hidden d/y/z d/a.txt"),
    ("COPY dir/y /bin/", "usr/ usr/bin/ usr/bin/.hidden usr/bin/z"),
    ("COPY linkdir/y /d", "d/ d/.hidden d/z"),
    ("COPY link /d/", "d/ d/link"),
    ("COPY abs /d/", "d/ d/abs"),
    ("COPY ../../a.txt /d/", "d/ d/a.txt"),
    ("COPY --parents dir/y/z a.txt /d/", "d/ d/dir/ d/dir/y/ d/dir/y/z d/a.txt"),
    ("COPY --parents dir/./y/z /d", "d/ d/y/ d/y/z"),
    ("COPY --parents dir/./y /d", "d/ d/y/ d/y/.hidden d/y/z"),
    ("COPY --exclude=y dir /d", "d/ d/empty/ d/in->../a.txt d/x"),
    ("COPY --exclude=**/z --exclude=empty dir /d", "d/ d/in->../a.txt d/x d/y/ d/y/.hidden"),
    ("COPY --exclude=* --exclude=!y/z dir /d", "d/ d/y/ d/y/z"),
    ("COPY --exclude=a.* *.txt /d/", "d/ d/b.txt"),
    ("COPY --link a.txt /bin/", "usr/ usr/bin/ usr/bin/a.txt"),
    ("COPY <<EOF <<b /d/\n1\nEOF\n2\nb", "d/ d/EOF d/b"),
    ("COPY <<EOF /d\n1\nEOF", "d"),
    ("ADD a.txt dir/y /d/", "d/ d/a.txt d/.hidden d/z"),
]
REFUSED = [
    ("COPY nope /d", 'there is no "nope"'),
    ("COPY *.nope /d", "no file matches"),
    ("COPY a.txt b.txt /d", 'several sources, but the destination "/d" is not a directory'),
    ("COPY *.txt /d", 'several files match, but "/d" is no directory'),
    ("COPY a.txt /file/", "/file of the image: Not a directory"),
    ("COPY a.txt /file/x", "/file: Not a directory"),
    ("COPY a.txt /loop/x", "Too many levels"),
    ("COPY loop /d", "Too many levels"),
    ("COPY out /d", 'there is no "out"'),
    ("COPY dir /file", "/file of the image: Not a directory"),
    ("COPY --chown=nobody2 a.txt /d", "--chown=nobody2"),
    ("COPY --chmod=999 a.txt /d", "--chmod=999: not a mode"),
    ("COPY --chmod=u~x a.txt /d", "--chmod=u~x: not a mode"),
    ("COPY [a /d", 'pattern "[a": not valid'),
]


@pytest.fixture(scope="module", name="place")
def fixture_place(tmp_path_factory):
    top = tmp_path_factory.mktemp("copy")
    make(top / "c", CONTEXT)
    make(top / "image", IMAGE)
    return top


def copy(place, instruction, image="image", how="copy", epoch=-1, workdir="/w"):
    return run(how, place / "c", place / image if image != "-" else "-", workdir, epoch, instruction)


@pytest.mark.parametrize("instruction, want", CASES, ids=[c[0] for c in CASES])
def test_where_it_goes(place, instruction, want):
    r = copy(place, instruction)
    assert r.returncode == 0, r.stderr
    assert show(r.stdout) == want


@pytest.mark.parametrize("instruction, why", REFUSED, ids=[c[0] for c in REFUSED])
def test_refused(place, instruction, why):
    r = copy(place, instruction)
    assert r.returncode == 125 and why in r.stderr.decode(), r.stderr


def facts(data):
    return {m.name: (oct(m.mode)[2:], m.uid, m.gid) for m, _ in members(data)}


def test_owners_and_modes(place):
    assert facts(copy(place, "COPY run dir /d/").stdout) | {"d/x": ("644", 0, 0)} == {
        "d": ("755", 0, 0), "d/run": ("755", 0, 0), "d/x": ("644", 0, 0), "d/y": ("755", 0, 0), "d/in": ("777", 0, 0),
        "d/y/z": ("644", 0, 0), "d/y/.hidden": ("644", 0, 0), "d/empty": ("700", 0, 0)}
    assert facts(copy(place, "COPY --chown=bin a.txt /n/").stdout) == {"n": ("755", 2, 3), "n/a.txt": ("644", 2, 3)}
    assert facts(copy(place, "COPY --chown=app:staff a.txt /n").stdout) == {"n": ("644", 1000, 50)}
    assert facts(copy(place, "COPY --chown=7 a.txt /n", image="-").stdout) == {"n": ("644", 7, 7)}
    assert facts(copy(place, "COPY --chown=7:0 --chmod=4711 a.txt /n").stdout) == {"n": ("4711", 7, 0)}
    assert facts(copy(place, "COPY --chmod=u=rwX,go=rX,a-w dir/empty run a.txt /n/").stdout) == {
        "n": ("555", 0, 0), "n/run": ("555", 0, 0), "n/a.txt": ("444", 0, 0)}
    # What the image has keeps its own.
    assert facts(copy(place, "COPY --chown=7 --chmod=777 a.txt /data/").stdout) == {
        "data": ("750", os.getuid(), os.getgid()), "data/a.txt": ("777", 7, 7)}
    r = copy(place, "COPY --chown=bin a.txt /n", image="-")
    assert r.returncode == 125 and b"it has no names" in r.stderr


def test_content_times_and_links(place):
    os.utime(place / "c/a.txt", (0, 1000))
    got = {m.name: (m.mtime, text) for m, text in members(copy(place, "COPY a.txt b.txt /d/", epoch=2000).stdout)}
    assert got == {"d": (2000, b""), "d/a.txt": (1000, b"a"), "d/b.txt": (2000, b"b")}
    first = copy(place, "COPY . /d/", epoch=5, image="-").stdout
    assert first == copy(place, "COPY . /d/", epoch=5, image="-").stdout
    os.link(place / "c/b.txt", place / "c/dir/y/hard")
    try:
        assert "d/y/hard=d/b.txt" in show(copy(place, "COPY b.txt dir /d/").stdout)
    finally:
        (place / "c/dir/y/hard").unlink()


def test_hash_is_of_content_not_of_time(place):
    def hashed(what="COPY dir a.txt /d/"):
        r = run("hash", place / "c", "-", "-", -1, what)
        assert r.returncode == 0 and r.stdout.startswith(b"sha256:"), r.stderr
        return r.stdout
    first, a = hashed(), place / "c/a.txt"
    os.utime(a, (1, 1))
    assert hashed() == first
    a.chmod(0o600)
    assert hashed() != first
    a.chmod(0o644)
    assert hashed() == first
    a.write_text("A")
    assert hashed() != first
    a.write_text("a")
    (place / "c/dir/new").write_text("")
    assert hashed() != first
    (place / "c/dir/new").rename(place / "c/dir/new2")
    assert hashed() != first
    (place / "c/dir/new2").unlink()
    assert hashed() == first != hashed("COPY dir b.txt /d/")


def test_special_files(tmp_path):
    make(tmp_path / "c", {"d/f": "x", "d/p": ("fifo",), "q": ("fifo",)})
    with open(os.devnull, "rb"):
        r = copy(tmp_path, "COPY d /d/", image="-")
    assert show(r.stdout) == "d/ d/f d/p|"
    r = copy(tmp_path, "COPY q /d/", image="-")  # a reader would wait for ever
    assert r.returncode == 125 and b'"q" is neither a file nor a directory' in r.stderr


def test_links_of_the_context_never_leave_it(tmp_path):
    make(tmp_path, {"secret/key": "s", "c/d": ("link", "../secret"), "c/e": ("link", "/secret"), "c/f": "x",
                    "c/up/l": ("link", "../../secret/key")})
    for what in ("d/key", "e/key", "d", "e", "../secret/key", "up/l"):
        r = copy(tmp_path, f"COPY {what} /x/", image="-")
        assert r.returncode == 125 and b"there is no" in r.stderr, (what, r.stderr)
    assert show(copy(tmp_path, "COPY up /x/", image="-").stdout) == "x/ x/l->../../secret/key"


def test_a_tree_over_an_image_follows_its_links_inside(place, tmp_path):
    make(tmp_path / "c", {"bin/tool": "t", "app/lib/bin/x": "x", "var/run/pid": "1"})
    r = run("copy", tmp_path / "c", place / "image", "/", -1, "COPY . /")
    assert {m.name for m, _ in members(r.stdout) if m.isreg()} == {"usr/bin/x", "usr/bin/tool", "run/pid"}
    make(tmp_path / "d", {"bin": "not a directory"})
    r = run("copy", tmp_path / "d", place / "image", "/", -1, "COPY . /")
    assert show(r.stdout) == "bin"  # the link is replaced, as a tar would
    make(tmp_path / "e", {"data": "x"})
    r = run("copy", tmp_path / "e", place / "image", "/", -1, "COPY . /")
    assert r.returncode == 125 and b"/data of the image: Is a directory" in r.stderr


def test_a_stage_keeps_owners(tmp_path):
    make(tmp_path / "c", {"a": "a", "d/b": "b"})
    if host.is_root():
        os.chown(tmp_path / "c/a", 5, 6)
        os.chown(tmp_path / "c/d", 7, 8)
    want = {"x/a": (5, 6), "x/d": (7, 8)} if host.is_root() else {"x/a": (os.getuid(), os.getgid())}
    got = {k: v[1:] for k, v in facts(copy(tmp_path, "COPY --from=s . /x/", how="stage", image="-").stdout).items()}
    assert got.items() >= want.items()
    got = facts(copy(tmp_path, "COPY --from=s --chown=1:2 . /x/", how="stage", image="-").stdout)
    assert {v[1:] for v in got.values()} == {(1, 2)}


def tar_of(*entries):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, text in entries:
            m = tarfile.TarInfo(name)
            m.uid, m.gid, m.mtime, m.mode = 3, 4, 77, 0o640
            if kind == "f":
                m.size = len(text)
                tar.addfile(m, io.BytesIO(text))
                continue
            m.type = {"d": tarfile.DIRTYPE, "l": tarfile.SYMTYPE, "h": tarfile.LNKTYPE, "c": tarfile.CHRTYPE}[kind]
            m.linkname = text or ""
            tar.addfile(m)
    return out.getvalue()


ARCHIVE = tar_of(("./", "d", ""), ("bin/", "d", ""), ("bin/x", "f", b"1" * 100000), ("./d/é", "f", b""),
                 ("d/l", "l", "/etc/passwd"), ("d/h", "h", "bin/x"), ("dev", "c", ""))


def zstd(data):
    return subprocess.run(["zstd", "-q", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress, zstd],
                         ids=["tar", "gzip", "bzip2", "xz", "zstd"])
def test_add_unpacks_archives(place, tmp_path, pack):
    make(tmp_path / "c", {"a.bin": pack(ARCHIVE), "text": "not an archive"})
    r = run("copy", tmp_path / "c", place / "image", "/", -1, "ADD a.bin text /")
    assert r.returncode == 0, r.stderr
    got = {m.name: (m, t) for m, t in members(r.stdout)}
    assert {n for n, (m, _) in got.items() if not m.isdir()} == {"usr/bin/x", "d/é", "d/l", "d/h", "text"}
    m, text = got["usr/bin/x"]
    assert (m.uid, m.gid, m.mode, m.mtime, text) == (3, 4, 0o640, 77, b"1" * 100000)
    assert got["d/h"][0].linkname == "usr/bin/x" and got["d/l"][0].linkname == "/etc/passwd"
    r = run("copy", tmp_path / "c", place / "image", "/", -1, "COPY a.bin /")
    assert show(r.stdout) == "a.bin"
    r = run("copy", tmp_path / "c", place / "image", "/", -1, "ADD --unpack=false a.bin /")
    assert show(r.stdout) == "a.bin"
    r = run("copy", tmp_path / "c", "-", "/", -1, "ADD --chown=9:9 --chmod=700 a.bin /new")
    assert {v for k, v in facts(r.stdout).items() if k not in ("new", "new/d", "new/d/l")} == {("700", 9, 9)}


@pytest.mark.parametrize("data", [
    tar_of(("../x", "f", b"")), tar_of(("a/../../x", "f", b"")), tar_of(("h", "h", "../../etc/passwd")),
], ids=["up", "up-inside", "hard-link"])
def test_hostile_archives(tmp_path, data):
    make(tmp_path / "c", {"a.tar": data})
    r = copy(tmp_path, "ADD a.tar /d/", image="-")
    assert r.returncode == 125 and b'leaves it by ".."' in r.stderr, r.stderr


def test_damaged_archives(tmp_path):
    make(tmp_path / "c", {"a.tgz": gzip.compress(ARCHIVE)[:-30], "b.gz": gzip.compress(b"no tar"), "c.gz": b"\x1f\x8b" * 300,
                          "empty": "", "zero": b"\0" * 4096})
    r = copy(tmp_path, "ADD a.tgz /d/", image="-")
    assert r.returncode == 125 and b"damaged archive" in r.stderr, r.stderr
    r = copy(tmp_path, "ADD b.gz c.gz empty zero /d/", image="-")
    assert show(r.stdout) == "d/ d/b.gz d/c.gz d/empty d/zero"


def test_a_link_of_the_archive_leads_nowhere(tmp_path):
    """The layer's unpacker resolves in its root; here the path must only stay as it is."""
    make(tmp_path / "c", {"a.tar": tar_of(("l", "l", "/tmp"), ("l/x", "f", b"x"))})
    r = copy(tmp_path, "ADD a.tar /d/", image="-")
    assert show(r.stdout) == "d/ d/l->/tmp d/l/ d/l/x"


IGNORES = [
    ("", "a.txt b.txt sub/c.txt sub/deep/d.log x/y"),
    ("# all\n*.txt", "sub/c.txt sub/deep/d.log x/y"),
    ("**/*.txt", "sub/deep/d.log x/y"),
    ("sub", "a.txt b.txt x/y"),
    ("/sub/", "a.txt b.txt x/y"),
    ("sub/deep\n ./x ", "a.txt b.txt sub/c.txt"),
    ("*\n!a.txt", "a.txt"),
    ("*\n!sub/deep/d.log", "sub/deep/d.log"),
    ("*\n!sub", "sub/c.txt sub/deep/d.log"),
    ("*\n!sub\nsub/deep", "sub/c.txt"),
    ("!a.txt\n*.txt", "sub/c.txt sub/deep/d.log x/y"),
    ("**/deep", "a.txt b.txt sub/c.txt x/y"),
    ("s*/*.txt", "a.txt b.txt sub/deep/d.log x/y"),
    ("s?b/**", "a.txt b.txt x/y"),
    ("[ab].txt", "sub/c.txt sub/deep/d.log x/y"),
    ("../a.txt\nx/../b.txt", "a.txt sub/c.txt sub/deep/d.log x/y"),
    ("**\n!**/*.log", "sub/deep/d.log"),
    ("**/y\n**/*.log\n.*", "a.txt b.txt sub/c.txt"),
]


@pytest.mark.parametrize("name", [".dockerignore", ".containerignore"])
@pytest.mark.parametrize("rules, want", IGNORES, ids=[repr(i[0]) for i in IGNORES])
def test_ignore_files(tmp_path, rules, want, name):
    make(tmp_path / "c", {p: "" for p in ("a.txt", "b.txt", "sub/c.txt", "sub/deep/d.log", "x/y")} | {name: rules})
    r = copy(tmp_path, "COPY . /", image="-")
    if r.returncode:
        assert not want and b"no file" in r.stderr
        return
    assert " ".join(m.name for m, _ in members(r.stdout) if m.isreg() and not m.name.startswith(".")) == want


def test_what_is_ignored_is_not_there(tmp_path):
    make(tmp_path / "c", {"a": "a", "d/b": "b", "l": ("link", "a"), ".dockerignore": "a\nd"})
    for what in ("a", "d", "d/b", "l"):
        r = copy(tmp_path, f"COPY {what} /x", image="-")
        assert r.returncode == 125 and b"is left out by the ignore file" in r.stderr and b"!" in r.stderr, r.stderr


def context(where, *, file="", scratch, stdin=None):
    scratch.mkdir(exist_ok=True)
    r = run("context", where, file, scratch, 0, 0, stdin=stdin)
    return r.stdout.decode() if r.returncode == 0 else r.stderr.decode()


def test_contexts(tmp_path):
    s = tmp_path / "s"
    c = make(tmp_path / "c", {"Dockerfile": "FROM d", "Other": "FROM o", "Other.dockerignore": "x", ".dockerignore": "y"})
    assert context(c, scratch=s) == "name Dockerfile\nignore .dockerignore\nfiles yes\nFROM d"
    (c / "Containerfile").write_text("FROM c")
    (c / "Containerfile.containerignore").write_text("")
    assert context(c, scratch=s) == "name Containerfile\nignore Containerfile.containerignore\nfiles yes\nFROM c"
    assert context(c, file=c / "Other", scratch=s) == f"name Other\nignore {c}/Other.dockerignore\nfiles yes\nFROM o"
    assert context(c, file="Other", scratch=s).endswith("FROM o")  # not here, so it is one of the context's
    make(tmp_path, {"out": "FROM out"})
    assert context(c, file=tmp_path / "out", scratch=s) == "name out\nignore .dockerignore\nfiles yes\nFROM out"
    assert context(c, file="-", scratch=s, stdin=b"FROM i").startswith("name stdin\nignore .dockerignore\nfiles yes\n")
    assert context("-", scratch=s, stdin=b"FROM i\n") == "name stdin\nignore -\nfiles no\nFROM i\n"
    for pack in (bytes, gzip.compress):
        tar = pack(tar_of(("Dockerfile", "f", b"FROM t"), ("sub/l", "l", "/etc"), ("sub/l/x", "f", b"x"),
                          (".dockerignore", "f", b"z")))
        t = tmp_path / pack.__name__
        assert context("-", scratch=t, stdin=tar) == "name Dockerfile\nignore .dockerignore\nfiles yes\nFROM t"
        assert (t / "context/etc/x").exists() and not pathlib.Path("/etc/x").exists()
    make(tmp_path, {"none/x": "", "evil/Containerfile": ("link", "../out")})
    for where, file, want in (
            (tmp_path / "none", "", "neither a Containerfile nor a Dockerfile"), (tmp_path / "nope", "", "No such file"),
            (c, "nope", "Containerfile nope"), (c / "Dockerfile", "", "a Containerfile is given by -f"),
            (tmp_path / "evil", "", "neither a Containerfile"), ("https://example.com/x.git", "", "git clone it"),
            ("git@example.com:x", "", "git clone it"), ("https://example.com/x.git#main:dir", "", "git clone it"),
    ):
        assert want in context(where, file=file, scratch=s), (where, file)
    assert "cannot be the context and" in context("-", file="-", scratch=tmp_path / "s2", stdin=b"x")


def test_archives_are_read_in_time(tmp_path):
    """A file of many holes, and a deep tree: bounded, and the child is gone after."""
    deep = make(tmp_path / "c", {"/".join(["d"] * 380) + "/f": "x"})
    r = copy(tmp_path, "COPY . /", image="-")
    assert r.returncode == 0 and len(members(r.stdout)) == 381
    make(deep, {"/".join(["d"] * 500) + "/f": "x"})
    r = copy(tmp_path, "COPY . /", image="-")
    assert r.returncode == 125 and b"deeper than 400 directories" in r.stderr


@pytest.fixture(scope="module", name="web")
def fixture_web(tmp_path_factory):
    top = make(tmp_path_factory.mktemp("web"), {"d/f.txt": "from the web"})
    (top / "c.tgz").write_bytes(gzip.compress(tar_of(("Containerfile", "f", b"FROM web"))))

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(top)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_add_from_the_web(web, tmp_path):
    make(tmp_path / "c", {"x": ""})
    digest = hashlib.sha256(b"from the web").hexdigest()
    r = run("copy", tmp_path / "c", "-", "/", 5, f"ADD --checksum=sha256:{digest} {web}/d/f.txt?x=y/z /d/")
    assert r.returncode == 0, r.stderr
    assert show(r.stdout) == "d/ d/f.txt" and facts(r.stdout)["d/f.txt"] == ("600", 0, 0)
    assert members(r.stdout)[1][1] == b"from the web"
    for what, why in ((f"{web}/none /d", "answers 404"), (f"--checksum=sha256:{'0' * 64} {web}/d/f.txt /d", "its digest is"),
                      ("--checksum=sha256:1 x /d", "exactly one"), ("git@example.com:x/y /d", "a git repository"),
                      (f"--checksum=md5:1 {web}/d/f.txt /d", "--checksum")):
        r = run("copy", tmp_path / "c", "-", "/", 5, f"ADD {what}")
        assert r.returncode == 125 and why in r.stderr.decode(), r.stderr
    assert context(f"{web}/c.tgz", scratch=tmp_path / "s").endswith("FROM web")
