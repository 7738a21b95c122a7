/* compress - a stream as gzip or zstd: the same bytes for the same input and level, on every
 * machine with the same libraries, however many processors it has (gzip.h: one exception).
 *
 * One member or frame, without a name or a time in it. RFC 1952, RFC 8878. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"
#include "layer/decompress.h"

enum compress_format { COMPRESS_NONE, COMPRESS_GZIP, COMPRESS_ZSTD };
#define COMPRESS_LEVEL_DEFAULT (-1) /* gzip: GZIP_LEVEL_DEFAULT; zstd: 3 */

struct compress;

/* Reads nothing yet. -EINVAL: a level that the format does not have. */
int compress_new(enum compress_format format, int level, decompress_input input, void *data,
                 struct compress **ret, struct err *e);
void compress_free(struct compress *c);
/* 0 or -EINVAL, which names the levels there are. */
int compress_check_level(enum compress_format format, int level, struct err *e);

/* Fills buf as far as possible: the bytes, less than size only at the end; or -errno of input. */
ssize_t compress_read(struct compress *c, void *buf, size_t size, struct err *e);
/* The input begins anew: so does the output. */
int compress_restart(struct compress *c, struct err *e);
