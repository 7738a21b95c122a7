/* rootlet search */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "format/format.h"
#include "imagetool/imagetool.h"
#include "registry/client.h"

#define LIMIT_DEFAULT 25
#define LIMIT_MAX 1000
#define DESCRIPTION_WIDTH 44

struct search_opts {
    bool list_tags, no_trunc, tls_verify, tls_verify_set, limit_set, compatible;
    char *authfile, *cert_dir, *creds, *format;
    char **filter;
    int64_t limit;
};

#define O(m) offsetof(struct search_opts, m)
static const struct opt search_table[] = {
    {"authfile", 0, OPT_STRING, O(authfile), "FILE", "Credentials from this file and no other"},
    {"cert-dir", 0, OPT_STRING, O(cert_dir), "DIR", "Certificates from here instead of certs.d"},
    {"compatible", 0, OPT_FLAG, O(compatible), NULL, "For podman's sake", OPT_IGNORED},
    {"creds", 0, OPT_STRING, O(creds), "USER[:PASSWORD]", "Credentials for the registry"},
    {"filter", 'f', OPT_STRV, O(filter), "KEY=VALUE", "stars=N, is-official=true or =false"},
    {"format", 0, OPT_STRING, O(format), "TEMPLATE", "json, jsonl, table ..., or a Go template"},
    {"limit", 0, OPT_INT, O(limit), "N", "At most so many results of a registry (default 25)",
     .set_offset = O(limit_set)},
    {"list-tags", 0, OPT_FLAG, O(list_tags), NULL, "The tags of the repository TERM"},
    {"no-trunc", 0, OPT_FLAG, O(no_trunc), NULL, "Descriptions in full"},
    {"tls-verify", 0, OPT_FLAG, O(tls_verify), NULL,
     "Verify certificates (default), or =false: not even https", .set_offset = O(tls_verify_set)},
    {NULL},
};
#undef O

struct filters {
    uint64_t stars;
    int official, automated; /* -1: all the same */
};

static int parse_filters(char *const *list, struct filters *ret, struct err *e)
{
    *ret = (struct filters){0, -1, -1};
    for (char *const *f = list; f && *f; f++) {
        const char *eq = strchr(*f, '=');
        scoped_free char *key = xstrndup(*f, eq ? (size_t)(eq - *f) : strlen(*f));
        const char *value = eq ? eq + 1 : "true"; /* podman: --filter=is-official */
        bool b = false;
        int r = -EINVAL;
        if (streq(key, "stars"))
            r = parse_u64(value, &ret->stars);
        else if (streq(key, "is-official") || streq(key, "is-automated"))
            r = parse_bool(value, &b);
        else
            return err_hint(e, err_msg(e, EINVAL, "--filter %s: unknown", *f),
                            "known: stars, is-official, is-automated");
        if (r < 0)
            return err_msg(e, EINVAL, "--filter %s: want %s", *f,
                           streq(key, "stars") ? "a number" : "true or false");
        if (streq(key, "is-official"))
            ret->official = b;
        if (streq(key, "is-automated"))
            ret->automated = b;
    }
    return 0;
}

static bool passes(const struct filters *f, const struct registry_found *found)
{
    return found->stars >= f->stars && (f->official < 0 || f->official == found->official) &&
           (f->automated < 0 || f->automated == found->automated);
}

/* One line, and of a width that leaves room for the other columns. */
static char *description_of(const struct registry_found *found, bool whole)
{
    char *text = xstrdup(found->description ? found->description : "");
    for (char *p = text; *p; p++)
        if (*p == '\n' || *p == '\r' || *p == '\t')
            *p = ' ';
    size_t n = 0, width = 0;
    for (; text[n] && width < DESCRIPTION_WIDTH; n++)
        width += ((unsigned char)text[n + 1] & 0xc0) != 0x80;
    if (!whole && text[n]) {
        char *shorter = xasprintf("%.*s...", (int)n, text);
        free(text);
        text = shorter;
    }
    return text;
}

static void add_row(json_t *rows, const char *host, const struct registry_found *f, bool whole)
{
    scoped_free char *description = description_of(f, whole);
    json_t *row = json_object();
    json_object_set_new(row, "Index", json_from_bytes(host));
    json_object_set_new(row, "Name", json_from_bytes(f->name));
    json_object_set_new(row, "Description", json_from_bytes(description));
    json_object_set_new(row, "Stars", json_from_u64(f->stars));
    json_object_set_new(row, "Official", json_string(f->official ? "[OK]" : ""));
    json_object_set_new(row, "Automated", json_string(f->automated ? "[OK]" : ""));
    json_array_append_new(rows, row);
}

/* What is to be found where: by HOST/TERM at that registry, else at those of short names. */
struct search {
    const struct search_opts *o;
    struct registry *reg;
    struct filters filters;
    size_t limit;
    json_t *rows;
};

static int search_host(struct search *s, const char *host, const char *term, struct err *e)
{
    SCOPED(registry_results_release) struct registry_results found = {0};
    int r = registry_search(s->reg, host, term, s->limit, &found, e);
    if (r < 0) {
        if (r == -ENOENT || r == -EACCES)
            err_hint(e, r,
                     "not every registry can be searched: --list-tags tells the tags of one "
                     "repository");
        return r;
    }
    for (size_t i = 0; i < found.n; i++)
        if (passes(&s->filters, &found.v[i]))
            add_row(s->rows, host, &found.v[i], s->o->no_trunc);
    return 0;
}

/* "host/term" with a host that looks like one. Owned, or NULL. */
static char *host_of(const char *text)
{
    size_t n = strcspn(text, "/");
    scoped_free char *host = xstrndup(text, n);
    bool named = streq(host, "localhost") || strpbrk(host, ".:");
    return text[n] && named ? take_ptr(host) : NULL;
}

static int search_all(struct search *s, const char *text, struct err *e)
{
    scoped_free char *host = host_of(text);
    if (host)
        return search_host(s, host, text + strlen(host) + 1, e);
    char *const *list = registry_conf_search_list(registry_conf_of(s->reg));
    if (!list[0])
        return err_hint(e, err_msg(e, EINVAL, "registries.conf names no registry to search"),
                        "name one: docker.io/%s", text);
    for (size_t i = 0; list[i]; i++) {
        int r = search_host(s, list[i], text, e);
        if (r < 0)
            return err_add(e, r, "%s", list[i]);
    }
    return 0;
}

static int list_tags(struct search *s, const char *text, struct err *e)
{
    struct registry_ref ref = {0};
    scoped_strv char **tags = NULL;
    int r = registry_resolve(s->reg, text, REGISTRY_PULL, &ref, e);
    if (r == 0 && (ref.image.digest || !streq(ref.image.tag, "latest")))
        r = err_msg(e, EINVAL, "--list-tags wants a name without a tag");
    r = r < 0 ? r : registry_tags(s->reg, &ref, s->limit, &tags, e);
    for (char **t = tags; r >= 0 && t && *t; t++) {
        json_t *row = json_object();
        json_object_set_new(row, "Name", json_from_bytes(ref.image.name));
        json_object_set_new(row, "Tag", json_from_bytes(*t));
        json_array_append_new(s->rows, row);
    }
    registry_ref_release(&ref);
    return r < 0 ? r : 0;
}

static int print(const struct search *s, struct err *e)
{
    scoped_str struct str out = STR_INIT;
    const struct format_options f = {
        .text = s->o->format,
        .default_table = s->o->list_tags
                             ? "table {{.Name}}\t{{.Tag}}"
                             : "table {{.Name}}\t{{.Description}}\t{{.Stars}}\t{{.Official}}",
    };
    int r = format_rows(&f, s->rows, &out, e);
    if (r == 0)
        fputs(out.s, stdout);
    return r;
}

static int check_options(const struct search_opts *o, struct err *e)
{
    if (o->limit_set && (o->limit < 1 || o->limit > LIMIT_MAX))
        return err_msg(e, EINVAL, "--limit %lld: want 1 to %d", (long long)o->limit, LIMIT_MAX);
    if (o->list_tags && o->filter)
        return err_msg(e, EINVAL, "--list-tags and --filter cannot go together");
    return 0;
}

static int run_search(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct search_opts *o = opts;
    const struct registry_options options = {
        .creds = o->creds,
        .authfile = o->authfile,
        .cert_dir = o->cert_dir,
        .tls_verify = o->tls_verify_set ? o->tls_verify : -1,
        .retry = -1,
    };
    scoped_registry struct registry *reg = NULL;
    scoped_json json_t *rows = json_array();
    struct search s = {.o = o, .limit = o->limit_set ? (size_t)o->limit : LIMIT_DEFAULT};
    (void)cmd;
    int r = check_options(o, e);
    r = r < 0 ? r : parse_filters(o->filter, &s.filters, e);
    r = r < 0 ? r : registry_open(&options, &reg, e);
    s.reg = reg;
    s.rows = rows;
    if (r == 0)
        r = o->list_tags ? list_tags(&s, args[0], e) : search_all(&s, args[0], e);
    r = r < 0 ? r : print(&s, e);
    return r < 0 ? err_add(e, r, "search %s", args[0]) : 0;
}

const struct cmd imagetool_search_cmds[] = {
    {.name = "search",
     .args = "TERM",
     .summary = "Search a registry for images",
     .opts = search_table,
     .opts_size = sizeof(struct search_opts),
     .min_args = 1,
     .max_args = 1,
     .run = run_search,
     .aliases = (const char *const[]){"image search", NULL},
     .details =
         "TERM may begin with a registry (quay.io/TERM); without one the registries of short names "
         "are searched. docker.io and others have an index of their images; of a plain registry "
         "the names of its catalog are searched, where it gives them.",
     .examples = "rootlet search --limit 5 alpine\n"
                 "rootlet search --list-tags docker.io/library/alpine"},
    {NULL},
};
