/* plan - the images that an archive holds, checked as far as can be without unpacking a layer. */
#pragma once

#include <stddef.h>

#include "base/err.h"
#include "image/ref.h"
#include "image/store.h"
#include "imagetool/bundle.h"

struct plan_layer {
    struct bundle_file file;
    char *diff_id; /* what it must unpack to */
    char *blob;    /* digest of the bytes in file, or NULL when the archive does not tell */
};

struct image_plan {
    char *config; /* exact bytes */
    size_t config_len;
    char id[DIGEST_LEN + 1]; /* digest of config */
    struct image_config parsed;
    char *manifest; /* exact bytes; NULL: to be made when the layers are known */
    size_t manifest_len;
    char *index;               /* digest of the index that led to it; NULL: none did */
    struct plan_layer *layers; /* bottom first */
    size_t n_layers;
    struct image_ref *names;
    size_t n_names;
    bool intermediate; /* a step of a build: `images` does not show it */
};
void image_plan_release(struct image_plan *p);

struct plan_list {
    struct image_plan *v;
    size_t n;
    size_t bytes; /* of their configurations and manifests */
};
void plan_list_release(struct plan_list *l);
/* To be called when the last of them is read: one small file of an archive may be named by any
 * number of images, and each holds its own copy. -EFBIG: enough. */
int plan_list_count(struct plan_list *l, struct err *e);

/* Reads it as what transport says ("oci", "oci-archive", "docker-archive", "dir"); NULL: as what is
 * inside tells (manifest.json, index.json, repositories), which may be several at once and of
 * different images. The files stay the bundle's: keep it open. */
int plan_read(const struct bundle *b, const char *transport, struct plan_list *ret, struct err *e);

/* The formats, for plan_read. */
int plan_docker(const struct bundle *b, struct plan_list *ret, struct err *e);
int plan_legacy(const struct bundle *b, struct plan_list *ret, struct err *e);
int plan_oci(const struct bundle *b, struct plan_list *ret, struct err *e);
int plan_dir(const struct bundle *b, struct plan_list *ret, struct err *e);

/* Not an archive: an image of the store, from its configuration and manifest, whose digests are
 * verified. It has no names. */
int plan_stored(const struct conf *c, const char *id, const char *manifest, struct image_plan *ret,
                struct err *e);

/* Parts of them. */
struct image_plan *plan_add(struct plan_list *l);
/* Takes the configuration over (text is freed with the plan), hashes and parses it. */
int plan_set_config(struct image_plan *p, char *text, size_t len, struct err *e);
/* A name from the archive: short ones become localhost/NAME. */
int plan_add_name(struct image_plan *p, const char *name, struct err *e);
