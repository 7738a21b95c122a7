"""A host, a client outside and a container, each a network namespace, with sockets of all of them in
the test's own process; and rootlet-ports between them, spoken to as its supervisor does."""
import array
import contextlib
import os
import pathlib
import resource
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading

from netlib import BUILDDIR, HERE, WIRE_OK, Namespace, recv_fds

PORTS = BUILDDIR / "rootlet-ports"
START, ADDRESSES, ADD, REMOVE, LIST, STATS = range(0x200, 0x206)
TCP, UDP = 1, 2
STREAM, DGRAM = socket.SOCK_STREAM, socket.SOCK_DGRAM

HOST, HOST6 = "198.51.100.1", "2001:db8::1"
OUTSIDE, OUTSIDE6 = "198.51.100.2", "2001:db8::2"
CTR, CTR6 = "10.0.2.100", "fd00::100"
GATEWAY, GATEWAY6 = "10.0.2.2", "fd00::2"


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


class Space(Namespace):
    """A namespace whose sockets the test has."""

    def __init__(self, argv, flags):
        super().__init__(argv, flags)
        self.agent = None

    def socket(self, family, kind=STREAM):
        if not self.agent:
            self.agent, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                self.agent_proc = self.start(sys.executable, HERE / "agent.py", theirs.fileno(),
                                             pass_fds=[theirs.fileno()])
        self.agent.send(f"{int(family)} {int(kind)}".encode())
        _, (fd,) = recv_fds(self.agent)
        s = socket.socket(fileno=fd)
        s.settimeout(20)
        return s

    def listen(self, address, port=0, kind=STREAM, backlog=4096):
        s = self.socket(family_of(address), kind)
        if kind == STREAM:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((address, port))
        if kind == STREAM:
            s.listen(backlog)
        return s

    def connect(self, address, port, kind=STREAM, source=None):
        s = self.socket(family_of(address), kind)
        if source:
            s.bind(source)
        s.connect((address, port))
        return s

    def end(self):
        if self.agent:
            self.agent.close()
            self.agent_proc.wait()
        super().end()


FLAGS = ["-U", "-n", "-m", "--preserve-credentials"]


class World:
    def __init__(self, tmp):
        self.tmp = pathlib.Path(tmp)
        self.host = Space(["unshare", "-Urnm"], FLAGS)
        self.outside = Space(self.host.enter("unshare", "-n"), FLAGS)
        # As a container: a user namespace below the host's, which owns the network namespace.
        self.ctr = Space(self.host.enter("unshare", "-Urn"), FLAGS)
        self.host.sh(f"""
            ip link set lo up
            ip link add out0 type veth peer name out1 netns {self.outside.proc.pid}
            ip addr add {HOST}/24 dev out0; ip -6 addr add {HOST6}/64 dev out0 nodad; ip link set out0 up""")
        self.outside.sh(f"""
            ip link set lo up
            ip addr add {OUTSIDE}/24 dev out1; ip -6 addr add {OUTSIDE6}/64 dev out1 nodad
            ip link set out1 up""")
        self.ctr.sh(f"""
            ip link set lo up; ip link add tap0 type veth peer name far; ip link set far up
            ip addr add {CTR}/24 dev tap0; ip -6 addr add {CTR6}/64 dev tap0 nodad; ip link set tap0 up
            ip route add default via {GATEWAY}; ip -6 route add default via {GATEWAY6}""")
        self.forwarders = []

    def ports(self, **kw):
        return Ports(self, **kw)

    def end(self):
        for p in self.forwarders:
            p.end()
        for ns in (self.ctr, self.outside, self.host):
            ns.end()


class Ports:
    """rootlet-ports, and what is published by it."""

    def __init__(self, world, listeners=(), addresses=(CTR, GATEWAY, CTR6, GATEWAY6), files=None, wrapper=(), args=()):
        self.world = world
        world.forwarders.append(self)
        self.published = []
        self.ctl, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.ctl.settimeout(20)
        self.path = str(world.tmp / f"ports{len(world.forwarders)}.sock")
        fd = theirs.fileno()

        def prepare():
            os.dup2(fd, 3)
            if files:
                resource.setrlimit(resource.RLIMIT_NOFILE, (min(files, 64), files))

        self.proc = subprocess.Popen(world.host.enter(*wrapper, PORTS, *args), stdin=subprocess.DEVNULL, pass_fds=[3],
                                     preexec_fn=prepare)  # pylint: disable=subprocess-popen-preexec-fn
        theirs.close()
        with contextlib.ExitStack() as stack:
            pidfd = os.pidfd_open(world.ctr.proc.pid)
            stack.callback(os.close, pidfd)
            ns = [stack.enter_context(open(f"/proc/{world.ctr.proc.pid}/ns/{n}", "rb")).fileno()
                  for n in ("user", "net")]
            listener = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
            listener.bind(self.path)
            listener.listen(4)
            self.request(self.addresses(START, addresses), [pidfd, *ns, listener.fileno()])
        for listener in listeners:
            self.add(*listener)

    @staticmethod
    def addresses(kind, values):
        packed = [socket.inet_pton(family_of(a), a) if a else bytes(4 if i < 2 else 16)
                  for i, a in enumerate(values)]
        return struct.pack("=Ii", kind, 0) + b"".join(packed)

    def request(self, data, fds=()):
        self.ctl.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else [])
        answer, _ = recv_fds(self.ctl)
        kind, value = struct.unpack_from("=Ii", answer)
        assert kind == WIRE_OK, (kind, value, answer[8:])

    @staticmethod
    def spec(kind, address, port, ctr, proto):
        family = {True: 6, False: 4}[":" in address] if address else 0
        packed = socket.inet_pton(family_of(address), address) if address else b""
        return struct.pack("=IiBBHH16s2x", kind, 0, proto, family, port, ctr, packed)

    def add(self, address, ctr, proto=TCP, port=0):
        """address None: all of them, IPv4 and IPv6. The number on the host."""
        s = self.world.host.socket(family_of(address or "::"), STREAM if proto == TCP else DGRAM)
        with s:
            if not address:
                s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            s.bind((address or "::", port))
            if proto == TCP:
                s.listen(4096)
            port = s.getsockname()[1]
            self.request(self.spec(ADD, address, port, ctr, proto), [s.fileno()])
        return port

    def remove(self, address, ctr, proto=TCP, port=0):
        self.request(self.spec(REMOVE, address, port, ctr, proto))

    def stats(self):
        self.ctl.send(struct.pack("=Ii", STATS, 0))
        answer, _ = recv_fds(self.ctl)
        names = ("ports connections flows paused accepted refused bytes_in bytes_out packets_in packets_out "
                 "packets_lost").split()
        return dict(zip(names, struct.unpack_from("=4I7Q", answer, 8)))

    def end(self):
        self.ctl.close()
        self.proc.kill()
        self.proc.wait()


@contextlib.contextmanager
def world():
    tmp = tempfile.mkdtemp(prefix="rootlet-ports-")
    w = World(tmp)
    try:
        yield w
    finally:
        w.end()
        shutil.rmtree(tmp)


@contextlib.contextmanager
def serving(listener, handle):
    """Each connection of listener is handled in a thread until the block ends."""
    threads = []

    def one(s, peer):
        with s:
            handle(s, peer)

    def loop():
        while True:
            try:
                s, peer = listener.accept()
            except OSError:
                return
            s.settimeout(20)
            threads.append(threading.Thread(target=one, args=(s, peer), daemon=True))
            threads[-1].start()

    listener.settimeout(None)
    main = threading.Thread(target=loop, daemon=True)
    main.start()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        main.join(10)
        for t in threads:
            t.join(10)


def read_all(s):
    parts = []
    while True:
        data = s.recv(1 << 20)
        if not data:
            return b"".join(parts)
        parts.append(data)


def read_exactly(s, n):
    data = bytearray()
    while len(data) < n:
        part = s.recv(n - len(data))
        assert part, f"{len(data)} of {n} bytes came"
        data += part
    return bytes(data)
