/* frame - see frame.h. RFC 791, RFC 792, RFC 8200, RFC 4443. */
#include "net/frame.h"

#include <errno.h>
#include <string.h>

enum {
    ETHER_IP4 = 0x0800,
    ETHER_ARP = 0x0806,
    ETHER_IP6 = 0x86dd,
    IP4_SIZE = 20,
    IP6_SIZE = 40,
    UDP_SIZE = 8,
    ICMP_SIZE = 8,
    ARP_SIZE = 28,
    TCP_SIZE = 20,
    QUOTE4_MAX = 548, /* of the refused packet, in an IPv4 answer of 576 bytes */
    QUOTE6_MAX = 1200,
};

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static void put16(uint8_t *p, size_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static struct net_addr address(const uint8_t *p, uint8_t family)
{
    struct net_addr a = {.family = family};
    memcpy(a.b, p, family == 4 ? 4 : 16);
    return a;
}

/* The header above IP, which must be there as a whole. */
static int parse_upper(struct frame *f, const uint8_t *p, size_t size)
{
    size_t want = f->proto == FRAME_TCP ? TCP_SIZE : ICMP_SIZE;
    if (size < want)
        return -EBADMSG;
    switch (f->proto) {
    case FRAME_TCP:
        if (p[12] >> 4 < 5 || (size_t)(p[12] >> 4) * 4 > size)
            return -EBADMSG;
        f->flags = p[13];
        f->sport = get16(p);
        f->dport = get16(p + 2);
        return 0;
    case FRAME_UDP:
        if (get16(p + 4) < UDP_SIZE || get16(p + 4) > size)
            return -EBADMSG;
        f->sport = get16(p);
        f->dport = get16(p + 2);
        f->payload = p + UDP_SIZE;
        f->payload_size = (size_t)get16(p + 4) - UDP_SIZE;
        return 0;
    default:
        f->icmp_type = p[0];
        return 0;
    }
}

static int parse_ip4(struct frame *f, const uint8_t *p, size_t size)
{
    if (size < IP4_SIZE || p[0] != 0x45)
        return -EBADMSG; /* options are for sniffers and attackers only */
    size_t total = get16(p + 2);
    if (total < IP4_SIZE || total > size)
        return -EBADMSG;
    f->ip_size = total;
    f->proto = p[9];
    f->src = address(p + 12, 4);
    f->dst = address(p + 16, 4);
    if (f->proto != FRAME_TCP && f->proto != FRAME_UDP && f->proto != FRAME_ICMP)
        return -EBADMSG;
    f->fragment = get16(p + 6) & 0x3fff;
    if (f->fragment)
        return 0;
    return parse_upper(f, p + IP4_SIZE, total - IP4_SIZE);
}

static int parse_ip6(struct frame *f, const uint8_t *p, size_t size)
{
    if (size < IP6_SIZE || p[0] >> 4 != 6)
        return -EBADMSG;
    size_t total = IP6_SIZE + (size_t)get16(p + 4);
    if (total > size)
        return -EBADMSG;
    f->ip_size = total;
    f->proto = p[6];
    f->src = address(p + 8, 6);
    f->dst = address(p + 24, 6);
    if (f->proto != FRAME_TCP && f->proto != FRAME_UDP && f->proto != FRAME_ICMP6)
        return -EBADMSG;
    return parse_upper(f, p + IP6_SIZE, total - IP6_SIZE);
}

int frame_parse(const uint8_t *data, size_t size, struct frame *ret)
{
    struct frame f = {.ether = data};
    int r = -EBADMSG;

    if (size < FRAME_ETHER || size > FRAME_MAX)
        return -EBADMSG;
    const uint8_t *p = f.ip = data + FRAME_ETHER;
    size -= FRAME_ETHER;
    switch (get16(data + 12)) {
    case ETHER_ARP:
        f.arp = true;
        r = size >= ARP_SIZE ? 0 : -EBADMSG;
        break;
    case ETHER_IP4:
        r = parse_ip4(&f, p, size);
        break;
    case ETHER_IP6:
        r = parse_ip6(&f, p, size);
        break;
    default:
        break;
    }
    if (r == 0)
        *ret = f;
    return r;
}

static uint32_t sum(const uint8_t *p, size_t size, uint32_t start)
{
    for (; size > 1; p += 2, size -= 2)
        start += get16(p);
    return size ? start + ((uint32_t)*p << 8) : start;
}

static uint16_t folded(uint32_t s)
{
    while (s >> 16)
        s = (s & 0xffff) + (s >> 16);
    return (uint16_t)~s;
}

static uint16_t checksum(const uint8_t *p, size_t size, uint32_t start)
{
    return folded(sum(p, size, start));
}

/* The headers around size bytes at the returned place of buf, to f's sender. */
static uint8_t *envelope(const struct frame *f, const struct net_addr *from, uint8_t proto,
                         size_t size, uint8_t *buf)
{
    uint8_t *ip = buf + FRAME_ETHER;

    memcpy(buf, f->ether + 6, 6);
    memcpy(buf + 6, f->ether, 6);
    memcpy(buf + 12, f->ether + 12, 2);
    if (from->family == 4) {
        memset(ip, 0, IP4_SIZE);
        ip[0] = 0x45;
        put16(ip + 2, IP4_SIZE + size);
        ip[8] = 64;
        ip[9] = proto;
        memcpy(ip + 12, from->b, 4);
        memcpy(ip + 16, f->src.b, 4);
        put16(ip + 10, checksum(ip, IP4_SIZE, 0));
        return ip + IP4_SIZE;
    }
    memset(ip, 0, IP6_SIZE);
    ip[0] = 0x60;
    put16(ip + 4, size);
    ip[6] = proto;
    ip[7] = 64;
    memcpy(ip + 8, from->b, 16);
    memcpy(ip + 24, f->src.b, 16);
    return ip + IP6_SIZE;
}

/* What the checksums of UDP and of ICMPv6 cover besides. */
static uint32_t pseudo(const struct frame *f, const struct net_addr *from, uint8_t proto,
                       size_t size)
{
    size_t n = net_addr_size(from);
    return sum(from->b, n, sum(f->src.b, n, proto + (uint32_t)size));
}

size_t frame_prohibit(const struct frame *f, const struct net_addr *source,
                      uint8_t buf[static FRAME_ANSWER_MAX])
{
    if (f->arp || source->family != f->dst.family || net_addr_is_multicast(&f->src) ||
        net_addr_is_any(&f->src) || net_addr_is_multicast(&f->dst))
        return 0;
    bool six = f->dst.family == 6;
    if ((f->proto == FRAME_ICMP && !f->fragment && f->icmp_type != 8) ||
        (f->proto == FRAME_ICMP6 && f->icmp_type < 128))
        return 0;
    size_t max = six ? QUOTE6_MAX : QUOTE4_MAX;
    size_t quote = f->ip_size < max ? f->ip_size : max, size = ICMP_SIZE + quote;
    uint8_t proto = six ? FRAME_ICMP6 : FRAME_ICMP;
    uint8_t *icmp = envelope(f, source, proto, size, buf);
    memset(icmp, 0, ICMP_SIZE);
    icmp[0] = six ? 1 : 3;  /* destination unreachable */
    icmp[1] = six ? 1 : 13; /* by the administrator's will */
    memcpy(icmp + ICMP_SIZE, f->ip, quote);
    put16(icmp + 2, checksum(icmp, size, six ? pseudo(f, source, proto, size) : 0));
    return (size_t)(icmp - buf) + size;
}

size_t frame_answer(const struct frame *f, const uint8_t *data, size_t size,
                    uint8_t buf[static FRAME_ANSWER_MAX])
{
    if (f->proto != FRAME_UDP || f->fragment || size > QUOTE6_MAX)
        return 0;
    size_t total = UDP_SIZE + size;
    uint8_t *udp = envelope(f, &f->dst, FRAME_UDP, total, buf);
    put16(udp, f->dport);
    put16(udp + 2, f->sport);
    put16(udp + 4, total);
    put16(udp + 6, 0);
    memcpy(udp + UDP_SIZE, data, size);
    uint16_t check = checksum(udp, total, pseudo(f, &f->dst, FRAME_UDP, total));
    put16(udp + 6, check ? check : 0xffff);
    return (size_t)(udp - buf) + total;
}
