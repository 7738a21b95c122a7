/* df - what system df counts. */
#pragma once

#include "cli/sizes.h"
#include "image/trees.h"
#include "storage/storage.h"
#include "volume/volume.h"

struct df {
    struct ctr_state *states; /* newest first, as sizes.v */
    struct ctr_sizes sizes;
    struct store_image *images;
    struct volume *volumes;
    struct store_tree *shifted;
    struct df_mount { /* what RUN --mount=type=cache has kept */
        char *name;   /* owned */
        bool used;    /* a build has it open */
    } * mounts;
    struct storage_tree
        *trees; /* of the volumes, the shifted trees and the mounts, in this order */
    size_t n_states, n_images, n_volumes, n_shifted, n_mounts;
};
int df_load(struct df *ret, struct err *e);
void df_release(struct df *d);

/* How many containers were made from an image; how many use a volume, and whether one runs. */
unsigned df_image_users(const struct df *d, const struct store_image *i);
unsigned df_volume_users(const struct df *d, const struct volume *v);

/* A step of a build that no name leads to: it counts as build cache. */
bool df_is_step(const struct store_image *i);
/* A layer that such steps alone have: builder prune frees it when no container needs it. */
bool df_is_cache(const struct store_layer_size *l);

/* What lies beside the images: df_cache.c. */
int df_load_cache(struct df *d, struct err *e);
const struct fs_size *df_shifted_size(const struct df *d, size_t i);
const struct fs_size *df_mount_size(const struct df *d, size_t i);
/* Rows of -v. */
json_t *df_cache_rows(const struct df *d);
json_t *df_shifted_rows(const struct df *d);

/* A line of the summary. */
struct df_total {
    const char *type;
    unsigned total, active;
    uint64_t size, reclaimable;
};
struct df_total df_cache_total(const struct df *d);
struct df_total df_shifted_total(const struct df *d);

/* The tables of -v, or one object with all of them. df_verbose.c */
int df_print_verbose(const struct df *d, const char *format, struct err *e);
