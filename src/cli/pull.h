/* pull - run and create bring the image they lack: by rootlet-registry, as a child. */
#pragma once

#include "base/err.h"
#include "cli/runopts.h"

/* What --pull says; "" and NULL are "missing". -EINVAL: unknown. */
enum cli_pull_policy { CLI_PULL_MISSING, CLI_PULL_NEVER, CLI_PULL_ALWAYS, CLI_PULL_NEWER };
int cli_pull_policy(const char *word, struct err *e);

/* Pulls; progress and errors go to stderr, so that a failure leaves no message in e. o: the
 * registry's options and the platform; NULL: none. */
int cli_pull(const char *name, const char *policy, const struct run_opts *o, struct err *e);
