/* lock - flock(2), which belongs to the open file: a child that inherits it would share it. */
#include "base/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "base/scoped.h"
#include "base/timefmt.h"

int lock_wait(int fd, int operation)
{
    int r;
    do
        r = flock(fd, operation);
    while (r < 0 && errno == EINTR);
    return r;
}

/* There is no flock with a time limit; steps from 0.2 ms to 20 ms. */
static int flock_wait(int fd, int op, int wait_ms)
{
    if (wait_ms < 0)
        return lock_wait(fd, op) < 0 ? -errno : 0;
    int64_t end = time_monotonic_ns() + (int64_t)wait_ms * 1000000;
    long step_ns = 200000;
    for (;;) {
        if (flock(fd, op | LOCK_NB) == 0)
            return 0;
        if (errno != EWOULDBLOCK && errno != EINTR)
            return -errno;
        if (time_monotonic_ns() >= end)
            return -EWOULDBLOCK;
        nanosleep(&(struct timespec){.tv_nsec = step_ns}, NULL);
        step_ns = step_ns * 2 > 20000000 ? 20000000 : step_ns * 2;
    }
}

/* Is the file that we hold still the one under this name? Its directory may have been removed while
 * we waited. */
static int same_file(int dirfd, const char *name, int fd)
{
    struct stat ours, theirs;
    if (fstat(fd, &ours) < 0)
        return -errno;
    if (fstatat(dirfd, name, &theirs, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -errno;
    return ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino;
}

int lock_take(int dirfd, const char *name, enum lock_mode mode, int wait_ms, struct err *e)
{
    int op = mode == LOCK_SHARED ? LOCK_SH : LOCK_EX;
    for (int tries = 0; tries < 16; tries++) {
        scoped_fd int fd = openat(dirfd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
            return err_set(e, errno, "open lock %s", name);
        int r = flock_wait(fd, op, wait_ms);
        if (r == -EWOULDBLOCK)
            return err_msg(e, EWOULDBLOCK, "lock %s: another process holds it", name);
        if (r < 0)
            return err_set(e, -r, "lock %s", name);
        r = same_file(dirfd, name, fd);
        if (r < 0)
            return err_set(e, -r, "lock %s", name);
        if (r)
            return take_fd(&fd);
    }
    return err_msg(e, EWOULDBLOCK, "lock %s: the file is being replaced again and again", name);
}

int lock_held(int dirfd, const char *name)
{
    scoped_fd int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    if (flock(fd, LOCK_SH | LOCK_NB) == 0)
        return 0;
    return errno == EWOULDBLOCK ? 1 : -errno;
}
