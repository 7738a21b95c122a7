/* nft - tables, chains, sets and elements; nft-rule.c has the expressions, nft-read.c what is read.
 */
#include "sys/nft.h"

#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>

static void add_message(struct nft *b, int type, unsigned flags, int family)
{
    struct nfgenmsg g = {.nfgen_family = (uint8_t)family, .version = NFNETLINK_V0};
    b->last = b->m.size;
    nl_more(&b->m, NFNL_SUBSYS_NFTABLES << 8 | type, flags, &g, sizeof(g));
}

void nft_begin(struct nft *b, uint32_t genid)
{
    struct nfgenmsg g = {.version = NFNETLINK_V0, .res_id = htons(NFNL_SUBSYS_NFTABLES)};
    b->last = 0;
    b->set_id = 0;
    nl_begin(&b->m, NFNL_MSG_BATCH_BEGIN, 0, &g, sizeof(g));
    if (genid)
        nl_put_be32(&b->m, NFNL_BATCH_GENID, genid);
}

void nft_table(struct nft *b, int family, const char *table)
{
    b->family = family;
    b->table = table;
}

int nft_commit(int fd, struct nft *b)
{
    struct nfgenmsg g = {.version = NFNETLINK_V0, .res_id = htons(NFNL_SUBSYS_NFTABLES)};
    if (b->m.overflow)
        return -EMSGSIZE;
    if (b->last == 0)
        return 0; /* nothing to do */
    ((struct nlmsghdr *)(void *)(b->m.buf + b->last))->nlmsg_flags |= NLM_F_ACK;
    nl_more(&b->m, NFNL_MSG_BATCH_END, 0, &g, sizeof(g));
    return nl_transact(fd, &b->m);
}

void nft_table_add(struct nft *b, unsigned flags, const void *userdata, size_t size)
{
    add_message(b, NFT_MSG_NEWTABLE, NLM_F_CREATE | flags, b->family);
    nl_put_str(&b->m, NFTA_TABLE_NAME, b->table);
    if (size)
        nl_put(&b->m, NFTA_TABLE_USERDATA, userdata, size);
}

void nft_table_del(struct nft *b)
{
    add_message(b, NFT_MSG_DELTABLE, 0, b->family);
    nl_put_str(&b->m, NFTA_TABLE_NAME, b->table);
}

void nft_chain_add(struct nft *b, const struct nft_chain *c)
{
    add_message(b, NFT_MSG_NEWCHAIN, NLM_F_CREATE, b->family);
    nl_put_str(&b->m, NFTA_CHAIN_TABLE, b->table);
    nl_put_str(&b->m, NFTA_CHAIN_NAME, c->name);
    if (!c->type)
        return;
    size_t hook = nl_nest(&b->m, NFTA_CHAIN_HOOK);
    nl_put_be32(&b->m, NFTA_HOOK_HOOKNUM, c->hook);
    nl_put_be32(&b->m, NFTA_HOOK_PRIORITY, (uint32_t)c->priority);
    nl_nest_end(&b->m, hook);
    nl_put_str(&b->m, NFTA_CHAIN_TYPE, c->type);
    nl_put_be32(&b->m, NFTA_CHAIN_POLICY, c->drop ? NF_DROP : NF_ACCEPT);
}

/* nft(8) keeps there in which byte order it shall print: type, length, 1 for ours and 2 for the
 * network's. Only names and numbers of ours need it. */
static void put_byte_order(struct nft *b, const struct nft_set *s)
{
    bool key = s->key_type == NFT_T_IFNAME || s->key_type == NFT_T_MARK,
         data = s->data_type == NFT_T_IFNAME || s->data_type == NFT_T_MARK;
    uint8_t v[] = {0, 4, 0, 0, 0, 0, 1, 4, 0, 0, 0, 0};
    uint32_t ours = 1, networks = 2;
    memcpy(v + 2, key ? &ours : &networks, 4);
    memcpy(v + 8, data ? &ours : &networks, 4);
    if (key || data)
        nl_put(&b->m, NFTA_SET_USERDATA, v, s->data_size ? 12 : 6);
}

void nft_set_add(struct nft *b, const struct nft_set *s)
{
    add_message(b, NFT_MSG_NEWSET, NLM_F_CREATE, b->family);
    nl_put_str(&b->m, NFTA_SET_TABLE, b->table);
    nl_put_str(&b->m, NFTA_SET_NAME, s->name);
    nl_put_be32(&b->m, NFTA_SET_ID, ++b->set_id);
    nl_put_be32(&b->m, NFTA_SET_FLAGS, s->flags | (s->data_size ? (uint32_t)NFT_SET_MAP : 0));
    nl_put_be32(&b->m, NFTA_SET_KEY_TYPE, s->key_type);
    nl_put_be32(&b->m, NFTA_SET_KEY_LEN, s->key_size);
    if (s->data_size) {
        nl_put_be32(&b->m, NFTA_SET_DATA_TYPE, s->data_type);
        nl_put_be32(&b->m, NFTA_SET_DATA_LEN, s->data_size);
    }
    put_byte_order(b, s);
}

static void put_data(struct nl_msg *m, int type, const void *data, size_t size)
{
    size_t nest = nl_nest(m, type);
    nl_put(m, NFTA_DATA_VALUE, data, size);
    nl_nest_end(m, nest);
}

static void add_elem(struct nft *b, const char *set, const struct nft_elem *e)
{
    nl_put_str(&b->m, NFTA_SET_ELEM_LIST_TABLE, b->table);
    nl_put_str(&b->m, NFTA_SET_ELEM_LIST_SET, set);
    if (!e)
        return;
    size_t list = nl_nest(&b->m, NFTA_SET_ELEM_LIST_ELEMENTS), one = nl_nest(&b->m, 1);
    put_data(&b->m, NFTA_SET_ELEM_KEY, e->key, e->key_size);
    if (e->data)
        put_data(&b->m, NFTA_SET_ELEM_DATA, e->data, e->data_size);
    nl_nest_end(&b->m, one);
    nl_nest_end(&b->m, list);
}

void nft_set_flush(struct nft *b, const char *set)
{
    add_message(b, NFT_MSG_DELSETELEM, 0, b->family);
    add_elem(b, set, NULL);
}

void nft_elem_add(struct nft *b, const char *set, unsigned flags, const struct nft_elem *e)
{
    add_message(b, NFT_MSG_NEWSETELEM, NLM_F_CREATE | flags, b->family);
    add_elem(b, set, e);
}

void nft_elem_del(struct nft *b, const char *set, const void *key, size_t size)
{
    struct nft_elem e = {.key = key, .key_size = size};
    add_message(b, NFT_MSG_DELSETELEM, 0, b->family);
    add_elem(b, set, &e);
}

void nft_rule_begin(struct nft *b, const char *chain)
{
    add_message(b, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, b->family);
    nl_put_str(&b->m, NFTA_RULE_TABLE, b->table);
    nl_put_str(&b->m, NFTA_RULE_CHAIN, chain);
    b->rule = nl_nest(&b->m, NFTA_RULE_EXPRESSIONS);
}

void nft_rule_end(struct nft *b)
{
    nl_nest_end(&b->m, b->rule);
}
