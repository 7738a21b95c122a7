#include "imagetool/manifest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/jfield.h"
#include "base/str.h"
#include "image/ref.h"
#include "layer/digest.h"

#define ENTRIES_MAX 1000
#define URLS_MAX 16

static void descriptor_release(struct descriptor *d)
{
    free(d->media_type);
    free(d->digest);
    free(d->artifact_type);
    free(d->os);
    free(d->architecture);
    free(d->variant);
    free(d->name);
    strv_free(d->urls);
    *d = (struct descriptor){0};
}

void manifest_release(struct manifest *m)
{
    descriptor_release(&m->config);
    for (size_t i = 0; i < m->n; i++)
        descriptor_release(&m->v[i]);
    free(m->v);
    json_decref(m->annotations);
    *m = (struct manifest){0};
}

/* A text member; absent is NULL, another type an error. */
static int get_text(const json_t *obj, const char *key, const char *path, char **ret, struct err *e)
{
    const json_t *v = json_object_get(obj, key);
    if (!v || json_is_null(v))
        return 0;
    if (!json_is_string(v) || strlen(json_string_value(v)) != json_string_length(v))
        return err_msg(e, EINVAL, "%s.%s: want a string", path, key);
    *ret = xstrdup(json_string_value(v));
    return 0;
}

static int parse_platform(const json_t *obj, const char *path, struct descriptor *d, struct err *e)
{
    const json_t *p = json_object_get(obj, "platform");
    scoped_free char *where = xasprintf("%s.platform", path);
    if (!p || json_is_null(p))
        return 0;
    if (!json_is_object(p))
        return err_msg(e, EINVAL, "%s: want an object", where);
    int r = get_text(p, "os", where, &d->os, e);
    r = r < 0 ? r : get_text(p, "architecture", where, &d->architecture, e);
    r = r < 0 ? r : get_text(p, "variant", where, &d->variant, e);
    if (r == 0 && (!d->os || !d->architecture))
        return err_msg(e, EINVAL, "%s: os and architecture are required", where);
    return r;
}

static int parse_urls(const json_t *obj, const char *path, struct descriptor *d, struct err *e)
{
    const json_t *list = json_object_get(obj, "urls"), *v;
    size_t i;
    if (!list || json_is_null(list))
        return 0;
    if (!json_is_array(list) || json_array_size(list) > URLS_MAX)
        return err_msg(e, EINVAL, "%s.urls: want a list of at most %d addresses", path, URLS_MAX);
    json_array_foreach(list, i, v)
    {
        const char *url = json_string_value(v);
        if (!url || strlen(url) != json_string_length(v))
            return err_msg(e, EINVAL, "%s.urls[%zu]: want a string", path, i);
        strv_add(&d->urls, url);
    }
    return 0;
}

static void parse_annotations(const json_t *obj, struct descriptor *d)
{
    const json_t *a = json_object_get(obj, "annotations");
    const char *name = json_string_value(json_object_get(a, "io.containerd.image.name"));
    const char *kind = json_string_value(json_object_get(a, "vnd.docker.reference.type"));
    if (!name)
        name = json_string_value(json_object_get(a, "org.opencontainers.image.ref.name"));
    d->name = xstrdup(name);
    d->attestation = streq(kind, "attestation-manifest");
}

static int parse_descriptor(const json_t *obj, const char *path, struct descriptor *ret,
                            struct err *e)
{
    struct descriptor d = {0};
    if (!json_is_object(obj))
        return err_msg(e, EINVAL, "%s: want an object", path);
    int r = get_text(obj, "mediaType", path, &d.media_type, e);
    r = r < 0 ? r : get_text(obj, "digest", path, &d.digest, e);
    r = r < 0 ? r : get_text(obj, "artifactType", path, &d.artifact_type, e);
    r = r < 0 ? r : parse_platform(obj, path, &d, e);
    r = r < 0 ? r : parse_urls(obj, path, &d, e);
    const json_t *size = json_object_get(obj, "size");
    if (r == 0 && !d.digest)
        r = err_msg(e, EINVAL, "%s.digest: missing", path);
    if (r == 0 && !d.media_type)
        r = err_msg(e, EINVAL, "%s.mediaType: missing", path);
    if (r == 0 && (!json_is_integer(size) || json_integer_value(size) < 0))
        r = err_msg(e, EINVAL, "%s.size: want an integer from 0 on", path);
    if (r == 0) {
        r = digest_parse(d.digest, NULL, e);
        r = r < 0 ? err_add(e, r, "%s.digest", path) : 0;
    }
    if (r < 0) {
        descriptor_release(&d);
        return r;
    }
    d.size = json_integer_value(size);
    parse_annotations(obj, &d);
    *ret = d;
    return 0;
}

static int parse_list(const json_t *list, const char *key, struct manifest *m, struct err *e)
{
    size_t n = json_array_size(list);
    if (!json_is_array(list))
        return err_msg(e, EINVAL, "%s: want a list", key);
    if (n > ENTRIES_MAX)
        return err_msg(e, EINVAL, "%s: %zu entries, at most %d are accepted", key, n, ENTRIES_MAX);
    m->v = xcalloc(n + 1, sizeof(*m->v));
    for (size_t i = 0; i < n; i++) {
        char path[40];
        snprintf(path, sizeof(path), "%s[%zu]", key, i);
        int r = parse_descriptor(json_array_get(list, i), path, &m->v[i], e);
        if (r < 0)
            return r;
        m->n++;
    }
    return 0;
}

/* Media types of layers that are tars; compression is told by their content anyway. */
static bool layer_type_known(const char *type)
{
    static const char *const stems[] = {
        "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.docker.image.rootfs.diff.tar",
        "application/vnd.docker.image.rootfs.foreign.diff.tar",
    };
    static const char *const endings[] = {"", "+gzip", ".gzip", "+zstd", ".zstd"};
    for (size_t i = 0; i < N_ELEMENTS(stems); i++) {
        const char *rest = str_after(type, stems[i]);
        for (size_t k = 0; rest && k < N_ELEMENTS(endings); k++)
            if (streq(rest, endings[k]))
                return true;
    }
    return false;
}

static int parse_manifest(const json_t *doc, struct manifest *m, struct err *e)
{
    scoped_free char *artifact = NULL;
    int r = get_text(doc, "artifactType", "manifest", &artifact, e);
    r = r < 0 ? r : parse_descriptor(json_object_get(doc, "config"), "config", &m->config, e);
    if (r < 0)
        return r;
    if (artifact || (!streq(m->config.media_type, MEDIA_OCI_CONFIG) &&
                     !streq(m->config.media_type, MEDIA_DOCKER_CONFIG)))
        return err_msg(e, EINVAL, "this is an artifact (%.100s), not an image",
                       artifact ? artifact : m->config.media_type);
    r = image_digest_check(m->config.digest, e);
    if (r < 0)
        return err_add(e, r, "config.digest");
    r = parse_list(json_object_get(doc, "layers"), "layers", m, e);
    for (size_t i = 0; r == 0 && i < m->n; i++)
        if (!layer_type_known(m->v[i].media_type))
            return err_msg(e, EINVAL, "layers[%zu].mediaType: %.100s is not supported", i,
                           m->v[i].media_type);
    return r;
}

/* Index and manifest have the same shape to a careless reader: what one program takes for a list of
 * images, another would run. CVE-2021-41190. */
static int check_type(const json_t *doc, const char *media_type, bool *ret_index, struct err *e)
{
    scoped_free char *own = NULL;
    bool index = json_object_get(doc, "manifests") != NULL;
    bool image = json_object_get(doc, "layers") || json_object_get(doc, "config");
    int r = get_text(doc, "mediaType", "manifest", &own, e);
    if (r < 0)
        return r;
    if (index && image)
        return err_msg(e, EINVAL, "the manifest is both an index and an image");
    if (json_object_get(doc, "fsLayers") ||
        json_integer_value(json_object_get(doc, "schemaVersion")) == 1)
        return err_msg(e, EINVAL, "a schema 1 image: ask its publisher to push it again");
    if (json_integer_value(json_object_get(doc, "schemaVersion")) != 2)
        return err_msg(e, EINVAL, "schemaVersion: want 2");
    if (own && media_type && !streq(own, media_type))
        return err_msg(e, EINVAL, "mediaType: the manifest says %.100s, its descriptor %.100s", own,
                       media_type);
    if (!media_type)
        media_type = own;
    bool says_index = streq(media_type, MEDIA_OCI_INDEX) || streq(media_type, MEDIA_DOCKER_LIST);
    bool says_image =
        streq(media_type, MEDIA_OCI_MANIFEST) || streq(media_type, MEDIA_DOCKER_MANIFEST);
    if (media_type && !says_index && !says_image)
        return err_msg(e, EINVAL, "mediaType: %.100s is no image or index", media_type);
    if ((says_index && !index) || (says_image && index))
        return err_msg(e, EINVAL, "the manifest is not what its media type %.100s says",
                       media_type);
    *ret_index = index;
    return 0;
}

int manifest_parse(const char *text, size_t len, const char *media_type, struct manifest *ret,
                   struct err *e)
{
    SCOPED(manifest_release) struct manifest m = {0};
    scoped_json json_t *doc = json_parse(text, len, MANIFEST_MAX, "manifest", e);
    if (!doc)
        return -EINVAL;
    if (!json_is_object(doc))
        return err_msg(e, EINVAL, "manifest: want an object");
    int r = check_type(doc, media_type, &m.is_index, e);
    if (r < 0)
        return r;
    r = m.is_index ? parse_list(json_object_get(doc, "manifests"), "manifests", &m, e)
                   : parse_manifest(doc, &m, e);
    if (r < 0)
        return r;
    json_t *annotations = json_object_get(doc, "annotations");
    if (json_is_object(annotations))
        m.annotations = json_incref(annotations);
    *ret = m;
    m = (struct manifest){0};
    return 0;
}

char *manifest_make(const char *config_digest, size_t config_size, const struct plain_layer *layers,
                    size_t n, json_t *annotations)
{
    scoped_json json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list,
                              json_pack("{s:s,s:s,s:I}", "mediaType", MEDIA_OCI_LAYER, "digest",
                                        layers[i].diff_id, "size", (json_int_t)layers[i].tar_size));
    scoped_json json_t *doc =
        json_pack("{s:i,s:s,s:{s:s,s:s,s:I},s:O}", "schemaVersion", 2, "mediaType",
                  MEDIA_OCI_MANIFEST, "config", "mediaType", MEDIA_OCI_CONFIG, "digest",
                  config_digest, "size", (json_int_t)config_size, "layers", list);
    if (annotations && json_object_size(annotations))
        json_object_set(doc, "annotations", annotations);
    return json_text(doc, false);
}
