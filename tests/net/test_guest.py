"""Networks in a machine: its kernel is older than those that rootlet is made on, loads its modules when they are
wanted for the first time, and /tmp gives nobody a capability."""
import http.server
import pathlib
import shutil
import socketserver
import tempfile
import threading
import urllib.request

import pytest

import helperlab
from lib import host, rows
from world import HOST, OUTSIDE, fetch, wait_for

pytestmark = [pytest.mark.guest,
              pytest.mark.skipif(not (host.BUILDDIR / "rootlet-slirp").exists(), reason="built without libslirp")]
ADDRESS = "10.0.2.15"  # of the machine
SERVE = ("sh", "-c", "trap 'exit 0' TERM; mkdir /w; echo of the container >/w/i; httpd -h /w; while :; do sleep 0.2; done")


class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.client_address[0].encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def outside():
    """The port of a server on the machine's card; it answers by whom it was asked."""
    with socketserver.ThreadingTCPServer((ADDRESS, 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def page(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/i", timeout=20) as r:
            return r.read().decode()
    except OSError:
        return None


def check(rootlet, network, outside, cgroups):
    """Out, in by a published port."""
    rootlet.ok("run", "-d", "--name", "c", "--network", network, "-p", "127.0.0.1::80", rootlet.image(), *SERVE, cgroups=cgroups)
    port = rootlet.ok("port", "c", "80").text.rpartition(":")[2]
    wait_for(lambda: page(port) == "of the container\n", 30)
    seen = rootlet.ok("exec", "c", "wget", "-qO-", f"http://{ADDRESS}:{outside}/", cgroups=cgroups).text
    rootlet.ok("rm", "-f", "-t", "0", "c", cgroups=cgroups)
    return seen


@rows("A48", "A53")
def test_slirp(rootlet, outside):
    """Another network than its usual one, which the machine has itself."""
    assert check(rootlet, "slirp:cidr=10.77.0.0/24", outside, None) == ADDRESS


@rows("A48", "A49", "A51", "A53", "B28")
def test_user_network(rootlet, outside):
    rootlet.ok("network", "create", "n")
    rootlet.ok("run", "-d", "--name", "named", "--network", "n", rootlet.image(), *SERVE, cgroups=None)
    assert check(rootlet, "n", outside, None) == ADDRESS
    asked = rootlet.ok("run", "--rm", "--network", "n", rootlet.image(), "wget", "-qO-", "http://named/i", cgroups=None)
    assert asked.text == "of the container"
    rootlet.ok("rm", "-f", "-t", "0", "named", cgroups=None)
    rootlet.ok("network", "rm", "n")


@pytest.mark.root
@rows("A48", "A50", "A53", "B17", "B30")
def test_bridge(net, rootlet_base, users):
    """By the helper with its capability in the file, as an administrator installs it: on a file system that takes it."""
    place, program = pathlib.Path(tempfile.mkdtemp(prefix="rl", dir="/home")), net.program
    try:
        place.chmod(0o755)
        shutil.copytree(rootlet_base / "bin", place / "bin")
        helperlab.Helper(place, program=True).policy("bridge rlbr0 10.88.0.0/16 fd00:88::/64 masquerade",
                                                     f"{users[0].name} rlbr0 4 auto tcp:1024-65535")
        net.program = str(place / "bin/rootlet")
        net.ok("run", "-d", "--name", "c", "--network", "bridge", "-p", "8080:80", net.image(), *SERVE)
        assert HOST in net.ok("exec", "c", "wget", "-qO-", f"http://{OUTSIDE}:8000/").out
        wait_for(lambda: fetch(net.world.outside, HOST, 8080, "/i", 20) == "of the container\n", 30)
        net.ok("rm", "-f", "-t", "0", "c")
    finally:
        net("rm", "-f", "-t", "0", "-a")
        net.program = program
        shutil.rmtree(place)
