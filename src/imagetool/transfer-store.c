/* transfer-store - the store as a source: manifests and configurations as they came, layers
 * rebuilt from their trees. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "base/strv.h"
#include "image/pin.h"
#include "image/ref.h"
#include "image/rows.h"
#include "imagetool/idmap.h"
#include "imagetool/ingest.h"
#include "imagetool/progress.h"
#include "imagetool/transfer.h"
#include "layer/layer.h"

#define KNOWN_MAX 8 /* compressed forms of one layer that are remembered */

struct store_source {
    struct source source;
    const struct conf *conf;
    struct store_pin pin; /* what is read stays meanwhile */
    struct layer_session *session;
    struct store_image image;
};

/* A layer's tar, as another process writes it into a pipe. */
struct tar_stream {
    struct stream stream;
    struct store_source *store;
    char *diff_id;
    int fd; /* the pipe; -1: not begun */
    struct layer_job job;
    bool ended;
};

static int damaged(int r, const char *diff_id, const struct store_source *s, struct err *e)
{
    if (e && !e->msg[0])
        err_msg(e, EUCLEAN, "layer %.19s is damaged", diff_id);
    return err_hint(e, r, "'rootlet image check --repair %s' fetches it again, where it came from",
                    s->source.label);
}

static int tar_begin(struct tar_stream *t, struct err *e)
{
    scoped_free char *path = xasprintf("layers/%s", image_digest_hex(t->diff_id));
    scoped_fd int dir = openat(t->store->pin.root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int p[2];
    if (dir < 0)
        return damaged(-EUCLEAN, t->diff_id, t->store, e);
    if (pipe2(p, O_CLOEXEC) < 0)
        return err_set(e, errno, "pipe");
    fcntl(p[1], F_SETPIPE_SZ, 1 << 20);
    int r = layer_rebuild_start(t->store->session, dir, p[1], t->diff_id, &t->job, e);
    close(p[1]);
    if (r < 0) {
        close(p[0]);
        return r;
    }
    t->fd = p[0];
    return 0;
}

/* The end of the pipe is no good end before the job says so: it compares the digest. */
static int tar_end(struct tar_stream *t, struct err *e)
{
    fd_close(&t->fd);
    t->ended = true;
    int r = layer_job_finish(&t->job, NULL, e);
    return r == -EUCLEAN || r == -ENOENT ? damaged(r, t->diff_id, t->store, e) : r;
}

static ssize_t tar_read(struct stream *s, void *buf, size_t n, struct err *e)
{
    struct tar_stream *t = (struct tar_stream *)s;
    if (t->ended)
        return 0;
    int r = t->fd < 0 ? tar_begin(t, e) : 0;
    if (r < 0)
        return r;
    ssize_t got;
    do
        got = read(t->fd, buf, n);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return err_set(e, errno, "read layer %.19s", t->diff_id);
    return got ? got : tar_end(t, e);
}

static int tar_rewind(struct stream *s, struct err *e)
{
    struct tar_stream *t = (struct tar_stream *)s;
    (void)e;
    if (t->fd >= 0)
        tar_end(t, NULL);
    t->ended = false;
    return 0;
}

static void tar_free(struct stream *s)
{
    struct tar_stream *t = (struct tar_stream *)s;
    if (t->fd >= 0)
        tar_end(t, NULL);
    free(t->diff_id);
    free(t);
}

static int store_tar(struct source *source, const char *diff_id, struct stream **ret, struct err *e)
{
    struct store_source *s = (struct store_source *)source;
    struct store_layer info = {0};
    if (!store_layer_read(s->pin.root_fd, diff_id, &info))
        return damaged(-EUCLEAN, diff_id, s, e);
    uint64_t size = info.tar_size;
    jfield_release(store_layer_fields, &info);
    struct tar_stream *t = xcalloc(1, sizeof(*t));
    *t = (struct tar_stream){.stream = {tar_read, tar_rewind, tar_free, size},
                             .store = s,
                             .diff_id = xstrdup(diff_id),
                             .fd = -1};
    *ret = &t->stream;
    return 0;
}

static void store_known(struct source *source, const char *diff_id, struct xfer_blob **ret,
                        size_t *ret_n)
{
    struct store_source *s = (struct store_source *)source;
    struct store_layer info = {0};
    *ret = NULL;
    *ret_n = 0;
    if (!store_layer_read(s->pin.root_fd, diff_id, &info))
        return;
    *ret = xcalloc(info.n_blobs + 1, sizeof(**ret));
    for (size_t i = 0; i < info.n_blobs; i++) {
        if (digest_parse(info.blobs[i].digest, NULL, NULL) < 0 || !info.blobs[i].media_type)
            continue;
        (*ret)[(*ret_n)++] = (struct xfer_blob){.digest = xstrdup(info.blobs[i].digest),
                                                .media_type = xstrdup(info.blobs[i].media_type),
                                                .size = info.blobs[i].size};
    }
    jfield_release(store_layer_fields, &info);
}

/* Whole or not at all, and on disk before it takes the place: without it the layer is damaged. That
 * it cannot be written costs time the next time and nothing else. */
static void store_packed(struct source *source, const char *diff_id, const struct xfer_blob *b)
{
    struct store_source *s = (struct store_source *)source;
    scoped_free char *path = xasprintf("layers/%s", image_digest_hex(diff_id));
    struct store_layer info = {0};
    if (!store_layer_read(s->pin.root_fd, diff_id, &info))
        return;
    bool there = info.n_blobs >= KNOWN_MAX;
    for (size_t i = 0; i < info.n_blobs; i++)
        there = there || streq(info.blobs[i].digest, b->digest);
    scoped_fd int dir = openat(s->pin.root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (!there && dir >= 0) {
        info.blobs = xrealloc(info.blobs, (info.n_blobs + 1) * sizeof(*info.blobs));
        info.blobs[info.n_blobs++] = (struct store_blob){
            .digest = xstrdup(b->digest), .media_type = xstrdup(b->media_type), .size = b->size};
        scoped_json json_t *doc = jfield_emit(store_layer_fields, &info);
        scoped_free char *text = json_text(doc, false);
        fs_write_atomic(dir, "layer.json", text, strlen(text), 0600, FS_SYNC, NULL);
    }
    jfield_release(store_layer_fields, &info);
}

static int store_manifest(struct source *source, const char *which, struct registry_manifest *ret,
                          struct err *e)
{
    struct store_source *s = (struct store_source *)source;
    struct registry_manifest m = {0};
    if (which && !streq(which, s->image.manifest))
        return -ENOENT;
    ssize_t n = store_blob_read(s->conf, s->image.manifest, &m.bytes, e);
    if (n < 0)
        return (int)n;
    m.len = (size_t)n;
    snprintf(m.digest, sizeof(m.digest), "%s", s->image.manifest);
    *ret = m;
    return 0;
}

static int store_blob(struct source *source, const struct xfer_blob *b, struct stream **ret,
                      struct err *e)
{
    struct store_source *s = (struct store_source *)source;
    char *data = NULL;
    if (!streq(b->digest, s->image.id))
        return -ENODATA;
    ssize_t n = store_blob_read(s->conf, b->digest, &data, e);
    if (n < 0)
        return (int)n;
    *ret = stream_memory(data, (size_t)n);
    return 0;
}

/* Repositories whose images have this layer or configuration. */
static char **store_origins(struct source *source, const char *host, const struct xfer_blob *b,
                            const char *diff_id)
{
    struct store_source *s = (struct store_source *)source;
    struct store_image *all = NULL;
    size_t n = 0, len = strlen(host);
    char **v = NULL;
    if (store_list(s->conf, &all, &n, NULL) < 0)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        if (diff_id ? !strv_has(all[i].layers, diff_id) : !streq(all[i].id, b->digest))
            continue;
        for (size_t k = 0; all[i].names && all[i].names[k]; k++) {
            struct image_ref ref = {0};
            if (strncmp(all[i].names[k], host, len) != 0 || all[i].names[k][len] != '/' ||
                image_ref_parse(all[i].names[k], &ref, NULL) < 0)
                continue;
            if (!strv_has(v, ref.name + len + 1))
                strv_add(&v, ref.name + len + 1);
            image_ref_release(&ref);
        }
    }
    store_list_free(all, n);
    return v;
}

/* What ^C has to clear away; a handler has only the calls of signal-safety(7). */
static const struct store_pin *volatile open_pin;

static void on_signal(int number)
{
    progress_abandon();
    if (open_pin)
        store_pin_remove(open_pin);
    signal(number, SIG_DFL);
    raise(number);
}

static void watch_signals(const struct store_pin *pin)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    const struct sigaction ours = {.sa_handler = on_signal};
    struct sigaction old;
    open_pin = pin;
    for (size_t i = 0; pin && i < N_ELEMENTS(numbers); i++)
        if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN) /* nohup */
            (void)sigaction(numbers[i], &ours, NULL);
}

static void store_source_free(struct source *source)
{
    struct store_source *s = (struct store_source *)source;
    watch_signals(NULL);
    layer_session_close(s->session);
    store_pin_close(&s->pin);
    store_image_release(&s->image);
    free(s->source.label);
    free(s);
}

static const struct source_ops store_ops = {
    .manifest = store_manifest,
    .blob = store_blob,
    .tar = store_tar,
    .known = store_known,
    .packed = store_packed,
    .origins = store_origins,
    .free = store_source_free,
};

int source_store(const struct conf *c, const char *name, struct source **ret, struct err *e)
{
    scoped_userns_map struct userns_map map = {0};
    struct store_source *s = xcalloc(1, sizeof(*s));
    *s = (struct store_source){
        .source = {.ops = &store_ops, .label = xstrdup(name)}, .conf = c, .pin = STORE_PIN_INIT};
    /* In a store that is not there yet there is nothing to find, and nothing shall be made. */
    int r = store_find(c, name, &s->image, e);
    store_image_release(&s->image);
    s->image = (struct store_image){0};
    r = r < 0 ? r : store_pin_open(c, "push", &s->pin, e);
    if (r == 0)
        watch_signals(&s->pin);
    r = r < 0 ? r : store_pin_find(&s->pin, c, name, &s->image, e);
    r = r < 0 ? r : idmap_stored(c, &map, e);
    r = r < 0 ? r : layer_session_open(&map, NULL, &s->session, e);
    if (r < 0) {
        store_source_free(&s->source);
        return r;
    }
    s->source.diff_ids = s->image.layers;
    *ret = &s->source;
    return 0;
}

const struct store_image *source_store_image(const struct source *s)
{
    return &((const struct store_source *)s)->image;
}
