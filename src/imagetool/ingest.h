/* ingest - brings images into the store: staged below ingest/, made durable by one syncfs, then
 * renamed into place in an order that makes every visible object complete.
 *
 * A crash at any moment leaves only things below ingest/, which a later command sweeps. The shared
 * store lock is held from open to close, so that the garbage collector sees none of it half done.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "conf/conf.h"
#include "image/rows.h"
#include "imagetool/plan.h"
#include "layer/layer.h"
#include "userns/userns.h"

struct ingest_item;
struct ingest {
    const struct conf *conf;
    bool quiet; /* no progress on stderr */
    int root_fd, stage_fd, lock_fd;
    char stage[32]; /* "ingest/l.RAND" */
    unsigned n_stages;
    struct layer_session *session;
    struct ingest_item *items;
    size_t n_items;
    struct ingest_layer {
        struct store_layer info;
        char *stage; /* its directory below stage_fd; NULL: in the store already */
    } * layers;
    size_t n_layers;
};

/* Makes the store's directories, sweeps what crashes left, takes the lock. */
int ingest_open(const struct conf *c, bool quiet, struct ingest *ret, struct err *e);
/* Removes what was not committed. Safe on a zeroed struct with descriptors -1. */
void ingest_close(struct ingest *in);
#define INGEST_INIT                                                                                \
    {                                                                                              \
        .root_fd = -1, .stage_fd = -1, .lock_fd = -1                                               \
    }

/* Unpacks the layers that the store lacks, several at a time. */
int ingest_layers(struct ingest *in, const struct plan_layer *layers, size_t n, struct err *e);
/* Unpacks one layer of unknown diffID from a stream; the digest is in *ret_diff_id. */
int ingest_stream(struct ingest *in, int fd, bool want_whiteouts,
                  char ret_diff_id[static DIGEST_TEXT_MAX], struct err *e);
/* Makes a layer of a tree that belongs to an id map; p->out_fd is set here. The digest is in
 * *ret_diff_id, which is the same for the same content. */
int ingest_tree(struct ingest *in, struct layer_pack *p, const struct userns_map *map,
                char ret_diff_id[static DIGEST_TEXT_MAX], struct err *e);
/* Takes up a layer that must be in the store. -EUCLEAN when it is not. */
int ingest_present(struct ingest *in, const char *diff_id, struct err *e);
/* A layer that is staged or in the store; NULL if neither. */
const struct store_layer *ingest_layer(const struct ingest *in, const char *diff_id);

/* Stages an image: its blobs, its row and its names. manifest NULL: one is made. The layers must
 * have been brought in before. */
int ingest_image(struct ingest *in, const struct image_plan *p, struct err *e);

/* Makes everything visible. */
int ingest_commit(struct ingest *in, struct err *e);

/* Records a layer (info is taken over) as staged, or, with stage NULL, as present. For
 * ingest-layers.c. */
void ingest_note_layer(struct ingest *in, struct store_layer *info, const char *stage);

/* Is the layer in the store, whole as far as one can see at a glance? Then *ret. */
bool store_layer_read(int root_fd, const char *diff_id, struct store_layer *ret);
