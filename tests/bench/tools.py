"""tools - the command lines of rootlet and of what it is compared with."""
import json
import shutil

IMAGE = "localhost/bench:latest"
PROGRAMS = {"crun": "crun", "runc": "runc", "podman": "podman", "bwrap": "bwrap", "nsenter": "nsenter",
            "conmon": "conmon", "pasta": "pasta"}


class Rootlet:
    name = "rootlet"
    quiet = ["--cgroups=disabled", "--network", "none"]
    supervisor = "rootlet-supervi"  # as far as the kernel keeps a name

    def run(self, *command):
        return ["rootlet", "run", "--rm", *self.quiet, IMAGE, *(command or ("/bin/true",))]

    def run_on(self, network, *options):
        return ["rootlet", "run", "--rm", *self.quiet[:-1], network, *options, IMAGE, "/bin/true"]

    def detached(self, name):
        return ["rootlet", "run", "-d", *self.quiet, "--name", name, IMAGE, "/bin/sleep", "100000"]

    def create(self, name):
        return ["rootlet", "create", *self.quiet, "--name", name, IMAGE, "/bin/true"]

    def start(self, name, *options):
        return ["rootlet", "start", *options, name]

    def wait(self, name):
        return ["rootlet", "wait", name]

    def exec(self, name):
        return ["rootlet", "exec", name, "/bin/true"]

    def ps(self):
        return ["rootlet", "ps", "-a"]

    def load(self, archive):
        return ["rootlet", "load", "-q", "-i", str(archive)]

    def pull(self, name):
        return ["rootlet", "pull", "-q", "--tls-verify=false", name]

    def remove_images(self):
        return ["rootlet", "rmi", "-a", "-f"]

    def remove_containers(self):
        return ["rootlet", "rm", "-a", "-f"]


class Podman(Rootlet):
    name = "podman"
    quiet = ["--network", "none"]
    supervisor = "conmon"

    def __getattribute__(self, verb):
        value = object.__getattribute__(self, verb)
        if not callable(value) or verb.startswith("_"):
            return value
        return lambda *a: ["podman" if x == "rootlet" else x for x in value(*a)]

    def remove_containers(self):
        return ["podman", "rm", "-a", "-f", "-t", "0"]


class Crun:
    """crun runs a bundle: a directory with config.json and rootfs."""
    name = "crun"
    base = ["crun", "--cgroup-manager=disabled"]

    def __init__(self, host, env, rootfs):
        self.host, self.env, self.rootfs = host, env, rootfs

    def bundle(self, name, command, ids=None):
        """Makes a bundle of crun's own rootless defaults: no seccomp filter, no overlay; one id, or
        with `ids` (first subuid, first subgid, count) the range that rootlet maps."""
        path = self.host.work / name
        path.mkdir()
        (path / "rootfs").symlink_to(self.rootfs)
        uid, gid = self.host.user.pw_uid, self.host.user.pw_gid
        path.chmod(0o777)
        text = self.host.run(["sh", "-c", f"cd {path} && crun spec --rootless && cat config.json"],
                             self.env)
        c = json.loads(text)
        c["process"].update(terminal=False, args=command)
        c["root"] = {"path": str(self.rootfs), "readonly": False}
        linux = c["linux"]
        linux.pop("resources", None)
        linux["namespaces"] = [{"type": t} for t in ("user", "pid", "mount", "ipc", "uts", "network")]
        c["mounts"] = [m for m in c["mounts"] if m["destination"] not in ("/sys", "/sys/fs/cgroup")]
        c["mounts"].append({"destination": "/sys", "type": "sysfs", "source": "sysfs",
                            "options": ["nosuid", "noexec", "nodev", "ro"]})
        for kind, host_id, first in (("uidMappings", uid, 0), ("gidMappings", gid, 1)):
            linux[kind] = [{"containerID": 0, "hostID": host_id, "size": 1}]
            if ids:
                linux[kind].append({"containerID": 1, "hostID": ids[first], "size": ids[2]})
        (path / "config.json").unlink()
        (path / "config.json").write_text(json.dumps(c))
        return str(path)

    def run(self, bundle, name, *options):
        return [*self.base, "run", *options, "--bundle", bundle, name]

    def exec(self, name):
        return [*self.base, "exec", name, "/bin/true"]

    def life(self, bundle, name):
        """create, start and delete, as a container manager calls them."""
        base = " ".join(self.base)
        return ["sh", "-c", f"{base} create --bundle {bundle} {name} && {base} start {name} && "
                            f"exec {base} delete --force {name}"]

    def pid(self, name):
        return json.loads(self.host.run([*self.base, "state", name], self.env))["pid"]


class RootletOci(Crun):
    name = "rootlet-oci"
    base = ["rootlet-oci", "--cgroup-manager=disabled"]


class Runc(Crun):
    name = "runc"
    base = ["runc"]


def missing(host):
    """The peers that are not here or cannot run here, with why."""
    path = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
    gone = {name: "not installed" for name, program in PROGRAMS.items()
            if not shutil.which(program, path=path)}
    if not host.unified:
        gone.update({name: "wants a unified cgroup v2" for name in ("crun", "runc", "podman")
                     if name not in gone})
    if not host.subids():
        gone.setdefault("podman", "wants subordinate ids")
    if not (host.own / "rootlet-slirp").exists():
        gone["slirp"] = "built without libslirp"
    if "conmon" in gone or "crun" in gone:
        gone.setdefault("podman", "wants conmon and crun")
    return gone
