/* volume_ls - volume ls and inspect, and the filters. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>

#include "base/timefmt.h"
#include "cli/cli.h"
#include "cli/filter.h"
#include "cli/volume_filter.h"
#include "format/format.h"

struct ls_opts {
    bool quiet, no_header, all;
    char **filter;
    char *format;
};

#define O(m) offsetof(struct ls_opts, m)
static const struct opt ls_table[] = {
    {"filter", 'f', OPT_STRV, O(filter), "KEY=VALUE",
     "name, label, dangling, anonymous, driver or until"},
    {"format", 0, OPT_STRING, O(format), "TEMPLATE", "json, jsonl, table ..., or a Go template"},
    {"noheading", 'n', OPT_FLAG, O(no_header), NULL, "No line of titles"},
    {"quiet", 'q', OPT_FLAG, O(quiet), NULL, "Names only"},
    {NULL},
};
static const struct opt inspect_table[] = {
    {"all", 'a', OPT_FLAG, O(all), NULL, "All volumes"},
    {"format", 'f', OPT_STRING, O(format), "TEMPLATE", "json, or a Go template"},
    {NULL},
};

/* --- filters --- */

static const char *const keys[] = {"name",   "label", "dangling", "anonymous",
                                   "driver", "until", NULL};

static int check_term(const char *term, bool *ret_dangling, struct err *e)
{
    scoped_free char *key = NULL;
    int64_t when;
    bool yes;
    int r = filter_check(term, keys, &key, e);
    if (r < 0)
        return r;
    if (streq(key, "name") && filter_name("", filter_value(term)) < 0)
        return err_msg(e, EINVAL, "--filter %s: not a regular expression", term);
    bool flag = streq(key, "dangling") || streq(key, "anonymous");
    if (flag && parse_bool(filter_value(term), &yes) < 0)
        return err_msg(e, EINVAL, "--filter %s: not true or false", term);
    if (streq(key, "until") && time_parse(filter_value(term), &when) < 0)
        return err_msg(e, EINVAL, "--filter %s: not a time", term);
    *ret_dangling |= streq(key, "dangling");
    return 0;
}

int volume_filter_parse(char *const *terms, struct volume_filter *ret, struct err *e)
{
    bool dangling = false;
    for (char *const *t = terms; t && *t; t++) {
        int r = check_term(*t, &dangling, e);
        if (r < 0)
            return r;
    }
    struct volume_filter f = {0};
    int r = dangling ? container_volumes_used(cli_conf(), &f.used, e) : 0;
    if (r < 0)
        return r;
    f.terms = strv_dup(terms);
    *ret = f;
    return 0;
}

void volume_filter_release(struct volume_filter *f)
{
    strv_free(f->terms);
    strv_free(f->used);
}

struct candidate {
    const struct volume_filter *f;
    const struct volume *v;
};

static bool term_matches(const void *data, const char *key, const char *value)
{
    const struct candidate *c = data;
    const struct volume *v = c->v;
    bool yes = false;
    int64_t when = 0;
    if (streq(key, "name"))
        return filter_name(v->name, value) > 0;
    if (streq(key, "label"))
        return filter_label(v->labels, value);
    if (streq(key, "driver"))
        return streq(value, "local");
    if (streq(key, "until"))
        return time_parse(value, &when) == 0 && v->created_ns < when;
    if (parse_bool(value, &yes) < 0)
        return false;
    return yes == (streq(key, "anonymous") ? v->anonymous : !strv_has(c->f->used, v->name));
}

bool volume_filter_match(const struct volume_filter *f, const struct volume *v)
{
    return filter_match(f->terms, term_matches, &(struct candidate){f, v});
}

/* --- ls and inspect --- */

/* podman's keys, in its order. */
static json_t *volume_json(const struct volume *v)
{
    char when[64];
    return json_pack(
        "{s:s, s:s, s:s, s:s, s:o, s:s, s:o, s:b, s:b}", "Name", v->name, "Driver", "local",
        "Mountpoint", v->path, "CreatedAt", time_rfc3339(v->created_ns, when, sizeof(when)),
        "Labels", json_from_pairs(v->labels), "Scope", "local", "Options",
        json_from_pairs(v->options), "Anonymous", v->anonymous, "NeedsCopyUp", v->needs_copy_up);
}

static int rows_of(const struct ls_opts *o, json_t *rows, struct err *e)
{
    struct volume_filter f SCOPED(volume_filter_release) = {0};
    struct volume *list = NULL;
    size_t n = 0;
    int r = volume_filter_parse(o->filter, &f, e);
    if (r == 0)
        r = volume_list(cli_conf(), &list, &n, e);
    for (size_t i = 0; r == 0 && i < n; i++)
        if (volume_filter_match(&f, &list[i]))
            json_array_append_new(rows, volume_json(&list[i]));
    volume_list_free(list, n);
    return r;
}

static const char *const ls_headers[] = {"Name=VOLUME NAME", NULL};

static int ls(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct ls_opts *o = opts;
    scoped_json json_t *rows = json_array();
    scoped_str struct str out = STR_INIT;
    (void)cmd;
    (void)args;
    if (o->quiet && o->format)
        return err_msg(e, EINVAL, "--quiet and --format exclude each other");
    int r = rows_of(o, rows, e);
    struct format_options f = {o->quiet ? "{{.Name}}" : o->format, "table {{.Driver}}\t{{.Name}}",
                               ls_headers, o->no_header};
    if (r == 0)
        r = format_rows(&f, rows, &out, e);
    if (r == 0)
        fputs(out.s, stdout);
    return r;
}

static int inspect_one(const char *name, json_t *all, struct err *e)
{
    scoped_volume struct volume v = {0};
    int r = volume_open(cli_conf(), name, &v, e);
    if (r == 0)
        json_array_append_new(all, volume_json(&v));
    return r;
}

static int inspect(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct ls_opts *o = opts;
    scoped_json json_t *all = json_array();
    scoped_str struct str out = STR_INIT;
    struct err none = ERR_INIT;
    int worst = 0;
    (void)cmd;
    if (!o->all && !*args)
        return err_hint(e, err_msg(e, EINVAL, "no volume given"), "names, or --all");
    if (o->all)
        worst = rows_of(o, all, e);
    for (char **a = args; !o->all && *a; a++) {
        int r = inspect_one(*a, all, worst < 0 ? &none : e);
        worst = worst < 0 ? worst : r;
    }
    /* As podman: what was found is printed, "[]" when nothing was. */
    int r = format_objects(o->format, all, &out, worst < 0 ? &none : e);
    if (r == 0)
        fputs(out.s, stdout);
    return worst < 0 ? worst : r;
}

static const char *const ls_aliases[] = {"volume list", NULL};

const struct cmd cli_volume_ls_cmds[] = {
    {
        .name = "volume ls",
        .args = "",
        .summary = "List volumes",
        .opts = ls_table,
        .opts_size = sizeof(struct ls_opts),
        .run = ls,
        .aliases = ls_aliases,
        .examples = "rootlet volume ls\nrootlet volume ls -q --filter dangling=true",
    },
    {
        .name = "volume inspect",
        .args = "VOLUME [VOLUME...]",
        .summary = "Show everything about volumes as JSON",
        .opts = inspect_table,
        .opts_size = sizeof(struct ls_opts),
        .max_args = -1,
        .run = inspect,
        .examples = "rootlet volume inspect data\n"
                    "rootlet volume inspect -f '{{.Mountpoint}}' data",
    },
    {NULL},
};
