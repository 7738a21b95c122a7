/* Members that are in other networks, too: their name servers are asked for what is unknown here,
 * by a socket that was opened in the other namespace. Only who is a member there gets such answers.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/scoped.h"
#include "base/str.h"
#include "helpers/network/dns.h"

static void on_peer(void *data, uint32_t events)
{
    struct dns_peer *p = data;
    (void)events;
    dns_udp_peer(p->s, p);
}

static void peer_free(struct dns_server *s, struct dns_peer **at)
{
    struct dns_peer *p = *at;
    *at = p->next;
    dns_udp_peer_gone(s, p);
    loop_forget(s->loop, p->fd);
    fd_close(&p->fd);
    free(p);
}

static void forget(struct dns_server *s, const char *id, const char *network)
{
    for (struct dns_peer **at = &s->peers; *at;) {
        if (streq((*at)->id, id) && (!network || streq((*at)->network, network)))
            peer_free(s, at);
        else
            at = &(*at)->next;
    }
}

void dns_peers_forget(struct dns_server *s, const char *id)
{
    forget(s, id, NULL);
}

void dns_peer_apply(struct dns_server *s, const struct dns_member *m, int fd)
{
    forget(s, m->id, m->peer);
    if (fd < 0)
        return;
    struct dns_peer *p = xcalloc(1, sizeof(*p));
    *p = (struct dns_peer){.next = s->peers, .s = s, .fd = fd};
    snprintf(p->id, sizeof(p->id), "%s", m->id);
    snprintf(p->network, sizeof(p->network), "%s", m->peer);
    p->client[0] = m->addr[0];
    p->client[1] = m->addr[1];
    s->peers = p;
    loop_fd(s->loop, fd, EPOLLIN, on_peer, p, &s->error);
}

struct dns_peer *dns_peer_next(struct dns_server *s, const struct sockaddr_storage *client,
                               const struct dns_peer *after)
{
    struct dns_peer *p = after ? after->next : s->peers;
    while (p && !dns_is_client(p->client, client))
        p = p->next;
    return p;
}
