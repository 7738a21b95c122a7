/* stats - what containers use: a live table, or one look. */
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cli/stats.h"
#include "container/pod.h"
#include "format/format.h"

/* Between the two looks that a share of processor time takes. */
#define FIRST_MS 200

struct stats_opts {
    bool all, latest, no_stream, no_trunc, no_reset, pressure;
    char *format;
    uint64_t interval;
    bool interval_set;
    const struct pod_set *pods; /* each row tells its pod; NULL: no */
};

#define O(m) offsetof(struct stats_opts, m)
static const struct opt stats_table[] = {
    {"all", 'a', OPT_FLAG, O(all), NULL, "Those that do not run, too"},
    {"format", 0, OPT_STRING, O(format), "TEMPLATE", "json, jsonl, table ..., or a Go template"},
    {"interval", 'i', OPT_DURATION, O(interval), "TIME", "From one look to the next (1s)", 0, NULL,
     NULL, O(interval_set)},
    {"latest", 'l', OPT_FLAG, O(latest), NULL, "The container created last"},
    {"no-reset", 0, OPT_FLAG, O(no_reset), NULL, "Print one table below the other"},
    {"no-stream", 0, OPT_FLAG, O(no_stream), NULL, "One look only"},
    {"no-trunc", 0, OPT_FLAG, O(no_trunc), NULL, "Full ids"},
    {"pressure", 0, OPT_FLAG, O(pressure), NULL,
     "Columns of pressure: percent of the last 10 s in which some/all tasks waited"},
    {NULL},
};

static const struct opt pod_stats_table[] = {
    {"all", 'a', OPT_FLAG, O(all), NULL, "All pods, as without a name", OPT_IGNORED},
    {"format", 0, OPT_STRING, O(format), "TEMPLATE", "json, jsonl, table ..., or a Go template"},
    {"interval", 'i', OPT_DURATION, O(interval), "TIME", "From one look to the next (1s)", 0, NULL,
     NULL, O(interval_set)},
    {"no-reset", 0, OPT_FLAG, O(no_reset), NULL, "Print one table below the other"},
    {"no-stream", 0, OPT_FLAG, O(no_stream), NULL, "One look only"},
    {"no-trunc", 0, OPT_FLAG, O(no_trunc), NULL, "Full ids"},
    {NULL},
};

#define POD_COLUMNS                                                                                \
    "table {{.Pod}}\t{{.CID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}"   \
    "\t{{.BlockIO}}\t{{.PIDS}}"
#define COLUMNS                                                                                    \
    "table {{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{."         \
    "BlockIO}}\t{{.PIDS}}\t{{.CPUTime}}\t{{.AvgCPU}}"
#define PRESSURE_COLUMNS COLUMNS "\t{{.CPUPressure}}\t{{.MemPressure}}\t{{.IOPressure}}"

static const char *const headers[] = {"ID=ID",
                                      "Pod=POD",
                                      "CID=CID",
                                      "CPUPerc=CPU %",
                                      "CPU=CPU %",
                                      "MemUsage=MEM USAGE / LIMIT",
                                      "MemPerc=MEM %",
                                      "NetIO=NET IO",
                                      "BlockIO=BLOCK IO",
                                      "PIDS=PIDS",
                                      "PIDs=PIDS",
                                      "CPUTime=CPU TIME",
                                      "AvgCPU=AVG CPU %",
                                      "CPUPressure=CPU PSI",
                                      "MemPressure=MEM PSI",
                                      "IOPressure=IO PSI",
                                      NULL};

static bool is_json(const struct stats_opts *o)
{
    return o->format && (streq(o->format, "json") || streq(o->format, "jsonl"));
}

static const char *pod_of(const struct pod_set *pods, const char *id)
{
    for (size_t i = 0; i < pods->n_states; i++)
        if (streq(pods->states[i].id, id))
            return pods->states[i].pod_id ? pods->states[i].pod_id : "";
    return "";
}

/* The rows stand in the order of the set. */
static void add_pods(const struct stats_set *set, const struct pod_set *pods, json_t *rows,
                     bool cut)
{
    for (size_t i = 0; i < set->n; i++) {
        json_t *row = json_array_get(rows, i);
        int width = cut ? 12 : ID_LEN;
        json_object_set_new(row, "Pod", json_sprintf("%.*s", width, pod_of(pods, set->v[i].id)));
        json_object_set_new(row, "CID", json_sprintf("%.*s", width, set->v[i].id));
    }
}

static int render(const struct stats_opts *o, const struct stats_set *set, struct str *out,
                  struct err *e)
{
    bool json = is_json(o);
    bool table = !o->format || str_after(o->format, "table");
    scoped_json json_t *rows = stats_rows(set, json, table && !o->no_trunc);
    if (o->pods)
        add_pods(set, o->pods, rows, table && !o->no_trunc);
    const char *columns = o->pods ? POD_COLUMNS : o->pressure ? PRESSURE_COLUMNS : COLUMNS;
    struct format_options f = {o->format, columns, headers, false};
    return format_rows(&f, rows, out, e);
}

static int show(const struct stats_opts *o, const struct stats_set *set,
                struct stats_screen *screen, struct err *e)
{
    scoped_str struct str out = STR_INIT;
    int r = render(o, set, &out, e);
    if (r == 0)
        stats_screen_draw(screen, out.s);
    return r;
}

static int look(struct stats_set *set, struct err *e)
{
    int r = stats_refresh(set, e);
    if (r == 0)
        stats_sample(set);
    return r;
}

static int watch(const struct stats_opts *o, struct stats_set *set, struct stats_screen *screen,
                 struct err *e)
{
    int interval = o->interval_set ? (int)o->interval : 1000;
    int r = look(set, e);
    bool on =
        r == 0 && stats_screen_wait(screen, o->no_stream && o->interval_set ? interval : FIRST_MS);
    if (r == 0 && !on && o->no_stream)
        return 128 + SIGINT; /* the one look that was asked for has not been taken */
    while (on) {
        r = look(set, e);
        if (r == 0)
            r = show(o, set, screen, e);
        set->quiet = screen->live;
        /* Containers that were named and are all gone do not come back. */
        on = r == 0 && !o->no_stream && !(set->ids && set->n == 0) &&
             stats_screen_wait(screen, interval);
    }
    return r;
}

/* Names become ids once: a container may be renamed meanwhile. */
static int take_id(struct container *c, const char *typed, void *data, struct err *e)
{
    struct stats_set *set = data;
    (void)typed;
    (void)e;
    strv_add(&set->ids, c->id);
    return 0;
}

/* Each container takes a dozen descriptors. */
static void allow_descriptors(void)
{
    struct rlimit l;
    if (getrlimit(RLIMIT_NOFILE, &l) < 0)
        return;
    l.rlim_cur = l.rlim_max;
    setrlimit(RLIMIT_NOFILE, &l);
}

static int run(const struct stats_opts *o, struct stats_set *set, struct err *e)
{
    struct stats_screen screen SCOPED(stats_screen_close) = {.signal_fd = -1};
    scoped_str struct str none = STR_INIT;
    if (o->interval_set && (o->interval < 1 || o->interval > INT32_MAX))
        return err_msg(e, EINVAL, "--interval: want a time of 1 ms or more, such as 5 or 500ms");
    int r = render(o, set, &none, e); /* a bad template is told before the first look */
    if (r < 0)
        return r;
    allow_descriptors();
    r = stats_screen_open(&screen, !o->no_reset && !o->no_stream && !is_json(o), e);
    return r < 0 ? r : watch(o, set, &screen, e);
}

static int stats(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct stats_opts *o = opts;
    struct stats_set set SCOPED(stats_release) = {.all = o->all};
    (void)cmd;
    if (o->all && (*args || o->latest))
        return err_msg(e, EINVAL, "--all: the containers are named already");
    int r = *args || o->latest ? cli_each(args, o->latest, take_id, &set, e) : 0;
    return r != 0 ? r : run(o, &set, e);
}

static void add_members(const struct pod *p, struct stats_set *set)
{
    strv_add(&set->ids, p->infra.id);
    for (size_t i = 0; i < p->n; i++)
        strv_add(&set->ids, p->members[i]->id);
}

/* All pods without a name. A pod that comes later is not looked for. */
static int pod_stats(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    struct stats_opts *o = opts;
    struct stats_set set SCOPED(stats_release) = {.quiet = true}; /* infras without a cgroup */
    scoped_pod_set struct pod_set pods = {.n = 0};
    (void)cmd;
    int r = pod_set_load(cli_conf(), &pods, e);
    for (size_t i = 0; r == 0 && !*args && i < pods.n; i++)
        add_members(&pods.v[i], &set);
    for (char **a = args; r == 0 && *a; a++) {
        const struct pod *p = NULL;
        r = pod_find(&pods, *a, &p, e);
        if (r == 0)
            add_members(p, &set);
    }
    if (r < 0)
        return err_add(e, r, "pod stats");
    if (!set.ids)
        return err_hint(e, err_msg(e, ENOENT, "pod stats: there is no pod"),
                        "rootlet stats shows all containers");
    o->pods = &pods;
    return run(o, &set, e);
}

static const char *const stats_aliases[] = {"container stats", NULL};

const struct cmd cli_stats_cmds[] = {
    {
        .name = "stats",
        .args = "[CONTAINER...]",
        .summary = "Show what containers use, as a live table",
        .opts = stats_table,
        .opts_size = sizeof(struct stats_opts),
        .max_args = -1,
        .run = stats,
        .aliases = stats_aliases,
        .details = "On a terminal the table is drawn in place until q or ctrl-c. 100 % of CPU is "
                   "one processor.",
        .examples = "rootlet stats\nrootlet stats --no-stream --format json web\n"
                    "rootlet stats --pressure -i 5s",
    },
    {
        .name = "pod stats",
        .args = "[POD...]",
        .summary = "Show what the containers of pods use, as a live table",
        .opts = pod_stats_table,
        .opts_size = sizeof(struct stats_opts),
        .max_args = -1,
        .run = pod_stats,
        .examples = "rootlet pod stats\nrootlet pod stats --no-stream --format json web",
    },
    {NULL},
};
