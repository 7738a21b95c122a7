"""podman as an ordinary user with --runtime rootlet-oci; the comparison is crun. The runtime runs as
root of podman's own user namespace. Rows A10, A24."""
# pylint: disable=wildcard-import,unused-wildcard-import
import json
import os

from podman_cases import *  # noqa: F401,F403
from podman_cases import IMAGE

BASELINE = "crun"
ROOTLESS = True


def test_ids(podman):
    """Root inside is the user outside; the others are the user's subordinate ids."""
    user = podman.machine.user
    lines = [line.split() for line in podman.text("cat", "/proc/self/uid_map").splitlines()]
    assert lines == [["0", str(user.uid), "1"], ["1", str(user.subuid[0]), str(user.subuid[1])]]


def test_keep_id(podman, shared):
    user = podman.machine.user
    options = ("--userns", "keep-id", "-v", f"{shared}:/data")
    out = podman.text("sh", "-c", "id -u; id -g; stat -c %u /data/file; touch /data/new; whoami", options=options)
    assert out.split() == [str(user.uid), str(user.gid), str(user.uid), user.name]
    assert (shared / "new").stat().st_uid == user.uid


def test_keep_id_as_another(podman):
    out = podman.text("sh", "-c", "id -u; id -g", options=("--userns", "keep-id:uid=1000,gid=50"))
    assert out.split() == ["1000", "50"]


def test_keep_id_and_exec(podman):
    name = podman.sleeper("--userns", "keep-id")
    assert podman.ok("exec", name, "id", "-u").text == str(podman.machine.user.uid)
    assert podman.ok("exec", "-u", "0", name, "id", "-u").text == "0"


def test_volume_below_a_directory_of_another_id(podman):
    """Podman gives directories of such a container to the container's root, which is not the user. They
    are closed to the runtime's child until its ids are mapped: several times, as that was a race."""
    d = podman.machine.own_dir(podman.fresh(), 0o700)
    (d / "sub").mkdir(mode=0o755)
    (d / "sub/file").write_text("found")
    os.chown(d, podman.machine.user.subuid[0], podman.machine.user.subgid[0])
    for _ in range(8):
        assert podman.text("cat", "/data/file", options=("--userns", "keep-id", "-v", f"{d}/sub:/data")) == "found"


def test_automatic_user_namespace(podman):
    out = podman.text("cat", "/proc/self/uid_map", options=("--userns", "auto:size=1024")).split()
    assert (out[0], out[2]) == ("0", "1024")


def test_no_map_of_the_user(podman):
    """nomap: the user's own id is not in the container."""
    out = podman.text("cat", "/proc/self/uid_map", options=("--userns", "nomap")).split()
    assert out[0] == "0" and int(out[2]) <= podman.machine.user.subuid[1]


def test_network_of_slirp4netns(podman):
    out = podman.ok("run", "--rm", "--network", "slirp4netns", IMAGE, "ip", "-o", "addr").out
    assert "tap0" in out and "10.0.2.100/24" in out


def test_devices_are_bound(podman):
    """No mknod without the host's root: the nodes are the host's."""
    assert podman.text("grep", "-c", " /dev/null ", "/proc/self/mountinfo") == "1"
    podman.text("sh", "-c", "echo x >/dev/null; head -c 1 /dev/zero >/dev/null")


def test_nothing_is_gained(podman):
    """The id of root on the host owns what is below /proc/sys: an id that is not ours."""
    podman.run("sh", "-c", "echo 1 >/proc/sys/kernel/panic", options=("--privileged",), rc=1)
    podman.run("mknod", "/tmp/sda", "b", "8", "0", options=("--privileged",), rc=1)


def test_group_that_is_kept(podman):
    """keep-groups: an annotation tells the runtime to leave the supplementary groups of who calls."""
    out = podman.text("sh", "-c", "id -G", options=("--group-add", "keep-groups"))
    assert out.split()[0] == "0"


def test_pause_needs_a_cgroup(podman):
    """No cgroup is delegated here; the runtime says so, and the container goes on."""
    name = podman.sleeper()
    r = podman("pause", name)
    assert r.rc != 0 and "cgroup" in r.err
    assert podman.state(name) == "running"


# As root podman 4.3 gives the cgroup of a pod a device program that allows nothing (without systemd).
def test_play_kube(podman):
    spec = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "kube"},
            "spec": {"hostNetwork": True, "restartPolicy": "Never", "containers": [
                {"name": "main", "image": IMAGE, "imagePullPolicy": "Never",
                 "command": ["sh", "-c", "echo kube; id -u; exit 0"],
                 "securityContext": {"runAsUser": 1000, "readOnlyRootFilesystem": True,
                                     "allowPrivilegeEscalation": False,
                                     "capabilities": {"drop": ["ALL"]}}}]}}
    podman.ok("play", "kube", "-", input=json.dumps(spec))
    podman.wait_state("kube-main", "exited")
    assert podman.ok("logs", "kube-main").out == "kube\n1000\n"
    podman.ok("play", "kube", "--down", "-", input=json.dumps(spec))
