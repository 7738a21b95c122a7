/* entry - one member of a layer tar, checked: what libarchive read, with a normalised name. */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "base/err.h"

struct archive_entry;

enum entry_type {
    ENTRY_FILE,
    ENTRY_DIR,
    ENTRY_SYMLINK,
    ENTRY_HARDLINK,
    ENTRY_FIFO,
    ENTRY_CHAR,
    ENTRY_BLOCK,
};

struct layer_entry {
    enum entry_type type;
    char path[PATH_MAX]; /* "a/b": no "", "." or ".." parts, no slash at the ends; "" = the root */
    char link[PATH_MAX]; /* symbolic link: as it is; hard link: normalised as path */
    uint64_t size;       /* of a regular file, apparent */
    bool sparse;
    mode_t mode; /* 07777 */
    int64_t uid, gid;
    char owner[44]; /* "UID:GID" of the archive when it was squashed, else "" */
    struct timespec mtime;
    bool device_zero;          /* device 0/0 */
    struct archive_entry *raw; /* for its xattrs and ACLs; borrowed, NULL: none */
};

/* Fills x from what libarchive gave. lenient: "/" in front and ".." parts are clamped to the root
 * instead of refused. -EPERM, -ENAMETOOLONG, -EBADMSG with the reason; the caller names the entry.
 */
int entry_from_archive(struct archive_entry *raw, bool lenient, struct layer_entry *x,
                       struct err *e);

/* Normalises a name of the archive. */
int entry_clean_path(const char *name, bool lenient, char ret[static PATH_MAX], struct err *e);

/* Does it carry extended attributes or an extended ACL? */
bool entry_has_xattrs(const struct layer_entry *x);
