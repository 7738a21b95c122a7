/* Any bytes as policy.json, or (behind one byte that says which) as the payload of a signature or
 * the manifest that holds some: no crash; a policy that is read has requirements for every image,
 * and none of what has no good signature is accepted by one that wants it. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "registry/policy-priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* Of nobody: its private half is not kept. */
static const char key[] = "-----BEGIN PUBLIC KEY-----\n"
                          "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n"
                          "-----END PUBLIC KEY-----\n";

static void must(int ok)
{
    if (!ok)
        abort();
}

struct input {
    const char *text;
    size_t len;
};

static int give(const struct input *in, struct policy_blob *ret)
{
    ret->data = xmalloc(in->len + 1);
    memcpy(ret->data, in->text, in->len);
    ret->data[in->len] = '\0';
    ret->len = in->len;
    return 0;
}

static int get_manifest(void *ctx, const char *reference, size_t max, struct policy_blob *ret,
                        struct err *e)
{
    (void)reference;
    (void)max;
    (void)e;
    return give(ctx, ret);
}

static int get_blob(void *ctx, const char *digest, size_t max, struct policy_blob *ret,
                    struct err *e)
{
    (void)ctx;
    (void)e;
    must(str_after(digest, "sha256:") && max > 0 && max <= 1 << 20);
    const struct input in = {"{}", 2};
    return give(&in, ret);
}

static void check_policy(const struct input *in)
{
    struct err e = ERR_INIT;
    scoped_json json_t *doc = json_parse(in->text, in->len, 1 << 20, "f", &e);
    if (!doc || policy_validate(doc, &e) < 0) {
        must(e.msg[0] != '\0');
        return;
    }
    static const char *const names[] = {"busybox", "quay.io/a/b:1", "a.b.example/x@" DIGEST};
    for (size_t i = 0; i < N_ELEMENTS(names); i++) {
        SCOPED(image_ref_release) struct image_ref ref = {0};
        scoped_free char *where = NULL;
        struct policy_image image = {.transport = i ? "docker" : "oci", .path = "/a/b:c"};
        must(image_ref_parse(names[i], &ref, &e) == 0);
        image.ref = &ref;
        const json_t *list = policy_select(doc, &image, &where), *v = NULL;
        size_t n = 0;
        must(where && json_array_size(list) > 0);
        json_array_foreach(list, n, v)
        {
            SCOPED(requirement_release) struct requirement q = {0};
            must(requirement_parse(v, "r", &q, &e) == 0);
            must(q.type != REQ_SIGSTORE || q.keys || q.key_paths || q.unknown);
            if (q.type == REQ_SIGSTORE)
                identity_match(&q, &ref, names[i], &e);
        }
    }
}

static void check_payload(const struct input *in)
{
    scoped_free char *digest = NULL, *reference = NULL;
    struct err e = ERR_INIT;
    if (sigstore_payload_parse(in->text, in->len, &digest, &reference, &e) < 0) {
        must(e.msg[0] && !digest && !reference);
        return;
    }
    SCOPED(image_ref_release) struct image_ref ref = {0};
    must(image_ref_parse("a.b/c:1", &ref, &e) == 0);
    for (int type = ID_REPO_DIGEST_OR_EXACT; type <= ID_REPOSITORY; type++) {
        struct requirement q = {.type = REQ_SIGSTORE, .identity = (enum identity_type)type};
        if (identity_match(&q, &ref, reference, &e) == 0)
            must(strncasecmp(reference, "a.b/", 4) == 0 && reference[4] == 'c');
    }
}

static void check_manifest(struct input *in)
{
    const struct policy_fetch fetch = {in, get_manifest, get_blob, get_manifest};
    static const char *const digests[] = {DIGEST, NULL};
    SCOPED(sigstore_set_release) struct sigstore_set set = {0};
    SCOPED(image_ref_release) struct image_ref ref = {0};
    struct err e = ERR_INIT;
    char *keys[] = {(char *)(uintptr_t)key, NULL};
    struct requirement q = {.type = REQ_SIGSTORE, .keys = keys};
    must(image_ref_parse("a.b/c:1", &ref, &e) == 0);
    struct policy_image image = {.transport = "docker", .ref = &ref, .digests = digests};
    must(sigstore_collect(&fetch, digests, &set, &e) == 0);
    must(set.n <= 64);
    must(sigstore_satisfy(&q, &image, &set, &e) < 0 && e.msg[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    log_max = LOG_LEVEL_ERROR;
    if (size == 0)
        return 0;
    scoped_free char *text = xmalloc(size);
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    struct input in = {text, size - 1};
    if (data[0] == 'p')
        check_payload(&in);
    else if (data[0] == 'm')
        check_manifest(&in);
    else
        check_policy(&in);
    return 0;
}
