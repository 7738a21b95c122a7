/* copy - a private, flattened copy of the layers, for file systems that cannot hold an overlay. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/strv.h"
#include "mounts/tree.h"
#include "storage/storage-priv.h"

static int apply_layer(const char *layer, int dst, const struct storage_shift *shift,
                       struct storage_progress *p, struct err *e)
{
    scoped_fd int src = open(layer, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (src < 0)
        return err_set(e, errno, "layer %s", layer);
    struct tree_copy t = {.src = src, .dst = dst, .whiteouts = true, .objects = -1};
    int r = shift_setup(shift, &t, e);
    progress_tree(p, &t);
    if (r == 0)
        r = tree_copy(&t, e);
    return r < 0 ? err_add(e, r, "copy layer %s", layer) : 0;
}

static int copy_prepare(const struct storage_root *r, const struct storage_shift *shift,
                        struct err *e)
{
    scoped_fd int dst = open(r->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dst < 0)
        return err_set(e, errno, "open %s", r->dir);
    struct storage_progress progress;
    int q = 0;
    progress_begin(&progress, "copy of the image", r->quiet);
    for (size_t i = strv_len(r->layers); q == 0 && i-- > 0;)
        q = apply_layer(r->layers[i], dst, shift, &progress, e);
    progress_end(&progress);
    return q;
}

static int copy_mount(const struct storage_root *r, struct storage_fds *f, struct err *e)
{
    return storage_dir.mount(r, f, e);
}

const struct storage_driver storage_copy = {
    .name = "copy",
    .probe = probe_copy,
    .prepare = copy_prepare,
    .mount = copy_mount,
};
