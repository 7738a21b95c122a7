/* publish - see publish.h. socket(7), ip(7), ipv6(7) */
#include "network/publish.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/scoped.h"
#include "base/str.h"
#include "base/strv.h"

#define BACKLOG 4096 /* the kernel cuts it to net.core.somaxconn */

union address {
    struct sockaddr any;
    struct sockaddr_in four;
    struct sockaddr_in6 six;
};

void publish_free(struct publish *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        fd_close(&v[i].fd);
    free(v);
}

void publish_append(struct publish **v, size_t *n, struct publish one)
{
    *v = xrealloc(*v, (*n + 1) * sizeof(**v));
    (*v)[(*n)++] = one;
}

char **publish_texts(const struct publish *v, size_t n)
{
    char **list = NULL;
    char text[NET_PORT_TEXT];
    for (size_t i = 0; i < n; i++)
        strv_add(&list, net_port_format(&v[i].port, text));
    return list;
}

static socklen_t fill(union address *a, const struct net_port *p, int family)
{
    *a = (union address){.any = {.sa_family = (sa_family_t)family}};
    if (family == AF_INET6) {
        a->six.sin6_port = htons(p->host);
        if (p->addr.family == 6)
            memcpy(&a->six.sin6_addr, p->addr.b, sizeof(a->six.sin6_addr));
        return sizeof(a->six);
    }
    a->four.sin_port = htons(p->host);
    if (p->addr.family == 4)
        memcpy(&a->four.sin_addr, p->addr.b, sizeof(a->four.sin_addr));
    return sizeof(a->four);
}

/* A bound (and listening) socket, or -errno. dual: of both families. */
static int bind_one(const struct net_port *p, int family, bool dual)
{
    union address a;
    int on = 1, v6only = !dual;
    bool tcp = p->proto == NET_TCP;
    scoped_fd int fd =
        socket(family, (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    /* For TCP only: connections of an earlier run that linger do not count. With UDP it would let
     * two containers share the port. */
    if (tcp)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (family == AF_INET6 && setsockopt(fd, SOL_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only)) < 0)
        return -errno;
    if (bind(fd, &a.any, fill(&a, p, family)) < 0 || (tcp && listen(fd, BACKLOG) < 0))
        return -errno;
    return take_fd(&fd);
}

static int local_port(int fd, uint16_t *ret)
{
    union address a = {.any = {.sa_family = AF_UNSPEC}};
    socklen_t size = sizeof(a);
    if (getsockname(fd, &a.any, &size) < 0)
        return -errno;
    if (a.any.sa_family != AF_INET && a.any.sa_family != AF_INET6)
        return -EAFNOSUPPORT;
    *ret = ntohs(a.any.sa_family == AF_INET6 ? a.six.sin6_port : a.four.sin_port);
    return 0;
}

/* Without an address: both families by one socket where the host has IPv6. */
static int bind_port(struct net_port *p)
{
    scoped_fd int fd = -1;
    if (p->addr.family != 4)
        fd = bind_one(p, AF_INET6, p->addr.family == 0);
    if (p->addr.family == 4 ||
        (p->addr.family == 0 && (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL)))
        fd = bind_one(p, AF_INET, false);
    int r = fd < 0 ? fd : local_port(fd, &p->host);
    return r < 0 ? r : take_fd(&fd);
}

/* Sockets that other parts of the same container have bound already. */
static bool bound_by_us(const struct net_port *p, const struct publish *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (net_port_conflict(&v[i].port, p))
            return true;
    }
    return false;
}

static int unprivileged_start(void)
{
    scoped_free char *text = NULL;
    uint32_t n = 1024;
    ssize_t size =
        fs_read(AT_FDCWD, "/proc/sys/net/ipv4/ip_unprivileged_port_start", 64, &text, NULL);
    if (size > 0)
        text[strcspn(text, "\n")] = '\0';
    return size > 0 && parse_u32(text, &n) == 0 && n <= UINT16_MAX ? (int)n : 1024;
}

static int explain(const struct net_port *p, int error, bool own, char *holder, struct err *e)
{
    char text[NET_PORT_TEXT];
    net_port_format_host(p, text);
    if (error == EADDRINUSE) {
        scoped_free char *other = own || holder ? NULL : publish_taken_by(p);
        int r = own      ? err_msg(e, error, "it is published twice")
                : holder ? err_msg(e, error, "container %s has it", holder)
                         : err_msg(e, error, "%s has it", other ? other : "another program");
        if (holder)
            err_hint(e, r, "publish another port, or 'rootlet stop %s' first", holder);
        else if (!own)
            err_hint(e, r, "ss -l%cnp sport = :%u shows which one; or publish another port",
                     p->proto == NET_UDP ? 'u' : 't', p->host);
    } else if (error == EACCES || error == EPERM) {
        int r = err_msg(e, error, "ports below %d (net.ipv4.ip_unprivileged_port_start) are root's",
                        unprivileged_start());
        err_hint(e, r,
                 "sysctl net.ipv4.ip_unprivileged_port_start=%u as root, or another port: "
                 "-p %u:%u",
                 p->host, p->host + 8000u, p->ctr);
    } else if (error == EADDRNOTAVAIL) {
        int r = err_msg(e, error, "this host does not have that address");
        err_hint(e, r, "'ip -br address' shows those that it has");
    } else {
        err_set(e, error, "bind it");
    }
    return err_add(e, -error, "publish port %s/%s", text, net_proto_name(p->proto));
}

struct binder {
    publish_holder *holder;
    void *data;
    struct publish **v;
    size_t *n;
};

/* One port, or (a range for one port of the container) the first of several that is free. */
static int bind_nth(const struct binder *b, const struct net_port *spec, unsigned nth,
                    struct err *e)
{
    struct net_port p = net_port_nth(spec, nth);
    unsigned tries = spec->count == 1 && spec->host ? spec->host_count : 1;
    int fd = -EADDRINUSE;
    for (unsigned i = 0; i < tries && fd == -EADDRINUSE; i++) {
        p.host = spec->host ? (uint16_t)(spec->host + nth + i) : 0;
        fd = bind_port(&p);
    }
    if (fd >= 0) {
        publish_append(b->v, b->n, (struct publish){p, fd});
        return 0;
    }
    if (tries > 1 && fd == -EADDRINUSE)
        return err_msg(e, EADDRINUSE, "publish port %u of the container: %u-%u are all in use",
                       p.ctr, spec->host, spec->host + tries - 1);
    bool own = bound_by_us(&p, *b->v, *b->n);
    scoped_free char *holder =
        fd == -EADDRINUSE && !own && b->holder ? b->holder(&p, b->data) : NULL;
    return explain(&p, -fd, own, holder, e);
}

/* As -p takes it or as states show it. */
static int parse_either(const char *text, struct net_port ret[static 2], struct err *e)
{
    if (!strstr(text, "->"))
        return net_port_parse(text, ret, e);
    return net_port_parse_shown(text, ret) < 0
               ? err_msg(e, EINVAL, "\"%s\" is not a published port", text)
               : 1;
}

int publish_bind(char *const *ports, publish_holder *holder, void *data, struct publish **ret,
                 size_t *ret_n, struct err *e)
{
    struct publish *v = NULL;
    size_t n = 0;
    struct binder b = {holder, data, &v, &n};
    int r = 0;
    for (char *const *text = ports; text && *text && r == 0; text++) {
        struct net_port specs[2];
        int n_specs = parse_either(*text, specs, e);
        r = n_specs < 0 ? n_specs : 0;
        for (int i = 0; i < n_specs && r == 0; i++) {
            for (unsigned k = 0; k < specs[i].count && r == 0; k++)
                r = bind_nth(&b, &specs[i], k, e);
        }
    }
    if (r < 0) {
        publish_free(v, n);
        return r;
    }
    *ret = v;
    *ret_n = n;
    return 0;
}

int publish_check(int fd, const struct net_port *p, struct err *e)
{
    int type = 0, listening = 0;
    uint16_t port = 0;
    socklen_t size = sizeof(type), size2 = sizeof(listening);
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size2) < 0 ||
        local_port(fd, &port) < 0)
        return err_msg(e, EINVAL, "that is no socket of a port");
    if (type != (p->proto == NET_TCP ? SOCK_STREAM : SOCK_DGRAM) ||
        listening != (p->proto == NET_TCP) || port != p->host || p->host_count != 1 ||
        p->count != 1 || p->ctr == 0)
        return err_msg(e, EINVAL, "the socket is not that of port %u", p->host);
    return 0;
}
