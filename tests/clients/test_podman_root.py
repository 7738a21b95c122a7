"""podman as root of the host with --runtime rootlet-oci. The comparison is runc, as crun raises
RLIMIT_MEMLOCK for its device program, which takes CAP_SYS_RESOURCE. Rows A10, A24."""
from podman_cases import *  # noqa: F401,F403 pylint: disable=wildcard-import,unused-wildcard-import

BASELINE = "runc"
