/* network - how a container's network namespace comes to be, by driver. */
#pragma once

#include <jansson.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/jfield.h"
#include "spec/spec.h"

struct conf;

/* What was asked for, kept in the container's record. */
struct network_plan {
    char *mode;   /* "none", "host", "container", "ns", later "slirp", "bridge" */
    char *target; /* container id, or path of a namespace */
    char **options;
    json_t *extra;
};
extern const struct jfield network_plan_fields[];

struct network_driver {
    const char *name;
    const char *summary;
    const char *target; /* what follows "name:" ("ID"); NULL: nothing may */
    int (*probe)(char why[static 256]);
    /* Policy: puts the right namespace entry into the spec. For "container" the caller has replaced
     * the id in target by the running container's /proc/PID/ns/net. */
    int (*plan)(const struct network_plan *p, struct spec *s, struct err *e);
    /* Supervisor side, the child waits; netns_fd is the container's. NULL: nothing to do. */
    int (*attach)(const struct network_plan *p, int netns_fd, int userns_fd, struct err *e);
    void (*detach)(const struct network_plan *p);
    /* In the container's namespaces before the root is entered (loopback up). NULL: nothing. */
    int (*inside)(const struct network_plan *p, struct err *e);
};

/* Parses "--network MODE" ("none", "container:ID"): the plan; unknown modes name the known ones. */
int network_parse(const char *text, struct network_plan *ret, struct err *e);
void network_plan_release(struct network_plan *p);
const struct network_driver *network_driver_get(const char *mode, struct err *e);
const struct network_driver *const *network_drivers(void); /* NULL-terminated, for info */
/* lo up in the current network namespace (ioctl SIOCSIFFLAGS). */
int network_loopback_up(struct err *e);
/* Opens a network namespace by path and proves that it is one (NS_GET_NSTYPE, ioctl_ns(2)).
 * Returns an fd or -errno. */
int network_open_namespace(const char *path, struct err *e);
