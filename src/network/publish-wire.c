/* publish-wire - what a supervisor says to rootlet-ports. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/scoped.h"
#include "base/str.h"
#include "base/timefmt.h"
#include "network/publish.h"
#include "sys/sock.h"

union reply {
    struct wire_head head;
    struct wire_ports_port port;
    struct wire_ports_stats stats;
    char raw[WIRE_MAX];
};

/* Until then, or -ETIMEDOUT. */
static int await(int fd, short events, int64_t end_ns, struct err *e)
{
    struct pollfd p = {.fd = fd, .events = events};
    int r;
    do {
        int64_t left = (end_ns - time_monotonic_ns() + 999999) / 1000000;
        r = poll(&p, 1, left > 0 ? (int)left : 0);
    } while (r < 0 && errno == EINTR);
    return r > 0 ? 0
                 : err_hint(e, err_msg(e, ETIMEDOUT, "rootlet-ports does not answer"),
                            "is it stopped, or the machine overloaded?");
}

static int64_t patience(const struct publish_peer *to)
{
    return time_monotonic_ns() + (int64_t)to->wait_ms * 1000000;
}

/* Is it the end of an answer? Of a list there is more. */
static bool is_last(const union reply *m)
{
    return m->head.type == WIRE_OK || m->head.type == WIRE_ERROR ||
           m->head.type == WIRE_PORTS_STATS;
}

static void drop_rights(int fds[SOCK_MAX_FDS])
{
    for (size_t i = 0; fds && i < SOCK_MAX_FDS; i++)
        fd_close(&fds[i]);
}

/* The next packet of the last answer that is owed; what is shorter than a message of its type reads
 * as zeros. Its size or -errno. */
static ssize_t take(struct publish_peer *to, union reply *ret, int fds[SOCK_MAX_FDS], struct err *e)
{
    int64_t end_ns = patience(to);
    for (;;) {
        int r = await(to->fd, POLLIN, end_ns, e);
        if (r < 0) {
            to->wait_ms = 0;
            return r;
        }
        memset(ret, 0, sizeof(*ret));
        ssize_t n = sock_recv(to->fd, ret, sizeof(*ret) - 1, fds);
        if (n == 0)
            return err_msg(e, ECONNRESET, "rootlet-ports has ended");
        if (n > 0 && n < (ssize_t)sizeof(ret->head))
            n = -EPROTO;
        if (n < 0)
            return err_set(e, (int)-n, "read from rootlet-ports");
        bool mine = to->owed == 1 && ret->head.type != WIRE_EVENT;
        to->owed -= is_last(ret);
        if (mine)
            return n;
        drop_rights(fds);
    }
}

static int refused(union reply *m, struct err *e)
{
    int error = m->head.value > 0 ? m->head.value : EIO;
    char text[512];
    err_escape(text, sizeof(text), m->raw + sizeof(m->head));
    return err_msg(e, error, "%s", text);
}

static int put(struct publish_peer *to, const void *message, size_t size, const int *fds,
               size_t n_fds, struct err *e)
{
    int64_t end_ns = patience(to);
    int r, waited = 0;
    while ((r = sock_send(to->fd, message, size, fds, n_fds)) == -EAGAIN && waited == 0)
        waited = await(to->fd, POLLOUT, end_ns, e);
    if (r == 0)
        to->owed++;
    return waited < 0 ? waited : r < 0 ? err_set(e, -r, "write to rootlet-ports") : 0;
}

static int ask(struct publish_peer *to, const void *message, size_t size, const int *fds,
               size_t n_fds, struct err *e)
{
    scoped_free union reply *m = xmalloc(sizeof(*m));
    int r = put(to, message, size, fds, n_fds, e);
    if (r < 0 || to->later)
        return r;
    ssize_t n = take(to, m, NULL, e);
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

int publish_send_start(struct publish_peer *to, const struct publish_addresses *a,
                       const int fds[static 4], struct err *e)
{
    struct wire_ports_start m = start_message(WIRE_PORTS_START, a);
    return ask(to, &m, sizeof(m), fds, 4, e);
}

int publish_send_addresses(struct publish_peer *to, const struct publish_addresses *a,
                           struct err *e)
{
    struct wire_ports_start m = start_message(WIRE_PORTS_ADDRESSES, a);
    return ask(to, &m, sizeof(m), NULL, 0, e);
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

int publish_send_add(struct publish_peer *to, const struct publish *p, struct err *e)
{
    struct wire_ports_port m = port_message(WIRE_PORTS_ADD, &p->port);
    return ask(to, &m, sizeof(m), &p->fd, 1, e);
}

int publish_send_remove(struct publish_peer *to, const struct net_port *p, struct err *e)
{
    struct wire_ports_port m = port_message(WIRE_PORTS_REMOVE, p);
    return ask(to, &m, sizeof(m), NULL, 0, e);
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

int publish_ask_list(struct publish_peer *to, struct publish **ret, size_t *ret_n, struct err *e)
{
    scoped_free union reply *m = xmalloc(sizeof(*m));
    struct wire_head question = {.type = WIRE_PORTS_LIST};
    struct publish *v = NULL;
    size_t n = 0;
    int fds[SOCK_MAX_FDS] = {-1, -1, -1, -1};
    int r = put(to, &question, sizeof(question), NULL, 0, e);
    while (r == 0) {
        ssize_t got = take(to, m, fds, e);
        r = got < 0 ? (int)got : m->head.type == WIRE_ERROR ? refused(m, e) : 0;
        if (got > 0 && m->head.type == WIRE_PORTS_ADD && fds[0] >= 0)
            keep_item(m, &fds[0], &v, &n);
        drop_rights(fds);
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

int publish_ask_stats(struct publish_peer *to, struct wire_ports_stats *ret, struct err *e)
{
    scoped_free union reply *m = xmalloc(sizeof(*m));
    struct wire_head question = {.type = WIRE_PORTS_STATS};
    int r = put(to, &question, sizeof(question), NULL, 0, e);
    ssize_t n = r < 0 ? r : take(to, m, NULL, e);
    if (n < 0)
        return (int)n;
    if (m->head.type != WIRE_PORTS_STATS)
        return m->head.type == WIRE_ERROR ? refused(m, e)
                                          : err_msg(e, EPROTO, "rootlet-ports: unknown answer");
    *ret = m->stats;
    return 0;
}
