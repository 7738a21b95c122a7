"""Control groups in units of the system: who is delegated to stays in his unit."""
import os
import re
import subprocess

import pytest

from lib import host, rows

pytestmark = [pytest.mark.systemd, pytest.mark.root]


@rows("A38", "A47")
@pytest.mark.parametrize("properties, setting, driver", [
    (["Delegate=yes"], None, "inplace"),
    (["Delegate=yes", "DelegateSubgroup=sub"], None, "inplace"),
    (["Delegate=yes"], "cgroupfs", "cgroupfs"),
    ([], None, "disabled"),
], ids=["delegate", "subgroup", "cgroupfs", "none"])
def test_unit_of_the_system(rootlet, properties, setting, driver):
    """As a user without a session, from a unit with User=."""
    image = rootlet.image()
    script = ("rootlet info -f '{{.Cgroups.Driver}}'; rootlet run -d --name a IMAGE sleep 100 >/dev/null; "
              "rootlet run --rm --cgroupns host IMAGE cat /proc/self/cgroup; "
              "cat /proc/$(rootlet inspect -f '{{.State.Pid}}' a)/cgroup; rootlet exec a true || exit 3; "
              "[ $1 = disabled ] || { rootlet pause a && rootlet unpause a || exit 4; }; rootlet rm -ft0 a || exit 5; "
              "cd /sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup | sed -E 's,/(main|sub)$,,') && echo left: rootlet-*")
    env = rootlet.environment(cgroups=setting)
    env.pop("XDG_RUNTIME_DIR", None)
    argv = ["systemd-run", "-q", "--wait", "--pipe", "--collect", "-p", f"User={rootlet.user.name}",
            *(w for p in properties for w in ("-p", p)), *(w for k, v in env.items() for w in ("-E", f"{k}={v}")),
            "sh", "-c", script.replace("IMAGE", image), "sh", driver]
    r = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=120)
    if "Unknown assignment" in r.stderr:
        pytest.skip("systemd is older than this property")
    assert r.returncode == 0, r
    assert r.stdout.startswith(driver + "\n") and "left: rootlet-*\n" in r.stdout, r
    groups = re.findall(r"^0::(\S+)$", r.stdout, re.M)
    if driver == "disabled":
        assert "no cgroup is delegated" in r.stderr, r
    else:
        assert len(set(groups)) == 2, r
        assert all(re.fullmatch(r"/system.slice/run-[^/]+\.service/rootlet-[0-9a-f]{64}\.scope/container", g) for g in groups), r


@rows("A38")
@pytest.mark.parametrize("setting", ["enabled", "split"])
def test_root_is_not_below_a_user(tmp_path, setting):
    """sudo from a user's delegated service: who owns the group could freeze, end and move what root puts there."""
    script = ("echo $$ > /sys/fs/cgroup$1/cgroup.procs || exit 9; grep ^0:: /proc/self/cgroup; "
              f"exec {host.BUILDDIR / 'rootlet'} --root {tmp_path}/r --runroot {tmp_path}/run info -f '{{{{.Cgroups.Driver}}}}'")
    subprocess.run(["systemd-run", "-q", "--unit", "of-a-user", "--collect", "-p", "User=tester", "-p", "Delegate=yes", "-p", "Type=exec", "sleep", "1000"], check=True)
    try:
        env = {"PATH": os.environ["PATH"], "ROOTLET_CGROUPS": setting}
        r = subprocess.run(["sh", "-c", script, "sh", "/system.slice/of-a-user.service"], check=False, capture_output=True, text=True, env=env, timeout=60)
    finally:
        subprocess.run(["systemctl", "stop", "of-a-user"], check=True)
    assert "0::/system.slice/of-a-user.service\n" in r.stdout, r
    assert "inplace" not in r.stdout, r
