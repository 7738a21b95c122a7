/* pack-tar - ADD of an archive: its entries below the destination, merged with the image. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/path.h"
#include "base/strv.h"
#include "build/chmod.h"
#include "build/pack.h"
#include "build/place.h"
#include "build/untar.h"

static struct attr attr_of(const struct pack *p, const struct untar_entry *x)
{
    struct attr a = {
        .type = x->type,
        .mode = x->mode,
        .uid = p->own ? p->uid : x->uid,
        .gid = p->own ? p->gid : x->gid,
        .size = x->size,
        .mtime = pack_time(p, x->mtime),
    };
    if (p->c->chmod && x->type != '2')
        a.mode = chmod_apply(p->c->chmod, a.mode, x->type == '5');
    return a;
}

static void add_xattrs(struct pax *pax, const struct untar_entry *x)
{
    for (size_t i = 0; x->xattrs && x->xattrs[i]; i++) {
        scoped_free char *key = xasprintf("SCHILY.xattr.%s", x->xattrs[i]);
        pax_record(pax, key, x->values[i].s, x->values[i].len);
    }
}

/* Where a path of the archive goes below dir, links to directories of the image followed. */
static int target(struct pack *p, const char *dir, const char *path, char **ret, struct err *e)
{
    scoped_strv char **parts = strv_split(path, "/", false);
    scoped_free char *at = xstrdup(dir);
    size_t n = strv_len(parts);
    for (size_t i = 0; i + 1 < n; i++) {
        struct place next scoped_place = PLACE_INIT;
        int r = pack_find(p, at, parts[i], &next, e);
        if (r < 0)
            return r;
        free(at);
        at = take_ptr(next.path);
    }
    if (n == 0)
        *ret = xstrdup(at);
    else
        *ret = *at ? xasprintf("%s/%s", at, parts[n - 1]) : xstrdup(parts[n - 1]);
    return 0;
}

static int put_content(struct pack *p, struct untar *u, uint64_t size, struct err *e)
{
    static char buf[65536];
    ssize_t n;
    int r = 0;
    while (r == 0 && (n = untar_read(u, buf, sizeof(buf), e)) != 0)
        r = n < 0 ? (int)n : out_write(p->out, buf, (size_t)n, e);
    return r == 0 ? pack_padding(p, size, e) : r;
}

static int put_dir(struct pack *p, const struct attr *a, const char *path, struct err *e)
{
    struct place at scoped_place = PLACE_INIT;
    const char *slash = strrchr(path, '/');
    scoped_free char *up = xstrndup(path, slash ? (size_t)(slash - path) : 0);
    int r = pack_find(p, up, path_name(path), &at, e);
    if (r < 0)
        return r;
    if (at.kind == PLACE_OTHER)
        return err_set(e, ENOTDIR, "/%s of the image", at.path);
    return pack_set_dir(p, at.path, a, e);
}

static int put_other(struct pack *p, struct untar *u, const struct untar_entry *x,
                     const struct attr *a, const char *path, struct err *e)
{
    const char *slash = strrchr(path, '/');
    scoped_free char *up = xstrndup(path, slash ? (size_t)(slash - path) : 0);
    int r = pack_dir(p, up, NULL, e);
    if (r == 0)
        r = pack_refuse_dir(p, path, e);
    if (r == 0)
        r = pack_entry(p, path, a, e);
    return r == 0 && x->type == '0' ? put_content(p, u, x->size, e) : r;
}

static int put_entry(struct pack *p, struct untar *u, const struct untar_entry *x, const char *dir,
                     struct err *e)
{
    scoped_free char *path = NULL, *link = NULL;
    struct pax xattrs = {.records = STR_INIT};
    struct attr a = attr_of(p, x);
    if (!*x->path)
        return 0;
    int r = target(p, dir, x->path, &path, e);
    if (r == 0 && x->type == '1')
        r = target(p, dir, x->link, &link, e);
    if (r < 0)
        return r;
    a.link = x->type == '1' ? link : x->type == '2' ? x->link : NULL;
    add_xattrs(&xattrs, x);
    a.records = &xattrs.records;
    r = x->type == '5' ? put_dir(p, &a, path, e) : put_other(p, u, x, &a, path, e);
    str_release(&xattrs.records);
    return r;
}

int pack_archive(struct pack *p, const struct item *it, const char *dir, struct err *e)
{
    struct untar *u SCOPED(untar_scoped) = NULL;
    const struct untar_entry *x = NULL;
    scoped_fd int fd = path_open_beneath(p->c->spec.from_fd, it->path, O_RDONLY | O_NONBLOCK, 0, e);
    if (fd < 0)
        return fd;
    int r = pack_dir(p, dir, NULL, e);
    if (r == 0)
        r = untar_open(fd, &u, e);
    while (r == 0 && (r = untar_next(u, &x, e)) > 0) {
        r = put_entry(p, u, x, dir, e);
        if (r < 0) {
            char shown[300];
            err_add(e, r, "entry \"%s\"", err_escape(shown, sizeof(shown), x->path));
        }
    }
    return r < 0 ? err_add(e, r, "\"%s\"", it->path) : 0;
}
