"""A host and the world outside, for rootlet as a test user has it:

    outside (198.51.100.2, 2001:db8::2, the name servers of /etc/resolv.conf) -- host (.1, ::1)

Both are network namespaces of the test's own. rootlet and its supervisors run in "host"; nothing of
the machine's network is seen or changed. Needs root."""
import contextlib
import ctypes
import os
import pathlib
import subprocess
import sys
import time

from lib import runner

CLONE_NEWNET = 0x40000000
OUTSIDE, OUTSIDE6, HOST, HOST6 = "198.51.100.2", "2001:db8::2", "198.51.100.1", "2001:db8::1"
SERVER = pathlib.Path(__file__).with_name("outside.py")
_libc = ctypes.CDLL(None, use_errno=True)


def setns(path):
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.setns(fd, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {path}")
    finally:
        os.close(fd)


class Namespace:
    def __init__(self):
        self.proc = subprocess.Popen(["unshare", "-n", "sh", "-c", "echo; exec sleep 100000"],
                                     stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.proc.stdout.read(1)
        self.path = f"/proc/{self.proc.pid}/ns/net"

    @contextlib.contextmanager
    def entered(self):
        """This thread, and what it starts."""
        setns(self.path)
        try:
            yield
        finally:
            setns(HOME)

    def start(self, *argv, **kw):
        with self.entered():
            return subprocess.Popen([str(a) for a in argv], **kw)

    def run(self, *argv, check=True, timeout=60, **kw):
        with self.entered():
            r = subprocess.run([str(a) for a in argv], capture_output=True, text=True, check=False, timeout=timeout, **kw)
        assert not check or r.returncode == 0, f"{argv}: {r.returncode}: {r.stdout}{r.stderr}"
        return r.stdout

    def ip(self, *lines):
        return self.run("ip", "-batch", "-", input="\n".join(lines) + "\n")

    def end(self):
        self.proc.kill()
        self.proc.wait()
        self.proc.stdout.close()


# Ours, when nobody has entered anything yet.
_home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
HOME = f"/proc/self/fd/{_home}"


def name_servers():
    with open("/etc/resolv.conf", encoding="utf-8") as f:
        return [line.split()[1] for line in f if line.startswith("nameserver ")]


class World:
    def __init__(self):
        self.host, self.outside = Namespace(), Namespace()
        self.servers = []
        self.host.ip("link set lo up", "link add up0 type veth peer name down0",
                     f"link set down0 netns {self.outside.proc.pid}",
                     f"addr add {HOST}/24 dev up0", f"addr add {HOST6}/64 dev up0 nodad", "link set up0 up")
        self.outside.ip("link set lo up", f"addr add {OUTSIDE}/24 dev down0", f"addr add {OUTSIDE6}/64 dev down0 nodad",
                        "link set down0 up")
        # As systemd sets it: a user may send echo requests.
        self.host.run("sysctl", "-qw", "net.ipv4.ping_group_range=0 2147483647")
        self.host.ip(f"route add default via {OUTSIDE}", f"route add default via {OUTSIDE6} dev up0")
        for server in name_servers():
            if server.startswith("127.") or server == "::1":
                self.serve(self.host, server)
            elif ":" in server:
                self.outside.ip(f"addr add {server}/128 dev lo nodad")
            else:
                self.outside.ip(f"addr add {server}/32 dev lo")
        self.serve(self.outside, "")

    def serve(self, ns, dns):
        p = ns.start(sys.executable, SERVER, dns, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        assert p.stdout.readline() == b"ready\n"
        self.servers.append(p)

    def end(self):
        for p in self.servers:
            p.kill()
            p.wait()
            p.stdout.close()
        self.host.end()
        self.outside.end()


class NetRootlet(runner.Rootlet):
    """rootlet on the host of a world."""

    world = None
    programs = None  # a directory of them, with a privileged helper

    def __init__(self, user, store, images):
        super().__init__(user, store, images)
        self.program = str((self.programs or user.base / "bin") / "rootlet")

    def environment(self, env=None, cgroups="disabled"):
        path = f"{os.path.dirname(self.program)}:{self.user.environment()['PATH']}"
        return super().environment({"ROOTLET_NETWORK": None, "PATH": path, **(env or {})}, cgroups)

    def spawn(self, *args, **kw):
        if not self.world:
            return super().spawn(*args, **kw)
        with self.world.host.entered():
            return super().spawn(*args, **kw)


def fetch(ns, address, port, path="/", timeout=20):
    """A page by HTTP, from a namespace."""
    host = f"[{address}]" if ":" in address else address
    return ns.run("curl", "-sS", "--max-time", timeout, f"http://{host}:{port}{path}", check=False)


def wait_for(condition, timeout=30, what="the condition"):
    end = time.monotonic() + timeout * runner.PATIENCE
    while True:
        answer = condition()
        if answer:
            return answer
        assert time.monotonic() < end, f"{what} did not come true in {timeout} s"
        time.sleep(0.05)
