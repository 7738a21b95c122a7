/* place - the last part of a path by hand, since it may be a link, and may not be there at all. */
#include "copy/place.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/path.h"
#include "base/str.h"

#define MAX_LINKS 40 /* as the kernel, path_resolution(7) */

void copy_place_release(struct copy_place *p)
{
    fd_close(&p->dir);
    free(p->name);
    free(p->path);
    p->name = p->path = NULL;
}

/* Only here a path of the host is opened as such: one that the user has typed. */
static int open_at(int root, const char *path, int flags)
{
    if (root >= 0)
        return path_open_in_root(root, path, flags, 0, NULL);
    int fd = open(path, flags | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* Cuts path into the directory (owned) and the last part, noting what it ends in. */
static char *cut(char *path, struct copy_place *p)
{
    size_t len = strlen(path);
    for (;;) {
        if (len > 1 && path[len - 1] == '/') {
            p->slash = true;
            len--;
        } else if (len > 1 && path[len - 1] == '.' && path[len - 2] == '/') {
            p->slash = p->dot = true;
            len--;
        } else {
            break;
        }
    }
    path[len] = '\0';
    if (streq(path, "."))
        p->dot = true;
    char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    free(p->name);
    if (streq(name, "") || streq(name, ".") || streq(name, "..")) {
        p->name = xstrdup("");
        p->slash = true;
        return xstrdup(path);
    }
    p->name = xstrdup(name);
    if (!slash)
        return xstrdup(".");
    return slash == path ? xstrdup("/") : xstrndup(path, (size_t)(slash - path));
}

/* What the kernel asks where fs.protected_symlinks is set, proc_sys_fs(5): since we follow links by
 * hand, another user of the host could otherwise lead us from /tmp to what is ours, and a process
 * of a container to what is its root's. */
static bool may_follow(int dir, const struct stat *link)
{
    struct stat in;
    if (link->st_uid == geteuid())
        return true;
    if (fstat(dir, &in) < 0)
        return false;
    return (in.st_mode & (S_ISVTX | S_IWOTH)) != (S_ISVTX | S_IWOTH) || in.st_uid == link->st_uid;
}

/* The link p->name of p->dir: the path it leads to, owned, or NULL with errno. */
static char *follow_link(const struct copy_place *p, const char *dir)
{
    char target[PATH_MAX];
    struct stat st;
    scoped_fd int link = openat(p->dir, p->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (link < 0 || fstat(link, &st) < 0)
        return NULL;
    if (!may_follow(p->dir, &st)) {
        errno = EACCES;
        return NULL;
    }
    ssize_t n = readlinkat(link, "", target, sizeof(target) - 1);
    if (n < 0) {
        errno = errno == ENOENT ? EINVAL : errno; /* it is no link any more */
        return NULL;
    }
    target[n] = '\0';
    return xasprintf("%s%s%s%s", target[0] == '/' ? "" : dir, target[0] == '/' ? "" : "/", target,
                     p->slash ? "/" : "");
}

/* One look: 0 found or not there, 1 another path to look at in p->path. */
static int look(int root, bool follow, struct copy_place *p, struct err *e)
{
    scoped_free char *typed = xstrdup(p->path);
    scoped_free char *dir = cut(typed, p);
    fd_close(&p->dir);
    p->dir = open_at(root, dir, O_PATH | O_DIRECTORY);
    if (p->dir < 0)
        return err_set(e, -p->dir, "%s", *p->name ? dir : p->path);
    if (fstatat(p->dir, p->name, &p->st, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) < 0)
        return errno == ENOENT ? 0 : err_set(e, errno, "%s", p->path);
    if (!S_ISLNK(p->st.st_mode) || !follow) {
        p->exists = true;
        return 0;
    }
    char *next = follow_link(p, dir);
    if (!next && errno == EACCES)
        return err_hint(e, err_set(e, EACCES, "%s", p->path),
                        "no link of another user is followed in a directory that all may write to");
    if (!next && errno != EINVAL && errno != ENOENT)
        return err_set(e, errno, "%s", p->path);
    if (next) {
        free(p->path);
        p->path = next;
    }
    return 1;
}

int copy_place_find(int root, const char *path, bool follow, struct copy_place *ret, struct err *e)
{
    scoped_place struct copy_place p = COPY_PLACE_INIT;
    p.path = root >= 0 && path[0] != '/' ? xasprintf("/%s", path) : xstrdup(path);
    size_t len = strlen(path);
    /* "x/" is the directory that the link x leads to, also when links are not to be followed. */
    follow = follow || (len > 0 && path[len - 1] == '/') || str_ends(path, "/.");
    for (int links = 0;; links++) {
        if (links > MAX_LINKS)
            return err_set(e, ELOOP, "%s", path);
        int r = look(root, follow, &p, e);
        if (r < 0)
            return r;
        if (r == 0)
            break;
    }
    *ret = p;
    p = (struct copy_place)COPY_PLACE_INIT;
    return 0;
}

int copy_place_open_dir(const struct copy_place *p, int flags, struct err *e)
{
    int fd = openat(p->dir, *p->name ? p->name : ".", flags | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? err_set(e, errno, "%s", p->path) : fd;
}

char *copy_dir_name(int dir)
{
    char link[40], path[PATH_MAX];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", dir);
    ssize_t n = readlink(link, path, sizeof(path) - 1);
    path[n > 0 ? n : 0] = '\0';
    return xstrdup(path_name(path));
}
