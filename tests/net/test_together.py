"""The network beside what else containers do: pods, shared namespaces, stats, events, restarts."""
import json
import os
import shutil
import signal
import subprocess

import pytest

from lib import host
from test_drivers import kill_start, network_processes, reaches, state_of, supervisor_of
from world import HOST, OUTSIDE, fetch, wait_for

pytestmark = pytest.mark.skipif(not (host.BUILDDIR / "rootlet-slirp").exists(), reason="built without libslirp")
SERVE = ("sh", "-c", "mkdir -p /www; hostname >/www/index.html; exec httpd -f -p 80 -h /www")


def page(net, port):
    return fetch(net.world.outside, HOST, port).strip()


@pytest.mark.rows("A48")
def test_the_default_is_user_mode(net):
    net.ok("run", "-d", "--name", "c", net.image(), "sleep", "1000")
    assert state_of(net)["networks"] == ["slirp"]
    assert reaches(net)


@pytest.mark.rows("A52")
def test_a_pod_has_one_network(net):
    """The infra container's; members reach each other by loopback, and the pod's port leads to one."""
    net.ok("pod", "create", "--name", "p", "-p", "8080:80")
    net.ok("run", "-d", "--pod", "p", "--name", "web", net.image(), *SERVE)
    net.ok("run", "-d", "--pod", "p", "--name", "other", net.image(), "sleep", "1000")
    wait_for(lambda: net("exec", "other", "wget", "-qO-", "http://127.0.0.1/").rc == 0, what="the server")
    assert wait_for(lambda: page(net, 8080))
    assert len(network_processes(net, "rootlet-slirp")) == 1
    assert reaches(net, "other")
    net.ok("pod", "rm", "-f", "-t", "0", "p")
    assert not network_processes(net)


@pytest.mark.rows("A48")
def test_anothers_network(net):
    net.ok("run", "-d", "--name", "a", "-p", "8080:80", net.image(), "sleep", "1000")
    net.ok("run", "-d", "--name", "b", "--network", "container:a", net.image(), *SERVE)
    assert wait_for(lambda: page(net, 8080))
    assert reaches(net, "b")
    addresses = [net.ok("exec", c, "ip", "-o", "addr").out for c in "ab"]
    assert addresses[0] == addresses[1]


@pytest.mark.rows("A52", "B17")
def test_ports_over_the_death_of_the_supervisor(net):
    """The forwarder goes on; whoever takes over has the same sockets, and gives them back at the end."""
    net.ok("run", "-d", "--name", "c", "-p", "8080:80", net.image(), *SERVE)
    want = wait_for(lambda: page(net, 8080))
    os.kill(supervisor_of(net), signal.SIGKILL)
    assert page(net, 8080) == want
    net.ok("kill", "-s", "WINCH", "c")  # which starts another supervisor
    assert net.ok("port", "c").text == "80/tcp -> 0.0.0.0:8080"
    for pid in network_processes(net, "rootlet-ports"):
        os.kill(pid, signal.SIGKILL)
    assert wait_for(lambda: page(net, 8080)) == want
    net.ok("stop", "-t", "0", "c")
    net.ok("run", "--rm", "-p", "8080:80", net.image(), "true")


@pytest.mark.rows("A52")
def test_a_port_is_free_when_stop_returns(net):
    net.ok("create", "--name", "c", "-p", "8080:80", net.image(), *SERVE)
    net.ok("create", "--name", "d", "-p", "8080:80", net.image(), *SERVE)
    for _ in range(3):
        for name in "cd":
            net.ok("start", name)
            net.ok("stop", "-t", "0", name)


@pytest.mark.rows("A52")
def test_a_taken_port_names_its_holder(net):
    net.ok("run", "-d", "--name", "holder", "-p", "8080:80", net.image(), "sleep", "1000")
    r = net.fails("run", "-d", "--name", "late", "-p", "127.0.0.1:8080:80", net.image(), "sleep", "1000",
                  match="container holder has it")
    assert "8080" in r.err
    assert state_word(net, "late") == "created"
    net.ok("rm", "-f", "-t", "0", "holder")
    net.ok("start", "late")


def state_word(net, name):
    return net.ok("inspect", "-f", "{{.State.Status}}", name).text


@pytest.mark.rows("A48")
def test_one_that_cannot_start_leaves_no_process(net):
    net.fails("run", "--rm", "-p", "8080:80", net.image(), "/nonexistent", rc=127)
    assert not network_processes(net)
    net.ok("run", "--rm", "-p", "8080:80", net.image(), "true")


@pytest.mark.rows("B17")
def test_a_process_that_dies_again_and_again(net):
    """It is not started for ever; the container goes on."""
    net.ok("run", "-d", "--name", "c", "-p", "8080:80", net.image(), *SERVE)
    for _ in range(5):
        wait_for(lambda: page(net, 8080), what="an answer")  # one that is killed while it starts would be no restart
        (pid,) = wait_for(lambda: network_processes(net, "rootlet-ports"))
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda p=pid: p not in network_processes(net, "rootlet-ports") and
                 network_processes(net, "rootlet-ports"), what="another one")
    wait_for(lambda: page(net, 8080), what="an answer")
    (pid,) = network_processes(net, "rootlet-ports")
    os.kill(pid, signal.SIGKILL)
    events = wait_for(lambda: [e for e in journal(net) if e["Action"] == "network_failed"], what="network_failed")
    assert events[0]["Actor"]["Attributes"]["process"] == "ports"
    assert len([e for e in journal(net) if e["Action"] == "network_restart"]) == 5
    assert state_word(net, "c") == "running" and reaches(net)
    net.ok("restart", "-t", "0", "c")
    assert wait_for(lambda: page(net, 8080))


def journal(net):
    out = net.ok("events", "--stream=false", "--since", "1h", "--until", "0s", "--format", "json").out
    events = []
    for line in out.splitlines():
        e = json.loads(line)
        e.setdefault("Action", e.get("Status"))
        e.setdefault("Actor", {"Attributes": e.get("Attributes") or {}})
        events.append(e)
    return events


@pytest.mark.rows("A48")
def test_stats_count_what_went_over_the_network(net):
    net.ok("run", "-d", "--name", "c", net.image(), "sleep", "1000")
    net.ok("exec", "c", "sh", "-c", f"wget -qO /dev/null http://{OUTSIDE}:8000/big")
    text = net("stats", "--no-stream", "--format", "{{.NetIO}}", "c").out
    assert "MB" in text, text


@pytest.mark.rows("B17")
def test_a_restart_policy_brings_the_network_again(net):
    net.ok("run", "-d", "--name", "c", "--restart", "always", "-p", "8080:80", net.image(), *SERVE)
    wait_for(lambda: page(net, 8080))
    for _ in range(2):
        pid = net.inspect("c")["State"]["Pid"]
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda p=pid: net.inspect("c")["State"]["Pid"] not in (0, p), what="another run")
        assert wait_for(lambda: page(net, 8080))
    assert len(network_processes(net, "rootlet-slirp")) == 1


@pytest.mark.rows("A48")
def test_killed_while_it_starts(net):
    """Whatever of the start there was when it ended, nothing of it stays."""
    for ms in (0, 2, 5, 8, 12, 20, 30):
        kill_start(net, ms, ("rootlet-supervise",))
        wait_for(lambda: not network_processes(net), what="the end of the network's processes")


@pytest.mark.skipif(not shutil.which("pasta"), reason="pasta is not installed")
def test_nothing_of_ours_stands_among_processes_that_see_the_hosts(net):
    """What lets pasta in could be traced from a container with the host's process namespace."""
    net.ok("run", "-d", "--name", "c", "--network", "pasta", "--pid", "host", net.image(), "sleep", "1000")
    assert reaches(net)
    for pid in network_processes(net, "pasta"):
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: [e for e in journal(net) if e["Action"] == "network_failed"], what="network_failed")
    assert not network_processes(net) and state_word(net, "c") == "running"


@pytest.mark.rows("A54", "B29")
def test_the_host_by_name(net):
    """host-gateway and host.containers.internal: an address by which the host is reached, or a word about it."""
    image = net.image()
    net.ok("network", "create", "n")
    net.ok("network", "create", "--internal", "back")
    net.ok("run", "-d", "--name", "own", "--network", "slirp:allow_host_loopback", image, "sleep", "1000")
    net.ok("pod", "create", "--network", "n", "crew")
    pasta = ""
    if shutil.which("pasta") and "--map-guest-addr" in subprocess.run(["pasta", "--help"], capture_output=True, text=True, check=False).stdout:
        pasta = "169.254.1.2"

    def run(*network):
        r = net.ok("run", "--rm", *network, "--add-host", "up:host-gateway", image, "cat", "/etc/hosts")
        lines = [line.split() for line in r.out.splitlines()]
        found = {line[0] for line in lines if set(line[1:]) & {"up", "host.containers.internal", "host.docker.internal"}}
        assert len(found) < 2
        return "".join(found), r.err
    for network, want in (("slirp", HOST), ("slirp:allow_host_loopback", "10.0.2.2"), ("host", HOST), ("n", HOST), ("container:own", "10.0.2.2")):
        assert run("--network", network) == (want, ""), network
    assert run("--pod", "crew") == (HOST, "")
    told = "rootlet: --add-host up:host-gateway: no address of the host: "
    assert run("--network", "back") == ("", told + "network back is internal\n")
    if next(d for d in net.ok("info", "--format", "{{json .Network}}").json() if d["Name"] == "pasta")["Usable"]:
        assert run("--network", "pasta") == (pasta, "" if pasta else told + "this pasta has no address for it\n")
    r = net("run", "--rm", "--network", "none", "--add-host", "up:host-gateway", image, "true")
    assert r.rc == 125 and "without a network the host has no address" in r.err
    # It has one when it is in another network as well.
    net("run", "-d", "--name", "late", "--network", "back", "--add-host", "up:host-gateway", image, "sleep", "1000")
    net.ok("network", "connect", "n", "late")
    assert f"{HOST}\tup\n" in net.ok("exec", "late", "cat", "/etc/hosts").out
