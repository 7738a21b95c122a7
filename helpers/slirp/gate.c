/* gate - between the container's device and libslirp: what is well-formed, and what is allowed.
 *
 * libslirp closes the host's loopback only under the gateway's address: a frame to 127.0.0.1, which
 * root in the container can send, it would connect there. It also reads much that nobody needs. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "helpers/slirp/slirp.h"

#include "base/scoped.h"
#include "net/dns.h"

enum {
    PORT_DNS = 53,
    PORT_DHCP = 67,
    PORT_TFTP = 69,
    PORT_DHCP6 = 547,
    ICMP_ECHO = 8,
    ICMP6_ECHO = 128,
    ND_FIRST = 133, /* router solicitation */
    ND_LAST = 136,  /* neighbour advertisement */
    SAME_REFUSAL_MS = 5000,
};

static bool listed(const uint16_t *ports, uint16_t port)
{
    for (size_t i = 0; i < WIRE_SLIRP_PORTS && ports[i]; i++) {
        if (ports[i] == port)
            return true;
    }
    return false;
}

/* Addresses that mean this host or a group, whoever routes there. */
static bool never(const struct net_addr *a)
{
    static const uint8_t zeros[12];
    if (a->family == 4)
        return a->b[0] == 0 || a->b[0] == 127 || a->b[0] >= 224;
    return a->b[0] == 0xff || (a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80) ||
           memcmp(a->b, zeros, 8) == 0; /* ::, ::1, ::ffff:a.b.c.d, ::a.b.c.d */
}

static bool same(const struct net_addr *a, const struct net_addr *b)
{
    return a->family && net_addr_cmp(a, b) == 0;
}

/* Router and neighbour discovery; the only thing of IPv6 that goes to groups and local addresses.
 */
static bool is_discovery(const struct frame *f)
{
    return f->proto == FRAME_ICMP6 && f->icmp_type >= ND_FIRST && f->icmp_type <= ND_LAST &&
           !f->fragment;
}

static bool is_echo(const struct frame *f)
{
    return (f->proto == FRAME_ICMP && f->icmp_type == ICMP_ECHO) ||
           (f->proto == FRAME_ICMP6 && f->icmp_type == ICMP6_ECHO);
}

enum place { ELSEWHERE, GATEWAY, RESOLVER, NOWHERE };

static enum place place_of(const struct options *o, const struct net_addr *a)
{
    if (never(a))
        return NOWHERE;
    if (same(&o->gateway4, a) || same(&o->gateway6, a))
        return GATEWAY;
    if (same(&o->dns4, a) || same(&o->dns6, a))
        return RESOLVER;
    if (net_cidr_contains(a->family == 4 ? &o->net4 : &o->net6, a))
        return NOWHERE; /* nobody is there: libslirp would look for it outside */
    return ELSEWHERE;
}

/* The gateway itself answers echo requests; its ports are the host's loopback. */
static bool gateway_open(const struct options *o, const struct frame *f)
{
    if (is_echo(f))
        return true;
    if (!(o->flags & WIRE_SLIRP_HOST_LOOPBACK))
        return false;
    if (f->proto == FRAME_UDP && (f->dport == PORT_DHCP || f->dport == PORT_TFTP))
        return false;
    return !o->loopback_ports[0] || listed(o->loopback_ports, f->dport);
}

static const char *proto_name(uint8_t proto)
{
    return proto == FRAME_TCP ? "tcp" : proto == FRAME_UDP ? "udp" : "icmp";
}

/* One event for a conversation that goes on trying. */
static bool told_already(struct gate *g, const struct frame *f)
{
    int64_t now = now_ms();
    bool again = g->last_port == f->dport && net_addr_cmp(&g->last, &f->dst) == 0 &&
                 now - g->last_ms < SAME_REFUSAL_MS;
    if (!again) {
        g->last = f->dst;
        g->last_port = f->dport;
        g->last_ms = now;
    }
    return again;
}

static void tell_address(struct gate *g, const struct frame *f)
{
    char addr[NET_ADDR_TEXT], to[80], proto[20], port[16], name[300];
    const char *attributes[5] = {proto, to}, *known = egress_name_of(g->policy, &f->dst);
    size_t n = 2;

    if (told_already(g, f))
        return;
    snprintf(proto, sizeof(proto), "protocol=%s", proto_name(f->proto));
    snprintf(to, sizeof(to), "address=%s", net_addr_format(&f->dst, addr));
    if (f->dport > 0) {
        snprintf(port, sizeof(port), "port=%u", f->dport);
        attributes[n++] = port;
    }
    if (known) {
        snprintf(name, sizeof(name), "name=%s", known);
        attributes[n++] = name;
    }
    control_event(g->ctl, "egress-denied", attributes);
}

static void tell_name(struct gate *g, const char *question)
{
    char name[DNS_NAME_SIZE + 8];
    snprintf(name, sizeof(name), "name=%s", question);
    control_event(g->ctl, "egress-denied", (const char *const[]){"protocol=dns", name, NULL});
}

static enum verdict prohibit(struct gate *g, const struct frame *f, uint8_t *answer,
                             size_t *ret_size)
{
    const struct net_addr *from = f->dst.family == 4 ? &g->o->gateway4 : &g->o->gateway6;
    *ret_size = frame_prohibit(f, from, answer);
    return *ret_size > 0 ? GATE_ANSWER : GATE_DROP;
}

/* An address may be asked for its name when it may be talked to on some port. */
static bool question_allowed(struct gate *g, const struct dns_question *q)
{
    struct net_addr a = {0};
    size_t n = dns_reverse(q->name, a.b);
    if (n == 0)
        return egress_allows_name(g->policy, q->name);
    a.family = n == 4 ? 4 : 6;
    return egress_name_of(g->policy, &a) ||
           egress_allows(g->policy, &a, FRAME_ICMP, 0, (uint64_t)now_ms() / 1000);
}

static enum verdict question(struct gate *g, const struct frame *f, uint8_t *answer,
                             size_t *ret_size)
{
    struct dns_question q;
    uint8_t refusal[DNS_UDP_SIZE];

    bool readable = dns_question(f->payload, f->payload_size, &q) == 0;
    if (readable && (q.flags & (DNS_FLAG_QR | DNS_OPCODE)) == 0 && question_allowed(g, &q))
        return GATE_PASS;
    size_t n = dns_refusal(f->payload, f->payload_size, DNS_REFUSED, refusal);
    if (n == 0)
        return GATE_DROP;
    tell_name(g, readable ? q.name : "?");
    *ret_size = frame_answer(f, refusal, n, answer);
    return *ret_size > 0 ? GATE_ANSWER : GATE_DROP;
}

/* Under a policy. Of a TCP connection the beginning is judged: without it libslirp has none. */
static enum verdict judge(struct gate *g, const struct frame *f, enum place where, uint8_t *answer,
                          size_t *ret_size)
{
    if (where == RESOLVER && f->proto == FRAME_UDP)
        return question(g, f, answer, ret_size);
    if (is_echo(f) && where != ELSEWHERE)
        return GATE_PASS;
    if (where != RESOLVER) {
        if (f->proto == FRAME_TCP && !(f->flags & FRAME_SYN))
            return GATE_PASS;
        if (egress_allows(g->policy, &f->dst, f->proto, f->dport, (uint64_t)now_ms() / 1000))
            return GATE_PASS;
    }
    tell_address(g, f);
    return prohibit(g, f, answer, ret_size);
}

/* What would open a socket more than there may be is refused: the others go on. */
static bool has_room(struct gate *g, const struct frame *f, enum place where)
{
    if (f->proto == FRAME_UDP)
        return flow_datagram(&g->flows, &f->src, f->sport, where == RESOLVER);
    bool opens = f->proto != FRAME_TCP || (f->flags & FRAME_SYN);
    return !opens || g->flows.n_other < OTHERS_MAX;
}

static void tell_full(struct gate *g, const struct frame *f)
{
    char proto[20], limit[24];
    int64_t now = now_ms();

    if (g->full_ms && now - g->full_ms < SAME_REFUSAL_MS)
        return;
    g->full_ms = now;
    snprintf(proto, sizeof(proto), "protocol=%s", proto_name(f->proto));
    snprintf(limit, sizeof(limit), "sockets=%d", f->proto == FRAME_UDP ? FLOWS_MAX : OTHERS_MAX);
    control_event(g->ctl, "network_limit", (const char *const[]){proto, limit, NULL});
}

/* Echo requests leave by sockets that the host grants to groups. libslirp would send a datagram to
 * port 7 instead, which nobody answers: so the container hears at once that it is not allowed. */
static bool may_echo(struct gate *g, const struct frame *f, enum place where)
{
    if (g->echoes || f->proto != FRAME_ICMP || !is_echo(f) || where != ELSEWHERE)
        return true;
    scoped_fd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_ICMP);
    g->echoes = fd >= 0 || errno != EACCES;
    if (!g->echoes && !g->echoes_not) {
        g->echoes_not = true;
        control_event(g->ctl, "network_notice",
                      (const char *const[]){"reason=ping: the host's net.ipv4.ping_group_range has "
                                            "none of your groups, see rootlet doctor",
                                            NULL});
    }
    return g->echoes;
}

enum verdict gate_out(struct gate *g, const uint8_t *frame, size_t size,
                      uint8_t answer[static FRAME_ANSWER_MAX], size_t *ret_size)
{
    const struct options *o = g->o;
    struct frame f;

    if (frame_parse(frame, size, &f) < 0)
        return GATE_DROP;
    if (f.arp)
        return GATE_PASS;
    if (f.dst.family == 6 && !(o->flags & WIRE_SLIRP_IPV6))
        return GATE_DROP;
    if (is_discovery(&f))
        return GATE_PASS;
    if ((f.proto == FRAME_ICMP || f.proto == FRAME_ICMP6) && !f.fragment && !is_echo(&f))
        return GATE_DROP; /* libslirp has no use for errors */
    enum place where = place_of(o, &f.dst);
    if (where == NOWHERE)
        return GATE_DROP;
    if (f.fragment) /* libslirp puts pieces together by pointers that the pieces overwrite (4.7) */
        return prohibit(g, &f, answer, ret_size);
    if (where == RESOLVER && !is_echo(&f) && f.dport != PORT_DNS)
        return prohibit(g, &f, answer, ret_size);
    if (where == GATEWAY && !gateway_open(o, &f))
        return prohibit(g, &f, answer, ret_size);
    enum verdict v = g->policy ? judge(g, &f, where, answer, ret_size) : GATE_PASS;
    if (v == GATE_PASS && !may_echo(g, &f, where))
        return prohibit(g, &f, answer, ret_size);
    if (v != GATE_PASS || has_room(g, &f, where))
        return v;
    tell_full(g, &f);
    return prohibit(g, &f, answer, ret_size);
}

struct lesson {
    struct gate *g;
    const char *name;
};

static int learn_one(const struct dns_address *a, void *data)
{
    const struct lesson *l = data;
    struct net_addr addr = {.family = a->size == 4 ? 4 : 6};
    memcpy(addr.b, a->addr, a->size);
    /* A name of others must not open the gateway, that is the host's loopback, nor what is next to
     * the host: the metadata service of a cloud machine gives credentials. */
    if (place_of(l->g->o, &addr) == ELSEWHERE && !net_addr_is_linklocal(&addr))
        egress_learn(l->g->policy, l->name, &addr, a->ttl, (uint64_t)now_ms() / 1000);
    return 0;
}

/* A datagram of port 0 is none (sockets.c). Of libslirp's own frames: no options, no fragments. */
static bool is_nothing(const uint8_t *frame, size_t size)
{
    bool four = size >= 42 && frame[12] == 0x08 && frame[13] == 0 && frame[23] == FRAME_UDP;
    bool six = size >= 62 && frame[12] == 0x86 && frame[13] == 0xdd && frame[20] == FRAME_UDP;
    size_t port = four ? 34 : 54;
    return (four || six) && frame[port] == 0 && frame[port + 1] == 0;
}

static void learn(struct gate *g, const uint8_t *frame, size_t size)
{
    struct frame f;
    struct dns_question q;

    if (frame_parse(frame, size, &f) < 0 || f.arp || f.fragment || f.proto != FRAME_UDP ||
        f.sport != PORT_DNS || !(same(&g->o->dns4, &f.src) || same(&g->o->dns6, &f.src)) ||
        !flow_asks(&g->flows, &f.dst, f.dport))
        return;
    if (dns_question(f.payload, f.payload_size, &q) < 0 || !egress_allows_name(g->policy, q.name))
        return;
    struct lesson l = {g, q.name};
    dns_addresses(f.payload, f.payload_size, learn_one, &l);
}

bool gate_in(struct gate *g, const uint8_t *frame, size_t size)
{
    if (is_nothing(frame, size))
        return false;
    if (g->policy)
        learn(g, frame, size);
    return true;
}
