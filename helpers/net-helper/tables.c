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

static const struct nft_field ether_dest = {NFT_PAYLOAD_LL_HEADER, 0, 6},
                              ip_dest = {NFT_PAYLOAD_NETWORK_HEADER, 16, 4},
                              ip6_dest = {NFT_PAYLOAD_NETWORK_HEADER, 24, 16},
                              dest_port = {NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2};

static void device_in(struct nft *b, uint32_t key, const char *set)
{
    nft_meta(b, N(0), key);
    nft_lookup(b, set, N(0), 0);
}

static void verdict(struct nft *b, int v, const char *chain)
{
    nft_verdict(b, v, chain);
    nft_rule_end(b);
}

static void states(struct nft *b, uint32_t key, uint32_t bits)
{
    nft_ct(b, N(0), key);
    nft_bits(b, N(0), &bits, sizeof(bits));
    nft_cmp_u32(b, NFT_CMP_NEQ, N(0), 0);
}

static void add_sets(struct nft *b)
{
    static const char *const names[] = {"bridges", "masq", "host", "uplinks4", "uplinks6", "slots"};
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
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        nft_set_add(b, &(struct nft_set){names[i], NFT_T_IFNAME, NFT_IFNAME});
    for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++)
        nft_set_add(b, &maps[i]);
}

static void socket_mark_of(struct nft *b, uint32_t reg)
{
    struct nft_expr x = nft_expr_begin(b, "socket");
    nl_put_be32(&b->m, NFTA_SOCKET_KEY, NFT_SOCKET_MARK);
    nl_put_be32(&b->m, NFTA_SOCKET_DREG, reg);
    nft_expr_end(b, x);
}

/* PROTO [. ADDRESS] . PORT . MARK to ADDRESS . PORT, for one family. The mark is the one of the
 * socket that would get the packet: see socket_mark. */
static void add_dnat(struct nft *b, const char *map, int family, bool any)
{
    bool v4 = family == NFPROTO_IPV4;
    unsigned words = v4 ? 1 : 4, port = any ? 1 : 1 + words;
    nft_rule_begin(b, "prerouting");
    nft_meta(b, N(0), NFT_META_NFPROTO);
    nft_cmp_u8(b, NFT_CMP_EQ, N(0), (uint8_t)family);
    /* What comes from the host itself is for the forwarder, which listens on the port. */
    nft_meta(b, N(0), NFT_META_IIFNAME);
    nft_cmp_name(b, NFT_CMP_NEQ, N(0), "lo");
    nft_fib_daddr_type(b, N(0));
    nft_cmp_u32(b, NFT_CMP_EQ, N(0), RTN_LOCAL);
    nft_meta(b, N(0), NFT_META_L4PROTO);
    if (!any)
        nft_payload(b, N(1), v4 ? ip_dest : ip6_dest);
    nft_payload(b, N(port), dest_port);
    socket_mark_of(b, N(port + 1));
    nft_lookup_map(b, map, N(0), N(8));
    nft_dnat(b, family, N(8), N(8 + words));
    nft_rule_end(b);
}

/* Not with ports below 1024, which are the host's own: what a server outside sends there in answer
 * to a container would never reach the host's service. */
static void masquerade(struct nft *b)
{
    const uint16_t ports[] = {htons(1024), htons(65535)};
    nft_immediate(b, N(0), &ports[0], sizeof(ports[0]));
    nft_immediate(b, N(1), &ports[1], sizeof(ports[1]));
    struct nft_expr x = nft_expr_begin(b, "masq");
    nl_put_be32(&b->m, NFTA_MASQ_FLAGS, NF_NAT_RANGE_PROTO_SPECIFIED);
    nl_put_be32(&b->m, NFTA_MASQ_REG_PROTO_MIN, N(0));
    nl_put_be32(&b->m, NFTA_MASQ_REG_PROTO_MAX, N(1));
    nft_expr_end(b, x);
}

static void add_nat(struct nft *b)
{
    /* After the administrator's own translations (-100; of firewalld -90): the first one counts. */
    nft_chain_add(b, &(struct nft_chain){"prerouting", "nat", NF_INET_PRE_ROUTING, -80, false});
    nft_chain_add(b, &(struct nft_chain){"postrouting", "nat", NF_INET_POST_ROUTING, 100, false});
    add_dnat(b, "port4", NFPROTO_IPV4, false);
    add_dnat(b, "port4any", NFPROTO_IPV4, true);
    add_dnat(b, "port6", NFPROTO_IPV6, false);
    add_dnat(b, "port6any", NFPROTO_IPV6, true);

    nft_rule_begin(b, "postrouting");
    device_in(b, NFT_META_IIFNAME, "masq");
    nft_meta(b, N(0), NFT_META_OIFNAME);
    nft_lookup(b, "bridges", N(0), NFT_LOOKUP_F_INV);
    masquerade(b);
    nft_rule_end(b);
    /* From a container to a published port of another: the answer has to come back through us. */
    nft_rule_begin(b, "postrouting");
    device_in(b, NFT_META_IIFNAME, "bridges");
    device_in(b, NFT_META_OIFNAME, "bridges");
    states(b, NFT_CT_STATUS, IPS_DST_NAT);
    nft_masquerade(b);
    nft_rule_end(b);
}

/* What a container sends reaches the host by way of the bridge, never by the slot's own device: so
 * would frames to the cards 01:80:c2:00:00:xx, which a bridge hands up as the port's past its
 * rules, and all of them when somebody takes the device out of the bridge. Router advertisements,
 * too. */
static void add_guard(struct nft *b)
{
    nft_chain_add(b, &(struct nft_chain){"guard", "filter", NF_INET_PRE_ROUTING, -450, false});
    nft_rule_begin(b, "guard");
    device_in(b, NFT_META_IIFNAME, "slots");
    verdict(b, NF_DROP, NULL);
}

/* Forwarding was switched on for the bridges' sake: what comes from an uplink goes there only. */
static void fence_uplinks(struct nft *b, uint8_t family, const char *uplinks)
{
    uint32_t translated = IPS_DST_NAT;
    nft_rule_begin(b, "forward");
    nft_meta(b, N(0), NFT_META_NFPROTO);
    nft_cmp_u8(b, NFT_CMP_EQ, N(0), family);
    device_in(b, NFT_META_IIFNAME, uplinks);
    nft_meta(b, N(0), NFT_META_OIFNAME);
    nft_lookup(b, "bridges", N(0), NFT_LOOKUP_F_INV);
    nft_ct(b, N(0), NFT_CT_STATUS);
    nft_bits(b, N(0), &translated, sizeof(translated));
    nft_cmp_u32(b, NFT_CMP_EQ, N(0), 0);
    verdict(b, NF_DROP, NULL);
}

static void add_forward(struct nft *b)
{
    uint32_t known = NF_CT_STATE_BIT(IP_CT_ESTABLISHED) | NF_CT_STATE_BIT(IP_CT_RELATED);
    uint16_t ethernet = ARPHRD_ETHER;
    nft_chain_add(b, &(struct nft_chain){"forward", "filter", NF_INET_FORWARD, 0, false});
    nft_rule_begin(b, "forward");
    device_in(b, NFT_META_IIFNAME, "bridges");
    nft_clamp_mss(b);
    nft_rule_end(b);
    nft_rule_begin(b, "forward");
    device_in(b, NFT_META_OIFNAME, "bridges");
    nft_clamp_mss(b);
    nft_rule_end(b);
    nft_rule_begin(b, "forward");
    states(b, NFT_CT_STATE, known);
    verdict(b, NF_ACCEPT, NULL);
    fence_uplinks(b, NFPROTO_IPV4, "uplinks4");
    fence_uplinks(b, NFPROTO_IPV6, "uplinks6");
    nft_rule_begin(b, "forward");
    device_in(b, NFT_META_OIFNAME, "bridges");
    states(b, NFT_CT_STATUS, IPS_DST_NAT);
    verdict(b, NF_ACCEPT, NULL);
    /* Containers reach each other on their bridge (bridge rootlet says who whom), not by way of the
     * host. With br_netfilter bridged packets come by here too, but not with this address. */
    nft_rule_begin(b, "forward");
    device_in(b, NFT_META_IIFNAME, "bridges");
    device_in(b, NFT_META_OIFNAME, "bridges");
    nft_meta(b, N(0), NFT_META_IIFTYPE);
    nft_cmp(b, NFT_CMP_EQ, N(0), &ethernet, sizeof(ethernet));
    nft_payload(b, N(0), ether_dest);
    nft_cmp(b, NFT_CMP_EQ, N(0), gateway_mac, sizeof(gateway_mac));
    verdict(b, NF_DROP, NULL);
    nft_rule_begin(b, "forward");
    device_in(b, NFT_META_IIFNAME, "bridges");
    verdict(b, NF_ACCEPT, NULL);
    nft_rule_begin(b, "forward");
    device_in(b, NFT_META_OIFNAME, "masq");
    verdict(b, NF_DROP, NULL);
}

/* From containers to the host itself. */
static void add_input(struct nft *b)
{
    uint32_t known = NF_CT_STATE_BIT(IP_CT_ESTABLISHED) | NF_CT_STATE_BIT(IP_CT_RELATED);
    static const uint8_t pings[] = {IPPROTO_ICMP, IPPROTO_ICMPV6};
    nft_chain_add(b, &(struct nft_chain){"input", "filter", NF_INET_LOCAL_IN, 0, false});
    nft_chain_add(b, &(struct nft_chain){.name = "to-host"});
    nft_rule_begin(b, "input");
    device_in(b, NFT_META_IIFNAME, "bridges");
    verdict(b, NFT_GOTO, "to-host");
    nft_rule_begin(b, "to-host");
    states(b, NFT_CT_STATE, known);
    verdict(b, NF_ACCEPT, NULL);
    nft_rule_begin(b, "to-host");
    device_in(b, NFT_META_IIFNAME, "host");
    verdict(b, NF_ACCEPT, NULL);
    for (size_t i = 0; i < sizeof(pings); i++) {
        nft_rule_begin(b, "to-host");
        nft_meta(b, N(0), NFT_META_L4PROTO);
        nft_cmp_u8(b, NFT_CMP_EQ, N(0), pings[i]);
        verdict(b, NF_ACCEPT, NULL);
    }
    nft_rule_begin(b, "to-host");
    verdict(b, NF_DROP, NULL);
}

static void add_bridge_table(struct nft *b)
{
    const struct nft_set sets[] = {
        {"slots", NFT_T_IFNAME, NFT_IFNAME},
        {"member", nft_type(NFT_T_IFNAME, NFT_T_DEVGROUP), 20},
    };
    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++)
        nft_set_add(b, &sets[i]);
    nft_port_sets(b);
    nft_chain_add(b, &(struct nft_chain){"prerouting", "filter", NF_BR_PRE_ROUTING, -300, false});
    nft_chain_add(b, &(struct nft_chain){"forward", "filter", NF_BR_FORWARD, -200, false});
    nft_chain_add(b, &(struct nft_chain){.name = NFT_PORT_CHAIN});
    nft_chain_add(b, &(struct nft_chain){.name = "between"});
    /* Every slot is in the set before it is in the bridge, and leaves the bridge before the set.
     * (The bridge's own name would need NFT_BRIDGE_META, which not every kernel has.) */
    nft_rule_begin(b, "prerouting");
    device_in(b, NFT_META_IIFNAME, "slots");
    verdict(b, NFT_GOTO, NFT_PORT_CHAIN);
    nft_rule_begin(b, "forward");
    device_in(b, NFT_META_OIFNAME, "slots");
    verdict(b, NFT_GOTO, "between");
    nft_port_rules(b);
    /* Only containers of one user reach each other. */
    nft_rule_begin(b, "between");
    nft_meta(b, N(0), NFT_META_OIFNAME);
    nft_meta(b, N(4), NFT_META_IIFGROUP);
    nft_lookup(b, "member", N(0), 0);
    verdict(b, NF_ACCEPT, NULL);
    nft_rule_begin(b, "between");
    verdict(b, NF_DROP, NULL);
}

static int make_tables(struct helper *h, struct err *e)
{
    nft_begin(&batch, 0);
    nft_table(&batch, NFPROTO_INET, RULES_TABLE);
    nft_table_add(&batch, NLM_F_EXCL, RULES_VERSION, sizeof(RULES_VERSION));
    add_sets(&batch);
    add_guard(&batch);
    add_nat(&batch);
    add_forward(&batch);
    add_input(&batch);
    nft_table(&batch, NFPROTO_BRIDGE, RULES_TABLE);
    nft_table_add(&batch, NLM_F_EXCL, NULL, 0);
    add_bridge_table(&batch);
    int r = nft_commit(h->nf, &batch);
    if (r == -EOPNOTSUPP || r == -ENOENT || r == -EAFNOSUPPORT)
        return err_msg(e, -r,
                       "the kernel lacks a part of nftables (NF_TABLES_INET, "
                       "NF_TABLES_BRIDGE, NFT_FIB_INET, NFT_MASQ, NFT_NAT, NFT_SOCKET): %s %s",
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

/* The generation is read first: who uses the tables in between changes it. */
int rules_bridge_gone(struct helper *h, const char *bridge)
{
    static const struct nft_source from4 = {NFPROTO_INET, RULES_TABLE, "uplinks4"},
                                   from6 = {NFPROTO_INET, RULES_TABLE, "uplinks6"};
    int r = -ERESTART;
    for (int i = 0; i < 8 && (r == -ERESTART || r == -EINTR); i++) {
        struct left w = {.bridge = bridge};
        struct names up4 = {.n = 0}, up6 = {.n = 0};
        uint32_t generation = 0;
        if ((r = nft_genid(h->nf, &generation)) < 0 || (r = rules_check_table(h)) < 0)
            return r == -ENOENT || r == -EEXIST ? 0 : r;
        if ((r = rtnl_links(h->rt, 0, look_left, &w)) < 0)
            continue;
        if (w.this)
            return 0;
        nft_begin(&batch, generation);
        if (!w.any) {
            nft_elems(h->nf, &from4, keep_name, &up4);
            nft_elems(h->nf, &from6, keep_name, &up6);
            nft_table(&batch, NFPROTO_INET, RULES_TABLE);
            nft_table_del(&batch);
            nft_table(&batch, NFPROTO_BRIDGE, RULES_TABLE);
            nft_table_del(&batch);
        } else {
            drop_name(h, "bridges", bridge);
            drop_name(h, "masq", bridge);
            drop_name(h, "host", bridge);
        }
        r = nft_commit(h->nf, &batch);
        for (size_t u = 0; r == 0 && u < up4.n; u++)
            forward_restore(4, up4.v[u]);
        for (size_t u = 0; r == 0 && u < up6.n; u++)
            forward_restore(6, up6.v[u]);
    }
    return r;
}
