#include "registry/token.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/evp.h>
#include <string.h>
#include <time.h>

#include "base/jfield.h"
#include "base/str.h"
#include "base/strv.h"

#define LIFE_MIN_S 60 /* what counts for less is treated so: clocks differ */
#define TOKEN_TEXT_MAX (64 * 1024)

struct token {
    char *origin, *realm, *service, *scope, *value;
    int64_t until_s;
};
struct tokens {
    struct token *v;
    size_t n;
};

struct tokens *tokens_new(void)
{
    return xcalloc(1, sizeof(struct tokens));
}

void tokens_free(struct tokens *t)
{
    for (size_t i = 0; t && i < t->n; i++) {
        free(t->v[i].origin);
        free(t->v[i].realm);
        free(t->v[i].service);
        free(t->v[i].scope);
        if (t->v[i].value)
            explicit_bzero(t->v[i].value, strlen(t->v[i].value));
        free(t->v[i].value);
    }
    if (t)
        free(t->v);
    free(t);
}

static int64_t now_s(void)
{
    return (int64_t)time(NULL);
}

/* A token is for the registry that asked for it: a mirror that names the token server and the
 * repository of another one is not given that one's. */
static struct token *find_token(struct tokens *t, const struct challenge *c,
                                const struct token_request *req)
{
    for (size_t i = 0; i < t->n; i++)
        if (streq(t->v[i].origin, req->origin) && streq(t->v[i].realm, c->realm) &&
            streq(t->v[i].service, c->service) && streq(t->v[i].scope, req->scope))
            return &t->v[i];
    return NULL;
}

static void keep_token(struct tokens *t, const struct challenge *c, const struct token_request *req,
                       char *value, int64_t until_s)
{
    struct token *k = find_token(t, c, req);
    if (!k) {
        t->v = xrealloc(t->v, (t->n + 1) * sizeof(*t->v));
        k = &t->v[t->n++];
        *k = (struct token){.origin = xstrdup(req->origin),
                            .realm = xstrdup(c->realm),
                            .service = xstrdup(c->service),
                            .scope = xstrdup(req->scope)};
    }
    free(k->value);
    k->value = value;
    k->until_s = until_s;
}

/* "2024-05-01T10:00:00Z", with or without a fraction. */
static bool read_issued(const char *text, int64_t *ret_s)
{
    struct tm tm = {0};
    if (!text || sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
                        &tm.tm_hour, &tm.tm_min, &tm.tm_sec) != 6)
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon--;
    *ret_s = timegm(&tm);
    return true;
}

/* It becomes part of a header line. */
static bool token_valid(const char *s)
{
    size_t n = s ? strlen(s) : 0;
    for (size_t i = 0; i < n; i++)
        if (s[i] <= ' ' || s[i] > '~')
            return false;
    return n > 0 && n <= TOKEN_TEXT_MAX;
}

int token_parse(const char *text, size_t len, int64_t now, char **ret, int64_t *ret_until_s,
                struct err *e)
{
    scoped_json json_t *doc = json_parse(text, len, TOKEN_MAX, "answer of the token server", e);
    if (!doc)
        return -EINVAL;
    const char *token = json_string_value(json_object_get(doc, "token"));
    if (!token || !*token)
        token = json_string_value(json_object_get(doc, "access_token"));
    if (!token_valid(token))
        return err_msg(e, EINVAL, "answer of the token server: it holds no token");
    int64_t life = json_integer_value(json_object_get(doc, "expires_in")), issued = now;
    if (life < LIFE_MIN_S)
        life = LIFE_MIN_S;
    if (life > 24 * 3600)
        life = 24 * 3600;
    /* A clock that is ahead of ours is not believed. */
    if (!read_issued(json_string_value(json_object_get(doc, "issued_at")), &issued) ||
        issued > now || issued < now - life)
        issued = now;
    *ret_until_s = issued + life > now + LIFE_MIN_S / 2 ? issued + life : now + LIFE_MIN_S / 2;
    *ret = xstrdup(token);
    return 0;
}

static bool is_internal_name(const char *name)
{
    static const char *const ends[] = {".localhost", ".internal", ".local",
                                       ".home.arpa", ".lan",      ".intranet"};
    for (size_t i = 0; i < N_ELEMENTS(ends); i++)
        if (str_ends(name, ends[i]))
            return true;
    return !strchr(name, '.'); /* "localhost", and what resolv.conf completes */
}

/* Loopback, link-local, private, or a name that only means something here. What a public name
 * resolves to is not looked at: https is asked for already, and no server inside has a certificate
 * for a name of somebody else, so none is ever sent a request. */
static bool is_internal(const char *host)
{
    static const unsigned char nat64[12] = {0, 0x64, 0xff, 0x9b};
    char bare[256];
    struct in_addr a4;
    struct in6_addr a6;
    snprintf(bare, sizeof(bare), "%s", host[0] == '[' ? host + 1 : host);
    bare[strcspn(bare, "]")] = '\0';
    size_t n = strlen(bare);
    if (n && bare[n - 1] == '.') /* the root of all names, which changes nothing */
        bare[n - 1] = '\0';
    if (inet_aton(bare, &a4)) { /* also 127.1, 0x7f.1 and 2130706433 */
        uint32_t v = ntohl(a4.s_addr);
        return v >> 24 == 127 || v >> 24 == 10 || v >> 24 == 0 || v >> 16 == 0xa9fe ||
               v >> 16 == 0xc0a8 || v >> 20 == 0xac1 || v >> 22 == 0x191; /* 100.64/10 */
    }
    if (inet_pton(AF_INET6, bare, &a6) != 1)
        return is_internal_name(bare);
    /* ::ffff:a.b.c.d, ::a.b.c.d, and 64:ff9b::a.b.c.d, which a NAT64 makes an IPv4 address again */
    if (IN6_IS_ADDR_V4MAPPED(&a6) || IN6_IS_ADDR_V4COMPAT(&a6) ||
        memcmp(&a6, nat64, sizeof(nat64)) == 0) {
        char v4[INET_ADDRSTRLEN];
        inet_ntop(AF_INET, &a6.s6_addr[12], v4, sizeof(v4));
        return IN6_IS_ADDR_LOOPBACK(&a6) || is_internal(v4);
    }
    return IN6_IS_ADDR_LOOPBACK(&a6) || IN6_IS_ADDR_LINKLOCAL(&a6) ||
           IN6_IS_ADDR_UNSPECIFIED(&a6) || (a6.s6_addr[0] & 0xfe) == 0xfc;
}

int token_realm_check(const char *realm, const char *origin, struct err *e)
{
    struct http_origin to, from;
    if (!realm || http_origin_parse(realm, &to) < 0 || http_origin_parse(origin, &from) < 0)
        return err_msg(e, EPERM, "the registry names a token server that is no http(s) address");
    /* A registry that is plain by the user's word may have its token server so too, on its host. */
    if (!to.https && (from.https || !streq(to.host, from.host)))
        return err_msg(e, EPERM,
                       "the registry names the token server http://%s:%u: passwords go to https "
                       "only",
                       to.host, to.port);
    if (is_internal(to.host) && !is_internal(from.host) && !streq(to.host, from.host))
        return err_msg(e, EPERM,
                       "the registry names the token server %s:%u, an address inside this network",
                       to.host, to.port);
    return 0;
}

static char *base64(const char *text)
{
    size_t n = strlen(text);
    char *out = xmalloc(4 * ((n + 2) / 3) + 1);
    EVP_EncodeBlock((unsigned char *)out, (const unsigned char *)text, (int)n);
    return out;
}

static char *basic(const struct registry_creds *c)
{
    scoped_free char *pair = xasprintf("%s:%s", c->username, c->password ? c->password : "");
    scoped_free char *encoded = base64(pair);
    char *value = xasprintf("Basic %s", encoded);
    explicit_bzero(pair, strlen(pair));
    explicit_bzero(encoded, strlen(encoded));
    return value;
}

/* "&name=value", percent-encoded. */
static void add_query(struct str *s, const char *name, const char *value)
{
    if (!value || !*value)
        return;
    str_addf(s, "%s=", name);
    for (const char *p = value; *p; p++)
        if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~", *p))
            str_addc(s, *p);
        else
            str_addf(s, "%%%02X", (unsigned char)*p);
    str_addc(s, '&');
}

static void add_scopes(struct str *s, const char *scope)
{
    scoped_strv char **v = strv_split(scope, " ", false);
    for (size_t i = 0; v && v[i]; i++)
        add_query(s, "scope", v[i]);
}

static int token_status(const struct http_response *resp, const struct token_request *req,
                        const char *realm, struct err *e)
{
    bool known = req->creds->username || req->creds->identity_token;
    if (resp->status == 200)
        return 0;
    if (resp->status == 400 || resp->status == 401 || resp->status == 403)
        return err_msg(e, EACCES,
                       known ? "%s refuses the user name or password (status %u)"
                             : "authentication is required (%s: status %u)",
                       realm, resp->status);
    if (http_is_page(resp))
        return err_msg(e, EPROTO, "token server %s answered a web page (proxy or login?)", realm);
    return err_msg(e, EIO, "token server %s: status %u", realm, resp->status);
}

/* It is another host than the registry's, as a rule. */
static void token_unreachable(const char *realm, int r, struct err *e)
{
    struct http_origin o;
    if (http_origin_parse(realm, &o) == 0)
        err_add(e, r, "token server %s:%u", o.host, o.port);
    else
        err_add(e, r, "token server");
}

/* OAuth2 with a refresh token, by POST; else GET, with Basic if there is something to show. */
static int ask_server(struct http *h, const struct challenge *c, const struct token_request *req,
                      struct http_response *resp, struct err *e)
{
    scoped_str struct str form = STR_INIT;
    scoped_free char *url = NULL, *auth = NULL;
    static char type[] = "Content-Type: application/x-www-form-urlencoded";
    char *headers[] = {type, NULL};
    struct http_request hr = {.method = "GET", .max_body = TOKEN_MAX};
    if (req->creds->identity_token) {
        add_query(&form, "grant_type", "refresh_token");
        add_query(&form, "client_id", "rootlet");
        add_query(&form, "refresh_token", req->creds->identity_token);
        add_query(&form, "service", c->service);
        add_query(&form, "scope", req->scope);
        form.s[form.len - 1] = '\0'; /* the last '&' */
        url = xstrdup(c->realm);
        hr.method = "POST";
        hr.headers = headers;
        hr.body = form.s;
        hr.body_len = form.len - 1;
    } else {
        str_addf(&form, "%s%c", c->realm, strchr(c->realm, '?') ? '&' : '?');
        if (req->creds->username)
            add_query(&form, "account", req->creds->username);
        add_query(&form, "service", c->service);
        add_scopes(&form, req->scope);
        url = xstrndup(form.s, form.len - 1);
        auth = req->creds->username ? basic(req->creds) : NULL;
        hr.authorization = auth;
    }
    hr.url = url;
    int r = http_do(h, &hr, resp, e);
    if (r < 0)
        token_unreachable(c->realm, r, e);
    else
        r = token_status(resp, req, c->realm, e);
    if (req->creds->identity_token)
        explicit_bzero(form.s, form.len);
    if (auth)
        explicit_bzero(auth, strlen(auth));
    return r;
}

static int bearer(struct tokens *t, struct http *h, const struct challenge *c,
                  const struct token_request *req, char **ret, struct err *e)
{
    struct http_response resp SCOPED(http_response_release) = {.body = STR_INIT};
    struct token *have = find_token(t, c, req);
    int64_t until;
    char *value;
    if (have && !req->fresh && have->until_s > now_s()) {
        *ret = xasprintf("Bearer %s", have->value);
        return 0;
    }
    int r = token_realm_check(c->realm, req->origin, e);
    r = r < 0 ? r : ask_server(h, c, req, &resp, e);
    r = r < 0 ? r : token_parse(resp.body.s, resp.body.len, now_s(), &value, &until, e);
    if (r < 0)
        return r;
    *ret = xasprintf("Bearer %s", value);
    keep_token(t, c, req, value, until);
    return 0;
}

int token_answer(struct tokens *t, struct http *h, const struct challenges *c,
                 const struct token_request *req, char **ret, struct err *e)
{
    const struct challenge *b = challenges_find(c, "bearer");
    if (b && b->realm)
        return bearer(t, h, b, req, ret, e);
    if (!challenges_find(c, "basic"))
        return err_msg(e, EPROTO,
                       "the registry wants a kind of login that is neither Bearer nor "
                       "Basic");
    if (!req->creds->username)
        return err_msg(e, EACCES, "authentication is required");
    if (req->fresh)
        return err_msg(e, EACCES, "the user name or password is refused");
    *ret = basic(req->creds);
    return 0;
}
