"""One suite for all drivers: what a container can do with its network, whoever gives it.

Each test says what it needs: driver, any; out, one with a way out; own, and with a namespace of its
own. Much traffic is in test_drivers_traffic.py."""
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess

import pytest

import helperlab
from lib import host
from world import OUTSIDE, OUTSIDE6, wait_for


class Driver:
    def __init__(self, name, mode=None, network=None, out=True, own=True):
        self.name, self.mode, self.network, self.out, self.own = name, mode or name, network, out, own

    def __repr__(self):
        return self.name

    def options(self, net):
        """For run; makes the network of it."""
        if self.network and self.mode not in net.ok("network", "ls", "--format", "{{.Name}}").out.split():
            net.ok("network", "create", *self.network, self.mode)
        return ["--network", self.mode]


DRIVERS = [Driver("none", out=False), Driver("host", own=False), Driver("slirp"), Driver("pasta"),
           Driver("user", "tnet", ["--ipv6"]), Driver("bridge")]


def usable(driver):
    if driver.name == "pasta" and not os.path.exists("/usr/bin/pasta"):
        return "pasta is not installed"
    if driver.name == "pasta" and os.stat("/dev/net/tun").st_mode & 0o006 != 0o006:
        return "pasta needs /dev/net/tun"
    if driver.name in ("slirp",) and not (host.BUILDDIR / "rootlet-slirp").exists():
        return "built without libslirp"
    if driver.name == "bridge" and not (host.BUILDDIR / "rootlet-net-helper").exists():
        return "built without the helper"
    if driver.name == "bridge" and not helperlab.BUILT.exists():
        return "built without the helper"
    if driver.name == "user" and not (host.BUILDDIR / "rootlet-network").exists():
        return "built without networks"
    return None


def of(request):
    why = usable(request.param)
    if why:
        pytest.skip(why)
    return request.param


@pytest.fixture(params=DRIVERS, ids=repr)
def driver(request):
    return of(request)


@pytest.fixture(params=[d for d in DRIVERS if d.out], ids=repr)
def out(request):
    """With a way out."""
    return of(request)


@pytest.fixture(params=[d for d in DRIVERS if d.out and d.own], ids=repr)
def own(request):
    """And with a namespace of the container's own."""
    return of(request)


@pytest.fixture(params=[d for d in DRIVERS if d.name == "pasta"], ids=repr)
def pasta(request):
    return of(request)


def start(net, driver, *options, name="c", command=("sleep", "1000")):
    net.ok("run", "-d", "--name", name, *driver.options(net), *options, net.image(), *command)
    return name


@pytest.mark.rows("A48", "B31")
def test_interfaces(net, driver):
    """The namespace is the container's own, with lo and what the driver gives."""
    text = net.ok("run", "--rm", *driver.options(net), net.image(), "ip", "-o", "link").out
    names = [line.split(":")[1].strip().split("@")[0] for line in text.splitlines()]
    assert "LOOPBACK,UP" in text
    if driver.name == "none":
        assert names == ["lo"]
    elif driver.own:
        assert len(names) == 2 and names[0] == "lo"
    else:
        assert "up0" in names


@pytest.mark.rows("A48", "A49", "B31")
def test_outside_by_tcp(net, out):
    options = out.options(net)
    r = net.ok("run", "--rm", *options, net.image(), "wget", "-qO-", f"http://{OUTSIDE}:8000/")
    assert r.out in ("198.51.100.1", "::ffff:198.51.100.1")
    r = net.ok("run", "--rm", *options, net.image(), "sh", "-c",
               f"wget -qO- http://{OUTSIDE}:8000/big | wc -c; wget -qO- http://[{OUTSIDE6}]:8000/")
    size, client = r.out.split()
    assert int(size) == 16 << 20 and client == "2001:db8::1"


@pytest.mark.rows("A49")
def test_names(net, out):
    """By the host's resolver, and without any other."""
    r = net.ok("run", "--rm", *out.options(net), net.image(), "sh", "-c",
               "wget -qO- http://outside.test:8000/; echo; nslookup missing.test; cat /etc/resolv.conf")
    assert "198.51.100.1" in r.out or "2001:db8::1" in r.out
    assert "NXDOMAIN" in r.out + r.err or "can't" in r.out + r.err


COVER = """mount --bind "$0" "$1" && u=$2 g=$3 && shift 3 && exec setpriv --reuid "$u" --regid "$g" --clear-groups -- "$@" """


def covered(net, file, path, *args):
    """rootlet, on a host where this file stands for that one."""
    with net.world.host.entered():
        return subprocess.run(["unshare", "-m", "sh", "-c", COVER, str(file), path, str(net.user.uid), str(net.user.gid),
                               net.program, *args], env=net.environment(), capture_output=True, text=True, timeout=60,
                              check=False, cwd="/")


@pytest.mark.rows("A54")
@pytest.mark.parametrize("text", ["", "nameserver 127.77.0.9\n"], ids=["none", "loopback"])
def test_no_resolver_of_ours(net, own, tmp_path, text):
    """Where the host has none, or one that only it reaches, the container asks the host, or nobody: no other
    server is ever put in the place."""
    options, image, conf = own.options(net), net.image(), tmp_path / "resolv.conf"
    conf.write_text(text)
    r = covered(net, conf, "/etc/resolv.conf", "run", "--rm", *options, image, "sh", "-c", "cat /etc/resolv.conf; ip route; ip -6 route")
    assert r.returncode == 0, r
    ours = {"10.0.2.3", "fd00::3", "169.254.1.1", *re.findall(r"default via (\S+)", r.stdout)}
    servers = set(re.findall(r"^nameserver (\S+)", r.stdout, re.M))
    assert servers <= ours | set(text.split()[1:]), r.stdout


@pytest.mark.rows("B31")
def test_which_pasta(net, pasta, tmp_path):
    """A program of others, asked what it can: one that cannot is said to be too old."""
    image, fake = net.image(), tmp_path / "pasta"
    needed = ["--config-net", "--no-map-gw", "--no-netns-quit"]
    for have, lacks in ((needed[1:], "--config-net"), (needed[:2], "--no-netns-quit"), (needed, "")):
        fake.write_text("#!/bin/sh\necho 'usage'\n" + "".join(f"echo '  {o}  what it does'\n" for o in have) + "exit 1\n")
        fake.chmod(0o755)
        why = f"the installed pasta is too old: it has no option {lacks}" if lacks else "pasta is installed"
        r = covered(net, fake, shutil.which("pasta"), "info", "--format", "{{json .Network}}")
        found = {d["Name"]: d for d in json.loads(r.stdout)}["pasta"]
        assert found["Why"].startswith(why) and found["Usable"] == (not lacks), found
        r = covered(net, fake, shutil.which("pasta"), "run", "--rm", *pasta.options(net), image, "true")
        assert r.returncode == 125 and (why + "\nhint: --network slirp" in r.stderr if lacks else "pasta" in r.stderr), r


@pytest.mark.rows("A49")
def test_ping(net, own):
    # This ping knows raw sockets only.
    net.ok("run", "--rm", "--cap-add", "NET_RAW", *own.options(net), net.image(), "ping", "-c", "1", "-W", "5", OUTSIDE)


@pytest.mark.rows("A49")
def test_outside_by_udp(net, out):
    """A name server of somebody else's."""
    r = net.ok("run", "--rm", *out.options(net), net.image(), "nslookup", "outside.test", OUTSIDE)
    assert "198.51.100.2" in r.out.partition("Name")[2], r


@pytest.mark.rows("A48")
def test_closed_without_a_way_out(net):
    r = net("run", "--rm", "--network", "none", net.image(), "timeout", "3", "wget", "-qO-", f"http://{OUTSIDE}:8000/")
    assert r.rc == 1 and "unreachable" in r.err


@pytest.mark.rows("A48")
def test_state(net, own):
    """What state.json and inspect tell is what the container has."""
    start(net, own)
    text = net.ok("exec", "c", "ip", "-o", "-4", "addr").out
    (interface,) = state_of(net)["network"]["interfaces"]
    assert f" {interface['address']} " in text and interface["name"] in text


@pytest.mark.rows("A48", "B17")
def test_again_after_stop(net, out):
    """Each run has a network of its own, and leaves none."""
    start(net, out)
    for _ in range(2):
        assert net.ok("exec", "c", "wget", "-qO-", f"http://{OUTSIDE}:8000/").out
        net.ok("restart", "-t", "0", "c")
    net.ok("stop", "-t", "0", "c")
    if out.own:  # a network of several waits a moment for who comes again
        wait_for(lambda: not network_processes(net), what="their end")
    net.ok("start", "c")
    assert net.ok("exec", "c", "wget", "-qO-", f"http://{OUTSIDE}:8000/").out


def network_processes(net, *names):
    """Of containers: those of a network of the user's own are there for all its members."""
    names = names or ("rootlet-slirp", "rootlet-ports", "pasta", "rootlet-leash")
    if (net.store.root / "networks").is_dir():
        names = [n for n in names if n != "rootlet-slirp"]
    return {pid: line for pid, line in net.user.processes().items() if os.path.basename(line.split()[0]) in names}


def reaches(net, name="c"):
    r = net("exec", name, "timeout", "20", "wget", "-qO-", f"http://{OUTSIDE}:8000/", timeout=40)
    if r.rc != 0:
        print(r)
    return r.rc == 0 and "198.51.100.1" in r.out


@pytest.mark.rows("B17")
def test_a_killed_supervisor_takes_no_network_along(net, out):
    start(net, out)
    os.kill(supervisor_of(net), signal.SIGKILL)
    assert reaches(net)
    net.ok("kill", "-s", "WINCH", "c")  # which starts another supervisor
    assert reaches(net)
    if out.name in ("slirp", "pasta"):
        assert state_of(net)["network"]["processes"]
        for pid in network_processes(net, "rootlet-slirp", "pasta"):
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: reaches(net), what="a network that has come again")
    net.ok("rm", "-f", "-t", "0", "c")
    wait_for(lambda: not network_processes(net), what="the end of the network's processes")


def state_of(net):
    (state,) = (net.store.root / "containers").glob("*/state.json")
    return json.loads(state.read_text())


def kill_start(net, ms, words, *options):
    """Starts a container and kills, some milliseconds later, all whose command line has one of the
    words, then the command itself, and removes what it made."""
    p = net.spawn("run", "--rm", *options, "-p", "8080:80", net.image(), "sleep", "1000")
    with contextlib.suppress(subprocess.TimeoutExpired):
        p.wait(ms / 1000)
    for pid, line in net.user.processes().items():
        if any(word in line for word in words):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    p.kill()
    p.communicate()
    net("rm", "-f", "-a", "-t", "0")


def supervisor_of(net):
    return state_of(net)["supervisor_pid"]


@pytest.mark.rows("B17")
def test_a_killed_supervisor_whose_container_ends(net, out):
    """Nobody looks after them then: they see by themselves that the container is gone, and its port is free."""
    start(net, out, *(("-p", "8080:80") if out.own else ()), command=("sh", "-c", "trap 'exit 3' TERM; sleep 1000 & wait"))
    pid = net.inspect("c")["State"]["Pid"]
    os.kill(supervisor_of(net), signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not network_processes(net), what="the end of the network's processes")
    assert ":8080 " not in net.world.host.run("ss", "-Hltn")


@pytest.mark.rows("B17")
@pytest.mark.parametrize("words", [("stop", "c"), ("rm", "-f", "c")])
def test_pasta_without_anybody(net, pasta, words):
    """Nor is there the leash that would end it with the container: the next command for it does. (The
    others see by themselves that the container is gone.)"""
    start(net, pasta)
    s = state_of(net)
    leash = [p["pid"] for p in s["network"]["processes"] if p["what"] == "pasta-leash"]
    for pid in (s["supervisor_pid"], *leash, *(() if words[0] == "rm" else (s["pid"],))):
        os.kill(pid, signal.SIGKILL)
    assert len(leash) == 1 and network_processes(net, "pasta")
    net.ok(*words)
    wait_for(lambda: not network_processes(net), what="the end of pasta")


# It kills the supervisor whose leash has started it, when it is in the background.
KILLER = """#!/bin/sh
for word; do case $word in
--help) echo ' --config-net '; echo ' --no-map-gw '; echo ' --no-netns-quit '; exit;;
--pid=*) file=${word#--pid=};;
esac; done
parent() { awk '{print $4}' /proc/$1/stat; }
sleep 4711 </dev/null >/dev/null 2>&1 &
echo $! >$file
kill -9 $(parent $(parent $PPID))
"""


@pytest.mark.rows("B17")
def test_pasta_whose_supervisor_dies_first(net, pasta, tmp_path):
    """It is in the background already, and the supervisor has not heard of it yet."""
    fake = tmp_path / "pasta"
    fake.write_text(KILLER)
    fake.chmod(0o755)
    r = covered(net, fake, shutil.which("pasta"), "run", "--rm", "--name", "c", *pasta.options(net), net.image(), "true")
    assert r.returncode == 125 and re.search("supervisor.*(ended|gone|killed|lost)", r.stderr), r
    wait_for(lambda: not [p for p in net.user.processes().values() if "sleep 4711" in p], what="the end of pasta")


@pytest.mark.rows("B17")
def test_killed_network_processes_come_again(net, own):
    start(net, own)
    if own.name == "bridge":  # one of the test before may be about to end
        wait_for(lambda: not network_processes(net, "rootlet-slirp", "pasta", "rootlet-network"), what="none")
        return
    before = network_processes(net, "rootlet-slirp", "pasta", "rootlet-network")
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: reaches(net), what="a network that has come again")
    events = net.ok("events", "--stream=false", "--since", "1h", "--until", "0s").out
    if before and own.name != "user":
        assert "network_restart" in events
