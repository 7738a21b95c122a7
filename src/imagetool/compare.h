/* compare - is the tree of a layer what its tar unpacks to? Contents are compared by the digest of
 * the tar: here is what that does not tell (more files, owners, modes, times, attributes). */
#pragma once

#include "base/err.h"
#include "userns/userns.h"

/* Both are directories below layers/ or ingest/ that belong to ids of the map. 0, or -EUCLEAN with
 * the first difference: "\"etc/shadow\": mode 644 instead of 600". */
int tree_compare(const struct userns_map *map, int is_fd, int should_fd, struct err *e);
