/* network_rm - network rm and prune, and who uses a network. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include "base/prune.h"
#include "cli/cli.h"
#include "cli/network.h"
#include "cli/users.h"
#include "container/client.h"
#include "events/events.h"

struct rm_opts {
    bool force, all;
    int64_t time;
    bool time_set;
    char **filter;
};

#define O(m) offsetof(struct rm_opts, m)
static const struct opt rm_table[] = {
    {"all", 'a', OPT_FLAG, O(all), NULL, "All networks"},
    {"force", 'f', OPT_FLAG, O(force), NULL,
     "Remove the containers that use it first; a missing one is fine"},
    {"time", 't', OPT_INT, O(time), "SECONDS", "Time that running containers have to stop (10)", 0,
     NULL, NULL, O(time_set)},
    {NULL},
};
static const struct opt prune_table[] = {
    {"filter", 0, OPT_STRV, O(filter), "KEY=VALUE", "label, until, name, id or driver"},
    {"force", 'f', OPT_FLAG, O(force), NULL, "Do not ask"},
    {NULL},
};

/* --- who uses it --- */

static bool plan_has(const struct network_plan *p, const char *name)
{
    for (size_t i = 0; i < p->n_joins; i++)
        if (streq(p->joins[i].network, name))
            return true;
    return false;
}

/* Each container once; name NULL: the names of all networks instead of ids. */
static int scan(const char *name, char ***ret, struct err *e)
{
    struct ctr_state *list = NULL;
    size_t n = 0;
    int r = container_list(cli_conf(), &list, &n, e);
    for (size_t i = 0; r == 0 && i < n; i++) {
        scoped_container struct container c = {.dir_fd = -1};
        if (container_open_id(cli_conf(), list[i].id, &c, NULL) < 0)
            continue;
        const struct network_plan *p = &c.rec.network;
        bool now = name && ctr_state_alive(&c.state) && streq(p->mode, "networks") &&
                   strv_has(c.state.networks, name);
        if (name && (now || plan_has(p, name)))
            strv_add(ret, c.id);
        for (size_t k = 0; !name && k < p->n_joins; k++)
            strv_add(ret, p->joins[k].network);
    }
    container_list_free(list, n);
    return r;
}

int cli_network_users(const char *name, char ***ret_ids, struct err *e)
{
    return scan(name, ret_ids, e);
}

int cli_networks_used(char ***ret_names, struct err *e)
{
    return scan(NULL, ret_names, e);
}

/* --- rm --- */

/* data: struct rm_opts, NULL for a prune. */
static int remove_network(const char *ref, const void *data, struct err *e)
{
    const struct rm_opts *o = data;
    scoped_strv char **ids = NULL;
    scoped_network_config struct network_config n = {.name = NULL};
    int r = network_open(cli_conf(), ref, &n, e);
    if (r == 0 && streq(n.name, "bridge"))
        r = err_hint(e, err_msg(e, EINVAL, "network bridge is the host's"),
                     "its administrator sets it up");
    if (r == 0)
        r = cli_network_users(n.name, &ids, e);
    if (r == 0 && ids && (!o || !o->force))
        r = err_hint(e, cli_users_error("network", n.name, ids, e),
                     "'rootlet network disconnect %s CONTAINER' first, or 'rootlet network "
                     "rm -f %s', which removes the containers, too",
                     n.name, n.name);
    else if (r == 0 && ids)
        r = cli_users_remove(ids, o->time_set ? &o->time : NULL, e);
    if (r == 0)
        r = network_remove(cli_conf(), n.name, e);
    if (r == 0)
        event_named(cli_conf(), "network", "remove", n.id, n.name);
    return r;
}

static int all_names(char ***ret, struct err *e)
{
    struct network_config *list = NULL;
    size_t n = 0;
    int r = network_list(cli_conf(), &list, &n, e);
    for (size_t i = 0; r == 0 && i < n; i++)
        strv_add(ret, list[i].name);
    network_list_free(list, n);
    return r;
}

static int rm(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct rm_opts *o = opts;
    scoped_strv char **names = NULL;
    (void)cmd;
    if (!o->all && !*args)
        return err_hint(e, err_msg(e, EINVAL, "no network given"), "names, or --all");
    if (o->all && *args)
        return err_msg(e, EINVAL, "--all and names exclude each other");
    if (o->time_set && !o->force)
        return err_msg(e, EINVAL, "--time goes with --force");
    int r = o->all ? all_names(&names, e) : 0;
    return r < 0 ? r : cli_remove_names(o->all ? names : args, o->force, remove_network, o, e);
}

/* --- prune --- */

int cli_network_prune(const struct network_filter *f, const char *title, struct err *e)
{
    struct network_config *list = NULL;
    size_t n = 0;
    bool any = false;
    int worst = 0, r = network_list(cli_conf(), &list, &n, e);
    for (size_t i = 0; r == 0 && i < n; i++) {
        struct err one = ERR_INIT;
        if (!network_filter_match(f, &list[i]))
            continue;
        int q = remove_network(list[i].name, NULL, &one);
        if (q == 0 && title && !any)
            puts(title);
        if (q == 0)
            puts(list[i].name);
        any |= q == 0;
        /* It is used after all, or another prune was quicker. */
        if (q == 0 || q == -EBUSY || q == -ENOENT)
            continue;
        if (worst)
            cli_print_err(e);
        *e = one;
        worst = q;
    }
    if (any && title)
        putchar('\n');
    network_list_free(list, n);
    return r < 0 ? r : worst;
}

static int prune(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct rm_opts *o = opts;
    struct network_filter f SCOPED(network_filter_release) = {NULL};
    scoped_strv char **terms = strv_dup(o->filter);
    (void)cmd;
    (void)args;
    strv_add(&terms, "dangling=true");
    int r = network_filter_parse(terms, &f, e);
    if (r < 0)
        return r;
    if (!o->force) {
        r = prune_ask(" all networks not used by at least one container.", e);
        if (r <= 0)
            return r;
    }
    return cli_network_prune(&f, NULL, e);
}

static const char *const rm_aliases[] = {"network remove", NULL};

const struct cmd cli_network_rm_cmds[] = {
    {
        .name = "network rm",
        .args = "NETWORK [NETWORK...]",
        .summary = "Remove networks",
        .opts = rm_table,
        .opts_size = sizeof(struct rm_opts),
        .max_args = -1,
        .run = rm,
        .aliases = rm_aliases,
        .details = "Exit status 1: no such network; 2: a container uses it.",
        .examples = "rootlet network rm web\nrootlet network rm -f -t 5 web",
    },
    {
        .name = "network prune",
        .args = "",
        .summary = "Remove all networks that no container uses",
        .opts = prune_table,
        .opts_size = sizeof(struct rm_opts),
        .run = prune,
        .examples = "rootlet network prune -f --filter until=24h",
    },
    {NULL},
};
