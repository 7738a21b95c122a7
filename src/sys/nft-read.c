/* nft-read - what is there already, for nft.h. */
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>

#include "sys/nft.h"

static void begin_get(struct nl_msg *m, int type, unsigned flags, int family)
{
    struct nfgenmsg g = {.nfgen_family = (uint8_t)family, .version = NFNETLINK_V0};
    nl_begin(m, NFNL_SUBSYS_NFTABLES << 8 | type, flags, &g, sizeof(g));
}

static bool is(const struct nlmsghdr *h, int type)
{
    return h->nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | type) &&
           h->nlmsg_len >= NLMSG_LENGTH(sizeof(struct nfgenmsg));
}

static const struct nlattr *attr(const struct nlmsghdr *h, int type)
{
    return nl_attr(h, sizeof(struct nfgenmsg), type);
}

static void copy_text(char *to, size_t size, const char *from)
{
    size_t n = strnlen(from, size - 1);
    memcpy(to, from, n);
    to[n] = '\0';
}

static int keep_genid(const struct nlmsghdr *h, void *data)
{
    if (!is(h, NFT_MSG_NEWGEN))
        return -EPROTO;
    *(uint32_t *)data = nl_be32(attr(h, NFTA_GEN_ID), 0);
    return 1;
}

int nft_genid(int fd, uint32_t *ret)
{
    struct nl_msg m;
    begin_get(&m, NFT_MSG_GETGEN, 0, NFPROTO_UNSPEC);
    int r = nl_dump(fd, &m, keep_genid, ret);
    return r < 0 ? r : r == 1 && *ret ? 0 : -EPROTO;
}

struct userdata {
    void *to;
    size_t size;
};

static int keep_table(const struct nlmsghdr *h, void *data)
{
    struct userdata *u = data;
    if (!is(h, NFT_MSG_NEWTABLE))
        return -EPROTO;
    const struct nlattr *a = attr(h, NFTA_TABLE_USERDATA);
    size_t n = a ? nl_size(a) : 0;
    u->size = n < u->size ? n : u->size;
    if (u->size)
        memcpy(u->to, nl_data(a), u->size);
    return 1;
}

int nft_table_get(int fd, int family, const char *table, void *userdata, size_t *size)
{
    struct nl_msg m;
    struct userdata u = {.to = userdata, .size = size ? *size : 0};
    begin_get(&m, NFT_MSG_GETTABLE, 0, family);
    nl_put_str(&m, NFTA_TABLE_NAME, table);
    int r = nl_dump(fd, &m, keep_table, &u);
    if (r == 1 && size)
        *size = u.size;
    return r < 0 ? r : r == 1 ? 0 : -ENOENT;
}

/* Others' chains and rules may be very many: then not all are looked at. */
enum { OTHERS_MAX = 16384 };

struct walk {
    size_t seen;
    int (*elem)(const struct nft_found *e, void *data);
    int (*base)(const struct nft_base *c, void *data);
    void *data;
};

static size_t keep_value(const struct nlattr *a, uint8_t to[static 64])
{
    const struct nlattr *v = nl_attr_nested(a, NFTA_DATA_VALUE);
    if (!v || nl_size(v) > 64)
        return 0;
    memcpy(to, nl_data(v), nl_size(v));
    return nl_size(v);
}

static int one_list(const struct nlmsghdr *h, void *data)
{
    const struct walk *w = data;
    if (!is(h, NFT_MSG_NEWSETELEM))
        return -EPROTO;
    const struct nlattr *list = attr(h, NFTA_SET_ELEM_LIST_ELEMENTS), *a = NULL;
    while (list && (a = nl_attr_next(nl_data(list), nl_size(list), a))) {
        struct nft_found e = {0};
        e.key_size = keep_value(nl_attr_nested(a, NFTA_SET_ELEM_KEY), e.key);
        e.data_size = keep_value(nl_attr_nested(a, NFTA_SET_ELEM_DATA), e.data);
        int r = e.key_size ? w->elem(&e, w->data) : 0;
        if (r)
            return r;
    }
    return 0;
}

int nft_elems(int fd, const struct nft_source *from,
              int (*each)(const struct nft_found *e, void *data), void *data)
{
    struct nl_msg m;
    struct walk w = {.elem = each, .data = data};
    begin_get(&m, NFT_MSG_GETSETELEM, NLM_F_DUMP, from->family);
    nl_put_str(&m, NFTA_SET_ELEM_LIST_TABLE, from->table);
    nl_put_str(&m, NFTA_SET_ELEM_LIST_SET, from->set);
    return nl_dump(fd, &m, one_list, &w);
}

static int one_chain(const struct nlmsghdr *h, void *data)
{
    struct walk *w = data;
    if (!is(h, NFT_MSG_NEWCHAIN))
        return -EPROTO;
    if (++w->seen > OTHERS_MAX)
        return NL_ENOUGH;
    const struct nlattr *hook = attr(h, NFTA_CHAIN_HOOK);
    if (!hook)
        return 0;
    struct nft_base c = {
        .family = ((const struct nfgenmsg *)NLMSG_DATA(h))->nfgen_family,
        .hook = nl_be32(nl_attr_nested(hook, NFTA_HOOK_HOOKNUM), UINT32_MAX),
        .policy = nl_be32(attr(h, NFTA_CHAIN_POLICY), NF_ACCEPT),
    };
    copy_text(c.table, sizeof(c.table), nl_str(attr(h, NFTA_CHAIN_TABLE)));
    copy_text(c.chain, sizeof(c.chain), nl_str(attr(h, NFTA_CHAIN_NAME)));
    copy_text(c.type, sizeof(c.type), nl_str(attr(h, NFTA_CHAIN_TYPE)));
    return w->base(&c, w->data);
}

int nft_bases(int fd, int (*each)(const struct nft_base *c, void *data), void *data)
{
    struct nl_msg m;
    struct walk w = {.base = each, .data = data};
    begin_get(&m, NFT_MSG_GETCHAIN, NLM_F_DUMP, NFPROTO_UNSPEC);
    return nl_dump(fd, &m, one_chain, &w);
}

static int found(const struct nlmsghdr *h, void *data)
{
    (void)data;
    return is(h, NFT_MSG_NEWCHAIN) ? 1 : -EPROTO;
}

int nft_chain_get(int fd, int family, const char *table, const char *chain)
{
    struct nl_msg m;
    begin_get(&m, NFT_MSG_GETCHAIN, 0, family);
    nl_put_str(&m, NFTA_CHAIN_TABLE, table);
    nl_put_str(&m, NFTA_CHAIN_NAME, chain);
    int r = nl_dump(fd, &m, found, NULL);
    return r < 0 ? r : r == 1 ? 0 : -ENOENT;
}

struct mention {
    const char *text;
    size_t n, seen;
};

static int look_for(const struct nlmsghdr *h, void *data)
{
    struct mention *w = data;
    const struct nlattr *rule = attr(h, NFTA_RULE_EXPRESSIONS);
    if (++w->seen > OTHERS_MAX)
        return NL_ENOUGH;
    if (!is(h, NFT_MSG_NEWRULE) || !rule || w->n == 0)
        return 0;
    return memmem(nl_data(rule), nl_size(rule), w->text, w->n) ? 1 : 0;
}

int nft_mentions(int fd, int family, const char *table, const char *text)
{
    struct nl_msg m;
    struct mention w = {.text = text, .n = strlen(text)};
    begin_get(&m, NFT_MSG_GETRULE, NLM_F_DUMP, family);
    nl_put_str(&m, NFTA_RULE_TABLE, table);
    return nl_dump(fd, &m, look_for, &w);
}
