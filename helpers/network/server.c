/* The name server's answers of its own, and its loop. */
#include "helpers/network/dns.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/str.h"
#include "base/timefmt.h"
#include "sys/sock.h"

#define SWEEP_MS 200
#define ANSWERS_MAX 256

uint8_t dns_buf[DNS_MESSAGE_MAX];

/* "web.rootlet" is "web"; true for all that ends so. */
static bool strip_domain(char *name, const char *domain)
{
    size_t n = strlen(name), d = strlen(domain);
    if (n < d || strcmp(name + n - d, domain) != 0 || (n > d && name[n - d - 1] != '.'))
        return false;
    name[n > d ? n - d - 1 : 0] = '\0';
    return true;
}

static void add_family(struct dns_server *s, struct dns_answer *a, const char *name, int family)
{
    struct net_addr found[ANSWERS_MAX];
    int n = dns_names_find(&s->names, name, family, found, ANSWERS_MAX);
    for (int i = 0; i < n; i++)
        dns_answer_address(a, found[i].b, net_addr_size(&found[i]), DNS_TTL_S);
}

/* A member's name: its addresses; of other types it has nothing. */
static bool answer_member(struct dns_server *s, const struct dns_question *q, const char *name,
                          struct dns_answer *a)
{
    if (dns_names_find(&s->names, name, 4, NULL, 0) < 0)
        return false;
    if (q->type == DNS_A || q->type == DNS_ANY)
        add_family(s, a, name, 4);
    if (q->type == DNS_AAAA || q->type == DNS_ANY)
        add_family(s, a, name, 6);
    return true;
}

/* A name with one of the endings that mean this network. *ours: one that is nobody else's, so that
 * it is not asked for elsewhere; the network's own name may be a domain of the world as well. */
static bool answer_domain(struct dns_server *s, const struct dns_question *q, bool *ours,
                          struct dns_answer *a)
{
    const char *const domains[] = {DNS_DOMAIN, DNS_DOMAIN_PODMAN, s->set.name};
    for (size_t i = 0; i < N_ELEMENTS(domains); i++) {
        char name[DNS_NAME_SIZE];
        memcpy(name, q->name, sizeof(name));
        if (!domains[i][0] || !strip_domain(name, domains[i]))
            continue;
        *ours = *ours || domains[i] != s->set.name;
        if (answer_member(s, q, name, a))
            return true;
    }
    return false;
}

/* An address of this network: who has it is for nobody else to say. */
static bool answer_reverse(struct dns_server *s, const struct dns_question *q, struct dns_answer *a)
{
    struct net_addr addr = {.family = 0};
    size_t n = dns_reverse(q->name, addr.b);
    addr.family = n == 4 ? 4 : 6;
    if (n == 0 ||
        !(net_cidr_contains(&s->set.net[0], &addr) || net_cidr_contains(&s->set.net[1], &addr)))
        return false;
    const char *name = dns_names_reverse(&s->names, &addr);
    if (!name)
        dns_answer_code(a, DNS_NXDOMAIN);
    else if (q->type == DNS_PTR || q->type == DNS_ANY)
        dns_answer_name(a, DNS_PTR, name, DNS_TTL_S);
    return true;
}

static ssize_t refuse(const uint8_t *msg, size_t size, enum dns_rcode rcode, uint8_t *buf)
{
    size_t n = dns_refusal(msg, size, rcode, buf);
    return n ? (ssize_t)n : -1;
}

const struct dns_upstream *dns_upstream_of(struct dns_server *s,
                                           const struct sockaddr_storage *client)
{
    const struct dns_upstream *own = dns_names_upstream(&s->names, client);
    if (own)
        return own;
    dns_upstream_look(&s->upstream);
    return &s->upstream;
}

/* The answer about a name of the world; 0: it is asked for. A member that has servers of its own
 * goes on to the next server that it knows when we refuse: to its other network's, or to one that
 * only it reaches. */
static enum dns_rcode foreign(const struct dns_server *s, const struct sockaddr_storage *client)
{
    const struct dns_upstream *own = dns_names_upstream(&s->names, client);
    if (own && (own->elsewhere || s->set.internal))
        return DNS_REFUSED;
    return s->set.internal ? DNS_NXDOMAIN : DNS_OK;
}

ssize_t dns_answer_query(struct dns_server *s, struct dns_query *in, uint8_t *buf)
{
    struct dns_question q;
    struct dns_answer a;
    const uint8_t *msg = in->msg;
    size_t size = in->size;
    in->unknown = DNS_OK;
    if (size < DNS_HEADER || (dns_flags(msg) & DNS_FLAG_QR))
        return -1;
    if (dns_flags(msg) & DNS_OPCODE)
        return refuse(msg, size, DNS_NOTIMP, buf);
    if (dns_question(msg, size, &q) < 0)
        return refuse(msg, size, DNS_FORMERR, buf);
    dns_answer_begin(&a, msg, &q, buf, in->max ? in->max : q.udp_size);
    bool ours = false;
    if ((q.class == 1 || q.class == DNS_ANY) &&
        (answer_member(s, &q, q.name, &a) || answer_domain(s, &q, &ours, &a) ||
         answer_reverse(s, &q, &a)))
        return (ssize_t)dns_answer_end(&a);
    if (ours)
        in->unknown = DNS_NXDOMAIN;
    else
        in->unknown = dns_flags(msg) & DNS_FLAG_RD ? foreign(s, in->client) : DNS_REFUSED;
    if (in->unknown) {
        dns_answer_code(&a, in->unknown);
        return (ssize_t)dns_answer_end(&a);
    }
    return dns_upstream_of(s, in->client)->n ? 0 : refuse(msg, size, DNS_SERVFAIL, buf);
}

bool dns_is_client(const struct net_addr addr[2], const struct sockaddr_storage *client)
{
    if (client->ss_family == AF_INET)
        return addr[0].family &&
               memcmp(addr[0].b, &((const struct sockaddr_in *)client)->sin_addr, 4) == 0;
    return addr[1].family &&
           memcmp(addr[1].b, &((const struct sockaddr_in6 *)client)->sin6_addr, 16) == 0;
}

bool dns_same_client(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
    if (a->ss_family != b->ss_family)
        return false;
    if (a->ss_family == AF_INET)
        return ((const struct sockaddr_in *)a)->sin_addr.s_addr ==
               ((const struct sockaddr_in *)b)->sin_addr.s_addr;
    return memcmp(&((const struct sockaddr_in6 *)a)->sin6_addr,
                  &((const struct sockaddr_in6 *)b)->sin6_addr, 16) == 0;
}

static void on_control(void *data, uint32_t events)
{
    struct dns_server *s = data;
    struct dns_member m;
    int fds[SOCK_MAX_FDS];
    (void)events;
    ssize_t n = sock_recv(s->set.control, &m, sizeof(m), fds);
    if (n == (ssize_t)sizeof(m)) {
        m.id[sizeof(m.id) - 1] = m.peer[sizeof(m.peer) - 1] = '\0';
        if (!m.id[0])
            dns_upstream_fix(&s->upstream, m.servers, N_ELEMENTS(m.servers));
        else if (m.peer[0])
            dns_peer_apply(s, &m, fds[0]);
        else
            dns_names_apply(&s->names, &m);
        if (m.gone)
            dns_peers_forget(s, m.id);
    } else if (n != -EAGAIN && n != -EINTR) {
        loop_quit(s->loop); /* the manager has gone */
    }
}

static void on_sweep(void *data, uint32_t events)
{
    struct dns_server *s = data;
    (void)events;
    int64_t now = time_monotonic_ns();
    bool busy = dns_udp_sweep(s, now);
    busy = dns_tcp_sweep(s, now) || busy;
    s->sweeping = false;
    if (busy)
        dns_sweep_later(s);
}

void dns_sweep_later(struct dns_server *s)
{
    if (!s->sweeping)
        s->sweeping = loop_timer(s->loop, SWEEP_MS, on_sweep, s, &s->error) >= 0;
}

int dns_serve(struct dns_setup *set)
{
    struct dns_server s = {.set = *set};
    dns_upstream_fix(&s.upstream, set->servers, DNS_SERVERS_MAX);
    s.loop = loop_new(&s.error);
    if (!s.loop || loop_fd(s.loop, set->control, EPOLLIN, on_control, &s, &s.error) < 0 ||
        dns_udp_open(&s) < 0 || dns_tcp_open(&s) < 0)
        return 1;
    return loop_run(s.loop, &s.error) < 0;
}
