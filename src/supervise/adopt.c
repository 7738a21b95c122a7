/* adopt - takes over a container whose supervisor was killed.
 *
 * Its init goes on without us: what is taken is the lock, our ends of its pipes, its log, the
 * timers that count from its start, and the watch for its end. Its exit status is asked of the
 * kernel, as it is no child of ours. We stay in the control group of the command that started us:
 * whoever waits for the container's group to be empty does not wait for us. */
#include <errno.h>
#include <time.h>
#include <unistd.h>

#include "base/proc.h"
#include "base/str.h"
#include "cgroup/cgroup.h"
#include "cgroup/session.h"
#include "supervise/health.h"
#include "supervise/start.h"
#include "supervise/watch.h"

/* First the descriptor, then the look: what we watch is what we looked at. */
static int open_init(const struct sup *s, struct err *e)
{
    uint64_t start = 0;
    scoped_fd int pidfd = pidfd_open_pid(s->state.pid);
    if (pidfd < 0 || proc_start_time(s->state.pid, &start) < 0 || start != s->state.pid_start)
        return err_msg(e, ESRCH, "container %s has just ended", s->state.name);
    return take_fd(&pidfd);
}

/* Without it the container is watched all the same; only what needs the group is refused. */
static void open_group(struct sup *s, const struct container *ctr)
{
    struct err ignored = ERR_INIT;
    if (container_cgroup(ctr, &s->cgroup, &ignored) < 0)
        s->cgroup = NULL;
    if (s->state.status == CTR_PAUSED)
        s->paused_by_signal = !s->cgroup || !cgroup_frozen(s->cgroup);
}

static void begin_watches(struct sup *s)
{
    /* So long it has run, whatever the clock of the day was set to meanwhile. */
    struct timespec up = {0};
    clock_gettime(CLOCK_BOOTTIME, &up);
    int64_t ran = up.tv_sec - (int64_t)s->state.pid_start / sysconf(_SC_CLK_TCK);
    if (s->timeout_s > 0 && ran > 0)
        s->timeout_s = ran < s->timeout_s ? s->timeout_s - ran : 1;
    (void)!events_run_time(s, NULL);
    health_resume(s);
    oom_resume(s);
}

static int take_run(struct sup *s, struct prep *p, struct err *e)
{
    int pidfd = open_init(s, e);
    if (pidfd < 0)
        return pidfd;
    struct engine_params params = {
        .spec = &s->spec,
        .id = s->id,
        .bundle = s->bundle,
        .userns_fd = -1,
    };
    start_keep_network(s, p);
    s->engine = engine_adopt(&params, s->state.pid, s->state.pid_start, pidfd);
    int r = start_sign(s, e);
    if (r == 0)
        r = events_init(s, e);
    if (r < 0) {
        (void)!engine_detach(s->engine, NULL);
        engine_free(take_ptr(s->engine));
    }
    return r;
}

static int take_over(struct sup *s, struct prep *p, struct err *e)
{
    int r = start_lock(s, e);
    if (r == 0)
        r = start_read(s, p, e);
    if (r == 0)
        r = start_open_log(s, &p->ctr.rec, &s->spec, e);
    if (r == 0)
        r = events_open(s, e);
    if (r == 0)
        r = unit_streams_done(s, e);
    if (r == 0)
        r = peers_listen(s, e);
    return r == 0 ? take_run(s, p, e) : r;
}

int sup_adopt(struct sup *s, struct err *e)
{
    scoped_prep struct prep p = PREP_INIT;
    int r = take_over(s, &p, e);
    if (r < 0) {
        fd_close(&s->dir_fd); /* it goes on as it was: nothing of this is written down */
        return r;
    }
    s->adopted = s->detached = true;
    s->phase = PH_RUNNING;
    open_group(s, &(struct container){.state = s->state, .rec = p.ctr.rec});
    group_started(s);
    stdio_adopt(s);
    /* A pod that ends with its last member does not know its members any more. */
    s->pod_stops = false;
    (void)!join_pod(s, &p.ctr.rec, NULL);
    net_adopt(s);
    health_prepare(s, &p.ctr.rec.health);
    (void)!pressure_prepare(s, p.ctr.rec.on_pressure, NULL);
    begin_watches(s);
    state_set(s, (enum ctr_status)s->state.status);
    sup_shrink(s);
    return 0;
}

void sup_adopted_end(struct sup *s)
{
    s->adopted = false;
    if (!s->cgroup)
        return;
    scoped_free char *path = xstrdup(cgroup_path(s->cgroup));
    scoped_json json_t *record = cgroup_emit(s->cgroup);
    (void)!cgroup_destroy(s->cgroup, NULL);
    cgroup_close(s->cgroup);
    s->cgroup = NULL;
    /* What is around it a manager removes by itself. */
    if (!json_object_get(record, "unit"))
        cgroup_remove_session(path);
}
