/* volume - volume create, rm, prune and exists; the lists are in volume_ls.c. */
#include "volume/volume.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/prune.h"
#include "cli/cli.h"
#include "cli/users.h"
#include "cli/volume_filter.h"
#include "events/events.h"

struct volume_opts {
    bool ignore, force, all;
    char *driver;
    char **label, **opt, **filter;
};

#define O(m) offsetof(struct volume_opts, m)
static const struct opt create_table[] = {
    {"driver", 'd', OPT_STRING, O(driver), "NAME", "local, the only one"},
    {"ignore", 0, OPT_FLAG, O(ignore), NULL, "One that exists already is fine"},
    {"label", 'l', OPT_STRV, O(label), "KEY[=VALUE]", "Set a label"},
    {"opt", 'o', OPT_STRV, O(opt), "KEY=VALUE", "type=, device= or o=, as for mount(8)"},
    {NULL},
};
static const struct opt rm_table[] = {
    {"all", 'a', OPT_FLAG, O(all), NULL, "All volumes"},
    {"force", 'f', OPT_FLAG, O(force), NULL,
     "Remove the containers that use it first; a missing one is fine"},
    {NULL},
};
static const struct opt prune_table[] = {
    {"all", 'a', OPT_FLAG, O(all), NULL, "For docker's sake: all unused ones are always removed",
     OPT_IGNORED},
    {"filter", 0, OPT_STRV, O(filter), "KEY=VALUE", "label, until, anonymous, name or driver"},
    {"force", 'f', OPT_FLAG, O(force), NULL, "Do not ask"},
    {NULL},
};

/* "KEY" is "KEY=", as with containers. */
static int pairs(char *const *from, const char *flag, char ***ret, struct err *e)
{
    for (char *const *v = from; v && *v; v++) {
        scoped_free char *pair = strchr(*v, '=') ? xstrdup(*v) : xasprintf("%s=", *v);
        if (*pair == '=')
            return err_msg(e, EINVAL, "%s %s: no key", flag, *v);
        strv_env_set(ret, pair);
    }
    return 0;
}

static int create_volume(const struct volume_opts *o, const char *name, struct err *e)
{
    scoped_volume struct volume v = {.name = xstrdup(name)};
    int r = pairs(o->label, "--label", &v.labels, e);
    if (r == 0)
        r = pairs(o->opt, "--opt", &v.options, e);
    if (r == 0)
        r = volume_check_options(v.options, e);
    if (r == 0)
        r = volume_create(cli_conf(), &v, e);
    if (r < 0)
        return r;
    event_named(cli_conf(), "volume", "create", name, name);
    return 0;
}

static int create(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct volume_opts *o = opts;
    char random[ID_LEN + 1];
    const char *name = args[0];
    (void)cmd;
    if (o->driver && !streq(o->driver, "local"))
        return err_hint(e, err_msg(e, ENOTSUP, "--driver %s: no such driver", o->driver),
                        "local is the only one");
    if (!name) {
        id_random(random);
        name = random;
    }
    int r = create_volume(o, name, e);
    if (r == -EEXIST && o->ignore) {
        err_clear(e);
        r = 0;
    }
    if (r == 0)
        puts(name);
    return r;
}

static int remove_volume(const char *name, const void *data, struct err *e)
{
    const struct volume_opts *o = data;
    scoped_strv char **ids = NULL;
    int r = container_volume_users(cli_conf(), name, &ids, e);
    if (r == 0 && ids && !o->force)
        r = err_hint(e, cli_users_error("volume", name, ids, e),
                     "remove the container first, or 'rootlet volume rm -f %s', which removes both",
                     name);
    else if (r == 0)
        r = cli_users_remove(ids, NULL, e);
    if (r == 0)
        r = container_volume_remove(cli_conf(), name, e);
    return r == -EBUSY && !e->exit_status ? err_exit(e, r, 2) : r;
}

static int all_names(char ***ret, struct err *e)
{
    struct volume *list = NULL;
    size_t n = 0;
    int r = volume_list(cli_conf(), &list, &n, e);
    for (size_t i = 0; r == 0 && i < n; i++)
        strv_add(ret, list[i].name);
    volume_list_free(list, n);
    return r;
}

static int rm(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct volume_opts *o = opts;
    scoped_strv char **names = NULL;
    (void)cmd;
    container_volume_sweep(cli_conf());
    if (!o->all && !*args)
        return err_hint(e, err_msg(e, EINVAL, "no volume given"), "names, or --all");
    if (o->all && *args)
        return err_msg(e, EINVAL, "--all and names exclude each other");
    int r = o->all ? all_names(&names, e) : 0;
    return r < 0 ? r : cli_remove_names(o->all ? names : args, o->force, remove_volume, o, e);
}

static int prune_some(const struct volume_filter *f, struct err *e)
{
    struct volume *list = NULL;
    size_t n = 0;
    int worst = 0, r = volume_list(cli_conf(), &list, &n, e);
    for (size_t i = 0; r == 0 && i < n; i++) {
        struct err one = ERR_INIT;
        if (!volume_filter_match(f, &list[i]))
            continue;
        int q = container_volume_remove(cli_conf(), list[i].name, &one);
        if (q == 0)
            puts(list[i].name);
        /* It is used after all, or another prune was quicker. */
        if (q == 0 || q == -EBUSY || q == -ENOENT)
            continue;
        if (worst)
            cli_print_err(e);
        *e = one;
        worst = q;
    }
    volume_list_free(list, n);
    return r < 0 ? r : worst;
}

static int prune(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct volume_opts *o = opts;
    struct volume_filter f SCOPED(volume_filter_release) = {0};
    scoped_strv char **terms = strv_dup(o->filter);
    (void)cmd;
    (void)args;
    strv_add(&terms, "dangling=true");
    int r = volume_filter_parse(terms, &f, e);
    if (r < 0)
        return r;
    if (!o->force) {
        r = prune_ask(" all local volumes not used by at least one container.", e);
        if (r <= 0)
            return r;
    }
    container_volume_sweep(cli_conf());
    return prune_some(&f, e);
}

static int exists(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    scoped_volume struct volume v = {0};
    (void)cmd;
    (void)opts;
    int r = volume_open(cli_conf(), args[0], &v, e);
    if (r != -ENOENT)
        return r;
    err_clear(e);
    return 1;
}

static const char *const rm_aliases[] = {"volume remove", NULL};

const struct cmd cli_volume_cmds[] = {
    {
        .name = "volume create",
        .args = "[NAME]",
        .summary = "Make a volume",
        .opts = create_table,
        .opts_size = sizeof(struct volume_opts),
        .max_args = 1,
        .run = create,
        .examples = "rootlet volume create --label app=web data\n"
                    "rootlet volume create --opt type=tmpfs --opt o=size=64m scratch",
    },
    {
        .name = "volume rm",
        .args = "VOLUME [VOLUME...]",
        .summary = "Remove volumes and what is in them",
        .opts = rm_table,
        .opts_size = sizeof(struct volume_opts),
        .max_args = -1,
        .run = rm,
        .aliases = rm_aliases,
        .details = "Exit status 1: no such volume; 2: a container uses it.",
        .examples = "rootlet volume rm data",
    },
    {
        .name = "volume prune",
        .args = "",
        .summary = "Remove all volumes that no container uses",
        .opts = prune_table,
        .opts_size = sizeof(struct volume_opts),
        .run = prune,
        .examples = "rootlet volume prune -f --filter label=scratch",
    },
    {
        .name = "volume exists",
        .args = "VOLUME",
        .summary = "Exit status 0 if there is such a volume, 1 if not",
        .opts_size = sizeof(struct volume_opts),
        .min_args = 1,
        .max_args = 1,
        .run = exists,
        .examples = "rootlet volume exists data || rootlet volume create data",
    },
    {NULL},
};
