/* dir - a plain directory as the root (--rootfs), and how the copy driver's tree is mounted. */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/storage-priv.h"

static int dir_probe(bool single, char why[static 256])
{
    (void)single;
    why[0] = '\0';
    return 0; /* never chosen for an image */
}

static int dir_prepare(const struct storage_root *r, const struct storage_shift *shift,
                       struct err *e)
{
    (void)shift;
    struct stat st;
    if (stat(r->dir, &st) < 0)
        return err_set(e, errno, "root file system %s", r->dir);
    if (!S_ISDIR(st.st_mode))
        return err_set(e, ENOTDIR, "root file system %s", r->dir);
    return 0;
}

/* storage_open has cloned the mount, so the directory need not be a mount point. */
static int dir_mount(const struct storage_root *r, struct storage_fds *f, struct err *e)
{
    (void)r;
    (void)e;
    return take_fd(&f->tree);
}

const struct storage_driver storage_dir = {
    .name = "dir",
    .probe = dir_probe,
    .prepare = dir_prepare,
    .mount = dir_mount,
};
