/* client-priv - what the files of the client share: hosts, one authenticated call, its errors. */
#pragma once

#include "registry/client.h"
#include "registry/http.h"
#include "registry/token.h"

#define API_ANSWER_MAX (4 * 1024 * 1024)

/* A registry as we know it, for the life of the client. */
struct host {
    char *name; /* "docker.io" */
    char *base; /* "https://registry-1.docker.io" */
    bool insecure, connected, login_refused;
    struct http_tls tls;
    struct registry_certs certs;
    struct challenges challenges; /* of its last 401: answered before it asks again */
    struct host *next;
};

struct registry {
    struct registry_options o;
    char *creds, *authfile, *cert_dir; /* ours */
    struct registry_conf *conf;
    struct http *http;
    struct tokens *tokens;
    struct host *hosts;
    struct registry_fetch *first; /* fetches that have not ended, and how many */
    unsigned fetches;
};

/* The host of an endpoint, connected: what scheme it speaks is known. */
int host_get(struct registry *reg, const char *name, bool insecure, struct host **ret,
             struct err *e);

/* One request to a repository (path NULL: to the host). */
struct call {
    const struct registry_endpoint *at;
    const char *method;
    const char *what;    /* below /v2/PATH/ (or /v2/): "manifests/latest", "" */
    const char *url;     /* instead of what: where an upload goes on; on any host */
    const char *actions; /* "pull", "pull,push"; NULL: no scope */
    const char *scope;   /* more scopes, by spaces; or NULL */
    char *const *headers;
    const void *body;
    size_t body_len;
    ssize_t (*read)(void *data, void *buf, size_t n);
    uint64_t read_size;
    void *data;
    uint64_t max_body;
    bool once; /* no retries: the caller does that */
};
/* Asks, answering a 401. 0 whatever the status is besides, or -errno. resp is to be released. */
int call_do(struct registry *reg, const struct call *c, struct http_response *resp, struct err *e);
/* The value of Authorization for the next request, NULL if none is known to be needed; fresh: the
 * last one was refused. */
int call_authorize(struct registry *reg, struct host *h, const struct call *c, bool fresh,
                   char **ret, struct err *e);
/* Takes the challenges of a 401. */
int call_challenged(struct host *h, const struct http_response *resp, struct err *e);
char *call_url(const struct host *h, const struct call *c);

/* What an answer that is not wanted means: always an error, -ENOENT for 404, -EACCES for 401 and
 * 403, -EBUSY for 429. */
int call_refused(const struct host *h, const struct http_response *resp, struct err *e);
int call_check(struct registry *reg, const struct call *c, const struct http_response *resp,
               unsigned want, struct err *e);

/* The endpoints of a reference in the order they are asked; the errors of those that failed. */
struct tries {
    size_t done;
    struct str errors;
    int r;
    struct err last;
};
/* The next endpoint to ask, NULL after the last; ref->at is then what answered last. */
const struct registry_endpoint *tries_next(struct tries *t, const struct registry_ref *ref);
/* It failed: should the next one be asked? */
bool tries_failed(struct tries *t, struct registry_ref *ref, int r, const struct err *e);
void tries_good(struct tries *t, struct registry_ref *ref);
/* All have failed: their errors as one. Releases t. */
int tries_error(struct tries *t, const struct registry_ref *ref, struct err *e);

/* Answers of lists, by themselves. */
int list_parse(const char *text, size_t len, const char *member, size_t limit, char ***add,
               struct err *e);
int search_parse(const char *text, size_t len, const char *host, size_t limit,
                 struct registry_results *ret, struct err *e);
