/* scan - a flat object of known fields, read without making a document of it.
 *
 * `ps -a` reads one state.json per container; through a JSON library that costs ten times what the
 * system calls cost. Whatever is unusual is refused here and left to the library. */
#include "container/container-priv.h"

#include <limits.h>
#include <string.h>

#include "base/str.h"
#include "base/strv.h"

struct scanner {
    const char *p, *end;
};

static void skip_space(struct scanner *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\n' || *s->p == '\t' || *s->p == '\r'))
        s->p++;
}

/* Takes the next token if it is this character. */
static bool take(struct scanner *s, char c)
{
    skip_space(s);
    if (s->p >= s->end || *s->p != c)
        return false;
    s->p++;
    return true;
}

static bool take_word(struct scanner *s, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(s->end - s->p) < n || memcmp(s->p, word, n) != 0)
        return false;
    s->p += n;
    return true;
}

/* The inside of a string as it stands in the text; only printable ASCII. */
static bool raw_string(struct scanner *s, const char **ret, size_t *ret_len, bool *ret_escaped)
{
    if (!take(s, '"'))
        return false;
    const char *start = s->p;
    *ret_escaped = false;
    for (; s->p < s->end && *s->p != '"'; s->p++) {
        unsigned char c = (unsigned char)*s->p;
        if (c < 0x20 || c >= 0x7f)
            return false;
        if (c == '\\') {
            *ret_escaped = true;
            if (++s->p >= s->end)
                return false;
        }
    }
    if (s->p >= s->end)
        return false;
    *ret = start;
    *ret_len = (size_t)(s->p++ - start);
    return true;
}

/* Undoes the one-letter escapes; NULL for others. Owned. */
static char *unescape(const char *text, size_t len)
{
    static const char letters[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    scoped_free char *buf = xmalloc(len + 1);
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (c == '\\') {
            const char *at = memchr(letters, text[++i], sizeof(letters) - 1);
            if (!at)
                return NULL;
            c = values[at - letters];
        }
        buf[n++] = c;
    }
    buf[n] = '\0';
    return take_ptr(buf);
}

static char *scan_string(struct scanner *s)
{
    const char *text;
    size_t len;
    bool escaped;
    if (!raw_string(s, &text, &len, &escaped))
        return NULL;
    return escaped ? unescape(text, len) : xstrndup(text, len);
}

static bool scan_number(struct scanner *s, bool *ret_negative, uint64_t *ret)
{
    skip_space(s);
    *ret_negative = s->p < s->end && *s->p == '-';
    if (*ret_negative)
        s->p++;
    const char *start = s->p;
    uint64_t v = 0;
    for (; s->p < s->end && *s->p >= '0' && *s->p <= '9'; s->p++) {
        if (__builtin_mul_overflow(v, 10u, &v) ||
            __builtin_add_overflow(v, (uint64_t)(*s->p - '0'), &v))
            return false;
    }
    bool leading_zero = s->p - start > 1 && *start == '0';
    *ret = v;
    return s->p > start && !leading_zero &&
           !(s->p < s->end && (*s->p == '.' || *s->p == 'e' || *s->p == 'E'));
}

static bool scan_int(struct scanner *s, enum jtype type, void *p)
{
    bool negative;
    uint64_t v;
    if (!scan_number(s, &negative, &v))
        return false;
    if (type == J_UINT64) {
        *(uint64_t *)p = v;
        return !negative;
    }
    int64_t limit = type == J_INT32 ? INT32_MAX : INT64_MAX;
    if (v > (uint64_t)limit)
        return false;
    int64_t i = negative ? -(int64_t)v : (int64_t)v;
    if (type == J_INT32)
        *(int32_t *)p = (int32_t)i;
    else
        *(int64_t *)p = i;
    return true;
}

static bool scan_bool(struct scanner *s, bool *ret)
{
    skip_space(s);
    *ret = take_word(s, "true");
    return *ret || take_word(s, "false");
}

static bool scan_enum(struct scanner *s, const char *const *names, int *ret)
{
    const char *text;
    size_t len;
    bool escaped;
    if (!raw_string(s, &text, &len, &escaped) || escaped)
        return false;
    for (int i = 0; names[i]; i++)
        if (strlen(names[i]) == len && memcmp(names[i], text, len) == 0) {
            *ret = i;
            return true;
        }
    return false;
}

/* ["a","b"], or {"a":"b"} as "a=b". */
static bool scan_list(struct scanner *s, bool map, char ***ret)
{
    char close = map ? '}' : ']';
    if (!take(s, map ? '{' : '['))
        return false;
    if (take(s, close))
        return true;
    do {
        scoped_free char *item = scan_string(s);
        if (!item)
            return false;
        if (map) {
            scoped_free char *value = take(s, ':') ? scan_string(s) : NULL;
            if (!value)
                return false;
            strv_addf(ret, "%s=%s", item, value);
        } else {
            strv_take(ret, take_ptr(item));
        }
    } while (take(s, ','));
    return take(s, close);
}

static bool scan_value(struct scanner *s, const struct jfield *f, void *p)
{
    switch (f->type) {
    case J_STRING:
        return (*(char **)p = scan_string(s));
    case J_INT32:
    case J_INT64:
    case J_UINT64:
        return scan_int(s, f->type, p);
    case J_BOOL:
        return scan_bool(s, p);
    case J_ENUM:
        return scan_enum(s, f->names, p);
    case J_STRV:
    case J_MAP:
        return scan_list(s, f->type == J_MAP, p);
    default:
        return false;
    }
}

/* Members come in the table's order: the search goes on from the last one. A second appearance is
 * not found any more, which leaves duplicates to the full parser. */
static const struct jfield *field_at(const struct jfield *from, const char *key, size_t len)
{
    for (const struct jfield *f = from; f->name; f++)
        if (strlen(f->name) == len && memcmp(f->name, key, len) == 0 && f->type != J_EXTRA)
            return f;
    return NULL;
}

bool scan_object(const char *text, size_t len, const struct jfield *table, void *ret)
{
    struct scanner s = {text, text + len};
    if (!take(&s, '{'))
        return false;
    const struct jfield *next = table;
    do {
        const char *key;
        size_t key_len;
        bool escaped;
        if (!raw_string(&s, &key, &key_len, &escaped) || escaped || !take(&s, ':'))
            return false;
        const struct jfield *f = field_at(next, key, key_len);
        if (!f || !scan_value(&s, f, (char *)ret + f->offset))
            return false;
        next = f + 1;
    } while (take(&s, ','));
    if (!take(&s, '}'))
        return false;
    skip_space(&s);
    return s.p == s.end;
}
