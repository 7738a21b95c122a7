/* base64 - RFC 4648 section 4: what Basic authentication, auth files and signatures are written in.
 */
#include "registry/creds-priv.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *base64_encode(const void *data, size_t n)
{
    const unsigned char *p = data;
    scoped_str struct str out = STR_INIT;
    for (size_t i = 0; i < n; i += 3) {
        size_t have = n - i < 3 ? n - i : 3;
        unsigned v = (unsigned)p[i] << 16;
        v |= have > 1 ? (unsigned)p[i + 1] << 8 : 0;
        v |= have > 2 ? p[i + 2] : 0;
        for (size_t d = 0; d < 4; d++)
            str_addc(&out, d <= have ? digits[v >> (18 - 6 * d) & 63] : '=');
    }
    return str_detach(&out);
}

/* Blanks at the ends are let through (files of base64 -w), none inside; padding may be missing. */
char *base64_decode(const char *text, size_t *ret_n)
{
    text += strspn(text, " \t\r\n");
    size_t n = strlen(text);
    while (n > 0 && strchr(" \t\r\n", text[n - 1]))
        n--;
    for (int i = 0; i < 2 && n > 0 && text[n - 1] == '='; i++)
        n--;
    if (n % 4 == 1)
        return NULL;
    char *out = xmalloc(n / 4 * 3 + 3);
    size_t len = 0;
    unsigned v = 0;
    for (size_t i = 0; i < n; i++) {
        const char *d = text[i] ? strchr(digits, text[i]) : NULL;
        if (!d) {
            free(out);
            return NULL;
        }
        v = v << 6 | (unsigned)(d - digits);
        if (i % 4)
            out[len++] = (char)(v >> (6 - 2 * (i % 4)) & 0xff);
    }
    out[len] = '\0';
    *ret_n = len;
    return out;
}
