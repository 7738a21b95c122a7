/* words - see words.h. */
#include "quadlet/words.h"

#include <errno.h>

#define SPACES " \t\n\r"

size_t words_utf8(const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    static const struct {
        unsigned char first, last, low, high; /* of the first byte, of the second */
        size_t len;
    } rows[] = {
        {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
        {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
        {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    if (*s < 0x80)
        return 1;
    for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
        if (*s < rows[i].first || *s > rows[i].last)
            continue;
        if (s[1] < rows[i].low || s[1] > rows[i].high)
            return 0;
        for (size_t n = 2; n < rows[i].len; n++)
            if (s[n] < 0x80 || s[n] > 0xbf)
                return 0;
        return rows[i].len;
    }
    return 0;
}

static void add_utf8(struct str *out, uint32_t c)
{
    if (c < 0x80) {
        str_addc(out, (char)c);
    } else if (c < 0x800) {
        str_addc(out, (char)(0xc0 | (c >> 6)));
        str_addc(out, (char)(0x80 | (c & 0x3f)));
    } else if (c < 0x10000) {
        str_addc(out, (char)(0xe0 | (c >> 12)));
        str_addc(out, (char)(0x80 | ((c >> 6) & 0x3f)));
        str_addc(out, (char)(0x80 | (c & 0x3f)));
    } else {
        str_addc(out, (char)(0xf0 | (c >> 18)));
        str_addc(out, (char)(0x80 | ((c >> 12) & 0x3f)));
        str_addc(out, (char)(0x80 | ((c >> 6) & 0x3f)));
        str_addc(out, (char)(0x80 | (c & 0x3f)));
    }
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 16;
}

/* n digits of a base at s; -1 if they are not there or are zero, which would end the word. */
static int64_t number(const char *s, size_t n, int base)
{
    int64_t v = 0;
    for (size_t i = 0; i < n; i++) {
        if (digit(s[i]) >= base)
            return -1;
        v = v * base + digit(s[i]);
    }
    return v > 0 ? v : -1;
}

/* \xNN, \NNN, \uNNNN and \UNNNNNNNN, s at the letter. Returns the letters taken, or 0. */
static size_t unescape_number(struct str *out, const char *s)
{
    bool octal = *s >= '0' && *s <= '7';
    size_t n = octal ? 3 : *s == 'x' ? 2 : *s == 'u' ? 4 : *s == 'U' ? 8 : 0;
    int64_t v = n ? number(s + (octal ? 0 : 1), n, octal ? 8 : 16) : -1;
    if (v < 0)
        return 0;
    if (n > 3) {
        if (v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff))
            return 0;
        add_utf8(out, (uint32_t)v);
    } else {
        if (v > 0xff)
            return 0;
        str_addc(out, (char)v);
    }
    return octal ? 3 : n + 1;
}

/* One escape sequence, s behind the backslash. Returns the letters taken, 0 for an unknown one. */
static size_t unescape(struct str *out, const char *s)
{
    static const char names[] = "abfnrtv\\\"'s", values[] = "\a\b\f\n\r\t\v\\\"' ";
    const char *at = *s ? strchr(names, *s) : NULL;
    if (!at)
        return unescape_number(out, s);
    str_addc(out, values[at - names]);
    return 1;
}

/* Takes one word off *text into out. 1, 0 at the end, or -EINVAL. */
static int next_word(const char **text, enum words_how how, struct str *out, struct err *e)
{
    const char *s = *text + strspn(*text, SPACES);
    char quote = '\0';
    if (!*s)
        return 0;
    for (; *s; s++) {
        if (!quote && strchr(SPACES, *s))
            break;
        if (*s == '\\' && how == WORDS_EXEC) {
            if (!s[1])
                continue;
            size_t n = unescape(out, s + 1);
            if (!n)
                return err_hint(e,
                                err_msg(e, EINVAL, "systemd knows no escape sequence \\%.*s",
                                        (int)words_utf8(s + 1), s + 1),
                                "write \\\\ for a backslash");
            s += n;
        } else if (quote ? *s == quote : (*s == '"' || *s == '\'')) {
            quote = quote ? '\0' : *s;
        } else {
            str_addc(out, *s);
        }
    }
    *text = s;
    return 1;
}

int words_split(const char *text, enum words_how how, char ***ret, struct err *e)
{
    scoped_strv char **list = NULL;
    for (;;) {
        scoped_str struct str word = STR_INIT;
        int r = next_word(&text, how, &word, e);
        if (r < 0)
            return r;
        if (r == 0)
            break;
        strv_add(&list, word.s);
    }
    strv_extend(ret, list);
    return 0;
}

static bool is_plain(const char *word)
{
    if (!*word || streq(word, ";"))
        return false;
    for (const char *s = word; *s;) {
        size_t n = words_utf8(s);
        unsigned char c = (unsigned char)*s;
        if (n == 0 || c <= ' ' || c == 0x7f || strchr("\"'\\", *s))
            return false;
        s += n;
    }
    return true;
}

void words_quote(struct str *out, const char *word)
{
    if (is_plain(word)) {
        str_add(out, word);
        return;
    }
    str_addc(out, '"');
    for (const char *s = word; *s;) {
        size_t n = words_utf8(s);
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            str_addf(out, "\\%c", c);
        else if (n == 0 || c < ' ' || c == 0x7f)
            str_addf(out, "\\x%02x", c);
        else
            str_addn(out, s, n);
        s += n ? n : 1;
    }
    str_addc(out, '"');
}

char *words_literal(const char *text, bool exec)
{
    scoped_str struct str out = STR_INIT;
    for (; *text; text++) {
        if (*text == '%' || (exec && *text == '$'))
            str_addc(&out, *text);
        str_addc(&out, *text);
    }
    return str_detach(&out);
}
