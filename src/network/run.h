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
#include "net/addr.h"
#include "net/ports.h"
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

/* How an address stands there: owned, or NULL for none. */
char *network_addr_text(const struct net_addr *a);
char *network_cidr_text(const struct net_cidr *c);

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
/* What a run without anybody to look after it has left. Processes of ours end with the container;
 * one of others does when whoever watches over it is alive. */
void network_state_kill(const json_t *j);

enum { NETWORK_KEEP = 4, NETWORK_PROCESSES = 16 };

/* A process that serves the container, or (pid 0) a connection to one that serves several. */
struct network_process {
    char *what; /* "slirp", "ports", "pasta", or a network's name; owned; NULL: the slot is free */
    const struct network_driver *driver; /* whose revive and message are called */
    size_t join;                         /* of a network: index in plan->joins */
    pid_t pid;
    uint64_t start;
    int pidfd;              /* its end is watched; -1: none */
    int ctl;                /* SEQPACKET to it, watched for messages; -1 */
    int keep[NETWORK_KEEP]; /* what another one will need: tap, listeners...; owned, -1 */
    bool adopted;           /* no child of ours */
    int64_t since_ns;       /* begun then, monotonic */
    unsigned restarts;      /* in a row, each soon after the one before */
    unsigned tries;         /* to revive it, that have failed */
    int64_t due_ns;         /* when the next one is, or (starting) until when it has to answer; 0 */
    bool starting;          /* it was begun again and has not answered yet */
    unsigned owed;          /* answers of it that nobody waits for any more */
};

struct network_run {
    const struct conf *conf;
    const struct network_plan *plan;
    const char *id, *name, *hostname;
    int dir_fd;  /* containers/ID; borrowed */
    int run_fd;  /* RUN_ROOT/ID; borrowed */
    size_t join; /* in the calls of a driver of networks: which one */
    /* NETLINK_ROUTE of the container's namespace: the owner of its user namespace configures it
     * through this from outside. -1 before the attach and without a namespace of its own. */
    int route_fd;
    int netns_fd, userns_fd; /* kept while it runs; -1 before */
    int init_fd;             /* pidfd of the init; -1 before */
    int patience_ms;         /* so long the process of a network is waited for; 0: half a minute */
    struct network_interface *interfaces;
    size_t n_interfaces;
    char **dns;   /* what the container asks, set by attach */
    char *host;   /* the host's address that the driver has made, set by attach; or NULL */
    char **ports; /* published, as ps shows them: "0.0.0.0:8080->80/tcp" */
    struct publish *publish; /* their sockets (publish.h) */
    size_t n_publish;
    /* The container that has a port of the host (publish.h); data is event_data. */
    char *(*port_holder)(const struct net_port *p, void *data);
    char **(*pod_names)(void *data);
    struct network_process process[NETWORK_PROCESSES];
    /* An event of the container's for the journal; set by the supervisor. */
    void (*event)(void *data, const char *action, char *const *attributes);
    void *event_data;
};

/* Adds an interface; the texts are copied, the rest is for the caller to fill. */
struct network_interface *network_run_add(struct network_run *run, const char *name,
                                          const char *network);
void network_run_remove(struct network_run *run, const char *network); /* its interfaces */

/* run->route_fd, opened when it is not. A driver that enters the namespace anyway opens it there
 * with nl_open in the same go, and puts it there itself. */
int network_run_route(struct network_run *run, struct err *e);
/* In the container's network namespace, for devices to come: every address and route is given by
 * us, and no neighbour's advertisement adds others (network_run_route does this, too). */
void network_refuse_advertisements(void);
/* netns_run in the container's namespaces. */
int network_run_inside(const struct network_run *run,
                       int (*fn)(void *data, int ret_fds[], struct err *e), void *data,
                       int ret_fds[], struct err *e);
/* A WIRE_EVENT's text ("ACTION", NUL, "key=value", NUL...) into the journal. */
void network_run_event(struct network_run *run, const char *text, size_t len);

struct network_start {
    const char *what, *program; /* a name in libexec, or a path */
    char *const *argv;          /* further arguments, or NULL */
    const int *fds;             /* borrowed; the process has them from 4 on */
    size_t n_fds;
    bool foreign; /* no program of ours: no connection, fds from 3 on; 1 and 2 go to err_fd */
    int err_fd;
};
/* Starts a process: 0, 1, 2 are /dev/null (2 ours when ROOTLET_NETWORK_DEBUG is set), 3 its end of
 * p->ctl, then fds, nothing else. All that it needs to know goes over the connection (net/wire.h).
 * It is in our control group, not in the container's. Its slot, or NULL. */
struct network_process *network_process_start(struct network_run *run,
                                              const struct network_driver *d,
                                              const struct network_start *s, struct err *e);
/* The same into a slot that is there: for revive. What is kept stays. */
int network_process_again(struct network_run *run, struct network_process *p,
                          const struct network_start *s, struct err *e);
/* A slot for a connection to a process that serves several containers. Takes ctl. */
struct network_process *network_process_add(struct network_run *run, const struct network_driver *d,
                                            const char *what, int ctl, struct err *e);
/* A process of state.json, if it still runs: with its pidfd, and connected to when it listens. */
struct network_process *network_process_adopt(struct network_run *run,
                                              const struct network_driver *d, const char *what,
                                              const struct network_state *st, struct err *e);
struct network_process *network_process_find(struct network_run *run, const char *what);
/* Begun by revive, it has to answer within that time, or it is killed and begun once more; the
 * driver's message says when it has. */
void network_process_expect(struct network_process *p, int ms);
void network_process_answered(struct network_process *p);
/* Kills it and reaps it. What is kept stays: to close the last descriptor of a network device takes
 * the kernel ten milliseconds. */
void network_process_stop(struct network_process *p);
/* Then closes what is kept, too; the slot is free. */
void network_process_end(struct network_process *p);
/* A listening socket RUN_ROOT/ID/WHAT.sock, handed to the process for supervisors to come. */
int network_listen(const struct network_run *run, const char *what, struct err *e);
