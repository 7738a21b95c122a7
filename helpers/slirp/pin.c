/* pin - sockets that hear the host's resolver alone.
 *
 * libslirp's UDP sockets take packets from everywhere, and what comes back to a question is to the
 * container from the name server, whoever sent it. Under a policy that would be a way to open any
 * address: the container's code asks for an allowed name, and somebody who works with it answers.
 * So a socket that begins with a question is connected to the resolver, and only what comes by such
 * a one is learned from. */
#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "helpers/slirp/slirp.h"

#include "base/scoped.h"

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

static struct pin *find(struct pins *p, const struct net_addr *client, uint16_t port)
{
    for (size_t i = 0; i < PINS_MAX; i++) {
        struct pin *pin = &p->v[i];
        if (pin->port == port && pin->client.family && net_addr_cmp(&pin->client, client) == 0)
            return pin;
    }
    return NULL;
}

void pin_socket(struct pins *p, int fd)
{
    union place to;
    if (!p->client.family || fd < 0)
        return;
    struct pin *old = find(p, &p->client, p->port);
    if (old)
        old->client.family = 0;
    if (!p->question)
        return;
    socklen_t size = find_resolver(p->client.family, &to);
    if (size == 0 || connect(fd, &to.any, size) < 0)
        return;
    /* The oldest goes: its answer has come long since. */
    p->v[p->next++ % PINS_MAX] = (struct pin){p->client, p->port};
}

bool pin_has(struct pins *p, const struct net_addr *client, uint16_t port)
{
    return find(p, client, port) != NULL;
}
