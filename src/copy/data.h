/* data - the content of one file into another. */
#pragma once

#include <stdint.h>

#include "base/err.h"

/* Told of after every piece; may be NULL. */
typedef void copy_tick(void *data, uint64_t bytes);

/* Copies up to size bytes, as many as there were when the file was opened: one that grows has no
 * end. Holes are kept; files that say to be empty (/proc) are read to their end, but not far. */
int copy_data(int src, int dst, uint64_t size, copy_tick *tick, void *data, struct err *e);
