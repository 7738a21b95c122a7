/* tree - copies a directory tree with all that belongs to it: owners, modes, times, xattrs, hard
 * links, holes. Also applies overlay layers to a flat tree, and makes metadata trees.
 *
 * Nothing is followed: every name is opened below the two given directories without links or mount
 * escapes (openat2), files only after they are known to be regular. At most a handful of
 * descriptors are open, whatever the depth. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct tree_copy {
    int src, dst; /* directories, borrowed; readable or O_PATH */

    /* dst already holds lower layers: 0/0 character devices and opaque directories of src are
     * applied and do not appear, other entries replace what is there. */
    bool whiteouts;

    /* Changes ids as seen by this process; NULL: kept. -EOVERFLOW with e set when one has no place.
     * data is handed through. ACL entries and file capabilities follow. */
    int (*shift)(void *data, uint32_t *uid, uint32_t *gid, struct err *e);
    void *data;

    /* >= 0: a metadata tree for an overlay's data-only layer. Regular files are empty inodes of the
     * right size with user.overlay.metacopy and .redirect, and their data is hard linked below this
     * directory under a name made of object_prefix (at most 6 bytes) and the inode number. Files
     * that not everybody may read are copied. */
    int objects;
    const char *object_prefix;

    bool new_caps_root; /* file capabilities are rewritten for the namespace root ... */
    uint32_t caps_root; /* ... with this user id, as this process sees it */

    uint64_t files, bytes; /* counted: entries made, bytes of data copied */
    void (*tick)(void *data, const struct tree_copy *t); /* after each entry; may be NULL */
    void *tick_data;
};

/* The content of src, and src's own owner, mode, xattrs and times, to dst. 0 or -errno. */
int tree_copy(struct tree_copy *t, struct err *e);

/* Extended attributes of an open file to another, as tree_copy does it (for single inodes). */
int tree_copy_xattrs(const struct tree_copy *t, int src, int dst, struct err *e);
