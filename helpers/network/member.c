/* Members: a veth pair each, whose end in the bridge is also the lease of their addresses. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/proc.h"
#include "base/scoped.h"
#include "base/str.h"
#include "helpers/network/network.h"
#include "sys/rtnl.h"

static const char *who(const struct member *m)
{
    static char text[WIRE_NAME_SIZE + 32];
    snprintf(text, sizeof(text), "container %s", m->names[0][0] ? m->names[0] : m->id);
    return text;
}

struct member *member_find(struct network *n, const char *id)
{
    for (size_t i = 0; i < n->n_members; i++)
        if (streq(n->members[i]->id, id))
            return n->members[i];
    return NULL;
}

static const struct member *holder(const struct network *n, const struct net_addr *a)
{
    for (size_t i = 0; i < n->n_members; i++)
        if (net_addr_cmp(&n->members[i]->addr[a->family == 6], a) == 0)
            return n->members[i];
    return NULL;
}

static bool is_taken(const struct net_addr *a, void *data)
{
    return holder(data, a) != NULL;
}

/* Its link goes (which may have gone already), then its names and addresses are free. */
static void forget(struct network *n, struct member *m)
{
    size_t i = 0;
    while (i < n->n_members && n->members[i] != m)
        i++;
    rtnl_link_del(n->route_fd, m->index);
    (void)rules_member(n, m, false);
    dnsproc_member(n, m, true);
    loop_forget(n->loop, m->pidfd);
    fd_close(&m->pidfd);
    for (size_t k = 0; k < PEERS_MAX; k++)
        fd_close(&m->peers[k].fd);
    n->members[i] = n->members[--n->n_members];
    free(m);
    members_changed(n);
}

void member_detach(struct network *n, const char *id)
{
    struct member *m = member_find(n, id);
    if (m)
        forget(n, m);
}

void member_changed(struct network *n, const struct wire_network_request *q)
{
    struct member *m = member_find(n, q->id);
    if (!m)
        return;
    memcpy(m->names, q->names, sizeof(m->names));
    memcpy(m->dns, q->dns, sizeof(m->dns));
    m->asks_itself = q->asks_itself;
    dnsproc_member(n, m, false);
}

void members_check(struct network *n)
{
    for (size_t i = n->n_members; i-- > 0;)
        if (rtnl_link_get_index(n->route_fd, n->members[i]->index, NULL) == -ENODEV)
            forget(n, n->members[i]);
}

static void on_end(void *data, uint32_t events)
{
    struct member *m = data;
    (void)events;
    forget(m->net, m);
}

static struct member *add(struct network *n, const char *id)
{
    struct member *m = xcalloc(1, sizeof(*m));
    n->members = xrealloc(n->members, (n->n_members + 1) * sizeof(struct member *));
    n->members[n->n_members++] = m;
    snprintf(m->id, sizeof(m->id), "%s", id);
    m->net = n;
    m->pidfd = -1;
    for (size_t i = 0; i < PEERS_MAX; i++)
        m->peers[i].fd = -1;
    return m;
}

static int check_mac(const struct network *n, const uint8_t mac[6], struct err *e)
{
    for (size_t i = 0; i < n->n_members; i++)
        if (memcmp(n->members[i]->mac, mac, 6) == 0)
            return err_msg(e, EADDRINUSE, "the card address is in use by %s", who(n->members[i]));
    return 0;
}

static int check_wanted(const struct network *n, size_t family, const struct net_addr *a,
                        struct err *e)
{
    const struct ipam_range *r = &n->range[family];
    char text[NET_ADDR_TEXT], net[NET_CIDR_TEXT];
    net_addr_format(a, text);
    net_cidr_format(&r->net, net);
    if (!r->net.addr.family)
        return err_msg(e, EINVAL, "address %s: the network has no %s", text,
                       family ? "IPv6; create it with --ipv6" : "IPv4");
    switch (ipam_check(r, a)) {
    case -ERANGE:
        return err_msg(e, ERANGE, "address %s is outside of the subnet %s", text, net);
    case -EINVAL:
        return err_msg(e, EINVAL, "address %s is the subnet's own (%s)", text, net);
    case -EADDRINUSE:
        return err_msg(e, EADDRINUSE, "address %s is the gateway's", text);
    }
    const struct member *m = holder(n, a);
    return m ? err_msg(e, EADDRINUSE, "address %s is in use by %s", text, who(m)) : 0;
}

/* Addresses for q, the wanted ones or the next. */
static int choose(struct network *n, const struct wire_network_request *q, struct net_addr ret[2],
                  struct err *e)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < 2; i++) {
        struct ipam_range *range = &n->range[i];
        ret[i] = q->ip[i];
        if (q->ip[i].family) {
            r = check_wanted(n, i, &q->ip[i], e);
        } else if (range->net.addr.family) {
            char net[NET_CIDR_TEXT];
            if (ipam_next(range, is_taken, n, &ret[i]) < 0)
                r = err_hint(
                    e,
                    err_msg(e, ENOSPC, "no free address in %s", net_cidr_format(&range->net, net)),
                    "%zu container%s in it; 'rootlet network create --subnet' makes a wider one",
                    n->n_members, n->n_members == 1 ? " is" : "s are");
        }
    }
    return r;
}

/* What the next manager, should we be killed, knows of the member: "ID ADDRESS ADDRESS6 MAC". */
static void format_alias(const struct member *m, char ret[static RTNL_ALIAS_MAX])
{
    char four[NET_ADDR_TEXT], six[NET_ADDR_TEXT], mac[NET_MAC_TEXT];
    net_addr_format(&m->addr[0], four);
    net_addr_format(&m->addr[1], six);
    snprintf(ret, RTNL_ALIAS_MAX, "%s %s %s %s", m->id, four[0] ? four : "-", six[0] ? six : "-",
             net_mac_format(m->mac, mac));
}

static int found_link(const struct rtnl_link *l, void *data)
{
    struct network *n = data;
    char id[WIRE_ID_SIZE], four[NET_ADDR_TEXT], six[NET_ADDR_TEXT], mac[NET_MAC_TEXT];
    if (sscanf(l->alias, "%64[0-9a-f] %45s %45s %17s", id, four, six, mac) != 4 ||
        member_find(n, id))
        return 0;
    struct member *m = add(n, id);
    m->index = l->index;
    net_addr_parse(four, &m->addr[0]);
    net_addr_parse(six, &m->addr[1]);
    net_mac_parse(mac, m->mac);
    return 0;
}

int members_find(struct network *n, struct err *e)
{
    int r = rtnl_links(n->route_fd, n->bridge, found_link, n);
    return r < 0 ? err_set(e, -r, "look for members") : 0;
}

void member_link_name(const struct member *m, char ret[static IFNAMSIZ])
{
    snprintf(ret, IFNAMSIZ, "v-%.12s", m->id);
}

/* The bridge sends there what is for the member's card, and never learns of another one there. */
static int guard_port(const struct network *n, const struct member *m)
{
    static const struct rtnl_port port = {.mcast_flood = true, .guard = true};
    int r = rtnl_port_set(n->route_fd, m->index, &port);
    return r < 0 ? r : rtnl_fdb_add(n->route_fd, m->index, m->mac);
}

/* The pair, one end in our bridge and up, the other one in the container, which is not up before
 * the caller is done: nothing passes that the rules have not seen. */
static int make_link(struct network *n, struct member *m, const char *interface, int netns_fd,
                     struct err *e)
{
    char name[IFNAMSIZ], alias[RTNL_ALIAS_MAX];
    member_link_name(m, name);
    format_alias(m, alias);
    struct rtnl_link old;
    if (rtnl_link_get(n->route_fd, name, &old) == 0)
        rtnl_link_del(n->route_fd, old.index);
    int r = rtnl_veth_add(
        n->route_fd,
        &(struct rtnl_change){
            .name = name, .mtu = n->mtu, .master = n->bridge, .alias = alias, .up = 1},
        &(struct rtnl_change){
            .name = interface, .mtu = n->mtu, .mac = m->mac, .netns = netns_fd + 1});
    if (r == -EEXIST)
        return err_msg(e, EEXIST, "the container has an interface %s already", interface);
    if (r < 0)
        return err_set(e, -r, "make the interface %s", interface);
    struct rtnl_link link;
    r = rtnl_link_get(n->route_fd, name, &link);
    m->index = link.index;
    if (r < 0)
        return err_set(e, -r, "find the interface %s", interface);
    r = guard_port(n, m);
    return r < 0 ? err_set(e, -r, "guard the interface %s", interface) : 0;
}

static void fill(const struct network *n, const struct member *m, struct wire_network_reply *ret)
{
    for (size_t i = 0; i < 2; i++) {
        ret->address[i] = (struct net_cidr){m->addr[i], n->range[i].net.bits};
        if (!n->cfg.internal)
            ret->gateway[i] = n->range[i].gateway;
    }
    if (!n->cfg.no_dns)
        ret->dns = n->range[n->range[0].gateway.family ? 0 : 1].gateway;
    memcpy(ret->mac, m->mac, sizeof(ret->mac));
    ret->mtu = n->mtu;
}

/* From here on its end is watched and it has its names. */
static int settle(struct network *n, struct member *m, const struct wire_network_request *q,
                  int pidfd, struct err *e)
{
    memcpy(m->names, q->names, sizeof(m->names));
    memcpy(m->dns, q->dns, sizeof(m->dns));
    m->asks_itself = q->asks_itself;
    loop_forget(n->loop, m->pidfd);
    fd_close(&m->pidfd);
    m->pidfd = dup(pidfd);
    if (m->pidfd < 0 || loop_fd(n->loop, m->pidfd, EPOLLIN, on_end, m, e) < 0)
        return err_set(e, ENOMEM, "watch the container");
    dnsproc_member(n, m, false);
    return 0;
}

static struct member *join(struct network *n, const struct wire_network_request *q, int netns_fd,
                           struct err *e)
{
    struct net_addr addr[2];
    int r = choose(n, q, addr, e);
    if (r == 0 && q->has_mac)
        r = check_mac(n, q->mac, e);
    if (r < 0)
        return NULL;
    struct member *m = add(n, q->id);
    memcpy(m->addr, addr, sizeof(addr));
    if (q->has_mac)
        memcpy(m->mac, q->mac, sizeof(m->mac));
    else
        ipam_mac(&m->addr[m->addr[0].family ? 0 : 1], m->mac);
    r = rules_member(n, m, true);
    if (r < 0)
        err_set(e, -r, "make the rules of the interface %s", q->interface);
    else if (make_link(n, m, q->interface, netns_fd, e) == 0)
        return m;
    forget(n, m);
    return NULL;
}

int member_attach(struct network *n, const struct wire_network_request *q, const int fds[2],
                  struct wire_network_reply *ret, struct err *e)
{
    struct member *m = member_find(n, q->id);
    bool again = q->again;
    ret->kept = m && again;
    if (m && !again) {
        forget(n, m); /* of an earlier run */
        m = NULL;
    }
    if (!m && again)
        return err_msg(e, ENODEV, "the container's interface is of another namespace");
    if (!m) {
        m = join(n, q, fds[0], e);
        write_hint(n);
    }
    if (!m)
        return -e->errnum;
    int r = settle(n, m, q, fds[1], e);
    if (r == 0)
        fill(n, m, ret);
    else
        forget(n, m);
    return r;
}

int member_peer(struct network *n, const struct wire_network_request *q, int fd, struct err *e)
{
    struct member *m = member_find(n, q->id);
    struct peer *p = NULL;
    for (size_t i = 0; m && i < PEERS_MAX; i++)
        if (m->peers[i].fd < 0 ? fd >= 0 && !p : streq(m->peers[i].network, q->peer))
            p = &m->peers[i];
    if (!m)
        return err_msg(e, ENOENT, "no such member");
    if (!p)
        return fd < 0 ? 0 : err_msg(e, E2BIG, "a container has too many networks");
    fd_close(&p->fd);
    memcpy(p->network, q->peer, sizeof(p->network));
    p->fd = fd < 0 ? -1 : dup(fd);
    dnsproc_peer(n, m, p);
    return 0;
}
