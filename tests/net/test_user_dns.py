"""The name server of user networks, against clients and resolvers that are slow, wrong or many."""
import contextlib
import os
import random
import re
import signal
import socket
import struct
import subprocess
import threading

import pytest

from test_user_network import address, create, inside, interfaces, look, managers, start
from world import HOST, OUTSIDE, wait_for

UPSTREAM, SECOND = "127.77.0.1", "127.77.0.2"

# What runs beside a container: raw queries, answers in hexadecimal.
CLIENT = '''
import random, socket, struct, sys, time
SERVER = sys.argv[1]
def query(name, kind=1, edns=0, ident=None, flags=0x0100):
    labels = b"".join(bytes([len(l)]) + l.encode() for l in name.split(".")) + b"\\0"
    head = struct.pack(">6H", random.randrange(65536) if ident is None else ident, flags, 1, 0, 0, 1 if edns else 0)
    opt = b"\\0" + struct.pack(">HHIH", 41, edns, 0, 0) if edns else b""
    return head + labels + struct.pack(">HH", kind, 1) + opt
def udp(timeout=20):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(timeout)
    s.connect((SERVER, 53))
    return s
def ask(name, kind=1, edns=0, timeout=20):
    s = udp(timeout)
    q = query(name, kind, edns)
    s.send(q)
    a = s.recv(65535)
    assert a[:2] == q[:2], "another id"
    return a
def tcp(timeout=20):
    s = socket.create_connection((SERVER, 53), timeout)
    return s
def read(s, n):
    data = b""
    while len(data) < n:
        part = s.recv(n - len(data))
        if not part:
            raise EOFError
        data += part
    return data
def ask_tcp(name, kind=1, s=None):
    s = s or tcp()
    q = query(name, kind)
    s.sendall(struct.pack(">H", len(q)) + q)
    a = read(s, struct.unpack(">H", read(s, 2))[0])
    assert a[:2] == q[:2]
    return a
def code(a):
    return a[3] & 15
def addresses(a):
    return [".".join(map(str, a[i + 2:i + 6])) for i in range(12, len(a)) if a[i:i + 2] == b"\\0\\4" and i + 6 <= len(a)]
'''


def end_of_name(msg, at=12):
    while msg[at]:
        at += 1 + msg[at]
    return at + 1


def name_of(msg):
    at, labels = 12, []
    while msg[at]:
        labels.append(msg[at + 1:at + 1 + msg[at]].decode())
        at += 1 + msg[at]
    return ".".join(labels)


def record(kind, data, name=b"\xc0\x0c", ttl=60):
    return name + struct.pack(">HHIH", kind, 1, ttl, len(data)) + data


def wire(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


class Upstream:
    """A resolver of the host; what it does depends on the name."""

    def __init__(self, world, ip, other=None):
        self.ip, self.other, self.seen, self.stop = ip, other or {}, [], False
        with world.host.entered():
            self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.udp.bind((ip, 53))
            self.tcp = socket.socket()
            self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.tcp.bind((ip, 53))
            self.tcp.listen(64)
        for target in (self.serve_udp, self.serve_tcp):
            threading.Thread(target=target, daemon=True).start()

    def answer(self, q, tcp):
        """The whole answer, or None."""
        name = name_of(q)
        end = end_of_name(q) + 4
        edns = struct.unpack(">H", q[end + 3:end + 5])[0] if q[11] else 512
        flags, records = 0x8180, []
        if name == "slow.test":
            return None
        if name == "servfail.test":
            flags |= self.other.get("code", 2)
        elif name == "cname.test":
            names = [wire(f"n{i}.test") for i in range(8)]
            records = [record(5, names[0])] + [record(5, b, a) for a, b in zip(names, names[1:])]
            records.append(record(1, socket.inet_aton("192.0.2.8"), names[-1]))
        elif name == "odd.test":
            records = [record(65400, bytes(range(256)))]
        elif name.startswith("big"):
            records = [record(16, bytes([255]) + bytes(255)) for _ in range(int(name.split(".")[0][3:]))]
        else:
            records = [record(1, socket.inet_aton(self.other.get("address", "192.0.2.7")))]
        text = b"".join(records)
        if not tcp and end + len(text) > edns:
            flags, records, text = flags | 0x0200, [], b""
        return q[:2] + struct.pack(">5H", flags, 1, len(records), 0, 0) + q[12:end] + text

    def serve_udp(self):
        while not self.stop:
            with contextlib.suppress(OSError):
                q, client = self.udp.recvfrom(65535)
                if self.stop:
                    return
                self.seen.append(q)
                try:
                    a = self.answer(q, False)
                except (IndexError, struct.error, UnicodeError):
                    continue  # of the test with garbage
                if name_of(q) == "wrong.test":
                    for bad in (bytes([a[0] ^ 1]) + a[1:], a[:2] + b"\0\0" + a[4:], a.replace(b"wrong", b"right"), b"x", b""):
                        self.udp.sendto(bad.replace(socket.inet_aton("192.0.2.7"), b"\6\6\6\6"), client)
                if a:
                    self.udp.sendto(a, client)

    def serve_tcp(self):
        while not self.stop:
            with contextlib.suppress(OSError):
                s, _ = self.tcp.accept()
                threading.Thread(target=self.serve_connection, args=(s,), daemon=True).start()

    def serve_connection(self, s):
        with s, contextlib.suppress(OSError, struct.error, IndexError, UnicodeError):
            while True:
                size = struct.unpack(">H", s.recv(2, socket.MSG_WAITALL))[0]
                q = s.recv(size, socket.MSG_WAITALL)
                a = self.answer(q, True)
                if a is None:
                    threading.Event().wait(30)
                    return
                s.sendall(struct.pack(">H", len(a)) + a)

    def end(self):
        self.stop = True
        for s in (self.udp, self.tcp):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
            s.close()


def name_server(net, name):
    return re.search(r"^nameserver (.*)", net.ok("exec", name, "cat", "/etc/resolv.conf").out, re.M)[1]


@pytest.fixture
def upstream(world):
    u = Upstream(world, UPSTREAM)
    yield u
    u.end()


@pytest.fixture
def member(net, upstream):
    """A container c in a network whose names go on to upstream; asks: what its clients are told."""
    create(net, "n", "--dns", UPSTREAM)
    start(net, "c", "--network", "n")
    server = name_server(net, "c")
    return lambda script, **kw: inside(net, "c", CLIENT + script, server, **kw)


@pytest.mark.rows("A49")
def test_answers_pass_unread(member, upstream):
    out = member("""
print(ask("odd.test", 65400).hex())
print(addresses(ask("cname.test"))[-1], ask("cname.test")[7])
big = ask("big20.test", 16, edns=8000)
print(len(big), big[2] & 2)
small = ask("big20.test", 16)
print(len(small) < 513, small[2] & 2)
print(len(ask_tcp("big20.test", 16)), len(ask_tcp("big200.test", 16)))
s = tcp()
print([len(ask_tcp(n, 16, s)) for n in ("big1.test", "c", "big3.test")])
""").splitlines()
    assert out[0].endswith(bytes(range(256)).hex())
    assert out[1] == "192.0.2.8 9"
    size = 12 + len("big20.test") + 2 + 4 + 20 * (12 + 256)
    assert out[2:4] == [f"{size} 0", "True 2"]
    assert out[4] == f"{size} {size + 1 + 180 * 268}"
    assert out[5] == str([12 + 11 + 4 + 268, 12 + 3 + 4, 12 + 11 + 4 + 3 * 268])
    # What went out had ids of our own making.
    assert len({q[:2] for q in upstream.seen}) > 1


@pytest.mark.rows("A49")
def test_wrong_answers_are_not_believed(member):
    assert member('print(addresses(ask("wrong.test"))[0])').split() == ["192.0.2.7"]


@pytest.mark.rows("A49")
def test_a_resolver_that_fails_is_not_the_last(net, world, upstream):
    second = Upstream(world, SECOND, {"code": 0})
    try:
        create(net, "n", "--dns", UPSTREAM, "--dns", SECOND)
        start(net, "c", "--network", "n")
        server = name_server(net, "c")
        out = inside(net, "c", CLIENT + 'print(code(ask("servfail.test")), code(ask("a.test")))', server)
        assert out.split() == ["0", "0"] and second.seen
        upstream.end()  # nobody listens there any more: at once the second one
        assert inside(net, "c", CLIENT + """
for i in range(3):  # on a busy machine one of them is quick
    begin = time.monotonic()
    got = addresses(ask(f"b{i}.test"))[0], code(ask_tcp(f"c{i}.test"))
    quick = time.monotonic() - begin < 2
    if quick:
        break
print(*got, quick)""", server).split() == ["192.0.2.7", "0", "True"]
    finally:
        second.end()


@pytest.mark.rows("A49", "B28")
def test_slow_ones_hold_up_nobody(net, member):
    """Clients and resolvers that stand still, more than there is room for; others are served meanwhile."""
    out = member("""
waiting = []
for i in range(400):
    s = udp()
    s.send(query("slow.test"))
    waiting.append(s)
    if i % 50 == 49:
        ask("c")  # what came before has been read
half = []
for i in range(60):
    try:
        s = tcp(2)
        s.sendall(b"\\0")
        half.append(s)
    except OSError:
        pass
begin = time.monotonic()
for i in range(20):
    assert len(addresses(ask("c"))) == 1
print(time.monotonic() - begin < 20)
# Too many of one client are told so.
refused = 0
for s in waiting:
    s.setblocking(False)
    try:
        refused += code(s.recv(1000)) == 2
    except OSError:
        pass
print(refused >= 300)
# Somebody else has room in the meantime.
""")
    assert out.split() == ["True", "True"]
    start(net, "d", "--network", "n")
    server = name_server(net, "d")
    assert inside(net, "d", CLIENT + 'print(addresses(ask("a.test"))[0], addresses(ask_tcp("a.test"))[0])',
                  server).split() == ["192.0.2.7", "192.0.2.7"]


@pytest.mark.rows("A49", "B28")
def test_slow_clients_are_let_go(member):
    out = member("""
s = tcp(60)
s.settimeout(0.1)
for i in range(300):
    try:
        s.sendall(b"\\1")
        if not s.recv(1):
            break
    except TimeoutError:
        pass
    except OSError:
        break
else:
    raise SystemExit("it may stay for ever")
print("let go")
""")
    assert out == "let go\n"


@pytest.mark.rows("A49", "B28")
def test_garbage(net, member):
    (pids,) = managers(net).values()
    seed = random.randrange(1 << 30)
    print("seed", seed)
    member(f"""
random.seed({seed})
s = udp()
good = query("c")
for i in range(3000):
    b = bytearray(good if i % 2 else random.randbytes(random.randrange(0, 600)))
    for _ in range(random.randrange(4)):
        if b:
            b[random.randrange(len(b))] = random.randrange(256)
    s.send(bytes(b))
s.send(b"")
s.send(bytes(20000))
for i in range(50):
    t = tcp()
    t.sendall(random.randbytes(random.randrange(1, 5000)))
    t.close()
for i in range(20):  # it may not have read all of that, and what does not fit is lost
    try:
        a = ask("c", timeout=2)
        break
    except TimeoutError:
        pass
assert code(a) == 0
assert code(ask("c", kind=65)) == 0                        # nothing of that type
q = query("c", flags=0x2800)
s = udp(); s.send(q)
assert code(s.recv(1000)) == 4                             # an update: not implemented
s = udp(); s.send(query("c")[:-3])
assert code(s.recv(1000)) == 1
s = udp(1); s.send(query("c", flags=0x8180))
try:
    s.recv(1000)
    raise SystemExit("an answer to an answer")
except TimeoutError:
    pass
""")
    assert managers(net)["n"] == pids, "the name server was started anew"


@pytest.mark.rows("A49", "B28")
def test_a_hundred_clients(member):
    out = member("""
clients = [udp() for i in range(100)]
names = ["c", "a.test", "missing.rootlet"]
for turn in range(3):
    for i, s in enumerate(clients):
        s.send(query(names[(i + turn) % 3] if i % 3 != 1 or turn else "c", ident=i))
    for i, s in enumerate(clients):
        assert s.recv(2000)[:2] == struct.pack(">H", i)
connections = [tcp() for i in range(30)]
print(len({ask_tcp("c", 1, s)[-4:] for s in connections}))
""")
    assert out.split() == ["1"]


@pytest.mark.rows("A49")
def test_the_hosts_resolvers_change(net, world, upstream, tmp_path):
    """/etc/resolv.conf is read again when it is another one, and empty asks nobody."""
    user, conf = net.user, tmp_path / "resolv.conf"
    conf.write_text("nameserver 127.77.0.9\n")
    conf.chmod(0o644)
    create(net, "n")
    image = net.image()
    with world.host.entered():
        subprocess.run(["unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec setpriv --reuid "$1" '
                        '--regid "$2" --clear-groups -- "$3" run -d --name c --network n "$4" sleep 100000',
                        str(conf), str(user.uid), str(user.gid), net.program, image],
                       env=net.environment(), check=True, stdout=subprocess.DEVNULL, timeout=60)
    server = name_server(net, "c")
    def asked():
        return inside(net, "c", CLIENT + 'print(code(ask("a.test")))', server).strip()
    assert asked() == "2" and not upstream.seen
    conf.write_text(f"# now\nsearch example\nnameserver {UPSTREAM}\n")
    wait_for(lambda: asked() == "0", what="the new resolver")
    conf.write_text("")
    count = len(upstream.seen)
    wait_for(lambda: asked() == "2", what="no resolver")
    assert len(upstream.seen) <= count + 20
    assert look(net, "c", "c") == [address(net, "c")]


@pytest.mark.rows("B28")
def test_other_networks_by_tcp(net, upstream):
    """As by UDP: what nobody here is called is asked in the client's other networks."""
    create(net, "n", "--dns", UPSTREAM)
    create(net, "m", "--internal")
    start(net, "one", "--network", "n")
    start(net, "two", "--network", "m")
    start(net, "both", "--network", "n", "--network", "m")
    server = interfaces(net, "both")["n"]["gateway"]
    ask = """
s = tcp()
for name in sys.argv[2:]:
    a = ask_tcp(name, s=s)
    print(name, code(a), *addresses(a))
"""
    names = ("one", "two", "two.rootlet", "nosuch.rootlet", "away.test")
    out = inside(net, "both", CLIENT + ask, server, *names).splitlines()
    one, two = address(net, "one"), address(net, "two", "m")
    assert out == [f"one 0 {one}", f"two 0 {two}", f"two.rootlet 0 {two}", "nosuch.rootlet 3", "away.test 0 192.0.2.7"]
    # Who is no member of m is told nothing of it.
    assert inside(net, "one", CLIENT + ask, server, "two.rootlet").split() == ["two.rootlet", "3"]
    net.ok("network", "disconnect", "m", "both")
    assert inside(net, "both", CLIENT + ask, server, "two.rootlet").split() == ["two.rootlet", "3"]


@pytest.mark.rows("B28")
def test_servers_of_a_member(net, world, upstream):
    """--dns: names of peers work, foreign ones are asked for there; one that only the container reaches comes second."""
    second = Upstream(world, HOST, {"address": "192.0.2.9"})
    create(net, "n", "--dns", UPSTREAM)
    create(net, "m", "--internal")
    start(net, "plain", "--network", "n")
    start(net, "own", "--network", "n", "--dns", HOST)
    start(net, "near", "--network", "n", "--dns", "127.0.0.1", "--dns", HOST)
    start(net, "both", "--network", "m", "--network", "n", "--dns", HOST)
    ask = """
for server in sys.argv[2:]:
    SERVER = server
    print(*(f"{code(a)} {addresses(a)}" for a in (f("away.test") for f in (ask, ask_tcp))))
"""
    gateway = interfaces(net, "plain")["n"]["gateway"]

    def servers(name):
        return [line.split()[1] for line in net.ok("exec", name, "cat", "/etc/resolv.conf").out.splitlines() if line.startswith("nameserver")]

    def asked(name, server=gateway):
        return inside(net, name, CLIENT + ask, server, server).strip()
    try:
        inner = servers("both")[0]
        assert servers("own") == servers("plain") == [gateway]
        assert servers("near") == [gateway, "127.0.0.1", HOST] and servers("both") == [inner, gateway]
        for name in ("own", "near", "both"):
            assert look(net, name, "plain") == [address(net, "plain")], name
        assert asked("plain") == "0 ['192.0.2.7'] 0 ['192.0.2.7']"
        assert asked("own") == asked("both") == "0 ['192.0.2.9'] 0 ['192.0.2.9']"
        # Refused, not unknown: a resolver goes on to the next server.
        assert asked("near") == asked("both", inner) == "5 [] 5 []"
    finally:
        second.end()


@pytest.mark.rows("A48", "A49")
def test_servers_change_while_it_runs(net, world, upstream):
    """network update reaches the name server that runs; who comes later has the new ones as well."""
    second = Upstream(world, HOST, {"address": "192.0.2.9"})
    create(net, "n", "--dns", UPSTREAM)
    start(net, "c", "--network", "n")
    gateway = interfaces(net, "c")["n"]["gateway"]
    (pids,) = managers(net).values()

    def asked(name="c"):
        return inside(net, name, CLIENT + 'print(*addresses(ask("away.test")), *addresses(ask_tcp("away.test")))', gateway).split()
    try:
        assert asked() == ["192.0.2.7"] * 2
        assert net.ok("network", "update", "--dns-drop", UPSTREAM, "--dns-add", HOST, "n").out == "n\n"
        assert asked() == ["192.0.2.9"] * 2 and look(net, "c", "c") == [address(net, "c")]
        start(net, "d", "--network", "n")
        assert asked("d") == asked() == ["192.0.2.9"] * 2 and managers(net)["n"] == pids
        # The name server is begun anew with the same ones, the manager too.
        for pid in (pids[-1], pids[0]):
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda old=pid: len(now := managers(net).get("n", ())) > 1 and old not in now, what="a new process")
            assert asked() == ["192.0.2.9"] * 2
        # None at all: those of the host, which answer for the world outside.
        net.ok("network", "update", "--dns-drop", HOST, "n")
        assert OUTSIDE in asked()
    finally:
        second.end()


@pytest.mark.rows("B28")
def test_servers_of_a_member_that_moves(net, world, upstream):
    """Whether a server of the container's own is one that only it reaches is another thing in another network."""
    create(net, "n", "--dns", UPSTREAM)
    create(net, "m", "--internal", "--subnet", "10.94.0.0/24")
    start(net, "c", "--network", "n", "--dns", "10.94.0.9")
    gateway = interfaces(net, "c")["n"]["gateway"]

    def told(timeout=20):
        servers = [line.split()[1] for line in net.ok("exec", "c", "cat", "/etc/resolv.conf").out.splitlines() if line.startswith("nameserver")]
        return servers, inside(net, "c", CLIENT + f"""
try:
    print(code(ask("away.test", timeout={timeout})))
except TimeoutError:
    print("silence")""", gateway).strip()
    assert told(0.1)[0] == [gateway]
    net.ok("network", "connect", "m", "c")
    assert told() == ([gateway, "10.94.0.1", "10.94.0.9"], "5")  # refused: the resolver goes on to the next
    net.ok("network", "disconnect", "m", "c")
    servers, code = told(3)
    assert servers == [gateway] and code != "5"
