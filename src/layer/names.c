#include "layer/names.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

static int by_text(const void *a, const void *b)
{
    return strcmp(((const struct name *)a)->text, ((const struct name *)b)->text);
}

static void add(struct names *names, const char *dents, ssize_t n, size_t *alloc)
{
    for (ssize_t at = 0; at < n;) {
        const struct dirent64 *x = (const void *)(dents + at);
        at += x->d_reclen;
        if (streq(x->d_name, ".") || streq(x->d_name, ".."))
            continue;
        if (names->n == *alloc) {
            *alloc = *alloc ? 2 * *alloc : 16;
            names->v = xrealloc(names->v, *alloc * sizeof(*names->v));
        }
        names->v[names->n++] = (struct name){.text = xstrdup(x->d_name), .type = x->d_type};
    }
}

int names_read(int dir, char *buf, struct names *ret)
{
    size_t alloc = 0;
    ssize_t n;

    while ((n = getdents64(dir, buf, NAMES_BUFFER)) > 0)
        add(ret, buf, n, &alloc);
    if (n < 0)
        return -errno;
    if (ret->n)
        qsort(ret->v, ret->n, sizeof(*ret->v), by_text);
    return 0;
}

void names_release(struct names *names)
{
    for (size_t i = 0; i < names->n; i++)
        free(names->v[i].text);
    free(names->v);
    *names = (struct names){0};
}
