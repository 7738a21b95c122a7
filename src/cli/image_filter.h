/* image_filter - which images `rootlet images` shows: the names given, and --filter. */
#pragma once

#include "base/prune.h"
#include "image/store.h"

struct image_filter {
    char **references;                    /* patterns, one of which the name must match */
    char **ids;                           /* beginnings, all of which the id must have */
    struct prune_filter rest;             /* labels and until */
    int dangling, readonly, intermediate; /* -1: both */
    int64_t before_ns, since_ns;          /* made before, or after; 0: whenever */
};
/* terms: KEY=VALUE. -EINVAL names an unknown key and the known ones. */
int image_filter_parse(char *const *terms, char *const *names, struct image_filter *ret,
                       struct err *e);
void image_filter_release(struct image_filter *f);
/* name: one of the image's, or NULL. The name need not match if any_name. 1, 0 or -errno. */
int image_filter_match(const struct image_filter *f, const struct store_image *i, const char *name,
                       struct err *e);
