/* xattr - which extended attributes of an archive reach the tree, and in which form.
 *
 * user.overlay.* would steer overlayfs itself (redirect, opaque: a way into other layers), so it is
 * stored one level escaped, as overlayfs does. Labels of security modules and trusted.* belong to
 * the machine that wrote them. xattr(7), "Nesting of overlayfs mounts". */
#include <archive.h>
#include <archive_entry.h>
#include <endian.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/xattr.h>
#include <string.h>
#include <sys/xattr.h>

#include "layer/tree.h"

#define CAPABILITY "security.capability"
#define ACL_ACCESS "system.posix_acl_access"
#define ACL_DEFAULT "system.posix_acl_default"
#define OVERLAY "user.overlay."
#define FUSE_OVERLAY "user.fuseoverlayfs."
#define FUSE_OVERRIDE "user.containers.override_stat"
#define MAX_ACL 512

static void dropped(struct tree *t, const char *name, const struct layer_entry *x)
{
    if (t->result->dropped_xattrs++ == 0)
        tree_note(t->result, "extended attribute %.60s is left out: %.100s", name, x->path);
}

/* Version 3 carries the host id of a namespace root; version 2 gets the one of our namespace when
 * it is stored. Returns the new length, 0: not valid. capabilities(7) */
static size_t capability_v2(const void *value, size_t len, struct vfs_cap_data *ret)
{
    uint32_t magic;

    if (len != XATTR_CAPS_SZ_2 && len != XATTR_CAPS_SZ_3)
        return 0;
    memcpy(ret, value, XATTR_CAPS_SZ_2);
    magic = le32toh(ret->magic_etc);
    if ((magic & VFS_CAP_REVISION_MASK) !=
        (len == XATTR_CAPS_SZ_2 ? VFS_CAP_REVISION_2 : VFS_CAP_REVISION_3))
        return 0;
    ret->magic_etc = htole32(VFS_CAP_REVISION_2 | (magic & VFS_CAP_FLAGS_EFFECTIVE));
    return XATTR_CAPS_SZ_2;
}

/* One attribute. What the file system or the kernel cannot take is dropped with a note, except
 * for a full disk. */
static int set_one(int fd, const char *name, const void *value, size_t len)
{
    if (fsetxattr(fd, name, value, len, 0) == 0)
        return 0;
    if (errno == EDQUOT)
        return -errno;
    return 1;
}

static int set_named(struct tree *t, int fd, const struct layer_entry *x, const char *name,
                     const void *value, size_t len)
{
    struct vfs_cap_data cap;
    char escaped[XATTR_NAME_MAX + 1];

    if (streq(name, CAPABILITY)) {
        len = x->type == ENTRY_FILE ? capability_v2(value, len, &cap) : 0;
        return len ? set_one(fd, name, &cap, len) : 1;
    }
    if (streq(name, ACL_ACCESS) || streq(name, ACL_DEFAULT)) {
        if (streq(name, ACL_DEFAULT))
            t->acl_default = true;
        return set_one(fd, name, value, len);
    }
    if (strncmp(name, OVERLAY, strlen(OVERLAY)) == 0) {
        if (snprintf(escaped, sizeof(escaped), OVERLAY "overlay.%s", name + strlen(OVERLAY)) >=
            (int)sizeof(escaped))
            return 1;
        if (t->result->escaped_xattrs++ == 0)
            tree_note(t->result, "%.60s is kept from overlayfs: %.100s", name, x->path);
        return set_one(fd, escaped, value, len);
    }
    /* fuse-overlayfs' own have no escaped form: they would say who owns the file, and its mode. An
     * owner is noted by us alone. */
    if (strncmp(name, "user.", 5) != 0 || strlen(name) > XATTR_NAME_MAX ||
        strncmp(name, FUSE_OVERLAY, strlen(FUSE_OVERLAY)) == 0 || streq(name, FUSE_OVERRIDE) ||
        streq(name, TREE_OWNER_XATTR))
        return 1;
    return set_one(fd, name, value, len);
}

/* An ACL that libarchive parsed from text (SCHILY.acl.*), in the kernel's form. acl(5),
 * linux/posix_acl_xattr.h: version 2, then {tag, perm, id}, little-endian, sorted by tag and id. */
struct acl_entry {
    uint16_t tag, perm;
    uint32_t id;
};
struct acl_blob {
    uint32_t version;
    struct acl_entry v[MAX_ACL];
};

static uint16_t acl_tag(int tag)
{
    switch (tag) {
    case ARCHIVE_ENTRY_ACL_USER_OBJ:
        return 0x01;
    case ARCHIVE_ENTRY_ACL_USER:
        return 0x02;
    case ARCHIVE_ENTRY_ACL_GROUP_OBJ:
        return 0x04;
    case ARCHIVE_ENTRY_ACL_GROUP:
        return 0x08;
    case ARCHIVE_ENTRY_ACL_MASK:
        return 0x10;
    case ARCHIVE_ENTRY_ACL_OTHER:
        return 0x20;
    default:
        return 0;
    }
}

static int acl_order(const void *a, const void *b)
{
    const struct acl_entry *x = a, *y = b;

    if (x->tag != y->tag)
        return x->tag < y->tag ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* Returns the number of entries, 0: none or not usable. */
static size_t acl_collect(struct archive_entry *raw, int kind, struct acl_blob *blob)
{
    int type, permset, tag, id;
    const char *name;
    size_t n = 0;

    if (archive_entry_acl_reset(raw, kind) == 0)
        return 0;
    blob->version = 2;
    while (archive_entry_acl_next(raw, kind, &type, &permset, &tag, &id, &name) == ARCHIVE_OK) {
        uint16_t k = acl_tag(tag);
        if (k == 0 || n == MAX_ACL || ((k == 0x02 || k == 0x08) && id < 0))
            return 0;
        blob->v[n].tag = k;
        blob->v[n].perm = (uint16_t)(permset & 7); /* EXECUTE 1, WRITE 2, READ 4: as the kernel */
        blob->v[n].id = k == 0x02 || k == 0x08 ? (uint32_t)id : UINT32_MAX;
        n++;
    }
    qsort(blob->v, n, sizeof(blob->v[0]), acl_order);
    return n;
}

static int set_acl(struct tree *t, int fd, const struct layer_entry *x, int kind)
{
    const char *name = kind == ARCHIVE_ENTRY_ACL_TYPE_ACCESS ? ACL_ACCESS : ACL_DEFAULT;
    struct acl_blob blob;
    size_t n;

    if (!(archive_entry_acl_types(x->raw) & kind))
        return 0;
    n = acl_collect(x->raw, kind, &blob);
    if (n == 0)
        return 1;
    return set_named(t, fd, x, name, &blob,
                     offsetof(struct acl_blob, v) + n * sizeof(struct acl_entry));
}

int tree_set_xattrs(struct tree *t, int fd, const struct layer_entry *x, struct err *e)
{
    static const int kinds[] = {ARCHIVE_ENTRY_ACL_TYPE_ACCESS, ARCHIVE_ENTRY_ACL_TYPE_DEFAULT};
    const char *name;
    const void *value;
    size_t len;
    int r;

    /* Not everywhere can be said whose it was: the layer's headers know it as well. */
    if (!x->owner[0] && t->owner_noted)
        fremovexattr(fd, TREE_OWNER_XATTR); /* of an earlier entry for the directory */
    t->owner_noted |= x->owner[0] != '\0';
    if (x->owner[0] && fsetxattr(fd, TREE_OWNER_XATTR, x->owner, strlen(x->owner), 0) < 0 &&
        errno != EOPNOTSUPP && errno != EPERM)
        return err_set(e, errno, "note its owner");
    if (!x->raw)
        return 0;
    archive_entry_xattr_reset(x->raw);
    while (archive_entry_xattr_next(x->raw, &name, &value, &len) == ARCHIVE_OK) {
        r = set_named(t, fd, x, name, value, len);
        if (r < 0)
            return err_set(e, -r, "set extended attribute %.100s", name);
        if (r > 0)
            dropped(t, name, x);
    }
    for (size_t i = 0; i < N_ELEMENTS(kinds); i++) {
        r = set_acl(t, fd, x, kinds[i]);
        if (r < 0)
            return err_set(e, -r, "set its ACL");
        if (r > 0)
            dropped(t, "ACL", x);
    }
    return 0;
}

void tree_skip_xattrs(struct tree *t, const struct layer_entry *x)
{
    const char *name;
    const void *value;
    size_t len;

    archive_entry_xattr_reset(x->raw);
    while (archive_entry_xattr_next(x->raw, &name, &value, &len) == ARCHIVE_OK)
        dropped(t, name, x);
}
