/* slirp-options - see slirp-options.h. */
#include "network/slirp-options.h"

#include <errno.h>
#include <string.h>

#include "base/scoped.h"
#include "base/str.h"
#include "base/strv.h"

enum { MTU_DEFAULT = 65520, MTU_MAX = 65520, MTU_MIN = 576, MTU_MIN6 = 1280, OWN = 100 };

static int set_mtu(struct slirp_options *o, const char *v)
{
    uint32_t n;
    if (parse_u32(v, &n) < 0 || n < MTU_MIN || n > MTU_MAX)
        return -EINVAL;
    o->mtu = n;
    return 0;
}

static int set_cidr(struct slirp_options *o, const char *v)
{
    struct net_cidr c;
    if (net_cidr_parse(v, &c) < 0 || c.addr.family != 4 || !net_cidr_is_network(&c) || c.bits < 8 ||
        c.bits > 25 || net_addr_is_any(&c.addr) || net_addr_is_loopback(&c.addr) ||
        net_addr_is_multicast(&c.addr))
        return -EINVAL; /* .100 must be in it */
    o->net4 = c;
    return 0;
}

/* "allow_host_loopback" alone means yes. */
static int truth(const char *v, bool *ret)
{
    return *v ? parse_bool(v, ret) : (*ret = true, 0);
}

static int set_ipv6(struct slirp_options *o, const char *v)
{
    return truth(v, &o->ipv6);
}

static int set_loopback(struct slirp_options *o, const char *v)
{
    uint32_t port;
    size_t n = 0;
    if (parse_u32(v, &port) < 0 || port < 2 || port > 65535)
        return truth(v, &o->host_loopback);
    while (n < WIRE_SLIRP_PORTS && o->ports[n])
        n++;
    if (n == WIRE_SLIRP_PORTS)
        return -EINVAL;
    o->ports[n] = (uint16_t)port;
    o->host_loopback = true;
    return 0;
}

static int set_outbound(struct slirp_options *o, const char *v)
{
    struct net_addr a;
    if (net_addr_parse(v, &a) < 0 || net_addr_is_any(&a))
        return -EINVAL;
    *(a.family == 4 ? &o->outbound4 : &o->outbound6) = a;
    return 0;
}

static int set_device(struct slirp_options *o, const char *v)
{
    o->tap = streq(v, "tap");
    o->packet = streq(v, "veth");
    return o->tap || o->packet ? 0 : -EINVAL;
}

/* rootlet has one way of publishing ports. */
static int set_nothing(struct slirp_options *o, const char *v)
{
    (void)o;
    return streq(v, "slirp4netns") || streq(v, "rootlesskit") ? 0 : -EINVAL;
}

static const struct {
    const char *name;
    int (*set)(struct slirp_options *o, const char *value);
    const char *want;
} known[] = {
    {"mtu", set_mtu, "576 to 65520, 1280 at least with IPv6"},
    {"cidr", set_cidr, "an IPv4 network of 8 to 25 bits: 10.0.2.0/24"},
    {"ipv6", set_ipv6, "true or false"},
    {"enable_ipv6", set_ipv6, "true or false"},
    {"allow_host_loopback", set_loopback, "true, false, or a port; 16 ports at most"},
    {"outbound_addr", set_outbound, "an address of this host"},
    {"outbound_addr6", set_outbound, "an address of this host"},
    {"device", set_device, "tap or veth"},
    {"port_handler", set_nothing, "slirp4netns or rootlesskit, which here are the same"},
};

static int parse_one(struct slirp_options *o, const char *text, struct err *e)
{
    size_t n = strcspn(text, "=");
    const char *value = text[n] ? text + n + 1 : "";
    for (size_t i = 0; i < N_ELEMENTS(known); i++) {
        if (strlen(known[i].name) != n || strncmp(text, known[i].name, n) != 0)
            continue;
        if (known[i].set(o, value) == 0)
            return 0;
        return err_msg(e, EINVAL, "network slirp: %s=%s: want %s", known[i].name, value,
                       known[i].want);
    }
    err_msg(e, EINVAL, "network slirp: unknown option \"%.*s\"", (int)n, text);
    return err_hint(e, -EINVAL, "the options are " SLIRP_OPTIONS_HELP);
}

static int derive(struct slirp_options *o, struct err *e)
{
    int r = net_cidr_nth(&o->net4, OWN, &o->own4);
    r |= net_cidr_nth(&o->net4, 2, &o->gateway4) | net_cidr_nth(&o->net4, 3, &o->dns4);
    r |= net_cidr_nth(&o->net6, 0x100, &o->own6);
    r |= net_cidr_nth(&o->net6, 2, &o->gateway6) | net_cidr_nth(&o->net6, 3, &o->dns6);
    if (r != 0)
        return err_msg(e, EINVAL, "network slirp: the network is too small");
    if (o->mtu < MTU_MIN6)
        o->ipv6 = false;
    return 0;
}

int slirp_options_parse(char *const *options, struct slirp_options *ret, struct err *e)
{
    struct slirp_options o = {.mtu = MTU_DEFAULT, .ipv6 = true};
    int r = net_cidr_parse("10.0.2.0/24", &o.net4) | net_cidr_parse("fd00::/64", &o.net6);
    for (; r == 0 && options && *options; options++)
        r = parse_one(&o, *options, e);
    if (r == 0)
        r = derive(&o, e);
    if (r == 0)
        *ret = o;
    return r;
}

size_t slirp_options_message(const struct slirp_options *o, char *const *egress, char **ret)
{
    struct wire_slirp_start m = {
        .head = {.type = WIRE_SLIRP_START}, .mtu = o->mtu, .bits = o->net4.bits};
    scoped_str struct str text = STR_INIT;

    m.flags = (o->ipv6 ? WIRE_SLIRP_IPV6 : 0) | (o->packet ? WIRE_SLIRP_PACKET : 0) |
              (o->host_loopback ? WIRE_SLIRP_HOST_LOOPBACK : 0) | (egress ? WIRE_SLIRP_EGRESS : 0);
    memcpy(m.network, o->net4.addr.b, sizeof(m.network));
    memcpy(m.network6, o->net6.addr.b, sizeof(m.network6));
    memcpy(m.outbound, o->outbound4.b, sizeof(m.outbound));
    memcpy(m.outbound6, o->outbound6.b, sizeof(m.outbound6));
    memcpy(m.loopback_ports, o->ports, sizeof(m.loopback_ports));
    for (; egress && *egress; egress++)
        str_addn(&text, *egress, strlen(*egress) + 1);
    m.egress_size = (uint32_t)text.len;
    *ret = xmalloc(sizeof(m) + text.len);
    memcpy(*ret, &m, sizeof(m));
    if (text.len > 0)
        memcpy(*ret + sizeof(m), text.s, text.len);
    return sizeof(m) + text.len;
}
