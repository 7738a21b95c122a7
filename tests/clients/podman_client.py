"""podman_client - podman on a machine, with a store and a configuration of its own, and the runtime to test."""
import json
import os

from lib import runner

CONF = """[containers]
# The usual limits are above what a suite may raise to without CAP_SYS_RESOURCE.
default_ulimits = ["nofile=1024:4096", "nproc=4096:4096"]
# Controllers belong to version 1 on a hybrid host.
pids_limit = 0
[engine]
cgroup_manager = "{manager}"
events_logger = "file"
image_copy_tmp_dir = "{tmp}"
runtime = "{name}"
# What podman knows of crun by its name.
runtime_supports_json = ["crun", "runc", "rootlet-oci"]
runtime_supports_nocgroup = ["crun", "rootlet-oci"]
runtime_supports_nocgroups = ["crun", "rootlet-oci"]
[engine.runtimes]
"{name}" = ["{runtime}"]
[network]
network_config_dir = "{dir}/networks"
"""
POLICY = {"default": [{"type": "insecureAcceptAnything"}]}
IMAGE = "localhost/busybox"


class Podman:
    """podman(ARGS...) runs a command; ok and fails demand the exit status. fresh() is an unused name."""

    def __init__(self, machine, runtime, driver="overlay", manager="cgroupfs"):
        self.machine, self.runtime = machine, runtime
        self.rootless = machine.user is not None
        self.dir = machine.own_dir("podman")
        self.run_dir = f"/run/user/{machine.user.uid}" if self.rootless else "/run"
        if self.rootless:
            d = f"{machine.root}{self.run_dir}"
            os.mkdir(d, 0o700)
            os.chown(d, machine.user.uid, machine.user.gid)
        conf = self.dir / "containers.conf"
        conf.write_text(CONF.format(manager=manager, tmp=machine.tmp, runtime=runtime, dir=self.dir,
                                    name=os.path.basename(runtime)))
        config = machine.home / ".config/containers"
        config.mkdir(parents=True)
        (config / "policy.json").write_text(json.dumps(POLICY))
        storage = self.dir / "storage.conf"
        storage.write_text(f'[storage]\ndriver = "{driver}"\ngraphroot = "{self.dir}/storage"\n'
                           f'runroot = "{self.run_dir}/containers"\n')
        self.env = {"CONTAINERS_CONF": conf, "CONTAINERS_STORAGE_CONF": storage}
        machine.shell(f"chown -R {machine.user.uid}:{machine.user.gid} {self.dir} {machine.home}"
                      if self.rootless else ":", root=True)
        self.globals = ("podman", "--tmpdir", f"{self.run_dir}/libpod")
        self._n = 0
        self.ok("import", "-q", "--change", "CMD=sh", "--change",
                "ENV PATH=/bin:/usr/bin", machine.busybox(), IMAGE)
        # Makes what stays: the parent of the cgroups, the pause process of a user.
        self.run("true")

    def __call__(self, *args, env=None, **kw):
        return self.machine.run(*self.globals, *args, env={**self.env, **(env or {})}, **kw)

    def ok(self, *args, **kw):
        return self(*args, rc=0, **kw)

    def spawn(self, *args, **kw):
        return self.machine.spawn(*self.globals, *args, env=self.env, **kw)

    def pty(self, *args, **kw):
        return self.machine.pty(*self.globals, *args, env=self.env, **kw)

    def fresh(self):
        self._n += 1
        return f"c{self._n}"

    def run(self, *args, options=(), **kw):
        """podman run --rm --network none OPTIONS IMAGE ARGS"""
        return self("run", "--rm", "--network", "none", *options, IMAGE, *args, **kw)

    def text(self, *args, options=(), **kw):
        return self.run(*args, options=options, rc=0, **kw).text

    def sleeper(self, *options, argv=("sleep", "1000")):
        """A container that waits, by name."""
        name = self.fresh()
        self.ok("run", "-d", "--init", "--network", "none", "--name", name, *options, IMAGE, *argv)
        return name

    def inspect(self, name):
        return self.ok("inspect", name).json()[0]

    def state(self, name):
        return self.ok("inspect", "--format", "{{.State.Status}}", name).text

    def wait_state(self, name, state, timeout=10):
        runner.wait_for(lambda: self.state(name) == state, timeout, f"{name} is {state}")

    def clean(self):
        self.machine.end_children()
        self("pod", "rm", "-f", "-a", "-t", "0")
        self("rm", "-f", "-a", "-t", "0")
        self("volume", "prune", "-f")
