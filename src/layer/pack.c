/* pack - a tree becomes a reproducible tar: sorted by name, nothing of this machine in it.
 *
 * The tree may be one that processes change meanwhile (a running container's): what vanishes is
 * left out, and the tar is whole whatever happens to a file whose header is written. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/str.h"
#include "base/strv.h"
#include "layer/job.h"
#include "layer/links.h"
#include "layer/names.h"
#include "layer/out.h"
#include "layer/pax.h"
#include "layer/sandbox.h"
#include "layer/select.h"
#include "layer/sparse.h"

#define OVERLAY_XATTR "user.overlay."
#define FUSE_XATTR "user.fuseoverlayfs." /* what the program of that name marks with */
#define MAX_XATTR (64 << 10)             /* XATTR_SIZE_MAX, XATTR_LIST_MAX */
#define KEEP_OPEN                                                                                  \
    24 /* directories on the way down; deeper down the outer ones are opened again                 \
        */

struct pack {
    const struct layer_task *task;
    struct layer_result *res;
    struct out *out;
    struct pax pax;
    void *links;         /* links.h */
    struct link_key key; /* of the file in work */
    char path[PATH_MAX];
    char *value, *xattrs; /* MAX_XATTR each */
    char *dents;          /* NAMES_BUFFER */
    struct select list;
    bool overlay; /* the tree is an upper or a layer of overlayfs */
    bool layer;   /* the tar will be a layer: .wh. names have a meaning there */
    bool only;    /* nothing but what the list has */
    bool one;     /* nothing of other mounts than the root's, mount_id */
    uint64_t mount_id;
};

/* A directory being walked: its sorted names, and where its path ends. */
struct frame {
    struct names names;
    size_t next, path_len;
    int fd; /* -1: closed for now */
};

/* Never into another mount when there is to be one only: to open what is mounted there, a device or
 * a file system of somebody's own, would not be without effect. */
static int open_name(const struct pack *p, int dir, const char *name, int flags)
{
    struct open_how how = {.flags = (unsigned)flags | O_NOFOLLOW | O_CLOEXEC,
                           .resolve = p->one ? RESOLVE_NO_XDEV : 0};

    return (int)syscall(SYS_openat2, dir, name, &how, sizeof(how));
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

static bool is_mounted(const struct pack *p, int dir, const char *name)
{
    return p->one && mount_of(dir, name) != p->mount_id;
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
    if (p->overlay && str_after(name, FUSE_XATTR))
        return;
    if (strncmp(name, "user.", 5) != 0 && !streq(name, "security.capability") &&
        strncmp(name, "system.posix_acl_", 17) != 0)
        return;
    n = fgetxattr(fd, name, p->value, MAX_XATTR);
    if (n < 0)
        return;
    if (streq(name, TREE_OWNER_XATTR)) {
        pax_true_owner(&p->pax, p->value, (size_t)n);
        return;
    }
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
    scoped_strv char **names = NULL;
    ssize_t n = flistxattr(fd, p->xattrs, MAX_XATTR);

    for (ssize_t at = 0; at < n; at += (ssize_t)strlen(p->xattrs + at) + 1)
        strv_add(&names, p->xattrs + at);
    strv_sort(names);
    for (size_t i = 0; names && names[i]; i++)
        pack_xattr(p, fd, names[i]);
}

/* Whole seconds spare most files a header of 1 KiB. */
static struct timespec clamp_time(const struct pack *p, struct timespec t)
{
    int64_t max = p->task->req->max_mtime;

    if (p->task->req->flags & LAYER_PACK_SECONDS)
        t.tv_nsec = 0;
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

/* Overlayfs' second form of a whiteout, for trees that are themselves in an overlay. */
static bool is_xwhiteout(const struct pack *p, int fd, const struct stat *st)
{
    return p->overlay && st->st_size == 0 && fgetxattr(fd, OVERLAY_XATTR "whiteout", NULL, 0) >= 0;
}

static int pack_open_file(struct pack *p, int fd, const struct stat *st, struct err *e)
{
    struct sparse sparse;
    int r;

    links_add(&p->links, &p->key, p->path);
    set_common(p, '0', st);
    p->pax.size = (uint64_t)st->st_size;
    pack_xattrs(p, fd);
    p->res->entries++;
    if (sparse_look(fd, st, &sparse)) {
        r = pack_sparse(p, fd, &sparse, e);
        sparse_release(&sparse);
        return r;
    }
    r = pax_write(&p->pax, p->out, e);
    return r < 0 ? r : pack_content(p, fd, (uint64_t)st->st_size, e);
}

/* Opened at once: each look by name costs, and in an overlay much. */
static int pack_file(struct pack *p, int dir, const char *name, size_t dir_len, struct err *e)
{
    const char *first;
    struct stat st;
    /* O_NONBLOCK: it may be a FIFO by now. */
    scoped_fd int fd = open_name(p, dir, name, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 && (has_gone(errno) || errno == ENXIO || errno == EXDEV))
        return 0;
    if (fd < 0)
        return err_set(e, errno, "open it");
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return 0;
    if (is_xwhiteout(p, fd, &st))
        return pack_whiteout(p, p->path, dir_len, name, &st, e);
    p->key = link_key_of(fd, "", &st);
    first = links_find(&p->links, &p->key);
    return first ? pack_link(p, &st, first, e) : pack_open_file(p, fd, &st, e);
}

static int pack_symlink(struct pack *p, int dir, const char *name, const struct stat *st,
                        struct err *e)
{
    const char *first = links_find(&p->links, &p->key);
    char target[PATH_MAX];
    ssize_t n;

    if (first)
        return pack_link(p, st, first, e);
    n = readlinkat(dir, name, target, sizeof(target) - 1);
    if (n < 0)
        return has_gone(errno) || errno == EINVAL ? 0 : err_set(e, errno, "read the link");
    target[n] = '\0';
    links_add(&p->links, &p->key, p->path);
    set_common(p, '2', st);
    p->pax.mode = 0777;
    p->pax.link = target;
    p->res->entries++;
    return pax_write(&p->pax, p->out, e);
}

static bool has_mark(int fd, const char *name)
{
    char value[4];
    return fgetxattr(fd, name, value, sizeof(value)) == 1 && value[0] == 'y';
}

/* fd: -1 when another file system is mounted there, of which nothing is wanted. */
static int pack_dir(struct pack *p, int fd, const struct stat *st, struct err *e)
{
    size_t len = strlen(p->path);
    char shown[PATH_MAX + 2];
    int r;

    set_common(p, '5', st);
    snprintf(shown, sizeof(shown), "%s/", len ? p->path : ".");
    p->pax.path = shown;
    if (fd >= 0)
        pack_xattrs(p, fd);
    p->res->entries++;
    r = pax_write(&p->pax, p->out, e);
    if (r == 0 && p->overlay && fd >= 0 &&
        (has_mark(fd, OVERLAY_XATTR "opaque") || has_mark(fd, FUSE_XATTR "opaque")))
        r = pack_whiteout(p, p->path, len, ".wh..opq", st, e);
    return r;
}

/* What a layer cannot hold: it would be read as something else. fuse-overlayfs marks an opaque
 * directory by two files more, which say nothing new. */
static bool is_misread_name(struct pack *p, const char *name)
{
    if (p->overlay && (streq(name, ".wh..wh..opq") || streq(name, ".wh..opq")))
        return true;
    if (!p->layer || strncmp(name, ".wh.", 4) != 0)
        return false;
    tree_note(p->res, "the name is that of a whiteout in a layer, left out: %.120s", p->path);
    return true;
}

static int pack_special(struct pack *p, const struct stat *st, struct err *e)
{
    const char *first = links_find(&p->links, &p->key);

    if (first)
        return pack_link(p, st, first, e);
    links_add(&p->links, &p->key, p->path);
    set_common(p, S_ISFIFO(st->st_mode) ? '6' : S_ISCHR(st->st_mode) ? '3' : '4', st);
    p->pax.dev_major = major(st->st_rdev);
    p->pax.dev_minor = minor(st->st_rdev);
    p->res->entries++;
    return pax_write(&p->pax, p->out, e);
}

/* What is neither a file nor a directory, at p->path, which is name in dir. */
static int pack_other(struct pack *p, int dir, const char *name, size_t dir_len,
                      const struct stat *st, struct err *e)
{
    p->key = link_key_of(dir, name, st);
    if (S_ISLNK(st->st_mode))
        return pack_symlink(p, dir, name, st, e);
    if (p->overlay && tree_is_whiteout(st))
        return pack_whiteout(p, p->path, dir_len, name, st, e);
    if (p->layer && tree_is_whiteout(st)) {
        p->res->skipped_devices++;
        return 0;
    }
    if (!S_ISSOCK(st->st_mode))
        return pack_special(p, st, e);
    p->res->skipped_other++;
    return 0;
}

struct walk {
    struct frame *v;
    size_t n;
};

static void drop_frame(struct walk *w)
{
    struct frame *f = &w->v[--w->n];

    names_release(&f->names);
    fd_close(&f->fd);
}

/* A directory that another file system is mounted on: only its place. */
static int pack_place(struct pack *p, int dir, const char *name, struct err *e)
{
    struct stat st;

    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return has_gone(errno) ? 0 : err_set(e, errno, "look at it");
    return S_ISDIR(st.st_mode) ? pack_dir(p, -1, &st, e) : 0;
}

/* The directory name of dir: itself, then its names are there to be walked. */
static int walk_down(struct pack *p, struct walk *w, int dir, const char *name, struct err *e)
{
    scoped_fd int fd = open_name(p, dir, name, O_RDONLY | O_DIRECTORY);
    struct stat st;
    int r;

    if (fd < 0 && errno == EXDEV)
        return pack_place(p, dir, name, e);
    if (fd < 0)
        return has_gone(errno) ? 0 : err_set(e, errno, "open it");
    if (fstat(fd, &st) < 0)
        return err_set(e, errno, "look at it");
    r = pack_dir(p, fd, &st, e);
    if (w->n >= KEEP_OPEN)
        fd_close(&w->v[w->n - KEEP_OPEN].fd);
    w->v = xrealloc(w->v, (w->n + 1) * sizeof(*w->v));
    w->v[w->n] = (struct frame){.path_len = strlen(p->path), .fd = take_fd(&fd)};
    w->n++;
    if (r < 0)
        return r;
    r = names_read(w->v[w->n - 1].fd, p->dents, &w->v[w->n - 1].names);
    return r == 0 || has_gone(-r) ? 0 : err_set(e, -r, "read it");
}

/* Back to the directory above; one that was closed is opened again by its path. What is left of one
 * that has gone meanwhile is passed over. */
static int walk_up(struct pack *p, struct walk *w, struct err *e)
{
    drop_frame(w);
    while (w->n > 0) {
        struct frame *f = &w->v[w->n - 1];
        p->path[f->path_len] = '\0';
        if (f->fd >= 0)
            return 0;
        f->fd = tree_open_dir(p->task->dir_fd, p->path);
        if (f->fd >= 0 && !is_mounted(p, f->fd, ""))
            return 0;
        if (f->fd < 0 && !has_gone(-f->fd))
            return err_set(e, -f->fd, "open it again");
        drop_frame(w);
    }
    return 0;
}

/* What a list says of the path. */
static bool is_wanted(const struct pack *p)
{
    char kind = p->list.n ? select_kind(&p->list, p->path) : 0;

    return p->only ? kind == 'A' || kind == 'C' : kind != 'M';
}

/* Sets p->path to name below the directory whose path has len bytes. Returns 1 when that is too
 * long. */
static int set_path(struct pack *p, size_t len, const char *name, struct err *e)
{
    p->path[len] = '\0';
    if (len + 1 + strlen(name) >= sizeof(p->path)) {
        if (p->layer)
            return err_msg(e, ENAMETOOLONG, "a path below it is too long");
        if (p->res->skipped_paths++ == 0)
            tree_note(p->res, "longer than %d bytes, left out: what is below %.60s...",
                      PATH_MAX - 1, p->path);
        return 1;
    }
    snprintf(p->path + len, sizeof(p->path) - len, "%s%s", len ? "/" : "", name);
    return 0;
}

static int walk_name(struct pack *p, struct walk *w, const struct name *x, struct err *e)
{
    const struct frame *f = &w->v[w->n - 1];
    size_t len = f->path_len;
    unsigned type = x->type;
    struct stat st;
    int r = set_path(p, len, x->text, e);

    if (r != 0 || !is_wanted(p))
        return r < 0 ? r : 0;
    if (type != DT_REG && type != DT_DIR) {
        if (fstatat(f->fd, x->text, &st, AT_SYMLINK_NOFOLLOW) < 0)
            return has_gone(errno) ? 0 : err_set(e, errno, "look at it");
        type = IFTODT(st.st_mode);
        if (type != DT_DIR && is_mounted(p, f->fd, x->text))
            return 0;
    }
    if (is_misread_name(p, x->text))
        return 0;
    if (type == DT_REG)
        return pack_file(p, f->fd, x->text, len, e);
    if (type == DT_DIR)
        return walk_down(p, w, f->fd, x->text, e);
    return pack_other(p, f->fd, x->text, len, &st, e);
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
    scoped_fd int root = tree_open_dir(p->task->dir_fd, "");
    struct walk w = {.n = 0};
    int r = root < 0 ? err_set(e, -root, "open it") : 0;

    p->mount_id = p->one && r == 0 ? mount_of(root, "") : 0;
    if (r == 0)
        r = walk_down(p, &w, root, ".", e);
    while (r == 0 && w.n > 0) {
        struct frame *f = &w.v[w.n - 1];
        r = f->next < f->names.n ? walk_name(p, &w, &f->names.v[f->next++], e) : walk_up(p, &w, e);
    }
    while (w.n > 0)
        drop_frame(&w);
    free(w.v);
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
    bool digest = !(task->req->flags & LAYER_PACK_NO_DIGEST);
    int r = out_new(task->io_fd, digest ? NULL : OUT_NO_DIGEST, &p.out, e);

    p.value = xmalloc(MAX_XATTR);
    p.xattrs = xmalloc(MAX_XATTR);
    p.dents = xmalloc(NAMES_BUFFER);
    if (r == 0 && task->list_fd >= 0)
        r = select_read(task->list_fd, &p.list, e);
    if (r == 0)
        r = layer_sandbox_enter(task->dir_fd, UINT64_MAX, task->env->filter, e);
    if (r == 0)
        r = pack_tree(&p, e);
    if (r == 0)
        r = out_zeros(p.out, 1024, e);
    if (r == 0)
        r = out_end(p.out, res, e);
    str_release(&p.pax.records);
    select_release(&p.list);
    links_release(p.links);
    free(p.value);
    free(p.xattrs);
    free(p.dents);
    out_free(p.out);
    return r;
}
