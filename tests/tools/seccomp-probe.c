/* seccomp-probe [NR,A0,...,A5]... - makes one harmless form of some 40 system calls, or the given
 * ones, and prints NAME=ERRNO for each (NAME=0: success, NAME=SIGSYS: killed). Static, for use
 * inside containers of any image. Every call has arguments with which even an unconfined root
 * changes nothing that outlives its child. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif
#define HIGH 0x7700000000L /* bits that the kernel cuts off */

static const struct {
    const char *name;
    long nr, a[6];
} probes[] = {
    {"read", SYS_read, {0, 0, 0}},
    {"write", SYS_write, {1, 0, 0}},
    {"futex", SYS_futex, {0, 1, 1}},
    {"getpid", SYS_getpid, {0}},
    {"rseq", SYS_rseq, {0, 0, 0, 0}},
    {"openat2", SYS_openat2, {-1, 0, 0, 0}},
    {"fchmodat2", SYS_fchmodat2, {-1, 0, 0, 0}},
    {"unknown_600", 600, {0}},
    {"x32_getpid", 0x40000000 | 39, {0}},
    {"ptrace", SYS_ptrace, {12 /* PTRACE_GETREGS */, -1, 0, 0}},
    {"process_vm_readv", SYS_process_vm_readv, {-1, 0, 0, 0, 0, 1 /* no such flag */}},
    {"personality", SYS_personality, {0xffffffff}},
    {"chroot", SYS_chroot, {0}},
    {"mount", SYS_mount, {0, 0, 0, 0, 0}},
    {"umount2", SYS_umount2, {0, 0x8000 /* no such flag */}},
    {"pivot_root", SYS_pivot_root, {0, 0}},
    {"open_tree", SYS_open_tree, {-1, 0, 0}},
    {"move_mount", SYS_move_mount, {-1, 0, -1, 0, 0x8000000}},
    {"fsopen", SYS_fsopen, {0, 0}},
    {"mount_setattr", SYS_mount_setattr, {-1, 0, 0, 0, 0}},
    {"setns", SYS_setns, {-1, 0}},
    {"unshare_user", SYS_unshare, {CLONE_NEWUSER}},
    {"unshare_files", SYS_unshare, {CLONE_FILES}},
    {"clone_user", SYS_clone, {CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0}},
    {"clone3", SYS_clone3, {0, 0}},
    {"socket_unix", SYS_socket, {AF_UNIX, SOCK_STREAM, 0}},
    {"socket_alg", SYS_socket, {38, SOCK_SEQPACKET, 0}},
    {"socket_alg_high", SYS_socket, {HIGH | 38, SOCK_SEQPACKET, 0}},
    {"socket_vsock", SYS_socket, {40, SOCK_STREAM, 0}},
    {"socket_audit", SYS_socket, {AF_NETLINK, SOCK_RAW, 9}},
    {"ioctl_tiocsti", SYS_ioctl, {-1, 0x5412, 0}},
    {"ioctl_tiocsti_high", SYS_ioctl, {-1, HIGH | 0x5412, 0}},
    {"ioctl_tioclinux", SYS_ioctl, {-1, 0x541c, 0}},
    {"ioctl_fionread", SYS_ioctl, {-1, 0x541b, 0}},
    {"keyctl", SYS_keyctl, {-1, 0, 0, 0, 0}},
    {"add_key", SYS_add_key, {0, 0, 0, 0, 0}},
    {"bpf", SYS_bpf, {-1, 0, 0}},
    {"perf_event_open", SYS_perf_event_open, {0, 0, 0, 0, 0}},
    {"userfaultfd", SYS_userfaultfd, {0x8000}},
    {"io_uring_setup", SYS_io_uring_setup, {0, 0}},
    {"kexec_load", SYS_kexec_load, {0, 0, 0, 0x8000}},
    {"reboot", SYS_reboot, {0, 0, 0, 0}},
    {"init_module", SYS_init_module, {0, 0, 0}},
    {"open_by_handle_at", SYS_open_by_handle_at, {-1, 0, 0}},
    {"settimeofday", SYS_settimeofday, {0, 0}},
    {"swapon", SYS_swapon, {0, 0x4000000}},
    {"syslog", SYS_syslog, {-1, 0, 0}},
    {"vmsplice", SYS_vmsplice, {-1, 0, 0, 0}},
};

/* In a child, since some calls change the caller, and a profile may kill it. */
static void probe(const char *name, long nr, const long *a)
{
    pid_t pid = fork();
    if (pid < 0) {
        printf("%s=fork-failed\n", name);
        return;
    }
    if (pid == 0) {
        long r = syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
        _exit(r < 0 ? errno : 0); /* a clone's own child ends here with 0 too */
    }
    int status = 0;
    waitpid(pid, &status, 0);
    if (WIFSIGNALED(status))
        printf("%s=SIG%s\n", name, sigabbrev_np(WTERMSIG(status)));
    else if (WEXITSTATUS(status) == 0)
        printf("%s=0\n", name);
    else
        printf("%s=%s\n", name, strerrorname_np(WEXITSTATUS(status)));
    fflush(stdout);
}

static void probe_text(const char *text)
{
    long v[7] = {0};
    char *p = (char *)text;
    for (size_t i = 0; i < 7 && *p; i++)
        v[i] = (long)strtoul(p + (*p == ','), &p, 0);
    probe(text, v[0], v + 1);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        probe_text(argv[i]);
    for (size_t i = 0; argc == 1 && i < sizeof(probes) / sizeof(probes[0]); i++)
        probe(probes[i].name, probes[i].nr, probes[i].a);
    return 0;
}
