/* scope - the parts of rootlet-scope. */
#pragma once

#include <stdbool.h>
#include <systemd/sd-bus.h>

#include "base/err.h"
#include "base/jfield.h"
#include "base/scoped.h"

#define UNIT_EXISTS "org.freedesktop.systemd1.UnitExists"
#define CALL_USEC (60 * 1000000ULL) /* how long the manager may take to answer, or to do a job */

static inline void scoped_message_fn(sd_bus_message **m)
{
    sd_bus_message_unref(*m);
}
#define scoped_message SCOPED(scoped_message_fn)

struct manager {
    sd_bus *bus;
    bool user;
    bool peer;       /* connected to the manager itself, without a bus between */
    char job[256];   /* whose end is waited for; "" none */
    char result[64]; /* how it ended; "" not yet */
};

/* Connects to the manager of the user or the system. */
int manager_open(struct manager *m, struct err *e);
/* One that executes itself anew (daemon-reexec) has no socket for a moment: waits for it to come
 * back. At once done where none has ever been. */
int manager_await(struct manager *m, struct err *e);
void manager_close(struct manager *m);
struct scope_request {
    const char *unit;
    const json_t *properties;
    unsigned pid;
    int pidfd;    /* of the process too; -1: there is none, or the manager does not take it */
    bool replace; /* session_make: nothing that lives uses a scope of that name */
};
/* Makes a scope with the process in it, by one call; waits until it is there. error: the manager's,
 * to be freed. */
int manager_start_once(struct manager *m, const struct scope_request *q, sd_bus_error *error,
                       struct err *e);
void manager_reset_failed(struct manager *m, const char *unit);
/* The same, with a second and third try where that helps. */
int manager_start(struct manager *m, const struct scope_request *q, struct err *e);
/* Puts a process into the group "/a/b" below the unit's, "" for its own. */
int manager_attach(struct manager *m, const char *unit, const char *below, unsigned pid,
                   struct err *e);
int manager_set(struct manager *m, const char *unit, const json_t *properties, struct err *e);
/* Kills what is in it, waits until it is gone; fine when it is already. */
int manager_stop(struct manager *m, const char *unit, struct err *e);

/* session.c: a scope for a supervisor, which may be named otherwise if that name is taken; in it
 * the groups supervisor/, with the process, and container/; controllers are handed down. Properties
 * that the manager does not know are left out. */
int session_make(struct manager *m, const struct scope_request *q, struct err *e);

/* Appends the elements of an a(sv); -EINVAL for a property that is malformed. */
int properties_append(sd_bus_message *message, const json_t *properties, struct err *e);
