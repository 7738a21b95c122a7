"""sandbox - a place to run OCI runtimes in, the same one on every host: new mount, pid and cgroup
namespaces, /sys/fs/cgroup with the unified hierarchy only (hosts with version 1 have it as well),
and a cgroup that belongs to whom the command runs as. The host's files are read-only, as whatever
a runtime is made to do here it does as root: an empty file system on SCRATCH and the directory
`writable` are not. Needs root.

    code, left = Sandbox(user=(uid, gid)).run(argv, env=..., stdout=...)

`left` names what the command left behind: processes and cgroups; they are gone when run() returns.
"""
import contextlib
import ctypes
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

MS_RDONLY, MS_REMOUNT, MS_BIND, MNT_DETACH = 1, 32, 4096, 2
SCRATCH = "/media"
libc = ctypes.CDLL(None, use_errno=True)


def checked(result, what):
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")


def mount(source, target, kind, flags=0):
    checked(libc.mount(source.encode(), target.encode(), kind.encode() if kind else None,
                       ctypes.c_ulong(flags), None), f"mount {target}")


def unified():
    """Where this host has the unified cgroup hierarchy."""
    with open("/proc/self/mountinfo", encoding="utf-8") as f:
        for line in f:
            fields, _, rest = line.partition(" - ")
            if rest.startswith("cgroup2 "):
                return pathlib.Path(fields.split()[4])
    raise RuntimeError("this host has no cgroup2 mount")


def enable_controllers(cgroup):
    names = (cgroup / "cgroup.controllers").read_text(encoding="ascii").split()
    for name in names:
        with contextlib.suppress(OSError):
            (cgroup / "cgroup.subtree_control").write_text(f"+{name}", encoding="ascii")


class Sandbox:
    """One command at a time; several sandboxes can run side by side. `namespaces` are more of them, as
    options of unshare."""

    def __init__(self, user=None, namespaces="", writable=None):
        self.user, self.namespaces, self.writable = user, namespaces, str(writable or "-")

    def run(self, argv, **popen):
        top = unified()
        enable_controllers(top)
        cgroup = pathlib.Path(tempfile.mkdtemp(prefix="oci-test-", dir=top))
        cgroup.chmod(0o755)
        report, report_write = os.pipe()
        try:
            user = ":".join(str(i) for i in self.user) if self.user else "-"
            enter = [sys.executable, __file__, "enter", str(cgroup), "-mCp" + self.namespaces, user,
                     self.writable, str(report_write), *argv]
            with subprocess.Popen(enter, pass_fds=(report_write,), **popen) as p:
                os.close(report_write)
                report_write = -1
                try:
                    p.wait()
                except BaseException:
                    p.kill()
                    raise
            with open(report, encoding="utf-8") as f:
                report = -1
                text = f.read()
            return p.returncode, json.loads(text) if text else ["the sandbox itself failed"]
        finally:
            for fd in (report, report_write):
                if fd >= 0:
                    os.close(fd)
            remove_cgroup(cgroup)


def remove_cgroup(cgroup):
    """Everything in it was killed with the pid namespace, but may still be going."""
    for _ in range(200):
        with contextlib.suppress(OSError):
            for directory, _, _ in os.walk(cgroup, topdown=False):
                os.rmdir(directory)
        if not cgroup.exists():
            return
        time.sleep(0.02)
    raise RuntimeError(f"{cgroup} cannot be removed")


def enter(cgroup, namespaces, user, writable, report, *argv):
    pathlib.Path(cgroup, "cgroup.procs").write_text("0", encoding="ascii")
    os.execvp("unshare", ["unshare", namespaces, "--fork", "--kill-child", "--mount-proc",
                          "--propagation", "private",
                          sys.executable, __file__, "inside", user, writable, report, *argv])


def delegate(uid, gid):
    """Gives the cgroup to a user."""
    top = pathlib.Path("/sys/fs/cgroup")
    for path in (top, top / "leaf", top / "cgroup.procs", top / "cgroup.subtree_control",
                 top / "leaf/cgroup.procs"):
        os.chown(path, uid, gid)


def protect(writable):
    if writable != "-":
        mount(writable, writable, None, MS_BIND)
    mount("scratch", SCRATCH, "tmpfs")
    os.chmod(SCRATCH, 0o755)
    with open("/proc/self/mountinfo", encoding="utf-8") as f:
        mounts = [line.split()[4] for line in f]
    for where in mounts:
        # What the kernel makes up has nothing to lose, but for /dev; what another mount hides cannot be reached.
        if where not in (SCRATCH, writable) and not where.startswith(("/proc", "/sys", "/dev/pts")):
            with contextlib.suppress(OSError):
                mount("none", where, None, MS_REMOUNT | MS_BIND | MS_RDONLY)


def inside(user, writable, report, *argv):
    """The first process of the pid namespace: when it ends, all others are killed."""
    libc.umount2(b"/sys/fs/cgroup", MNT_DETACH)
    mount("cgroup2", "/sys/fs/cgroup", "cgroup2")
    top = pathlib.Path("/sys/fs/cgroup")
    protect(writable)
    # Controllers are given on only by a cgroup without processes.
    leaf = top / "leaf"
    leaf.mkdir()
    (leaf / "cgroup.procs").write_text("0", encoding="ascii")
    enable_controllers(top)
    if user != "-":
        uid, gid = (int(i) for i in user.split(":"))
        delegate(uid, gid)
    os.set_inheritable(int(report), False)
    pid = os.fork()
    if pid == 0:
        if user != "-":
            os.setgroups([])
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
        try:
            os.execvp(argv[0], argv)
        finally:
            os._exit(127)
    status = None
    while status is None:
        ended, s = os.wait()
        if ended == pid:
            status = os.waitstatus_to_exitcode(s)
    with open(int(report), "w", encoding="utf-8") as f:
        json.dump(leftovers(top), f)
    sys.exit(status if status >= 0 else 128 - status)


def leftovers(top):
    """What is there beside this process; what is about to end gets a moment."""
    for _ in range(250):
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        found = [f"cgroup {d.name}" for d in top.iterdir() if d.is_dir() and d.name != "leaf"]
        for p in pathlib.Path("/proc").iterdir():
            if p.name.isdigit() and p.name != "1":
                with contextlib.suppress(OSError):
                    words = (p / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    found.append(f"process {words.strip() or (p / 'comm').read_text().strip()}")
        if not found:
            break
        time.sleep(0.02)
    return sorted(found)


if __name__ == "__main__":
    {"enter": enter, "inside": inside}[sys.argv[1]](*sys.argv[2:])
