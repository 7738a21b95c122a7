"""What a shell inside can reach with the default profile, and with those that give more: other
architectures' system calls, nested user namespaces, cgroups and kernel parameters, set-id programs
(CVE-2022-0185, CVE-2022-0492, CVE-2023-25809, CVE-2024-1086, CVE-2026-31431)."""
import platform
import re

import pytest

from lib import rows

# Names and results as seccomp-probe's, for what goes around a filter by another call table.
COMPAT = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
static long int80(long nr, long a, long b, long c)
{
    long r;
    __asm__ volatile("int $0x80" : "=a"(r) : "a"(nr), "b"(a), "c"(b), "d"(c), "S"(0), "D"(0)
                     : "r8", "r9", "r10", "r11", "memory");
    return (int)r;
}
static long x32(long nr, long a, long b, long c)
{
    long r = syscall(0x40000000 | nr, a, b, c);
    return r < 0 ? -errno : r;
}
#define PROBE(call) do { \
    fflush(stdout); \
    pid_t pid = fork(); \
    if (pid == 0) { \
        long r = call; \
        printf("%s: %s\n", #call, r < 0 ? strerrorname_np((int)-r) : "ok"); \
        fflush(stdout); \
        _exit(0); \
    } \
    int status; \
    waitpid(pid, &status, 0); \
    if (WIFSIGNALED(status)) \
        printf("%s: SIG%s\n", #call, sigabbrev_np(WTERMSIG(status))); \
} while (0)
int main(void)
{
    PROBE(int80(20, 0, 0, 0)); /* getpid */
    PROBE(int80(310, 0x10000000, 0, 0)); /* unshare: user */
    PROBE(int80(120, 0x10000011, 0, 0)); /* clone: user */
    PROBE(int80(21, 0, 0, 0)); /* mount */
    PROBE(int80(359, 38, 5, 0)); /* socket: AF_ALG */
    PROBE(int80(102, 1, 0, 0)); /* socketcall */
    PROBE(int80(54, 0, 0x5412, 0)); /* ioctl: TIOCSTI */
    PROBE(int80(357, 0, 0, 0)); /* bpf */
    PROBE(x32(39, 0, 0, 0));
    PROBE(x32(272, 0x10000000, 0, 0));
    PROBE(x32(56, 0x10000011, 0, 0));
    PROBE(x32(165, 0, 0, 0));
    PROBE(x32(514, 0, 0x5412, 0));
    PROBE(x32(41, 38, 5, 0));
    return 0;
}
"""


@rows("A5", "B32")
@pytest.mark.skipif(platform.machine() != "x86_64", reason="its other call tables")
@pytest.mark.parametrize("options", [(), ("--security-opt", "seccomp=nested"),
                                     ("--cap-add", "ALL"), ("--security-profile", "hardened")])
def test_other_call_tables(rootlet, lab, options):
    r = rootlet.ok("run", "--rm", "-v", lab.program("compat", COMPAT), *options, rootlet.image(), "/compat")
    results = dict(line.rsplit(": ", 1) for line in r.out.splitlines())
    assert len(results) == 14 and set(results.values()) <= {"ENOSYS", "SIGSYS"}, r


# Inside a user namespace below the container's, with all capabilities in it.
NESTED = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
static void put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY);
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        printf("cannot write %s\n", path);
    close(fd);
}
static void result(const char *what, int r)
{
    printf("%s: %s\n", what, r < 0 ? strerrorname_np(errno) : "DONE");
}
int main(void)
{
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0) {
        printf("unshare: %s\n", strerrorname_np(errno));
        return 0;
    }
    put("/proc/self/setgroups", "deny");
    put("/proc/self/uid_map", "0 0 1");
    put("/proc/self/gid_map", "0 0 1");
    mkdir("/tmp/m", 0755);
    result("proc", mount("p", "/tmp/m", "proc", 0, NULL));
    result("sysfs", mount("s", "/tmp/m", "sysfs", 0, NULL));
    result("uncover file", umount2("/proc/timer_list", MNT_DETACH));
    result("uncover directory", umount2("/sys/firmware", MNT_DETACH));
    result("uncover all", umount2("/proc", MNT_DETACH));
    result("writable", mount(NULL, "/proc/sys", NULL, MS_REMOUNT | MS_BIND, NULL));
    result("writable sys", mount(NULL, "/sys", NULL, MS_REMOUNT | MS_BIND, NULL));
    result("bind below", mount("/proc", "/tmp/m", NULL, MS_BIND, NULL));
    result("bind root", mount("/", "/tmp/m", NULL, MS_BIND, NULL));
    result("block", mount("/dev/vda", "/tmp/m", "ext4", 0, NULL));
    return 0;
}
"""


@rows("A4", "A22")
@pytest.mark.parametrize("options", [("--security-opt", "seccomp=nested"),
                                     ("--security-opt", "seccomp=unconfined"), ("-u", "1000")])
def test_nested_user_namespaces(rootlet, lab, options):
    r = rootlet.ok("run", "--rm", "-v", lab.program("nested", NESTED), *options, rootlet.image(), "/nested")
    if options[0] == "-u":
        assert r.text == "unshare: EPERM"
    else:
        assert "DONE" not in r.out and "sysfs" in r.out, r


@rows("A4", "A22")
@pytest.mark.parametrize("options", [(), ("--network", "host"), ("--cgroupns", "host"), ("--init",),
                                     ("--userns", "keep-id", "-u", "0"), ("--pid", "host"), ("--ipc", "host")])
def test_nothing_of_the_kernel_is_writable(rootlet, options):
    r = rootlet.ok("run", "--rm", *options, rootlet.image(), "sh", "-c", """
        for f in $(find /sys/fs/cgroup -name cgroup.procs -o -name tasks -o -name release_agent \
                   -o -name notify_on_release 2>/dev/null) \
                 /proc/sys/kernel/core_pattern /proc/sys/kernel/modprobe /proc/sys/fs/binfmt_misc/register \
                 /proc/sysrq-trigger /sys/kernel/uevent_helper /sys/kernel/mm/ksm/run /proc/irq/default_smp_affinity \
                 /sys/power/state /proc/sys/vm/panic_on_oom; do
            { echo 1 > $f; } 2>/dev/null && echo "wrote $f"
        done
        mkdir /sys/fs/cgroup/x 2>/dev/null && echo made
        for f in /proc/kcore /proc/timer_list /proc/keys /sys/firmware/* /proc/acpi/*; do
            test -s $f && head -c1 $f && echo "read $f"
        done; true""")
    assert r.out == "", r


@rows("A4")
def test_set_id_programs_stay_inside(rootlet, lab):
    """Owned by root of the container they give its capabilities at most, and none with -u."""
    share = lab.dir("share", 0o777)
    image = rootlet.image()
    rootlet.ok("run", "--rm", "-v", f"{share}:/s", image, "sh", "-c",
               "cp /bin/busybox /s/busybox && chmod 6755 /s/busybox")
    for options, want in (((), 0x800405fb), (("--security-opt", "no-new-privileges"), 0),
                          (("--cap-drop", "ALL"), 0), (("--security-profile", "hardened"), None)):
        r = rootlet.ok("run", "--rm", "-u", "1000", "-v", f"{share}:/s", *options, image, "/s/busybox", "grep",
                       "CapEff", "/proc/self/status")
        caps = int(r.text.split()[1], 16)
        assert caps == 0 or (want and caps & ~want == 0), (options, r)
        r = rootlet.ok("run", "--rm", "-u", "1000", image, "grep", "NoNewPrivs", "/proc/self/status")
        assert r.text.endswith("1")


def test_sockets_are_files(rootlet):
    """Nothing of rootlet's is in the abstract namespace (CVE-2020-15257)."""
    r = rootlet.ok("run", "--rm", "--network", "host", rootlet.image(), "cat", "/proc/net/unix")
    assert not re.search(r"@.*rootlet", r.out)


@rows("A4")
def test_shared_network_shares_no_more(rootlet):
    image = rootlet.image()
    rootlet.ok("run", "-d", "--name", "a", image, "sh", "-c", "echo secret > /secret; sleep 1000")
    r = rootlet.ok("run", "--rm", "--network", "container:a", image, "sh", "-c", """
        ls /secret 2>/dev/null; mount -t tmpfs x /tmp 2>/dev/null && echo mounted
        hostname x 2>/dev/null && echo renamed
        for p in /proc/[0-9]*; do readlink $p/root | grep -v '^/$'; done; echo $$""")
    assert r.text == "1", r
