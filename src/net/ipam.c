#include "net/ipam.h"

#include <errno.h>
#include <string.h>

#define LOOKS_MAX (1u << 17) /* more than a network has members */

static bool within(const struct ipam_range *r, const struct net_addr *a)
{
    return net_addr_cmp(a, &r->first) >= 0 && net_addr_cmp(a, &r->last) <= 0;
}

int ipam_next(struct ipam_range *r, bool (*taken)(const struct net_addr *a, void *data), void *data,
              struct net_addr *ret)
{
    struct net_addr a = r->next.family && within(r, &r->next) ? r->next : r->first;
    struct net_addr begin = a;
    for (unsigned i = 0; i < LOOKS_MAX; i++) {
        struct net_addr after;
        bool end = net_addr_cmp(&a, &r->last) >= 0 || net_addr_add(&a, 1, &after) < 0;
        if (end)
            after = r->first;
        if (ipam_check(r, &a) == 0 && !taken(&a, data)) {
            r->next = after;
            *ret = a;
            return 0;
        }
        a = after;
        if (net_addr_cmp(&a, &begin) == 0)
            break;
    }
    return -ENOSPC;
}

int ipam_check(const struct ipam_range *r, const struct net_addr *a)
{
    struct net_addr first = net_cidr_first(&r->net), last = net_cidr_last(&r->net);
    if (!net_cidr_contains(&r->net, a))
        return -ERANGE;
    bool small = r->net.bits + 1U >= net_addr_size(a) * 8; /* RFC 3021: both are hosts */
    if (!small && (net_addr_cmp(a, &first) == 0 || (a->family == 4 && net_addr_cmp(a, &last) == 0)))
        return -EINVAL;
    return r->gateway.family && net_addr_cmp(a, &r->gateway) == 0 ? -EADDRINUSE : 0;
}

void ipam_mac(const struct net_addr *a, uint8_t ret[static 6])
{
    const uint8_t *end = a->b + net_addr_size(a);
    ret[0] = 0x02;
    ret[1] = a->family == 6 ? 0x66 : 0x42;
    memcpy(ret + 2, end - 4, 4);
}
