/* df_verbose - system df -v: a row for each image, container and volume. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/timefmt.h"
#include "cli/df.h"
#include "format/format.h"

static void set_size(json_t *row, const char *key, uint64_t bytes)
{
    char buf[32];
    json_object_set_new(row, key, json_string(cli_size_text(bytes, buf)));
}

static void set_created(json_t *row, int64_t ns)
{
    char human[64];
    time_human(time_now_ns() - ns, human, sizeof(human));
    json_object_set_new(row, "Created", ns ? json_sprintf("%s ago", human) : json_string("N/A"));
}

static json_t *image_row(const struct df *d, const struct store_image *i, const char *name)
{
    const char *hex = strchr(i->id, ':') ? strchr(i->id, ':') + 1 : i->id;
    const char *colon = name ? strrchr(name, ':') : NULL;
    uint64_t size = 0, shared = 0;
    for (char **l = i->layers; l && *l; l++) {
        const struct store_layer_size *s =
            store_layer_size_of(d->sizes.layers, d->sizes.n_layers, *l);
        size += s ? s->bytes : 0;
        shared += s && s->images > 1 ? s->bytes : 0;
    }
    json_t *row = json_pack("{s:s%, s:s, s:s%, s:i}", "Repository", name ? name : "<none>",
                            colon  ? (size_t)(colon - name)
                            : name ? strlen(name)
                                   : strlen("<none>"),
                            "Tag", colon ? colon + 1 : "<none>", "ImageID", hex, strnlen(hex, 12),
                            "Containers", (int)df_image_users(d, i));
    set_created(row, i->created_ns);
    set_size(row, "Size", size);
    set_size(row, "SharedSize", shared);
    set_size(row, "UniqueSize", size - shared);
    return row;
}

static json_t *image_rows(const struct df *d)
{
    json_t *rows = json_array();
    for (size_t i = 0; i < d->n_images; i++) {
        char **name = d->images[i].names;
        if (df_is_step(&d->images[i]))
            continue;
        do
            json_array_append_new(rows, image_row(d, &d->images[i], name ? *name : NULL));
        while (name && *name && *++name);
    }
    return rows;
}

static json_t *container_rows(const struct df *d)
{
    json_t *rows = json_array();
    for (size_t i = 0; i < d->n_states; i++) {
        const struct ctr_state *s = &d->states[i];
        json_t *row =
            json_pack("{s:s%, s:s, s:s, s:i, s:s, s:s}", "ContainerID", s->id, (size_t)12, "Image",
                      s->image ? s->image : "", "Command", s->command ? s->command : "",
                      "LocalVolumes", (int)strv_len(d->sizes.v[i].volumes), "Status",
                      ctr_status_names[s->status], "Names", s->name ? s->name : "");
        set_created(row, s->created_ns);
        set_size(row, "Size", d->sizes.v[i].rw);
        json_array_append_new(rows, row);
    }
    return rows;
}

static json_t *volume_rows(const struct df *d)
{
    json_t *rows = json_array();
    for (size_t i = 0; i < d->n_volumes; i++) {
        json_t *row = json_pack("{s:s, s:i}", "VolumeName", d->volumes[i].name, "Links",
                                (int)df_volume_users(d, &d->volumes[i]));
        set_size(row, "Size", d->trees[i].size.bytes);
        json_array_append_new(rows, row);
    }
    return rows;
}

static const char *const headers[] = {"ImageID=IMAGE ID", "ContainerID=CONTAINER ID",
                                      "CacheID=CACHE ID", "LayerID=LAYER ID", NULL};

static void shorten_commands(json_t *rows)
{
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        const char *c = json_string_value(json_object_get(row, "Command"));
        if (c && strlen(c) > 20)
            json_object_set_new(row, "Command", json_sprintf("%.19s\xe2\x80\xa6", c));
    }
}

static int print_table(const char *title, const char *columns, const json_t *rows, struct err *e)
{
    scoped_str struct str out = STR_INIT;
    struct format_options f = {NULL, columns, headers, false};
    int r = format_rows(&f, rows, &out, e);
    if (r == 0)
        printf("%s space usage:\n\n%s", title, out.s);
    return r;
}

static int print_tables(const json_t *all, struct err *e)
{
    static const struct {
        const char *title, *key, *columns;
    } tables[] = {
        {"Images", "Images",
         "table {{.Repository}}\t{{.Tag}}\t{{.ImageID}}\t{{.Created}}\t{{.Size}}\t"
         "{{.SharedSize}}\t{{.UniqueSize}}\t{{.Containers}}"},
        {"Containers", "Containers",
         "table {{.ContainerID}}\t{{.Image}}\t{{.Command}}\t{{.LocalVolumes}}\t"
         "{{.Size}}\t{{.Created}}\t{{.Status}}\t{{.Names}}"},
        {"Local Volumes", "Volumes", "table {{.VolumeName}}\t{{.Links}}\t{{.Size}}"},
        {"Build Cache", "BuildCache", "table {{.CacheID}}\t{{.CacheType}}\t{{.Size}}\t{{.InUse}}"},
        {"Shifted Trees", "ShiftedTrees",
         "table {{.LayerID}}\t{{.Kind}}\t{{.Size}}\t{{.LastUsed}}\t{{.InUse}}"},
    };
    int r = 0;
    for (size_t i = 0; r == 0 && i < N_ELEMENTS(tables); i++) {
        const json_t *rows = json_object_get(all, tables[i].key);
        if (streq(tables[i].key, "ShiftedTrees") && json_array_size(rows) == 0)
            continue;
        if (i)
            putchar('\n');
        r = print_table(tables[i].title, tables[i].columns, rows, e);
    }
    return r;
}

int df_print_verbose(const struct df *d, const char *format, struct err *e)
{
    scoped_json json_t *containers = container_rows(d);
    scoped_json json_t *all = json_pack(
        "{s:o, s:O, s:o, s:o, s:o}", "Images", image_rows(d), "Containers", containers, "Volumes",
        volume_rows(d), "BuildCache", df_cache_rows(d), "ShiftedTrees", df_shifted_rows(d));
    if (format) {
        scoped_json json_t *one = json_pack("[O]", all);
        scoped_str struct str out = STR_INIT;
        int r = format_objects(streq(format, "json") ? NULL : format, one, &out, e);
        if (r == 0)
            fputs(out.s, stdout);
        return r;
    }
    shorten_commands(containers);
    return print_tables(all, e);
}
