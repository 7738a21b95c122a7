"""rootlet-ports: who the server sees, what ends how, and what it costs, between three namespaces."""
import contextlib
import errno
import os
import select
import signal
import socket
import struct
import time

import portslib
import pytest
from netlib import pss, wait_for
from portslib import (CTR, CTR6, DGRAM, GATEWAY, GATEWAY6, HOST, HOST6, OUTSIDE, OUTSIDE6, STREAM, TCP, UDP,
                      read_all, read_exactly, serving)

SANITIZERS = os.environ.get("SANITIZERS") == "yes"


@pytest.fixture(name="world")
def world_fixture():
    with portslib.world() as w:
        yield w


def say_peer(s, peer):
    s.sendall(f"{peer[0]} {peer[1]}".encode())


def say_hi(s, _peer):
    s.sendall(b"hi")
    with contextlib.suppress(ConnectionResetError):
        s.recv(1)


def ask(client):
    with client:
        return read_all(client).decode().split()


@pytest.mark.rows("A52")
def test_server_sees_the_client(world):
    """Both families, one socket for both; the port is kept too."""
    ports = world.ports()
    port = ports.add(None, 80)
    with serving(world.ctr.listen("0.0.0.0", 80), say_peer), serving(world.ctr.listen("::", 81), say_peer):
        client = world.outside.connect(HOST, port)
        mine = client.getsockname()
        assert ask(client) == [OUTSIDE, str(mine[1])]
        port6 = ports.add(None, 81)
        client = world.outside.connect(HOST6, port6)
        mine = client.getsockname()
        assert ask(client) == [OUTSIDE6, str(mine[1])]
        # The host by its own address, which the container does not have.
        assert ask(world.host.connect(HOST, port))[0] == HOST
        # Its loopback is the gateway.
        assert ask(world.host.connect("127.0.0.1", port))[0] == GATEWAY
        assert ask(world.host.connect("::1", port6))[0] == GATEWAY6


def test_client_with_an_address_of_the_container(world):
    world.outside.sh(f"ip addr add {CTR}/32 dev out1; ip route add {HOST}/32 dev out1 src {CTR}")
    world.host.sh(f"ip route add {CTR}/32 dev out0")
    port = world.ports().add("0.0.0.0", 80)
    with serving(world.ctr.listen("0.0.0.0", 80), say_peer):
        assert ask(world.outside.connect(HOST, port, source=(CTR, 0)))[0] == GATEWAY


def test_two_ports_same_server_same_client(world):
    """The client's port is taken by its other connection: it gets another one, the address stays."""
    ports = world.ports()
    first, second = ports.add(None, 80), ports.add(None, 80)
    with serving(world.ctr.listen("0.0.0.0", 80), lambda s, peer: (say_peer(s, peer), s.recv(1))):
        a = world.outside.socket(socket.AF_INET)
        b = world.outside.socket(socket.AF_INET)
        for s, port in ((a, first), (b, second)):
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind((OUTSIDE, 4444))
            s.connect((HOST, port))
        assert a.recv(100).decode().split() == [OUTSIDE, "4444"]
        address, number = b.recv(100).decode().split()
        assert address == OUTSIDE and number != "4444"
        a.close()
        b.close()


def test_only_the_other_family(world):
    """A container without IPv6: a client by IPv6 is the gateway."""
    port = world.ports(addresses=(CTR, GATEWAY, None, None)).add(None, 80)
    with serving(world.ctr.listen("0.0.0.0", 80), say_peer):
        assert ask(world.outside.connect(HOST6, port))[0] == GATEWAY
        assert ask(world.outside.connect(HOST, port))[0] == OUTSIDE


def test_udp_sees_the_client(world):
    """A server that answers from an unbound address, both families, loopback; the asked address
    answers."""
    world.host.sh("ip addr add 198.51.100.9/24 dev out0")
    ports = world.ports()
    port = ports.add(None, 53, UDP)
    for family, any_address, cases in (
            (socket.AF_INET, "0.0.0.0", [(world.outside, HOST, OUTSIDE), (world.outside, "198.51.100.9", OUTSIDE),
                                         (world.host, "127.0.0.1", GATEWAY)]),
            (socket.AF_INET6, "::", [(world.outside, HOST6, OUTSIDE6), (world.host, "::1", GATEWAY6)])):
        server = world.ctr.socket(family, DGRAM)
        if family == socket.AF_INET6:
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        server.bind((any_address, 53))
        for space, address, seen in cases:
            client = space.connect(address, port, DGRAM)
            for text in (b"one", b"two", b"x" * 20000):
                client.send(text)
                data, peer = server.recvfrom(65536)
                assert data == text and peer[0] == seen and peer[1] == client.getsockname()[1]
                server.sendto(b"re " + data, peer)
                assert client.recv(65536) == b"re " + text  # connected: only from where it was sent to
            client.close()
        server.close()
    stats = ports.stats()
    assert stats["packets_in"] == stats["packets_out"] == 15 and stats["packets_lost"] == 0
    # Nothing else of the container goes the clients' way.
    routes = world.ctr.sh("ip route show table 7498754").stdout
    assert OUTSIDE in routes
    ports.remove(None, 53, UDP, port)
    assert world.ctr.sh("ip route show table 7498754; ip -6 route show table 7498754").stdout == ""
    assert "ipproto" not in world.ctr.sh("ip rule; ip -6 rule").stdout


def test_udp_many_clients_and_nobody_there(world):
    ports = world.ports()
    port = ports.add("0.0.0.0", 53, UDP)
    client = world.outside.connect(HOST, port, DGRAM)
    for _ in range(3):
        client.send(b"nobody")
        time.sleep(0.02)
    server = world.ctr.listen("0.0.0.0", 53, DGRAM)
    client.send(b"somebody")
    while server.recvfrom(100)[0] != b"somebody":
        pass
    clients = [world.outside.connect(HOST, port, DGRAM) for _ in range(200)]
    for i, c in enumerate(clients):
        c.send(str(i).encode())
    for _ in clients:
        data, peer = server.recvfrom(100)
        server.sendto(data, peer)
    for i, c in enumerate(clients):
        assert c.recv(100) == str(i).encode()
        c.close()
    assert ports.stats()["flows"] == 201


def test_udp_flows_have_a_limit(world):
    ports = world.ports(files=512)
    port = ports.add("0.0.0.0", 53, UDP)
    server = world.ctr.listen("0.0.0.0", 53, DGRAM)
    for i in range(100):
        client = world.outside.connect(HOST, port, DGRAM)
        client.send(b"x")
        server.recvfrom(10)
        client.close()
    assert ports.stats()["flows"] == 64


def routes(world):
    return world.ctr.sh("ip route show table 7498754").stdout


def test_udp_flows_end_by_silence(world):
    """A conversation after 90 s, one question after 30; here after three and one. What they took is given back."""
    ports = world.ports(args=["3", "1"])
    port = ports.add("0.0.0.0", 53, UDP)
    server = world.ctr.listen("0.0.0.0", 53, DGRAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    fds, idle = len(os.listdir(f"/proc/{ports.proc.pid}/fd")), pss(ports.proc.pid, "Pss_Anon")

    def talk(client, times):
        for _ in range(times):
            client.send(b"x")
            server.sendto(*server.recvfrom(10))
            assert client.recv(10) == b"x"

    for _ in range(2):
        clients = [world.outside.connect(HOST, port, DGRAM) for _ in range(1000)]
        for c in clients:
            talk(c, 1)
        assert ports.stats()["flows"] > 0 and OUTSIDE in routes(world)
        wait_for(lambda: ports.stats()["flows"] == 0, 20)
        for c in clients:
            c.close()
    assert len(os.listdir(f"/proc/{ports.proc.pid}/fd")) == fds and routes(world) == ""
    if not SANITIZERS:  # they keep what is freed
        wait_for(lambda: pss(ports.proc.pid, "Pss_Anon") <= idle + 1024, 20)
    # One that talks on stays; when it is silent it has more time than a question.
    with world.outside.connect(HOST, port, DGRAM) as client, world.outside.connect(HOST, port, DGRAM) as once:
        talk(client, 3)
        talk(once, 1)
        wait_for(lambda: ports.stats()["flows"] == 1, 20)
        talk(client, 1)  # by the same flow: the server sees the same port
        assert ports.stats()["flows"] == 1
        wait_for(lambda: ports.stats()["flows"] == 0, 20)
        talk(client, 1)
    assert ports.stats()["flows"] == 1


def test_refused_is_a_reset(world):
    port = world.ports().add(None, 80)
    with pytest.raises(ConnectionResetError), world.outside.connect(HOST, port) as client:
        client.recv(1)


def test_server_on_the_loopback_only_is_not_reached(world):
    port = world.ports().add(None, 80)
    with serving(world.ctr.listen("127.0.0.1", 80), say_peer):
        with pytest.raises(ConnectionResetError), world.outside.connect(HOST, port) as client:
            client.recv(1)


def test_half_close(world):
    """What the client ends to say does not end what it hears, and the other way round."""
    port = world.ports().add(None, 80)
    block = os.urandom(1 << 20)

    def echo_after_end(s, _peer):
        s.sendall(b"hello")
        data = read_all(s)
        s.sendall(data)

    with serving(world.ctr.listen("0.0.0.0", 80), echo_after_end):
        with world.outside.connect(HOST, port) as client:
            assert read_exactly(client, 5) == b"hello"
            client.sendall(block)
            client.shutdown(socket.SHUT_WR)
            assert read_all(client) == block


def test_half_close_of_the_server(world):
    port = world.ports().add(None, 80)
    got = []

    def end_first(s, _peer):
        s.sendall(b"bye")
        s.shutdown(socket.SHUT_WR)
        got.append(read_all(s))

    with serving(world.ctr.listen("0.0.0.0", 80), end_first):
        with world.outside.connect(HOST, port) as client:
            assert read_all(client) == b"bye"
            client.sendall(b"still here" * 10000)
        wait_for(lambda: got)
    assert got == [b"still here" * 10000]


def test_reset_is_handed_on(world):
    ports = world.ports()
    port = ports.add(None, 80)
    listener = world.ctr.listen("0.0.0.0", 80)
    linger = struct.pack("ii", 1, 0)
    for server_first in (True, False):
        client = world.outside.connect(HOST, port)
        server, _ = listener.accept()
        server.settimeout(20)
        one, other = (server, client) if server_first else (client, server)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        one.close()
        with pytest.raises(ConnectionResetError):
            other.recv(1)
        other.close()
    wait_for(lambda: ports.stats()["connections"] == 0)


def test_much_data_both_ways_at_once(world):
    port = world.ports().add(None, 80)
    block = os.urandom(1 << 20) * 16

    def echo(s, _peer):
        while True:
            data = s.recv(1 << 18)
            if not data:
                return
            s.sendall(data)

    with serving(world.ctr.listen("0.0.0.0", 80), echo), world.outside.connect(HOST, port) as client:
        client.setblocking(False)
        sent, got = 0, bytearray()
        while len(got) < len(block):
            r, w, _ = select.select([client], [client] if sent < len(block) else [], [], 20)
            assert r or w
            if w:
                sent += client.send(block[sent:sent + (1 << 18)])
            if r:
                got += client.recv(1 << 18)
        assert got == block


def test_slow_readers_do_not_stop_others(world):
    """Each of 300 takes nothing; memory stays small, the next is served at once."""
    ports = world.ports()
    port = ports.add(None, 80)

    much = bytes(16 << 20)

    def serve(s, _peer):
        with contextlib.suppress(OSError):
            if s.recv(1) == b"p":
                s.sendall(b"pong")
                return
            s.settimeout(None)
            s.sendall(much)

    with serving(world.ctr.listen("0.0.0.0", 80), serve):
        slow = []
        for _ in range(300):
            s = world.outside.socket(socket.AF_INET)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.connect((HOST, port))
            s.send(b"s")
            slow.append(s)
        wait_for(lambda: ports.stats()["connections"] == 300)
        with world.outside.connect(HOST, port) as client:
            client.send(b"p")
            assert read_all(client) == b"pong"
        assert SANITIZERS or pss(ports.proc.pid) < 4096  # theirs is no measure
        # One of them begins to read: it gets all of it.
        assert read_exactly(slow[7], 1 << 20) == bytes(1 << 20)
        for s in slow:
            s.close()
        wait_for(lambda: ports.stats()["connections"] == 0)


def test_a_thousand_connections(world):
    ports = world.ports()
    port = ports.add(None, 80)
    listener = world.ctr.listen("0.0.0.0", 80)
    before = pss(ports.proc.pid)
    pairs = []
    for _ in range(1000):
        client = world.outside.connect(HOST, port)
        server, _ = listener.accept()
        server.settimeout(20)
        pairs.append((client, server))
    for i, (client, server) in enumerate(pairs):
        client.sendall(b"%d" % i)
        assert server.recv(10) == b"%d" % i
        server.sendall(b"-%d" % i)
    for i, (client, _) in enumerate(pairs):
        assert client.recv(10) == b"-%d" % i
    assert ports.stats()["connections"] == 1000
    assert len(os.listdir(f"/proc/{ports.proc.pid}/fd")) < 2100
    assert SANITIZERS or pss(ports.proc.pid) < before + 1024
    for pair in pairs:
        for s in pair:
            s.close()
    wait_for(lambda: ports.stats()["connections"] == 0)
    assert ports.stats()["accepted"] == 1000


def test_accept_waits_at_the_limit_of_descriptors(world):
    """Who is not accepted waits in the queue, and comes when another one goes."""
    ports = world.ports(files=200)
    port = ports.add(None, 80)
    with serving(world.ctr.listen("0.0.0.0", 80), say_hi):
        clients = [world.outside.connect(HOST, port) for _ in range(100)]
        wait_for(lambda: ports.stats()["paused"])
        taken = ports.stats()["connections"]
        assert 10 < taken < 100
        served = []

        def more():
            ready, _, _ = select.select([c for c in clients if c not in served], [], [], 0)
            for c in ready:
                assert c.recv(2) == b"hi"
                served.append(c)
                c.close()
            return len(served) == 100
        wait_for(more)
    wait_for(lambda: ports.stats()["connections"] == 0)
    assert ports.stats()["paused"] == 0


def test_add_and_remove(world):
    ports = world.ports()
    first = ports.add("127.0.0.1", 80)
    with serving(world.ctr.listen("0.0.0.0", 80), say_hi):
        second = ports.add("127.0.0.1", 80)
        a, b = (world.host.connect("127.0.0.1", p) for p in (first, second))
        assert a.recv(2) == b.recv(2) == b"hi"
        ports.remove("127.0.0.1", 80, TCP, first)
        with pytest.raises(ConnectionResetError):
            a.recv(1)
        with pytest.raises(ConnectionRefusedError):
            world.host.connect("127.0.0.1", first)
        b.sendall(b"x")
        assert b.recv(1) == b""
        a.close()
        b.close()
    with pytest.raises(AssertionError, match="No such file"):
        ports.remove("127.0.0.1", 80, TCP, first)
    # The number is free again.
    ports.add("127.0.0.1", 81, TCP, first)


def test_bad_messages(world):
    ports = world.ports()
    port = ports.add(None, 80)
    for message, fds, why in (
            (struct.pack("=Ii", 0x999, 0), [], errno.ENOSYS),
            (struct.pack("=Ii", portslib.ADD, 0), [], errno.EBADF),
            (ports.spec(portslib.ADD, None, 1, 1, TCP), [0], errno.ENOTSOCK),
            (ports.spec(portslib.ADD, None, port, 80, TCP), [0], errno.EEXIST),
            (ports.spec(portslib.REMOVE, None, 1, 1, TCP), [], errno.ENOENT),
            (bytes(20000), [], errno.EMSGSIZE)):
        with pytest.raises(AssertionError, match=str(int(why))):
            ports.request(message, fds)
    with world.host.listen("127.0.0.1", kind=DGRAM) as udp:
        with pytest.raises(AssertionError, match=str(int(errno.EINVAL))):
            ports.request(ports.spec(portslib.ADD, "127.0.0.1", 5, 5, TCP), [udp.fileno()])
    assert ports.stats()["ports"] == 1


def test_another_supervisor(world):
    """The first is gone; the second learns the ports, with their sockets."""
    ports = world.ports()
    port = ports.add("127.0.0.1", 80)
    ports.add(None, 53, UDP)
    ports.ctl.close()
    ports.ctl = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ports.ctl.settimeout(20)
    ports.ctl.connect(ports.path)
    ports.ctl.send(struct.pack("=Ii", portslib.LIST, 0))
    found = []
    while True:
        data, fds = portslib.recv_fds(ports.ctl)
        if struct.unpack_from("=I", data)[0] == portslib.WIRE_OK:
            break
        with socket.socket(fileno=fds[0]) as s:
            found.append((s.type, s.getsockname()[1]))
    assert (STREAM, port) in found and len(found) == 2
    with serving(world.ctr.listen("0.0.0.0", 80), say_peer):
        assert ask(world.host.connect("127.0.0.1", port))[0] == GATEWAY


def test_started_again_with_the_same_listeners(world):
    ports = world.ports()
    s = world.host.listen("0.0.0.0", 0)
    port = s.getsockname()[1]
    udp = world.host.listen("0.0.0.0", 0, DGRAM)
    server = world.ctr.listen("0.0.0.0", 53, DGRAM)

    def publish(p):
        p.request(p.spec(portslib.ADD, "0.0.0.0", port, 80, TCP), [s.fileno()])
        p.request(p.spec(portslib.ADD, "0.0.0.0", udp.getsockname()[1], 53, UDP), [udp.fileno()])

    publish(ports)
    with serving(world.ctr.listen("0.0.0.0", 80), say_peer):
        client = world.outside.connect(HOST, udp.getsockname()[1], DGRAM)
        for p in (ports, world.ports()):
            if p is not ports:
                os.kill(ports.proc.pid, signal.SIGKILL)
                ports.proc.wait()
                waiting = world.outside.connect(HOST, port)  # nobody is there to accept
                publish(p)
                assert ask(waiting)[0] == OUTSIDE
            assert ask(world.outside.connect(HOST, port))[0] == OUTSIDE
            client.send(b"x")
            data, peer = server.recvfrom(10)
            server.sendto(data, peer)
            assert peer[0] == OUTSIDE and client.recv(10) == b"x"


def test_ends_with_the_init(world):
    ports = world.ports()
    ports.add(None, 80)
    world.ctr.proc.kill()
    assert ports.proc.wait(20) == 0


def test_where_the_settings_cannot_be_written(world):
    """As in a container around us: clients have the container's own address, all else works."""
    locked = ("mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro,nosuid,nodev,noexec /proc/sys && "
              'exec "$0"')
    ports = world.ports(wrapper=["unshare", "-m", "sh", "-c", locked])
    port, port53 = ports.add(None, 80), ports.add(None, 53, UDP)
    with serving(world.ctr.listen("::", 80), say_peer):
        assert ask(world.outside.connect(HOST, port))[0] == "::ffff:" + CTR
        assert ask(world.outside.connect(HOST6, port))[0] == CTR6
    server = world.ctr.listen("0.0.0.0", 53, DGRAM)
    client = world.outside.connect(HOST, port53, DGRAM)
    client.send(b"x")
    data, peer = server.recvfrom(10)
    server.sendto(data, peer)
    assert client.recv(10) == b"x"


def test_sandbox(world):
    """One capability, in the container's user namespace; a filter; nothing to trace or dump."""
    ports = world.ports()
    status = dict(line.split(":\t") for line in open(f"/proc/{ports.proc.pid}/status", encoding="ascii")
                  if ":\t" in line)
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 1 << 12
    assert status["NoNewPrivs"].strip() == "1"
    # What sanitizers add needs calls of its own.
    assert status["Seccomp"].strip() == ("0" if SANITIZERS else "2")
    assert os.readlink(f"/proc/{ports.proc.pid}/ns/net") == os.readlink(f"/proc/{world.ctr.proc.pid}/ns/net")
    assert os.readlink(f"/proc/{ports.proc.pid}/ns/user") == os.readlink(f"/proc/{world.ctr.proc.pid}/ns/user")
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(ports.proc.pid, name)
    assert ports.stats()["ports"] == 0
