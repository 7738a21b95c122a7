/* lists - tags, repositories, searches, referrers: answers in pages, of which none is believed to
 * end by itself. */
#include <errno.h>
#include <string.h>

#include "base/jfield.h"
#include "base/str.h"
#include "base/strv.h"
#include "registry/client-priv.h"

#define ENTRIES_MAX 100000
#define PAGES_MAX 1000
#define PAGE "1000"
#define NAME_LIMIT 256

/* What tags and names consist of: nothing else may reach a terminal or an address. */
static bool name_valid(const char *s)
{
    size_t n =
        s ? strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/") : 0;
    return n && n < NAME_LIMIT && !s[n];
}

int list_parse(const char *text, size_t len, const char *member, size_t limit, char ***add,
               struct err *e)
{
    scoped_json json_t *doc = json_parse(text, len, API_ANSWER_MAX, "answer of the registry", e);
    json_t *list = json_object_get(doc, member), *item;
    size_t i, n = strv_len(*add);
    if (!doc)
        return -EINVAL;
    if (!json_is_object(doc) || (list && !json_is_array(list) && !json_is_null(list)))
        return err_msg(e, EPROTO, "answer of the registry: %s is no list", member);
    char **v = xrealloc(*add, (n + json_array_size(list) + 1) * sizeof(*v));
    json_array_foreach(list, i, item)
    {
        const char *name = json_string_value(item);
        if (n < limit && name_valid(name))
            v[n++] = xstrdup(name);
    }
    v[n] = NULL;
    *add = v;
    return 0;
}

/* All pages from c->what on. */
static int list_pages(struct registry *reg, struct call *c, const char *member, size_t limit,
                      char ***ret, struct err *e)
{
    scoped_free char *url = NULL;
    int r = 0;
    limit = limit && limit < ENTRIES_MAX ? limit : ENTRIES_MAX;
    for (unsigned page = 0; r == 0 && strv_len(*ret) < limit; page++) {
        struct http_response resp SCOPED(http_response_release) = {.body = STR_INIT};
        struct http_origin from, to;
        size_t before = strv_len(*ret);
        if (page == PAGES_MAX)
            return err_msg(e, EFBIG, "the list does not end after %d pages", PAGES_MAX);
        c->url = url;
        r = call_do(reg, c, &resp, e);
        r = r < 0 ? r : call_check(reg, c, &resp, 200, e);
        r = r < 0 ? r : list_parse(resp.body.s, resp.body.len, member, limit, ret, e);
        const char *link = r < 0 ? NULL : http_header(&resp, "link");
        char *next = link ? link_next(resp.url, link) : NULL;
        free(url);
        url = next;
        if (!next)
            break;
        if (strv_len(*ret) == before)
            return err_msg(e, EPROTO, "the list goes on without bringing anything");
        if (http_origin_parse(resp.url, &from) < 0 || http_origin_parse(next, &to) < 0 ||
            !http_origin_equal(&from, &to))
            return err_msg(e, EPERM, "the list goes on at another host: %.200s", next);
    }
    return r;
}

int registry_tags(struct registry *reg, struct registry_ref *ref, size_t limit, char ***ret,
                  struct err *e)
{
    const struct registry_endpoint *at;
    struct tries t = {0};
    while ((at = tries_next(&t, ref))) {
        struct err own = ERR_INIT;
        char **v = NULL;
        struct call c = {.at = at, .method = "GET", .what = "tags/list?n=" PAGE, .actions = "pull"};
        int r = list_pages(reg, &c, "tags", limit, &v, &own);
        if (r == 0) {
            tries_good(&t, ref);
            *ret = v;
            return 0;
        }
        strv_free(v);
        tries_failed(&t, ref, r, &own);
    }
    return err_add(e, tries_error(&t, ref, e), "%s: tags", ref->image.name);
}

static struct registry_endpoint host_endpoint(struct registry *reg, const char *host)
{
    return (struct registry_endpoint){.host = (char *)(uintptr_t)host,
                                      .insecure = registry_conf_insecure(reg->conf, host)};
}

int registry_catalog(struct registry *reg, const char *host, size_t limit, char ***ret,
                     struct err *e)
{
    struct registry_endpoint at = host_endpoint(reg, host);
    char **v = NULL;
    struct call c = {
        .at = &at, .method = "GET", .what = "v2/_catalog?n=" PAGE, .scope = "registry:catalog:*"};
    int r = list_pages(reg, &c, "repositories", limit, &v, e);
    if (r < 0) {
        strv_free(v);
        return err_add(e, r, "%s: catalog", host);
    }
    *ret = v;
    return 0;
}

void registry_results_release(struct registry_results *r)
{
    for (size_t i = 0; i < r->n; i++) {
        free(r->v[i].name);
        free(r->v[i].description);
    }
    free(r->v);
    *r = (struct registry_results){0};
}

int search_parse(const char *text, size_t len, const char *host, size_t limit,
                 struct registry_results *ret, struct err *e)
{
    scoped_json json_t *doc = json_parse(text, len, API_ANSWER_MAX, "answer of the registry", e);
    json_t *list = json_object_get(doc, "results"), *item;
    size_t i, n = 0;
    if (!doc)
        return -EINVAL;
    if (!json_is_array(list))
        return err_msg(e, EPROTO, "answer of the registry: it holds no results");
    struct registry_found *v = xcalloc(json_array_size(list) + 1, sizeof(*v));
    json_array_foreach(list, i, item)
    {
        const char *name = json_string_value(json_object_get(item, "name"));
        if (n == limit || !name_valid(name))
            continue;
        v[n++] = (struct registry_found){
            .name = xasprintf("%s/%s", host, name),
            .description = xstrdup(json_string_value(json_object_get(item, "description"))),
            .stars = 0,
            .official = json_is_true(json_object_get(item, "is_official")),
            .automated = json_is_true(json_object_get(item, "is_automated"))};
        json_to_u64(json_object_get(item, "star_count"), &v[n - 1].stars);
    }
    *ret = (struct registry_results){v, n};
    return 0;
}

/* The term as part of an address. */
static char *encode(const char *s)
{
    struct str out = STR_INIT;
    for (; *s; s++)
        if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~", *s))
            str_addc(&out, *s);
        else
            str_addf(&out, "%%%02X", (unsigned char)*s);
    return str_detach(&out);
}

static int search_catalog(struct registry *reg, const char *host, const char *term, size_t limit,
                          struct registry_results *ret, struct err *e)
{
    scoped_strv char **all = NULL;
    int r = registry_catalog(reg, host, 0, &all, e);
    size_t n = 0;
    if (r < 0)
        return r;
    struct registry_found *v = xcalloc(strv_len(all) + 1, sizeof(*v));
    for (size_t i = 0; all && all[i] && n < limit; i++)
        if (strstr(all[i], term))
            v[n++].name = xasprintf("%s/%s", host, all[i]);
    *ret = (struct registry_results){v, n};
    return 0;
}

int registry_search(struct registry *reg, const char *host, const char *term, size_t limit,
                    struct registry_results *ret, struct err *e)
{
    struct http_response resp SCOPED(http_response_release) = {.body = STR_INIT};
    struct registry_endpoint at =
        host_endpoint(reg, streq(host, "docker.io") ? "index.docker.io" : host);
    scoped_free char *query = encode(term);
    limit = limit && limit < ENTRIES_MAX ? limit : ENTRIES_MAX;
    scoped_free char *what =
        xasprintf("v1/search?q=%s&n=%zu", query, limit < 100 ? limit : (size_t)100);
    struct call c = {.at = &at, .method = "GET", .what = what};
    int r = call_do(reg, &c, &resp, e);
    if (r < 0)
        return err_add(e, r, "%s: search", host);
    const char *type = http_header(&resp, "content-type");
    if (resp.status == 200 && type && strstr(type, "json"))
        return search_parse(resp.body.s, resp.body.len, host, limit, ret, e);
    return search_catalog(reg, host, term, limit, ret, e);
}

int registry_referrers(struct registry *reg, struct registry_ref *ref, const char *digest,
                       struct registry_manifest *ret, struct err *e)
{
    struct http_response resp SCOPED(http_response_release) = {.body = STR_INIT};
    scoped_free char *what = xasprintf("referrers/%s", digest);
    scoped_free char *tag = xstrdup(digest);
    struct call c = {.at = &ref->place.v[ref->at],
                     .method = "GET",
                     .what = what,
                     .actions = "pull",
                     .max_body = REGISTRY_MANIFEST_MAX};
    int r = call_do(reg, &c, &resp, e);
    const char *type = r < 0 ? NULL : http_header(&resp, "content-type");
    if (r < 0)
        return err_add(e, r, "%s: referrers", ref->image.name);
    if (resp.status == 200 && type && str_after(type, "application/vnd.oci.image.index")) {
        *ret = (struct registry_manifest){.media_type = xstrndup(type, strcspn(type, "; ")),
                                          .len = resp.body.len};
        digest_data(resp.body.s, resp.body.len, ret->digest);
        ret->bytes = str_detach(&resp.body);
        return 0;
    }
    tag[strcspn(tag, ":")] = '-';
    return registry_manifest_get(reg, ref, tag, NULL, ret, e);
}

int registry_ping(struct registry *reg, const char *host, struct err *e)
{
    struct http_response resp SCOPED(http_response_release) = {.body = STR_INIT};
    struct registry_endpoint at = host_endpoint(reg, host);
    struct call c = {.at = &at, .method = "GET", .what = "v2/"};
    int r = call_do(reg, &c, &resp, e);
    r = r < 0 ? r : call_check(reg, &c, &resp, 200, e);
    return r < 0 ? err_add(e, r, "%s", host) : 0;
}
