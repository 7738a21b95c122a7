/* gc-trees - shifted trees of layers (storage/shift.c) that no container uses and nobody has asked
 * for in a while. A tree of a layer that is gone goes with it; one of layers that have been
 * unpacked again has a name that nobody will ask for any more. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "base/strv.h"
#include "image/pin.h"
#include "image/trees.h"
#include "imagetool/gc.h"

#define KEPT_S (7 * 24 * 3600)

struct trees {
    int root_fd;
    char **used; /* "map-HASH" that a container's record names */
    bool all;    /* not only those that nobody wanted for a while */
    bool goes;   /* all, and of this layer nobody makes a container now */
    bool kept;   /* a metadata tree stays, or is being made */
    gc_is_pinned *is_pinned;
    void *pins;
};

/* Without a note of its use it is older than these notes: it gets one. */
static bool is_old(int dir_fd, const char *name)
{
    scoped_free char *note = xasprintf("%s/used", name);
    struct stat st;
    if (fstatat(dir_fd, note, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return st.st_mtime + KEPT_S < time(NULL);
    scoped_fd int fd = openat(dir_fd, note, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return false;
}

static int sweep_tree(int dir_fd, const char *name, void *data, struct err *e)
{
    struct trees *t = data;
    if (!store_is_tree(name))
        return 0;
    if (strv_has(t->used, name) || (!t->goes && !is_old(dir_fd, name))) {
        t->kept |= *name == 'm';
        return 0;
    }
    int r = gc_to_trash(dir_fd, name, t->root_fd);
    return r < 0 && r != -ENOENT ? err_set(e, -r, "move %s to trash", name) : 0;
}

static int sweep_layer(int dir_fd, const char *name, void *data, struct err *e)
{
    struct trees *t = data;
    t->goes = t->all && !t->is_pinned(t->pins, name);
    return gc_each(dir_fd, name, sweep_tree, t, e);
}

/* The farms of links, which belong to no tree alone. */
static int sweep_objects(int dir_fd, const char *name, void *data, struct err *e)
{
    const struct trees *t = data;
    scoped_fd int layer = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int r = layer < 0 ? -errno : gc_to_trash(layer, "objs", t->root_fd);
    return r < 0 && r != -ENOENT && r != -ENOTDIR ? err_set(e, -r, "move %s/objs to trash", name)
                                                  : 0;
}

static int look_for_builders(int dir_fd, const char *name, void *data, struct err *e)
{
    struct trees *t = data;
    scoped_fd int dead = -1;
    (void)e;
    t->kept |= str_after(name, "shift.") && store_stage_is_live(dir_fd, name, &dead);
    return 0;
}

int gc_trees(int root_fd, bool all, gc_is_pinned *is_pinned, void *pins, struct err *e)
{
    struct trees t = {.root_fd = root_fd, .all = all, .is_pinned = is_pinned, .pins = pins};
    int r = store_trees_used(root_fd, &t.used, e);
    r = r < 0 ? r : gc_each(root_fd, "ingest", look_for_builders, &t, e);
    r = r < 0 ? r : gc_each(root_fd, "layers", sweep_layer, &t, e);
    if (r == 0 && !t.kept)
        r = gc_each(root_fd, "layers", sweep_objects, &t, e);
    strv_free(t.used);
    return r;
}
