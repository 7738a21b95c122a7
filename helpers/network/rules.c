/* The rules of the network's namespace: one that hides the members behind the uplink, and those by
 * which a member speaks for itself alone, whatever capabilities it has in its own namespaces. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/scoped.h"
#include "helpers/network/network.h"
#include "sys/netns.h"
#include "sys/nft-port.h"

#include <linux/netfilter_bridge.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netlink.h>

#define TABLE "rootlet"

static struct nft batch;

static int open_nft(void *data, int ret_fds[SOCK_MAX_FDS], struct err *e)
{
    (void)data;
    ret_fds[0] = nl_open(NETLINK_NETFILTER, e);
    return ret_fds[0] < 0 ? ret_fds[0] : 0;
}

/* A table made anew as a whole. */
static void begin(int family)
{
    nft_begin(&batch, 0);
    nft_table(&batch, family, TABLE);
    nft_table_add(&batch, NLM_F_CREATE, NULL, 0); /* so that it can be removed */
    nft_table_del(&batch);
    nft_table_add(&batch, NLM_F_CREATE, NULL, 0);
}

/* table inet rootlet { chain out { type nat hook postrouting priority srcnat;
 *     oifname "uplink0" masquerade } } */
static int masquerade(struct network *n, struct err *e)
{
    begin(NFPROTO_INET);
    nft_chain_add(&batch, &(struct nft_chain){.name = "out",
                                              .type = "nat",
                                              .hook = NF_INET_POST_ROUTING,
                                              .priority = NF_IP_PRI_NAT_SRC});
    nft_rule_begin(&batch, "out");
    nft_meta(&batch, N(0), NFT_META_OIFNAME);
    nft_cmp_name(&batch, NFT_CMP_EQ, N(0), UPLINK_NAME);
    nft_masquerade(&batch);
    nft_rule_end(&batch);
    int r = nft_commit(n->nft_fd, &batch);
    if (r < 0)
        return err_hint(e, err_set(e, -r, "masquerade in the network's namespace"),
                        "the kernel needs nf_tables with nft_masq; a network with --internal does "
                        "without");
    return 0;
}

/* table bridge rootlet: all ports of the bridge are members. */
static int guard(struct network *n, struct err *e)
{
    begin(NFPROTO_BRIDGE);
    nft_port_sets(&batch);
    nft_chain_add(&batch, &(struct nft_chain){.name = NFT_PORT_CHAIN});
    nft_port_rules(&batch);
    nft_chain_add(&batch, &(struct nft_chain){.name = "from",
                                              .type = "filter",
                                              .hook = NF_BR_PRE_ROUTING,
                                              .priority = NF_BR_PRI_FILTER_BRIDGED,
                                              .drop = true});
    nft_rule_begin(&batch, "from");
    nft_verdict(&batch, NFT_GOTO, NFT_PORT_CHAIN);
    nft_rule_end(&batch);
    int r = nft_commit(n->nft_fd, &batch);
    if (r == -EOPNOTSUPP || r == -ENOENT || r == -EAFNOSUPPORT) {
        fprintf(stderr,
                "rootlet-network: %s: members can take each other's addresses: the kernel has no "
                "NF_TABLES_BRIDGE\n",
                n->cfg.name);
        return 0;
    }
    if (r < 0)
        return err_set(e, -r, "keep members to their addresses");
    n->guarded = true;
    for (size_t i = 0; r == 0 && i < n->n_members; i++)
        r = rules_member(n, n->members[i], true);
    return r < 0 ? err_set(e, -r, "keep members to their addresses") : 0;
}

int rules_member(struct network *n, const struct member *m, bool add)
{
    char name[IFNAMSIZ];
    if (!n->guarded)
        return 0;
    member_link_name(m, name);
    struct nft_port p = {.device = name, .mac = m->mac};
    for (size_t i = 0; i < 2; i++)
        if (m->addr[i].family)
            p.addr[i] = rtnl_ip_of(&m->addr[i], 0);
    nft_begin(&batch, 0);
    nft_table(&batch, NFPROTO_BRIDGE, TABLE);
    nft_port_elements(&batch, &p, add);
    return nft_commit(n->nft_fd, &batch);
}

int rules_set(struct network *n, struct err *e)
{
    struct err why = ERR_INIT;
    int fds[SOCK_MAX_FDS];
    int r = netns_run(n->userns_fd, n->netns_fd, open_nft, NULL, fds, &why);
    if (r < 0 && n->cfg.internal) {
        fprintf(stderr, "rootlet-network: %s: no rules: %s\n", n->cfg.name, why.msg);
        return 0;
    }
    if (r < 0)
        return err_set(e, why.errnum, "%s", why.msg);
    n->nft_fd = fds[0];
    r = guard(n, e);
    return r < 0 || n->cfg.internal ? r : masquerade(n, e);
}
