/* flows - the sockets that libslirp has open: how many, for whom, and whom they hear.
 *
 * Its UDP sockets take packets from everywhere, and what comes back to a question is to the
 * container from the name server, whoever sent it: somebody outside who guesses a port and a number
 * would answer. So under a policy a socket that begins with a question is connected to the host's
 * resolver, until its client sends to others. Under a policy only what comes by such a one is
 * learned from. */
#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "helpers/slirp/slirp.h"

#include "base/scoped.h"

/* libslirp looks at resolv.conf once in a second at most: what it knows, we know. */
#define KNOWN_MS 1000
#define OTHER UINT16_MAX

union place {
    struct sockaddr any;
    struct sockaddr_in four;
    struct sockaddr_in6 six;
};

/* The first of a family in resolv.conf, as libslirp takes it. */
static socklen_t find_resolver(uint8_t family, union place *ret)
{
    scoped_file FILE *f = fopen("/etc/resolv.conf", "re");
    char line[512], text[257];

    while (f && fgets(line, sizeof(line), f)) {
        if (sscanf(line, "nameserver%*[ \t]%256s", text) != 1)
            continue;
        char *zone = strchr(text, '%');
        if (zone)
            *zone++ = '\0';
        *ret = (union place){.any = {.sa_family = family == 4 ? AF_INET : AF_INET6}};
        ret->four.sin_port = htons(53); /* at the same place in both */
        if (family == 4 && inet_pton(AF_INET, text, &ret->four.sin_addr) == 1)
            return sizeof(ret->four);
        if (family == 6 && inet_pton(AF_INET6, text, &ret->six.sin6_addr) == 1) {
            ret->six.sin6_scope_id = zone ? if_nametoindex(zone) : 0;
            return sizeof(ret->six);
        }
    }
    return 0;
}

static struct resolver {
    union place at;
    socklen_t size; /* 0: none */
    int64_t looked_ms;
    uint32_t generation; /* from 1 */
} resolvers[2];

static const struct resolver *look_up(uint8_t family)
{
    struct resolver *r = &resolvers[family == 6];
    union place at = {.any = {.sa_family = 0}};
    int64_t now = now_ms();

    if (r->generation && now - r->looked_ms < KNOWN_MS)
        return r;
    socklen_t size = find_resolver(family, &at);
    if (!r->generation || size != r->size || memcmp(&at, &r->at, size) != 0)
        r->generation++;
    r->at = at;
    r->size = size;
    r->looked_ms = now;
    return r;
}

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

static void unpin(struct flow *one)
{
    if (one->pinned)
        (void)!connect(one->fd, &(struct sockaddr){.sa_family = AF_UNSPEC},
                       sizeof(struct sockaddr));
    one->pinned = 0;
}

static void pin(struct flow *one)
{
    const struct resolver *to = look_up(one->client.family);
    if (one->pinned == to->generation)
        return;
    if (to->size > 0 && connect(one->fd, &to->at.any, to->size) == 0)
        one->pinned = to->generation;
    else
        unpin(one);
}

bool flow_datagram(struct flows *f, const struct net_addr *client, uint16_t port, bool question)
{
    struct flow *one = find(f, client, port);
    if (!one && f->n_udp >= FLOWS_MAX)
        return false;
    if (one && one->pinned && !question)
        unpin(one);
    else if (one && one->pinned)
        pin(one);
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
    *one = (struct flow){.client = f->client, .port = f->port, .fd = fd, .next = *head};
    *head = f->of_fd[fd] = n;
    f->n_udp++;
    if (f->question)
        pin(one);
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

bool flow_pinned(struct flows *f, const struct net_addr *client, uint16_t port)
{
    const struct flow *one = find(f, client, port);
    return one && one->pinned;
}
