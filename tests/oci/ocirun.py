"""ocirun - runs rootlet-oci on bundles: as root of the host, as root with a user namespace, and as an
ordinary user; without cgroups, or on a cgroup2 hierarchy of its own mount namespace."""
import contextlib
import copy
import itertools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

from lib import host, runner

# The host's cgroups may be v1, which rootlet does not use: each command sees v2 alone.
PRIVATE = ("unshare", "-m", "--propagation", "private", "sh", "-c",
           'umount -l /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup && exec "$0" "$@"')
MODES = ("rootful", "cgroup2", "userns", "rootless")
NAMESPACES = ("pid", "network", "ipc", "uts", "mount", "cgroup")
CAPS = ["CAP_" + c for c in ("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL",
                             "NET_BIND_SERVICE", "SETGID", "SETPCAP", "SETUID")]
_numbers = itertools.count(1)


def config(args, terminal=False):
    """As runc spec prints it, nearly."""
    return {
        "ociVersion": "1.0.2",
        "process": {"terminal": terminal, "user": {"uid": 0, "gid": 0}, "args": list(args),
                    "env": ["PATH=/bin:/usr/bin", "TERM=xterm"], "cwd": "/",
                    "capabilities": {k: list(CAPS) for k in ("bounding", "effective", "permitted")},
                    "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
                    "noNewPrivileges": True},
        "root": {"path": "rootfs", "readonly": False},
        "hostname": "box",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
             "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
             "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs",
             "options": ["nosuid", "noexec", "nodev", "ro"]},
        ],
        "linux": {"namespaces": [{"type": t} for t in NAMESPACES],
                  "maskedPaths": ["/proc/kcore"], "readonlyPaths": ["/proc/sys"]},
    }


class Root:
    """Who runs the suite as root, in the shape of lib.host.User."""
    made, uid, gid = False, 0, 0

    def __init__(self, user, home):
        self.user, self.home, self.base = user, home, user.base

    def popen_args(self):
        return {}

    def environment(self):
        return {**self.user.environment(), "HOME": str(self.home), "USER": "root", "LOGNAME": "root",
                "TMPDIR": str(self.home)}


class Result(runner.Result):
    """stdout and stderr are files: a container that goes on may hold them."""

    def __init__(self, argv, rc, out, err, seconds):
        super().__init__(argv, rc, out.read_text(errors="replace"), err.read_text(errors="replace"),
                         seconds)
        self.out_path, self.err_path = out, err

    def later(self):
        """stdout as it is now."""
        return self.out_path.read_text(errors="replace")


class Oci:
    """oci(ARGS...) runs a command of rootlet-oci; ok and fails check it."""

    def __init__(self, mode, user, base):
        self.mode = mode
        home = user.home if mode == "rootless" else base
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="oci", dir=home))
        self.dir.chmod(0o755)
        self.user = user if mode == "rootless" else Root(user, self.dir)
        self.subuid = user.subuid
        self.program = str(base / "bin" / "rootlet-oci")
        self.root = self.dir / "state"
        self.containers, self.children = [], []
        self.prefix = PRIVATE if mode == "cgroup2" else () # of each command
        self._own(self.dir)

    def _own(self, path):
        """Bundles belong to who runs them; a root file system to the container's root."""
        if self.mode == "userns":
            for p in path.rglob("*"):
                if "rootfs" in p.parts:
                    os.chown(p, self.subuid[0], self.subuid[0], follow_symlinks=False)
        if self.mode == "rootless" and self.user.made:
            for p in (path, *path.rglob("*")):
                os.chown(p, self.user.uid, self.user.gid, follow_symlinks=False)

    # --- bundles ---

    def bundle(self, args, edit=None, terminal=False):
        """A directory with a busybox and a configuration, which edit(config) may change."""
        path = self.dir / f"b{next(_numbers)}"
        rootfs = path / "rootfs"
        rootfs.mkdir(parents=True)
        for d in ("bin", "etc", "proc", "sys", "dev", "tmp"):
            (rootfs / d).mkdir()
        shutil.copy(shutil.which("busybox"), rootfs / "bin" / "busybox")
        for name in ("sh", "cat", "id", "sleep", "ls", "tty", "stty", "hostname", "true", "env", "ps",
                     "touch", "mount", "grep", "kill", "readlink"):
            (rootfs / "bin" / name).symlink_to("busybox")
        c = config(args if isinstance(args, (list, tuple)) else ["sh", "-c", args], terminal)
        if self.mode == "userns":
            c["linux"]["namespaces"].append({"type": "user"})
            maps = [{"containerID": 0, "hostID": self.subuid[0], "size": 65536}]
            c["linux"]["uidMappings"] = c["linux"]["gidMappings"] = maps
        if edit:
            edit(c)
        self.write(path, c)
        self._own(path)
        return path

    @staticmethod
    def write(bundle, c):
        (bundle / "config.json").write_text(json.dumps(c))

    def config(self, bundle):
        return copy.deepcopy(json.loads((bundle / "config.json").read_text()))

    # --- commands ---

    def name(self):
        self.containers.append(f"oci-t{os.getpid()}-{next(_numbers)}")
        return self.containers[-1]

    def argv(self, *args):
        return [*self.prefix, self.program, "--root", str(self.root), *map(str, args)]

    def environment(self, env=None):
        full = self.user.environment()
        if self.mode != "cgroup2":
            full["ROOTLET_CGROUPS"] = "disabled"
        full.update(env or {})
        return {k: str(v) for k, v in full.items() if v is not None}

    def spawn(self, *args, env=None, redirect=None, **popen):
        kw = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE,
              "text": True, "cwd": self.dir, "start_new_session": True}
        kw.update(popen)
        argv = self.argv(*args)
        if redirect:
            argv = ["sh", "-c", f'exec "$0" "$@" {redirect}', *argv]
        p = subprocess.Popen(argv, env=self.environment(env), **self.user.popen_args(), **kw)
        self.children.append(p)
        return p

    def __call__(self, *args, rc=None, timeout=60, env=None, input=None, **popen):
        n = next(_numbers)
        out, err = self.dir / f"out{n}", self.dir / f"err{n}"
        begin = time.monotonic()
        with out.open("wb") as o, err.open("wb") as e, tempfile.TemporaryFile(dir=self.dir) as i:
            i.write((input or "").encode())
            i.seek(0)
            kw = {"stdin": i if input is not None else subprocess.DEVNULL, "stdout": o, "stderr": e}
            kw.update(popen)
            p = self.spawn(*args, env=env, **kw)
            try:
                code = p.wait(timeout * runner.PATIENCE)
            except subprocess.TimeoutExpired:
                os.killpg(p.pid, signal.SIGKILL)
                code = "no end"
        self.children.remove(p)
        result = Result(p.args, code, out, err, time.monotonic() - begin)
        assert code != "no end", f"no end within the time: {result}"
        assert rc is None or code == rc, f"want exit status {rc}:\n{result}"
        return result

    def ok(self, *args, **kw):
        return self(*args, rc=0, **kw)

    def fails(self, *args, rc=1, match="", **kw):
        r = self(*args, rc=rc, **kw)
        assert match in r.err, f"want a message with {match!r}:\n{r}"
        return r

    def create(self, args, edit=None, options=(), **kw):
        """A new created container; returns its id."""
        name = self.name()
        self.created = self.ok("create", "--bundle", self.bundle(args, edit), *options, name, **kw)
        return name

    def run(self, args, edit=None, options=(), **kw):
        return self("run", "--bundle", self.bundle(args, edit), *options, self.name(), **kw)

    def state(self, name):
        return self.ok("state", name).json()

    def status(self, name):
        return self.state(name)["status"]

    def wait_for(self, name, status, timeout=10):
        runner.wait_for(lambda: self.status(name) == status, timeout, f"{name} is {status}")

    def pty(self, *args, rows=24, cols=80, env=None):
        t = runner.Pty(self, self.argv(*args), self.environment(env), rows, cols)
        self.children.append(t.process)
        return t

    # --- the end ---

    def left(self):
        """What is below the root, but for compiled seccomp filters, which are kept for the next."""
        return [n for n in os.listdir(self.root) if n != "=seccomp"] if self.root.exists() else []

    def leaks(self):
        """What the test's containers left, once they were deleted: state, processes, cgroups, mounts."""
        found = [f"state: {name}" for name in self.left()]
        needle = str(self.dir)
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/environ", "rb") as f:
                    mine = f"HOME={needle}".encode() in f.read()
                with open(f"/proc/{pid}/mountinfo", encoding="utf-8", errors="replace") as f:
                    mine |= any(f"{needle}/" in line for line in f)
                if mine and int(pid) != os.getpid():
                    with open(f"/proc/{pid}/cmdline", "rb") as f:
                        found.append(f"process {pid}: {f.read()}")
        for top in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"):
            for where, dirs, _ in os.walk(top):
                found += [f"cgroup: {where}/{d}" for d in dirs if d in self.containers]
        return found

    def end(self):
        for p in self.children:
            if p.poll() is None:
                with contextlib.suppress(OSError):
                    os.killpg(p.pid, signal.SIGKILL)
            p.wait()
            for stream in (p.stdin, p.stdout, p.stderr):
                if stream:
                    stream.close()
        self.children.clear()
        problems = []
        for name in self.containers:
            r = self("delete", "--force", name)
            if r.rc:
                problems.append(str(r))
        end = time.monotonic() + 5 * runner.PATIENCE
        while (left := self.leaks()) and time.monotonic() < end:
            time.sleep(0.05)
        shutil.rmtree(self.dir, ignore_errors=True)
        assert not problems + left, "\n".join(["the test left behind:", *problems, *left])


def can_run(mode):
    if mode == "rootless":
        return True
    return host.is_root()
