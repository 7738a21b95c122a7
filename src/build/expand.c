/* expand - docker's lexer: quotes, escapes and variables of one word. */
#include "build/expand.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "base/strv.h"
#include "build/pattern.h"

#define MAX_DEPTH 32
#define MAX_RESULT (1u << 20) /* ENV a=$a$a, thirty times */

struct lex {
    const struct expand *x;
    const char *p, *word;
    unsigned depth;
    bool raw_quotes; /* quotes are ordinary characters */
    bool words;      /* unquoted white space ends a word */
    bool open;       /* a word is begun, maybe an empty one ("") */
    char ***list;
    struct err *e;
};

static int until(struct lex *l, char stop, bool keep_escapes, struct str *out);

static int fail(const struct lex *l, const char *why)
{
    char shown[300];
    err_escape(shown, sizeof(shown), l->word);
    return err_msg(l->e, EINVAL, "\"%s\": %s", shown, why);
}

static void end_word(struct lex *l, struct str *out)
{
    if (l->open || out->len) {
        strv_add(l->list, out->s);
        str_reset(out);
    }
    l->open = false;
}

/* Characters outside of quotes: those of a value split words as well. */
static void emit(struct lex *l, struct str *out, const char *text)
{
    for (; *text; text++) {
        if (l->words && l->depth == 0 && isspace((unsigned char)*text))
            end_word(l, out);
        else
            str_addc(out, *text);
    }
}

static bool is_special(char c)
{
    return c && strchr("@*#?-$!", c);
}

static char *take_name(struct lex *l)
{
    const char *s = l->p;
    if (isdigit((unsigned char)*s))
        while (isdigit((unsigned char)*l->p))
            l->p++;
    else if (is_special(*s))
        l->p++;
    else
        while (isalnum((unsigned char)*l->p) || *l->p == '_')
            l->p++;
    return xstrndup(s, (size_t)(l->p - s));
}

/* What stands behind the name in ${NAME...}. */
struct modifier {
    char op; /* - + ? # % / */
    bool colon, twice;
};

static int take_modifier(struct lex *l, struct modifier *m)
{
    m->colon = *l->p == ':';
    l->p += m->colon;
    m->op = *l->p;
    if (!m->op || !strchr(m->colon ? "-+?" : "-+?#%/", m->op))
        return fail(l, m->op ? "unsupported modifier in ${}" : "a ${ has no }");
    l->p++;
    m->twice = strchr("#%/", m->op) && *l->p == m->op;
    l->p += m->twice;
    return 0;
}

static int replace(struct lex *l, const struct modifier *m, const char *value, struct str *out)
{
    scoped_str struct str pattern = STR_INIT, with = STR_INIT;
    int r = until(l, '/', true, &pattern);
    if (r == 0)
        r = until(l, '}', false, &with);
    if (r < 0)
        return r;
    size_t n = value ? strlen(value) : 0;
    if (with.len && n > MAX_RESULT / with.len)
        return fail(l, "the result is too long");
    scoped_free char *s = pattern_replace(value ? value : "", pattern.s, with.s, m->twice);
    str_add(out, s);
    return 0;
}

static int apply(struct lex *l, const char *name, const char *value, struct str *out)
{
    struct modifier m = {0};
    int r = take_modifier(l, &m);
    if (r < 0)
        return r;
    if (m.op == '/')
        return replace(l, &m, value, out);
    scoped_str struct str word = STR_INIT;
    r = until(l, '}', m.op == '#' || m.op == '%', &word);
    if (r < 0)
        return r;
    bool set = value && (!m.colon || *value);
    if (m.op == '#' || m.op == '%') {
        scoped_free char *s = pattern_trim(value ? value : "", word.s, m.op == '#', m.twice);
        str_add(out, s);
    } else if (m.op == '+') {
        str_add(out, set ? word.s : "");
    } else if (m.op == '-' || set) {
        str_add(out, set ? value : word.s);
    } else {
        char shown[300];
        err_escape(shown, sizeof(shown), word.s);
        return err_msg(l->e, EINVAL, "%s: %s", name,
                       word.len  ? shown
                       : m.colon ? "must not be empty"
                                 : "must be set");
    }
    return 0;
}

static int dollar(struct lex *l, struct str *out)
{
    l->p++;
    bool brace = *l->p == '{';
    l->p += brace;
    scoped_free char *name = take_name(l);
    if (!*name) {
        if (brace)
            return fail(l, *l->p ? "bad name in ${}" : "a ${ has no }");
        str_addc(out, '$');
        return 0;
    }
    const char *value = l->x->get(l->x->data, name);
    if (!brace || *l->p == '}') {
        l->p += brace;
        str_add(out, value ? value : "");
        return 0;
    }
    if (l->depth == MAX_DEPTH)
        return fail(l, "${} too deep");
    l->depth++;
    int r = apply(l, name, value, out);
    l->depth--;
    return r;
}

static int variable(struct lex *l, bool quoted, struct str *out)
{
    scoped_str struct str value = STR_INIT;
    int r = dollar(l, &value);
    if (r < 0)
        return r;
    if (value.len + out->len > MAX_RESULT)
        return fail(l, "the result is too long");
    if (quoted)
        str_addn(out, value.s, value.len);
    else
        emit(l, out, value.s);
    return 0;
}

static int single_quoted(struct lex *l, struct str *out)
{
    const char *end = strchr(l->p + 1, '\'');
    if (!end)
        return fail(l, "a single quote is not closed");
    str_addn(out, l->p + 1, (size_t)(end - l->p - 1));
    l->p = end + 1;
    return 0;
}

static int double_quoted(struct lex *l, struct str *out)
{
    int r = 0;
    for (l->p++; *l->p != '"' && r == 0;) {
        if (!*l->p)
            return fail(l, "a double quote is not closed");
        if (*l->p == '$') {
            r = variable(l, true, out);
            continue;
        }
        if (*l->p == l->x->escape && l->p[1] &&
            (l->p[1] == '"' || l->p[1] == '$' || l->p[1] == l->x->escape))
            l->p++;
        str_addc(out, *l->p++);
    }
    l->p += r == 0;
    return r;
}

static void plain(struct lex *l, bool keep_escapes, struct str *out)
{
    char c[2] = {*l->p++, 0};
    if (c[0] != l->x->escape) {
        emit(l, out, c);
        return;
    }
    if (keep_escapes)
        str_addc(out, '\\'); /* the one that patterns know */
    if (*l->p)
        str_addc(out, *l->p++);
}

/* To behind the character stop, or to the end when it is 0. */
static int until(struct lex *l, char stop, bool keep_escapes, struct str *out)
{
    int r = 0;
    while (r == 0 && *l->p) {
        if (stop && *l->p == stop) {
            l->p++;
            return 0;
        }
        bool quote = !l->raw_quotes && (*l->p == '\'' || *l->p == '"');
        if (quote && l->depth == 0)
            l->open = true;
        if (quote)
            r = *l->p == '"' ? double_quoted(l, out) : single_quoted(l, out);
        else if (*l->p == '$')
            r = variable(l, false, out);
        else
            plain(l, keep_escapes, out);
    }
    return r == 0 && stop ? fail(l, "a ${ has no }") : r;
}

int expand_word(const struct expand *x, const char *word, char **ret, struct err *e)
{
    struct lex l = {.x = x, .p = word, .word = word, .e = e};
    scoped_str struct str out = STR_INIT;
    int r = until(&l, 0, false, &out);
    if (r == 0)
        *ret = str_detach(&out);
    return r;
}

int expand_words(const struct expand *x, const char *word, char ***ret, struct err *e)
{
    struct lex l = {.x = x, .p = word, .word = word, .e = e, .words = true, .list = ret};
    scoped_str struct str out = STR_INIT;
    int r = until(&l, 0, false, &out);
    if (r == 0)
        end_word(&l, &out);
    return r;
}

/* As a shell does it: the escape has a meaning in front of "$", "`", itself and a line's end. */
int expand_body(const struct expand *x, const char *body, char **ret, struct err *e)
{
    static const struct expand none;
    struct expand shell = x ? *x : none;
    shell.escape = '\\';
    struct lex l = {.x = &shell, .p = body, .word = "here-document", .e = e, .raw_quotes = true};
    scoped_str struct str out = STR_INIT;
    int r = 0;
    while (r == 0 && *l.p) {
        if (*l.p == '$') {
            r = variable(&l, true, &out);
        } else if (*l.p == '\\' && l.p[1] == '\n') {
            l.p += 2;
        } else {
            if (*l.p == '\\' && l.p[1] && strchr("$`\\", l.p[1]))
                l.p++;
            str_addc(&out, *l.p++);
        }
    }
    if (r == 0)
        *ret = str_detach(&out);
    return r;
}
