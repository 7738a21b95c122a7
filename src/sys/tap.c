/* tap - see tap.h. */
#include "sys/tap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/scoped.h"
#include "sys/rtnl.h"

#define FAR_NAME "far0"
#define BUFFER (8 << 20) /* bytes of frames that may wait; each of them counts double */

int tap_open(const char *name, struct err *e)
{
    struct ifreq req = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    scoped_fd int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return err_set(e, errno, "open /dev/net/tun");
    snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", name);
    if (ioctl(fd, TUNSETIFF, &req) < 0)
        return err_set(e, errno, "make the tap device %s", name);
    return take_fd(&fd);
}

/* Beyond net.core.rmem_max only where the namespace's owner may do so (Linux 5.19). */
static void enlarge(int fd, int force, int option)
{
    int size = BUFFER;
    if (setsockopt(fd, SOL_SOCKET, force, &size, sizeof(size)) < 0)
        (void)!setsockopt(fd, SOL_SOCKET, option, &size, sizeof(size));
}

int tap_packet_open(void *unused, int ret_fds[SOCK_MAX_FDS], struct err *e)
{
    int on = 1;
    (void)unused;
    if (unshare(CLONE_NEWNET) < 0)
        return err_set(e, errno, "make a network namespace");
    scoped_fd int space = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (space < 0)
        return err_set(e, errno, "open /proc/self/ns/net");
    /* Protocol 0: nothing arrives before it is bound. */
    scoped_fd int sock = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (sock < 0)
        return err_set(e, errno, "open a packet socket");
    if (setsockopt(sock, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) < 0)
        return err_set(e, errno, "set up a packet socket");
    enlarge(sock, SO_RCVBUFFORCE, SO_RCVBUF);
    enlarge(sock, SO_SNDBUFFORCE, SO_SNDBUF);
    int route = nl_open(NETLINK_ROUTE, e);
    if (route < 0)
        return route;
    ret_fds[TAP_PACKET] = take_fd(&sock);
    ret_fds[TAP_SPACE] = take_fd(&space);
    ret_fds[TAP_ROUTE] = route;
    return 0;
}

/* With no checksums by the device there is no segmentation by it either. */
static int offload_off(int sock, const char *name, struct err *e)
{
    struct ethtool_value v = {.cmd = ETHTOOL_STXCSUM, .data = 0};
    struct ifreq req = {.ifr_data = (char *)&v};
    snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", name);
    if (ioctl(sock, SIOCETHTOOL, &req) < 0)
        return err_set(e, errno, "have checksums of %s computed", name);
    return 0;
}

static int bind_packet(int fd, int index, struct err *e)
{
    struct sockaddr_ll addr = {
        .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = index};
    if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
        return err_set(e, errno, "bind a packet socket");
    return 0;
}

int tap_packet_join(const int fds[TAP_FDS], int route_fd, const char *name, unsigned mtu,
                    struct err *e)
{
    struct rtnl_change near = {.name = name, .mtu = mtu};
    struct rtnl_change far = {.name = FAR_NAME, .mtu = mtu, .netns = fds[TAP_SPACE] + 1};
    struct rtnl_link link = {.index = 0};

    int r = rtnl_veth_add(route_fd, &near, &far);
    if (r == 0)
        r = rtnl_link_get(fds[TAP_ROUTE], FAR_NAME, &link);
    if (r == 0)
        r = rtnl_link_set(fds[TAP_ROUTE], link.index, &(struct rtnl_change){.up = 1});
    if (r < 0)
        return err_set(e, -r, "make the device %s", name);
    r = bind_packet(fds[TAP_PACKET], link.index, e);
    return r < 0 ? r : offload_off(route_fd, name, e);
}
