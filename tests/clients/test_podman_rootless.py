"""podman as an ordinary user with --runtime rootlet-oci; the comparison is crun. The runtime runs as
root of podman's own user namespace. Rows A10, A24."""
from podman_cases import *  # noqa: F401,F403 pylint: disable=wildcard-import,unused-wildcard-import

BASELINE = "crun"
ROOTLESS = True


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
