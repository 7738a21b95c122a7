/* rm - rm (delete) and rename. */
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>

#include "cli/depend.h"
#include "cli/select.h"
#include "container/client.h"
#include "container/pod.h"
#include "image/pin.h"

#define START_TRIES 100
#define START_STEP_NS 20000000

struct rm_opts {
    bool force, volumes, all, latest, ignore, depend;
    char **cidfile, **filter;
    int64_t time;
    bool time_set;
};

#define O(m) offsetof(struct rm_opts, m)
static const struct opt rm_table[] = {
    {"all", 'a', OPT_FLAG, O(all), NULL, "All containers"},
    {"cidfile", 0, OPT_STRV, O(cidfile), "FILE", "Remove the container whose id a file has"},
    {"depend", 0, OPT_FLAG, O(depend), NULL, "Those that share its namespaces too, before it"},
    {"filter", 0, OPT_STRV, O(filter), "KEY=VALUE", "Only those, as of ps"},
    {"force", 'f', OPT_FLAG, O(force), NULL,
     "End a running container first; a missing one is fine"},
    {"ignore", 'i', OPT_FLAG, O(ignore), NULL, "A missing container is no error"},
    {"latest", 'l', OPT_FLAG, O(latest), NULL, "The container created last"},
    {"time", 't', OPT_INT, O(time), "SECONDS", "With --force: time from SIGTERM to SIGKILL (0)", 0,
     NULL, NULL, O(time_set)},
    {"volumes", 'v', OPT_FLAG, O(volumes), NULL, "Remove its anonymous volumes too"},
    {NULL},
};

/* One that is being started can be told nothing yet, but soon. */
static int end_now(const struct container *c, struct err *e)
{
    int r = container_stop(cli_conf(), c->id, SIGKILL, 0, e);
    for (int tries = 0; (r == -ENOENT || r == -ECONNREFUSED) && tries < START_TRIES; tries++) {
        scoped_container struct container now = {.dir_fd = -1};
        if (container_open_id(cli_conf(), c->id, &now, NULL) < 0 || !ctr_state_alive(&now.state) ||
            (tries == 0 && now.state.status != CTR_STARTING))
            break;
        nanosleep(&(struct timespec){.tv_nsec = START_STEP_NS}, NULL);
        err_clear(e);
        r = container_stop(cli_conf(), c->id, SIGKILL, 0, e);
    }
    return r;
}

int cli_remove(struct container *c, bool force, bool volumes, struct err *e)
{
    struct err ended = ERR_INIT;
    if (ctr_state_alive(&c->state) && !force)
        return err_exit(e,
                        err_hint(e,
                                 err_msg(e, EBUSY, "container %.12s is %s", c->id,
                                         ctr_status_names[c->state.status]),
                                 "stop it first, or rm -f"),
                        2);
    int r = ctr_state_alive(&c->state) ? end_now(c, &ended) : 0;
    /* -ENOTCONN: nobody to ask for the end; the removal ends what it finds by itself */
    if (r < 0 && r != -ENOENT && r != -ECONNREFUSED && r != -ENOTCONN) {
        *e = ended;
        return r;
    }
    if (r == -ENOTCONN)
        container_end_supervisor(&c->state);
    c->state.status = CTR_EXITED; /* what was read before the stop; removal looks again itself */
    r = container_remove(cli_conf(), c, volumes, e);
    return r == -ENOENT ? 0 : r; /* --rm was quicker */
}

/* A pod is removed as a whole; without members its infra container is one like others. */
static int refuse_infra(const struct container *c, struct err *e)
{
    scoped_pod_set struct pod_set set = {.n = 0};
    const struct pod *p = NULL;
    struct err none = ERR_INIT;
    if (!c->rec.pod_infra || pod_set_load(cli_conf(), &set, &none) < 0 ||
        pod_find(&set, c->id, &p, &none) < 0 || p->n == 0)
        return 0;
    return err_hint(
        e, err_msg(e, EBUSY, "%s is the infra container of pod %s", c->rec.name, c->rec.pod),
        "rootlet pod rm %s", c->rec.pod);
}

static void end_in_time(const struct container *c, const struct rm_opts *o)
{
    if (o->force && o->time_set && o->time > 0 && ctr_state_alive(&c->state))
        container_stop(cli_conf(), c->id, SIGTERM, (int)(o->time * 1000), NULL);
}

/* The end of a running one, which may take its time. An infra container's turn comes when all that
 * stand before it, which may be its members, have gone. */
static int begin_rm(struct container *c, const char *typed, void *data, struct err *e)
{
    (void)typed;
    (void)e;
    if (!c->rec.pod_infra)
        end_in_time(c, data);
    return 0;
}

static int end_rm(const char *id, const char *typed, int begun, void *data, struct err *e)
{
    const struct rm_opts *o = data;
    scoped_container struct container c = {.dir_fd = -1};
    (void)begun;
    int r = container_open_id(cli_conf(), id, &c, e);
    if (r == 0)
        r = refuse_infra(&c, e);
    if (r == 0 && c.rec.pod_infra)
        end_in_time(&c, o);
    if (r == 0)
        r = cli_remove(&c, o->force, o->volumes, e);
    if (r < 0 && r != -ENOENT) /* --rm was quicker */
        return err_add(e, r, "rm %s", typed);
    err_clear(e);
    puts(typed);
    return 0;
}

static int missing(const char *typed, void *data, struct err *e)
{
    const struct rm_opts *o = data;
    (void)typed;
    if (!o->force && !o->ignore)
        return err_exit(e, -ENOENT, 1);
    err_clear(e);
    return 0;
}

/* Behind the members of their pods. */
static bool is_infra(const char *name)
{
    scoped_container struct container c = {.dir_fd = -1};
    struct err none = ERR_INIT;
    return container_open(cli_conf(), name, &c, &none) == 0 && c.rec.pod_infra;
}

static void infra_last(char **names, char ***ret)
{
    for (int infra = 0; infra < 2; infra++)
        for (char **n = names; n && *n; n++)
            if (is_infra(*n) == infra)
                strv_add(ret, *n);
}

static int rm_command(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    struct rm_opts *o = opts;
    const struct cli_selection s = {
        .all = o->all,
        .latest = o->latest,
        .ignore = o->force || o->ignore,
        .cidfile = o->cidfile,
        .filter = o->filter,
    };
    const struct cli_parts parts = {
        .begin = begin_rm, .end = end_rm, .missing = missing, .data = o};
    scoped_strv char **chosen = NULL, **names = NULL;
    (void)cmd;
    int r = cli_select(&s, args, &chosen, e);
    if (r == 0 && o->depend)
        r = cli_dependents(chosen, &names, e);
    else if (r == 0 && (o->all || o->filter))
        infra_last(chosen, &names);
    else
        names = take_ptr(chosen);
    r = r < 0 ? r : cli_each_at_once(names, &parts, e);
    store_pin_sweep(cli_conf());
    return r;
}

static int rename_command(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    scoped_container struct container c = {.dir_fd = -1};
    (void)cmd;
    (void)opts;
    int r = container_open(cli_conf(), args[0], &c, e);
    if (r == 0)
        r = container_rename(cli_conf(), &c, args[1], e);
    return r < 0 ? err_add(e, r, "rename %s", args[0]) : 0;
}

static const char *const rm_aliases[] = {"delete",           "remove",           "container rm",
                                         "container delete", "container remove", NULL};
static const char *const rename_aliases[] = {"container rename", NULL};

const struct cmd cli_rm_cmds[] = {
    {
        .name = "rm",
        .args = "[CONTAINER...]",
        .summary = "Remove containers",
        .opts = rm_table,
        .opts_size = sizeof(struct rm_opts),
        .max_args = -1,
        .run = rm_command,
        .aliases = rm_aliases,
        .details = "Exit status 1: no such container; 2: it runs and --force was not given.",
        .examples = "rootlet rm web\nrootlet rm -fv web\nrootlet rm --filter status=exited",
    },
    {
        .name = "rename",
        .args = "CONTAINER NAME",
        .summary = "Give a container another name",
        .min_args = 2,
        .max_args = 2,
        .run = rename_command,
        .aliases = rename_aliases,
        .examples = "rootlet rename web old-web",
    },
    {NULL},
};
