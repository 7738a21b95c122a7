/* untar - reads a tar (plain, gzip, bzip2, xz or zstd, told by its content) entry by entry.
 *
 * The archive is parsed by a child that holds nothing but its input and a pipe, with no files, no
 * network and a short list of system calls. What it says is checked again here. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"

struct untar_entry {
    char type; /* of tar: '0' file, '1' hard link, '2' symbolic link, '5' directory, '6' fifo */
    uint32_t mode, uid, gid;
    uint64_t size;
    int64_t mtime;
    uint32_t mtime_ns;
    char *path;         /* relative, cleaned: no "..", no slash at the ends, "" is the top */
    char *link;         /* hard links: cleaned as path */
    char **xattrs;      /* names */
    struct str *values; /* of them, in order */
};

struct untar;
/* fd: the archive from its current position; borrowed. -ENOMSG: it is none. */
int untar_open(int fd, struct untar **ret, struct err *e);
/* 1: an entry (it lives until the next call), 0: the end, -errno. Content that was not read is
 * skipped. Devices are left out. */
int untar_next(struct untar *u, const struct untar_entry **ret, struct err *e);
/* Content of the entry: bytes, 0 at its end. */
ssize_t untar_read(struct untar *u, void *buf, size_t size, struct err *e);
void untar_close(struct untar *u);
static inline void untar_scoped(struct untar **u)
{
    untar_close(*u);
}
/* Unpacks into an empty directory of our own, as the context of a build: files, directories and
 * links; owners are not kept. */
int untar_tree(int fd, int dir_fd, struct err *e);
