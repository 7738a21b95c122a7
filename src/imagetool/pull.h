/* pull - brings one image into the store, from a registry or another transport. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "conf/conf.h"
#include "imagetool/manifest.h"
#include "registry/client.h"

struct pull {
    const struct conf *conf;
    struct registry_options registry; /* notice is set here */
    struct platform platform;
    bool platform_given, quiet, squash_ids, newer;
    const char *policy_file;
    bool all_tags;
    char **replace; /* not NULL: an image that is here is repaired. It gets no name, and these
                       layers (diffIDs, may be none) are fetched although they are here */
};

/* A name as a registry has it. Prints the image's id (ids with all_tags). Returns 0, or -errno;
 * *ret_signal: the signal that ended it. */
int pull_registry(const struct pull *p, const char *text, int *ret_signal, struct err *e);

/* Another transport: "oci:DIR[:TAG]", "oci-archive:FILE[:TAG]", "docker-archive:FILE[:NAME]",
 * "dir:DIR"; "docker://NAME" is *ret_name (borrowed) of a registry. 1: it is one, and *ret_name or
 * the parts are set; 0: a plain name; -ENOTSUP: one that is not for us. */
struct pull_place {
    const char *transport;
    char *path, *which; /* which may be NULL */
};
int pull_place_parse(const char *text, struct pull_place *ret, const char **ret_name,
                     struct err *e);
void pull_place_release(struct pull_place *p);
int pull_local(const struct pull *p, const struct pull_place *place, struct err *e);

/* An image for another machine than asked for is accepted, but not silently. */
struct image_plan;
void pull_warn_platform(const struct pull *p, const struct image_plan *plan);
