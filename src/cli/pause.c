/* pause - pause and unpause: all processes of a container stop, and go on. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>

#include "cli/select.h"
#include "container/client.h"

struct pause_opts {
    bool all, latest, signal;
    char **cidfile, **filter;
};

#define O(m) offsetof(struct pause_opts, m)
#define SELECTION                                                                                  \
    {"cidfile", 0, OPT_STRV, O(cidfile), "FILE", "The container whose id a file has"},             \
        {"filter", 'f', OPT_STRV, O(filter), "KEY=VALUE", "Only those, as of ps"},                 \
    {                                                                                              \
        "latest", 'l', OPT_FLAG, O(latest), NULL, "The container created last"                     \
    }
static const struct opt pause_table[] = {
    {"all", 'a', OPT_FLAG, O(all), NULL, "All running containers"},
    SELECTION,
    {"signal", 0, OPT_FLAG, O(signal), NULL, "Without a cgroup: stop each process by SIGSTOP"},
    {NULL},
};
static const struct opt unpause_table[] = {
    {"all", 'a', OPT_FLAG, O(all), NULL, "All paused containers"},
    SELECTION,
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
    int r = container_request(cli_conf(), c->id, &head, NULL, e);
    if (r < 0)
        return err_add(e, r, "%s %s", verb, typed);
    puts(typed);
    return 0;
}

static bool is_running(const struct ctr_state *s)
{
    return s->status == CTR_RUNNING;
}

static bool is_paused(const struct ctr_state *s)
{
    return s->status == CTR_PAUSED;
}

static int run(const struct pause_opts *o, bool pause, char **args, struct err *e)
{
    struct pausing p = {.o = o, .pause = pause};
    const struct cli_selection s = {
        .all = o->all,
        .latest = o->latest,
        .cidfile = o->cidfile,
        .filter = o->filter,
        .of_all = pause ? is_running : is_paused,
    };
    scoped_strv char **names = NULL;
    int r = cli_select(&s, args, &names, e);
    return r < 0 || !names ? r : cli_each(names, false, pause_one, &p, e);
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
        .args = "[CONTAINER...]",
        .summary = "Stop all processes of containers for a while",
        .opts = pause_table,
        .opts_size = sizeof(struct pause_opts),
        .max_args = -1,
        .run = pause_command,
        .aliases = pause_aliases,
        .details = "The freezer of its control group stops them, which they cannot notice.",
        .examples = "rootlet pause web\nrootlet pause --filter label=stage=test",
    },
    {
        .name = "unpause",
        .args = "[CONTAINER...]",
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
