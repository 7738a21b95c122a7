"""rootlet build with files: COPY and ADD as steps of a build, their cache, and whole builds of a context."""
import io
import json
import os
import pathlib
import re
import tarfile

import pytest

from lib import rows
from lib.builder import fixture_build  # noqa: F401, pylint: disable=unused-import

pytestmark = rows("B55")


def test_from_nothing(build, rootlet):
    """README's three lines: an image of one program, without a registry."""
    build.add("busybox", mode=0o755).write_bytes(pathlib.Path("/bin/busybox").read_bytes())
    r = build("FROM scratch\nCOPY busybox /bin/sh\nCMD [\"/bin/sh\", \"-c\", \"echo it runs\"]\n", "-t", "tiny")
    assert rootlet.ok("run", "--rm", "tiny").text == "it runs"
    assert len(rootlet.ok("image", "inspect", "tiny").json()[0]["RootFS"]["Layers"]) == 1
    assert r.out.splitlines()[0] == "STEP 1/3: FROM scratch"
    build("FROM scratch\nLABEL nothing=1\n", "-t", "empty")
    assert rootlet.ok("image", "inspect", "empty").json()[0]["Config"]["Labels"] == {"nothing": "1"}


def test_copy_and_its_cache(build):
    build.add("a/one", "1\n")
    build.add("a/two", "2\n", 0o755)
    build.add("link", link="a/one")
    build.add(".dockerignore", "a/ignored\n")
    build.add("a/ignored")
    text = ("FROM BASE\nWORKDIR /w\nCOPY a dir/\nCOPY --chown=5:6 --chmod=0640 a/one /n\nCOPY <<EOF /here\nsaid\nEOF\n"
            "RUN ls dir; pwd; stat -c '%u:%g %a' /n /w/dir/two; cat /here\n")
    assert build.lines(text) == ["one", "two", "/w", "5:6 640", "0:0 755", "said"]
    assert build(text).out.count("Using cache") == 4
    # What is ignored, and when a file was touched, is of no matter; what is in it is.
    build.add("a/ignored", "else\n")
    os.utime(build.dir / "a/one")
    assert build(text).out.count("Using cache") == 4
    build.add("a/two", "3\n", 0o755)
    assert build(text).out.count("Using cache") == 0
    r = build("FROM BASE\nCOPY nosuch /\n", rc=125)
    assert "Containerfile:2:" in r.err and "nosuch" in r.err
    build("FROM BASE\nCOPY ../Containerfile /\n")  # .. ends at the context, as everywhere


def test_copy_from(build, rootlet):
    build.add("../named/file", "named\n")
    text = ("FROM BASE AS src\nRUN mkdir /d && echo x >/d/f && chown 7:8 /d/f && ln -s / /esc\nFROM BASE\n"
            "COPY --from=src /d /e\nCOPY --from=0 /esc/d/f /f\nCOPY --from=more file /g\n"
            "COPY --from=BASE /etc/motd /m\nRUN stat -c %u:%g /e/f; cat /f /g /m\n")
    assert build.lines(text, "--build-context", f"more={build.dir}/../named") == [
        "7:8", "x", "named", "from the image"]
    assert build(text, "--build-context", f"more={build.dir}/../named").out.count("Using cache") == 6
    canary = build.add("../canary", "host")
    r = build(f"FROM BASE AS src\nRUN ln -s / /esc\nFROM BASE\nCOPY --from=src /esc{canary} /c\n", rc=125)
    assert "Containerfile:4:" in r.err


def test_destination_that_is_a_link(build):
    """It leads where the image's own programs would find it, and never out."""
    build.add("f", "new\n")
    assert build.lines("FROM BASE\nRUN mkdir /real && ln -s real /l && ln -s /../../../../real /m\n"
                       "COPY f /l/f\nCOPY f /m/g\nRUN ls -d /l /real/f /real/g; readlink /l\n") == [
        "/l", "/real/f", "/real/g", "real"]


def test_add(build):
    with tarfile.open(build.add("t.tar"), "w") as t:
        info = tarfile.TarInfo("in/side")
        info.size = 3
        t.addfile(info, io.BytesIO(b"tar"))
    assert build.lines("FROM BASE\nADD t.tar /x/\nCOPY t.tar /y/\nRUN cat /x/in/side; echo; ls /y\n") == ["tar", "t.tar"]


def test_context_from_standard_input(build, rootlet):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as t:
        for name, text in (("Dockerfile", f"FROM {build.base}\nCOPY a /a\nRUN cat /a\n"), ("a", "of a tar\n")):
            info = tarfile.TarInfo(name)
            info.size = len(text)
            t.addfile(info, io.BytesIO(text.encode()))
    assert "\nof a tar\n" in rootlet.ok("build", "-", input=buffer.getvalue()).out
    r = rootlet.ok("build", "-f", "-", build.dir, input=f"FROM {build.base}\nRUN echo piped\n")
    assert "\npiped\n" in r.out


def test_bind_of_the_context(build):
    build.add("sub/file", "ctx\n")
    build.add("esc", link="/")
    build.add("dir", link="sub")
    text = ("FROM BASE\nRUN --mount=source=sub,target=/s cat /s/file; touch /s/n || echo readonly\n"
            "RUN --mount=source=sub,target=/s,rw echo mine >/s/file; touch /s/n; cat /s/file\n"
            "RUN --mount=source=dir/file,target=/s cat /s\n"
            "RUN --mount=target=/s ls /s/sub\n")
    assert build.lines(text) == ["ctx", "readonly", "mine", "ctx", "file"]
    assert (build.dir / "sub/file").read_text(encoding="utf-8") == "ctx\n"
    assert build(text).out.count("Using cache") == 4
    build.add("sub/file", "changed\n")
    assert build(text).out.count("Using cache") == 0
    canary = build.add("../canary", "host")
    build(f"FROM BASE\nRUN --mount=source=esc{canary.parent},target=/s true\n", rc=125)
    build("FROM BASE\nRUN --mount=source=../,target=/s ls /s\n")


def test_the_same_again_with_files(build):
    build.add("a/one", "1\n")
    text = "FROM BASE\nCOPY a /a\nRUN cat /a/one >/two\n"
    ids = []
    for _ in range(2):
        r = build(text, "--no-cache", env={"SOURCE_DATE_EPOCH": "1700000000"})
        ids.append(r.out.splitlines()[-1])
        os.utime(build.dir / "a/one")
        os.utime(build.dir / "a")
    assert ids[0] == ids[1]


def test_result_runs_elsewhere(build, rootlet, images):
    """Under buildah, which has podman's store and leaves no process behind; by archives of both formats."""
    images.need("buildah")
    root = build.dir.parent / f"buildah-{rootlet.store.root.name}"
    build.add("f", "copied\n")
    for form in ("oci", "docker"):
        build("FROM BASE\nCOPY f /f\nRUN echo ran >>/f; rm /etc/motd\nENV A=b\nUSER 1000\nWORKDIR /etc\n",
              "-t", "p", "--format", form)
        archive = build.dir.parent / "p.tar"
        rootlet.ok("save", "--format", f"{form}-archive", "-o", archive, "p")
        b = f"buildah --root {root}/r --runroot {root}/n --storage-driver vfs"
        r = rootlet.shell(f"c=$({b} from -q {form}-archive:{archive}) && {b} run --isolation chroot $c sh -c "
                          "'cat /f; id -u; pwd; echo $A; ls motd 2>&1'", rc=None, timeout=120)
        rootlet.shell(f"buildah unshare rm -rf {root}; rm -rf {archive} /tmp/containers-user-$(id -u) /tmp/podman-run-$(id -u)")
        assert r.out == "copied\nran\n1000\n/etc\nb\nls: motd: No such file or directory\n", r


BUILDAH = """FROM scratch
COPY busybox /bin/sh
ARG V=3
ENV A=b C="d e"
LABEL l=1 "m n"=2
EXPOSE 80 9000/udp
VOLUME /v
WORKDIR /a
WORKDIR b
COPY file dir/
USER 7:8
STOPSIGNAL SIGINT
CMD first
ENTRYPOINT ["e"]
CMD ["x", "y"]
"""


@pytest.mark.parametrize("form", ["docker", "oci"])
def test_as_buildah_does(build, rootlet, form, images):
    """The configuration, field by field, and the history, of the same file."""
    images.need("buildah")
    build.add("busybox", mode=0o755).write_bytes(pathlib.Path("/bin/busybox").read_bytes())
    build.add("file", "x\n")
    text = BUILDAH
    if form == "docker":
        text += "SHELL [\"/bin/sh\", \"-ec\"]\nHEALTHCHECK --interval=5s --retries=3 CMD true\nONBUILD RUN echo hi\n"
    build(text, "-t", "ours", "--format", form)
    ours = rootlet.ok("image", "inspect", "ours").json()[0]
    theirs = buildah(rootlet, build, form)
    mine, other = ours["Config"], theirs["config"]
    other["Labels"].pop("io.buildah.version", None)
    other.pop("Hostname", None)
    assert {k: v for k, v in mine.items() if v} == {k: v for k, v in other.items() if v and v is not None}
    def entries(history):
        # The digest of what was copied is each program's own; of ARG buildah notes the name alone.
        return [(re.sub(r" (file|dir|multi):.*|(ARG \w+)=.*", r"\2", h["created_by"]).strip(), h.get("empty_layer", False))
                for h in history]
    assert entries(ours["History"]) == entries(theirs["history"])
    assert len(ours["RootFS"]["Layers"]) == len(theirs["rootfs"]["diff_ids"])


def buildah(rootlet, build, form):
    """The configuration that buildah makes, as the same user. It runs nothing here."""
    root = build.dir.parent / f"buildah-{rootlet.store.root.name}"
    script = (f"set -e; b='buildah --root {root}/r --runroot {root}/n --storage-driver vfs'; "
              f"$b bud --isolation chroot --format {form} --layers -q -t theirs {build.dir} >/dev/null; "
              f"$b inspect --type image --format '{{{{.FromImage}}}}' theirs >/dev/null; "
              f"$b push -q theirs dir:{root}/out >/dev/null; cat {root}/out/$(sed -n "
              f"'s/.*\"config\":{{[^}}]*\"digest\":\"sha256:\\([0-9a-f]*\\)\".*/\\1/p' {root}/out/manifest.json); rm -rf {root}/out; "
              f"buildah unshare rm -rf {root}")
    r = rootlet.shell(script, rc=None, timeout=120)
    if r.rc != 0 and not r.out:
        pytest.skip(f"buildah does not work here: {r.err[-300:]}")
    return json.loads(r.out)
