/* addr - see addr.h. */
#include "net/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

size_t net_addr_size(const struct net_addr *a)
{
    return a->family == 4 ? 4 : a->family == 6 ? 16 : 0;
}

int net_addr_parse(const char *s, struct net_addr *ret)
{
    struct net_addr a = {.family = strchr(s, ':') ? 6 : 4};
    if (inet_pton(a.family == 6 ? AF_INET6 : AF_INET, s, a.b) != 1)
        return -EINVAL;
    *ret = a;
    return 0;
}

char *net_addr_format(const struct net_addr *a, char buf[static NET_ADDR_TEXT])
{
    buf[0] = '\0';
    if (a->family)
        inet_ntop(a->family == 6 ? AF_INET6 : AF_INET, a->b, buf, NET_ADDR_TEXT);
    return buf;
}

struct net_addr net_addr_v4(uint32_t host_order)
{
    return (struct net_addr){4,
                             {(uint8_t)(host_order >> 24), (uint8_t)(host_order >> 16),
                              (uint8_t)(host_order >> 8), (uint8_t)host_order}};
}

int net_addr_cmp(const struct net_addr *a, const struct net_addr *b)
{
    if (a->family != b->family)
        return a->family < b->family ? -1 : 1;
    return memcmp(a->b, b->b, net_addr_size(a));
}

/* Do the first n bits agree? */
static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned n)
{
    if (memcmp(a, b, n / 8) != 0)
        return false;
    return n % 8 == 0 || (a[n / 8] ^ b[n / 8]) >> (8 - n % 8) == 0;
}

bool net_addr_is_any(const struct net_addr *a)
{
    static const uint8_t zero[16];
    return a->family && memcmp(a->b, zero, net_addr_size(a)) == 0;
}

bool net_addr_is_loopback(const struct net_addr *a)
{
    static const uint8_t one[16] = {[15] = 1}, mapped[16] = {[10] = 0xff, [11] = 0xff, [12] = 127};
    if (a->family == 4)
        return a->b[0] == 127;
    return a->family == 6 && (memcmp(a->b, one, 16) == 0 || memcmp(a->b, mapped, 13) == 0);
}

bool net_addr_is_linklocal(const struct net_addr *a)
{
    static const uint8_t v4[] = {169, 254}, v6[] = {0xfe, 0x80};
    return (a->family == 4 && same_bits(a->b, v4, 16)) ||
           (a->family == 6 && same_bits(a->b, v6, 10));
}

bool net_addr_is_multicast(const struct net_addr *a)
{
    return (a->family == 4 && a->b[0] >> 4 == 0xe) || (a->family == 6 && a->b[0] == 0xff);
}

/* Adds n to the number in b; returns the carry beyond the first byte. */
static unsigned add_up(uint8_t *b, size_t size, uint64_t n)
{
    unsigned carry = 0;
    for (size_t i = size; i-- > 0; n >>= 8) {
        carry += b[i] + (unsigned)(n & 0xff);
        b[i] = (uint8_t)carry;
        carry >>= 8;
    }
    return carry || n;
}

static unsigned take_down(uint8_t *b, size_t size, uint64_t n)
{
    unsigned borrow = 0;
    for (size_t i = size; i-- > 0; n >>= 8) {
        unsigned want = (unsigned)(n & 0xff) + borrow;
        borrow = b[i] < want;
        b[i] = (uint8_t)(b[i] - want);
    }
    return borrow || n;
}

int net_addr_add(const struct net_addr *a, int64_t n, struct net_addr *ret)
{
    struct net_addr r = *a;
    size_t size = net_addr_size(a);
    if (n < 0 ? take_down(r.b, size, 0 - (uint64_t)n) : add_up(r.b, size, (uint64_t)n))
        return -ERANGE;
    *ret = r;
    return 0;
}

int net_cidr_parse(const char *s, struct net_cidr *ret)
{
    char text[NET_ADDR_TEXT];
    const char *slash = strchr(s, '/');
    uint32_t bits = 0;
    struct net_cidr c = {.bits = 0};
    if (!slash || (size_t)(slash - s) >= sizeof(text) || parse_u32(slash + 1, &bits) < 0)
        return -EINVAL;
    memcpy(text, s, (size_t)(slash - s));
    text[slash - s] = '\0';
    if (net_addr_parse(text, &c.addr) < 0 || bits > net_addr_size(&c.addr) * 8)
        return -EINVAL;
    c.bits = (uint8_t)bits;
    *ret = c;
    return 0;
}

char *net_cidr_format(const struct net_cidr *c, char buf[static NET_CIDR_TEXT])
{
    char text[NET_ADDR_TEXT];
    buf[0] = '\0';
    if (c->addr.family)
        snprintf(buf, NET_CIDR_TEXT, "%s/%u", net_addr_format(&c->addr, text), c->bits);
    return buf;
}

/* The bits of the host, all to 0 or all to 1. */
static struct net_addr fill_host(const struct net_cidr *c, bool ones)
{
    struct net_addr a = c->addr;
    for (size_t i = 0; i < net_addr_size(&a); i++) {
        unsigned net = c->bits > i * 8 ? c->bits - (unsigned)i * 8 : 0;
        uint8_t host = net >= 8 ? 0 : (uint8_t)(0xff >> net);
        a.b[i] = ones ? (uint8_t)(a.b[i] | host) : (uint8_t)(a.b[i] & ~host);
    }
    return a;
}

struct net_addr net_cidr_first(const struct net_cidr *c)
{
    return fill_host(c, false);
}

struct net_addr net_cidr_last(const struct net_cidr *c)
{
    return fill_host(c, true);
}

bool net_cidr_is_network(const struct net_cidr *c)
{
    struct net_addr first = net_cidr_first(c);
    return net_addr_cmp(&first, &c->addr) == 0;
}

bool net_cidr_contains(const struct net_cidr *c, const struct net_addr *a)
{
    return c->addr.family && c->addr.family == a->family && same_bits(c->addr.b, a->b, c->bits);
}

bool net_cidr_overlap(const struct net_cidr *a, const struct net_cidr *b)
{
    unsigned bits = a->bits < b->bits ? a->bits : b->bits;
    return a->addr.family && a->addr.family == b->addr.family &&
           same_bits(a->addr.b, b->addr.b, bits);
}

int net_cidr_nth(const struct net_cidr *c, uint64_t n, struct net_addr *ret)
{
    struct net_addr a = net_cidr_first(c);
    if (add_up(a.b, net_addr_size(&a), n) || !net_cidr_contains(c, &a))
        return -ERANGE;
    *ret = a;
    return 0;
}

uint64_t net_cidr_index(const struct net_cidr *c, const struct net_addr *a)
{
    struct net_addr first = net_cidr_first(c);
    uint64_t n = 0;
    if (!net_cidr_contains(c, a))
        return UINT64_MAX;
    for (size_t i = 0; i < net_addr_size(a); i++) {
        if (n >> 56)
            return UINT64_MAX;
        n = n << 8 | (uint8_t)(a->b[i] & ~first.b[i]);
    }
    return n;
}

uint64_t net_cidr_count(const struct net_cidr *c)
{
    size_t host = net_addr_size(&c->addr) * 8 - c->bits;
    return host >= 64 ? UINT64_MAX : UINT64_C(1) << host;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int net_mac_parse(const char *s, uint8_t ret[static 6])
{
    uint8_t mac[6], any = 0;
    if (strlen(s) != NET_MAC_TEXT - 1 || (s[2] != ':' && s[2] != '-'))
        return -EINVAL;
    for (size_t i = 0; i < 6; i++) {
        int high = hex_digit(s[i * 3]), low = hex_digit(s[i * 3 + 1]);
        if (high < 0 || low < 0 || (i < 5 && s[i * 3 + 2] != s[2]))
            return -EINVAL;
        mac[i] = (uint8_t)(high << 4 | low);
        any |= mac[i];
    }
    if (!any || (mac[0] & 1))
        return -EINVAL;
    memcpy(ret, mac, 6);
    return 0;
}

char *net_mac_format(const uint8_t mac[static 6], char buf[static NET_MAC_TEXT])
{
    snprintf(buf, NET_MAC_TEXT, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
             mac[4], mac[5]);
    return buf;
}
