/* udp - packets of published ports. Each client of a port has a flow: a socket in the container's
 * namespace that is connected to the server and has the client's address. It ends by silence. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>

#include "base/scoped.h"
#include "helpers/ports/ports.h"

enum {
    BATCH = 32,
    PACKET = 65536,
    TURNS = 4, /* batches before others have their turn */
    BUCKETS = 1024,
    RECEIVE_BUFFER = 1 << 20, /* the kernel cuts it to net.core.rmem_max */
};

/* The address of a client, for which the container's namespace has a route. */
struct host {
    struct host *next;
    union peer address; /* without port */
    unsigned refs;
};

struct flow {
    struct watch watch;
    struct list list;   /* of the port */
    struct list silent; /* of all, the longest silent first */
    struct flow *next;  /* of the bucket */
    struct port *port;
    struct host *host;
    union peer client; /* as the port's socket names it */
    union peer local;  /* which address of the host was asked; AF_UNSPEC: it has only one */
    uint64_t last;
    uint32_t in, out;
};

struct batch {
    struct mmsghdr messages[BATCH];
    struct iovec io[BATCH];
    union peer from[BATCH], local[BATCH];
    union {
        char buf[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(struct in_pktinfo))];
        struct cmsghdr align;
    } control[BATCH];
};

static unsigned char data[BATCH][PACKET]; /* no page of it is there before it is used */
static struct batch batch;
static struct flow *buckets[BUCKETS];
static struct host *hosts[BUCKETS];
static struct list one_shot = {&one_shot, &one_shot}, streams = {&streams, &streams};
static unsigned max_flows;
static uint32_t seed;
struct udp_idle udp_idle = {.stream = 90, .one_shot = 30};

void udp_limits(unsigned files)
{
    max_flows = files / 8 < 4096 ? files / 8 : 4096;
    /* So that nobody can choose addresses of one bucket. */
    if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) < 0)
        seed = (uint32_t)(uintptr_t)&batch;
}

static uint32_t hash(const void *bytes, size_t n, uint32_t h)
{
    const unsigned char *p = bytes;
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x01000193U;
    return h ^ h >> 15;
}

static bool same_address(const union peer *a, const union peer *b)
{
    if (a->any.sa_family != b->any.sa_family)
        return false;
    if (a->any.sa_family == AF_INET6)
        return memcmp(&a->six.sin6_addr, &b->six.sin6_addr, 16) == 0 &&
               a->six.sin6_scope_id == b->six.sin6_scope_id;
    return a->any.sa_family != AF_INET || a->four.sin_addr.s_addr == b->four.sin_addr.s_addr;
}

static uint16_t port_of(const union peer *p)
{
    return p->any.sa_family == AF_INET6 ? p->six.sin6_port : p->four.sin_port;
}

static uint32_t bucket(const union peer *p, bool with_port)
{
    uint16_t port = with_port ? port_of(p) : 0;
    uint32_t h = hash(&port, sizeof(port), seed);
    h = p->any.sa_family == AF_INET6 ? hash(&p->six.sin6_addr, 16, h)
                                     : hash(&p->four.sin_addr, 4, h);
    return h % BUCKETS;
}

static struct host *host_get(const union peer *address)
{
    struct host **at = &hosts[bucket(address, false)];
    for (struct host *h = *at; h; h = h->next) {
        if (same_address(&h->address, address)) {
            h->refs++;
            return h;
        }
    }
    struct host *h = calloc(1, sizeof(*h));
    if (!h)
        return NULL;
    *h = (struct host){.next = *at, .address = *address, .refs = 1};
    *at = h;
    space_route(&h->address, true);
    return h;
}

static void host_put(struct host *h)
{
    struct host **at = h ? &hosts[bucket(&h->address, false)] : NULL;
    if (!h || --h->refs)
        return;
    while (*at != h)
        at = &(*at)->next;
    *at = h->next;
    space_route(&h->address, false);
    free(h);
}

static void end(struct flow *f)
{
    struct flow **at = &buckets[bucket(&f->client, true)];
    while (*at != f)
        at = &(*at)->next;
    *at = f->next;
    list_drop(&f->list);
    list_drop(&f->silent);
    loop_forget(&f->watch);
    host_put(f->host);
    stats.flows--;
    loop_release(f);
}

static void alive(struct flow *f)
{
    f->last = loop_now();
    list_push(f->in > 1 && f->out > 0 ? &streams : &one_shot, &f->silent);
}

/* An IPv4 address of a socket of both families. */
static union peer plain(const union peer *p)
{
    union peer four = {.four = {.sin_family = AF_INET, .sin_port = p->six.sin6_port}};
    if (p->any.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&p->six.sin6_addr))
        return *p;
    four.four.sin_addr.s_addr = p->six.sin6_addr.s6_addr32[3];
    return four;
}

/* From the container to the client: all that is there. */
static void answer_ready(struct watch *w, uint32_t events);

static int open_socket(struct flow *f, bool any_port)
{
    union peer client = plain(&f->client), shown;
    int size = RECEIVE_BUFFER;
    int fd = space_connect(SOCK_DGRAM, &client, f->port->spec.ctr, any_port, &shown);
    if (fd < 0)
        return fd;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    f->watch = (struct watch){fd, answer_ready};
    if (shown.any.sa_family != AF_UNSPEC && !(f->host = host_get(&shown)))
        return -ENOMEM;
    return loop_watch(&f->watch, EPOLLIN);
}

static struct flow *begin(struct port *p, const union peer *client, const union peer *local)
{
    bool taken = false; /* by a flow of another port to the same server: same addresses there */
    struct flow **at = &buckets[bucket(client, true)];
    for (struct flow *f = *at; f; f = f->next) {
        bool same = same_address(&f->client, client) && port_of(&f->client) == port_of(client);
        if (same && f->port == p && same_address(&f->local, local))
            return f;
        taken = taken || (same && f->port->spec.ctr == p->spec.ctr);
    }
    if (stats.flows >= max_flows) {
        struct list *from = list_empty(&one_shot) ? &streams : &one_shot;
        end(container_of(from->next, struct flow, silent));
        at = &buckets[bucket(client, true)];
    }
    struct flow *f = calloc(1, sizeof(*f));
    if (!f)
        return NULL;
    *f = (struct flow){.watch = {.fd = -1}, .port = p, .client = *client, .local = *local};
    f->next = *at;
    *at = f;
    list_push(&p->users, &f->list);
    stats.flows++;
    alive(f);
    if (open_socket(f, taken) == 0)
        return f;
    end(f);
    return NULL;
}

/* Where the n messages of the batch receive to. */
static void prepare(bool with_names)
{
    for (size_t i = 0; i < BATCH; i++) {
        batch.io[i] = (struct iovec){data[i], PACKET};
        batch.messages[i].msg_hdr = (struct msghdr){.msg_iov = &batch.io[i], .msg_iovlen = 1};
        if (!with_names)
            continue;
        batch.messages[i].msg_hdr.msg_name = &batch.from[i];
        batch.messages[i].msg_hdr.msg_namelen = sizeof(batch.from[i]);
        batch.messages[i].msg_hdr.msg_control = &batch.control[i];
        batch.messages[i].msg_hdr.msg_controllen = sizeof(batch.control[i]);
    }
}

/* Which of the host's addresses a packet came to. */
static union peer asked(struct msghdr *m, const struct port *p)
{
    union peer a = {.any = {.sa_family = AF_UNSPEC}};
    if (!p->any)
        return a;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level == SOL_IP && c->cmsg_type == IP_PKTINFO && !p->six) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof(info));
            a.four = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = info.ipi_spec_dst};
        } else if (c->cmsg_level == SOL_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof(info));
            a.six = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_addr = info.ipi6_addr};
            if (IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr))
                a.six.sin6_scope_id = info.ipi6_ifindex;
        }
    }
    return a;
}

/* Sends messages first to last of the batch. What cannot be sent is lost, as it would be on a
 * wire; an error of an earlier packet (nobody listened) is told once and is none of this one. */
static void send_all(int fd, size_t first, size_t last, uint64_t *ret_sent)
{
    bool told = false;
    while (first < last) {
        int n = sendmmsg(fd, &batch.messages[first], (unsigned)(last - first),
                         MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == ECONNREFUSED && !told) {
            told = true;
            continue;
        }
        if (n <= 0)
            stats.packets_lost++;
        else
            *ret_sent += (uint64_t)n;
        first += n > 0 ? (size_t)n : 1;
    }
}

/* To the flow's socket, which is connected. */
static void forward(struct flow *f, size_t first, size_t last)
{
    for (size_t i = first; i < last; i++) {
        batch.io[i].iov_len = batch.messages[i].msg_len;
        batch.messages[i].msg_hdr = (struct msghdr){.msg_iov = &batch.io[i], .msg_iovlen = 1};
    }
    f->in += (uint32_t)(last - first);
    alive(f);
    send_all(f->watch.fd, first, last, &stats.packets_in);
}

void udp_ready(struct watch *w, uint32_t events)
{
    struct port *p = container_of(w, struct port, watch);
    (void)events;
    for (int turn = 0, n = BATCH; turn < TURNS && n == BATCH; turn++) {
        prepare(true);
        n = recvmmsg(w->fd, batch.messages, BATCH, MSG_DONTWAIT, NULL);
        for (int i = 0; i < n; i++)
            batch.local[i] = asked(&batch.messages[i].msg_hdr, p);
        for (int i = 0, k; i < n; i = k) {
            struct flow *f = begin(p, &batch.from[i], &batch.local[i]);
            for (k = i + 1; k < n && same_address(&batch.from[i], &batch.from[k]) &&
                            port_of(&batch.from[i]) == port_of(&batch.from[k]) &&
                            same_address(&batch.local[i], &batch.local[k]);)
                k++;
            if (f)
                forward(f, (size_t)i, (size_t)k);
            else
                stats.packets_lost += (uint64_t)(k - i);
        }
    }
}

/* The answer leaves from the address that was asked. ip(7), ipv6(7) */
static size_t source(void *control, const union peer *local)
{
    struct cmsghdr *c = control;
    if (local->any.sa_family == AF_INET) {
        struct in_pktinfo info = {.ipi_spec_dst = local->four.sin_addr};
        *c = (struct cmsghdr){CMSG_LEN(sizeof(info)), SOL_IP, IP_PKTINFO};
        memcpy(CMSG_DATA(c), &info, sizeof(info));
        return CMSG_SPACE(sizeof(info));
    }
    struct in6_pktinfo info = {.ipi6_addr = local->six.sin6_addr,
                               .ipi6_ifindex = local->six.sin6_scope_id};
    *c = (struct cmsghdr){CMSG_LEN(sizeof(info)), SOL_IPV6, IPV6_PKTINFO};
    memcpy(CMSG_DATA(c), &info, sizeof(info));
    return CMSG_SPACE(sizeof(info));
}

static void answer_ready(struct watch *w, uint32_t events)
{
    struct flow *f = container_of(w, struct flow, watch);
    if (events & EPOLLERR) {
        int error;
        socklen_t size = sizeof(error);
        getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &error, &size); /* nobody listens: taken off */
    }
    for (int turn = 0, n = BATCH; turn < TURNS && n == BATCH; turn++) {
        prepare(false);
        n = recvmmsg(w->fd, batch.messages, BATCH, MSG_DONTWAIT, NULL);
        if (n <= 0)
            return;
        for (int i = 0; i < n; i++) {
            struct msghdr *m = &batch.messages[i].msg_hdr;
            batch.io[i].iov_len = batch.messages[i].msg_len;
            m->msg_name = &f->client;
            m->msg_namelen = f->client.any.sa_family == AF_INET6 ? sizeof(f->client.six)
                                                                 : sizeof(f->client.four);
            if (f->local.any.sa_family != AF_UNSPEC) {
                m->msg_control = &batch.control[i];
                m->msg_controllen = source(&batch.control[i], &f->local);
            }
            m->msg_flags = 0;
        }
        f->out += (uint32_t)n;
        alive(f);
        send_all(f->port->watch.fd, 0, (size_t)n, &stats.packets_out);
    }
}

int udp_start(struct port *p)
{
    int on = 1, size = RECEIVE_BUFFER;
    setsockopt(p->watch.fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    if (p->any && p->six)
        setsockopt(p->watch.fd, SOL_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
    else if (p->any)
        setsockopt(p->watch.fd, SOL_IP, IP_PKTINFO, &on, sizeof(on));
    space_rule(p->spec.ctr, true);
    return loop_watch(&p->watch, EPOLLIN);
}

/* The rule stays as long as another port leads to the same server. */
void udp_end(struct port *p)
{
    bool used = false;
    while (!list_empty(&p->users))
        end(container_of(p->users.next, struct flow, list));
    for (struct list *l = all_ports.next; l != &all_ports; l = l->next) {
        struct port *other = container_of(l, struct port, list);
        used = used ||
               (other != p && other->spec.proto == p->spec.proto && other->spec.ctr == p->spec.ctr);
    }
    if (!used)
        space_rule(p->spec.ctr, false);
}

static void expire(struct list *l, uint64_t idle)
{
    while (!list_empty(l)) {
        struct flow *f = container_of(l->next, struct flow, silent);
        if (loop_now() - f->last < idle)
            return;
        end(f);
    }
}

void udp_tick(void)
{
    expire(&one_shot, udp_idle.one_shot);
    expire(&streams, udp_idle.stream);
}
