/* health - see health.h. */
#include "supervise/health.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/proc.h"
#include "base/str.h"
#include "base/strv.h"
#include "base/timefmt.h"
#include "supervise/notify.h"
#include "supervise/supervise.h"

#define SECOND_NS INT64_C(1000000000)
#define MS_NS INT64_C(1000000)
/* docker's, where nothing is said. */
#define INTERVAL_NS (30 * SECOND_NS)
#define TIMEOUT_NS (30 * SECOND_NS)
#define START_INTERVAL_NS (5 * SECOND_NS)
#define RETRIES 3
/* No image may keep us busy. */
#define LEAST_MS 100
/* The child ends its command when the time is over; this long after we end the child. */
#define GRACE_MS 2000

struct health {
    struct ctr_health conf;
    struct stat record; /* that conf is from */
    int timer;          /* of the next check, or of the grace of the one that runs; -1 */
    struct check run;   /* pidfd -1: none runs */
    int64_t began_ns, due_ns, run_began_ns; /* monotonic, monotonic, since 1970 */
    int32_t streak;
    json_t *log;
    char out[HEALTH_OUTPUT_MAX + 1];
    size_t n_out;
};

static void on_timer(void *data, uint32_t events);

static int64_t or_default(int64_t ns, int64_t dflt)
{
    return ns > 0 ? ns : dflt;
}

static bool is_none(const struct ctr_health *check)
{
    return !check->test || !check->test[0] || streq(check->test[0], "NONE");
}

static void release_conf(struct ctr_health *conf)
{
    strv_free(conf->test);
    free(conf->on_failure);
    json_decref(conf->extra);
}

/* Every change of the record is a new file. */
static bool record_is_new(struct sup *s)
{
    struct health *h = s->health;
    struct stat st = {0};
    if (fstatat(s->dir_fd, "container.json", &st, AT_SYMLINK_NOFOLLOW) < 0)
        return false;
    bool changed = st.st_ino != h->record.st_ino || st.st_ctim.tv_sec != h->record.st_ctim.tv_sec ||
                   st.st_ctim.tv_nsec != h->record.st_ctim.tv_nsec;
    h->record = st;
    return changed;
}

/* What `rootlet update` has changed. False: there is no check any more. */
static bool refresh(struct sup *s)
{
    struct ctr_record rec = {0};
    if (!record_is_new(s) || container_read_record(s->dir_fd, &rec, NULL) < 0)
        return true;
    bool some = !is_none(&rec.health);
    if (some) {
        release_conf(&s->health->conf);
        s->health->conf = rec.health;
        rec.health = (struct ctr_health){0};
    }
    ctr_record_release(&rec);
    return some;
}

void health_prepare(struct sup *s, struct ctr_health *check)
{
    if (is_none(check))
        return;
    struct health *h = xcalloc(1, sizeof(*h));
    h->conf = *check;
    *check = (struct ctr_health){0};
    h->timer = h->run.pidfd = h->run.out_fd = h->run.pid = -1;
    h->log = json_array();
    s->health = h;
    record_is_new(s);
}

static bool in_start_period(const struct health *h)
{
    return time_monotonic_ns() - h->began_ns < h->conf.start_period_ns;
}

static void write_results(struct sup *s)
{
    struct health *h = s->health;
    scoped_json json_t *j = json_pack("{s:s, s:i, s:O}", "Status", s->state.health, "FailingStreak",
                                      (int)h->streak, "Log", h->log);
    scoped_free char *text = json_text(j, false);
    if (text) /* a full disk costs the notes, not the container */
        (void)!fs_write_atomic(s->dir_fd, "health.json", text, strlen(text), 0600, FS_NO_SYNC,
                               NULL);
}

static void schedule(struct sup *s)
{
    struct health *h = s->health;
    int64_t ns = or_default(h->conf.interval_ns, INTERVAL_NS);
    if (h->conf.interval_ns < 0)
        return; /* "disable": only when asked */
    if (streq(s->state.health, "starting") && in_start_period(h))
        ns = or_default(h->conf.start_interval_ns, START_INTERVAL_NS);
    uint64_t ms = (uint64_t)(ns / MS_NS);
    loop_timer_cancel(s->loop, h->timer);
    h->timer = loop_timer(s->loop, ms < LEAST_MS ? LEAST_MS : ms, on_timer, s, NULL);
}

static void begin(struct sup *s, const char *status)
{
    struct health *h = s->health;
    char *copy = h ? xstrdup(status) : NULL;
    free(s->state.health);
    s->state.health = copy;
    if (!h)
        return;
    h->began_ns = time_monotonic_ns();
    write_results(s);
    schedule(s);
}

void health_begin(struct sup *s)
{
    begin(s, "starting");
}

void health_resume(struct sup *s)
{
    const char *was = s->state.health;
    begin(s, was && *was ? was : "starting");
}

static void close_run(struct sup *s)
{
    struct check *run = &s->health->run;
    if (run->pidfd >= 0)
        loop_forget(s->loop, run->pidfd);
    if (run->out_fd >= 0)
        loop_forget(s->loop, run->out_fd);
    fd_close(&run->pidfd);
    fd_close(&run->out_fd);
    run->pid = -1;
}

/* True when more may come. */
static bool read_output(struct health *h)
{
    char drop[512];
    size_t room = HEALTH_OUTPUT_MAX - h->n_out;
    ssize_t n = read(h->run.out_fd, room ? h->out + h->n_out : drop, room ? room : sizeof(drop));
    if (n > 0 && room)
        h->n_out += (size_t)n;
    return n > 0 || (n < 0 && errno == EINTR);
}

static void on_output(void *data, uint32_t events)
{
    struct sup *s = data;
    struct health *h = s->health;
    (void)events;
    if (read_output(h) || errno == EAGAIN)
        return;
    loop_forget(s->loop, h->run.out_fd);
    fd_close(&h->run.out_fd);
}

static void set_status(struct sup *s, const char *status)
{
    if (streq(s->state.health, status))
        return;
    free(s->state.health);
    s->state.health = xstrdup(status);
    state_set(s, (enum ctr_status)s->state.status);
    scoped_free char *attribute = xasprintf("health_status=%s", status);
    sup_journal(s, "health_status", attribute);
    notify_health(s);
}

/* One more result; the oldest goes. */
static void keep(struct health *h, int code)
{
    char begin[64], end[64];
    h->out[h->n_out] = '\0';
    json_t *one = json_pack("{s:s, s:s, s:i, s:o}", "Start",
                            time_rfc3339(h->run_began_ns, begin, sizeof(begin)), "End",
                            time_rfc3339(time_now_ns(), end, sizeof(end)), "ExitCode", code,
                            "Output", json_from_bytes(h->out));
    json_array_append_new(h->log, one);
    if (json_array_size(h->log) > HEALTH_LOG_MAX)
        json_array_remove(h->log, 0);
}

static void count(struct sup *s, int code)
{
    struct health *h = s->health;
    int32_t retries = h->conf.retries > 0 ? h->conf.retries : RETRIES;
    if (code == 0) {
        h->streak = 0;
        set_status(s, "healthy");
    } else if (!streq(s->state.health, "starting") || !in_start_period(h)) {
        if (h->streak < INT32_MAX)
            h->streak++;
        if (h->streak >= retries)
            set_status(s, "unhealthy");
    }
}

static void act(struct sup *s)
{
    const char *what = s->health->conf.on_failure;
    if (!what || !streq(s->state.health, "unhealthy"))
        return;
    state_reason(s, "its health check has failed");
    if (streq(what, "kill"))
        sup_event(s, EV_KILL, NULL, NULL, NULL);
    else if (streq(what, "restart"))
        sup_event(s, EV_RESTART, NULL, NULL, NULL);
    else if (streq(what, "stop"))
        sup_event(s, EV_TERM, NULL, NULL, NULL);
}

static void tell_askers(struct sup *s, int code)
{
    for (struct peer *p = s->peers; p; p = p->next)
        if (p->asks_health) {
            p->asks_health = false;
            peer_answer(p, PROTO_HEALTH_RESULT, code);
        }
}

static bool is_due(const struct sup *s)
{
    return s->phase == PH_RUNNING && s->state.status == CTR_RUNNING;
}

static void on_end(void *data, uint32_t events)
{
    struct sup *s = data;
    struct health *h = s->health;
    int status = 0;
    (void)events;
    if (pidfd_wait(h->run.pidfd, &status) < 0)
        status = 125 << 8;
    /* What is left in the pipe, no more than is kept: what it has started may write for ever. */
    while (h->run.out_fd >= 0 && h->n_out < HEALTH_OUTPUT_MAX && read_output(h))
        ;
    bool late = time_monotonic_ns() >= h->due_ns;
    int code = wait_status_code(status);
    close_run(s);
    events_reap(s);
    loop_timer_cancel(s->loop, h->timer);
    h->timer = -1;
    if (late && code != 0) {
        /* docker's words and code. */
        int64_t ms = or_default(h->conf.timeout_ns, TIMEOUT_NS) / MS_NS;
        int n = snprintf(h->out, sizeof(h->out), "Health check exceeded timeout (%lld.%03llds)",
                         (long long)(ms / 1000), (long long)(ms % 1000));
        h->n_out = (size_t)n;
        code = -1;
    }
    /* One that ended while the container was stopped or frozen says nothing about it. */
    if (is_due(s)) {
        keep(h, code);
        count(s, code);
        write_results(s);
        tell_askers(s, code);
        act(s);
    } else {
        tell_askers(s, -1);
    }
    if (is_due(s) || s->state.status == CTR_PAUSED)
        schedule(s);
    stdio_idle(s);
    peers_settle(s);
}

static int begin_check(struct sup *s, struct err *e)
{
    struct health *h = s->health;
    int64_t timeout_ms = or_default(h->conf.timeout_ns, TIMEOUT_NS) / MS_NS;
    h->n_out = 0;
    h->run_began_ns = time_now_ns();
    h->due_ns = time_monotonic_ns() + timeout_ms * MS_NS;
    int r = check_start(s, h->conf.test, timeout_ms, &h->run, e);
    if (r == 0)
        r = loop_fd(s->loop, h->run.pidfd, EPOLLIN, on_end, s, e);
    if (r == 0)
        r = loop_fd(s->loop, h->run.out_fd, EPOLLIN, on_output, s, e);
    if (r < 0) {
        if (h->run.pidfd >= 0) {
            pidfd_signal(h->run.pidfd, SIGKILL);
            pidfd_wait(h->run.pidfd, NULL);
        }
        close_run(s);
        return r;
    }
    loop_timer_cancel(s->loop, h->timer);
    h->timer = loop_timer(s->loop, (uint64_t)timeout_ms + GRACE_MS, on_timer, s, NULL);
    return 0;
}

static void on_timer(void *data, uint32_t events)
{
    struct sup *s = data;
    struct health *h = s->health;
    (void)events;
    h->timer = -1;
    if (h->run.pidfd >= 0) {
        pidfd_signal(h->run.pidfd, SIGKILL); /* on_end is next */
        return;
    }
    if (refresh(s) && (!is_due(s) || begin_check(s, NULL) < 0))
        schedule(s);
    peers_settle(s);
}

int health_ask(struct sup *s, struct peer *p, struct err *e)
{
    struct health *h = s->health;
    if (!h)
        return err_msg(e, EINVAL, "container %s has no health check", s->state.name);
    if (!is_due(s))
        return err_msg(e, EINVAL, "container %s is %s", s->state.name,
                       s->state.status == CTR_PAUSED ? "paused" : phase_name(s->phase));
    if (h->run.pidfd < 0 && !refresh(s))
        return err_msg(e, EINVAL, "container %s has no health check", s->state.name);
    int r = h->run.pidfd >= 0 ? 0 : begin_check(s, e);
    if (r == 0)
        p->asks_health = true;
    return r;
}

pid_t health_pid(const struct sup *s)
{
    return s->health ? s->health->run.pid : -1;
}

void health_end(struct sup *s)
{
    struct health *h = s->health;
    if (!h)
        return;
    loop_timer_cancel(s->loop, h->timer);
    if (h->run.pidfd >= 0) {
        pidfd_signal(h->run.pidfd, SIGKILL);
        pidfd_wait(h->run.pidfd, NULL);
    }
    close_run(s);
    tell_askers(s, -1);
    release_conf(&h->conf);
    json_decref(h->log);
    free(take_ptr(s->health));
}
