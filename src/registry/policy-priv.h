/* policy-priv - requirements of a policy, between the files of policy and sigstore. */
#pragma once

#include <stdbool.h>

#include "base/jfield.h"
#include "base/str.h"
#include "base/strv.h"
#include "registry/policy.h"

enum requirement_type { REQ_ACCEPT, REQ_REJECT, REQ_SIGNED_BY, REQ_SIGSTORE };

enum identity_type {
    ID_REPO_DIGEST_OR_EXACT, /* the default */
    ID_EXACT,
    ID_REPOSITORY,
    ID_EXACT_REFERENCE,
    ID_EXACT_REPOSITORY,
    ID_REMAP,
};

struct requirement {
    enum requirement_type type;
    char **key_paths; /* files with a public key in PEM */
    char **keys;      /* the PEM texts themselves */
    char *unknown;    /* a means of trust that we lack ("fulcio"): never satisfied */
    enum identity_type identity;
    char *name, *signed_prefix; /* exactReference, exactRepository; remapIdentity: its prefix */
};
void requirement_release(struct requirement *r);
/* where: "transports.docker.quay.io[0]", for the message. -EINVAL for whatever is not known. */
int requirement_parse(const json_t *obj, const char *where, struct requirement *ret, struct err *e);
/* Checks a whole policy, also the parts that are not asked for. */
int policy_validate(const json_t *doc, struct err *e);
/* The list for an image, never NULL of a valid policy (borrowed); *ret_where: its name, owned. */
const json_t *policy_select(const json_t *doc, const struct policy_image *image, char **ret_where);

/* Does the name in a signature stand for the image? 0, or -EPERM with the reason. */
int identity_match(const struct requirement *r, const struct image_ref *intended,
                   const char *signed_reference, struct err *e);

/* One signature of an image as it was found: nothing of it is verified. */
struct sigstore_signature {
    char *payload;
    size_t payload_len;
    char *signature; /* raw bytes */
    size_t signature_len;
};
struct sigstore_set {
    struct sigstore_signature *v;
    size_t n, tried;
};
void sigstore_set_release(struct sigstore_set *set);
/* Reads all signatures of the digests: of the tags sha256-HEX.sig, and what refers to them. Parts
 * that are malformed or too large are passed over: they are no signatures. */
int sigstore_collect(const struct policy_fetch *fetch, const char *const *digests,
                     struct sigstore_set *ret, struct err *e);
/* Is there a signature among them by one of the requirement's keys, of one of the digests, for this
 * name? 0, or -EPERM with the reasons. */
int sigstore_satisfy(const struct requirement *r, const struct policy_image *image,
                     const struct sigstore_set *set, struct err *e);
/* What a payload says; strict: nothing unknown in what is signed for. Owned texts. */
int sigstore_payload_parse(const char *text, size_t len, char **ret_digest, char **ret_reference,
                           struct err *e);
/* Is the signature of data by the key in PEM? 0, -EPERM no, -EINVAL for a key that is none. */
int sigstore_verify(const char *pem, const struct sigstore_signature *s, struct err *e);
