/* fetch - a blob beside others: attempts at one endpoint after the other, each going on where the
 * last one was cut. What the caller has seen are the blob's bytes in their order, once each. */
#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "base/strv.h"
#include "registry/client-priv.h"

/* An attempt that brings so much is not counted as a failure: a bad line still gets there. */
#define PROGRESS_MIN (64 * 1024)
#define AUTH_MAX 2 /* new tokens without progress */

struct registry_fetch {
    struct registry *reg;
    struct registry_ref *ref;
    char *digest, **urls;
    uint64_t size, have, attempt_from, pos;
    const struct registry_fetch_ops *ops;
    void *ctx;
    struct tries tries;
    struct call call;
    struct http_request req;
    struct http_transfer *transfer;
    struct http_timer *timer;
    char *what, *url, *auth;
    size_t foreign; /* urls that were tried */
    unsigned failures, auths;
    struct err why; /* that we stopped it */
    struct registry_fetch *next;
    bool begun, whole, stale; /* a body began; without Range; the token was refused */
};

static void attempt(void *data);

static void fetch_free(struct registry_fetch *f)
{
    if (f->transfer)
        http_cancel(f->transfer);
    if (f->timer)
        http_timer_cancel(f->timer);
    for (struct registry_fetch **p = &f->reg->first; *p; p = &(*p)->next)
        if (*p == f) {
            *p = f->next;
            break;
        }
    f->reg->fetches--;
    str_release(&f->tries.errors);
    strv_free(f->urls);
    free(f->digest);
    free(f->what);
    free(f->url);
    free(f->auth);
    free(f);
}

static void finish(struct registry_fetch *f, int r, struct err *e)
{
    const struct registry_fetch_ops *ops = f->ops;
    void *ctx = f->ctx;
    if (r < 0)
        err_add(e, r, "%s: blob %.19s", f->ref->image.name, f->digest);
    fetch_free(f);
    ops->done(ctx, r, e);
}

/* Is there a foreign layer's address that is still to be asked? Only https. */
static const char *next_foreign(struct registry_fetch *f)
{
    size_t n = strv_len(f->urls);
    while (f->foreign < n) {
        const char *url = f->urls[f->foreign];
        if (str_after(url, "https://"))
            return url;
        f->foreign++;
    }
    return NULL;
}

static void again(struct registry_fetch *f, uint64_t ms)
{
    f->timer = http_timer(f->reg->http, ms, attempt, f);
}

/* This place is no good: the next one, or the end. */
static void place_failed(struct registry_fetch *f, int r, struct err *e)
{
    f->failures = f->auths = 0;
    f->whole = f->stale = false;
    if (tries_next(&f->tries, f->ref))
        tries_failed(&f->tries, f->ref, r, e);
    else
        f->foreign++;
    if (tries_next(&f->tries, f->ref) || next_foreign(f)) {
        again(f, 0);
        return;
    }
    struct err all = ERR_INIT;
    r = tries_error(&f->tries, f->ref, &all);
    finish(f, r, &all);
}

/* What is wrong can often be told before the first byte is given on. */
static int check_begin(struct registry_fetch *f, const struct http_response *resp)
{
    if (resp->length == UINT64_MAX || resp->first + resp->length == f->size)
        return 0;
    if (http_is_page(resp))
        return err_msg(&f->why, EPROTO, "the registry answered a web page (proxy or login?)");
    return err_msg(&f->why, EBADMSG, "it has %llu bytes, and not the %llu that its image says",
                   (unsigned long long)(resp->first + resp->length), (unsigned long long)f->size);
}

static int on_data(void *data, const struct http_response *resp, const void *buf, size_t n)
{
    struct registry_fetch *f = data;
    if (!f->begun) {
        f->begun = true;
        f->pos = resp->first;
        int r = check_begin(f, resp);
        if (r < 0)
            return r;
    }
    if (n > f->size - f->pos)
        return -EFBIG;
    /* The server began at the start although it was asked for the rest. */
    uint64_t known = f->have > f->pos ? f->have - f->pos : 0;
    size_t skip = known < n ? (size_t)known : n;
    int r = skip < n ? f->ops->data(f->ctx, (const char *)buf + skip, n - skip) : 0;
    if (r < 0)
        return r;
    f->pos += n;
    f->have += n - skip;
    return 0;
}

static const char *host_name(const struct registry_fetch *f)
{
    const struct registry_endpoint *at =
        tries_next(&((struct registry_fetch *)(uintptr_t)f)->tries, f->ref);
    return at ? at->host : "foreign layer";
}

static void try_again(struct registry_fetch *f, int r, const struct http_response *resp,
                      struct err *e)
{
    struct http *h = f->reg->http;
    bool progress = f->have - f->attempt_from >= PROGRESS_MIN;
    char why[64];
    if (progress)
        f->failures = f->auths = 0;
    else
        f->failures++;
    if (f->failures > http_retries(h)) {
        place_failed(f, r, e);
        return;
    }
    uint64_t ms = progress ? 0 : http_backoff_ms(h, f->failures, r < 0 ? NULL : resp);
    snprintf(why, sizeof(why), "status %u", resp->status);
    if (ms)
        http_notice(h, "%s: %s; trying again in %.1f s", host_name(f),
                    resp->status >= 400 ? why : e->msg, (double)ms / 1000);
    again(f, ms);
}

static void refused(struct registry_fetch *f, struct http_response *resp, struct err *e)
{
    const struct registry_endpoint *at = tries_next(&f->tries, f->ref);
    struct host *h;
    int r;
    if (resp->status == 416 && !f->whole && f->have) {
        f->whole = true; /* it does not want to continue: all of it once more */
        again(f, 0);
        return;
    }
    if (!at) {
        place_failed(f, err_msg(e, EPROTO, "status %u", resp->status), e);
        return;
    }
    r = host_get(f->reg, at->host, at->insecure, &h, e);
    if (r == 0 && resp->status == 401 && f->auths < AUTH_MAX) {
        r = call_challenged(h, resp, e);
        if (r == 0) {
            f->auths++;
            f->stale = f->auth != NULL;
            again(f, 0);
            return;
        }
    }
    if (r == 0)
        r = call_refused(h, resp, e);
    if (http_transient(0, resp))
        try_again(f, r, resp, e);
    else
        place_failed(f, r, e);
}

static void on_done(void *data, int r, struct http_response *resp, struct err *e)
{
    struct registry_fetch *f = data;
    f->transfer = NULL;
    if (r < 0 && f->why.msg[0])
        *e = f->why;
    if (r == 0 && resp->status != 200 && resp->status != 206) {
        refused(f, resp, e);
    } else if (r < 0 && f->have == f->size && r != -EFBIG) {
        finish(f, 0, e); /* cut behind the last byte that counts */
    } else if (r < 0 && http_transient(r, resp)) {
        try_again(f, r, resp, e);
    } else if (r < 0) {
        place_failed(f, r, e);
    } else if (f->have == f->size && f->pos == f->size) {
        finish(f, 0, e);
    } else if (http_is_page(resp)) {
        r = err_msg(e, EPROTO, "the registry answered a web page (proxy or login?)");
        place_failed(f, r, e);
    } else {
        r = err_msg(e, EBADMSG, "it has %llu bytes, and not the %llu that its image says",
                    (unsigned long long)f->pos, (unsigned long long)f->size);
        /* Without a length the end of a body and a cut look alike. */
        if (resp->length == UINT64_MAX)
            try_again(f, r, resp, e);
        else
            place_failed(f, r, e);
    }
}

/* The address of this attempt, and what authorizes there. */
static int aim(struct registry_fetch *f, struct err *e)
{
    const struct registry_endpoint *at = tries_next(&f->tries, f->ref);
    struct host *h;
    free(f->url);
    free(f->auth);
    f->url = f->auth = NULL;
    if (!at) {
        f->url = xstrdup(next_foreign(f));
        return 0;
    }
    f->call = (struct call){.at = at, .method = "GET", .what = f->what, .actions = "pull"};
    int r = host_get(f->reg, at->host, at->insecure, &h, e);
    r = r < 0 ? r : call_authorize(f->reg, h, &f->call, f->stale, &f->auth, e);
    f->stale = false;
    if (r == 0)
        f->url = call_url(h, &f->call);
    return r;
}

static void attempt(void *data)
{
    struct registry_fetch *f = data;
    struct err e = ERR_INIT;
    f->timer = NULL;
    int r = aim(f, &e);
    if (r < 0) {
        place_failed(f, r, &e);
        return;
    }
    f->attempt_from = f->have;
    err_clear(&f->why);
    f->begun = false;
    f->pos = 0;
    f->req = (struct http_request){.method = "GET",
                                   .url = f->url,
                                   .authorization = f->auth,
                                   .range_from = f->whole ? 0 : f->have,
                                   .max_body = f->size,
                                   .write = on_data,
                                   .data = f};
    r = http_start(f->reg->http, &f->req, on_done, f, &f->transfer, &e);
    if (r < 0)
        place_failed(f, r, &e);
}

struct registry_fetch *registry_fetch_start(struct registry *reg, struct registry_ref *ref,
                                            const struct registry_blob *blob,
                                            const struct registry_fetch_ops *ops, void *ctx,
                                            struct err *e)
{
    if (digest_parse(blob->digest, NULL, e) < 0)
        return NULL;
    if (blob->offset > blob->size) {
        err_msg(e, ERANGE, "blob %.19s: more is there than its size", blob->digest);
        return NULL;
    }
    struct registry_fetch *f = xcalloc(1, sizeof(*f));
    *f = (struct registry_fetch){.reg = reg,
                                 .ref = ref,
                                 .digest = xstrdup(blob->digest),
                                 .urls = strv_dup(blob->urls),
                                 .size = blob->size,
                                 .have = blob->offset,
                                 .ops = ops,
                                 .ctx = ctx,
                                 .what = xasprintf("blobs/%s", blob->digest)};
    f->next = reg->first;
    reg->first = f;
    reg->fetches++;
    again(f, 0);
    return f;
}

void registry_fetch_cancel(struct registry_fetch *f)
{
    fetch_free(f);
}

void registry_fetch_more(struct registry_fetch *f)
{
    if (f->transfer)
        http_go_on(f->transfer);
}

int registry_step(struct registry *reg, struct pollfd *fds, unsigned n, int timeout_ms,
                  struct err *e)
{
    int r = http_step(reg->http, fds, n, timeout_ms, e);
    return r < 0 ? r : (int)reg->fetches;
}
