/* wire - messages between a supervisor and the network processes, over SOCK_SEQPACKET.
 *
 * One packet is one message; it begins with a struct wire_head. Both sides are of one build as a
 * rule, but a supervisor may meet processes of an older one after an update: fields are only added
 * at the end, and what is shorter than expected reads as zeros. Every process has its own list of
 * types from here on, each owner a range. */
#pragma once

#include <stdint.h>

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
