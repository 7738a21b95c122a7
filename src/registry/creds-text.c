/* creds-text - the content of auth.json and config.json: keys, entries, and which helper has them.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/fs.h"
#include "image/ref.h"
#include "registry/creds-priv.h"

static void wipe(char **s)
{
    if (*s)
        explicit_bzero(*s, strlen(*s));
    free(take_ptr(*s));
}

void registry_creds_release(struct registry_creds *c)
{
    wipe(&c->username);
    wipe(&c->password);
    wipe(&c->identity_token);
}

int creds_read(const char *path, json_t **ret, struct err *e)
{
    scoped_free char *text = NULL;
    ssize_t n = fs_read(AT_FDCWD, path, CREDS_MAX_BYTES, &text, e);
    *ret = NULL;
    if (n == -ENOENT || n == -ENOTDIR) {
        err_clear(e);
        return 0;
    }
    if (n < 0)
        return (int)n;
    bool empty = text[strspn(text, " \t\r\n")] == '\0';
    scoped_json json_t *doc =
        empty ? json_object() : json_parse(text, (size_t)n, CREDS_MAX_BYTES, path, e);
    explicit_bzero(text, (size_t)n);
    if (!doc)
        return -EINVAL;
    if (!json_is_object(doc))
        return err_msg(e, EINVAL, "%s: want a JSON object", path);
    *ret = take_ptr(doc);
    return 0;
}

char *creds_host_of(const char *key)
{
    const char *s = str_after(key, "https://");
    s = s ? s : str_after(key, "http://");
    s = s ? s : key;
    scoped_free char *host = xstrndup(s, strcspn(s, "/"));
    image_host_lower(host);
    if (streq(host, "docker.io") || streq(host, "registry-1.docker.io"))
        return xstrdup("index.docker.io");
    return take_ptr(host);
}

/* "USER:PASSWORD" in base64; some writers leave NULs at its end. */
static int decode_auth(const char *auth, const char *where, struct registry_creds *ret,
                       struct err *e)
{
    size_t n = 0;
    scoped_free char *text = base64_decode(auth, &n);
    char *colon = text ? strchr(text, ':') : NULL;
    int r = 1;
    if (!colon || colon == text) {
        r = err_msg(e, EINVAL, "%s: auth is not USER:PASSWORD in base64", where);
    } else {
        ret->username = xstrndup(text, (size_t)(colon - text));
        ret->password = xstrdup(colon + 1);
    }
    if (text)
        explicit_bzero(text, n);
    return r;
}

int creds_decode(const json_t *entry, const char *where, struct registry_creds *ret, struct err *e)
{
    SCOPED(registry_creds_release) struct registry_creds c = {0};
    const char *auth = json_string_value(json_object_get(entry, "auth"));
    const char *token = json_string_value(json_object_get(entry, "identitytoken"));
    const char *user = json_string_value(json_object_get(entry, "username"));
    const char *password = json_string_value(json_object_get(entry, "password"));
    int r = 0;
    if (!json_is_object(entry))
        return err_msg(e, EINVAL, "%s: want an object", where);
    if (auth && *auth) {
        r = decode_auth(auth, where, &c, e);
        if (r < 0)
            return r;
    } else if (user && *user && password) {
        c.username = xstrdup(user);
        c.password = xstrdup(password);
        r = 1;
    }
    if (token && *token) {
        c.identity_token = xstrdup(token);
        r = 1;
    }
    if (r > 0) {
        *ret = c;
        c = (struct registry_creds){0};
    }
    return r;
}

json_t *creds_encode(const struct registry_creds *c)
{
    scoped_free char *plain = xasprintf("%s:%s", c->username ? c->username : "<token>",
                                        c->password && !c->identity_token ? c->password : "");
    scoped_free char *auth = base64_encode(plain, strlen(plain));
    json_t *entry = json_object();
    json_object_set_new(entry, "auth", json_string(auth));
    if (c->identity_token)
        json_object_set_new(entry, "identitytoken", json_string(c->identity_token));
    explicit_bzero(plain, strlen(plain));
    explicit_bzero(auth, strlen(auth));
    return entry;
}

const char *creds_helper(const json_t *doc, const char *key, bool *ret_own)
{
    json_t *helpers = json_object_get(doc, "credHelpers"), *v = NULL;
    const char *name = NULL;
    scoped_free char *host = creds_host_of(key);
    bool whole = !strchr(key, '/') || strstr(key, "://");
    *ret_own = true;
    const char *exact = json_string_value(json_object_get(helpers, key));
    if (exact && *exact)
        return exact;
    json_object_foreach(helpers, name, v)
    {
        scoped_free char *other = creds_host_of(name);
        bool plain = !strchr(name, '/') || strstr(name, "://");
        if (whole && plain && streq(host, other) && json_string_value(v) && *json_string_value(v))
            return json_string_value(v);
    }
    *ret_own = false;
    const char *store = json_string_value(json_object_get(doc, "credsStore"));
    return store && *store ? store : NULL;
}
