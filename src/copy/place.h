/* place - the ends of a copy: from the path that was typed to descriptors. */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>

#include "base/err.h"

/* What a path leads to: name in the directory dir, or with name "" the directory dir itself. */
struct copy_place {
    int dir;           /* O_PATH, owned */
    char *name, *path; /* owned; path: the way to it, links of the last part resolved */
    bool exists;
    struct stat st; /* when it exists; never that of a link when links are followed */
    bool slash;     /* "x/", "x/.": it must be a directory */
    bool dot;       /* "x/.", ".": its contents are meant */
};
#define COPY_PLACE_INIT                                                                            \
    {                                                                                              \
        .dir = -1                                                                                  \
    }
void copy_place_release(struct copy_place *p);
#define scoped_place SCOPED(copy_place_release)

/* root: a container's, or -1. -ENOENT when a directory on the way is not there. */
int copy_place_find(int root, const char *path, bool follow, struct copy_place *ret, struct err *e);
/* Opens what exists there as a directory (flags: O_PATH or O_RDONLY). fd or -errno. */
int copy_place_open_dir(const struct copy_place *p, int flags, struct err *e);
/* The last part of a directory's real path, for one that was named as "." or ".."; owned, "" for
 * the root. */
char *copy_dir_name(int dir);
