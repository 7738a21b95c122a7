"""Unit files of containers under a real systemd: what the generator makes is started, stopped,
restarted and told of."""
import os
import pathlib
import shutil
import subprocess
import time

import pytest

from lib import images, rows

pytestmark = pytest.mark.systemd

PODMAN = "/usr/lib/systemd/user-generators/podman-user-generator"


def run(*argv, check=True, **kw):
    r = subprocess.run([str(a) for a in argv], capture_output=True, text=True, check=False,
                       stdin=subprocess.DEVNULL, timeout=90, **kw)
    assert not check or r.returncode == 0, f"{argv}: {r.returncode}\n{r.stdout}{r.stderr}"
    return r


def systemctl(*argv, check=True):
    return run("systemctl", "--user", *argv, check=check)


def show(unit, name):
    return systemctl("show", unit, f"-p{name}", "--value").stdout.strip()


def journal(unit):
    """By the identifier: the unit of a process that has ended already journald cannot tell."""
    return run("journalctl", "--user", "-o", "cat", "-t", unit, check=False).stdout


def until(what, seconds=30):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.1)


class Units:
    """Files in this user's own directory; the services run on the test's store."""

    def __init__(self, rootlet):
        self.rootlet, self.image = rootlet, "localhost/busybox:latest"
        layer = rootlet.user.home / "busybox.tar"  # the tools of other images are not in the beds
        images.busybox_layer().write(layer)
        rootlet.ok("import", layer, self.image)
        layer.unlink()
        self.dir = pathlib.Path.home() / ".config/rootlet/systemd"
        self.started = []
        environment = [f"{k}={v}" for k, v in rootlet.store.environment().items()]
        systemctl("set-environment", *environment)

    def quadlet(self, *argv, rc=0, match=None):
        """rootlet quadlet in this session, not in the test user's."""
        env = {"XDG_CONFIG_HOME": str(pathlib.Path.home() / ".config"),
               "XDG_RUNTIME_DIR": os.environ["XDG_RUNTIME_DIR"]}
        if rc:
            return self.rootlet.fails("quadlet", *argv, rc=rc, match=match, env=env)
        return self.rootlet.ok("quadlet", *argv, env=env)

    def write(self, name, text):
        path = self.dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("IMAGE", self.image))

    def reload(self, **files):
        for name, text in files.items():
            self.write(name, text)
        systemctl("daemon-reload")

    def start(self, unit, check=True):
        self.started.append(unit)
        return systemctl("start", unit, check=check)

    def end(self):
        for unit in reversed(self.started):
            systemctl("stop", unit, check=False)
        shutil.rmtree(self.dir, ignore_errors=True)
        systemctl("daemon-reload")
        systemctl("reset-failed", check=False)
        systemctl("unset-environment", *self.rootlet.store.environment())


@pytest.fixture
def units(rootlet):
    u = Units(rootlet)
    yield u
    u.end()


SLEEP = """[Container]
Image=IMAGE
Exec=sh -c "trap 'echo bye; exit 0' TERM; echo hello from %p; while :; do sleep 0.1; done"
"""


@rows("A42", "B42")
def test_a_service_from_a_file(units):
    """Started, in the journal under its name, main process the supervisor, stopped by its signal."""
    units.reload(**{"web.container": SLEEP})
    units.start("web")
    assert show("web", "ActiveState") == "active" and show("web", "SubState") == "running"
    pid = show("web", "MainPID")
    assert os.readlink(f"/proc/{pid}/exe").endswith("rootlet-supervise")
    assert units.rootlet.ok("ps", "--format", "{{.Names}}").text == "systemd-web"
    until(lambda: "hello from web" in journal("web"))
    assert show("web", "SourcePath") == str(units.dir / "web.container")
    assert "network-online" not in systemctl("show", "web", "-pAfter", "-pWants").stdout
    listed = units.quadlet("list", "--format", "{{.Name}} {{.UnitName}} {{.Status}}")
    assert listed.text == "web.container web.service active"
    systemctl("restart", "web")
    assert show("web", "MainPID") not in ("0", pid)
    systemctl("stop", "web")
    assert show("web", "Result") == "success" and "bye" in journal("web")
    assert units.rootlet.ok("ps", "-aq").out == ""


@rows("A42")
def test_exit_status_and_restart_by_systemd(units):
    units.reload(**{"bad.container": "[Container]\nImage=IMAGE\nExec=sh -c 'exit 7'\n"
                                     "[Service]\nRestart=on-failure\nRestartSec=0\n"
                                     "[Unit]\nStartLimitBurst=3\nStartLimitIntervalSec=100\n",
                    "none.container": "[Container]\nImage=localhost/none\n",
                    "once.container": "[Container]\nImage=IMAGE\nExec=echo done\n"
                                      "[Service]\nType=oneshot\n"})
    units.start("bad", check=False)
    until(lambda: show("bad", "ActiveState") == "failed")
    assert show("bad", "ExecMainStatus") == "7" and int(show("bad", "NRestarts")) >= 2
    assert units.start("none", check=False).returncode != 0
    assert "localhost/none" in journal("none")
    units.start("once")
    assert "done" in journal("once") and show("once", "Result") == "success"
    assert units.rootlet.ok("ps", "-aq").out == ""


@rows("B42")
def test_a_file_with_errors_is_a_unit_that_says_so(units):
    units.reload(**{"typo.container": "[Container]\nImage=IMAGE\nEnviroment=A=1\n",
                    "play.kube": "[Kube]\nYaml=x.yaml\n", "fine.container": SLEEP})
    assert systemctl("start", "typo", check=False).returncode != 0
    until(lambda: "did you mean Environment=?" in journal("typo"))
    assert "typo.container:3: Enviroment=: unknown key" in journal("typo")
    assert systemctl("start", "play", check=False).returncode != 0
    until(lambda: ".kube files are not supported" in journal("play"))
    units.start("fine")
    units.reload(**{"typo.container": "[Container]\nImage=IMAGE\nEnvironment=A=1\nExec=true\n"
                                      "[Service]\nType=oneshot\n"})
    systemctl("reset-failed", "typo", check=False)
    units.start("typo")


@rows("B42")
def test_templates_drop_ins_volumes_and_boot(units):
    units.reload(**{
        "job@.container": "[Container]\nImage=IMAGE\nVolume=data.volume:/data\n"
                          "Environment=WHO=%i\nExec=sh -c 'echo $$WHO $$MORE >/data/%i'\n"
                          "[Service]\nType=oneshot\n"
                          "[Install]\nWantedBy=default.target\nDefaultInstance=first\n",
        "job@.container.d/more.conf": "[Container]\nEnvironment=MORE=drop-in\n",
        "data.volume": "[Volume]\nLabel=a=b\nVolumeName=shared\n"})
    units.start("job@one")
    units.started += ["data-volume"]
    assert show("data-volume", "ActiveState") == "active"
    volume = units.rootlet.ok("volume", "inspect", "shared").json()[0]
    assert volume["Labels"] == {"a": "b"}
    assert (pathlib.Path(volume["Mountpoint"]) / "one").read_text() == "one drop-in\n"
    assert "job@first.service" in show("default.target", "Wants")
    assert units.rootlet.ok("ps", "-aq").out == ""
    units.rootlet.ok("volume", "rm", "shared")


@rows("B42", "B43")
def test_a_pod_and_its_containers(units):
    """They start with it, share its network, stop with it; one that is not to start does not."""
    member = SLEEP.replace("Image=IMAGE", "Image=IMAGE\nPod=shop.pod")
    units.reload(**{"shop.pod": "[Pod]\nHostName=shop\n", "one.container": member,
                    "two.container": member,
                    "off.container": member.replace("Pod=", "StartWithPod=no\nPod=")})
    units.start("shop-pod")
    for name in ("one", "two"):
        until(lambda n=name: show(n, "ActiveState") == "active")
    assert show("off", "ActiveState") == "inactive"
    assert units.rootlet.ok("exec", "systemd-one", "hostname").text == "shop"
    nets = {units.rootlet.ok("exec", f"systemd-{n}", "readlink", "/proc/self/ns/net").text
            for n in ("one", "two")}
    assert len(nets) == 1
    systemctl("restart", "one")
    assert units.rootlet.ok("exec", "systemd-one", "readlink", "/proc/self/ns/net").text in nets
    systemctl("stop", "shop-pod")
    assert show("one", "ActiveState") == "inactive" and show("one", "Result") == "success"
    assert units.rootlet.ok("ps", "-aq").out == "" and units.rootlet.ok("pod", "ps", "-q").out == ""
    # From the other end: a container's start brings its pod, and with it the others.
    units.start("two")
    assert show("shop-pod", "ActiveState") == "active"
    systemctl("stop", "shop-pod")


@rows("B42", "B43")
def test_active_when_healthy(units):
    """Notify=healthy: systemctl start waits for the first good check; Notify=yes for the container."""
    units.reload(**{"well.container": "[Container]\nImage=IMAGE\nNotify=healthy\n"
                    "HealthCmd=test -e /ok\nHealthInterval=200ms\n"
                    "Exec=sh -c \"trap 'exit 0' TERM; sleep 1; touch /ok; while :; do sleep 0.1; done\"\n"})
    began = time.monotonic()
    units.start("well")
    assert time.monotonic() - began > 0.9
    assert "(healthy)" in units.rootlet.ok("ps", "--format", "{{.Status}}").text
    systemctl("stop", "well")
    assert show("well", "Result") == "success"


@rows("B42", "A39")
@pytest.mark.guest
def test_limits_and_reload(units):
    """Keys of limits are in force below the unit's own group; reload signals the container."""
    if "memory" not in pathlib.Path("/sys/fs/cgroup/cgroup.controllers").read_text().split():
        pytest.skip("no controllers in this bed")
    units.reload(**{"small.container": "[Container]\nImage=IMAGE\nMemory=64m\nPidsLimit=50\n"
                    "ReloadSignal=USR1\nExec=sh -c \"trap 'echo again' USR1; trap 'exit 0' TERM; "
                    "echo up; while :; do sleep 0.1; done\"\n"})
    units.start("small")
    group = pathlib.Path("/sys/fs/cgroup") / show("small", "ControlGroup").lstrip("/")
    container = next(group.glob("rootlet-*.scope/container"))
    assert (container / "memory.max").read_text() == f"{64 << 20}\n"
    assert (container / "pids.max").read_text() == "50\n"
    until(lambda: "up" in journal("small"))
    systemctl("reload", "small")
    until(lambda: "again" in journal("small"))
    systemctl("stop", "small")
    assert show("small", "Result") == "success"


@rows("B42")
def test_installed_by_the_command(units, tmp_path):
    source = tmp_path / "app"
    source.mkdir()
    (source / "env").write_text("FROM=file\n")
    (source / "app.container").write_text(
        f"[Container]\nImage={units.image}\nEnvironmentFile=./env\nExec=sh -c 'echo $$FROM'\n"
        "[Service]\nType=oneshot\n")
    (source / "web.container").write_text(SLEEP.replace("IMAGE", units.image))
    r = units.quadlet("install", source)
    assert r.out.splitlines() == [str(units.dir / "app" / n)
                                  for n in ("app.container", "env", "web.container")]
    units.start("app")
    assert "file" in journal("app").split()
    units.start("web")
    units.quadlet("rm", "web.container", rc=2, match="active")
    units.quadlet("rm", "--force", "web.container")
    assert show("web", "LoadState") == "not-found"
    assert units.rootlet.ok("ps", "-aq").out == ""


@rows("B42")
@pytest.mark.skipif(not pathlib.Path(PODMAN).exists(), reason="podman has no generator here")
def test_beside_podmans_generator(units):
    """Files of podman's directory are podman's; one with [X-Rootlet] is ours, whoever writes first."""
    shared = pathlib.Path.home() / ".config/containers/systemd"
    shared.mkdir(parents=True)
    try:
        (shared / "theirs.container").write_text(SLEEP.replace("IMAGE", units.image))
        (shared / "ours.container").write_text(SLEEP.replace("IMAGE", units.image) + "[X-Rootlet]\n")
        units.write("both.container", SLEEP)
        (shared / "both.container").write_text(SLEEP.replace("IMAGE", units.image))
        for _ in range(3):
            systemctl("daemon-reload")
            assert "/podman run" in show("theirs", "ExecStart")
            assert "/rootlet run" in show("ours", "ExecStart")
            assert "/rootlet run" in show("both", "ExecStart")
        units.start("ours")
        assert units.rootlet.ok("ps", "--format", "{{.Names}}").text == "systemd-ours"
    finally:
        shutil.rmtree(shared)


@rows("B42")
@pytest.mark.parametrize("new", [True, False])
def test_generate_systemd(units, tmp_path, new):
    units.rootlet.ok("create", "--name", "web", "--stop-timeout", "3", "-e", "A=50% $x",
                     units.image, "sh", "-c",
                     "trap 'exit 0' TERM; echo \"A is $A\"; while :; do sleep 0.1; done")
    r = units.rootlet.ok("generate", "systemd", "--files", "--name", *(["--new"] if new else []),
                         "web", cwd=tmp_path)
    assert r.text == str(tmp_path / "container-web.service")
    run("systemd-analyze", "--user", "verify", r.text)
    unit = pathlib.Path.home() / ".config/systemd/user/container-web.service"
    unit.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(r.text, unit)
    try:
        systemctl("daemon-reload")
        units.start("container-web")
        until(lambda: "A is 50% $x" in journal("container-web"))
        systemctl("stop", "container-web")
        assert show("container-web", "Result") == "success"
        names = units.rootlet.ok("ps", "-a", "--format", "{{.Names}}").text
        assert names == ("" if new else "web")
    finally:
        unit.unlink()


@rows("B42")
def test_systemd_reads_every_unit(tmp_path):
    """The files of tests/cli/quadlet: no word in a unit that systemd does not know."""
    files = pathlib.Path(__file__).parent / "quadlet"
    generator = pathlib.Path(os.environ["BUILDDIR"]) / "rootlet-user-generator"
    run(generator, tmp_path, env={"QUADLET_UNIT_DIRS": str(files), "HOME": "/nonexistent",
                                  "SYSTEMD_GENERATOR_PATH": "/nonexistent"})
    units = sorted(p for p in tmp_path.glob("*.service") if "@." not in p.name)
    assert len(units) > 35
    bad = tmp_path / "bad.service"
    bad.write_text("[Service]\nNoSuchKey=1\nExecStart=/bin/true\n")
    units.append(bad)
    r = run("systemd-analyze", "--user", "--man=no", "verify", *units, check=False,
            env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"})
    told = [line for line in (r.stdout + r.stderr).splitlines() if str(tmp_path) in line]
    assert [line.partition(":")[0] for line in told] == [str(bad)], "\n".join(told)
