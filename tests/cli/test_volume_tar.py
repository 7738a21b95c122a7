"""volume export and import."""
import io
import tarfile

from lib import rows

FILL = ("mkdir -m 700 /d/own; echo one > /d/own/f; chown -R 33:34 /d/own; ln -s own/f /d/link; ln /d/own/f /d/hard;"
        "mkfifo /d/fifo; chmod 711 /d; touch -d 2001-02-03 /d/own/f")
LIST = "cd /d; find . | sort | xargs stat -c '%N %a %u %g %h %F'; cat own/f; stat -c %Y own/f"


def members(data):
    with tarfile.open(fileobj=io.BytesIO(data)) as t:
        return {m.name: m for m in t.getmembers()}


@rows("A32")
def test_there_and_back(rootlet):
    """Owners, modes, times and links are the same afterwards; to a file, a pipe, compressed."""
    box = rootlet.image()
    rootlet.ok("run", "--rm", "-v", "one:/d", box, "sh", "-c", FILL)
    before = rootlet.ok("run", "--rm", "-v", "one:/d", box, "sh", "-c", LIST).out
    data = rootlet.ok("volume", "export", "one", binary=True).out
    found = members(data)
    assert (found["own"].uid, found["own"].gid, found["own"].mode) == (33, 34, 0o700)
    assert found["link"].issym() and found["fifo"].isfifo()
    assert "." in found["link"].pax_headers["mtime"]
    file = rootlet.user.home / "one.tar"
    assert rootlet.ok("volume", "export", "-o", file, "one").out == ""
    assert file.read_bytes() == data
    rootlet.ok("volume", "create", "two")
    rootlet.ok("volume", "import", "two", file)
    assert rootlet.ok("run", "--rm", "-v", "two:/d", box, "sh", "-c", LIST).out == before
    rootlet.ok("volume", "create", "three")
    rootlet.shell(f"gzip < {file} | rootlet volume import three -")
    assert rootlet.ok("run", "--rm", "-v", "three:/d", box, "sh", "-c", LIST).out == before
    assert not (rootlet.store.root / "volumes/three/work").exists()
    file.unlink()


def tar_of(*entries):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        for name, content in entries:
            m = tarfile.TarInfo(name)
            if content is None:
                m.type, m.mode = tarfile.DIRTYPE, 0o750
            elif content.startswith("->"):
                m.type, m.linkname = tarfile.SYMTYPE, content[2:]
            else:
                m.size = len(content)
            t.addfile(m, io.BytesIO((content or "").encode()))
    return out.getvalue()


def test_import_merges(rootlet):
    """Into a volume in use: directories are merged, files replaced, no link is followed."""
    box = rootlet.image()
    rootlet.ok("run", "-d", "--name", "c", "-v", "v:/d", box, "sh", "-c",
               "mkdir -p /d/a/b /d/etc; echo old > /d/a/f; echo stays > /d/a/b/g; ln -s /etc /d/out; exec sleep 100")
    rootlet.wait_for(lambda: rootlet("exec", "c", "test", "-L", "/d/out").rc == 0)
    rootlet.ok("volume", "import", "v", input=tar_of(("a", None), ("a/f", "new"), ("a/n", "more"), ("out", None), ("out/x", "y")))
    assert rootlet.ok("exec", "c", "cat", "/d/a/f", "/d/a/b/g", "/d/a/n", "/d/out/x").out == "newstays\nmorey"
    assert rootlet.ok("exec", "c", "stat", "-c", "%a", "/d/a").text == "750"
    # A volume that was never used is not filled from the image any more.
    rootlet.ok("volume", "create", "w")
    rootlet.ok("volume", "import", "w", input=tar_of(("f", "mine")))
    assert rootlet.ok("run", "--rm", "-v", "w:/etc/deep", box, "ls", "/etc/deep").text == "f"
    assert rootlet.ok("run", "--rm", "-v", "w:/bin2", box, "ls", "/bin2").text == "f"


def test_import_all_or_nothing(rootlet):
    """Of what is refused or cut nothing arrives; the next import takes away what a crash left."""
    rootlet.ok("volume", "create", "v")
    data = rootlet.store.root / "volumes/v/_data"
    for bad in (tar_of(("f", "x" * 100000))[:5000], tar_of(("f", "x"), ("f/g", "y")), b"no tar at all" * 100):
        rootlet.fails("volume", "import", "v", input=bad)
        assert not any(data.iterdir()) and not (rootlet.store.root / "volumes/v/work").exists()
    rootlet.ok("volume", "import", "v", input=tar_of(("/../../f", "x"), ("../evil", "y")))
    assert sorted(p.name for p in data.iterdir()) == ["evil", "f"]
    p = rootlet.spawn("volume", "import", "v", "-", text=False, errors=None)
    p.stdin.write(tar_of(("g", "x" * 50000))[:20000])
    p.stdin.flush()
    rootlet.wait_for(lambda: (rootlet.store.root / "volumes/v/work/tree/diff").exists())
    rootlet.fails("volume", "import", "v", input=tar_of(("h", "y")), match="another import into it is under way")
    p.kill()
    p.wait()
    rootlet.wait_for(lambda: rootlet("volume", "import", "v", input=tar_of(("h", "y"))).rc == 0)
    assert (data / "h").read_text() == "y" and not (data / "g").exists()
    rootlet.ok("volume", "rm", "v")


def test_errors(rootlet):
    rootlet.fails("volume", "export", "nosuch", match="no such volume: nosuch")
    rootlet.fails("volume", "import", "nosuch", "/dev/null", match="no such volume: nosuch")
    rootlet.ok("volume", "create", "--opt", "type=tmpfs", "tmp")
    rootlet.fails("volume", "export", "tmp", match="type tmpfs has no data of its own\nhint: ")
    rootlet.ok("volume", "create", "v")
    rootlet.fails("volume", "import", "v", "/nosuch.tar", match="open /nosuch.tar")
    t = rootlet.pty("volume", "export", "v")
    assert t.wait() == 125 and "is a terminal" in t.output
