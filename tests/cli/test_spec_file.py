"""run --spec FILE, and the config.json that create makes of a command line."""
import copy
import json

import pytest

from lib import rows, runner


@pytest.fixture
def bundle(rootlet):
    """rootlet spec's file beside a root file system; write(spec) returns its path."""
    top = rootlet.user.tmp / "bundle"
    rootlet.shell(f"mkdir -p {top}/rootfs/bin {top}/rootfs/etc && cp /bin/busybox {top}/rootfs/bin && "
                  f"for a in sh cat id hostname sleep mount true readlink grep; do ln -s busybox {top}/rootfs/bin/$a; done")

    class Bundle:
        path = top
        base = rootlet.ok("spec").json()

        @staticmethod
        def write(spec, name="config.json"):
            (top / name).write_text(spec if isinstance(spec, str) else json.dumps(spec))
            return top / name
    yield Bundle
    rootlet.shell(f"rm -rf {top}")


def changed(spec, path, value):
    spec = copy.deepcopy(spec)
    at = spec
    for key in path[:-1]:
        at = at[key]
    if value is None:
        at.pop(path[-1], None)
    else:
        at[path[-1]] = value
    return spec


@rows("B48", "B50", "B51", "B16")
def test_every_section_shows(rootlet, bundle):
    spec = copy.deepcopy(bundle.base)
    spec["process"].update(terminal=False, cwd="/etc", args=["sh", "-c",
                           "pwd; echo $A; hostname; id -u; cat /proc/sys/net/ipv4/ip_default_ttl; grep -c ' /extra ' /proc/mounts"])
    spec["process"]["env"] = ["PATH=/bin", "A=from-file"]
    spec["hostname"] = "specced"
    spec.setdefault("linux", {})["sysctl"] = {"net.ipv4.ip_default_ttl": "55"}
    spec["mounts"].append({"destination": "/extra", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid"]})
    file = bundle.write(spec)
    out = rootlet.ok("run", "--rm", "--spec", file).out.split()
    assert out[:6] == ["/etc", "from-file", "specced", "0", "55", "1"]
    made = rootlet.ok("create", "--name", "c", "--spec", file).text
    assert rootlet.ok("start", "-a", "c").out.split() == out
    assert rootlet.inspect(made)["Name"] == "c"
    # Words behind --spec replace its process.args; a relative root.path is the file's neighbour.
    assert rootlet.ok("run", "--rm", "--spec", file, cwd="/").out.split() == out


def test_spec_of_rootlet_runs_as_it_is(rootlet, bundle):
    spec = changed(bundle.base, ["process", "terminal"], False)
    spec["process"]["args"] = ["sh", "-c", "exit 6"]
    assert rootlet("run", "--rm", "--spec", bundle.write(spec)).rc == 6
    rootlet.ok("spec", "-b", bundle.path / "rootfs")
    rootlet.fails("spec", "-b", bundle.path / "rootfs", match="exists")


@pytest.mark.parametrize("path, value, where", [
    (["process", "args"], "not a list", "process.args"),
    (["process", "args"], [1], "process.args"),
    (["process", "cwd"], "relative", "process.cwd"),
    (["process", "user"], {"uid": -1, "gid": 0}, "process.user.uid"),
    (["process", "user"], {"uid": "0", "gid": 0}, "process.user.uid"),
    (["process"], None, "process: missing"),
    (["process", "capabilities"], {"bounding": "CAP_CHOWN"}, "process.capabilities.bounding"),
    (["root"], None, "root"),
    (["ociVersion"], "9.0", "ociVersion"),
    (["ociVersion"], None, "ociVersion"),
    (["mounts"], [{"type": "tmpfs"}], "mounts[0].destination"),
    (["mounts"], {}, "mounts"),
    (["linux", "namespaces"], [{"type": "uts"}, {"type": "nosuch"}], "linux.namespaces[1].type"),
    (["linux", "namespaces"], [{"type": "pid"}, {"type": "pid"}], "linux.namespaces"),
    (["linux", "uidMappings"], [{"containerID": 0, "hostID": "x", "size": 1}], "linux.uidMappings[0].hostID"),
    (["linux", "seccomp"], {"defaultAction": "SCMP_ACT_NOSUCH"}, "SCMP_ACT_NOSUCH"),
    (["process", "rlimits"], [{"type": "RLIMIT_NOSUCH", "soft": 1, "hard": 1}], "RLIMIT_NOSUCH"),
    (["root", "path"], "no/such/dir", "no/such/dir"),
])
@rows("B49")
def test_mistakes_name_the_place(rootlet, bundle, path, value, where):
    r = rootlet.fails("run", "--rm", "--spec", bundle.write(changed(bundle.base, path, value)))
    assert where in r.err, r
    assert r.err.startswith("Error: ") and rootlet.ok("ps", "-aq").out == ""


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"a":1,"a":2}', "[" * 200 + "]" * 200, "\0", "{} {}"])
@rows("B49")
def test_what_is_no_spec(rootlet, bundle, text):
    r = rootlet.fails("run", "--spec", bundle.write(text))
    assert r.err.startswith("Error: ") and "config.json" in r.err, r


def test_missing_and_huge(rootlet, bundle):
    rootlet.fails("run", "--spec", "/no/such/spec", match="/no/such/spec")
    file = bundle.write(" " * (5 << 20) + "{}")
    r = rootlet.fails("run", "--spec", file)
    assert r.seconds < 5 * runner.PATIENCE and "config.json" in r.err


@rows("A37", "B48")
def test_limits_are_refused_without_cgroups(rootlet, bundle):
    spec = changed(bundle.base, ["linux", "resources"], {"memory": {"limit": 64 << 20}})
    r = rootlet.fails("run", "--rm", "--spec", bundle.write(spec), match="linux.resources.memory.limit of --spec needs")
    assert "cgroup" in r.err
    rootlet.fails("run", "--spec", bundle.write(bundle.base), "--cpus", "1", match="--cpus needs a cgroup")


@rows("B32", "B35", "B48")
def test_seccomp_of_the_file(rootlet, bundle):
    spec = changed(bundle.base, ["process", "terminal"], False)
    spec["process"]["args"] = ["hostname", "x"]
    spec["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [
        {"names": ["sethostname"], "action": "SCMP_ACT_KILL_PROCESS"}]}
    assert rootlet("run", "--rm", "--spec", bundle.write(spec), "--init").rc in (125, 159)
    spec["linux"]["seccomp"]["syscalls"][0].update(action="SCMP_ACT_ERRNO", errnoRet=38)
    r = rootlet("run", "--rm", "--spec", bundle.write(spec))
    assert r.rc == 1 and "not implemented" in r.err


# What create makes of a command line: the parts of config.json that each flag is about.

def spec_of(rootlet, *words):
    made = rootlet.ok("create", *words, rootlet.image(), "true").text
    found = json.loads((rootlet.store.root / "containers" / made / "config.json").read_text())
    rootlet.ok("rm", "-v", made)
    return found


def mount_of(spec, destination):
    return next((m for m in spec["mounts"] if m["destination"] == destination), None)


CASES = [
    (["-w", "/tmp"], lambda s: s["process"]["cwd"] == "/tmp"),
    (["-t"], lambda s: s["process"]["terminal"] is True),
    ([], lambda s: not s["process"].get("terminal") and s["process"]["args"] == ["true"]),
    (["--entrypoint", '["a","b"]'], lambda s: s["process"]["args"] == ["a", "b", "true"]),
    (["-e", "A=b=c"], lambda s: "A=b=c" in s["process"]["env"]),
    (["--hostname", "h"], lambda s: s["hostname"] == "h" and "HOSTNAME=h" in s["process"]["env"]),
    (["--init"], lambda s: s["process"]["args"][0] == "/dev/rootlet-init" and mount_of(s, "/dev/rootlet-init")),
    (["--cap-drop", "ALL"], lambda s: not s["process"]["capabilities"].get("bounding")),
    (["--cap-drop", "all", "--cap-add", "chown,NET_BIND_SERVICE"],
     lambda s: set(s["process"]["capabilities"]["effective"]) == {"CAP_CHOWN", "CAP_NET_BIND_SERVICE"}),
    (["--security-profile", "minimal"], lambda s: set(s["process"]["capabilities"]["bounding"]) ==
     {"CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE"}),
    (["--read-only"], lambda s: s["root"]["readonly"] is True and mount_of(s, "/tmp")["type"] == "tmpfs"),
    (["--tmpfs", "/t:size=1m"], lambda s: "size=1m" in mount_of(s, "/t")["options"]),
    (["--shm-size", "1m"], lambda s: "size=1048576" in mount_of(s, "/dev/shm")["options"]),
    (["-v", "/usr:/w:ro"], lambda s: {"rbind", "ro", "rprivate"} <= set(mount_of(s, "/w")["options"])),
    (["--ulimit", "nofile=5:6"], lambda s: {"type": "RLIMIT_NOFILE", "soft": 5, "hard": 6} in s["process"]["rlimits"]),
    (["--network", "host"], lambda s: "network" not in [n["type"] for n in s["linux"]["namespaces"]]),
    (["--pid", "host"], lambda s: "pid" not in [n["type"] for n in s["linux"]["namespaces"]]),
    (["--ipc", "host", "--uts", "host", "--cgroupns", "host"],
     lambda s: not {"ipc", "uts", "cgroup"} & {n["type"] for n in s["linux"]["namespaces"]}),
    (["--privileged"], lambda s: not s["linux"].get("maskedPaths") and "CAP_SYS_ADMIN" in s["process"]["capabilities"]["bounding"]),
    (["--security-opt", "mask=/proc/version"], lambda s: "/proc/version" in s["linux"]["maskedPaths"]),
    (["--security-opt", "unmask=ALL"], lambda s: not s["linux"].get("maskedPaths") and not s["linux"].get("readonlyPaths")),
    (["--security-opt", "no-new-privileges"], lambda s: s["process"]["noNewPrivileges"] is True),
    (["-u", "app"], lambda s: s["process"]["noNewPrivileges"] is True),
    (["--oom-score-adj", "100"], lambda s: s["process"]["oomScoreAdj"] == 100),
    (["--umask", "077"], lambda s: s["process"]["user"]["umask"] == 0o77),
    (["--annotation", "a=b"], lambda s: s["annotations"]["a"] == "b"),
    (["--sysctl", "net.ipv4.ip_forward=1"], lambda s: s["linux"]["sysctl"]["net.ipv4.ip_forward"] == "1"),
]


@rows("B23", "B49")
def test_config_json_of_command_lines(rootlet):
    for flags, check in CASES:
        spec = spec_of(rootlet, *flags)
        assert check(spec), f"{flags}: {json.dumps(spec)}"
