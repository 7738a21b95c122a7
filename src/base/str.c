/* str - growing strings and allocation that ends the program. */
#include "base/str.h"

#include <stdio.h>

/* As of any failure of our own: no core dump, no signal. What is half done is swept as after
 * SIGKILL. */
#define OUT_OF_MEMORY 125

char str_empty[1];

__attribute__((noreturn)) static void out_of_memory(void)
{
    static const char text[] = "Error: out of memory\n";
    ssize_t n = write(STDERR_FILENO, text, sizeof(text) - 1);
    (void)n;
    _exit(OUT_OF_MEMORY);
}

void *xmalloc(size_t n)
{
    void *p = malloc(n ? n : 1);
    if (!p)
        out_of_memory();
    return p;
}

void *xcalloc(size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size ? size : 1);
    if (!p)
        out_of_memory();
    return p;
}

void *xrealloc(void *p, size_t n)
{
    p = realloc(p, n ? n : 1);
    if (!p)
        out_of_memory();
    return p;
}

char *xstrdup(const char *s)
{
    return s ? xstrndup(s, strlen(s)) : NULL;
}

char *xstrndup(const char *s, size_t n)
{
    n = strnlen(s, n);
    char *p = xmalloc(n + 1);
    memcpy(p, s, n);
    p[n] = '\0';
    return p;
}

char *xasprintf(const char *fmt, ...)
{
    struct str s = STR_INIT;
    va_list ap;
    va_start(ap, fmt);
    str_addv(&s, fmt, ap);
    va_end(ap);
    return str_detach(&s);
}

/* Makes room for n more bytes and the terminator. */
static void str_grow(struct str *s, size_t n)
{
    if (n >= SIZE_MAX / 2 - s->len)
        out_of_memory();
    size_t need = s->len + n + 1;
    if (need <= s->alloc)
        return;
    size_t alloc = s->alloc < 32 ? 64 : s->alloc * 2;
    if (alloc < need)
        alloc = need;
    bool fresh = s->alloc == 0;
    s->s = xrealloc(fresh ? NULL : s->s, alloc);
    s->alloc = alloc;
    if (fresh)
        s->s[0] = '\0';
}

void str_release(struct str *s)
{
    if (s->alloc)
        free(s->s);
    *s = (struct str)STR_INIT;
}

void str_reset(struct str *s)
{
    s->len = 0;
    if (s->alloc)
        s->s[0] = '\0';
}

char *str_detach(struct str *s)
{
    char *p = s->alloc ? s->s : xstrdup("");
    *s = (struct str)STR_INIT;
    return p;
}

void str_addn(struct str *s, const void *data, size_t n)
{
    if (n == 0)
        return;
    str_grow(s, n);
    memcpy(s->s + s->len, data, n);
    s->len += n;
    s->s[s->len] = '\0';
}

void str_add(struct str *s, const char *text)
{
    str_addn(s, text, strlen(text));
}

void str_addc(struct str *s, char c)
{
    str_addn(s, &c, 1);
}

void str_addf(struct str *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    str_addv(s, fmt, ap);
    va_end(ap);
}

void str_addv(struct str *s, const char *fmt, va_list ap)
{
    char small[256];
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(small, sizeof(small), fmt, ap);
    if (n < 0)
        out_of_memory(); /* EOVERFLOW: more than 2 GiB */
    if ((size_t)n < sizeof(small)) {
        str_addn(s, small, (size_t)n);
    } else {
        str_grow(s, (size_t)n);
        vsnprintf(s->s + s->len, (size_t)n + 1, fmt, again);
        s->len += (size_t)n;
    }
    va_end(again);
}

const char *str_after(const char *s, const char *prefix)
{
    size_t n = strlen(prefix);
    return strncmp(s, prefix, n) == 0 ? s + n : NULL;
}

bool str_ends(const char *s, const char *suffix)
{
    size_t n = strlen(s), m = strlen(suffix);
    return n >= m && memcmp(s + n - m, suffix, m) == 0;
}
