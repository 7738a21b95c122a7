"""Pods as a kubelet makes them: containerd's CRI service with a runtime handler "rootlet", which is what a
RuntimeClass names. docs/kubernetes.md shows this configuration. The comparison is runc. Rows A10, A24."""
import hashlib
import io
import json
import re
import tarfile

import pytest

from lib import images as images_, runner
from containerd_client import Containerd
from cri_client import Cri, CriError

BASELINE = "runc"
NEEDS = ("containerd", "ctr", "containerd-shim-runc-v2", "pidof", "/usr/lib/cni/bridge")
IMAGE = "localhost/busybox:latest"
PAUSE = "localhost/pause:latest"
# Without the cpu controller in version 2 no share can be given (a kubelet wants one): no cgroups then.
CONF = """[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause}"
disable_cgroup = {disable_cgroup}
restrict_oom_score_adj = true
disable_apparmor = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{dir}/net.d"
"""
NETWORK = {"cniVersion": "0.4.0", "name": "pods", "plugins": [
    {"type": "bridge", "bridge": "pods0", "isGateway": True,
     "ipam": {"type": "host-local", "subnet": "10.77.0.0/24", "dataDir": "/run/cni"}}]}
NODE = {"network": 2}
RUNNING, EXITED = 1, 2


def pause_image(path):
    """An image whose program waits, as a docker-archive."""
    layer = images_.busybox_layer()
    layer.tar.close()
    data = layer.buffer.getvalue()
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/bin/sleep", "1000000"]},
                         "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(data).hexdigest()]},
                         "history": [{"created_by": "tests"}]}).encode()
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [PAUSE], "Layers": ["layer.tar"]}]).encode()
    with tarfile.open(path, "w") as tar:
        for name, content in (("config.json", config), ("layer.tar", data), ("manifest.json", manifest)):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture(scope="module")
def containerd(machine, runtime, images):
    pytest.importorskip("grpc", reason="python3-grpcio is not installed (make check installs it)")
    controllers = machine.ok("cat", "/sys/fs/cgroup/cgroup.controllers").out.split()
    conf = CONF.format(pause=PAUSE, dir=machine.dir, disable_cgroup=str("cpu" not in controllers).lower())
    (machine.dir / "net.d").mkdir()
    (machine.dir / "net.d/10-pods.conflist").write_text(json.dumps(NETWORK))
    daemon = Containerd(machine, runtime, images.path("busybox"), conf)
    for archive in (images.path("busybox"), pause_image(machine.dir / "pause.tar")):
        daemon.ok("-n", "k8s.io", "images", "import", archive)
    daemon.cri = Cri(machine, daemon.socket)
    # What stays: the bridge.
    pod = Pod(daemon, "first")
    pod.end()
    yield daemon
    daemon.cri.end()
    daemon.end()


class Pod:
    def __init__(self, daemon, name, handler="rootlet", options=None, **linux):
        self.daemon, self.cri, self.name = daemon, daemon.cri, name
        self.logs = daemon.machine.dir / f"logs-{name}"
        self.config = {"metadata": {"name": name, "uid": f"uid-{name}", "namespace": "default"},
                       "log_directory": str(self.logs), "labels": {"app": name},
                       "linux": {"security_context": {"namespace_options": options or {}}, **linux}}
        # On the node's network a pod has the node's name.
        if (options or {}).get("network") != 2:
            self.config["hostname"] = name
        self.id = self.cri.RunPodSandbox(config=self.config, runtime_handler=handler)["pod_sandbox_id"]

    def create(self, name, *command, mounts=(), **security):
        options = self.config["linux"]["security_context"]["namespace_options"]
        config = {"metadata": {"name": name}, "image": {"image": IMAGE}, "command": command,
                  "log_path": f"{name}.log", "mounts": mounts, "envs": [{"key": "E", "value": "x y"}],
                  "linux": {"security_context": {"namespace_options": options, **security}}}
        return self.cri.CreateContainer(pod_sandbox_id=self.id, config=config,
                                        sandbox_config=self.config)["container_id"]

    def run(self, name, *command, **kw):
        container = self.create(name, *command, **kw)
        self.cri.StartContainer(container_id=container)
        return container

    def status(self, container):
        return self.cri.ContainerStatus(container_id=container)["status"]

    def wait(self, container):
        """The exit status."""
        return runner.wait_for(lambda: (s := self.status(container)).get("state") == EXITED and s, 20
                               ).get("exit_code", 0)

    def exec(self, container, *command):
        r = self.cri.ExecSync(container_id=container, cmd=command, timeout=20)
        return r.get("exit_code", 0), r.get("stdout", b"").decode(), r.get("stderr", b"").decode()

    def log(self, name):
        return (self.logs / f"{name}.log").read_text()

    def end(self):
        self.cri.StopPodSandbox(pod_sandbox_id=self.id)
        self.cri.RemovePodSandbox(pod_sandbox_id=self.id)


@pytest.fixture
def pod(containerd, leak_audit, request):
    made = []

    def make(**kw):
        # A log goes on where a container of this name has written before.
        made.append(Pod(containerd, f"pod-{containerd.fresh()}", **kw))
        return made[-1]
    yield make
    for p in made:
        p.end()
    containerd.clean()


def test_service_is_ready(containerd, leak_audit):
    conditions = {c["type"]: c.get("status") for c in containerd.cri.Status()["status"]["conditions"]}
    assert conditions == {"RuntimeReady": 1, "NetworkReady": 1}


def test_handler(pod, containerd, runtime):
    """The handler's program is the one that has the container."""
    p = pod()
    status = containerd.cri.PodSandboxStatus(pod_sandbox_id=p.id)["status"]
    assert status["runtime_handler"] == "rootlet" and status.get("state", 0) == 0
    root = "/run/containerd/runc/k8s.io"
    out = containerd.machine.ok(runtime, "--root", root, "list", "-q").out.split()
    assert p.id in out


def test_handler_that_nobody_configured(containerd, leak_audit):
    with pytest.raises(CriError, match="no runtime for"):
        Pod(containerd, "none", handler="no-such")


def test_life_of_a_pod(pod):
    p = pod()
    c = p.run("main", "sh", "-c", "echo out; echo err >&2; echo $E; exit 7")
    assert p.wait(c) == 7
    assert p.status(c)["reason"] == "Error"
    lines = [re.fullmatch(r"\S+ (stdout|stderr) F (.*)", line).groups() for line in p.log("main").splitlines()]
    assert sorted(lines) == [("stderr", "err"), ("stdout", "out"), ("stdout", "x y")]


def test_containers_of_a_pod_share_namespaces(pod):
    p = pod(options={"pid": 1})
    first, second = p.run("a", "sleep", "1000"), p.run("b", "sleep", "1000")
    for kind, same in (("net", True), ("ipc", True), ("uts", True), ("pid", False), ("mnt", False)):
        links = {p.exec(c, "readlink", f"/proc/1/ns/{kind}")[1] for c in (first, second)}
        assert (len(links) == 1) is same, kind
    assert p.exec(first, "hostname")[1] == f"{p.name}\n"


def test_shared_processes(pod):
    p = pod(options={"pid": 0})
    p.run("a", "sleep", "4731")
    second = p.run("b", "sleep", "1000")
    assert "sleep 4731" in p.exec(second, "ps", "-o", "args")[1]


def test_network_between_pods(pod, containerd):
    server, client = pod(), pod()
    server.run("main", "sh", "-c", "echo hello | nc -l -p 8080")
    address = containerd.cri.PodSandboxStatus(pod_sandbox_id=server.id)["status"]["network"]["ip"]
    c = client.run("main", "sleep", "1000")
    out = runner.wait_for(lambda: client.exec(c, "nc", "-w", "3", address, "8080")[1])
    assert out == "hello\n"


def test_network_of_the_node(pod, containerd):
    p = pod(options=NODE)
    c = p.run("main", "sleep", "1000")
    assert p.exec(c, "readlink", "/proc/self/ns/net")[1] == \
        containerd.machine.ok("readlink", "/proc/self/ns/net").out


def test_exec_as_a_probe(pod):
    p = pod()
    c = p.run("main", "sleep", "1000")
    assert p.exec(c, "sh", "-c", "echo fine; echo bad >&2; exit 3") == (3, "fine\n", "bad\n")
    with pytest.raises(CriError, match="no such file or directory"):
        p.exec(c, "/no-such")


def test_a_program_that_is_not_there(pod):
    """StartContainer fails with what the runtime says, which the kubelet shows as the pod's event."""
    p = pod()
    c = p.create("main", "/no-such")
    with pytest.raises(CriError, match="no such file or directory"):
        p.cri.StartContainer(container_id=c)


def test_stop_within_the_grace_period(pod):
    p = pod()
    c = p.run("main", "sh", "-c", "trap 'exit 6' TERM; echo up; while :; do sleep 0.05; done")
    runner.wait_for(lambda: "up" in p.log("main"))
    p.cri.StopContainer(container_id=c, timeout=20)
    assert p.wait(c) == 6
    deaf = p.run("deaf", "sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.05; done")
    runner.wait_for(lambda: "up" in p.log("deaf"))
    p.cri.StopContainer(container_id=deaf, timeout=1)
    assert p.wait(deaf) == 137


def test_security_context(pod):
    """What the restricted pod security standard asks for."""
    p = pod()
    script = "id -u; id -g; touch /x 2>/dev/null || echo ro; " \
             "sed -n 's/^\\(CapEff\\|CapBnd\\|NoNewPrivs\\|Seccomp\\):\\t//p' /proc/self/status"
    c = p.run("main", "sh", "-c", script, run_as_user={"value": 1000}, run_as_group={"value": 50},
              readonly_rootfs=True, no_new_privs=True, capabilities={"drop_capabilities": ["ALL"]},
              seccomp={"profile_type": 0})
    assert p.wait(c) == 0
    words = [line.split(" F ")[1] for line in p.log("main").splitlines()]
    assert words == ["1000", "50", "ro", "0" * 16, "0" * 16, "1", "2"]


def test_privileged(pod):
    p = pod(options=NODE)
    script = "mkdir -p /mnt && mount -t tmpfs x /mnt && stat -f -c %T /mnt && test -c /dev/fuse"
    # A privileged container takes a privileged sandbox.
    with pytest.raises(CriError, match="privileged"):
        p.create("main", "sh", "-c", script, privileged=True)


def test_volumes(pod, containerd):
    d = containerd.machine.own_dir("volume")
    (d / "f").write_text("from the node\n")
    p = pod()
    mounts = [{"container_path": "/data", "host_path": str(d)},
              {"container_path": "/ro", "host_path": str(d), "readonly": True}]
    c = p.run("main", "sh", "-c", "cat /data/f; touch /data/new; touch /ro/new2 2>/dev/null || echo ro", mounts=mounts)
    assert p.wait(c) == 0
    assert [line.split(" F ")[1] for line in p.log("main").splitlines()] == ["from the node", "ro"]
    assert (d / "new").exists()


def test_sysctls_of_a_pod(pod):
    p = pod(sysctls={"net.ipv4.ip_unprivileged_port_start": "99"})
    c = p.run("main", "sleep", "1000")
    assert p.exec(c, "cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start")[1] == "99\n"


def test_sandbox_that_dies(pod, containerd):
    """Killed from outside, the pod is not ready any more, and can be removed."""
    p = pod()
    containerd("-n", "k8s.io", "tasks", "kill", "-s", "SIGKILL", p.id)
    runner.wait_for(lambda: containerd.cri.PodSandboxStatus(pod_sandbox_id=p.id)["status"].get("state") == 1)
