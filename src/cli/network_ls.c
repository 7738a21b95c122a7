/* network_ls - network ls and inspect, and the filters. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/timefmt.h"
#include "cli/cli.h"
#include "cli/filter.h"
#include "cli/network.h"
#include "format/format.h"
#include "network/run.h"

struct ls_opts {
    bool quiet, no_header, no_trunc, all, verbose;
    char **filter;
    char *format;
};

#define O(m) offsetof(struct ls_opts, m)
static const struct opt ls_table[] = {
    {"filter", 'f', OPT_STRV, O(filter), "KEY=VALUE",
     "name, id, driver, label, dangling, until, scope or type"},
    {"format", 0, OPT_STRING, O(format), "TEMPLATE", "json, jsonl, table ..., or a Go template"},
    {"no-trunc", 0, OPT_FLAG, O(no_trunc), NULL, "Full ids"},
    {"noheading", 'n', OPT_FLAG, O(no_header), NULL, "No line of titles"},
    {"quiet", 'q', OPT_FLAG, O(quiet), NULL, "Names only"},
    {NULL},
};
static const struct opt inspect_table[] = {
    {"all", 'a', OPT_FLAG, O(all), NULL, "All networks"},
    {"format", 'f', OPT_STRING, O(format), "TEMPLATE", "json, or a Go template"},
    {"verbose", 'v', OPT_FLAG, O(verbose), NULL, "For docker's sake, does nothing", OPT_IGNORED},
    {NULL},
};

/* --- filters --- */

static const char *const keys[] = {"name",  "id",    "driver", "label", "dangling",
                                   "until", "scope", "type",   NULL};

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
    if (streq(key, "dangling") && parse_bool(filter_value(term), &yes) < 0)
        return err_msg(e, EINVAL, "--filter %s: not true or false", term);
    if (streq(key, "until") && time_parse(filter_value(term), &when) < 0)
        return err_msg(e, EINVAL, "--filter %s: not a time", term);
    *ret_dangling |= streq(key, "dangling");
    return 0;
}

int network_filter_parse(char *const *terms, struct network_filter *ret, struct err *e)
{
    bool dangling = false;
    struct network_filter f = {NULL};
    for (char *const *t = terms; t && *t; t++) {
        int r = check_term(*t, &dangling, e);
        if (r < 0)
            return r;
    }
    int r = dangling ? cli_networks_used(&f.used, e) : 0;
    if (r < 0)
        return r;
    f.terms = strv_dup(terms);
    *ret = f;
    return 0;
}

void network_filter_release(struct network_filter *f)
{
    strv_free(f->terms);
    strv_free(f->used);
}

struct candidate {
    const struct network_filter *f;
    const struct network_config *n;
};

static bool term_matches(const void *data, const char *key, const char *value)
{
    const struct candidate *c = data;
    const struct network_config *n = c->n;
    bool yes = false;
    int64_t when = 0;
    if (streq(key, "name"))
        return filter_name(n->name, value) > 0;
    if (streq(key, "scope")) /* docker's: there is no swarm, and none is built in */
        return streq(value, "local");
    if (streq(key, "type"))
        return streq(value, "custom");
    if (streq(key, "id"))
        return strstr(n->id, value) == n->id;
    if (streq(key, "driver"))
        return streq(n->driver, value);
    if (streq(key, "label"))
        return filter_label(n->labels, value);
    if (streq(key, "until"))
        return time_parse(value, &when) == 0 && n->created_ns < when;
    return parse_bool(value, &yes) == 0 && yes == !strv_has(c->f->used, n->name);
}

bool network_filter_match(const struct network_filter *f, const struct network_config *n)
{
    return filter_match(f->terms, term_matches, &(struct candidate){f, n});
}

/* --- as JSON --- */

static void set_text(json_t *j, const char *key, const char *text)
{
    json_object_set_new(j, key, json_string(text ? text : ""));
}

static void set_flag(json_t *j, const char *key, bool on)
{
    json_object_set_new(j, key, json_boolean(on));
}

static void add_subnets(const struct network_config *n, json_t *j)
{
    json_t *podman = json_array(), *docker = json_array();
    for (size_t i = 0; i < n->n_subnets; i++) {
        const struct network_subnet *s = &n->subnets[i];
        struct network_range range;
        char first[NET_ADDR_TEXT], last[NET_ADDR_TEXT];
        json_t *p = json_object(), *d = json_object();
        set_text(p, "subnet", s->subnet);
        set_text(d, "Subnet", s->subnet);
        if (s->gateway) {
            set_text(p, "gateway", s->gateway);
            set_text(d, "Gateway", s->gateway);
        }
        if (s->range && network_subnet_range(s, &range, NULL) == 0) {
            json_object_set_new(p, "lease_range",
                                json_pack("{s:s, s:s}", "start_ip",
                                          net_addr_format(&range.first, first), "end_ip",
                                          net_addr_format(&range.last, last)));
            set_text(d, "IPRange", s->range);
        }
        json_array_append_new(podman, p);
        json_array_append_new(docker, d);
    }
    json_object_set_new(j, "subnets", podman);
    json_object_set_new(
        j, "IPAM", json_pack("{s:s, s:o, s:{}}", "Driver", "default", "Config", docker, "Options"));
    json_object_set_new(j, "ipam_options", json_pack("{s:s}", "driver", "host-local"));
}

/* podman's keys, and docker's; those of templates are podman's Go names. */
static json_t *network_json(const struct network_config *n, bool full)
{
    char when[64];
    scoped_free char *bridge = xstrdup(network_option(n, "bridge"));
    json_t *j = json_object();
    if (!bridge)
        bridge = xstrndup(n->name, 15);
    time_rfc3339(n->created_ns, when, sizeof(when));
    set_text(j, "name", n->name);
    set_text(j, "id", n->id);
    set_text(j, "driver", n->driver);
    set_text(j, "network_interface", bridge);
    set_text(j, "created", when);
    add_subnets(n, j);
    set_flag(j, "ipv6_enabled", n->ipv6);
    set_flag(j, "internal", n->internal);
    set_flag(j, "dns_enabled", n->dns_enabled);
    json_object_set_new(j, "network_dns_servers", json_from_strv(n->dns));
    json_object_set_new(j, "egress", json_from_strv(n->egress));
    json_object_set_new(j, "labels", json_from_pairs(n->labels));
    json_object_set_new(j, "options", json_from_pairs(n->options));
    set_text(j, "Name", n->name);
    set_text(j, "Id", n->id);
    json_object_set_new(j, "ID", json_stringn(n->id, full ? strlen(n->id) : 12));
    set_text(j, "Driver", n->driver);
    set_text(j, "Scope", "local");
    set_text(j, "Created", when);
    set_text(j, "CreatedAt", when);
    set_text(j, "NetworkInterface", bridge);
    set_flag(j, "EnableIPv6", n->ipv6);
    set_flag(j, "IPv6Enabled", n->ipv6);
    set_flag(j, "IPv6", n->ipv6);
    set_flag(j, "Internal", n->internal);
    set_flag(j, "DNSEnabled", n->dns_enabled);
    json_object_set(j, "NetworkDNSServers", json_object_get(j, "network_dns_servers"));
    json_object_set(j, "IPAMOptions", json_object_get(j, "ipam_options"));
    json_object_set(j, "Subnets", json_object_get(json_object_get(j, "IPAM"), "Config"));
    json_object_set(j, "Labels", json_object_get(j, "labels"));
    json_object_set(j, "Options", json_object_get(j, "options"));
    return j;
}

static json_t *net_json(const char *address, const char *gateway)
{
    json_t *j = json_pack("{s:s}", "ipnet", address);
    if (gateway)
        set_text(j, "gateway", gateway);
    return j;
}

static void add_member(const struct ctr_state *s, const struct network_interface *i, json_t *j)
{
    json_t *podman = json_object_get(json_object_get(j, "containers"), s->id);
    json_t *nets = json_array();
    if (!podman) {
        podman = json_pack("{s:s, s:{}}", "name", s->name ? s->name : "", "interfaces");
        json_object_set_new(json_object_get(j, "containers"), s->id, podman);
    }
    if (i->address)
        json_array_append_new(nets, net_json(i->address, i->gateway));
    if (i->address6)
        json_array_append_new(nets, net_json(i->address6, i->gateway6));
    json_object_set_new(
        json_object_get(podman, "interfaces"), i->name ? i->name : "",
        json_pack("{s:o, s:s}", "subnets", nets, "mac_address", i->mac ? i->mac : ""));
    json_object_set_new(json_object_get(j, "Containers"), s->id,
                        json_pack("{s:s, s:s, s:s, s:s, s:s}", "Name", s->name ? s->name : "",
                                  "EndpointID", "", "MacAddress", i->mac ? i->mac : "",
                                  "IPv4Address", i->address ? i->address : "", "IPv6Address",
                                  i->address6 ? i->address6 : ""));
}

/* Who is in it now: the states say it. */
static int add_members(const char *name, json_t *j, struct err *e)
{
    struct ctr_state *list = NULL;
    size_t n = 0;
    json_object_set_new(j, "containers", json_object());
    json_object_set_new(j, "Containers", json_object());
    int r = container_list(cli_conf(), &list, &n, e);
    for (size_t i = 0; r == 0 && i < n; i++) {
        struct network_state st;
        if (!ctr_state_alive(&list[i]) || !strv_has(list[i].networks, name))
            continue;
        network_state_parse(list[i].network, &st);
        for (size_t k = 0; k < st.n_interfaces; k++)
            if (streq(st.interfaces[k].network, name))
                add_member(&list[i], &st.interfaces[k], j);
        network_state_release(&st);
    }
    container_list_free(list, n);
    return r;
}

/* --- ls and inspect --- */

static int rows_of(const struct ls_opts *o, json_t *rows, struct err *e)
{
    struct network_filter f SCOPED(network_filter_release) = {NULL};
    struct network_config *list = NULL;
    size_t n = 0;
    int r = network_filter_parse(o->filter, &f, e);
    if (r == 0)
        r = network_list(cli_conf(), &list, &n, e);
    for (size_t i = 0; r == 0 && i < n; i++) {
        if (!network_filter_match(&f, &list[i]))
            continue;
        json_t *j = network_json(&list[i], o->no_trunc);
        json_array_append_new(rows, j);
        if (o->all)
            r = add_members(list[i].name, j, e);
    }
    network_list_free(list, n);
    return r;
}

static const char *const ls_headers[] = {"ID=NETWORK ID", NULL};

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
    struct format_options f = {o->quiet ? "{{.Name}}" : o->format,
                               "table {{.ID}}\t{{.Name}}\t{{.Driver}}", ls_headers, o->no_header};
    if (r == 0)
        r = format_rows(&f, rows, &out, e);
    if (r == 0)
        fputs(out.s, stdout);
    return r;
}

static int inspect_one(const char *ref, json_t *all, struct err *e)
{
    scoped_network_config struct network_config n = {.name = NULL};
    int r = network_open(cli_conf(), ref, &n, e);
    if (r < 0)
        return r;
    json_t *j = network_json(&n, true);
    json_array_append_new(all, j);
    return add_members(n.name, j, e);
}

static int inspect(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    struct ls_opts *o = opts;
    scoped_json json_t *all = json_array();
    scoped_str struct str out = STR_INIT;
    struct err none = ERR_INIT;
    int worst = 0;
    (void)cmd;
    if (!o->all && !*args)
        return err_hint(e, err_msg(e, EINVAL, "no network given"), "names, or --all");
    o->no_trunc = true;
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

static const char *const ls_aliases[] = {"network list", NULL};

const struct cmd cli_network_ls_cmds[] = {
    {
        .name = "network ls",
        .args = "",
        .summary = "List networks",
        .opts = ls_table,
        .opts_size = sizeof(struct ls_opts),
        .run = ls,
        .aliases = ls_aliases,
        .examples = "rootlet network ls\nrootlet network ls -q --filter dangling=true",
    },
    {
        .name = "network inspect",
        .args = "NETWORK [NETWORK...]",
        .summary = "Show everything about networks as JSON",
        .opts = inspect_table,
        .opts_size = sizeof(struct ls_opts),
        .max_args = -1,
        .run = inspect,
        .examples = "rootlet network inspect web\n"
                    "rootlet network inspect -f '{{range .subnets}}{{.subnet}} {{end}}' web",
    },
    {NULL},
};
