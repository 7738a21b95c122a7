/* hand - what commit and export hand to rootlet-image, which packs trees: descriptors and a
 * request. */
#pragma once

#include <jansson.h>

#include "container/container.h"

/* The container's root file system without its mounts, as a descriptor that stays when the process
 * that made it has ended. fd or -errno. */
int hand_root(const struct container *ctr, struct err *e);

/* Adds the container's id map to a request, as "map". */
int hand_map(const struct container *ctr, json_t *request, struct err *e);

/* Pauses a container until every holder of the returned descriptor has closed it, however it ends:
 * a process of ours waits for that. -errno when it cannot be paused. */
int hand_pause(const struct container *ctr, struct err *e);

/* Becomes "rootlet-image VERB" with these descriptors (-1: none), which are inherited, and the
 * request in a file. Returns only on failure. */
struct hand {
    const char *verb;
    const json_t *request;
    int tree, list, hold;
};
int hand_over(const struct hand *h, struct err *e);
