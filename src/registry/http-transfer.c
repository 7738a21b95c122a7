/* http-transfer - one request with its redirects: what libcurl is told, and what comes back. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>

#include "base/fs.h"
#include "base/strv.h"
#include "registry/challenge.h"
#include "registry/http-priv.h"

#define CONNECT_S 10L
#define STALL_S 30L
#define STALL_SEND_FACTOR 10L /* a registry that hashes what it got is silent meanwhile */
#define LOW_SPEED 1024L
#define BUFFER_SIZE (256L * 1024)
#define ERROR_BODY_MAX (64 * 1024) /* of answers that are no content */
#define BUNDLE_MAX (16 * 1024 * 1024)

int http_origin_parse(const char *url, struct http_origin *ret)
{
    CURLU *u = curl_url();
    char *scheme = NULL, *host = NULL, *port = NULL;
    struct http_origin o = {0};
    uint32_t n = 0;
    int r = -EINVAL;
    /* libcurl would take less. */
    if (u && str_after(url + strcspn(url, ":"), "://") &&
        curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
        (streq(scheme, "http") || streq(scheme, "https")) && strlen(host) < sizeof(o.host) &&
        parse_u32(port, &n) == 0) {
        o.https = streq(scheme, "https");
        o.port = n;
        for (size_t i = 0; host[i]; i++)
            o.host[i] = (char)tolower((unsigned char)host[i]);
        *ret = o;
        r = 0;
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(u);
    return r;
}

bool http_origin_equal(const struct http_origin *a, const struct http_origin *b)
{
    return a->https == b->https && a->port == b->port && streq(a->host, b->host);
}

/* Stops the transfer from inside a callback. */
static size_t stop(struct http_transfer *t, int r)
{
    if (t->r == 0)
        t->r = r;
    return 0;
}

static bool is_redirect(const struct http_transfer *t)
{
    unsigned s = t->resp.status;
    return (s == 301 || s == 302 || s == 303 || s == 307 || s == 308) &&
           http_header(&t->resp, "location");
}

/* Is this the body that was asked for? */
static bool is_content(const struct http_transfer *t)
{
    return t->resp.status == 200 || t->resp.status == 206;
}

static int check_length(struct http_transfer *t)
{
    const char *length = http_header(&t->resp, "content-length");
    uint64_t first = 0, last, size;
    if (length && parse_u64(length, &t->resp.length) < 0)
        return err_msg(&t->e, EPROTO, "the Content-Length cannot be read");
    if (!is_content(t) || streq(t->req->method, "HEAD"))
        return 0;
    if (t->resp.status == 206) {
        const char *range = http_header(&t->resp, "content-range");
        if (!range || content_range_parse(range, &first, &last, &size) < 0)
            return err_msg(&t->e, EPROTO, "status 206 without a Content-Range that can be read");
        if (first != t->req->range_from)
            return err_msg(&t->e, EPROTO,
                           "asked for the bytes from %llu on, got those from %llu on",
                           (unsigned long long)t->req->range_from, (unsigned long long)first);
        t->resp.first = first;
    }
    if (length && t->resp.length > t->req->max_body)
        return err_msg(&t->e, EFBIG, "the answer has %llu bytes, more than the %llu allowed",
                       (unsigned long long)t->resp.length, (unsigned long long)t->req->max_body);
    return 0;
}

static void keep_header(struct http_transfer *t, const char *line, size_t n)
{
    const char *colon = memchr(line, ':', n);
    if (!colon || colon == line || memchr(line, '\0', n))
        return;
    char *text = xstrndup(line, n);
    for (char *p = text; *p != ':'; p++)
        *p = (char)tolower((unsigned char)*p);
    for (size_t end = strlen(text); end && (text[end - 1] == ' ' || text[end - 1] == '\t'); end--)
        text[end - 1] = '\0';
    strv_take(&t->resp.headers, text);
}

static size_t on_header(char *line, size_t size, size_t count, void *data)
{
    struct http_transfer *t = data;
    size_t all = size * count, n = all;
    t->header_bytes += all;
    if (t->header_bytes > HTTP_HEADER_MAX)
        return stop(
            t, err_msg(&t->e, EFBIG, "the header is longer than %d KiB", HTTP_HEADER_MAX / 1024));
    while (n && (line[n - 1] == '\n' || line[n - 1] == '\r'))
        n--;
    if (n >= 5 && memcmp(line, "HTTP/", 5) == 0 && (t->header_end || !t->resp.headers)) {
        strv_free(t->resp.headers);
        t->resp.headers = NULL;
        t->header_end = false;
        return all;
    }
    if (n) {
        if (!t->header_end) /* what follows a chunked body is not looked at */
            keep_header(t, line, n);
        return all;
    }
    long status = 0;
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    t->resp.status = (unsigned)status;
    t->header_end = true;
    if (status >= 200 && check_length(t) < 0)
        return stop(t, -t->e.errnum);
    return all;
}

static size_t on_body(char *buf, size_t size, size_t count, void *data)
{
    struct http_transfer *t = data;
    size_t n = size * count;
    if (n == 0)
        return 0;
    if (is_redirect(t)) {
        t->dropped += n;
        t->enough = t->dropped > ERROR_BODY_MAX;
        return t->enough ? 0 : n;
    }
    t->resp.received += n;
    if (!is_content(t)) {
        size_t room = ERROR_BODY_MAX - t->resp.body.len;
        str_addn(&t->resp.body, buf, n < room ? n : room);
        t->enough = t->resp.body.len == ERROR_BODY_MAX;
        return t->enough ? 0 : n;
    }
    if (t->resp.received > t->req->max_body)
        return stop(t, err_msg(&t->e, EFBIG, "the answer goes on after the %llu bytes allowed",
                               (unsigned long long)t->req->max_body));
    if (!t->req->write) {
        str_addn(&t->resp.body, buf, n);
        return n;
    }
    int r = t->req->write(t->req->data, &t->resp, buf, n);
    if (r == -EAGAIN) { /* libcurl keeps these bytes, and reads no more */
        t->resp.received -= n;
        t->paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    return r < 0 ? stop(t, r) : n;
}

void http_go_on(struct http_transfer *t)
{
    if (!t->paused)
        return;
    t->paused = false;
    curl_easy_pause(t->easy, CURLPAUSE_CONT);
}

static size_t on_read(char *buf, size_t size, size_t count, void *data)
{
    struct http_transfer *t = data;
    ssize_t n = t->req->read(t->req->data, buf, size * count);
    if (n >= 0)
        return (size_t)n;
    stop(t, (int)n);
    return CURL_READFUNC_ABORT;
}

/* The stream cannot be sent twice by libcurl itself: whoever gave it decides. */
static int on_seek(void *data, curl_off_t offset, int origin)
{
    (void)data;
    (void)offset;
    (void)origin;
    return CURL_SEEKFUNC_FAIL;
}

char *http_ca_blob(struct http *h, char *const *files, size_t *ret_len, struct err *e)
{
    struct str all = STR_INIT;
    if (!h->bundle_read) {
        const char *env = getenv("SSL_CERT_FILE");
        const char *file = env ? env : curl_version_info(CURLVERSION_NOW)->cainfo;
        ssize_t n = file ? fs_read(AT_FDCWD, file, BUNDLE_MAX, &h->bundle, NULL) : -ENOENT;
        h->bundle_len = n > 0 ? (size_t)n : 0;
        h->bundle_read = true;
    }
    str_addn(&all, h->bundle ? h->bundle : "", h->bundle_len);
    for (; files && *files; files++) {
        scoped_free char *text = NULL;
        ssize_t n = fs_read(AT_FDCWD, *files, BUNDLE_MAX, &text, e);
        if (n < 0) {
            str_release(&all);
            return NULL;
        }
        str_addc(&all, '\n');
        str_addn(&all, text, (size_t)n);
    }
    *ret_len = all.len;
    return str_detach(&all);
}

static int set_tls(struct http_transfer *t)
{
    struct http *h = t->http;
    scoped_free char *name = xasprintf("%s:%u", t->now.host, t->now.port);
    const struct http_tls *tls = h->o.tls ? h->o.tls(h->o.data, name) : NULL;
    const char *env = getenv("SSL_CERT_FILE");
    if (env)
        curl_easy_setopt(t->easy, CURLOPT_CAINFO, env);
    if (!tls)
        return 0;
    if (tls->no_verify) {
        curl_easy_setopt(t->easy, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(t->easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (tls->ca_files && *tls->ca_files && !tls->no_verify) {
        size_t n = 0;
        scoped_free char *text = http_ca_blob(h, tls->ca_files, &n, &t->e);
        struct curl_blob blob = {.data = text, .len = n, .flags = CURL_BLOB_COPY};
        if (!text)
            return -t->e.errnum;
        curl_easy_setopt(t->easy, CURLOPT_CAINFO_BLOB, &blob);
    }
    if (tls->client_cert) {
        curl_easy_setopt(t->easy, CURLOPT_SSLCERT, tls->client_cert);
        curl_easy_setopt(t->easy, CURLOPT_SSLKEY, tls->client_key);
    }
    return 0;
}

static void set_limits(struct http_transfer *t)
{
    CURL *c = t->easy;
    bool sends = !streq(t->req->method, "GET") && !streq(t->req->method, "HEAD");
    long stall = t->http->o.stall_s ? (long)t->http->o.stall_s : STALL_S;
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, CONNECT_S);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, LOW_SPEED);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, sends ? stall * STALL_SEND_FACTOR : stall);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(c, CURLOPT_BUFFERSIZE, BUFFER_SIZE);
    curl_easy_setopt(c, CURLOPT_UPLOAD_BUFFERSIZE, BUFFER_SIZE);
    curl_easy_setopt(c, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "rootlet/" PACKAGE_VERSION);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, t->text);
    curl_easy_setopt(c, CURLOPT_PRIVATE, t);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
}

static void set_body(struct http_transfer *t)
{
    const struct http_request *q = t->req;
    CURL *c = t->easy;
    if (q->read) {
        curl_easy_setopt(c, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(c, CURLOPT_READFUNCTION, on_read);
        curl_easy_setopt(c, CURLOPT_READDATA, t);
        curl_easy_setopt(c, CURLOPT_SEEKFUNCTION, on_seek);
        if (q->read_size != UINT64_MAX)
            curl_easy_setopt(c, CURLOPT_INFILESIZE_LARGE, (curl_off_t)q->read_size);
        else
            t->headers = curl_slist_append(t->headers, "Transfer-Encoding: chunked");
    } else if (q->body || streq(q->method, "POST") || streq(q->method, "PUT")) {
        curl_easy_setopt(c, CURLOPT_POST, 1L);
        curl_easy_setopt(c, CURLOPT_POSTFIELDS, q->body ? q->body : "");
        curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)q->body_len);
    }
    if (streq(q->method, "HEAD"))
        curl_easy_setopt(c, CURLOPT_NOBODY, 1L);
    else
        curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, q->method);
}

static void set_headers(struct http_transfer *t)
{
    const struct http_request *q = t->req;
    bool typed = false;
    for (char *const *v = q->headers; v && *v; v++) {
        typed = typed || strncasecmp(*v, "content-type:", 13) == 0;
        t->headers = curl_slist_append(t->headers, *v);
    }
    if (!typed && (q->body || q->read))
        t->headers = curl_slist_append(t->headers, "Content-Type: application/octet-stream");
    t->headers = curl_slist_append(t->headers, "Expect:");
    if (q->authorization && http_origin_equal(&t->first, &t->now)) {
        scoped_free char *line = xasprintf("Authorization: %s", q->authorization);
        t->headers = curl_slist_append(t->headers, line);
        explicit_bzero(line, strlen(line));
    }
    if (q->range_from) {
        scoped_free char *line = xasprintf("Range: bytes=%llu-", (unsigned long long)q->range_from);
        t->headers = curl_slist_append(t->headers, line);
    }
    curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers);
}

int transfer_begin(struct http_transfer *t)
{
    if (http_origin_parse(t->url, &t->now) < 0)
        return err_msg(&t->e, EPROTO, "a redirect to something that is no address");
    if (!t->easy)
        t->easy = curl_easy_init();
    if (!t->easy)
        return err_msg(&t->e, ENOMEM, "libcurl has no more memory");
    curl_easy_reset(t->easy);
    curl_slist_free_all(t->headers);
    t->headers = NULL;
    http_response_release(&t->resp);
    t->resp.length = UINT64_MAX;
    t->resp.url = xstrdup(t->url);
    t->resp.redirect_left = !http_origin_equal(&t->first, &t->now);
    t->header_bytes = t->dropped = 0;
    t->header_end = t->enough = false;
    t->text[0] = '\0';
    curl_easy_setopt(t->easy, CURLOPT_URL, t->url);
    set_limits(t);
    set_body(t);
    set_headers(t);
    int r = t->now.https ? set_tls(t) : 0;
    if (r < 0)
        return r;
    if (curl_multi_add_handle(t->http->multi, t->easy) != CURLM_OK)
        return err_msg(&t->e, ENOMEM, "libcurl has no more memory");
    t->reading = true;
    return 0;
}

/* What libcurl calls an error, as an errno that callers can tell apart. */
static int code_errno(CURLcode code)
{
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return EHOSTUNREACH;
    case CURLE_COULDNT_CONNECT:
        return ECONNREFUSED;
    case CURLE_OPERATION_TIMEDOUT:
        return ETIMEDOUT;
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_SEND_FAIL_REWIND:
    case CURLE_GOT_NOTHING:
        return ECONNRESET;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_INVALIDCERTSTATUS:
        return EKEYREJECTED;
    case CURLE_OUT_OF_MEMORY:
        return ENOMEM;
    case CURLE_URL_MALFORMAT:
        return EINVAL;
    default:
        return EPROTO;
    }
}

static int finish(struct http_transfer *t, int r)
{
    t->r = r;
    t->finished = true;
    return r;
}

/* certs.d has a directory HOST for port 443, HOST:PORT for others. */
static char *certs_name(const struct http_origin *o)
{
    return o->port == 443 ? xstrdup(o->host) : xasprintf("%s:%u", o->host, o->port);
}

/* An authority that nobody has told us of can be told; an expired certificate or one of another
 * host cannot be mended here. */
static void hint_certificate(struct http_transfer *t, const char *text)
{
    scoped_free char *name = certs_name(&t->now);
    if (strstr(text, "issuer") || strstr(text, "self-signed") || strstr(text, "self signed"))
        err_hint(&t->e, 0,
                 "put the certificate of its authority into "
                 "~/.config/containers/certs.d/%s/ca.crt, or give its directory by --cert-dir; "
                 "--tls-verify=false trusts whoever answers",
                 name);
    else
        err_hint(&t->e, 0,
                 "the certificate has to be mended at %s; --tls-verify=false trusts whoever "
                 "answers",
                 name);
}

static void hint_network(struct http_transfer *t, CURLcode code)
{
    if (code == CURLE_SSL_CONNECT_ERROR)
        err_hint(&t->e, 0,
                 "does %s:%u speak plain http? --tls-verify=false, or insecure = true for it in "
                 "registries.conf, allows that",
                 t->now.host, t->now.port);
    else if (code == CURLE_COULDNT_RESOLVE_HOST)
        err_hint(&t->e, 0,
                 "is the name right, and is there a network? A proxy is taken from https_proxy, a "
                 "mirror from registries.conf");
}

static int fail(struct http_transfer *t, CURLcode code)
{
    int errnum = code_errno(code);
    const char *text = t->text[0] ? t->text : curl_easy_strerror(code);
    if (code == CURLE_OPERATION_TIMEDOUT && t->header_end)
        return finish(t, err_msg(&t->e, errnum, "the answer has stalled: %s", text));
    if (code == CURLE_SSL_CONNECT_ERROR && strstr(text, "wrong version number"))
        finish(t, err_msg(&t->e, errnum, "%s:%u does not speak TLS", t->now.host, t->now.port));
    else
        finish(t, err_msg(&t->e, errnum, "%s%s",
                          code == CURLE_OPERATION_TIMEDOUT ? "no answer: " : "", text));
    if (errnum == EKEYREJECTED)
        hint_certificate(t, text);
    hint_network(t, code);
    return t->r;
}

/* Where a redirect leads; the rules of the header. */
static int next_hop(struct http_transfer *t)
{
    struct http_origin to;
    const char *location = http_header(&t->resp, "location");
    if (t->hops == HTTP_REDIRECTS_MAX)
        return err_msg(&t->e, ELOOP, "more than %d redirects", HTTP_REDIRECTS_MAX);
    scoped_free char *url = location_resolve(t->url, location, &t->e);
    if (!url)
        return -t->e.errnum;
    if (http_origin_parse(url, &to) < 0)
        return err_msg(&t->e, EPROTO, "a redirect to something that is no address");
    if (t->now.https && !to.https)
        return err_msg(&t->e, EPERM, "a redirect from https to http://%s is refused", to.host);
    t->hops++;
    free(t->url);
    t->url = take_ptr(url);
    return transfer_begin(t);
}

static void mark_answered(struct http_transfer *t)
{
    scoped_free char *name = xasprintf("%s:%u", t->now.host, t->now.port);
    if (!strv_has(t->http->answered, name))
        strv_add(&t->http->answered, name);
}

void transfer_end(struct http_transfer *t, CURLcode code)
{
    const struct http_request *q = t->req;
    curl_multi_remove_handle(t->http->multi, t->easy);
    t->reading = false;
    if (t->resp.status)
        mark_answered(t);
    if (t->r < 0) {
        if (!t->e.msg[0])
            err_set(&t->e, -t->r, "transfer");
        finish(t, t->r);
    } else if (code != CURLE_OK && !t->enough) {
        fail(t, code);
    } else if (is_redirect(t) && !q->read &&
               (streq(q->method, "GET") || streq(q->method, "HEAD"))) {
        int r = next_hop(t);
        if (r < 0)
            finish(t, r);
    } else {
        finish(t, 0);
    }
}

void transfer_free(struct http_transfer *t)
{
    for (struct http_transfer **p = &t->http->transfers; *p; p = &(*p)->next)
        if (*p == t) {
            *p = t->next;
            break;
        }
    if (t->reading)
        curl_multi_remove_handle(t->http->multi, t->easy);
    curl_easy_cleanup(t->easy);
    curl_slist_free_all(t->headers);
    http_response_release(&t->resp);
    free(t->url);
    free(t);
}
