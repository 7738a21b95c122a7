/* create - from options to a container on disk; shared by run and create. */
#pragma once

#include "cli/runopts.h"
#include "container/container.h"

/* Makes the container that o and words (IMAGE [COMMAND...]) ask for. *ret_id: 64 digits and the
 * terminator. */
int cli_create(const struct run_opts *o, char *const *words, char *const *command_line,
               char ret_id[static ID_LEN + 1], struct err *e);
