/* exec - a further process in a running container. */
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/proc.h"
#include "cli/build.h"
#include "cli/exec_session.h"
#include "cli/select.h"
#include "engine/engine.h"
#include "security/caps.h"
#include "security/filter.h"
#include "security/secopt.h"
#include "term/term.h"

struct exec_opts {
    bool detach, interactive, tty, latest, privileged, ignored;
    char *user, *workdir, *detach_keys, *cidfile;
    char **env, **env_file;
    int64_t preserve_fds;
};

#define O(m) offsetof(struct exec_opts, m)
static const struct opt exec_table[] = {
    {"cidfile", 0, OPT_STRING, O(cidfile), "FILE", "In the container whose id a file has"},
    {"detach", 'd', OPT_FLAG, O(detach), NULL, "Leave it running in the background"},
    {"detach-keys", 0, OPT_STRING, O(detach_keys), "KEYS", "Keys that detach (ctrl-p,ctrl-q)"},
    {"env", 'e', OPT_STRV, O(env), "NAME[=VALUE]", "Set an environment variable"},
    {"env-file", 0, OPT_STRV, O(env_file), "FILE", "Read environment variables from a file"},
    {"interactive", 'i', OPT_FLAG, O(interactive), NULL, "Keep standard input open"},
    {"latest", 'l', OPT_FLAG, O(latest), NULL, "The container created last"},
    {"no-session", 0, OPT_FLAG, O(ignored), NULL, "For podman's sake, does nothing", OPT_IGNORED},
    {"preserve-fds", 0, OPT_INT, O(preserve_fds), "N", "Hand on N descriptors from 3 on"},
    {"privileged", 0, OPT_FLAG, O(privileged), NULL, "All capabilities of the user namespace"},
    {"tty", 't', OPT_FLAG, O(tty), NULL, "Allocate a terminal"},
    {"user", 'u', OPT_STRING, O(user), "USER[:GROUP]", "User by name or number"},
    {"workdir", 'w', OPT_STRING, O(workdir), "DIR", "Working directory"},
    {NULL},
};

static int exec_env(const struct exec_opts *o, const struct spec *spec, struct spec_process *p,
                    struct err *e)
{
    scoped_strv char **env = strv_dup(spec->process->env);
    if (o->user) /* the other user's home comes from the container's passwd file */
        strv_env_unset(env, "HOME");
    if (o->tty)
        strv_env_set(&env, "TERM=xterm");
    int r = 0;
    for (char **v = o->env_file; r == 0 && v && *v; v++)
        r = build_env_file(&env, *v, e);
    for (char **v = o->env; r == 0 && v && *v; v++)
        r = build_env_add(&env, *v, e);
    strv_free(p->env);
    p->env = take_ptr(env);
    return r;
}

static void exec_terminal(const struct exec_opts *o, struct spec_process *p)
{
    struct winsize ws;
    p->terminal = o->tty;
    free(p->console_size);
    p->console_size = NULL;
    if (o->tty && ioctl(STDIN_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_col > 0) {
        p->console_size = xcalloc(1, sizeof(*p->console_size));
        p->console_size->height = ws.ws_row;
        p->console_size->width = ws.ws_col;
    }
}

/* The container's own process, changed by what was typed. */
static int exec_process(const struct exec_opts *o, const struct spec *spec, char *const *words,
                        struct spec_process *ret, struct err *e)
{
    scoped_json json_t *j = spec_process_emit(spec->process);
    int r = spec_process_parse(j, "process", ret, e);
    if (r < 0)
        return r;
    strv_free(ret->args);
    ret->args = strv_dup(words);
    if (o->workdir) {
        free(ret->cwd);
        ret->cwd = xstrdup(o->workdir);
    }
    if (o->privileged) {
        cap_mask_to_spec(UINT64_MAX >> (63 - cap_last()), &ret->capabilities);
        ret->no_new_privileges = false;
    }
    exec_terminal(o, ret);
    return exec_env(o, spec, ret, e);
}

static int open_running(const char *ref, bool latest, struct container *c, struct err *e)
{
    int r =
        latest ? container_open_latest(cli_conf(), c, e) : container_open(cli_conf(), ref, c, e);
    if (r < 0)
        return r;
    const char *shown = ref ? ref : c->id;
    if (c->state.status == CTR_PAUSED)
        return err_hint(e, err_msg(e, EBUSY, "exec %s: it is paused", shown), "rootlet unpause %s",
                        shown);
    if (c->state.status != CTR_RUNNING)
        return err_hint(e,
                        err_msg(e, EINVAL, "exec %s: it is not running (%s)", shown,
                                ctr_status_names[c->state.status]),
                        "rootlet start %s", shown);
    return 0;
}

/* A pidfd proven to be the recorded process, not a later owner of its number. */
static int open_init(const struct container *c, struct err *e)
{
    uint64_t start;
    scoped_fd int pidfd = pidfd_open_pid(c->state.pid);
    if (pidfd < 0 || proc_start_time(c->state.pid, &start) < 0 || start != c->state.pid_start)
        return err_msg(e, ESRCH, "the container's first process has just ended");
    return take_fd(&pidfd);
}

/* The container's control group, if it has one: its limits hold for us too. */
static int open_group(const struct container *c, struct cgroup **ret, struct err *e)
{
    scoped_cgroup struct cgroup *top = NULL;
    if (!c->state.cgroup)
        return 0;
    int r = container_cgroup(c, &top, e);
    return r < 0 ? r : cgroup_open_child(top, NULL, c->state.pid, ret, e);
}

/* Each exec has an id in the events, as podman's. */
struct telling {
    const struct ctr_record *rec;
    char id[ID_LEN + 1];
};

static void tell(const struct telling *t, const char *action, const char *more)
{
    scoped_strv char **attributes = NULL;
    strv_addf(&attributes, "execID=%s", t->id);
    if (more)
        strv_add(&attributes, more);
    container_event_with(cli_conf(), t->rec, action, attributes);
}

static void tell_end(void *data, int code)
{
    char text[24];
    snprintf(text, sizeof(text), "exitCode=%d", code);
    tell(data, "exec_died", code >= 0 ? text : NULL);
}

static int exec_in(const struct container *c, const struct exec_opts *o, char *const *words,
                   struct err *e)
{
    scoped_spec struct spec spec = {0};
    struct spec_process p SCOPED(spec_process_release) = {0};
    struct seccomp_prog prog SCOPED(seccomp_prog_release) = {0};
    scoped_fd int pidfd = open_init(c, e);
    if (pidfd < 0)
        return pidfd;
    int r = container_read_spec(c->dir_fd, &spec, e);
    if (r == 0)
        r = exec_process(o, &spec, words, &p, e);
    if (r == 0 && !o->privileged)
        r = seccomp_filter_open(c->rec.seccomp, spec.process->capabilities, c->dir_fd, &prog, e);
    if (r < 0)
        return r;
    bool have_prog = r > 0;
    scoped_cgroup struct cgroup *group = NULL;
    r = open_group(c, &group, e);
    if (r < 0)
        return r;
    struct engine_exec_params params = {
        .pid = c->state.pid,
        .pidfd = pidfd,
        .spec = &spec,
        .process = &p,
        .seccomp = have_prog ? &prog : NULL,
        .user = o->user ? o->user : c->rec.user,
        .groups = c->rec.groups,
        .cgroup = group,
        .learn_dir = have_prog && secopt_learns(c->rec.secopts) ? &c->dir_fd : NULL,
        .preserve_fds = o->preserve_fds > 0 ? (unsigned)o->preserve_fds : 0,
    };
    struct telling telling = {.rec = &c->rec};
    struct exec_session s = {
        .params = &params,
        .detach = o->detach,
        .interactive = o->interactive,
        .tty = o->tty,
        .detach_keys = o->detach_keys ? o->detach_keys : cli_conf()->detach_keys,
        .ended = tell_end,
        .data = &telling,
    };
    id_random(telling.id);
    tell(&telling, "exec", NULL);
    r = exec_session_run(&s, e);
    if (r < 0) /* 126 or 127, as its end would have told */
        tell_end(&telling, e->exit_status ? e->exit_status : 125);
    return r;
}

/* The container and, behind it, the command; with --latest and --cidfile all is the command. */
static int take_container(const struct exec_opts *o, char **args, struct container *ret,
                          char ***ret_words, struct err *e)
{
    struct cli_selection s = {.latest = o->latest};
    scoped_strv char **file = NULL, **names = NULL;
    bool named = !o->latest && !o->cidfile;
    char *none[] = {NULL};
    *ret_words = named && *args ? args + 1 : args;
    if (o->latest && o->cidfile)
        return err_msg(e, EINVAL, "--latest and --cidfile exclude each other");
    if (!*args || !**ret_words)
        return err_hint(e, err_msg(e, EINVAL, "exec: no command given"),
                        "rootlet exec CONTAINER COMMAND");
    if (named || o->latest)
        return open_running(named ? args[0] : NULL, o->latest, ret, e);
    strv_add(&file, o->cidfile);
    s.cidfile = file;
    int r = cli_select(&s, none, &names, e);
    return r < 0 ? r : open_running(names[0], false, ret, e);
}

static int exec_command(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct exec_opts *o = opts;
    scoped_container struct container c = {.dir_fd = -1};
    struct detach_keys keys;
    char **words;
    (void)cmd;
    int r = detach_keys_parse(o->detach_keys, &keys, e);
    if (r < 0)
        return r;
    if (o->workdir && o->workdir[0] != '/')
        return err_msg(e, EINVAL, "exec: working directory \"%s\" is not an absolute path",
                       o->workdir);
    if (o->preserve_fds < 0)
        return err_msg(e, EINVAL, "exec: --preserve-fds %lld: less than none",
                       (long long)o->preserve_fds);
    r = take_container(o, args, &c, &words, e);
    return r < 0 ? r : exec_in(&c, o, words, e);
}

static const char *const exec_aliases[] = {"container exec", NULL};

const struct cmd cli_exec_cmds[] = {
    {
        .name = "exec",
        .args = "CONTAINER COMMAND [ARG...]",
        .summary = "Run a command in a running container",
        .opts = exec_table,
        .opts_size = sizeof(struct exec_opts),
        .max_args = -1,
        .flags = CMD_STOP_AT_ARG,
        .run = exec_command,
        .aliases = exec_aliases,
        .details = "The command joins the container's namespaces with its capabilities and its "
                   "seccomp filter.\nExit status as of run.",
        .examples = "rootlet exec -it web sh\nrootlet exec -u postgres db psql\n"
                    "rootlet exec -d -w /srv web ./reindex",
    },
    {NULL},
};
