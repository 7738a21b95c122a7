/* subnet - ranges of addresses: do they make sense, and which are free. See store.h. */
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/random.h>

#include "base/scoped.h"
#include "base/str.h"
#include "network/store-priv.h"

/* The first pools of podman; what comes after them is as rarely anybody's. */
#define POOL_FIRST "10.89.0.0/24"
#define POOL_COUNT (11u << 8)

static int parse_subnet(const struct network_subnet *s, struct net_cidr *ret, struct err *e)
{
    struct net_cidr c;
    char text[NET_CIDR_TEXT];
    if (!s->subnet || net_cidr_parse(s->subnet, &c) < 0)
        return err_hint(
            e, err_msg(e, EINVAL, "subnet \"%s\": not ADDRESS/BITS", s->subnet ? s->subnet : ""),
            "for example 10.90.0.0/24 or fd90::/64");
    if (!net_cidr_is_network(&c)) {
        struct net_cidr net = {net_cidr_first(&c), c.bits};
        return err_hint(e, err_msg(e, EINVAL, "subnet %s: it has bits of a host", s->subnet),
                        "%s is the network", net_cidr_format(&net, text));
    }
    if (net_cidr_count(&c) < 4)
        return err_msg(e, EINVAL, "subnet %s: too small for a gateway and a container", s->subnet);
    if (c.bits < 8 || net_addr_is_loopback(&c.addr) || net_addr_is_multicast(&c.addr) ||
        net_addr_is_linklocal(&c.addr))
        return err_hint(e,
                        err_msg(e, EINVAL, "subnet %s: no addresses of a local network", s->subnet),
                        "take one below 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 or fd00::/8");
    *ret = c;
    return 0;
}

/* "CIDR" or "FIRST-LAST" inside the subnet. */
static int parse_range(const char *text, struct network_range *r, struct err *e)
{
    struct net_cidr c;
    struct net_addr first, last;
    const char *dash = strchr(text, '-');
    scoped_free char *begin = dash ? xstrndup(text, (size_t)(dash - text)) : NULL;
    if (net_cidr_parse(text, &c) == 0) {
        first = net_cidr_first(&c);
        last = net_cidr_last(&c);
    } else if (!dash || net_addr_parse(begin, &first) < 0 || net_addr_parse(dash + 1, &last) < 0) {
        return err_msg(e, EINVAL, "range \"%s\": neither ADDRESS/BITS nor FIRST-LAST", text);
    }
    if (!net_cidr_contains(&r->subnet, &first) || !net_cidr_contains(&r->subnet, &last) ||
        net_addr_cmp(&first, &last) > 0)
        return err_msg(e, EINVAL, "range %s: it is not inside the subnet", text);
    if (net_addr_cmp(&first, &r->first) > 0)
        r->first = first;
    if (net_addr_cmp(&last, &r->last) < 0)
        r->last = last;
    return 0;
}

static int parse_gateway(const char *text, struct network_range *r, struct err *e)
{
    struct net_addr first = net_cidr_first(&r->subnet), last = net_cidr_last(&r->subnet);
    char subnet[NET_CIDR_TEXT];
    if (net_addr_parse(text, &r->gateway) < 0)
        return err_msg(e, EINVAL, "gateway \"%s\": not an address", text);
    if (!net_cidr_contains(&r->subnet, &r->gateway) || net_addr_cmp(&r->gateway, &first) == 0 ||
        (first.family == 4 && net_addr_cmp(&r->gateway, &last) == 0))
        return err_msg(e, EINVAL, "gateway %s: not an address for hosts of %s", text,
                       net_cidr_format(&r->subnet, subnet));
    return 0;
}

int network_subnet_range(const struct network_subnet *s, struct network_range *ret, struct err *e)
{
    struct network_range r = {.gateway.family = 0};
    int rc = parse_subnet(s, &r.subnet, e);
    if (rc < 0)
        return rc;
    net_cidr_nth(&r.subnet, 1, &r.first);
    r.last = net_cidr_last(&r.subnet);
    if (r.last.family == 4)
        net_addr_add(&r.last, -1, &r.last);
    rc = s->gateway ? parse_gateway(s->gateway, &r, e) : 0;
    if (rc == 0 && s->range)
        rc = parse_range(s->range, &r, e);
    if (rc == 0)
        *ret = r;
    return rc;
}

int subnet_complete(struct network_subnet *s, struct err *e)
{
    struct network_range r;
    char text[NET_ADDR_TEXT];
    int rc = network_subnet_range(s, &r, e);
    if (rc < 0 || s->gateway)
        return rc;
    net_cidr_nth(&r.subnet, 1, &r.gateway);
    s->gateway = xstrdup(net_addr_format(&r.gateway, text));
    return 0;
}

/* --- what is taken --- */

static bool taken_by_networks(const struct net_cidr *c, const struct network_config *taken,
                              size_t n_taken, const char **ret_who)
{
    struct net_cidr other;
    for (size_t i = 0; i < n_taken; i++)
        for (size_t k = 0; k < taken[i].n_subnets; k++)
            if (net_cidr_parse(taken[i].subnets[k].subnet, &other) == 0 &&
                net_cidr_overlap(c, &other)) {
                *ret_who = taken[i].name;
                return true;
            }
    return false;
}

static unsigned mask_bits(const struct sockaddr *mask, int family)
{
    const uint8_t *b =
        family == AF_INET
            ? (const uint8_t *)&((const struct sockaddr_in *)(const void *)mask)->sin_addr
            : ((const struct sockaddr_in6 *)(const void *)mask)->sin6_addr.s6_addr;
    unsigned n = 0, max = family == AF_INET ? 32 : 128;
    while (n < max && b[n / 8] & 0x80 >> n % 8)
        n++;
    return n;
}

static bool cidr_of(const struct ifaddrs *i, struct net_cidr *ret)
{
    struct net_cidr c = {.bits = 0};
    int family = i->ifa_addr ? i->ifa_addr->sa_family : AF_UNSPEC;
    if ((family != AF_INET && family != AF_INET6) || !i->ifa_netmask ||
        (i->ifa_flags & IFF_LOOPBACK))
        return false;
    c.addr.family = family == AF_INET ? 4 : 6;
    if (family == AF_INET)
        memcpy(c.addr.b, &((const struct sockaddr_in *)(const void *)i->ifa_addr)->sin_addr, 4);
    else
        memcpy(c.addr.b, &((const struct sockaddr_in6 *)(const void *)i->ifa_addr)->sin6_addr, 16);
    c.bits = (uint8_t)mask_bits(i->ifa_netmask, family);
    *ret = c;
    return true;
}

/* A name server or a printer of the local network would be out of reach behind a network with the
 * same addresses. */
static bool taken_by_host(const struct net_cidr *c, char name[static IF_NAMESIZE])
{
    struct ifaddrs *all = NULL;
    struct net_cidr other;
    bool found = false;
    if (getifaddrs(&all) < 0)
        return false;
    for (const struct ifaddrs *i = all; i && !found; i = i->ifa_next) {
        found = cidr_of(i, &other) && net_cidr_overlap(c, &other);
        if (found)
            snprintf(name, IF_NAMESIZE, "%s", i->ifa_name);
    }
    freeifaddrs(all);
    return found;
}

int subnet_check_free(const struct network_subnet *s, const struct network_config *taken,
                      size_t n_taken, struct err *e)
{
    struct net_cidr c;
    const char *who;
    char name[IF_NAMESIZE];
    int r = parse_subnet(s, &c, e);
    if (r < 0)
        return r;
    if (taken_by_networks(&c, taken, n_taken, &who))
        return err_hint(e, err_msg(e, EEXIST, "subnet %s: the network %s has it", s->subnet, who),
                        "without --subnet a free one is taken");
    if (taken_by_host(&c, name))
        return err_hint(e,
                        err_msg(e, EEXIST, "subnet %s: the host's interface %s has such addresses",
                                s->subnet, name),
                        "without --subnet a free one is taken");
    return 0;
}

/* --- which is free --- */

/* RFC 4193: 40 random bits. */
static void random_ula(struct net_cidr *ret)
{
    *ret = (struct net_cidr){{6, {0xfd}}, 64};
    (void)!getrandom(ret->addr.b + 1, 5, 0);
}

static bool candidate(int family, unsigned n, struct net_cidr *ret)
{
    if (family == 6) {
        random_ula(ret);
        return n < 16;
    }
    net_cidr_parse(POOL_FIRST, ret);
    return n < POOL_COUNT && net_addr_add(&ret->addr, (int64_t)n << 8, &ret->addr) == 0;
}

int network_free_subnet(const struct network_config *taken, size_t n_taken, int family,
                        struct network_subnet *ret, struct err *e)
{
    struct net_cidr c;
    const char *who;
    char name[IF_NAMESIZE], text[NET_CIDR_TEXT];
    for (unsigned n = 0; candidate(family, n, &c); n++)
        if (!taken_by_networks(&c, taken, n_taken, &who) && !taken_by_host(&c, name)) {
            *ret = (struct network_subnet){.subnet = xstrdup(net_cidr_format(&c, text))};
            return subnet_complete(ret, e);
        }
    return err_hint(e, err_msg(e, EADDRNOTAVAIL, "no free range of addresses is left"),
                    "remove networks, or give one: --subnet ADDRESS/BITS");
}
