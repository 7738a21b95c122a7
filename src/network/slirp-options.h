/* slirp-options - what follows "--network slirp:". */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "net/addr.h"
#include "net/wire.h"

#define SLIRP_DEVICE "tap0"
#define SLIRP_OPTIONS_HELP                                                                         \
    "mtu=N,cidr=NETWORK/BITS,ipv6=BOOL,allow_host_loopback=BOOL|PORT,outbound_addr=IP,"            \
    "outbound_addr6=IP,device=tap|veth"

struct slirp_options {
    unsigned mtu;
    bool ipv6, host_loopback;
    bool tap, packet; /* device=; neither: a tap where that is possible */
    uint16_t ports[WIRE_SLIRP_PORTS];
    struct net_cidr net4, net6;
    struct net_addr own4, own6, gateway4, gateway6, dns4, dns6, outbound4, outbound6;
};

/* Options as slirp4netns and podman name them: "mtu=1500", "cidr=10.1.0.0/24", "enable_ipv6=false",
 * "allow_host_loopback=true" (or =8080: that port alone; several). NULL: the defaults. */
int slirp_options_parse(char *const *options, struct slirp_options *ret, struct err *e);
/* The start message for rootlet-slirp; egress NULL: everything is allowed. Its size; *ret owned. */
size_t slirp_options_message(const struct slirp_options *o, char *const *egress, char **ret);
