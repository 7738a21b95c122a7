"""dockerd with rootlet-oci as its default runtime, through its own containerd. The comparison is runc.
Row A10."""
import json

import pytest

from lib import runner

BASELINE = "runc"
NEEDS = ("dockerd", "docker", "containerd", "containerd-shim-runc-v2", "pidof")
IMAGE = "localhost/busybox:latest"
SOCKET = "/run/docker.sock"


class Docker:
    def __init__(self, machine, runtime, archive):
        self.machine, self.runtime = machine, runtime
        self.dir = machine.own_dir("docker")
        self.log = open(self.dir / "log", "ab")
        self.n = 0
        config = self.dir / "daemon.json"
        config.write_text(json.dumps({
            "data-root": str(self.dir / "data"), "exec-root": "/run/docker", "hosts": [f"unix://{SOCKET}"],
            "pidfile": "/run/docker.pid", "iptables": False, "ip6tables": False, "bridge": "none",
            "runtimes": {"tested": {"path": runtime}}, "default-runtime": "tested",
            "exec-opts": ["native.cgroupdriver=cgroupfs"], "storage-driver": "overlay2"}))
        self.daemon = machine.spawn("dockerd", "--config-file", config, stdout=self.log, stderr=self.log)
        # Not a child of a test.
        machine.children.remove(self.daemon)
        runner.wait_for(lambda: self("version").rc == 0, 30, "dockerd answers")
        self.ok("load", "-q", "-i", archive)
        # Makes what stays: the cgroup of all containers.
        self.run("true")

    def __call__(self, *args, **kw):
        return self.machine.run("docker", "-H", f"unix://{SOCKET}", *args, **kw)

    def ok(self, *args, **kw):
        return self(*args, rc=0, **kw)

    def run(self, *argv, options=(), **kw):
        return self("run", "--rm", "--network", "none", *options, IMAGE, *argv, **kw)

    def text(self, *argv, options=()):
        return self.run(*argv, options=options, rc=0).text

    def sleeper(self, *options, argv=("sleep", "1000")):
        self.n += 1
        self.ok("run", "-d", "--network", "none", "--name", f"c{self.n}", *options, IMAGE, *argv)
        return f"c{self.n}"

    def inspect(self, name, what):
        return self.ok("inspect", "--format", "{{json %s}}" % what, name).json()

    def clean(self):
        self.machine.end_children()
        for name in self.ok("ps", "-aq").out.split():
            self("rm", "-f", name)
        self("volume", "prune", "-f")

    def end(self):
        self.machine.shell("kill $(cat /run/docker.pid)")
        self.daemon.wait()
        self.log.close()


@pytest.fixture(scope="module")
def dockerd(machine, runtime, images):
    made = Docker(machine, runtime, images.path("busybox"))
    yield made
    made.end()


@pytest.fixture
def docker(dockerd, leak_audit):
    yield dockerd
    dockerd.clean()


@pytest.mark.parametrize("argv,rc", [(("sh", "-c", "exit 7"), 7), (("true",), 0), (("/no-such",), 127),
                                     (("no-such",), 127), (("/etc/motd",), 126)])
def test_exit_status(docker, argv, rc):
    docker.run(*argv, rc=rc)


def test_runtime_is_the_one(docker, runtime):
    assert docker.ok("info", "--format", "{{.DefaultRuntime}}").text == "tested"
    name = docker.sleeper()
    assert docker.inspect(name, ".HostConfig.Runtime") == "tested"


def test_streams(docker):
    r = docker.ok("run", "-i", "--rm", "--network", "none", IMAGE, "sh", "-c", "cat; echo err >&2", input="in\n")
    assert (r.out, r.err) == ("in\n", "err\n")


def test_terminal(docker):
    t = docker.machine.pty("docker", "-H", f"unix://{SOCKET}", "run", "-it", "--rm", "--network", "none", IMAGE,
                           "sh", rows=35, cols=95)
    t.expect("#")
    t.send("tty; sleep 0.5; stty size\n")
    t.expect("/dev/pts/0")
    t.expect("35 95")
    t.send("exit 9\n")
    assert t.wait() == 9


def test_exec(docker):
    name = docker.sleeper("-e", "FROM=run")
    r = docker.ok("exec", "-u", "1000", "-w", "/tmp", "-e", "E=x", name, "sh", "-c", "id -u; pwd; echo $E $FROM")
    assert r.out == "1000\n/tmp\nx run\n"
    docker("exec", name, "sh", "-c", "exit 3", rc=3)
    r = docker("exec", name, "/no-such")
    assert r.rc != 0 and "no such file or directory" in r.out + r.err


def test_stop_and_start(docker):
    name = docker.sleeper(argv=("sh", "-c", "trap 'exit 4' TERM; echo up; while :; do sleep 0.05; done"))
    runner.wait_for(lambda: "up" in docker.ok("logs", name).out)
    docker.ok("stop", "-t", "10", name)
    assert docker.inspect(name, ".State.ExitCode") == 4
    docker.ok("start", name)
    docker.ok("kill", name)
    assert docker.ok("wait", name).text == "137"


def test_pause(docker):
    name = docker.sleeper()
    docker.ok("pause", name)
    assert docker.inspect(name, ".State.Status") == "paused"
    docker.ok("unpause", name)
    assert docker.inspect(name, ".State.Status") == "running"


def test_top(docker):
    assert "sleep 1000" in docker.ok("top", docker.sleeper()).out


def test_volumes(docker):
    d = docker.machine.own_dir("bound")
    (d / "f").write_text("outside\n")
    out = docker.text("sh", "-c", "cat /data/f; touch /data/x 2>/dev/null || echo ro; cat /etc/motd",
                      options=("-v", f"{d}:/data:ro", "-v", "vol:/etc"))
    assert out == "outside\nro\nfrom the image"


def test_hardening(docker):
    options = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--tmpfs", "/scratch",
               "--ulimit", "nofile=64:64")
    script = "touch /x 2>/dev/null || echo ro; touch /scratch/x && echo rw; ulimit -n; " \
             "sed -n 's/^\\(CapEff\\|NoNewPrivs\\|Seccomp\\):\\t//p' /proc/self/status"
    assert docker.text("sh", "-c", script, options=options).split() == [
        "ro", "rw", "64", "0000000000000000", "1", "2"]


def test_namespaces_of_another(docker):
    name = docker.sleeper("--ipc", "shareable")
    for kind, option in (("pid", "--pid"), ("ipc", "--ipc")):
        out = docker.text("readlink", f"/proc/self/ns/{kind}", options=(option, f"container:{name}"))
        assert out == docker.ok("exec", name, "readlink", f"/proc/1/ns/{kind}").text


def test_init_and_health(docker):
    name = docker.sleeper("--init", "--health-cmd", "test -e /tmp/well || touch /tmp/well",
                          "--health-interval", "1s")
    assert docker.ok("exec", name, "cat", "/proc/1/comm").text in ("docker-init", "tini")
    runner.wait_for(lambda: docker.inspect(name, ".State.Health.Status") == "healthy", 20)


def test_device(docker):
    assert docker.text("stat", "-c", "%t,%T", "/dev/fuse", options=("--device", "/dev/fuse")) == "a,e5"
