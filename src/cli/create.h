/* create - from options to a container on disk; shared by run and create. */
#pragma once

#include "cgroup/cgroup.h"
#include "cli/runopts.h"
#include "container/container.h"

/* Its control groups and its limits, decided before anything is made. */
struct cli_groups {
    bool chosen;
    json_t *limits;    /* linux.resources to be; owned */
    bool pids_default; /* nobody asked for the limit of processes in it */
    struct cgroup_choice choice;
    int made_fd; /* container_create's descriptor: no prune takes the new container; or -1 */
};
#define CLI_GROUPS_INIT                                                                            \
    {                                                                                              \
        .made_fd = -1                                                                              \
    }
/* given: linux.resources of --spec, or NULL. A limit that was asked for and cannot be set fails. */
int cli_choose_groups(const struct run_opts *o, const json_t *given, struct cli_groups *ret,
                      struct err *e);
void cli_groups_release(struct cli_groups *g);
#define scoped_groups SCOPED(cli_groups_release)

/* Makes the container that o and words (IMAGE [COMMAND...]) ask for, under a new id of the caller's
 * (id_random). g: what was chosen, or zeroed: then it is chosen here. */
int cli_create(const struct run_opts *o, char *const *words, char *const *command_line,
               const char *id, struct cli_groups *g, struct err *e);
