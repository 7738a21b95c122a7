/* hand - what commit and export hand to rootlet-image, which packs trees: descriptors and a
 * request. */
#pragma once

#include <jansson.h>

#include "container/container.h"

/* The container's root file system without its mounts, as a descriptor that stays when the process
 * that made it has ended. */
struct hand_root {
    int tree;
    int userns; /* a FUSE root answers only this user namespace, and only as long as */
    int keeper; /* this is open: a process of ours waits for its end; else both are -1 */
};
#define HAND_ROOT_INIT                                                                             \
    {                                                                                              \
        .tree = -1, .userns = -1, .keeper = -1                                                     \
    }
int hand_root(const struct container *ctr, struct hand_root *ret, struct err *e);
void hand_root_release(struct hand_root *r);

/* Adds the id map of the container's files to a request, as "map"; upper: as they lie on disk. */
int hand_map(const struct container *ctr, bool upper, json_t *request, struct err *e);

/* Pauses a container until every holder of the returned descriptor has closed it, however it ends:
 * a process of ours waits for that. -errno when it cannot be paused. */
int hand_pause(const struct container *ctr, struct err *e);

/* Becomes "rootlet-image VERB" with these descriptors (-1: none), which are inherited, and the
 * request in a file. Returns only on failure. */
struct hand {
    const char *verb;
    const json_t *request;
    int tree, list, hold;
    struct hand_root root;
};
int hand_over(const struct hand *h, struct err *e);
