/* call - one request of the API: address, authorization, and what a refusal means. */
#include <errno.h>
#include <string.h>

#include "base/jfield.h"
#include "base/str.h"
#include "base/strv.h"
#include "registry/client-priv.h"

#define MESSAGE_MAX 300

char *call_url(const struct host *h, const struct call *c)
{
    if (c->url)
        return xstrdup(c->url);
    if (!c->at->path)
        return xasprintf("%s/%s", h->base, c->what);
    return xasprintf("%s/v2/%s/%s", h->base, c->at->path, c->what);
}

/* Wiped when it goes. */
static void creds_wipe(struct registry_creds *c)
{
    registry_creds_release(c);
}

static char *own_dup(const char *s)
{
    return xstrdup(s);
}

static int find_creds(struct registry *reg, const struct host *h, const struct call *c,
                      struct registry_creds *ret, struct err *e)
{
    const struct registry_creds *l = reg->o.login;
    if (l) {
        *ret = (struct registry_creds){.username = own_dup(l->username),
                                       .password = own_dup(l->password),
                                       .identity_token = own_dup(l->identity_token)};
        return 0;
    }
    /* --creds is for the registry that was named; a mirror of it has its own, in the files. */
    struct creds_source source = {.creds = c->at->mirror ? NULL : reg->creds,
                                  .authfile = reg->authfile};
    int r = creds_find(&source, h->name, c->at->path, ret, e);
    return r < 0 ? r : 0;
}

static char *make_scope(const struct call *c)
{
    if (!c->actions)
        return xstrdup(c->scope ? c->scope : "");
    return xasprintf("repository:%s:%s%s%s", c->at->path, c->actions, c->scope ? " " : "",
                     c->scope ? c->scope : "");
}

int call_authorize(struct registry *reg, struct host *h, const struct call *c, bool fresh,
                   char **ret, struct err *e)
{
    struct registry_creds creds SCOPED(creds_wipe) = {0};
    scoped_free char *scope = make_scope(c);
    *ret = NULL;
    if (!h->challenges.n)
        return 0;
    int r = find_creds(reg, h, c, &creds, e);
    struct token_request req = {.origin = h->base, .scope = scope, .creds = &creds, .fresh = fresh};
    r = r < 0 ? r : token_answer(reg->tokens, reg->http, &h->challenges, &req, ret, e);
    if (r == -EACCES)
        err_hint(e, r, "rootlet login %s", h->name);
    return r;
}

/* Without what follows a '?', which is often as good as a password. */
static int wants_login(const struct http_response *resp, struct err *e)
{
    return err_msg(e, EACCES, "%.*s wants a login, where the registry has sent us",
                   (int)strcspn(resp->url, "?"), resp->url);
}

int call_challenged(struct host *h, const struct http_response *resp, struct err *e)
{
    struct challenges found = {0};
    size_t unread = 0;
    if (resp->redirect_left)
        return wants_login(resp, e);
    for (char **v = resp->headers; v && *v; v++) {
        const char *text = str_after(*v, "www-authenticate:");
        if (text && challenge_parse(text, &found, e) < 0)
            unread++;
    }
    if (!found.n) {
        if (!unread)
            err_msg(e, EACCES, "status 401 without saying how to log in");
        challenges_release(&found);
        return -EACCES;
    }
    challenges_release(&h->challenges);
    h->challenges = found;
    return 0;
}

/* An upload may go on elsewhere: what authorizes stays at home. */
static bool is_elsewhere(const struct host *h, const struct call *c)
{
    struct http_origin to, own;
    return c->url && (http_origin_parse(c->url, &to) < 0 || http_origin_parse(h->base, &own) < 0 ||
                      !http_origin_equal(&to, &own));
}

static int ask(struct registry *reg, struct host *h, const struct call *c, const char *auth,
               struct http_response *resp, struct err *e)
{
    scoped_free char *url = call_url(h, c);
    struct http_request req = {.method = c->method,
                               .url = url,
                               .headers = c->headers,
                               .authorization = auth,
                               .body = c->body,
                               .body_len = c->body_len,
                               .read = c->read,
                               .read_size = c->read_size,
                               .data = c->data,
                               .max_body = c->max_body ? c->max_body : API_ANSWER_MAX};
    if (is_elsewhere(h, c))
        req.authorization = NULL;
    return c->once || c->read ? http_once(reg->http, &req, resp, e)
                              : http_do(reg->http, &req, resp, e);
}

int call_do(struct registry *reg, const struct call *c, struct http_response *resp, struct err *e)
{
    scoped_free char *auth = NULL;
    struct host *h;
    *resp = (struct http_response){.body = STR_INIT};
    int r = host_get(reg, c->at->host, c->at->insecure, &h, e);
    r = r < 0 ? r : call_authorize(reg, h, c, false, &auth, e);
    r = r < 0 ? r : ask(reg, h, c, auth, resp, e);
    if (r < 0 || resp->status != 401 || c->read)
        return r;
    /* A challenge from there must not decide where the registry's password goes. */
    if (is_elsewhere(h, c))
        return wants_login(resp, e);
    r = call_challenged(h, resp, e);
    if (r < 0)
        return r;
    bool fresh = auth != NULL;
    free(auth);
    auth = NULL;
    r = call_authorize(reg, h, c, fresh, &auth, e);
    if (r < 0)
        return r;
    http_response_release(resp);
    r = ask(reg, h, c, auth, resp, e);
    h->login_refused = r == 0 && resp->status == 401 && auth && str_after(auth, "Basic ");
    return r;
}

/* {"errors": [{"code": "DENIED", "message": "..."}]} */
static char *error_text(const struct http_response *resp)
{
    const char *type = http_header(resp, "content-type");
    if (!resp->body.len || !type || !strstr(type, "json"))
        return NULL;
    scoped_json json_t *doc = json_parse(resp->body.s, resp->body.len, 64 * 1024, "answer", NULL);
    json_t *first = json_array_get(json_object_get(doc, "errors"), 0);
    const char *code = json_string_value(json_object_get(first, "code"));
    const char *message = json_string_value(json_object_get(first, "message"));
    const char *text = message && *message ? message : code;
    if (!text)
        text = json_string_value(json_object_get(doc, "details"));
    return text && *text ? xasprintf("%.*s", MESSAGE_MAX, text) : NULL;
}

/* docker.io: "100;w=21600" are 100 pulls in six hours. */
static int too_many(const struct host *h, const struct http_response *resp, const char *text,
                    struct err *e)
{
    const char *limit = http_header(resp, "ratelimit-limit");
    const char *left = http_header(resp, "ratelimit-remaining");
    const char *after = http_header(resp, "retry-after");
    scoped_str struct str more = STR_INIT;
    if (limit)
        str_addf(&more, " (limit %.60s", limit);
    if (left)
        str_addf(&more, "%s remaining %.60s", limit ? "," : " (", left);
    if (limit || left)
        str_addc(&more, ')');
    if (after)
        str_addf(&more, "; it says: try again after %.60s", after);
    int r = err_msg(e, EBUSY, "too many requests (status 429)%s%s%s", text ? ": " : "",
                    text ? text : "", more.s);
    if (streq(h->name, "docker.io"))
        return err_hint(e, r,
                        "docker.io counts pulls by address: rootlet login docker.io raises "
                        "the limit");
    return err_hint(e, r, "wait, or log in: rootlet login %s", h->name);
}

int call_refused(const struct host *h, const struct http_response *resp, struct err *e)
{
    scoped_free char *text = error_text(resp);
    const char *colon = text ? ": " : "", *more = text ? text : "";
    unsigned s = resp->status;
    bool same = text && str_after(text, "authentication required"); /* nothing more than 401 says */
    if (s == 429)
        return too_many(h, resp, text, e);
    if (http_is_page(resp) && s != 404)
        return err_msg(e, EPROTO, "the registry answered a web page (proxy or login?), status %u",
                       s);
    if (s == 401 && h->login_refused)
        return err_hint(e, err_msg(e, EACCES, "the user name or password is refused"),
                        "rootlet login %s", h->name);
    if (s == 401)
        return err_hint(e,
                        err_msg(e, EACCES, "authentication is required%s%s", same ? "" : colon,
                                same ? "" : more),
                        "rootlet login %s", h->name);
    if (s == 403)
        return err_hint(e, err_msg(e, EACCES, "the registry denies it%s%s", colon, more),
                        "does your account have access? rootlet login %s", h->name);
    if (s == 404)
        return err_msg(e, ENOENT, "the registry does not have it%s%s", colon, more);
    if (s == 416)
        return err_msg(e, ERANGE, "the registry has fewer bytes than its image says");
    if (s >= 300 && s < 400)
        return err_msg(e, EPROTO, "status %u, a redirect that cannot be followed", s);
    return err_msg(e, s >= 500 ? EIO : EPROTO, "the registry answers status %u%s%s", s, colon,
                   more);
}

int call_check(struct registry *reg, const struct call *c, const struct http_response *resp,
               unsigned want, struct err *e)
{
    struct host *h;
    int r = host_get(reg, c->at->host, c->at->insecure, &h, e);
    if (r < 0)
        return r;
    if (resp->status != want)
        return call_refused(h, resp, e);
    if (http_is_page(resp))
        return err_msg(e, EPROTO, "the registry answered a web page (proxy or login?)");
    return 0;
}
