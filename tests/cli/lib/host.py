"""host - users, directories and devices that the tests need, and their end.

The pytest process that the user started (the controller) prepares what all workers share; each
worker makes users of its own, so that the leak audit of one never sees what another runs."""
import contextlib
import ctypes
import fcntl
import os
import pathlib
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import time

BUILDDIR = pathlib.Path(os.environ.get("BUILDDIR", "build"))
SRCDIR = pathlib.Path(os.environ.get("SRCDIR", "."))
SANITIZERS = os.environ.get("SANITIZERS") == "yes"
PROGRAMS = ("rootlet", "rootlet-supervise", "rootlet-image", "rootlet-registry", "rootlet-build", "rootlet-seccomp",
            "rootlet-init", "rootlet-oci", "rootlet-scope", "rootlet-user-generator", "rootlet-leash")
# Of the network; a configuration may be without some of them.
PROGRAMS += tuple(p for p in ("rootlet-slirp", "rootlet-ports", "rootlet-network", "rootlet-net-helper")
                  if (BUILDDIR / p).exists())
DEVICES = ("/dev/fuse", "/dev/net/tun")
CLONE_NEWNS = 0x20000
_libc = ctypes.CDLL(None, use_errno=True)
LOCK = "/run/lock/rootlet-tests"
SUBIDS = 65536
FIRST_SUBID = 200_000_000


def is_root():
    return os.geteuid() == 0


def fs_type(path):
    return subprocess.run(["stat", "-f", "-c", "%T", str(path)], capture_output=True, text=True,
                          check=True).stdout.strip()


@contextlib.contextmanager
def locked(path):
    """One test process at a time, on the whole host."""
    with open(path, "a", encoding="utf-8") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


def run(*argv):
    r = subprocess.run(argv, capture_output=True, text=True, check=False)
    if r.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {r.returncode}: {r.stderr.strip()}")
    return r.stdout


def start_time(pid):
    """Clock ticks since boot: with the pid it names a process for ever."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
            return f.read().rpartition(")")[2].split()[19]
    except OSError:
        return None


def descriptors(pid):
    """Number -> what it is, of a process at work: what it closes while we look is left out."""
    found = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found[int(fd)] = os.readlink(f"/proc/{pid}/fd/{fd}")
    return found


def sleeps(pid):
    """It waits for something: whatever it was asked is done."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
        return f.read().rsplit(")", 1)[1].split()[0] == "S"


def make_base():
    """The directory of a whole run: programs, homes, stores. Short, as sockets' paths must be."""
    base = pathlib.Path(tempfile.mkdtemp(prefix="rl", dir=os.environ.get("ROOTLET_TEST_TMP", "/tmp")))
    # An overlay cannot hold the upper directory of another one.
    if fs_type(base) == "overlayfs" and is_root():
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "rltest", str(base)], check=False)
    base.chmod(0o755)
    for d in ("bin", "images"):
        (base / d).mkdir()
    for name in PROGRAMS:
        if (BUILDDIR / name).exists():
            shutil.copy2(BUILDDIR / name, base / "bin" / name)
            (base / "bin" / name).chmod(0o755)
    return base


def remove_base(base):
    subprocess.run(["umount", "-l", str(base)], check=False, stderr=subprocess.DEVNULL)
    shutil.rmtree(base, ignore_errors=True)


def _own_mounts():
    """A mount namespace of this thread's own, and of what it starts."""
    if _libc.unshare(CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    run("mount", "--make-rprivate", "/")


def _cover(path, mode):
    """Another node of the same device, in this mount namespace only: the machine's keeps its mode."""
    place = tempfile.mkdtemp(prefix="rldev")
    try:
        run("mount", "-t", "tmpfs", "-o", "mode=755", "rltest", place)
        os.mknod(f"{place}/node", stat.S_IFCHR | 0o600, os.stat(path).st_rdev)
        os.chmod(f"{place}/node", mode)
        run("mount", "--bind", f"{place}/node", path)
    finally:
        subprocess.run(["umount", "-l", place], check=False, stderr=subprocess.DEVNULL)
        os.rmdir(place)


def open_devices():
    """Lets everybody of this run use the devices that drivers open. To be called before anything is mounted; where it
    may not be done, what needs them is skipped."""
    closed = [d for d in DEVICES if os.path.exists(d) and os.stat(d).st_mode & 0o666 != 0o666]
    if not closed or not is_root():
        return
    with contextlib.suppress(OSError, RuntimeError):
        _own_mounts()
        for path in closed:
            _cover(path, 0o666)


@contextlib.contextmanager
def own_mounts():
    """What this thread and what it starts meanwhile mount is seen by nobody else, and goes with them."""
    directory = os.getcwd()
    home = os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _own_mounts()
        yield
    finally:
        left = _libc.setns(home, CLONE_NEWNS)
        os.close(home)
        os.chdir(directory)
        assert left == 0, "the thread's mount namespace"


@contextlib.contextmanager
def closed_device(path):
    """For what this thread starts meanwhile, only root may use it."""
    with own_mounts():
        if os.path.exists(path):
            _cover(path, 0o600)
        yield


def _ids(pid):
    """Whose a process is; none of a zombie, which is only its parent's: had that one left it, it would be found
    itself. From the status, as the directory of a process that is not dumpable belongs to root. Every test reads all
    of them: not as text."""
    fd = os.open(f"/proc/{pid}/status", os.O_RDONLY)
    try:
        status = os.read(fd, 4096)
    finally:
        os.close(fd)
    at = status.find(b"\nUid:") + 5  # the line feeds of a name are escaped
    return set() if b"\nState:\tZ" in status else {int(n) for n in status[at:status.find(b"\n", at)].split()}


def _command_line(pid):
    with open(f"/proc/{pid}/cmdline", "rb") as f:
        line = f.read().replace(b"\0", b" ").decode(errors="replace").strip()
    if not line:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as f:
            line = f"[{f.read().strip()}]"
    return line


def processes_of(users):
    """pid -> command line of everything that the ids of these users run."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry[0] not in "123456789":
            continue
        try:
            ids = _ids(entry)
            if any(u.owns(i) and (u.made or u.is_of_a_store(entry)) for i in ids for u in users):
                found[int(entry)] = _command_line(entry)
        except OSError:
            pass
    return found


class User:
    """Somebody who runs containers. As root: made for this worker, with 65536 subordinate ids."""

    def __init__(self, base, name, made):
        entry = pwd.getpwnam(name)
        self.name, self.uid, self.gid, self.made = name, entry.pw_uid, entry.pw_gid, made
        self.base = base
        self.subuid = self._subids("/etc/subuid")
        self.subgid = self._subids("/etc/subgid")
        # Workers share the user who runs the suite, but nothing of theirs.
        tag = self.uid if made else "u" + os.environ.get("PYTEST_XDIST_WORKER", "")
        self.home = base / f"h{tag}"
        self.runtime = base / f"x{tag}"
        for d in (self.home, self.runtime):
            d.mkdir(mode=0o700)
            if made:
                os.chown(d, self.uid, self.gid)
        # Any id of the user may have to tell of an error.
        self.reports = base / f"reports-{tag}"
        self.reports.mkdir()
        self.reports.chmod(0o1777)
        self.tmp = self.home / "tmp"
        self.tmp.mkdir(mode=0o700)
        if made:
            os.chown(self.tmp, self.uid, self.gid)
            # As under systemd; without the right to mount a plain directory has to do.
            subprocess.run(["mount", "-t", "tmpfs", "-o",
                            f"mode=700,uid={self.uid},gid={self.gid}", "rltest", str(self.runtime)],
                           check=False, stderr=subprocess.DEVNULL)

    def _subids(self, path):
        """(first, count) of this user's only or first range; (0, 0) without one."""
        with contextlib.suppress(OSError), open(path, encoding="utf-8") as f:
            for line in f:
                owner, _, rest = line.strip().partition(":")
                if owner in (self.name, str(self.uid)):
                    first, _, count = rest.partition(":")
                    return int(first), int(count)
        return 0, 0

    def owns(self, uid):
        first, count = self.subuid
        return uid == self.uid or first <= uid < first + count

    def popen_args(self):
        """What subprocess needs to become this user."""
        if not self.made:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def environment(self):
        env = {"PATH": f"{self.base}/bin:/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin",
               "HOME": str(self.home), "XDG_RUNTIME_DIR": str(self.runtime), "USER": self.name,
               "LOGNAME": self.name, "LANG": "C.UTF-8", "TERM": "xterm", "TMPDIR": str(self.tmp)}
        if SANITIZERS:
            log = self.reports / "log"
            env["ASAN_OPTIONS"] = f"log_path={log}:exitcode=99:detect_leaks=1:abort_on_error=0"
            # What only a dead part of a stack or a register still points to is lost.
            env["LSAN_OPTIONS"] = "use_stacks=0:use_registers=0"
            env["UBSAN_OPTIONS"] = f"log_path={log}:print_stacktrace=1"
        return env

    def processes(self):
        """pid -> command line of everything that this user's ids run."""
        return processes_of([self])

    def is_of_a_store(self, pid):
        """Tells this worker's containers from all else of the one who runs the suite."""
        with open(f"/proc/{pid}/environ", "rb") as f:
            return b"ROOTLET_ROOT=" + bytes(self.home) + b"/" in f.read()

    def kill_all(self, pids=None):
        """Ends processes of this user (those given, or all), and waits for their end."""
        for _ in range(50):
            left = self.processes()
            if pids is not None:
                left = {p: c for p, c in left.items() if p in pids}
            left.pop(os.getpid(), None)
            if not left:
                return
            for pid in left:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)

    def remove(self):
        if not self.made:
            return
        self.kill_all()
        subprocess.run(["umount", "-l", str(self.runtime)], check=False, stderr=subprocess.DEVNULL)
        with locked(LOCK):
            _userdel(self.name)


def _userdel(name):
    subprocess.run(["userdel", name], check=False, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    subprocess.run(["groupdel", name], check=False, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)


def _remove_stale_users():
    """Those of a run that was killed: their comment names a process that is no more."""
    for entry in pwd.getpwall():
        words = entry.pw_gecos.split()
        if entry.pw_name.startswith("rltest") and words[:2] == ["rootlet", "tests"]:
            if len(words) != 4 or start_time(words[2]) != words[3]:
                _userdel(entry.pw_name)


def _free_range():
    used = set()
    for path in ("/etc/subuid", "/etc/subgid"):
        with contextlib.suppress(OSError), open(path, encoding="utf-8") as f:
            used.update(int(line.split(":")[1]) for line in f if line.count(":") == 2)
    first = FIRST_SUBID
    while first in used:
        first += SUBIDS
    return first


def make_user(base):
    """A new user (as root), or the one who runs the suite."""
    if not is_root():
        return User(base, pwd.getpwuid(os.geteuid()).pw_name, made=False)
    with locked(LOCK):
        _remove_stale_users()
        names = {e.pw_name for e in pwd.getpwall()}
        name = next(n for n in (f"rltest{i}" for i in range(1, 1000)) if n not in names)
        for path in ("/etc/subuid", "/etc/subgid"):
            pathlib.Path(path).touch()
        run("useradd", "-M", "-U", "-d", f"{base}/nohome", "-s", "/bin/sh",
            "-K", "SUB_UID_COUNT=0", "-K", "SUB_GID_COUNT=0",
            "-c", f"rootlet tests {os.getpid()} {start_time(os.getpid())}", name)
        first = _free_range()
        ids = f"{first}-{first + SUBIDS - 1}"
        run("usermod", "--add-subuids", ids, "--add-subgids", ids, name)
    return User(base, name, made=True)
