/* stats_set - the containers that are watched, and what they use. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/proc.h"
#include "base/timefmt.h"
#include "cli/stats.h"
#include "sys/procfs.h"

#define NET_MAX (64u << 10)
#define NONE "--"

static void forget_run(struct stats_entry *en)
{
    cgroup_meter_close(en->meter);
    en->meter = NULL;
    fd_close(&en->net_fd);
    en->has_now = en->has_before = en->has_net = false;
}

static void entry_release(struct stats_entry *en)
{
    forget_run(en);
    free(en->name);
}

void stats_release(struct stats_set *s)
{
    for (size_t i = 0; i < s->n; i++)
        entry_release(&s->v[i]);
    free(s->v);
    strv_free(s->ids);
}

/* Counters of the network namespace that the container has for itself. The descriptor stays with
 * that namespace, whatever becomes of the process's number. */
static int open_net(const struct ctr_state *st)
{
    char path[40];
    uint64_t start;
    if (strv_has(st->networks, "host"))
        return -1;
    scoped_fd int proc_fd = procfs_open(NULL);
    snprintf(path, sizeof(path), "%d/net/dev", st->pid);
    scoped_fd int fd = proc_fd < 0 ? -1 : procfs_open_file(proc_fd, path, O_RDONLY, NULL);
    if (fd < 0 || proc_start_time(st->pid, &start) < 0 || start != st->pid_start)
        return -1;
    return take_fd(&fd);
}

static void open_run(struct stats_entry *en, const struct ctr_state *st)
{
    struct cgroup *group = NULL;
    struct err why = ERR_INIT;
    en->run = st->pid_start;
    en->net_fd = open_net(st);
    if (st->cgroup && cgroup_load(st->cgroup, &group, &why) == 0)
        (void)!cgroup_meter_open(group, &en->meter, &why);
    cgroup_close(group);
}

static bool is_running(int status)
{
    return status == CTR_RUNNING || status == CTR_PAUSED;
}

/* At its place in the list; what is there from the last time is kept. */
static void take_state(struct stats_set *s, struct stats_entry *to, const struct ctr_state *st)
{
    *to = (struct stats_entry){.net_fd = -1};
    for (size_t i = 0; i < s->n; i++)
        if (streq(s->v[i].id, st->id)) {
            *to = s->v[i];
            s->v[i] = (struct stats_entry){.net_fd = -1};
        }
    snprintf(to->id, sizeof(to->id), "%s", st->id);
    free(to->name);
    to->name = xstrdup(st->name);
    to->status = st->status;
    to->started_ns = st->started_ns;
    bool same = is_running(st->status) && to->run == st->pid_start && (to->meter || !st->cgroup);
    if (same)
        return;
    forget_run(to);
    if (is_running(st->status))
        open_run(to, st);
}

static void tell_groupless(struct stats_set *s)
{
    scoped_str struct str names = STR_INIT;
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        struct stats_entry *en = &s->v[i];
        if (s->quiet || en->told || en->meter || !is_running(en->status))
            continue;
        str_addf(&names, "%s%s", n++ ? ", " : "", en->name);
        en->told = true;
    }
    scoped_free char *text =
        n ? xasprintf("no figures of %s: %s without a cgroup; 'rootlet doctor' tells why", names.s,
                      n > 1 ? "they run" : "it runs")
          : NULL;
    cli_notice(text);
}

int stats_refresh(struct stats_set *s, struct err *e)
{
    struct ctr_state *list = NULL;
    size_t n = 0, taken = 0;
    int r = container_list(cli_conf(), &list, &n, e);
    if (r < 0)
        return r;
    struct stats_entry *v = xcalloc(n + 1, sizeof(*v));
    for (size_t i = 0; i < n; i++) {
        bool wanted = s->ids ? strv_has(s->ids, list[i].id) : s->all || is_running(list[i].status);
        if (wanted)
            take_state(s, &v[taken++], &list[i]);
    }
    container_list_free(list, n);
    for (size_t i = 0; i < s->n; i++)
        entry_release(&s->v[i]);
    free(s->v);
    s->v = v;
    s->n = taken;
    tell_groupless(s);
    return 0;
}

/* "  eth0: BYTES PACKETS errs drop fifo frame compressed multicast BYTES ..." below two lines of
 * titles; the loopback device does not count. proc_pid_net(5) */
static bool read_net(int fd, uint64_t *ret_in, uint64_t *ret_out)
{
    scoped_free char *text = xmalloc(NET_MAX);
    ssize_t n = fd < 0 ? -1 : pread(fd, text, NET_MAX - 1, 0);
    if (n <= 0)
        return false;
    text[n] = '\0';
    *ret_in = *ret_out = 0;
    for (char *line = text; line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
        char name[64];
        unsigned long long in, out;
        if (sscanf(line, " %63[^: ]: %llu %*u %*u %*u %*u %*u %*u %*u %llu", name, &in, &out) !=
                3 ||
            streq(name, "lo"))
            continue;
        *ret_in += in;
        *ret_out += out;
    }
    return true;
}

static void tell_controller(struct stats_set *s, const struct stats_entry *en)
{
    if (s->quiet || s->told_memory || !en->has_now || en->now.has_memory)
        return;
    s->told_memory = true;
    cli_notice("no figures of memory: its controller is not delegated; 'rootlet info' lists those "
               "that are");
}

void stats_sample(struct stats_set *s)
{
    for (size_t i = 0; i < s->n; i++) {
        struct stats_entry *en = &s->v[i];
        en->before = en->now;
        en->has_before = en->has_now;
        en->has_now = en->meter && cgroup_meter_read(en->meter, &en->now) == 0;
        en->has_net = read_net(en->net_fd, &en->net_in, &en->net_out);
        tell_controller(s, en);
    }
}

/* --- rows --- */

static void set_text(json_t *row, const char *key, const char *text)
{
    json_object_set_new(row, key, json_string(text));
}

static void set_number(json_t *row, const char *key, uint64_t n)
{
    json_object_set_new(row, key, json_from_u64(n));
}

/* podman prints "1.2MB", without the blank. */
static const char *size_text(uint64_t bytes, char *buf, size_t size)
{
    size_human(bytes, buf, size);
    char *blank = strchr(buf, ' ');
    if (blank)
        memmove(blank, blank + 1, strlen(blank));
    return buf;
}

static void set_pair(json_t *row, const char *key, bool there, uint64_t a, uint64_t b)
{
    char text[80] = NONE " / " NONE, one[32], two[32];
    if (there)
        snprintf(text, sizeof(text), "%s / %s", size_text(a, one, sizeof(one)),
                 size_text(b, two, sizeof(two)));
    set_text(row, key, text);
}

static void set_percent(json_t *row, const char *key, bool there, double part, double whole)
{
    char text[32] = NONE;
    if (there && whole > 0)
        snprintf(text, sizeof(text), "%.2f%%", 100 * part / whole);
    set_text(row, key, text);
}

/* "512ms", "12.34s", "3m12s", "5h3m" */
static void set_duration(json_t *row, const char *key, bool there, uint64_t ns)
{
    char text[48] = NONE;
    unsigned long long s = ns / 1000000000;
    if (there && ns < UINT64_C(1000000000))
        snprintf(text, sizeof(text), "%.3gms", (double)ns / 1e6);
    else if (there && s < 60)
        snprintf(text, sizeof(text), "%.2fs", (double)ns / 1e9);
    else if (there && s < 3600)
        snprintf(text, sizeof(text), "%llum%llus", s / 60, s % 60);
    else if (there)
        snprintf(text, sizeof(text), "%lluh%llum", s / 3600, s / 60 % 60);
    set_text(row, key, text);
}

static uint64_t host_memory(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    return pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : 0;
}

static json_t *pressure_json(const struct cgroup_sample *s)
{
    json_t *all = json_object();
    for (int i = 0; i < CGROUP_RESOURCES; i++) {
        const struct cgroup_pressure *p = &s->pressure[i];
        if (p->there)
            json_object_set_new(
                all, cgroup_resource_names[i],
                json_pack("{s:f, s:f}", "some", p->some_avg10, "full", p->full_avg10));
    }
    return all;
}

/* The numbers behind the texts, for scripts. */
static void set_numbers(json_t *row, const struct stats_entry *en, uint64_t limit)
{
    const struct cgroup_sample *s = &en->now;
    if (en->has_net) {
        set_number(row, "net_input_bytes", en->net_in);
        set_number(row, "net_output_bytes", en->net_out);
    }
    if (!en->has_now)
        return;
    set_number(row, "cpu_nanoseconds", s->cpu_ns);
    if (s->has_memory) {
        set_number(row, "mem_bytes", s->memory);
        set_number(row, "mem_limit_bytes", limit);
    }
    if (s->has_swap)
        set_number(row, "swap_bytes", s->swap);
    if (s->has_swap && s->swap_limit != CGROUP_NO_LIMIT)
        set_number(row, "swap_limit_bytes", s->swap_limit);
    if (s->has_io) {
        set_number(row, "block_input_bytes", s->read_bytes);
        set_number(row, "block_output_bytes", s->write_bytes);
    }
    if (s->pids_limit != CGROUP_NO_LIMIT)
        set_number(row, "pids_limit", s->pids_limit);
    json_object_set_new(row, "pressure", pressure_json(s));
}

static void set_pressure(json_t *row, const char *key, const struct stats_entry *en,
                         enum cgroup_resource what)
{
    const struct cgroup_pressure *p = &en->now.pressure[what];
    char text[40] = NONE;
    if (en->has_now && p->there)
        snprintf(text, sizeof(text), "%.1f/%.1f", p->some_avg10, p->full_avg10);
    set_text(row, key, text);
}

/* Only templates see these. */
static void set_fields(json_t *row, const struct stats_entry *en)
{
    static const char *const same[][2] = {
        {"id", "ID"},           {"id", "Container"},        {"id", "ContainerID"},
        {"name", "Name"},       {"cpu_time", "CPUTime"},    {"cpu_percent", "CPUPerc"},
        {"cpu_percent", "CPU"}, {"avg_cpu", "AvgCPU"},      {"mem_usage", "MemUsage"},
        {"net_io", "NetIO"},    {"mem_percent", "MemPerc"}, {"block_io", "BlockIO"},
        {"pids", "PIDS"},       {"pids", "PIDs"},           {"swap", "Swap"},
    };
    for (size_t i = 0; i < N_ELEMENTS(same); i++)
        json_object_set(row, same[i][1], json_object_get(row, same[i][0]));
    set_pressure(row, "CPUPressure", en, CGROUP_CPU);
    set_pressure(row, "MemPressure", en, CGROUP_MEMORY);
    set_pressure(row, "IOPressure", en, CGROUP_IO);
    set_text(row, "Status", ctr_status_names[en->status]);
}

static void set_cpu(json_t *row, const struct stats_entry *en)
{
    const struct cgroup_sample *s = &en->now, *b = &en->before;
    double alive = (double)(time_now_ns() - en->started_ns);
    bool two = en->has_now && en->has_before && s->time_ns > b->time_ns && s->cpu_ns >= b->cpu_ns;
    set_duration(row, "cpu_time", en->has_now, s->cpu_ns);
    if (two)
        set_percent(row, "cpu_percent", true, (double)(s->cpu_ns - b->cpu_ns),
                    (double)(s->time_ns - b->time_ns));
    else
        set_percent(row, "cpu_percent", en->has_now, (double)s->cpu_ns, alive);
    set_percent(row, "avg_cpu", en->has_now, (double)s->cpu_ns, alive);
}

static json_t *row_of(const struct stats_entry *en, bool json, bool cut)
{
    const struct cgroup_sample *s = &en->now;
    bool memory = en->has_now && s->has_memory;
    uint64_t host = host_memory(), limit = s->memory_limit < host ? s->memory_limit : host;
    char text[40] = NONE;
    json_t *row = json_object();
    snprintf(text, sizeof(text), cut ? "%.12s" : "%.38s", en->id);
    set_text(row, "id", cut ? text : en->id);
    set_text(row, "name", en->name);
    set_cpu(row, en);
    set_pair(row, "mem_usage", memory, s->memory, limit);
    set_percent(row, "mem_percent", memory, (double)s->memory, (double)limit);
    set_pair(row, "net_io", en->has_net, en->net_in, en->net_out);
    set_pair(row, "block_io", en->has_now && s->has_io, s->read_bytes, s->write_bytes);
    snprintf(text, sizeof(text), en->has_now ? "%llu" : NONE, (unsigned long long)s->pids);
    set_text(row, "pids", text);
    if (json) {
        set_numbers(row, en, limit);
        return row;
    }
    set_text(row, "swap",
             en->has_now && s->has_swap ? size_text(s->swap, text, sizeof(text)) : NONE);
    set_fields(row, en);
    return row;
}

json_t *stats_rows(const struct stats_set *s, bool json, bool cut)
{
    json_t *rows = json_array();
    for (size_t i = 0; i < s->n; i++)
        json_array_append_new(rows, row_of(&s->v[i], json, cut));
    return rows;
}
