/* fuzz-notify - any bytes as a container's message to the service manager: what goes on is whole
 * lines of known names, free of control characters, and never longer than what came. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "supervise/notify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_line(const char *line, size_t n)
{
    static const char *const known[] = {"READY=1",        "STATUS=",
                                        "WATCHDOG=1",     "WATCHDOG=trigger",
                                        "WATCHDOG_USEC=", "EXTEND_TIMEOUT_USEC=",
                                        "RELOADING=1",    "MONOTONIC_USEC=",
                                        "STOPPING=1",     "ERRNO="};
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            abort();
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        size_t len = strlen(known[i]);
        bool open = known[i][len - 1] == '=';
        if ((open ? n >= len : n == len) && memcmp(line, known[i], len) == 0)
            return;
    }
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char out[NOTIFY_MAX];
    bool barrier;
    size_t n = notify_filter((const char *)data, size, out, &barrier);
    if (n > size + 1 || n > sizeof(out) || (barrier && n))
        abort();
    for (size_t at = 0; at < n;) {
        const char *lf = memchr(out + at, '\n', n - at);
        if (!lf)
            abort();
        check_line(out + at, (size_t)(lf - out) - at);
        at = (size_t)(lf - out) + 1;
    }
    return 0;
}
