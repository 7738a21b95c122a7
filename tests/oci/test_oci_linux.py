"""The rest of "linux" and "process": each kind of namespace, ids, kernel parameters, capabilities,
limits, labels, clocks. config.md, config-linux.md; rows A10, A24, B32, B33, B48, B50."""
import os
import pathlib
import re
import subprocess
import time

import pytest

from lib import rows

KINDS = {"pid": "pid", "network": "net", "mount": "mnt", "ipc": "ipc", "uts": "uts", "cgroup": "cgroup",
         "user": "user", "time": "time"}
SHOW = "for n in pid net mnt ipc uts cgroup user time; do readlink /proc/self/ns/$n; done"


def spaces(text):
    return dict(line[:-1].split(":[") for line in text.split() if ":[" in line)


def own(pid="self"):
    return spaces("\n".join(os.readlink(f"/proc/{pid}/ns/{n}") for n in KINDS.values()))


def set_namespaces(c, kinds):
    old = {n["type"]: n for n in c["linux"]["namespaces"]}
    c["linux"]["namespaces"] = [old.get(k, {"type": k}) for k in kinds]


def of_process(**members):
    return lambda c: c["process"].update(members)


def of_linux(**members):
    return lambda c: c["linux"].update(members)


# --- namespaces ---

@pytest.mark.parametrize("kind", [k for k in KINDS if k not in ("mount", "user")])
@rows("A24", "B48")
def test_each_namespace(oci, kind):
    """With an entry it is a new one, without it is the caller's; all others are not touched by it."""
    base = {"mount", "pid", "network", "ipc", "uts", "cgroup"} | ({"user"} if oci.mode in ("userns", "rootless")
                                                                 else set())

    def edit(kinds):
        def change(c):
            set_namespaces(c, sorted(kinds))
            if "uts" not in kinds:
                del c["hostname"]
        return change
    here = own()
    with_it = spaces(oci.run(SHOW, edit(base | {kind}), rc=0).out)
    without = spaces(oci.run(SHOW, edit(base - {kind}), rc=0).out)
    name = KINDS[kind]
    assert with_it[name] != here[name] and without[name] == here[name]
    for other in base - {kind, "mount", "user"}:
        assert without[KINDS[other]] != here[KINDS[other]]


@pytest.mark.parametrize("kind", ["pid", "network", "ipc", "uts", "cgroup", "time"])
@rows("A24", "B48")
def test_each_namespace_by_path(rootful, kind):
    """That of another process, and nothing else of it."""
    holder = subprocess.Popen(["unshare", "--pid", "--fork", "--kill-child", "--net", "--ipc", "--uts", "--cgroup",
                               "--time", "sh", "-c", "echo; exec sleep 1000"], stdout=subprocess.PIPE)
    try:
        holder.stdout.readline()
        children = pathlib.Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text(encoding="ascii")
        pid = int(children.split()[0])

        def edit(c):
            set_namespaces(c, {"mount", "pid", "network", "ipc", "uts", "cgroup"} - {kind})
            if kind == "uts":
                del c["hostname"]
            c["linux"]["namespaces"].append({"type": kind, "path": f"/proc/{pid}/ns/{KINDS[kind]}"})
        found, theirs = spaces(rootful.run(SHOW, edit, rc=0).out), own(pid)
        same = {name for name in KINDS.values() if found[name] == theirs[name]}
        assert same - {"user"} == {KINDS[kind]} | ({"time"} & same if kind == "time" else set())
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()


@rows("A24", "B49")
def test_namespaces_that_cannot_be(oci):
    for entry, message in (({"type": "network", "path": "/proc/self/ns/ipc"}, "not a namespace of type network"),
                           ({"type": "network", "path": "/no/such"}, "/no/such"),
                           ({"type": "network", "path": "/etc/passwd"}, "not a namespace of type network"),
                           ({"type": "network", "path": "relative"}, "want an absolute path"),
                           ({"type": "magic"}, "magic")):
        def edit(c, entry=entry):
            c["linux"]["namespaces"] = [n for n in c["linux"]["namespaces"] if n["type"] != "network"] + [entry]
        oci.fails("create", "-b", oci.bundle("true", edit), oci.name(), match=message)

    def twice(c):
        c["linux"]["namespaces"].append({"type": "pid"})
    oci.fails("create", "-b", oci.bundle("true", twice), oci.name(), match="given before")
    # What encoders of other make write for "none".
    assert oci.run("true", lambda c: c["linux"]["namespaces"][0].update(path="")).rc == 0


@rows("A24", "B48")
def test_ids(oci):
    """The maps that were given, and inside them the ids of the process."""
    def edit(c):
        if oci.mode == "rootless":
            c["linux"]["namespaces"].append({"type": "user"})
            maps = [{"containerID": 0, "hostID": oci.user.uid, "size": 1},
                    {"containerID": 1, "hostID": oci.subuid[0], "size": 1000}]
            c["linux"]["uidMappings"] = maps
            c["linux"]["gidMappings"] = [{**maps[0], "hostID": oci.user.gid}, maps[1]]
        c["process"]["user"] = {"uid": 5, "gid": 6, "additionalGids": [7, 8], "umask": 0o027}
    r = oci.run("cat /proc/self/uid_map; id -u; id -g; id -G; umask", edit, rc=0)
    lines = [" ".join(line.split()) for line in r.out.splitlines()]
    assert lines[-4:] == ["5", "6", "6 7 8", "0027"]
    first = {"rootless": f"0 {getattr(oci.user, 'uid', 0)} 1", "userns": f"0 {oci.subuid[0]} 65536"}
    assert lines[0] == first.get(oci.mode, "0 0 4294967295")


@rows("B49")
def test_ids_that_are_not_mapped(oci):
    if oci.mode in ("rootful", "cgroup2"):
        pytest.skip("all ids are mapped")
    for user in ({"uid": 4000000, "gid": 0}, {"uid": 0, "gid": 4000000},
                 {"uid": 0, "gid": 0, "additionalGids": [4000000]}):
        r = oci.run("true", of_process(user=user))
        assert r.rc != 0 and "not mapped" in r.err, r


# --- names, kernel parameters, clocks ---

@rows("B48")
def test_names(oci):
    r = oci.run("hostname; cat /proc/sys/kernel/domainname",
                lambda c: c.update(hostname="nodeé", domainname="example.test"), rc=0)
    assert r.out == "nodeé\nexample.test\n"
    r = oci.run("cat /proc/sys/kernel/domainname", of_linux(sysctl={"kernel.domainname": "by.sysctl"}), rc=0)
    assert r.out == "by.sysctl\n"

    def without_uts(c):
        set_namespaces(c, [n["type"] for n in c["linux"]["namespaces"] if n["type"] != "uts"])
    oci.fails("create", "-b", oci.bundle("true", without_uts), oci.name(), match='hostname: needs a "uts"')


@pytest.mark.parametrize("key, value, message", [
    ("net.ipv4.ip_unprivileged_port_start", "80", None), ("net/ipv4/ping_group_range", "0 5", None),
    ("kernel.shm_rmid_forced", "1", None), ("kernel.msgmax", "4096", None), ("fs.mqueue.msg_max", "7", None),
    ("kernel.hostname", "x", "host name"), ("kernel.panic", "1", "not separate"), ("vm.swappiness", "1", "not separate"),
    ("net.../kernel/panic", "1", "want a name"), ("net/../kernel/panic", "1", "want a name"),
    ("net.no.such", "1", "net.no.such"), ("user.max_user_namespaces", "1", "not separate"),
])
@rows("B33", "B48")
def test_sysctls(oci, key, value, message):
    path = "/proc/sys/" + (key if "/" in key else key.replace(".", "/"))
    r = oci.run(f"cat {path}", of_linux(sysctl={key: value}))
    if message:
        assert r.rc == 1 and message in r.err, r
    else:
        assert r.rc == 0 and r.out.split() == value.split(), r


@pytest.mark.parametrize("kind, key", [("network", "net.ipv4.ip_forward"), ("ipc", "kernel.msgmax")])
@rows("B33")
def test_sysctls_of_the_host(oci, kind, key):
    """Refused where the namespace is the host's, also when the host's is named by its path."""
    def edit(path):
        def change(c):
            c["linux"]["namespaces"] = [n for n in c["linux"]["namespaces"] if n["type"] != kind]
            if path:
                c["linux"]["namespaces"].append({"type": kind, "path": path})
            c["linux"]["sysctl"] = {key: "1"}
        return change
    oci.fails("run", "-b", oci.bundle("true", edit(None)), oci.name(), match="namespace of its own")
    if oci.mode in ("rootful", "cgroup2"):
        oci.fails("run", "-b", oci.bundle("true", edit(f"/proc/{os.getpid()}/ns/{KINDS[kind]}")), oci.name(),
                  match="namespace of its own")


@rows("B33")
def test_sysctls_of_a_network_by_path(rootful):
    """A pod's network is made by others: its parameters are the container's all the same."""
    holder = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo; exec sleep 1000"], stdout=subprocess.PIPE)
    try:
        holder.stdout.readline()

        def edit(c):
            set_namespaces(c, ["mount", "pid", "ipc", "uts"])
            c["linux"]["namespaces"].append({"type": "network", "path": f"/proc/{holder.pid}/ns/net"})
            c["linux"]["sysctl"] = {"net.ipv4.ip_unprivileged_port_start": "81"}
        assert rootful.run("cat /proc/sys/net/ipv4/ip_unprivileged_port_start", edit, rc=0).out == "81\n"
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()


@rows("A24", "B48")
def test_clocks(oci):
    def edit(c):
        c["linux"]["namespaces"].append({"type": "time"})
        c["linux"]["timeOffsets"] = {"monotonic": {"secs": 1000, "nanosecs": 5}, "boottime": {"secs": 86400}}
    r = oci.run("cat /proc/self/timens_offsets /proc/uptime", edit, rc=0)
    assert re.search(r"monotonic\s+1000\s+5\n", r.out) and re.search(r"boottime\s+86400\s+0\n", r.out)
    assert float(r.out.splitlines()[-1].split()[0]) - time.clock_gettime(time.CLOCK_BOOTTIME) > 80000
    oci.fails("create", "-b", oci.bundle("true", of_linux(timeOffsets={"boottime": {"secs": 1}})), oci.name(),
              match='timeOffsets: needs a "time"')


# --- the process ---

def status(text):
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


@rows("B32", "B48")
def test_capabilities(oci):
    """Each set as it was given: CHOWN 0, DAC_OVERRIDE 1, KILL 5, SETGID 6, SETUID 7, NET_BIND_SERVICE 10."""
    caps = {"bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE"], "permitted": ["CAP_CHOWN", "CAP_KILL"],
            "effective": ["CAP_KILL"], "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL"]}
    found = status(oci.run("cat /proc/self/status", of_process(
        capabilities=caps, user={"uid": 5, "gid": 5}), rc=0).out)
    assert [int(found["Cap" + s], 16) for s in ("Bnd", "Prm", "Eff", "Inh", "Amb")] == [0x421, 0x20, 0x20, 0x20, 0x20]
    found = status(oci.run("cat /proc/self/status", of_process(capabilities=caps), rc=0).out)
    assert [int(found["Cap" + s], 16) for s in ("Bnd", "Inh")] == [0x421, 0x20]
    found = status(oci.run("cat /proc/self/status", lambda c: c["process"].pop("capabilities"), rc=0).out)
    assert {found["Cap" + s] for s in ("Bnd", "Prm", "Eff", "Inh", "Amb")} == {"0" * 16}


@rows("B32")
def test_unknown_capabilities(oci):
    """Of a newer kernel, or a mistake: left out with a warning, as config.md has it."""
    caps = {k: ["CAP_KILL", "CAP_OF_TOMORROW"] for k in ("bounding", "permitted", "effective")}
    r = oci.run("cat /proc/self/status", of_process(capabilities=caps), rc=0)
    assert "CAP_OF_TOMORROW" in r.err and int(status(r.out)["CapEff"], 16) == 0x20


@rows("B48")
def test_limits(oci):
    r = oci.run("ulimit -n; ulimit -Hn; ulimit -c; ulimit -s", of_process(rlimits=[
        {"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
        {"type": "RLIMIT_STACK", "soft": 1 << 20, "hard": 1 << 20}]), rc=0)
    assert r.out.split() == ["100", "200", "0", "1024"]
    one = {"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}
    for limits, message in (([one, one], "given before"), ([{**one, "soft": 300}], "greater than hard"),
                            ([{**one, "type": "RLIMIT_X"}], "RLIMIT_X")):
        oci.fails("create", "-b", oci.bundle("true", of_process(rlimits=limits)), oci.name(), match=message)


@rows("B48")
def test_scheduling_and_score(oci):
    r = oci.run("cat /proc/self/oom_score_adj; cat /proc/self/stat", of_process(
        oomScoreAdj=500, scheduler={"policy": "SCHED_BATCH", "nice": 19},
        ioPriority={"class": "IOPRIO_CLASS_BE", "priority": 6}), rc=0)
    fields = r.out.splitlines()[1].rpartition(")")[2].split()
    assert r.out.splitlines()[0] == "500" and fields[16] == "19" and fields[38] == "3"
    r = oci.run(["/bin/busybox", "uname", "-m"], of_linux(personality={"domain": "LINUX32"}), rc=0)
    assert r.out.strip() in ("i686", "armv8l", os.uname().machine) and r.out.strip() != "x86_64"


@rows("B48")
def test_no_process(oci):
    """A configuration without one can be created, but not started."""
    bundle = oci.bundle("true", lambda c: c.pop("process"))
    name = oci.name()
    oci.ok("create", "-b", bundle, name)
    assert oci.status(name) == "created"
    oci.fails("start", name, match="process")
    oci.ok("delete", "--force", name)


@rows("B50")
def test_labels_that_the_kernel_lacks(oci):
    """Not run without the protection that was asked for."""
    if not os.path.exists("/sys/module/apparmor"):
        oci.fails("run", "-b", oci.bundle("true", of_process(apparmorProfile="some")), oci.name(),
                  match="runs without AppArmor")
    if not os.path.exists("/sys/fs/selinux"):
        oci.fails("run", "-b", oci.bundle("true", of_process(selinuxLabel="a:b:c:s0")), oci.name(),
                  match="runs without SELinux")
        assert oci.run("true", of_linux(mountLabel="a:b:c:s0")).rc == 0
    assert oci.run("true", of_process(apparmorProfile="unconfined", selinuxLabel="")).rc == 0


@rows("B49")
@pytest.mark.parametrize("version, fine", [
    ("1.0.0", True), ("1.0.0-rc5", True), ("1.0.2-dev", True), ("1.1.0+dev", True), ("1.2.1", True), ("1.99.0", True),
    ("2.0.0", False), ("0.9.0", False), ("1.2", False), ("", False),
])
def test_versions(rootless, version, fine):
    r = rootless.run("true", lambda c: c.update(ociVersion=version))
    assert r.rc == (0 if fine else 1) and (fine or "ociVersion" in r.err), r


@rows("B49")
def test_what_other_programs_write(oci):
    """Members that are empty, null or not known here."""
    def edit(c):
        c.update(hooks={}, annotations={}, windows=None, vm={"kernel": {"path": "/x"}}, unknown={"a": [1]})
        c["process"].update(rlimits=None, apparmorProfile="", consoleSize={"height": 0, "width": 0}, ioPriority=None,
                            commandLine="", newMember=True)
        c["process"]["user"].update(additionalGids=None, username="")
        c["linux"].update(devices=None, seccomp=None, resources={"devices": None, "network": {}}, intelRdt=None,
                          rootfsPropagation="", mountLabel="", sysctl=None, cgroupsPath="")
        c["mounts"].append({"destination": "/x", "type": "tmpfs", "source": "", "options": None})
    assert oci.run("echo fine", edit, rc=0).out == "fine\n"
