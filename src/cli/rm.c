/* rm - rm (delete) and rename. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>

#include "base/fs.h"
#include "cli/cli.h"
#include "container/client.h"
#include "container/pod.h"

struct rm_opts {
    bool force, volumes, all, latest, ignore;
    char **cidfile;
    int64_t time;
    bool time_set;
};

#define O(m) offsetof(struct rm_opts, m)
static const struct opt rm_table[] = {
    {"all", 'a', OPT_FLAG, O(all), NULL, "All containers"},
    {"cidfile", 0, OPT_STRV, O(cidfile), "FILE", "Remove the container whose id a file has"},
    {"force", 'f', OPT_FLAG, O(force), NULL,
     "End a running container first; a missing one is fine"},
    {"ignore", 'i', OPT_FLAG, O(ignore), NULL, "A missing container is no error"},
    {"latest", 'l', OPT_FLAG, O(latest), NULL, "The container created last"},
    {"time", 't', OPT_INT, O(time), "SECONDS", "With --force: time from SIGTERM to SIGKILL (0)", 0,
     NULL, NULL, O(time_set)},
    {"volumes", 'v', OPT_FLAG, O(volumes), NULL, "Remove its anonymous volumes too"},
    {NULL},
};

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
    int r = ctr_state_alive(&c->state) ? container_stop(cli_conf(), c->id, SIGKILL, 0, &ended) : 0;
    if (r < 0 && r != -ENOENT && r != -ECONNREFUSED) {
        *e = ended;
        return r;
    }
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

static int rm_one(struct container *c, const char *typed, void *data, struct err *e)
{
    const struct rm_opts *o = data;
    int p = refuse_infra(c, e);
    if (p < 0)
        return p;
    if (o->time_set && o->time > 0 && ctr_state_alive(&c->state) && o->force)
        container_stop(cli_conf(), c->id, SIGTERM, (int)(o->time * 1000), NULL);
    int r = cli_remove(c, o->force, o->volumes, e);
    if (r < 0)
        return err_add(e, r, "rm %s", typed);
    puts(typed);
    return 0;
}

/* Names that exist; a missing one is exit 1, or nothing with -f and -i. */
static int rm_known(char **names, struct rm_opts *o, struct err *e)
{
    int worst = 0;
    bool failed = false;
    for (char **n = names; *n; n++) {
        struct err one = ERR_INIT;
        scoped_container struct container c = {.dir_fd = -1};
        int r = container_open(cli_conf(), *n, &c, &one);
        if (r == -ENOENT && (o->force || o->ignore))
            continue;
        if (r == -ENOENT)
            err_exit(&one, r, 1);
        if (r == 0)
            r = rm_one(&c, *n, o, &one);
        if (r == 0)
            continue;
        if (failed)
            cli_print_err(e);
        failed = true;
        *e = one;
        int status = one.exit_status ? one.exit_status : 125;
        worst = status > worst ? status : worst;
    }
    if (!failed)
        return 0;
    e->exit_status = worst;
    return e->errnum > 0 ? -e->errnum : -EIO;
}

static int rm_all(struct rm_opts *o, struct err *e)
{
    struct ctr_state *list = NULL;
    size_t n = 0;
    scoped_strv char **ids = NULL;
    int r = container_list(cli_conf(), &list, &n, e);
    if (r < 0)
        return r;
    for (int infra = 0; infra < 2; infra++) /* behind the members of their pods */
        for (size_t i = 0; i < n; i++)
            if (pod_is_infra(&list[i]) == infra)
                strv_add(&ids, list[i].id);
    container_list_free(list, n);
    return ids ? rm_known(ids, o, e) : 0;
}

/* The ids in the files that --cidfile names, then the names. */
static int with_cidfiles(const struct rm_opts *o, char **args, char ***ret, struct err *e)
{
    for (char **f = o->cidfile; f && *f; f++) {
        scoped_free char *id = NULL;
        ssize_t n = fs_read(AT_FDCWD, *f, 4096, &id, e);
        if (n == -ENOENT && (o->force || o->ignore))
            continue;
        if (n < 0)
            return err_add(e, (int)n, "--cidfile");
        id[strcspn(id, "\n")] = '\0';
        strv_add(ret, id);
    }
    strv_extend(ret, args);
    return 0;
}

static int rm_command(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    struct rm_opts *o = opts;
    (void)cmd;
    if (o->all)
        return rm_all(o, e);
    if (o->latest)
        return cli_each(args, true, rm_one, o, e);
    if (!*args && !o->cidfile)
        return err_hint(e, err_msg(e, EINVAL, "no container given"),
                        "names or ids, --latest, or --all");
    scoped_strv char **names = NULL;
    int r = with_cidfiles(o, args, &names, e);
    return r < 0 || !names ? r : rm_known(names, o, e);
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
        .args = "CONTAINER [CONTAINER...]",
        .summary = "Remove containers",
        .opts = rm_table,
        .opts_size = sizeof(struct rm_opts),
        .max_args = -1,
        .run = rm_command,
        .aliases = rm_aliases,
        .details = "Exit status 1: no such container; 2: it runs and --force was not given.",
        .examples = "rootlet rm web\nrootlet rm -fv web",
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
