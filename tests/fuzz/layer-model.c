/* layer-model - what a layer's tree must look like, worked out in memory.
 *
 * Written from the image specification's words on layers, not from the unpacker: a list of paths,
 * nothing is resolved. What it does not want to judge (names that go through symbolic links, links
 * to what an earlier entry has replaced...) makes it say so, and nothing is compared. Of the
 * unpacker it shares only the normalising of names (layer/entry.h). */
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
#include "layer/entry.h"

#define IDS 65536

struct inode {
    mode_t mode; /* with the type; S_IFCHR is a whiteout */
    uint32_t uid, gid;
    struct timespec mtime;
    uint64_t size;
    unsigned char *data;
    char *link;
    bool opaque, any_mtime;
    ino_t ino; /* found on disk */
};

struct node {
    char *path;
    size_t inode;
    bool gone, seen;
};

struct model {
    struct node *nodes;
    size_t n_nodes;
    struct inode *inodes;
    size_t n_inodes;
    bool unsure;
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

/* Makes the directories above path that are missing. false: not ours to judge. */
static bool make_parents(struct model *m, const char *path, bool whiteout, struct timespec mtime)
{
    for (const char *end = strchr(path, '/'); end; end = strchr(end + 1, '/')) {
        scoped_free char *dir = xstrndup(path, (size_t)(end - path));
        struct node *n = find(m, dir);
        if (!n) {
            put(m, dir, new_inode(m, S_IFDIR | 0755, mtime));
            continue;
        }
        mode_t type = inode_of(m, n)->mode & S_IFMT;
        if (type == S_IFDIR)
            continue;
        if (type != S_IFCHR || whiteout) {
            m->unsure = true; /* a link, a file, a whiteout below what has gone */
            return false;
        }
        n->gone = true;
        size_t made = new_inode(m, S_IFDIR | 0755, mtime);
        m->inodes[made].opaque = true;
        put(m, dir, made);
    }
    return true;
}

/* The last part of a path, and whether any earlier one begins with .wh. */
static const char *last(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void whiteout(struct model *m, const struct layer_entry *x)
{
    const char *name = last(x->path);
    scoped_free char *dir = xstrndup(x->path, (size_t)(name - x->path));
    if (!make_parents(m, x->path, true, x->mtime))
        return;
    if (streq(name, ".wh..wh..opq")) {
        dir[dir[0] ? strlen(dir) - 1 : 0] = '\0';
        struct node *n = find(m, dir);
        if (n)
            inode_of(m, n)->opaque = true;
        return;
    }
    if (strncmp(name, ".wh..wh.", 8) == 0)
        return;
    scoped_free char *hidden = xasprintf("%s%s", dir, name + 4);
    struct node *n = find(m, hidden);
    if (!n)
        put(m, hidden, new_inode(m, S_IFCHR, x->mtime));
    else if (S_ISDIR(inode_of(m, n)->mode))
        inode_of(m, n)->opaque = true;
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

static void hard_link(struct model *m, const struct layer_entry *x)
{
    struct node *to = find(m, x->link), *old = find(m, x->path);
    if (!to || S_ISDIR(inode_of(m, to)->mode) || S_ISCHR(inode_of(m, to)->mode) ||
        archive_entry_size(x->raw) > 0) {
        m->unsure = true;
        return;
    }
    size_t inode = to->inode;
    if (old && old->inode == inode)
        return;
    if (old)
        take_away(m, x->path);
    if (!find(m, x->link)) /* it was below what it replaces */
        m->unsure = true;
    put(m, x->path, inode);
}

static void set_owner(struct model *m, struct inode *i, const struct layer_entry *x, bool squash)
{
    bool uid_ok = x->uid >= 0 && x->uid < IDS, gid_ok = x->gid >= 0 && x->gid < IDS;
    if ((!uid_ok || !gid_ok) && !squash)
        m->unsure = true; /* it should not have been accepted; told by the caller's own check */
    i->uid = uid_ok ? (uint32_t)x->uid : 0;
    i->gid = gid_ok ? (uint32_t)x->gid : 0;
    if (!uid_ok)
        i->mode &= ~(mode_t)S_ISUID;
    if (!gid_ok && S_ISREG(i->mode))
        i->mode &= ~(mode_t)S_ISGID;
}

static void object(struct model *m, struct archive *a, const struct layer_entry *x, bool squash)
{
    static const mode_t types[] = {[ENTRY_FILE] = S_IFREG,
                                   [ENTRY_DIR] = S_IFDIR,
                                   [ENTRY_SYMLINK] = S_IFLNK,
                                   [ENTRY_FIFO] = S_IFIFO};
    struct node *old = find(m, x->path);
    bool opaque = old && S_ISCHR(inode_of(m, old)->mode) && x->type == ENTRY_DIR;
    mode_t mode = types[x->type] | x->mode;
    size_t inode;
    if (old && x->type == ENTRY_DIR && S_ISDIR(inode_of(m, old)->mode)) {
        inode = old->inode;
        inode_of(m, old)->mode = mode;
        inode_of(m, old)->mtime = x->mtime;
    } else {
        if (old)
            take_away(m, x->path);
        inode = new_inode(m, mode, x->mtime);
        put(m, x->path, inode);
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

static void entry(struct model *m, struct archive *a, const struct layer_entry *x, bool squash)
{
    if (x->type == ENTRY_HARDLINK) {
        if (make_parents(m, x->path, false, x->mtime))
            hard_link(m, x);
        return;
    }
    if (!x->path[0] && x->type != ENTRY_DIR) {
        m->unsure = true;
        return;
    }
    /* A part of the way that begins so is refused or an aufs directory. */
    if (strstr(x->path, "/.wh.") || strncmp(x->path, ".wh.", 4) == 0) {
        const char *first =
            strncmp(x->path, ".wh.", 4) == 0 ? x->path : strstr(x->path, "/.wh.") + 1;
        if (!strchr(first, '/'))
            whiteout(m, x);
        return;
    }
    if (x->type == ENTRY_BLOCK || x->type == ENTRY_CHAR) {
        if (x->type == ENTRY_CHAR && x->device_zero)
            m->unsure = true; /* a whiteout of overlay's own kind */
        return;
    }
    if (make_parents(m, x->path, false, x->mtime))
        object(m, a, x, squash);
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

struct model *model_read(int tar_fd, bool lenient, bool squash)
{
    static struct layer_entry x;
    struct model *m = xcalloc(1, sizeof(*m));
    struct archive *a = archive_read_new();
    struct archive_entry *raw;
    struct err e;
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

static const char *compare_data(int dir, const char *name, const struct inode *i)
{
    scoped_fd int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    scoped_free unsigned char *have = xmalloc(i->size + 1);
    if (fd < 0)
        return "it cannot be opened";
    size_t done = 0;
    for (ssize_t n; done < i->size && (n = read(fd, have + done, i->size - done)) > 0;)
        done += (size_t)n;
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
