/* finish - the end of a container: status, last output, state, removal, farewell. */
#include "supervise/supervise.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/proc.h"
#include "base/str.h"
#include "base/timefmt.h"
#include "supervise/health.h"
#include "supervise/join.h"
#include "supervise/watch.h"

/* After the init's end nobody writes but processes that it shared its pid namespace with: what
 * they hold open is waited for so long. */
#define DRAIN_MS 300
/* Peers have so long to take what is left for them; the owner has all time, unless somebody asked
 * for the end: its terminal may be suspended. */
#define FAREWELL_MS 2000
/* Of a container that we have taken over, on a kernel that does not tell. */
#define EXIT_UNKNOWN 255

static void write_final(struct sup *s)
{
    if (s->final_written)
        return;
    s->final_written = true;
    if (s->restart.again) {
        state_set(s, CTR_RESTARTING);
        return;
    }
    state_clear_run(&s->state);
    state_set(s, s->state.stop_requested ? CTR_STOPPED : CTR_EXITED);
}

static void on_drain_time(void *data, uint32_t events)
{
    struct sup *s = data;
    (void)events;
    s->drain_timer = -1;
    bool over = time_monotonic_ns() - s->ended_ns > FAREWELL_MS * INT64_C(1000000);
    if (s->streams_parked && s->state.stop_requested && over) {
        s->force_end = true;
        stdio_update(s);
    }
    /* What is in the pipes now is all that is waited for; while the owner lags they are not read.
     */
    if (!s->streams_parked)
        stdio_drain(s);
    if (!s->streams_parked)
        sup_event(s, EV_DRAINED, NULL, NULL, NULL);
    else
        s->drain_timer = loop_timer(s->loop, DRAIN_MS, on_drain_time, s, NULL);
    peers_settle(s);
}

void finish_init_ended(struct sup *s)
{
    struct ctr_state *st = &s->state;
    int status = 0;
    bool known = engine_wait(s->engine, &status) == 0;
    s->init_ended = true;
    group_init_ended(s);
    st->finished_ns = time_now_ns();
    s->ended_ns = time_monotonic_ns(); /* the clock of the day may be set meanwhile */
    st->exit_code = known ? wait_status_code(status) : EXIT_UNKNOWN;
    st->signal = known && WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    if (!known)
        state_reason(s, "its exit status is not known: its first supervisor was killed");
    net_stop(s); /* who hears of the end may use its ports */
    state_clear_init(st);
    health_end(s);
    oom_end(s);
    char code[24];
    snprintf(code, sizeof(code), "exitCode=%d", st->exit_code);
    sup_journal(s, "died", code);
    s->restart.again = restart_wanted(s);
    if (stdio_drain(s)) {
        sup_event(s, EV_DRAINED, NULL, NULL, NULL);
        return;
    }
    /* The container has ended, whoever still holds its pipes. */
    write_final(s);
    s->drain_timer = loop_timer(s->loop, DRAIN_MS, on_drain_time, s, NULL);
    if (s->drain_timer < 0)
        sup_event(s, EV_DRAINED, NULL, NULL, NULL);
}

/* Before the peers hear of the end: then the name is free when the command returns. The record is
 * read once more, since it may have been renamed. */
static void remove_container(struct sup *s)
{
    struct container ctr = {.dir_fd = s->dir_fd};
    struct err e = ERR_INIT;
    memcpy(ctr.id, s->id, sizeof(ctr.id));
    int r = container_read_record(s->dir_fd, &ctr.rec, &e);
    if (r == 0)
        r = container_remove_ended(&s->conf, &ctr, true, &e);
    s->removed = r == 0;
    if (r < 0) {
        state_reason(s, e.msg);
        state_set(s, (enum ctr_status)s->state.status);
    }
    ctr_record_release(&ctr.rec);
}

static void on_farewell(void *data, uint32_t events)
{
    struct sup *s = data;
    (void)events;
    for (struct peer *p = s->peers; p; p = p->next)
        if (!p->owner || s->state.stop_requested)
            p->gone = true;
    peers_settle(s);
}

static void farewell(struct sup *s)
{
    if (!peers_flushed(s) && loop_timer(s->loop, FAREWELL_MS, on_farewell, s, NULL) < 0)
        s->force_end = true;
    finish_if_flushed(s);
}

/* The last run is over. */
static void conclude(struct sup *s)
{
    s->phase = PH_DONE;
    log_writer_close(s->log);
    s->log = NULL;
    if (!s->auto_remove)
        write_final(s);
    state_clear_run(&s->state);
    sup_run_end(s);
    if (s->auto_remove)
        remove_container(s);
    join_leave(s);
    peers_send(s, PROTO_EXIT, s->state.exit_code, s->state.signal, NULL, 0);
    farewell(s);
}

/* On to the next run, if there is to be one. */
static void between_runs(struct sup *s)
{
    struct err e = ERR_INIT;
    if (s->restart.again && restart_arm(s, &e) < 0) {
        s->restart.again = s->final_written = false;
        state_reason(s, e.msg);
    }
    if (!s->restart.again) {
        conclude(s);
        return;
    }
    s->phase = PH_WAITING;
    s->detached = true;
    write_final(s);
    sup_run_end(s);
    peers_dismiss(s, s->state.exit_code, s->state.signal);
    malloc_trim(0); /* the wait may be a long one */
}

void finish_drained(struct sup *s)
{
    stdio_close(s);
    between_runs(s);
}

void finish_not_restarted(struct sup *s, const struct err *why)
{
    struct ctr_state *st = &s->state;
    sup_run_end(s);
    state_clear_init(st);
    state_reason(s, why->msg);
    st->exit_code = why->exit_status ? why->exit_status : 125;
    st->signal = 0;
    st->started_ns = 0;
    st->finished_ns = time_now_ns();
    s->final_written = false;
    s->restart.again = st->status != CTR_DEAD && restart_wanted(s);
    if (st->status == CTR_DEAD)
        s->final_written = true;
    between_runs(s);
}

void finish_waiting(struct sup *s)
{
    s->final_written = false;
    conclude(s);
}

void finish_not_started(struct sup *s, const struct err *why)
{
    if (s->discard && s->auto_remove)
        remove_container(s);
    state_start_failed(s, why);
    if (s->owner && why)
        peer_reply(s->owner, PROTO_ERROR, why);
    else if (why)
        unit_failed(s, why);
    farewell(s);
}

void finish_failed(struct sup *s, const struct err *why)
{
    sup_run_end(s);
    if (s->dir_fd >= 0 && s->state.status != CTR_DEAD) {
        if (s->discard && s->auto_remove)
            remove_container(s);
        state_start_failed(s, why);
    }
    unit_failed(s, why);
    int fd = s->owner ? s->owner->fd : s->owner_fd;
    if (fd >= 0)
        (void)!proto_send_err(fd, PROTO_ERROR, why);
}

void finish_if_flushed(struct sup *s)
{
    if (s->phase == PH_DONE && (s->force_end || peers_flushed(s)))
        loop_quit(s->loop);
}

void finish_close(struct sup *s)
{
    notify_close(s);
    if (s->run_fd >= 0 && s->lock_fd >= 0)
        unlinkat(s->run_fd, "attach.sock", 0);
    /* Commands wait for the end of their socket and may then take the lock at once. */
    group_end(s);
    fd_close(&s->lock_fd);
    peers_close(s);
    fd_close(&s->owner_fd);
}
