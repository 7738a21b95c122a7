/* upload - a stream into a registry: POST opens it, PATCH sends, PUT closes it with the digest. A
 * cut is asked about (GET of the upload) and continued where the registry and the source can. */
#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "registry/client-priv.h"

#define PROGRESS_MIN (64 * 1024)

struct upload {
    struct registry *reg;
    const struct registry_endpoint *at;
    const struct registry_source *source;
    struct digest *digest; /* when the source's is not known */
    char text[DIGEST_TEXT_MAX];
    char *url;       /* where it goes on */
    uint64_t pos;    /* what is read next */
    uint64_t hashed; /* what was read at least once */
    bool ended;
    int source_error;
};

static void upload_release(struct upload *u)
{
    digest_free(u->digest);
    free(u->url);
}

static int take_location(struct upload *u, const struct http_response *resp, struct err *e)
{
    const char *location = http_header(resp, "location");
    char *url = location ? location_resolve(resp->url, location, e) : NULL;
    struct http_origin from, to;
    if (!location)
        return err_msg(e, EPROTO, "the registry does not say where the upload goes on");
    if (!url)
        return -EPROTO;
    /* As with redirects: what was secret stays so. */
    if (http_origin_parse(resp->url, &from) == 0 && http_origin_parse(url, &to) == 0 &&
        from.https && !to.https) {
        free(url);
        return err_msg(e, EPERM, "the registry sends the upload from https to http");
    }
    free(u->url);
    u->url = url;
    return 0;
}

static int open_upload(struct upload *u, struct err *e)
{
    struct http_response resp SCOPED(http_response_release) = {.body = STR_INIT};
    struct call c = {
        .at = u->at, .method = "POST", .what = "blobs/uploads/", .actions = "pull,push"};
    int r = call_do(u->reg, &c, &resp, e);
    r = r < 0 ? r : call_check(u->reg, &c, &resp, 202, e);
    return r < 0 ? r : take_location(u, &resp, e);
}

/* To offset of the source; the stream's digest goes on behind what it has seen. */
static int seek_source(struct upload *u, uint64_t offset)
{
    if (u->pos == offset)
        return 0;
    int r = u->source->seek ? u->source->seek(u->source->ctx, offset) : -ESPIPE;
    if (r < 0)
        return r;
    u->pos = offset;
    u->ended = false;
    return 0;
}

static ssize_t read_source(void *data, void *buf, size_t n)
{
    struct upload *u = data;
    ssize_t got = u->source->read(u->source->ctx, buf, n);
    if (got < 0) {
        u->source_error = (int)got;
        return got;
    }
    u->ended = got == 0;
    uint64_t end = u->pos + (uint64_t)got;
    if (end > u->hashed) {
        size_t fresh = (size_t)(end - u->hashed);
        if (u->digest && digest_add(u->digest, (char *)buf + ((size_t)got - fresh), fresh) < 0)
            return -EIO;
        u->hashed = end;
    }
    u->pos = end;
    return got;
}

static int send_rest(struct upload *u, struct http_response *resp, struct err *e)
{
    uint64_t size = u->source->size, from = u->pos;
    scoped_free char *range = NULL;
    char *headers[] = {NULL, NULL};
    struct call c = {.at = u->at,
                     .method = "PATCH",
                     .url = u->url,
                     .actions = "pull,push",
                     .headers = headers,
                     .read = read_source,
                     .read_size = size == UINT64_MAX ? size : size - from,
                     .data = u};
    if (from && size != UINT64_MAX)
        headers[0] = range = xasprintf("Content-Range: %llu-%llu", (unsigned long long)from,
                                       (unsigned long long)(size - 1));
    int r = call_do(u->reg, &c, resp, e);
    if (u->source_error < 0)
        return err_set(e, -u->source_error, "read what is to be uploaded");
    if (r < 0)
        return r;
    if (resp->status != 202 && resp->status != 204 && resp->status != 201) {
        r = call_check(u->reg, &c, resp, 202, e);
        /* The token may have ended while we were sending. */
        return resp->status == 401 ? -ECONNRESET : r;
    }
    return take_location(u, resp, e);
}

/* After a cut: how much is there? 0 with *ret, or -errno: begin anew. */
static int ask_offset(struct upload *u, uint64_t *ret)
{
    struct http_response resp SCOPED(http_response_release) = {.body = STR_INIT};
    struct call c = {.at = u->at, .method = "GET", .url = u->url, .actions = "pull,push"};
    int r = call_do(u->reg, &c, &resp, NULL);
    if (r < 0)
        return r;
    const char *range = http_header(&resp, "range");
    if (resp.status != 204 || !range || upload_range_parse(range, ret) < 0 || *ret > u->hashed)
        return -ESTALE;
    if (http_header(&resp, "location"))
        return take_location(u, &resp, NULL);
    return 0;
}

/* Continues or begins anew. */
static int recover(struct upload *u, struct err *e)
{
    uint64_t offset = 0;
    int r = u->url ? ask_offset(u, &offset) : -ESTALE;
    if (r == 0 && offset)
        r = seek_source(u, offset);
    else if (r == 0)
        r = -ESTALE;
    if (r == 0)
        return 0;
    if (seek_source(u, 0) < 0)
        return err_msg(e, ECONNRESET, "the upload was cut, and its stream cannot be read again");
    return open_upload(u, e);
}

struct waiting {
    bool over;
};

static void wait_over(void *data)
{
    ((struct waiting *)data)->over = true;
}

static void wait_ms(struct registry *reg, uint64_t ms)
{
    struct waiting w = {0};
    http_timer(reg->http, ms, wait_over, &w);
    while (!w.over && http_step(reg->http, NULL, 0, -1, NULL) >= 0)
        ;
}

static int stream(struct upload *u, struct err *e)
{
    struct http *h = u->reg->http;
    int r = open_upload(u, e);
    for (unsigned failures = 0; r == 0;) {
        struct http_response resp SCOPED(http_response_release) = {.body = STR_INIT};
        struct err own = ERR_INIT;
        uint64_t from = u->pos;
        r = send_rest(u, &resp, &own);
        if (r == 0)
            break;
        failures = u->pos - from >= PROGRESS_MIN ? 1 : failures + 1;
        if (u->source_error || !(http_transient(r < 0 ? r : 0, &resp) || r == -ECONNRESET) ||
            failures > http_retries(h)) {
            if (e)
                *e = own;
            return r;
        }
        uint64_t ms = http_backoff_ms(h, failures, &resp);
        http_notice(h, "%s: the upload was cut: %s; trying again in %.1f s", u->at->host, own.msg,
                    (double)ms / 1000);
        wait_ms(u->reg, ms);
        r = recover(u, e);
    }
    return r;
}

static int close_upload(struct upload *u, const char *digest, struct err *e)
{
    struct http_response resp SCOPED(http_response_release) = {.body = STR_INIT};
    scoped_free char *url =
        xasprintf("%s%cdigest=%s", u->url, strchr(u->url, '?') ? '&' : '?', digest);
    struct call c = {.at = u->at, .method = "PUT", .url = url, .actions = "pull,push"};
    int r = call_do(u->reg, &c, &resp, e);
    return r < 0 ? r : call_check(u->reg, &c, &resp, 201, e);
}

int registry_upload(struct registry *reg, struct registry_ref *ref,
                    const struct registry_source *source, char ret_digest[DIGEST_TEXT_MAX],
                    uint64_t *ret_size, struct err *e)
{
    struct upload u SCOPED(upload_release) = {
        .reg = reg, .at = &ref->place.v[ref->place.n - 1], .source = source};
    int r = source->digest ? 0 : digest_new(NULL, &u.digest, e);
    r = r < 0 ? r : stream(&u, e);
    if (r == 0 && source->size != UINT64_MAX && u.hashed != source->size)
        r = err_msg(e, EBADMSG, "the stream has %llu bytes, and not %llu",
                    (unsigned long long)u.hashed, (unsigned long long)source->size);
    if (r == 0 && !source->digest)
        r = digest_end(u.digest, u.text);
    const char *digest = source->digest ? source->digest : u.text;
    r = r < 0 ? r : close_upload(&u, digest, e);
    if (r < 0)
        return err_add(e, r, "%s: upload of %.19s", ref->image.name,
                       source->digest ? digest : "a blob");
    if (ret_digest)
        snprintf(ret_digest, DIGEST_TEXT_MAX, "%s", digest);
    if (ret_size)
        *ret_size = u.hashed;
    return 0;
}
