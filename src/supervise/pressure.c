/* pressure - --on-pressure: the kernel tells when the container's tasks wait too long for a
 * resource, and what was asked for is done. */
#include "cgroup/pressure.h"

#include <stdlib.h>
#include <sys/epoll.h>

#include "base/log.h"
#include "base/str.h"
#include "base/strv.h"
#include "base/timefmt.h"
#include "supervise/supervise.h"
#include "supervise/watch.h"

/* One that goes on is told so often. */
#define QUIET_NS (10 * INT64_C(1000000000))
/* A start is work, and no reason for the next one. */
#define SETTLE_NS (10 * INT64_C(1000000000))

struct pressure {
    struct pressure *next;
    struct sup *sup;
    struct pressure_rule rule;
    int fd;
    int timer; /* of a kernel that sets no triggers for users; -1: none */
    uint64_t last_us;
    int64_t told_ns; /* monotonic; 0: never */
};

static void tell(struct pressure *p, const struct cgroup_pressure *now)
{
    scoped_strv char **attributes = NULL;
    char limit[40];
    pressure_describe(&p->rule, limit, sizeof(limit));
    strv_addf(&attributes, "resource=%s", cgroup_resource_names[p->rule.resource]);
    strv_addf(&attributes, "threshold=%s", limit);
    strv_addf(&attributes, "some_avg10=%.2f", now->some_avg10);
    strv_addf(&attributes, "full_avg10=%.2f", now->full_avg10);
    strv_addf(&attributes, "action=%s", pressure_action_names[p->rule.action]);
    sup_journal_all(p->sup, "pressure", attributes);
}

static void act(struct pressure *p)
{
    struct sup *s = p->sup;
    struct err e = ERR_INIT;
    struct cgroup_pressure now = {.there = false};
    int64_t at = time_monotonic_ns();
    if (s->phase != PH_RUNNING || s->state.status != CTR_RUNNING ||
        (p->told_ns && at - p->told_ns < QUIET_NS))
        return;
    if (p->rule.action == PRESSURE_RESTART && time_now_ns() - s->state.started_ns < SETTLE_NS)
        return;
    p->told_ns = at;
    (void)!pressure_read(p->fd, &now);
    tell(p, &now);
    int r = 0;
    if (p->rule.action == PRESSURE_FREEZE)
        r = sup_event(s, EV_PAUSE, NULL, NULL, &e);
    else if (p->rule.action == PRESSURE_RESTART)
        r = sup_event(s, EV_RESTART, NULL, NULL, &e);
    if (r < 0)
        log_warn("--on-pressure: %s", e.msg);
}

static void on_pressure(void *data, uint32_t events)
{
    struct pressure *p = data;
    struct sup *s = p->sup;
    /* The group is gone, and so will be the run. */
    if (events & EPOLLERR)
        loop_forget(s->loop, p->fd);
    else
        act(p);
    peers_settle(s);
}

static void on_window(void *data, uint32_t events);

static int arm(struct pressure *p, struct err *e)
{
    p->timer = loop_timer(p->sup->loop, p->rule.window_us / 1000, on_window, p, e);
    return p->timer < 0 ? p->timer : 0;
}

static void on_window(void *data, uint32_t events)
{
    struct pressure *p = data;
    struct cgroup_pressure now;
    struct sup *s = p->sup;
    (void)events;
    p->timer = -1;
    if (pressure_read(p->fd, &now) < 0)
        return;
    uint64_t us = p->rule.full ? now.full_us : now.some_us, stalled = us - p->last_us;
    p->last_us = us;
    (void)!arm(p, NULL);
    if (stalled >= p->rule.stall_us)
        act(p);
    peers_settle(s);
}

static int begin(struct pressure *p, struct err *e)
{
    bool trigger;
    p->fd = pressure_open(p->sup->cgroup, &p->rule, &trigger, e);
    if (p->fd < 0)
        return p->fd;
    return trigger ? loop_fd(p->sup->loop, p->fd, EPOLLPRI, on_pressure, p, e) : arm(p, e);
}

int pressure_prepare(struct sup *s, char *const *rules, struct err *e)
{
    int r = 0;
    for (; r == 0 && rules && *rules; rules++) {
        struct pressure *p = xcalloc(1, sizeof(*p));
        *p = (struct pressure){.next = s->pressure, .sup = s, .fd = -1, .timer = -1};
        s->pressure = p;
        r = pressure_parse(*rules, &p->rule, e);
        if (r == 0)
            r = begin(p, e);
    }
    return r;
}

void pressure_end(struct sup *s)
{
    while (s->pressure) {
        struct pressure *p = s->pressure;
        s->pressure = p->next;
        if (s->loop && p->fd >= 0)
            loop_forget(s->loop, p->fd);
        if (s->loop && p->timer >= 0)
            loop_timer_cancel(s->loop, p->timer);
        fd_close(&p->fd);
        free(p);
    }
}
