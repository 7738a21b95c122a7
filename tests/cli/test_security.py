"""Capabilities, system call filters, limits and kernel parameters, --init, as a container has them."""
import json
import os
import pathlib
import re
import shutil

import pytest

from lib import host, rows

SRCDIR = pathlib.Path(os.environ["SRCDIR"])

# NAME=ERRNO of tests/tools/seccomp-probe in a container with the default profile.
DEFAULT = dict(pair.split("=") for pair in """
    read=0 write=0 futex=EFAULT getpid=0 fchmodat2=EFAULT socket_unix=0 unshare_files=0 personality=0
    ptrace=ESRCH process_vm_readv=EINVAL ioctl_fionread=EBADF chroot=EFAULT
    unknown_600=ENOSYS x32_getpid=ENOSYS mount=EPERM umount2=EPERM pivot_root=EPERM open_tree=EPERM
    move_mount=EPERM fsopen=EPERM mount_setattr=EPERM setns=EPERM unshare_user=EPERM clone_user=EPERM
    clone3=ENOSYS socket_alg=EAFNOSUPPORT socket_alg_high=EAFNOSUPPORT socket_vsock=EAFNOSUPPORT
    socket_audit=EINVAL ioctl_tiocsti=EPERM ioctl_tiocsti_high=EPERM ioctl_tioclinux=EPERM
    keyctl=ENOSYS add_key=ENOSYS bpf=ENOSYS perf_event_open=ENOSYS userfaultfd=ENOSYS
    io_uring_setup=ENOSYS kexec_load=EPERM reboot=EPERM init_module=EPERM open_by_handle_at=EPERM
    settimeofday=EPERM swapon=EPERM syslog=EPERM vmsplice=EPERM""".split())
# What is different with the others.
HARDENED = {"chroot": "EPERM"}
NESTED = {"mount": "EFAULT", "umount2": "EINVAL", "unshare_user": "0", "clone_user": "0",
          "clone3": "EINVAL", "setns": "EBADF"}
MINIMAL_KILLS = ["mount", "ptrace", "kexec_load", "unknown_600", "x32_getpid", "unshare_user",
                 "clone_user", "socket_alg", "ioctl_tiocsti_high", "keyctl", "bpf", "chroot"]


@pytest.fixture(scope="module")
def probe(rootlet_base):
    path = rootlet_base / "seccomp-probe"
    shutil.copy(host.BUILDDIR / "tests/tools/seccomp-probe", path)
    path.chmod(0o755)
    return ("-v", f"{path}:/probe:ro")


def probes(rootlet, probe, *options):
    r = rootlet.ok("run", "--rm", *probe, *options, rootlet.image(), "/probe")
    return dict(line.split("=") for line in r.out.splitlines())


def status(rootlet, *options):
    r = rootlet.ok("run", "--rm", *options, rootlet.image(), "cat", "/proc/self/status")
    return dict(re.split(r":\s+", line, maxsplit=1) for line in r.out.splitlines() if ":" in line)


def differs(got, want):
    return {name: (got[name], value) for name, value in want.items() if got[name] != value}


# ---- filters ----------------------------------------------------------------------------------

@rows("A5", "B32", "B33", "B34")
@pytest.mark.parametrize("options, other", [
    ((), {}),
    (("--security-profile", "hardened"), HARDENED),
    (("--security-opt", "seccomp=nested"), NESTED),
    # Not among the precompiled masks: goes through rootlet-seccomp.
    (("--cap-add", "SYS_PACCT,SYS_TTY_CONFIG"), {}),
])
def test_calls_under_the_default_profile(rootlet, probe, options, other):
    got = probes(rootlet, probe, *options)
    want = {name: value for name, value in DEFAULT.items()
            if not (other is NESTED and name in ("pivot_root", "open_tree", "move_mount", "fsopen",
                                                 "mount_setattr"))}
    assert not differs(got, {**want, **other})


@rows("A5", "B33")
@pytest.mark.parametrize("options, seccomp", [
    ((), "2"), (("--security-opt", "seccomp=minimal"), "2"),
    (("--security-opt", "seccomp=unconfined"), "0"), (("--privileged",), "0"),
    (("--user", "1000"), "2"),
])
def test_filter_is_loaded(rootlet, options, seccomp):
    s = status(rootlet, *options)
    assert s["Seccomp"] == seccomp
    assert s["Seccomp_filters"] == ("1" if seccomp == "2" else "0")


@rows("B32")
def test_minimal_kills(rootlet, probe):
    got = probes(rootlet, probe, "--security-opt", "seccomp=minimal")
    assert not differs(got, {name: "SIGSYS" for name in MINIMAL_KILLS})
    assert not differs(got, {"read": "0", "write": "0", "futex": "EFAULT", "clone3": "ENOSYS"})


@rows("B32", "B35")
@pytest.mark.parametrize("action", ["SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL", "SCMP_ACT_TRAP"])
def test_profile_that_kills_from_a_file(rootlet, user, action):
    profile = json.loads((SRCDIR / "data/seccomp/minimal.json").read_text())
    profile["defaultAction"] = action
    path = user.home / "kill.json"
    path.write_text(json.dumps(profile))
    path.chmod(0o644)
    option = ("--security-opt", f"seccomp={path}")
    assert rootlet("run", "--rm", *option, rootlet.image(), "ls", "/").rc == 0
    assert rootlet("run", "--rm", *option, rootlet.image(), "chroot", "/", "true").rc == 159
    path.unlink()


@rows("B34", "B35")
def test_profile_that_denies(rootlet, probe, user):
    path = user.home / "deny.json"
    path.write_text(json.dumps({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mount", "ptrace"], "action": "SCMP_ACT_ERRNO"},
                     {"names": ["kexec_load"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13},
                     {"names": ["no_such_call"], "action": "SCMP_ACT_ERRNO"}]}))
    path.chmod(0o644)
    r = rootlet.ok("run", "--rm", *probe, "--security-opt", f"seccomp={path}", rootlet.image(), "/probe")
    got = dict(line.split("=") for line in r.out.splitlines() if "=" in line)
    assert not differs(got, {"mount": "EPERM", "ptrace": "EPERM", "kexec_load": "EACCES", "read": "0",
                             "write": "0", "futex": "EFAULT", "unshare_user": "0"})
    assert "syscalls[2].names: unknown system call no_such_call" in r.err
    path.unlink()


@pytest.mark.parametrize("text, message", [
    ('{"defaultAction": "SCMP_ACT_SMILE"}', "unknown action SCMP_ACT_SMILE"),
    ('{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": '
     '"SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_WELL"}]}]}',
     r"syscalls\[0\].args\[0\].op"),
    ('{"defaultAction": ', "line 1"),
    (None, "No such file"),
])
def test_profile_that_cannot_be_used(rootlet, user, text, message):
    path = user.home / "bad.json"
    if text:
        path.write_text(text)
        path.chmod(0o644)
    rootlet.fails("run", "--rm", "--security-opt", f"seccomp={path}", rootlet.image(), "true",
                  match=message)
    path.unlink(missing_ok=True)


@rows("B32")
def test_why_names_the_way_to_the_call(rootlet):
    r = rootlet("run", "--name", "dies", "--security-opt", "seccomp=minimal", rootlet.image(), "chroot",
                "/", "true")
    assert r.rc == 159
    text = rootlet.ok("why", "dies").out
    assert "chroot (161)" in text or "seccomp-default=learn" in text
    rootlet.ok("run", "--name", "learns", "--security-opt", "seccomp=minimal", "--security-opt",
               "seccomp-default=learn", rootlet.image(), "chroot", "/", "true")
    text = rootlet.ok("why", "learns").out
    assert "chroot (161), called by chroot" in text
    assert '{"names": ["chroot"], "action": "SCMP_ACT_ALLOW"}' in text


# ---- capabilities -----------------------------------------------------------------------------

@rows("A18", "A5")
@pytest.mark.parametrize("options, mask", [
    ((), 0x800405fb),
    (("--cap-drop", "ALL", "--cap-add", "NET_BIND_SERVICE,KILL,CHOWN"), 0x421),
    (("--cap-drop", "ALL", "--cap-add", "cap_net_bind_service", "--cap-add", "kill", "--cap-add",
      "CHOWN"), 0x421),
    (("--security-profile", "minimal"), 0x421),
    (("--security-profile", "hardened"), 0x4eb),
    (("--cap-drop", "ALL"), 0),
    (("--cap-add", "NET_RAW"), 0x800425fb),
    (("--security-profile", "minimal", "--cap-drop", "CHOWN"), 0x420),
])
def test_capability_sets(rootlet, options, mask):
    s = status(rootlet, *options)
    assert [int(s[name], 16) for name in ("CapEff", "CapPrm", "CapBnd")] == [mask] * 3
    assert [int(s[name], 16) for name in ("CapInh", "CapAmb")] == [0, 0]


@rows("A18")
def test_ordinary_user_has_none(rootlet):
    s = status(rootlet, "--user", "1000")
    assert int(s["CapEff"], 16) == 0 and int(s["CapPrm"], 16) == 0
    assert s["NoNewPrivs"] == "1"


@pytest.mark.parametrize("options, message", [
    (("--cap-add", "FLY"), "--cap-add FLY: unknown capability"),
    (("--cap-drop", "CAP_FLY"), "--cap-drop CAP_FLY: unknown capability"),
    (("--cap-add", "ALL", "--cap-drop", "all"), "contradict"),
    (("--cap-add", "KILL", "--cap-drop", "KILL"), "CAP_KILL is both"),
    (("--security-profile", "loose"), "there are default, hardened, minimal"),
    (("--security-opt", "selinux=x"), "known: seccomp"),
    (("--security-opt", "seccomp-default=allow"), "want errno, log"),
])
def test_wishes_that_cannot_be(rootlet, options, message):
    rootlet.fails("run", "--rm", *options, rootlet.image(), "true", match=re.escape(message))


@rows("A5")
@pytest.mark.skipif(pathlib.Path("/sys/kernel/security/apparmor").exists(), reason="has AppArmor")
def test_apparmor_that_is_not_there(rootlet):
    rootlet.fails("run", "--rm", "--security-opt", "apparmor=web", rootlet.image(), "true",
                  match="AppArmor profile web: this kernel runs without AppArmor")
    rootlet.ok("run", "--rm", "--security-opt", "apparmor=unconfined", rootlet.image(), "true")


# ---- limits, kernel parameters ----------------------------------------------------------------

def test_limits(rootlet):
    script = "ulimit -Sn; ulimit -Hn; ulimit -c"
    r = rootlet.ok("run", "--rm", "--ulimit", "nofile=50:60", "--ulimit", "core=0", rootlet.image(), "sh",
                   "-c", script)
    assert r.out.split() == ["50", "60", "0"]
    rootlet.fails("run", "--rm", "--ulimit", "files=5", rootlet.image(), "true", match="known: as core cpu")
    rootlet.fails("run", "--rm", "--ulimit", "nofile=60:50", rootlet.image(), "true", match="above the hard")


def test_sysctls(rootlet):
    r = rootlet.ok("run", "--rm", "--network", "none", "--sysctl", "net.ipv4.ping_group_range=0 5",
                   "--sysctl", "kernel.msgmax=9000", rootlet.image(), "cat",
                   "/proc/sys/net/ipv4/ping_group_range", "/proc/sys/kernel/msgmax")
    assert r.out.split() == ["0", "5", "9000"]
    # All groups of the container may ping without a capability.
    r = rootlet.ok("run", "--rm", "--network", "none", rootlet.image(), "cat", "/proc/sys/net/ipv4/ping_group_range")
    assert r.out.split()[0] == "0" and int(r.out.split()[1]) >= 65534, r


@pytest.mark.parametrize("who", [("--user", "1000"), ("--userns", "keep-id"), ("--userns", "keep-id", "--cap-drop", "all")])
def test_low_ports_are_for_every_user_of_a_container(rootlet, who):
    """As with docker: in a network namespace of its own, unless --sysctl says otherwise."""
    def serve(*options):
        return rootlet("run", "--rm", "--network", "none", *who, *options, rootlet.image(), "sh", "-c",
                       "id -u; httpd -p 80 && echo bound")
    r = serve()
    assert r.rc == 0 and r.out.split()[0] != "0" and r.out.split()[1] == "bound", r
    r = serve("--sysctl", "net.ipv4.ip_unprivileged_port_start=1024")
    assert r.rc != 0 and "ermission denied" in r.err, r


@pytest.mark.parametrize("options, message", [
    (("--sysctl", "kernel.panic=1"), "not separate for a container"),
    (("--sysctl", "kernel.hostname=x"), "use --hostname"),
    (("--network", "host", "--sysctl", "net.ipv4.ip_forward=1"), "network namespace of its own"),
    (("--ipc", "host", "--sysctl", "kernel.msgmax=9000"), "IPC namespace of its own"),
])
def test_sysctls_of_the_host(rootlet, options, message):
    rootlet.fails("run", "--rm", *options, rootlet.image(), "true", match=message)


# ---- --init -----------------------------------------------------------------------------------

@rows("A66")
def test_init_reaps_and_reports(rootlet):
    r = rootlet.ok("run", "--rm", "--init", rootlet.image(), "sh", "-c",
                   "for i in 1 2 3 4 5; do (sleep 0 &); done; sleep 1; grep -h '^State' /proc/[0-9]*/status;"
                   " cat /proc/1/comm")
    assert "Z (zombie)" not in r.out
    assert r.out.splitlines()[-1].startswith("rootlet-init")
    assert rootlet("run", "--rm", "--init", rootlet.image(), "sh", "-c", "kill -9 $$").rc == 137
    assert rootlet("run", "--rm", "--init", rootlet.image(), "sh", "-c", "exit 9").rc == 9


@rows("A66")
def test_init_hands_signals_on(rootlet):
    rootlet.ok("run", "-d", "--name", "s", "--init", rootlet.image(), "sh", "-c",
               "trap 'exit 42' TERM; echo ready; while :; do sleep 0.1; done")
    rootlet.wait_for(lambda: "ready" in rootlet.ok("logs", "s").out, what="the trap")
    rootlet.ok("stop", "-t", "10", "s")
    assert rootlet.ok("inspect", "--format", "{{.State.ExitCode}}", "s").text == "42"


def test_unknown_filter_in_the_record_is_no_free_pass(rootlet):
    """A record that names a filter nobody knows is refused by start and by exec: never no filter."""
    rootlet.ok("run", "-d", "--name", "c", rootlet.image(), "sleep", "60")
    record = rootlet.store.root / "containers" / rootlet.inspect("c")["Id"] / "container.json"
    text = record.read_text()
    assert '"builtin:default"' in text
    record.write_text(text.replace('"builtin:default"', '"bultin:default"'))
    rootlet.fails("exec", "c", "true", match="unknown seccomp filter")
    rootlet.ok("stop", "-t", "0", "c")
    rootlet.fails("start", "c", match="unknown seccomp filter")
