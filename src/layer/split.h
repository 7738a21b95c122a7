/* split - headers.zst: the bytes of a tar that are not file content, and where the content is.
 *
 * With diff/ it gives the tar back bit for bit, so a layer keeps its diffID through save and push
 * while its compressed blob is dropped. A zstd stream of records, numbers as LEB128:
 *   'R' n bytes            n literal bytes (headers, padding, content that is not in diff/)
 *   'F' n path offset len  len bytes of diff/path from offset: a new file
 *   'C' len                len more bytes of the same file, behind the last ones
 *   'X' n path k           the content of earlier 'F's of this path (or below it) moved to
 *                          replaced/k, because the tar replaced its own entry
 *   'E' total              the end; total is the tar's size
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct split_writer;

/* fd is borrowed and must stay open until the end. Allocates all it needs (before a sandbox). */
struct split_writer *split_writer_new(int fd);
void split_writer_free(struct split_writer *w);
static inline void split_writer_scoped(struct split_writer **w)
{
    split_writer_free(*w);
}

int split_raw(struct split_writer *w, const void *data, size_t n, struct err *e);
/* id tells one file entry from the next: the same id continues. */
int split_content(struct split_writer *w, uint64_t id, const char *path, uint64_t offset,
                  uint64_t len, struct err *e);
int split_moved(struct split_writer *w, const char *path, uint64_t number, struct err *e);
int split_end(struct split_writer *w, uint64_t total, struct err *e);

/* Reading: records one after the other; strings are valid until the next call. */
struct split_record {
    char type;
    const char *path; /* F, X */
    uint64_t offset;  /* F, C: of the file */
    uint64_t len;     /* R: bytes to fetch with split_read_raw; F, C: bytes of content */
    uint64_t number;  /* X: replaced/number; E: total */
};
struct split_reader;
struct split_reader *split_reader_new(int fd);
void split_reader_free(struct split_reader *r);
static inline void split_reader_scoped(struct split_reader **r)
{
    split_reader_free(*r);
}
/* 1, 0 after 'E', or -errno (-EUCLEAN damaged). */
int split_next(struct split_reader *r, struct split_record *ret, struct err *e);
/* The next bytes of an 'R' record, at most size: their count, 0 when all were given. Bytes that are
 * not fetched are skipped by split_next. */
int split_read_raw(struct split_reader *r, void *buf, size_t size, struct err *e);
