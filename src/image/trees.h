/* trees - shifted trees beside the layers (storage/shift.c): which there are, and which of them
 * containers need. Their name tells nothing but that; a container's record has their paths. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "conf/conf.h"

/* "map-HASH" (metadata) or "copy-HASH"? */
bool store_is_tree(const char *name);

/* Names of those that a container's record has (owned). An unreadable record is an error: it might
 * name any. root_fd: the store. */
int store_trees_used(int root_fd, char ***ret, struct err *e);

struct store_tree {
    char hex[65];   /* the layer beside which it lies */
    char *name;     /* owned */
    char *path;     /* of its files; owned */
    int64_t wanted; /* seconds since the epoch, or 0: not noted */
    bool used;      /* by a container */
};
/* All of the own store. */
int store_trees(const struct conf *c, struct store_tree **ret, size_t *ret_n, struct err *e);
void store_trees_free(struct store_tree *v, size_t n);
