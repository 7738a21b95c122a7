"""host - where the bench runs: a user, a private mount namespace, a file system in memory.

As root the bench makes a user with subordinate ids, enters a mount namespace of its own (nothing of
it is seen outside, and it ends with the bench) and runs every command as that user; as anybody else
it runs them as that user, with what the host has."""
import contextlib
import ctypes
import os
import pathlib
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import measure

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS = 0x00020000
MS_REC, MS_PRIVATE = 0x4000, 1 << 18
MNT_DETACH = 2
USER = "rlbench"
PROGRAMS = ("rootlet", "rootlet-supervise", "rootlet-image", "rootlet-registry", "rootlet-build", "rootlet-seccomp",
            "rootlet-init", "rootlet-oci", "rootlet-scope", "rootlet-leash")
NETWORK_PROGRAMS = ("rootlet-slirp", "rootlet-ports", "rootlet-network")
CONTAINERS_CONF = """[containers]
cgroups = "disabled"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "crun"
"""


def check(result, what):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source, target, kind, flags=0, options=None):
    check(LIBC.mount(source.encode(), str(target).encode(), kind and kind.encode(),
                     ctypes.c_ulong(flags), options and options.encode()), f"mount {target}")


def fs_type(path):
    return subprocess.run(["stat", "-f", "-c", "%T", str(path)], capture_output=True, text=True,
                          check=True).stdout.strip()


class Host:
    """The work directory, the user, and how to run something as that user."""

    def __init__(self, builddir, realtime):
        self.root = os.geteuid() == 0
        self.realtime = realtime and self.root
        self.made_user = False
        self.work = None
        self.notes = []
        self.builddir = pathlib.Path(builddir)

    def enter(self):
        """Make what is needed; close() ends all of it, after a failure here too."""
        if self.root:
            self.make_user()
            check(LIBC.unshare(CLONE_NEWNS), "make a mount namespace")
            mount("none", "/", None, MS_REC | MS_PRIVATE)
        else:
            self.user = pwd.getpwuid(os.geteuid())
        self.work = self.make_work()
        self.unified = self.see_cgroups()
        self.bin, self.own = self.copy_programs(self.builddir)

    # What is needed

    def make_user(self):
        with contextlib.suppress(KeyError):
            pwd.getpwnam(USER)
            raise SystemExit(f"bench: there is a user {USER} already: is another bench running? "
                             f"(userdel -r {USER})")
        first = free_subids()
        subprocess.run(["useradd", "-M", "-d", "/nonexistent", "-s", "/bin/sh", USER], check=True)
        self.made_user = True
        last = first + 65535
        # useradd may have given some of its own
        for option in ("--add-subuids", "--add-subgids"):
            if not subids(USER, "/etc/" + option[6:-1]):
                subprocess.run(["usermod", option, f"{first}-{last}", USER], check=True)
        self.user = pwd.getpwnam(USER)

    def make_work(self):
        work = pathlib.Path(tempfile.mkdtemp(prefix="rlbench.",
                                             dir=None if self.root else "/dev/shm"))
        if self.root:
            mount("rlbench", work, "tmpfs", 0, "mode=755")
            mount("rlbench", "/dev/shm", "tmpfs", 0, "mode=1777")  # podman leaves its locks there
        self.notes.append(
            f"stores lie on {fs_type(work)}: on ext4 the creation of files is slow for seconds after "
            "others were deleted, whoever deletes them, and the disk would be measured as well")
        return work

    def see_cgroups(self):
        """True when /sys/fs/cgroup is cgroup v2 alone, which older crun and podman insist on."""
        if fs_type("/sys/fs/cgroup") == "cgroup2fs":
            return True
        if not self.root:
            self.notes.append("no unified cgroup v2 on this host: crun and podman are left out "
                              "(as root the bench would show them one)")
            return False
        LIBC.umount2(b"/sys/fs/cgroup", MNT_DETACH)
        mount("none", "/sys/fs/cgroup", "cgroup2")
        self.notes.append("a hybrid cgroup host: all see a plain cgroup2 mount in its place")
        return True

    def copy_programs(self, builddir):
        """The programs as a package installs them: where all may run them and root owns them.
        (their directory, that of floor and rss)"""
        if not self.root:
            self.notes.append("not root: the programs are the build directory's; rootlet exec copies "
                              "itself to memory first, which it need not when root owns it")
            return builddir, builddir / "tests/bench"
        target = self.work / "bin"
        target.mkdir()
        for name in PROGRAMS:
            shutil.copy(builddir / name, target / name)
        for name in NETWORK_PROGRAMS:
            if (builddir / name).exists():
                shutil.copy(builddir / name, target / name)
        for name in ("floor", "rss"):
            shutil.copy(builddir / "tests/bench" / name, target / name)
        return target, target

    def subids(self):
        """(first subuid, first subgid, how many) of the user; None without any"""
        u = subids(self.user.pw_name, "/etc/subuid")
        g = subids(self.user.pw_name, "/etc/subgid")
        return (u[0], g[0], min(u[1], g[1])) if u and g else None

    def home(self, name):
        """A home with stores and a run-time directory of its own, as the environment that says so."""
        home, run = self.work / name, self.work / (name + ".run")
        config = home / ".config/containers"
        config.mkdir(parents=True)
        run.mkdir(mode=0o700)
        (config / "containers.conf").write_text(CONTAINERS_CONF)
        (config / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
        for path in (home, home / ".config", config, run):
            os.chown(path, self.user.pw_uid, self.user.pw_gid)
        return {"HOME": str(home), "XDG_RUNTIME_DIR": str(run), "USER": self.user.pw_name,
                "LOGNAME": self.user.pw_name, "TMPDIR": str(run), "LC_ALL": "C.UTF-8",
                "BENCH_RSS": str(self.own / "rss"),
                "PATH": f"{self.bin}:/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"}

    # Run something as the user

    def run(self, argv, env, fatal=True):
        """Its output; None when it fails and that is not fatal."""
        ids = {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []} \
            if self.root else {}
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            # Files: a pipe would be kept open by what the command leaves running.
            code = subprocess.call(argv, env=env, cwd=env["HOME"], stdin=subprocess.DEVNULL,
                                   stdout=out, stderr=err, **ids)
            out.seek(0)
            err.seek(0)
            if code == 0:
                return out.read()
            message = f"{' '.join(argv)}: {code}: {err.read().strip()}"
        if fatal:
            raise SystemExit("bench: " + message)
        self.notes.append(message)
        return None

    def measuring(self, env, work, **runner):
        """work(Runner) in a process of the user's."""
        def prepare():
            if self.realtime:
                os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
            if self.root:
                os.setgroups([])
                os.setresgid(*[self.user.pw_gid] * 3)
                os.setresuid(*[self.user.pw_uid] * 3)
            measure.become_subreaper(LIBC)
        return measure.in_child(prepare, lambda: work(measure.Runner(env, env["HOME"], **runner)))

    def alternate(self, env, commands, rounds, warmup=1):
        rows = self.measuring(env, lambda r: r.alternate(commands, rounds, warmup))
        return {row[0]: measure.Samples(*row) for row in rows}

    # The end

    def processes(self):
        """{pid: name} of all processes of the user and of its subordinate ids."""
        ids = self.subids()
        ours = {self.user.pw_uid} | (set(range(ids[0], ids[0] + ids[2])) if ids else set())
        found = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if os.stat(f"/proc/{pid}").st_uid in ours or real_uid(pid) in ours:
                    found[int(pid)] = pathlib.Path(f"/proc/{pid}/comm").read_text("utf-8").strip()
        return found

    def close(self):
        if self.made_user:
            for pid in self.processes():  # nobody else is this user
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for _ in range(100):  # one that is dying still counts as a process of the user
                if not self.processes():
                    break
                time.sleep(0.05)
            done = subprocess.run(["userdel", USER], check=False, capture_output=True, text=True)
            if done.returncode:
                print(f"bench: the user {USER} stays: {done.stderr.strip()}", file=sys.stderr)
        if self.work and self.root:
            LIBC.umount2(str(self.work).encode(), MNT_DETACH)
        if self.work:
            # The work directories of the floor's overlays have mode 0.
            subprocess.run(["chmod", "-R", "u+rwX", str(self.work)], check=False,
                           stderr=subprocess.DEVNULL)
            shutil.rmtree(self.work, ignore_errors=True)


def real_uid(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text("utf-8")
    return int(re.search(r"^Uid:\s+(\d+)", status, re.M)[1])


def subids(name, path):
    """(first, count) of the first line of a user."""
    with contextlib.suppress(OSError):
        for line in pathlib.Path(path).read_text("utf-8").splitlines():
            parts = line.split(":")
            if len(parts) == 3 and parts[0] == name:
                return int(parts[1]), int(parts[2])
    return None


def free_subids():
    """The start of 65536 ids above all that are given away."""
    first = 500_000_000
    for path in ("/etc/subuid", "/etc/subgid"):
        with contextlib.suppress(OSError):
            for line in pathlib.Path(path).read_text("utf-8").splitlines():
                parts = line.split(":")
                if len(parts) == 3:
                    first = max(first, int(parts[1]) + int(parts[2]))
    return first
