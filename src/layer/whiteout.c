/* whiteout - .wh. names of a layer become what overlayfs understands.
 *
 * Whiteouts hide only what lower layers have, never entries of their own layer, and their place in
 * the archive does not matter (image-spec layer.md "Whiteouts"). So a whiteout beside an entry of
 * the same name means: not merged with the lower one. For a file that goes without saying, a
 * directory becomes opaque. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "layer/tree.h"

#define PREFIX ".wh."
#define META ".wh..wh."
#define OPAQUE ".wh..wh..opq"

int tree_set_opaque(int parent_fd, const char *name, struct err *e)
{
    scoped_fd int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0 || fsetxattr(fd, "user.overlay.opaque", "y", 1, 0) < 0)
        return err_set(e, errno, "mark directory \"%.200s\" as opaque", name);
    return 0;
}

int tree_make_whiteout(struct tree *t, const char *name, struct err *e)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, t->implied_mtime};
    struct stat st;

    /* Needs no privilege since Linux 5.8: such a device cannot be opened. Its time makes packing it
     * again reproducible. */
    if (mknodat(t->parent.fd, name, S_IFCHR, makedev(0, 0)) == 0) {
        if (utimensat(t->parent.fd, name, times, AT_SYMLINK_NOFOLLOW) < 0)
            return err_set(e, errno, "set its time");
        return 0;
    }
    if (errno != EEXIST)
        return err_set(e, errno, "make a whiteout");
    if (fstatat(t->parent.fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return err_set(e, errno, "look at the entry it hides");
    if (!S_ISDIR(st.st_mode))
        return 0;
    int r = tree_set_opaque(t->parent.fd, name, e);
    return r < 0 ? r : tree_hidden(t, name, e);
}

/* The first part of path that starts with .wh., or NULL. */
static const char *whiteout_part(const char *path)
{
    for (const char *p = path; p; p = strchr(p, '/')) {
        p += *p == '/';
        if (strncmp(p, PREFIX, strlen(PREFIX)) == 0)
            return p;
    }
    return NULL;
}

static int opaque_entry(struct tree *t, const char *path, struct err *e)
{
    const char *name;
    int r = tree_open_parent(t, path, true, &name, e);

    if (r == 0 && !t->parent.real[0])
        t->result->root_opaque = true;
    return r == 0 ? tree_set_opaque(t->parent.fd, ".", e) : r < 0 ? r : 0;
}

int tree_whiteout_entry(struct tree *t, const struct layer_entry *x, struct err *e)
{
    const char *part = whiteout_part(x->path), *name;
    int r;

    if (!part)
        return 0;
    if (!t->want_whiteouts)
        return err_msg(e, EPERM, "whiteouts have no meaning here");
    if (streq(part, OPAQUE)) {
        r = opaque_entry(t, x->path, e);
        return r < 0 ? r : 1;
    }
    /* Bookkeeping of aufs (.wh..wh.plnk/, .wh..wh.orph/, .wh..wh.aufs). */
    if (strncmp(part, META, strlen(META)) == 0 && part[strlen(META)] != '\0' &&
        part[strlen(META)] != '.' && part[strlen(META)] != '/')
        return 1;
    if (strchr(part, '/'))
        return err_msg(e, EPERM, "a whiteout has entries below it");
    name = part + strlen(PREFIX);
    if (streq(name, "") || streq(name, ".") || streq(name, "..") ||
        strncmp(name, PREFIX, strlen(PREFIX)) == 0)
        return err_msg(e, EPERM, "a whiteout of \"%.250s\" is not valid", name);
    r = tree_open_parent(t, x->path, true, &name, e);
    if (r != 0)
        return r < 0 ? r : 1;
    r = tree_make_whiteout(t, name + strlen(PREFIX), e);
    return r < 0 ? r : 1;
}
