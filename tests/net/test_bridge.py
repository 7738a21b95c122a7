"""--network bridge: containers on a bridge of the host, by rootlet-net-helper."""
import json
import os
import re
import shutil
import signal
import subprocess

import pytest

import firewalls
import helperlab
from lib import runner
from test_user_network import supervisor
from world import HOST, HOST6, OUTSIDE, OUTSIDE6, NetRootlet, fetch, wait_for

pytestmark = [pytest.mark.root, pytest.mark.skipif(not helperlab.BUILT.exists(), reason="built without the helper"),
              pytest.mark.skipif(not shutil.which("nft") or not shutil.which("curl"), reason="needs nft and curl")]


def address(net, name):
    return net.inspect(name)["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]


@pytest.mark.rows("A48", "A49", "A50", "A51", "A53", "A55", "A57", "B17", "B30", "B31")
def test_life(net):
    """Two of them: veth, address, route; they reach each other and the world; nothing stays (net's end)."""
    for name in ("a", "b"):
        net.ok("run", "-d", "--name", name, "--network", "bridge", "--cap-add", "NET_RAW", net.image(), "sleep", "1000")
    link = net.ok("exec", "a", "ip", "-o", "link", "show", "eth0").out
    slot = json.loads((net.store.runroot / "containers" / net.inspect("a")["Id"] / "state.json").read_text())[
        "network"]["interfaces"][0]["slot"] if (net.store.runroot / "containers").is_dir() else None
    assert "mtu 1500" in link
    assert "default via 10.88.0.1" in net.ok("exec", "a", "ip", "route").out
    a, b = address(net, "a"), address(net, "b")
    assert {a, b} == {"10.88.16.0", "10.88.16.1"}
    net.ok("exec", "a", "ping", "-c", "1", "-W", "15", b)
    for where, seen in ((OUTSIDE, HOST), (f"[{OUTSIDE6}]", HOST6)):
        assert seen in net.ok("exec", "a", "wget", "-qO-", f"http://{where}:8000/").out
    if slot:
        assert slot in net.world.host.run("bridge", "link")
    net.ok("rm", "-f", "-t", "0", "a", "b")
    assert "rlbr0" not in net.world.host.run("ip", "-o", "link")


@pytest.mark.rows("A52", "A55")
def test_published(net):
    """From outside by the kernel, which keeps the client's address; on the host by the forwarder; and
    ports come and go while it runs."""
    net.ok("run", "-d", "--name", "w", "--network", "bridge", "-p", "8080:80", net.image(), "sh", "-c",
           "mkdir /w; echo hello >/w/index.html; exec httpd -f -p 80 -h /w -v 2>/w/log")
    wait_for(lambda: "hello" in fetch(net.world.outside, HOST, 8080))
    assert "8080" in net.world.host.run("nft", "list", "map", "inet", "rootlet", "port4any")
    assert OUTSIDE in net.ok("exec", "w", "cat", "/w/log").out
    assert "hello" in fetch(net.world.outside, HOST6, 8080)
    assert "hello" in fetch(net.world.host, "127.0.0.1", 8080)
    net.ok("port", "add", "w", "8090:80")
    assert "hello" in fetch(net.world.outside, HOST, 8090)
    assert "8090" in net.world.host.run("nft", "list", "map", "inet", "rootlet", "port4any")
    net.ok("port", "rm", "w", "80/tcp")
    wait_for(lambda: not any(fetch(net.world.outside, HOST, port) for port in (8080, 8090)))


@pytest.mark.rows("A55", "A56")
def test_killed(net):
    """Supervisor and container killed: rm leaves nothing on the host."""
    net.ok("run", "-d", "--name", "k", "--network", "bridge", "-p", "8080:80", net.image(), "sleep", "1000")
    state = net.inspect("k")["State"]
    supervisor = state.get("SupervisorPid") or int(subprocess.run(
        ["ps", "-o", "ppid=", "-p", str(state["Pid"])], capture_output=True, text=True, check=True).stdout)
    os.kill(supervisor, signal.SIGKILL)
    os.kill(state["Pid"], signal.SIGKILL)
    wait_for(lambda: not os.path.exists(f"/proc/{state['Pid']}"))
    net.ok("rm", "-f", "-t", "0", "k")
    wait_for(lambda: "rlbr0" not in net.world.host.run("ip", "-o", "link"))
    assert "rootlet" not in net.world.host.run("nft", "list", "ruleset")


def test_live(net):
    """Joins and leaves while it runs."""
    net.ok("run", "-d", "--name", "c", "--network", "bridge", "--cap-add", "NET_RAW", net.image(), "sleep", "1000")
    net.ok("network", "create", "-d", "bridge", "second")
    net.ok("network", "connect", "second", "c")
    assert "eth1" in net.ok("exec", "c", "ip", "-o", "link").out
    net.ok("network", "disconnect", "second", "c")
    assert "eth1" not in net.ok("exec", "c", "ip", "-o", "link").out
    assert net.world.host.run("ip", "-o", "link").count("master rlbr0") == 1


@pytest.mark.parametrize("verb", ["add", "del"])
def test_a_helper_that_is_late(net, helper, verb):
    """The supervisor does not wait for it: what it has done is undone, what it has not is done without it."""
    net.ok("network", "create", "-d", "bridge", "second")
    net.ok("run", "-d", "--name", "c", "--network", "bridge", net.image(), "sleep", "1000")
    real = helper.program.with_name("real")
    try:
        if verb == "del":
            net.ok("network", "connect", "second", "c")
        helper.program.rename(real)
        late = f'"{real}" "$@"; exec sleep 100' if verb == "add" else "exec sleep 100"
        helper.program.write_text(f'#!/bin/sh\ncase $1 in {verb}) {late};; esac\nexec "{real}" "$@"\n')
        helper.program.chmod(0o755)
        if verb == "del":  # also one that was taken over
            os.kill(supervisor(net, "c"), signal.SIGKILL)
        r = net("network", "connect" if verb == "add" else "disconnect", "second", "c")
        assert r.rc == (125 if verb == "add" else 0), r
        assert "eth1" not in net.ok("exec", "c", "ip", "-o", "link").out
        wait_for(lambda: net.world.host.run("ip", "-o", "link").count("master rlbr0") == 1)
    finally:
        if real.exists():
            real.replace(helper.program)
    net.ok("network", "connect", "second", "c")
    assert "eth1" in net.ok("exec", "c", "ip", "-o", "link").out


@pytest.mark.rows("A48", "A50")
def test_name_and_subnet_of_the_bridge(net, helper):
    """As the administrator and network create say."""
    before = helper.conf.read_bytes()
    helper.policy("bridge mybr0 172.20.0.0/16 masquerade", f"{net.user.name} mybr0 4 auto")
    try:
        made = net.ok("network", "create", "-d", "bridge", "--subnet", "10.1.0.0/16", "slow")
        assert "driver user" in made.err and net.ok("network", "inspect", "-f", "{{.Driver}}", "slow").out == "user\n"
        net.ok("network", "create", "-d", "bridge", "--subnet", "172.20.0.0/16", "fast")
        net.ok("run", "-d", "--name", "a", "--network", "fast", net.image(), "sleep", "1000")
        assert "172.20.0.1/16" in net.world.host.run("ip", "-br", "addr", "show", "mybr0")
        have = net.inspect("a")["NetworkSettings"]["Networks"]["fast"]
        assert have["IPAddress"].startswith("172.20.") and have["Gateway"] == "172.20.0.1"
        assert "default via 172.20.0.1" in net.ok("exec", "a", "ip", "route").out
        net.ok("rm", "-f", "-t", "0", "a")
    finally:
        helper.policy(before)


def test_not_granted(net, helper):
    """Who has no grant is told so, and by whom it is given."""
    before = helper.conf.read_bytes()
    helper.policy("bridge rlbr0 10.88.0.0/16")
    try:
        r = net.ok("run", "--rm", "--network", "bridge", net.image(), "ip", "-o", "link")
        assert r.err == "rootlet: --network bridge: it is slirp here, there is no bridge of the host: net.conf grants this user no bridge\n"
        assert "tap0" in r.out
        helper.conf.unlink()
        r = net.ok("network", "create", "-d", "bridge", "x")
        assert re.fullmatch("rootlet: --driver bridge: x is a network of your own .*: no bridge is granted to anybody: there is no /\\S+\n", r.err), r
        # It works, and what only a bridge could do is refused.
        assert "eth0" in net.ok("run", "--rm", "--network", "x", net.image(), "ip", "-o", "link").out
        r = net.fails("run", "--rm", "--network", "bridge:ip=10.88.16.5", net.image(), "true")
        assert "granted to anybody" in r.err and "rootlet doctor tells how the administrator allows a bridge" in r.err, r
        host = next(d for d in net.ok("info", "--format", "{{json .Network}}").json() if d["Name"] == "bridge")
        assert not host["Usable"] and "no bridge is granted" in host["Why"], host
    finally:
        helper.policy(before)


def test_failures_change_no_network(net, helper):
    """What is set up but fails, perhaps for a moment only, is an error: no container comes to be in another network."""
    before, program = helper.conf.read_bytes(), helper.program
    try:
        kept = shutil.copy2(program, program.with_name("kept"))
        for breakage, says in ((lambda: subprocess.run(["setcap", "-r", str(program)], check=True), "lacks its capability"),
                               (lambda: helper.policy("bridge rlbr0"), "line 1"),
                               (lambda: program.write_bytes(b"#!/bin/sh\nkill -9 $$\n"), "rootlet-net-helper"),
                               (lambda: program.write_bytes(b"#!/bin/sh\necho x\n"), "is of another version")):
            breakage()
            for command in (["run", "--rm", "--network", "bridge", net.image(), "true"], ["create", "--network", "bridge", net.image(), "true"],
                            ["network", "create", "-d", "bridge", "x"]):
                r = net.fails(*command)
                assert re.search(says, r.err) and "\nhint: " in r.err, r
            assert not net.ok("ps", "-aq").out and not net.ok("network", "ls", "-q").out
            shutil.copy2(kept, program)
            subprocess.run(["setcap", "cap_net_admin+ep", str(program)], check=True)
            helper.policy(before)
        # A group's helper; what is not set up yet, or no more.
        program.chmod(0o750)
        r = net.ok("network", "create", "-d", "bridge", "x")
        assert "driver user" in r.err and "is not for this user to call" in r.err, r
        net.ok("network", "rm", "x")
        program.chmod(0o755)
        subprocess.run(["setcap", "-r", str(program)], check=True)
        helper.conf.unlink()
        assert "driver user" in net.ok("network", "create", "-d", "bridge", "x").err
    finally:
        kept.replace(program)
        program.chmod(0o755)
        subprocess.run(["setcap", "cap_net_admin+ep", str(program)], check=True)
        helper.policy(before)


@pytest.mark.rows("A56")
def test_no_more(net, helper, users):
    """Quota of the user, and the network's addresses: what is full, and who can change it."""
    before = helper.conf.read_bytes()
    try:
        for line, slots, says in (("bridge rlbr0 10.88.0.0/16 masquerade", 1, "all 1 interfaces on rlbr0 that this user may have are in use"),
                                  ("bridge rlbr0 10.99.0.0/30 masquerade", 4, "no free address on rlbr0")):
            helper.policy(line, f"{users[0].name} rlbr0 {slots} auto")
            net.ok("run", "-d", "--name", "a", "--network", "bridge", net.image(), "sleep", "1000")
            r = net.fails("run", "--rm", "--network", "bridge", net.image(), "true")
            assert says in r.err and "hint: containers that have ended give theirs back; the administrator may grant more" in r.err, r
            net.ok("rm", "-f", "-t", "0", "a")
            net.ok("run", "--rm", "--network", "bridge", net.image(), "true")
    finally:
        helper.policy(before)


def test_what_no_bridge_can_do(net):
    """A network that is not granted, or that a bridge of the host would not keep to, is one of the user's own."""
    for flags, why in ((["--subnet", "10.60.0.0/24"], "grants this user no bridge with the network 10.60.0.0/24"),
                       (["-o", "com.docker.network.bridge.name=dk0"], "grants this user no bridge of the name dk0"),
                       (["--internal"], "a bridge of the host is not internal")):
        r = net.ok("network", "create", "-d", "bridge", *flags, "x")
        assert re.fullmatch(f"rootlet: --driver bridge: x is a network of your own .*: .*{why}\n", r.err), r
        assert net.ok("network", "inspect", "-f", "{{.Driver}}", "x").text == "user"
        net.ok("network", "rm", "x")
    r = net.ok("network", "create", "-d", "bridge", "--subnet", "10.88.0.0/16", "y")
    assert not r.err and net.ok("network", "inspect", "-f", "{{.Driver}}", "y").text == "bridge"
    r = net.fails("run", "--rm", "--network", "y:ip6=fd00:88::9", net.image(), "true")
    assert "gives the addresses of IPv6" in r.err or "has no IPv6" in r.err, r


@pytest.mark.rows("A57")
def test_two_users(net, users, images):
    """Two accounts on one bridge: isolated from each other."""
    store = runner.Store(users[1])
    other = NetRootlet(users[1], store, images)
    other.world = net.world
    try:
        net.ok("run", "-d", "--name", "a", "--network", "bridge", "--cap-add", "NET_RAW", net.image(), "sleep", "1000")
        other.ok("run", "-d", "--name", "b", "--network", "bridge", "--cap-add", "NET_RAW", other.image(), "sleep", "1000")
        mine, theirs = address(net, "a"), address(other, "b")
        assert mine != theirs
        net.fails("exec", "a", "ping", "-c", "1", "-W", "1", theirs, rc=1)
        other.ok("run", "-d", "--name", "c", "--network", "bridge", "--cap-add", "NET_RAW", other.image(), "sleep", "1000")
        other.ok("exec", "c", "ping", "-c", "1", "-W", "15", theirs)  # the same by its own user
        net.ok("exec", "a", "ping", "-c", "1", "-W", "15", "10.88.0.1")
        other.ok("exec", "b", "ping", "-c", "1", "-W", "15", "10.88.0.1")
    finally:
        other.end()
        store.remove()


@pytest.mark.rows("A51", "A56")
@pytest.mark.parametrize("name,cure", [("docker.iptables", "iptables -I DOCKER-USER -i rlbr0 -j ACCEPT && iptables -I DOCKER-USER -o rlbr0 -j ACCEPT"),
                                       ("firewalld", "firewall-cmd --permanent --zone=trusted --add-interface=rlbr0 && firewall-cmd --reload"),
                                       (firewalls.OWN, "nft insert rule inet mine fw iifname rlbr0 accept && nft insert rule inet mine fw oifname rlbr0 accept")],
                         ids=["docker", "firewalld", "own"])
def test_other_firewalls(net, name, cure):
    """An event says what they will drop, and the commands in it are those that help."""
    host = net.world.host

    def life(n):
        net.ok("run", "-d", "--name", n, "--network", "bridge", net.image(), "sleep", "1000")
        asked = net("exec", n, "timeout", "2", "wget", "-qO-", f"http://{OUTSIDE}:8000/")
        notices = [e for e in net.ok("events", "--stream=false", "--since", "1h", "--format", "json", "--filter", f"container={n}").out.splitlines()
                   if "network_notice" in e]
        return asked.rc == 0, notices
    with firewalls.Loaded(host, name) as other:
        before = other.listed()
        passes, notices = life("first")
        assert not passes and len(notices) == 1 and cure in notices[0], notices
        assert other.listed() == before
        if name == "firewalld":  # what these commands make of its rules
            other.replace("firewalld-trusted")
        else:
            host.run("sh", "-ec", cure)
        before = other.listed()
        assert life("second") == (True, [])
        net.ok("rm", "-f", "-t", "0", "first", "second")
        assert other.listed() == before
