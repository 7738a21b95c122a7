#include "image/rows.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/path.h"
#include "image/others.h"
#include "image/ref.h"

static const struct jfield blob_fields[] = {
    {"digest", J_STRING, offsetof(struct store_blob, digest), .flags = JF_REQUIRED},
    {"mediaType", J_STRING, offsetof(struct store_blob, media_type)},
    {"size", J_UINT64, offsetof(struct store_blob, size)},
    {0},
};

const struct jfield store_layer_fields[] = {
    {"diffID", J_STRING, offsetof(struct store_layer, diff_id), .flags = JF_REQUIRED},
    {"bytes", J_UINT64, offsetof(struct store_layer, bytes)},
    {"files", J_UINT64, offsetof(struct store_layer, files)},
    {"skipped", J_UINT64, offsetof(struct store_layer, skipped)},
    {"tarSize", J_UINT64, offsetof(struct store_layer, tar_size)},
    {"rootOpaque", J_BOOL, offsetof(struct store_layer, root_opaque)},
    {"implied", J_UINT64, offsetof(struct store_layer, implied)},
    {"rootEntry", J_UINT32, offsetof(struct store_layer, root_entry)},
    {"derived", J_BOOL, offsetof(struct store_layer, derived)},
    {"blobs", J_ARRAY, offsetof(struct store_layer, blobs), .sub = blob_fields,
     .sub_size = sizeof(struct store_blob), .count_offset = offsetof(struct store_layer, n_blobs)},
    {"", J_EXTRA, offsetof(struct store_layer, extra)},
    {0},
};

const struct jfield store_image_fields[] = {
    {"id", J_STRING, offsetof(struct store_image, id), .flags = JF_REQUIRED},
    {"manifest", J_STRING, offsetof(struct store_image, manifest), .flags = JF_REQUIRED},
    {"layers", J_STRV, offsetof(struct store_image, layers)},
    {"created", J_INT64, offsetof(struct store_image, created_ns)},
    {"size", J_UINT64, offsetof(struct store_image, size)},
    {"shownFrom", J_UINT32, offsetof(struct store_image, shown_from)},
    {"dirs", J_STRING, offsetof(struct store_image, dirs)},
    {"os", J_STRING, offsetof(struct store_image, os)},
    {"architecture", J_STRING, offsetof(struct store_image, architecture)},
    {"variant", J_STRING, offsetof(struct store_image, variant)},
    {"intermediate", J_BOOL, offsetof(struct store_image, intermediate)},
    {"", J_EXTRA, offsetof(struct store_image, extra)},
    {0},
};

static const struct jfield line_fields[] = {
    {"inside", J_UINT32, offsetof(struct idmap_line, inside), .flags = JF_KEEP_EMPTY},
    {"outside", J_UINT32, offsetof(struct idmap_line, outside), .flags = JF_KEEP_EMPTY},
    {"count", J_UINT32, offsetof(struct idmap_line, count), .flags = JF_KEEP_EMPTY},
    {0},
};

const struct jfield store_idmap_fields[] = {
    {"uid", J_ARRAY, offsetof(struct userns_map, uid.v), .sub = line_fields,
     .sub_size = sizeof(struct idmap_line), .count_offset = offsetof(struct userns_map, uid.n)},
    {"gid", J_ARRAY, offsetof(struct userns_map, gid.v), .sub = line_fields,
     .sub_size = sizeof(struct idmap_line), .count_offset = offsetof(struct userns_map, gid.n)},
    {"single", J_BOOL, offsetof(struct userns_map, single)},
    {0},
};

void store_ref_release(struct store_ref *r)
{
    free(r->name);
    free(r->tag);
    free(r->manifest);
    free(r->id);
    free(r->index);
    *r = (struct store_ref){0};
}

/* "sha256:HEX sha256:HEX[ sha256:HEX]\n" */
static int parse_ref_line(char *line, struct store_ref *ret)
{
    char *words[3] = {0}, *end = strchr(line, '\n');
    size_t n = 0;
    if (!end)
        return -EUCLEAN;
    *end = '\0';
    for (char *w; (w = strsep(&line, " "));) {
        if (n == N_ELEMENTS(words) || image_digest_check(w, NULL) < 0)
            return -EUCLEAN;
        words[n++] = w;
    }
    if (n < 2)
        return -EUCLEAN;
    ret->manifest = xstrdup(words[0]);
    ret->id = xstrdup(words[1]);
    ret->index = xstrdup(words[2]);
    return 0;
}

int store_ref_read(int refs_fd, const char *name, const char *tag, struct store_ref *ret,
                   struct err *e)
{
    scoped_free char *dir = image_ref_encode(name), *path = path_join(dir, tag), *line = NULL;
    struct err why = ERR_INIT;
    ssize_t n = fs_read(refs_fd, path, 4096, &line, &why);
    if (n == -ENOENT || n == -ENOTDIR)
        return -ENOENT;
    if (n < 0) {
        if (e)
            *e = why;
        return (int)n;
    }
    SCOPED(store_ref_release) struct store_ref ref = {0};
    if (parse_ref_line(line, &ref) < 0)
        return err_msg(e, EUCLEAN, "refs/%s: damaged", path);
    ref.name = xstrdup(name);
    ref.tag = xstrdup(tag);
    *ret = ref;
    ref = (struct store_ref){0};
    return 0;
}

struct each {
    store_ref_fn *fn;
    void *data;
    size_t *bad;
};

/* The references of one name. */
static int each_tag(int refs_fd, const char *dir_name, const struct each *x, struct err *e)
{
    int fd = openat(refs_fd, dir_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno != ENOENT && errno != ENOTDIR && errno != ELOOP)
        return err_set(e, errno, "open refs/%s", dir_name);
    if (fd < 0)
        return 0; /* removed meanwhile, or no directory */
    scoped_dir DIR *d = fdopendir(fd);
    if (!d) {
        close(fd);
        return err_set(e, ENOMEM, "read refs/%s", dir_name);
    }
    scoped_free char *name = image_ref_decode(dir_name);
    int ended = 0;
    for (struct dirent *de; (de = fs_next_entry(d, &ended));) {
        SCOPED(store_ref_release) struct store_ref ref = {0};
        struct err why = ERR_INIT;
        if (de->d_name[0] == '.')
            continue;
        int r = store_ref_read(refs_fd, name, de->d_name, &ref, &why);
        if (r < 0) {
            if (r != -ENOENT) {
                log_warn("%s", why.msg);
                ++*x->bad;
            }
            continue;
        }
        r = x->fn(&ref, x->data, e);
        if (r != 0)
            return r;
    }
    return ended < 0 ? err_set(e, -ended, "read refs/%s", dir_name) : 0;
}

int store_refs_each(const struct conf *c, const char *name, store_ref_fn *fn, void *data,
                    struct err *e)
{
    size_t bad = 0;
    return store_refs_count(c, name, fn, data, &bad, e);
}

int store_refs_count(const struct conf *c, const char *name, store_ref_fn *fn, void *data,
                     size_t *bad, struct err *e)
{
    const struct each x = {fn, data, bad};
    int fd = conf_open_root(c, "refs", false, NULL);
    if (fd == -ENOENT)
        return 0;
    if (fd < 0)
        return err_set(e, -fd, "open %s/refs", c->root);
    scoped_dir DIR *d = fdopendir(fd);
    if (!d) {
        close(fd);
        return err_set(e, ENOMEM, "read %s/refs", c->root);
    }
    if (name) {
        scoped_free char *dir = image_ref_encode(name);
        return each_tag(fd, dir, &x, e);
    }
    int ended = 0;
    for (struct dirent *de; (de = fs_next_entry(d, &ended));) {
        if (de->d_name[0] == '.')
            continue;
        int r = each_tag(fd, de->d_name, &x, e);
        if (r != 0)
            return r;
    }
    return ended < 0 ? err_set(e, -ended, "read %s/refs", c->root) : 0;
}

int store_row_read_in(const struct conf *c, const char *hex, struct store_image *ret, struct err *e)
{
    scoped_free char *path = xasprintf("%s/images/%s.json", c->root, hex), *text = NULL;
    struct err why = ERR_INIT;
    ssize_t n = fs_read(AT_FDCWD, path, STORE_ROW_MAX, &text, &why);
    if (n == -ENOENT)
        return -ENOENT;
    if (n < 0) {
        if (e)
            *e = why;
        return (int)n;
    }
    scoped_json json_t *doc = json_parse(text, (size_t)n, STORE_ROW_MAX, path, e);
    if (!doc)
        return -EUCLEAN;
    SCOPED(store_image_release) struct store_image row = {0};
    int r = jfield_parse(doc, store_image_fields, "", &row, e);
    if (r < 0)
        return err_add(e, -EUCLEAN, "%s", path);
    r = image_digest_check(row.id, e);
    r = r < 0 ? r : image_digest_check(row.manifest, e);
    r = r < 0 || !row.dirs ? r : image_digest_check(row.dirs, e);
    for (size_t i = 0; r >= 0 && row.layers && row.layers[i]; i++)
        r = image_digest_check(row.layers[i], e);
    if (r < 0)
        return err_add(e, -EUCLEAN, "%s", path);
    if (!streq(image_digest_hex(row.id), hex))
        return err_msg(e, EUCLEAN, "%s: is the record of another image", path);
    *ret = row;
    row = (struct store_image){0};
    return 0;
}

int store_row_read(const struct conf *c, const char *hex, struct store_image *ret, struct err *e)
{
    const struct conf *o;
    int r = store_row_read_in(c, hex, ret, e);
    for (size_t n = 0; r == -ENOENT && (o = store_other(c, n)); n++) {
        r = store_row_read_in(o, hex, ret, e);
        if (r == 0)
            ret->store = xstrdup(o->root);
    }
    return r;
}

static ssize_t read_blob(const struct conf *c, const char *digest, char **ret, struct err *e)
{
    scoped_free char *path = xasprintf("%s/blobs/sha256/%s", c->root, image_digest_hex(digest));
    return fs_read(AT_FDCWD, path, STORE_BLOB_MAX, ret, e);
}

ssize_t store_blob_read(const struct conf *c, const char *digest, char **ret, struct err *e)
{
    const struct conf *o;
    int r = image_digest_check(digest, e);
    if (r < 0)
        return r;
    ssize_t n = read_blob(c, digest, ret, e);
    for (size_t i = 0; n == -ENOENT && (o = store_other(c, i)); i++)
        n = read_blob(o, digest, ret, e);
    if (n == -ENOENT) {
        err_msg(e, EUCLEAN, "the store has lost blob %s", digest);
        return err_hint(e, -EUCLEAN, "load the image again");
    }
    if (n >= 0)
        err_clear(e);
    return n;
}
