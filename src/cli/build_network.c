/* build_network - --network and everything that goes with it: addresses, names, ports, DNS. */
#include <errno.h>
#include <stdlib.h>

#include "base/path.h"
#include "base/strv.h"
#include "cli/build.h"
#include "cli/cli.h"
#include "cli/network.h"
#include "net/addr.h"
#include "net/egress.h"
#include "net/ports.h"
#include "network/plan.h"
#include "network/resolv.h"
#include "network/store.h"

#define EXPOSED_MAX 1024 /* of an image or by --expose, in all: ranges are taken one by one */

static void notice(const struct build *b, const char *fmt, const char *arg)
{
    scoped_free char *text = xasprintf("%s%s", fmt, arg);
    if (!b->o->quiet)
        cli_notice(text);
}

/* --- which network --- */

/* What stands for --network where nothing was said, or "default". */
static int add_default(struct build *b, struct err *e)
{
    const char *mode = b->conf->network;
    scoped_free char *why = NULL;
    if (network_plan_is_default(mode)) {
        mode = network_plan_default(&why);
        if (why)
            notice(b, "there is no network in the container: ", why);
    }
    int r = network_plan_add(&b->rec->network, mode, e);
    return r < 0 ? err_add(e, r, "setting network") : 0;
}

/* docker's and podman's default. Where there is none of the host's, a network of its own is the
 * nearest that the container can have; options of it are for a bridge that is there. */
static int add_bridge(struct build *b, struct err *e)
{
    char why[256] = "";
    scoped_network_config struct network_config n = {.name = NULL};
    int r = network_open(b->conf, "bridge", &n, e);
    if (r == 0)
        r = cli_bridge_usable(&n, why, e);
    if (r > 0)
        return network_plan_add(&b->rec->network, "bridge", e);
    if (r == 0)
        r = add_default(b, e);
    const struct network_plan *p = &b->rec->network;
    if (r < 0)
        return r;
    scoped_free char *instead =
        xasprintf("--network bridge: it is %s here, there is no bridge of the host: ",
                  p->n_joins ? p->joins[0].network : p->mode);
    notice(b, instead, why);
    return 0;
}

static int add_networks(struct build *b, struct err *e)
{
    if (!b->o->network)
        return add_default(b, e);
    for (char **t = b->o->network; *t; t++) {
        bool only = !b->o->network[1];
        int r = only && network_plan_is_default(*t) ? add_default(b, e)
                : only && streq(*t, "bridge")       ? add_bridge(b, e)
                                                    : network_plan_add(&b->rec->network, *t, e);
        if (r < 0)
            return err_add(e, r, "--network %s", *t);
        if (str_after(*t, "slirp4netns"))
            notice(b, "--network slirp4netns: ", "rootlet's own slirp does its work");
    }
    return 0;
}

/* A network whose driver does not work here is refused before anything is made. */
static int check_driver(const struct network_config *n, struct err *e)
{
    char why[256] = "this version has no such driver";
    const struct network_driver *const *d = network_joining_drivers();
    while (*d && !streq((*d)->name, n->driver))
        d++;
    if (*d && (!(*d)->probe || (*d)->probe(why) > 0))
        return 0;
    return err_hint(e, err_msg(e, ENOTSUP, "network %s (driver %s): %s", n->name, n->driver, why),
                    "networks of 'rootlet network create NAME' need no privilege; "
                    "rootlet doctor tells how the administrator allows a bridge");
}

/* They are there; an id becomes the name. */
static int find_networks(struct build *b, struct err *e)
{
    struct network_plan *p = &b->rec->network;
    for (size_t i = 0; i < p->n_joins; i++) {
        scoped_network_config struct network_config n = {.name = NULL};
        int r = network_open(b->conf, p->joins[i].network, &n, e);
        if (r == 0)
            r = check_driver(&n, e);
        if (r < 0)
            return err_add(e, r, b->o->network ? "--network" : "setting network");
        free(p->joins[i].network);
        p->joins[i].network = take_ptr(n.name);
        for (size_t k = 0; k < i; k++)
            if (streq(p->joins[k].network, p->joins[i].network))
                return err_msg(e, EINVAL, "--network: %s is given twice", p->joins[i].network);
    }
    return 0;
}

/* --- addresses and names --- */

/* --ip and its like are of the one network that there is. */
static struct network_join *only_join(struct build *b, const char *flag, struct err *e)
{
    struct network_plan *p = &b->rec->network;
    if (p->n_joins == 1)
        return &p->joins[0];
    if (p->n_joins > 1)
        err_hint(e, err_msg(e, EINVAL, "%s: of which network?", flag),
                 "say it there: --network %s:%s=...", p->joins[0].network,
                 streq(flag, "--mac-address") ? "mac" : flag + 2);
    else
        err_hint(e, err_msg(e, EINVAL, "%s: network mode %s gives no choice", flag, p->mode),
                 "rootlet network create NAME makes a network, for --network NAME");
    return NULL;
}

static int set_one(struct build *b, const char *flag, const char *value,
                   int (*set)(struct network_join *j, const char *text, struct err *e),
                   struct err *e)
{
    if (!value)
        return 0;
    struct network_join *j = only_join(b, flag, e);
    int r = j ? set(j, value, e) : -EINVAL;
    return j && r < 0 ? err_add(e, r, "%s", flag) : r;
}

static int set_family(struct network_join *j, const char *text, int family, struct err *e)
{
    struct net_addr a;
    if (net_addr_parse(text, &a) < 0 || a.family != family)
        return err_msg(e, EINVAL, "\"%s\" is not an IPv%d address", text, family);
    return network_join_ip(j, text, e);
}

static int set_ip(struct network_join *j, const char *text, struct err *e)
{
    return set_family(j, text, 4, e);
}

static int set_ip6(struct network_join *j, const char *text, struct err *e)
{
    return set_family(j, text, 6, e);
}

static int add_aliases(struct build *b, struct err *e)
{
    struct network_plan *p = &b->rec->network;
    for (char **a = b->o->network_alias; a && *a; a++) {
        int r = network_check_alias(*a, e);
        if (r < 0)
            return err_add(e, r, "--network-alias");
        if (p->n_joins == 0)
            return only_join(b, "--network-alias", e) ? 0 : -EINVAL;
        for (size_t i = 0; i < p->n_joins; i++)
            if (!strv_has(p->joins[i].aliases, *a))
                strv_add(&p->joins[i].aliases, *a);
    }
    return 0;
}

/* The network of a container that has the host's: nobody joins that by its process. */
static void follow_to_host(struct build *b)
{
    struct network_plan *p = &b->rec->network;
    scoped_container struct container c = {.dir_fd = -1};
    if (!streq(p->mode, "container") || container_open(b->conf, p->target, &c, NULL) < 0 ||
        !streq(c.rec.network.mode, "host"))
        return;
    free(p->mode);
    free(p->target);
    p->mode = xstrdup("host");
    p->target = NULL;
}

/* A pod is found by its name, which is that of no container. */
static void add_pod_name(struct build *b)
{
    struct network_plan *p = &b->rec->network;
    for (size_t i = 0; b->rec->pod_infra && i < p->n_joins; i++)
        if (!strv_has(p->joins[i].aliases, b->rec->pod))
            strv_add(&p->joins[i].aliases, b->rec->pod);
}

static int check_wishes(const struct build *b, struct err *e)
{
    const struct network_plan *p = &b->rec->network;
    for (size_t i = 0; i < p->n_joins; i++) {
        scoped_network_config struct network_config n = {.name = NULL};
        int r = network_open(b->conf, p->joins[i].network, &n, e);
        if (r == 0)
            r = network_join_check(&p->joins[i], &n, e);
        for (size_t k = 0; r == 0 && p->joins[i].interface && k < i; k++)
            if (streq(p->joins[k].interface, p->joins[i].interface))
                r = err_msg(e, EINVAL, "the interface of network %s is called %s already",
                            p->joins[k].network, p->joins[i].interface);
        if (r < 0)
            return err_add(e, r, "--network %s", p->joins[i].network);
    }
    return 0;
}

/* --- ports --- */

/* The setting publish_address is for ports without one. */
static int add_port(struct build *b, const char *text, struct err *e)
{
    struct net_port ports[2];
    char shown[NET_PORT_TEXT];
    const char *address = strv_env_get(b->conf->extra, "publish_address");
    int n = net_port_parse(text, ports, e);
    for (int i = 0; i < n; i++) {
        if (ports[i].addr.family == 0 && address && *address &&
            net_addr_parse(address, &ports[i].addr) < 0)
            return err_msg(e, EINVAL, "setting publish_address: \"%s\" is not an address", address);
        strv_add(&b->rec->network.ports, net_port_format_option(&ports[i], shown));
    }
    return n < 0 ? n : 0;
}

/* "80", "80/tcp", "8000-8010/udp" of --expose or an image, one by one: "80/tcp". */
static int add_exposed(char ***all, const char *text, struct err *e)
{
    struct net_port p;
    int r = net_port_parse_container(text, &p, e);
    if (r == 0 && strv_len(*all) + p.count > EXPOSED_MAX)
        return err_hint(e, err_msg(e, E2BIG, "more than %d ports are exposed", EXPOSED_MAX),
                        "exposing only names ports; --publish takes ranges of any size");
    for (unsigned i = 0; r == 0 && i < p.count; i++) {
        scoped_free char *one = xasprintf("%u/%s", p.ctr + i, net_proto_name(p.proto));
        if (!strv_has(*all, one))
            strv_add(all, one);
    }
    return r;
}

static int build_exposed(struct build *b, struct err *e)
{
    struct network_plan *p = &b->rec->network;
    for (char **x = b->image ? b->image->exposed_ports : NULL; x && *x; x++)
        (void)!add_exposed(&p->expose, *x, NULL); /* what an image says need not make sense */
    for (char **x = b->o->expose; x && *x; x++) {
        int r = add_exposed(&p->expose, *x, e);
        if (r < 0)
            return err_add(e, r, "--expose %s", *x);
    }
    return 0;
}

/* Is this port of the container published by a -p? */
static bool is_published(const struct network_plan *p, const char *exposed)
{
    struct net_port x, ports[2];
    if (net_port_parse_container(exposed, &x, NULL) < 0)
        return false;
    for (char **text = p->ports; text && *text; text++)
        if (net_port_parse(*text, ports, NULL) > 0 && ports[0].proto == x.proto &&
            x.ctr >= ports[0].ctr && x.ctr < ports[0].ctr + ports[0].count)
            return true;
    return false;
}

/* Where ports make no sense: docker and podman drop them with a notice for the host's network. */
static int check_ports(struct build *b, struct err *e)
{
    struct network_plan *p = &b->rec->network;
    const char *flag = b->o->publish ? "--publish" : "--publish-all";
    if ((!b->o->publish && !b->o->publish_all) || network_plan_own(p)) {
        if (!b->o->publish || !streq(p->mode, "none"))
            return 0;
        return err_hint(e,
                        err_msg(e, EINVAL, "%s: a container without a network has no ports", flag),
                        "leave --network none away, or take --network slirp");
    }
    if (streq(p->mode, "host")) {
        notice(b, "--network host shares the host's ports: there is nothing to publish", "");
        strv_free(p->ports);
        p->ports = NULL;
        return 0;
    }
    return err_hint(e, err_msg(e, EINVAL, "%s: the network belongs to another", flag),
                    "publish the ports of the container that it belongs to");
}

static int build_ports(struct build *b, struct err *e)
{
    struct network_plan *p = &b->rec->network;
    for (char **text = b->o->publish; text && *text; text++) {
        int r = add_port(b, *text, e);
        if (r < 0)
            return err_add(e, r, "--publish %s", *text);
    }
    int r = build_exposed(b, e);
    bool all = b->o->publish_all && network_plan_own(p) && !streq(p->mode, "none");
    for (char **x = all ? p->expose : NULL; r == 0 && x && *x; x++)
        r = is_published(p, *x) ? 0 : add_port(b, *x, e);
    return r == 0 ? check_ports(b, e) : r;
}

/* --- DNS and hosts --- */

static int check_words(char *const *words, const char *flag, struct err *e)
{
    for (char *const *w = words; w && *w; w++)
        if (!**w || strpbrk(*w, " \t\r\n"))
            return err_msg(e, EINVAL, "%s: \"%s\" is not one word", flag, *w);
    return 0;
}

static int check_servers(char *const *servers, const char *flag, struct err *e)
{
    struct net_addr a;
    for (char *const *s = servers; s && *s; s++)
        if (net_addr_parse(*s, &a) < 0)
            return err_msg(e, EINVAL, "%s %s: not an address", flag, *s);
    return 0;
}

/* The options, else the settings ("dns = 192.0.2.1, 192.0.2.2"). */
static char **given_or_set(const struct build *b, char *const *given, const char *key)
{
    const char *set = strv_env_get(b->conf->extra, key);
    return given ? strv_dup(given) : set ? strv_split(set, ", \t", false) : NULL;
}

bool build_no_resolv(const struct run_opts *o)
{
    return o->dns && streq(o->dns[0], "none") && !o->dns[1];
}

static int build_dns(struct build *b, struct err *e)
{
    struct network_plan *p = &b->rec->network;
    if (build_no_resolv(b->o)) {
        if (b->o->dns_search || b->o->dns_option)
            return err_msg(e, EINVAL, "--dns none excludes --dns-search and --dns-option");
        return 0;
    }
    p->dns = given_or_set(b, b->o->dns, "dns");
    p->dns_search = given_or_set(b, b->o->dns_search, "dns_search");
    p->dns_options = given_or_set(b, b->o->dns_option, "dns_options");
    int r = check_servers(p->dns, "--dns", e);
    if (r == 0)
        r = check_words(p->dns_search, "--dns-search", e);
    return r == 0 ? check_words(p->dns_options, "--dns-option", e) : r;
}

/* It may get one by network connect: then the line is there. */
static int check_gateway(struct build *b, const char *text, struct err *e)
{
    const struct network_plan *p = &b->rec->network;
    scoped_free char *why = NULL;
    if (network_knows_host(b->conf, p, &why))
        return 0;
    if (streq(p->mode, "none"))
        return err_hint(
            e, err_msg(e, EINVAL, "\"%s\": without a network the host has no address", text),
            "--network slirp has one, or give a number");
    scoped_free char *missing = xasprintf("--add-host %s: no address of the host: ", text);
    notice(b, missing, why);
    return 0;
}

static int build_hosts(struct build *b, struct err *e)
{
    struct network_plan *p = &b->rec->network;
    const char *set = strv_env_get(b->conf->extra, "hosts_file");
    const char *file = b->o->hosts_file ? b->o->hosts_file : set;
    if (b->o->no_hosts && (b->o->add_host || b->o->hosts_file))
        return err_msg(e, EINVAL, "--no-hosts and --%s exclude each other",
                       b->o->add_host ? "add-host" : "hosts-file");
    if (file && *file && !streq(file, "none") && !streq(file, "image") && *file != '/')
        return err_msg(e, EINVAL, "--hosts-file %s: not none, image or an absolute path", file);
    for (char **h = b->o->add_host; h && *h; h++) {
        int r = network_check_add_host(*h, e);
        if (r == 0 && str_ends(*h, "host-gateway"))
            r = check_gateway(b, *h, e);
        if (r < 0)
            return err_add(e, r, "--add-host");
    }
    p->no_hosts = b->o->no_hosts;
    p->hosts_file = file && *file ? xstrdup(file) : NULL;
    p->add_hosts = strv_dup(b->o->add_host);
    return 0;
}

static int build_egress(struct build *b, struct err *e)
{
    struct network_plan *p = &b->rec->network;
    for (char **x = b->o->egress; x && *x; x++) {
        int r = egress_check(*x, e);
        if (r < 0)
            return err_add(e, r, "--egress %s", *x);
    }
    if (b->o->egress && streq(p->mode, "networks"))
        return err_hint(e, err_msg(e, EINVAL, "--egress: it is for all members of a network"),
                        "rootlet network create --egress");
    if (b->o->egress && !streq(p->mode, "slirp"))
        return err_hint(e,
                        err_msg(e, EINVAL, "--egress: network mode %s cannot keep to it", p->mode),
                        "--network slirp can, and 'rootlet network create --egress'");
    p->egress = strv_dup(b->o->egress);
    return 0;
}

/* --- all --- */

/* The namespace, as the driver wants it. */
static int plan_namespace(struct build *b, struct err *e)
{
    struct network_plan *p = &b->rec->network;
    if (streq(p->mode, "networks")) {
        spec_namespace_set(b->spec, "network", NULL);
        return 0;
    }
    if (streq(p->mode, "container")) {
        char *id = NULL;
        int r = build_container_ns(b, "--network", p->target, "network", &id, e);
        if (r < 0)
            return r;
        free(p->target); /* the name may become another's */
        p->target = id;
        return 0;
    }
    const struct network_driver *d = network_driver_get(p->mode, e);
    if (!d)
        return -EINVAL;
    return d->plan ? d->plan(p, b->spec, e) : 0;
}

int build_network(struct build *b, struct err *e)
{
    int r = add_networks(b, e);
    if (r == 0)
        r = find_networks(b, e);
    if (r == 0)
        follow_to_host(b);
    if (r == 0)
        r = set_one(b, "--ip", b->o->ip, set_ip, e);
    if (r == 0)
        r = set_one(b, "--ip6", b->o->ip6, set_ip6, e);
    if (r == 0)
        r = set_one(b, "--mac-address", b->o->mac_address, network_join_mac, e);
    if (r == 0)
        r = add_aliases(b, e);
    if (r == 0)
        add_pod_name(b);
    if (r == 0)
        r = check_wishes(b, e);
    if (r == 0)
        r = build_ports(b, e);
    if (r == 0)
        r = build_dns(b, e);
    if (r == 0)
        r = build_hosts(b, e);
    if (r == 0)
        r = build_egress(b, e);
    return r == 0 ? plan_namespace(b, e) : r;
}
