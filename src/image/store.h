/* store - images on disk: blobs, refs (a tag is a file), layers by diffID. Read by all, written
 * only by rootlet-image. images.md section 6.
 *
 *   ROOT/blobs/sha256/HEX         manifests, configs: exact bytes
 *   ROOT/layers/HEX/diff          overlay-ready tree; HEX is the diffID; immutable
 *   ROOT/layers/HEX/layer.json    struct store_layer
 *   ROOT/images/HEX.json          row for `images` (HEX: config digest = image id), store_image
 *   ROOT/refs/ENCODED-NAME/TAG    one line: sha256:HEX of the manifest, space, image id
 *   ROOT/idmap.json               the id map that the trees were unpacked under
 *   ROOT/store.lock               shared: about to refer to an image; exclusive: collecting garbage
 *   ROOT/ingest/  ROOT/trash/     unfinished and deleted things
 *   ROOT/index/images             what a listing found last time; disposable (image/index.h)
 *
 * Additional stores (image/others.h) are looked at after the own one, and never written to.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/jfield.h"
#include "conf/conf.h"
#include "sys/mountfd.h"

/* A reference in full: "docker.io/library/busybox", "latest", "sha256:..." or NULL. */
struct image_ref {
    char *name, *tag, *digest;
};
int image_ref_parse(const char *text, struct image_ref *ret, struct err *e);
void image_ref_release(struct image_ref *r);
/* "docker.io/library/busybox:latest"; owned. */
char *image_ref_text(const struct image_ref *r);

/* The container part of an image configuration (image-spec config.md). */
struct image_config {
    char *user, *working_dir, *stop_signal;
    char **env, **entrypoint, **cmd, **shell;
    char **labels;                   /* "k=v" */
    char **volumes, **exposed_ports; /* keys of the objects */
    char *architecture, *os, *variant, *created, *author;
    char **diff_ids;                     /* bottom first */
    json_t *history, *healthcheck, *raw; /* raw: the whole document */
};
/* Known before anything is fetched: one that overlay stacks may be needed for a tree of directories
 * (imagetool/dirs.h), and one for the metadata tree over them all (storage/shift.c). */
#define IMAGE_LAYERS_MAX (MOUNTFD_OVERLAY_LOWERS - 2)
int image_config_parse(const char *text, size_t len, struct image_config *ret, struct err *e);
void image_config_release(struct image_config *c);

struct store_image {
    char *id;            /* config digest, "sha256:..." */
    char *manifest;      /* manifest digest */
    char **names;        /* full references, from refs/ (not stored in the row) */
    char **digests;      /* "name@sha256:..." */
    char **layers;       /* diffIDs, bottom first */
    int64_t created_ns;  /* from the configuration, 0 if it has none */
    uint64_t size;       /* bytes of the layer trees */
    uint32_t shown_from; /* index of the lowest layer that shows: above it one hides everything
                            below (an opaque root, which overlay itself does not know) */
    char *dirs;          /* a tree of directories in layers/ that lies on top, or NULL
                            (imagetool/dirs.h) */
    char *os, *architecture, *variant;
    char *store;       /* the additional store that it or its name is from; NULL: the own one */
    bool is_copied;    /* with store: its record and layers are in the own one as well */
    bool intermediate; /* a step of a build: listed only where all are wanted */
    json_t *extra;
};
void store_image_release(struct store_image *i);

/* Finds by reference (short names: localhost/, docker.io/library/), NAME@digest, or id prefix of at
 * least 3 digits ("sha256:" in front is allowed). names holds only the name that matched
 * (store_names gives all); manifest is the one which that name refers to. -ENOENT: "image not
 * known: x" with hint; -EUCLEAN: the store is damaged there; -EINVAL: no reference at all. */
int store_find(const struct conf *c, const char *text, struct store_image *ret, struct err *e);
/* Fills names and digests anew, from all references to this image. */
int store_names(const struct conf *c, struct store_image *i, struct err *e);
/* Everything, newest first, names included. Neither locks nor enters a user namespace. */
int store_list(const struct conf *c, struct store_image **ret, size_t *ret_n, struct err *e);
void store_list_free(struct store_image *v, size_t n);
/* The parsed configuration of an image. */
int store_config(const struct conf *c, const struct store_image *i, struct image_config *ret,
                 struct err *e);
/* Absolute paths of an image's trees that show, topmost first; -EUCLEAN when one is missing,
 * naming it
 * ("image damaged: load it again"). */
int store_layer_dirs(const struct conf *c, const struct store_image *i, char ***ret, struct err *e);
/* The id map that the store's trees were unpacked under (ROOT/idmap.json), so that a change of
 * /etc/subuid is noticed. */
/* -ENOENT (e untouched) when nothing was unpacked yet. */
struct userns_map;
int store_idmap(const struct conf *c, struct userns_map *ret, struct err *e);

/* What the layers of the store hold, by their records: *ret is an owned array, by hex. images (of
 * them steps of builds without a name) and containers are for the caller to count in. */
struct store_layer_size {
    char hex[65];
    uint64_t bytes;
    unsigned images, steps, containers;
};
int store_layer_sizes(const struct conf *c, struct store_layer_size **ret, size_t *ret_n,
                      struct err *e);
/* The one of a diffID, or NULL. */
struct store_layer_size *store_layer_size_of(struct store_layer_size *v, size_t n,
                                             const char *diff_id);

/* Keeps the garbage collector away: hold the returned descriptor from before store_find until a
 * container record or another reference to the image is on disk, then close it. fd or -errno. */
int store_use(const struct conf *c, struct err *e);
