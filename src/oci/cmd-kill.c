/* kill - a signal to the init of a container, or to all its processes. */
#include <errno.h>
#include <signal.h>

#include "base/proc.h"
#include "base/str.h"
#include "oci/oci.h"

struct kill_opts {
    bool all;
};

static const struct opt table[] = {
    {"all", 'a', OPT_FLAG, offsetof(struct kill_opts, all), NULL,
     "Signal every process of the container's cgroup"},
    {NULL},
};

static int signal_init(const struct oci_container *c, int sig, struct err *e)
{
    int r = oci_want_running(c, true, e);
    if (r < 0)
        return r;
    r = pidfd_signal(c->pidfd, sig);
    if (r == -ESRCH)
        return err_msg(e, ESRCH, "container not running (%s has just ended)", c->id);
    return r < 0 ? err_set(e, -r, "send %s to process %d", signal_name(sig), (int)c->rec.pid) : 0;
}

/* Its processes may be there when the init is not: without a pid namespace of their own they do
 * not end with it. */
static int kill_all(const struct oci_container *c, int sig, struct err *e)
{
    scoped_cgroup struct cgroup *cgroup = NULL;
    int r = oci_open_cgroup(c, &cgroup, e);
    if (r == -ENOENT)
        err_clear(e);
    else if (r < 0)
        return r;
    if (r == 0 && cgroup_path(cgroup)[0])
        return cgroup_kill(cgroup, sig, e);
    /* Without a cgroup the init stands for all: a pid namespace ends with it. */
    return c->status == OCI_STOPPED ? 0 : signal_init(c, sig, e);
}

static int kill_container(const struct kill_opts *o, char **args, struct err *e)
{
    scoped_oci_container struct oci_container c = OCI_CONTAINER_INIT;
    /* 0 only asks whether there is something to signal. kill(2) */
    int sig = !args[1] ? SIGTERM : streq(args[1], "0") ? 0 : signal_parse(args[1]);
    if (sig < 0)
        return err_msg(e, EINVAL, "unknown signal \"%s\"", args[1]);
    int r = oci_open(args[0], &c, e);
    if (r < 0)
        return r;
    return o->all ? kill_all(&c, sig, e) : signal_init(&c, sig, e);
}

static int kill_command(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    (void)cmd;
    int r = kill_container(opts, args, e);
    return r < 0 ? err_add(e, r, "kill %s", args[0]) : 0;
}

const struct cmd oci_cmd_kill = {
    .name = "kill",
    .args = "ID [SIGNAL]",
    .summary = "Send a signal (default: TERM) to a container's init",
    .opts = table,
    .opts_size = sizeof(struct kill_opts),
    .min_args = 1,
    .max_args = 2,
    .run = kill_command,
    .examples = "rootlet-oci kill web KILL",
};
