/* fuzz-ranges - any text as Content-Range, as the Range of an upload and as Retry-After. */
#include <stdint.h>
#include <stdlib.h>

#include "base/str.h"
#include "registry/challenge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = xstrndup((const char *)data, size);
    uint64_t first, last, whole, ms;
    if (content_range_parse(text, &first, &last, &whole) == 0 &&
        (first > last || last >= whole || last > INT64_MAX))
        abort();
    if (upload_range_parse(text, &whole) == 0 && whole > (uint64_t)INT64_MAX + 1)
        abort();
    if (retry_after_parse(text, 1700000000, &ms) == 0 && ms > 60000)
        abort();
    free(text);
    return 0;
}
