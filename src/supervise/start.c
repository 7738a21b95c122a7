/* start - from the records on disk to a running init. */
#include "supervise/supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/path.h"
#include "base/proc.h"
#include "base/str.h"
#include "base/strv.h"
#include "base/timefmt.h"
#include "network/session.h"
#include "security/secopt.h"
#include "supervise/health.h"
#include "supervise/start.h"
#include "supervise/watch.h"
#include "sys/clone.h"

/* A supervisor that is just ending, or a command at work, is waited for so long. */
#define LOCK_MS 5000
#define DEFAULT_STOP_SIGNAL SIGTERM

void prep_release(struct prep *p)
{
    container_release(&p->ctr);
    seccomp_prog_release(&p->seccomp);
    for (int i = 0; i < 3; i++)
        fd_close(&p->child_fd[i]);
    join_release(&p->join);
}

int start_lock(struct sup *s, struct err *e)
{
    s->lock_fd = container_lock_wait(&s->conf, s->id, LOCK_MS, e);
    if (s->lock_fd == -EWOULDBLOCK)
        return err_add(e, -EBUSY, "it is already running or being worked on");
    if (s->lock_fd < 0)
        return s->lock_fd;
    s->run_fd = conf_open_run(&s->conf, s->id, true, e);
    return s->run_fd < 0 ? s->run_fd : 0;
}

/* No start can succeed any more: it is dead, with this reason. */
static int declare_dead(struct sup *s, const char *reason, struct err *e)
{
    state_reason(s, reason);
    state_set(s, CTR_DEAD);
    int r = err_msg(e, EIO, "container %s is dead: %s", s->state.name, reason);
    return err_hint(e, r, "remove it with \"rootlet rm %s\"", s->state.name);
}

/* Who starts it wants it anew. */
static int end_survivor(struct sup *s, struct container *ctr, struct err *e)
{
    int r = container_end_survivor(ctr->dir_fd, e);
    if (r == 0)
        container_settle(&s->conf, ctr);
    return r;
}

static int find_survivor(struct sup *s, struct container *ctr, struct err *e)
{
    container_derive_locked(&ctr->state);
    if (ctr_state_unsupervised(&ctr->state))
        return 0;
    if (!ctr_state_alive(&ctr->state))
        container_settle(&s->conf, ctr);
    return err_msg(e, ESRCH, "container %s does not run", ctr->state.name);
}

/* The state is ours from now on. */
static int take_state(struct sup *s, struct prep *p, struct err *e)
{
    int r = container_open_id(&s->conf, s->id, &p->ctr, e);
    if (r < 0)
        return r;
    r = s->adopt ? find_survivor(s, &p->ctr, e) : end_survivor(s, &p->ctr, e);
    if (r < 0)
        return r;
    s->dir_fd = fcntl(p->ctr.dir_fd, F_DUPFD_CLOEXEC, 3);
    s->state = p->ctr.state;
    p->ctr.state = (struct ctr_state){0};
    s->bundle = container_dir(&s->conf, s->id);
    if (s->state.status == CTR_DEAD) {
        scoped_free char *reason = xstrdup(s->state.reason);
        return declare_dead(s, reason ? reason : "unknown", e);
    }
    return 0;
}

int start_read(struct sup *s, struct prep *p, struct err *e)
{
    bool first = s->dir_fd < 0;
    int r = first ? take_state(s, p, e) : container_read_record(s->dir_fd, &p->ctr.rec, e);
    if (r < 0)
        return r;
    const struct ctr_record *rec = &p->ctr.rec;
    s->tty = rec->tty;
    s->open_stdin = rec->open_stdin;
    s->auto_remove = rec->auto_remove;
    s->stop_timeout_s = rec->stop_timeout_s;
    s->timeout_s = rec->timeout_s;
    free(s->pidfile);
    s->pidfile = xstrdup(rec->pidfile);
    free(s->pod);
    s->pod = xstrdup(rec->pod);
    s->unit.again = streq(rec->health.on_failure, "restart") || rec->on_pressure;
    s->pod_infra = rec->pod_infra;
    s->pod_stops = rec->pod_infra && streq(rec->pod_exit, "stop");
    int sig = rec->stop_signal ? signal_parse(rec->stop_signal) : DEFAULT_STOP_SIGNAL;
    s->stop_signal = sig > 0 ? sig : DEFAULT_STOP_SIGNAL;
    struct err why = ERR_INIT;
    int bad = container_read_spec(s->dir_fd, &s->spec, &why);
    if (bad == 0)
        return 0;
    return s->adopt ? err_msg(e, EINVAL, "%s", why.msg) : declare_dead(s, why.msg, e);
}

/* The root file system's parts that no start can do without. */
static int check_storage(struct sup *s, const struct storage_root *root, struct err *e)
{
    const char *parts[] = {root->dir, root->upper, root->work};
    for (size_t i = 0; i < N_ELEMENTS(parts); i++)
        if (parts[i] && access(parts[i], F_OK) < 0 && errno == ENOENT) {
            scoped_free char *reason = xasprintf("its root file system is gone: no %s", parts[i]);
            return declare_dead(s, reason, e);
        }
    for (char *const *l = root->layers; l && *l; l++)
        if (access(*l, F_OK) < 0 && errno == ENOENT) {
            scoped_free char *reason = xasprintf("a layer of its image is gone: no %s", *l);
            return declare_dead(s, reason, e);
        }
    return 0;
}

static int load_seccomp(struct sup *s, struct prep *p, struct err *e)
{
    const struct spec_caps *caps = s->spec.process ? s->spec.process->capabilities : NULL;
    int r = seccomp_filter_open(p->ctr.rec.seccomp, caps, s->dir_fd, &p->seccomp, e);
    p->confined = r > 0;
    return r < 0 ? r : 0;
}

static int create_init(struct sup *s, struct prep *p, struct err *e)
{
    struct ctr_record *rec = &p->ctr.rec;
    rec->storage.server = &s->server;
    struct engine_params params = {
        .spec = &s->spec,
        .id = s->id,
        .bundle = s->bundle,
        .root = rec->storage.driver ? &rec->storage : NULL,
        .network = s->network.mode ? &s->network : NULL,
        .attach = s->net ? network_session_attach : NULL,
        .attach_data = s->net,
        .seccomp = p->confined ? &p->seccomp : NULL,
        /* Only when the user asked for it: a listener that lets everything run is no protection. */
        .learn_dir = secopt_learns(rec->secopts) ? &s->dir_fd : NULL,
        .user = rec->user,
        .login = rec->login,
        .groups = rec->groups,
        .stdio = {p->child_fd[0], p->child_fd[1], p->child_fd[2]},
        .preserve_fds = s->preserve_fds,
        .files_dir = credentials_give(s),
        .files = s->unit.files,
        .n_files = s->unit.n_files,
        .listen_pid = s->unit.listen_fds > 0,
        .userns_fd = p->join.userns_fd,
        .shm_fd = p->join.shm_fd >= 0 ? &p->join.shm_fd : NULL,
        .cgroup = s->cgroup,
        .await_cgroup = s->session && !s->cgroup ? group_container : NULL,
        .await_data = s,
        .trace_stages = s->trace_stages,
    };
    int r = storage_serve(&rec->storage, false, &s->server, e);
    server_enter_group(s);
    if (r == 0)
        r = engine_create(&params, &s->engine, e);
    storage_server_mounted(&s->server);
    return r;
}

void start_keep_network(struct sup *s, struct prep *p)
{
    s->network = p->ctr.rec.network;
    p->ctr.rec.network = (struct network_plan){0};
}

int start_open_log(struct sup *s, const struct ctr_record *rec, const struct spec *spec,
                   struct err *e)
{
    struct log_ident ident = {.dir_fd = s->dir_fd,
                              .opts = rec->log_opts,
                              .id = s->id,
                              .name = s->state.name,
                              .image = rec->image,
                              .labels = rec->labels,
                              .env = spec->process ? spec->process->env : NULL};
    return log_writer_open(rec->log_driver, &ident, &s->log, e);
}

int sup_run_begin(struct sup *s, struct err *e)
{
    scoped_prep struct prep p = PREP_INIT;
    int r = start_read(s, &p, e);
    if (r == 0)
        r = group_begin_recorded(s, &p.ctr.rec, e);
    if (r == 0)
        r = check_storage(s, &p.ctr.rec.storage, e);
    if (r == 0)
        r = load_seccomp(s, &p, e);
    if (r == 0)
        r = join_all(s, &p.ctr.rec, &p.join, e);
    if (r == 0 && !s->log) /* one log for all runs */
        r = start_open_log(s, &p.ctr.rec, &s->spec, e);
    if (r == 0)
        r = stdio_open(s, p.child_fd, e);
    if (r == 0)
        r = unit_streams_done(s, e);
    if (r < 0)
        return r;
    start_keep_network(s, &p);
    health_prepare(s, &p.ctr.rec.health);
    unit_give_sockets(s);
    r = notify_prepare(s, p.ctr.rec.sdnotify, e);
    if (r == 0)
        r = group_container_now(s, e);
    if (r == 0)
        r = pressure_prepare(s, p.ctr.rec.on_pressure, e);
    if (r == 0)
        r = net_prepare(s, e);
    if (r == 0)
        r = secret_env_give(s, e);
    if (r == 0)
        r = create_init(s, &p, e);
    if (r == 0)
        r = net_watch(s, e);
    if (r == 0)
        r = server_watch(s, e);
    if (r == 0)
        r = stdio_watch(s, e);
    return r == 0 ? events_init(s, e) : r;
}

int sup_prepare(struct sup *s, struct err *e)
{
    int r = start_lock(s, e);
    if (r == 0)
        r = sup_run_begin(s, e);
    if (r == 0)
        r = events_open(s, e);
    return r == 0 ? peers_listen(s, e) : r;
}

static void cancel(struct sup *s, int *timer)
{
    loop_timer_cancel(s->loop, *timer);
    *timer = -1;
}

void sup_run_end(struct sup *s)
{
    if (s->loop) {
        cancel(s, &s->stop_timer);
        cancel(s, &s->drain_timer);
        cancel(s, &s->run_timer);
    }
    health_end(s);
    stdio_close(s);
    oom_end(s);
    pressure_end(s);
    if (s->engine) {
        loop_forget(s->loop, engine_pidfd(s->engine));
        if (engine_listener(s->engine) >= 0)
            loop_forget(s->loop, engine_listener(s->engine));
    }
    engine_free(s->engine);
    s->engine = NULL;
    server_end(s);
    net_end(s);
    if (s->adopted)
        sup_adopted_end(s);
    s->init_ended = s->streams_parked = s->stdin_eof = false;
    network_plan_release(&s->network);
    s->network = (struct network_plan){.mode = NULL};
    spec_release(&s->spec);
    s->spec = (struct spec){.oci_version = NULL};
}

/* --- START --- */

static void set_namespaces(struct sup *s, pid_t pid)
{
    struct ctr_state *st = &s->state;
    strv_free(st->namespaces);
    st->namespaces = NULL;
    const struct spec_linux *l = s->spec.linux_;
    for (size_t i = 0; l && i < l->n_namespaces; i++) {
        const char *type = l->namespaces[i].type, *file = sys_ns_file(type);
        if (file)
            strv_addf(&st->namespaces, "%s=/proc/%d/ns/%s", type, (int)pid, file);
    }
}

/* What readers tell by that we and the init live: without it nobody could stop them. */
int start_sign(struct sup *s, struct err *e)
{
    struct ctr_state *st = &s->state;
    char boot_id[40] = "";
    int r = proc_boot_id(boot_id);
    if (r < 0)
        return err_set(e, -r, "read the boot id");
    free(st->boot_id);
    st->boot_id = xstrdup(boot_id);
    st->supervisor_pid = getpid();
    st->pid = engine_pid(s->engine);
    st->supervisor_start = st->pid_start = 0;
    r = proc_start_time(st->supervisor_pid, &st->supervisor_start);
    if (r == 0)
        r = proc_start_time(st->pid, &st->pid_start);
    state_reason(s, "");
    return r < 0 ? err_set(e, -r, "read start times in /proc") : 0;
}

static int state_starting(struct sup *s, struct err *e)
{
    struct ctr_state *st = &s->state;
    int r = start_sign(s, e);
    if (r < 0)
        return r;
    st->exit_code = st->signal = 0;
    st->oom_killed = st->stop_requested = st->user_stopped = false;
    st->started_ns = st->finished_ns = 0;
    set_namespaces(s, st->pid);
    net_state(s);
    st->status = CTR_STARTING;
    /* For those who come after our death: it was under way, with this process. */
    return state_write(s, e);
}

static int write_pidfile(struct sup *s, struct err *e)
{
    char text[16];
    if (!s->pidfile)
        return 0;
    int n = snprintf(text, sizeof(text), "%d\n", (int)engine_pid(s->engine));
    return fs_write_atomic(AT_FDCWD, s->pidfile, text, (size_t)n, 0644, FS_NO_SYNC, e);
}

int sup_start(struct sup *s, struct err *e)
{
    int r = write_pidfile(s, e);
    if (r == 0)
        r = state_starting(s, e);
    group_started(s);
    if (r == 0)
        r = engine_start(s->engine, e);
    if (r == 0)
        r = events_learn(s, e);
    if (r < 0)
        return r;
    s->state.started_ns = time_now_ns();
    health_begin(s);
    state_set(s, CTR_RUNNING);
    sup_journal(s, "start", NULL);
    r = events_run_time(s, e);
    if (r < 0)
        return r;
    peers_send(s, PROTO_STARTED, s->state.pid, 0, NULL, 0);
    notify_started(s);
    oom_watch(s);
    return 0;
}

/* What the start was done with is code that an idle supervisor does not need: the kernel maps it
 * again, from the file, when it is run. */
static void forget_code(void)
{
    extern const char __executable_start[], etext[];
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t from = ((uintptr_t)__executable_start + page - 1) & ~(page - 1);
    uintptr_t to = (uintptr_t)etext & ~(page - 1);
    if (from < to)
        (void)madvise((void *)from, to - from, MADV_DONTNEED);
}

void sup_shrink(struct sup *s)
{
    if (s->unit.on)
        unit_started(s);
    /* The engine looks at its specification once more, for the hooks of the end. */
    struct spec rest = {.oci_version = s->spec.oci_version,
                        .hooks = s->spec.hooks,
                        .annotations = s->spec.annotations,
                        .root = s->spec.root};
    s->spec.oci_version = NULL;
    s->spec.hooks = NULL;
    s->spec.annotations = NULL;
    s->spec.root = NULL;
    spec_release(&s->spec);
    s->spec = rest;
    free(take_ptr(s->pidfile));
    net_forget(s);
    cgroup_session_settle(s->session);
    malloc_trim(0);
    forget_code();
}
