/* policy-match - which requirements are an image's, and whether a signature is for its name. */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "registry/policy-priv.h"

/* Hosts of images are in lower case, those of rules as somebody wrote them. */
static const json_t *find_scope(const json_t *scopes, const char *scope)
{
    const json_t *list = json_object_get(scopes, scope);
    const char *key = NULL;
    json_t *v = NULL;
    size_t n = strcspn(scope, "/");
    json_object_foreach((json_t *)(uintptr_t)scopes, key, v)
    {
        if (!list && n && strncasecmp(key, scope, n) == 0 && streq(key + n, scope + n))
            list = v;
    }
    return list;
}

static const json_t *take_scope(const json_t *scopes, const char *transport, const char *scope,
                                char **ret_where)
{
    const json_t *list = find_scope(scopes, scope);
    if (list)
        *ret_where = xasprintf("%s%s%s", transport, *scope ? ":" : "", scope);
    return list;
}

/* The name with its tag or digest, the name, what it lies below, the host, *.DOMAIN: the first that
 * is there. */
static const json_t *select_docker(const json_t *scopes, const struct image_ref *ref,
                                   char **ret_where)
{
    scoped_strv char **tries = NULL;
    scoped_free char *name = xstrdup(ref->name);
    const json_t *list = NULL;
    if (ref->tag)
        strv_addf(&tries, "%s:%s", name, ref->tag);
    if (ref->digest)
        strv_addf(&tries, "%s@%s", name, ref->digest);
    for (char *slash = NULL;; *slash = '\0') {
        strv_add(&tries, name);
        slash = strrchr(name, '/');
        if (!slash)
            break;
    }
    for (const char *dot = strchr(name, '.'); dot; dot = strchr(dot + 1, '.'))
        strv_addf(&tries, "*%s", dot);
    for (char **t = tries; !list && t && *t; t++)
        list = take_scope(scopes, "docker", *t, ret_where);
    return list;
}

/* The path, with what a colon says about the image in it, and the directories above. */
static const json_t *select_path(const json_t *scopes, const struct policy_image *image,
                                 char **ret_where)
{
    scoped_free char *path = xstrdup(image->path ? image->path : "");
    const json_t *list = NULL;
    while (!list && *path) {
        list = take_scope(scopes, image->transport, path, ret_where);
        char *slash = strrchr(path, '/'), *colon = strrchr(path, ':');
        if (colon && (!slash || colon > slash))
            *colon = '\0';
        else if (slash)
            *slash = '\0';
        else
            break;
    }
    return list;
}

const json_t *policy_select(const json_t *doc, const struct policy_image *image, char **ret_where)
{
    const json_t *scopes = json_object_get(json_object_get(doc, "transports"), image->transport);
    const json_t *list = NULL;
    if (streq(image->transport, "docker"))
        list = select_docker(scopes, image->ref, ret_where);
    else
        list = select_path(scopes, image, ret_where);
    list = list ? list : take_scope(scopes, image->transport, "", ret_where);
    if (!list) {
        list = json_object_get(doc, "default");
        *ret_where = xstrdup("default");
    }
    return list;
}

/* The intended name below prefix becomes one below signedPrefix. Owned. */
static char *remap(const struct requirement *q, const char *name)
{
    const char *rest = str_after(name, q->name);
    if (!rest || (*rest && *rest != '/'))
        return xstrdup(name);
    return xasprintf("%s%s", q->signed_prefix, rest);
}

static bool same(const char *a, const char *b)
{
    return streq(a, b);
}

/* The same name, and the same tag and digest. */
static bool matches_exactly(const char *name, const struct image_ref *want,
                            const struct image_ref *got)
{
    return same(name, got->name) && (want->tag || want->digest) && same(want->tag, got->tag) &&
           same(want->digest, got->digest);
}

static bool matches(const struct requirement *q, const struct image_ref *want,
                    const struct image_ref *got)
{
    scoped_free char *text = image_ref_text(got);
    scoped_free char *mapped = q->identity == ID_REMAP ? remap(q, want->name) : NULL;
    const char *name = mapped ? mapped : want->name;
    switch (q->identity) {
    case ID_EXACT_REFERENCE:
        return same(q->name, text);
    case ID_EXACT_REPOSITORY:
        return same(q->name, got->name);
    case ID_REPOSITORY:
        return same(want->name, got->name);
    case ID_EXACT:
        return matches_exactly(name, want, got);
    case ID_REPO_DIGEST_OR_EXACT:
    case ID_REMAP:
        break;
    }
    /* A digest has pinned the content already: only the repository has to be right. */
    return want->digest ? same(name, got->name) : matches_exactly(name, want, got);
}

int identity_match(const struct requirement *q, const struct image_ref *intended,
                   const char *signed_reference, struct err *e)
{
    SCOPED(image_ref_release) struct image_ref got = {0}, full = {0};
    bool is_short = false;
    int r = image_ref_split(signed_reference, &got, &is_short, e);
    r = r < 0 ? r : image_ref_parse(signed_reference, &full, e);
    if (r < 0)
        return err_add(e, -EPERM, "it is for a name that is none");
    if (!got.tag) /* "latest" is nothing that was signed */
        free(take_ptr(full.tag));
    if (matches(q, intended, &full))
        return 0;
    r = err_msg(e, EPERM, "it is for %s", signed_reference);
    if (!got.tag && !got.digest && q->identity != ID_EXACT_REPOSITORY)
        err_hint(e, r,
                 "the signature names a repository without a tag, as cosign does: signedIdentity "
                 "of type matchRepository accepts that");
    return r;
}
