/* implied - the directories of a layer that no entry of it made.
 *
 * Whoever applies layers one after the other finds them there already, with the owner, mode, times
 * and attributes that a lower layer gave them. In trees that are stacked they would be root's and
 * 0755, so they are noted for the one who stacks. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "layer/tree.h"

struct seen {
    const char *path;
    size_t number;
    uint16_t len;
    uint8_t kind;
};

static int by_path(const void *a, const void *b)
{
    const struct seen *x = a, *y = b;
    int order = memcmp(x->path, y->path, x->len < y->len ? x->len : y->len);

    if (order)
        return order;
    if (x->len != y->len)
        return x->len < y->len ? -1 : 1;
    return x->number < y->number ? -1 : 1;
}

/* All records, sorted; of one directory the last decides. */
static struct seen *collect(const struct tree *t, size_t *ret_n)
{
    struct seen *v = NULL;
    size_t n = 0, alloc = 0;

    for (size_t at = 0; at < t->dirs.len;) {
        struct tree_dir rec;
        memcpy(&rec, t->dirs.s + at, sizeof(rec));
        at += sizeof(rec);
        if (n == alloc)
            v = xrealloc(v, (alloc = alloc ? alloc * 2 : 64) * sizeof(*v));
        v[n] = (struct seen){t->dirs.s + at, n, rec.len, rec.kind};
        n++;
        at += rec.len;
    }
    if (n)
        qsort(v, n, sizeof(*v), by_path);
    *ret_n = n;
    return v;
}

static bool is_last(const struct seen *v, size_t n, size_t i)
{
    return i + 1 == n || v[i].len != v[i + 1].len ||
           memcmp(v[i].path, v[i + 1].path, v[i].len) != 0;
}

int tree_write_implied(struct tree *t, int fd, struct err *e)
{
    scoped_str struct str text = STR_INIT;
    uint64_t left_out = 0;
    size_t n;
    int r;

    if (!t->n_implied)
        return 0;
    scoped_free struct seen *v = collect(t, &n);
    for (size_t i = 0; i < n; i++) {
        if (v[i].kind != TREE_DIR_IMPLIED || !is_last(v, n, i))
            continue;
        if (text.len + v[i].len + 1u > LAYER_IMPLIED_MAX) {
            left_out++;
            continue;
        }
        str_addn(&text, v[i].path, v[i].len);
        str_addc(&text, '\0');
        t->result->implied++;
    }
    if (left_out)
        tree_note(t->result,
                  "%llu directories that the layer has no entries for do not keep the owners and "
                  "modes of lower layers: there are too many",
                  (unsigned long long)left_out);
    r = text.len ? fs_write_all(fd, text.s, text.len) : 0;
    return r < 0 ? err_set(e, -r, "note directories without entries") : 0;
}
