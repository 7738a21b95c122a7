#include "imagetool/transfer-manifest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/jfield.h"
#include "base/str.h"
#include "base/strv.h"
#include "imagetool/manifest.h"
#include "layer/digest.h"

#define ENTRIES_MAX 1000
#define URLS_MAX 10
#define OCI_LAYER "application/vnd.oci.image.layer.v1.tar"
#define DOCKER_LAYER "application/vnd.docker.image.rootfs.diff.tar"

void xfer_blob_release(struct xfer_blob *b)
{
    free(b->digest);
    free(b->media_type);
    strv_free(b->urls);
    *b = (struct xfer_blob){0};
}

void xfer_blob_copy(const struct xfer_blob *b, struct xfer_blob *ret)
{
    *ret = (struct xfer_blob){
        .digest = xstrdup(b->digest), .media_type = xstrdup(b->media_type), .size = b->size};
    strv_extend(&ret->urls, b->urls);
}

void xfer_manifest_release(struct xfer_manifest *m)
{
    for (size_t i = 0; i < m->n; i++)
        xfer_blob_release(&m->v[i]);
    free(m->v);
    json_decref(m->doc);
    *m = (struct xfer_manifest){0};
}

static const char *text_of(const json_t *obj, const char *key)
{
    const json_t *v = json_object_get(obj, key);
    const char *text = json_string_value(v);
    return text && strlen(text) == json_string_length(v) ? text : NULL;
}

static int add_blob(const json_t *obj, const char *path, struct xfer_manifest *m, struct err *e)
{
    const char *digest = text_of(obj, "digest"), *type = text_of(obj, "mediaType");
    const json_t *size = json_object_get(obj, "size"), *urls = json_object_get(obj, "urls"), *url;
    size_t i;
    if (!digest || !type || !json_is_integer(size) || json_integer_value(size) < 0)
        return err_msg(e, EINVAL, "%s: want mediaType, digest and size", path);
    int r = digest_parse(digest, NULL, e);
    if (r < 0)
        return err_add(e, r, "%s", path);
    struct xfer_blob *b = &m->v[m->n++];
    b->digest = xstrdup(digest);
    b->media_type = xstrdup(type);
    b->size = (uint64_t)json_integer_value(size);
    json_array_foreach(urls, i, url) if (i < URLS_MAX && json_is_string(url))
        strv_add(&b->urls, json_string_value(url));
    return 0;
}

static int add_blobs(const json_t *list, const char *key, struct xfer_manifest *m, struct err *e)
{
    const json_t *obj;
    size_t i;
    if (!json_is_array(list) || json_array_size(list) > ENTRIES_MAX)
        return err_msg(e, EINVAL, "%s: want a list of at most %d entries", key, ENTRIES_MAX);
    json_array_foreach(list, i, obj)
    {
        char path[40];
        snprintf(path, sizeof(path), "%s[%zu]", key, i);
        int r = add_blob(obj, path, m, e);
        if (r < 0)
            return r;
    }
    return 0;
}

static bool is_image(const struct xfer_manifest *m)
{
    if (m->is_index || !m->n || text_of(m->doc, "artifactType") ||
        (!streq(m->v[0].media_type, MEDIA_OCI_CONFIG) &&
         !streq(m->v[0].media_type, MEDIA_DOCKER_CONFIG)))
        return false;
    for (size_t i = 1; i < m->n; i++)
        if (layer_compression(m->v[i].media_type) < 0)
            return false;
    return true;
}

/* It becomes a header of a request: a line end in it would begin another one. */
static bool is_media_type(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < ' ' || *s == 0x7f)
            return false;
    return true;
}

static int fill(struct xfer_manifest *m, const char *media_type, struct err *e)
{
    const json_t *entries = json_object_get(m->doc, "manifests");
    const json_t *layers = json_object_get(m->doc, "layers");
    const json_t *config = json_object_get(m->doc, "config");
    const char *own = text_of(m->doc, "mediaType");
    if (json_object_get(m->doc, "fsLayers"))
        return err_msg(e, EINVAL, "a schema 1 image: ask its publisher to push it again");
    if (entries && (layers || config)) /* CVE-2021-41190 */
        return err_msg(e, EINVAL, "the manifest is both an index and an image");
    if (own && media_type && !streq(own, media_type))
        return err_msg(e, EINVAL, "mediaType: the manifest says %.100s, its descriptor %.100s", own,
                       media_type);
    const char *type = own ? own : media_type;
    if (type && !is_media_type(type))
        return err_msg(e, EINVAL, "mediaType: %.100s is none: it holds control characters", type);
    m->is_index = entries != NULL;
    m->is_docker = str_after(type ? type : "", "application/vnd.docker.") != NULL;
    bool says_index = streq(type, MEDIA_OCI_INDEX) || streq(type, MEDIA_DOCKER_LIST);
    if (type && says_index != m->is_index)
        return err_msg(e, EINVAL, "the manifest is not what its media type %.100s says", type);
    m->v = xcalloc(json_array_size(entries) + json_array_size(layers) + 2, sizeof(*m->v));
    if (m->is_index)
        return add_blobs(entries, "manifests", m, e);
    int r = add_blob(config, "config", m, e);
    r = r < 0 ? r : add_blobs(layers, "layers", m, e);
    m->is_image = r == 0 && is_image(m);
    return r;
}

int xfer_manifest_parse(const char *text, size_t len, const char *media_type,
                        struct xfer_manifest *ret, struct err *e)
{
    struct xfer_manifest m = {.doc = json_parse(text, len, MANIFEST_MAX, "manifest", e)};
    if (!m.doc)
        return -EINVAL;
    int r = json_is_object(m.doc) ? fill(&m, media_type, e)
                                  : err_msg(e, EINVAL, "manifest: want an object");
    if (r < 0) {
        xfer_manifest_release(&m);
        return r;
    }
    *ret = m;
    return 0;
}

const char *xfer_manifest_type(const struct xfer_manifest *m)
{
    const char *own = text_of(m->doc, "mediaType");
    if (own)
        return own;
    if (m->is_docker)
        return m->is_index ? MEDIA_DOCKER_LIST : MEDIA_DOCKER_MANIFEST;
    return m->is_index ? MEDIA_OCI_INDEX : MEDIA_OCI_MANIFEST;
}

int layer_compression(const char *media_type)
{
    static const char *const stems[] = {
        OCI_LAYER,
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        DOCKER_LAYER,
        "application/vnd.docker.image.rootfs.foreign.diff.tar",
    };
    for (size_t i = 0; i < N_ELEMENTS(stems); i++) {
        const char *rest = str_after(media_type, stems[i]);
        if (!rest)
            continue;
        if (!*rest)
            return COMPRESS_NONE;
        if (streq(rest, "+gzip") || streq(rest, ".gzip"))
            return COMPRESS_GZIP;
        if (streq(rest, "+zstd") || streq(rest, ".zstd"))
            return COMPRESS_ZSTD;
    }
    return -1;
}

const char *layer_media_type(bool docker, enum compress_format f)
{
    if (docker)
        return f == COMPRESS_GZIP ? DOCKER_LAYER ".gzip" : f == COMPRESS_NONE ? DOCKER_LAYER : NULL;
    return f == COMPRESS_GZIP   ? OCI_LAYER "+gzip"
           : f == COMPRESS_ZSTD ? OCI_LAYER "+zstd"
                                : OCI_LAYER;
}

static bool is_foreign(const char *media_type)
{
    return strstr(media_type, "nondistributable") || strstr(media_type, "foreign");
}

/* The entry of one blob; the annotations of a changed one tell about other bytes (zstd:chunked). */
static int remake_entry(json_t *obj, const struct xfer_blob *b, bool docker, struct err *e)
{
    const char *type = b->media_type;
    int f = layer_compression(type);
    if (f >= 0 && !is_foreign(type)) {
        type = layer_media_type(docker, (enum compress_format)f);
        if (!type)
            return err_msg(e, EINVAL, "layer %.19s: docker's format knows no zstd", b->digest);
    }
    if (!streq(text_of(obj, "digest"), b->digest))
        json_object_del(obj, "annotations");
    json_object_set_new(obj, "mediaType", json_string(type));
    json_object_set_new(obj, "digest", json_string(b->digest));
    json_object_set_new(obj, "size", json_integer((json_int_t)b->size));
    return 0;
}

char *xfer_manifest_remake(const struct xfer_manifest *m, const struct xfer_blob *v, bool docker,
                           struct err *e)
{
    scoped_json json_t *doc = json_deep_copy(m->doc);
    json_t *config = json_object_get(doc, "config"), *layers = json_object_get(doc, "layers");
    int r = remake_entry(config, &v[0], docker, e);
    json_object_set_new(config, "mediaType",
                        json_string(docker ? MEDIA_DOCKER_CONFIG : MEDIA_OCI_CONFIG));
    for (size_t i = 1; r == 0 && i < m->n; i++)
        r = remake_entry(json_array_get(layers, i - 1), &v[i], docker, e);
    if (r < 0)
        return NULL;
    json_object_set_new(doc, "mediaType",
                        json_string(docker ? MEDIA_DOCKER_MANIFEST : MEDIA_OCI_MANIFEST));
    if (docker)
        json_object_del(doc, "annotations"); /* it has none */
    return json_text(doc, false);
}
