/* walk - over a source of COPY, sorted, without what is ignored or excluded. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/xattr.h>

#include "base/fs.h"
#include "base/path.h"
#include "base/strv.h"
#include "build/copy-priv.h"
#include "layer/pax.h"

#define MAX_DEPTH 400 /* a descriptor each */
#define MAX_XATTR 65536

/* A directory that was come through. pending: it is left out, and only there if something in it is
 * taken back. */
struct level {
    struct level *up;
    const struct node *node;
    bool pending;
};

struct walk {
    struct copy *c;
    const struct item *it;
    node_visit visit;
    void *data;
};

static int visit_pending(const struct walk *w, struct level *l, struct err *e)
{
    if (!l || !l->pending)
        return 0;
    int r = visit_pending(w, l->up, e);
    if (r == 0)
        r = w->visit(w->data, l->node, e);
    l->pending = false;
    return r;
}

static bool is_out(const struct walk *w, const char *rel)
{
    scoped_free char *path = *w->it->path ? xasprintf("%s/%s", w->it->path, rel) : xstrdup(rel);
    return ignore_match(w->c->spec.ignore, path) ||
           (w->c->exclude && ignore_match(w->c->exclude, rel));
}

static bool may_be_in(const struct walk *w, const char *rel)
{
    scoped_free char *path = *w->it->path ? xasprintf("%s/%s", w->it->path, rel) : xstrdup(rel);
    const struct ignore *g = w->c->spec.ignore;
    bool context = !ignore_match(g, path) || ignore_may_take_back(g, path);
    bool exclude = !w->c->exclude || !ignore_match(w->c->exclude, rel) ||
                   ignore_may_take_back(w->c->exclude, rel);
    return context && exclude;
}

static int names_of(int fd, char ***ret, struct err *e)
{
    scoped_dir DIR *d = fdopendir(fd);
    struct dirent *x;
    int r = 0;
    while ((x = fs_next_entry(d, &r)))
        if (!streq(x->d_name, ".") && !streq(x->d_name, ".."))
            strv_add(ret, x->d_name);
    strv_sort(*ret);
    return r < 0 ? err_set(e, -r, "read a directory") : 0;
}

static int walk_dir(const struct walk *w, int fd, const struct node *node, struct level *up,
                    struct err *e);

/* Of a symbolic link: where it leads to, owned. */
static int read_link(const struct node *n, char **ret, struct err *e)
{
    char link[PATH_MAX];
    ssize_t len = readlinkat(n->dir_fd, n->name, link, sizeof(link));
    if (len < 0 || len == sizeof(link))
        return err_set(e, len < 0 ? errno : ENAMETOOLONG, "read the link");
    *ret = xstrndup(link, (size_t)len);
    return 0;
}

static int walk_into(const struct walk *w, const struct node *n, struct level *here, struct err *e)
{
    if (n->depth > MAX_DEPTH)
        return err_msg(e, ELOOP, "deeper than %d directories", MAX_DEPTH);
    int fd = openat(n->dir_fd, n->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return err_set(e, errno, "read the directory");
    return walk_dir(w, fd, n, here, e);
}

static int walk_entry(const struct walk *w, struct node n, struct level *up, struct err *e)
{
    scoped_free char *link = NULL;
    bool out = is_out(w, n.rel);
    int r = copy_interrupted(w->c, e);
    if (r < 0)
        return r;
    if (fstatat(n.dir_fd, n.name, &n.st, AT_SYMLINK_NOFOLLOW) < 0)
        return err_set(e, errno, "look at it");
    bool dir = S_ISDIR(n.st.st_mode);
    if (out && (!dir || !may_be_in(w, n.rel)))
        return 0;
    if (S_ISLNK(n.st.st_mode))
        r = read_link(&n, &link, e);
    n.link = link;
    struct level here = {.up = up, .node = &n, .pending = out};
    if (r == 0 && !out)
        r = visit_pending(w, up, e);
    if (r == 0 && !out)
        r = w->visit(w->data, &n, e);
    return r == 0 && dir ? walk_into(w, &n, &here, e) : r;
}

/* Owns fd. */
static int walk_dir(const struct walk *w, int fd, const struct node *node, struct level *up,
                    struct err *e)
{
    scoped_fd int own = fd;
    scoped_strv char **names = NULL;
    int r = names_of(fcntl(fd, F_DUPFD_CLOEXEC, 3), &names, e);
    for (char **name = names; name && *name && r == 0; name++) {
        scoped_free char *rel = *node->rel ? xasprintf("%s/%s", node->rel, *name) : xstrdup(*name);
        struct node n = {.rel = rel, .name = *name, .dir_fd = own, .depth = node->depth + 1};
        struct err inner = ERR_INIT;
        r = walk_entry(w, n, up, &inner);
        if (r < 0 && !inner.exit_status) {
            char shown[300]; /* the innermost name is the whole path below the item */
            err_add(&inner, r, "\"%s\"", err_escape(shown, sizeof(shown), rel));
            inner.exit_status = 125;
        }
        if (r < 0 && e)
            *e = inner;
    }
    return r;
}

int copy_walk(struct copy *c, const struct item *it, node_visit visit, void *data, struct err *e)
{
    struct walk w = {c, it, visit, data};
    struct node top = {.rel = "", .name = it->name, .dir_fd = -1};
    if (it->kind != ITEM_DIR) {
        scoped_free char *name = NULL;
        scoped_fd int dir = path_open_parent(c->spec.from_fd, it->path, false, &name, e);
        if (dir < 0)
            return dir;
        top.dir_fd = dir;
        top.name = name;
        if (fstatat(dir, name, &top.st, AT_SYMLINK_NOFOLLOW) < 0)
            return err_set(e, errno, "look at \"%s\"", it->path);
        return visit(data, &top, e);
    }
    int fd = path_open_beneath(c->spec.from_fd, *it->path ? it->path : ".", O_RDONLY | O_DIRECTORY,
                               0, e);
    if (fd < 0)
        return fd;
    if (fstat(fd, &top.st) < 0) {
        close(fd);
        return err_set(e, errno, "look at \"%s\"", it->path);
    }
    int r = visit(data, &top, e);
    if (r < 0) {
        close(fd);
        return r;
    }
    return walk_dir(&w, fd, &top, NULL, e);
}

int node_open(const struct node *n, struct err *e)
{
    struct stat st;
    int fd = openat(n->dir_fd, n->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return err_set(e, errno, "open it");
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return err_msg(e, EINVAL, "no longer a file");
    }
    return fd;
}

static bool wanted_xattr(const char *name, bool from_image)
{
    if (strncmp(name, "user.", 5) == 0)
        return strncmp(name, "user.overlay.", 13) != 0;
    /* Of the host they are for the host's users: only inside an image they mean the image's. */
    return from_image &&
           (streq(name, "security.capability") || strncmp(name, "system.posix_acl_", 17) == 0);
}

void node_xattrs(int fd, bool from_image, struct pax *ret)
{
    char list[4096];
    ssize_t n = flistxattr(fd, list, sizeof(list));
    if (n <= 0)
        return;
    scoped_strv char **names = NULL;
    scoped_free char *value = xmalloc(MAX_XATTR);
    for (ssize_t at = 0; at < n; at += (ssize_t)strlen(list + at) + 1)
        if (wanted_xattr(list + at, from_image))
            strv_add(&names, list + at);
    strv_sort(names);
    for (char **x = names; x && *x; x++) {
        ssize_t len = fgetxattr(fd, *x, value, MAX_XATTR);
        scoped_free char *key = xasprintf("SCHILY.xattr.%s", *x);
        if (len >= 0)
            pax_record(ret, key, value, (size_t)len);
    }
}
