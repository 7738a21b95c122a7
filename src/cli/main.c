/* main - global options, the table of commands, and the only place that prints errors. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/path.h"
#include "cli/cli.h"
#include "engine/engine.h"

/* Settings of the program, written once before a verb runs. */
static struct conf conf;
static bool trace_stages;

const struct conf *cli_conf(void)
{
    return &conf;
}

bool cli_trace(void)
{
    return trace_stages;
}

struct global_opts {
    char *root, *runroot, *log_level, *storage_driver, *cgroups;
    bool version, trace;
};

#define O(m) offsetof(struct global_opts, m)
static const struct opt global_table[] = {
    {"root", 0, OPT_STRING, O(root), "DIR", "Where images and containers are kept"},
    {"runroot", 0, OPT_STRING, O(runroot), "DIR", "Where the state of running containers is kept"},
    {"log-level", 0, OPT_STRING, O(log_level), "LEVEL", "error, warn, info or debug"},
    {"storage-driver", 0, OPT_STRING, O(storage_driver), "NAME", "overlay, fuse-overlayfs or copy"},
    {"cgroups", 0, OPT_STRING, O(cgroups), "MODE", "enabled, disabled, split, systemd or cgroupfs"},
    {"trace-stages", 0, OPT_FLAG, O(trace), NULL, "Print the time of each stage of a start"},
    {"version", 'v', OPT_FLAG, O(version), NULL, "Print the version"},
    {NULL},
};

static const struct cmd global_cmd = {
    .name = "",
    .args = "COMMAND [ARG...]",
    .summary = "Run containers as an ordinary user, without a daemon",
    .opts = global_table,
    .opts_size = sizeof(struct global_opts),
    .max_args = -1,
    .flags = CMD_STOP_AT_ARG,
};

/* clang-format off */
static const struct cmd *const tables[] = {
    cli_run_cmds,
    cli_start_cmds,
    cli_stop_cmds,
    cli_wait_cmds,
    cli_pause_cmds,
    cli_rm_cmds,
    cli_prune_cmds,
    cli_exec_cmds,
    cli_cp_cmds,
    cli_ps_cmds,
    cli_logs_cmds,
    cli_inspect_cmds,
    cli_diff_cmds,
    cli_commit_cmds,
    cli_export_cmds,
    cli_image_cmds,
    cli_system_cmds,
    cli_df_cmds,
    cli_reset_cmds,
    cli_system_prune_cmds,
    cli_unshare_cmds,
    cli_doctor_cmds,
    cli_why_cmds,
    cli_events_cmds,
    cli_pod_cmds,
    cli_pod_create_cmds,
    cli_pod_ls_cmds,
    cli_network_cmds,
    cli_network_rm_cmds,
    cli_network_ls_cmds,
    cli_network_connect_cmds,
    cli_network_update_cmds,
    cli_volume_cmds,
    cli_auto_update_cmds,
    cli_volume_ls_cmds,
    cli_update_cmds,
    cli_mount_cmds,
    cli_top_cmds,
    cli_port_cmds,
    cli_port_change_cmds,
    cli_stats_cmds,
    cli_quadlet_cmds,
    cli_quadlet_files_cmds,
    cli_quadlet_list_cmds,
    cli_generate_cmds,
    cli_healthcheck_cmds,
};
/* clang-format on */

static const struct cmd **add_commands(const struct cmd **list, const struct cmd *more)
{
    size_t n = 0;
    while (list && list[n])
        n++;
    for (const struct cmd *c = more; c && c->name; c++) {
        list = xrealloc(list, (n + 2) * sizeof(*list));
        list[n++] = c;
        list[n] = NULL;
    }
    return list;
}

/* All commands in one list, as the dispatcher wants them; the caller frees. */
static const struct cmd **all_commands(void)
{
    const struct cmd **list = NULL;
    for (size_t t = 0; t < N_ELEMENTS(tables); t++)
        list = add_commands(list, tables[t]);
    return list;
}

void cli_print_err(const struct err *e)
{
    char text[4 * sizeof(e->msg)];
    struct err more = *e;
    conf_hint_room(cli_conf(), &more);
    fflush(stdout); /* "see the errors above": what was printed comes first, in a file too */
    fprintf(stderr, "%s %s\n", log_error_word(), err_escape(text, sizeof(text), e->msg));
    if (more.hint[0])
        fprintf(stderr, "%s %s\n", log_hint_word(), err_escape(text, sizeof(text), more.hint));
}

void cli_notice(const char *text)
{
    char out[2000];
    if (text)
        fprintf(stderr, "rootlet: %s\n", err_escape(out, sizeof(out), text));
}

int cli_exec_program(const char *name, char *const *argv, struct err *e)
{
    scoped_free char *path = path_join(conf.libexec, name);
    scoped_strv char **env = strv_dup(environ);
    conf_env(&conf, &env);
    fflush(NULL);
    execve(path, argv, env);
    return err_hint(e, err_set(e, errno, "start %s", path), "is rootlet installed completely?");
}

/* The verbs that live in rootlet-registry, which links libcurl besides. */
static bool is_registry_verb(char **argv)
{
    static const char *const verbs[] = {"pull", "push", "copy", "login", "logout", "search", NULL};
    static const char *const subs[] = {"pull", "push", "copy", "search", NULL};
    if (argv[0] && streq(argv[0], "manifest"))
        return streq(argv[1], "inspect");
    if (argv[0] && streq(argv[0], "image"))
        return argv[1] && strv_has((char *const *)(uintptr_t)subs, argv[1]);
    return argv[0] && strv_has((char *const *)(uintptr_t)verbs, argv[0]);
}

static bool is_build_verb(char **argv)
{
    bool group = streq(argv[0], "buildx") || streq(argv[0], "builder");
    if (streq(argv[0], "build"))
        return true;
    if (group && (!argv[1] || argv[1][0] == '-' || streq(argv[1], "prune")))
        return true;
    return (group || streq(argv[0], "image")) && streq(argv[1], "build");
}

/* The verbs that live in rootlet-image, which links what rootlet must not (archive, crypto). */
static bool is_image_verb(char **argv)
{
    static const char *const verbs[] = {"load",  "import", "save",    "tag",
                                        "untag", "rmi",    "history", NULL};
    static const char *const subs[] = {"load",  "import", "save",    "tag",     "untag",
                                       "rm",    "remove", "inspect", "history", "prune",
                                       "check", "exists", NULL};
    if (argv[0] && streq(argv[0], "volume"))
        return streq(argv[1], "export") || streq(argv[1], "import");
    if (argv[0] && streq(argv[0], "image"))
        return argv[1] && strv_has((char *const *)(uintptr_t)subs, argv[1]);
    return argv[0] && strv_has((char *const *)(uintptr_t)verbs, argv[0]);
}

/* The program whose verb args (or what help is wanted about) is; NULL: it is ours. */
static const char *program_of(char **args)
{
    if (args && streq(args[0], "help"))
        args++;
    if (!args)
        return NULL;
    return is_image_verb(args)      ? "rootlet-image"
           : is_registry_verb(args) ? "rootlet-registry"
           : is_build_verb(args)    ? "rootlet-build"
                                    : NULL;
}

static int run_program(const char *name, char **args, struct err *e)
{
    scoped_strv char **argv = NULL;
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self));
    if (n > 0 && n < (ssize_t)sizeof(self)) { /* build starts us for each step, rmi -f for rm */
        self[n] = '\0';
        setenv("ROOTLET_SELF", self, 1);
    }
    strv_add(&argv, name);
    strv_extend(&argv, args);
    return cli_exec_program(name, argv, e);
}

static void add_override(char ***v, const char *key, const char *value)
{
    if (value)
        strv_addf(v, "%s=%s", key, value);
}

static int load_conf(const struct global_opts *o, struct err *e)
{
    scoped_strv char **v = NULL;
    add_override(&v, "root", o->root);
    add_override(&v, "runroot", o->runroot);
    add_override(&v, "storage_driver", o->storage_driver);
    add_override(&v, "cgroups", o->cgroups);
    if (o->log_level) {
        int level = log_level_parse(o->log_level);
        if (level < 0)
            return err_msg(e, EINVAL, "--log-level %s: not error, warn, info or debug",
                           o->log_level);
        log_max = (enum log_level)level;
    }
    trace_stages = o->trace;
    return conf_load(v, &conf, e);
}

/* Once, when the directory is not there yet. */
static void tell_makeshift(const char *verb)
{
    static const char *const makers[] = {"run", "create", "start", "container", NULL};
    if (!strv_has((char *const *)(uintptr_t)makers, verb) || !conf_run_is_makeshift(&conf) ||
        access(conf.run_root, F_OK) == 0)
        return;
    scoped_free char *text = xasprintf(
        "no XDG_RUNTIME_DIR of ours and no /run/user/%u: what runs is noted in %s; \"loginctl "
        "enable-linger\" gives a place that a login finds too",
        geteuid(), conf.run_root);
    cli_notice(text);
}

/* "help --dump" prints the tables for the completions and the man page test. */
static int dump(const struct cmd *const *list)
{
    const struct cmd *const options[] = {&global_cmd, NULL};
    scoped_str struct str out = STR_INIT;
    cmd_dump(options, &out);
    cmd_dump(list, &out);
    fputs(out.s, stdout);
    return 0;
}

/* The options of rootlet itself, below the overview. */
static void print_options(void)
{
    scoped_str struct str out = STR_INIT;
    cmd_help("rootlet", &global_cmd, &out);
    const char *options = strstr(out.s, "\nOptions:");
    fputs(options ? options : "", stdout);
}

/* Help, or a word that is no command of ours: the commands of other programs belong to the answer.
 */
static int overview(const struct cmd **list, char **args, struct err *e)
{
    char *text = NULL;
    int r = cli_later(streq(args[0], "help") ? args + 1 : args, e);
    if (r < 0)
        return free(list), r;
    struct cmd *more = cli_image_commands(&text);
    list = add_commands(list, more);
    r = cmd_dispatch("rootlet", list, args, e);
    if (r == 0 && !args[1])
        print_options();
    free(list);
    free(more);
    free(text);
    return r;
}

static int dispatch(bool help, char **args, struct err *e)
{
    const struct cmd **list = all_commands();
    char help_flag[] = "--help", *help_args[] = {help_flag, NULL};
    int used, r;
    if (help || !args || !*args || (streq(args[0], "help") && !args[1]))
        args = help_args;
    bool about = streq(args[0], "help");
    if (!cmd_find(list, about ? args + 1 : args, &used) && !(about && args[1][0] == '-'))
        return overview(list, args, e);
    r = about && streq(args[1], "--dump") ? dump(list) : cmd_dispatch("rootlet", list, args, e);
    free(list);
    return r;
}

static int run(char **argv, struct global_opts *o, struct err *e)
{
    scoped_free char **args = NULL;
    bool help = false;
    int r = opt_parse(&global_cmd, argv, o, &args, &help, e);
    if (r < 0)
        return err_hint(e, r, "See 'rootlet --help'");
    if (o->version) {
        puts("rootlet version " PACKAGE_VERSION);
        return 0;
    }
    r = load_conf(o, e);
    if (r < 0)
        return r;
    const char *program = help ? NULL : program_of(args);
    if (program)
        return run_program(program, args, e);
    if (!help && args && *args)
        tell_makeshift(args[0]);
    return dispatch(help, args, e);
}

/* exec is the one command that puts a process of ours among a container's; all others leave that
 * to rootlet-supervise, which protects itself. The copy costs a millisecond where it is needed. */
static bool enters_containers(char **argv)
{
    while (*argv && !streq(*argv, "exec"))
        argv++;
    return *argv != NULL;
}

/* Started with a closed standard stream, the next file opened would take its place. */
static int open_missing_streams(struct err *e)
{
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0)
            return err_set(e, errno, "open /dev/null");
    return 0;
}

int main(int argc, char **argv)
{
    struct err e = ERR_INIT;
    struct global_opts o = {0};
    signal(SIGXFSZ, SIG_IGN); /* EFBIG says more than our death */
    int r = open_missing_streams(&e);
    if (r == 0 && enters_containers(argv))
        r = engine_protect_self(argv, false, &e);
    if (r == 0)
        r = run(argc > 0 ? argv + 1 : argv, &o, &e);
    opt_release(global_table, &o);
    if (r >= 0 && fflush(stdout) != 0)
        r = err_set(&e, errno, "write to standard output");
    if (r < 0 && e.msg[0])
        cli_print_err(&e);
    conf_release(&conf);
    if (r >= 0)
        return r;
    return e.exit_status ? e.exit_status : 125;
}
