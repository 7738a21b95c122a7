/* out - a tar on its way out: buffered, hashed, counted. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "layer/layer.h"

struct out;
/* fd is borrowed; algorithm as digest_new, or OUT_NO_DIGEST. */
#define OUT_NO_DIGEST ""
int out_new(int fd, const char *algorithm, struct out **ret, struct err *e);
void out_free(struct out *o);
int out_write(struct out *o, const void *data, size_t n, struct err *e);
int out_zeros(struct out *o, uint64_t n, struct err *e);
/* len bytes of fd from offset; -EUCLEAN when it has less. */
int out_copy(struct out *o, int fd, uint64_t offset, uint64_t len, struct err *e);
uint64_t out_bytes(const struct out *o);
/* Flushes; sets diffid and tar_bytes. */
int out_end(struct out *o, struct layer_result *res, struct err *e);
