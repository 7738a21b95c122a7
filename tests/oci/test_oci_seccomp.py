"""linux.seccomp: actions, comparisons, machines, flags and mistakes. config-linux.md "Seccomp"; rows
B34, B35, B48. Each rule is also loaded by crun, where that is there: the answers must be the same."""
import itertools
import platform
import shutil
import subprocess

import pytest

import ocirun
from lib import host, rows

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="system calls by x86-64's numbers")

GETPRIORITY, PERSONALITY, SOCKET, GETPGID, LSEEK = 140, 135, 41, 121, 8
HIGH = 0x700000000


def seccomp(default="SCMP_ACT_ALLOW", *rules, **more):
    def edit(c):
        c["process"]["noNewPrivileges"] = True
        c["linux"]["seccomp"] = {"defaultAction": default, "architectures": ["SCMP_ARCH_X86_64"],
                                 "syscalls": list(rules), **more}
    return edit


def rule(names, action, *args, **more):
    return {"names": names if isinstance(names, list) else [names], "action": action,
            **({"args": list(args)} if args else {}), **more}


def arg(index, op, value, two=None):
    return {"index": index, "op": f"SCMP_CMP_{op}", "value": value, **({} if two is None else {"valueTwo": two})}


def call(nr, *args):
    return ",".join(map(str, (nr, *args)))


def bundle_of(oci, edit, calls):
    bundle = oci.bundle(["/bin/probe", *calls], edit)
    shutil.copy(host.BUILDDIR / "tests/tools/seccomp-probe", bundle / "rootfs" / "bin" / "probe")
    (bundle / "rootfs" / "bin" / "probe").chmod(0o755)
    oci._own(bundle)
    return bundle


def answers(oci, edit, *calls):
    """{call: "0", "EPERM", "SIGSYS"...} in the container."""
    bundle = bundle_of(oci, edit, calls)
    r = oci("run", "-b", bundle, oci.name())
    assert r.rc == 0, r
    return parse(r.out)


def parse(text):
    return dict(line.rsplit("=", 1) for line in text.splitlines())


def crun_answers(oci, bundle):
    """None where there is no crun."""
    if not shutil.which("crun"):
        return None
    name = oci.name()
    oci.containers.pop()
    state = oci.dir / "crun"
    r = subprocess.run([*ocirun.PRIVATE, "crun", "--root", state, "--cgroup-manager=disabled", "run", "-b", bundle, name],
                       capture_output=True, text=True, check=False)
    return (r.returncode, parse("\n".join(line for line in r.stdout.splitlines() if "=" in line)))


COMPARISONS = [
    ("EQ", 5, None, lambda v: v == 5), ("NE", 5, None, lambda v: v != 5), ("LT", 5, None, lambda v: v < 5),
    ("LE", 5, None, lambda v: v <= 5), ("GT", 5, None, lambda v: v > 5), ("GE", 5, None, lambda v: v >= 5),
    ("MASKED_EQ", 0xF0, 0x50, lambda v: v & 0xF0 == 0x50),
    ("EQ", HIGH + 5, None, lambda v: v == HIGH + 5), ("GT", HIGH, None, lambda v: v > HIGH),
    ("MASKED_EQ", 0xFFFFFFFF, 5, lambda v: v & 0xFFFFFFFF == 5),
]


@pytest.mark.parametrize("op, value, two, holds", COMPARISONS, ids=lambda v: str(v) if not callable(v) else "")
@rows("B34")
def test_comparisons(rootful, op, value, two, holds):
    """All 64 bits of an argument count."""
    edit = seccomp("SCMP_ACT_ALLOW", rule("lseek", "SCMP_ACT_ERRNO", arg(1, op, value, two), errnoRet=88))
    values = [0, 4, 5, 6, 0x50, 0x5F, HIGH, HIGH + 5, HIGH + 6, (1 << 63) - 1]
    calls = [call(LSEEK, 999, v) for v in values]
    bundle = bundle_of(rootful, edit, calls)
    found = parse(rootful("run", "-b", bundle, rootful.name(), rc=0).out)
    assert [found[c] == "ENOTSOCK" for c in calls] == [holds(v) for v in values]
    other = crun_answers(rootful, bundle)
    assert other is None or other == (0, found)


@rows("B34")
def test_several_arguments(rootful):
    """Of different arguments all must hold; of one argument twice any."""
    both = rule("lseek", "SCMP_ACT_ERRNO", arg(0, "EQ", 999), arg(1, "EQ", 7), errnoRet=88)
    either = rule("getpriority", "SCMP_ACT_ERRNO", arg(0, "EQ", 98), arg(0, "EQ", 99), errnoRet=88)
    calls = [call(LSEEK, 999, 7), call(LSEEK, 999, 8), call(LSEEK, 998, 7),
             call(GETPRIORITY, 98), call(GETPRIORITY, 99), call(GETPRIORITY, 97)]
    bundle = bundle_of(rootful, seccomp("SCMP_ACT_ALLOW", both, either), calls)
    found = parse(rootful("run", "-b", bundle, rootful.name(), rc=0).out)
    assert [found[c] for c in calls] == ["ENOTSOCK", "EBADF", "EBADF", "ENOTSOCK", "ENOTSOCK", "EINVAL"]
    other = crun_answers(rootful, bundle)
    assert other is None or other == (0, found)


@rows("B34", "B35")
def test_actions(oci):
    """Each action, errno numbers given and not, names that nobody knows, in every mode."""
    edit = seccomp("SCMP_ACT_ALLOW",
                   rule("getpgid", "SCMP_ACT_ERRNO"), rule("getpriority", "SCMP_ACT_ERRNO", errnoRet=38),
                   rule("personality", "SCMP_ACT_KILL"), rule("lseek", "SCMP_ACT_KILL_PROCESS"),
                   rule("socket", "SCMP_ACT_TRAP"), rule("ptrace", "SCMP_ACT_TRACE", errnoRet=5),
                   rule(["sysinfo", "no_such_call", "times"], "SCMP_ACT_LOG"),
                   rule("getresuid", "SCMP_ACT_ERRNO", errnoRet=0))
    calls = [call(n) for n in (GETPGID, GETPRIORITY, PERSONALITY, LSEEK, SOCKET, 101, 99, 118)]
    found = answers(oci, edit, *calls)
    assert [found[c] for c in calls] == ["EPERM", "ENOSYS", "SIGSYS", "SIGSYS", "SIGSYS", "ENOSYS", "EFAULT", "0"]


@rows("B34")
@pytest.mark.parametrize("number, want", [(None, "EPERM"), (38, "ENOSYS"), (4094, None)])
def test_default_errno(rootful, number, want):
    """What no rule names; a profile must let the runtime's own last calls through."""
    needed = ["execve", "write", "exit_group", "exit", "read", "close", "brk", "mmap", "munmap", "mprotect", "fstat",
              "newfstatat", "arch_prctl", "set_tid_address", "set_robust_list", "rseq", "prlimit64", "readlink",
              "getrandom", "clone", "fork", "vfork", "wait4", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn",
              "futex", "sendmsg", "recvmsg", "prctl", "fcntl", "ioctl", "access", "openat", "pread64"]
    more = {} if number is None else {"defaultErrnoRet": number}
    found = answers(rootful, seccomp("SCMP_ACT_ERRNO", rule(needed, "SCMP_ACT_ALLOW"), **more), call(GETPGID))
    assert found[call(GETPGID)] == want or want is None


@rows("B34")
@pytest.mark.parametrize("flags", [
    [], ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"], ["SECCOMP_FILTER_FLAG_TSYNC"], ["SECCOMP_FILTER_FLAG_LOG"], ["SECCOMP_FILTER_FLAG_SPEC_ALLOW"],
    ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC"],
])
def test_flags(rootless, flags):
    edit = seccomp("SCMP_ACT_ALLOW", rule("getpgid", "SCMP_ACT_ERRNO"), flags=flags)
    assert answers(rootless, edit, call(GETPGID)) == {call(GETPGID): "EPERM"}


@rows("B34")
def test_machines(rootful):
    """A filter for x86 too has its rules for 32-bit calls; others' calls get the default errno, or
    kill where the default lets calls run."""
    x32 = 0x40000000 | GETPGID
    for arches in (["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"], ["SCMP_ARCH_X86"], [],
                   ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM", "SCMP_ARCH_RISCV64", "SCMP_ARCH_LOONGARCH64"]):
        edit = seccomp("SCMP_ACT_ALLOW", rule("getpgid", "SCMP_ACT_ERRNO", errnoRet=88), architectures=arches)
        found = answers(rootful, edit, call(GETPGID), call(x32))
        assert found[call(GETPGID)] == "ENOTSOCK"
        # The kernel may have no x32 at all, then the call does not exist.
        assert found[call(x32)] == ("ENOTSOCK" if "SCMP_ARCH_X32" in arches else "SIGSYS")


@rows("B34", "B49")
@pytest.mark.parametrize("edit, message", [
    (seccomp("SCMP_ACT_NOSUCH"), "SCMP_ACT_NOSUCH"),
    (seccomp("SCMP_ACT_NOTIFY"), "defaultAction"),
    (seccomp("SCMP_ACT_ALLOW", rule("read", "SCMP_ACT_NOTIFY")), "listenerPath"),
    (seccomp("SCMP_ACT_ALLOW", rule("getpgid", "SCMP_ACT_NO")), "syscalls[0].action"),
    (seccomp("SCMP_ACT_ALLOW", rule([], "SCMP_ACT_ERRNO")), "syscalls[0].names"),
    (seccomp("SCMP_ACT_ALLOW", rule("getpgid", "SCMP_ACT_ERRNO", arg(6, "EQ", 1))), "args[0].index"),
    (seccomp("SCMP_ACT_ALLOW", rule("getpgid", "SCMP_ACT_ERRNO", arg(0, "IS", 1))), "args[0].op"),
    (seccomp("SCMP_ACT_ALLOW", rule("getpgid", "SCMP_ACT_KILL", errnoRet=1)), "takes no error number"),
    (seccomp("SCMP_ACT_ALLOW", architectures=["SCMP_ARCH_Z80"]), "SCMP_ARCH_Z80"),
    (seccomp("SCMP_ACT_ALLOW", flags=["SECCOMP_FILTER_FLAG_NOSUCH"]), "SECCOMP_FILTER_FLAG_NOSUCH"),
    (seccomp("SCMP_ACT_ALLOW", listenerMetadata="x"), "listenerMetadata"),
])
def test_mistakes(rootless, edit, message):
    r = rootless.run("true", edit)
    assert r.rc == 1 and message in r.err and "linux.seccomp" in r.err, r


@rows("B34")
def test_without_no_new_privileges(oci):
    """The filter is loaded all the same, by whoever the process is, and holds for what it executes."""
    def edit(c):
        seccomp("SCMP_ACT_ALLOW", rule("getpgid", "SCMP_ACT_ERRNO"))(c)
        c["process"]["noNewPrivileges"] = False
        c["process"]["user"] = {"uid": 5, "gid": 5}
        c["process"]["capabilities"] = {}
    assert answers(oci, edit, call(GETPGID)) == {call(GETPGID): "EPERM"}


@rows("B34")
def test_many_rules(rootful):
    """The answers of a long list, each call with its own number, are those of crun."""
    names = ["getpgid", "getpriority", "personality", "socket", "sysinfo", "times", "getresuid", "getresgid",
             "sched_getparam", "sched_getscheduler", "mincore", "msync", "shmget", "semget", "msgget", "getitimer",
             "alarm", "setitimer", "semctl", "shmctl", "msgctl", "flock", "fsync", "fdatasync", "truncate", "link",
             "chmod", "lchown", "sethostname", "setdomainname", "acct", "sync", "mount", "umount2", "swapon",
             "swapoff", "reboot", "quotactl"]
    rules = [rule(n, "SCMP_ACT_ERRNO", errnoRet=60 + i) for i, n in enumerate(names)]
    numbers = (121, 140, 135, 41, 99, 100, 118, 120, 143, 145, 27, 26, 29, 64, 68, 36, 37, 38, 66, 31, 71, 73, 74, 75,
               76, 86, 90, 94, 170, 171, 163, 162, 165, 166, 167, 168, 169, 179)
    assert len(numbers) == len(names)
    calls = [call(n) for n in itertools.chain(numbers, (39, 102, 104))]
    bundle = bundle_of(rootful, seccomp("SCMP_ACT_ALLOW", *rules), calls)
    found = parse(rootful("run", "-b", bundle, rootful.name(), rc=0).out)
    assert len({found[c] for c in calls[:-3]}) == len(names) and {found[c] for c in calls[-3:]} == {"0"}
    other = crun_answers(rootful, bundle)
    assert other is None or other == (0, found)
