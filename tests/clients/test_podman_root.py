"""podman as root of the host with --runtime rootlet-oci. The comparison is runc, as crun raises
RLIMIT_MEMLOCK for its device program, which takes CAP_SYS_RESOURCE. Rows A10, A24, A47."""
# pylint: disable=wildcard-import,unused-wildcard-import
import os

import pytest

from podman_cases import *  # noqa: F401,F403
from podman_cases import IMAGE, caps, runner

BASELINE = "runc"
FIRST, COUNT = 500_000_000, 1_000_000


@pytest.fixture(scope="module", autouse=True)
def subordinate_ids(machine):
    """--userns auto takes from the ids of a user with this name; the files are the machine's own. A mount
    over a file would end when somebody outside replaces that. Lock files of others come and go."""
    machine.shell("mkdir /run/etc && mount -t tmpfs rltest /run/etc && { cp -a /etc/. /run/etc || true; } && "
                  "mount --bind /run/etc /etc && umount /run/etc && rmdir /run/etc && "
                  f"for f in subuid subgid; do echo containers:{FIRST}:{COUNT} >/etc/$f; done")


def test_real_root(podman):
    """No user namespace: the ids are the host's."""
    name = podman.sleeper()
    pid = podman.inspect(name)["State"]["Pid"]
    assert podman.machine.ok("readlink", f"/proc/{pid}/ns/user").text == \
        podman.machine.ok("readlink", "/proc/self/ns/user").text
    assert podman.machine.ok("stat", "-c", "%u", f"/proc/{pid}").text == "0"


def test_automatic_user_namespace(podman):
    first = podman.text("cat", "/proc/self/uid_map", options=("--userns", "auto:size=4096")).split()
    assert first[0] == "0" and FIRST <= int(first[1]) < FIRST + COUNT and first[2] == "4096"
    script = "stat -c %u:%g /bin/busybox /etc/passwd; touch /root/x && stat -c %u /root/x"
    assert podman.text("sh", "-c", script, options=("--userns", "auto")).split() == ["0:0", "0:0", "0"]


def test_two_automatic_user_namespaces_do_not_meet(podman):
    names = [podman.sleeper("--userns", "auto:size=4096") for _ in range(2)]
    maps = [podman.ok("exec", n, "cat", "/proc/self/uid_map").text.split()[1] for n in names]
    assert maps[0] != maps[1]


def test_id_mapped_volume(podman, shared, ours):
    """The files keep their owners on the host: "idmap" maps them for the container alone."""
    if not ours:
        pytest.skip("runc 1.1 knows no idmap option")
    (shared / "own").write_text("x")
    os.chown(shared / "own", 5, 6)
    options = ("--uidmap", "0:100000:5000", "--gidmap", "0:100000:5000", "-v", f"{shared}:/data:idmap")
    out = podman.text("sh", "-c", "stat -c %u:%g /data/own; touch /data/new", options=options)
    assert out == "5:6"
    st = os.stat(shared / "new")
    assert (st.st_uid, st.st_gid) == (0, 0)


def test_devices_are_confined(podman):
    """What mknod makes cannot be opened (the cgroup's device program), unless a rule allows it."""
    script = "mknod /tmp/node c 10 229 && exec 5<>/tmp/node && echo opened"
    r = podman.run("sh", "-c", script, options=("--cap-add", "MKNOD"))
    assert r.rc != 0 and "Operation not permitted" in r.err
    allowed = ("--cap-add", "MKNOD", "--device-cgroup-rule", "c 10:229 rwm")
    assert podman.text("sh", "-c", script, options=allowed) == "opened"
    assert podman.text("sh", "-c", script, options=("--privileged",)) == "opened"


def test_access_to_a_device(podman):
    r = podman.run("sh", "-c", "exec 5>/dev/fuse", options=("--device", "/dev/fuse:/dev/fuse:r"))
    assert r.rc != 0 and "Operation not permitted" in r.err
    podman.text("sh", "-c", "exec 5</dev/fuse", options=("--device", "/dev/fuse:/dev/fuse:r"))


def test_device_nodes_are_real(podman):
    assert podman.text("sh", "-c", "grep -c ' /dev/null ' /proc/self/mountinfo || true") == "0"


def test_cgroup(podman):
    """A47: where podman said, and gone at the end (the leak audit)."""
    name = podman.sleeper("--cgroup-parent", "/mine")
    info = podman.inspect(name)
    path = f"/sys/fs/cgroup/mine/libpod-{info['Id']}"
    pids = podman.machine.ok("cat", f"{path}/cgroup.procs").out.split()
    assert str(info["State"]["Pid"]) in pids
    assert podman.text("cat", "/proc/self/cgroup", options=("--cgroup-parent", "/mine")).endswith("0::/")
    podman.ok("rm", "-f", "-t", "0", name)
    podman.machine.shell("find /sys/fs/cgroup/mine -depth -type d -exec rmdir {} +")


def test_cgroup_is_read_only(podman):
    podman.run("mkdir", "/sys/fs/cgroup/x", rc=1)


def test_without_cgroup(podman, ours):
    """In the cgroup of the caller, which /proc/self/cgroup shows without a namespace."""
    if not ours:
        pytest.skip("podman knows that runc cannot do without")
    script = "sed -n 's/^0:://p' /proc/self/cgroup"
    out = podman.text("sh", "-c", script, options=("--cgroups", "disabled", "--cgroupns", "host"))
    assert "libpod" not in out


def test_exec_is_in_the_cgroup(podman):
    name = podman.sleeper("--cgroupns", "host")
    out = podman.ok("exec", name, "sh", "-c", "sed -n 's/^0:://p' /proc/1/cgroup /proc/self/cgroup").out
    assert len(set(out.split())) == 1 and "libpod-" in out


def test_pause(podman):
    script = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done"
    name = podman.sleeper(argv=("sh", "-c", script))
    podman.ok("pause", name)
    assert podman.state(name) == "paused"
    before = podman.ok("logs", "--tail", "1", name).out
    podman.machine.ok("sleep", "0.3")
    assert podman.ok("logs", "--tail", "1", name).out == before
    assert podman("exec", name, "true").rc != 0
    podman.ok("unpause", name)
    assert podman.state(name) == "running"
    runner.wait_for(lambda: podman.ok("logs", "--tail", "1", name).out != before)


def test_pause_and_remove(podman):
    name = podman.sleeper()
    podman.ok("pause", name)
    podman.ok("rm", "-f", "-t", "0", name)


def test_pod_is_paused(podman, pod):
    podman.ok("run", "-d", "--pod", pod, "--name", "inpod", IMAGE, "sleep", "1000")
    podman.ok("pod", "pause", pod)
    assert podman.state("inpod") == "paused"
    podman.ok("pod", "unpause", pod)
    assert podman.state("inpod") == "running"


def test_statistics(podman):
    """podman reads them from the cgroup that the runtime made."""
    name = podman.sleeper(argv=("sh", "-c", "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; sleep 1000"))
    runner.wait_for(lambda: podman.ok("stats", "--no-stream", "--format", "{{.CPUNano}}", name).text not in ("0", ""))


def test_bridge(podman):
    """Two containers on a bridge of podman's: the namespace is podman's, the runtime joins it by path."""
    podman.ok("network", "create", "lan")
    try:
        server = podman.fresh()
        podman.ok("run", "-d", "--network", "lan", "--name", server, IMAGE, "sh", "-c",
                  "echo hello | nc -l -p 8080")
        address = podman.inspect(server)["NetworkSettings"]["Networks"]["lan"]["IPAddress"]
        out = runner.wait_for(lambda: podman("run", "--rm", "--network", "lan", IMAGE, "nc", "-w", "3", address,
                                             "8080").text)
        assert out == "hello"
        podman.ok("rm", "-f", "-t", "0", server)
    finally:
        podman.ok("network", "rm", "-f", "lan")


def test_all_capabilities(podman):
    assert caps(podman, "--cap-add", "all")["Eff"] == caps(podman, "--privileged")["Eff"]
    host = podman.machine.ok("sed", "-n", "s/CapBnd:\\t//p", "/proc/self/status").text
    assert caps(podman, "--privileged")["Bnd"] == int(host, 16)


def test_a_limit_that_the_host_cannot_keep(podman, ours):
    """Without the controller in version 2 a limit is refused, and nothing runs without it."""
    controllers = podman.machine.ok("cat", "/sys/fs/cgroup/cgroup.controllers").out.split()
    if "memory" in controllers:
        pytest.skip("this host has the memory controller")
    r = podman.run("true", options=("--memory", "64m"))
    assert r.rc != 0 and (not ours or "memory" in r.err)


def test_mount_propagation(podman, shared):
    """A mount that the host makes later reaches an rslave volume."""
    podman.machine.ok("mount", "--bind", shared, shared)
    podman.machine.ok("mount", "--make-shared", shared)
    (shared / "sub").mkdir()
    try:
        name = podman.sleeper("-v", f"{shared}:/data:rslave")
        podman.machine.ok("mount", "-t", "tmpfs", "rltest", f"{shared}/sub")
        assert podman.ok("exec", name, "stat", "-f", "-c", "%T", "/data/sub").text == "tmpfs"
        podman.ok("rm", "-f", "-t", "0", name)
    finally:
        podman.machine.run("umount", "-R", "-l", shared)
