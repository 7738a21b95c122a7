/* rows - the files behind struct store_image, shared by the reading side and rootlet-image. */
#pragma once

#include "base/jfield.h"
#include "image/store.h"
#include "userns/userns.h"

#define STORE_ROW_MAX (1u << 20)  /* one images/HEX.json, layers/HEX/layer.json */
#define STORE_BLOB_MAX (4u << 20) /* a manifest or configuration */
#define STORE_ID_PREFIX_MIN 3

/* layers/HEX/layer.json */
struct store_layer {
    char *diff_id;
    uint64_t bytes, files, skipped; /* of the tree; device nodes left out */
    uint64_t tar_size;              /* of the uncompressed archive */
    bool root_opaque;               /* it hides every layer below */
    uint64_t implied;               /* directories without an entry, in the file of that name */
    uint32_t root_entry;            /* enum layer_root */
    bool derived;                   /* no layer: what struct store_image's dirs names */
    struct store_blob {             /* compressed forms that a registry is known to have of it */
        char *digest, *media_type;
        uint64_t size;
    } * blobs;
    size_t n_blobs;
    json_t *extra;
};
extern const struct jfield store_layer_fields[];

extern const struct jfield store_image_fields[]; /* names and digests are not among them */
extern const struct jfield store_idmap_fields[]; /* struct userns_map */

/* One reference: refs/ENCODED(name)/tag. */
struct store_ref {
    char *name, *tag; /* tag "@sha256:..." stands for a reference by digest only */
    char *manifest, *id;
    char *index; /* that led to the manifest, or NULL */
};
void store_ref_release(struct store_ref *r);
/* Reads one; -ENOENT leaves e untouched. refs_fd: ROOT/refs. */
int store_ref_read(int refs_fd, const char *name, const char *tag, struct store_ref *ret,
                   struct err *e);
/* Calls fn for every reference (of one name, or all when name is NULL); stops when it gives not 0
 * and returns that. A damaged reference is logged and left out. */
typedef int store_ref_fn(const struct store_ref *r, void *data, struct err *e);
int store_refs_each(const struct conf *c, const char *name, store_ref_fn *fn, void *data,
                    struct err *e);
/* As that; *bad counts the damaged ones. */
int store_refs_count(const struct conf *c, const char *name, store_ref_fn *fn, void *data,
                     size_t *bad, struct err *e);
/* Reads the row of an image by the digits of its id, in one store; -ENOENT leaves e untouched. */
int store_row_read_in(const struct conf *c, const char *hex, struct store_image *ret,
                      struct err *e);
/* The same in the own store, then in the additional ones. */
int store_row_read(const struct conf *c, const char *hex, struct store_image *ret, struct err *e);
/* Exact bytes of blobs/sha256/HEX, of the first store that has it (owned, zero terminated): length
 * or -errno. Not hashed again. */
ssize_t store_blob_read(const struct conf *c, const char *digest, char **ret, struct err *e);
