/* diff - what a container has changed of its image, or an image of the one below it. */
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/jfield.h"
#include "base/str.h"
#include "base/strv.h"
#include "cli/changes.h"
#include "cli/cli.h"

struct diff_opts {
    bool latest;
    char *format;
};

#define O(m) offsetof(struct diff_opts, m)
static const struct opt diff_table[] = {
    {"format", 0, OPT_STRING, O(format), "json", "As JSON, in three lists"},
    {"latest", 'l', OPT_FLAG, O(latest), NULL, "The container created last"},
    {NULL},
};

/* For JSON: the names of each list, as its members. */
struct lists {
    struct str changed, added, deleted;
};

static int print_line(void *data, enum storage_diff_kind kind, const char *path, struct err *e)
{
    (void)data;
    if (kind == STORAGE_TARGET)
        return 0;
    size_t size = 4 * strlen(path) + 1;
    scoped_free char *shown = xmalloc(size);
    if (printf("%c %s\n", kind, err_escape(shown, size, path)) < 0)
        return err_set(e, errno, "write to standard output");
    return 0;
}

static int end_lines(void *data, struct err *e)
{
    (void)data;
    return fflush(stdout) < 0 ? err_set(e, errno, "write to standard output") : 0;
}

static int keep_name(void *data, enum storage_diff_kind kind, const char *path, struct err *e)
{
    struct lists *l = data;
    struct str *to = kind == STORAGE_ADDED     ? &l->added
                     : kind == STORAGE_CHANGED ? &l->changed
                     : kind == STORAGE_DELETED ? &l->deleted
                                               : NULL;
    (void)e;
    if (!to)
        return 0;
    /* A name that is no UTF-8 has no form in JSON but the one for people. */
    json_t *text = json_string(path);
    size_t size = 4 * strlen(path) + 1;
    scoped_free char *shown = xmalloc(size);
    if (!text)
        text = json_string(err_escape(shown, size, path));
    scoped_free char *quoted = json_dumps(text, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
    json_decref(text);
    str_addf(to, "%s\n          %s", to->len ? "," : "", quoted ? quoted : "\"\"");
    return 0;
}

static int end_lists(void *data, struct err *e)
{
    struct lists *l = data;
    const struct {
        const char *key;
        const struct str *members;
    } lists[] = {{"changed", &l->changed}, {"added", &l->added}, {"deleted", &l->deleted}};
    bool first = true;
    putchar('{');
    for (size_t i = 0; i < N_ELEMENTS(lists); i++) {
        if (!lists[i].members->len)
            continue;
        printf("%s\n     \"%s\": [", first ? "" : ",", lists[i].key);
        fputs(lists[i].members->s, stdout);
        fputs("\n     ]", stdout);
        first = false;
    }
    puts(first ? "}" : "\n}");
    return end_lines(NULL, e);
}

static int differences(const struct diff_opts *o, const char *name, struct storage_diff *d,
                       struct err *e)
{
    scoped_container struct container ctr = {.dir_fd = -1};
    struct err first = ERR_INIT;
    int r = o->latest ? container_open_latest(cli_conf(), &ctr, e)
                      : container_open(cli_conf(), name, &ctr, e);
    if (r != -ENOENT || o->latest)
        return r < 0 ? r : changes_of_container(&ctr, d, e);
    first = *e;
    err_clear(e);
    r = changes_of_image(name, d, e);
    if (r == -ENOENT || r == -EINVAL) {
        *e = first; /* no image either */
        if (r == -ENOENT && !e->hint[0]) {
            err_clear(e);
            return err_msg(e, ENOENT, "no such container or image: \"%s\"", name);
        }
    }
    return r;
}

static int diff(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct diff_opts *o = opts;
    struct lists lists = {STR_INIT, STR_INIT, STR_INIT};
    struct storage_diff d = {.tell = print_line, .end = end_lines};
    (void)cmd;
    if (o->latest == (args[0] != NULL))
        return err_hint(e,
                        err_msg(e, EINVAL,
                                o->latest ? "--latest and names exclude each other"
                                          : "no container or image given"),
                        "See 'rootlet diff --help'");
    if (o->format && !streq(o->format, "json"))
        return err_msg(e, EINVAL, "--format %s: there is only json", o->format);
    if (o->format)
        d = (struct storage_diff){.tell = keep_name, .end = end_lists, .data = &lists};
    fflush(stdout);
    signal(SIGPIPE, SIG_IGN); /* a child writes: "| head" must not look like its crash */
    int r = differences(o, args[0], &d, e);
    if (r < 0 && e->errnum == EPIPE) {
        signal(SIGPIPE, SIG_DFL);
        raise(SIGPIPE);
    }
    return r < 0 ? err_add(e, r, "diff %s", args[0] ? args[0] : "--latest") : 0;
}

static const char *const diff_aliases[] = {"container diff", "image diff", NULL};

const struct cmd cli_diff_cmds[] = {
    {
        .name = "diff",
        .args = "CONTAINER|IMAGE",
        .summary = "List the files that a container has changed, or an image's last layer",
        .opts = diff_table,
        .opts_size = sizeof(struct diff_opts),
        .max_args = 1,
        .run = diff,
        .aliases = diff_aliases,
        .details = "A: added, C: changed, D: deleted. Places of mounts are not listed.",
        .examples = "rootlet diff web\nrootlet diff --format json web",
    },
    {NULL},
};
