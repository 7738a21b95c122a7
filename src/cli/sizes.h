/* sizes - what containers have written, and what their images hold. */
#pragma once

#include <jansson.h>

#include "cli/cli.h"
#include "image/store.h"

struct ctr_size {
    char *id;       /* owned */
    uint64_t rw;    /* bytes of its writable layer, or of its copy of the image */
    uint64_t root;  /* the same, and the layers below */
    char *image_id; /* owned, may be NULL */
    char **layers;  /* diffIDs, owned */
    char **volumes; /* names, owned */
};
struct ctr_sizes {
    struct ctr_size *v;
    size_t n;
    struct store_layer_size *layers; /* of the store; containers are counted in */
    size_t n_layers;
};
/* Reads the records of these containers and of the layers, and measures the trees; more: further
 * trees to be measured at the same time, or NULL. What went away meanwhile holds nothing. */
struct storage_tree;
int cli_sizes(char *const *ids, struct storage_tree *more, size_t n_more, struct ctr_sizes *ret,
              struct err *e);
void ctr_sizes_release(struct ctr_sizes *s);
#define scoped_ctr_sizes SCOPED(ctr_sizes_release)

/* Puts Size into rows of ps, found by their "Id": a text, or with json an object as podman's. */
int cli_size_rows(json_t *rows, bool json, struct err *e);
/* "2.06MB", as docker and podman write sizes in tables. buf >= 32 bytes; returns buf. */
char *cli_size_text(uint64_t bytes, char *buf);
