/* commands-registry - what rootlet-registry does; also the verbs routed to it in cli/main.c. */
#include "imagetool/imagetool.h"

const struct cmd *const imagetool_commands[] = {
    &imagetool_pull_cmds[0],
    &imagetool_push_cmds[0],
    &imagetool_copy_cmds[0],
    &imagetool_manifest_cmds[0],
    &imagetool_http_cmds[0],
    &imagetool_login_cmds[0],
    &imagetool_login_cmds[1],
    &imagetool_search_cmds[0], /* login ... */
    NULL,
};
