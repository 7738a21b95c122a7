/* notify-filter - what a container may tell the service manager about itself. Not where its main
 * process is (MAINPID), nor that others may speak (NOTIFYACCESS), nor descriptors to be kept
 * (FDSTORE): a list of what may, so that the words of later versions stay out as well. */
#include <stdint.h>
#include <string.h>

#include "base/str.h"
#include "supervise/notify.h"

#define STATUS_MAX 512
#define DIGITS_MAX 20

enum value { V_ONE, V_NUMBER, V_WATCHDOG, V_TEXT };

static const struct word {
    const char *name; /* with "=" */
    enum value value;
} words[] = {
    {"READY=", V_ONE},
    {"STATUS=", V_TEXT},
    {"WATCHDOG=", V_WATCHDOG},
    {"WATCHDOG_USEC=", V_NUMBER},
    {"EXTEND_TIMEOUT_USEC=", V_NUMBER},
    {"RELOADING=", V_ONE},
    {"MONOTONIC_USEC=", V_NUMBER},
    {"STOPPING=", V_ONE},
    {"ERRNO=", V_NUMBER},
};

static bool is_number(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (s[i] < '0' || s[i] > '9')
            return false;
    return n > 0 && n <= DIGITS_MAX;
}

static bool is_text(const char *s, size_t n, const char *text)
{
    return n == strlen(text) && memcmp(s, text, n) == 0;
}

/* Text for a terminal, from inside: no control characters, not those of two bytes (U+0080 to
 * U+009F) either, and not longer than a line. */
static size_t clean_text(const char *s, size_t n, char *out)
{
    size_t len = 0;
    for (size_t i = 0; i < n && len < STATUS_MAX; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c >= 0x80 && c < 0xa0 && len > 0 && (unsigned char)out[len - 1] == 0xc2)
            len--; /* looked for in what is left, that nothing left out brings two together */
        else if (c >= 0x20 && c != 0x7f)
            out[len++] = s[i];
    }
    /* Not in the middle of a character of several bytes. */
    if (len == STATUS_MAX) {
        while (len > 0 && ((unsigned char)out[len - 1] & 0xc0) == 0x80)
            len--;
        if (len > 0 && (unsigned char)out[len - 1] >= 0xc0)
            len--;
    }
    return len;
}

/* The value of a line to out; false: it is refused. */
static bool copy_value(enum value v, const char *s, size_t n, char *out, size_t *len)
{
    bool fine = v == V_TEXT || (v == V_ONE && is_text(s, n, "1")) ||
                (v == V_NUMBER && is_number(s, n)) ||
                (v == V_WATCHDOG && (is_text(s, n, "1") || is_text(s, n, "trigger")));
    if (!fine)
        return false;
    if (v == V_TEXT) {
        *len += clean_text(s, n, out + *len);
        return true;
    }
    memcpy(out + *len, s, n);
    *len += n;
    return true;
}

/* out has room: what is added is never longer than the line with its end. */
static size_t add_line(const char *line, size_t n, char *out)
{
    for (size_t i = 0; i < N_ELEMENTS(words); i++) {
        size_t len = strlen(words[i].name);
        if (n < len || memcmp(line, words[i].name, len) != 0)
            continue;
        memcpy(out, line, len);
        if (!copy_value(words[i].value, line + len, n - len, out, &len))
            return 0;
        out[len++] = '\n';
        return len;
    }
    return 0;
}

size_t notify_filter(const char *message, size_t n, char *out, bool *ret_barrier)
{
    const char *p = message, *end = message + n;
    size_t len = 0;
    *ret_barrier = is_text(message, n, "BARRIER=1") || is_text(message, n, "BARRIER=1\n");
    /* The last line may lack its end: one byte more than the message is needed then. */
    if (*ret_barrier || n >= NOTIFY_MAX)
        return 0;
    while (p < end) {
        const char *lf = memchr(p, '\n', (size_t)(end - p));
        size_t line = lf ? (size_t)(lf - p) : (size_t)(end - p);
        len += add_line(p, line, out + len);
        p += line + 1;
    }
    return len;
}
