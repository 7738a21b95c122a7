/* volume - the first content of a new volume comes from the image. */
#include <errno.h>
#include <sched.h>
#include <unistd.h>

#include "mounts/mounts.h"
#include "storage/storage-priv.h"

struct fill {
    struct storage_root root; /* borrowed members */
    struct storage_fds fds;
    const char *path;
    int volume;
    uint32_t uid, gid; /* the container's root as seen by the one who changes the owner */
};

static int fill_open(void *data, struct err *e)
{
    struct fill *f = data;
    return storage_open(&f->root, &f->fds, e);
}

static int fill_copy(void *data, struct err *e)
{
    struct fill *f = data;
    scoped_fd int root = storage_mount_opened(&f->root, &f->fds, e);
    storage_fds_release(&f->fds);
    return root < 0 ? root : mounts_copy_up(root, f->path, f->volume, e);
}

static int fill_chown(void *data, struct err *e)
{
    struct fill *f = data;
    return fchown(f->volume, f->uid, f->gid) < 0 ? err_set(e, errno, "chown the volume") : 0;
}

/* A directory of the user means nothing to a container whose map lacks the user. */
static int give_to_root(struct fill *f, const struct userns_map *map,
                        const struct userns_map *store_map, struct err *e)
{
    int64_t uid = idmap_to_host(&map->uid, 0), gid = idmap_to_host(&map->gid, 0);
    if (uid < 0 || gid < 0 || uid == geteuid())
        return 0;
    if (geteuid() != 0) {
        uid = idmap_to_inside(&store_map->uid, (uint32_t)uid);
        gid = idmap_to_inside(&store_map->gid, (uint32_t)gid);
    }
    if (uid < 0 || gid < 0)
        return 0;
    f->uid = (uint32_t)uid;
    f->gid = (uint32_t)gid;
    return run_as_owner(store_map, fill_chown, f, e);
}

int storage_fill_volume(const struct storage_root *r, const struct userns_map *map,
                        const struct userns_map *store_map, const char *path, int volume_fd,
                        struct err *e)
{
    struct fill f = {.root = *r, .fds = STORAGE_FDS_INIT, .path = path, .volume = volume_fd};
    /* Read-only, so that the upper is not used before the container uses it. */
    f.root.upper = f.root.work = NULL;
    f.root.is_volatile = false;
    scoped_storage_server struct storage_server server = STORAGE_SERVER_INIT;
    f.root.server = &server;
    int q = give_to_root(&f, map, store_map, e);
    if (q == 0)
        q = storage_serve(&f.root, false, &server, e);
    return q < 0 ? q : userns_run_early(map, CLONE_NEWNS, fill_open, fill_copy, &f, e);
}
