/* options - the start message, checked. */
#include <errno.h>
#include <string.h>

#include "helpers/slirp/slirp.h"

#include "base/scoped.h"
#include "base/str.h"

static struct net_addr address(const uint8_t *p, uint8_t family)
{
    struct net_addr a = {.family = family};
    memcpy(a.b, p, family == 4 ? 4 : 16);
    if (net_addr_is_any(&a))
        a = (struct net_addr){0};
    return a;
}

static int read_networks(const struct wire_slirp_start *m, struct options *o, struct err *e)
{
    o->net4 = (struct net_cidr){address(m->network, 4), (uint8_t)m->bits};
    o->net6 = (struct net_cidr){address(m->network6, 6), 64};
    o->outbound4 = address(m->outbound, 4);
    o->outbound6 = address(m->outbound6, 6);
    if (m->bits < 8 || m->bits > 29 || !o->net4.addr.family || !net_cidr_is_network(&o->net4) ||
        net_cidr_nth(&o->net4, 2, &o->gateway4) < 0 || net_cidr_nth(&o->net4, 3, &o->dns4) < 0)
        return err_msg(e, EINVAL, "the network of rootlet-slirp is none");
    if (!(o->flags & WIRE_SLIRP_IPV6))
        return 0;
    if (!o->net6.addr.family || !net_cidr_is_network(&o->net6) ||
        net_cidr_nth(&o->net6, 2, &o->gateway6) < 0 || net_cidr_nth(&o->net6, 3, &o->dns6) < 0)
        return err_msg(e, EINVAL, "the IPv6 network of rootlet-slirp is none");
    return 0;
}

static int read_rules(const char *text, size_t size, struct egress **ret, struct err *e)
{
    struct egress *p = egress_new();
    int r = 0;
    for (size_t i = 0; r == 0 && i < size; i += strlen(text + i) + 1)
        r = egress_add(p, text + i, e);
    if (r < 0)
        egress_free(p);
    else
        *ret = p;
    return r;
}

int options_read(const uint8_t *msg, size_t size, struct options *ret, struct egress **ret_policy,
                 struct err *e)
{
    struct wire_slirp_start m;
    struct options o = {0};

    if (size < sizeof(m))
        return err_msg(e, EINVAL, "the start message of rootlet-slirp is short");
    memcpy(&m, msg, sizeof(m));
    if (m.head.type != WIRE_SLIRP_START || m.egress_size > size - sizeof(m) ||
        (m.egress_size > 0 && msg[sizeof(m) + m.egress_size - 1] != '\0'))
        return err_msg(e, EINVAL, "the start message of rootlet-slirp is wrong");
    o.flags = m.flags;
    o.mtu = m.mtu;
    memcpy(o.loopback_ports, m.loopback_ports, sizeof(o.loopback_ports));
    if (m.mtu < 576 || m.mtu > 65521 || ((m.flags & WIRE_SLIRP_IPV6) && m.mtu < 1280))
        return err_msg(e, EINVAL, "rootlet-slirp cannot have an MTU of %u", m.mtu);
    int r = read_networks(&m, &o, e);
    if (r == 0 && (m.flags & WIRE_SLIRP_EGRESS))
        r = read_rules((const char *)msg + sizeof(m), m.egress_size, ret_policy, e);
    if (r == 0)
        *ret = o;
    return r;
}
