/* tables - the fixed rules of inet rootlet and bridge rootlet. They are made once, in one
 * transaction, and only look things up; a container adds and removes elements (rules.c).
 *
 * Other tables are never touched. A packet that another table drops stays dropped: forward.c says
 * so to the caller. */
#include <errno.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <string.h>

#include "helpers/net-helper/rules.h"
#include "sys/nft-port.h"

#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter_bridge.h>
#include <linux/rtnetlink.h>

static struct nft batch;

/* Never an address' (tables of neighbours see it as 02:72 and 0.0.0.1): that the bridge has it says
 * that it is ours, and rules recognise by it what is for the host to route. */
const uint8_t gateway_mac[6] = {0x02, 0x72, 0, 0, 0, 1};

static void add_sets(struct nft *b)
{
    static const char *const names[] = {"bridges",  "masq",     "host", "closed",
                                        "uplinks4", "uplinks6", "slots"};
    uint32_t proto = nft_type(0, NFT_T_PROTO), to4 = nft_type(NFT_T_IPV4, NFT_T_SERVICE),
             to6 = nft_type(NFT_T_IPV6, NFT_T_SERVICE);
    uint32_t any = nft_type(nft_type(proto, NFT_T_SERVICE), NFT_T_MARK);
    uint32_t of4 = nft_type(nft_type(nft_type(proto, NFT_T_IPV4), NFT_T_SERVICE), NFT_T_MARK);
    uint32_t of6 = nft_type(nft_type(nft_type(proto, NFT_T_IPV6), NFT_T_SERVICE), NFT_T_MARK);
    const struct nft_set maps[] = {
        {"lease4", NFT_T_IPV4, 4, NFT_T_IFNAME, NFT_IFNAME},
        {"port4", of4, 16, to4, 8},
        {"port4any", any, 12, to4, 8},
        {"port6", of6, 28, to6, 20},
        {"port6any", any, 12, to6, 20},
        {"owner", nft_type(NFT_T_IPV4, NFT_T_UID), 8, 0, 0},
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        nft_set_add(b, &(struct nft_set){names[i], NFT_T_IFNAME, NFT_IFNAME});
    for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++)
        nft_set_add(b, &maps[i]);
}

/* PROTO [. ADDRESS] . PORT . MARK to ADDRESS . PORT, for one family. The mark is the one of the
 * socket that would get the packet: see socket_mark. */
static void lead(struct nft *b, const char *map, uint32_t family)
{
    static const struct nft_field port = {NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2},
                                  dest4 = {NFT_PAYLOAD_NETWORK_HEADER, 16, 4},
                                  dest6 = {NFT_PAYLOAD_NETWORK_HEADER, 24, 16};
    bool v4 = family == NFPROTO_IPV4, any = strlen(map) > strlen("port4");
    unsigned words = v4 ? 1 : 4, at = any ? 1 : 1 + words;
    nft_meta(b, N(0), NFT_META_NFPROTO);
    nft_cmp_u8(b, NFT_CMP_EQ, N(0), (uint8_t)family);
    /* What comes from the host itself is for the forwarder, which listens on the port. */
    nft_meta(b, N(0), NFT_META_IIFNAME);
    nft_cmp_name(b, NFT_CMP_NEQ, N(0), "lo");
    nft_fib_daddr_type(b, N(0));
    nft_cmp_u32(b, NFT_CMP_EQ, N(0), RTN_LOCAL);
    nft_meta(b, N(0), NFT_META_L4PROTO);
    if (!any)
        nft_payload(b, N(1), v4 ? dest4 : dest6);
    nft_payload(b, N(at), port);
    struct nft_expr x = nft_expr_begin(b, "socket");
    nl_put_be32(&b->m, NFTA_SOCKET_KEY, NFT_SOCKET_MARK);
    nl_put_be32(&b->m, NFTA_SOCKET_DREG, N(at + 1));
    nft_expr_end(b, x);
    nft_lookup_map(b, map, N(0), N(8));
    nft_dnat(b, (int)family, N(8), N(8 + words));
}

/* With ports from the first on. */
static void masquerade(struct nft *b, const char *none, uint32_t first)
{
    const uint16_t ports[] = {htons((uint16_t)first), htons(65535)};
    (void)none;
    nft_immediate(b, N(0), &ports[0], sizeof(ports[0]));
    nft_immediate(b, N(1), &ports[1], sizeof(ports[1]));
    struct nft_expr x = nft_expr_begin(b, "masq");
    nl_put_be32(&b->m, NFTA_MASQ_FLAGS, NF_NAT_RANGE_PROTO_SPECIFIED);
    nl_put_be32(&b->m, NFTA_MASQ_REG_PROTO_MIN, N(0));
    nl_put_be32(&b->m, NFTA_MASQ_REG_PROTO_MAX, N(1));
    nft_expr_end(b, x);
}

static void device(struct nft *b, const char *set, uint32_t key_flags)
{
    nft_meta(b, N(0), key_flags >> 8);
    nft_lookup(b, set, N(0), key_flags & 0xff);
}

static void meta_is(struct nft *b, const char *none, uint32_t key_value)
{
    (void)none;
    nft_meta(b, N(0), key_value >> 8);
    nft_cmp_u8(b, NFT_CMP_EQ, N(0), (uint8_t)key_value);
}

static void state_is(struct nft *b, const char *none, uint32_t mask)
{
    (void)none;
    nft_ct(b, N(0), NFT_CT_STATE);
    nft_bits(b, N(0), &mask, sizeof(mask));
    nft_cmp_u32(b, NFT_CMP_NEQ, N(0), 0);
}

static void translated(struct nft *b, const char *none, uint32_t op)
{
    uint32_t mask = IPS_DST_NAT;
    (void)none;
    nft_ct(b, N(0), NFT_CT_STATUS);
    nft_bits(b, N(0), &mask, sizeof(mask));
    nft_cmp_u32(b, op, N(0), 0);
}

/* To the host itself, by the card: not what is only bridged. */
static void to_gateway(struct nft *b, const char *none, uint32_t type)
{
    uint16_t ethernet = (uint16_t)type;
    (void)none;
    nft_meta(b, N(0), NFT_META_IIFTYPE);
    nft_cmp(b, NFT_CMP_EQ, N(0), &ethernet, sizeof(ethernet));
    nft_payload(b, N(0), (struct nft_field){NFT_PAYLOAD_LL_HEADER, 0, 6});
    nft_cmp(b, NFT_CMP_EQ, N(0), gateway_mac, sizeof(gateway_mac));
}

/* Sent by a user, not root, whose container does not have that address: ADDRESS . USER is not in
 * the set. at: where the address is; of an IPv6 one the last 32 bits, which are the IPv4 one. What
 * no program has sent (the kernel's own answers) has no user, and with that the rule ends. */
static void to_stranger(struct nft *b, const char *set, uint32_t at)
{
    nft_meta(b, N(1), NFT_META_SKUID);
    nft_cmp_u32(b, NFT_CMP_NEQ, N(1), 0);
    nft_payload(b, N(0), (struct nft_field){NFT_PAYLOAD_NETWORK_HEADER, at, 4});
    nft_lookup(b, set, N(0), NFT_LOOKUP_F_INV);
}

/* The port's user may have what comes from the other one's. */
static void member(struct nft *b, const char *set, uint32_t key)
{
    nft_meta(b, N(0), NFT_META_OIFNAME);
    nft_meta(b, N(4), key);
    nft_lookup(b, set, N(0), 0);
}

static void clamp(struct nft *b, const char *none, uint32_t unused)
{
    (void)none, (void)unused;
    nft_clamp_mss(b);
}

static void syn(struct nft *b, const char *none, uint32_t set)
{
    uint8_t mask = 0x06; /* SYN, RST */
    (void)none;
    nft_payload(b, N(0), (struct nft_field){NFT_PAYLOAD_TRANSPORT_HEADER, 13, 1});
    nft_bits(b, N(0), &mask, sizeof(mask));
    nft_cmp_u8(b, NFT_CMP_EQ, N(0), (uint8_t)set);
}

static void reject(struct nft *b, const char *none, uint32_t code)
{
    struct nft_expr x = nft_expr_begin(b, "reject");
    (void)none;
    nl_put_be32(&b->m, NFTA_REJECT_TYPE, NFT_REJECT_ICMPX_UNREACH);
    nl_put_u8(&b->m, NFTA_REJECT_ICMP_CODE, (uint8_t)code);
    nft_expr_end(b, x);
}

static void verdict(struct nft *b, const char *chain, uint32_t v)
{
    nft_verdict(b, (int)v, chain);
}

/* What a packet has to be, and what is then done with it. */
struct rule {
    const char *chain;
    struct term {
        void (*put)(struct nft *b, const char *name, uint32_t arg);
        const char *name;
        uint32_t arg;
    } terms[6];
};
#define TERM(...)                                                                                  \
    (struct term)                                                                                  \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
#define FROM(set) TERM(device, set, NFT_META_IIFNAME << 8)
#define TO(set) TERM(device, set, NFT_META_OIFNAME << 8)
#define NOT_TO(set) TERM(device, set, NFT_META_OIFNAME << 8 | NFT_LOOKUP_F_INV)
#define FAMILY(n) TERM(meta_is, NULL, NFT_META_NFPROTO << 8 | (n))
#define PROTO(n) TERM(meta_is, NULL, NFT_META_L4PROTO << 8 | (n))
#define NEW TERM(state_is, NULL, NF_CT_STATE_BIT(IP_CT_NEW))
#define KNOWN TERM(state_is, NULL, KNOWN_BITS)
#define KNOWN_BITS (NF_CT_STATE_BIT(IP_CT_ESTABLISHED) | NF_CT_STATE_BIT(IP_CT_RELATED))
#define LED TERM(translated, NULL, NFT_CMP_NEQ) /* to a published port; or by the administrator */
#define NOT_LED TERM(translated, NULL, NFT_CMP_EQ)
#define ACCEPT TERM(verdict, NULL, NF_ACCEPT)
#define DROP TERM(verdict, NULL, NF_DROP)
#define REFUSE TERM(reject, NULL, NFT_REJECT_ICMPX_ADMIN_PROHIBITED)
#define GO(chain) TERM(verdict, chain, (uint32_t)NFT_GOTO)
#define CALL(chain) TERM(verdict, chain, (uint32_t)NFT_JUMP)

static const struct nft_chain inet_chains[] = {
    {"guard", "filter", NF_INET_PRE_ROUTING, -450, false},
    /* After the administrator's own translations (-100; of firewalld -90): the first one counts. */
    {"prerouting", "nat", NF_INET_PRE_ROUTING, -80, false},
    {"postrouting", "nat", NF_INET_POST_ROUTING, 100, false},
    {"forward", "filter", NF_INET_FORWARD, 0, false},
    {"input", "filter", NF_INET_LOCAL_IN, 0, false},
    {"output", "filter", NF_INET_LOCAL_OUT, 0, false},
    {.name = "clamp"},
    {.name = "to-host"},
    {.name = "to-slot"},
};
static const struct rule inet_rules[] = {
    /* What a container sends reaches the host by way of the bridge, never by the slot's own device:
     * so would frames to the cards 01:80:c2:00:00:xx, which a bridge hands up as the port's past
     * its rules, and all of them when somebody takes the device out of the bridge. Router
     * advertisements, too. */
    {"guard", {FROM("slots"), DROP}},

    {"prerouting", {TERM(lead, "port4", NFPROTO_IPV4)}},
    {"prerouting", {TERM(lead, "port4any", NFPROTO_IPV4)}},
    {"prerouting", {TERM(lead, "port6", NFPROTO_IPV6)}},
    {"prerouting", {TERM(lead, "port6any", NFPROTO_IPV6)}},
    /* Not with ports below 1024, which are the host's own: what a server outside sends there in
     * answer to a container would never reach the host's service. */
    {"postrouting", {FROM("masq"), NOT_TO("bridges"), TERM(masquerade, NULL, 1024)}},
    /* From a container to a published port of another: the answer has to come back through us. */
    {"postrouting", {FROM("bridges"), TO("bridges"), LED, TERM(masquerade, NULL, 1024)}},

    {"forward", {PROTO(IPPROTO_TCP), TERM(syn, NULL, 0x02), CALL("clamp")}},
    {"clamp", {FROM("bridges"), TERM(clamp)}},
    {"clamp", {TO("bridges"), TERM(clamp)}},
    {"forward", {KNOWN, ACCEPT}},
    /* Forwarding was switched on for the bridges' sake: what comes from an uplink goes there only.
     */
    {"forward", {FAMILY(NFPROTO_IPV4), FROM("uplinks4"), NOT_TO("bridges"), NOT_LED, DROP}},
    {"forward", {FAMILY(NFPROTO_IPV6), FROM("uplinks6"), NOT_TO("bridges"), NOT_LED, DROP}},
    {"forward", {TO("bridges"), LED, ACCEPT}},
    /* Containers reach each other on their bridge (bridge rootlet says who whom), not by way of the
     * host. With br_netfilter bridged packets come by here too, but not with this address. */
    {"forward", {FROM("bridges"), TO("bridges"), TERM(to_gateway, NULL, ARPHRD_ETHER), DROP}},
    {"forward", {FROM("bridges"), ACCEPT}},
    {"forward", {TO("masq"), DROP}},

    /* From containers to the host itself. */
    {"input", {FROM("bridges"), GO("to-host")}},
    {"to-host", {KNOWN, ACCEPT}},
    {"to-host", {FROM("host"), ACCEPT}},
    {"to-host", {PROTO(IPPROTO_ICMP), ACCEPT}},
    {"to-host", {PROTO(IPPROTO_ICMPV6), ACCEPT}},
    {"to-host", {DROP}},

    /* From other users of the host to a container: by its published ports only. To a socket that is
     * bound to the slot's own device the kernel takes everything for a neighbour; nothing of the
     * host's goes there. */
    {"output", {TO("slots"), DROP}},
    {"output", {TO("closed"), NEW, GO("to-slot")}},
    {"to-slot", {FAMILY(NFPROTO_IPV4), TERM(to_stranger, "owner", 16), REFUSE}},
    {"to-slot", {FAMILY(NFPROTO_IPV6), TERM(to_stranger, "owner", 36), REFUSE}},
};

static const struct nft_chain bridge_chains[] = {
    {"prerouting", "filter", NF_BR_PRE_ROUTING, -300, false},
    {"forward", "filter", NF_BR_FORWARD, -200, false},
    {.name = NFT_PORT_CHAIN},
    {.name = "between"},
};
static const struct rule bridge_rules[] = {
    /* Every slot is in the set before it is in the bridge, and leaves the bridge before the set.
     * (The bridge's own name would need NFT_BRIDGE_META, which not every kernel has.) */
    {"prerouting", {FROM("slots"), GO(NFT_PORT_CHAIN)}},
    {"forward", {TO("slots"), GO("between")}},
    /* Only containers of one user reach each other. */
    {"between", {TERM(member, "member", NFT_META_IIFGROUP), ACCEPT}},
    {"between", {DROP}},
};

static void add_rules(struct nft *b, const struct rule *rules, size_t n)
{
    for (const struct rule *r = rules; r < rules + n; r++) {
        nft_rule_begin(b, r->chain);
        for (const struct term *t = r->terms; t < r->terms + 6 && t->put; t++)
            t->put(b, t->name, t->arg);
        nft_rule_end(b);
    }
}

static void add_bridge_table(struct nft *b)
{
    const struct nft_set sets[] = {
        {"slots", NFT_T_IFNAME, NFT_IFNAME, 0, 0, 0},
        {"member", nft_type(NFT_T_IFNAME, NFT_T_DEVGROUP), 20, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++)
        nft_set_add(b, &sets[i]);
    nft_port_sets(b);
    for (size_t i = 0; i < sizeof(bridge_chains) / sizeof(bridge_chains[0]); i++)
        nft_chain_add(b, &bridge_chains[i]);
    nft_port_rules(b);
    add_rules(b, bridge_rules, sizeof(bridge_rules) / sizeof(bridge_rules[0]));
}

static int make_tables(struct helper *h, struct err *e)
{
    nft_begin(&batch, 0);
    nft_table(&batch, NFPROTO_INET, RULES_TABLE);
    nft_table_add(&batch, NLM_F_EXCL, RULES_VERSION, sizeof(RULES_VERSION));
    add_sets(&batch);
    for (size_t i = 0; i < sizeof(inet_chains) / sizeof(inet_chains[0]); i++)
        nft_chain_add(&batch, &inet_chains[i]);
    add_rules(&batch, inet_rules, sizeof(inet_rules) / sizeof(inet_rules[0]));
    nft_table(&batch, NFPROTO_BRIDGE, RULES_TABLE);
    nft_table_add(&batch, NLM_F_EXCL, NULL, 0);
    add_bridge_table(&batch);
    int r = nft_commit(h->nf, &batch);
    if (r == -EOPNOTSUPP || r == -ENOENT || r == -EAFNOSUPPORT)
        return err_msg(e, -r,
                       "the kernel lacks a part of nftables (NF_TABLES_INET, "
                       "NF_TABLES_BRIDGE, NFT_FIB_INET, NFT_MASQ, NFT_NAT, NFT_REJECT_INET, "
                       "NFT_SOCKET): %s %s",
                       strerror(-r), batch.m.why);
    return r < 0 && r != -EEXIST ? err_set(e, -r, "make the table inet %s", RULES_TABLE) : r;
}

int rules_check_table(struct helper *h)
{
    char version[64] = "";
    size_t size = sizeof(version);
    int r = nft_table_get(h->nf, NFPROTO_INET, RULES_TABLE, version, &size);
    if (r < 0)
        return r;
    return size == sizeof(RULES_VERSION) && memcmp(version, RULES_VERSION, size) == 0 ? 0 : -EEXIST;
}

static void put_name(const char *set, const char *device)
{
    char name[NFT_IFNAME] = "";
    memcpy(name, device, strnlen(device, IFNAMSIZ - 1));
    struct nft_elem e = {.key = name, .key_size = sizeof(name)};
    nft_elem_add(&batch, set, 0, &e);
}

struct names {
    char v[POLICY_BRIDGES][IFNAMSIZ];
    size_t n;
    const char *wanted;
    bool has;
};

static int keep_name(const struct nft_found *f, void *data)
{
    struct names *w = data;
    if (f->key_size != NFT_IFNAME)
        return 0;
    w->has = w->has || (w->wanted && strncmp((const char *)f->key, w->wanted, IFNAMSIZ) == 0);
    if (w->n < POLICY_BRIDGES)
        memcpy(w->v[w->n++], f->key, IFNAMSIZ);
    return 0;
}

static void drop_name(struct helper *h, const char *set, const char *device)
{
    struct nft_source from = {NFPROTO_INET, RULES_TABLE, set};
    struct names w = {.wanted = device};
    char name[NFT_IFNAME] = "";
    memcpy(name, device, strnlen(device, IFNAMSIZ - 1));
    nft_table(&batch, NFPROTO_INET, RULES_TABLE);
    if (nft_elems(h->nf, &from, keep_name, &w) == 0 && w.has)
        nft_elem_del(&batch, set, name, sizeof(name));
}

/* As net.conf says now, also when the bridge is older. */
static void set_name(struct helper *h, const char *set, const char *device, bool in)
{
    if (in)
        put_name(set, device);
    else
        drop_name(h, set, device);
}

int rules_ensure(struct helper *h, const struct bridge *b, struct err *e)
{
    int r = -ENOENT;
    for (int i = 0; i < 8 && r == -ENOENT; i++) {
        r = rules_check_table(h);
        if (r == -ENOENT) {
            r = make_tables(h, e);
            if (r < 0 && r != -EEXIST)
                return r;
            r = rules_check_table(h);
        }
        if (r == -EEXIST)
            return err_msg(e, EEXIST, "the nftables table inet %s is of another version or owner",
                           RULES_TABLE);
        if (r < 0)
            continue;
        nft_begin(&batch, 0);
        nft_table(&batch, NFPROTO_INET, RULES_TABLE);
        put_name("bridges", b->name);
        set_name(h, "masq", b->name, b->masquerade);
        set_name(h, "host", b->name, b->host_access);
        set_name(h, "closed", b->name, !b->host_users);
        r = nft_commit(h->nf, &batch);
    }
    return r < 0 ? err_set(e, -r, "prepare the table inet %s", RULES_TABLE) : 0;
}

static const char *uplinks_of(int family)
{
    return family == 4 ? "uplinks4" : "uplinks6";
}

int rules_uplink_add(struct helper *h, int family, const char *device)
{
    nft_begin(&batch, 0);
    nft_table(&batch, NFPROTO_INET, RULES_TABLE);
    put_name(uplinks_of(family), device);
    return nft_commit(h->nf, &batch);
}

void rules_uplink_drop(struct helper *h, int family, const char *device)
{
    nft_begin(&batch, 0);
    drop_name(h, uplinks_of(family), device);
    nft_commit(h->nf, &batch);
}

struct left {
    const char *bridge;
    bool this, any;
};

static int look_left(const struct rtnl_link *l, void *data)
{
    struct left *w = data;
    bool ours = strcmp(l->kind, "bridge") == 0 && memcmp(l->mac, gateway_mac, 6) == 0;
    /* A slot that is in no bridge yet is about to look for one, perhaps this. */
    w->this = w->this || (ours && strcmp(l->name, w->bridge) == 0) ||
              (slot_any(l->name) && l->master == 0);
    w->any = w->any || ours || slot_any(l->name);
    return 0;
}

/* Whether a device in these sets forwards says whether anybody has a bridge; so it can be put right
 * by every call, also after one that was stopped or killed in between. */
static void forward_uplinks(struct helper *h, bool on)
{
    for (int family = 4; family <= 6; family += 2) {
        struct nft_source from = {NFPROTO_INET, RULES_TABLE, uplinks_of(family)};
        struct names w = {.n = 0};
        if (nft_elems(h->nf, &from, keep_name, &w) == 0) {
            for (size_t i = 0; i < w.n; i++)
                forward_uplink(family, w.v[i], on);
        }
    }
}

/* The generation is read first: who uses the tables in between changes it, and then the uplinks are
 * his. */
int rules_settle(struct helper *h, const char *bridge)
{
    static const char *const sets[] = {"bridges", "masq", "host", "closed"};
    int r = -ERESTART;
    for (int i = 0; i < 8 && (r == -ERESTART || r == -EINTR); i++) {
        struct left w = {.bridge = bridge};
        uint32_t generation = 0;
        if ((r = nft_genid(h->nf, &generation)) < 0 || (r = rules_check_table(h)) < 0)
            return r == -ENOENT || r == -EEXIST ? 0 : r;
        if ((r = rtnl_links(h->rt, 0, look_left, &w)) < 0)
            continue;
        forward_uplinks(h, w.any);
        if (w.this)
            return 0;
        nft_begin(&batch, generation);
        if (!w.any) {
            nft_table(&batch, NFPROTO_INET, RULES_TABLE);
            nft_table_del(&batch);
            nft_table(&batch, NFPROTO_BRIDGE, RULES_TABLE);
            nft_table_del(&batch);
        }
        for (size_t s = 0; w.any && s < sizeof(sets) / sizeof(sets[0]); s++)
            drop_name(h, sets[s], bridge);
        r = nft_commit(h->nf, &batch);
    }
    return r;
}
