/* remote - an image in a registry: which manifest is meant, and what it says, before any layer. */
#pragma once

#include "imagetool/manifest.h"
#include "imagetool/plan.h"
#include "registry/client.h"

struct remote_image {
    struct registry_manifest index; /* bytes NULL: the name leads to the manifest itself */
    struct registry_manifest bytes; /* of the manifest */
    struct manifest manifest;
};
void remote_image_release(struct remote_image *r);

/* Follows the name (or digest) through indexes to the image for a platform. */
int remote_image_get(struct registry *reg, struct registry_ref *ref, const struct platform *p,
                     struct remote_image *ret, struct err *e);
/* May it be used, by the user's policy? Before the configuration and the layers. */
int remote_image_check(struct registry *reg, struct registry_ref *ref,
                       const struct remote_image *image, const char *policy_file, struct err *e);
/* Reads and checks the configuration. p gets it and the manifest, no layers and no names. */
int remote_image_plan(struct registry *reg, struct registry_ref *ref,
                      const struct remote_image *image, struct image_plan *p, struct err *e);
