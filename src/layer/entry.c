/* entry - one member of a layer tar, checked: what libarchive read, with a normalised name. */
#include "layer/entry.h"

#include <archive_entry.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/str.h"

/* Takes back the last part of an unfinished path of len bytes. */
static size_t pop(const char *path, size_t len)
{
    while (len > 0 && path[len - 1] != '/')
        len--;
    return len > 0 ? len - 1 : 0;
}

int entry_clean_path(const char *name, bool lenient, char ret[static PATH_MAX], struct err *e)
{
    size_t len = 0;

    if (name[0] == '/' && name[strspn(name, "/.")] != '\0' && !lenient)
        return err_msg(e, EPERM, "absolute path");
    if (strlen(name) >= PATH_MAX)
        return err_msg(e, ENAMETOOLONG, "path is longer than %d bytes", PATH_MAX - 1);
    for (const char *p = name; *p;) {
        size_t n = strcspn(p, "/");
        if (n == 2 && memcmp(p, "..", 2) == 0) {
            if (!lenient)
                return err_msg(e, EPERM, "path contains \"..\"");
            len = pop(ret, len);
        } else if (n > NAME_MAX) {
            return err_msg(e, ENAMETOOLONG, "a name is longer than %d bytes", NAME_MAX);
        } else if (n > 0 && !(n == 1 && *p == '.')) {
            if (len > 0)
                ret[len++] = '/';
            memcpy(ret + len, p, n);
            len += n;
        }
        p += n;
        p += strspn(p, "/");
    }
    ret[len] = '\0';
    return 0;
}

static int set_type(struct archive_entry *raw, struct layer_entry *x, struct err *e)
{
    static const struct {
        __LA_MODE_T mode;
        enum entry_type type;
    } types[] = {{AE_IFREG, ENTRY_FILE}, {AE_IFDIR, ENTRY_DIR},  {AE_IFLNK, ENTRY_SYMLINK},
                 {AE_IFIFO, ENTRY_FIFO}, {AE_IFCHR, ENTRY_CHAR}, {AE_IFBLK, ENTRY_BLOCK}};

    if (archive_entry_hardlink(raw)) {
        x->type = ENTRY_HARDLINK;
        return 0;
    }
    for (size_t i = 0; i < N_ELEMENTS(types); i++) {
        if (types[i].mode == archive_entry_filetype(raw)) {
            x->type = types[i].type;
            return 0;
        }
    }
    return err_msg(e, EBADMSG, "unknown type of entry");
}

static int set_link(struct archive_entry *raw, bool lenient, struct layer_entry *x, struct err *e)
{
    const char *target = x->type == ENTRY_HARDLINK  ? archive_entry_hardlink(raw)
                         : x->type == ENTRY_SYMLINK ? archive_entry_symlink(raw)
                                                    : NULL;
    int r;

    x->link[0] = '\0';
    if (x->type == ENTRY_HARDLINK) {
        r = entry_clean_path(target, lenient, x->link, e);
        if (r == 0 && x->link[0] == '\0')
            r = err_msg(e, EPERM, "it links to the root");
        return r < 0 ? err_add(e, r, "hard link target \"%.200s\"", target) : 0;
    }
    if (x->type != ENTRY_SYMLINK)
        return 0;
    if (!target || !target[0])
        return err_msg(e, EBADMSG, "symbolic link without a target");
    if (strlen(target) >= sizeof(x->link))
        return err_msg(e, ENAMETOOLONG, "symbolic link target is longer than %d bytes",
                       PATH_MAX - 1);
    memcpy(x->link, target, strlen(target) + 1);
    return 0;
}

int entry_from_archive(struct archive_entry *raw, bool lenient, struct layer_entry *x,
                       struct err *e)
{
    const char *name = archive_entry_pathname(raw);
    int64_t size = archive_entry_size_is_set(raw) ? archive_entry_size(raw) : 0;
    int r;

    if (!name)
        return err_msg(e, EBADMSG, "its name cannot be read");
    r = set_type(raw, x, e);
    if (r == 0)
        r = entry_clean_path(name, lenient, x->path, e);
    if (r == 0)
        r = set_link(raw, lenient, x, e);
    if (r < 0)
        return r;
    if (size < 0)
        return err_msg(e, EBADMSG, "negative size");
    x->raw = raw;
    x->size = x->type == ENTRY_FILE ? (uint64_t)size : 0;
    x->sparse = archive_entry_sparse_count(raw) > 0;
    x->mode = archive_entry_perm(raw) & 07777;
    x->uid = archive_entry_uid(raw);
    x->gid = archive_entry_gid(raw);
    x->mtime.tv_sec = archive_entry_mtime(raw);
    x->mtime.tv_nsec = archive_entry_mtime_nsec(raw);
    if (x->mtime.tv_nsec < 0 || x->mtime.tv_nsec > 999999999)
        x->mtime.tv_nsec = 0;
    x->device_zero = (x->type == ENTRY_CHAR || x->type == ENTRY_BLOCK) &&
                     archive_entry_rdevmajor(raw) == 0 && archive_entry_rdevminor(raw) == 0;
    return 0;
}

bool entry_has_xattrs(const struct layer_entry *x)
{
    return x->raw && (archive_entry_xattr_count(x->raw) > 0 ||
                      (archive_entry_acl_types(x->raw) & ARCHIVE_ENTRY_ACL_TYPE_POSIX1E));
}
