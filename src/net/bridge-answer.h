/* bridge-answer - what rootlet-net-helper answers: one structure on its standard output.
 *
 * Both sides are of one build; the version is there to notice that they are not. Texts are
 * terminated, what does not apply is zero. To put it into words is for the side without privilege.
 */
#pragma once

#include <stdint.h>

#include "net/addr.h"

enum {
    BRIDGE_NOT_SET_UP = 3, /* exit status: there is no net.conf. Of all other failures: 1 */
    BRIDGE_ANSWER_VERSION = 0x726c0001,
    BRIDGE_NAME = 16,   /* IFNAMSIZ */
    BRIDGE_PORTS = 48,  /* of one request */
    BRIDGE_GRANTS = 16, /* "info": bridges of one user; further ones are not told */
    BRIDGE_NOTICES = 4,
};

struct bridge_grant {
    char name[BRIDGE_NAME];
    struct net_cidr net4, net6, block; /* net6, block: family 0, or the network */
    uint32_t slots;
};

/* A chain of somebody else's firewall that will drop what the bridge forwards. */
struct bridge_notice {
    char table[32], chain[32];
    uint8_t family; /* 4, 6; 0: both */
    uint8_t docker; /* the table has docker's DOCKER-USER */
};

struct bridge_answer {
    uint32_t version;
    uint32_t n_grants, n_notices;
    char slot[BRIDGE_NAME], bridge[BRIDGE_NAME];
    struct net_cidr address, address6;
    struct net_addr gateway, gateway6;
    uint8_t mac[6];
    uint8_t by_kernel[BRIDGE_PORTS]; /* the request's port of this number goes past the forwarder */
    struct bridge_grant grants[BRIDGE_GRANTS];
    struct bridge_notice notices[BRIDGE_NOTICES];
};
