/* gzip - a stream as one gzip member, deflated in blocks side by side.
 *
 * Every block of the input is compressed by itself, with the 32 KiB before it as its dictionary,
 * and ends at a byte: what comes out is one member that every reader takes, and the same bytes
 * however many processors there are. The input is read by the caller's thread alone; helpers only
 * compute, and all streams of the process together have one helper less than there are processors.
 * Without any the caller does it all. RFC 1951, RFC 1952.
 *
 * Levels 1 to 3 are those of ISA-L where the build has it: a quarter of zlib's time. What it makes
 * may differ from one kind of processor to another; from 4 it is zlib everywhere. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"
#include "layer/decompress.h"

#define GZIP_BLOCK ((size_t)128 << 10)

/* Of a layer of programs ISA-L's 3 makes 3 % more bytes than Go's tools send, in a third of their
 * time; zlib's 4 makes 3 % less than they, its 6 another 3 % less in twice its time. */
#ifdef HAVE_ISAL
#define GZIP_LEVEL_DEFAULT 3
#else
#define GZIP_LEVEL_DEFAULT 4
#endif

struct gzip;

/* level: 1 to 9. Reads nothing yet. */
int gzip_new(int level, decompress_input input, void *data, struct gzip **ret, struct err *e);
/* The same with at most that many helpers, whatever the others have: 0 is none. */
int gzip_new_with(int level, unsigned helpers, decompress_input input, void *data,
                  struct gzip **ret, struct err *e);
/* Waits for the helpers: no longer than a block takes. NULL is fine. */
void gzip_free(struct gzip *g);

/* Some bytes, 0 at the end, or -errno of input. */
ssize_t gzip_read(struct gzip *g, void *buf, size_t size, struct err *e);
/* The input begins anew: so does the output. */
void gzip_restart(struct gzip *g);
