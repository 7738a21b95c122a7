/* Questions by UDP. One that goes on to a resolver of the host has a socket of its own until the
 * answer is there: a port and an id by chance are what an answer from elsewhere would have to hit.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/scoped.h"
#include "base/str.h"
#include "base/timefmt.h"
#include "helpers/network/dns.h"

#define QUERIES_MAX 256
#define OF_ONE_CLIENT_MAX 64
#define TRY_NS 2000000000LL /* for one resolver, then the next is asked */
#define TRIES_MAX 5

struct query {
    struct dns_udp *udp;
    bool used;
    enum dns_rcode unknown; /* not 0: nobody but a peer is to be asked */
    struct dns_peer *peer;  /* whose answer is waited for; NULL: a resolver's */
    int fd;                 /* connected to the resolver; -1: none yet */
    int from;
    dns_done *done; /* of a question by TCP, for which only peers are asked here; else NULL */
    void *data;
    struct sockaddr_storage client;
    socklen_t client_size;
    uint16_t client_id, id;
    bool recursion; /* the client wants it */
    unsigned tries;
    int64_t due_ns;
    size_t size, question_end;
    uint8_t msg[DNS_QUERY_MAX];
};

struct dns_udp {
    struct dns_server *s;
    struct query v[QUERIES_MAX];
};

static void query_end(struct query *q)
{
    loop_forget(q->udp->s->loop, q->fd);
    fd_close(&q->fd);
    q->peer = NULL;
    q->used = false;
}

static void reply(int fd, const void *buf, size_t size, const struct query *q)
{
    /* A full buffer loses it, as the network may. */
    (void)sendto(fd, buf, size, MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)&q->client,
                 q->client_size);
}

/* What the client gets, which stands in dns_buf; 0: nothing. */
static void finish(struct query *q, size_t size)
{
    dns_done *done = q->done;
    void *data = q->data;
    if (size && !done)
        reply(q->from, dns_buf, size, q);
    query_end(q);
    if (done)
        done(data, size ? dns_buf : NULL, size);
}

static void refuse(struct query *q)
{
    if (q->done) {
        finish(q, 0);
        return;
    }
    dns_set_id(q->msg, q->client_id);
    finish(q, dns_refusal(q->msg, q->size, q->unknown ? q->unknown : DNS_SERVFAIL, dns_buf));
}

static void on_answer(void *data, uint32_t events);

/* What an answer must fit, by chance. */
static bool prepare(struct query *q)
{
    if (getrandom(&q->id, sizeof(q->id), 0) != sizeof(q->id))
        return false;
    dns_set_id(q->msg, q->id);
    q->due_ns = time_monotonic_ns() + TRY_NS;
    return true;
}

/* Sends the query to the next resolver. False: there is none that takes it. */
static bool ask(struct query *q)
{
    struct dns_server *s = q->udp->s;
    const struct dns_upstream *u = dns_upstream_of(s, &q->client);
    while (!q->unknown && u->n && q->tries < TRIES_MAX) {
        const struct sockaddr_storage *to = &u->v[q->tries++ % u->n];
        loop_forget(s->loop, q->fd);
        fd_close(&q->fd);
        q->fd = socket(to->ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (q->fd < 0 || !prepare(q))
            return false;
        dns_set_recursion(q->msg, q->recursion);
        if (connect(q->fd, (const struct sockaddr *)to, dns_upstream_size(to)) == 0 &&
            send(q->fd, q->msg, q->size, MSG_NOSIGNAL) >= 0 &&
            loop_fd(s->loop, q->fd, EPOLLIN, on_answer, q, &s->error) == 0)
            return true;
    }
    return false;
}

/* The client's other networks first, then the resolvers. When it has servers of its own, those
 * networks are not to ask theirs for it. */
static bool ask_peer(struct query *q, const struct dns_peer *after)
{
    bool own = dns_names_upstream(&q->udp->s->names, &q->client);
    while ((q->peer = dns_peer_next(q->udp->s, &q->client, after))) {
        dns_set_recursion(q->msg, q->recursion && !own);
        if (prepare(q) && send(q->peer->fd, q->msg, q->size, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
            return true;
        after = q->peer;
    }
    return false;
}

static void next_or_refuse(struct query *q)
{
    if (q->peer && ask_peer(q, q->peer))
        return;
    if (q->done || !ask(q))
        refuse(q);
}

/* Of this question, by its id and its text? */
static bool is_answer(const struct query *q, const uint8_t *msg, size_t size)
{
    static struct dns_question asked, answered;
    return size >= DNS_HEADER && (dns_flags(msg) & DNS_FLAG_QR) && dns_id(msg) == q->id &&
           dns_question(q->msg, q->size, &asked) == 0 && dns_question(msg, size, &answered) == 0 &&
           asked.type == answered.type && asked.class == answered.class &&
           streq(asked.name, answered.name);
}

/* What another resolver may know better. */
static bool has_failed(const uint8_t *msg)
{
    unsigned code = dns_flags(msg) & DNS_RCODE;
    return code == DNS_SERVFAIL || code == DNS_NOTIMP || code == DNS_REFUSED;
}

static void on_answer(void *data, uint32_t events)
{
    struct query *q = data;
    struct dns_server *s = q->udp->s;
    (void)events;
    ssize_t n = recv(q->fd, dns_buf, sizeof(dns_buf), 0);
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR)
            next_or_refuse(q); /* nobody listens there */
        return;
    }
    if (!is_answer(q, dns_buf, (size_t)n)) {
        /* One without the question: FORMERR of a resolver that did not understand it. */
        bool bare = n >= DNS_HEADER && dns_id(dns_buf) == q->id &&
                    (dns_flags(dns_buf) & DNS_RCODE) != DNS_OK && dns_buf[5] == 0;
        if (!bare)
            return;
    }
    if (has_failed(dns_buf) && q->tries < dns_upstream_of(s, &q->client)->n && ask(q))
        return;
    dns_set_id(dns_buf, q->client_id);
    finish(q, (size_t)n);
}

static struct query *free_slot(struct dns_udp *u, const struct sockaddr_storage *client)
{
    struct query *found = NULL;
    unsigned of_client = 0;
    for (size_t i = 0; i < QUERIES_MAX; i++) {
        if (!u->v[i].used)
            found = &u->v[i];
        else if (dns_same_client(&u->v[i].client, client))
            of_client++;
    }
    return of_client < OF_ONE_CLIENT_MAX ? found : NULL;
}

void dns_udp_peer(struct dns_server *s, struct dns_peer *p)
{
    ssize_t n = recv(p->fd, dns_buf, sizeof(dns_buf), MSG_DONTWAIT);
    for (size_t i = 0; i < QUERIES_MAX; i++) {
        struct query *q = &s->udp->v[i];
        if (!q->used || q->peer != p)
            continue;
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            next_or_refuse(q); /* its name server has ended */
        } else if (n >= 0 && is_answer(q, dns_buf, (size_t)n)) {
            /* Who asks by TCP has no use for one that was too long for a datagram. */
            bool cut = q->done && (dns_flags(dns_buf) & DNS_FLAG_TC);
            if (cut || has_failed(dns_buf) || (dns_flags(dns_buf) & DNS_RCODE) == DNS_NXDOMAIN) {
                next_or_refuse(q);
                return;
            }
            dns_set_id(dns_buf, q->client_id);
            finish(q, (size_t)n);
            return;
        }
    }
}

void dns_udp_peer_gone(struct dns_server *s, const struct dns_peer *p)
{
    for (size_t i = 0; i < QUERIES_MAX; i++) {
        struct query *q = &s->udp->v[i];
        if (!q->used || q->peer != p)
            continue;
        q->peer = NULL;
        next_or_refuse(q);
    }
}

static void prepare_slot(struct dns_udp *u, struct query *q)
{
    q->udp = u;
    q->fd = -1;
    q->used = true;
    q->client_id = dns_id(q->msg);
    q->recursion = dns_flags(q->msg) & DNS_FLAG_RD;
    q->tries = 0;
    dns_sweep_later(u->s);
}

bool dns_udp_relay(struct dns_server *s, const struct dns_relay *r)
{
    struct query *q = NULL;
    if (r->size <= sizeof(q->msg) && dns_peer_next(s, r->client, NULL))
        q = free_slot(s->udp, r->client);
    if (!q)
        return false;
    q->client = *r->client;
    memcpy(q->msg, r->msg, r->size);
    q->size = r->size;
    q->done = r->done;
    q->data = r->data;
    prepare_slot(s->udp, q);
    if (ask_peer(q, NULL))
        return true;
    query_end(q);
    return false;
}

void dns_udp_forget(struct dns_server *s, const void *data)
{
    for (size_t i = 0; i < QUERIES_MAX; i++)
        if (s->udp->v[i].used && s->udp->v[i].done && s->udp->v[i].data == data)
            query_end(&s->udp->v[i]);
}

static void forward(struct dns_udp *u, int from, const struct query *in)
{
    struct query *q = free_slot(u, &in->client);
    if (!q) {
        size_t n = dns_refusal(in->msg, in->size, DNS_SERVFAIL, dns_buf);
        if (n)
            reply(from, dns_buf, n, in);
        return;
    }
    *q = *in;
    q->from = from;
    prepare_slot(u, q);
    if (!ask_peer(q, NULL))
        next_or_refuse(q);
}

static void on_query(struct dns_udp *u, int fd)
{
    static struct query in;
    in.client_size = sizeof(in.client);
    ssize_t n = recvfrom(fd, in.msg, sizeof(in.msg), MSG_DONTWAIT | MSG_TRUNC,
                         (struct sockaddr *)&in.client, &in.client_size);
    if (n < DNS_HEADER || (size_t)n > sizeof(in.msg))
        return;
    in.size = (size_t)n;
    struct dns_query q = {.msg = in.msg, .size = in.size, .client = &in.client};
    ssize_t size = dns_answer_query(u->s, &q, dns_buf);
    in.unknown = q.unknown;
    if (size > 0 && q.unknown && dns_peer_next(u->s, &in.client, NULL))
        forward(u, fd, &in);
    else if (size > 0)
        reply(fd, dns_buf, (size_t)size, &in);
    else if (size == 0)
        forward(u, fd, &in);
}

static void on_query4(void *data, uint32_t events)
{
    struct dns_udp *u = data;
    (void)events;
    on_query(u, u->s->set.udp[0]);
}

static void on_query6(void *data, uint32_t events)
{
    struct dns_udp *u = data;
    (void)events;
    on_query(u, u->s->set.udp[1]);
}

bool dns_udp_sweep(struct dns_server *s, int64_t now_ns)
{
    bool busy = false;
    for (size_t i = 0; i < QUERIES_MAX; i++) {
        struct query *q = &s->udp->v[i];
        if (q->used && now_ns >= q->due_ns)
            next_or_refuse(q);
        busy = busy || q->used;
    }
    return busy;
}

int dns_udp_open(struct dns_server *s)
{
    struct dns_udp *u = s->udp = xcalloc(1, sizeof(*u));
    u->s = s;
    for (size_t i = 0; i < QUERIES_MAX; i++)
        u->v[i].fd = -1;
    int r = 0;
    if (s->set.udp[0] >= 0)
        r = loop_fd(s->loop, s->set.udp[0], EPOLLIN, on_query4, u, &s->error);
    if (r == 0 && s->set.udp[1] >= 0)
        r = loop_fd(s->loop, s->set.udp[1], EPOLLIN, on_query6, u, &s->error);
    return r;
}
