/* slirp - rootlet-slirp: the user-mode network of one container, or of one user network.
 *
 *   device (tap or packet socket) -> gate -> libslirp -> sockets of the host
 *
 * It has no privileges, gets everything as descriptors, and ends with the process of its pidfd. */
#pragma once

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "net/egress.h"
#include "net/frame.h"
#include "net/wire.h"

struct Slirp;

/* What has been asked for, in the forms that the parts want. */
struct options {
    uint32_t flags, mtu;
    struct net_cidr net4, net6;
    struct net_addr gateway4, gateway6, dns4, dns6, outbound4, outbound6;
    uint16_t loopback_ports[WIRE_SLIRP_PORTS];
};

/* Messages go to whoever is the parent now; nobody there is no error. */
struct control {
    int fd, listener; /* -1 */
    int device;       /* handed to those who come later */
    int spare;        /* so that one more can be taken when a container has used up all others */
    int64_t tokens, filled_ms;
    unsigned suppressed;
};

/* Sockets at once. A TCP connection that is busy both ways takes 400 KiB (a thousand: 408 MiB):
 * MEMORY_MAX, that of the address space, is for all of them and for the packets under way. A
 * container that makes libslirp keep more (pieces of streams in the wrong order) ends the process,
 * and the supervisor starts another. */
#define FLOWS_MAX 8192 /* UDP clients, by address and port */
#define OTHERS_MAX 3072
#define FLOW_FILES 16384
#define FLOW_BUCKETS 4096
#define MEMORY_MAX ((uint64_t)3 << 29)

struct flow {
    struct net_addr client;
    uint16_t port, next;
    bool asks;                /* what comes to it is from the name server to its client */
    struct net_addr resolver; /* whom libslirp has asked for it; family 0: nobody yet */
};

struct flows {
    struct flow v[FLOWS_MAX];
    uint16_t first[FLOW_BUCKETS], of_fd[FLOW_FILES];
    uint16_t used, free;
    unsigned n_udp, n_other;
    /* The datagram that libslirp has in hand; family 0: none. */
    struct net_addr client;
    uint16_t port;
    bool question;
};

/* What may pass. */
struct gate {
    const struct options *o;
    struct egress *policy; /* NULL: everything that is well-formed */
    struct control *ctl;
    struct net_addr last; /* refusal that was told, not to be repeated for every packet */
    uint16_t last_port;
    int64_t last_ms;
    int64_t full_ms;         /* when it was told that there are too many sockets */
    bool echoes, echoes_not; /* the host lets us ping; it does not, and that was told */
    struct flows flows;
};

struct device {
    int fd;
    bool packet, broken;
};

struct stack {
    const struct options *o;
    struct device *dev;
    struct gate *gate;
    struct Slirp *slirp;
    struct pollfd *fds;
    size_t n_fds, max_fds, first; /* first: of libslirp's */
    int64_t timer_ms;             /* of the router advertisements, by libslirp's clock; -1: none */
    int64_t round_ms;             /* when libslirp had its last round; 0: never */
    uint64_t bytes;               /* since it is there */
    int64_t quiet_ms;             /* since when it has nothing to do; -1: it has */
};

int64_t now_ms(void);
/* libslirp's clock goes so many times as fast: for tests, which have no four minutes. */
extern int64_t stack_hurry;

/* options.c */
int options_read(const uint8_t *msg, size_t size, struct options *ret, struct egress **ret_policy,
                 struct err *e);

/* control.c */
void control_say(struct control *c, enum wire_type type, int value, const char *text);
/* An event with attributes ("key=value", NULL ends), unless there were too many of late. */
void control_event(struct control *c, const char *action, const char *const *attributes);
void control_reserve(struct control *c);
/* Something arrived, or somebody. */
void control_ready(struct control *c);
void control_accept(struct control *c);

/* gate.c: a frame from the container; one to it. */
enum verdict { GATE_DROP, GATE_PASS, GATE_ANSWER };
enum verdict gate_out(struct gate *g, const uint8_t *frame, size_t size,
                      uint8_t answer[static FRAME_ANSWER_MAX], size_t *ret_size);
bool gate_in(struct gate *g, const uint8_t *frame, size_t size); /* false: not to be sent */

/* flows.c */
/* A datagram that is going to libslirp, until flow_passed. False: it would be one socket too many.
 */
bool flow_datagram(struct flows *f, const struct net_addr *client, uint16_t port, bool question);
void flow_passed(struct flows *f);
/* What libslirp says of its sockets. */
void flow_opened(struct flows *f, int fd);
void flow_closed(struct flows *f, int fd);
/* The datagram in hand is sent there, by this socket. */
void flow_sent(struct flows *f, int fd, const struct net_addr *to);
/* Is what has come from there for the socket's client? */
bool flow_hears(const struct flows *f, int fd, const struct options *o, const struct net_addr *from,
                uint16_t port);
/* Does this client's socket hear the host's resolver alone? */
bool flow_asks(struct flows *f, const struct net_addr *client, uint16_t port);

/* sockets.c: libslirp's calls are those of this gate. */
void sockets_watch(struct gate *g);

/* device.c */
ssize_t device_read(struct device *d, void *buf, size_t size); /* -EAGAIN: nothing there */
void device_write(struct device *d, const void *frame, size_t size);

/* stack.c */
int stack_start(struct stack *s, struct err *e);
void stack_stop(struct stack *s);
/* Takes a frame of the container through the gate. */
void stack_wake(struct stack *s); /* before the frames of a wake-up */
void stack_input(struct stack *s, const uint8_t *frame, size_t size);
/* Fills s->fds behind the first ones; what poll(2) shall wait at most. */
int stack_prepare(struct stack *s);
void stack_serve(struct stack *s, bool failed);
/* Gives memory back when nothing has gone on for a while. */
void stack_rest(struct stack *s);
