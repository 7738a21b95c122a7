/* "slirp": user-mode network address translation by rootlet-slirp, without any privilege. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/path.h"
#include "base/scoped.h"
#include "base/str.h"
#include "base/strv.h"
#include "net/egress.h"
#include "net/wire.h"
#include "network/drivers-priv.h"
#include "network/slirp-options.h"
#include "sys/netns.h"
#include "sys/rtnl.h"
#include "sys/tap.h"

enum { KEEP_DEVICE, START_MS = 20000, AGAIN_MS = 10000, RESOLVER_MAX = 8192 };
#define WHAT "slirp"
#define PROGRAM "rootlet-slirp"

static int probe(char why[static 256])
{
#ifndef HAVE_SLIRP
    snprintf(why, 256, "this build has no rootlet-slirp (configure --without-slirp)");
    return 0;
#else
    scoped_free char *libexec = conf_libexec();
    scoped_free char *path = path_join(libexec, PROGRAM);
    if (access(path, X_OK) < 0) {
        snprintf(why, 256, "%.180s: %s", path, strerror(errno));
        return 0;
    }
    if (access("/dev/net/tun", R_OK | W_OK) < 0)
        snprintf(why, 256, "user-mode; /dev/net/tun: %s, so by a packet socket", strerror(errno));
    else
        snprintf(why, 256, "user-mode, by libslirp");
    return 5;
#endif
}

static int plan(const struct network_plan *p, struct spec *s, struct err *e)
{
    struct slirp_options o;
    int r = slirp_options_parse(p->options, &o, e);
    for (char **t = p->egress; r == 0 && t && *t; t++)
        r = egress_check(*t, e);
    if (r == 0)
        spec_namespace_set(s, "network", NULL);
    return r;
}

static int inside(const struct network_plan *p, struct err *e)
{
    (void)p;
    return network_loopback_up(e);
}

static int start_process(struct network_run *run, struct network_process *p, struct err *e)
{
    struct network_start s = {.what = WHAT, .program = PROGRAM};
    if (p)
        return network_process_again(run, p, &s, e);
    return network_process_start(run, &network_slirp, &s, e) ? 0 : -e->errnum;
}

/* Else every connection would fail, and nobody would know why. */
static int check_outbound(const char *option, const struct net_addr *a, struct err *e)
{
    char text[NET_ADDR_TEXT];
    struct sockaddr_in four = {.sin_family = AF_INET};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    bool is4 = a->family == 4;
    if (a->family == 0)
        return 0;
    memcpy(is4 ? (void *)&four.sin_addr : (void *)&six.sin6_addr, a->b, net_addr_size(a));
    scoped_fd int fd = socket(is4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && (is4 ? bind(fd, (struct sockaddr *)&four, sizeof(four))
                        : bind(fd, (struct sockaddr *)&six, sizeof(six))) == 0)
        return 0;
    if (errno != EADDRNOTAVAIL && errno != EAFNOSUPPORT)
        return 0;
    return err_hint(e,
                    err_msg(e, errno, "%s=%s: this host does not have that address", option,
                            net_addr_format(a, text)),
                    "'ip -br address' shows those that it has");
}

/* Its libraries are loaded while the container's root is mounted. */
static int prepare(struct network_run *run, struct err *e)
{
    struct slirp_options o;
    int r = slirp_options_parse(run->plan->options, &o, e);
    if (r == 0)
        r = check_outbound("outbound_addr", &o.outbound4, e);
    if (r == 0)
        r = check_outbound("outbound_addr6", &o.outbound6, e);
    return r == 0 ? start_process(run, NULL, e) : err_add(e, r, "slirp");
}

/* --- in the container's network namespace --- */

struct inside_job {
    bool tap;
};

static int open_inside(void *data, int ret_fds[], struct err *e)
{
    const struct inside_job *job = data;
    int n = 0, fd;

    network_refuse_advertisements();
    if (job->tap) {
        fd = tap_open(SLIRP_DEVICE, e);
        if (fd < 0)
            return fd;
        ret_fds[n++] = fd;
    }
    fd = nl_open(NETLINK_ROUTE, e);
    if (fd < 0)
        return fd;
    ret_fds[n] = fd;
    return 0;
}

static int open_tap(struct network_run *run, int *ret_device, struct err *e)
{
    int fds[SOCK_MAX_FDS];
    int r = network_run_inside(run, open_inside, &(struct inside_job){true}, fds, e);
    if (r < 0)
        return r;
    *ret_device = fds[0];
    fd_close(&run->route_fd);
    run->route_fd = fds[1];
    return 0;
}

static int open_packet(struct network_run *run, unsigned mtu, int *ret_device, struct err *e)
{
    int fds[SOCK_MAX_FDS], route[SOCK_MAX_FDS];
    int r = network_run_inside(run, open_inside, &(struct inside_job){false}, route, e);
    if (r < 0)
        return r;
    fd_close(&run->route_fd);
    run->route_fd = route[0];
    r = netns_run(run->userns_fd, -1, tap_packet_open, NULL, fds, e);
    if (r < 0)
        return r;
    r = tap_packet_join(fds, run->route_fd, SLIRP_DEVICE, mtu, e);
    if (r == 0)
        *ret_device = take_fd(&fds[TAP_PACKET]);
    for (int i = 0; i < TAP_FDS; i++)
        fd_close(&fds[i]);
    return r;
}

/* The device as asked for, else as it can be had. Sets o->packet. */
static int open_device(struct network_run *run, struct slirp_options *o, int *ret, struct err *e)
{
    struct err first = ERR_INIT;
    if (!o->packet) {
        int r = open_tap(run, ret, &first);
        if (r == 0 || o->tap)
            return r < 0 && e ? (*e = first, r) : r;
        o->packet = true;
    }
    int r = open_packet(run, o->mtu, ret, e);
    if (r < 0 && first.errnum)
        err_hint(e, r, "a tap cannot be had either: %s", first.msg);
    return r;
}

/* --- configuration, from outside --- */

static struct rtnl_ip to_ip(const struct net_addr *a, uint8_t bits)
{
    struct rtnl_ip ip = {.family = a->family == 4 ? AF_INET : AF_INET6, .prefix = bits};
    memcpy(ip.bytes, a->b, net_addr_size(a));
    return ip;
}

static int add_family(int fd, int index, const struct net_addr *own, const struct net_addr *gateway,
                      uint8_t bits)
{
    struct rtnl_ip ip = to_ip(own, bits);
    struct rtnl_route route = {.via = to_ip(gateway, 0), .oif = index};
    int r = rtnl_address_add(fd, index, &ip);
    return r < 0 ? r : rtnl_route_add(fd, &route);
}

static int configure(const struct network_run *run, struct slirp_options *o, struct err *e)
{
    int fd = run->route_fd;
    struct rtnl_link link;
    int r = rtnl_link_get(fd, SLIRP_DEVICE, &link);
    if (r == 0)
        r = rtnl_link_set(fd, link.index, &(struct rtnl_change){.mtu = o->mtu, .up = 1});
    if (r == 0)
        r = add_family(fd, link.index, &o->own4, &o->gateway4, o->net4.bits);
    if (r < 0)
        return err_set(e, -r, "configure the container's device " SLIRP_DEVICE);
    if (!o->ipv6)
        return 0;
    r = add_family(fd, link.index, &o->own6, &o->gateway6, o->net6.bits);
    if (r == -EOPNOTSUPP || r == -EACCES || r == -EAFNOSUPPORT || r == -EPERM) {
        o->ipv6 = false; /* the host's kernel has none, or it is switched off */
        r = 0;
    }
    return r < 0 ? err_set(e, -r, "give the container an IPv6 address") : 0;
}

static void describe(struct network_run *run, const struct slirp_options *o)
{
    char text[NET_CIDR_TEXT], addr[NET_ADDR_TEXT];
    struct rtnl_link link;
    struct network_interface *i = network_run_add(run, SLIRP_DEVICE, WHAT);

    i->address = xstrdup(net_cidr_format(&(struct net_cidr){o->own4, o->net4.bits}, text));
    i->gateway = xstrdup(net_addr_format(&o->gateway4, addr));
    strv_add(&run->dns, net_addr_format(&o->dns4, addr));
    if (o->ipv6) {
        i->address6 = xstrdup(net_cidr_format(&(struct net_cidr){o->own6, o->net6.bits}, text));
        i->gateway6 = xstrdup(net_addr_format(&o->gateway6, addr));
        strv_add(&run->dns, net_addr_format(&o->dns6, addr));
    }
    if (rtnl_link_get(run->route_fd, SLIRP_DEVICE, &link) == 0 && link.has_mac) {
        char mac[NET_MAC_TEXT];
        i->mac = xstrdup(net_mac_format(link.mac, mac));
    }
}

/* --- the process --- */

static int wait_ready(int ctl, struct err *e)
{
    struct {
        struct wire_head head;
        char text[1024];
    } m;
    struct pollfd p = {.fd = ctl, .events = POLLIN};

    if (poll(&p, 1, START_MS) <= 0)
        return err_msg(e, ETIMEDOUT, PROGRAM " does not answer");
    ssize_t n = sock_recv(ctl, &m, sizeof(m), NULL);
    if (n < (ssize_t)sizeof(m.head))
        return err_msg(e, ECONNRESET, PROGRAM " has ended at its start");
    if (m.head.type == WIRE_OK)
        return 0;
    m.text[n > (ssize_t)sizeof(m.head) ? (size_t)n - sizeof(m.head) - 1 : 0] = '\0';
    return err_msg(e, m.head.value > 0 ? m.head.value : EPROTO, PROGRAM ": %s", m.text);
}

static int send_start(struct network_run *run, struct network_process *p,
                      const struct slirp_options *o, struct err *e)
{
    scoped_free char *msg = NULL;
    size_t size = slirp_options_message(o, run->plan->egress, &msg);
    scoped_fd int listener = network_listen(run, WHAT, e);

    if (listener < 0)
        return listener;
    if (size > WIRE_MAX)
        return err_msg(e, E2BIG, "the egress rules are too long");
    int fds[] = {p->keep[KEEP_DEVICE], run->init_fd, listener};
    int r = sock_send(p->ctl, msg, size, fds, N_ELEMENTS(fds));
    return r < 0 ? err_set(e, -r, "tell " PROGRAM " what to do") : 0;
}

static int give_device(struct network_run *run, struct network_process *p, struct slirp_options *o,
                       struct err *e)
{
    int r = open_device(run, o, &p->keep[KEEP_DEVICE], e);
    return r < 0 ? r : configure(run, o, e);
}

static int attach(struct network_run *run, const struct network_target *t, struct err *e)
{
    struct network_process *p = network_process_find(run, WHAT);
    struct slirp_options o;
    (void)t;
    if (!p)
        return err_msg(e, ESRCH, PROGRAM " has not been started");
    int r = slirp_options_parse(run->plan->options, &o, e);
    if (r == 0)
        r = give_device(run, p, &o, e);
    if (r == 0)
        r = send_start(run, p, &o, e);
    if (r == 0)
        r = wait_ready(p->ctl, e);
    if (r == 0)
        describe(run, &o);
    return r < 0 ? err_add(e, r, "user-mode network") : 0;
}

/* What the kept device is, a tap knows: it is no socket. */
static bool is_packet(int fd)
{
    int type;
    socklen_t n = sizeof(type);
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) == 0;
}

static int revive(struct network_run *run, struct network_process *p, struct err *e)
{
    struct slirp_options o;
    int r = slirp_options_parse(run->plan->options, &o, e);
    if (r == 0 && p->keep[KEEP_DEVICE] < 0)
        r = give_device(run, p, &o, e); /* it went with the process, as nobody else held it */
    else if (r == 0)
        o.packet = is_packet(p->keep[KEEP_DEVICE]);
    if (r == 0)
        r = start_process(run, p, e);
    if (r == 0)
        r = send_start(run, p, &o, e);
    if (r == 0)
        network_process_expect(p, AGAIN_MS);
    return r;
}

static int message(struct network_run *run, struct network_process *p)
{
    char buf[RESOLVER_MAX];
    struct wire_head head;
    int fds[SOCK_MAX_FDS];
    ssize_t n = sock_recv(p->ctl, buf, sizeof(buf), fds);

    if (n < (ssize_t)sizeof(head))
        return n == -EAGAIN ? 0 : n < 0 ? (int)n : -ECONNRESET;
    memcpy(&head, buf, sizeof(head));
    if (head.type == WIRE_OK)
        network_process_answered(p);
    if (head.type == WIRE_EVENT)
        network_run_event(run, buf + sizeof(head), (size_t)n - sizeof(head));
    if (head.type == WIRE_OK && fds[0] >= 0 && p->keep[KEEP_DEVICE] < 0)
        p->keep[KEEP_DEVICE] = take_fd(&fds[0]); /* from one that we have not started */
    for (size_t i = 0; i < SOCK_MAX_FDS; i++)
        fd_close(&fds[i]);
    return 0;
}

const struct network_driver network_slirp = {
    .name = WHAT,
    .summary = "user-mode network address translation",
    .options = SLIRP_OPTIONS_HELP,
    .probe = probe,
    .plan = plan,
    .inside = inside,
    .prepare = prepare,
    .attach = attach,
    .revive = revive,
    .message = message,
};
