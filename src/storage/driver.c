/* driver - the table of drivers, and what is common to them. */
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

static const struct storage_driver *const drivers[] = {
    &storage_overlay,
    &storage_fuse,
    &storage_copy,
    &storage_dir,
};

#define ROOT_FIELD(json, member, kind)                                                             \
    {                                                                                              \
        .name = json, .type = kind, .offset = offsetof(struct storage_root, member)                \
    }

const struct jfield storage_root_fields[] = {
    ROOT_FIELD("driver", driver, J_STRING),
    ROOT_FIELD("layers", layers, J_STRV),
    ROOT_FIELD("dataLayers", data_layers, J_STRV),
    ROOT_FIELD("upper", upper, J_STRING),
    ROOT_FIELD("work", work, J_STRING),
    ROOT_FIELD("dir", dir, J_STRING),
    ROOT_FIELD("uidMap", uid_map, J_STRV),
    ROOT_FIELD("gidMap", gid_map, J_STRV),
    ROOT_FIELD("volatile", is_volatile, J_BOOL),
    ROOT_FIELD("readonly", readonly, J_BOOL),
    ROOT_FIELD("", extra, J_EXTRA),
    {0},
};

void storage_root_release(struct storage_root *r)
{
    jfield_release(storage_root_fields, r);
}

void storage_fds_release(struct storage_fds *f)
{
    for (size_t i = 0; f->lowers && i < f->n_lowers + f->n_data; i++)
        fd_close(&f->lowers[i]);
    free(f->lowers);
    f->lowers = NULL;
    fd_close(&f->upper);
    fd_close(&f->work);
    fd_close(&f->tree);
}

const struct storage_driver *storage_driver_get(const char *name, struct err *e)
{
    scoped_str struct str names = STR_INIT;
    for (size_t i = 0; i < N_ELEMENTS(drivers); i++) {
        if (streq(name, drivers[i]->name))
            return drivers[i];
        str_addf(&names, "%s%s", i ? ", " : "", drivers[i]->name);
    }
    err_msg(e, EINVAL, "unknown storage driver \"%s\" (there are: %s)", name ? name : "", names.s);
    return NULL;
}

static int open_layers(const struct storage_root *r, struct storage_fds *f, struct err *e)
{
    size_t n = strv_len(r->layers), n_data = strv_len(r->data_layers);
    f->lowers = xcalloc(n + n_data + 1, sizeof(*f->lowers));
    for (size_t i = 0; i < n + n_data; i++) {
        const char *path = i < n ? r->layers[i] : r->data_layers[i - n];
        f->lowers[i] = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (f->lowers[i] < 0) {
            int q = err_set(e, errno, "layer %s", path);
            if (q == -ENOENT)
                err_hint(e, q, "The image is damaged: load it again.");
            return q;
        }
        if (i < n)
            f->n_lowers++;
        else
            f->n_data++;
    }
    if (n == 0)
        return err_msg(e, EINVAL, "overlay needs at least one layer");
    return 0;
}

static int open_overlay(const struct storage_root *r, struct storage_fds *f, struct err *e)
{
    int q = open_layers(r, f, e);
    if (q < 0 || !r->upper)
        return q;
    f->upper = open(r->upper, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (f->upper < 0)
        return err_set(e, errno, "upper directory %s", r->upper);
    f->work = open(r->work ? r->work : "", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (f->work < 0)
        return err_set(e, errno, "work directory %s", r->work ? r->work : "\"\"");
    return 0;
}

static int open_tree_of(const struct storage_root *r, struct storage_fds *f, struct err *e)
{
    /* Recursive for a user's directory: mounts below it are locked to it and part of what the user
     * sees there. */
    f->tree = mountfd_clone(AT_FDCWD, r->dir ? r->dir : "", streq(r->driver, "dir"), e);
    if (f->tree < 0)
        return f->tree;
    struct stat st;
    if (fstat(f->tree, &st) < 0)
        return err_set(e, errno, "stat %s", r->dir);
    if (!S_ISDIR(st.st_mode))
        return err_set(e, ENOTDIR, "%s", r->dir);
    return mountfd_setattr(f->tree, true, 0, 0, MS_PRIVATE, e);
}

int storage_open(const struct storage_root *r, struct storage_fds *ret, struct err *e)
{
    scoped_storage_fds struct storage_fds f = STORAGE_FDS_INIT;
    int q = 0;
    if (streq(r->driver, "overlay"))
        q = open_overlay(r, &f, e);
    else if (!storage_is_served(r)) /* whose process opens them */
        q = open_tree_of(r, &f, e);
    if (q < 0)
        return err_add(e, q, "mount the root file system");
    *ret = f;
    f = (struct storage_fds)STORAGE_FDS_INIT;
    return 0;
}

int storage_mount_opened(const struct storage_root *r, struct storage_fds *f, struct err *e)
{
    const struct storage_driver *d = storage_driver_get(r->driver, e);
    int q = d ? d->mount(r, f, e) : -EINVAL;
    return q < 0 ? err_add(e, q, "mount the root file system") : q;
}

int storage_mount(const struct storage_root *r, struct err *e)
{
    scoped_storage_fds struct storage_fds f = STORAGE_FDS_INIT;
    int q = storage_open(r, &f, e);
    return q < 0 ? q : storage_mount_opened(r, &f, e);
}
