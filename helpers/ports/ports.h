/* ports - the parts of rootlet-ports, which forwards a container's published ports.
 *
 * The listening sockets are of the host's network namespace, where the supervisor has bound them;
 * this process joins the container's, so that what it opens is there: accept, connect, and the
 * kernel moves the data from one to the other (splice). The client's address is kept. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/err.h"
#include "net/wire.h"

/* Circular, doubly linked; the head is one too. */
struct list {
    struct list *prev, *next;
};
void list_init(struct list *l);
void list_push(struct list *head, struct list *l); /* at the end; takes it out of another one */
void list_drop(struct list *l);                    /* of its list, if it is in one */
static inline bool list_empty(const struct list *head)
{
    return head->next == head;
}
#define container_of(p, type, member) ((type *)(void *)((char *)(p)-offsetof(type, member)))

/* What epoll wakes up. ready may release what the watch is part of with loop_release. */
struct watch {
    int fd;
    void (*ready)(struct watch *w, uint32_t events);
};

union peer {
    struct sockaddr any;
    struct sockaddr_in four;
    struct sockaddr_in6 six;
};

/* A published port. */
struct port {
    struct watch watch;
    struct list list, users; /* users: its connections, or its flows */
    struct wire_ports_port spec;
    bool any; /* bound to all addresses: answers by UDP have to name the one that was asked */
    bool six; /* an IPv6 socket, maybe of both families */
};

/* loop.c */
extern struct wire_ports_stats stats;
int loop_start(struct err *e);
int loop_watch(struct watch *w, uint32_t events);
void loop_change(struct watch *w, uint32_t events);
void loop_forget(struct watch *w); /* out of epoll and closed; no more events come */
void loop_release(void *memory);   /* freed after this round, when no event names it */
uint64_t loop_now(void);           /* seconds, monotonic, of this round */
_Noreturn void loop_run(void);

extern struct list all_ports; /* struct port.list */

/* main.c */
void accept_pause(void); /* no descriptors: until a connection ends or a second is over */
void accept_resume(void);

/* space.c: the container's network namespace. */
int space_enter(const struct wire_ports_start *m, const int fds[static 4], struct err *e);
void space_addresses(const struct wire_ports_start *m);
/* A socket in there that is connected (TCP: being connected) to port of the container, and that
 * comes from client, or from the gateway when client is none that may be shown. -errno.
 * any_port: the client's own port is not kept. *ret_from: where it comes from; AF_UNSPEC: from the
 * container's own address, nothing else was possible. */
int space_connect(int type, const union peer *client, uint16_t port, bool any_port,
                  union peer *ret_from);
/* The answers of a UDP server at this port go where space_route says. */
void space_rule(uint16_t port, bool add);
/* What is sent to this address by such a server comes to us. */
void space_route(const union peer *to, bool add);

/* tcp.c */
void tcp_limits(unsigned files);
int tcp_start(struct port *p);
void tcp_accept(struct watch *w, uint32_t events);
void tcp_end(struct port *p); /* of a port that is removed */
bool tcp_work(void);          /* what has more to do; true: there is still some */

/* pipe.c */
struct pipe {
    int fd[2]; /* -1: none */
    unsigned size;
    struct list list;
};
void pipe_limits(unsigned files);
struct pipe *pipe_get(void); /* an empty one, or NULL */
void pipe_grow(struct pipe *p);
void pipe_put(struct pipe *p, bool empty);
bool pipe_pooled(void);
void pipe_trim(void);

/* udp.c */
/* So many seconds without a packet end a flow; one_shot: of one question, or without an answer. */
extern struct udp_idle {
    uint32_t stream, one_shot;
} udp_idle;
void udp_limits(unsigned files);
int udp_start(struct port *p);
void udp_ready(struct watch *w, uint32_t events);
void udp_end(struct port *p);
void udp_tick(void);

/* control.c */
/* Takes the first message and enters the namespaces; ret_fds[0] and [3] are the caller's. */
int control_begin(int fd, int ret_fds[static 4], struct err *e);
int control_answer(int fd, const struct err *e); /* to the first one */
int control_add(int fd);                         /* a connection of a supervisor's */
int control_listen(int fd);
