/* chmod - symbolic modes without an umask: no "who" means all. */
#include "build/chmod.h"

#include <errno.h>
#include <string.h>

#include "base/str.h"

struct who {
    bool u, g, o;
};

static const char *take_who(const char *p, struct who *w)
{
    *w = (struct who){0};
    for (; *p && strchr("ugoa", *p); p++) {
        w->u |= *p == 'u' || *p == 'a';
        w->g |= *p == 'g' || *p == 'a';
        w->o |= *p == 'o' || *p == 'a';
    }
    if (!w->u && !w->g && !w->o)
        w->u = w->g = w->o = true;
    return p;
}

/* The same three bits for all that are meant. */
static uint32_t spread(const struct who *w, uint32_t bits)
{
    return (w->u ? bits << 6 : 0) | (w->g ? bits << 3 : 0) | (w->o ? bits : 0);
}

static uint32_t letter_bits(char c, const struct who *w, uint32_t mode, bool is_dir)
{
    switch (c) {
    case 'r':
        return spread(w, 4);
    case 'w':
        return spread(w, 2);
    case 'x':
        return spread(w, 1);
    case 'X':
        return is_dir || mode & 0111 ? spread(w, 1) : 0;
    case 's':
        return (w->u ? 04000u : 0) | (w->g ? 02000u : 0);
    case 't':
        return 01000;
    case 'u':
        return spread(w, mode >> 6 & 7);
    case 'g':
        return spread(w, mode >> 3 & 7);
    default:
        return spread(w, mode & 7);
    }
}

/* One "op letters" behind a who. */
static const char *take_op(const char *p, const struct who *w, uint32_t *mode, bool is_dir)
{
    char op = *p++;
    uint32_t bits = 0;
    for (; *p && strchr("rwxXstugo", *p); p++)
        bits |= letter_bits(*p, w, *mode, is_dir);
    if (op == '+')
        *mode |= bits;
    else if (op == '-')
        *mode &= ~bits;
    else
        *mode = (*mode & ~(spread(w, 7) | (w->u ? 04000u : 0) | (w->g ? 02000u : 0))) | bits;
    return p;
}

/* NULL: not valid. */
static const char *run(const char *p, uint32_t *mode, bool is_dir)
{
    for (;;) {
        struct who w;
        p = take_who(p, &w);
        if (!*p || !strchr("+-=", *p))
            return NULL;
        while (*p && strchr("+-=", *p))
            p = take_op(p, &w, mode, is_dir);
        if (*p != ',')
            return *p ? NULL : p;
        p++;
    }
}

int chmod_check(const char *text, struct err *e)
{
    uint32_t mode = 0;
    if ((parse_octal(text, &mode) == 0 && mode <= 07777) || run(text, &mode, false))
        return 0;
    return err_hint(e, err_msg(e, EINVAL, "--chmod=%s: not a mode", text),
                    "--chmod=755, or --chmod=u=rwX,go=rX");
}

uint32_t chmod_apply(const char *text, uint32_t mode, bool is_dir)
{
    uint32_t octal;
    if (parse_octal(text, &octal) == 0)
        return octal;
    run(text, &mode, is_dir);
    return mode & 07777;
}
