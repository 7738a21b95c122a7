#include "layer/gzip.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <zlib.h>
#ifdef HAVE_ISAL
#include <isa-l/crc.h>
#include <isa-l/igzip_lib.h>
#endif

#include "base/str.h"

#define WINDOW ((size_t)32 << 10)
#define OUT_SIZE                                                                                   \
    (GZIP_BLOCK + (GZIP_BLOCK >> 5)) /* what cannot be compressed grows by 5 in 16384 */
#define HELPERS_MAX 7
#ifdef HAVE_ISAL
#define FAST_LEVEL_MAX 3
#define FAST_BUFFER ISAL_DEF_LVL3_SMALL /* more becomes no faster, and not as small */
#endif
#define HEADER_SIZE 10
#define TRAILER_SIZE 8

/* Of all streams of the process: they share its processors and its memory. */
static atomic_uint helpers_at_work;

struct block {
    struct block *next;
    enum { WAITING, TAKEN, DONE } state;
    bool last;
    size_t dictionary, len; /* bytes of in: the one ends, the other begins at WINDOW */
    size_t packed, at;      /* bytes of out: all, and those that have gone */
    uLong crc;
    int r;
    uint8_t in[WINDOW + GZIP_BLOCK], out[OUT_SIZE];
};

/* What a thread compresses by. */
struct coder {
    z_stream z;
    bool z_open;
#ifdef HAVE_ISAL
    struct fast {
        struct isal_zstream stream;
        uint8_t buffer[FAST_BUFFER];
    } * fast;
#endif
};

struct helper {
    struct gzip *gzip;
    pthread_t thread;
    struct coder coder;
};

struct gzip {
    decompress_input input;
    void *data;
    int level;
    struct coder coder; /* the caller's */

    /* The caller's alone */
    struct block *first, *last, *unused; /* under way, in the order of the stream */
    struct block *filling;               /* read in part */
    unsigned n_blocks, n_helpers, max_helpers;
    bool own_limit; /* the others do not count */
    bool in_eof, end;
    uint8_t window[WINDOW];
    size_t window_len;
    uint8_t edge[HEADER_SIZE + TRAILER_SIZE]; /* the header or the trailer */
    size_t edge_at, edge_len;
    uLong crc;
    uint32_t bytes; /* modulo 2^32, as the format has it */

    pthread_mutex_t lock; /* of what follows, and the state of blocks */
    pthread_cond_t work, done;
    struct block *todo; /* the first that waits; those behind it wait too */
    bool stop;
    struct helper helpers[HELPERS_MAX];
};

static int coder_open(struct coder *c, int level)
{
    *c = (struct coder){0};
#ifdef HAVE_ISAL
    if (level <= FAST_LEVEL_MAX) {
        c->fast = xmalloc(sizeof(*c->fast));
        isal_deflate_init(&c->fast->stream);
        c->fast->stream.level = (uint32_t)level;
        c->fast->stream.level_buf = c->fast->buffer;
        c->fast->stream.level_buf_size = FAST_BUFFER;
        return 0;
    }
#endif
    c->z_open = deflateInit2(&c->z, level, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) == Z_OK;
    return c->z_open ? 0 : -ENOMEM;
}

static void coder_close(struct coder *c)
{
    if (c->z_open)
        deflateEnd(&c->z);
#ifdef HAVE_ISAL
    free(c->fast);
#endif
}

#ifdef HAVE_ISAL
/* -EIO unless all of it went into out, with room to spare. */
static int deflate_fast(struct isal_zstream *z, struct block *b)
{
    isal_deflate_reset(z);
    if (b->dictionary && isal_deflate_set_dict(z, b->in + WINDOW - b->dictionary,
                                               (uint32_t)b->dictionary) != COMP_OK)
        return -EIO;
    z->next_in = b->in + WINDOW;
    z->avail_in = (uint32_t)b->len;
    z->next_out = b->out;
    z->avail_out = OUT_SIZE;
    z->flush = b->last ? NO_FLUSH : SYNC_FLUSH;
    z->end_of_stream = b->last;
    if (isal_deflate(z) != COMP_OK || z->avail_in || !z->avail_out ||
        (b->last && z->internal_state.state != ZSTATE_END))
        return -EIO;
    b->packed = OUT_SIZE - z->avail_out;
    b->crc = crc32_gzip_refl(0, b->in + WINDOW, b->len);
    return 0;
}
#endif

static int deflate_block(struct coder *c, struct block *b)
{
    z_stream *z = &c->z;
#ifdef HAVE_ISAL
    if (c->fast)
        return deflate_fast(&c->fast->stream, b);
#endif
    if (deflateReset(z) != Z_OK ||
        (b->dictionary &&
         deflateSetDictionary(z, b->in + WINDOW - b->dictionary, (uInt)b->dictionary) != Z_OK))
        return -EIO;
    z->next_in = b->in + WINDOW;
    z->avail_in = (uInt)b->len;
    z->next_out = b->out;
    z->avail_out = OUT_SIZE;
    int r = deflate(z, b->last ? Z_FINISH : Z_SYNC_FLUSH);
    if (r != (b->last ? Z_STREAM_END : Z_OK) || z->avail_in || !z->avail_out)
        return -EIO;
    b->packed = OUT_SIZE - z->avail_out;
    b->crc = crc32(0, b->in + WINDOW, (uInt)b->len);
    return 0;
}

/* With the lock, which is open meanwhile. */
static void do_next(struct gzip *g, struct coder *c)
{
    struct block *b = g->todo;
    g->todo = b->next;
    b->state = TAKEN;
    pthread_mutex_unlock(&g->lock);
    b->r = deflate_block(c, b);
    pthread_mutex_lock(&g->lock);
    b->state = DONE;
    pthread_cond_signal(&g->done);
}

static void *help(void *data)
{
    struct helper *h = data;
    struct gzip *g = h->gzip;
    pthread_mutex_lock(&g->lock);
    while (!g->stop) {
        if (g->todo)
            do_next(g, &h->coder);
        else
            pthread_cond_wait(&g->work, &g->lock);
    }
    pthread_mutex_unlock(&g->lock);
    return NULL;
}

static unsigned processors(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof(set), &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
}

static bool may_start(struct gzip *g)
{
    if (g->n_helpers == g->max_helpers)
        return false;
    if (atomic_fetch_add(&helpers_at_work, 1) < g->max_helpers || g->own_limit)
        return true;
    atomic_fetch_sub(&helpers_at_work, 1);
    return false;
}

/* That there is none more is no failure. */
static void start_helper(struct gzip *g)
{
    struct helper *h = &g->helpers[g->n_helpers];
    if (!may_start(g))
        return;
    h->gzip = g;
    if (coder_open(&h->coder, g->level) == 0 && pthread_create(&h->thread, NULL, help, h) == 0) {
        g->n_helpers++;
        return;
    }
    coder_close(&h->coder);
    atomic_fetch_sub(&helpers_at_work, 1);
    g->max_helpers = g->n_helpers;
}

static void begin(struct gzip *g)
{
    static const uint8_t header[HEADER_SIZE] = {0x1f, 0x8b, Z_DEFLATED, [9] = 3 /* Unix */};
    memcpy(g->edge, header, sizeof(header));
    g->edge[8] = g->level == 9 ? 2 : g->level == 1 ? 4 : 0; /* slowest, fastest */
    g->edge_at = 0;
    g->edge_len = HEADER_SIZE;
    g->crc = crc32(0, NULL, 0);
    g->bytes = 0;
    g->window_len = 0;
    g->in_eof = g->end = false;
}

int gzip_new_with(int level, unsigned helpers, decompress_input input, void *data,
                  struct gzip **ret, struct err *e)
{
    struct gzip *g = xcalloc(1, sizeof(*g));
    g->input = input;
    g->data = data;
    g->level = level;
    g->own_limit = true;
    g->max_helpers = helpers < HELPERS_MAX ? helpers : HELPERS_MAX;
    pthread_mutex_init(&g->lock, NULL);
    pthread_cond_init(&g->work, NULL);
    pthread_cond_init(&g->done, NULL);
    if (coder_open(&g->coder, level) < 0) {
        gzip_free(g);
        return err_set(e, ENOMEM, "compress by gzip");
    }
    begin(g);
    *ret = g;
    return 0;
}

int gzip_new(int level, decompress_input input, void *data, struct gzip **ret, struct err *e)
{
    int r = gzip_new_with(level, processors() - 1, input, data, ret, e);
    if (r == 0)
        (*ret)->own_limit = false;
    return r;
}

static void free_blocks(struct block *b)
{
    while (b) {
        struct block *next = b->next;
        free(b);
        b = next;
    }
}

/* Nothing is under way afterwards. */
static void drop_blocks(struct gzip *g)
{
    pthread_mutex_lock(&g->lock);
    g->todo = NULL;
    for (struct block *b = g->first; b; b = b->next)
        while (b->state == TAKEN)
            pthread_cond_wait(&g->done, &g->lock);
    pthread_mutex_unlock(&g->lock);
    if (g->last) {
        g->last->next = g->unused;
        g->unused = g->first;
        g->first = g->last = NULL;
    }
}

void gzip_free(struct gzip *g)
{
    if (!g)
        return;
    drop_blocks(g);
    pthread_mutex_lock(&g->lock);
    g->stop = true;
    pthread_cond_broadcast(&g->work);
    pthread_mutex_unlock(&g->lock);
    for (unsigned i = 0; i < g->n_helpers; i++) {
        pthread_join(g->helpers[i].thread, NULL);
        coder_close(&g->helpers[i].coder);
    }
    atomic_fetch_sub(&helpers_at_work, g->n_helpers);
    free_blocks(g->unused);
    free(g->filling);
    coder_close(&g->coder);
    pthread_cond_destroy(&g->done);
    pthread_cond_destroy(&g->work);
    pthread_mutex_destroy(&g->lock);
    free(g);
}

void gzip_restart(struct gzip *g)
{
    drop_blocks(g);
    if (g->filling)
        g->filling->len = 0;
    begin(g);
}

/* Two for the caller and two for each helper: one in work, one that waits. */
static struct block *unused_block(struct gzip *g)
{
    struct block *b = g->unused;
    if (b)
        g->unused = b->next;
    else if (g->n_blocks >= 2 + 2 * g->n_helpers)
        return NULL;
    else
        g->n_blocks++;
    b = b ? b : xmalloc(sizeof(*b));
    b->len = 0;
    return b;
}

static void hand_over(struct gzip *g, struct block *b)
{
    g->filling = NULL;
    b->next = NULL;
    b->state = WAITING;
    b->at = 0;
    b->last = g->in_eof;
    b->dictionary = g->window_len;
    memcpy(b->in + WINDOW - g->window_len, g->window, g->window_len);
    if (!b->last) {
        memcpy(g->window, b->in + GZIP_BLOCK, WINDOW);
        g->window_len = WINDOW;
    }
    pthread_mutex_lock(&g->lock);
    bool busy = g->todo;
    if (g->last)
        g->last->next = b;
    else
        g->first = b;
    g->last = b;
    if (!g->todo)
        g->todo = b;
    pthread_cond_signal(&g->work);
    pthread_mutex_unlock(&g->lock);
    if (busy)
        start_helper(g);
}

/* As much of the input as there is room for. */
static int fill(struct gzip *g, struct err *e)
{
    while (!g->in_eof && (g->filling || (g->filling = unused_block(g)))) {
        struct block *b = g->filling;
        ssize_t n = g->input(g->data, b->in + WINDOW + b->len, GZIP_BLOCK - b->len, e);
        if (n < 0)
            return (int)n;
        b->len += (size_t)n;
        g->in_eof = n == 0;
        if (g->in_eof || b->len == GZIP_BLOCK)
            hand_over(g, b);
    }
    return 0;
}

/* Until the first block is done; the caller takes its part meanwhile. */
static int wait_first(struct gzip *g, struct err *e)
{
    pthread_mutex_lock(&g->lock);
    while (g->first->state != DONE) {
        if (g->todo)
            do_next(g, &g->coder);
        else
            pthread_cond_wait(&g->done, &g->lock);
    }
    pthread_mutex_unlock(&g->lock);
    return g->first->r < 0 ? err_msg(e, -g->first->r, "compress by gzip: failed") : 0;
}

static void put_le32(uint8_t *to, uint32_t v)
{
    for (unsigned i = 0; i < 4; i++)
        to[i] = (uint8_t)(v >> 8 * i);
}

/* All of the first block has gone. */
static void end_first(struct gzip *g)
{
    struct block *b = g->first;
    pthread_mutex_lock(&g->lock);
    g->first = b->next;
    if (!g->first)
        g->last = NULL;
    pthread_mutex_unlock(&g->lock);
    g->crc = crc32_combine(g->crc, b->crc, (z_off_t)b->len);
    g->bytes += (uint32_t)b->len;
    g->end = b->last;
    if (g->end) {
        put_le32(g->edge, (uint32_t)g->crc);
        put_le32(g->edge + 4, g->bytes);
        g->edge_at = 0;
        g->edge_len = TRAILER_SIZE;
    }
    b->next = g->unused;
    g->unused = b;
}

static size_t take(void *buf, size_t size, const uint8_t *from, size_t len, size_t *at)
{
    size_t n = len - *at < size ? len - *at : size;
    memcpy(buf, from + *at, n);
    *at += n;
    return n;
}

ssize_t gzip_read(struct gzip *g, void *buf, size_t size, struct err *e)
{
    if (g->edge_at < g->edge_len)
        return (ssize_t)take(buf, size, g->edge, g->edge_len, &g->edge_at);
    if (g->end)
        return 0;
    int r = fill(g, e);
    if (r == 0)
        r = wait_first(g, e);
    if (r < 0)
        return r;
    struct block *b = g->first;
    size_t n = take(buf, size, b->out, b->packed, &b->at);
    if (b->at == b->packed)
        end_first(g);
    return (ssize_t)n;
}
