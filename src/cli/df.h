/* df - what system df counts. */
#pragma once

#include "cli/sizes.h"
#include "storage/storage.h"
#include "volume/volume.h"

struct df {
    struct ctr_state *states; /* newest first, as sizes.v */
    struct ctr_sizes sizes;
    struct store_image *images;
    struct volume *volumes;
    struct storage_tree *trees; /* of the volumes, in the same order */
    size_t n_states, n_images, n_volumes;
};
int df_load(struct df *ret, struct err *e);
void df_release(struct df *d);

/* How many containers were made from an image; how many use a volume, and whether one runs. */
unsigned df_image_users(const struct df *d, const struct store_image *i);
unsigned df_volume_users(const struct df *d, const struct volume *v);

/* The three tables of -v, or one object with all of them. df_verbose.c */
int df_print_verbose(const struct df *d, const char *format, struct err *e);
