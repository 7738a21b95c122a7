/* parse - numbers, sizes and durations from text: whole string, no sign, no locale. */
#include <errno.h>
#include <strings.h>

#include "base/str.h"

/* Reads digits of a base up to the first other character. -EINVAL without a digit, -ERANGE. */
static int digits(const char **p, unsigned base, uint64_t *ret)
{
    uint64_t v = 0;
    const char *s = *p;
    for (; *s >= '0' && *s < (char)('0' + base); s++)
        if (__builtin_mul_overflow(v, base, &v) ||
            __builtin_add_overflow(v, (uint64_t)(*s - '0'), &v))
            return -ERANGE;
    if (s == *p)
        return -EINVAL;
    *p = s;
    *ret = v;
    return 0;
}

static int whole(const char *s, unsigned base, uint64_t max, uint64_t *ret)
{
    uint64_t v = 0;
    int r = digits(&s, base, &v);
    if (r == -ERANGE && s[strspn(s, "0123456789")] != '\0')
        return -EINVAL; /* not a number at all, whatever its size */
    if (r < 0)
        return r;
    if (*s)
        return -EINVAL;
    if (v > max)
        return -ERANGE;
    *ret = v;
    return 0;
}

int parse_u64(const char *s, uint64_t *ret)
{
    return whole(s, 10, UINT64_MAX, ret);
}

int parse_u32(const char *s, uint32_t *ret)
{
    uint64_t v = 0;
    int r = whole(s, 10, UINT32_MAX, &v);
    if (r == 0)
        *ret = (uint32_t)v;
    return r;
}

int parse_i64(const char *s, int64_t *ret)
{
    bool negative = *s == '-';
    uint64_t v = 0;
    int r = whole(s + negative, 10, (uint64_t)INT64_MAX + negative, &v);
    if (r == 0)
        *ret = negative ? (int64_t)(0 - v) : (int64_t)v;
    return r;
}

int parse_octal(const char *s, uint32_t *ret)
{
    uint64_t v = 0;
    int r = whole(s, 8, UINT32_MAX, &v);
    if (r == 0)
        *ret = (uint32_t)v;
    return r;
}

int parse_bool(const char *s, bool *ret)
{
    static const char *const words[][2] = {
        {"true", "false"}, {"1", "0"}, {"yes", "no"}, {"on", "off"}, {"t", "f"}, {"y", "n"},
    };
    for (size_t i = 0; i < N_ELEMENTS(words); i++)
        for (int v = 0; v < 2; v++)
            if (strcasecmp(s, words[i][v]) == 0) {
                *ret = v == 0;
                return 0;
            }
    return -EINVAL;
}

/* A decimal fraction: whole + part/scale, with at most nine digits of part kept. */
struct decimal {
    uint64_t whole, part, scale;
};

static int decimal(const char **p, struct decimal *ret)
{
    struct decimal d = {.scale = 1};
    int r = digits(p, 10, &d.whole);
    if (r < 0)
        return r;
    if (**p == '.') {
        const char *s = *p + 1;
        if (*s < '0' || *s > '9')
            return -EINVAL;
        for (; *s >= '0' && *s <= '9'; s++)
            if (d.scale < 1000000000) {
                d.part = d.part * 10 + (uint64_t)(*s - '0');
                d.scale *= 10;
            }
        *p = s;
    }
    *ret = d;
    return 0;
}

/* Adds d * numerator / denominator, rounded down, to *sum. */
static int add_scaled(uint64_t *sum, struct decimal d, uint64_t numerator, uint64_t denominator)
{
    unsigned __int128 v = (unsigned __int128)d.whole * numerator / denominator;
    v += (unsigned __int128)d.part * numerator / d.scale / denominator;
    v += *sum;
    if (v > UINT64_MAX)
        return -ERANGE;
    *sum = (uint64_t)v;
    return 0;
}

int parse_size(const char *s, uint64_t *ret_bytes)
{
    static const char units[] = "bkmgtp";
    struct decimal d;
    int r = decimal(&s, &d);
    if (r < 0)
        return r;
    if (*s == ' ')
        s++;
    uint64_t factor = 1;
    if (*s) {
        const char *u = strchr(units, *s | 0x20);
        if (!u)
            return -EINVAL;
        factor = UINT64_C(1) << (10 * (unsigned)(u - units));
        s++;
        if (factor > 1 && *s && strcasecmp(s, "b") != 0 && strcasecmp(s, "ib") != 0)
            return -EINVAL;
        if (factor == 1 && *s)
            return -EINVAL;
    }
    uint64_t v = 0;
    r = add_scaled(&v, d, factor, 1);
    if (r == 0)
        *ret_bytes = v;
    return r;
}

int parse_duration_ms(const char *s, uint64_t *ret_ms)
{
    /* Longest first: "ms" before "m". Factors are in nanoseconds. */
    static const struct {
        const char *unit;
        uint64_t ns;
    } units[] = {
        {"ms", 1000000},
        {"us", 1000},
        {"\xc2\xb5s", 1000},
        {"\xce\xbcs", 1000},
        {"ns", 1},
        {"h", UINT64_C(3600000000000)},
        {"m", UINT64_C(60000000000)},
        {"s", UINT64_C(1000000000)},
    };
    uint64_t ms = 0;
    bool first = true;
    do {
        struct decimal d;
        int r = decimal(&s, &d);
        if (r < 0)
            return r;
        uint64_t ns = 0;
        if (!*s && first)
            ns = 1000000000; /* a bare number is seconds */
        for (size_t i = 0; i < N_ELEMENTS(units) && ns == 0; i++) {
            const char *end = str_after(s, units[i].unit);
            if (end) {
                ns = units[i].ns;
                s = end;
            }
        }
        if (ns == 0)
            return -EINVAL;
        r = add_scaled(&ms, d, ns, 1000000);
        if (r < 0)
            return r;
        first = false;
    } while (*s);
    *ret_ms = ms;
    return 0;
}
