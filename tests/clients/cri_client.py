"""cri_client - what a kubelet asks of a CRI socket, enough of it to run pods.

Messages are written down as field numbers of the API (runtime.v1) and encoded here, as no package
has the generated code. Run as a program, outside of the process of the tests, it makes one call for
each line that it reads, "METHOD REQUEST", and answers "ok RESPONSE" or "error MESSAGE":

    cri_client.py SOCKET        requests and responses in base64
"""
import base64
import os
import subprocess
import sys

# message -> field -> (number, type); a type is str, bool, int, bytes, map or another message; [type] repeats.
MESSAGES = {
    "VersionRequest": {"version": (1, str)},
    "VersionResponse": {"runtime_name": (2, str), "runtime_api_version": (4, str)},
    "StatusRequest": {},
    "StatusResponse": {"status": (1, "RuntimeStatus")},
    "RuntimeStatus": {"conditions": (1, ["RuntimeCondition"])},
    "RuntimeCondition": {"type": (1, str), "status": (2, bool), "reason": (3, str), "message": (4, str)},
    "RunPodSandboxRequest": {"config": (1, "PodSandboxConfig"), "runtime_handler": (2, str)},
    "PodSandboxConfig": {"metadata": (1, "PodSandboxMetadata"), "hostname": (2, str), "log_directory": (3, str),
                         "labels": (6, map), "annotations": (7, map), "linux": (8, "LinuxPodSandboxConfig")},
    "PodSandboxMetadata": {"name": (1, str), "uid": (2, str), "namespace": (3, str), "attempt": (4, int)},
    "LinuxPodSandboxConfig": {"cgroup_parent": (1, str), "security_context": (2, "SandboxSecurity"),
                              "sysctls": (3, map)},
    "SandboxSecurity": {"namespace_options": (1, "NamespaceOption")},
    "NamespaceOption": {"network": (1, int), "pid": (2, int), "ipc": (3, int)},
    "RunPodSandboxResponse": {"pod_sandbox_id": (1, str)},
    "StopPodSandboxRequest": {"pod_sandbox_id": (1, str)}, "StopPodSandboxResponse": {},
    "RemovePodSandboxRequest": {"pod_sandbox_id": (1, str)}, "RemovePodSandboxResponse": {},
    "PodSandboxStatusRequest": {"pod_sandbox_id": (1, str)},
    "PodSandboxStatusResponse": {"status": (1, "PodSandboxStatus")},
    "PodSandboxStatus": {"id": (1, str), "state": (3, int), "network": (5, "PodNetwork"), "runtime_handler": (9, str)},
    "PodNetwork": {"ip": (1, str)},
    "ListPodSandboxRequest": {}, "ListPodSandboxResponse": {"items": (1, ["PodSandbox"])},
    "PodSandbox": {"id": (1, str)},
    "CreateContainerRequest": {"pod_sandbox_id": (1, str), "config": (2, "ContainerConfig"),
                               "sandbox_config": (3, "PodSandboxConfig")},
    "ContainerConfig": {"metadata": (1, "ContainerMetadata"), "image": (2, "ImageSpec"), "command": (3, [str]),
                        "args": (4, [str]), "working_dir": (5, str), "envs": (6, ["KeyValue"]),
                        "mounts": (7, ["Mount"]), "log_path": (11, str), "linux": (15, "LinuxContainerConfig")},
    "ContainerMetadata": {"name": (1, str), "attempt": (2, int)},
    "ImageSpec": {"image": (1, str)},
    "KeyValue": {"key": (1, str), "value": (2, str)},
    "Mount": {"container_path": (1, str), "host_path": (2, str), "readonly": (3, bool), "propagation": (5, int)},
    "LinuxContainerConfig": {"security_context": (2, "ContainerSecurity")},
    "ContainerSecurity": {"capabilities": (1, "Capability"), "privileged": (2, bool),
                          "namespace_options": (3, "NamespaceOption"), "run_as_user": (5, "Int64Value"),
                          "readonly_rootfs": (7, bool), "supplemental_groups": (8, [int]),
                          "no_new_privs": (11, bool), "run_as_group": (12, "Int64Value"),
                          "seccomp": (15, "SecurityProfile")},
    "SecurityProfile": {"profile_type": (1, int)},
    "Capability": {"add_capabilities": (1, [str]), "drop_capabilities": (2, [str])},
    "Int64Value": {"value": (1, int)},
    "CreateContainerResponse": {"container_id": (1, str)},
    "StartContainerRequest": {"container_id": (1, str)}, "StartContainerResponse": {},
    "StopContainerRequest": {"container_id": (1, str), "timeout": (2, int)}, "StopContainerResponse": {},
    "RemoveContainerRequest": {"container_id": (1, str)}, "RemoveContainerResponse": {},
    "ContainerStatusRequest": {"container_id": (1, str)},
    "ContainerStatusResponse": {"status": (1, "ContainerStatus")},
    "ContainerStatus": {"id": (1, str), "state": (3, int), "exit_code": (7, int), "reason": (10, str),
                        "message": (11, str)},
    "ExecSyncRequest": {"container_id": (1, str), "cmd": (2, [str]), "timeout": (3, int)},
    "ExecSyncResponse": {"stdout": (1, bytes), "stderr": (2, bytes), "exit_code": (3, int)},
    "ContainerStatsRequest": {"container_id": (1, str)}, "ContainerStatsResponse": {},
}
VARINTS = (int, bool)


def _varint(n):
    out = bytearray()
    n &= (1 << 64) - 1
    while n > 0x7f:
        out.append(n & 0x7f | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def _field(number, kind, value):
    if kind in VARINTS:
        return _varint(number << 3) + _varint(int(value))
    if kind is str:
        value = value.encode()
    elif kind is not bytes:
        value = encode(kind, value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def encode(message, values):
    out = b""
    for name, value in values.items():
        number, kind = MESSAGES[message][name]
        if kind is map:
            out += b"".join(_field(number, "KeyValue", {"key": k, "value": v}) for k, v in value.items())
        elif isinstance(kind, list):
            out += b"".join(_field(number, kind[0], v) for v in value)
        else:
            out += _field(number, kind, value)
    return out


def _read_varint(data, at):
    n = shift = 0
    while True:
        byte = data[at]
        at += 1
        n |= (byte & 0x7f) << shift
        if byte < 0x80:
            return n, at
        shift += 7


def decode(message, data):
    """Fields that the tables do not name are left out."""
    names = {number: (name, kind) for name, (number, kind) in MESSAGES[message].items()}
    values, at = {}, 0
    while at < len(data):
        key, at = _read_varint(data, at)
        if key & 7 == 0:
            value, at = _read_varint(data, at)
        else:
            size, at = _read_varint(data, at) if key & 7 == 2 else ({1: 8, 5: 4}[key & 7], at)
            value, at = data[at:at + size], at + size
        if key >> 3 not in names:
            continue
        name, kind = names[key >> 3]
        one = kind[0] if isinstance(kind, list) else kind
        if one is str:
            value = value.decode()
        elif isinstance(one, str):
            value = decode(one, value)
        if isinstance(kind, list):
            values.setdefault(name, []).append(value)
        else:
            values[name] = value
    return values


class CriError(Exception):
    pass


class Cri:
    """cri.RunPodSandbox(config=...) and so on; the answer is a dict without what is unset."""

    def __init__(self, machine, socket):
        # Outside of the machine: no process of it. The path leads into its mount namespace.
        self.caller = subprocess.Popen(["/usr/bin/python3", os.path.abspath(__file__), machine.root + socket],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def end(self):
        self.caller.communicate()

    def __getattr__(self, method):
        def call(**values):
            request = base64.b64encode(encode(f"{method}Request", values)).decode()
            self.caller.stdin.write(f"{method} {request}\n")
            self.caller.stdin.flush()
            word, _, answer = self.caller.stdout.readline().strip().partition(" ")
            if word != "ok":
                raise CriError(answer)
            return decode(f"{method}Response", base64.b64decode(answer))
        return call


def main():
    import grpc  # pylint: disable=import-outside-toplevel
    with grpc.insecure_channel(f"unix:{sys.argv[1]}") as channel:
        for line in sys.stdin:
            method, _, request = line.strip().partition(" ")
            call = channel.unary_unary(f"/runtime.v1.RuntimeService/{method}", request_serializer=None,
                                       response_deserializer=None)
            try:
                answer = "ok " + base64.b64encode(call(base64.b64decode(request), timeout=50)).decode()
            except grpc.RpcError as e:
                answer = " ".join(f"error {method}: {e.code().name}: {e.details()}".split())
            print(answer, flush=True)


if __name__ == "__main__":
    main()
