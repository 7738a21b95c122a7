/* rtnl - links, addresses, routes and rules by rtnetlink(7), on a socket of the caller's.
 *
 * The socket decides the network namespace, which need not be ours: who owns the user namespace of
 * another one configures it from outside with a socket that was opened there (nl_open after
 * setns(2), sys/netns). Everything returns 0 or the kernel's -errno. No malloc. */
#pragma once

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "sys/netlink.h"

#define RTNL_ALIAS_MAX 256 /* IFALIASZ */

/* An address or, with a prefix length, a network; family 0: none. */
struct rtnl_ip {
    uint8_t family; /* AF_INET, AF_INET6 */
    uint8_t prefix;
    uint8_t bytes[16];
};

struct rtnl_link {
    int index, master, peer; /* peer: IFLA_LINK, a veth's other end (its index where it is) */
    int peer_ns;             /* nsid of the peer's namespace, -1: this one or unknown */
    unsigned flags, mtu;
    bool has_mac;
    uint8_t mac[6];
    char name[IFNAMSIZ], kind[16], alias[RTNL_ALIAS_MAX];
};

/* By name and by index; -ENODEV. ret may be NULL. */
int rtnl_link_get(int fd, const char *name, struct rtnl_link *ret);
int rtnl_link_get_index(int fd, int index, struct rtnl_link *ret);
/* Every link (master 0), or those of one bridge. each: what is not 0 ends it and is returned. */
int rtnl_links(int fd, int master, int (*each)(const struct rtnl_link *l, void *data), void *data);
/* Reads an RTM_NEWLINK or RTM_DELLINK (from a multicast group); 0 or -EPROTO. */
int rtnl_link_parse(const struct nlmsghdr *h, struct rtnl_link *ret);

/* What a link shall be; 0 and NULL leave it as it is. */
struct rtnl_change {
    const char *name, *alias;
    const uint8_t *mac;
    unsigned mtu;
    unsigned group; /* a number that firewalls can match on */
    int master;     /* index; -1: out of its bridge */
    int up;         /* 1 up, -1 down */
    int netns;      /* descriptor + 1 */
};
int rtnl_link_set(int fd, int index, const struct rtnl_change *c);
int rtnl_link_del(int fd, int index);

/* A new bridge; c: mac, mtu, alias, up. -EEXIST. */
int rtnl_bridge_add(int fd, const char *name, const struct rtnl_change *c);
/* A veth pair; each end may go to another namespace at once (netns). -EEXIST: name is taken in
 * either namespace. far->up is not looked at: an end cannot be up before the other one is there. An
 * alias is set only for the near end, by a second message. */
int rtnl_veth_add(int fd, const struct rtnl_change *near, const struct rtnl_change *far);

/* What a bridge does at a port. */
struct rtnl_port {
    bool isolated;    /* does not reach other isolated ports */
    bool learning;    /* learns addresses from what comes in; else only fdb entries count */
    bool flood;       /* unknown unicast goes there */
    bool mcast_flood; /* unknown multicast goes there */
    bool guard;       /* BPDUs shut it */
    bool neigh_suppress;
};
int rtnl_port_set(int fd, int index, const struct rtnl_port *p);
/* A permanent forwarding entry: mac is behind this port, and (with learning off) nowhere else. */
int rtnl_fdb_add(int fd, int index, const uint8_t mac[static 6]);
/* A permanent neighbour: ip has this mac; it is never asked for. */
int rtnl_neigh_add(int fd, int index, const struct rtnl_ip *ip, const uint8_t mac[static 6]);
int rtnl_neigh_del(int fd, int index, const struct rtnl_ip *ip);

/* Without duplicate address detection for IPv6. -EEXIST: it is there. */
int rtnl_address_add(int fd, int index, const struct rtnl_ip *ip);
int rtnl_address_del(int fd, int index, const struct rtnl_ip *ip);
int rtnl_addresses(int fd, int index, int (*each)(const struct rtnl_ip *ip, void *data),
                   void *data);

struct rtnl_route {
    struct rtnl_ip dst;     /* family 0: the default route of via's family */
    struct rtnl_ip via;     /* family 0: on the link */
    struct rtnl_ip prefsrc; /* family 0: the kernel chooses */
    int oif;                /* 0: found by via */
    uint32_t table;         /* 0: main */
    int type;               /* RTN_UNICAST (0), RTN_LOCAL, RTN_UNREACHABLE... */
    uint32_t metric, mtu;   /* 0: none */
    bool onlink;
};
int rtnl_route_add(int fd, const struct rtnl_route *r); /* -EEXIST */
int rtnl_route_replace(int fd, const struct rtnl_route *r);
int rtnl_route_del(int fd, const struct rtnl_route *r);
/* All routes of one table and family; each as above. */
int rtnl_routes(int fd, int family, uint32_t table,
                int (*each)(const struct rtnl_route *r, void *data), void *data);

struct rtnl_rule {
    int family;
    uint32_t priority, table;
    uint32_t fwmark, fwmask;    /* mask 0: no mark is looked at */
    int ipproto;                /* 0: any */
    uint16_t sport, sport_last; /* 0: any; last 0: just one */
    uint16_t dport, dport_last;
    const char *iif; /* NULL: any */
};
int rtnl_rule_add(int fd, const struct rtnl_rule *r);
int rtnl_rule_del(int fd, const struct rtnl_rule *r);

static inline unsigned rtnl_ip_size(const struct rtnl_ip *ip)
{
    return ip->family == 2 /* AF_INET */ ? 4 : 16;
}
