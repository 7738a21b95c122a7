/* sparse - where a file has data, and the map that a tar carries for it (GNU's PAX format 1.0). */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/str.h"

struct sparse_part {
    uint64_t offset, len;
};
struct sparse {
    struct sparse_part *v; /* owned; the last one may be empty: it tells the size */
    size_t n;
    uint64_t bytes; /* of data */
    struct str map; /* filled up to a multiple of 512 */
};

/* Is it worth a map? Then it is in *ret. Holes below a mebibyte are data: not every tar knows such
 * maps, and small ones save nothing. */
bool sparse_look(int fd, const struct stat *st, struct sparse *ret);
void sparse_release(struct sparse *s);
