/* ignore - the patterns of an ignore file, and the paths that they leave out. */
#include "build/ignore.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/path.h"
#include "base/str.h"
#include "base/strv.h"
#include "build/glob.h"

struct rule {
    struct glob *glob;
    char *fixed; /* the pattern up to its first special character */
    bool back;   /* "!" */
};

struct ignore {
    struct rule *rules;
    size_t n, n_back;
};

void ignore_free(struct ignore *g)
{
    for (size_t i = 0; g && i < g->n; i++) {
        glob_free(g->rules[i].glob);
        free(g->rules[i].fixed);
    }
    if (g)
        free(g->rules);
    free(g);
}

/* Does a relative pattern lead out of the context by ".."? It matches nothing then. */
static bool leads_out(const char *text)
{
    scoped_strv char **parts = text[0] == '/' ? NULL : strv_split(text, "/", false);
    int depth = 0;
    for (char **p = parts; p && *p; p++) {
        if (streq(*p, ".."))
            depth--;
        else if (!streq(*p, "."))
            depth++;
        if (depth < 0)
            return true;
    }
    return false;
}

/* One pattern, trimmed: without "." and ".." parts and slashes at the ends. "" matches nothing. */
static int add_rule(struct ignore *g, const char *text, struct err *e)
{
    bool back = text[0] == '!';
    text += back;
    while (isspace((unsigned char)*text))
        text++;
    if (back && !*text)
        return err_msg(e, EINVAL, "a \"!\" without a pattern");
    scoped_free char *clean = path_clean(text);
    const char *pattern = clean + (clean[0] == '/');
    if (!*pattern || leads_out(text))
        return 0;
    struct rule r = {.back = back};
    int ret = glob_compile(pattern, true, &r.glob, e);
    if (ret < 0)
        return ret;
    r.fixed = xstrndup(pattern, glob_prefix(pattern));
    g->rules = xrealloc(g->rules, (g->n + 1) * sizeof(*g->rules));
    g->rules[g->n++] = r;
    g->n_back += back;
    return 0;
}

int ignore_parse(const char *name, const char *data, size_t n, struct ignore **ret, struct err *e)
{
    struct ignore *g = xcalloc(1, sizeof(*g));
    const char *end = data + n;
    unsigned line = 0;
    int r = 0;
    if (n >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0)
        data += 3;
    while (data < end && r == 0) {
        const char *nl = memchr(data, '\n', (size_t)(end - data));
        size_t len = nl ? (size_t)(nl - data) : (size_t)(end - data);
        bool comment = *data == '#';
        line++;
        scoped_free char *text = xstrndup(data, len);
        data = nl ? nl + 1 : end;
        char *start = text, *stop = text + strlen(text);
        while (isspace((unsigned char)*start))
            start++;
        while (stop > start && isspace((unsigned char)stop[-1]))
            *--stop = '\0';
        if (!comment && *start)
            r = add_rule(g, start, e);
    }
    if (r < 0) {
        char shown[200];
        ignore_free(g);
        return err_add(e, r, "%s:%u", err_escape(shown, sizeof(shown), name), line);
    }
    *ret = g;
    return 0;
}

int ignore_new(char *const *patterns, struct ignore **ret, struct err *e)
{
    struct ignore *g = xcalloc(1, sizeof(*g));
    int r = 0;
    for (; patterns && *patterns && r == 0; patterns++)
        r = add_rule(g, *patterns, e);
    if (r == 0)
        *ret = g;
    else
        ignore_free(g);
    return r;
}

/* The path itself, or a directory that it is in. */
static bool rule_match(const struct rule *r, const char *path)
{
    size_t n = strlen(r->fixed);
    size_t common = strnlen(path, n);
    if (memcmp(path, r->fixed, common < n ? common : n) != 0)
        return false;
    scoped_free char *part = xstrdup(path);
    for (char *slash = strchr(part, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        bool hit = glob_match(r->glob, part);
        *slash = '/';
        if (hit)
            return true;
    }
    return glob_match(r->glob, path);
}

bool ignore_match(const struct ignore *g, const char *path)
{
    bool out = false;
    for (size_t i = 0; g && i < g->n; i++)
        if (g->rules[i].back == out && rule_match(&g->rules[i], path))
            out = !g->rules[i].back;
    return out;
}

bool ignore_may_take_back(const struct ignore *g, const char *dir)
{
    for (size_t i = 0; g && g->n_back && i < g->n; i++) {
        if (!g->rules[i].back)
            continue;
        size_t a = strlen(dir), b = strlen(g->rules[i].fixed);
        if (memcmp(dir, g->rules[i].fixed, a < b ? a : b) == 0)
            return true;
    }
    return false;
}
