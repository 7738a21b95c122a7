/* http-priv - what http.c (the pool) and http-transfer.c (one transfer) share. */
#pragma once

#include <curl/curl.h>

#include "registry/http.h"

struct http_transfer {
    struct http *http;
    const struct http_request *req;
    CURL *easy;
    bool paused; /* its caller has enough for now */
    struct curl_slist *headers;
    char *url; /* of this hop */
    struct http_origin first, now;
    unsigned hops;
    size_t header_bytes, dropped;
    bool header_end, enough, finished, reading;
    struct http_response resp;
    int r; /* why we stopped it, or its result */
    struct err e;
    http_done_fn *done; /* NULL: somebody looks at finished */
    void *data;
    char text[CURL_ERROR_SIZE];
    struct http_transfer *next;
};

struct http_timer {
    struct http *http;
    int64_t at_ms;
    void (*fn)(void *data);
    void *data;
    struct http_timer *next;
};

struct http {
    CURLM *multi;
    struct http_options o;
    struct http_transfer *transfers;
    struct http_timer *timers;
    char **answered; /* "HOST:PORT" that gave an answer once */
    char *bundle;    /* the system's certificates, read when others come to them */
    size_t bundle_len;
    bool bundle_read;
};

/* The next (or first) hop to t->url. 0 or -errno. */
int transfer_begin(struct http_transfer *t);
/* libcurl is through with it: either the next hop begins, or finished is set with r and e. */
void transfer_end(struct http_transfer *t, CURLcode code);
void transfer_free(struct http_transfer *t); /* takes it out of the pool */
/* The certificates of the system followed by those of files; owned. */
char *http_ca_blob(struct http *h, char *const *files, size_t *ret_len, struct err *e);
