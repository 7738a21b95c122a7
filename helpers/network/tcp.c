/* Questions by TCP: a length, a message, one after the other. Each step has its time: who sends or
 * takes a byte now and then only loses his own connection. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/scoped.h"
#include "base/str.h"
#include "base/timefmt.h"
#include "helpers/network/dns.h"

#define CONNECTIONS_MAX 128
#define OF_ONE_CLIENT_MAX 32
#define STEP_NS 5000000000LL   /* for a query to come, for an answer to be taken */
#define TRY_NS 4000000000LL    /* for one resolver */
#define PEERS_NS 20000000000LL /* more than the client's other networks take */
#define HEAD 2

enum step { READ_QUERY, ASK_PEERS, ASK, READ_ANSWER, SEND_ANSWER };

struct conn {
    struct dns_tcp *tcp;
    int fd, up; /* the container's, -1: the slot is free; the resolver's, or -1 */
    struct sockaddr_storage client;
    enum step step;
    enum dns_rcode unknown; /* not 0: nobody but a peer is to be asked */
    unsigned tries;
    int64_t due_ns;
    size_t done; /* bytes of this step */
    size_t query_size;
    uint8_t query[HEAD + DNS_QUERY_MAX];
    uint8_t *answer; /* owned, HEAD + DNS_MESSAGE_MAX; NULL between answers */
    size_t answer_size;
};

struct dns_tcp {
    struct dns_server *s;
    struct conn v[CONNECTIONS_MAX];
};

static void on_client(void *data, uint32_t events);
static void on_upstream(void *data, uint32_t events);

static void forget(struct conn *c, int *fd)
{
    loop_forget(c->tcp->s->loop, *fd);
    fd_close(fd);
}

static void conn_end(struct conn *c)
{
    if (c->step == ASK_PEERS)
        dns_udp_forget(c->tcp->s, c);
    forget(c, &c->up);
    forget(c, &c->fd);
    free(take_ptr(c->answer));
}

static int watch(struct conn *c, int fd, uint32_t events)
{
    struct dns_server *s = c->tcp->s;
    return loop_fd(s->loop, fd, events, fd == c->fd ? on_client : on_upstream, c, &s->error);
}

static void begin(struct conn *c, enum step step, int64_t ns)
{
    c->step = step;
    c->done = 0;
    c->due_ns = time_monotonic_ns() + ns;
}

static void read_next(struct conn *c)
{
    free(take_ptr(c->answer));
    begin(c, READ_QUERY, STEP_NS);
    if (watch(c, c->fd, EPOLLIN) < 0)
        conn_end(c);
}

static size_t length(const uint8_t *p)
{
    return (size_t)(p[0] << 8 | p[1]);
}

static void send_answer(struct conn *c, size_t size)
{
    c->answer[0] = (uint8_t)(size >> 8);
    c->answer[1] = (uint8_t)size;
    c->answer_size = size;
    forget(c, &c->up);
    begin(c, SEND_ANSWER, STEP_NS);
    if (watch(c, c->fd, EPOLLOUT) < 0)
        conn_end(c);
}

static void refuse(struct conn *c)
{
    enum dns_rcode code = c->unknown ? c->unknown : DNS_SERVFAIL;
    size_t n = dns_refusal(c->query + HEAD, c->query_size, code, c->answer + HEAD);
    if (n)
        send_answer(c, n);
    else
        conn_end(c);
}

/* Connects to the next resolver, or refuses. */
static void ask(struct conn *c)
{
    struct dns_server *s = c->tcp->s;
    const struct dns_upstream *u = dns_upstream_of(s, &c->client);
    while (!c->unknown && c->tries < u->n) {
        const struct sockaddr_storage *to = &u->v[c->tries++];
        forget(c, &c->up);
        c->up = socket(to->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (c->up < 0)
            break;
        begin(c, ASK, TRY_NS);
        if ((connect(c->up, (const struct sockaddr *)to, dns_upstream_size(to)) == 0 ||
             errno == EINPROGRESS) &&
            watch(c, c->up, EPOLLOUT) == 0)
            return;
    }
    refuse(c);
}

static void on_peers(void *data, const uint8_t *answer, size_t size)
{
    struct conn *c = data;
    c->step = ASK;
    if (answer) {
        memcpy(c->answer + HEAD, answer, size);
        send_answer(c, size);
    } else {
        ask(c);
    }
}

/* The client's other networks first, as of questions by UDP, then the resolvers. */
static void ask_peers(struct conn *c)
{
    const struct dns_relay relay = {c->query + HEAD, c->query_size, &c->client, on_peers, c};
    begin(c, ASK_PEERS, PEERS_NS);
    if (!dns_udp_relay(c->tcp->s, &relay))
        on_peers(c, NULL, 0);
}

static void on_whole_query(struct conn *c)
{
    c->answer = malloc(HEAD + DNS_MESSAGE_MAX);
    if (!c->answer) {
        conn_end(c);
        return;
    }
    struct dns_query q = {.msg = c->query + HEAD,
                          .size = c->query_size,
                          .max = DNS_MESSAGE_MAX,
                          .client = &c->client};
    ssize_t n = dns_answer_query(c->tcp->s, &q, c->answer + HEAD);
    c->tries = 0;
    loop_forget(c->tcp->s->loop, c->fd);
    c->unknown = q.unknown;
    if (n < 0)
        conn_end(c);
    else if (n > 0 && !q.unknown)
        send_answer(c, (size_t)n);
    else
        ask_peers(c);
}

/* Reads a length and as many bytes. 1: all are there, 0: not yet, -1: the other end is done. */
static int read_message(int fd, uint8_t *buf, size_t *done, size_t max)
{
    for (;;) {
        size_t want = *done < HEAD ? HEAD : HEAD + length(buf);
        if (want > HEAD + max)
            return -1;
        if (*done >= HEAD && *done == want)
            return want == HEAD ? -1 : 1;
        ssize_t n = recv(fd, buf + *done, want - *done, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return 0;
        if (n <= 0)
            return -1;
        *done += (size_t)n;
    }
}

/* 1: all is sent, 0: not yet, -1: it failed. */
static int send_message(int fd, const uint8_t *buf, size_t *done)
{
    size_t all = HEAD + length(buf);
    while (*done < all) {
        ssize_t n = send(fd, buf + *done, all - *done, MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return 0;
        if (n < 0)
            return -1;
        *done += (size_t)n;
    }
    return 1;
}

static void on_client(void *data, uint32_t events)
{
    struct conn *c = data;
    (void)events;
    if (c->step == READ_QUERY) {
        int r = read_message(c->fd, c->query, &c->done, DNS_QUERY_MAX);
        if (r > 0) {
            c->query_size = c->done - HEAD;
            on_whole_query(c);
        } else if (r < 0) {
            conn_end(c);
        }
    } else if (c->step == SEND_ANSWER) {
        int r = send_message(c->fd, c->answer, &c->done);
        if (r > 0)
            read_next(c);
        else if (r < 0)
            conn_end(c);
    }
}

static void on_upstream(void *data, uint32_t events)
{
    struct conn *c = data;
    (void)events;
    int r = -1;
    if (c->step == ASK) {
        r = send_message(c->up, c->query, &c->done);
        if (r > 0) {
            begin(c, READ_ANSWER, TRY_NS);
            r = watch(c, c->up, EPOLLIN);
        }
    } else if (c->step == READ_ANSWER) {
        r = read_message(c->up, c->answer, &c->done, DNS_MESSAGE_MAX);
        if (r > 0) {
            send_answer(c, c->done - HEAD);
            return;
        }
    }
    if (r < 0)
        ask(c);
}

static struct conn *free_slot(struct dns_tcp *t, const struct sockaddr_storage *client)
{
    struct conn *found = NULL;
    unsigned of_client = 0;
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        if (t->v[i].fd < 0)
            found = &t->v[i];
        else if (dns_same_client(&t->v[i].client, client))
            of_client++;
    }
    return of_client < OF_ONE_CLIENT_MAX ? found : NULL;
}

static void on_accept(struct dns_tcp *t, int listener)
{
    struct sockaddr_storage client;
    socklen_t size = sizeof(client);
    int fd = accept4(listener, (struct sockaddr *)&client, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    struct conn *c = free_slot(t, &client);
    if (!c) {
        close(fd);
        return;
    }
    c->tcp = t;
    c->fd = fd;
    c->up = -1;
    c->client = client;
    dns_sweep_later(t->s);
    read_next(c);
}

static void on_accept4(void *data, uint32_t events)
{
    struct dns_tcp *t = data;
    (void)events;
    on_accept(t, t->s->set.tcp[0]);
}

static void on_accept6(void *data, uint32_t events)
{
    struct dns_tcp *t = data;
    (void)events;
    on_accept(t, t->s->set.tcp[1]);
}

bool dns_tcp_sweep(struct dns_server *s, int64_t now_ns)
{
    bool busy = false;
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        struct conn *c = &s->tcp->v[i];
        if (c->fd >= 0 && now_ns >= c->due_ns) {
            if (c->up >= 0)
                ask(c);
            else
                conn_end(c);
        }
        busy = busy || c->fd >= 0;
    }
    return busy;
}

int dns_tcp_open(struct dns_server *s)
{
    struct dns_tcp *t = s->tcp = xcalloc(1, sizeof(*t));
    t->s = s;
    for (size_t i = 0; i < CONNECTIONS_MAX; i++)
        t->v[i].fd = t->v[i].up = -1;
    int r = 0;
    if (s->set.tcp[0] >= 0)
        r = loop_fd(s->loop, s->set.tcp[0], EPOLLIN, on_accept4, t, &s->error);
    if (r == 0 && s->set.tcp[1] >= 0)
        r = loop_fd(s->loop, s->set.tcp[1], EPOLLIN, on_accept6, t, &s->error);
    return r;
}
