"""rootlet build: a base that is not here is pulled, and what is built is pushed and runs elsewhere."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "cli"))

# pylint: disable=wrong-import-position
from lib.builder import fixture_build  # noqa: E402,F401, pylint: disable=unused-import
from imagelib import Layout  # noqa: E402
from lab import free_port  # noqa: E402
from test_interop import caged  # noqa: E402
from test_pull import index_of, push  # noqa: E402,F401, pylint: disable=unused-import
from test_signatures import policy  # noqa: E402,F401, pylint: disable=unused-import

pytestmark = pytest.mark.rows("B55")


def test_base_from_a_registry(rl, build, htpasswd_registry):
    """With the credentials and certificates of the command line; --pull never asks nobody."""
    trust = rl.trust(htpasswd_registry)
    name = htpasswd_registry.name("built-on:1")
    rl.ok("push", "-q", *trust, build.base, name)
    text = f"FROM {name}\nRUN echo made >/made\n"
    r = build(text, "--pull=never", *trust, rc=125)
    assert f"Containerfile:1: FROM {name}" in r.err
    r = build(text, rc=125)
    assert f"Containerfile:1: FROM {name}" in r.err
    assert "Trying to pull" in build(text, *trust, "-t", "one").out
    assert "Trying to pull" not in build(text, *trust).out
    assert "Trying to pull" in build(text, *trust, "--pull").out
    result = htpasswd_registry.name("built:1")
    rl.ok("push", "-q", *trust, "one", result)
    rl.ok("rmi", "-f", "one")
    rl.ok("builder", "prune", "-f")
    rl.ok("pull", "-q", *trust, result)
    assert rl.ok("run", "--rm", result, "cat", "/made").text == "made"


def test_push(rl, build, htpasswd_registry):
    """--push sends each name; without one, or without credentials, it says why not."""
    names = [htpasswd_registry.name(f"sent:{i}") for i in (1, 2)]
    text = "FROM BASE\nRUN echo made >/made\n"
    assert "-t REGISTRY" in build(text, "--push", rc=125).err
    assert f"--push {names[0]}" in build(text, "--push", "-t", names[0], rc=125).err
    r = build(text, "--push", "--load", *rl.trust(htpasswd_registry), "-t", names[0], "-t", names[1])
    assert f"Pushing {names[1]}" in r.out
    rl.ok("rmi", "-f", *names)
    for name in names:
        rl.ok("pull", "-q", *rl.trust(htpasswd_registry), name)
    assert rl.ok("run", "--rm", names[1], "cat", "/made").text == "made"


RUNS = """FROM BASE AS made
WORKDIR /src
COPY --chown=11:12 part part
RUN tr a-z A-Z <part >out && chmod 640 out && chown 1000:100 out
FROM BASE
ENV WORD=hello PLACE=/srv/app
LABEL kind=test
WORKDIR $PLACE
COPY --from=made --chown=1000:1001 /src/out result
COPY --from=made /src/part /part
RUN mkdir -p /data && echo kept >/data/file && rm /etc/motd
VOLUME /data
USER 1000:1001
HEALTHCHECK --interval=7s --retries=2 CMD test -e result
EXPOSE 8080
STOPSIGNAL SIGINT
ENTRYPOINT ["/bin/sh", "-c", "echo $0 $WORD $(id -u):$(id -g) $(pwd) $(cat result); stat -c %u:%g:%a result /part; cat /data/file; ls /etc/motd 2>&1 || true"]
CMD ["word"]
"""
SAYS = ["word hello 1000:1001 /srv/app PARTS", "1000:1001:640", "11:12:644", "kept",
        "ls: /etc/motd: No such file or directory"]
SETTINGS = "{{.Config.User}} {{.Config.WorkingDir}} {{json .Config.Volumes}} {{.Config.StopSignal}} {{json .Config.ExposedPorts}}"
RUN = ("p --runtime-flag root=$PWD/crun run --rm --network none --cgroups disabled --no-healthcheck "
       "--security-opt seccomp=unconfined ")


@pytest.mark.rows("A9")
@pytest.mark.parametrize("form", ["oci", "docker"])
def test_podman_runs_what_is_built(rl, build, registry, form):
    """From the registry and from an archive: the same id, settings and output as here."""
    build.add("part", "parts\n")
    build(RUNS, "-t", "mine", "--format", form)
    assert rl.ok("run", "--rm", "mine").out.splitlines() == SAYS
    name = registry.name(f"built/{form}:1")
    rl.ok("push", "-q", *rl.trust(registry), "mine", name)
    archive = build.dir.parent / f"built-{form}.tar"  # podman unpacks archives of OCI in /var/tmp only
    rl.ok("save", "--format", "docker-archive", "-o", archive, "mine")
    lines = caged("p pull -q $POLICY --tls-verify=false $1; " + RUN + "$1; " + RUN + "$1 other | sed -n 1p; "
                  f"p image inspect --format '{SETTINGS}' $1; p image inspect --format '{{{{json .HealthCheck}}}}' $1; "
                  "p rmi -f $1 >/dev/null; p load -q $POLICY -i $2; " + RUN + "localhost/mine", name, archive)
    rl.shell(f"rm {archive}")
    ident = rl.ok("image", "inspect", "mine").json()[0]["Id"]
    assert lines[0] == ident
    assert lines[1:6] == SAYS and lines[6] == SAYS[0].replace("word", "other")
    assert lines[7] == '1000:1001 /srv/app {"/data":{}} SIGINT {"8080/tcp":{}}'
    if form == "docker":  # the OCI configuration has no health check for podman
        assert "test -e result" in lines[8] and "7000000000" in lines[8]
    assert lines[-len(SAYS):] == SAYS


@pytest.mark.rows("A26")
def test_squash_ids_of_a_base(rl, build, registry):
    """It is that of the pull."""
    trust, name = rl.trust(registry), registry.name("odd-owners:1")
    build.add("f")
    build("FROM BASE\nCOPY --chown=3000000:5 f /f\n", "--squash-ids", "-t", "odd")
    rl.ok("push", "-q", *trust, "odd", name)
    rl.ok("rmi", "-f", "odd")
    rl.ok("builder", "prune", "-f")
    text = f"FROM BASE\nCOPY --from={name} /f /f\nFROM {name}\nRUN stat -c %u:%g /f\n"
    for part in (text, text.split("\n", 2)[2]):
        r = build(part, *trust, rc=125)
        assert "uid 3000000 is not in your subordinate id range" in r.err and "--squash-ids" in r.err, r.err
    r = build(text, *trust, "--squash-ids")
    assert "\n0:5\n" in r.out


def test_base_for_the_platform_of_its_line(rl, build, registry, push):
    """FROM --platform= is what the pull asks for, also when the command line has no --platform."""
    layout = Layout()
    layout.add(index_of(layout, {("amd64", None): "plain", ("arm64", "v8"): "arm64"}), "t")
    name, trust = push(layout, "build/index:1", "--all"), rl.trust(registry)
    build(f"FROM --platform=linux/arm64 {name} AS other\nFROM scratch\nCOPY --from=other /f /f\n", *trust, "-t", "made")
    rl.ok("create", "--name", "c", "made", "x")
    assert rl.ok("export", "c", binary=True).out.count(b"arm64") == 1
    rl.ok("rm", "c")
    r = build(f"FROM --platform=linux/s390x {name}\n", *trust, rc=125)
    assert r.err.startswith(f"Error: build: Containerfile:1: FROM {name}: the one here is for another platform; pull: ")
    assert "no image for linux/s390x in it; there is: " in r.err


def test_errors_of_a_base_tell_it_once(rl, build, registry, policy):
    """Missing, of another platform, unreachable, forbidden: the name once, then the reason."""
    policy(registry, {"type": "insecureAcceptAnything"}, default="insecureAcceptAnything")
    trust, missing, here = rl.trust(registry), registry.name("nosuch:1"), registry.name("here:1")
    rl.ok("push", "-q", *trust, build.base, here)
    gone = f"127.0.0.1:{free_port()}/x:1"
    for text, options, want in (
            (f"FROM {missing}\n", trust, f"1: FROM {missing}: manifest: the registry does not have it"),
            (f"FROM BASE\nCOPY --from={missing} /a /a\n", trust, f"2: COPY: --from={missing}: manifest: the registry does not have it"),
            (f"FROM {missing}\n", ["--pull=never"], f"1: FROM {missing}: no such image here, and --pull=never\nhint: "),
            (f"FROM {gone}\n", ["--retry=0"], f"1: FROM {gone}: manifest: Failed to connect to "),
            ("FROM base\n", [*trust, "--build-context", f"base=docker-image://{missing}"], f"1: FROM base: image {missing}: manifest: the registry "),
            (f"FROM {here}\n", [*trust, "--platform=linux/s390x"], f"1: FROM {here}: it is for linux/amd64, not for linux/s390x\n")):
        r = build(text, *options, rc=125, env=rl.env)
        assert r.err.startswith("Error: build: Containerfile:" + want), r.err
        message = r.err.split("\nhint: ")[0]
        assert max(message.count(n) for n in (missing, here, gone)) == 1 and "pull " not in message, r.err
    policy(registry, {"type": "reject"}, default="insecureAcceptAnything")
    r = build(f"FROM {here}\n", *trust, "--pull", rc=125, env=rl.env)
    assert r.err.startswith(f"Error: build: Containerfile:1: FROM {here}: ") and "such images are rejected" in r.err, r.err
    assert r.err.split("\nhint: ")[0].count(here) == 1, r.err
