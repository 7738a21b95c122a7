/* watch - what the supervisor sees of the container's group: kills for want of memory, pressure. */
#pragma once

#include <stdbool.h>

#include "base/err.h"

struct sup;

/* oom.c */
/* Once a run, when the container has been started: it costs nothing where there is no controller
 * for memory. */
void oom_watch(struct sup *s);
/* For a run that another supervisor began: what that one knew is in the state. */
void oom_resume(struct sup *s);
/* The run has ended: a kill that nobody has been told of yet counts. */
void oom_end(struct sup *s);

/* pressure.c */
/* Takes what the record asks for (NULL: nothing) and sets the triggers on the group. */
int pressure_prepare(struct sup *s, char *const *rules, struct err *e);
void pressure_end(struct sup *s);

/* served.c: the program behind the root file system. */
void server_enter_group(struct sup *s);
int server_watch(struct sup *s, struct err *e);
void server_end(struct sup *s);
