/* tree-file - the data of regular files: copied with holes, shared, or linked as objects. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/fs.h"
#include "base/str.h"
#include "mounts/tree-priv.h"

static int copy_plain(int src, int dst, off_t from, off_t to, struct err *e)
{
    scoped_free char *buf = xmalloc(256 * 1024);
    while (from < to) {
        size_t want = to - from < 256 * 1024 ? (size_t)(to - from) : 256 * 1024;
        ssize_t n = pread(src, buf, want, from);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(e, errno, "read");
        if (n == 0)
            return 0;
        for (ssize_t done = 0; done < n;) {
            ssize_t w = pwrite(dst, buf + done, (size_t)(n - done), from + done);
            if (w < 0 && errno != EINTR)
                return err_set(e, errno, "write");
            done += w > 0 ? w : 0;
        }
        from += n;
    }
    return 0;
}

/* One extent: in the kernel when it can, else through a buffer. */
static int copy_range(int src, int dst, off_t from, off_t to, struct err *e)
{
    while (from < to) {
        off_t in = from, out = from;
        ssize_t n = copy_file_range(src, &in, dst, &out, (size_t)(to - from), 0);
        if (n <= 0)
            return copy_plain(src, dst, from, to, e);
        from += n;
    }
    return 0;
}

int tree_copy_data(int src, int dst, uint64_t size, struct err *e)
{
    if (size == 0)
        return 0;
    if (ioctl(dst, FICLONE, src) == 0)
        return 0;
    off_t at = 0;
    while (at < (off_t)size) {
        off_t data = lseek(src, at, SEEK_DATA);
        if (data < 0 && errno == ENXIO)
            break; /* a hole up to the end */
        if (data < 0)
            data = at; /* no such seek here: all is data */
        off_t hole = lseek(src, data, SEEK_HOLE);
        if (hole < 0)
            hole = (off_t)size;
        int r = copy_range(src, dst, data, hole, e);
        if (r < 0)
            return r;
        at = hole;
    }
    return ftruncate(dst, (off_t)size) < 0 ? err_set(e, errno, "set the size") : 0;
}

/* "PREFIX + inode / 1024" and "inode % 1024": deterministic, so that trees for several maps and
 * concurrent builders agree; the prefix tells layers apart that lie on different file systems. 24
 * bytes at most keep both xattrs inside a 256-byte ext4 inode. */
static int object_dir(const struct tree_copy *t, const char *dir, struct err *e)
{
    int fd = openat(t->objects, dir, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        if (mkdirat(t->objects, dir, 0755) < 0 && errno != EEXIST)
            return err_set(e, errno, "make object directory %s", dir);
        fd = openat(t->objects, dir, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    }
    return fd < 0 ? err_set(e, errno, "open object directory %s", dir) : fd;
}

int tree_link_object(const struct tree_copy *t, int src_dir, const char *name, int dst,
                     const struct stat *st, struct err *e)
{
    char dir[32], file[8], redirect[48];
    snprintf(dir, sizeof(dir), "%.6s%llx", t->object_prefix, (unsigned long long)st->st_ino >> 10);
    snprintf(file, sizeof(file), "%x", (unsigned)(st->st_ino & 0x3ff));
    int n = snprintf(redirect, sizeof(redirect), "/%s/%s", dir, file);
    scoped_fd int dir_fd = object_dir(t, dir, e);
    if (dir_fd < 0)
        return dir_fd;
    if (linkat(src_dir, name, dir_fd, file, 0) < 0) {
        struct stat old;
        if (errno != EEXIST)
            return err_set(e, errno, "link as object %s", redirect);
        /* Made for another map. A number that now means another file would be fatal. */
        if (fstatat(dir_fd, file, &old, AT_SYMLINK_NOFOLLOW) < 0)
            return err_set(e, errno, "stat object %s", redirect);
        if (old.st_ino != st->st_ino || old.st_dev != st->st_dev)
            return err_msg(e, EUCLEAN, "object %s belongs to another file", redirect);
    }
    if (ftruncate(dst, st->st_size) < 0)
        return err_set(e, errno, "set the size");
    if (fsetxattr(dst, "user.overlay.metacopy", "", 0, 0) < 0 ||
        fsetxattr(dst, "user.overlay.redirect", redirect, (size_t)n, 0) < 0)
        return err_set(e, errno, "mark as metadata copy");
    return 0;
}
