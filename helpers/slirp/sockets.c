/* sockets - what libslirp sends and receives passes here: its calls of sendto(2) and recvfrom(2)
 * find these two, as its call of if_nametoindex(3) finds ours (main.c).
 *
 * A datagram that a socket does not hear (flows.c) becomes an empty one from port 0, which the gate
 * takes out on its way to the container: of an error libslirp would tell the container. */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "helpers/slirp/slirp.h"

union place {
    struct sockaddr any;
    struct sockaddr_in four;
    struct sockaddr_in6 six;
};

static struct gate *gate;

void sockets_watch(struct gate *g)
{
    gate = g;
}

/* False: of no family that is a container's. */
static bool address_of(const union place *p, socklen_t size, struct net_addr *ret, uint16_t *port)
{
    bool four = size >= sizeof(p->four) && p->any.sa_family == AF_INET;
    bool six = size >= sizeof(p->six) && p->any.sa_family == AF_INET6;

    *ret = (struct net_addr){.family = four ? 4 : 6};
    if (four)
        memcpy(ret->b, &p->four.sin_addr, 4);
    else if (six)
        memcpy(ret->b, &p->six.sin6_addr, 16);
    if (four || six)
        *port = ntohs(p->four.sin_port); /* at the same place in both */
    return four || six;
}

/* By other names here: the headers have the real ones, with types of their own. */
ssize_t slirp_sendto(int fd, const void *data, size_t size, int flags, const union place *to,
                     socklen_t to_size) __asm__("sendto");
ssize_t slirp_recvfrom(int fd, void *buf, size_t size, int flags, union place *from,
                       socklen_t *from_size) __asm__("recvfrom");

ssize_t slirp_sendto(int fd, const void *data, size_t size, int flags, const union place *to,
                     socklen_t to_size)
{
    struct net_addr a;
    uint16_t port;
    if (gate && to && address_of(to, to_size, &a, &port))
        flow_sent(&gate->flows, fd, &a);
    return syscall(SYS_sendto, fd, data, size, flags, to, to_size);
}

ssize_t slirp_recvfrom(int fd, void *buf, size_t size, int flags, union place *from,
                       socklen_t *from_size)
{
    struct net_addr a;
    uint16_t port;
    ssize_t n = syscall(SYS_recvfrom, fd, buf, size, flags, from, from_size);
    if (n < 0 || !gate || !from || !address_of(from, *from_size, &a, &port) ||
        flow_hears(&gate->flows, fd, gate->o, &a, port))
        return n;
    from->four.sin_port = 0;
    return 0;
}
