/* pause - pause and unpause: all processes of a container stop, and go on. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>

#include "cli/cli.h"
#include "container/client.h"

struct pause_opts {
    bool all, latest, signal;
};

#define O(m) offsetof(struct pause_opts, m)
#define LATEST                                                                                     \
    {                                                                                              \
        "latest", 'l', OPT_FLAG, O(latest), NULL, "The container created last"                     \
    }
static const struct opt pause_table[] = {
    {"all", 'a', OPT_FLAG, O(all), NULL, "All running containers"},
    LATEST,
    {"signal", 0, OPT_FLAG, O(signal), NULL, "Without a cgroup: stop each process by SIGSTOP"},
    {NULL},
};
static const struct opt unpause_table[] = {
    {"all", 'a', OPT_FLAG, O(all), NULL, "All paused containers"},
    LATEST,
    {NULL},
};

struct pausing {
    const struct pause_opts *o;
    bool pause;
};

static int pause_one(struct container *c, const char *typed, void *data, struct err *e)
{
    const struct pausing *p = data;
    const char *verb = p->pause ? "pause" : "unpause";
    struct proto_head head = {.type = p->pause ? PROTO_PAUSE : PROTO_UNPAUSE,
                              .a = p->o->signal ? PROTO_BY_SIGNAL : 0};
    if (!ctr_state_alive(&c->state))
        return err_msg(e, EINVAL, "%s %s: it is not running (%s)", verb, typed,
                       ctr_status_names[c->state.status]);
    scoped_fd int fd = container_connect(cli_conf(), c->id, e);
    int r = fd < 0 ? fd : client_request(fd, &head, NULL, e);
    if (r < 0)
        return err_add(e, r, "%s %s", verb, typed);
    puts(typed);
    return 0;
}

static int ids_with(enum ctr_status status, char ***ret, struct err *e)
{
    struct ctr_state *list = NULL;
    size_t n = 0;
    int r = container_list(cli_conf(), &list, &n, e);
    for (size_t i = 0; r == 0 && i < n; i++)
        if (list[i].status == (int)status)
            strv_add(ret, list[i].id);
    container_list_free(list, n);
    return r;
}

static int run(const struct pause_opts *o, bool pause, char **args, struct err *e)
{
    struct pausing p = {.o = o, .pause = pause};
    scoped_strv char **ids = NULL;
    if (!o->all)
        return cli_each(args, o->latest, pause_one, &p, e);
    if (*args || o->latest)
        return err_msg(e, EINVAL, "--all and %s exclude each other", *args ? "names" : "--latest");
    int r = ids_with(pause ? CTR_RUNNING : CTR_PAUSED, &ids, e);
    return r < 0 || !ids ? r : cli_each(ids, false, pause_one, &p, e);
}

static int pause_command(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    (void)cmd;
    return run(opts, true, args, e);
}

static int unpause_command(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    (void)cmd;
    return run(opts, false, args, e);
}

static const char *const pause_aliases[] = {"container pause", NULL};
static const char *const unpause_aliases[] = {"container unpause", NULL};

const struct cmd cli_pause_cmds[] = {
    {
        .name = "pause",
        .args = "CONTAINER [CONTAINER...]",
        .summary = "Stop all processes of containers for a while",
        .opts = pause_table,
        .opts_size = sizeof(struct pause_opts),
        .max_args = -1,
        .run = pause_command,
        .aliases = pause_aliases,
        .details = "The freezer of its control group stops them, which they cannot notice.",
        .examples = "rootlet pause web",
    },
    {
        .name = "unpause",
        .args = "CONTAINER [CONTAINER...]",
        .summary = "Let paused containers go on",
        .opts = unpause_table,
        .opts_size = sizeof(struct pause_opts),
        .max_args = -1,
        .run = unpause_command,
        .aliases = unpause_aliases,
        .examples = "rootlet unpause web\nrootlet unpause --all",
    },
    {NULL},
};
