/* challenge - WWW-Authenticate: challenges of "scheme name=value, name="value", ...", several in
 * one header, the comma being both what separates parameters and what separates challenges. */
#include "registry/challenge.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"

/* token of RFC 9110 section 5.6.2 */
static size_t token_len(const char *s)
{
    size_t n = 0;
    while (s[n] && (isalnum((unsigned char)s[n]) || strchr("!#$%&'*+-.^_`|~", s[n])))
        n++;
    return n;
}

static const char *skip(const char *p, const char *set)
{
    return p + strspn(p, set);
}

/* A quoted string or token at *p; owned. NULL: neither, or a control character in it. */
static char *read_value(const char **p)
{
    const char *s = *p;
    struct str value = STR_INIT;
    if (*s != '"') {
        /* More than a token: realms without quotes hold ':' and '/'. */
        size_t n = strcspn(s, ", \t\"");
        for (size_t i = 0; i < n; i++)
            if ((unsigned char)s[i] <= ' ' || s[i] == 0x7f)
                return NULL;
        *p = s + n;
        return n ? xstrndup(s, n) : NULL;
    }
    for (s++; *s && *s != '"'; s++) {
        if (*s == '\\' && s[1])
            s++;
        if ((unsigned char)*s < ' ' || *s == 0x7f)
            break;
        str_addc(&value, *s);
    }
    if (*s != '"') {
        str_release(&value);
        return NULL;
    }
    *p = s + 1;
    return str_detach(&value);
}

static void set_parameter(struct challenge *c, const char *name, size_t n, char *value)
{
    char **to = NULL;
    if (n == 5 && strncasecmp(name, "realm", n) == 0)
        to = &c->realm;
    else if (n == 7 && strncasecmp(name, "service", n) == 0)
        to = &c->service;
    else if (n == 5 && strncasecmp(name, "scope", n) == 0)
        to = &c->scope;
    else if (n == 5 && strncasecmp(name, "error", n) == 0)
        to = &c->error;
    if (to && !*to)
        *to = value; /* the first one counts */
    else
        free(value);
}

/* What follows a scheme: parameters, or one token68, which says nothing to us. */
static int read_parameters(const char **p, struct challenge *c)
{
    const char *s = *p;
    for (;;) {
        s = skip(s, " \t,");
        size_t n = token_len(s);
        const char *after = skip(s + n, " \t");
        if (n == 0 || *after != '=')
            break;
        const char *at = skip(after + 1, " \t");
        if (*at == '=' || *at == ',' || !*at) { /* the padding of a token68 */
            s = skip(at, "=");
            continue;
        }
        char *value = read_value(&at);
        if (!value)
            return -EINVAL;
        set_parameter(c, s, n, value);
        s = skip(at, " \t");
        if (*s && *s != ',')
            return -EINVAL;
    }
    *p = s;
    return 0;
}

static void challenge_release(struct challenge *c)
{
    free(c->scheme);
    free(c->realm);
    free(c->service);
    free(c->scope);
    free(c->error);
}

/* Is there a token68 (base64 and the like) up to a comma? */
static const char *skip_token68(const char *p)
{
    size_t n = strcspn(p, ", \t\"");
    const char *after = skip(p + n, " \t");
    return n && (*after == ',' || !*after) && !memchr(p, '"', n) ? after : p;
}

int challenge_parse(const char *text, struct challenges *add, struct err *e)
{
    const char *p = skip(text, " \t,");
    if (strlen(text) > CHALLENGE_MAX)
        return err_msg(e, EFBIG, "WWW-Authenticate is longer than %d bytes", CHALLENGE_MAX);
    while (*p) {
        size_t n = token_len(p);
        if (n == 0 || (p[n] && !strchr(" \t,", p[n])))
            return err_msg(e, EINVAL, "WWW-Authenticate cannot be read");
        struct challenge c = {.scheme = xstrndup(p, n)};
        for (char *s = c.scheme; *s; s++)
            *s = (char)tolower((unsigned char)*s);
        p = skip(p + n, " \t");
        const char *equals = p + token_len(p);
        if (*p && *p != ',' && *skip(equals, " \t") != '=')
            p = skip_token68(p);
        if (read_parameters(&p, &c) < 0) {
            challenge_release(&c);
            return err_msg(e, EINVAL, "WWW-Authenticate cannot be read");
        }
        add->v = xrealloc(add->v, (add->n + 1) * sizeof(*add->v));
        add->v[add->n++] = c;
    }
    return 0;
}

void challenges_release(struct challenges *c)
{
    for (size_t i = 0; i < c->n; i++)
        challenge_release(&c->v[i]);
    free(c->v);
    *c = (struct challenges){0};
}

const struct challenge *challenges_find(const struct challenges *c, const char *scheme)
{
    for (size_t i = 0; i < c->n; i++)
        if (streq(c->v[i].scheme, scheme))
            return &c->v[i];
    return NULL;
}
