/* clone - raw clone3(2): libc's wrappers know neither its flags nor its descriptors. */
#include "sys/clone.h"

#include <errno.h>
#include <linux/nsfs.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/scoped.h"
#include "base/str.h"

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif

pid_t sys_clone(uint64_t flags, int cgroup_fd, int *ret_pidfd)
{
    int pidfd = -1;
    struct clone_args args = {.flags = flags};
    /* With CLONE_PARENT the exit signal is that of our own, clone(2). */
    if (!(flags & CLONE_PARENT))
        args.exit_signal = SIGCHLD;
    if (ret_pidfd) {
        args.flags |= CLONE_PIDFD;
        args.pidfd = (uint64_t)(uintptr_t)&pidfd;
    }
    if (cgroup_fd >= 0) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (uint64_t)cgroup_fd;
    }
    long pid = syscall(SYS_clone3, &args, sizeof(args));
    if (pid < 0)
        return -errno;
    if (pid > 0 && ret_pidfd)
        *ret_pidfd = pidfd;
    return (pid_t)pid;
}

int sys_clone_failed(int why, const char *what, struct err *e)
{
    int r = err_set(e, why, "%s", what);
    if (why != EAGAIN)
        return r;
    return err_hint(e, r,
                    "there may be no more processes: the user's limit (ulimit -u) or that of a "
                    "cgroup (pids.max)");
}

int sys_close_from(unsigned first, int cloexec_only)
{
    unsigned flags = cloexec_only ? CLOSE_RANGE_CLOEXEC : 0;
    return syscall(SYS_close_range, first, ~0U, flags) < 0 ? -errno : 0;
}

int sys_ns_type(int ns_fd, int *ret_clone_flag)
{
    int r = ioctl(ns_fd, NS_GET_NSTYPE);
    if (r < 0)
        return -errno;
    *ret_clone_flag = r;
    return 0;
}

int sys_ns_owner(int ns_fd, uid_t *ret_uid)
{
    int type = 0;
    int r = sys_ns_type(ns_fd, &type);
    if (r < 0)
        return r;
    /* Of a user namespace NS_GET_USERNS would give the parent. */
    scoped_fd int owner = -1;
    if (type != CLONE_NEWUSER) {
        owner = ioctl(ns_fd, NS_GET_USERNS);
        if (owner < 0)
            return -errno;
    }
    uid_t uid = 0;
    if (ioctl(owner >= 0 ? owner : ns_fd, NS_GET_OWNER_UID, &uid) < 0)
        return -errno;
    *ret_uid = uid;
    return 0;
}

int sys_pivot_root(const char *new_root, const char *put_old)
{
    return syscall(SYS_pivot_root, new_root, put_old) < 0 ? -errno : 0;
}

static const struct {
    const char *oci, *file;
    uint64_t flag;
} namespaces[] = {
    {"pid", "pid", CLONE_NEWPID},          {"network", "net", CLONE_NEWNET},
    {"mount", "mnt", CLONE_NEWNS},         {"ipc", "ipc", CLONE_NEWIPC},
    {"uts", "uts", CLONE_NEWUTS},          {"user", "user", CLONE_NEWUSER},
    {"cgroup", "cgroup", CLONE_NEWCGROUP}, {"time", "time", CLONE_NEWTIME},
};

uint64_t sys_ns_flag(const char *oci_type)
{
    for (size_t i = 0; i < N_ELEMENTS(namespaces); i++)
        if (streq(namespaces[i].oci, oci_type))
            return namespaces[i].flag;
    return 0;
}

const char *sys_ns_file(const char *oci_type)
{
    for (size_t i = 0; i < N_ELEMENTS(namespaces); i++)
        if (streq(namespaces[i].oci, oci_type))
            return namespaces[i].file;
    return NULL;
}
