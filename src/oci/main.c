/* main - the global options and the table of commands of rootlet-oci. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/path.h"
#include "engine/engine.h"
#include "oci/oci.h"
#include "userns/userns.h"

// clang-format off
static const struct cmd *const commands[] = {
    &oci_cmd_checkpoint,
    &oci_cmd_create,
    &oci_cmd_delete,
    &oci_cmd_events,
    &oci_cmd_exec,
    &oci_cmd_features,
    &oci_cmd_kill,
    &oci_cmd_list,
    &oci_cmd_mounts_add,
    &oci_cmd_mounts_remove,
    &oci_cmd_pause,
    &oci_cmd_ps,
    &oci_cmd_restore,
    &oci_cmd_resume,
    &oci_cmd_run,
    &oci_cmd_spec,
    &oci_cmd_start,
    &oci_cmd_state,
    &oci_cmd_update,
    NULL,
};
// clang-format on

/* Settings of the program, written once before a command runs. */
static struct oci_settings settings;

const struct oci_settings *oci_settings(void)
{
    return &settings;
}

struct global_opts {
    char *root, *log, *log_format, *cgroup_manager, *rootless;
    bool debug, systemd_cgroup, version;
};

#define O(m) offsetof(struct global_opts, m)
static const struct opt global_table[] = {
    {"root", 0, OPT_STRING, O(root), "DIR", "Where the state of containers is kept"},
    {"log", 0, OPT_STRING, O(log), "FILE", "Append messages to this file, not only to stderr"},
    {"log-format", 0, OPT_STRING, O(log_format), "FORMAT", "Of the log file: text or json"},
    {"debug", 0, OPT_FLAG, O(debug), NULL, "Log what is done"},
    {"cgroup-manager", 0, OPT_STRING, O(cgroup_manager), "NAME",
     "Who makes cgroups: cgroupfs, systemd or disabled"},
    {"systemd-cgroup", 0, OPT_FLAG, O(systemd_cgroup), NULL, "As --cgroup-manager systemd"},
    {"rootless", 0, OPT_STRING, O(rootless), "MODE", "auto, or true or false against the guess",
     OPT_OPTVAL},
    {"criu", 0, OPT_STRING, 0, "PATH", "Checkpoints are not made", OPT_IGNORED},
    {"version", 'v', OPT_FLAG, O(version), NULL, "Print the version"},
    {NULL},
};

static const struct cmd global_cmd = {
    .name = "",
    .args = "COMMAND [ARG...]",
    .summary = "Run containers from OCI bundles",
    .opts = global_table,
    .opts_size = sizeof(struct global_opts),
    .max_args = -1,
    .flags = CMD_STOP_AT_ARG,
};

bool oci_host_root(void)
{
    return geteuid() == 0 && userns_is_initial();
}

static int set_root(const struct global_opts *o, struct err *e)
{
    const char *run = getenv("XDG_RUNTIME_DIR");
    if (o->root && o->root[0]) {
        char *cwd = o->root[0] == '/' ? xstrdup("/") : getcwd(NULL, 0);
        if (!cwd)
            return err_set(e, errno, "--root %s", o->root);
        scoped_free char *full = o->root[0] == '/' ? xstrdup(o->root) : path_join(cwd, o->root);
        free(cwd);
        settings.root = path_clean(full);
        return 0;
    }
    bool rootless = settings.rootless == OCI_ROOTLESS_YES ||
                    (settings.rootless == OCI_ROOTLESS_AUTO && !oci_host_root());
    if (!rootless) {
        settings.root = xstrdup("/run/rootlet-oci");
        return 0;
    }
    if (run && run[0] == '/') {
        settings.root = path_join(run, "rootlet-oci");
        return 0;
    }
    scoped_free char *session = xasprintf("/run/user/%u", geteuid());
    if (access(session, W_OK) < 0)
        return err_hint(e, err_msg(e, ENOENT, "there is no directory for the state of containers"),
                        "set XDG_RUNTIME_DIR or --root to a directory of your own");
    settings.root = path_join(session, "rootlet-oci");
    return 0;
}

static int set_rootless(const char *mode, struct err *e)
{
    bool yes;
    settings.rootless = OCI_ROOTLESS_AUTO;
    if (!mode || streq(mode, "auto"))
        return 0;
    if (mode[0] && parse_bool(mode, &yes) < 0)
        return err_msg(e, EINVAL, "--rootless %s: not auto, true or false", mode);
    settings.rootless = !mode[0] || yes ? OCI_ROOTLESS_YES : OCI_ROOTLESS_NO;
    return 0;
}

static int set_cgroup(const struct global_opts *o, struct err *e)
{
    static const char *const known[] = {"cgroupfs", "systemd", "disabled"};
    const char *disabled = getenv("ROOTLET_CGROUPS");
    const char *name = o->cgroup_manager                         ? o->cgroup_manager
                       : o->systemd_cgroup                       ? "systemd"
                       : disabled && streq(disabled, "disabled") ? "disabled"
                                                                 : "cgroupfs";
    for (size_t i = 0; i < N_ELEMENTS(known); i++)
        if (streq(name, known[i])) {
            settings.cgroup = known[i];
            return 0;
        }
    return err_msg(e, EINVAL, "--cgroup-manager %s: not cgroupfs, systemd or disabled", name);
}

static int apply(const struct global_opts *o, struct err *e)
{
    settings.debug = o->debug;
    if (o->debug)
        log_max = LOG_LEVEL_DEBUG;
    int r = oci_log_open(o->log, o->log_format, e);
    if (r == 0)
        r = set_rootless(o->rootless, e);
    if (r == 0)
        r = set_cgroup(o, e);
    return r < 0 ? r : set_root(o, e);
}

static int print_version(void)
{
    puts("rootlet-oci version " PACKAGE_VERSION "\nspec: " SPEC_OCI_VERSION);
    return 0;
}

/* "help --dump" prints the tables for the completions and the man pages. */
static int dump(void)
{
    const struct cmd *const options[] = {&global_cmd, NULL};
    scoped_str struct str out = STR_INIT;
    cmd_dump(options, &out);
    cmd_dump(commands, &out);
    fputs(out.s, stdout);
    return 0;
}

static int overview(char **args, struct err *e)
{
    int r = cmd_dispatch("rootlet-oci", commands, args, e);
    scoped_str struct str out = STR_INIT;
    cmd_help("rootlet-oci", &global_cmd, &out);
    const char *options = strstr(out.s, "\nOptions:");
    fputs(options ? options : "", stdout);
    return r;
}

static int run(char **argv, struct global_opts *o, struct err *e)
{
    scoped_free char **words = NULL;
    bool help = false;
    char help_flag[] = "--help", *help_args[] = {help_flag, NULL};
    int r = opt_parse(&global_cmd, argv, o, &words, &help, e);
    if (r < 0)
        return err_hint(e, r, "See 'rootlet-oci --help'");
    char **args = words;
    /* runc has the value in a word of its own. */
    if (o->rootless && !o->rootless[0] && args && args[0] &&
        (streq(args[0], "true") || streq(args[0], "false") || streq(args[0], "auto"))) {
        free(o->rootless);
        o->rootless = xstrdup(args[0]);
        args++;
    }
    if (o->version)
        return print_version();
    if (help || !args || !args[0] || (streq(args[0], "help") && !args[1]))
        return overview(help_args, e);
    if (streq(args[0], "help") && streq(args[1], "--dump"))
        return dump();
    r = apply(o, e);
    return r < 0 ? r : cmd_dispatch("rootlet-oci", commands, args, e);
}

/* Whether a command may start or enter a container; a word that is an option's value can only make
 * the answer "yes" when it is not. */
static bool enters(char **argv)
{
    for (char **a = argv + 1; argv[0] && *a; a++)
        if (streq(*a, "create") || streq(*a, "run") || streq(*a, "exec"))
            return true;
    return false;
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
    signal(SIGCHLD, SIG_DFL); /* one that ignores it has no status to give. wait(2) */
    int r = engine_protect_self(argv, oci_host_root() && enters(argv), &e);
    if (r == 0)
        r = open_missing_streams(&e);
    if (r == 0)
        r = run(argc > 0 ? argv + 1 : argv, &o, &e);
    opt_release(global_table, &o);
    free(settings.root);
    if (r >= 0 && fflush(stdout) != 0)
        r = err_set(&e, errno, "write to standard output");
    if (r >= 0)
        return r;
    if (e.msg[0])
        oci_log_err(&e);
    /* Clients take 126 and 127 for what they are; usage errors are failures like others. */
    return e.exit_status == 126 || e.exit_status == 127 ? e.exit_status : 1;
}
