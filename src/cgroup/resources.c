/* resources - each member to its file of cgroup v2. Values that were made for cgroup v1 (shares,
 * memory and swap together, I/O weights from 10 to 1000) are converted as the other runtimes do. */
#include "cgroup/resources.h"

#include <errno.h>
#include <inttypes.h>

#include "base/log.h"
#include "base/str.h"
#include "base/strv.h"
#include "cgroup/fields.h"

static struct plan_write *add(struct plan *p, const char *what, const char *file, char *value)
{
    p->writes = xrealloc(p->writes, (p->n + 1) * sizeof(*p->writes));
    struct plan_write *w = &p->writes[p->n++];
    *w = (struct plan_write){.file = xstrdup(file), .value = value, .what = xstrdup(what)};
    scoped_free char *controller = xstrndup(file, strcspn(file, "."));
    /* No limit is what there is without the controller. */
    bool none = streq(value, "max");
    w->flags = none ? PLAN_OPTIONAL : 0;
    if (!none && !streq(controller, "cgroup") && !strv_has(p->controllers, controller)) {
        strv_add(&p->controllers, controller);
        strv_addf(&p->reasons, "linux.resources.%s", what);
    }
    return w;
}

static char *number(uint64_t v)
{
    return xasprintf("%" PRIu64, v);
}

/* Below 0: no limit. */
static char *limit(int64_t v)
{
    return v < 0 ? xstrdup("max") : xasprintf("%" PRId64, v);
}

static int refuse(const char *what, const char *why, struct err *e)
{
    return err_msg(e, ENOTSUP, "linux.resources.%s: %s", what, why);
}

/* swap is memory and swap together; the file wants swap alone. */
static int plan_swap(const struct res_memory *m, bool update, struct plan *p, struct err *e)
{
    const char *what = "memory.swap", *file = "memory.swap.max";
    if (m->swap == 0) {
        if (m->limit < 0)
            add(p, what, file, xstrdup("max"))->flags = PLAN_OPTIONAL;
        return 0;
    }
    if (m->swap < 0 || m->limit < 0) {
        add(p, what, file, limit(m->swap))->flags = PLAN_OPTIONAL;
        return 0;
    }
    if (m->limit == 0 && !update)
        return err_hint(e, err_msg(e, EINVAL, "linux.resources.memory.swap: needs memory.limit"),
                        "it is the sum of memory and swap; \"unified\" sets memory.swap.max alone");
    if (m->limit == 0) {
        add(p, what, file, number((uint64_t)m->swap))->flags = PLAN_OPTIONAL | PLAN_LESS_MEMORY;
        return 0;
    }
    if (m->swap < m->limit)
        return err_msg(e, EINVAL,
                       "linux.resources.memory.swap: %" PRId64
                       " is memory and swap together, and less than memory.limit %" PRId64,
                       m->swap, m->limit);
    add(p, what, file, number((uint64_t)(m->swap - m->limit)))->flags = PLAN_OPTIONAL;
    return 0;
}

static int plan_memory(const struct res_memory *m, bool update, struct plan *p, struct err *e)
{
    if (!m)
        return 0;
    if (m->disable_oom_killer)
        return refuse("memory.disableOOMKiller", "cgroup v2 cannot disable it", e);
    if (m->has_use_hierarchy && !m->use_hierarchy)
        return refuse("memory.useHierarchy", "cgroup v2 is always hierarchical", e);
    if (m->kernel > 0 || m->kernel_tcp > 0)
        log_warn("linux.resources.memory.kernel, kernelTCP: cgroup v2 counts them in memory.limit");
    if (m->has_swappiness)
        log_warn("linux.resources.memory.swappiness: cgroup v2 has none of its own; left out");
    int r = plan_swap(m, update, p, e);
    if (r < 0)
        return r;
    if (m->limit)
        add(p, "memory.limit", "memory.max", limit(m->limit));
    if (m->reservation)
        add(p, "memory.reservation", "memory.low", limit(m->reservation));
    if (m->check)
        p->check_usage = m->limit > 0 ? m->limit : m->swap > 0 ? m->swap : -1;
    return 0;
}

/* Of 1 <= x, to 12 decimals: enough here, and no libm. Squaring doubles the logarithm, so each step
 * gives a digit of it. */
static double binary_log(double x)
{
    double r = 0, digit = 1;
    while (x >= 2) {
        x /= 2;
        r += 1;
    }
    for (int i = 0; i < 40; i++) {
        x *= x;
        digit /= 2;
        if (x >= 2) {
            x /= 2;
            r += digit;
        }
    }
    return r;
}

uint64_t cpu_weight_of_shares(uint64_t shares)
{
    if (shares <= 2)
        return 1;
    if (shares >= 262144)
        return 10000;
    /* A parabola in the logarithms that meets the ends (2 -> 1, 262144 -> 10000) and the defaults
     * (1024 -> 100): the next integer above 10^exponent. */
    double l = binary_log((double)shares);
    double exponent = (l * l + 125 * l) / 612.0 - 7.0 / 34.0;
    double want = exponent * binary_log(10) - 1e-9;
    uint64_t low = 1, high = 10000;
    while (low < high) {
        uint64_t middle = (low + high) / 2;
        if (binary_log((double)middle) >= want)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static void plan_cpu_max(const struct res_cpu *c, struct plan *p)
{
    const char *what = c->has_quota ? "cpu.quota" : "cpu.period";
    if (!c->has_quota && !c->period)
        return;
    /* 0 is "no limit" for callers, and refused by the kernel. */
    scoped_free char *quota = limit(c->quota > 0 ? c->quota : -1);
    struct plan_write *w;
    if (c->has_quota && c->period)
        w = add(p, what, "cpu.max", xasprintf("%s %" PRIu64, quota, c->period));
    else
        w = add(p, what, "cpu.max", c->has_quota ? take_ptr(quota) : number(c->period));
    w->flags = PLAN_RETRY | (c->has_quota ? 0 : PLAN_KEEP);
    if (streq(w->value, "max")) /* no limit is there without the controller, too */
        w->flags |= PLAN_OPTIONAL;
}

static int plan_cpuset(const char *list, const char *what, const char *file, struct plan *p,
                       struct err *e)
{
    if (!list || !*list)
        return 0;
    if (list[strspn(list, "0123456789-,")])
        return err_msg(e, EINVAL, "linux.resources.%s: want numbers like 0-3,7", what);
    add(p, what, file, xstrdup(list));
    return 0;
}

static int plan_cpu(const struct res_cpu *c, struct plan *p, struct err *e)
{
    if (!c)
        return 0;
    if (c->rt_runtime || c->rt_period)
        return refuse(c->rt_runtime ? "cpu.realtimeRuntime" : "cpu.realtimePeriod",
                      "cgroup v2 has no realtime limits", e);
    if (c->has_idle && c->idle != 0 && c->idle != 1)
        return err_msg(e, EINVAL, "linux.resources.cpu.idle: want 0 or 1");
    /* An idle group takes no weight. */
    if (c->has_idle && c->idle == 0)
        add(p, "cpu.idle", "cpu.idle", xstrdup("0"));
    if (c->shares)
        add(p, "cpu.shares", "cpu.weight", number(cpu_weight_of_shares(c->shares)));
    if (c->has_idle && c->idle == 1)
        add(p, "cpu.idle", "cpu.idle", xstrdup("1"));
    /* The burst may not be above the quota at any time. */
    if (c->has_burst)
        add(p, "cpu.burst", "cpu.max.burst", number(c->burst))->flags = PLAN_RETRY;
    plan_cpu_max(c, p);
    int r = plan_cpuset(c->cpus, "cpu.cpus", "cpuset.cpus", p, e);
    return r < 0 ? r : plan_cpuset(c->mems, "cpu.mems", "cpuset.mems", p, e);
}

static void plan_pids(const struct res_pids *pids, struct plan *p)
{
    if (pids && pids->has_limit)
        add(p, "pids.limit", "pids.max", limit(pids->limit > 0 ? pids->limit : -1));
}

static int check_device(int64_t major, int64_t minor, const char *what, struct err *e)
{
    if (major >= 0 && minor >= 0 && major <= UINT32_MAX && minor <= UINT32_MAX)
        return 0;
    return err_msg(e, EINVAL, "linux.resources.%s: no device number %" PRId64 ":%" PRId64, what,
                   major, minor);
}

static uint64_t io_weight(uint32_t weight)
{
    return 1 + (uint64_t)(weight - 10) * 9999 / 990;
}

/* The I/O scheduler bfq has its own file; without it there is the one of the cost model. */
static int plan_weight(const struct res_weight *w, const char *what, struct plan *p, struct err *e)
{
    scoped_free char *device = NULL;
    if (w->leaf_weight)
        return refuse(what, "cgroup v2 has no leafWeight", e);
    if (w->weight && (w->weight < 10 || w->weight > 1000))
        return err_msg(e, EINVAL, "linux.resources.%s: want a weight from 10 to 1000", what);
    if (w->major < 0 && !w->weight)
        return 0;
    if (w->major >= 0)
        device = xasprintf("%" PRId64 ":%" PRId64 " ", w->major, w->minor);
    const char *prefix = device ? device : "";
    struct plan_write *out = add(p, what, "io.bfq.weight",
                                 w->weight ? xasprintf("%s%" PRIu32, prefix, w->weight)
                                           : xasprintf("%sdefault", prefix));
    out->alt_file = xstrdup("io.weight");
    out->alt_value =
        w->weight ? xasprintf("%s%" PRIu64, prefix, io_weight(w->weight)) : xstrdup(out->value);
    return 0;
}

static int plan_weights(const struct res_block_io *b, struct plan *p, struct err *e)
{
    struct res_weight all = {-1, -1, b->weight, b->leaf_weight};
    int r = plan_weight(&all, "blockIO.weight", p, e);
    for (size_t i = 0; i < b->n_weights && r == 0; i++) {
        scoped_free char *what = xasprintf("blockIO.weightDevice[%zu]", i);
        r = check_device(b->weights[i].major, b->weights[i].minor, what, e);
        if (r == 0)
            r = plan_weight(&b->weights[i], what, p, e);
    }
    return r;
}

static int plan_block_io(const struct res_block_io *b, struct plan *p, struct err *e)
{
    if (!b)
        return 0;
    const struct {
        const struct res_throttle *list;
        size_t n;
        const char *key, *what;
    } throttles[] = {
        {b->read_bps, b->n_read_bps, "rbps", "throttleReadBpsDevice"},
        {b->write_bps, b->n_write_bps, "wbps", "throttleWriteBpsDevice"},
        {b->read_iops, b->n_read_iops, "riops", "throttleReadIOPSDevice"},
        {b->write_iops, b->n_write_iops, "wiops", "throttleWriteIOPSDevice"},
    };
    int r = plan_weights(b, p, e);
    for (size_t i = 0; i < N_ELEMENTS(throttles) && r == 0; i++) {
        for (size_t k = 0; k < throttles[i].n && r == 0; k++) {
            const struct res_throttle *t = &throttles[i].list[k];
            scoped_free char *what = xasprintf("blockIO.%s[%zu]", throttles[i].what, k);
            scoped_free char *rate = t->rate ? number(t->rate) : xstrdup("max");
            r = check_device(t->major, t->minor, what, e);
            if (r == 0)
                add(p, what, "io.max",
                    xasprintf("%" PRId64 ":%" PRId64 " %s=%s", t->major, t->minor, throttles[i].key,
                              rate));
        }
    }
    return r;
}

static int plan_hugepages(const struct resources *res, struct plan *p, struct err *e)
{
    for (size_t i = 0; i < res->n_hugepages; i++) {
        const struct res_hugepage *h = &res->hugepages[i];
        size_t digits = strspn(h->size, "0123456789");
        const char *unit = h->size + digits;
        scoped_free char *what = xasprintf("hugepageLimits[%zu]", i);
        if (digits == 0 || digits > 8 || h->size[0] == '0' ||
            !(streq(unit, "KB") || streq(unit, "MB") || streq(unit, "GB")))
            return err_msg(e, EINVAL, "linux.resources.%s.pageSize: want one like 2MB or 1GB",
                           what);
        scoped_free char *file = xasprintf("hugetlb.%s.max", h->size);
        scoped_free char *reserved = xasprintf("hugetlb.%s.rsvd.max", h->size);
        bool none = h->limit > INT64_MAX;
        add(p, what, file, none ? xstrdup("max") : number(h->limit));
        add(p, what, reserved, none ? xstrdup("max") : number(h->limit))->flags = PLAN_OPTIONAL;
    }
    return 0;
}

static int plan_network(const struct res_network *n, struct err *e)
{
    if (!n || (!n->class_id && !n->n_priorities))
        return 0;
    return refuse(n->class_id ? "network.classID" : "network.priorities",
                  "cgroup v2 has neither network classes nor priorities", e);
}

static int plan_rdma(const json_t *rdma, struct plan *p, struct err *e)
{
    const char *name;
    json_t *value;
    if (rdma && !json_is_null(rdma) && !json_is_object(rdma))
        return err_msg(e, EINVAL, "linux.resources.rdma: want an object");
    json_object_foreach((json_t *)rdma, name, value)
    {
        struct res_rdma limits;
        int r = rdma_parse(value, name, &limits, e);
        if (r < 0)
            return r;
        if (!*name || name[strcspn(name, " \t\n/=")])
            return err_msg(e, EINVAL, "linux.resources.rdma: \"%s\" is no name of an interface",
                           name);
        if (!limits.has_handles && !limits.has_objects)
            continue;
        scoped_free char *what = xasprintf("rdma[\"%s\"]", name);
        struct str s = STR_INIT;
        str_add(&s, name);
        if (limits.has_handles)
            str_addf(&s, " hca_handle=%" PRIu32, limits.handles);
        if (limits.has_objects)
            str_addf(&s, " hca_object=%" PRIu32, limits.objects);
        add(p, what, "rdma.max", str_detach(&s));
    }
    return 0;
}

/* A file of the group that sets something: not one that moves, kills or stops processes or hands
 * the group's controllers away. */
static int check_unified(const char *file, struct err *e)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    const char *dot = strchr(file, '.');
    if (file[strspn(file, letters)] || strstr(file, ".."))
        return err_msg(e, EINVAL, "linux.resources.unified: \"%s\" is no name of a file", file);
    if (!dot || dot == file || !dot[1])
        return err_msg(e, EINVAL,
                       "linux.resources.unified: \"%s\" has not the form CONTROLLER.FILE", file);
    if (str_after(file, "cgroup.") && !str_after(file, "cgroup.max.") &&
        !streq(file, "cgroup.pressure"))
        return err_msg(e, EINVAL, "linux.resources.unified: \"%s\" is no limit", file);
    return 0;
}

static int plan_unified(char *const *unified, struct plan *p, struct err *e)
{
    for (; unified && *unified; unified++) {
        const char *equals = strchr(*unified, '=');
        scoped_free char *file = xstrndup(*unified, (size_t)(equals - *unified));
        int r = check_unified(file, e);
        if (r < 0)
            return r;
        scoped_free char *what = xasprintf("unified[\"%s\"]", file);
        scoped_strv char **lines = strv_split(equals + 1, "\n", false);
        for (char **line = lines; line && *line; line++)
            add(p, what, file, xstrdup(*line));
    }
    return 0;
}

static int plan_all(const struct resources *res, bool update, struct plan *p, struct err *e)
{
    int r = plan_memory(res->memory, update, p, e);
    if (r == 0)
        r = plan_cpu(res->cpu, p, e);
    if (r == 0) {
        plan_pids(res->pids, p);
        r = plan_block_io(res->block_io, p, e);
    }
    if (r == 0)
        r = plan_hugepages(res, p, e);
    if (r == 0)
        r = plan_network(res->network, e);
    if (r == 0)
        r = plan_rdma(res->rdma, p, e);
    return r < 0 ? r : plan_unified(res->unified, p, e);
}

int resources_plan(const json_t *resources, bool update, struct plan *ret, struct err *e)
{
    struct resources res;
    struct plan p = {.check_usage = -1};
    int r = resources_parse(resources, &res, e);
    if (r < 0)
        return r;
    r = plan_all(&res, update, &p, e);
    resources_release(&res);
    if (r < 0)
        plan_release(&p);
    else
        *ret = p;
    return r;
}

void plan_release(struct plan *p)
{
    for (size_t i = 0; i < p->n; i++) {
        struct plan_write *w = &p->writes[i];
        free(w->file);
        free(w->value);
        free(w->alt_file);
        free(w->alt_value);
        free(w->what);
    }
    free(p->writes);
    strv_free(p->controllers);
    strv_free(p->reasons);
    *p = (struct plan){.check_usage = -1};
}
