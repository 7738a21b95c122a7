/* nft-rule - the expressions of which rules are made, for nft.h. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#include "sys/nft.h"

#include <linux/netfilter/nf_nat.h>

struct nft_expr nft_expr_begin(struct nft *b, const char *name)
{
    struct nft_expr x = {.elem = nl_nest(&b->m, NFTA_LIST_ELEM)};
    nl_put_str(&b->m, NFTA_EXPR_NAME, name);
    x.data = nl_nest(&b->m, NFTA_EXPR_DATA);
    return x;
}

void nft_expr_end(struct nft *b, struct nft_expr x)
{
    nl_nest_end(&b->m, x.data);
    nl_nest_end(&b->m, x.elem);
}

static void put_value(struct nft *b, int type, const void *data, size_t size)
{
    size_t nest = nl_nest(&b->m, type);
    nl_put(&b->m, NFTA_DATA_VALUE, data, size);
    nl_nest_end(&b->m, nest);
}

void nft_meta(struct nft *b, uint32_t reg, uint32_t key)
{
    struct nft_expr x = nft_expr_begin(b, "meta");
    nl_put_be32(&b->m, NFTA_META_KEY, key);
    nl_put_be32(&b->m, NFTA_META_DREG, reg);
    nft_expr_end(b, x);
}

void nft_ct(struct nft *b, uint32_t reg, uint32_t key)
{
    struct nft_expr x = nft_expr_begin(b, "ct");
    nl_put_be32(&b->m, NFTA_CT_KEY, key);
    nl_put_be32(&b->m, NFTA_CT_DREG, reg);
    nft_expr_end(b, x);
}

void nft_fib_daddr_type(struct nft *b, uint32_t reg)
{
    struct nft_expr x = nft_expr_begin(b, "fib");
    nl_put_be32(&b->m, NFTA_FIB_DREG, reg);
    nl_put_be32(&b->m, NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
    nl_put_be32(&b->m, NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR);
    nft_expr_end(b, x);
}

void nft_payload(struct nft *b, uint32_t reg, struct nft_field f)
{
    struct nft_expr x = nft_expr_begin(b, "payload");
    nl_put_be32(&b->m, NFTA_PAYLOAD_DREG, reg);
    nl_put_be32(&b->m, NFTA_PAYLOAD_BASE, f.base);
    nl_put_be32(&b->m, NFTA_PAYLOAD_OFFSET, f.offset);
    nl_put_be32(&b->m, NFTA_PAYLOAD_LEN, f.size);
    nft_expr_end(b, x);
}

void nft_bits(struct nft *b, uint32_t reg, const void *mask, size_t size)
{
    static const uint8_t none[16];
    struct nft_expr x = nft_expr_begin(b, "bitwise");
    nl_put_be32(&b->m, NFTA_BITWISE_SREG, reg);
    nl_put_be32(&b->m, NFTA_BITWISE_DREG, reg);
    nl_put_be32(&b->m, NFTA_BITWISE_LEN, (uint32_t)size);
    put_value(b, NFTA_BITWISE_MASK, mask, size);
    put_value(b, NFTA_BITWISE_XOR, none, size < sizeof(none) ? size : sizeof(none));
    nft_expr_end(b, x);
}

void nft_cmp(struct nft *b, uint32_t op, uint32_t reg, const void *data, size_t size)
{
    struct nft_expr x = nft_expr_begin(b, "cmp");
    nl_put_be32(&b->m, NFTA_CMP_SREG, reg);
    nl_put_be32(&b->m, NFTA_CMP_OP, op);
    put_value(b, NFTA_CMP_DATA, data, size);
    nft_expr_end(b, x);
}

void nft_cmp_u8(struct nft *b, uint32_t op, uint32_t reg, uint8_t v)
{
    nft_cmp(b, op, reg, &v, sizeof(v));
}

void nft_cmp_u32(struct nft *b, uint32_t op, uint32_t reg, uint32_t v)
{
    nft_cmp(b, op, reg, &v, sizeof(v));
}

void nft_cmp_be16(struct nft *b, uint32_t op, uint32_t reg, uint16_t v)
{
    v = htons(v);
    nft_cmp(b, op, reg, &v, sizeof(v));
}

void nft_cmp_name(struct nft *b, uint32_t op, uint32_t reg, const char *device)
{
    char name[NFT_IFNAME] = "";
    memcpy(name, device, strnlen(device, sizeof(name) - 1));
    nft_cmp(b, op, reg, name, sizeof(name));
}

static void lookup(struct nft *b, const char *set, uint32_t reg, uint32_t to, uint32_t flags)
{
    struct nft_expr x = nft_expr_begin(b, "lookup");
    nl_put_str(&b->m, NFTA_LOOKUP_SET, set);
    nl_put_be32(&b->m, NFTA_LOOKUP_SREG, reg);
    if (to)
        nl_put_be32(&b->m, NFTA_LOOKUP_DREG, to);
    if (flags)
        nl_put_be32(&b->m, NFTA_LOOKUP_FLAGS, flags);
    nft_expr_end(b, x);
}

void nft_lookup(struct nft *b, const char *set, uint32_t reg, uint32_t flags)
{
    lookup(b, set, reg, 0, flags);
}

void nft_lookup_map(struct nft *b, const char *map, uint32_t reg, uint32_t ret_reg)
{
    lookup(b, map, reg, ret_reg, 0);
}

void nft_immediate(struct nft *b, uint32_t reg, const void *data, size_t size)
{
    struct nft_expr x = nft_expr_begin(b, "immediate");
    nl_put_be32(&b->m, NFTA_IMMEDIATE_DREG, reg);
    put_value(b, NFTA_IMMEDIATE_DATA, data, size);
    nft_expr_end(b, x);
}

void nft_verdict(struct nft *b, int verdict, const char *chain)
{
    struct nft_expr x = nft_expr_begin(b, "immediate");
    nl_put_be32(&b->m, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
    size_t data = nl_nest(&b->m, NFTA_IMMEDIATE_DATA), v = nl_nest(&b->m, NFTA_DATA_VERDICT);
    nl_put_be32(&b->m, NFTA_VERDICT_CODE, (uint32_t)verdict);
    if (chain)
        nl_put_str(&b->m, NFTA_VERDICT_CHAIN, chain);
    nl_nest_end(&b->m, v);
    nl_nest_end(&b->m, data);
    nft_expr_end(b, x);
}

void nft_counter(struct nft *b)
{
    nft_expr_end(b, nft_expr_begin(b, "counter"));
}

void nft_masquerade(struct nft *b)
{
    nft_expr_end(b, nft_expr_begin(b, "masq"));
}

void nft_dnat(struct nft *b, int family, uint32_t reg, uint32_t port_reg)
{
    struct nft_expr x = nft_expr_begin(b, "nat");
    nl_put_be32(&b->m, NFTA_NAT_TYPE, NFT_NAT_DNAT);
    nl_put_be32(&b->m, NFTA_NAT_FAMILY, (uint32_t)family);
    nl_put_be32(&b->m, NFTA_NAT_REG_ADDR_MIN, reg);
    if (port_reg) {
        nl_put_be32(&b->m, NFTA_NAT_REG_PROTO_MIN, port_reg);
        nl_put_be32(&b->m, NFTA_NAT_FLAGS, NF_NAT_RANGE_PROTO_SPECIFIED);
    }
    nft_expr_end(b, x);
}

void nft_clamp_mss(struct nft *b)
{
    static const struct nft_field flags = {NFT_PAYLOAD_TRANSPORT_HEADER, 13, 1};
    static const uint8_t syn_rst = 0x06;
    nft_meta(b, N(0), NFT_META_L4PROTO);
    nft_cmp_u8(b, NFT_CMP_EQ, N(0), IPPROTO_TCP);
    nft_payload(b, N(0), flags);
    nft_bits(b, N(0), &syn_rst, sizeof(syn_rst));
    nft_cmp_u8(b, NFT_CMP_EQ, N(0), 0x02);

    struct nft_expr x = nft_expr_begin(b, "rt");
    nl_put_be32(&b->m, NFTA_RT_DREG, N(0));
    nl_put_be32(&b->m, NFTA_RT_KEY, NFT_RT_TCPMSS);
    nft_expr_end(b, x);
    x = nft_expr_begin(b, "byteorder");
    nl_put_be32(&b->m, NFTA_BYTEORDER_SREG, N(0));
    nl_put_be32(&b->m, NFTA_BYTEORDER_DREG, N(0));
    nl_put_be32(&b->m, NFTA_BYTEORDER_OP, NFT_BYTEORDER_HTON);
    nl_put_be32(&b->m, NFTA_BYTEORDER_LEN, 2);
    nl_put_be32(&b->m, NFTA_BYTEORDER_SIZE, 2);
    nft_expr_end(b, x);
    x = nft_expr_begin(b, "exthdr");
    nl_put_be32(&b->m, NFTA_EXTHDR_SREG, N(0));
    nl_put_u8(&b->m, NFTA_EXTHDR_TYPE, TCPOPT_MAXSEG);
    nl_put_be32(&b->m, NFTA_EXTHDR_OFFSET, 2);
    nl_put_be32(&b->m, NFTA_EXTHDR_LEN, 2);
    nl_put_be32(&b->m, NFTA_EXTHDR_OP, NFT_EXTHDR_OP_TCPOPT);
    nft_expr_end(b, x);
}
