/* proc - pidfds and what /proc says about a process. */
#include "base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h> /* struct clone_args */
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "base/timefmt.h"

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

pid_t fork_pidfd(int *ret_pidfd)
{
    int pidfd = -1;
    struct clone_args args = {
        .flags = CLONE_PIDFD,
        .pidfd = (uint64_t)(uintptr_t)&pidfd,
        .exit_signal = SIGCHLD,
    };
    long pid = syscall(SYS_clone3, &args, sizeof(args));
    if (pid > 0)
        *ret_pidfd = pidfd;
    return (pid_t)pid;
}

#define SPAWN_STACK 65536

pid_t spawn_pidfd(int (*child)(void *data), void *data, int *ret_pidfd)
{
#ifdef __SANITIZE_ADDRESS__ /* knows no stacks but the kernel's and those of threads */
    pid_t copy = fork_pidfd(ret_pidfd);
    if (copy == 0)
        _exit(child(data));
    return copy;
#endif
    int pidfd = -1;
    char *stack = mmap(NULL, SPAWN_STACK, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stack == MAP_FAILED)
        return -1;
    int flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD;
    pid_t pid = clone(child, stack + SPAWN_STACK, flags, data, &pidfd);
    int why = errno;
    munmap(stack, SPAWN_STACK);
    if (pid > 0)
        *ret_pidfd = pidfd;
    errno = why;
    return pid;
}

int pidfd_open_pid(pid_t pid)
{
    long fd = syscall(SYS_pidfd_open, pid, 0);
    return fd >= 0 ? (int)fd : -errno;
}

int pidfd_signal(int pidfd, int sig)
{
    return syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0) < 0 ? -errno : 0;
}

int pidfd_wait(int pidfd, int *ret_status)
{
    siginfo_t info = {0};
    int r;
    do
        r = waitid((idtype_t)P_PIDFD, (id_t)pidfd, &info, WEXITED | __WALL);
    while (r < 0 && errno == EINTR);
    if (r < 0)
        return -errno;
    if (!ret_status)
        return 0;
    /* waitid(2) gives the parts, callers know the form of waitpid(2). */
    if (info.si_code == CLD_EXITED)
        *ret_status = (info.si_status & 0xff) << 8;
    else
        *ret_status = (info.si_status & 0x7f) | (info.si_code == CLD_DUMPED ? 0x80 : 0);
    return 0;
}

int pidfd_poll(int pidfd, int timeout_ms)
{
    int64_t end = time_monotonic_ns() + (int64_t)timeout_ms * 1000000;
    for (;;) {
        struct pollfd p = {.fd = pidfd, .events = POLLIN};
        int64_t left = timeout_ms < 0 ? -1 : (end - time_monotonic_ns() + 999999) / 1000000;
        if (timeout_ms >= 0 && left < 0)
            left = 0;
        int r = poll(&p, 1, (int)left);
        if (r > 0)
            return p.revents & POLLNVAL ? -EBADF : 1;
        if (r == 0)
            return 0;
        if (errno != EINTR)
            return -errno;
    }
}

/* A number of /proc/PID/stat, counted from 1 as in the manual. */
static int stat_field(pid_t pid, int number, uint64_t *ret)
{
    char path[40];
    scoped_free char *text = NULL;
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    ssize_t n = fs_read(AT_FDCWD, path, 8192, &text, NULL);
    if (n < 0)
        return (int)n;
    /* The program's name (field 2) may hold spaces and parentheses: count from the last one. */
    char *p = strrchr(text, ')');
    for (int field = 2; p && field < number; field++) {
        p = strchr(p, ' ');
        if (p)
            p++;
    }
    if (!p)
        return -EBADMSG;
    p[strcspn(p, " \n")] = '\0';
    return parse_u64(p, ret);
}

/* To others the last field of stat, a zombie's wait status, is always 0. proc_pid_stat(5) */
static bool may_look_into(pid_t pid)
{
    char path[40], target[64];
    snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
    return readlink(path, target, sizeof(target)) > 0;
}

/* linux/pidfd.h of Linux 6.15; the first version of the structure. */
struct exit_info {
    uint64_t mask, cgroup;
    uint32_t pid, tgid, ppid, ids[8];
    int32_t exit_code;
};
#define GET_INFO _IOWR(0xFF, 11, struct exit_info)
#define INFO_EXIT (UINT64_C(1) << 3)

/* Whoever is its parent takes the status in a moment, if at all. */
#define REAPED_MS 500

int pidfd_exit_status(int pidfd, pid_t pid, uint64_t start, int *ret_status)
{
    struct exit_info info = {.mask = INFO_EXIT};
    uint64_t value;
    if (stat_field(pid, 22, &value) == 0 && value == start && may_look_into(pid) &&
        stat_field(pid, 52, &value) == 0) {
        *ret_status = (int)value;
        return 0;
    }
    struct pollfd p = {.fd = pidfd}; /* POLLHUP: the status was taken, and the kernel has kept it */
    (void)!poll(&p, 1, REAPED_MS);
    if (ioctl(pidfd, GET_INFO, &info) == 0 && info.mask & INFO_EXIT) {
        *ret_status = info.exit_code;
        return 0;
    }
    return -ENODATA;
}

int wait_status_code(int status)
{
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : 255;
}

int proc_start_time(pid_t pid, uint64_t *ret)
{
    return stat_field(pid, 22, ret);
}

bool proc_is_stopped(pid_t pid)
{
    char path[40];
    scoped_free char *text = NULL;
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    if (fs_read(AT_FDCWD, path, 8192, &text, NULL) < 0)
        return false;
    const char *p = strrchr(text, ')');
    return p && p[1] == ' ' && (p[2] == 'T' || p[2] == 't');
}

int proc_boot_id(char ret[static 40])
{
    scoped_free char *text = NULL;
    ssize_t n = fs_read(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 4096, &text, NULL);
    if (n < 0)
        return (int)n;
    text[strcspn(text, "\n")] = '\0';
    if (strlen(text) != 36)
        return -EBADMSG;
    memcpy(ret, text, 37);
    return 0;
}
