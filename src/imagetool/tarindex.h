/* tarindex - where the files of an uncompressed tar lie, so that they can be read in any order.
 *
 * Only for the outer archive of a saved image, whose members are plain files and links; layers go
 * through src/layer. pax(1), tar(5): ustar, GNU long names, PAX path, linkpath and size. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct tar_member {
    char *name;     /* cleaned: no leading "./" or "/" */
    char *link;     /* target within the archive, cleaned; NULL for a file */
    int64_t offset; /* of the content */
    int64_t size;
};

struct tar_index {
    struct tar_member *v; /* sorted by name; of equal names only the last in the archive counts */
    size_t n, alloc;
};

/* Reads all headers of fd (a regular file). -EBADMSG: no tar, or damaged. */
int tar_index_read(int fd, struct tar_index *ret, struct err *e);
void tar_index_release(struct tar_index *t);
/* The file of that name, links followed (at most 16); NULL when there is none. */
const struct tar_member *tar_index_find(const struct tar_index *t, const char *name);
