/* nft - tables, chains, maps, elements and rules of nftables, by nfnetlink, without a library.
 * linux/netfilter/nf_tables.h; nft(8) has the semantics. No malloc.
 *
 * A batch is one transaction: the kernel takes all of it or nothing. Rules are written as the
 * kernel's expressions, which work on registers of four bytes; N(0) to N(15). A key of several
 * parts lies in registers side by side, each part padded to four bytes. */
#pragma once

#include <netinet/in.h> /* before linux/netfilter.h, whose linux/in.h then keeps quiet */

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <stdbool.h>
#include <stdint.h>

#include "sys/netlink.h"

#define N(n) ((uint32_t)(NFT_REG32_00 + (n)))
#define NFT_IFNAME 16 /* a device's name as a key: zero padded */

/* Types of keys and values as nft(8) prints them; several: nft_type(nft_type(0, A), B). */
enum nft_type {
    NFT_T_IPV4 = 7,
    NFT_T_IPV6 = 8,
    NFT_T_ETHER = 9,
    NFT_T_PROTO = 12,
    NFT_T_SERVICE = 13,
    NFT_T_MARK = 19,
    NFT_T_UID = 24,
    NFT_T_DEVGROUP = 35,
    NFT_T_IFNAME = 41,
};
static inline uint32_t nft_type(uint32_t first, enum nft_type next)
{
    return first << 6 | next;
}

/* A batch. nft_begin; then tables, chains, sets, elements, rules; then nft_commit. */
struct nft {
    struct nl_msg m;
    int family; /* NFPROTO_INET, NFPROTO_BRIDGE... */
    const char *table;
    uint32_t set_id;
    size_t last; /* the last message: it is acknowledged */
    size_t rule; /* nest of its expressions */
};

/* genid: 0, or nft_genid's: when anything has changed since, the kernel refuses with -ERESTART. */
void nft_begin(struct nft *b, uint32_t genid);
/* What follows is about this table. */
void nft_table(struct nft *b, int family, const char *table);
int nft_commit(int fd, struct nft *b); /* 0 or the first refusal's -errno */
int nft_genid(int fd, uint32_t *ret);  /* fd: nl_open(NETLINK_NETFILTER) */

/* flags: NLM_F_CREATE makes it or keeps what is there, with NLM_F_EXCL -EEXIST. */
void nft_table_add(struct nft *b, unsigned flags, const void *userdata, size_t size);
void nft_table_del(struct nft *b);
struct nft_chain {
    const char *name;
    const char *type; /* "filter", "nat", "route"; NULL: no base chain, one to jump to */
    uint32_t hook;    /* NF_INET_*, NF_BR_* */
    int32_t priority;
    bool drop; /* what no rule accepts; of a base chain */
};
void nft_chain_add(struct nft *b, const struct nft_chain *c);
/* data_size 0: a set. flags: NFT_SET_*; NFT_SET_MAP by itself. */
struct nft_set {
    const char *name;
    uint32_t key_type, key_size, data_type, data_size, flags;
};
void nft_set_add(struct nft *b, const struct nft_set *s);
void nft_set_flush(struct nft *b, const char *set);
/* flags: NLM_F_EXCL: -EEXIST when the key is there at all; else only with another value. */
struct nft_elem {
    const void *key, *data; /* data NULL: of a set */
    size_t key_size, data_size;
};
void nft_elem_add(struct nft *b, const char *set, unsigned flags, const struct nft_elem *e);
void nft_elem_del(struct nft *b, const char *set, const void *key, size_t size);

/* A rule at the end of a chain: begin, expressions, end. */
void nft_rule_begin(struct nft *b, const char *chain);
void nft_rule_end(struct nft *b);
void nft_meta(struct nft *b, uint32_t reg, uint32_t key); /* NFT_META_* */
void nft_ct(struct nft *b, uint32_t reg, uint32_t key);   /* NFT_CT_* */
void nft_fib_daddr_type(struct nft *b, uint32_t reg);     /* RTN_* */
struct nft_field {
    uint32_t base, offset, size; /* NFT_PAYLOAD_*_HEADER */
};
void nft_payload(struct nft *b, uint32_t reg, struct nft_field f);
void nft_bits(struct nft *b, uint32_t reg, const void *mask, size_t size); /* reg &= mask */
/* Go on only when reg holds (NFT_CMP_EQ), holds not (NFT_CMP_NEQ) these bytes. */
void nft_cmp(struct nft *b, uint32_t op, uint32_t reg, const void *data, size_t size);
void nft_cmp_u8(struct nft *b, uint32_t op, uint32_t reg, uint8_t v);
void nft_cmp_u32(struct nft *b, uint32_t op, uint32_t reg, uint32_t v); /* our byte order */
void nft_cmp_be16(struct nft *b, uint32_t op, uint32_t reg, uint16_t v);
void nft_cmp_name(struct nft *b, uint32_t op, uint32_t reg, const char *device);
/* Go on only when the set has the key; NFT_LOOKUP_F_INV: when it has not. */
void nft_lookup(struct nft *b, const char *set, uint32_t reg, uint32_t flags);
void nft_lookup_map(struct nft *b, const char *map, uint32_t reg, uint32_t ret_reg);
void nft_immediate(struct nft *b, uint32_t reg, const void *data, size_t size);
void nft_verdict(struct nft *b, int verdict, const char *chain); /* NF_ACCEPT, NFT_GOTO... */
void nft_counter(struct nft *b);
void nft_masquerade(struct nft *b);
/* To the address in reg and, when port_reg is not 0, the port there; family NFPROTO_IPV4, _IPV6. */
void nft_dnat(struct nft *b, int family, uint32_t reg, uint32_t port_reg);
void nft_clamp_mss(struct nft *b); /* of a SYN, to the route's MTU */
/* Any other expression: begin, nl_put to b->m, end. */
struct nft_expr {
    size_t elem, data;
};
struct nft_expr nft_expr_begin(struct nft *b, const char *name);
void nft_expr_end(struct nft *b, struct nft_expr x);

/* Whether a table is there, with its user data (*size: room, then length): 0, -ENOENT. */
int nft_table_get(int fd, int family, const char *table, void *userdata, size_t *size);
/* All elements of a set; each as in nl_dump. -ENOENT. */
struct nft_found {
    uint8_t key[64], data[64];
    size_t key_size, data_size;
};
struct nft_source {
    int family;
    const char *table, *set;
};
int nft_elems(int fd, const struct nft_source *from,
              int (*each)(const struct nft_found *e, void *data), void *data);
/* All base chains of the kernel, foreign ones too; NL_ENOUGH: they are too many for that. */
struct nft_base {
    int family;
    uint32_t hook, policy;
    char table[64], chain[64], type[16];
};
int nft_bases(int fd, int (*each)(const struct nft_base *c, void *data), void *data);
/* Whether any rule of a table (family: the kernel's) mentions these bytes, as a device's name.
 * NL_ENOUGH: not the first ones. */
int nft_mentions(int fd, int family, const char *table, const char *text);
/* Whether there is such a chain. */
int nft_chain_get(int fd, int family, const char *table, const char *chain);
