/* pod - pod start, stop, restart, kill, pause, unpause, rm and exists. */
#include "cli/pod.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/proc.h"
#include "cgroup/place.h"
#include "cli/cli.h"
#include "cli/follow.h"
#include "cli/prune.h"
#include "container/client.h"
#include "events/events.h"

#define SLICE_TRIES 50

struct pod_opts {
    bool all, force, ignore;
    char *signal;
    int64_t time;
    bool time_set;
    char **id_file;
};

#define O(m) offsetof(struct pod_opts, m)
#define ALL                                                                                        \
    {                                                                                              \
        "all", 'a', OPT_FLAG, O(all), NULL, "All pods"                                             \
    }
#define IGNORE                                                                                     \
    {                                                                                              \
        "ignore", 'i', OPT_FLAG, O(ignore), NULL, "A missing pod is no error"                      \
    }
#define TIME                                                                                       \
    {                                                                                              \
        "time", 't', OPT_INT, O(time), "SECONDS", "Time from the signal to SIGKILL (10)", 0, NULL, \
            NULL, O(time_set)                                                                      \
    }
static const struct opt all_table[] = {ALL, {NULL}};
static const struct opt stop_table[] = {ALL, IGNORE, TIME, {NULL}};
static const struct opt restart_table[] = {ALL, TIME, {NULL}};
static const struct opt kill_table[] = {
    ALL,
    {"signal", 's', OPT_STRING, O(signal), "SIGNAL", "Name or number (SIGKILL)"},
    {NULL},
};
static const struct opt rm_table[] = {
    ALL,    {"force", 'f', OPT_FLAG, O(force), NULL, "Stop what runs first; a missing one is fine"},
    IGNORE, TIME,
    {NULL},
};

/* --- all containers of a pod at once --- */

typedef int each_fn(const char *id, const struct pod_opts *o, struct err *e);

static int in_child(const char *id, each_fn *fn, const struct pod_opts *o)
{
    struct err e = ERR_INIT;
    if (fn(id, o, &e) >= 0)
        return 0;
    cli_print_err(&e);
    return 1;
}

/* One process for each, so that a slow one keeps none waiting. Errors are printed; returns how many
 * there were. */
static int each_member(const struct pod *p, each_fn *fn, const struct pod_opts *o)
{
    int status, failed = 0;
    size_t n = 0;
    scoped_free pid_t *pids = xcalloc(p->n + 1, sizeof(*pids));
    fflush(NULL);
    for (size_t i = 0; i < p->n; i++) {
        if (!ctr_state_alive(p->members[i]))
            continue;
        pid_t pid = fork();
        if (pid == 0)
            _exit(in_child(p->members[i]->id, fn, o));
        if (pid < 0)
            failed += in_child(p->members[i]->id, fn, o);
        else
            pids[n++] = pid;
    }
    for (size_t i = 0; i < n; i++)
        failed += waitpid(pids[i], &status, 0) != pids[i] || status != 0;
    return failed;
}

static int stop_one(const char *id, const struct pod_opts *o, struct err *e)
{
    scoped_container struct container c = {.dir_fd = -1};
    int r = container_open_id(cli_conf(), id, &c, e);
    if (r < 0 || !ctr_state_alive(&c.state))
        return r == -ENOENT ? 0 : r;
    int sig = signal_parse(c.rec.stop_signal ? c.rec.stop_signal : "TERM");
    int64_t seconds = o->time_set && o->time >= 0 ? o->time : c.rec.stop_timeout_s;
    int ms = seconds < 0 ? -1 : seconds > INT_MAX / 1000 ? INT_MAX : (int)seconds * 1000;
    r = container_stop(cli_conf(), id, sig > 0 ? sig : SIGTERM, ms, e);
    return r == -ENOENT || r == -ECONNREFUSED ? 0 : r;
}

static int signal_one(const char *id, const struct pod_opts *o, struct err *e)
{
    int r = container_signal(cli_conf(), id, o->signal ? signal_parse(o->signal) : SIGKILL, e);
    return r == -ENOENT || r == -ECONNREFUSED ? 0 : r;
}

static int ask(const char *id, enum proto_type type, struct err *e)
{
    struct proto_head head = {.type = (uint32_t)type};
    return container_request(cli_conf(), id, &head, NULL, e);
}

static int pause_one(const char *id, const struct pod_opts *o, struct err *e)
{
    (void)o;
    return ask(id, PROTO_PAUSE, e);
}

static int unpause_one(const char *id, const struct pod_opts *o, struct err *e)
{
    (void)o;
    return ask(id, PROTO_UNPAUSE, e);
}

static int some_failed(const struct pod *p, const char *what, int failed, struct err *e)
{
    return failed ? err_msg(e, EIO, "pod %s: %d of its containers did not %s", p->infra.rec.pod,
                            failed, what)
                  : 0;
}

/* --- the verbs --- */

typedef int pod_fn(const struct pod *p, const struct pod_opts *o, struct err *e);

static int start_pod(const struct pod *p, const struct pod_opts *o, struct err *e)
{
    int failed = 0, r = cli_pod_up(p->infra.id, e);
    (void)o;
    if (r < 0)
        return r;
    for (size_t i = p->n; i-- > 0;) { /* in the order in which they were made */
        struct err one = ERR_INIT;
        struct follow f = {.id = p->members[i]->id};
        if (ctr_state_alive(p->members[i]) || follow_detached(&f, &one) >= 0)
            continue;
        err_add(&one, -EIO, "start %s", p->members[i]->name);
        cli_print_err(&one);
        failed++;
    }
    event_named(cli_conf(), "pod", "start", p->infra.id, p->infra.rec.pod);
    return some_failed(p, "start", failed, e);
}

static int stop_pod(const struct pod *p, const struct pod_opts *o, struct err *e)
{
    int failed = each_member(p, stop_one, o);
    int r = stop_one(p->infra.id, o, e);
    event_named(cli_conf(), "pod", "stop", p->infra.id, p->infra.rec.pod);
    return r < 0 ? r : some_failed(p, "stop", failed, e);
}

static int find_again(const struct pod *p, struct pod_set *set, const struct pod **ret,
                      struct err *e)
{
    int r = pod_set_load(cli_conf(), set, e);
    return r < 0 ? r : pod_find(set, p->infra.id, ret, e);
}

static int restart_pod(const struct pod *p, const struct pod_opts *o, struct err *e)
{
    scoped_pod_set struct pod_set set = {.n = 0};
    int r = stop_pod(p, o, e);
    if (r == 0)
        r = find_again(p, &set, &p, e);
    return r < 0 ? r : start_pod(p, o, e);
}

static int kill_pod(const struct pod *p, const struct pod_opts *o, struct err *e)
{
    int failed = each_member(p, signal_one, o);
    int r = ctr_state_alive(&p->infra.state) ? signal_one(p->infra.id, o, e) : 0;
    event_named(cli_conf(), "pod", "kill", p->infra.id, p->infra.rec.pod);
    return r < 0 ? r : some_failed(p, "take the signal", failed, e);
}

static int pause_pod(const struct pod *p, const struct pod_opts *o, struct err *e)
{
    event_named(cli_conf(), "pod", "pause", p->infra.id, p->infra.rec.pod);
    return some_failed(p, "pause", each_member(p, pause_one, o), e);
}

static int unpause_pod(const struct pod *p, const struct pod_opts *o, struct err *e)
{
    event_named(cli_conf(), "pod", "unpause", p->infra.id, p->infra.rec.pod);
    return some_failed(p, "go on", each_member(p, unpause_one, o), e);
}

/* A pod of that name of another store (--root) may be in it. Our own supervisors take a moment. */
static bool slice_is_empty(const char *slice)
{
    scoped_free char *manager = place_manager_group("");
    scoped_free char *path =
        xasprintf("/sys/fs/cgroup%s/rootlet.slice/rootlet-pod.slice/%s/cgroup.events",
                  streq(manager, "/") ? "" : manager, slice);
    for (int i = 0; i < SLICE_TRIES; i++) {
        scoped_free char *text = NULL;
        if (fs_read(AT_FDCWD, path, 4096, &text, NULL) < 0 || !strstr(text, "populated 1"))
            return true;
        usleep(10000);
    }
    return false;
}

/* systemd keeps a slice that nothing is in any more. */
static void stop_slice(const struct ctr_record *infra)
{
    if (!streq(infra->cgroups, "systemd") || !infra->cgroup_parent)
        return;
    char program[] = "systemctl", user[] = "--user", all[] = "--system", stop[] = "stop",
         quiet[] = "-q", names[] = "--";
    char *const argv[] = {program, geteuid() == 0 ? all : user, quiet, stop,
                          names,   infra->cgroup_parent,        NULL};
    scoped_free char *slice = pod_slice(infra->pod);
    struct proc_cmd cmd = {
        .argv = argv, .envp = environ, .stdin_fd = -1, .stdout_fd = -1, .timeout_ms = 5000};
    if (streq(slice, infra->cgroup_parent) && slice_is_empty(slice)) /* and no other one */
        (void)!proc_run(&cmd, NULL);
}

/* Whoever makes a member waits for the lock, and finds no pod then. */
static int remove_all(const struct pod *p, struct err *e)
{
    scoped_pod_set struct pod_set set = {.n = 0};
    scoped_fd int lock = pod_lock(cli_conf(), true, e);
    int r = lock < 0 ? lock : find_again(p, &set, &p, e);
    for (size_t i = 0; r == 0 && i < p->n; i++) {
        scoped_container struct container c = {.dir_fd = -1};
        struct err gone = ERR_INIT;
        if (container_open_id(cli_conf(), p->members[i]->id, &c, &gone) < 0)
            continue;
        r = cli_remove(&c, true, true, e);
    }
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    r = cli_remove((struct container *)(uintptr_t)&p->infra, true, true, e);
    if (r < 0)
        return r;
    stop_slice(&p->infra.rec);
    event_named(cli_conf(), "pod", "remove", p->infra.id, p->infra.rec.pod);
    return 0;
}

static bool is_idle(const struct pod *p)
{
    for (size_t i = 0; i < p->n; i++)
        if (ctr_state_alive(p->members[i]))
            return false;
    return !ctr_state_alive(&p->infra.state);
}

int cli_pod_prune(const char *id, struct err *e)
{
    scoped_pod_set struct pod_set set = {.n = 0};
    const struct pod *p = NULL;
    scoped_fd int lock = pod_lock(cli_conf(), true, e);
    int r = lock < 0 ? lock : pod_set_load(cli_conf(), &set, e);
    if (r == 0)
        r = pod_find(&set, id, &p, e);
    if (r < 0 || !p || !is_idle(p)) {
        if (r == -ENOENT)
            err_clear(e);
        return r == -ENOENT ? 0 : r;
    }
    for (size_t i = 0; i < p->n && r >= 0; i++) {
        r = container_prune(cli_conf(), p->members[i]->id, e);
        if (r == 0) /* it starts at this moment: the pod is needed */
            return 0;
    }
    if (r >= 0)
        r = container_prune(cli_conf(), p->infra.id, e);
    if (r <= 0)
        return r;
    stop_slice(&p->infra.rec);
    event_named(cli_conf(), "pod", "remove", p->infra.id, p->infra.rec.pod);
    return 1;
}

static int rm_pod(const struct pod *p, const struct pod_opts *o, struct err *e)
{
    for (size_t i = 0; i < p->n && !o->force; i++)
        if (ctr_state_alive(p->members[i]))
            return err_exit(
                e,
                err_hint(e,
                         err_msg(e, EBUSY, "pod %s: container %s is %s", p->infra.rec.pod,
                                 p->members[i]->name, ctr_status_names[p->members[i]->status]),
                         "stop it first, or pod rm -f"),
                2);
    int r = stop_pod(p, o, e);
    return r < 0 ? r : remove_all(p, e);
}

int cli_pod_remove(const char *ref, int64_t seconds, struct err *e)
{
    scoped_pod_set struct pod_set set = {.n = 0};
    const struct pod *p = NULL;
    struct pod_opts o = {.force = true, .time = seconds, .time_set = seconds >= 0};
    int r = pod_set_load(cli_conf(), &set, e);
    if (r == 0)
        r = pod_find(&set, ref, &p, e);
    return r < 0 || !p ? r : rm_pod(p, &o, e);
}

/* --- for each pod that was named --- */

struct run_each {
    const struct pod_opts *o;
    pod_fn *fn;
    int missing; /* exit status for a pod that is not there */
    int worst;
};

static void note(struct run_each *w, struct err *e, const struct err *one)
{
    int status = one->exit_status ? one->exit_status : 125;
    if (w->worst)
        cli_print_err(e);
    *e = *one;
    w->worst = status > w->worst ? status : w->worst;
}

static void run_one(struct run_each *w, const char *ref, struct err *e)
{
    scoped_pod_set struct pod_set set = {.n = 0};
    const struct pod *p = NULL;
    struct err one = ERR_INIT;
    int r = pod_set_load(cli_conf(), &set, &one);
    if (r == 0)
        r = pod_find(&set, ref, &p, &one);
    if (r == -ENOENT && (w->o->ignore || w->o->force))
        return;
    if (r == -ENOENT)
        err_exit(&one, r, w->missing);
    if (r == 0)
        r = w->fn(p, w->o, &one);
    if (r < 0)
        note(w, e, &one);
    else
        puts(ref);
}

static int all_ids(char ***ret, struct err *e)
{
    scoped_pod_set struct pod_set set = {.n = 0};
    int r = pod_set_load(cli_conf(), &set, e);
    for (size_t i = 0; r == 0 && i < set.n; i++)
        strv_add(ret, set.v[i].infra.id);
    return r;
}

static int each_pod(const struct pod_opts *o, char **args, pod_fn *fn, int missing, struct err *e)
{
    scoped_strv char **ids = NULL;
    struct run_each w = {.o = o, .fn = fn, .missing = missing};
    if (!o->all && !*args)
        return err_hint(e, err_msg(e, EINVAL, "no pod given"), "names or ids, or --all");
    if (o->all && *args)
        return err_msg(e, EINVAL, "--all and names exclude each other");
    int r = o->all ? all_ids(&ids, e) : 0;
    if (r < 0)
        return r;
    for (char **a = o->all ? ids : args; a && *a; a++)
        run_one(&w, *a, e);
    if (!w.worst)
        return 0;
    e->exit_status = w.worst;
    return e->errnum > 0 ? -e->errnum : -EIO;
}

#define COMMAND(name, missing)                                                                     \
    static int name##_command(const struct cmd *cmd, void *opts, char **args, struct err *e)       \
    {                                                                                              \
        (void)cmd;                                                                                 \
        return each_pod(opts, args, name##_pod, missing, e);                                       \
    }
COMMAND(start, 125)
COMMAND(stop, 125)
COMMAND(restart, 125)
COMMAND(pause, 125)
COMMAND(unpause, 125)
COMMAND(rm, 1)

static int kill_command(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct pod_opts *o = opts;
    (void)cmd;
    if (o->signal && signal_parse(o->signal) <= 0)
        return err_msg(e, EINVAL, "--signal %s: no such signal", o->signal);
    return each_pod(o, args, kill_pod, 125, e);
}

static int exists(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    scoped_pod_set struct pod_set set = {.n = 0};
    const struct pod *p = NULL;
    (void)cmd, (void)opts;
    int r = pod_set_load(cli_conf(), &set, e);
    if (r == 0)
        r = pod_find(&set, args[0], &p, e);
    if (r != -ENOENT)
        return r;
    err_clear(e);
    return 1;
}

static const char *const rm_aliases[] = {"pod remove", NULL};

#define VERB(n, s, t, f, ex)                                                                       \
    {                                                                                              \
        .name = "pod " n, .args = "POD [POD...]", .summary = s, .opts = t,                         \
        .opts_size = sizeof(struct pod_opts), .max_args = -1, .run = f, .examples = ex             \
    }

const struct cmd cli_pod_cmds[] = {
    VERB("start", "Start pods and all their containers", all_table, start_command,
         "rootlet pod start web"),
    VERB("stop", "End all containers of pods", stop_table, stop_command,
         "rootlet pod stop -t 2 web"),
    VERB("restart", "Stop pods and start them again", restart_table, restart_command,
         "rootlet pod restart web"),
    VERB("kill", "Send a signal to all containers of pods", kill_table, kill_command,
         "rootlet pod kill -s HUP web"),
    VERB("pause", "Freeze all containers of pods", all_table, pause_command,
         "rootlet pod pause web"),
    VERB("unpause", "Let frozen pods go on", all_table, unpause_command, "rootlet pod unpause web"),
    {
        .name = "pod rm",
        .args = "POD [POD...]",
        .summary = "Remove pods with their containers",
        .opts = rm_table,
        .opts_size = sizeof(struct pod_opts),
        .max_args = -1,
        .run = rm_command,
        .aliases = rm_aliases,
        .details = "Exit status 1: no such pod; 2: a container runs and --force was not given.",
        .examples = "rootlet pod rm -f web",
    },
    {
        .name = "pod exists",
        .args = "POD",
        .summary = "Exit status 0 if there is such a pod, 1 if not",
        .opts_size = sizeof(struct pod_opts),
        .min_args = 1,
        .max_args = 1,
        .run = exists,
        .examples = "rootlet pod exists web || rootlet pod create web",
    },
    {NULL},
};
