"""Namespaces: joined by path, of every type; left out; without a mount namespace at all."""
import contextlib
import os
import subprocess

import pytest

from lib import rows, runner

FILES = {"mount": "mnt", "network": "net"}
UNSHARE = {"mount": "--mount", "uts": "--uts", "ipc": "--ipc", "network": "--net", "pid": "--pid",
           "cgroup": "--cgroup", "time": "--time", "user": "--user"}
JOINED = ("mount", "uts", "ipc", "network", "pid", "cgroup", "time")


@contextlib.contextmanager
def holder(runtime, *kinds):
    """A process with these namespaces; what it yields names their files."""
    argv = ["unshare", *(UNSHARE[k] for k in kinds), "--fork", "sh", "-c", "echo up; exec sleep 1000"]
    if "user" in kinds:
        argv.insert(1, "--map-root-user")
    p = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, **runtime.user.popen_args())
    try:
        assert p.stdout.readline() == "up\n"
        with open(f"/proc/{p.pid}/task/{p.pid}/children", encoding="ascii") as f:
            child = int(f.read())
        yield {k: f"/proc/{child}/ns/{FILES.get(k, k)}" for k in kinds}
        os.kill(child, 9)
    finally:
        p.kill()
        p.wait()
        p.stdout.close()


def by_path(paths):
    def edit(c):
        kept = [n for n in c["linux"]["namespaces"] if n["type"] not in paths]
        c["linux"]["namespaces"] = kept + [{"type": t, "path": p} for t, p in paths.items() if p]
    return edit


def name_of(kind, path="/proc/self/ns"):
    return f"{path}/{FILES.get(kind, kind)}"


@rows("A10", "B48")
@pytest.mark.parametrize("kind", JOINED)
def test_root_joins(rootful, kind):
    with holder(rootful, kind) as paths:
        want = os.readlink(paths[kind])
        r = rootful.run(["readlink", name_of(kind)], by_path(paths), rc=0)
        assert r.out == want + "\n"
        # While it exists: afterwards its number may be another's.
        r = rootful.run(["readlink", name_of(kind)], by_path({kind: None} if kind == "time" else {}), rc=0)
        assert r.out != want + "\n"


@rows("A10", "B48")
def test_user_joins_his_own(rootless):
    kinds = ("user", "uts", "ipc", "network", "pid")
    with holder(rootless, *kinds) as paths:
        r = rootless.run("for n in user uts ipc net pid; do readlink /proc/self/ns/$n; done; hostname; id -u",
                         by_path(paths), rc=0)
        want = [os.readlink(paths[k]) for k in kinds]
    assert r.out.split() == want + ["box", "0"]


@rows("A10", "B48")
def test_namespace_of_the_host_and_one_of_a_user(rootful):
    """Each is entered while there are rights for it: the host's network, then the user namespace."""
    with holder(rootful, "network") as net, holder(rootful, "user") as user:
        paths = {**net, **user}
        r = rootful.run("readlink /proc/self/ns/net; readlink /proc/self/ns/user", by_path(paths), rc=0)
        assert r.out.split() == [os.readlink(paths["network"]), os.readlink(paths["user"])]


@rows("B49")
def test_what_is_no_such_namespace(rootful):
    for path, message in (("/proc/self/ns/uts", "is not a namespace of type ipc"),
                          ("/nonexistent", "No such file"), ("/dev/null", "is not a namespace")):
        bundle = rootful.bundle(["true"], by_path({"ipc": path}))
        rootful.fails("create", "-b", bundle, "x", match=message)


@rows("B49")
def test_a_users_container_cannot_join_the_hosts(rootless):
    bundle = rootless.bundle(["true"], by_path({"network": "/proc/1/ns/net"}))
    r = rootless("create", "-b", bundle, "x")
    assert r.rc == 1 and "/proc/1/ns/net" in r.err


def without_mounts(c):
    by_path({"mount": None})(c)
    c["mounts"] = []
    c["linux"]["maskedPaths"] = c["linux"]["readonlyPaths"] = []


@rows("A10", "B48")
@pytest.mark.parametrize("how", ("none", "path"))
def test_in_the_hosts_mount_namespace(rootful, how):
    """It gets its root by chroot, without the configuration's mounts, and nothing on the host changes."""
    def edit(c):
        without_mounts(c)
        c["mounts"] = [{"destination": "/proc", "type": "proc", "source": "proc"}]
        if how == "path":
            c["linux"]["namespaces"].append({"type": "mount", "path": "/proc/self/ns/mnt"})
    with open("/proc/self/mountinfo", encoding="utf-8") as f:
        before = f.read()
    r = rootful.run("echo /*; pwd", edit, rc=0)
    assert r.out.split() == ["/bin", "/dev", "/etc", "/proc", "/sys", "/tmp", "/"]
    with open("/proc/self/mountinfo", encoding="utf-8") as f:
        assert f.read() == before


@rows("A10", "B48")
def test_exec_in_the_hosts_mount_namespace(rootful):
    name = rootful.create(["sleep", "1000"], without_mounts)
    rootful.ok("start", name)
    r = rootful.ok("exec", name, "sh", "-c", "echo /*; pwd; echo /proc/*")
    assert r.out.split() == ["/bin", "/dev", "/etc", "/proc", "/sys", "/tmp", "/", "/proc/*"]


@rows("B49")
@pytest.mark.parametrize("change,what", (
    (lambda c: c["linux"].update(maskedPaths=["/x"]), "linux.maskedPaths"),
    (lambda c: c["linux"].update(readonlyPaths=["/x"]), "linux.readonlyPaths"),
    (lambda c: c["root"].update(readonly=True), "root.readonly"),
    (lambda c: c["linux"].update(rootfsPropagation="shared"), "linux.rootfsPropagation"),
))
def test_the_hosts_mounts_are_left_alone(rootful, change, what):
    def edit(c):
        without_mounts(c)
        change(c)
    bundle = rootful.bundle(["true"], edit)
    rootful.fails("create", "-b", bundle, "x", match=f"{what} would change the mounts of the host")


@rows("A10")
def test_time_namespace(oci):
    def edit(c):
        c["linux"]["namespaces"].append({"type": "time"})
        c["linux"]["timeOffsets"] = {"boottime": {"secs": 10 ** 7}, "monotonic": {"secs": 86400, "nanosecs": 5}}
    r = oci.run("cat /proc/uptime /proc/self/timens_offsets", edit, rc=0)
    lines = r.out.splitlines()
    assert float(lines[0].split()[0]) > 10 ** 7
    assert {tuple(line.split()) for line in lines[1:]} == {("monotonic", "86400", "5"), ("boottime", "10000000", "0")}


# --- network devices ---

NETS = ["unshare", "--net", "--", "sh", "-c"]


def in_network(runtime, script, edit, rc=0):
    """rootlet-oci run from a network namespace of its own, with an "up" device dev0."""
    argv = runtime.argv("run", "-b", runtime.bundle(["cat", "/proc/net/dev", "/proc/net/if_inet6",
                                                    "/proc/net/fib_trie"], edit), runtime.name())
    p = subprocess.run([*NETS, f'{script} exec "$0" "$@"', *argv], capture_output=True, text=True,
                       env=runtime.environment(), stdin=subprocess.DEVNULL, timeout=60 * runner.PATIENCE)
    assert p.returncode == rc, p.stderr
    return p


def needs_ifb():
    if subprocess.run([*NETS, "ip link add dev0 type ifb"], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("this kernel makes no ifb devices")


MAKE = ("ip link add dev0 type ifb && ip addr add 10.99.7.2/24 dev dev0 && "
        "ip addr add fd00:99::2/64 dev dev0 && ")


@rows("A10")
@pytest.mark.parametrize("name,want", ((None, "dev0"), ("inner", "inner"), ("eth%d", "eth0")))
def test_network_devices(rootful, name, want):
    needs_ifb()

    def edit(c):
        c["linux"]["netDevices"] = {"dev0": {"name": name} if name else {}}
    out = in_network(rootful, MAKE + "ip link set dev0 up;", edit).stdout
    assert f"{want}:" in out
    assert "fd000099000000000000000000000002" in out and "10.99.7.2" in out


@rows("B49")
def test_network_device_that_cannot_be_moved(rootful):
    needs_ifb()
    p = in_network(rootful, MAKE, lambda c: c["linux"].update(netDevices={"dev9": {}}), rc=1)
    assert "network device dev9: No such device" in p.stderr
    p = in_network(rootful, MAKE, lambda c: c["linux"].update(netDevices={"dev0": {"name": "lo"}}), rc=1)
    assert "network device dev0: move it to the container as lo: File exists" in p.stderr
