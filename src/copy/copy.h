/* copy - files from one place to another, where each side opens its own: see message.h.
 *
 * A place is a path as the caller sees it, or a path below a container's root, whose processes may
 * change everything at any moment: there it is openat2(2) below the root, and what lies below the
 * top is opened part by part without following any link. Nothing but regular files is opened, and
 * these without waiting. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* root: of a container; -1: the host. */
struct copy_source {
    int root;
    const char *path;
    const char *label; /* in front of errors: how the user wrote it */
    bool follow;       /* a link as the last part of path is followed; links below never are */
};
/* Sends the whole tree, then COPY_END or COPY_FAILED. 0, or -errno when nobody listens. */
int copy_send(const struct copy_source *s, int sock);

struct copy_dest {
    int root;
    const char *path;
    const char *label;
    bool archive;     /* owners as the source numbers them, where that is allowed */
    bool overwrite;   /* a directory may take the place of a file, and a file of a directory */
    bool outward;     /* out of a container: no set-id bits, and no devices but for archive */
    bool set_ids;     /* outward, with archive: of files whose owner is kept these as well */
    bool progress;    /* a line on stderr once it takes long */
    int64_t uid, gid; /* without archive; -1: who creates is the owner */
    void (*notice)(const char *text); /* what was left out */
};
/* Writes what sock brings. The rules of where it goes to are those of cp(1) and docker cp. A
 * regular file appears under its name when it is complete. */
int copy_receive(const struct copy_dest *d, int sock, struct err *e);
