/* launch - starts a container's supervisor and follows it up to the payload's execve. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct launch_opts {
    unsigned attach; /* bits 1 stdin, 2 stdout, 4 stderr: this process will be a peer */
    bool trace_stages;
    int64_t preserve_fds; /* descriptors 3..3+n-1 for the payload */
};

/* Forks and execs rootlet-supervise for the container; returns the connection (owned) once the
 * payload runs. Failures of the start come back with their exit status (125, 126, 127) in e. */
int launch_supervisor(const char *id, const struct launch_opts *o, struct err *e);
