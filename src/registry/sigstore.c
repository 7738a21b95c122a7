/* sigstore - where signatures of cosign's form lie in a registry. Nothing of what is read here is
 * believed before sigstore-verify has seen it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "registry/creds-priv.h"
#include "registry/policy-priv.h"

#define MANIFEST_MAX (4u << 20)
#define PAYLOAD_MAX (1u << 20)
#define SIGNATURES_MAX 64 /* of one image */
#define REFERRERS_MAX 32
#define SIGNATURE_MEDIA_TYPE "application/vnd.dev.cosign.simplesigning.v1+json"
#define SIGNATURE_ARTIFACT "application/vnd.dev.cosign.artifact.sig.v1+json"
#define SIGNATURE_ANNOTATION "dev.cosignproject.cosign/signature"

void policy_blob_release(struct policy_blob *b)
{
    free(b->data);
    free(b->media_type);
    *b = (struct policy_blob){0};
}

void sigstore_set_release(struct sigstore_set *set)
{
    for (size_t i = 0; i < set->n; i++) {
        free(set->v[i].payload);
        free(set->v[i].signature);
    }
    free(set->v);
    *set = (struct sigstore_set){0};
}

/* "sha256:HEX" -> "sha256-HEX.sig"; owned. */
static char *tag_of(const char *digest)
{
    char *tag = xasprintf("%s.sig", digest);
    char *colon = strchr(tag, ':');
    if (colon)
        *colon = '-';
    return tag;
}

/* A layer of a signature's manifest: the payload, and beside it the signature of it. */
static int add_layer(const struct policy_fetch *fetch, const json_t *layer,
                     struct sigstore_set *set, struct err *e)
{
    SCOPED(policy_blob_release) struct policy_blob blob = {0};
    const char *type = json_string_value(json_object_get(layer, "mediaType"));
    const char *digest = json_string_value(json_object_get(layer, "digest"));
    const json_t *notes = json_object_get(layer, "annotations");
    const char *word = json_string_value(json_object_get(notes, SIGNATURE_ANNOTATION));
    json_int_t size = json_integer_value(json_object_get(layer, "size"));
    size_t n = 0;
    if (!streq(type, SIGNATURE_MEDIA_TYPE) || !word || image_digest_check(digest, NULL) < 0)
        return 0;
    if (set->tried++ >= SIGNATURES_MAX) /* each costs a request, also one that is not there */
        return 0;
    if (size < 1 || size > PAYLOAD_MAX) {
        log_warn("a signature with a payload of %lld bytes is passed over", (long long)size);
        return 0;
    }
    scoped_free char *signature = base64_decode(word, &n);
    if (!signature || n == 0)
        return 0;
    int r = fetch->blob(fetch->ctx, digest, (size_t)size, &blob, e);
    if (r == -ENOENT) {
        err_clear(e);
        return 0;
    }
    if (r < 0)
        return err_add(e, r, "signature");
    set->v = xrealloc(set->v, (set->n + 1) * sizeof(*set->v));
    struct sigstore_signature *new = &set->v[set->n++];
    new->payload = take_ptr(blob.data);
    new->payload_len = blob.len;
    new->signature = take_ptr(signature);
    new->signature_len = n;
    return 0;
}

static json_t *parse(const struct policy_blob *blob, const char *what)
{
    struct err e = ERR_INIT;
    json_t *doc = json_parse(blob->data, blob->len, MANIFEST_MAX, what, &e);
    if (!doc)
        log_warn("signatures: %s is passed over", e.msg);
    return doc;
}

/* All signatures of the manifest that a tag or digest names; it is fine if there is none. */
static int add_manifest(const struct policy_fetch *fetch, const char *reference,
                        struct sigstore_set *set, struct err *e)
{
    SCOPED(policy_blob_release) struct policy_blob blob = {0};
    int r = fetch->manifest(fetch->ctx, reference, MANIFEST_MAX, &blob, e);
    if (r == -ENOENT) {
        err_clear(e);
        return 0;
    }
    if (r < 0)
        return err_add(e, r, "signatures");
    scoped_json json_t *doc = parse(&blob, reference);
    const json_t *layer = NULL;
    size_t i = 0;
    json_array_foreach(json_object_get(doc, "layers"), i, layer)
    {
        r = add_layer(fetch, layer, set, e);
        if (r < 0)
            return r;
    }
    return 0;
}

static int add_referrers(const struct policy_fetch *fetch, const char *digest,
                         struct sigstore_set *set, struct err *e)
{
    SCOPED(policy_blob_release) struct policy_blob blob = {0};
    int r =
        fetch->referrers ? fetch->referrers(fetch->ctx, digest, MANIFEST_MAX, &blob, e) : -ENOENT;
    if (r == -ENOENT) {
        err_clear(e);
        return 0;
    }
    if (r < 0)
        return err_add(e, r, "signatures");
    scoped_json json_t *doc = parse(&blob, "the list of referrers");
    const json_t *v = NULL;
    size_t i = 0, n = 0;
    json_array_foreach(json_object_get(doc, "manifests"), i, v)
    {
        const char *type = json_string_value(json_object_get(v, "artifactType"));
        const char *at = json_string_value(json_object_get(v, "digest"));
        if (!streq(type, SIGNATURE_ARTIFACT) || image_digest_check(at, NULL) < 0)
            continue;
        if (n++ >= REFERRERS_MAX)
            break;
        r = add_manifest(fetch, at, set, e);
        if (r < 0)
            return r;
    }
    return 0;
}

int sigstore_collect(const struct policy_fetch *fetch, const char *const *digests,
                     struct sigstore_set *ret, struct err *e)
{
    SCOPED(sigstore_set_release) struct sigstore_set set = {0};
    for (size_t i = 0; digests[i]; i++) {
        scoped_free char *tag = tag_of(digests[i]);
        int r = add_manifest(fetch, tag, &set, e);
        r = r < 0 ? r : add_referrers(fetch, digests[i], &set, e);
        if (r < 0)
            return r;
    }
    *ret = set;
    set = (struct sigstore_set){0};
    return 0;
}
