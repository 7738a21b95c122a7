#include "cgroup/gvariant.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>

#include "base/str.h"

struct parser {
    const char *start, *at;
    struct err *e;
};

static const struct type {
    const char *name;
    char sig;
    int64_t min;
    uint64_t max; /* 0: no integer */
} types[] = {
    {"int32", 'i', INT32_MIN, INT32_MAX}, /* numbers without a type */
    {"byte", 'y', 0, UINT8_MAX},
    {"int16", 'n', INT16_MIN, INT16_MAX},
    {"uint16", 'q', 0, UINT16_MAX},
    {"uint32", 'u', 0, UINT32_MAX},
    {"int64", 'x', INT64_MIN, INT64_MAX},
    {"uint64", 't', 0, UINT64_MAX},
    {"boolean", 'b', 0, 0},
    {"double", 'd', 0, 0},
    {"string", 's', 0, 0},
};

static int wrong(const struct parser *p, const char *why)
{
    return err_msg(p->e, EINVAL, "\"%s\", at character %zu: %s", p->start,
                   (size_t)(p->at - p->start) + 1, why);
}

static void skip_spaces(struct parser *p)
{
    p->at += strspn(p->at, " \t\n");
}

static const struct type *type_of_signature(char sig)
{
    for (size_t i = 0; i < N_ELEMENTS(types); i++)
        if (types[i].sig == sig)
            return &types[i];
    return NULL;
}

static size_t word_length(const char *s)
{
    return strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789");
}

/* A type's name in front of a value; NULL when there is none. */
static const struct type *type_keyword(struct parser *p)
{
    size_t n = word_length(p->at);
    for (size_t i = 0; i < N_ELEMENTS(types); i++) {
        if (strlen(types[i].name) != n || strncmp(types[i].name, p->at, n) != 0)
            continue;
        p->at += n;
        skip_spaces(p);
        return &types[i];
    }
    return NULL;
}

static int parse_string(struct parser *p, json_t **ret)
{
    static const char escaped[] = "abfnrtv\\'\"", plain[] = "\a\b\f\n\r\t\v\\'\"";
    const char quote = *p->at++;
    scoped_str struct str s = STR_INIT;
    for (; *p->at && *p->at != quote; p->at++) {
        const char *which = escaped;
        if (*p->at == '\\') {
            which = p->at[1] ? strchr(escaped, p->at[1]) : NULL;
            if (!which)
                return wrong(p, "unknown escape");
            p->at++;
            str_addc(&s, plain[which - escaped]);
        } else {
            str_addc(&s, *p->at);
        }
    }
    if (*p->at != quote)
        return wrong(p, "the quote is not closed");
    p->at++;
    *ret = json_string(s.s);
    return *ret ? 0 : wrong(p, "the text is not UTF-8");
}

static int parse_real(struct parser *p, json_t **ret)
{
    char *end;
    double v = strtod(p->at, &end);
    if (end == p->at || !isfinite(v))
        return wrong(p, "want a number");
    p->at = end;
    *ret = json_real(v);
    return 0;
}

static int parse_integer(struct parser *p, const struct type *t, json_t **ret)
{
    bool negative = *p->at == '-';
    const char *digits = p->at + (negative || *p->at == '+');
    char *end;
    if (*digits < '0' || *digits > '9')
        return wrong(p, "want a number");
    errno = 0;
    unsigned long long v = strtoull(digits, &end, 0);
    bool fits = negative ? v <= (uint64_t)INT64_MAX && -(int64_t)v >= t->min : v <= t->max;
    if (errno || !fits)
        return err_msg(p->e, EINVAL, "\"%s\": out of range of %s", p->start, t->name);
    p->at = end;
    *ret = negative ? json_integer(-(json_int_t)v) : json_from_u64(v);
    return 0;
}

static bool looks_real(const char *s)
{
    s += *s == '-' || *s == '+';
    if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X'))
        return false;
    s += strspn(s, "0123456789");
    return *s == '.' || *s == 'e' || *s == 'E';
}

static int parse_word(struct parser *p, json_t **ret)
{
    size_t n = word_length(p->at);
    bool is_true = n == 4 && strncmp(p->at, "true", 4) == 0;
    if (!is_true && !(n == 5 && strncmp(p->at, "false", 5) == 0))
        return wrong(p, "want true, false, a number, a quoted text or a list of these");
    p->at += n;
    *ret = json_boolean(is_true);
    return 0;
}

/* A value that is no array. t: its type when it is known, else it is found and set. */
static int parse_basic(struct parser *p, const struct type **t, json_t **ret)
{
    const struct type *named = type_keyword(p);
    if (named && *t && named != *t)
        return wrong(p, "not of the type of the others");
    const struct type *want = named ? named : *t;
    char found = 'b';
    if (*p->at == '\'' || *p->at == '"')
        found = 's';
    else if (strchr("+-0123456789.", *p->at) && *p->at)
        found = want && want->sig != 's' && want->sig != 'b' ? want->sig
                : looks_real(p->at)                          ? 'd'
                                                             : 'i';
    if (want && want->sig != found)
        return wrong(p, "not a value of its type");
    *t = type_of_signature(found);
    if (found == 's')
        return parse_string(p, ret);
    if (found == 'b')
        return parse_word(p, ret);
    return found == 'd' ? parse_real(p, ret) : parse_integer(p, *t, ret);
}

static int parse_array(struct parser *p, const struct type **t, json_t *list)
{
    p->at++;
    for (;;) {
        skip_spaces(p);
        if (*p->at == ']' && json_array_size(list) == 0)
            break;
        json_t *one = NULL;
        int r = parse_basic(p, t, &one);
        if (r < 0)
            return r;
        json_array_append_new(list, one);
        skip_spaces(p);
        if (*p->at == ']')
            break;
        if (*p->at++ != ',')
            return wrong(p, "want , or ]");
    }
    p->at++;
    return *t ? 0 : wrong(p, "an empty list needs its type, such as @as []");
}

/* "@as": of what follows. */
static int parse_type_string(struct parser *p, bool *array, const struct type **t)
{
    if (*p->at != '@')
        return 0;
    p->at++;
    *array = *p->at == 'a';
    p->at += *array;
    *t = *p->at ? type_of_signature(*p->at) : NULL;
    if (!*t)
        return wrong(p, "want a basic type or an array of one behind @");
    p->at++;
    skip_spaces(p);
    return 0;
}

int gvariant_parse(const char *text, char sig[GVARIANT_SIGNATURE], json_t **ret, struct err *e)
{
    struct parser p = {text, text, e};
    const struct type *t = NULL;
    bool array = false;
    scoped_json json_t *value = NULL;
    skip_spaces(&p);
    bool typed = *p.at == '@';
    int r = parse_type_string(&p, &array, &t);
    if (r < 0)
        return r;
    if (typed && array != (*p.at == '['))
        return wrong(&p, "not a value of its type");
    array = *p.at == '[';
    if (array)
        r = parse_array(&p, &t, value = json_array());
    else
        r = parse_basic(&p, &t, &value);
    if (r < 0)
        return r;
    skip_spaces(&p);
    if (*p.at)
        return wrong(&p, "text behind the value");
    snprintf(sig, GVARIANT_SIGNATURE, "%s%c", array ? "a" : "", t->sig);
    *ret = take_ptr(value);
    return 0;
}
