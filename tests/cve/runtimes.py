"""runtimes - the attacks on OCI runtimes: bundles with every lie in them, and who runs them.

CVE-*.py run against rootlet-oci. With ROOTLET_CVE_RUNTIMES="rootlet-oci crun runc" (names in PATH, or
paths) against each of these; `compare` makes the table of docs/security.md from that. As root of the
host and without a user namespace: that is where such an attack is worth most."""
import contextlib
import copy
import hashlib
import itertools
import json
import os
import pathlib
import shutil
import subprocess
import time

import pytest

from lib import host

# The host's cgroups may be v1, which no runtime here wants: each command sees v2 alone.
PRIVATE = ("unshare", "-m", "--propagation", "private", "sh", "-c",
           'umount -l /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup && exec "$0" "$@"')
DEFAULT_CAPS = ["CAP_" + c for c in (
    "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE NET_RAW SETFCAP SETGID "
    "SETPCAP SETUID SYS_CHROOT").split()]
MASKED = ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
          "/proc/sched_debug", "/sys/firmware", "/proc/scsi"]
READONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
_numbers = itertools.count(1)


def names():
    return os.environ.get("ROOTLET_CVE_RUNTIMES", "rootlet-oci").split()


def all_caps():
    last = int(pathlib.Path("/proc/sys/kernel/cap_last_cap").read_text())
    text = subprocess.run(["capsh", "--print"], capture_output=True, text=True, check=True).stdout
    bounding = [line for line in text.splitlines() if line.startswith("Bounding set")][0]
    return [c.upper() for c in bounding.partition("=")[2].split(",") if c][:last + 1]


def config(args):
    """What runc spec prints, nearly: root of the host in all namespaces but that of users."""
    caps = {k: list(DEFAULT_CAPS) for k in ("bounding", "effective", "permitted")}
    return {
        "ociVersion": "1.0.2",
        "process": {"terminal": False, "user": {"uid": 0, "gid": 0}, "args": list(args),
                    "env": ["PATH=/bin:/usr/bin"], "cwd": "/", "capabilities": caps,
                    "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
                    "noNewPrivileges": True},
        "root": {"path": "rootfs", "readonly": False},
        "hostname": "attacker",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
             "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
             "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
            {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
             "options": ["nosuid", "noexec", "nodev"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs",
             "options": ["nosuid", "noexec", "nodev", "ro"]},
        ],
        "linux": {
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
            "namespaces": [{"type": t} for t in ("pid", "network", "ipc", "uts", "mount")],
            "maskedPaths": list(MASKED), "readonlyPaths": list(READONLY)},
    }


class Result:
    def __init__(self, argv, rc, out, err):
        self.argv, self.rc, self.out, self.err = argv, rc, out, err

    def __repr__(self):
        return f"{' '.join(self.argv)}\n  exit status {self.rc}\n  stdout: {self.out!r}\n  stderr: {self.err!r}"


class Bundle:
    def __init__(self, path, rootfs):
        self.path, self.rootfs = path, rootfs

    def write(self, spec):
        (self.path / "config.json").write_text(json.dumps(spec))


class Runtime:
    """One runtime, a copy of its program, and a directory for all it makes."""

    def __init__(self, program, top):
        found = shutil.which(program) if "/" in program else None
        found = found or (str(host.BUILDDIR / program) if (host.BUILDDIR / program).exists()
                          else shutil.which(program))
        if not found:
            pytest.fail(f"{program} is not there")
        self.name = os.path.basename(program)
        self.top = top
        # Attacks that succeed hit the copy.
        self.program = top / "bin" / self.name
        self.program.parent.mkdir()
        shutil.copy2(found, self.program)
        self.program.chmod(0o755)
        self.digest = self.sha()
        self.state = top / "state"
        self.containers = set()

    def sha(self):
        return hashlib.sha256(self.program.read_bytes()).hexdigest()

    def argv(self, *args):
        manager = [] if self.name == "runc" else ["--cgroup-manager=disabled"]
        return [*PRIVATE, str(self.program), "--root", str(self.state), *manager, *map(str, args)]

    def __call__(self, *args, timeout=60, pass_fds=(), **kw):
        """Runs a command with its output in files: containers that go on may hold the streams."""
        out, err = (open(self.top / f"{n}{next(_numbers)}", "w+b") for n in ("out", "err"))
        with out, err:
            try:
                p = subprocess.run(self.argv(*args), stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                   timeout=timeout * 2, check=False, pass_fds=pass_fds, **kw)
                rc = p.returncode
            except subprocess.TimeoutExpired:
                rc = "no end"
            texts = []
            for f in (out, err):
                f.seek(0)
                texts.append(f.read().decode(errors="replace"))
                os.unlink(f.name)
        return Result([self.name, *map(str, args)], rc, *texts)

    def bundle(self, spec, prepare=None):
        """A bundle with a small busybox system; prepare(rootfs) adds the lies."""
        path = self.top / f"b{next(_numbers)}"
        rootfs = path / "rootfs"
        rootfs.mkdir(parents=True)
        unpack_rootfs(rootfs)
        if prepare:
            prepare(rootfs)
        b = Bundle(path, rootfs)
        b.write(spec)
        return b

    def run(self, bundle, *options, **kw):
        name = f"c{next(_numbers)}"
        self.containers.add(name)
        r = self("run", "--bundle", bundle.path, *options, name, **kw)
        r.id = name
        return r

    def start(self, bundle):
        """A container that goes on; its id."""
        r = self.run(bundle, "--detach")
        assert r.rc == 0, r
        return r.id

    def exec(self, name, *args, options=(), **kw):
        return self("exec", *options, name, *args, **kw)

    def pid(self, name):
        r = self("state", name)
        assert r.rc == 0, r
        return json.loads(r.out)["pid"]

    def end(self):
        for name in self.containers:
            self("delete", "--force", name)
        shutil.rmtree(self.top, ignore_errors=True)


_rootfs = []


def unpack_rootfs(target):
    """Hard links of one copy would be attacked together: a copy each."""
    if not _rootfs:
        _rootfs.append(shutil.which("busybox") or "/bin/busybox")
        _rootfs.append(subprocess.run([_rootfs[0], "--list"], capture_output=True, text=True,
                                      check=True).stdout.split())
    for d in ("bin", "etc", "proc", "sys", "dev", "tmp", "root", "var"):
        (target / d).mkdir()
    shutil.copy(_rootfs[0], target / "bin" / "busybox")
    (target / "bin" / "busybox").chmod(0o755)
    for name in _rootfs[1]:
        with contextlib.suppress(FileExistsError):
            (target / "bin" / name).symlink_to("busybox")
    (target / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/:/bin/sh\n")
    (target / "etc" / "group").write_text("root:x:0:\napp:x:1000:\nstaff:x:50:app\n")


def compile_static(path, source):
    cc = shutil.which("cc") or shutil.which("gcc")
    if not cc:
        pytest.skip("needs a C compiler")
    subprocess.run([cc, "-x", "c", "-static", "-O1", "-o", str(path), "-"], check=True,
                   input=source.encode())
    path.chmod(0o755)


def with_mount(spec, **mount):
    changed = copy.deepcopy(spec)
    changed["mounts"].append(mount)
    return changed


def wait_until(condition, what, seconds=20):
    end = time.monotonic() + seconds * (4 if host.SANITIZERS else 2)
    while not condition():
        assert time.monotonic() < end, f"{what} did not come true"
        time.sleep(0.02)
