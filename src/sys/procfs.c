/* procfs - see the header for the attack that this stands against. */
#include "sys/procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/scoped.h"
#include "base/str.h"
#include "sys/mountfd.h"

#define PROC_MAGIC 0x9fa0 /* statfs(2) */
#define PROC_ROOT_INO 1   /* of every procfs; anything bind-mounted from inside one has another */

static bool is_procfs(int fd)
{
    struct statfs fs;
    return fstatfs(fd, &fs) == 0 && fs.f_type == PROC_MAGIC;
}

int procfs_open(struct err *e)
{
    /* A mount of our own first: nobody can have put anything over parts of it. */
    int fd = mountfd_new("proc", NULL, NULL,
                         MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, NULL);
    if (fd >= 0)
        return fd;
    scoped_fd int host = open("/proc", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (host < 0)
        return err_set(e, errno, "open /proc");
    struct stat st;
    if (fstat(host, &st) < 0)
        return err_set(e, errno, "stat /proc");
    if (!is_procfs(host) || st.st_ino != PROC_ROOT_INO)
        return err_msg(e, ENODEV, "open /proc: it is not the root of a procfs");
    return take_fd(&host);
}

/* "self" is a symbolic link, which the opening below refuses: puts our number in its place. */
static int resolve_self(int proc_fd, const char *path, char *buf, size_t size)
{
    const char *rest = str_after(path, "self/");
    const char *link = rest ? "self" : "thread-self";
    if (!rest)
        rest = str_after(path, "thread-self/");
    char target[64] = "";
    if (rest) {
        ssize_t n = readlinkat(proc_fd, link, target, sizeof(target) - 2);
        if (n <= 0)
            return n < 0 ? -errno : -ENOENT;
        if (target[0] < '1' || target[0] > '9' || strspn(target, "0123456789/task") != (size_t)n)
            return -EXDEV;
        target[n] = '/';
    }
    if ((size_t)snprintf(buf, size, "%s%s", target, rest ? rest : path) >= size)
        return -ENAMETOOLONG;
    return 0;
}

int procfs_open_file(int proc_fd, const char *path, int flags, struct err *e)
{
    char real[512];
    int r = resolve_self(proc_fd, path, real, sizeof(real));
    if (r < 0)
        return err_set(e, -r, "open /proc/%s", path);
    struct open_how how = {
        .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC | O_NOFOLLOW),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    long opened;
    int tries = 0;
    do
        opened = syscall(SYS_openat2, proc_fd, real, &how, sizeof(how));
    while (opened < 0 && (errno == EAGAIN || errno == EINTR) && ++tries < 64);
    scoped_fd int fd = (int)opened;
    if (fd < 0)
        return err_set(e, errno, "open /proc/%s", path);
    if (!is_procfs(fd))
        return err_msg(e, EXDEV, "open /proc/%s: it is not a file of a procfs", path);
    return take_fd(&fd);
}

int procfs_write(int proc_fd, const char *path, const char *text, struct err *e)
{
    scoped_fd int fd = procfs_open_file(proc_fd, path, O_WRONLY, e);
    if (fd < 0)
        return fd;
    ssize_t n;
    do
        n = write(fd, text, strlen(text));
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return err_set(e, errno, "write \"%s\" to /proc/%s", text, path);
    return 0;
}
