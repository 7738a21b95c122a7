"""diff_execute - gives one case to one runtime and tells what came of it. Runs in a sandbox as its root;
a runtime runs in a mount namespace of its own, as whoever it is tried for."""
import contextlib
import ctypes
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 16384, 1 << 18
TIMEOUT = 10
libc = ctypes.CDLL(None, use_errno=True)

SCRIPT = "#!/bin/sh\nexec /probe from-script\n"
NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts")


class Template:
    """What every root file system has, hard-linked for each run."""

    def __init__(self, directory, probe, busybox):
        self.directory = directory
        directory.mkdir()
        for name, source in (("probe", probe), ("busybox", busybox)):
            shutil.copy(source, directory / name)
            (directory / name).chmod(0o755)

    def rootfs(self, root):
        for d in ("bin", "etc", "dev", "proc", "sys", "tmp", "dir", "mnt", "locked"):
            (root / d).mkdir(parents=True)
        os.link(self.directory / "probe", root / "probe")
        os.link(self.directory / "probe", root / "dir/inner-probe")
        os.link(self.directory / "busybox", root / "bin/sh")
        (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nbin:x:1:1:bin:/bin:\n", encoding="ascii")
        (root / "etc/group").write_text("root:x:0:\n", encoding="ascii")
        (root / "file").write_text("a file\n", encoding="ascii")
        (root / "dir/inner").write_text("inside\n", encoding="ascii")
        (root / "script").write_text(SCRIPT, encoding="ascii")
        (root / "bad-script").write_text("neither program nor script\n", encoding="ascii")
        for name in ("script", "bad-script"):
            (root / name).chmod(0o755)
        (root / "link").symlink_to("/dir")
        (root / "out").symlink_to("../../../host")
        (root / "dangling").symlink_to("/nowhere/at/all")
        (root / "tmp").chmod(0o1777)
        (root / "locked").chmod(0o700)


def read(path):
    with contextlib.suppress(OSError):
        return path.read_text(encoding="utf-8", errors="replace")
    return ""


def chown_tree(top, uid, gid):
    for directory, dirs, files in os.walk(top):
        for name in dirs + files:
            os.lchown(os.path.join(directory, name), uid, gid)
    os.chown(top, uid, gid)


class Run:
    """A bundle, and what a runtime made of it."""

    def __init__(self, work, runtime, case, template, ids):
        self.work, self.runtime, self.case, self.ids = work, runtime, case, ids
        for d in ("bundle", "state", "run", "host/dir/sub"):
            (work / d).mkdir(parents=True)
        template.rootfs(work / "bundle/rootfs")
        (work / "bundle/rootlink").symlink_to("rootfs")
        (work / "host/file").write_text("of the host\n", encoding="ascii")
        (work / "host/dir/x").write_text("x\n", encoding="ascii")
        (work / "host/link").symlink_to("dir")
        # Not /dev/null: crun 1.8 gives the container's root whatever its standard input is.
        (work / "in").touch()
        replace = {"LOG": str(work / "hooks"), "BUNDLE": str(work / "bundle"), "HOST": str(work / "host")}
        if ids:
            replace.update(uid=ids[0], gid=ids[1], subuid=ids[2], subgid=ids[3], count=ids[4])
            # Test files are hard links: their owner is anybody who may run them.
            chown_tree(work, ids[0], ids[1])
        (work / "bundle/config.json").write_text(case.text(replace), encoding="utf-8")
        work.chmod(0o755)
        self.result = {}

    def become(self):
        """In the child: a mount namespace, and the user."""
        os.setsid()
        if libc.unshare(CLONE_NEWNS) or libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None):
            os._exit(126)
        if self.ids:
            os.setgroups([])
            os.setresgid(*[self.ids[1]] * 3)
            os.setresuid(*[self.ids[0]] * 3)

    def environment(self):
        # Where a rootlet-oci that is not installed finds its helpers.
        helpers = {k: v for k, v in os.environ.items() if k == "ROOTLET_LIBEXEC"}
        return {**helpers, "PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "HOME": str(self.work), "LANG": "C.UTF-8",
                "XDG_RUNTIME_DIR": str(self.work / "run")}

    def call(self, *argv, out=None):
        """(exit code or "timeout", standard output)."""
        command = [*self.runtime.split(), "--root", str(self.work / "state"), *argv]
        out = out or self.work / "out.other"
        with open(out, "ab") as stdout, open(self.work / "err", "ab") as stderr, open(self.work / "in", "rb") as stdin:
            # pylint: disable=subprocess-popen-preexec-fn
            p = subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=stderr, cwd=self.work,
                                 env=self.environment(), preexec_fn=self.become)
            try:
                return p.wait(TIMEOUT)
            except subprocess.TimeoutExpired:
                os.killpg(p.pid, signal.SIGKILL)
                p.wait()
                return "timeout"

    def state(self):
        out = self.work / "state.json"
        out.unlink(missing_ok=True)
        if self.call("state", self.case.id, out=out) != 0:
            return None
        with contextlib.suppress(ValueError):
            return json.loads(read(out))
        return "not JSON"

    def go(self):
        bundle = str(self.work / "bundle")
        if self.case.command == "run":
            self.result["code"] = self.call("run", "--bundle", bundle, self.case.id, out=self.work / "out")
        else:
            self.by_steps(bundle)
        self.result["error"] = read(self.work / "err")
        self.call("delete", "--force", self.case.id)
        self.collect()

    def by_steps(self, bundle):
        pid_file = self.work / "pid"
        code = self.call("create", "--bundle", bundle, "--pid-file", str(pid_file), self.case.id, out=self.work / "out")
        self.result["code"] = code
        if code != 0:
            return
        state = self.state()
        self.result["created"] = state
        pid = read(pid_file).strip()
        if isinstance(state, dict) and str(state.get("pid")) != pid:
            self.result["pid file"] = "is not that of the state"
        self.result["start"] = self.call("start", self.case.id)
        end = time.monotonic() + TIMEOUT
        while pid.isdigit() and alive(pid) and time.monotonic() < end:
            time.sleep(0.003)
        state = self.state()
        self.result["stopped"] = state and state.get("status")
        self.result["delete"] = self.call("delete", self.case.id)

    def collect(self):
        text = read(self.work / "out")
        try:
            self.result["probe"] = json.loads(text) if text else None
        except ValueError:
            self.result["probe"] = {"cut short": True}
        order = read(self.work / "hooks").split() + read(self.work / "bundle/rootfs/hooks").split()
        self.result["hooks"] = [w for w in order]
        states = {}
        for top in (self.work, self.work / "bundle/rootfs"):
            for p in sorted(top.glob("hooks.*")):
                try:
                    states[p.suffix[1:]] = json.loads(read(p))
                except ValueError:
                    states[p.suffix[1:]] = "not JSON"
        self.result["hook states"] = states
        self.result["left"] = self.leftovers()

    def leftovers(self):
        found = []
        for _ in range(25):
            found = [f"state {p.name}" for p in (self.work / "state").iterdir() if p.name[0] not in ".="]  # caches of filters
            found += [f"cgroup {d.name}" for d in pathlib.Path("/sys/fs/cgroup").iterdir() if d.is_dir() and d.name != "leaf"]
            if not found:
                break
            time.sleep(0.02)
        return found

    def end(self):
        """Whatever is still there is no matter of the next run."""
        for _ in range(100):
            others = [int(p) for p in os.listdir("/proc") if p.isdigit() and int(p) > 1 and int(p) != os.getpid()]
            for pid in others:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(OSError):
                for p in sorted(pathlib.Path("/sys/fs/cgroup").glob("**/"), key=lambda d: -len(d.parts)):
                    if p.name not in ("leaf", "cgroup"):
                        p.rmdir()
                if not [p for p in others if alive(p)]:
                    break
            time.sleep(0.01)
        remove_tree(self.work)


def mounts_below(top):
    with open("/proc/self/mountinfo", encoding="utf-8") as f:
        points = [line.split()[4].encode().decode("unicode_escape") for line in f]
    return [p for p in points if p == str(top) or p.startswith(f"{top}/")]


def remove_tree(top):
    """A runtime that was told to use our mount namespace has left its mounts, of the host's root
    perhaps: what lies behind them must not be removed with the tree."""
    top = pathlib.Path(os.path.realpath(top))
    for _ in range(1000):
        points = mounts_below(top)
        if not points:
            shutil.rmtree(top, ignore_errors=True)
            return
        libc.umount2(points[-1].encode(), MNT_DETACH)
    raise RuntimeError(f"mounts stay below {top}: {mounts_below(top)}")


def alive(pid):
    with contextlib.suppress(OSError):
        return read_state(pid) not in "ZX"
    return False


def read_state(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
        return f.read().rpartition(")")[2].split()[0]


# --- making results comparable ---------------------------------------------------------------------

# The test user's ids, as which a user namespace's file systems are mounted.
SUPER = re.compile(r"(?<![a-z])[ug]id=\d+,?")


def masked(where, root, kind, data):
    """A mount that only hides what is below, however each makes it."""
    if kind == "tmpfs" and root == "/":
        return "nr_inodes=2" in data or data in ("ro", "rw,size=0k")
    return root.endswith("/null") and where != "/dev/null" or root.endswith("/.empty-directory")


def mount_line(line, work):
    fields, _, rest = line.partition(" - ")
    fields, rest = fields.split(), rest.split()
    tags = sorted(t.partition(":")[0] for t in fields[6:])
    # As seen from the top of its file system.
    root = re.sub(f".*/{work.parent.name}/{work.name}(?=/|$)", "@", fields[3])
    source = rest[1] if len(rest) > 2 else ""
    data = SUPER.sub("", ",".join(sorted(rest[-1].split(",")))).rstrip(",")
    if masked(fields[4], root, rest[0], data):
        return fields[4], ["masked"]
    return fields[4], [root, rest[0], source, ",".join(sorted(fields[5].split(","))), ",".join(tags),
                       data]


def comparable(result, work, host):
    """The result with everything taken out that differs from run to run."""
    def clean(value):
        if isinstance(value, str):
            return value.replace(str(work), "@")
        if isinstance(value, list):
            return [clean(v) for v in value]
        if isinstance(value, dict):
            return {k: clean(v) for k, v in value.items()}
        return value

    out = dict(result)
    probe = result.get("probe")
    if probe and "mounts" in probe:
        probe = dict(probe)
        if isinstance(probe["mounts"], list):
            mounts = {}
            for line in probe["mounts"]:
                where, what = mount_line(line, work)
                mounts.setdefault(where, []).append(what)
            probe["mounts"] = mounts
        probe["namespaces"] = {n: "none" if not v else "host" if v == host[n] else "own" for n, v in probe["namespaces"].items()}
        if isinstance(probe["status"], list):
            lines = (line.partition(":") for line in probe["status"])
            probe["status"] = {k: v.split() for k, _, v in lines if k.startswith(("Cap", "Seccomp", "NoNew", "Specul", "THP", "Groups", "Umask", "Uid", "Gid"))}
        probe["env"] = sorted(probe["env"])
        out["probe"] = probe
    for name in ("created", *out["hook states"]):
        states = out if name == "created" else out["hook states"]
        if isinstance(states.get(name), dict):
            states[name] = dict(states[name])
            states[name]["pid"] = states[name].get("pid", 0) > 0
            if not states[name].get("annotations"):
                states[name].pop("annotations", None)
            for key in ("created", "owner", "rootless", "creator", "systemd-scope", "config"):
                states[name].pop(key, None)
    return clean(out)


def host_namespaces():
    return {n: os.readlink(f"/proc/self/ns/{n}") for n in NAMESPACES}
