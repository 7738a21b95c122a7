/* state - what is known about a container, as the specification has it. */
#include <stdio.h>

#include "base/str.h"
#include "oci/oci.h"

static const struct opt table[] = {{NULL}};

static int state_command(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    scoped_oci_container struct oci_container c = OCI_CONTAINER_INIT;
    (void)cmd, (void)opts;
    int r = oci_open(args[0], &c, e);
    if (r < 0)
        return r;
    scoped_json json_t *j = oci_state_json(&c, true);
    scoped_free char *text = json_text(j, true);
    puts(text);
    return 0;
}

const struct cmd oci_cmd_state = {
    .name = "state",
    .args = "ID",
    .summary = "Print the state of a container as JSON",
    .opts = table,
    .min_args = 1,
    .max_args = 1,
    .run = state_command,
    .examples = "rootlet-oci state web",
};
