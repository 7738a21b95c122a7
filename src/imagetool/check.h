/* check - what is wrong in the store, and how it is mended. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "conf/conf.h"
#include "image/store.h"
#include "imagetool/ingest.h"

struct check {
    struct conf conf;
    bool quick;
    char **pull_options; /* for the pull of a repair */
    const char *creds;   /* as well, but not on its command line; borrowed */
    struct ingest in;    /* its pin keeps what is read; trees are unpacked again in it */
    char **good;         /* diffIDs that were found whole */
    size_t unchecked;    /* images that there was no room to look into, */
    struct err why;      /* and of the last one what was missing */
};

/* What was found of one image. Empty: it is whole. */
struct damage {
    char **layers;      /* diffIDs to be fetched again */
    char *dirs;         /* the tree of directories (dirs.h), to be made again */
    char **says;        /* a sentence for each */
    bool blobs;         /* its configuration or manifest is lost */
    struct err no_room; /* with a message: not all was looked at, which says nothing against it */
};
void damage_release(struct damage *d);
void check_image(struct check *k, const struct store_image *img, struct damage *ret);

/* Mends what it can of one image and looks again; what is left is in *d. *ret_from (owned): where
 * it came from. In check-repair.c. */
void repair_image(struct check *k, const struct store_image *img, struct damage *d,
                  char **ret_from);
/* Records that are broken or missing while the blobs are there, names that say nothing. Prints a
 * line for each; returns how many there are, and how many of them are left. */
struct check_records {
    size_t found, left;
};
struct check_records check_records(struct check *k, bool repair);
