/* create - what a new container gets on disk. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/path.h"
#include "base/str.h"
#include "base/strv.h"
#include "storage/storage-priv.h"

struct prepare_job {
    const struct storage_driver *driver;
    const struct storage_root *root;
    const struct storage_shift *shift;
};

static int prepare_child(void *data, struct err *e)
{
    struct prepare_job *job = data;
    umask(0);
    return job->driver->prepare(job->root, job->shift, e);
}

static int make_dir(const char *path, mode_t mode, struct err *e)
{
    if (mkdir(path, mode) < 0)
        return err_set(e, errno, "make %s", path);
    return 0;
}

/* Overlay needs no user namespace when the root of the image is already ours. */
static bool is_plain(const struct storage_root *r)
{
    struct stat st;
    return r->upper && stat(r->layers[0], &st) == 0 && st.st_uid == geteuid() &&
           st.st_gid == getegid();
}

static int create_overlay(const struct storage_create *c, const struct storage_shift *shift,
                          struct storage_root *r, struct err *e)
{
    if (strv_len(c->layer_dirs) == 0)
        return err_msg(e, EINVAL, "the image has no layers");
    if (strv_len(c->layer_dirs) > OVERLAY_MAX_LOWERS) {
        int q = err_msg(e, E2BIG, "the image has %zu layers, overlay takes at most %d",
                        strv_len(c->layer_dirs), OVERLAY_MAX_LOWERS);
        return err_hint(e, q, "Use --storage-driver copy, or build the image with fewer layers.");
    }
    int q = 0;
    if (shift)
        q = shift_layers(c, shift, &r->layers, &r->data_layers, e);
    else
        r->layers = strv_dup(c->layer_dirs);
    if (q < 0)
        return q;
    r->upper = path_join(c->container_dir, "upper");
    r->work = path_join(c->container_dir, "work");
    scoped_free char *merged = path_join(c->container_dir, "merged");
    q = make_dir(r->upper, 0755, e);
    if (q == 0)
        q = make_dir(r->work, 0700, e);
    if (q == 0)
        q = make_dir(merged, 0700, e); /* where tools may mount it */
    return q;
}

static int create_copy(const struct storage_create *c, struct storage_root *r, struct err *e)
{
    r->layers = strv_dup(c->layer_dirs);
    r->dir = path_join(c->container_dir, "rootfs");
    return make_dir(r->dir, 0755, e);
}

int storage_create(const struct storage_create *c, struct storage_root *ret, struct err *e)
{
    struct storage_shift ids = {.from = c->store_map, .to = c->map, .direct = geteuid() == 0};
    const struct storage_shift *shift = shift_needed(c->store_map, c->map) ? &ids : NULL;
    scoped_storage_root struct storage_root r = {
        .driver = xstrdup(c->driver->name),
        .is_volatile = c->is_volatile,
        .readonly = c->readonly,
    };
    int q = c->driver == &storage_overlay ? create_overlay(c, shift, &r, e)
            : c->driver == &storage_copy
                ? create_copy(c, &r, e)
                : err_msg(e, EINVAL, "storage driver %s does not stack layers", c->driver->name);
    if (q == 0) {
        struct prepare_job job = {c->driver, &r, shift};
        q = is_plain(&r) ? c->driver->prepare(&r, shift, e)
                         : run_as_owner(c->store_map, prepare_child, &job, e);
    }
    if (q < 0) {
        storage_remove(c->container_dir, c->store_map, NULL);
        return err_add(e, q, "make the root file system");
    }
    *ret = r;
    r = (struct storage_root){0};
    return 0;
}
