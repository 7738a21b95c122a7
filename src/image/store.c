#include "image/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/strv.h"
#include "image/index.h"
#include "image/others.h"
#include "image/ref.h"
#include "image/rows.h"

void store_image_release(struct store_image *i)
{
    free(i->id);
    free(i->manifest);
    strv_free(i->names);
    strv_free(i->digests);
    strv_free(i->layers);
    free(i->os);
    free(i->architecture);
    free(i->variant);
    free(i->store);
    free(i->dirs);
    json_decref(i->extra);
    *i = (struct store_image){0};
}

void store_list_free(struct store_image *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        store_image_release(&v[i]);
    free(v);
}

int store_use(const struct conf *c, struct err *e)
{
    scoped_fd int root = conf_open_root(c, "", true, e);
    if (root < 0)
        return root;
    int fd = lock_take_of(root, "store.lock", "the store of images", LOCK_SHARED, -1, e);
    return fd < 0 ? err_add(e, fd, "store %s", c->root) : fd;
}

static void add_digest(struct store_image *i, const char *name, const char *of)
{
    scoped_free char *digest = xasprintf("%s@%s", name, of);
    if (!strv_has(i->digests, digest))
        strv_take(&i->digests, take_ptr(digest));
}

static void add_name(struct store_image *i, const struct store_ref *ref)
{
    if (ref->tag[0] != '@')
        strv_addf(&i->names, "%s:%s", ref->name, ref->tag);
    add_digest(i, ref->name, ref->manifest);
    if (ref->index)
        add_digest(i, ref->name, ref->index);
}

static int add_own_name(const struct store_ref *ref, void *data, struct err *e)
{
    struct store_image *i = data;
    (void)e;
    if (streq(ref->id, i->id))
        add_name(i, ref);
    return 0;
}

/* A name means what the first store says that has it. */
static bool is_hidden_name(const struct conf *c, const struct store_ref *ref, size_t before)
{
    SCOPED(store_ref_release) struct store_ref other = {0};
    const struct conf *o = c;
    for (size_t i = 0; o && i <= before; o = store_other(c, i++)) {
        scoped_fd int refs = conf_open_root(o, "refs", false, NULL);
        if (refs >= 0 && store_ref_read(refs, ref->name, ref->tag, &other, NULL) == 0)
            return true;
    }
    return false;
}

struct other_names {
    const struct conf *c;
    struct store_image *i;
    size_t number; /* of the store */
};

static int add_other_name(const struct store_ref *ref, void *data, struct err *e)
{
    struct other_names *x = data;
    if (!streq(ref->id, x->i->id) || is_hidden_name(x->c, ref, x->number))
        return 0;
    return add_own_name(ref, x->i, e);
}

int store_names(const struct conf *c, struct store_image *i, struct err *e)
{
    const struct conf *o;
    strv_free(i->names);
    strv_free(i->digests);
    i->names = i->digests = NULL;
    int r = store_refs_each(c, NULL, add_own_name, i, e);
    for (size_t n = 0; r == 0 && (o = store_other(c, n)); n++) {
        struct other_names x = {c, i, n};
        (void)!store_refs_each(o, NULL, add_other_name, &x, NULL);
    }
    if (i->names)
        strv_sort(i->names);
    if (i->digests)
        strv_sort(i->digests);
    return r;
}

struct image_list {
    struct store_image *v;
    size_t n;
};

static int by_id(const void *a, const void *b)
{
    const struct store_image *x = a, *y = b;
    return strcmp(x->id, y->id);
}

static int newest_first(const void *a, const void *b)
{
    const struct store_image *x = a, *y = b;
    if (x->created_ns != y->created_ns)
        return x->created_ns < y->created_ns ? 1 : -1;
    return strcmp(x->id, y->id);
}

static struct store_image *find_row(const struct image_list *list, const char *id)
{
    struct store_image key = {.id = (char *)(uintptr_t)id};
    return list->n ? bsearch(&key, list->v, list->n, sizeof(*list->v), by_id) : NULL;
}

/* Takes the rows over that are not there yet, all of store other (NULL: the own one). Both are
 * sorted. */
static void merge_rows(struct image_list *list, struct store_scan *s, const char *other)
{
    size_t had = list->n;
    list->v = xrealloc(list->v, (list->n + s->n_rows + 1) * sizeof(*list->v));
    for (size_t i = 0; i < s->n_rows; i++) {
        const struct image_list old = {list->v, had};
        if (had && find_row(&old, s->rows[i].id))
            continue;
        list->v[list->n] = s->rows[i];
        list->v[list->n++].store = xstrdup(other);
        s->rows[i] = (struct store_image){0};
    }
    if (had && list->n > had)
        qsort(list->v, list->n, sizeof(*list->v), by_id);
}

static void merge_names(struct image_list *list, const struct store_scan *s, const char *other)
{
    for (size_t k = 0; k < s->n_refs; k++) {
        struct store_image *i = find_row(list, s->refs[k].id);
        if (!i) {
            log_warn("%s:%s refers to an image that is not there", s->refs[k].name, s->refs[k].tag);
            continue;
        }
        add_name(i, &s->refs[k]);
        if (other && !i->store) {
            i->store = xstrdup(other);
            i->is_copied = true;
        }
    }
}

static void drop_hidden(const struct conf *c, struct store_scan *s, size_t number)
{
    size_t kept = 0;
    for (size_t k = 0; k < s->n_refs; k++) {
        if (is_hidden_name(c, &s->refs[k], number))
            store_ref_release(&s->refs[k]);
        else
            s->refs[kept++] = s->refs[k];
    }
    s->n_refs = kept;
}

static int collect(const struct conf *c, struct image_list *list, struct err *e)
{
    const struct conf *o;
    size_t n = 0;
    struct store_scan own SCOPED(store_scan_release) = {0};
    int r = store_scan(c, true, &own, e);
    if (r < 0)
        return r;
    merge_rows(list, &own, NULL);
    for (; (o = store_other(c, n)); n++) {
        struct store_scan s SCOPED(store_scan_release) = {0};
        struct err why = ERR_INIT;
        if (store_scan(o, false, &s, &why) < 0) {
            log_warn("additional store %s: %s", o->root, why.msg); /* the others go on */
            continue;
        }
        merge_rows(list, &s, o->root);
        drop_hidden(c, &s, n);
        merge_names(list, &s, o->root);
    }
    merge_names(list, &own, NULL);
    return 0;
}

int store_list(const struct conf *c, struct store_image **ret, size_t *ret_n, struct err *e)
{
    struct image_list list = {0};
    int r = collect(c, &list, e);
    if (r < 0) {
        store_list_free(list.v, list.n);
        return r;
    }
    for (size_t i = 0; i < list.n; i++) {
        if (list.v[i].names)
            strv_sort(list.v[i].names);
        if (list.v[i].digests)
            strv_sort(list.v[i].digests);
    }
    if (list.n)
        qsort(list.v, list.n, sizeof(*list.v), newest_first);
    *ret = list.v;
    *ret_n = list.n;
    return 0;
}

int store_config(const struct conf *c, const struct store_image *i, struct image_config *ret,
                 struct err *e)
{
    scoped_free char *text = NULL;
    ssize_t n = store_blob_read(c, i->id, &text, e);
    if (n < 0)
        return (int)n;
    return image_config_parse(text, (size_t)n, ret, e);
}

/* Adds the tree of one layer. */
static int add_layer_dir(const struct conf *c, const struct store_image *i, const char *layer,
                         char ***dirs, struct err *e)
{
    struct stat st;
    const struct conf *in = store_of_layer(c, layer, NULL);
    scoped_free char *dir =
        xasprintf("%s/layers/%s/diff", in ? in->root : c->root, image_digest_hex(layer));
    /* The same layer again below (two that hold nothing, for one) adds nothing, and overlay
     * refuses it. */
    if (strv_has(*dirs, dir))
        return 0;
    strv_add(dirs, dir);
    int r = lstat(dir, &st) < 0 ? -errno : 0;
    /* A store that was made under other ids, by root outside of this namespace for one. */
    if (r == -EACCES)
        return err_hint(e, err_set(e, EACCES, "layer %s", dir),
                        "the store belongs to other ids: use another --root here");
    if (r == 0 && S_ISDIR(st.st_mode))
        return 0;
    err_msg(e, EUCLEAN, "image %.12s is damaged: layer %s is missing", image_digest_hex(i->id),
            layer);
    return err_hint(e, -EUCLEAN, "load the image again");
}

int store_layer_dirs(const struct conf *c, const struct store_image *i, char ***ret, struct err *e)
{
    scoped_strv char **dirs = NULL;
    int r = i->dirs ? add_layer_dir(c, i, i->dirs, &dirs, e) : 0;
    for (size_t n = strv_len(i->layers); r == 0 && n-- > i->shown_from;)
        r = add_layer_dir(c, i, i->layers[n], &dirs, e);
    if (r == 0)
        *ret = take_ptr(dirs);
    return r;
}

int store_idmap(const struct conf *c, struct userns_map *ret, struct err *e)
{
    scoped_free char *path = xasprintf("%s/idmap.json", c->root), *text = NULL;
    struct err why = ERR_INIT;
    ssize_t n = fs_read(AT_FDCWD, path, STORE_ROW_MAX, &text, &why);
    /* Empty: the power was cut before the first image was complete. */
    if (n == -ENOENT || n == 0)
        return -ENOENT;
    if (n < 0) {
        if (e)
            *e = why;
        return (int)n;
    }
    scoped_json json_t *doc = json_parse(text, (size_t)n, STORE_ROW_MAX, path, e);
    if (!doc)
        return -EUCLEAN;
    struct userns_map map = {0};
    int r = jfield_parse(doc, store_idmap_fields, "", &map, e);
    if (r < 0)
        return err_add(e, -EUCLEAN, "%s", path);
    *ret = map;
    return 0;
}
