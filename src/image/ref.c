#include "image/ref.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/id.h"
#include "base/str.h"

#define NAME_LIMIT 255
#define TAG_LIMIT 128

static bool is_lower_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_word(char c)
{
    return is_lower_alnum(c) || (c >= 'A' && c <= 'Z') || c == '_';
}

/* One part of a path: [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)* */
static bool component_valid(const char *s, size_t n)
{
    size_t i = 0;
    if (n == 0)
        return false;
    while (i < n) {
        size_t start = i;
        while (i < n && is_lower_alnum(s[i]))
            i++;
        if (i == start)
            return false;
        if (i == n)
            return true;
        if (s[i] == '.')
            i++;
        else if (s[i] == '_')
            i += i + 1 < n && s[i + 1] == '_' ? 2 : 1;
        else if (s[i] == '-')
            while (i < n && s[i] == '-')
                i++;
        else
            return false;
    }
    return false; /* it ended with a separator */
}

/* HOST[:PORT]; HOST a DNS name or an IPv6 address in brackets. */
static bool host_valid(const char *s, size_t n)
{
    size_t i = 0;
    if (n && s[0] == '[') {
        for (i = 1; i < n && s[i] != ']'; i++)
            if (!isxdigit((unsigned char)s[i]) && s[i] != ':')
                return false;
        if (i == n || i == 1)
            return false;
        i++;
    } else {
        if (n == 0 || s[0] == '.' || s[0] == '-')
            return false;
        for (; i < n && s[i] != ':'; i++)
            if (!is_word(s[i]) && s[i] != '.' && s[i] != '-')
                return false;
        if (i == 0 || s[i - 1] == '.')
            return false;
    }
    if (i == n)
        return true;
    if (s[i++] != ':' || i == n || n - i > 5)
        return false;
    for (; i < n; i++)
        if (s[i] < '0' || s[i] > '9')
            return false;
    return true;
}

static bool tag_valid(const char *s)
{
    size_t n = strlen(s);
    if (n == 0 || n > TAG_LIMIT || !is_word(s[0]))
        return false;
    for (size_t i = 1; i < n; i++)
        if (!is_word(s[i]) && s[i] != '.' && s[i] != '-')
            return false;
    return true;
}

/* The first part is a host if a path part could not look like it. */
static bool names_host(const char *s, size_t n)
{
    if (n == strlen("localhost") && memcmp(s, "localhost", n) == 0)
        return true;
    for (size_t i = 0; i < n; i++)
        if (s[i] == '.' || s[i] == ':' || (s[i] >= 'A' && s[i] <= 'Z'))
            return true;
    return false;
}

void image_host_lower(char *name)
{
    size_t n = strcspn(name, "/");
    scoped_free char *low = xstrndup(name, n);
    for (char *p = low; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    if (names_host(low, n)) /* a capital may be all that makes it one */
        memcpy(name, low, n);
}

int image_digest_check(const char *digest, struct err *e)
{
    const char *colon = digest ? strchr(digest, ':') : NULL;
    if (!colon)
        return err_msg(e, EINVAL, "\"%s\" is not a digest: want sha256: and 64 hex digits",
                       digest ? digest : "");
    const char *hex = str_after(digest, DIGEST_PREFIX);
    if (!hex)
        return err_msg(e, EINVAL, "digest \"%s\": the algorithm %.*s is not supported", digest,
                       (int)(colon - digest), digest);
    if (strlen(hex) != DIGEST_HEX || !id_is_hex(hex))
        return err_msg(e, EINVAL, "digest \"%s\": want 64 lower-case hex digits", digest);
    return 0;
}

const char *image_digest_hex(const char *digest)
{
    return digest + strlen(DIGEST_PREFIX);
}

void image_ref_release(struct image_ref *r)
{
    free(r->name);
    free(r->tag);
    free(r->digest);
    *r = (struct image_ref){0};
}

/* Checks HOST/PATH; *ret_short: there is no HOST. */
static int check_name(const char *name, bool *ret_short, struct err *e)
{
    const char *slash = strchr(name, '/'), *s = name;
    bool host = slash && names_host(name, (size_t)(slash - name));
    if (strlen(name) > NAME_LIMIT)
        return err_msg(e, EINVAL, "the name is longer than %d bytes", NAME_LIMIT);
    if (host) {
        if (!host_valid(name, (size_t)(slash - name)))
            return err_msg(e, EINVAL, "\"%.*s\" is not a host name", (int)(slash - name), name);
        s = slash + 1;
    }
    if (strlen(name) == ID_LEN && id_is_hex(name))
        return err_msg(e, EINVAL, "64 hex digits are an image id, not a name");
    for (;;) {
        size_t n = strcspn(s, "/");
        if (!component_valid(s, n))
            return err_msg(e, EINVAL,
                           "\"%.*s\" is not a valid part of a name: lower-case letters, digits, "
                           "single '.', '_' or '-' between them",
                           (int)n, s);
        if (!s[n])
            break;
        s += n + 1;
    }
    *ret_short = !host;
    return 0;
}

int image_ref_split(const char *text, struct image_ref *ret, bool *ret_short, struct err *e)
{
    SCOPED(image_ref_release) struct image_ref ref = {0};
    bool is_short = false;
    const char *at = strchr(text, '@');
    size_t n = at ? (size_t)(at - text) : strlen(text);
    int r = 0;

    if (at) {
        r = image_digest_check(at + 1, e);
        if (r < 0)
            return err_add(e, r, "image reference \"%s\"", text);
        ref.digest = xstrdup(at + 1);
    }
    ref.name = xstrndup(text, n);
    char *slash = strrchr(ref.name, '/');
    char *colon = strchr(slash ? slash : ref.name, ':');
    if (colon) {
        *colon = '\0';
        if (!tag_valid(colon + 1))
            return err_msg(e, EINVAL,
                           "image reference \"%s\": invalid tag: want up to 128 letters, digits, "
                           "'_', '.' and '-'",
                           text);
        ref.tag = xstrdup(colon + 1);
    }
    r = check_name(ref.name, &is_short, e);
    if (r < 0)
        return err_add(e, r, "image reference \"%s\"", text);
    if (!is_short)
        image_host_lower(ref.name);
    *ret = ref;
    ref = (struct image_ref){0};
    *ret_short = is_short;
    return 0;
}

static int parse_with(const char *text, bool local, struct image_ref *ret, struct err *e)
{
    SCOPED(image_ref_release) struct image_ref ref = {0};
    bool is_short = false;
    int r = image_ref_split(text, &ref, &is_short, e);
    if (r < 0)
        return r;

    const char *path = is_short ? ref.name : NULL;
    if (!path)
        path = str_after(ref.name, "docker.io/");
    if (!path)
        path = str_after(ref.name, "index.docker.io/");
    if (path) {
        bool to_localhost = is_short && local;
        const char *host = to_localhost ? "localhost/" : "docker.io/";
        const char *library = !to_localhost && !strchr(path, '/') ? "library/" : "";
        char *full = xasprintf("%s%s%s", host, library, path);
        free(ref.name);
        ref.name = full;
    }
    if (strlen(ref.name) > NAME_LIMIT)
        return err_msg(e, EINVAL, "image reference \"%s\": the name is longer than %d bytes", text,
                       NAME_LIMIT);
    if (!ref.tag && !ref.digest)
        ref.tag = xstrdup("latest");
    *ret = ref;
    ref = (struct image_ref){0};
    return 0;
}

int image_ref_parse(const char *text, struct image_ref *ret, struct err *e)
{
    return parse_with(text, false, ret, e);
}

int image_ref_parse_local(const char *text, struct image_ref *ret, struct err *e)
{
    return parse_with(text, true, ret, e);
}

char *image_ref_text(const struct image_ref *r)
{
    return xasprintf("%s%s%s%s%s", r->name, r->tag ? ":" : "", r->tag ? r->tag : "",
                     r->digest ? "@" : "", r->digest ? r->digest : "");
}

static char *swap_chars(const char *s, char from, char to)
{
    char *copy = xstrdup(s);
    for (char *p = copy; (p = strchr(p, from)); p++)
        *p = to;
    return copy;
}

char *image_ref_encode(const char *name)
{
    return swap_chars(name, '/', '+');
}

char *image_ref_decode(const char *dir)
{
    return swap_chars(dir, '+', '/');
}
