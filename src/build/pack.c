/* pack - the sources of a COPY as a tar to be put on top of the image. */
#include "build/pack.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>

#include "base/path.h"
#include "base/strv.h"
#include "build/chmod.h"
#include "build/owner.h"
#include "build/place.h"

#define MAX_DEPTH 402

/* One item on its way: where each level of it goes. */
struct trip {
    struct pack *p;
    const struct item *it;
    const char *top;       /* of a directory: where its content goes; of a file: itself */
    char *dirs[MAX_DEPTH]; /* by depth; owned */
};

static struct attr attr_of(const struct pack *p, const struct stat *st)
{
    bool keep = p->c->spec.from_image;
    struct attr a = {
        .mode = st->st_mode & 07777,
        .uid = p->own ? p->uid
               : keep ? st->st_uid
                      : 0,
        .gid = p->own ? p->gid
               : keep ? st->st_gid
                      : 0,
        .mtime = pack_time(p, st->st_mtime),
    };
    if (p->c->chmod && !S_ISLNK(st->st_mode))
        a.mode = chmod_apply(p->c->chmod, a.mode, S_ISDIR(st->st_mode));
    return a;
}

static int put_file(struct pack *p, const struct node *n, const char *path, struct err *e)
{
    struct attr a = attr_of(p, &n->st);
    const char *first = pack_link(p, &n->st, path);
    if (first) {
        a.type = '1';
        a.link = first;
        return pack_entry(p, path, &a, e);
    }
    scoped_fd int fd = node_open(n, e);
    struct stat st;
    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0)
        return err_set(e, errno, "look at it");
    a.type = '0';
    a.size = (uint64_t)st.st_size;
    node_xattrs(fd, p->c->spec.from_image, &p->pax);
    int r = pack_entry(p, path, &a, e);
    if (r == 0)
        r = out_copy(p->out, fd, 0, a.size, e);
    return r == 0 ? pack_padding(p, a.size, e) : r;
}

static int put_node(struct pack *p, const struct node *n, const char *path, struct err *e)
{
    struct attr a = attr_of(p, &n->st);
    switch (n->st.st_mode & S_IFMT) {
    case S_IFREG:
        break;
    case S_IFLNK:
        a.type = '2';
        a.link = n->link;
        a.mode = 0777;
        break;
    case S_IFIFO:
        a.type = '6';
        break;
    default: {
        char shown[300];
        strv_addf(&p->c->notes, "\"%s\" is left out: a device or socket",
                  err_escape(shown, sizeof(shown), *n->rel ? n->rel : n->name));
        return 0;
    }
    }
    int r = pack_refuse_dir(p, path, e);
    if (r < 0)
        return r;
    return S_ISREG(n->st.st_mode) ? put_file(p, n, path, e) : pack_entry(p, path, &a, e);
}

static int put_subdir(struct trip *t, const struct node *n, struct err *e)
{
    struct pack *p = t->p;
    struct place at scoped_place = PLACE_INIT;
    struct attr a = attr_of(p, &n->st);
    int r = 0;
    if (n->depth == 0)
        at.path = xstrdup(t->top);
    else
        r = pack_find(p, t->dirs[n->depth - 1], n->name, &at, e);
    if (r == 0 && at.kind == PLACE_OTHER)
        r = err_set(e, ENOTDIR, "/%s of the image", at.path);
    if (r == 0)
        r = pack_dir(p, at.path, &a, e);
    free(t->dirs[n->depth]);
    t->dirs[n->depth] = take_ptr(at.path);
    return r;
}

static int visit(void *data, const struct node *n, struct err *e)
{
    struct trip *t = data;
    if (S_ISDIR(n->st.st_mode))
        return put_subdir(t, n, e);
    if (n->depth == 0)
        return put_node(t->p, n, t->top, e);
    const char *dir = t->dirs[n->depth - 1];
    scoped_free char *path = *dir ? xasprintf("%s/%s", dir, n->name) : xstrdup(n->name);
    return put_node(t->p, n, path, e);
}

static int put_tree(struct pack *p, const struct item *it, const char *top, struct err *e)
{
    struct trip *t = xcalloc(1, sizeof(*t));
    t->p = p;
    t->it = it;
    t->top = top;
    int r = copy_walk(p->c, it, visit, t, e);
    for (size_t i = 0; i < MAX_DEPTH; i++)
        free(t->dirs[i]);
    free(t);
    return r;
}

static int put_bytes(struct pack *p, const struct item *it, const char *path, struct err *e)
{
    struct attr a = {.type = '0', .mode = it->heredoc ? 0644 : 0600, .mtime = pack_time(p, p->now)};
    struct stat st;
    int r = pack_refuse_dir(p, path, e);
    if (p->own) {
        a.uid = p->uid;
        a.gid = p->gid;
    }
    if (p->c->chmod)
        a.mode = chmod_apply(p->c->chmod, a.mode, false);
    if (r < 0)
        return r;
    if (it->heredoc) {
        a.size = strlen(it->heredoc->body);
        r = pack_entry(p, path, &a, e);
        if (r == 0)
            r = out_write(p->out, it->heredoc->body, a.size, e);
        return r == 0 ? pack_padding(p, a.size, e) : r;
    }
    if (fstat(it->download->fd, &st) < 0)
        return err_set(e, errno, "look at what was fetched");
    a.size = (uint64_t)st.st_size;
    a.mtime = pack_time(p, it->download->mtime);
    r = pack_entry(p, path, &a, e);
    if (r == 0)
        r = out_copy(p->out, it->download->fd, 0, a.size, e);
    return r == 0 ? pack_padding(p, a.size, e) : r;
}

/* The destination: without links, and whether it is or must be a directory. */
static int find_destination(struct pack *p, struct place *ret, bool *ret_dir, struct err *e)
{
    const struct copy_spec *s = &p->c->spec;
    const char *to = s->in->args[strv_len(s->in->args) - 1], *last = path_name(to);
    scoped_free char *whole =
        to[0] == '/' ? xstrdup(to) : path_join(s->workdir ? s->workdir : "/", to);
    scoped_free char *clean = path_clean(whole);
    int r = place_find(p->root_fd, clean, true, ret, e);
    if (r < 0)
        return r;
    *ret_dir = !*last || streq(last, ".") || streq(last, "..") || ret->kind == PLACE_DIR ||
               p->c->parents || p->c->n > 1;
    if (p->c->n > 1 && !p->c->parents && *last && ret->kind == PLACE_NONE)
        return err_hint(e,
                        err_msg(e, EINVAL, "several files match, but \"%s\" is no directory", to),
                        "a directory ends in a slash: %s/", to);
    if (*ret_dir && ret->kind == PLACE_OTHER)
        return err_set(e, ENOTDIR, "/%s of the image", ret->path);
    return 0;
}

/* The directory dir with the parts of below made in it. */
static int go_below(struct pack *p, const char *dir, const char *below, char **ret, struct err *e)
{
    scoped_strv char **parts = strv_split(below, "/", false);
    scoped_free char *at = xstrdup(dir);
    int r = pack_dir(p, at, NULL, e);
    for (char **part = parts; part && *part && r == 0; part++) {
        struct place next scoped_place = PLACE_INIT;
        r = pack_find(p, at, *part, &next, e);
        if (r == 0)
            r = pack_dir(p, next.path, NULL, e);
        free(at);
        at = take_ptr(next.path);
    }
    if (r == 0)
        *ret = take_ptr(at);
    return r;
}

/* What WORKDIR wants to be there, before anything is put into it. */
static int put_workdirs(struct pack *p, struct err *e)
{
    const bool own = p->own;
    const uint32_t uid = p->uid, gid = p->gid;
    int r = 0;
    for (char *const *v = p->c->spec.dirs; v && *v && r == 0; v++) {
        struct place at scoped_place = PLACE_INIT;
        const char *path = owner_workdir(p->root_fd, *v, &p->uid, &p->gid);
        p->own = true;
        r = place_find(p->root_fd, path, true, &at, e);
        if (r == 0)
            r = pack_dir(p, at.path, NULL, e);
    }
    p->own = own;
    p->uid = uid;
    p->gid = gid;
    return r;
}

static int put_item(struct pack *p, const struct item *it, const char *to, bool dir, struct err *e)
{
    scoped_free char *under = NULL, *path = NULL;
    if (it->kind == ITEM_DIR && !it->parents)
        return put_tree(p, it, to, e);
    if (it->kind == ITEM_ARCHIVE)
        return pack_archive(p, it, to, e);
    if (it->parents && it->kind == ITEM_DIR) {
        int r = go_below(p, to, it->parents, &under, e);
        return r == 0 ? put_tree(p, it, under, e) : r;
    }
    const char *slash = it->parents ? strrchr(it->parents, '/') : NULL;
    const char *up = dir ? NULL : strrchr(to, '/');
    scoped_free char *above =
        slash ? xstrndup(it->parents, (size_t)(slash - it->parents)) : xstrdup("");
    scoped_free char *base = dir ? xstrdup(to) : xstrndup(to, up ? (size_t)(up - to) : 0);
    int r = go_below(p, base, above, &under, e);
    if (r < 0)
        return r;
    path = !dir ? xstrdup(to) : *under ? xasprintf("%s/%s", under, it->name) : xstrdup(it->name);
    if (it->kind == ITEM_FILE)
        return put_tree(p, it, path, e);
    return put_bytes(p, it, path, e);
}

int copy_pack(struct copy *c, int root_fd, int out_fd, struct err *e)
{
    struct pack p SCOPED(pack_release) = {
        .c = c, .root_fd = root_fd, .pax = {.records = STR_INIT}, .now = time(NULL)};
    struct place to scoped_place = PLACE_INIT;
    struct layer_result done = {0};
    bool dir = false;
    int r = out_new(out_fd, OUT_NO_DIGEST, &p.out, e);
    p.own = c->chown != NULL;
    if (r == 0 && p.own)
        r = owner_chown(root_fd, c->chown, &p.uid, &p.gid, e);
    if (r == 0)
        r = put_workdirs(&p, e);
    if (r == 0)
        r = find_destination(&p, &to, &dir, e);
    for (size_t i = 0; i < c->n && r == 0; i++)
        r = put_item(&p, &c->items[i], to.path, dir, e);
    if (r == 0)
        r = out_zeros(p.out, 1024, e);
    return r == 0 ? out_end(p.out, &done, e) : r;
}
