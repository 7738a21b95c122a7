/* group - the control groups of a supervisor and its container, and what is done by them. */
#pragma once

#include "cgroup/session.h"
#include "container/container.h"

struct sup;

/* Of our arguments, else of the record. */
struct group_args {
    const char *driver, *parent; /* borrowed */
    char **properties;           /* owned */
    int userns_fd;               /* of group_started, or -1 */
};

/* Asks for the control groups as s->groups says; with a manager they are on their way then. */
int group_begin(struct sup *s, struct err *e);
/* Those of the record, unless they were begun already. */
int group_begin_recorded(struct sup *s, const struct ctr_record *rec, struct err *e);
/* The container's group anew, with its limits, for every start. As engine_params.await_cgroup. */
int group_container(void *sup, struct cgroup **ret, struct err *e);
/* The same, but only if the groups are there already: then the init is born in it, else s->cgroup
 * is NULL and it goes there later. */
int group_container_now(struct sup *s, struct err *e);
/* Everything in the container's group is sent SIGKILL, also when it is paused. */
void group_kill(struct sup *s);
/* The init is there. */
void group_started(struct sup *s);
/* The init has ended: so do those that shared a pid namespace with others. */
void group_init_ended(struct sup *s);
/* Stops all processes, by the freezer, or (PROTO_BY_SIGNAL) each by SIGSTOP; writes the state. */
int group_pause(struct sup *s, int how, struct err *e);
int group_unpause(struct sup *s, struct err *e);
/* What is left in them is killed; they go, or will with us. */
void group_end(struct sup *s);
