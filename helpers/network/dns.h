/* dns - the name server of one network: a process of its own, in a sandbox.
 *
 * It hears what containers send, so nothing of the manager is left in it but its sockets: names of
 * members come as messages over one of them. It answers for members, and hands everything else to
 * the host's resolvers, unparsed, from the host's network namespace, so that a resolver on the
 * host's loopback works. There is no other place where a question goes. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <time.h>

#include "base/loop.h"
#include "net/addr.h"
#include "net/dns.h"
#include "net/wire.h"

#define DNS_SERVERS_MAX 4
#define DNS_QUERY_MAX 4096 /* of a container; the answers may have DNS_MESSAGE_MAX */
#define DNS_TTL_S 5        /* a container's address may be another one soon */

/* A member's names and addresses, from the manager; gone: of this id there are no more. peer not
 * empty: of its other network of that name, with a socket to the name server there, or without one
 * when it has left it. id empty: servers are those of the network from now on. */
struct dns_member {
    char id[WIRE_ID_SIZE], peer[WIRE_NAME_SIZE];
    uint8_t gone;
    struct net_addr addr[2];
    char names[WIRE_NAMES_MAX + 2][WIRE_NAME_SIZE];
    struct net_addr servers[DNS_SERVERS_MAX]; /* none: the network's */
    uint8_t asks_itself;
};

/* What the manager's fork begins with; descriptors are owned, -1 for none. */
struct dns_setup {
    int control;                              /* from the manager: struct dns_member */
    int udp[2], tcp[2];                       /* bound to the gateway's addresses, IPv4 and IPv6 */
    struct net_cidr net[2];                   /* reverse names of these are ours alone */
    bool internal;                            /* nothing is forwarded */
    char name[WIRE_NAME_SIZE];                /* the network's, in lower case: members' domain */
    struct net_addr servers[DNS_SERVERS_MAX]; /* instead of the host's; none: the host's */
};
/* Serves until the manager has gone. Returns the exit status. */
int dns_serve(struct dns_setup *s);

/* Who is asked for foreign names: the resolvers of the host, read again when the file is another
 * one, or those that the network or a member names. */
struct dns_upstream {
    struct sockaddr_storage v[DNS_SERVERS_MAX];
    size_t n;
    bool fixed;     /* by the network's settings, or a member's */
    bool elsewhere; /* the member asks others itself */
    int64_t looked_ns;
    struct timespec mtime, ctime;
    ino_t inode;
};

/* names.c */
struct dns_names {
    struct dns_entry **v;
    size_t n;
    unsigned turn; /* which of several members of a name comes first */
};
void dns_names_apply(struct dns_names *t, const struct dns_member *m);
/* Addresses of a family (4, 6) that a name has, at most max, another one first each time. Their
 * number; -ENOENT when no member is called so. */
int dns_names_find(struct dns_names *t, const char *name, int family, struct net_addr *ret,
                   size_t max);
const char *dns_names_reverse(const struct dns_names *t, const struct net_addr *a); /* or NULL */
/* What the member of this address has of its own; NULL: nothing. */
const struct dns_upstream *dns_names_upstream(const struct dns_names *t,
                                              const struct sockaddr_storage *client);

/* resolv.c. No servers: those of the host. */
void dns_upstream_fix(struct dns_upstream *u, const struct net_addr *v, size_t n);
void dns_upstream_look(struct dns_upstream *u);
/* The nameserver lines of a resolv.conf(5). */
void dns_upstream_parse(struct dns_upstream *u, const char *text);
socklen_t dns_upstream_size(const struct sockaddr_storage *a);

/* server.c */
struct dns_server {
    struct loop *loop;
    struct dns_setup set;
    struct dns_names names;
    struct dns_upstream upstream;
    struct err error; /* of the loop's calls; of no interest to anybody */
    struct dns_peer *peers;
    struct dns_udp *udp;
    struct dns_tcp *tcp;
    bool sweeping;
};
/* The answer to a query that we can give ourselves, into buf (DNS_MESSAGE_MAX): its size; 0: it is
 * to be forwarded; -1: it is not to be answered at all. */
struct dns_query {
    const uint8_t *msg;
    size_t size, max; /* max: of the answer; 0: what the query says */
    const struct sockaddr_storage *client;
    /* out: not 0: no member is called so, and nobody but the client's other networks is asked */
    enum dns_rcode unknown;
};
ssize_t dns_answer_query(struct dns_server *s, struct dns_query *q, uint8_t *buf);
/* Who is asked for a client. */
const struct dns_upstream *dns_upstream_of(struct dns_server *s,
                                           const struct sockaddr_storage *client);
void dns_sweep_later(struct dns_server *s);
bool dns_is_client(const struct net_addr addr[2], const struct sockaddr_storage *client);
bool dns_same_client(const struct sockaddr_storage *a, const struct sockaddr_storage *b);
extern uint8_t dns_buf[DNS_MESSAGE_MAX]; /* of one event */

/* peers.c: other networks of a member. */
struct dns_peer {
    struct dns_peer *next;
    struct dns_server *s;
    char id[WIRE_ID_SIZE], network[WIRE_NAME_SIZE];
    struct net_addr client[2]; /* the member here */
    int fd;                    /* connected to the name server there */
};
void dns_peer_apply(struct dns_server *s, const struct dns_member *m, int fd); /* takes fd */
void dns_peers_forget(struct dns_server *s, const char *id);
/* The first peer of a client, and the one behind another; NULL: there is none. */
struct dns_peer *dns_peer_next(struct dns_server *s, const struct sockaddr_storage *client,
                               const struct dns_peer *after);

/* udp.c, tcp.c */
void dns_udp_peer(struct dns_server *s, struct dns_peer *p); /* its socket is ready */
void dns_udp_peer_gone(struct dns_server *s, const struct dns_peer *p);
/* A question that came by TCP, to the client's other networks: done gets the answer, or NULL when
 * none of them has one. False: there is nobody to be asked, or no room. */
typedef void dns_done(void *data, const uint8_t *answer, size_t size);
struct dns_relay {
    const uint8_t *msg;
    size_t size;
    const struct sockaddr_storage *client;
    dns_done *done;
    void *data;
};
bool dns_udp_relay(struct dns_server *s, const struct dns_relay *r);
void dns_udp_forget(struct dns_server *s, const void *data); /* its answer is not wanted any more */
int dns_udp_open(struct dns_server *s);
int dns_tcp_open(struct dns_server *s);
/* Ends what has waited for too long, several times a second while somebody waits (dns_sweep_later
 * begins that). Is there still something that waits? */
bool dns_udp_sweep(struct dns_server *s, int64_t now_ns);
bool dns_tcp_sweep(struct dns_server *s, int64_t now_ns);
