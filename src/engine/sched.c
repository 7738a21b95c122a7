/* Scheduling, I/O priority and personality of the payload. sched_setattr(2), ioprio_set(2),
 * personality(2) */
#include <errno.h>
#include <sched.h>
#include <sys/personality.h>
#include <sys/syscall.h>

#include "base/str.h"
#include "engine/engine-priv.h"

/* The kernel's struct sched_attr, which old C libraries lack. */
struct attr {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};

struct word {
    const char *name;
    uint64_t value;
};

static int find_word(const struct word *v, size_t n, const char *name, uint64_t *ret)
{
    for (size_t i = 0; i < n; i++) {
        if (streq(v[i].name, name)) {
            *ret = v[i].value;
            return 0;
        }
    }
    return -EINVAL;
}

static int set_scheduler(const struct spec_scheduler *c, struct err *e)
{
    static const struct word policies[] = {
        {"SCHED_OTHER", 0}, {"SCHED_FIFO", 1}, {"SCHED_RR", 2},       {"SCHED_BATCH", 3},
        {"SCHED_ISO", 4},   {"SCHED_IDLE", 5}, {"SCHED_DEADLINE", 6},
    };
    static const struct word flags[] = {
        {"SCHED_FLAG_RESET_ON_FORK", 0x01},  {"SCHED_FLAG_RECLAIM", 0x02},
        {"SCHED_FLAG_DL_OVERRUN", 0x04},     {"SCHED_FLAG_KEEP_POLICY", 0x08},
        {"SCHED_FLAG_KEEP_PARAMS", 0x10},    {"SCHED_FLAG_UTIL_CLAMP_MIN", 0x20},
        {"SCHED_FLAG_UTIL_CLAMP_MAX", 0x40},
    };
    uint64_t policy = 0;
    if (find_word(policies, N_ELEMENTS(policies), c->policy, &policy) < 0)
        return err_msg(e, EINVAL, "process.scheduler.policy: unknown \"%s\"",
                       c->policy ? c->policy : "");
    struct attr a = {
        .size = sizeof(a),
        .policy = (uint32_t)policy,
        .nice = c->nice,
        .priority = (uint32_t)c->priority,
        .runtime = c->runtime,
        .deadline = c->deadline,
        .period = c->period,
    };
    for (char *const *f = c->flags; f && *f; f++) {
        uint64_t flag = 0;
        if (find_word(flags, N_ELEMENTS(flags), *f, &flag) < 0)
            return err_msg(e, EINVAL, "process.scheduler.flags: unknown \"%s\"", *f);
        a.flags |= flag;
    }
    if (syscall(SYS_sched_setattr, 0, &a, 0) < 0)
        return err_set(e, errno, "process.scheduler");
    return 0;
}

static int set_io_priority(const struct spec_io_priority *p, struct err *e)
{
    static const struct word classes[] = {
        {"IOPRIO_CLASS_RT", 1},
        {"IOPRIO_CLASS_BE", 2},
        {"IOPRIO_CLASS_IDLE", 3},
    };
    uint64_t class = 0;
    if (find_word(classes, N_ELEMENTS(classes), p->class_name, &class) < 0)
        return err_msg(e, EINVAL, "process.ioPriority.class: unknown \"%s\"",
                       p->class_name ? p->class_name : "");
    /* 1: IOPRIO_WHO_PROCESS; the class sits above 13 bits of priority, <linux/ioprio.h>. */
    if (syscall(SYS_ioprio_set, 1, 0, (int)(class << 13) | (p->priority & 0x1fff)) < 0)
        return err_set(e, errno, "process.ioPriority");
    return 0;
}

static int set_personality(const json_t *j, struct err *e)
{
    const char *domain = json_string_value(json_object_get(j, "domain"));
    unsigned long value = PER_LINUX;
    if (streq(domain, "LINUX32"))
        value = PER_LINUX32;
    else if (!streq(domain, "LINUX"))
        return err_msg(e, EINVAL, "linux.personality.domain: want LINUX or LINUX32");
    if (json_array_size(json_object_get(j, "flags")) > 0)
        return err_msg(e, EINVAL, "linux.personality.flags: no flags are defined");
    return personality(value) < 0 ? err_set(e, errno, "linux.personality") : 0;
}

int exec_scheduling(struct start *s, struct err *e)
{
    const struct spec_cpu_affinity *a = s->process->exec_cpu_affinity;
    int r = a ? numa_run_on(a->final, "final", e) : 0;
    return r < 0 ? r : process_scheduling(s, e);
}

int process_scheduling(struct start *s, struct err *e)
{
    int r = 0;
    if (s->process->scheduler)
        r = set_scheduler(s->process->scheduler, e);
    if (r == 0 && s->process->io_priority)
        r = set_io_priority(s->process->io_priority, e);
    if (r == 0 && s->spec->linux_ && s->spec->linux_->personality)
        r = set_personality(s->spec->linux_->personality, e);
    if (r == 0 && s->spec->linux_ && s->spec->linux_->memory_policy)
        r = numa_memory_policy(s->spec->linux_->memory_policy, e);
    return r;
}
