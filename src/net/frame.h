/* frame - Ethernet frames of a container, read strictly, and the answers that refuse them.
 *
 * What a container sends is input of an attacker, and what stands behind (libslirp) is forgiving:
 * so only ARP, plain IPv4 without options and IPv6 with TCP, UDP or ICMP are frames at all. No
 * memory is allocated; pointers lead into the given bytes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/addr.h"

enum { FRAME_ETHER = 14, FRAME_MAX = 65550, FRAME_ANSWER_MAX = 1300 };
enum frame_proto { FRAME_ICMP = 1, FRAME_TCP = 6, FRAME_UDP = 17, FRAME_ICMP6 = 58 };

struct frame {
    bool arp;      /* nothing else is set */
    bool fragment; /* ports and type may be missing: 0 */
    uint8_t proto; /* enum frame_proto */
    struct net_addr src, dst;
    uint16_t sport, dport;
    uint8_t flags;                       /* of TCP */
    uint8_t icmp_type;                   /* of both ICMPs */
    const uint8_t *ether, *ip, *payload; /* payload: of UDP */
    size_t ip_size, payload_size;
};
enum { FRAME_SYN = 2, FRAME_ACK = 16 };

/* 0, or -EBADMSG: not to be passed on. */
int frame_parse(const uint8_t *data, size_t size, struct frame *ret);

/* "Communication administratively prohibited" from source to f's sender, for any frame that asks
 * for something (no answer to ICMP errors and to what is sent to groups). The frame's size, at most
 * FRAME_ANSWER_MAX, or 0. */
size_t frame_prohibit(const struct frame *f, const struct net_addr *source,
                      uint8_t buf[static FRAME_ANSWER_MAX]);
/* An answer to UDP frame f from where it was sent to. size: 1200 at most, else 0. */
size_t frame_answer(const struct frame *f, const uint8_t *data, size_t size,
                    uint8_t buf[static FRAME_ANSWER_MAX]);
