/* tcp - connections of published ports: accepted on the host, made anew in the container, spliced.
 *
 * A direction has a pipe only while data is on its way; one that gets none (too many slow readers)
 * copies what both sides can take at once, and holds nothing. So memory is bounded whatever clients
 * do. The end of one direction is handed on (half-close), and so is a reset. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/scoped.h"
#include "helpers/ports/ports.h"

enum {
    ACCEPTS = 64,  /* at once, then others have their turn */
    ROUNDS = 8,    /* of splicing one direction */
    RESERVED = 64, /* descriptors for all else */
    KEEP_IDLE = 600,
    KEEP_INTERVAL = 60,
    KEEP_COUNT = 5, /* a peer that is gone without a word */
};

struct conn;

/* What is read from side n goes to side !n. */
struct side {
    struct watch watch;
    struct conn *conn;
    struct pipe *pipe;
    size_t held; /* in the pipe */
    bool in_ready, out_ready, eof, shut;
};

struct conn {
    struct list list;    /* of the port */
    struct list work;    /* has more to do */
    struct side side[2]; /* the client's, the container's */
    bool connected;
};

static struct list work = {&work, &work};
static unsigned max_connections;
static unsigned char *copy_buffer;
enum { COPY_SIZE = 64 << 10 };

void tcp_limits(unsigned files)
{
    unsigned pipes = files / 8 < 1024 ? files / 8 : 1024;
    unsigned taken = RESERVED + 2 * pipes + files / 8; /* the last: UDP */
    max_connections = files > taken + 2 ? (files - taken) / 2 : 1;
    copy_buffer = malloc(COPY_SIZE);
    if (!copy_buffer)
        _exit(1);
}

static void put_pipe(struct side *s)
{
    if (s->pipe)
        pipe_put(s->pipe, s->held == 0);
    s->pipe = NULL;
    s->held = 0;
}

static void end(struct conn *c)
{
    for (int i = 0; i < 2; i++) {
        put_pipe(&c->side[i]);
        loop_forget(&c->side[i].watch);
    }
    list_drop(&c->list);
    list_drop(&c->work);
    stats.connections--;
    loop_release(c);
    if (stats.paused)
        accept_resume();
}

/* Both peers get a reset: what is not delivered will not be. */
static void reset(struct conn *c)
{
    struct linger now = {.l_onoff = 1};
    for (int i = 0; i < 2; i++)
        setsockopt(c->side[i].watch.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    end(c);
}

static bool again(int error)
{
    return error == EAGAIN || error == EINTR;
}

/* Something from the pipe to the other side. 1 moved, 0 not now, -errno. */
static int flush(struct side *s, struct side *to)
{
    ssize_t n = splice(s->pipe->fd[0], NULL, to->watch.fd, NULL, s->held,
                       SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (n < 0 && again(errno)) {
        to->out_ready = false;
        return 0;
    }
    if (n <= 0)
        return n < 0 ? -errno : -EPIPE;
    s->held -= (size_t)n;
    *(s == &s->conn->side[0] ? &stats.bytes_in : &stats.bytes_out) += (uint64_t)n;
    return 1;
}

/* Looks at what is there, gives the other side what it takes, and removes that much. */
static int copy(struct side *s, struct side *to)
{
    ssize_t n = recv(s->watch.fd, copy_buffer, COPY_SIZE, MSG_PEEK | MSG_DONTWAIT);
    if (n == 0)
        s->eof = true;
    if (n < 0 && again(errno))
        s->in_ready = false;
    if (n <= 0)
        return n == 0 ? 1 : s->in_ready ? -errno : 0;
    ssize_t sent = send(to->watch.fd, copy_buffer, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && again(errno)) {
        to->out_ready = false;
        return 0;
    }
    if (sent < 0)
        return -errno;
    *(s == &s->conn->side[0] ? &stats.bytes_in : &stats.bytes_out) += (uint64_t)sent;
    return recv(s->watch.fd, NULL, (size_t)sent, MSG_TRUNC | MSG_DONTWAIT) < 0 ? -errno : 1;
}

/* Only into an empty pipe: then EAGAIN means that the socket has nothing. */
static int fill(struct side *s, struct side *to)
{
    if (!s->pipe)
        s->pipe = pipe_get();
    if (!s->pipe)
        return copy(s, to);
    ssize_t n = splice(s->watch.fd, NULL, s->pipe->fd[1], NULL, s->pipe->size,
                       SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (n < 0 && again(errno)) {
        s->in_ready = false;
        return 0;
    }
    if (n < 0)
        return -errno;
    if (n == 0)
        s->eof = true;
    s->held = (size_t)n;
    if (s->held >= s->pipe->size)
        pipe_grow(s->pipe);
    return 1;
}

/* As much as goes. 1: there is more, but others have their turn; 0: not now; -errno. */
static int pump(struct side *s, struct side *to)
{
    for (int i = 0; i < ROUNDS; i++) {
        int r = 0;
        if (s->held)
            r = to->out_ready ? flush(s, to) : 0;
        else if (s->eof)
            break;
        else if (s->in_ready && to->out_ready)
            r = fill(s, to);
        if (r < 0)
            return r;
        if (r == 0) {
            if (!s->held)
                put_pipe(s);
            return 0;
        }
    }
    if (!s->eof || s->held)
        return 1;
    put_pipe(s);
    if (!s->shut)
        shutdown(to->watch.fd, SHUT_WR);
    s->shut = true;
    return 0;
}

static void run(struct conn *c)
{
    list_drop(&c->work);
    int a = pump(&c->side[0], &c->side[1]);
    int b = a < 0 ? a : pump(&c->side[1], &c->side[0]);
    if (a < 0 || b < 0)
        reset(c);
    else if (c->side[0].shut && c->side[1].shut)
        end(c);
    else if (a > 0 || b > 0)
        list_push(&work, &c->work);
}

/* Each that is there now once: new work waits for its turn behind the next events. */
bool tcp_work(void)
{
    struct list round;
    list_init(&round);
    while (!list_empty(&work))
        list_push(&round, work.next);
    while (!list_empty(&round))
        run(container_of(round.next, struct conn, work));
    return !list_empty(&work);
}

static void side_ready(struct watch *w, uint32_t events)
{
    struct side *s = container_of(w, struct side, watch);
    struct conn *c = s->conn;
    if (events & EPOLLERR) {
        if (!c->connected)
            stats.refused++;
        reset(c);
        return;
    }
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP))
        s->in_ready = true;
    if (events & (EPOLLOUT | EPOLLHUP))
        s->out_ready = true;
    if (s == &c->side[1] && s->out_ready)
        c->connected = true;
    if (c->connected)
        run(c);
}

/* The sender has collected what it wants to; we do not do so again. */
static void no_delay(int fd)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

/* What the listening socket has, those that come from it have too. tcp(7) */
int tcp_start(struct port *p)
{
    int fd = p->watch.fd;
    int on = 1, idle = KEEP_IDLE, interval = KEEP_INTERVAL, count = KEEP_COUNT;
    no_delay(fd);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
    return loop_watch(&p->watch, stats.paused ? 0 : EPOLLIN);
}

/* An IPv4 client of a socket of both families. */
static union peer plain_peer(const union peer *p)
{
    union peer four = {.four = {.sin_family = AF_INET, .sin_port = p->six.sin6_port}};
    if (p->any.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&p->six.sin6_addr))
        return *p;
    four.four.sin_addr.s_addr = p->six.sin6_addr.s6_addr32[3];
    return four;
}

static int begin(struct port *p, int client, int inner)
{
    struct conn *c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    int fds[2] = {client, inner};
    for (int i = 0; i < 2; i++) {
        c->side[i].watch = (struct watch){fds[i], side_ready};
        c->side[i].conn = c;
    }
    no_delay(inner);
    stats.connections++;
    list_push(&p->users, &c->list);
    for (int i = 0; i < 2; i++) {
        if (loop_watch(&c->side[i].watch, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET) < 0) {
            reset(c);
            break;
        }
    }
    return 0;
}

static void refuse(int fd)
{
    struct linger now = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(fd);
}

static void take(struct port *p, int client, const union peer *from)
{
    union peer shown, plain = plain_peer(from);
    int inner = space_connect(SOCK_STREAM, &plain, p->spec.ctr, false, &shown);
    stats.accepted++;
    if (inner < 0) {
        stats.refused++;
        refuse(client);
        if (inner == -EMFILE || inner == -ENFILE || inner == -ENOMEM)
            accept_pause();
    } else if (begin(p, client, inner) < 0) {
        refuse(client);
        refuse(inner);
    }
}

/* Of what is there at accept4 only a lack of ours matters; the rest is the client's. accept(2) */
void tcp_accept(struct watch *w, uint32_t events)
{
    struct port *p = container_of(w, struct port, watch);
    (void)events;
    for (int i = 0; i < ACCEPTS; i++) {
        union peer from = {.any = {.sa_family = AF_UNSPEC}};
        socklen_t size = sizeof(from);
        if (stats.connections >= max_connections) {
            accept_pause();
            return;
        }
        int fd = accept4(w->fd, &from.any, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
                accept_pause();
            if (again(errno) || stats.paused)
                return;
            continue;
        }
        take(p, fd, &from);
        if (stats.paused)
            return;
    }
}

void tcp_end(struct port *p)
{
    while (!list_empty(&p->users))
        reset(container_of(p->users.next, struct conn, list));
}
