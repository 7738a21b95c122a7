/* wait - waits for ends and other states of containers. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>

#include "cli/select.h"
#include "container/client.h"

struct wait_opts {
    bool latest, ignore;
    char **condition, **cidfile;
    char *interval;
    uint64_t interval_ms;
    unsigned wanted; /* bits of conditions[] */
};

#define POLL_MS 20
#define NO_CODE (-1)       /* what is printed for a state that is no end */
#define NO_CODE_BEGUN 1000 /* the same between the parts of cli_each_at_once */

#define O(m) offsetof(struct wait_opts, m)
static const struct opt wait_table[] = {
    {"cidfile", 0, OPT_STRV, O(cidfile), "FILE", "The container whose id a file has"},
    {"condition", 0, OPT_COMMAS, O(condition), "STATE",
     "stopped (default), exited, created, running, paused, removed, healthy, unhealthy"},
    {"ignore", 0, OPT_FLAG, O(ignore), NULL, "A missing container counts as ended with -1"},
    {"interval", 'i', OPT_STRING, O(interval), "TIME", "Time between two looks (20ms)"},
    {"latest", 'l', OPT_FLAG, O(latest), NULL, "The container created last"},
    {NULL},
};

static bool is_alive(const struct container *c)
{
    return ctr_state_alive(&c->state);
}

/* --- conditions --- */

static bool has_ended(const struct container *c)
{
    return !is_alive(c);
}

static bool is_created(const struct container *c)
{
    return c->state.status == CTR_CREATED;
}

static bool is_running(const struct container *c)
{
    return c->state.status == CTR_RUNNING;
}

static bool is_paused(const struct container *c)
{
    return c->state.status == CTR_PAUSED;
}

static bool is_healthy(const struct container *c)
{
    return is_running(c) && streq(c->state.health, "healthy");
}

static bool is_unhealthy(const struct container *c)
{
    return is_running(c) && streq(c->state.health, "unhealthy");
}

/* No container meets it: it has gone by then. */
static bool is_removed(const struct container *c)
{
    (void)c;
    return false;
}

/* podman's words too; states that it goes through, and we do not, are those that they lead to. */
static const struct {
    const char *name;
    bool (*met)(const struct container *c);
    bool is_end;
} conditions[] = {
    {"stopped", has_ended, true},      {"exited", has_ended, true},
    {"stopping", has_ended, true},     {"removed", is_removed, false},
    {"removing", is_removed, false},   {"created", is_created, false},
    {"configured", is_created, false}, {"initialized", is_created, false},
    {"running", is_running, false},    {"paused", is_paused, false},
    {"healthy", is_healthy, false},    {"unhealthy", is_unhealthy, false},
};

static int parse(struct wait_opts *o, struct err *e)
{
    for (char **word = o->condition; word && *word; word++) {
        unsigned bit = 0;
        for (unsigned i = 0; i < N_ELEMENTS(conditions); i++)
            if (streq(*word, conditions[i].name))
                bit = 1u << i;
        if (!bit)
            return err_hint(e, err_msg(e, EINVAL, "wait --condition %s: no such state", *word),
                            "stopped, exited, created, running, paused, removed, healthy or "
                            "unhealthy");
        o->wanted |= bit;
    }
    o->interval_ms = POLL_MS;
    /* podman's: a number alone is milliseconds. */
    uint32_t ms;
    if (!o->interval)
        return 0;
    if (parse_u32(o->interval, &ms) == 0)
        o->interval_ms = ms;
    else if (parse_duration_ms(o->interval, &o->interval_ms) < 0)
        return err_msg(e, EINVAL, "wait --interval %s: not a time such as 250ms", o->interval);
    return o->interval_ms > 0 ? 0 : (o->interval_ms = 1, 0);
}

static bool wants(const struct wait_opts *o, bool (*met)(const struct container *c))
{
    for (unsigned i = 0; i < N_ELEMENTS(conditions); i++)
        if (conditions[i].met == met && (o->wanted & (1u << i)))
            return true;
    return false;
}

static bool for_end_only(const struct wait_opts *o)
{
    for (unsigned i = 0; i < N_ELEMENTS(conditions); i++)
        if (!conditions[i].is_end && (o->wanted & (1u << i)))
            return false;
    return true;
}

/* --- waiting --- */

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

static void pause_for(uint64_t ms)
{
    nanosleep(
        &(struct timespec){.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000},
        NULL);
}

/* Of the conditions that hold the first one in the table counts. 1: *ret_code is the answer. */
static int look(const struct wait_opts *o, const struct container *c, int *ret_code)
{
    for (unsigned i = 0; i < N_ELEMENTS(conditions); i++) {
        if (!(o->wanted & (1u << i)) || !conditions[i].met(c))
            continue;
        *ret_code = conditions[i].is_end ? c->state.exit_code : NO_CODE;
        return 1;
    }
    /* The end is the answer to a question about health. */
    if (is_alive(c) || !(wants(o, is_healthy) || wants(o, is_unhealthy)))
        return 0;
    *ret_code = c->state.exit_code;
    return 1;
}

static int wait_for_state(const struct wait_opts *o, struct container *c, int *ret_code,
                          struct err *e)
{
    const bool health = wants(o, is_healthy) || wants(o, is_unhealthy);
    int code = c->state.exit_code;
    struct err none = ERR_INIT;
    if (health && (!c->rec.health.test || streq(c->rec.health.test[0], "NONE")))
        return err_msg(e, EINVAL, "it has no health check");
    for (;;) {
        scoped_container struct container now = {.dir_fd = -1};
        int r = container_open_id(cli_conf(), c->id, &now, e);
        if (r == -ENOENT && wants(o, is_removed)) {
            *ret_code = code;
            return 0;
        }
        if (r < 0)
            return r;
        if (look(o, &now, ret_code))
            return 0;
        code = now.state.exit_code;
        /* --rm: the code comes with the end, and then there is nothing to be read any more. */
        if (is_alive(&now) && wants(o, is_removed) && (o->wanted & (o->wanted - 1)) == 0)
            (void)!wait_for_end(&now, &code, &none);
        else
            pause_for(o->interval_ms);
    }
}

static int begin_wait(struct container *c, const char *typed, void *data, struct err *e)
{
    const struct wait_opts *o = data;
    int code = c->state.exit_code, r = 0;
    if (!for_end_only(o))
        r = wait_for_state(o, c, &code, e);
    else if (is_alive(c))
        r = wait_for_end(c, &code, e);
    if (r < 0)
        return err_add(e, r, "wait %s", typed);
    return code == NO_CODE ? NO_CODE_BEGUN : code;
}

static int end_wait(const char *id, const char *typed, int begun, void *data, struct err *e)
{
    (void)id, (void)typed, (void)data, (void)e;
    printf("%d\n", begun == NO_CODE_BEGUN ? NO_CODE : begun);
    fflush(stdout); /* the next one may take long */
    return 0;
}

static int missing(const char *typed, void *data, struct err *e)
{
    const struct wait_opts *o = data;
    (void)typed;
    if (!o->ignore)
        return -ENOENT;
    err_clear(e);
    printf("%d\n", NO_CODE);
    return 0;
}

static int wait_command(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    struct wait_opts *o = opts;
    const struct cli_selection s = {.latest = o->latest, .cidfile = o->cidfile};
    const struct cli_parts parts = {
        .begin = begin_wait, .end = end_wait, .missing = missing, .data = o};
    scoped_strv char **names = NULL;
    (void)cmd;
    int r = parse(o, e);
    if (r == 0)
        r = cli_select(&s, args, &names, e);
    return r < 0 ? r : cli_each_at_once(names, &parts, e);
}

static const char *const wait_aliases[] = {"container wait", NULL};

const struct cmd cli_wait_cmds[] = {
    {
        .name = "wait",
        .args = "[CONTAINER...]",
        .summary = "Wait until containers end and print exit codes",
        .opts = wait_table,
        .opts_size = sizeof(struct wait_opts),
        .max_args = -1,
        .run = wait_command,
        .aliases = wait_aliases,
        .details = "A state that is no end is told by -1. Of several conditions the first to be "
                   "met counts.",
        .examples = "rootlet wait web\nrootlet wait --condition healthy db",
    },
    {NULL},
};
