/* rootlet save
 *
 * Layers are rebuilt bit for bit from their trees, so that their diffIDs hold; the compressed blobs
 * of a registry are not kept, and compressing anew would give other digests than the registry's
 * anyway. So the layers of an OCI archive are plain tars: their digests are the diffIDs, known
 * without a second pass, equal in every save, and the image id stays. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "events/events.h"
#include "image/pin.h"
#include "image/ref.h"
#include "image/rows.h"
#include "imagetool/idmap.h"
#include "imagetool/imagetool.h"
#include "imagetool/ingest.h"
#include "imagetool/manifest.h"
#include "imagetool/sink.h"
#include "layer/layer.h"

enum save_format { SAVE_DOCKER, SAVE_OCI_ARCHIVE, SAVE_OCI_DIR };

struct save_opts {
    char *output, *format;
    bool quiet;
};

static const struct opt save_options[] = {
    {"output", 'o', OPT_STRING, offsetof(struct save_opts, output), "FILE",
     "File or directory to write (default: standard output)"},
    {"format", 0, OPT_STRING, offsetof(struct save_opts, format), "FORMAT",
     "docker-archive (default), oci-archive or oci-dir"},
    {"quiet", 'q', OPT_FLAG, offsetof(struct save_opts, quiet), NULL, "No progress on stderr"},
    {NULL},
};

struct save {
    struct conf conf;
    enum save_format format;
    bool quiet;
    struct sink sink;
    struct store_pin pin; /* what is saved stays meanwhile */
    struct layer_session *session;
    json_t *list; /* manifest.json, or the entries of index.json */
};

static void save_release(struct save *s)
{
    json_decref(s->list);
    layer_session_close(s->session);
    sink_release(&s->sink);
    store_pin_close(&s->pin);
    conf_release(&s->conf);
}

static int parse_format(const char *text, enum save_format *ret, struct err *e)
{
    static const char *const names[] = {"docker-archive", "oci-archive", "oci-dir"};
    for (size_t i = 0; i < N_ELEMENTS(names); i++) {
        if (streq(text, names[i])) {
            *ret = (enum save_format)i;
            return 0;
        }
    }
    return err_msg(e, EINVAL, "--format %s: not docker-archive, oci-archive or oci-dir", text);
}

static int open_session(struct save *s, struct err *e)
{
    scoped_userns_map struct userns_map map = {0};
    if (s->session)
        return 0;
    int r = idmap_stored(&s->conf, &map, e);
    return r < 0 ? r : layer_session_open(&map, NULL, &s->session, e);
}

static int damaged(const char *diff_id, struct err *e)
{
    err_msg(e, EUCLEAN, "layer %s is damaged", diff_id);
    return err_hint(e, -EUCLEAN, "load the image again");
}

/* One layer as a plain tar under name; *ret_size: its length. Written once, however many images
 * share it. */
static int save_layer(struct save *s, const char *diff_id, const char *name, uint64_t *ret_size,
                      struct err *e)
{
    struct store_layer info = {0};
    struct layer_result res = {0};
    scoped_fd int dir = store_layer_open(&s->conf, diff_id, &info, e);
    if (dir < 0)
        return dir;
    *ret_size = info.tar_size;
    jfield_release(store_layer_fields, &info);
    if (sink_has(&s->sink, name))
        return 0;
    if (!s->quiet)
        fprintf(stderr, "Copying layer %.19s\n", diff_id);
    int r = open_session(s, e);
    int fd = r < 0 ? r : sink_begin(&s->sink, name, *ret_size, e);
    r = fd < 0 ? fd : layer_rebuild(s->session, dir, fd, diff_id, &res, e);
    if (r == 0 && res.tar_bytes != *ret_size)
        return damaged(diff_id, e);
    return r < 0 ? r : sink_end(&s->sink, e);
}

static int save_docker(struct save *s, const struct store_image *img, const char *config,
                       size_t len, struct err *e)
{
    scoped_free char *file = xasprintf("%s.json", image_digest_hex(img->id));
    scoped_json json_t *layers = json_array(), *tags = json_array();
    json_t *item, *old;
    size_t k;
    for (size_t i = 0; img->names && img->names[i]; i++)
        json_array_append_new(tags, json_string(img->names[i]));
    json_array_foreach(s->list, k, item)
    {
        if (!streq(json_string_value(json_object_get(item, "Config")), file))
            continue;
        old = json_object_get(item, "RepoTags"); /* the same image by another name */
        json_array_extend(old, tags);
        return 0;
    }
    for (size_t i = 0; img->layers && img->layers[i]; i++) {
        scoped_free char *name = xasprintf("%s.tar", image_digest_hex(img->layers[i]));
        uint64_t size;
        int r = save_layer(s, img->layers[i], name, &size, e);
        if (r < 0)
            return r;
        json_array_append_new(layers, json_string(name));
    }
    json_array_append_new(
        s->list, json_pack("{s:s,s:O,s:O}", "Config", file, "RepoTags", tags, "Layers", layers));
    return sink_file(&s->sink, file, config, len, e);
}

static int save_blob(struct save *s, const char *digest, const char *data, size_t n, struct err *e)
{
    scoped_free char *name = xasprintf("blobs/sha256/%s", image_digest_hex(digest));
    return sink_has(&s->sink, name) ? 0 : sink_file(&s->sink, name, data, n, e);
}

/* Are the layers in the stored manifest what we write? Then its exact bytes can go out. */
static bool is_plain(const struct manifest *m, const struct plain_layer *layers, size_t n)
{
    if (m->n != n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!streq(m->v[i].digest, layers[i].diff_id) ||
            (uint64_t)m->v[i].size != layers[i].tar_size ||
            !streq(m->v[i].media_type, MEDIA_OCI_LAYER))
            return false;
    return true;
}

static int save_manifest(struct save *s, const struct store_image *img, size_t config_len,
                         const struct plain_layer *layers, struct err *e)
{
    SCOPED(manifest_release) struct manifest m = {0};
    scoped_free char *stored = NULL, *made = NULL;
    char digest[DIGEST_TEXT_MAX];
    size_t n_layers = strv_len(img->layers), len;
    const char *text;
    ssize_t n = store_blob_read(&s->conf, img->manifest, &stored, e);
    if (n < 0)
        return (int)n;
    int r = manifest_parse(stored, (size_t)n, NULL, &m, e);
    if (r < 0)
        return r;
    if (is_plain(&m, layers, n_layers)) {
        text = stored;
        len = (size_t)n;
    } else {
        text = made = manifest_make(img->id, config_len, layers, n_layers, m.annotations);
        len = strlen(made);
    }
    r = digest_data(text, len, digest);
    if (r < 0)
        return err_set(e, -r, "hash the manifest");
    size_t k = 0;
    do { /* one entry for each name */
        json_t *d = json_pack("{s:s,s:s,s:I}", "mediaType", MEDIA_OCI_MANIFEST, "digest", digest,
                              "size", (json_int_t)len);
        if (img->os && img->architecture)
            json_object_set_new(d, "platform",
                                json_pack("{s:s,s:s,s:s*}", "architecture", img->architecture, "os",
                                          img->os, "variant", img->variant));
        if (img->names)
            json_object_set_new(
                d, "annotations",
                json_pack("{s:s}", "org.opencontainers.image.ref.name", img->names[k]));
        json_array_append_new(s->list, d);
    } while (img->names && img->names[++k]);
    return save_blob(s, digest, text, len, e);
}

static int save_oci(struct save *s, const struct store_image *img, const char *config, size_t len,
                    struct err *e)
{
    size_t n = strv_len(img->layers);
    scoped_free struct plain_layer *layers = xcalloc(n + 1, sizeof(*layers));
    for (size_t i = 0; i < n; i++) {
        scoped_free char *name = xasprintf("blobs/sha256/%s", image_digest_hex(img->layers[i]));
        layers[i].diff_id = img->layers[i];
        int r = save_layer(s, img->layers[i], name, &layers[i].tar_size, e);
        if (r < 0)
            return r;
    }
    int r = save_blob(s, img->id, config, len, e);
    return r < 0 ? r : save_manifest(s, img, len, layers, e);
}

static int save_image(struct save *s, const char *text, struct err *e)
{
    SCOPED(store_image_release) struct store_image img = {0};
    scoped_free char *config = NULL;
    int r = store_pin_find(&s->pin, &s->conf, text, &img, e);
    if (r < 0)
        return r;
    ssize_t n = store_blob_read(&s->conf, img.id, &config, e);
    if (n < 0)
        return (int)n;
    r = s->format == SAVE_DOCKER ? save_docker(s, &img, config, (size_t)n, e)
                                 : save_oci(s, &img, config, (size_t)n, e);
    return r < 0 ? err_add(e, r, "%s", text) : 0;
}

static int save_lists(struct save *s, struct err *e)
{
    if (s->format == SAVE_DOCKER) {
        scoped_free char *text = json_text(s->list, false);
        return sink_file(&s->sink, "manifest.json", text, strlen(text), e);
    }
    static const char layout[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
    scoped_json json_t *index = json_pack("{s:i,s:s,s:O}", "schemaVersion", 2, "mediaType",
                                          MEDIA_OCI_INDEX, "manifests", s->list);
    scoped_free char *text = json_text(index, false);
    int r = sink_file(&s->sink, "oci-layout", layout, strlen(layout), e);
    return r < 0 ? r : sink_file(&s->sink, "index.json", text, strlen(text), e);
}

static void tell_saved(const struct conf *c, char *const *images)
{
    for (; *images; images++) {
        SCOPED(store_image_release) struct store_image img = {0};
        if (store_find(c, *images, &img, NULL) == 0)
            event_named(c, "image", "save", image_digest_hex(img.id),
                        img.names ? img.names[0] : NULL);
    }
}

static int run_save(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct save_opts *o = opts;
    SCOPED(save_release)
    struct save s = {
        .quiet = o->quiet, .sink = SINK_INIT, .pin = STORE_PIN_INIT, .list = json_array()};
    (void)cmd;
    int r = o->format ? parse_format(o->format, &s.format, e) : 0;
    r = r < 0 ? r : conf_load(NULL, &s.conf, e);
    if (r == 0) {
        r = store_pin_open(&s.conf, "save", &s.pin, e);
    }
    for (size_t i = 0; r == 0 && args[i]; i++) { /* before anything is written */
        SCOPED(store_image_release) struct store_image img = {0};
        r = store_pin_find(&s.pin, &s.conf, args[i], &img, e);
    }
    const char *output = o->output && !streq(o->output, "-") ? o->output : NULL;
    r = r < 0 ? r : sink_open(output, s.format == SAVE_OCI_DIR, &s.sink, e);
    for (size_t i = 0; r == 0 && args[i]; i++)
        r = save_image(&s, args[i], e);
    r = r < 0 ? r : save_lists(&s, e);
    r = r < 0 ? r : sink_finish(&s.sink, e);
    if (r == 0)
        tell_saved(&s.conf, args);
    return r < 0 ? err_add(e, r, "save") : 0;
}

const struct cmd imagetool_save_cmds[] = {
    {.name = "save",
     .args = "IMAGE...",
     .summary = "Write images to an archive",
     .opts = save_options,
     .opts_size = sizeof(struct save_opts),
     .min_args = 1,
     .max_args = -1,
     .run = run_save,
     .aliases = (const char *const[]){"image save", NULL},
     .details = "Layers come out bit for bit as they came in, uncompressed. An image that is given "
                "by its id is saved without a name. A file appears only when it is complete.",
     .examples = "rootlet save -o web.tar web\nrootlet save --format oci-archive web | gzip > "
                 "web.tar.gz"},
    {NULL},
};
