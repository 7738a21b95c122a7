"""rootlet-net-helper(8): ways past its rules, as a hostile user of a bridge would try them."""
import contextlib
import pathlib
import shutil
import socket
import struct
import subprocess
import sys

import pytest

import helperlab
import world as world_
from spoof import icmp6, ipv4, ipv6, mac, udp
# pylint: disable=unused-import,redefined-outer-name
from test_net_helper import BRIDGE, alone, lab, listener, stopped  # noqa: F401
from world import HOST, OUTSIDE, wait_for

pytestmark = [pytest.mark.root, pytest.mark.skipif(not helperlab.BUILT.exists(), reason="built without the helper"),
              pytest.mark.skipif(not shutil.which("nft") or not shutil.which("curl"), reason="needs nft and curl")]
HERE = pathlib.Path(__file__).resolve().parent
UP_ONLY = mac("01:80:c2:00:00:0e"), mac("01:80:c2:00:00:03")  # a bridge hands them up as the port's own


def send(container, *frames):
    container.run(sys.executable, HERE / "spoof.py", "raw", "eth0", *(f.hex() for f in frames))


def near_card(lab, slot):
    return mac(lab.world.host.run("ip", "-br", "link", "show", slot).split()[2])


def heard(sock, timeout=20.0):
    sock.settimeout(timeout)
    with contextlib.suppress(TimeoutError):
        return sock.recv(100)
    return b""


def silent(sock):
    """Nothing has come: on one machine it would be there at once."""
    return heard(sock, 0.3) == b""


def holds(world, port, device=b"", kind=socket.SOCK_STREAM):
    """A socket on a port of the host, also where connections have ended just now."""
    with world.host.entered():
        s = socket.socket(socket.AF_INET, kind)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if device:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device)
    s.bind(("0.0.0.0", port))
    if kind == socket.SOCK_STREAM:
        s.listen()
    return s


@contextlib.contextmanager
def says(ns, word, port, address="0.0.0.0", device=""):
    """A program of the host's that answers with a word."""
    script = ("import socket,sys;s=socket.socket();s.setsockopt(1,2,1);d=sys.argv[4].encode();d and s.setsockopt(1,25,d);"
              "s.bind((sys.argv[2],int(sys.argv[3])));s.listen();print('ready',flush=True)\n"
              "while True:\n c,_=s.accept();c.recv(99);c.send(b'HTTP/1.0 200 OK\\r\\n\\r\\n'+sys.argv[1].encode());c.close()")
    p = ns.start(sys.executable, "-c", script, word, address, port, device, stdout=subprocess.PIPE, text=True)
    try:
        assert p.stdout.readline() == "ready\n"
        yield
    finally:
        p.kill()
        p.wait()
        p.stdout.close()


def asked(lab, port):
    return lab.world.outside.run("curl", "-sS", "--max-time", "20", f"http://{HOST}:{port}/", check=False)


# --- past the bridge's rules ---


def test_frames_that_a_bridge_hands_up(lab):
    """Cards 01:80:c2:00:00:xx: the host would take such a frame as come by the slot's own device. No
    packet for its services, no router advertisement."""
    a = lab.container().up()
    slot, card = a.answer["slot"], mac(a.answer["mac"])
    service = listener(lab.world, "0.0.0.0", 7777, socket.SOCK_DGRAM)
    ra = struct.pack("!BBHII", 64, 0, 1800, 0, 0) + struct.pack("!BBBBIII", 3, 4, 64, 0xc0, 3600, 3600, 0) + \
        bytes.fromhex("20010bad000000000000000000000000")
    frames = []
    for to in UP_ONLY:
        for source in (a.ip, "8.8.8.8"):
            frames.append(to + card + b"\x08\x00" + ipv4(source, HOST, 17, struct.pack("!HHHH", 5, 7777, 12, 0) + b"evil"))
        frames.append(to + card + b"\x86\xdd" + ipv6("fe80::bad", "ff02::1", 58, icmp6("fe80::bad", "ff02::1", 134, ra)))
    send(a, *frames)
    assert silent(service)
    service.close()
    for what in (("-6", "route"), ("-6", "addr")):
        assert "bad" not in lab.world.host.run("ip", *what)
    # Nor when the administrator takes it out of the bridge.
    lab.world.host.run("ip", "link", "set", slot, "nomaster")
    service = listener(lab.world, "0.0.0.0", 7777, socket.SOCK_DGRAM)
    send(a, near_card(lab, slot) + card + b"\x08\x00" + ipv4(a.ip, HOST, 17, struct.pack("!HHHH", 5, 7777, 12, 0) + b"evil"))
    assert silent(service)
    service.close()


def test_table_of_neighbours(lab):
    """ARP to the cards that a bridge hands up passes none of its rules: the host neither learns from it
    nor answers. A container must not fill the table that all devices of the host share."""
    a = lab.container().up()
    slot, card = a.answer["slot"], mac(a.answer["mac"])

    def neighbours(*device):
        return lab.world.host.run("ip", "neigh", "show", *device).count("\n")

    def send_arp():
        frames = []
        for n in range(200):
            sender = f"10.88.33.{n}"
            request = struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, card, socket.inet_aton(sender), b"\0" * 6, socket.inet_aton("10.88.0.1"))
            frames += [to + card + b"\x08\x06" + request for to in (*UP_ONLY, b"\xff" * 6)]
        send(a, *frames)
    before = neighbours()
    send_arp()
    assert a.pings("10.88.0.1")
    assert neighbours("dev", slot) == 0 and neighbours() <= before + 2
    # It is what keeps it out.
    lab.world.host.run("sysctl", "-qw", f"net.ipv4.conf.{slot}.arp_ignore=0")
    send_arp()
    wait_for(lambda: neighbours("dev", slot) > 100)


def test_other_users_by_the_card_of_the_port(lab):
    """The port's card is as much the host's as the bridge's: a packet to it must not be routed to
    another user's container."""
    a, b = lab.container().up(), lab.container(lab.bob).up()
    sniffer = b.start(sys.executable, HERE / "spoof.py", "listen", "eth0", "fromhost", stdout=subprocess.PIPE, text=True)
    assert sniffer.stdout.readline() == "ready\n"
    packet = ipv4(a.ip, b.ip, 17, udp(5000, b"=toother="))
    six = ipv6(a.ip6, b.ip6, 17, udp(5000, b"=toother="))
    for to in (near_card(lab, a.answer["slot"]), mac("02:72:00:00:00:01"), near_card(lab, b.answer["slot"])):
        send(a, to + mac(a.answer["mac"]) + b"\x08\x00" + packet, to + mac(a.answer["mac"]) + b"\x86\xdd" + six)
    with lab.world.host.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.sendto(b"=fromhost=", (b.ip, 5000))
    assert sniffer.communicate(timeout=60)[0].split() == ["fromhost"]


def test_access_to_the_host_is_taken_back(lab):
    """With the next call after net.conf was changed, not with the end of the bridge."""
    def reaches(c):
        return c.run("curl", "-sS", "--max-time", "1", "http://10.88.0.1:9090/", check=False) == "good"
    lab.helper.policy(BRIDGE + " host-access", f"{lab.names[0]} rlbr0 4 auto")
    a = lab.container().up()
    with says(lab.world.host, "good", 9090):
        assert reaches(a)
        lab.helper.policy(BRIDGE, f"{lab.names[0]} rlbr0 4 auto")
        lab.container().up()
        assert not reaches(a)


def test_host_speaks_by_the_bridge_only(lab):
    """A slot's device has no addresses of its own, not even link-local ones."""
    a = lab.container().up()
    assert "inet" not in lab.world.host.run("ip", "addr", "show", a.answer["slot"])


# --- ports ---


def test_port_that_was_given_back(lab):
    """Who closes his socket has no more claim on what comes to the port: the next program of the host
    gets it, also while the element stays."""
    a = lab.container()
    s = holds(lab.world, 8080)
    answer = lab.alice.add(a, f"{s.fileno()}:80", fds=[s.fileno()])
    assert answer["by_kernel"][0] == 1
    a.configure(answer)
    with says(a_namespace(a), "evil", 80):
        assert "evil" in asked(lab, 8080)
        s.close()
        with says(lab.world.host, "good", 8080):
            assert "8080" in helperlab.rules(lab.world)
            assert asked(lab, 8080) == "good"
            # And another user, who publishes it then, loses it to nobody either.
        b = lab.container(lab.bob)
        t = holds(lab.world, 8080)
        b.configure(lab.bob.add(b, f"{t.fileno()}:80", fds=[t.fileno()]))
        with says(a_namespace(b), "bobs", 80):
            assert asked(lab, 8080) == "bobs"
            lab.alice.ok("del", answer["slot"])
            assert asked(lab, 8080) == "bobs"
        t.close()


class a_namespace(world_.Namespace):  # pylint: disable=invalid-name
    """The one of a container, for what starts programs in a namespace."""

    def __init__(self, container):  # pylint: disable=super-init-not-called
        self.path = f"/proc/{container.proc.pid}/ns/net"


def test_port_of_one_device(lab):
    """A socket bound to another device (which needs no privilege) proves nothing about the port."""
    a = lab.container()
    with says(lab.world.host, "good", 8080, device="up0"):
        s = holds(lab.world, 8080, b"lo")
        a.configure(lab.alice.add(a, f"{s.fileno()}:80", fds=[s.fileno()]))
        with says(a_namespace(a), "evil", 80):
            assert asked(lab, 8080) == "good"
        s.close()


def test_translations_of_the_administrator_come_first(lab):
    """Also those that were made before, of ports that no program holds."""
    lab.world.host.run("nft", "-f", "-", input="table ip mine {\nchain pre {\ntype nat hook prerouting priority -90;\n"
                       "tcp dport 8080 redirect to :9090\n}\n}\n")
    try:
        a = lab.container()
        s = holds(lab.world, 8080)
        a.configure(lab.alice.add(a, f"{s.fileno()}:80", fds=[s.fileno()]))
        with says(lab.world.host, "good", 9090), says(a_namespace(a), "evil", 80):
            assert asked(lab, 8080) == "good"
        s.close()
    finally:
        lab.world.host.run("nft", "delete", "table", "ip", "mine")


def test_number_of_published_ports(lab):
    """IP_FREEBIND: without a limit a user could fill the kernel's maps, and with them everybody's time."""
    a = lab.container()
    lab.alice.add(a)
    slot, kernel = "", 0
    for turn in range(23):
        socks = []
        for i in range(48):
            with lab.world.host.entered():
                s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.setsockopt(socket.SOL_IP, 15, 1)
            s.bind((f"203.0.{turn}.{i}", 8000))
            socks.append(s)
        fds = [s.fileno() for s in socks]
        slot = slot or next(w.split("@")[0] for w in lab.world.host.run("ip", "-br", "link").split() if w.startswith("rl") and "-" in w)
        got = lab.alice.ok("publish", slot, *(f"{fd}:80" for fd in fds), fds=fds)
        kernel += sum(got["by_kernel"])
        for s in socks:
            s.close()
    assert 1024 <= kernel < 1024 + 48
    t = listener(lab.world, "0.0.0.0", 8001, socket.SOCK_DGRAM)
    assert lab.alice.ok("publish", slot, f"{t.fileno()}:80", fds=[t.fileno()])["by_kernel"][0] == 1
    t.close()


def test_connections_of_an_address_end_with_it(lab):
    """Clients of a container that has ended do not come to the next one with its address."""
    lab.helper.policy("bridge rlbr0 10.99.0.0/30 masquerade", *(f"{n} rlbr0 4 auto udp:8000-8099" for n in lab.names))
    a, s = lab.container(), holds(lab.world, 8050, kind=socket.SOCK_DGRAM)
    a.configure(lab.alice.add(a, f"{s.fileno()}:80", fds=[s.fileno()]))
    with a_namespace(a).entered():
        theirs = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    theirs.bind(("0.0.0.0", 80))
    with lab.world.outside.entered():
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.connect((HOST, 8050))
    client.send(b"to alice")
    assert heard(theirs) == b"to alice"
    lab.alice.ok("del", a.answer["slot"])
    b = lab.container(lab.bob).up()
    assert b.ip == a.ip
    with a_namespace(b).entered():
        others = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    others.bind(("0.0.0.0", 80))
    client.send(b"to alice")
    assert heard(s) == b"to alice" and silent(others)
    for sock in (s, theirs, client, others):
        sock.close()


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
def test_stopped_while_publishing(lab):
    """His container ends meanwhile, and another user's gets the address: its ports are not his to publish."""
    lab.helper.policy("bridge rlbr0 10.99.0.0/30 masquerade", *(f"{n} rlbr0 4 auto udp:8000-8099" for n in lab.names))
    a, s = lab.container().up(), holds(lab.world, 8050, kind=socket.SOCK_DGRAM)
    slot = a.answer["slot"]
    with stopped(lab, "getsockname", 1, ["publish", slot, f"{s.fileno()}:80"], [s.fileno()]) as p:
        assert p.poll() is None
        a.end()
        wait_for(lambda: slot not in helperlab.links(lab.world))
        b = lab.container(lab.bob).up()
        assert b.ip == a.ip
    assert p.returncode != 0
    assert "8050" not in helperlab.rules(lab.world)
    s.close()


def test_masquerading_takes_no_low_port(lab):
    """A container that asks a server from port 123 does not get what the server sends to the host's."""
    a = lab.container().up()
    with lab.world.host.entered():
        service = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with lab.world.outside.entered():
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with a_namespace(a).entered():
        evil = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    service.bind(("0.0.0.0", 123))
    server.bind((OUTSIDE, 123))
    evil.bind(("0.0.0.0", 123))
    evil.sendto(b"x", (OUTSIDE, 123))
    server.settimeout(20)
    data, peer = server.recvfrom(10)
    assert data == b"x" and peer[0] == HOST and peer[1] >= 1024
    server.sendto(b"answer", peer)
    assert heard(evil) == b"answer"
    server.sendto(b"time", (HOST, 123))
    assert heard(service) == b"time" and silent(evil)
    for sock in (service, server, evil):
        sock.close()
    assert a.pings(OUTSIDE)


def test_hosts_users_by_the_device(lab):
    """A socket may be bound to a device by anybody: the slot's own leads past the bridge and its rules."""
    a = lab.container().up()
    with open(f"/proc/{a.proc.pid}/ns/net", "rb"):
        world_.setns(f"/proc/{a.proc.pid}/ns/net")
        try:
            server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        finally:
            world_.setns(world_.HOME)
    with server:
        server.bind(("0.0.0.0", 7777))
        for device in (a.answer["slot"], "rlbr0"):
            for to in ("255.255.255.255", "10.88.255.255", "224.0.0.1", a.ip):
                p = lab.bob.start("-c", "import socket,sys;s=socket.socket(2,2);s.setsockopt(1,6,1);s.setsockopt(1,25,sys.argv[1].encode());"
                                  "s.sendto(b'x',(sys.argv[2],7777))", device, to, program=sys.executable)
                p.communicate(timeout=30)
                assert silent(server), (device, to)
        p = lab.alice.start("-c", f"import socket;socket.socket(2,2).sendto(b'x',('{a.ip}',7777))", program=sys.executable)
        p.communicate(timeout=30)
        assert heard(server) == b"x"


# --- forwarding ---


def test_forwarding_is_for_the_bridge_only(lab):
    """Switched on for the uplink, it would let the world outside into the host's other networks."""
    inner = world_.Namespace()
    host = lab.world.host
    try:
        host.ip("link add lan0 type veth peer name eth0", f"link set eth0 netns {inner.proc.pid}",
                "addr add 10.77.0.1/24 dev lan0", "link set lan0 up")
        inner.ip("link set lo up", "addr add 10.77.0.2/24 dev eth0", "link set eth0 up", "route add default via 10.77.0.1")
        lab.world.outside.ip(f"route add 10.77.0.0/24 via {HOST}")
        with inner.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
            server = made.dup()
        server.bind(("10.77.0.2", 7777))

        def send_in():
            with lab.world.outside.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.sendto(b"x", ("10.77.0.2", 7777))
        send_in()
        assert silent(server)
        a = lab.container().up()
        assert a.pings(OUTSIDE)
        assert host.run("sysctl", "-n", "net.ipv4.conf.up0.forwarding").strip() == "1"
        send_in()
        assert silent(server)
        # The administrator decides otherwise.
        host.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        lab.container().up()
        send_in()
        assert heard(server) == b"x"
    finally:
        host.run("sysctl", "-qw", "net.ipv4.ip_forward=0")
        lab.world.outside.run("ip", "route", "del", "10.77.0.0/24", check=False)
        host.run("ip", "link", "del", "lan0", check=False)
        server.close()
        inner.end()
