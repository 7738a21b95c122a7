/* rtnl - links; rtnl-ip.c has addresses, routes and rules. */
#include "sys/rtnl.h"

#include <errno.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <string.h>
#include <sys/socket.h>

static void copy_text(char *to, size_t size, const char *from)
{
    size_t n = strnlen(from, size - 1);
    memcpy(to, from, n);
    to[n] = '\0';
}

int rtnl_link_parse(const struct nlmsghdr *h, struct rtnl_link *ret)
{
    const struct ifinfomsg *m = NLMSG_DATA(h);
    if ((h->nlmsg_type != RTM_NEWLINK && h->nlmsg_type != RTM_DELLINK) ||
        h->nlmsg_len < NLMSG_LENGTH(sizeof(*m)))
        return -EPROTO;
    *ret = (struct rtnl_link){.index = m->ifi_index, .flags = m->ifi_flags};
    ret->mtu = nl_u32(nl_attr(h, sizeof(*m), IFLA_MTU), 0);
    ret->master = (int)nl_u32(nl_attr(h, sizeof(*m), IFLA_MASTER), 0);
    ret->peer = (int)nl_u32(nl_attr(h, sizeof(*m), IFLA_LINK), 0);
    ret->peer_ns = (int)nl_u32(nl_attr(h, sizeof(*m), IFLA_LINK_NETNSID), UINT32_MAX);
    const struct nlattr *mac = nl_attr(h, sizeof(*m), IFLA_ADDRESS);
    ret->has_mac = mac && nl_size(mac) == sizeof(ret->mac);
    if (ret->has_mac)
        memcpy(ret->mac, nl_data(mac), sizeof(ret->mac));
    copy_text(ret->name, sizeof(ret->name), nl_str(nl_attr(h, sizeof(*m), IFLA_IFNAME)));
    copy_text(ret->alias, sizeof(ret->alias), nl_str(nl_attr(h, sizeof(*m), IFLA_IFALIAS)));
    const struct nlattr *info = nl_attr(h, sizeof(*m), IFLA_LINKINFO);
    copy_text(ret->kind, sizeof(ret->kind), nl_str(nl_attr_nested(info, IFLA_INFO_KIND)));
    return 0;
}

struct links {
    int (*each)(const struct rtnl_link *l, void *data);
    void *data;
    int master;
};

static int one_link(const struct nlmsghdr *h, void *data)
{
    const struct links *w = data;
    struct rtnl_link l;
    int r = rtnl_link_parse(h, &l);
    if (r < 0 || (w->master && l.master != w->master))
        return r;
    return w->each(&l, w->data);
}

/* A kernel that was asked for one says a negative or 0, never a positive number: 1 is ours. */
static int keep_link(const struct nlmsghdr *h, void *data)
{
    int r = rtnl_link_parse(h, data);
    return r < 0 ? r : 1;
}

static int get_link(int fd, const struct ifinfomsg *want, const char *name, struct rtnl_link *ret)
{
    struct nl_msg m;
    struct rtnl_link found;
    nl_begin(&m, RTM_GETLINK, 0, want, sizeof(*want));
    if (name)
        nl_put_str(&m, IFLA_IFNAME, name);
    int r = nl_dump(fd, &m, keep_link, &found);
    if (r <= 0)
        return r < 0 ? r : -ENODEV;
    if (ret)
        *ret = found;
    return 0;
}

int rtnl_link_get(int fd, const char *name, struct rtnl_link *ret)
{
    struct ifinfomsg want = {.ifi_family = AF_UNSPEC};
    return *name && strlen(name) < IFNAMSIZ ? get_link(fd, &want, name, ret) : -ENODEV;
}

int rtnl_link_get_index(int fd, int index, struct rtnl_link *ret)
{
    struct ifinfomsg want = {.ifi_family = AF_UNSPEC, .ifi_index = index};
    return index > 0 ? get_link(fd, &want, NULL, ret) : -ENODEV;
}

int rtnl_links(int fd, int master, int (*each)(const struct rtnl_link *l, void *data), void *data)
{
    struct nl_msg m;
    struct ifinfomsg want = {.ifi_family = AF_UNSPEC};
    struct links w = {.each = each, .data = data, .master = master};
    nl_begin(&m, RTM_GETLINK, NLM_F_DUMP, &want, sizeof(want));
    if (master)
        nl_put_u32(&m, IFLA_MASTER, (uint32_t)master);
    return nl_dump(fd, &m, one_link, &w);
}

static void set_flags(struct ifinfomsg *i, const struct rtnl_change *c)
{
    i->ifi_change = c->up ? IFF_UP : 0;
    i->ifi_flags = c->up > 0 ? IFF_UP : 0;
}

static void put_change(struct nl_msg *m, const struct rtnl_change *c)
{
    if (c->name)
        nl_put_str(m, IFLA_IFNAME, c->name);
    if (c->mac)
        nl_put(m, IFLA_ADDRESS, c->mac, 6);
    if (c->mtu)
        nl_put_u32(m, IFLA_MTU, c->mtu);
    if (c->group)
        nl_put_u32(m, IFLA_GROUP, c->group);
    if (c->master)
        nl_put_u32(m, IFLA_MASTER, c->master > 0 ? (uint32_t)c->master : 0);
    if (c->alias)
        nl_put(m, IFLA_IFALIAS, c->alias, strlen(c->alias));
    if (c->netns)
        nl_put_u32(m, IFLA_NET_NS_FD, (uint32_t)(c->netns - 1));
}

int rtnl_link_set(int fd, int index, const struct rtnl_change *c)
{
    struct nl_msg m;
    struct ifinfomsg want = {.ifi_family = AF_UNSPEC, .ifi_index = index};
    set_flags(&want, c);
    nl_begin(&m, RTM_NEWLINK, 0, &want, sizeof(want));
    put_change(&m, c);
    return nl_transact(fd, &m);
}

int rtnl_link_del(int fd, int index)
{
    struct nl_msg m;
    struct ifinfomsg want = {.ifi_family = AF_UNSPEC, .ifi_index = index};
    nl_begin(&m, RTM_DELLINK, 0, &want, sizeof(want));
    return nl_transact(fd, &m);
}

/* RTM_NEWLINK makes a link without its alias (rtnl_create_link leaves it out). */
static int set_alias(int fd, const struct rtnl_change *c)
{
    struct rtnl_link l;
    if (!c->alias || !c->name || c->netns)
        return 0;
    int r = rtnl_link_get(fd, c->name, &l);
    return r < 0 ? r : rtnl_link_set(fd, l.index, &(struct rtnl_change){.alias = c->alias});
}

int rtnl_bridge_add(int fd, const char *name, const struct rtnl_change *c)
{
    struct nl_msg m;
    struct rtnl_change want = *c;
    struct ifinfomsg head = {.ifi_family = AF_UNSPEC};
    want.name = name;
    set_flags(&head, c);
    nl_begin(&m, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &head, sizeof(head));
    put_change(&m, &want);
    size_t info = nl_nest(&m, IFLA_LINKINFO);
    nl_put_str(&m, IFLA_INFO_KIND, "bridge");
    nl_nest_end(&m, info);
    int r = nl_transact(fd, &m);
    return r < 0 ? r : set_alias(fd, &want);
}

int rtnl_veth_add(int fd, const struct rtnl_change *near, const struct rtnl_change *far)
{
    struct nl_msg m;
    struct ifinfomsg head = {.ifi_family = AF_UNSPEC}, peer = {.ifi_family = AF_UNSPEC};
    set_flags(&head, near);
    nl_begin(&m, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &head, sizeof(head));
    put_change(&m, near);
    size_t info = nl_nest(&m, IFLA_LINKINFO);
    nl_put_str(&m, IFLA_INFO_KIND, "veth");
    size_t data = nl_nest(&m, IFLA_INFO_DATA), end = nl_nest(&m, VETH_INFO_PEER);
    nl_put_raw(&m, &peer, sizeof(peer));
    put_change(&m, far);
    nl_nest_end(&m, end);
    nl_nest_end(&m, data);
    nl_nest_end(&m, info);
    int r = nl_transact(fd, &m);
    return r < 0 ? r : set_alias(fd, near);
}

int rtnl_port_set(int fd, int index, const struct rtnl_port *p)
{
    struct nl_msg m;
    struct ifinfomsg want = {.ifi_family = AF_BRIDGE, .ifi_index = index};
    nl_begin(&m, RTM_SETLINK, 0, &want, sizeof(want));
    size_t port = nl_nest(&m, IFLA_PROTINFO);
    nl_put_u8(&m, IFLA_BRPORT_ISOLATED, p->isolated);
    nl_put_u8(&m, IFLA_BRPORT_LEARNING, p->learning);
    nl_put_u8(&m, IFLA_BRPORT_UNICAST_FLOOD, p->flood);
    nl_put_u8(&m, IFLA_BRPORT_MCAST_FLOOD, p->mcast_flood);
    nl_put_u8(&m, IFLA_BRPORT_GUARD, p->guard);
    nl_put_u8(&m, IFLA_BRPORT_NEIGH_SUPPRESS, p->neigh_suppress);
    nl_nest_end(&m, port);
    return nl_transact(fd, &m);
}

int rtnl_fdb_add(int fd, int index, const uint8_t mac[static 6])
{
    struct nl_msg m;
    struct ndmsg want = {.ndm_family = AF_BRIDGE,
                         .ndm_ifindex = index,
                         .ndm_state = NUD_NOARP,
                         .ndm_flags = NTF_MASTER};
    nl_begin(&m, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &want, sizeof(want));
    nl_put(&m, NDA_LLADDR, mac, 6);
    return nl_transact(fd, &m);
}

static int change_neigh(int fd, int type, int index, const struct rtnl_ip *ip, const uint8_t *mac)
{
    struct nl_msg m;
    struct ndmsg want = {
        .ndm_family = ip->family, .ndm_ifindex = index, .ndm_state = NUD_PERMANENT};
    nl_begin(&m, type, type == RTM_NEWNEIGH ? NLM_F_CREATE | NLM_F_REPLACE : 0, &want,
             sizeof(want));
    nl_put(&m, NDA_DST, ip->bytes, rtnl_ip_size(ip));
    if (mac)
        nl_put(&m, NDA_LLADDR, mac, 6);
    return nl_transact(fd, &m);
}

int rtnl_neigh_add(int fd, int index, const struct rtnl_ip *ip, const uint8_t mac[static 6])
{
    return change_neigh(fd, RTM_NEWNEIGH, index, ip, mac);
}

int rtnl_neigh_del(int fd, int index, const struct rtnl_ip *ip)
{
    return change_neigh(fd, RTM_DELNEIGH, index, ip, NULL);
}
