/* fuzz-location - any text as Location and as Link: what is followed is an http or https address
 * without a user name, and a relative one stays at the origin it came from. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "registry/challenge.h"
#include "registry/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_address(char *url, bool relative)
{
    static const char *const base = "https://registry.example:5000/v2/a/blobs/uploads/?x=1";
    struct http_origin from, to;
    if (!url)
        return;
    const char *host = strstr(url, "://");
    if ((strncasecmp(url, "http://", 7) != 0 && strncasecmp(url, "https://", 8) != 0) ||
        strchr(url, '#') || strlen(url) > 8192 + strlen(base))
        abort();
    if (!host || memchr(host + 3, '@', strcspn(host + 3, "/?#")))
        abort();
    for (const char *p = url; *p; p++)
        if (*p <= ' ' || *p > '~')
            abort();
    /* libcurl may find more wrong with it, but never another host than we. */
    if (relative && http_origin_parse(base, &from) == 0 && http_origin_parse(url, &to) == 0 &&
        !http_origin_equal(&from, &to))
        abort();
    free(url);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const base = "https://registry.example:5000/v2/a/blobs/uploads/?x=1";
    char *text = xstrndup((const char *)data, size);
    size_t word = strcspn(text, ":/?");
    bool relative = text[word] != ':' && strncmp(text, "//", 2) != 0;
    check_address(location_resolve(base, text, NULL), relative);
    check_address(link_next(base, text), false);
    free(text);
    return 0;
}
