/* prune - removes what only the next build would look at. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/opt.h"

struct prune_opts {
    bool force, all, ignored;
    char **filter;
};
extern const struct opt prune_table[];
int prune_command(const struct cmd *cmd, void *opts, char **args, struct err *e);
