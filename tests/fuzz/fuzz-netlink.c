/* fuzz-netlink - any bytes as the kernel's answers: what reads links, addresses, routes and the
 * objects of nftables takes nothing from outside of them, and comes to an end. */
#include <errno.h>
#include <linux/netlink.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "sys/nft.h"
#include "sys/rtnl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t *input;
static size_t left;
static uint32_t sequence;

/* In place of the C library's: the question is taken, the answers are the input, two bytes of
 * length before each. */
ssize_t sendto(int fd, const void *buf, size_t n, int flags, const struct sockaddr *to,
               socklen_t size)
{
    const struct nlmsghdr *h = buf;
    (void)fd, (void)flags, (void)to, (void)size;
    sequence = h->nlmsg_seq;
    return (ssize_t)n;
}

ssize_t recvfrom(int fd, void *restrict buf, size_t n, int flags, struct sockaddr *restrict from,
                 socklen_t *restrict size)
{
    (void)fd, (void)flags;
    if (left < 2) {
        errno = EAGAIN;
        return -1;
    }
    size_t want = (size_t)(input[0] | input[1] << 8), got = want < left - 2 ? want : left - 2;
    got = got < n ? got : n;
    memcpy(buf, input + 2, got);
    input += 2 + got;
    left -= 2 + got;
    memset(from, 0, *size);
    *size = sizeof(struct sockaddr_nl);
    /* Messages of another number would only be skipped. */
    for (size_t at = 0; at + sizeof(struct nlmsghdr) <= got;) {
        struct nlmsghdr *h = (struct nlmsghdr *)(void *)((char *)buf + at);
        h->nlmsg_seq = sequence;
        if (h->nlmsg_len < sizeof(*h) || h->nlmsg_len > got)
            break;
        at += NLMSG_ALIGN(h->nlmsg_len);
    }
    return (ssize_t)got;
}

static int see_link(const struct rtnl_link *l, void *data)
{
    (void)data;
    return strlen(l->name) >= sizeof(l->name) || strlen(l->alias) >= sizeof(l->alias) ? -1 : 0;
}

static int see_ip(const struct rtnl_ip *ip, void *data)
{
    (void)data;
    return ip->family == 0 ? -1 : 0;
}

static int see_route(const struct rtnl_route *r, void *data)
{
    (void)data, (void)r;
    return 0;
}

static int see_elem(const struct nft_found *e, void *data)
{
    (void)data;
    return e->key_size > sizeof(e->key) || e->data_size > sizeof(e->data) ? -1 : 0;
}

static int see_base(const struct nft_base *c, void *data)
{
    (void)data;
    return strlen(c->table) >= sizeof(c->table) ? -1 : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct nft_source from = {NFPROTO_INET, "t", "s"};
    struct rtnl_link l;
    char userdata[16];
    uint32_t generation = 0;
    size_t room = sizeof(userdata);
    for (int what = 0; what < 10; what++) {
        input = data;
        left = size;
        switch (what) {
        case 0:
            rtnl_links(0, 0, see_link, NULL);
            break;
        case 1:
            rtnl_link_get(0, "x", &l);
            break;
        case 2:
            rtnl_addresses(0, 0, see_ip, NULL);
            break;
        case 3:
            rtnl_routes(0, AF_INET, 0, see_route, NULL);
            break;
        case 4:
            rtnl_link_del(0, 1);
            break;
        case 5:
            nft_elems(0, &from, see_elem, NULL);
            break;
        case 6:
            nft_bases(0, see_base, NULL);
            break;
        case 7:
            nft_table_get(0, NFPROTO_INET, "t", userdata, &room);
            break;
        case 8:
            nft_genid(0, &generation);
            break;
        default:
            nft_mentions(0, NFPROTO_INET, "t", "rlbr0");
        }
    }
    return 0;
}
