"""User networks under systemd: the network's process is in no container's unit."""
import os
import subprocess

import pytest

from lib import rows

pytestmark = pytest.mark.systemd


def group(pid):
    with open(f"/proc/{pid}/cgroup", encoding="utf-8") as f:
        return f.read().strip().rpartition("\n")[2].partition("::")[2]


def program(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return os.path.basename(f.read().split(b"\0")[0])
    except OSError:
        return b""


def manager():
    """Not its child, which answers for names."""
    pids = [int(d) for d in os.listdir("/proc") if d.isdigit() and program(d) == b"rootlet-network"]
    return next((p for p in pids if program(parent(p)) != b"rootlet-network"), None)


def parent(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
        return int(f.read().rpartition(")")[2].split()[1])


@pytest.fixture
def network(rootlet):
    rootlet.ok("network", "create", "--internal", "unitnet")
    yield "unitnet"
    rootlet("rm", "-f", "-t", "0", "-a", cgroups=None)
    rootlet("network", "rm", "-f", "unitnet")


@rows("B17", "B28")
def test_a_scope_of_its_own(rootlet, network):
    ids = [rootlet.ok("run", "-d", "--name", name, "--network", network, rootlet.image(), "sleep", "1000",
                      cgroups=None).text for name in ("one", "two")]
    pid = manager()
    assert group(pid).endswith("/rootlet-net-unitnet.scope")
    # The unit of who began it ends: the others keep their network.
    subprocess.run(["systemctl", *(() if os.geteuid() == 0 else ("--user",)), "stop", f"rootlet-{ids[0]}.scope"],
                   check=True, timeout=60)
    rootlet.wait_for(lambda: rootlet.inspect("one")["State"]["Status"] != "running", timeout=30)
    assert manager() == pid
    r = rootlet.ok("exec", "two", "nslookup", "two.rootlet", cgroups=None)
    assert "Address" in r.out.rpartition("Name:")[2]
