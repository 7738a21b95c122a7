"""containerd_client - a containerd on a machine, driven by ctr, with the runtime under its runc shim."""
import itertools
import re

from lib import runner
from machine import PATH

CONF = """version = 2
root = "{dir}/root"
state = "/run/containerd"
disabled_plugins = [{disabled}]
[grpc]
address = "{socket}"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.rootlet]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.rootlet.options]
BinaryName = "{runtime}"
"""
DISABLED = ("internal.v1.opt", "internal.v1.tracing", "snapshotter.v1.aufs", "snapshotter.v1.btrfs",
            "snapshotter.v1.devmapper", "snapshotter.v1.zfs")
IMAGE = "localhost/busybox:latest"


class Containerd:
    """ctr(ARGS...) is the client; run(NAME, ARGV, OPTIONS) a container in the foreground."""

    def __init__(self, machine, runtime, archive, conf=""):
        self.machine, self.runtime = machine, runtime
        self.dir = machine.own_dir("containerd")
        self.socket = "/run/containerd/containerd.sock"
        self.conf = self.dir / "config.toml"
        self.conf.write_text(CONF.format(
            dir=self.dir, socket=self.socket, runtime=runtime,
            disabled=", ".join(f'"io.containerd.{p}"' for p in DISABLED)) + conf)
        self._names = (f"c{n}" for n in itertools.count(1))
        self.log = open(self.dir / "log", "ab")
        (self.dir / "bin").mkdir()
        (self.dir / "bin" / "runc").symlink_to(runtime)
        self.start()
        self.ok("images", "import", archive)
        # Makes the cgroup of the namespace, which stays.
        self.text("true")

    def start(self):
        # Whoever does not say --runc-binary gets "runc" of the PATH.
        env = {"PATH": f"{self.dir}/bin:{PATH}"}
        self.daemon = self.machine.spawn("containerd", "--config", self.conf, stdout=self.log,
                                         stderr=self.log, env=env)
        # Not a child of a test.
        self.machine.children.remove(self.daemon)
        runner.wait_for(lambda: self("version").rc == 0, 20, "containerd answers")

    def stop(self):
        """Ends the daemon and leaves its shims."""
        self.machine.shell('kill "$(pidof containerd)"')
        self.daemon.wait()

    def end(self):
        self.stop()
        self.log.close()

    def __call__(self, *args, **kw):
        return self.machine.run("ctr", "-a", self.socket, *args, **kw)

    def ok(self, *args, **kw):
        return self(*args, rc=0, **kw)

    def fresh(self):
        return next(self._names)

    def run_argv(self, name, argv, options=(), runtime=None):
        # The shares that ctr gives by itself need the cpu controller, which version 1 may have.
        return ["ctr", "-a", self.socket, "run", "--cpu-shares", "0", "--runc-binary",
                runtime or self.runtime, *options, IMAGE, name, *argv]

    def run(self, *argv, options=(), rc=None, **kw):
        """ctr run --rm OPTIONS IMAGE NAME ARGV"""
        return self.machine.run(*self.run_argv(self.fresh(), argv, ("--rm", *options)), rc=rc, **kw)

    def text(self, *argv, options=()):
        """What it says. ctr gives up pipes that it has not opened by the end of a very short
        container, whatever the runtime: then it is asked once more."""
        return self.run(*argv, options=options, rc=0).text or \
            self.run(*argv, options=options, rc=0).text

    def sleeper(self, *options, argv=("sleep", "1000"), runtime=None):
        name = self.fresh()
        self.machine.ok(*self.run_argv(name, argv, ("-d", *options), runtime))
        return name

    def status(self, name):
        for line in self.ok("tasks", "ls").out.splitlines()[1:]:
            words = line.split()
            if words[0] == name:
                return words[2]
        return None

    def pid(self, name):
        for line in self.ok("tasks", "ls").out.splitlines()[1:]:
            if line.split()[0] == name:
                return int(line.split()[1])
        return None

    def wait_status(self, name, status, timeout=10):
        runner.wait_for(lambda: self.status(name) == status, timeout, f"{name} is {status}")

    def exec(self, name, *argv, options=(), **kw):
        return self("tasks", "exec", "--exec-id", self.fresh(), *options, name, *argv, **kw)

    def removed(self, name):
        """Removes an ended task; what it ended with."""
        r = self.ok("tasks", "rm", name)
        match = re.search(r"non-zero exit code (\d+)", r.err)
        return int(match[1]) if match else 0

    def clean(self):
        self.machine.end_children()
        for name in self.ok("containers", "ls", "-q").out.split():
            self("tasks", "kill", "-s", "KILL", "--all", name)
            self("tasks", "rm", "-f", name)
            self("containers", "rm", name)
