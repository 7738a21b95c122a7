/* decompress - one reader for plain, gzip and zstd streams, told apart by their first bytes.
 *
 * gzip: several members; zstd: several frames and skippable ones (zstd:chunked layers have them).
 * Anything behind the last member is an error, so that the bytes we hash are the bytes we use.
 * RFC 1952, RFC 8878. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/* Gives up to size bytes of input: the count, 0 at its end, or -errno with e set. */
typedef ssize_t (*decompress_input)(void *data, void *buf, size_t size, struct err *e);

struct decompress;

/* Allocates all it needs, reads nothing yet. */
struct decompress *decompress_new(decompress_input input, void *data);
void decompress_free(struct decompress *d);
static inline void decompress_scoped(struct decompress **d)
{
    decompress_free(*d);
}

/* Fills buf as far as possible. Returns the bytes, less than size only at the end, or -errno:
 * -EBADMSG damaged or truncated, -ENOTSUP a compression we do not have. */
ssize_t decompress_read(struct decompress *d, void *buf, size_t size, struct err *e);

/* "none", "gzip" or "zstd"; "" before the first read. */
const char *decompress_name(const struct decompress *d);
