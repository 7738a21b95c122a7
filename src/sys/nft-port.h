/* nft-port - what a port of a bridge may say: rules of a bridge's table by which a frame passes
 * only when it carries the card and the addresses of whoever is behind that port.
 *
 * Nothing that a router or a server of addresses says passes either, and no tagged frame. What is
 * behind which port stands in two sets (device . card . address), so that a container adds and
 * removes elements, never rules. */
#pragma once

#include "sys/nft.h"
#include "sys/rtnl.h"

#define NFT_PORT_SET4 "slot4"
#define NFT_PORT_SET6 "slot6"
#define NFT_PORT_CHAIN "port" /* to jump to; it accepts or drops */

/* Into a table of NFPROTO_BRIDGE. The chain itself is the caller's to add, before its rules. */
void nft_port_sets(struct nft *b);
void nft_port_rules(struct nft *b);

struct nft_port {
    const char *device;
    const uint8_t *mac;
    struct rtnl_ip addr[2]; /* IPv4, IPv6; family 0: none */
};
/* Adds or removes the elements of one port: its addresses, and with IPv6 the address that it makes
 * of its card, and none (for looking whether an address is free). */
void nft_port_elements(struct nft *b, const struct nft_port *p, bool add);
