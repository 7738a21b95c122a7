/* toml-string - the four kinds of strings: "basic", 'literal', and both over several lines. */
#include <string.h>

#include "registry/toml-priv.h"

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void add_utf8(struct str *out, unsigned cp)
{
    if (cp < 0x80) {
        str_addc(out, (char)cp);
        return;
    }
    if (cp < 0x800) {
        str_addc(out, (char)(0xc0 | cp >> 6));
    } else {
        if (cp < 0x10000) {
            str_addc(out, (char)(0xe0 | cp >> 12));
        } else {
            str_addc(out, (char)(0xf0 | cp >> 18));
            str_addc(out, (char)(0x80 | (cp >> 12 & 0x3f)));
        }
        str_addc(out, (char)(0x80 | (cp >> 6 & 0x3f)));
    }
    str_addc(out, (char)(0x80 | (cp & 0x3f)));
}

/* \uXXXX and \UXXXXXXXX: scalar values, and none that ends a string of C. */
static int add_unicode(struct toml *t, int digits, struct str *out)
{
    unsigned cp = 0;
    for (int i = 0; i < digits; i++, t->s++) {
        int v = t->s < t->end ? hex_value(*t->s) : -1;
        if (v < 0)
            return toml_fail(t, "want %d hex digits in the escape", digits);
        cp = cp << 4 | (unsigned)v;
    }
    if (cp == 0 || cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000))
        return toml_fail(t, "the escape names no character");
    add_utf8(out, cp);
    return 0;
}

/* A backslash at the end of a line takes away all blanks and line ends that follow. */
static bool skip_continuation(struct toml *t)
{
    const char *p = t->s;
    while (p < t->end && (*p == ' ' || *p == '\t' || *p == '\r'))
        p++;
    if (p >= t->end || *p != '\n')
        return false;
    for (; p < t->end && strchr(" \t\r\n", *p) && *p; p++)
        t->line += *p == '\n';
    t->s = p;
    return true;
}

/* t->s is behind the backslash. */
static int add_escape(struct toml *t, bool lines, struct str *out)
{
    static const char from[] = "btnfre\"\\", to[] = "\b\t\n\f\r\x1b\"\\";
    if (lines && skip_continuation(t))
        return 0;
    char c = t->s < t->end ? *t->s++ : '\0';
    if (c == 'u' || c == 'U')
        return add_unicode(t, c == 'u' ? 4 : 8, out);
    const char *p = c ? strchr(from, c) : NULL;
    if (!p)
        return toml_fail(t, "unknown escape in a string");
    str_addc(out, to[p - from]);
    return 0;
}

/* Up to two quotes may stand directly before the closing three. */
static bool closes(struct toml *t, char quote, bool lines, struct str *out)
{
    size_t n = 0;
    while (n < 5 && t->s + n < t->end && t->s[n] == quote)
        n++;
    if (!lines) {
        t->s++;
        return true;
    }
    str_addn(out, t->s, n < 3 ? n : n - 3);
    t->s += n;
    return n >= 3;
}

int toml_string(struct toml *t, struct str *ret)
{
    char quote = *t->s;
    bool lines = t->end - t->s >= 3 && t->s[1] == quote && t->s[2] == quote;
    t->s += lines ? 3 : 1;
    if (lines && t->s < t->end && (*t->s == '\n' || (*t->s == '\r' && t->s[1] == '\n'))) {
        t->s += *t->s == '\r' ? 2 : 1;
        t->line++;
    }
    while (t->s < t->end) {
        char c = *t->s;
        int r = 0;
        if (c == quote) {
            if (closes(t, quote, lines, ret))
                return 0;
            continue;
        }
        if (c == '\\' && quote == '"') {
            t->s++;
            r = add_escape(t, lines, ret);
            if (r < 0)
                return r;
            continue;
        }
        bool newline = c == '\n' || (c == '\r' && t->s[1] == '\n');
        if (newline && !lines)
            return toml_fail(t, "the string is not closed on its line");
        if (((unsigned char)c < ' ' && c != '\t' && !newline) || c == '\x7f')
            return toml_fail(t, "a control character in a string");
        t->line += c == '\n';
        str_addc(ret, c);
        t->s++;
    }
    return toml_fail(t, "the string is not closed");
}
