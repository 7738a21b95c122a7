"""rootlet-net-helper(8): every abuse that its caller may try, and what it makes and removes."""
import concurrent.futures
import contextlib
import os
import pathlib
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import pytest

import firewalls
import helperlab
from lib import host, runner
from world import OUTSIDE, OUTSIDE6, wait_for

pytestmark = [pytest.mark.root, pytest.mark.skipif(not helperlab.BUILT.exists(), reason="built without the helper"),
              pytest.mark.skipif(not shutil.which("nft") or not shutil.which("curl"), reason="needs nft and curl")]
HERE = pathlib.Path(__file__).resolve().parent
BRIDGE = "bridge rlbr0 10.88.0.0/16 fd00:88::/64 masquerade"


@pytest.fixture(scope="module")
def alone(rootlet_base):
    made = helperlab.Helper(tempfile.mkdtemp(prefix="n", dir=rootlet_base))
    made.dir.chmod(0o755)
    yield made
    made.end()


@pytest.fixture
def lab(world, alone, users):
    """Two users on the host, and nothing of theirs afterwards."""
    made = Lab(world, alone, users)
    before = helperlab.links(world), helperlab.rules(world)
    yield made
    made.end()
    wait_for(lambda: "@if" not in helperlab.links(world).replace("up0@if", ""), what="the end of the veths")
    made.alice("gc")
    assert (helperlab.links(world), helperlab.rules(world)) == before


class Lab:
    def __init__(self, world, helper, users):
        self.world, self.helper = world, helper
        self.alice = helperlab.Caller(world, helper, users[0].uid, users[0].gid)
        self.bob = helperlab.Caller(world, helper, users[1].uid, users[1].gid)
        self.names = [u.name for u in users[:2]]
        self.containers = []
        helper.policy(BRIDGE, f"{self.names[0]} rlbr0 16 10.88.16.0/28 tcp:8000-8999 udp:8000-8099",
                      f"{self.names[1]} rlbr0 16 auto tcp:8000-8999")

    def container(self, who=None):
        c = (who or self.alice).container()
        self.containers.append(c)
        return c

    def end(self):
        for c in self.containers:
            c.end()


def listener(world, address="0.0.0.0", port=0, kind=socket.SOCK_STREAM):
    with world.host.entered():
        s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
    s.bind((address, port))
    if kind == socket.SOCK_STREAM:
        s.listen()
    return s


# --- what it makes ---


@pytest.mark.rows("A48", "A49", "A50", "A53", "B17", "B28", "B30")
def test_two_containers(lab):
    """Bridge with the gateway's address, a veth each, an address of the block each, and they talk
    with each other without translation."""
    a, b = lab.container().up(), lab.container().up()
    assert (a.ip, b.ip) == ("10.88.16.0", "10.88.16.1")
    assert a.answer["gateway"] == "10.88.0.1" and a.answer["gateway6"] == "fd00:88::1"
    brief = lab.world.host.run("ip", "-br", "addr", "show", "rlbr0")
    assert "10.88.0.1/16" in brief and "fd00:88::1/64" in brief
    ports = lab.world.host.run("bridge", "link")
    assert a.answer["slot"] in ports and b.answer["slot"] in ports
    assert "veth" in a.run("ip", "-d", "link", "show", "eth0")
    assert "default via 10.88.0.1" in a.run("ip", "route")
    for address in (b.ip, b.ip6, "10.88.0.1", "fd00:88::1"):
        assert a.pings(address), address
    server = b.start(sys.executable, "-c", "import socket; s = socket.create_server(('', 9000)); print('listens', flush=True);"
                     "print(s.accept()[1][0], flush=True)", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout.readline() == "listens\n"
        a.run(sys.executable, "-c", f"import socket; socket.create_connection(('{b.ip}', 9000), 3)")
        assert server.stdout.readline() == f"{a.ip}\n"
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


@pytest.mark.parametrize("on", ["0", "1"])
def test_bridged_packets_that_pass_by_iptables(lab, on):
    """As on hosts with docker: net.bridge.bridge-nf-call-iptables; and without."""
    keys = [f"net.bridge.bridge-nf-call-{t}" for t in ("iptables", "ip6tables")]
    was = lab.world.host.run("sysctl", "-n", *keys, check=False).split()
    if len(was) != 2:
        pytest.skip("without br_netfilter")
    lab.world.host.run("sysctl", "-w", *(f"{k}={on}" for k in keys))
    try:
        a, b, c = lab.container().up(), lab.container().up(), lab.container(lab.bob).up()
        assert a.pings(b.ip) and a.pings(b.ip6) and a.pings(OUTSIDE)
        assert not a.pings(c.ip, 0.5)
    finally:
        lab.world.host.run("sysctl", "-w", *(f"{k}={v}" for k, v in zip(keys, was)))


@pytest.mark.rows("A51")
def test_outside(lab):
    """Out by the host's address, in both families; the host forwards for these two devices only."""
    a = lab.container().up()
    for address, prefix in ((OUTSIDE, "198.51.100.1"), (OUTSIDE6, "2001:db8::1")):
        host_ = f"[{address}]" if ":" in address else address
        seen = a.run("curl", "-sS", "--max-time", "5", f"http://{host_}:8000/addr")
        assert prefix in seen, seen
    rules = helperlab.rules(lab.world)
    assert "masquerade" in rules and "table inet rootlet" in rules and "table bridge rootlet" in rules
    assert lab.world.host.run("sysctl", "-n", "net.ipv4.ip_forward").strip() == "0"
    assert lab.world.host.run("sysctl", "-n", "net.ipv4.conf.up0.forwarding").strip() == "1"
    slot = a.answer["slot"]
    a.end()
    wait_for(lambda: slot not in helperlab.links(lab.world))
    lab.alice.ok("gc")
    assert lab.world.host.run("sysctl", "-n", "net.ipv4.conf.up0.forwarding").strip() == "0"


@pytest.mark.rows("A52")
@pytest.mark.parametrize("bind", ["0.0.0.0", "::", "198.51.100.1"])
def test_published_port(lab, bind):
    """A client from outside reaches the container and is seen by its own address; the elements go
    with the slot."""
    a = lab.container()
    s = listener(lab.world, bind, 8080)
    answer = lab.alice.add(a, f"{s.fileno()}:80", fds=[s.fileno()])
    assert answer["by_kernel"][:1] == [1]
    a.configure(answer)
    server = a.start(sys.executable, HERE / "whoasks.py", "80", stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout.readline() == "ready\n"
        for to, me in (("198.51.100.1", OUTSIDE), ("[2001:db8::1]", OUTSIDE6)):
            if ":" in to and bind != "::":
                continue
            got = lab.world.outside.run("curl", "-sS", "--max-time", "5", f"http://{to}:8080/")
            assert me in got, got
    finally:
        server.kill()
        server.wait()
        server.stdout.close()
    name = "port6any" if bind == "::" else "port4any" if bind == "0.0.0.0" else "port4"
    assert "8080" in lab.world.host.run("nft", "list", "map", "inet", "rootlet", name)
    lab.alice.ok("publish", answer["slot"], f"{s.fileno()}:81", fds=[s.fileno()])
    assert "8080" in lab.world.host.run("nft", "list", "map", "inet", "rootlet", name)
    lab.alice.ok("del", answer["slot"])
    assert "rootlet" not in helperlab.rules(lab.world)
    s.close()


def test_only_granted_ports(lab):
    """What is not granted, or is for the host's own programs only, is left to the forwarder."""
    a = lab.container()
    socks = [listener(lab.world, "0.0.0.0", 9999), listener(lab.world, "127.0.0.1", 8080),
             listener(lab.world, "0.0.0.0", 8050, socket.SOCK_DGRAM), listener(lab.world, "0.0.0.0", 8200, socket.SOCK_DGRAM)]
    fds = [s.fileno() for s in socks]
    answer = lab.alice.add(a, *(f"{fd}:80" for fd in fds), fds=fds)
    assert answer["by_kernel"][:4] == [0, 0, 1, 0]
    lab.helper.policy(BRIDGE, f"{lab.names[0]} rlbr0 4 auto tcp:8000-8999 bind:198.51.100.1")
    other = listener(lab.world, "0.0.0.0", 8100)
    b = lab.container()
    answer = lab.alice.add(b, f"{other.fileno()}:80", fds=[other.fileno()])
    assert answer["by_kernel"][:1] == [0]
    for s in (*socks, other):
        s.close()


@pytest.mark.rows("A55", "A56")
def test_killed_container(lab):
    """Nothing of it stays but what the next call removes; and the port is not the next one's."""
    a = lab.container()
    s = listener(lab.world, "0.0.0.0", 8080)
    slot = lab.alice.add(a, f"{s.fileno()}:80", fds=[s.fileno()])["slot"]
    a.end()
    wait_for(lambda: slot not in helperlab.links(lab.world))
    assert "8080" in helperlab.rules(lab.world)  # a stale element
    b = lab.container().up()
    assert b.answer["slot"] == slot and b.ip == "10.88.16.0"
    assert "8080" not in helperlab.rules(lab.world)
    assert lab.world.host.run("nft", "list", "map", "inet", "rootlet", "lease4").count(slot) == 1
    s.close()


@pytest.mark.rows("A55", "A56")
def test_killed_among_others(lab):
    """What it leaves in the tables goes with anybody's next call; the others stay as they are."""
    a, b = lab.container(), lab.container(lab.bob).up()
    s = listener(lab.world, "0.0.0.0", 8080)
    slot = lab.alice.add(a, f"{s.fileno()}:80", fds=[s.fileno()])["slot"]
    a.end()
    wait_for(lambda: slot not in helperlab.links(lab.world))
    assert "8080" in helperlab.rules(lab.world) and slot in helperlab.rules(lab.world)
    lab.bob.ok("gc")
    rules = helperlab.rules(lab.world)
    assert "8080" not in rules and f'"{slot}"' not in rules and b.answer["slot"] in rules
    assert b.pings(OUTSIDE)
    s.close()


@pytest.mark.rows("A56")
def test_mtu_and_full_network(lab):
    """The uplink's MTU everywhere; and a full network says so."""
    lab.helper.policy("bridge rlbr0 10.99.0.0/30 masquerade", f"{lab.names[0]} rlbr0 4 auto")
    lab.world.host.run("ip", "link", "set", "up0", "mtu", "1400")
    try:
        a = lab.container().up()
        assert a.ip == "10.99.0.2"
        for text in (a.run("ip", "link", "show", "eth0"), lab.world.host.run("ip", "link", "show", "rlbr0"),
                     lab.world.host.run("ip", "link", "show", a.answer["slot"])):
            assert "mtu 1400" in text
        b = lab.container()
        lab.alice.refused("add", "rlbr0", b.fd, "eth0", fds=[b.fd], match="no free address on rlbr0")
        assert "eth0" not in b.run("ip", "link")
    finally:
        lab.world.host.run("ip", "link", "set", "up0", "mtu", "1500")


def test_wanted_address(lab):
    a, b = lab.container(), lab.container()
    assert lab.alice.add(a, "ip=10.88.16.5")["address"] == "10.88.16.5/16"
    lab.alice.refused("add", "rlbr0", b.fd, "eth0", "ip=10.88.16.5", fds=[b.fd], match="taken")
    lab.alice.refused("add", "rlbr0", b.fd, "eth0", "ip=10.88.17.5", fds=[b.fd], match="not in the block")
    c = lab.container(lab.bob)
    lab.bob.refused("add", "rlbr0", c.fd, "eth0", "ip=10.88.16.6", fds=[c.fd], match="not granted")
    assert lab.bob.add(c, "ip=10.88.3.3")["address"] == "10.88.3.3/16"


@pytest.mark.rows("A56")
def test_forwarding_cannot_be_switched_on(lab):
    """Read-only /proc/sys: it is said which switch, and nothing stays."""
    a = lab.container()
    script = 'mount --bind -o ro /proc/sys /proc/sys && exec setpriv --reuid "$0" --regid "$0" --clear-groups "$@"'
    with lab.world.host.entered():
        p = subprocess.run(["unshare", "-m", "sh", "-ec", script, str(lab.alice.uid), str(lab.helper.program), "add",
                            "rlbr0", str(a.fd), "eth0"], pass_fds=[a.fd], capture_output=True, text=True, check=False)
    assert p.returncode == 1 and "net.ipv4.conf.rlbr0.forwarding is 0" in p.stderr and "sysctl" in p.stderr, p


# --- users ---


@pytest.mark.rows("A56")
def test_quota(lab):
    lab.helper.policy(BRIDGE, f"{lab.names[0]} rlbr0 2 auto", f"{lab.names[1]} rlbr0 1 auto")
    lab.container().up(), lab.container().up()
    c = lab.container()
    lab.alice.refused("add", "rlbr0", c.fd, "eth0", fds=[c.fd], match="all 2 interfaces on rlbr0")
    lab.container(lab.bob).up()
    lab.alice.ok("del", lab.containers[0].answer["slot"])
    lab.alice.add(c)


def test_other_users_are_isolated(lab):
    """Neither on the bridge nor by way of the host."""
    a, b, c = lab.container().up(), lab.container(lab.bob).up(), lab.container(lab.bob).up()
    assert b.pings(c.ip) and b.pings(c.ip6)
    for address in (b.ip, b.ip6):
        assert not a.pings(address, 0.5)
    gateway = a.answer["gateway"]
    a.run("ip", "route", "add", f"{b.ip}/32", "via", gateway)
    assert not a.pings(b.ip, 0.5)
    a.run("ip", "route", "del", f"{b.ip}/32")
    # The rule is what does it.
    lab.world.host.run("nft", "insert", "rule", "bridge", "rootlet", "between", "accept")
    assert a.pings(b.ip)


HOSTS_CONNECT = "import socket,sys;socket.create_connection((sys.argv[1],80),3).close()"


def test_host_users(lab):
    """Of the host's accounts only root and the container's own reach what it has not published; unless
    net.conf opens the bridge."""
    a = lab.container().up()
    server = a.start(sys.executable, HERE / "whoasks.py", "80", stdout=subprocess.PIPE, text=True)

    def reaches(who, to):
        p = who.start("-c", HOSTS_CONNECT, to, program=sys.executable)
        err = p.communicate(timeout=30)[1]
        return p.returncode == 0 or err.decode()
    root = helperlab.Caller(lab.world, lab.helper, 0)
    try:
        assert server.stdout.readline() == "ready\n"
        for to in (a.ip, a.ip6):
            assert reaches(lab.alice, to) is True and reaches(root, to) is True
            assert "No route to host" in reaches(lab.bob, to) or "Permission denied" in reaches(lab.bob, to)
        b = lab.container(lab.bob)
        lab.bob.add(b)
        assert reaches(lab.bob, a.ip) is not True
        lab.helper.policy(BRIDGE + " host-users", f"{lab.names[0]} rlbr0 4 auto")
        lab.container().up()
        assert reaches(lab.bob, a.ip) is True and reaches(lab.bob, a.ip6) is True
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


def test_slots_of_others(lab):
    """A name is somebody's as a whole: not by its beginning (CVE-2026-39402)."""
    b = lab.container(lab.bob).up()
    slot = b.answer["slot"]
    for name in (slot, slot + "0", "lo", "rlbr0", "up0", slot[:-1], slot.upper(), "rl", "rl-0", "rl-", "../lo"):
        r = lab.alice("del", name)
        assert r.rc == 1, name
    assert slot in helperlab.links(lab.world)
    lab.bob.ok("del", slot)
    # A user whose number begins like another's.
    short = helperlab.Caller(lab.world, lab.helper, 40)    # rl14-
    long = helperlab.Caller(lab.world, lab.helper, 40 * 36)  # rl140-
    lab.helper.policy(BRIDGE, "40 rlbr0 2 auto", "1440 rlbr0 2 auto")
    c = lab.container(long).up()
    assert c.answer["slot"] == "rl140-0"
    short.refused("del", "rl140-0", match="no interface of this user")
    short.refused("del", "rl14-0-0", match="no interface of this user")
    long.ok("del", "rl140-0")


def test_policy_of_groups(lab):
    """Groups by name and number, each of their users with slots of his own; the name counts whole."""
    g = helperlab.Caller(lab.world, lab.helper, 70001, 70002)
    lab.helper.policy(BRIDGE, "@70002 rlbr0 1/user auto")
    assert lab.alice.ok("info")["bridges"] == []
    a = lab.container(g).up()
    other = lab.container(helperlab.Caller(lab.world, lab.helper, 70003, 70002)).up()
    assert a.ip != other.ip
    c = lab.container(g)
    g.refused("add", "rlbr0", c.fd, "eth0", fds=[c.fd], match="all 1 interfaces")
    name = lab.names[0]
    lab.helper.policy(BRIDGE, f"{name}x rlbr0 1 auto", f"{name[:-1]} rlbr0 1 auto")
    assert lab.alice.ok("info")["bridges"] == []
    d = lab.container()
    lab.alice.refused("add", "rlbr0", d.fd, "eth0", fds=[d.fd], match="no line of net.conf grants")


def test_in_parallel(lab):
    """Of 32 calls at once of each of two users exactly so many win as may."""
    lab.helper.policy(BRIDGE, f"{lab.names[0]} rlbr0 5 10.88.16.0/28", f"{lab.names[1]} rlbr0 7 auto")
    count = int(os.environ.get("HELPER_PARALLEL", "32"))
    who = [(lab.alice, lab.container(lab.alice)) for _ in range(count)] + [(lab.bob, lab.container(lab.bob)) for _ in range(count)]
    started = [(w, c, w.start("add", "rlbr0", c.fd, "eth0", fds=[c.fd])) for w, c in who]
    won = {lab.alice: [], lab.bob: []}
    for w, c, p in started:
        out, err = p.communicate(timeout=60)
        if p.returncode == 0:
            won[w].append(helperlab.Reader(out).answer())
        else:
            assert b"interfaces on rlbr0 that this user may have" in err, err
    assert len(won[lab.alice]) == 5 and len(won[lab.bob]) == 7
    every = won[lab.alice] + won[lab.bob]
    assert len({a["address"] for a in every}) == 12 and len({a["slot"] for a in every}) == 12
    assert lab.world.host.run("bridge", "link").count("master rlbr0") == 12
    assert lab.world.host.run("nft", "list", "map", "inet", "rootlet", "lease4").count("10.88.") == 12


def test_coming_and_going(lab):
    """The bridge is made and removed by some while others need it."""
    cycles = int(os.environ.get("HELPER_CYCLES", "6"))

    def life(who):
        c = who.container()
        try:
            for _ in range(cycles):
                a = who.add(c)
                assert a["slot"] and who("del", a["slot"]).rc == 0
        finally:
            c.end()
    # Threads would share the namespace that one of them has entered: processes.
    callers = [lab.alice, lab.bob] * 3
    pids = []
    for who in callers:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                life(who)
                code = 0
            except BaseException as e:  # pylint: disable=broad-exception-caught
                print(e, file=sys.stderr, flush=True)
            os._exit(code)
        pids.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(p, 0)[1]) for p in pids] == [0] * len(pids)
    assert "rlbr0" not in helperlab.links(lab.world)
    assert "rootlet" not in helperlab.rules(lab.world)


# --- abuse ---


def test_what_is_no_namespace(lab, tmp_path):
    a = lab.container()
    others = lab.container(lab.bob)
    pidfd = os.pidfd_open(a.proc.pid)
    memfd = os.memfd_create("x")
    file = os.open(tmp_path, os.O_RDONLY)
    userns = os.open(f"/proc/{a.proc.pid}/ns/user", os.O_RDONLY)
    hostns = os.open(lab.world.host.path, os.O_RDONLY)
    sock = socket.socket()
    cases = [(pidfd, "no network namespace"), (memfd, "no network namespace"), (file, "no network namespace"),
             (userns, "no network namespace"), (sock.fileno(), "no network namespace"),
             (hostns, "is the host's"), (others.fd, "belongs to another user")]
    for fd, match in cases:
        lab.alice.refused("add", "rlbr0", fd, "eth0", fds=[fd], match=match)
    lab.alice.refused("add", "rlbr0", 77, "eth0", match="descriptor 77 is not open")
    for word in ("0", "1", "2", "-1", "x", "99999999999", "+5", "05", "5 ", ""):
        assert lab.alice("add", "rlbr0", word, "eth0").rc == 1, word
    for fd in (pidfd, memfd, file, userns, hostns):
        os.close(fd)
    sock.close()
    assert "rl" not in helperlab.links(lab.world)


def test_root_is_no_exception(lab):
    """Root owns the host's namespace, and may not name it either."""
    root = helperlab.Caller(lab.world, lab.helper, 0)
    lab.helper.policy(BRIDGE, "root rlbr0 2 auto")
    hostns = os.open(lab.world.host.path, os.O_RDONLY)
    root.refused("add", "rlbr0", hostns, "eth0", fds=[hostns], match="is the host's")
    os.close(hostns)
    lab.container(root).up()


def test_what_is_no_proof_of_a_port(lab):
    a = lab.container()
    elsewhere = socket.create_server(("127.0.0.1", 0))  # another network namespace
    with lab.world.host.entered():
        loose = socket.socket()
        quiet = socket.socket()
        unix = socket.socket(socket.AF_UNIX)
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    quiet.bind(("0.0.0.0", 8081))
    file = os.memfd_create("x")
    cases = [(elsewhere.fileno(), "another network namespace"), (loose.fileno(), "listens"), (quiet.fileno(), "listens"),
             (unix.fileno(), "listens"), (raw.fileno(), "listens"), (file, "no socket"), (a.fd, "no socket")]
    for fd, match in cases:
        lab.alice.refused("add", "rlbr0", a.fd, "eth0", f"{fd}:80", fds=[a.fd, fd], match=match)
    for word in ("5", "5:", ":80", "5:0", "5:65536", "5:80:80", "x:80", "1:80"):
        assert lab.alice("add", "rlbr0", a.fd, "eth0", word, fds=[a.fd]).rc == 1, word
    os.close(file)
    for s in (elsewhere, loose, quiet, unix, raw):
        s.close()
    assert "eth0" not in a.run("ip", "link")


def test_arguments(lab):
    a = lab.container()
    for args in ((), ("",), ("x",), ("add",), ("add", "rlbr0"), ("add", "rlbr0", a.fd), ("add", "nobridge", a.fd, "eth0"),
                 ("add", "rlbr0", a.fd, "a-name-of-sixteen"), ("add", "rlbr0", a.fd, "../x"), ("add", "rlbr0", a.fd, "e th"),
                 ("add", "rlbr0", a.fd, "eth0\n"), ("add", "rlbr0", a.fd, "\x1b[31m"), ("del",), ("del", "a", "b"),
                 ("gc", "x"), ("info", "x"), ("add", "rlbr0", a.fd, "x" * 300), ["gc"] * 80,
                 ("publish", "rl0-0"), ("withdraw", "rl0-0", "tcp/80@0.0.0.0"), ("add", "rlbr0", a.fd, "eth0", "ip=::1"),
                 ("add", "%n", a.fd, "eth0"), ("add", "rlbr0", a.fd, "lo")):
        r = lab.alice(*args, fds=[a.fd])
        assert r.rc == 1 and not r.out and "\x1b" not in r.err and r.err.count("\n") == 1, (args, r)
    assert "rl" not in helperlab.links(lab.world)


def test_what_its_caller_leaves_it(lab):
    """Environment, closed descriptors, limits, signals, directory: nothing of it matters."""
    evil = {"LD_PRELOAD": "/tmp/evil.so", "GLIBC_TUNABLES": "glibc.malloc.mxfast=glibc.malloc.mxfast=A", "PATH": "",
            "LD_LIBRARY_PATH": "/tmp", "IFS": "x", "LC_ALL": "../../tmp"}

    def tight():
        resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (5, 5))
        for s in (signal.SIGALRM, signal.SIGPIPE, signal.SIGTERM):
            signal.signal(s, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals))
        os.umask(0)
        os.nice(10)
        os.chdir("/proc")
    for kw in ({"env": evil}, {"preexec_fn": tight}):
        c = lab.container()
        # A memory file, as the caller may have limited the size of files.
        assert lab.alice("add", "rlbr0", c.fd, "eth0", fds=[c.fd], **kw).rc == 0, kw
    for closed in range(8):
        c = lab.container()
        redirect = " ".join(f"{fd}>&-" for fd in range(3) if closed >> fd & 1)
        p = lab.alice.start("-c", f'exec "$0" add rlbr0 {c.fd} eth0 {redirect}', lab.helper.program, program="sh", fds=[c.fd])
        _, err = p.communicate(timeout=20)
        assert p.returncode == 0, (closed, err)
        assert "eth0" in c.run("ip", "link"), closed


def test_what_it_holds(lab):
    """One capability, no way to another, a filter of system calls. It is looked at while it waits for
    somebody to read its answer."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    with contextlib.suppress(BlockingIOError):
        while os.write(write, b"x" * 4096):
            pass
    os.set_blocking(write, True)
    for setuid in (False, True):
        h = lab.helper
        if setuid:
            h = helperlab.Helper(tempfile.mkdtemp(prefix="n", dir=h.dir.parent), setuid=True)
            h.dir.chmod(0o755)
            h.policy(lab.helper.conf.read_bytes())
        caller = helperlab.Caller(lab.world, h, lab.alice.uid, lab.alice.gid)
        p = caller.start("info", stdout=write)

        def status():
            with open(f"/proc/{p.pid}/status", encoding="ascii") as f:
                return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
        wait_for(lambda: status().get("Seccomp") == "2")
        got = status()
        for name in ("CapPrm", "CapEff"):
            assert int(got[name], 16) == helperlab.CAPABILITY, (setuid, name, got[name])
        for name in ("CapInh", "CapAmb"):
            assert int(got[name], 16) == 0
        assert got["NoNewPrivs"] == "1"
        assert set(got["Uid"].split()) == {str(caller.uid)} and set(got["Gid"].split()) == {str(caller.gid)}
        assert os.stat(f"/proc/{p.pid}/status").st_uid == 0  # not dumpable
        p.kill()
        p.communicate()
        if setuid:
            c = lab.container(caller)
            c.up()
            assert c.pings("10.88.0.1")
            h.end()
    os.close(read)
    os.close(write)


def test_without_its_capability(lab):
    subprocess.run(["setcap", "-r", str(lab.helper.program)], check=True)
    try:
        lab.alice.refused("info", match="setcap cap_net_admin+ep")
    finally:
        subprocess.run(["setcap", "cap_net_admin+ep", str(lab.helper.program)], check=True)


POLICIES = [
    (b"", None), (b"\n\n# only a comment\n", None), (b"bridge\n", "line 1: want bridge NAME NETWORK"),
    (b"bridge rlbr0 10.88.0.0/16\r\n", "line 1: byte 0x0d"), (b"bridge rlbr0 10.88.0.0/16\0\n", "byte 0x00"),
    (b"bridge rlbr0 10.88.0.1/16\n", "want an IPv4 network"), (b"bridge rl14-0 10.88.0.0/16\n", "name of a bridge"),
    (b"bridge ../x 10.88.0.0/16\n", "name of a bridge"), (b"bridge rlbr0 10.88.0.0/16 fast\n", "is no option of a bridge"),
    (b"bridge rlbr0 10.88.0.0/16 fd00::/112\n", "IPv6 network of 16 to 96"), (b"include /etc/passwd\n", "want USER BRIDGE"),
    (b"bridge a 10.0.0.0/8\nbridge b 10.1.0.0/16\n", "line 2: the networks of a and b overlap"),
    (b"bridge a 10.0.0.0/8\nbridge a 11.0.0.0/8\n", "stands there twice"),
    (b"alice rlbr0 4 auto\n", "no line above describes"),
    (b"bridge a 10.0.0.0/8\nalice a 0 auto\n", "want 1 to"), (b"bridge a 10.0.0.0/8\nalice a 4096x auto\n", "want 1 to"),
    (b"bridge a 10.0.0.0/8\nalice a 4/user auto\n", "want a number of slots"),
    (b"bridge a 10.0.0.0/8\n@dev a 4 auto\n", "want N/user"), (b"bridge a 10.0.0.0/8\n@dev a 4/user 10.1.0.0/16\n", "want auto"),
    (b"bridge a 10.0.0.0/8\nalice a 4 11.0.0.0/30\n", "part of the bridge's network"),
    (b"bridge a 10.0.0.0/8\nalice a 8 10.1.0.0/30\n", "no room for 8 slots"),
    (b"bridge a 10.0.0.0/8\nalice a 4 10.0.0.0/24\n", "the gateway's"),
    (b"bridge a 10.0.0.0/24\nalice a 16 10.0.0.240/28\n", "broadcast"),
    (b"bridge a 10.0.0.0/8\nalice a 4 10.1.0.0/24\nbob a 4 10.1.0.0/16\n", "line 3: the block of bob overlaps"),
    (b"bridge a 10.0.0.0/8\nalice a 4 auto tcp:80-70\n", "no range of ports"),
    (b"bridge a 10.0.0.0/8\nalice a 4 auto tcp:0-70\n", "no range of ports"),
    (b"bridge a 10.0.0.0/8\nalice a 4 auto sctp:80\n", "grants nothing"),
    (b"bridge a 10.0.0.0/8\nalice a 4 auto bind:x\n", "is no address"), (b"x" * 1100 + b"\n", "longer than"),
    (b"#" * 65537, "larger than"), (b"\n" * 65536, None),
]


def test_policy(lab):
    """One line that is not understood, and nothing is granted to anybody."""
    for text, match in POLICIES:
        lab.helper.policy(text)
        if match:
            lab.alice.refused("info", match=match)
        else:
            assert lab.alice.ok("info")["bridges"] == []


def test_policy_that_others_write(lab, tmp_path):
    good = (BRIDGE, f"{lab.names[0]} rlbr0 2 auto")
    for mode in (0o664, 0o646, 0o666):
        lab.helper.policy(*good, mode=mode)
        lab.alice.refused("info", match="only root can write")
    lab.helper.policy(*good)
    os.chown(lab.helper.conf, lab.alice.uid, 0)
    lab.alice.refused("info", match="belongs to root")
    lab.helper.conf.unlink()
    real = tmp_path / "real"
    real.write_text("")
    lab.helper.conf.symlink_to(real)
    lab.alice.refused("info", match="symbolic link")
    lab.helper.conf.unlink()
    os.mkfifo(lab.helper.conf)
    lab.alice.refused("info", match="belongs to root")
    lab.helper.conf.unlink()
    lab.alice.refused("info", match="granted to anybody", rc=3)


def test_bridge_that_net_conf_knows_no_more(lab):
    c = lab.container()
    lab.alice.add(c)
    lab.helper.policy("bridge rlbr1 10.89.0.0/16", f"{lab.names[0]} rlbr1 4 auto")
    gone(lab, c)
    lab.alice.ok("gc")
    assert "rlbr0" not in helperlab.links(lab.world) and "rootlet" not in helperlab.rules(lab.world) and not forwards(lab)


def test_foreign_bridge_and_table(lab):
    """A device or a table of the names that somebody else made is none of ours."""
    a = lab.container()
    lab.world.host.run("ip", "link", "add", "rlbr0", "type", "bridge")
    lab.alice.refused("add", "rlbr0", a.fd, "eth0", fds=[a.fd], match="rootlet has not made")
    lab.alice.ok("gc")
    assert "rlbr0" in helperlab.links(lab.world)
    lab.world.host.run("ip", "link", "del", "rlbr0")
    lab.world.host.run("nft", "add", "table", "inet", "rootlet")
    lab.alice.refused("add", "rlbr0", a.fd, "eth0", fds=[a.fd], match="another version or owner")
    lab.alice.ok("gc")
    assert "rootlet" in helperlab.rules(lab.world)
    lab.world.host.run("nft", "delete", "table", "inet", "rootlet")
    assert "eth0" not in a.run("ip", "link")


def test_spoofing(lab):
    """Frames that claim another address, card or role do not get through; honest ones do."""
    a, b = lab.container().up(), lab.container().up()
    assert a.pings(b.ip) and a.pings(b.ip6)
    sniffers = [b.start(sys.executable, HERE / "spoof.py", "listen", "eth0", "honestarp", stdout=subprocess.PIPE, text=True)]
    with lab.world.host.entered():
        sniffers.append(subprocess.Popen([sys.executable, HERE / "spoof.py", "listen", "rlbr0", "honestarp"], stdout=subprocess.PIPE, text=True))
    for s in sniffers:
        assert s.stdout.readline() == "ready\n"
    sent = a.run(sys.executable, HERE / "spoof.py", "send", "eth0", a.answer["mac"], a.ip, a.ip6, b.answer["mac"], b.ip, b.ip6)
    heard = []
    for s in sniffers:
        heard.append(set(s.communicate(timeout=60)[0].split()))
    names = set(sent.split())
    assert {"honest4", "honest6", "honestarp"} <= heard[0] & names, heard
    for h in heard:
        assert not {n for n in h if not n.startswith("honest")}, h


# --- its death ---


def traced(lab, *options, args, fds=(), who=0):
    """The helper under strace, as a user."""
    return subprocess.Popen(["strace", *options, "-u", lab.names[who], str(lab.helper.program), *map(str, args)], pass_fds=fds,
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@contextlib.contextmanager
def stopped(lab, name, n, args, fds=(), who=0):
    """It stands still at a system call meanwhile, if it makes so many; then it goes on to its end, which is yielded."""
    with tempfile.NamedTemporaryFile("r", encoding="utf-8", errors="replace") as out:
        with lab.world.host.entered():
            p = traced(lab, "-o", out.name, "-e", f"inject={name}:signal=STOP:when={n}", args=args, fds=fds, who=who)

        def stands():
            out.seek(0)
            return "stopped by SIGSTOP" in out.read()
        wait_for(lambda: stands() or p.poll() is not None)
        try:
            yield p
        finally:
            with contextlib.suppress(OSError), open(f"/proc/{p.pid}/task/{p.pid}/children", encoding="ascii") as f:
                for pid in f.read().split():
                    os.kill(int(pid), signal.SIGCONT)
            p.wait(60)


def syscalls(lab, *args, fds=()):
    """The system calls of a call, each with how often it has been called by then: strace counts by name."""
    with tempfile.NamedTemporaryFile("r", encoding="utf-8", errors="replace") as out, lab.world.host.entered():
        assert traced(lab, "-o", out.name, args=args, fds=fds).wait() == 0
        calls, seen = [], {}
        for line in out:
            name = line.split("(")[0]
            if name.isidentifier():
                seen[name] = seen.get(name, 0) + 1
                calls.append((name, seen[name]))
        return calls[1:]


def chosen(calls, share=1):
    """HELPER_KILLS=10000 takes all of them."""
    n = max(min(len(calls), int(os.environ.get("HELPER_KILLS", "12")) // share), 1)
    return [calls[i * len(calls) // n] for i in range(n)]


def gone(lab, c):
    """The container's end."""
    c.end()
    wait_for(lambda: "@if" not in helperlab.links(lab.world).replace("up0@if", ""))


def forwards(lab):
    return lab.world.host.run("sysctl", "-n", "net.ipv4.conf.up0.forwarding").strip() == "1"


needs_strace = pytest.mark.skipif(not os.path.exists("/usr/bin/strace"), reason="strace is not installed")


@pytest.mark.rows("A56")
@needs_strace
@pytest.mark.timeout(900)
def test_killed_at_any_moment(lab):
    """SIGKILL at a system call; the next call works while the first one's container still lives, and at
    the end nothing is left."""
    c = lab.container()
    s = listener(lab.world, "0.0.0.0", 8080)
    port = f"{s.fileno()}:80"
    points = chosen(syscalls(lab, "add", "rlbr0", c.fd, "eth0", port, fds=[c.fd, s.fileno()]))
    c.end()
    killed = 0
    for name, n in points:
        c, d = lab.container(), lab.container()
        with lab.world.host.entered():
            p = traced(lab, "-o", "/dev/null", "-e", f"inject={name}:signal=KILL:when={n}", args=("add", "rlbr0", c.fd, "eth0", port),
                       fds=[c.fd, s.fileno()])
        killed += p.wait() != 0
        d.configure(lab.alice.add(d))
        assert d.pings("10.88.0.1"), (name, n)
        c.end()
        gone(lab, d)
        lab.alice.ok("gc")
        assert "rlbr0" not in helperlab.links(lab.world), (name, n)
        assert "rootlet" not in helperlab.rules(lab.world), (name, n)
        assert not forwards(lab), (name, n)
    assert killed >= len(points) * 9 // 10
    s.close()


def dead(lab):
    """What a killed container leaves."""
    c = lab.container()
    lab.alice.add(c)
    gone(lab, c)
    assert forwards(lab)


@pytest.mark.rows("A56")
@needs_strace
@pytest.mark.timeout(900)
def test_removal_killed_at_any_moment(lab):
    """The next one finishes it: devices, rules, and the uplink's forwarding."""
    dead(lab)
    for name, n in chosen(syscalls(lab, "gc")):
        dead(lab)
        with lab.world.host.entered():
            traced(lab, "-o", "/dev/null", "-e", f"inject={name}:signal=KILL:when={n}", args=["gc"]).wait()
        lab.alice.ok("gc")
        assert "rlbr0" not in helperlab.links(lab.world), (name, n)
        assert "rootlet" not in helperlab.rules(lab.world), (name, n)
        assert not forwards(lab), (name, n)


@pytest.mark.rows("A56")
@needs_strace
@pytest.mark.timeout(900)
def test_removal_stopped_at_any_moment(lab):
    """Somebody else's container comes meanwhile: it keeps its network when the removal goes on."""
    a = lab.container()
    lab.alice.add(a)
    # As when it was killed after it had switched that off.
    lab.world.host.run("sysctl", "-qw", "net.ipv4.conf.up0.forwarding=0")
    lab.bob.ok("gc")
    assert forwards(lab)
    gone(lab, a)
    for name, n in chosen([c for c in syscalls(lab, "gc") if c[0] in ("sendto", "write")], 2):
        dead(lab)
        with stopped(lab, name, n, ["gc"]):
            b = lab.container(lab.bob).up()
        assert forwards(lab) and b.pings(OUTSIDE) and b.pings("10.88.0.1"), (name, n)
        gone(lab, b)
        lab.bob.ok("gc")
        assert not forwards(lab), (name, n)


def test_another_uplink(lab):
    """The host moves to another device: what runs has its way out again with the next call, of whoever it is."""
    host, outside = lab.world.host, lab.world.outside
    a = lab.container().up()
    host.ip("link add up1 type veth peer name down1", f"link set down1 netns {outside.proc.pid}",
            "addr add 203.0.113.1/24 dev up1", "link set up1 up")
    try:
        outside.ip("addr add 203.0.113.2/24 dev down1", "link set down1 up", "addr add 192.0.2.77/32 dev lo")
        host.ip(f"route del default via {OUTSIDE}", "route add default via 203.0.113.2")
        assert not a.pings("192.0.2.77", 1)
        lab.bob.ok("gc")
        assert a.pings("192.0.2.77")
        a.end()
        wait_for(lambda: a.answer["slot"] not in helperlab.links(lab.world))
        lab.bob.ok("gc")
        for device in ("up0", "up1"):
            assert host.run("sysctl", "-n", f"net.ipv4.conf.{device}.forwarding") == "0\n"
    finally:
        host.run("ip", "route", "replace", "default", "via", OUTSIDE)
        outside.run("ip", "addr", "del", "192.0.2.77/32", "dev", "lo", check=False)
        host.ip("link del up1")


def test_stopped_helper_holds_nothing(lab):
    """Who stops a helper in the middle keeps nobody from working."""
    c = lab.container(lab.bob)
    with lab.world.host.entered():
        stopped = [subprocess.Popen(["strace", "-o", "/dev/null", "-e", f"inject=sendto:signal=STOP:when={n}", "-u", lab.names[1],
                                     str(lab.helper.program), "gc"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                    start_new_session=True) for n in (3, 6, 9)]
    try:
        time.sleep(0.3)
        a = lab.container().up()
        assert a.pings("10.88.0.1")
        lab.bob.add(c)
    finally:
        for p in stopped:
            os.killpg(p.pid, signal.SIGCONT)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(p.pid, signal.SIGKILL)
            p.wait()
    assert a.pings("10.88.0.1")


# --- other firewalls ---


@pytest.mark.rows("A56")
@pytest.mark.parametrize("name,notice,cure", [
    ("docker.iptables", {"table": "filter", "chain": "FORWARD", "family": 4, "docker": 1},
     ["insert rule ip filter DOCKER-USER iifname rlbr0 accept", "insert rule ip filter DOCKER-USER oifname rlbr0 accept"]),
    ("firewalld.nft", {"table": "firewalld", "chain": "filter_FORWARD", "family": 0, "docker": 0}, None),
    ("firewalld", {"table": "firewalld", "chain": "filter_FORWARD", "family": 0, "docker": 0}, "firewalld-trusted"),
    (firewalls.OWN, {"table": "mine", "chain": "fw", "family": 0, "docker": 0},
     ["insert rule inet mine fw iifname rlbr0 accept", "insert rule inet mine fw oifname rlbr0 accept"]),
], ids=["docker", "firewalld-default", "firewalld", "own"])
def test_other_firewalls(lab, name, notice, cure):
    """Rules as docker and firewalld make them: not a byte of them is changed, who will drop packets is
    named, and what helps helps."""
    with firewalls.Loaded(lab.world.host, name) as other:
        before = other.listed()
        a = lab.container().up()
        assert a.answer["notices"] == [notice], a.answer

        def passes(c, seconds=20):
            return "198.51.100.1" in c.run("curl", "-sS", "--max-time", seconds, f"http://{OUTSIDE}:8000/addr", check=False)
        assert passes(a, 1 if cure else 20) == (cure is None)
        assert other.listed() == before
        if isinstance(cure, list):
            for rule in cure:
                lab.world.host.run("nft", *rule.split())
        elif cure:
            other.replace(cure)  # firewalld makes its table anew
        before = other.listed()
        assert passes(a)
        b = lab.container().up()
        assert passes(b) and b.answer["notices"] == ([] if cure else [notice])
        for c in (a, b):
            lab.alice.ok("del", c.answer["slot"])
        assert other.listed() == before


def test_very_many_rules_of_others(lab):
    """Of a rule set without end so much is looked at as does not hold a container up."""
    chains = "".join(f"chain c{i} {{\n" + f"ip saddr 192.0.2.{i % 250} accept\n" * 400 + "}\n" for i in range(100))
    with firewalls.Loaded(lab.world.host, "table inet mine {\nchain fw { type filter hook forward priority 0; policy drop; }\n" + chains + "}\n"):
        c = lab.container()
        started = time.monotonic()
        assert [n["table"] for n in lab.alice.add(c)["notices"]] == ["mine"]
        assert time.monotonic() - started < 15 * runner.PATIENCE
