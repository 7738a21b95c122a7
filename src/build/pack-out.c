/* pack-out - entries of the tar, and the directories that they need. */
#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <string.h>

#include "base/path.h"
#include "base/str.h"
#include "build/pack.h"
#include "build/place.h"

/* A directory of the tar; fresh: the image below has none there, so nothing is in it. */
struct dir {
    bool fresh;
    char path[];
};

struct file {
    dev_t dev;
    ino_t ino;
    char path[];
};

static int by_path(const void *a, const void *b)
{
    const struct dir *x = a, *y = b;
    return strcmp(x->path, y->path);
}

static int by_inode(const void *a, const void *b)
{
    const struct file *x = a, *y = b;
    if (x->ino != y->ino)
        return x->ino < y->ino ? -1 : 1;
    return x->dev < y->dev ? -1 : x->dev > y->dev;
}

void pack_release(struct pack *p)
{
    tdestroy(p->dirs, free);
    tdestroy(p->links, free);
    str_release(&p->pax.records);
    out_free(p->out);
}

static struct dir *find_dir(const struct pack *p, const char *path)
{
    scoped_free struct dir *key = xmalloc(sizeof(*key) + strlen(path) + 1);
    memcpy(key->path, path, strlen(path) + 1);
    void *found = tfind(key, &p->dirs, by_path);
    return found ? *(struct dir **)found : NULL;
}

static void add_dir(struct pack *p, const char *path, bool fresh)
{
    struct dir *d = xmalloc(sizeof(*d) + strlen(path) + 1);
    d->fresh = fresh;
    memcpy(d->path, path, strlen(path) + 1);
    tsearch(d, &p->dirs, by_path);
}

const char *pack_link(struct pack *p, const struct stat *st, const char *path)
{
    if (st->st_nlink < 2)
        return NULL;
    struct file *f = xmalloc(sizeof(*f) + strlen(path) + 1);
    f->dev = st->st_dev;
    f->ino = st->st_ino;
    memcpy(f->path, path, strlen(path) + 1);
    struct file *found = *(struct file **)tsearch(f, &p->links, by_inode);
    if (found == f)
        return NULL;
    free(f);
    return found->path;
}

int64_t pack_time(const struct pack *p, int64_t t)
{
    if (p->c->spec.mtime >= 0)
        return p->c->spec.mtime;
    if (p->c->spec.max_mtime >= 0 && t > p->c->spec.max_mtime)
        return p->c->spec.max_mtime;
    return t;
}

int pack_entry(struct pack *p, const char *path, const struct attr *a, struct err *e)
{
    scoped_free char *name = a->type == '5' ? xasprintf("%s/", path) : NULL;
    p->pax.type = a->type;
    p->pax.path = name ? name : path;
    p->pax.link = a->link;
    p->pax.mode = a->mode & 07777;
    p->pax.uid = a->uid;
    p->pax.gid = a->gid;
    p->pax.size = a->size;
    p->pax.mtime = (struct timespec){.tv_sec = (time_t)a->mtime};
    if (a->records)
        str_addn(&p->pax.records, a->records->s, a->records->len);
    return pax_write(&p->pax, p->out, e);
}

int pack_padding(struct pack *p, uint64_t size, struct err *e)
{
    return out_zeros(p->out, (512 - size % 512) % 512, e);
}

/* As it is below: an entry of the new layer would hide its owner and mode otherwise. */
static int old_dir(struct pack *p, const struct place *old, struct err *e)
{
    if (!*old->path && (old->st.st_mode & 07777) == 0755 && !old->st.st_uid && !old->st.st_gid)
        return 0;
    struct attr a = {.type = '5',
                     .mode = old->st.st_mode & 07777,
                     .uid = old->st.st_uid,
                     .gid = old->st.st_gid,
                     .mtime = old->st.st_mtime};
    scoped_fd int fd = path_open_beneath(p->root_fd, *old->path ? old->path : ".",
                                         O_RDONLY | O_DIRECTORY, 0, NULL);
    if (fd >= 0)
        node_xattrs(fd, true, &p->pax);
    return pack_entry(p, *old->path ? old->path : ".", &a, e);
}

static int new_dir(struct pack *p, const char *path, const struct attr *attr, struct err *e)
{
    struct attr a = attr ? *attr : (struct attr){.mode = 0755, .mtime = pack_time(p, p->now)};
    a.type = '5';
    if (p->own) {
        a.uid = p->uid;
        a.gid = p->gid;
    }
    return pack_entry(p, path, &a, e);
}

/* The directories above path are in the tar after; *ret: what the image has at path. */
static int enter(struct pack *p, const char *path, struct place *ret, struct err *e)
{
    const char *slash = strrchr(path, '/');
    scoped_free char *up = xstrndup(path, slash ? (size_t)(slash - path) : 0);
    int r = *path ? pack_dir(p, up, NULL, e) : 0;
    if (r < 0)
        return r;
    const struct dir *parent = *path ? find_dir(p, up) : NULL;
    if (parent && parent->fresh)
        return 0;
    r = place_find(p->root_fd, path, false, ret, e);
    if (r == 0 && ret->kind == PLACE_OTHER)
        return err_set(e, ENOTDIR, "/%s of the image", path);
    return r;
}

int pack_dir(struct pack *p, const char *path, const struct attr *attr, struct err *e)
{
    struct place old scoped_place = PLACE_INIT;
    if (find_dir(p, path))
        return 0;
    int r = enter(p, path, &old, e);
    if (r < 0)
        return r;
    add_dir(p, path, old.kind == PLACE_NONE);
    if (!*path && p->root_fd < 0)
        return 0;
    return old.kind == PLACE_DIR ? old_dir(p, &old, e) : new_dir(p, path, attr, e);
}

int pack_set_dir(struct pack *p, const char *path, const struct attr *attr, struct err *e)
{
    struct place old scoped_place = PLACE_INIT;
    if (!find_dir(p, path)) {
        int r = enter(p, path, &old, e);
        if (r < 0)
            return r;
        add_dir(p, path, old.kind == PLACE_NONE);
    }
    return pack_entry(p, path, attr, e);
}

int pack_find(struct pack *p, const char *dir, const char *name, struct place *ret, struct err *e)
{
    scoped_free char *path = *dir ? xasprintf("%s/%s", dir, name) : xstrdup(name);
    const struct dir *own = find_dir(p, path), *parent = find_dir(p, dir);
    if (own || (parent && parent->fresh)) {
        *ret = (struct place){.kind = own ? PLACE_DIR : PLACE_NONE, .path = take_ptr(path)};
        return 0;
    }
    return place_find(p->root_fd, path, true, ret, e);
}

int pack_refuse_dir(struct pack *p, const char *path, struct err *e)
{
    struct place old scoped_place = PLACE_INIT;
    const char *slash = strrchr(path, '/');
    scoped_free char *up = xstrndup(path, slash ? (size_t)(slash - path) : 0);
    const struct dir *parent = find_dir(p, up);
    if (find_dir(p, path))
        return err_set(e, EISDIR, "/%s", path);
    if (parent && parent->fresh)
        return 0;
    int r = place_find(p->root_fd, path, false, &old, e);
    if (r == 0 && old.kind == PLACE_DIR)
        return err_set(e, EISDIR, "/%s of the image", path);
    return r;
}
