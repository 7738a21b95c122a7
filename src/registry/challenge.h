/* challenge - what a server says in its headers, parsed: WWW-Authenticate, Location, Content-Range,
 * Retry-After, Range, Link. Pure functions; all texts are hostile. RFC 9110, RFC 8288. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define CHALLENGE_MAX (8 * 1024) /* of one header */

struct challenge {
    char *scheme; /* lower case: "bearer", "basic" */
    /* NULL when absent. */
    char *realm, *service, *scope, *error;
};
struct challenges {
    struct challenge *v;
    size_t n;
};
/* Adds the challenges of one header (there may be several of both). Token68 and unknown parameters
 * are skipped; -EINVAL when it cannot be read, -EFBIG over CHALLENGE_MAX. */
int challenge_parse(const char *text, struct challenges *add, struct err *e);
void challenges_release(struct challenges *c);
/* The first one of a scheme ("bearer"), or NULL. */
const struct challenge *challenges_find(const struct challenges *c, const char *scheme);

/* "bytes 5-9/10", "bytes 5-9/" and '*' for an unknown size (UINT64_MAX then). -EINVAL. */
int content_range_parse(const char *text, uint64_t *ret_first, uint64_t *ret_last,
                        uint64_t *ret_size);
/* The Range header of an upload, "0-1023" (also "bytes=0-1023"): *ret is how many bytes are there.
 */
int upload_range_parse(const char *text, uint64_t *ret);
/* Seconds or an HTTP date, as a wait from now_s (seconds since the epoch) in ms, at most 60 s. */
int retry_after_parse(const char *text, int64_t now_s, uint64_t *ret_ms);
/* A Location against the address it came from (RFC 3986 section 5): "https://...", "//host/path",
 * "/path", "?query", "part". Owned; only http and https, no user name, no control characters. NULL
 * with e. */
char *location_resolve(const char *base, const char *text, struct err *e);
/* The address of rel="next" in a Link header, as location_resolve; NULL when there is none. */
char *link_next(const char *base, const char *text);
