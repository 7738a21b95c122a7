"""The user-mode network of containers: --network slirp. What rootlet-slirp itself does is in tests/net."""
import http.server
import json
import os
import signal
import threading

import pytest

from lib import host

pytestmark = [pytest.mark.skipif(not (host.BUILDDIR / "rootlet-slirp").exists(), reason="built --without-slirp")]


@pytest.fixture(scope="module")
def server():
    """An HTTP server on the host's loopback: its port."""
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"from the host's loopback\n")

        def log_message(self, format, *args):  # pylint: disable=redefined-builtin
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as s:
        threading.Thread(target=s.serve_forever, daemon=True).start()
        yield s.server_address[1]
        s.shutdown()


def fetch(port, address="10.0.2.2"):
    return f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 10 {address} {port} | grep from"


@pytest.mark.rows("B31")
@pytest.mark.parametrize("device", ["tap", "veth"])
def test_addresses(rootlet, device, server):
    if device == "tap" and not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        pytest.skip("/dev/net/tun is closed")
    out = rootlet.ok("run", "--rm", "--network", f"slirp:device={device},allow_host_loopback", rootlet.image(), "sh",
                     "-c", "ip addr show tap0; ip route; ip -6 route; cat /etc/resolv.conf; " + fetch(server)).text
    for part in ("mtu 65520", "inet 10.0.2.100/24", "inet6 fd00::100/64", "default via 10.0.2.2", "default via fd00::2",
                 "nameserver 10.0.2.3", "from the host's loopback"):
        assert part in out, out


@pytest.mark.rows("B31")
def test_options(rootlet, server):
    out = rootlet.ok("run", "--rm", "--network",
                     f"slirp:mtu=1500,cidr=10.55.0.0/16,enable_ipv6=false,allow_host_loopback={server}",
                     rootlet.image(), "sh", "-c", "ip addr show tap0; ip -6 route; cat /etc/resolv.conf; " +
                     fetch(server, "10.55.0.2")).text
    for part in ("mtu 1500", "inet 10.55.0.100/16", "nameserver 10.55.0.3", "from the host's loopback"):
        assert part in out, out
    assert "fd00" not in out
    for wrong in ("mtu=100", "cidr=10.0.2.1/24", "cidr=fd00::/64", "colour=red", "device=x", "outbound_addr=nowhere"):
        p = rootlet("run", "--rm", "--network", "slirp:" + wrong, rootlet.image(), "true", rc=125)
        assert wrong.split("=", maxsplit=1)[0] in p.err, p
    for option, address in (("outbound_addr", "203.0.113.7"), ("outbound_addr6", "2001:db8::7")):
        rootlet.fails("run", "--rm", "--network", f"slirp:{option}={address}", rootlet.image(), "true",
                      match=f"slirp: {option}={address}: this host does not have that address\nhint: 'ip -br address'")


def test_host_loopback_is_closed(rootlet, server):
    script = "\n".join([
        f"! {fetch(server)} || exit 1",
        # Root in the container sends frames for 127.0.0.1 to the wire.
        "echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet 2>/dev/null",
        "ip route del table local 127.0.0.0/8 dev lo; ip addr del 127.0.0.1/8 dev lo",
        "ip route add 127.0.0.0/8 via 10.0.2.2 2>/dev/null",
        f"! {fetch(server, '127.0.0.1')} || exit 2"])
    rootlet.ok("run", "--rm", "--network", "slirp", "--cap-add", "NET_ADMIN", rootlet.image(), "sh", "-c", script)
    # One port of it, and no other.
    p = rootlet("run", "--rm", "--network", "slirp:allow_host_loopback=9", rootlet.image(), "sh", "-c", fetch(server))
    assert p.rc != 0


def slirp_pid(rootlet, name):
    """Its process, by state.json."""
    ident = rootlet.ok("inspect", "--format", "{{.Id}}", name).text
    path, = [*rootlet.store.runroot.rglob(f"*{ident}*/state.json"), *rootlet.store.root.rglob(f"*{ident}*/state.json")]
    procs = json.loads(path.read_text())["network"]["processes"]
    return next(p["pid"] for p in procs if p["what"] == "slirp")


def test_killed_is_started_again(rootlet, server):
    rootlet.ok("run", "-d", "--name", "c", "--network", "slirp:allow_host_loopback", rootlet.image(), "sleep", "1000")
    assert "loopback" in rootlet.ok("exec", "c", "sh", "-c", fetch(server)).text
    for _ in range(2):
        pid = slirp_pid(rootlet, "c")
        os.kill(pid, signal.SIGKILL)
        rootlet.wait_for(lambda old=pid: slirp_pid(rootlet, "c") != old)
        assert "loopback" in rootlet.ok("exec", "c", "sh", "-c", fetch(server)).text
    events = rootlet.ok("events", "--since", "1h", "--stream=false", "--filter", "container=c").out
    assert events.count("network_restart") == 2, events
    rootlet.ok("rm", "-f", "-t", "0", "c")


def test_egress(rootlet, server):
    """What is not allowed is refused at once, and told."""
    rootlet.ok("run", "-d", "--name", "c", "--network", "slirp:allow_host_loopback",
               "--egress", "allow=10.0.2.2:" + str(server), rootlet.image(), "sleep", "1000")
    assert "loopback" in rootlet.ok("exec", "c", "sh", "-c", fetch(server)).text
    for address, port in (("10.0.2.2", server % 60000 + 1), ("192.0.2.77", 80)):
        assert rootlet("exec", "c", "sh", "-c", fetch(port, address)).rc == 1
    assert rootlet("exec", "c", "nslookup", "www.example.org", "10.0.2.3").rc == 1
    text = rootlet.wait_for(lambda: [t for t in [rootlet.ok("events", "--since", "1h", "--stream=false").out]
                                     if "www.example.org" in t])[0]
    assert "egress-denied" in text and "192.0.2.77" in text, text
    rootlet.ok("rm", "-f", "-t", "0", "c")


def test_egress_of_one_that_ends_at_once(rootlet):
    """What was refused is told, though nobody is left when it is."""
    ports = [str(1000 + i) for i in range(8)]
    for port in ports:
        assert rootlet("run", "--rm", "--network", "slirp", "--egress", "deny", rootlet.image(), "nc", "192.0.2.77", port).rc == 1
    said = rootlet.ok("events", "--since", "1h", "--stream=false", "--filter", "event=egress-denied").out
    assert [p for p in ports if f"port={p}" not in said] == [], said
