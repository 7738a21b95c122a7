/* publish - the host's side of published ports: bound sockets, before the container starts.
 *
 * They are bound in the network namespace of whoever calls, by its rights: what the user may not
 * bind, or what is taken, is an error here and not later. The sockets go to rootlet-ports, which
 * accepts on them from within the container's namespaces. */
#pragma once

#include <stddef.h>

#include "base/err.h"
#include "net/ports.h"
#include "net/wire.h"
#include "network/network.h"

/* One socket: a single port, host number known. */
struct publish {
    struct net_port port;
    int fd; /* owned: a listening TCP socket, or a UDP one */
};

/* The name of the container of ours that has this port of the host, owned, or NULL. */
typedef char *publish_holder(const struct net_port *p, void *data);

/* Who has a port that cannot be bound, as far as /proc shows it: "process 12 (nginx)", "a program
 * of user root"; owned. NULL: nobody that is seen. */
char *publish_taken_by(const struct net_port *p);

/* Binds all of ports (texts as -p takes them, or as states show them) or none. holder may be NULL.
 * Port 0 becomes the number that the kernel has chosen. */
int publish_bind(char *const *ports, publish_holder *holder, void *data, struct publish **ret,
                 size_t *ret_n, struct err *e);
void publish_free(struct publish *v, size_t n);
void publish_append(struct publish **v, size_t *n, struct publish one); /* takes its fd */
/* For state.json and ps: "0.0.0.0:8080->80/tcp" each, owned. */
char **publish_texts(const struct publish *v, size_t n);
/* Is fd such a socket, bound to the port of the host that p says? 0 or -EINVAL. */
int publish_check(int fd, const struct net_port *p, struct err *e);

/* Talking to rootlet-ports over its connection. It answers in order: what has not been waited for
 * long enough is owed, and is passed over when it comes. */
struct publish_peer {
    int fd, wait_ms; /* for each answer; none is waited for any more after one was missing */
    bool later; /* nothing is waited for but room: answers come to who watches the connection */
    unsigned owed;
};
enum { PUBLISH_ANSWER_MS = 10000 }; /* where nobody else waits meanwhile */
/*
 * start is the first: addresses with fds {pidfd of the init, user namespace, network namespace,
 * listening socket}; all stay the caller's. It answers when it can take ports. */
struct publish_addresses {
    struct net_addr address4, gateway4, address6, gateway6; /* family 0: none */
};
int publish_send_start(struct publish_peer *to, const struct publish_addresses *a,
                       const int fds[static 4], struct err *e);
int publish_send_addresses(struct publish_peer *to, const struct publish_addresses *a,
                           struct err *e);
int publish_send_add(struct publish_peer *to, const struct publish *p, struct err *e);
int publish_send_remove(struct publish_peer *to, const struct net_port *p, struct err *e);
/* The ports that it has, with their sockets: for a supervisor that adopts. */
int publish_ask_list(struct publish_peer *to, struct publish **ret, size_t *ret_n, struct err *e);
int publish_ask_stats(struct publish_peer *to, struct wire_ports_stats *ret, struct err *e);
