/* fuzz-answers - any bytes as a token server's answer, as a page of tags or repositories and as
 * what a search found: what is kept can stand in a header line or on a terminal. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/strv.h"
#include "registry/client-priv.h"
#include "registry/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_plain(const char *s)
{
    if (!*s)
        abort();
    for (; *s; s++)
        if (*s <= ' ' || *s > '~')
            abort();
}

static void check_list(const char *text, size_t size, const char *member)
{
    char **v = NULL;
    list_parse(text, size, member, 100, &v, NULL);
    if (strv_len(v) > 100)
        abort();
    for (size_t i = 0; v && v[i]; i++)
        check_plain(v[i]);
    strv_free(v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct registry_results found = {0};
    char *text = xmalloc(size + 1), *token;
    int64_t until, now = 1700000000;
    /* What follows a zero byte counts too. */
    memcpy(text, data, size);
    text[size] = '\0';
    if (token_parse(text, size, now, &token, &until, NULL) == 0) {
        check_plain(token);
        if (until < now + 30 || until > now + 24 * 3600)
            abort();
        free(token);
    }
    check_list(text, size, "tags");
    check_list(text, size, "repositories");
    search_parse(text, size, "registry.example", 25, &found, NULL);
    for (size_t i = 0; i < found.n; i++)
        check_plain(found.v[i].name);
    registry_results_release(&found);
    free(text);
    return 0;
}
