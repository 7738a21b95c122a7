/* publish-wire - what a supervisor says to rootlet-ports. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/scoped.h"
#include "base/str.h"
#include "network/publish.h"
#include "sys/sock.h"

#define ANSWER_MS 10000

union reply {
    struct wire_head head;
    struct wire_ports_port port;
    struct wire_ports_stats stats;
    char raw[WIRE_MAX];
};

/* The next packet; what is shorter than a message of its type reads as zeros. Its size or -errno.
 */
static ssize_t take(int ctl, union reply *ret, int fds[SOCK_MAX_FDS], struct err *e)
{
    struct pollfd p = {.fd = ctl, .events = POLLIN};
    int r;
    do
        r = poll(&p, 1, ANSWER_MS);
    while (r < 0 && errno == EINTR);
    if (r == 0)
        return err_msg(e, ETIMEDOUT, "rootlet-ports does not answer");
    memset(ret, 0, sizeof(*ret));
    ssize_t n = sock_recv(ctl, ret, sizeof(*ret) - 1, fds);
    if (n == 0)
        return err_msg(e, ECONNRESET, "rootlet-ports has ended");
    if (n > 0 && n < (ssize_t)sizeof(ret->head))
        n = -EPROTO;
    return n < 0 ? err_set(e, (int)-n, "read from rootlet-ports") : n;
}

static int refused(union reply *m, struct err *e)
{
    int error = m->head.value > 0 ? m->head.value : EIO;
    char text[512];
    err_escape(text, sizeof(text), m->raw + sizeof(m->head));
    return err_msg(e, error, "%s", text);
}

static int put(int ctl, const void *message, size_t size, const int *fds, size_t n_fds,
               struct err *e)
{
    int r = sock_send(ctl, message, size, fds, n_fds);
    if (r == -EAGAIN) {
        struct pollfd p = {.fd = ctl, .events = POLLOUT};
        poll(&p, 1, ANSWER_MS);
        r = sock_send(ctl, message, size, fds, n_fds);
    }
    return r < 0 ? err_set(e, -r, "write to rootlet-ports") : 0;
}

static int ask(int ctl, const void *message, size_t size, const int *fds, size_t n_fds,
               struct err *e)
{
    scoped_free union reply *m = xmalloc(sizeof(*m));
    int r = put(ctl, message, size, fds, n_fds, e);
    ssize_t n = r < 0 ? r : take(ctl, m, NULL, e);
    if (n < 0)
        return (int)n;
    return m->head.type == WIRE_OK      ? 0
           : m->head.type == WIRE_ERROR ? refused(m, e)
                                        : err_msg(e, EPROTO, "rootlet-ports: unknown answer");
}

static struct wire_ports_start start_message(uint32_t type, const struct publish_addresses *a)
{
    struct wire_ports_start m = {.head = {.type = type}};
    if (a->address4.family)
        memcpy(m.address4, a->address4.b, sizeof(m.address4));
    if (a->gateway4.family)
        memcpy(m.gateway4, a->gateway4.b, sizeof(m.gateway4));
    if (a->address6.family)
        memcpy(m.address6, a->address6.b, sizeof(m.address6));
    if (a->gateway6.family)
        memcpy(m.gateway6, a->gateway6.b, sizeof(m.gateway6));
    return m;
}

int publish_send_start(int ctl, const struct publish_addresses *a, const int fds[static 4],
                       struct err *e)
{
    struct wire_ports_start m = start_message(WIRE_PORTS_START, a);
    return ask(ctl, &m, sizeof(m), fds, 4, e);
}

int publish_send_addresses(int ctl, const struct publish_addresses *a, struct err *e)
{
    struct wire_ports_start m = start_message(WIRE_PORTS_ADDRESSES, a);
    return ask(ctl, &m, sizeof(m), NULL, 0, e);
}

static struct wire_ports_port port_message(uint32_t type, const struct net_port *p)
{
    struct wire_ports_port m = {.head = {.type = type},
                                .proto = (uint8_t)p->proto,
                                .family = p->addr.family,
                                .host = p->host,
                                .ctr = p->ctr};
    memcpy(m.address, p->addr.b, sizeof(m.address));
    return m;
}

int publish_send_add(int ctl, const struct publish *p, struct err *e)
{
    struct wire_ports_port m = port_message(WIRE_PORTS_ADD, &p->port);
    return ask(ctl, &m, sizeof(m), &p->fd, 1, e);
}

int publish_send_remove(int ctl, const struct net_port *p, struct err *e)
{
    struct wire_ports_port m = port_message(WIRE_PORTS_REMOVE, p);
    return ask(ctl, &m, sizeof(m), NULL, 0, e);
}

static void keep_item(const union reply *m, int *fd, struct publish **v, size_t *n)
{
    struct publish one = {.fd = *fd};
    one.port.proto = m->port.proto == NET_UDP ? NET_UDP : NET_TCP;
    one.port.addr.family = m->port.family == 4 || m->port.family == 6 ? m->port.family : 0;
    memcpy(one.port.addr.b, m->port.address, sizeof(one.port.addr.b));
    one.port.host = m->port.host;
    one.port.ctr = m->port.ctr;
    one.port.count = one.port.host_count = 1;
    if (publish_check(one.fd, &one.port, NULL) < 0)
        return;
    take_fd(fd);
    publish_append(v, n, one);
}

int publish_ask_list(int ctl, struct publish **ret, size_t *ret_n, struct err *e)
{
    scoped_free union reply *m = xmalloc(sizeof(*m));
    struct wire_head question = {.type = WIRE_PORTS_LIST};
    struct publish *v = NULL;
    size_t n = 0;
    int fds[SOCK_MAX_FDS];
    int r = put(ctl, &question, sizeof(question), NULL, 0, e);
    while (r == 0) {
        ssize_t got = take(ctl, m, fds, e);
        r = got < 0 ? (int)got : m->head.type == WIRE_ERROR ? refused(m, e) : 0;
        if (got > 0 && m->head.type == WIRE_PORTS_ADD && fds[0] >= 0)
            keep_item(m, &fds[0], &v, &n);
        for (size_t i = 0; got >= 0 && i < SOCK_MAX_FDS; i++)
            fd_close(&fds[i]);
        if (r == 0 && m->head.type == WIRE_OK)
            break;
    }
    if (r < 0) {
        publish_free(v, n);
        return r;
    }
    *ret = v;
    *ret_n = n;
    return 0;
}

int publish_ask_stats(int ctl, struct wire_ports_stats *ret, struct err *e)
{
    scoped_free union reply *m = xmalloc(sizeof(*m));
    struct wire_head question = {.type = WIRE_PORTS_STATS};
    int r = put(ctl, &question, sizeof(question), NULL, 0, e);
    ssize_t n = r < 0 ? r : take(ctl, m, NULL, e);
    if (n < 0)
        return (int)n;
    if (m->head.type != WIRE_PORTS_STATS)
        return m->head.type == WIRE_ERROR ? refused(m, e)
                                          : err_msg(e, EPROTO, "rootlet-ports: unknown answer");
    *ret = m->stats;
    return 0;
}
