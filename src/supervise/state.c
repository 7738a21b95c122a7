/* state - what state.json says, at each change. */
#include "supervise/supervise.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "base/strv.h"
#include "base/timefmt.h"

#define STATE_AGAIN_MS 1000
#define STATE_TRIES 3

void state_reason(struct sup *s, const char *reason)
{
    free(s->state.reason);
    s->state.reason = xstrdup(reason);
}

static void on_state_time(void *data, uint32_t events)
{
    struct sup *s = data;
    (void)events;
    s->state_timer = -1;
    state_set(s, (enum ctr_status)s->state.status);
}

int state_write(struct sup *s, struct err *e)
{
    return s->removed ? 0 : container_write_state(s->dir_fd, &s->state, e);
}

void state_set(struct sup *s, enum ctr_status status)
{
    s->state.status = status;
    for (int tries = 0; tries < STATE_TRIES; tries++)
        if (state_write(s, NULL) == 0)
            return;
    /* A full disk, say. Readers find out by the lock that we live or do not; what they read is old
     * until there is room again. */
    if (s->state_timer < 0)
        s->state_timer = loop_timer(s->loop, STATE_AGAIN_MS, on_state_time, s, NULL);
}

void state_clear_init(struct ctr_state *st)
{
    st->pid = 0;
    st->pid_start = 0;
    json_decref(take_ptr(st->cgroup));
    free(take_ptr(st->cgroup_path));
    json_decref(take_ptr(st->network));
    strv_free(take_ptr(st->ports));
    st->stdin_pipe = st->stdout_pipe = st->stderr_pipe = 0;
    /* Their paths lead to nothing now, or to those of another process. */
    strv_free(st->namespaces);
    st->namespaces = NULL;
}

void state_clear_run(struct ctr_state *st)
{
    state_clear_init(st);
    st->supervisor_pid = 0;
    st->supervisor_start = 0;
}

void state_start_failed(struct sup *s, const struct err *why)
{
    struct ctr_state *st = &s->state;
    bool began = st->status == CTR_STARTING;
    state_clear_run(st);
    state_reason(s, why ? why->msg : "");
    if (!why)
        return; /* taken back by who asked for it: as it was */
    if (began) {
        st->exit_code = why->exit_status ? why->exit_status : 125;
        st->signal = 0;
        st->finished_ns = time_now_ns();
        state_set(s, CTR_EXITED);
    } else {
        state_set(s, (enum ctr_status)st->status);
    }
}
