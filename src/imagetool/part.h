/* part - the file that a blob is downloaded into, and the lock of who does it.
 *
 *   ingest/HEX.part   what there is of the blob so far: the next pull goes on behind it, whatever
 *                     ended this one
 *   ingest/HEX.lock   flock(2): its holder downloads the blob, and holds it until the layer is in
 *                     the store; others wait and then find the layer, or go on themselves
 *
 * Only the bytes' number is believed, not the bytes: the blob's digest decides in the end. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct part {
    int lock_fd, fd; /* fd: read and write */
    uint64_t have;   /* bytes that are there */
    char hex[129];
};
#define PART_INIT                                                                                  \
    {                                                                                              \
        .lock_fd = -1, .fd = -1                                                                    \
    }

/* Takes the blob and opens its file. 1: it is ours; 0: another process has it; -errno. digest was
 * checked. A file that is longer than size is none of this blob and starts again. */
int part_take(int root_fd, const char *digest, uint64_t size, struct part *ret, struct err *e);
/* How much another process has of it. */
uint64_t part_size(int root_fd, const char *digest);
/* Starts again from nothing. */
int part_reset(struct part *p, struct err *e);
int part_write(struct part *p, const void *data, size_t n, struct err *e);
/* Removes the file: the layer is unpacked, or the bytes are wrong. */
void part_drop(int root_fd, struct part *p);
/* Gives the blob up; what is there of it stays. Safe to call twice. */
void part_release(int root_fd, struct part *p);
