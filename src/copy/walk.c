/* walk - reads a tree that may change meanwhile, and that may be made to hurt.
 *
 * One directory is open at a time: names are read whole, the way back up is openat2(2) from the top
 * without links. So neither depth nor swapped directories matter. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <search.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

#include "base/path.h"
#include "base/str.h"
#include "copy/copy.h"
#include "copy/message.h"
#include "copy/place.h"

/* A directory under way: its names, and where its path ends. */
struct frame {
    char **names;
    size_t n, next, path_len;
    struct copy_msg m; /* for its end */
};

/* The first path of a file that has several. */
struct link {
    dev_t dev;
    ino_t ino;
    char path[];
};

struct walk {
    int sock, top, dir; /* top: O_PATH; dir: of the last frame; owned */
    struct str path;    /* of the entry in work, below the top */
    struct frame *frames;
    size_t n_frames;
    void *links;  /* tsearch */
    char *xattrs; /* COPY_MAX_XATTRS */
    int gone;     /* the writer's -errno */
};

static int by_inode(const void *a, const void *b)
{
    const struct link *x = a, *y = b;
    if (x->ino != y->ino)
        return x->ino < y->ino ? -1 : 1;
    return x->dev < y->dev ? -1 : x->dev > y->dev;
}

static const char *earlier_name(struct walk *w, const struct stat *st)
{
    if (st->st_nlink < 2)
        return NULL;
    struct link *l = xmalloc(sizeof(*l) + w->path.len + 1);
    l->dev = st->st_dev;
    l->ino = st->st_ino;
    memcpy(l->path, w->path.s, w->path.len + 1);
    struct link **found = tsearch(l, &w->links, by_inode);
    if (!found || *found == l)
        return NULL;
    free(l);
    return (*found)->path;
}

static struct copy_msg message(enum copy_type type, const struct stat *st)
{
    return (struct copy_msg){
        .type = type,
        .mode = st->st_mode & 07777,
        .uid = st->st_uid,
        .gid = st->st_gid,
        .dev_major = major(st->st_rdev),
        .dev_minor = minor(st->st_rdev),
        .mtime = st->st_mtim.tv_sec,
        .mtime_ns = (uint32_t)st->st_mtim.tv_nsec,
        .size = (uint64_t)st->st_size,
    };
}

static void cut_path(struct walk *w, size_t len)
{
    if (w->path.len > len) {
        w->path.len = len;
        w->path.s[len] = '\0';
    }
}

static int put(struct walk *w, struct copy_msg *m, const char *link, int fd)
{
    m->path_len = (uint32_t)w->path.len;
    m->link_len = link ? (uint32_t)strlen(link) : 0;
    int r = copy_msg_send(w->sock, m, w->path.s, link, w->xattrs, fd);
    if (r == -ENAMETOOLONG) /* nobody's fault but the tree's */
        return r;
    if (r < 0)
        w->gone = r;
    return r;
}

static int leave_out(struct walk *w, const char *why)
{
    struct copy_msg m = {.type = COPY_LEFT_OUT};
    return put(w, &m, why, -1);
}

/* The user's own attributes: everything else means something to the system it lies in. */
static bool is_wanted(const char *name)
{
    return str_after(name, "user.") && !str_after(name, "user.overlay.");
}

static uint32_t read_xattrs(struct walk *w, int fd)
{
    char names[4096];
    ssize_t n = flistxattr(fd, names, sizeof(names));
    size_t at = 0;
    for (char *name = names; n > 0 && name < names + n; name += strlen(name) + 1) {
        size_t len = strlen(name) + 1;
        if (!is_wanted(name) || at + len + 4 >= COPY_MAX_XATTRS)
            continue;
        ssize_t size =
            fgetxattr(fd, name, w->xattrs + at + len + 4, COPY_MAX_XATTRS - at - len - 4);
        if (size < 0)
            continue;
        uint32_t size32 = (uint32_t)size;
        memcpy(w->xattrs + at, name, len);
        memcpy(w->xattrs + at + len, &size32, 4);
        at += len + 4 + size32;
    }
    return (uint32_t)at;
}

static int cannot(struct walk *w, int errnum, struct err *e)
{
    return err_set(e, errnum, "read \"%s\"", w->path.len ? w->path.s : ".");
}

/* at: a descriptor of the directory. Opened only when it is a regular file, without waiting for a
 * lease or a FIFO that it may have become. */
static int send_file(struct walk *w, int at, const char *name, struct err *e)
{
    scoped_fd int fd = openat(at, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    if (fd < 0 && (errno == ENOENT || errno == ELOOP || errno == ENXIO))
        return 0; /* it went away */
    if (fd < 0 || fstat(fd, &st) < 0)
        return cannot(w, errno, e);
    if (!S_ISREG(st.st_mode))
        return leave_out(w, "it was changed meanwhile");
    const char *earlier = earlier_name(w, &st);
    struct copy_msg m = message(earlier ? COPY_HARDLINK : COPY_FILE, &st);
    m.xattrs_len = read_xattrs(w, fd);
    return put(w, &m, earlier, fd);
}

static int send_symlink(struct walk *w, int at, const char *name, const struct stat *st,
                        struct err *e)
{
    char target[COPY_MAX_PATH + 1];
    struct copy_msg m = message(COPY_SYMLINK, st);
    ssize_t n = readlinkat(at, name, target, sizeof(target) - 1);
    if (n < 0)
        return errno == ENOENT || errno == EINVAL ? 0 : cannot(w, errno, e);
    target[n] = '\0';
    return put(w, &m, target, -1);
}

static int send_node(struct walk *w, const struct stat *st)
{
    struct copy_msg m = message(S_ISFIFO(st->st_mode)  ? COPY_FIFO
                                : S_ISCHR(st->st_mode) ? COPY_CHAR
                                                       : COPY_BLOCK,
                                st);
    return S_ISSOCK(st->st_mode) ? leave_out(w, "it is a socket") : put(w, &m, NULL, -1);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int read_names(int dir, struct frame *f)
{
    size_t room = 0;
    int own = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scoped_dir DIR *d = own < 0 ? NULL : fdopendir(own);
    if (!d) {
        fd_close(&own);
        return -errno;
    }
    for (;;) {
        errno = 0;
        const struct dirent *ent = readdir(d);
        if (!ent)
            break;
        if (streq(ent->d_name, ".") || streq(ent->d_name, ".."))
            continue;
        if (f->n == room) {
            room = room ? room * 2 : 16;
            f->names = xrealloc(f->names, room * sizeof(*f->names));
        }
        f->names[f->n++] = xstrdup(ent->d_name);
    }
    int r = -errno;
    if (f->n)
        qsort(f->names, f->n, sizeof(*f->names), by_name);
    return r;
}

static void frame_release(struct frame *f)
{
    for (size_t i = 0; i < f->n; i++)
        free(f->names[i]);
    free(f->names);
}

/* /proc and /sys of a whole system that is copied: nobody wants what they say, and much of it
 * cannot be read. Who names them gets them. */
static bool is_kernels(const struct walk *w, int dir)
{
    struct statfs fs;
    return w->n_frames > 0 && fstatfs(dir, &fs) == 0 &&
           (fs.f_type == PROC_SUPER_MAGIC || fs.f_type == SYSFS_MAGIC) &&
           fstatfs(w->top, &fs) == 0 && fs.f_type != PROC_SUPER_MAGIC && fs.f_type != SYSFS_MAGIC;
}

/* dir becomes the one in work; it is taken over. */
static int enter_dir(struct walk *w, int dir, struct err *e)
{
    struct stat st;
    bool kernels = is_kernels(w, dir);
    fd_close(&w->dir);
    w->dir = dir;
    if (fstat(dir, &st) < 0)
        return cannot(w, errno, e);
    w->frames = xrealloc(w->frames, (w->n_frames + 1) * sizeof(*w->frames));
    struct frame *f = &w->frames[w->n_frames++];
    *f = (struct frame){.path_len = w->path.len, .m = message(COPY_DIR, &st)};
    f->m.xattrs_len = read_xattrs(w, dir);
    int r = put(w, &f->m, NULL, -1);
    f->m.type = COPY_DIR_END;
    f->m.xattrs_len = 0;
    if (r < 0 || kernels)
        return r;
    r = read_names(dir, f);
    return r < 0 ? cannot(w, -r, e) : 0;
}

static int send_entry(struct walk *w, const char *name, struct err *e)
{
    struct stat st;
    if (fstatat(w->dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : cannot(w, errno, e);
    if (S_ISREG(st.st_mode))
        return send_file(w, w->dir, name, e);
    if (S_ISLNK(st.st_mode))
        return send_symlink(w, w->dir, name, &st, e);
    if (!S_ISDIR(st.st_mode))
        return send_node(w, &st);
    int dir = openat(w->dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0)
        return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? 0 : cannot(w, errno, e);
    return enter_dir(w, dir, e);
}

static int leave_dir(struct walk *w, struct err *e)
{
    struct frame *f = &w->frames[--w->n_frames];
    int r = put(w, &f->m, NULL, -1);
    frame_release(f);
    fd_close(&w->dir);
    if (r < 0 || w->n_frames == 0)
        return r;
    cut_path(w, w->frames[w->n_frames - 1].path_len);
    w->dir =
        path_open_beneath(w->top, w->path.len ? w->path.s : ".", O_RDONLY | O_DIRECTORY, 0, NULL);
    if (w->dir >= 0)
        return 0;
    if (w->dir != -ENOENT && w->dir != -ENOTDIR && w->dir != -ELOOP && w->dir != -EXDEV)
        return cannot(w, -w->dir, e);
    w->frames[w->n_frames - 1].next = w->frames[w->n_frames - 1].n; /* it went away */
    return 0;
}

static int walk_all(struct walk *w, struct err *e)
{
    int r = 0;
    while (r == 0 && w->n_frames > 0) {
        struct frame *f = &w->frames[w->n_frames - 1];
        cut_path(w, f->path_len);
        if (f->next == f->n) {
            r = leave_dir(w, e);
            continue;
        }
        const char *name = f->names[f->next++];
        str_addf(&w->path, "%s%s", w->path.len ? "/" : "", name);
        r = w->path.len > COPY_MAX_PATH ? cannot(w, ENAMETOOLONG, e) : send_entry(w, name, e);
    }
    return r;
}

static int send_head(struct walk *w, const struct copy_place *p, bool contents)
{
    scoped_free char *real = *p->name ? NULL : copy_dir_name(p->dir);
    const char *name = real ? real : p->name;
    struct copy_msg m = {.type = COPY_HEAD, .link_len = (uint32_t)strlen(name)};
    if (S_ISDIR(p->st.st_mode))
        m.flags |= COPY_IS_DIR;
    if (S_ISDIR(p->st.st_mode) && (contents || !*name))
        m.flags |= COPY_IS_CONTENTS;
    return put(w, &m, name, -1);
}

static int send_top(struct walk *w, const struct copy_place *p, struct err *e)
{
    if (S_ISREG(p->st.st_mode))
        return send_file(w, p->dir, p->name, e);
    if (S_ISLNK(p->st.st_mode))
        return send_symlink(w, p->dir, p->name, &p->st, e);
    if (!S_ISDIR(p->st.st_mode))
        return send_node(w, &p->st);
    w->top = copy_place_open_dir(p, O_PATH, e);
    int dir = w->top < 0 ? w->top : copy_place_open_dir(p, O_RDONLY, e);
    int r = dir < 0 ? dir : enter_dir(w, dir, e);
    return r < 0 ? r : walk_all(w, e);
}

static int find_and_send(struct walk *w, const struct copy_source *s, struct err *e)
{
    scoped_place struct copy_place p = COPY_PLACE_INIT;
    int r = copy_place_find(s->root, s->path, s->follow, &p, e);
    if (r < 0)
        return r;
    if (!p.exists)
        return err_set(e, ENOENT, "%s", p.path);
    if (p.slash && !S_ISDIR(p.st.st_mode))
        return err_set(e, ENOTDIR, "%s", p.path);
    r = send_head(w, &p, p.dot);
    return r == 0 ? send_top(w, &p, e) : r;
}

int copy_send(const struct copy_source *s, int sock)
{
    struct walk w = {.sock = sock, .top = -1, .dir = -1, .path = STR_INIT};
    struct err e = ERR_INIT;
    w.xattrs = xmalloc(COPY_MAX_XATTRS);
    int r = find_and_send(&w, s, &e);
    if (r == 0) {
        struct copy_msg end = {.type = COPY_END};
        r = put(&w, &end, NULL, -1);
    } else if (!w.gone) {
        if (!e.errnum)
            err_set(&e, -r, "%s", s->path);
        err_add(&e, r, "%s", s->label);
        copy_send_failure(sock, &e);
    }
    while (w.n_frames > 0)
        frame_release(&w.frames[--w.n_frames]);
    free(w.frames);
    free(w.xattrs);
    tdestroy(w.links, free);
    str_release(&w.path);
    fd_close(&w.top);
    fd_close(&w.dir);
    return w.gone;
}
