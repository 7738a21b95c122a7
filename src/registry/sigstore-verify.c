/* sigstore-verify - is a signature by this key, of this manifest, for this name? By libcrypto. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <string.h>

#include "base/fs.h"
#include "registry/policy-priv.h"

#define KEY_MAX_BYTES (64u << 10)
#define PAYLOAD_TYPE "cosign container image signature"
#define RSA_MIN_BITS 2048

static int bad_payload(struct err *e, const char *what)
{
    return err_msg(e, EPERM, "its payload: %s", what);
}

/* An object of exactly these members, which are texts or objects. */
static bool has_only(const json_t *obj, const char *const *names)
{
    size_t n = 0;
    for (; names[n]; n++)
        if (!json_object_get(obj, names[n]))
            return false;
    return json_object_size(obj) == n;
}

int sigstore_payload_parse(const char *text, size_t len, char **ret_digest, char **ret_reference,
                           struct err *e)
{
    static const char *const parts[] = {"identity", "image", "type", NULL};
    static const char *const identity_names[] = {"docker-reference", NULL};
    static const char *const image_names[] = {"docker-manifest-digest", NULL};
    scoped_json json_t *doc = json_parse(text, len, len, "its payload", e);
    if (!doc)
        return -EPERM;
    const json_t *critical = json_object_get(doc, "critical");
    const json_t *identity = json_object_get(critical, "identity");
    const json_t *image = json_object_get(critical, "image");
    size_t others = json_object_get(doc, "optional") ? 2 : 1;
    if (!has_only(critical, parts) || !has_only(identity, identity_names) ||
        !has_only(image, image_names) || json_object_size(doc) != others)
        return bad_payload(e, "not what a signature of an image says");
    if (!streq(json_string_value(json_object_get(critical, "type")), PAYLOAD_TYPE))
        return bad_payload(e, "not of the type \"" PAYLOAD_TYPE "\"");
    const char *digest = json_string_value(json_object_get(image, image_names[0]));
    const char *reference = json_string_value(json_object_get(identity, identity_names[0]));
    if (!digest || !reference)
        return bad_payload(e, "no name or no digest");
    *ret_digest = xstrdup(digest);
    *ret_reference = xstrdup(reference);
    return 0;
}

static EVP_PKEY *read_key(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *key = bio ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;
    BIO_free(bio);
    ERR_clear_error();
    return key;
}

/* What cosign makes: ECDSA on a NIST curve and RSA (PKCS #1 1.5), both over SHA-256, and Ed25519
 * over the text itself. *ret_hash NULL: the last. */
static bool is_usable(const EVP_PKEY *key, const EVP_MD **ret_hash)
{
    *ret_hash = EVP_sha256();
    switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_EC:
        return EVP_PKEY_get_bits(key) >= 256;
    case EVP_PKEY_RSA:
        return EVP_PKEY_get_bits(key) >= RSA_MIN_BITS;
    case EVP_PKEY_ED25519:
        *ret_hash = NULL;
        return true;
    default:
        return false;
    }
}

int sigstore_verify(const char *pem, const struct sigstore_signature *s, struct err *e)
{
    EVP_PKEY *key = read_key(pem);
    const EVP_MD *hash = NULL;
    int r = -EINVAL;
    if (!key)
        return err_msg(e, EINVAL, "it holds no public key in PEM");
    if (!is_usable(key, &hash)) {
        err_msg(e, EINVAL, "want a key of ECDSA, Ed25519, or RSA with %d bits and more",
                RSA_MIN_BITS);
    } else {
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        bool good = ctx && EVP_DigestVerifyInit(ctx, NULL, hash, NULL, key) == 1 &&
                    EVP_DigestVerify(ctx, (const unsigned char *)s->signature, s->signature_len,
                                     (const unsigned char *)s->payload, s->payload_len) == 1;
        EVP_MD_CTX_free(ctx);
        r = good ? 0 : err_msg(e, EPERM, "it is by another key, or was changed");
    }
    EVP_PKEY_free(key);
    ERR_clear_error();
    return r;
}

/* All keys of a requirement as PEM texts. */
static int load_keys(const struct requirement *q, char ***ret, struct err *e)
{
    scoped_strv char **keys = strv_dup(q->keys);
    for (char **p = q->key_paths; p && *p; p++) {
        scoped_free char *pem = NULL;
        ssize_t n = fs_read(AT_FDCWD, *p, KEY_MAX_BYTES, &pem, e);
        if (n < 0)
            return err_add(e, (int)n, "keyPath");
        EVP_PKEY *key = read_key(pem);
        if (!key)
            return err_msg(e, EINVAL, "keyPath %s: it holds no public key in PEM", *p);
        EVP_PKEY_free(key);
        strv_take(&keys, take_ptr(pem));
    }
    *ret = take_ptr(keys);
    return 0;
}

static int check_key(char *const *keys, const struct sigstore_signature *s, struct err *e)
{
    int r = -EPERM;
    for (char *const *k = keys; r != 0 && k && *k; k++) {
        err_clear(e);
        r = sigstore_verify(*k, s, e);
    }
    return r;
}

static int check_one(const struct requirement *q, char *const *keys,
                     const struct policy_image *image, const struct sigstore_signature *s,
                     struct err *e)
{
    scoped_free char *digest = NULL, *reference = NULL;
    int r = check_key(keys, s, e);
    r = r < 0 ? r : sigstore_payload_parse(s->payload, s->payload_len, &digest, &reference, e);
    if (r < 0)
        return r;
    bool known = false;
    for (size_t i = 0; image->digests[i]; i++)
        known = known || streq(image->digests[i], digest);
    if (!known)
        return err_msg(e, EPERM, "it is of another image (%s)", digest);
    return identity_match(q, image->ref, reference, e);
}

int sigstore_satisfy(const struct requirement *q, const struct policy_image *image,
                     const struct sigstore_set *set, struct err *e)
{
    scoped_strv char **keys = NULL;
    scoped_str struct str reasons = STR_INIT;
    char hint[sizeof(e->hint)] = "";
    int r = load_keys(q, &keys, e);
    if (r < 0)
        return r;
    if (set->n == 0)
        return err_msg(e, EPERM, "it has no signature");
    for (size_t i = 0; i < set->n; i++) {
        struct err why = ERR_INIT;
        if (check_one(q, keys, image, &set->v[i], &why) == 0)
            return 0;
        if (!strstr(reasons.s, why.msg))
            str_addf(&reasons, "%s%s", reasons.len ? "; " : "", why.msg);
        memcpy(hint, why.hint, sizeof(hint));
    }
    r = err_msg(e, EPERM, "no signature of it will do: %s", reasons.s);
    return *hint ? err_hint(e, r, "%s", hint) : r;
}
