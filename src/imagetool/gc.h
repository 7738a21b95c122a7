/* gc - what nothing refers to any more: marked by reading every reference, moved to trash/ under
 * the exclusive store lock (microseconds), deleted after it was given back. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "conf/conf.h"

/* Deletes what crashed commands left in ingest/ and trash/. Best effort: does nothing while another
 * process uses the store, and failures wait for the next time. */
void gc_sweep(const struct conf *c);

/* Deletes unreferenced layers and blobs too. 0 also when another process uses the store: then they
 * stay until the next run. */
int gc_run(const struct conf *c, struct err *e);

/* Names of the containers that were made from the image (owned). An unreadable record is an
 * error: it might be one. */
int gc_users(const struct conf *c, const char *image_id, char ***ret, struct err *e);
/* Ids of all images that containers were made from ("sha256:..."; owned, not sorted). */
int gc_used_images(const struct conf *c, char ***ret, struct err *e);
