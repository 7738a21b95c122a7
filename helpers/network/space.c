/* The network's namespaces and what is in them from the start. */
#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/scoped.h"
#include "base/str.h"
#include "helpers/network/network.h"
#include "sys/netns.h"
#include "sys/rtnl.h"

#define DNS_PORT 53
#define BACKLOG 64

static int write_map(const char *name, unsigned id, struct err *e)
{
    scoped_free char *text = xasprintf("0 %u 1", id);
    return fs_write_text(AT_FDCWD, name, text, e);
}

/* In a child: namespaces of our own, in which we are root with one id. */
static int make(void *data, int ret_fds[SOCK_MAX_FDS], struct err *e)
{
    (void)data;
    unsigned uid = geteuid(), gid = getegid();
    /* Our files in /proc are root's while we are not dumpable; nobody is here who could trace. */
    if (prctl(PR_SET_DUMPABLE, 1) < 0 || unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
        return err_hint(e, err_set(e, errno, "make a network namespace"),
                        "user namespaces or their number may be restricted: rootlet doctor");
    int r = fs_write_text(AT_FDCWD, "/proc/self/setgroups", "deny", e);
    if (r == 0)
        r = write_map("/proc/self/gid_map", gid, e);
    if (r == 0)
        r = write_map("/proc/self/uid_map", uid, e);
    if (r < 0)
        return r;
    ret_fds[0] = open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC);
    ret_fds[1] = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (ret_fds[0] < 0 || ret_fds[1] < 0)
        return err_set(e, errno, "open the network's namespaces");
    return 0;
}

static int open_monitor(struct err *e)
{
    struct sockaddr_nl group = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
    scoped_fd int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (fd < 0 || bind(fd, (struct sockaddr *)&group, sizeof(group)) < 0)
        return err_set(e, errno, "listen for changes of links");
    return take_fd(&fd);
}

/* In a child that is in the namespaces. */
static int open_inside(void *data, int ret_fds[SOCK_MAX_FDS], struct err *e)
{
    const struct network *n = data;
    int r = fs_write_text(AT_FDCWD, "/proc/sys/net/ipv4/ip_forward", "1", e);
    if (r == 0 && n->range[1].net.addr.family) {
        fs_write_text(AT_FDCWD, "/proc/sys/net/ipv6/conf/all/disable_ipv6", "0", NULL);
        fs_write_text(AT_FDCWD, "/proc/sys/net/ipv6/conf/default/disable_ipv6", "0", NULL);
        r = fs_write_text(AT_FDCWD, "/proc/sys/net/ipv6/conf/all/forwarding", "1", e);
    }
    /* Members are no routers for us. */
    fs_write_text(AT_FDCWD, "/proc/sys/net/ipv6/conf/default/accept_ra", "0", NULL);
    if (r < 0)
        return err_add(e, r, "forwarding in the network's namespace");
    ret_fds[0] = nl_open(NETLINK_ROUTE, e);
    if (ret_fds[0] < 0)
        return ret_fds[0];
    ret_fds[1] = open_monitor(e);
    return ret_fds[1] < 0 ? ret_fds[1] : 0;
}

struct dns_place {
    int family, type;
    const struct net_addr *addr;
};

static int open_dns_socket(const struct dns_place *p, struct err *e)
{
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } a = {.any.sa_family = (sa_family_t)p->family};
    int one = 1;
    scoped_fd int fd = socket(p->family, p->type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_set(e, errno, "open a socket for names");
    if (p->family == AF_INET) {
        a.in.sin_port = htons(DNS_PORT);
        memcpy(&a.in.sin_addr, p->addr->b, 4);
    } else {
        a.in6.sin6_port = htons(DNS_PORT);
        memcpy(&a.in6.sin6_addr, p->addr->b, 16);
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    /* The name server of a manager that was killed may take a moment to end. */
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
    /* The address may be there a moment later than this. */
    setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &one, sizeof(one));
    if (bind(fd, &a.any, sizeof(a)) < 0 || (p->type == SOCK_STREAM && listen(fd, BACKLOG) < 0))
        return err_set(e, errno, "bind the port of names");
    return take_fd(&fd);
}

static int open_dns(void *data, int ret_fds[SOCK_MAX_FDS], struct err *e)
{
    const struct network *n = data;
    size_t at = 0;
    for (size_t i = 0; i < 2; i++) {
        const struct net_addr *gateway = &n->range[i].gateway;
        for (int tcp = 0; gateway->family && tcp < 2; tcp++) {
            const struct dns_place p = {i ? AF_INET6 : AF_INET, tcp ? SOCK_STREAM : SOCK_DGRAM,
                                        gateway};
            int fd = open_dns_socket(&p, e);
            if (fd < 0)
                return fd;
            ret_fds[at++] = fd;
        }
    }
    return 0;
}

static int enter_and(struct network *n, int (*fn)(void *, int *, struct err *),
                     int ret_fds[SOCK_MAX_FDS], struct err *e)
{
    return netns_run(n->userns_fd, n->netns_fd, fn, n, ret_fds, e);
}

static int open_all(struct network *n, struct err *e)
{
    int fds[SOCK_MAX_FDS];
    int r = enter_and(n, open_inside, fds, e);
    if (r < 0)
        return r;
    n->route_fd = fds[0];
    n->monitor_fd = fds[1];
    if (n->cfg.no_dns)
        return 0;
    r = enter_and(n, open_dns, fds, e);
    if (r < 0)
        return r;
    /* IPv6 alone has the first two. */
    size_t at = n->range[0].gateway.family ? 0 : 2;
    for (size_t i = 0; at < SOCK_MAX_FDS; i++)
        n->dns_fd[at++] = fds[i];
    return 0;
}

struct rtnl_ip rtnl_ip_of(const struct net_addr *a, unsigned prefix)
{
    struct rtnl_ip ip = {.family = a->family == 4 ? AF_INET : AF_INET6, .prefix = (uint8_t)prefix};
    memcpy(ip.bytes, a->b, sizeof(ip.bytes));
    return ip;
}

/* The network's name, where a link can be called so and none of ours is. */
static const char *bridge_name(const struct network *n)
{
    static const char *const ours[] = {"lo", "all", "default", ".", ".."};
    const char *name = n->cfg.name;
    bool bad = strlen(name) >= IFNAMSIZ || strpbrk(name, "/:%") || str_after(name, "uplink") ||
               str_after(name, "v-");
    for (size_t i = 0; i < N_ELEMENTS(ours); i++)
        bad = bad || streq(name, ours[i]);
    return bad ? "bridge0" : name;
}

static int make_bridge(struct network *n, struct err *e)
{
    const char *name = bridge_name(n);
    uint8_t mac[6];
    ipam_mac(&n->range[n->range[0].gateway.family ? 0 : 1].gateway, mac);
    struct rtnl_link link;
    int r = rtnl_link_get(n->route_fd, name, &link);
    if (r == -ENODEV) {
        r = rtnl_bridge_add(n->route_fd, name,
                            &(struct rtnl_change){.mac = mac, .mtu = n->mtu, .up = 1});
        if (r == 0)
            r = rtnl_link_get(n->route_fd, name, &link);
    }
    if (r < 0)
        return err_set(e, -r, "make the bridge %s", name);
    n->bridge = link.index;
    for (size_t i = 0; i < 2; i++) {
        if (!n->range[i].gateway.family)
            continue;
        struct rtnl_ip ip = rtnl_ip_of(&n->range[i].gateway, n->range[i].net.bits);
        r = rtnl_address_add(n->route_fd, n->bridge, &ip);
        if (r < 0 && r != -EEXIST)
            return err_set(e, -r, "give the bridge %s its address", name);
    }
    struct rtnl_link lo;
    if (rtnl_link_get(n->route_fd, "lo", &lo) == 0)
        rtnl_link_set(n->route_fd, lo.index, &(struct rtnl_change){.up = 1});
    return 0;
}

int space_open(struct network *n, int userns_fd, int netns_fd, struct err *e)
{
    int fds[SOCK_MAX_FDS] = {userns_fd, netns_fd, -1, -1};
    int r = userns_fd < 0 ? netns_run(-1, -1, make, n, fds, e) : 0;
    if (r < 0)
        return r;
    n->userns_fd = fds[0];
    n->netns_fd = fds[1];
    r = open_all(n, e);
    return r < 0 ? r : make_bridge(n, e);
}
