/* control - what supervisors ask: the one that has started us (descriptor 3), and those that come
 * after it was killed, by the socket that it has left us (RUN_ROOT/ID/ports.sock, mode 0700 above).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/scoped.h"
#include "helpers/ports/ports.h"
#include "net/ports.h"
#include "sys/sock.h"

enum { SEND_SECONDS = 2 }; /* who does not take our answers is not heard any more */

union message {
    struct wire_head head;
    struct wire_ports_start start;
    struct wire_ports_port port;
    char raw[WIRE_MAX];
};

struct list all_ports = {&all_ports, &all_ports};

static int answer(int fd, int value, const char *text)
{
    union {
        struct wire_head head;
        char raw[sizeof(struct wire_head) + 600];
    } m = {.head = {.type = value ? WIRE_ERROR : WIRE_OK, .value = value}};
    size_t n = strnlen(text, sizeof(m.raw) - sizeof(m.head) - 1);
    memcpy(m.raw + sizeof(m.head), text, n);
    m.raw[sizeof(m.head) + n] = '\0';
    return sock_send(fd, &m, sizeof(m.head) + n + 1, NULL, 0);
}

static int answer_err(int fd, const struct err *e)
{
    return answer(fd, e->errnum > 0 ? e->errnum : EIO, e->msg);
}

static struct port *find_port(const struct wire_ports_port *m)
{
    for (struct list *l = all_ports.next; l != &all_ports; l = l->next) {
        struct port *p = container_of(l, struct port, list);
        if (p->spec.proto == m->proto && p->spec.host == m->host && p->spec.ctr == m->ctr &&
            p->spec.family == m->family &&
            memcmp(p->spec.address, m->address, sizeof(m->address)) == 0)
            return p;
    }
    return NULL;
}

/* Is it what it is said to be, and bound to which addresses? */
static int look_at(struct port *p)
{
    static const struct in6_addr none;
    union peer a = {.any = {.sa_family = AF_UNSPEC}};
    socklen_t size = sizeof(a);
    int type = 0, flags = fcntl(p->watch.fd, F_GETFL);
    if (getsockname(p->watch.fd, &a.any, &size) < 0)
        return -errno;
    size = sizeof(type);
    if (getsockopt(p->watch.fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0)
        return -errno;
    p->six = a.any.sa_family == AF_INET6;
    if ((!p->six && a.any.sa_family != AF_INET) ||
        type != (p->spec.proto == NET_UDP ? SOCK_DGRAM : SOCK_STREAM) || p->spec.ctr == 0)
        return -EINVAL;
    p->any = p->six ? memcmp(&a.six.sin6_addr, &none, sizeof(none)) == 0
                    : a.four.sin_addr.s_addr == htonl(INADDR_ANY);
    return flags < 0 || fcntl(p->watch.fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

/* Takes fd. */
static int add_port(const struct wire_ports_port *m, int *fd)
{
    if (find_port(m))
        return -EEXIST;
    struct port *p = calloc(1, sizeof(*p));
    if (!p)
        return -ENOMEM;
    bool tcp = m->proto != NET_UDP;
    p->spec = *m;
    p->watch = (struct watch){*fd, tcp ? tcp_accept : udp_ready};
    list_init(&p->users);
    int r = look_at(p);
    if (r == 0)
        r = tcp ? tcp_start(p) : udp_start(p);
    if (r < 0) {
        free(p);
        return r;
    }
    *fd = -1;
    list_push(&all_ports, &p->list);
    stats.ports++;
    return 0;
}

static int remove_port(const struct wire_ports_port *m)
{
    struct port *p = find_port(m);
    if (!p)
        return -ENOENT;
    if (p->spec.proto == NET_UDP)
        udp_end(p);
    else
        tcp_end(p);
    list_drop(&p->list);
    loop_forget(&p->watch);
    loop_release(p);
    stats.ports--;
    return 0;
}

static int send_list(int fd)
{
    int r = 0;
    for (struct list *l = all_ports.next; l != &all_ports && r == 0; l = l->next) {
        struct port *p = container_of(l, struct port, list);
        struct wire_ports_port m = p->spec;
        m.head = (struct wire_head){.type = WIRE_PORTS_ADD};
        r = sock_send(fd, &m, sizeof(m), &p->watch.fd, 1);
    }
    return r < 0 ? r : answer(fd, 0, "");
}

static int send_stats(int fd)
{
    struct wire_ports_stats m = stats;
    m.head = (struct wire_head){.type = WIRE_PORTS_STATS};
    return sock_send(fd, &m, sizeof(m), NULL, 0);
}

static int result(int fd, int r)
{
    return answer(fd, -r, r < 0 ? strerror(-r) : "");
}

/* 0, or negative when the answer cannot be sent. */
static int serve(int fd, const union message *m, int *rights)
{
    switch (m->head.type) {
    case WIRE_PORTS_ADDRESSES:
        space_addresses(&m->start);
        return result(fd, 0);
    case WIRE_PORTS_ADD:
        return result(fd, rights[0] < 0 ? -EBADF : add_port(&m->port, &rights[0]));
    case WIRE_PORTS_REMOVE:
        return result(fd, remove_port(&m->port));
    case WIRE_PORTS_LIST:
        return send_list(fd);
    case WIRE_PORTS_STATS:
        return send_stats(fd);
    default:
        return result(fd, -ENOSYS);
    }
}

static void close_rights(int *rights)
{
    for (int i = 0; i < SOCK_MAX_FDS; i++)
        fd_close(&rights[i]);
}

static void control_ready(struct watch *w, uint32_t events)
{
    union message m = {.raw = {0}};
    int rights[SOCK_MAX_FDS];
    (void)events;
    ssize_t n = sock_recv(w->fd, &m, sizeof(m), rights);
    if (n == -EAGAIN)
        return;
    if (n == -EMSGSIZE && result(w->fd, -EMSGSIZE) == 0)
        return;
    if (n >= (ssize_t)sizeof(m.head)) {
        int r = serve(w->fd, &m, rights);
        close_rights(rights);
        if (r == 0)
            return;
    } else if (n >= 0) {
        close_rights(rights);
    }
    loop_forget(w);
    loop_release(w);
}

int control_add(int fd)
{
    struct timeval patience = {.tv_sec = SEND_SECONDS};
    struct watch *w = calloc(1, sizeof(*w));
    if (!w)
        return -ENOMEM;
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    *w = (struct watch){fd, control_ready};
    int r = loop_watch(w, EPOLLIN);
    if (r < 0)
        free(w);
    return r;
}

static void listener_ready(struct watch *w, uint32_t events)
{
    uid_t uid;
    (void)events;
    int fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0 && (sock_peer_uid(fd, &uid) < 0 || uid != getuid() || control_add(fd) < 0))
        close(fd);
}

int control_listen(int fd)
{
    static struct watch w;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    w = (struct watch){fd, listener_ready};
    return loop_watch(&w, EPOLLIN);
}

int control_begin(int fd, int ret_fds[static 4], struct err *e)
{
    union message m = {.raw = {0}};
    ssize_t n = sock_recv(fd, &m, sizeof(m), ret_fds);
    if (n < (ssize_t)sizeof(m.head) || m.head.type != WIRE_PORTS_START || ret_fds[3] < 0)
        return err_set(e, n < 0 ? (int)-n : EPROTO, "first message");
    int r = space_enter(&m.start, ret_fds, e);
    fd_close(&ret_fds[1]);
    fd_close(&ret_fds[2]);
    return r;
}

int control_answer(int fd, const struct err *e)
{
    return e->errnum ? answer_err(fd, e) : answer(fd, 0, "");
}
