/* egress - which names and addresses a container may talk to.
 *
 * A policy is a list of rules; without a rule that allows it, nothing goes out. Names are allowed
 * by what the name server answers: their addresses are learned with the answer's time to live. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "net/addr.h"

enum {
    EGRESS_RULES_MAX = 256,
    EGRESS_LEARNED_MAX = 1024,
    EGRESS_TTL_FLOOR = 300, /* seconds: programs keep an address longer than it is true */
    EGRESS_TTL_CEILING = 86400,
};

struct egress;

struct egress *egress_new(void);
void egress_free(struct egress *p);

/* Adds what one --egress says: "deny", or "allow=TARGET[:PORT[-PORT]][/tcp|/udp],...". TARGET is a
 * name, "*.name" (what is below that name, not it itself), an address or a network; an IPv6 one
 * before a port stands in brackets. 0 or -EINVAL. */
int egress_add(struct egress *p, const char *text, struct err *e);
/* Is that a value of --egress? */
int egress_check(const char *text, struct err *e);

/* May this name be asked for? It has no last dot; capitals do not matter. */
bool egress_allows_name(const struct egress *p, const char *name);
/* Name, if it is allowed, has this address for ttl seconds. now: seconds of any clock that goes
 * forward. Addresses that no name can mean (loopback, link-local, groups) are not learned. */
void egress_learn(struct egress *p, const char *name, const struct net_addr *a, uint32_t ttl,
                  uint64_t now);
/* May proto (6, 17, or other: no ports) go there? A use by UDP keeps a learned address alive for a
 * minute, an hour beyond its time at most: such conversations have no beginning that could be
 * checked alone. */
bool egress_allows(struct egress *p, const struct net_addr *a, uint8_t proto, uint16_t port,
                   uint64_t now);
/* Of which rule's name is this address, if any? For messages. NULL or "*.example.org". */
const char *egress_name_of(const struct egress *p, const struct net_addr *a);
/* How many addresses are known by name. */
size_t egress_learned(const struct egress *p);
