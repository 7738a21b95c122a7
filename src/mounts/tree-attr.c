/* tree-attr - owners, modes, xattrs, times of copied inodes. */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/str.h"
#include "mounts/tree-priv.h"

#define ACL_HEADER 4 /* struct posix_acl_xattr_header: le32 version */
#define ACL_ENTRY 8  /* le16 tag, le16 permissions, le32 id */
#define ACL_TAG_USER 0x02
#define ACL_TAG_GROUP 0x08

static int owner_of(const struct tree_copy *t, const struct stat *st, uint32_t *ret_uid,
                    uint32_t *ret_gid, struct err *e)
{
    uint32_t uid = st->st_uid, gid = st->st_gid;
    int r = t->shift ? t->shift(t->data, &uid, &gid, e) : 0;
    if (r < 0)
        return r;
    *ret_uid = uid;
    *ret_gid = gid;
    return 0;
}

/* Which attributes belong to the content. trusted.* and labels are the host's business; of
 * overlay's own only the mark of opaque directories and escaped names of nested ones have a meaning
 * in another tree. */
static bool is_wanted(const struct tree_copy *t, const char *name)
{
    if (str_after(name, "user.overlay."))
        return str_after(name, "user.overlay.overlay.") ||
               (!t->whiteouts && streq(name, "user.overlay.opaque"));
    return str_after(name, "user.") || streq(name, "security.capability") ||
           streq(name, "system.posix_acl_access") || streq(name, "system.posix_acl_default");
}

static int shift_acl(const struct tree_copy *t, unsigned char *value, size_t size, struct err *e)
{
    for (size_t at = ACL_HEADER; at + ACL_ENTRY <= size; at += ACL_ENTRY) {
        uint16_t tag;
        uint32_t id, ids[2] = {0, 0};
        memcpy(&tag, value + at, sizeof(tag));
        memcpy(&id, value + at + 4, sizeof(id));
        tag = le16toh(tag);
        if (tag != ACL_TAG_USER && tag != ACL_TAG_GROUP)
            continue;
        size_t which = tag == ACL_TAG_GROUP;
        ids[which] = le32toh(id);
        int r = t->shift(t->data, &ids[0], &ids[1], e);
        if (r < 0)
            return r;
        id = htole32(ids[which]);
        memcpy(value + at + 4, &id, sizeof(id));
    }
    return 0;
}

/* A capability counts only below the user namespace whose root has the id in it (version 3). What
 * the kernel shows us as version 2 is one for our own root. capabilities(7) */
static size_t rebase_caps(const struct tree_copy *t, unsigned char *value, size_t size)
{
    struct vfs_ns_cap_data caps = {0};
    if (size < sizeof(struct vfs_cap_data))
        return size;
    memcpy(&caps, value, sizeof(struct vfs_cap_data));
    uint32_t flags = le32toh(caps.magic_etc) & VFS_CAP_FLAGS_EFFECTIVE;
    caps.magic_etc = htole32(VFS_CAP_REVISION_3 | flags);
    caps.rootid = htole32(t->caps_root);
    memcpy(value, &caps, sizeof(caps));
    return sizeof(caps);
}

static int copy_xattr(const struct tree_copy *t, int src, int dst, const char *name, struct err *e)
{
    char small[512];
    scoped_free char *big = NULL;
    char *value = small;
    ssize_t n = fgetxattr(src, name, small, sizeof(small) - sizeof(struct vfs_ns_cap_data));
    if (n < 0 && errno == ERANGE) {
        value = big = xmalloc(XATTR_SIZE_MAX);
        n = fgetxattr(src, name, big, XATTR_SIZE_MAX);
    }
    if (n < 0)
        return errno == ENODATA ? 0 : err_set(e, errno, "read attribute %s", name);
    size_t size = (size_t)n;
    if (t->new_caps_root && streq(name, "security.capability"))
        size = rebase_caps(t, (unsigned char *)value, size);
    if (t->shift && str_after(name, "system.posix_acl_")) {
        int r = shift_acl(t, (unsigned char *)value, size, e);
        if (r < 0)
            return r;
    }
    if (fsetxattr(dst, name, value, size, 0) == 0)
        return 0;
    /* tmpfs before 6.6 knows no user.*: a copy in memory goes on without. */
    if (errno == EOPNOTSUPP)
        return 0;
    return err_set(e, errno, "set attribute %s", name);
}

int tree_copy_xattrs(const struct tree_copy *t, int src, int dst, struct err *e)
{
    char small[1024];
    scoped_free char *big = NULL;
    char *list = small;
    ssize_t n = flistxattr(src, small, sizeof(small));
    if (n < 0 && errno == ERANGE) {
        list = big = xmalloc(XATTR_LIST_MAX);
        n = flistxattr(src, big, XATTR_LIST_MAX);
    }
    if (n < 0)
        return errno == EOPNOTSUPP ? 0 : err_set(e, errno, "list attributes");
    for (ssize_t at = 0; at < n; at += (ssize_t)strlen(list + at) + 1) {
        int r = is_wanted(t, list + at) ? copy_xattr(t, src, dst, list + at, e) : 0;
        if (r < 0)
            return r;
    }
    return 0;
}

/* What a lower layer's directory had, and what its default ACL gave to that which is made in it, is
 * not the upper layer's. */
static int clear_xattrs(const struct tree_copy *t, int fd, struct err *e)
{
    scoped_free char *list = NULL;
    ssize_t n = flistxattr(fd, NULL, 0);
    if (n > 0) {
        list = xmalloc(XATTR_LIST_MAX);
        n = flistxattr(fd, list, XATTR_LIST_MAX);
    }
    if (n < 0)
        return errno == EOPNOTSUPP ? 0 : err_set(e, errno, "list attributes");
    for (ssize_t at = 0; at < n; at += (ssize_t)strlen(list + at) + 1)
        if (is_wanted(t, list + at) && fremovexattr(fd, list + at) < 0 && errno != ENODATA)
            return err_set(e, errno, "remove attribute %s", list + at);
    return 0;
}

int tree_copy_attrs(const struct tree_copy *t, int src, int dst, const struct stat *st,
                    struct err *e)
{
    uint32_t uid, gid;
    int r = owner_of(t, st, &uid, &gid, e);
    if (r == 0 && t->whiteouts)
        r = clear_xattrs(t, dst, e);
    if (r < 0)
        return r;
    /* chown(2) takes set-id bits and file capabilities away, so it is first. */
    if (fchown(dst, uid, gid) < 0)
        return err_set(e, errno, "chown to %u:%u", uid, gid);
    if (fchmod(dst, st->st_mode & 07777) < 0)
        return err_set(e, errno, "chmod");
    r = tree_copy_xattrs(t, src, dst, e);
    if (r < 0)
        return r;
    struct timespec times[2] = {st->st_atim, st->st_mtim};
    if (futimens(dst, times) < 0)
        return err_set(e, errno, "set times");
    return 0;
}

int tree_copy_attrs_at(const struct tree_copy *t, int dst_dir, const char *name,
                       const struct stat *st, struct err *e)
{
    uint32_t uid, gid;
    int r = owner_of(t, st, &uid, &gid, e);
    if (r == 0 && t->whiteouts && S_ISFIFO(st->st_mode)) {
        scoped_fd int fd = openat(dst_dir, name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
        r = fd < 0 ? err_set(e, errno, "open it") : clear_xattrs(t, fd, e);
    }
    if (r < 0)
        return r;
    if (fchownat(dst_dir, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
        return err_set(e, errno, "chown to %u:%u", uid, gid);
    /* A link is not followed: into a volume that is being filled, a container which got it at the
     * same time may have put one in place of what we have made. */
    if (!S_ISLNK(st->st_mode) &&
        fchmodat(dst_dir, name, st->st_mode & 07777, AT_SYMLINK_NOFOLLOW) < 0)
        return err_set(e, errno, "chmod");
    struct timespec times[2] = {st->st_atim, st->st_mtim};
    if (utimensat(dst_dir, name, times, AT_SYMLINK_NOFOLLOW) < 0)
        return err_set(e, errno, "set times");
    return 0;
}

bool tree_is_opaque(int fd)
{
    char value[2];
    return fgetxattr(fd, "user.overlay.opaque", value, sizeof(value)) == 1 && value[0] == 'y';
}
