"""User networks: members reach each other by address and name, and nobody else; leases cannot leak."""
import contextlib
import json
import os
import pathlib
import re
import select
import shutil
import signal
import subprocess
import sys
import time

import pytest

from lib import host, runner
from world import HOST, OUTSIDE, OUTSIDE6, wait_for

SLEEP = ("sleep", "100000")
SPOOF = pathlib.Path(__file__).with_name("spoof.py")


def create(net, name, *options):
    net.ok("network", "create", *options, name)
    return name


def start(net, name, *options, command=SLEEP):
    return net.ok("run", "-d", "--name", name, *options, net.image(), *command).text


def interfaces(net, name):
    cid = net.inspect(name)["Id"]
    state = json.loads((net.store.root / "containers" / cid / "state.json").read_text())
    return {i["network"]: i for i in state["network"]["interfaces"]}


def address(net, name, network="n", key="address"):
    return interfaces(net, name)[network][key].split("/")[0]


def look(net, name, what, *options):
    """The addresses that a container is told."""
    r = net("exec", name, "nslookup", *options, what)
    return re.findall(r"^Address(?: \d+)?: (\S+)", r.out.split("\n\n", 1)[-1], re.M)


def managers(net):
    """Processes of networks, by the network: the manager first."""
    found = {}
    for pid, _ in sorted(net.user.processes().items()):
        with contextlib.suppress(OSError, ValueError):
            argv = open(f"/proc/{pid}/cmdline", "rb").read().split(b"\0")
            if os.path.basename(argv[0]) == b"rootlet-network":
                found.setdefault(argv[1].decode(), []).append(pid)
    return {name: sorted(pids, key=lambda p: (parent(p) in pids, p)) for name, pids in found.items()}


def replaced(net, name, old):
    """Whether other processes than these are the network's: a manager and what looks names up for it."""
    now = managers(net).get(name, [])
    return len(now) == 2 and now[0] not in old


def parent(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
            return int(f.read().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def supervisor(net, name):
    cid = net.inspect(name)["Id"]
    return json.loads((net.store.root / "containers" / cid / "state.json").read_text())["supervisor_pid"]


def inside(net, name, script, *args, timeout=60):
    """Python of the machine in a container's network namespace."""
    pid = net.inspect(name)["State"]["Pid"]
    r = subprocess.run(["nsenter", "-t", str(pid), "-n", sys.executable, "-c", script, *map(str, args)],
                       capture_output=True, text=True, timeout=timeout, check=False)
    assert r.returncode == 0, f"{r.stdout}\n{r.stderr}"
    return r.stdout


ECHO = """import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 5353))
print("ready", flush=True)
data, client = s.recvfrom(100)
s.sendto(data, client)
"""
ASK = """import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(30)
s.sendto(b"over udp", (sys.argv[1], 5353))
print(s.recv(100).decode())
"""
SERVE = ("sh", "-c", "hostname > /tmp/name; cd /tmp; httpd -p 80; sleep 100000")


@pytest.mark.rows("A49", "B28")
def test_members_reach_each_other(net):
    create(net, "n")
    one = start(net, "one", "--network", "n:alias=web", "--hostname", "h1", command=SERVE)
    two = start(net, "two", "--network", "n", "--network-alias", "web", "--hostname", "h2", command=SERVE)
    ask = start(net, "ask", "--network", "n")
    a1, a2 = address(net, "one"), address(net, "two")
    assert a1.startswith("10.89.") and a1 != a2
    for name, want in (("one", a1), ("two", a2), (one[:12], a1), (two[:12], a2), ("one.rootlet", a1), ("ONE", a1)):
        assert look(net, "ask", name) == [want], name
    for name in ("one.n", "ONE.N", "one.dns.podman", f"{one[:12]}.n"):
        assert look(net, "ask", name) == [a1], name
    for name in ("one.m", "one.n.n", "nosuch.n"):  # names of the world
        assert OUTSIDE in look(net, "ask", name), name
    assert look(net, "ask", "nosuch.dns.podman") == [] == look(net, "ask", "nosuch.rootlet")
    assert sorted(look(net, "ask", "web.n")) == sorted([a1, a2])
    assert look(net, "two", ask[:12]) == [address(net, "ask")]
    # An alias of two: both, and each comes first in its turn.
    firsts = set()
    for _ in range(4):
        both = look(net, "ask", "web")
        assert sorted(both) == sorted([a1, a2])
        firsts.add(both[0])
    assert firsts == {a1, a2}
    assert "name = one" in net.ok("exec", "ask", "nslookup", a1).out
    assert net.ok("exec", "ask", "wget", "-qO-", f"http://{a1}/name").text == "h1"
    assert net.ok("exec", "ask", "wget", "-qO-", "http://two/name").text == "h2"
    pid = net.inspect("two")["State"]["Pid"]
    with subprocess.Popen(["nsenter", "-t", str(pid), "-n", sys.executable, "-c", ECHO], stdout=subprocess.PIPE) as p:
        p.stdout.readline()
        assert inside(net, "ask", ASK, a2) == "over udp\n"
    assert "1 packets received" in net.ok("exec", "--privileged", "ask", "ping", "-c", "1", "-W", "5", "one").out
    servers = net.ok("exec", "ask", "cat", "/etc/resolv.conf").out
    assert re.findall(r"^nameserver (.*)", servers, re.M) == [interfaces(net, "ask")["n"]["gateway"]]
    # Who has gone has no name any more.
    net.ok("rm", "-f", "-t", "0", "two")
    assert look(net, "ask", "web") == [a1] and look(net, "ask", "two.rootlet") == []


@pytest.mark.rows("B28")
def test_networks_are_apart(net):
    create(net, "n")
    create(net, "m", "--subnet", "10.90.0.0/24")
    start(net, "one", "--network", "n", command=SERVE)
    start(net, "two", "--network", "m")
    a1 = address(net, "one")
    assert look(net, "two", "one.rootlet") == []
    assert net("exec", "two", "timeout", "1", "wget", "-qO-", f"http://{a1}/name").rc != 0
    # In both: an interface each, the way out of the first.
    start(net, "both", "--network", "n", "--network", "m:ip=10.90.0.50")
    assert list(interfaces(net, "both")) == ["n", "m"]
    assert address(net, "both", "m") == "10.90.0.50"
    text = net.ok("exec", "both", "ip", "-o", "-4", "addr").out
    assert re.search(r"eth0 +inet 10\.89", text) and re.search(r"eth1 +inet 10\.90", text)
    routes = net.ok("exec", "both", "ip", "route").out
    assert re.search(r"default via 10\.89\.\d+\.1 dev eth0 +metric 100 ", routes)
    assert net.ok("exec", "both", "wget", "-qO-", f"http://{a1}/name").out
    assert look(net, "two", "both") == ["10.90.0.50"]
    # A router it is not: what one of its networks sends to the other stays where it is.
    assert net("exec", "two", "sh", "-c",
               f"ip route add {a1} via 10.90.0.50; timeout 1 wget -qO- http://{a1}/name").rc != 0


@pytest.mark.rows("B28")
def test_members_of_two_networks_are_named_in_both(net):
    create(net, "n")
    create(net, "m", "--internal")
    start(net, "one", "--network", "n")
    start(net, "two", "--network", "m")
    start(net, "both", "--network", "n", "--network", "m")
    assert look(net, "both", "one") == [address(net, "one")]
    assert look(net, "both", "two") == [address(net, "two", "m")] == look(net, "both", "two.m")
    # In both: its network's name tells which address is meant.
    start(net, "mid", "--network", "m", "--network", "n")
    assert look(net, "both", "mid.n") == [address(net, "mid")] and look(net, "both", "mid.m") == [address(net, "mid", "m")]
    assert address(net, "two", "m") not in look(net, "one", "two.m")


@pytest.mark.rows("B28")
def test_internal(net):
    create(net, "n", "--internal")
    start(net, "one", "--network", "n", command=SERVE)
    start(net, "two", "--network", "n")
    assert "default" not in net.ok("exec", "two", "ip", "route").out
    assert net("exec", "two", "timeout", "1", "wget", "-qO-", f"http://{OUTSIDE}:8000/").rc != 0
    assert net.ok("exec", "two", "wget", "-qO-", "http://one/name").out
    assert "NXDOMAIN" in net("exec", "two", "nslookup", "outside.test").out
    assert not [p for p in net.user.processes().values() if "rootlet-slirp" in p]


@pytest.mark.rows("B28")
def test_ipv6(net):
    create(net, "n", "--ipv6")
    start(net, "one", "--network", "n", command=SERVE)
    start(net, "two", "--network", "n")
    six = address(net, "one", key="address6")
    assert six.startswith("fd")
    assert six in look(net, "two", "one")
    assert net.ok("exec", "two", "wget", "-qO-", f"http://[{six}]/name").out
    create(net, "o", "--ipv6")
    start(net, "three", "--network", "o")
    assert address(net, "three", "o", "address6").rpartition(":")[0] != six.rpartition(":")[0]


@pytest.mark.rows("B28")
def test_addresses_end_and_come_again(net):
    create(net, "n", "--subnet", "10.91.0.0/29", "--internal")
    for i in range(5):
        start(net, f"c{i}", "--network", "n")
    assert [address(net, f"c{i}") for i in range(5)] == [f"10.91.0.{i}" for i in range(2, 7)]
    net.fails("run", "--rm", "--network", "n", net.image(), "true",
              match=r"network n: no free address in 10\.91\.0\.0/29\nhint: 5 containers")
    net.ok("rm", "-f", "-t", "0", "c1", "c2")
    start(net, "d", "--network", "n")
    assert address(net, "d") == "10.91.0.3"
    net.ok("rm", "-f", "-t", "0", "d")
    # Not the same at once: who has just asked for d's name shall not talk to its successor.
    start(net, "e", "--network", "n")
    assert address(net, "e") == "10.91.0.4"


@pytest.mark.rows("B28")
def test_wanted_addresses(net):
    create(net, "n", "--subnet", "10.92.0.0/24", "--internal")
    start(net, "one", "--network", "n", "--ip", "10.92.0.77", "--mac-address", "02:00:00:00:00:07")
    assert "10.92.0.77/24" in net.ok("exec", "one", "ip", "addr").out
    assert "02:00:00:00:00:07" in net.ok("exec", "one", "ip", "link").out
    net.fails("run", "--rm", "--network", "n", "--ip", "10.92.0.77", net.image(), "true",
              match="address 10.92.0.77 is in use by container one")
    net.fails("run", "--rm", "--network", "n", "--mac-address", "02:00:00:00:00:07", net.image(), "true",
              match="the card address is in use by container one")
    for bad in ("10.92.1.5", "10.92.0.1", "10.92.0.0", "10.92.0.255"):
        net.fails("run", "--rm", "--network", "n", "--ip", bad, net.image(), "true", match=bad)
    net.ok("rm", "-f", "-t", "0", "one")
    start(net, "two", "--network", "n", "--ip", "10.92.0.77")


@pytest.mark.rows("B28")
def test_connect_and_disconnect(net):
    create(net, "n", "--internal")
    create(net, "m")
    start(net, "one", "--network", "n")
    start(net, "two", "--network", "m", command=SERVE)
    net.ok("network", "connect", "--alias", "late", "m", "one")
    assert list(interfaces(net, "one")) == ["n", "m"]
    a2 = address(net, "two", "m")
    assert net.ok("exec", "one", "wget", "-qO-", f"http://{a2}/name").out
    assert look(net, "two", "late") == [address(net, "one", "m")]
    net.ok("network", "disconnect", "n", "one")
    assert list(interfaces(net, "one")) == ["m"]
    assert "eth0" not in net.ok("exec", "one", "ip", "link").out
    assert "default via" in net.ok("exec", "one", "ip", "route").out
    servers = re.findall(r"^nameserver (.*)", net.ok("exec", "one", "cat", "/etc/resolv.conf").out, re.M)
    assert servers == [interfaces(net, "one")["m"]["gateway"]]
    assert look(net, "one", "two") == [a2]
    net.ok("network", "disconnect", "m", "one")
    assert look(net, "two", "late.rootlet") == []


@pytest.mark.rows("A48", "B28")
def test_networks_change_under_traffic(net):
    """What goes over one network does not stop while the others come and go; what went over those ends."""
    for name in ("n", "m"):
        create(net, name, "--internal")
    count = "import socket, sys\ns = socket.create_connection((sys.argv[1], 7000), 20)\nn = 0\nwhile True:\n" \
            "    d = s.recv(1 << 16)\n    assert d\n    n += len(d)\n    if n > 1 << 20:\n        print(n, flush=True)\n        n = 0\n"
    start(net, "one", "--network", "n", "--network", "m", command=("sh", "-c", "while :; do nc -l -p 7000 -e cat /dev/zero; done"))
    start(net, "two", "--network", "n")
    pid = net.inspect("two")["State"]["Pid"]
    with subprocess.Popen(["nsenter", "-t", str(pid), "-n", sys.executable, "-c", count, address(net, "one")],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as p:
        try:
            for _ in range(5):
                assert p.stdout.readline()
                net.ok("network", "connect", "m", "two")
                other = address(net, "one", "m")
                assert look(net, "two", "one.m") == [other] and p.stdout.readline()
                net.ok("network", "disconnect", "m", "two")
                assert net("exec", "two", "timeout", "1", "nc", "-w", "1", other, "7000").rc != 0
                assert p.stdout.readline() and p.poll() is None
            net.ok("network", "disconnect", "n", "two")
            # What had come already is still read, then there is nothing more.
            wait_for(lambda: not select.select([p.stdout], [], [], 1)[0] or not os.read(p.stdout.fileno(), 1 << 16), what="silence")
            assert p.poll() is None
        finally:
            p.kill()
    assert net.inspect("two")["NetworkSettings"]["Networks"] == {} and list(interfaces(net, "one")) == ["n", "m"]


@pytest.mark.rows("A49")
def test_another_name(net):
    """rename while it runs: its peers find it by the new one, and by that alone."""
    create(net, "n", "--internal")
    start(net, "one", "--network", "n:alias=also", "--hostname", "h")
    start(net, "two", "--network", "n")
    net.ok("rename", "one", "uno")
    have = address(net, "uno")
    assert [look(net, "two", name) for name in ("uno", "also", "uno.n", "one.rootlet")] == [[have]] * 3 + [[]]
    assert "h uno" in net.ok("exec", "uno", "cat", "/etc/hosts").out


def spoofed(net, sender, hearer):
    """What a member hears of another one's honest and other frames."""
    a, b = interfaces(net, sender)["n"], interfaces(net, hearer)["n"]
    bare = lambda i: [i[key].split("/")[0] for key in ("mac", "address", "address6")]
    pid = net.inspect(hearer)["State"]["Pid"]
    with subprocess.Popen(["nsenter", "-t", str(pid), "-n", sys.executable, SPOOF, "listen", "eth0", "honestarp"],
                          stdout=subprocess.PIPE, text=True) as p:
        assert p.stdout.readline() == "ready\n"
        sent = inside(net, sender, SPOOF.read_text(), "send", "eth0", *bare(a), *bare(b), a["gateway"], bridge_mac(net, sender, a))
        assert len(sent.split()) > 20
        return set(p.communicate(timeout=60)[0].split())


def bridge_mac(net, name, interface):
    net.ok("exec", name, "sh", "-c", f"wget -qO- http://{interface['gateway']}/ || true")
    return re.search(r"lladdr (\S+)", net.ok("exec", name, "ip", "neigh", "show", interface["gateway"]).out)[1]


@pytest.mark.rows("A49", "B28")
def test_a_member_speaks_for_itself_alone(net):
    """Not for another member, nor for the gateway, whatever capabilities it has in its container."""
    create(net, "n", "--ipv6")
    start(net, "bad", "--network", "n", "--cap-add", "net_admin", "--cap-add", "net_raw")
    start(net, "one", "--network", "n", command=SERVE)
    start(net, "two", "--network", "n", command=SERVE)
    honest = {"honest4", "honest6", "honestarp"}
    assert spoofed(net, "bad", "one") == honest
    # Another manager makes the rules anew.
    (old,) = managers(net).values()
    os.kill(old[0], signal.SIGKILL)
    wait_for(lambda: replaced(net, "n", old), what="another manager")
    wait_for(lambda: address(net, "one") in look(net, "bad", "one"), what="names")
    assert spoofed(net, "bad", "one") == honest
    # Everybody else is reached as before; it itself by its own address, until it takes another.
    assert net.ok("exec", "one", "wget", "-qO-", "http://two/name").out
    assert net.ok("exec", "bad", "wget", "-qO-", "http://one/name").out
    two = interfaces(net, "two")["n"]
    for script in (f"ip addr flush dev eth0; ip addr add {two['address']} dev eth0",
                   f"ip link set eth0 down; ip link set eth0 address {two['mac']}; ip link set eth0 up"):
        net.ok("exec", "bad", "sh", "-c", script)
        assert net("exec", "bad", "timeout", "1", "wget", "-qO-", f"http://{address(net, 'one')}/name").rc != 0
        net.ok("exec", "one", "ip", "neigh")
        assert net.ok("exec", "one", "wget", "-qO-", f"http://{two['address'].split('/')[0]}/name").out
    # Whoever gets its address later has it for himself.
    freed = address(net, "bad")
    net.ok("rm", "-f", "-t", "0", "bad")
    start(net, "three", "--network", "n", "--ip", freed)
    assert net.ok("exec", "three", "wget", "-qO-", "http://one/name").out


@pytest.mark.rows("B28")
def test_mtu(net):
    create(net, "n", "--internal")
    create(net, "m", "--internal", "--opt", "mtu=1400")
    start(net, "one", "--network", "n", "--network", "m")
    start(net, "two", "--network", "m")
    link = net.ok("exec", "one", "ip", "-o", "link").out
    assert re.search(r"eth0.* mtu 65520 ", link) and re.search(r"eth1.* mtu 1400 ", link)
    path = f"/proc/{managers(net)['m'][0]}/root"
    assert os.path.exists(path)
    big = net("exec", "--privileged", "one", "ping", "-c", "1", "-W", "5", "-s", "1372", "two")
    assert "1 packets received" in big.out


@pytest.mark.rows("A48", "A49", "A50", "A51", "A53", "B28")
def test_many(net):
    """Fifty containers in one network; all have addresses and names of their own, and the way out by the
    bridge's address. They see each other's own addresses, the world outside sees the host's."""
    n = int(os.environ.get("NETWORK_MEMBERS", "50"))
    create(net, "n", "--subnet", "172.20.0.0/16")
    net.shell(f"""set -e; for i in $(seq 1 {n}); do
        rootlet run -d --name c$i --network n {net.image()} sleep 100000 > /dev/null & [ $((i % 4)) != 0 ] || wait
    done; wait""", timeout=300)
    everyone = {address(net, f"c{i}") for i in range(1, n + 1)}
    assert len(everyone) == n and all(a.startswith("172.20.") for a in everyone)
    script = f"for i in $(seq 1 {n}); do nslookup -type=a c$i | tail -n +3; done"
    assert set(re.findall(r"Address: (\S+)", net.ok("exec", "c1", "sh", "-c", script).out)) == everyone
    (pids,) = managers(net).values()
    assert len(pids) == 2, "one manager and one name server"
    look_into = lambda *words: net.ok("unshare", "--network", "n", *words).out  # noqa: E731
    assert "172.20.0.1/16" in look_into("ip", "-br", "addr", "show", "n")
    assert look_into("ip", "-o", "link", "show", "master", "n").count("\n") == n
    for name in ("c1", f"c{n}"):
        port = f"v-{net.inspect(name)['Id'][:12]}"
        ours = re.match(r"(\d+): \S+@if(\d+):.* master n ", look_into("ip", "-o", "link", "show", port)).groups()
        link = net.ok("exec", name, "ip", "-o", "link", "show", "eth0").out
        assert re.match(r"(\d+): eth0@if(\d+):", link).groups() == ours[::-1]
        assert " veth " in inside(net, name, "import os; os.system('ip -d link show eth0')")
        assert "default via 172.20.0.1 dev eth0" in net.ok("exec", name, "ip", "route").out
    assert net.ok("exec", "c1", "wget", "-qO-", f"http://{OUTSIDE}:8000/").text.removeprefix("::ffff:") == HOST
    pid = net.inspect("c2")["State"]["Pid"]
    server = pathlib.Path(__file__).with_name("whoasks.py")
    with subprocess.Popen(["nsenter", "-t", str(pid), "-n", sys.executable, server, "8080"], stdout=subprocess.PIPE) as p:
        try:
            assert p.stdout.readline() == b"ready\n"
            assert net.ok("exec", "c1", "wget", "-qO-", "http://c2:8080/").text == "::ffff:" + address(net, "c1")
        finally:
            p.kill()


@pytest.mark.rows("B17", "B28")
def test_killed_manager(net):
    """Another one goes on in the same namespace: connections live, addresses and names stay."""
    create(net, "n")
    start(net, "one", "--network", "n", command=(
        "sh", "-c", "nc -l -p 7000 -e cat & while :; do nc -l -p 7001 -e cat; done"))
    start(net, "two", "--network", "n")
    before = address(net, "one"), address(net, "two")
    talk = net.spawn("exec", "-i", "two", "nc", before[0], "7000")
    talk.stdin.write("first\n")
    talk.stdin.flush()
    assert talk.stdout.readline() == "first\n"
    (old,) = managers(net).values()
    os.kill(old[0], signal.SIGKILL)
    wait_for(lambda: replaced(net, "n", old),
             what="another manager")
    wait_for(lambda: look(net, "two", "one") == [before[0]], what="its names")
    wait_for(lambda: look(net, "one", "two") == [before[1]], what="its names")
    assert (address(net, "one"), address(net, "two")) == before
    talk.stdin.write("second\n")
    talk.stdin.flush()
    assert talk.stdout.readline() == "second\n"
    talk.kill()
    assert net.ok("exec", "two", "wget", "-qO-", f"http://{OUTSIDE}:8000/").out
    start(net, "three", "--network", "n")
    assert address(net, "three") not in before
    assert "network_restart" in net.ok("events", "--stream=false", "--since", "1h", "--until", "0s").out


@pytest.mark.rows("B17", "B28")
def test_killed_name_server_and_uplink(net):
    create(net, "n")
    start(net, "one", "--network", "n")
    (pids,) = managers(net).values()
    slirp = [p for p in net.user.processes() if parent(p) == pids[0] and p not in pids]
    assert len(slirp) == 1
    for pid in [pids[1], *slirp]:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: look(net, "one", "one") == [address(net, "one")], what="names again")
    wait_for(lambda: net("exec", "one", "timeout", "20", "wget", "-qO-", f"http://{OUTSIDE}:8000/").rc == 0,
             what="a way out again")
    assert managers(net)["n"][0] == pids[0]


@pytest.mark.rows("B17", "B28")
def test_killed_supervisor_and_manager(net):
    create(net, "n")
    start(net, "one", "--network", "n")
    start(net, "two", "--network", "n", command=SERVE)
    before = interfaces(net, "one")
    os.kill(supervisor(net, "one"), signal.SIGKILL)
    (pids,) = managers(net).values()
    os.kill(pids[0], signal.SIGKILL)
    assert wait_for(lambda: net("exec", "one", "timeout", "20", "wget", "-qO-", "http://two/name").out, what="the network")
    assert interfaces(net, "one") == before


@pytest.mark.rows("B17", "B28")
def test_stopped_manager(net):
    """What waits for one that is stopped, waits two seconds: the supervisor has other things to do."""
    for n in "ab":
        create(net, n)
    start(net, "one", "--network", "a")
    start(net, "two", "--network", "b")
    pids = managers(net)["b"]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        r = net.fails("network", "connect", "b", "one", match="its process gives no answer")
        assert r.seconds < 6 + 10 * runner.PATIENCE
        begin = time.monotonic()
        net.ok("rm", "-f", "-t", "0", "two")
        assert time.monotonic() - begin < 6 + 10 * runner.PATIENCE
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    # What the one that gave up has left is no obstacle.
    wait_for(lambda: net("network", "connect", "b", "one").rc == 0, what="the network")
    assert set(interfaces(net, "one")) == {"a", "b"}


@pytest.mark.rows("B17", "B28")
def test_another_begins_the_network_anew(net):
    """Somebody without the old namespace was first: the old members come over into the new one."""
    create(net, "n")
    start(net, "one", "--network", "n")
    before = interfaces(net, "one")
    pid = supervisor(net, "one")
    os.kill(pid, signal.SIGSTOP)
    try:
        (pids,) = managers(net).values()
        os.kill(pids[0], signal.SIGKILL)
        start(net, "two", "--network", "n", command=SERVE)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert address(net, "two") != before["n"]["address"]
    wait_for(lambda: look(net, "two", "one.rootlet") == [address(net, "one")], what="the old member")
    assert interfaces(net, "one") == before
    assert net.ok("exec", "one", "wget", "-qO-", "http://two/name").out


@pytest.mark.rows("B17", "B28")
def test_everything_killed(net):
    """No lease stays: there is nowhere one could."""
    create(net, "n", "--subnet", "10.93.0.0/30", "--internal")
    for _ in range(2):
        start(net, "one", "--network", "n")
        assert address(net, "one") == "10.93.0.2"
        init = net.inspect("one")["State"]["Pid"]
        for pid in [supervisor(net, "one"), *managers(net)["n"], init]:
            with contextlib.suppress(ProcessLookupError):  # the first process ends with its supervisor
                os.kill(pid, signal.SIGKILL)
        net.ok("rm", "-f", "-t", "0", "one")


@pytest.mark.rows("B17", "B28")
def test_a_lease_ends_without_its_manager(net):
    """A member that dies together with the manager: another member begins the next one, and the address is free."""
    create(net, "n", "--subnet", "10.93.0.0/29", "--internal")
    start(net, "stays", "--network", "n", "--ip", "10.93.0.2")
    for _ in range(2):
        start(net, "one", "--network", "n", "--ip", "10.93.0.6", "--mac-address", "02:00:00:00:00:06")
        init = net.inspect("one")["State"]["Pid"]
        for pid in [supervisor(net, "one"), *managers(net)["n"], init]:
            with contextlib.suppress(ProcessLookupError):  # the first process ends with its supervisor
                os.kill(pid, signal.SIGKILL)
        wait_for(lambda: look(net, "stays", "stays") == ["10.93.0.2"], what="another manager")
        net.ok("rm", "-f", "-t", "0", "one")
    start(net, "again", "--network", "n", "--ip", "10.93.0.6", "--mac-address", "02:00:00:00:00:06")
    # The whole pool is there, but what the two have.
    for i in range(3):
        start(net, f"c{i}", "--network", "n")
    net.fails("run", "--rm", "--network", "n", net.image(), "true", match=r"no free address in 10\.93\.0\.0/29\nhint: 5 containers are in it")


@pytest.mark.rows("B17")
def test_it_ends_with_its_last_member(net):
    create(net, "n")
    start(net, "one", "--network", "n")
    start(net, "two", "--network", "n")
    assert len(managers(net)["n"]) == 2
    net.ok("stop", "-t", "0", "one")
    assert managers(net)
    net.ok("rm", "-f", "-t", "0", "two")
    wait_for(lambda: not managers(net) and not [p for p in net.user.processes().values() if "slirp" in p],
             what="its end")
    net.ok("start", "one")
    assert look(net, "one", "one") == [address(net, "one")]


@pytest.mark.rows("B28")
@pytest.mark.parametrize("userns", ["keep-id", "auto"])
def test_user_namespaces(net, userns):
    create(net, "n", "--internal")
    start(net, "one", "--network", "n", "--userns", userns)
    start(net, "two", "--network", "n")
    assert look(net, "one", "two") == [address(net, "two")]
    assert look(net, "two", "one") == [address(net, "one")]


@pytest.mark.rows("A55", "B28")
def test_two_accounts(net, other):
    """The same name and the same subnet, and nothing in common."""
    other.world = None
    for who in (net, other):
        who.ok("network", "create", "--subnet", "10.94.0.0/24", "--internal", "n")
        who.ok("run", "-d", "--name", f"of-{who.user.name}", "--network", "n", "--ip",
               "10.94.0.2" if who is net else "10.94.0.3", who.image(), *SERVE)
    mine, theirs = f"of-{net.user.name}", f"of-{other.user.name}"
    assert look(net, mine, theirs + ".rootlet") == []
    assert net("exec", mine, "timeout", "1", "wget", "-qO-", "http://10.94.0.3/name").rc != 0
    assert look(other, theirs, theirs) == ["10.94.0.3"]
    other.ok("rm", "-f", "-t", "0", theirs)


@pytest.mark.rows("B28")
def test_a_look_inside(net):
    """The owner may look at everything, and there is nothing in it that was not meant."""
    create(net, "n", "--ipv6")
    net.fails("unshare", "--network", "n", "true", match="network n: no container that runs is a member of it")
    net.fails("unshare", "--network", "nosuch", "true", match="nosuch")
    cid = start(net, "one", "--network", "n")
    links = net.ok("unshare", "--network", "n", "ip", "-o", "link").out
    names = re.findall(r"^\d+: ([^:@]+)", links, re.M)
    assert sorted(names) == sorted(["lo", "n", "uplink0", f"v-{cid[:12]}"])
    assert len(set(re.findall(r"mtu (\d+)", links)) - {"65536"}) == 1
    assert cid in net.ok("unshare", "--network", "n", "ip", "link", "show", f"v-{cid[:12]}").out
    for key in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
        path = "/proc/sys/" + key.replace(".", "/")
        assert net.ok("unshare", "--network", "n", "cat", path).text == "1"
    if shutil.which("nft"):
        rules = net.ok("unshare", "--network", "n", "nft", "list", "ruleset").out
        assert re.search(r'oifname "uplink0" masquerade', rules)
    heard = net.ok("unshare", "--network", "n", "ss", "-lnH").out if shutil.which("ss") else ""
    assert all(":53 " in line for line in heard.splitlines() if line.split()[0] in ("udp", "tcp"))


@pytest.mark.rows("B28")
def test_without_a_tap(net):
    """Where /dev/net/tun is closed, as in many build machines."""
    with host.closed_device("/dev/net/tun"):
        create(net, "n", "--ipv6")
        start(net, "one", "--network", "n")
        manager, *_ = managers(net)["n"]
        uplinks = [p for p, words in net.user.processes().items() if "rootlet-slirp" in words]
        held = {v for p in (manager, *uplinks) for v in host.descriptors(p).values()}
        assert uplinks and "/dev/net/tun" not in held, held
    assert net.ok("exec", "one", "wget", "-qO-", f"http://{OUTSIDE}:8000/").out
    assert net.ok("exec", "one", "wget", "-qO-", f"http://[{OUTSIDE6}]:8000/").out


@pytest.mark.rows("B28", "B30")
def test_egress(net):
    """A network's rules are those of all its members; names are asked for through the uplink."""
    create(net, "n", "--egress", "allow=allowed.test:8000")
    start(net, "one", "--network", "n")
    start(net, "two", "--network", "n", command=SERVE)
    fetch = ("timeout", "20", "wget", "-qO-")
    assert net("exec", "one", *fetch, f"http://{OUTSIDE}:8000/").rc != 0
    assert net("exec", "one", *fetch, "http://allowed.test:8000/").rc == 0
    assert net.ok("exec", "one", *fetch, "http://two/name").out


@pytest.mark.rows("A49", "B28", "B17")
def test_pod(net):
    """A pod is found by its name; its members have its address and its ports."""
    create(net, "n")
    net.ok("pod", "create", "--network", "n", "-p", "8080:80", "crew")
    start(net, "member", "--pod", "crew", command=SERVE)
    start(net, "ask", "--network", "n")
    have = address(net, "crew-infra")
    assert look(net, "ask", "crew") == [have] == look(net, "ask", "crew-infra")
    assert net.ok("exec", "ask", "wget", "-qO-", "http://crew/name").text == "crew"
    assert net.ok("port", "member").out == "80/tcp -> 0.0.0.0:8080\n" == net.ok("port", "crew-infra").out
    rows = net.ok("ps", "--format", "{{.Names}} {{.Ports}}").out.splitlines()
    assert {"member 0.0.0.0:8080->80/tcp", "crew-infra 0.0.0.0:8080->80/tcp"} <= set(rows)
    assert sorted(net.ok("ps", "--filter", "network=n", "--format", "{{.Names}} {{.Networks}}").out.splitlines()) == [
        "ask n", "crew-infra n", "member n"]
    listed = net.ok("port", "ls").out.splitlines()
    assert f"{net.inspect('crew-infra')['Id'][:12]}\t80/tcp -> 0.0.0.0:8080" in listed
    assert net.ok("port", "ls", "member", "80").out == "0.0.0.0:8080\n"
    settings = net.inspect("member")["NetworkSettings"]
    assert settings["IPAddress"] == have == settings["Networks"]["n"]["IPAddress"]
    assert settings["Ports"]["80/tcp"] == [{"HostIp": "0.0.0.0", "HostPort": "8080"}]
    assert f"/proc/{net.inspect('member')['State']['Pid']}/ns/net" == settings["SandboxKey"]
    # Its members are each other's loopback, as podman's files have it; a later network has its name, too.
    start(net, "second", "--pod", "crew")
    hosts = lambda name: net.ok("exec", name, "cat", "/etc/hosts").out.splitlines()
    both = {"127.0.0.1\tmember", "127.0.0.1\tsecond"}
    assert both <= set(hosts("member")) and hosts("member") == hosts("second")
    assert net.ok("exec", "second", "wget", "-qO-", "http://member/name").text == "crew"
    create(net, "later", "--internal")
    net.ok("network", "connect", "later", "crew-infra")
    net.ok("network", "connect", "later", "ask")
    assert both <= set(hosts("second")) and len(hosts("second")) == len(set(hosts("second")))
    for name in ("crew.later", "crew-infra.later"):
        assert look(net, "ask", name) == [address(net, "crew-infra", "later")]
    r = net("network", "connect", "later", "member")
    assert r.rc == 125 and "has the network of its pod\nhint: the pod's own container" in r.err
    net.ok("network", "disconnect", "later", "ask")
    net.ok("network", "disconnect", "later", "crew-infra")
    r = net("port", "add", "crew", "8081:80")
    assert r.rc == 125 and "hint: there is a pod of this name, whose own container is crew-infra" in r.err
    r = net("port", "add", "member", "8081:80")
    assert r.rc == 125 and "hint: rootlet port add crew-infra" in r.err
    r = net("run", "--rm", "--network", "n", "-p", "8080:80", net.image(), "true")
    assert r.rc == 125 and "container crew-infra has it\nhint: publish another port, or 'rootlet stop crew-infra'" in r.err
    assert net.ok("stop", "-t", "0", "--filter", "network=n", "--filter", "name=mem").text == net.inspect("member")["Id"]
    assert net.ok("ps", "-aq", "--filter", "network=n", "--filter", "name=member").out
