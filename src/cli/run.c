/* run - run and create. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fs.h"
#include "cgroup/pressure.h"
#include "cgroup/session.h"
#include "cli/cli.h"
#include "cli/create.h"
#include "cli/follow.h"
#include "cli/linger.h"
#include "cli/requires.h"
#include "cli/unit.h"
#include "term/term.h"

static int check_terminal(const struct run_opts *o, struct err *e)
{
    if (o->tty && o->interactive && !o->detach && !isatty(STDIN_FILENO))
        return err_hint(e, err_msg(e, ENOTTY, "-t: standard input is not a terminal"),
                        "leave out -t when piping: rootlet run -i IMAGE COMMAND");
    if (o->detach && o->attach)
        return err_msg(e, EINVAL, "--attach and --detach exclude each other");
    struct detach_keys keys;
    return detach_keys_parse(o->detach_keys, &keys, e);
}

/* Which streams a foreground run follows: -a names them, else output always and input with -i. */
static int streams(const struct run_opts *o, struct follow *f, struct err *e)
{
    f->in = o->interactive;
    f->out = f->err = !o->attach;
    for (char **a = o->attach; a && *a; a++) {
        if (streq(*a, "stdin"))
            f->in = true;
        else if (streq(*a, "stdout"))
            f->out = true;
        else if (streq(*a, "stderr"))
            f->err = true;
        else
            return err_msg(e, EINVAL, "--attach %s: not stdin, stdout or stderr", *a);
    }
    /* What the supervisor passes through comes here once, not twice. */
    if (streq(o->log_driver ? o->log_driver : cli_conf()->log_driver, "passthrough"))
        f->out = f->err = false;
    return 0;
}

/* --creds USER:PASSWORD as it may be kept: "user:xxxxx". */
static char *without_password(const char *option, const char *creds)
{
    const char *colon = strchr(creds, ':');
    return colon ? xasprintf("%s%.*s:xxxxx", option, (int)(colon - creds), creds)
                 : xasprintf("%s%s", option, creds);
}

char **cli_command_line(char *const *args)
{
    char **v = NULL;
    scoped_free char *text = NULL;
    ssize_t n = fs_read(AT_FDCWD, "/proc/self/cmdline", 1u << 20, &text, NULL);
    for (char *word = text; n > 0 && word < text + n; word += strlen(word) + 1)
        strv_add(&v, word);
    size_t all = strv_len(v), last = strv_len(args); /* the words after our options */
    bool follows = false;
    for (size_t i = 0; v && last <= all && i < all - last; i++) {
        const char *value = follows ? v[i] : str_after(v[i], "--creds=");
        char *safe = value ? without_password(follows ? "" : "--creds=", value) : NULL;
        follows = !follows && streq(v[i], "--creds");
        if (!safe)
            continue;
        free(v[i]);
        v[i] = safe;
    }
    if (text)
        explicit_bzero(text, (size_t)n);
    return v;
}

/* What a container that has just been made needs, started before it. */
static int bring_up_for(const char *id, const struct run_opts *o, struct err *e)
{
    scoped_container struct container c = {.dir_fd = -1};
    int r = container_open_id(cli_conf(), id, &c, e);
    if (r == 0)
        r = cli_bring_up(&c.rec, e);
    if (r < 0 && o->rm)
        (void)!container_remove(cli_conf(), &c, true, NULL);
    return r;
}

/* Of a --rm container whose supervisor could not even begin (no descriptors, say). */
static void discard(const char *id)
{
    scoped_container struct container c = {.dir_fd = -1};
    if (container_open_id(cli_conf(), id, &c, NULL) == 0 && !ctr_state_alive(&c.state))
        (void)!container_remove(cli_conf(), &c, true, NULL);
}

static int run_command(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct run_opts *o = opts;
    struct follow f = {
        .tty = o->tty,
        .discard = o->rm,
        .detached = o->detach,
        .sig_proxy = o->sig_proxy_set ? o->sig_proxy : true,
        .detach_keys = o->detach_keys ? o->detach_keys : cli_conf()->detach_keys,
    };
    char id[ID_LEN + 1];
    scoped_strv char **line = cli_command_line(args);
    (void)cmd;
    id_random(id);
    f.id = id;
    int r = o->unit ? cli_unit_check(o, e) : check_terminal(o, e);
    if (r == 0)
        r = streams(o, &f, e);
    if (r == 0)
        r = follow_listen_fds(&f.listen_fds, e);
    /* The sockets of systemd come first, as its protocol wants; --preserve-fds follow. */
    f.preserve_fds = f.listen_fds + (o->preserve_fds > 0 ? (unsigned)o->preserve_fds : 0);
    struct cli_groups groups scoped_groups = CLI_GROUPS_INIT;
    scoped_strv char **properties = NULL;
    if (r == 0)
        r = oomd_properties(o->oomd, &properties, e);
    if (r == 0 && !o->spec)
        r = cli_choose_groups(o, NULL, &groups, e);
    f.cgroups = o->pod ? NULL : groups.choice.driver; /* the pod's slice is found later */
    f.cgroup_parent = o->cgroup_parent;
    cgroup_session_stop_time(&properties, (int64_t)(o->stop_timeout_ms / 1000));
    f.scope_properties = properties;
    if (r == 0 && !o->unit)
        r = follow_spawn_early(&f, e);
    if (r < 0)
        return r;
    if (o->unit)
        cli_unit_hold_signals();
    r = cli_create(o, args, line, id, &groups, e);
    if (r == 0 && (o->pod || o->requires))
        r = bring_up_for(id, o, e);
    if (r == 0 && o->unit)
        return follow_become(&f, e);
    if (r < 0) {
        if (f.early)
            close(f.early_fd);
        return r;
    }
    f.made_fd = &groups.made_fd;
    r = o->detach ? follow_detached(&f, e) : follow_start(&f, e);
    if (r < 0 && o->rm)
        discard(id);
    if (r == 0 && o->detach) {
        puts(id);
        if (!o->quiet)
            linger_notice(o->restart);
    }
    return r;
}

static int create_command(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    char id[ID_LEN + 1];
    scoped_strv char **line = cli_command_line(args);
    (void)cmd;
    struct cli_groups groups scoped_groups = CLI_GROUPS_INIT;
    id_random(id);
    int r = cli_create(opts, args, line, id, &groups, e);
    if (r == 0)
        puts(id);
    return r;
}

static const char *const run_aliases[] = {"container run", NULL};
static const char *const create_aliases[] = {"container create", NULL};

const struct cmd cli_run_cmds[] = {
    {
        .name = "run",
        .args = "IMAGE [COMMAND [ARG...]]",
        .summary = "Create a container and start it",
        .opts = run_table,
        .opts_size = sizeof(struct run_opts),
        .max_args = -1,
        .flags = CMD_STOP_AT_ARG,
        .run = run_command,
        .aliases = run_aliases,
        .details =
            "IMAGE is pulled when it is not here, see 'rootlet pull'.\nOptions stand before IMAGE; "
            "what follows IMAGE belongs to the container. The "
            "exit "
            "status is the\ncommand's own; 125 when rootlet failed, 126 when the command cannot "
            "be invoked, 127 when it\nis not found, 128+N after signal N.",
        .examples = "rootlet run --rm -it busybox sh\n"
                    "rootlet run -d --name web -v $PWD:/srv:ro busybox httpd -f -h /srv\n"
                    "rootlet run --rm --userns keep-id -v $PWD:/work -w /work golang go build",
    },
    {
        .name = "create",
        .args = "IMAGE [COMMAND [ARG...]]",
        .summary = "Create a container, to be started later",
        .opts = create_table,
        .opts_size = sizeof(struct run_opts),
        .max_args = -1,
        .flags = CMD_STOP_AT_ARG,
        .run = create_command,
        .aliases = create_aliases,
        .examples = "rootlet create --name db -v data:/var/lib/db busybox sleep 100",
    },
    {NULL},
};
