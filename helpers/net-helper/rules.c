/* rules - the elements of our tables: what is added for a slot, and what is left of dead ones. The
 * tables themselves are in tables.c. */
#include "helpers/net-helper/rules.h"

#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "helpers/net-helper/net-helper.h"
#include "sys/nft-port.h"

static struct nft batch; /* one at a time; too large for the stack of a hostile caller */

/* Keys with room for a family: of addresses 4 or 16 bytes, each padded to four. */
struct key {
    uint8_t b[64];
    size_t n;
};

static void add_part(struct key *k, const void *data, size_t size)
{
    memcpy(k->b + k->n, data, size);
    k->n += (size + 3) & ~(size_t)3;
}

static void add_name(struct key *k, const char *name)
{
    size_t n = strnlen(name, IFNAMSIZ - 1);
    memcpy(k->b + k->n, name, n);
    k->n += NFT_IFNAME;
}

static void add_addr(struct key *k, const struct net_addr *a)
{
    add_part(k, a->b, net_addr_size(a));
}

static void add_port(struct key *k, uint16_t port)
{
    port = htons(port);
    add_part(k, &port, sizeof(port));
}

static void put(const char *set, unsigned flags, const struct key *k, const struct key *v)
{
    struct nft_elem e = {.key = k->b, .key_size = k->n};
    if (v) {
        e.data = v->b;
        e.data_size = v->n;
    }
    nft_elem_add(&batch, set, flags, &e);
}

/* The sets that hold something of slots, and by what: the name at the beginning of the key or in
 * the value, or the address at the beginning of one of them. */
static const struct {
    int family;
    const char *set;
    bool in_data, address;
} of_slots[] = {
    {NFPROTO_BRIDGE, NFT_PORT_SET4, false, false}, {NFPROTO_BRIDGE, NFT_PORT_SET6, false, false},
    {NFPROTO_BRIDGE, "slots", false, false},       {NFPROTO_BRIDGE, "member", false, false},
    {NFPROTO_INET, "port4", true, true},           {NFPROTO_INET, "port4any", true, true},
    {NFPROTO_INET, "port6", true, true},           {NFPROTO_INET, "port6any", true, true},
    {NFPROTO_INET, "slots", false, false},         {NFPROTO_INET, "lease4", true, false},
    {NFPROTO_INET, "owner", false, true},
};
enum { N_OF_SLOTS = sizeof(of_slots) / sizeof(of_slots[0]) };

/* A set of names or addresses, open addressing. When it is full it says yes to everything: then
 * nothing is taken for dead. */
enum { TABLE_SIZE = 16384 };
struct table {
    uint8_t v[TABLE_SIZE][16];
    size_t n;
};

static uint8_t *table_find(struct table *t, const uint8_t key[static 16])
{
    static const uint8_t none[16];
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < 16; i++)
        hash = (hash ^ key[i]) * 16777619u;
    for (size_t i = 0; i < TABLE_SIZE; i++) {
        uint8_t *v = t->v[(hash + i) % TABLE_SIZE];
        if (memcmp(v, none, 16) == 0 || memcmp(v, key, 16) == 0)
            return v;
    }
    return NULL;
}

static void table_add(struct table *t, const uint8_t key[static 16])
{
    uint8_t *v = t->n < TABLE_SIZE / 2 ? table_find(t, key) : NULL;
    if (v)
        memcpy(v, key, 16);
    t->n++;
}

static bool table_has(struct table *t, const uint8_t key[static 16])
{
    uint8_t *v = t->n < TABLE_SIZE / 2 ? table_find(t, key) : NULL;
    return !v || memcmp(v, key, 16) == 0;
}

static struct table live_names, live_addrs;

/* What a sweep removes: what is left of a slot's name and addresses, or what belongs to no live
 * one. */
struct sweep {
    const char *name; /* NULL: the dead */
    struct net_addr addr, addr6;
    size_t set, removed;
    bool full; /* the batch is; another round */
};

static bool doomed(const struct sweep *w, const struct nft_found *f)
{
    uint8_t key[16] = {0};
    bool in_data = of_slots[w->set].in_data, address = of_slots[w->set].address;
    bool v6 = strncmp(of_slots[w->set].set, "port6", 5) == 0;
    size_t n = !address ? NFT_IFNAME : v6 ? 16 : 4;
    if ((in_data ? f->data_size : f->key_size) < n)
        return false;
    memcpy(key, in_data ? f->data : f->key, n);
    if (!w->name)
        return !table_has(address ? &live_addrs : &live_names, key);
    if (!address)
        return strncmp((const char *)key, w->name, IFNAMSIZ) == 0;
    const struct net_addr *a = v6 ? &w->addr6 : &w->addr;
    return a->family && memcmp(key, a->b, n) == 0;
}

static int sweep_one(const struct nft_found *f, void *data)
{
    struct sweep *w = data;
    if (!doomed(w, f))
        return 0;
    if (batch.m.size > NL_MSG_MAX / 2) {
        w->full = true;
        return 0;
    }
    nft_elem_del(&batch, of_slots[w->set].set, f->key, f->key_size);
    w->removed++;
    return 0;
}

/* Puts the deletions into the batch. A table that is not there has nothing to delete. */
static int sweep(struct helper *h, struct sweep *w)
{
    for (w->set = 0; w->set < N_OF_SLOTS; w->set++) {
        struct nft_source from = {of_slots[w->set].family, RULES_TABLE, of_slots[w->set].set};
        nft_table(&batch, from.family, RULES_TABLE);
        int r = nft_elems(h->nf, &from, sweep_one, w);
        if (r == -EINTR)
            return r;
        if (r < 0 && r != -ENOENT)
            return r;
    }
    return 0;
}

static void add_slot_elements(const struct helper *h, const struct slot *s)
{
    struct key lease = {.n = 0}, name = {.n = 0}, member, owner;
    uint32_t group = slot_group(h->uid), uid = h->uid;
    struct nft_port port = {.device = s->name, .mac = s->mac};
    add_addr(&lease, &s->addr);
    add_name(&name, s->name);
    nft_table(&batch, NFPROTO_INET, RULES_TABLE);
    put("lease4", NLM_F_EXCL, &lease, &name);
    put("slots", 0, &name, NULL);
    owner = lease;
    add_part(&owner, &uid, sizeof(uid));
    put("owner", 0, &owner, NULL);

    nft_table(&batch, NFPROTO_BRIDGE, RULES_TABLE);
    port.addr[0].family = AF_INET;
    memcpy(port.addr[0].bytes, s->addr.b, 4);
    port.addr[1].family = s->addr6.family ? AF_INET6 : 0;
    memcpy(port.addr[1].bytes, s->addr6.b, 16);
    nft_port_elements(&batch, &port, true);
    member = name;
    add_part(&member, &group, sizeof(group));
    put("slots", 0, &name, NULL);
    put("member", 0, &member, NULL);
}

/* The lease, exclusively taken, is what proves that the removed is nobody's any more. When that is
 * too much for one transaction the others have the generation. */
int rules_admit(struct helper *h, const struct slot *s)
{
    struct sweep w = {.name = s->name, .addr = s->addr, .addr6 = s->addr6};
    uint32_t generation = 0;
    for (int i = 0; i < 32; i++) {
        w.full = false;
        nft_begin(&batch, generation);
        int r = sweep(h, &w);
        if (r == 0 && w.full && !generation) {
            r = nft_genid(h->nf, &generation);
            if (r == 0)
                continue;
        }
        generation = 0;
        if (r == 0 && !w.full)
            add_slot_elements(h, s);
        if (r == 0)
            r = nft_commit(h->nf, &batch);
        if (r == -ERESTART)
            continue;
        /* -ENOENT: what is to be deleted was collected by somebody else, or the table was. */
        if (r == -ENOENT && nft_table_get(h->nf, NFPROTO_INET, RULES_TABLE, NULL, NULL) == 0)
            continue;
        if (r != -EINTR && !(r == 0 && w.full))
            return r;
    }
    return -EBUSY;
}

struct net_addr rules_addr6(const struct bridge *b, const struct net_addr *addr)
{
    struct net_addr a = b->net6.addr;
    if (a.family)
        memcpy(a.b + 12, addr->b, 4);
    return a;
}

static int live_link(const struct rtnl_link *l, void *data)
{
    uint8_t key[16] = {0};
    (void)data;
    if (!slot_any(l->name))
        return 0;
    memcpy(key, l->name, strlen(l->name));
    table_add(&live_names, key);
    return 0;
}

static int live_lease(const struct nft_found *f, void *data)
{
    const struct helper *h = data;
    uint8_t key[16] = {0};
    struct net_addr a = {.family = 4};
    if (f->key_size != 4 || f->data_size != NFT_IFNAME || !table_has(&live_names, f->data))
        return 0;
    memcpy(key, f->key, 4);
    memcpy(a.b, f->key, 4);
    table_add(&live_addrs, key);
    for (size_t i = 0; i < h->policy->n_bridges; i++) {
        const struct bridge *b = &h->policy->bridges[i];
        if (b->net6.addr.family && net_cidr_contains(&b->net4, &a))
            table_add(&live_addrs, rules_addr6(b, &a).b);
    }
    return 0;
}

/* The generation is read before the links: when anybody adds elements after that, for a slot that
 * we did not see, the kernel refuses ours. */
static int collect_once(struct helper *h, bool *ret_more)
{
    static const struct nft_source leases = {NFPROTO_INET, RULES_TABLE, "lease4"};
    struct sweep w = {.name = NULL};
    uint32_t generation = 0;
    memset(&live_names, 0, sizeof(live_names));
    memset(&live_addrs, 0, sizeof(live_addrs));
    int r = nft_genid(h->nf, &generation);
    if (r == 0)
        r = rtnl_links(h->rt, 0, live_link, NULL);
    if (r == 0)
        r = nft_elems(h->nf, &leases, live_lease, h);
    if (r < 0)
        return r;
    nft_begin(&batch, generation);
    r = sweep(h, &w);
    *ret_more = w.full;
    return r < 0 || w.removed == 0 ? r : nft_commit(h->nf, &batch);
}

int rules_collect(struct helper *h)
{
    int r = 0;
    for (int i = 0; i < 16; i++) {
        bool more = false;
        r = collect_once(h, &more);
        if (r == -ENOENT && rules_check_table(h) < 0)
            return 0;
        if (r != -ERESTART && r != -EINTR && r != -ENOENT && !(r == 0 && more))
            return r;
    }
    return r;
}

struct lookup {
    const char *slot;
    struct net_addr *ret;
    const struct net_addr *first;
    uint8_t *taken;
    size_t n;
};

static int find_address(const struct nft_found *f, void *data)
{
    struct lookup *w = data;
    if (f->key_size != 4 || f->data_size != NFT_IFNAME ||
        strncmp((const char *)f->data, w->slot, IFNAMSIZ) != 0)
        return 0;
    *w->ret = (struct net_addr){.family = 4};
    memcpy(w->ret->b, f->key, 4);
    return 1;
}

int rules_address(struct helper *h, const char *slot, struct net_addr *ret)
{
    static const struct nft_source leases = {NFPROTO_INET, RULES_TABLE, "lease4"};
    struct lookup w = {.slot = slot, .ret = ret};
    int r = -EINTR;
    for (int i = 0; i < 8 && r == -EINTR; i++)
        r = nft_elems(h->nf, &leases, find_address, &w);
    return r < 0 ? r : r == 1 ? 0 : -ENOENT;
}

static int mark_taken(const struct nft_found *f, void *data)
{
    const struct lookup *w = data;
    uint32_t at = 0, first = 0;
    if (f->key_size != 4)
        return 0;
    memcpy(&at, f->key, 4);
    memcpy(&first, w->first->b, 4);
    at = ntohl(at) - ntohl(first);
    if (at < w->n)
        w->taken[at] = 1;
    return 0;
}

int rules_taken(struct helper *h, const struct net_addr *first, uint8_t *taken, size_t n)
{
    static const struct nft_source leases = {NFPROTO_INET, RULES_TABLE, "lease4"};
    struct lookup w = {.first = first, .taken = taken, .n = n};
    int r = nft_elems(h->nf, &leases, mark_taken, &w);
    return r == -ENOENT ? 0 : r;
}

static bool port_granted(const struct grant *g, const struct request_port *p)
{
    bool port = false, addr = g->n_binds == 0;
    for (size_t i = 0; i < g->n_ports; i++) {
        const struct port_range *r = &g->ports[i];
        port = port || (r->proto == p->proto && p->host >= r->first && p->host <= r->last);
    }
    for (size_t i = 0; i < g->n_binds; i++)
        addr = addr || net_addr_cmp(&g->binds[i], &p->addr) == 0;
    return port && addr;
}

/* The key of a port on the host: PROTO [. ADDRESS] . PORT . MARK, and the map that it is for. */
static const char *port_key(const struct request_port *p, int family, uid_t uid, struct key *k)
{
    uint32_t mark = socket_mark(uid);
    bool any = net_addr_is_any(&p->addr);
    add_part(k, &p->proto, 1);
    if (!any)
        add_addr(k, &p->addr);
    add_port(k, p->host);
    add_part(k, &mark, sizeof(mark));
    if (family == 4)
        return any ? "port4any" : "port4";
    return any ? "port6any" : "port6";
}

struct present {
    const struct key *key;
    size_t n; /* elements of this user */
    bool found;
};

static int look_present(const struct nft_found *f, void *data)
{
    struct present *w = data;
    const struct key *k = w->key;
    if (f->key_size != k->n)
        return 0;
    w->n += memcmp(f->key + k->n - 4, k->b + k->n - 4, 4) == 0; /* the mark */
    w->found = w->found || memcmp(f->key, k->b, k->n) == 0;
    return 0;
}

/* An element that is there is of another container of the same user. False: he has too many. */
static bool replace_port(struct helper *h, const struct request_port *p, int family,
                         const struct slot *s)
{
    struct key k = {.n = 0}, v = {.n = 0};
    const char *map = port_key(p, family, h->uid, &k);
    struct nft_source from = {NFPROTO_INET, RULES_TABLE, map};
    struct present w = {.key = &k};
    if (nft_elems(h->nf, &from, look_present, &w) < 0 || (!w.found && w.n >= PORTS_MAX))
        return false;
    if (w.found)
        nft_elem_del(&batch, map, k.b, k.n);
    add_addr(&v, family == 4 ? &s->addr : &s->addr6);
    add_port(&v, p->ctr);
    put(map, 0, &k, &v);
    return true;
}

static bool replace_both(struct helper *h, const struct request_port *p, const struct slot *s)
{
    bool done = false;
    if (p->addr.family == 4 || p->both)
        done = replace_port(h, p, 4, s);
    if (p->addr.family == 6 && s->addr6.family)
        done = replace_port(h, p, 6, s) || done;
    return done;
}

int rules_publish(struct helper *h, const struct slot *s, uint8_t *granted)
{
    struct key lease = {.n = 0}, name = {.n = 0};
    int r = -EBUSY;
    add_addr(&lease, &s->addr);
    add_name(&name, s->name);
    for (int i = 0; i < 8 && (r == -EBUSY || r == -ENOENT || r == -EEXIST); i++) {
        nft_begin(&batch, 0);
        nft_table(&batch, NFPROTO_INET, RULES_TABLE);
        /* Refused when the address is another slot's by now. */
        put("lease4", 0, &lease, &name);
        for (size_t p = 0; p < h->request->n_ports; p++) {
            const struct request_port *port = &h->request->ports[p];
            granted[p] = s->grant && port_granted(s->grant, port) &&
                         !net_addr_is_loopback(&port->addr) && identity_mark(port, h->uid) == 0 &&
                         replace_both(h, port, s);
        }
        r = nft_commit(h->nf, &batch);
    }
    return r;
}
