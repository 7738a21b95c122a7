/* addr - addresses of IPv4 and IPv6, of networks and of network cards, as text and as numbers.
 *
 * No names, no zones ("%eth0"), no shorthand: what inet_pton(3) takes, and nothing around it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NET_ADDR_TEXT 46 /* with the terminator */
#define NET_CIDR_TEXT 50
#define NET_MAC_TEXT 18

struct net_addr {
    uint8_t family; /* 4, 6, or 0: none */
    uint8_t b[16];  /* network order; IPv4 has the first four, the others are 0 */
};

/* An address and how many bits of it name the network: "10.0.2.100/24". */
struct net_cidr {
    struct net_addr addr;
    uint8_t bits;
};

/* Whole text; -EINVAL. */
int net_addr_parse(const char *s, struct net_addr *ret);
/* Returns buf; "" for none. */
char *net_addr_format(const struct net_addr *a, char buf[static NET_ADDR_TEXT]);
/* Bytes of a: 4, 16, or 0. */
size_t net_addr_size(const struct net_addr *a);
struct net_addr net_addr_v4(uint32_t host_order);
/* memcmp's order, IPv4 first. */
int net_addr_cmp(const struct net_addr *a, const struct net_addr *b);
bool net_addr_is_any(const struct net_addr *a);       /* 0.0.0.0, :: */
bool net_addr_is_loopback(const struct net_addr *a);  /* 127.0.0.0/8, ::1, ::ffff:127.0.0.0/104 */
bool net_addr_is_linklocal(const struct net_addr *a); /* 169.254.0.0/16, fe80::/10 */
bool net_addr_is_multicast(const struct net_addr *a);
/* The address n behind (before, if negative) a; -ERANGE beyond the ends of the family. */
int net_addr_add(const struct net_addr *a, int64_t n, struct net_addr *ret);

/* "ADDRESS/BITS"; -EINVAL. */
int net_cidr_parse(const char *s, struct net_cidr *ret);
char *net_cidr_format(const struct net_cidr *c, char buf[static NET_CIDR_TEXT]);
/* The first and the last address of the network. */
struct net_addr net_cidr_first(const struct net_cidr *c);
struct net_addr net_cidr_last(const struct net_cidr *c);
/* Is it a network, without bits of a host? "10.0.2.0/24" is, "10.0.2.1/24" is not. */
bool net_cidr_is_network(const struct net_cidr *c);
bool net_cidr_contains(const struct net_cidr *c, const struct net_addr *a);
bool net_cidr_overlap(const struct net_cidr *a, const struct net_cidr *b);
/* Address number n of the network, 0 is the first; -ERANGE. */
int net_cidr_nth(const struct net_cidr *c, uint64_t n, struct net_addr *ret);
/* Number of a in the network; UINT64_MAX when it is none of it or further away. */
uint64_t net_cidr_index(const struct net_cidr *c, const struct net_addr *a);
/* How many addresses it has, UINT64_MAX for more. */
uint64_t net_cidr_count(const struct net_cidr *c);

/* "52:54:00:12:34:56" (or with '-'); -EINVAL, also for a group address, which no card may have. */
int net_mac_parse(const char *s, uint8_t ret[static 6]);
char *net_mac_format(const uint8_t mac[static 6], char buf[static NET_MAC_TEXT]);
