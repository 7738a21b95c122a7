/* network - one user network: a namespace with a bridge, its members, their names, one way out.
 *
 * The process stays in the host's namespaces. It made the network's by a child that has ended, and
 * holds descriptors of them; who owns a user namespace configures what is in it from outside
 * (sys/netns.h). Who is a member is what the kernel says: a veth on the bridge, whose alias holds
 * the container's id and addresses. There is no file that could be wrong about it. */
#pragma once

#include <net/if.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/loop.h"
#include "net/ipam.h"
#include "net/wire.h"
#include "sys/rtnl.h"

#define UPLINK_NAME "uplink0"

#define PEERS_MAX 8

/* Another network of a member. */
struct peer {
    char network[WIRE_NAME_SIZE];
    int fd; /* a socket to its name server; -1: the slot is free */
};

struct member {
    char id[WIRE_ID_SIZE];
    int index; /* of the bridge's end */
    int pidfd; /* of the init; -1: found in the kernel, its supervisor has not come yet */
    uint8_t mac[6];
    struct net_addr addr[2];
    char names[WIRE_NAMES_MAX][WIRE_NAME_SIZE];
    struct net_addr dns[WIRE_DNS_MAX]; /* of its own; none: the network's */
    bool asks_itself;
    struct peer peers[PEERS_MAX];
    struct network *net;
};

/* A child of ours that is started again when it ends. */
struct child {
    pid_t pid;
    int pidfd, ctl;
    int64_t since_ns;
    unsigned quick; /* ends in a row that came soon after the start */
};

struct network {
    struct wire_network cfg;
    struct loop *loop;
    int lock_fd, listen_fd;
    int userns_fd, netns_fd;
    int route_fd, monitor_fd; /* NETLINK_ROUTE inside; link changes */
    int dns_fd[4];            /* UDP and TCP of IPv4, of IPv6 */
    int nft_fd;               /* NETLINK_NETFILTER inside */
    bool guarded;             /* by rules: members have their own addresses only */
    int tap_fd;               /* the uplink's wire */
    bool packet;              /* it is a packet socket */
    int bridge;
    uint32_t mtu;
    struct ipam_range range[2]; /* net.addr.family 0: none */
    struct net_cidr side[2];    /* of the uplink's wire: us, and rootlet-slirp */
    struct member **members;
    size_t n_members;
    struct child dns, uplink;
    struct connection *connections;
    bool idle_timer;
};

/* space.c: the namespaces, by descriptors or new ones; the bridge in it. */
int space_open(struct network *n, int userns_fd, int netns_fd, struct err *e);
struct rtnl_ip rtnl_ip_of(const struct net_addr *a, unsigned prefix);
/* rules.c: what leaves by the uplink does so in its name; what a member sends has its addresses.
 * rules_member: those are m's (add), or are nobody's any more; 0 or -errno. */
int rules_set(struct network *n, struct err *e);
int rules_member(struct network *n, const struct member *m, bool add);
/* scope.c: out of the container's unit, which may end before us. */
int scope_enter(const struct wire_network *cfg, struct err *e); /* fine where there is none */

/* member.c */
int members_find(struct network *n, struct err *e); /* those that the kernel knows already */
void member_link_name(const struct member *m, char ret[static IFNAMSIZ]); /* the bridge's end */
int member_attach(struct network *n, const struct wire_network_request *q, const int fds[2],
                  struct wire_network_reply *ret, struct err *e);
void member_detach(struct network *n, const char *id);
void member_changed(struct network *n, const struct wire_network_request *q);
int member_peer(struct network *n, const struct wire_network_request *q, int fd, struct err *e);
void members_check(struct network *n); /* links have changed */
struct member *member_find(struct network *n, const char *id);
/* main.c */
void members_changed(struct network *n);  /* there may be none left */
void write_hint(const struct network *n); /* where the next addresses are to be taken from */

/* names.c's process: dnsproc.c */
int dnsproc_start(struct network *n, struct err *e);
void dnsproc_member(struct network *n, const struct member *m, bool gone);
void dnsproc_peer(struct network *n, const struct member *m, const struct peer *p);
void dnsproc_servers(struct network *n); /* those of the network are others now */
/* uplink.c; its addresses are chosen once, before all that knows them */
void uplink_choose(struct network *n);
void uplink_name_server(const struct network *n, struct net_addr *ret);
int uplink_start(struct network *n, struct err *e);
void child_end(struct network *n, struct child *c);

/* serve.c */
int serve_connection(struct network *n, int fd, struct err *e); /* fd is owned from here on */
int serve_listen(struct network *n, struct err *e);
/* To one of the supervisors, so that the journal has it once: a child was started again, or will
 * not be; a message of the uplink's as it is. */
void serve_event(struct network *n, const char *action, const char *process);
void serve_forward(struct network *n, const void *data, size_t size);
/* One request and its answer. */
void serve_request(struct network *n, int fd, const struct wire_network_request *q,
                   const int fds[4]);
