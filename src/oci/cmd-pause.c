/* pause, resume - all processes of a container stop, and go on. cgroup-v2, cgroup.freeze */
#include <errno.h>

#include "base/str.h"
#include "oci/oci.h"

static const struct opt table[] = {{NULL}};

/* Asked of the cgroup, not of the status: a container that was not started yet can be paused too.
 */
static int change_cgroup(struct cgroup *cgroup, bool on, struct err *e)
{
    if (*cgroup_path(cgroup) && cgroup_frozen(cgroup) == on)
        return err_msg(e, EINVAL, "the container is %s paused", on ? "already" : "not");
    return cgroup_freeze(cgroup, on, e);
}

/* Changes of the status come one at a time. */
static int change(const char *id, bool on, struct err *e)
{
    scoped_oci_container struct oci_container c = OCI_CONTAINER_INIT;
    scoped_cgroup struct cgroup *cgroup = NULL;
    int r = oci_open_locked(id, &c, e);
    if (r == 0)
        r = oci_want_running(&c, true, e);
    if (r == 0)
        r = oci_open_cgroup(&c, &cgroup, e);
    if (r < 0)
        return r;
    r = change_cgroup(cgroup, on, e);
    return r;
}

static int pause_command(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    (void)opts;
    int r = change(args[0], streq(cmd->name, "pause"), e);
    return r < 0 ? err_add(e, r, "%s %s", cmd->name, args[0]) : 0;
}

const struct cmd oci_cmd_pause = {
    .name = "pause",
    .args = "ID",
    .summary = "Stop all processes of a container for a while",
    .opts = table,
    .min_args = 1,
    .max_args = 1,
    .run = pause_command,
    .examples = "rootlet-oci pause web",
};

const struct cmd oci_cmd_resume = {
    .name = "resume",
    .args = "ID",
    .summary = "Let the processes of a paused container go on",
    .opts = table,
    .min_args = 1,
    .max_args = 1,
    .run = pause_command,
    .examples = "rootlet-oci resume web",
};
