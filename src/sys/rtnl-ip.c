/* rtnl-ip - addresses, routes and rules of rtnl.h. */
#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "sys/rtnl.h"

static void begin_address(struct nl_msg *m, int type, unsigned flags, int index,
                          const struct rtnl_ip *ip)
{
    struct ifaddrmsg want = {.ifa_family = ip->family,
                             .ifa_prefixlen = ip->prefix,
                             .ifa_index = (unsigned)index,
                             .ifa_flags = ip->family == AF_INET6 ? IFA_F_NODAD : 0};
    nl_begin(m, type, flags, &want, sizeof(want));
    nl_put(m, IFA_LOCAL, ip->bytes, rtnl_ip_size(ip));
    nl_put(m, IFA_ADDRESS, ip->bytes, rtnl_ip_size(ip));
}

int rtnl_address_add(int fd, int index, const struct rtnl_ip *ip)
{
    struct nl_msg m;
    begin_address(&m, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, index, ip);
    if (ip->family == AF_INET && ip->prefix < 31) {
        uint8_t broadcast[4];
        for (unsigned i = 0; i < 4; i++) {
            unsigned bits = ip->prefix >= 8 * (i + 1) ? 8 : ip->prefix > 8 * i ? ip->prefix % 8 : 0;
            broadcast[i] = (uint8_t)(ip->bytes[i] | (0xffu >> bits));
        }
        nl_put(&m, IFA_BROADCAST, broadcast, sizeof(broadcast));
    }
    return nl_transact(fd, &m);
}

int rtnl_address_del(int fd, int index, const struct rtnl_ip *ip)
{
    struct nl_msg m;
    begin_address(&m, RTM_DELADDR, 0, index, ip);
    return nl_transact(fd, &m);
}

/* The address in an attribute; family 0 when there is none of the right length. */
static struct rtnl_ip read_ip(const struct nlattr *a, int family, unsigned prefix)
{
    struct rtnl_ip ip = {.family = (uint8_t)family, .prefix = (uint8_t)prefix};
    if (!a || (family != AF_INET && family != AF_INET6) || nl_size(a) != rtnl_ip_size(&ip))
        return (struct rtnl_ip){0};
    memcpy(ip.bytes, nl_data(a), nl_size(a));
    return ip;
}

struct addresses {
    int (*each)(const struct rtnl_ip *ip, void *data);
    void *data;
    int index;
};

static int one_address(const struct nlmsghdr *h, void *data)
{
    const struct addresses *w = data;
    const struct ifaddrmsg *a = NLMSG_DATA(h);
    if (h->nlmsg_type != RTM_NEWADDR || h->nlmsg_len < NLMSG_LENGTH(sizeof(*a)))
        return -EPROTO;
    if (w->index && (int)a->ifa_index != w->index)
        return 0;
    const struct nlattr *own = nl_attr(h, sizeof(*a), IFA_LOCAL);
    if (!own)
        own = nl_attr(h, sizeof(*a), IFA_ADDRESS);
    struct rtnl_ip ip = read_ip(own, a->ifa_family, a->ifa_prefixlen);
    return ip.family ? w->each(&ip, w->data) : 0;
}

int rtnl_addresses(int fd, int index, int (*each)(const struct rtnl_ip *ip, void *data), void *data)
{
    struct nl_msg m;
    struct ifaddrmsg want = {.ifa_family = AF_UNSPEC};
    struct addresses w = {.each = each, .data = data, .index = index};
    nl_begin(&m, RTM_GETADDR, NLM_F_DUMP, &want, sizeof(want));
    return nl_dump(fd, &m, one_address, &w);
}

static void put_metrics(struct nl_msg *m, const struct rtnl_route *r)
{
    if (r->metric)
        nl_put_u32(m, RTA_PRIORITY, r->metric);
    if (!r->mtu)
        return;
    size_t metrics = nl_nest(m, RTA_METRICS);
    nl_put_u32(m, RTAX_MTU, r->mtu);
    nl_nest_end(m, metrics);
}

static int change_route(int fd, int type, unsigned flags, const struct rtnl_route *r)
{
    struct nl_msg m;
    int route_type = r->type ? r->type : RTN_UNICAST;
    bool here = route_type == RTN_LOCAL, far = r->via.family || route_type != RTN_UNICAST;
    struct rtmsg want = {
        .rtm_family = r->dst.family ? r->dst.family : r->via.family,
        .rtm_dst_len = r->dst.family ? r->dst.prefix : 0,
        .rtm_table = r->table && r->table < 256 ? (unsigned char)r->table : RT_TABLE_UNSPEC,
        .rtm_protocol = RTPROT_STATIC,
        .rtm_scope = here  ? RT_SCOPE_HOST
                     : far ? RT_SCOPE_UNIVERSE
                           : RT_SCOPE_LINK,
        .rtm_type = (unsigned char)route_type,
        .rtm_flags = r->onlink ? RTNH_F_ONLINK : 0,
    };
    if (!want.rtm_family)
        return -EINVAL;
    if (type == RTM_DELROUTE)
        want.rtm_scope = RT_SCOPE_NOWHERE;
    nl_begin(&m, type, flags, &want, sizeof(want));
    nl_put_u32(&m, RTA_TABLE, r->table ? r->table : RT_TABLE_MAIN);
    if (r->dst.family && r->dst.prefix)
        nl_put(&m, RTA_DST, r->dst.bytes, rtnl_ip_size(&r->dst));
    if (r->via.family)
        nl_put(&m, RTA_GATEWAY, r->via.bytes, rtnl_ip_size(&r->via));
    if (r->prefsrc.family)
        nl_put(&m, RTA_PREFSRC, r->prefsrc.bytes, rtnl_ip_size(&r->prefsrc));
    if (r->oif)
        nl_put_u32(&m, RTA_OIF, (uint32_t)r->oif);
    put_metrics(&m, r);
    return nl_transact(fd, &m);
}

int rtnl_route_add(int fd, const struct rtnl_route *r)
{
    return change_route(fd, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, r);
}

int rtnl_route_replace(int fd, const struct rtnl_route *r)
{
    return change_route(fd, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, r);
}

int rtnl_route_del(int fd, const struct rtnl_route *r)
{
    return change_route(fd, RTM_DELROUTE, 0, r);
}

struct routes {
    int (*each)(const struct rtnl_route *r, void *data);
    void *data;
    int family;
    uint32_t table;
};

static int one_route(const struct nlmsghdr *h, void *data)
{
    const struct routes *w = data;
    const struct rtmsg *m = NLMSG_DATA(h);
    if (h->nlmsg_type != RTM_NEWROUTE || h->nlmsg_len < NLMSG_LENGTH(sizeof(*m)))
        return -EPROTO;
    struct rtnl_route r = {
        .table = nl_u32(nl_attr(h, sizeof(*m), RTA_TABLE), m->rtm_table),
        .type = m->rtm_type,
        .oif = (int)nl_u32(nl_attr(h, sizeof(*m), RTA_OIF), 0),
        .metric = nl_u32(nl_attr(h, sizeof(*m), RTA_PRIORITY), 0),
        .via = read_ip(nl_attr(h, sizeof(*m), RTA_GATEWAY), m->rtm_family, 0),
        .prefsrc = read_ip(nl_attr(h, sizeof(*m), RTA_PREFSRC), m->rtm_family, 0),
        .mtu = nl_u32(nl_attr_nested(nl_attr(h, sizeof(*m), RTA_METRICS), RTAX_MTU), 0),
    };
    if (m->rtm_family != w->family || r.table != w->table || m->rtm_flags & RTM_F_CLONED)
        return 0;
    r.dst = read_ip(nl_attr(h, sizeof(*m), RTA_DST), m->rtm_family, m->rtm_dst_len);
    return w->each(&r, w->data);
}

int rtnl_routes(int fd, int family, uint32_t table,
                int (*each)(const struct rtnl_route *r, void *data), void *data)
{
    struct nl_msg m;
    struct rtmsg want = {.rtm_family = (unsigned char)family};
    struct routes w = {
        .each = each, .data = data, .family = family, .table = table ? table : RT_TABLE_MAIN};
    nl_begin(&m, RTM_GETROUTE, NLM_F_DUMP, &want, sizeof(want));
    return nl_dump(fd, &m, one_route, &w);
}

static void put_ports(struct nl_msg *m, int type, uint16_t first, uint16_t last)
{
    struct fib_rule_port_range range = {.start = first, .end = last ? last : first};
    if (first)
        nl_put(m, type, &range, sizeof(range));
}

static int change_rule(int fd, int type, unsigned flags, const struct rtnl_rule *r)
{
    struct nl_msg m;
    struct fib_rule_hdr want = {
        .family = (uint8_t)r->family, .action = FR_ACT_TO_TBL, .table = RT_TABLE_UNSPEC};
    nl_begin(&m, type, flags, &want, sizeof(want));
    nl_put_u32(&m, FRA_TABLE, r->table);
    nl_put_u32(&m, FRA_PRIORITY, r->priority);
    if (r->fwmask) {
        nl_put_u32(&m, FRA_FWMARK, r->fwmark);
        nl_put_u32(&m, FRA_FWMASK, r->fwmask);
    }
    if (r->ipproto)
        nl_put_u8(&m, FRA_IP_PROTO, (uint8_t)r->ipproto);
    put_ports(&m, FRA_SPORT_RANGE, r->sport, r->sport_last);
    put_ports(&m, FRA_DPORT_RANGE, r->dport, r->dport_last);
    if (r->iif)
        nl_put_str(&m, FRA_IIFNAME, r->iif);
    return nl_transact(fd, &m);
}

int rtnl_rule_add(int fd, const struct rtnl_rule *r)
{
    return change_rule(fd, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, r);
}

int rtnl_rule_del(int fd, const struct rtnl_rule *r)
{
    return change_rule(fd, RTM_DELRULE, 0, r);
}
