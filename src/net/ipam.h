/* ipam - which address of a subnet is given next. */
#pragma once

#include <stdbool.h>

#include "net/addr.h"

struct ipam_range {
    struct net_cidr net;
    struct net_addr gateway; /* never given; family 0: none */
    struct net_addr first, last;
    /* The one after the last that was given: what somebody has just given back is known to others
     * by its old owner's name, and comes again only when all the others had their turn. Family 0:
     * begins with first. */
    struct net_addr next;
};

/* Gives the next address that is free, and moves on. taken is asked of each. 0; -ENOSPC. */
int ipam_next(struct ipam_range *r, bool (*taken)(const struct net_addr *a, void *data), void *data,
              struct net_addr *ret);
/* May a container have this one, apart from who has it? 0; -ERANGE outside of the subnet, -EINVAL
 * its own or its broadcast address, -EADDRINUSE the gateway's. */
int ipam_check(const struct ipam_range *r, const struct net_addr *a);
/* The card address that belongs to an address: locally administered, and the same each time, so
 * that what neighbours remember of an address that comes again is right. */
void ipam_mac(const struct net_addr *a, uint8_t ret[static 6]);
