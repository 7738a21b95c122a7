/* pack - the tar of a COPY under way. */
#pragma once

#include <time.h>

#include "build/copy-priv.h"
#include "layer/out.h"
#include "layer/pax.h"

struct pack {
    struct copy *c;
    int root_fd;
    struct out *out;
    struct pax pax;
    void *dirs;  /* tsearch: directories that the tar has */
    void *links; /* tsearch: files with several names */
    bool own;    /* --chown: */
    uint32_t uid, gid;
    int64_t now;
};

/* What is written for one entry besides its path. */
struct attr {
    char type;
    uint32_t mode, uid, gid;
    uint64_t size;
    int64_t mtime;
    const char *link;
    const struct str *records; /* PAX records to go along, or NULL */
};

/* The directory at path (without links) is in the tar after, with those above it. attr: for when it
 * is new; NULL: 0755. */
int pack_dir(struct pack *p, const char *path, const struct attr *attr, struct err *e);
/* The same, but attr counts also when the directory is there already. */
int pack_set_dir(struct pack *p, const char *path, const struct attr *attr, struct err *e);
/* One other entry; its directory must be there. Content follows by out_*. */
int pack_entry(struct pack *p, const char *path, const struct attr *a, struct err *e);
/* Content is padded to a whole block. */
int pack_padding(struct pack *p, uint64_t size, struct err *e);
/* Where name in the directory dir (without links) leads to: place_find for what the tar and the
 * image below have. follow: a link to a directory is that directory. */
struct place;
int pack_find(struct pack *p, const char *dir, const char *name, struct place *ret, struct err *e);
/* A file is about to be put at path, where the image may have a directory. */
int pack_refuse_dir(struct pack *p, const char *path, struct err *e);
/* The earlier path of the same file, or NULL, and then path is remembered. */
const char *pack_link(struct pack *p, const struct stat *st, const char *path);
int64_t pack_time(const struct pack *p, int64_t t);
void pack_release(struct pack *p);
int pack_archive(struct pack *p, const struct item *it, const char *dir, struct err *e);
