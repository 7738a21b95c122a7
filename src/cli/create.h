/* create - from options to a container on disk; shared by run and create. */
#pragma once

#include "cli/runopts.h"
#include "container/container.h"

/* Makes the container that o and words (IMAGE [COMMAND...]) ask for, under a new id of the caller's
 * (id_random). */
int cli_create(const struct run_opts *o, char *const *words, char *const *command_line,
               const char *id, struct err *e);
