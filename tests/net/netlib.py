"""A small world of network namespaces, without privileges of the host:

    outside (198.51.100.2, 2001:db8::2) -- host (.1, ::1; rootlet-slirp runs here) -- container (tap0)

All of it belongs to one user namespace and ends with the processes that hold it."""
import array
import contextlib
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

BUILDDIR = pathlib.Path(os.environ.get("BUILDDIR", "build")).resolve()
SLIRP = BUILDDIR / "rootlet-slirp"
HERE = pathlib.Path(__file__).resolve().parent

IPV6, HOST_LOOPBACK, PACKET, EGRESS = 1, 2, 4, 8
WIRE_ERROR, WIRE_OK, WIRE_EVENT, WIRE_START = 1, 2, 3, 0x101
OUTSIDE, OUTSIDE6 = "198.51.100.2", "2001:db8::2"
HOST, HOST6 = "198.51.100.1", "2001:db8::1"


def wait_for(what, timeout=60, interval=0.02):
    end = time.monotonic() + timeout
    while True:
        value = what()
        if value:
            return value
        assert time.monotonic() < end, f"timeout: {what}"
        time.sleep(interval)


class Namespace:
    """A process that holds namespaces, and commands in them."""

    def __init__(self, argv, flags):
        self.flags = flags
        read, write = os.pipe()
        self.proc = subprocess.Popen([*argv, "sh", "-c", "echo; exec sleep 1000000 >/dev/null"],
                                     stdout=write, stdin=subprocess.DEVNULL)
        os.close(write)
        got = os.read(read, 1)
        os.close(read)
        assert got, f"{argv} failed"

    def enter(self, *argv, flags=None):
        return ["nsenter", "-t", str(self.proc.pid), *(flags or self.flags), *map(str, argv)]

    def run(self, *argv, check=True, timeout=60, **kw):
        kw.setdefault("stdout", subprocess.PIPE)
        kw.setdefault("stderr", subprocess.STDOUT)
        p = subprocess.run(self.enter(*argv), text=kw.pop("text", True), timeout=timeout, check=False, **kw)
        assert not check or p.returncode == 0, f"{argv}: {p.returncode}: {p.stdout}"
        return p

    def sh(self, script, check=True, **kw):
        return self.run("sh", "-ec", script, check=check, **kw)

    def start(self, *argv, **kw):
        kw.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.Popen(self.enter(*argv), **kw)

    def python(self, script, *args, check=True, **kw):
        return self.run(sys.executable, "-c", script, *args, check=check, **kw)

    def end(self):
        self.proc.kill()
        self.proc.wait()


def recv_fds(sock, n=4):
    data, anc, _, _ = sock.recvmsg(16384, socket.CMSG_SPACE(4 * n))
    fds = array.array("i")
    for level, kind, payload in anc:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(payload[:len(payload) - len(payload) % 4])
    return data, list(fds)


class World:
    def __init__(self, tmp, pings=True):
        self.tmp = pathlib.Path(tmp)
        self.procs = []
        self.count = 0
        self.resolv = self.tmp / "resolv.conf"
        self.resolv.write_text(f"nameserver {OUTSIDE}\n")
        self.host = Namespace(["unshare", "-Urnm"], ["-U", "-n", "-m", "--preserve-credentials"])
        self.outside = Namespace(self.host.enter("unshare", "-n"), ["-U", "-n", "-m", "--preserve-credentials"])
        self.container = Namespace(self.host.enter("unshare", "-n"), ["-U", "-n", "-m", "--preserve-credentials"])
        self.host.sh(f"""
            mount --bind {self.resolv} /etc/resolv.conf
            ip link set lo up
            ip link add out0 type veth peer name out1 netns {self.outside.proc.pid}
            ip addr add {HOST}/24 dev out0; ip -6 addr add {HOST6}/64 dev out0 nodad
            ip link set out0 up; ip route add default via {OUTSIDE}; ip -6 route add default via {OUTSIDE6}""")
        if pings:
            self.let_ping()
        self.outside.sh(f"""
            ip link set lo up; ip addr add {OUTSIDE}/24 dev out1; ip -6 addr add {OUTSIDE6}/64 dev out1 nodad
            ip addr add 203.0.113.1/24 dev lo; ip addr add 203.0.113.2/24 dev lo
            ip link set out1 up""")
        self.slirps = []

    def let_ping(self):
        self.host.sh("echo 0 2147483647 >/proc/sys/net/ipv4/ping_group_range || echo 0 0 >/proc/sys/net/ipv4/ping_group_range",
                     stderr=subprocess.DEVNULL)

    def container_up(self, dev="tap0", mtu=65520):
        self.container.sh(f"""
            ip link set lo up; ip link set {dev} mtu {mtu} up
            echo 0 0 >/proc/sys/net/ipv4/ping_group_range
            echo 0 >/proc/sys/net/ipv6/conf/{dev}/accept_ra
            ip addr add 10.0.2.100/24 dev {dev}; ip -6 addr add fd00::100/64 dev {dev} nodad
            ip route add default via 10.0.2.2; ip -6 route add default via fd00::2""")

    def device(self, packet=False):
        """The descriptor of the container's device."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        kind = "packet" if packet else "tap"
        with ours, theirs:
            ns = self.container
            if packet:
                self.far = Namespace(self.host.enter("unshare", "-n"), self.host.flags)
                self.container.sh("ip link add tap0 type veth peer name far netns "
                                  f"{self.far.proc.pid}")
                self.container.run(sys.executable, HERE / "opentap.py", "offload")
                self.far.sh("ip link set far mtu 65520 up")
                ns = self.far
            p = subprocess.Popen(ns.enter(sys.executable, HERE / "opentap.py", kind, str(theirs.fileno())),
                                 pass_fds=[theirs.fileno()])
            theirs.close()
            _, fds = recv_fds(ours)
            assert p.wait() == 0 and len(fds) == 1
        return fds[0]

    def end(self):
        for s in self.slirps:
            s.end()
        for p in self.procs:
            p.kill()
            p.wait()
        for ns in (self.container, self.outside, self.host, getattr(self, "far", None)):
            if ns:
                ns.end()

    def serve(self, ns, *argv):
        p = ns.start(*argv, stdout=subprocess.DEVNULL)
        self.procs.append(p)
        return p


class Slirp:
    """rootlet-slirp in the world's host, serving the container."""

    def __init__(self, world, flags=IPV6, mtu=65520, egress=(), ports=(), device=None, network="10.0.2.0", bits=24,
                 network6="fd00::", wrapper=(), program=SLIRP, args=(), start=True, pid=None, outbound="0.0.0.0", stderr=None):
        self.world = world
        self.device = world.device(flags & PACKET) if device is None else device
        self.ctl, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.ctl.settimeout(20)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        world.count += 1
        self.path = str(world.tmp / f"slirp{world.count}.sock")
        self.listener.bind(self.path)
        self.listener.listen(4)
        fd = theirs.fileno()
        self.proc = subprocess.Popen(
            world.host.enter(*wrapper, program, *args), stdin=subprocess.DEVNULL, pass_fds=[3], stderr=stderr,
            preexec_fn=lambda: os.dup2(fd, 3))  # pylint: disable=subprocess-popen-preexec-fn
        theirs.close()
        world.slirps.append(self)
        self.pidfd = os.pidfd_open(pid or world.container.proc.pid)
        if egress:
            flags |= EGRESS
        rules = b"".join(r.encode() + b"\0" for r in egress if r)
        self.message = struct.pack(
            "=IiII4sI16s4s16s16HI", WIRE_START, 0, flags, mtu, socket.inet_aton(network), bits,
            socket.inet_pton(socket.AF_INET6, network6), socket.inet_aton(outbound), bytes(16),
            *(list(ports) + [0] * (16 - len(ports))), len(rules)) + rules
        if start:
            self.start()

    def start(self):
        self.send(self.message, [self.device, self.pidfd, self.listener.fileno()])
        kind, value, text = self.recv()
        assert kind == WIRE_OK, (kind, value, text)

    def send(self, data, fds=()):
        self.ctl.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else [])

    def recv(self, sock=None):
        data, fds = recv_fds(sock or self.ctl)
        for fd in fds:
            os.close(fd)
        if not data:
            return None, 0, ""
        kind, value = struct.unpack_from("=Ii", data)
        return kind, value, data[8:].rstrip(b"\0").decode()

    def events(self, timeout=1.0, n=None):
        """Events until it is silent for timeout, or n of them: [{"action":..., key: value}]"""
        found = []
        self.ctl.settimeout(timeout)
        with contextlib.suppress(TimeoutError):
            while n is None or len(found) < n:
                kind, _, text = self.recv()
                if kind != WIRE_EVENT:
                    break
                action, *rest = text.split("\0")
                found.append({"action": action, **dict(r.split("=", 1) for r in rest)})
        return found

    @property
    def pid(self):
        return self.proc.pid

    def pss(self):
        return pss(self.pid)

    def end(self):
        self.proc.kill()
        self.proc.wait()
        for fd in (self.pidfd, self.device):
            with contextlib.suppress(OSError):
                os.close(fd)
        self.ctl.close()
        self.listener.close()


def pss(pid, what="Pss"):
    """KiB; Pss_Anon: what is its own, whoever else runs the same program."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        return next((int(line.split()[1]) for line in f if line.startswith(what + ":")), 0)


@contextlib.contextmanager
def world():
    tmp = tempfile.mkdtemp(prefix="rootlet-net-")
    w = World(tmp)
    try:
        yield w
    finally:
        w.end()
        shutil.rmtree(tmp)
