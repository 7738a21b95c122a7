/* rootlet image inspect, history */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/timefmt.h"
#include "image/ref.h"
#include "image/rows.h"
#include "imagetool/imagetool.h"
#include "imagetool/ingest.h"
#include "imagetool/manifest.h"
#include "imagetool/output.h"

struct inspect_opts {
    char *format;
};

static const struct opt inspect_options[] = {
    {"format", 'f', OPT_STRING, offsetof(struct inspect_opts, format), "FORMAT",
     "json, or a template: '{{.Id}}'"},
    {NULL},
};

static json_t *text(const char *s)
{
    return json_string(s ? s : "");
}

/* Members of the configuration's "config", as they stand there. */
static json_t *config_part(const struct image_config *c)
{
    json_t *part = json_object_get(c->raw, "config");
    return json_is_object(part) ? json_deep_copy(part) : json_object();
}

static json_t *graph_driver(const struct conf *c, const struct store_image *img)
{
    scoped_strv char **dirs = NULL;
    json_t *data = json_object();
    if (store_layer_dirs(c, img, &dirs, NULL) == 0 && dirs) {
        scoped_free char *lower = strv_join(dirs + 1, ":");
        json_object_set_new(data, "UpperDir", json_string(dirs[0]));
        if (lower[0])
            json_object_set_new(data, "LowerDir", json_string(lower));
    }
    return json_pack("{s:s,s:o}", "Name", "overlay", "Data", data);
}

/* Media type and annotations of the manifest; nothing when it is lost. */
static void add_manifest(const struct conf *c, const struct store_image *img, json_t *obj)
{
    SCOPED(manifest_release) struct manifest m = {0};
    scoped_free char *bytes = NULL;
    ssize_t n = store_blob_read(c, img->manifest, &bytes, NULL);
    scoped_json json_t *doc =
        n < 0 ? NULL : json_parse(bytes, (size_t)n, STORE_BLOB_MAX, "manifest", NULL);
    const char *type = json_string_value(json_object_get(doc, "mediaType"));
    json_t *annotations = json_object_get(doc, "annotations");
    json_object_set_new(obj, "ManifestType", text(type ? type : MEDIA_OCI_MANIFEST));
    json_object_set_new(obj, "Annotations",
                        json_is_object(annotations) ? json_deep_copy(annotations) : json_object());
}

/* podman's keys, in its order. */
static json_t *inspect_object(const struct conf *c, const struct store_image *img,
                              const struct image_config *cfg)
{
    json_t *part = config_part(cfg), *labels = json_object_get(part, "Labels");
    json_t *o = json_object(), *history = cfg->history;
    const json_t *last = json_array_get(history, json_array_size(history) - 1);
    const char *comment = json_string_value(json_object_get(last, "comment"));
    json_object_set_new(o, "Id", json_string(image_digest_hex(img->id)));
    json_object_set_new(o, "Digest", json_string(img->manifest));
    json_object_set_new(o, "RepoTags", json_from_strv(img->names));
    json_object_set_new(o, "RepoDigests", json_from_strv(img->digests));
    json_object_set_new(o, "Parent", json_string(""));
    json_object_set_new(o, "Comment", text(comment));
    json_object_set_new(o, "Created", cfg->created ? json_string(cfg->created) : json_null());
    json_object_set_new(o, "Config", part);
    json_object_set_new(o, "Version",
                        text(json_string_value(json_object_get(cfg->raw, "docker_version"))));
    json_object_set_new(o, "Author", text(cfg->author));
    json_object_set_new(o, "Architecture", text(cfg->architecture));
    if (cfg->variant)
        json_object_set_new(o, "Variant", json_string(cfg->variant));
    json_object_set_new(o, "Os", text(cfg->os));
    json_object_set_new(o, "Size", json_integer((json_int_t)img->size));
    json_object_set_new(o, "VirtualSize", json_integer((json_int_t)img->size));
    json_object_set_new(o, "GraphDriver", graph_driver(c, img));
    json_object_set_new(
        o, "RootFS",
        json_pack("{s:s,s:o}", "Type", "layers", "Layers", json_from_strv(img->layers)));
    json_object_set(o, "Labels", json_is_object(labels) ? labels : json_null());
    add_manifest(c, img, o);
    json_object_set_new(o, "User", text(cfg->user));
    json_object_set(o, "History", history ? history : json_null());
    json_object_set_new(o, "NamesHistory", json_from_strv(img->names));
    return o;
}

static int inspect_one(const struct conf *c, const char *name, json_t *list, struct err *e)
{
    SCOPED(store_image_release) struct store_image img = {0};
    SCOPED(image_config_release) struct image_config cfg = {0};
    int r = store_find(c, name, &img, e);
    if (r == -ENOENT)
        return err_msg(e, ENOENT, "no such object: \"%s\"", name);
    /* Of an image found by name, the manifest is that name's. */
    r = r < 0 ? r : store_names(c, &img, e);
    r = r < 0 ? r : store_config(c, &img, &cfg, e);
    if (r < 0)
        return err_add(e, r, "inspect %s", name);
    json_array_append_new(list, inspect_object(c, &img, &cfg));
    return 0;
}

static int run_inspect(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct inspect_opts *o = opts;
    scoped_conf struct conf conf = {0};
    scoped_json json_t *list = json_array();
    int failed = 0;
    (void)cmd;
    int r = conf_load(NULL, &conf, e);
    if (r < 0)
        return r;
    for (size_t i = 0; args[i]; i++) {
        struct err why = ERR_INIT;
        r = inspect_one(&conf, args[i], list, &why);
        if (r < 0 && !failed) {
            failed = r;
            *e = why;
        } else if (r < 0) {
            imagetool_print_err(&why);
        }
    }
    /* What was found comes out even if something else was not; "[]" for nothing, as podman. */
    struct err why = ERR_INIT;
    r = output_objects(o->format, list, failed ? &why : e);
    return failed ? failed : r;
}

struct history_opts {
    char *format;
    bool no_trunc, quiet, human, human_set;
};

static const struct opt history_options[] = {
    {"format", 0, OPT_STRING, offsetof(struct history_opts, format), "FORMAT",
     "json, table TEMPLATE, or a template for each step"},
    {"no-trunc", 0, OPT_FLAG, offsetof(struct history_opts, no_trunc), NULL,
     "Show ids and commands in full"},
    {"quiet", 'q', OPT_FLAG, offsetof(struct history_opts, quiet), NULL, "Only ids"},
    {"human", 'H', OPT_FLAG, offsetof(struct history_opts, human), NULL,
     "Sizes and dates for people (the default; --human=false for numbers)",
     .set_offset = offsetof(struct history_opts, human_set)},
    {NULL},
};

static char *shorten(const char *s, size_t max, bool full)
{
    return full || strlen(s) <= max ? xstrdup(s) : xasprintf("%.*s...", (int)max - 3, s);
}

static json_t *history_row(const json_t *step, const char *id, uint64_t size,
                           const struct history_opts *o)
{
    const char *created = json_string_value(json_object_get(step, "created"));
    const char *by = json_string_value(json_object_get(step, "created_by"));
    const char *comment = json_string_value(json_object_get(step, "comment"));
    char since[64] = "N/A", bytes[32];
    int64_t ns;
    if (created && strchr(created, 'T') && time_parse(created, &ns) == 0) {
        time_human(time_now_ns() - ns, since, sizeof(since) - 4);
        strncat(since, " ago", sizeof(since) - strlen(since) - 1);
    }
    snprintf(bytes, sizeof(bytes), "%llu", (unsigned long long)size);
    if (o->human)
        size_human(size, bytes, sizeof(bytes));
    scoped_free char *command = shorten(by ? by : "", 45, o->no_trunc);
    return json_pack("{s:s,s:s,s:s,s:s*,s:s,s:s}", "ID", id, "CreatedSince",
                     o->human  ? since
                     : created ? created
                               : "",
                     "CreatedAt", created ? created : "", "CreatedBy", command, "Size", bytes,
                     "Comment", comment ? comment : "");
}

/* Newest step first. Steps without a layer have size 0; an image without a history has one for
 * each layer. */
static json_t *history_rows(const struct store_image *img, const struct image_config *cfg,
                            const struct conf *c, const struct history_opts *o)
{
    size_t steps = json_array_size(cfg->history), layers = strv_len(img->layers);
    size_t n = steps ? steps : layers, layer = layers;
    json_t *rows = json_array();
    for (size_t i = n; i-- > 0;) {
        const json_t *step = json_array_get(cfg->history, i);
        struct store_layer info = {0};
        uint64_t size = 0;
        bool empty = json_is_true(json_object_get(step, "empty_layer"));
        scoped_fd int dir =
            empty || !layer ? -1 : store_layer_open(c, img->layers[--layer], &info, NULL);
        if (dir >= 0)
            size = info.bytes;
        jfield_release(store_layer_fields, &info);
        scoped_free char *id = i + 1 < n     ? xstrdup("<missing>")
                               : o->no_trunc ? xstrdup(img->id)
                                             : xasprintf("%.12s", image_digest_hex(img->id));
        json_array_append_new(rows, history_row(step, id, size, o));
    }
    return rows;
}

static int run_history(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    struct history_opts *o = opts;
    scoped_conf struct conf conf = {0};
    SCOPED(store_image_release) struct store_image img = {0};
    SCOPED(image_config_release) struct image_config cfg = {0};
    (void)cmd;
    o->human = o->human || !o->human_set;
    int r = conf_load(NULL, &conf, e);
    r = r < 0 ? r : store_find(&conf, args[0], &img, e);
    r = r < 0 ? r : store_config(&conf, &img, &cfg, e);
    if (r < 0)
        return err_add(e, r, "history");
    scoped_json json_t *rows = history_rows(&img, &cfg, &conf, o);
    const char *format = o->quiet ? "{{.ID}}" : o->format;
    return output_rows(format,
                       "table {{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}",
                       rows, e);
}

const struct cmd imagetool_inspect_cmds[] = {
    {.name = "image inspect",
     .args = "IMAGE...",
     .summary = "Show everything about images as JSON",
     .opts = inspect_options,
     .opts_size = sizeof(struct inspect_opts),
     .min_args = 1,
     .max_args = -1,
     .run = run_inspect},
    {.name = "history",
     .args = "IMAGE",
     .summary = "Show the steps that an image was built by",
     .opts = history_options,
     .opts_size = sizeof(struct history_opts),
     .min_args = 1,
     .max_args = 1,
     .run = run_history,
     .aliases = (const char *const[]){"image history", NULL}},
    {NULL},
};
