/* json - text to documents and back, with the limits that hostile input needs. */
#include "base/jfield.h"

#include <errno.h>
#include <string.h>

#include "base/str.h"

#define MAX_DEPTH 64
#define MAX_PARTS 250000 /* values and names; a value of two bytes takes 240 in memory */

/* What an integer over 2^63-1 looks like as a string; the control character keeps it apart from
 * text, and json_parse refuses strings that begin so. */
#define BIG_PREFIX "\x1eU64:"
#define BIG_PREFIX_LEN (sizeof(BIG_PREFIX) - 1)
#define BIG_ESCAPED "\"\\u001EU64:"
#define BIG_ESCAPED_LEN (sizeof(BIG_ESCAPED) - 1)

struct scan {
    const char *p, *start, *end;
    const char *what;
    struct str fixed; /* the text so far, with big integers as strings; empty: none met */
    const char *copied;
};

/* One position in a text as line and column for people, both from 1. */
static int scan_fail(const struct scan *s, const char *at, const char *message, struct err *e)
{
    unsigned line = 1, column = 1;
    for (const char *p = s->start; p < at; p++) {
        column++;
        if (*p == '\n') {
            line++;
            column = 1;
        }
    }
    return err_msg(e, EINVAL, "%s: line %u, column %u: %s", s->what, line, column, message);
}

/* From the opening quote to behind the closing one. A string that does not end is jansson's to
 * report. */
static int scan_string(struct scan *s, struct err *e)
{
    const char *start = s->p++;
    size_t left = (size_t)(s->end - s->p);
    bool mark = left >= 7 && strncasecmp(s->p, "\\u001e", 6) == 0;
    if (mark && (s->p[6] == 'U' || s->p[6] == '\\'))
        return scan_fail(s, start, "a string must not begin with U+001E and U", e);
    while (s->p < s->end && *s->p != '"')
        s->p += *s->p == '\\' ? 2 : 1;
    s->p = s->p < s->end ? s->p + 1 : s->end;
    return 0;
}

/* Over a number; one that jansson would find too big, but that fits 64 bits, becomes a string. */
static void scan_number(struct scan *s)
{
    const char *start = s->p;
    bool negative = *s->p == '-';
    if (negative)
        s->p++;
    while (s->p < s->end && *s->p >= '0' && *s->p <= '9')
        s->p++;
    size_t n = (size_t)(s->p - start);
    bool real = s->p < s->end && (*s->p == '.' || *s->p == 'e' || *s->p == 'E');
    if (negative || real || n < 19 || n > 20 || *start == '0')
        return;
    if (n == 19 ? memcmp(start, "9223372036854775807", n) <= 0
                : memcmp(start, "18446744073709551615", n) > 0)
        return;
    str_addn(&s->fixed, s->copied, (size_t)(start - s->copied));
    str_addf(&s->fixed, "\"\\u001eU64:%.*s\"", (int)n, start);
    s->copied = s->p;
}

/* Before jansson recurses: the depth; the number of values; and the integers that it cannot hold.
 */
static int scan_text(struct scan *s, struct err *e)
{
    size_t parts = 0;
    int depth = 0, r = 0;
    while (r == 0 && s->p < s->end) {
        char c = *s->p;
        if (c == '"') {
            r = scan_string(s, e);
        } else if (c == '-' || (c >= '0' && c <= '9')) {
            scan_number(s);
        } else {
            if (c == '{' || c == '[') {
                if (++depth > MAX_DEPTH)
                    return scan_fail(s, s->p, "nested more than 64 levels deep", e);
            } else if (c == '}' || c == ']') {
                depth--;
            }
            parts += c == '{' || c == '[' || c == ',' || c == ':';
            if (parts > MAX_PARTS)
                return scan_fail(s, s->p, "more than 250000 values", e);
            s->p++;
        }
    }
    if (r == 0 && s->fixed.len)
        str_addn(&s->fixed, s->copied, (size_t)(s->end - s->copied));
    return r;
}

json_t *json_parse(const char *text, size_t len, size_t max, const char *what, struct err *e)
{
    if (len > max) {
        err_msg(e, EFBIG, "%s: %zu bytes are more than the %zu allowed", what, len, max);
        return NULL;
    }
    struct scan s = {.p = text,
                     .start = text,
                     .end = text + len,
                     .what = what,
                     .fixed = STR_INIT,
                     .copied = text};
    json_t *doc = NULL;
    if (scan_text(&s, e) == 0) {
        json_error_t je;
        doc = json_loadb(s.fixed.len ? s.fixed.s : text, s.fixed.len ? s.fixed.len : len,
                         JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &je);
        if (!doc)
            err_msg(e, EINVAL, "%s: line %d, column %d: %s", what, je.line, je.column, je.text);
    }
    str_release(&s.fixed);
    return doc;
}

/* Turns big integers back from strings, in place: the result is shorter. A quote that begins a
 * string never follows a backslash, one inside always does. */
static void unquote_big(char *text)
{
    char *in = text, *out = text, *hit;
    while ((hit = strstr(in, BIG_ESCAPED))) {
        char *digits = hit + BIG_ESCAPED_LEN;
        size_t n = strspn(digits, "0123456789");
        bool is_big = (n == 19 || n == 20) && digits[n] == '"' && (hit == text || hit[-1] != '\\');
        size_t before = (size_t)(hit - in) + (is_big ? 0 : 1);
        memmove(out, in, before);
        out += before;
        in += before;
        if (is_big) {
            memmove(out, digits, n);
            out += n;
            in = digits + n + 1;
        }
    }
    memmove(out, in, strlen(in) + 1);
}

char *json_text(const json_t *j, bool pretty)
{
    size_t flags = JSON_ENCODE_ANY | (pretty ? JSON_INDENT(4) : JSON_COMPACT);
    char *text = j ? json_dumps(j, flags) : strdup("null");
    /* Values are made by this module or jansson's parser, so that only memory can be missing. */
    if (!text)
        return xstrdup("null");
    if (strstr(text, BIG_ESCAPED))
        unquote_big(text);
    return text;
}

json_t *json_from_u64(uint64_t v)
{
    if (v <= INT64_MAX)
        return json_integer((json_int_t)v);
    char text[40];
    snprintf(text, sizeof(text), BIG_PREFIX "%llu", (unsigned long long)v);
    return json_string(text);
}

bool json_to_u64(const json_t *j, uint64_t *ret)
{
    if (json_is_integer(j)) {
        json_int_t v = json_integer_value(j);
        if (v < 0)
            return false;
        *ret = (uint64_t)v;
        return true;
    }
    const char *s = json_string_value(j);
    if (!s || strncmp(s, BIG_PREFIX, BIG_PREFIX_LEN) != 0)
        return false;
    return parse_u64(s + BIG_PREFIX_LEN, ret) == 0;
}

/* Length of the UTF-8 sequence at s, 0 if it is none (overlong forms, surrogates, > U+10FFFF). */
static size_t utf8_len(const unsigned char *s)
{
    if (s[0] < 0x80)
        return 1;
    size_t n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
        (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
        return 0;
    return n;
}

json_t *json_from_bytes(const char *s)
{
    /* Who wrote it does not choose what is a number, nor what no reader of ours takes. */
    bool big = strncmp(s, BIG_PREFIX, 2) == 0;
    json_t *j = big ? NULL : json_string(s);
    if (j)
        return j;
    scoped_str struct str clean = STR_INIT;
    if (big) {
        str_add(&clean, "\xef\xbf\xbd");
        s++;
    }
    while (*s) {
        size_t n = utf8_len((const unsigned char *)s);
        if (n)
            str_addn(&clean, s, n);
        else
            str_add(&clean, "\xef\xbf\xbd");
        s += n ? n : 1;
    }
    return json_string(clean.s);
}

json_t *json_from_strv(char *const *v)
{
    json_t *a = json_array();
    for (; v && *v; v++)
        json_array_append_new(a, json_string(*v));
    return a;
}

json_t *json_from_pairs(char *const *v)
{
    json_t *o = json_object();
    for (; v && *v; v++) {
        const char *eq = strchr(*v, '=');
        scoped_free char *key = eq ? xstrndup(*v, (size_t)(eq - *v)) : xstrdup(*v);
        json_object_set_new(o, key, json_string(eq ? eq + 1 : ""));
    }
    return o;
}
