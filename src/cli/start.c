/* start - start and attach. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>

#include "cli/cli.h"
#include "cli/follow.h"
#include "cli/requires.h"
#include "cli/select.h"
#include "cli/unit.h"
#include "term/term.h"

struct start_opts {
    bool all, attach, interactive, latest, sig_proxy, sig_proxy_set, no_stdin, unit;
    char *detach_keys, *secret_env;
    char **filter;
};

#define O(m) offsetof(struct start_opts, m)
static const struct opt start_table[] = {
    {"all", 0, OPT_FLAG, O(all), NULL, "All containers that do not run"},
    {"attach", 'a', OPT_FLAG, O(attach), NULL, "Stay with it: its output, its exit status"},
    {"detach-keys", 0, OPT_STRING, O(detach_keys), "KEYS", "Keys that detach (ctrl-p,ctrl-q)"},
    {"filter", 'f', OPT_STRV, O(filter), "KEY=VALUE", "Only those, as of ps"},
    {"interactive", 'i', OPT_FLAG, O(interactive), NULL, "Send standard input to it"},
    {"latest", 'l', OPT_FLAG, O(latest), NULL, "The container created last"},
    {"secret-env", 0, OPT_STRING, O(secret_env), "FILE",
     "Further variables of this run, of rootlet-build", OPT_HIDDEN},
    {"sig-proxy", 0, OPT_FLAG, O(sig_proxy), NULL, "Send received signals on (default with -a)", 0,
     NULL, NULL, O(sig_proxy_set)},
    {"unit", 0, OPT_FLAG, O(unit), NULL, "Become its supervisor: for ExecStart= of a systemd unit"},
    {NULL},
};
static const struct opt attach_table[] = {
    {"detach-keys", 0, OPT_STRING, O(detach_keys), "KEYS", "Keys that detach (ctrl-p,ctrl-q)"},
    {"latest", 'l', OPT_FLAG, O(latest), NULL, "The container created last"},
    {"no-stdin", 0, OPT_FLAG, O(no_stdin), NULL, "Do not send standard input"},
    {"sig-proxy", 0, OPT_FLAG, O(sig_proxy), NULL, "Send received signals on (default)", 0, NULL,
     NULL, O(sig_proxy_set)},
    {NULL},
};

static struct follow follow_for(const struct container *c, const struct start_opts *o)
{
    return (struct follow){
        .id = c->id,
        .out = true,
        .err = true,
        .tty = c->rec.tty,
        .sig_proxy = o->sig_proxy_set ? o->sig_proxy : true,
        .secret_env = o->secret_env,
        .detach_keys = o->detach_keys ? o->detach_keys : cli_conf()->detach_keys,
    };
}

/* Returns only on failure. */
static int start_unit(const struct container *c, struct follow *f, struct err *e)
{
    const char *policy = c->rec.restart_policy;
    int r;
    if (policy && !streq(policy, "no")) {
        r = err_msg(e, EINVAL,
                    "start --unit %s: it has the restart policy \"%s\", and systemd "
                    "restarts a unit",
                    c->rec.name, policy);
        return err_hint(e, r, "rootlet update --restart no %s", c->rec.name);
    }
    cli_unit_hold_signals();
    r = follow_listen_fds(&f->listen_fds, e);
    f->preserve_fds = f->listen_fds;
    return r == 0 ? follow_become(f, e) : r;
}

static int start_one(struct container *c, const char *typed, void *data, struct err *e)
{
    const struct start_opts *o = data;
    struct follow f = follow_for(c, o);
    f.in = o->interactive;
    bool passes = streq(c->rec.log_driver, "passthrough"); /* comes here once, not twice */
    int p = ctr_state_alive(&c->state) ? 0 : cli_bring_up(&c->rec, e);
    if (p < 0)
        return err_add(e, p, "start %s", typed);
    if (o->unit)
        return start_unit(c, &f, e);
    /* One between two runs is as good as running, as docker has it. */
    bool runs = c->state.status == CTR_RUNNING || c->state.status == CTR_PAUSED ||
                c->state.status == CTR_RESTARTING;
    if (runs && ctr_state_unsupervised(&c->state)) {
        scoped_fd int fd = container_connect(cli_conf(), c->id, e);
        if (fd < 0)
            return err_add(e, fd, "start %s", typed);
    }
    if (runs && (o->attach || o->interactive))
        return follow_attach(&f, e);
    if (o->attach || o->interactive) {
        f.out = f.err = !passes;
        int r = follow_start(&f, e);
        return r < 0 ? err_add(e, r, "start %s", typed) : r;
    }
    int r = runs ? 0 : follow_detached(&f, e); /* starting a running one is no error, as docker's */
    if (r == 0)
        puts(typed);
    return r < 0 ? err_add(e, r, "start %s", typed) : 0;
}

static bool can_start(const struct ctr_state *s)
{
    return !ctr_state_alive(s) && s->status != CTR_DEAD;
}

/* Oldest first: newer ones may need them. */
static void reverse(char **v)
{
    for (size_t i = 0, n = strv_len(v); i < n / 2; i++) {
        char *other = v[n - 1 - i];
        v[n - 1 - i] = v[i];
        v[i] = other;
    }
}

/* docker's and podman's: of two there would be one output and one exit status. */
static int check_start(const struct start_opts *o, char **args, struct err *e)
{
    bool stays = o->attach || o->interactive;
    struct detach_keys keys;
    if (o->unit && (stays || strv_len(args) > 1))
        return err_msg(e, EINVAL, "start --unit takes one container, without -a and -i");
    if (stays && (o->all || o->filter))
        return err_msg(e, EINVAL, "start --all and --filter take neither -a nor -i");
    if (stays && strv_len(args) > 1)
        return err_msg(e, EINVAL,
                       "start: you cannot start and attach multiple containers at once: -a and -i "
                       "take one container");
    if (!stays && o->sig_proxy_set && o->sig_proxy)
        return err_msg(e, EINVAL, "start --sig-proxy needs -a");
    return detach_keys_parse(o->detach_keys, &keys, e);
}

static int start_command(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    struct start_opts *o = opts;
    const struct cli_selection s = {
        .all = o->all, .latest = o->latest, .filter = o->filter, .of_all = can_start};
    scoped_strv char **names = NULL;
    (void)cmd;
    int r = check_start(o, args, e);
    if (r == 0)
        r = cli_select(&s, args, &names, e);
    if (r < 0 || !names)
        return r;
    if (!*args)
        reverse(names);
    return cli_each(names, false, start_one, o, e);
}

static int attach_one(struct container *c, const char *typed, void *data, struct err *e)
{
    const struct start_opts *o = data;
    struct follow f = follow_for(c, o);
    f.in = !o->no_stdin && c->rec.open_stdin;
    if (c->state.status == CTR_PAUSED)
        cli_notice("the container is paused: 'rootlet unpause' lets it go on");
    if (c->state.status != CTR_RUNNING && c->state.status != CTR_PAUSED)
        return err_hint(e,
                        err_msg(e, EINVAL, "attach %s: it is not running (%s)", typed,
                                ctr_status_names[c->state.status]),
                        "rootlet start -a %s", typed);
    int r = follow_attach(&f, e);
    return r < 0 ? err_add(e, r, "attach %s", typed) : r;
}

static int attach_command(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    struct start_opts *o = opts;
    struct detach_keys keys;
    (void)cmd;
    int r = detach_keys_parse(o->detach_keys, &keys, e);
    return r < 0 ? r : cli_each(args, o->latest, attach_one, o, e);
}

static const char *const start_aliases[] = {"container start", NULL};
static const char *const attach_aliases[] = {"container attach", NULL};

const struct cmd cli_start_cmds[] = {
    {
        .name = "start",
        .args = "[CONTAINER...]",
        .summary = "Start containers that were created or have ended",
        .opts = start_table,
        .opts_size = sizeof(struct start_opts),
        .max_args = -1,
        .run = start_command,
        .aliases = start_aliases,
        .examples = "rootlet start web\nrootlet start -ai shell\n"
                    "rootlet start --all --filter restart-policy=always",
    },
    {
        .name = "attach",
        .args = "CONTAINER",
        .summary = "Attach to a running container",
        .opts = attach_table,
        .opts_size = sizeof(struct start_opts),
        .max_args = 1,
        .run = attach_command,
        .aliases = attach_aliases,
        .examples = "rootlet attach shell\nrootlet attach --no-stdin --sig-proxy=false web",
    },
    {NULL},
};
