/* fetch-priv - one pull's layers, for fetch.c and fetch-item.c. */
#pragma once

#include <signal.h>

#include "imagetool/fetch.h"
#include "imagetool/part.h"

#define DOWNLOADS_MAX 4
#define UNPACKERS_MAX 4

enum item_state {
    ITEM_WAITS, /* another process has the blob */
    ITEM_OURS,
    ITEM_DONE, /* staged, or in the store */
};

struct item {
    struct fetch *f;
    const struct fetch_layer *layer;
    unsigned number, bar;
    enum item_state state;
    struct part part;
    uint64_t began; /* bytes of an earlier pull */
    uint64_t told;  /* bytes that the unpacker knows of */
    struct registry_fetch *get;
    bool got, unpacking;
    int stage_fd, grow_fd;
    char stage[INGEST_STAGE_MAX];
    struct layer_job job;
    int r; /* of a failed unpacker, whose err waits for the rest of the bytes */
    struct err err;
};

struct fetch {
    struct ingest *in;
    int root_fd; /* of our own: it outlives the ingest */
    struct fetch_source from;
    struct item *v; /* largest first: so the last to end is not the one that takes longest */
    size_t n, n_gets, n_jobs, max_jobs;
    int signal_fd, signal; /* the one that came */
    sigset_t old_mask;
    int r; /* the first failure */
    struct err err;
};

void fetch_fail(struct fetch *f, int r, const struct err *e);
/* Takes the blob if nobody else has it. */
int item_take(struct item *i, struct err *e);
int item_download(struct item *i, struct err *e);
int item_unpack(struct item *i, struct err *e);
/* The unpacker has ended. */
int item_finish(struct item *i, struct err *e);
/* Ends what is under way. drop: the part file goes, too. */
void item_stop(struct item *i, bool drop);
