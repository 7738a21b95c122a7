/* location - what a Location header means: an address against the one it came from. */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"
#include "registry/challenge.h"

#define ADDRESS_MAX 8192

/* "https://host:port" of a base: the length up to its path. */
static size_t origin_len(const char *base)
{
    const char *host = strstr(base, "://");
    host = host ? host + 3 : base;
    return (size_t)(host - base) + strcspn(host, "/?#");
}

/* The scheme that text begins with, "" when it is relative: ALPHA *( ALPHA / DIGIT / "+-." ) ":" */
static size_t scheme_len(const char *text)
{
    size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.");
    return text[n] == ':' ? n : 0;
}

static char *merge(const char *base, const char *text)
{
    size_t origin = origin_len(base);
    size_t path = origin + strcspn(base + origin, "?#");
    if (text[0] == '/' && text[1] == '/')
        return xasprintf("%.*s:%s", (int)(strcspn(base, ":")), base, text);
    if (text[0] == '/')
        return xasprintf("%.*s%s", (int)origin, base, text);
    if (text[0] == '?')
        return xasprintf("%.*s%s", (int)path, base, text);
    while (path > origin && base[path - 1] != '/')
        path--;
    return xasprintf("%.*s%s%s", (int)path, base, path == origin ? "/" : "", text);
}

char *location_resolve(const char *base, const char *text, struct err *e)
{
    size_t scheme = scheme_len(text);
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7f || strchr("\\\"<>^`{|}", *p)) {
            err_msg(e, EPROTO, "a redirect to an address with a character that none may have");
            return NULL;
        }
    if (!*text || strlen(text) > ADDRESS_MAX) {
        err_msg(e, EPROTO, "a redirect to an address that is empty or over 8 KiB");
        return NULL;
    }
    if (scheme && !(scheme == 4 && strncasecmp(text, "http", 4) == 0) &&
        !(scheme == 5 && strncasecmp(text, "https", 5) == 0)) {
        err_msg(e, EPERM, "a redirect to %.*s: is refused, only http and https are followed",
                (int)scheme, text);
        return NULL;
    }
    scoped_free char *whole = scheme ? xstrdup(text) : merge(base, text);
    whole[strcspn(whole, "#")] = '\0';
    const char *host = str_after(whole + strcspn(whole, ":"), "://");
    size_t n = host ? strcspn(host, "/?") : 0;
    if (!n || memchr(host, '@', n)) {
        err_msg(e, EPROTO, "a redirect to an address without a host, or with a user name in it");
        return NULL;
    }
    return take_ptr(whole);
}

/* Is rel=next (or "next" among several) one of the parameters behind a link's address? */
static bool is_next(const char *p, const char *end)
{
    while (p < end && *p == ';') {
        p += 1 + strspn(p + 1, " \t");
        size_t name = strcspn(p, "=;,");
        bool rel = name == 3 && strncasecmp(p, "rel", 3) == 0;
        p += name;
        if (p >= end || *p != '=')
            continue;
        p++;
        size_t n;
        if (*p == '"') {
            p++;
            n = strcspn(p, "\"");
        } else {
            n = strcspn(p, ";, \t");
        }
        if (rel && n == 4 && strncasecmp(p, "next", 4) == 0)
            return true;
        p += n;
        p += *p == '"';
        p += strspn(p, " \t");
    }
    return false;
}

char *link_next(const char *base, const char *text)
{
    const char *p = text, *all = text + strlen(text);
    while ((p = strchr(p, '<'))) {
        const char *close = strchr(++p, '>');
        if (!close)
            return NULL;
        const char *parameters = close + 1 + strspn(close + 1, " \t");
        if (is_next(parameters, all)) {
            scoped_free char *address = xstrndup(p, (size_t)(close - p));
            return location_resolve(base, address, NULL);
        }
        p = parameters;
    }
    return NULL;
}
