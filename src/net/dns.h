/* dns - messages of the domain name system: questions read, answers made, replies looked through.
 *
 * No memory is allocated and nothing is believed: every length and every pointer of a compressed
 * name is checked, pointers go backward only. Names are text in lower case without the last dot
 * ("" is the root); a byte that is no letter, digit, '-' or '_' is \DDD, so that a label with a dot
 * in it is never taken for two labels. RFC 1035, RFC 6891 (EDNS). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DNS_HEADER 12
#define DNS_NAME_SIZE 1020 /* 255 bytes on the wire, each up to four characters, and the end */
#define DNS_UDP_SIZE 512   /* what a client takes that does not say more */
#define DNS_MESSAGE_MAX 65535

/* The domains of a network's members, beside the network's name: NAME.rootlet is what resolv.conf
 * completes names with, the other one is what podman's users have in their files. */
#define DNS_DOMAIN "rootlet"
#define DNS_DOMAIN_PODMAN "dns.podman"

enum dns_type {
    DNS_A = 1,
    DNS_CNAME = 5,
    DNS_SOA = 6,
    DNS_PTR = 12,
    DNS_AAAA = 28,
    DNS_OPT = 41,
    DNS_HTTPS = 65,
    DNS_ANY = 255,
};

enum dns_rcode {
    DNS_OK = 0,
    DNS_FORMERR = 1,
    DNS_SERVFAIL = 2,
    DNS_NXDOMAIN = 3,
    DNS_NOTIMP = 4,
    DNS_REFUSED = 5,
};

/* Bits of the flags, byte 2 and 3 of a message. */
enum dns_flag {
    DNS_FLAG_QR = 0x8000, /* a reply */
    DNS_FLAG_AA = 0x0400,
    DNS_FLAG_TC = 0x0200, /* cut: ask again by TCP */
    DNS_FLAG_RD = 0x0100,
    DNS_FLAG_RA = 0x0080,
    DNS_OPCODE = 0x7800,
    DNS_RCODE = 0x000f,
};

struct dns_question {
    uint16_t id, flags, type, class;
    char name[DNS_NAME_SIZE];
    size_t end;      /* where header and question end in the message */
    size_t udp_size; /* the largest answer that the client takes by UDP: 512, or what EDNS says */
    bool edns;
};

/* The one question of a message (a query or a reply). 0; -EBADMSG: too short, a name that is none,
 * not exactly one question. */
int dns_question(const uint8_t *msg, size_t size, struct dns_question *ret);

static inline uint16_t dns_id(const uint8_t *msg)
{
    return (uint16_t)(msg[0] << 8 | msg[1]);
}
static inline uint16_t dns_flags(const uint8_t *msg)
{
    return (uint16_t)(msg[2] << 8 | msg[3]);
}
/* For forwarding a message unparsed: only who asked is another. */
static inline void dns_set_id(uint8_t *msg, uint16_t id)
{
    msg[0] = (uint8_t)(id >> 8);
    msg[1] = (uint8_t)id;
}
/* Whether others shall be asked, too. */
static inline void dns_set_recursion(uint8_t *msg, bool wanted)
{
    msg[2] = (uint8_t)((msg[2] & ~(DNS_FLAG_RD >> 8)) | (wanted ? DNS_FLAG_RD >> 8 : 0));
}

/* An answer in the making. */
struct dns_answer {
    uint8_t *buf;
    size_t size, max;
    unsigned count;
    bool edns, truncated;
};
/* Begins the answer to q, whose message is query: header, question, code rcode; authoritative. max
 * is what the way back takes (q->udp_size, or DNS_MESSAGE_MAX by TCP), at least DNS_UDP_SIZE. */
void dns_answer_begin(struct dns_answer *a, const uint8_t *query, const struct dns_question *q,
                      uint8_t *buf, size_t max);
void dns_answer_code(struct dns_answer *a, enum dns_rcode rcode);
/* A record of the asked name: an address of 4 or 16 bytes; a name. What has no room sets TC. */
void dns_answer_address(struct dns_answer *a, const void *address, size_t size, uint32_t ttl);
void dns_answer_name(struct dns_answer *a, enum dns_type type, const char *name, uint32_t ttl);
size_t dns_answer_end(struct dns_answer *a); /* the size of the message */

/* The refusal of a query of any shape, as much of it as can be read goes back. buf holds
 * DNS_UDP_SIZE. 0: it is no query, which gets no answer (else two servers could talk for ever). */
size_t dns_refusal(const uint8_t *query, size_t size, enum dns_rcode rcode, uint8_t *buf);
/* A reply that is too long for max, cut to header and question with TC set: the new size. */
size_t dns_truncate(uint8_t *msg, size_t size, size_t max);

/* What a reply says about the addresses of the name that was asked for. */
struct dns_address {
    const char *name; /* its owner: the asked name, or where aliases (CNAME) led */
    uint8_t addr[16];
    size_t size;  /* 4 or 16 */
    uint32_t ttl; /* the smallest on the way, seconds */
};
/* Calls each for every A and AAAA record that the question's name has in this reply, aliases
 * followed (16 at most); records of other names are passed over. Ends early when each returns not 0
 * and returns that. 0, or -EBADMSG (what was found before has been told). */
int dns_addresses(const uint8_t *msg, size_t size, int (*each)(const struct dns_address *, void *),
                  void *data);

/* "4.3.2.1.in-addr.arpa", "…ip6.arpa": the address, and its size 4 or 16; 0: it is none. */
size_t dns_reverse(const char *name, uint8_t ret[static 16]);
/* Text to the bytes of a name: their number, or -EINVAL. For tests and for names of our own: what
 * \DDD stands for is understood. */
int dns_name_encode(const char *name, uint8_t ret[static 255]);
