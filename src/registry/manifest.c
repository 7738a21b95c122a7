/* manifest - fetching, asking for and storing manifests. */
#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "base/strv.h"
#include "registry/client-priv.h"

static const char *const image_types[] = {
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    NULL,
};

void registry_manifest_release(struct registry_manifest *m)
{
    free(m->bytes);
    free(m->media_type);
    *m = (struct registry_manifest){0};
}

static const char *which_of(const struct registry_ref *ref, const char *which)
{
    if (which)
        return which;
    if (ref->image.digest)
        return ref->image.digest;
    return ref->image.tag ? ref->image.tag : "latest";
}

/* One header with all types. */
static char **accept_header(const char *const *accept)
{
    char **headers = NULL;
    scoped_str struct str line = STR_INIT;
    for (const char *const *v = accept ? accept : image_types; *v; v++)
        str_addf(&line, "%s%s", line.len ? ", " : "Accept: ", *v);
    strv_add(&headers, line.s);
    return headers;
}

static char *media_type_of(const struct http_response *resp)
{
    const char *type = http_header(resp, "content-type");
    return type ? xstrndup(type, strcspn(type, "; \t")) : NULL;
}

/* Is it a digest, and not a tag? */
static bool is_digest(const char *which)
{
    return strchr(which, ':') != NULL;
}

static int verify(const struct http_response *resp, const char *which, struct registry_manifest *m,
                  struct err *e)
{
    const char *header = http_header(resp, "docker-content-digest");
    struct digest *d SCOPED(digest_scoped) = NULL;
    int r = digest_new(is_digest(which) ? which : NULL, &d, e);
    r = r < 0 ? r : digest_add(d, resp->body.s, resp->body.len);
    r = r < 0 ? r : digest_end(d, m->digest);
    if (r < 0)
        return r;
    if (is_digest(which) && !digest_equal(m->digest, which))
        return err_msg(e, EBADMSG, "its bytes have the digest %s, not the one asked for",
                       m->digest);
    /* A header by another algorithm says nothing about this one. */
    if (header && strncmp(header, m->digest, strcspn(m->digest, ":") + 1) == 0 &&
        !digest_equal(m->digest, header))
        return err_msg(e, EBADMSG, "its bytes have the digest %s, the registry says %.80s",
                       m->digest, header);
    return 0;
}

static int get_from(struct registry *reg, const struct registry_endpoint *at, const char *which,
                    char *const *headers, struct registry_manifest *ret, struct err *e)
{
    struct http_response resp SCOPED(http_response_release) = {.body = STR_INIT};
    scoped_free char *what = xasprintf("manifests/%s", which);
    struct call c = {.at = at,
                     .method = "GET",
                     .what = what,
                     .actions = "pull",
                     .headers = headers,
                     .max_body = REGISTRY_MANIFEST_MAX};
    int r = call_do(reg, &c, &resp, e);
    r = r < 0 ? r : call_check(reg, &c, &resp, 200, e);
    r = r < 0 ? r : verify(&resp, which, ret, e);
    if (r < 0)
        return r;
    ret->media_type = media_type_of(&resp);
    ret->len = resp.body.len;
    ret->bytes = str_detach(&resp.body);
    return 0;
}

static int named(const struct registry_ref *ref, const char *which, int r, struct err *e)
{
    err_add(e, r, "%s%s%s: manifest", ref->image.name, is_digest(which) ? "@" : ":", which);
    if (r == -ENOENT)
        err_hint(e, r, "is the name right, and the tag? rootlet search --list-tags %s",
                 ref->image.name);
    return r;
}

/* What each place is asked, and how. */
struct question {
    const char *which;
    char *const *headers;
    int (*ask)(struct registry *reg, const struct registry_endpoint *at, const char *which,
               char *const *headers, struct registry_manifest *ret, struct err *e);
};

/* One place after the other, until one has it. */
static int ask_all(struct registry *reg, struct registry_ref *ref, const struct question *q,
                   struct registry_manifest *ret, struct err *e)
{
    const struct registry_endpoint *at;
    struct tries t = {0};
    while ((at = tries_next(&t, ref))) {
        struct err own = ERR_INIT;
        struct registry_manifest m = {0};
        int r = q->ask(reg, at, q->which, q->headers, &m, &own);
        if (r == 0) {
            tries_good(&t, ref);
            *ret = m;
            return 0;
        }
        tries_failed(&t, ref, r, &own);
    }
    return named(ref, q->which, tries_error(&t, ref, e), e);
}

int registry_manifest_get(struct registry *reg, struct registry_ref *ref, const char *which,
                          const char *const *accept, struct registry_manifest *ret, struct err *e)
{
    char **headers SCOPED(scoped_strv_fn) = accept_header(accept);
    const struct question q = {.which = which_of(ref, which), .headers = headers, .ask = get_from};
    return ask_all(reg, ref, &q, ret, e);
}

static int head_from(struct registry *reg, const struct registry_endpoint *at, const char *which,
                     char *const *headers, struct registry_manifest *ret, struct err *e)
{
    struct http_response resp SCOPED(http_response_release) = {.body = STR_INIT};
    scoped_free char *what = xasprintf("manifests/%s", which);
    struct call c = {
        .at = at, .method = "HEAD", .what = what, .actions = "pull", .headers = headers};
    int r = call_do(reg, &c, &resp, e);
    r = r < 0 ? r : call_check(reg, &c, &resp, 200, e);
    if (r < 0)
        return r;
    const char *digest = http_header(&resp, "docker-content-digest");
    if (digest && strlen(digest) < sizeof(ret->digest) && digest_parse(digest, NULL, NULL) == 0)
        snprintf(ret->digest, sizeof(ret->digest), "%s", digest);
    ret->media_type = media_type_of(&resp);
    ret->len = resp.length == UINT64_MAX ? 0 : (size_t)resp.length;
    return 0;
}

int registry_manifest_head(struct registry *reg, struct registry_ref *ref, const char *which,
                           struct registry_manifest *ret, struct err *e)
{
    char **headers SCOPED(scoped_strv_fn) = accept_header(NULL);
    const struct question q = {.which = which_of(ref, which), .headers = headers, .ask = head_from};
    return ask_all(reg, ref, &q, ret, e);
}

int registry_manifest_put(struct registry *reg, struct registry_ref *ref, const char *which,
                          const struct registry_manifest *m, struct err *e)
{
    struct http_response resp SCOPED(http_response_release) = {.body = STR_INIT};
    char digest[DIGEST_TEXT_MAX];
    int r = digest_data(m->bytes, m->len, digest);
    if (r < 0)
        return err_set(e, -r, "digest of the manifest");
    which = which ? which : digest;
    scoped_free char *what = xasprintf("manifests/%s", which);
    scoped_free char *type = xasprintf("Content-Type: %s", m->media_type);
    char *headers[] = {type, NULL};
    struct call c = {.at = &ref->place.v[ref->place.n - 1],
                     .method = "PUT",
                     .what = what,
                     .actions = "pull,push",
                     .headers = headers,
                     .body = m->bytes,
                     .body_len = m->len};
    r = call_do(reg, &c, &resp, e);
    if (r == 0 && resp.status != 200 && resp.status != 202)
        r = call_check(reg, &c, &resp, 201, e);
    const char *said = r == 0 ? http_header(&resp, "docker-content-digest") : NULL;
    if (said && str_after(said, "sha256:") && !digest_equal(said, digest))
        r = err_msg(e, EBADMSG, "the registry has stored it as %.80s, not as %s", said, digest);
    return r < 0 ? err_add(e, r, "%s%s%s: manifest", ref->image.name, is_digest(which) ? "@" : ":",
                           which)
                 : 0;
}
