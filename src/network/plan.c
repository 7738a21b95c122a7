/* plan - see plan.h. */
#include "network/plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/id.h"
#include "base/scoped.h"
#include "base/str.h"
#include "base/strv.h"
#include "net/addr.h"
#include "net/ipam.h"

#define JOIN_OPTIONS "alias=, ip=, ip6=, mac= and interface_name="

/* --- a network of several --- */

static int replace(char **to, char *text, const char *what, struct err *e)
{
    if (*to) {
        free(text);
        return err_msg(e, EINVAL, "%s is given twice", what);
    }
    *to = text;
    return 0;
}

int network_join_ip(struct network_join *j, const char *text, struct err *e)
{
    struct net_addr a;
    char clean[NET_ADDR_TEXT];
    if (net_addr_parse(text, &a) < 0)
        return err_msg(e, EINVAL, "\"%s\" is not an address", text);
    if (net_addr_is_any(&a) || net_addr_is_loopback(&a) || net_addr_is_multicast(&a))
        return err_msg(e, EINVAL, "%s is no address that an interface can have", text);
    bool six = a.family == 6;
    return replace(six ? &j->ip6 : &j->ip, xstrdup(net_addr_format(&a, clean)),
                   six ? "an IPv6 address" : "an IPv4 address", e);
}

int network_join_mac(struct network_join *j, const char *text, struct err *e)
{
    uint8_t mac[6];
    char clean[NET_MAC_TEXT];
    if (net_mac_parse(text, mac) < 0)
        return err_hint(e, err_msg(e, EINVAL, "\"%s\" is not the address of a network card", text),
                        "for example 02:00:00:12:34:56");
    return replace(&j->mac, xstrdup(net_mac_format(mac, clean)), "a MAC address", e);
}

int network_check_alias(const char *text, struct err *e)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    size_t n = strlen(text);
    if (n == 0 || n > 253 || strspn(text, allowed) != n || *text == '.' || strstr(text, ".."))
        return err_hint(e, err_msg(e, EINVAL, "\"%s\" is not a name of a host", text),
                        "letters, digits, \"-\", \"_\" and \".\"");
    return 0;
}

/* What the kernel takes, and nobody takes for something else (dev_valid_name). */
static int set_interface(struct network_join *j, const char *text, struct err *e)
{
    size_t n = strlen(text);
    bool good = n > 0 && n < 16 && !streq(text, ".") && !streq(text, "..") && !streq(text, "lo");
    for (const char *p = text; good && *p; p++)
        good = *p > ' ' && *p < 127 && *p != '/' && *p != ':' && *p != '%';
    if (!good)
        return err_msg(e, EINVAL, "\"%s\" is not a name of an interface (1 to 15 characters)",
                       text);
    return replace(&j->interface, xstrdup(text), "a name of the interface", e);
}

static int join_option(struct network_join *j, const char *key, const char *value, struct err *e)
{
    if (streq(key, "alias")) {
        int r = network_check_alias(value, e);
        if (r == 0 && !strv_has(j->aliases, value))
            strv_add(&j->aliases, value);
        return r;
    }
    if (streq(key, "ip") || streq(key, "ip6"))
        return network_join_ip(j, value, e);
    if (streq(key, "mac") || streq(key, "mac_address") || streq(key, "mac-address"))
        return network_join_mac(j, value, e);
    if (streq(key, "interface_name") || streq(key, "interface-name"))
        return set_interface(j, value, e);
    return err_hint(e, err_msg(e, EINVAL, "unknown option \"%s\"", key), "known are " JOIN_OPTIONS);
}

int network_join_options(struct network_join *j, const char *options, const char *what,
                         struct err *e)
{
    scoped_strv char **words = strv_split(options, ",", false);
    int r = 0;
    for (char **w = words; r == 0 && w && *w; w++) {
        char *eq = strchr(*w, '=');
        if (!eq)
            return err_hint(e, err_msg(e, EINVAL, "%s: \"%s\" is not KEY=VALUE", what, *w),
                            "known are " JOIN_OPTIONS);
        *eq = '\0';
        r = join_option(j, *w, eq + 1, e);
    }
    return r < 0 ? err_add(e, r, "%s", what) : 0;
}

static int check_wish(const struct network_config *n, const char *address, struct err *e)
{
    struct net_addr a;
    struct network_range range;
    const char *subnet = NULL;
    if (!address || net_addr_parse(address, &a) < 0 || n->n_subnets == 0) /* the helper's to say */
        return 0;
    for (size_t i = 0; i < n->n_subnets; i++) {
        if (network_subnet_range(&n->subnets[i], &range, NULL) < 0 ||
            range.subnet.addr.family != a.family)
            continue;
        const struct ipam_range all = {.net = range.subnet, .gateway = range.gateway};
        int r = ipam_check(&all, &a);
        if (r == -EADDRINUSE)
            return err_msg(e, EINVAL, "%s is the gateway of network %s", address, n->name);
        if (r == -EINVAL)
            return err_msg(e, EINVAL, "%s is network %s itself, or all of it, not an address in it",
                           address, n->name);
        if (r == 0)
            return 0;
        subnet = n->subnets[i].subnet;
    }
    if (!subnet)
        return err_hint(
            e, err_msg(e, EINVAL, "%s: network %s has no IPv%d", address, n->name, a.family),
            "'rootlet network create' makes networks with both, by --ipv6");
    return err_hint(e, err_msg(e, EINVAL, "%s is no address of network %s", address, n->name),
                    "its subnet is %s", subnet);
}

int network_join_check(const struct network_join *j, const struct network_config *n, struct err *e)
{
    int r = check_wish(n, j->ip, e);
    return r == 0 ? check_wish(n, j->ip6, e) : r;
}

static int add_join(struct network_plan *p, const char *name, const char *options, struct err *e)
{
    struct network_join j = {.network = NULL};
    if (!id_name_valid(name))
        return err_hint(
            e, err_msg(e, EINVAL, "unknown network mode \"%s\"", name),
            "none, host, slirp, pasta, container:ID, ns:PATH, or the name of a network");
    for (size_t i = 0; i < p->n_joins; i++)
        if (streq(p->joins[i].network, name))
            return err_msg(e, EINVAL, "network %s is given twice", name);
    int r = options ? network_join_options(&j, options, name, e) : 0;
    if (r < 0) {
        jfield_release(network_join_fields, &j);
        return r;
    }
    j.network = xstrdup(name);
    p->joins = xrealloc(p->joins, (p->n_joins + 1) * sizeof(*p->joins));
    p->joins[p->n_joins++] = j;
    if (!p->mode)
        p->mode = xstrdup("networks");
    return 0;
}

/* docker's "name=NAME,alias=A": the name may stand anywhere. */
static int add_long(struct network_plan *p, const char *text, struct err *e)
{
    scoped_strv char **words = strv_split(text, ",", false);
    scoped_free char *name = NULL;
    char **rest = NULL;
    for (char **w = words; *w; w++) {
        const char *value = str_after(*w, "name=");
        if (!value) {
            strv_add(&rest, *w);
            continue;
        }
        free(name);
        name = xstrdup(value);
    }
    scoped_free char *options = rest ? strv_join(rest, ",") : NULL;
    strv_free(rest);
    return add_join(p, name, options, e);
}

/* --- modes --- */

static const struct network_driver *mode_driver(const char *mode)
{
    const struct network_driver *const *all = network_drivers();
    for (size_t i = 0; all[i]; i++)
        if (!all[i]->joins && streq(all[i]->name, mode))
            return all[i];
    return NULL;
}

static int add_mode(struct network_plan *p, const char *mode, const char *rest, struct err *e)
{
    const struct network_driver *d = mode_driver(mode);
    if (!d) {
        network_driver_get(mode, e);
        return -EINVAL;
    }
    bool some = rest && *rest;
    if (d->target && !some)
        return err_msg(e, EINVAL, "network mode \"%s\": want %s:%s", mode, d->name, d->target);
    if (rest && !d->target && !d->options)
        return err_msg(e, EINVAL, "network mode \"%s:%s\": %s takes no options", mode, rest,
                       d->name);
    p->mode = xstrdup(d->name);
    if (d->target)
        p->target = xstrdup(rest);
    else if (some)
        p->options = strv_split(rest, ",", false);
    return 0;
}

static bool is_mode(const char *word)
{
    static const char *const modes[] = {"none",  "host",  "container", "ns",
                                        "slirp", "pasta", "user"};
    for (size_t i = 0; i < N_ELEMENTS(modes); i++)
        if (streq(word, modes[i]))
            return true;
    return mode_driver(word) != NULL;
}

bool network_plan_is_default(const char *text)
{
    return !*text || streq(text, "default") || streq(text, "private") || streq(text, "auto");
}

int network_plan_add(struct network_plan *p, const char *text, struct err *e)
{
    const char *colon = strchr(text, ':');
    scoped_free char *head = colon ? xstrndup(text, (size_t)(colon - text)) : xstrdup(text);
    bool docker = str_after(head, "name=") || strstr(head, ",name=");
    const char *mode = streq(head, "slirp4netns") ? "slirp" : head;
    bool joins = docker || !is_mode(mode);
    if (streq(mode, "user"))
        return err_hint(e, err_msg(e, EINVAL, "\"user\" is a driver of networks"),
                        "rootlet network create NAME, then --network NAME");
    if (p->mode && !(joins && streq(p->mode, "networks"))) {
        const char *alone = streq(p->mode, "networks") ? head : p->mode;
        return err_hint(e, err_msg(e, EINVAL, "\"%s\" excludes other networks", alone),
                        "several are possible of those that 'rootlet network create' makes");
    }
    if (docker)
        return add_long(p, text, e);
    if (!joins)
        return add_mode(p, mode, colon ? colon + 1 : NULL, e);
    if (colon)
        return add_join(p, head, colon + 1, e);
    /* podman's "one,two" */
    scoped_strv char **names = strv_split(head, ",", true);
    int r = 0;
    for (char **n = names; r == 0 && *n; n++)
        r = add_join(p, *n, NULL, e);
    return r;
}

const char *network_plan_default(char **ret_why)
{
    char why[256] = "";
    const struct network_driver *d = mode_driver("slirp");
    *ret_why = NULL;
    if (d && (!d->probe || d->probe(why) > 0))
        return "slirp";
    if (d)
        *ret_why = xstrdup(why);
    return "none";
}
