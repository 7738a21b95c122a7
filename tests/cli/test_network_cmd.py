"""network create, ls, inspect, rm, prune, exists, connect and disconnect, as far as no container runs in them."""
import ipaddress
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import pytest

from lib import host, rows

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "oci"))

# pylint: disable=wrong-import-position,import-error
from sandbox import SCRATCH, Sandbox  # noqa: E402


def make(rootlet, *flags):
    return rootlet.ok("network", "create", *flags).text


def names(rootlet, *flags):
    return rootlet.ok("network", "ls", "-q", *flags).out.split()


def events(rootlet, kind):
    text = (rootlet.store.runroot / "events").read_text(encoding="utf-8")
    return [(e["Status"], e["Name"]) for e in map(json.loads, text.splitlines()) if e["Type"] == kind]


def inspect(rootlet, name):
    (found,) = rootlet.ok("network", "inspect", name).json()
    return found


@rows("A48")
def test_life_of_a_network(rootlet):
    assert rootlet.ok("network", "ls").out == "NETWORK ID  NAME  DRIVER\n"
    assert make(rootlet, "--label", "app=web", "--label", "empty", "web") == "web"
    assert make(rootlet) == "net1" and make(rootlet) == "net2"
    lines = [line.split() for line in rootlet.ok("network", "list").out.splitlines()[1:]]
    assert [line[1:] for line in lines] == [["net1", "user"], ["net2", "user"], ["web", "user"]]
    found = inspect(rootlet, "web")
    assert found["id"].startswith(lines[2][0]) and re.fullmatch("[0-9a-f]{64}", found["id"])
    assert found["labels"] == {"app": "web", "empty": ""} and found["dns_enabled"] and not found["internal"]
    assert rootlet.ok("network", "inspect", "-f", "{{.Name}} {{.Driver}} {{.Scope}}", found["id"][:8]).text == "web user local"
    rootlet.fails("network", "create", "web", match="web exists already\nhint: --ignore")
    assert make(rootlet, "--ignore", "web") == "web"
    rootlet.ok("network", "exists", "web")
    rootlet.fails("network", "exists", "wob", rc=1, match="^$")
    assert rootlet.ok("network", "rm", "web", "net1").out.split() == ["web", "net1"]
    rootlet.fails("network", "rm", "web", rc=1, match="no such network: web\nhint: rootlet network create web")
    assert rootlet.ok("network", "remove", "-f", "web").out == ""
    assert rootlet.ok("network", "rm", "--all").text == "net2" and names(rootlet) == []
    assert events(rootlet, "network") == [(what, name) for what, some in (("create", "web net1 net2"), ("remove", "web net1 net2"))
                                          for name in some.split()]
    r = rootlet.fails("network", "inspect", "web", match="no such network: web")
    assert r.out == "[]\n"


@rows("A48")
def test_addresses(rootlet):
    """Given ones are kept; those that are chosen are nobody's else."""
    make(rootlet, "--subnet", "172.31.240.0/20", "--gateway", "172.31.240.9", "--ip-range", "172.31.241.0/24",
         "--subnet", "fd12:3456::/64", "-o", "mtu=1400", "given")
    found = inspect(rootlet, "given")
    assert found["subnets"] == [
        {"subnet": "172.31.240.0/20", "gateway": "172.31.240.9", "lease_range": {"start_ip": "172.31.241.0", "end_ip": "172.31.241.255"}},
        {"subnet": "fd12:3456::/64", "gateway": "fd12:3456::1"}]
    assert found["IPAM"]["Config"][0] == {"Subnet": "172.31.240.0/20", "Gateway": "172.31.240.9", "IPRange": "172.31.241.0/24"}
    assert found["ipv6_enabled"] and found["options"] == {"mtu": "1400"}
    out = rootlet.ok("network", "ls", "--format", "{{range .Subnets}}{{.Subnet}},{{.Gateway}} {{end}}").text.split()
    assert out == ["172.31.240.0/20,172.31.240.9", "fd12:3456::/64,fd12:3456::1"]
    chosen = []
    for n in range(4):
        make(rootlet, "--ipv6", "--internal", "--disable-dns", f"n{n}")
        found = inspect(rootlet, f"n{n}")
        assert found["internal"] and not found["dns_enabled"]
        nets = [ipaddress.ip_network(s["subnet"]) for s in found["subnets"]]
        assert [s.version for s in nets] == [4, 6] and nets[1].subnet_of(ipaddress.ip_network("fd00::/8"))
        assert all(ipaddress.ip_address(s["gateway"]) == net[1] for s, net in zip(found["subnets"], nets))
        chosen += nets
    on_host = subprocess.run(["ip", "-j", "addr"], capture_output=True, text=True, check=True).stdout
    for i in json.loads(on_host):
        chosen += [ipaddress.ip_interface(f"{a['local']}/{a['prefixlen']}").network
                   for a in i["addr_info"] if i["ifname"] != "lo" and a["scope"] == "global"]
    assert not any(a.overlaps(b) for k, a in enumerate(chosen) for b in chosen[:k] if a.version == b.version)


BAD = [
    (("--subnet", "10.77.0.1/24", "x"), "bits of a host\nhint: 10.77.0.0/24"),
    (("--subnet", "10.77.0.0/31", "x"), "too small"),
    (("--subnet", "10.77.0.0", "x"), "not ADDRESS/BITS\nhint: for example"),
    (("--subnet", "127.0.0.0/8", "x"), "no addresses of a local network\nhint: .*10.0.0.0/8"),
    (("--subnet", "10.77.0.0/24", "--subnet", "10.78.0.0/24", "x"), "there is one of IPv4 already\nhint: a network has one of IPv4 and one of IPv6"),
    (("--subnet", "10.76.0.128/25", "x"), "the network there has it\nhint: without --subnet"),
    (("--gateway", "10.77.0.1", "x"), "it is of no --subnet"),
    (("--subnet", "10.77.0.0/24", "--gateway", "10.77.0.255", "x"), "not an address for hosts"),
    (("--subnet", "10.77.0.0/24", "--ip-range", "10.77.0.0/16", "x"), "it is not inside"),
    (("--subnet", "10.77.0.0/24", "--ip-range", "10.77.0.9-10.77.0.2", "x"), "it is not inside"),
    (("-o", "mtu=12", "x"), "not a number from 68 to 65520"),
    (("--ipv6", "-o", "mtu=1000", "x"), "from 1280"),
    (("-o", "bridge=a/b", "x"), "not a name of 1 to 15"),
    (("--interface-name", "sixteencharacter", "x"), "not a name of 1 to 15"),
    (("-o", "vlan=3", "x"), "not known\nhint: known are mtu=N"),
    (("-o", "mtu", "x"), "not KEY=VALUE"),
    (("-d", "macvlan", "x"), "driver \"macvlan\": not known\nhint: user"),
    (("--dns", "host", "x"), "not an address"),
    (("--egress", "allow=;", "x"), "--egress allow=;"),
    (("--label", "=x", "x"), "no key"),
    (("--ipam-driver", "dhcp", "x"), "host-local is the only one"),
    (("../x",), "is not valid"),
    (("host",), "it is a mode's"),
    (("bridge",), "it is a mode's"),
    (("container",), "it is a mode's"),
    (("x" * 129,), "is not valid"),
    (("--ingress", "x", "x"), "there is no swarm"),
    (("x", "y"), "argument"),
]


@pytest.mark.parametrize("words,match", BAD, ids=[" ".join(w)[:40] for w, _ in BAD])
def test_refused(rootlet, words, match):
    make(rootlet, "--subnet", "10.76.0.0/24", "there")
    rootlet.fails("network", "create", *words, match=match)
    assert names(rootlet) == ["there"]


def test_filters_and_formats(rootlet):
    make(rootlet, "--label", "a=1", "--label", "b=2", "one")
    make(rootlet, "--label", "a=2", "two")
    one = inspect(rootlet, "one")["id"]
    rootlet.ok("create", "--name", "c", "--network", "two", rootlet.image(), "true")
    assert names(rootlet, "--filter", "name=on") == ["one"]
    assert names(rootlet, "--filter", f"id={one[:9]}") == ["one"]
    assert names(rootlet, "--filter", "label=a") == ["one", "two"]
    assert names(rootlet, "--filter", "label=a", "--filter", "label!=b") == ["two"]
    assert names(rootlet, "--filter", "dangling=true") == ["one"]
    assert names(rootlet, "--filter", "dangling=false") == ["two"]
    assert names(rootlet, "--filter", "driver=bridge") == [] == names(rootlet, "--filter", "until=1h")
    assert names(rootlet, "--filter", "name=^on") == ["one"] == names(rootlet, "--filter", "name=^one$")
    assert names(rootlet, "--filter", "name=^n") == [] == names(rootlet, "--filter", "type=builtin") == names(rootlet, "--filter", "scope=swarm")
    assert names(rootlet, "--filter", "scope=local", "--filter", "type=custom") == ["one", "two"]
    rootlet.fails("network", "ls", "--filter", "name=(", match="not a regular expression")
    rootlet.fails("network", "ls", "--filter", "nosuch=1", match="known: name, id")
    rootlet.fails("network", "ls", "--filter", "dangling=perhaps", match="not true or false")
    rootlet.fails("network", "ls", "-q", "--format", "json", match="exclude each other")
    assert [n["name"] for n in rootlet.ok("network", "ls", "--format", "json").json()] == ["one", "two"]
    assert [json.loads(line)["Name"] for line in rootlet.ok("network", "ls", "--format", "jsonl").out.splitlines()] == ["one", "two"]
    assert rootlet.ok("network", "ls", "--no-trunc", "-f", "name=one", "--format", "{{.ID}}").text == one
    assert rootlet.ok("network", "ls", "--noheading").out.split()[1::3] == ["one", "two"]
    assert [n["Id"] for n in rootlet.ok("network", "inspect", "--all").json()][0] == one
    for what in ("two", inspect(rootlet, "two")["id"], inspect(rootlet, "two")["id"][:12]):
        assert rootlet.ok("ps", "-a", "--filter", f"network={what}", "--format", "{{.Names}} {{.Networks}}").text == "c two"
    assert rootlet.ok("ps", "-aq", "--filter", f"network={one}").out == ""


@rows("A56")
def test_removal_while_in_use(rootlet):
    for n in ("a", "b", "idle"):
        make(rootlet, n)
    rootlet.ok("create", "--name", "c", "--network", "a", "--network", "b", rootlet.image(), "true")
    rootlet.fails("network", "rm", "a", rc=2, match=r"network a is used by c \([0-9a-f]{12}\)\nhint: .*disconnect a CONTAINER.*rm -f a")
    r = rootlet.fails("network", "rm", "nosuch", "a", "idle", rc=2, match="no such network: nosuch")
    assert r.out.split() == ["idle"]
    make(rootlet, "idle")
    assert rootlet.ok("network", "prune", "-f").text == "idle" and names(rootlet) == ["a", "b"]
    assert rootlet.ok("network", "rm", "-f", "b").text == "b"
    assert rootlet.ok("ps", "-aq").out == "" and rootlet.ok("network", "prune", input="y\n").out.split()[-1] == "a"
    rootlet.fails("network", "rm", "bridge", match="is the host's")
    for what in ("inspect", "rm"):
        rootlet.fails("network", what, "host", rc=None, match="no such network: host\nhint: host is a mode of .rootlet run --network")
    rootlet.fails("network", "rm", match="no network given")
    rootlet.fails("network", "prune", "--filter", "x=y", "-f", match="unknown filter")


def test_connect_a_stopped_container(rootlet):
    """It counts from the next start; the record says so at once. No name here is the beginning of an id."""
    make(rootlet, "--subnet", "10.76.0.0/24", "a")
    make(rootlet, "--subnet", "10.77.0.0/24", "b")
    rootlet.ok("create", "--name", "web", "--network", "a", rootlet.image(), "true")
    rootlet.ok("create", "--name", "alone", rootlet.image(), "true")
    rootlet.ok("network", "connect", "--alias", "x,y", "--ip", "10.77.0.9", "--mac-address", "02:00:00:00:00:09", "b", "web")
    (c,) = rootlet.ok("inspect", "web").json()
    assert list(c["NetworkSettings"]["Networks"]) == ["a", "b"]
    b = c["NetworkSettings"]["Networks"]["b"]
    assert b["Aliases"] == ["x", "y"] and b["IPAMConfig"] == {"IPv4Address": "10.77.0.9"}
    assert b["NetworkID"] == inspect(rootlet, "b")["id"]
    rootlet.fails("network", "connect", "b", "web", match="connected to network b already")
    rootlet.fails("network", "rm", "b", rc=2, match="is used by web")
    rootlet.fails("network", "connect", "--link", "x", "b", "web", match="find each other by name")
    rootlet.ok("network", "disconnect", "b", "web")
    for words, match in ((("--ip", "10.78.0.1"), "no address of network b\nhint: its subnet is 10.77.0.0/24"),
                         (("--ip", "10.77.0.1"), "is the gateway"), (("--ip", "x"), "not an address"),
                         (("--alias", "a b"), "not a name of a host"), (("--mac-address", "01:00:00:00:00:00"), "network card"),
                         (("--interface-name", "a/b"), "not a name of an interface")):
        rootlet.fails("network", "connect", *words, "b", "web", match=match)
    rootlet.fails("network", "disconnect", "b", "web", match="is not connected to network b")
    rootlet.fails("network", "connect", "a", "alone", match="has network mode none\nhint: .*--network NAME")
    rootlet.fails("network", "connect", "nosuch", "web", match="no such network: nosuch\nhint: .*network create")
    for verb in ("connect", "disconnect"):
        rootlet.fails("network", verb, "web", "a", match=f"network {verb}: no such network: web\nhint: the network comes first: a web\n")
    rootlet.fails("network", "connect", "a", "nosuch", match="no such container")
    assert ("connect", "b") in events(rootlet, "network") and ("disconnect", "b") in events(rootlet, "network")
    rootlet.ok("network", "rm", "b")


@rows("B31")
def test_what_info_and_doctor_say(rootlet):
    """Each driver with a sentence, usable or not; doctor tells what mends it."""
    drivers = {d["Name"]: d for d in rootlet.ok("info", "--format", "{{json .Network}}").json()}
    assert set(drivers) >= {"none", "host", "slirp", "pasta", "container", "ns", "user"}
    assert all(d["Why"] and d["Summary"] and isinstance(d["Usable"], bool) for d in drivers.values())
    assert "mtu=" in drivers["slirp"]["Options"] and drivers["none"]["Usable"] and drivers["user"]["Usable"]
    found = {f["name"]: f for f in rootlet("doctor", "--json", env={"ROOTLET_NETWORK": "auto"}).json()}
    assert set(found) >= {"network", "named networks", "host bridge", "ports", "ping", "name servers"}
    assert found["network"]["level"] == ("ok" if drivers["slirp"]["Usable"] else "note")
    assert found["named networks"]["level"] == "ok" and "can be published" in found["ports"]["found"]
    if found["host bridge"]["level"] != "ok":
        # One that the user owns could do anything with the capability.
        setcap = (host.BUILDDIR / "rootlet-net-helper").stat().st_uid == 0
        for word in ("setcap cap_net_admin+ep /", "net.conf", "rootlet-net-helper(8)") if setcap else ("is not root's", "rootlet-net-helper(8)"):
            assert word in found["host bridge"]["fix"], found["host bridge"]
        assert "not a bridge of the host" in rootlet.ok("network", "create", "-d", "bridge", "x").err
    for name in ("network", "host bridge", "ports", "ping", "name servers"):
        assert found[name]["level"] == "ok" or found[name]["fix"], found[name]


def test_a_helper_of_the_users_own(rootlet):
    """Nobody is asked to give a capability to a program that an ordinary user can write."""
    libexec = rootlet.user.home / "libexec"
    rootlet.shell(f"mkdir {libexec} && cp {host.BUILDDIR}/rootlet-* {libexec}")
    env = {"ROOTLET_LIBEXEC": str(libexec), "ROOTLET_NETWORK": "auto"}
    found = {f["name"]: f for f in rootlet("doctor", "--json", env=env).json()}["host bridge"]
    assert f"{libexec}/rootlet-net-helper is not root's" in found["fix"], found
    err = rootlet.ok("network", "create", "-d", "bridge", "x", env=env).err
    assert f"{libexec}/rootlet-net-helper should get none: it is not root's" in err, err
    assert "setcap" not in str(found) + err


def test_prune_of_the_system(rootlet):
    for n in ("used", "idle"):
        make(rootlet, n)
    rootlet.ok("run", "-d", "--network", "used", rootlet.image(), "sleep", "60")
    r = rootlet.ok("system", "prune", input="y\n")
    assert "all networks not used by at least one container" in r.out and "Deleted Networks:\nidle\n" in r.out
    assert names(rootlet) == ["used"]


def test_made_anew_at_once(rootlet):
    """The process of the old one may still be there for a moment: nobody is served by it."""
    for n in (76, 77, 78):
        make(rootlet, "--subnet", f"10.{n}.0.0/24", "web")
        out = rootlet.ok("run", "--rm", "--network", "web", rootlet.image(), "ip", "-o", "-4", "addr", "show", "eth0").out
        assert f" 10.{n}.0." in out
        rootlet.ok("network", "rm", "web")


def test_many_at_once_get_different_addresses(rootlet):
    running = [rootlet.spawn("network", "create", f"n{i}") for i in range(8)]
    assert all(p.wait() == 0 for p in running)
    nets = [n["subnets"][0]["subnet"] for n in rootlet.ok("network", "ls", "--format", "json").json()]
    assert len(set(nets)) == 8
    same = [rootlet.spawn("network", "create", "same") for i in range(8)]
    assert sorted(p.wait() for p in same) == [0] + [125] * 7


SCRIPT = r"""set -e; cd SCRATCH; mkdir -p n; export HOME=$PWD CONTAINERS_CONF=$PWD/c.conf
printf '[network]\nnetwork_config_dir="%s"\n[engine]\nlock_type="file"\n' $PWD/n > c.conf
p() { podman --root $PWD/r --runroot $PWD/rr --tmpdir $PWD/t --storage-driver vfs --cgroup-manager cgroupfs --events-backend none "$@"; }
p network create --subnet 10.76.0.0/24 --ip-range 10.76.0.128/25 --gateway 10.76.0.9 --label a=b -o mtu=1400 --internal x
p network inspect x""".replace("SCRATCH", SCRATCH)


@pytest.mark.skipif(not host.is_root() or not shutil.which("podman"), reason="needs root, and podman to compare with")
def test_keys_are_podmans(rootlet):
    """What podman prints of a network is there, and the same."""
    with tempfile.TemporaryFile("w+") as out:
        code, _ = Sandbox().run(["sh", "-c", SCRIPT], stdout=out)
        out.seek(0)
        name, _, text = out.read().partition("\n")
    if code != 0:
        pytest.skip("podman does not work in the sandbox of this host")
    (theirs,) = json.loads(text)
    assert make(rootlet, "--subnet", "10.76.0.0/24", "--ip-range", "10.76.0.128/25", "--gateway", "10.76.0.9", "--label", "a=b",
                "-o", "mtu=1400", "--internal", "x") == name == "x"
    ours = inspect(rootlet, "x")
    for key, value in theirs.items():
        assert key in ours and isinstance(ours[key], type(value)), key
        if key in ("name", "internal", "labels", "options", "ipv6_enabled", "ipam_options"):
            assert ours[key] == value, key
    assert ours["subnets"][0]["subnet"] == theirs["subnets"][0]["subnet"]
    assert ours["subnets"][0]["gateway"] == theirs["subnets"][0]["gateway"]
    assert set(theirs["subnets"][0]) <= set(ours["subnets"][0])


@rows("A48")
def test_name_servers_are_changed(rootlet):
    make(rootlet, "--dns", "192.0.2.1", "--dns", "2001:DB8::1", "n")
    make(rootlet, "--disable-dns", "quiet")

    def servers():
        return inspect(rootlet, "n")["network_dns_servers"]
    before = inspect(rootlet, "n")
    assert rootlet.ok("network", "update", "--dns-add", "192.0.2.2,192.0.2.1", "--dns-drop", "2001:db8::1", "n").out == "n\n"
    assert servers() == ["192.0.2.1", "192.0.2.2"]
    after = inspect(rootlet, "n")
    assert {k for k in before if before[k] != after[k]} == {"network_dns_servers", "NetworkDNSServers"}
    r = rootlet.ok("network", "update", "--dns-drop", "192.0.2.9", "n")
    assert "network n has no name server 192.0.2.9" in r.err
    rootlet.ok("network", "update", "--dns-drop", "192.0.2.1", "--dns-drop", "192.0.2.2", after["id"][:10])
    assert not inspect(rootlet, "n").get("network_dns_servers")
    for words, match in ((("n",), "nothing to change\nhint: --dns-add"), (("--dns-add", "host", "n"), '"host": not an address'),
                         (("--dns-add", "192.0.2.1", "quiet"), "has no name server\nhint: .*--disable-dns"),
                         (("--dns-add", "192.0.2.1", "nosuch"), "no such network: nosuch"),
                         (("--dns-add", "192.0.2.1", "bridge"), "is the host's"),
                         (("--dns-add", "192.0.2.1,192.0.2.2,192.0.2.3,192.0.2.4,192.0.2.5", "n"), "more than 4 name servers")):
        rootlet.fails("network", "update", *words, match=match)
    assert ("update", "n") in events(rootlet, "network") and not inspect(rootlet, "n").get("network_dns_servers")
