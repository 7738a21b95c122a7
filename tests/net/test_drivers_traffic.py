"""The one suite for all drivers (test_drivers.py), the part with much traffic: ports and their clients,
containers that talk with each other, a thousand connections, slow readers, half-closed ones, paths
with a smaller MTU, and starts that are killed."""
import shutil
import subprocess
import sys
import time

import pytest

import world as world_
from lib.runner import PATIENCE
# pylint: disable=unused-import,redefined-outer-name
from test_drivers import DRIVERS, driver, kill_start, network_processes, out, own, start, usable  # noqa: F401
from test_together import SERVE
from world import HOST, HOST6, OUTSIDE, OUTSIDE6, fetch, wait_for

FAR, HOLE, FAR6 = "192.0.2.2", "192.0.2.3", "2001:db8:1::2"
SMALL = 1300

CLIENT = """
import resource, socket, sys, time
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
def connect(word, to=None, timeout=30):
    s = socket.create_connection((to or sys.argv[1], 9001), timeout)
    s.sendall(word)
    return s
def read_all(s, size=0):
    data = bytearray()
    while (not size or len(data) < size) and (part := s.recv(1 << 20)):
        data += part
    return data
"""


@pytest.fixture(scope="module")
def talkers(world):
    """Servers outside, and one behind a router with a smaller MTU behind it; what the router says of
    that reaches us for FAR only."""
    far, router = world_.Namespace(), world.outside
    router.ip(f"link add mid0 mtu {SMALL} type veth peer name far0 mtu 1500 netns {far.proc.pid}",
              "addr add 192.0.2.1/24 dev mid0", "addr add 2001:db8:1::1/64 dev mid0 nodad", "link set mid0 up")
    far.ip("link set lo up", f"addr add {FAR}/24 dev far0", f"addr add {HOLE}/24 dev far0",
           f"addr add {FAR6}/64 dev far0 nodad", "link set far0 up",
           "route add default via 192.0.2.1", "route add default via 2001:db8:1::1")
    router.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1", "net.ipv4.icmp_ratelimit=0")
    if shutil.which("nft"):
        router.run("nft", "-f", "-", input="table ip hole {\nchain out {\ntype filter hook output priority 0;\n"
                   "icmp type destination-unreachable @th,192,32 0xc0000203 drop\n}\n}\n")
    servers = []
    for ns, addresses in ((router, (OUTSIDE, OUTSIDE6)), (far, (FAR, HOLE, FAR6))):
        p = ns.start(sys.executable, world_.SERVER.with_name("talker.py"), *addresses, stdin=subprocess.DEVNULL,
                     stdout=subprocess.PIPE)
        assert p.stdout.readline() == b"ready\n"
        servers.append(p)
    if shutil.which("iperf3"):
        servers.append(router.start("iperf3", "-s", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL))
    yield
    for p in servers:
        p.kill()
        p.wait()
        if p.stdout:
            p.stdout.close()
    far.end()


def namespace(net, name="c"):
    """Of a container, for programs of the machine."""
    ns = world_.Namespace.__new__(world_.Namespace)
    ns.path = f"/proc/{net.inspect(name)['State']['Pid']}/ns/net"
    return ns


def inside(net, script, *args, timeout=60):
    return namespace(net).run(sys.executable, "-c", CLIENT + script, *args, timeout=timeout)


# --- ports ---


def page(ns, address, port):
    return fetch(ns, address, port).strip()


@pytest.mark.rows("A52", "B31", "B28")
def test_published(net, driver):
    """curl from outside, in both families; the server sees who asks; the port ends with the container."""
    if driver.name == "none":
        r = net("run", "--rm", "--network", "none", "-p", "8080:80", net.image(), "true")
        assert r.rc == 125 and "none" in r.err, r
        return
    given = ("-p", "8080:8080") if driver.own else ()
    start(net, driver, *given)
    with_server = namespace(net)
    p = with_server.start(sys.executable, world_.SERVER.with_name("whoasks.py"), 8080, stdout=subprocess.PIPE)
    try:
        assert p.stdout.readline() == b"ready\n"
        for address, me in ((HOST, OUTSIDE), (HOST6, OUTSIDE6)):
            assert page(net.world.outside, address, 8080).removeprefix("::ffff:") == me
        assert page(net.world.host, "127.0.0.1", 8080)
        if driver.own:
            assert net.ok("port", "c").text == "8080/tcp -> 0.0.0.0:8080"
        assert net.world.outside.run("curl", "-sS", "--max-time", 5, f"http://{HOST}:8081/", check=False) == ""
    finally:
        p.kill()
        p.wait()
        p.stdout.close()
    net.ok("rm", "-f", "-t", "0", "c")
    for address in (HOST, HOST6, "127.0.0.1"):
        assert page(net.world.host, address, 8080) == ""


@pytest.mark.rows("A53", "B28", "B31")
def test_two_containers(net, out):
    """By the host's name and a published port everywhere; on a network of several by address."""
    given = ("-p", "8080:80") if out.own else ()
    serve = SERVE if out.own else ("sh", "-c", SERVE[2].replace("-p 80", "-p 8080"))
    start(net, out, *given, "--hostname", "first" if out.own else net.world.host.run("hostname").strip(), name="a", command=serve)
    start(net, out, name="b")
    # pasta that has no address for the host (--map-guest-addr) gives it no name either: an answer at once.
    names = ("host.containers.internal", "host.docker.internal")
    if out.name == "pasta" and "--map-guest-addr" not in subprocess.run(
            ["pasta", "--help"], capture_output=True, text=True, check=False).stdout:
        assert "internal" not in net.ok("exec", "b", "cat", "/etc/hosts").out
        names = ()
    for who in names:
        got = wait_for(lambda who=who: net("exec", "b", "timeout", "5", "wget", "-qO-", f"http://{who}:8080/").text, what=who)
        assert not out.own or got == "first", got
    if out.name in ("user", "bridge"):
        (network,) = net.inspect("a")["NetworkSettings"]["Networks"].values()
        assert net.ok("exec", "b", "wget", "-qO-", f"http://{network['IPAddress']}/").text == "first"


# --- much of it ---


def iperf(ns, *args, stalls=False):
    """As many bytes as were asked for have come. A server that is still at the end of the test before says no."""
    def done():
        text = ns.run("timeout", 15 * PATIENCE, "iperf3", "-n", "16M", "-J", *args, check=False)
        print(text)
        assert text or stalls, "it stands still"
        return text and '"error"' not in text
    wait_for(done, timeout=60, what=f"iperf3 {args}")


@pytest.mark.rows("B31", "A52")
@pytest.mark.skipif(not shutil.which("iperf3"), reason="iperf3 is not installed")
def test_iperf3(net, talkers, out):
    """Both directions, one of them by IPv6, out and by a published port."""
    start(net, out, *(("-p", "5202:5202") if out.own else ()))
    ns = namespace(net)
    stalls = out.name == "pasta"  # that of 2023, at times
    for args in (("-c", OUTSIDE), ("-c", OUTSIDE6, "-R")):
        iperf(ns, *args, stalls=stalls)
    server = ns.start("iperf3", "-s", "-p", 5202, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: ":5202" in ns.run("ss", "-Hltn"))
        for args in (("-c", HOST6), ("-c", HOST, "-R")):
            iperf(net.world.outside, "-p", 5202, *args, stalls=stalls)
    finally:
        server.kill()
        server.wait()


@pytest.mark.rows("B31")
def test_many_slow_and_half_closed(net, talkers, out):
    start(net, out)
    # pasta of 2023 stands still one window after our own end.
    until = "" if out.name == "pasta" else "end"
    assert inside(net, """
many = [connect(b"E") for _ in range(1000)]
for i, s in enumerate(many):
    s.sendall(b"%06d" % i)
for i, s in enumerate(many):
    assert s.recv(6) == b"%06d" % i, i
for s in many:
    s.close()

# Slow readers: of each more than any buffer holds; nobody else waits for them.
slow = [connect(b"D%08d" % (8 << 20)) for _ in range(5)]
time.sleep(0.1)
begin = time.monotonic()
with connect(b"E") as s:
    s.sendall(b"quick")
    assert s.recv(10) == b"quick"
assert time.monotonic() - begin < 10
for s in slow[:2]:
    assert len(read_all(s)) == 8 << 20
for s in slow:
    s.close()

# Half closed by the one, and by the other.
until = sys.argv.pop()
with connect(b"C") as s:
    s.sendall(bytes(3 << 20))
    s.shutdown(socket.SHUT_WR)
    data = read_all(s, 0 if until else 8)
    assert data[:8] == b"%08d" % (3 << 20) and len(data) == 8 + (3 << 20) or not until, (data[:8], len(data))
with connect(b"S") as s:
    assert read_all(s) == b"bye"
    time.sleep(0.1)
    s.sendall(bytes(300000))
end = time.monotonic() + 10
while (n := read_all(connect(b"L"))) != b"300000":
    assert time.monotonic() < end, n
    time.sleep(0.02)

for to in sys.argv[1:]:
    s = socket.socket(socket.AF_INET6 if ":" in to else socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(10)
    s.connect((to, 9001))
    for size in (1, 1400, 8000):
        s.send(bytes(size))
        assert len(s.recv(65536)) == size, (to, size)
print("well")""", OUTSIDE, OUTSIDE6, until) == "well\n"


PATH = """
for to in sys.argv[1:]:
    with connect(b"C", to) as s:
        s.sendall(bytes(100000))
        s.shutdown(socket.SHUT_WR)
        got = s.recv(8)
        assert got == b"%08d" % 100000, (to, got)
to = sys.argv[1]
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect((to, 9001))
s.settimeout(1)
for turn in range(5):
    try:
        s.send(b"C" * 1400)
        assert s.recv(100) == b"1400"
        break
    except (TimeoutError, OSError):
        pass
else:
    raise SystemExit("no datagram")
"""


@pytest.mark.rows("A56", "B31")
@pytest.mark.skipif(not shutil.which("nft"), reason="needs nft")
def test_smaller_mtu_on_the_path(net, talkers):
    """Of all drivers at once, as it takes its time. A router that says so is heard by the one who sends,
    whoever that is. A black hole is found by probing, where the host (of bridge: the container) has
    that on; nothing of ours makes it deeper."""
    net.world.host.run("sysctl", "-qw", "net.ipv4.tcp_mtu_probing=1")
    clients = {}
    for d in DRIVERS:
        if d.out and not usable(d):
            start(net, d, *(("--sysctl", "net.ipv4.tcp_mtu_probing=1") if d.own else ()), name=d.name)
            clients[d.name] = namespace(net, d.name).start(
                sys.executable, "-c", CLIENT + PATH, FAR, FAR6, HOLE, stderr=subprocess.PIPE, text=True)
    said = {name: p.communicate(timeout=60)[1] for name, p in clients.items()}
    assert not any(said.values()) and not any(p.returncode for p in clients.values()), said
    assert "slirp" in said or "host" in said


@pytest.mark.rows("B31")
def test_the_hosts_network_changes(net, own):
    """Another address and other routes, as after another Wi-Fi or a VPN: the container has its own, and
    goes out by what there is now."""
    if own.name == "pasta":
        return  # it has the host's addresses of its start
    up, late = net.world.host, "198.51.100.77"
    start(net, own)
    ask = ("exec", "c", "timeout", "10", "wget", "-qO-", f"http://{OUTSIDE}:8000/")
    try:
        assert HOST in net.ok(*ask).out
        up.ip("addr flush dev up0 scope global", f"addr add {late}/24 dev up0", f"addr add {HOST6}/64 dev up0 nodad")
        assert net(*ask).rc == 0  # on the same network, without any route
        up.ip(f"route replace default via {OUTSIDE}", f"route replace default via {OUTSIDE6} dev up0")
        assert late in net.ok(*ask).out
    finally:
        up.ip("addr flush dev up0 scope global", f"addr add {HOST}/24 dev up0", f"addr add {HOST6}/64 dev up0 nodad",
              f"route replace default via {OUTSIDE}", f"route replace default via {OUTSIDE6} dev up0")
    assert HOST in net.ok(*ask).out


# --- their death ---


@pytest.mark.rows("A56", "B17")
def test_killed_while_it_starts(net, own):
    """Whatever of a start there was when all who worked at it were killed, nothing of it stays."""
    for ms in (5, 15, 30):
        kill_start(net, ms, ("rootlet-supervise", "rootlet-net-helper", "rootlet-network"), *own.options(net))
    wait_for(lambda: not network_processes(net), what="the end of the network's processes")
    # Nor is a lease or a port taken: the next one has both.
    start(net, own, "-p", "8080:80")
    net.ok("exec", "c", "timeout", "5", "wget", "-qO-", f"http://{OUTSIDE}:8000/")
