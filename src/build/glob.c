/* glob - patterns as a list of steps, matched by the set of steps that are alive. */
#include "build/glob.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/str.h"

enum step_kind {
    CHAR,
    ONE,   /* "?" */
    STAR,  /* "*": any but slashes */
    DEEP,  /* "**" with more behind it: nothing, or anything that ends in a slash */
    ALL,   /* "**" at the end: anything */
    CLASS, /* [...] */
};

struct range {
    uint32_t low, high;
};

struct step {
    enum step_kind kind;
    bool negated;
    uint32_t c;
    size_t first, n; /* CLASS: its ranges */
};

struct glob {
    bool stars;
    bool exact; /* with stars: bytes are compared where there is no character */
    struct step *steps;
    size_t n;
    struct range *ranges;
    size_t n_ranges;
};

/* What Go makes of a byte that is in no character of UTF-8; bytes of exact patterns are above. */
#define NO_CHAR 0xfffdu
#define BYTE 0x200000u

/* The next character, or one byte where there is none: -EILSEQ then. */
static int decode(const char **p, uint32_t *ret)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *s = (const unsigned char *)*p;
    size_t n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : s[0] >= 0xc0 ? 2 : 1, i = 1;
    uint32_t c = n == 1 ? s[0] : s[0] & (0x7fu >> n);
    while (i < n && (s[i] & 0xc0) == 0x80)
        c = c << 6 | (s[i++] & 0x3fu);
    bool bad = i < n || (n == 1 && s[0] >= 0x80) || c < least[n] || c > 0x10ffff ||
               (c >= 0xd800 && c <= 0xdfff) || s[0] >= 0xf8;
    *p += bad ? 1 : n;
    *ret = bad ? NO_CHAR : c;
    return bad ? -EILSEQ : 0;
}

static uint32_t next_char(const struct glob *g, const char **p)
{
    uint32_t c, byte = (unsigned char)**p;
    return decode(p, &c) < 0 && g->exact ? BYTE + byte : c;
}

static struct step *add_step(struct glob *g, enum step_kind kind)
{
    g->steps[g->n] = (struct step){.kind = kind};
    return &g->steps[g->n++];
}

static int class_char(const struct glob *g, const char **p, uint32_t *ret)
{
    if (**p == '\\')
        ++*p;
    else if (**p == '-' || **p == ']')
        return -EINVAL;
    if (!**p)
        return -EINVAL;
    return decode(p, ret) < 0 && !g->stars ? -EINVAL : 0;
}

/* Behind the "[" to behind the "]". */
static int add_class(struct glob *g, const char **p)
{
    struct step *s = add_step(g, CLASS);
    s->first = g->n_ranges;
    s->negated = **p == '^';
    *p += s->negated;
    while (**p != ']' || s->n == 0) {
        struct range *range = &g->ranges[g->n_ranges];
        if (class_char(g, p, &range->low) < 0)
            return -EINVAL;
        range->high = range->low;
        if (**p == '-') {
            ++*p;
            if (class_char(g, p, &range->high) < 0)
                return -EINVAL;
        }
        g->n_ranges++;
        s->n++;
    }
    ++*p;
    return 0;
}

static void add_star(struct glob *g, const char **p)
{
    if (!g->stars || **p != '*') {
        if (g->n == 0 || g->steps[g->n - 1].kind != STAR)
            add_step(g, STAR);
        return;
    }
    while (**p == '*')
        ++*p;
    if (**p == '/')
        ++*p;
    add_step(g, **p ? DEEP : ALL);
}

static int compile(struct glob *g, const char *p)
{
    while (*p) {
        if (*p == '*') {
            p++;
            add_star(g, &p);
        } else if (*p == '?') {
            p++;
            add_step(g, ONE);
        } else if (*p == '[') {
            p++;
            if (add_class(g, &p) < 0)
                return -EINVAL;
        } else {
            if (*p == '\\' && !*++p)
                return -EINVAL;
            if (g->stars)
                add_step(g, CHAR)->c = next_char(g, &p);
            else
                add_step(g, CHAR)->c = (unsigned char)*p++;
        }
    }
    return 0;
}

/* Nothing special but two stars at the one end: docker compares such patterns as strings, all
 * others by a regular expression. */
static bool is_exact(const char *pattern)
{
    const char *p = str_after(pattern, "**/");
    p = p ? p : pattern;
    size_t n = strcspn(p, "*?[]\\");
    return !p[n] || (p == pattern && n > 0 && p[n - 1] == '/' && streq(p + n, "**"));
}

int glob_compile(const char *pattern, bool stars, struct glob **ret, struct err *e)
{
    struct glob *g = xcalloc(1, sizeof(*g));
    size_t n = strlen(pattern) + 1;
    g->steps = xcalloc(n, sizeof(*g->steps));
    g->ranges = xcalloc(n, sizeof(*g->ranges));
    g->stars = stars;
    g->exact = is_exact(pattern);
    if (compile(g, pattern) < 0) {
        char shown[200];
        glob_free(g);
        return err_hint(e,
                        err_msg(e, EINVAL, "pattern \"%s\": not valid",
                                err_escape(shown, sizeof(shown), pattern)),
                        "a bracket or backslash that is meant as such needs a backslash");
    }
    *ret = g;
    return 0;
}

void glob_free(struct glob *g)
{
    if (!g)
        return;
    free(g->steps);
    free(g->ranges);
    free(g);
}

static bool in_class(const struct glob *g, const struct step *s, uint32_t c)
{
    for (size_t i = s->first; i < s->first + s->n; i++)
        if (c >= g->ranges[i].low && c <= g->ranges[i].high)
            return !s->negated;
    return s->negated;
}

/* Marks step i and those behind it that may match nothing. */
static void enter(const struct glob *g, bool *alive, size_t i)
{
    for (; !alive[i]; i++) {
        alive[i] = true;
        if (i == g->n ||
            (g->steps[i].kind != STAR && g->steps[i].kind != DEEP && g->steps[i].kind != ALL))
            return;
    }
}

static void take(const struct glob *g, size_t i, uint32_t c, bool *next)
{
    const struct step *s = &g->steps[i];
    switch (s->kind) {
    case CHAR:
        if (c == s->c)
            enter(g, next, i + 1);
        return;
    case ONE:
        if (c != '/')
            enter(g, next, i + 1);
        return;
    case CLASS:
        if (c != '/' && in_class(g, s, c))
            enter(g, next, i + 1);
        return;
    case STAR:
        if (c != '/')
            enter(g, next, i);
        return;
    case ALL:
        enter(g, next, i);
        return;
    case DEEP:
        next[i] = true; /* further, without leaving: only a slash ends it */
        if (c == '/')
            enter(g, next, i + 1);
    }
}

/* By characters, as a regular expression. */
static bool match_set(const struct glob *g, const char *text)
{
    scoped_free bool *states = xcalloc(2 * (g->n + 1), sizeof(bool));
    bool *now = states, *next = states + g->n + 1;
    enter(g, now, 0);
    while (*text) {
        uint32_t c = next_char(g, &text);
        memset(next, 0, g->n + 1);
        for (size_t i = 0; i < g->n; i++)
            if (now[i])
                take(g, i, c, next);
        bool *swap = now;
        now = next;
        next = swap;
    }
    return now[g->n];
}

/* Steps from first to before end, which have no star, at the beginning of text: what is behind it.
 */
static const char *match_part(const struct glob *g, size_t first, size_t end, const char *text)
{
    for (size_t i = first; i < end; i++) {
        const struct step *s = &g->steps[i];
        uint32_t c;
        if (!*text || (s->kind == CHAR ? (unsigned char)*text != s->c : *text == '/'))
            return NULL;
        if (s->kind == CHAR) {
            text++;
            continue;
        }
        decode(&text, &c);
        if (s->kind == CLASS && !in_class(g, s, c))
            return NULL;
    }
    return text;
}

/* As filepath.Match of Go: literals and stars go by bytes, "?" and classes by characters, and of
 * the places where a part behind a star fits the first one counts. */
static bool match_bytes(const struct glob *g, const char *text)
{
    for (size_t i = 0, end;; i = end) {
        bool star = i < g->n && g->steps[i].kind == STAR;
        i += star; /* compile makes one of several */
        for (end = i; end < g->n && g->steps[end].kind != STAR;)
            end++;
        if (star && i == end)
            return !strchr(text, '/');
        const char *rest = match_part(g, i, end, text);
        while (star && (!rest || (end == g->n && *rest)) && *text && *text != '/')
            rest = match_part(g, i, end, ++text);
        if (!rest || end == g->n)
            return rest && !*rest;
        text = rest;
    }
}

bool glob_match(const struct glob *g, const char *text)
{
    return g->stars ? match_set(g, text) : match_bytes(g, text);
}

size_t glob_prefix(const char *pattern)
{
    bool exact = is_exact(pattern);
    const char *p = pattern, *next = p;
    while (*p && !strchr("*?[\\", *p)) {
        uint32_t c;
        decode(&next, &c);
        if (c == NO_CHAR && !exact)
            break;
        p = next;
    }
    return (size_t)(p - pattern);
}

bool glob_is_pattern(const char *text)
{
    return strpbrk(text, "*?[") != NULL;
}

char *glob_literal(const char *pattern)
{
    struct str s = STR_INIT;
    for (; *pattern; pattern++) {
        if (*pattern == '\\' && pattern[1])
            pattern++;
        str_addc(&s, *pattern);
    }
    return str_detach(&s);
}
