/* diff - the walk over a tree, beside the view of its lower layers. */
#include "storage/diff.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/str.h"
#include "base/strv.h"
#include "storage/diff-priv.h"

#define OPEN_MAX_DIRS 64 /* of the directories that lead to where we are */

/* Is a directory to be told, should nothing below it decide that? */
enum verdict {
    KEPT,      /* no; as changed when something below it is told */
    TOUCHED,   /* only its time has changed: yes, unless targets of mounts explain that */
    FOR_MOUNT, /* new and a target or on the way to one: as added, unless that is all it is for */
    TOLD,
};

struct frame {
    struct diff_dir dir;
    struct diff_lower lower;
    size_t next, path_len;
    int fd;      /* -1: opened again when it is needed */
    bool whole;  /* what is not in it is gone, and what is in it may be unchanged */
    bool target; /* found in the list of targets itself */
    bool empty_targets;
    enum verdict verdict;
};

struct walk {
    const struct storage_diff *d;
    int tree;
    bool copy;   /* no overlay: a flat copy of all layers */
    bool served; /* by fuse-overlayfs */
    const struct storage_shift *shift;
    struct frame *v;
    size_t n, alloc;
    struct str path; /* "" is the root, else "/a/b" */
};

static const char *relative(const struct walk *w)
{
    return w->path.s + (w->path.s[0] == '/');
}

static void cut_path(struct walk *w, size_t len)
{
    if (w->path.len > len) {
        w->path.len = len;
        w->path.s[len] = '\0';
    }
}

/* Tells about the path, after the directories that lead there. */
static int tell(struct walk *w, enum storage_diff_kind kind, struct err *e)
{
    for (size_t i = 1; i < w->n; i++) {
        struct frame *f = &w->v[i];
        if (f->verdict == TOLD || f->path_len >= w->path.len)
            continue;
        char saved = w->path.s[f->path_len];
        w->path.s[f->path_len] = '\0';
        int r = w->d->tell(w->d->data, f->verdict == FOR_MOUNT ? STORAGE_ADDED : STORAGE_CHANGED,
                           w->path.s, e);
        w->path.s[f->path_len] = saved;
        f->verdict = TOLD;
        if (r != 0)
            return r;
    }
    return w->d->tell(w->d->data, kind, w->path.s, e);
}

/* 1: the path is where something is mounted, 2: it leads there, 0: neither. */
static int target_kind(const struct walk *w)
{
    int kind = 0;
    for (char *const *t = w->d->targets; t && *t && kind != 1; t++) {
        const char *rest = str_after(*t, w->path.s);
        if (rest && (*rest == '\0' || *rest == '/'))
            kind = *rest ? 2 : 1;
    }
    return kind;
}

static bool owner_differs(const struct walk *w, const struct diff_entry *x)
{
    uint32_t uid = x->lower.uid, gid = x->lower.gid;
    if (w->shift && shift_ids((void *)(uintptr_t)w->shift, &uid, &gid, NULL) < 0)
        return true;
    return x->tree.uid != uid || x->tree.gid != gid;
}

static bool time_differs(const struct diff_entry *x)
{
    return x->tree.mtime.tv_sec != x->lower.mtime.tv_sec ||
           x->tree.mtime.tv_nsec != x->lower.mtime.tv_nsec;
}

/* Of two of the same type, but for the time of a directory. */
static bool differs(struct walk *w, const struct frame *f, const struct diff_entry *x)
{
    bool dir = S_ISDIR(x->tree.mode);
    if (x->tree.mode != x->lower.mode || x->tree.rdev != x->lower.rdev || owner_differs(w, x))
        return true;
    if (!dir && (x->tree.size != x->lower.size || time_differs(x)))
        return true;
    if (!f->whole || (!dir && !S_ISREG(x->tree.mode)))
        return false;
    char saved = w->path.s[f->path_len];
    w->path.s[f->path_len] = '\0';
    bool differ = diff_xattrs_differ(&f->lower, relative(w), f->fd, x->name);
    w->path.s[f->path_len] = saved;
    return differ;
}

static int open_frame(struct walk *w, struct frame *f)
{
    if (f->fd >= 0)
        return f->fd;
    char saved = w->path.s[f->path_len];
    w->path.s[f->path_len] = '\0';
    f->fd = diff_open_dir(w->tree, relative(w));
    w->path.s[f->path_len] = saved;
    return f->fd;
}

/* Reads the directory, and what the lower layers have of it. */
static int read_frame(struct walk *w, struct frame *f, struct err *e)
{
    int r = diff_read_names(f->fd, &f->dir);
    size_t kept = 0;
    for (size_t i = 0; r == 0 && i < f->dir.n; i++) {
        struct diff_entry x = f->dir.v[i];
        if (diff_stat(f->fd, x.name, &x.tree) < 0)
            free(x.name); /* it has just gone */
        else
            f->dir.v[kept++] = x;
    }
    if (r < 0)
        return err_set(e, -r, "read /%s", relative(w));
    f->dir.n = kept;
    diff_dir_sort(&f->dir);
    return diff_lower_look(&f->lower, relative(w), &f->dir, f->whole, e);
}

static int push(struct walk *w, struct frame f, struct err *e)
{
    if (w->n == w->alloc) {
        w->alloc = w->alloc ? w->alloc * 2 : 16;
        w->v = xrealloc(w->v, w->alloc * sizeof(*w->v));
    }
    if (w->n >= OPEN_MAX_DIRS)
        fd_close(&w->v[w->n - OPEN_MAX_DIRS].fd);
    w->v[w->n++] = f;
    return read_frame(w, &w->v[w->n - 1], e);
}

static int enter(struct walk *w, const struct diff_entry *x, enum verdict verdict, bool target,
                 struct err *e)
{
    struct frame *parent = &w->v[w->n - 1];
    int dir = open_frame(w, parent);
    struct frame f = {
        .path_len = w->path.len, .verdict = verdict, .target = target, .whole = w->copy};
    f.fd = dir < 0 ? -1 : openat(dir, x->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (f.fd < 0) { /* it may have gone, or become something else */
        int error = dir < 0 ? -dir : errno;
        return error == ENOENT || error == ENOTDIR || error == ELOOP
                   ? 0
                   : err_set(e, error, "open %s", w->path.s);
    }
    if (S_ISDIR(x->lower.mode)) {
        f.lower = parent->lower;
        f.lower.n = diff_lower_below(&parent->lower, relative(w));
        f.whole = w->copy || diff_is_opaque(f.fd);
    }
    return push(w, f, e);
}

static int directory(struct walk *w, const struct diff_entry *x, struct err *e)
{
    int target = x->lower.mode ? 0 : target_kind(w);
    enum verdict verdict = KEPT;
    int r = 0;
    if (target)
        verdict = FOR_MOUNT;
    else if (!S_ISDIR(x->lower.mode) || differs(w, &w->v[w->n - 1], x))
        verdict = TOLD;
    else if (time_differs(x))
        verdict = TOUCHED;
    if (verdict == TOLD)
        r = tell(w, x->lower.mode ? STORAGE_CHANGED : STORAGE_ADDED, e);
    return r != 0 ? r : enter(w, x, verdict, target == 1, e);
}

static int file(struct walk *w, struct frame *f, const struct diff_entry *x, struct err *e)
{
    if (!x->lower.mode && x->tree.size == 0 && S_ISREG(x->tree.mode) && target_kind(w) == 1) {
        f->empty_targets = true;
        return w->d->tell(w->d->data, STORAGE_TARGET, w->path.s, e);
    }
    if (!x->lower.mode)
        return tell(w, STORAGE_ADDED, e);
    /* What is in an upper has been changed, or somebody tried to. */
    return !f->whole || differs(w, f, x) ? tell(w, STORAGE_CHANGED, e) : 0;
}

/* Besides the attribute, fuse-overlayfs marks opaque directories with two files. */
static bool is_mark(const struct walk *w, const char *name)
{
    return w->served && (streq(name, ".wh..wh..opq") || streq(name, ".wh..opq"));
}

static int entry(struct walk *w, struct frame *f, const struct diff_entry *x, struct err *e)
{
    if (is_mark(w, x->name))
        return 0;
    cut_path(w, f->path_len);
    str_addc(&w->path, '/');
    str_add(&w->path, x->name);
    if (!x->tree.mode || (x->tree.whiteout && !w->copy))
        return x->lower.mode ? tell(w, STORAGE_DELETED, e) : 0;
    if (S_ISDIR(x->tree.mode))
        return directory(w, x, e);
    if (open_frame(w, f) < 0)
        return 0;
    return file(w, f, x, e);
}

/* The end of a directory: what has been put off is decided. */
static int leave(struct walk *w, struct err *e)
{
    struct frame *f = &w->v[w->n - 1];
    bool for_mount = f->verdict == FOR_MOUNT, touched = f->verdict == TOUCHED;
    int r = 0;
    cut_path(w, f->path_len);
    if ((for_mount || touched) && (f->target || f->empty_targets)) {
        w->v[w->n - 2].empty_targets |= for_mount;
        r = w->d->tell(w->d->data, STORAGE_TARGET, w->path.s, e);
    } else if (for_mount || touched) {
        r = tell(w, for_mount ? STORAGE_ADDED : STORAGE_CHANGED, e);
    }
    diff_dir_release(&f->dir);
    fd_close(&f->fd);
    w->n--;
    return r;
}

static int walk(struct walk *w, const struct diff_lower *lower, struct err *e)
{
    struct frame top = {.lower = *lower, .fd = diff_open_dir(w->tree, ""), .verdict = TOLD};
    top.whole = w->copy;
    int r = top.fd < 0 ? err_set(e, -top.fd, "open it") : push(w, top, e);
    while (r == 0 && w->n) {
        struct frame *f = &w->v[w->n - 1];
        r = f->next < f->dir.n ? entry(w, f, &f->dir.v[f->next++], e) : leave(w, e);
    }
    while (w->n) {
        struct frame *f = &w->v[--w->n];
        diff_dir_release(&f->dir);
        fd_close(&f->fd);
    }
    free(w->v);
    str_release(&w->path);
    return r;
}

struct job {
    struct walk walk;
    struct diff_lower lower;
};

static int run(void *data, struct err *e)
{
    struct job *job = data;
    const struct storage_diff *d = job->walk.d;
    int r = walk(&job->walk, &job->lower, e);
    return r == 0 && d->end ? d->end(d->data, e) : r;
}

static int open_layers(const struct storage_root *r, int **ret, struct err *e)
{
    size_t n = strv_len(r->layers);
    int *fds = xcalloc(n + 1, sizeof(*fds));
    for (size_t i = 0; i < n; i++)
        fds[i] = -1;
    *ret = fds;
    for (size_t i = 0; i < n; i++) {
        fds[i] = open(r->layers[i], O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fds[i] < 0) {
            int q = err_set(e, errno, "layer %s", r->layers[i]);
            return err_hint(e, q, "The image is damaged: load it again.");
        }
    }
    return 0;
}

int storage_diff(const struct storage_root *r, const struct userns_map *container_map,
                 const struct userns_map *store_map, const struct storage_diff *d, struct err *e)
{
    bool copy = streq(r->driver, "copy");
    const char *path = copy ? r->dir : r->upper;
    const struct storage_shift shift = {
        .from = store_map, .to = container_map, .direct = geteuid() == 0};
    int *fds = NULL;
    if (streq(r->driver, "dir"))
        return err_msg(e, ENOTSUP, "it runs from a directory (--rootfs), which has no layers");
    if (!path)
        return 0; /* without an upper nothing can change */
    scoped_fd int tree = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int q = tree < 0 ? err_set(e, errno, "open %s", path) : open_layers(r, &fds, e);
    struct job job = {
        .walk =
            {.d = d, .tree = tree, .copy = copy, .served = storage_is_served(r), .path = STR_INIT},
        .lower = {.fds = fds, .n = strv_len(r->layers)},
    };
    if (copy && shift_needed(store_map, container_map))
        job.walk.shift = &shift;
    if (q == 0)
        q = run_as_owner(store_map, run, &job, e);
    for (size_t i = 0; fds && i < job.lower.n; i++)
        fd_close(&fds[i]);
    free(fds);
    return q;
}
