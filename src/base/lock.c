/* lock - flock(2), which belongs to the open file: a child that inherits it would share it. */
#include "base/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "base/fs.h"
#include "base/log.h"
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

/* Nobody wonders about a shorter wait. */
#define TELL_NS INT64_C(2000000000)
#define LOCKS_MAX (4u << 20)

static void name_process(long pid, char *buf, size_t size)
{
    char path[40], line[120], clean[300];
    scoped_free char *text = NULL;
    snprintf(path, sizeof(path), "/proc/%ld/cmdline", pid);
    ssize_t n = fs_read(AT_FDCWD, path, 1u << 20, &text, NULL);
    for (ssize_t i = 0; i < n - 1; i++)
        if (!text[i])
            text[i] = ' ';
    const char *program = n > 0 ? text : "gone; a child of it has the lock";
    /* Where it lies says little. */
    const char *slash = n > 0 ? memrchr(text, '/', strcspn(text, " ")) : NULL;
    snprintf(line, sizeof(line), "%s", slash ? slash + 1 : program);
    snprintf(buf, size, "process %ld (%s)", pid, err_escape(clean, sizeof(clean), line));
}

/* "7: FLOCK  ADVISORY  WRITE 1234 00:2f:5678 0 EOF"; a waiter has "->" behind the first number.
 * proc_locks(5). The number of the device is not everywhere what stat(2) says (btrfs, overlayfs):
 * then the number of the file must do. */
static long parse_locks(const char *text, const struct stat *st)
{
    long found = 0;
    for (const char *line = text; line && *line; line = strchr(line, '\n'), line += line != NULL) {
        long pid;
        unsigned major_n, minor_n;
        unsigned long long ino;
        if (sscanf(line, "%*d: FLOCK %*s %*s %ld %x:%x:%llu", &pid, &major_n, &minor_n, &ino) !=
                4 ||
            ino != st->st_ino || pid <= 0)
            continue;
        found = pid;
        if (major_n == major(st->st_dev) && minor_n == minor(st->st_dev))
            break;
    }
    return found;
}

bool lock_holder(int fd, char *buf, size_t size)
{
    struct stat st;
    scoped_free char *text = NULL;
    if (fstat(fd, &st) < 0 || fs_read(AT_FDCWD, "/proc/locks", LOCKS_MAX, &text, NULL) < 0)
        return false;
    long pid = parse_locks(text, &st);
    if (pid > 0)
        name_process(pid, buf, size);
    return pid > 0;
}

static void tell(int fd, const char *what)
{
    char holder[400];
    log_warn("waiting for %s: %s is working on it", what,
             lock_holder(fd, holder, sizeof(holder)) ? holder : "another process");
}

/* There is no flock with a time limit; steps from 0.2 ms to 20 ms. */
static int flock_wait(int fd, int op, int wait_ms, const char *what)
{
    int64_t begin = time_monotonic_ns();
    bool told = false;
    long step_ns = 200000;
    for (;;) {
        if (lock_wait(fd, op | LOCK_NB) == 0)
            return 0;
        if (errno != EWOULDBLOCK)
            return -errno;
        int64_t waited = time_monotonic_ns() - begin;
        if (wait_ms >= 0 && waited >= (int64_t)wait_ms * 1000000)
            return -EWOULDBLOCK;
        if (!told && waited >= TELL_NS) {
            tell(fd, what);
            told = true;
        }
        nanosleep(&(struct timespec){.tv_nsec = step_ns}, NULL);
        step_ns = step_ns * 2 > 20000000 ? 20000000 : step_ns * 2;
    }
}

int lock_fd(int fd, enum lock_mode mode, int wait_ms, const char *what, struct err *e)
{
    char holder[400];
    int r = flock_wait(fd, mode == LOCK_SHARED ? LOCK_SH : LOCK_EX, wait_ms, what);
    if (r != -EWOULDBLOCK)
        return r < 0 ? err_set(e, -r, "lock %s", what) : 0;
    return err_msg(e, EWOULDBLOCK, "%s: %s is working on it", what,
                   e && lock_holder(fd, holder, sizeof(holder)) ? holder : "another process");
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
    return lock_take_of(dirfd, name, name, mode, wait_ms, e);
}

int lock_take_of(int dirfd, const char *name, const char *what, enum lock_mode mode, int wait_ms,
                 struct err *e)
{
    for (int tries = 0; tries < 16; tries++) {
        scoped_fd int fd = openat(dirfd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
            return err_set(e, errno, "open lock %s", name);
        int r = lock_fd(fd, mode, wait_ms, what, e);
        if (r < 0)
            return r;
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
