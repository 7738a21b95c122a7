/* healthcheck - healthcheck run. */
#include <errno.h>
#include <stddef.h>

#include "cli/cli.h"
#include "container/client.h"

struct healthcheck_opts {
    bool latest;
};
static const struct opt run_table[] = {
    {"latest", 'l', OPT_FLAG, offsetof(struct healthcheck_opts, latest), NULL,
     "The container created last"},
    {NULL},
};

/* podman's exit status: 0 well, 1 not. */
static int run_one(struct container *c, const char *typed, void *data, struct err *e)
{
    int code = 0;
    (void)data;
    if (!c->rec.health.test || streq(c->rec.health.test[0], "NONE"))
        return err_msg(e, EINVAL, "healthcheck %s: it has no health check", typed);
    if (c->state.status != CTR_RUNNING)
        return err_msg(e, EINVAL, "healthcheck %s: it is not running (%s)", typed,
                       ctr_status_names[c->state.status]);
    int r = container_health(cli_conf(), c->id, &code, e);
    return r < 0 ? err_add(e, r, "healthcheck %s", typed) : code != 0;
}

static int run_command(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct healthcheck_opts *o = opts;
    (void)cmd;
    return cli_each(args, o->latest, run_one, NULL, e);
}

const struct cmd cli_healthcheck_cmds[] = {
    {
        .name = "healthcheck run",
        .args = "CONTAINER",
        .summary = "Run a container's health check now",
        .opts = run_table,
        .opts_size = sizeof(struct healthcheck_opts),
        .max_args = 1,
        .run = run_command,
        .details = "Exit status 0 when the check succeeds, 1 when it fails, 125 when there is none "
                   "or the\ncontainer does not run. The result counts like that of any check.",
        .examples = "rootlet healthcheck run web",
    },
    {NULL},
};
