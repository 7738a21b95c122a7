"""Published ports of containers: run -p, port, port add and rm, conflicts, what is killed meanwhile."""
import json
import os
import re
import signal
import socket
import subprocess
import sys

import pytest

from lib import host
from world import HOST, HOST6, OUTSIDE, OUTSIDE6, fetch, wait_for

pytestmark = pytest.mark.skipif(not (host.BUILDDIR / "rootlet-slirp").exists(), reason="built without libslirp")

SERVE = """mkdir -p /tmp/www/cgi-bin; cd /tmp/www
printf '#!/bin/sh\\nprintf "Content-Type: text/plain\\\\r\\\\n\\\\r\\\\n%%s" "$REMOTE_ADDR"\\n' >cgi-bin/peer
chmod +x cgi-bin/peer; for p in "$@"; do httpd -p $p -h /tmp/www; done; echo up; exec sleep 100000"""


def serve(net, *options, name="web", ports=("80",), network=("--network", "slirp")):
    net.ok("run", "-d", "--name", name, *network, *options, net.image(), "sh", "-c", SERVE, "sh", *ports)
    wait_for(lambda: "up" in net.ok("logs", name).out, what="the server")


def peer(ns, address, port):
    """Whom the container's server sees, '' when nobody answers."""
    text = fetch(ns, address, port, "/cgi-bin/peer").strip()
    return re.sub(r"^\[?(::ffff:)?([^\]]*)\]?(:\d+)?$", r"\2", text) if text else ""


def published(net, name="web"):
    """{"80/tcp": ["0.0.0.0:8080"]}"""
    found = {}
    for line in net.ok("port", name).out.splitlines():
        port, where = line.split(" -> ")
        found.setdefault(port, []).append(where)
    return found


def host_port(net, name="web", port="80/tcp"):
    (where,) = published(net, name)[port]
    return int(where.rsplit(":", 1)[1])


def supervisor(net, name="web"):
    for path in (net.store.root / "containers").glob("*/state.json"):
        state = json.loads(path.read_text())
        if state["name"] == name:
            return state["supervisor_pid"]
    return None


def forwarders(net):
    return [pid for pid, line in net.user.processes().items()
            if os.path.basename(line.split()[0]) == "rootlet-ports"]


@pytest.mark.rows("A52")
def test_clients_are_seen(net):
    """The server sees who asks, by IPv4 and by IPv6; the host's loopback is the gateway."""
    serve(net, "-p", "8080:80", ports=("80",))
    w = net.world
    assert peer(w.outside, HOST, 8080) == OUTSIDE
    assert peer(w.outside, HOST6, 8080) == OUTSIDE6
    assert peer(w.host, "127.0.0.1", 8080) == "10.0.2.2"
    assert peer(w.host, HOST, 8080) == HOST
    assert published(net) == {"80/tcp": ["0.0.0.0:8080"]}
    assert "0.0.0.0:8080->80/tcp" in net.ok("ps").out


@pytest.mark.rows("A52")
@pytest.mark.skipif(not os.path.exists("/usr/bin/pasta"), reason="pasta is not installed")
def test_clients_are_seen_with_pasta(net):
    """The container has the host's own address there: clients with it are the gateway."""
    serve(net, "-p", "8080:80", network=("--network", "pasta"))
    w = net.world
    assert peer(w.outside, HOST, 8080) == OUTSIDE
    assert peer(w.outside, HOST6, 8080) == OUTSIDE6
    assert peer(w.host, HOST, 8080) == peer(w.host, "127.0.0.1", 8080) == OUTSIDE  # which is the gateway


@pytest.mark.rows("A52")
@pytest.mark.parametrize("userns", ["keep-id", "nomap", "auto"])
def test_in_other_user_namespaces(net, userns):
    """Whatever the user's id is inside, also for the supervisor that takes over."""
    r = net("run", "-d", "--name", "web", "--network", "slirp", "--userns", userns, "-p", "8080:8000", net.image(),
            "sh", "-c", SERVE, "sh", "8000")
    if r.rc != 0 and "subordinate" in r.err:
        pytest.skip("too few subordinate ids")
    assert r.rc == 0, r
    for _ in range(2):
        wait_for(lambda: peer(net.world.outside, HOST, 8080) == OUTSIDE)
        os.kill(supervisor(net), signal.SIGKILL)
        net.ok("port", "add", "web", "8081:8000")
        assert peer(net.world.outside, HOST6, 8081) == OUTSIDE6
        net.ok("port", "rm", "web", "8081:8000")


@pytest.mark.rows("A52")
def test_one_address_only(net):
    serve(net, "-p", "127.0.0.1::80", "-p", "[::1]::80")
    w = net.world
    places = published(net)["80/tcp"]
    assert len(places) == 2
    for where in places:
        address, port = where.rsplit(":", 1)
        assert peer(w.host, address.strip("[]"), int(port))
        assert peer(w.outside, HOST6 if "[" in address else HOST, int(port)) == ""


@pytest.mark.rows("A52")
def test_udp(net):
    """The client's address in the container, the answer from where it was asked."""
    serve(net, "-p", "5353:53/udp")
    pid = net.inspect("web")["State"]["Pid"]
    echo = ("import socket,sys; s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); s.bind(('::', 53))\n"
            "print('ready', flush=True)\n"
            "while True:\n    d, p = s.recvfrom(100)\n    s.sendto(p[0].encode(), p)\n")
    p = subprocess.Popen(["nsenter", "-t", str(pid), "-n", sys.executable, "-c", echo], stdout=subprocess.PIPE)
    try:
        assert p.stdout.readline() == b"ready\n"
        for address, seen in ((HOST, "::ffff:" + OUTSIDE), (HOST6, OUTSIDE6)):
            with net.world.outside.entered():
                s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
            with s:
                s.settimeout(30)
                s.connect((address, 5353))
                s.send(b"x")
                assert s.recv(100).decode() == seen
    finally:
        p.kill()
        p.wait()
        p.stdout.close()


@pytest.mark.rows("A52")
def test_range(net):
    serve(net, "-p", "8100-8102:80-82", "-p", "8101-8103:83", ports=("80", "81", "82", "83"))
    assert published(net) == {"80/tcp": ["0.0.0.0:8100"], "81/tcp": ["0.0.0.0:8101"],
                              "82/tcp": ["0.0.0.0:8102"], "83/tcp": ["0.0.0.0:8103"]}
    for port in range(8100, 8104):
        assert peer(net.world.outside, HOST, port) == OUTSIDE


@pytest.mark.rows("A52")
def test_conflicts(net):
    """Told before anything runs, with the one who has it."""
    serve(net, "-p", "8080:80")
    r = net("run", "--rm", "-d", "--network", "slirp", "-p", "8080:80", net.image(), "true")
    assert r.rc == 125 and "port 0.0.0.0:8080/tcp: container web has it" in r.err
    with net.world.host.entered():
        s = socket.socket()
    with s:
        s.bind((HOST, 8081))
        s.listen()
        r = net("run", "--rm", "--network", "slirp", "-p", "8081:80", net.image(), "true")
        assert r.rc == 125 and "a program of user root has it" in r.err and "hint: ss -ltnp" in r.err
        # All or none: the free one is not kept.
        assert net("run", "--rm", "--network", "slirp", "-p", "8082:80", "-p", "8081:80", net.image(), "true").rc == 125
    net.ok("run", "--rm", "--network", "slirp", "-p", "8081:80", "-p", "8082:80", net.image(), "true")
    r = net("run", "--rm", "--network", "slirp", "-p", "203.0.113.77:80:80", net.image(), "true")
    assert r.rc == 125 and "does not have that address\nhint: 'ip -br address'" in r.err
    # A program of one's own is named.
    for kind, family, address, flag in (("STREAM", "INET6", "::", "8083:80"), ("DGRAM", "INET", HOST, "8083:80/udp")):
        p = net.spawn("-c", f"import socket, time; s = socket.socket(socket.AF_{family}, socket.SOCK_{kind}); s.bind(('{address}', 8083)); "
                      + "s.listen(); " * (kind == "STREAM") + "print('ready', flush=True); time.sleep(1000)", program=sys.executable)
        assert p.stdout.readline() == "ready\n"
        r = net("run", "--rm", "--network", "slirp", "-p", flag, net.image(), "true")
        assert r.rc == 125 and f"process {p.pid} (python3" in r.err, r
        p.kill()
        p.wait()
    # A stopped container has none.
    net.ok("stop", "-t", "0", "web")
    net.ok("run", "--rm", "--network", "slirp", "-p", "8080:80", net.image(), "true")


@pytest.mark.rows("A52")
def test_privileged_port(net):
    r = net("run", "--rm", "--network", "slirp", "-p", "80:80", net.image(), "true")
    assert r.rc == 125 and "ports below 1024 (net.ipv4.ip_unprivileged_port_start)" in r.err
    assert "hint: sysctl net.ipv4.ip_unprivileged_port_start=80 as root, or another port: -p 8080:80" in r.err


@pytest.mark.rows("A52")
def test_add_and_rm(net):
    """On a container that runs and has published nothing; kept over stop and restart."""
    serve(net, ports=("80", "81"))
    w = net.world
    assert not forwarders(net)
    assert net.ok("port", "add", "web", "8080:80").out == "80/tcp -> 0.0.0.0:8080\n"
    assert peer(w.outside, HOST, 8080) == OUTSIDE
    line = net.ok("port", "add", "web", "127.0.0.1::81", "8181:81/tcp,udp").out
    assert line.count("81/tcp -> ") == 2 and "81/udp -> 0.0.0.0:8181\n" in line
    assert len(forwarders(net)) == 1
    r = net("port", "add", "web", "8082:82", "8080:80")
    assert r.rc == 125 and "container web has it" in r.err
    assert "82/tcp" not in published(net)
    net.ok("port", "rm", "web", "81", "8181:81/udp")
    assert published(net) == {"80/tcp": ["0.0.0.0:8080"]}
    net.ok("restart", "-t", "0", "web")
    assert published(net) == {"80/tcp": ["0.0.0.0:8080"]}
    wait_for(lambda: peer(w.outside, HOST, 8080) == OUTSIDE)
    net.ok("port", "rm", "web", "0.0.0.0:8080->80/tcp")
    assert published(net) == {} and peer(w.outside, HOST, 8080) == ""
    r = net("port", "rm", "web", "80")
    assert r.rc == 125 and "it does not publish 80" in r.err and "hint: rootlet port web" in r.err
    net.ok("stop", "-t", "0", "web")
    # Of one that does not run: from its next start on.
    net.ok("port", "add", "-q", "web", "8090-8092:80-82")
    net.ok("port", "rm", "web", "81")
    net.ok("start", "web")
    assert published(net) == {"80/tcp": ["0.0.0.0:8090"], "82/tcp": ["0.0.0.0:8092"]}
    wait_for(lambda: peer(w.outside, HOST, 8090) == OUTSIDE)
    events = net.ok("events", "--stream=false", "--since", "1h", "--until", "0s").out
    assert "publish" in events and "unpublish" in events


@pytest.mark.rows("A52")
@pytest.mark.parametrize("mode, why", [("none", "has no ports"), ("host", "shares the host's ports")])
def test_add_where_it_makes_no_sense(net, mode, why):
    net.ok("create", "--name", "web", "--network", mode, net.image(), "true")
    r = net("port", "add", "web", "8080:80")
    assert r.rc == 125 and why in r.err


@pytest.mark.rows("A52")
def test_killed_forwarder_comes_again(net):
    serve(net, "-p", "8080:80")
    port = 8080
    assert peer(net.world.outside, HOST, port) == OUTSIDE
    for _ in range(2):
        (pid,) = forwarders(net)
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda gone=pid: forwarders(net) and forwarders(net) != [gone])
        wait_for(lambda: peer(net.world.outside, HOST, port) == OUTSIDE)
    net.ok("rm", "-f", "-t", "0", "web")
    assert not forwarders(net)


@pytest.mark.rows("A52")
def test_killed_supervisor(net):
    """Ports go on; the next supervisor has the sockets, adds, removes and restarts."""
    serve(net, "-p", "8080:80", ports=("80", "81"))
    w = net.world
    os.kill(supervisor(net), signal.SIGKILL)
    assert peer(w.outside, HOST, 8080) == OUTSIDE
    assert published(net) == {"80/tcp": ["0.0.0.0:8080"]}
    r = net("run", "--rm", "--network", "slirp", "-p", "8080:80", net.image(), "true")
    assert r.rc == 125 and "has it" in r.err
    net.ok("port", "add", "web", "8081:81")
    assert peer(w.outside, HOST, 8081) == OUTSIDE
    (pid,) = forwarders(net)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: forwarders(net) not in ([], [pid]))
    wait_for(lambda: peer(w.outside, HOST6, 8080) == OUTSIDE6)
    net.ok("port", "rm", "web", "80")
    assert published(net) == {"81/tcp": ["0.0.0.0:8081"]} and peer(w.outside, HOST, 8080) == ""
    os.kill(supervisor(net), signal.SIGKILL)
    net.ok("rm", "-f", "-t", "0", "web")
    wait_for(lambda: not forwarders(net))


@pytest.mark.rows("A52")
def test_both_killed(net):
    """Who takes over binds the ports anew, as they were: of both families."""
    serve(net, "-p", "8080:80", "-p", "127.0.0.1::80")
    w = net.world
    before = published(net)
    os.kill(supervisor(net), signal.SIGKILL)
    (pid,) = forwarders(net)
    os.kill(pid, signal.SIGKILL)
    net.ok("port", "add", "web", "8099:99")  # which starts another supervisor
    wait_for(lambda: peer(w.outside, HOST, 8080) == OUTSIDE)
    assert peer(w.outside, HOST6, 8080) == OUTSIDE6
    assert published(net) == {**before, "99/tcp": ["0.0.0.0:8099"]}
    net.ok("port", "rm", "web", "8080:80")
    assert peer(w.outside, HOST, 8080) == ""
    port = int(before["80/tcp"][1].rsplit(":", 1)[1])
    assert peer(w.host, "127.0.0.1", port)


@pytest.mark.rows("A52")
def test_publish_on_a_network_of_the_users(net):
    if "not there yet" in net("network", "create", "front").err:
        pytest.skip("no networks by name")
    serve(net, "-p", "8080:80", network=("--network", "front"))
    assert peer(net.world.outside, HOST, 8080) == OUTSIDE
    assert peer(net.world.host, "127.0.0.1", 8080)


@pytest.mark.rows("A52")
def test_a_large_range(net):
    serve(net, "-p", "20000-20999:1000-1999", ports=("1999",))
    assert len(net.ok("port", "web").out.splitlines()) == 1000
    assert peer(net.world.outside, HOST, 20999) == OUTSIDE
    assert net.ok("ps", "--format", "{{.Ports}}").out == "0.0.0.0:20000-20999->1000-1999/tcp\n"
    os.kill(supervisor(net), signal.SIGKILL)
    net.ok("port", "rm", "web", "1000-1998")
    assert published(net) == {"1999/tcp": ["0.0.0.0:20999"]}
    assert peer(net.world.outside, HOST, 20999) == OUTSIDE


@pytest.mark.rows("A52")
def test_statistics(net, world):
    """port --stats: what went through, and what nobody took."""
    def stats():
        return {line[:17].strip(): int(line[17:].split()[0]) for line in net.ok("port", "--stats", "web").out.splitlines()}
    serve(net, "-p", "8080:80", "-p", "8081:81", "-p", "8053:53/udp")
    before = stats()
    assert before["ports"] == 3 and not any(n for name, n in before.items() if name != "ports"), before
    assert peer(world.outside, HOST, 8080)
    assert peer(world.outside, HOST, 8081) == ""
    wait_for(lambda: stats()["tcp now"] == 0, what="the end of the connections")
    now = stats()
    assert now["tcp accepted"] == 2 and now["tcp refused"] == 1, now
    assert now["tcp bytes in"] > 50 and now["tcp bytes out"] > 50, now
    net.fails("port", "--stats", "web", "80", match="all ports together")
    net.fails("port", "--stats", "--all", match="of one container")
    net.ok("stop", "-t", "0", "web")
    net.fails("port", "--stats", "web", match="web publishes no ports now")
