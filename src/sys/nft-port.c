/* nft-port - see nft-port.h. */
#include "sys/nft-port.h"

#include <string.h>
#include <sys/socket.h>

#define KEY_MAC NFT_IFNAME        /* where it begins in a key */
#define KEY_ADDRESS (KEY_MAC + 8) /* a card's six bytes take two registers */
#define KEY_MAX (KEY_ADDRESS + 16)

static const struct nft_field ether_type = {NFT_PAYLOAD_LL_HEADER, 12, 2},
                              ether_source = {NFT_PAYLOAD_LL_HEADER, 6, 6},
                              arp_source = {NFT_PAYLOAD_NETWORK_HEADER, 8, 6},
                              arp_addr = {NFT_PAYLOAD_NETWORK_HEADER, 14, 4},
                              ip_source = {NFT_PAYLOAD_NETWORK_HEADER, 12, 4},
                              ip6_source = {NFT_PAYLOAD_NETWORK_HEADER, 8, 16},
                              source_port = {NFT_PAYLOAD_TRANSPORT_HEADER, 0, 2},
                              icmp_type = {NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1},
                              nd_target = {NFT_PAYLOAD_TRANSPORT_HEADER, 8, 16};

void nft_port_sets(struct nft *b)
{
    uint32_t card = nft_type(nft_type(0, NFT_T_IFNAME), NFT_T_ETHER);
    nft_set_add(b, &(struct nft_set){NFT_PORT_SET4, nft_type(card, NFT_T_IPV4), KEY_ADDRESS + 4});
    nft_set_add(b, &(struct nft_set){NFT_PORT_SET6, nft_type(card, NFT_T_IPV6), KEY_MAX});
}

static void verdict(struct nft *b, int v)
{
    nft_verdict(b, v, NULL);
    nft_rule_end(b);
}

static void frames_of(struct nft *b, uint16_t type)
{
    nft_rule_begin(b, NFT_PORT_CHAIN);
    nft_payload(b, N(0), ether_type); /* of a tagged frame it is the tag's */
    nft_cmp_be16(b, NFT_CMP_EQ, N(0), type);
}

/* Device . sender's card . sender's address is the port's. */
static void from_port(struct nft *b, struct nft_field card, struct nft_field addr, uint32_t flags)
{
    nft_meta(b, N(0), NFT_META_IIFNAME);
    nft_payload(b, N(4), card);
    nft_payload(b, N(6), addr);
    nft_lookup(b, addr.size == 4 ? NFT_PORT_SET4 : NFT_PORT_SET6, N(0), flags);
}

static void proto_is(struct nft *b, uint32_t op, uint8_t proto)
{
    nft_meta(b, N(0), NFT_META_L4PROTO);
    nft_cmp_u8(b, op, N(0), proto);
}

static void drop_icmp6(struct nft *b, uint8_t type)
{
    frames_of(b, 0x86dd);
    proto_is(b, NFT_CMP_EQ, IPPROTO_ICMPV6);
    nft_payload(b, N(0), icmp_type);
    nft_cmp_u8(b, NFT_CMP_EQ, N(0), type);
    if (type == 136)
        from_port(b, ether_source, nd_target, NFT_LOOKUP_F_INV);
    verdict(b, NF_DROP);
}

static void drop_dhcp(struct nft *b, uint16_t type, uint16_t port)
{
    frames_of(b, type);
    proto_is(b, NFT_CMP_EQ, IPPROTO_UDP);
    nft_payload(b, N(0), source_port);
    nft_cmp_be16(b, NFT_CMP_EQ, N(0), port);
    verdict(b, NF_DROP);
}

void nft_port_rules(struct nft *b)
{
    static const uint8_t none[16];
    frames_of(b, 0x0806);
    from_port(b, ether_source, arp_addr, 0);
    from_port(b, arp_source, arp_addr, 0);
    verdict(b, NF_ACCEPT);
    drop_dhcp(b, 0x0800, 67);
    frames_of(b, 0x0800);
    from_port(b, ether_source, ip_source, 0);
    verdict(b, NF_ACCEPT);
    drop_icmp6(b, 134); /* router advertisement */
    drop_icmp6(b, 137); /* redirect */
    drop_icmp6(b, 136); /* neighbour advertisement, unless of an own address */
    drop_dhcp(b, 0x86dd, 547);
    /* Without an address yet: only to find out whether it is free. */
    frames_of(b, 0x86dd);
    nft_payload(b, N(4), ip6_source);
    nft_cmp(b, NFT_CMP_EQ, N(4), none, sizeof(none));
    proto_is(b, NFT_CMP_NEQ, IPPROTO_ICMPV6);
    verdict(b, NF_DROP);
    frames_of(b, 0x86dd);
    from_port(b, ether_source, ip6_source, 0);
    verdict(b, NF_ACCEPT);
    nft_rule_begin(b, NFT_PORT_CHAIN);
    verdict(b, NF_DROP);
}

static void put(struct nft *b, const struct nft_port *p, const struct rtnl_ip *ip, bool add)
{
    const char *set = ip->family == AF_INET ? NFT_PORT_SET4 : NFT_PORT_SET6;
    size_t size = rtnl_ip_size(ip);
    uint8_t key[KEY_MAX] = {0};
    memcpy(key, p->device, strnlen(p->device, NFT_IFNAME - 1));
    memcpy(key + KEY_MAC, p->mac, 6);
    memcpy(key + KEY_ADDRESS, ip->bytes, size);
    const struct nft_elem e = {.key = key, .key_size = KEY_ADDRESS + size};
    if (add)
        nft_elem_add(b, set, 0, &e);
    else
        nft_elem_del(b, set, key, e.key_size);
}

void nft_port_elements(struct nft *b, const struct nft_port *p, bool add)
{
    struct rtnl_ip none = {.family = AF_INET6}, local = {.family = AF_INET6};
    const uint8_t *mac = p->mac;
    const uint8_t made[16] = {0xfe,       0x80,   0,      0,    0,    0,      0,      0,
                              mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]};
    memcpy(local.bytes, made, sizeof(made));
    if (p->addr[0].family)
        put(b, p, &p->addr[0], add);
    if (!p->addr[1].family)
        return;
    put(b, p, &p->addr[1], add);
    put(b, p, &local, add);
    put(b, p, &none, add);
}
