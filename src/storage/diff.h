/* diff - what a tree has that its lower layers have not: for `diff` and `commit`.
 *
 * Nothing is mounted: the layers are looked up one above the other, as overlay does it. Every name
 * is opened from the descriptor of its directory, no link is followed, no file is opened but to
 * compare attributes. The tree may change meanwhile: what vanishes is passed over. Few descriptors
 * are open whatever the depth; memory goes with the largest directory. */
#pragma once

#include "base/err.h"
#include "storage/storage.h"

enum storage_diff_kind {
    STORAGE_ADDED = 'A',
    STORAGE_CHANGED = 'C',
    STORAGE_DELETED = 'D', /* of a directory that is gone only itself, not what was in it */
    STORAGE_TARGET = 'M',  /* a target of a mount that was made for it and is empty, or a directory
                              that has changed only for that: no change */
};

struct storage_diff {
    /* Gets every difference, in the order of a walk by names: a directory, then what is in it.
     * path: "/etc/motd", any bytes but 0. The root itself is never told. != 0 ends the walk. */
    int (*tell)(void *data, enum storage_diff_kind kind, const char *path, struct err *e);
    int (*end)(void *data, struct err *e); /* after the last one, in the same process; or NULL */
    void *data;
    char *const *targets; /* absolute, clean paths of what is mounted in the container; or NULL */
};

/* Compares r's own changes (the upper, or the copy) with its layers, in a child that is the root of
 * a user namespace: tell runs there, and what it changes is lost. container_map: of the
 * container; store_map: of the layers. -ENOTSUP for a plain directory (dir). */
int storage_diff(const struct storage_root *r, const struct userns_map *container_map,
                 const struct userns_map *store_map, const struct storage_diff *d, struct err *e);
