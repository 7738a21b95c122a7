/* fs - whole files and directories. */
#include "base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/id.h"
#include "base/str.h"

ssize_t fs_read_fd(int fd, size_t max, char **ret, struct err *e)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_set(e, errno, "stat");
    if (S_ISREG(st.st_mode) && st.st_size > 0 && (uint64_t)st.st_size > max)
        return err_msg(e, EFBIG, "larger than %zu bytes", max);
    /* Files of the kernel say 0; one byte more than the size shows the end without a second
     * round through realloc. */
    size_t alloc = st.st_size > 0 && S_ISREG(st.st_mode) ? (size_t)st.st_size + 2 : 4096;
    size_t len = 0;
    scoped_free char *buf = xmalloc(alloc);
    for (;;) {
        if (len + 1 >= alloc)
            buf = xrealloc(buf, alloc *= 2);
        ssize_t n = read(fd, buf + len, alloc - len - 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(e, errno, "read");
        if (n == 0)
            break;
        len += (size_t)n;
        if (len > max)
            return err_msg(e, EFBIG, "larger than %zu bytes", max);
    }
    buf[len] = '\0';
    *ret = take_ptr(buf);
    return (ssize_t)len;
}

ssize_t fs_read(int dirfd, const char *name, size_t max, char **ret, struct err *e)
{
    scoped_fd int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return err_set(e, errno, "open %s", name);
    ssize_t n = fs_read_fd(fd, max, ret, e);
    return n >= 0 ? n : err_add(e, (int)n, "%s", name);
}

int fs_write_all(int fd, const void *data, size_t n)
{
    const char *p = data;
    while (n > 0) {
        ssize_t done = write(fd, p, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return -errno;
        if (done == 0)
            return -EIO;
        p += done;
        n -= (size_t)done;
    }
    return 0;
}

/* Makes a rename in the directory of name durable. */
static int sync_parent(int dirfd, const char *name)
{
    const char *slash = strrchr(name, '/');
    scoped_free char *dir =
        slash ? xstrndup(name, slash == name ? 1 : (size_t)(slash - name)) : xstrdup(".");
    scoped_fd int fd = openat(dirfd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        return -errno;
    return 0;
}

static int write_temporary(int fd, const void *data, size_t n, mode_t mode, enum fs_sync sync)
{
    int r = fs_write_all(fd, data, n);
    if (r < 0)
        return r;
    /* The umask has had its say in openat(2); callers mean the mode they give. */
    if (fchmod(fd, mode) < 0)
        return -errno;
    if (sync == FS_SYNC && fdatasync(fd) < 0)
        return -errno;
    return 0;
}

int fs_write_atomic(int dirfd, const char *name, const void *data, size_t n, mode_t mode,
                    enum fs_sync sync, struct err *e)
{
    char hex[17];
    id_random_hex(hex, 16);
    const char *slash = strrchr(name, '/');
    scoped_free char *temp =
        xasprintf("%.*s.tmp-%s", slash ? (int)(slash - name) + 1 : 0, name, hex);

    scoped_fd int fd =
        openat(dirfd, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set(e, errno, "create %s", name);
    int r = write_temporary(fd, data, n, mode, sync);
    if (r == 0 && renameat(dirfd, temp, dirfd, name) < 0)
        r = -errno;
    if (r < 0) {
        unlinkat(dirfd, temp, 0);
        return err_set(e, -r, "write %s", name);
    }
    if (sync == FS_SYNC)
        r = sync_parent(dirfd, name);
    return r < 0 ? err_set(e, -r, "sync the directory of %s", name) : 0;
}

int fs_write_text(int dirfd, const char *name, const char *text, struct err *e)
{
    scoped_fd int fd = openat(dirfd, name, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return err_set(e, errno, "open %s", name);
    size_t len = strlen(text);
    ssize_t n;
    do
        n = write(fd, text, len);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return err_set(e, errno, "write \"%s\" to %s", text, name);
    if ((size_t)n != len)
        return err_msg(e, EIO, "write \"%s\" to %s: the kernel took only %zd bytes", text, name, n);
    return 0;
}

int fs_mkdirs(const char *path, mode_t mode, struct err *e)
{
    scoped_free char *p = xstrdup(path);
    for (size_t n = strlen(p); n > 1 && p[n - 1] == '/'; n--)
        p[n - 1] = '\0';
    /* Mostly the parents exist: the last part first. */
    if (mkdir(p, mode) == 0)
        return 0;
    int of_parent = 0;
    if (errno == ENOENT && p[0])
        for (char *s = p + 1; *s; s++) {
            if (*s != '/')
                continue;
            *s = '\0';
            bool failed = mkdir(p, mode) < 0 && errno != EEXIST;
            if (failed && errno != EROFS) /* of one that exists, perhaps */
                return err_set(e, errno, "make directory %s", p);
            of_parent = failed ? errno : of_parent;
            *s = '/';
        }
    struct stat st;
    int why;
    do {
        if (mkdir(p, mode) == 0)
            return 0;
        why = errno == ENOENT && of_parent ? of_parent : errno;
        if (stat(p, &st) == 0) {
            if (S_ISDIR(st.st_mode))
                return 0;
            why = ENOTDIR;
        }
    } while (why == EEXIST && lstat(p, &st) < 0 && errno == ENOENT); /* removed in between */
    return err_set(e, why, "make directory %s", path);
}

struct dirent *fs_next_entry(DIR *d, int *ret)
{
    errno = 0;
    struct dirent *entry = readdir(d);
    *ret = entry ? 0 : -errno;
    return entry;
}

int fs_open_dir(const char *path, bool make, mode_t mode, struct err *e)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* Somebody may remove what we have just made, or have found there. */
    for (int tries = 0; fd < 0 && errno == ENOENT && make && tries < 100; tries++) {
        int r = fs_mkdirs(path, mode, e);
        if (r < 0)
            return r;
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    return fd >= 0 ? fd : err_set(e, errno, "open directory %s", path);
}
