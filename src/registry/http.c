/* http - the pool: what runs, what has ended, timers, the loop. */
#include "registry/http.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/log.h"
#include "base/strv.h"
#include "base/timefmt.h"
#include "registry/challenge.h"
#include "registry/http-priv.h"

#define DELAY_MAX_MS 16000
#define UNKNOWN_RETRIES 2 /* of a server that has never answered */

int http_new(const struct http_options *o, struct http **ret, struct err *e)
{
    static bool ready;
    if (!ready && curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
        return err_msg(e, ENOMEM, "libcurl cannot be started");
    ready = true;
    struct http *h = xcalloc(1, sizeof(*h));
    h->o = *o;
    h->multi = curl_multi_init();
    if (!h->multi) {
        free(h);
        return err_msg(e, ENOMEM, "libcurl cannot be started");
    }
    /* A transfer shares no connection with another one: parallel layers are faster so, and one that
     * is stuck holds up no other. */
    curl_multi_setopt(h->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    *ret = h;
    return 0;
}

void http_free(struct http *h)
{
    if (!h)
        return;
    while (h->transfers)
        transfer_free(h->transfers);
    while (h->timers) {
        struct http_timer *t = h->timers;
        h->timers = t->next;
        free(t);
    }
    curl_multi_cleanup(h->multi);
    strv_free(h->answered);
    free(h->bundle);
    free(h);
}

void http_response_release(struct http_response *r)
{
    free(r->url);
    strv_free(r->headers);
    str_release(&r->body);
    *r = (struct http_response){.body = STR_INIT};
}

const char *http_header(const struct http_response *r, const char *name)
{
    size_t n = strlen(name);
    for (char **v = r->headers; v && *v; v++)
        if (strncmp(*v, name, n) == 0 && (*v)[n] == ':')
            return *v + n + 1 + strspn(*v + n + 1, " \t");
    return NULL;
}

bool http_is_page(const struct http_response *r)
{
    const char *type = http_header(r, "content-type");
    return type && strncasecmp(type, "text/html", 9) == 0;
}

unsigned http_retries(const struct http *h)
{
    return h->o.retries;
}

void http_notice(const struct http *h, const char *fmt, ...)
{
    scoped_str struct str text = STR_INIT;
    va_list ap;
    va_start(ap, fmt);
    str_addv(&text, fmt, ap);
    va_end(ap);
    char line[2000];
    err_escape(line, sizeof(line), text.s);
    if (h->o.notice)
        h->o.notice(h->o.data, line);
    else
        log_warn("%s", line);
}

/* Starting and ending */

/* Names and media types end up in headers: none may hold the beginning of another one. */
static bool are_lines(const struct http_request *req)
{
    for (char *const *v = req->headers; v && *v; v++)
        if ((*v)[strcspn(*v, "\r\n")])
            return false;
    return !req->authorization || !req->authorization[strcspn(req->authorization, "\r\n")];
}

int http_start(struct http *h, const struct http_request *req, http_done_fn *done, void *data,
               struct http_transfer **ret, struct err *e)
{
    struct http_transfer *t = xcalloc(1, sizeof(*t));
    t->http = h;
    t->req = req;
    t->done = done;
    t->data = data;
    t->resp.body = (struct str)STR_INIT;
    t->url = xstrdup(req->url);
    t->next = h->transfers;
    h->transfers = t;
    int r = http_origin_parse(req->url, &t->first);
    if (r < 0)
        err_msg(&t->e, EINVAL, "\"%s\" is no http or https address", req->url);
    else if (!are_lines(req))
        r = err_msg(&t->e, EINVAL, "a line end in a header of the request");
    r = r < 0 ? r : transfer_begin(t);
    if (r < 0) {
        if (e)
            *e = t->e;
        transfer_free(t);
        return r;
    }
    *ret = t;
    return 0;
}

void http_cancel(struct http_transfer *t)
{
    transfer_free(t);
}

/* Everything that libcurl has to do now; what is through goes to its next hop or is finished. */
static int pump(struct http *h, struct err *e)
{
    int running, left;
    CURLMcode mc = curl_multi_perform(h->multi, &running);
    if (mc != CURLM_OK)
        return err_msg(e, EIO, "libcurl: %s", curl_multi_strerror(mc));
    CURLMsg *m;
    while ((m = curl_multi_info_read(h->multi, &left))) {
        struct http_transfer *t = NULL;
        CURLcode code = m->data.result;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&t);
        transfer_end(t, code);
    }
    return 0;
}

static struct http_transfer *find_finished(const struct http *h)
{
    for (struct http_transfer *t = h->transfers; t; t = t->next)
        if (t->finished && t->done)
            return t;
    return NULL;
}

static bool is_paused(const struct http *h)
{
    for (struct http_transfer *t = h->transfers; t; t = t->next)
        if (t->paused)
            return true;
    return false;
}

/* The callbacks may start and cancel what they like, so each time is a new look at the lists. */
static void dispatch(struct http *h)
{
    struct http_transfer *t;
    while ((t = find_finished(h))) {
        struct http_response resp = t->resp;
        struct err e = t->e;
        int r = t->r;
        http_done_fn *done = t->done;
        void *data = t->data;
        t->resp = (struct http_response){.body = STR_INIT};
        transfer_free(t);
        done(data, r, &resp, &e);
        http_response_release(&resp);
    }
    int64_t now = time_monotonic_ns() / 1000000;
    for (struct http_timer **p = &h->timers; *p;) {
        struct http_timer *timer = *p;
        if (timer->at_ms > now) {
            p = &timer->next;
            continue;
        }
        *p = timer->next;
        timer->fn(timer->data);
        free(timer);
        p = &h->timers;
    }
}

static int count_left(const struct http *h)
{
    int n = 0;
    for (struct http_transfer *t = h->transfers; t; t = t->next)
        n++;
    for (struct http_timer *t = h->timers; t; t = t->next)
        n++;
    return n;
}

static int until_timer(const struct http *h, int timeout_ms)
{
    int64_t now = time_monotonic_ns() / 1000000;
    for (struct http_timer *t = h->timers; t; t = t->next) {
        int64_t left = t->at_ms > now ? t->at_ms - now : 0;
        if (timeout_ms < 0 || left < timeout_ms)
            timeout_ms = (int)left;
    }
    return timeout_ms;
}

static int wait_more(struct http *h, struct pollfd *fds, unsigned n, int timeout_ms, struct err *e)
{
    scoped_free struct curl_waitfd *extra = n ? xcalloc(n, sizeof(*extra)) : NULL;
    for (unsigned i = 0; i < n; i++) {
        extra[i].fd = fds[i].fd;
        extra[i].events = (short)((fds[i].events & POLLIN ? CURL_WAIT_POLLIN : 0) |
                                  (fds[i].events & POLLOUT ? CURL_WAIT_POLLOUT : 0));
    }
    /* libcurl wakes up by itself for its own timeouts. */
    CURLMcode mc = curl_multi_poll(h->multi, extra, n, timeout_ms < 0 ? 1000000 : timeout_ms, NULL);
    if (mc != CURLM_OK)
        return err_msg(e, EIO, "libcurl: %s", curl_multi_strerror(mc));
    /* What libcurl tells of them differs between versions (hang-ups): looked at again. */
    if (n && poll(fds, n, 0) < 0 && errno != EINTR)
        return err_set(e, errno, "poll");
    return 0;
}

int http_step(struct http *h, struct pollfd *fds, unsigned n, int timeout_ms, struct err *e)
{
    int r = pump(h, e);
    if (r < 0)
        return r;
    if (find_finished(h) || is_paused(h)) /* nothing may come before the caller has looked */
        timeout_ms = 0;
    timeout_ms = until_timer(h, timeout_ms);
    if (count_left(h) || n) {
        r = wait_more(h, fds, n, timeout_ms, e);
        r = r < 0 ? r : pump(h, e);
        if (r < 0)
            return r;
    }
    dispatch(h);
    return count_left(h);
}

int http_once(struct http *h, const struct http_request *req, struct http_response *ret,
              struct err *e)
{
    struct http_transfer *t = NULL;
    int r = http_start(h, req, NULL, NULL, &t, e);
    *ret = (struct http_response){.body = STR_INIT};
    if (r < 0)
        return r;
    while (r == 0 && !t->finished) {
        r = pump(h, e);
        if (r == 0 && !t->finished)
            r = wait_more(h, NULL, 0, -1, e);
    }
    if (r == 0) {
        r = t->r;
        *ret = t->resp;
        t->resp = (struct http_response){.body = STR_INIT};
        if (r < 0 && e)
            *e = t->e;
    }
    transfer_free(t);
    return r;
}

/* Trying again */

bool http_transient(int r, const struct http_response *resp)
{
    if (r < 0)
        return r == -ECONNREFUSED || r == -EHOSTUNREACH || r == -ENETUNREACH || r == -ETIMEDOUT ||
               r == -ECONNRESET;
    return resp->status == 408 || resp->status == 429 ||
           (resp->status >= 500 && resp->status != 501 && resp->status != 505);
}

uint64_t http_backoff_ms(const struct http *h, unsigned attempt, const struct http_response *resp)
{
    uint64_t ms = h->o.delay_ms ? h->o.delay_ms : 1000, asked;
    uint32_t random = 0;
    const char *after = resp ? http_header(resp, "retry-after") : NULL;
    if (after && retry_after_parse(after, (int64_t)time(NULL), &asked) == 0)
        return asked;
    for (unsigned i = 1; i < attempt && ms < DELAY_MAX_MS; i++)
        ms *= 2;
    if (ms > DELAY_MAX_MS && ms > h->o.delay_ms)
        ms = DELAY_MAX_MS;
    if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0)
        random = 0;
    return ms - ms / 5 + random % (ms / 5 * 2 + 1);
}

static void sleep_ms(struct http *h, uint64_t ms)
{
    int64_t until = time_monotonic_ns() / 1000000 + (int64_t)ms, left;
    while ((left = until - time_monotonic_ns() / 1000000) > 0)
        if (wait_more(h, NULL, 0, (int)left, NULL) < 0 || pump(h, NULL) < 0)
            return;
}

/* Nobody waits for a start of the network who mistyped the name of an image. */
static bool is_nobody(int r)
{
    return r == -ECONNREFUSED || r == -EHOSTUNREACH || r == -ENETUNREACH;
}

static unsigned retries_for(const struct http *h, const char *url, int r)
{
    struct http_origin o;
    scoped_free char *name = NULL;
    if (http_origin_parse(url, &o) == 0)
        name = xasprintf("%s:%u", o.host, o.port);
    if (name && strv_has(h->answered, name))
        return h->o.retries;
    if (h->o.impatient && is_nobody(r))
        return 0;
    return h->o.insist || h->o.retries < UNKNOWN_RETRIES ? h->o.retries : UNKNOWN_RETRIES;
}

int http_do(struct http *h, const struct http_request *req, struct http_response *ret,
            struct err *e)
{
    for (unsigned attempt = 1;; attempt++) {
        struct err own = ERR_INIT;
        int r = http_once(h, req, ret, &own);
        if (!http_transient(r, ret) || attempt > retries_for(h, req->url, r)) {
            if (r < 0 && e)
                *e = own;
            return r;
        }
        uint64_t ms = http_backoff_ms(h, attempt, r < 0 ? NULL : ret);
        struct http_origin o = {.host = ""};
        http_origin_parse(ret->url ? ret->url : req->url, &o);
        if (r < 0)
            http_notice(h, "%s: %s; trying again in %.1f s", o.host, own.msg, (double)ms / 1000);
        else
            http_notice(h, "%s answers status %u; trying again in %.1f s", o.host, ret->status,
                        (double)ms / 1000);
        http_response_release(ret);
        sleep_ms(h, ms);
    }
}

/* Timers */

struct http_timer *http_timer(struct http *h, uint64_t ms, void (*fn)(void *data), void *data)
{
    struct http_timer *t = xcalloc(1, sizeof(*t));
    *t = (struct http_timer){.http = h,
                             .at_ms = time_monotonic_ns() / 1000000 + (int64_t)ms,
                             .fn = fn,
                             .data = data,
                             .next = h->timers};
    h->timers = t;
    return t;
}

void http_timer_cancel(struct http_timer *t)
{
    for (struct http_timer **p = &t->http->timers; *p; p = &(*p)->next)
        if (*p == t) {
            *p = t->next;
            free(t);
            return;
        }
}
