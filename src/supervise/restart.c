/* restart - whether and when a container that has ended is started again (--restart). */
#include "supervise/supervise.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "base/str.h"
#include "container/restart.h"

/* The record is read again: `rootlet update` may have changed it. When it cannot be read, what it
 * said at the start counts. */
static void read_policy(struct sup *s)
{
    struct ctr_record rec = {0};
    if (container_read_record(s->dir_fd, &rec, NULL) < 0)
        return;
    free(s->restart.policy);
    s->restart.policy = take_ptr(rec.restart_policy);
    s->restart.retries = rec.restart_retries;
    ctr_record_release(&rec);
}

bool restart_wanted(struct sup *s)
{
    struct restart *r = &s->restart;
    const struct ctr_state *st = &s->state;
    if (s->ending || st->user_stopped || st->stop_requested)
        return false;
    if (r->asked)
        return true;
    if (s->auto_remove)
        return false;
    if (s->unit.on) /* systemd does it */
        return false;
    read_policy(s);
    return restart_by_policy(r->policy, r->retries, st->restart_count, st->exit_code);
}

static void on_restart_time(void *data, uint32_t events)
{
    struct sup *s = data;
    (void)events;
    s->restart.timer = -1;
    sup_event(s, EV_RESTART_TIME, NULL, NULL, NULL);
    peers_settle(s);
}

int restart_arm(struct sup *s, struct err *e)
{
    struct restart *r = &s->restart;
    const struct ctr_state *st = &s->state;
    /* One that never ran has not run long. */
    int64_t ran = st->started_ns > 0 ? st->finished_ns - st->started_ns : 0;
    r->delay_ms = r->at_once ? 0 : restart_delay(r->delay_ms, ran);
    r->asked = false;
    loop_timer_cancel(s->loop, r->timer);
    r->timer = loop_timer(s->loop, r->delay_ms, on_restart_time, s, e);
    return r->timer < 0 ? r->timer : 0;
}

void restart_now(struct sup *s)
{
    loop_timer_cancel(s->loop, s->restart.timer);
    s->restart.timer = loop_timer(s->loop, 0, on_restart_time, s, NULL);
    if (s->restart.timer < 0)
        sup_event(s, EV_RESTART_TIME, NULL, NULL, NULL);
}

bool restart_signal_ends(const struct sup *s, int sig)
{
    return sig == s->stop_signal || sig == SIGKILL || sig == SIGTERM || sig == SIGINT ||
           sig == SIGQUIT;
}
