/* token - what to show to a registry: Basic, or a Bearer token that its token server gave for a
 * scope. distribution-spec "Token Authentication".
 *
 * The realm of a challenge is where a password would go, so it is looked at first (security.md
 * 1.5): https, except on the registry's own host and port when that is plain; never the loopback,
 * private or link-local addresses for a registry that is public itself. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "registry/challenge.h"
#include "registry/creds.h"
#include "registry/http.h"

#define TOKEN_MAX (1024 * 1024) /* of a token server's answer */

struct tokens; /* a cache by (registry, realm, service, scope) */
struct tokens *tokens_new(void);
void tokens_free(struct tokens *t);

struct token_request {
    const char *origin; /* "https://registry.example:5000" of the answer with the challenge */
    const char *scope;  /* "repository:library/busybox:pull", "" for none; more, by spaces */
    const struct registry_creds *creds; /* all NULL: anonymous */
    bool fresh;                         /* the one in the cache was refused: get another */
};
/* Answers a challenge: the value for Authorization, owned, in *ret. -EACCES: nothing to show, or
 * the token server refuses what we showed; -EPERM: a realm that is not allowed. */
int token_answer(struct tokens *t, struct http *h, const struct challenges *c,
                 const struct token_request *req, char **ret, struct err *e);

/* A token server's answer: the token (owned) and until when it counts, from now_s. */
int token_parse(const char *text, size_t len, int64_t now_s, char **ret, int64_t *ret_until_s,
                struct err *e);
/* The rule above by itself. 0 or -EPERM. */
int token_realm_check(const char *realm, const char *origin, struct err *e);
