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
#include "sys/mountfd.h"

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

static int make_upper(const struct storage_create *c, struct storage_root *r, struct err *e)
{
    r->upper = path_join(c->container_dir, "upper");
    r->work = path_join(c->container_dir, "work");
    scoped_free char *merged = path_join(c->container_dir, "merged");
    int q = make_dir(r->upper, 0755, e);
    if (q == 0)
        q = make_dir(r->work, 0700, e);
    return q < 0 ? q : make_dir(merged, 0700, e); /* where tools may mount it */
}

static int create_fuse(const struct storage_create *c, struct storage_root *r, struct err *e)
{
    r->layers = strv_dup(c->layer_dirs);
    storage_note_map(c->store_map, r);
    return make_upper(c, r, e);
}

static int create_overlay(const struct storage_create *c, const struct storage_shift *shift,
                          bool metadata, struct storage_root *r, struct err *e)
{
    if (strv_len(c->layer_dirs) > MOUNTFD_OVERLAY_LOWERS) {
        int q = err_msg(e, E2BIG, "the image has %zu layers, overlay takes at most %d",
                        strv_len(c->layer_dirs), MOUNTFD_OVERLAY_LOWERS);
        return err_hint(e, q, "Use --storage-driver copy, or build the image with fewer layers.");
    }
    int q = 0;
    if (shift)
        q = shift_layers(c, shift, metadata, &r->layers, &r->data_layers, e);
    else
        r->layers = strv_dup(c->layer_dirs);
    return q < 0 ? q : make_upper(c, r, e);
}

static int create_copy(const struct storage_create *c, struct storage_root *r, struct err *e)
{
    r->layers = strv_dup(c->layer_dirs);
    r->dir = path_join(c->container_dir, "rootfs");
    return make_dir(r->dir, 0755, e);
}

/* By c->driver, or for a shift by the one that needs no copy. */
static int create_parts(const struct storage_create *c, const struct storage_shift *shift,
                        const struct storage_driver **driver, struct storage_root *r, struct err *e)
{
    enum shift_how how = SHIFT_METADATA;
    if (strv_len(c->layer_dirs) == 0)
        return err_msg(e, EINVAL, "the image has no layers");
    int q = shift && *driver == &storage_overlay ? shift_choose(c, shift, &how, e) : 0;
    if (q < 0)
        return q;
    if (how == SHIFT_FUSE)
        *driver = &storage_fuse;
    r->driver = xstrdup((*driver)->name);
    if (*driver == &storage_overlay)
        return create_overlay(c, shift, how == SHIFT_METADATA, r, e);
    if (*driver == &storage_fuse)
        return create_fuse(c, r, e);
    if (*driver == &storage_copy)
        return create_copy(c, r, e);
    return err_msg(e, EINVAL, "storage driver %s does not stack layers", (*driver)->name);
}

int storage_create(const struct storage_create *c, struct storage_root *ret, struct err *e)
{
    struct storage_shift ids = {.from = c->store_map, .to = c->map, .direct = geteuid() == 0};
    const struct storage_shift *shift = shift_needed(c->store_map, c->map) ? &ids : NULL;
    const struct storage_driver *driver = c->driver;
    scoped_storage_root struct storage_root r = {
        .is_volatile = c->is_volatile,
        .readonly = c->readonly,
        .quiet = c->quiet,
    };
    int q = create_parts(c, shift, &driver, &r, e);
    if (q == 0) {
        struct prepare_job job = {driver, &r, shift};
        q = is_plain(&r) ? driver->prepare(&r, shift, e)
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
