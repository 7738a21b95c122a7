/* The rules of the network's namespace: one that hides the members behind the uplink. */
#include <netinet/in.h>

#include <linux/netfilter_ipv4.h>
#include <linux/netlink.h>

#include "base/scoped.h"
#include "helpers/network/network.h"
#include "sys/netns.h"
#include "sys/nft.h"

static int open_nft(void *data, int ret_fds[SOCK_MAX_FDS], struct err *e)
{
    (void)data;
    ret_fds[0] = nl_open(NETLINK_NETFILTER, e);
    return ret_fds[0] < 0 ? ret_fds[0] : 0;
}

/* table inet rootlet { chain out { type nat hook postrouting priority srcnat;
 *     oifname "uplink0" masquerade } }, made anew as a whole. */
static void build(struct nft *b)
{
    nft_begin(b, 0);
    nft_table(b, NFPROTO_INET, "rootlet");
    nft_table_add(b, NLM_F_CREATE, NULL, 0); /* so that it can be removed */
    nft_table_del(b);
    nft_table_add(b, NLM_F_CREATE, NULL, 0);
    nft_chain_add(b, &(struct nft_chain){.name = "out",
                                         .type = "nat",
                                         .hook = NF_INET_POST_ROUTING,
                                         .priority = NF_IP_PRI_NAT_SRC});
    nft_rule_begin(b, "out");
    nft_meta(b, N(0), NFT_META_OIFNAME);
    nft_cmp_name(b, NFT_CMP_EQ, N(0), UPLINK_NAME);
    nft_masquerade(b);
    nft_rule_end(b);
}

int rules_set(struct network *n, struct err *e)
{
    static struct nft batch;
    int fds[SOCK_MAX_FDS];
    int r = netns_run(n->userns_fd, n->netns_fd, open_nft, NULL, fds, e);
    if (r < 0)
        return r;
    scoped_fd int fd = fds[0];
    build(&batch);
    r = nft_commit(fd, &batch);
    if (r < 0)
        return err_hint(e, err_set(e, -r, "masquerade in the network's namespace"),
                        "the kernel needs nf_tables with nft_masq; a network with --internal does "
                        "without");
    return 0;
}
