/* remove - what a container leaves behind: files of subordinate ids, deleted by their root. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/fs.h"
#include "storage/storage-priv.h"

static const char *const parts[] = {"upper", "work", "merged", "rootfs", "_data"};

int storage_remove_parts(int dir, struct err *e)
{
    for (size_t i = 0; i < N_ELEMENTS(parts); i++) {
        int r = fs_remove_tree(dir, parts[i], e);
        if (r < 0)
            return err_add(e, r, "remove %s", parts[i]);
    }
    return 0;
}

static int remove_parts(void *data, struct err *e)
{
    return storage_remove_parts(*(int *)data, e);
}

/* Under --userns auto the container's root is not the user and could not enter the directory; the
 * default map covers all subordinate ids. */
static int remove_by_root(const struct userns_map *map, int dir, struct err *e)
{
    if (idmap_to_inside(&map->uid, geteuid()) >= 0)
        return userns_run(map, 0, remove_parts, &dir, e);
    scoped_userns_map struct userns_map all = {0};
    int r = userns_map_default(&all, e);
    return r < 0 ? r : userns_run(&all, 0, remove_parts, &dir, e);
}

int storage_remove(const char *container_dir, const struct userns_map *map, struct err *e)
{
    scoped_fd int dir = open(container_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return errno == ENOENT ? 0 : err_set(e, errno, "open %s", container_dir);
    /* Most short-lived containers leave nothing that is not the user's own: no need of a user
     * namespace, which costs more than the removal. */
    struct err first = ERR_INIT;
    int r = remove_parts(&dir, &first);
    if (r == 0 || storage_remover_remove(container_dir))
        return 0;
    if (geteuid() != 0)
        r = remove_by_root(map, dir, e);
    else if (e)
        *e = first;
    return r < 0 ? err_add(e, r, "remove the storage of %s", container_dir) : 0;
}
