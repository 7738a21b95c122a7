/* mask - what an ignore file leaves out, as the top layer of an overlay: a whiteout for each. */
#pragma once

#include "base/err.h"
#include "build/ignore.h"

struct mask_spec {
    int from_fd;        /* the context */
    const char *source; /* a path of it */
    const struct ignore *ignore;
    int (*interrupted)(struct err *e); /* < 0 ends it */
};
/* Fills the empty directory dir. 1, or 0 if nothing below source is left out, or -errno: source
 * itself is. */
int mask_make(const struct mask_spec *spec, const char *dir, struct err *e);
