#include "imagetool/part.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/lock.h"
#include "base/scoped.h"
#include "layer/digest.h"

#define NAME_SIZE (sizeof("ingest/.part") + 129)

static void name_of(const char *hex, const char *ending, char ret[static NAME_SIZE])
{
    snprintf(ret, NAME_SIZE, "ingest/%s.%s", hex, ending);
}

/* Who is done with a blob removes the lock's file: a lock on one that has lost its name is none. */
static bool has_name(int fd, int root_fd, const char *name)
{
    struct stat ours, there;

    return fstat(fd, &ours) == 0 && fstatat(root_fd, name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
           ours.st_ino == there.st_ino && ours.st_dev == there.st_dev;
}

static int take_lock(int root_fd, const char *hex, struct err *e)
{
    char name[NAME_SIZE];

    name_of(hex, "lock", name);
    for (;;) {
        int fd = lock_take(root_fd, name, LOCK_EXCLUSIVE, 0, NULL);
        if (fd < 0 && fd != -EWOULDBLOCK)
            return err_set(e, -fd, "lock %s", name);
        if (fd < 0 || has_name(fd, root_fd, name))
            return fd;
        close(fd);
    }
}

int part_take(int root_fd, const char *digest, uint64_t size, struct part *ret, struct err *e)
{
    struct part p = PART_INIT;
    char name[NAME_SIZE];
    const char *hex;
    struct stat st;
    int r = digest_parse(digest, &hex, e);

    if (r < 0)
        return r;
    snprintf(p.hex, sizeof(p.hex), "%s", hex);
    p.lock_fd = take_lock(root_fd, hex, e);
    if (p.lock_fd < 0)
        return p.lock_fd == -EWOULDBLOCK ? 0 : p.lock_fd;
    name_of(hex, "part", name);
    p.fd = openat(root_fd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    r = p.fd < 0 || fstat(p.fd, &st) < 0 ? err_set(e, errno, "open %s", name) : 0;
    if (r == 0) {
        p.have = (uint64_t)st.st_size;
        if (p.have > size)
            r = part_reset(&p, e);
    }
    if (r < 0) {
        part_release(root_fd, &p);
        return r;
    }
    *ret = p;
    return 1;
}

uint64_t part_size(int root_fd, const char *digest)
{
    char name[NAME_SIZE];
    const char *hex;
    struct stat st;

    if (digest_parse(digest, &hex, NULL) < 0)
        return 0;
    name_of(hex, "part", name);
    return fstatat(root_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? (uint64_t)st.st_size : 0;
}

int part_reset(struct part *p, struct err *e)
{
    if (ftruncate(p->fd, 0) < 0)
        return err_set(e, errno, "empty ingest/%.12s.part", p->hex);
    p->have = 0;
    return 0;
}

int part_write(struct part *p, const void *data, size_t n, struct err *e)
{
    const char *at = data;

    while (n > 0) {
        ssize_t done = pwrite(p->fd, at, n, (off_t)p->have);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return err_set(e, errno, "write ingest/%.12s.part", p->hex);
        at += done;
        n -= (size_t)done;
        p->have += (uint64_t)done;
    }
    return 0;
}

void part_drop(int root_fd, struct part *p)
{
    char name[NAME_SIZE];

    if (p->lock_fd < 0)
        return;
    name_of(p->hex, "part", name);
    unlinkat(root_fd, name, 0);
    fd_close(&p->fd);
}

void part_release(int root_fd, struct part *p)
{
    char name[NAME_SIZE];

    if (p->lock_fd >= 0 && p->fd >= 0 && !p->have)
        part_drop(root_fd, p); /* it says nothing */
    fd_close(&p->fd);
    if (p->lock_fd < 0)
        return;
    name_of(p->hex, "lock", name);
    unlinkat(root_fd, name, 0); /* before the unlock: nobody else can have it then */
    fd_close(&p->lock_fd);
}
