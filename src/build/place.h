/* place - where a path of an image or a context leads: symbolic links are followed by hand, below
 * the root descriptor only, and what does not exist yet has a place too. */
#pragma once

#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/scoped.h"

enum place_kind { PLACE_NONE, PLACE_DIR, PLACE_OTHER };

struct place {
    enum place_kind kind;
    char *path;     /* without links, relative, "" is the root; owned */
    struct stat st; /* unless PLACE_NONE */
};

/* root_fd -1: an empty root. follow: the last part too. -ELOOP, -ENOTDIR, others. */
int place_find(int root_fd, const char *path, bool follow, struct place *ret, struct err *e);
static inline void place_release(struct place *p)
{
    free(p->path);
}
#define scoped_place SCOPED(place_release)
#define PLACE_INIT                                                                                 \
    {                                                                                              \
        .path = NULL                                                                               \
    }
