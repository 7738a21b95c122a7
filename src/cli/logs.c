/* logs - what a container has said. */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "base/strv.h"
#include "base/timefmt.h"
#include "cli/cli.h"
#include "container/pod.h"
#include "logs/logs.h"

struct logs_opts {
    bool follow, timestamps, latest, details, names, color;
    char *since, *until, *tail;
    bool several; /* whose line it is stands in front */
    int lock_fd;
    char **container; /* of a pod: only these */
};

#define O(m) offsetof(struct logs_opts, m)
static const struct opt logs_table[] = {
    {"color", 0, OPT_FLAG, O(color), NULL, "Of several containers: each one's name in a colour"},
    {"details", 0, OPT_FLAG, O(details), NULL, "What json-file has noted: tag, labels, variables"},
    {"follow", 'f', OPT_FLAG, O(follow), NULL, "Go on with what comes until the container ends"},
    {"latest", 'l', OPT_FLAG, O(latest), NULL, "The container created last"},
    {"names", 0, OPT_FLAG, O(names), NULL, "Of several containers: names in front, not ids"},
    {"since", 0, OPT_STRING, O(since), "TIME", "From this time on: RFC 3339, seconds, or 10m ago"},
    {"tail", 'n', OPT_STRING, O(tail), "N", "The last N lines, or all"},
    {"timestamps", 't', OPT_FLAG, O(timestamps), NULL, "A time in front of each line"},
    {"until", 0, OPT_STRING, O(until), "TIME", "Up to this time"},
    {NULL},
};

static const struct opt pod_logs_table[] = {
    {"color", 0, OPT_FLAG, O(color), NULL, "Each container's name in a colour"},
    {"container", 'c', OPT_STRV, O(container), "NAME", "Only this one of its containers"},
    {"follow", 'f', OPT_FLAG, O(follow), NULL, "Go on with what comes until the containers end"},
    {"names", 'n', OPT_FLAG, O(names), NULL, "Names in front, not ids"},
    {"since", 0, OPT_STRING, O(since), "TIME", "From this time on: RFC 3339, seconds, or 10m ago"},
    {"tail", 0, OPT_STRING, O(tail), "N", "The last N lines of each, or all"},
    {"timestamps", 't', OPT_FLAG, O(timestamps), NULL, "A time in front of each line"},
    {"until", 0, OPT_STRING, O(until), "TIME", "Up to this time"},
    {NULL},
};

static int parse_time(const char *flag, const char *value, int64_t *ret, struct err *e)
{
    if (value && time_parse(value, ret) < 0)
        return err_hint(e, err_msg(e, EINVAL, "--%s %s: not a time", flag, value),
                        "for example 2026-01-31T12:00:00Z, 1767225600, or 10m");
    return 0;
}

static int read_options(const struct logs_opts *o, struct log_read *ret, struct err *e)
{
    uint32_t lines;
    int r = parse_time("since", o->since, &ret->since_ns, e);
    if (r == 0)
        r = parse_time("until", o->until, &ret->until_ns, e);
    if (r < 0)
        return r;
    ret->follow = o->follow;
    ret->timestamps = o->timestamps;
    ret->tail = -1;
    if (o->tail && !streq(o->tail, "all") && !streq(o->tail, "-1")) {
        if (parse_u32(o->tail, &lines) < 0)
            return err_msg(e, EINVAL, "--tail %s: not a number of lines, or all", o->tail);
        ret->tail = lines;
    }
    return 0;
}

/* The name or short id, in one of six colours that its id decides. Owned. */
static char *make_prefix(const struct container *c, const struct logs_opts *o)
{
    bool color = o->color && log_colours(STDOUT_FILENO);
    const char *name = c->state.name ? c->state.name : c->rec.name;
    scoped_free char *text = o->names ? xstrdup(name) : xstrndup(c->id, 12);
    return color ? xasprintf("\033[3%dm%s\033[0m ", 1 + c->id[0] % 6, text)
                 : xasprintf("%s ", text);
}

static int logs_one(struct container *c, const char *typed, void *data, struct err *e)
{
    const struct logs_opts *o = data;
    struct log_read in = {
        .ident = {.dir_fd = c->dir_fd, .opts = c->rec.log_opts, .id = c->id, .name = c->rec.name},
        .out_fd = STDOUT_FILENO,
        .err_fd = STDERR_FILENO,
        .stop_fd = -1};
    scoped_fd int stop = -1;
    int r = read_options(o, &in, e);
    if (r < 0)
        return r;
    scoped_free char *prefix = o->several ? make_prefix(c, o) : NULL;
    in.prefix = prefix;
    in.lock_fd = o->lock_fd;
    in.details = o->details;
    bool alive = ctr_state_alive(&c->state);
    if (o->follow && alive) {
        struct err none = ERR_INIT;
        /* The supervisor hangs up when the container has ended and all is written. */
        in.stop_fd = stop = container_connect(cli_conf(), c->id, &none);
    }
    in.follow = in.stop_fd >= 0;
    r = log_read(c->rec.log_driver, &in, e);
    if (r == -EPIPE)
        return 0;
    return r < 0 ? err_add(e, r, "logs %s", typed) : 0;
}

static int no_end(const char *id, const char *typed, int begun, void *data, struct err *e)
{
    (void)id, (void)typed, (void)data, (void)e;
    return begun;
}

static int show(struct logs_opts *o, char **args, struct err *e)
{
    const struct cli_parts parts = {.begin = logs_one, .end = no_end, .data = o};
    if (!o->follow || !o->several || o->latest)
        return cli_each(args, o->latest, logs_one, o, e);
    scoped_fd int lock = memfd_create("logs", MFD_CLOEXEC);
    o->lock_fd = lock > 0 ? lock : 0;
    return cli_each_at_once(args, &parts, e);
}

static int logs(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    struct logs_opts *o = opts;
    (void)cmd;
    o->several = strv_len(args) > 1;
    return show(o, args, e);
}

static const struct ctr_state *member_of(const struct pod *p, const char *ref)
{
    for (size_t i = 0; i < p->n; i++)
        if (streq(p->members[i]->name, ref) || streq(p->members[i]->id, ref))
            return p->members[i];
    for (size_t i = 0; i < p->n && id_is_hex(ref); i++)
        if (str_after(p->members[i]->id, ref))
            return p->members[i];
    return NULL;
}

/* In the order in which they were made, or in which they were named. The infra says nothing. */
static int members(const struct pod *p, char *const *wanted, char ***ret, struct err *e)
{
    for (char *const *w = wanted; w && *w; w++) {
        const struct ctr_state *s = member_of(p, *w);
        if (!s)
            return err_msg(e, ENOENT, "pod %s has no container \"%s\"", p->infra.rec.pod, *w);
        strv_add(ret, s->id);
    }
    for (size_t i = p->n; !wanted && i-- > 0;)
        strv_add(ret, p->members[i]->id);
    return 0;
}

static int pod_logs(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    struct logs_opts *o = opts;
    scoped_pod_set struct pod_set set = {.n = 0};
    scoped_strv char **ids = NULL;
    const struct pod *p = NULL;
    (void)cmd;
    int r = pod_set_load(cli_conf(), &set, e);
    if (r == 0)
        r = pod_find(&set, args[0], &p, e);
    if (r == 0)
        r = members(p, o->container, &ids, e);
    if (r < 0)
        return err_add(e, r, "pod logs %s", args[0]);
    o->several = true; /* a pod with one member has the same lines as one with two */
    return ids ? show(o, ids, e) : 0;
}

static const char *const logs_aliases[] = {"container logs", NULL};

const struct cmd cli_logs_cmds[] = {
    {
        .name = "logs",
        .args = "CONTAINER [CONTAINER...]",
        .summary = "Show what containers have written",
        .opts = logs_table,
        .opts_size = sizeof(struct logs_opts),
        .max_args = -1,
        .run = logs,
        .aliases = logs_aliases,
        .details = "Standard output and standard error stay apart. Earlier runs of a container are "
                   "shown too.",
        .examples = "rootlet logs -f --tail 20 web\nrootlet logs --since 10m web\n"
                    "rootlet logs -f --names web db",
    },
    {
        .name = "pod logs",
        .args = "POD",
        .summary = "Show what the containers of a pod have written",
        .opts = pod_logs_table,
        .opts_size = sizeof(struct logs_opts),
        .min_args = 1,
        .max_args = 1,
        .run = pod_logs,
        .details = "The short id of the container, or with --names its name, stands in front of "
                   "each line.",
        .examples = "rootlet pod logs -f web\nrootlet pod logs -n --tail 5 -c worker web",
    },
    {NULL},
};
