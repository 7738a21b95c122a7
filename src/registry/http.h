/* http - HTTP by libcurl, in one thread: one pool of connections, any number of transfers.
 *
 * Redirects are followed here and not by libcurl: at most 5, never from https to http, and what
 * authorizes goes to the scheme, host and port it was meant for and nowhere else. Only http and
 * https exist. Whatever a server sends has a limit. security.md 1.5, RFC 9110.
 *
 * libcurl is initialized by the first http_new of the process. */
#pragma once

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"

#define HTTP_HEADER_MAX (64 * 1024) /* all header lines of one answer */
#define HTTP_REDIRECTS_MAX 5

/* How one server is verified; all borrowed. */
struct http_tls {
    char *const *ca_files; /* trusted besides the system's own; may be NULL */
    const char *client_cert, *client_key;
    bool no_verify;
};

struct http_options {
    unsigned retries;  /* of http_do, and of what builds on it */
    uint64_t delay_ms; /* before the first retry; doubled each time; 0: 1 s */
    /* One line for the user: why we wait, and how long. NULL: to stderr as a warning. */
    void (*notice)(void *data, const char *text);
    /* The settings for "HOST:PORT" of an https address; NULL: the system's. The result is borrowed
     * until http_free. */
    const struct http_tls *(*tls)(void *data, const char *host_port);
    void *data;
    bool insist;      /* the user gave this number: it counts for unknown servers as well */
    bool impatient;   /* nobody there (no such name, refused, no route) is final at once */
    unsigned stall_s; /* less than 1 KiB/s for so long is an error; 0: 30 */
};

struct http;
int http_new(const struct http_options *o, struct http **ret, struct err *e);
void http_free(struct http *h); /* NULL is fine; running transfers end without a word */

struct http_response;
struct http_request {
    const char *method; /* "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE" */
    const char *url;
    char *const *headers;      /* "Name: value", to every hop; may be NULL */
    const char *authorization; /* the value of that header, for the origin of url only; or NULL */

    /* What is sent: memory, or what read gives (0 at its end, negative errno: stop). A redirect of
     * such a request is not followed: the answer is 3xx with location. */
    const void *body;
    size_t body_len;
    ssize_t (*read)(void *data, void *buf, size_t n);
    uint64_t read_size; /* UINT64_MAX: not known (chunked) */

    uint64_t range_from; /* > 0: "Range: bytes=N-"; the answer's range is checked */
    uint64_t max_body;   /* more is an error (-EFBIG); 0: no body is wanted, and none is kept */
    /* Takes the body of an answer 200 or 206 as it comes, without a copy; negative errno stops the
     * transfer. NULL: it is gathered in the response, as all other answers' are (their first
     * 64 KiB). Never called with n == 0. */
    int (*write)(void *data, const struct http_response *resp, const void *buf, size_t n);
    void *data; /* for read and write */
};

struct http_response {
    unsigned status;    /* 200... */
    char *url;          /* where the answer came from, after redirects */
    char **headers;     /* "name: value", the name in lower case */
    uint64_t length;    /* of Content-Length, UINT64_MAX without one */
    uint64_t first;     /* of the range that a 206 brings */
    uint64_t received;  /* bytes of the body */
    struct str body;    /* zero terminated */
    bool redirect_left; /* to another origin than the request's: authorization was dropped */
};
void http_response_release(struct http_response *r);
/* The value of the first header of that name (lower case), or NULL; borrowed. */
const char *http_header(const struct http_response *r, const char *name);

/* One attempt, with redirects, to its end: 0 whatever the status is, or -errno (no answer): network
 * errors are -ENETUNREACH, -ECONNREFUSED, -ETIMEDOUT, -ECONNRESET..., a limit -EFBIG, a certificate
 * -EKEYREJECTED, a rule of ours -EPROTO or -EPERM. ret is valid, and to be released, in any case.
 * Other transfers of the pool go on meanwhile. */
int http_once(struct http *h, const struct http_request *req, struct http_response *ret,
              struct err *e);
/* The same, tried again after network errors and 408, 429 and 5xx: 1, 2, 4... seconds (+- 20 %), or
 * as long as Retry-After wants it (at most 60 s). Not for requests with read or write. */
int http_do(struct http *h, const struct http_request *req, struct http_response *ret,
            struct err *e);

/* A transfer beside others. done is called from http_step, never from http_start or from inside
 * another transfer; r and resp as http_once gives them, e holds the error (both borrowed). The
 * transfer is gone after it. req and what it points to stay the caller's until then. */
struct http_transfer;
typedef void http_done_fn(void *data, int r, struct http_response *resp, struct err *e);
int http_start(struct http *h, const struct http_request *req, http_done_fn *done, void *data,
               struct http_transfer **ret, struct err *e);
void http_cancel(struct http_transfer *t); /* done is not called any more */
/* After write gave -EAGAIN, which means "not now": it gets the same bytes again, from in here. */
void http_go_on(struct http_transfer *t);
/* Moves what can be moved, waits at most timeout_ms (-1: until something happens) for more or for
 * one of fds (poll(2); may be NULL), and calls done of what has ended. Returns the number of
 * transfers and timers that are left, or -errno. */
int http_step(struct http *h, struct pollfd *fds, unsigned n, int timeout_ms, struct err *e);
/* Calls fn once from http_step after ms; for back-off. */
struct http_timer;
struct http_timer *http_timer(struct http *h, uint64_t ms, void (*fn)(void *data), void *data);
void http_timer_cancel(struct http_timer *t);

/* Is another attempt worth it? r and resp as above. */
bool http_transient(int r, const struct http_response *resp);
/* How long to wait before attempt number "attempt" (from 1), in ms: Retry-After of resp (may be
 * NULL), else the doubled delay with jitter. */
uint64_t http_backoff_ms(const struct http *h, unsigned attempt, const struct http_response *resp);
unsigned http_retries(const struct http *h);
void http_notice(const struct http *h, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* An answer that is a web page where none was asked for? */
bool http_is_page(const struct http_response *r);

/* Parts of an address, for comparing origins. */
struct http_origin {
    bool https;
    char host[256]; /* lower case, an IPv6 address in brackets */
    unsigned port;
};
int http_origin_parse(const char *url, struct http_origin *ret);
bool http_origin_equal(const struct http_origin *a, const struct http_origin *b);
