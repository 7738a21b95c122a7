"""resolv.conf and hosts of containers, by network: written at each start, in place."""
import json
import re

import pytest

from lib import rows


@pytest.fixture(name="slirp", scope="module")
def _slirp(module_rootlet):
    drivers = {d["Name"]: d for d in module_rootlet.ok("info", "--format", "{{json .Network}}").json()}
    if not drivers["slirp"]["Usable"]:
        pytest.skip(drivers["slirp"]["Why"])


def read(rootlet, *flags):
    """What stands in hosts and resolv.conf of a container of these options, as lists of words."""
    out = rootlet.ok("run", "--rm", *flags, rootlet.image(), "sh", "-c", "cat /etc/hosts; echo --; cat /etc/resolv.conf").out
    hosts, resolv = out.split("--\n")
    return [line.split() for line in hosts.splitlines()], [line.split() for line in resolv.splitlines()]


def servers(resolv):
    return [line[1] for line in resolv if line[0] == "nameserver"]


def host_servers():
    with open("/etc/resolv.conf", encoding="utf-8") as f:
        return [line.split()[1] for line in f if line.startswith("nameserver")]


def addresses(hosts, name):
    return [line[0] for line in hosts if name in line[1:]]


@rows("A54")
def test_slirp(rootlet, slirp):
    hosts, resolv = read(rootlet, "--network", "slirp", "--hostname", "web", "--name", "c")
    assert servers(resolv)[0] == "10.0.2.3" and not set(servers(resolv)) & set(host_servers())
    assert "10.0.2.100" in addresses(hosts, "web") and addresses(hosts, "web") == addresses(hosts, "c")
    (host,) = addresses(hosts, "host.containers.internal") or [None]
    assert addresses(hosts, "host.docker.internal") == ([host] if host else [])
    assert host not in ("10.0.2.2", "127.0.0.1")  # its loopback is closed
    hosts, _ = read(rootlet, "--network", "slirp:allow_host_loopback=true")
    assert addresses(hosts, "host.containers.internal") == ["10.0.2.2"]
    hosts, resolv = read(rootlet, "--network", "slirp:cidr=10.9.8.0/24", "--dns", "192.0.2.1", "--dns-search", "x.example", "--dns-option", "ndots:3",
                         "--add-host", "up:host-gateway", "--add-host", "host.docker.internal:192.0.2.8")
    assert resolv == [["search", "x.example"], ["nameserver", "192.0.2.1"], ["options", "ndots:3"]]
    assert addresses(hosts, "up") == addresses(hosts, "host.containers.internal")
    assert addresses(hosts, "host.docker.internal") == ["192.0.2.8"]


@rows("A54")
def test_user_networks(rootlet, slirp):
    for name, subnet, more in (("a", "10.76.0.0/24", ["--ipv6"]), ("b", "10.77.0.0/24", ["--internal"])):
        rootlet.ok("network", "create", "--subnet", subnet, *more, name)
    hosts, resolv = read(rootlet, "--network", "a:ip=10.76.0.9", "--hostname", "web")
    assert servers(resolv)[0] == "10.76.0.1"
    own = addresses(hosts, "web")
    assert own[0] == "10.76.0.9" and len(own) == 2 and own[1].startswith("fd")
    hosts, resolv = read(rootlet, "--network", "b", "--hostname", "web")
    assert servers(resolv) == ["10.77.0.1"] and addresses(hosts, "host.containers.internal") == []
    hosts, resolv = read(rootlet, "--network", "a", "--network", "b", "--hostname", "web")
    assert {a.rpartition(".")[0] for a in addresses(hosts, "web") if ":" not in a} == {"10.76.0", "10.77.0"}


def test_other_modes(rootlet):
    hosts, resolv = read(rootlet, "--network", "none", "--hostname", "web")
    assert servers(resolv) == host_servers()
    assert addresses(hosts, "web") == ["127.0.1.1"] and addresses(hosts, "host.containers.internal") == []
    hosts, resolv = read(rootlet, "--network", "host", "--hostname", "web")
    assert servers(resolv) == host_servers() and len(addresses(hosts, "host.containers.internal")) == 1


def test_whose_files_they_are(rootlet):
    """A joined network brings its resolv.conf; what one's own options say is one's own."""
    rootlet.ok("run", "-d", "--name", "c", "--dns", "192.0.2.1", "--add-host", "x:192.0.2.9", rootlet.image(), "sleep", "60")
    hosts, resolv = read(rootlet, "--network", "container:c", "--hostname", "web")
    assert servers(resolv) == ["192.0.2.1"] and addresses(hosts, "x") == [] and addresses(hosts, "web")
    hosts, resolv = read(rootlet, "--network", "container:c", "--uts", "container:c")
    assert servers(resolv) == ["192.0.2.1"] and addresses(hosts, "x") == ["192.0.2.9"]
    assert servers(read(rootlet, "--network", "container:c", "--dns", "192.0.2.2")[1]) == ["192.0.2.2"]


def test_files_that_are_the_images(rootlet):
    for flags, file in ((["--no-hosts"], "hosts"), (["--dns", "none"], "resolv.conf"), (["--no-hostname"], "hostname")):
        mounts = rootlet.ok("run", "--rm", *flags, rootlet.image(), "cat", "/proc/mounts").out
        assert f" /etc/{file} " not in mounts
        assert all(f" /etc/{f} " in mounts for f in ("hosts", "resolv.conf", "hostname") if f != file)


def test_base_of_hosts(rootlet):
    """none: localhost; a file of the host, read at each start; image: what that has."""
    base = rootlet.user.home / "hosts-base"
    base.write_text("192.0.2.7 base", encoding="utf-8")
    rootlet.ok("create", "--name", "c", "--hosts-file", base, rootlet.image(), "cat", "/etc/hosts")
    assert [x.split()[:2] for x in rootlet.ok("start", "-a", "c").out.splitlines()][0] == ["192.0.2.7", "base"]
    base.write_text("192.0.2.8 later\n", encoding="utf-8")
    out = rootlet.ok("start", "-a", "c").out
    assert out.startswith("192.0.2.8 later\n") and "localhost" not in out and "base" not in out
    base.unlink()
    rootlet.ok("run", "--name", "m", "--no-hosts", rootlet.image(), "sh", "-c", "echo 192.0.2.9 inimage >/etc/hosts")
    rootlet.ok("commit", "-q", "m", "with-hosts")
    hosts = rootlet.ok("run", "--rm", "--hosts-file", "image", "with-hosts", "cat", "/etc/hosts").out
    assert hosts.startswith("192.0.2.9 inimage\n")
    assert "inimage" not in rootlet.ok("run", "--rm", "with-hosts", "cat", "/etc/hosts").out
    rootlet.ok("rmi", "-f", "with-hosts")


def test_written_anew_at_each_start(rootlet):
    """What the container has written there does not stay, a new name is taken, the file stays the same one."""
    script = "stat -c %i /etc/hosts; cat /etc/hosts; echo 192.0.2.66 evil >>/etc/hosts"
    rootlet.ok("create", "--name", "c", rootlet.image(), "sh", "-c", script)
    first = rootlet.ok("start", "-a", "c").out
    rootlet.ok("rename", "c", "d")
    second = rootlet.ok("start", "-a", "d").out
    assert "evil" not in second and re.search(r"\bd$", second, re.M) and first.split()[0] == second.split()[0]


@rows("A53")
def test_connect_while_it_runs(rootlet, slirp):
    """An interface more, its names in hosts; gone again; kept for the next start."""
    for name, subnet in (("a", "10.76.0.0/24"), ("b", "10.77.0.0/24")):
        rootlet.ok("network", "create", "--subnet", subnet, name)
    rootlet.ok("run", "-d", "--name", "c", "--network", "a", "--hostname", "web", rootlet.image(), "sleep", "1000")
    inside = lambda *words: rootlet.ok("exec", "c", *words).out  # noqa: E731
    assert " eth1" not in inside("ip", "-o", "addr")
    rootlet.ok("network", "connect", "--ip", "10.77.0.9", "--alias", "cache", "b", "c")
    assert "10.77.0.9/24" in inside("ip", "-o", "addr") and "10.77.0.9" in inside("cat", "/etc/hosts")
    found = rootlet.inspect("c")["NetworkSettings"]["Networks"]
    assert found["b"]["IPAddress"] == "10.77.0.9" and found["b"]["Gateway"] == "10.77.0.1" and found["b"]["Aliases"] == ["cache"]
    assert found["a"]["IPPrefixLen"] == 24 and rootlet.ok("ps", "--format", "{{.Networks}}").text == "a,b"
    members = rootlet.ok("network", "inspect", "b").json()[0]
    (member,) = members["containers"].values()
    assert member["name"] == "c" and "10.77.0.9/24" in json.dumps(members["Containers"])
    rootlet.fails("network", "connect", "b", "c", match="already")
    rootlet.ok("restart", "-t", "0", "c")
    assert "10.77.0.9/24" in inside("ip", "-o", "addr")
    rootlet.ok("network", "disconnect", "b", "c")
    assert "10.77.0.9" not in inside("ip", "-o", "addr") + inside("cat", "/etc/hosts")
    assert "10.76.0.1" in inside("cat", "/etc/resolv.conf") and "10.77.0.1" not in inside("cat", "/etc/resolv.conf")
    assert list(rootlet.inspect("c")["NetworkSettings"]["Networks"]) == ["a"]
    rootlet.ok("network", "rm", "b")
    assert rootlet.ok("network", "rm", "-f", "-t", "0", "a").text == "a" and rootlet.ok("ps", "-aq").out == ""
