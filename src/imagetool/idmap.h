/* idmap - the id map that the store's trees belong to: recorded once, compared ever after. */
#pragma once

#include "base/err.h"
#include "conf/conf.h"
#include "userns/userns.h"

/* The map to unpack under: the user's default one, which must be the store's. Recorded if the store
 * has no layer yet. A mismatch is -EXDEV with a hint that tells both. */
int idmap_check(const struct conf *c, int root_fd, struct userns_map *ret, struct err *e);
/* The map to delete and read trees under: the recorded one, else the default. */
int idmap_stored(const struct conf *c, struct userns_map *ret, struct err *e);
