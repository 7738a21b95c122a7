/* space - the container's network namespace: what makes it answer to clients' own addresses.
 *
 * A TCP connection is made from the client's address (IP_TRANSPARENT) with a mark; the server's
 * side of it gets the same mark (tcp_fwmark_accept, fwmark_reflect), and packets with the mark are
 * delivered here, not sent out. UDP has no mark to hand on: there a rule takes the answers by their
 * source port, and a route for each client says that its address is here (and which address of the
 * container answers, for servers bound to all of them). Routes and rules go with the namespace. */
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "base/scoped.h"
#include "helpers/ports/ports.h"
#include "net/addr.h"
#include "sys/rtnl.h"

#ifndef IPV6_TRANSPARENT
#define IPV6_TRANSPARENT 75
#endif

enum {
    MARK = 0x726c7470,
    TABLE_TCP = 0x726c01,
    TABLE_UDP = 0x726c02,
    PRIORITY = 1000, /* behind the local table, before everything else */
};

static struct {
    int netlink, loopback;
    bool keep[2]; /* IPv4, IPv6: the client's address can be kept */
    union peer address[2], gateway[2];
} space = {.netlink = -1};

static int slot(const union peer *p)
{
    return p->any.sa_family == AF_INET6;
}

static socklen_t peer_size(const union peer *p)
{
    return p->any.sa_family == AF_INET6 ? sizeof(p->six) : sizeof(p->four);
}

static void set_port(union peer *p, uint16_t port)
{
    if (p->any.sa_family == AF_INET6)
        p->six.sin6_port = htons(port);
    else
        p->four.sin_port = htons(port);
}

static uint16_t get_port(const union peer *p)
{
    return ntohs(p->any.sa_family == AF_INET6 ? p->six.sin6_port : p->four.sin_port);
}

static struct net_addr get_address(const union peer *p)
{
    struct net_addr a = {.family = p->any.sa_family == AF_INET6 ? 6 : 4};
    if (a.family == 6)
        memcpy(a.b, &p->six.sin6_addr, 16);
    else
        memcpy(a.b, &p->four.sin_addr, 4);
    return a;
}

static struct rtnl_ip whole_ip(const union peer *p)
{
    struct net_addr a = get_address(p);
    struct rtnl_ip ip = {.family = (uint8_t)p->any.sa_family, .prefix = a.family == 6 ? 128 : 32};
    memcpy(ip.bytes, a.b, sizeof(ip.bytes));
    return ip;
}

static void set4(union peer *p, const uint8_t bytes[static 4])
{
    static const uint8_t none[4];
    *p = (union peer){.any = {.sa_family = memcmp(bytes, none, 4) ? AF_INET : AF_UNSPEC}};
    memcpy(&p->four.sin_addr, bytes, 4);
}

static void set6(union peer *p, const uint8_t bytes[static 16])
{
    static const uint8_t none[16];
    *p = (union peer){.any = {.sa_family = memcmp(bytes, none, 16) ? AF_INET6 : AF_UNSPEC}};
    memcpy(&p->six.sin6_addr, bytes, 16);
}

void space_addresses(const struct wire_ports_start *m)
{
    set4(&space.address[0], m->address4);
    set4(&space.gateway[0], m->gateway4);
    set6(&space.address[1], m->address6);
    set6(&space.gateway[1], m->gateway6);
}

static bool set(const char *path)
{
    scoped_fd int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd >= 0 && write(fd, "1", 1) == 1;
}

/* /proc/sys/net is that of the namespace that we are in; its owner may write it. The mark is handed
 * on to what is accepted, and (reflect) to what the kernel itself answers: a reset. */
static bool hand_marks_on(void)
{
    return set("/proc/sys/net/ipv4/tcp_fwmark_accept") && set("/proc/sys/net/ipv4/fwmark_reflect");
}

static int drop_route(const struct rtnl_route *r, void *data)
{
    (void)data;
    rtnl_route_del(space.netlink, r);
    return 0;
}

static bool prepare(int family)
{
    struct rtnl_rule rule = {.family = family,
                             .priority = PRIORITY,
                             .table = TABLE_TCP,
                             .fwmark = MARK,
                             .fwmask = UINT32_MAX};
    struct rtnl_route route = {.dst = {.family = (uint8_t)family},
                               .oif = space.loopback,
                               .table = TABLE_TCP,
                               .type = RTN_LOCAL};
    /* Of one before us that was killed. */
    rtnl_routes(space.netlink, family, TABLE_UDP, drop_route, NULL);
    int r = rtnl_rule_add(space.netlink, &rule);
    if (r == 0 || r == -EEXIST)
        r = rtnl_route_add(space.netlink, &route);
    return r == 0 || r == -EEXIST;
}

/* EINVAL: it is the user namespace that we are in. setns(2) */
int space_enter(const struct wire_ports_start *m, const int fds[static 4], struct err *e)
{
    struct rtnl_link lo;
    space_addresses(m);
    if (setns(fds[1], CLONE_NEWUSER) < 0 && errno != EINVAL)
        return err_set(e, errno, "enter the container's user namespace");
    if (setns(fds[2], CLONE_NEWNET) < 0)
        return err_set(e, errno, "enter the container's network namespace");
    space.netlink = nl_open(NETLINK_ROUTE, e);
    if (space.netlink < 0)
        return space.netlink;
    int r = rtnl_link_get(space.netlink, "lo", &lo);
    if (r < 0)
        return err_set(e, -r, "find the loopback device");
    space.loopback = lo.index;
    if (hand_marks_on()) {
        space.keep[0] = prepare(AF_INET);
        space.keep[1] = set("/proc/sys/net/ipv6/fwmark_reflect") && prepare(AF_INET6);
    }
    return 0;
}

/* An address that the container cannot have as a client's: its own loopback, a link's. */
static bool never_shown(const union peer *client)
{
    struct net_addr a = get_address(client);
    return net_addr_is_loopback(&a) || net_addr_is_any(&a) ||
           (a.family == 6 && net_addr_is_linklocal(&a));
}

enum how { AS_CLIENT, AS_CLIENT_ANY_PORT, AS_GATEWAY, PLAIN };

static int make_transparent(int fd, int family, int type)
{
    int on = 1;
    unsigned mark = MARK;
    int r = family == AF_INET6 ? setsockopt(fd, SOL_IPV6, IPV6_TRANSPARENT, &on, sizeof(on))
                               : setsockopt(fd, SOL_IP, IP_TRANSPARENT, &on, sizeof(on));
    if (r == 0 && type == SOCK_STREAM)
        r = setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark));
    return r < 0 ? -errno : 0;
}

/* The local side of a socket: an address that is not ours. -EADDRINUSE when the container has it.
 */
static int bind_as(int fd, int type, enum how how, const union peer *client, union peer *ret_from)
{
    union peer from = how == AS_GATEWAY ? space.gateway[slot(client)] : *client;
    int on = 1;
    if (from.any.sa_family == AF_UNSPEC)
        return -EADDRNOTAVAIL;
    set_port(&from, 0);
    /* Without transparency only an own address can be bound. */
    if (bind(fd, &from.any, peer_size(&from)) == 0)
        return -EADDRINUSE;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    int r = make_transparent(fd, from.any.sa_family, type);
    if (r < 0)
        return r;
    /* A port of the kernel's choice: when it knows where we connect to. */
    if (how == AS_CLIENT || (how == AS_GATEWAY && type == SOCK_DGRAM))
        set_port(&from, get_port(client));
    else
        setsockopt(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    *ret_from = from;
    return bind(fd, &from.any, peer_size(&from)) < 0 ? -errno : 0;
}

static int try_connect(int type, enum how how, const union peer *client, const union peer *to,
                       union peer *ret_from)
{
    scoped_fd int fd = socket(to->any.sa_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    *ret_from = (union peer){.any = {.sa_family = AF_UNSPEC}};
    int r = how == PLAIN ? 0 : bind_as(fd, type, how, client, ret_from);
    if (r < 0)
        return r;
    if (connect(fd, &to->any, peer_size(to)) < 0 && errno != EINPROGRESS)
        return -errno;
    return take_fd(&fd);
}

int space_connect(int type, const union peer *client, uint16_t port, bool any_port,
                  union peer *ret_from)
{
    union peer asked = *client;
    int which = slot(client), fd = -ENETUNREACH;
    enum how how = any_port ? AS_CLIENT_ANY_PORT : AS_CLIENT;
    if (never_shown(client))
        how = AS_GATEWAY;
    if (space.address[which].any.sa_family == AF_UNSPEC) {
        /* Only of the other family: there the client has no address. */
        which = !which;
        how = AS_GATEWAY;
        asked = space.gateway[which];
        asked.any.sa_family = which ? AF_INET6 : AF_INET;
        set_port(&asked, get_port(client));
    }
    union peer to = space.address[which];
    if (to.any.sa_family == AF_UNSPEC)
        return -ENETUNREACH;
    set_port(&to, port);
    if (!space.keep[which])
        how = PLAIN;
    for (; how <= PLAIN; how++) {
        fd = try_connect(type, how, &asked, &to, ret_from);
        if (fd >= 0 || fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM || fd == -ECONNREFUSED)
            break;
    }
    return fd;
}

void space_rule(uint16_t port, bool add)
{
    for (int i = 0; i < 2; i++) {
        struct rtnl_rule rule = {.family = i ? AF_INET6 : AF_INET,
                                 .priority = PRIORITY,
                                 .table = TABLE_UDP,
                                 .ipproto = IPPROTO_UDP,
                                 .sport = port};
        if (add)
            rtnl_rule_add(space.netlink, &rule);
        else
            rtnl_rule_del(space.netlink, &rule);
    }
}

void space_route(const union peer *to, bool add)
{
    int which = slot(to);
    struct rtnl_route route = {.dst = whole_ip(to),
                               .prefsrc = whole_ip(&space.address[which]),
                               .oif = space.loopback,
                               .table = TABLE_UDP,
                               .type = RTN_LOCAL};
    if (add)
        rtnl_route_replace(space.netlink, &route);
    else
        rtnl_route_del(space.netlink, &route);
}
