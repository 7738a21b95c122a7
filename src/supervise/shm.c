/* shm - /dev/shm of the container whose IPC namespace is joined. A mount can only be copied by a
 * process that sees it: one of ours enters that container's user and mount namespaces, and hands
 * the copy back. It executes nothing and takes no path from there but this one. */
#include "supervise/join.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/path.h"
#include "base/str.h"
#include "sys/mountfd.h"
#include "sys/sock.h"

static int copy_mount(int userns_fd, int mntns_fd, struct err *e)
{
    struct statfs fs;
    /* Nobody in there may trace us or open our descriptors (CVE-2016-9962). */
    if (prctl(PR_SET_DUMPABLE, 0) < 0 || setns(userns_fd, CLONE_NEWUSER) < 0 ||
        setns(mntns_fd, CLONE_NEWNS) < 0)
        return err_set(e, errno, "enter its namespaces");
    scoped_fd int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return err_set(e, errno, "open its root");
    scoped_fd int shm = path_open_beneath(root, "dev/shm", O_PATH | O_DIRECTORY, 0, e);
    if (shm < 0)
        return shm;
    if (fstatfs(shm, &fs) < 0 || fs.f_type != TMPFS_MAGIC)
        return err_msg(e, EINVAL, "its /dev/shm is no tmpfs");
    return mountfd_clone(shm, "", false, e);
}

static _Noreturn void helper(int userns_fd, int mntns_fd, int sock)
{
    struct err e = ERR_INIT;
    int fd = copy_mount(userns_fd, mntns_fd, &e);
    if (fd >= 0)
        (void)!sock_send(sock, "", 1, &fd, 1);
    else
        (void)!sock_send(sock, &e, sizeof(e), NULL, 0);
    _exit(fd < 0);
}

int shm_open_shared(int userns_fd, int mntns_fd, struct err *e)
{
    int pair[2], fds[SOCK_MAX_FDS], r = sock_pair(pair, e);
    if (r < 0)
        return r;
    pid_t pid = fork();
    if (pid == 0)
        helper(userns_fd, mntns_fd, pair[1]);
    close(pair[1]);
    scoped_fd int sock = pair[0];
    if (pid < 0)
        return err_set(e, errno, "start a process");
    struct err why = ERR_INIT;
    ssize_t n = sock_recv(sock, &why, sizeof(why), fds);
    waitpid(pid, NULL, 0);
    if (n == 1 && fds[0] >= 0)
        return fds[0];
    if (n != sizeof(why))
        return err_msg(e, EIO, "the process that copies the mount has gone");
    if (e)
        *e = why;
    return why.errnum > 0 ? -why.errnum : -EIO;
}
