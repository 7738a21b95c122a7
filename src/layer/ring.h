/* ring - a bounded queue of byte blocks between the decompressing and the unpacking thread. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

#define RING_BLOCKS 8
#define RING_BLOCK_SIZE ((size_t)256 << 10)

struct ring {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct ring_block {
        uint8_t *data; /* RING_BLOCK_SIZE */
        size_t len;
    } blocks[RING_BLOCKS];
    unsigned filled, taken; /* blocks ever filled and given back; filled - taken are in use */
    bool end;               /* the producer will fill no more */
    bool stop;              /* the consumer wants no more */
    int result;             /* of the producer, once end is set; err holds its text */
    struct err err;
};

void ring_init(struct ring *r);
void ring_release(struct ring *r);

/* Producer: an empty block to fill (NULL: the consumer stopped), hand it over, finish. */
struct ring_block *ring_begin_fill(struct ring *r);
void ring_end_fill(struct ring *r, size_t len);
void ring_finish(struct ring *r, int result, const struct err *e);

/* Consumer: gives the previous block back when release is set, and waits for the next. Returns 1
 * with *ret set, 0 at the end, or the producer's negative result with e set. */
int ring_next(struct ring *r, bool release, const struct ring_block **ret, struct err *e);
void ring_stop(struct ring *r);
