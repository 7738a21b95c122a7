/* images - lists the store's images; all other image verbs live in rootlet-image. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>

#include "base/timefmt.h"
#include "cli/cli.h"
#include "format/format.h"
#include "image/store.h"

struct images_opts {
    bool all, quiet, digests, no_trunc, no_header, history;
    char **filter;
    char *format, *sort;
};

#define O(m) offsetof(struct images_opts, m)
static const struct opt images_table[] = {
    {"all", 'a', OPT_FLAG, O(all), NULL, "For docker's sake: all are always shown", OPT_IGNORED},
    {"digests", 0, OPT_FLAG, O(digests), NULL, "Show digests"},
    {"filter", 'f', OPT_STRV, O(filter), "KEY=VALUE", "reference, id or dangling"},
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

/* One line per name, as docker and podman list them; name NULL: dangling. */
static json_t *row_of(const struct store_image *i, const char *name, const struct images_opts *o)
{
    char human[64], ago[80], size[32];
    const char *hex = hex_of(i->id);
    const char *colon = name ? strrchr(name, ':') : NULL;
    if (colon && strchr(colon, '/'))
        colon = NULL;
    scoped_free char *repository = !name   ? xstrdup("<none>")
                                   : colon ? xstrndup(name, (size_t)(colon - name))
                                           : xstrdup(name);
    time_human(time_now_ns() - i->created_ns, human, sizeof(human));
    snprintf(ago, sizeof(ago), i->created_ns ? "%s ago" : "N/A", human);
    return json_pack("{s:s%, s:s, s:o, s:s, s:s, s:s, s:s, s:I, s:s, s:I, s:o, s:o, s:s, s:s}",
                     "ID", hex, (size_t)(o->no_trunc || strlen(hex) < 12 ? strlen(hex) : 12), "Id",
                     hex, "Names", json_from_strv(i->names), "Repository", repository, "Tag",
                     colon  ? colon + 1
                     : name ? "latest"
                            : "<none>",
                     "Digest", i->manifest ? i->manifest : "", "CreatedSince", ago, "Created",
                     (json_int_t)(i->created_ns / 1000000000), "Size",
                     size_human(i->size, size, sizeof(size)), "VirtualSize", (json_int_t)i->size,
                     "RepoTags", json_from_strv(i->names), "RepoDigests",
                     json_from_strv(i->digests), "Os", i->os ? i->os : "", "Architecture",
                     i->architecture ? i->architecture : "");
}

static int filter_ok(const struct images_opts *o, const struct store_image *i, const char *name,
                     struct err *e)
{
    for (char **f = o->filter; f && *f; f++) {
        const char *v;
        if ((v = str_after(*f, "reference="))) {
            if (!name || !strstr(name, v))
                return 0;
        } else if ((v = str_after(*f, "id="))) {
            if (!str_after(hex_of(i->id), hex_of(v)))
                return 0;
        } else if ((v = str_after(*f, "dangling="))) {
            if (streq(v, "true") != (name == NULL))
                return 0;
        } else {
            return err_hint(e, err_msg(e, EINVAL, "--filter %s: unknown filter", *f),
                            "known: reference, id, dangling");
        }
    }
    return 1;
}

static int add_image(const struct images_opts *o, const struct store_image *i, char **args,
                     json_t *rows, struct err *e)
{
    char *const none[] = {NULL};
    char *const *names = i->names && i->names[0] ? i->names : none;
    for (size_t n = 0; n == 0 || names[n]; n++) {
        int r = filter_ok(o, i, names[n], e);
        if (r < 0)
            return r;
        bool wanted = !*args || (names[n] && strstr(names[n], args[0]));
        if (r && wanted)
            json_array_append_new(rows, row_of(i, names[n], o));
        if (!names[n])
            break;
    }
    return 0;
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
                  "Labels", json_object(), "Created", (json_int_t)(i->created_ns / 1000000000));
    json_object_set_new(row, "CreatedAt",
                        json_string(time_rfc3339(i->created_ns, when, sizeof(when))));
    json_object_set_new(row, "History", json_from_strv(i->names));
    return row;
}

static int print(const struct images_opts *o, const json_t *rows, struct err *e)
{
    static const char *const headers[] = {"ID=IMAGE ID", "CreatedSince=CREATED", NULL};
    struct format_options f = {
        .text = o->format,
        .default_table =
            o->digests
                ? "table "
                  "{{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}"
                : "table {{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}",
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

static int images(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct images_opts *o = opts;
    struct store_image *list = NULL;
    size_t n = 0;
    scoped_json json_t *rows = json_array();
    bool as_json = o->format && (streq(o->format, "json") || streq(o->format, "jsonl"));
    (void)cmd;
    int r = store_list(cli_conf(), &list, &n, e);
    for (size_t i = 0; r == 0 && i < n; i++) {
        if (as_json && !o->filter && !*args)
            json_array_append_new(rows, podman_row(&list[i]));
        else
            r = add_image(o, &list[i], args, rows, e);
    }
    store_list_free(list, n);
    return r < 0 ? r : print(o, rows, e);
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
        .examples = "rootlet images\nrootlet images --format '{{.Repository}}:{{.Tag}}'",
    },
    {NULL},
};
