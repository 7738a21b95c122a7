/* copy - COPY and ADD from their flags to the content hash. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/fs.h"
#include "base/path.h"
#include "base/strv.h"
#include "build/chmod.h"
#include "build/copy-priv.h"
#include "build/untar.h"
#include "layer/pax.h"

static int read_flags(struct copy *c, struct err *e)
{
    const struct ins *in = c->spec.in;
    scoped_strv char **excludes = NULL;
    bool link;
    c->chown = ins_flag_value(in, "chown", NULL);
    c->chmod = ins_flag_value(in, "chmod", NULL);
    int r = c->chmod ? chmod_check(c->chmod, e) : 0;
    if (r == 0)
        r = ins_flag_bool(in, "parents", &c->parents, e);
    if (r == 0) /* a layer of its own it is anyway */
        r = ins_flag_bool(in, "link", &link, e);
    for (size_t i = 0; i < in->n_flags; i++)
        if (streq(in->flags[i].name, "exclude") && in->flags[i].value)
            strv_add(&excludes, in->flags[i].value);
    if (r == 0 && excludes)
        r = err_add(e, ignore_new(excludes, &c->exclude, e), "--exclude");
    return r;
}

/* Where the destination must be a directory it must say so. */
static int check_destination(const struct copy *c, struct err *e)
{
    const struct ins *in = c->spec.in;
    size_t n = strv_len(in->args);
    const char *to = in->args[n - 1], *last = path_name(to);
    bool dir = !*last || streq(last, ".") || streq(last, "..");
    if (!*to)
        return err_msg(e, EINVAL, "the destination is empty");
    if (dir || c->parents || n == 2)
        return 0;
    return err_hint(e,
                    err_msg(e, EINVAL,
                            "several sources, but the destination \"%s\" is not a "
                            "directory",
                            to),
                    "a directory ends in a slash: %s/", to);
}

int copy_open(const struct copy_spec *spec, struct copy **ret, struct err *e)
{
    struct copy *c = xcalloc(1, sizeof(*c));
    c->spec = *spec;
    int r = read_flags(c, e);
    if (r == 0)
        r = copy_select(c, e);
    if (r == 0)
        r = check_destination(c, e);
    if (r < 0)
        copy_close(c);
    else
        *ret = c;
    return r;
}

void copy_close(struct copy *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->n; i++) {
        free(c->items[i].path);
        free(c->items[i].name);
        free(c->items[i].parents);
    }
    free(c->items);
    ignore_free(c->exclude);
    strv_free(c->notes);
    free(c);
}

char *const *copy_notes(const struct copy *c)
{
    return c->notes;
}

/* ADD unpacks what is a tar by its content; --unpack=false does not. */
bool item_is_archive(const struct copy *c, const struct item *it)
{
    struct untar *u SCOPED(untar_scoped) = NULL;
    bool unpack = true;
    unsigned char magic[512];
    if (c->spec.in->kind != INS_ADD)
        return false;
    if (ins_flag(c->spec.in, "unpack") &&
        (ins_flag_bool(c->spec.in, "unpack", &unpack, NULL) < 0 || !unpack))
        return false;
    scoped_fd int fd = path_open_beneath(c->spec.from_fd, it->path, O_RDONLY | O_NONBLOCK, 0, NULL);
    if (fd < 0 || pread(fd, magic, sizeof(magic), 0) < 20)
        return false;
    /* Most files are not worth a process. */
    bool packed = memcmp(magic, "\x1f\x8b", 2) == 0 || memcmp(magic, "BZh", 3) == 0 ||
                  memcmp(magic,
                         "\xfd"
                         "7zXZ",
                         5) == 0 ||
                  memcmp(magic, "\x28\xb5\x2f\xfd", 4) == 0;
    bool tar = magic[0] && memchr(magic + 1, 0, 99) && memcmp(magic + 257, "ustar", 5) == 0;
    return (packed || tar) && untar_open(fd, &u, NULL) == 0;
}

/* What the hash is made of: every text with its length. */
struct hash {
    struct copy *c;
    struct digest *d;
};

static void add_text(struct hash *h, const void *data, size_t n)
{
    uint64_t len = n;
    digest_add(h->d, &len, sizeof(len));
    digest_add(h->d, data, n);
}

int copy_interrupted(const struct copy *c, struct err *e)
{
    return c->spec.interrupted ? c->spec.interrupted(e) : 0;
}

static int add_content(struct hash *h, int fd, struct err *e)
{
    static char buf[65536];
    uint64_t total = 0;
    for (off_t at = 0;;) {
        int r = copy_interrupted(h->c, e);
        if (r < 0)
            return r;
        ssize_t n = pread(fd, buf, sizeof(buf), at);
        if (n < 0)
            return err_set(e, errno, "read it");
        if (n == 0)
            break;
        digest_add(h->d, buf, (size_t)n);
        at += n;
        total += (uint64_t)n;
    }
    digest_add(h->d, &total, sizeof(total));
    return 0;
}

static int hash_node(void *data, const struct node *n, struct err *e)
{
    struct hash *h = data;
    bool owner = h->c->spec.from_image && !h->c->chown;
    if (S_ISSOCK(n->st.st_mode) || S_ISCHR(n->st.st_mode) || S_ISBLK(n->st.st_mode))
        return 0;
    uint32_t facts[3] = {n->st.st_mode, owner ? n->st.st_uid : 0, owner ? n->st.st_gid : 0};
    if (S_ISLNK(n->st.st_mode))
        facts[0] = S_IFLNK;
    add_text(h, n->rel, strlen(n->rel));
    add_text(h, facts, sizeof(facts));
    add_text(h, n->link ? n->link : "", n->link ? strlen(n->link) : 0);
    if (!S_ISREG(n->st.st_mode))
        return 0;
    scoped_fd int fd = node_open(n, e);
    if (fd < 0)
        return fd;
    struct pax xattrs = {.records = STR_INIT};
    node_xattrs(fd, h->c->spec.from_image, &xattrs);
    add_text(h, xattrs.records.s, xattrs.records.len);
    str_release(&xattrs.records);
    return add_content(h, fd, e);
}

static int hash_item(struct hash *h, const struct item *it, struct err *e)
{
    uint32_t kind = it->kind;
    add_text(h, &kind, sizeof(kind));
    add_text(h, it->name, it->kind == ITEM_DIR && !it->parents ? 0 : strlen(it->name));
    add_text(h, it->parents ? it->parents : "", it->parents ? strlen(it->parents) : 0);
    if (it->heredoc)
        add_text(h, it->heredoc->body, strlen(it->heredoc->body));
    else if (it->download)
        return add_content(h, it->download->fd, e);
    else
        return copy_walk(h->c, it, hash_node, h, e);
    return 0;
}

int copy_hash(struct copy *c, char ret[static DIGEST_TEXT_MAX], struct err *e)
{
    struct hash h = {.c = c};
    int r = digest_new(NULL, &h.d, e);
    for (size_t i = 0; i < c->n && r == 0; i++)
        r = hash_item(&h, &c->items[i], e);
    if (r == 0)
        r = digest_end(h.d, ret);
    digest_free(h.d);
    return r;
}

static int stamp_node(void *data, const struct node *n, struct err *e)
{
    struct hash *h = data;
    const int64_t facts[] = {(int64_t)n->st.st_dev, (int64_t)n->st.st_ino, n->st.st_mode,
                             n->st.st_size,         n->st.st_mtim.tv_sec,  n->st.st_mtim.tv_nsec,
                             n->st.st_ctim.tv_sec,  n->st.st_ctim.tv_nsec};
    (void)e;
    add_text(h, n->rel, strlen(n->rel));
    add_text(h, facts, sizeof(facts));
    return 0;
}

int copy_stamp(struct copy *c, char ret[static DIGEST_TEXT_MAX], struct err *e)
{
    struct hash h = {.c = c};
    int r = digest_new(NULL, &h.d, e);
    for (size_t i = 0; i < c->n && r == 0; i++)
        if (!c->items[i].heredoc && !c->items[i].download)
            r = copy_walk(c, &c->items[i], stamp_node, &h, e);
    if (r == 0)
        r = digest_end(h.d, ret);
    digest_free(h.d);
    return r;
}
