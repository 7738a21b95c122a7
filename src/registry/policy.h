/* policy - may this image be used? containers-policy.json(5), looked at before any layer is
 * fetched; whatever it says that we do not know is a no.
 *
 * Read: $XDG_CONFIG_HOME/containers/policy.json, else /etc/containers/policy.json; without either
 * everything is accepted. Requirements: insecureAcceptAnything, reject, sigstoreSigned with keys.
 * signedBy (GPG) cannot be verified here: an image under it is refused. */
#pragma once

#include <stddef.h>

#include "base/err.h"
#include "image/ref.h"

struct policy_blob {
    char *data; /* owned, zero terminated */
    size_t len;
    char *media_type; /* owned; may be NULL for a blob */
};
void policy_blob_release(struct policy_blob *b);

/* How signatures are read: in the repository (and from the mirror) that the manifest came from. All
 * return 0, -ENOENT when there is no such thing, or -errno with e. More than max bytes is -EFBIG.
 */
struct policy_fetch {
    void *ctx;
    int (*manifest)(void *ctx, const char *reference /* tag or digest */, size_t max,
                    struct policy_blob *ret, struct err *e);
    int (*blob)(void *ctx, const char *digest, size_t max, struct policy_blob *ret, struct err *e);
    /* The index that GET /v2/NAME/referrers/DIGEST answers; may be NULL. */
    int (*referrers)(void *ctx, const char *digest, size_t max, struct policy_blob *ret,
                     struct err *e);
};

struct policy_image {
    const char
        *transport; /* "docker" (a registry), "oci", "oci-archive", "docker-archive", "dir" */
    const struct image_ref *ref; /* docker: the full name as the user means it, not a mirror's */
    const char *path;            /* others: the absolute path */
    /* Digests that pin the content: of the index, if there is one, and of the chosen manifest.
     * A signature of either will do. NULL-terminated; their bytes are verified already. */
    const char *const *digests;
};

/* 0: go on. -EPERM: refused, e says by which file and rule. -errno otherwise (no network, a policy
 * that cannot be read): not to be used either. file: of --signature-policy, else NULL. fetch may be
 * NULL where no signatures can be had: what must be signed is refused then. */
int policy_check(const char *file, const struct policy_image *image,
                 const struct policy_fetch *fetch, struct err *e);
