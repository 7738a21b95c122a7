/* network - network create, rm, prune and exists; the lists are in network_ls.c, connect and
 * disconnect in network_connect.c. */
#include "cli/network.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/prune.h"
#include "cli/cli.h"
#include "events/events.h"
#include "net/egress.h"
#include "network/bridge.h"

#define BRIDGE_FAILED_HINT                                                                         \
    "bridges are set up on this host, so nothing else takes the place of one; try again, "         \
    "rootlet doctor tells more"

struct create_opts {
    bool internal, ipv6, disable_dns, ignore, ignored;
    char *driver, *interface, *ipam_driver;
    char **subnet, **gateway, **range, **opt, **dns, **label, **egress;
};

#define O(m) offsetof(struct create_opts, m)
#define LATER(n, instead)                                                                          \
    {                                                                                              \
        n, 0, OPT_STRING, 0, "X", instead, OPT_LATER                                               \
    }
static const struct opt create_table[] = {
    {"attachable", 0, OPT_FLAG, O(ignored), NULL, "For docker's sake, does nothing", OPT_IGNORED},
    {"disable-dns", 0, OPT_FLAG, O(disable_dns), NULL, "No names for its containers"},
    {"dns", 0, OPT_STRV, O(dns), "ADDRESS", "Name server that is asked for other names"},
    {"driver", 'd', OPT_STRING, O(driver), "NAME",
     "user (default), or bridge: on the host, where rootlet-net-helper is set up"},
    {"egress", 0, OPT_STRV, O(egress), "POLICY",
     "Where its containers may connect to: allow=NAME|CIDR[:PORT],... or deny"},
    {"gateway", 0, OPT_STRV, O(gateway), "ADDRESS", "Address of the gateway (the subnet's first)"},
    {"ignore", 0, OPT_FLAG, O(ignore), NULL, "One that exists already is fine"},
    {"interface-name", 0, OPT_STRING, O(interface), "NAME", "Name of the bridge"},
    {"internal", 0, OPT_FLAG, O(internal), NULL, "No way out of it"},
    {"ip-range", 0, OPT_STRV, O(range), "RANGE",
     "Where addresses are taken from: ADDRESS/BITS or FIRST-LAST"},
    {"ipam-driver", 0, OPT_STRING, O(ipam_driver), "NAME", "host-local, the only one"},
    {"ipv6", 0, OPT_FLAG, O(ipv6), NULL, "IPv6 addresses, too"},
    {"label", 0, OPT_STRV, O(label), "KEY[=VALUE]", "Set a label"},
    {"opt", 'o', OPT_STRV, O(opt), "KEY=VALUE", "mtu=N or bridge=NAME"},
    {"subnet", 0, OPT_STRV, O(subnet), "ADDRESS/BITS", "Addresses of the network (a free range)"},
    LATER("aux-address", "--ip-range keeps leases away from addresses"),
    LATER("config-from", "networks are made by their options"),
    LATER("config-only", "networks are made by their options"),
    LATER("ingress", "there is no swarm"),
    LATER("ipam-opt", "--subnet, --gateway and --ip-range say where addresses come from"),
    LATER("route", "the members' only route is that by the gateway"),
    LATER("scope", "every network is local"),
    {NULL},
};

/* docker's names of options, and those that say what is so anyway. NULL: nothing to keep. */
static char *own_option(const char *option)
{
    static const struct {
        const char *theirs, *ours;
    } names[] = {
        {"com.docker.network.driver.mtu=", "mtu="},
        {"com.docker.network.bridge.name=", "bridge="},
    };
    if (str_after(option, "com.docker.network.bridge.enable_icc=true") ||
        str_after(option, "com.docker.network.bridge.enable_ip_masquerade=true"))
        return NULL;
    for (size_t i = 0; i < N_ELEMENTS(names); i++) {
        const char *value = str_after(option, names[i].theirs);
        if (value)
            return xasprintf("%s%s", names[i].ours, value);
    }
    return xstrdup(option);
}

/* "KEY" is "KEY=", as with containers. */
static int add_labels(struct network_config *n, char *const *labels, struct err *e)
{
    for (char *const *v = labels; v && *v; v++) {
        scoped_free char *pair = strchr(*v, '=') ? xstrdup(*v) : xasprintf("%s=", *v);
        if (*pair == '=')
            return err_msg(e, EINVAL, "--label %s: no key", *v);
        strv_env_set(&n->labels, pair);
    }
    return 0;
}

static int add_options(struct network_config *n, const struct create_opts *o, struct err *e)
{
    scoped_free char *bridge = o->interface ? xasprintf("bridge=%s", o->interface) : NULL;
    for (char **v = o->opt; v && *v; v++) {
        scoped_free char *option = own_option(*v);
        if (option && (!strchr(option, '=') || *option == '='))
            return err_msg(e, EINVAL, "--opt %s: not KEY=VALUE", *v);
        if (option)
            strv_env_set(&n->options, option);
    }
    if (bridge)
        strv_env_set(&n->options, bridge);
    return 0;
}

/* The subnet that an address or a range is of: the one that holds it. */
static struct network_subnet *subnet_of(struct network_config *n, const char *flag,
                                        const char *text, struct err *e)
{
    struct net_addr a;
    struct net_cidr c;
    scoped_free char *first = xstrndup(text, strcspn(text, "/-"));
    if (net_addr_parse(first, &a) < 0) {
        err_msg(e, EINVAL, "%s %s: not an address", flag, text);
        return NULL;
    }
    for (size_t i = 0; i < n->n_subnets; i++)
        if (net_cidr_parse(n->subnets[i].subnet, &c) == 0 && net_cidr_contains(&c, &a))
            return &n->subnets[i];
    err_hint(e, err_msg(e, EINVAL, "%s %s: it is of no --subnet", flag, text),
             "it goes with --subnet ADDRESS/BITS, and must be inside");
    return NULL;
}

static int add_subnets(struct network_config *n, const struct create_opts *o, struct err *e)
{
    size_t count = strv_len(o->subnet);
    n->subnets = xcalloc(count + 1, sizeof(*n->subnets));
    for (; n->n_subnets < count; n->n_subnets++)
        n->subnets[n->n_subnets].subnet = xstrdup(o->subnet[n->n_subnets]);
    for (int which = 0; which < 2; which++) {
        const char *flag = which ? "--ip-range" : "--gateway";
        for (char **v = which ? o->range : o->gateway; v && *v; v++) {
            struct network_subnet *s = subnet_of(n, flag, *v, e);
            char **to = !s ? NULL : which ? &s->range : &s->gateway;
            if (!s)
                return -EINVAL;
            if (*to)
                return err_msg(e, EINVAL, "%s %s: there is one of this subnet already", flag, *v);
            *to = xstrdup(*v);
        }
    }
    return 0;
}

static const struct network_driver *joining_driver(const char *name)
{
    const struct network_driver *const *all = network_joining_drivers();
    while (*all && !streq((*all)->name, name))
        all++;
    return *all;
}

/* A helper that does not get done on a busy machine, or is half installed, must not put a container
 * into another network than it would have had a moment before. */
int cli_bridge_usable(const struct network_config *n, char why[static 256], struct err *e)
{
    struct err no = ERR_INIT;
    int r = network_bridge_check(n, &no);
    if (r == -EPERM || r == -ENOTSUP)
        snprintf(why, 256, "%.255s", no.msg);
    else if (r < 0)
        *e = no;
    return r == 0 ? 1 : *why ? 0 : err_hint(e, r, BRIDGE_FAILED_HINT);
}

/* What podman makes of "bridge" without privileges is a network in a namespace of the user's, as
 * the driver user does: that is what scripts and unit files mean that come from there. */
static int choose_driver(struct network_config *n, struct err *e)
{
    char why[256] = "";
    int r = streq(n->driver, "bridge") ? cli_bridge_usable(n, why, e) : 1;
    if (r < 0)
        return err_add(e, r, "--driver bridge");
    if (r > 0)
        return 0;
    scoped_free char *notice =
        xasprintf("--driver bridge: %s is a network of your own (driver user), not a bridge of "
                  "the host: %s",
                  n->name, why);
    cli_notice(notice);
    free(n->driver);
    n->driver = xstrdup("user");
    return 0;
}

/* One that could not be used is not made. */
static int check_driver(const struct create_opts *o, const char *driver, struct err *e)
{
    char why[256] = "";
    if (o->ipam_driver && !streq(o->ipam_driver, "host-local") && !streq(o->ipam_driver, "default"))
        return err_hint(e, err_msg(e, ENOTSUP, "--ipam-driver %s: no such driver", o->ipam_driver),
                        "host-local is the only one");
    const struct network_driver *d = joining_driver(driver);
    if (d && d->probe && d->probe(why) <= 0)
        return err_hint(e, err_msg(e, ENOTSUP, "--driver %s: %s", driver, why),
                        "rootlet info tells more");
    for (char **x = o->egress; x && *x; x++) {
        int r = egress_check(*x, e);
        if (r < 0)
            return err_add(e, r, "--egress %s", *x);
    }
    if (o->egress && !streq(driver, "user"))
        return err_msg(e, EINVAL, "--egress: the driver %s cannot keep to it", driver);
    return 0;
}

static int create_network(const struct create_opts *o, const char *name, struct err *e)
{
    scoped_network_config struct network_config n = {
        .name = xstrdup(name),
        .driver = xstrdup(o->driver ? o->driver : "user"),
        .internal = o->internal,
        .ipv6 = o->ipv6,
        .dns_enabled = !o->disable_dns,
        .dns = strv_dup(o->dns),
        .egress = strv_dup(o->egress),
    };
    int r = add_labels(&n, o->label, e);
    if (r == 0)
        r = add_options(&n, o, e);
    if (r == 0)
        r = add_subnets(&n, o, e);
    if (r == 0)
        r = choose_driver(&n, e);
    if (r == 0)
        r = check_driver(o, n.driver, e);
    if (r == 0)
        r = network_create(cli_conf(), &n, e);
    if (r == 0)
        event_named(cli_conf(), "network", "create", n.id, n.name);
    return r;
}

/* "net1", the first that is free. */
static char *free_name(void)
{
    for (unsigned i = 1;; i++) {
        scoped_free char *name = xasprintf("net%u", i);
        scoped_network_config struct network_config n = {.name = NULL};
        struct err none = ERR_INIT;
        if (network_open(cli_conf(), name, &n, &none) < 0)
            return take_ptr(name);
    }
}

static int create(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct create_opts *o = opts;
    scoped_free char *name = args[0] ? xstrdup(args[0]) : free_name();
    (void)cmd;
    int r = create_network(o, name, e);
    if (r == -EEXIST && o->ignore) {
        scoped_network_config struct network_config n = {.name = NULL};
        struct err none = ERR_INIT;
        if (network_open(cli_conf(), name, &n, &none) == 0) { /* not: another has its subnet */
            err_clear(e);
            r = 0;
        }
    }
    if (r == 0)
        puts(name);
    return r;
}

static int exists(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    scoped_network_config struct network_config n = {.name = NULL};
    (void)cmd;
    (void)opts;
    int r = network_open(cli_conf(), args[0], &n, e);
    if (r != -ENOENT)
        return r;
    err_clear(e);
    return 1;
}

const struct cmd cli_network_cmds[] = {
    {
        .name = "network create",
        .args = "[NAME]",
        .summary = "Make a network that containers can be members of",
        .opts = create_table,
        .opts_size = sizeof(struct create_opts),
        .max_args = 1,
        .run = create,
        .examples = "rootlet network create web\n"
                    "rootlet network create --subnet 172.20.0.0/16 --ipv6 --label app=web web\n"
                    "rootlet network create --internal --disable-dns db",
    },
    {
        .name = "network exists",
        .args = "NETWORK",
        .summary = "Exit status 0 if there is such a network, 1 if not",
        .opts_size = sizeof(struct create_opts),
        .min_args = 1,
        .max_args = 1,
        .run = exists,
        .examples = "rootlet network exists web || rootlet network create web",
    },
    {NULL},
};
