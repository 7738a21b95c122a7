/* ps - ps (podman's columns) and list (name, status, image, pid, address, created). */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include "base/timefmt.h"
#include "cli/cli.h"
#include "cli/psfilter.h"
#include "cli/sizes.h"
#include "cli/stats.h"
#include "container/pod.h"
#include "format/format.h"
#include "net/ports.h"
#include "network/run.h"

struct ps_opts {
    int64_t watch;
    bool watch_set;
    bool pod, all, quiet, size, latest, no_trunc, no_header, ns, sync, external;
    int64_t last;
    bool last_set;
    char **filter;
    char *format, *sort;
};

#define O(m) offsetof(struct ps_opts, m)
static const struct opt ps_table[] = {
    {"all", 'a', OPT_FLAG, O(all), NULL, "Ended and created ones too"},
    {"filter", 'f', OPT_STRV, O(filter), "KEY=VALUE",
     "id, name, status, label, ancestor, exited, before, since, volume, network, command, "
     "health, restart-policy, pod, until"},
    {"format", 0, OPT_STRING, O(format), "TEMPLATE", "json, jsonl, table ..., or a Go template"},
    {"last", 'n', OPT_INT, O(last), "N", "The N created last, in any state", 0, NULL, NULL,
     O(last_set)},
    {"latest", 'l', OPT_FLAG, O(latest), NULL, "The one created last, in any state"},
    {"no-trunc", 0, OPT_FLAG, O(no_trunc), NULL, "Full ids and commands"},
    {"noheading", 0, OPT_FLAG, O(no_header), NULL, "No line of titles"},
    {"ns", 0, OPT_FLAG, O(ns), NULL, "Show namespaces"},
    {"pod", 'p', OPT_FLAG, O(pod), NULL, "Show id and name of the pod"},
    {"quiet", 'q', OPT_FLAG, O(quiet), NULL, "Ids only"},
    {"size", 's', OPT_FLAG, O(size), NULL, "Show how much they have written"},
    {"sort", 0, OPT_STRING, O(sort), "KEY",
     "created, command, id, image, names, runningfor, size or status"},
    {"watch", 'w', OPT_INT, O(watch), "SECONDS", "Show it again and again, until ctrl-c or q", 0,
     NULL, NULL, O(watch_set)},
    {"sync", 0, OPT_FLAG, O(sync), NULL, "For podman's sake, does nothing", OPT_IGNORED},
    {"external", 0, OPT_FLAG, O(external), NULL, "For podman's sake, does nothing", OPT_IGNORED},
    {NULL},
};

static const char *short_id(const char *id, bool full, char buf[static 13])
{
    if (full || strlen(id) <= 12)
        return id;
    memcpy(buf, id, 12);
    buf[12] = '\0';
    return buf;
}

/* docker's words for a state. */
static void status_text(const struct ctr_state *s, char *buf, size_t size)
{
    char since[64];
    bool starts = streq(s->health, "starting");
    switch (s->status) {
    case CTR_RUNNING:
    case CTR_PAUSED:
        time_human(time_now_ns() - s->started_ns, since, sizeof(since));
        snprintf(buf, size,
                 s->status == CTR_PAUSED     ? "Up %s (Paused)"
                 : ctr_state_unsupervised(s) ? "Up %s (unsupervised)"
                 : s->health && *s->health   ? "Up %s (%s%s)"
                                             : "Up %s",
                 since, starts ? "health: " : "", s->health);
        break;
    case CTR_STOPPED:
    case CTR_EXITED:
        /* When is not known if the supervisor was killed. */
        time_human(time_now_ns() - s->finished_ns, since, sizeof(since));
        snprintf(buf, size, s->finished_ns > 0 ? "Exited (%d) %s ago" : "Exited (%d)", s->exit_code,
                 since);
        break;
    case CTR_DEAD:
        snprintf(buf, size, "Dead");
        break;
    case CTR_RESTARTING:
        time_human(time_now_ns() - s->finished_ns, since, sizeof(since));
        snprintf(buf, size, "Restarting (%d) %s ago", s->exit_code, since);
        break;
    case CTR_STARTING:
        snprintf(buf, size, "Starting");
        break;
    default:
        snprintf(buf, size, "Created");
    }
}

static void set_text(json_t *row, const char *key, const char *text)
{
    json_object_set_new(row, key, json_string(text ? text : ""));
}

static void set_number(json_t *row, const char *key, int64_t n)
{
    json_object_set_new(row, key, json_integer(n));
}

static void set_times(json_t *row, const struct ctr_state *s)
{
    char buf[64], ago[80];
    time_human(time_now_ns() - s->created_ns, buf, sizeof(buf));
    snprintf(ago, sizeof(ago), "%s ago", buf);
    set_text(row, "RunningFor", ago);
    set_text(row, "CreatedHuman", ago);
    set_number(row, "Created", s->created_ns / 1000000000);
    set_text(row, "CreatedAt", time_rfc3339(s->created_ns, buf, sizeof(buf)));
    set_number(row, "StartedAt", s->started_ns / 1000000000);
    set_number(row, "ExitedAt", s->finished_ns / 1000000000);
}

static bool as_json(const struct ps_opts *o)
{
    return o->format && (streq(o->format, "json") || streq(o->format, "jsonl"));
}

/* What only the record knows: read for JSON and for templates that name it. */
static bool needs_record(const struct ps_opts *o)
{
    static const char *const fields[] = {"ImageID", "AutoRemove", "Mounts", "CIDFile"};
    for (size_t i = 0; o->format && i < N_ELEMENTS(fields); i++)
        if (strstr(o->format, fields[i]))
            return true;
    return as_json(o);
}

/* podman's form, in its JSON. */
static json_t *ports_json(char *const *ports)
{
    json_t *list = json_array();
    for (char *const *text = ports; text && *text; text++) {
        struct net_port p;
        char address[NET_ADDR_TEXT];
        if (net_port_parse_shown(*text, &p) == 0)
            json_array_append_new(list,
                                  json_pack("{s:s, s:i, s:i, s:i, s:s}", "host_ip",
                                            net_addr_format(&p.addr, address), "container_port",
                                            (int)p.ctr, "host_port", (int)p.host, "range",
                                            (int)p.count, "protocol", net_proto_name(p.proto)));
    }
    return list;
}

static void set_details(json_t *row, const struct ctr_state *s, bool lists)
{
    scoped_container struct container c = {.dir_fd = -1};
    scoped_strv char **mounts = NULL;
    if (container_open_id(cli_conf(), s->id, &c, NULL) < 0)
        return;
    for (size_t i = 0; i < c.rec.n_volumes; i++)
        strv_add(&mounts, c.rec.volumes[i].destination);
    scoped_free char *joined = strv_join(mounts, ",");
    json_object_set_new(row, "Mounts", lists ? json_from_strv(mounts) : json_string(joined));
    json_object_set_new(row, "AutoRemove", json_boolean(c.rec.auto_remove));
    set_text(row, "ImageID", c.rec.image_id);
    set_text(row, "CIDFile", c.rec.cidfile);
    if (!lists)
        return;
    /* podman's JSON has lists where its tables have text */
    json_object_set_new(row, "Command", json_from_strv(c.rec.command));
    json_object_set_new(row, "Networks", json_from_strv(s->networks));
    json_object_set_new(row, "Ports", ports_json(s->ports));
    if (!json_object_get(row, "Size"))
        json_object_set_new(row, "Size", json_null());
}

/* The numbers of the namespaces, as podman's columns name them. */
static void set_namespaces(json_t *row, const struct ctr_state *s)
{
    static const char *const columns[][2] = {
        {"CGROUPNS", "cgroup"}, {"IPC", "ipc"},     {"MNT", "mnt"}, {"NET", "net"},
        {"PIDNS", "pid"},       {"USERNS", "user"}, {"UTS", "uts"},
    };
    for (size_t i = 0; i < N_ELEMENTS(columns); i++) {
        char link[64] = "", *number = NULL;
        scoped_free char *path = xasprintf("/proc/%d/ns/%s", s->pid, columns[i][1]);
        ssize_t n = s->pid > 0 ? readlink(path, link, sizeof(link) - 1) : -1;
        if (n > 0 && (number = strchr(link, '[')))
            number[1 + strspn(number + 1, "0123456789")] = '\0';
        set_text(row, columns[i][0], number ? number + 1 : "");
    }
}

/* One address in each of its networks. */
static char *addresses_of(const struct ctr_state *s)
{
    scoped_strv char **all = NULL;
    struct network_state st;
    network_state_parse(ctr_state_alive(s) ? s->network : NULL, &st);
    for (size_t i = 0; i < st.n_interfaces; i++) {
        const char *a =
            st.interfaces[i].address ? st.interfaces[i].address : st.interfaces[i].address6;
        if (a)
            strv_addf(&all, "%.*s", (int)strcspn(a, "/"), a);
    }
    network_state_release(&st);
    char *text = strv_join(all, ",");
    return text ? text : xstrdup("");
}

static json_t *row_of(const struct ctr_state *s, const struct ps_opts *o)
{
    char id[13], status[128];
    json_t *row = json_object();
    scoped_free char *ports = cli_ports_text(s->ports), *nets = strv_join(s->networks, ",");
    set_text(row, "ID", short_id(s->id, o->no_trunc || as_json(o), id));
    set_text(row, "Id", s->id);
    set_text(row, "Names", s->name);
    set_text(row, "Image", s->image);
    set_text(row, "Command", s->command);
    set_times(row, s);
    status_text(s, status, sizeof(status));
    set_text(row, "Status", status);
    set_text(row, "State", ctr_status_names[s->status]);
    set_number(row, "Pid", s->status == CTR_RUNNING || s->status == CTR_PAUSED ? s->pid : 0);
    set_number(row, "ExitCode", s->exit_code);
    json_object_set_new(row, "Exited",
                        json_boolean(s->status == CTR_EXITED || s->status == CTR_STOPPED));
    set_text(row, "Ports", ports);
    set_text(row, "Networks", nets);
    scoped_free char *addresses = addresses_of(s);
    set_text(row, "IP", addresses);
    json_object_set_new(row, "IsInfra", json_boolean(pod_is_infra(s)));
    set_text(row, "PodName", s->pod);
    set_text(row, "Pod", s->pod_id ? short_id(s->pod_id, o->no_trunc || as_json(o), id) : "");
    set_number(row, "Restarts", s->restart_count);
    json_object_set_new(row, "Labels", json_from_pairs(s->labels));
    json_object_set_new(row, "Namespaces", json_from_pairs(s->namespaces));
    json_object_set_new(row, "Mounts", json_from_strv(NULL));
    set_text(row, "Reason", s->reason);
    if (as_json(o))
        json_object_set_new(row, "Names", json_pack("[s]", s->name ? s->name : ""));
    if (o->ns)
        set_namespaces(row, s);
    if (needs_record(o))
        set_details(row, s, as_json(o));
    return row;
}

/* In a table a command is cut as docker cuts it, and quoted. */
static void shorten_command(json_t *row)
{
    const char *c = json_string_value(json_object_get(row, "Command"));
    char buf[64];
    if (strlen(c) <= 20)
        snprintf(buf, sizeof(buf), "%s", c);
    else
        snprintf(buf, sizeof(buf), "%.19s\xe2\x80\xa6", c);
    json_object_set_new(row, "Command", json_string(buf[0] ? buf : ""));
}

static bool is_shown(const struct ctr_state *s, const struct ps_opts *o, bool status_filter)
{
    if (o->all || o->last_set || status_filter)
        return true;
    return ctr_state_alive(s);
}

/* A member of a pod has the pod's networks, addresses and ports, as inspect and port say it. */
static void share_pod_network(struct ctr_state *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct ctr_state *s = &list[i];
        if (!s->pod_id || pod_is_infra(s) || !strv_has(s->networks, "container"))
            continue;
        for (size_t k = 0; k < n; k++)
            if (streq(list[k].id, s->pod_id)) {
                strv_free(s->networks);
                s->networks = strv_dup(list[k].networks);
                if (!ctr_state_alive(s))
                    break;
                strv_free(s->ports);
                s->ports = strv_dup(list[k].ports);
                json_decref(s->network);
                s->network = json_incref(list[k].network);
            }
    }
}

static int select_rows(struct ps_opts *o, json_t *rows, struct err *e)
{
    struct ctr_state *list = NULL;
    size_t n = 0, taken = 0;
    struct ps_filter f = {0};
    int r = ps_filter_parse(o->filter, &f, e);
    if (r == 0)
        r = container_list(cli_conf(), &list, &n, e);
    if (r == 0)
        r = ps_filter_resolve(&f, list, n, e);
    if (r == 0)
        share_pod_network(list, n);
    if (r == 0 && o->sort)
        r = ps_sort(list, n, o->sort, e);
    size_t limit = o->last_set ? (size_t)o->last : SIZE_MAX;
    for (size_t i = 0; r == 0 && i < n && taken < limit; i++) {
        if (!is_shown(&list[i], o, f.has_status) || !ps_filter_match(&f, &list[i]))
            continue;
        json_array_append_new(rows, row_of(&list[i], o));
        taken++;
    }
    container_list_free(list, n);
    ps_filter_release(&f);
    return r;
}

static void add_ids(const json_t *rows, bool full, struct str *out)
{
    size_t i;
    json_t *row;
    char buf[13];
    json_array_foreach(rows, i, row)
        str_addf(out, "%s\n", short_id(json_string_value(json_object_get(row, "Id")), full, buf));
}

static const char *const ps_headers[] = {
    "ID=CONTAINER ID", "Pod=POD ID", "PodName=PODNAME", "CreatedHuman=CREATED", "Pid=PID",
    "IP=IP",           NULL};

struct sized {
    json_t *row;
    json_int_t bytes;
};

static int by_size(const void *pa, const void *pb)
{
    const struct sized *a = pa, *b = pb;
    return (a->bytes > b->bytes) - (a->bytes < b->bytes);
}

/* What was written, the least first, as podman has it. */
static int sort_by_size(json_t *rows, struct err *e)
{
    int r = cli_size_rows(rows, true, e);
    size_t n = json_array_size(rows), i;
    scoped_free struct sized *all = xcalloc(n + 1, sizeof(*all));
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        json_t *size = json_object_get(row, "Size");
        all[i] =
            (struct sized){json_incref(row), json_integer_value(json_object_get(size, "rwSize"))};
        json_object_set_new(row, "Size", json_null());
    }
    qsort(all, n, sizeof(*all), by_size);
    json_array_clear(rows);
    for (i = 0; i < n; i++)
        json_array_append_new(rows, all[i].row);
    return r;
}

static int render(struct ps_opts *o, const char *table, struct str *out, struct err *e)
{
    scoped_json json_t *rows = json_array();
    int r = select_rows(o, rows, e);
    if (r == 0 && streq(o->sort, "size"))
        r = sort_by_size(rows, e);
    if (r == 0 && o->quiet)
        add_ids(rows, o->no_trunc, out);
    if (r < 0 || o->quiet)
        return r;
    /* A template that asks for the size needs no --size; templates of docker have it. */
    bool size = o->size || (o->format && strstr(o->format, ".Size"));
    if (size && (r = cli_size_rows(rows, as_json(o), e)) < 0)
        return r;
    size_t i;
    json_t *row;
    if (!o->no_trunc && (!o->format || str_after(o->format, "table")))
        json_array_foreach(rows, i, row) shorten_command(row);
    struct format_options f = {o->format, table, ps_headers, o->no_header};
    return format_rows(&f, rows, out, e);
}

static int watch(struct ps_opts *o, const char *table, struct err *e)
{
    struct stats_screen screen SCOPED(stats_screen_close) = {.signal_fd = -1};
    int r = stats_screen_open(&screen, true, e);
    do {
        scoped_str struct str out = STR_INIT;
        r = r < 0 ? r : render(o, table, &out, e);
        if (r == 0)
            stats_screen_draw(&screen, out.s);
    } while (r == 0 && stats_screen_wait(&screen, (int)o->watch * 1000));
    return r;
}

static int print_rows(struct ps_opts *o, const char *table, struct err *e)
{
    scoped_str struct str out = STR_INIT;
    if (o->latest) {
        o->last = 1;
        o->last_set = true;
    }
    if (o->last_set && o->last < 0)
        return err_msg(e, EINVAL, "--last %lld: not a number of containers", (long long)o->last);
    if (o->watch_set && (o->watch < 1 || o->watch > 86400))
        return err_msg(e, EINVAL, "--watch %lld: want seconds, 1 to 86400", (long long)o->watch);
    if (o->watch_set)
        return watch(o, table, e);
    int r = render(o, table, &out, e);
    if (r == 0)
        fputs(out.s, stdout);
    return r;
}

#define PS_COLUMNS                                                                                 \
    "table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.CreatedHuman}}\t{{.Status}}\t{{.Ports}}\t{{."     \
    "Names}}"
#define NS_COLUMNS                                                                                 \
    "table {{.ID}}\t{{.Names}}\t{{.Pid}}\t{{.CGROUPNS}}\t{{.IPC}}\t{{.MNT}}\t{{.NET}}\t{{.PIDNS}}" \
    "\t{{.USERNS}}\t{{.UTS}}"

static int ps(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    struct ps_opts *o = opts;
    (void)cmd;
    (void)args;
    scoped_free char *columns =
        xasprintf("%s%s%s", o->ns ? NS_COLUMNS : PS_COLUMNS, o->size && !o->ns ? "\t{{.Size}}" : "",
                  o->pod ? "\t{{.Pod}}\t{{.PodName}}" : "");
    return print_rows(o, columns, e);
}

/* All containers with what the mission's `list` names (row A63). */
static int list(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    struct ps_opts *o = opts;
    (void)cmd;
    (void)args;
    o->all = true;
    return print_rows(o,
                      "table {{.Names}}\t{{.Status}}\t{{.Image}}\t{{.Pid}}\t{{.IP}}"
                      "\t{{.CreatedHuman}}\t{{.ID}}",
                      e);
}

static const char *const ps_aliases[] = {"ls", "container ps", "container ls", "container list",
                                         NULL};

const struct cmd cli_ps_cmds[] = {
    {
        .name = "ps",
        .args = "",
        .summary = "List containers",
        .opts = ps_table,
        .opts_size = sizeof(struct ps_opts),
        .run = ps,
        .aliases = ps_aliases,
        .examples = "rootlet ps -a\nrootlet ps -q --filter label=web\n"
                    "rootlet ps --format 'table {{.Names}}\\t{{.Status}}'",
    },
    {
        .name = "list",
        .args = "",
        .summary = "List all containers: name, status, image, pid, address, created",
        .opts = ps_table,
        .opts_size = sizeof(struct ps_opts),
        .run = list,
        .examples = "rootlet list",
    },
    {NULL},
};
