/* strv - vectors grow by one realloc per entry; they hold tens of strings, not thousands. */
#include "base/strv.h"

#include <stdarg.h>
#include <string.h>

#include "base/str.h"

void strv_free(char **v)
{
    for (char **p = v; p && *p; p++)
        free(*p);
    free(v);
}

size_t strv_len(char *const *v)
{
    size_t n = 0;
    while (v && v[n])
        n++;
    return n;
}

void strv_take(char ***v, char *s)
{
    size_t n = strv_len(*v);
    *v = xrealloc(*v, (n + 2) * sizeof(char *));
    (*v)[n] = s;
    (*v)[n + 1] = NULL;
}

void strv_add(char ***v, const char *s)
{
    strv_take(v, xstrdup(s));
}

void strv_addf(char ***v, const char *fmt, ...)
{
    struct str s = STR_INIT;
    va_list ap;
    va_start(ap, fmt);
    str_addv(&s, fmt, ap);
    va_end(ap);
    strv_take(v, str_detach(&s));
}

void strv_insert(char ***v, size_t at, const char *s)
{
    size_t n = strv_len(*v);
    if (at > n)
        at = n;
    char *copy = xstrdup(s);
    *v = xrealloc(*v, (n + 2) * sizeof(char *));
    memmove(*v + at + 1, *v + at, (n - at) * sizeof(char *));
    (*v)[at] = copy;
    (*v)[n + 1] = NULL;
}

void strv_extend(char ***v, char *const *other)
{
    size_t n = strv_len(*v), m = strv_len(other);
    if (m == 0)
        return;
    *v = xrealloc(*v, (n + m + 1) * sizeof(char *));
    for (size_t i = 0; i < m; i++)
        (*v)[n + i] = xstrdup(other[i]);
    (*v)[n + m] = NULL;
}

char **strv_dup(char *const *v)
{
    char **copy = NULL;
    strv_extend(&copy, v);
    return copy;
}

char **strv_split(const char *s, const char *separators, bool keep_empty)
{
    char **v = NULL;
    for (;;) {
        size_t n = strcspn(s, separators);
        if (n > 0 || keep_empty)
            strv_take(&v, xstrndup(s, n));
        if (!s[n])
            return v;
        s += n + 1;
    }
}

char *strv_join(char *const *v, const char *separator)
{
    struct str s = STR_INIT;
    for (size_t i = 0; v && v[i]; i++) {
        if (i > 0)
            str_add(&s, separator);
        str_add(&s, v[i]);
    }
    return str_detach(&s);
}

bool strv_has(char *const *v, const char *s)
{
    for (; v && *v; v++)
        if (strcmp(*v, s) == 0)
            return true;
    return false;
}

void strv_remove(char **v, const char *s)
{
    if (!v)
        return;
    char **to = v;
    for (char **from = v; *from; from++) {
        if (strcmp(*from, s) == 0)
            free(*from);
        else
            *to++ = *from;
    }
    *to = NULL;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void strv_sort(char **v)
{
    size_t n = strv_len(v);
    if (n > 1)
        qsort(v, n, sizeof(char *), compare);
}

/* Is entry "NAME=..." or a bare "NAME", where NAME is the n bytes at name? */
static bool env_is(const char *entry, const char *name, size_t n)
{
    return strncmp(entry, name, n) == 0 && (entry[n] == '=' || entry[n] == '\0');
}

const char *strv_env_get(char *const *v, const char *name)
{
    size_t n = strlen(name);
    for (; v && *v; v++)
        if (strncmp(*v, name, n) == 0 && (*v)[n] == '=')
            return *v + n + 1;
    return NULL;
}

void strv_env_set(char ***v, const char *name_value)
{
    size_t n = strcspn(name_value, "=");
    for (char **p = *v; p && *p; p++)
        if (env_is(*p, name_value, n)) {
            char *copy = xstrdup(name_value);
            free(*p);
            *p = copy;
            return;
        }
    strv_add(v, name_value);
}

void strv_env_unset(char **v, const char *name)
{
    if (!v)
        return;
    size_t n = strlen(name);
    char **to = v;
    for (char **from = v; *from; from++) {
        if (env_is(*from, name, n))
            free(*from);
        else
            *to++ = *from;
    }
    *to = NULL;
}

struct env_entry {
    const char *text;
    size_t name_len, at;
};

static int env_order(const void *a, const void *b)
{
    const struct env_entry *x = a, *y = b;
    size_t n = x->name_len < y->name_len ? x->name_len : y->name_len;
    int r = memcmp(x->text, y->text, n);
    if (r == 0)
        r = (x->name_len > y->name_len) - (x->name_len < y->name_len);
    return r ? r : (x->at > y->at) - (x->at < y->at);
}

char **strv_env_dup(char *const *v)
{
    char **copy = strv_dup(v);
    size_t n = 0;
    while (v && v[n])
        n++;
    if (n < 2)
        return copy;
    struct env_entry *list = xcalloc(n, sizeof(*list));
    for (size_t i = 0; i < n; i++)
        list[i] = (struct env_entry){v[i], strcspn(v[i], "="), i};
    qsort(list, n, sizeof(*list), env_order);
    for (size_t i = 0; i + 1 < n; i++) {
        if (list[i].name_len == list[i + 1].name_len &&
            memcmp(list[i].text, list[i + 1].text, list[i].name_len) == 0) {
            free(copy[list[i].at]);
            copy[list[i].at] = NULL;
        }
    }
    free(list);
    char **to = copy;
    for (size_t i = 0; i < n; i++)
        if (copy[i])
            *to++ = copy[i];
    *to = NULL;
    return copy;
}
