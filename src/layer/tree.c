/* tree - the writer of an unpacked layer: parents, symbolic links on the way, times at the end. */
#include "layer/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/syscall.h>

#define MAX_LINKS 40 /* as the kernel's MAXSYMLINKS */

int tree_init(struct tree *t, int root_fd, int replaced_fd, struct err *e)
{
    struct statfs fs;

    memset(t, 0, sizeof(*t));
    t->root_fd = root_fd;
    t->replaced_fd = replaced_fd;
    t->parent.fd = -1;
    t->file_fd = -1;
    t->dirs = (struct str)STR_INIT;
    if (fstatfs(root_fd, &fs) < 0)
        return err_set(e, errno, "look at the free space");
    t->budget = (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize / 100 * 95;
    return 0;
}

void tree_release(struct tree *t)
{
    fd_close(&t->parent.fd);
    fd_close(&t->file_fd);
    str_release(&t->dirs);
}

void tree_note(struct layer_result *r, const char *fmt, ...)
{
    va_list ap;

    if (r->n_notes < LAYER_NOTES) {
        va_start(ap, fmt);
        vsnprintf(r->notes[r->n_notes], sizeof(r->notes[0]), fmt, ap);
        va_end(ap);
    }
    r->n_notes++;
}

bool tree_is_whiteout(const struct stat *st)
{
    return S_ISCHR(st->st_mode) && st->st_rdev == 0;
}

int tree_open_dir(int root_fd, const char *path)
{
    struct open_how how = {
        .flags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS,
    };
    long fd;
    int tries = 0;
    do /* a rename anywhere on the way disturbs the kernel's look */
        fd = syscall(SYS_openat2, root_fd, path[0] ? path : ".", &how, sizeof(how));
    while (fd < 0 && (errno == EAGAIN || errno == EINTR) && ++tries < 64);
    return fd < 0 ? -errno : (int)fd;
}

void tree_forget_parent(struct tree *t)
{
    fd_close(&t->parent.fd);
}

int tree_real_path(const struct tree *t, const char *name, char ret[static PATH_MAX], struct err *e)
{
    const char *dir = t->parent.real;
    int n = snprintf(ret, PATH_MAX, "%s%s%s", dir, dir[0] ? "/" : "", name);

    return n < PATH_MAX ? 0
                        : err_msg(e, ENAMETOOLONG, "path is longer than %d bytes", PATH_MAX - 1);
}

static void add_dir(struct tree *t, const char *path, struct tree_dir rec)
{
    rec.len = (uint16_t)strlen(path);
    str_addn(&t->dirs, &rec, sizeof(rec));
    str_addn(&t->dirs, path, rec.len);
}

void tree_later(struct tree *t, const char *path, mode_t mode, struct timespec mtime)
{
    add_dir(t, path, (struct tree_dir){.mtime = mtime, .mode = mode});
}

int tree_hidden(struct tree *t, const char *name, struct err *e)
{
    char real[PATH_MAX];
    int r = t->n_implied ? tree_real_path(t, name, real, e) : 0;

    if (r == 0 && t->n_implied)
        add_dir(t, real, (struct tree_dir){.kind = TREE_DIR_HIDDEN});
    return r;
}

/* The state of resolving the links in a path by hand. */
struct walk {
    char real[PATH_MAX];     /* resolved so far */
    char todo[2 * PATH_MAX]; /* the rest */
    size_t len;              /* of real */
    int fd;                  /* of real; -1 once a part is missing: the rest is only text */
    unsigned links;
};

static int walk_append(struct walk *w, const char *part, struct err *e)
{
    size_t n = strlen(part);

    if (w->len + 1 + n >= sizeof(w->real))
        return err_msg(e, ENAMETOOLONG, "path is longer than %d bytes", PATH_MAX - 1);
    if (w->len > 0)
        w->real[w->len++] = '/';
    memcpy(w->real + w->len, part, n + 1);
    w->len += n;
    return 0;
}

/* Goes to the parent, by name from the root: ".." of a descriptor is never used. */
static void walk_up(struct tree *t, struct walk *w)
{
    while (w->len > 0 && w->real[w->len - 1] != '/')
        w->len--;
    if (w->len > 0)
        w->len--;
    w->real[w->len] = '\0';
    fd_close(&w->fd);
    w->fd = tree_open_dir(t->root_fd, w->real);
    if (w->fd < 0)
        w->fd = -1;
}

static int walk_link(struct tree *t, struct walk *w, const char *part, struct err *e)
{
    char target[PATH_MAX];
    scoped_free char *rest = xstrdup(w->todo);
    ssize_t n = readlinkat(w->fd, part, target, sizeof(target) - 1);

    if (n < 0)
        return err_set(e, errno, "read the link in its path");
    target[n] = '\0';
    if (++w->links > MAX_LINKS)
        return err_set(e, ELOOP, "resolve the links in its path");
    if (target[0] == '/') {
        w->len = 0;
        w->real[0] = '\0';
        fd_close(&w->fd);
        w->fd = tree_open_dir(t->root_fd, "");
    }
    if (snprintf(w->todo, sizeof(w->todo), "%s/%s", target, rest) >= (int)sizeof(w->todo))
        return err_set(e, ENAMETOOLONG, "resolve the links in its path");
    return 0;
}

static int walk_part(struct tree *t, struct walk *w, const char *part, struct err *e)
{
    struct stat st;
    int next, r;

    if (streq(part, "") || streq(part, "."))
        return 0;
    if (streq(part, "..")) {
        walk_up(t, w);
        return 0;
    }
    if (w->fd >= 0 && fstatat(w->fd, part, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        if (S_ISLNK(st.st_mode))
            return walk_link(t, w, part, e);
    } else if (w->fd >= 0 && errno != ENOENT) {
        return err_set(e, errno, "resolve the links in its path");
    } else {
        fd_close(&w->fd);
    }
    r = walk_append(w, part, e);
    if (r < 0 || w->fd < 0)
        return r;
    next = openat(w->fd, part, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    fd_close(&w->fd);
    w->fd = next;
    return 0;
}

/* The path of dir with all links resolved inside the root, in ret. Parts need not exist. */
static int resolve_links(struct tree *t, const char *dir, char ret[static PATH_MAX], struct err *e)
{
    struct walk w = {.fd = tree_open_dir(t->root_fd, "")};
    int r = 0;

    snprintf(w.todo, sizeof(w.todo), "%s", dir);
    while (r == 0 && w.todo[0]) {
        char part[NAME_MAX + 1];
        size_t n = strcspn(w.todo, "/"), skip = n + strspn(w.todo + n, "/");
        if (n > NAME_MAX) {
            r = err_msg(e, ENAMETOOLONG, "a name is longer than %d bytes", NAME_MAX);
            break;
        }
        memcpy(part, w.todo, n);
        part[n] = '\0';
        memmove(w.todo, w.todo + skip, strlen(w.todo + skip) + 1);
        r = walk_part(t, &w, part, e);
    }
    fd_close(&w.fd);
    if (r == 0)
        memcpy(ret, w.real, w.len + 1);
    return r;
}

/* part is in the way of a directory: a whiteout gives way to an opaque directory (the layer hides
 * the lower one and makes a new one), anything else is an error. */
static int obstacle(int fd, const char *part, struct err *e)
{
    struct stat st;

    if (fstatat(fd, part, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return err_set(e, errno, "look at its directory");
    if (!tree_is_whiteout(&st))
        return err_msg(e, ENOTDIR, "\"%.200s\" in its path is not a directory", part);
    if (unlinkat(fd, part, 0) < 0 || mkdirat(fd, part, 0755) < 0)
        return err_set(e, errno, "make its directory");
    return tree_set_opaque(fd, part, e);
}

/* Makes the directory `part` of fd, after errno told why it could not be opened. */
static int make_part(struct tree *t, int fd, const char *part, const char *real, struct err *e)
{
    struct tree_dir rec = {.mtime = t->implied_mtime, .mode = t->dir_replaced ? S_IFDIR | 0755 : 0};

    if (errno != ENOENT) {
        int r = obstacle(fd, part, e);
        if (r < 0)
            return r;
    } else {
        if (mkdirat(fd, part, 0755) < 0)
            return err_set(e, errno, "make its directory");
        rec.kind = TREE_DIR_IMPLIED;
        t->n_implied++;
    }
    add_dir(t, real, rec);
    return 0;
}

/* Opens path (its links resolved) from the root part by part, making what is missing. */
static int make_dirs(struct tree *t, char *path, bool for_whiteout, int *ret_fd, struct err *e)
{
    scoped_fd int fd = tree_open_dir(t->root_fd, "");
    char *p = path;
    int r;

    while (*p) {
        char *end = p + strcspn(p, "/"), keep = *end;
        int next;
        *end = '\0';
        next = openat(fd, p, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (next < 0 && for_whiteout && errno != ENOENT)
            return 1; /* the way is a whiteout or a file: lower layers are hidden already */
        if (next < 0) {
            r = make_part(t, fd, p, path, e);
            if (r < 0)
                return r;
            next = openat(fd, p, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        }
        if (next < 0)
            return err_set(e, errno, "open its directory");
        fd_close(&fd);
        fd = next;
        *end = keep;
        p = keep ? end + 1 : end;
    }
    *ret_fd = take_fd(&fd);
    return 0;
}

/* Sets t->parent to the directory dir. Returns as tree_open_parent. */
static int enter(struct tree *t, const char *dir, bool for_whiteout, struct err *e)
{
    struct tree_parent *p = &t->parent;
    int r = 0, fd;

    tree_forget_parent(t);
    memcpy(p->named, dir, strlen(dir) + 1);
    memcpy(p->real, dir, strlen(dir) + 1);
    fd = tree_open_dir(t->root_fd, dir);
    if (fd == -ELOOP || fd == -ENOTDIR || fd == -ENOENT) {
        r = resolve_links(t, dir, p->real, e);
        if (r == 0 && for_whiteout && !streq(p->real, dir) && !t->whiteout_by_link) {
            t->whiteout_by_link = true;
            tree_note(t->result, "a whiteout goes through a symbolic link: %.100s", dir);
        }
        if (r == 0)
            r = make_dirs(t, p->real, for_whiteout, &fd, e);
        if (r != 0)
            return r;
    }
    if (fd < 0)
        return err_set(e, -fd, "open its directory");
    p->fd = fd;
    return 0;
}

int tree_open_parent(struct tree *t, const char *path, bool for_whiteout, const char **ret_name,
                     struct err *e)
{
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) : 0;
    char dir[PATH_MAX];

    *ret_name = slash ? slash + 1 : path;
    if (t->parent.fd >= 0 && strncmp(t->parent.named, path, len) == 0 && !t->parent.named[len])
        return 0;
    memcpy(dir, path, len);
    dir[len] = '\0';
    return enter(t, dir, for_whiteout, e);
}

/* The directory that path is in, without links on the way: they were resolved when the path was
 * noted, and what is one now has replaced a directory. false: it is not there any more. */
static bool find_parent(struct tree *t, const char *path, const char **ret_name)
{
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) : 0;
    struct tree_parent *p = &t->parent;

    *ret_name = slash ? slash + 1 : path;
    if (p->fd >= 0 && strncmp(p->real, path, len) == 0 && !p->real[len])
        return true;
    tree_forget_parent(t);
    memcpy(p->real, path, len);
    p->real[len] = '\0';
    memcpy(p->named, p->real, len + 1);
    p->fd = tree_open_dir(t->root_fd, p->real);
    return p->fd >= 0;
}

/* One directory at the end. What is no directory any more was replaced by a later entry. */
static int finish_dir(struct tree *t, const struct tree_dir *rec, const char *path, struct err *e)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, rec->mtime};
    const char *name;
    struct stat st;
    int r;

    if (!path[0]) {
        r = rec->mode ? fchmod(t->root_fd, rec->mode) : 0;
        return r < 0 || futimens(t->root_fd, times) < 0 ? err_set(e, errno, "set root times") : 0;
    }
    if (!find_parent(t, path, &name) || fstatat(t->parent.fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
        !S_ISDIR(st.st_mode))
        return 0;
    if (rec->mode && fchmodat(t->parent.fd, name, rec->mode, 0) < 0)
        return err_set(e, errno, "set mode of directory \"%.300s\"", path);
    if (utimensat(t->parent.fd, name, times, AT_SYMLINK_NOFOLLOW) < 0)
        return err_set(e, errno, "set times of directory \"%.300s\"", path);
    return 0;
}

int tree_finish(struct tree *t, struct err *e)
{
    size_t at = 0;
    int r = 0;

    tree_forget_parent(t); /* the last entry may have replaced it */
    while (r == 0 && at < t->dirs.len) {
        struct tree_dir rec;
        char path[PATH_MAX];
        memcpy(&rec, t->dirs.s + at, sizeof(rec));
        at += sizeof(rec);
        memcpy(path, t->dirs.s + at, rec.len);
        path[rec.len] = '\0';
        at += rec.len;
        if (rec.kind != TREE_DIR_HIDDEN)
            r = finish_dir(t, &rec, path, e);
    }
    return r;
}
