/* scope-helper - the program that speaks D-Bus to systemd, as seen from who has started it. */
#pragma once

#include "base/err.h"
#include "base/jfield.h"
#include "base/proc.h"

struct scope_helper {
    int sock; /* to it; -1: it does not run */
    struct proc_child child;
};

/* Starts it; it connects to the manager of the user or of the system at once. */
int scope_helper_start(struct scope_helper *h, bool user, struct err *e);
/* A request (helpers/scope/main.c); a pidfd goes along, or -1. */
int scope_helper_send(struct scope_helper *h, const json_t *request, int pidfd, struct err *e);
/* Waits for the answer to it. */
int scope_helper_receive(struct scope_helper *h, struct err *e);
int scope_helper_end(struct scope_helper *h, struct err *e);
/* A process into a group at or below that of a scope: between our session and a group of the user's
 * manager lies what only the manager may cross. */
int scope_helper_attach(const char *group, bool user, pid_t pid, struct err *e);
