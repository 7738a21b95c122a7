"""Unit files of containers: what the commands make of them and say of them. The services of
tests/cli/quadlet are compared with NAME.service beside the files; QUADLET_UPDATE=1 writes them."""
import os
import pathlib
import re
import shutil

import pytest

from lib import host, rows

FILES = pathlib.Path(__file__).parent / "quadlet"
KINDS = (".container", ".volume", ".network", ".pod", ".image", ".build")
CASES = sorted(p.name for p in FILES.iterdir() if p.suffix in KINDS)


def call(rootlet, *argv, **kw):
    """Without this user's own files, which are nobody's business."""
    env = {"XDG_CONFIG_HOME": str(rootlet.user.home / "config"), "QUADLET_UNIT_DIRS": "/nonexistent",
           "SYSTEMD_GENERATOR_PATH": "/nonexistent", **kw.pop("env", {})}
    return rootlet("quadlet", *argv, env=env, **kw)


@pytest.fixture(scope="module")
def where(module_rootlet):
    path = module_rootlet.user.home / "quadlet-files"
    shutil.copytree(FILES, path)
    yield path
    shutil.rmtree(path)


@rows("B42")
@pytest.mark.parametrize("name", CASES)
def test_service(module_rootlet, where, name):
    r = call(module_rootlet, "print", where / name, rc=0)
    text = r.out.replace(str(where), "/files").replace(module_rootlet.program, "/usr/bin/rootlet")
    want = FILES / f"{name}.service"
    if os.environ.get("QUADLET_UPDATE"):
        want.write_text(text)
    assert text == want.read_text()


ERRORS = [
    ("x.container", "[Container]\nImage=a\nPublishPort=8080:80\nPublishPort=http\n", r"4: PublishPort=: .*not a port.*\n.*hint: for example"),
    ("x.network", "[Network]\nSubnet=10.0.0.1\n", r'x.network:2: Subnet=: "10.0.0.1" is not ADDRESS/BITS\n.*hint: for example'),
    ("x.container", "[Container]\nImage=a\nNotfy=yes\n", r"x.container:3: Notfy=: unknown key.*\n.*did you mean Notify=\?"),
    ("x.container", "[Container]\nExec=true\n", "x.container: Image= is missing"),
    ("x.container", "[Container]\nImage=a\nRootfs=/r\n", "x.container:3: Rootfs=: Image= says"),
    ("x.container", "[Contaner]\nImage=a\n", r"nothing reads the section \[Contaner\]\n.*\[Container\]\?"),
    ("x.container", "[Container]\nImage=a\nSecret=s\n", "Secret=: rootlet has nothing for it\n.*/run/secrets"),
    ("x.container", "[Container]\nImage=a\nContainersConfModule=/x\n", "3: ContainersConfModule=.*\n.*rootlet.conf"),
    ("x.container", "[Container]\nImage=a\nSubUIDMap=x\n", "3: SubUIDMap=.*\n.*subuid"),
    ("x.container", "[Container]\nImage=a\nGroup=5\n", "3: Group=: a group without User="),
    ("x.container", "[Container]\nImage=a\nReadOnly=maybe\n", "3: ReadOnly=: \"maybe\" is neither true nor false"),
    ("x.container", "[Container]\nImage=a\nExec=a \\q b\n", r"3: Exec=: systemd knows no escape sequence \\q"),
    ("x.container", "[Container]\nImage=a\nVolume=no.volume:/x\n", "3: Volume=: there is no file no.volume"),
    ("x.container", "[Container]\nImage=no.image\n", "2: Image=: there is no file no.image"),
    ("x.container", "[Container]\nImage=a\nPod=no.pod\n", "3: Pod=: there is no file no.pod"),
    ("x.container", "[Container]\nImage=a\nPod=web\n", "3: Pod=: web is no .pod file"),
    ("x.container", "[Unit]\nAfter=no.container\n[Container]\nImage=a\n", "2: After=: there is no file no.container"),
    ("x.container", "[Container]\nImage=a\nHttpProxy=true\n", "3: HttpProxy=.*\n.*http_proxy="),
    ("x.container", "[Container]\nImage=a\nAutoUpdate=daily\n", "\"daily\" is neither registry nor local"),
    ("x.container", "[Container]\nImage=a\nReloadCmd=a\nReloadSignal=HUP\n", "4: ReloadSignal=: ReloadCmd= says"),
    ("x.container", "[Container]\nImage=a\nUserNS=auto\nRemapUsers=auto\n", "4: RemapUsers=: UserNS="),
    ("x.container", "[Container]\nImage=a\nServiceName=../x\n", "3: ServiceName=: \"../x.service\" is no name of a unit"),
    ("x.container", "[Container]\nImage=a\n[Service]\nExecStart=/bin/true\n", "4: ExecStart=: the service's command"),
    ("x.container", "[Container]\nImage=a\n[Service]\nType=forking\n", "4: Type=: .*cannot be of type forking"),
    ("x.container", "[Container]\nImage=a\n[Service]\nKillMode=none\n", "4: KillMode=: .*KillMode=none"),
    ("x.container", "[Container]\nImage=a\nEnvironmentFile=-/etc/x\n", "3: EnvironmentFile=: the file has to be there"),
    ("x.container", "[Container]\nImage=a\nPodmanArgs=--nonsense\n", "rootlet run: unknown flag: --nonsense"),
    ("x.container", "[Container]\nImage=a\nMount=type=nfs,dst=/x\n", "3: Mount=: there is no mount of type nfs"),
    ("x.container", "[Container]\nImage=a\nMount=type=artifact,source=x.artifact,dst=/x\n[Quadlet]\nX=1\n", "5: X=: unknown key of .Quadlet"),
    ("x.container", "Image=a\n", "x.container:1: .* stands in no section"),
    ("x.container", "[Container]\nImage\n", "x.container:2: no \"=\" in \"Image\""),
    ("x.container", "[Container\nImage=a\n", "x.container:1: .* is no section"),
    ("x.container", "[Container]\nImage=a\x01\n", "x.container:2: a control character"),
    ("x.kube", "[Kube]\nYaml=a\n", "x.kube: .kube files are not supported"),
    ("x.artifact", "[Artifact]\nArtifact=a\n", "x.artifact: .artifact files are not supported"),
    ("x.volume", "[Volume]\nType=tmpfs\n", "2: Type=: Type= wants Device="),
    ("x.volume", "[Volume]\nDriver=nfs\n", "2: Driver=: there is no driver nfs"),
    ("x.volume", "[Volume]\nCopy=no\n", "2: Copy=: .*\n.*x.volume:/DIR:nocopy"),
    ("x.network", "[Network]\nGateway=192.0.2.1\n", "2: Gateway=: more of them than of Subnet="),
    ("x.image", "[Image]\nRetry=3\n", "x.image: Image= is missing"),
    ("x.build", "[Build]\nFile=/a\n", "x.build: ImageTag= is missing"),
    ("x.build", "[Build]\nImageTag=a\nFile=./a\n", "3: File=: a relative path wants"),
]


@rows("B42")
@pytest.mark.parametrize("name,text,want", ERRORS)
def test_errors_name_file_line_and_key(module_rootlet, name, text, want):
    """Each by check, with status 1; and with .service made of it, the generator's stand-in."""
    d = module_rootlet.user.home / "wrong"
    d.mkdir(exist_ok=True)
    path = d / name
    path.write_text(text)
    r = call(module_rootlet, "check", path, rc=1)
    path.unlink()
    assert re.search(want, r.out), r
    assert "error: " in r.out or "unknown flag" in r.out


LATER = [("HealthStartupCmd=x", "HealthStartupCmd=: comes with a later")]


@rows("B42")
@pytest.mark.parametrize("line,want", LATER)
def test_what_comes_later_is_told(module_rootlet, line, want):
    path = module_rootlet.user.home / "later.container"
    path.write_text(f"[Container]\nImage=a\n{line}\n")
    r = call(module_rootlet, "check", path, rc=1)
    assert "not yet: " in r.out and want in r.out and "later.container:3" in r.out
    assert "ExecStart=" in call(module_rootlet, "print", path, rc=0).out
    path.unlink()


@rows("B42")
def test_networks_and_ports(module_rootlet):
    """All that a container or a pod can say of its network, and what goes wrong in a word of it."""
    for kind, body in (("container", "[Container]\nImage=a\n"), ("pod", "[Pod]\n")):
        path = module_rootlet.user.home / f"n.{kind}"
        path.write_text(f"{body}Network=web:alias=x\nNetwork=db\nNetworkAlias=y\nPublishPort=127.0.0.1:8080:80\nDNS=192.0.2.1\nIP6=fd00::9\n")
        out = call(module_rootlet, "check", path, rc=0).out
        assert "not yet" not in out
        out = call(module_rootlet, "print", path, rc=0).out
        assert " --dns=192.0.2.1 " in out and " --ip6=fd00::9 " in out and " --network-alias=y " in out
        assert " --publish=127.0.0.1:8080:80 " in out and " --network=web:alias=x --network=db " in out
        path.unlink()
    path = module_rootlet.user.home / "n.network"
    path.write_text("[Network]\nSubnet=10.76.0.0/24\nGateway=10.76.0.1\nIPRange=10.76.0.128/25\nInternal=true\nDNS=192.0.2.1\n")
    assert "not yet" not in call(module_rootlet, "check", path, rc=0).out
    (line,) = [x for x in call(module_rootlet, "print", path, rc=0).out.splitlines() if x.startswith("ExecStart=")]
    words = line.split()[1:]
    module_rootlet.ok(*words)
    assert module_rootlet.ok("network", "inspect", "-f", "{{.internal}} {{.network_dns_servers}}", "systemd-n").text == "true [192.0.2.1]"
    module_rootlet.ok(*words)  # the service is started again
    module_rootlet.ok("network", "rm", "systemd-n")
    path.write_text("[Network]\nDriver=bridge\n")
    r = call(module_rootlet, "check", path, rc=0)
    assert "2: Driver=: a bridge of the host where rootlet-net-helper is set up" in r.out + r.err, r
    path.unlink()


@rows("B42")
def test_words_that_run_refuses_are_told(module_rootlet):
    """The %N in the name that it gives itself is no word that only systemd understands."""
    path = module_rootlet.user.home / "gpu.container"
    path.write_text("[Container]\nImage=a\nPodmanArgs=--gpus all\n")
    assert re.search("^not yet: .*gpu.container: rootlet run: --gpus is not there yet",
                     call(module_rootlet, "check", path, rc=1).out)
    path.unlink()


@rows("B42")
def test_a_good_file_has_status_0(module_rootlet, where):
    r = call(module_rootlet, "check", where / "basic.container", where / "data.volume", rc=0)
    assert r.out == "basic.container: basic.service\ndata.volume: data-volume.service\n"
    assert call(module_rootlet, "check", "--quiet", where / "basic.container", rc=0).out == ""
    assert call(module_rootlet, "check", "/nonexistent/x.container").rc == 125
    assert "tells no kind" in call(module_rootlet, "check", "/etc/passwd", rc=125).err
    r = call(module_rootlet, "check", "--fail", where / "basic.container", rc=1)
    assert "daemon-reload" in r.out


def generator(rootlet, home, out, env=None, rc=0):
    dirs = [out / n for n in ("normal", "early", "late")]
    for d in dirs:
        d.mkdir(parents=True, exist_ok=True)
        shutil.chown(d, rootlet.user.uid, rootlet.user.gid) if host.is_root() else None
    e = {"XDG_CONFIG_HOME": str(home), "XDG_RUNTIME_DIR": "/nonexistent",
         "SYSTEMD_GENERATOR_PATH": "/nonexistent", **(env or {})}
    program = str(pathlib.Path(rootlet.program).parent / "rootlet-user-generator")
    return rootlet(*dirs, program=program, env=e, rc=rc)


@pytest.fixture
def home(rootlet):
    """A configuration directory, and what the generator writes."""
    path = rootlet.user.home / "gen"
    for d in ("c/rootlet/systemd/sub", "c/containers/systemd", "out", "bin"):
        (path / d).mkdir(parents=True)
    if host.is_root():
        for p in (path, path / "out"):
            shutil.chown(p, rootlet.user.uid, rootlet.user.gid)
    yield path
    shutil.rmtree(path)


def test_too_many_directories(rootlet, home):
    """A link to a large tree must not hold up a login; what was found before is made."""
    (home / "c/rootlet/systemd/a.container").write_text("[Container]\nImage=x\n")
    for i in range(1100):
        (home / f"bin/tree/{i}").mkdir(parents=True)
    (home / "c/rootlet/systemd/link").symlink_to(home / "bin/tree")
    r = generator(rootlet, home / "c", home / "out")
    assert "only the first 1000 directories" in r.err and (home / "out/normal/a.service").exists()


def tree(path):
    return sorted(str(p.relative_to(path)) for p in path.rglob("*") if not p.is_dir())


@rows("B42")
def test_the_generators_directories(rootlet, home):
    """The first of a name wins, sub-directories count, a bad file stops no other, links enable."""
    own, theirs = home / "c/rootlet/systemd", home / "c/containers/systemd"
    good = "[Container]\nImage=a\n[Install]\nWantedBy=default.target x/y\nAlias=other.service\n"
    (own / "a.container").write_text(good.replace("=a", "=own"))
    (theirs / "a.container").write_text(good)
    (own / "sub/b.container").write_text("[Container]\nImage=a\nBad=1\n[Install]\nWantedBy=default.target\n")
    (theirs / "c.volume").write_text("")
    (theirs / "d.container").symlink_to("/dev/null")
    (own / "e.container").symlink_to("/dev/null")
    (theirs / "e.container").write_text(good)
    os.mkfifo(theirs / "f.container")
    r = generator(rootlet, home / "c", home / "out", rc=1)
    assert tree(home / "out") == [
        "normal/a.service", "normal/b.service", "normal/c-volume.service",
        "normal/default.target.wants/a.service", "normal/default.target.wants/b.service",
        "normal/f.service", "normal/other.service"]
    assert "localhost" not in (home / "out/normal/a.service").read_text()
    assert " own\n" in (home / "out/normal/a.service").read_text()
    assert os.readlink(home / "out/normal/default.target.wants/a.service") == "../a.service"
    assert os.readlink(home / "out/normal/other.service") == "a.service"
    text = (home / "out/normal/b.service").read_text()
    assert f"quadlet check --fail {own}/sub/b.container" in text
    assert "<3>rootlet-user-generator: " in r.err and "b.container:3: Bad=: unknown key" in r.err
    assert "f.container: no regular file" in r.err


@rows("B42")
@pytest.mark.parametrize("setting,normal,early", [
    (None, ["mine"], ["both", "marked"]), ("all", ["mine"], ["both", "marked", "theirs"]),
    ("own", ["mine"], ["both"])])
def test_beside_podmans_generator(rootlet, home, setting, normal, early):
    """What podman's generator makes too is written where systemd looks first."""
    podman = home / "bin/podman-user-generator"
    podman.write_text("#!/bin/sh\n")
    podman.chmod(0o755)
    own, theirs = home / "c/rootlet/systemd", home / "c/containers/systemd"
    text = "[Container]\nImage=a\n"
    for path in (own / "mine.container", own / "both.container", theirs / "both.container",
                 theirs / "theirs.container"):
        path.write_text(text)
    (theirs / "marked.container").write_text(text + "[X-Rootlet]\n")
    if setting:
        (home / "c/rootlet/rootlet.conf").write_text(f"quadlet = {setting}\n")
    env = {"SYSTEMD_GENERATOR_PATH": f"/nonexistent:{home}/bin"}
    generator(rootlet, home / "c", home / "out", env=env)
    assert tree(home / "out/normal") == [f"{n}.service" for n in normal]
    assert tree(home / "out/early") == [f"{n}.service" for n in early]
    # Masked as systemd.generator(7) says, it makes nothing.
    (home / "first").mkdir()
    (home / "first/podman-user-generator").symlink_to("/dev/null")
    env = {"SYSTEMD_GENERATOR_PATH": f"{home}/first:{home}/bin"}
    generator(rootlet, home / "c", home / "out/2", env=env)
    assert tree(home / "out/2/early") == []


@rows("B42")
def test_a_unit_of_that_name_is_not_overwritten(rootlet, home):
    (home / "c/rootlet/systemd/a.container").write_text("[Container]\nImage=a\n")
    (home / "c/rootlet/systemd/b.container").write_text("[Container]\nImage=a\nServiceName=a\n")
    r = generator(rootlet, home / "c", home / "out", rc=1)
    assert tree(home / "out") == ["normal/a.service"]
    assert "a.service was made by another" in r.err
    # A run by hand, again: what it made before is made anew, what others made stays.
    (home / "c/rootlet/systemd/a.container").write_text("[Container]\nImage=other\n")
    (home / "c/rootlet/systemd/b.container").write_text("[Container]\nImage=a\n")
    (home / "out/normal/b.service").write_text("[Service]\n")
    r = generator(rootlet, home / "c", home / "out", rc=1)
    assert " other\n" in (home / "out/normal/a.service").read_text()
    assert (home / "out/normal/b.service").read_text() == "[Service]\n"


@rows("B42")
def test_dry_run_prints(rootlet, home):
    (home / "c/rootlet/systemd/a.container").write_text("[Container]\nImage=a\n")
    program = str(pathlib.Path(rootlet.program).parent / "rootlet-user-generator")
    env = {"XDG_CONFIG_HOME": str(home / "c"), "SYSTEMD_GENERATOR_PATH": "/nonexistent"}
    r = rootlet("-dryrun", program=program, env=env, rc=0)
    assert r.out.startswith("---a.service---\n#") and "ExecStart=" in r.out
    assert rootlet(program=program, env=env, rc=1).err.startswith("usage:")


@rows("B42")
def test_install_and_rm(rootlet, home):
    source = home / "app"
    (source / "web.container.d").mkdir(parents=True)
    (source / "web.container").write_text("[Container]\nImage=a\nVolume=data.volume:/d\n")
    (source / "web.container.d/x.conf").write_text("[Container]\nExec=true\n")
    (source / "data.volume").write_text("")
    (source / "env").write_text("A=1\n")
    own = home / "new/rootlet/systemd"
    (home / "new").mkdir()
    if host.is_root():
        shutil.chown(home / "new", rootlet.user.uid, rootlet.user.gid)
    env = {"XDG_CONFIG_HOME": str(home / "new"), "XDG_RUNTIME_DIR": "/nonexistent"}
    # A reference that nothing resolves is an error, and nothing is copied.
    (home / "web.container").write_text((source / "web.container").read_text())
    r = call(rootlet, "install", home / "web.container", env=env, rc=1)
    assert "there is no file data.volume" in r.out and not own.exists()
    r = call(rootlet, "install", source, env=env, rc=0)
    assert tree(own) == ["app/data.volume", "app/env", "app/web.container", "app/web.container.d/x.conf"]
    assert "daemon-reload" in r.err
    assert "--replace" in call(rootlet, "install", source, env=env, rc=125).err
    call(rootlet, "install", "--replace", source, env=env, rc=0)
    r = call(rootlet, "list", "--format", "{{.Name}} {{.UnitName}} {{.Status}}", env=env, rc=0)
    assert r.out == "data.volume data-volume.service unknown\nweb.container web.service unknown\n"
    call(rootlet, "rm", "web.container", env=env, rc=0)
    assert tree(own) == ["app/data.volume", "app/env"]
    assert "there is no unit file" in call(rootlet, "rm", "web.container", env=env, rc=1).err
    call(rootlet, "rm", "--ignore", "web.container", env=env, rc=0)


@rows("B42")
def test_keys_are_in_the_manual_page_and_options_of_run(rootlet):
    """The table, the page and run's own options agree."""
    page = (pathlib.Path(__file__).parents[2] / "man/rootlet-quadlet.5").read_text().replace("\\-", "-")
    known = {line.split("\t")[1] for line in rootlet.ok("help", "--dump").out.splitlines()
             if line.startswith("run\t")}
    options = {word for names in known for word in names.split(",")}
    keys = [line.split("\t") for line in call(rootlet, "keys", rc=0).out.splitlines()]
    assert len(keys) > 200
    for section, key, state, what in keys:
        assert key in page
        if section == "Container" and state == "yes" and what.startswith("--"):
            assert what.split()[0].split("=")[0] in options, (key, what)
    assert "no such kind" in call(rootlet, "keys", "unknown", rc=125).err


@rows("B43")
def test_generate_systemd_takes_the_options_over(rootlet):
    image = rootlet.image()
    rootlet.ok("create", "-it", "--name", "web", "-eA=50% $x", "--label", "l=a b", "--hostname=h",
               image, "sleep", "1000")
    text = rootlet.ok("generate", "systemd", "--new", "--time", "3", "--after", "a.service", "web").out
    assert text.startswith("# container-web.service\n")
    line = next(x for x in text.splitlines() if x.startswith("ExecStart="))
    assert line == (f'ExecStart={rootlet.program} run --unit --rm --replace --name=web '
                    f'--stop-timeout=3 "-eA=50%% $$x" --label "l=a b" --hostname=h {image} sleep 1000')
    assert "TimeoutStopSec=63" in text and "After=a.service" in text
    plain = rootlet.ok("generate", "systemd", "web").out
    assert f"ExecStart={rootlet.program} start --unit web\n" in plain and "ExecStopPost" not in plain
    rootlet.fails("generate", "systemd", "--restart-policy", "maybe", "web", match="no such policy")
    rootlet.fails("generate", "systemd", "--after", "x\ny", "web", match="is no unit")
    rootlet.fails("generate", "systemd", "nope", match="nope")
