/* "user": a network of the user's own, in a namespace of its own. Its process, rootlet-network,
 * makes the pair of interfaces; this is the container's side. user-manager.c speaks with it. */
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/proc.h"
#include "base/str.h"
#include "base/strv.h"
#include "network/resolv.h"
#include "network/store.h"
#include "network/user-priv.h"
#include "sys/rtnl.h"
#include "sys/sock.h"

#define INTERFACES_MAX 100
#define METRIC 100 /* of the first network's default route; the next one's is one more */

static struct network_interface *interface_of(struct network_run *run, const char *network)
{
    for (size_t i = 0; i < run->n_interfaces; i++)
        if (streq(run->interfaces[i].network, network))
            return &run->interfaces[i];
    return NULL;
}

/* The first ethN that is free. */
static void next_name(const struct network_run *run, char ret[static IFNAMSIZ])
{
    for (unsigned n = 0; n < INTERFACES_MAX; n++) {
        bool used = false;
        snprintf(ret, IFNAMSIZ, "eth%u", n);
        for (size_t i = 0; i < run->n_interfaces; i++)
            used = used || streq(run->interfaces[i].name, ret);
        for (size_t i = run->join + 1; i < run->plan->n_joins; i++)
            used = used || streq(run->plan->joins[i].interface, ret);
        if (!used)
            return;
    }
}

static struct rtnl_ip ip_of(const struct net_addr *a, unsigned prefix)
{
    struct rtnl_ip ip = {.family = a->family == 4 ? AF_INET : AF_INET6, .prefix = (uint8_t)prefix};
    memcpy(ip.bytes, a->b, sizeof(ip.bytes));
    return ip;
}

/* Addresses, and a default route that is used while no network before this one has one. */
static int configure_family(int fd, int index, const struct network_run *run,
                            const struct user_lease *l, size_t family)
{
    const struct net_cidr *own = &l->reply.address[family];
    const struct net_addr *via = &l->reply.gateway[family];
    if (!own->addr.family)
        return 0;
    struct rtnl_ip ip = ip_of(&own->addr, own->bits);
    int r = rtnl_address_add(fd, index, &ip);
    if ((r < 0 && r != -EEXIST) || !via->family)
        return r;
    struct rtnl_route route = {
        .via = ip_of(via, 0), .oif = index, .metric = METRIC + (uint32_t)run->join};
    return rtnl_route_replace(fd, &route);
}

static int configure(struct network_run *run, const struct user_lease *l, struct err *e)
{
    struct rtnl_link link;
    int fd = network_run_route(run, e);
    if (fd < 0)
        return fd;
    int r = rtnl_link_get(fd, l->interface, &link);
    if (r == 0)
        r = rtnl_link_set(fd, link.index, &(struct rtnl_change){.up = 1});
    for (size_t i = 0; r == 0 && i < 2; i++)
        r = configure_family(fd, link.index, run, l, i);
    return r < 0 ? err_set(e, -r, "configure the interface %s", l->interface) : 0;
}

static void record(struct network_run *run, const char *network, const struct user_lease *l)
{
    char mac[NET_MAC_TEXT];
    struct network_interface *i = interface_of(run, network);
    if (i) { /* it stays where it is in the order */
        jfield_release(network_interface_fields, i);
        i->name = xstrdup(l->interface);
        i->network = xstrdup(network);
    } else {
        i = network_run_add(run, l->interface, network);
    }
    i->address = network_cidr_text(&l->reply.address[0]);
    i->address6 = network_cidr_text(&l->reply.address[1]);
    i->gateway = network_addr_text(&l->reply.gateway[0]);
    i->gateway6 = network_addr_text(&l->reply.gateway[1]);
    i->mac = xstrdup(net_mac_format(l->reply.mac, mac));
    scoped_free char *dns = network_addr_text(&l->reply.dns);
    if (dns && !strv_has(run->dns, dns))
        strv_add(&run->dns, dns);
}

static int wanted_address(const char *text, struct net_addr *ret, struct err *e)
{
    scoped_free char *only = text ? xstrndup(text, strcspn(text, "/")) : NULL;
    if (only && net_addr_parse(only, ret) < 0)
        return err_msg(e, EINVAL, "address %s: want an address", text);
    return 0;
}

static int add_name(struct wire_network_request *q, size_t *n, const char *name, struct err *e)
{
    if (strlen(name) >= WIRE_NAME_SIZE)
        return err_msg(e, ENAMETOOLONG, "the name %s has more than %d characters", name,
                       WIRE_NAME_SIZE - 1);
    if (*n >= WIRE_NAMES_MAX)
        return err_msg(e, E2BIG, "more than %d names in one network", WIRE_NAMES_MAX);
    snprintf(q->names[(*n)++], WIRE_NAME_SIZE, "%s", name);
    return 0;
}

/* Foreign names are asked for where the container wants it (--dns). With rules for what may leave
 * they are not: what the uplink lets out it learns from the answers of its own. */
static void put_servers(const struct network_run *run, struct wire_network_request *q)
{
    size_t n = 0;
    q->asks_itself = network_asks_itself(run);
    for (char **d = run->plan->dns; d && *d && n < WIRE_DNS_MAX; d++)
        if (!q->asks_itself && !q->network.egress[0] && net_addr_parse(*d, &q->dns[n]) == 0)
            n++;
}

static int put_names(const struct network_run *run, const struct network_join *join,
                     struct wire_network_request *q, struct err *e)
{
    size_t n = 0;
    memset(q->names, 0, sizeof(q->names));
    int r = add_name(q, &n, run->name, e);
    for (char **a = join->aliases; r == 0 && a && *a; a++)
        r = add_name(q, &n, *a, e);
    return r;
}

/* What a container asks for; was: of an interface that it had a moment ago, or NULL. */
static int make_request(struct network_run *run, const struct network_interface *was,
                        struct wire_network_request *q, struct err *e)
{
    const struct network_join *join = &run->plan->joins[run->join];
    int r = user_network_load(run->conf, join->network, &q->network, e);
    if (r < 0)
        return r;
    q->head.type = WIRE_NETWORK_ATTACH;
    q->groups = !streq(run->conf->cgroups, "disabled");
    snprintf(q->id, sizeof(q->id), "%s", run->id);
    if (was || join->interface)
        snprintf(q->interface, sizeof(q->interface), "%s", was ? was->name : join->interface);
    else
        next_name(run, q->interface);
    r = wanted_address(was ? was->address : join->ip, &q->ip[0], e);
    if (r == 0)
        r = wanted_address(was ? was->address6 : join->ip6, &q->ip[1], e);
    const char *mac = was ? was->mac : join->mac;
    q->has_mac = mac != NULL;
    put_servers(run, q);
    if (r == 0 && mac && net_mac_parse(mac, q->mac) < 0)
        r = err_msg(e, EINVAL, "card address %s: want the form 02:42:0a:59:00:02", mac);
    /* Two digits of an id have no other owner; the process adds its short form itself. */
    return r == 0 ? put_names(run, join, q, e) : r;
}

/* Is the interface still there? Then the network's namespace may be, too. Its index, or 0. */
static int find_interface(struct network_run *run, const char *name)
{
    struct rtnl_link link;
    int fd = network_run_route(run, NULL);
    bool found = fd >= 0 && rtnl_link_get(fd, name, &link) == 0 && streq(link.kind, "veth");
    return found ? link.index : 0;
}

/* Asks for q. Somebody who did not have the old namespace may have begun a new one: then the
 * interface has to be made anew, and its address may be another one's by now. */
static int ask_again(struct network_run *run, struct wire_network_request *q, struct user_lease *l,
                     struct err *e)
{
    int index = q->again ? find_interface(run, q->interface) : 0;
    q->again = index > 0;
    int r = user_exchange(run, q, l, e);
    if (r == -ENODEV && q->again) {
        rtnl_link_del(run->route_fd, index);
        q->again = 0;
        r = user_exchange(run, q, l, e);
        if (r == -EADDRINUSE) {
            memset(q->ip, 0, sizeof(q->ip));
            q->has_mac = 0;
            r = user_exchange(run, q, l, e);
        }
    }
    return r;
}

/* A new lease, or (was) the one it had; what is kept stays in l->space. */
static int take_lease(struct network_run *run, const struct network_interface *was,
                      struct user_lease *l, struct err *e)
{
    struct wire_network_request *q = xcalloc(1, sizeof(*q));
    /* Before the interface is there: what a new one takes from others is set by then. */
    int r = network_run_route(run, e);
    r = r < 0 ? r : make_request(run, was, q, e);
    q->again = was != NULL;
    snprintf(l->interface, sizeof(l->interface), "%s", q->interface);
    if (r == 0)
        r = ask_again(run, q, l, e);
    if (r == 0 && !l->reply.kept)
        r = configure(run, l, e);
    free(q);
    if (r < 0)
        return err_add(e, r, "network %s", run->plan->joins[run->join].network);
    record(run, run->plan->joins[run->join].network, l);
    return 0;
}

static void keep(struct network_process *p, struct user_lease *l)
{
    for (size_t i = 0; i < N_ELEMENTS(l->space); i++) {
        if (l->space[i] < 0)
            continue;
        fd_close(&p->keep[i]);
        p->keep[i] = take_fd(&l->space[i]);
    }
}

/* Says to the process of network of that the container is in the other one too, or (leaves) that it
 * is not any more. What fails costs names, not the network. */
static void tell_peer(struct network_run *run, const struct network_process *of,
                      const struct network_process *other, bool leaves)
{
    struct wire_network_request *q = xcalloc(1, sizeof(*q));
    q->head.type = WIRE_NETWORK_PEER;
    snprintf(q->peer, sizeof(q->peer), "%s", other->what);
    scoped_fd int fd = leaves ? -1 : user_dns_socket(run, other->what, other->keep);
    if (leaves || fd >= 0)
        (void)user_tell(run, of->what, of->ctl, q, fd);
    free(q);
}

/* A container asks one name server: each of its networks has to know of the others. */
static void share_names(struct network_run *run, const struct network_process *p, bool leaves)
{
    for (size_t i = 0; i < NETWORK_PROCESSES; i++) {
        struct network_process *other = &run->process[i];
        if (other == p || !other->what || other->driver != &network_user || other->ctl < 0)
            continue;
        tell_peer(run, other, p, leaves);
        if (!leaves)
            tell_peer(run, p, other, false);
    }
}

void network_user_follow(struct network_run *run)
{
    struct wire_network_request *q = xcalloc(1, sizeof(*q));
    for (size_t i = 0; i < NETWORK_PROCESSES; i++) {
        const struct network_process *p = &run->process[i];
        if (!p->what || p->driver != &network_user || p->ctl < 0 ||
            user_network_load(run->conf, p->what, &q->network, NULL) < 0)
            continue;
        q->head.type = WIRE_NETWORK_CHANGED;
        memset(q->dns, 0, sizeof(q->dns));
        put_servers(run, q);
        if (put_names(run, &run->plan->joins[p->join], q, NULL) == 0)
            (void)user_tell(run, p->what, p->ctl, q, -1);
    }
    free(q);
}

static int begin(struct network_run *run, const struct network_interface *was, struct err *e)
{
    struct user_lease l = USER_LEASE_INIT;
    const char *network = run->plan->joins[run->join].network;
    int r = take_lease(run, was, &l, e);
    struct network_process *p =
        r == 0 ? network_process_add(run, &network_user, network, take_fd(&l.ctl), e) : NULL;
    if (p) {
        keep(p, &l);
        share_names(run, p, false);
    }
    user_lease_release(&l);
    return r < 0 ? r : p ? 0 : -EMFILE;
}

static int probe(char why[static 256])
{
    snprintf(why, 256, "containers of one network reach each other by address and name");
    return 1;
}

static int attach(struct network_run *run, const struct network_target *t, struct err *e)
{
    (void)t;
    return begin(run, NULL, e);
}

static void detach(struct network_run *run)
{
    const struct network_join *join = &run->plan->joins[run->join];
    struct network_process *p = network_process_find(run, join->network);
    if (!p || p->ctl < 0)
        return;
    /* At the container's end its networks see that by themselves. */
    if (run->init_fd >= 0 && pidfd_poll(run->init_fd, 0) == 0)
        share_names(run, p, true);
    struct wire_network_request *q = xcalloc(1, sizeof(*q));
    q->head.type = WIRE_NETWORK_DETACH;
    if (user_tell(run, join->network, p->ctl, q, -1) == 0) {
        const struct wire_subnet *s = q->network.subnet;
        scoped_free char *dns = network_addr_text(&s[s[0].gateway.family ? 0 : 1].gateway);
        if (dns && run->dns) /* an internal network's is no gateway of the interface */
            strv_remove(run->dns, dns);
    }
    free(q);
}

/* rootlet-network was killed. Whoever comes first begins another one in the namespace that we have
 * kept: then nothing has happened to the container. Else all is made anew, as it was. */
static int revive(struct network_run *run, struct network_process *p, struct err *e)
{
    struct user_lease l = USER_LEASE_INIT;
    l.space[0] = take_fd(&p->keep[0]);
    l.space[1] = take_fd(&p->keep[1]);
    const struct network_interface *i = interface_of(run, p->what);
    /* record() frees what it stands in. */
    struct network_interface was = {.name = NULL};
    if (i)
        was = (struct network_interface){
            xstrdup(i->name),     xstrdup(i->network),  xstrdup(i->address), xstrdup(i->gateway),
            xstrdup(i->address6), xstrdup(i->gateway6), xstrdup(i->mac),     NULL};
    int r = take_lease(run, i ? &was : NULL, &l, e);
    jfield_release(network_interface_fields, &was);
    keep(p, &l);
    if (r == 0) {
        p->ctl = take_fd(&l.ctl);
        share_names(run, p, false);
        if (!l.reply.kept)
            (void)network_files_write(run, NULL);
    }
    user_lease_release(&l);
    return r;
}

static int adopt(struct network_run *run, const struct network_state *st, struct err *e)
{
    (void)st;
    const char *network = run->plan->joins[run->join].network;
    struct network_process *p = network_process_add(run, &network_user, network, -1, e);
    return p ? revive(run, p, e) : -EMFILE;
}

static int message(struct network_run *run, struct network_process *p)
{
    char buf[WIRE_MAX];
    struct wire_head head;
    ssize_t n = sock_recv(p->ctl, buf, sizeof(buf), NULL);
    if (n < (ssize_t)sizeof(head))
        return n == -EAGAIN || n == -EINTR ? 0 : -ECONNRESET;
    memcpy(&head, buf, sizeof(head));
    if (head.type == WIRE_EVENT)
        network_run_event(run, buf + sizeof(head), (size_t)n - sizeof(head));
    return 0;
}

const struct network_driver network_user = {
    .name = "user",
    .summary = "a network of the user's own, without privileges",
    .joins = true,
    .probe = probe,
    .attach = attach,
    .detach = detach,
    .revive = revive,
    .adopt = adopt,
    .message = message,
};
