"""--network, -p, --expose, --ip, --dns, --add-host and their like: what is kept, what excludes what, and the messages."""
import io
import json
import os
import re
import tarfile

import pytest

from lib import rows


@pytest.fixture
def nets(rootlet):
    for name, subnet in (("a", "10.76.0.0/24"), ("b", "10.77.0.0/24")):
        rootlet.ok("network", "create", "--subnet", subnet, name)
    return rootlet


def plan(rootlet, *flags, env=None):
    """What a container of these options has in its record about the network."""
    cid = rootlet.ok("create", *flags, rootlet.image(), "true", env=env).text
    text = (rootlet.store.root / "containers" / cid / "container.json").read_text(encoding="utf-8")
    rootlet.ok("rm", cid)
    return json.loads(text)["network"]


GOOD = [
    ([], {"mode": "none"}),
    (["--network", "none"], {"mode": "none"}),
    (["--net", "host"], {"mode": "host"}),
    (["--network", "slirp"], {"mode": "slirp"}),
    (["--network", "slirp:mtu=1500,allow_host_loopback=true"], {"mode": "slirp", "options": ["mtu=1500", "allow_host_loopback=true"]}),
    (["--network", "slirp4netns:mtu=1400"], {"mode": "slirp", "options": ["mtu=1400"]}),
    (["--network", "a"], {"mode": "networks", "joins": [{"network": "a"}]}),
    (["--network", "a", "--network", "b"], {"mode": "networks", "joins": [{"network": "a"}, {"network": "b"}]}),
    (["--network", "a,b"], {"mode": "networks", "joins": [{"network": "a"}, {"network": "b"}]}),
    (["--network", "a:alias=x,alias=y,ip=10.76.0.9,mac=02:00:00:00:00:0A,interface_name=lan0"],
     {"mode": "networks", "joins": [{"network": "a", "aliases": ["x", "y"], "ip": "10.76.0.9", "mac": "02:00:00:00:00:0a", "interface": "lan0"}]}),
    (["--network", "alias=x,name=a"], {"mode": "networks", "joins": [{"network": "a", "aliases": ["x"]}]}),
    (["--network", "a", "--network-alias", "x", "--net-alias", "y", "--ip", "10.76.0.7", "--mac-address", "02-00-00-00-00-01"],
     {"mode": "networks", "joins": [{"network": "a", "aliases": ["x", "y"], "ip": "10.76.0.7", "mac": "02:00:00:00:00:01"}]}),
    (["--network", "a", "--network", "b:alias=x", "--network-alias", "y"],
     {"mode": "networks", "joins": [{"network": "a", "aliases": ["y"]}, {"network": "b", "aliases": ["x", "y"]}]}),
    (["--network", "a", "-p", "8080:80", "-p", "127.0.0.1:5353:53/udp", "--publish", "[::1]:7000-7002:7000-7002", "--port", "90"],
     {"mode": "networks", "joins": [{"network": "a"}], "ports": ["8080:80/tcp", "127.0.0.1:5353:53/udp", "[::1]:7000-7002:7000-7002/tcp", "90/tcp"]}),
    (["--network", "a", "--expose", "80", "--expose", "90-91/udp", "-P", "-p", "8080:80"],
     {"mode": "networks", "joins": [{"network": "a"}], "ports": ["8080:80/tcp", "90/udp", "91/udp"], "expose": ["80/tcp", "90/udp", "91/udp"]}),
    (["--expose", "80", "-P"], {"mode": "none", "expose": ["80/tcp"]}),
    (["--network", "slirp", "--dns", "192.0.2.1", "--dns-search", ".", "--dns-opt", "ndots:2", "--add-host", "db:192.0.2.9", "--add-host", "up:host-gateway"],
     {"mode": "slirp", "dns": ["192.0.2.1"], "dns_search": ["."], "dns_options": ["ndots:2"], "add_hosts": ["db:192.0.2.9", "up:host-gateway"]}),
    (["--no-hosts"], {"mode": "none", "no_hosts": True}),
    (["--hosts-file", "image"], {"mode": "none", "hosts_file": "image"}),
    (["--network", "slirp", "--egress", "allow=example.org:443,192.0.2.0/24", "--egress", "deny"],
     {"mode": "slirp", "egress": ["allow=example.org:443,192.0.2.0/24", "deny"]}),
]


@rows("A58")
@pytest.mark.parametrize("flags,want", GOOD, ids=[" ".join(f)[:60] or "none" for f, _ in GOOD])
def test_plans(nets, flags, want):
    assert plan(nets, *flags) == want


BAD = [
    (["--network", "nosuch"], "no such network: nosuch\nhint: rootlet network create nosuch"),
    (["--network", "a", "--ip6", "fd00::1"], "--network a: fd00::1: network a has no IPv6\nhint: .*--ipv6"),
    (["--network", "podman"], "no such network: podman\nhint: without --network"),
    (["--network", "nosuch:x"], "\"x\" is not KEY=VALUE"),
    (["--network", "a b"], "unknown network mode"),
    (["--network", "none:x"], "takes no options"),
    (["--network", "host:"], "takes no options"),
    (["--network", "container"], "want container:ID"),
    (["--network", "container:nosuch"], "no such container"),
    (["--network", "ns:"], "want ns:PATH"),
    (["--network", "user"], "is a driver of networks\nhint: rootlet network create"),
    (["--network", "bridge:nosuch=1"], "unknown option"),
    (["--network", "host", "--network", "a"], "\"host\" excludes other networks\nhint: several"),
    (["--network", "a", "--network", "none"], "\"none\" excludes other networks"),
    (["--network", "a", "--network", "a"], "network a is given twice"),
    (["--network", "a:ip=10.77.0.1"], "10.77.0.1 is no address of network a\nhint: its subnet is 10.76.0.0/24"),
    (["--network", "a:ip=10.76.0.1"], "10.76.0.1 is the gateway"),
    (["--network", "a:ip=10.76.0.0"], "10.76.0.0 is network a itself"),
    (["--network", "a", "--ip", "10.76.0.255"], "10.76.0.255 is network a itself, or all of it"),
    (["--network", "a:interface_name=x", "--network", "b:interface_name=x"], "--network b: the interface of network a is called x already"),
    (["--network", "a:ip=127.0.0.1"], "no address that an interface can have"),
    (["--network", "a:ip=10.76.0.2,ip=10.76.0.3"], "is given twice"),
    (["--network", "a:alias=a b"], "is not a name of a host"),
    (["--network", "a:mac=ff:ff:ff:ff:ff:ff"], "network card\nhint: for example"),
    (["--network", "a:interface_name=../x"], "not a name of an interface"),
    (["--network", "a:mode=l2"], "unknown option \"mode\"\nhint: known are alias="),
    (["--network", "slirp:nosuch=1"], "nosuch"),
    (["--network", "slirp:mtu=1"], "mtu"),
    (["--network", "a", "--network", "b", "--ip", "10.76.0.2"], "--ip: of which network\\?\nhint: .*--network a:ip="),
    (["--network", "a", "--network", "b", "--mac-address", "02:00:00:00:00:01"], "hint: .*--network a:mac="),
    (["--network", "slirp", "--ip", "10.0.2.9"], "network mode slirp gives no choice\nhint: rootlet network create"),
    (["--network", "a", "--ip", "fd00::1"], "is not an IPv4 address"),
    (["--network", "a", "--ip6", "10.76.0.2"], "is not an IPv6 address"),
    (["--network-alias", "x"], "network mode none gives no choice"),
    (["--network", "a", "--network-alias", ""], "is not a name of a host"),
    (["-p", "80"], "a container without a network has no ports\nhint: "),
    (["--network", "a", "-p", "x"], "--publish x"),
    (["--network", "a", "-p", "80:80/sctp"], "sctp cannot be published"),
    (["--network", "a", "-p", "70000"], "--publish 70000"),
    (["--network", "a", "--expose", "0"], "--expose 0"),
    (["--network", "ns:/proc/self/ns/net", "-p", "80"], "the network belongs to another"),
    (["--dns", "example.org"], "--dns example.org: not an address"),
    (["--dns", "none", "--dns-search", "x"], "--dns none excludes"),
    (["--dns-search", "a b"], "is not one word"),
    (["--add-host", "x:host-gateway"], "\"x:host-gateway\": without a network the host has no address\nhint: --network slirp"),
    (["--add-host", "x"], "not HOST:IP\nhint: .*host-gateway"),
    (["--no-hosts", "--hosts-file", "image"], "--no-hosts and --hosts-file exclude each other"),
    (["--hosts-file", "x"], "not none, image or an absolute path"),
    (["--egress", "deny"], "network mode none cannot keep to it\nhint: --network slirp"),
    (["--network", "a", "--egress", "deny"], "for all members of a network\nhint: rootlet network create --egress"),
    (["--network", "slirp", "--egress", "perhaps"], "--egress perhaps: .*neither deny nor allow=.*\nhint: what no rule allows"),
    (["--link", "x"], "--link is not there yet\nhint: .*by name"),
]


@pytest.mark.parametrize("flags,match", BAD, ids=[" ".join(f)[:60] for f, _ in BAD])
def test_refused(nets, flags, match):
    r = nets.fails("create", *flags, nets.image(), "true", match=match)
    assert r.err.startswith("Error: ") and r.err.count("\n") <= 2
    assert nets.ok("ps", "-aq").out == ""


def test_default(rootlet):
    """What stands for --network: the flag, the environment, the file; auto is what works here."""
    drivers = {d["Name"]: d for d in rootlet.ok("info", "--format", "{{json .Network}}").json()}
    want = "slirp" if drivers["slirp"]["Usable"] else "none"
    image = rootlet.image()
    for flags, env, mode in (((), "auto", want), ((), None, want), (("--network", "default"), "host", "host"),
                             (("--network", "private"), "auto", want), (("--network", "none"), "host", "none"), ((), "slirp:mtu=1400", "slirp")):
        r = rootlet.ok("create", "--name", "c", *flags, image, "true", env={"ROOTLET_NETWORK": env})
        assert rootlet.inspect("c")["HostConfig"]["NetworkMode"] == mode, (flags, env)
        if want == "none" and mode == "none" and env != "host":
            assert "there is no network in the container: " in r.err
        else:
            assert r.err == ""
        rootlet.ok("rm", "c")
    rootlet.fails("create", image, "true", env={"ROOTLET_NETWORK": "nosuch"}, match="no such network: nosuch")
    r = rootlet.ok("create", "--network", "slirp4netns", image, "true")
    assert re.fullmatch("rootlet: --network slirp4netns: .*\n", r.err)
    assert rootlet.ok("create", "-q", "--network", "slirp4netns", image, "true").err == ""


def test_settings(rootlet):
    where = rootlet.user.home / "network-settings"
    rootlet.shell(f"mkdir -p {where}/rootlet")
    (where / "rootlet" / "rootlet.conf").write_text(
        "publish_address = 127.0.0.1\ndns = 192.0.2.1, 192.0.2.2\ndns_search = .\nhosts_file = image\n", encoding="utf-8")
    env = {"XDG_CONFIG_HOME": where}
    rootlet.ok("network", "create", "n")
    assert plan(rootlet, "--network", "n", "-p", "80", "-p", "[::1]:90:90", env=env) == {
        "mode": "networks", "joins": [{"network": "n"}], "ports": ["127.0.0.1::80/tcp", "[::1]:90:90/tcp"], "dns": ["192.0.2.1", "192.0.2.2"],
        "dns_search": ["."], "hosts_file": "image"}
    assert plan(rootlet, "--dns", "192.0.2.9", "--hosts-file", "none", "--dns-search", "x", env=env) == {
        "mode": "none", "dns": ["192.0.2.9"], "dns_search": ["x"], "hosts_file": "none"}
    rootlet.shell(f"rm -r {where}")


def test_the_hosts_bridge(rootlet):
    """podman's and docker's default: here the administrator's, who has to set it up."""
    drivers = {d["Name"]: d for d in rootlet.ok("info", "--format", "{{json .Network}}").json()}
    if drivers.get("bridge", {}).get("Usable"):
        pytest.skip("it is set up here")
    image = rootlet.image()
    r = rootlet.ok("create", "--name", "c", "--network", "bridge", image, "true")
    assert re.fullmatch(r"rootlet: --network bridge: it is none here, there is no bridge of the host: .+\n", r.err)
    rootlet.ok("network", "create", "net")
    for flags in (["--network", "bridge:ip=10.1.1.1"], ["--network", "bridge", "--network", "net"]):
        rootlet.fails("create", *flags, image, "true",
                      match=r"^Error: --network: network bridge \(driver bridge\): .+\nhint: networks of 'rootlet network create NAME' need no privilege; rootlet doctor tells .*\n$")
    rootlet.fails("create", "--network", "bridge", "--ip", "10.1.1.1", image, "true", match="--ip: network mode none gives no choice")
    # What podman calls so: a network in a namespace of the user's.
    r = rootlet.ok("network", "create", "-d", "bridge", "-o", "com.docker.network.bridge.name=br0", "x")
    assert r.out == "x\n" and re.fullmatch(r"rootlet: --driver bridge: x is a network of your own \(driver user\), not a bridge of the host: .+\n", r.err)
    assert rootlet.ok("network", "inspect", "-f", "{{.Driver}} {{.NetworkInterface}}", "x").text == "user br0"
    rootlet.ok("create", "--name", "d", "--network", "x", image, "true")
    # Once made it is what it is.
    assert not rootlet.ok("network", "create", "--ignore", "x").err
    rootlet.fails("inspect", "net", match="there is a network of this name: rootlet network inspect net")


def test_ports_of_the_hosts_network(rootlet):
    """As docker and podman: a notice, and nothing is published."""
    r = rootlet.ok("create", "--network", "host", "-p", "80:80", "--name", "c", rootlet.image(), "true")
    assert re.fullmatch("rootlet: --network host shares .*\n", r.err)
    assert rootlet.inspect("c")["HostConfig"]["PortBindings"] == {}


@rows("B3")
def test_inspect(nets):
    nets.ok("create", "--name", "c", "--network", "a:alias=x,ip=10.76.0.9", "--network", "b", "-p", "8080:80", "-p", "127.0.0.1::53/udp",
            "-p", "9000-9001:9000-9001", "--expose", "99", nets.image(), "true")
    c = nets.inspect("c")
    bindings = {"80/tcp": [{"HostIp": "", "HostPort": "8080"}], "53/udp": [{"HostIp": "127.0.0.1", "HostPort": ""}],
                "9000/tcp": [{"HostIp": "", "HostPort": "9000"}], "9001/tcp": [{"HostIp": "", "HostPort": "9001"}]}
    assert c["HostConfig"]["PortBindings"] == bindings and c["HostConfig"]["NetworkMode"] == "bridge"
    assert c["NetworkSettings"]["Ports"] == {**bindings, "99/tcp": None}
    assert set(c["Config"]["ExposedPorts"]) == {*bindings, "99/tcp"}
    found = c["NetworkSettings"]["Networks"]
    assert list(found) == ["a", "b"] and found["a"]["Aliases"] == ["x"]
    assert nets.ok("ps", "-a", "--format", "{{.Networks}}").text == "a,b"
    assert nets.ok("ps", "-aq", "--filter", "network=b").out and not nets.ok("ps", "-aq", "--filter", "network=nosuch").out


def test_pods(nets):
    """The pod has the network; its members have none of their own to say anything about."""
    nets.ok("pod", "create", "--network", "a:ip=10.76.0.9", "-p", "18080:80", "--network-alias", "x", "--add-host", "db:192.0.2.9",
            "--dns", "192.0.2.1", "p")
    infra = nets.inspect("p-infra")
    assert infra["NetworkSettings"]["Networks"]["a"]["Aliases"] == ["x", "p"]
    assert infra["HostConfig"]["PortBindings"] == {"80/tcp": [{"HostIp": "", "HostPort": "18080"}]}
    config = nets.ok("pod", "inspect", "p").json()
    config = (config[0] if isinstance(config, list) else config)["InfraConfig"]
    assert config["PortBindings"] == infra["HostConfig"]["PortBindings"] and config["Networks"] == ["a"]
    assert config["StaticIP"] == "10.76.0.9" and config["DNSServer"] == ["192.0.2.1"] and config["HostAdd"] == ["db:192.0.2.9"]
    for flags in (["-p", "80"], ["-P"], ["--ip", "10.76.0.3"], ["--network-alias", "y"], ["--network", "b"], ["--mac-address", "02:00:00:00:00:01"],
                  ["--egress", "deny"]):
        nets.fails("create", "--pod", "p", *flags, nets.image(), "true", match="pod p shares its network\nhint: .*pod create")
    nets.fails("network", "rm", "a", rc=2, match="used by p-infra")
    nets.ok("pod", "rm", "p")
    nets.ok("network", "rm", "a")


def test_of_one_with_the_hosts_network(nets):
    """It has no namespace that another could join: the other has the host's network as well."""
    own = os.readlink("/proc/self/ns/net")
    nets.ok("run", "-d", "--name", "h", "--network", "host", nets.image(), "sleep", "1000")
    assert nets.ok("run", "--rm", "--network", "container:h", nets.image(), "readlink", "/proc/self/ns/net").text == own
    r = nets.ok("create", "--name", "c", "--network", "container:h", "-p", "80:80", nets.image(), "true")
    assert "there is nothing to publish" in r.err and nets.inspect("c")["HostConfig"]["NetworkMode"] == "host"
    nets.ok("rm", "-f", "-t", "0", "h")


def test_a_new_pod(nets):
    """Made by its first member, it has what that one says of the network."""
    ip = ["--ip", "10.76.0.9"]
    nets.ok("create", "--pod", "new:p", "--name", "c", "--network", "a", *ip, "-p", "18080:80", "--network-alias", "x", "--hostname", "box",
            "--add-host", "db:[2001:db8::7]", "--dns", "192.0.2.1", nets.image(), "true")
    infra, c = nets.inspect("p-infra"), nets.inspect("c")
    assert infra["NetworkSettings"]["Networks"]["a"]["Aliases"] == ["x", "p"]
    assert infra["HostConfig"]["PortBindings"] == {"80/tcp": [{"HostIp": "", "HostPort": "18080"}]}
    assert infra["HostConfig"]["Dns"] == ["192.0.2.1"] and infra["HostConfig"]["ExtraHosts"] == ["db:[2001:db8::7]"]
    assert infra["Config"]["Hostname"] == "box"
    assert c["HostConfig"]["NetworkMode"] == f"container:{infra['Id']}" and not c["HostConfig"]["Dns"]
    nets.fails("create", "--pod", "p", *ip, nets.image(), "true", match="--ip: pod p shares its network")
    # What cannot be leaves no pod behind.
    nets.fails("create", "--pod", "new:q", "-P", nets.image(), "true", match="--publish-all: pod q has no image\nhint: --publish")
    nets.fails("create", "--pod", "new:q", "-p", "x", nets.image(), "true", match='"x" is not a port')
    nets.fails("pod", "exists", "q", rc=1, match="^$")
    nets.ok("pod", "rm", "-f", "p")


@rows("A63", "B3")
def test_of_a_running_container(rootlet):
    """What was published, and the addresses: ps, port and inspect agree, and say it in docker's and podman's words."""
    drivers = {d["Name"]: d for d in rootlet.ok("info", "--format", "{{json .Network}}").json()}
    if not drivers["slirp"]["Usable"]:
        pytest.skip(drivers["slirp"]["Why"])
    rootlet.ok("run", "-d", "--name", "c", "--network", "slirp", "-p", "80", "-p", "127.0.0.1::53/udp", "--expose", "99", rootlet.image(), "sleep", "1000")
    c = rootlet.inspect("c")
    ports = c["NetworkSettings"]["Ports"]
    (tcp,), (udp,) = ports["80/tcp"], ports["53/udp"]
    assert tcp["HostIp"] == "0.0.0.0" and 0 < int(tcp["HostPort"]) < 65536 and udp["HostIp"] == "127.0.0.1" and ports["99/tcp"] is None
    shown = rootlet.ok("ps", "--format", "{{.Ports}}").text
    assert shown.split(", ") == [f"0.0.0.0:{tcp['HostPort']}->80/tcp", f"127.0.0.1:{udp['HostPort']}->53/udp"]
    assert shown in rootlet.ok("ps").out
    assert rootlet.ok("port", "c", "80").text == f"0.0.0.0:{tcp['HostPort']}"
    settings = c["NetworkSettings"]
    assert (settings["IPAddress"], settings["IPPrefixLen"], settings["Gateway"]) == ("10.0.2.100", 24, "10.0.2.2")
    assert settings["Networks"]["slirp"]["IPAddress"] == "10.0.2.100" and re.fullmatch("([0-9a-f]{2}:){5}[0-9a-f]{2}", settings["MacAddress"])
    assert settings["SandboxKey"] == f"/proc/{c['State']['Pid']}/ns/net"
    assert "10.0.2.100" in rootlet.ok("list").out
    (row,) = rootlet.ok("ps", "--format", "json").json()
    assert row["Networks"] == ["slirp"] and row["IP"] == "10.0.2.100"
    assert row["Ports"][0] == {"host_ip": "0.0.0.0", "container_port": 80, "host_port": int(tcp["HostPort"]), "range": 1, "protocol": "tcp"}
    rootlet.ok("stop", "-t", "0", "c")
    assert rootlet.inspect("c")["NetworkSettings"]["Ports"]["80/tcp"] == [{"HostIp": "", "HostPort": ""}]
    assert rootlet.ok("ps", "-a", "--format", "{{.Ports}}").text == ""


def test_exposed_without_end(rootlet):
    """What names every port there is costs no time: of an image it is left out, and an option is told so."""
    rootlet.fails("create", "--expose", "1-65535", rootlet.image(), "true",
                  match=r"--expose 1-65535: more than 1024 ports are exposed\nhint: ")
    saved = rootlet.ok("save", "--format", "docker-archive", rootlet.image(), binary=True).out
    made = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(saved)) as old, tarfile.open(fileobj=made, mode="w") as new:
        (manifest,) = json.load(old.extractfile("manifest.json"))
        config = json.load(old.extractfile(manifest["Config"]))
        config["config"]["ExposedPorts"] = {"80/tcp": {}, "1-65535/tcp": {}, "1-65535/udp": {}}
        manifest.update(Config="config.json", RepoTags=["localhost/all:1"])
        for name, data in (("manifest.json", json.dumps([manifest]).encode()), ("config.json", json.dumps(config).encode()),
                           *((n, old.extractfile(n).read()) for n in manifest["Layers"])):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            new.addfile(info, io.BytesIO(data))
    rootlet.ok("load", input=made.getvalue())
    rootlet.ok("create", "--name", "d", "localhost/all:1", "true", timeout=20)
    assert list(rootlet.inspect("d")["Config"]["ExposedPorts"]) == ["80/tcp"]
