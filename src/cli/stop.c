/* stop - stop, kill, restart. */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>

#include "base/proc.h"
#include "cli/cli.h"
#include "cli/follow.h"
#include "cli/requires.h"
#include "cli/select.h"
#include "container/client.h"

struct stop_opts {
    bool all, latest, ignore, running;
    char *signal;
    char **filter, **cidfile;
    int64_t time;
    bool time_set;
};

#define O(m) offsetof(struct stop_opts, m)
#define SELECTION                                                                                  \
    {"all", 'a', OPT_FLAG, O(all), NULL, "All running containers"},                                \
        {"cidfile", 0, OPT_STRV, O(cidfile), "FILE", "The container whose id a file has"},         \
    {                                                                                              \
        "latest", 'l', OPT_FLAG, O(latest), NULL, "The container created last"                     \
    }
#define FILTER                                                                                     \
    {                                                                                              \
        "filter", 'f', OPT_STRV, O(filter), "KEY=VALUE", "Only those, as of ps"                    \
    }
#define TIME                                                                                       \
    {"signal", 's', OPT_STRING, O(signal), "SIGNAL", "Signal instead of the container's own"},     \
        {"time",     't',       OPT_INT,                                                           \
         O(time),    "SECONDS", "Time from the signal to SIGKILL (10; -1: never)",                 \
         0,          NULL,      NULL,                                                              \
         O(time_set)},                                                                             \
    {                                                                                              \
        "timeout", 0, OPT_INT, O(time), "SECONDS", NULL, 0, "time", NULL, O(time_set)              \
    }

static const struct opt stop_table[] = {
    SELECTION,
    FILTER,
    {"ignore", 'i', OPT_FLAG, O(ignore), NULL, "A missing container is no error"},
    TIME,
    {NULL},
};
static const struct opt restart_table[] = {
    {"all", 'a', OPT_FLAG, O(all), NULL, "All containers"},
    {"cidfile", 0, OPT_STRV, O(cidfile), "FILE", "The container whose id a file has"},
    {"latest", 'l', OPT_FLAG, O(latest), NULL, "The container created last"},
    {"running", 0, OPT_FLAG, O(running), NULL, "Only containers that run"},
    FILTER,
    TIME,
    {NULL},
};
static const struct opt kill_table[] = {
    SELECTION,
    {"signal", 's', OPT_STRING, O(signal), "SIGNAL", "Name or number (SIGKILL)"},
    {NULL},
};

static bool is_alive(const struct container *c)
{
    return ctr_state_alive(&c->state);
}

static struct cli_selection selection(const struct stop_opts *o)
{
    return (struct cli_selection){
        .all = o->all,
        .latest = o->latest,
        .ignore = o->ignore,
        .cidfile = o->cidfile,
        .filter = o->filter,
        .of_all = cli_is_alive,
    };
}

static int stop_signal(const struct container *c, const struct stop_opts *o, struct err *e)
{
    const char *name = o->signal ? o->signal : c->rec.stop_signal ? c->rec.stop_signal : "TERM";
    int sig = signal_parse(name);
    return sig > 0 ? sig : err_msg(e, EINVAL, "signal \"%s\": no such signal", name);
}

/* As container_stop wants it. */
static int stop_ms(const struct container *c, const struct stop_opts *o)
{
    int64_t seconds = o->time_set ? o->time : c->rec.stop_timeout_s;
    return seconds < 0 ? -1 : seconds > INT_MAX / 1000 ? INT_MAX : (int)seconds * 1000;
}

static int do_stop(struct container *c, const struct stop_opts *o, struct err *e)
{
    if (!is_alive(c)) {
        container_note_end(cli_conf(), &c->state);
        return 0; /* the wish is fulfilled, as with docker and podman */
    }
    int sig = stop_signal(c, o, e);
    if (sig < 0)
        return sig;
    int r = container_stop(cli_conf(), c->id, sig, stop_ms(c, o), e);
    if (r == 0)
        container_event(cli_conf(), &c->rec, "stop", NULL);
    return r == -ENOENT || r == -ECONNREFUSED ? 0 : r;
}

static int begin_stop(struct container *c, const char *typed, void *data, struct err *e)
{
    int r = do_stop(c, data, e);
    return r < 0 ? err_add(e, r, "stop %s", typed) : 0;
}

static int tell(const char *id, const char *typed, int begun, void *data, struct err *e)
{
    (void)id, (void)begun, (void)data, (void)e;
    puts(typed);
    return 0;
}

static int stop_command(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct cli_selection s = selection(opts);
    const struct cli_parts parts = {.begin = begin_stop, .end = tell, .data = opts};
    scoped_strv char **names = NULL;
    (void)cmd;
    int r = cli_select(&s, args, &names, e);
    return r < 0 ? r : cli_each_at_once(names, &parts, e);
}

/* --- restart --- */

/* Its end would remove it: its supervisor ends the run and begins another. */
static int restart_in_place(const struct container *c, const struct stop_opts *o, struct err *e)
{
    int ms, sig = stop_signal(c, o, e);
    if (sig < 0)
        return sig;
    ms = stop_ms(c, o);
    int r = container_restart(cli_conf(), c, sig, ms, e);
    return r < 0 ? r : 1;
}

/* 1: it has been started again already. */
static int begin_restart(struct container *c, const char *typed, void *data, struct err *e)
{
    int r = is_alive(c) && c->rec.auto_remove ? restart_in_place(c, data, e) : do_stop(c, data, e);
    return r < 0 ? err_add(e, r, "restart %s", typed) : r;
}

static int end_restart(const char *id, const char *typed, int begun, void *data, struct err *e)
{
    struct follow f = {.id = id};
    scoped_container struct container c = {.dir_fd = -1};
    (void)data;
    int r = container_open_id(cli_conf(), id, &c, e);
    if (r == 0 && !begun)
        r = cli_bring_up(&c.rec, e);
    if (r == 0 && !begun)
        r = follow_detached(&f, e);
    if (r < 0)
        return err_add(e, r, "restart %s", typed);
    container_event(cli_conf(), &c.rec, "restart", NULL);
    puts(typed);
    return 0;
}

static int restart_command(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct stop_opts *o = opts;
    struct cli_selection s = selection(o);
    const struct cli_parts parts = {.begin = begin_restart, .end = end_restart, .data = opts};
    scoped_strv char **names = NULL;
    (void)cmd;
    s.of_all = o->running ? cli_is_alive : NULL;
    s.of_names = o->running;
    s.all |= o->running && !*args && !o->latest && !o->cidfile;
    int r = cli_select(&s, args, &names, e);
    return r < 0 ? r : cli_each_at_once(names, &parts, e);
}

/* --- kill --- */

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
    const struct cli_selection s = selection(opts);
    scoped_strv char **names = NULL;
    (void)cmd;
    int r = cli_select(&s, args, &names, e);
    return r < 0 || !names ? r : cli_each(names, false, kill_one, opts, e);
}

#define VERB(n, a, s, t, f, al, ex)                                                                \
    {                                                                                              \
        .name = n, .args = a, .summary = s, .opts = t, .opts_size = sizeof(struct stop_opts),      \
        .max_args = -1, .run = f, .aliases = al, .examples = ex                                    \
    }

static const char *const stop_aliases[] = {"container stop", NULL};
static const char *const restart_aliases[] = {"container restart", NULL};
static const char *const kill_aliases[] = {"container kill", NULL};

const struct cmd cli_stop_cmds[] = {
    VERB("stop", "[CONTAINER...]", "End containers: signal, wait, SIGKILL", stop_table,
         stop_command, stop_aliases,
         "rootlet stop -t 2 web\nrootlet stop --filter label=stage=test"),
    VERB("kill", "[CONTAINER...]", "Send a signal to containers", kill_table, kill_command,
         kill_aliases, "rootlet kill -s HUP web\nrootlet kill --all"),
    VERB("restart", "[CONTAINER...]", "Stop containers and start them again", restart_table,
         restart_command, restart_aliases, "rootlet restart web\nrootlet restart -t 2 --running"),
    {NULL},
};
