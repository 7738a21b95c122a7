/* fuzz-ranges - any text as Content-Range, as the Range of an upload and as Retry-After. */
#include <inttypes.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/str.h"
#include "registry/challenge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was read, written as servers do, is read as the same. */
static void check_again(uint64_t first, uint64_t last, uint64_t whole)
{
    uint64_t f, l, w;
    scoped_free char *size = whole == UINT64_MAX ? xstrdup("*") : xasprintf("%" PRIu64, whole);
    scoped_free char *text = xasprintf("bytes %" PRIu64 "-%" PRIu64 "/%s", first, last, size);
    if (content_range_parse(text, &f, &l, &w) < 0 || f != first || l != last || w != whole)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = xstrndup((const char *)data, size);
    uint64_t first, last, whole, ms;
    if (content_range_parse(text, &first, &last, &whole) == 0) {
        if (first > last || last >= whole || last > INT64_MAX)
            abort();
        check_again(first, last, whole);
    }
    if (upload_range_parse(text, &whole) == 0 && whole > (uint64_t)INT64_MAX + 1)
        abort();
    if (retry_after_parse(text, 1700000000, &ms) == 0 && ms > 60000)
        abort();
    free(text);
    return 0;
}
