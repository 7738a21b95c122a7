/* digest - content digests ("sha256:HEX") by libcrypto: incremental, compared, parsed.
 *
 * image-spec descriptor.md "Digests"; sha256, sha384 and sha512 are known, others are an error. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define DIGEST_TEXT_MAX 144 /* "sha512:" and 128 hex digits, terminated, rounded up */

struct digest; /* a running computation */

/* algorithm: "sha256", or a whole digest text, whose algorithm is taken; NULL: sha256. */
int digest_new(const char *algorithm, struct digest **ret, struct err *e);
void digest_free(struct digest *d);
static inline void digest_scoped(struct digest **d)
{
    digest_free(*d);
}
int digest_add(struct digest *d, const void *data, size_t n); /* 0 or -EIO */
/* Ends it: "algo:hex". d can only be freed afterwards. */
int digest_end(struct digest *d, char ret[static DIGEST_TEXT_MAX]);

/* Is text "algo:hex" with a known algorithm and exactly its number of lower-case digits? Then the
 * digits (borrowed) are in *ret_hex (may be NULL). Such a text is safe as a file name. 0 or
 * -EINVAL: 'digest "x": ...'. */
int digest_parse(const char *text, const char **ret_hex, struct err *e);
bool digest_equal(const char *a, const char *b);

/* "sha256:HEX" of a buffer; of the rest of a file (at most max bytes, -EFBIG above). */
int digest_data(const void *data, size_t n, char ret[static DIGEST_TEXT_MAX]);
int digest_fd(int fd, size_t max, char ret[static DIGEST_TEXT_MAX], struct err *e);
/* By the algorithm of a digest or its name. */
int digest_fd_as(const char *algorithm, int fd, char ret[static DIGEST_TEXT_MAX], struct err *e);
