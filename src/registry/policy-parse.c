/* policy-parse - policy.json to requirements. Whatever is not known makes the whole policy invalid:
 * it may have meant that an image is to be refused. */
#include <errno.h>
#include <string.h>

#include "registry/creds-priv.h"
#include "registry/policy-priv.h"

void requirement_release(struct requirement *r)
{
    strv_free(r->key_paths);
    strv_free(r->keys);
    free(r->unknown);
    free(r->name);
    free(r->signed_prefix);
    *r = (struct requirement){0};
}

static int only_members(const json_t *obj, const char *where, const char *const *known,
                        struct err *e)
{
    const char *key = NULL;
    json_t *v = NULL;
    if (!json_is_object(obj))
        return err_msg(e, EINVAL, "%s: want an object", where);
    json_object_foreach((json_t *)(uintptr_t)obj, key, v)
    {
        if (!strv_has((char *const *)(uintptr_t)known, key))
            return err_msg(e, EINVAL, "%s.%s: not known here", where, key);
    }
    return 0;
}

static int text_member(const json_t *obj, const char *where, const char *key, char **ret,
                       struct err *e)
{
    const char *text = json_string_value(json_object_get(obj, key));
    if (!text || !*text)
        return err_msg(e, EINVAL, "%s.%s: want a text", where, key);
    *ret = xstrdup(text);
    return 0;
}

/* A name without a tag, or with one (or a digest), as the type wants it; it is kept in full. */
static int full_name(const char *where, bool whole, char **name, struct err *e)
{
    SCOPED(image_ref_release) struct image_ref ref = {0};
    bool is_short = false;
    int r = image_ref_split(*name, &ref, &is_short, e);
    if (r == 0 && whole != (ref.tag || ref.digest))
        r = err_msg(e, EINVAL, "%s: want a name %s", where,
                    whole ? "with a tag or digest" : "without a tag or digest");
    image_ref_release(&ref);
    r = r < 0 ? r : image_ref_parse(*name, &ref, e);
    if (r < 0)
        return err_add(e, r, "%s", where);
    free(*name);
    *name = whole ? image_ref_text(&ref) : take_ptr(ref.name);
    return 0;
}

static const struct {
    const char *name;
    enum identity_type type;
    const char *members[4];
} identities[] = {
    {"matchExact", ID_EXACT, {"type", NULL}},
    {"matchRepoDigestOrExact", ID_REPO_DIGEST_OR_EXACT, {"type", NULL}},
    {"matchRepository", ID_REPOSITORY, {"type", NULL}},
    {"exactReference", ID_EXACT_REFERENCE, {"type", "dockerReference", NULL}},
    {"exactRepository", ID_EXACT_REPOSITORY, {"type", "dockerRepository", NULL}},
    {"remapIdentity", ID_REMAP, {"type", "prefix", "signedPrefix", NULL}},
};

static int parse_identity(const json_t *obj, const char *where, struct requirement *ret,
                          struct err *e)
{
    const char *type = json_string_value(json_object_get(obj, "type"));
    size_t i = 0;
    while (i < N_ELEMENTS(identities) && !streq(identities[i].name, type))
        i++;
    if (!type || i == N_ELEMENTS(identities))
        return err_msg(e, EINVAL, "%s.type: %s is not known here", where, type ? type : "nothing");
    int r = only_members(obj, where, identities[i].members, e);
    ret->identity = identities[i].type;
    if (r == 0 && identities[i].members[1])
        r = text_member(obj, where, identities[i].members[1], &ret->name, e);
    if (r == 0 && identities[i].members[1] && identities[i].members[2])
        r = text_member(obj, where, identities[i].members[2], &ret->signed_prefix, e);
    if (r == 0 && ret->identity == ID_EXACT_REFERENCE)
        r = full_name(where, true, &ret->name, e);
    if (r == 0 && ret->identity == ID_EXACT_REPOSITORY)
        r = full_name(where, false, &ret->name, e);
    return r;
}

static int add_key(const char *base64, const char *where, struct requirement *ret, struct err *e)
{
    size_t n = 0;
    char *pem = base64 ? base64_decode(base64, &n) : NULL;
    if (!pem || n == 0 || strlen(pem) != n) {
        free(pem);
        return err_msg(e, EINVAL, "%s: want a public key (PEM) in base64", where);
    }
    strv_take(&ret->keys, pem);
    return 0;
}

/* A member of one text or a list of them. */
static int add_values(const json_t *v, const char *where, bool data, struct requirement *ret,
                      struct err *e)
{
    const json_t *one = NULL;
    size_t i = 0;
    if (json_is_string(v)) {
        if (data)
            return add_key(json_string_value(v), where, ret, e);
        strv_add(&ret->key_paths, json_string_value(v));
        return 0;
    }
    if (!json_is_array(v) || json_array_size(v) == 0)
        return err_msg(e, EINVAL, "%s: want a list of texts that is not empty", where);
    json_array_foreach(v, i, one)
    {
        int r = json_is_string(one) ? add_values(one, where, data, ret, e)
                                    : err_msg(e, EINVAL, "%s: want texts", where);
        if (r < 0)
            return r;
    }
    return 0;
}

static int parse_sigstore(const json_t *obj, const char *where, struct requirement *ret,
                          struct err *e)
{
    static const struct {
        const char *name;
        bool list, data;
    } sources[] = {{"keyPath", false, false},
                   {"keyPaths", true, false},
                   {"keyData", false, true},
                   {"keyDatas", true, true}};
    static const char *const others[] = {"fulcio",
                                         "pki",
                                         "rekorPublicKeyPath",
                                         "rekorPublicKeyPaths",
                                         "rekorPublicKeyData",
                                         "rekorPublicKeyDatas"};
    static const char *const known[] = {"type",
                                        "signedIdentity",
                                        "keyPath",
                                        "keyPaths",
                                        "keyData",
                                        "keyDatas",
                                        "fulcio",
                                        "pki",
                                        "rekorPublicKeyPath",
                                        "rekorPublicKeyPaths",
                                        "rekorPublicKeyData",
                                        "rekorPublicKeyDatas",
                                        NULL};
    int r = only_members(obj, where, known, e), n = 0;
    for (size_t i = 0; i < N_ELEMENTS(others); i++)
        if (r == 0 && !ret->unknown && json_object_get(obj, others[i]))
            ret->unknown = xstrdup(others[i]);
    for (size_t i = 0; r == 0 && i < N_ELEMENTS(sources); i++) {
        const json_t *v = json_object_get(obj, sources[i].name);
        scoped_free char *path = xasprintf("%s.%s", where, sources[i].name);
        if (!v)
            continue;
        n++;
        r = json_is_array(v) == sources[i].list
                ? add_values(v, path, sources[i].data, ret, e)
                : err_msg(e, EINVAL, "%s: want %s", path,
                          sources[i].list ? "a list of texts" : "a text");
    }
    if (r == 0 && n != 1 && !(n == 0 && ret->unknown))
        r = err_msg(e, EINVAL, "%s: want exactly one of keyPath, keyPaths, keyData and keyDatas",
                    where);
    return r;
}

int requirement_parse(const json_t *obj, const char *where, struct requirement *ret, struct err *e)
{
    static const char *const plain[] = {"type", NULL};
    static const char *const gpg[] = {"type",    "keyType",  "keyPath",        "keyPaths",
                                      "keyData", "keyDatas", "signedIdentity", NULL};
    SCOPED(requirement_release) struct requirement q = {0};
    const char *type = json_string_value(json_object_get(obj, "type"));
    int r = 0;
    if (streq(type, "insecureAcceptAnything") || streq(type, "reject")) {
        q.type = type[0] == 'r' ? REQ_REJECT : REQ_ACCEPT;
        r = only_members(obj, where, plain, e);
    } else if (streq(type, "signedBy")) {
        q.type = REQ_SIGNED_BY;
        r = only_members(obj, where, gpg, e);
    } else if (streq(type, "sigstoreSigned")) {
        q.type = REQ_SIGSTORE;
        r = parse_sigstore(obj, where, &q, e);
    } else {
        return err_msg(e, EINVAL, "%s: type %s is not known here", where, type ? type : "(none)");
    }
    const json_t *identity = json_object_get(obj, "signedIdentity");
    if (r == 0 && identity) {
        scoped_free char *path = xasprintf("%s.signedIdentity", where);
        r = parse_identity(identity, path, &q, e);
    }
    if (r < 0)
        return r;
    *ret = q;
    q = (struct requirement){0};
    return 0;
}

static int validate_list(const json_t *list, const char *where, struct err *e)
{
    const json_t *v = NULL;
    size_t i = 0;
    if (!json_is_array(list) || json_array_size(list) == 0)
        return err_msg(e, EINVAL, "%s: want a list of requirements that is not empty", where);
    json_array_foreach(list, i, v)
    {
        SCOPED(requirement_release) struct requirement q = {0};
        scoped_free char *path = xasprintf("%s[%zu]", where, i);
        int r = requirement_parse(v, path, &q, e);
        if (r < 0)
            return r;
    }
    return 0;
}

static int validate_scopes(json_t *scopes, const char *transport, struct err *e)
{
    scoped_free char *where = xasprintf("transports.%s", transport);
    const char *key = NULL;
    json_t *v = NULL;
    if (!json_is_object(scopes))
        return err_msg(e, EINVAL, "%s: want an object", where);
    json_object_foreach(scopes, key, v)
    {
        scoped_free char *path = xasprintf("%s.\"%s\"", where, key);
        int r = validate_list(v, path, e);
        if (r < 0)
            return r;
    }
    return 0;
}

int policy_validate(const json_t *doc, struct err *e)
{
    static const char *const known[] = {"default", "transports", NULL};
    json_t *transports = json_object_get(doc, "transports"), *v = NULL;
    const char *key = NULL;
    int r = only_members(doc, "the policy", known, e);
    r = r < 0 ? r : validate_list(json_object_get(doc, "default"), "default", e);
    if (r == 0 && transports && !json_is_object(transports))
        r = err_msg(e, EINVAL, "transports: want an object");
    if (r < 0)
        return r;
    json_object_foreach(transports, key, v)
    {
        r = validate_scopes(v, key, e);
        if (r < 0)
            return r;
    }
    return 0;
}
