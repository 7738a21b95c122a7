/* path - every resolution is one openat2(2); nothing here trusts a path it has resolved before. */
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/fs.h"
#include "base/str.h"
#include "base/strv.h"

#define IN_ROOT (RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
#define BENEATH (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)

/* As many links as the kernel follows in one resolution, path_resolution(7). */
#define MAX_LINKS 40

static int openat2_retry(int root_fd, const char *path, int flags, mode_t mode, uint64_t resolve)
{
    bool creates = (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
    struct open_how how = {
        .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
        .mode = creates ? mode & 07777 : 0,
        .resolve = resolve,
    };
    /* EAGAIN: the kernel saw a rename or mount race and cannot prove that we stayed inside. */
    for (int tries = 0; tries < 64; tries++) {
        long fd = syscall(SYS_openat2, root_fd, path, &how, sizeof(how));
        if (fd >= 0)
            return (int)fd;
        if (errno != EAGAIN && errno != EINTR)
            break;
    }
    return -errno;
}

int path_open_in_root(int root_fd, const char *path, int flags, mode_t mode, struct err *e)
{
    int fd = openat2_retry(root_fd, path, flags, mode, IN_ROOT);
    return fd >= 0 ? fd : err_set(e, -fd, "open %s in the container's root", path);
}

int path_open_beneath(int root_fd, const char *path, int flags, mode_t mode, struct err *e)
{
    int fd = openat2_retry(root_fd, path, flags, mode, BENEATH);
    return fd >= 0 ? fd : err_set(e, -fd, "open %s", path);
}

ssize_t path_read_in_root(int root_fd, const char *path, size_t max, char **ret, struct err *e)
{
    /* O_NONBLOCK: an image may ship a FIFO under this name. */
    scoped_fd int fd = path_open_in_root(root_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, e);
    if (fd < 0)
        return fd;
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_set(e, errno, "stat %s in the container's root", path);
    if (!S_ISREG(st.st_mode))
        return err_msg(e, EINVAL, "read %s in the container's root: not a regular file", path);
    ssize_t n = fs_read_fd(fd, max, ret, e);
    return n >= 0 ? n : err_add(e, (int)n, "read %s in the container's root", path);
}

/* A walk that makes directories: the parts still to go, and how far we are. */
struct walk {
    int root_fd, fd; /* fd: O_PATH of the part done, owned */
    char **parts;    /* of the whole path; symbolic links that led nowhere are spliced in */
    size_t done;
    struct str prefix; /* the parts done, joined, in the form that openat2 takes */
    mode_t mode;
    int links;
};

static void walk_release(struct walk *w)
{
    fd_close(&w->fd);
    strv_free(w->parts);
    str_release(&w->prefix);
}

/* From the top again, along another path. */
static int walk_restart(struct walk *w, const char *path)
{
    fd_close(&w->fd);
    strv_free(w->parts);
    w->parts = strv_split(path, "/", false);
    w->done = 0;
    str_reset(&w->prefix);
    str_add(&w->prefix, "/");
    w->fd = openat2_retry(w->root_fd, "/", O_PATH | O_DIRECTORY, 0, IN_ROOT);
    return w->fd < 0 ? w->fd : 0;
}

/* The next part is a link whose target does not exist (/var/run -> /run in many images): puts the
 * target in its place and starts again. The kernel still resolves every step inside the root. */
static int walk_splice_link(struct walk *w, const char *part)
{
    char target[4097];
    ssize_t n = readlinkat(w->fd, part, target, sizeof(target) - 1);
    if (n < 0)
        return errno == EINVAL ? -ENOTDIR : -errno; /* EINVAL: no link, so a file */
    target[n] = '\0';
    if (++w->links > MAX_LINKS)
        return -ELOOP;
    scoped_str struct str path = STR_INIT;
    if (target[0] != '/') {
        str_add(&path, w->prefix.s);
        str_addc(&path, '/');
    }
    str_add(&path, target);
    for (size_t i = w->done + 1; w->parts[i]; i++) {
        str_addc(&path, '/');
        str_add(&path, w->parts[i]);
    }
    return walk_restart(w, path.s);
}

static int walk_step(struct walk *w)
{
    const char *part = w->parts[w->done];
    size_t before = w->prefix.len;
    if (before > 1)
        str_addc(&w->prefix, '/');
    str_add(&w->prefix, part);
    int fd = openat2_retry(w->root_fd, w->prefix.s, O_PATH | O_DIRECTORY, 0, IN_ROOT);
    if (fd == -ENOENT) {
        /* Made, and opened again without any link, from the directory that was verified. */
        if (mkdirat(w->fd, part, w->mode) < 0 && errno != EEXIST)
            return -errno;
        fd = openat2_retry(w->fd, part, O_PATH | O_DIRECTORY, 0, BENEATH);
        if (fd == -ELOOP || fd == -ENOTDIR) {
            w->prefix.len = before;
            w->prefix.s[before] = '\0';
            return walk_splice_link(w, part);
        }
    }
    if (fd < 0)
        return fd;
    fd_close(&w->fd);
    w->fd = fd;
    w->done++;
    return 0;
}

int path_mkdirs_in_root(int root_fd, const char *path, mode_t mode, struct err *e)
{
    if (!path[0])
        path = "/";
    int fd = openat2_retry(root_fd, path, O_PATH | O_DIRECTORY, 0, IN_ROOT);
    if (fd >= 0)
        return fd;
    if (fd != -ENOENT)
        return err_set(e, -fd, "open directory %s in the container's root", path);

    SCOPED(walk_release)
    struct walk w = {.root_fd = root_fd, .fd = -1, .prefix = STR_INIT, .mode = mode};
    int r = walk_restart(&w, path);
    while (r == 0 && w.parts && w.parts[w.done])
        r = walk_step(&w);
    if (r < 0)
        return err_set(e, -r, "make directory %s in the container's root", path);
    return take_fd(&w.fd);
}

int path_open_parent(int root_fd, const char *path, bool make, char **ret_name, struct err *e)
{
    size_t end = strlen(path);
    while (end > 0 && path[end - 1] == '/')
        end--;
    size_t start = end;
    while (start > 0 && path[start - 1] != '/')
        start--;
    scoped_free char *name = xstrndup(path + start, end - start);
    scoped_free char *parent = xasprintf("/%.*s", (int)start, path);
    if (!name[0] || streq(name, ".") || streq(name, ".."))
        return err_msg(e, EINVAL, "%s in the container's root: want a path that ends in a name",
                       path[0] ? path : "\"\"");
    int fd = make ? path_mkdirs_in_root(root_fd, parent, 0755, e)
                  : path_open_in_root(root_fd, parent, O_PATH | O_DIRECTORY, 0, e);
    if (fd >= 0)
        *ret_name = take_ptr(name);
    return fd;
}

char *path_join(const char *a, const char *b)
{
    struct str s = STR_INIT;
    str_add(&s, a);
    while (s.len > 0 && s.s[s.len - 1] == '/')
        s.s[--s.len] = '\0';
    while (*b == '/')
        b++;
    str_addc(&s, '/');
    str_add(&s, b);
    return str_detach(&s);
}

char *path_clean(const char *path)
{
    scoped_strv char **parts = strv_split(path, "/", false);
    struct str s = STR_INIT;
    for (size_t i = 0; parts && parts[i]; i++) {
        if (streq(parts[i], "."))
            continue;
        if (streq(parts[i], "..")) {
            char *slash = strrchr(s.s, '/');
            if (slash) {
                s.len = (size_t)(slash - s.s);
                *slash = '\0';
            }
            continue;
        }
        str_addc(&s, '/');
        str_add(&s, parts[i]);
    }
    if (s.len == 0)
        str_addc(&s, '/');
    return str_detach(&s);
}

const char *path_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}
