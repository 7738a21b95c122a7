/* fetch - brings the layers of an image from a registry into an ingest.
 *
 * Downloads and unpackers run side by side and several at a time: a download appends to its part
 * file, its unpacker reads behind it. Whatever ends a pull, its part files stay, and the next one
 * goes on behind them. A layer that another process fetches is waited for. */
#pragma once

#include <stddef.h>

#include "base/err.h"
#include "imagetool/ingest.h"
#include "imagetool/manifest.h"
#include "imagetool/progress.h"
#include "registry/client.h"

struct fetch_layer {
    const char *diff_id;
    const struct descriptor *blob;
};

struct fetch_source {
    struct registry *registry;
    struct registry_ref *ref; /* keeps which endpoint answers */
    struct progress *progress;
    bool squash_ids; /* of layer_source */
};

/* What a finished fetch still holds: the locks of its blobs. SIGINT, SIGTERM and SIGHUP are blocked
 * from the beginning to fetch_release, and end a fetch in order. */
struct fetch;
/* All layers are staged or in the store afterwards, and noted in the ingest. Call fetch_release
 * after ingest_commit, also on failure (*ret is always set). -ECANCELED: a signal came. */
int fetch_layers(struct ingest *in, const struct fetch_source *from, const struct fetch_layer *v,
                 size_t n, struct fetch **ret, struct err *e);
/* All went well: removes the part files, before the sync, which then need not write them. Until
 * here they stay, so that whoever is ended has not fetched in vain. */
void fetch_drop_parts(struct fetch *f);
/* Returns the signal that ended it, 0: none. NULL is fine. */
int fetch_release(struct fetch *f);
