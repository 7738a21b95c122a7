/* images - lists the store's images; all other image verbs live in rootlet-image. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/timefmt.h"
#include "cli/cli.h"
#include "cli/image_filter.h"
#include "format/format.h"
#include "image/store.h"

struct images_opts {
    bool all, quiet, digests, no_trunc, no_header, history;
    char **filter;
    char *format, *sort;
};

#define O(m) offsetof(struct images_opts, m)
static const struct opt images_table[] = {
    {"all", 'a', OPT_FLAG, O(all), NULL, "Also the steps of builds"},
    {"digests", 0, OPT_FLAG, O(digests), NULL, "Show digests"},
    {"filter", 'f', OPT_STRV, O(filter), "KEY=VALUE",
     "reference, id, dangling, label, before, since, until, readonly or intermediate"},
    {"format", 0, OPT_STRING, O(format), "TEMPLATE", "json, jsonl, table ..., or a Go template"},
    {"no-trunc", 0, OPT_FLAG, O(no_trunc), NULL, "Full ids"},
    {"noheading", 'n', OPT_FLAG, O(no_header), NULL, "No line of titles"},
    {"quiet", 'q', OPT_FLAG, O(quiet), NULL, "Ids only"},
    {"sort", 0, OPT_STRING, O(sort), "KEY", "created (default), id, repository, size or tag"},
    {NULL},
};

static const char *hex_of(const char *digest)
{
    const char *colon = digest ? strchr(digest, ':') : NULL;
    return colon ? colon + 1 : digest ? digest : "";
}

/* A damaged image has none. */
static json_t *labels_of(const struct store_image *i)
{
    struct image_config config SCOPED(image_config_release) = {0};
    json_t *labels = json_object();
    if (store_config(cli_conf(), i, &config, NULL) < 0)
        return labels;
    for (char **l = config.labels; l && *l; l++) {
        const char *eq = strchr(*l, '=');
        scoped_free char *key = xstrndup(*l, eq ? (size_t)(eq - *l) : strlen(*l));
        json_object_set_new(labels, key, json_string(eq ? eq + 1 : ""));
    }
    return labels;
}

/* One line per name, as docker and podman list them; name NULL: dangling. */
static json_t *row_of(const struct store_image *i, const char *name, const struct images_opts *o)
{
    char when[64], human[64], ago[80], size[32];
    const char *hex = hex_of(i->id);
    const char *colon = name ? strrchr(name, ':') : NULL;
    if (colon && strchr(colon, '/'))
        colon = NULL;
    scoped_free char *repository = !name   ? xstrdup("<none>")
                                   : colon ? xstrndup(name, (size_t)(colon - name))
                                           : xstrdup(name);
    time_human(time_now_ns() - i->created_ns, human, sizeof(human));
    snprintf(ago, sizeof(ago), i->created_ns ? "%s ago" : "N/A", human);
    return json_pack(
        "{s:s%, s:s, s:o, s:s, s:s, s:s, s:s, s:s, s:I, s:s, s:I, s:o, s:o, s:s, s:s, s:b, s:o}",
        "ID", hex, (size_t)(o->no_trunc || strlen(hex) < 12 ? strlen(hex) : 12), "Id", hex, "Names",
        json_from_strv(i->names), "Repository", repository, "Tag",
        colon  ? colon + 1
        : name ? "latest"
               : "<none>",
        "Digest", i->manifest ? i->manifest : "", "CreatedSince", ago, "CreatedAt",
        time_rfc3339(i->created_ns, when, sizeof(when)), "Created",
        (json_int_t)(i->created_ns / 1000000000), "Size", size_human(i->size, size, sizeof(size)),
        "VirtualSize", (json_int_t)i->size, "RepoTags", json_from_strv(i->names), "RepoDigests",
        json_from_strv(i->digests), "Os", i->os ? i->os : "", "Architecture",
        i->architecture ? i->architecture : "", "ReadOnly", i->store != NULL, "Labels",
        o->format && strstr(o->format, "Labels") ? labels_of(i) : json_null());
}

/* One JSON object per image, with podman's keys; Size is a number there. */
static json_t *podman_row(const struct store_image *i)
{
    char when[64];
    json_t *row =
        json_pack("{s:s, s:s, s:o, s:o, s:I, s:I, s:I, s:i, s:o, s:s, s:o, s:I}", "Id",
                  hex_of(i->id), "ParentId", "", "RepoTags", json_from_strv(i->names),
                  "RepoDigests", json_from_strv(i->digests), "Size", (json_int_t)i->size,
                  "SharedSize", (json_int_t)0, "VirtualSize", (json_int_t)i->size, "Containers", 0,
                  "Names", json_from_strv(i->names), "Digest", i->manifest ? i->manifest : "",
                  "Labels", labels_of(i), "Created", (json_int_t)(i->created_ns / 1000000000));
    json_object_set_new(row, "CreatedAt",
                        json_string(time_rfc3339(i->created_ns, when, sizeof(when))));
    json_object_set_new(row, "ReadOnly", json_boolean(i->store != NULL));
    json_object_set_new(row, "History", json_from_strv(i->names));
    return row;
}

/* The column R/O only when there is anything to say in it, as podman does. */
static char *default_table(const struct images_opts *o, bool readonly)
{
    return xasprintf("table {{.Repository}}\t{{.Tag}}\t%s{{.ID}}\t{{.CreatedSince}}\t{{.Size}}%s",
                     o->digests ? "{{.Digest}}\t" : "", readonly ? "\t{{.ReadOnly}}" : "");
}

static int print(const struct images_opts *o, const json_t *rows, bool readonly, struct err *e)
{
    scoped_free char *table = default_table(o, readonly);
    static const char *const headers[] = {"ID=IMAGE ID", "CreatedSince=CREATED", "ReadOnly=R/O",
                                          NULL};
    struct format_options f = {
        .text = o->format,
        .default_table = table,
        .headers = headers,
        .no_header = o->no_header,
    };
    scoped_str struct str out = STR_INIT;
    if (o->quiet) {
        size_t i;
        json_t *row;
        json_array_foreach(rows, i, row) puts(json_string_value(json_object_get(row, "ID")));
        return 0;
    }
    int r = format_rows(&f, rows, &out, e);
    if (r == 0)
        fputs(out.s, stdout);
    return r;
}

/* What only the next build looks for, as docker and podman hide it. */
static bool is_hidden(const struct images_opts *o, const struct store_image *i)
{
    return !o->all && i->intermediate && !(i->names && i->names[0]);
}

/* A line: an image under one of its names. */
struct line {
    const struct store_image *image;
    const char *name; /* NULL: none */
};

struct lines {
    struct line *v;
    size_t n, alloc;
};

static void add_line(struct lines *l, const struct store_image *i, const char *name)
{
    if (l->n == l->alloc) {
        l->alloc = l->alloc ? l->alloc * 2 : 64;
        l->v = xrealloc(l->v, l->alloc * sizeof(*l->v));
    }
    l->v[l->n++] = (struct line){i, name};
}

static int add_image(const struct image_filter *f, const struct store_image *i, bool once,
                     struct lines *l, struct err *e)
{
    char *const none[] = {NULL};
    char *const *names = i->names && i->names[0] ? i->names : none;
    for (size_t n = 0; n == 0 || names[n]; n++) {
        int r = image_filter_match(f, i, names[n], e);
        if (r < 0)
            return r;
        if (r)
            add_line(l, i, names[n]);
        if (!names[n] || (r && once))
            break;
    }
    return 0;
}

static int by_created(const void *a, const void *b)
{
    int64_t x = ((const struct line *)a)->image->created_ns;
    int64_t y = ((const struct line *)b)->image->created_ns;
    return x < y ? 1 : x > y ? -1 : 0;
}

static int by_id(const void *a, const void *b)
{
    return strcmp(((const struct line *)a)->image->id, ((const struct line *)b)->image->id);
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = ((const struct line *)a)->image->size, y = ((const struct line *)b)->image->size;
    return x < y ? -1 : x > y;
}

static const char *name_of(const void *line)
{
    const char *name = ((const struct line *)line)->name;
    return name ? name : "<none>:<none>";
}

static int by_repository(const void *a, const void *b)
{
    return strcmp(name_of(a), name_of(b));
}

static int by_tag(const void *a, const void *b)
{
    const char *x = strrchr(name_of(a), ':'), *y = strrchr(name_of(b), ':');
    int r = strcmp(x ? x : "", y ? y : "");
    return r ? r : by_repository(a, b);
}

static const struct order {
    const char *key;
    int (*compare)(const void *a, const void *b);
} orders[] = {{"created", by_created}, {"id", by_id},   {"repository", by_repository},
              {"size", by_size},       {"tag", by_tag}, {NULL, NULL}};

static int find_order(const char *key, const struct order **ret, struct err *e)
{
    const struct order *o = orders;
    while (o->key && key && !streq(o->key, key))
        o++;
    if (!o->key)
        return err_hint(e, err_msg(e, EINVAL, "--sort %s: unknown key", key),
                        "known: created, id, repository, size, tag");
    *ret = o;
    return 0;
}

static int print_lines(const struct images_opts *o, const struct lines *l, bool as_json,
                       struct err *e)
{
    scoped_json json_t *rows = json_array();
    bool readonly = false;
    for (size_t i = 0; i < l->n; i++) {
        const struct line *x = &l->v[i];
        json_array_append_new(rows, as_json ? podman_row(x->image) : row_of(x->image, x->name, o));
        readonly |= x->image->store != NULL;
    }
    return print(o, rows, readonly, e);
}

static int images(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct images_opts *o = opts;
    struct image_filter filter SCOPED(image_filter_release) = {0};
    struct store_image *list = NULL;
    struct lines lines = {0};
    const struct order *order = NULL;
    size_t n = 0;
    bool as_json = o->format && (streq(o->format, "json") || streq(o->format, "jsonl"));
    (void)cmd;
    int r = find_order(o->sort, &order, e);
    r = r < 0 ? r : image_filter_parse(o->filter, args, &filter, e);
    r = r < 0 ? r : store_list(cli_conf(), &list, &n, e);
    for (size_t i = 0; r == 0 && i < n; i++)
        if (!is_hidden(o, &list[i]) || filter.intermediate == 1)
            r = add_image(&filter, &list[i], as_json || o->quiet, &lines, e);
    if (r == 0 && o->sort && lines.n)
        qsort(lines.v, lines.n, sizeof(*lines.v), order->compare);
    r = r < 0 ? r : print_lines(o, &lines, as_json, e);
    store_list_free(list, n);
    free(lines.v);
    return r;
}

static const char *const images_aliases[] = {"image ls", "image list", NULL};

const struct cmd cli_image_cmds[] = {
    {
        .name = "images",
        .args = "[NAME]",
        .summary = "List images",
        .opts = images_table,
        .opts_size = sizeof(struct images_opts),
        .max_args = 1,
        .run = images,
        .aliases = images_aliases,
        .examples = "rootlet images\nrootlet images --filter reference='localhost/*' --sort size\n"
                    "rootlet images --format '{{.Repository}}:{{.Tag}}'",
    },
    {NULL},
};
