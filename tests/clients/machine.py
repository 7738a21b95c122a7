"""machine - a small host of its own for clients of an OCI runtime, made of namespaces.

Podman, containerd, dockerd and conmon bring cgroups, mounts, bridges, locks below /run and processes
that nobody waits for. A Machine has mounts, processes, network, IPC and host name of its own, with
nothing but cgroup v2 at /sys/fs/cgroup and an empty /run, whatever the host has; all of it ends with
its first process. What a client leaves behind in it is told by Audit."""
import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time

from lib import audit, host, images, runner

# Ignoring SIGCHLD lets the kernel reap what is given to this process.
INIT = """import os, signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print(flush=True)
while True:
    signal.pause()
"""
# A cgroup of its own, which its cgroup namespace shows as the root; clients run in a leaf of it.
SETUP = """set -e
mount --make-rprivate /
umount -l /sys/fs/cgroup 2>/dev/null || true
mount -t cgroup2 none /sys/fs/cgroup
mkdir /sys/fs/cgroup/$1
echo $$ >/sys/fs/cgroup/$1/cgroup.procs
umount -l /sys/fs/cgroup
exec unshare -C sh -c "$2" "$0"
"""
INSIDE = """set -e
umount -l /sys 2>/dev/null || true
mount -t sysfs sysfs /sys
mount -t cgroup2 none /sys/fs/cgroup
mkdir /sys/fs/cgroup/session
echo $$ >/sys/fs/cgroup/session/cgroup.procs
mount -t tmpfs -o mode=755 rltest /run
mkdir -p /run/lock /run/user
chmod 1777 /run/lock
mkdir /run/dev
mount -t tmpfs -o mode=755 rltest /run/dev
cd /run/dev
for d in null zero full random urandom tty ptmx fuse kmsg net/tun; do
    mkdir -p $(dirname $d)
    [ ! -e /dev/$d ] || cp -a /dev/$d $d
done
mkdir pts shm mqueue
mount --bind /dev/pts pts
mount -t tmpfs -o mode=1777 rltest shm
mount -t mqueue -o nosuid,nodev,noexec mqueue mqueue
for fd in 0:stdin 1:stdout 2:stderr; do ln -s /proc/self/fd/${fd%:*} ${fd#*:}; done
ln -s /proc/self/fd fd
cd /
umount -l /dev
mount --move /run/dev /dev
rmdir /run/dev
ip link set lo up
hostname machine
mount --make-rshared /
exec /usr/bin/python3 -c "$0"
"""
# Whoever comes in gets a cgroup that is below the root of this one.
ENTER = 'echo $$ >/sys/fs/cgroup/session/cgroup.procs && exec "$@"'
NAMESPACES = ("-m", "-p", "-n", "-i", "-u")
_numbers = itertools.count(1)


PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
HELPERS = "/usr/lib/podman:/usr/libexec/podman"


def programs_missing(*names):
    return [n for n in names if not shutil.which(n, path=f"{PATH}:{HELPERS}")]


class Machine:
    """run(ARGV...) in it; spawn, pty and shell likewise. dir is seen from inside and outside."""

    def __init__(self, base, user=None):
        self.base, self.user = base, user
        self.dir = base / f"m{os.environ.get('PYTEST_XDIST_WORKER', '')}{next(_numbers)}"
        self.dir.mkdir()
        self.cgroup = f"rltest-{os.getpid()}-{self.dir.name}"
        self.children = []
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "rltest", str(self.dir)], check=True)
        self.log = tempfile.TemporaryFile()
        self.holder = subprocess.Popen(
            ["unshare", *NAMESPACES, "--fork", "--mount-proc", "--propagation", "private", "sh",
             "-c", SETUP, INIT, self.cgroup, INSIDE], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log)
        if not self.holder.stdout.readline():
            self.log.seek(0)
            raise RuntimeError("no machine: " + self.log.read().decode(errors="replace"))
        pid = self.holder.pid
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
            self.pid = int(f.read().split()[0])
        self.home = self._own(self.dir / "home")
        self.tmp = self._own(self.dir / "tmp")
        # Any id of a user namespace may have to tell of an error.
        self.reports = self.own_dir("reports", 0o1777)
        self.cgroups = self._cgroups()

    def _own(self, path):
        """A directory of whom the clients run as."""
        path.mkdir()
        if self.user:
            os.chown(path, self.user.uid, self.user.gid)
        return path

    def own_dir(self, name, mode=0o755):
        path = self._own(self.dir / name)
        path.chmod(mode)
        return path

    @property
    def root(self):
        """Its root directory, from outside."""
        return f"/proc/{self.pid}/root"

    def environment(self, env=None):
        full = {"PATH": f"{self.base}/bin:{PATH}", "HOME": str(self.home), "LANG": "C.UTF-8",
                "TERM": "xterm", "TMPDIR": str(self.tmp)}
        if self.user:
            full.update(USER=self.user.name, LOGNAME=self.user.name,
                        XDG_RUNTIME_DIR=f"/run/user/{self.user.uid}")
        if host.SANITIZERS:
            log = self.reports / "log"
            full["ASAN_OPTIONS"] = f"log_path={log}:exitcode=99:detect_leaks=1:abort_on_error=0"
            full["UBSAN_OPTIONS"] = f"log_path={log}:print_stacktrace=1"
        full.update(env or {})
        return {k: str(v) for k, v in full.items() if v is not None}

    def argv(self, argv, root=False):
        words = ["nsenter", "-t", str(self.pid), *NAMESPACES, "-C", "--", "sh", "-c", ENTER, "sh"]
        if self.user and not root:
            words += ["setpriv", f"--reuid={self.user.uid}", f"--regid={self.user.gid}",
                      "--clear-groups", "--"]
        return words + [str(a) for a in argv]

    def spawn(self, *argv, env=None, root=False, **popen):
        kw = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE,
              "cwd": "/", "start_new_session": True}
        kw.update(popen)
        p = subprocess.Popen(self.argv(argv, root), env=self.environment(env), **kw)
        self.children.append(p)
        return p

    def run(self, *argv, rc=None, input=None, timeout=60, env=None, root=False, **popen):
        """A Result, see lib/runner.py; rc is the exit status that is expected."""
        if isinstance(input, str):
            input = input.encode()
        if input is not None:
            popen["stdin"] = subprocess.PIPE
        begin = time.monotonic()
        p = self.spawn(*argv, env=env, root=root, **popen)
        late = False
        try:
            out, err = p.communicate(input, timeout=timeout * runner.PATIENCE)
        except subprocess.TimeoutExpired:
            late = True
            self._kill(p)
            out, err = self._rest(p)
        self.children.remove(p)
        out, err = ((b or b"").decode(errors="replace") for b in (out, err))
        words = p.args[p.args.index(ENTER) + 2:]
        result = runner.Result(words, p.returncode, out, err, time.monotonic() - begin)
        assert not late, f"no end within the time: {result}"
        assert rc is None or result.rc == rc, f"want exit status {rc}:\n{result}"
        return result

    def ok(self, *argv, **kw):
        return self.run(*argv, rc=0, **kw)

    def shell(self, script, *argv, rc=0, **kw):
        """sh -c; argv is its $0, $1 and so on."""
        return self.run("sh", "-c", script, *argv, rc=rc, **kw)

    @staticmethod
    def _rest(p):
        try:
            return p.communicate(timeout=2)
        except subprocess.TimeoutExpired as e:
            return e.stdout, e.stderr

    @staticmethod
    def _kill(p):
        with contextlib.suppress(OSError):
            os.killpg(p.pid, signal.SIGKILL)

    def pty(self, *argv, rows=24, cols=80, env=None):
        """The command on a terminal of its own (lib/runner.py)."""
        t = runner.Pty(_AsIs(), self.argv(argv), self.environment(env), rows, cols)
        self.children.append(t.process)
        return t

    def processes(self):
        """pid as seen inside -> command line, of all but the first process and who asks."""
        # PID 1 of the machine may not be asked for its children: most are adopted by it late.
        out = self.ok("ps", "-eo", "pid=,args=", root=True).out
        found = {}
        for line in out.splitlines():
            pid, _, words = line.strip().partition(" ")
            if pid != "1" and not words.strip().startswith("ps -eo pid="):
                found[int(pid)] = words.strip()
        return found

    def _cgroups(self):
        top = f"{self.root}/sys/fs/cgroup"
        return {os.path.relpath(path, top) for path, _dirs, _files in os.walk(top)}

    def _remove_cgroup(self):
        """Its own, which only its parent can remove; v2 may be mounted anywhere, or nowhere."""
        subprocess.run(["unshare", "-m", "--propagation", "private", "sh", "-c",
                        "umount -l /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup && "
                        'rmdir "/sys/fs/cgroup/$0"', self.cgroup], check=False,
                       stderr=subprocess.DEVNULL)

    def mounts(self):
        with open(f"/proc/{self.pid}/mountinfo", encoding="utf-8", errors="replace") as f:
            return {line.split()[4] + " " + line.partition(" - ")[2].split()[0] for line in f}

    def interfaces(self):
        return set(os.listdir(f"/proc/{self.pid}/root/sys/class/net"))

    def busybox(self):
        """A layer with busybox, users and directories: the tar file of a root file system."""
        path = self.dir / "busybox.tar"
        if not path.exists():
            images.busybox_layer().write(path)
        return path

    def rootfs(self, name):
        """The same, unpacked below dir and owned by root."""
        path = self.dir / name
        path.mkdir()
        host.run("tar", "-C", str(path), "-xf", str(self.busybox()))
        for d in ("proc", "sys", "dev"):
            (path / d).mkdir(exist_ok=True)
        return path

    def end_child(self, p):
        """By its process group: a signal to nsenter alone would not reach the machine."""
        if p.poll() is None:
            self._kill(p)
            p.wait()
        for stream in (p.stdin, p.stdout, p.stderr):
            if stream:
                with contextlib.suppress(OSError):
                    stream.close()
        self.children.remove(p)

    def end_children(self):
        for p in list(self.children):
            self.end_child(p)

    def end(self):
        self.end_children()
        made = sorted(self._cgroups(), key=len, reverse=True)
        top = os.open(f"{self.root}/sys/fs/cgroup", os.O_PATH)
        with contextlib.suppress(OSError):
            os.kill(self.pid, signal.SIGKILL)
        self.holder.wait()
        self.holder.stdout.close()
        self.log.close()
        for path in made:
            with contextlib.suppress(OSError):
                os.rmdir(path, dir_fd=top)
        os.close(top)
        self._remove_cgroup()
        subprocess.run(["umount", "-l", str(self.dir)], check=False, stderr=subprocess.DEVNULL)
        with contextlib.suppress(OSError):
            self.dir.rmdir()


class _User:
    made, home = False, "/"

    @staticmethod
    def popen_args():
        return {}


class _AsIs:
    """What Pty wants to know of whom a command runs as: argv says it here."""
    user = _User()


class Audit:
    """Processes, mounts, cgroups and interfaces of a machine, before and after a test."""

    def __init__(self, machine, stays=()):
        self.machine, self.stays = machine, stays
        self.before = self._take()

    def _take(self):
        m = self.machine
        return {"process": {f"{p} {c}" for p, c in m.processes().items()}, "mount": m.mounts(),
                "cgroup": m._cgroups() - m.cgroups, "interface": m.interfaces(),
                "file": set(os.listdir(m.tmp)),
                "sanitizer report": {str(p) for p in m.reports.iterdir() if audit.is_finding(p)}}

    def _is_leak(self, what):
        return not any(s in what for s in self.stays)

    def leaks(self):
        end = time.monotonic() + 3 * runner.PATIENCE
        while True:
            now = self._take()
            new = {k: {w for w in now[k] - self.before[k] if self._is_leak(w)} for k in now}
            new = {k: w for k, w in new.items() if w}
            if not new or time.monotonic() > end:
                return new
            time.sleep(0.05)

    @staticmethod
    def report(leaks):
        lines = ["the test left behind:"]
        lines += [f"  {kind}: {what}" for kind, found in sorted(leaks.items())
                  for what in sorted(found)]
        for path in leaks.get("sanitizer report", ()):
            with open(path, encoding="utf-8", errors="replace") as f:
                lines.append(f.read()[:4000])
        return "\n".join(lines)
