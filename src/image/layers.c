/* layers - what each layer of the store holds. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "image/ref.h"
#include "image/rows.h"

static int by_id(const void *a, const void *b)
{
    const struct store_layer_size *x = a, *y = b;
    return strcmp(x->hex, y->hex);
}

static bool read_size(int layers_fd, const char *hex, struct store_layer_size *ret)
{
    scoped_free char *file = xasprintf("%s/layer.json", hex), *text = NULL;
    struct store_layer info = {0};
    ssize_t n = fs_read(layers_fd, file, STORE_ROW_MAX, &text, NULL);
    scoped_json json_t *doc = n > 0 ? json_parse(text, (size_t)n, STORE_ROW_MAX, file, NULL) : NULL;
    if (!doc || jfield_parse(doc, store_layer_fields, "", &info, NULL) < 0)
        return false;
    memcpy(ret->hex, hex, DIGEST_HEX + 1);
    ret->bytes = info.bytes;
    jfield_release(store_layer_fields, &info);
    return true;
}

int store_layer_sizes(const struct conf *c, struct store_layer_size **ret, size_t *ret_n,
                      struct err *e)
{
    struct store_layer_size *v = NULL;
    size_t n = 0, alloc = 0;
    *ret = NULL;
    *ret_n = 0;
    int fd = conf_open_root(c, "layers", false, NULL);
    if (fd == -ENOENT)
        return 0;
    scoped_dir DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d) {
        int r = err_set(e, fd < 0 ? -fd : errno, "open %s/layers", c->root);
        fd_close(&fd);
        return r;
    }
    for (struct dirent *de; (de = readdir(d));) {
        if (strlen(de->d_name) != DIGEST_HEX)
            continue;
        if (n == alloc)
            v = xrealloc(v, (alloc = alloc ? alloc * 2 : 32) * sizeof(*v));
        v[n] = (struct store_layer_size){.bytes = 0};
        n += read_size(dirfd(d), de->d_name, &v[n]);
    }
    if (n)
        qsort(v, n, sizeof(*v), by_id);
    *ret = v;
    *ret_n = n;
    return 0;
}

struct store_layer_size *store_layer_size_of(struct store_layer_size *v, size_t n,
                                             const char *diff_id)
{
    struct store_layer_size key = {.bytes = 0};
    const char *hex = image_digest_hex(diff_id);
    if (n == 0 || strlen(hex) != DIGEST_HEX)
        return NULL;
    memcpy(key.hex, hex, DIGEST_HEX + 1);
    return bsearch(&key, v, n, sizeof(*v), by_id);
}
