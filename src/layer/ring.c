/* ring - a bounded queue of byte blocks between the decompressing and the unpacking thread. */
#include "layer/ring.h"

#include <string.h>

#include "base/str.h"

void ring_init(struct ring *r)
{
    memset(r, 0, sizeof(*r));
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->changed, NULL);
    for (unsigned i = 0; i < RING_BLOCKS; i++)
        r->blocks[i].data = xmalloc(RING_BLOCK_SIZE);
}

void ring_release(struct ring *r)
{
    for (unsigned i = 0; i < RING_BLOCKS; i++)
        free(r->blocks[i].data);
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
}

struct ring_block *ring_begin_fill(struct ring *r)
{
    bool stop;

    pthread_mutex_lock(&r->lock);
    while (!r->stop && r->filled - r->taken == RING_BLOCKS)
        pthread_cond_wait(&r->changed, &r->lock);
    stop = r->stop;
    pthread_mutex_unlock(&r->lock);
    return stop ? NULL : &r->blocks[r->filled % RING_BLOCKS];
}

void ring_end_fill(struct ring *r, size_t len)
{
    pthread_mutex_lock(&r->lock);
    r->blocks[r->filled % RING_BLOCKS].len = len;
    r->filled++;
    pthread_cond_signal(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

void ring_finish(struct ring *r, int result, const struct err *e)
{
    pthread_mutex_lock(&r->lock);
    r->end = true;
    r->result = result;
    r->err = *e;
    pthread_cond_signal(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

int ring_next(struct ring *r, bool release, const struct ring_block **ret, struct err *e)
{
    int n = 0;

    pthread_mutex_lock(&r->lock);
    if (release) {
        r->taken++;
        pthread_cond_signal(&r->changed);
    }
    while (r->filled == r->taken && !r->end)
        pthread_cond_wait(&r->changed, &r->lock);
    if (r->filled != r->taken) {
        *ret = &r->blocks[r->taken % RING_BLOCKS];
        n = 1;
    } else if (r->result < 0) {
        n = r->result;
        if (e)
            *e = r->err;
    }
    pthread_mutex_unlock(&r->lock);
    return n;
}

void ring_stop(struct ring *r)
{
    pthread_mutex_lock(&r->lock);
    r->stop = true;
    pthread_cond_signal(&r->changed);
    pthread_mutex_unlock(&r->lock);
}
