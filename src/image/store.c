#include "image/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/strv.h"
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

static void add_name(struct store_image *i, const struct store_ref *ref)
{
    scoped_free char *digest = xasprintf("%s@%s", ref->name, ref->manifest);
    if (ref->tag[0] != '@')
        strv_addf(&i->names, "%s:%s", ref->name, ref->tag);
    if (!strv_has(i->digests, digest))
        strv_take(&i->digests, take_ptr(digest));
}

static int add_own_name(const struct store_ref *ref, void *data, struct err *e)
{
    struct store_image *i = data;
    (void)e;
    if (streq(ref->id, i->id))
        add_name(i, ref);
    return 0;
}

int store_names(const struct conf *c, struct store_image *i, struct err *e)
{
    strv_free(i->names);
    strv_free(i->digests);
    i->names = i->digests = NULL;
    int r = store_refs_each(c, NULL, add_own_name, i, e);
    if (i->names)
        strv_sort(i->names);
    if (i->digests)
        strv_sort(i->digests);
    return r;
}

struct image_list {
    struct store_image *v;
    size_t n, alloc;
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

static int name_in_list(const struct store_ref *ref, void *data, struct err *e)
{
    struct image_list *list = data;
    struct store_image key = {.id = ref->id};
    struct store_image *i = bsearch(&key, list->v, list->n, sizeof(*list->v), by_id);
    (void)e;
    if (i)
        add_name(i, ref);
    else
        log_warn("%s:%s refers to an image that is not there", ref->name, ref->tag);
    return 0;
}

/* The digits in "HEX.json", or NULL for anything else. */
static char *row_hex(const char *file)
{
    if (strlen(file) != DIGEST_HEX + strlen(".json") || !str_ends(file, ".json"))
        return NULL;
    return xstrndup(file, DIGEST_HEX);
}

static int read_rows(const struct conf *c, struct image_list *list, struct err *e)
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
        if (list->n == list->alloc) {
            list->alloc = list->alloc ? list->alloc * 2 : 16;
            list->v = xrealloc(list->v, list->alloc * sizeof(*list->v));
        }
        int r = store_row_read(c, hex, &list->v[list->n], &why);
        if (r == 0)
            list->n++;
        else if (r != -ENOENT)
            log_warn("%s", why.msg);
    }
    return ended < 0 ? err_set(e, -ended, "read %s/images", c->root) : 0;
}

int store_list(const struct conf *c, struct store_image **ret, size_t *ret_n, struct err *e)
{
    struct image_list list = {0};
    int r = read_rows(c, &list, e);
    if (r == 0 && list.n) {
        qsort(list.v, list.n, sizeof(*list.v), by_id);
        r = store_refs_each(c, NULL, name_in_list, &list, e);
    }
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

int store_layer_dirs(const struct conf *c, const struct store_image *i, char ***ret, struct err *e)
{
    scoped_strv char **dirs = NULL;
    for (size_t n = strv_len(i->layers); n-- > i->shown_from;) {
        struct stat st;
        strv_addf(&dirs, "%s/layers/%s/diff", c->root, image_digest_hex(i->layers[n]));
        char *dir = dirs[strv_len(dirs) - 1];
        int r = lstat(dir, &st) < 0 ? -errno : 0;
        /* A store that was made under other ids, by root outside of this namespace for one. */
        if (r == -EACCES)
            return err_hint(e, err_set(e, EACCES, "layer %s", dir),
                            "the store belongs to other ids: use another --root here");
        if (r < 0 || !S_ISDIR(st.st_mode)) {
            err_msg(e, EUCLEAN, "image %.12s is damaged: layer %s is missing",
                    image_digest_hex(i->id), i->layers[n]);
            return err_hint(e, -EUCLEAN, "load the image again");
        }
    }
    *ret = take_ptr(dirs);
    return 0;
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
