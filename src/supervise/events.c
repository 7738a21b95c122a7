/* events - what is done when something happens; in which phase, says table.c. */
#include "supervise/supervise.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/proc.h"
#include "base/timefmt.h"
#include "supervise/health.h"

typedef int handler(struct sup *s, struct peer *p, const struct proto_head *h, struct err *e);

static int nothing(struct sup *s, struct peer *p, const struct proto_head *h, struct err *e)
{
    (void)s, (void)p, (void)h, (void)e;
    return 0;
}

static int refuse(struct sup *s, struct peer *p, const struct proto_head *h, struct err *e)
{
    (void)p, (void)h;
    return err_msg(e, EINVAL, "container %s is %s", s->state.name, phase_name(s->phase));
}

/* --- before the start --- */

/* Nobody wants it any more, or its init died while it waited: all is taken back. */
static void abandon(struct sup *s, const struct err *why)
{
    s->phase = PH_DONE;
    sup_run_end(s);
    finish_not_started(s, why);
}

static int do_start(struct sup *s, struct peer *p, const struct proto_head *h, struct err *e)
{
    struct err why = ERR_INIT;
    (void)p, (void)h, (void)e;
    s->state.restart_count = 0;
    if (sup_start(s, &why) < 0) {
        abandon(s, &why);
        return 0;
    }
    s->phase = PH_RUNNING;
    sup_shrink(s);
    return 0;
}

static int run_again(struct sup *s, struct peer *p, const struct proto_head *h, struct err *e)
{
    struct err why = ERR_INIT;
    (void)p, (void)h, (void)e;
    if (!s->restart.again) {
        finish_waiting(s);
        return 0;
    }
    s->restart.again = s->final_written = s->trace_stages = false;
    s->state.restart_count = s->restart.at_once ? 0 : s->state.restart_count + 1;
    s->restart.at_once = false;
    int r = sup_run_begin(s, &why);
    if (r == 0)
        r = sup_start(s, &why);
    if (r < 0) {
        finish_not_restarted(s, &why);
        return 0;
    }
    s->phase = PH_RUNNING;
    sup_shrink(s);
    return 0;
}

static int owner_left_unstarted(struct sup *s, struct peer *p, const struct proto_head *h,
                                struct err *e)
{
    (void)p, (void)h, (void)e;
    abandon(s, NULL);
    return 0;
}

static int init_died_unstarted(struct sup *s, struct peer *p, const struct proto_head *h,
                               struct err *e)
{
    struct err why = ERR_INIT;
    (void)p, (void)h, (void)e;
    err_msg(&why, ECHILD, "the container's first process was killed before its start");
    abandon(s, &why);
    return 0;
}

/* --- while it runs --- */

static int send_signal(struct sup *s, struct peer *p, const struct proto_head *h, struct err *e)
{
    (void)p;
    if (h->a == SIGKILL)
        group_kill(s);
    int r = pidfd_signal(engine_pidfd(s->engine), h->a);
    /* It has ended and we shall see so in a moment. */
    if (r == -ESRCH)
        return 0;
    return r < 0 ? err_set(e, -r, "send signal %d", h->a) : 0;
}

/* A user's. */
static int signal_it(struct sup *s, struct peer *p, const struct proto_head *h, struct err *e)
{
    if (restart_signal_ends(s, h->a))
        s->state.user_stopped = true;
    return send_signal(s, p, h, e);
}

static int kill_it(struct sup *s, struct peer *p, const struct proto_head *h, struct err *e)
{
    struct proto_head kill = {.a = SIGKILL};
    (void)h;
    return send_signal(s, p, &kill, e);
}

static int run_time_over(struct sup *s, struct peer *p, const struct proto_head *h, struct err *e)
{
    state_reason(s, "its --timeout was over");
    return kill_it(s, p, h, e);
}

static void on_stop_time(void *data, uint32_t events)
{
    struct sup *s = data;
    (void)events;
    s->stop_timer = -1;
    sup_event(s, EV_STOP_TIME, NULL, NULL, NULL);
    peers_settle(s);
}

/* Of several stops the one that is over first counts. */
static void arm_stop(struct sup *s, int64_t ms)
{
    if (ms < 0)
        return;
    int64_t due = time_monotonic_ns() + ms * 1000000;
    if (s->stop_timer >= 0 && s->stop_due_ns <= due)
        return;
    loop_timer_cancel(s->loop, s->stop_timer);
    s->stop_due_ns = due;
    s->stop_timer = loop_timer(s->loop, (uint64_t)ms, on_stop_time, s, NULL);
    if (s->stop_timer < 0) /* no memory for a timer: now is better than never */
        kill_it(s, NULL, NULL, NULL);
}

static int begin_stop(struct sup *s, struct peer *p, const struct proto_head *h, struct err *e)
{
    int sig = h->a > 0 ? h->a : s->stop_signal;
    /* Else it would not see the signal. */
    if (s->state.status == CTR_PAUSED)
        (void)!group_unpause(s, NULL);
    struct proto_head first = {.a = h->b == 0 ? SIGKILL : sig};
    int r = send_signal(s, p, &first, e);
    if (r < 0)
        return r;
    s->phase = PH_STOPPING;
    notify_stopping(s);
    if (h->b != 0)
        arm_stop(s, h->b);
    return 0;
}

static int stop_it(struct sup *s, struct peer *p, const struct proto_head *h, struct err *e)
{
    int r = begin_stop(s, p, h, e);
    if (r < 0 || (s->state.stop_requested && s->state.user_stopped))
        return r;
    s->state.stop_requested = s->state.user_stopped = true;
    state_set(s, (enum ctr_status)s->state.status);
    return 0;
}

static int stop_by_record(struct sup *s, struct err *e)
{
    struct proto_head stop = {.a = s->stop_signal, .b = (int32_t)(s->stop_timeout_s * 1000)};
    return begin_stop(s, NULL, &stop, e);
}

/* By who shuts the host or the session down: at the next boot it is as if it had run. */
static int told_to_end(struct sup *s, struct peer *p, const struct proto_head *h, struct err *e)
{
    (void)p, (void)h;
    int r = stop_by_record(s, e);
    s->ending = true;
    if (r < 0 || s->state.stop_requested)
        return r;
    s->state.stop_requested = true;
    state_set(s, (enum ctr_status)s->state.status);
    return 0;
}

/* The signal has been sent; what was to be a restart is an end now. */
static int told_twice(struct sup *s, struct peer *p, const struct proto_head *h, struct err *e)
{
    (void)p, (void)h, (void)e;
    s->ending = true;
    return 0;
}

static int restart_it(struct sup *s, struct peer *p, const struct proto_head *h, struct err *e)
{
    (void)p, (void)h;
    s->restart.asked = true;
    return stop_by_record(s, e);
}

/* Of one that is to be removed at its end: a stop and a start would come to nothing. */
static int restart_for_user(struct sup *s, struct peer *p, const struct proto_head *h,
                            struct err *e)
{
    int r = begin_stop(s, p, h, e);
    if (r == 0)
        s->restart.asked = s->restart.at_once = true;
    return r;
}

static int pause_it(struct sup *s, struct peer *p, const struct proto_head *h, struct err *e)
{
    (void)p;
    return group_pause(s, h->a, e);
}

static int unpause_it(struct sup *s, struct peer *p, const struct proto_head *h, struct err *e)
{
    (void)p, (void)h;
    return group_unpause(s, e);
}

static int init_ended(struct sup *s, struct peer *p, const struct proto_head *h, struct err *e)
{
    (void)p, (void)h, (void)e;
    loop_timer_cancel(s->loop, s->stop_timer);
    s->stop_timer = -1;
    loop_timer_cancel(s->loop, s->run_timer);
    s->run_timer = -1;
    s->phase = PH_DRAINING;
    finish_init_ended(s);
    return 0;
}

/* --- the end --- */

static int drained(struct sup *s, struct peer *p, const struct proto_head *h, struct err *e)
{
    (void)p, (void)h, (void)e;
    finish_drained(s);
    return 0;
}

/* No further run: neither after the output of this one, nor after the wait. That is ended by the
 * loop, so that who asked has an answer before the end is told. */
static void no_restart(struct sup *s)
{
    if (!s->restart.again)
        return;
    s->restart.again = s->final_written = false;
    if (s->phase == PH_WAITING)
        restart_now(s);
}

/* Somebody wants it gone: what has not been taken yet is dropped. */
static int end_now(struct sup *s, struct peer *p, const struct proto_head *h, struct err *e)
{
    no_restart(s);
    s->force_end = true;
    stdio_update(s);
    return s->phase == PH_DRAINING ? drained(s, p, h, e) : 0;
}

/* Nobody asks for that who knows that it will be started again. */
static int finish_it(struct sup *s, struct peer *p, const struct proto_head *h, struct err *e)
{
    return s->restart.again ? refuse(s, p, h, e) : end_now(s, p, h, e);
}

/* Of one that is to be started again: it stays down. */
static int stop_ended(struct sup *s, struct peer *p, const struct proto_head *h, struct err *e)
{
    if (s->restart.again)
        s->state.stop_requested = s->state.user_stopped = true;
    return end_now(s, p, h, e);
}

/* docker's: there is no process for it, but what the user wants is clear. */
static int signal_ended(struct sup *s, struct peer *p, const struct proto_head *h, struct err *e)
{
    if (!s->restart.again || !restart_signal_ends(s, h->a))
        return refuse(s, p, h, e);
    s->state.user_stopped = true;
    no_restart(s);
    return 0;
}

static int end_waiting(struct sup *s, struct peer *p, const struct proto_head *h, struct err *e)
{
    (void)p, (void)h, (void)e;
    no_restart(s);
    return 0;
}

static handler *const handlers[ACT_MAX] = {
    [ACT_NEVER] = nothing,
    [ACT_IGNORE] = nothing,
    [ACT_REFUSE] = refuse,
    [ACT_START] = do_start,
    [ACT_TAKE_BACK] = owner_left_unstarted,
    [ACT_START_FAILED] = init_died_unstarted,
    [ACT_SIGNAL] = signal_it,
    [ACT_STOP] = stop_it,
    [ACT_END] = told_to_end,
    [ACT_END_AFTER] = told_twice,
    [ACT_PAUSE] = pause_it,
    [ACT_UNPAUSE] = unpause_it,
    [ACT_DRAIN] = init_ended,
    [ACT_KILL] = kill_it,
    [ACT_KILL_TIMEOUT] = run_time_over,
    [ACT_STOP_TO_RESTART] = restart_it,
    [ACT_STOP_TO_RESTART_NOW] = restart_for_user,
    [ACT_CONCLUDE] = drained,
    [ACT_DROP] = end_now,
    [ACT_DROP_UNLESS_RESTART] = finish_it,
    [ACT_STAY_DOWN] = stop_ended,
    [ACT_STAY_DOWN_BY_SIGNAL] = signal_ended,
    [ACT_NO_RUN] = end_waiting,
    [ACT_RUN] = run_again,
};

int sup_event(struct sup *s, enum event ev, struct peer *p, const struct proto_head *h,
              struct err *e)
{
    static const struct proto_head none = {0};
    return handlers[table_action(s->phase, ev)](s, p, h ? h : &none, e);
}

/* --- where events come from --- */

static void on_init(void *data, uint32_t events)
{
    struct sup *s = data;
    (void)events;
    loop_forget(s->loop, engine_pidfd(s->engine));
    sup_event(s, EV_INIT_ENDED, NULL, NULL, NULL);
    peers_settle(s);
}

/* Orphans that came to us as the sub-reaper. The init's status is taken through its pidfd. */
void events_reap(struct sup *s)
{
    pid_t init = s->engine && !s->init_ended ? engine_pid(s->engine) : -1;
    pid_t check = health_pid(s);
    siginfo_t si = {0};
    while (waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT | __WALL) == 0 && si.si_pid > 0) {
        if (si.si_pid == init || si.si_pid == check || si.si_pid == s->server.pid ||
            net_owns(s, si.si_pid))
            return; /* its own watch is next; the rest comes with the next SIGCHLD or goes with us
                     */
        waitpid(si.si_pid, NULL, __WALL);
        si.si_pid = 0;
    }
}

/* Every call is let run, also when the disk has no room for the note: the container waits. */
static void on_learn(void *data, uint32_t events)
{
    struct sup *s = data;
    (void)events;
    if (engine_learn(s->engine, NULL) == -ENODEV)
        loop_forget(s->loop, engine_listener(s->engine));
}

int events_learn(struct sup *s, struct err *e)
{
    int fd = engine_listener(s->engine);
    return fd < 0 ? 0 : loop_fd(s->loop, fd, EPOLLIN, on_learn, s, e);
}

/* The watchdog of a unit: as a service would, the payload is to leave a core file. */
static void abort_it(struct sup *s)
{
    struct proto_head h = {.a = SIGABRT, .b = (int32_t)(s->stop_timeout_s * 1000)};
    sup_event(s, EV_STOP, NULL, &h, NULL);
}

static void on_signal(void *data, uint32_t events)
{
    struct sup *s = data;
    struct signalfd_siginfo si;
    (void)events;
    while (read(s->sig_fd, &si, sizeof(si)) == sizeof(si)) {
        if (si.ssi_signo == SIGCHLD)
            events_reap(s);
        else if (si.ssi_signo == SIGHUP)
            log_writer_reopen(s->log);
        else if (si.ssi_signo == SIGABRT)
            abort_it(s);
        else
            sup_event(s, EV_TERM, NULL, NULL, NULL);
    }
    peers_settle(s);
}

int events_open(struct sup *s, struct err *e)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGQUIT);
    if (s->unit.on)
        sigaddset(&set, SIGABRT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    s->sig_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (s->sig_fd < 0)
        return err_set(e, errno, "open a descriptor for signals");
    return loop_fd(s->loop, s->sig_fd, EPOLLIN, on_signal, s, e);
}

int events_init(struct sup *s, struct err *e)
{
    return loop_fd(s->loop, engine_pidfd(s->engine), EPOLLIN, on_init, s, e);
}

static void on_run_time(void *data, uint32_t events)
{
    struct sup *s = data;
    (void)events;
    s->run_timer = -1;
    sup_event(s, EV_RUN_TIME, NULL, NULL, NULL);
    peers_settle(s);
}

int events_run_time(struct sup *s, struct err *e)
{
    int id = 0;
    if (s->timeout_s > 0)
        id = s->run_timer = loop_timer(s->loop, (uint64_t)s->timeout_s * 1000, on_run_time, s, e);
    return id < 0 ? id : 0;
}
