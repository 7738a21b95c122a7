/* ports - published ports as text: what -p takes, and the form in which states and lists show them.
 *
 *   [[IP]:][HOST[-HOST]]:CTR[-CTR][/PROTO]     -p; IPv6 addresses in brackets
 *   published=HOST,target=CTR,protocol=PROTO   docker's long form
 *   IP:HOST[-HOST]->CTR[-CTR]/PROTO            shown
 *
 * Only parsing: no system calls, nothing is allocated. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "net/addr.h"

enum net_proto { NET_TCP = 1, NET_UDP = 2 };
const char *net_proto_name(enum net_proto p); /* "tcp" */
int net_proto_parse(const char *text, enum net_proto *ret, struct err *e);

/* One specification. Port number n of a range is host + n on the host and ctr + n inside. */
struct net_port {
    struct net_addr addr; /* family 0: none was given */
    uint16_t host;        /* first port on the host; 0: the kernel chooses */
    uint16_t host_count;  /* more than count: any of so many, the first that is free */
    uint16_t ctr;         /* first port in the container, never 0 */
    uint16_t count;       /* how many, at least 1 */
    enum net_proto proto;
};

/* "tcp,udp" gives two. The number of them (1 or 2), or -EINVAL. */
int net_port_parse(const char *text, struct net_port ret[static 2], struct err *e);

/* A port of the container as rm and --expose take it: "80", "80/udp", "8000-8010/tcp". no address,
 * host 0. */
int net_port_parse_container(const char *text, struct net_port *ret, struct err *e);

#define NET_PORT_TEXT 96 /* room for any of the texts below */

/* "0.0.0.0:8080->80/tcp", "[::1]:8000-8010->80-90/udp"; without an address 0.0.0.0. Returns ret. */
char *net_port_format(const struct net_port *p, char ret[static NET_PORT_TEXT]);
int net_port_parse_shown(const char *text, struct net_port *ret);
/* What -p would take to publish it the same way: "127.0.0.1:8080:80/udp". */
char *net_port_format_option(const struct net_port *p, char ret[static NET_PORT_TEXT]);
/* "0.0.0.0:8080", "[::1]:8080": the host's side of the first one. */
char *net_port_format_host(const struct net_port *p, char ret[static NET_PORT_TEXT]);

/* Number n of a range by itself. */
struct net_port net_port_nth(const struct net_port *p, unsigned n);
/* Is b the next one of the same range? Then a takes it in. */
bool net_port_join(struct net_port *a, const struct net_port *b);
/* Does `want`, of rm, mean this port (or a port of this range)? What it leaves open (the address,
 * the number on the host) is of no account, and so is a number that the kernel is still to choose.
 */
bool net_port_means(const struct net_port *want, const struct net_port *have);
/* Would both be the same socket on the host, or one that the other excludes? */
bool net_port_conflict(const struct net_port *a, const struct net_port *b);
