/* untar-priv - what the parser of archives and its reader say to each other through a pipe. */
#pragma once

#include <stdint.h>

#define UNTAR_CHUNK 65536u
#define UNTAR_MAX_MESSAGE (1u << 20)
#define UNTAR_MAX_XATTRS 64u

enum untar_kind {
    UNTAR_ENTRY = 1, /* struct untar_head, path, link, then per xattr two lengths and both texts */
    UNTAR_DATA,
    UNTAR_END,
    UNTAR_NONE,  /* it is no archive */
    UNTAR_ERROR, /* a text */
};

struct untar_wire {
    uint32_t kind, len; /* len bytes follow */
};

struct untar_head {
    uint32_t type, mode, uid, gid, mtime_ns, path_len, link_len, n_xattrs;
    uint64_t size;
    int64_t mtime;
};

/* In the child: parses in_fd and talks to out_fd; does not return. */
void untar_worker(int in_fd, int out_fd) __attribute__((noreturn));
