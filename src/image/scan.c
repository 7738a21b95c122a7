/* The rows and references of one store, from its directories. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "image/index.h"
#include "image/ref.h"

void store_scan_release(struct store_scan *s)
{
    store_list_free(s->rows, s->n_rows);
    for (size_t i = 0; i < s->n_refs; i++)
        store_ref_release(&s->refs[i]);
    free(s->refs);
    *s = (struct store_scan){0};
}

static int by_id(const void *a, const void *b)
{
    const struct store_image *x = a, *y = b;
    return strcmp(x->id, y->id);
}

/* The digits in "HEX.json", or NULL for anything else. */
static char *row_hex(const char *file)
{
    if (strlen(file) != DIGEST_HEX + strlen(".json") || !str_ends(file, ".json"))
        return NULL;
    return xstrndup(file, DIGEST_HEX);
}

/* A damaged row is told and left out; *ret_bad counts them. */
static int read_rows(const struct conf *c, struct store_scan *s, size_t *ret_bad, struct err *e)
{
    int fd = conf_open_root(c, "images", false, NULL);
    if (fd == -ENOENT)
        return 0;
    if (fd < 0)
        return err_set(e, -fd, "open %s/images", c->root);
    scoped_dir DIR *d = fdopendir(fd);
    if (!d) {
        close(fd);
        return err_set(e, ENOMEM, "read %s/images", c->root);
    }
    int ended = 0;
    for (struct dirent *de; (de = fs_next_entry(d, &ended));) {
        scoped_free char *hex = row_hex(de->d_name);
        struct err why = ERR_INIT;
        if (!hex)
            continue;
        if (s->n_rows % 256 == 0)
            s->rows = xrealloc(s->rows, (s->n_rows + 256) * sizeof(*s->rows));
        int r = store_row_read_in(c, hex, &s->rows[s->n_rows], &why);
        if (r == 0)
            s->n_rows++;
        else if (r != -ENOENT) {
            log_warn("%s", why.msg);
            ++*ret_bad;
        }
    }
    return ended < 0 ? err_set(e, -ended, "read %s/images", c->root) : 0;
}

static int add_ref(const struct store_ref *ref, void *data, struct err *e)
{
    struct store_scan *s = data;
    (void)e;
    if (s->n_refs % 256 == 0)
        s->refs = xrealloc(s->refs, (s->n_refs + 256) * sizeof(*s->refs));
    s->refs[s->n_refs++] =
        (struct store_ref){xstrdup(ref->name), xstrdup(ref->tag), xstrdup(ref->manifest),
                           xstrdup(ref->id), xstrdup(ref->index)};
    return 0;
}

int store_scan(const struct conf *c, bool may_write, struct store_scan *ret, struct err *e)
{
    struct store_scan s = {0};
    size_t bad = 0;
    if (store_index_read(c, ret))
        return 0;
    struct store_index_key *k = store_index_begin(c);
    int r = read_rows(c, &s, &bad, e);
    if (r == 0 && s.n_rows)
        qsort(s.rows, s.n_rows, sizeof(*s.rows), by_id);
    if (r == 0)
        r = store_refs_count(c, NULL, add_ref, &s, &bad, e);
    if (r == 0 && !bad && may_write)
        store_index_write(c, k, &s);
    store_index_end(k);
    if (r < 0)
        store_scan_release(&s);
    else
        *ret = s;
    return r;
}
