/* follow - starts a container's supervisor and, in the foreground, stays with it to the end. */
#pragma once

#include <stdbool.h>

#include "base/err.h"

/* How many sockets systemd has given to this process, from descriptor 3 on; sd_listen_fds(3). */
int follow_listen_fds(unsigned *ret, struct err *e);

struct follow {
    const char *id;
    bool in, out, err; /* streams wanted here */
    bool tty, sig_proxy;
    bool detached; /* the streams are never wanted: follow_detached comes */
    bool discard;  /* --rm: a container that does not start is removed */
    const char *detach_keys;
    const char *secret_env;              /* as in struct supervisor_opts */
    unsigned preserve_fds, listen_fds;   /* as in struct supervisor_opts */
    const char *cgroups, *cgroup_parent; /* likewise; NULL: as the record says */
    char *const *scope_properties;
    bool early; /* follow_spawn_early was called: */
    int early_fd;
    int *made_fd; /* container_create's, closed when it runs: from then on others may work on it */
};

/* Starts the supervisor while the container of that id is still being made: it gets ready meanwhile
 * and waits for the first message. Then follow_start or follow_detached takes early_fd over, or the
 * caller closes it and the supervisor ends. */
int follow_spawn_early(struct follow *f, struct err *e);

/* Starts it and returns the payload's exit status (0 after a detach by keys). */
int follow_start(const struct follow *f, struct err *e);
/* Starts it and returns 0 when the payload runs. */
int follow_detached(const struct follow *f, struct err *e);
/* Becomes its supervisor: returns only on failure. */
int follow_become(const struct follow *f, struct err *e);
/* Attaches to a running container; as follow_start. */
int follow_attach(const struct follow *f, struct err *e);
