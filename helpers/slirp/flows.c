/* flows - the sockets that libslirp has open: how many, for whom, and whom they hear.
 *
 * Its UDP sockets take packets from everywhere, and what comes back to a question is to the
 * container from the name server, whoever sent it: somebody outside who guesses a port and a number
 * would answer, and under a policy open an address. So a socket that has asked hears nobody but
 * whom it has asked, until its client sends to others; and from addresses of the container's own
 * network, of which the name server's is one, nothing comes from outside at all. */
#include <string.h>

#include "helpers/slirp/slirp.h"

#define PORT_DNS 53
#define OTHER UINT16_MAX

static uint16_t *bucket(struct flows *f, const struct net_addr *client, uint16_t port)
{
    unsigned n = port;
    for (size_t i = 0; i < sizeof(client->b); i++)
        n = n * 31 + client->b[i];
    return &f->first[n % FLOW_BUCKETS];
}

/* Numbers begin with 1: what is zero is free, and untouched memory is no memory. */
static struct flow *flow_at(struct flows *f, uint16_t n)
{
    return &f->v[n - 1];
}

static struct flow *find(struct flows *f, const struct net_addr *client, uint16_t port)
{
    for (uint16_t n = *bucket(f, client, port); n; n = flow_at(f, n)->next) {
        struct flow *one = flow_at(f, n);
        if (one->port == port && net_addr_cmp(&one->client, client) == 0)
            return one;
    }
    return NULL;
}

/* libslirp takes the destination over before it sends, and not all that it is given is sent: so a
 * question counts from here on, and its end when something else has really left. */
bool flow_datagram(struct flows *f, const struct net_addr *client, uint16_t port, bool question)
{
    struct flow *one = find(f, client, port);
    if (!one && f->n_udp >= FLOWS_MAX)
        return false;
    if (one && question)
        one->asks = true;
    f->client = *client;
    f->port = port;
    f->question = question;
    return true;
}

void flow_passed(struct flows *f)
{
    f->client.family = 0;
}

void flow_opened(struct flows *f, int fd)
{
    if (fd < 0 || fd >= FLOW_FILES)
        return;
    flow_closed(f, fd);
    if (!f->client.family || f->n_udp >= FLOWS_MAX || find(f, &f->client, f->port)) {
        f->of_fd[fd] = OTHER;
        f->n_other++;
        return;
    }
    uint16_t n = f->free ? f->free : ++f->used;
    struct flow *one = flow_at(f, n);
    uint16_t *head = bucket(f, &f->client, f->port);
    f->free = f->free ? one->next : 0;
    *one = (struct flow){.client = f->client, .port = f->port, .asks = f->question, .next = *head};
    *head = f->of_fd[fd] = n;
    f->n_udp++;
}

void flow_closed(struct flows *f, int fd)
{
    uint16_t n = fd >= 0 && fd < FLOW_FILES ? f->of_fd[fd] : 0;
    if (n == 0)
        return;
    f->of_fd[fd] = 0;
    if (n == OTHER) {
        f->n_other--;
        return;
    }
    struct flow *one = flow_at(f, n);
    uint16_t *at = bucket(f, &one->client, one->port);
    while (*at != n)
        at = &flow_at(f, *at)->next;
    *at = one->next;
    *one = (struct flow){.next = f->free};
    f->free = n;
    f->n_udp--;
}

static uint16_t number(const struct flows *f, int fd)
{
    uint16_t n = fd >= 0 && fd < FLOW_FILES ? f->of_fd[fd] : 0;
    return n == OTHER ? 0 : n;
}

void flow_sent(struct flows *f, int fd, const struct net_addr *to)
{
    uint16_t n = number(f, fd);
    if (n == 0 || !f->client.family)
        return;
    struct flow *one = flow_at(f, n);
    if (f->question)
        one->resolver = *to;
    else
        one->asks = false;
}

bool flow_hears(const struct flows *f, int fd, const struct options *o, const struct net_addr *from,
                uint16_t port)
{
    uint16_t n = number(f, fd);
    if (n == 0)
        return true;
    const struct flow *one = &f->v[n - 1];
    if (one->asks)
        return one->resolver.family && port == PORT_DNS && net_addr_cmp(&one->resolver, from) == 0;
    return !net_cidr_contains(from->family == 4 ? &o->net4 : &o->net6, from);
}

bool flow_asks(struct flows *f, const struct net_addr *client, uint16_t port)
{
    const struct flow *one = find(f, client, port);
    return one && one->asks;
}
