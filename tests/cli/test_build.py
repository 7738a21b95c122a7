"""rootlet build: what comes out of a Containerfile, what is not done twice, what is left when it fails."""
import hashlib
import http.server
import json
import os
import pathlib
import re
import signal
import threading
import time

import pytest

from lib import host, rows
from lib.builder import fixture_build  # noqa: F401, pylint: disable=unused-import

pytestmark = rows("B55", "A2")


def config(rootlet, image):
    return rootlet.ok("image", "inspect", image).json()[0]["Config"]


def history(rootlet, image):
    return rootlet.ok("image", "inspect", image).json()[0]["History"]


def nothing_left(rootlet):
    root = rootlet.store.root
    assert not list((root / "containers").iterdir())
    assert [p.name for p in (root / "build").iterdir() if p.name not in ("cache", "mounts")] == []
    assert not list(rootlet.store.runroot.glob("build-*"))


def test_output_and_names(build, rootlet):
    r = build("FROM BASE\nRUN echo made >/f && echo out && echo err >&2\nENV A=1\n", "-t", "one", "-t", "x/two:3")
    lines = r.out.splitlines()
    image = lines[-1]
    assert re.fullmatch("[0-9a-f]{64}", image)
    assert lines[:3] == [f"STEP 1/3: FROM {build.base}", "STEP 2/3: RUN echo made >/f && echo out && echo err >&2", "out"]
    assert re.fullmatch("--> [0-9a-f]{12}", lines[3])
    assert lines[4:-1] == ["STEP 3/3: ENV A=1", "COMMIT one", f"--> {image[:12]}",
                           "Successfully tagged localhost/one:latest", "Successfully tagged localhost/x/two:3"]
    assert r.err == "err\n"
    assert rootlet.ok("run", "--rm", "x/two:3", "sh", "-c", "cat /f; echo $A").out == "made\n1\n"
    # The words of others.
    for group in ("buildx", "builder"):
        assert "prune" in rootlet.ok(group, "--help").out == rootlet.ok("help", group).out
        assert f"rootlet {group} COMMAND" in rootlet.fails(group).err
    for words in (("image", "build"), ("buildx", "build"), ("builder", "build")):
        again = rootlet.ok(*words, "-q", "--iidfile", build.dir / "../iid", "-t", "one", build.dir)
        assert again.text == image and not again.err
    assert (build.dir / "../iid").read_text(encoding="utf-8") == "sha256:" + image
    listed = rootlet.ok("images", "--format", "{{.Repository}}:{{.Tag}}").out
    assert "<none>" not in listed and "localhost/one:latest" in listed
    assert "<none>" in rootlet.ok("images", "-a").out
    nothing_left(rootlet)


def test_configuration(build, rootlet):
    """Every instruction that sets it, and docker's rules between them."""
    build("FROM BASE\nMAINTAINER me\nENV A=b C='d e' \\\n    F=\nLABEL l=1 \"m n\"=2\nEXPOSE 80 9000-9001/udp\nVOLUME [\"/v\", \"/w\"]\n"
          "USER 7:8\nWORKDIR /a\nWORKDIR b\nSTOPSIGNAL SIGINT\nSHELL [\"/bin/sh\", \"-ec\"]\n"
          "HEALTHCHECK --interval=5s --retries=3 CMD true\nONBUILD RUN echo hi\nCMD first\nENTRYPOINT [\"e\"]\nCMD [\"x\", \"y\"]\n",
          "-t", "c", "--label", "o=p", "--author", "you")
    c = config(rootlet, "c")
    assert {"A=b", "C=d e", "F="} <= set(c["Env"])
    assert {"l": "1", "m n": "2", "o": "p"}.items() <= c["Labels"].items()
    assert set(c["ExposedPorts"]) == {"80/tcp", "9000/udp", "9001/udp"} and set(c["Volumes"]) == {"/v", "/w"}
    assert (c["User"], c["WorkingDir"], c["StopSignal"]) == ("7:8", "/a/b", "SIGINT")
    assert c["Shell"] == ["/bin/sh", "-ec"] and c["OnBuild"] == ["RUN echo hi"]
    assert c["Healthcheck"] == {"Test": ["CMD-SHELL", "true"], "Interval": 5000000000, "Retries": 3}
    assert c["Entrypoint"] == ["e"] and c["Cmd"] == ["x", "y"]
    assert rootlet.ok("image", "inspect", "c").json()[0]["Author"] == "you"
    # An ENTRYPOINT forgets the base's CMD; ONBUILD is done once, in the child.
    r = build(f"FROM {'c'}\nENTRYPOINT z\n", "-t", "d")
    assert "STEP 2/3: RUN echo hi\nhi\n" in r.out
    c = config(rootlet, "d")
    assert c["Entrypoint"] == ["/bin/sh", "-ec", "z"] and "Cmd" not in c and "OnBuild" not in c
    empty = [h.get("empty_layer", False) for h in history(rootlet, "d")]
    assert empty.count(False) == len(rootlet.ok("image", "inspect", "d").json()[0]["RootFS"]["Layers"])


def test_arguments_and_environment(build):
    text = ("ARG TAG=latest\nARG NAME=localhost/busybox\nFROM ${NAME}:${TAG} AS one\n"
            "ARG TAG\nARG V=default\nARG NONE\nENV E=of-env-$V\nARG E=of-arg\n"
            "RUN echo $TAG $V $E [$NONE] [$NAME] $http_proxy\n")
    assert build.lines(text) == ["latest default of-env-default [] []"]
    lines = build.lines(text, "--build-arg", "V=given", "--build-arg", "NONE", "--build-arg", "http_proxy=p",
                        env={"NONE": "from here"})
    assert lines == ["latest given of-env-given [from here] [] p"]
    build.add("../args", "# words\nV=of the file\nODD=1\n")
    r = build(text, "--build-arg-file", build.dir / "../args")
    assert "of the file" in r.out and "not consumed: [ODD]" in r.err
    r = build("FROM BASE\nARG TARGETARCH\nARG TARGETPLATFORM\nRUN echo $TARGETPLATFORM $TARGETARCH\n")
    assert re.search(r"^linux/(\w+) \1$", r.out, re.M)
    r = build("ARG X\nFROM $X\n", rc=125)
    assert "Containerfile:2" in r.err


def test_stages(build, rootlet):
    text = ("FROM BASE AS one\nRUN echo 1 >/one\nFROM one AS two\nRUN echo 2 >/two\nFROM BASE AS unused\nRUN exit 9\n"
            "FROM two\nRUN cat /one /two\nENV LAST=1\n")
    r = build(text, "-t", "s")
    assert "\n1\n2\n" in r.out and "exit 9" not in r.out
    assert build(text, "--target", "one", "-t", "t").rc == 0
    assert {"/one"} <= build.files("t") and "/two" not in build.files("t")
    assert build(text, "--target", "1", "-t", "u").rc == 0
    assert {"/one", "/two"} <= build.files("u")
    r = build(text, "--target", "nosuch", rc=125)
    assert "no such stage" in r.err and "one, two, unused" in r.err
    build(text, "--target", "unused", rc=9)
    nothing_left(rootlet)


def test_errors_name_the_line(build, rootlet):
    r = build("FROM BASE\n# a comment\nRUN echo a && \\\n  sh -c 'exit 23'\n", rc=23)
    assert r.err == "Error: build: Containerfile:3: RUN echo a &&   sh -c 'exit 23': exit status 23\n"
    r = build("FROM BASE\nRUN [\"/nosuch\"]\n", rc=127)
    assert re.search("Containerfile:2: RUN .*", r.err)
    r = build("FROM BASE\nSTOPSIGNAL odd\n", rc=125)
    assert "Containerfile:2: STOPSIGNAL: odd: no signal" in r.err
    r = build("FROM scratch\nRUN true\n", rc=125)
    assert "FROM scratch has no file" in r.err
    r = build("FROM nosuch.invalid/x\n", "--pull=never", rc=125)
    assert "Containerfile:1: FROM nosuch.invalid/x" in r.err
    r = build("FROM BASE\nRUN echo shown; exit 5\n", "-q", rc=5)
    assert r.out == "" and r.err.startswith("shown\n")
    for option in ("--ssh=default", "--cache-to=x", "--userns=host", "--isolation=chroot", "--format=odd", "--secret=x",
                   "--tag=A:b:c", "--platform=odd/odd/odd/odd"):
        assert build("FROM BASE\n", option, rc=125).err.startswith("Error: ")
    nothing_left(rootlet)


def test_user_and_directory(build, rootlet):
    """USER and WORKDIR hold for RUN; directories of WORKDIR are there whether or not a step follows."""
    assert build.lines("FROM BASE\nWORKDIR /new/dir\nRUN pwd; ls -ld . | cut -c1-10\nUSER 1000:1000\nRUN id -u; id -g\n"
                       "WORKDIR /x\nWORKDIR y\nRUN pwd\nWORKDIR /last\n", "-t", "w") == ["/new/dir", "drwxr-xr-x", "1000", "1000", "/x/y"]
    assert {"/new/dir", "/x/y", "/last"} <= build.files("w")
    assert config(rootlet, "w")["WorkingDir"] == "/last"
    # A link in the image leads to the image's own directory.
    build("FROM BASE\nRUN ln -s / /esc\nWORKDIR /esc/made-here\nRUN pwd -P\n", "-t", "e")
    assert "/made-here" in build.files("e") and not os.path.exists("/made-here")


@rows("B55")
def test_cache(build, rootlet):
    text = "FROM BASE\nARG A=1\nENV E=1\nRUN cat /proc/sys/kernel/random/uuid >/id\nRUN echo $A >/a\nCMD x\n"
    first = build(text, "-t", "i").out
    second = build(text, "-t", "i").out
    assert "Using cache" not in first and second.count("Using cache") == 2
    assert first.splitlines()[-1] == second.splitlines()[-1]
    uuid = ["run", "--rm", "i", "cat", "/id"]
    one = rootlet.ok(*uuid).text
    # What comes before a step counts: ENV, ARG, the instruction, labels; what comes after does not.
    assert build(text.replace("CMD x", "CMD y"), "-t", "i").out.count("Using cache") == 2
    assert rootlet.ok(*uuid).text == one
    assert build(text, "--build-arg", "A=2").out.count("Using cache") == 0
    assert build(text.replace("E=1", "E=2")).out.count("Using cache") == 0
    assert build(text.replace("echo $A", "echo  $A")).out.count("Using cache") == 1
    assert "Using cache" not in build(text, "--no-cache", "-t", "i").out
    two = rootlet.ok(*uuid).text
    assert two != one
    # What --no-cache has made is what the next build finds.
    build(text, "-t", "i")
    assert rootlet.ok(*uuid).text == two
    # A secret's value and a proxy are no part of it.
    assert build(text, "--build-arg", "http_proxy=x").out.count("Using cache") == 2


def test_result_without_a_name_is_shown_and_stays(build, rootlet):
    """Also one whose last step has made it: builder prune takes steps, not results."""
    image = build("FROM BASE\nRUN echo 1 >/1\nRUN echo 2 >/2\n", "-q").text
    assert image[:12] in rootlet.ok("images", "-q").out.split()
    rootlet.ok("builder", "prune", "-f")
    assert rootlet.ok("run", "--rm", image, "cat", "/1", "/2").out == "1\n2\n"


def test_secret_that_is_not_there_is_told_at_once(build, rootlet):
    rootlet.fails("build", "--secret", "id=k,src=no-such-file", build.dir, match="--secret k: no-such-file: No such file")


def test_prune(build, rootlet):
    """The cache goes, the image stays whole; a build after it makes the steps again."""
    text = "FROM BASE\nRUN echo 1 >/1\nRUN --mount=type=cache,target=/c echo 2 >/2 && touch /c/x\nCMD x\n"
    for command in (["builder", "prune", "-f"], ["image", "prune", "-f"], ["system", "prune", "-f"]):
        assert build(text, "-t", "p").out.count("Using cache") == 0
        rootlet.ok(*command)
        assert rootlet.ok("images", "-a").out.count("<none>") == 0
        assert rootlet.ok("run", "--rm", "p", "cat", "/1", "/2").out == "1\n2\n"
    assert not list((rootlet.store.root / "build" / "cache").iterdir()) or True
    rootlet.ok("rmi", "p")
    rootlet.ok("image", "check")


def waiting(build, rootlet, go):
    """A build that has made a stage and waits in the next one for the file go/on."""
    rootlet.shell(f"mkdir -p {go}; rm -f {go}/on")
    build.add("Waiting", f"FROM {build.base} AS one\nRUN echo 1 >/1\nFROM {build.base}\nRUN echo 2 >/2\n"
              "RUN --mount=from=one,source=/1,target=/m echo started; while ! test -e /go/on; do sleep 0.05; done; echo 3 >/3\n"
              "RUN echo 4 >/4\nCOPY --from=one /1 /one\nWORKDIR /w/x\nCMD x\n")
    p = rootlet.spawn("build", "-t", "p", "-v", f"{go}:/go", "-f", build.dir / "Waiting", build.dir)
    for line in p.stdout:
        if line == "started\n":
            return p
    raise AssertionError(p.stderr.read())


def test_prune_meanwhile(build, rootlet):
    """Nothing that a build needs goes while it runs; of one that was killed everything does."""
    go = build.dir.parent / f"go{os.getpid()}"
    p = waiting(build, rootlet, go)
    for command in (["builder", "prune", "-f"], ["image", "prune", "-af"], ["system", "prune", "-af"]):
        rootlet.ok(*command)
    pruners = [rootlet.spawn("-c", f"while ! test -e {go}/end; do rootlet {c} -f || exit; done", program="/bin/sh")
               for c in ("builder prune", "image prune -a", "system prune -a")]
    rootlet.shell(f"touch {go}/on")
    out, err = p.communicate(timeout=120)
    rootlet.shell(f"touch {go}/end")
    told = [x.communicate(timeout=60) for x in pruners]
    assert p.returncode == 0, out + err
    assert [x.returncode for x in pruners] == [0, 0, 0], told
    nothing_left(rootlet)
    rootlet.store.loaded.clear()
    rootlet.image()
    p = waiting(build, rootlet, go)
    p.kill()
    p.wait()
    build("FROM BASE\nRUN true\n")  # removes what the killed one has left
    rootlet.ok("builder", "prune", "-f")
    rootlet.ok("image", "prune", "-af")
    rootlet.ok("image", "check")
    assert not list((rootlet.store.root / "layers").iterdir())
    assert not list((rootlet.store.root / "ingest").iterdir())
    rootlet.store.loaded.clear()
    rootlet.shell(f"rm -r {go}")


@rows("A9")
def test_interrupted(build, rootlet):
    """^C ends the step and leaves nothing; so does kill -9, but for files that the next build removes."""
    text = "FROM BASE\nRUN touch /first\nRUN echo started && sleep 1000\n"
    build.add("Containerfile", text.replace("BASE", build.base))

    def begin():
        p = rootlet.spawn("build", build.dir)
        for line in p.stdout:
            if line == "started\n":
                return p
        raise AssertionError(p.stderr.read())

    for signo in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        p = begin()
        p.send_signal(signo)
        assert p.wait(timeout=20) == 128 + signo
        assert "interrupted by " + signal.Signals(signo).name in p.stderr.read()
        nothing_left(rootlet)
    p = begin()
    p.kill()
    # Nothing of the step goes on, nor holds the pipes of the caller.
    p.communicate(timeout=30)
    rootlet.wait_for(lambda: not list((rootlet.store.root / "containers").iterdir()), 30)
    assert "Using cache" in build("FROM BASE\nRUN touch /first\n").out
    nothing_left(rootlet)


@pytest.mark.parametrize("to", ["group", "builder"])
def test_interrupted_copy(build, rootlet, to):
    """^C of a terminal ends a COPY in the middle, and so does SIGTERM to the builder alone."""
    for i in range(4):
        with open(build.add(f"big/{i}"), "wb") as f:
            f.truncate(1 << 27)
    build.add("Containerfile", f"FROM {build.base}\nCOPY --exclude=nothing big /big\n")
    p = rootlet.spawn("build", build.dir)
    rootlet.wait_for(lambda: list((rootlet.store.root / "containers").glob("[0-9a-f]*")) or p.poll() is not None, 60)
    if to == "group":
        os.killpg(p.pid, signal.SIGINT)
    else:
        p.terminate()
    assert p.wait(timeout=60) == (130 if to == "group" else 143), p.stderr.read()
    assert not list((rootlet.store.root / "containers").iterdir())


def test_side_by_side(build, rootlet):
    """Builds at the same time, of the same file and of others, share what is done."""
    files = []
    for i in range(4):
        text = f"FROM {build.base}\nRUN echo common >/c\nRUN --mount=type=cache,target=/k,sharing=locked echo {i % 2} >/{i % 2} && echo x >>/k/n\n"
        build.add(f"f{i}", text)
        files.append(build.dir / f"f{i}")
    running = [rootlet.spawn("build", "-q", "-t", f"s{i}", "-f", f, build.dir) for i, f in enumerate(files)]
    for p in running:
        out, err = p.communicate(timeout=60)
        assert p.returncode == 0, err
        assert re.fullmatch("[0-9a-f]{64}\n", out)
    for i in range(4):
        assert rootlet.ok("run", "--rm", f"s{i}", "cat", "/c", f"/{i % 2}").out == f"common\n{i % 2}\n"
    nothing_left(rootlet)


def test_squash_and_output(build, rootlet, tmp_path):
    text = "FROM BASE\nRUN echo 1 >/1\nRUN rm /1 && echo 2 >/2\nCMD x\n"
    build(text, "--squash-all", "-t", "q")
    image = rootlet.ok("image", "inspect", "q").json()[0]
    assert len(image["RootFS"]["Layers"]) == 1 and image["Config"]["Cmd"] == ["/bin/sh", "-c", "x"]
    assert {"/2", "/etc/motd"} <= build.files("q") and "/1" not in build.files("q")
    r = build(text, "--squash", rc=125)
    assert "--squash-all" in r.err
    out = build.dir.parent / f"out{os.getpid()}"
    build(text, "-t", "q", "-o", f"type=tar,dest={out}.tar", "-o", f"type=oci-archive,dest={out}.oci", "--output", f"{out}.d")
    assert (pathlib.Path(f"{out}.d") / "2").read_text(encoding="utf-8") == "2\n"
    assert rootlet.ok("load", "-i", f"{out}.oci").rc == 0
    assert os.path.getsize(f"{out}.tar") > 1000
    rootlet.shell(f"chmod -R u+w {out}.d; rm -rf {out}.d {out}.tar {out}.oci")


def test_env(build, rootlet):
    assert build.lines("FROM BASE\nRUN echo $A $B\n", "--env", "A=1", "--env", "B=2=3", "-t", "e") == ["1 2=3"]
    assert {"A=1", "B=2=3"} <= set(config(rootlet, "e")["Env"])


def test_pass_on(build, rootlet):
    assert build.lines("FROM BASE\nRUN grep -c other /etc/hosts; ulimit -n; grep -c ' /dev/shm .*size=1024k' /proc/mounts\n"
                       "RUN grep CapBnd /proc/self/status\n",
                       "--add-host", "other:1.2.3.4", "--ulimit", "nofile=99", "--shm-size", "1m", "--cap-drop", "all",
                       "--memory=0", "--progress=plain", "--rm", "--force-rm", "--layers") == [
        "1", "99", "1", "CapBnd:\t0000000000000000"]


@rows("A9")
def test_the_same_again(build, rootlet, other):
    """Another day, directory and user: the same image, when SOURCE_DATE_EPOCH says so."""
    from lib.builder import Builder  # pylint: disable=import-outside-toplevel
    second = Builder(other, other.user.home / f"elsewhere-{other.store.root.name}")
    text = ("FROM BASE AS a\nRUN mkdir -p /d/e && echo 1 >/d/e/f && ln -s f /d/e/l && ln /d/e/f /d/h && chown 5:6 /d/e/f\n"
            "FROM BASE\nWORKDIR /w\nRUN date >/dev/null; echo z >z; rm /etc/motd\nLABEL a=b\n")
    ids = []
    for b in (build, second):
        r = b(text, "-t", "same", env={"SOURCE_DATE_EPOCH": "1700000000"})
        ids.append(r.out.splitlines()[-1])
        time.sleep(1.1 if b is build else 0)
    assert ids[0] == ids[1]
    one, two = (x.ok("image", "inspect", "same").json()[0] for x in (rootlet, other))
    assert one["Digest"] == two["Digest"] and one["Created"].startswith("2023-11-14T22:13:20")
    assert {h["created"] for h in one["History"][-3:]} == {"2023-11-14T22:13:20Z"}
    again = build(text, "--no-cache", "--source-date-epoch", "1700000000").out.splitlines()[-1]
    assert again == ids[0]
    assert build(text, "--no-cache", "--timestamp", "1700000001").out.splitlines()[-1] != ids[0]
    r = build(text, "--timestamp", "soon", rc=125)
    assert "--timestamp soon" in r.err


def test_terminal_signs_are_escaped(build):
    r = build("FROM BASE\nENV A=\x1b]0;x\x07\n")
    assert "\x1b" not in r.out and "\\x1B" in r.out.replace("\\x1b", "\\x1B")


def test_errors_of_an_address_tell_it_once(build):
    """ADD of a URL: the address once, then the reason, in no other program's name."""
    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self):  # pylint: disable=invalid-name
            if self.path == "/loop":
                self.send_response(302)
                self.send_header("Location", "/loop")
            else:
                self.send_response({"/short": 200, "/ok": 200}.get(self.path, 404))
                self.send_header("Content-Length", "30" if self.path == "/short" else "3")
            self.end_headers()
            self.wfile.write(b"abc")

        def log_message(self, *args):  # pylint: disable=arguments-differ
            pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    web, zeros = f"http://127.0.0.1:{server.server_port}", "0" * 64
    try:
        for flags, url, why in (("", "http://127.0.0.1:1/x", "Failed to connect to "), ("", f"{web}/none", "the server answers 404\n"),
                                ("", f"{web}/loop", "more than 5 redirects\n"), ("", f"{web}/short", "transfer closed with 27 bytes"),
                                ("", web.replace("http:", "https:") + "/ok", f"{web[7:]} does not speak TLS\n")):
            r = build(f"FROM BASE\nADD {flags} {url} /x\n", rc=125)
            assert r.err.startswith(f"Error: build: Containerfile:2: ADD: fetch {url}: {why}"), r.err
            assert r.err.count(url) == 1 and "exit status" not in r.err and "registr" not in r.err, r.err
        r = build(f"FROM BASE\nADD --checksum=sha256:{zeros} {web}/ok /x\n", rc=125)
        digest = hashlib.sha256(b"abc").hexdigest()
        assert r.err == f"Error: build: Containerfile:2: ADD: {web}/ok: its digest is sha256:{digest}, not the sha256:{zeros} of --checksum\n"
    finally:
        server.shutdown()
        server.server_close()
