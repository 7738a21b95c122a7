/* slots - veth pairs and bridges: what is taken by creating it, and given back by its end. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "helpers/net-helper/net-helper.h"
#include "sys/nft.h"

/* The alias of a bridge that somebody is about to remove begins with this. */
#define GOING "rootlet: going "

static struct rtnl_ip to_ip(const struct net_addr *a, uint8_t bits)
{
    struct rtnl_ip ip = {.family = a->family == 4 ? AF_INET : AF_INET6, .prefix = bits};
    memcpy(ip.bytes, a->b, net_addr_size(a));
    return ip;
}

struct uplink {
    int index;
    uint32_t metric;
};

static int default_route(const struct rtnl_route *r, void *data)
{
    struct uplink *w = data;
    if (r->dst.family == 0 && r->oif && (w->index == 0 || r->metric < w->metric))
        *w = (struct uplink){.index = r->oif, .metric = r->metric};
    return 0;
}

void slots_uplink(struct helper *h, char device[static IFNAMSIZ], unsigned *ret_mtu)
{
    struct uplink w = {0};
    struct rtnl_link l;
    device[0] = '\0';
    *ret_mtu = 1500;
    if (rtnl_routes(h->rt, AF_INET, 0, default_route, &w) < 0 || w.index == 0 ||
        rtnl_link_get_index(h->rt, w.index, &l) < 0)
        return;
    memcpy(device, l.name, IFNAMSIZ);
    if (l.mtu >= 1280 && l.mtu <= 65535)
        *ret_mtu = l.mtu;
}

static bool ours(const struct rtnl_link *l)
{
    return strcmp(l->kind, "bridge") == 0 && l->has_mac && memcmp(l->mac, gateway_mac, 6) == 0;
}

/* Somebody marked the bridge in order to remove it, and then looks for slots. Ours is there by now
 * (it was made before this look at the mark): he either sees it and gives up, or looked before, and
 * then the bridge has no ports and never gets any. So without ports it may go at once; with ports
 * the mark is of one who has not looked yet, and is taken away: he looks at it again before he
 * removes the bridge. Bridges are removed by their index, which no other one will ever have. */
static int settle_mark(struct helper *h, const struct rtnl_link *l);

static int count_port(const struct rtnl_link *l, void *data)
{
    (void)l;
    ++*(int *)data;
    return 0;
}

static int settle_mark(struct helper *h, const struct rtnl_link *l)
{
    int ports = 0, r = rtnl_links(h->rt, l->index, count_port, &ports);
    if (r < 0)
        return r;
    if (ports == 0) {
        rtnl_link_del(h->rt, l->index);
        return -EAGAIN;
    }
    return rtnl_link_set(h->rt, l->index, &(struct rtnl_change){.alias = "rootlet"});
}

static int address_bridge(struct helper *h, const struct bridge *b, int index)
{
    struct net_addr gateway = {0};
    net_addr_add(&b->net4.addr, 1, &gateway);
    struct rtnl_ip ip = to_ip(&gateway, b->net4.bits);
    int r = rtnl_address_add(h->rt, index, &ip);
    if (r < 0 && r != -EEXIST)
        return r;
    if (!b->net6.addr.family)
        return 0;
    net_addr_add(&b->net6.addr, 1, &gateway);
    ip = to_ip(&gateway, b->net6.bits);
    r = rtnl_address_add(h->rt, index, &ip);
    /* A host without IPv6 has containers without it. */
    return r == -EEXIST || r == -EOPNOTSUPP || r == -EACCES || r == -EPERM ? 0 : r;
}

/* Makes the bridge, or completes one that a killed call has left. */
static int ensure_bridge(struct helper *h, const struct bridge *b, struct rtnl_link *ret,
                         struct err *e)
{
    char uplink[IFNAMSIZ];
    unsigned mtu = 0;
    slots_uplink(h, uplink, &mtu);
    for (int i = 0; i < 16; i++) {
        int r = rtnl_link_get(h->rt, b->name, ret);
        if (r == -ENODEV) {
            r = rtnl_bridge_add(
                h->rt, b->name,
                &(struct rtnl_change){.mac = gateway_mac, .mtu = b->mtu ? b->mtu : mtu, .up = 1});
            if (r == 0 || r == -EEXIST)
                r = -EAGAIN;
        } else if (r == 0 && !ours(ret)) {
            return err_msg(e, EEXIST, "there is a device %s that rootlet has not made", b->name);
        } else if (r == 0 && strncmp(ret->alias, GOING, strlen(GOING)) == 0) {
            r = settle_mark(h, ret);
        }
        if (r == 0)
            r = address_bridge(h, b, ret->index);
        if (r == 0)
            r = rtnl_link_set(h->rt, ret->index, &(struct rtnl_change){.up = 1});
        if (r == 0)
            r = forward_enable(h, b, uplink, e);
        else if (r != -EAGAIN && r != -ENODEV)
            return err_set(e, -r, "make the bridge %s", b->name);
        if (r != -EAGAIN && r != -ENODEV)
            return r;
    }
    return err_msg(e, EBUSY, "the bridge %s is made and removed again and again", b->name);
}

static const struct grant *find_grant(const struct helper *h, const char *bridge, unsigned *base)
{
    *base = 0;
    for (size_t i = 0; i < h->policy->n_grants; i++) {
        const struct grant *g = &h->policy->grants[i];
        if (!g->ours)
            continue;
        if (strcmp(h->policy->bridges[g->bridge].name, bridge) == 0)
            return g;
        *base += g->slots;
    }
    return NULL;
}

struct used {
    uid_t uid;
    uint8_t v[SLOTS_MAX];
};

static int mark_used(const struct rtnl_link *l, void *data)
{
    struct used *w = data;
    int n = slot_number(w->uid, l->name);
    if (n >= 0)
        w->v[n] = 1;
    return 0;
}

/* The wanted address of a block stands for one slot. */
static int wanted_slot(const struct helper *h, const struct slot *s, unsigned n)
{
    const struct net_addr *ip = &h->request->ip;
    if (!ip->family || !s->grant->block.addr.family)
        return 1;
    struct net_addr a;
    return net_addr_add(&s->grant->block.addr, n, &a) == 0 && net_addr_cmp(&a, ip) == 0;
}

/* By creation, which the kernel lets one of many do. Numbers base to base + slots - 1. */
static int take_slot(struct helper *h, struct slot *s, unsigned base, unsigned *ret_n,
                     struct err *e)
{
    static struct used used;
    struct rtnl_link l;
    bool wanted = false;
    int r = -EINTR;
    for (int i = 0; i < 16 && r == -EINTR; i++) {
        memset(&used, 0, sizeof(used));
        used.uid = h->uid;
        r = rtnl_links(h->rt, 0, mark_used, &used);
    }
    if (r < 0)
        return err_set(e, -r, "look at the devices");
    for (unsigned n = 0; n < s->grant->slots && base + n < SLOTS_MAX; n++) {
        if (!wanted_slot(h, s, n))
            continue;
        wanted = true;
        if (used.v[base + n])
            continue;
        slot_name(h->uid, base + n, s->name);
        /* The card of the bridge: by any other the host could be reached past the rules that know
         * its own. */
        struct rtnl_change near = {.name = s->name,
                                   .mac = gateway_mac,
                                   .mtu = s->mtu,
                                   .group = slot_group(h->uid)},
                           far = {.name = h->request->device,
                                  .mtu = s->mtu,
                                  .netns = h->request->netns + 1};
        r = rtnl_veth_add(h->rt, &near, &far);
        if (r == -EEXIST && rtnl_link_get(h->rt, s->name, &l) < 0)
            return err_msg(e, EEXIST, "the container has a device %s already", far.name);
        if (r == -EEXIST)
            continue;
        if (r < 0)
            return err_set(e, -r, "make the interface %s", s->name);
        *ret_n = n;
        r = rtnl_link_get(h->rt, s->name, &l);
        s->index = l.index;
        return r < 0 ? err_set(e, -r, "the container ended meanwhile") : 0;
    }
    if (h->request->ip.family && !wanted)
        return err_msg(e, ERANGE, "the wanted address is not in the block that is granted");
    if (h->request->ip.family && s->grant->block.addr.family)
        return err_msg(e, EADDRINUSE, "the wanted address is taken");
    return err_msg(e, EDQUOT, "all %u interfaces on %s that this user may have are in use",
                   s->grant->slots, s->bridge->name);
}

/* The address and what follows from it. */
static void set_address(struct slot *s, const struct net_addr *a)
{
    s->addr = *a;
    s->addr6 = s->bridge->net6.addr;
    if (s->addr6.family)
        memcpy(s->addr6.b + 12, a->b, 4);
    s->mac[0] = gateway_mac[0];
    s->mac[1] = gateway_mac[1];
    memcpy(s->mac + 2, a->b, 4);
}

static bool in_a_block(const struct helper *h, const struct slot *s, const struct net_addr *a)
{
    for (size_t i = 0; i < h->policy->n_grants; i++) {
        const struct grant *g = &h->policy->grants[i];
        if (&h->policy->bridges[g->bridge] == s->bridge && g->block.addr.family &&
            net_cidr_contains(&g->block, a))
            return true;
    }
    return false;
}

/* "auto": the first 65,536 addresses of the bridge's network that are in nobody's block. */
static int take_any_address(struct helper *h, struct slot *s, unsigned n, struct err *e)
{
    static uint8_t taken[65536];
    const struct net_addr *wanted = &h->request->ip;
    struct net_addr a;
    uint64_t count = net_cidr_count(&s->bridge->net4);
    size_t size = count > sizeof(taken) ? sizeof(taken) : (size_t)count - 1, first = 2;
    memset(taken, 0, sizeof(taken));
    int r = rules_taken(h, &s->bridge->net4.addr, taken, size);
    if (r < 0)
        return err_set(e, -r, "look for a free address");
    /* Not the same address at once for the next container: others may still know it. */
    size_t at = size > first ? (h->uid * 31u + n) % (size - first) : 0;
    for (size_t i = 0; i + first < size; i++, at = (at + 1) % (size - first)) {
        if (taken[first + at] ||
            net_addr_add(&s->bridge->net4.addr, (int64_t)(first + at), &a) < 0 ||
            (wanted->family && net_addr_cmp(&a, wanted) != 0) || in_a_block(h, s, &a))
            continue;
        set_address(s, &a);
        r = rules_admit(h, s);
        if (r != -EEXIST)
            return r;
    }
    return wanted->family ? err_msg(e, EADDRINUSE, "the wanted address is taken or not granted")
                          : err_msg(e, EADDRINUSE, "no free address on %s", s->bridge->name);
}

static int take_address(struct helper *h, struct slot *s, unsigned n, struct err *e)
{
    struct net_addr a;
    if (!s->grant->block.addr.family)
        return take_any_address(h, s, n, e);
    if (net_addr_add(&s->grant->block.addr, n, &a) < 0)
        return err_msg(e, ERANGE, "the block ends before slot %u", n);
    set_address(s, &a);
    int r = rules_admit(h, s);
    return r == -EEXIST ? err_msg(e, r, "address number %u of the block is taken", n) : r;
}

/* Rules first, then the bridge, then up: no frame passes that they have not seen. */
static int connect_slot(struct helper *h, const struct slot *s, int bridge)
{
    static const struct rtnl_port port = {.mcast_flood = true, .guard = true};
    struct rtnl_change change = {.master = bridge};
    int r = rtnl_link_set(h->rt, s->index, &change);
    if (r == 0)
        r = rtnl_port_set(h->rt, s->index, &port);
    if (r == 0)
        r = rtnl_fdb_add(h->rt, s->index, s->mac);
    forward_silence(s->name);
    if (r == 0)
        r = rtnl_link_set(h->rt, s->index, &(struct rtnl_change){.up = 1, .alias = "rootlet"});
    return r;
}

/* Is the bridge still the one of that name, and not about to go? */
static int verify(struct helper *h, const struct slot *s, int bridge)
{
    struct rtnl_link l, port;
    int r = rtnl_link_get_index(h->rt, s->index, &port);
    if (r < 0)
        return -ESRCH; /* the container ended */
    r = rtnl_link_get(h->rt, s->bridge->name, &l);
    if (r < 0 || l.index != bridge || port.master != bridge)
        return -EAGAIN;
    return strncmp(l.alias, GOING, strlen(GOING)) == 0 ? settle_mark(h, &l) : 0;
}

static int place_slot(struct helper *h, struct slot *s, unsigned n, struct err *e)
{
    struct rtnl_link bridge = {.index = 0};
    for (int i = 0; i < 16; i++) {
        /* The tables before the bridge: forwarding is written down there. */
        int r = rules_ensure(h, s->bridge, e);
        if (r == 0)
            r = ensure_bridge(h, s->bridge, &bridge, e);
        if (r < 0)
            return r;
        r = take_address(h, s, n, e);
        if (r == 0)
            flows_forget(h, s);
        if (r == 0)
            r = connect_slot(h, s, bridge.index);
        if (r == 0)
            r = verify(h, s, bridge.index);
        if (r == 0)
            return 0;
        if (r == -ESRCH)
            return err_msg(e, ESRCH, "the container ended meanwhile");
        if (r != -ENOENT && r != -ENODEV && r != -EAGAIN && r != -EINTR)
            return e->errnum ? r : err_set(e, -r, "connect %s to %s", s->name, s->bridge->name);
    }
    return err_msg(e, EBUSY, "the bridge %s is made and removed again and again", s->bridge->name);
}

int slot_add(struct helper *h, struct slot *ret, struct err *e)
{
    struct slot s = {.index = 0};
    unsigned base = 0, n = 0, mtu = 0;
    char uplink[IFNAMSIZ];
    s.grant = find_grant(h, h->request->bridge, &base);
    if (!s.grant)
        return err_msg(e, EPERM, "no line of net.conf grants this user interfaces on %s",
                       h->request->bridge);
    s.bridge = &h->policy->bridges[s.grant->bridge];
    slots_uplink(h, uplink, &mtu);
    s.mtu = s.bridge->mtu ? s.bridge->mtu : mtu;
    slots_collect(h);
    int r = take_slot(h, &s, base, &n, e);
    if (r < 0)
        return r;
    r = place_slot(h, &s, n, e);
    if (r < 0) {
        struct err ignored = ERR_INIT;
        slot_del(h, s.name, &ignored);
        return r;
    }
    *ret = s;
    return 0;
}

int slot_find(struct helper *h, const char *name, struct slot *ret, struct err *e)
{
    struct slot s = {.index = 0};
    struct rtnl_link l, bridge;
    if (slot_number(h->uid, name) < 0)
        return err_msg(e, EPERM, "\"%s\" is no interface of this user", name);
    int r = rtnl_link_get(h->rt, name, &l);
    if (r == 0)
        r = rtnl_link_get_index(h->rt, l.master, &bridge);
    if (r < 0)
        return err_set(e, -r, "interface %s", name);
    unsigned base = 0;
    s.grant = find_grant(h, bridge.name, &base);
    struct net_addr a;
    if (!s.grant || rules_address(h, name, &a) < 0)
        return err_msg(e, ENOENT, "interface %s has no address", name);
    s.bridge = &h->policy->bridges[s.grant->bridge];
    s.index = l.index;
    s.mtu = l.mtu;
    memcpy(s.name, l.name, sizeof(s.name));
    set_address(&s, &a);
    *ret = s;
    return 0;
}

int slot_del(struct helper *h, const char *name, struct err *e)
{
    struct rtnl_link l;
    if (slot_number(h->uid, name) < 0)
        return err_msg(e, EPERM, "\"%s\" is no interface of this user", name);
    /* As when its container ends. The rules come after it: to remove those of a name or an address
     * that live on would be to remove the next one's, if somebody stops us in between. */
    int r = rtnl_link_get(h->rt, name, &l);
    if (r == 0)
        r = rtnl_link_del(h->rt, l.index);
    if (r < 0 && r != -ENODEV)
        return err_set(e, -r, "remove the interface %s", name);
    slots_collect(h);
    return 0;
}

static int any_slot(const struct rtnl_link *l, void *data)
{
    const int *bridge = data;
    /* Also those that are in no bridge yet: they are about to look for one. */
    return slot_any(l->name) && (l->master == 0 || l->master == *bridge);
}

/* See settle_mark. */
static void remove_empty(struct helper *h, const char *bridge)
{
    char mark[64];
    struct rtnl_link l, again;
    struct timespec now = {0};
    if (rtnl_link_get(h->rt, bridge, &l) < 0 || !ours(&l) ||
        rtnl_links(h->rt, 0, any_slot, &l.index) != 0)
        return;
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(mark, sizeof(mark), GOING "%d %ld.%09ld", (int)getpid(), (long)now.tv_sec,
             now.tv_nsec);
    if (rtnl_link_set(h->rt, l.index, &(struct rtnl_change){.alias = mark}) < 0)
        return;
    int used = rtnl_links(h->rt, 0, any_slot, &l.index);
    if (rtnl_link_get_index(h->rt, l.index, &again) < 0 || strcmp(again.alias, mark) != 0)
        return;
    if (used != 0)
        rtnl_link_set(h->rt, l.index, &(struct rtnl_change){.alias = "rootlet"});
    else
        rtnl_link_del(h->rt, l.index);
}

struct bridges {
    char v[POLICY_BRIDGES][IFNAMSIZ];
    size_t n;
};

static int keep_ours(const struct rtnl_link *l, void *data)
{
    struct bridges *w = data;
    if (ours(l) && w->n < POLICY_BRIDGES)
        memcpy(w->v[w->n++], l->name, IFNAMSIZ);
    return 0;
}

/* The host's way out may be by another device than when the bridge was made. What it needs there is
 * missing for all who are on the bridge: so it is not the caller's error. */
static void follow_uplink(struct helper *h, const struct bridge *b)
{
    struct err ignored = ERR_INIT;
    struct rtnl_link l;
    char uplink[IFNAMSIZ];
    unsigned mtu = 0;
    slots_uplink(h, uplink, &mtu);
    if (*uplink && rtnl_link_get(h->rt, b->name, &l) == 0 && ours(&l))
        forward_enable(h, b, uplink, &ignored);
}

/* Bridges by their card, too: net.conf may know them no more. */
int slots_collect(struct helper *h)
{
    struct bridges found = {.n = 0};
    int r = rules_collect(h);
    (void)rtnl_links(h->rt, 0, keep_ours, &found);
    for (size_t i = 0; i < found.n; i++) {
        remove_empty(h, found.v[i]);
        rules_settle(h, found.v[i]);
    }
    for (size_t i = 0; i < h->policy->n_bridges; i++) {
        rules_settle(h, h->policy->bridges[i].name);
        follow_uplink(h, &h->policy->bridges[i]);
    }
    return r;
}
