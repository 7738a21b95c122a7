/* network_connect - network connect and disconnect: of a running container at once, of each in its
 * record, for the next start. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/network.h"
#include "container/client.h"
#include "events/events.h"
#include "network/plan.h"

struct connect_opts {
    bool force;
    char *ip, *ip6, *mac, *interface;
    char **alias;
};

#define O(m) offsetof(struct connect_opts, m)
#define LATER(n, instead)                                                                          \
    {                                                                                              \
        n, 0, OPT_STRING, 0, "X", instead, OPT_LATER                                               \
    }
static const struct opt connect_table[] = {
    {"alias", 0, OPT_COMMAS, O(alias), "NAME", "Further name of the container in the network"},
    {"interface-name", 0, OPT_STRING, O(interface), "NAME",
     "Name of the interface (eth0, eth1...)"},
    {"ip", 0, OPT_STRING, O(ip), "ADDRESS", "IPv4 address"},
    {"ip6", 0, OPT_STRING, O(ip6), "ADDRESS", "IPv6 address"},
    {"mac-address", 0, OPT_STRING, O(mac), "MAC", "MAC address"},
    LATER("driver-opt", "options are the network's: rootlet network create --opt"),
    LATER("gw-priority", "the first network's gateway is the way out"),
    LATER("link", "the containers of a network find each other by name"),
    LATER("link-local-ip", "--ip and --ip6 give addresses of the network"),
    {NULL},
};
static const struct opt disconnect_table[] = {
    {"force", 'f', OPT_FLAG, O(force), NULL, "From the record, whatever a running container says"},
    {NULL},
};

/* A container whose network is of another kind has no place for it. */
static int check_mode(const struct container *c, const char *name, struct err *e)
{
    const char *mode = c->rec.network.mode;
    if (streq(mode, "networks"))
        return 0;
    if (c->rec.pod_id && streq(mode, "container"))
        return err_hint(e, err_msg(e, EINVAL, "container %s has the network of its pod", name),
                        "the pod's own container, %.12s, can be connected, and with it all of them",
                        c->rec.pod_id);
    return err_hint(
        e, err_msg(e, EINVAL, "container %s has network mode %s", name, mode ? mode : "none"),
        "only those that were made with --network NAME can be connected to others");
}

static int find_join(const struct network_plan *p, const char *network)
{
    for (size_t i = 0; i < p->n_joins; i++)
        if (streq(p->joins[i].network, network))
            return (int)i;
    return -1;
}

/* The supervisor does it when the container runs. 1: it did; 0: it does not run. */
static int ask(const struct container *c, enum proto_type type, const char *text, struct err *e)
{
    if (!ctr_state_alive(&c->state))
        return 0;
    struct proto_head head = {.type = type, .len = (uint32_t)strlen(text)};
    if (head.len > PROTO_MAX_DATA)
        return err_msg(e, E2BIG, "too many aliases");
    int r = container_request(cli_conf(), c->id, &head, text, e);
    return r < 0 ? r : 1;
}

static int add_join(struct network_plan *p, const struct network_join *add, struct err *e)
{
    scoped_json json_t *j = jfield_emit(network_join_fields, add);
    p->joins = xrealloc(p->joins, (p->n_joins + 1) * sizeof(*p->joins));
    p->joins[p->n_joins] = (struct network_join){.network = NULL};
    int r = jfield_parse(j, network_join_fields, "", &p->joins[p->n_joins], e);
    p->n_joins += r == 0;
    return r;
}

static void drop_join(struct network_plan *p, size_t at)
{
    jfield_release(network_join_fields, &p->joins[at]);
    p->n_joins--;
    for (size_t i = at; i < p->n_joins; i++)
        p->joins[i] = p->joins[i + 1];
}

/* ps shows what the record says as long as there is no supervisor, who knows better. */
static int write_both(struct container *c, const struct ctr_record *rec, bool runs, struct err *e)
{
    int r = container_write_record(c->dir_fd, rec, e);
    if (r < 0 || runs)
        return r;
    strv_free(c->state.networks);
    c->state.networks = container_networks(rec);
    return container_write_state(c->dir_fd, &c->state, e);
}

/* Reads the record again with a lock on it, changes and writes it. */
static int change_record(struct container *c, const struct network_join *add, const char *remove,
                         struct err *e)
{
    struct ctr_record rec = {.id = NULL};
    bool runs = ctr_state_alive(&c->state);
    scoped_fd int lock = runs ? -1 : container_lock(cli_conf(), c->id, e);
    int r = !runs && lock < 0 ? lock : container_lock_dir(cli_conf(), c, e);
    if (r == 0)
        r = container_read_record(c->dir_fd, &rec, e);
    if (r < 0)
        return r;
    int at = find_join(&rec.network, add ? add->network : remove);
    if (!add && at >= 0)
        drop_join(&rec.network, (size_t)at);
    else if (add && at < 0)
        r = add_join(&rec.network, add, e);
    if (r == 0)
        r = write_both(c, &rec, runs, e);
    ctr_record_release(&rec);
    (void)flock(c->dir_fd, LOCK_UN);
    return r;
}

static int make_join(const struct connect_opts *o, const char *network,
                     const struct ctr_record *rec, struct network_join *j, struct err *e)
{
    scoped_free char *interface =
        o->interface ? xasprintf("interface_name=%s", o->interface) : NULL;
    j->network = xstrdup(network);
    int r = o->ip ? network_join_ip(j, o->ip, e) : 0;
    if (r == 0 && o->ip6)
        r = network_join_ip(j, o->ip6, e);
    if (r == 0 && o->mac)
        r = network_join_mac(j, o->mac, e);
    if (r == 0 && interface)
        r = network_join_options(j, interface, "--interface-name", e);
    for (char **a = o->alias; r == 0 && a && *a; a++) {
        r = network_check_alias(*a, e);
        if (r == 0)
            strv_add(&j->aliases, *a);
    }
    if (rec->pod_infra && !strv_has(j->aliases, rec->pod)) /* as in its first network */
        strv_add(&j->aliases, rec->pod);
    return r;
}

/* The container in front of the network? */
static int hint_order(char **args, int r, struct err *e)
{
    scoped_network_config struct network_config n = {.name = NULL};
    scoped_container struct container c = {.dir_fd = -1};
    if (network_open(cli_conf(), args[1], &n, NULL) < 0 ||
        container_open(cli_conf(), args[0], &c, NULL) < 0)
        return r;
    err_clear(e);
    return err_hint(e, err_msg(e, ENOENT, "no such network: %s", args[0]),
                    "the network comes first: %s %s", args[1], args[0]);
}

/* Both are there, and the container is of the right kind. */
static int open_both(char **args, struct network_config *n, struct container *c, struct err *e)
{
    int r = network_open(cli_conf(), args[0], n, e);
    if (r == -ENOENT)
        return hint_order(args, r, e);
    if (r == 0)
        r = container_open(cli_conf(), args[1], c, e);
    return r == 0 ? check_mode(c, args[1], e) : r;
}

static int connect_to(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    scoped_network_config struct network_config n = {.name = NULL};
    scoped_container struct container c = {.dir_fd = -1};
    struct network_join j = {.network = NULL};
    (void)cmd;
    int r = open_both(args, &n, &c, e);
    if (r == 0 && find_join(&c.rec.network, n.name) >= 0)
        r = err_msg(e, EEXIST, "container %s is connected to network %s already", args[1], n.name);
    if (r == 0)
        r = make_join(opts, n.name, &c.rec, &j, e);
    if (r == 0)
        r = network_join_check(&j, &n, e);
    if (r == 0) {
        scoped_json json_t *json = jfield_emit(network_join_fields, &j);
        scoped_free char *text = json_text(json, false);
        r = ask(&c, PROTO_NETWORK_CONNECT, text, e);
    }
    if (r >= 0)
        r = change_record(&c, &j, NULL, e);
    jfield_release(network_join_fields, &j);
    if (r == 0)
        event_named(cli_conf(), "network", "connect", c.id, n.name);
    return r < 0 ? err_add(e, r, "network connect") : 0;
}

static int disconnect(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct connect_opts *o = opts;
    scoped_network_config struct network_config n = {.name = NULL};
    scoped_container struct container c = {.dir_fd = -1};
    (void)cmd;
    int r = open_both(args, &n, &c, e);
    if (r == 0 && find_join(&c.rec.network, n.name) < 0)
        r = err_msg(e, ENOENT, "container %s is not connected to network %s", args[1], n.name);
    if (r == 0) {
        r = ask(&c, PROTO_NETWORK_DISCONNECT, n.name, e);
        if (r < 0 && o->force) {
            err_clear(e);
            r = 0;
        }
    }
    if (r >= 0)
        r = change_record(&c, NULL, n.name, e);
    if (r == 0)
        event_named(cli_conf(), "network", "disconnect", c.id, n.name);
    return r < 0 ? err_add(e, r, "network disconnect") : 0;
}

const struct cmd cli_network_connect_cmds[] = {
    {
        .name = "network connect",
        .args = "NETWORK CONTAINER",
        .summary = "Make a container a member of one more network, also while it runs",
        .opts = connect_table,
        .opts_size = sizeof(struct connect_opts),
        .min_args = 2,
        .max_args = 2,
        .run = connect_to,
        .examples = "rootlet network connect back web\n"
                    "rootlet network connect --ip 172.20.0.9 --alias cache lab web",
    },
    {
        .name = "network disconnect",
        .args = "NETWORK CONTAINER",
        .summary = "Take a container out of a network, also while it runs",
        .opts = disconnect_table,
        .opts_size = sizeof(struct connect_opts),
        .min_args = 2,
        .max_args = 2,
        .run = disconnect,
        .examples = "rootlet network disconnect back web",
    },
    {NULL},
};
