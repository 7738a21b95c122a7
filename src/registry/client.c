/* client - opening, names, and the hosts they lead to. */
#include "registry/client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include "base/str.h"
#include "base/strv.h"
#include "registry/client-priv.h"

#define RETRIES 5

static const struct http_tls *find_tls(void *data, const char *host_port);

static void notice(void *data, const char *text)
{
    struct registry *reg = data;
    reg->o.notice(reg->o.data, text);
}

/* A core file would hold passwords and tokens. */
static void leave_no_core(void)
{
    struct rlimit l;
    if (getrlimit(RLIMIT_CORE, &l) < 0)
        return;
    l.rlim_cur = 0;
    (void)!setrlimit(RLIMIT_CORE, &l);
}

int registry_open(const struct registry_options *o, struct registry **ret, struct err *e)
{
    struct registry *reg = xcalloc(1, sizeof(*reg));
    reg->o = *o;
    reg->o.creds = reg->creds = xstrdup(o->creds);
    reg->o.authfile = reg->authfile = xstrdup(o->authfile);
    reg->o.cert_dir = reg->cert_dir = xstrdup(o->cert_dir);
    reg->tokens = tokens_new();
    leave_no_core();
    struct http_options ho = {.retries = o->retry < 0 ? RETRIES : (unsigned)o->retry,
                              .insist = o->retry >= 0,
                              .delay_ms = o->retry_delay_ms,
                              .notice = o->notice ? notice : NULL,
                              .tls = find_tls,
                              .data = reg,
                              .impatient = o->impatient,
                              .stall_s = o->stall_s};
    int r = registry_conf_load(&reg->conf, e);
    r = r < 0 ? r : http_new(&ho, &reg->http, e);
    if (r < 0) {
        registry_close(reg);
        return r;
    }
    *ret = reg;
    return 0;
}

static void host_free(struct host *h)
{
    free(h->name);
    free(h->base);
    registry_certs_release(&h->certs);
    challenges_release(&h->challenges);
    free(h);
}

void registry_close(struct registry *reg)
{
    if (!reg)
        return;
    while (reg->first)
        registry_fetch_cancel(reg->first);
    http_free(reg->http);
    tokens_free(reg->tokens);
    registry_conf_free(reg->conf);
    while (reg->hosts) {
        struct host *h = reg->hosts;
        reg->hosts = h->next;
        host_free(h);
    }
    if (reg->creds)
        explicit_bzero(reg->creds, strlen(reg->creds));
    free(reg->creds);
    free(reg->authfile);
    free(reg->cert_dir);
    free(reg);
}

const struct registry_conf *registry_conf_of(const struct registry *reg)
{
    return reg->conf;
}

int registry_resolve(struct registry *reg, const char *text, enum registry_access access,
                     struct registry_ref *ret, struct err *e)
{
    struct registry_ref ref = {0};
    int r = registry_conf_resolve(reg->conf, text, &ref.image, e);
    if (r < 0)
        return r;
    r = registry_conf_place(reg->conf, &ref.image, access, &ref.place, e);
    if (r < 0) {
        registry_ref_release(&ref);
        return r;
    }
    *ret = ref;
    return 0;
}

void registry_ref_release(struct registry_ref *r)
{
    image_ref_release(&r->image);
    registry_place_release(&r->place);
    *r = (struct registry_ref){0};
}

/* Hosts */

static const char *real_host(const char *name)
{
    return streq(name, "docker.io") ? "registry-1.docker.io" : name;
}

/* Is "HOST:PORT" the place of a name that may lack the port? */
static bool is_at(const char *name, const char *host_port)
{
    const char *rest = str_after(host_port, real_host(name));
    return rest && (!*rest || streq(rest, ":443"));
}

static struct host *host_add(struct registry *reg, const char *name)
{
    struct host *h = xcalloc(1, sizeof(*h));
    h->name = xstrdup(name);
    h->next = reg->hosts;
    reg->hosts = h;
    return h;
}

static int host_certs(struct registry *reg, struct host *h, const char *dir, struct err *e)
{
    int r = registry_conf_certs(h->name, dir, &h->certs, e);
    (void)reg;
    h->tls.ca_files = h->certs.ca_files;
    h->tls.client_cert = h->certs.client_cert;
    h->tls.client_key = h->certs.client_key;
    return r;
}

/* Storage and token servers have certificates of their own in certs.d, and no other laxness: what
 * the user says of a registry counts for that one alone. But an authority of --cert-dir, or in
 * certs.d for the registry, signs for them too, as with podman; the client's certificate is shown
 * to the registry only. */
static void trust_as_registries(struct registry *reg, struct host *h)
{
    for (struct host *other = reg->hosts; other; other = other->next)
        if (other->connected)
            strv_extend(&h->certs.ca_files, other->certs.ca_files);
    h->tls.ca_files = h->certs.ca_files;
}

static const struct http_tls *find_tls(void *data, const char *host_port)
{
    struct registry *reg = data;
    for (struct host *h = reg->hosts; h; h = h->next)
        if (is_at(h->name, host_port))
            return &h->tls;
    scoped_free char *name =
        xstrndup(host_port, strlen(host_port) - (str_ends(host_port, ":443") ? 4 : 0));
    struct host *h = host_add(reg, name);
    /* An unreadable directory of a host that is not ours to ask shows as a failed verification. */
    host_certs(reg, h, NULL, NULL);
    if (reg->cert_dir && !h->tls.ca_files) {
        registry_certs_release(&h->certs);
        h->certs = (struct registry_certs){0};
        host_certs(reg, h, reg->cert_dir, NULL);
        h->tls.client_cert = h->tls.client_key = NULL;
    }
    if (!h->tls.ca_files)
        trust_as_registries(reg, h);
    return &h->tls;
}

/* "127.example.com" is somebody else's. */
static bool is_this_machine(const char *host_port)
{
    struct in_addr a;
    scoped_free char *host = xstrndup(host_port, strcspn(host_port, ":"));
    return streq(host, "localhost") || str_after(host_port, "[::1]") ||
           (inet_pton(AF_INET, host, &a) == 1 && ntohl(a.s_addr) >> 24 == 127);
}

/* Insecure: https without verification, and only if nobody speaks that there, plain http. */
static int host_connect(struct registry *reg, struct host *h, struct err *e)
{
    struct http_response resp SCOPED(http_response_release) = {.body = STR_INIT};
    scoped_free char *secure = xasprintf("https://%s", real_host(h->name));
    scoped_free char *plain = xasprintf("http://%s", real_host(h->name));
    scoped_free char *url = xasprintf("%s/v2/", secure), *plain_url = xasprintf("%s/v2/", plain);
    struct http_request req = {.method = "GET", .url = url, .max_body = API_ANSWER_MAX};
    struct err first = ERR_INIT, second = ERR_INIT;
    free(h->base);
    h->base = xstrdup(secure);
    h->connected = true;
    if (!h->insecure)
        return 0;
    int r = http_once(reg->http, &req, &resp, &first);
    if (r == 0)
        return 0;
    http_response_release(&resp);
    req.url = plain_url;
    r = http_do(reg->http, &req, &resp, &second);
    if (r < 0) {
        h->connected = false;
        return err_msg(e, -r, "by https: %s; by http: %s", first.msg, second.msg);
    }
    free(h->base);
    h->base = xstrdup(plain);
    /* What never leaves this machine is no worse for it. */
    if (!is_this_machine(h->name))
        http_notice(reg->http, "%s speaks plain http: nothing is encrypted or verified", h->name);
    return 0;
}

int host_get(struct registry *reg, const char *name, bool insecure, struct host **ret,
             struct err *e)
{
    struct host *h = reg->hosts;
    while (h && !streq(h->name, name))
        h = h->next;
    if (!h)
        h = host_add(reg, name);
    if (!h->connected) {
        if (reg->o.tls_verify >= 0)
            insecure = reg->o.tls_verify == 0;
        h->insecure = h->tls.no_verify = insecure;
        registry_certs_release(&h->certs);
        h->certs = (struct registry_certs){0};
        int r = host_certs(reg, h, reg->o.cert_dir, e);
        r = r < 0 ? r : host_connect(reg, h, e);
        if (r < 0)
            return r;
    }
    *ret = h;
    return 0;
}

/* Trying the endpoints */

const struct registry_endpoint *tries_next(struct tries *t, const struct registry_ref *ref)
{
    size_t n = ref->place.n;
    if (!t->errors.s)
        t->errors = (struct str)STR_INIT;
    if (t->done >= n)
        return NULL;
    /* What answered last is asked first; then the others in their order. */
    size_t i = t->done == 0 ? ref->at : t->done <= ref->at ? t->done - 1 : t->done;
    return &ref->place.v[i];
}

void tries_good(struct tries *t, struct registry_ref *ref)
{
    ref->at = (size_t)(tries_next(t, ref) - ref->place.v);
    str_release(&t->errors);
}

bool tries_failed(struct tries *t, struct registry_ref *ref, int r, const struct err *e)
{
    const struct registry_endpoint *at = tries_next(t, ref);
    str_addf(&t->errors, "%s%s/%s: %s", t->errors.len ? "; " : "", at->host, at->path, e->msg);
    /* The registry itself knows best whether something exists. */
    if (t->done == 0 || !at->mirror || t->r == 0)
        t->r = r;
    t->last = *e;
    t->done++;
    return t->done < ref->place.n;
}

int tries_error(struct tries *t, const struct registry_ref *ref, struct err *e)
{
    int r = t->r < 0 ? t->r : -EINVAL;
    if (t->done <= 1 && ref->place.n == 1) {
        if (e)
            *e = t->last;
    } else {
        err_msg(e, -r, "%s", t->errors.s);
        if (t->last.hint[0])
            err_hint(e, r, "%s", t->last.hint);
    }
    str_release(&t->errors);
    return r;
}
