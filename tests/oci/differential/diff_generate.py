"""diff_generate - configurations for the differential test: a good one, changed by one to four of the
functions below. Each is named after what it changes and takes the configuration and a random
generator; many give what a runtime must refuse."""
import copy
import json

# Where hooks, run as the runtime's user, tell that they were called; the runner sets it.
LOG = "@LOG@"
BUNDLE = "@BUNDLE@"
HOST = "@HOST@"

CAPS = ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW", "CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP",
        "CAP_MKNOD", "CAP_AUDIT_WRITE", "CAP_NET_BIND_SERVICE", "CAP_DAC_OVERRIDE", "CAP_FOWNER",
        "CAP_SYS_CHROOT", "CAP_FSETID", "CAP_SETFCAP", "CAP_SYS_PTRACE", "CAP_BPF"]
RLIMITS = ["RLIMIT_AS", "RLIMIT_CORE", "RLIMIT_CPU", "RLIMIT_DATA", "RLIMIT_FSIZE", "RLIMIT_LOCKS",
           "RLIMIT_MEMLOCK", "RLIMIT_MSGQUEUE", "RLIMIT_NICE", "RLIMIT_NOFILE", "RLIMIT_NPROC",
           "RLIMIT_RSS", "RLIMIT_RTPRIO", "RLIMIT_RTTIME", "RLIMIT_SIGPENDING", "RLIMIT_STACK"]
# What a limit may be without stopping the probe.
ROOMY = {"RLIMIT_AS": 1 << 34, "RLIMIT_DATA": 1 << 34, "RLIMIT_STACK": 8 << 20,
         "RLIMIT_FSIZE": 1 << 30, "RLIMIT_NPROC": 5000, "RLIMIT_CPU": 600, "RLIMIT_MEMLOCK": 65536,
         "RLIMIT_NICE": 0, "RLIMIT_RTPRIO": 0, "RLIMIT_RTTIME": 1 << 30}
PATHS = ["/proc/kcore", "/proc/sys/kernel/ostype", "/proc/sysrq-trigger", "/sys/firmware", "/file",
         "/dir", "/tmp", "/etc/passwd", "/link", "/nothing", "/dev/null", "/dir/inner",
         "/proc/timer_list", "/dev/shm", "/sys/fs/cgroup", "/dangling"]
SYSCTLS = ["net.ipv4.ip_forward", "net.ipv4.ip_unprivileged_port_start", "net.core.somaxconn",
           "kernel.shmmax", "kernel.msgmnb", "kernel.sem", "fs.mqueue.msg_max",
           "kernel.hostname", "kernel.domainname", "net/ipv4/ip_default_ttl",
           "net.ipv4.conf.lo.forwarding"]
# Values that a host has anyhow, should a runtime set them there.
BAD_SYSCTLS = {"vm.swappiness": "60", "kernel.pid_max": "4194304", "nothing.at.all": "1", "": "1",
               "net.ipv4.nothing": "1", "kernel.shm..max": "1", "../etc/passwd": "1",
               "net.../../kernel.randomize_va_space": "2", "kernel.randomize_va_space": "2", "net": "1",
               "net/../kernel/randomize_va_space": "2"}
MOUNT_OPTIONS = ["ro", "rw", "nosuid", "suid", "nodev", "dev", "noexec", "exec", "noatime", "relatime",
                 "strictatime", "nodiratime", "private", "rprivate", "slave", "rslave", "shared",
                 "rshared", "unbindable", "sync", "dirsync", "norelatime", "nostrictatime", "atime",
                 "diratime", "nosymfollow", "symfollow", "defaults", "async"]
BIND_OPTIONS = ["rro", "rrw", "rnosuid", "rnodev", "rnoexec", "rnoatime", "rnosymfollow"]
CALLS = ["getppid", "times", "mkdir", "personality", "alarm", "unshare", "sethostname", "getpgid"]
JUNK = [None, True, False, 0, -1, 3.5, 1 << 40, "", "x", "0", [], {}, [1], ["a"], {"a": 1}, [None]]
# Not "/": "crun delete --force /" removes the root of the host (1.8). That nothing here can reach it
# is sandbox.py's work.
IDS = ["", ".", "..", "a/b", "-a", "a b", "a\nb", "x" * 300, "x" * 2000, "a:b", "ä", "a+b", "A_b.c-d", "_",
       "a*", "a%b", "a@b", "0"]


def base(rootless):
    """What `runc spec` gives, more or less."""
    caps = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
    config = {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["/probe"] + [f"path={p}" for p in PATHS],
            "env": ["PATH=/usr/bin:/bin:/", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {"bounding": list(caps), "effective": list(caps),
                             "permitted": list(caps)},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": False},
        "hostname": "differential",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
             "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
             "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
            {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
             "options": ["nosuid", "noexec", "nodev"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs",
             "options": ["nosuid", "noexec", "nodev", "ro"]},
        ],
        "linux": {
            "namespaces": [{"type": t} for t in ("pid", "network", "ipc", "uts", "mount", "cgroup")],
            "maskedPaths": ["/proc/kcore", "/proc/timer_list", "/sys/firmware"],
            "readonlyPaths": ["/proc/sys", "/proc/sysrq-trigger"],
        },
    }
    if rootless:
        config["linux"]["namespaces"].append({"type": "user"})
        for kind in "uid", "gid":
            config["linux"][f"{kind}Mappings"] = [
                {"containerID": 0, "hostID": f"@{kind}@", "size": 1},
                {"containerID": 1, "hostID": f"@sub{kind}@", "size": "@count@"}]
    return config


def some(r, items, low=0, high=None):
    return r.sample(items, r.randint(low, min(len(items), high or len(items))))


# --- process ---------------------------------------------------------------------------------------

def args(c, r):
    c["process"]["args"] = r.choice([
        c["process"]["args"] + [f"exit={r.randint(1, 200)}"], ["probe"], ["./probe", "exit=7"], ["/bin/sh", "-c", "exit 4"],
        ["sh", "-c", "kill -9 $$"], ["/nothing"], ["nothing"], [""], [], ["/dir"], ["/file"],
        ["/script"], ["/bad-script"], ["/link/inner-probe"], ["/dangling"], ["probe", "", "ä", "a\tb"], ["bin/sh", "-c", "exit 3"]])


def cwd(c, r):
    c["process"]["cwd"] = r.choice(["/", "/tmp", "/new/deep", "/file", "tmp", "", "/link", "/dir/", "/dir/..",
                                    "//tmp//", "/proc/self/fd", "/dangling", "/locked", "/./dir", "/out"])


def environment(c, r):
    c["process"]["env"] = some(r, ["PATH=/bin:/", "HOME=/x", "HOME=", "A=1", "A=2", "B", "=C", "PATH", "PATH=",
                                   "X=a=b", "Y= z ", "U=ä", "", "L=" + "x" * 5000, "HOSTNAME=q", "PATH=/nothing"])


def user(c, r):
    u = {"uid": r.choice([0, 0, 1, 10, 1000, 65535, 65536, 70000, 4294967294, 4294967295]),
         "gid": r.choice([0, 0, 5, 10, 1000, 65536])}
    if r.random() < 0.5:
        u["additionalGids"] = some(r, [0, 1, 5, 5, 10, 1000, 60000, 70000], 0, 4)
    if r.random() < 0.4:
        u["umask"] = r.choice([0, 0o22, 0o77, 0o777, 0o27, 0o1000, 0o7777, -1])
    if r.random() < 0.1:
        u["username"] = "root"
    c["process"]["user"] = u


def capabilities(c, r):
    if r.random() < 0.1:
        c["process"].pop("capabilities")
        return
    sets = {}
    for name in ("bounding", "effective", "permitted", "inheritable", "ambient"):
        if r.random() < 0.8:
            sets[name] = some(r, CAPS, 0, 6)
    if r.random() < 0.6:
        whole = some(r, CAPS, 1, 10)
        sets = {n: list(whole) for n in sets}
    if r.random() < 0.15 and sets:
        sets[r.choice(sorted(sets))].append(r.choice(["CAP_TEST", "cap_kill", "KILL", "", "CAP_", "CAP_NET_RAW "]))
    c["process"]["capabilities"] = sets
    if r.random() < 0.3:
        c["process"]["user"]["uid"] = 1


def rlimits(c, r):
    out = []
    for name in some(r, RLIMITS, 1, 4):
        hard = ROOMY.get(name, r.choice([64, 1000, 4096]))
        out.append({"type": name, "hard": hard, "soft": max(0, hard - r.choice([0, 0, 1, 10]))})
    if r.random() < 0.3:
        out.append(r.choice([{"type": "RLIMIT_TEST", "hard": 1, "soft": 1}, {"type": "RLIMIT_NOFILE", "hard": 10, "soft": 20},
                             {"type": "rlimit_core", "hard": 1, "soft": 1}, {"type": "", "hard": 1, "soft": 1},
                             {"type": "RLIMIT_CORE", "hard": -1, "soft": -1}, {"type": "RLIMIT_CORE", "hard": 1 << 64, "soft": 0},
                             {"type": "RLIMIT_CORE", "soft": 0}, {"type": "RLIMIT_CORE", "hard": 5}, {"hard": 5, "soft": 5},
                             {"type": "RLIMIT_CORE", "hard": 18446744073709551615, "soft": 18446744073709551615},
                             copy.deepcopy(out[0])]))
    c["process"]["rlimits"] = out


def oom_score(c, r):
    c["process"]["oomScoreAdj"] = r.choice([0, 1, 500, 1000, 1001, -1, -1000, -1001, None])


def no_new_privileges(c, r):
    c["process"]["noNewPrivileges"] = r.choice([False, True])
    if r.random() < 0.3:
        c["process"].pop("noNewPrivileges")


def terminal(c, r):
    c["process"]["terminal"] = r.choice([True, False])
    if r.random() < 0.5:
        c["process"]["consoleSize"] = r.choice([{"height": 24, "width": 80}, {"height": -1, "width": 80}, {"height": 5}])


def labels(c, r):
    where, value = r.choice([("apparmorProfile", ""), ("selinuxLabel", ""), ("apparmorProfile", "unconfined"),
                             ("apparmorProfile", "nothing"), ("selinuxLabel", "a:b:c")])
    c["process"][where] = value


def scheduler(c, r):
    c["process"]["scheduler"] = r.choice([
        {"policy": "SCHED_OTHER", "nice": 5}, {"policy": "SCHED_BATCH"}, {"policy": "SCHED_BATCH", "nice": 19},
        {"policy": "SCHED_IDLE"}, {"policy": "SCHED_NOTHING"}, {"policy": ""}, {}, {"policy": "SCHED_OTHER", "nice": 100},
        {"policy": "SCHED_FIFO"}, {"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_RESET_ON_FORK"]},
        {"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_NOTHING"]}])


def io_priority(c, r):
    c["process"]["ioPriority"] = r.choice([
        {"class": "IOPRIO_CLASS_BE", "priority": 4}, {"class": "IOPRIO_CLASS_IDLE", "priority": 0},
        {"class": "IOPRIO_CLASS_BE", "priority": 9}, {"class": "IOPRIO_CLASS_X", "priority": 1}, {"class": "IOPRIO_CLASS_BE"},
        {"priority": 2}, {"class": "IOPRIO_CLASS_BE", "priority": -1}])


# --- the whole -------------------------------------------------------------------------------------

def version(c, r):
    c["ociVersion"] = r.choice(["1.0.0", "1.0.2-dev", "1.0.0-rc5", "1.1.0", "1.2.0", "1.2.1", "1.99.0", "0.2.0", "2.0.0", "", "x",
                                "1", "1.0", "1.0.0+build", "v1.0.0", 1, None])
    if r.random() < 0.1:
        del c["ociVersion"]


def hostname(c, r):
    c["hostname"] = r.choice(["", "a", "a.b", "x" * 64, "x" * 65, "x" * 300, "ä", "-", "a b"])
    if r.random() < 0.2:
        c["linux"]["namespaces"] = [n for n in c["linux"]["namespaces"] if n["type"] != "uts"]
    if r.random() < 0.1:
        del c["hostname"]


def domainname(c, r):
    c["domainname"] = r.choice(["", "example", "x" * 64, "x" * 65])


def root(c, r):
    c["root"] = r.choice([{"path": "rootfs", "readonly": True}, {"path": f"{BUNDLE}/rootfs"}, {"path": "rootlink"},
                          {"path": "./rootfs/"}, {"path": "nothing"}, {"path": ""}, {"path": "rootfs/file"}, {},
                          {"readonly": True}, {"path": "rootfs", "readonly": True}, {"path": "../bundle/rootfs"}])
    if r.random() < 0.1:
        del c["root"]


def annotations(c, r):
    c["annotations"] = r.choice([{}, {"a.b": "c"}, {"": "x"}, {"a": ""}, {"a": 1}, {"a": None}, [], {"a": {"b": "c"}},
                                 {"org.opencontainers.image.os": "linux"}])


def hook(r, point, n):
    """One that writes its name and the state that it is given."""
    shell = "/bin/sh"
    script = f"echo {point}{n} >> {LOG}; cat >> {LOG}.{point}{n}"
    if point == "startContainer":
        script = f"echo {point}{n} >> /hooks; cat >> /hooks.{point}{n}"
    h = {"path": shell, "args": ["sh", "-c", script]}
    odd = r.random()
    if odd < 0.08:
        h["args"][2] += f"; exit {r.randint(1, 9)}"
    elif odd < 0.11:
        h["path"] = r.choice(["bin/sh", "/nothing", "", "/file"])
    elif odd < 0.14:
        h["timeout"] = r.choice([0, -1, 60, "1"])
    elif odd < 0.17:
        h["timeout"] = 1
        h["args"][2] += "; sleep 30"
    elif odd < 0.2:
        h.pop(r.choice(["args", "path"]))
    elif odd < 0.3:
        h["env"] = ["A=b"]
        h["args"][2] += f'; echo "$A $PATH" >> {LOG}' if point != "startContainer" else ""
    return h


def hooks(c, r):
    points = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]
    c["hooks"] = {p: [hook(r, p, i) for i in range(r.randint(1, 2))] for p in some(r, points, 1, 4)}


# --- mounts ----------------------------------------------------------------------------------------

def mount(c, r):
    kind = r.choice(["tmpfs", "bind", "file", "odd"])
    target = r.choice(["/mnt", "/tmp", "/new/mount", "/dir", "/link", "/link/x", "/mnt/../tmp", "/out/x", "/dangling",
                       "mnt", "//mnt//", "/dir/inner", "/proc/self", "/proc/nothing", "/dev/extra", "/sys/extra", "/", ".", "", "/file"])
    options = some(r, MOUNT_OPTIONS, 0, 4)
    if kind == "tmpfs":
        extra = some(r, ["mode=700", "size=1m", "size=64k", "tmpcopyup", "nr_inodes=100", "uid=1", "gid=5", "mode=1777"], 0, 2)
        m = {"destination": target, "type": "tmpfs", "source": r.choice(["tmpfs", "x", ""]), "options": options + extra}
    elif kind == "bind":
        source = r.choice([f"{HOST}/dir", f"{HOST}/dir", "../host/dir", f"{HOST}/nothing", f"{HOST}/link", "rootfs/dir", ""])
        m = {"destination": target, "type": r.choice(["bind", "none", "", "ext4"]), "source": source,
             "options": [r.choice(["bind", "rbind"])] + options + some(r, BIND_OPTIONS, 0, 1)}
    elif kind == "file":
        m = {"destination": r.choice(["/etc/passwd", "/newfile", "/dir/newfile", "/dir", "/link/f", "/dangling", "/dev/file", "/out/f"]),
             "type": "bind", "source": f"{HOST}/file", "options": ["bind"] + options}
    else:
        m = r.choice([{"destination": target}, {"type": "tmpfs", "source": "x"}, {"destination": target, "type": "nothing", "source": "x"},
                      {"destination": target, "type": "tmpfs", "source": "x", "options": ["nothing"]},
                      {"destination": target, "type": "tmpfs", "source": "x", "options": ["size=x"]},
                      {"destination": target, "type": "proc", "source": "proc"}, {"destination": target, "type": "sysfs", "source": "s"},
                      {"destination": target, "type": "cgroup", "source": "cgroup", "options": ["ro", "nosuid"]},
                      {"destination": target, "type": "tmpfs", "source": "x", "options": [""]},
                      {"destination": target, "type": "tmpfs", "source": "x", "options": ["ro,nosuid"]},
                      {"destination": target, "type": "bind", "source": f"{HOST}/dir"}, {"destination": target, "type": "mqueue", "source": "m"},
                      {"destination": target, "type": "tmpfs", "options": ["rw"]}, {"destination": target, "type": "devpts", "source": "d"},
                      {"destination": target, "type": "tmpfs", "source": "x", "options": ["idmap"]}])
    where = len(c["mounts"]) if r.random() < 0.8 else r.randint(0, len(c["mounts"]))
    c["mounts"].insert(where, m)


def two_mounts(c, r):
    mount(c, r)
    mount(c, r)


def cgroup_mount(c, r):
    c["mounts"].append({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
                        "options": some(r, ["nosuid", "noexec", "nodev", "relatime", "ro", "rw"])})


def fewer_mounts(c, r):
    c["mounts"] = [m for m in c["mounts"] if r.random() < 0.7]
    if r.random() < 0.2:
        del c["mounts"]


def default_options(c, r):
    if c.get("mounts"):
        m = r.choice(c["mounts"])
        m["options"] = [o for o in m.get("options", []) if r.random() < 0.5] + some(r, MOUNT_OPTIONS, 0, 3)


# --- linux -----------------------------------------------------------------------------------------

def namespaces(c, r):
    ns = c["linux"]["namespaces"]
    if r.random() < 0.6:
        gone = r.choice(["pid", "network", "ipc", "uts", "mount", "cgroup", "user"])
        c["linux"]["namespaces"] = [n for n in ns if n["type"] != gone]
    elif r.random() < 0.5:
        odd = r.choice([{"type": "pid"}, {"type": "nothing"}, {"type": ""}, {}, {"type": "network", "path": "/nothing"},
                        {"type": "network", "path": "/proc/self/ns/uts"}, {"type": "network", "path": "/file"},
                        {"type": "network", "path": "/proc/1/ns/net"}, {"type": "uts", "path": "/proc/1/ns/uts"},
                        {"type": "ipc", "path": "/proc/1/ns/ipc"}, {"type": "cgroup", "path": "/proc/1/ns/cgroup"},
                        {"type": "network", "path": ""}, {"type": "uts", "path": "relative"}])
        if "type" in odd and r.random() < 0.8:
            ns = [n for n in ns if n["type"] != odd["type"]]
        c["linux"]["namespaces"] = ns + [odd]
    else:
        r.shuffle(ns)


def time_namespace(c, r):
    if r.random() < 0.8:
        c["linux"]["namespaces"].append({"type": "time"})
    if r.random() < 0.8:
        c["linux"]["timeOffsets"] = r.choice([{"monotonic": {"secs": 100, "nanosecs": 5}}, {"boottime": {"secs": 1000}}, {},
                                              {"nothing": {"secs": 1}}, {"boottime": {"secs": "x"}}])


def user_namespace(c, r):
    """Mappings of root; a user's own can hardly differ."""
    c["linux"]["namespaces"] = [n for n in c["linux"]["namespaces"] if n["type"] != "user"] + [{"type": "user"}]
    m = r.choice([[{"containerID": 0, "hostID": 100000, "size": 65536}], [{"containerID": 0, "hostID": 0, "size": 65536}],
                  [{"containerID": 0, "hostID": 100000, "size": 1000}], [{"containerID": 0, "hostID": 100000, "size": 0}], [],
                  [{"containerID": 0, "hostID": 100000, "size": 10}, {"containerID": 5, "hostID": 200000, "size": 10}],
                  [{"containerID": 0, "hostID": 100000, "size": 10}, {"containerID": 10, "hostID": 200000, "size": 1000}],
                  [{"containerID": 1, "hostID": 100000, "size": 10}], [{"hostID": 100000, "size": 10}], None])
    for kind in ("uidMappings", "gidMappings"):
        if m is None:
            c["linux"].pop(kind, None)
        else:
            c["linux"][kind] = copy.deepcopy(m)


def lonely_mappings(c, r):
    kind = r.choice(["uidMappings", "gidMappings"])
    c["linux"][kind] = [{"containerID": 0, "hostID": 100000, "size": 65536}]


def devices(c, r):
    c["linux"]["devices"] = [r.choice([
        {"path": "/dev/mynull", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666, "uid": 0, "gid": 0},
        {"path": "/dev/mynull", "type": "c", "major": 1, "minor": 3}, {"path": "/dev/deep/null", "type": "c", "major": 1, "minor": 3},
        {"path": "/dev/mynull", "type": "c", "major": 1, "minor": 3, "fileMode": 0o600, "uid": 5, "gid": 6},
        {"path": "/dev/fifo", "type": "p"}, {"path": "/dev/fifo", "type": "p", "fileMode": 0o644, "uid": 3},
        {"path": "/dev/null", "type": "c", "major": 1, "minor": 3}, {"path": "/dev/zero", "type": "c", "major": 1, "minor": 5, "fileMode": 0o600},
        {"path": "/tmp/dev", "type": "c", "major": 1, "minor": 3}, {"path": "dev/mynull", "type": "c", "major": 1, "minor": 3},
        {"path": "/dev/x", "type": "z", "major": 1, "minor": 3}, {"path": "/dev/x", "type": "c"}, {"path": "/dev/x", "type": "c", "major": 1},
        {"path": "/dev/x", "major": 1, "minor": 3}, {"type": "c", "major": 1, "minor": 3}, {"path": "", "type": "c", "major": 1, "minor": 3},
        {"path": "/dev/x", "type": "c", "major": -1, "minor": 3}, {"path": "/dev/u", "type": "u", "major": 1, "minor": 5},
        {"path": "/dev/../etc/dev", "type": "c", "major": 1, "minor": 3}, {"path": "/out/dev", "type": "c", "major": 1, "minor": 3},
        {"path": "/link/dev", "type": "c", "major": 1, "minor": 3}, {"path": "/dev/pts/7", "type": "c", "major": 1, "minor": 3},
    ]) for _ in range(r.randint(1, 2))]


def seccomp(c, r):
    f = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": []}
    for _ in range(r.randint(1, 3)):
        rule = {"names": some(r, CALLS, 1, 3), "action": r.choice(["SCMP_ACT_ERRNO"] * 4 + ["SCMP_ACT_LOG", "SCMP_ACT_ALLOW", "SCMP_ACT_KILL_PROCESS",
                                                                                     "SCMP_ACT_TRACE", "SCMP_ACT_KILL"])}
        if r.random() < 0.4 and rule["action"] == "SCMP_ACT_ERRNO":
            rule["errnoRet"] = r.choice([0, 1, 38, 99, 4095, 5000, -1])
        if r.random() < 0.3:
            rule["names"] = [r.choice(CALLS)]
            rule["args"] = [{"index": r.choice([0, 0, 1, 5, 6]), "value": r.choice([0, 0xffffffff, 1]),
                             "op": r.choice(["SCMP_CMP_EQ", "SCMP_CMP_NE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ", "X"])}]
        f["syscalls"].append(rule)
    odd = r.random()
    if odd < 0.06:
        f["syscalls"][0]["names"].append(r.choice(["nothing", "", "SYS_read"]))
    elif odd < 0.12:
        f["syscalls"][0]["action"] = r.choice(["SCMP_ACT_X", "", "ALLOW"])
    elif odd < 0.18:
        f["defaultAction"] = r.choice(["SCMP_ACT_X", "", "SCMP_ACT_LOG"])
    elif odd < 0.24:
        f["architectures"] = r.choice([["SCMP_ARCH_X"], [], ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"], ["SCMP_ARCH_AARCH64"]])
    elif odd < 0.3:
        f["flags"] = r.choice([["SECCOMP_FILTER_FLAG_LOG"], ["SECCOMP_FILTER_FLAG_TSYNC"], ["SECCOMP_FILTER_FLAG_SPEC_ALLOW"], ["X"], []])
    elif odd < 0.36:
        f.pop(r.choice(sorted(f)))
    elif odd < 0.4:
        f["defaultErrnoRet"] = 1
    elif odd < 0.44:
        f["listenerPath"] = "/nothing.sock"
    elif odd < 0.48:
        f["syscalls"] = []
    c["linux"]["seccomp"] = f


def sysctl(c, r):
    values = {name: r.choice(["1", "4096", "0", "64"]) for name in some(r, SYSCTLS, 1, 2)}
    if r.random() < 0.25:
        name = r.choice(sorted(BAD_SYSCTLS))
        values[name] = BAD_SYSCTLS[name]
    if r.random() < 0.1:
        values[r.choice(SYSCTLS)] = r.choice([1, "x", "", None])
    c["linux"]["sysctl"] = values


def protected_paths(c, r):
    odd = ["relative", "", "/dir/../file", "//file", "/proc/self/../kcore", "/out", "/"]
    for key in ("maskedPaths", "readonlyPaths"):
        if r.random() < 0.6:
            c["linux"][key] = some(r, PATHS, 0, 4) + (some(r, odd, 1, 1) if r.random() < 0.15 else [])


def propagation(c, r):
    c["linux"]["rootfsPropagation"] = r.choice(["private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable", "", "x", "ro"])


def personality(c, r):
    c["linux"]["personality"] = r.choice([{"domain": "LINUX"}, {"domain": "LINUX32"}, {"domain": "X"}, {}, {"domain": "LINUX", "flags": ["X"]},
                                          {"domain": "LINUX32", "flags": []}])


def cgroups_path(c, r):
    c["linux"]["cgroupsPath"] = r.choice(["/test/a", "test/b", "c", "/", "", "..", "/../x", "a/../b", "//d//e", "/test/../f", "a b", "sys.slice:x:y"])


def resources(c, r):
    """Few controllers are there: mostly what is refused for another reason."""
    c["linux"]["resources"] = r.choice([
        {}, {"pids": {"limit": -1}}, {"pids": {"limit": 0}}, {"pids": {"limit": 100}}, {"pids": {}}, {"memory": {}}, {"memory": {"limit": -1}},
        {"hugepageLimits": [{"pageSize": "2MB", "limit": 2097152}]}, {"hugepageLimits": [{"pageSize": "3MB", "limit": 1}]},
        {"hugepageLimits": [{"limit": 1}]}, {"unified": {"hugetlb.2MB.max": "4194304"}}, {"unified": {"nothing.max": "1"}},
        {"unified": {"../x": "1"}}, {"unified": {"cgroup.procs": "0"}}, {"unified": {"": "1"}}, {"unified": {"a/b": "1"}}, {"unified": {}},
        {"unified": {"hugetlb.2MB.max": "x"}}, {"unified": {"cgroup.max.depth": "5"}}, {"cpu": {}}, {"cpu": {"cpus": "x"}}, {"blockIO": {}}, {"network": {}},
        {"cpu": {"shares": 100}}, {"cpu": {"idle": 7}}, {"memory": {"limit": 1 << 30, "swap": 1 << 20}}, {"rdma": {}},
        {"blockIO": {"weight": 5}}, {"network": {"classID": 5}}, {"network": {"priorities": [{"name": "lo", "priority": 5}]}}])


def absent_part(c, r):
    c.pop(r.choice(["process", "linux", "root", "mounts", "hostname"]), None)


def intel_rdt(c, r):
    c["linux"]["intelRdt"] = r.choice([{"closID": "x"}, {"l3CacheSchema": "L3:0=f"}, {}])


# --- anything --------------------------------------------------------------------------------------

def places(value, path=()):
    """Every place in a configuration."""
    if path:
        yield path
    if isinstance(value, dict):
        for k in sorted(value):
            yield from places(value[k], path + (k,))
    elif isinstance(value, list):
        for i, v in enumerate(value):
            yield from places(v, path + (i,))


def at(c, path):
    for k in path:
        c = c[k]
    return c


def wrong_type(c, r):
    path = r.choice(list(places(c)))
    at(c, path[:-1])[path[-1]] = copy.deepcopy(r.choice(JUNK))


def missing(c, r):
    path = r.choice([p for p in places(c) if len(p) < 4])
    del at(c, path[:-1])[path[-1]]


def unknown_member(c, r):
    path = r.choice([p for p in places(c) if isinstance(at(c, p), dict)] + [()])
    at(c, path)[r.choice(["unknown", "x.y", "", "Process"])] = copy.deepcopy(r.choice(JUNK))


CHANGES = [args, cwd, environment, user, user, capabilities, capabilities, rlimits, oom_score, no_new_privileges, terminal, labels,
           scheduler, io_priority, version, hostname, domainname, root, annotations, hooks, hooks, mount, mount, two_mounts,
           cgroup_mount, fewer_mounts, default_options, namespaces, namespaces, time_namespace, devices, devices, seccomp, seccomp, sysctl,
           protected_paths, protected_paths, propagation, personality, cgroups_path, resources, absent_part, intel_rdt, wrong_type,
           wrong_type, wrong_type, missing, unknown_member]
ROOT_CHANGES = [user_namespace, lonely_mappings]


def spoil(text, r):
    """Text that is not quite JSON."""
    what = r.randrange(8)
    at_byte = r.randrange(len(text))
    return [text[:at_byte], text + "x", "", "\ufeff" + text, text.replace("{", "{,", 1), text.replace('"linux"', '"process"', 1),
            "[" * 100000, "null"][what]


class Case:
    """One bundle and command line. `what` names the changes."""

    def __init__(self, r, rootless):
        config = base(rootless)
        self.what, self.id, self.command = [], "c", r.choice(["run", "run", "create"])
        self.config_text = None
        odd = r.random()
        if odd < 0.03:
            self.id = r.choice(IDS)
            self.what.append(f"id {self.id[:20]!r}")
        elif odd < 0.05:
            self.config_text = spoil(json.dumps(config), r)
            self.what.append("spoiled JSON")
        else:
            for change in r.sample(CHANGES + ([] if rootless else ROOT_CHANGES), r.choice([1, 1, 1, 2, 2, 3, 4])):
                try:
                    change(config, r)
                    self.what.append(change.__name__)
                except (KeyError, TypeError, AttributeError, IndexError):
                    pass  # an earlier change took away what this one changes
        self.config = config

    def text(self, replace):
        text = self.config_text
        if text is None:
            text = json.dumps(self.config, indent=1)
        for word, value in replace.items():
            text = text.replace(f'"@{word}@"', str(value)) if isinstance(value, int) else text.replace(f"@{word}@", value)
        return text
