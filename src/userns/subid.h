/* subid - the subordinate ids of a user, and his name; folder-private beside userns.h. */
#pragma once

#include "userns/userns.h"

/* Appends a line; a count of 0 adds nothing. */
void idmap_add(struct idmap *m, uint32_t inside, uint32_t outside, uint32_t count);
