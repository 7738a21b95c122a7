"""Where the processes of a container's network live, under systemd: with its supervisor, so that they
neither count for the container nor end with the command that started it."""
import os
import pathlib
import signal
import urllib.request

import pytest

from lib import host, rows, units as units_
from test_quadlet_units import show, systemctl, units  # noqa: F401
from test_supervise import alive, state

pytestmark = [pytest.mark.systemd,
              pytest.mark.skipif(not (host.BUILDDIR / "rootlet-slirp").exists(), reason="built without libslirp")]


SERVE = "trap 'exit 0' TERM; mkdir /w; echo hello >/w/i; httpd -h /w; while :; do sleep 0.1; done"


def group(pid):
    return pathlib.Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8").strip().rpartition(":")[2]


def processes(rootlet, cid):
    return {p["what"]: p["pid"] for p in state(rootlet, cid)["network"]["processes"]}


@rows("A38", "B42", "B43")
def test_in_the_supervisors_part_of_the_scope(rootlet):
    cid = rootlet.ok("run", "-d", "--name", "c", "--network", "slirp", "-p", "127.0.0.1::80",
                     rootlet.image(), "sleep", "1000", cgroups=None).text
    s = state(rootlet, cid)
    want = group(s["supervisor_pid"])
    assert want.endswith(f"rootlet-{cid}.scope/supervisor")
    pids = processes(rootlet, cid)
    assert set(pids) == {"slirp", "ports"}
    assert {what: group(pid) for what, pid in pids.items()} == {what: want for what in pids}
    # Another supervisor's, too.
    os.kill(s["supervisor_pid"], signal.SIGKILL)
    rootlet.wait_for(lambda: not alive(s["supervisor_pid"]))
    assert all(alive(pid) for pid in pids.values())
    # And what that one has begun anew.
    rootlet.ok("kill", "-s", "WINCH", "c", cgroups=None)
    for pid in pids.values():
        os.kill(pid, signal.SIGKILL)
    rootlet.wait_for(lambda: set(processes(rootlet, cid)) == set(pids) and
                     not set(processes(rootlet, cid).values()) & set(pids.values()))
    pids = processes(rootlet, cid)
    rootlet.wait_for(lambda: {group(pid) for pid in pids.values()} == {want})
    second = state(rootlet, cid)["supervisor_pid"]
    os.kill(second, signal.SIGKILL)
    rootlet.wait_for(lambda: not alive(second))
    assert all(alive(pid) for pid in pids.values())
    rootlet.ok("rm", "-f", "-t", "0", "c", cgroups=None)
    rootlet.wait_for(lambda: not any(alive(pid) for pid in pids.values()))
    rootlet.wait_for(lambda: not list(pathlib.Path("/sys/fs/cgroup").glob(f"**/rootlet-{cid}*")), 20)


@rows("B28", "B43")
def test_scope_of_a_user_network(rootlet):
    """It is no container's: it has a scope of its own, with a bound for its memory."""
    rootlet.ok("network", "create", "n")
    rootlet.ok("run", "-d", "--name", "c", "--network", "n", rootlet.image(), "sleep", "1000", cgroups=None)
    path, = pathlib.Path("/sys/fs/cgroup").glob("**/rootlet-net-n.scope")
    members = (path / "cgroup.procs").read_text().split()
    assert {pathlib.Path(f"/proc/{p}/comm").read_text().strip() for p in members} == {"rootlet-network", "rootlet-slirp"}
    if (path / "memory.high").exists():
        assert (path / "memory.high").read_text().strip() == str(1 << 30)
        assert (path / "memory.max").read_text().strip() == str(2 << 30)
    rootlet.ok("rm", "-f", "-t", "0", "c", cgroups=None)
    rootlet.ok("network", "rm", "n")
    rootlet.wait_for(lambda: not path.exists(), 20)


@rows("A48", "A52", "B42", "B43")
def test_service_with_the_default_network(rootlet):
    """What a service runs without a word about networks: its processes are in the unit's group, they go
    with it, and the port answers on this side."""
    service = units_.Units(rootlet)
    try:
        name = service.service("-p", "127.0.0.1::80", command=("sh", "-c", SERVE),
                               lines="Environment=ROOTLET_NETWORK=auto\nRestart=on-failure\nRestartSec=50ms\n")
        service.start(name)
        cid = rootlet.inspect(name)["Id"]
        pids = processes(rootlet, cid)
        assert set(pids) == {"slirp", "ports"}
        unit = service.show(name, "ControlGroup")[0]
        assert {group(pid).removeprefix(unit).rpartition("/")[2] for pid in pids.values()} == {"supervisor"}
        assert all(group(pid).startswith(unit + "/") for pid in pids.values())
        port = rootlet.ok("port", name, "80").text.rpartition(":")[2]
        rootlet.wait_for(lambda: page(port, "i") == "hello\n")
        # What fails is started anew, network and all.
        os.kill(rootlet.inspect(name)["State"]["Pid"], signal.SIGKILL)
        rootlet.wait_for(lambda: service.show(name, "NRestarts", "ActiveState") == ["1", "active"])
        assert not any(alive(pid) for pid in pids.values())
        pids = processes(rootlet, rootlet.inspect(name)["Id"])
        port = rootlet.ok("port", name, "80").text.rpartition(":")[2]
        rootlet.wait_for(lambda: page(port, "i") == "hello\n")
        service.ctl("stop", name)
        assert service.show(name, "ActiveState") == ["inactive"]
        assert not any(alive(pid) for pid in pids.values())
        assert rootlet.ok("ps", "-aq").out == ""
    finally:
        service.end()


def page(port, name):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{name}", timeout=5) as r:
            return r.read().decode()
    except OSError:
        return None


@rows("A48", "B28", "B42", "B43")
def test_network_file(units):  # noqa: F811
    """Containers name it, and bring it; it lives in no unit of theirs, so that the first one's end is not the
    others'; its own end removes it when the file says so."""
    member = ("[Container]\nImage=IMAGE\nNetwork=lab.network\nNetworkAlias=%p\n"
              "Exec=sh -c \"trap 'exit 0' TERM; mkdir /w; hostname >/w/i; httpd -h /w; while :; do sleep 0.1; done\"\n")
    units.reload(**{"lab.network": "[Network]\nSubnet=10.76.0.0/24\nNetworkDeleteOnStop=true\n",
                    "one.container": member, "two.container": member})
    for name in ("one", "two"):
        units.start(name)
    units.started.insert(0, "lab-network")
    assert show("lab-network", "ActiveState") == "active"
    rootlet = units.rootlet
    assert rootlet.ok("network", "ls", "-q").out == "systemd-lab\n"
    path, = pathlib.Path("/sys/fs/cgroup").glob("**/rootlet-net-systemd-lab.scope")
    def asks(asker, asked):
        return rootlet("exec", asker, "wget", "-qO-", f"http://{asked}/i").out
    hostname = rootlet.ok("exec", "systemd-one", "hostname").out
    assert rootlet.ok("exec", "systemd-two", "ip", "-o", "-4", "addr", "show", "eth0").out.split()[3].startswith("10.76.0.")
    rootlet.wait_for(lambda: asks("systemd-two", "one") == hostname)
    # The network was begun by this one.
    systemctl("stop", "one")
    assert show("one", "Result") == "success" and path.exists()
    systemctl("start", "one")
    rootlet.wait_for(lambda: asks("systemd-two", "one") == rootlet.ok("exec", "systemd-one", "hostname").out)
    systemctl("stop", "one", "two", "lab-network")
    assert show("two", "Result") == "success" and show("lab-network", "Result") == "success"
    assert rootlet.ok("ps", "-aq").out == "" and rootlet.ok("network", "ls", "-q").out == ""
    rootlet.wait_for(lambda: not path.exists(), 20)
