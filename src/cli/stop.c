/* stop - stop, kill, wait, restart. */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>

#include "base/proc.h"
#include "cli/cli.h"
#include "cli/follow.h"
#include "cli/pod.h"
#include "container/client.h"

struct stop_opts {
    bool all, latest, ignore;
    char *signal, *condition;
    int64_t time;
    bool time_set;
};

#define O(m) offsetof(struct stop_opts, m)
#define ALL_LATEST                                                                                 \
    {"all", 'a', OPT_FLAG, O(all), NULL, "All running containers"},                                \
    {                                                                                              \
        "latest", 'l', OPT_FLAG, O(latest), NULL, "The container created last"                     \
    }
#define TIME                                                                                       \
    {"time", 't',  OPT_INT, O(time),    "SECONDS", "Time from the signal to SIGKILL (10)",         \
     0,      NULL, NULL,    O(time_set)},                                                          \
    {                                                                                              \
        "timeout", 0, OPT_INT, O(time), "SECONDS", NULL, 0, "time", NULL, O(time_set)              \
    }

static const struct opt stop_table[] = {
    ALL_LATEST,
    {"ignore", 'i', OPT_FLAG, O(ignore), NULL, "A missing container is no error"},
    {"signal", 's', OPT_STRING, O(signal), "SIGNAL", "Signal instead of the container's own"},
    TIME,
    {NULL},
};
static const struct opt restart_table[] = {ALL_LATEST, TIME, {NULL}};
static const struct opt kill_table[] = {
    ALL_LATEST,
    {"signal", 's', OPT_STRING, O(signal), "SIGNAL", "Name or number (SIGKILL)"},
    {NULL},
};
static const struct opt wait_table[] = {
    {"condition", 0, OPT_STRING, O(condition), "STATE",
     "stopped (default), running, removed, healthy, unhealthy"},
    {"ignore", 'i', OPT_FLAG, O(ignore), NULL, "A missing container counts as ended with -1"},
    {"latest", 'l', OPT_FLAG, O(latest), NULL, "The container created last"},
    {NULL},
};

static bool is_alive(const struct container *c)
{
    return ctr_state_alive(&c->state);
}

/* --all: the ids of what runs. */
static int running_ids(char ***ret, struct err *e)
{
    struct ctr_state *list = NULL;
    size_t n = 0;
    int r = container_list(cli_conf(), &list, &n, e);
    if (r < 0)
        return r;
    for (size_t i = 0; i < n; i++)
        if (ctr_state_alive(&list[i]))
            strv_add(ret, list[i].id);
    container_list_free(list, n);
    return 0;
}

/* --ignore: the names that there are; say (wait's answer) is printed for each of the others. */
static char **known_names(char **args, const char *say)
{
    char **known = NULL;
    for (char **n = args; *n; n++) {
        scoped_container struct container c = {.dir_fd = -1};
        struct err e = ERR_INIT;
        if (container_open(cli_conf(), *n, &c, &e) != -ENOENT)
            strv_add(&known, *n);
        else if (say)
            puts(say);
    }
    return known;
}

static int each_known(struct stop_opts *o, char **args, const char *say, cli_each_fn *fn,
                      struct err *e)
{
    scoped_strv char **known = known_names(args, say);
    return known ? cli_each(known, o->latest, fn, o, e) : 0;
}

static int for_containers(struct stop_opts *o, char **args, cli_each_fn *fn, struct err *e)
{
    scoped_strv char **ids = NULL;
    if (!o->all && o->ignore && *args)
        return each_known(o, args, NULL, fn, e);
    if (!o->all)
        return cli_each(args, o->latest, fn, o, e);
    int r = running_ids(&ids, e);
    return r < 0 || !ids ? r : cli_each(ids, false, fn, o, e);
}

static int stop_signal(const struct container *c, const struct stop_opts *o, struct err *e)
{
    const char *name = o->signal ? o->signal : c->rec.stop_signal ? c->rec.stop_signal : "TERM";
    int sig = signal_parse(name);
    return sig > 0 ? sig : err_msg(e, EINVAL, "signal \"%s\": no such signal", name);
}

static int do_stop(struct container *c, const struct stop_opts *o, struct err *e)
{
    if (!is_alive(c))
        return 0; /* the wish is fulfilled, as with docker and podman */
    int sig = stop_signal(c, o, e);
    if (sig < 0)
        return sig;
    int64_t seconds = o->time_set ? o->time : c->rec.stop_timeout_s;
    int ms = seconds < 0 ? -1 : seconds > INT_MAX / 1000 ? INT_MAX : (int)seconds * 1000;
    int r = container_stop(cli_conf(), c->id, sig, ms, e);
    if (r == 0)
        container_event(cli_conf(), &c->rec, "stop", NULL);
    return r == -ENOENT || r == -ECONNREFUSED ? 0 : r;
}

static int stop_one(struct container *c, const char *typed, void *data, struct err *e)
{
    int r = do_stop(c, data, e);
    if (r < 0)
        return err_add(e, r, "stop %s", typed);
    puts(typed);
    return 0;
}

static int stop_command(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    (void)cmd;
    return for_containers(opts, args, stop_one, e);
}

static int restart_one(struct container *c, const char *typed, void *data, struct err *e)
{
    struct follow f = {.id = c->id};
    if (is_alive(c) && c->rec.auto_remove)
        return err_hint(
            e, err_msg(e, EINVAL, "restart %s: it was made with --rm, its end removes it", typed),
            "of a service: systemctl --user restart UNIT; else run it anew, without --rm");
    int r = do_stop(c, data, e);
    if (r == 0)
        r = cli_pod_of(&c->rec, e);
    if (r == 0)
        r = follow_detached(&f, e);
    if (r < 0)
        return err_add(e, r, "restart %s", typed);
    container_event(cli_conf(), &c->rec, "restart", NULL);
    puts(typed);
    return 0;
}

static int restart_command(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    (void)cmd;
    return for_containers(opts, args, restart_one, e);
}

static int kill_one(struct container *c, const char *typed, void *data, struct err *e)
{
    const struct stop_opts *o = data;
    char attribute[24];
    int sig = o->signal ? signal_parse(o->signal) : SIGKILL;
    if (sig <= 0)
        return err_msg(e, EINVAL, "kill: signal \"%s\": no such signal", o->signal);
    if (!is_alive(c))
        return err_msg(e, EINVAL, "kill %s: it is not running (%s)", typed,
                       ctr_status_names[c->state.status]);
    int r = container_signal(cli_conf(), c->id, sig, e);
    if (r < 0)
        return err_add(e, r, "kill %s", typed);
    snprintf(attribute, sizeof(attribute), "signal=%d", sig);
    container_event(cli_conf(), &c->rec, "kill", attribute);
    puts(typed);
    return 0;
}

static int kill_command(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    (void)cmd;
    return for_containers(opts, args, kill_one, e);
}

/* The supervisor may have gone between our look at the state and our call: then the state that it
 * has left behind holds the answer. */
static int wait_for_end(const struct container *c, int *ret_code, struct err *e)
{
    int r = container_wait(cli_conf(), c->id, ret_code, e);
    for (int tries = 0; (r == -ENOENT || r == -ECONNREFUSED) && tries < 200; tries++) {
        scoped_container struct container now = {.dir_fd = -1};
        err_clear(e);
        r = container_open(cli_conf(), c->id, &now, e);
        if (r < 0)
            return r;
        if (!is_alive(&now)) {
            *ret_code = now.state.exit_code;
            return 0;
        }
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL); /* it is on its way out */
        r = container_wait(cli_conf(), c->id, ret_code, e);
    }
    return r;
}

static bool for_health(const struct stop_opts *o)
{
    return streq(o->condition, "healthy") || streq(o->condition, "unhealthy");
}

/* Until the check says so, or the container has ended: then that is the answer. */
static int wait_for_health(struct container *c, const char *typed, const char *wanted,
                           struct err *e)
{
    if (!c->rec.health.test || streq(c->rec.health.test[0], "NONE"))
        return err_msg(e, EINVAL, "wait %s: it has no health check", typed);
    for (;;) {
        scoped_container struct container now = {.dir_fd = -1};
        int r = container_open_id(cli_conf(), c->id, &now, e);
        if (r < 0)
            return err_add(e, r, "wait %s", typed);
        bool alive = is_alive(&now);
        if (!alive || (now.state.status == CTR_RUNNING && streq(now.state.health, wanted))) {
            printf("%d\n", alive ? -1 : now.state.exit_code);
            return 0;
        }
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    }
}

static int wait_one(struct container *c, const char *typed, void *data, struct err *e)
{
    const struct stop_opts *o = data;
    int code = c->state.exit_code;
    if (for_health(o))
        return wait_for_health(c, typed, o->condition, e);
    if (o->condition && streq(o->condition, "running") && is_alive(c)) {
        puts("-1");
        return 0;
    }
    if (is_alive(c)) {
        int r = wait_for_end(c, &code, e);
        if (r < 0)
            return err_add(e, r, "wait %s", typed);
    }
    printf("%d\n", code);
    return 0;
}

static int wait_command(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    struct stop_opts *o = opts;
    (void)cmd;
    if (o->condition && !streq(o->condition, "stopped") && !streq(o->condition, "exited") &&
        !streq(o->condition, "running") && !streq(o->condition, "removed") && !for_health(o))
        return err_msg(e, EINVAL,
                       "wait --condition %s: not stopped, running, removed, healthy or unhealthy",
                       o->condition);
    if (o->ignore && *args)
        return each_known(o, args, "-1", wait_one, e);
    return cli_each(args, o->latest, wait_one, o, e);
}

#define VERB(n, a, s, t, f, al, ex)                                                                \
    {                                                                                              \
        .name = n, .args = a, .summary = s, .opts = t, .opts_size = sizeof(struct stop_opts),      \
        .max_args = -1, .run = f, .aliases = al, .examples = ex                                    \
    }

static const char *const stop_aliases[] = {"container stop", NULL};
static const char *const restart_aliases[] = {"container restart", NULL};
static const char *const kill_aliases[] = {"container kill", NULL};
static const char *const wait_aliases[] = {"container wait", NULL};

const struct cmd cli_stop_cmds[] = {
    VERB("stop", "CONTAINER [CONTAINER...]", "End containers: signal, wait, SIGKILL", stop_table,
         stop_command, stop_aliases, "rootlet stop -t 2 web"),
    VERB("kill", "CONTAINER [CONTAINER...]", "Send a signal to containers", kill_table,
         kill_command, kill_aliases, "rootlet kill -s HUP web"),
    VERB("restart", "CONTAINER [CONTAINER...]", "Stop containers and start them again",
         restart_table, restart_command, restart_aliases, "rootlet restart web"),
    VERB("wait", "CONTAINER [CONTAINER...]", "Wait until containers end and print exit codes",
         wait_table, wait_command, wait_aliases, "rootlet wait web"),
    {NULL},
};
