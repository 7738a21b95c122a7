/* message - what the reader of a tree tells its writer: one packet for one thing, in order.
 *
 * The two sides work under different ids, in different namespaces or programs: files of a host
 * directory are opened by the user, those of a container by its root. Reader to writer only; a
 * writer that gives up closes the socket. The reader's names are not trusted. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

enum copy_type {
    COPY_HEAD,     /* the first: name of the top, and what of COPY_IS_* holds */
    COPY_FILE,     /* with a descriptor to read it by, or followed by data */
    COPY_DATA,     /* size: offset; link: the bytes */
    COPY_DATA_END, /* of the file; size: its length */
    COPY_DIR,
    COPY_DIR_END, /* nothing more will come into it: now its attributes are set */
    COPY_SYMLINK,
    COPY_HARDLINK, /* link: the earlier path; perhaps with a descriptor, as COPY_FILE */
    COPY_FIFO,
    COPY_CHAR,
    COPY_BLOCK,
    COPY_LEFT_OUT, /* path was left out, link: why */
    COPY_END,
    COPY_FAILED, /* link: a struct err */
};

enum {
    COPY_IS_DIR = 1,      /* the top is a directory, */
    COPY_IS_CONTENTS = 2, /* of which only the contents are meant */
    COPY_IS_STREAM = 4,   /* a tar: everything goes below the destination as it is named */
};

/* Followed by path, link and xattrs, each with one more byte, 0. Paths are "a/b" below the top,
 * which is "". xattrs: NAME 0, length (4 bytes), value, and so on. */
struct copy_msg {
    uint32_t type, flags;
    uint32_t mode, uid, gid, dev_major, dev_minor;
    uint32_t mtime_ns;
    int64_t mtime;
    uint64_t size;
    uint32_t path_len, link_len, xattrs_len;
};

#define COPY_MAX_PATH 4095
#define COPY_MAX_DATA (64u << 10)
#define COPY_MAX_XATTRS (48u << 10)
#define COPY_MAX_PACKET (sizeof(struct copy_msg) + 4096 + COPY_MAX_DATA + COPY_MAX_XATTRS + 3)

/* A packet taken apart; the texts point into it. */
struct copy_packet {
    struct copy_msg m;
    const char *path, *link, *xattrs;
    int fd; /* owned by who received it, -1 */
};

/* 0 or -errno: -EPIPE when the writer has given up. */
int copy_msg_send(int sock, const struct copy_msg *m, const char *path, const void *link,
                  const void *xattrs, int fd);
/* Without sendmsg(2), for a reader whose system calls are few. */
int copy_msg_write(int sock, const struct copy_msg *m, const char *path, const void *link,
                   const void *xattrs);
/* buf: COPY_MAX_PACKET bytes. -EPROTO for what no reader of ours sends, or none any more. */
int copy_msg_recv(int sock, char *buf, struct copy_packet *ret, struct err *e);
/* A packet of n bytes taken apart; -EPROTO. */
int copy_msg_parse(const char *buf, size_t n, struct copy_packet *ret, struct err *e);

/* One of a packet's extended attributes; all of it points into the packet. */
struct copy_xattr {
    const char *name, *value;
    uint32_t size;
};
/* The one behind *at, which begins at 0: 1, or 0 when there is none any more. */
int copy_next_xattr(const struct copy_packet *p, size_t *at, struct copy_xattr *ret);

/* Tells the writer why there will be nothing more. */
void copy_send_failure(int sock, const struct err *e);
/* The error in a COPY_FAILED. */
int copy_take_failure(const struct copy_packet *p, struct err *e);
