/* pod_ls - pod ps and inspect. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>

#include "base/timefmt.h"
#include "cli/cli.h"
#include "cli/filter.h"
#include "cli/inspect.h"
#include "cli/pod.h"
#include "format/format.h"

struct ls_opts {
    bool quiet, no_header, no_trunc, latest, ctr_names, ctr_ids, ctr_status, all;
    char **filter;
    char *format, *sort;
};

#define O(m) offsetof(struct ls_opts, m)
static const struct opt ps_table[] = {
    {"ctr-ids", 0, OPT_FLAG, O(ctr_ids), NULL, "Show the ids of the containers"},
    {"ctr-names", 0, OPT_FLAG, O(ctr_names), NULL, "Show the names of the containers"},
    {"ctr-status", 0, OPT_FLAG, O(ctr_status), NULL, "Show the states of the containers"},
    {"filter", 'f', OPT_STRV, O(filter), "KEY=VALUE",
     "id, name, status, label, ctr-names, ctr-ids, ctr-status or ctr-number"},
    {"format", 0, OPT_STRING, O(format), "TEMPLATE", "json, jsonl, table ..., or a Go template"},
    {"latest", 'l', OPT_FLAG, O(latest), NULL, "The one created last"},
    {"no-trunc", 0, OPT_FLAG, O(no_trunc), NULL, "Full ids"},
    {"noheading", 'n', OPT_FLAG, O(no_header), NULL, "No line of titles"},
    {"quiet", 'q', OPT_FLAG, O(quiet), NULL, "Ids only"},
    {NULL},
};
static const struct opt inspect_table[] = {
    {"format", 'f', OPT_STRING, O(format), "TEMPLATE", "json, or a Go template"},
    {"latest", 'l', OPT_FLAG, O(latest), NULL, "The one created last"},
    {NULL},
};

/* --- filters --- */

static const char *const keys[] = {"id",      "name",       "status",     "label", "ctr-names",
                                   "ctr-ids", "ctr-status", "ctr-number", NULL};

static int check_filters(const struct ls_opts *o, struct err *e)
{
    for (char **f = o->filter; f && *f; f++) {
        scoped_free char *key = NULL;
        int r = filter_check(*f, keys, &key, e);
        if (r < 0)
            return r;
        if (streq(key, "name") && filter_name("", filter_value(*f)) < 0)
            return err_msg(e, EINVAL, "--filter %s: not a regular expression", *f);
    }
    return 0;
}

static bool some_member(const struct pod *p, const char *key, const char *value)
{
    for (size_t i = 0; i < p->n; i++) {
        const struct ctr_state *s = p->members[i];
        if (streq(key, "ctr-names") ? strstr(s->name, value) != NULL
            : streq(key, "ctr-ids") ? str_after(s->id, value) != NULL
                                    : streq(ctr_status_names[s->status], value))
            return true;
    }
    return false;
}

static bool term_matches(const void *data, const char *key, const char *value)
{
    const struct pod *p = data;
    const struct ctr_record *rec = &p->infra.rec;
    uint32_t number = 0;
    if (streq(key, "id"))
        return str_after(p->infra.id, value) != NULL;
    if (streq(key, "name"))
        return filter_name(rec->pod, value) > 0;
    if (streq(key, "status"))
        return strcasecmp(pod_status(p), value) == 0;
    if (streq(key, "label"))
        return filter_label(rec->labels, value);
    if (streq(key, "ctr-number")) /* podman counts the infra, too */
        return parse_u32(value, &number) == 0 && number == p->n + 1;
    return some_member(p, key, value);
}

/* --- ps --- */

static const char *cut(const char *id, bool full, char buf[static 13])
{
    snprintf(buf, 13, "%.12s", id);
    return full ? id : buf;
}

static json_t *containers_json(const struct pod *p, const char *name_key, const char *state_key)
{
    json_t *list = json_array();
    json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "Id", p->infra.id, name_key,
                                          p->infra.state.name, state_key,
                                          ctr_status_names[p->infra.state.status]));
    for (size_t i = p->n; i-- > 0;)
        json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "Id", p->members[i]->id, name_key,
                                              p->members[i]->name, state_key,
                                              ctr_status_names[p->members[i]->status]));
    return list;
}

/* One property of all containers, as the columns --ctr-names and its like show it. */
static char *column(const json_t *containers, const char *key, bool shorten)
{
    scoped_strv char **v = NULL;
    size_t i;
    json_t *c;
    json_array_foreach(containers, i, c)
    {
        const char *text = json_string_value(json_object_get(c, key));
        strv_addf(&v, "%.*s", shorten ? 12 : 999, text);
    }
    return strv_join(v, ",");
}

static json_t *row_of(const struct pod *p, const struct ls_opts *o)
{
    char id[13], created[64], ago[80], when[64];
    bool json = o->format && (streq(o->format, "json") || streq(o->format, "jsonl"));
    const struct ctr_record *rec = &p->infra.rec;
    const char *full = cut(p->infra.id, o->no_trunc || json, id);
    scoped_json json_t *all = containers_json(p, "Names", "Status");
    scoped_free char *names = column(all, "Names", false), *states = column(all, "Status", false);
    scoped_free char *ids = column(all, "Id", !o->no_trunc);
    time_human(time_now_ns() - rec->created_ns, created, sizeof(created));
    snprintf(ago, sizeof(ago), "%s ago", created);
    scoped_strv char **networks = container_networks(rec);
    json_t *row = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:s, s:O, s:o, s:o}", "ID", full, "Id",
        p->infra.id, "Name", rec->pod, "Status", pod_status(p), "CreatedHuman", ago, "Created",
        time_rfc3339(rec->created_ns, when, sizeof(when)), "InfraID", full, "NumberOfContainers",
        (int)p->n + 1, "Cgroup", rec->cgroup_parent ? rec->cgroup_parent : "", "Containers", all,
        "Labels", json_from_pairs(rec->labels), "Networks", json_from_strv(networks));
    json_object_set_new(row, "InfraId", json_string(p->infra.id));
    json_object_set_new(row, "Namespace", json_string(""));
    json_object_set_new(row, "ContainerNames", json_string(names));
    json_object_set_new(row, "ContainerIds", json_string(ids));
    json_object_set_new(row, "ContainerStatuses", json_string(states));
    return row;
}

static const char *const headers[] = {"ID=POD ID",
                                      "CreatedHuman=CREATED",
                                      "InfraID=INFRA ID",
                                      "NumberOfContainers=# OF CONTAINERS",
                                      "ContainerNames=NAMES",
                                      "ContainerIds=IDS",
                                      "ContainerStatuses=STATES",
                                      NULL};

static int print(const struct ls_opts *o, const json_t *rows, struct err *e)
{
    scoped_str struct str out = STR_INIT, table = STR_INIT;
    str_add(&table, "table {{.ID}}\t{{.Name}}\t{{.Status}}\t{{.CreatedHuman}}\t{{.InfraID}}");
    if (o->ctr_names || o->ctr_ids || o->ctr_status)
        str_addf(&table, "%s%s%s", o->ctr_ids ? "\t{{.ContainerIds}}" : "",
                 o->ctr_names ? "\t{{.ContainerNames}}" : "",
                 o->ctr_status ? "\t{{.ContainerStatuses}}" : "");
    else
        str_add(&table, "\t{{.NumberOfContainers}}");
    struct format_options f = {o->quiet ? "{{.ID}}" : o->format, table.s, headers, o->no_header};
    int r = format_rows(&f, rows, &out, e);
    if (r == 0)
        fputs(out.s, stdout);
    return r;
}

static int ps(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct ls_opts *o = opts;
    scoped_pod_set struct pod_set set = {.n = 0};
    scoped_json json_t *rows = json_array();
    (void)cmd, (void)args;
    int r = check_filters(o, e);
    if (r == 0)
        r = pod_set_load(cli_conf(), &set, e);
    for (size_t i = 0; r == 0 && i < set.n; i++)
        if (filter_match(o->filter, term_matches, &set.v[i]) &&
            !(o->latest && json_array_size(rows)))
            json_array_append_new(rows, row_of(&set.v[i], o));
    return r < 0 ? r : print(o, rows, e);
}

/* --- inspect --- */

static json_t *infra_json(const struct ctr_record *rec)
{
    const struct network_plan *n = &rec->network;
    const struct network_join *first = n->n_joins ? &n->joins[0] : NULL;
    scoped_strv char **networks = container_networks(rec);
    json_t *j = json_pack("{s:o, s:b, s:s, s:s, s:s, s:s}", "PortBindings",
                          inspect_port_bindings(n), "HostNetwork", streq(n->mode, "host"),
                          "StaticIP", first && first->ip ? first->ip : "", "StaticMAC",
                          first && first->mac ? first->mac : "", "NetworkMode",
                          n->mode ? n->mode : "", "userns", rec->userns ? rec->userns : "");
    json_object_set_new(j, "NoManageHosts", json_boolean(n->no_hosts));
    json_object_set_new(j, "DNSServer", json_from_strv(n->dns));
    json_object_set_new(j, "DNSSearch", json_from_strv(n->dns_search));
    json_object_set_new(j, "DNSOption", json_from_strv(n->dns_options));
    json_object_set_new(j, "HostAdd", json_from_strv(n->add_hosts));
    json_object_set_new(j, "Networks", json_from_strv(n->n_joins ? networks : NULL));
    return j;
}

/* podman's keys, in its order. */
static json_t *pod_json(const struct pod *p, struct err *e)
{
    char when[64];
    const struct ctr_record *rec = &p->infra.rec;
    scoped_spec struct spec spec = {0};
    if (container_read_spec(p->infra.dir_fd, &spec, e) < 0)
        return NULL;
    json_t *j =
        json_pack("{s:s, s:s, s:s, s:o, s:s, s:s, s:s, s:o}", "Id", p->infra.id, "Name", rec->pod,
                  "Created", time_rfc3339(rec->created_ns, when, sizeof(when)), "CreateCommand",
                  json_from_strv(rec->create_command), "ExitPolicy",
                  rec->pod_exit ? rec->pod_exit : "continue", "State", pod_status(p), "Hostname",
                  spec.hostname ? spec.hostname : "", "Labels", json_from_pairs(rec->labels));
    json_object_set_new(j, "CreateCgroup", json_boolean(rec->cgroup_parent != NULL));
    json_object_set_new(j, "CgroupParent",
                        json_string(rec->cgroup_parent ? rec->cgroup_parent : ""));
    json_object_set_new(j, "CreateInfra", json_true());
    json_object_set_new(j, "InfraContainerID", json_string(p->infra.id));
    json_object_set_new(j, "InfraConfig", infra_json(rec));
    json_object_set_new(j, "SharedNamespaces", json_from_strv(rec->pod_share));
    json_object_set_new(j, "NumContainers", json_integer((json_int_t)p->n + 1));
    json_object_set_new(j, "Containers", containers_json(p, "Name", "State"));
    return j;
}

static int inspect_one(const struct pod_set *set, const char *ref, json_t *all, struct err *e)
{
    const struct pod *p = NULL;
    int r = ref ? pod_find(set, ref, &p, e) : 0;
    if (r == 0 && !ref)
        p = set->n ? &set->v[0] : NULL;
    if (r == 0 && !p)
        r = err_msg(e, ENOENT, "there is no pod");
    json_t *j = r == 0 ? pod_json(p, e) : NULL;
    if (!j)
        return r < 0 ? r : -EIO;
    json_array_append_new(all, j);
    return 0;
}

static int inspect(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct ls_opts *o = opts;
    scoped_pod_set struct pod_set set = {.n = 0};
    scoped_json json_t *all = json_array();
    scoped_str struct str out = STR_INIT;
    struct err none = ERR_INIT;
    (void)cmd;
    if (!o->latest && !*args)
        return err_hint(e, err_msg(e, EINVAL, "no pod given"), "names or ids, or --latest");
    int worst = pod_set_load(cli_conf(), &set, e);
    if (worst == 0 && o->latest)
        worst = inspect_one(&set, NULL, all, e);
    for (char **a = args; *a; a++) {
        int r = inspect_one(&set, *a, all, worst < 0 ? &none : e);
        worst = worst < 0 ? worst : r;
    }
    int r = format_objects(o->format, all, &out, worst < 0 ? &none : e);
    if (r == 0)
        fputs(out.s, stdout);
    return worst < 0 ? worst : r;
}

static const char *const ps_aliases[] = {"pod ls", "pod list", NULL};

const struct cmd cli_pod_ls_cmds[] = {
    {
        .name = "pod ps",
        .args = "",
        .summary = "List pods",
        .opts = ps_table,
        .opts_size = sizeof(struct ls_opts),
        .run = ps,
        .aliases = ps_aliases,
        .examples = "rootlet pod ps\nrootlet pod ps --ctr-names --filter label=web",
    },
    {
        .name = "pod inspect",
        .args = "POD [POD...]",
        .summary = "Show everything about pods as JSON",
        .opts = inspect_table,
        .opts_size = sizeof(struct ls_opts),
        .max_args = -1,
        .run = inspect,
        .examples = "rootlet pod inspect web\nrootlet pod inspect -f '{{.State}}' web",
    },
    {NULL},
};
