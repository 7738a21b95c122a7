/* transfer-registry - a registry as source and as target. Each thread has a connection pool of its
 * own: one is a source and a target at the same time, and libcurl's loops do not nest. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/strv.h"
#include "image/ref.h"
#include "imagetool/remote.h"
#include "imagetool/transfer.h"

struct remote {
    const struct registry_options *options;
    char *name; /* as the user typed it */
    struct registry *reg;
    struct registry_ref ref;
};

static int remote_open(const struct registry_options *o, const char *name,
                       enum registry_access access, struct remote *ret, struct err *e)
{
    *ret = (struct remote){.options = o, .name = xstrdup(name)};
    int r = registry_open(o, &ret->reg, e);
    return r < 0 ? r : registry_resolve(ret->reg, name, access, &ret->ref, e);
}

static void remote_close(struct remote *r)
{
    registry_ref_release(&r->ref);
    registry_close(r->reg);
    free(r->name);
}

/* --- reading --- */

struct remote_source {
    struct source source;
    struct remote remote;
};

#define WAITING_MAX ((size_t)2 << 20)

/* What has arrived and was not read yet. */
struct fetch_stream {
    struct stream stream;
    struct remote *remote;
    struct xfer_blob blob;
    struct registry_fetch *fetch;
    struct str buf;
    size_t at;
    bool started, ended, paused;
    int r;
    struct err err;
};

static int fetch_data(void *ctx, const void *data, size_t n)
{
    struct fetch_stream *f = ctx;
    if (f->buf.len >= WAITING_MAX) {
        f->paused = true;
        return -EAGAIN;
    }
    str_addn(&f->buf, data, n);
    return 0;
}

static void fetch_done(void *ctx, int r, const struct err *e)
{
    struct fetch_stream *f = ctx;
    f->fetch = NULL;
    f->ended = true;
    f->r = r;
    if (r < 0 && e)
        f->err = *e;
}

static const struct registry_fetch_ops fetch_ops = {.data = fetch_data, .done = fetch_done};

static int fetch_begin(struct fetch_stream *f, struct err *e)
{
    struct registry_blob b = {.digest = f->blob.digest, .size = f->blob.size, .urls = f->blob.urls};
    f->started = true;
    f->fetch = registry_fetch_start(f->remote->reg, &f->remote->ref, &b, &fetch_ops, f, e);
    return f->fetch ? 0 : -EINVAL;
}

static ssize_t fetch_read(struct stream *s, void *buf, size_t n, struct err *e)
{
    struct fetch_stream *f = (struct fetch_stream *)s;
    int r = f->started ? 0 : fetch_begin(f, e);
    if (f->at == f->buf.len) {
        f->at = 0;
        str_reset(&f->buf);
        if (f->paused && f->fetch) {
            f->paused = false;
            registry_fetch_more(f->fetch);
        }
    }
    while (r >= 0 && f->at == f->buf.len && !f->ended)
        r = registry_step(f->remote->reg, NULL, 0, -1, e);
    if (r < 0)
        return r;
    if (f->at == f->buf.len && f->r < 0 && e)
        *e = f->err;
    if (f->at == f->buf.len)
        return f->r;
    if (n > f->buf.len - f->at)
        n = f->buf.len - f->at;
    memcpy(buf, f->buf.s + f->at, n);
    f->at += n;
    return (ssize_t)n;
}

static int fetch_rewind(struct stream *s, struct err *e)
{
    struct fetch_stream *f = (struct fetch_stream *)s;
    (void)e;
    if (f->fetch)
        registry_fetch_cancel(take_ptr(f->fetch));
    str_reset(&f->buf);
    f->at = 0;
    f->started = f->ended = f->paused = false;
    f->r = 0;
    return 0;
}

static void fetch_free(struct stream *s)
{
    struct fetch_stream *f = (struct fetch_stream *)s;
    if (f->fetch)
        registry_fetch_cancel(f->fetch);
    str_release(&f->buf);
    xfer_blob_release(&f->blob);
    free(f);
}

static int remote_blob(struct source *s, const struct xfer_blob *b, struct stream **ret,
                       struct err *e)
{
    struct fetch_stream *f = xcalloc(1, sizeof(*f));
    (void)e;
    *f = (struct fetch_stream){.stream = {fetch_read, fetch_rewind, fetch_free, b->size},
                               .remote = &((struct remote_source *)s)->remote,
                               .buf = STR_INIT};
    xfer_blob_copy(b, &f->blob);
    *ret = &f->stream;
    return 0;
}

static int remote_manifest(struct source *s, const char *which, struct registry_manifest *ret,
                           struct err *e)
{
    struct remote *r = &((struct remote_source *)s)->remote;
    return registry_manifest_get(r->reg, &r->ref, which, NULL, ret, e);
}

static char **remote_origins(struct source *s, const char *host, const struct xfer_blob *b,
                             const char *diff_id)
{
    const struct remote *r = &((struct remote_source *)s)->remote;
    const char *rest = str_after(r->ref.image.name, host);
    char **v = NULL;
    (void)b;
    (void)diff_id;
    if (rest && *rest == '/')
        strv_add(&v, rest + 1);
    return v;
}

static int remote_allowed(struct source *s, const char *policy_file,
                          const struct registry_manifest *index, const struct registry_manifest *m,
                          struct err *e)
{
    struct remote *r = &((struct remote_source *)s)->remote;
    struct remote_image image = {.bytes = *m}; /* borrowed */
    if (index)
        image.index = *index;
    return remote_image_check(r->reg, &r->ref, &image, policy_file, e);
}

static int remote_source_again(const struct source *s, struct source **ret, struct err *e)
{
    const struct remote *r = &((const struct remote_source *)s)->remote;
    return source_registry(r->options, r->name, ret, e);
}

static void remote_source_free(struct source *source)
{
    struct remote_source *s = (struct remote_source *)source;
    remote_close(&s->remote);
    free(s->source.label);
    free(s);
}

static const struct source_ops remote_source_ops = {
    .manifest = remote_manifest,
    .blob = remote_blob,
    .origins = remote_origins,
    .allowed = remote_allowed,
    .again = remote_source_again,
    .free = remote_source_free,
};

int source_registry(const struct registry_options *o, const char *name, struct source **ret,
                    struct err *e)
{
    struct remote_source *s = xcalloc(1, sizeof(*s));
    s->source.ops = &remote_source_ops;
    int r = remote_open(o, name, REGISTRY_PULL, &s->remote, e);
    if (r < 0) {
        remote_source_free(&s->source);
        return r;
    }
    s->source.label = image_ref_text(&s->remote.ref.image);
    *ret = &s->source;
    return 0;
}

/* --- writing --- */

struct remote_target {
    struct target target;
    struct remote remote;
};

static int remote_has(struct target *t, const struct xfer_blob *b, struct err *e)
{
    struct remote *r = &((struct remote_target *)t)->remote;
    uint64_t size = UINT64_MAX;
    int found = registry_blob_head(r->reg, &r->ref, b->digest, &size, e);
    return found > 0 && size != UINT64_MAX && size != b->size ? 0 : found;
}

static int remote_mount(struct target *t, const char *digest, const char *from, struct err *e)
{
    struct remote *r = &((struct remote_target *)t)->remote;
    return registry_blob_mount(r->reg, &r->ref, digest, from, e);
}

/* A stream that can only begin anew, for the client, which goes on where a cut was. */
struct upload {
    struct stream *in;
    uint64_t at;
    int r;
    struct err err; /* of the stream: says more than that the upload failed */
};

static ssize_t upload_read(void *ctx, void *buf, size_t n)
{
    struct upload *u = ctx;
    ssize_t got = u->in->read(u->in, buf, n, &u->err);
    if (got < 0)
        u->r = (int)got;
    else
        u->at += (uint64_t)got;
    return got;
}

static int upload_seek(void *ctx, uint64_t offset)
{
    struct upload *u = ctx;
    char buf[16384];
    if (offset < u->at) {
        u->r = u->in->rewind(u->in, &u->err);
        u->at = 0;
    }
    while (u->r == 0 && u->at < offset) {
        uint64_t left = offset - u->at;
        if (upload_read(u, buf, left < sizeof(buf) ? (size_t)left : sizeof(buf)) == 0)
            return -EIO;
    }
    return u->r;
}

static int remote_put(struct target *t, struct stream *in, struct xfer_blob *b, bool known,
                      struct err *e)
{
    struct remote *remote = &((struct remote_target *)t)->remote;
    struct upload u = {.in = in};
    char digest[DIGEST_TEXT_MAX] = "";
    uint64_t size = 0;
    struct registry_source from = {.read = upload_read,
                                   .seek = upload_seek,
                                   .ctx = &u,
                                   .size = known ? b->size : UINT64_MAX,
                                   .digest = known ? b->digest : NULL};
    int r = registry_upload(remote->reg, &remote->ref, &from, digest, &size, e);
    if (r < 0 && u.r < 0 && e)
        *e = u.err;
    if (r < 0)
        return u.r < 0 ? u.r : r;
    if (!known) {
        free(b->digest);
        b->digest = xstrdup(digest);
        b->size = size;
    }
    return 0;
}

static int remote_put_manifest(struct target *t, const struct registry_manifest *m, const char *tag,
                               bool top, struct err *e)
{
    struct remote *r = &((struct remote_target *)t)->remote;
    if (top)
        tag = r->ref.image.tag;
    return registry_manifest_put(r->reg, &r->ref, tag, m, e);
}

static int remote_target_again(const struct target *t, struct target **ret, struct err *e)
{
    const struct remote *r = &((const struct remote_target *)t)->remote;
    return target_registry(r->options, r->name, ret, e);
}

static void remote_target_free(struct target *target)
{
    struct remote_target *t = (struct remote_target *)target;
    remote_close(&t->remote);
    free(t->target.label);
    free(t);
}

static const struct target_ops remote_target_ops = {
    .has = remote_has,
    .mount = remote_mount,
    .put = remote_put,
    .manifest = remote_put_manifest,
    .again = remote_target_again,
    .free = remote_target_free,
};

int target_registry(const struct registry_options *o, const char *name, struct target **ret,
                    struct err *e)
{
    struct remote_target *t = xcalloc(1, sizeof(*t));
    t->target.ops = &remote_target_ops;
    t->target.packs = COMPRESS_GZIP;
    int r = remote_open(o, name, REGISTRY_PUSH, &t->remote, e);
    const struct image_ref *ref = &t->remote.ref.image;
    if (r == 0 && ref->digest && !ref->tag)
        r = err_hint(e, err_msg(e, EINVAL, "%s: what is pushed decides its digest", name),
                     "name it by a tag: NAME:TAG");
    if (r < 0) {
        remote_target_free(&t->target);
        return r;
    }
    const struct registry_endpoint *at = &t->remote.ref.place.v[0];
    t->target.host = at->host;
    t->target.path = at->path;
    t->target.label = image_ref_text(ref);
    *ret = &t->target;
    return 0;
}
