/* sink - where a saved image goes: a tar, written in one go, or a directory. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct sink {
    int fd;                /* the archive or the directory */
    bool is_dir, made_dir; /* made_dir: ours to remove */
    bool unnamed;          /* temp is the name it will get */
    char *path, *temp;     /* temp: renamed to path at the end; NULL when written in place */
    char **written;        /* names that are in it already */
    int entry_fd;          /* dir: the open file */
    uint64_t entry_size;
};
#define SINK_INIT                                                                                  \
    {                                                                                              \
        .fd = -1, .entry_fd = -1                                                                   \
    }

/* path NULL: standard output (refused when it is a terminal). A regular file appears only when
 * complete. A directory must be missing or empty. */
int sink_open(const char *path, bool is_dir, struct sink *ret, struct err *e);
/* Completes it (end of archive, rename). */
int sink_finish(struct sink *s, struct err *e);
/* The same for a file that somebody else has written to the end. */
int sink_keep(struct sink *s, struct err *e);
/* Removes what is incomplete. */
void sink_release(struct sink *s);

bool sink_has(const struct sink *s, const char *name);
int sink_file(struct sink *s, const char *name, const void *data, size_t n, struct err *e);
/* A file whose content somebody else writes: exactly size bytes to the returned descriptor
 * (borrowed), then sink_end. fd or -errno. */
int sink_begin(struct sink *s, const char *name, uint64_t size, struct err *e);
int sink_end(struct sink *s, struct err *e);
