/* volumes - which containers use a volume, and removing one that none uses. */
#include "container/container-priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "base/strv.h"
#include "events/events.h"
#include "userns/userns.h"
#include "volume/volume.h"

/* Adds the names of the volumes of a record, or all of it with its id when it is broken. What
 * cannot be read at all may use any. */
static int add_used(int containers_fd, const char *id, const char *wanted, char ***ids,
                    char ***names, struct err *e)
{
    scoped_free char *path = xasprintf("%s/container.json", id);
    scoped_free char *text = NULL;
    struct ctr_record rec = {0};
    struct err ignored = ERR_INIT;
    /* Most records do not even name it: no need to take them apart. */
    ssize_t n = fs_read(containers_fd, path, RECORD_MAX_BYTES, &text, &ignored);
    if (n < 0 && n != -ENOENT && n != -EFBIG)
        return err_set(e, (int)-n, "read %s, which may use volumes", path);
    if (n == -ENOENT || (n >= 0 && wanted && !strstr(text, wanted)))
        return 0;
    scoped_fd int dir = openat(containers_fd, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return errno == ENOENT ? 0 : err_set(e, errno, "open container %s", id);
    err_clear(&ignored);
    /* What a broken record may name is kept. */
    bool used = container_read_record(dir, &rec, &ignored) < 0;
    for (size_t i = 0; i < rec.n_volumes; i++) {
        if (!rec.volumes[i].name)
            continue;
        used |= wanted && streq(rec.volumes[i].name, wanted);
        if (names)
            strv_add(names, rec.volumes[i].name);
    }
    if (wanted && used)
        strv_add(ids, id);
    ctr_record_release(&rec);
    return 0;
}

static int scan(const struct conf *c, const char *wanted, char ***ids, char ***names, struct err *e)
{
    struct err ignored = ERR_INIT;
    int fd = conf_open_root(c, "containers", false, &ignored);
    if (fd == -ENOENT)
        return 0;
    scoped_dir DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d) {
        int r = err_set(e, fd < 0 ? -fd : errno, "list the containers in %s", c->root);
        fd_close(&fd);
        return r;
    }
    int r = 0, ended = 0;
    struct dirent *ent;
    while (r == 0 && (ent = fs_next_entry(d, &ended)))
        if (strlen(ent->d_name) == ID_LEN && id_is_hex(ent->d_name))
            r = add_used(dirfd(d), ent->d_name, wanted, ids, names, e);
    return r == 0 && ended < 0 ? err_set(e, -ended, "list the containers in %s", c->root) : r;
}

int container_volume_users(const struct conf *c, const char *volume, char ***ret_ids, struct err *e)
{
    return scan(c, volume, ret_ids, NULL, e);
}

int container_volumes_used(const struct conf *c, char ***ret_names, struct err *e)
{
    return scan(c, NULL, NULL, ret_names, e);
}

/* Its files may belong to any subordinate id: the default map has them all. */
static int delete_tree(const struct conf *c, const char *name, struct err *e)
{
    scoped_fd int volumes = conf_open_root(c, "volumes", false, e);
    if (volumes < 0)
        return volumes;
    if (fs_remove_tree(volumes, name, NULL) == 0)
        return 0;
    scoped_userns_map struct userns_map map = {0};
    scoped_free char *path = xasprintf("%s/volumes/%s", c->root, name);
    int r = userns_map_default(&map, e);
    if (r == 0)
        r = storage_remove(path, &map, e);
    return r == 0 ? fs_remove_tree(volumes, name, e) : r;
}

void container_volume_sweep(const struct conf *c)
{
    scoped_strv char **debris = volume_debris(c);
    scoped_strv char **orphans = volume_orphans(c);
    for (char **d = debris; d && *d; d++)
        (void)!delete_tree(c, *d, NULL);
    for (char **name = orphans; name && *name; name++) {
        scoped_fd int claim = volume_claim(c, *name);
        if (claim < 0)
            continue; /* its maker is at it */
        int r = container_volume_remove(c, *name, NULL);
        if (r == 0 || r == -ENOENT || r == -EBUSY) /* a container has it, which is as well */
            volume_keep(c, *name);
    }
}

int container_volume_remove(const struct conf *c, const char *name, struct err *e)
{
    scoped_strv char **ids = NULL;
    scoped_free char *debris = NULL;
    scoped_fd int lock = volume_lock(c, name, e);
    if (lock < 0)
        return lock;
    int r = container_volume_users(c, name, &ids, e);
    if (r == 0 && ids)
        r = err_msg(e, EBUSY, "volume %s: container %.12s%s it", name, ids[0],
                    ids[1] ? " and others use" : " uses");
    if (r == 0)
        r = volume_set_aside(c, name, &debris, e);
    if (r < 0)
        return r;
    /* Who waits for the lock may make it anew, whatever the deletion takes. */
    fd_close(&lock);
    event_named(c, "volume", "remove", name, name);
    r = delete_tree(c, debris, e);
    return r < 0 ? err_add(e, r, "remove volume %s", name) : 0;
}
