/* list - the containers below the root. */
#include <errno.h>
#include <stdio.h>

#include "base/log.h"
#include "base/str.h"
#include "base/strv.h"
#include "base/timefmt.h"
#include "oci/oci.h"
#include "userns/userns.h"

struct list_opts {
    bool quiet;
    char *format;
};

#define O(m) offsetof(struct list_opts, m)
static const struct opt table[] = {
    {"quiet", 'q', OPT_FLAG, O(quiet), NULL, "Only the ids"},
    {"format", 'f', OPT_STRING, O(format), "FORMAT", "table or json"},
    {NULL},
};

/* Prints what gathers in rows, columns aligned. */
#define COLUMNS 6
static void print_table(char **cells)
{
    size_t width[COLUMNS] = {0}, n = strv_len(cells);
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(cells[i]), *w = &width[i % COLUMNS];
        *w = len > *w ? len : *w;
    }
    for (size_t i = 0; i < n; i++) {
        bool last = i % COLUMNS == COLUMNS - 1;
        printf("%-*s%s", last ? 0 : (int)width[i % COLUMNS], cells[i], last ? "\n" : "   ");
    }
}

static void add_row(char ***cells, const struct oci_container *c)
{
    const struct oci_record *rec = &c->rec;
    char created[40], bundle[4 * 4096];
    scoped_free char *owner = userns_user_name(rec->owner);
    strv_add(cells, c->id);
    strv_addf(cells, "%d", c->pidfd >= 0 ? rec->pid : 0);
    strv_add(cells, oci_status_names[c->status]);
    strv_add(cells, err_escape(bundle, sizeof(bundle), rec->bundle ? rec->bundle : ""));
    strv_add(cells, time_rfc3339(rec->created_ns, created, sizeof(created)));
    if (owner)
        strv_add(cells, owner);
    else
        strv_addf(cells, "#%u", rec->owner);
}

static int list_command(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    static const char *const head[] = {"ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"};
    const struct list_opts *o = opts;
    scoped_strv char **ids = NULL, **cells = NULL;
    scoped_json json_t *all = json_array();
    (void)cmd, (void)args;
    bool json = streq(o->format, "json");
    if (o->format && !json && !streq(o->format, "table"))
        return err_msg(e, EINVAL, "list --format %s: not table or json", o->format);
    int r = oci_list(&ids, e);
    if (r < 0)
        return r;
    for (size_t i = 0; i < N_ELEMENTS(head); i++)
        strv_add(&cells, head[i]);
    for (char **id = ids; id && *id; id++) {
        scoped_oci_container struct oci_container c = OCI_CONTAINER_INIT;
        struct err why = ERR_INIT;
        r = oci_open(*id, &c, &why);
        if (r == -ENOENT)
            continue; /* deleted meanwhile */
        if (r < 0) {
            log_warn("%s", why.msg);
            continue;
        }
        if (o->quiet)
            puts(*id);
        json_array_append_new(all, oci_state_json(&c, true));
        add_row(&cells, &c);
    }
    scoped_free char *text = json ? json_text(all, false) : NULL;
    if (text && !o->quiet)
        puts(text);
    else if (!o->quiet)
        print_table(cells);
    return 0;
}

const struct cmd oci_cmd_list = {
    .name = "list",
    .summary = "List containers",
    .opts = table,
    .opts_size = sizeof(struct list_opts),
    .run = list_command,
    .examples = "rootlet-oci list --format json",
};
