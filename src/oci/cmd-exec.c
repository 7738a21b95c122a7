/* exec - a further process in a running container. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/proc.h"
#include "base/str.h"
#include "base/strv.h"
#include "engine/engine.h"
#include "oci/console.h"
#include "oci/oci.h"
#include "security/caps.h"
#include "term/session.h"

struct exec_opts {
    bool tty, detach, no_new_privs, ignore_paused, no_subreaper;
    char *process, *pid_file, *console_socket, *cwd, *user, *apparmor, *label, *cgroup;
    char **env, **groups, **caps;
    int64_t preserve_fds;
};

#define O(m) offsetof(struct exec_opts, m)
static const struct opt table[] = {
    {"additional-gids", 'g', OPT_STRV, O(groups), "GROUP", "Add a group, by name or number"},
    {"apparmor", 0, OPT_STRING, O(apparmor), "PROFILE", "AppArmor profile of the process"},
    {"cap", 'c', OPT_STRV, O(caps), "CAP", "Add a capability"},
    {"cgroup", 0, OPT_STRING, O(cgroup), "PATH", "Existing cgroup below the container's"},
    {"console-socket", 0, OPT_STRING, O(console_socket), "SOCKET",
     "Unix socket that receives the terminal"},
    {"cwd", 0, OPT_STRING, O(cwd), "DIR", "Working directory"},
    {"detach", 'd', OPT_FLAG, O(detach), NULL, "Return when it has been started"},
    {"env", 'e', OPT_STRV, O(env), "NAME=VALUE", "Set an environment variable"},
    {"ignore-paused", 0, OPT_FLAG, O(ignore_paused), NULL,
     "Start it in a paused container too, where it waits"},
    {"no-new-privs", 0, OPT_FLAG, O(no_new_privs), NULL, "It gains no privileges by execve"},
    {"no-subreaper", 0, OPT_FLAG, O(no_subreaper), NULL, "Nothing, there is none", OPT_HIDDEN},
    {"pid-file", 0, OPT_STRING, O(pid_file), "FILE", "Write its process id to a file"},
    {"preserve-fds", 0, OPT_INT, O(preserve_fds), "N", "Hand on N descriptors from 3 on"},
    {"process", 'p', OPT_STRING, O(process), "FILE",
     "The process object of the specification, as JSON; - is standard input"},
    {"process-label", 0, OPT_STRING, O(label), "CONTEXT", "SELinux context of the process"},
    {"tty", 't', OPT_FLAG, O(tty), NULL, "Allocate a terminal"},
    {"user", 'u', OPT_STRING, O(user), "USER[:GROUP]", "User by name or number"},
    {NULL},
};

static void replace(char **member, const char *value)
{
    if (!value)
        return;
    free(*member);
    *member = xstrdup(value);
}

/* With ids other than 0 only ambient capabilities outlive execve, capabilities(7); they have to be
 * inheritable. Root gets none of these (CVE-2022-29162). */
static int add_caps(const struct exec_opts *o, struct spec_process *p, struct err *e)
{
    if (!o->caps)
        return 0;
    if (!p->capabilities)
        p->capabilities = xcalloc(1, sizeof(*p->capabilities));
    struct spec_caps *c = p->capabilities;
    bool root = o->user ? str_after(o->user, "0:") || streq(o->user, "0") || streq(o->user, "root")
                        : p->user.uid == 0;
    char ***const sets[] = {&c->bounding, &c->permitted, &c->effective, &c->inheritable,
                            &c->ambient};
    for (char **name = o->caps; *name; name++) {
        int cap = cap_parse(*name);
        if (cap < 0)
            return err_msg(e, EINVAL, "--cap %s: unknown capability", *name);
        for (size_t i = 0; i < (root ? 3 : N_ELEMENTS(sets)); i++)
            if (!strv_has(*sets[i], cap_name(cap)))
                strv_add(sets[i], cap_name(cap));
    }
    return 0;
}

static int read_process(const char *file, struct spec_process *ret, struct err *e)
{
    scoped_free char *text = NULL;
    ssize_t n = streq(file, "-") ? fs_read_fd(STDIN_FILENO, SPEC_MAX_BYTES, &text, e)
                                 : fs_read(AT_FDCWD, file, SPEC_MAX_BYTES, &text, e);
    if (n < 0)
        return err_add(e, (int)n, "--process");
    scoped_json json_t *j = json_parse(text, (size_t)n, SPEC_MAX_BYTES, file, e);
    int r = j ? spec_process_parse(j, "", ret, e) : -EINVAL;
    return r < 0 ? err_add(e, r, "--process %s", file) : 0;
}

/* The container's own process with other words. */
static int own_process(const struct spec *spec, char *const *words, struct spec_process *ret,
                       struct err *e)
{
    scoped_json json_t *j = spec_process_emit(spec->process);
    json_object_set_new(j, "args", json_from_strv(words));
    int r = spec_process_parse(j, "process", ret, e);
    if (r == 0)
        ret->terminal = false;
    return r;
}

/* A terminal that nobody has given a size gets ours. */
static void set_terminal(const struct exec_opts *o, struct spec_process *p)
{
    struct winsize ws;
    p->terminal = p->terminal || o->tty;
    if (!p->terminal || o->detach || p->console_size || ioctl(STDIN_FILENO, TIOCGWINSZ, &ws) < 0 ||
        ws.ws_col == 0)
        return;
    p->console_size = xcalloc(1, sizeof(*p->console_size));
    p->console_size->height = ws.ws_row;
    p->console_size->width = ws.ws_col;
}

static int make_process(const struct exec_opts *o, const struct spec *spec, char *const *words,
                        struct spec_process *ret, struct err *e)
{
    int r = o->process ? read_process(o->process, ret, e) : own_process(spec, words, ret, e);
    if (r < 0)
        return r;
    replace(&ret->cwd, o->cwd);
    replace(&ret->apparmor_profile, o->apparmor);
    replace(&ret->selinux_label, o->label);
    ret->no_new_privileges = ret->no_new_privileges || o->no_new_privs;
    if (o->user) /* the other user's home comes from the container's passwd file */
        strv_env_unset(ret->env, "HOME");
    for (char **v = o->env; v && *v; v++) {
        if (**v == '=' || !strchr(*v, '='))
            return err_msg(e, EINVAL, "--env %s: want NAME=VALUE", *v);
        strv_env_set(&ret->env, *v);
    }
    set_terminal(o, ret);
    r = add_caps(o, ret, e);
    return r < 0 ? r : spec_process_validate(ret, "process", e);
}

static int check_terminal(const struct exec_opts *o, const struct spec_process *p, struct err *e)
{
    if (o->console_socket && !p->terminal)
        return err_hint(e, err_msg(e, EINVAL, "--console-socket: the process has no terminal"),
                        "--tty, or \"terminal\": true in the process file");
    if (o->detach && p->terminal && !o->console_socket)
        return err_hint(e, err_msg(e, EINVAL, "a detached process cannot have a terminal of ours"),
                        "--console-socket SOCKET hands the terminal to another program");
    return 0;
}

static void end_process(struct engine_exec *child)
{
    pidfd_signal(child->pidfd, SIGKILL);
    pidfd_wait(child->pidfd, NULL);
}

/* Terminal and pid to who wants them. On failure the process, which nobody would know of, ends. */
static int hand_over(const struct exec_opts *o, struct engine_exec *child, struct err *e)
{
    int r = 0;
    if (o->console_socket) {
        r = oci_console_send(o->console_socket, child->console, e);
        fd_close(&child->console);
    }
    if (r == 0 && o->pid_file)
        r = oci_pid_file_write(o->pid_file, child->pid, e);
    if (r < 0)
        end_process(child);
    return r;
}

static int start(const struct exec_opts *o, struct engine_exec_params *params, bool paused,
                 struct err *e)
{
    struct engine_exec child = ENGINE_EXEC_INIT;
    scoped_session struct session session = SESSION_INIT;
    int status = 0;
    session.tty = params->process->terminal;
    session.interactive = !o->console_socket;
    session.interruptible = paused; /* a start there takes any time */
    int r = o->detach ? 0 : session_open(&session, params->stdio, e);
    if (r == 0)
        r = engine_exec(params, &child, e);
    if (r == 0)
        r = hand_over(o, &child, e);
    if (r == 0 && !o->detach) {
        r = session_follow(&session, child.pidfd, child.console, &status, e);
        r = r < 0 ? r : wait_status_code(status);
    }
    fd_close(&child.pidfd);
    fd_close(&child.console);
    return r;
}

static int open_cgroup(const struct oci_container *c, const char *below, struct cgroup **ret,
                       struct err *e)
{
    scoped_cgroup struct cgroup *top = NULL;
    int r = oci_open_cgroup(c, &top, e);
    if (r < 0)
        return r;
    r = cgroup_open_child(top, below, c->rec.pid, ret, e);
    return r < 0 && below ? err_add(e, r, "--cgroup %s", below) : r;
}

static int exec_in(const struct oci_container *c, const struct exec_opts *o, char *const *words,
                   struct err *e)
{
    scoped_spec struct spec spec = {0};
    struct spec_process process SCOPED(spec_process_release) = {0};
    struct seccomp_prog prog SCOPED(seccomp_prog_release) = {0};
    scoped_cgroup struct cgroup *cgroup = NULL;
    int r = oci_read_spec(c, &spec, e);
    if (r == 0)
        r = make_process(o, &spec, words, &process, e);
    if (r == 0)
        r = check_terminal(o, &process, e);
    if (r == 0)
        r = oci_seccomp_open(c, &spec, &prog, e);
    if (r < 0)
        return r;
    struct engine_exec_params params = {
        .pid = c->rec.pid,
        .pidfd = c->pidfd,
        .id = c->rec.id,
        .bundle = c->rec.bundle,
        .spec = &spec,
        .process = &process,
        .seccomp = r > 0 ? &prog : NULL,
        .user = o->user,
        .groups = o->groups,
        .stdio = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO},
        .preserve_fds = (unsigned)o->preserve_fds,
        .detach = o->detach,
        .keep_keyring = c->rec.keep_keyring,
    };
    r = open_cgroup(c, o->cgroup, &cgroup, e);
    params.cgroup = cgroup;
    if (r == 0)
        r = start(o, &params, c->status == OCI_PAUSED, e);
    return r;
}

static int check_status(const struct oci_container *c, const struct exec_opts *o, struct err *e)
{
    if (c->status == OCI_PAUSED && !o->ignore_paused)
        return err_hint(e, err_msg(e, EBUSY, "the container is paused"),
                        "rootlet-oci resume %s, or --ignore-paused", c->id);
    return oci_want_running(c, true, e);
}

static int exec_command(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct exec_opts *o = opts;
    scoped_oci_container struct oci_container c = OCI_CONTAINER_INIT;
    (void)cmd;
    if (!o->process && !args[1])
        return err_hint(e, err_msg(e, EINVAL, "exec: no command given"),
                        "rootlet-oci exec ID COMMAND, or --process FILE");
    if (o->process && args[1])
        return err_msg(e, EINVAL, "exec: a command and --process exclude each other");
    if (o->preserve_fds < 0 || o->preserve_fds > 1 << 16)
        return err_msg(e, EINVAL, "exec: --preserve-fds: want 0 or more");
    int r = oci_check_preserved((unsigned)o->preserve_fds, e);
    if (r == 0)
        r = oci_open(args[0], &c, e);
    if (r == 0)
        r = check_status(&c, o, e);
    if (r == 0)
        r = exec_in(&c, o, args + 1, e);
    return r < 0 ? err_add(e, r, "exec %s", args[0]) : r;
}

const struct cmd oci_cmd_exec = {
    .name = "exec",
    .args = "ID [COMMAND [ARG...]]",
    .summary = "Run a command in a running container",
    .opts = table,
    .opts_size = sizeof(struct exec_opts),
    .min_args = 1,
    .max_args = -1,
    .flags = CMD_STOP_AT_ARG,
    .run = exec_command,
    .details = "User, environment, capabilities, limits and seccomp filter are those of the "
               "container's own process, changed by the options; or those of a process file, "
               "except for the filter.",
    .examples = "rootlet-oci exec web ps\nrootlet-oci exec -t -u www web sh\n"
                "rootlet-oci exec -d --process process.json --pid-file /run/web.pid web",
};
