/* create - one entry of a layer becomes a file: types, replacement, owners, modes, content. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>

#include "base/fs.h"
#include "layer/tree.h"
#include "userns/userns.h"

/* The parent that is open was reached through links: it is looked up again when what is made or
 * replaced in it might be on that way ("/" is no one's name). */
static void forget_way(struct tree *t)
{
    if (!streq(t->parent.named, t->parent.real))
        memcpy(t->parent.named, "/", 2);
}

int tree_replace(struct tree *t, const char *name, const struct stat *st, struct err *e)
{
    int dir = t->parent.fd;
    char real[PATH_MAX], number[24];
    int r;

    t->dir_replaced |= S_ISDIR(st->st_mode);
    forget_way(t);
    if (!S_ISDIR(st->st_mode) && (!t->split || !S_ISREG(st->st_mode) || st->st_size == 0))
        return unlinkat(dir, name, 0) < 0 ? err_set(e, errno, "replace an earlier entry") : 0;
    if (S_ISDIR(st->st_mode) && unlinkat(dir, name, AT_REMOVEDIR) == 0)
        return 0;
    /* The tar can only be rebuilt with this content, and a whole tree goes away by one call. */
    snprintf(number, sizeof(number), "%llu", (unsigned long long)t->replaced);
    r = tree_real_path(t, name, real, e);
    if (r < 0)
        return r;
    if (renameat(dir, name, t->replaced_fd, number) < 0)
        return err_set(e, errno, "replace an earlier entry");
    t->replaced++;
    return t->split ? split_moved(t->split, real, t->replaced - 1, e) : 0;
}

static uint64_t map_size(const struct idmap *m)
{
    uint64_t n = 0;

    for (size_t i = 0; i < m->n; i++)
        n += m->v[i].count;
    return n;
}

static bool id_mapped(const struct idmap *m, int64_t id)
{
    if (id < 0 || id > UINT32_MAX - 1)
        return false;
    return idmap_to_host(m, (uint32_t)id) >= 0;
}

static int refuse_id(struct tree *t, const char *kind, int64_t id, const struct idmap *m,
                     struct err *e)
{
    uint64_t have = map_size(m);
    int r = err_msg(e, ERANGE, "%s %lld is not in your subordinate id range (%llu ids)", kind,
                    (long long)id, (unsigned long long)have);

    if (id >= 0 && id < (int64_t)1 << 31 && t->more_ids && t->more_ids->user[0])
        return err_hint(e, r,
                        "sudo usermod --add-sub%ss %llu-%llu %s, then unpack again; or use "
                        "--squash-ids, which gives such files to root",
                        kind, (unsigned long long)t->more_ids->first,
                        (unsigned long long)(t->more_ids->first + (uint64_t)id - have),
                        t->more_ids->user);
    return err_hint(e, r, "use --squash-ids, which gives such files to root");
}

/* Checks the owner against the map; outside: squashed to 0:0 where allowed, else refused. */
static int check_owner(struct tree *t, struct layer_entry *x, struct err *e)
{
    bool uid_ok = id_mapped(&t->map->uid, x->uid);
    bool gid_ok = id_mapped(&t->map->gid, x->gid);

    x->owner[0] = '\0';
    if (uid_ok && gid_ok)
        return 0;
    if (!t->squash && !t->map->single)
        return uid_ok ? refuse_id(t, "gid", x->gid, &t->map->gid, e)
                      : refuse_id(t, "uid", x->uid, &t->map->uid, e);
    snprintf(x->owner, sizeof(x->owner), "%lld:%lld", (long long)x->uid, (long long)x->gid);
    /* What runs as its owner must not run as root instead. */
    if (!uid_ok) {
        x->uid = 0;
        x->mode &= ~(mode_t)S_ISUID;
    }
    if (!gid_ok) {
        x->gid = 0;
        x->mode &= ~(mode_t)(x->type == ENTRY_FILE ? S_ISGID : 0);
    }
    t->result->squashed_ids++;
    return 0;
}

static int check_size(const struct tree *t, const struct layer_entry *x, struct err *e)
{
    if (x->size > t->limits->max_file_bytes)
        return err_msg(e, EFBIG, "its size of %llu bytes is above the limit of %llu",
                       (unsigned long long)x->size, (unsigned long long)t->limits->max_file_bytes);
    if (!x->sparse && x->size > t->budget)
        return err_msg(e, ENOSPC, "it needs %llu bytes, only %llu are free",
                       (unsigned long long)x->size, (unsigned long long)t->budget);
    return 0;
}

/* Takes away the ACL that a default ACL of the parent gave: the archive has its own, or none. */
static void strip_acl(int fd)
{
    fremovexattr(fd, "system.posix_acl_access");
    fremovexattr(fd, "system.posix_acl_default");
}

/* The directory that a hard link's target is in; borrowed when *ret_own stays -1. */
static int link_parent(struct tree *t, const char *target, int *ret_own, struct err *e)
{
    const char *slash = strrchr(target, '/');
    size_t len = slash ? (size_t)(slash - target) : 0;
    char dir[PATH_MAX];
    int fd;

    memcpy(dir, target, len);
    dir[len] = '\0';
    if (streq(dir, t->parent.real))
        return t->parent.fd;
    fd = tree_open_dir(t->root_fd, dir);
    if (fd == -ELOOP || fd == -ENOTDIR)
        return err_msg(e, EPERM, "hard link target \"%.300s\" goes through a symbolic link or file",
                       target);
    if (fd < 0)
        return err_msg(e, -fd, "hard link target \"%.300s\" is not in this layer", target);
    *ret_own = fd;
    return fd;
}

static int make_hardlink(struct tree *t, const struct layer_entry *x, const char *name,
                         struct err *e)
{
    scoped_fd int own = -1;
    const char *target = strrchr(x->link, '/') ? strrchr(x->link, '/') + 1 : x->link;
    struct stat st, old;
    int dir = link_parent(t, x->link, &own, e), r;

    if (dir < 0)
        return dir;
    if (fstatat(dir, target, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return err_msg(e, errno, "hard link target \"%.300s\" is not in this layer", x->link);
    if (!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode) && !S_ISFIFO(st.st_mode))
        return err_msg(e, EPERM, "hard link target \"%.300s\" is not a file", x->link);
    if (linkat(dir, target, t->parent.fd, name, 0) == 0)
        return 0;
    if (errno != EEXIST)
        return err_set(e, errno, "make hard link to \"%.300s\"", x->link);
    if (fstatat(t->parent.fd, name, &old, AT_SYMLINK_NOFOLLOW) < 0)
        return err_set(e, errno, "look at the earlier entry");
    if (old.st_ino == st.st_ino && old.st_dev == st.st_dev)
        return 0;
    r = tree_replace(t, name, &old, e);
    if (r == 0 && linkat(dir, target, t->parent.fd, name, 0) < 0)
        r = err_set(e, errno, "make hard link to \"%.300s\"", x->link);
    return r;
}

/* The bare object, with O_EXCL in effect. 0 or -errno, e is not set. */
static int create_once(struct tree *t, const struct layer_entry *x, const char *name)
{
    int dir = t->parent.fd, r;

    switch (x->type) {
    case ENTRY_FILE:
        r = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, x->mode & 0777);
        if (r >= 0)
            t->file_fd = r;
        break;
    case ENTRY_DIR:
        r = mkdirat(dir, name, x->mode & 0777);
        break;
    case ENTRY_SYMLINK:
        r = symlinkat(x->link, dir, name);
        break;
    default:
        r = mknodat(dir, name, S_IFIFO | (x->mode & 0777), 0);
        break;
    }
    return r < 0 ? -errno : 0;
}

/* Makes the object, in place of an earlier one. Returns 1 when a directory was there already. */
static int create(struct tree *t, const struct layer_entry *x, const char *name, struct err *e)
{
    int r = create_once(t, x, name);
    struct stat st;

    if (r == 0)
        return 0;
    if (r != -EEXIST)
        return err_set(e, -r, "create it");
    if (fstatat(t->parent.fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return err_set(e, errno, "look at the earlier entry");
    if (x->type == ENTRY_DIR && S_ISDIR(st.st_mode))
        return 1;
    r = tree_replace(t, name, &st, e);
    if (r < 0)
        return r;
    r = create_once(t, x, name);
    if (r < 0)
        return err_set(e, -r, "create it");
    /* What was here, a whiteout or a file, hides the lower entry: the new directory must not be
     * merged with that. */
    if (x->type == ENTRY_DIR && t->want_whiteouts)
        r = tree_set_opaque(t->parent.fd, name, e);
    return r;
}

static int dir_attributes(struct tree *t, const struct layer_entry *x, const char *name,
                          bool merged, struct err *e)
{
    bool special = merged || (x->mode & 07000) || t->acl_default || t->dir_replaced;
    scoped_fd int fd = -1;
    char real[PATH_MAX];
    int r;

    if ((merged || x->uid || x->gid) &&
        fchownat(t->parent.fd, name, (uid_t)x->uid, (gid_t)x->gid, AT_SYMLINK_NOFOLLOW) < 0)
        return err_set(e, errno, "change its owner");
    if (t->acl_default || x->owner[0] || entry_has_xattrs(x) || (merged && t->owner_noted)) {
        fd = openat(t->parent.fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
            return err_set(e, errno, "open it");
        if (t->acl_default)
            strip_acl(fd);
        r = tree_set_xattrs(t, fd, x, e);
        if (r < 0)
            return r;
    }
    r = tree_real_path(t, name, real, e);
    if (r == 0)
        tree_later(t, real, special ? S_IFDIR | x->mode : 0, x->mtime);
    return r;
}

static int other_attributes(struct tree *t, const struct layer_entry *x, const char *name,
                            struct err *e)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, x->mtime};

    if ((x->uid || x->gid) &&
        fchownat(t->parent.fd, name, (uid_t)x->uid, (gid_t)x->gid, AT_SYMLINK_NOFOLLOW) < 0)
        return err_set(e, errno, "change its owner");
    if (x->type == ENTRY_FIFO && ((x->mode & 07000) || t->acl_default) &&
        fchmodat(t->parent.fd, name, x->mode, 0) < 0)
        return err_set(e, errno, "change its mode");
    if (entry_has_xattrs(x))
        tree_skip_xattrs(t, x);
    if (utimensat(t->parent.fd, name, times, AT_SYMLINK_NOFOLLOW) < 0)
        return err_set(e, errno, "set its time");
    return 0;
}

static int add_root(struct tree *t, const struct layer_entry *x, struct err *e)
{
    bool own = x->owner[0] || entry_has_xattrs(x);
    int r = 0;

    if (x->type != ENTRY_DIR)
        return err_msg(e, EPERM, "the root of the layer is not a directory");
    t->result->root_entry =
        own || x->mode != 0755 || x->uid || x->gid ? LAYER_ROOT_OWN : LAYER_ROOT_PLAIN;
    if (fchown(t->root_fd, (uid_t)x->uid, (gid_t)x->gid) < 0)
        return err_set(e, errno, "change its owner");
    if (own || t->owner_noted)
        r = tree_set_xattrs(t, t->root_fd, x, e);
    if (r == 0)
        tree_later(t, "", S_IFDIR | x->mode, x->mtime);
    return r;
}

static int add_device(struct tree *t, const struct layer_entry *x, struct err *e)
{
    const char *name;
    int r;

    if (x->type == ENTRY_CHAR && x->device_zero && t->want_whiteouts) {
        r = tree_open_parent(t, x->path, true, &name, e);
        return r == 0 ? tree_make_whiteout(t, name, e) : r < 0 ? r : 0;
    }
    if (t->result->skipped_devices++ == 0)
        tree_note(t->result, "device nodes cannot be made and are left out: %.120s", x->path);
    return 0;
}

int tree_add(struct tree *t, struct layer_entry *x, struct err *e)
{
    const char *name;
    int r;

    t->implied_mtime = x->mtime;
    r = x->type == ENTRY_HARDLINK ? 0 : check_owner(t, x, e);
    if (r == 0)
        r = check_size(t, x, e);
    if (r < 0)
        return r;
    if (!x->path[0])
        return add_root(t, x, e);
    r = tree_whiteout_entry(t, x, e);
    if (r != 0)
        return r < 0 ? r : 0;
    if (x->type == ENTRY_CHAR || x->type == ENTRY_BLOCK)
        return add_device(t, x, e);
    r = tree_open_parent(t, x->path, false, &name, e);
    if (r < 0)
        return r;
    if (x->type == ENTRY_HARDLINK || x->type == ENTRY_SYMLINK)
        forget_way(t);
    if (x->type == ENTRY_HARDLINK)
        return make_hardlink(t, x, name, e);
    if (x->type == ENTRY_FILE)
        r = tree_real_path(t, name, t->file_path, e);
    if (r == 0)
        r = create(t, x, name, e);
    if (r < 0 || x->type == ENTRY_FILE) {
        t->file_at = 0;
        t->file_id++;
        t->file_size = x->size;
        return r;
    }
    return x->type == ENTRY_DIR ? dir_attributes(t, x, name, r == 1, e)
                                : other_attributes(t, x, name, e);
}

int tree_file_write(struct tree *t, const void *data, size_t n, uint64_t offset, struct err *e)
{
    int r;

    if (offset > t->file_size || n > t->file_size - offset)
        return err_msg(e, EBADMSG, "it has more content than its size tells");
    if (n > t->budget)
        return err_set(e, ENOSPC, "write it");
    if (offset != t->file_at && lseek(t->file_fd, (off_t)offset, SEEK_SET) < 0)
        return err_set(e, errno, "write it");
    r = fs_write_all(t->file_fd, data, n);
    if (r < 0)
        return err_set(e, -r, "write it");
    t->budget -= n;
    t->file_at = offset + n;
    t->result->file_bytes += n;
    return 0;
}

int tree_file_end(struct tree *t, const struct layer_entry *x, struct err *e)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, x->mtime};
    scoped_fd int fd = take_fd(&t->file_fd);
    int r = 0;

    if (t->file_at < x->size && !x->sparse)
        return err_msg(e, EBADMSG, "it has less content than its size tells");
    if (t->file_at < x->size && ftruncate(fd, (off_t)x->size) < 0)
        return err_set(e, errno, "set its size");
    if ((x->uid || x->gid) && fchown(fd, (uid_t)x->uid, (gid_t)x->gid) < 0)
        return err_set(e, errno, "change its owner");
    if (t->acl_default)
        strip_acl(fd);
    if (((x->mode & 07000) || t->acl_default) && fchmod(fd, x->mode) < 0)
        return err_set(e, errno, "change its mode");
    if (x->owner[0] || entry_has_xattrs(x)) /* after chown, which takes file capabilities away */
        r = tree_set_xattrs(t, fd, x, e);
    if (r == 0 && futimens(fd, times) < 0)
        r = err_set(e, errno, "set its time");
    return r;
}
