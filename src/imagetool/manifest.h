/* manifest - image manifests and indexes: parsed, checked, a platform chosen; manifests made.
 *
 * image-spec manifest.md, image-index.md, descriptor.md; docker's schema 2 and manifest list. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define MANIFEST_MAX (4u << 20)
#define MEDIA_OCI_INDEX "application/vnd.oci.image.index.v1+json"
#define MEDIA_OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define MEDIA_OCI_CONFIG "application/vnd.oci.image.config.v1+json"
#define MEDIA_OCI_LAYER "application/vnd.oci.image.layer.v1.tar"
#define MEDIA_DOCKER_LIST "application/vnd.docker.distribution.manifest.list.v2+json"
#define MEDIA_DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define MEDIA_DOCKER_CONFIG "application/vnd.docker.container.image.v1+json"

struct descriptor {
    char *media_type, *digest; /* digest: checked, safe as a file name */
    int64_t size;
    char *artifact_type;
    char *os, *architecture, *variant; /* platform; NULL without one */
    char *name;                        /* from the annotations: a full name, or a bare tag */
    char **urls;                       /* where a foreign layer is said to be; may be NULL */
    bool attestation;                  /* buildkit's statement about another entry */
};

struct manifest {
    bool is_index;
    struct descriptor config; /* of a manifest */
    struct descriptor *v;     /* layers bottom first, or the entries of an index */
    size_t n;
    json_t *annotations; /* may be NULL */
};

/* media_type: what the descriptor that led here says, or NULL (then the body decides). -EINVAL
 * with the JSON path of the fault. */
int manifest_parse(const char *text, size_t len, const char *media_type, struct manifest *ret,
                   struct err *e);
void manifest_release(struct manifest *m);

struct platform {
    const char *os, *architecture; /* Go's names */
    int variant;                   /* highest variant this CPU runs: amd64 v1 to v4, arm 5 to 7 */
};
void platform_host(struct platform *ret);
/* What the user asks for: --platform OS/ARCH[/VARIANT], or its parts (each may be NULL), as the
 * names that docker and uname use. Without any it is the host's. The texts stay borrowed. */
struct platform_words {
    const char *platform, *os, *arch, *variant;
};
int platform_parse(const struct platform_words *w, struct platform *ret, struct err *e);
/* The one that archives and layouts are read for: platform_host, until this is called. */
void platform_want(const struct platform *p);
void platform_wanted(struct platform *ret);
/* How well an entry fits: 0 not at all, the higher the better; 1: it names no platform. */
int platform_score(const struct descriptor *d, const struct platform *p);
/* The best entry, or NULL with an error that lists what there is. The array may hold NULLs. */
const struct descriptor *platform_choose(const struct descriptor *const *v, size_t n,
                                         const struct platform *p, struct err *e);

/* The text of an OCI manifest whose layers are plain tars: a function of its arguments alone.
 * annotations may be NULL. Owned. */
struct plain_layer {
    const char *diff_id;
    uint64_t tar_size;
};
char *manifest_make(const char *config_digest, size_t config_size, const struct plain_layer *layers,
                    size_t n, json_t *annotations);
