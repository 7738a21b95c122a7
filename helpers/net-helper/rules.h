/* rules - what tables.c and rules.c share. */
#pragma once

#include "helpers/net-helper/net-helper.h"
#include "sys/nft.h"

#define RULES_TABLE "rootlet"
#define RULES_VERSION "rootlet-net-helper 4" /* the user data of inet rootlet */

/* 0: our tables are there; -ENOENT; -EEXIST: there is one of the name that is none of ours. */
int rules_check_table(struct helper *h);
/* The IPv6 address that goes with an IPv4 one: the last 32 bits. */
struct net_addr rules_addr6(const struct bridge *b, const struct net_addr *addr);
