/* select - which containers a verb works on: names, files with ids, filters, --all, --latest. */
#pragma once

#include "cli/cli.h"

struct cli_selection {
    bool all, latest;
    bool ignore;    /* a name that there is no container of is left out */
    char **cidfile; /* files that hold an id in the first line */
    char **filter;  /* ps's; of the names those that it lets through, without names of all */
    /* Which ones "all" are; NULL: each. Names are asked this only with of_names. */
    bool (*of_all)(const struct ctr_state *s);
    bool of_names;
};

/* What is left of all that: the names as they were typed, and ids where nothing was; owned, NULL
 * when nothing is left. -EINVAL when nothing was given at all, or what excludes each other. */
int cli_select(const struct cli_selection *s, char **args, char ***ret, struct err *e);

/* For of_all. */
bool cli_is_alive(const struct ctr_state *s);
