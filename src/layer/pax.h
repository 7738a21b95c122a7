/* pax - writes one tar member header: ustar, with a PAX header in front where ustar is too small.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/err.h"
#include "base/str.h"
#include "layer/out.h"

struct pax {
    char type; /* '0' file, '1' hard link, '2' symbolic link, '3' '4' devices, '5' dir, '6' fifo */
    const char *path, *link; /* path of a directory: ends in a slash */
    uint32_t mode, uid, gid, dev_major, dev_minor;
    uint64_t size;
    struct timespec mtime;
    struct str records; /* PAX records added by pax_record */
};

/* Adds "LEN KEY=VALUE\n". The value may hold any bytes. pax(1) "pax Header Block" */
void pax_record(struct pax *p, const char *key, const void *value, size_t n);
/* Writes the header(s) and resets the records. */
int pax_write(struct pax *p, struct out *o, struct err *e);

/* The value of TREE_OWNER_XATTR: the owner that a squashed file had, unless it was given to
 * somebody since. */
void pax_true_owner(struct pax *p, const char *value, size_t n);
