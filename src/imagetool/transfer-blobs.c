/* transfer-blobs - the blobs of an image to their target: first it is asked which are there or can
 * be had without moving a byte, then the others go, several at a time. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "base/strv.h"
#include "imagetool/progress.h"
#include "imagetool/transfer.h"

#define WORKERS 4
#define MOUNTS_MAX 4 /* repositories that are tried for one blob */

/* What the user sees; all threads draw it. */
static struct {
    pthread_mutex_t lock;
    struct progress *p; /* NULL: nothing is under way */
} shown = {.lock = PTHREAD_MUTEX_INITIALIZER};

void transfer_notice(void *data, const char *text)
{
    (void)data;
    pthread_mutex_lock(&shown.lock);
    if (shown.p)
        progress_line(shown.p, "%s", text);
    else
        log_warn("%s", text);
    pthread_mutex_unlock(&shown.lock);
}

static void show(const struct xfer_item *item, enum progress_state state)
{
    pthread_mutex_lock(&shown.lock);
    progress_set(shown.p, item->number, state, item->bytes);
    progress_draw(shown.p);
    pthread_mutex_unlock(&shown.lock);
}

struct crew {
    struct source *from;
    struct target *to;
    const struct transfer_options *o;
    struct xfer_item *v;
    size_t n, next;
    pthread_mutex_t lock; /* next, r and err */
    _Atomic bool stop;
    int r;
    struct err err;
};

/* --- what need not be moved --- */

/* Is it there, or in another repository of the same registry? 1, 0 or -errno. */
static int have(struct source *from, struct target *to, const struct xfer_blob *b,
                const char *diff_id, struct err *e)
{
    int r = to->ops->has(to, b, e);
    if (r != 0 || !to->ops->mount || !from->ops->origins)
        return r;
    scoped_strv char **v = from->ops->origins(from, to->host, b, diff_id);
    for (size_t i = 0; r == 0 && v && v[i] && i < MOUNTS_MAX; i++) {
        struct err why = ERR_INIT;
        if (streq(v[i], to->path))
            continue;
        /* It saves an upload; that it cannot be done is no reason to end. */
        r = to->ops->mount(to, b->digest, v[i], &why) > 0;
    }
    return r;
}

static bool fits(int compression, const struct transfer_options *o)
{
    if (o->compression >= 0 && compression != o->compression)
        return false;
    return compression >= 0 && !(o->format == FORMAT_DOCKER && compression == COMPRESS_ZSTD);
}

/* Another compressed form of a layer that registries are known to have. */
static int have_other(struct source *from, struct target *to, const struct transfer_options *o,
                      struct xfer_item *item, struct err *e)
{
    struct xfer_blob *known;
    size_t n;
    int r = 0;
    from->ops->known(from, item->diff_id, &known, &n);
    for (size_t i = 0; i < n; i++) {
        struct xfer_blob *b = &known[i];
        if (r == 0 && !streq(b->digest, item->blob.digest) &&
            fits(layer_compression(b->media_type), o))
            r = have(from, to, b, item->diff_id, e);
        else
            continue;
        if (r > 0) {
            xfer_blob_release(&item->blob);
            item->blob = *b;
            *b = (struct xfer_blob){0};
            item->changed = true;
        }
    }
    for (size_t i = 0; i < n; i++)
        xfer_blob_release(&known[i]);
    free(known);
    return r;
}

static int look(struct source *from, struct target *to, const struct transfer_options *o,
                struct xfer_item *item, struct err *e)
{
    int now = layer_compression(item->blob.media_type), r = 0;
    if (!item->diff_id || fits(now, o) || !o->force_compression)
        r = have(from, to, &item->blob, item->diff_id, e);
    if (r == 0 && item->diff_id && to->packs != COMPRESS_NONE)
        r = have_other(from, to, o, item, e);
    item->done = r > 0;
    if (o->compression >= 0)
        item->pack = (enum compress_format)o->compression;
    else if (to->packs == COMPRESS_NONE || now <= COMPRESS_NONE)
        item->pack = to->packs;
    else
        item->pack = (enum compress_format)now;
    return r < 0 ? r : 0;
}

/* --- what is moved --- */

/* Counts, and ends what another thread's failure makes useless. */
struct counted {
    struct stream stream, *in;
    struct crew *crew;
    struct xfer_item *item;
};

static ssize_t counted_read(struct stream *s, void *buf, size_t n, struct err *e)
{
    struct counted *c = (struct counted *)s;
    if (c->crew->stop)
        return err_set(e, ECANCELED, "copy");
    ssize_t got = c->in->read(c->in, buf, n, e);
    if (got > 0)
        c->item->bytes += (uint64_t)got;
    show(c->item, PROGRESS_MOVING);
    return got;
}

static int counted_rewind(struct stream *s, struct err *e)
{
    struct counted *c = (struct counted *)s;
    c->item->bytes = 0;
    return c->in->rewind(c->in, e);
}

static void counted_free(struct stream *s)
{
    stream_free(((struct counted *)s)->in);
    free(s);
}

static struct stream *count(struct stream *in, struct crew *crew, struct xfer_item *item)
{
    struct counted *c = xcalloc(1, sizeof(*c));
    *c = (struct counted){.stream = {counted_read, counted_rewind, counted_free, in->size},
                          .in = in,
                          .crew = crew,
                          .item = item};
    return &c->stream;
}

/* The exact blob, or the layer packed: *ret_known tells which. */
static int open_item(struct source *from, const struct transfer_options *o, struct xfer_item *item,
                     struct stream **ret, bool *ret_known, struct err *e)
{
    SCOPED(stream_scoped) struct stream *in = NULL;
    int r;
    *ret_known = true;
    if (!item->diff_id) {
        r = from->ops->blob(from, &item->blob, &in, e);
        if (r == 0)
            *ret = stream_checked(take_ptr(in), item->blob.digest, item->blob.size);
        return r;
    }
    r = from->ops->tar(from, item->diff_id, &in, e);
    if (r < 0)
        return r;
    uint64_t size = in->size;
    if (item->pack != COMPRESS_NONE) {
        *ret_known = false;
        return stream_compress(take_ptr(in), item->pack, o->level, ret, e);
    }
    item->changed = !streq(item->blob.digest, item->diff_id);
    free(item->blob.digest);
    item->blob.digest = xstrdup(item->diff_id);
    item->blob.size = size;
    *ret = take_ptr(in);
    return 0;
}

static int move(struct crew *crew, struct source *from, struct target *to, struct xfer_item *item,
                struct err *e)
{
    SCOPED(stream_scoped) struct stream *in = NULL;
    scoped_free char *was = xstrdup(item->blob.digest);
    bool known;
    int r = open_item(from, crew->o, item, &in, &known, e);
    if (r == -ENODATA)
        r = err_msg(e, EUCLEAN, "blob %s is not in the store", item->blob.digest);
    if (r < 0 || !in)
        return r;
    in = count(take_ptr(in), crew, item);
    r = to->ops->put(to, in, &item->blob, known, e);
    if (r < 0 || !item->diff_id)
        return r;
    item->changed = !streq(item->blob.digest, was);
    if (item->changed) {
        free(item->blob.media_type);
        item->blob.media_type = xstrdup(layer_media_type(false, item->pack));
    }
    return 0;
}

static struct xfer_item *next_item(struct crew *crew)
{
    struct xfer_item *item = NULL;
    pthread_mutex_lock(&crew->lock);
    while (crew->next < crew->n && crew->v[crew->next].done)
        crew->next++;
    if (crew->next < crew->n && !crew->stop)
        item = &crew->v[crew->next++];
    pthread_mutex_unlock(&crew->lock);
    return item;
}

static int work(struct crew *crew, struct source *from, struct target *to, struct err *e)
{
    struct xfer_item *item;
    int r = 0;
    while (r == 0 && (item = next_item(crew))) {
        r = move(crew, from, to, item, e);
        if (r == 0)
            show(item, PROGRESS_DONE);
    }
    return r;
}

static int work_alone(struct crew *crew, struct err *e)
{
    SCOPED(source_scoped) struct source *from = NULL;
    SCOPED(target_scoped) struct target *to = NULL;
    int r = crew->from->ops->again ? crew->from->ops->again(crew->from, &from, e) : 0;
    r = r < 0 ? r : crew->to->ops->again(crew->to, &to, e);
    return r < 0 ? r : work(crew, from ? from : crew->from, to, e);
}

/* The first failure counts: others come only of it. */
static void ended(struct crew *crew, int r, const struct err *e)
{
    pthread_mutex_lock(&crew->lock);
    if (r < 0 && crew->r == 0) {
        crew->stop = true;
        crew->r = r;
        crew->err = *e;
    }
    pthread_mutex_unlock(&crew->lock);
}

static void *worker(void *data)
{
    struct crew *crew = data;
    struct err e = ERR_INIT;
    int r = work_alone(crew, &e);
    ended(crew, r, &e);
    return NULL;
}

/* The first one is this thread, with the connections that are open already. */
static int run_crew(struct crew *crew, size_t left, struct err *e)
{
    pthread_t threads[WORKERS];
    size_t n = 0;
    for (; crew->to->ops->again && n + 1 < left && n + 1 < WORKERS; n++)
        if (pthread_create(&threads[n], NULL, worker, crew) != 0)
            break;
    struct err own = ERR_INIT;
    int r = work(crew, crew->from, crew->to, &own);
    ended(crew, r, &own);
    for (size_t i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
    if (crew->r < 0 && e)
        *e = crew->err;
    return crew->r;
}

static int look_at_all(struct crew *crew, size_t *ret_left, struct err *e)
{
    for (size_t i = 0; i < crew->n; i++) {
        struct xfer_item *item = &crew->v[i];
        int r = look(crew->from, crew->to, crew->o, item, e);
        if (r < 0)
            return r;
        *ret_left += !item->done;
        /* How much a layer becomes that is packed is not known before. */
        item->number = progress_add(shown.p, item->config ? "config" : "blob", item->blob.digest,
                                    item->diff_id ? 0 : item->blob.size);
        if (item->done)
            show(item, PROGRESS_SKIPPED);
    }
    return 0;
}

/* No bar stays behind. */
static void on_signal(int number)
{
    progress_abandon();
    signal(number, SIG_DFL);
    raise(number);
}

/* Only where nobody watches: a source may have more to clear away. */
static void watch_signals(void (*from)(int), void (*to)(int))
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction old;
    for (size_t i = 0; i < N_ELEMENTS(numbers); i++)
        if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler == from)
            signal(numbers[i], to);
}

int transfer_blobs(struct source *from, struct target *to, const struct transfer_options *o,
                   struct xfer_item *v, size_t n, struct err *e)
{
    struct crew crew = {.from = from, .to = to, .o = o, .v = v, .n = n};
    struct progress *p = progress_new(o->quiet);
    size_t left = 0;
    shown.p = p;
    watch_signals(SIG_DFL, on_signal);
    pthread_mutex_init(&crew.lock, NULL);
    int r = look_at_all(&crew, &left, e);
    if (r == 0 && left)
        r = run_crew(&crew, left, e);
    /* The next push need not pack it to see that it is there. */
    for (size_t i = 0; r == 0 && to->host && from->ops->packed && i < n; i++)
        if (v[i].diff_id && !v[i].done)
            from->ops->packed(from, v[i].diff_id, &v[i].blob);
    pthread_mutex_destroy(&crew.lock);
    shown.p = NULL;
    progress_free(p);
    watch_signals(on_signal, SIG_DFL);
    return r;
}
