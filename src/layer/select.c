#include "layer/select.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"

#define LIST_MAX ((size_t)1 << 30)

static int read_text(int fd, char **ret, size_t *ret_len, struct err *e)
{
    size_t len = 0, alloc = 0;
    char *text = NULL;

    for (;;) {
        ssize_t n;
        if (len + 1 >= alloc) {
            alloc = alloc ? alloc * 2 : 65536;
            text = xrealloc(text, alloc);
        }
        n = pread(fd, text + len, alloc - len - 1, (off_t)len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 || len > LIST_MAX) {
            free(text);
            return err_set(e, n < 0 ? errno : EFBIG, "read the list of changes");
        }
        if (n == 0)
            break;
        len += (size_t)n;
    }
    text[len] = '\0';
    *ret = text;
    *ret_len = len;
    return 0;
}

static int by_path(const void *a, const void *b)
{
    const struct select_entry *x = a, *y = b;

    return strcmp(x->path, y->path);
}

int select_read(int fd, struct select *ret, struct err *e)
{
    struct select s = {0};
    size_t len = 0, alloc = 0;
    int r = read_text(fd, &s.text, &len, e);

    if (r < 0)
        return r;
    for (char *p = s.text; p < s.text + len; p += strlen(p) + 1) {
        if (strlen(p) < 3 || p[1] != ' ')
            continue;
        if (s.n == alloc) {
            alloc = alloc ? alloc * 2 : 64;
            s.v = xrealloc(s.v, alloc * sizeof(*s.v));
        }
        s.v[s.n++] = (struct select_entry){.kind = p[0], .path = p + (p[2] == '/' ? 3 : 2)};
    }
    if (s.n)
        qsort(s.v, s.n, sizeof(*s.v), by_path);
    *ret = s;
    return 0;
}

void select_release(struct select *s)
{
    free(s->v);
    free(s->text);
    *s = (struct select){0};
}

char select_kind(const struct select *s, const char *path)
{
    const struct select_entry key = {.path = path}, *found = NULL;

    if (s->n)
        found = bsearch(&key, s->v, s->n, sizeof(*s->v), by_path);
    return found ? found->kind : 0;
}
