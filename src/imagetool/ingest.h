/* ingest - brings images into the store: staged below ingest/, made durable by one syncfs, then
 * renamed into place in an order that makes every visible object complete.
 *
 * A crash at any moment leaves only things below ingest/, which a later command sweeps. No lock is
 * held meanwhile but that of the staging directory, which tells the garbage collector that its
 * owner lives: what this relies on stands in the pin (image/pin.h).
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "conf/conf.h"
#include "image/pin.h"
#include "image/rows.h"
#include "imagetool/plan.h"
#include "layer/layer.h"
#include "userns/userns.h"

struct ingest_item;
struct ingest {
    const struct conf *conf;
    bool quiet;      /* no progress on stderr */
    bool squash_ids; /* of layer_source */
    bool told_single;
    struct store_pin pin;
    int root_fd, stage_fd; /* the pin's: the store, and where things are staged */
    int signal_fd;         /* signalfd(2) of who wants to be ended in order, or -1: borrowed */
    unsigned n_stages;
    bool exchanged; /* what was there lies in ingest/ now, to be swept */
    char **replace; /* owned: diffIDs that are there but damaged, to be exchanged */
    struct layer_session *session;
    struct userns_map map; /* of the session */
    struct ingest_item *items;
    size_t n_items;
    struct ingest_layer {
        struct store_layer info;
        char *stage; /* its directory below stage_fd; NULL: in the store already */
    } * layers;
    size_t n_layers;
};

/* Makes the store's directories, sweeps what crashes left, makes the staging directory. */
int ingest_open(const struct conf *c, bool quiet, struct ingest *ret, struct err *e);
/* Removes what was not committed. Safe on a zeroed struct with descriptors -1. */
void ingest_close(struct ingest *in);
#define INGEST_INIT                                                                                \
    {                                                                                              \
        .pin = STORE_PIN_INIT, .root_fd = -1, .stage_fd = -1, .signal_fd = -1                      \
    }

/* From now on these digests (NULL-terminated) stay in the store once they are there: ask for what
 * is present only after this. The functions below do it for what they take up themselves. */
int ingest_want(struct ingest *in, char *const *digests, struct err *e);
/* Unpacks the layers that the store lacks, several at a time. */
int ingest_layers(struct ingest *in, const struct plan_layer *layers, size_t n, struct err *e);
/* Unpacks one layer of unknown diffID from a stream; the digest is in *ret_diff_id. -EINTR: a
 * signal came, and nothing is left of it. */
int ingest_stream(struct ingest *in, int fd, bool want_whiteouts,
                  char ret_diff_id[static DIGEST_TEXT_MAX], struct err *e);
/* Makes a layer of a tree that belongs to an id map; p->out_fd is set here. The digest is in
 * *ret_diff_id, which is the same for the same content. */
int ingest_tree(struct ingest *in, struct layer_pack *p, const struct userns_map *map, int userns,
                char ret_diff_id[static DIGEST_TEXT_MAX], struct err *e);
/* Takes up a layer that must be in the store. -EUCLEAN when it is not. */
int ingest_present(struct ingest *in, const char *diff_id, struct err *e);
/* A layer that is staged or in the store; NULL if neither. */
const struct store_layer *ingest_layer(const struct ingest *in, const char *diff_id);

/* Stages an image: its blobs, its row and its names. manifest NULL: one is made. The layers must
 * have been brought in before. */
int ingest_image(struct ingest *in, const struct image_plan *p, struct err *e);

/* plan-made.c: of an image whose configuration is doc and whose layers are in, with a manifest of
 * docker's types when that is asked for. Names are the caller's to add. */
int plan_made(const struct ingest *in, const json_t *doc, bool docker, struct image_plan *p,
              struct err *e);

/* Makes everything visible. */
int ingest_commit(struct ingest *in, struct err *e);

/* Parts of it, for who unpacks by himself (fetch.h). */
#define INGEST_STAGE_MAX 24
/* Opens the session if there is none yet. */
int ingest_session(struct ingest *in, struct err *e);
/* Is the layer staged, or in the store, or in an additional one (from where it is copied if its
 * tree there cannot be used)? Then it is noted. After ingest_want. */
bool ingest_take_present(struct ingest *in, const char *diff_id);
/* A directory for an unpacker: its descriptor (owned) or -errno. */
int ingest_stage_layer(struct ingest *in, char ret_stage[static INGEST_STAGE_MAX], struct err *e);
/* Notes what an unpacker has made there. blob: what it was made of, or NULL. */
int ingest_keep_layer(struct ingest *in, int fd, const char *stage, const struct layer_result *res,
                      const struct store_blob *blob, struct err *e);
void ingest_tell_notes(const struct layer_result *res, unsigned number);
/* Makes the layers that are noted by now visible, before the rest. */
int ingest_commit_layers(struct ingest *in, struct err *e);

/* Records a layer (info is taken over) as staged, or, with stage NULL, as present. For
 * ingest-layers.c. */
void ingest_note_layer(struct ingest *in, struct store_layer *info, const char *stage);

/* Takes a layer up from an additional store: 1, 0 when none has it, or -errno. In ingest-other.c.
 */
int ingest_take_other(struct ingest *in, const char *diff_id, struct err *e);
/* Makes the layer's tar of layers/HEX and unpacks it into a staging directory. -EUCLEAN when the
 * digest is not diff_id. */
int ingest_copy(struct ingest *in, int from_fd, int stage_fd, const char *diff_id,
                struct layer_result *ret, struct err *e);
/* Opens layers/HEX of the first store that has the layer, and reads its record (ret may be NULL).
 * The descriptor, or -EUCLEAN "layer X is missing or damaged". */
int store_layer_open(const struct conf *c, const char *diff_id, struct store_layer *ret,
                     struct err *e);
/* Is the layer in the store, whole as far as one can see at a glance? Then *ret. */
bool store_layer_read(int root_fd, const char *diff_id, struct store_layer *ret);
