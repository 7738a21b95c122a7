/* copy - COPY and ADD: what is taken, its content hash, and the layer that it makes.
 *
 * copy_open selects the sources; copy_hash gives the key of the build cache without looking at the
 * image below; copy_pack writes a tar to be put on top of it. Sources are opened below their root
 * descriptor only and symbolic links never leave it; the destination is resolved in the image's
 * root in the same way. All of it runs in the calling process, which must be able to read both
 * (the user namespace of the store, when there are subordinate ids). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "build/file.h"
#include "build/ignore.h"
#include "layer/digest.h"

/* A downloaded source of ADD: in the order of the URLs among the arguments. */
struct copy_download {
    int fd;        /* regular file, owned */
    char *name;    /* the last part of the URL's path (or of Content-Disposition): never empty */
    int64_t mtime; /* Last-Modified, or 0 */
};
struct copy_downloads {
    struct copy_download *v;
    size_t n;
};
/* Fetches the http(s) sources of an expanded ADD into scratch_fd (unlinked files); checks
 * --checksum. No URL: n is 0. The only function here that needs the network. */
int copy_fetch(const struct ins *in, int scratch_fd, struct copy_downloads *ret, struct err *e);
void copy_downloads_release(struct copy_downloads *d);

struct copy_spec {
    const struct ins *in; /* COPY or ADD after ins_expand; borrowed until copy_close */
    int from_fd;          /* root of the sources: context, stage, image; -1: no files */
    bool from_image;      /* it is a stage or an image: owners stay unless --chown is given */
    const struct ignore *ignore;            /* of the context, or NULL */
    const struct copy_downloads *downloads; /* or NULL */
    const char *workdir;                    /* of the image's config; NULL: "/" */
    char *const *dirs; /* of WORKDIR, not made yet, as owner_workdir reads them; or NULL */
    int64_t max_mtime; /* later mtimes are set to it (SOURCE_DATE_EPOCH); -1: none */
    int64_t mtime;     /* all mtimes are set to it (--timestamp); -1: none */
    int (*interrupted)(struct err *e); /* asked while hashing: < 0 ends it; or NULL */
};

struct copy;
int copy_open(const struct copy_spec *spec, struct copy **ret, struct err *e);
/* "sha256:HEX" over names, types, modes, owners that count, link targets and contents; times do not
 * count. Flags and destination are not in it: the caller has the instruction's text. */
int copy_hash(struct copy *c, char ret[static DIGEST_TEXT_MAX], struct err *e);
/* The same over inodes, sizes and times, without a look at the contents. Equal before copy_hash and
 * after copy_pack: what was packed is what was hashed. */
int copy_stamp(struct copy *c, char ret[static DIGEST_TEXT_MAX], struct err *e);
/* root_fd: the file system of the image below (-1: there is none, FROM scratch). Writes an
 * uncompressed PAX tar to out_fd: sorted, with the directories that it had to make. Nothing is
 * written to root_fd. */
int copy_pack(struct copy *c, int root_fd, int out_fd, struct err *e);
/* What was left out, a line each; after copy_pack. */
char *const *copy_notes(const struct copy *c);
void copy_close(struct copy *c);
static inline void copy_scoped(struct copy **c)
{
    copy_close(*c);
}
