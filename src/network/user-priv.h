/* What user.c needs of user-manager.c: a conversation with the process of a network. */
#pragma once

#include "net/wire.h"
#include "network/drivers-priv.h"

/* What a container was given in a network; descriptors are owned. */
struct user_lease {
    char interface[16];
    struct wire_network_reply reply;
    int ctl;      /* the connection: its end is the end of the process */
    int space[2]; /* user and network namespace: with them a successor can go on. In and out */
};
#define USER_LEASE_INIT                                                                            \
    {                                                                                              \
        .ctl = -1, .space = { -1, -1 }                                                             \
    }
void user_lease_release(struct user_lease *l);

/* The configuration of a network as its process takes it. */
int user_network_load(const struct conf *c, const char *name, struct wire_network *ret,
                      struct err *e);
/* Asks the network's process, which is started if there is none. */
int user_exchange(const struct network_run *run, struct wire_network_request *q,
                  struct user_lease *l, struct err *e);
/* One request without an answer of interest: q's head.type and peer, with fd (-1: none). */
int user_tell(const struct network_run *run, const char *network, int ctl,
              struct wire_network_request *q, int fd);
/* A socket in a network's namespace, to its name server; -ENOENT: it has none. */
int user_dns_socket(const struct network_run *run, const char *network, const int space[2]);
