/* net-helper - the only privileged program of rootlet: it holds CAP_NET_ADMIN and nothing else.
 *
 * Its caller is hostile: he chooses arguments, environment, descriptors, limits and the moment of
 * its death. So: no file is written (the kernel's own objects are the book of what is lent), no
 * lock is taken (he could stop a process that holds it), nothing is allocated, no library is used.
 *
 *   a slot      a veth pair rlUID-N (UID and N in base 36): the far end is in a network namespace
 *               of the caller's, the near one is a port of a bridge. To create the name with
 *               NLM_F_EXCL is to take the slot: N below the caller's quota. It ends with the
 *               container's namespace.
 *   a lease     the element ADDRESS : SLOT of the map lease4, likewise created exclusively.
 *   our table   inet rootlet and bridge rootlet: fixed rules, which look things up in sets. The
 *               elements outlive their slot; every call removes those whose slot is gone. */
#pragma once

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "net/addr.h"
#include "net/bridge-answer.h"
#include "sys/rtnl.h"

enum {
    POLICY_BYTES = 65536,
    POLICY_BRIDGES = 16,
    POLICY_GRANTS = 256,
    GRANT_PORTS = 16,
    GRANT_BINDS = 8,
    REQUEST_ARGS = 64,
    REQUEST_ARG_BYTES = 256,
    REQUEST_PORTS = BRIDGE_PORTS,
    SLOTS_MAX = 4096, /* of one user */
    PORTS_MAX = 1024, /* of one user, published by the kernel; of each kind */
};

/* policy.c: /etc/rootlet/net.conf. Only parsing. */
struct bridge {
    char name[IFNAMSIZ];
    struct net_cidr net4, net6; /* net6: family 0, or a network of at most 96 bits */
    unsigned mtu;               /* 0: the uplink's */
    bool masquerade, host_access, host_users;
};
struct port_range {
    uint8_t proto; /* IPPROTO_TCP, IPPROTO_UDP */
    uint16_t first, last;
};
struct grant {
    char who[33]; /* name or number */
    bool group;
    bool ours; /* it is the caller's: set by identity.c */
    unsigned bridge;
    unsigned slots;
    struct net_cidr block; /* family 0: "auto" */
    struct port_range ports[GRANT_PORTS];
    size_t n_ports;
    struct net_addr binds[GRANT_BINDS]; /* none: all */
    size_t n_binds;
};
struct policy {
    struct bridge bridges[POLICY_BRIDGES];
    size_t n_bridges;
    struct grant grants[POLICY_GRANTS];
    size_t n_grants;
};
/* text has size bytes, any. On failure e names the line and what is wrong with it. */
int policy_parse(const char *text, size_t size, struct policy *ret, struct err *e);
/* Opens path and proves that it is root's alone. */
int policy_read(const char *path, struct policy *ret, struct err *e);

/* request.c: the arguments. Only parsing. */
enum verb { VERB_ADD, VERB_DEL, VERB_PUBLISH, VERB_GC, VERB_INFO };
struct request_port {
    int fd;        /* a socket that is bound to the port; it is the proof */
    uint16_t ctr;  /* port of the container */
    uint8_t proto; /* once fd was looked at: the host's side */
    bool both;     /* an IPv6 socket that takes IPv4 too */
    struct net_addr addr;
    uint16_t host;
};
struct request {
    enum verb verb;
    char bridge[IFNAMSIZ], slot[IFNAMSIZ], device[IFNAMSIZ];
    int netns;
    struct net_addr ip; /* wanted; family 0: any */
    struct request_port ports[REQUEST_PORTS];
    size_t n_ports;
};
int request_parse(int argc, char *const *argv, struct request *ret, struct err *e);
/* Digits up to the character end, without leading zeros. -EINVAL, -ERANGE. */
int number_parse(const char *s, char end, uint32_t max, uint32_t *ret);
/* "rlUID-": of every slot of a user. ret has IFNAMSIZ. Returns its length. */
size_t slot_prefix(uid_t uid, char *ret);
void slot_name(uid_t uid, unsigned n, char *ret);
/* Number of a slot of this user; -1: it is none of his. The whole name counts, not its beginning.
 */
int slot_number(uid_t uid, const char *name);
bool slot_any(const char *name); /* of any user */
/* The devices of a user are one group (ip-link(8)): by it the rules know who is whose. */
static inline uint32_t slot_group(uid_t uid)
{
    return 0x72000000u + uid;
}
/* The mark of the sockets that a user has proved (SO_MARK; only who rules the host's network can
 * set it). A packet goes to his container only while it would find such a socket: when he closes
 * it, or somebody else holds the port, nothing of his catches what comes there. Never 0, which is
 * everybody's. */
static inline uint32_t socket_mark(uid_t uid)
{
    uint32_t mark = slot_group(uid);
    return mark ? mark : UINT32_MAX;
}

/* identity.c */
/* Marks the grants of the calling user, by /etc/passwd, /etc/group and his groups. */
int identity_match(struct policy *p, struct err *e);
/* fd is a network namespace that belongs to the caller, not to the host. */
int identity_netns(int fd, uid_t uid, struct err *e);
/* Fills in what p->fd is bound to. -EPERM: it is no proof. */
int identity_socket(struct request_port *p, int our_socket, struct err *e);
int identity_mark(const struct request_port *p, uid_t uid); /* 0 or -errno */

/* What all of the following work on. */
struct helper {
    uid_t uid;
    const struct policy *policy;
    const struct request *request;
    int rt, nf; /* NETLINK_ROUTE, NETLINK_NETFILTER */
};
struct slot {
    char name[IFNAMSIZ];
    int index;
    const struct bridge *bridge;
    const struct grant *grant;
    struct net_addr addr, addr6;
    uint8_t mac[6];
    unsigned mtu;
};

/* rules.c */
extern const uint8_t gateway_mac[6];
/* Both tables, with the bridge in their sets. -EEXIST: a table of another version or owner. */
int rules_ensure(struct helper *h, const struct bridge *b, struct err *e);
struct nft;
/* Takes the lease and lets the slot's packets through, in one transaction that also removes what is
 * left of earlier users of the slot's name and address. -EEXIST: the address is another's;
 * -ENOENT: the table is gone meanwhile. */
int rules_admit(struct helper *h, const struct slot *s);
/* Ports that the request proves, to the slot. Those that the policy does not grant are skipped;
 * granted[i] says which were taken. Nobody takes them back: when the socket is closed its element
 * leads nowhere (socket_mark), and it goes with the slot. */
int rules_publish(struct helper *h, const struct slot *s, uint8_t *granted);
/* Removes what belongs to slots that are no more. */
int rules_collect(struct helper *h);
/* If the bridge has gone: it leaves the rules, and with the last one the tables go. */
int rules_settle(struct helper *h, const char *bridge);
/* Each device whose forwarding was switched on for us, by family (4, 6): others than our bridges
 * are not to be reached by it. */
int rules_uplink_add(struct helper *h, int family, const char *device);
/* The host forwards as a whole by now: that is not ours to restrict. */
void rules_uplink_drop(struct helper *h, int family, const char *device);
/* The leased address of a slot; -ENOENT. */
int rules_address(struct helper *h, const char *slot, struct net_addr *ret);
/* Marks in taken which of the addresses from first on are leased. */
int rules_taken(struct helper *h, const struct net_addr *first, uint8_t *taken, size_t n);

/* slots.c */
int slot_add(struct helper *h, struct slot *ret, struct err *e);
int slot_find(struct helper *h, const char *name, struct slot *ret, struct err *e);
int slot_del(struct helper *h, const char *name, struct err *e);
/* Collects, removes bridges of ours that have no slots, and puts right what a call left that was
 * killed. */
int slots_collect(struct helper *h);
/* The device of the default route and its MTU (1500 when there is none). */
void slots_uplink(struct helper *h, char device[static IFNAMSIZ], unsigned *ret_mtu);

/* forward.c: may packets be forwarded, as far as the kernel and other rule sets are concerned? */
int forward_enable(struct helper *h, const struct bridge *b, const char *uplink, struct err *e);
void forward_uplink(int family, const char *uplink, bool on);
/* The host speaks by the bridge, not by a slot's own device: neither IPv6 nor answers to ARP (which
 * would also fill its table of neighbours). */
void forward_silence(const char *slot);
/* Adds to the answer the chains of other firewalls that will drop what the bridge forwards. The
 * last thing that is done with h->nf. */
void forward_look(struct helper *h, const struct bridge *b, struct bridge_answer *a);

/* flows.c: ends the connections of whoever had the slot's addresses before. */
void flows_forget(struct helper *h, const struct slot *s);
