/* requires - what a container needs to run before it is started: its pod, and --requires. */
#pragma once

#include "container/container.h"

/* Names or ids to ids, owned; -ENOENT for one that there is none of. */
int cli_requires_resolve(char *const *names, char ***ret_ids, struct err *e);
/* Starts what a container of this record needs and what does not run yet. */
int cli_bring_up(const struct ctr_record *rec, struct err *e);
