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
    struct step *steps;
    size_t n;
    struct range *ranges;
    size_t n_ranges;
};

/* The next character: a code point of UTF-8, or a single byte above all of them. */
static uint32_t next_char(const char **p)
{
    const unsigned char *s = (const unsigned char *)*p;
    size_t n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : s[0] >= 0xc0 ? 2 : 1;
    uint32_t c = n == 1 ? s[0] : s[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            n = 1;
            break;
        }
        c = c << 6 | (s[i] & 0x3f);
    }
    *p += n;
    return n == 1 && s[0] >= 0x80 ? 0x200000u + s[0] : c;
}

static struct step *add_step(struct glob *g, enum step_kind kind)
{
    g->steps[g->n] = (struct step){.kind = kind};
    return &g->steps[g->n++];
}

static int class_char(const char **p, uint32_t *ret)
{
    if (**p == '\\')
        ++*p;
    else if (**p == '-' || **p == ']')
        return -EINVAL;
    if (!**p)
        return -EINVAL;
    *ret = next_char(p);
    return 0;
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
        if (class_char(p, &range->low) < 0)
            return -EINVAL;
        range->high = range->low;
        if (**p == '-') {
            ++*p;
            if (class_char(p, &range->high) < 0)
                return -EINVAL;
        }
        g->n_ranges++;
        s->n++;
    }
    ++*p;
    return 0;
}

static void add_star(struct glob *g, const char **p, bool stars)
{
    if (!stars || **p != '*') {
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

static int compile(struct glob *g, const char *p, bool stars)
{
    while (*p) {
        if (*p == '*') {
            p++;
            add_star(g, &p, stars);
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
            add_step(g, CHAR)->c = next_char(&p);
        }
    }
    return 0;
}

int glob_compile(const char *pattern, bool stars, struct glob **ret, struct err *e)
{
    struct glob *g = xcalloc(1, sizeof(*g));
    size_t n = strlen(pattern) + 1;
    g->steps = xcalloc(n, sizeof(*g->steps));
    g->ranges = xcalloc(n, sizeof(*g->ranges));
    if (compile(g, pattern, stars) < 0) {
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

bool glob_match(const struct glob *g, const char *text)
{
    scoped_free bool *states = xcalloc(2 * (g->n + 1), sizeof(bool));
    bool *now = states, *next = states + g->n + 1;
    enter(g, now, 0);
    while (*text) {
        uint32_t c = next_char(&text);
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
