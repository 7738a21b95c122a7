"""The same Containerfile and context by rootlet build and by buildah: the same files and the same configuration."""
import functools
import gzip
import hashlib
import io
import json
import lzma
import os
import pathlib
import sys
import tarfile
import tempfile

import pytest

from imagelib import need
from lib import host, rows

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "oci"))

# pylint: disable=wrong-import-position,import-error
from sandbox import SCRATCH, Sandbox  # noqa: E402

pytestmark = rows("B55")

BUILDAH = r"""set -e; cd SCRATCH; mkdir -p tmp run; export HOME=$PWD TMPDIR=$PWD/tmp XDG_RUNTIME_DIR=$PWD/run
mkdir -p n; printf '[network]\nnetwork_config_dir="%s"\n[containers]\nseccomp_profile="unconfined"\n' $PWD/n > c.conf; export CONTAINERS_CONF=$PWD/c.conf
printf '{"default":[{"type":"insecureAcceptAnything"}]}' > policy.json
b() { buildah --root $PWD/r --runroot $PWD/rr --storage-driver vfs --registries-conf /dev/null "$@"; }
out=$1; shift
for c in "$@"; do
    b build --layers=false --isolation chroot --format docker --signature-policy $PWD/policy.json -q -t x $c >log 2>&1 || { cp log $out/$(basename $c).log; continue; }
    b push --signature-policy $PWD/policy.json -q localhost/x oci-archive:$out/$(basename $c).tar
    b rmi -a -f >/dev/null
done
""".replace("SCRATCH", SCRATCH)

BASE = """FROM scratch AS base
COPY busybox /bin/busybox
COPY etc /etc/
ENV PATH=/bin
RUN ["/bin/busybox", "ln", "-s", "busybox", "/bin/sh"]
RUN for i in mkdir ln cat chmod chown touch rm cp mv id printf env; do busybox ln -s busybox /bin/$i; done; mkdir /usr /tmp; chmod 1777 /tmp
RUN mkdir -p /usr/lib /opt/app && ln -s usr/lib /lib && ln -s /opt/app /app
FROM base
"""

FILES = {
    "etc/passwd": "root:x:0:0::/:/bin/sh\nbin:x:2:3::/:/bin/sh\napp:x:1000:1001::/:/bin/sh\n",
    "etc/group": "root:x:0:\nstaff:x:50:\napp:x:1001:\n", "a.txt": "a", "b.txt": "b", "c.md": "c",
    "src/main.c": "m", "src/x.o": "o", "src/sub/deep.c": "d", "src/sub/y.o": "y", "src/.hidden": "h",
    "tree/lib/so": "so", "tree/app/conf": "c", "notes": "n",
}

CASES = {
    "copy": """COPY a.txt /x
COPY a.txt b.txt /d/
COPY *.txt c.md /e/
COPY src /s
COPY src/ /s2/
COPY . /all/
WORKDIR /w/v
COPY a.txt .
COPY src ./deep/er/
COPY ["a.txt", "b.txt", "json dir/"]
COPY tree/lib /lib/
COPY tree/app /app
COPY tree/lib/so /app/
""",
    "owners": """COPY --chown=app a.txt /1
COPY --chown=bin:staff src /2
COPY --chown=7:8 --chmod=0640 a.txt /3/
COPY --chmod=700 src/main.c /4
USER app:staff
COPY a.txt /5
WORKDIR /6
RUN id -u > /tmp/id; id -g >> /tmp/id
ADD --chown=1000:50 b.txt /7
""",
    "ignored": "COPY . /all/\nCOPY src /s/\n",
    "stages": """COPY a.txt /one
RUN mkdir -p /out/d && cat /one > /out/d/f && chown -R 5:6 /out && ln -s d/f /out/l && touch /bin/gone
FROM base AS second
COPY --from=1 /out /got
COPY --from=1 --chown=9:9 /out/d/f /got9
COPY --from=base /etc/passwd /p/
FROM second
RUN rm -r /opt /got9; mkdir /got/new; mv /p /q
COPY --from=second /got9 /
""",
    "archives": """ADD t.tar /t/
ADD t.tgz /lib/
ADD t.tar.xz a.txt /m/
COPY t.tgz /c/
""",
    "heredoc": """RUN <<EOF
cat /etc/group > /g
printf '%s\\n' "$PATH" > /path
EOF
RUN cat <<'A' > /one && cat <<B > /two
$PATH \\x
A
$PATH
B
ARG who=me
COPY <<EOF /text
to $who
EOF
COPY --chmod=755 <<'EOF' <<two /many/
to $who
EOF
2
two
""",
    "config": """ARG v=1
ARG none
ENV A=$v B="b $A" C=c\\ d D='$A'
ENV old style  value
ENV E=${none:-dflt}-${A:+plus}
LABEL one=1 "two words"="a b" x.y=$A
EXPOSE 80 443/udp $v
VOLUME /data ["/not/json"
VOLUME ["/v1", "/v2"]
USER app
WORKDIR /rel
WORKDIR sub/$A
STOPSIGNAL SIGUSR1
SHELL ["/bin/sh", "-ec"]
HEALTHCHECK --interval=5s --timeout=3s --retries=4 --start-period=1m CMD cat /etc/passwd
ENTRYPOINT ["/bin/sh", "-c"]
CMD ["echo $A", 'x']
ONBUILD RUN echo hi
ONBUILD COPY . /x
MAINTAINER me <me@example.org>
""",
    "shell": """SHELL ["/bin/sh", "-xc"]
CMD echo $A
ENTRYPOINT exec top -b
RUN env > /tmp/x; rm /tmp/x; touch /ran
HEALTHCHECK NONE
""",
    "args": """ARG A=1 B
ARG C="two words"
RUN printf '%s|' "$A" "$B" "$C" > /args
ENV A=env
RUN printf '%s|' "$A" > /args2
ARG A=late
RUN printf '%s|' "$A" > /args3
RUN A=x; \\
    # a comment between

    printf '%s' $A > /args4
""",
}
# A build by buildah takes three seconds: all of them with ROOTLET_TEST_PEERS=all.
if os.environ.get("ROOTLET_TEST_PEERS") != "all":
    CASES = {name: CASES[name] for name in ("copy", "stages", "config", "owners")}
IGNORE = "**/*.o\nnotes\n!src/sub/y.o\n*.md\n.dockerignore\nbusybo\n"
# SHELL is for all that is not JSON, as docker has it; this buildah forgets it, and HEALTHCHECK NONE.
BUILDAH_LACKS = {"shell": ("Shell", "Cmd", "Entrypoint", "Healthcheck"),
                 "config": ("Shell", "Cmd", "Healthcheck", "OnBuild")}
# What builders make for their own mounts.
NOT_OURS = {"proc", "sys", "dev", "run", "etc/hosts", "etc/resolv.conf", "etc/hostname", "run/.containerenv"}


def archive():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, text in (("bin/tool", b"tool"), ("x", b"x")):
            m = tarfile.TarInfo(name)
            m.size, m.uid, m.gid, m.mode, m.mtime = len(text), 11, 12, 0o751, 5
            tar.addfile(m, io.BytesIO(text))
        for name, kind, link in (("l", tarfile.SYMTYPE, "x"), ("h", tarfile.LNKTYPE, "x"), ("e", tarfile.DIRTYPE, "")):
            m = tarfile.TarInfo(name)
            m.type, m.linkname, m.mode, m.mtime, m.uid, m.gid = kind, link, 0o751, 5, 11, 12
            tar.addfile(m)
    return out.getvalue()


def make_context(top, name):
    top.mkdir(exist_ok=True)
    for path, text in FILES.items():
        (top / path).parent.mkdir(parents=True, exist_ok=True)
        (top / path).write_text(text)
    for path, pack in (("t.tar", bytes), ("t.tgz", functools.partial(gzip.compress, mtime=0)), ("t.tar.xz", lzma.compress)):
        (top / path).write_bytes(pack(archive()))
    (top / "busybox").write_bytes(pathlib.Path("/bin/busybox").read_bytes())
    (top / "busybox").chmod(0o755)
    (top / "link").symlink_to("a.txt")
    if name == "ignored":
        (top / ".dockerignore").write_text(IGNORE)
    (top / "Containerfile").write_text(BASE + CASES[name])


def blob(tar, digest):
    return tar.extractfile("blobs/" + digest.replace(":", "/")).read()


def clean(name):
    return name.strip("/").removeprefix("./")


def remove(files, path, below_only=False):
    for old in [f for f in files if f.startswith(path + "/") or (f == path and not below_only)]:
        del files[old]


def apply(files, data):
    """One layer of an image over what is there."""
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:*") as tar:
        for m in tar:
            path = clean(m.name)
            parent, _, base = path.rpartition("/")
            if base == ".wh..wh..opq":
                remove(files, parent, below_only=True)
                continue
            if base.startswith(".wh."):
                remove(files, clean(f"{parent}/{base[4:]}"))
                continue
            if not m.isdir():
                remove(files, path)
            if path in ("", "."):
                continue
            what = ("dir" if m.isdir() else "-> " + m.linkname if m.issym() else
                    files[clean(m.linkname)][0] if m.islnk() else
                    hashlib.sha256(tar.extractfile(m).read()).hexdigest()[:12])
            files[path] = (what, oct(m.mode & 0o7777) if not m.issym() else "", m.uid, m.gid)


def read(path):
    """The files of an OCI archive, and its configuration."""
    files = {}
    with tarfile.open(path) as tar:
        index = json.loads(tar.extractfile("index.json").read())
        manifest = json.loads(blob(tar, index["manifests"][0]["digest"]))
        config = json.loads(blob(tar, manifest["config"]["digest"]))
        for layer in manifest["layers"]:
            apply(files, blob(tar, layer["digest"]))
    return {k: v for k, v in files.items() if k not in NOT_OURS}, config


@pytest.fixture(scope="module", name="theirs")
def fixture_theirs(tmp_path_factory):
    need("buildah")
    if not host.is_root():
        pytest.skip("needs root, for a cage")
    top, out = tmp_path_factory.mktemp("theirs"), pathlib.Path(tempfile.mkdtemp(prefix="rootlet-peer-"))
    for name in CASES:
        make_context(top / name, name)
    with tempfile.TemporaryFile("w+") as log:
        code, _ = Sandbox(writable=out).run(["sh", "-c", BUILDAH, "sh", str(out), *[str(top / n) for n in CASES]],
                                            stdout=log, stderr=log)
        log.seek(0)
        assert code == 0, log.read()
    yield out
    for path in out.iterdir():
        path.unlink()
    out.rmdir()


def settings(config):
    c = config["config"]
    c["Labels"] = {k: v for k, v in (c.get("Labels") or {}).items() if k != "io.buildah.version"}
    return {k: v for k, v in c.items() if v not in (None, "", [], {}, False)} | {"author": config.get("author")}


@pytest.mark.parametrize("name", CASES)
def test_the_same_as_buildah(rl, theirs, name):
    if not (theirs / f"{name}.tar").exists():
        why = (theirs / f"{name}.log").read_text()
        assert name == "heredoc", why
        pytest.skip(f"buildah has no here-documents yet: {why}")
    context = rl.user.home / f"peer-{name}"
    make_context(context, name)
    rl.ok("build", "--format", "docker", "--network", "none", "-q", "-t", "x", context)
    mine = rl.user.home / f"peer-{name}.tar"
    rl.ok("save", "--format", "oci-archive", "-o", mine, "x")
    files, config = read(mine)
    their_files, their_config = read(theirs / f"{name}.tar")
    for path in ("got",):  # the directory is the source's, as BuildKit has it; buildah's is root's
        files.pop(path, None), their_files.pop(path, None)
    assert {k: v for k, v in files.items() if their_files.get(k) != v} == \
        {k: v for k, v in their_files.items() if files.get(k) != v}
    mine, other = settings(config), settings(their_config)
    for key in BUILDAH_LACKS.get(name, ()):
        assert mine.pop(key, None) != other.pop(key, None)
    assert mine == other
