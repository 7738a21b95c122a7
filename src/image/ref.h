/* ref - the grammar of image references and digests, and how a name becomes a directory of refs/.
 *
 * distribution-spec and docker's reference grammar: [HOST[:PORT]/]PATH[:TAG][@DIGEST]. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "image/store.h"

#define DIGEST_PREFIX "sha256:"
#define DIGEST_HEX 64
#define DIGEST_LEN (7 + DIGEST_HEX) /* "sha256:" and the digits */

/* Splits a reference as typed: no default host, tag or "library/". *ret_short: no host was named.
 * -EINVAL says which part is wrong. */
int image_ref_split(const char *text, struct image_ref *ret, bool *ret_short, struct err *e);

/* The host in front of name in lower case, in place: one host is one name, in policies as well.
 * One that only its capitals mark as a host stays ("Host/x"). image_ref_split does it. */
void image_host_lower(char *name);

/* As image_ref_parse, but a name without a host lies below "localhost/": what load, import and tag
 * call an image (podman's rule: nothing local may pose as a registry's). */
int image_ref_parse_local(const char *text, struct image_ref *ret, struct err *e);

/* Is it "sha256:" and 64 lower-case hex digits? Else -EINVAL; an unknown algorithm is named. Only a
 * checked digest may become part of a path. */
int image_digest_check(const char *digest, struct err *e);
/* The digits of a checked digest (borrowed). */
const char *image_digest_hex(const char *digest);

/* "docker.io/library/busybox" <-> "docker.io+library+busybox": '+' occurs in no name, so the
 * mapping is one to one and as long as the name (NAME_MAX holds). Owned. */
char *image_ref_encode(const char *name);
char *image_ref_decode(const char *dir);
