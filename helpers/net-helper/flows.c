/* flows - the connections that the kernel follows for an address (conntrack). They outlive a
 * container by minutes: whoever gets the address next would get the packets of its clients. */
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>

#include "helpers/net-helper/net-helper.h"
#include "sys/netlink.h"

#define FILTER_SOURCE 1u /* CTA_FILTER_F_CTA_IP_SRC, which no header of the kernel's shows */

/* tuple: CTA_TUPLE_ORIG: those that began at the address; CTA_TUPLE_REPLY: those that lead to it,
 * also when they were translated. Older kernels refuse: then they end by their own time-outs. */
static void forget(int nf, const struct net_addr *a, bool reply)
{
    bool v4 = a->family == 4;
    struct nfgenmsg g = {.nfgen_family = v4 ? AF_INET : AF_INET6, .version = NFNETLINK_V0};
    struct nl_msg m;
    nl_begin(&m, NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE, 0, &g, sizeof(g));
    size_t tuple = nl_nest(&m, reply ? CTA_TUPLE_REPLY : CTA_TUPLE_ORIG),
           ip = nl_nest(&m, CTA_TUPLE_IP);
    nl_put(&m, v4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC, a->b, net_addr_size(a));
    nl_nest_end(&m, ip);
    nl_nest_end(&m, tuple);
    size_t filter = nl_nest(&m, CTA_FILTER);
    nl_put_u32(&m, CTA_FILTER_ORIG_FLAGS, reply ? 0 : FILTER_SOURCE);
    nl_put_u32(&m, CTA_FILTER_REPLY_FLAGS, reply ? FILTER_SOURCE : 0);
    nl_nest_end(&m, filter);
    (void)nl_transact(nf, &m);
}

void flows_forget(struct helper *h, const struct slot *s)
{
    for (int reply = 0; reply < 2; reply++) {
        forget(h->nf, &s->addr, reply);
        if (s->addr6.family)
            forget(h->nf, &s->addr6, reply);
    }
}
