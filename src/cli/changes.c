#include "cli/changes.h"

#include <errno.h>
#include <stdlib.h>

#include "base/path.h"
#include "base/strv.h"
#include "cli/cli.h"
#include "image/store.h"
#include "spec/spec.h"

static int store_map(struct userns_map *ret, struct err *e)
{
    int r = store_idmap(cli_conf(), ret, e);
    return r == -ENOENT ? userns_map_default(ret, e) : r;
}

/* Where something is mounted: the runtime makes what the image lacks for it. */
static char **mount_targets(const struct container *ctr)
{
    scoped_spec struct spec spec = {0};
    char **targets = NULL;
    if (container_read_spec(ctr->dir_fd, &spec, NULL) < 0)
        return NULL;
    for (size_t i = 0; i < spec.n_mounts; i++)
        strv_take(&targets, path_clean(spec.mounts[i].destination));
    return targets;
}

int changes_of_container(const struct container *ctr, struct storage_diff *d, struct err *e)
{
    scoped_userns_map struct userns_map own = {0}, store = {0};
    scoped_strv char **targets = mount_targets(ctr);
    if (!ctr->rec.storage.driver)
        return err_msg(e, EIO, "its records are damaged");
    int r = store_map(&store, e);
    r = r < 0 ? r : container_map(ctr->dir_fd, &own, e);
    d->targets = targets;
    r = r < 0 ? r : storage_diff(&ctr->rec.storage, &own, &store, d, e);
    d->targets = NULL;
    return r;
}

int changes_of_image(const char *name, struct storage_diff *d, struct err *e)
{
    SCOPED(store_image_release) struct store_image image = {0};
    scoped_userns_map struct userns_map store = {0};
    scoped_strv char **dirs = NULL;
    scoped_fd int lock = store_use(cli_conf(), e);
    int r = lock < 0 ? lock : store_find(cli_conf(), name, &image, e);
    r = r < 0 ? r : store_layer_dirs(cli_conf(), &image, &dirs, e);
    r = r < 0 ? r : store_map(&store, e);
    if (r < 0 || !dirs)
        return r;
    char overlay[] = "overlay";
    const struct storage_root top = {.driver = overlay, .upper = dirs[0], .layers = dirs + 1};
    return storage_diff(&top, &store, &store, d, e);
}
