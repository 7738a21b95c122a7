/* diff-lower - the lower layers of a directory, looked up as overlay stacks them. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/fs.h"
#include "base/path.h"
#include "base/str.h"
#include "base/strv.h"
#include "storage/diff-priv.h"

#define PART_MAX 2048 /* of a path at a time; PATH_MAX is the kernel's limit */

void diff_dir_release(struct diff_dir *d)
{
    for (size_t i = 0; i < d->n; i++)
        free(d->v[i].name);
    free(d->v);
    *d = (struct diff_dir){0};
}

void diff_dir_add(struct diff_dir *d, const char *name)
{
    if (d->n == d->alloc) {
        d->alloc = d->alloc ? d->alloc * 2 : 16;
        d->v = xrealloc(d->v, d->alloc * sizeof(*d->v));
    }
    d->v[d->n++] = (struct diff_entry){.name = xstrdup(name)};
}

static int by_name(const void *a, const void *b)
{
    const struct diff_entry *x = a, *y = b;
    return strcmp(x->name, y->name);
}

void diff_dir_sort(struct diff_dir *d)
{
    if (d->n)
        qsort(d->v, d->n, sizeof(*d->v), by_name);
}

int diff_stat(int dir, const char *name, struct diff_inode *ret)
{
    struct stat st;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    *ret = (struct diff_inode){
        .mode = st.st_mode,
        .uid = st.st_uid,
        .gid = st.st_gid,
        .whiteout = S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0),
        .rdev = st.st_rdev,
        .size = (uint64_t)st.st_size,
        .mtime = st.st_mtim,
    };
    return 0;
}

bool diff_is_opaque(int dir)
{
    char value[4];
    return (fgetxattr(dir, "user.overlay.opaque", value, sizeof(value)) == 1 && value[0] == 'y') ||
           /* fuse-overlayfs' own mark */
           (fgetxattr(dir, "user.fuseoverlayfs.opaque", value, sizeof(value)) == 1 &&
            value[0] == 'y');
}

int diff_open_dir(int root, const char *path)
{
    scoped_fd int fd = fcntl(root, F_DUPFD_CLOEXEC, 3);
    while (fd >= 0 && *path) {
        char part[PART_MAX + 1];
        size_t n = strlen(path);
        if (n > PART_MAX) {
            n = PART_MAX;
            while (n > 0 && path[n] != '/')
                n--;
        }
        memcpy(part, path, n);
        part[n] = '\0';
        int next = path_open_beneath(fd, part, O_PATH | O_DIRECTORY, 0, NULL);
        fd_close(&fd);
        if (next < 0)
            return next;
        fd = next;
        path += n + (path[n] == '/');
    }
    if (fd < 0)
        return -errno;
    int dir = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return dir < 0 ? -errno : dir;
}

int diff_read_names(int dir, struct diff_dir *d)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scoped_dir DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    if (!stream) {
        fd_close(&fd);
        return -errno;
    }
    errno = 0;
    for (struct dirent *x; (x = readdir(stream)); errno = 0)
        if (!streq(x->d_name, ".") && !streq(x->d_name, ".."))
            diff_dir_add(d, x->d_name);
    return -errno;
}

/* Asks one layer for what no layer above it has told. */
static int ask_layer(int layer, struct diff_dir *d, struct err *e)
{
    for (size_t i = 0; i < d->n; i++) {
        struct diff_entry *x = &d->v[i];
        struct diff_inode lower = {0};
        int r = x->settled ? -ENOENT : diff_stat(layer, x->name, &lower);
        if (r == -ENOENT)
            continue;
        if (r < 0)
            return err_set(e, -r, "look at %s in a layer", x->name);
        x->settled = true;
        if (!lower.whiteout)
            x->lower = lower;
    }
    return 0;
}

/* Names of the layer that are not in d yet. d is sorted before and after. */
static int add_names(int layer, struct diff_dir *d)
{
    struct diff_dir more = {0};
    size_t n = d->n;
    int r = diff_read_names(layer, &more);
    for (size_t i = 0; i < more.n; i++) {
        const struct diff_dir known = {.v = d->v, .n = n};
        if (!n || !bsearch(&more.v[i], known.v, known.n, sizeof(*known.v), by_name))
            diff_dir_add(d, more.v[i].name);
    }
    diff_dir_release(&more);
    diff_dir_sort(d);
    return r;
}

int diff_lower_look(const struct diff_lower *l, const char *path, struct diff_dir *d, bool all,
                    struct err *e)
{
    for (size_t i = 0; i < l->n; i++) {
        scoped_fd int dir = diff_open_dir(l->fds[i], path);
        if (dir == -ENOENT || dir == -ENOTDIR || dir == -ELOOP)
            continue;
        int r = dir < 0 ? dir : all ? add_names(dir, d) : 0;
        if (r < 0)
            return err_set(e, -r, "read /%s of a layer", path);
        r = ask_layer(dir, d, e);
        if (r < 0)
            return r;
    }
    return 0;
}

size_t diff_lower_below(const struct diff_lower *l, const char *path)
{
    for (size_t i = 0; i < l->n; i++) {
        scoped_fd int dir = diff_open_dir(l->fds[i], path);
        if (dir == -ENOENT)
            continue;
        if (dir < 0) /* a file or a whiteout hides the layers below it */
            return i;
        if (diff_is_opaque(dir))
            return i + 1;
    }
    return l->n;
}

/* The attributes that make a difference, as "NAME\0VALUE" texts in the order of names. */
static void read_xattrs(int fd, struct str *out)
{
    static const char overlay[] = "user.overlay.";
    char list[4096], value[4096];
    scoped_strv char **names = NULL;
    ssize_t n = flistxattr(fd, list, sizeof(list));
    for (ssize_t at = 0; at < n; at += (ssize_t)strlen(list + at) + 1)
        if (strncmp(list + at, overlay, strlen(overlay)) != 0 &&
            (str_after(list + at, "user.") || str_after(list + at, "system.posix_acl_") ||
             streq(list + at, "security.capability")))
            strv_add(&names, list + at);
    if (names)
        strv_sort(names);
    for (size_t i = 0; names && names[i]; i++) {
        ssize_t len = fgetxattr(fd, names[i], value, sizeof(value));
        str_addn(out, names[i], strlen(names[i]) + 1);
        if (len > 0)
            str_addn(out, value, (size_t)len);
    }
}

static int open_plain(int dir, const char *name)
{
    return openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

bool diff_xattrs_differ(const struct diff_lower *l, const char *path, int tree_dir,
                        const char *name)
{
    scoped_str struct str mine = STR_INIT, theirs = STR_INIT;
    scoped_fd int fd = open_plain(tree_dir, name), other = -1;
    if (fd < 0)
        return false;
    for (size_t i = 0; other < 0 && i < l->n; i++) {
        scoped_fd int dir = diff_open_dir(l->fds[i], path);
        other = dir < 0 ? -1 : open_plain(dir, name);
    }
    if (other < 0)
        return false;
    read_xattrs(fd, &mine);
    read_xattrs(other, &theirs);
    return mine.len != theirs.len || memcmp(mine.s, theirs.s, mine.len) != 0;
}
