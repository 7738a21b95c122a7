/* update - other limits, another restart policy or health check for containers, running or not. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/lock.h"
#include "base/timefmt.h"
#include "cgroup/cgroup.h"
#include "cgroup/driver.h"
#include "cgroup/resources.h"
#include "cli/build.h"
#include "cli/build_limits.h"
#include "cli/cli.h"
#include "cli/runopts_life.h"
#include "cli/runopts_lines.h"
#include "events/events.h"

/* A start that has begun is waited for so long. */
#define START_MS 10000
#define RESTART_MS 1000 /* one that only waits for its next start reads the configuration then */
#define STEP_MS 20

/* clang-format off */
static const struct opt update_table[] = {
    LIMIT_OPTIONS,
    LIFE_OPTIONS,
    {NULL},
};
/* clang-format on */

/* What is changed, and what it was, should the kernel refuse it. */
struct update {
    const struct run_opts *o;
    struct container *c;
    struct spec spec;      /* config.json */
    json_t *was, *all;     /* linux.resources before and after; owned */
    json_t *change;        /* what the options say; owned */
    struct ctr_record rec; /* container.json, read under the lock */
};

static void update_release(struct update *u)
{
    spec_release(&u->spec);
    json_decref(u->was);
    json_decref(u->all);
    json_decref(u->change);
    ctr_record_release(&u->rec);
}

static bool has_limits(const struct update *u)
{
    return json_object_size(u->change) > 0;
}

static int read_all(struct update *u, struct err *e)
{
    int r = container_read_record(u->c->dir_fd, &u->rec, e);
    if (r == 0)
        r = container_read_spec(u->c->dir_fd, &u->spec, e);
    if (r < 0)
        return r;
    const json_t *now = u->spec.linux_->resources;
    u->was = json_is_object(now) ? json_deep_copy(now) : json_object();
    return 0;
}

/* The same look as at a creation: options by name, before anything is changed. In a unit's group
 * the container's own group is asked, as we are elsewhere. */
static int check_limits(struct update *u, struct err *e)
{
    struct plan plan;
    int r = resources_plan(u->all, false, &plan, e);
    if (r < 0)
        return r;
    plan_release(&plan);
    if (streq(u->rec.cgroups, "inplace"))
        return 0;
    struct cgroup_choice choice SCOPED(cgroup_choice_release) = {0};
    struct limit_source source = {.o = &u->o->limit};
    const struct cgroup_wish wish = {
        .setting = u->rec.cgroups ? u->rec.cgroups : "disabled",
        .parent = u->rec.cgroup_parent,
        .resources = u->change,
        .update = true,
        .option = build_limit_option,
        .data = &source,
    };
    struct err why = ERR_INIT;
    r = cgroup_choose(&wish, &choice, &why);
    if (r < 0 && streq(wish.setting, "disabled"))
        return err_hint(e, err_msg(e, ENOTSUP, "%s", why.msg),
                        "it was made without a cgroup; make it anew where \"rootlet info\" shows a "
                        "driver of cgroups");
    if (r < 0 && e)
        *e = why;
    return r;
}

static int write_limits(const struct update *u, json_t *resources, struct err *e)
{
    struct spec_linux *l = u->spec.linux_;
    json_decref(l->resources);
    l->resources = json_incref(resources);
    return has_limits(u) ? container_write_spec(u->c->dir_fd, &u->spec, e) : 0;
}

/* Policy and health check, and who asked for a limit; last, as nothing is left then that can
 * fail. */
static int write_life(struct update *u, struct err *e)
{
    bool asked = u->rec.pids_default && u->o->limit.pids_limit;
    bool given = asked || u->o->restart || build_health_given(u->o);
    u->rec.pids_default &= !asked;
    return given ? container_write_record(u->c->dir_fd, &u->rec, e) : 0;
}

static int read_state(struct update *u, struct err *e)
{
    struct ctr_state now;
    int r = container_read_state(u->c->dir_fd, &now, e);
    if (r < 0)
        return r;
    container_derive(cli_conf(), &now);
    ctr_state_release(&u->c->state);
    u->c->state = now;
    return 0;
}

/* 1: its processes are in a group, 0: it does not run (any more). A start that has begun may have
 * read the configuration before it was changed: its group is waited for. */
static int runs(struct update *u, struct err *e)
{
    for (int waited = 0;; waited += STEP_MS) {
        int r = read_state(u, e);
        if (r < 0)
            return r;
        if (u->c->state.status == CTR_RUNNING || u->c->state.status == CTR_PAUSED)
            return 1;
        scoped_fd int lock = container_lock(cli_conf(), u->c->id, NULL);
        if (lock >= 0)
            container_remove_run(cli_conf(), u->c->id);
        bool waits = u->c->state.status == CTR_RESTARTING;
        if (lock >= 0 || waited >= (waits ? RESTART_MS : START_MS))
            return 0;
        usleep(STEP_MS * 1000);
    }
}

/* What takes u->change back: what was there before, or no limit. */
static json_t *undo(const struct update *u)
{
    static const struct {
        const char *section, *member;
        int none;
    } numbers[] = {
        {"memory", "limit", -1}, {"memory", "swap", -1},    {"pids", "limit", -1},
        {"cpu", "quota", -1},    {"cpu", "period", 100000}, {"cpu", "shares", 1024},
    };
    json_t *to = json_object(), *value;
    for (size_t i = 0; i < N_ELEMENTS(numbers); i++)
        if (json_object_get(json_object_get(u->change, numbers[i].section), numbers[i].member))
            json_object_set_new(limits_section(to, numbers[i].section), numbers[i].member,
                                json_integer(numbers[i].none));
    const char *list;
    json_t *rates = json_deep_copy(json_object_get(u->change, "blockIO"));
    json_object_foreach(rates, list, value)
    {
        for (size_t i = 0; i < json_array_size(value) && str_after(list, "throttle"); i++)
            json_object_set_new(json_array_get(value, i), "rate", json_integer(0));
        if (str_after(list, "throttle"))
            json_object_set(limits_section(to, "blockIO"), list, value);
    }
    json_decref(rates);
    if (json_object_get(json_object_get(u->change, "unified"), "memory.high"))
        json_object_set_new(limits_section(to, "unified"), "memory.high", json_string("max"));
    build_merge_resources(to, u->was);
    return to;
}

/* What the kernel refused in the middle leaves nothing half done. */
static int apply(struct update *u, struct err *e)
{
    scoped_cgroup struct cgroup *group = NULL;
    int r = container_cgroup(u->c, &group, e);
    if (r == -ESRCH) /* it has just ended */
        return 0;
    if (r == 0)
        r = cgroup_update(group, u->change, e);
    if (r < 0 && group) {
        scoped_json json_t *before = undo(u);
        (void)cgroup_update(group, before, NULL);
    }
    return r;
}

static int change_running(struct update *u, struct err *e)
{
    /* Without a group there can be "no limit" only. */
    if (!has_limits(u) || streq(u->rec.cgroups, "disabled"))
        return 0;
    int r = runs(u, e);
    return r > 0 ? apply(u, e) : r;
}

/* Other updates and a removal wait for the lock on the directory; a start waits for the container's
 * lock, which is free while it does not run. */
static int change(struct update *u, struct err *e)
{
    scoped_fd int lock = container_lock(cli_conf(), u->c->id, NULL);
    int r = write_limits(u, u->all, e);
    if (r < 0)
        return r;
    if (lock < 0)
        r = change_running(u, e);
    if (r == 0)
        r = write_life(u, e);
    if (r < 0)
        (void)write_limits(u, u->was, NULL);
    if (lock >= 0)
        container_remove_run(cli_conf(), u->c->id);
    return r;
}

static int update_locked(struct update *u, struct err *e)
{
    const struct run_opts *o = u->o;
    int r = read_all(u, e);
    if (r == 0)
        r = build_resources(&o->limit, u->was, &u->change, e);
    if (r < 0)
        return r;
    u->all = build_merged_limits(u->was, u->change);
    if (has_limits(u))
        r = check_limits(u, e);
    if (r == 0 && o->restart)
        r = build_restart(o->restart, u->rec.auto_remove, &u->rec, e);
    if (r == 0 && build_health_given(o))
        r = build_health_options(o, &u->rec.health, e);
    return r == 0 ? change(u, e) : r;
}

static int update_one(struct container *c, const char *typed, void *data, struct err *e)
{
    struct update u SCOPED(update_release) = {.o = data, .c = c};
    int r = container_lock_dir(cli_conf(), c, e);
    if (r < 0)
        return err_add(e, r, "update %s", typed);
    r = update_locked(&u, e);
    if (r < 0 && container_lock_dir(cli_conf(), c, NULL) == -ENOENT) {
        err_clear(e); /* that is why, whatever it was */
        r = err_msg(e, ENOENT, "it was removed meanwhile");
    }
    (void)flock(c->dir_fd, LOCK_UN);
    if (r < 0)
        return err_add(e, r, "update %s", typed);
    event_container(cli_conf(), "update", c->id, c->rec.name, c->rec.image, NULL);
    puts(typed);
    return 0;
}

static int update_command(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct run_opts *o = opts;
    (void)cmd;
    if (!limit_opts_first(&o->limit) && !o->restart && !o->limit.memory_swappiness &&
        !o->limit.oom_kill_disable && !build_health_given(o))
        return err_hint(e, err_msg(e, EINVAL, "update: nothing to change was given"),
                        "for example: rootlet update -m 128m %s", args[0]);
    return cli_each(args, false, update_one, opts, e);
}

static const char *const update_aliases[] = {"container update", NULL};

const struct cmd cli_update_cmds[] = {
    {
        .name = "update",
        .args = "CONTAINER [CONTAINER...]",
        .summary = "Change the limits of containers",
        .opts = update_table,
        .opts_size = sizeof(struct run_opts),
        .min_args = 1,
        .max_args = -1,
        .run = update_command,
        .aliases = update_aliases,
        .examples = "rootlet update -m 128m --cpus 2 web\nrootlet update --pids-limit=-1 web db",
    },
    {NULL},
};
