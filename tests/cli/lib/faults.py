"""faults - lets single system calls of a command fail, and says what must hold afterwards.

A point is a program, a system call of it, the how-manieth of them and an error. tests/crash/inject.c
makes it fail; whichever it is, the command either has done its work or says what failed, and nothing
of it is left."""
import contextlib
import errno
import os
import re
import subprocess
import time

from lib import audit, host, runner

INJECT = host.BUILDDIR / "tests/crash/inject"
CALLS = {
    "read": 0, "write": 1, "poll": 7, "mmap": 9, "ioctl": 16, "pread64": 17, "pwrite64": 18,
    "readv": 19, "writev": 20, "dup": 32, "dup2": 33, "socket": 41, "connect": 42, "sendto": 44,
    "recvfrom": 45, "sendmsg": 46, "recvmsg": 47, "bind": 49, "listen": 50, "socketpair": 53, "clone": 56,
    "fork": 57, "vfork": 58, "execve": 59, "wait4": 61, "fcntl": 72, "flock": 73, "fsync": 74,
    "fdatasync": 75, "ftruncate": 77, "chdir": 80, "fchdir": 81, "rename": 82, "mkdir": 83, "link": 86,
    "unlink": 87, "symlink": 88, "fchmod": 91, "fchown": 93, "mount": 165, "sethostname": 170,
    "fsetxattr": 190, "getdents64": 217, "epoll_wait": 232, "epoll_ctl": 233, "waitid": 247, "openat": 257,
    "mkdirat": 258, "mknodat": 259, "fchownat": 260, "newfstatat": 262, "unlinkat": 263, "renameat": 264,
    "linkat": 265, "symlinkat": 266, "readlinkat": 267, "ppoll": 271, "unshare": 272, "utimensat": 280,
    "epoll_pwait": 281, "timerfd_create": 283, "fallocate": 285, "timerfd_settime": 286, "accept4": 288,
    "signalfd4": 289, "eventfd2": 290, "epoll_create1": 291, "dup3": 292, "pipe2": 293, "syncfs": 306,
    "setns": 308, "renameat2": 316, "seccomp": 317, "getrandom": 318, "memfd_create": 319, "execveat": 322,
    "copy_file_range": 326, "statx": 332, "open_tree": 428, "move_mount": 429, "fsopen": 430,
    "fsconfig": 431, "fsmount": 432, "pidfd_open": 434, "clone3": 435, "openat2": 437, "mount_setattr": 442,
    # openat with O_CREAT, write to 0-2, fcntl with F_DUPFD_CLOEXEC: see inject.c
    "creat": 510, "output": 509, "dupfd": 508,
}
WRITES = ("write output pwrite64 writev creat mkdir mkdirat mknodat link linkat symlink symlinkat rename renameat "
          "renameat2 ftruncate fallocate fdatasync fsync syncfs fsetxattr copy_file_range bind")
ERRORS = {
    "ENOSPC": WRITES,
    "EDQUOT": WRITES,
    "EIO": "read pread64 readv write output pwrite64 writev openat creat openat2 fdatasync fsync syncfs getdents64 statx "
           "newfstatat unlinkat unlink renameat rename mkdirat linkat readlinkat fsconfig fchmod fchown",
    "EMFILE": "openat creat openat2 socket socketpair pipe2 dup dup3 dupfd epoll_create1 eventfd2 signalfd4 "
              "timerfd_create memfd_create accept4 pidfd_open fsopen fsmount open_tree clone3",
    "ENOMEM": "mmap clone clone3 fork vfork execve execveat openat openat2 socket mount fsopen fsconfig "
              "fsmount open_tree move_mount mount_setattr unshare setns seccomp epoll_ctl sendmsg poll",
    "EAGAIN": "clone clone3 fork vfork openat2 recvmsg sendmsg sendto recvfrom accept4",
    "EINTR": "read write pread64 pwrite64 readv writev poll ppoll epoll_wait epoll_pwait wait4 waitid accept4 "
             "connect recvmsg sendmsg recvfrom sendto flock getrandom",
}
# After these the command must have done its work: they say "once more".
RETRIED = {"EINTR"}
NAMES = {number: name for name, number in CALLS.items()}


class Point:
    def __init__(self, verb, role, call, n, error):
        self.verb, self.role, self.call, self.n, self.error = verb, role, call, n, error

    def options(self):
        return ["-r", self.role, "-c", str(CALLS[self.call]), "-n", str(self.n),
                "-e", str(getattr(errno, self.error))]

    def __repr__(self):
        return f"{self.verb}:{self.role}:{self.call}:{self.n}:{self.error}"


def points(verb, counts):
    """All of a verb, from what a run without faults has counted."""
    found = []
    for role, number, count in counts:
        call = NAMES.get(number)
        for error, calls in ERRORS.items():
            if call in calls.split():
                found += [Point(verb, role, call, n, error) for n in range(1, count + 1)]
    return found


class Stand:
    """A store with an image, a container that runs ("w") and one that has ended ("x")."""

    def __init__(self, rootlet):
        self.r, self.user = rootlet, rootlet.user
        self.image = rootlet.image()
        self.log = self.user.base / f"inject-{os.getpid()}.log"
        self.ok("run", "-d", "--name", "w", self.image, "sleep", "10000")
        self.ok("run", "--name", "x", self.image, "echo", "hello")
        self.witness = rootlet.inspect("w")["State"]["Pid"]
        self.processes = set(self.user.processes())
        self.layers = self.below("layers")
        self.ids = self.below("containers")

    def ok(self, *args, **kw):
        return self.r.ok(*args, **kw)

    def below(self, what):
        return {os.path.basename(p) for p in audit.below(self.r.store.root / what)}

    def supervisor(self, name):
        ident = self.r.inspect(name)["Id"]
        return next(pid for pid, line in self.user.processes().items() if f"--id={ident}" in line)

    def inject(self, argv, options=(), pids=(), env=None, timeout=30, stdin=None):
        """(exit status, stdout, stderr, log)"""
        with contextlib.suppress(OSError):
            self.log.unlink()
        head = [str(INJECT), "-o", str(self.log), "-u", f"{self.user.uid}:{self.user.gid}"]
        for pid in pids:
            head += ["-p", str(pid)]
        out = self.log.with_suffix(".out")
        err = self.log.with_suffix(".err")
        # Files: what the command leaves running has the pipe too.
        with open(out, "wb") as o, open(err, "wb") as e:
            p = subprocess.Popen([*head, *options, "--", self.r.program, *argv], stdout=o, stderr=e,
                                 stdin=stdin or subprocess.DEVNULL, cwd=self.user.home,
                                 env=self.r.environment(env), start_new_session=True)
            try:
                rc = p.wait(timeout * runner.PATIENCE)
            except subprocess.TimeoutExpired:
                os.killpg(p.pid, 9)
                p.wait()
                rc = "HANG"
        log = self.log.read_text() if self.log.exists() else ""
        return rc, out.read_text(errors="replace"), err.read_text(errors="replace"), log

    def count(self, argv, pids=()):
        rc, _, err, log = self.inject(argv, pids=pids)
        assert rc == 0, (argv, rc, err)
        return [(role, int(call), int(n)) for role, call, n in map(str.split, log.splitlines())]

    def leftovers(self):
        """What is there beside the witnesses."""
        found = []
        extra = {pid: line for pid, line in self.user.processes().items() if pid not in self.processes}
        found += [f"process {pid}: {line}" for pid, line in extra.items()]
        found += [f"container {c}" for c in self.below("containers") - self.ids]
        # One that leads nowhere is anybody's.
        alive = self.below("containers")
        for c in self.below("names") - {"w", "x"}:
            if os.readlink(self.r.store.root / "names" / c) in alive:
                found.append(f"name {c}")
        found += [f"ingest {c}" for c in self.below("ingest")]
        found += [f"layer {c}" for c in self.below("layers") - self.layers]
        run = {os.path.basename(p) for p in audit.below(self.r.store.runroot)}
        found += [f"run {c}" for c in run - self.ids if not c.startswith(audit.RUN_STAYS)]
        for d in ("layers", "images", "blobs", "volumes", "pods"):
            found += [f"{d} {c}" for c in self.below(d) if c.startswith((".tmp", ".rm", ".new"))]
        mounts = [m for m in audit.mounts_of([f"{self.r.store.root}/", f"{self.r.store.runroot}/"])]
        ours = os.readlink("/proc/self/ns/mnt")
        found += [f"mount {m}" for m in mounts if m.startswith(ours)]
        return found

    def sweep(self):
        """What a killed command may leave goes with the next creation and removal."""
        self.ok("create", "--name", "sweeper", self.image, "true")
        self.ok("rm", "sweeper")
        self.ok("tag", self.image, "localhost/sweeper")
        self.ok("rmi", "localhost/sweeper")

    def forget(self):
        """One leak is told once."""
        self.ids |= self.below("containers") | {os.path.basename(p) for p in audit.below(self.r.store.runroot)}
        self.processes = set(self.user.processes())
        self.layers = self.below("layers")

    def wait_leftovers(self, seconds=3):
        end = time.monotonic() + seconds * runner.PATIENCE
        while (found := self.leftovers()) and time.monotonic() < end:
            time.sleep(0.02)
        return found

    def intact(self):
        """What is wrong with containers and images that the command had nothing to do with."""
        wrong = []
        ps = self.r("ps", "-a", "--format", "{{.Names}} {{.State}}")
        if ps.rc or not {"w running", "x exited"} <= set(ps.out.splitlines()):
            wrong.append(f"ps: {ps}")
        images = self.r("images")
        if images.rc or "busybox" not in images.out:
            wrong.append(f"images: {images}")
        if not os.path.exists(f"/proc/{self.witness}"):
            wrong.append("the witness has ended")
        return wrong


def judge(point, rc, err):
    """What is wrong with how a command ended, or None."""
    if rc == "HANG":
        return "hangs"
    if rc == 0:
        return None
    if rc in (98, 99):
        return f"not injected: {err}"
    # A filter that looks at arguments; libraries that do not begin again.
    if re.search("SIGSYS|error while loading shared libraries|cannot allocate TLS data structures|make the system call filter", err):
        return None
    # What maps the libraries of a program before it begins.
    if point.call == "mmap" and point.n == 1 and rc == 139 and not err:
        return None
    if rc >= 128 or "Aborted" in err or re.search(r"SIG(ABRT|SEGV|BUS|ILL)", err):
        return f"crash ({rc}): {err}"
    if point.error in RETRIED:
        return f"not retried ({rc}): {err}"
    if not re.search(r"^(Error|rootlet[a-z-]*): \S+.*", err, re.M):
        return f"no message ({rc}): {err!r}"
    return None
