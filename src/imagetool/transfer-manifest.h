/* transfer-manifest - manifests of any kind as what they refer to: images, artifacts, indexes.
 *
 * manifest.h reads what is to be run; here only what has to be carried matters, so that a signature
 * or a statement of buildkit passes too. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "layer/compress.h"

struct xfer_blob {
    char *digest, *media_type; /* digest: checked */
    uint64_t size;
    char **urls; /* of a foreign layer */
};
void xfer_blob_release(struct xfer_blob *b);
void xfer_blob_copy(const struct xfer_blob *b, struct xfer_blob *ret);

struct xfer_manifest {
    json_t *doc;
    bool is_index, is_docker, is_image; /* is_image: layers are tars, the config an image's */
    struct xfer_blob *v;                /* the config and the layers, or an index's entries */
    size_t n;
};
int xfer_manifest_parse(const char *text, size_t len, const char *media_type,
                        struct xfer_manifest *ret, struct err *e);
void xfer_manifest_release(struct xfer_manifest *m);
const char *xfer_manifest_type(const struct xfer_manifest *m); /* its media type */

/* What a layer's media type says of its compression. -1: it is no tar of ours. */
int layer_compression(const char *media_type);
/* "application/vnd.oci.image.layer.v1.tar+gzip"; NULL: docker has no such type. */
const char *layer_media_type(bool docker, enum compress_format f);

/* The manifest with these blobs (the config first, as many as it has) in place of its own, as
 * docker's or as OCI's: all else stays, but annotations of a layer that has changed. Owned; NULL
 * with e when a layer has no type there. */
char *xfer_manifest_remake(const struct xfer_manifest *m, const struct xfer_blob *v, bool docker,
                           struct err *e);
