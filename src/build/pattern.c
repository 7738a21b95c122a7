/* pattern - matches by the set of states that are alive after each character: no backtracking. */
#include "build/pattern.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/str.h"

#define ANY UINT32_MAX        /* "?" */
#define STAR (UINT32_MAX - 1) /* "*" */
#define NO_MATCH SIZE_MAX

struct units {
    uint32_t *v; /* the bytes of one character each, packed; or ANY, STAR */
    size_t n;
};

static void units_release(struct units *u)
{
    free(u->v);
}

/* Bytes of the character at s: of UTF-8 where it is, else 1. */
static size_t unit_len(const char *s)
{
    unsigned char c = (unsigned char)*s;
    size_t n = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
    for (size_t i = 1; i < n; i++)
        if (((unsigned char)s[i] & 0xc0) != 0x80)
            return 1;
    return n;
}

static struct units units_of(const char *s, bool pattern)
{
    struct units u = {xcalloc(strlen(s) + 1, sizeof(uint32_t)), 0};
    while (*s) {
        if (pattern && *s == '*') {
            if (u.n == 0 || u.v[u.n - 1] != STAR)
                u.v[u.n++] = STAR;
            s++;
            continue;
        }
        if (pattern && *s == '?') {
            u.v[u.n++] = ANY;
            s++;
            continue;
        }
        if (pattern && *s == '\\' && s[1])
            s++;
        size_t n = unit_len(s);
        uint32_t packed = 0;
        for (size_t i = 0; i < n; i++)
            packed = packed << 8 | (unsigned char)s[i];
        u.v[u.n++] = packed;
        s += n;
    }
    return u;
}

static void units_reverse(struct units *u)
{
    for (size_t i = 0; i < u->n / 2; i++) {
        uint32_t v = u->v[i];
        u->v[i] = u->v[u->n - 1 - i];
        u->v[u->n - 1 - i] = v;
    }
}

/* Marks state i, and the one behind a star, which may match nothing. */
static void enter(const struct units *p, bool *alive, size_t i)
{
    alive[i] = true;
    if (i < p->n && p->v[i] == STAR)
        alive[i + 1] = true;
}

/* How many units of v from start a match takes: the most, or the least. */
static size_t match(const struct units *p, const struct units *v, size_t start, bool longest)
{
    scoped_free bool *states = xcalloc(2 * (p->n + 1), sizeof(bool));
    bool *now = states, *next = states + p->n + 1;
    size_t found = NO_MATCH;
    enter(p, now, 0);
    for (size_t i = start;; i++) {
        if (now[p->n]) {
            found = i - start;
            if (!longest)
                return found;
        }
        if (i == v->n)
            return found;
        memset(next, 0, (p->n + 1) * sizeof(bool));
        bool any = false;
        for (size_t s = 0; s < p->n; s++) {
            if (!now[s])
                continue;
            if (p->v[s] == STAR)
                enter(p, next, s);
            else if (p->v[s] == ANY || p->v[s] == v->v[i])
                enter(p, next, s + 1);
            else
                continue;
            any = true;
        }
        if (!any)
            return found;
        bool *swap = now;
        now = next;
        next = swap;
    }
}

static void add_units(struct str *out, const struct units *u, size_t from, size_t to)
{
    for (; from < to; from++)
        for (int shift = 24; shift >= 0; shift -= 8)
            if (u->v[from] >> shift & 0xff)
                str_addc(out, (char)(u->v[from] >> shift & 0xff));
}

char *pattern_trim(const char *value, const char *pattern, bool prefix, bool longest)
{
    struct units v SCOPED(units_release) = units_of(value, false);
    struct units p SCOPED(units_release) = units_of(pattern, true);
    if (!prefix) {
        units_reverse(&v);
        units_reverse(&p);
    }
    size_t n = match(&p, &v, 0, longest);
    if (n == NO_MATCH)
        n = 0;
    if (!prefix)
        units_reverse(&v);
    struct str out = STR_INIT;
    add_units(&out, &v, prefix ? n : 0, prefix ? v.n : v.n - n);
    return str_detach(&out);
}

char *pattern_replace(const char *value, const char *pattern, const char *with, bool all)
{
    struct units v SCOPED(units_release) = units_of(value, false);
    struct units p SCOPED(units_release) = units_of(pattern, true);
    struct str out = STR_INIT;
    bool more = p.n > 0;
    for (size_t i = 0; i < v.n;) {
        size_t n = more ? match(&p, &v, i, true) : NO_MATCH;
        if (n == NO_MATCH && more && p.v[0] == STAR)
            more = false; /* a star in front would have found it from here */
        if (n == NO_MATCH || n == 0) {
            add_units(&out, &v, i, i + 1);
            i++;
            continue;
        }
        str_add(&out, with);
        i += n;
        more = all;
    }
    return str_detach(&out);
}
