#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fs.h"
#include "base/str.h"
#include "registry/creds-priv.h"
#include "registry/policy-priv.h"

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define DIGEST "sha256:" HEX64
#define OTHER "sha256:f123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* A registry of one image: what its signature tag and blobs are. */
struct store {
    char *manifest; /* of the signature tag; NULL: none */
    char *referrer; /* of what refers to it; NULL: none */
    char *payload;
    int asked, fail;
};

static int put_blob(struct policy_blob *ret, const char *text)
{
    ret->data = xstrdup(text);
    ret->len = strlen(text);
    return 0;
}

static int get_manifest(void *ctx, const char *reference, size_t max, struct policy_blob *ret,
                        struct err *e)
{
    struct store *s = ctx;
    (void)max;
    s->asked++;
    if (s->fail)
        return err_set(e, s->fail, "no way to it");
    if (s->manifest && streq(reference, "sha256-" HEX64 ".sig"))
        return put_blob(ret, s->manifest);
    if (s->referrer && streq(reference, OTHER))
        return put_blob(ret, s->referrer);
    return -ENOENT;
}

static int get_blob(void *ctx, const char *digest, size_t max, struct policy_blob *ret,
                    struct err *e)
{
    struct store *s = ctx;
    (void)e;
    assert_string_equal(digest, DIGEST);
    assert_true(strlen(s->payload) <= max);
    return put_blob(ret, s->payload);
}

static int get_referrers(void *ctx, const char *digest, size_t max, struct policy_blob *ret,
                         struct err *e)
{
    struct store *s = ctx;
    (void)max;
    (void)e;
    if (!s->referrer || !streq(digest, DIGEST))
        return -ENOENT;
    return put_blob(ret, "{\"manifests\":[{\"artifactType\":\"text/x\",\"digest\":\"" DIGEST
                         "\"},{\"artifactType\":\"application/vnd.dev.cosign.artifact.sig.v1+json\""
                         ",\"digest\":\"" OTHER "\"}]}");
}

static char *pem_of(EVP_PKEY *key)
{
    char *text = NULL;
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PUBKEY(bio, key), 1);
    long n = BIO_get_mem_data(bio, &text);
    char *pem = xstrndup(text, (size_t)n);
    BIO_free(bio);
    return pem;
}

/* The manifest of a signature of text. */
static char *sign(EVP_PKEY *key, const char *text, bool flip)
{
    unsigned char sig[1024];
    size_t n = sizeof(sig);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    const EVP_MD *hash = EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519 ? NULL : EVP_sha256();
    assert_int_equal(EVP_DigestSignInit(ctx, NULL, hash, NULL, key), 1);
    assert_int_equal(EVP_DigestSign(ctx, sig, &n, (const unsigned char *)text, strlen(text)), 1);
    EVP_MD_CTX_free(ctx);
    sig[n - 1] ^= flip;
    scoped_free char *word = base64_encode(sig, n);
    return xasprintf("{\"layers\":[{\"mediaType\":\"application/vnd.dev.cosign.simplesigning.v1+"
                     "json\",\"digest\":\"" DIGEST "\",\"size\":%zu,\"annotations\":{\"dev."
                     "cosignproject.cosign/signature\":\"%s\"}}]}",
                     strlen(text), word);
}

static char *payload_of(const char *digest, const char *name)
{
    return xasprintf("{\"critical\":{\"identity\":{\"docker-reference\":\"%s\"},\"image\":{"
                     "\"docker-manifest-digest\":\"%s\"},\"type\":\"cosign container image "
                     "signature\"},\"optional\":{\"creator\":\"x\"}}",
                     name, digest);
}

static char *policy_path;

static int setup(void **state)
{
    (void)state;
    policy_path = xstrdup("/tmp/test-policy-XXXXXX");
    int fd = mkstemp(policy_path);
    assert_true(fd >= 0);
    close(fd);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(policy_path);
    free(policy_path);
    return 0;
}

/* 0 or the message; *ret_r. Owned. */
static char *check_text(const char *policy, const char *name, struct store *s, int *ret_r)
{
    static const char *const digests[] = {OTHER, DIGEST, NULL};
    const struct policy_fetch fetch = {s, get_manifest, get_blob, get_referrers};
    SCOPED(image_ref_release) struct image_ref ref = {0};
    struct err e = ERR_INIT;
    assert_int_equal(image_ref_parse(name, &ref, &e), 0);
    struct policy_image image = {.transport = "docker", .ref = &ref, .digests = digests};
    assert_int_equal(
        fs_write_atomic(AT_FDCWD, policy_path, policy, strlen(policy), 0600, FS_NO_SYNC, &e), 0);
    *ret_r = policy_check(policy_path, &image, s ? &fetch : NULL, &e);
    return xasprintf("%s%s%s", e.msg, *e.hint ? " hint: " : "", e.hint);
}

static char *policy_for(EVP_PKEY *key, const char *identity)
{
    scoped_free char *pem = pem_of(key), *data = base64_encode(pem, strlen(pem));
    return xasprintf("{\"default\":[{\"type\":\"reject\"}],\"transports\":{\"docker\":{\"a.b/c\":[{"
                     "\"type\":\"sigstoreSigned\",\"keyData\":\"%s\"%s%s}]}}}",
                     data, *identity ? ",\"signedIdentity\":" : "", identity);
}

static void test_scopes(void **state)
{
    static const char policy[] =
        "{\"default\":[{\"type\":\"reject\"}],\"transports\":{\"docker\":{"
        "\"quay.io\":[{\"type\":\"insecureAcceptAnything\"}],"
        "\"quay.io/no\":[{\"type\":\"reject\"}],"
        "\"quay.io/no/but:1\":[{\"type\":\"insecureAcceptAnything\"}],"
        "\"*.corp.example\":[{\"type\":\"insecureAcceptAnything\"}],"
        "\"Shouted.example/no\":[{\"type\":\"reject\"}],"
        "\"*.SHOUTED.example\":[{\"type\":\"insecureAcceptAnything\"}],"
        "\"bad.corp.example\":[{\"type\":\"insecureAcceptAnything\"},{\"type\":\"reject\"}],"
        "\"docker.io/library\":[{\"type\":\"insecureAcceptAnything\"}],"
        "\"gpg.example\":[{\"type\":\"signedBy\",\"keyType\":\"GPGKeys\",\"keyPath\":\"/x\"}],"
        "\"ful.example\":[{\"type\":\"sigstoreSigned\",\"fulcio\":{}}]}}}";
    static const struct {
        const char *name, *message; /* NULL: accepted */
    } cases[] = {
        {"quay.io/x", NULL},
        {"quay.io/no/x", "(docker:quay.io/no): such images are rejected"},
        {"quay.io/no/but:1", NULL},
        {"quay.io/no/but:2", "rejected"},
        {"quay.io/nothing", NULL},
        {"Quay.IO/no/x", "(docker:quay.io/no): such images are rejected"}, /* the same host */
        {"shouted.example/no/x", "(docker:shouted.example/no): such images are rejected"},
        {"a.shouted.example/x", NULL},
        {"quay.io:5000/x", "(default): such images are rejected"},
        {"a.corp.example/x", NULL},
        {"a.b.corp.example/x", NULL},
        {"bad.corp.example/x", "rejected"},
        {"corp.example/x", "(default): such images are rejected"},
        {"busybox", NULL},
        {"me/busybox", "rejected"},
        {"gpg.example/x", "signedBy asks for a GPG signature"},
        {"ful.example/x", "sigstoreSigned by fulcio cannot be verified here"},
    };
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        int r = 0;
        scoped_free char *msg = check_text(policy, cases[i].name, NULL, &r);
        assert_int_equal(r, cases[i].message ? -EPERM : 0);
        if (cases[i].message && !strstr(msg, cases[i].message))
            fail_msg("%s: %s", cases[i].name, msg);
    }
    struct policy_image dir = {.transport = "dir", .path = "/a/b"};
    struct err e = ERR_INIT;
    assert_int_equal(policy_check(policy_path, &dir, NULL, &e), -EPERM);
}

static void test_invalid(void **state)
{
    static const char *const cases[][2] = {
        {"", "policy"},
        {"{}", "default: want a list of requirements"},
        {"{\"default\":[]}", "default: want a list of requirements that is not empty"},
        {"{\"default\":[{\"type\":\"accept\"}]}", "default[0]: type accept is not known here"},
        {"{\"default\":[{}]}", "default[0]: type (none) is not known"},
        {"{\"default\":[{\"type\":\"reject\",\"x\":1}]}", "default[0].x: not known here"},
        {"{\"default\":[{\"type\":\"reject\"}],\"more\":1}", "the policy.more: not known here"},
        {"{\"default\":[{\"type\":\"reject\"}],\"default\":[{\"type\":\"insecureAcceptAnything\"}]"
         "}",
         "duplicate"},
        {"{\"default\":[{\"type\":\"insecureAcceptAnything\"}],\"transports\":{\"atomic\":{\"x\":"
         "[]}}}",
         "transports.atomic.\"x\": want a list"},
        {"{\"default\":[{\"type\":\"sigstoreSigned\"}]}", "want exactly one of keyPath"},
        {"{\"default\":[{\"type\":\"sigstoreSigned\",\"keyPath\":\"/a\",\"keyData\":\"YQ==\"}]}",
         "want exactly one of keyPath"},
        {"{\"default\":[{\"type\":\"sigstoreSigned\",\"keyPaths\":[]}]}", "not empty"},
        {"{\"default\":[{\"type\":\"sigstoreSigned\",\"keyData\":\"!\"}]}", "in base64"},
        {"{\"default\":[{\"type\":\"sigstoreSigned\",\"keyPath\":\"/a\",\"signedIdentity\":{"
         "\"type\":\"any\"}}]}",
         "signedIdentity.type: any is not known"},
        {"{\"default\":[{\"type\":\"sigstoreSigned\",\"keyPath\":\"/a\",\"signedIdentity\":{"
         "\"type\":\"exactReference\",\"dockerReference\":\"a.b/c\"}}]}",
         "want a name with a tag or digest"},
        {"{\"default\":[{\"type\":\"sigstoreSigned\",\"keyPath\":\"/nonexistent\"}]}", "keyPath: "},
        {"{\"default\":[{\"type\":\"sigstoreSigned\",\"keyPath\":\"/etc/passwd\"}]}",
         "holds no public key"},
    };
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct store s = {0};
        int r = 0;
        scoped_free char *msg = check_text(cases[i][0], "a.b/c", &s, &r);
        if (r >= 0 || !strstr(msg, cases[i][1]))
            fail_msg("%s: %d %s", cases[i][0], r, msg);
    }
}

static void test_identities(void **state)
{
    static const struct {
        const char *identity, *name, *signed_name;
        bool good;
    } cases[] = {
        {"", "a.b/c:1", "a.b/c:1", true},
        {"", "a.b/c:1", "a.b/c:2", false},
        {"", "a.b/c:1", "a.b/c", false},
        {"", "a.b/c:1", "a.b/cc:1", false},
        {"", "a.b/c:latest", "a.b/c", false},
        {"", "a.b/c@" DIGEST, "a.b/c:7", true},
        {"", "a.b/c@" DIGEST, "a.b/d:7", false},
        {"{\"type\":\"matchRepoDigestOrExact\"}", "a.b/c@" DIGEST, "a.b/c:7", true},
        {"{\"type\":\"matchExact\"}", "a.b/c:1", "a.b/c:1", true},
        {"{\"type\":\"matchExact\"}", "a.b/c@" DIGEST, "a.b/c:1", false},
        {"{\"type\":\"matchExact\"}", "a.b/c@" DIGEST, "a.b/c@" DIGEST, true},
        {"{\"type\":\"matchRepository\"}", "a.b/c:1", "a.b/c:2", true},
        {"{\"type\":\"matchRepository\"}", "a.b/c:1", "a.b/c", true},
        {"{\"type\":\"matchRepository\"}", "a.b/c:1", "a.b/d:1", false},
        {"{\"type\":\"exactReference\",\"dockerReference\":\"x.y/z:1\"}", "a.b/c:1", "x.y/z:1",
         true},
        {"{\"type\":\"exactReference\",\"dockerReference\":\"x.y/z:1\"}", "a.b/c:1", "a.b/c:1",
         false},
        {"{\"type\":\"exactRepository\",\"dockerRepository\":\"x.y/z\"}", "a.b/c:1", "x.y/z:9",
         true},
        {"{\"type\":\"exactRepository\",\"dockerRepository\":\"busybox\"}", "a.b/c:1",
         "docker.io/library/busybox:3", true},
        {"{\"type\":\"exactRepository\",\"dockerRepository\":\"x.y/z\"}", "a.b/c:1", "a.b/c:1",
         false},
        {"{\"type\":\"remapIdentity\",\"prefix\":\"a.b\",\"signedPrefix\":\"up.example/m\"}",
         "a.b/c:1", "up.example/m/c:1", true},
        {"{\"type\":\"remapIdentity\",\"prefix\":\"a.b\",\"signedPrefix\":\"up.example/m\"}",
         "a.b/c:1", "a.b/c:1", false},
        {"{\"type\":\"remapIdentity\",\"prefix\":\"a.bb\",\"signedPrefix\":\"up.example/m\"}",
         "a.b/c:1", "a.b/c:1", true},
        {"{\"type\":\"remapIdentity\",\"prefix\":\"a.b/\",\"signedPrefix\":\"up.example/\"}",
         "a.b/c:1", "up.example/c:1", false},
        {"", "a.b/c:1", "not a name", false},
        {"", "a.b/c:1", "", false},
    };
    EVP_PKEY *key = EVP_EC_gen("P-256");
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct store s = {.payload = payload_of(DIGEST, cases[i].signed_name)};
        scoped_free char *policy = policy_for(key, cases[i].identity);
        int r = 0;
        s.manifest = sign(key, s.payload, false);
        scoped_free char *msg = check_text(policy, cases[i].name, &s, &r);
        if (r != (cases[i].good ? 0 : -EPERM))
            fail_msg("case %zu: %s", i, msg);
        free(s.payload);
        free(s.manifest);
    }
    EVP_PKEY_free(key);
}

static void test_keys(void **state)
{
    EVP_PKEY *keys[] = {EVP_EC_gen("P-256"), EVP_EC_gen("P-384"), EVP_RSA_gen(2048),
                        EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")};
    EVP_PKEY *weak[] = {EVP_RSA_gen(1024), EVP_EC_gen("prime192v1")};
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(keys); i++) {
        scoped_free char *policy = policy_for(keys[i], "");
        scoped_free char *other = policy_for(keys[(i + 1) % N_ELEMENTS(keys)], "");
        struct store s = {.payload = payload_of(DIGEST, "a.b/c:1")};
        int r = 0;
        s.manifest = sign(keys[i], s.payload, false);
        scoped_free char *good = check_text(policy, "a.b/c:1", &s, &r);
        if (r < 0)
            fail_msg("%zu: %s", i, good);
        scoped_free char *wrong = check_text(other, "a.b/c:1", &s, &r);
        assert_int_equal(r, -EPERM);
        assert_non_null(strstr(wrong, "it is by another key, or was changed"));
        free(s.manifest);
        s.manifest = sign(keys[i], s.payload, true);
        scoped_free char *flipped = check_text(policy, "a.b/c:1", &s, &r);
        assert_int_equal(r, -EPERM);
        free(s.manifest);
        free(s.payload);
    }
    for (size_t i = 0; i < N_ELEMENTS(weak); i++) {
        if (!weak[i])
            continue;
        scoped_free char *policy = policy_for(weak[i], "");
        struct store s = {.payload = payload_of(DIGEST, "a.b/c:1")};
        int r = 0;
        s.manifest = sign(weak[i], s.payload, false);
        scoped_free char *msg = check_text(policy, "a.b/c:1", &s, &r);
        assert_int_equal(r, -EPERM);
        assert_non_null(strstr(msg, "want a key of ECDSA, Ed25519, or RSA"));
        free(s.manifest);
        free(s.payload);
    }
    for (size_t i = 0; i < N_ELEMENTS(keys); i++)
        EVP_PKEY_free(keys[i]);
    for (size_t i = 0; i < N_ELEMENTS(weak); i++)
        EVP_PKEY_free(weak[i]);
}

/* What is signed but is no signature of this image: by the right key, and refused. */
static void test_payloads(void **state)
{
    static const char *const parts[] = {"{\"docker-reference\":\"a.b/c:1\"}",
                                        "{\"docker-manifest-digest\":\"" DIGEST "\"}"};
    scoped_free char *cases[] = {
        payload_of("sha256:" HEX64 "0", "a.b/c:1"),
        payload_of("sha256:e123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
                   "a.b/c:1"),
        payload_of("", "a.b/c:1"),
        xasprintf("{\"critical\":{\"identity\":%s,\"image\":%s,\"type\":\"atomic container "
                  "signature\"},\"optional\":{}}",
                  parts[0], parts[1]),
        xasprintf("{\"critical\":{\"identity\":%s,\"image\":%s,\"type\":\"cosign container image "
                  "signature\",\"more\":1}}",
                  parts[0], parts[1]),
        xasprintf("{\"critical\":{\"identity\":%s,\"image\":%s},\"optional\":{}}", parts[0],
                  parts[1]),
        xasprintf("{\"critical\":{\"identity\":%s,\"identity\":%s,\"image\":%s,\"type\":\"cosign "
                  "container image signature\"}}",
                  parts[0], parts[0], parts[1]),
        xstrdup("[]"),
        xstrdup("{"),
        xstrdup("\"\""),
    };
    EVP_PKEY *key = EVP_EC_gen("P-256");
    scoped_free char *policy = policy_for(key, "");
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct store s = {.payload = cases[i], .manifest = sign(key, cases[i], false)};
        int r = 0;
        scoped_free char *msg = check_text(policy, "a.b/c:1", &s, &r);
        if (r != -EPERM)
            fail_msg("case %zu: %d %s", i, r, msg);
        free(s.manifest);
    }
    for (size_t i = 0; i < N_ELEMENTS(cases); i++)
        free(take_ptr(cases[i]));
    EVP_PKEY_free(key);
}

/* Any one byte of a good one changed, and the ways to have none. */
static void test_mutations(void **state)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    scoped_free char *policy = policy_for(key, "");
    (void)state;
    scoped_free char *good = payload_of(DIGEST, "a.b/c:1");
    struct store s = {.payload = good, .manifest = sign(key, good, false)};
    size_t n = strlen(good);
    int r = 0;
    for (size_t i = 0; i < n; i++) {
        good[i] ^= 1;
        scoped_free char *msg = check_text(policy, "a.b/c:1", &s, &r);
        assert_int_equal(r, -EPERM);
        good[i] ^= 1;
    }
    scoped_free char *fine = check_text(policy, "a.b/c:1", &s, &r);
    assert_int_equal(r, 0);
    /* As a referrer; without any; with a registry that does not answer; without a way to ask. */
    s.referrer = take_ptr(s.manifest);
    scoped_free char *referred = check_text(policy, "a.b/c:1", &s, &r);
    assert_int_equal(r, 0);
    free(take_ptr(s.referrer));
    scoped_free char *none = check_text(policy, "a.b/c:1", &s, &r);
    assert_int_equal(r, -EPERM);
    assert_non_null(strstr(none, "(docker:a.b/c): it has no signature"));
    s.fail = EHOSTUNREACH;
    scoped_free char *cut = check_text(policy, "a.b/c:1", &s, &r);
    assert_int_equal(r, -EHOSTUNREACH);
    scoped_free char *closed = check_text(policy, "a.b/c:1", NULL, &r);
    assert_int_equal(r, -EPERM);
    EVP_PKEY_free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_scopes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_invalid, setup, teardown),
        cmocka_unit_test_setup_teardown(test_identities, setup, teardown),
        cmocka_unit_test_setup_teardown(test_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(test_payloads, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mutations, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
