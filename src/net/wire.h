/* wire - messages between a supervisor and the network processes, over SOCK_SEQPACKET.
 *
 * One packet is one message; it begins with a struct wire_head. Both sides are of one build as a
 * rule, but a supervisor may meet processes of an older one after an update: fields are only added
 * at the end, and what is shorter than expected reads as zeros. Every process has its own list of
 * types from here on, each owner a range. */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "net/addr.h"

enum wire_type {
    WIRE_ERROR = 1, /* process: text; it ends, or the request has failed (value: errno) */
    WIRE_OK = 2,    /* process: the request is done; value and text as the request says */
    WIRE_EVENT = 3, /* process: text "ACTION\0key=value\0..." for the journal */
    WIRE_SLIRP = 0x100,
    WIRE_PORTS = 0x200,
    WIRE_NETWORK = 0x300,
};

#define WIRE_MAX 16384 /* bytes of one packet */

struct wire_head {
    uint32_t type;
    int32_t value;
};

/* rootlet-network. Every request stands for itself: the configuration goes with it, and what
 * another one has answered before is not assumed. One packet answers: struct wire_network_reply,
 * with the head's type WIRE_OK or WIRE_ERROR. */
enum {
    /* The container id, of which a descriptor of the network namespace and a pidfd of the init ride
     * along, becomes a member, or is told again what it has. Our end of the connection is kept:
     * when it ends without a word the process was killed, and is to be started anew. */
    WIRE_NETWORK_ATTACH = WIRE_NETWORK + 1,
    WIRE_NETWORK_DETACH, /* id is no member any more */
    /* id is a member of network peer too: what it asks for and nobody here is called is asked
     * there, by the UDP socket that comes along. Without one it has left that network. */
    WIRE_NETWORK_PEER,
    /* Descriptors of the network's user and network namespace come with the answer. */
    WIRE_NETWORK_SPACE,
    WIRE_NETWORK_CHANGED, /* names, dns and asks_itself of member id are others now */
};

#define WIRE_NAME_SIZE 64
#define WIRE_NAMES_MAX 32
#define WIRE_ID_SIZE 65
#define WIRE_DNS_MAX 4
#define WIRE_EGRESS_SIZE 4096

struct wire_subnet {
    struct net_cidr net;     /* family 0: none */
    struct net_addr gateway; /* family 0: the first free one is taken for it */
    struct net_addr first, last;
};

/* A user network as it was asked for. Texts are terminated, the rest zero: it is compared as bytes,
 * and has no padding. */
struct wire_network {
    uint32_t mtu;     /* 0: the uplink's */
    uint32_t changes; /* how often dns was changed: the process takes over what is newer */
    char name[WIRE_NAME_SIZE], id[WIRE_ID_SIZE];
    uint8_t internal, no_dns, zero[3];
    struct wire_subnet subnet[2]; /* IPv4, IPv6 */
    struct net_addr dns[WIRE_DNS_MAX];
    char egress[WIRE_EGRESS_SIZE]; /* rules, one a line */
};

struct wire_network_request {
    struct wire_head head;
    struct wire_network network;
    char id[WIRE_ID_SIZE], peer[WIRE_NAME_SIZE];
    char interface[16]; /* in the container; "" takes the next free ethN */
    uint8_t again;      /* the interface is there already: its other end may be, too */
    uint8_t groups;     /* control groups are in use: the process leaves the container's unit */
    uint8_t has_mac, mac[6];
    struct net_addr ip[2];                      /* wanted, or family 0 */
    char names[WIRE_NAMES_MAX][WIRE_NAME_SIZE]; /* the container's name first */
    /* --dns: asked for it in place of the host's; or it asks others itself, after the network's */
    struct net_addr dns[WIRE_DNS_MAX];
    uint8_t asks_itself;
    uint32_t serial; /* comes back with the answer: one that is late is for nobody */
};

struct wire_network_reply {
    struct wire_head head;
    struct err err;             /* WIRE_ERROR */
    uint8_t kept, mac[6];       /* kept: the interface is as it was */
    struct net_cidr address[2]; /* of the container, with the subnet's bits; family 0: none */
    struct net_addr gateway[2]; /* of the default route; none when internal */
    struct net_addr dns;
    uint32_t mtu;
    uint32_t serial; /* of the request */
};

/* rootlet-ports. Every request is answered by WIRE_OK or WIRE_ERROR, in order. */
enum wire_ports_type {
    WIRE_PORTS_START = WIRE_PORTS, /* struct wire_ports_start; descriptors: pidfd of the init, user
                                      namespace, network namespace, listening socket for others */
    WIRE_PORTS_ADDRESSES,          /* struct wire_ports_start: the addresses have changed */
    WIRE_PORTS_ADD,                /* struct wire_ports_port; descriptor: the socket */
    WIRE_PORTS_REMOVE,             /* struct wire_ports_port; its connections end */
    WIRE_PORTS_LIST,               /* a WIRE_PORTS_ADD with the socket for each, then WIRE_OK */
    WIRE_PORTS_STATS,              /* struct wire_ports_stats comes back */
};

struct wire_ports_start {
    struct wire_head head;
    uint8_t address4[4], gateway4[4]; /* the container's, and who others appear as; 0: none */
    uint8_t address6[16], gateway6[16];
};

struct wire_ports_port {
    struct wire_head head;
    uint8_t proto, family; /* enum net_proto; 4, 6 or 0: all addresses of the host */
    uint16_t host, ctr;
    uint8_t address[16];
};

struct wire_ports_stats {
    struct wire_head head;
    uint32_t ports, connections, flows; /* now */
    uint32_t paused;                    /* no more connections are taken: no descriptors left */
    uint64_t accepted, refused;         /* connections: all, and those the container did not take */
    uint64_t bytes_in, bytes_out;       /* to the container, from it (TCP) */
    uint64_t packets_in, packets_out, packets_lost; /* UDP */
};

/* rootlet-slirp. Its parent sends one start, with the device (a tap, or a packet socket), the pidfd
 * of the process with which it ends, and (may be missing) a listening socket for parents to come.
 * It answers WIRE_OK or WIRE_ERROR. Whoever connects to the listening socket, and has its user id,
 * gets WIRE_OK with the device, and from then on the events. */
enum wire_slirp_type { WIRE_SLIRP_START = WIRE_SLIRP + 1 };

enum wire_slirp_flag {
    WIRE_SLIRP_IPV6 = 1 << 0,
    WIRE_SLIRP_HOST_LOOPBACK = 1 << 1, /* the gateway's address is the host's loopback */
    WIRE_SLIRP_PACKET = 1 << 2,        /* the device is a packet socket */
    WIRE_SLIRP_EGRESS = 1 << 3,        /* only what the rules allow goes out, if any do */
};

#define WIRE_SLIRP_PORTS 16

struct wire_slirp_start {
    struct wire_head head;
    uint32_t flags;
    uint32_t mtu;
    uint8_t network[4]; /* the gateway is .2 in it, the name server .3 */
    uint32_t bits;
    uint8_t network6[16];                      /* of 64 bits; ::2 and ::3 */
    uint8_t outbound[4], outbound6[16];        /* source addresses; zeros: the kernel chooses */
    uint16_t loopback_ports[WIRE_SLIRP_PORTS]; /* alone reachable on the host's loopback; 0 ends */
    uint32_t egress_size;                      /* of the rules that follow, "RULE\0RULE\0" */
};
