/* holder - a process that stands in the container's namespaces while a foreign program, which wants
 * them as /proc/PID/ns, enters them. The container's own process cannot be looked at. */
#pragma once

#include "network/run.h"

struct holder {
    pid_t pid;
    int pidfd, sock;
};
int holder_start(const struct network_run *run, struct holder *ret, struct err *e);
void holder_end(struct holder *h);
