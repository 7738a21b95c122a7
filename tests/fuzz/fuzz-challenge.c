/* fuzz-challenge - any text as WWW-Authenticate: what is taken from it has no control characters
 * and is no longer than it, and a realm that would be asked is an https address. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "registry/challenge.h"
#include "registry/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *s, size_t size)
{
    if (s && strlen(s) > size)
        abort();
    for (; s && *s; s++)
        if ((unsigned char)*s < ' ' || *s == 0x7f)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct challenges c = {0};
    struct err e;
    err_clear(&e);
    char *text = xstrndup((const char *)data, size);
    challenge_parse(text, &c, &e);
    for (size_t i = 0; i < c.n; i++) {
        const struct challenge *v = &c.v[i];
        check_text(v->scheme, size);
        check_text(v->realm, size);
        check_text(v->service, size);
        check_text(v->scope, size);
        check_text(v->error, size);
        if (token_realm_check(v->realm, "https://registry.example", NULL) == 0 &&
            strncasecmp(v->realm, "https://", 8) != 0)
            abort();
    }
    challenges_release(&c);
    free(text);
    return 0;
}
