/* tree-priv - between the walk (tree.c), the data (tree-file.c) and the attributes (tree-attr.c).
 */
#pragma once

#include <sys/stat.h>

#include "base/scoped.h"
#include "mounts/tree.h"

/* tree-file.c: data of a regular file, holes kept, shared where the file system can. */
int tree_copy_data(int src, int dst, uint64_t size, struct err *e);
/* Overlay opens an object with the rights of whoever mounts, which may be a container's root to
 * whom the layer's owner means nothing (--userns auto): what is not readable by all is copied
 * instead. */
static inline bool tree_is_object(const struct stat *st)
{
    return st->st_size > 0 && (st->st_mode & S_IROTH);
}
/* Links the file into the farm and marks dst, an empty inode, as its metadata copy. */
int tree_link_object(const struct tree_copy *t, int src_dir, const char *name, int dst,
                     const struct stat *st, struct err *e);

/* tree-attr.c: owner, mode, xattrs and times, in the order in which none undoes another. src, dst:
 * open files, not O_PATH. */
int tree_copy_attrs(const struct tree_copy *t, int src, int dst, const struct stat *st,
                    struct err *e);
/* Owner and times of what cannot be opened: links, FIFOs, devices. */
int tree_copy_attrs_at(const struct tree_copy *t, int dst_dir, const char *name,
                       const struct stat *st, struct err *e);
/* "y" in user.overlay.opaque of an open directory. */
bool tree_is_opaque(int fd);
