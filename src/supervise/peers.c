/* peers - the commands that talk to us, and how much of our output each has got.
 *
 * Output that somebody has not taken is kept once for all, as a list of messages; each peer has a
 * place in it. Beyond OUT_MAX those farthest behind are dropped, so that no number of stuck peers
 * costs more memory. The owner is never dropped: while it lags, nothing more is read. */
#include "supervise/supervise.h"

#include "network/session.h"
#include "supervise/health.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "supervise/join.h"
#include "sys/sock.h"

#define ACCEPT_RETRY_MS 200

static void on_peer(void *data, uint32_t events);

static struct chunk *chunk_new(enum proto_type type, int32_t a, int32_t b, const void *data,
                               uint32_t len)
{
    struct chunk *c = malloc(sizeof(*c) + len);
    if (!c)
        return NULL;
    c->next = NULL;
    c->head = (struct proto_head){.type = (uint32_t)type, .a = a, .b = b, .len = len};
    if (len)
        memcpy(c->data, data, len);
    return c;
}

static void watch(struct peer *p)
{
    uint32_t events = p->reply ? 0 : EPOLLIN;
    if (p->out || p->reply || p->ack_due)
        events |= EPOLLOUT;
    if (loop_fd(p->sup->loop, p->fd, events, on_peer, p, NULL) < 0)
        p->gone = true;
}

/* Frees messages that all have. */
static void trim(struct sup *s)
{
    while (s->out_head) {
        for (struct peer *p = s->peers; p; p = p->next)
            if (p->out == s->out_head)
                return;
        struct chunk *c = s->out_head;
        s->out_head = c->next;
        s->out_bytes -= sizeof(*c) + c->head.len;
        free(c);
    }
    s->out_tail = NULL;
}

static void free_peer(struct sup *s, struct peer *p)
{
    bool was_owner = p->owner;
    loop_forget(s->loop, p->fd);
    close(p->fd);
    stdio_forget_peer(s, p);
    /* Its end of the input pipe has closed. Terminals have no such end. */
    if (was_owner && !p->detached && (p->want & PROTO_WANT_STDIN) && !s->tty)
        stdio_input(s, NULL, NULL, 0);
    if (was_owner)
        s->owner = NULL;
    join_member_gone(s, p);
    free(p->reply);
    free(p);
    if (was_owner)
        sup_event(s, EV_OWNER_GONE, NULL, NULL, NULL);
}

void peers_settle(struct sup *s)
{
    bool again;
    do {
        again = false;
        for (struct peer **at = &s->peers; *at; at = &(*at)->next) {
            struct peer *p = *at;
            if (!p->gone)
                continue;
            *at = p->next;
            free_peer(s, p); /* what follows from it may change the list */
            again = true;
            break;
        }
    } while (again);
    trim(s);
    stdio_update(s);
    finish_if_flushed(s);
}

static bool wants(const struct peer *p, uint32_t type)
{
    if (p->detached || p->gone)
        return false;
    if (type == PROTO_STDOUT)
        return p->want & PROTO_WANT_STDOUT;
    if (type == PROTO_STDERR)
        return p->want & PROTO_WANT_STDERR;
    /* Others wait for the end only; a message before it would be taken for that. */
    return type == PROTO_EXIT || p->owner;
}

/* 0, -EAGAIN when its socket is full, else it is gone. */
static int send_now(struct peer *p, const struct proto_head *h, const void *data)
{
    int r = proto_send(p->fd, (enum proto_type)h->type, h->a, h->b, data, h->len);
    if (r < 0 && r != -EAGAIN)
        p->gone = true;
    return r;
}

static void append(struct sup *s, struct chunk *c)
{
    if (s->out_tail)
        s->out_tail->next = c;
    else
        s->out_head = c;
    s->out_tail = c;
    s->out_bytes += sizeof(*c) + c->head.len;
}

/* Those that hold the oldest messages go, until there is room. */
static void drop_laggards(struct sup *s)
{
    while (s->out_bytes > OUT_MAX && s->out_head) {
        bool dropped = false;
        for (struct peer *p = s->peers; p; p = p->next)
            if (p->out == s->out_head && !p->owner) {
                p->gone = true;
                p->out = NULL;
                dropped = true;
            }
        if (!dropped)
            return;
        trim(s);
    }
}

void peers_send(struct sup *s, enum proto_type type, int32_t a, int32_t b, const void *data,
                uint32_t len)
{
    struct proto_head head = {.type = (uint32_t)type, .a = a, .b = b, .len = len};
    struct chunk *c = NULL;
    bool behind = false;
    for (struct peer *p = s->peers; p; p = p->next) {
        if (!wants(p, head.type))
            continue;
        if (!p->out && send_now(p, &head, data) != -EAGAIN)
            continue;
        behind = true;
        if (!c && !(c = chunk_new(type, a, b, data, len))) {
            p->gone =
                true; /* no memory: better a peer without output than a container without us */
            continue;
        }
        if (!p->out) {
            p->out = c;
            watch(p);
        }
    }
    if (behind && c)
        append(s, c);
    drop_laggards(s);
    stdio_update(s);
}

/* Sends what waits for this peer, as far as its socket takes it. */
static void flush(struct peer *p)
{
    if (p->reply) {
        if (send_now(p, &p->reply->head, p->reply->data) == -EAGAIN)
            return;
        free(p->reply);
        p->reply = NULL;
    }
    if (p->ack_due && !p->gone) {
        struct proto_head head = {.type = PROTO_STDIN_ACK, .a = (int32_t)p->ack_due};
        if (send_now(p, &head, NULL) == -EAGAIN)
            return;
        p->ack_due = 0;
    }
    while (p->out && !p->gone) {
        if (wants(p, p->out->head.type) && send_now(p, &p->out->head, p->out->data) == -EAGAIN)
            return;
        p->gone |= p->out == p->last;
        p->out = p->out->next;
    }
}

static void reply(struct peer *p, enum proto_type type, int32_t a, const struct err *e)
{
    if (p->gone || p->reply)
        return;
    p->reply = chunk_new(type, a, 0, e, e ? sizeof(*e) : 0);
    if (!p->reply)
        p->gone = true;
    flush(p);
    if (!p->gone)
        watch(p);
}

void peer_reply(struct peer *p, enum proto_type type, const struct err *e)
{
    reply(p, type, 0, e);
}

void peer_answer(struct peer *p, enum proto_type type, int32_t a)
{
    reply(p, type, a, NULL);
}

void peers_dismiss(struct sup *s, int32_t code, int32_t sig)
{
    struct chunk *c = NULL;
    for (struct peer *p = s->peers; p; p = p->next) {
        struct proto_head head = {.type = PROTO_EXIT, .a = code, .b = sig};
        if (p->gone || p->last || !(p->owner || p->want))
            continue;
        /* It is no owner of what comes, and no input of its is for the next run. */
        if (p->owner)
            s->owner = NULL;
        p->owner = false;
        p->want &= ~(unsigned)PROTO_WANT_STDIN;
        if (!p->out && send_now(p, &head, NULL) != -EAGAIN) {
            p->gone = true;
            continue;
        }
        if (!c && !(c = chunk_new(PROTO_EXIT, code, sig, NULL, 0))) {
            p->gone = true;
            continue;
        }
        p->last = c;
        if (!p->out) {
            p->out = c;
            watch(p);
        }
    }
    if (c)
        append(s, c);
}

void peer_ack(struct peer *p, uint32_t bytes)
{
    p->unacked -= bytes;
    p->ack_due += bytes;
    flush(p);
    if (!p->gone)
        watch(p);
}

bool peers_flushed(const struct sup *s)
{
    for (const struct peer *p = s->peers; p; p = p->next)
        if (p->out || p->reply)
            return false;
    return true;
}

/* --- messages from peers --- */

static void do_attach(struct peer *p, const struct proto_head *h)
{
    p->want = (unsigned)h->a & (PROTO_WANT_STDIN | PROTO_WANT_STDOUT | PROTO_WANT_STDERR);
    p->detached = false;
    /* The owner's ATTACH is no question: STARTED or ERROR is what it waits for. */
    if (!p->owner)
        peer_reply(p, PROTO_OK, NULL);
}

static int do_rename(struct sup *s, const struct proto_msg *m, struct err *e)
{
    char name[256];
    if (m->head.len >= sizeof(name))
        return err_msg(e, EINVAL, "the name is too long");
    memcpy(name, m->data, m->head.len);
    name[m->head.len] = '\0';
    if (!id_name_valid(name))
        return err_msg(e, EINVAL, "the name is not valid");
    char *copy = strdup(name);
    if (!copy)
        return err_set(e, ENOMEM, "rename");
    free(s->state.name);
    s->state.name = copy;
    if (s->net)
        network_session_rename(s->net, copy);
    state_set(s, (enum ctr_status)s->state.status);
    return 0;
}

static void do_detach(struct sup *s, struct peer *p)
{
    p->detached = true;
    p->out = NULL;
    p->want = 0;
    trim(s);
    stdio_update(s);
}

static void do_closed(struct sup *s, struct peer *p, const struct proto_head *h)
{
    if (!p->owner || s->tty)
        return;
    p->want &= ~(unsigned)h->a;
    if (h->a & PROTO_WANT_STDOUT)
        stdio_close_stream(s, STREAM_OUT);
    if (h->a & PROTO_WANT_STDERR)
        stdio_close_stream(s, STREAM_ERR);
}

static void do_stdin(struct sup *s, struct peer *p, const struct proto_msg *m)
{
    if (!(p->want & PROTO_WANT_STDIN))
        return;
    p->unacked += m->head.len;
    if (p->unacked > STDIN_MAX) {
        p->gone = true; /* it does not keep to the window */
        return;
    }
    stdio_input(s, p, m->data, m->head.len);
}

/* Requests that the table of phases decides about. */
static void do_event(struct sup *s, struct peer *p, enum event ev, const struct proto_head *h)
{
    struct err e = ERR_INIT;
    int r = sup_event(s, ev, p, h, &e);
    /* The owner's signals and START have other answers, or none. */
    if (ev == EV_START)
        return;
    if (!(p->owner && ev == EV_SIGNAL))
        peer_reply(p, r < 0 ? PROTO_REFUSED : PROTO_OK, r < 0 ? &e : NULL);
}

/* Those that are answered with OK or REFUSED at once. */
static void do_change(struct sup *s, struct peer *p, const struct proto_msg *m)
{
    struct err e = ERR_INIT;
    int r = m->head.type == PROTO_RENAME ? do_rename(s, m, &e) : net_request(s, m, &e);
    peer_reply(p, r < 0 ? PROTO_REFUSED : PROTO_OK, r < 0 ? &e : NULL);
}

static void dispatch(struct sup *s, struct peer *p, const struct proto_msg *m)
{
    /* Copied: the buffer may be used again by what follows from the message. */
    const struct proto_head head = m->head, *h = &head;
    struct err e = ERR_INIT;
    switch (h->type) {
    case PROTO_ATTACH:
        do_attach(p, h);
        break;
    case PROTO_STDIN:
        do_stdin(s, p, m);
        break;
    case PROTO_RESIZE:
        stdio_resize(s, (uint16_t)h->a, (uint16_t)h->b);
        break;
    case PROTO_SIGNAL:
        do_event(s, p, EV_SIGNAL, h);
        break;
    case PROTO_STOP:
        do_event(s, p, EV_STOP, h);
        break;
    case PROTO_RESTART:
        do_event(s, p, EV_USER_RESTART, h);
        break;
    case PROTO_START:
        if (p->owner)
            do_event(s, p, EV_START, h);
        break;
    case PROTO_DETACH:
        do_detach(s, p);
        break;
    case PROTO_CLOSED:
        do_closed(s, p, h);
        break;
    case PROTO_PAUSE:
        do_event(s, p, EV_PAUSE, h);
        break;
    case PROTO_UNPAUSE:
        do_event(s, p, EV_UNPAUSE, h);
        break;
    case PROTO_MEMBER:
        join_member(s, p);
        break;
    case PROTO_FINISH:
        do_event(s, p, EV_FINISH, h);
        break;
    case PROTO_HEALTH:
        if (health_ask(s, p, &e) < 0)
            peer_reply(p, PROTO_REFUSED, &e);
        break;
    case PROTO_RENAME:
    case PROTO_NETWORK_CONNECT:
    case PROTO_NETWORK_DISCONNECT:
    case PROTO_PORT_ADD:
    case PROTO_PORT_REMOVE:
        do_change(s, p, m);
        break;
    default: /* it is not of this protocol */
        p->gone = true;
    }
}

static void on_peer(void *data, uint32_t events)
{
    struct peer *p = data;
    struct sup *s = p->sup;
    if (events & EPOLLOUT)
        flush(p);
    if (!p->gone && !p->reply && (events & (EPOLLIN | EPOLLHUP | EPOLLERR))) {
        struct proto_msg *m = (struct proto_msg *)(void *)s->buf;
        int r = proto_recv(p->fd, m);
        if (r == 1)
            dispatch(s, p, m);
        else if (r != -EAGAIN)
            p->gone = true;
    } else if (events & (EPOLLHUP | EPOLLERR)) {
        p->gone = true; /* it cannot be written to either */
    }
    if (!p->gone)
        watch(p);
    stdio_idle(s);
    peers_settle(s);
}

int peers_add(struct sup *s, int fd, bool owner, struct err *e)
{
    struct peer *p = calloc(1, sizeof(*p));
    int flags = fcntl(fd, F_GETFL);
    if (!p || flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        free(p);
        return err_set(e, p ? errno : ENOMEM, "serve a peer");
    }
    *p = (struct peer){.next = s->peers, .sup = s, .fd = fd, .owner = owner};
    int r = loop_fd(s->loop, fd, EPOLLIN, on_peer, p, e);
    if (r < 0) {
        free(p);
        return r;
    }
    s->peers = p;
    if (owner)
        s->owner = p;
    return 0;
}

static void on_listen(void *data, uint32_t events);

static void listen_again(void *data, uint32_t events)
{
    struct sup *s = data;
    (void)events;
    (void)!loop_fd(s->loop, s->listen_fd, EPOLLIN, on_listen, s, NULL);
}

static void on_listen(void *data, uint32_t events)
{
    struct sup *s = data;
    uid_t uid;
    (void)events;
    int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) {
        /* Out of descriptors: the waiting peer keeps the socket readable, so look away a while. */
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            (void)!loop_fd(s->loop, s->listen_fd, 0, on_listen, s, NULL);
            (void)!loop_timer(s->loop, ACCEPT_RETRY_MS, listen_again, s, NULL);
        }
        return;
    }
    /* The directory is 0700 already; root could still have lent it out. */
    if (sock_peer_uid(fd, &uid) < 0 || (uid != geteuid() && uid != 0) ||
        peers_add(s, fd, false, NULL) < 0)
        close(fd);
}

int peers_listen(struct sup *s, struct err *e)
{
    s->listen_fd = sock_listen_at(s->run_fd, "attach.sock", e);
    if (s->listen_fd < 0)
        return s->listen_fd;
    return loop_fd(s->loop, s->listen_fd, EPOLLIN, on_listen, s, e);
}

void peers_close(struct sup *s)
{
    fd_close(&s->listen_fd);
    while (s->peers) {
        struct peer *p = s->peers;
        s->peers = p->next;
        close(p->fd);
        free(p->reply);
        free(p);
    }
    s->owner = NULL;
}
