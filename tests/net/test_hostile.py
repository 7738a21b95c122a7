"""What code in a container, root in there and with all that may be given to it, tries on its network."""
import os
import re
import shutil
import subprocess
import sys
import time

import pytest

from lib import host
from test_user_network import create, inside, managers, parent, start, supervisor
from world import OUTSIDE, wait_for


@pytest.mark.rows("A48")
def test_files_that_were_given_away(net):
    """hosts and resolv.conf are the container's while it runs; it starts again whatever it did to them."""
    start(net, "one")
    before = net.ok("exec", "one", "cat", "/etc/hosts", "/etc/resolv.conf").out
    for script in ("chown 1:1 /etc/hosts /etc/resolv.conf", "chmod 0 /etc/hosts /etc/resolv.conf",
                   "echo 203.0.113.1 evil > /etc/hosts"):
        net.ok("exec", "one", "sh", "-c", script)
        net.ok("restart", "-t", "0", "one")
        assert net.ok("exec", "one", "cat", "/etc/hosts", "/etc/resolv.conf").out == before


LEASE = """import fcntl, signal, sys
signal.signal(signal.SIGIO, signal.SIG_IGN)
files = [open(f) for f in sys.argv[1:]]
for f in files:
    fcntl.fcntl(f, 1024, fcntl.F_RDLCK)  # F_SETLEASE
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.rows("A48")
def test_files_with_a_lease(net):
    """Who has a file's lease lets others wait for 45 s who open it: not the supervisor, which serves everybody."""
    create(net, "n")
    create(net, "m")
    start(net, "one", "--network", "n")
    root = f"/proc/{net.inspect('one')['State']['Pid']}/root/etc/"
    with subprocess.Popen([sys.executable, "-c", LEASE, root + "hosts", root + "resolv.conf"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"ready\n"
        begin = time.monotonic()
        net.ok("network", "connect", "m", "one")
        assert net.ok("exec", "one", "echo", "there").text == "there"
        assert time.monotonic() - begin < 30
        holder.stdin.close()
    net.ok("network", "disconnect", "m", "one")
    net.ok("network", "connect", "m", "one")
    assert net.inspect("one")["NetworkSettings"]["Networks"]["m"]["IPAddress"] in net.ok("exec", "one", "cat", "/etc/hosts").out


ADVERTISE = """import socket, struct, time
s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
prefix = struct.pack("!BBBBIII", 3, 4, 64, 0xc0, 9000, 9000, 0) + socket.inet_pton(socket.AF_INET6, "2001:db8:bad::")
packet = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 9000, 0, 0) + prefix
to = "ff02::1", 0, 0, socket.if_nametoindex("eth0")
end = time.monotonic() + 30
while True:
    try:
        s.sendto(packet, to)
        break
    except OSError:  # its own address is not there yet
        if time.monotonic() > end:
            raise
        time.sleep(0.1)
"""
ROUTES = "print(open('/proc/net/ipv6_route').read())"
ACCEPT = "open('/proc/sys/net/ipv6/conf/eth0/accept_ra', 'w').write('1')"


@pytest.mark.rows("B28")
@pytest.mark.skipif(not shutil.which("nft"), reason="needs nft")
def test_a_neighbour_is_no_router(net):
    """A router advertisement of one member gives another one neither addresses nor routes: it does not pass the
    bridge; nor is one believed that has come."""
    create(net, "n", "--ipv6")
    for name in ("evil", "keen", "one"):
        start(net, name, "--network", "n")
    inside(net, "keen", ACCEPT)

    def believe():
        inside(net, "evil", ADVERTISE)
        return {name for name in ("keen", "one") if "20010db80bad" in inside(net, name, ROUTES)}
    for _ in range(3):
        assert believe() == set()
    # What would be, without the rules of the bridge, to who accepts what comes.
    (pids,) = managers(net).values()
    (space,) = {link for fd in os.listdir(f"/proc/{pids[0]}/fd")
                if os.readlink(link := f"/proc/{pids[0]}/fd/{fd}").startswith("net:")}
    subprocess.run(["nsenter", f"--net={space}", "nft", "delete", "table", "bridge", "rootlet"], check=True)
    wait_for(lambda: believe() == {"keen"}, what="the advertisement, where it is accepted")
    assert believe() == {"keen"}


@pytest.mark.rows("B28")
def test_what_network_processes_hold(net):
    """No file, directory or namespace of the host is open in those that hear containers; and the
    manager of a network never waits for a supervisor."""
    create(net, "n")
    start(net, "one", "--network", "n", "-p", "8080:80")
    start(net, "two", "--network", "slirp", "-p", "8081:80")
    (pids,) = managers(net).values()
    hears = {pid: cmd for pid, cmd in net.user.processes().items()
             if re.search("rootlet-(slirp|ports)", cmd) or pid == pids[1]}
    assert len(hears) == 5
    for pid, cmd in hears.items():
        held = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd") if int(fd) > 2]
        bad = [h for h in held if not re.match(r"socket:|anon_inode:\[(eventpoll|pidfd)\]|/dev/net/tun|pipe:", h)]
        assert not bad, (cmd, held)
        if not host.SANITIZERS:
            with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as f:
                status = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
            caps = 1 << 12 if "rootlet-ports" in cmd else 0  # CAP_NET_ADMIN, in the container's user namespace
            assert [int(status[n], 16) for n in ("CapPrm", "CapEff", "CapInh", "CapAmb")] == [caps, caps, 0, 0], cmd
            assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2"), cmd
            assert os.stat(f"/proc/{pid}/status").st_uid == 0, cmd  # not to be traced
    with open(f"/proc/{pids[0]}/fdinfo/3", encoding="utf-8") as f:
        assert int(re.search(r"flags:\s+(\d+)", f.read())[1], 8) & os.O_NONBLOCK


BREAK = ("ip link set {0} down; ip link set {0} name mine; ip addr flush dev mine; ip route flush table all; ip link del mine; "
         "ip link add {0} type dummy; ip link set lo down; ip rule flush; true")


@pytest.mark.rows("B17", "B28")
@pytest.mark.parametrize("mode", ["slirp", "n"])
def test_a_namespace_in_ruins(net, mode):
    """Its own network is a container's to break; rootlet goes on with it, and it starts anew as always."""
    create(net, "n")
    create(net, "m")
    device = "tap0" if mode == "slirp" else "eth0"
    start(net, "one", "--network", mode, "-p", "8080:80")
    start(net, "two", "--network", "n")
    net.ok("exec", "--privileged", "one", "sh", "-c", BREAK.format(device))
    if mode == "n":
        net("network", "connect", "m", "one")
        net("network", "disconnect", "n", "one")
    net("port", "add", "one", "8082:82")
    for pid, cmd in net.user.processes().items():
        if re.search("rootlet-(slirp|ports)", cmd) and parent(pid) == supervisor(net, "one"):
            os.kill(pid, 9)
    os.kill(supervisor(net, "one"), 9)
    assert net.ok("exec", "one", "echo", "there").text == "there"
    assert net.ok("exec", "two", "wget", "-qO-", f"http://{OUTSIDE}:8000/").out
    net.ok("restart", "-t", "0", "one", timeout=60)
    if mode == "slirp":
        assert net.ok("exec", "one", "wget", "-qO-", f"http://{OUTSIDE}:8000/").out
