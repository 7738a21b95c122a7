/* pack - a tree becomes a reproducible tar: sorted by name, nothing of this machine in it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/strv.h"
#include "layer/job.h"
#include "layer/out.h"
#include "layer/pax.h"
#include "layer/sandbox.h"

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
    bool overlay;
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
    size_t n = strlen(p->path) + 1;
    struct link *l, **found;

    if (st->st_nlink < 2)
        return NULL;
    l = xmalloc(sizeof(*l) + n);
    l->dev = st->st_dev;
    l->ino = st->st_ino;
    memcpy(l->path, p->path, n);
    found = tsearch(l, &p->links, link_order);
    if (!found || *found == l)
        return NULL;
    free(l);
    return (*found)->path;
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

/* The content; a file that shrinks meanwhile (a running container) is filled with zeros. */
static int pack_content(struct pack *p, int fd, uint64_t size, struct err *e)
{
    uint64_t start = out_bytes(p->out);
    int r = out_copy(p->out, fd, 0, size, e);

    if (r == -EUCLEAN)
        r = out_zeros(p->out, (size_t)(size - (out_bytes(p->out) - start)), e);
    p->res->file_bytes += size;
    return r < 0 ? r : out_zeros(p->out, (512 - size % 512) % 512, e);
}

static int pack_file(struct pack *p, int dir, const char *name, const struct stat *st,
                     struct err *e)
{
    const char *first = earlier_name(p, st);
    scoped_fd int fd = -1;
    int r;

    if (first) {
        set_common(p, '1', st);
        p->pax.link = first;
        return pax_write(&p->pax, p->out, e);
    }
    fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return err_set(e, errno, "open it");
    set_common(p, '0', st);
    p->pax.size = (uint64_t)st->st_size;
    pack_xattrs(p, fd);
    r = pax_write(&p->pax, p->out, e);
    return r < 0 ? r : pack_content(p, fd, p->pax.size, e);
}

static int pack_symlink(struct pack *p, int dir, const char *name, const struct stat *st,
                        struct err *e)
{
    const char *first = earlier_name(p, st);
    char target[PATH_MAX];
    ssize_t n = readlinkat(dir, name, target, sizeof(target) - 1);

    if (n < 0)
        return err_set(e, errno, "read the link");
    target[n] = '\0';
    set_common(p, first ? '1' : '2', st);
    p->pax.mode = 0777;
    p->pax.link = first ? first : target;
    return pax_write(&p->pax, p->out, e);
}

static int pack_dir(struct pack *p, int dir, const char *name, const struct stat *st, struct err *e)
{
    scoped_fd int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    size_t len = strlen(p->path);
    char shown[PATH_MAX + 2], opaque[4];
    int r;

    if (fd < 0)
        return err_set(e, errno, "open it");
    set_common(p, '5', st);
    snprintf(shown, sizeof(shown), "%s/", len ? p->path : ".");
    p->pax.path = shown;
    pack_xattrs(p, fd);
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

/* The member at p->path, which is name in dir. */
static int pack_member(struct pack *p, int dir, const char *name, size_t dir_len,
                       const struct stat *st, struct err *e)
{
    if (p->overlay && (tree_is_whiteout(st) || is_xwhiteout(dir, name, st)))
        return pack_whiteout(p, p->path, dir_len, name, st, e);
    if (S_ISSOCK(st->st_mode)) {
        p->res->skipped_other++;
        return 0;
    }
    p->res->entries++;
    if (S_ISDIR(st->st_mode))
        return pack_dir(p, dir, name, st, e);
    if (S_ISLNK(st->st_mode))
        return pack_symlink(p, dir, name, st, e);
    if (S_ISREG(st->st_mode))
        return pack_file(p, dir, name, st, e);
    set_common(p, S_ISFIFO(st->st_mode) ? '6' : S_ISCHR(st->st_mode) ? '3' : '4', st);
    p->pax.dev_major = major(st->st_rdev);
    p->pax.dev_minor = minor(st->st_rdev);
    return pax_write(&p->pax, p->out, e);
}

static int read_names(int dir, char ***ret, struct err *e)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scoped_dir DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *x;

    if (!d)
        return err_set(e, errno, "read it");
    errno = 0;
    while ((x = readdir(d)))
        if (!streq(x->d_name, ".") && !streq(x->d_name, ".."))
            strv_add(ret, x->d_name);
    if (errno)
        return err_set(e, errno, "read it");
    strv_sort(*ret);
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
        return err_set(e, errno, "open it");
    fd_close(&w->fd);
    w->fd = fd;
    w->v = xrealloc(w->v, (w->n + 1) * sizeof(*w->v));
    r = read_names(fd, &f.names, e);
    w->v[w->n++] = f;
    return r;
}

/* Back to the directory above, opened again by its path: one descriptor for any depth. */
static int walk_up(struct pack *p, struct walk *w, struct err *e)
{
    strv_free(w->v[--w->n].names);
    if (w->n == 0)
        return 0;
    p->path[w->v[w->n - 1].path_len] = '\0';
    fd_close(&w->fd);
    w->fd = tree_open_dir(p->task->dir_fd, p->path);
    return w->fd < 0 ? err_set(e, -w->fd, "open it again") : 0;
}

static int walk_name(struct pack *p, struct walk *w, const char *name, struct err *e)
{
    size_t len = w->v[w->n - 1].path_len;
    struct stat st;
    int r = 0;

    p->path[len] = '\0';
    if (len + 1 + strlen(name) >= sizeof(p->path))
        return err_msg(e, ENAMETOOLONG, "a path below it is too long");
    snprintf(p->path + len, sizeof(p->path) - len, "%s%s", len ? "/" : "", name);
    if (fstatat(w->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : err_set(e, errno, "look at it");
    r = pack_member(p, w->fd, name, len, &st, e);
    return r == 0 && S_ISDIR(st.st_mode) ? walk_down(p, w, name, e) : r;
}

static int pack_tree(struct pack *p, struct err *e)
{
    struct walk w = {.fd = tree_open_dir(p->task->dir_fd, "")};
    struct stat st;
    int r = w.fd < 0 ? err_set(e, -w.fd, "open it") : 0;

    if (r == 0 && fstat(w.fd, &st) < 0)
        r = err_set(e, errno, "look at it");
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
    return r < 0 ? err_add(e, r, "pack \"%.300s\"", p->path) : 0;
}

int pack_run(const struct layer_task *task, struct layer_result *res, struct err *e)
{
    struct pack p = {.task = task,
                     .res = res,
                     .overlay = task->req->flags & LAYER_PACK_OVERLAY,
                     .pax.records = STR_INIT};
    int r = out_new(task->io_fd, NULL, &p.out, e);

    p.value = xmalloc(MAX_XATTR);
    if (r == 0)
        r = sandbox_enter(task->dir_fd, UINT64_MAX, task->env->filter, e);
    if (r == 0)
        r = pack_tree(&p, e);
    if (r == 0)
        r = out_zeros(p.out, 1024, e);
    if (r == 0)
        r = out_end(p.out, res, e);
    str_release(&p.pax.records);
    tdestroy(p.links, free);
    free(p.value);
    out_free(p.out);
    return r;
}
