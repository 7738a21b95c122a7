/* bundle - a saved image as files by name: a directory, or a tar (spooled when it has to be). */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "imagetool/tarindex.h"

struct bundle {
    int fd; /* the directory, or the uncompressed archive */
    bool is_dir;
    bool flat; /* blobs lie beside the manifest, by their digits (skopeo's dir:) */
    struct tar_index index;
    char *label; /* what the user named: for messages, and the name of an unnamed directory */
};

/* A file inside: bytes offset to offset+size of fd. */
struct bundle_file {
    int fd; /* owned when own is set, else the bundle's */
    bool own;
    int64_t offset, size;
};
void bundle_file_close(struct bundle_file *f);

/* Opens path ("-": standard input). Compressed and unseekable archives are written to an unlinked
 * file in spool_fd first. */
int bundle_open(const char *path, int spool_fd, struct bundle *ret, struct err *e);
void bundle_release(struct bundle *b);

bool bundle_has(const struct bundle *b, const char *name);
/* -ENOENT: "NAME is missing from the archive". Only regular files. */
int bundle_file(const struct bundle *b, const char *name, struct bundle_file *ret, struct err *e);
/* The whole content, zero terminated, owned; -EFBIG above max. Length or -errno. */
ssize_t bundle_read(const struct bundle *b, const char *name, size_t max, char **ret,
                    struct err *e);
