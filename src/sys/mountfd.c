/* mountfd - mounts as descriptors; what the kernel logged into the context goes into the error. */
#include "sys/mountfd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/scoped.h"
#include "base/str.h"

#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif

/* fsconfig(2) copies no more of a string value, with its terminator. */
#define VALUE_MAX 256

/* Collects the messages of severity "e" that wait in the context; each read(2) gives one. */
static void kernel_says(int fs_fd, char *buf, size_t size)
{
    size_t len = 0;
    buf[0] = '\0';
    for (int i = 0; i < 16; i++) {
        char line[512];
        ssize_t n = read(fs_fd, line, sizeof(line) - 1);
        if (n < 0)
            return; /* ENODATA: no more */
        while (n > 0 && line[n - 1] == '\n')
            n--;
        line[n] = '\0';
        if (n < 3 || line[0] != 'e' || len + 3 >= size)
            continue;
        len += (size_t)snprintf(buf + len, size - len, "%s%s", len ? "; " : "", line + 2);
        if (len >= size)
            return;
    }
}

/* "FMT: what the kernel says: strerror". */
__attribute__((format(printf, 4, 5))) static int context_error(struct err *e, int errnum, int fs_fd,
                                                               const char *fmt, ...)
{
    char what[512], why[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    kernel_says(fs_fd, why, sizeof(why));
    return err_set(e, errnum, "%s%s%s", what, why[0] ? ": " : "", why);
}

int mountfd_open(const char *fstype, struct err *e)
{
    long fd = syscall(SYS_fsopen, fstype, FSOPEN_CLOEXEC);
    return fd >= 0 ? (int)fd : err_set(e, errno, "open a context for filesystem %s", fstype);
}

int mountfd_flag(int fs_fd, const char *key, struct err *e)
{
    if (syscall(SYS_fsconfig, fs_fd, FSCONFIG_SET_FLAG, key, NULL, 0) < 0)
        return context_error(e, errno, fs_fd, "set mount option %s", key);
    return 0;
}

int mountfd_string(int fs_fd, const char *key, const char *value, struct err *e)
{
    if (strlen(value) >= VALUE_MAX)
        return err_msg(e, E2BIG, "set mount option %s: the value has more than %d bytes", key,
                       VALUE_MAX - 1);
    if (syscall(SYS_fsconfig, fs_fd, FSCONFIG_SET_STRING, key, value, 0) < 0)
        return context_error(e, errno, fs_fd, "set mount option %s=%s", key, value);
    return 0;
}

int mountfd_fd(int fs_fd, const char *key, int fd, struct err *e)
{
    if (syscall(SYS_fsconfig, fs_fd, FSCONFIG_SET_FD, key, NULL, fd) < 0)
        return context_error(e, errno, fs_fd, "set mount option %s to a descriptor", key);
    return 0;
}

int mountfd_mount(int fs_fd, uint64_t attr, struct err *e)
{
    if (syscall(SYS_fsconfig, fs_fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return context_error(e, errno, fs_fd, "create the filesystem");
    long fd = syscall(SYS_fsmount, fs_fd, FSMOUNT_CLOEXEC, (unsigned)attr);
    return fd >= 0 ? (int)fd : context_error(e, errno, fs_fd, "mount the filesystem");
}

int mountfd_options(int fs_fd, const char *options, struct err *e)
{
    scoped_free char *copy = xstrdup(options);
    char *rest = copy;
    for (char *option; (option = strsep(&rest, ","));) {
        if (!*option)
            continue;
        char *value = strchr(option, '=');
        if (value)
            *value++ = '\0';
        int r = value ? mountfd_string(fs_fd, option, value, e) : mountfd_flag(fs_fd, option, e);
        if (r < 0)
            return r;
    }
    return 0;
}

int mountfd_reconfigure(int fd, const char *options, struct err *e)
{
    scoped_fd int fs_fd = (int)syscall(SYS_fspick, fd, "", FSPICK_CLOEXEC | FSPICK_EMPTY_PATH);
    if (fs_fd < 0)
        return err_set(e, errno, "open the file system's context");
    int r = mountfd_options(fs_fd, options, e);
    if (r == 0 && syscall(SYS_fsconfig, fs_fd, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0) < 0)
        r = context_error(e, errno, fs_fd, "change the file system's options");
    return r;
}

int mountfd_new(const char *fstype, const char *source, const char *options, uint64_t attr,
                struct err *e)
{
    scoped_fd int fs_fd = mountfd_open(fstype, e);
    if (fs_fd < 0)
        return fs_fd;
    int r = source ? mountfd_string(fs_fd, "source", source, e) : 0;
    if (r == 0 && options)
        r = mountfd_options(fs_fd, options, e);
    if (r == 0)
        r = mountfd_mount(fs_fd, attr, e);
    return r < 0 ? err_add(e, r, "filesystem %s", fstype) : r;
}

int mountfd_clone(int dirfd, const char *path, int recursive, struct err *e)
{
    unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH;
    if (recursive)
        flags |= AT_RECURSIVE;
    long fd = syscall(SYS_open_tree, dirfd, path, flags);
    return fd >= 0 ? (int)fd : err_set(e, errno, "clone the mount of %s", path[0] ? path : "fd");
}

int mountfd_attach(int mnt_fd, int target_fd, struct err *e)
{
    unsigned flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
    if (syscall(SYS_move_mount, mnt_fd, "", target_fd, "", flags) < 0)
        return err_set(e, errno, "attach the mount");
    return 0;
}

int mountfd_setattr(int mnt_fd, int recursive, uint64_t set, uint64_t clear, uint64_t propagation,
                    struct err *e)
{
    /* The access time bits are one field: changing it means clearing it first, mount_setattr(2). */
    if (set & MOUNT_ATTR__ATIME)
        clear |= MOUNT_ATTR__ATIME;
    struct mount_attr attr = {.attr_set = set, .attr_clr = clear, .propagation = propagation};
    unsigned flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);
    if (syscall(SYS_mount_setattr, mnt_fd, "", flags, &attr, sizeof(attr)) < 0)
        return err_set(e, errno, "set mount attributes");
    return 0;
}
