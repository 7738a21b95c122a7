/* netlink - messages to the kernel's netlink families without a library and without malloc.
 * netlink(7), rtnetlink(7), linux/netfilter/nfnetlink.h
 *
 * The privileged network helper is static and without libraries; what it links has to be small
 * enough to read. A message that does not fit is remembered as such and never sent, so that the
 * callers need no check after each attribute. */
#pragma once

#include <limits.h>
#include <linux/netlink.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define NL_MSG_MAX 32768 /* a whole batch of nftables rules */

/* One message, or several for one send. No initialisation but nl_begin. */
struct nl_msg {
    size_t start;  /* of the message that is being built */
    size_t size;   /* of all */
    bool overflow; /* something did not fit: nl_transact answers -EMSGSIZE */
    char why[80];  /* what the kernel said of the last refusal (NETLINK_EXT_ACK), or "" */
    unsigned char buf[NL_MSG_MAX] __attribute__((aligned(NLMSG_ALIGNTO)));
};

/* Empties m and begins its first message with a family header of size bytes (ifinfomsg...).
 * NLM_F_REQUEST is set by itself. */
void nl_begin(struct nl_msg *m, int type, unsigned flags, const void *header, size_t size);
/* A further message in the same buffer: for batches. */
void nl_more(struct nl_msg *m, int type, unsigned flags, const void *header, size_t size);
/* Flags for the message that is being built (NLM_F_ACK...). */
void nl_flag(struct nl_msg *m, unsigned flags);

void nl_put(struct nl_msg *m, int type, const void *data, size_t size);
void nl_put_u8(struct nl_msg *m, int type, uint8_t v);
void nl_put_u16(struct nl_msg *m, int type, uint16_t v);
void nl_put_u32(struct nl_msg *m, int type, uint32_t v);
void nl_put_be16(struct nl_msg *m, int type, uint16_t v); /* v in our order, sent in network's */
void nl_put_be32(struct nl_msg *m, int type, uint32_t v);
void nl_put_be64(struct nl_msg *m, int type, uint64_t v);
void nl_put_str(struct nl_msg *m, int type, const char *s);       /* with its terminator */
void nl_put_raw(struct nl_msg *m, const void *data, size_t size); /* no attribute: peer's header */
/* Attributes put between the two are inside it. */
size_t nl_nest(struct nl_msg *m, int type);
void nl_nest_end(struct nl_msg *m, size_t nest);

/* A close-on-exec socket in the current network namespace, or -errno. */
int nl_open(int protocol, struct err *e);
/* Sends m and takes the kernel's answer: 0 or its -errno. Only what comes from the kernel (port 0)
 * with our sequence number counts. Several messages: the first refusal. Messages between
 * nfnetlink's begin and end are one transaction; of them too the first refusal is returned. */
int nl_transact(int fd, struct nl_msg *m);
/* Sends m, which asks for one object or (NLM_F_DUMP) for all, and hands every answer to each();
 * what each returns when not 0 ends it and is returned. -EINTR: the objects changed meanwhile, ask
 * again. NL_ENOUGH from each: the rest is not even received; fd is good for no further dump. */
#define NL_ENOUGH INT_MAX
int nl_dump(int fd, struct nl_msg *m, int (*each)(const struct nlmsghdr *h, void *data),
            void *data);

/* The attribute of this type among those in data, or NULL. Lengths are checked: an attribute that
 * is returned lies within data. */
const struct nlattr *nl_attr_in(const void *data, size_t size, int type);
/* The same behind a message's family header of header bytes. */
const struct nlattr *nl_attr(const struct nlmsghdr *h, size_t header, int type);
const struct nlattr *nl_attr_nested(const struct nlattr *a, int type); /* a may be NULL */
/* The next one (first: a NULL), or NULL at the end. */
const struct nlattr *nl_attr_next(const void *data, size_t size, const struct nlattr *a);
const void *nl_data(const struct nlattr *a);
size_t nl_size(const struct nlattr *a);
int nl_type(const struct nlattr *a); /* without the flag bits */
/* Values; what is absent or of another length is dflt, or "". */
uint32_t nl_u32(const struct nlattr *a, uint32_t dflt);
uint32_t nl_be32(const struct nlattr *a, uint32_t dflt);
uint64_t nl_be64(const struct nlattr *a, uint64_t dflt);
const char *nl_str(const struct nlattr *a);
