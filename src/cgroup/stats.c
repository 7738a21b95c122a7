/* stats - what a group has used, in the form of runc's `events --stats`, which containerd's and
 * other clients read. Files that are not there (their controller is not on) are left out. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/str.h"
#include "base/strv.h"
#include "cgroup/cgroup-priv.h"

/* "max" and what is not there. */
#define NO_LIMIT UINT64_MAX

static bool read_number(int dir_fd, const char *file, uint64_t *ret)
{
    scoped_free char *text = NULL;
    if (cgroup_file_read(dir_fd, file, &text) < 0)
        return false;
    if (streq(text, "max"))
        *ret = NO_LIMIT;
    else if (parse_u64(text, ret) < 0)
        return false;
    return true;
}

static void set_u64(json_t *o, const char *key, uint64_t v)
{
    json_object_set_new(o, key, json_from_u64(v));
}

/* A file of "key value" lines as an object. */
static json_t *read_flat(int dir_fd, const char *file)
{
    scoped_free char *text = NULL;
    if (cgroup_file_read(dir_fd, file, &text) < 0)
        return NULL;
    json_t *o = json_object();
    scoped_strv char **lines = strv_split(text, "\n", false);
    for (char **line = lines; line && *line; line++) {
        char *space = strchr(*line, ' ');
        uint64_t v;
        if (!space)
            continue;
        *space = '\0';
        if (parse_u64(space + 1, &v) == 0)
            set_u64(o, *line, v);
    }
    return o;
}

static uint64_t value_of(const json_t *flat, const char *key)
{
    uint64_t v = 0;
    json_to_u64(json_object_get(flat, key), &v);
    return v;
}

/* "avg10=0.00 avg60=0.00 avg300=0.00 total=0" */
static json_t *read_pressure_line(const char *line)
{
    double avg10, avg60, avg300;
    unsigned long long total;
    if (sscanf(line, "avg10=%lf avg60=%lf avg300=%lf total=%llu", &avg10, &avg60, &avg300,
               &total) != 4)
        return NULL;
    json_t *o = json_object();
    json_object_set_new(o, "avg10", json_real(avg10));
    json_object_set_new(o, "avg60", json_real(avg60));
    json_object_set_new(o, "avg300", json_real(avg300));
    set_u64(o, "total", total);
    return o;
}

static void add_pressure(json_t *to, int dir_fd, const char *file)
{
    scoped_free char *text = NULL;
    if (cgroup_file_read(dir_fd, file, &text) < 0)
        return;
    json_t *psi = json_object();
    scoped_strv char **lines = strv_split(text, "\n", false);
    for (char **line = lines; line && *line; line++) {
        const char *some = str_after(*line, "some "), *full = str_after(*line, "full ");
        json_t *o = some || full ? read_pressure_line(some ? some : full) : NULL;
        if (o)
            json_object_set_new(psi, some ? "some" : "full", o);
    }
    json_object_set_new(to, "psi", psi);
}

static json_t *cpu_stats(int dir_fd)
{
    json_t *cpu = json_object(), *usage = json_object(), *throttling = json_object();
    scoped_json json_t *stat = read_flat(dir_fd, "cpu.stat");
    set_u64(usage, "total", value_of(stat, "usage_usec") * 1000);
    set_u64(usage, "kernel", value_of(stat, "system_usec") * 1000);
    set_u64(usage, "user", value_of(stat, "user_usec") * 1000);
    json_object_set_new(cpu, "usage", usage);
    if (json_object_get(stat, "nr_periods")) {
        set_u64(throttling, "periods", value_of(stat, "nr_periods"));
        set_u64(throttling, "throttledPeriods", value_of(stat, "nr_throttled"));
        set_u64(throttling, "throttledTime", value_of(stat, "throttled_usec") * 1000);
    }
    json_object_set_new(cpu, "throttling", throttling);
    add_pressure(cpu, dir_fd, "cpu.pressure");
    return cpu;
}

/* "0-2,5" as numbers. */
static json_t *list_of(int dir_fd, const char *file)
{
    json_t *list = json_array();
    scoped_free char *text = NULL;
    if (cgroup_file_read(dir_fd, file, &text) < 0)
        return list;
    scoped_strv char **ranges = strv_split(text, ",", false);
    for (char **range = ranges; range && *range; range++) {
        unsigned first, last;
        int n = sscanf(*range, "%u-%u", &first, &last);
        if (n < 1)
            continue;
        for (unsigned i = first; i <= (n == 2 ? last : first) && i < 65536; i++)
            json_array_append_new(list, json_integer(i));
    }
    return list;
}

static json_t *cpuset_stats(int dir_fd)
{
    static const char *const v1[] = {
        "cpu_exclusive",   "mem_hardwall",       "mem_exclusive",
        "memory_migrate",  "memory_spread_page", "memory_spread_slab",
        "memory_pressure", "sched_load_balance", "sched_relax_domain_level",
    };
    json_t *cpuset = json_object();
    json_t *cpus = list_of(dir_fd, "cpuset.cpus.effective");
    json_t *mems = list_of(dir_fd, "cpuset.mems.effective");
    if (json_array_size(cpus))
        json_object_set(cpuset, "cpus", cpus);
    if (json_array_size(mems))
        json_object_set(cpuset, "mems", mems);
    json_decref(cpus);
    json_decref(mems);
    for (size_t i = 0; i < N_ELEMENTS(v1); i++)
        json_object_set_new(cpuset, v1[i], json_integer(0));
    return cpuset;
}

struct memory_entry {
    uint64_t usage, max, limit, failcnt;
};

static json_t *entry_json(const struct memory_entry *m)
{
    json_t *o = json_object();
    set_u64(o, "limit", m->limit);
    if (m->usage)
        set_u64(o, "usage", m->usage);
    if (m->max)
        set_u64(o, "max", m->max);
    set_u64(o, "failcnt", m->failcnt);
    return o;
}

/* Their swap is memory and swap together, as in cgroup v1. */
static json_t *swap_json(int dir_fd, const struct memory_entry *memory)
{
    struct memory_entry swap = {0};
    if (read_number(dir_fd, "memory.swap.current", &swap.usage)) {
        read_number(dir_fd, "memory.swap.max", &swap.limit);
        scoped_json json_t *events = read_flat(dir_fd, "memory.swap.events");
        swap.failcnt = value_of(events, "max");
    }
    swap.usage += memory->usage;
    if (swap.limit != NO_LIMIT)
        swap.limit = memory->limit == NO_LIMIT ? NO_LIMIT : swap.limit + memory->limit;
    return entry_json(&swap);
}

static json_t *memory_stats(int dir_fd)
{
    json_t *memory = json_object(), *stat = read_flat(dir_fd, "memory.stat");
    struct memory_entry usage = {0}, none = {0};
    if (stat && read_number(dir_fd, "memory.current", &usage.usage)) {
        read_number(dir_fd, "memory.max", &usage.limit);
        read_number(dir_fd, "memory.peak", &usage.max);
        scoped_json json_t *events = read_flat(dir_fd, "memory.events");
        usage.failcnt = value_of(events, "max");
        set_u64(memory, "cache", value_of(stat, "file"));
        json_object_set_new(memory, "usage", entry_json(&usage));
        json_object_set_new(memory, "swap", swap_json(dir_fd, &usage));
    }
    json_object_set_new(memory, "kernel", entry_json(&none));
    json_object_set_new(memory, "kernelTCP", entry_json(&none));
    if (stat)
        json_object_set_new(memory, "raw", stat);
    add_pressure(memory, dir_fd, "memory.pressure");
    return memory;
}

/* Members of a cgroup without the controller: the processes themselves. */
static json_t *pids_stats(const struct cgroup *c)
{
    json_t *pids = json_object();
    uint64_t current = 0, max = 0;
    if (!read_number(c->fd, "pids.current", &current)) {
        scoped_free pid_t *list = NULL;
        size_t n = 0;
        if (cgroup_pids(c, &list, &n, NULL) == 0)
            current = n;
    }
    if (current)
        set_u64(pids, "current", current);
    if (read_number(c->fd, "pids.max", &max) && max != NO_LIMIT)
        set_u64(pids, "limit", max);
    return pids;
}

static void add_io(json_t *list, const char *device, const char *op, const char *value)
{
    unsigned long long major, minor;
    uint64_t v;
    if (sscanf(device, "%llu:%llu", &major, &minor) != 2 || parse_u64(value, &v) < 0)
        return;
    json_t *o = json_object();
    set_u64(o, "major", major);
    set_u64(o, "minor", minor);
    json_object_set_new(o, "op", json_string(op));
    set_u64(o, "value", v);
    json_array_append_new(list, o);
}

/* "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0" */
static json_t *block_io_stats(int dir_fd)
{
    static const struct {
        const char *key, *op;
        bool bytes;
    } kinds[] = {
        {"rbytes=", "Read", true}, {"wbytes=", "Write", true}, {"dbytes=", "Discard", true},
        {"rios=", "Read", false},  {"wios=", "Write", false},  {"dios=", "Discard", false},
    };
    json_t *io = json_object(), *bytes = json_array(), *ops = json_array();
    scoped_free char *text = NULL;
    scoped_strv char **lines = NULL;
    if (cgroup_file_read(dir_fd, "io.stat", &text) >= 0)
        lines = strv_split(text, "\n", false);
    for (char **line = lines; line && *line; line++) {
        scoped_strv char **words = strv_split(*line, " ", false);
        for (char **word = words; words && *words && *++word;)
            for (size_t i = 0; i < N_ELEMENTS(kinds); i++)
                if (str_after(*word, kinds[i].key))
                    add_io(kinds[i].bytes ? bytes : ops, *words, kinds[i].op,
                           str_after(*word, kinds[i].key));
    }
    if (json_array_size(bytes))
        json_object_set(io, "ioServiceBytesRecursive", bytes);
    if (json_array_size(ops))
        json_object_set(io, "ioServicedRecursive", ops);
    json_decref(bytes);
    json_decref(ops);
    add_pressure(io, dir_fd, "io.pressure");
    return io;
}

static json_t *hugepage_entry(int dir_fd, const char *prefix)
{
    scoped_free char *reserved = xasprintf("%s.rsvd.current", prefix);
    scoped_free char *current = xasprintf("%s.current", prefix);
    scoped_free char *events = xasprintf("%s.events", prefix);
    uint64_t usage = 0;
    if (!read_number(dir_fd, reserved, &usage) && !read_number(dir_fd, current, &usage))
        return NULL;
    scoped_json json_t *flat = read_flat(dir_fd, events);
    json_t *o = json_object();
    if (usage)
        set_u64(o, "usage", usage);
    set_u64(o, "failcnt", value_of(flat, "max"));
    return o;
}

/* The sizes are those of the files that are there: hugetlb.2MB.current */
static json_t *hugepage_stats(int dir_fd)
{
    json_t *all = json_object();
    int fd = cgroup_file_open(dir_fd, ".", O_RDONLY | O_DIRECTORY);
    scoped_dir DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d && fd >= 0)
        close(fd);
    for (struct dirent *entry; d && (entry = readdir(d));) {
        const char *size = str_after(entry->d_name, "hugetlb.");
        if (!size || !str_ends(size, "B.current"))
            continue;
        scoped_free char *name = xstrndup(size, strcspn(size, "."));
        scoped_free char *prefix = xasprintf("hugetlb.%s", name);
        json_t *o = hugepage_entry(dir_fd, prefix);
        if (o)
            json_object_set_new(all, name, o);
    }
    return all;
}

/* "mlx5_0 hca_handle=2 hca_object=max" */
static json_t *rdma_list(int dir_fd, const char *file)
{
    scoped_free char *text = NULL;
    if (cgroup_file_read(dir_fd, file, &text) < 0)
        return NULL;
    json_t *list = json_array();
    scoped_strv char **lines = strv_split(text, "\n", false);
    for (char **line = lines; line && *line; line++) {
        scoped_strv char **words = strv_split(*line, " ", false);
        json_t *o = json_object();
        json_object_set_new(o, "device", json_string(words && *words ? *words : ""));
        for (char **word = words; words && *words && *++word;) {
            const char *handles = str_after(*word, "hca_handle=");
            const char *objects = str_after(*word, "hca_object=");
            const char *value = handles ? handles : objects;
            uint64_t v = UINT32_MAX;
            if (value && (streq(value, "max") || parse_u64(value, &v) == 0))
                set_u64(o, handles ? "hca_handles" : "hca_objects", v);
        }
        json_array_append_new(list, o);
    }
    return list;
}

static void add_rdma(json_t *stats, int dir_fd)
{
    json_t *current = rdma_list(dir_fd, "rdma.current"), *limit = rdma_list(dir_fd, "rdma.max");
    if (current && limit) {
        json_t *rdma = json_object();
        json_object_set(rdma, "rdma_limit", limit);
        json_object_set(rdma, "rdma_current", current);
        json_object_set_new(stats, "rdma", rdma);
    }
    json_decref(current);
    json_decref(limit);
}

int cgroup_stats(const struct cgroup *c, json_t **ret, struct err *e)
{
    int r = cgroup_need(c, "events", e);
    if (r < 0)
        return r;
    scoped_free char *there = NULL;
    ssize_t n = cgroup_file_read(c->fd, "cgroup.events", &there);
    if (n < 0)
        return err_set(e, (int)-n, "read the state of cgroup %s", c->path);
    json_t *stats = json_object();
    json_object_set_new(stats, "cpu", cpu_stats(c->fd));
    json_object_set_new(stats, "cpuset", cpuset_stats(c->fd));
    json_object_set_new(stats, "memory", memory_stats(c->fd));
    json_object_set_new(stats, "pids", pids_stats(c));
    json_object_set_new(stats, "blkio", block_io_stats(c->fd));
    json_object_set_new(stats, "hugetlb", hugepage_stats(c->fd));
    json_object_set_new(stats, "intel_rdt", json_object());
    add_rdma(stats, c->fd);
    json_object_set_new(stats, "network_interfaces", json_null());
    *ret = stats;
    return 0;
}
