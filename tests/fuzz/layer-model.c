/* layer-model - what a layer's tree must look like, worked out in memory.
 *
 * Written from the image specification's words on layers, not from the unpacker: a list of paths,
 * and links on the way are followed in that list, anew for each entry. What it does not want to
 * judge (ACLs, huge files) makes it say so, and nothing is compared. Of the unpacker it shares only
 * the normalising of names (layer/entry.h). */
#include "layer-model.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "layer/tree.h"

#define IDS 65536

struct inode {
    mode_t mode; /* with the type; S_IFCHR is a whiteout */
    uint32_t uid, gid;
    struct timespec mtime;
    uint64_t size;
    unsigned char *data;
    char *link;
    bool opaque, any_mtime;
    char owner[48]; /* noted: of the archive, out of range */
    ino_t ino;      /* found on disk */
};

struct node {
    char *path;
    size_t inode;
    bool gone, seen;
    bool implied; /* no entry made it */
};

struct model {
    struct node *nodes;
    size_t n_nodes;
    struct inode *inodes;
    size_t n_inodes;
    bool whiteouts, unsure;
    const char *refuse; /* why the layer should not have been accepted */
};

void model_free(struct model *m)
{
    for (size_t i = 0; i < m->n_nodes; i++)
        free(m->nodes[i].path);
    for (size_t i = 0; i < m->n_inodes; i++) {
        free(m->inodes[i].data);
        free(m->inodes[i].link);
    }
    free(m->nodes);
    free(m->inodes);
    free(m);
}

static struct node *find(struct model *m, const char *path)
{
    for (size_t i = 0; i < m->n_nodes; i++)
        if (!m->nodes[i].gone && streq(m->nodes[i].path, path))
            return &m->nodes[i];
    return NULL;
}

static struct inode *inode_of(const struct model *m, const struct node *n)
{
    return &m->inodes[n->inode];
}

static size_t new_inode(struct model *m, mode_t mode, struct timespec mtime)
{
    m->inodes = xrealloc(m->inodes, (m->n_inodes + 1) * sizeof(*m->inodes));
    m->inodes[m->n_inodes] = (struct inode){.mode = mode, .mtime = mtime};
    return m->n_inodes++;
}

static void put(struct model *m, const char *path, size_t inode)
{
    m->nodes = xrealloc(m->nodes, (m->n_nodes + 1) * sizeof(*m->nodes));
    m->nodes[m->n_nodes++] = (struct node){.path = xstrdup(path), .inode = inode};
}

/* An entry and all below it. */
static void take_away(struct model *m, const char *path)
{
    size_t len = strlen(path);
    for (size_t i = 0; i < m->n_nodes; i++) {
        const char *p = m->nodes[i].path;
        if (strncmp(p, path, len) == 0 && (p[len] == '\0' || p[len] == '/' || len == 0))
            m->nodes[i].gone = true;
    }
}

/* The last part of a path. */
static const char *last(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void refuse(struct model *m, const char *why)
{
    if (!m->refuse)
        m->refuse = why;
}

/* Where path is when the links above it are followed inside the root; what is missing is only text.
 * NULL: it cannot be accepted. Owned. */
static char *resolve(struct model *m, const char *path)
{
    const char *name = last(path);
    char *todo = xstrndup(path, (size_t)(name - path));
    scoped_str struct str real = STR_INIT;
    str_addc(&real, '/'); /* room for a while */
    real.s[real.len = 0] = '\0';
    for (unsigned links = 0; todo && *todo;) {
        size_t n = strcspn(todo, "/"), had = real.len;
        scoped_free char *part = xstrndup(todo, n), *rest = xstrdup(todo + n + (todo[n] == '/'));
        free(todo);
        todo = xstrdup(rest);
        if (!*part || streq(part, "."))
            continue;
        if (streq(part, "..")) {
            while (real.len && real.s[--real.len] != '/')
                ;
            real.s[real.len] = '\0';
            continue;
        }
        str_addf(&real, "%s%s", had ? "/" : "", part);
        struct node *at = find(m, real.s);
        if (!at || !S_ISLNK(inode_of(m, at)->mode))
            continue;
        const char *link = inode_of(m, at)->link;
        real.len = *link == '/' ? 0 : had;
        real.s[real.len] = '\0';
        free(todo);
        todo = ++links > 40 ? NULL : xasprintf("%s/%s", link, rest);
    }
    if (!todo) {
        refuse(m, "links without an end are on its way");
        return NULL;
    }
    free(todo);
    str_addf(&real, "%s%s", real.len ? "/" : "", name);
    return xstrdup(real.s);
}

/* Makes the directories above a resolved path that are missing. false: what is in the way hides the
 * lower layers (for a whiteout), or it cannot be accepted. */
static bool make_parents(struct model *m, const char *path, bool whiteout, struct timespec mtime)
{
    for (const char *end = strchr(path, '/'); end; end = strchr(end + 1, '/')) {
        scoped_free char *dir = xstrndup(path, (size_t)(end - path));
        struct node *n = find(m, dir);
        if (!n) {
            put(m, dir, new_inode(m, S_IFDIR | 0755, mtime));
            m->nodes[m->n_nodes - 1].implied = true;
            continue;
        }
        mode_t type = inode_of(m, n)->mode & S_IFMT;
        if (type == S_IFDIR)
            continue;
        if (whiteout)
            return false;
        if (type != S_IFCHR) {
            refuse(m, "what is no directory is on its way");
            return false;
        }
        n->gone = true;
        size_t made = new_inode(m, S_IFDIR | 0755, mtime);
        m->inodes[made].opaque = true;
        put(m, dir, made);
    }
    return true;
}

/* What lower layers have of that name is hidden. */
static void hide(struct model *m, const char *path, struct timespec mtime)
{
    struct node *n = find(m, path);
    if (!n) {
        put(m, path, new_inode(m, S_IFCHR, mtime));
    } else if (S_ISDIR(inode_of(m, n)->mode)) {
        inode_of(m, n)->opaque = true;
        n->implied = false;
    }
}

static void whiteout(struct model *m, const struct layer_entry *x)
{
    const char *name = last(x->path);
    if (strncmp(name, ".wh..wh.", 8) == 0 && !streq(name, ".wh..wh..opq"))
        return; /* aufs' own */
    scoped_free char *real = resolve(m, x->path);
    if (!real || !make_parents(m, real, true, x->mtime))
        return;
    scoped_free char *dir = xstrndup(real, (size_t)(last(real) - real));
    if (streq(name, ".wh..wh..opq")) {
        dir[dir[0] ? strlen(dir) - 1 : 0] = '\0';
        struct node *n = find(m, dir);
        if (n)
            inode_of(m, n)->opaque = true;
        return;
    }
    scoped_free char *hidden = xasprintf("%s%s", dir, name + 4);
    hide(m, hidden, x->mtime);
}

static void read_content(struct model *m, struct archive *a, struct inode *i)
{
    const void *p;
    size_t n;
    la_int64_t at;
    if (i->size > 8 << 20) {
        m->unsure = true;
        return;
    }
    i->data = xcalloc(1, i->size + 1);
    while (archive_read_data_block(a, &p, &n, &at) == ARCHIVE_OK) {
        if (at < 0 || (uint64_t)at > i->size || n > i->size - (uint64_t)at) {
            m->unsure = true;
            return;
        }
        memcpy(i->data + at, p, n);
    }
}

/* path: resolved. The target's is not: links on its way are refused. */
static void hard_link(struct model *m, const struct layer_entry *x, const char *path)
{
    struct node *to = find(m, x->link), *old = find(m, path);
    if (!to || S_ISDIR(inode_of(m, to)->mode) || S_ISCHR(inode_of(m, to)->mode)) {
        refuse(m, "its target is no file of the layer");
        return;
    }
    size_t inode = to->inode;
    if (old && old->inode == inode)
        return;
    if (old)
        take_away(m, path);
    put(m, path, inode);
}

static void set_owner(struct model *m, struct inode *i, const struct layer_entry *x, bool squash)
{
    bool uid_ok = x->uid >= 0 && x->uid < IDS, gid_ok = x->gid >= 0 && x->gid < IDS;
    if ((!uid_ok || !gid_ok) && !squash)
        refuse(m, "its owner is out of range");
    i->owner[0] = '\0';
    if (!uid_ok || !gid_ok)
        snprintf(i->owner, sizeof(i->owner), "%lld:%lld", (long long)x->uid, (long long)x->gid);
    i->uid = uid_ok ? (uint32_t)x->uid : 0;
    i->gid = gid_ok ? (uint32_t)x->gid : 0;
    if (!uid_ok)
        i->mode &= ~(mode_t)S_ISUID;
    if (!gid_ok && S_ISREG(i->mode))
        i->mode &= ~(mode_t)S_ISGID;
}

static void object(struct model *m, struct archive *a, const struct layer_entry *x,
                   const char *path, bool squash)
{
    static const mode_t types[] = {[ENTRY_FILE] = S_IFREG,
                                   [ENTRY_DIR] = S_IFDIR,
                                   [ENTRY_SYMLINK] = S_IFLNK,
                                   [ENTRY_FIFO] = S_IFIFO};
    struct node *old = find(m, path);
    /* Whatever hid the lower layers' entry of that name, the new directory does. */
    bool opaque = old && !S_ISDIR(inode_of(m, old)->mode) && x->type == ENTRY_DIR && m->whiteouts;
    mode_t mode = types[x->type] | x->mode;
    size_t inode;
    if (old && x->type == ENTRY_DIR && S_ISDIR(inode_of(m, old)->mode)) {
        inode = old->inode;
        inode_of(m, old)->mode = mode;
        inode_of(m, old)->mtime = x->mtime;
        old->implied = false;
    } else {
        if (old)
            take_away(m, path);
        inode = new_inode(m, mode, x->mtime);
        put(m, path, inode);
    }
    struct inode *i = &m->inodes[inode];
    i->opaque |= opaque;
    i->size = x->size;
    set_owner(m, i, x, squash);
    if (x->type == ENTRY_SYMLINK)
        i->link = xstrdup(x->link);
    if (x->type == ENTRY_FILE)
        read_content(m, a, i);
}

/* A part of the way that begins so is refused or an aufs directory. */
static bool is_whiteout_name(const char *path, bool *ret_last)
{
    const char *first = str_after(path, ".wh.") ? path : strstr(path, "/.wh.");
    *ret_last = first && !strchr(first + 1, '/');
    return first != NULL;
}

static void entry(struct model *m, struct archive *a, const struct layer_entry *x, bool squash)
{
    bool is_last, device = x->type == ENTRY_BLOCK || x->type == ENTRY_CHAR;
    if (!x->path[0] && x->type != ENTRY_DIR) {
        refuse(m, "the root is no directory");
        return;
    }
    if (is_whiteout_name(x->path, &is_last)) {
        if (is_last)
            whiteout(m, x);
        return;
    }
    /* A whiteout of overlay's own kind, for one. */
    bool hides = x->type == ENTRY_CHAR && x->device_zero && m->whiteouts;
    if (device && !hides)
        return;
    scoped_free char *real = resolve(m, x->path);
    if (!real || !make_parents(m, real, hides, x->mtime))
        return;
    if (hides)
        hide(m, real, x->mtime);
    else if (x->type == ENTRY_HARDLINK)
        hard_link(m, x, real);
    else
        object(m, a, x, real, squash);
}

/* What a default ACL makes of modes is the kernel's business. */
static bool has_acl(struct archive_entry *raw)
{
    const char *name;
    const void *value;
    size_t len;
    if (archive_entry_acl_types(raw) & ARCHIVE_ENTRY_ACL_TYPE_POSIX1E)
        return true;
    archive_entry_xattr_reset(raw);
    while (archive_entry_xattr_next(raw, &name, &value, &len) == ARCHIVE_OK)
        if (str_after(name, "system."))
            return true;
    return false;
}

struct model *model_read(int tar_fd, const struct layer_request *q)
{
    const bool lenient = q->lenient, squash = q->squash_ids;
    static struct layer_entry x;
    struct model *m = xcalloc(1, sizeof(*m));
    struct archive *a = archive_read_new();
    struct archive_entry *raw;
    struct err e;
    m->whiteouts = q->want_whiteouts;
    put(m, "", new_inode(m, S_IFDIR | 0755, (struct timespec){0}));
    m->inodes[0].any_mtime = true;
    archive_read_support_format_tar(a);
    archive_read_support_filter_none(a);
    if (lseek(tar_fd, 0, SEEK_SET) < 0 || archive_read_open_fd(a, tar_fd, 512) != ARCHIVE_OK)
        m->unsure = true;
    while (!m->unsure) {
        int r = archive_read_next_header(a, &raw);
        if (r == ARCHIVE_EOF)
            break;
        m->unsure = (r != ARCHIVE_OK && r != ARCHIVE_WARN) ||
                    entry_from_archive(raw, lenient, &x, &e) < 0 || has_acl(raw);
        if (m->unsure)
            break;
        if (!x.path[0])
            m->inodes[0].any_mtime = false;
        entry(m, a, &x, squash);
    }
    archive_read_free(a);
    return m;
}

bool model_is_sure(const struct model *m)
{
    return !m->unsure;
}

/* --- COMPARE --- */

/* Whose it was is noted where an owner was out of range, and nowhere else. */
static bool same_owner(int fd, const struct inode *i)
{
    char value[64];
    ssize_t n = fgetxattr(fd, TREE_OWNER_XATTR, value, sizeof(value));
    return n < 0 ? !i->owner[0]
                 : (size_t)n == strlen(i->owner) && !memcmp(value, i->owner, (size_t)n);
}

static const char *compare_data(int dir, const char *name, const struct inode *i)
{
    scoped_fd int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    scoped_free unsigned char *have = xmalloc(i->size + 1);
    if (fd < 0)
        return "it cannot be opened";
    size_t done = 0;
    for (ssize_t n; done < i->size && (n = read(fd, have + done, i->size - done)) > 0;)
        done += (size_t)n;
    if (!same_owner(fd, i))
        return "the note of its owner";
    return done == i->size && memcmp(have, i->data, i->size) == 0 ? NULL : "content";
}

/* Nothing may steer overlay but what the model says. */
static const char *compare_marks(int fd, const struct inode *i)
{
    char names[4096], value[4];
    ssize_t n = flistxattr(fd, names, sizeof(names));
    bool opaque = fgetxattr(fd, "user.overlay.opaque", value, sizeof(value)) == 1 && *value == 'y';
    for (char *p = names; n > 0 && p < names + n; p += strlen(p) + 1) {
        const char *own = str_after(p, "user.overlay.");
        if ((own && !streq(own, "opaque") && !str_after(own, "overlay.")) ||
            str_after(p, "trusted.") || str_after(p, "user.fuseoverlayfs."))
            return "an attribute that steers overlay";
    }
    if (!same_owner(fd, i))
        return "the note of its owner";
    return opaque == i->opaque ? NULL : "opaque";
}

static const char *compare_one(int dir, const char *name, const struct stat *st, struct inode *i)
{
    char link[4096];
    if ((st->st_mode & S_IFMT) != (i->mode & S_IFMT))
        return "type";
    if (i->ino && i->ino != st->st_ino)
        return "names of one file are several files";
    i->ino = st->st_ino;
    if (S_ISCHR(st->st_mode))
        return st->st_rdev ? "a device" : NULL;
    if (!S_ISLNK(st->st_mode) && st->st_mode != i->mode)
        return "mode";
    if (st->st_uid != i->uid || st->st_gid != i->gid)
        return "owner";
    if (!i->any_mtime && st->st_mtim.tv_sec != i->mtime.tv_sec && i->mtime.tv_sec > -(1ll << 31) &&
        i->mtime.tv_sec < 1ll << 34)
        return "time";
    if (S_ISREG(st->st_mode))
        return (uint64_t)st->st_size != i->size ? "size" : compare_data(dir, name, i);
    if (S_ISLNK(st->st_mode)) {
        ssize_t n = readlinkat(dir, name, link, sizeof(link) - 1);
        return n < 0 || strlen(i->link) != (size_t)n || memcmp(link, i->link, (size_t)n) ? "target"
                                                                                         : NULL;
    }
    if (!S_ISDIR(st->st_mode))
        return NULL;
    scoped_fd int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? "it cannot be opened" : compare_marks(fd, i);
}

static const char *compare_dir(struct model *m, int dir, const char *path, char ret[static 4097])
{
    int again = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scoped_dir DIR *d = again < 0 ? NULL : fdopendir(again);
    for (struct dirent *de; d && (de = readdir(d));) {
        if (streq(de->d_name, ".") || streq(de->d_name, ".."))
            continue;
        scoped_free char *below = xasprintf("%s%s%s", path, *path ? "/" : "", de->d_name);
        struct node *n = find(m, below);
        struct stat st;
        snprintf(ret, 4097, "%s", below);
        if (!n)
            return "it should not be there";
        n->seen = true;
        if (fstatat(dir, de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            return "it cannot be looked at";
        const char *wrong = compare_one(dir, de->d_name, &st, inode_of(m, n));
        if (wrong || !S_ISDIR(st.st_mode)) {
            if (wrong)
                return wrong;
            continue;
        }
        scoped_fd int sub =
            openat(dir, de->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        wrong = compare_dir(m, sub, below, ret);
        if (wrong)
            return wrong;
    }
    return NULL;
}

const char *model_compare(struct model *m, int diff_fd, char ret_path[static 4097])
{
    struct stat st;
    ret_path[0] = '\0';
    if (m->refuse)
        return m->refuse;
    m->nodes[0].seen = true;
    const char *wrong =
        fstat(diff_fd, &st) < 0 ? "no root" : compare_one(diff_fd, ".", &st, m->inodes);
    if (!wrong)
        wrong = compare_dir(m, diff_fd, "", ret_path);
    for (size_t i = 0; !wrong && i < m->n_nodes; i++) {
        if (m->nodes[i].gone || m->nodes[i].seen)
            continue;
        snprintf(ret_path, 4097, "%s", m->nodes[i].path);
        wrong = "it is missing";
    }
    return wrong;
}

/* Is path one of the texts in list? */
static bool is_in(const char *list, size_t len, const char *path)
{
    for (const char *p = list; p < list + len; p += strlen(p) + 1)
        if (streq(p, path))
            return true;
    return false;
}

const char *model_compare_implied(struct model *m, const char *list, size_t len,
                                  char ret_path[static 4097])
{
    for (size_t i = 0; i < m->n_nodes; i++) {
        const struct node *n = &m->nodes[i];
        if (n->gone || !S_ISDIR(inode_of(m, n)->mode) || is_in(list, len, n->path) == n->implied)
            continue;
        snprintf(ret_path, 4097, "%s", n->path);
        return n->implied ? "no entry made it, which is not noted"
                          : "it is noted as one that no entry made";
    }
    return NULL;
}
