/* session - the network of one run of a container: its drivers, its published ports, its processes.
 *
 * Used by the supervisor: new before the container is made, attach while it waits, state for
 * state.json, then ready for each descriptor of watch until the end. */
#pragma once

#include "network/run.h"

struct network_request {
    const struct conf *conf;
    const struct network_plan *plan; /* borrowed for the session's life */
    const char *id;                  /* borrowed */
    const char *name, *hostname;
    int dir_fd, run_fd; /* borrowed */
    void (*event)(void *data, const char *action, char *const *attributes);
    char *(*port_holder)(const struct net_port *p, void *data);
    char **(*pod_names)(void *data); /* of the containers that share this network; owned */
    void *event_data;                /* of all of them */
};

struct network_session;

/* Binds the ports, starts what takes time. NULL in *ret: the plan needs nothing of the supervisor.
 */
int network_session_new(const struct network_request *req, struct network_session **ret,
                        struct err *e);
/* engine_params.attach: the container waits meanwhile. */
int network_session_attach(void *session, const struct network_target *t, struct err *e);
/* A container that runs already, and whose supervisor was killed. */
struct network_was {
    const json_t *state; /* "network" of state.json */
    char *const *ports;
    pid_t pid; /* of the init */
    int pidfd;
};
/* What cannot be reached any more is left out, and told by events. */
int network_session_adopt(const struct network_request *req, const struct network_was *was,
                          struct network_session **ret, struct err *e);
/* For state.json: new references; ports and networks are owned by the caller. */
json_t *network_session_emit(const struct network_session *n);
char **network_session_ports(const struct network_session *n);
char **network_session_networks(const struct network_session *n);
/* The descriptors to be watched for input: pidfds of its processes and connections to them. ret
 * has room for NETWORK_FDS. They change with every call that takes a session that is not const. */
enum { NETWORK_FDS = 2 * NETWORK_PROCESSES + 1 };
size_t network_session_watch(const struct network_session *n, int ret[NETWORK_FDS]);
/* Some of them are ready. 1: something of the state has changed; 0: nothing has. */
int network_session_ready(struct network_session *n);
/* Those that were started by it. */
size_t network_session_pids(const struct network_session *n, pid_t ret[NETWORK_PROCESSES]);
/* Is that a child that the session itself reaps? */
bool network_session_owns(const struct network_session *n, pid_t pid);
/* While it runs. Of its own copy of the plan; the record is for who asks. A port as -p takes it;
 * the sockets are bound here, so that errors are told to who asks. */
int network_session_connect(struct network_session *n, const struct network_join *join,
                            struct err *e);
int network_session_disconnect(struct network_session *n, const char *network, struct err *e);
int network_session_port_add(struct network_session *n, const char *port, struct err *e);
int network_session_port_remove(struct network_session *n, const char *port, struct err *e);
/* Its name is another one, for peers and in its own file of hosts. */
void network_session_rename(struct network_session *n, const char *name);
/* The container has ended: its ports are free and its processes gone when this returns. What is
 * left are descriptors whose closing takes time. */
void network_session_stop(struct network_session *n);
/* Everything is taken back, also of one that did not start. */
void network_session_end(struct network_session *n);
/* The same, but its network lives on (the supervisor leaves it). */
void network_session_leave(struct network_session *n);
