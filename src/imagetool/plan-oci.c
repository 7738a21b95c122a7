/* OCI image layouts: index.json, manifests, blobs/ALGORITHM/HEX. image-spec image-layout.md */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/jfield.h"
#include "base/log.h"
#include "base/path.h"
#include "base/str.h"
#include "imagetool/manifest.h"
#include "imagetool/plan.h"
#include "layer/digest.h"

#define NESTING_MAX 4

/* d->digest was checked by manifest_parse, so that it is safe in a path. */
static char *blob_path(const struct bundle *b, const struct descriptor *d)
{
    const char *hex = NULL;
    if (digest_parse(d->digest, &hex, NULL) < 0)
        return xstrdup("blobs/invalid");
    if (b->flat)
        return xstrdup(hex);
    return xasprintf("blobs/%.*s/%s", (int)(hex - d->digest - 1), d->digest, hex);
}

static int wrong_size(const struct descriptor *d, int64_t size, struct err *e)
{
    return err_msg(e, EBADMSG, "blob %s has %lld bytes, its descriptor says %lld", d->digest,
                   (long long)size, (long long)d->size);
}

/* A small blob in memory, its size and digest verified. */
static ssize_t read_blob(const struct bundle *b, const struct descriptor *d, char **ret,
                         struct err *e)
{
    scoped_free char *path = blob_path(b, d), *data = NULL;
    char got[DIGEST_TEXT_MAX];
    if (d->size > (int64_t)MANIFEST_MAX)
        return err_msg(e, EFBIG, "blob %s: %lld bytes are more than the %u allowed", d->digest,
                       (long long)d->size, MANIFEST_MAX);
    ssize_t n = bundle_read(b, path, MANIFEST_MAX, &data, e);
    if (n < 0)
        return n;
    if (n != d->size)
        return wrong_size(d, n, e);
    struct digest *h = NULL;
    int r = digest_new(d->digest, &h, e);
    if (r < 0)
        return r;
    r = digest_add(h, data, (size_t)n);
    r = r < 0 ? r : digest_end(h, got);
    digest_free(h);
    if (r < 0)
        return err_set(e, -r, "hash blob %s", d->digest);
    if (!digest_equal(got, d->digest))
        return err_msg(e, EBADMSG, "digest mismatch: blob %s has the content of %s", d->digest,
                       got);
    *ret = take_ptr(data);
    return n;
}

static int add_layer(const struct bundle *b, const struct descriptor *d, const char *diff_id,
                     struct plan_layer *ret, struct err *e)
{
    scoped_free char *path = blob_path(b, d);
    int r = bundle_file(b, path, &ret->file, e);
    if (r < 0)
        return r;
    ret->diff_id = xstrdup(diff_id);
    ret->blob = xstrdup(d->digest);
    if (ret->file.size != d->size)
        return wrong_size(d, ret->file.size, e);
    return 0;
}

static int fill_plan(const struct bundle *b, const struct manifest *m, struct image_plan *p,
                     struct err *e)
{
    char *text = NULL;
    ssize_t n = read_blob(b, &m->config, &text, e);
    if (n < 0)
        return (int)n;
    int r = plan_set_config(p, text, (size_t)n, e);
    if (r < 0)
        return r;
    char **ids = p->parsed.diff_ids;
    if (strv_len(ids) != m->n)
        return err_msg(e, EINVAL, "the manifest has %zu layers, the configuration %zu diffIDs",
                       m->n, strv_len(ids));
    p->layers = xcalloc(m->n + 1, sizeof(*p->layers));
    for (; r == 0 && p->n_layers < m->n; p->n_layers++) {
        p->layers[p->n_layers].file.fd = -1;
        r = add_layer(b, &m->v[p->n_layers], ids[p->n_layers], &p->layers[p->n_layers], e);
    }
    return r;
}

/* Follows a descriptor through indexes to an image for this machine. */
static int follow(const struct bundle *b, const struct descriptor *d, int depth,
                  struct image_plan *p, struct err *e)
{
    SCOPED(manifest_release) struct manifest m = {0};
    scoped_free char *text = NULL;
    ssize_t n = read_blob(b, d, &text, e);
    if (n < 0)
        return (int)n;
    int r = manifest_parse(text, (size_t)n, d->media_type, &m, e);
    if (r < 0)
        return err_add(e, r, "%s", d->digest);
    if (!m.is_index) {
        p->manifest = take_ptr(text);
        p->manifest_len = (size_t)n;
        return fill_plan(b, &m, p, e);
    }
    if (depth >= NESTING_MAX)
        return err_msg(e, EINVAL, "indexes are nested more than %d levels deep", NESTING_MAX);
    struct platform host;
    platform_wanted(&host);
    scoped_free const struct descriptor **list = xcalloc(m.n + 1, sizeof(*list));
    for (size_t i = 0; i < m.n; i++)
        list[i] = &m.v[i];
    const struct descriptor *best = platform_choose(list, m.n, &host, e);
    return best ? follow(b, best, depth + 1, p, e) : -ENOENT;
}

/* What the image is called: a bare tag in a directory is a tag of that directory's name. */
static int name_plan(const struct bundle *b, const char *name, struct image_plan *p, struct err *e)
{
    if (!name)
        return 0;
    if (!b->is_dir || strpbrk(name, "/:"))
        return plan_add_name(p, name, e);
    scoped_free char *real = realpath(b->label, NULL);
    scoped_free char *full = xasprintf("%s:%s", real ? path_name(real) : "", name);
    struct err why = ERR_INIT;
    if (plan_add_name(p, full, &why) < 0)
        log_warn("the image gets no name: %s", why.msg);
    return 0;
}

/* The entries of index.json with the same name (or none) are one image for several platforms. */
static int plan_group(const struct bundle *b, const struct manifest *index, size_t first,
                      struct plan_list *list, struct err *e)
{
    const char *name = index->v[first].name;
    scoped_free const struct descriptor **group = xcalloc(index->n + 1, sizeof(*group));
    size_t n = 0, plain = 0;
    struct platform host;
    for (size_t i = first; i < index->n; i++) {
        if (!streq(index->v[i].name, name))
            continue;
        group[n++] = &index->v[i];
        plain += !index->v[i].os && !index->v[i].artifact_type;
    }
    if (!name && plain > 1)
        return err_msg(e, EINVAL, "index.json lists %zu images without a name", plain);
    platform_wanted(&host);
    const struct descriptor *best = platform_choose(group, n, &host, e);
    if (!best)
        return -ENOENT;
    struct image_plan *p = plan_add(list);
    int r = name_plan(b, name, p, e);
    r = r < 0 ? r : follow(b, best, 0, p, e);
    return r < 0 ? r : plan_list_count(list, e);
}

static bool seen_before(const struct manifest *index, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (streq(index->v[k].name, index->v[i].name))
            return true;
    return false;
}

static int check_layout(const struct bundle *b, struct err *e)
{
    scoped_free char *text = NULL;
    ssize_t n = bundle_read(b, "oci-layout", 4096, &text, e);
    if (n < 0)
        return (int)n;
    scoped_json json_t *doc = json_parse(text, (size_t)n, 4096, "oci-layout", e);
    if (!doc)
        return -EINVAL;
    const char *version = json_string_value(json_object_get(doc, "imageLayoutVersion"));
    if (!version || !str_after(version, "1."))
        return err_msg(e, EINVAL, "oci-layout: imageLayoutVersion: want 1.x");
    return 0;
}

int plan_oci(const struct bundle *b, struct plan_list *list, struct err *e)
{
    SCOPED(manifest_release) struct manifest index = {0};
    scoped_free char *text = NULL;
    int r = check_layout(b, e);
    if (r < 0)
        return r;
    ssize_t n = bundle_read(b, "index.json", MANIFEST_MAX, &text, e);
    if (n < 0)
        return (int)n;
    r = manifest_parse(text, (size_t)n, NULL, &index, e);
    if (r < 0)
        return err_add(e, r, "index.json");
    if (!index.is_index)
        return err_msg(e, EINVAL, "index.json: is no index");
    bool named = false;
    for (size_t i = 0; i < index.n; i++)
        named = named || index.v[i].name;
    for (size_t i = 0; r == 0 && i < index.n; i++)
        if ((index.v[i].name || !named) && !seen_before(&index, i))
            r = plan_group(b, &index, i, list, e);
    return r;
}

/* skopeo's directories: one manifest.json, and blobs by their digits. containers-transports(5) */
int plan_dir(const struct bundle *b, struct plan_list *list, struct err *e)
{
    SCOPED(manifest_release) struct manifest m = {0};
    scoped_free char *text = NULL;
    ssize_t n = bundle_read(b, "manifest.json", MANIFEST_MAX, &text, e);
    int r = n < 0 ? (int)n : manifest_parse(text, (size_t)n, NULL, &m, e);
    if (r < 0)
        return r;
    if (m.is_index)
        return err_hint(e, err_msg(e, EINVAL, "manifest.json lists images for several platforms"),
                        "skopeo copies one of them without --all");
    struct image_plan *p = plan_add(list);
    p->manifest = take_ptr(text);
    p->manifest_len = (size_t)n;
    return fill_plan(b, &m, p, e);
}
