/* tree - the walk: a list of directories to do, each opened by its path below the two roots. */
#include "mounts/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/fs.h"
#include "base/path.h"
#include "base/str.h"
#include "base/strv.h"
#include "mounts/tree-priv.h"

/* A file with several names: where its first copy went. Open addressing, keyed by inode. */
struct link_slot {
    ino_t ino; /* 0: free */
    dev_t dev;
    char *path;
};

struct walk {
    struct tree_copy *t;
    char **dirs; /* paths below the roots in the order found; "." first; owned */
    size_t n_dirs, alloc_dirs;
    struct link_slot *links;
    size_t n_links, alloc_links; /* a power of two */
};

/* One directory of the walk. */
struct here {
    int src, dst;
    const char *path;
};

static void walk_release(struct walk *w)
{
    for (size_t i = 0; i < w->n_dirs; i++)
        free(w->dirs[i]);
    free(w->dirs);
    for (size_t i = 0; i < w->alloc_links; i++)
        free(w->links[i].path);
    free(w->links);
}

static char *below(const char *dir, const char *name)
{
    return streq(dir, ".") ? xstrdup(name) : xasprintf("%s/%s", dir, name);
}

static void push_dir(struct walk *w, char *path)
{
    if (w->n_dirs == w->alloc_dirs) {
        w->alloc_dirs = w->alloc_dirs ? w->alloc_dirs * 2 : 64;
        w->dirs = xrealloc(w->dirs, w->alloc_dirs * sizeof(*w->dirs));
    }
    w->dirs[w->n_dirs++] = path;
}

static struct link_slot *link_slot(struct walk *w, const struct stat *st)
{
    size_t i = (size_t)(st->st_ino * 0x9e3779b97f4a7c15u >> 20) & (w->alloc_links - 1);
    while (w->links[i].ino && (w->links[i].ino != st->st_ino || w->links[i].dev != st->st_dev))
        i = (i + 1) & (w->alloc_links - 1);
    return &w->links[i];
}

/* The slot of this inode; a free one is to be filled by link_done. */
static struct link_slot *link_find(struct walk *w, const struct stat *st)
{
    if (w->n_links * 2 >= w->alloc_links) {
        struct link_slot *old = w->links;
        size_t n = w->alloc_links;
        w->alloc_links = n ? n * 2 : 256;
        w->links = xcalloc(w->alloc_links, sizeof(*w->links));
        for (size_t i = 0; i < n; i++) {
            struct stat key = {.st_ino = old[i].ino, .st_dev = old[i].dev};
            if (old[i].ino)
                *link_slot(w, &key) = old[i];
        }
        free(old);
    }
    return link_slot(w, st);
}

static bool is_whiteout(const struct stat *st)
{
    return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

static int open_flags(int dir, const char *name, int flags, struct err *e)
{
    int fd = openat(dir, name, flags | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY);
    return fd < 0 ? err_set(e, errno, "open") : fd;
}

static int copy_file(struct walk *w, const struct here *h, const char *name, const struct stat *st,
                     struct err *e)
{
    struct tree_copy *t = w->t;
    struct link_slot *slot = NULL;
    if (st->st_nlink > 1) {
        slot = link_find(w, st);
        if (slot->ino) {
            /* Below dst's root without links: the tree is ours, and so is the first name. */
            scoped_free char *link_name = NULL;
            scoped_free char *first = path_join("/", slot->path);
            scoped_fd int dir = path_open_parent(t->dst, first, false, &link_name, e);
            if (dir < 0)
                return dir;
            if (linkat(dir, link_name, h->dst, name, 0) < 0)
                return err_set(e, errno, "link to /%s", slot->path);
            return 0;
        }
    }
    /* O_NONBLOCK: should a FIFO have taken the name since. */
    scoped_fd int src = open_flags(h->src, name, O_RDONLY | O_NONBLOCK, e);
    if (src < 0)
        return src;
    struct stat now;
    if (fstat(src, &now) < 0 || !S_ISREG(now.st_mode) || now.st_ino != st->st_ino)
        return err_msg(e, EAGAIN, "it changed while it was copied");
    scoped_fd int dst = openat(h->dst, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (dst < 0)
        return err_set(e, errno, "create");
    bool linked = t->objects >= 0 && tree_is_object(&now);
    int r = linked ? tree_link_object(t, h->src, name, dst, &now, e)
                   : tree_copy_data(src, dst, (uint64_t)now.st_size, e);
    if (r == 0)
        r = tree_copy_attrs(t, src, dst, &now, e);
    if (r < 0)
        return r;
    t->bytes += linked ? 0 : (uint64_t)now.st_size;
    if (slot) {
        *slot = (struct link_slot){.ino = st->st_ino, .dev = st->st_dev};
        slot->path = below(h->path, name);
        w->n_links++;
    }
    return 0;
}

static int copy_link(struct walk *w, const struct here *h, const char *name, const struct stat *st,
                     struct err *e)
{
    char text[4097];
    ssize_t n = readlinkat(h->src, name, text, sizeof(text) - 1);
    if (n < 0)
        return err_set(e, errno, "read the link");
    text[n] = '\0';
    if (symlinkat(text, h->dst, name) < 0)
        return err_set(e, errno, "make the link");
    return tree_copy_attrs_at(w->t, h->dst, name, st, e);
}

static int copy_special(struct walk *w, const struct here *h, const char *name,
                        const struct stat *st, struct err *e)
{
    if (mknodat(h->dst, name, (st->st_mode & S_IFMT) | 0600, st->st_rdev) < 0) {
        /* A user namespace may not make devices; a container gets its own by other ways. */
        if (errno == EPERM)
            return 0;
        return err_set(e, errno, "make the node");
    }
    return tree_copy_attrs_at(w->t, h->dst, name, st, e);
}

static int copy_dir(struct walk *w, const struct here *h, const char *name, struct err *e)
{
    if (mkdirat(h->dst, name, 0700) < 0 && !(w->t->whiteouts && errno == EEXIST))
        return err_set(e, errno, "make the directory");
    push_dir(w, below(h->path, name));
    return 0;
}

/* Makes room in a tree of lower layers. 1: nothing is to be copied. */
static int make_room(const struct here *h, const char *name, const struct stat *st, struct err *e)
{
    struct stat old;
    if (fstatat(h->dst, name, &old, AT_SYMLINK_NOFOLLOW) < 0)
        return is_whiteout(st);
    bool merge = S_ISDIR(st->st_mode) && S_ISDIR(old.st_mode);
    if (merge) {
        scoped_fd int dir = open_flags(h->src, name, O_RDONLY | O_DIRECTORY, e);
        if (dir < 0)
            return dir;
        merge = !tree_is_opaque(dir);
    }
    if (!merge) {
        int r = fs_remove_tree(h->dst, name, e);
        if (r < 0)
            return r;
    }
    return is_whiteout(st);
}

static int copy_entry(struct walk *w, const struct here *h, const char *name, struct err *e)
{
    struct stat st;
    if (fstatat(h->src, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return err_set(e, errno, "stat");
    int r = w->t->whiteouts ? make_room(h, name, &st, e) : 0;
    if (r != 0)
        return r < 0 ? r : 0;
    w->t->files++;
    switch (st.st_mode & S_IFMT) {
    case S_IFREG:
        return copy_file(w, h, name, &st, e);
    case S_IFDIR:
        return copy_dir(w, h, name, e);
    case S_IFLNK:
        return copy_link(w, h, name, &st, e);
    default:
        return copy_special(w, h, name, &st, e);
    }
}

static int walk_dir(struct walk *w, const char *path, struct err *e)
{
    scoped_fd int src = path_open_beneath(w->t->src, path, O_RDONLY | O_DIRECTORY, 0, e);
    if (src < 0)
        return src;
    scoped_fd int dst = path_open_beneath(w->t->dst, path, O_RDONLY | O_DIRECTORY, 0, e);
    if (dst < 0)
        return dst;
    scoped_fd int again = openat(src, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scoped_dir DIR *d = again < 0 ? NULL : fdopendir(again);
    if (!d)
        return err_set(e, errno, "read /%s", path);
    again = -1; /* closedir closes it */
    struct here h = {.src = src, .dst = dst, .path = path};
    for (;;) {
        errno = 0;
        struct dirent *ent = readdir(d);
        if (!ent)
            return errno ? err_set(e, errno, "read /%s", path) : 0;
        if (streq(ent->d_name, ".") || streq(ent->d_name, ".."))
            continue;
        int r = copy_entry(w, &h, ent->d_name, e);
        if (r < 0)
            return err_add(e, r, "copy /%s%s%s", streq(path, ".") ? "" : path,
                           streq(path, ".") ? "" : "/", ent->d_name);
        if (w->t->tick)
            w->t->tick(w->t->tick_data, w->t);
    }
}

/* Directories last, deepest first: filling them changes their times, and their mode may forbid it.
 */
static int finish_dirs(struct walk *w, struct err *e)
{
    for (size_t i = w->n_dirs; i-- > 0;) {
        const char *path = w->dirs[i];
        scoped_fd int src = path_open_beneath(w->t->src, path, O_RDONLY | O_DIRECTORY, 0, e);
        if (src < 0)
            return src;
        scoped_fd int dst = path_open_beneath(w->t->dst, path, O_RDONLY | O_DIRECTORY, 0, e);
        if (dst < 0)
            return dst;
        struct stat st;
        int r = fstat(src, &st) < 0 ? err_set(e, errno, "stat")
                                    : tree_copy_attrs(w->t, src, dst, &st, e);
        if (r < 0)
            return err_add(e, r, "copy /%s", streq(path, ".") ? "" : path);
    }
    return 0;
}

int tree_copy(struct tree_copy *t, struct err *e)
{
    SCOPED(walk_release) struct walk w = {.t = t};
    push_dir(&w, xstrdup("."));
    int r = 0;
    for (size_t i = 0; r == 0 && i < w.n_dirs; i++) {
        scoped_free char *path = xstrdup(w.dirs[i]); /* the list may move */
        r = walk_dir(&w, path, e);
    }
    return r < 0 ? r : finish_dirs(&w, e);
}
