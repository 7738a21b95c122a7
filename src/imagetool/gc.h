/* gc - what nothing refers to any more: marked by reading every reference, moved to trash/ under
 * the exclusive store lock (microseconds), deleted after it was given back. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "conf/conf.h"

/* ingest/old-HEX.RAND: what a damaged layer was exchanged for. It stays as long as there is a
 * container that was made from the layer, for it may run on that tree. */
#define GC_KEPT "old-"

/* Deletes what crashed commands left in ingest/ and trash/. What a live command has there stays, so
 * does an interrupted download that may go on (*.part) for a week. Best effort: does nothing while
 * another process has the store's lock, and failures wait for the next time. */
void gc_sweep(const struct conf *c);

/* Deletes unreferenced layers and blobs too. 0 also when another process has the store's lock: then
 * they stay until the next run. all_trees: shifted trees that no container uses, too, however
 * lately one did. */
int gc_run(const struct conf *c, bool all_trees, struct err *e);

/* Calls fn for each entry of a directory below root. A missing directory has none. */
typedef int gc_entry(int dir_fd, const char *name, void *data, struct err *e);
int gc_each(int root_fd, const char *dir, gc_entry *fn, void *data, struct err *e);
int gc_to_trash(int dir_fd, const char *name, int root_fd); /* 0 or -errno */
/* With the store's lock: shifted trees that no container uses and nobody wanted for a week; all:
 * and those wanted since, but for those beside layers that is_pinned tells (HEX) a command under
 * way relies on: it may have asked for one for a container that has no record yet. */
typedef bool gc_is_pinned(void *pins, const char *hex);
int gc_trees(int root_fd, bool all, gc_is_pinned *is_pinned, void *pins, struct err *e);

/* Deletes what interrupted pulls have left to go on with, but for what is being fetched just now.
 * *ret: how many bytes that were. */
int gc_partial(const struct conf *c, uint64_t *ret, struct err *e);

/* Names of the containers that were made from the image, for who reads; and the ids of those whose
 * records are whole, for what is done to them (NULL: none; both owned). An unreadable record is an
 * error: it might be one. */
int gc_users(const struct conf *c, const char *image_id, char ***ret, char ***ret_ids,
             struct err *e);
/* Ids of all images that containers were made from, or are being made from ("sha256:..."; owned,
 * not sorted). */
int gc_used_images(const struct conf *c, char ***ret, struct err *e);
