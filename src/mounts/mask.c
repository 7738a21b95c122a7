/* mask - paths that a container must not read, or not write (mostly below /proc and /sys). */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/path.h"
#include "mounts/mounts-priv.h"

/* What is not there needs no mask. */
static bool is_absent(int r)
{
    return r == -ENOENT || r == -ENOTDIR || r == -EACCES;
}

/* An empty directory nobody can write to: one tmpfs for all masks. */
static int empty_tree(struct mounts *c, struct err *e)
{
    if (c->empty >= 0)
        return mountfd_clone(c->empty, "", false, e);
    return mountfd_new("tmpfs", "tmpfs", "mode=0555,size=4k,nr_inodes=2",
                       MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
                       e);
}

static int mask_path(struct mounts *c, const char *path, struct err *e)
{
    scoped_fd int target = path_open_in_root(c->root, path, O_PATH, 0, e);
    if (is_absent(target)) {
        err_clear(e);
        return 0;
    }
    if (target < 0)
        return target;
    struct stat st;
    if (fstat(target, &st) < 0)
        return err_set(e, errno, "stat");
    bool dir = S_ISDIR(st.st_mode);
    scoped_fd int tree = dir ? empty_tree(c, e) : mountfd_clone(c->null_fd, "", false, e);
    if (tree < 0)
        return tree;
    int r = dir ? 0 : mountfd_setattr(tree, false, 0, 0, MS_PRIVATE, e);
    if (r == 0)
        r = mountfd_attach(tree, target, e);
    if (r == 0 && dir && c->empty < 0)
        c->empty = take_fd(&tree);
    return r;
}

static int readonly_path(struct mounts *c, const char *path, struct err *e)
{
    scoped_fd int target = path_open_in_root(c->root, path, O_PATH, 0, e);
    if (is_absent(target)) {
        err_clear(e);
        return 0;
    }
    if (target < 0)
        return target;
    scoped_fd int tree = mountfd_clone(target, "", true, e);
    if (tree < 0)
        return tree;
    /* The whole mask in one go: what lies on a path that has other mounts below is covered. */
    int r = mountfd_setattr(tree, true, MOUNT_ATTR_RDONLY, 0, MS_PRIVATE, e);
    return r < 0 ? r : mountfd_attach(tree, target, e);
}

int mask_apply(struct mounts *c, struct err *e)
{
    const struct spec_linux *l = c->spec->linux_;
    for (size_t i = 0; l && l->readonly_paths && l->readonly_paths[i]; i++) {
        int r = readonly_path(c, l->readonly_paths[i], e);
        if (r < 0)
            return err_add(e, r, "make %s read-only", l->readonly_paths[i]);
    }
    for (size_t i = 0; l && l->masked_paths && l->masked_paths[i]; i++) {
        int r = mask_path(c, l->masked_paths[i], e);
        if (r < 0)
            return err_add(e, r, "mask %s", l->masked_paths[i]);
    }
    return 0;
}
