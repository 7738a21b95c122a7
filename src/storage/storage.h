/* storage - the root file system of a container: layers stacked by a driver.
 *
 * Plan data (struct storage_root) is made by the caller, kept in the container's record, and
 * mounted inside the container's namespaces by its mapped root. Drivers: overlay (kernel,
 * userxattr), copy (a private copy of the flattened layers), dir (a plain directory). */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/jfield.h"
#include "userns/userns.h"

struct storage_root {
    char *driver;       /* "overlay", "copy", "dir" */
    char **layers;      /* absolute host paths of layer trees, topmost first */
    char **data_layers; /* data-only lower layers of shifted trees (overlay), may be NULL */
    char *upper, *work; /* absolute; NULL: mounted read-only without an upper */
    char *dir;          /* copy, dir: the tree itself */
    bool is_volatile;   /* overlay "volatile": contents may be lost in a crash (--rm) */
    bool readonly;
    json_t *extra;
};
extern const struct jfield storage_root_fields[];
void storage_root_release(struct storage_root *r);

struct storage_driver {
    const char *name;
    /* 0 unusable, else the higher wins; why: one sentence for `rootlet info` and errors. Runs
     * inside a throw-away user + mount namespace with the default map; root: the data directory. */
    int (*probe)(const char *root, char why[static 256]);
    /* Makes what the container needs on disk (upper, work, a copy), called by its mapped root in a
     * userns_run child; paths are in r. */
    int (*prepare)(const struct storage_root *r, struct err *e);
    /* In the container's mount namespace, as its mapped root: a detached mount fd of "/". */
    int (*mount)(const struct storage_root *r, struct err *e);
};

const struct storage_driver *storage_driver_get(const char *name, struct err *e);

/* Best driver for data below root: the cached answer of the probe (run_root/probe.<boot>.<dev>),
 * or a fresh one. *ret_why is owned. */
int storage_choose(const char *root, const char *run_root, const char *wanted,
                   const struct userns_map *map, const struct storage_driver **ret, char **ret_why,
                   struct err *e);

/* Fills *ret and makes the directories for a new container: dir is containers/ID (absolute).
 * layer_dirs: topmost first. When map differs from the store's default map, shifted trees are made
 * (metadata tree with data-only lower where the kernel can, else a copy), outside any lock. */
struct storage_create {
    const struct storage_driver *driver;
    const char *container_dir, *store_root;
    char *const *layer_dirs;
    const struct userns_map *map, *store_map;
    bool is_volatile, readonly;
};
int storage_create(const struct storage_create *c, struct storage_root *ret, struct err *e);
int storage_mount(const struct storage_root *r,
                  struct err *e); /* by r->driver; detached mount fd */
/* Deletes upper, work and copies, whose files belong to subordinate ids (enters map). */
int storage_remove(const char *container_dir, const struct userns_map *map, struct err *e);
