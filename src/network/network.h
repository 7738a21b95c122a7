/* network - how a container's network comes to be: the plan of its record, and the drivers.
 *
 * Policy (the command line) makes a struct network_plan; driver->plan puts the namespace into the
 * specification. The supervisor carries it out: session.h, run.h. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/jfield.h"
#include "spec/spec.h"

/* One network that the container is a member of. */
struct network_join {
    char *network;   /* its name */
    char **aliases;  /* further names of the container there */
    char *ip, *ip6;  /* wanted addresses, or NULL: the next free ones */
    char *mac;       /* or NULL */
    char *interface; /* or NULL: eth0, eth1... */
    json_t *extra;
};
extern const struct jfield network_join_fields[];

/* What was asked for, kept in the container's record. */
struct network_plan {
    char
        *mode; /* "none", "host", "container", "ns", "slirp", "pasta"; "networks": those of joins */
    char *target;   /* container id, or path of a namespace */
    char **options; /* "mtu=1500" ... of slirp and pasta, checked by the driver's plan */
    struct network_join *joins;
    size_t n_joins;
    char **ports;       /* -p, each in the form of net_port_format_option (net/ports.h) */
    char **expose;      /* "80/tcp" ...: of --expose and the image, for who asks */
    char **egress;      /* --egress (net/egress.h); NULL: everything is allowed */
    char **dns;         /* --dns; NULL: the driver's own */
    char **dns_search;  /* --dns-search; {"."}: none */
    char **dns_options; /* --dns-option */
    char **add_hosts;   /* --add-host "name:address" or "name:host-gateway" */
    bool no_hosts;      /* /etc/hosts is the image's */
    char *hosts_file;   /* what /etc/hosts begins with: "none" (NULL), "image", or a path */
    json_t *extra;
};
extern const struct jfield network_plan_fields[];

/* Where the container's namespaces are, while it waits for its network, or runs. Borrowed. */
struct network_target {
    int netns_fd, userns_fd;
    int pidfd;   /* of the init */
    size_t join; /* index in plan->joins, for drivers of networks */
};

struct network_run;     /* run.h */
struct network_process; /* run.h */
struct network_state;   /* run.h */

struct network_driver {
    const char *name;
    const char *summary;
    const char *target;  /* what follows "name:" ("ID"); NULL: nothing may, or options */
    const char *options; /* "mtu=N,..." for messages and help; NULL: it takes none */
    bool joins;          /* of named networks: found by the network's configuration */
    /* Usable here? > 0, the best is the highest; 0: no. why says so in a sentence, always. */
    int (*probe)(char why[static 256]);
    /* Policy: checks the plan, puts the right namespace entry into the spec. For "container" the
     * caller has replaced the id in target by the running container's /proc/PID/ns/net. */
    int (*plan)(const struct network_plan *p, struct spec *s, struct err *e);
    /* In the container's namespaces before the root is entered (loopback up). NULL: nothing. */
    int (*inside)(const struct network_plan *p, struct err *e);

    /* The supervisor's side; NULL where there is nothing to do. With joins each of the following is
     * called once per network (t->join, else run->join). */

    /* Before the container's first process is made: what can be refused early, what takes time. */
    int (*prepare)(struct network_run *run, struct err *e);
    /* The container waits; its namespaces are in t. Adds its interfaces to the run. */
    int (*attach)(struct network_run *run, const struct network_target *t, struct err *e);
    /* The container has ended, or the start has failed, or (joins) it leaves the network. What the
     * driver's processes need not be told: they are ended by the session. */
    void (*detach)(struct network_run *run);
    /* One of its processes has ended though the container runs: another is started in its slot with
     * what is kept there (after an adoption nothing may be). The supervisor waits: what takes time
     * is left to message (network_process_expect). What fails is tried again later. */
    int (*revive)(struct network_run *run, struct network_process *p, struct err *e);
    /* Something arrived on p->ctl. 0; negative: it is of no use any more and is closed. */
    int (*message)(struct network_run *run, struct network_process *p);
    /* The supervisor of a running container was killed, and we take over; interfaces, dns, ports
     * are as state.json has them. NULL: its one process "NAME" is found by state.json and connected
     * to by NAME.sock; revived when it has ended. */
    int (*adopt)(struct network_run *run, const struct network_state *st, struct err *e);
};

/* Parses "--network MODE" ("none", "container:ID"): the plan; unknown modes name the known ones. */
int network_parse(const char *text, struct network_plan *ret, struct err *e);
void network_plan_release(struct network_plan *p);
const struct network_driver *network_driver_get(const char *mode, struct err *e);
const struct network_driver *const *network_drivers(void); /* NULL-terminated, for info */
/* Those of networks by name: "user", "bridge". */
const struct network_driver *const *network_joining_drivers(void);
/* Has the container a network namespace of its own? */
bool network_plan_own(const struct network_plan *p);
/* lo up in the current network namespace (ioctl SIOCSIFFLAGS). */
int network_loopback_up(struct err *e);
/* Opens a network namespace by path and proves that it is one (NS_GET_NSTYPE, ioctl_ns(2)).
 * Returns an fd or -errno. */
int network_open_namespace(const char *path, struct err *e);
