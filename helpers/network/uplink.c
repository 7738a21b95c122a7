/* The way out: one rootlet-slirp in the host's namespaces, with a tap in the network's. */
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/proc.h"
#include "base/scoped.h"
#include "base/str.h"
#include "base/timefmt.h"
#include "helpers/network/network.h"
#include "sys/clone.h"
#include "sys/netlink.h"
#include "sys/netns.h"
#include "sys/rtnl.h"
#include "sys/sock.h"
#include "sys/tap.h"

#define ANSWER_MS 10000
#define QUICK_MAX 10
#define QUICK_NS 10000000000LL

/* In a child that is in the network's namespaces. */
static int open_tap(void *data, int ret_fds[SOCK_MAX_FDS], struct err *e)
{
    (void)data;
    ret_fds[0] = tap_open(UPLINK_NAME, e);
    return ret_fds[0] < 0 ? ret_fds[0] : 0;
}

static int open_packet(struct network *n, struct err *e)
{
    int fds[SOCK_MAX_FDS];
    int r = netns_run(n->userns_fd, -1, tap_packet_open, NULL, fds, e);
    if (r < 0)
        return r;
    r = tap_packet_join(fds, n->route_fd, UPLINK_NAME, n->mtu, e);
    n->tap_fd = r == 0 ? take_fd(&fds[TAP_PACKET]) : -1;
    for (size_t i = 0; i < TAP_FDS; i++)
        fd_close(&fds[i]);
    n->packet = r == 0;
    return r;
}

static int open_device(struct network *n, struct err *e)
{
    struct rtnl_link old;
    struct err why = ERR_INIT;
    int fds[SOCK_MAX_FDS];
    /* Of a manager that was killed, whose slirp may not have ended yet. */
    if (rtnl_link_get(n->route_fd, UPLINK_NAME, &old) == 0)
        rtnl_link_del(n->route_fd, old.index);
    if (netns_run(n->userns_fd, n->netns_fd, open_tap, NULL, fds, &why) == 0) {
        n->tap_fd = fds[0];
        return 0;
    }
    int r = open_packet(n, e);
    return r < 0 ? err_hint(e, r, "a tap cannot be had either: %s", why.msg) : 0;
}

/* Is the n-th network for the uplink's side of a family free? */
struct wanted {
    struct net_cidr net;
    bool taken;
};

static int see_address(const struct rtnl_ip *ip, void *data)
{
    struct wanted *w = data;
    struct net_cidr host = {.addr.family = ip->family == AF_INET ? 4 : 6, .bits = ip->prefix};
    memcpy(host.addr.b, ip->bytes, rtnl_ip_size(ip));
    w->taken |= net_cidr_overlap(&w->net, &host);
    return 0;
}

static bool choose_side(const struct network *n, int family, int host_fd, struct net_cidr *ret)
{
    for (unsigned i = family == 4 ? 2 : 0; i < 255; i++) {
        struct wanted w = {.net = {net_addr_v4(10U << 24 | i << 8), 24}};
        if (family == 6)
            w.net = (struct net_cidr){{6, {0xfd, 0, 0, 0, 0, 0, 0, (uint8_t)i}}, 64};
        w.taken = net_cidr_overlap(&w.net, &n->range[family == 6].net);
        if (!w.taken && host_fd >= 0)
            rtnl_addresses(host_fd, 0, see_address, &w);
        if (!w.taken) {
            *ret = w.net;
            return true;
        }
    }
    return false;
}

/* 10.0.2.0/24 and fd00::/64, or ones beside them where the network has those, or the host: its own
 * address (10.0.2.15 in many a virtual machine) would be out of reach. */
void uplink_choose(struct network *n)
{
    scoped_fd int host = nl_open(NETLINK_ROUTE, NULL);
    for (int i = 0; i < 2; i++)
        if (!choose_side(n, i ? 6 : 4, host, &n->side[i]))
            choose_side(n, i ? 6 : 4, -1, &n->side[i]);
}

void uplink_name_server(const struct network *n, struct net_addr *ret)
{
    net_cidr_nth(&n->side[0], 3, ret);
}

/* Address 100, and the default route over 2. */
static int configure(struct network *n, int index, struct err *e)
{
    int r = rtnl_link_set(n->route_fd, index, &(struct rtnl_change){.mtu = n->mtu, .up = 1});
    for (size_t i = 0; r == 0 && i < 2; i++) {
        struct net_addr own, via;
        if (i == 1 && !n->range[1].net.addr.family)
            continue;
        net_cidr_nth(&n->side[i], i ? 0x100 : 100, &own);
        net_cidr_nth(&n->side[i], 2, &via);
        struct rtnl_ip ip = rtnl_ip_of(&own, n->side[i].bits);
        struct rtnl_route route = {.via = rtnl_ip_of(&via, 0), .oif = index};
        r = rtnl_address_add(n->route_fd, index, &ip);
        if (r == 0 || r == -EEXIST)
            r = rtnl_route_replace(n->route_fd, &route);
    }
    return r < 0 ? err_set(e, -r, "configure the uplink") : 0;
}

struct start {
    struct wire_slirp_start slirp;
    char rules[WIRE_EGRESS_SIZE];
};

static void fill_start(const struct network *n, struct start *ret)
{
    memset(ret, 0, sizeof(*ret));
    ret->slirp.head.type = WIRE_SLIRP_START;
    ret->slirp.mtu = n->mtu;
    ret->slirp.bits = n->side[0].bits;
    memcpy(ret->slirp.network, n->side[0].addr.b, sizeof(ret->slirp.network));
    memcpy(ret->slirp.network6, n->side[1].addr.b, sizeof(ret->slirp.network6));
    if (n->range[1].net.addr.family)
        ret->slirp.flags |= WIRE_SLIRP_IPV6;
    if (n->packet)
        ret->slirp.flags |= WIRE_SLIRP_PACKET;
    if (!n->cfg.egress[0])
        return;
    ret->slirp.flags |= WIRE_SLIRP_EGRESS;
    memcpy(ret->rules, n->cfg.egress, sizeof(ret->rules) - 1);
    ret->slirp.egress_size = (uint32_t)strlen(ret->rules) + 1;
    for (char *p = ret->rules; (p = strchr(p, '\n'));)
        *p = '\0';
}

struct spawn {
    const char *program;
    int sock;
};

static int execute(void *data)
{
    const struct spawn *s = data;
    char *const argv[] = {(char *)(uintptr_t) "rootlet-slirp", NULL};
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    dup2(null, 0);
    dup2(null, 1);
    if (!getenv("ROOTLET_NETWORK_DEBUG"))
        dup2(null, 2);
    int r = s->sock == 3 ? fcntl(3, F_SETFD, 0) : dup2(s->sock, 3);
    if (r >= 0)
        execve(s->program, argv, environ);
    _exit(127);
}

static int spawn_slirp(struct network *n, struct err *e)
{
    const char *libexec = getenv("ROOTLET_LIBEXEC");
    scoped_free char *program = xasprintf("%s/rootlet-slirp", libexec ? libexec : LIBEXECDIR);
    int pair[2];
    int r = access(program, X_OK) < 0 ? err_set(e, errno, "%s", program) : sock_pair(pair, e);
    if (r < 0)
        return r;
    scoped_fd int ours = pair[0], theirs = pair[1];
    struct spawn s = {program, theirs};
    n->uplink.pid = spawn_pidfd(execute, &s, &n->uplink.pidfd);
    if (n->uplink.pid < 0)
        return err_set(e, errno, "start rootlet-slirp");
    n->uplink.ctl = take_fd(&ours);
    return 0;
}

static int send_start(struct network *n, struct err *e)
{
    static struct start start;
    struct {
        struct wire_head head;
        char text[1000];
    } answer = {.text = ""};
    fill_start(n, &start);
    scoped_fd int self = pidfd_open_pid(getpid());
    int fds[] = {n->tap_fd, self};
    size_t size = offsetof(struct start, rules) + start.slirp.egress_size;
    int r = sock_send(n->uplink.ctl, &start, size, fds, 2);
    if (r < 0)
        return err_set(e, -r, "start the uplink");
    struct pollfd p = {.fd = n->uplink.ctl, .events = POLLIN};
    ssize_t got = poll(&p, 1, ANSWER_MS) == 1
                      ? sock_recv(n->uplink.ctl, &answer, sizeof(answer) - 1, NULL)
                      : 0;
    if (got < (ssize_t)sizeof(answer.head))
        return err_msg(e, EIO, "the uplink gave no answer");
    if (answer.head.type != WIRE_OK)
        return err_msg(e, answer.head.value > 0 ? answer.head.value : EIO, "uplink: %s",
                       answer.text);
    return 0;
}

static int start_process(struct network *n, struct err *e);

static void on_end(void *data, uint32_t events)
{
    struct network *n = data;
    struct err e = ERR_INIT;
    (void)events;
    child_end(n, &n->uplink);
    bool again = ++n->uplink.quick < QUICK_MAX && start_process(n, &e) == 0;
    serve_event(n, again ? "network_restart" : "network_failed", "slirp");
}

/* What the uplink tells (refusals of the egress policy) goes on to the supervisors. */
static void on_message(void *data, uint32_t events)
{
    struct network *n = data;
    union {
        struct wire_head head;
        char raw[WIRE_MAX];
    } m;
    (void)events;
    ssize_t size = sock_recv(n->uplink.ctl, &m, sizeof(m), NULL);
    bool whole = size >= (ssize_t)sizeof(m.head);
    /* Only events: what supervisors take for an answer of ours is ours to give. */
    if (whole && m.head.type == WIRE_EVENT)
        serve_forward(n, &m, (size_t)size);
    else if (!whole && size != -EAGAIN && size != -EINTR)
        loop_forget(n->loop, n->uplink.ctl); /* its end comes by the pidfd */
}

static int start_process(struct network *n, struct err *e)
{
    int64_t now = time_monotonic_ns();
    if (now - n->uplink.since_ns > QUICK_NS)
        n->uplink.quick = 0;
    n->uplink.since_ns = now;
    int r = spawn_slirp(n, e);
    if (r == 0)
        r = send_start(n, e);
    if (r == 0)
        r = loop_fd(n->loop, n->uplink.pidfd, EPOLLIN, on_end, n, e);
    if (r == 0)
        r = loop_fd(n->loop, n->uplink.ctl, EPOLLIN, on_message, n, e);
    if (r < 0)
        child_end(n, &n->uplink);
    return r;
}

int uplink_start(struct network *n, struct err *e)
{
    struct rtnl_link link;
    int r = open_device(n, e);
    if (r < 0)
        return r;
    r = rtnl_link_get(n->route_fd, UPLINK_NAME, &link);
    if (r < 0)
        return err_set(e, -r, "find the uplink");
    r = configure(n, link.index, e);
    return r < 0 ? r : start_process(n, e);
}
