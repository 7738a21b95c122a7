"""cgrouplib - bundles that are run where /sys/fs/cgroup is cgroup v2, and what their groups hold.

The host may run cgroup v1: then each command sees v2 alone, in a mount namespace of its own."""
import copy
import json
import os
import pathlib
import shutil
import subprocess
import time

from lib import host

CGROUPS = pathlib.Path("/sys/fs/cgroup")
PRIVATE = ("unshare", "-m", "--propagation", "private", "sh", "-c",
           'umount -l /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup && exec "$0" "$@"')
CAPS = ["CAP_" + c for c in ("CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE SETGID "
                             "SETPCAP SETUID SYS_CHROOT").split()]


def prefix():
    return () if host.fs_type(CGROUPS) == "cgroup2fs" else PRIVATE


class Result:
    def __init__(self, argv, rc, out, err):
        self.argv, self.rc, self.out, self.err = argv, rc, out, err
        self.text = out.strip()

    def __repr__(self):
        return f"{' '.join(self.argv)}\n  exit status {self.rc}\n  stdout: {self.out!r}\n  stderr: {self.err!r}"


def sh(script, *args, user=None):
    """A shell where the groups are seen. Its standard output, stripped."""
    who = (*drop(user),) if user else ()
    argv = (*prefix(), *who, "sh", "-ec", script, "sh", *map(str, args))
    r = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert r.returncode == 0, f"{script}: {r.returncode}: {r.stderr}"
    return r.stdout.strip()


def drop(user):
    return ("setpriv", f"--reuid={user.uid}", f"--regid={user.gid}", "--clear-groups", "--")


def read(group, name):
    """The text of a file of a group, None when it is not there."""
    text = sh('f="/sys/fs/cgroup$1/$2"; [ -e "$f" ] || { echo -; exit; }; echo "=$(cat "$f")"', group, name)
    return None if text == "-" else text[1:]


def exists(group):
    return sh('[ -d "/sys/fs/cgroup$1" ] && echo yes || echo no', group) == "yes"


def controllers():
    return sh("cat /sys/fs/cgroup/cgroup.controllers").split()


def own_group():
    """Where commands that we start are."""
    return [line[3:] for line in sh("cat /proc/self/cgroup").splitlines() if line.startswith("0::")][0]


def config(*args, resources=None, path=None, userns=None):
    caps = {k: list(CAPS) for k in ("bounding", "effective", "permitted")}
    c = {
        "ociVersion": "1.0.2",
        "process": {"terminal": False, "user": {"uid": 0, "gid": 0}, "args": list(args),
                    "env": ["PATH=/bin"], "cwd": "/", "capabilities": caps, "noNewPrivileges": True},
        "root": {"path": "rootfs", "readonly": False},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
             "options": ["nosuid", "mode=755", "size=65536k"]},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
             "options": ["nosuid", "noexec", "nodev", "ro"]},
        ],
        "linux": {"namespaces": [{"type": t} for t in ("pid", "ipc", "uts", "mount", "cgroup")]},
    }
    if resources is not None:
        c["linux"]["resources"] = copy.deepcopy(resources)
    if path is not None:
        c["linux"]["cgroupsPath"] = path
    if userns:
        c["linux"]["namespaces"].append({"type": "user"})
        c["linux"]["uidMappings"] = [{"containerID": 0, "hostID": userns[0], "size": 1}]
        c["linux"]["gidMappings"] = [{"containerID": 0, "hostID": userns[1], "size": 1}]
    return c


class Oci:
    """A runtime with a root directory and bundles of its own. user: who runs it, root if None."""

    def __init__(self, program, top, user=None, manager="cgroupfs", inside=None):
        self.top, self.user, self.manager, self.inside = top, user, manager, inside
        self.name = os.path.basename(program)
        # Groups with our name in theirs are what the leak audit looks for, of all tests that run.
        self.group_name = {"rootlet-oci": "ours"}.get(self.name, self.name)
        top.mkdir(parents=True, exist_ok=True)
        top.chmod(0o755)
        built = host.BUILDDIR / program
        self.program = top / self.name
        shutil.copy2(built if built.exists() else shutil.which(program), self.program)
        self.program.chmod(0o755)
        self.state = top / "state"
        self.state.mkdir()
        self.made = []
        if user:
            os.chown(self.state, user.uid, user.gid)

    def argv(self, *args):
        who = drop(self.user) if self.user else ()
        manager = () if self.name == "runc" else (f"--cgroup-manager={self.manager}",)
        enter = ()
        if self.inside:  # a group that the command is put into first
            enter = ("sh", "-ec", 'echo $$ > "/sys/fs/cgroup$0/cgroup.procs"; exec "$@"', self.inside)
        return (*prefix(), *enter, *who, str(self.program), "--root", str(self.state), *manager,
                *map(str, args))

    def __call__(self, *args, timeout=120, input_text=None, **kw):
        argv = self.argv(*args)
        # Files, as containers that go on hold the streams; each call its own, or they would write into the next one's.
        out, err = self.top / "out", self.top / "err"
        out.unlink(missing_ok=True)
        err.unlink(missing_ok=True)
        env = dict(os.environ, XDG_RUNTIME_DIR=str(self.state))
        with open(out, "w+", encoding="utf-8", errors="replace") as o, \
             open(err, "w+", encoding="utf-8", errors="replace") as e:
            stdin = {"stdin": subprocess.DEVNULL} if input_text is None else {"input": input_text.encode()}
            p = subprocess.run(argv, stdout=o, stderr=e, timeout=timeout, cwd="/", env=env,
                               check=False, **stdin, **kw)
            o.seek(0)
            e.seek(0)
            return Result(argv, p.returncode, o.read(), e.read())

    def ok(self, *args, **kw):
        r = self(*args, **kw)
        assert r.rc == 0, r
        return r

    def bundle(self, spec):
        path = self.top / f"bundle{len(list(self.top.glob('bundle*')))}"
        rootfs = path / "rootfs"
        for d in ("bin", "proc", "sys/fs/cgroup", "dev", "tmp"):
            (rootfs / d).mkdir(parents=True)
        busybox = shutil.which("busybox")
        shutil.copy2(busybox, rootfs / "bin/busybox")
        for name in ("sh", "sleep", "cat", "mknod", "dd", "echo", "ls", "true", "seq", "grep", "tail",
                     "usleep", "sync", "mkdir", "kill", "id"):
            (rootfs / "bin" / name).symlink_to("busybox")
        (path / "config.json").write_text(json.dumps(spec))
        if self.user:
            subprocess.run(["chown", "-R", f"{self.user.uid}:{self.user.gid}", path], check=True)
        return path

    def create(self, name, spec):
        self.made.append(name)
        return self("create", "--bundle", self.bundle(spec), name)

    def start(self, name, spec):
        """A container that runs; its state."""
        r = self.create(name, spec)
        assert r.rc == 0, r
        self.ok("start", name)
        return self.of(name)

    def run(self, name, spec, **kw):
        self.made.append(name)
        return self("run", "--bundle", self.bundle(spec), name, **kw)

    def of(self, name):
        return json.loads(self.ok("state", name).out)

    def group(self, name):
        """Where its first process is."""
        pid = self.of(name)["pid"]
        for line in sh(f"cat /proc/{pid}/cgroup").splitlines():
            if line.startswith("0::"):
                return line[3:]
        raise AssertionError("no cgroup v2")

    def delete(self, name):
        r = self("delete", "--force", name)
        if name in self.made:
            self.made.remove(name)
        return r

    def end(self):
        for name in list(self.made):
            self.delete(name)


def until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


# --- device rules: what a container may open under them ---

DENY = {"allow": False, "access": "rwm"}
PROBE = """
try() { # NAME TYPE MAJOR MINOR
    mknod /nodes/$1 $2 $3 $4 || echo "$1 mknod"
    for mode in r w rw; do
        case $mode in
        r) (: < /nodes/$1) 2>/tmp/e ;;
        w) (: >> /nodes/$1) 2>/tmp/e ;;
        rw) (: <> /nodes/$1) 2>/tmp/e ;;
        esac
        if grep -q 'not permitted' /tmp/e; then echo $1 $mode no; else echo $1 $mode yes; fi
    done
}
try null c 1 3; try exp c 240 1; try tty c 5 0; try tun c 10 200; try fuse c 10 229; try loop b 7 0
try other b 7 1
"""


# 240 is free for experiments: allowed to be opened, it has no driver.
def answers(runtime, base, rules):
    spec = config("sh", "-c", PROBE, path=f"{base}/{runtime.group_name}")
    # The bundle may be where no device can be opened.
    spec["mounts"].append({"destination": "/nodes", "type": "tmpfs", "source": "tmpfs"})
    spec["linux"]["resources"] = {} if rules is None else {"devices": rules}
    r = runtime.run("dev", spec)
    assert r.rc == 0 and "mknod" not in r.out, r
    runtime.delete("dev")
    return dict(line.rsplit(" ", 1) for line in r.out.splitlines())


RULES = {
    "none": None,
    "deny": [DENY],
    "everything": [DENY, {"allow": True, "access": "rwm"}],
    "one": [DENY, {"allow": True, "type": "c", "major": 240, "minor": 1, "access": "r"}],
    "major": [DENY, {"allow": True, "type": "b", "major": 7, "access": "rw"}],
    "order": [DENY, {"allow": True, "type": "b", "major": 7, "access": "rw"},
              {"allow": False, "type": "b", "major": 7, "minor": 1, "access": "rw"}],
    "two": [DENY, {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "r"},
            {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "w"}],
    "any": [DENY, {"allow": True, "type": "c", "access": "r"}],
    "minus": [DENY, {"allow": True, "type": "c", "major": 10, "minor": -1, "access": "rwm"}],
}
