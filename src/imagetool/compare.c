#include "imagetool/compare.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "base/strv.h"

#define XATTRS_MAX (1u << 16)

struct pair {
    int is, should;
};

struct walk {
    struct pair root;
    char path[PATH_MAX]; /* of the entry below the root */
};

static int differ(const struct walk *w, struct err *e, const char *what, uint64_t is,
                  uint64_t should)
{
    return err_msg(e, EUCLEAN, "\"%.300s\": %s %llu instead of %llu", w->path, what,
                   (unsigned long long)is, (unsigned long long)should);
}

static int compare_stat(const struct walk *w, const struct stat *a, const struct stat *b,
                        struct err *e)
{
    if (a->st_mode != b->st_mode)
        return err_msg(e, EUCLEAN, "\"%.300s\": %s %o instead of %o", w->path,
                       (a->st_mode & S_IFMT) == (b->st_mode & S_IFMT) ? "mode" : "type and mode",
                       a->st_mode & (S_IFMT | 07777), b->st_mode & (S_IFMT | 07777));
    if (a->st_uid != b->st_uid)
        return differ(w, e, "owner", a->st_uid, b->st_uid);
    if (a->st_gid != b->st_gid)
        return differ(w, e, "group", a->st_gid, b->st_gid);
    if (!S_ISDIR(a->st_mode) && a->st_size != b->st_size)
        return differ(w, e, "size", (uint64_t)a->st_size, (uint64_t)b->st_size);
    if (a->st_rdev != b->st_rdev)
        return differ(w, e, "device", a->st_rdev, b->st_rdev);
    /* Directories that the tar does not have, and whiteouts, are of the time of unpacking. */
    if ((S_ISREG(a->st_mode) || S_ISLNK(a->st_mode)) &&
        (a->st_mtim.tv_sec != b->st_mtim.tv_sec || a->st_mtim.tv_nsec != b->st_mtim.tv_nsec))
        return differ(w, e, "time", (uint64_t)a->st_mtim.tv_sec, (uint64_t)b->st_mtim.tv_sec);
    return 0;
}

/* "name=value" with control characters as they are, sorted: only to be compared. */
static char *xattrs_of(int dir_fd, const char *name)
{
    char path[64], list[8192];
    scoped_fd int fd = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    scoped_strv char **v = NULL;
    if (fd < 0)
        return NULL;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    ssize_t n = listxattr(path, list, sizeof(list));
    scoped_free char *value = xmalloc(XATTRS_MAX);
    for (const char *p = list; n > 0 && p < list + n; p += strlen(p) + 1) {
        scoped_str struct str text = STR_INIT;
        ssize_t len = getxattr(path, p, value, XATTRS_MAX);
        str_addf(&text, "%s=", p);
        for (ssize_t i = 0; i < len; i++)
            str_addf(&text, "%02x", (unsigned char)value[i]);
        strv_add(&v, text.s);
    }
    if (v)
        strv_sort(v);
    return strv_join(v, "\n");
}

static int compare_xattrs(const struct walk *w, const struct pair *dir, const char *name,
                          struct err *e)
{
    scoped_free char *is = xattrs_of(dir->is, name), *should = xattrs_of(dir->should, name);
    if (is && should && strcmp(is, should) == 0)
        return 0;
    return err_msg(e, EUCLEAN, "\"%.300s\": its extended attributes changed", w->path);
}

static int compare_link(const struct walk *w, const struct pair *dir, const char *name,
                        struct err *e)
{
    char is[PATH_MAX], should[PATH_MAX];
    ssize_t n = readlinkat(dir->is, name, is, sizeof(is));
    ssize_t m = readlinkat(dir->should, name, should, sizeof(should));
    if (n > 0 && n == m && memcmp(is, should, (size_t)n) == 0)
        return 0;
    return err_msg(e, EUCLEAN, "\"%.300s\": the link leads elsewhere", w->path);
}

static int compare_dirs(struct walk *w, const struct pair *dir, struct err *e);

static int compare_entry(struct walk *w, const struct pair *dir, const char *name, struct err *e)
{
    struct stat is, should;
    if (fstatat(dir->is, name, &is, AT_SYMLINK_NOFOLLOW) < 0)
        return err_msg(e, EUCLEAN, "\"%.300s\" is missing", w->path);
    if (fstatat(dir->should, name, &should, AT_SYMLINK_NOFOLLOW) < 0)
        return err_set(e, errno, "look at \"%.300s\"", w->path);
    int r = compare_stat(w, &is, &should, e);
    if (r == 0 && S_ISLNK(is.st_mode))
        r = compare_link(w, dir, name, e);
    if (r == 0)
        r = compare_xattrs(w, dir, name, e);
    if (r < 0 || !S_ISDIR(is.st_mode))
        return r;
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    scoped_fd int a = openat(dir->is, name, flags), b = openat(dir->should, name, flags);
    if (a < 0 || b < 0)
        return err_set(e, errno, "open \"%.300s\"", w->path);
    const struct pair below = {a, b};
    return compare_dirs(w, &below, e);
}

/* The names in a directory, sorted. */
static int names_of(int fd, char ***ret, struct err *e)
{
    scoped_fd int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scoped_dir DIR *d = own < 0 ? NULL : fdopendir(own);
    int ended = 0;
    if (!d)
        return err_set(e, errno, "read a directory");
    take_fd(&own);
    for (struct dirent *de; (de = fs_next_entry(d, &ended));)
        if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0)
            strv_add(ret, de->d_name);
    if (*ret)
        strv_sort(*ret);
    return ended < 0 ? err_set(e, -ended, "read a directory") : 0;
}

/* Appends a name to the path; the length before, to cut it off again. */
static size_t descend(struct walk *w, const char *name)
{
    size_t had = strlen(w->path);
    snprintf(w->path + had, sizeof(w->path) - had, "%s%s", had ? "/" : "", name);
    return had;
}

static int compare_dirs(struct walk *w, const struct pair *dir, struct err *e)
{
    scoped_strv char **is = NULL, **should = NULL;
    int r = names_of(dir->is, &is, e);
    r = r < 0 ? r : names_of(dir->should, &should, e);
    char **a = is, **b = should;
    while (r == 0 && ((a && *a) || (b && *b))) {
        int order = !a || !*a ? 1 : !b || !*b ? -1 : strcmp(*a, *b);
        size_t had = descend(w, order < 0 ? *a : *b);
        if (order < 0)
            r = err_msg(e, EUCLEAN, "\"%.300s\" is not of the layer", w->path);
        else
            r = compare_entry(w, dir, *b, e);
        w->path[had] = '\0';
        a += order <= 0;
        b += order >= 0;
    }
    return r;
}

static int run(void *data, struct err *e)
{
    struct walk *w = data;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) { /* two for each level */
        limit.rlim_cur = limit.rlim_max;
        (void)!setrlimit(RLIMIT_NOFILE, &limit);
    }
    struct stat is, should;
    if (fstat(w->root.is, &is) < 0 || fstat(w->root.should, &should) < 0)
        return err_set(e, errno, "look at the tree");
    snprintf(w->path, sizeof(w->path), ".");
    int r = compare_stat(w, &is, &should, e);
    w->path[0] = '\0';
    return r < 0 ? r : compare_dirs(w, &w->root, e);
}

int tree_compare(const struct userns_map *map, int is_fd, int should_fd, struct err *e)
{
    struct walk w = {.root = {is_fd, should_fd}};
    return userns_run(map, 0, run, &w, e);
}
