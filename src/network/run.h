/* run - what a network driver has of one run of a container, in its supervisor.
 *
 * Processes that a driver starts live as long as the container's init, whose pidfd they poll, not
 * as long as the supervisor: when that is killed, the next one finds them by state.json and by the
 * socket RUN_ROOT/ID/WHAT.sock that they listen on. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "conf/conf.h"
#include "network/network.h"

/* An interface of the container, as it stands in state.json. Texts are owned or NULL. */
struct network_interface {
    char *name;              /* "tap0", "eth0" */
    char *network;           /* the network's name, or the driver's ("slirp") */
    char *address, *gateway; /* "10.0.2.100/24", "10.0.2.2" */
    char *address6, *gateway6;
    char *mac;
    json_t *extra;
};
extern const struct jfield network_interface_fields[];

/* state.json's "network". */
struct network_state {
    struct network_interface *interfaces;
    size_t n_interfaces;
    char **dns; /* the servers in its resolv.conf */
    struct network_proc *procs;
    size_t n_procs;
    json_t *extra;
};
struct network_proc {
    char *what;
    int32_t pid;
    uint64_t start;
    json_t *extra;
};
extern const struct jfield network_state_fields[];
/* From the raw member of state.json; an empty one for NULL or nonsense. */
void network_state_parse(const json_t *j, struct network_state *ret);
void network_state_release(struct network_state *s);

enum { NETWORK_KEEP = 4, NETWORK_PROCESSES = 16 };

/* A process that serves the container, or (pid 0) a connection to one that serves several. */
struct network_process {
    const char *what; /* "slirp", "ports", "pasta"; a network's name (owned by run) */
    const struct network_driver *driver; /* whose revive and message are called; NULL: ports */
    size_t join;                         /* of a network: index in plan->joins */
    pid_t pid;
    uint64_t start;
    int pidfd;              /* its end is watched; -1: none */
    int ctl;                /* SEQPACKET to it, watched for messages; -1 */
    int keep[NETWORK_KEEP]; /* what another one will need: tap, listeners...; owned, -1 */
    int64_t since_ns;       /* monotonic */
    unsigned restarts;      /* within the last minute */
};

struct network_run {
    const struct conf *conf;
    const struct network_plan *plan;
    const char *id, *name, *hostname;
    int dir_fd;  /* containers/ID; borrowed */
    int run_fd;  /* RUN_ROOT/ID; borrowed */
    size_t join; /* in prepare and detach of a driver of networks: which one */
    /* NETLINK_ROUTE of the container's namespace: the owner of its user namespace configures it
     * through this from outside. -1 before the attach and without a namespace of its own. */
    int route_fd;
    int netns_fd, userns_fd; /* kept while it runs; -1 before */
    int init_fd;             /* pidfd of the init; borrowed; -1 before */
    struct network_interface *interfaces;
    size_t n_interfaces;
    char **dns;   /* what the container asks, set by attach */
    char **ports; /* published, as ps shows them: "0.0.0.0:8080->80/tcp" */
    struct network_process process[NETWORK_PROCESSES];
    size_t n_processes;
    /* An event for the journal ("network", attributes "key=value"); set by the supervisor. */
    void (*event)(void *data, const char *action, char *const *attributes);
    void *event_data;
};

/* Adds an interface; the texts are copied. */
struct network_interface *network_run_add(struct network_run *run, const char *name,
                                          const char *network);
/* Starts libexec/PROGRAM with nothing but: 0 and 1 /dev/null, 2 /dev/null (stderr with
 * ROOTLET_NETWORK_DEBUG set), 3 its end of ret->ctl, 4 and following the descriptors of fds. argv
 * are further arguments or NULL. ret is a slot of run->process. All else that it needs goes over
 * the connection (net/wire.h). NULL on error. */
struct network_start {
    const char *what, *program;
    char *const *argv;
    const int *fds;
    size_t n_fds;
    bool external; /* program is a path, has no connection; 1 and 2 are errors' file err_fd */
    int err_fd;
};
struct network_process *network_process_start(struct network_run *run,
                                              const struct network_driver *d,
                                              const struct network_start *s, struct err *e);
/* The same into a slot that is there: for revive. What is kept stays. */
int network_process_again(struct network_process *p, struct network_run *run,
                          const struct network_start *s, struct err *e);
struct network_process *network_process_find(struct network_run *run, const char *what);
/* Kills it, reaps it, closes what is kept, and takes it out of the run. */
void network_process_end(struct network_run *run, struct network_process *p);
/* A listening socket RUN_ROOT/ID/NAME for supervisors to come, handed to the process. fd, owned. */
int network_listen(const struct network_run *run, const char *name, struct err *e);
/* In a process that has entered the container's namespaces: see sys/netns.h. */
int network_run_inside(const struct network_run *run,
                       int (*fn)(void *data, int ret_fds[], struct err *e), void *data,
                       int ret_fds[], struct err *e);
