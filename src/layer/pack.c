/* pack - a tree becomes a reproducible tar: sorted by name, nothing of this machine in it.
 *
 * The tree may be one that processes change meanwhile (a running container's): what vanishes is
 * left out, and the tar is whole whatever happens to a file whose header is written. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/str.h"
#include "base/strv.h"
#include "layer/job.h"
#include "layer/out.h"
#include "layer/pax.h"
#include "layer/sandbox.h"
#include "layer/select.h"
#include "layer/sparse.h"

#define OVERLAY_XATTR "user.overlay."
#define MAX_XATTR (64 << 10) /* XATTR_SIZE_MAX */

struct link {
    dev_t dev;
    ino_t ino;
    char path[];
};

struct pack {
    const struct layer_task *task;
    struct layer_result *res;
    struct out *out;
    struct pax pax;
    void *links; /* tsearch tree of struct link: files with several names */
    char path[PATH_MAX];
    char *value; /* MAX_XATTR */
    struct select list;
    bool overlay; /* the tree is an upper or a layer of overlayfs */
    bool layer;   /* the tar will be a layer: .wh. names have a meaning there */
    bool only;    /* nothing but what the list has */
    bool one;     /* nothing of other mounts than the root's, mount_id */
    uint64_t mount_id;
};

/* A directory being walked: its sorted names, and where its path ends. */
struct frame {
    char **names;
    size_t next, path_len;
};

static int link_order(const void *a, const void *b)
{
    const struct link *x = a, *y = b;

    if (x->ino != y->ino)
        return x->ino < y->ino ? -1 : 1;
    return x->dev < y->dev ? -1 : x->dev > y->dev;
}

/* The first name of a file with several, or NULL when this is the first. */
static const char *earlier_name(struct pack *p, const struct stat *st)
{
    const struct link key = {.dev = st->st_dev, .ino = st->st_ino};
    struct link **found = st->st_nlink < 2 ? NULL : tfind(&key, &p->links, link_order);

    return found ? (*found)->path : NULL;
}

static void remember_name(struct pack *p, const struct stat *st)
{
    size_t n = strlen(p->path) + 1;
    struct link *l;

    if (st->st_nlink < 2)
        return;
    l = xmalloc(sizeof(*l) + n);
    l->dev = st->st_dev;
    l->ino = st->st_ino;
    memcpy(l->path, p->path, n);
    if (*(struct link **)tsearch(l, &p->links, link_order) != l)
        free(l);
}

/* It was there a moment ago, or was something else: no error in a tree that lives. */
static bool has_gone(int errnum)
{
    return errnum == ENOENT || errnum == ENOTDIR || errnum == ELOOP || errnum == ESTALE;
}

static void pack_xattr(struct pack *p, int fd, const char *name)
{
    char key[XATTR_NAME_MAX + 32];
    const char *shown = name, *rest;
    ssize_t n;

    rest = p->overlay ? str_after(name, OVERLAY_XATTR) : NULL;
    if (rest) {
        rest = str_after(rest, "overlay.");
        if (!rest) /* overlayfs' own */
            return;
    }
    if (strncmp(name, "user.", 5) != 0 && !streq(name, "security.capability") &&
        strncmp(name, "system.posix_acl_", 17) != 0)
        return;
    n = fgetxattr(fd, name, p->value, MAX_XATTR);
    if (n < 0)
        return;
    if (rest)
        snprintf(key, sizeof(key), "SCHILY.xattr." OVERLAY_XATTR "%s", rest);
    else
        snprintf(key, sizeof(key), "SCHILY.xattr.%s", shown);
    pax_record(&p->pax, key, p->value, (size_t)n);
}

/* All attributes worth keeping, sorted. The kernel gives security.capability as version 2 inside
 * the namespace whose root it is for. */
static void pack_xattrs(struct pack *p, int fd)
{
    scoped_free char *list = xmalloc(MAX_XATTR);
    scoped_strv char **names = NULL;
    ssize_t n = flistxattr(fd, list, MAX_XATTR);

    for (ssize_t at = 0; at < n; at += (ssize_t)strlen(list + at) + 1)
        strv_add(&names, list + at);
    strv_sort(names);
    for (size_t i = 0; names && names[i]; i++)
        pack_xattr(p, fd, names[i]);
}

static struct timespec clamp_time(const struct pack *p, struct timespec t)
{
    int64_t max = p->task->req->max_mtime;

    if (max >= 0 && (t.tv_sec > max || (t.tv_sec == max && t.tv_nsec > 0)))
        t = (struct timespec){.tv_sec = max};
    return t;
}

static void set_common(struct pack *p, char type, const struct stat *st)
{
    struct str records = p->pax.records;

    p->pax = (struct pax){
        .type = type,
        .path = p->path,
        .mode = st->st_mode & 07777,
        .uid = st->st_uid,
        .gid = st->st_gid,
        .mtime = clamp_time(p, st->st_mtim),
        .records = records,
    };
}

/* An empty file `.wh.NAME` in the directory of path. */
static int pack_whiteout(struct pack *p, const char *dir, size_t dir_len, const char *name,
                         const struct stat *st, struct err *e)
{
    char path[PATH_MAX + 8];

    set_common(p, '0', st);
    snprintf(path, sizeof(path), "%.*s%s.wh.%s", (int)dir_len, dir, dir_len ? "/" : "", name);
    p->pax.path = path;
    p->pax.mode = 0;
    p->pax.uid = p->pax.gid = 0;
    p->res->entries++;
    return pax_write(&p->pax, p->out, e);
}

/* One stretch of the content; what is not there any more is filled with zeros. */
static int pack_stretch(struct pack *p, int fd, uint64_t offset, uint64_t len, struct err *e)
{
    uint64_t start = out_bytes(p->out);
    int r = out_copy(p->out, fd, offset, len, e);

    if (r == -EUCLEAN)
        r = out_zeros(p->out, len - (out_bytes(p->out) - start), e);
    p->res->file_bytes += len;
    return r;
}

static int pack_content(struct pack *p, int fd, uint64_t size, struct err *e)
{
    struct stat now;
    int r = pack_stretch(p, fd, 0, size, e);

    if (r == 0 && fstat(fd, &now) == 0 && (uint64_t)now.st_size != size &&
        p->res->changed_files++ == 0)
        tree_note(p->res, "a file changed its size while it was read: %.120s", p->path);
    return r < 0 ? r : out_zeros(p->out, (512 - size % 512) % 512, e);
}

/* The file's name and size are in records, the map in front of its data. GNU tar "Sparse Formats",
 * PAX Format, Version 1.0. */
static int pack_sparse(struct pack *p, int fd, const struct sparse *s, struct err *e)
{
    char size[24];
    int r;

    pax_record(&p->pax, "GNU.sparse.major", "1", 1);
    pax_record(&p->pax, "GNU.sparse.minor", "0", 1);
    pax_record(&p->pax, "GNU.sparse.name", p->path, strlen(p->path));
    snprintf(size, sizeof(size), "%llu", (unsigned long long)p->pax.size);
    pax_record(&p->pax, "GNU.sparse.realsize", size, strlen(size));
    p->pax.path = "GNUSparseFile.0/x";
    p->pax.size = s->map.len + s->bytes;
    r = pax_write(&p->pax, p->out, e);
    if (r == 0)
        r = out_write(p->out, s->map.s, s->map.len, e);
    for (size_t i = 0; r == 0 && i < s->n; i++)
        r = pack_stretch(p, fd, s->v[i].offset, s->v[i].len, e);
    return r < 0 ? r : out_zeros(p->out, (512 - s->bytes % 512) % 512, e);
}

static int pack_link(struct pack *p, const struct stat *st, const char *first, struct err *e)
{
    set_common(p, '1', st);
    p->pax.link = first;
    p->res->entries++;
    return pax_write(&p->pax, p->out, e);
}

static int pack_file(struct pack *p, int dir, const char *name, const struct stat *st,
                     struct err *e)
{
    const char *first = earlier_name(p, st);
    struct sparse sparse;
    struct stat now;
    int r;

    if (first)
        return pack_link(p, st, first, e);
    /* O_NONBLOCK: it may be a FIFO by now. */
    scoped_fd int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return has_gone(errno) || errno == ENXIO ? 0 : err_set(e, errno, "open it");
    if (fstat(fd, &now) < 0 || !S_ISREG(now.st_mode))
        return 0;
    remember_name(p, &now);
    set_common(p, '0', &now);
    p->pax.size = (uint64_t)now.st_size;
    pack_xattrs(p, fd);
    p->res->entries++;
    if (sparse_look(fd, &now, &sparse)) {
        r = pack_sparse(p, fd, &sparse, e);
        sparse_release(&sparse);
        return r;
    }
    r = pax_write(&p->pax, p->out, e);
    return r < 0 ? r : pack_content(p, fd, (uint64_t)now.st_size, e);
}

static int pack_symlink(struct pack *p, int dir, const char *name, const struct stat *st,
                        struct err *e)
{
    const char *first = earlier_name(p, st);
    char target[PATH_MAX];
    ssize_t n;

    if (first)
        return pack_link(p, st, first, e);
    n = readlinkat(dir, name, target, sizeof(target) - 1);
    if (n < 0)
        return has_gone(errno) || errno == EINVAL ? 0 : err_set(e, errno, "read the link");
    target[n] = '\0';
    remember_name(p, st);
    set_common(p, '2', st);
    p->pax.mode = 0777;
    p->pax.link = target;
    p->res->entries++;
    return pax_write(&p->pax, p->out, e);
}

static int pack_dir(struct pack *p, int dir, const char *name, const struct stat *st, struct err *e)
{
    scoped_fd int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    size_t len = strlen(p->path);
    char shown[PATH_MAX + 2], opaque[4];
    int r;

    if (fd < 0)
        return has_gone(errno) ? 0 : err_set(e, errno, "open it");
    set_common(p, '5', st);
    snprintf(shown, sizeof(shown), "%s/", len ? p->path : ".");
    p->pax.path = shown;
    pack_xattrs(p, fd);
    p->res->entries++;
    r = pax_write(&p->pax, p->out, e);
    if (r == 0 && p->overlay &&
        fgetxattr(fd, OVERLAY_XATTR "opaque", opaque, sizeof(opaque)) == 1 && opaque[0] == 'y')
        r = pack_whiteout(p, p->path, len, ".wh..opq", st, e);
    return r;
}

/* Overlayfs' second form of a whiteout, for trees that are themselves in an overlay. */
static bool is_xwhiteout(int dir, const char *name, const struct stat *st)
{
    scoped_fd int fd = -1;

    if (!S_ISREG(st->st_mode) || st->st_size > 0)
        return false;
    fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    return fd >= 0 && fgetxattr(fd, OVERLAY_XATTR "whiteout", NULL, 0) >= 0;
}

/* What a layer cannot hold: it would be read as something else. */
static bool is_misread(struct pack *p, const char *name, const struct stat *st)
{
    if (!p->layer)
        return false;
    if (strncmp(name, ".wh.", 4) == 0) {
        tree_note(p->res, "the name is that of a whiteout in a layer, left out: %.120s", p->path);
        return true;
    }
    if (!tree_is_whiteout(st))
        return false;
    p->res->skipped_devices++;
    return true;
}

static int pack_special(struct pack *p, const struct stat *st, struct err *e)
{
    const char *first = earlier_name(p, st);

    if (first)
        return pack_link(p, st, first, e);
    remember_name(p, st);
    set_common(p, S_ISFIFO(st->st_mode) ? '6' : S_ISCHR(st->st_mode) ? '3' : '4', st);
    p->pax.dev_major = major(st->st_rdev);
    p->pax.dev_minor = minor(st->st_rdev);
    p->res->entries++;
    return pax_write(&p->pax, p->out, e);
}

/* The member at p->path, which is name in dir. */
static int pack_member(struct pack *p, int dir, const char *name, size_t dir_len,
                       const struct stat *st, struct err *e)
{
    if (p->overlay && (tree_is_whiteout(st) || is_xwhiteout(dir, name, st)))
        return pack_whiteout(p, p->path, dir_len, name, st, e);
    if (is_misread(p, name, st))
        return 0;
    if (S_ISSOCK(st->st_mode)) {
        p->res->skipped_other++;
        return 0;
    }
    if (S_ISDIR(st->st_mode))
        return pack_dir(p, dir, name, st, e);
    if (S_ISLNK(st->st_mode))
        return pack_symlink(p, dir, name, st, e);
    return S_ISREG(st->st_mode) ? pack_file(p, dir, name, st, e) : pack_special(p, st, e);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names of a directory, sorted; a vector of its own, since there can be very many. */
static int read_names(int dir, char ***ret, struct err *e)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scoped_dir DIR *d = fd < 0 ? NULL : fdopendir(fd);
    char **v = xcalloc(1, sizeof(*v));
    size_t n = 0, alloc = 1;
    struct dirent *x;

    *ret = v;
    if (!d)
        return err_set(e, errno, "read it");
    for (errno = 0; (x = readdir(d)); errno = 0) {
        if (streq(x->d_name, ".") || streq(x->d_name, ".."))
            continue;
        if (n + 1 == alloc)
            v = *ret = xrealloc(v, (alloc *= 2) * sizeof(*v));
        v[n++] = xstrdup(x->d_name);
        v[n] = NULL;
    }
    if (errno)
        return err_set(e, errno, "read it");
    qsort(v, n, sizeof(*v), by_name);
    return 0;
}

struct walk {
    struct frame *v;
    size_t n;
    int fd; /* of the innermost directory */
};

static int walk_down(struct pack *p, struct walk *w, const char *name, struct err *e)
{
    int fd = openat(w->fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct frame f = {.path_len = strlen(p->path)};
    int r;

    if (fd < 0)
        return has_gone(errno) ? 0 : err_set(e, errno, "open it");
    fd_close(&w->fd);
    w->fd = fd;
    w->v = xrealloc(w->v, (w->n + 1) * sizeof(*w->v));
    r = read_names(fd, &f.names, e);
    w->v[w->n++] = f;
    return r;
}

/* Back to the directory above, opened again by its path: one descriptor for any depth. What is left
 * of one that has gone meanwhile is passed over. */
static int walk_up(struct pack *p, struct walk *w, struct err *e)
{
    strv_free(w->v[--w->n].names);
    while (w->n > 0) {
        p->path[w->v[w->n - 1].path_len] = '\0';
        fd_close(&w->fd);
        w->fd = tree_open_dir(p->task->dir_fd, p->path);
        if (w->fd >= 0)
            return 0;
        if (!has_gone(-w->fd))
            return err_set(e, -w->fd, "open it again");
        strv_free(w->v[--w->n].names);
    }
    return 0;
}

/* What a list says of the path. */
static bool is_wanted(const struct pack *p)
{
    char kind = p->list.n ? select_kind(&p->list, p->path) : 0;

    return p->only ? kind == 'A' || kind == 'C' : kind != 'M';
}

/* The mount of name in dir, or of dir itself; 0: it cannot be told. */
static uint64_t mount_of(int dir, const char *name)
{
    struct statx st;
    int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (*name ? 0 : AT_EMPTY_PATH);

    return statx(dir, name, flags, STATX_MNT_ID, &st) == 0 && (st.stx_mask & STATX_MNT_ID)
               ? st.stx_mnt_id
               : 0;
}

static int walk_name(struct pack *p, struct walk *w, const char *name, struct err *e)
{
    size_t len = w->v[w->n - 1].path_len;
    struct stat st;
    bool mounted;
    int r = 0;

    p->path[len] = '\0';
    if (len + 1 + strlen(name) >= sizeof(p->path)) {
        if (p->layer)
            return err_msg(e, ENAMETOOLONG, "a path below it is too long");
        if (p->res->skipped_paths++ == 0)
            tree_note(p->res, "longer than %d bytes, left out: what is below %.60s...",
                      PATH_MAX - 1, p->path);
        return 0;
    }
    snprintf(p->path + len, sizeof(p->path) - len, "%s%s", len ? "/" : "", name);
    if (!is_wanted(p))
        return 0;
    if (fstatat(w->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return has_gone(errno) ? 0 : err_set(e, errno, "look at it");
    mounted = p->one && mount_of(w->fd, name) != p->mount_id;
    if (mounted && !S_ISDIR(st.st_mode))
        return 0;
    r = pack_member(p, w->fd, name, len, &st, e);
    return r == 0 && S_ISDIR(st.st_mode) && !mounted ? walk_down(p, w, name, e) : r;
}

/* What a list says is gone, of a tree that has no whiteouts of its own. */
static int pack_deleted(struct pack *p, struct err *e)
{
    static const struct stat none;
    int r = 0;

    for (size_t i = 0; r == 0 && i < p->list.n; i++) {
        const char *path = p->list.v[i].path, *slash = strrchr(path, '/');
        if (p->list.v[i].kind == 'D')
            r = pack_whiteout(p, path, slash ? (size_t)(slash - path) : 0, slash ? slash + 1 : path,
                              &none, e);
    }
    return r;
}

static int pack_tree(struct pack *p, struct err *e)
{
    struct walk w = {.fd = tree_open_dir(p->task->dir_fd, "")};
    struct stat st;
    int r = w.fd < 0 ? err_set(e, -w.fd, "open it") : 0;

    if (r == 0 && fstat(w.fd, &st) < 0)
        r = err_set(e, errno, "look at it");
    p->mount_id = r == 0 && p->one ? mount_of(w.fd, "") : 0;
    if (r == 0)
        r = pack_member(p, w.fd, ".", 0, &st, e);
    if (r == 0)
        r = walk_down(p, &w, ".", e);
    while (r == 0 && w.n > 0) {
        struct frame *f = &w.v[w.n - 1];
        r = f->names && f->names[f->next] ? walk_name(p, &w, f->names[f->next++], e)
                                          : walk_up(p, &w, e);
    }
    while (w.n > 0)
        strv_free(w.v[--w.n].names);
    free(w.v);
    fd_close(&w.fd);
    if (r == 0 && p->only)
        r = pack_deleted(p, e);
    return r < 0 ? err_add(e, r, "pack \"%.300s\"", p->path) : 0;
}

int pack_run(const struct layer_task *task, struct layer_result *res, struct err *e)
{
    struct pack p = {.task = task,
                     .res = res,
                     .overlay = task->req->flags & LAYER_PACK_OVERLAY,
                     .layer = task->req->flags & (LAYER_PACK_OVERLAY | LAYER_PACK_LAYER),
                     .only = task->req->flags & LAYER_PACK_ONLY,
                     .one = task->req->flags & LAYER_PACK_ONE_MOUNT,
                     .pax.records = STR_INIT};
    int r = out_new(task->io_fd, NULL, &p.out, e);

    p.value = xmalloc(MAX_XATTR);
    if (r == 0 && task->list_fd >= 0)
        r = select_read(task->list_fd, &p.list, e);
    if (r == 0)
        r = sandbox_enter(task->dir_fd, UINT64_MAX, task->env->filter, e);
    if (r == 0)
        r = pack_tree(&p, e);
    if (r == 0)
        r = out_zeros(p.out, 1024, e);
    if (r == 0)
        r = out_end(p.out, res, e);
    str_release(&p.pax.records);
    select_release(&p.list);
    tdestroy(p.links, free);
    free(p.value);
    out_free(p.out);
    return r;
}
